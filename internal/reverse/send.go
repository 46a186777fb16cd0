package reverse

import (
	"strconv"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// send hands the request to the kernel. A body that is still coming is left to
// the sending hand, a task of its own, so that an early answer is seen.
func (c *call) send() *fault.Fault {
	x, q := c.x, &c.x.Request
	c.onward = x.Onward
	c.onward.Length = -1
	c.onward.Speak10 = c.end.Speaks10.Load() && (q.Framing.Body != message.Streamed || c.body.whole)
	if c.body.whole && (c.onward.Speak10 || c.end.NeedLength.Load()) {
		c.onward.Length = int64(c.body.size())
	}
	c.onward.Expect = q.Framing.Expect && q.Framing.Body != message.NoBody && !c.end.NoExpect.Load() && !c.onward.Speak10 && !c.asked
	c.out = http1.AppendRequest(c.out[:0], q, &c.onward)

	switch {
	case q.Framing.Body == message.NoBody:
		c.hold(c.out, nil)
		return nil
	case c.onward.Expect && !c.body.whole:
		c.expecting = true
		return c.push(c.out, nil, false)
	case c.body.whole && c.body.spool == nil:
		if c.chunked() {
			c.out = appendWhole(c.out, c.body.bytes, c)
			c.hold(c.out, nil)
		} else {
			c.hold(c.out, c.body.bytes)
		}
		return nil
	}
	if f := c.push(c.out, nil, false); f != nil {
		return f
	}
	if f := c.invite(); f != nil {
		return f
	}
	c.startHand()
	return nil
}

// hold leaves a request that is there as a whole to the wait for its answer,
// which sends it (ask).
func (c *call) hold(first, second []byte) { c.held[0], c.held[1], c.asks = first, second, true }

// ask sends the request that is held and waits for the first bytes of its
// answer; got says that they came. Whatever ended the wait otherwise will end
// the next one likewise, and is judged there.
func (c *call) ask() (got bool, f *fault.Fault) {
	c.asks = false
	now := c.p.loop.Now()
	until := min(now.Add(int64(c.p.o.FirstByte)), now.Add(int64(glance)), c.x.Deadline)
	first, second := c.held[0], c.held[1]
	n, err := c.answer.Ask(first, second, until)
	c.sentBytes += int64(n)
	if n == len(first)+len(second) {
		c.sent, c.sentAt = true, now
		c.a.Sent = c.x.At(now)
		return err == nil, nil
	}
	if n < len(first) {
		first = first[n:]
	} else {
		first, second = nil, second[n-len(first):]
	}
	return false, c.push(first, second, true)
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

func appendWhole(dst, body []byte, c *call) []byte {
	if len(body) > 0 {
		dst = append(append(h1.AppendChunk(dst, len(body)), body...), "\r\n"...)
	}
	dst = append(dst, "0\r\n"...)
	if t := c.x.Client.Trailer(); t != nil {
		dst = h1.AppendFields(dst, t)
	}
	return append(dst, "\r\n"...)
}

// push sends. A broken connection is no fault yet: what the upstream said before
// it broke may be a whole answer, so that await judges.
func (c *call) push(first, second []byte, last bool) *fault.Fault {
	until, total := c.p.loop.Now().Add(int64(c.p.o.Send)), false
	if c.x.Deadline < until {
		until, total = c.x.Deadline, true
	}
	n, err := c.conn.Stream.Send(first, second, until)
	c.sentBytes += int64(n)
	switch {
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
		if c.conn.Served == 0 && c.sentBytes == 0 && c.answer.In.Len() == 0 {
			return fault.New(fault.AcceptThenRST, "delivered", "none", "errno", err.Error()).Because(err)
		}
	}
	return nil
}

func (c *call) sendTimedOut(total bool) *fault.Fault {
	id, limit := fault.WriteTimeout, c.p.o.Send.String()
	if total {
		id, limit = fault.TotalTimeout, c.x.Opts.Total.String()
	}
	f := fault.New(id, "limit", limit, "got", strconv.FormatInt(c.sentBytes, 10),
		"received", strconv.FormatInt(c.answer.Received, 10))
	if d, ok := c.conn.Stream.Delivery(); ok {
		f.With("count", strconv.FormatUint(d.Unacked+d.Unsent, 10))
	}
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
	if c.chunked() {
		c.out = appendWhole(c.out[:0], nil, c)
		if f := c.push(c.out, nil, false); f != nil || c.sendErr != nil {
			return f
		}
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
	if !c.chunked() {
		return c.push(piece, nil, false)
	}
	c.out = h1.AppendChunk(c.out[:0], len(piece))
	if f := c.push(c.out, piece, false); f != nil || c.sendErr != nil {
		return f
	}
	return c.push(crlf, nil, false)
}

var crlf = []byte("\r\n")
