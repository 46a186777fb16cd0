package reverse

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// turn is what the next endpoint that is asked does: after a while it says something, and
// hangs up if that is nothing.
type turn struct {
	after time.Duration
	says  string
}

// inTurn are two endpoints of which the one that is asked first does the first thing.
func inTurn(turns *[]turn, mu *sync.Mutex) behaviour {
	return func(c *peer, _ int) {
		defer c.Close()
		for c.request() {
			mu.Lock()
			if len(*turns) == 0 {
				mu.Unlock()
				return
			}
			now := (*turns)[0]
			*turns = (*turns)[1:]
			mu.Unlock()
			time.Sleep(now.after)
			if now.says == "" {
				return
			}
			c.say(now.says)
		}
	}
}

func says(s string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(s), s)
}

func TestHedge(t *testing.T) {
	const ms = time.Millisecond
	get := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, c := range []struct {
		name, request string
		turns         []turn
		budget        float64
		body          string
		status        int
		took          time.Duration // at most
		attempts      int
		lost          int // attempts that others were quicker than
		hedged        bool
		fault         fault.ID
	}{
		{"in time", get, []turn{{50 * ms, says("first")}}, 1, "first", 200, 60 * ms, 1, 0, false, ""},
		{"the second is quicker", get, []turn{{10 * time.Second, says("first")}, {10 * ms, says("second")}}, 1, "second", 200, 120 * ms, 2, 1, true, ""},
		{"the first is quicker all the same", get, []turn{{150 * ms, says("first")}, {300 * ms, says("second")}}, 1, "first", 200, 160 * ms, 2, 1, false, ""},
		{"the first fails meanwhile", get, []turn{{150 * ms, ""}, {300 * ms, says("second")}}, 1, "second", 200, 410 * ms, 2, 0, false, fault.HeadEOFEmpty},
		{"the second fails meanwhile", get, []turn{{500 * ms, says("first")}, {50 * ms, ""}}, 1, "first", 200, 510 * ms, 2, 0, false, fault.HeadEOFEmpty},
		{"the second says nonsense", get, []turn{{500 * ms, says("first")}, {50 * ms, "HTTP/1.1 2x0 OK\r\n\r\n"}}, 1, "first", 200, 510 * ms, 2, 0, false, fault.StatusCodeNondigit},
		{"both fail", get, []turn{{150 * ms, ""}, {100 * ms, ""}, {0, says("third")}}, 1, "third", 200, 300 * ms, 3, 0, false, fault.HeadEOFEmpty},
		{"HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", []turn{{time.Second, "HTTP/1.1 200 OK\r\n\r\n"}, {0, "HTTP/1.1 204 No\r\n\r\n"}}, 1, "", 204, 120 * ms, 2, 1, true, ""},
		{"POST", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", []turn{{500 * ms, says("first")}}, 1, "first", 200, 510 * ms, 1, 0, false, ""},
		{"a body", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", []turn{{500 * ms, says("first")}}, 1, "first", 200, 510 * ms, 1, 0, false, ""},
		{"without a budget", get, []turn{{500 * ms, says("first")}}, -1, "first", 200, 510 * ms, 1, 0, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var mu sync.Mutex
			turns := c.turns
			s := defaults(inTurn(&turns, &mu), inTurn(&turns, &mu))
			s.Reverse.Hedge = 100 * ms
			s.Budget = upstream.Budget{Share: c.budget, Floor: int(10 * c.budget)}
			s.play(t, func(st *stage) {
				mu.Lock()
				turns = c.turns
				mu.Unlock()
				began := time.Now()
				cl := st.client()
				cl.say(c.request)
				method := c.request[:4]
				if method == "GET " {
					method = "GET"
				}
				a := cl.answer(method)
				took := time.Since(began)
				tr := st.last()
				lost := 0
				for _, x := range tr.Tries() {
					if x.Lost {
						lost++
					}
				}
				var id fault.ID
				if tr.Fault != nil {
					id = tr.Fault.ID
				}
				if a.Status != c.status || a.Body != c.body || took > c.took || tr.N != c.attempts || lost != c.lost || tr.Hedged != c.hedged || id != c.fault {
					t.Errorf("%d %q after %v, %d attempts, %d lost, hedged %v, fault %s; want %d %q after %v, %d, %d, %v, %s",
						a.Status, a.Body, took, tr.N, lost, tr.Hedged, id, c.status, c.body, c.took, c.attempts, c.lost, c.hedged, c.fault)
				}
				if last := tr.Attempts[tr.N-1]; last.Lost || last.Status != c.status {
					t.Errorf("the last attempt is %+v", last)
				}
				// The connection is of use, and what was called off disturbs nobody.
				mu.Lock()
				turns = []turn{{0, says("next")}}
				mu.Unlock()
				cl.say(get)
				if a := cl.answer("GET"); a.Body != "next" {
					t.Errorf("the next request: %+v", a)
				}
			})
		})
	}
}

// An answer that has begun is waited for.
func TestHedgeOnlyBeforeTheFirstByte(t *testing.T) {
	s := defaults(func(c *peer, _ int) {
		defer c.Close()
		for c.request() {
			c.say("HTTP/1.1 200 OK\r\n")
			time.Sleep(time.Second)
			c.say("Content-Length: 2\r\n\r\nok")
		}
	}, refuse)
	s.Balance = upstream.RoundRobin
	s.Reverse.Hedge = 100 * time.Millisecond
	s.play(t, func(st *stage) {
		for range 2 { // one of them begins with the endpoint that is there
			if a := st.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"); a.Status != 200 || a.Body != "ok" {
				t.Errorf("%+v", a)
			}
			for _, x := range st.last().Tries() {
				if x.Lost {
					t.Errorf("%+v", x)
				}
			}
		}
	})
}

// An endpoint that cannot be connected to leaves the first one its time.
func TestHedgeToNobody(t *testing.T) {
	for name, other := range map[string]behaviour{"refuses": refuse, "is away": absent} {
		t.Run(name, func(t *testing.T) {
			s := defaults(func(c *peer, _ int) {
				defer c.Close()
				for c.request() {
					time.Sleep(time.Second)
					c.say(okAnswer)
				}
			}, other)
			s.Reverse.Hedge = 100 * time.Millisecond
			s.play(t, func(st *stage) {
				for range 3 {
					began := time.Now()
					a := st.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
					if took := time.Since(began); a.Status != 200 || took > 7*time.Second {
						t.Errorf("%+v after %v", a, took)
					}
				}
			})
		})
	}
}

// A client that leaves ends both.
func TestHedgeAndTheClientLeaves(t *testing.T) {
	s := defaults(silent(""), silent(""))
	s.Reverse.Hedge = 100 * time.Millisecond
	s.play(t, func(st *stage) {
		cl := st.client()
		cl.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		time.Sleep(500 * time.Millisecond)
		cl.end(true)
		time.Sleep(5 * time.Second)
		tr := st.last()
		if tr.Status != 499 || tr.N != 2 {
			t.Errorf("status %d, %d attempts", tr.Status, tr.N)
		}
	})
}
