package upstream

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// many is a shared connection with so many places.
type many struct {
	places, busy int
	closed       bool
	freed        func()
}

func (m *many) Free() int {
	if m.closed {
		return 0
	}
	return m.places - m.busy
}
func (m *many) Open() bool      { return !m.closed }
func (m *many) Busy() int       { return m.busy }
func (m *many) Allowed() uint32 { return uint32(m.places) }
func (m *many) Close()          { m.closed = true }

// sharing plays f with an upstream whose connections have so many places, and are
// there after a tenth of a second. made are those that were opened.
func sharing(t *testing.T, places int, o Options, f func(l loop.Loop, p *Local, made *[]*many)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var made []*many
		o.Share = func(s loop.Stream, _ bool, _ loop.Time, freed func()) (Shared, *fault.Fault) {
			s.Loop().Sleep(s.Loop().Now().Add(int64(time.Second / 10)))
			m := &many{places: places, freed: freed}
			made = append(made, m)
			return m, nil
		}
		u := upstreamOf(t, o, "h2c://10.0.0.1:80")
		run(t, loop.PortableOptions{Dial: func(context.Context, loop.Address) (net.Conn, error) {
			ours, _ := net.Pipe()
			return ours, nil
		}}, func(l loop.Loop) {
			p := u.On(l)
			f(l, p, &made)
			p.Close()
		})
	})
}

// ask lets n tasks have a connection for a second each, and returns what went wrong.
func ask(l loop.Loop, p *Local, n int) (faults []*fault.Fault) {
	e, me := p.up.endpoints[0], l.Current()
	left := n
	for range n {
		l.Go(func() {
			defer func() {
				left--
				me.Wake()
			}()
			c := p.Join(e)
			if c == nil {
				var f *fault.Fault
				if c, f = p.Dial(e, loop.Never, nil); f != nil {
					faults = append(faults, f)
					return
				}
			}
			m := c.Shared.(*many)
			m.busy++
			l.Sleep(l.Now().Add(int64(time.Second)))
			m.busy--
			p.Keep(c, 0)
			m.freed()
		})
	}
	for left > 0 {
		l.Park(loop.Never)
	}
	return faults
}

func TestManyShareOneConnection(t *testing.T) {
	sharing(t, 100, Options{}, func(l loop.Loop, p *Local, made *[]*many) {
		for range 2 {
			if f := ask(l, p, 40); len(f) > 0 {
				t.Errorf("%d faults: %v", len(f), f[0])
			}
		}
		if len(*made) != 1 {
			t.Errorf("%d connections for 40 requests, want one", len(*made))
		}
		if n := p.bench[0].inFlight; n != 0 {
			t.Errorf("%d requests are still counted", n)
		}
	})
}

// More connections are opened while that helps, up to the limit; then requests
// wait for a place.
func TestSharedConnectionsAreBounded(t *testing.T) {
	sharing(t, 10, Options{MaxShared: 3}, func(l loop.Loop, p *Local, made *[]*many) {
		began := l.Now()
		if f := ask(l, p, 60); len(f) > 0 {
			t.Errorf("%d faults: %v", len(f), f[0])
		}
		if len(*made) != 3 {
			t.Errorf("%d connections, want 3", len(*made))
		}
		if took := time.Duration(l.Now() - began); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("60 requests with 30 places took %v, want two rounds", took)
		}
	})
}

func TestNoPlaceAtAll(t *testing.T) {
	sharing(t, 0, Options{}, func(l loop.Loop, p *Local, made *[]*many) {
		began := l.Now()
		faults := ask(l, p, 3)
		if len(faults) != 3 {
			t.Fatalf("%d faults, want 3", len(faults))
		}
		for _, f := range faults {
			if f.ID != fault.H2StreamsExhausted || f.Get("limit") != "0" {
				t.Errorf("%v", f)
			}
		}
		if took := time.Duration(l.Now() - began); took > 2*DefaultConnect {
			t.Errorf("it took %v", took)
		}
		if len(*made) != 1 {
			t.Errorf("%d connections: a further one would not help", len(*made))
		}
	})
}

// What nobody uses is closed after a while, and at once when the gateway stops.
func TestSharedConnectionsEnd(t *testing.T) {
	sharing(t, 10, Options{IdleTimeout: 5 * time.Second}, func(l loop.Loop, p *Local, made *[]*many) {
		ask(l, p, 1)
		l.Sleep(l.Now().Add(int64(4 * time.Second)))
		if (*made)[0].closed {
			t.Error("closed too early")
		}
		l.Sleep(l.Now().Add(int64(3 * time.Second)))
		if !(*made)[0].closed || p.links != 0 {
			t.Error("it is still open")
		}
		ask(l, p, 1)
		p.Close()
		if !(*made)[1].closed {
			t.Error("open after the end")
		}
	})
}
