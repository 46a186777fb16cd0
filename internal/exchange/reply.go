package exchange

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/explain"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
)

// reply is the answer on its way to the client. Until the first byte is sent it
// can be taken back, and another one made.
type reply struct {
	head     []byte // composed and not sent
	body     []byte // payload behind it, not sent
	kind     message.BodyKind
	major    uint8 // version of the client; 0 while no head of it was read
	minor    uint8
	toHead   bool // the request's method was HEAD
	close    bool // the connection ends after this answer
	hold     bool // keep everything
	begun    bool // the client has seen a byte of the final answer
	whole    bool // it has seen all of it
	upgraded bool
	broken   bool // the client's connection is of no more use
	stashed  *stash
	id       []byte // scratch of replyID
	own      []byte // field lines of whoever answers
}

// stash is a whole answer kept in case that there is no better one.
type stash struct {
	head, body []byte
	kind       message.BodyKind
	status     int
}

func (r *reply) reset() { *r = reply{head: r.head[:0], body: r.body[:0], id: r.id[:0]} }

// Stash completes the answer that is held back and keeps it: Unstash sends it
// when another attempt found nothing better.
func (x *Exchange) Stash() {
	r := &x.reply
	r.stashed = &stash{bytes.Clone(r.head), bytes.Clone(r.body), r.kind, x.Trail.Status}
	x.Reject()
}

// Stashed reports whether an answer is kept.
func (x *Exchange) Stashed() bool { return x.reply.stashed != nil }

// Unstash sends the answer that was kept.
func (x *Exchange) Unstash() *fault.Fault {
	r := &x.reply
	x.Trail.Status, r.kind = r.stashed.status, r.stashed.kind
	r.head, r.body = r.stashed.head, r.stashed.body
	f := x.send(nil, true, nil)
	if f == nil {
		x.done()
	}
	return f
}

// together is the size up to which a piece is gathered with others; above it a
// slice of its own for the kernel is cheaper than the copy.
const together = 4 << 10

// flushAt is how much of small pieces is gathered before it is sent.
const flushAt = 16 << 10

// Begin composes the answer's head from an upstream's and holds it back until
// Release: until then Reject takes it all back. f is the upstream's framing.
func (x *Exchange) Begin(h *message.Head, f *message.Framing) {
	r := &x.reply
	r.head, r.body, r.hold = r.head[:0], r.body[:0], true
	r.close = r.close || x.server.draining
	r.kind = f.Body
	if f.Body == message.Streamed || f.Body == message.ToClose {
		// A close-delimited answer is framed as chunks, so that a cut can be told
		// from its end (RFC 9112 §8).
		r.kind = message.Streamed
		if x.speaks10() {
			r.kind, r.close = message.ToClose, true
		}
	}
	back := &x.back
	*back = message.Back{Minor: r.minor, Body: r.kind, Length: f.Length, Close: r.close, Via: x.via}
	if !f.Dated {
		// "A recipient with a clock that receives a response message without a Date
		// header field MUST record the time it was received and append a
		// corresponding Date header field to the message's header section if it is
		// cached or forwarded downstream."
		// https://www.rfc-editor.org/rfc/rfc9110#section-6.6.1-9
		back.Date = x.server.date(x.Loop.Wall())
	}
	back.Own = r.own
	if x.Opts.ReplyRequestID {
		x.dropReplyID(h)
		if id := x.replyID(); len(r.own) == 0 {
			back.Own = id
		} else {
			r.id = append(id, r.own...)
			back.Own = r.id
		}
	}
	if h.Status >= 500 {
		back.Status = explain.Received(nil, x.Opts.Node, h.Status)
	}
	r.head = x.Client.AppendAnswer(r.head, h, back)
	x.Trail.Status = h.Status
}

// Adds has the next answer that Begin or BeginSwitch composes carry these field lines as
// well, in the place of those before. They must not change until the exchange is over.
func (x *Exchange) Adds(lines []byte) { x.reply.own = lines }

// BeginSwitch composes a 101 and sends it.
func (x *Exchange) BeginSwitch(h *message.Head) *fault.Fault {
	r := &x.reply
	r.upgraded, r.kind, r.hold = true, message.NoBody, false
	x.Trail.Status = h.Status
	r.head, r.body = x.Client.AppendAnswer(r.head[:0], h, &message.Back{Minor: r.minor, Length: -1, Via: x.via, Upgrade: true, Own: r.own}), r.body[:0]
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
	x.reply.head, x.reply.body, x.reply.hold = x.reply.head[:0], x.reply.body[:0], false
	x.Trail.Status = 0
}

// Release ends holding back: what comes is sent, and what came goes with it.
func (x *Exchange) Release() { x.reply.hold = false }

// Begun reports whether the client has seen a part of the final answer: from
// then on the answer can only be completed or visibly cut.
func (x *Exchange) Begun() bool { return x.reply.begun }

// CloseAfter makes the connection end after this answer.
func (x *Exchange) CloseAfter() { x.reply.close = true }

// speaks10 reports whether the client speaks HTTP/1.0.
func (x *Exchange) speaks10() bool { return x.reply.major == 1 && x.reply.minor == 0 }

// Add sends a piece of the body, or keeps it for Flush if it is small or the
// answer is held back. It may wait.
func (x *Exchange) Add(piece []byte) *fault.Fault {
	r := &x.reply
	if len(piece) == 0 || r.kind == message.NoBody {
		return nil
	}
	if !r.hold && len(piece) > together {
		return x.send(piece, false, nil)
	}
	r.body = append(r.body, piece...)
	if !r.hold && len(r.body) >= flushAt {
		return x.Flush()
	}
	return nil
}

// Flush sends what is kept.
func (x *Exchange) Flush() *fault.Fault {
	r := &x.reply
	if len(r.head)+len(r.body) == 0 {
		return nil
	}
	return x.send(nil, false, nil)
}

// Finish completes the answer. trailer may be nil.
func (x *Exchange) Finish(trailer *message.Head) *fault.Fault { return x.finish(nil, trailer) }

// FinishWith completes an answer whose whole body is one piece: one call to the
// kernel carries it all.
func (x *Exchange) FinishWith(body []byte) *fault.Fault {
	if x.reply.kind == message.NoBody {
		body = nil
	}
	return x.finish(body, nil)
}

func (x *Exchange) finish(body []byte, trailer *message.Head) *fault.Fault {
	x.reply.hold = false
	f := x.send(body, true, trailer)
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

// Interim passes an interim (1xx) answer on. HTTP/1.0 clients know none (RFC 9110
// §15.2).
func (x *Exchange) Interim(h *message.Head) *fault.Fault {
	r := &x.reply
	if x.speaks10() || r.begun {
		return nil
	}
	r.head = x.Client.AppendInterim(r.head[:0], h, x.via)
	x.out = message.Out{Head: r.head}
	return x.write()
}

// Continue asks the client for its body.
func (x *Exchange) Continue() *fault.Fault { return x.Interim(nil) }

// send sends what is composed and gathered of the final answer, and piece behind it.
func (x *Exchange) send(piece []byte, last bool, trailer *message.Head) *fault.Fault {
	r := &x.reply
	if !r.begun {
		r.begun = true
		x.Trail.Answered = x.Stamp()
	}
	x.out = message.Out{Head: r.head, A: r.body, B: piece, Body: r.kind, Last: last, Trailer: trailer,
		// "A client that sends a "close" connection option MUST NOT send further
		// requests on that connection." https://www.rfc-editor.org/rfc/rfc9112#section-9.6-7
		End: last && r.close && x.Request.Framing.Close && x.Client.BodyDone()}
	return x.write()
}

// write sends x.out, which has the reply's own memory.
func (x *Exchange) write() *fault.Fault {
	until, total := x.Loop.Now().Add(int64(x.Opts.Times.Reply)), false
	if x.Deadline < until {
		until, total = x.Deadline, true
	}
	head, body := len(x.out.Head), len(x.out.A)+len(x.out.B)
	n, err := x.Client.Write(&x.out, until)
	x.sent(n, head, body)
	x.reply.head, x.reply.body = x.out.Head[:0], x.out.A[:0]
	x.out = message.Out{}
	return x.broke(err, total)
}

// sent counts n bytes on the wire, of a head and a body of those sizes.
func (x *Exchange) sent(n, head, body int) {
	x.Trail.Out += int64(n)
	if x.reply.major >= 2 {
		head = max(head, n-body) // the heads of the frames too
	}
	x.Trail.Heads += int64(min(n, head))
}

// Direct is the client's bare stream if the rest of the answer's body may go
// straight to it, nil if not: until that is over nothing else may be sent. Passed
// must hear of it.
func (x *Exchange) Direct() loop.Stream {
	r := &x.reply
	if r.hold || r.kind != message.Sized || r.toHead || len(r.head)+len(r.body) > 0 {
		return nil
	}
	s, _ := x.Client.Wire()
	return s
}

// Passed counts what went straight to the client, and how that ended there.
func (x *Exchange) Passed(n int64, err error) *fault.Fault {
	x.Trail.Out += n
	return x.broke(err, x.Loop.Now() >= x.Deadline)
}

// broke is the fault of a write that ended in err, nil if it is none. total: the
// limit for the whole exchange came first.
func (x *Exchange) broke(err error, total bool) *fault.Fault {
	if err == nil {
		return nil
	}
	x.reply.broken = true
	switch {
	case err == loop.ErrTimeout && total:
		f := fault.New(fault.TotalTimeout, "limit", x.Patience(), "received", strconv.FormatInt(x.Trail.Out, 10))
		f.At = fault.Reply // no upstream is to blame
		return f
	case err == loop.ErrTimeout:
		return fault.New(fault.ReplyTimeout, "limit", x.Opts.Times.Reply.String(), "got", strconv.FormatInt(x.Trail.Out, 10))
	case errors.Is(err, io.EOF):
		return fault.New(fault.ClientGone, "errno", "end of stream")
	}
	return fault.New(fault.ClientGone, "errno", err.Error()).Because(err)
}

// cut makes it visible that the answer is not whole. What came before the fault
// is the client's, also for a diagnosis.
func (x *Exchange) cut() {
	r := &x.reply
	r.broken, r.hold, x.Trail.Cut = true, false, true
	x.out = message.Out{Head: r.head, A: r.body, Body: r.kind}
	head, body := len(x.out.Head), len(x.out.A)+len(x.out.B)
	x.sent(x.Client.Cut(&x.out, x.Loop.Now().Add(int64(x.Opts.Times.Reply))), head, body)
	r.head, r.body = x.out.Head[:0], x.out.A[:0]
	x.out = message.Out{}
}

// retryAfter is what a 503 tells clients: long enough for an ejected endpoint to
// be probed again, short enough for people to wait.
const retryAfter = 5 * time.Second
