package upstream

import (
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// kept puts a connection with the given stream into p's pool.
func kept(p *Local, s *pipe) *Conn {
	c := &Conn{Stream: s, Endpoint: p.up.endpoints[0]}
	p.Keep(c, 0)
	return c
}

func TestTake(t *testing.T) {
	const answer408 = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"
	for _, c := range []struct {
		name string
		pool []*pipe // in the order in which they were kept
		want int     // index of the one taken, -1 for none
		note fault.ID
		left int
	}{
		{"nothing there", nil, -1, "", 0},
		{"last in, first out", []*pipe{{}, {}}, 1, "", 1},
		{"closed by the peer", []*pipe{{check: io.EOF}}, -1, fault.ReuseFINBeforeWrite, 0},
		{"reset by the peer", []*pipe{{check: syscall.ECONNRESET}}, -1, fault.ReuseFINBeforeWrite, 0},
		{"the dead on top of the living", []*pipe{{}, {check: io.EOF}, {check: io.EOF}}, 0, fault.ReuseFINBeforeWrite, 0},
		{"idle timeout in words", []*pipe{{check: loop.ErrInput, input: answer408}}, -1, fault.ReuseIdle408, 0},
		{"HTTP/1.0 says so too", []*pipe{{check: loop.ErrInput, input: "HTTP/1.0 408"}}, -1, fault.ReuseIdle408, 0},
		{"another answer", []*pipe{{check: loop.ErrInput, input: "HTTP/1.1 200 OK\r\n\r\n"}}, -1, fault.ReuseUnsolicitedData, 0},
		{"less than a status", []*pipe{{check: loop.ErrInput, input: "HTTP/1.1 40"}}, -1, fault.ReuseUnsolicitedData, 0},
		{"rest of a body", []*pipe{{check: loop.ErrInput, input: "408 HTTP/1.1 408"}}, -1, fault.ReuseUnsolicitedData, 0},
		{"part of a TLS record", []*pipe{{check: loop.ErrInput, fill: loop.ErrTimeout}}, -1, fault.ReuseUnsolicitedData, 0},
		{"input, and then it is gone", []*pipe{{check: loop.ErrInput, fill: syscall.ECONNRESET}}, -1, fault.ReuseFINBeforeWrite, 0},
		{"one that the loop is sure about", []*pipe{{}, {}, {unsure: true}, {unsure: true}}, 1, "", 3},
		{"the dead that are known to be", []*pipe{{}, {check: io.EOF}, {unsure: true}}, 0, fault.ReuseFINBeforeWrite, 1},
		{"the kernel is asked about the others", []*pipe{{unsure: true}, {unsure: true, check: io.EOF}}, 0, fault.ReuseFINBeforeWrite, 0},
		{"the graver sin is told", []*pipe{{}, {check: io.EOF}, {check: loop.ErrInput, input: "x"}, {check: io.EOF}}, 0, fault.ReuseUnsolicitedData, 0},
	} {
		p, _ := at(upstreamOf(t, Options{}, ":1"))
		for _, s := range c.pool {
			kept(p, s)
		}
		got, note := p.Take(p.up.endpoints[0])
		if note != c.note {
			t.Errorf("%s: note %q, want %q", c.name, note, c.note)
		}
		if (got != nil) != (c.want >= 0) || got != nil && got.Stream != c.pool[c.want] {
			t.Errorf("%s: took %v, want that of index %d", c.name, got, c.want)
		}
		if n := len(p.bench[0].idle); n != c.left || p.idle != c.left {
			t.Errorf("%s: %d idle are left, counted %d, want %d", c.name, n, p.idle, c.left)
		}
		for i, s := range c.pool {
			if dead := s.check != nil; dead != (s.closed == 1) {
				t.Errorf("%s: connection %d was closed %d times", c.name, i, s.closed)
			}
		}
	}
}

func TestKeepAndDropCount(t *testing.T) {
	p, _ := at(upstreamOf(t, Options{MaxIdle: 1}, ":1"))
	e := p.up.endpoints[0]
	a, b := &pipe{sent: 77}, &pipe{}
	kept(p, a)
	kept(p, b)
	if a.closed != 0 || b.closed != 1 {
		t.Fatalf("over MaxIdle: closed %d and %d times, want the newcomer once", a.closed, b.closed)
	}
	c, _ := p.Take(e)
	if c.Served != 1 || c.SentBefore != 77 || p.bench[0].inFlight != 1 {
		t.Fatalf("taken: served %d, sent before %d, in flight %d", c.Served, c.SentBefore, p.bench[0].inFlight)
	}
	p.Drop(c, true)
	if a.aborted != 1 || a.closed != 0 || p.bench[0].inFlight != 0 {
		t.Errorf("dropped: aborted %d, closed %d, in flight %d", a.aborted, a.closed, p.bench[0].inFlight)
	}
	p.Close()
	late := &pipe{}
	kept(p, late)
	if late.closed != 1 || p.idle != 0 {
		t.Error("a drained pool kept a connection")
	}
}

func TestInputLeftBehindIsNotKept(t *testing.T) {
	p, _ := at(upstreamOf(t, Options{}, ":1"))
	s := &pipe{}
	c := &Conn{Stream: s, Endpoint: p.up.endpoints[0]}
	c.In.Append([]byte("rest of an answer"))
	p.Keep(c, 0)
	if s.closed != 1 || p.idle != 0 {
		t.Error("a connection with unread input would poison the next answer")
	}
}

func TestUndelivered(t *testing.T) {
	for _, c := range []struct {
		name string
		s    pipe
		want bool
	}{
		{"RST answered our bytes", pipe{known: true, delivery: loop.Delivery{Acked: 100, Closed: true}}, true},
		{"some bytes were acknowledged", pipe{known: true, delivery: loop.Delivery{Acked: 101, Closed: true}}, false},
		{"no RST yet", pipe{known: true, delivery: loop.Delivery{Acked: 100, Unacked: 50}}, false},
		{"the kernel cannot tell", pipe{}, false},
	} {
		if got := Undelivered(&Conn{Stream: &c.s, SentBefore: 100}); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// mortal is a stream whose peer closes when it was silent for limit.
type mortal struct {
	pipe
	l     loop.Loop
	since loop.Time
	limit time.Duration
}

func (s *mortal) Quiet() (quiet, sure bool) { return s.Check() == nil, true }

func (s *mortal) Check() error {
	if time.Duration(s.l.Now()-s.since) >= s.limit {
		return io.EOF
	}
	return nil
}

func TestSweepClosesAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run(t, loop.PortableOptions{}, func(l loop.Loop) {
			u := upstreamOf(t, Options{IdleTimeout: 10 * time.Second}, ":1")
			p := u.On(l)
			streams := []*mortal{
				{l: l, since: l.Now(), limit: time.Hour},
				{l: l, since: l.Now(), limit: 3 * time.Second},
			}
			for _, s := range streams {
				p.Keep(&Conn{Stream: s, Endpoint: u.endpoints[0]}, 0)
			}
			l.Sleep(l.Now() + loop.Time(5*time.Second))
			if streams[0].closed != 0 || streams[1].closed != 1 || p.idle != 1 {
				t.Errorf("after 5 s: closed %d and %d times, %d idle", streams[0].closed, streams[1].closed, p.idle)
			}
			l.Sleep(l.Now() + loop.Time(7*time.Second))
			if streams[0].closed != 1 || p.idle != 0 || p.sweeping {
				t.Errorf("after 12 s: closed %d times, %d idle, sweeping %v", streams[0].closed, p.idle, p.sweeping)
			}
			// It starts anew when there is something to look after, and Close ends it
			// at once: run waits for all tasks.
			s := &mortal{l: l, since: l.Now(), limit: time.Hour}
			p.Keep(&Conn{Stream: s, Endpoint: u.endpoints[0]}, 0)
			if !p.sweeping {
				t.Error("nobody looks after a kept connection")
			}
			l.Sleep(l.Now() + loop.Time(1500*time.Millisecond))
			before := l.Now()
			p.Close()
			for p.sweeping {
				l.Sleep(l.Now() + 1)
			}
			if d := time.Duration(l.Now() - before); s.closed != 1 || d > time.Millisecond {
				t.Errorf("Close: closed %d times, the sweeper ended %v later", s.closed, d)
			}
		})
	})
}

func TestKeepAliveHintIsObeyed(t *testing.T) {
	u := upstreamOf(t, Options{}, ":1")
	p, clock := at(u)
	s := &pipe{}
	p.Keep(&Conn{Stream: s, Endpoint: u.endpoints[0]}, 5*time.Second)
	clock.pass(4400 * time.Millisecond)
	c, _ := p.Take(u.endpoints[0])
	if c == nil {
		t.Fatal("closed after 4.4 s of 5 s")
	}
	p.Keep(c, 5*time.Second)
	clock.pass(4600 * time.Millisecond)
	if c, note := p.Take(u.endpoints[0]); c != nil || note != "" || s.closed != 1 {
		t.Errorf("after 4.6 s of 5 s: took %v, note %q, closed %d times", c, note, s.closed)
	}
}

// An endpoint that hangs up after 5 s of silence is found out, and from then on
// we are first.
func TestIdleLimitIsLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run(t, loop.PortableOptions{}, func(l loop.Loop) {
			u := upstreamOf(t, Options{}, ":1")
			p := u.On(l)
			e := u.endpoints[0]
			serve := func(silence time.Duration) (found bool) {
				p.Keep(&Conn{Stream: &mortal{l: l, since: l.Now(), limit: 5 * time.Second}, Endpoint: e}, 0)
				l.Sleep(l.Now() + loop.Time(silence))
				c, note := p.Take(e)
				if note != "" {
					t.Errorf("a dead connection was found while taking: %s", note)
				}
				if c != nil {
					p.Drop(c, false)
				}
				return c != nil
			}
			serve(7 * time.Second)
			if n := u.State()[0].IdleLimit; n != 0 {
				t.Errorf("learned %v from one closing", n)
			}
			serve(7 * time.Second)
			limit := u.State()[0].IdleLimit
			if limit < 3900*time.Millisecond || limit >= 5*time.Second {
				t.Fatalf("learned %v, want a little less than 5 s", limit)
			}
			if !serve(limit - margin(limit) - time.Millisecond) {
				t.Error("a connection below the limit was not used")
			}
			if serve(limit) {
				t.Error("a connection was used at the age at which they die")
			}
			// Nothing confirms the limit for long: it is doubted, step by step.
			for range 40 {
				l.Sleep(l.Now() + loop.Time(habitForget) + loop.Time(time.Second))
				p.Keep(&Conn{Stream: &mortal{l: l, since: l.Now(), limit: time.Hour}, Endpoint: e}, 0)
				l.Sleep(l.Now() + loop.Time(1500*time.Millisecond))
			}
			if n := u.State()[0].IdleLimit; n != 0 {
				t.Errorf("still believed after hours: %v", n)
			}
			p.Close()
		})
	})
}

// A restart closes all connections at once, whatever their age: no habit.
func TestRestartTeachesNothing(t *testing.T) {
	u := upstreamOf(t, Options{}, ":1")
	p, clock := at(u)
	for restart := range 3 {
		var all []*pipe
		for range 20 {
			clock.pass(time.Duration(restart+1) * 700 * time.Millisecond)
			s := &pipe{}
			kept(p, s)
			all = append(all, s)
			p.sweepBench(u.endpoints[0], &p.bench[0])
		}
		for _, s := range all {
			s.check = io.EOF
		}
		p.sweepBench(u.endpoints[0], &p.bench[0])
		clock.pass(time.Minute)
	}
	if n := u.State()[0].IdleLimit; n != 0 {
		t.Errorf("learned %v from restarts", n)
	}
}
