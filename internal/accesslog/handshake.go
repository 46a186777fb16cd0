package accesslog

import "time"

// Handshake is a TLS handshake of a client that failed, or a PROXY header that was
// refused: there was no request, so no exchange tells of it.
type Handshake struct {
	At     int64  // wall clock, nanoseconds since 1970
	Client []byte // address without port, as text
	Why    string
	// Introduction: it was about the PROXY header.
	Introduction bool
	// More counts the failures since the last line that have none of their own.
	More int64
}

// handshakesEvery is the least time between two lines about handshakes of one
// loop: whoever scans ports, or floods them, must not fill the disk.
const handshakesEvery = time.Second

// Handshake appends a line for h, at most one a second: those in between are
// counted only, and the next line says how many they were.
func (l *Local) Handshake(h *Handshake) {
	now := l.loop.Now()
	if now < l.quiet || len(l.buf) >= l.sink.o.Backlog {
		l.handshakes++
		return
	}
	l.quiet = now.Add(int64(handshakesEvery))
	h.More, l.handshakes = l.handshakes, 0
	if l.sink.o.Events != nil {
		l.sink.event(AppendHandshake(nil, Text, h))
		return
	}
	l.buf = AppendHandshake(l.buf, l.sink.eventFormat(), h)
	l.kick()
}

// AppendHandshake appends the line of h in the given format, with its line end.
func AppendHandshake(dst []byte, f Format, h *Handshake) []byte {
	if f == JSON {
		dst = append(dst, `{"ts":"`...)
		dst = appendTime(dst, h.At)
		if h.Introduction {
			dst = append(dst, `","kind":"proxy-header"`...)
		} else {
			dst = append(dst, `","kind":"handshake"`...)
		}
		dst = appendMember(dst, "client.address", h.Client)
		dst = appendString(dst, "error.message", h.Why)
		dst = appendNumber(dst, "more", h.More)
		return append(dst, "}\n"...)
	}
	dst = appendClock(dst, h.At)
	if h.Introduction {
		dst = append(dst, "  PROXY header of "...)
		dst = appendEscaped(dst, h.Client)
		dst = append(dst, " refused: "...)
	} else {
		dst = append(dst, "  TLS with "...)
		dst = appendEscaped(dst, h.Client)
		dst = append(dst, " failed: "...)
	}
	dst = appendEscaped(dst, h.Why)
	if h.More > 0 {
		dst = append(dst, ", and "...)
		dst = appendInt(dst, h.More)
		dst = append(dst, " more since the last such line"...)
	}
	return append(dst, '\n')
}
