package exchange

import (
	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/http2"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
)

// http2 is what a connection that speaks HTTP/2 goes by.
func (o *Options) http2() http2.ServerOptions {
	h := o.HTTP2
	h.Limits = h2.Limits{Path: o.Limits.StartLine, Field: o.Limits.Field, Head: o.Limits.Head, Fields: o.Limits.Fields}
	h.Body = o.Limits.Body
	h.Head, h.BodyRead, h.Idle, h.Reply = o.Times.Head, o.Times.Body, o.Times.KeepAlive, o.Times.Reply
	return h
}

// speaksHTTP2 reports whether a connection that has had no request yet is one of
// HTTP/2: because its TLS handshake says so, or because the client knew before
// (RFC 9113 §3.2, §3.3). "PRI" is no method of HTTP/1.1.
func (s *Server) speaksHTTP2(c *conn) bool {
	if c.tls != nil {
		return c.tls.ALPN == "h2" || s.o.NoHTTP1
	}
	if s.o.NoHTTP2 {
		return false
	}
	if s.o.NoHTTP1 {
		return true
	}
	const pri = "PRI"
	until := s.loop.Now().Add(int64(s.o.Times.Head))
	for {
		b := c.client.In.Bytes()
		n := min(len(b), len(pri))
		if n == 0 || string(b[:n]) != pri[:n] {
			return false
		}
		// Fewer bytes may also be a POST; what goes wrong the reader of heads will meet
		// again.
		if n == len(pri) || c.stream.Fill(&c.client.In, until) != nil {
			return n == len(pri)
		}
	}
}

// multiplex serves a connection that speaks HTTP/2.
func (s *Server) multiplex(c *conn) (on bool) {
	c.http2 = http2.NewServer(c.stream, &c.client.In, s.http2, &s.streams, &host{s, c})
	if s.draining {
		c.http2.Drain()
	}
	c.http2.Serve()
	return true // until Ended
}

// host is what an HTTP/2 connection knows of us.
type host struct {
	s *Server
	c *conn
}

// ServeStream runs one exchange.
func (h *host) ServeStream(stream *http2.Stream) {
	x := h.s.take(h.c, stream)
	x.run()
	h.s.put(x)
}

// Failed records what made the connection unusable. It is no exchange, but has the
// incident of one.
func (h *host) Failed(f *fault.Fault) {
	x := h.s.take(h.c, &h.c.client)
	x.begin()
	x.Request.Reset()
	x.Trail.Major, x.Trail.Fault = 2, f
	x.record()
	h.s.put(x)
}

// Ended closes the connection.
func (h *host) Ended() { h.s.close(h.c) }
