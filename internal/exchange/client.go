package exchange

import (
	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
)

// Client is the client's side of exchanges, in the client's version of HTTP: an
// HTTP/1.1 connection, or one stream of an HTTP/2 connection. It reads requests
// and writes answers; what to answer is not its business.
//
// Its methods must be called from tasks of its loop. Those that read the body
// may be called by one task while another writes.
type Client interface {
	// ReadHead reads a request's head into q. quiet is true when there is nobody
	// to answer and nothing to tell.
	ReadHead(q *message.Request) (f *fault.Fault, quiet bool)
	// Piece returns the next piece of the request's body, valid until the next
	// call. done comes with the last piece or after it. It waits when wait is true
	// and nothing is there, else it may return nothing.
	Piece(wait bool) (piece []byte, done bool, f *fault.Fault)
	// Trailer is the request's trailer after the last piece, nil if it has none.
	Trailer() *message.Head
	// BodyDone reports whether the whole body was read.
	BodyDone() bool
	// Received counts the body's payload bytes read so far.
	Received() int64
	// Taken counts the bytes of the request that were read, head and framing
	// included.
	Taken() int64
	// Left is the least number of bytes of the body that are yet to be read.
	Left() int64
	// Gone reports whether an answer would reach nobody. begun: a part of it was
	// sent.
	Gone(begun bool) *fault.Fault
	// Relax says that nothing more is read before the answer: what memory is
	// empty can be lent to others.
	Relax()

	// AppendAnswer composes the head of an upstream's answer behind dst. What was
	// composed is given to Write, or forgotten.
	AppendAnswer(dst []byte, h *message.Head, b *message.Back) []byte
	// AppendOwn composes the head of an answer that the gateway makes itself.
	// fields are whole lines, "Name: value" CRLF.
	AppendOwn(dst []byte, status int, fields []byte, b *message.Back) []byte
	// AppendInterim composes an interim (1xx) head; of 100 (Continue) if h is nil.
	AppendInterim(dst []byte, h *message.Head, via []byte) []byte
	// Write sends o and waits until it is on its way. An interrupt does not end
	// it. n counts the bytes on the wire, framing included, also when it fails:
	// loop.ErrTimeout if the client took nothing until then, else what ended its
	// connection or stream. o.A, like o.Head, is scratch of the caller's.
	Write(o *message.Out, until loop.Time) (n int, err error)
	// Cut ends an answer that has begun and will not be whole, so that the client
	// can see it. What it can still be given of o is sent before.
	Cut(o *message.Out, until loop.Time) (n int)
	// Abort ends the request when nobody is there to see more of its answer.
	Abort()
	// Wire is the bare connection and what was read of it beyond the request, for
	// what follows a 101; nil if this version knows no such switch.
	Wire() (loop.Stream, *loop.Buffer)
	// Settle deals with what is left of a request whose answer is whole, and tells
	// whether the client may send another one here. close: it may not.
	Settle(close bool) (again bool)
}
