package http2

import (
	"strconv"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
)

func number(n int) string { return strconv.Itoa(n) }

// frames takes in all whole frames that have come. It returns false when the
// connection is over.
func (c *Server) frames() bool {
	if c.greet && !c.greeting() {
		return !c.over
	}
	for !c.over && c.broken == nil {
		b := c.in.Bytes()
		if len(b) < h2.HeaderLen {
			return true
		}
		h := h2.ParseHeader(b)
		e := h.Check(h2.DefaultFrameSize)
		if !e.Ok() && !e.Stream {
			c.wrong(e, h)
			return false
		}
		n := h2.HeaderLen + int(h.Length)
		if len(b) < n {
			return true
		}
		if e.Ok() {
			e = c.frame(h, b[h2.HeaderLen:n])
		}
		if !e.Ok() {
			if !e.Stream {
				c.wrong(e, h)
				return false
			}
			c.reset(h.Stream, e.Code())
		}
		c.in.Consume(n)
		if c.swamped() {
			return !c.over
		}
	}
	return false
}

// greeting takes the client's preface; false if it is not whole yet, or wrong.
func (c *Server) greeting() bool {
	b := c.in.Bytes()
	n := min(len(b), len(h2.Preface))
	if string(b[:n]) != h2.Preface[:n] {
		c.host.Failed(fault.New(fault.RequestH2Error, "code", h2.ProtocolError.String(), "flaw", "the connection does not begin with the preface of HTTP/2"))
		c.fail(h2.ProtocolError, "no preface")
		return false
	}
	if n < len(h2.Preface) {
		return false
	}
	// "The client connection preface [...] MUST be followed by a SETTINGS frame"
	// https://www.rfc-editor.org/rfc/rfc9113#section-3.4-2
	if len(b) < n+h2.HeaderLen {
		return false
	}
	if h := h2.ParseHeader(b[n:]); h.Type != h2.Settings || h.Has(h2.Ack) {
		c.violation(h2.ProtocolError, "SETTINGS is not the first frame")
		return false
	}
	c.in.Consume(n)
	c.greet = false
	return true
}

// wrong ends the connection because of a flaw.
func (c *Server) wrong(e h2.Error, h h2.Header) {
	c.violation(e.Code(), words[e.Flaw]+" ("+typeName(h.Type)+")")
}

// violation ends the connection because the client broke a rule.
func (c *Server) violation(code h2.Code, flaw string) {
	if c.over {
		return
	}
	c.host.Failed(fault.New(fault.RequestH2Error, "code", code.String(), "flaw", flaw))
	c.fail(code, flaw)
}

// flood ends the connection of a client that only makes work.
func (c *Server) flood(limit int32, frame string) {
	if c.over {
		return
	}
	c.flooded = true
	c.host.Failed(fault.New(fault.RequestH2Flood, "limit", number(int(limit)), "frame", frame))
	c.fail(h2.EnhanceYourCalm, "flood")
}

// bear takes in a frame that brings no request nearer.
func (c *Server) bear(h h2.Header) {
	if !c.floods.take(1, c.loop.Now()) {
		c.flood(c.floods.most, typeName(h.Type))
	}
}

// count counts a reset, whoever made it: a client that makes us reset its streams
// costs what one does that resets them itself (CVE-2023-44487, CVE-2025-8671).
func (c *Server) count() {
	if !c.resets.take(1, c.loop.Now()) {
		c.flood(c.resets.most, "RST_STREAM")
	}
}

var okay h2.Error

// These flaws are about the order of frames, of which no codec knows. They are told
// with the code of the RFC and a clause.
func (c *Server) frame(h h2.Header, p []byte) h2.Error {
	if c.blockOf != 0 && (h.Type != h2.Continuation || h.Stream != c.blockOf) {
		c.violation(h2.ProtocolError, typeName(h.Type)+" in the middle of a field block")
		return okay
	}
	switch h.Type {
	case h2.Data:
		return c.data(h, p)
	case h2.Headers:
		return c.headers(h, p)
	case h2.Continuation:
		return c.continuation(h, p)
	case h2.Settings:
		return c.settings(h, p)
	case h2.WindowUpdate:
		return c.windowUpdate(h, p)
	case h2.Ping:
		c.ping(h, p)
	case h2.RSTStream:
		c.resetCame(h)
	case h2.Priority:
		c.bear(h)
		return h.CheckPriority(p)
	case h2.PriorityUpdate:
		c.bear(h)
		c.priorityUpdate(p)
	case h2.GoAway:
		c.bear(h) // it will begin no more requests; those that run are answered
	case h2.PushPromise:
		// "A client cannot push." https://www.rfc-editor.org/rfc/rfc9113#section-8.4-5
		c.violation(h2.ProtocolError, "PUSH_PROMISE from a client")
	default:
		c.bear(h)
	}
	return okay
}

// settings takes in what the client wants.
func (c *Server) settings(h h2.Header, p []byte) h2.Error {
	c.bear(h)
	if h.Has(h2.Ack) {
		c.dec.Acknowledged()
		return okay
	}
	for i := range len(p) / 6 {
		s, e := h2.SettingAt(p, i)
		if !e.Ok() {
			return e
		}
		switch s.ID {
		case h2.HeaderTableSize:
			c.untable = s.Value < h2.DefaultTable
		case h2.MaxFrameSizeID:
			c.most = int(s.Value)
		case h2.InitialWindowSize:
			if !c.resize(int64(s.Value) - c.initial) {
				c.violation(h2.FlowControlError, "SETTINGS_INITIAL_WINDOW_SIZE makes a window larger than 2^31-1")
				return okay
			}
			c.initial = int64(s.Value)
		}
	}
	c.control = h2.AppendSettingsAck(c.control)
	c.kick()
	return okay
}

// resize changes the windows of all streams (RFC 9113 §6.9.2).
func (c *Server) resize(by int64) bool {
	for i := range c.find {
		for s := c.find[i]; s != nil; s = s.next {
			s.room += by
			if s.room > h2.MaxWindow {
				return false
			}
			if by > 0 {
				s.opened()
			}
		}
	}
	return true
}

func (c *Server) windowUpdate(h h2.Header, p []byte) h2.Error {
	c.bear(h)
	n, e := h.ParseIncrement(p)
	if h.Stream == 0 {
		if !e.Ok() {
			return e
		}
		if c.room += int64(n); c.room > h2.MaxWindow {
			c.violation(h2.FlowControlError, "WINDOW_UPDATE makes the connection's window larger than 2^31-1")
			return okay
		}
		if c.waiting > 0 {
			c.kick()
		}
		return okay
	}
	s := c.lookup(h.Stream)
	if s == nil {
		return c.stray(h)
	}
	if !e.Ok() {
		return e
	}
	if s.room += int64(n); s.room > h2.MaxWindow {
		c.reset(h.Stream, h2.FlowControlError)
		return okay
	}
	s.opened()
	return okay
}

// stray judges a frame for a stream that is not open.
func (c *Server) stray(h h2.Header) h2.Error {
	// "Receiving any frame other than HEADERS or PRIORITY on a stream in [idle] state
	// MUST be treated as a connection error of type PROTOCOL_ERROR."
	// https://www.rfc-editor.org/rfc/rfc9113#section-5.1-7.2.2
	// "After sending a GOAWAY frame, the sender can discard frames for streams
	// initiated by the receiver with identifiers higher than the identified last
	// stream." https://www.rfc-editor.org/rfc/rfc9113#section-6.8
	if h.Stream > c.last && h.Stream%2 == 1 && c.parted {
		return okay
	}
	if h.Stream > c.last || h.Stream%2 == 0 {
		c.violation(h2.ProtocolError, typeName(h.Type)+" on a stream that was not begun")
	}
	return okay
}

func (c *Server) ping(h h2.Header, p []byte) {
	c.bear(h)
	data := [8]byte(p)
	if !h.Has(h2.Ack) {
		c.control = h2.AppendPing(c.control, data, true)
		c.kick()
		return
	}
	switch {
	case data == drainPing && c.draining:
		c.part()
	case data == probePing && c.probing:
		c.probing = false
		// As much as the window lets through has come in one round trip: the window
		// is what holds the upload up.
		if c.sample >= c.target*2/3 {
			c.target = min(2*c.target, c.memory())
		}
	}
}

func (c *Server) resetCame(h h2.Header) {
	s := c.lookup(h.Stream)
	if s == nil {
		c.stray(h)
		c.bear(h)
		return
	}
	c.count()
	s.die(errReset, wasReset)
}

func (c *Server) priorityUpdate(p []byte) {
	id, field := h2.ParsePriorityUpdate(p)
	if s := c.lookup(id); s != nil {
		s.prioritise(h2.ParseUrgency(field))
	}
}

func (c *Server) headers(h h2.Header, p []byte) h2.Error {
	fragment, e := h.Fragment(p)
	if !e.Ok() && !e.Stream {
		return e
	}
	if h.Stream%2 == 0 {
		c.violation(h2.ProtocolError, "a request on a stream with an even number")
		return okay
	}
	if h.Has(h2.EndHeaders) {
		return c.section(h.Stream, fragment, h.Has(h2.EndStream), e)
	}
	c.block = append(c.block[:0], fragment...)
	c.blockOf, c.blockEnd, c.blockFlaw = h.Stream, h.Has(h2.EndStream), e
	c.blockUntil = c.loop.Now().Add(int64(c.o.Head))
	return okay
}

func (c *Server) continuation(h h2.Header, p []byte) h2.Error {
	if c.blockOf == 0 {
		c.violation(h2.ProtocolError, "CONTINUATION without a field block")
		return okay
	}
	c.bear(h)
	// A head over its limit is read to its end for the table's sake, but not one that
	// even compressed is longer than the limit (CERT VU#421644).
	if len(c.block)+len(p) > c.dec.Limits().Head {
		c.flood(int32(c.dec.Limits().Head), "bytes of CONTINUATION")
		return okay
	}
	c.block = append(c.block, p...)
	if !h.Has(h2.EndHeaders) {
		return okay
	}
	id := c.blockOf
	c.blockOf = 0
	e := c.section(id, c.block, c.blockEnd, c.blockFlaw)
	if cap(c.block) > h2.DefaultFrameSize {
		c.block = nil
	}
	return e
}

// section takes in a whole field block.
func (c *Server) section(id uint32, b []byte, end bool, flaw h2.Error) h2.Error {
	if s := c.lookup(id); s != nil {
		return s.trailers(b, end)
	}
	if id <= c.last {
		if e := c.dec.Skip(b); !e.Ok() {
			return e
		}
		switch how := c.recall(id); how {
		case forgotten:
			// "An endpoint that receives an unexpected stream identifier MUST respond
			// with a connection error of type PROTOCOL_ERROR."
			// https://www.rfc-editor.org/rfc/rfc9113#section-5.1.1-5
			c.violation(h2.ProtocolError, "a request on a stream before the last one")
		case wasEnded:
			c.violation(h2.StreamClosed, "HEADERS on a stream that has ended")
		case wasReset:
			c.reset(id, h2.StreamClosed)
		default: // it was under way when we reset the stream
			c.bear(h2.Header{Type: h2.Headers})
		}
		return okay
	}
	if c.parted {
		return c.dec.Skip(b) // GOAWAY has said that it is not served
	}
	c.last = id
	if !flaw.Ok() || c.open >= c.requests() || c.live >= 2*c.requests() {
		if e := c.dec.Skip(b); !e.Ok() {
			return e
		}
		code := h2.RefusedStream
		if !flaw.Ok() {
			code = flaw.Code()
		}
		c.count()
		c.putReset(id, code)
		c.remember(id, wasCut)
		return okay
	}
	s := c.take(id)
	e := c.dec.Request(b, &s.request, end)
	if !e.Ok() && !e.Stream {
		s.Release()
		return e
	}
	s.headTaken(len(b), end, e)
	c.first, c.idle = false, 0
	c.live++
	c.loop.Spawn(s.run)
	return okay
}

func (c *Server) data(h h2.Header, p []byte) h2.Error {
	data, e := h.Data(p)
	if !e.Ok() {
		return e
	}
	n := int64(len(p))
	if c.window -= n; c.window < 0 {
		c.violation(h2.FlowControlError, "more DATA than the connection's window allows")
		return okay
	}
	if len(data) == 0 && !h.Has(h2.EndStream) {
		c.bear(h)
	}
	s := c.lookup(h.Stream)
	if s == nil || s.remote {
		c.unread += n
		c.giveBack(0)
		if s != nil { // half closed (remote)
			c.reset(h.Stream, h2.StreamClosed)
			return okay
		}
		if e := c.stray(h); !e.Ok() || c.over {
			return e
		}
		switch c.recall(h.Stream) {
		case wasEnded:
			c.violation(h2.StreamClosed, "DATA on a stream that has ended")
		case wasReset:
			c.reset(h.Stream, h2.StreamClosed)
		default:
			c.bear(h)
		}
		return okay
	}
	c.sample += n
	return s.dataCame(data, n, h.Has(h2.EndStream))
}

// giveBack returns n bytes, and what else was set free, to the connection's window
// when they are worth a frame.
func (c *Server) giveBack(n int64) {
	c.unread += n
	if c.unread >= c.memory()/2 && !c.over && c.broken == nil {
		c.control = h2.AppendWindowUpdate(c.control, 0, int32(c.unread))
		c.window += c.unread
		c.unread = 0
		c.kick()
	}
}

// reset ends a stream because of what the client did on it.
func (c *Server) reset(id uint32, code h2.Code) {
	if id == 0 || id > c.last {
		// PRIORITY may be about a stream that is not begun, and is to be reset all the
		// same when it is malformed.
		c.bear(h2.Header{Type: h2.Priority, Stream: id})
	}
	c.count()
	if c.over {
		return
	}
	c.putReset(id, code)
	if s := c.lookup(id); s != nil {
		s.die(errReset, wasCut)
	} else {
		c.remember(id, wasCut)
	}
}

func (c *Server) slot(id uint32) **Stream { return &c.find[id>>1&uint32(len(c.find)-1)] }

// lookup returns the open stream with this number, nil if there is none.
func (c *Server) lookup(id uint32) *Stream {
	for s := *c.slot(id); s != nil; s = s.next {
		if s.id == id {
			return s
		}
	}
	return nil
}

// fate is how a stream ended.
type fate uint8

const (
	forgotten fate = iota
	wasEnded       // both sides said END_STREAM
	wasReset       // by the client: what it still sends is a mistake
	wasCut         // by us: what the client still sends may have been under way
)

// remember notes that a stream has ended.
func (c *Server) remember(id uint32, how fate) {
	for i := range c.gone {
		if c.gone[i].id == id {
			c.gone[i].how = max(c.gone[i].how, how)
			return
		}
	}
	c.gone[c.ngone%goneStreams] = goneStream{id, how}
	c.ngone++
}

func (c *Server) recall(id uint32) fate {
	for i := range c.gone {
		if c.gone[i].id == id {
			return c.gone[i].how
		}
	}
	return forgotten
}

// shut takes a stream out of those that are open.
func (c *Server) shut(s *Stream, how fate) {
	if !s.open {
		return
	}
	s.open = false
	for at := c.slot(s.id); *at != nil; at = &(*at).next {
		if *at == s {
			*at = s.next
			break
		}
	}
	s.next = nil
	c.open--
	c.leaveLine(s)
	c.remember(s.id, how)
}
