package looptest

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gatewhy/gatewhy/internal/loop"
)

var secured = []contract{
	{"TLS: handshake, echo, clean close", testTLSEcho},
	{"TLS: our server and our client", testTLSBothOurs},
	{"TLS: a server that has read the beginning already", testTLSBegun},
	{"TLS: callbacks find the transport", testTLSTransport},
	{"TLS: pieces of every size arrive whole", testTLSSizes},
	{"TLS: large transfers both ways at once", testTLSTransfer},
	{"TLS: an idle connection with session tickets is silent", testTLSTickets},
	{"TLS: Check", testTLSCheck},
	{"TLS: FIN without close_notify is not the end", testTLSTruncated},
	{"TLS: a cut inside a record", testTLSCutRecord},
	{"TLS: a reset", testTLSReset},
	{"TLS: half-close", testTLSHalfClose},
	{"TLS: deadlines and interrupts leave the stream whole", testTLSWaits},
	{"TLS: Close while others wait", testTLSCloseWaiting},
	{"TLS: a small Buffer gets a large record in pieces", testTLSSmallBuffer},
	{"TLS: a waiting Fill holds no storage", testTLSNoStorage},
	{"TLS: the certificate is not trusted", testTLSUntrusted},
	{"TLS: the certificate is for another name", testTLSWrongName},
	{"TLS: the peer sends an alert", testTLSAlert},
	{"TLS: the peer does not speak TLS", testTLSNotTLS},
	{"TLS: the handshake ends early", testTLSHandshakeEnds},
	{"TLS: a broken record", testTLSBroken},
	{"TLS: wishes for new keys without end", testTLSKeyFlood},
}

// identity is a certificate for "origin.test" that is its own authority.
var identity = sync.OnceValue(func() (id struct {
	cert  tls.Certificate
	roots *x509.CertPool
}) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "origin.test"}, DNSNames: []string{"origin.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	id.cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	id.roots = x509.NewCertPool()
	id.roots.AddCert(leaf)
	return id
})

func serverConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{identity().cert}, DynamicRecordSizingDisabled: true}
}

func clientConfig() *tls.Config {
	return &tls.Config{RootCAs: identity().roots, ServerName: "origin.test", DynamicRecordSizingDisabled: true}
}

// oldServer is a server that speaks TLS 1.2 only, and begins with small records.
func oldServer() *tls.Config {
	c := serverConfig()
	c.MaxVersion, c.DynamicRecordSizingDisabled = tls.VersionTLS12, false
	return c
}

// secure runs f with a TLS stream of ours, as a client and as a server, in TLS
// 1.3 and 1.2. The peer is crypto/tls over a plain connection.
func (r *rig) secure(f func(l loop.Loop, s *loop.TLS, peer *tls.Conn)) {
	for _, sc := range []*tls.Config{serverConfig(), oldServer()} {
		r.dialed(func(l loop.Loop, raw loop.Stream, c *net.TCPConn) {
			peer := tls.Server(c, sc)
			shaken := make(chan error, 1)
			go func() { shaken <- peer.Handshake() }() // ends with the handshake, or c
			s, err := loop.Secure(raw, clientConfig(), soon(l))
			r.must(err)
			l.Do(func() { err = <-shaken })
			r.must(err)
			f(l, s, peer)
			s.Close()
		})
		r.accepted(func(l loop.Loop, raw loop.Stream, c *net.TCPConn) {
			peer := tls.Client(c, clientConfig())
			shaken := make(chan error, 1)
			go func() { shaken <- peer.Handshake() }() // likewise
			s, err := loop.SecureServer(raw, nil, sc, soon(l))
			r.must(err)
			l.Do(func() { err = <-shaken })
			r.must(err)
			f(l, s, peer)
			s.Close()
		})
	}
}

func testTLSEcho(r *rig) {
	r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
		if v := s.ConnectionState().Version; v != peer.ConnectionState().Version {
			r.Errorf("version %x", v)
		}
		n, err := s.Send([]byte("there "), []byte("and"), soon(l))
		if n != 9 || err != nil {
			r.Errorf("Send: %d, %v", n, err)
		}
		p := make([]byte, 9)
		l.Do(func() { _, err = io.ReadFull(peer, p) })
		r.must(err)
		if string(p) != "there and" {
			r.Errorf("the peer got %q", p)
		}
		if s.Sent() <= 9 {
			r.Errorf("Sent is %d: records count too", s.Sent())
		}
		if d, ok := s.Delivery(); ok && d.Acked > s.Sent() {
			r.Errorf("%d of %d bytes are acknowledged", d.Acked, s.Sent())
		}
		r.write(peer, "back")
		var b loop.Buffer
		r.fill(s, &b, 4)
		if string(b.Bytes()) != "back" {
			r.Errorf("got %q", b.Bytes())
		}
		r.must(peer.CloseWrite())
		r.is(s.Fill(&b, soon(l)), io.EOF)
		r.is(s.Fill(&b, soon(l)), io.EOF)
		r.is(s.Check(), io.EOF)
		b.Release()
		s.Close()
		s.Close()
		r.is(s.Fill(&b, soon(l)), loop.ErrClosed)
		r.is(s.Check(), loop.ErrClosed)
		_, err = s.Send([]byte("x"), nil, soon(l))
		r.is(err, loop.ErrClosed)
		l.Do(func() {
			if _, err := peer.Read(p); err != io.EOF { // close_notify came
				r.Errorf("the peer got %v", err)
			}
		})
	})
}

func testTLSBothOurs(r *rig) {
	ln, err := r.e.Listen(loopback)
	if err != nil {
		r.Fatal(err)
	}
	defer ln.Close()
	sc, cc := serverConfig(), clientConfig()
	r.e.Serve(ln, func(l loop.Loop, raw loop.Stream) {
		s, err := loop.SecureServer(raw, nil, sc, soon(l))
		if err != nil {
			r.Error(err)
			raw.Close()
			return
		}
		r.echo(l, s)
	})
	r.run(func() {
		raw, err := r.l.Dial(ln.Addr(), soon(r.l))
		r.must(err)
		s, err := loop.Secure(raw, cc, soon(r.l))
		r.must(err)
		defer s.Close()
		var b loop.Buffer
		want := noise(200_000, 6)
		for at := 0; at < len(want); at += 10_000 {
			n, err := s.Send(want[at:at+3000], want[at+3000:at+10_000], soon(r.l))
			r.must(err)
			if n != 10_000 {
				r.Errorf("took %d", n)
			}
			for b.Len() < 10_000 {
				r.must(s.Fill(&b, soon(r.l)))
			}
			if !bytes.Equal(b.Bytes(), want[at:at+10_000]) {
				r.Errorf("wrong echo at %d", at)
			}
			b.Consume(b.Len())
		}
		r.must(s.CloseWrite())
		r.is(s.Fill(&b, soon(r.l)), io.EOF)
		b.Release()
	})
}

func testTLSBegun(r *rig) {
	r.accepted(func(l loop.Loop, raw loop.Stream, c *net.TCPConn) {
		peer := tls.Client(c, clientConfig())
		shaken := make(chan error, 1)
		go func() { shaken <- peer.Handshake() }() // ends with the handshake, or c
		var in loop.Buffer
		r.fill(raw, &in, 1)
		if b := in.Bytes(); b[0] != 22 {
			r.Errorf("the handshake begins with %x", b[0])
		}
		s, err := loop.SecureServer(raw, &in, serverConfig(), soon(l))
		r.must(err)
		l.Do(func() { err = <-shaken })
		r.must(err)
		if in.Len() != 0 || in.Room() != 0 {
			r.Errorf("%d bytes of %d stayed behind", in.Len(), in.Room())
		}
		r.write(peer, "hello")
		var b loop.Buffer
		r.fill(s, &b, 5)
		b.Release()
		s.Close()
	})
}

// One tls.Config serves many connections, and its callback tells them apart.
func testTLSTransport(r *rig) {
	var got loop.Stream
	cc := clientConfig()
	cc.GetClientCertificate = func(q *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		got = loop.Transport(q.Context())
		return &tls.Certificate{}, nil
	}
	sc := serverConfig()
	sc.ClientAuth = tls.RequestClientCert
	r.dialed(func(l loop.Loop, raw loop.Stream, c *net.TCPConn) {
		go handshake(sc)(c) // ends with the handshake, or c
		s, err := loop.Secure(raw, cc, soon(l))
		r.must(err)
		if got != raw {
			r.Errorf("the callback found %v", got)
		}
		s.Close()
	})
	if s := loop.Transport(context.Background()); s != nil {
		r.Errorf("a context that is none of ours has transport %v", s)
	}
}

func testTLSSizes(r *rig) {
	p := noise(80<<10, 12)
	r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
		for _, a := range []int{0, 1, 5000, 16 << 10, 33 << 10} {
			for _, b := range []int{0, 1, 300, 16<<10 - 1, 16 << 10, 16<<10 + 1, 32 << 10, 40_000} {
				n, err := s.Send(p[:a], p[a:a+b], soon(l))
				r.must(err)
				if n != a+b {
					r.Errorf("%d and %d: took %d", a, b, n)
				}
				got := make([]byte, a+b)
				l.Do(func() { _, err = io.ReadFull(peer, got) })
				r.must(err)
				if !bytes.Equal(got, p[:a+b]) {
					r.Errorf("%d and %d: other bytes came", a, b)
				}
			}
		}
	})
}

func testTLSTransfer(r *rig) {
	r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
		out, in := noise(5<<20+3, 7), noise(4<<20+1, 8)
		gone := make(chan struct{})
		go func() { // ends when all is sent or the stream ends
			defer close(gone)
			peer.Write(in)
			peer.CloseWrite()
		}()
		got := make(chan []byte)
		go func() { // ends at close_notify
			p, _ := io.ReadAll(peer)
			got <- p
		}()
		t := l.Go(func() {
			n, err := s.Send(out[:1<<20], out[1<<20:], soon(l))
			if n != len(out) || err != nil {
				r.Errorf("Send: %d, %v", n, err)
			}
			r.is(s.CloseWrite(), nil)
		})
		var b loop.Buffer
		at := 0
		for {
			err := s.Fill(&b, soon(l))
			if err == io.EOF {
				break
			}
			r.must(err)
			if !bytes.Equal(b.Bytes(), in[at:at+b.Len()]) {
				r.Errorf("wrong bytes in %d..%d", at, at+b.Len())
			}
			at += b.Len()
			b.Consume(b.Len())
		}
		b.Release()
		if at != len(in) {
			r.Errorf("got %d bytes, want %d", at, len(in))
		}
		r.join(l, t)
		var p []byte
		l.Do(func() {
			p = <-got
			<-gone
		})
		if !bytes.Equal(p, out) {
			r.Errorf("the peer got %d bytes, want %d, or others", len(p), len(out))
		}
	})
}

// A TLS 1.3 server sends session tickets right after the handshake. They wait in
// the socket of a client that has nothing to read.
func testTLSTickets(r *rig) {
	r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
		for range 20 {
			if err := s.Check(); err != nil && err != loop.ErrInput { // a ticket in pieces
				r.Errorf("Check: %v", err)
			}
			l.Sleep(l.Now() + 100_000)
		}
		r.is(s.Check(), nil)
		r.is(s.Transport().Check(), nil)
		var b loop.Buffer
		r.is(s.Fill(&b, l.Now().Add(moment)), loop.ErrTimeout)
		if b.Room() != 0 {
			r.Error("storage stayed behind")
		}
	})
}

func testTLSCheck(r *rig) {
	r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
		r.write(peer, "input")
		for s.Check() == nil {
			l.Sleep(l.Now() + 50_000)
		}
		r.is(s.Check(), loop.ErrInput)
		var b loop.Buffer
		r.fill(s, &b, 5)
		if string(b.Bytes()) != "input" {
			r.Errorf("got %q", b.Bytes())
		}
		b.Release()
		r.is(s.Check(), nil)
		r.must(peer.CloseWrite())
		for s.Check() == nil {
			l.Sleep(l.Now() + 50_000)
		}
		r.is(s.Check(), io.EOF)
		r.is(s.Fill(&b, soon(l)), io.EOF)
	})
}

func testTLSTruncated(r *rig) {
	r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
		r.write(peer, "half a mes")
		r.must(peer.NetConn().(*net.TCPConn).CloseWrite())
		var b loop.Buffer
		r.fill(s, &b, 10)
		err := s.Fill(&b, soon(l))
		r.is(err, loop.ErrTruncated)
		r.is(err, io.ErrUnexpectedEOF)
		r.is(s.Fill(&b, soon(l)), loop.ErrTruncated)
		r.is(s.Check(), loop.ErrTruncated)
		b.Release()
		r.send(s, "still whole in this direction")
	})
}

func testTLSCutRecord(r *rig) {
	r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
		c := peer.NetConn().(*net.TCPConn)
		r.write(c, "\x17\x03\x03\x01\x00only this")
		r.must(c.CloseWrite())
		var b loop.Buffer
		r.is(s.Fill(&b, soon(l)), loop.ErrTruncated)
		r.is(s.Fill(&b, soon(l)), loop.ErrTruncated)
		if b.Room() != 0 {
			r.Error("storage stayed behind")
		}
	})
}

func testTLSReset(r *rig) {
	r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
		r.write(peer, "before")
		r.arrive(s.Transport())
		r.reset(peer.NetConn().(*net.TCPConn))
		var b loop.Buffer
		r.fill(s, &b, 6)
		r.is(s.Fill(&b, soon(l)), syscall.ECONNRESET)
		r.is(s.Fill(&b, soon(l)), syscall.ECONNRESET)
		r.is(s.Check(), syscall.ECONNRESET)
		b.Release()
		_, err := s.Send([]byte("x"), nil, soon(l))
		r.is(err, syscall.EPIPE)
	})
}

func testTLSHalfClose(r *rig) {
	r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
		r.send(s, "question")
		r.must(s.CloseWrite())
		r.must(s.CloseWrite())
		_, err := s.Send([]byte("x"), nil, soon(l))
		r.is(err, syscall.EPIPE)
		l.Do(func() {
			if p, err := io.ReadAll(peer); string(p) != "question" || err != nil {
				r.Errorf("the peer got %q, %v", p, err)
			}
		})
		r.write(peer, "answer")
		var b loop.Buffer
		r.fill(s, &b, 6)
		r.must(peer.CloseWrite())
		r.is(s.Fill(&b, soon(l)), io.EOF)
		b.Release()
	})
}

func testTLSWaits(r *rig) {
	r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
		me := l.Current()
		var b loop.Buffer
		for range 3 {
			until := l.Now().Add(moment)
			r.is(s.Fill(&b, until), loop.ErrTimeout)
			if l.Now() < until {
				r.Error("ErrTimeout before the moment came")
			}
			l.Go(me.Interrupt)
			r.is(s.Fill(&b, loop.Never), loop.ErrInterrupted)
		}
		r.write(peer, "fine")
		r.fill(s, &b, 4)
		b.Release()

		// What a Send that failed has sealed goes out with the next ones, and n says
		// how much that is.
		p := noise(1<<20, 9)
		at := 0
		for range 10_000 {
			k, err := s.Send(p[at%len(p):], nil, l.Now().Add(moment))
			at += k
			if err == loop.ErrTimeout {
				break
			}
			r.must(err)
		}
		l.Go(me.Interrupt)
		k, err := s.Send(p[at%len(p):], nil, loop.Never)
		r.is(err, loop.ErrInterrupted)
		at += k
		r.is(s.CloseWrite(), loop.ErrTimeout)
		got := make(chan int)
		go func() { // ends at close_notify
			n, q := 0, make([]byte, 50_000)
			for {
				k, err := peer.Read(q)
				for i := range k {
					if q[i] != p[(n+i)%len(p)] {
						r.Errorf("byte %d is wrong", n+i)
						break
					}
				}
				if n += k; err != nil {
					got <- n
					return
				}
			}
		}()
		for s.CloseWrite() != nil {
			l.Sleep(l.Now() + 100_000)
		}
		n := 0
		l.Do(func() { n = <-got })
		if n != at {
			r.Errorf("the peer got %d bytes, want %d", n, at)
		}
	})
}

func testTLSCloseWaiting(r *rig) {
	for _, end := range []func(loop.Stream){loop.Stream.Close, loop.Stream.Abort} {
		r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
			joined := r.waiting(l, s, loop.Never)
			end(s)
			joined()
		})
	}
}

func testTLSSmallBuffer(r *rig) {
	r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
		want := noise(16<<10, 10)
		go peer.Write(want) // ends when all is sent or the stream ends
		var got []byte
		var b loop.Buffer
		b.Grow(100)
		for len(got) < len(want) {
			r.must(s.Fill(&b, soon(l)))
			got = append(got, b.Bytes()...)
			if len(got) < len(want) && len(got)%3000 < 100 {
				for s.Check() == nil {
					l.Sleep(l.Now() + 50_000)
				}
				r.is(s.Check(), loop.ErrInput)
			}
			b.Consume(b.Len())
		}
		if !bytes.Equal(got, want) {
			r.Error("wrong bytes")
		}
		r.is(s.Check(), nil)
		b.Append(make([]byte, 100))
		for b.Room() > 0 {
			b.Append([]byte{1})
		}
		r.is(s.Fill(&b, soon(l)), loop.ErrFull)
		b.Release()
	})
}

func testTLSNoStorage(r *rig) {
	r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
		var b loop.Buffer
		t := r.beside(l, func(enter func()) {
			enter()
			r.is(s.Fill(&b, soon(l)), nil)
		})
		for range 5 {
			if b.Room() != 0 {
				r.Error("a waiting Fill holds storage")
			}
			l.Sleep(l.Now() + 100_000)
		}
		r.write(peer, "x")
		r.join(l, t)
		if string(b.Bytes()) != "x" {
			r.Errorf("got %q", b.Bytes())
		}
		b.Release()
	})
}

// refused has a handshake of our client that fails.
func (r *rig) refused(cc *tls.Config, peer func(*net.TCPConn), check func(error)) {
	r.dialed(func(l loop.Loop, raw loop.Stream, c *net.TCPConn) {
		end := make(chan struct{})
		go func() { // ends when peer does, at the latest with c
			defer close(end)
			peer(c)
		}()
		s, err := loop.Secure(raw, cc, soon(l))
		if s != nil || err == nil {
			r.Error("the handshake succeeded")
		}
		check(err)
		r.is(raw.Check(), raw.Check()) // still open to questions
		raw.Close()
		c.SetDeadline(time.Unix(1, 0))
		l.Do(func() { <-end })
	})
}

func handshake(sc *tls.Config) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		t := tls.Server(c, sc)
		if t.Handshake() == nil {
			io.Copy(io.Discard, t)
		}
	}
}

func testTLSUntrusted(r *rig) {
	cc := clientConfig()
	cc.RootCAs = x509.NewCertPool()
	heard := make(chan error, 1)
	r.refused(cc, func(c *net.TCPConn) { heard <- tls.Server(c, serverConfig()).Handshake() }, func(err error) {
		var v *tls.CertificateVerificationError
		var u x509.UnknownAuthorityError
		if !errors.As(err, &v) || !errors.As(err, &u) {
			r.Errorf("%T: %v", err, err)
		}
		if err := <-heard; err == nil || !bytes.Contains([]byte(err.Error()), []byte("bad certificate")) {
			r.Errorf("the peer did not get our alert, but %v", err)
		}
	})
}

func testTLSWrongName(r *rig) {
	cc := clientConfig()
	cc.ServerName = "other.test"
	r.refused(cc, handshake(serverConfig()), func(err error) {
		var h x509.HostnameError
		if !errors.As(err, &h) || h.Host != "other.test" {
			r.Errorf("%T: %v", err, err)
		}
	})
}

func testTLSAlert(r *rig) {
	sc := serverConfig()
	sc.MinVersion = tls.VersionTLS13
	cc := clientConfig()
	cc.MaxVersion = tls.VersionTLS12
	r.refused(cc, handshake(sc), func(err error) {
		var o *net.OpError
		if !errors.As(err, &o) || o.Op != "remote error" || o.Err.Error() != "tls: protocol version not supported" {
			r.Errorf("%T: %v", err, err)
		}
	})
	// A TLS 1.3 server refuses a client without a certificate after the client's
	// handshake has succeeded: the alert comes in Fill.
	sc = serverConfig()
	sc.ClientAuth = tls.RequireAnyClientCert
	r.dialed(func(l loop.Loop, raw loop.Stream, c *net.TCPConn) {
		go handshake(sc)(c) // ends with the handshake, or c
		s, err := loop.Secure(raw, clientConfig(), soon(l))
		r.must(err)
		var b loop.Buffer
		err = s.Fill(&b, soon(l))
		var o *net.OpError
		if !errors.As(err, &o) || o.Err.Error() != "tls: certificate required" {
			r.Errorf("%T: %v", err, err)
		}
		s.Close()
	})
}

func testTLSNotTLS(r *rig) {
	r.refused(clientConfig(), func(c *net.TCPConn) {
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		io.Copy(io.Discard, c)
	}, func(err error) {
		var h tls.RecordHeaderError
		if !errors.As(err, &h) || string(h.RecordHeader[:]) != "HTTP/" {
			r.Errorf("%T: %v", err, err)
		}
	})
}

func testTLSHandshakeEnds(r *rig) {
	hello := func(c *net.TCPConn) { io.ReadFull(c, make([]byte, 5)) }
	r.refused(clientConfig(), func(c *net.TCPConn) {
		hello(c)
		c.CloseWrite()
		io.Copy(io.Discard, c)
	}, func(err error) { r.is(err, io.EOF) })
	r.refused(clientConfig(), func(c *net.TCPConn) {
		hello(c)
		io.WriteString(c, "\x16\x03")
		c.CloseWrite()
		io.Copy(io.Discard, c)
	}, func(err error) { r.is(err, io.ErrUnexpectedEOF) })
	r.refused(clientConfig(), func(c *net.TCPConn) {
		hello(c)
		c.SetLinger(0)
		c.Close()
	}, func(err error) { r.is(err, syscall.ECONNRESET) })

	r.dialed(func(l loop.Loop, raw loop.Stream, c *net.TCPConn) {
		_, err := loop.Secure(raw, clientConfig(), l.Now().Add(moment))
		if err != loop.ErrTimeout {
			r.Errorf("%T: %v", err, err)
		}
	})
	r.dialed(func(l loop.Loop, raw loop.Stream, c *net.TCPConn) {
		l.Go(l.Current().Interrupt)
		_, err := loop.Secure(raw, clientConfig(), loop.Never)
		if err != loop.ErrInterrupted {
			r.Errorf("%T: %v", err, err)
		}
	})
	r.dialed(func(l loop.Loop, raw loop.Stream, c *net.TCPConn) {
		l.Go(raw.Close)
		_, err := loop.Secure(raw, clientConfig(), loop.Never)
		if err != loop.ErrClosed {
			r.Errorf("%T: %v", err, err)
		}
	})
}

func testTLSBroken(r *rig) {
	for _, junk := range []string{
		"\x17\x03\x03\x00\x20" + "a record that was never encrypted",
		"\x17\x03\x03\xff\xff" + "a record that is too long",
		"\x99\x03\x03\x00\x04what",
	} {
		r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
			r.write(peer, "good")
			r.write(peer.NetConn(), junk)
			var b loop.Buffer
			r.fill(s, &b, 4)
			err := s.Fill(&b, soon(l))
			if err == nil || err == io.EOF || errors.Is(err, loop.ErrTimeout) || string(b.Bytes()) != "good" {
				r.Errorf("%q: %v", b.Bytes(), err)
			}
			b.Release()
		})
	}
}

// secrets finds a traffic secret in what tls.Config.KeyLogWriter gets.
type secrets struct {
	sync.Mutex
	client []byte
}

func (s *secrets) Write(line []byte) (int, error) {
	s.Lock()
	defer s.Unlock()
	if f := bytes.Fields(line); len(f) == 3 && string(f[0]) == "CLIENT_TRAFFIC_SECRET_0" {
		s.client, _ = hex.DecodeString(string(f[2]))
	}
	return len(line), nil
}

// expandLabel is HKDF-Expand-Label of RFC 8446 §7.1 without context.
func (r *rig) expandLabel(secret []byte, label string, n int) []byte {
	info := append([]byte{byte(n >> 8), byte(n), byte(6 + len(label))}, "tls13 "+label+"\x00"...)
	out, err := hkdf.Expand(sha256.New, secret, string(info), n)
	r.must(err)
	return out
}

// sealed is a record: its content and its type, encrypted (RFC 8446 §5.2).
func (r *rig) sealed(secret []byte, sequence byte, kind byte, content ...byte) []byte {
	block, err := aes.NewCipher(r.expandLabel(secret, "key", 16))
	r.must(err)
	aead, err := cipher.NewGCM(block)
	r.must(err)
	nonce := r.expandLabel(secret, "iv", 12)
	nonce[11] ^= sequence
	content = append(content, kind)
	head := []byte{23, 3, 3, 0, byte(len(content) + aead.Overhead())}
	return aead.Seal(head, nonce, content, head)
}

// A client may ask for new keys between any two bytes (RFC 8446 §4.6.3). One that
// does so and reads nothing makes the queue of answers grow, up to a limit.
func testTLSKeyFlood(r *rig) {
	r.accepted(func(l loop.Loop, raw loop.Stream, c *net.TCPConn) {
		var log secrets
		cc := clientConfig()
		cc.KeyLogWriter = &log
		peer := tls.Client(c, cc)
		shaken := make(chan error, 1)
		go func() { shaken <- peer.Handshake() }() // ends with the handshake, or c
		s, err := loop.SecureServer(raw, nil, serverConfig(), soon(l))
		r.must(err)
		l.Do(func() { err = <-shaken })
		r.must(err)
		if peer.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
			r.Fatal("another cipher suite: teach it to this test")
		}
		r.stuff(raw) // the client reads nothing any more
		secret := log.client
		gone := make(chan struct{})
		go func() { // ends when the stream does
			defer close(gone)
			for {
				// A byte, so that the connection gets on, and KeyUpdate with the wish for another.
				both := append(r.sealed(secret, 0, 23, 'x'), r.sealed(secret, 1, 22, 24, 0, 0, 1, 1)...)
				if _, err := c.Write(both); err != nil {
					return
				}
				secret = r.expandLabel(secret, "traffic upd", 32)
			}
		}()
		var b loop.Buffer
		err = nil
		for fills := 0; err == nil && fills < 100_000; fills++ { // some 5 000 answers are the limit
			err = s.Fill(&b, soon(l))
			b.Consume(b.Len())
		}
		b.Release()
		if err == nil || !strings.Contains(err.Error(), "new keys") {
			r.Errorf("the end is %v", err)
		}
		s.Abort()
		l.Do(func() { <-gone })
	})
}
