package http1

import (
	"errors"
	"io"
	"strconv"
	"syscall"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// Answer reads what an upstream says to one request: interim heads, the final
// head, the body. It owns the input buffer, so that the connection can go back
// to its pool while the answer is still being sent on.
type Answer struct {
	In      loop.Buffer
	Head    message.Head
	Framing message.Framing
	// Received counts the bytes that came, of all heads and the body's framing.
	Received int64
	// Interims counts the interim (1xx) heads.
	Interims int
	interim  int // status of the last of them

	stream  loop.Stream
	limits  *Limits
	allow   h1.Allow
	parser  h1.Parser
	body    h1.Decoder
	size    int   // length of the head at the front of In; 0 while it is incomplete or was consumed
	offset  int64 // of the body's framing consumed so far
	decoded int   // bytes behind the head that were decoded but not consumed
}

// Start begins reading from s.
func (a *Answer) Start(s loop.Stream, l *Limits, allow h1.Allow) {
	// Field by field: a whole Answer is near a kilobyte, and Init and Frame begin
	// the parser and the body anew.
	a.Head.Reset()
	a.Framing, a.Received, a.Interims, a.interim = message.Framing{}, 0, 0, 0
	a.stream, a.limits, a.allow, a.size, a.offset, a.decoded = s, l, allow, 0, 0, 0
	a.body.Init(a.Framing, &l.Limits, allow)
	a.parser.Init(h1.Response, &l.Limits, allow)
}

// Fill waits for more of the answer. The buffer grows as far as a head may.
func (a *Answer) Fill(until loop.Time) error {
	before := a.In.Len()
	err := a.stream.Fill(&a.In, until)
	if err == loop.ErrFull && a.size == 0 {
		// The parser refuses heads over their limit: growth is bounded by it.
		a.In.Grow(2 * a.In.Len())
		err = a.stream.Fill(&a.In, until)
	}
	a.Received += int64(a.In.Len() - before)
	if a.size > 0 {
		a.Head.Raw = a.In.Bytes()[:a.size]
	}
	return err
}

// Ask sends the request's bytes and waits for the first of the answer
// (loop.Stream.Ask).
func (a *Answer) Ask(first, second []byte, until loop.Time) (n int, err error) {
	before := a.In.Len()
	n, err = a.stream.Ask(first, second, &a.In, until)
	a.Received += int64(a.In.Len() - before)
	return n, err
}

// ParseHead reads a head from what has come. ok is false while more is needed.
// An interim head is consumed by Next.
func (a *Answer) ParseHead() (ok bool, f *fault.Fault) {
	b := a.In.Bytes()
	n, e := a.parser.Parse(b, &a.Head)
	if !e.Ok() {
		return false, LiftAnswer(e, b, 0, &a.limits.Limits)
	}
	a.size = n
	return n > 0, nil
}

// ParseEnd judges a head that will not be continued: what is certain now.
func (a *Answer) ParseEnd() *fault.Fault {
	if e := a.parser.End(a.In.Bytes()); !e.Ok() {
		return LiftAnswer(e, a.In.Bytes(), 0, &a.limits.Limits)
	}
	return nil
}

// Next consumes an interim head and begins the next one.
func (a *Answer) Next() {
	a.In.Consume(a.size)
	a.size = 0
	a.Interims++
	a.interim = a.Head.Status
	a.Head.Reset()
	a.parser.Init(h1.Response, &a.limits.Limits, a.allow)
}

// Frame judges the final head, and begins the body. toHead says that the
// request's method was HEAD.
func (a *Answer) Frame(toHead bool) *fault.Fault {
	fr, e := h1.FrameResponse(&a.parser, &a.Head, toHead)
	if !e.Ok() {
		return LiftAnswer(e, a.In.Bytes(), 0, &a.limits.Limits)
	}
	a.Framing = fr
	a.body.Init(fr, &a.limits.Limits, a.allow)
	if m := a.limits.Body; m > 0 && fr.Body == message.Sized && fr.Length > m {
		return a.tooLarge(fr.Length)
	}
	return nil
}

func (a *Answer) tooLarge(size int64) *fault.Fault {
	return fault.New(fault.BodyTooLarge, "limit", strconv.FormatInt(a.limits.Body, 10), "size", strconv.FormatInt(size, 10),
		"received", strconv.FormatInt(a.body.Received(), 10))
}

// Repairs returns what was repaired in the head.
func (a *Answer) Repairs() []h1.Error { return a.parser.Repairs() }

// HeadSize is the length of the final head while it is in In.
func (a *Answer) HeadSize() int { return a.size }

// DropHead consumes the final head: its fields can no longer be read.
func (a *Answer) DropHead() {
	a.In.Consume(a.size + a.decoded)
	a.size, a.decoded = 0, 0
	a.Head.Raw = nil
}

// WholeBody returns a sized body if all of it is in the buffer behind the head.
// It consumes nothing; TakeBody does.
func (a *Answer) WholeBody() (body []byte, ok bool) {
	switch a.Framing.Body {
	case message.NoBody:
		return nil, true
	case message.Sized:
		if left := a.In.Len() - a.size; int64(left) >= a.Framing.Length {
			return a.In.Bytes()[a.size : a.size+int(a.Framing.Length)], true
		}
	}
	return nil, false
}

// TakeBody decodes the n bytes of a body that WholeBody returned.
func (a *Answer) TakeBody(n int) {
	for n > 0 {
		_, took, _ := a.body.Next(a.In.Bytes()[a.size+a.decoded:][:n])
		a.decoded += took
		a.offset += int64(took)
		n -= took
	}
}

// Room reports whether a body of the rest of the declared length, or at least
// one more byte of an undeclared one, fits the buffer beside the head.
func (a *Answer) Room() bool {
	if a.Framing.Body == message.Sized {
		return int64(a.size)+a.Framing.Length <= int64(a.In.Len()+a.In.Room())
	}
	return a.In.Room() > 0
}

// Piece returns the next piece of the body from what has come, nil when more is
// needed. While the head is held the input stays in the buffer, behind it.
func (a *Answer) Piece() (piece []byte, done bool, f *fault.Fault) {
	for !a.body.Done() {
		in := a.In.Bytes()[a.size+a.decoded:]
		if len(in) == 0 {
			return nil, false, nil
		}
		data, n, e := a.body.Next(in)
		if !e.Ok() {
			behind := a.In.Bytes()[a.size:] // with what was decoded before it, as evidence
			f := LiftAnswer(e, behind, a.offset-int64(a.decoded), &a.limits.Limits)
			return nil, false, f.With("received", strconv.FormatInt(a.body.Received(), 10))
		}
		a.offset += int64(n)
		if a.size > 0 {
			a.decoded += n
		} else {
			a.In.Consume(n)
		}
		if m := a.limits.Body; m > 0 && a.body.Received() > m {
			return nil, false, a.tooLarge(a.body.Received())
		}
		if len(data) > 0 || a.body.Done() {
			return data, a.body.Done(), nil
		}
		if n == 0 {
			return nil, false, nil
		}
	}
	return nil, true, nil
}

// Spliceable reports whether so much of a sized body is still to come that it
// should go straight to the client.
func (a *Answer) Spliceable() bool {
	return a.Framing.Body == message.Sized && a.size == 0 && a.In.Len() == 0 && a.body.Left() >= loop.SpliceWorth
}

// Splice moves some of the rest of a Spliceable body straight to another stream
// (loop.Splice).
func (a *Answer) Splice(to loop.Stream, until loop.Time, stall int64, end loop.Time) (got, sent int64, err error) {
	got, sent, err = loop.Splice(a.stream, to, a.body.Left(), until, stall, end)
	a.Received += got
	a.offset += got
	a.body.Skip(got)
	return got, sent, err
}

// Done reports whether the message is complete.
func (a *Answer) Done() bool { return a.body.Done() }

// Payload counts the body's payload bytes so far.
func (a *Answer) Payload() int64 { return a.body.Received() }

// Trailer returns the trailer fields after the last piece, nil if there are none.
func (a *Answer) Trailer() *message.Head { return a.body.Trailer() }

// TrailerRepaired returns what was repaired in the body's framing.
func (a *Answer) TrailerRepaired() []h1.Error { return a.body.Repairs() }

// Extra returns what came behind the complete message.
func (a *Answer) Extra() []byte { return a.In.Bytes()[a.size+a.decoded:] }

// Finish judges the end of the stream inside the body: complete says that the
// message is whole, perhaps after a repair that TrailerRepaired then names.
func (a *Answer) Finish() (complete bool, err h1.Error) {
	return a.body.Finish()
}

// Circumstances are what the connection knows and an ended answer needs.
type Circumstances = message.Circumstances

// HeadEnded classifies what ended an answer before its head was complete. The
// order is that of the catalogue: timer, socket, and grammar only for what is
// certain: a head cut short is incomplete, never malformed.
func (a *Answer) HeadEnded(err error, c *Circumstances) *fault.Fault {
	b := a.In.Bytes()
	var f *fault.Fault
	switch {
	case err == loop.ErrTimeout:
		f = a.timedOut(c, len(b) > 0)
	case ended(err) && len(b) > 0:
		if f = a.ParseEnd(); f != nil {
			return f
		}
		f = fault.New(pick(c.Reused && a.Interims == 0, fault.ReuseRacePartial, fault.HeadEOFPartial))
	case ended(err):
		f = fault.New(a.emptyEnd(c))
	default: // reset, or another error of the socket
		f = fault.New(a.resetEnd(c, len(b) > 0)).Because(err)
	}
	if c.Undelivered {
		f.With("delivered", "none")
	}
	if len(b) > 0 {
		f.Saw = excerpt(b, 0, int64(len(b)))
	}
	return f.With("received", strconv.FormatInt(a.Received, 10)).With("offset", strconv.Itoa(len(b))).
		With("line", quoteLine(b, len(b))).With("errno", errno(err)).With("count", strconv.Itoa(a.Interims)).
		With("status", strconv.Itoa(a.interim))
}

func (a *Answer) timedOut(c *Circumstances, begun bool) *fault.Fault {
	id := fault.HeadTimeoutFirstByte
	switch {
	case c.Total:
		id = fault.TotalTimeout
	case begun:
		id = fault.HeadTimeoutPartial
	case c.Reused && c.Unacked:
		id = fault.ReuseBlackhole
	}
	return fault.New(id, "limit", c.Limit)
}

func (a *Answer) emptyEnd(c *Circumstances) fault.ID {
	switch {
	case a.Interims > 0:
		return fault.InterimThenEOF
	case c.Reused:
		return fault.ReuseRaceFIN
	case c.Undelivered:
		return fault.AcceptThenFIN
	case c.SendBroke:
		return fault.WriteReset
	case c.Upgrade:
		return fault.WSUpgradeEOF
	}
	return fault.HeadEOFEmpty
}

func (a *Answer) resetEnd(c *Circumstances, begun bool) fault.ID {
	switch {
	case begun && c.SendBroke:
		return fault.EarlyResponseTruncated
	case begun && c.Reused && a.Interims == 0:
		return fault.ReuseRacePartial
	case begun:
		return fault.HeadRSTPartial
	case a.Interims > 0:
		return fault.InterimThenEOF
	case c.Reused:
		return fault.ReuseRaceRST
	case c.SendBroke:
		return fault.WriteReset
	}
	return fault.HeadRSTEmpty
}

// BodyEnded classifies what ended an answer inside its body.
func (a *Answer) BodyEnded(err error, c *Circumstances) *fault.Fault {
	var id fault.ID
	chunked := a.Framing.Body == message.Streamed
	eof := ended(err)
	switch {
	case err == loop.ErrTimeout:
		id = pick(c.Total, fault.TotalTimeout, fault.BodyReadTimeout)
	case c.SendBroke && !eof:
		id = fault.EarlyResponseTruncated
	case chunked:
		id = fault.ChunkEOF
	case a.Framing.Body == message.ToClose:
		id = fault.BodyCloseDelimitedRST
	default:
		id = pick(eof, fault.BodyEOFShort, fault.BodyRST)
	}
	got, want := a.body.Received(), "the last chunk"
	switch a.Framing.Body {
	case message.Sized:
		got += int64(len(a.Extra())) // held back, and not decoded yet
		want = strconv.FormatInt(a.Framing.Length, 10)
	case message.ToClose:
		want = "the end of the connection"
	}
	content := strconv.FormatInt(got, 10)
	f := fault.New(id, "got", content, "want", want, "limit", c.Limit,
		"offset", strconv.FormatInt(a.offset, 10), "received", content,
		"errno", errno(err), "status", strconv.Itoa(a.Head.Status))
	if err != loop.ErrTimeout {
		f.Because(err)
	}
	return f
}

// ended reports whether the peer ended the stream in order. Over TLS a FIN
// without close_notify is one too: as loud as one without TLS.
func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

func pick(cond bool, yes, no fault.ID) fault.ID {
	if cond {
		return yes
	}
	return no
}

func errno(err error) string {
	var no syscall.Errno
	switch {
	case err == nil:
		return ""
	case errors.As(err, &no):
		return no.Error()
	case ended(err):
		return "end of stream"
	}
	return err.Error()
}

// Fault makes a fault of the head that was read, with its facts.
func (a *Answer) Fault(id fault.ID) *fault.Fault {
	b := a.In.Bytes()
	f := fault.New(id, "status", strconv.Itoa(a.Head.Status), "count", strconv.Itoa(a.Interims+1),
		"received", strconv.FormatInt(a.Received, 10))
	f.Saw = excerpt(b, 0, -1)
	return f
}

// FaultAt is Fault for one that a byte of the head proves.
func (a *Answer) FaultAt(id fault.ID, off int64) *fault.Fault {
	f := a.Fault(id)
	f.Saw = excerpt(a.In.Bytes(), 0, off)
	return f.With("offset", strconv.FormatInt(off, 10)).With("line", quoteLine(a.In.Bytes(), int(off)))
}
