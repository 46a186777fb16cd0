package certs

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// waiting signs when somebody has called.
type waiting struct {
	crypto.Signer
	called chan struct{}
}

func (w waiting) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	select {
	case <-w.called:
	case <-time.After(10 * time.Second):
		return nil, io.ErrNoProgress
	}
	return w.Signer.Sign(random, digest, o)
}

// While an RSA key signs, the loop runs other tasks.
func TestSlowKeysSignElsewhere(t *testing.T) {
	d := dir{t, t.TempDir()}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	d.pair("rsa", key, "localhost")
	s, err := Load(Options{Certificates: []string{d.file("rsa.pem")}, Keys: []string{d.file("rsa.key")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	engines := map[string]loop.Engine{"portable": loop.Portable(loop.PortableOptions{Loops: 1})}
	if loop.HasEpoll {
		if engines["epoll"], err = loop.Epoll(loop.EpollOptions{Loops: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for name, e := range engines {
		called := make(chan struct{})
		s.certs[0].PrivateKey = waiting{key, called}
		ln, err := e.Listen(loop.Address{IP: netip.MustParseAddrPort("127.0.0.1:0")})
		if err != nil {
			t.Fatal(err)
		}
		e.Serve(ln, func(l loop.Loop, raw loop.Stream) {
			defer raw.Close()
			l.Go(func() { // another task, which gets its turn in the handshake
				l.Sleep(l.Now() + 1e6)
				close(called)
			})
			if _, err := loop.SecureServer(raw, nil, s.Config(), l.Now().Add(20e9)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := tls.Client(c, trusting("")).Handshake(); err != nil { // without SNI too
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
		ln.Close()
		e.Close()
	}
}
