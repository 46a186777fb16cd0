// Package looptest holds the tests that every engine of package loop must pass:
// each sentence of that package's contract has one here.
//
// Peers are plain connections of package net, so that an engine is never tested
// only against itself. Tests wait for what they can see happen, never for a time
// to pass; where a deadline is the subject, they ask that it is not too early.
package looptest

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// Run tests engines that newEngine makes. A test closes its engine itself.
func Run(t *testing.T, newEngine func(t *testing.T) loop.Engine) {
	for _, group := range [][]contract{tasks, waits, rests, streams, ends, network, secured} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				before := runtime.NumGoroutine()
				e := newEngine(t)
				if len(e.Loops()) == 0 {
					t.Fatal("an engine without loops")
				}
				c.test(&rig{T: t, e: e, l: e.Loops()[0]})
				e.Close()
				noneLeft(t, before)
			})
		}
	}
}

// A contract is one promise and its test. The test runs outside the loops.
type contract struct {
	name string
	test func(r *rig)
}

// noneLeft fails if more goroutines run than before. An engine has waited for
// its own, but the last steps of a goroutine are not to be seen.
func noneLeft(t *testing.T, before int) {
	t.Helper()
	for range 100_000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
	}
	buf := make([]byte, 64<<10)
	t.Errorf("%d goroutines, there were %d:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
}

type rig struct {
	*testing.T
	e loop.Engine
	l loop.Loop
}

// patience bounds waits that should end by themselves: long enough for the
// slowest machine, and better than a test that hangs.
const patience = int64(20 * time.Second)

func soon(l loop.Loop) loop.Time { return l.Now().Add(patience) }

// moment is a deadline that will pass.
const moment = int64(3 * time.Millisecond)

// stop is what must panics with; run catches it.
type stop struct{}

// must ends the task if err is not nil. FailNow would be for the test's own
// goroutine only.
func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Errorf("%v", err)
		panic(stop{})
	}
}

// is reports, and says so, unless err is want.
func (r *rig) is(err, want error) {
	r.Helper()
	if !errors.Is(err, want) || (want == nil && err != nil) {
		r.Errorf("got %v, want %v", err, want)
	}
}

func (r *rig) guard(f func()) {
	defer func() {
		if p := recover(); p != nil && p != (stop{}) {
			panic(p)
		}
	}()
	f()
}

// on runs f as a task of l and waits for its end.
func (r *rig) on(l loop.Loop, f func()) {
	end := make(chan struct{})
	l.Post(func() {
		defer close(end)
		r.guard(f)
	})
	<-end
}

// run runs f as a task of the first loop and waits for its end.
func (r *rig) run(f func()) { r.on(r.l, f) }

// beside starts f as another task of l, and returns when it is in the first wait
// after enter. Until then f must not wait.
func (r *rig) beside(l loop.Loop, f func(enter func())) loop.Task {
	entered := false
	t := l.Go(func() {
		defer func() { entered = true }()
		r.guard(func() { f(func() { entered = true }) })
	})
	for !entered {
		l.Sleep(l.Now() + 50_000)
	}
	return t
}

// join waits until t is done.
func (r *rig) join(l loop.Loop, t loop.Task) {
	for !t.Done() {
		l.Sleep(l.Now() + 50_000)
	}
}

// fill fills until b holds n bytes.
func (r *rig) fill(s loop.Stream, b *loop.Buffer, n int) {
	r.Helper()
	for b.Len() < n {
		r.must(s.Fill(b, soon(s.Loop())))
	}
}

func (r *rig) send(s loop.Stream, p string) {
	r.Helper()
	n, err := s.Send([]byte(p), nil, soon(s.Loop()))
	r.must(err)
	if n != len(p) {
		r.Errorf("Send took %d of %d bytes without an error", n, len(p))
	}
}

var loopback = loop.Address{IP: netip.MustParseAddrPort("127.0.0.1:0")}

// dialed runs f in a task with a stream that the engine dialed, and its peer.
func (r *rig) dialed(f func(l loop.Loop, s loop.Stream, peer *net.TCPConn)) {
	r.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		r.Fatal(err)
	}
	defer ln.Close()
	a := loop.Address{IP: ln.Addr().(*net.TCPAddr).AddrPort()}
	r.run(func() {
		s, err := r.l.Dial(a, soon(r.l))
		r.must(err)
		defer s.Close()
		var c *net.TCPConn
		r.l.Do(func() { c, err = ln.AcceptTCP() })
		r.must(err)
		defer c.Close()
		f(r.l, s, c)
	})
}

// accepted runs f in a task with a stream that the engine accepted, and its peer.
func (r *rig) accepted(f func(l loop.Loop, s loop.Stream, peer *net.TCPConn)) {
	r.Helper()
	ln, err := r.e.Listen(loopback)
	if err != nil {
		r.Fatal(err)
	}
	defer ln.Close()
	peers, end := make(chan *net.TCPConn, 1), make(chan struct{})
	r.e.Serve(ln, func(l loop.Loop, s loop.Stream) {
		defer close(end)
		defer s.Close()
		var c *net.TCPConn
		l.Do(func() { c = <-peers })
		defer c.Close()
		r.guard(func() { f(l, s, c) })
	})
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(ln.Addr().IP))
	if err != nil {
		r.Fatal(err)
	}
	peers <- c
	<-end
}

// both runs f with a dialed and with an accepted stream.
func (r *rig) both(f func(l loop.Loop, s loop.Stream, peer *net.TCPConn)) {
	r.Helper()
	r.dialed(f)
	r.accepted(f)
}

// write and rest are a peer's side; they block for a peer that is slow, so a
// task calls them in Do unless a few bytes are all.
func (r *rig) write(c net.Conn, p string) {
	r.Helper()
	if _, err := c.Write([]byte(p)); err != nil {
		r.Errorf("peer: %v", err)
	}
}
