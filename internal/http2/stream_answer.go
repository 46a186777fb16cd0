package http2

import (
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
)

// beginBlock begins a HEADERS frame. Until the peer has a table of the usual size,
// each block says that we use none: which of those that are composed will be the
// first to be sent, nobody knows (RFC 7541 §4.2).
func (s *Stream) beginBlock(dst []byte) []byte {
	dst = h2.BeginHeaders(dst)
	if s.c.untable {
		dst = h2.AppendTableSize(dst)
	}
	return dst
}

// AppendAnswer composes the head of an upstream's answer.
func (s *Stream) AppendAnswer(dst []byte, h *message.Head, b *message.Back) []byte {
	start := len(dst)
	dst = h2.AppendStatus(s.beginBlock(dst), h.Status)
	dst = h2.AppendFields(dst, h)
	length := b.Length
	if h.Status < 200 || h.Status == 204 {
		length = -1 // RFC 9110 §8.6
	}
	dst = appendBack(dst, b, length)
	if b.Date != nil {
		dst = h2.AppendKnown(dst, message.Date, b.Date)
	}
	dst = appendOurVia(dst, h.Major, h.Minor, b.Via)
	return s.endBlock(dst, start, b, length)
}

// AppendOwn composes the head of an answer of the gateway's own.
func (s *Stream) AppendOwn(dst []byte, status int, fields []byte, b *message.Back) []byte {
	start := len(dst)
	dst = h2.AppendStatus(s.beginBlock(dst), status)
	dst = h2.AppendLines(dst, fields)
	dst = appendBack(dst, b, b.Length)
	dst = appendOurVia(dst, 2, 0, b.Via)
	return s.endBlock(dst, start, b, b.Length)
}

// AppendInterim composes an interim answer's head, 100 (Continue) if h is nil.
func (s *Stream) AppendInterim(dst []byte, h *message.Head, via []byte) []byte {
	start := len(dst)
	dst = s.beginBlock(dst)
	if h == nil {
		dst = h2.AppendStatus(dst, 100)
	} else {
		dst = h2.AppendStatus(dst, h.Status)
		dst = h2.AppendFields(dst, h)
		dst = appendOurVia(dst, h.Major, h.Minor, via)
	}
	return h2.EndHeadersAt(dst, start, s.id, false, h2.DefaultFrameSize)
}

// appendBack writes what is said anew on each hop.
func appendBack(dst []byte, b *message.Back, length int64) []byte {
	if b.Body == message.Sized || b.Body == message.NoBody && length >= 0 {
		dst = h2.AppendNumber(dst, message.ContentLength, length)
	}
	dst = h2.AppendLines(dst, b.Own)
	if b.Status != nil {
		dst = h2.AppendKnown(dst, message.ProxyStatus, b.Status)
	}
	return dst
}

// endBlock ends a final head. One that nothing follows ends the stream.
func (s *Stream) endBlock(dst []byte, start int, b *message.Back, length int64) []byte {
	end := b.Body == message.NoBody || b.Body == message.Sized && length == 0
	return h2.EndHeadersAt(dst, start, s.id, end, h2.DefaultFrameSize)
}

// appendOurVia tells the version that the message came in (RFC 9110 §7.6.3).
func appendOurVia(dst []byte, major, minor uint8, via []byte) []byte {
	var b [64]byte
	v := b[:0]
	switch {
	case major == 2:
		v = append(v, "2.0 "...)
	case minor == 0:
		v = append(v, "1.0 "...)
	default:
		v = append(v, "1.1 "...)
	}
	return h2.AppendKnown(dst, message.Via, append(v, via...))
}

// Write sends a part of the answer: see exchange.Client.
func (s *Stream) Write(o *message.Out, until loop.Time) (n int, err error) {
	if s.dead != nil {
		return 0, s.dead
	}
	if s.local { // the head said that nothing follows
		return 0, nil
	}
	c, w := s.c, &s.w
	*w = writing{head: o.Head, a: o.A, b: o.B, last: o.Last, tail: w.tail[:0], active: true}
	if o.Last && o.Trailer != nil && len(o.Trailer.Fields) > 0 {
		w.tail = h2.EndHeadersAt(h2.AppendFields(s.beginBlock(w.tail), o.Trailer), 0, s.id, true, h2.DefaultFrameSize)
	}
	// Whoever finds nobody in line goes first; the others would otherwise wait for
	// the writing task, for nothing.
	if c.waiting == 0 {
		s.emit(true)
		c.kick()
	}
	for !s.wrote() {
		if s.room > 0 || len(w.head) > 0 {
			c.joinLine(s)
		}
		c.kick()
		s.writer = c.loop.Self()
		err = c.loop.Park(until)
		s.writer = nil
		if s.dead != nil {
			err = s.dead
			break
		}
		if err == loop.ErrTimeout {
			break
		}
		err = nil // an interrupt does not end a write
	}
	c.leaveLine(s)
	n, w.active = w.n, false
	w.head, w.a, w.b = nil, nil, nil
	return n, err
}

// wrote reports whether all of the present write has gone to out.
func (s *Stream) wrote() bool {
	w := &s.w
	return len(w.head)+len(w.a)+len(w.b) == 0 && (!w.last || s.local)
}

// emit moves as much of the present write to out as the windows and out allow, but
// not more than a frame of content if one is false. It reports whether anything moved.
func (s *Stream) emit(all bool) (moved bool) {
	c, w := s.c, &s.w
	if len(w.head) > 0 {
		if c.full() {
			return false
		}
		c.put(w.head)
		w.n += len(w.head)
		if endsStream(w.head) {
			s.ended()
		}
		w.head = nil
		moved = true
	}
	for !s.local {
		size := len(w.a) + len(w.b)
		if size == 0 {
			break
		}
		k := int(min(int64(size), int64(c.most), s.room, c.room))
		if k <= 0 {
			return moved
		}
		free := loop.BufferSize - c.out.Len() - h2.HeaderLen
		if k > free {
			if free < fewBytes {
				return moved
			}
			k = free
		}
		if k >= fewBytes || k == size {
			c.floods.give(2) // the client acknowledges content, on the stream and the connection
		}
		end := w.last && k == size && len(w.tail) == 0
		var header [h2.HeaderLen]byte
		h := h2.Header{Length: uint32(k), Type: h2.Data, Stream: s.id}
		if end {
			h.Flags = h2.EndStream
		}
		h2.PutHeader(header[:], h)
		c.put(header[:])
		i := min(k, len(w.a))
		c.put(w.a[:i])
		c.put(w.b[:k-i])
		w.a, w.b = w.a[i:], w.b[k-i:]
		s.room -= int64(k)
		c.room -= int64(k)
		w.n += k + h2.HeaderLen
		moved = true
		if end {
			s.ended()
		}
		if !all {
			break
		}
	}
	if len(w.a)+len(w.b) == 0 && w.last && !s.local {
		if len(w.tail) > 0 {
			c.put(w.tail)
			w.n += len(w.tail)
		} else {
			var header [h2.HeaderLen]byte
			h2.PutHeader(header[:], h2.Header{Type: h2.Data, Flags: h2.EndStream, Stream: s.id})
			c.put(header[:])
			w.n += h2.HeaderLen
		}
		moved = true
		s.ended()
	}
	return moved
}

// ended notes that END_STREAM is on its way.
func (s *Stream) ended() {
	s.local = true
	if s.remote && s.code == h2.NoError {
		s.c.shut(s, wasEnded)
	}
}

// endsStream reports whether one of the heads that b holds ends the stream.
func endsStream(b []byte) bool {
	for len(b) >= h2.HeaderLen {
		h := h2.ParseHeader(b)
		if h.Type == h2.Headers && h.Has(h2.EndStream) {
			return true
		}
		b = b[min(len(b), h2.HeaderLen+int(h.Length)):]
	}
	return false
}

// Cut sends what it can of o and resets the stream: it cannot be taken for whole.
func (s *Stream) Cut(o *message.Out, until loop.Time) (n int) {
	if len(o.Head)+len(o.A)+len(o.B) > 0 {
		n, _ = s.Write(o, until)
	}
	s.end(h2.InternalError)
	return n
}
