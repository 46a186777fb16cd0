package http1

import (
	"errors"
	"io"
	"strconv"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// Line is one request and its answer on a connection to an upstream: what is
// composed of the request is sent by Send or Ask, and the answer is read as from
// an [Answer]. One task may send while another reads.
type Line struct {
	Answer

	// What is composed and not sent, in this order. piece is a view.
	out   []byte
	piece []byte
	tail  []byte

	bytes   int64 // of the request, that the kernel took
	chunked bool
}

var crlf = []byte("\r\n")

// together is the size up to which a piece is copied beside its framing or others:
// one slice for the kernel is cheaper than two, and a chunk's end costs no call.
const together = 4 << 10

// Begin begins an exchange on s: what an earlier one left behind is forgotten.
func (l *Line) Begin(s loop.Stream, limits *Limits, allow h1.Allow) {
	l.Start(s, limits, allow)
	l.out, l.piece, l.tail = l.out[:0], nil, nil
	l.bytes, l.chunked = 0, false
}

// Compose writes the head of q.
func (l *Line) Compose(q *message.Request, o *message.Onward) {
	l.chunked = q.Framing.Body == message.Streamed && o.Length < 0
	l.out = AppendRequest(l.out[:0], q, o)
}

// Add frames a piece of the request's body. Nothing else may be composed before
// all is sent: piece is not copied if it is large.
func (l *Line) Add(piece []byte) {
	if len(piece) == 0 {
		return
	}
	if l.chunked {
		l.out = h1.AppendChunk(l.out, len(piece))
	}
	switch {
	case l.chunked && len(piece) <= together:
		l.out = append(append(l.out, piece...), "\r\n"...)
	case l.chunked:
		l.piece, l.tail = piece, crlf
	default:
		l.piece = piece
	}
}

// End frames the end of the request's body. trailer may be nil.
func (l *Line) End(trailer *message.Head) {
	if !l.chunked {
		return
	}
	if l.piece != nil { // an end stands behind all pieces
		l.out = append(append(append(l.out, l.piece...), l.tail...), "0\r\n"...)
		l.piece, l.tail = nil, nil
	} else {
		l.out = append(l.out, "0\r\n"...)
	}
	if trailer != nil {
		l.out = h1.AppendFields(l.out, trailer)
	}
	l.out = append(l.out, "\r\n"...)
}

// Send sends what is composed. The error is that of the stream; after
// ErrInterrupted and ErrTimeout another call goes on.
func (l *Line) Send(until loop.Time) error {
	if len(l.out)+len(l.piece) > 0 {
		n, err := l.stream.Send(l.out, l.piece, until)
		l.took(n)
		if err != nil {
			return err
		}
	}
	if len(l.tail) > 0 {
		n, err := l.stream.Send(l.tail, nil, until)
		l.bytes += int64(n)
		l.tail = l.tail[n:]
		return err
	}
	return nil
}

// took forgets the n bytes that the kernel took of out and piece.
func (l *Line) took(n int) {
	l.bytes += int64(n)
	k := min(n, len(l.out))
	if k == len(l.out) {
		l.out = l.out[:0]
	} else {
		l.out = append(l.out[:0], l.out[k:]...)
	}
	if l.piece = l.piece[n-k:]; len(l.piece) == 0 {
		l.piece = nil
	}
}

// AskWhole sends a request that is composed as a whole and waits for the first of
// its answer (loop.Stream.Ask). If not all was sent, Send the rest: whatever
// ended the wait will end that one likewise. Else err is that of Fill.
func (l *Line) AskWhole(until loop.Time) (sent bool, err error) {
	if len(l.tail) > 0 {
		l.out = append(append(l.out, l.piece...), l.tail...)
		l.piece, l.tail = nil, nil
	}
	all := len(l.out) + len(l.piece)
	n, err := l.Ask(l.out, l.piece, until)
	l.took(n)
	return n == all, err
}

// Sent counts the bytes of the request that the kernel took.
func (l *Line) Sent() int64 { return l.bytes }

// Stuck adds to f, the fault of a Send that timed out, what the kernel knows.
func (l *Line) Stuck(f *fault.Fault) {
	if d, ok := l.stream.Delivery(); ok {
		f.With("count", strconv.FormatUint(d.Unacked+d.Unsent, 10))
	}
}

// Message is the head that was read last.
func (a *Answer) Message() (*message.Head, *message.Framing) { return &a.Head, &a.Framing }

// Came counts the bytes that came, of all heads and the body's framing.
func (a *Answer) Came() int64 { return a.Received }

// Interim counts the interim (1xx) heads.
func (a *Answer) Interim() int { return a.Interims }

// greeting is how many bytes name any protocol that is told by its first ones.
const greeting = 16

// MoreTells reports whether what f says is no HTTP could be named better if a
// few more bytes came.
func (a *Answer) MoreTells(f *fault.Fault) bool {
	return f.ID == fault.HTTP09 && a.In.Len() < greeting
}

// Receipt tells the i-th repair: in the final head, then in the body's framing.
func (a *Answer) Receipt(i int) (id fault.ID, at int64, ok bool) {
	list := a.Repairs()
	if i >= len(list) {
		i -= len(list)
		list = a.TrailerRepaired()
	}
	if i >= len(list) {
		return "", 0, false
	}
	return Receipt(list[i]), list[i].At, true
}

// Peek is what has come of a body, in its framing, while the head is held.
func (a *Answer) Peek() []byte { return a.In.Bytes()[a.size:] }

// Raw is what has come and was not consumed, as it came.
func (a *Answer) Raw() []byte { return a.In.Bytes() }

// First is Raw, of which DropHead takes a part away.
func (a *Answer) First() []byte { return a.In.Bytes() }

// Idle gives the storage of the input back if nothing is in it.
func (a *Answer) Idle() { a.In.ReleaseEmpty() }

// Release forgets the answer and gives its storage back.
func (a *Answer) Release() {
	a.In.Release()
	a.Head.Raw = nil
}

// Unfinished reports whether err, an end of the stream inside the body, cuts the
// message; if not, it is whole, perhaps after a repair that has its receipt.
func (a *Answer) Unfinished(err error) bool {
	if err != io.EOF && !(errors.Is(err, loop.ErrTruncated) && a.Framing.Body != message.ToClose) {
		return true
	}
	complete, _ := a.Finish()
	return !complete
}
