package exchange

import (
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/explain"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// reply is the answer on its way to the client. Until the first byte is sent it
// can be taken back, and another one made.
type reply struct {
	out      []byte // composed and not sent
	kind     message.BodyKind
	minor    uint8 // of the client
	head     bool  // the request's method was HEAD
	close    bool  // the connection ends after this answer
	hold     bool  // keep everything in out
	begun    bool  // the client has seen a byte of the final answer
	whole    bool  // it has seen all of it
	upgraded bool
	broken   bool // the client's connection is of no more use
	late     bool // out begins with the CRLF that ends the last chunk sent

	stashed       []byte // a whole answer kept in case that there is no better one
	stashedStatus int
}

func (r *reply) reset() { *r = reply{out: r.out[:0]} }

// Stash completes the answer that is held back and keeps it: Unstash sends it
// when another attempt found nothing better.
func (x *Exchange) Stash() {
	r := &x.reply
	if r.kind == message.Streamed {
		r.out = append(r.out, "0\r\n\r\n"...)
	}
	r.stashed, r.stashedStatus = append(r.stashed[:0], r.out...), x.Trail.Status
	x.Reject()
}

// Stashed reports whether an answer is kept.
func (x *Exchange) Stashed() bool { return x.reply.stashed != nil }

// Unstash sends the answer that was kept.
func (x *Exchange) Unstash() *fault.Fault {
	x.Trail.Status = x.reply.stashedStatus
	f := x.send(x.reply.stashed, nil)
	if f == nil {
		x.done()
	}
	return f
}

// together is the size up to which a piece is copied behind the head, to leave
// in one packet with it; above it a second slice for the kernel is cheaper.
const together = 4 << 10

// flushAt is how much of small pieces is gathered before it is sent.
const flushAt = 16 << 10

// Begin composes the answer's head from an upstream's and holds it back until
// Release: until then Reject takes it all back. f is the upstream's framing.
func (x *Exchange) Begin(h *message.Head, f *message.Framing) {
	r := &x.reply
	r.out, r.hold, r.late = r.out[:0], true, false
	r.close = r.close || x.server.draining
	r.kind = f.Body
	if f.Body == message.Streamed || f.Body == message.ToClose {
		// A close-delimited answer is framed as chunks, so that a cut can be told
		// from its end (RFC 9112 §8).
		r.kind = message.Streamed
		if r.minor == 0 {
			r.kind, r.close = message.ToClose, true
		}
	}
	back := message.Back{Minor: r.minor, Body: r.kind, Length: f.Length, Close: r.close, Via: x.via}
	if !f.Dated {
		// "A recipient with a clock that receives a response message without a Date
		// header field MUST record the time it was received and append a
		// corresponding Date header field to the message's header section if it is
		// cached or forwarded downstream."
		// https://www.rfc-editor.org/rfc/rfc9110#section-6.6.1-9
		back.Date = x.server.date(x.Loop.Wall())
	}
	if h.Status >= 500 {
		back.Status = explain.Received(nil, x.Opts.Node, h.Status)
	}
	r.out = http1.AppendAnswer(r.out, h, &back)
	x.Trail.Status = h.Status
}

// BeginSwitch composes a 101 and sends it.
func (x *Exchange) BeginSwitch(h *message.Head) *fault.Fault {
	r := &x.reply
	r.upgraded, r.kind, r.hold = true, message.NoBody, false
	x.Trail.Status = h.Status
	r.out = http1.AppendAnswer(r.out[:0], h, &message.Back{Minor: r.minor, Length: -1, Via: x.via, Upgrade: true})
	return x.Flush()
}

// Switched ends the exchange of an upgraded connection.
// up and down are the bytes that passed after the switch.
func (x *Exchange) Switched(up, down int64) {
	x.reply.whole = true
	x.tunnelled = up
	x.Trail.Out += down
	x.Trail.Ended = x.Stamp()
}

// Reject takes back what was composed. It must not be called once Begun.
func (x *Exchange) Reject() {
	x.reply.out, x.reply.hold, x.reply.late = x.reply.out[:0], false, false
	x.Trail.Status = 0
}

// Release ends holding back: what comes is sent, and what came goes with it.
func (x *Exchange) Release() { x.reply.hold = false }

// Begun reports whether the client has seen a part of the final answer: from
// then on the answer can only be completed or visibly cut.
func (x *Exchange) Begun() bool { return x.reply.begun }

// CloseAfter makes the connection end after this answer.
func (x *Exchange) CloseAfter() { x.reply.close = true }

// Minor is the client's HTTP/1.Minor.
func (x *Exchange) Minor() uint8 { return x.reply.minor }

// Add sends a piece of the body, or keeps it for Flush if it is small or the
// answer is held back. It may wait.
func (x *Exchange) Add(piece []byte) *fault.Fault {
	r := &x.reply
	if len(piece) == 0 || r.kind == message.NoBody {
		return nil
	}
	if r.kind == message.Streamed {
		r.out = h1.AppendChunk(r.out, len(piece))
	}
	if !r.hold && len(piece) > together {
		f := x.send(r.out, piece)
		r.out = r.out[:0]
		if r.kind == message.Streamed {
			r.out, r.late = append(r.out, "\r\n"...), true
		}
		return f
	}
	r.out = append(r.out, piece...)
	if r.kind == message.Streamed {
		r.out = append(r.out, "\r\n"...)
	}
	r.late = false
	if !r.hold && len(r.out) >= flushAt {
		return x.Flush()
	}
	return nil
}

// Flush sends what is kept.
func (x *Exchange) Flush() *fault.Fault {
	r := &x.reply
	if len(r.out) == 0 || r.late && len(r.out) == 2 {
		return nil
	}
	f := x.send(r.out, nil)
	r.out, r.late = r.out[:0], false
	return f
}

// Finish completes the answer. trailer may be nil.
func (x *Exchange) Finish(trailer *message.Head) *fault.Fault {
	r := &x.reply
	r.hold = false
	if r.kind == message.Streamed {
		r.out = append(r.out, "0\r\n"...)
		if trailer != nil {
			r.out = h1.AppendFields(r.out, trailer)
		}
		r.out = append(r.out, "\r\n"...)
	}
	r.late = false
	f := x.Flush()
	if f == nil {
		x.done()
	}
	return f
}

// FinishWith completes an answer whose whole body is one piece: one call to the
// kernel carries it all.
func (x *Exchange) FinishWith(body []byte) *fault.Fault {
	r := &x.reply
	r.hold = false
	if len(body) <= together || r.kind == message.Streamed {
		if f := x.Add(body); f != nil {
			return f
		}
		return x.Finish(nil)
	}
	f := x.send(r.out, body)
	r.out = r.out[:0]
	if f == nil {
		x.done()
	}
	return f
}

func (x *Exchange) done() {
	x.reply.whole = true
	x.Trail.Ended = x.Stamp()
	if x.reply.kind == message.ToClose {
		x.reply.close = true
	}
}

// Interim passes an interim (1xx) answer on. HTTP/1.0 clients know none.
func (x *Exchange) Interim(h *message.Head) *fault.Fault {
	if x.reply.minor == 0 || x.reply.begun {
		return nil
	}
	x.reply.out = http1.AppendInterim(x.reply.out[:0], h, x.via)
	return x.interim()
}

// Continue asks the client for its body.
func (x *Exchange) Continue() *fault.Fault {
	if x.reply.minor == 0 || x.reply.begun {
		return nil
	}
	x.reply.out = append(x.reply.out[:0], "HTTP/1.1 100 Continue\r\n\r\n"...)
	return x.interim()
}

func (x *Exchange) interim() *fault.Fault {
	f := x.write(x.reply.out, nil)
	x.reply.out = x.reply.out[:0]
	return f
}

// send sends a part of the final answer.
func (x *Exchange) send(first, second []byte) *fault.Fault {
	if !x.reply.begun {
		x.reply.begun = true
		x.Trail.Answered = x.Stamp()
	}
	return x.write(first, second)
}

func (x *Exchange) write(first, second []byte) *fault.Fault {
	until, total := x.Loop.Now().Add(int64(x.Opts.Times.Reply)), false
	if x.Deadline < until {
		until, total = x.Deadline, true
	}
	n, err := x.Client.Stream.Send(first, second, until)
	x.Trail.Out += int64(n)
	for err == loop.ErrInterrupted {
		// The sending hand's end interrupts whatever its exchange waits for.
		first, second = rest(first, second, n)
		n, err = x.Client.Stream.Send(first, second, until)
		x.Trail.Out += int64(n)
	}
	if err == nil {
		return nil
	}
	x.reply.broken = true
	switch {
	case err == loop.ErrTimeout && total:
		f := fault.New(fault.TotalTimeout, "limit", x.Opts.Total.String(), "received", strconv.FormatInt(x.Trail.Out, 10))
		f.At = fault.Reply // no upstream is to blame
		return f
	case err == loop.ErrTimeout:
		return fault.New(fault.ReplyTimeout, "limit", x.Opts.Times.Reply.String(), "got", strconv.FormatInt(x.Trail.Out, 10))
	case errors.Is(err, io.EOF):
		return fault.New(fault.ClientGone, "errno", "end of stream")
	}
	return fault.New(fault.ClientGone, "errno", err.Error()).Because(err)
}

// rest is what is left of two slices after n bytes.
func rest(first, second []byte, n int) (a, b []byte) {
	if n < len(first) {
		return first[n:], second
	}
	return nil, second[n-len(first):]
}

// cut makes it visible that the answer is not whole: no last chunk, or a reset
// where only the length would tell.
func (x *Exchange) cut() {
	x.reply.broken = true
	x.Trail.Cut = true
	if x.reply.kind == message.Streamed {
		x.reply.hold = false
		x.reply.late = false
		x.Flush() // what came before the fault is the client's, also for a diagnosis
		x.Client.Stream.Close()
		return
	}
	x.Client.Stream.Abort()
}

// retryAfter is what a 503 tells clients: long enough for an ejected endpoint to
// be probed again, short enough for people to wait.
const retryAfter = 5 * time.Second
