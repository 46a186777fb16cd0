package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// dials is a network for tests: what happens to a connect is said for each
// address, and who was dialled when is kept.
type dials struct {
	start time.Time
	mu    sync.Mutex // dials run beside the loop
	// to says what happens: after a time, an error or a connection. An address
	// that is not named never answers.
	to    map[string]dialled
	log   []string
	mute  bool     // connections swallow what is sent
	ended []string // addresses whose connection was closed or whose dial was called off
}

type dialled struct {
	after time.Duration
	err   error
}

// dial is loop.PortableOptions.Dial.
func (d *dials) dial(ctx context.Context, a loop.Address) (net.Conn, error) {
	d.mu.Lock()
	d.log = append(d.log, time.Since(d.start).String()+" "+a.String())
	d.mu.Unlock()
	what, ok := d.to[a.String()]
	if !ok {
		what.after = 24 * time.Hour
	}
	select {
	case <-ctx.Done():
		d.end(a)
		return nil, ctx.Err()
	case <-time.After(what.after):
	}
	if what.err != nil {
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", what.err)}
	}
	c, peer := net.Pipe()
	if d.mute {
		go io.Copy(io.Discard, peer) // ends with c
	}
	return &watched{c, func() { d.end(a) }}, nil
}

func (d *dials) end(a loop.Address) {
	d.mu.Lock()
	d.ended = append(d.ended, a.String())
	d.mu.Unlock()
}

type watched struct {
	net.Conn
	closed func()
}

func (w *watched) Close() error { w.closed(); return w.Conn.Close() }

// hostsFile makes u find its names in a hosts file of these lines.
func hostsFile(t *testing.T, u *Upstream, lines ...string) {
	t.Helper()
	u.dns.hosts = filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(u.dns.hosts, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDialRaces(t *testing.T) {
	const refused, unroutable = syscall.ECONNREFUSED, syscall.ENETUNREACH
	for _, c := range []struct {
		name   string
		target string
		hosts  string // addresses of app
		to     map[string]dialled
		until  time.Duration // 0 means never
		want   fault.ID
		addr   string // connected to, or what the fault says
		took   time.Duration
		log    []string
		errno  string
	}{
		{name: "one address", target: "10.0.0.1:80", to: map[string]dialled{"10.0.0.1:80": {after: time.Second}},
			addr: "10.0.0.1:80", took: time.Second, log: []string{"0s 10.0.0.1:80"}},
		{name: "one address, refused", target: "10.0.0.1:80", to: map[string]dialled{"10.0.0.1:80": {err: refused}},
			want: fault.ConnectRefused, addr: "10.0.0.1:80", errno: "ECONNREFUSED", log: []string{"0s 10.0.0.1:80"}},
		{name: "one address, silent", target: "10.0.0.1:80", want: fault.ConnectTimeout, addr: "10.0.0.1:80",
			errno: "ETIMEDOUT", took: DefaultConnect, log: []string{"0s 10.0.0.1:80"}},
		{name: "one address, and the exchange has less time", target: "10.0.0.1:80", until: time.Second,
			want: fault.TotalTimeout, took: time.Second, log: []string{"0s 10.0.0.1:80"}},
		{name: "the first is silent: the next one after 250 ms", target: "app:80", hosts: "10.0.0.1 10.0.0.2 10.0.0.3",
			to:   map[string]dialled{"10.0.0.2:80": {after: 50 * time.Millisecond}, "10.0.0.3:80": {}},
			addr: "10.0.0.2:80", took: 300 * time.Millisecond,
			log: []string{"0s 10.0.0.1:80", "250ms 10.0.0.2:80"}},
		{name: "the first is refused: the next one at once", target: "app:80", hosts: "10.0.0.1 10.0.0.2",
			to:   map[string]dialled{"10.0.0.1:80": {err: refused}, "10.0.0.2:80": {}},
			addr: "10.0.0.2:80", log: []string{"0s 10.0.0.1:80", "0s 10.0.0.2:80"}},
		{name: "a slow first one wins over a slower second", target: "app:80", hosts: "10.0.0.1 10.0.0.2",
			to:   map[string]dialled{"10.0.0.1:80": {after: 300 * time.Millisecond}, "10.0.0.2:80": {after: 100 * time.Millisecond}},
			addr: "10.0.0.1:80", took: 300 * time.Millisecond, log: []string{"0s 10.0.0.1:80", "250ms 10.0.0.2:80"}},
		{name: "families in turn", target: "app:80", hosts: "fd00::1 fd00::2 10.0.0.1 10.0.0.2",
			to:   map[string]dialled{"10.0.0.2:80": {}},
			addr: "10.0.0.2:80", took: 750 * time.Millisecond,
			log: []string{"0s [fd00::1]:80", "250ms 10.0.0.1:80", "500ms [fd00::2]:80", "750ms 10.0.0.2:80"}},
		{name: "all refuse", target: "app:80", hosts: "10.0.0.1 10.0.0.2",
			to:   map[string]dialled{"10.0.0.1:80": {err: refused}, "10.0.0.2:80": {after: time.Millisecond, err: syscall.EHOSTUNREACH}},
			want: fault.DNSAllAddressesFailed, addr: "10.0.0.1:80, 10.0.0.2:80", took: time.Millisecond, errno: "ECONNREFUSED",
			log: []string{"0s 10.0.0.1:80", "0s 10.0.0.2:80"}},
		{name: "all are silent", target: "app:80", hosts: "10.0.0.1 10.0.0.2",
			want: fault.DNSAllAddressesFailed, addr: "10.0.0.1:80, 10.0.0.2:80", took: DefaultConnect, errno: "ETIMEDOUT",
			log: []string{"0s 10.0.0.1:80", "250ms 10.0.0.2:80"}},
		{name: "all are silent, and the exchange has less time", target: "app:80", hosts: "10.0.0.1 10.0.0.2",
			until: time.Second, want: fault.TotalTimeout, took: time.Second,
			log: []string{"0s 10.0.0.1:80", "250ms 10.0.0.2:80"}},
		{name: "no descriptor is left: no other address helps", target: "app:80", hosts: "10.0.0.1 10.0.0.2",
			to:   map[string]dialled{"10.0.0.1:80": {err: syscall.EMFILE}},
			want: fault.LocalFDExhausted, addr: "10.0.0.1:80", errno: "EMFILE", log: []string{"0s 10.0.0.1:80"}},
		{name: "this machine refuses on both families", target: ":80",
			to:   map[string]dialled{"127.0.0.1:80": {err: refused}, "[::1]:80": {err: refused}},
			want: fault.ConnectRefused, addr: "127.0.0.1:80, [::1]:80", errno: "ECONNREFUSED",
			log: []string{"0s 127.0.0.1:80", "0s [::1]:80"}},
		{name: "this machine has no IPv6", target: ":80",
			to:   map[string]dialled{"127.0.0.1:80": {err: refused}, "[::1]:80": {err: syscall.EADDRNOTAVAIL}},
			want: fault.ConnectRefused, addr: "127.0.0.1:80", errno: "ECONNREFUSED",
			log: []string{"0s 127.0.0.1:80", "0s [::1]:80"}},
		{name: "listens on ::1 only", target: ":80",
			to:   map[string]dialled{"127.0.0.1:80": {err: refused}, "[::1]:80": {}},
			addr: "[::1]:80", log: []string{"0s 127.0.0.1:80", "0s [::1]:80"}},
		{name: "no route for IPv6", target: "app:80", hosts: "fd00::1 10.0.0.1",
			to:   map[string]dialled{"[fd00::1]:80": {err: unroutable}, "10.0.0.1:80": {}},
			addr: "10.0.0.1:80", log: []string{"0s [fd00::1]:80", "0s 10.0.0.1:80"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &dials{start: time.Now(), to: c.to}
				run(t, loop.PortableOptions{Dial: d.dial}, func(l loop.Loop) {
					u := upstreamOf(t, Options{Name: "shop"}, c.target)
					var lines []string
					for _, ip := range strings.Fields(c.hosts) {
						lines = append(lines, ip+" app")
					}
					hostsFile(t, u, lines...)
					p := u.On(l)
					began := l.Now()
					var tm Timing
					until := began.Add(int64(c.until))
					conn, f := p.Dial(u.endpoints[0], until, &tm)
					if took := time.Duration(l.Now() - began); took != c.took {
						t.Errorf("took %v, want %v", took, c.took)
					}
					if f != nil {
						if f.ID != c.want || c.addr != "" && f.Get("address") != c.addr || f.Get("errno") != c.errno {
							t.Errorf("fault %s, address %q, errno %q", f.ID, f.Get("address"), f.Get("errno"))
						}
						if s := f.Observed(); f.ID != fault.TotalTimeout && strings.Contains(s, "{") {
							t.Errorf("a fact is missing: %s", s)
						}
						if f.At != fault.Connect || tm.Connected != 0 || tm.Resolved == 0 {
							t.Errorf("at %s, timing %+v", f.At, tm)
						}
					} else if c.want != "" || conn.Address != c.addr || tm.Address != c.addr || tm.Connected != l.Now() {
						t.Errorf("connected to %s, timing %+v, want %q", conn.Address, tm, cmp.Diff(c.want, ""))
					}
					inFlight := 0
					if conn != nil {
						inFlight = 1
					}
					if n := p.bench[0].inFlight; n != inFlight {
						t.Errorf("%d in flight, want %d", n, inFlight)
					}
					if conn != nil {
						p.Drop(conn, true)
					}
				})
				if diff := cmp.Diff(c.log, d.log); diff != "" {
					t.Error(diff)
				}
				failed := 0
				for _, a := range d.log {
					if _, addr, _ := strings.Cut(a, " "); d.to[addr].err != nil {
						failed++
					}
				}
				if len(d.ended)+failed != len(d.log) {
					t.Errorf("of %v only %v ended", d.log, d.ended)
				}
			})
		})
	}
}

func TestInterruptedDialCallsEverythingOff(t *testing.T) {
	for _, hosts := range [][]string{{"10.0.0.1 app"}, {"10.0.0.1 app", "10.0.0.2 app"}} {
		synctest.Test(t, func(t *testing.T) {
			d := &dials{start: time.Now()}
			run(t, loop.PortableOptions{Dial: d.dial}, func(l loop.Loop) {
				u := upstreamOf(t, Options{}, "app:80")
				hostsFile(t, u, hosts...)
				p := u.On(l)
				self := l.Current()
				l.Go(func() { l.Sleep(l.Now().Add(int64(time.Second))); self.Interrupt() })
				c, f := p.Dial(u.endpoints[0], loop.Never, nil)
				if c != nil || f.ID != fault.ClientGone || f.At != fault.Connect || !errors.Is(f, loop.ErrInterrupted) {
					t.Errorf("got %v, %v", c, f)
				}
				if err := l.Park(l.Now() + 1); !errors.Is(err, loop.ErrTimeout) {
					t.Errorf("a race left a Wake behind: %v", err)
				}
			})
			if len(d.log) != len(hosts) || len(d.ended) != len(hosts) {
				t.Errorf("dialled %v, ended %v", d.log, d.ended)
			}
		})
	}
}

// What worked goes first, what failed last, and equals take turns.
func TestAddressesAreLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dials{start: time.Now(), to: map[string]dialled{
			"[fd00::1]:80": {err: syscall.ENETUNREACH}, "10.0.0.1:80": {}, "10.0.0.2:80": {}, "10.0.0.3:80": {err: syscall.ECONNREFUSED}}}
		run(t, loop.PortableOptions{Dial: d.dial}, func(l loop.Loop) {
			u := upstreamOf(t, Options{}, "app:80")
			hostsFile(t, u, "fd00::1 app", "10.0.0.1 app", "10.0.0.2 app", "10.0.0.3 app")
			p := u.On(l)
			dial := func() string {
				d.log = nil
				c, f := p.Dial(u.endpoints[0], loop.Never, nil)
				if f != nil {
					t.Fatal(f)
				}
				p.Drop(c, true)
				return strings.Join(d.log, "; ")
			}
			if got, want := dial(), "0s [fd00::1]:80; 0s 10.0.0.1:80"; got != want {
				t.Errorf("first: %s, want %s", got, want)
			}
			for i := range 6 {
				want := []string{"0s 10.0.0.2:80", "0s 10.0.0.3:80; 0s 10.0.0.1:80", "0s 10.0.0.1:80",
					"0s 10.0.0.2:80", "0s 10.0.0.1:80", "0s 10.0.0.1:80"}[i]
				if got := dial(); got != want {
					t.Errorf("dial %d: %s, want %s", i+2, got, want)
				}
			}
		})
	})
}

func TestErrnoToFault(t *testing.T) {
	for errno, want := range map[syscall.Errno]fault.ID{
		syscall.ECONNREFUSED:  fault.ConnectRefused,
		syscall.ETIMEDOUT:     fault.ConnectTimeout,
		syscall.EHOSTUNREACH:  fault.ConnectHostUnreachable,
		syscall.ENETUNREACH:   fault.ConnectNetUnreachable,
		syscall.EACCES:        fault.ConnectDenied,
		syscall.EPERM:         fault.ConnectDenied,
		syscall.EMFILE:        fault.LocalFDExhausted,
		syscall.ENFILE:        fault.LocalFDExhausted,
		syscall.EADDRNOTAVAIL: fault.LocalPortExhausted,
		syscall.ENOMEM:        fault.LocalMemoryExhausted,
		syscall.ENOBUFS:       fault.LocalMemoryExhausted,
		syscall.EPROTOTYPE:    fault.ConnectOther,
		syscall.ECONNRESET:    fault.ConnectOther,
		syscall.ENOENT:        fault.ConnectOther, // of a TCP connect, whatever that means
	} {
		if got := connectID(errno, false); got != want {
			t.Errorf("%v: %s, want %s", errno, got, want)
		}
	}
	if connectID(syscall.ENOENT, true) != fault.UnixSocketMissing || connectID(syscall.EAGAIN, true) != fault.UnixSocketBacklog {
		t.Error("unix sockets have errors of their own")
	}
}

// refusing is a port of 127.0.0.1 that stays ours and refuses.
func refusing(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(sa.(*syscall.SockaddrInet4).Port)).String()
}

func TestRealSockets(t *testing.T) {
	dir := t.TempDir()
	missing, left, full := filepath.Join(dir, "missing"), filepath.Join(dir, "left"), filepath.Join(dir, "full")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	fillBacklog(t, full)
	for target, want := range map[string]fault.ID{
		refusing(t):       fault.ConnectRefused,
		"unix:" + missing: fault.UnixSocketMissing,
		"unix:" + left:    fault.ConnectRefused,
		"unix:" + full:    fault.UnixSocketBacklog,
	} {
		run(t, loop.PortableOptions{}, func(l loop.Loop) {
			u := upstreamOf(t, Options{}, target)
			_, f := u.On(l).Dial(u.endpoints[0], loop.Never, nil)
			if f == nil || f.ID != want || f.Get("address") != target || f.Get("endpoint") != target {
				t.Errorf("%s: %+v, want %s", target, f, want)
			} else if s := f.Observed(); strings.Contains(s, "{") {
				t.Errorf("%s: a fact is missing: %s", target, s)
			}
		})
	}
}

// fillBacklog makes a unix socket whose queue is full.
func fillBacklog(t *testing.T, path string) {
	t.Helper()
	socket := func() int {
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Close(fd) })
		return fd
	}
	ln, sa := socket(), &syscall.SockaddrUnix{Name: path}
	if err := syscall.Bind(ln, sa); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(ln, 1); err != nil {
		t.Fatal(err)
	}
	for range 64 {
		fd := socket()
		if err := syscall.SetNonblock(fd, true); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Connect(fd, sa); errors.Is(err, syscall.EAGAIN) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the backlog of 1 took 64 connections")
}

func TestOwnAddress(t *testing.T) {
	for _, c := range []struct {
		own, target string
		want        fault.ID
	}{
		{"127.0.0.1:80", "127.0.0.1:80", fault.LoopSelfAddress},
		{"0.0.0.0:80", "127.0.0.1:80", fault.LoopSelfAddress},
		{"[::]:80", "127.0.0.1:80", fault.LoopSelfAddress},
		{"[::]:80", "[::1]:80", fault.LoopSelfAddress},
		{"[::]:80", ":80", fault.LoopSelfAddress},
		{"[::1]:80", "127.0.0.1:80", ""},
		{"0.0.0.0:80", "[::1]:80", ""},
		{"0.0.0.0:81", "127.0.0.1:80", ""},
		{"0.0.0.0:80", "192.0.2.1:80", ""}, // documentation: nobody's
		{"0.0.0.0:80", "unix:/run/app.sock", ""},
		{"127.0.0.1:80", ":80", ""}, // ::1 is left
	} {
		synctest.Test(t, func(t *testing.T) {
			d := &dials{start: time.Now(), to: map[string]dialled{"127.0.0.1:80": {}, "[::1]:80": {}, "192.0.2.1:80": {}, "unix:/run/app.sock": {}}}
			run(t, loop.PortableOptions{Dial: d.dial}, func(l loop.Loop) {
				u := upstreamOf(t, Options{Own: func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort(c.own)} }}, c.target)
				p := u.On(l)
				conn, f := p.Dial(u.endpoints[0], loop.Never, nil)
				switch {
				case conn != nil && c.want == "":
					p.Drop(conn, true)
				case f == nil || f.ID != c.want:
					t.Errorf("%s to %s: %v, want %q", c.own, c.target, f, c.want)
				case len(d.log) > 0:
					t.Errorf("%s to %s: dialled %v", c.own, c.target, d.log)
				}
			})
		})
	}
}

// listener accepts and closes on 127.0.0.1, and returns its port.
func listener(t *testing.T) uint16 {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() { // ends with ln
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	return netip.MustParseAddrPort(ln.Addr().String()).Port()
}

func named(t *testing.T, port uint16, server string, o Options) *Upstream {
	o.Resolver = server
	o.Targets = []Target{{Name: "app.test", Host: "app.test", Port: port}}
	u := upstreamOf(t, o)
	u.dns.hosts = os.DevNull
	return u
}

func TestMovedEndpointIsFoundAtOnce(t *testing.T) {
	var asked atomic.Int32
	server := nameServer(t, replies(func(m *dns.Msg, q dns.Question) {
		if q.Qtype == dns.TypeA {
			where := "127.0.0.1"
			if asked.Add(1) == 1 {
				where = "127.0.0.2"
			}
			m.Answer = []dns.RR{record(t, q.Name+" 300 A "+where)}
		}
	}))
	u := named(t, listener(t), server, Options{})
	run(t, loop.PortableOptions{}, func(l loop.Loop) {
		p := u.On(l)
		var tm Timing
		c, f := p.Dial(u.endpoints[0], loop.Never, &tm)
		if f != nil {
			t.Fatal(f)
		}
		p.Drop(c, false)
		if !strings.HasPrefix(tm.Address, "127.0.0.1:") || tm.Note == nil || tm.Note.ID != fault.DNSStaleAnswer ||
			!strings.HasPrefix(tm.Note.Get("address"), "127.0.0.2:") || tm.Note.Get("want") != "127.0.0.1" {
			t.Errorf("timing %+v, note %+v", tm, tm.Note)
		} else if s := tm.Note.Observed(); strings.Contains(s, "{") {
			t.Errorf("a fact is missing: %s", s)
		}
	})
}

// When a container moves, all who find the old address dead learn of the new one, and not
// only the first who asks.
func TestMovedEndpointIsFoundByAll(t *testing.T) {
	var asked atomic.Int32
	all := make(chan struct{})
	server := nameServer(t, replies(func(m *dns.Msg, q dns.Question) {
		if q.Qtype == dns.TypeA {
			where := "127.0.0.1"
			switch asked.Add(1) {
			case 1:
				where = "127.0.0.2"
			case 2:
				<-all // have failed to connect by now, or are about to
			}
			m.Answer = []dns.RR{record(t, q.Name+" 300 A "+where)}
		}
	}))
	const n = 8
	u := named(t, listener(t), server, Options{MaxIdle: -1})
	run(t, loop.PortableOptions{}, func(l loop.Loop) {
		p := u.On(l)
		failed, self := 0, l.Self()
		left := n
		for i := range n {
			l.Go(func() {
				var tm Timing
				c, f := p.Dial(u.endpoints[0], loop.Never, &tm)
				if f != nil {
					failed++
				} else {
					p.Drop(c, false)
				}
				if left--; left == 0 {
					self.Wake()
				}
			})
			if i == n-1 {
				close(all)
			}
		}
		for left > 0 {
			l.Park(loop.Never)
		}
		if failed > 0 || asked.Load() != 2 {
			t.Errorf("%d of %d were not told of the new address, after %d questions", failed, n, asked.Load())
		}
	})
}

// A failed connect asks again, but not more than once a second.
func TestAskingAgainIsRateLimited(t *testing.T) {
	var asked atomic.Int32
	server := nameServer(t, replies(func(m *dns.Msg, q dns.Question) {
		if q.Qtype == dns.TypeA {
			asked.Add(1)
			m.Answer = []dns.RR{record(t, q.Name+" 300 A 127.0.0.1")}
		}
	}))
	port := netip.MustParseAddrPort(refusing(t)).Port()
	u := named(t, port, server, Options{})
	run(t, loop.PortableOptions{}, func(l loop.Loop) {
		p, began := u.On(l), l.Now()
		for range 50 {
			if _, f := p.Dial(u.endpoints[0], loop.Never, nil); f == nil || f.ID != fault.ConnectRefused {
				t.Fatalf("got %v", f)
			}
		}
		most := 2 + int32(time.Duration(l.Now()-began)/askLeast)
		if n := asked.Load(); n < 2 || n > most {
			t.Errorf("asked %d times for 50 failures, want 2 to %d", n, most)
		}
	})
}

func TestOneLookupServesAll(t *testing.T) {
	var asked atomic.Int32
	hold := make(chan struct{})
	server := nameServer(t, replies(func(m *dns.Msg, q dns.Question) {
		if q.Qtype == dns.TypeA {
			asked.Add(1)
			<-hold
			m.Answer = []dns.RR{record(t, q.Name+" 300 A 127.0.0.1")}
		}
	}))
	u := named(t, listener(t), server, Options{})
	run(t, loop.PortableOptions{}, func(l loop.Loop) {
		p := u.On(l)
		var tasks []loop.Task
		good := 0
		for range 20 {
			tasks = append(tasks, l.Go(func() {
				c, f := p.Dial(u.endpoints[0], loop.Never, nil)
				if f != nil {
					t.Error(f)
					return
				}
				good++
				p.Drop(c, false)
			}))
		}
		for q := p.bench[0].lookup; q == nil || len(q.waiting) < len(tasks); q = p.bench[0].lookup {
			l.Sleep(l.Now() + 1000)
		}
		close(hold)
		for _, task := range tasks {
			for !task.Done() {
				l.Sleep(l.Now() + 1000)
			}
		}
		if good != len(tasks) || asked.Load() != 1 {
			t.Errorf("%d of %d dials, %d questions", good, len(tasks), asked.Load())
		}
		if _, f := p.Dial(u.endpoints[0], loop.Never, nil); f != nil || asked.Load() != 1 {
			t.Errorf("the answer was not kept: %v, %d questions", f, asked.Load())
		}
	})
}

// aged moves the answer at hand into the past.
func aged(e *Endpoint, by time.Duration) {
	a := *e.answer.Load()
	a.came -= loop.Time(by)
	a.refresh -= loop.Time(by)
	a.expires -= loop.Time(by)
	if e.good.Load() == e.answer.Load() {
		e.good.Store(&a)
	}
	e.answer.Store(&a)
}

func TestOldAnswersHelpOut(t *testing.T) {
	var broken atomic.Bool
	var asked atomic.Int32
	server := nameServer(t, replies(func(m *dns.Msg, q dns.Question) {
		asked.Add(1)
		switch {
		case broken.Load():
			m.Rcode = dns.RcodeServerFailure
		case q.Qtype == dns.TypeA:
			m.Answer = []dns.RR{record(t, q.Name+" 300 A 127.0.0.1")}
		}
	}))
	u := named(t, listener(t), server, Options{})
	e := u.endpoints[0]
	run(t, loop.PortableOptions{}, func(l loop.Loop) {
		p := u.On(l)
		dial := func(step string, note, want fault.ID) {
			t.Helper()
			var tm Timing
			c, f := p.Dial(e, loop.Never, &tm)
			if f != nil {
				if f.ID != want {
					t.Errorf("%s: %v, want %q", step, f, want)
				}
				return
			}
			p.Drop(c, false)
			if want != "" || (tm.Note == nil) != (note == "") || tm.Note != nil && tm.Note.ID != note {
				t.Errorf("%s: connected, note %v, want %q", step, tm.Note, note)
			}
		}
		dial("fresh", "", "")

		before := asked.Load()
		aged(e, 250*time.Second) // into the last fifth of its life
		dial("nearly over", "", "")
		for e.asking.Load() {
			l.Sleep(l.Now() + 1000)
		}
		if asked.Load() != before+2 || e.answer.Load().expires < l.Now().Add(int64(290*time.Second)) {
			t.Errorf("not refreshed in the background: %d questions", asked.Load()-before)
		}

		broken.Store(true)
		aged(e, 301*time.Second)
		dial("expired, and the resolver fails", fault.DNSServfail, "")
		before = asked.Load()
		dial("soon after", fault.DNSServfail, "")
		if asked.Load() != before {
			t.Error("a failing resolver was asked again at once")
		}

		g := *e.good.Load()
		g.expires -= loop.Time(staleMost) + loop.Time(time.Minute)
		e.good.Store(&g)
		aged(e, staleRetry)
		dial("too old to be used", "", fault.DNSServfail)

		broken.Store(false)
		aged(e, staleRetry)
		dial("well again", "", "")
	})
}

func TestResolveLimits(t *testing.T) {
	server := nameServer(t, func(dns.ResponseWriter, *dns.Msg) {})
	for _, c := range []struct {
		until time.Duration
		want  fault.ID
	}{{time.Hour, fault.DNSTimeout}, {50 * time.Millisecond, fault.TotalTimeout}} {
		u := named(t, 80, server, Options{Timeouts: Timeouts{Resolve: 100 * time.Millisecond}})
		run(t, loop.PortableOptions{}, func(l loop.Loop) {
			var tm Timing
			_, f := u.On(l).Dial(u.endpoints[0], l.Now().Add(int64(c.until)), &tm)
			if f == nil || f.ID != c.want || f.At != fault.Resolve || tm.Resolved != 0 {
				t.Errorf("%+v at %s, want %s", f, f.At, c.want)
			}
		})
	}
}
