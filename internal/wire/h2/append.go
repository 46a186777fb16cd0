package h2

import "encoding/binary"

// AppendHeader appends the header of a frame.
func AppendHeader(dst []byte, h Header) []byte {
	return append(dst, byte(h.Length>>16), byte(h.Length>>8), byte(h.Length), byte(h.Type), byte(h.Flags),
		byte(h.Stream>>24), byte(h.Stream>>16), byte(h.Stream>>8), byte(h.Stream))
}

// PutHeader writes the header of a frame over the first HeaderLen bytes of b.
func PutHeader(b []byte, h Header) { AppendHeader(b[:0], h) }

// AppendSettings appends SETTINGS.
func AppendSettings(dst []byte, s ...Setting) []byte {
	dst = AppendHeader(dst, Header{Length: uint32(6 * len(s)), Type: Settings})
	for _, s := range s {
		dst = binary.BigEndian.AppendUint16(dst, uint16(s.ID))
		dst = binary.BigEndian.AppendUint32(dst, s.Value)
	}
	return dst
}

// AppendSettingsAck acknowledges SETTINGS.
func AppendSettingsAck(dst []byte) []byte {
	return AppendHeader(dst, Header{Type: Settings, Flags: Ack})
}

// AppendPing appends PING, or the answer to one.
func AppendPing(dst []byte, data [8]byte, ack bool) []byte {
	h := Header{Length: 8, Type: Ping}
	if ack {
		h.Flags = Ack
	}
	return append(AppendHeader(dst, h), data[:]...)
}

// AppendGoAway appends GOAWAY. debug is for people who debug; it may be empty.
func AppendGoAway(dst []byte, last uint32, c Code, debug string) []byte {
	dst = AppendHeader(dst, Header{Length: uint32(8 + len(debug)), Type: GoAway})
	dst = binary.BigEndian.AppendUint32(dst, last)
	dst = binary.BigEndian.AppendUint32(dst, uint32(c))
	return append(dst, debug...)
}

// AppendReset appends RST_STREAM.
func AppendReset(dst []byte, stream uint32, c Code) []byte {
	dst = AppendHeader(dst, Header{Length: 4, Type: RSTStream, Stream: stream})
	return binary.BigEndian.AppendUint32(dst, uint32(c))
}

// AppendWindowUpdate appends WINDOW_UPDATE. n is at least 1.
func AppendWindowUpdate(dst []byte, stream uint32, n int32) []byte {
	dst = AppendHeader(dst, Header{Length: 4, Type: WindowUpdate, Stream: stream})
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}

// AppendData appends a DATA frame. data is not longer than the peer's limit.
func AppendData(dst []byte, stream uint32, data []byte, end bool) []byte {
	h := Header{Length: uint32(len(data)), Type: Data, Stream: stream}
	if end {
		h.Flags = EndStream
	}
	return append(AppendHeader(dst, h), data...)
}

// BeginHeaders appends room for the header of a HEADERS frame, behind which the
// caller appends a field block, and then calls EndHeadersAt with the length of dst
// that it had before.
func BeginHeaders(dst []byte) []byte { return append(dst, make([]byte, HeaderLen)...) }

// EndHeadersAt turns the block that was appended behind BeginHeaders into a
// HEADERS frame, and CONTINUATION frames if it is longer than most bytes. start is
// where dst ended before BeginHeaders.
func EndHeadersAt(dst []byte, start int, stream uint32, end bool, most uint32) []byte {
	h := Header{Type: Headers, Stream: stream}
	if end {
		h.Flags = EndStream
	}
	n := len(dst) - start - HeaderLen
	if n <= int(most) {
		h.Flags |= EndHeaders
		h.Length = uint32(n)
		PutHeader(dst[start:], h)
		return dst
	}
	// The frames' headers go between the pieces, the last piece first.
	pieces := (n + int(most) - 1) / int(most)
	for range pieces - 1 {
		dst = append(dst, make([]byte, HeaderLen)...)
	}
	for i := pieces - 1; i > 0; i-- {
		from := start + HeaderLen + i*int(most)
		size := min(n-i*int(most), int(most))
		to := from + i*HeaderLen
		copy(dst[to:to+size], dst[from:from+size])
		c := Header{Length: uint32(size), Type: Continuation, Stream: stream}
		if i == pieces-1 {
			c.Flags = EndHeaders
		}
		PutHeader(dst[to-HeaderLen:], c)
	}
	h.Length = most
	PutHeader(dst[start:], h)
	return dst
}
