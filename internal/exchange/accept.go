package exchange

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// conn is one client connection. While it waits for a request it holds neither
// a buffer nor an exchange.
type conn struct {
	stream     loop.Stream
	client     http1.Client
	task       loop.Task
	prev, next *conn
	idle       bool      // it waits for a request
	since      loop.Time // when it was accepted, or its last answer ended
	scheme     string    // "https" after a handshake, else "http"
	tls        *trail.TLS
	plain      bool   // it speaks plain HTTP to a TLS listener
	address    []byte // of the client, without port
	trusted    bool
	added      []byte
	local      []byte // where the client connected to
	via        []byte
}

// Serve runs one client connection to its end. It is the task of the connection.
func (s *Server) Serve(stream loop.Stream) {
	c := s.accept(stream)
	defer s.close(c)
	s.serve(c)
}

// accept makes the connection of a stream.
func (s *Server) accept(stream loop.Stream) *conn {
	c := &conn{stream: stream, scheme: "http", task: s.loop.Current(), since: s.loop.Now()}
	c.client.Init(stream, &s.o.Limits, &s.o.Times)
	s.link(c)
	remote := stream.Remote()
	if ip := remote.IP.Addr().Unmap(); ip.IsValid() {
		c.address = ip.AppendTo(nil)
		c.trusted = ip.IsLoopback()
	} else {
		c.address, c.trusted = []byte("unix"), true
	}
	c.via = []byte(s.o.Via)
	return c
}

// serve runs the requests of a connection, one after the other.
func (s *Server) serve(c *conn) {
	c.added = fmt.Appendf(nil, "X-Forwarded-For: %s\r\nX-Forwarded-Proto: %s\r\n", c.address, c.scheme)
	if m := s.o.MaxConnections; m > 0 && s.open > m {
		s.shed(c)
		return
	}
	for s.waitRequest(c) {
		if !s.exchange(c) {
			return
		}
		c.client.In.ReleaseEmpty()
	}
}

func (s *Server) close(c *conn) {
	c.client.In.Release()
	c.stream.Close()
	s.unlink(c)
	if s.open == 0 {
		for _, t := range s.drained {
			t.Wake()
		}
		s.drained = nil
	}
}

func (s *Server) link(c *conn) {
	c.prev, c.next = s.conns.prev, &s.conns
	c.prev.next, c.next.prev = c, c
	s.open++
}

func (s *Server) unlink(c *conn) {
	c.prev.next, c.next.prev = c.next, c.prev
	s.open--
}

// parting is how long a drain still waits for a request on a connection that was
// new, or told to persist, a moment ago: the client may have sent one before it
// could know. It outlives a round trip around the world, and costs a stop at most
// this much.
const parting = time.Second

// waitRequest waits for the first byte of a request; Drain may end the wait.
func (s *Server) waitRequest(c *conn) bool {
	if c.client.In.Len() > 0 {
		return true // pipelined
	}
	c.idle = true
	ok := !s.draining && c.client.Wait()
	if !ok && s.draining {
		// What came at the moment of the interrupt is still taken: a moment that is
		// over waits for nothing, but finds what is there.
		ok = c.client.WaitUntil(c.since.Add(int64(parting)))
	}
	c.idle = false
	return ok
}

// exchange runs one exchange; it returns whether the connection can have another.
func (s *Server) exchange(c *conn) bool {
	x := s.take(c, &c.client)
	again := x.run()
	c.since = x.began.Add(int64(x.Trail.Ended))
	s.put(x)
	return again
}

func (x *Exchange) run() (again bool) {
	defer func() {
		if r := recover(); r != nil {
			f := fault.New(fault.GatewayInternalError, "value", fmt.Sprint(r)).Because(fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
			again, x.reply.close = false, true
			x.fail(f)
			x.record()
		}
	}()
	f, quiet := x.parse()
	if quiet {
		return false
	}
	if f == nil && x.conn.plain {
		f = x.notSecure()
	}
	if f == nil {
		on := false
		if f = x.admit(); f == nil {
			on, f = x.forward()
		}
		if on {
			f = x.server.responder.Respond(x)
		}
	}
	if f != nil {
		x.fail(f)
	}
	x.record()
	return !x.reply.upgraded && !x.reply.broken && x.Client.Settle(x.reply.close)
}

// shedBytes is how much of an unread request is read behind the answer to it.
const shedBytes = 1 << 20

// shed answers a connection over the limit without reading its request.
func (s *Server) shed(c *conn) {
	x := s.take(c, &c.client)
	x.begin()
	x.Request.Head.Reset()
	x.reply.close = true
	x.fail(fault.New(fault.OverloadShed, "limit", fmt.Sprint(s.o.MaxConnections), "count", fmt.Sprint(s.open)))
	x.record()
	s.put(x)
	c.client.Linger(shedBytes, time.Second)
}
