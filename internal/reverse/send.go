package reverse

import (
	"strconv"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
)

// send hands the request to the kernel. A body that is still coming is left to
// the sending hand, a task of its own, so that an early answer is seen.
func (c *call) send() *fault.Fault {
	x, q := c.x, &c.x.Request
	c.a.Span = x.NextSpan()
	c.onward = x.Onward
	c.onward.Length = -1
	c.onward.Speak10 = c.end.Speaks10.Load() && (q.Framing.Body != message.Streamed || c.body.whole)
	if c.body.whole && (c.onward.Speak10 || c.end.NeedLength.Load()) {
		c.onward.Length = int64(c.body.size())
	}
	c.onward.Expect = q.Framing.Expect && q.Framing.Body != message.NoBody && !c.end.NoExpect.Load() && !c.onward.Speak10 && !c.asked
	c.line.Compose(q, &c.onward)

	switch {
	case q.Framing.Body == message.NoBody:
		// What is there as a whole is sent by the wait for its answer (ask).
		c.line.End(nil)
		c.asks = true
		if c.hedges() {
			c.hedgeAt = c.p.loop.Now().Add(int64(c.p.o.Hedge))
		}
		return nil
	case c.onward.Expect && !c.body.whole:
		c.expecting = true
		return c.push(false)
	case c.body.whole && c.body.spool == nil:
		c.line.Add(c.body.bytes)
		c.line.End(x.Client.Trailer())
		c.asks = true
		return nil
	}
	if f := c.push(false); f != nil {
		return f
	}
	if f := c.invite(); f != nil {
		return f
	}
	c.startHand()
	return nil
}

// ask sends the request, which is composed as a whole, and waits for the first bytes of its
// answer; got says that they came. Whatever ended the wait otherwise will end
// the next one likewise, and is judged there.
func (c *call) ask() (got bool, f *fault.Fault) {
	c.asks = false
	now := c.p.loop.Now()
	until := min(now.Add(int64(c.p.o.FirstByte)), now.Add(int64(glance)), c.x.Deadline, c.hedgeAt)
	sent, err := c.line.AskWhole(until)
	if sent {
		c.sent, c.sentAt = true, now
		c.a.Sent = c.x.At(now)
		return err == nil, nil
	}
	return false, c.push(true)
}

// invite tells a client that waits for a 100 to send its body, once.
func (c *call) invite() *fault.Fault {
	if c.asked || !c.x.Request.Framing.Expect || c.body.whole {
		return nil
	}
	c.asked = true
	return c.x.Continue()
}

// chunked reports whether the request's body is framed as chunks.
func (c *call) chunked() bool {
	return c.x.Request.Framing.Body == message.Streamed && c.onward.Length < 0
}

// push sends what is composed. A broken connection is no fault yet: what the upstream said before
// it broke may be a whole answer, so that await judges.
func (c *call) push(last bool) *fault.Fault {
	until, total := c.p.loop.Now().Add(int64(c.p.o.Send)), false
	if c.x.Deadline < until {
		until, total = c.x.Deadline, true
	}
	switch err := c.line.Send(until); {
	case err == nil:
		if last {
			c.sentWhole()
		}
	case err == loop.ErrTimeout:
		return c.sendTimedOut(total)
	case err == loop.ErrInterrupted:
		return http1.Interrupted
	default:
		c.sendErr = err
		if !c.shared && c.conn.Served == 0 && c.line.Sent() == 0 && c.line.Came() == 0 {
			return fault.New(fault.AcceptThenRST, "delivered", "none", "errno", err.Error()).Because(err)
		}
	}
	return nil
}

func (c *call) sendTimedOut(total bool) *fault.Fault {
	id, limit := fault.WriteTimeout, c.p.o.Send.String()
	if total {
		id, limit = fault.TotalTimeout, c.x.Patience()
	}
	f := fault.New(id, "limit", limit, "got", strconv.FormatInt(c.line.Sent(), 10),
		"received", strconv.FormatInt(c.line.Came(), 10))
	c.line.Stuck(f)
	return f
}

func (c *call) sentWhole() {
	c.sent = true
	c.sentAt = c.p.loop.Now()
	c.a.Sent = c.x.At(c.sentAt)
}

// hand is the sending hand of an attempt whose body is still coming.
type hand struct {
	task  loop.Task
	main  loop.Task
	fault *fault.Fault // of the client's, or of sending
	stop  bool         // it is to end although it need not wait
	done  bool
}

func (c *call) startHand() {
	c.hand = hand{main: c.p.loop.Current()}
	c.hand.task = c.p.loop.Go(func() {
		defer func() {
			if r := recover(); r != nil {
				c.hand.fault = fault.New(fault.GatewayInternalError, "value", "panic in the sending hand")
			}
			c.hand.done = true
			c.hand.main.Interrupt()
		}()
		c.hand.fault = c.pump()
	})
}

// handRuns reports whether a body is still being sent.
func (c *call) handRuns() bool { return c.hand.main != nil && !c.hand.done }

// stopHand ends the sending hand and waits for its end.
func (c *call) stopHand() {
	if c.hand.main == nil {
		return
	}
	c.hand.stop = true
	for !c.hand.done {
		if c.hand.task != nil {
			c.hand.task.Interrupt()
		}
		// The hand interrupts us when it is done; an interrupt of somebody else's
		// (a drain) must not make us leave it behind.
		c.p.loop.Park(loop.Never)
	}
	// Its end may have interrupted a wait of ours that was over already.
	for c.p.loop.Park(1) != loop.ErrTimeout {
	}
	if f := c.hand.fault; f == http1.Interrupted {
		c.hand.fault = nil
	}
	c.hand.main = nil
}

// pump sends what an earlier attempt kept, then what the client sends.
func (c *call) pump() *fault.Fault {
	b := &c.body
	if f := b.replay(c); f != nil || c.sendErr != nil {
		return f
	}
	for !b.whole {
		piece, done, f := c.x.Client.Piece(true)
		if f != nil {
			return f
		}
		c.keepPiece(piece)
		if f := c.sendPiece(piece); f != nil || c.sendErr != nil {
			return f
		}
		if done {
			b.whole = true
			c.x.Trail.BodyRead = c.x.Stamp()
		}
	}
	c.line.End(c.x.Client.Trailer())
	if f := c.push(false); f != nil || c.sendErr != nil {
		return f
	}
	c.sentWhole()
	return nil
}

func (c *call) sendPiece(piece []byte) *fault.Fault {
	if c.hand.stop {
		return http1.Interrupted
	}
	if len(piece) == 0 {
		return nil
	}
	c.line.Add(piece)
	return c.push(false)
}
