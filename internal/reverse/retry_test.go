package reverse

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// once behaves in one way on the first connection and in another later.
func once(first, later behaviour) behaviour {
	return func(c *peer, n int) {
		if n == 0 {
			first(c, n)
		} else {
			later(c, n)
		}
	}
}

// The retry rules (faults.md A.1): what is made of a failure by method, by what
// was delivered, and by which endpoints are left.
func TestRetryRules(t *testing.T) {
	var (
		fin     = closing("")
		rst     = resetting("")
		cut     = closing("HTTP/1.1 200 OK\r\nConte")
		noColon = closing("HTTP/1.1 200 OK\r\nfoo\r\n\r\n")
		html    = closing("<html>\r\n")
		short   = closing("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
		chunk   = closing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
		broken  = closing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")
		hang    = silent("")
		busy    = answering("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
		badgw   = answering("HTTP/1.1 502 Bad\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n")
	)
	key := "Idempotency-Key: 7\r\n"
	for _, tt := range []struct {
		name, method, fields string
		origins              []behaviour
		status               int
		attempts             string // the fault of each
		shown                string // the fault of the exchange
		rescued              bool
	}{
		{"nothing wrong", "GET", "", []behaviour{ok}, 200, "ok", "", false},
		{"refused, GET", "GET", "", []behaviour{refuse, ok}, 200, "connect_refused ok", "connect_refused", true},
		{"refused, POST", "POST", "", []behaviour{refuse, ok}, 200, "connect_refused ok", "connect_refused", true},
		{"refused everywhere", "POST", "", []behaviour{refuse, refuse, refuse}, 502, "connect_refused connect_refused connect_refused", "connect_refused", false},
		{"refused by the only one", "GET", "", []behaviour{refuse}, 502, "connect_refused", "connect_refused", false},
		{"FIN, GET", "GET", "", []behaviour{fin, ok}, 200, "head_eof_empty ok", "head_eof_empty", true},
		{"FIN, PUT", "PUT", "", []behaviour{fin, ok}, 200, "head_eof_empty ok", "head_eof_empty", true},
		{"FIN, DELETE", "DELETE", "", []behaviour{fin, ok}, 200, "head_eof_empty ok", "head_eof_empty", true},
		{"FIN, POST", "POST", "", []behaviour{fin, ok}, 502, "head_eof_empty", "head_eof_empty", false},
		{"FIN, PATCH", "PATCH", "", []behaviour{fin, ok}, 502, "head_eof_empty", "head_eof_empty", false},
		{"FIN, POST with a key", "POST", key, []behaviour{fin, ok}, 200, "head_eof_empty ok", "head_eof_empty", true},
		{"FIN by the only one, then well", "GET", "", []behaviour{once(fin, ok)}, 200, "head_eof_empty ok", "head_eof_empty", true},
		{"FIN by the only one, always", "GET", "", []behaviour{fin}, 502, "head_eof_empty head_eof_empty head_eof_empty", "head_eof_empty", false},
		{"RST, GET", "GET", "", []behaviour{rst, ok}, 200, "head_rst_empty ok", "head_rst_empty", true},
		{"RST, POST", "POST", "", []behaviour{rst, ok}, 502, "head_rst_empty", "head_rst_empty", false},
		{"refused, then FIN, then well", "GET", "", []behaviour{refuse, fin, ok}, 200, "connect_refused head_eof_empty ok", "connect_refused", true},
		{"cut head, GET", "GET", "", []behaviour{cut, ok}, 200, "head_eof_partial ok", "head_eof_partial", true},
		{"cut head, POST", "POST", "", []behaviour{cut, ok}, 502, "head_eof_partial", "head_eof_partial", false},
		{"malformed, GET", "GET", "", []behaviour{noColon, ok}, 200, "header_no_colon ok", "header_no_colon", true},
		{"malformed, by the only one", "GET", "", []behaviour{noColon}, 502, "header_no_colon", "header_no_colon", false},
		{"malformed, POST", "POST", "", []behaviour{noColon, ok}, 502, "header_no_colon", "header_no_colon", false},
		{"not HTTP, GET", "GET", "", []behaviour{html, ok}, 200, "http09 ok", "http09", true},
		{"not HTTP, by the only one", "GET", "", []behaviour{html}, 502, "http09", "http09", false},
		{"not HTTP, POST", "POST", "", []behaviour{html, ok}, 502, "http09", "http09", false},
		{"short body, GET", "GET", "", []behaviour{short, ok}, 200, "body_eof_short ok", "body_eof_short", true},
		{"short body, POST", "POST", "", []behaviour{short, ok}, 502, "body_eof_short", "body_eof_short", false},
		{"no last chunk, GET", "GET", "", []behaviour{chunk, ok}, 200, "chunk_eof ok", "chunk_eof", true},
		{"broken chunk, GET", "GET", "", []behaviour{broken, ok}, 200, "chunk_size_invalid ok", "chunk_size_invalid", true},
		{"broken chunk, POST", "POST", "", []behaviour{broken, ok}, 502, "chunk_size_invalid", "chunk_size_invalid", false},
		{"silence, GET", "GET", "", []behaviour{hang, ok}, 200, "head_timeout_first_byte ok", "head_timeout_first_byte", true},
		{"silence of the only one", "GET", "", []behaviour{hang}, 504, "head_timeout_first_byte", "head_timeout_first_byte", false},
		{"silence, POST", "POST", "", []behaviour{hang, ok}, 504, "head_timeout_first_byte", "head_timeout_first_byte", false},
		{"no answer to a connect, POST", "POST", "", []behaviour{absent, ok}, 200, "connect_timeout ok", "connect_timeout", true},
		{"own 503, better elsewhere", "GET", "", []behaviour{busy, ok}, 200, "upstream_gateway_error ok", "upstream_gateway_error", true},
		{"own 502 in chunks, better elsewhere", "GET", "", []behaviour{badgw, ok}, 200, "upstream_gateway_error ok", "upstream_gateway_error", true},
		{"own 503, POST", "POST", "", []behaviour{busy, ok}, 503, "ok", "", false},
		{"own 503 of the only one", "GET", "", []behaviour{busy}, 503, "ok", "", false},
		{"own 503, and again", "GET", "", []behaviour{busy, busy}, 503, "upstream_gateway_error ok", "upstream_gateway_error", false},
		{"own 503, and worse elsewhere", "GET", "", []behaviour{busy, refuse}, 503, "upstream_gateway_error connect_refused", "upstream_gateway_error", false},
		{"own 502 in chunks, and worse elsewhere", "GET", "", []behaviour{badgw, refuse}, 502, "upstream_gateway_error connect_refused", "upstream_gateway_error", false},
		{"own 503, and silence elsewhere", "GET", "", []behaviour{busy, hang}, 503, "upstream_gateway_error head_timeout_first_byte", "upstream_gateway_error", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := defaults(tt.origins...)
			s.Reverse.IdempotencyKey = true
			s.play(t, func(st *stage) {
				raw := get("/p")
				if tt.method != "GET" {
					raw = post(tt.method, tt.fields, "body")
				}
				a := st.ask(raw)
				tr := st.last()
				if a.Status != tt.status || a.Cut {
					t.Errorf("the client got %d %q, cut %v; want %d", a.Status, a.Body, a.Cut, tt.status)
				}
				if got := faults(tr); got != tt.attempts {
					t.Errorf("attempts %q, want %q", got, tt.attempts)
				}
				if id(tr.Fault) != tt.shown || tr.Rescued != tt.rescued {
					t.Errorf("shown %q, rescued %v; want %q, %v", id(tr.Fault), tr.Rescued, tt.shown, tt.rescued)
				}
				if tr.Status != a.Status {
					t.Errorf("the trail says %d, the client got %d", tr.Status, a.Status)
				}
				// Nothing that is not idempotent was executed twice.
				executed := 0
				for _, o := range st.origins {
					executed += len(o.requests())
				}
				if tt.method == "POST" && tt.fields == "" && executed > 1 {
					t.Errorf("executed %d times", executed)
				}
				for _, a := range tr.Tries() {
					if a.Fault != nil && strings.Contains(strings.ReplaceAll(a.Fault.Observed(), a.Fault.Get("line"), ""), "{") {
						t.Errorf("a fact is missing: %s", a.Fault.Observed())
					}
					switch id(a.Fault) {
					case "connect_refused", "connect_timeout":
						if a.BytesSent != 0 || a.BytesReceived != 0 || a.Status != 0 {
							t.Errorf("an attempt without connection sent %d, received %d, status %d", a.BytesSent, a.BytesReceived, a.Status)
						}
					default:
						if a.BytesSent == 0 {
							t.Error("an attempt with a connection sent nothing")
						}
					}
				}
			})
		})
	}
}

// An answer that has begun is completed or visibly cut, whatever is in store.
func TestStashIsNotSentIntoAnotherAnswer(t *testing.T) {
	busy := answering("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
	s := defaults(busy, func(c *peer, _ int) {
		c.request()
		c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
		time.Sleep(second)
		c.end(true)
	})
	s.play(t, func(st *stage) {
		c := st.client()
		c.say(get("/"))
		all, _ := c.rest()
		if strings.Contains(all, "503") || strings.Contains(all, "busy") || !strings.HasPrefix(all, "HTTP/1.1 200") || strings.HasSuffix(all, "0\r\n\r\n") {
			t.Errorf("the client got %q", all)
		}
		tr := st.last()
		if !tr.Cut || tr.Rescued || tr.Status != 200 {
			t.Errorf("cut %v, rescued %v, status %d", tr.Cut, tr.Rescued, tr.Status)
		}
	})
}

func TestRetryBudget(t *testing.T) {
	s := defaults(closing(""), ok)
	s.Budget = upstream.Budget{Share: -1, Floor: -1}
	s.play(t, func(st *stage) {
		a := st.ask(get("/"))
		tr := st.last()
		if a.Status != 502 || faults(tr) != "head_eof_empty" || id(tr.Withheld) != "retry_budget_exhausted" {
			t.Errorf("%d, %q, withheld %q", a.Status, faults(tr), id(tr.Withheld))
		}
	})
	s = defaults(refuse, ok) // what reached nobody costs nobody
	s.Budget = upstream.Budget{Share: -1, Floor: -1}
	s.play(t, func(st *stage) {
		if a := st.ask(get("/")); a.Status != 200 {
			t.Errorf("%d, %q", a.Status, faults(st.last()))
		}
	})
}

// More endpoints than a trail can hold.
func TestMostAttempts(t *testing.T) {
	for n, last := range map[int]behaviour{12: refuse, 8: answering("HTTP/1.1 421 No\r\nContent-Length: 0\r\n\r\n")} {
		var origins []behaviour
		for range n - 1 {
			origins = append(origins, refuse)
		}
		defaults(append(origins, last)...).play(t, func(st *stage) {
			a := st.ask(get("/"))
			tr := st.last()
			want := 502
			if n == 8 {
				want = 421 // there is no room for its second chance
			}
			if a.Status != want || tr.N != 8 {
				t.Errorf("%d endpoints: status %d after %d attempts: %s", n, a.Status, tr.N, faults(tr))
			}
		})
	}
}

// A request that is sent once more with one thing changed (rule RU).
func TestSecondChance(t *testing.T) {
	status := func(n int) string { return fmt.Sprintf("HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n", n) }
	const chunks = "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
	for _, tt := range []struct {
		name, raw string
		first     int
		attempts  string
		second    string // part of the second request's head
	}{
		{"421", "POST / HTTP/1.1\r\nHost: a\r\n" + chunks, 421, "misdirected_421 ok", "chunked"},
		{"425", "POST / HTTP/1.1\r\nHost: a\r\n" + chunks, 425, "too_early_425 ok", "chunked"},
		{"505", "POST / HTTP/1.1\r\nHost: a\r\n" + chunks, 505, "version_not_supported_505 ok", "POST / HTTP/1.0\r\n"},
		{"411", "POST / HTTP/1.1\r\nHost: a\r\n" + chunks, 411, "length_required_411 ok", "Content-Length: 4\r\n"},
		{"417", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n" + chunks, 417, "expect_417 ok", "chunked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var head string
			origin := once(func(c *peer, _ int) {
				c.head()
				c.say(status(tt.first))
				c.head() // the body, and nothing more
			}, func(c *peer, _ int) {
				head = c.head()
				c.say(okAnswer)
				c.head()
			})
			defaults(origin).play(t, func(st *stage) {
				a := st.ask(tt.raw)
				if tr := st.last(); a.Status != 200 || faults(tr) != tt.attempts || !tr.Rescued {
					t.Errorf("%d, attempts %q, rescued %v", a.Status, faults(tr), tr.Rescued)
				}
				if !strings.Contains(head, tt.second) || strings.Contains(head, "Expect") {
					t.Errorf("the second request's head: %q", head)
				}
			})
			// Without effect it is passed on, and if the other try fails, that is told.
			defaults(answering(status(tt.first))).play(t, func(st *stage) {
				a := st.ask(tt.raw)
				if a.Status != tt.first {
					t.Errorf("always %d: the client got %d, %s", tt.first, a.Status, faults(st.last()))
				}
			})
			defaults(once(answering(status(tt.first)), closing(""))).play(t, func(st *stage) {
				a := st.ask(tt.raw)
				if tr := st.last(); a.Status != 502 || id(tr.Fault) != "head_eof_empty" || tr.Rescued {
					t.Errorf("then FIN: the client got %d (cut %v), %s, shown %s", a.Status, a.Cut, faults(tr), id(tr.Fault))
				}
			})
		})
	}
}

// What TCP proves undelivered moves on for any method, however much of it the
// kernel had taken; without the proof a request that was handed over may have run.
func TestRuleOfWhatWasNotDelivered(t *testing.T) {
	for _, tt := range []struct {
		id        fault.ID
		delivered string
		sent      int64
		rule      fault.Retry
		free      bool
	}{
		{fault.AcceptThenFIN, "none", 100, fault.RC, true},
		{fault.AcceptThenFIN, "", 100, fault.RI, false},
		{fault.AcceptThenRST, "", 0, fault.RC, true},
		{fault.ConnectRefused, "", 0, fault.RC, true},
		{fault.ReuseRaceFIN, "none", 100, fault.RC, true},
		{fault.ReuseRaceFIN, "", 100, fault.RI, false},
		{fault.HeadEOFEmpty, "", 100, fault.RI, false},
		{fault.CLConflict, "", 100, fault.R0, false},
	} {
		c := &call{work: work{a: &trail.Attempt{BytesSent: tt.sent}}}
		f := fault.New(tt.id)
		if tt.delivered != "" {
			f.With("delivered", tt.delivered)
		}
		if rule, free := c.rule(f); rule != tt.rule || free != tt.free {
			t.Errorf("%s, delivered %q, %d bytes sent: %v, %v, want %v, %v", tt.id, tt.delivered, tt.sent, rule, free, tt.rule, tt.free)
		}
	}
}
