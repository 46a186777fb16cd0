package lab

import (
	"errors"
	"io"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/loop/faulty"
)

// plan is what the gateway's engine must be wrapped in (faulty.Wrap) for the
// recipe to work before the origin o; nil if nothing is to be pretended of
// connections. It is for connections to o only, so a second endpoint stays good;
// but where the machine itself is at fault, that is so for every endpoint.
func (r *Recipe) plan(o *Origin) *faulty.Plan {
	i := r.Inject
	i.SpoolErrno, i.Panic = 0, false
	if !i.Any() {
		return nil
	}
	p := &faulty.Plan{Blind: i.HideClose}
	if to, err := netip.ParseAddrPort(o.Target); err == nil && (r.Rescue || i.DialErrno == 0) {
		p.For = func(a loop.Address) bool { return a.IP == to }
	}
	if i.DialErrno != 0 {
		only := p.For
		p.DialErr = func(a loop.Address) error {
			if only != nil && !only(a) {
				return nil
			}
			return i.DialErrno
		}
	}
	if i.PauseAfterConnect {
		p.AfterConnect = faulty.AwaitPeer
	}
	if i.NoAck {
		p.Delivery = func(d loop.Delivery, ok bool) (loop.Delivery, bool) {
			d.Acked, d.Unacked = 0, d.Acked+d.Unacked
			return d, true
		}
	}
	return p
}

// on runs f as a task of an engine that pretends what the recipe needs.
func on(t *testing.T, r *Recipe, o *Origin, f func(l loop.Loop, to loop.Address)) {
	t.Helper()
	e := loop.Portable(loop.PortableOptions{Loops: 1})
	plan := r.plan(o)
	if plan == nil {
		t.Fatalf("%s has no plan", r.Name)
	}
	e = faulty.Wrap(e, plan)
	l, done := e.Loops()[0], make(chan struct{})
	l.Post(func() {
		defer close(done)
		f(l, loop.Address{IP: netip.MustParseAddrPort(o.Target)})
	})
	<-done
	e.Close()
}

func TestInjectedConnects(t *testing.T) {
	for name, errno := range map[string]syscall.Errno{
		"connect_host_unreachable": syscall.EHOSTUNREACH, "connect_net_unreachable": syscall.ENETUNREACH,
		"connect_denied": syscall.EACCES, "connect_other": syscall.EPROTO, "local_fd_exhausted": syscall.EMFILE,
		"local_port_exhausted": syscall.EADDRNOTAVAIL, "local_memory_exhausted": syscall.ENOBUFS,
	} {
		r := Find(name)
		o, beside := start(t, r), start(t, good)
		on(t, r, o, func(l loop.Loop, to loop.Address) {
			if _, err := l.Dial(to, loop.Never); !errors.Is(err, errno) {
				t.Errorf("%s: %v", name, err)
			}
			s, err := l.Dial(loop.Address{IP: netip.MustParseAddrPort(beside.Target)}, loop.Never)
			if s != nil {
				s.Close()
			}
			if spared := err == nil; spared != !strings.HasPrefix(name, "local_") {
				t.Errorf("%s: the second endpoint: %v", name, err)
			}
		})
	}
}

func TestInjectedPause(t *testing.T) {
	for name, want := range map[string]error{"accept_then_fin": io.EOF, "accept_then_rst": syscall.ECONNRESET} {
		r := Find(name)
		o := start(t, r)
		on(t, r, o, func(l loop.Loop, to loop.Address) {
			s, err := l.Dial(to, loop.Never)
			if err != nil {
				t.Errorf("%s: dial: %v", name, err)
				return
			}
			defer s.Close()
			var b loop.Buffer
			// The end is here before anything was sent.
			if err := s.Fill(&b, l.Now().Add(1)); !errors.Is(err, want) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// fetch makes one good exchange on s, and asks the origin to go on.
func fetch(t *testing.T, l loop.Loop, s loop.Stream, o *Origin) bool {
	t.Helper()
	if _, err := s.Send([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), nil, loop.Never); err != nil {
		t.Error(err)
		return false
	}
	var b loop.Buffer
	defer b.Release()
	for !strings.HasSuffix(string(b.Bytes()), "\r\n\r\n"+hello) {
		if err := s.Fill(&b, loop.Never); err != nil {
			t.Errorf("after %q: %v", b.Bytes(), err)
			return false
		}
	}
	var err error
	l.Do(func() { err = o.Arm(t.Context()) })
	return err == nil
}

// The FIN crosses the request: the stream looks well, and TCP proves afterwards
// that nothing was delivered.
func TestInjectedCrossing(t *testing.T) {
	r := Find("reuse_race_fin/post-crossed")
	o := start(t, r)
	on(t, r, o, func(l loop.Loop, to loop.Address) {
		s, err := l.Dial(to, loop.Never)
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		if !fetch(t, l, s, o) {
			return
		}
		if err := s.Check(); err != nil {
			t.Errorf("the close shows: %v", err)
		}
		before := s.Sent()
		if _, err := s.Send([]byte(r.Requested("a")), nil, loop.Never); err != nil {
			t.Errorf("send: %v", err)
		}
		var b loop.Buffer
		if err := s.Fill(&b, loop.Never); err != io.EOF {
			t.Errorf("fill: %v", err)
		}
		if d, ok := s.Delivery(); ok && (d.Acked > before || !d.Closed) {
			t.Errorf("delivery: %+v, sent before %d", d, before)
		}
	})
}

func TestInjectedBlackhole(t *testing.T) {
	r := Find("reuse_blackhole")
	o := start(t, r)
	on(t, r, o, func(l loop.Loop, to loop.Address) {
		s, err := l.Dial(to, loop.Never)
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		if !fetch(t, l, s, o) {
			return
		}
		before := s.Sent()
		if _, err := s.Send([]byte(r.Requested("a")), nil, loop.Never); err != nil {
			t.Errorf("send: %v", err)
		}
		if d, ok := s.Delivery(); !ok || d.Acked > before || d.Closed {
			t.Errorf("delivery: %+v, %t", d, ok)
		}
	})
}

// Recipes that pretend nothing of connections need no plan.
func TestPlansAreRare(t *testing.T) {
	for _, r := range everything() {
		i := r.Inject
		connections := i.DialErrno != 0 || i.PauseAfterConnect || i.HideClose || i.NoAck
		if p := r.plan(&Origin{Target: "127.0.0.1:1"}); (p != nil) != connections {
			t.Errorf("%s: plan %v for %+v", r.Name, p, i)
		}
	}
}
