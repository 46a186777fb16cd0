package accesslog

// Endpoint is an endpoint that came from one state to another: what is told between
// the requests, so that the log says why they went elsewhere. One without Endpoint is about
// the upstream as a whole, which panics or is calm.
type Endpoint struct {
	At                 int64 // wall clock, nanoseconds since 1970
	Upstream, Endpoint string
	From, To           string
	Why                string // a clause
	Fault              string // id of the last failure; "" if there is none
	For                int64  // nanoseconds that it is left out for, at most; 0 if nobody knows
}

// Endpoint writes a line for e. It may be called from anywhere and does not wait; the
// line stands before those of requests that still wait for others.
func (s *Sink) Endpoint(e *Endpoint) {
	s.event(AppendEndpoint(nil, s.eventFormat(), e))
}

// AppendEndpoint appends the line of e in the given format, with its line end.
func AppendEndpoint(dst []byte, f Format, e *Endpoint) []byte {
	if f == JSON {
		dst = append(dst, `{"ts":"`...)
		dst = appendTime(dst, e.At)
		dst = append(dst, `","kind":"endpoint"`...)
		dst = appendString(dst, "upstream", e.Upstream)
		dst = appendString(dst, "endpoint", e.Endpoint)
		dst = appendString(dst, "from", e.From)
		dst = appendString(dst, "to", e.To)
		dst = appendString(dst, "why", e.Why)
		dst = appendString(dst, "fault", e.Fault)
		if e.For > 0 {
			dst = append(dst, `,"for_ms":`...)
			dst = appendMillis(dst, e.For)
		}
		return append(dst, "}\n"...)
	}
	dst = appendClock(dst, e.At)
	if e.Endpoint == "" {
		dst = appendEscaped(append(dst, "  upstream "...), e.Upstream)
		if e.To == "panic" {
			dst = append(dst, " panics: "...)
		} else {
			dst = append(append(append(dst, " is "...), e.To...), ": "...)
		}
		return append(appendEscaped(dst, e.Why), '\n')
	}
	dst = append(dst, "  endpoint "...)
	dst = appendEscaped(dst, e.Endpoint)
	if e.Upstream != "" {
		dst = append(dst, " of "...)
		dst = appendEscaped(dst, e.Upstream)
	}
	dst = append(dst, " is "...)
	if e.From == e.To {
		dst = append(dst, "still "...)
	}
	if e.To == "maintenance" {
		dst = append(dst, "in "...)
	}
	dst = append(dst, e.To...)
	if e.For > 0 {
		dst = append(dst, " for "...)
		dst = appendInt(dst, (e.For+5e8)/1e9)
		dst = append(dst, " s"...)
	}
	dst = append(dst, ": "...)
	dst = appendEscaped(dst, e.Why)
	if e.Fault != "" {
		dst = append(dst, " ("...)
		dst = append(dst, e.Fault...)
		dst = append(dst, ')')
	}
	return append(dst, '\n')
}
