package reverse

import (
	"errors"
	"io"
	"strconv"
	"syscall"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// await waits for the final answer's head and passes interim answers on.
func (c *call) await() *fault.Fault {
	for {
		ok, f := c.line.ParseHead()
		switch {
		case f != nil && c.moreTells(f):
			continue
		case f != nil:
			return f
		case !ok:
		case c.answer.Status < 200 && c.answer.Status != 101:
			if f := c.interim(); f != nil {
				return f
			}
			continue
		default:
			c.a.HeadRead = c.x.Stamp()
			c.wins()
			return nil
		}
		if f := c.fillHead(); f != nil {
			return f
		}
	}
}

// moreTells reads a little more of what is certainly no answer, so that it can
// be named however its bytes arrive.
func (c *call) moreTells(f *fault.Fault) bool {
	return c.line.MoreTells(f) && c.line.Fill(c.p.loop.Now().Add(int64(DefaultGrace))) == nil
}

// fillHead waits for more of a head.
func (c *call) fillHead() *fault.Fault {
	x, o := c.x, c.p.o
	if c.asks {
		got, f := c.ask()
		if got {
			c.a.FirstByte = x.Stamp()
		}
		if got || f != nil {
			return f
		}
	}
	for {
		if f := c.handFault(); f != nil {
			return f
		}
		now := c.p.loop.Now()
		limit := loop.Never
		switch {
		case c.expecting:
			if c.sentAt == 0 {
				c.sentAt = now
			}
			limit = c.sentAt.Add(int64(continueWait))
		case c.sent || c.sendErr != nil:
			if c.sentAt == 0 {
				c.sentAt = now
			}
			limit = c.sentAt.Add(int64(o.FirstByte))
		}
		if r := c.rival; r != nil && r.done {
			if on := c.overtaken(); !on {
				return nil
			}
		}
		limit = min(limit, x.Deadline)
		err := c.line.Fill(min(limit, now.Add(int64(glance)), c.hedgeAt))
		switch {
		case err == nil:
			if c.a.FirstByte == 0 {
				c.a.FirstByte = x.Stamp()
			}
			return nil
		case err == loop.ErrTimeout && c.p.loop.Now() >= c.hedgeAt:
			if c.line.Came() > 0 || !c.sent {
				c.hedgeAt = loop.Never // it has begun, or is not asked yet
				continue
			}
			before := c.a
			if f := c.hedge(); f != nil || c.a != before {
				return f
			}
			continue
		case err == loop.ErrInterrupted, err == loop.ErrTimeout && c.p.loop.Now() < limit:
			// A client of HTTP/2 that cancels its request interrupts us.
			if f := x.Client.Gone(false); f != nil {
				return f
			}
			continue
		case err == loop.ErrTimeout && c.expecting && limit < x.Deadline:
			c.note(fault.ExpectNo100, -1)
			if f := c.goOn(); f != nil {
				return f
			}
			continue
		}
		if f := c.tlsFault(err); f != nil {
			return f
		}
		return c.line.HeadEnded(err, c.circumstances(err, limit))
	}
}

// tlsFault is what TLS says ended the answer. A missing close_notify is one only
// where nothing else could tell a cut (RFC 9112 §9.8).
func (c *call) tlsFault(err error) *fault.Fault {
	if errors.Is(err, loop.ErrTruncated) && c.framing.Body != message.ToClose {
		return nil
	}
	return upstream.TLSFault(err)
}

// handFault is what made the sending hand give up, if that must end the attempt.
// It is asked before each wait: the hand's interrupt may have ended another one.
func (c *call) handFault() *fault.Fault {
	if c.hand.done && c.hand.fault != nil && c.hand.fault != http1.Interrupted {
		return c.hand.fault
	}
	return nil
}

// circumstances gathers what the connection knows when a wait ended badly.
func (c *call) circumstances(err error, limit loop.Time) *http1.Circumstances {
	s := &http1.Circumstances{Reused: c.a.Reused, Upgrade: c.x.Request.Framing.Upgrade,
		SendBroke: c.broke(err), Local: c.sendErr, Limit: c.p.o.FirstByte.String()}
	if err == loop.ErrTimeout {
		if limit == c.x.Deadline {
			s.Total, s.Limit = true, c.x.Patience()
		}
		if c.conn.Shared != nil {
			return s
		}
		if d, ok := c.conn.Stream.Delivery(); ok {
			s.Unacked = d.Acked <= c.conn.SentBefore
		}
		return s
	}
	// Only behind a FIN is it a proof: an application may read a request and reset
	// before its kernel has acknowledged a byte.
	fin := errors.Is(err, io.EOF) || errors.Is(err, loop.ErrTruncated)
	s.Undelivered = fin && c.line.Came() == 0 && upstream.Undelivered(c.conn)
	return s
}

// broke reports whether sending the request has failed, or would: a reset in
// the middle of it is seen by whichever hand looks first.
func (c *call) broke(err error) bool {
	return c.sendErr != nil || !c.sent && !c.expecting && errors.Is(err, syscall.ECONNRESET)
}

// interim deals with one interim answer.
func (c *call) interim() *fault.Fault {
	a, x := c.line, c.x
	h := c.answer
	if h.Major == 1 && h.Minor == 0 {
		return a.FaultAt(fault.InterimOnH10, 0)
	}
	for _, name := range [...]message.Name{message.ContentLength, message.TransferEncoding} {
		if i := h.Find(name); i >= 0 {
			return a.FaultAt(fault.InterimBad, int64(h.Fields[i].Value.Off))
		}
	}
	if a.Interim() >= maxInterims {
		return a.Fault(fault.InterimFlood).With("limit", strconv.Itoa(maxInterims))
	}
	if f := a.Frame(false); f != nil {
		return f
	}
	switch {
	case h.Status != 100:
		if f := x.Interim(h); f != nil {
			return f
		}
	case c.expecting:
		if f := c.goOn(); f != nil {
			return f
		}
	default:
		c.note(fault.InterimUnexpected, -1)
	}
	a.Next()
	return nil
}

// goOn asks the client for its body, and sends it.
func (c *call) goOn() *fault.Fault {
	c.expecting, c.sentAt = false, 0
	if f := c.invite(); f != nil {
		return f
	}
	c.startHand()
	return nil
}
