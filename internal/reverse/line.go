package reverse

import (
	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
)

// line is one request and its answer on a connection to an upstream, in that
// connection's version of HTTP. What depends on the version lives behind it: how
// a request is framed and sent, how an answer is read, and what its end means.
// One task may send while another reads.
type line interface {
	// Compose writes the request's head, Add frames a piece of its body, End its
	// end, with a trailer or nil; Send and AskWhole put on the wire what was composed.
	// A piece must stay as it is until it was sent.
	Compose(q *message.Request, o *message.Onward)
	Add(piece []byte)
	End(trailer *message.Head)
	// Send waits until all that is composed was taken. The error is that of
	// loop.Stream.Send; after ErrInterrupted and ErrTimeout another call goes on.
	Send(until loop.Time) error
	// AskWhole sends a whole request and waits for the first of its answer. If
	// not all was sent, Send the rest; else err is that of Fill.
	AskWhole(until loop.Time) (sent bool, err error)
	// Sent counts the bytes of the request that were handed to the kernel: 0 says
	// that nothing of it can have reached the upstream.
	Sent() int64
	// Stuck adds what is known of its cause to f, the fault of a Send that timed out.
	Stuck(f *fault.Fault)

	// Fill waits for more of the answer. What it does not take in ends the answer,
	// or interrupts the wait (loop.ErrTimeout, loop.ErrInterrupted, loop.ErrFull).
	Fill(until loop.Time) error
	// ParseHead reads a head from what has come; ok is false while more is needed.
	ParseHead() (ok bool, f *fault.Fault)
	// MoreTells reports whether f could be named better if more came.
	MoreTells(f *fault.Fault) bool
	// Next consumes an interim head.
	Next()
	// Frame judges the final head, and begins the body. toHead: the request was HEAD.
	Frame(toHead bool) *fault.Fault
	// Message is the head that was read last; the pointers stay as they are.
	Message() (*message.Head, *message.Framing)
	// Interim counts the interim (1xx) heads.
	Interim() int
	// Receipt tells the i-th repair in the head, and then in the body.
	Receipt(i int) (id fault.ID, at int64, ok bool)
	// WholeBody returns a body whose end is known if all of it has come; TakeBody
	// takes its n bytes. Room reports whether the rest of the body can come while the
	// head is still held.
	WholeBody() (body []byte, ok bool)
	TakeBody(n int)
	Room() bool
	// Peek is what has come of a body, framing and all, while the head is held.
	Peek() []byte
	// DropHead ends holding the head: its fields can no longer be read.
	DropHead()
	// Piece returns the next piece of the body, nil when more must come.
	Piece() (piece []byte, done bool, f *fault.Fault)
	Done() bool
	Trailer() *message.Head
	// Extra is what came behind the whole message.
	Extra() []byte
	// Unfinished reports whether err, an end inside the body, cuts the message.
	Unfinished(err error) bool
	// Came counts the bytes of the answer, all heads and framing included.
	Came() int64
	// Raw is evidence: what has come and was not consumed. First is the part of it
	// that DropHead takes away.
	Raw() []byte
	First() []byte
	// Idle gives storage back that holds nothing, before a wait.
	Idle()
	// Release ends the exchange: it forgets the answer and gives everything back.
	// One that is not over is called off.
	Release()

	// HeadEnded and BodyEnded say what it means that the answer ended by err before
	// its head, or its body, was whole.
	HeadEnded(err error, c *message.Circumstances) *fault.Fault
	BodyEnded(err error, c *message.Circumstances) *fault.Fault
	// Fault makes a fault of the head that was read; FaultAt one that a byte of it proves.
	Fault(id fault.ID) *fault.Fault
	FaultAt(id fault.ID, off int64) *fault.Fault
}
