package faulty_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net/netip"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/loop/faulty"
)

var loopback = loop.Address{IP: netip.MustParseAddrPort("127.0.0.1:0")}

const second = int64(time.Second)

// engines are those that this system has, each with one loop.
func engines(t testing.TB) []loop.Engine {
	es := []loop.Engine{loop.Portable(loop.PortableOptions{Loops: 1, Poison: true})}
	if loop.HasEpoll {
		e, err := loop.Epoll(loop.EpollOptions{Loops: 1, Poison: true})
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, e)
	}
	return es
}

// with runs client as a task of a loop with faults, on each engine; serve is the
// faultless peer.
func with(t *testing.T, p *faulty.Plan, serve func(loop.Loop, loop.Stream), client func(l loop.Loop, to loop.Address)) {
	t.Helper()
	for _, e := range engines(t) {
		withEngine(t, e, p, serve, client)
	}
}

func withEngine(t *testing.T, e loop.Engine, p *faulty.Plan, serve func(loop.Loop, loop.Stream), client func(l loop.Loop, to loop.Address)) {
	t.Helper()
	defer e.Close()
	ln, err := e.Listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	e.Serve(ln, serve)
	done := make(chan struct{})
	l := faulty.Wrap(e, p).Loops()[0]
	l.Post(func() {
		defer close(done)
		client(l, ln.Addr())
	})
	<-done
}

// says sends what and reads until FIN.
func says(what string) func(loop.Loop, loop.Stream) {
	return func(l loop.Loop, s loop.Stream) {
		defer s.Close()
		s.Send([]byte(what), nil, l.Now().Add(20*second))
		var b loop.Buffer
		defer b.Release()
		for s.Fill(&b, l.Now().Add(20*second)) == nil {
			b.Consume(b.Len())
		}
	}
}

// dial is for plans that let it succeed.
func dial(t *testing.T, l loop.Loop, to loop.Address) loop.Stream {
	s, err := l.Dial(to, l.Now().Add(20*second))
	if err != nil {
		t.Error(err)
		runtime.Goexit() // a task is not the test's goroutine
	}
	if s.Loop() != l {
		t.Error("the stream is another loop's")
	}
	return s
}

// read fills until the end, and tells in what pieces bytes came.
func read(s loop.Stream) (all string, pieces []int, err error) {
	l := s.Loop()
	var b loop.Buffer
	defer b.Release()
	for {
		had := b.Len()
		if err = s.Fill(&b, l.Now().Add(20*second)); err != nil {
			return string(b.Bytes()), pieces, err
		}
		pieces = append(pieces, b.Len()-had)
	}
}

func TestInput(t *testing.T) {
	for _, c := range []struct {
		name string
		plan faulty.Plan
		want string
		end  error
		most int // bytes of a piece
	}{
		{"without a fault", faulty.Plan{}, "0123456789", loop.ErrTimeout, 10},
		{"in pieces of one", faulty.Plan{ReadSize: 1, CutAfter: 10}, "0123456789", io.EOF, 1},
		{"in pieces of three", faulty.Plan{ReadSize: 3, CutAfter: 10}, "0123456789", io.EOF, 3},
		{"cut at byte 4", faulty.Plan{CutAfter: 4}, "0123", io.EOF, 4},
		{"cut at once", faulty.Plan{CutAfter: -1}, "", io.EOF, 0},
		{"reset at byte 7", faulty.Plan{ResetAfter: 7}, "0123456", syscall.ECONNRESET, 7},
		{"reset at once", faulty.Plan{ResetAfter: -1}, "", syscall.ECONNRESET, 0},
		{"reset before the cut", faulty.Plan{ResetAfter: 2, CutAfter: 5}, "01", syscall.ECONNRESET, 2},
		{"cut before the reset", faulty.Plan{ResetAfter: 5, CutAfter: 2}, "01", io.EOF, 2},
		{"for somebody else", faulty.Plan{CutAfter: 2, For: func(loop.Address) bool { return false }}, "0123456789", loop.ErrTimeout, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			with(t, &c.plan, says("0123456789"), func(l loop.Loop, to loop.Address) {
				s := dial(t, l, to)
				defer s.Close()
				var b loop.Buffer
				for b.Len() < len(c.want) {
					had := b.Len()
					if err := s.Fill(&b, l.Now().Add(20*second)); err != nil {
						t.Error(err)
						return
					}
					if n := b.Len() - had; n < 1 || n > c.most {
						t.Errorf("a piece of %d", n)
					}
				}
				if string(b.Bytes()) != c.want {
					t.Errorf("got %q", b.Bytes())
				}
				for range 2 {
					if err := s.Fill(&b, l.Now()+1000); !errors.Is(err, c.end) {
						t.Errorf("then %v, want %v", err, c.end)
					}
				}
				if c.end != loop.ErrTimeout {
					if err := s.Check(); err != c.end {
						t.Errorf("Check: %v", err)
					}
				}
				_, err := s.Send([]byte("x"), nil, l.Now().Add(second))
				if want := error(nil); c.end == syscall.ECONNRESET {
					if want = syscall.EPIPE; err != want {
						t.Errorf("Send after a reset: %v", err)
					}
				} else if err != nil {
					t.Errorf("Send: %v", err)
				}
				b.Release()
			})
		})
	}
}

// TestRest: a rest ends at what the plan has for us, also when the kernel has
// nothing more.
func TestRest(t *testing.T) {
	p := &faulty.Plan{ReadSize: 2, CutAfter: 5}
	with(t, p, says("0123456789"), func(l loop.Loop, to loop.Address) {
		s := dial(t, l, to)
		defer s.Close()
		var b loop.Buffer
		defer b.Release()
		me := l.Current()
		for {
			var err error
			s.Rest(l.Now().Add(20*second), func(e error) {
				if err = e; err == nil {
					err = s.Fill(&b, loop.Try)
				}
				me.Wake()
			})
			l.Park(loop.Never)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
		if string(b.Bytes()) != "01234" {
			t.Errorf("got %q", b.Bytes())
		}
	})
	with(t, &faulty.Plan{ResetAfter: 100}, says(""), func(l loop.Loop, to loop.Address) {
		s := dial(t, l, to)
		me := l.Current()
		for _, end := range []struct {
			how  func()
			want error
		}{{s.Rouse, loop.ErrInterrupted}, {s.Close, loop.ErrClosed}, {func() {}, loop.ErrClosed}} {
			var err error
			s.Rest(loop.Never, func(e error) {
				err = e
				me.Wake()
			})
			end.how()
			l.Park(loop.Never)
			if err != end.want {
				t.Errorf("%v, want %v", err, end.want)
			}
		}
	})
}

func TestDialErr(t *testing.T) {
	p := &faulty.Plan{DialErr: func(a loop.Address) error {
		if a.Path == "gone" {
			return syscall.EHOSTUNREACH
		}
		return nil
	}}
	with(t, p, says("hi"), func(l loop.Loop, to loop.Address) {
		if _, err := l.Dial(loop.Address{Path: "gone"}, loop.Never); err != syscall.EHOSTUNREACH {
			t.Error(err)
		}
		dial(t, l, to).Close()
	})
}

func TestSend(t *testing.T) {
	var got bytes.Buffer
	heard := make(chan struct{}, 1)
	serve := func(l loop.Loop, s loop.Stream) {
		defer func() { heard <- struct{}{} }()
		defer s.Close()
		var b loop.Buffer
		for s.Fill(&b, l.Now().Add(20*second)) == nil {
			got.Write(b.Bytes())
			b.Consume(b.Len())
		}
		b.Release()
	}
	p := &faulty.Plan{WriteSize: 2, SendErr: syscall.EPIPE, SendErrAfter: 7}
	with(t, p, serve, func(l loop.Loop, to loop.Address) {
		s := dial(t, l, to)
		n, err := s.Send([]byte("abc"), []byte("de"), l.Now().Add(second))
		if n != 5 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		n, err = s.Send([]byte("f"), []byte("ghi"), l.Now().Add(second))
		if n != 2 || err != syscall.EPIPE || s.Sent() != 7 {
			t.Errorf("%d, %v; Sent is %d", n, err, s.Sent())
		}
		s.Close()
		l.Do(func() { <-heard })
		if got.String() != "abcdefg" {
			t.Errorf("the peer got %q", got.String())
		}
		got.Reset()
	})
}

// What is sent after AwaitPeer meets a closed door, every time.
func TestAwaitPeer(t *testing.T) {
	p := &faulty.Plan{AfterConnect: faulty.AwaitPeer}
	with(t, p, func(_ loop.Loop, s loop.Stream) { s.Close() }, func(l loop.Loop, to loop.Address) {
		s := dial(t, l, to)
		defer s.Close()
		if err := s.Check(); err != io.EOF {
			t.Errorf("Check: %v", err)
		}
		if n, err := s.Send([]byte("late"), nil, l.Now().Add(second)); n != 4 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if d, ok := s.Delivery(); ok && (d.Acked != 0 || !d.Closed) {
			t.Errorf("%+v", d)
		}
	})
	// What the peer says first is not lost.
	with(t, p, says("hello"), func(l loop.Loop, to loop.Address) {
		s := dial(t, l, to)
		defer s.Close()
		if err := s.Check(); err != loop.ErrInput {
			t.Errorf("Check: %v", err)
		}
		var b loop.Buffer
		if err := s.Fill(&b, l.Now()); err != nil || string(b.Bytes()) != "hello" {
			t.Errorf("%q, %v", b.Bytes(), err)
		}
		b.Release()
	})
	// Nor does a silent peer hold up the caller for ever.
	with(t, p, says(""), func(l loop.Loop, to loop.Address) {
		if _, err := l.Dial(to, l.Now()+3e6); err != loop.ErrTimeout {
			t.Error(err)
		}
	})
}

func TestBlindAndDelivery(t *testing.T) {
	p := &faulty.Plan{
		AfterConnect: faulty.AwaitPeer, Blind: true,
		Delivery: func(d loop.Delivery, ok bool) (loop.Delivery, bool) { return loop.Delivery{Acked: 42}, true },
	}
	with(t, p, func(_ loop.Loop, s loop.Stream) { s.Close() }, func(l loop.Loop, to loop.Address) {
		s := dial(t, l, to)
		if err := s.Check(); err != nil {
			t.Errorf("Check: %v", err)
		}
		if d, ok := s.Delivery(); !ok || d.Acked != 42 {
			t.Errorf("%+v", d)
		}
		s.Close()
		if err := s.Check(); err != loop.ErrClosed {
			t.Errorf("Check after Close: %v", err)
		}
	})
}

func TestAccepted(t *testing.T) {
	e := loop.Portable(loop.PortableOptions{Loops: 2, Poison: true})
	defer e.Close()
	w := faulty.Wrap(e, &faulty.Plan{Accepted: true, CutAfter: 3, For: func(loop.Address) bool { return false }})
	a := loop.Address{Path: filepath.Join(t.TempDir(), "s")}
	ln, err := w.Listen(a)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	served := make(chan struct{})
	w.Serve(ln, func(l loop.Loop, s loop.Stream) {
		defer close(served)
		defer s.Close()
		if w.Loops()[l.Index()] != l || s.Loop() != l {
			t.Error("not a loop of the wrapper")
		}
		if all, _, err := read(s); all != "abc" || err != io.EOF {
			t.Errorf("%q, %v", all, err)
		}
	})
	w.Loops()[1].Post(func() {
		l := e.Loops()[1]
		s := dial(t, l, a)
		s.Send([]byte("abcdef"), nil, l.Now().Add(second))
		s.Close()
	})
	<-served
}

// TLS neither notices pieces nor is fooled by a cut.
func TestUnderTLS(t *testing.T) {
	server, client := configs(t)
	text := strings.Repeat("all that a gateway forwards. ", 2000)
	serve := func(l loop.Loop, raw loop.Stream) {
		s, err := loop.SecureServer(raw, nil, server, l.Now().Add(20*second))
		if err != nil {
			raw.Close()
			return
		}
		s.Send([]byte(text), nil, l.Now().Add(20*second))
		s.CloseWrite()
		var b loop.Buffer
		for s.Fill(&b, l.Now().Add(20*second)) == nil {
			b.Consume(b.Len())
		}
		b.Release()
		s.Close()
	}
	for _, c := range []struct {
		name string
		plan faulty.Plan
		end  error
		all  bool
	}{
		{"whole", faulty.Plan{}, io.EOF, true},
		{"in pieces", faulty.Plan{ReadSize: 7, WriteSize: 5}, io.EOF, true},
		{"byte by byte", faulty.Plan{ReadSize: 1}, io.EOF, true},
		{"cut", faulty.Plan{CutAfter: 20_000}, loop.ErrTruncated, false},
		{"reset", faulty.Plan{ResetAfter: 20_000}, syscall.ECONNRESET, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			with(t, &c.plan, serve, func(l loop.Loop, to loop.Address) {
				raw := dial(t, l, to)
				s, err := loop.Secure(raw, client, l.Now().Add(20*second))
				if err != nil {
					t.Error(err)
					raw.Close()
					return
				}
				defer s.Close()
				var b loop.Buffer
				b.Grow(len(text) + 1)
				for err == nil {
					err = s.Fill(&b, l.Now().Add(20*second))
				}
				if !errors.Is(err, c.end) || !strings.HasPrefix(text, string(b.Bytes())) || (b.Len() == len(text)) != c.all {
					t.Errorf("%d of %d bytes, %v", b.Len(), len(text), err)
				}
				b.Release()
			})
		})
	}
	t.Run("in the handshake", func(t *testing.T) {
		for at, want := range map[int64]error{-1: io.EOF, 3: io.ErrUnexpectedEOF, 100: io.ErrUnexpectedEOF} {
			with(t, &faulty.Plan{CutAfter: at}, serve, func(l loop.Loop, to loop.Address) {
				raw := dial(t, l, to)
				if _, err := loop.Secure(raw, client, l.Now().Add(20*second)); !errors.Is(err, want) {
					t.Errorf("cut at %d: %v, want %v", at, err, want)
				}
				raw.Close()
			})
		}
	})
}

func configs(t testing.TB) (server, client *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"origin.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: roots, ServerName: "origin.test"}
}

// FuzzPieces: in whatever pieces the network takes and gives bytes, over TLS or
// not, they come out as they went in, and a cut is never taken for the end.
func FuzzPieces(f *testing.F) {
	server, client := configs(f)
	f.Add([]byte("hello"), 1, 1, int64(0), false)
	f.Add([]byte(strings.Repeat("0123456789", 3000)), 1000, 77, int64(0), true)
	f.Add([]byte("cut in a record"), 5, 5, int64(1700), true)
	f.Add([]byte("cut"), 5, 5, int64(2), false)
	es := engines(f)
	dir := f.TempDir() // unix sockets: no ports to run out of
	type job struct {
		text   []byte
		secure bool
	}
	jobs := make(chan job, 1)
	serve := func(l loop.Loop, s loop.Stream) {
		j := <-jobs // sent before the dial
		if j.secure {
			t, err := loop.SecureServer(s, nil, server, l.Now().Add(20*second))
			if err != nil {
				s.Close()
				return
			}
			s = t
		}
		s.Send(j.text[:len(j.text)/3], j.text[len(j.text)/3:], l.Now().Add(20*second))
		s.Close()
	}
	var at []loop.Address
	for i, e := range es {
		a := loop.Address{Path: filepath.Join(dir, strconv.Itoa(i))}
		ln, err := e.Listen(a)
		if err != nil {
			f.Fatal(err)
		}
		e.Serve(ln, serve)
		at = append(at, a)
		f.Cleanup(func() {
			ln.Close()
			e.Close()
		})
	}
	pieces := func(t *testing.T, e loop.Engine, a loop.Address, text []byte, readSize, writeSize int, cut int64, secure bool) {
		p := &faulty.Plan{ReadSize: max(0, readSize%5000), WriteSize: max(0, writeSize%5000), CutAfter: cut}
		l := faulty.Wrap(e, p).Loops()[0]
		done := make(chan struct{})
		l.Post(func() {
			defer close(done)
			jobs <- job{text, secure}
			s, err := l.Dial(a, loop.Never)
			if err != nil {
				t.Error(err)
				return
			}
			if secure {
				c, err := loop.Secure(s, client, l.Now().Add(20*second))
				if err != nil {
					if cut == 0 {
						t.Errorf("handshake: %v", err)
					}
					s.Close()
					return
				}
				s = c
			}
			defer s.Close()
			var b loop.Buffer
			b.Grow(len(text) + 1)
			defer b.Release()
			for err == nil {
				err = s.Fill(&b, l.Now().Add(20*second))
			}
			switch {
			case err != io.EOF && (cut == 0 || !secure || err != loop.ErrTruncated):
				t.Errorf("ended with %v", err)
			case !bytes.HasPrefix(text, b.Bytes()):
				t.Errorf("other bytes came out")
			case b.Len() < len(text) && (cut == 0 || secure && err == io.EOF):
				t.Errorf("%d of %d bytes and %v", b.Len(), len(text), err)
			}
		})
		<-done
	}
	f.Fuzz(func(t *testing.T, text []byte, readSize, writeSize int, cut int64, secure bool) {
		if len(text) > 100_000 || cut < 0 {
			return
		}
		for i, e := range es {
			pieces(t, e, at[i], text, readSize, writeSize, cut, secure)
		}
	})
}
