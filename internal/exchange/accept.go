package exchange

import (
	"fmt"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/http2"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// conn is one client connection. While it waits for a request its stream is at
// rest: it holds neither a task, nor a buffer, nor an exchange.
type conn struct {
	stream     loop.Stream
	client     http1.Client
	http2      *http2.Server // nil if it speaks HTTP/1
	woken      func(error)   // resume, bound once
	prev, next *conn
	since      loop.Time     // when it was accepted, or its last answer ended
	tls        *trail.TLS    // nil in plain HTTP
	introduce  bool          // its PROXY header is still to come
	said       *introduction // what that said; nil if there was none
	hello      bool          // its TLS handshake is still to come
	plain      bool          // it speaks plain HTTP to a TLS listener
	idle       bool          // it is at rest
	trusted    bool
	proxy      bool    // it speaks for others: see Exchange.spokenFor
	addressed  uint8   // length of the client's address in added
	added      []byte  // the fields that every request of it carries on
	local      *[]byte // where the client connected to; nil until that was asked
	gone       *bool   // see Exchange.Gone; nil until that was asked
}

// Serve begins a client connection and returns when there is nothing to do for it.
// From then on the loop starts a task for it whenever there is.
func (s *Server) Serve(stream loop.Stream) {
	s.run(s.accept(stream), (*Server).meet)
}

// ServeTLS is Serve for a connection to a TLS listener.
func (s *Server) ServeTLS(stream loop.Stream) {
	c := s.accept(stream)
	c.hello = true
	s.run(c, (*Server).meet)
}

// meet lets c in, unless there are so many that it cannot even be told so.
func (s *Server) meet(c *conn) (on bool) {
	if m := s.o.MaxConnections; m > 0 && s.open > m+max(1, min(toldOver, m/4)) {
		return false
	}
	switch err := c.stream.Fill(&c.client.In, loop.Try); {
	case err == loop.ErrTimeout && (c.hello || c.introduce):
		return s.rest(c)
	case err != nil && err != loop.ErrTimeout:
		return false
	}
	return s.begin(c)
}

// begin goes on with the first bytes of a connection, or before them.
func (s *Server) begin(c *conn) (on bool) {
	if c.introduce {
		if !s.introduced(c) {
			return false
		}
		if c.hello && c.client.In.Len() == 0 {
			return s.rest(c)
		}
	}
	if !c.hello {
		return s.greet(c)
	}
	c.hello = false
	return s.secure(c) && s.greet(c)
}

// toldOver is how many connections over MaxConnections, a quarter of it at most,
// are told so. To be told costs a descriptor for up to a second, on a TLS listener
// for as long as a handshake may take; a flood must not take them all.
const toldOver = 32

// run does the next thing for c, and closes c unless it is to go on.
func (s *Server) run(c *conn, next func(*Server, *conn) (on bool)) {
	on := false
	defer func() { // also after a panic
		if !on {
			s.close(c)
		}
	}()
	on = next(s, c)
}

// accept makes the connection of a stream.
func (s *Server) accept(stream loop.Stream) *conn {
	c := s.fresh()
	c.stream, c.since = stream, s.loop.Now()
	c.client.Init(stream, &s.o.Limits, &s.o.Times)
	s.link(c)
	ip := c.remote().Addr()
	c.meets(ip, s)
	if len(s.o.ProxyProtocol) > 0 {
		if !ip.IsValid() {
			ip = here
		}
		c.introduce = s.o.introduces(ip)
	}
	return c
}

// meets notes who is at the other end: the address of a peer, which is invalid for a
// unix socket, or of the client of one.
func (c *conn) meets(ip netip.Addr, s *Server) {
	if ip.IsValid() {
		c.forward(ip.AppendTo(s.text[:0]))
		c.trusted, c.proxy = ip.IsLoopback(), s.o.trusts(ip)
		return
	}
	c.forward([]byte("unix"))
	c.trusted, c.proxy = true, s.o.trusts(here)
}

// fresh returns a conn that is new, or as good as new.
func (s *Server) fresh() *conn {
	if n := len(s.spare); n > 0 {
		c := s.spare[n-1]
		s.spare = s.spare[:n-1]
		*c = conn{woken: c.woken, added: c.added[:0]}
		return c
	}
	c := &conn{}
	c.woken = func(err error) {
		c.idle = false
		switch {
		case err == nil:
			s.run(c, (*Server).resume)
		case err == loop.ErrInterrupted && s.draining:
			s.run(c, (*Server).rest)
		default:
			s.close(c)
		}
	}
	return c
}

const forwardedFor, forwardedProto = "X-Forwarded-For: ", "\r\nX-Forwarded-Proto: "

// forward writes what every request of the client carries on. It holds the
// client's address, so there is no other copy of it.
func (c *conn) forward(address []byte) {
	b := c.added[:0]
	if n := len(forwardedFor) + len(address) + len(forwardedProto) + len(c.scheme()) + len("\r\n"); cap(b) < n || c.addressed > 0 {
		b = make([]byte, 0, n)
	}
	c.added = append(append(append(append(append(b, forwardedFor...), address...), forwardedProto...), c.scheme()...), "\r\n"...)
	c.addressed = uint8(len(address))
}

// address is the client's, without port.
func (c *conn) address() []byte {
	return c.added[len(forwardedFor) : len(forwardedFor)+int(c.addressed)]
}

// scheme is that of the requests.
func (c *conn) scheme() string {
	if c.tls != nil || c.said != nil && c.said.secure {
		return "https"
	}
	return "http"
}

// greet makes c ready for its first request.
func (s *Server) greet(c *conn) (on bool) {
	if m := s.o.MaxConnections; m > 0 && s.open > m {
		s.shed(c)
		return false
	}
	return s.serve(c)
}

// serve runs the requests that have come, one after the other.
func (s *Server) serve(c *conn) (on bool) {
	if c.client.Served == 0 && s.speaksHTTP2(c) {
		return s.multiplex(c)
	}
	for c.client.In.Len() > 0 { // once, or pipelined
		if !s.exchange(c) {
			return false
		}
		c.client.In.ReleaseEmpty()
	}
	return s.rest(c)
}

// rest leaves c to the loop until there is something to do for it.
func (s *Server) rest(c *conn) (on bool) {
	until := s.loop.Now()
	switch {
	case s.draining: // a moment that is over waits for nothing, but finds what is there
		until = c.since.Add(int64(parting))
	case c.introduce:
		until = s.introduceUntil(c)
	case c.hello:
		until = s.helloUntil(c)
	case c.client.Served == 0:
		until = until.Add(int64(s.o.Times.Head))
	default:
		until = until.Add(int64(s.o.Times.KeepAlive))
	}
	c.idle = true
	c.stream.Rest(until, c.woken)
	return true
}

// resume goes on when there is input, or its end.
func (s *Server) resume(c *conn) (on bool) {
	until := s.loop.Now().Add(int64(s.o.Times.Head))
	switch {
	case c.introduce:
		until = s.introduceUntil(c)
	case c.hello:
		until = s.helloUntil(c)
	}
	if c.stream.Fill(&c.client.In, until) != nil {
		return false
	}
	if c.hello || c.introduce {
		return s.begin(c)
	}
	return s.serve(c)
}

func (s *Server) close(c *conn) {
	c.client.In.Release()
	c.stream.Close()
	if c.gone != nil {
		*c.gone = true
	}
	s.unlink(c)
	// A connection that spoke HTTP/2 is still known to what its streams hold.
	if c.http2 == nil && len(s.spare) < freed {
		s.spare = append(s.spare, c)
	}
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
	// Whoever still holds c must not hold those that stood beside it, and through
	// them all that come later.
	c.prev, c.next = nil, nil
	s.open--
}

// parting is how long a drain still waits for a request on a connection that was
// new, or told to persist, a moment ago: the client may have sent one before it
// could know. It outlives a round trip around the world, and costs a stop at most
// this much.
const parting = time.Second

// exchange runs one exchange; it returns whether the connection can have another.
func (s *Server) exchange(c *conn) bool {
	x := s.take(c, &c.client)
	c.client.Lend(&x.reading)
	again := x.run()
	c.client.Lend(nil)
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
			f = x.answered()
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
	f := fault.New(fault.OverloadShed, "limit", fmt.Sprint(s.o.MaxConnections), "count", fmt.Sprint(s.open))
	if c.tls != nil && c.tls.ALPN == "h2" {
		(&host{s, c}).Failed(f)
		if _, err := c.stream.Send(http2.AppendRefusal(nil, string(f.ID)), nil, s.loop.Now().Add(int64(time.Second))); err == nil {
			c.client.Linger(shedBytes, time.Second)
		}
		return
	}
	x := s.take(c, &c.client)
	c.client.Lend(&x.reading)
	x.begin()
	x.Request.Head.Reset()
	x.reply.close = true
	x.fail(f)
	x.record()
	c.client.Lend(nil)
	s.put(x)
	c.client.Linger(shedBytes, time.Second)
}
