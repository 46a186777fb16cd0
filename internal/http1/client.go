package http1

import (
	"cmp"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// Client is a connection at the client's side: it reads requests, one after the
// other. Between two it holds no buffer and next to no memory.
type Client struct {
	Stream loop.Stream
	In     loop.Buffer
	// Served counts the requests read so far.
	Served int

	limits *Limits
	times  *Timeouts
	*Reading
}

// Reading is what a Client remembers of the message that it reads or answers. Its
// fields are the Client's; an idle connection needs none.
type Reading struct {
	parser  h1.Parser
	body    h1.Decoder
	framing message.Framing
	offset  int64     // of the body's framing consumed so far
	until   loop.Time // bounds what is read to be forgotten; 0 if nothing is
	taken   int64     // bytes of the current message consumed, head included
	late    bool      // the CRLF behind the last chunk sent is still owed
}

// Init begins a connection. It has a Reading of its own only if none is lent to it
// before the first request.
func (c *Client) Init(s loop.Stream, l *Limits, t *Timeouts) {
	*c = Client{Stream: s, limits: l, times: t}
}

// Lend gives c the memory for the next exchange, or takes it back (nil) after it.
func (c *Client) Lend(r *Reading) {
	c.Reading = r
	if r != nil {
		r.offset, r.until, r.taken, r.late = 0, 0, 0, false
	}
}

// ReadHead reads a request's head into q. quiet is true when there is nobody to
// answer and nothing to tell: the connection ended before a request began.
func (c *Client) ReadHead(q *message.Request) (f *fault.Fault, quiet bool) {
	q.Reset()
	if c.Reading == nil {
		c.Lend(new(Reading))
	}
	c.taken = 0
	c.parser.Init(h1.Request, &c.limits.Limits, h1.AllowRequest)
	var until loop.Time
	for {
		n, e := c.parser.Parse(c.In.Bytes(), &q.Head)
		if !e.Ok() {
			c.taken = int64(c.In.Len()) // where it ends, nobody knows
			return LiftRequest(e, c.In.Bytes(), 0, &c.limits.Limits), false
		}
		if n > 0 {
			q.Store = append(q.Store[:0], c.In.Bytes()[:n]...)
			q.Head.Raw = q.Store
			c.In.Consume(n)
			break
		}
		if until == 0 {
			until = c.Stream.Loop().Now().Add(int64(c.times.Head))
		}
		if err := c.fill(until, cmp.Or(c.limits.Head, h1.DefaultRequest.Head)); err != nil {
			return c.headEnded(err, q)
		}
	}
	c.Served++
	c.taken = int64(len(q.Store))
	fr, e := h1.FrameRequest(&c.parser, &q.Head)
	if !e.Ok() {
		return LiftRequest(e, q.Store, 0, &c.limits.Limits), false
	}
	method := q.Head.Bytes(q.Head.Method)
	q.Framing, q.Safe, q.Idempotent = fr, message.Safe(method), message.Idempotent(method)
	c.framing, c.offset = fr, 0
	c.body.Init(fr, &c.limits.Limits, h1.AllowRequest)
	if string(method) == "CONNECT" {
		return fault.New(fault.RequestMethodUnsupported, "value", quote(method)), false
	}
	if m := c.limits.Body; m > 0 && fr.Body == message.Sized && fr.Length > m {
		return c.tooLarge(fr.Length), false
	}
	return nil, false
}

func (c *Client) tooLarge(size int64) *fault.Fault {
	return fault.New(fault.RequestBodyTooLarge, "limit", strconv.FormatInt(c.limits.Body, 10), "size", strconv.FormatInt(size, 10))
}

// fill reads more, growing the buffer up to most bytes plus one read.
func (c *Client) fill(until loop.Time, most int) error {
	err := c.Stream.Fill(&c.In, until)
	if err == loop.ErrFull {
		if c.In.Len() > most {
			return err
		}
		c.In.Grow(2 * c.In.Len())
		err = c.Stream.Fill(&c.In, until)
	}
	return err
}

func (c *Client) headEnded(err error, q *message.Request) (*fault.Fault, bool) {
	got := strconv.Itoa(c.In.Len())
	switch {
	case !c.parser.Begun():
		return nil, true
	case err == loop.ErrTimeout:
		return fault.New(fault.RequestHeadTimeout, "limit", c.times.Head.String(), "received", got), false
	case err == io.EOF:
		if e := c.parser.End(c.In.Bytes()); !e.Ok() {
			return LiftRequest(e, c.In.Bytes(), 0, &c.limits.Limits), false
		}
		f := fault.New(fault.RequestHeadIncomplete, "received", got)
		f.Saw = excerpt(c.In.Bytes(), 0, int64(c.In.Len()))
		return f, false
	case err == loop.ErrInterrupted || err == loop.ErrClosed:
		return nil, true
	}
	return gone(err), false
}

func gone(err error) *fault.Fault {
	return fault.New(fault.ClientGone, "errno", err.Error()).Because(err)
}

// Piece returns the next piece of the body, valid until the next call. done
// comes with the last piece or after it. It waits when wait is true and nothing is there,
// else it may return nothing.
func (c *Client) Piece(wait bool) (piece []byte, done bool, f *fault.Fault) {
	for {
		if c.body.Done() {
			return nil, true, nil
		}
		if c.In.Len() > 0 {
			data, n, e := c.body.Next(c.In.Bytes())
			if !e.Ok() {
				return nil, false, LiftRequest(e, c.In.Bytes(), c.offset, &c.limits.Limits)
			}
			c.In.Consume(n)
			c.offset += int64(n)
			c.taken += int64(n)
			if m := c.limits.Body; m > 0 && c.body.Received() > m {
				return nil, false, c.tooLarge(c.body.Received())
			}
			if len(data) > 0 || c.body.Done() {
				return data, c.body.Done(), nil
			}
			if n > 0 && c.In.Len() > 0 {
				continue
			}
		}
		if !wait {
			return nil, false, nil
		}
		until := c.Stream.Loop().Now().Add(int64(c.times.Body))
		if c.until != 0 {
			until = min(until, c.until)
		}
		if err := c.fill(until, cmp.Or(c.limits.Trailer, h1.DefaultTrailer)+loop.BufferSize); err != nil {
			return nil, false, c.bodyEnded(err)
		}
	}
}

func (c *Client) bodyEnded(err error) *fault.Fault {
	got := strconv.FormatInt(c.body.Received(), 10)
	want := "the last chunk"
	if c.framing.Body == message.Sized {
		want = strconv.FormatInt(c.framing.Length, 10)
	}
	switch {
	case err == loop.ErrTimeout:
		return fault.New(fault.RequestBodyTimeout, "limit", c.times.Body.String(), "received", got, "want", want)
	case err == io.EOF:
		return fault.New(fault.RequestBodyBroken, "flaw", "the connection ended inside the body",
			"offset", strconv.FormatInt(c.offset, 10), "got", got, "want", want)
	case err == loop.ErrInterrupted:
		return Interrupted
	}
	return gone(err)
}

// Interrupted is returned by Piece when its task was interrupted: no fault of
// anybody, and never to be shown.
var Interrupted = fault.Interrupted

// Trailer returns the request's trailer fields after the last piece, nil if it has none.
func (c *Client) Trailer() *message.Head { return c.body.Trailer() }

// BodyDone reports whether the whole body was read.
func (c *Client) BodyDone() bool { return c.body.Done() }

// Received counts the body's payload bytes read so far.
func (c *Client) Received() int64 { return c.body.Received() }

// Taken counts the bytes of the current request that were read, head and framing included.
func (c *Client) Taken() int64 { return c.taken }

// Left is the least number of bytes of the body that are yet to be read; of a
// chunked one no more is known than the rest of its current chunk.
func (c *Client) Left() int64 { return c.body.Left() }

// discardMost is how much unread body is cheaper to read than a new connection,
// and lingerMost how much is read after an answer so that this is not lost to a
// reset. lingerTime bounds both: nginx reads for 30 s, 5 s between reads; clients
// that upload without reading need less.
const (
	discardMost = 64 << 10
	lingerMost  = 1 << 20
	lingerTime  = 5 * time.Second
)

// Relax gives the buffer back if it is empty. Many exchanges wait for their
// upstream at once; with a buffer each they would drive one another out of the cache.
func (c *Client) Relax() { c.In.ReleaseEmpty() }

// Wire is the bare connection and what was read of it beyond the request.
func (c *Client) Wire() (loop.Stream, *loop.Buffer) { return c.Stream, &c.In }

// Settle makes the connection ready for another request, or ends it in a way
// that loses no answer.
func (c *Client) Settle(close bool) (again bool) {
	switch {
	case !close && c.Discard(discardMost, lingerTime):
		return true
	case !c.BodyDone() || c.In.Len() > 0:
		c.Linger(lingerMost, lingerTime)
	}
	return false
}

// Discard reads and forgets the rest of a request's body so that the connection
// can serve another request. It gives up, and returns false, when more than
// most bytes are left or they do not come.
func (c *Client) Discard(most int64, wait time.Duration) bool {
	if c.body.Done() {
		return true
	}
	c.until = c.Stream.Loop().Now().Add(int64(wait))
	defer func() { c.until = 0 }()
	if c.framing.Body == message.Sized && c.framing.Length-c.body.Received() > most {
		return false
	}
	for start := c.body.Received(); c.body.Received()-start <= most; {
		if _, done, f := c.Piece(true); done || f != nil {
			return f == nil
		}
	}
	return false
}

// Linger closes the connection so that the client gets the answer although it is
// still sending: a reset for unread data would destroy it (RFC 9112 §9.6).
func (c *Client) Linger(most int, wait time.Duration) {
	if c.Stream.CloseWrite() != nil {
		c.Stream.Close()
		return
	}
	until := c.Stream.Loop().Now().Add(int64(wait))
	c.In.Release()
	for got := 0; got < most; {
		err := c.Stream.Fill(&c.In, until)
		if err != nil {
			break
		}
		got += c.In.Len()
		c.In.Release()
	}
	c.Stream.Close()
}

// Gone reports whether an answer would reach nobody. A client that closed its
// sending side behind its request may still wait for the answer; one that does so
// when the answer has begun has lost interest in the rest.
func (c *Client) Gone(begun bool) *fault.Fault {
	err := c.Stream.Check()
	if err == nil || err == io.EOF && !begun || errors.Is(err, loop.ErrInput) {
		return nil
	}
	return gone(err)
}
