package exchange

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/gatewhy/gatewhy/internal/accesslog"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/wire/proxyproto"
)

// introduction is what a PROXY header said of a connection.
type introduction struct {
	source, destination netip.AddrPort
	secure              bool // the client speaks TLS with whom we have the connection from
	// told are the extensions that go on to upstreams.
	told []byte
}

// introduces reports whether a peer at this address begins its connections with a
// PROXY header.
func (o *Options) introduces(a netip.Addr) bool {
	for _, n := range o.ProxyProtocol {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// remote is the client's end of the connection, as far as it is known: the peer's, or
// what its PROXY header says. Its address is never IPv4 as IPv6, and invalid for a unix
// socket.
func (c *conn) remote() netip.AddrPort {
	a := c.stream.Remote().IP
	if c.said != nil {
		a = c.said.source
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// destination is where the client connected to, likewise.
func (c *conn) destination() netip.AddrPort {
	a := c.stream.Local().IP
	if c.said != nil {
		a = c.said.destination
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// proxyHeader bounds the time of a PROXY header.
func (o *Options) proxyHeader() time.Duration { return cmp.Or(o.ProxyHeader, DefaultProxyHeader) }

// introduceUntil is the deadline of c's PROXY header.
func (s *Server) introduceUntil(c *conn) loop.Time {
	return c.since.Add(int64(s.o.proxyHeader()))
}

// introduced reads the PROXY header of c, whose first bytes are there. It reports
// whether there is somebody to serve. Nobody is told what is wrong but the log: whoever
// sends no such header is no client, and whoever sends a wrong one is a proxy.
func (s *Server) introduced(c *conn) bool {
	c.introduce = false
	until := s.introduceUntil(c)
	for {
		h, n, flaw, at := proxyproto.Parse(c.client.In.Bytes(), cmp.Or(s.o.MaxProxyHeader, proxyproto.DefaultMax))
		if flaw != proxyproto.NoFlaw {
			s.notIntroduced(c, fmt.Sprintf("byte %d: %v", at, flaw))
			return false
		}
		if n > 0 {
			if !h.Local {
				c.said = &introduction{source: h.Source, destination: h.Destination, secure: h.Secure(),
					told: proxyproto.AppendThose(nil, h.Extensions, proxyproto.ALPN, proxyproto.Authority, proxyproto.UniqueID, proxyproto.SSL, proxyproto.NetNS)}
				here := c.trusted
				c.meets(c.remote().Addr(), s)
				c.trusted = c.trusted && here // 127.0.0.1 of another machine is not ours
			}
			c.client.In.Consume(n)
			return true
		}
		switch err := c.stream.Fill(&c.client.In, until); {
		case err == nil:
		case errors.Is(err, loop.ErrTimeout):
			s.notIntroduced(c, fmt.Sprintf("it had not come as a whole after %v", s.o.proxyHeader()))
			return false
		case errors.Is(err, io.EOF):
			s.notIntroduced(c, "the peer hung up in the middle of it")
			return false
		default:
			return false
		}
	}
}

// notIntroduced tells why a connection was not served.
func (s *Server) notIntroduced(c *conn, why string) {
	if s.log != nil {
		s.log.Handshake(&accesslog.Handshake{At: s.loop.Wall(), Client: c.address(), Why: why, Introduction: true})
	}
}
