package upstream

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// authority is a certificate that can sign others.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var serial int64

// issue makes a certificate for localhost, changed as told. A nil signer means
// that it signs itself.
func issue(t testing.TB, signer *authority, change func(*x509.Certificate)) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: fmt.Sprintf("test %d", serial)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"localhost"},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(c)
	}
	if signer == nil {
		signer = &authority{c, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, signer.cert, &key.PublicKey, signer.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func asCA(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	c.DNSNames, c.ExtKeyUsage = nil, nil
}

// chain is what a server presents.
func chain(leaf *authority, more ...*authority) tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{leaf.cert.Raw}, PrivateKey: leaf.key}
	for _, a := range more {
		c.Certificate = append(c.Certificate, a.cert.Raw)
	}
	return c
}

// serving runs one connection after the other through f, on loopback.
func serving(t *testing.T, f func(net.Conn)) (port uint16) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() { // ends with ln, when the last connection has
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			f(c)
			c.Close()
		}
	}()
	return uint16(ln.Addr().(*net.TCPAddr).Port)
}

// overTLS runs f on the server's side of a handshake that went well.
func overTLS(c *tls.Config, f func(*tls.Conn)) func(net.Conn) {
	return func(n net.Conn) {
		s := tls.Server(n, c)
		if s.Handshake() == nil && f != nil {
			f(s)
		}
		io.Copy(io.Discard, n) // a close with unread input would be a reset
	}
}

// secured dials a TLS server on 127.0.0.1 by the name localhost.
func secured(t *testing.T, roots *authority, port uint16, o Options, f func(l loop.Loop, p *Local, c *Conn, fault *fault.Fault)) {
	t.Helper()
	o.CA = x509.NewCertPool()
	if roots != nil {
		o.CA.AddCert(roots.cert)
	}
	if o.ServerName == "" {
		o.ServerName = "localhost"
	}
	u := upstreamOf(t, o, fmt.Sprintf("https://127.0.0.1:%d", port))
	run(t, loop.PortableOptions{}, func(l loop.Loop) {
		p := u.On(l)
		var tm Timing
		c, flt := p.Dial(u.endpoints[0], loop.Never, &tm)
		if (c != nil) != (tm.Secured != 0) || tm.Connected == 0 {
			t.Errorf("timing %+v", tm)
		}
		if flt != nil {
			if flt.At != fault.Secure && flt.ID != fault.TLSRecordCorrupt || flt.Get("address") == "" || flt.Get("host") != o.ServerName {
				t.Errorf("%s at %s: %v", flt.ID, flt.At, flt.Param)
			}
			if s := flt.Observed(); strings.Contains(s, "{") {
				t.Errorf("a fact is missing: %s", s)
			}
		}
		defer func() { // also when f gives up
			if c != nil {
				p.Drop(c, true)
			}
		}()
		f(l, p, c, flt)
	})
}

func TestCertificates(t *testing.T) {
	root := issue(t, nil, asCA)
	stranger := issue(t, nil, asCA)
	middle := issue(t, root, asCA)
	strangeMiddle := issue(t, stranger, func(c *x509.Certificate) {
		asCA(c)
		c.IssuingCertificateURL = []string{"http://pki.test/root.cer"}
	})
	past, future := time.Now().Add(-24*time.Hour).Truncate(time.Second), time.Now().Add(24*time.Hour).Truncate(time.Second)
	aia := func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"http://pki.test/middle.cer"} }
	many := make([]string, 20)
	for i := range many {
		many[i] = fmt.Sprintf("h%02d.test", i)
	}
	for _, c := range []struct {
		name  string
		cert  tls.Certificate
		want  fault.ID
		facts map[string]string
	}{
		{"good", chain(issue(t, root, nil)), "", nil},
		{"good, with its intermediate", chain(issue(t, middle, nil), middle), "", nil},
		{"expired", chain(issue(t, root, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = past.Add(-time.Hour), past })),
			fault.TLSCertExpired, map[string]string{"notafter": past.UTC().Format(time.RFC3339), "issuer": root.cert.Subject.String()}},
		{"not yet valid", chain(issue(t, root, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = future, future.Add(time.Hour) })),
			fault.TLSCertNotYetValid, map[string]string{"notbefore": future.UTC().Format(time.RFC3339)}},
		{"for another name", chain(issue(t, root, func(c *x509.Certificate) {
			c.DNSNames, c.IPAddresses = []string{"other.test"}, []net.IP{net.IPv4(127, 0, 0, 9)}
		})), fault.TLSCertNameMismatch, map[string]string{"names": "other.test, 127.0.0.9", "host": "localhost"}},
		{"for many other names", chain(issue(t, root, func(c *x509.Certificate) { c.DNSNames = many })),
			fault.TLSCertNameMismatch, map[string]string{"names": strings.Join(many[:namesMost], ", ") + " and 12 more"}},
		{"for no name", chain(issue(t, root, func(c *x509.Certificate) { c.DNSNames = nil })),
			fault.TLSCertNameMismatch, map[string]string{"names": "no name at all"}},
		{"of a stranger", chain(issue(t, stranger, nil)), fault.TLSCertUnknownCA, map[string]string{"issuer": stranger.cert.Subject.String()}},
		{"of a stranger, root and all", chain(issue(t, stranger, aia), stranger), fault.TLSCertUnknownCA, nil},
		{"of itself", chain(issue(t, nil, nil)), fault.TLSCertSelfSigned, nil},
		{"without its intermediate", chain(issue(t, middle, aia)), fault.TLSCertChainIncomplete, map[string]string{"issuer": middle.cert.Subject.String()}},
		{"with half of its chain", chain(issue(t, strangeMiddle, aia), strangeMiddle), fault.TLSCertChainIncomplete, nil},
		{"with the wrong intermediate", chain(issue(t, middle, aia), stranger), fault.TLSCertChainIncomplete, nil},
		{"for clients", chain(issue(t, root, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		})), fault.TLSCertUsage, nil},
		{"signed by one that may not sign", chain(issue(t, issue(t, root, nil), nil), issue(t, root, nil)), fault.TLSCertUnknownCA, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			port := serving(t, overTLS(&tls.Config{Certificates: []tls.Certificate{c.cert}}, nil))
			secured(t, root, port, Options{}, func(_ loop.Loop, _ *Local, conn *Conn, f *fault.Fault) {
				if f == nil {
					if c.want != "" || !conn.Secure || conn.SentBefore == 0 {
						t.Errorf("accepted %+v, want %s", conn, c.want)
					}
					return
				}
				if f.ID != c.want {
					t.Errorf("got %s (%v), want %q", f.ID, f.Err, c.want)
				}
				var v *tls.CertificateVerificationError
				if !errors.As(f, &v) {
					t.Errorf("the cause is lost: %v", f.Err)
				}
				for name, want := range c.facts {
					if got := f.Get(name); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
			})
		})
	}
}

// readHello reads the ClientHello's record.
func readHello(c net.Conn) {
	var h [5]byte
	if _, err := io.ReadFull(c, h[:]); err == nil {
		io.CopyN(io.Discard, c, int64(h[3])<<8|int64(h[4]))
	}
}

func says(b string) func(net.Conn) {
	return func(c net.Conn) {
		readHello(c)
		io.WriteString(c, b)
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
	}
}

func TestHandshakes(t *testing.T) {
	root := issue(t, nil, asCA)
	cert := []tls.Certificate{chain(issue(t, root, nil))}
	alert := func(n byte) string { return "\x15\x03\x03\x00\x02\x02" + string([]byte{n}) }
	const answer400 = "HTTP/1.1 400 Bad Request\r\nContent-Length: 5\r\n\r\nsorry"
	for _, c := range []struct {
		name  string
		serve func(net.Conn)
		want  fault.ID
		facts map[string]string
		saw   string
	}{
		{"HTTP", says(answer400), fault.TLSGotPlaintext, map[string]string{"got": `"HTTP/1.1 400 Bad Request"`}, answer400},
		{"SSH", func(c net.Conn) { io.WriteString(c, "SSH-2.0-x\r\n"); says("")(c) }, fault.TLSGotPlaintext,
			map[string]string{"got": `"SSH-2.0-x"`}, "SSH-2.0-x\r\n"},
		{"too little to be a record", says("no"), fault.TLSGotPlaintext, map[string]string{"got": `"no"`}, "no"},
		{"much plaintext", says(strings.Repeat("x", 5000)), fault.TLSGotPlaintext, nil, strings.Repeat("x", evidenceMost)},
		{"terminal escapes", says("\x1b[2J\x1b[31m"), fault.TLSGotPlaintext, map[string]string{"got": `"\x1b[2J\x1b[31m"`}, "\x1b[2J\x1b[31m"},
		{"FIN", says(""), fault.TLSEOFInHandshake, nil, ""},
		{"FIN in a record", says("\x16\x03\x03\x00\x50abc"), fault.TLSEOFInHandshake, nil, ""},
		{"RST", func(c net.Conn) { readHello(c); c.(*net.TCPConn).SetLinger(0) }, fault.TLSRSTInHandshake, nil, ""},
		{"alert 40", says(alert(40)), fault.TLSAlertHandshakeFailure, map[string]string{"alert": "40", "value": "handshake failure"}, ""},
		{"alert 48", says(alert(48)), fault.TLSAlertUnknownCA, map[string]string{"alert": "48"}, ""},
		{"alert 70", says(alert(70)), fault.TLSAlertProtocolVersion, map[string]string{"alert": "70"}, ""},
		{"alert 112", says(alert(112)), fault.TLSAlertUnrecognizedName, map[string]string{"alert": "112"}, ""},
		{"alert 116", says(alert(116)), fault.TLSAlertCertificateRequired, map[string]string{"alert": "116"}, ""},
		{"alert 120", says(alert(120)), fault.TLSAlertNoApplicationProtocol, map[string]string{"alert": "120"}, ""},
		{"alert 80", says(alert(80)), fault.TLSAlertOther, map[string]string{"alert": "80", "value": "internal error"}, ""},
		{"an alert that nobody knows", says(alert(200)), fault.TLSAlertOther, map[string]string{"alert": "200", "value": "alert(200)"}, ""},
		{"garbage in a record", says("\x16\x03\x03\x00\x05zzzzz"), fault.TLSHandshakeInvalid, nil, ""},
		{"old TLS only", overTLS(&tls.Config{Certificates: cert, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, nil),
			fault.TLSAlertProtocolVersion, nil, ""},
		{"another protocol only", overTLS(&tls.Config{Certificates: cert, NextProtos: []string{"imap"}}, nil), fault.TLSAlertNoApplicationProtocol, nil, ""},
		{"client certificate, TLS 1.2", overTLS(&tls.Config{Certificates: cert, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}, nil),
			fault.TLSAlertCertificateRequired, map[string]string{"alert": "40"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			secured(t, root, serving(t, c.serve), Options{}, func(_ loop.Loop, _ *Local, conn *Conn, f *fault.Fault) {
				if f == nil || f.ID != c.want {
					t.Fatalf("got %v, want %s", f, c.want)
				}
				for name, want := range c.facts {
					if got := f.Get(name); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
				switch {
				case (f.Saw != nil) != (c.saw != ""):
					t.Errorf("evidence %v, want %q", f.Saw, c.saw)
				case f.Saw != nil && (string(f.Saw.Bytes) != c.saw || f.Saw.Mark != 0):
					t.Errorf("evidence %q marked at %d, want %q", f.Saw.Bytes, f.Saw.Mark, c.saw)
				}
			})
		})
	}
}

func TestHandshakeTimeouts(t *testing.T) {
	for _, c := range []struct {
		until, took time.Duration
		want        fault.ID
	}{{0, DefaultSecure, fault.TLSHandshakeTimeout}, {time.Second, time.Second, fault.TotalTimeout}} {
		synctest.Test(t, func(t *testing.T) {
			d := &dials{start: time.Now(), to: map[string]dialled{"127.0.0.1:443": {}}, mute: true}
			run(t, loop.PortableOptions{Dial: d.dial}, func(l loop.Loop) {
				u := upstreamOf(t, Options{}, "https://127.0.0.1")
				p, began := u.On(l), l.Now()
				_, f := p.Dial(u.endpoints[0], began.Add(int64(c.until)), nil)
				if f == nil || f.ID != c.want || f.At != fault.Secure || time.Duration(l.Now()-began) != c.took {
					t.Errorf("%v at %s after %v, want %s after %v", f, f.At, time.Duration(l.Now()-began), c.want, c.took)
				}
				if p.bench[0].inFlight != 0 {
					t.Error("still in flight")
				}
			})
			if len(d.ended) != 1 {
				t.Error("the connection was not closed")
			}
		})
	}
}

// What ends an established stream.
func TestTLSFault(t *testing.T) {
	root := issue(t, nil, asCA)
	cert := []tls.Certificate{chain(issue(t, root, nil))}
	for _, c := range []struct {
		name  string
		serve func(net.Conn)
		want  fault.ID
	}{
		{"client certificate, TLS 1.3", overTLS(&tls.Config{Certificates: cert, ClientAuth: tls.RequireAnyClientCert}, nil), fault.TLSAlertCertificateRequired},
		{"close_notify", overTLS(&tls.Config{Certificates: cert}, func(s *tls.Conn) { s.CloseWrite(); s.NetConn().(*net.TCPConn).CloseWrite() }), ""},
		{"FIN without close_notify", overTLS(&tls.Config{Certificates: cert}, func(s *tls.Conn) { s.NetConn().(*net.TCPConn).CloseWrite() }), fault.TLSTruncation},
		{"a record of noise", overTLS(&tls.Config{Certificates: cert}, func(s *tls.Conn) {
			s.NetConn().Write(append([]byte("\x17\x03\x03\x00\x40"), bytes.Repeat([]byte{7}, 64)...))
		}), fault.TLSRecordCorrupt},
		{"plaintext", overTLS(&tls.Config{Certificates: cert}, func(s *tls.Conn) { io.WriteString(s.NetConn(), "HTTP/1.1 200 OK\r\n\r\n") }), fault.TLSRecordCorrupt},
		{"RST", overTLS(&tls.Config{Certificates: cert}, func(s *tls.Conn) { s.NetConn().(*net.TCPConn).SetLinger(0); s.NetConn().Close() }), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			secured(t, root, serving(t, c.serve), Options{}, func(_ loop.Loop, _ *Local, conn *Conn, f *fault.Fault) {
				if f != nil {
					t.Fatal(f)
				}
				var in loop.Buffer
				err := conn.Stream.Fill(&in, loop.Never)
				for err == nil {
					in.Consume(in.Len())
					err = conn.Stream.Fill(&in, loop.Never)
				}
				in.Release()
				got := TLSFault(err)
				switch {
				case got == nil:
					if c.want != "" {
						t.Errorf("%v is not lifted, want %s", err, c.want)
					}
				case got.ID != c.want || !errors.Is(got, err):
					t.Errorf("%v became %s, want %q", err, got.ID, c.want)
				case strings.Contains(got.Observed(), "{"):
					t.Errorf("a fact is missing: %s", got.Observed())
				}
			})
		})
	}
	for _, err := range []error{io.EOF, loop.ErrTimeout, loop.ErrInterrupted, syscall.ECONNRESET, nil} {
		if f := TLSFault(err); f != nil {
			t.Errorf("%v has nothing to do with TLS, and became %s", err, f.ID)
		}
	}
}

// A pooled TLS connection survives the session tickets that come after the
// handshake, and the next dial resumes the session.
func TestTLSPoolAndResumption(t *testing.T) {
	root := issue(t, nil, asCA)
	resumed := make(chan bool, 2)
	port := serving(t, overTLS(&tls.Config{Certificates: []tls.Certificate{chain(issue(t, root, nil))}}, func(s *tls.Conn) {
		resumed <- s.ConnectionState().DidResume
		io.Copy(s, s)
	}))
	secured(t, root, port, Options{}, func(l loop.Loop, p *Local, c *Conn, f *fault.Fault) {
		if f != nil {
			t.Fatal(f)
		}
		e := c.Endpoint
		for range 3 {
			if _, err := c.Stream.Send([]byte("hello"), nil, loop.Never); err != nil {
				t.Fatal(err)
			}
			for c.In.Len() < 5 {
				if err := c.Stream.Fill(&c.In, loop.Never); err != nil {
					t.Fatal(err)
				}
			}
			c.In.Consume(5)
			p.Keep(c, 0)
			again, note := p.Take(e)
			if again != c || note != "" {
				t.Fatalf("took %v, note %q", again, note)
			}
		}
		p.Drop(c, false)
		c2, f := p.Dial(e, loop.Never, nil)
		if f != nil {
			t.Fatal(f)
		}
		p.Drop(c2, false)
		if <-resumed || !<-resumed {
			t.Error("the second session was not resumed")
		}
		p.Close()
	})
}

// Only the alert's text leads to its number: each must be told apart.
func TestAlertTextsAreUnique(t *testing.T) {
	if len(alertNumbers) != 256 {
		t.Errorf("%d texts for 256 alerts", len(alertNumbers))
	}
}

// The second connection to an endpoint goes on with the first one's session, in
// whatever version, and whichever loop asks.
func TestResumption(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		ca := issue(t, nil, asCA)
		server := &tls.Config{Certificates: []tls.Certificate{chain(issue(t, ca, nil))}, MaxVersion: version}
		resumed := make(chan bool, 4)
		port := serving(t, overTLS(server, func(s *tls.Conn) {
			resumed <- s.ConnectionState().DidResume
			s.Write([]byte("x")) // a ticket of TLS 1.3 comes before it
			s.CloseWrite()
		}))
		o := Options{CA: x509.NewCertPool(), ServerName: "localhost"}
		o.CA.AddCert(ca.cert)
		u := upstreamOf(t, o, fmt.Sprintf("https://127.0.0.1:%d", port))
		for i := range 3 {
			run(t, loop.PortableOptions{}, func(l loop.Loop) { // a loop of its own each time
				c, flt := u.On(l).Dial(u.endpoints[0], loop.Never, nil)
				if flt != nil {
					t.Fatal(flt)
				}
				defer c.Stream.Close()
				var b loop.Buffer
				defer b.Release()
				for {
					if err := c.Stream.Fill(&b, loop.Never); err == io.EOF {
						break
					} else if err != nil {
						t.Fatal(err)
					}
				}
			})
			if got := <-resumed; got != (i > 0) {
				t.Errorf("%x, connection %d: resumed %v", version, i, got)
			}
		}
	}
}

// SNI may be another name than the one that is verified, and nothing is verified
// only where that is wanted.
func TestNames(t *testing.T) {
	ca, other := issue(t, nil, asCA), issue(t, nil, asCA)
	asked := make(chan string, 1)
	server := &tls.Config{Certificates: []tls.Certificate{chain(issue(t, ca, nil))}} // for localhost
	server.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		asked <- h.ServerName
		return nil, nil
	}
	for _, tt := range []struct {
		name  string
		o     Options
		roots *authority
		sni   string
		want  fault.ID
	}{
		{"as ever", Options{}, ca, "localhost", ""},
		{"SNI of its own", Options{SNI: "front.test"}, ca, "front.test", ""},
		{"SNI of its own, another authority", Options{SNI: "front.test"}, other, "front.test", fault.TLSCertUnknownCA},
		{"SNI of its own, another name", Options{SNI: "localhost", ServerName: "other.test"}, ca, "localhost", fault.TLSCertNameMismatch},
		{"the name does not match", Options{ServerName: "other.test"}, ca, "other.test", fault.TLSCertNameMismatch},
		{"trusting", Options{Trusting: true}, other, "localhost", ""},
		{"trusting, with SNI and another name", Options{Trusting: true, SNI: "front.test", ServerName: "other.test"}, other, "front.test", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			port := serving(t, overTLS(server, nil))
			secured(t, tt.roots, port, tt.o, func(_ loop.Loop, _ *Local, c *Conn, flt *fault.Fault) {
				got := fault.ID("")
				if flt != nil {
					got = flt.ID
				}
				if got != tt.want {
					t.Errorf("%q, want %q", got, tt.want)
				}
				if c != nil {
					c.Stream.Close()
				}
			})
			if got := <-asked; got != tt.sni {
				t.Errorf("asked for %q, want %q", got, tt.sni)
			}
		})
	}
}

// An endpoint that wants a certificate of ours gets it.
func TestClientCertificate(t *testing.T) {
	ca := issue(t, nil, asCA)
	ours := chain(issue(t, ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }))
	server := &tls.Config{Certificates: []tls.Certificate{chain(issue(t, ca, nil))}, ClientAuth: tls.RequireAndVerifyClientCert,
		ClientCAs: x509.NewCertPool(), MaxVersion: tls.VersionTLS12}
	server.ClientCAs.AddCert(ca.cert)
	for _, shown := range []*tls.Certificate{nil, &ours} {
		port := serving(t, overTLS(server, nil))
		secured(t, ca, port, Options{Certificate: shown}, func(_ loop.Loop, _ *Local, c *Conn, flt *fault.Fault) {
			if (flt == nil) != (shown != nil) {
				t.Errorf("certificate %v: %v", shown != nil, flt)
			}
			if c != nil {
				c.Stream.Close()
			}
		})
	}
}
