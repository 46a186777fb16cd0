package reverse

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// slow answers each request after a second.
func slow(c *peer, _ int) {
	for c.request() {
		time.Sleep(second)
		c.say(okAnswer)
	}
	c.Close()
}

// Requests that find all endpoints full wait in line; the trail tells how long. One whose
// client goes away leaves it, and one too many is told so at once.
func TestQueue(t *testing.T) {
	for name, c := range map[string]upstream.Capacity{"requests": {Requests: 1, Queue: 2}, "connections": {Connections: 1, Queue: 2}} {
		t.Run(name, func(t *testing.T) {
			s := defaults(slow)
			s.Capacity = c
			s.play(t, func(st *stage) {
				var clients []*client
				for range 4 {
					c := st.client()
					c.say(get("/"))
					synctest.Wait()
					time.Sleep(10 * time.Millisecond)
					clients = append(clients, c)
				}
				began := time.Now()
				if a := clients[3].answer("GET"); a.Status != 503 || a.Header.Get("Retry-After") == "" || time.Since(began) > 100*time.Millisecond {
					t.Errorf("one too many: %+v", a)
				}
				if tr := st.last(); id(tr.Fault) != "queue_full" || faults(tr) != "queue_full" || tr.Attempts[0].Endpoint != "" {
					t.Errorf("%s %+v", id(tr.Fault), tr.Attempts[0])
				}
				clients[1].end(true)
				if a := clients[0].answer("GET"); a.Status != 200 {
					t.Errorf("the first: %+v", a)
				}
				// The next one is free to wait in the place of the one that left.
				time.Sleep(100 * time.Millisecond)
				late := st.client()
				late.say(get("/"))
				if a := clients[2].answer("GET"); a.Status != 200 {
					t.Errorf("the third: %+v", a)
				}
				if tr := st.last(); tr.Status != 200 || tr.Attempts[0].Selected < trail.Stamp(900*time.Millisecond) || tr.Attempts[0].Selected > trail.Stamp(2*second) {
					t.Errorf("waited until %v, status %d", tr.Attempts[0].Selected, tr.Status)
				}
				if a := late.answer("GET"); a.Status != 200 {
					t.Errorf("the last: %+v", a)
				}
				time.Sleep(2 * second)
				st.last() // nothing moves
				st.mu.Lock()
				defer st.mu.Unlock()
				gone := false
				for _, tr := range st.trails {
					gone = gone || id(tr.Fault) == "client_gone" && tr.Status == 499
				}
				if !gone {
					t.Error("nobody left the queue")
				}
				if e := st.up.State()[0]; e.Failures != 0 {
					t.Errorf("the endpoint is blamed: %+v", e)
				}
			})
		})
	}
	s := defaults(slow)
	s.Capacity = upstream.Capacity{Requests: 1, QueueTimeout: 300 * time.Millisecond}
	s.play(t, func(st *stage) {
		first, second := st.client(), st.client()
		first.say(get("/"))
		synctest.Wait()
		second.say(get("/"))
		if a := second.answer("GET"); a.Status != 503 || a.Header.Get("Retry-After") == "" {
			t.Errorf("%+v", a)
		}
		if tr := st.last(); id(tr.Fault) != "queue_timeout" || tr.Attempts[0].Selected < trail.Stamp(300*time.Millisecond) {
			t.Errorf("%s %+v", id(tr.Fault), tr.Attempts[0])
		}
		if a := first.answer("GET"); a.Status != 200 {
			t.Errorf("%+v", a)
		}
		// The place is free again.
		if a := st.ask(get("/")); a.Status != 200 {
			t.Errorf("%+v", a)
		}
	})
}

// A failed attempt gives its place back before the next one looks for another.
func TestRetryWithLimits(t *testing.T) {
	s := defaults(func(c *peer, _ int) { c.request(); c.Close() }, ok)
	s.Capacity = upstream.Capacity{Requests: 1, Connections: 1}
	s.Eject = upstream.Eject{After: -1, Share: -1}
	s.Balance = upstream.RoundRobin
	s.Budget = upstream.Budget{Share: 1, Floor: 1000}
	s.play(t, func(st *stage) {
		for range 10 {
			if a := st.ask(get("/")); a.Status != 200 {
				t.Errorf("%+v", a)
			}
		}
	})
}

// Who was taken out gets nothing, be it the last one; the client is told to come back.
func TestAllDrained(t *testing.T) {
	defaults(ok, ok).play(t, func(st *stage) {
		for i, e := range st.up.Endpoints() {
			if i == 0 {
				e.Drain("upgrade")
			} else {
				e.Maintain("repair")
			}
		}
		if a := st.ask(get("/")); a.Status != 503 || a.Header.Get("Retry-After") == "" {
			t.Errorf("%+v", a)
		}
		if tr := st.last(); id(tr.Fault) != "pool_all_unhealthy" || tr.N != 1 {
			t.Errorf("%s after %d attempts", id(tr.Fault), tr.N)
		}
		st.up.Endpoints()[1].Resume("done")
		if a := st.ask(get("/")); a.Status != 200 {
			t.Errorf("%+v", a)
		}
	})
	// A retry finds nobody else, and the first fault is shown.
	defaults(func(c *peer, _ int) { c.request(); c.Close() }, ok).play(t, func(st *stage) {
		st.up.Endpoints()[1].Drain("upgrade")
		if a := st.ask(get("/")); a.Status != 502 {
			t.Errorf("%+v", a)
		}
		if got := st.origins[1].requests(); len(got) != 0 {
			t.Errorf("the drained endpoint got %q", got)
		}
	})
}

// A further attempt that finds no room is called off when the first one answers, and
// leaves the line.
func TestHedgeInQueue(t *testing.T) {
	busy := func(c *peer, _ int) {
		for c.request() {
			time.Sleep(10 * second)
			c.say(okAnswer)
		}
		c.Close()
	}
	slowly := func(c *peer, _ int) {
		for c.request() {
			time.Sleep(300 * time.Millisecond)
			c.say(okAnswer)
		}
		c.Close()
	}
	s := defaults(busy, slowly)
	s.Balance = upstream.RoundRobin
	s.Capacity = upstream.Capacity{Requests: 1, QueueTimeout: time.Minute}
	s.Reverse.Hedge = 100 * time.Millisecond
	s.Budget = upstream.Budget{Share: 1, Floor: 1000}
	s.play(t, func(st *stage) {
		first := st.client() // fills one, and is not asked for twice
		first.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
		synctest.Wait()
		began := time.Now()
		if a := st.ask(get("/")); a.Status != 200 || time.Since(began) > 400*time.Millisecond {
			t.Errorf("%+v after %v", a, time.Since(began))
		}
		if n := st.up.Queued(); n != 0 {
			t.Errorf("%d wait", n)
		}
		if a := first.answer("POST"); a.Status != 200 {
			t.Errorf("%+v", a)
		}
		synctest.Wait()
		for _, e := range st.up.State() {
			if e.Requests != 0 {
				t.Errorf("%s: %d requests are under way", e.Name, e.Requests)
			}
		}
	})
}
