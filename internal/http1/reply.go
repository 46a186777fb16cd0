package http1

import (
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// AppendAnswer composes the head of an upstream's answer.
func (c *Client) AppendAnswer(dst []byte, h *message.Head, b *message.Back) []byte {
	return AppendAnswer(dst, h, b)
}

// AppendOwn composes the head of an answer of the gateway's own.
func (c *Client) AppendOwn(dst []byte, status int, fields []byte, b *message.Back) []byte {
	return AppendOwn(dst, status, fields, b)
}

// AppendInterim composes an interim answer's head, 100 (Continue) if h is nil.
func (c *Client) AppendInterim(dst []byte, h *message.Head, via []byte) []byte {
	if h == nil {
		return append(dst, "HTTP/1.1 100 Continue\r\n\r\n"...)
	}
	return AppendInterim(dst, h, via)
}

// Write sends a part of an answer. A streamed body leaves as one chunk a call.
func (c *Client) Write(o *message.Out, until loop.Time) (n int, err error) {
	if o.End && c.In.Len() == 0 {
		loop.Part(c.Stream)
	}
	if len(o.B) > 0 && len(o.B) <= together {
		o.A, o.B = append(o.A, o.B...), nil
	}
	first, second := o.Head, o.A
	if o.Body == message.Streamed {
		return c.writeChunk(o, until)
	}
	if len(o.B) > 0 {
		first, second = append(first, o.A...), o.B
		o.Head = first
	}
	return c.send(first, second, until)
}

func (c *Client) writeChunk(o *message.Out, until loop.Time) (n int, err error) {
	if c.late {
		c.late = false
		o.Head = append(o.Head, "\r\n"...)
	}
	if size := len(o.A) + len(o.B); size > 0 {
		o.Head = h1.AppendChunk(o.Head, size)
	}
	if len(o.B) == 0 {
		if len(o.A) > 0 {
			o.A = append(o.A, "\r\n"...)
		}
		if o.Last {
			o.A = appendLast(o.A, o.Trailer)
		}
		return c.send(o.Head, o.A, until)
	}
	// The CRLF behind a large piece goes with what follows it.
	o.Head, c.late = append(o.Head, o.A...), true
	n, err = c.send(o.Head, o.B, until)
	if err != nil || !o.Last {
		return n, err
	}
	c.late = false
	m, err := c.send(appendLast(append(o.A[:0], "\r\n"...), o.Trailer), nil, until)
	return n + m, err
}

func appendLast(dst []byte, trailer *message.Head) []byte {
	dst = append(dst, "0\r\n"...)
	if trailer != nil {
		dst = h1.AppendFields(dst, trailer)
	}
	return append(dst, "\r\n"...)
}

// send is Stream.Send that goes on after an interrupt: the end of the task that
// sends a request's body interrupts whatever its exchange waits for.
func (c *Client) send(first, second []byte, until loop.Time) (n int, err error) {
	n, err = c.Stream.Send(first, second, until)
	for at := n; err == loop.ErrInterrupted; n += at {
		if at < len(first) {
			first = first[at:]
		} else {
			first, second = nil, second[at-len(first):]
		}
		at, err = c.Stream.Send(first, second, until)
	}
	return n, err
}

// Cut makes it visible that an answer is not whole: no last chunk, or a reset
// where only the length would tell.
func (c *Client) Cut(o *message.Out, until loop.Time) (n int) {
	if o.Body != message.Streamed {
		c.Stream.Abort()
		return 0
	}
	if len(o.Head)+len(o.A)+len(o.B) > 0 {
		n, _ = c.Write(o, until)
	}
	c.Stream.Close()
	return n
}

// Abort ends the connection at once.
func (c *Client) Abort() { c.Stream.Abort() }
