package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Reply is what a client got.
type Reply struct {
	// Status of the final answer, 0 if none came.
	Status int
	Header http.Header
	Body   []byte
	// Interim are the statuses of the 1xx answers before it.
	Interim []int
	// Cut: the answer ended before it was complete, and the client can tell.
	Cut bool
	// Err is what ended the reading, nil for a whole answer.
	Err error
}

// play is the client's part of the recipe: it sends what the recipe asks to the
// gateway at address, as the origin o stands behind it, and returns what came
// back. It opens one connection, and Hold more.
func (r *Recipe) play(ctx context.Context, address string, o *Origin) (*Reply, error) {
	for range r.Hold {
		c, err := dial(ctx, address)
		if err != nil {
			return nil, fmt.Errorf("holding a connection: %w", err)
		}
		defer c.Close()
	}
	c, err := dial(ctx, address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	// Whatever waits on c ends with ctx.
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	in := bufio.NewReader(c)
	if r.Warm {
		if _, err := io.WriteString(c, host(plainGET, address)); err != nil {
			return nil, fmt.Errorf("sending the first request: %w", err)
		}
		if first := read(in, "GET"); first.Err != nil || first.Status != http.StatusOK {
			return nil, fmt.Errorf("the first exchange failed: status %d: %w", first.Status, first.Err)
		}
		if err := o.Arm(ctx); err != nil {
			return nil, fmt.Errorf("waiting for the origin: %w", err)
		}
	}
	sent := make(chan struct{})
	go func() { // ends when all is sent or c is closed
		defer close(sent)
		r.send(ctx, c, address)
	}()
	// The answer may come before the request is sent, and must be read then.
	reply := r.receive(ctx, c, in, o)
	c.Close()
	<-sent
	return reply, nil
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// send writes the request; a gateway that answers early may refuse the rest.
func (r *Recipe) send(ctx context.Context, c net.Conn, address string) {
	if len(r.Pieces) > 0 {
		for i, p := range r.Pieces {
			if i > 0 && !wait(ctx, Gap) {
				return
			}
			if _, err := io.WriteString(c, host(p, address)); err != nil {
				return
			}
		}
	} else {
		if _, err := io.WriteString(c, r.Requested(address)); err != nil {
			return
		}
		if _, err := io.CopyN(c, xs{}, r.Upload); err != nil {
			return
		}
	}
	if t, ok := c.(*net.TCPConn); ok && r.Client == CloseWrite {
		t.CloseWrite()
	}
}

// receive does what the client does once its request is under way.
func (r *Recipe) receive(ctx context.Context, c net.Conn, in *bufio.Reader, o *Origin) *Reply {
	switch r.Client {
	case Close, Reset:
		if err := o.AwaitHit(ctx); err != nil {
			return &Reply{Err: err}
		}
		if t, ok := c.(*net.TCPConn); ok && r.Client == Reset {
			t.SetLinger(0)
		}
		return &Reply{}
	case Stall:
		if err := o.AwaitEnd(ctx); err != nil {
			return &Reply{Err: err}
		}
	}
	return read(in, r.Method())
}

// maxReply bounds the body that a client keeps; the rest is read and dropped.
const maxReply = 1 << 20

// read reads one answer to a request with that method.
func read(in *bufio.Reader, method string) *Reply {
	re := &Reply{}
	asked := &http.Request{Method: method}
	for {
		if _, re.Err = in.Peek(1); re.Err != nil {
			return re // no answer at all, or none behind the interim ones
		}
		answer, err := http.ReadResponse(in, asked)
		if err != nil {
			re.Err, re.Cut = err, true
			return re
		}
		if answer.StatusCode < 200 && answer.StatusCode != http.StatusSwitchingProtocols {
			re.Interim = append(re.Interim, answer.StatusCode)
			continue
		}
		re.Status, re.Header = answer.StatusCode, answer.Header
		from := io.Reader(answer.Body)
		if re.Status == http.StatusSwitchingProtocols {
			from = in
		}
		re.Body, re.Err = io.ReadAll(io.LimitReader(from, maxReply))
		if re.Err == nil {
			_, re.Err = io.Copy(io.Discard, from)
		}
		re.Cut = re.Err != nil && re.Status != http.StatusSwitchingProtocols
		return re
	}
}
