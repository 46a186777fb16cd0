package loop_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/loop/faulty"
	"github.com/gatewhy/gatewhy/internal/loop/looptest"
)

func TestPortable(t *testing.T) {
	looptest.Run(t, func(t *testing.T) loop.Engine {
		return loop.Portable(loop.PortableOptions{Loops: 2, Poison: true})
	})
}

// Over plain net.Conn, which is all that other systems than Linux offer.
func TestPortablePlain(t *testing.T) {
	looptest.Run(t, func(t *testing.T) loop.Engine {
		return loop.Portable(loop.PortableOptions{Loops: 2, Poison: true, Dial: plainDial, Listen: plainListen})
	})
}

// The wrapper without a fault must be an engine like any other.
func TestFaultlessFaulty(t *testing.T) {
	looptest.Run(t, func(t *testing.T) loop.Engine {
		e := loop.Portable(loop.PortableOptions{Loops: 2, Poison: true})
		return faulty.Wrap(e, &faulty.Plan{Accepted: true})
	})
}

// plain hides that it is a *net.TCPConn, and so the fast path, but not what
// every system's net package offers.
type plain struct {
	net.Conn
	raw syscall.Conn
}

func (c plain) SyscallConn() (syscall.RawConn, error) { return c.raw.SyscallConn() }

func (c plain) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }
func (c plain) SetLinger(s int) error {
	if t, ok := c.Conn.(*net.TCPConn); ok {
		return t.SetLinger(s)
	}
	return nil
}

func plainDial(ctx context.Context, a loop.Address) (net.Conn, error) {
	network, to := "tcp", a.IP.String()
	if a.Path != "" {
		network, to = "unix", a.Path
	}
	c, err := new(net.Dialer).DialContext(ctx, network, to)
	if err != nil {
		return nil, err
	}
	return plain{c, c.(syscall.Conn)}, nil
}

func plainListen(a loop.Address) (net.Listener, error) {
	ln, err := loop.SystemListen(a)
	if err != nil {
		return nil, err
	}
	return plainListener{ln}, nil
}

type plainListener struct{ net.Listener }

func (ln plainListener) Accept() (net.Conn, error) {
	c, err := ln.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return plain{c, c.(syscall.Conn)}, nil
}

// A pipeNet is a network in memory, for fake time.
type pipeNet struct {
	mu    sync.Mutex
	ports map[loop.Address]*pipeListener
}

type pipeListener struct {
	n     *pipeNet
	at    loop.Address
	conns chan net.Conn
	down  chan struct{}
}

func (n *pipeNet) listen(a loop.Address) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ln := &pipeListener{n: n, at: a, conns: make(chan net.Conn), down: make(chan struct{})}
	n.ports[a] = ln
	return ln, nil
}

func (n *pipeNet) dial(ctx context.Context, a loop.Address) (net.Conn, error) {
	n.mu.Lock()
	ln := n.ports[a]
	n.mu.Unlock()
	if ln == nil {
		return nil, syscall.ECONNREFUSED
	}
	here, there := net.Pipe()
	select {
	case ln.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-ln.down:
		return nil, syscall.ECONNREFUSED
	}
}

func (ln *pipeListener) Addr() net.Addr { return pipeAddr{} }

func (ln *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-ln.conns:
		return c, nil
	case <-ln.down:
		return nil, net.ErrClosed
	}
}

func (ln *pipeListener) Close() error {
	close(ln.down)
	return nil
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// TestFakeTime lets hours pass at once: in a bubble of testing/synctest every
// deadline comes exactly when it should.
func TestFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &pipeNet{ports: map[loop.Address]*pipeListener{}}
		e := loop.Portable(loop.PortableOptions{Loops: 2, Dial: n.dial, Listen: n.listen})
		at := loop.Address{Path: "in memory"}
		ln, err := e.Listen(at)
		if err != nil {
			t.Fatal(err)
		}
		if ln.Addr() != at {
			t.Errorf("listens on %v", ln.Addr())
		}
		const hour = int64(time.Hour)
		e.Serve(ln, func(l loop.Loop, s loop.Stream) {
			defer s.Close()
			var b loop.Buffer
			if err := s.Fill(&b, l.Now().Add(3*hour)); err != nil {
				t.Errorf("server: %v", err)
			}
			l.Sleep(l.Now().Add(hour))
			if _, err := s.Send(b.Bytes(), []byte(" back"), l.Now().Add(hour)); err != nil {
				t.Errorf("server: %v", err)
			}
			if err := s.Fill(&b, loop.Never); err != io.EOF {
				t.Errorf("server: %v", err)
			}
			b.Release()
		})
		l := e.Loops()[0]
		done := make(chan struct{})
		l.Post(func() {
			defer close(done)
			start := l.Now()
			after := func(what string, hours int64) {
				if d := int64(l.Now() - start); d != hours*hour {
					t.Errorf("%s after %v, want %d h", what, time.Duration(d), hours)
				}
			}
			if start <= 0 {
				t.Errorf("it is %d", start)
			}
			s, err := l.Dial(at, l.Now().Add(hour))
			if err != nil {
				t.Error(err)
				return
			}
			var b loop.Buffer
			if err := s.Fill(&b, l.Now().Add(hour)); err != loop.ErrTimeout {
				t.Error(err)
			}
			after("Fill gave up", 1)
			if err := s.Check(); err != nil {
				t.Errorf("Check: %v", err)
			}
			// There and back: an armed deadline of one hour in between must not hurt.
			if n, err := s.Send([]byte("there and"), nil, l.Now().Add(hour)); n != 9 || err != nil {
				t.Error(n, err)
			}
			for b.Len() < 14 {
				if err := s.Fill(&b, l.Now().Add(9*hour)); err != nil {
					t.Error(err)
					return
				}
			}
			after("the answer came", 2)
			if string(b.Bytes()) != "there and back" {
				t.Errorf("got %q", b.Bytes())
			}
			b.Release()
			if err := l.Park(l.Now().Add(hour)); err != loop.ErrTimeout {
				t.Error(err)
			}
			after("Park gave up", 3)
			me := l.Current()
			l.Go(func() {
				l.Sleep(l.Now().Add(hour))
				me.Interrupt()
			})
			if err := s.Fill(&b, l.Now().Add(9*hour)); err != loop.ErrInterrupted {
				t.Error(err)
			}
			after("the interrupt came", 4)
			s.Close()
		})
		<-done
		ln.Close()
		e.Close()
	})
}

// failing is a listener whose Accept fails some times.
type failing struct {
	net.Listener
	left int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left > 0 {
		f.left--
		return nil, &net.OpError{Op: "accept", Net: "pipe", Err: syscall.EMFILE}
	}
	return f.Listener.Accept()
}

// Without descriptors left the engine neither dies nor spins.
func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &pipeNet{ports: map[loop.Address]*pipeListener{}}
		var at []time.Duration
		start := time.Now()
		e := loop.Portable(loop.PortableOptions{Loops: 1, Dial: n.dial,
			Listen: func(a loop.Address) (net.Listener, error) {
				ln, err := n.listen(a)
				return &failing{ln, 10}, err
			},
			OnAcceptError: func(err error) {
				if !errors.Is(err, syscall.EMFILE) {
					t.Error(err)
				}
				at = append(at, time.Since(start))
			}})
		a := loop.Address{Path: "crowded"}
		ln, err := e.Listen(a)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan struct{})
		e.Serve(ln, func(_ loop.Loop, s loop.Stream) {
			s.Close()
			close(served)
		})
		l := e.Loops()[0]
		l.Post(func() {
			s, err := l.Dial(a, loop.Never)
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
		<-served
		if len(at) != 10 || at[1]-at[0] != 5*time.Millisecond || at[9]-at[8] != time.Second {
			t.Errorf("tries after %v", at)
		}
		e.Close()
	})
}

// A panic must come out as one, with its loop free for those who clean up.
func TestPanicFreesLoop(t *testing.T) {
	e := loop.Portable(loop.PortableOptions{Loops: 1})
	l := e.Loops()[0]
	done := make(chan struct{})
	l.Post(func() {
		defer func() {
			if p := recover(); p != "in Do" {
				t.Errorf("recovered %v", p)
			}
			if err := l.Sleep(l.Now() + 1000); err != nil { // the task holds its loop
				t.Error(err)
			}
			close(done)
		}()
		l.Do(func() { panic("in Do") })
	})
	<-done
	ran := make(chan struct{})
	l.Post(func() { close(ran) })
	<-ran
	e.Close()
}

func TestMisuse(t *testing.T) {
	e := loop.Portable(loop.PortableOptions{Loops: 1})
	l := e.Loops()[0]
	for name, f := range map[string]func(){
		"Sleep":   func() { l.Sleep(loop.Never) },
		"Park":    func() { l.Park(loop.Never) },
		"Do":      func() { l.Do(func() {}) },
		"Go":      func() { l.Go(func() {}) },
		"Current": func() { l.Current() },
		"Dial":    func() { l.Dial(loop.Address{}, loop.Never) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s outside a task does not panic", name)
				}
			}()
			f()
		}()
	}
	e.Close()
}
