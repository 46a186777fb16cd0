package exchange

import (
	"cmp"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/accesslog"
	"github.com/gatewhy/gatewhy/internal/certs"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// Handshakes counts the TLS handshakes of a loop's clients.
type Handshakes struct {
	Full, Resumed uint64
	// Failed began and led to no connection, a client that gave up included.
	Failed uint64
	// Plain were clients that spoke plain HTTP to a TLS listener.
	Plain uint64
}

// Handshakes tells the counts. It must be called from a task of the loop.
func (s *Server) Handshakes() Handshakes { return s.shakes }

// helloUntil is the deadline of a handshake. Who sends nothing until then has not
// begun anything: a port check, or a browser that connects in advance.
func (s *Server) helloUntil(c *conn) loop.Time {
	return c.since.Add(int64(s.handshake()))
}

// handshake bounds what comes before a request.
func (s *Server) handshake() time.Duration { return cmp.Or(s.o.Handshake, DefaultHandshake) }

// secure does the handshake, whose first bytes are there. It reports whether there
// is somebody to serve: who speaks plain HTTP is served too, with an explanation.
func (s *Server) secure(c *conn) bool {
	until := s.helloUntil(c)
	if speaksHTTP(c.client.In.Bytes()) {
		s.shakes.Plain++
		c.plain = true
		return true
	}
	t, err := loop.SecureServer(c.stream, &c.client.In, s.o.TLS, until)
	if err != nil {
		s.handshakeFailed(c, err)
		return false
	}
	state := t.ConnectionState()
	if state.NegotiatedProtocol == certs.ALPNChallenge {
		return false // the handshake was the question, and the answer (RFC 8737 §3)
	}
	if state.DidResume {
		s.shakes.Resumed++
	} else {
		s.shakes.Full++
	}
	c.stream = t
	c.tls = &trail.TLS{Version: strings.TrimPrefix(tls.VersionName(state.Version), "TLS "), Cipher: tls.CipherSuiteName(state.CipherSuite),
		ALPN: state.NegotiatedProtocol, SNI: state.ServerName, Resumed: state.DidResume}
	if len(state.PeerCertificates) > 0 {
		leaf := state.PeerCertificates[0]
		c.tls.Client = leaf.Subject.String()
		if s.o.ClientCert {
			c.tls.Certificate = leaf.Raw
		}
	}
	c.forward(c.address())
	c.client.Init(t, &s.o.Limits, &s.o.Times)
	return true
}

// speaksHTTP reports whether b, the first bytes of a connection, are those of a
// request line, and not of a TLS record, which begins with the number of its type
// (RFC 8446 §5.1). All methods begin with a letter.
func speaksHTTP(b []byte) bool {
	c := b[0] | 0x20
	return c >= 'a' && c <= 'z'
}

// notSecure is the fault of a request that came in plain HTTP to a TLS listener.
func (x *Exchange) notSecure() *fault.Fault {
	host := x.Request.Head.Bytes(x.Request.Head.Authority)
	if len(host) == 0 {
		host = x.conn.localAuthority()
	}
	x.reply.close = true
	return fault.New(fault.RequestPlainOnTLSPort, "value", "https://"+string(host)+string(x.Request.Head.Bytes(x.Request.Head.Path)))
}

// handshakeFailed counts and tells: no request was made, so this is no exchange.
func (s *Server) handshakeFailed(c *conn, err error) {
	if errors.Is(err, loop.ErrClosed) {
		return // we broke it ourselves, at the end of a drain
	}
	s.shakes.Failed++
	if s.log == nil {
		return
	}
	why := strings.TrimPrefix(err.Error(), "tls: ")
	switch {
	case errors.Is(err, loop.ErrTimeout):
		why = "no handshake within " + s.handshake().String()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		why = "the client hung up in the middle of the handshake"
	}
	s.log.Handshake(&accesslog.Handshake{At: s.loop.Wall(), Client: c.address(), Why: why})
}
