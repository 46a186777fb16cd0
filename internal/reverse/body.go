package reverse

import (
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
)

// relay passes the answer on. A small one is held back until it is whole or the
// grace is over: until then a cut can be rescued, and nobody sees half an answer.
func (c *call) relay() *fault.Fault {
	if !c.sent {
		c.early()
	}
	if b := c.framing.Body; b == message.Sized || b == message.NoBody {
		return c.relaySized()
	}
	return c.relayStream()
}

// early deals with a final answer to a request that was not sent whole.
func (c *call) early() {
	if c.x.GRPC() && c.answer.Status < 300 {
		return // both sides of a call may speak at the same time
	}
	c.note(fault.EarlyResponse, -1)
	if c.answer.Status >= 300 || c.expecting {
		// The server does not want the rest; sending it would only provoke a reset.
		c.stopHand()
		if !c.x.Client.BodyDone() {
			c.x.CloseAfter()
		}
	}
}

func (c *call) relaySized() *fault.Fault {
	a, x := c.line, c.x
	body, whole := a.WholeBody()
	if !whole && c.holds() && a.Room() {
		grace := c.p.loop.Now().Add(int64(c.grace()))
		for !whole {
			if over, f := c.fillBody(grace); f != nil {
				return f
			} else if over {
				break
			}
			body, whole = a.WholeBody()
		}
	}
	if !whole {
		x.Begin(c.answer, c.framing)
		return c.stream()
	}
	a.TakeBody(len(body))
	if f := c.follow(body); f != nil {
		return f
	}
	if f := c.concluded(nil); f != nil {
		return f
	}
	c.checkPlainToTLS(body)
	if c.tryElsewhere() {
		x.Begin(c.answer, c.framing)
		if f := x.Add(body); f != nil {
			return f
		}
		return c.stash()
	}
	if !c.sent && !x.Client.BodyDone() {
		x.CloseAfter()
	}
	x.Begin(c.answer, c.framing)
	c.keep()
	return x.FinishWith(body)
}

// holds reports whether this answer may be held back at all: what is sent piece
// by piece to be seen piece by piece must not be.
func (c *call) holds() bool { return c.p.o.Grace > 0 && !c.framing.Events }

// grace is how long this answer is held back. A call may be a stream of messages,
// each of which somebody waits for, and is hardly ever sent again.
func (c *call) grace() time.Duration {
	if c.x.GRPC() {
		return min(c.p.o.Grace, callGrace)
	}
	return c.p.o.Grace
}

// relayStream passes on an answer whose length nobody declared.
func (c *call) relayStream() *fault.Fault {
	a, x := c.line, c.x
	x.Begin(c.answer, c.framing)
	if !c.holds() {
		return c.stream()
	}
	grace := c.p.loop.Now().Add(int64(c.grace()))
	for {
		if done, f := c.pieces(); f != nil {
			x.Reject()
			return f
		} else if done {
			return c.finish()
		}
		if !a.Room() {
			return c.stream()
		}
		over, f := c.fillBody(grace)
		if f == errFinished {
			return c.finish()
		}
		if f != nil {
			x.Reject()
			return f
		}
		if over {
			return c.stream()
		}
	}
}

// pieces hands what has come to the client's side.
func (c *call) pieces() (done bool, f *fault.Fault) {
	for {
		piece, done, f := c.line.Piece()
		if f != nil {
			return false, f
		}
		if len(piece) > 0 {
			if f := c.follow(piece); f != nil {
				return false, f
			}
			if f := c.x.Add(piece); f != nil {
				return false, f
			}
		}
		if done || len(piece) == 0 {
			return done, nil
		}
	}
}

// stream sends on as it comes: the answer has begun, a fault is now a visible cut.
func (c *call) stream() *fault.Fault {
	a, x := c.line, c.x
	first := a.First()
	c.first = append(c.first[:0], first[:min(len(first), evidenceFirst)]...)
	x.Release()
	if _, f := c.pieces(); f != nil { // with the head still in place, so that offsets hold
		if x.Begun() {
			x.Flush()
		} else {
			x.Reject() // another attempt may do better
		}
		return f
	}
	a.DropHead()
	for !a.Done() {
		if f := x.Flush(); f != nil {
			return f
		}
		a.Idle()
		_, f := c.fillBody(loop.Never)
		if f == errFinished {
			break
		}
		if f != nil {
			return f
		}
		if _, f := c.pieces(); f != nil {
			return f
		}
	}
	return c.finish()
}

// errFinished says that the end of the stream ended the message in order. It
// never leaves this file.
var errFinished = &fault.Fault{}

// fillBody waits for more of a body; over means that the moment `hold` came first.
func (c *call) fillBody(hold loop.Time) (over bool, f *fault.Fault) {
	a, x := c.line, c.x
	limit := min(c.p.loop.Now().Add(int64(c.p.o.Read)), x.Deadline)
	for {
		if f := c.handFault(); f != nil {
			return false, f
		}
		now := c.p.loop.Now()
		until := min(limit, hold, now.Add(int64(glance)))
		err := loop.ErrNoSplice
		if hold == loop.Never {
			var f *fault.Fault
			if f, err = c.splice(until); f != nil {
				return false, f
			}
		}
		if err == loop.ErrNoSplice {
			err = a.Fill(until)
		}
		switch {
		case err == nil:
			return false, nil
		case err == loop.ErrInterrupted:
			if f := x.Client.Gone(x.Begun()); f != nil {
				return false, f
			}
			continue
		case err == loop.ErrFull:
			return true, nil
		case err == loop.ErrTimeout && c.p.loop.Now() < limit:
			if c.p.loop.Now() >= hold {
				return true, nil
			}
			if f := x.Client.Gone(x.Begun()); f != nil {
				return false, f
			}
			continue
		}
		if err != loop.ErrTimeout {
			if f := c.finishes(err); f != nil {
				return false, f
			}
		}
		if f := c.tlsFault(err); f != nil {
			return false, f
		}
		s := c.circumstances(err, limit)
		if !s.Total {
			s.Limit = c.p.o.Read.String()
		}
		return false, a.BodyEnded(err, s)
	}
}

// spliceable is an upstream's side whose body can go straight to a stream.
type spliceable interface {
	Spliceable() bool
	Splice(to loop.Stream, until loop.Time, stall int64, end loop.Time) (got, sent int64, err error)
}

// splice sends what comes of a large body straight to the client. f is a fault at
// the client's side, err is how the wait for the upstream ended, as in Fill:
// ErrNoSplice if the body must be copied.
func (c *call) splice(until loop.Time) (f *fault.Fault, err error) {
	a, ok := c.line.(spliceable)
	if !ok || c.copies || c.calling.on || !a.Spliceable() {
		return nil, loop.ErrNoSplice
	}
	to := c.x.Direct()
	if to == nil {
		return nil, loop.ErrNoSplice
	}
	got, sent, err := a.Splice(to, until, int64(c.x.Opts.Times.Reply), c.x.Deadline)
	if sent < got {
		return c.x.Passed(sent, err), nil
	}
	c.copies = err == loop.ErrNoSplice
	return c.x.Passed(sent, nil), err
}

// finishes returns errFinished if the end of the stream is the end of the
// message, nil if it is a cut.
func (c *call) finishes(err error) *fault.Fault {
	if c.line.Unfinished(err) {
		return nil
	}
	if c.framing.Body == message.ToClose {
		c.note(fault.BodyCloseDelimitedFIN, c.line.Came())
	}
	c.framing.Close = true
	return errFinished
}

// finish completes a streamed answer.
func (c *call) finish() *fault.Fault {
	c.receipts()
	trailer := c.line.Trailer()
	if f := c.concluded(trailer); f != nil {
		if !c.x.Begun() {
			c.x.Reject()
		}
		return f
	}
	if !c.x.Request.Framing.Trailers {
		trailer = nil // the client did not say that it reads them (RFC 9110 §6.5.1)
	}
	if c.tryElsewhere() {
		return c.stash()
	}
	// The trailer lies in the input: the connection may go, the input must stay.
	c.keep()
	return c.x.Finish(trailer)
}

// keep gives the connection back to its pool, before the answer is sent: a slow
// client must not keep it from others.
func (c *call) keep() {
	clean := c.checkExtra()
	if !clean || c.framing.Close || !c.sent || c.sendErr != nil || c.handRuns() {
		return // dropped at the attempt's end
	}
	conn := c.conn
	c.conn = nil
	c.p.pool.Keep(conn, time.Duration(c.framing.KeepAlive)*time.Second)
}

// tryElsewhere reports whether this whole answer, an upstream's own 502 or 503,
// is worth one try elsewhere before the client gets it.
func (c *call) tryElsewhere() bool {
	s := c.answer.Status
	if s != 502 && s != 503 || c.elsewhere || !c.idempotent || !c.untried() || c.x.Begun() || !c.replayable() ||
		c.x.Trail.N+1 > c.attempts() || c.p.loop.Now() >= c.x.Deadline || !c.p.pool.Withdraw() {
		return false
	}
	c.elsewhere = true
	return true
}

// stash keeps the whole answer in case that nobody has a better one.
func (c *call) stash() *fault.Fault {
	f := c.line.Fault(fault.UpstreamGatewayError)
	if c.x.Trail.UpstreamStatus == 0 {
		c.x.Trail.UpstreamStatus = c.answer.Status
	}
	c.keep()
	c.x.Stash()
	c.anew = true
	return f
}
