//go:build linux && (amd64 || arm64 || loong64 || ppc64le || riscv64)

package loop_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/loop/faulty"
	"github.com/gatewhy/gatewhy/internal/loop/looptest"
)

func newEpoll(t *testing.T, loops int) loop.Engine {
	t.Helper()
	e, err := loop.Epoll(loop.EpollOptions{Loops: loops, Poison: true})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEpoll(t *testing.T) {
	looptest.Run(t, func(t *testing.T) loop.Engine { return newEpoll(t, 2) })
}

func TestEpollOneLoop(t *testing.T) {
	looptest.Run(t, func(t *testing.T) loop.Engine { return newEpoll(t, 1) })
}

func TestFaultlessFaultyEpoll(t *testing.T) {
	looptest.Run(t, func(t *testing.T) loop.Engine {
		return faulty.Wrap(newEpoll(t, 2), &faulty.Plan{Accepted: true})
	})
}

// on runs f as a task of l and waits for its end.
func on(l loop.Loop, f func()) {
	end := make(chan struct{})
	l.Post(func() {
		defer close(end)
		f()
	})
	<-end
}

// connected runs f in a task with a stream that e accepted, and its peer.
func connected(t *testing.T, e loop.Engine, f func(l loop.Loop, s loop.Stream, peer *net.TCPConn)) {
	t.Helper()
	ln, err := e.Listen(loop.Address{IP: loopback})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peers, end := make(chan *net.TCPConn, 1), make(chan struct{})
	e.Serve(ln, func(l loop.Loop, s loop.Stream) {
		defer close(end)
		defer s.Close()
		var c *net.TCPConn
		l.Do(func() { c = <-peers })
		f(l, s, c)
	})
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(ln.Addr().IP))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	peers <- c
	<-end
}

// fetched waits until the loop has come back from the kernel again, with all that
// had happened until now.
func fetched(l loop.Loop) {
	for n := loop.Rounds(l); loop.Rounds(l) < n+2; {
		l.Sleep(l.Now() + 1)
	}
}

// Once the kernel has reported the FIN together with the data before it, it is
// silent for ever: a read that leaves the FIN behind must not wait for an event.
func TestEpollEdgeOfFIN(t *testing.T) {
	e := newEpoll(t, 1)
	defer e.Close()
	for _, reset := range []bool{false, true} {
		connected(t, e, func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
			want := io.EOF
			peer.Write([]byte("last words"))
			if reset {
				want = syscall.ECONNRESET
				for s.Check() != loop.ErrInput {
					l.Sleep(l.Now() + 1)
				}
				peer.SetLinger(0)
			}
			peer.Close()
			fetched(l)
			var b loop.Buffer
			defer b.Release()
			for b.Len() < 10 {
				if err := s.Fill(&b, loop.Never); err != nil {
					t.Error(err)
					return
				}
			}
			fetched(l) // whatever was to be told has been told
			if err := s.Fill(&b, l.Now()+Time(patience)); err != want {
				t.Errorf("%v, want %v", err, want)
			}
		})
	}
}

// Time and patience: a deadline that only a lost event meets.
type Time = loop.Time

const patience = 20e9

// A read stops before urgent data, so that a short one leaves bytes behind which
// have no event of their own.
func TestEpollUrgent(t *testing.T) {
	e := newEpoll(t, 1)
	defer e.Close()
	connected(t, e, func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		rc, err := peer.SyscallConn()
		if err != nil {
			t.Error(err)
			return
		}
		peer.Write([]byte("before"))
		rc.Write(func(fd uintptr) bool {
			err = syscall.Sendto(int(fd), []byte("!"), syscall.MSG_OOB, nil)
			return true
		})
		if err != nil {
			t.Error(err)
			return
		}
		peer.Write([]byte("after"))
		fetched(l)
		var b loop.Buffer
		defer b.Release()
		for b.Len() < len("beforeafter") {
			if err := s.Fill(&b, l.Now()+Time(patience)); err != nil {
				t.Errorf("after %q: %v", b.Bytes(), err)
				return
			}
		}
		if string(b.Bytes()) != "beforeafter" {
			t.Errorf("got %q", b.Bytes())
		}
	})
}

// A descriptor that another process holds too (a fork that has not come to its
// exec) stays registered when we close it: its events must not reach the stream
// that has its place since.
func TestEpollStaleEvents(t *testing.T) {
	e := newEpoll(t, 1)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := loop.Address{IP: ln.Addr().(*net.TCPAddr).AddrPort()}
	l := e.Loops()[0]
	on(l, func() {
		dial := func() (loop.Stream, net.Conn) {
			s, err := l.Dial(to, loop.Never)
			if err != nil {
				t.Error(err)
				runtime.Goexit()
			}
			var c net.Conn
			l.Do(func() { c, err = ln.Accept() })
			if err != nil {
				t.Error(err)
				runtime.Goexit()
			}
			return s, c
		}
		old, peer := dial()
		fd, err := syscall.Dup(loop.Descriptor(old))
		if err != nil {
			t.Error(err)
			return
		}
		defer syscall.Close(fd)
		old.Close()
		fresh, other := dial()
		defer fresh.Close()
		defer other.Close()
		if loop.Place(fresh) != loop.Place(old) {
			t.Fatal("the place is another one")
		}
		fetched(l)
		if loop.Readable(fresh) {
			t.Error("a new stream has heard something before the test began")
		}
		peer.Write([]byte("for the old one"))
		peer.Close()
		fetched(l)
		if loop.Readable(fresh) {
			t.Error("a new stream hears what is for the old one")
		}
	})
	ln.Close()
	e.Close()
}

// The collector stops the world several times: a loop must let it, whether it
// waits with its processor, waits without, or never waits.
func TestEpollStopsForGC(t *testing.T) {
	e := newEpoll(t, 2)
	idle := e.Loops()[1]
	for range 20 { // some while the loop still holds its processor
		on(idle, func() {})
		runtime.GC()
	}
	busy := make(chan struct{})
	var stop atomic.Bool
	e.Loops()[0].Post(func() {
		l := e.Loops()[0]
		close(busy)
		for !stop.Load() {
			l.Sleep(l.Now() + 1) // a round each
		}
	})
	<-busy
	for range 20 {
		runtime.GC()
	}
	stop.Store(true)
	e.Close()
}

// A loop without work must not wake: it waits a few milliseconds with its
// processor in hand, then without an end.
func TestEpollSleeps(t *testing.T) {
	e := newEpoll(t, 2)
	waker, idle := e.Loops()[0], e.Loops()[1]
	on(idle, func() {})
	on(waker, func() {
		before, own := loop.Rounds(idle), loop.Rounds(waker)
		waker.Sleep(waker.Now() + 200e6)
		if n := loop.Rounds(idle) - before; n > 3 {
			t.Errorf("an idle loop came back %d times", n)
		}
		if n := loop.Rounds(waker) - own; n > 6 { // signals of the runtime may add some
			t.Errorf("a loop with one timer came back %d times", n)
		}
	})
	// What wakes it is a Post.
	ran := make(chan struct{})
	idle.Post(func() { close(ran) })
	<-ran
	e.Close()
}

// Posts from many sides at once: each one runs, whether or not the loop sleeps.
func TestEpollPosts(t *testing.T) {
	e := newEpoll(t, 1)
	l := e.Loops()[0]
	const sides, each = 8, 500
	n := 0 // the loop's
	var wg sync.WaitGroup
	for range sides {
		wg.Go(func() { // ends when all its posts ran
			for i := range each {
				if i%10 == 0 {
					on(l, func() { n++ })
				} else {
					l.Post(func() { n++ })
				}
			}
		})
	}
	wg.Wait()
	on(l, func() {
		if n != sides*each {
			t.Errorf("%d of %d ran", n, sides*each)
		}
	})
	e.Close()
}

// Nothing is left: neither descriptors nor coroutines, not even of streams that
// nobody closed.
func TestEpollLeavesNothing(t *testing.T) {
	goroutines, before := runtime.NumGoroutine(), descriptors(t)
	for range 3 {
		e := newEpoll(t, 2)
		ln, err := e.Listen(loop.Address{IP: loopback})
		if err != nil {
			t.Fatal(err)
		}
		unix, err := e.Listen(loop.Address{Path: filepath.Join(t.TempDir(), "s")})
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan struct{}, 20)
		for _, ln := range []loop.Listener{ln, unix} {
			e.Serve(ln, func(l loop.Loop, s loop.Stream) { got <- struct{}{} }) // forgets it
		}
		l := e.Loops()[0]
		on(l, func() {
			for i := range 20 {
				to := ln.Addr()
				if i%2 == 0 {
					to = unix.Addr()
				}
				if _, err := l.Dial(to, loop.Never); err != nil {
					t.Error(err)
				}
			}
		})
		for range 20 {
			<-got
		}
		l.Post(runtime.Goexit)
		e.Close()
		e.Close()
		l.Post(func() { t.Error("a task of a closed engine runs") })
		if _, err := os.Lstat(unix.Addr().Path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the unix socket's file: %v", err)
		}
	}
	for range 100_000 { // the last steps of a goroutine are not to be seen
		if runtime.NumGoroutine() <= goroutines {
			break
		}
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, there were %d", n, goroutines)
	}
	if n := descriptors(t); n > before {
		t.Errorf("%d descriptors, there were %d", n, before)
	}
}

func descriptors(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(list)
}

// Coroutines are kept for the next tasks, but not all that a crowd needed.
func TestEpollCoroutines(t *testing.T) {
	e := newEpoll(t, 1)
	l := e.Loops()[0]
	on(l, func() {
		var ts []loop.Task
		for range loop.KeepIdle + 50 {
			ts = append(ts, l.Go(func() { l.Park(loop.Never) }))
		}
		l.Sleep(l.Now() + 1)
		for _, t := range ts {
			t.Wake()
		}
		for _, t := range ts {
			for !t.Done() {
				l.Sleep(l.Now() + 1)
			}
		}
		if n := loop.Coroutines(l); n != loop.KeepIdle {
			t.Errorf("%d coroutines are kept, want %d", n, loop.KeepIdle)
		}
		l.Sleep(l.Now() + 100e6) // nothing to do for much longer than a short wait
		if n := loop.Coroutines(l); n != 0 {
			t.Errorf("%d coroutines are kept by a loop without work", n)
		}
	})
	e.Close()
}

// runtime.Goexit, which a failing test calls, ends the task and nothing else.
func TestEpollGoexit(t *testing.T) {
	e := newEpoll(t, 1)
	l := e.Loops()[0]
	for range 3 {
		ended := make(chan struct{})
		l.Post(func() {
			defer close(ended)
			runtime.Goexit()
		})
		<-ended
		on(l, func() {
			other := l.Go(func() {
				defer l.Sleep(l.Now() + 1000)
				l.Do(runtime.Goexit)
				t.Error("Do returned")
			})
			for !other.Done() {
				l.Sleep(l.Now() + 1)
			}
		})
	}
	e.Close()
}

// A panic of a task ends the process and shows where it began.
func TestEpollPanic(t *testing.T) {
	const child = "LOOP_TEST_PANIC"
	if os.Getenv(child) != "" {
		e := newEpoll(t, 1)
		e.Loops()[0].Post(guiltyFunction)
		select {} // until the panic ends the process
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe, "-test.run=^TestEpollPanic$")
	c.Env = append(os.Environ(), child+"=1")
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "panic: the very words") || !strings.Contains(string(out), "guiltyFunction") {
		t.Errorf("%v:\n%s", err, out)
	}
}

func guiltyFunction() { panic("the very words") }

func TestEpollPanicInDo(t *testing.T) {
	e := newEpoll(t, 1)
	l := e.Loops()[0]
	on(l, func() {
		defer func() {
			if p := recover(); p != "in Do" {
				t.Errorf("recovered %v", p)
			}
			if err := l.Sleep(l.Now() + 1000); err != nil {
				t.Error(err)
			}
		}()
		l.Do(func() { panic("in Do") })
	})
	e.Close()
}

// Loops that have unlike numbers of connections get new ones until they are alike.
func TestEpollHandsOver(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		e := newEpoll(t, 2)
		a := loop.Address{IP: loopback}
		if network == "unix" {
			a = loop.Address{Path: filepath.Join(t.TempDir(), "s")}
		}
		ln, err := e.Listen(a)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan int)
		e.Serve(ln, func(l loop.Loop, s loop.Stream) {
			defer s.Close()
			if s.Loop() != l {
				t.Error("a stream of another loop")
			}
			got <- l.Index()
			var b loop.Buffer
			s.Fill(&b, loop.Never)
			b.Release()
		})
		to := ln.Addr().Path
		if network == "tcp" {
			to = ln.Addr().IP.String()
		}
		const many = 40
		var peers [2][]net.Conn
		connect := func() {
			for range many {
				c, err := net.Dial(network, to)
				if err != nil {
					t.Fatal(err)
				}
				i := <-got
				peers[i] = append(peers[i], c)
			}
		}
		connect()
		for _, c := range peers[1] {
			c.Close()
		}
		l := e.Loops()[1]
		on(l, func() {
			for loop.Connections(l) > 0 {
				l.Sleep(l.Now() + 1)
			}
		})
		left := len(peers[0])
		connect() // dealt evenly, all would go on as unlike as it is
		x, y := loop.Connections(e.Loops()[0]), loop.Connections(l)
		if x+y != int64(left)+many || max(x, y) > min(x, y)*5/4+2 {
			t.Errorf("%s: the loops have %d and %d connections", network, x, y)
		}
		for _, c := range append(peers[0], peers[1]...) {
			c.Close()
		}
		e.Close()
		if x, y := loop.Connections(e.Loops()[0]), loop.Connections(l); x != 0 || y != 0 {
			t.Errorf("%s: %d and %d connections after the end", network, x, y)
		}
	}
}

// Without descriptors left the engine neither dies nor spins, and goes on when
// there are some again.
func TestEpollAcceptErrors(t *testing.T) {
	errs := make(chan error, 1000)
	e, err := loop.Epoll(loop.EpollOptions{Loops: 1, OnAcceptError: func(err error) { errs <- err }})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := e.Listen(loop.Address{IP: loopback})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	e.Serve(ln, func(_ loop.Loop, s loop.Stream) {
		s.Close()
		close(served)
	})
	l := e.Loops()[0]
	on(l, func() {}) // now it is being watched
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 3 // below what is open: no new one can be had
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(ln.Addr().IP.Port()), Addr: [4]byte{127, 0, 0, 1}})
	first := <-errs
	before := loop.Rounds(l)
	second, third := <-errs, <-errs
	rounds, waited := loop.Rounds(l)-before, time.Since(began)
	if e := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); e != nil {
		t.Fatal(e)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{first, second, third} {
		if !errors.Is(err, syscall.EMFILE) {
			t.Errorf("%v, want EMFILE", err)
		}
	}
	if least := 15 * time.Millisecond; waited < least || rounds > 20 {
		t.Errorf("three tries within %v, want at least %v, and %d rounds", waited, least, rounds)
	}
	<-served
	e.Close()
}

// An address that somebody listens on is in use, although our own sockets share
// theirs among the loops.
func TestEpollInUse(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a, b := newEpoll(t, 2), newEpoll(t, 2)
	if _, err := a.Listen(loop.Address{IP: other.Addr().(*net.TCPAddr).AddrPort()}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("another's address: %v", err)
	}
	other.Close()
	ln, err := a.Listen(loop.Address{IP: loopback})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Listen(ln.Addr()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("another engine's address: %v", err)
	}
	a.Close()
	again, err := b.Listen(ln.Addr()) // at once, whatever was connected to it
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	b.Close()
	if _, err := a.Listen(loop.Address{IP: loopback}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed engine: %v", err)
	}
}

// Each call that must come from a task says so.
func TestEpollMisuse(t *testing.T) {
	e := newEpoll(t, 1)
	l := e.Loops()[0]
	for name, f := range map[string]func(){
		"Sleep":   func() { l.Sleep(loop.Never) },
		"Park":    func() { l.Park(loop.Never) },
		"Do":      func() { l.Do(func() {}) },
		"Go":      func() { l.Go(func() {}) },
		"Current": func() { l.Current() },
		"Dial":    func() { l.Dial(loop.Address{}, loop.Never) },
	} {
		if p := recovered(f); p == nil {
			t.Errorf("%s outside a task does not panic", name)
		}
	}
	connected(t, e, func(l loop.Loop, s loop.Stream, _ *net.TCPConn) {
		var b, c loop.Buffer
		other := l.Go(func() { s.Fill(&b, loop.Never) })
		l.Sleep(l.Now() + 1)
		if p := recovered(func() { s.Fill(&c, loop.Never) }); p == nil || !strings.Contains(fmt.Sprint(p), "same direction") {
			t.Errorf("two tasks in Fill: %v", p)
		}
		if p := recovered(func() { s.Ask(nil, nil, &c, loop.Never) }); p == nil {
			t.Error("a task in Ask while another is in Fill does not panic")
		}
		other.Interrupt()
		for !other.Done() {
			l.Sleep(l.Now() + 1)
		}
	})
	e.Close()
}

func recovered(f func()) (p any) {
	defer func() { p = recover() }()
	f()
	return nil
}

// A port that nobody listens on may be the one that the kernel picks for our own
// end. TCP lets such a socket connect to itself; it is refused all the same.
func TestEpollSelfConnect(t *testing.T) {
	e := newEpoll(t, 1)
	l := e.Loops()[0]
	on(l, func() {
		if err := loop.SelfConnect(l); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
	})
	e.Close()
}

// What came right behind input that was read is not known before the loop has
// been in the kernel again: Quiet must not say that it is sure.
func TestEpollQuietIsSureAfterAFetch(t *testing.T) {
	e := newEpoll(t, 1)
	defer e.Close()
	connected(t, e, func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		var b loop.Buffer
		defer b.Release()
		s.Fill(&b, l.Now()+1e6) // a stream that was never waited for tells nothing
		peer.Write([]byte("answer"))
		for b.Len() < 6 {
			if err := s.Fill(&b, l.Now()+Time(patience)); err != nil {
				t.Error(err)
				return
			}
		}
		if quiet, sure := s.Quiet(); !quiet || sure {
			t.Errorf("in the same round: quiet %v, sure %v", quiet, sure)
		}
		peer.Write([]byte("more"))
		fetched(l)
		if quiet, sure := s.Quiet(); quiet || !sure {
			t.Errorf("more has come: quiet %v, sure %v", quiet, sure)
		}
	})
}

// What was sent last arrives whole, and the end behind it in order, also where the
// kernel does not take it at once.
func TestEpollPart(t *testing.T) {
	e := newEpoll(t, 1)
	defer e.Close()
	for _, size := range []int{1, 5000, 8 << 20} {
		connected(t, e, func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
			got := make(chan error, 1)
			go func() { // ends at the end of the stream
				n, err := io.Copy(io.Discard, peer)
				if err == nil && n != int64(size) {
					err = fmt.Errorf("%d bytes", n)
				}
				got <- err
			}()
			loop.Part(s)
			if n, err := s.Send([]byte("x"), make([]byte, size-1), l.Now()+Time(patience)); n != size || err != nil {
				t.Errorf("sent %d of %d: %v", n, size, err)
			}
			s.Close()
			l.Do(func() {
				if err := <-got; err != nil {
					t.Errorf("of %d bytes: %v", size, err)
				}
			})
		})
	}
}
