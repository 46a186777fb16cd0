package upstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// stays is a client that stays.
type stays struct{}

func (stays) Gone() *fault.Fault { return nil }

// leaves is a client that goes away at a moment.
type leaves struct {
	l  loop.Loop
	at loop.Time
}

func (a leaves) Gone() *fault.Fault {
	if a.l.Now() >= a.at {
		return fault.New(fault.ClientGone)
	}
	return nil
}

// onLoops runs f in a bubble with the loops of an engine, and a Local of u on each.
func onLoops(t *testing.T, n int, u *Upstream, f func(on []*Local, post func(i int, f func(p *Local)))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := loop.Portable(loop.PortableOptions{Loops: n, Dial: func(context.Context, loop.Address) (net.Conn, error) {
			c, s := net.Pipe()
			t.Cleanup(func() { s.Close() })
			return c, nil
		}})
		on := make([]*Local, n)
		run := func(i int, f func(p *Local)) {
			done := make(chan struct{})
			e.Loops()[i].Post(func() { defer close(done); f(on[i]) })
			<-done
		}
		for i := range on {
			run(i, func(*Local) { on[i] = u.On(e.Loops()[i]) })
		}
		f(on, func(i int, f func(p *Local)) { e.Loops()[i].Post(func() { f(on[i]) }) })
		synctest.Wait()
		for i := range on {
			run(i, func(p *Local) { p.Close() })
		}
		e.Close()
		if n := u.Queued(); n != 0 {
			t.Errorf("%d are left in the queue", n)
		}
		for _, e := range u.endpoints {
			if r, c := e.use.requests.Load(), e.use.connections.Load(); r != 0 || c != 0 {
				t.Errorf("%s is left with %d requests and %d connections", e.Name(), r, c)
			}
		}
	})
}

// Who came first is served first, whichever loop it is on.
func TestQueueIsFair(t *testing.T) {
	for _, b := range []Balance{Turns, Latency, Hash, Least} {
		u := upstreamOf(t, Options{Balance: b, Capacity: Capacity{Requests: 1, QueueTimeout: time.Hour}}, ":1-2")
		onLoops(t, 3, u, func(on []*Local, post func(int, func(*Local))) {
			var mu sync.Mutex
			var got, want []int
			for i := range 40 {
				want = append(want, i)
				post(i*7%3, func(p *Local) {
					e, waited, f := p.Admit(nil, uint64(i), nil, loop.Never, stays{})
					if f != nil || waited != (i >= 2) {
						t.Errorf("request %d: %v, waited %v", i, f, waited)
						return
					}
					mu.Lock()
					got = append(got, i)
					mu.Unlock()
					p.loop.Sleep(p.loop.Now().Add(int64(time.Second)))
					p.Leave(e)
				})
				synctest.Wait() // the order of arrival is certain
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: served in another order (-want +got):\n%s", balances[b], diff)
			}
		})
	}
}

// A queue has an end, a wait has one, and who has gone leaves it.
func TestQueueEnds(t *testing.T) {
	u := upstreamOf(t, Options{Name: "app", Capacity: Capacity{Requests: 1, Queue: 3, QueueTimeout: 5 * time.Second}}, ":1")
	onLoops(t, 2, u, func(_ []*Local, post func(int, func(*Local))) {
		began := time.Now()
		var mu sync.Mutex
		got := map[string]string{}
		ask := func(name string, on int, until time.Duration, gone time.Duration, hold time.Duration) {
			post(on, func(p *Local) {
				now := p.loop.Now()
				end := loop.Never
				if until > 0 {
					end = now.Add(int64(until))
				}
				var a Asker = stays{}
				if gone > 0 {
					a = leaves{p.loop, now.Add(int64(gone))}
				}
				e, _, f := p.Admit(nil, 0, nil, end, a)
				what := "served"
				if f != nil {
					what = string(f.ID)
					if f.Row().Side == fault.Gateway {
						what += " at " + f.At.String() + ": " + f.Observed()
					}
				}
				mu.Lock()
				got[name] = fmt.Sprintf("%s after %v", what, time.Since(began).Round(time.Second))
				mu.Unlock()
				if e != nil {
					p.loop.Sleep(p.loop.Now().Add(int64(hold)))
					p.Leave(e)
				}
			})
			synctest.Wait()
		}
		ask("holds", 0, 0, 0, 4*time.Second)
		ask("has little time", 1, 2*time.Second, 0, 0)
		ask("goes away", 0, 0, 2500*time.Millisecond, 0)
		ask("is served", 1, 0, 0, 30*time.Second)
		ask("finds no place", 0, 0, 0, 0)
		time.Sleep(3500 * time.Millisecond)
		ask("waits too long", 0, 0, 0, 0)
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff(map[string]string{
			"holds":           "served after 0s",
			"has little time": "total_timeout after 2s",
			"goes away":       "client_gone after 3s",
			"is served":       "served after 4s",
			"finds no place":  "queue_full at select: 3 wait for the 1 endpoints of app, and no more may after 0s",
			"waits too long":  "queue_timeout at select: waited 5s for one of the 1 endpoints of app, each of which takes 1 requests at a time; 1 were waiting then after 9s",
		}, got); diff != "" {
			t.Error(diff)
		}
	})
	none := upstreamOf(t, Options{Name: "app", Capacity: Capacity{Requests: 1, Connections: 2, Queue: -1}}, ":1-2")
	p, _ := at(none)
	a, _, _ := p.Admit(nil, 0, nil, loop.Never, stays{})
	b, _, _ := p.Admit(nil, 0, nil, loop.Never, stays{})
	if a == nil || b == nil || a == b {
		t.Fatalf("%v %v", a, b)
	}
	if _, _, f := p.Admit(nil, 0, nil, loop.Never, stays{}); f == nil || f.ID != fault.PoolExhausted ||
		f.Observed() != "all of the 2 endpoints of app are full: each takes 1 requests or 2 connections at a time, and there is no queue" {
		t.Errorf("%v", f)
	}
	p.Leave(a)
	if e, waited, f := p.Admit(nil, 0, nil, loop.Never, stays{}); e != a || waited || f != nil {
		t.Errorf("%v %v %v", e, waited, f)
	}
}

// What changes about endpoints is told to those who wait.
func TestQueueHearsOfChanges(t *testing.T) {
	u := upstreamOf(t, Options{Name: "app", Capacity: Capacity{Requests: 1, QueueTimeout: time.Hour}}, ":1-2")
	u.endpoints[1].Drain("upgrade")
	onLoops(t, 2, u, func(_ []*Local, post func(int, func(*Local))) {
		var got [4]atomic.Pointer[string]
		release := make([]chan struct{}, 4)
		for i := range got {
			release[i] = make(chan struct{})
			post(i%2, func(p *Local) {
				e, _, f := p.Admit(nil, 0, nil, loop.Never, stays{})
				s := ""
				if f != nil {
					s = string(f.ID)
				} else {
					s = e.Name()
				}
				got[i].Store(&s)
				if e != nil {
					p.loop.Do(func() { <-release[i] })
					p.Leave(e)
				}
			})
			synctest.Wait()
		}
		is := func(i int, want string) {
			t.Helper()
			synctest.Wait()
			s := got[i].Load()
			if s == nil && want != "" || s != nil && *s != want {
				t.Errorf("request %d: %v, want %q", i, s, want)
			}
		}
		is(0, "localhost:1")
		is(1, "")
		u.endpoints[1].Resume("done") // a second one
		is(1, "localhost:2")
		is(2, "")
		u.endpoints[0].Drain("upgrade")
		close(release[0]) // its place is gone with it
		is(2, "")
		close(release[1])
		is(2, "localhost:2")
		is(3, "")
		u.endpoints[1].Drain("upgrade, too")
		is(3, "pool_all_unhealthy")
		close(release[2])
	})
}

// A limit holds over a reload: what is under way counts, and who waits stays in line
// before those who come later.
func TestQueueOutlivesReload(t *testing.T) {
	o := Options{Name: "app", Capacity: Capacity{Requests: 1, QueueTimeout: time.Hour}}
	u := upstreamOf(t, o, ":1")
	onLoops(t, 2, u, func(on []*Local, post func(int, func(*Local))) {
		var mu sync.Mutex
		var got []string
		ask := func(name string, i int, p func(*Local) *Local) {
			post(i, func(old *Local) {
				p := p(old)
				e, _, f := p.Admit(nil, 0, nil, loop.Never, stays{})
				if f != nil {
					t.Errorf("%s: %v", name, f)
					return
				}
				mu.Lock()
				got = append(got, name)
				mu.Unlock()
				p.loop.Sleep(p.loop.Now().Add(int64(time.Second)))
				p.Leave(e)
			})
			synctest.Wait()
		}
		same := func(p *Local) *Local { return p }
		ask("holds", 0, same)
		ask("first", 1, same)
		next := upstreamOf(t, o, ":1")
		next.Inherit(u)
		var new [2]*Local
		for i := range new {
			post(i, func(old *Local) {
				new[i] = next.On(old.loop)
				new[i].Inherit(old)
				old.Close()
			})
		}
		synctest.Wait()
		heir := func(old *Local) *Local { return new[slices.Index(on, old)] }
		ask("second", 0, heir)
		ask("third", 1, heir)
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"holds", "first", "second", "third"}, got); diff != "" {
			t.Error(diff)
		}
		for i := range new {
			post(i, func(*Local) { new[i].Close() })
		}
		synctest.Wait()
		if lines := *next.queue.lines.Load(); len(lines) != 0 {
			t.Errorf("%d lines are left", len(lines))
		}
	})
}

// Connections that nobody uses are given up for whoever waits elsewhere.
func TestConnectionLimit(t *testing.T) {
	u := upstreamOf(t, Options{Name: "app", Capacity: Capacity{Connections: 2, QueueTimeout: time.Hour}}, "10.0.0.1:80")
	onLoops(t, 3, u, func(_ []*Local, post func(int, func(*Local))) {
		var mu sync.Mutex
		var got []string
		note := func(s string) { mu.Lock(); got = append(got, s); mu.Unlock() }
		ask := func(name string, i int, hold time.Duration) {
			post(i, func(p *Local) {
				e, waited, f := p.Admit(nil, 0, nil, loop.Never, stays{})
				if f != nil {
					t.Errorf("%s: %v", name, f)
					return
				}
				c, _ := p.Take(e)
				reused := c != nil
				if c == nil {
					if c, f = p.Dial(e, loop.Never, nil); f != nil {
						t.Errorf("%s: %v", name, f)
						return
					}
				}
				note(fmt.Sprint(name, " waited ", waited, " reused ", reused))
				p.loop.Sleep(p.loop.Now().Add(int64(hold)))
				if n := u.endpoints[0].use.connections.Load(); n > 2 {
					t.Errorf("%d connections", n)
				}
				p.Keep(c, 0)
				p.Leave(e)
			})
			synctest.Wait()
		}
		ask("a", 0, time.Second)
		ask("b", 1, 2*time.Second)
		ask("c", 1, time.Second) // for a's, which is elsewhere and closed for it
		time.Sleep(1500 * time.Millisecond)
		ask("d", 1, time.Second) // for b's, which is kept for it
		time.Sleep(5 * time.Second)
		ask("e", 2, time.Second) // both are idle on loop 1: one is closed
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]string{
			"a waited false reused false", "b waited false reused false", "c waited true reused false",
			"d waited true reused true", "e waited true reused false"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// However many ask and on whichever loop, the limits hold and everybody is served.
func TestQueueUnderLoad(t *testing.T) {
	u := upstreamOf(t, Options{Balance: Latency, Capacity: Capacity{Requests: 3, Connections: 4, Queue: 10_000, QueueTimeout: time.Hour}}, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
	onLoops(t, 3, u, func(_ []*Local, post func(int, func(*Local))) {
		const n = 1500
		var served, under atomic.Int32
		for i := range n {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			post(i%3, func(p *Local) {
				p.loop.Sleep(p.loop.Now().Add(r.Int64N(int64(time.Second))))
				var before []*Endpoint
				if i%5 == 0 {
					before = u.endpoints[i%3 : i%3+1]
				}
				for {
					e, _, f := p.Admit(before, uint64(i), nil, loop.Never, stays{})
					if f != nil {
						t.Errorf("%v", f)
						return
					}
					c, _ := p.Take(e)
					if c == nil {
						if c, f = p.Dial(e, loop.Never, nil); f != nil {
							p.Leave(e)
							if f.ID != fault.PoolExhausted {
								t.Errorf("%v", f)
								return
							}
							continue
						}
					}
					if under.Add(1) > 9 {
						t.Error("more than the limits allow")
					}
					p.loop.Sleep(p.loop.Now().Add(r.Int64N(int64(50 * time.Millisecond))))
					under.Add(-1)
					if i%4 == 0 {
						p.Drop(c, true)
					} else {
						p.Keep(c, 0)
					}
					p.Leave(e)
					served.Add(1)
					return
				}
			})
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := served.Load(); got != n {
			t.Errorf("%d of %d were served", got, n)
		}
	})
}

func TestAdmitAllocatesNothing(t *testing.T) {
	for _, c := range []Capacity{{}, {Requests: 5}, {Requests: 5, Connections: 5}} {
		p, _ := at(upstreamOf(t, Options{Capacity: c}, ":1-3"))
		if n := testing.AllocsPerRun(1000, func() {
			e, _, _ := p.Admit(nil, 0, nil, loop.Never, stays{})
			p.Leave(e)
		}); n != 0 {
			t.Errorf("%+v: %v allocations", c, n)
		}
	}
}

// A request may come to what a reload has closed: it was on its way. It is served like
// any other.
func TestQueueAfterClose(t *testing.T) {
	u := upstreamOf(t, Options{Name: "app", Capacity: Capacity{Requests: 1, QueueTimeout: time.Hour}}, ":1")
	onLoops(t, 2, u, func(_ []*Local, post func(int, func(*Local))) {
		var served atomic.Int32
		ask := func(i int) {
			post(i, func(p *Local) {
				e, _, f := p.Admit(nil, 0, nil, loop.Never, stays{})
				if f != nil {
					t.Errorf("%v", f)
					return
				}
				p.loop.Sleep(p.loop.Now().Add(int64(time.Second)))
				served.Add(1)
				p.Leave(e)
			})
			synctest.Wait()
		}
		ask(0)
		post(1, func(p *Local) { p.Close() })
		ask(1)
		ask(1)
		ask(0)
		time.Sleep(time.Minute)
		if n := served.Load(); n != 4 {
			t.Errorf("%d of 4 were served", n)
		}
		if lines := *u.queue.lines.Load(); len(lines) != 1 {
			t.Errorf("%d lines are left, want that of the open one", len(lines))
		}
	})
}

// An endpoint that a reload takes away and the next one brings back is counted on.
func TestCountsOutliveAbsence(t *testing.T) {
	o := Options{Name: "app", Capacity: Capacity{Requests: 1, Queue: -1}}
	first := upstreamOf(t, o, ":1-2")
	p, _ := at(first)
	e, _, _ := p.Admit(nil, 0, first.endpoints[1], loop.Never, stays{})
	without, again := upstreamOf(t, o, ":1"), upstreamOf(t, o, ":1-2")
	without.Inherit(first)
	again.Inherit(without)
	if n := again.State()[1].Requests; n != 1 {
		t.Errorf("%d requests are under way, want 1", n)
	}
	p.Leave(e)
	if n := again.State()[1].Requests; n != 0 {
		t.Errorf("%d requests are under way, want 0", n)
	}
	without = upstreamOf(t, o, ":1")
	without.Inherit(again)
	if n := len(without.queue.uses); n != 1 {
		t.Errorf("%d endpoints are remembered, want the one there is", n)
	}
}
