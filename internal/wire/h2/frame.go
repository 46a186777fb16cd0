package h2

import "encoding/binary"

// Header is the header of a frame.
type Header struct {
	Length uint32 // of the payload, in bytes
	Type   Type
	Flags  Flags
	Stream uint32 // 0 is the connection
}

// ParseHeader reads the header at the start of b, which has HeaderLen bytes at
// least. The reserved bit is ignored.
func ParseHeader(b []byte) Header {
	_ = b[8]
	return Header{
		Length: uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]),
		Type:   Type(b[3]), Flags: Flags(b[4]),
		Stream: binary.BigEndian.Uint32(b[5:]) & MaxStream,
	}
}

// Has reports whether the flag is set.
func (h Header) Has(f Flags) bool { return h.Flags&f != 0 }

// Check judges what can be judged before the payload is there: its length, which
// may be up to most bytes, and whether the type may be on the stream. Frames of
// unknown type are judged by their length only.
func (h Header) Check(most uint32) Error {
	if h.Length > most {
		return connectionFlaw(FrameTooLarge, 0)
	}
	n := h.Length
	switch h.Type {
	case Data, Headers, RSTStream, Priority, PushPromise, Continuation:
		if h.Stream == 0 {
			return connectionFlaw(NeedsStream, 5)
		}
	case Settings, Ping, GoAway, PriorityUpdate:
		if h.Stream != 0 {
			return connectionFlaw(ForbidsStream, 5)
		}
	}
	bad := false
	switch h.Type {
	case Data:
		bad = h.Has(Padded) && n < 1
	case Headers:
		bad = h.Has(Padded) && n < 1 || h.Has(HasPriority) && n < 5
	case Priority:
		if n != 5 {
			return streamFlaw(PriorityLength, 0)
		}
	case RSTStream, WindowUpdate:
		bad = n != 4
	case Settings:
		if h.Has(Ack) && n > 0 {
			return connectionFlaw(AckNotEmpty, 0)
		}
		bad = n%6 != 0
	case PushPromise:
		bad = n < 4
	case Ping:
		bad = n != 8
	case GoAway:
		bad = n < 8
	case PriorityUpdate:
		bad = n < 4
	}
	if bad {
		return connectionFlaw(FrameLength, 0)
	}
	return Error{}
}

// unpad takes the padding off the payload p of a frame that may have it
// (RFC 9113 §6.1). at is where what is left begins, in the frame.
func (h Header) unpad(p []byte) (rest []byte, at int, err Error) {
	if !h.Has(Padded) {
		return p, HeaderLen, Error{}
	}
	if len(p) == 0 {
		return nil, HeaderLen, connectionFlaw(FrameLength, 0)
	}
	n := int(p[0])
	if n >= len(p) {
		return nil, HeaderLen, connectionFlaw(PadTooLong, HeaderLen)
	}
	return p[1 : len(p)-n], HeaderLen + 1, Error{}
}

// Data returns the content of a DATA frame with payload p. All of p counts
// against the windows, padding included.
func (h Header) Data(p []byte) ([]byte, Error) {
	data, _, err := h.unpad(p)
	return data, err
}

// Fragment returns the piece of a field block that a HEADERS frame with payload
// p holds. The priority of RFC 7540 that it may hold too is only checked: a
// stream that depends on itself is an Error that costs the stream, and comes
// with the fragment, which must be decoded all the same.
func (h Header) Fragment(p []byte) (fragment []byte, err Error) {
	p, at, err := h.unpad(p)
	if !err.Ok() || !h.Has(HasPriority) {
		return p, err
	}
	if len(p) < 5 {
		return nil, connectionFlaw(FrameLength, 0)
	}
	if dependency(p) == h.Stream {
		err = streamFlaw(SelfDependency, at)
	}
	return p[5:], err
}

// CheckPriority judges the payload p of a PRIORITY frame, which has no effect
// (RFC 9113 §5.3.2).
func (h Header) CheckPriority(p []byte) Error {
	if dependency(p) == h.Stream {
		return streamFlaw(SelfDependency, HeaderLen)
	}
	return Error{}
}

func dependency(p []byte) uint32 { return binary.BigEndian.Uint32(p) & MaxStream }

// ParseCode reads the payload of RST_STREAM.
func ParseCode(p []byte) Code { return Code(binary.BigEndian.Uint32(p)) }

// SettingAt reads the i-th parameter of the payload p of SETTINGS, which has
// len(p)/6, and judges its value.
func SettingAt(p []byte, i int) (Setting, Error) {
	p = p[6*i : 6*i+6]
	s := Setting{SettingID(binary.BigEndian.Uint16(p)), binary.BigEndian.Uint32(p[2:])}
	at := HeaderLen + 6*i + 2
	switch s.ID {
	case EnablePush, EnableConnectProtocol, NoRFC7540Priorities:
		if s.Value > 1 {
			return s, connectionFlaw(SettingInvalid, at)
		}
	case InitialWindowSize:
		if s.Value > MaxWindow {
			return s, connectionFlaw(WindowTooLarge, at)
		}
	case MaxFrameSizeID:
		if s.Value < DefaultFrameSize || s.Value > MaxFrameSize {
			return s, connectionFlaw(SettingInvalid, at)
		}
	}
	return s, Error{}
}

// ParseGoAway reads the payload of GOAWAY. debug is a view of p.
func ParseGoAway(p []byte) (last uint32, code Code, debug []byte) {
	return binary.BigEndian.Uint32(p) & MaxStream, Code(binary.BigEndian.Uint32(p[4:])), p[8:]
}

// ParseIncrement reads the payload p of WINDOW_UPDATE. One of 0 costs the stream,
// or the connection on stream 0.
func (h Header) ParseIncrement(p []byte) (int32, Error) {
	n := binary.BigEndian.Uint32(p) & MaxWindow
	if n == 0 {
		return 0, Error{Flaw: NoIncrement, At: HeaderLen, Stream: h.Stream != 0}
	}
	return int32(n), Error{}
}

// ParsePriorityUpdate reads the payload of PRIORITY_UPDATE: the stream that it is
// about, and the value of its Priority field (RFC 9218 §7.1), a view of p.
func ParsePriorityUpdate(p []byte) (stream uint32, field []byte) {
	return binary.BigEndian.Uint32(p) & MaxStream, p[4:]
}

// Urgency is how soon an answer is wanted, and whether its parts are of use
// before it is whole (RFC 9218 §4).
type Urgency struct {
	Level       uint8 // 0 (first) to 7
	Incremental bool
}

// DefaultUrgency is that of a request that says nothing.
var DefaultUrgency = Urgency{Level: 3}

// ParseUrgency reads the value of a Priority field, a dictionary of structured
// fields (RFC 9651). What it does not understand is ignored, as RFC 9218 §4 asks.
func ParseUrgency(v []byte) Urgency {
	p := DefaultUrgency
	for i := 0; i < len(v); {
		for i < len(v) && (v[i] == ' ' || v[i] == '\t' || v[i] == ',') {
			i++
		}
		start := i
		quoted := false
		for i < len(v) && (v[i] != ',' || quoted) {
			switch {
			case v[i] == '"':
				quoted = !quoted
			case v[i] == '\\' && quoted:
				i++
			}
			i++
		}
		i = min(i, len(v))
		switch m := v[start:i]; {
		case len(m) >= 3 && m[0] == 'u' && m[1] == '=' && m[2] >= '0' && m[2] <= '7' && ends(m[3:]):
			p.Level = m[2] - '0'
		case len(m) >= 1 && m[0] == 'i' && ends(m[1:]):
			p.Incremental = true
		case len(m) >= 4 && m[0] == 'i' && m[1] == '=' && m[2] == '?' && (m[3] == '0' || m[3] == '1') && ends(m[4:]):
			p.Incremental = m[3] == '1'
		}
	}
	return p
}

// ends reports whether a member's value ends where rest begins: parameters and
// white space may follow.
func ends(rest []byte) bool {
	return len(rest) == 0 || rest[0] == ';' || rest[0] == ' ' || rest[0] == '\t'
}
