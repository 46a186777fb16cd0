package looptest

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/gatewhy/gatewhy/internal/loop"
)

var network = []contract{
	{"Dial says what the kernel said", testDialErrors},
	{"Dial that hangs: deadline, interrupt, other tasks", testDialHangs},
	{"a full backlog of a unix socket is EAGAIN", testUnixBacklog},
	{"unix sockets", testUnix},
	{"a stale unix socket is replaced, a live one is not", testStale},
	{"IPv6", testV6},
	{"Serve spreads over the loops", testSpread},
	{"a closed listener accepts no more", testListenerClose},
	{"Close closes the listeners", testCloseListeners},
	{"the address is taken", testInUse},
}

func testDialErrors(r *rig) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.Fatal(err)
	}
	dead := loop.Address{IP: ln.Addr().(*net.TCPAddr).AddrPort()}
	ln.Close()
	r.run(func() {
		for _, c := range []struct {
			to    loop.Address
			until loop.Time
			want  error
		}{
			{dead, soon(r.l), syscall.ECONNREFUSED},
			{dead, loop.Never, syscall.ECONNREFUSED},
			{dead, r.l.Now() - 1, loop.ErrTimeout},
			{loop.Address{Path: filepath.Join(r.TempDir(), "none")}, soon(r.l), syscall.ENOENT},
			{loop.Address{IP: netip.MustParseAddrPort("127.0.0.1:0")}, soon(r.l), syscall.ECONNREFUSED},
		} {
			s, err := r.l.Dial(c.to, c.until)
			if !errors.Is(err, c.want) || s != nil {
				r.Errorf("Dial(%v): %v, %v, want %v", c.to, s, err, c.want)
			}
		}
	})
}

func testDialHangs(r *rig) {
	a, free := hanging(r)
	if free == nil {
		r.Log("no way to make connect hang here")
		return
	}
	defer free()
	r.run(func() {
		l := r.l
		until := l.Now().Add(moment)
		_, err := l.Dial(a, until)
		r.is(err, loop.ErrTimeout)
		if l.Now() < until {
			r.Error("ErrTimeout before the moment came")
		}
		for _, until := range []loop.Time{soon(l), loop.Never} {
			t := r.beside(l, func(enter func()) { // this task runs while that one dials
				enter()
				_, err = l.Dial(a, until)
			})
			t.Interrupt()
			r.join(l, t)
			r.is(err, loop.ErrInterrupted)
		}
	})
}

func testUnixBacklog(r *rig) {
	a, free := crowded(r)
	if free == nil {
		r.Log("no way to fill a backlog here")
		return
	}
	defer free()
	r.run(func() {
		_, err := r.l.Dial(a, soon(r.l))
		r.is(err, syscall.EAGAIN)
	})
}

// echo sends back what comes, until FIN.
func (r *rig) echo(l loop.Loop, s loop.Stream) {
	defer s.Close()
	var b loop.Buffer
	defer b.Release()
	for s.Fill(&b, soon(l)) == nil {
		if _, err := s.Send(b.Bytes(), nil, soon(l)); err != nil {
			return
		}
		b.Consume(b.Len())
	}
}

// ping sends a word to an echo and expects it back.
func (r *rig) ping(l loop.Loop, a loop.Address) {
	s, err := l.Dial(a, soon(l))
	r.must(err)
	defer s.Close()
	var b loop.Buffer
	defer b.Release()
	r.send(s, "hello")
	r.fill(s, &b, 5)
	if string(b.Bytes()) != "hello" {
		r.Errorf("echo of %q", b.Bytes())
	}
	r.must(s.CloseWrite())
	r.is(s.Fill(&b, soon(l)), io.EOF)
}

func testUnix(r *rig) {
	a := loop.Address{Path: filepath.Join(r.TempDir(), "s")}
	ln, err := r.e.Listen(a)
	if err != nil {
		r.Fatal(err)
	}
	if ln.Addr() != a {
		r.Errorf("listens on %v, want %v", ln.Addr(), a)
	}
	r.e.Serve(ln, r.echo)
	r.run(func() {
		r.ping(r.l, a)
		s, err := r.l.Dial(a, soon(r.l))
		r.must(err)
		if s.Remote() != a {
			r.Errorf("Remote is %v", s.Remote())
		}
		if _, ok := s.Delivery(); ok {
			r.Error("Delivery of a unix socket")
		}
		s.Abort()
	})
	ln.Close()
}

func testStale(r *rig) {
	path := filepath.Join(r.TempDir(), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		r.Fatal(err)
	}
	dead.SetUnlinkOnClose(false) // as if the process had been killed
	dead.Close()
	a := loop.Address{Path: path}
	ln, err := r.e.Listen(a)
	if err != nil {
		r.Fatal(err)
	}
	defer ln.Close()
	r.e.Serve(ln, r.echo)
	if _, err := r.e.Listen(a); !errors.Is(err, syscall.EADDRINUSE) {
		r.Errorf("listening on a live socket: %v", err)
	}
	r.run(func() { r.ping(r.l, a) })
}

func testV6(r *rig) {
	ln, err := r.e.Listen(loop.Address{IP: netip.MustParseAddrPort("[::1]:0")})
	if err != nil {
		r.Logf("no IPv6 here: %v", err)
		return
	}
	defer ln.Close()
	r.e.Serve(ln, r.echo)
	r.run(func() { r.ping(r.l, ln.Addr()) })
}

func testSpread(r *rig) {
	ln, err := r.e.Listen(loopback)
	if err != nil {
		r.Fatal(err)
	}
	defer ln.Close()
	n := len(r.e.Loops())
	var mu sync.Mutex
	seen := make([]int, n)
	total := 64 * n
	all := make(chan struct{})
	r.e.Serve(ln, func(l loop.Loop, s loop.Stream) {
		s.Close()
		mu.Lock()
		defer mu.Unlock()
		seen[l.Index()]++
		if total--; total == 0 {
			close(all)
		}
	})
	for range 64 * n {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			r.Fatal(err)
		}
		defer c.Close()
	}
	<-all
	for i, k := range seen {
		if k == 0 {
			r.Errorf("loop %d got none of %d connections: %v", i, 64*n, seen)
		}
	}
}

func testListenerClose(r *rig) {
	ln, err := r.e.Listen(loopback)
	if err != nil {
		r.Fatal(err)
	}
	if ln.Addr().IP.Port() == 0 {
		r.Errorf("listens on %v", ln.Addr())
	}
	ended := make(chan struct{})
	r.e.Serve(ln, func(l loop.Loop, s loop.Stream) {
		defer close(ended)
		r.echo(l, s)
	})
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		r.Fatal(err)
	}
	r.write(c, "a")
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		r.Fatal(err)
	}
	r.is(ln.Close(), nil)
	if _, err := net.Dial("tcp", ln.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		r.Errorf("a closed listener: %v", err)
	}
	r.write(c, "b") // who is in stays in
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		r.Error(err)
	}
	c.Close()
	<-ended
}

func testCloseListeners(r *rig) {
	ln, err := r.e.Listen(loopback)
	if err != nil {
		r.Fatal(err)
	}
	r.e.Serve(ln, r.echo)
	r.e.Close()
	if _, err := net.Dial("tcp", ln.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		r.Errorf("the listener of a closed engine: %v", err)
	}
	if _, err := r.e.Listen(loopback); err == nil {
		r.Error("a closed engine listens")
	}
}

func testInUse(r *rig) {
	ln, err := r.e.Listen(loopback)
	if err != nil {
		r.Fatal(err)
	}
	defer ln.Close()
	if _, err := r.e.Listen(ln.Addr()); !errors.Is(err, syscall.EADDRINUSE) {
		r.Errorf("listening twice: %v", err)
	}
}
