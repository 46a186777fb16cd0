package reverse

import (
	"io"
	"strings"
	"testing"
	"time"
)

// roughly reports whether d is the limit and not much more: a client that is
// looked at once a second may add that.
func roughly(d, limit time.Duration) bool { return d >= limit && d <= limit+2*second }

// Each wait of an exchange has its limit, its name and its status.
func TestLimits(t *testing.T) {
	flood := func(c *peer, _ int) { // reads nothing
		time.Sleep(1000 * second)
		c.end(true)
	}
	for _, tt := range []struct {
		name    string
		origin  behaviour
		total   time.Duration
		prepare func(*setup)
		say     string
		status  int // 0: the connection ends without an answer
		cut     bool
		fault   string
		after   time.Duration
	}{
		{"nothing is said", ok, 0, nil, "", 0, false, "", 10 * second},
		{"half a head", ok, 0, nil, "GET / HTTP/1.1\r\nHo", 408, false, "request_head_timeout", 10 * second},
		{"half a body", ok, 0, nil, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello", 408, false, "request_body_timeout", 20 * second},
		{"half a chunk", ok, 0, nil, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello", 408, false, "request_body_timeout", 20 * second},
		{"no first byte", silent(""), 0, nil, get("/"), 504, false, "head_timeout_first_byte", 60 * second},
		{"half a head of an answer", silent("HTTP/1.1 200"), 0, nil, get("/"), 504, false, "head_timeout_partial", 60 * second},
		{"half a body of an answer", silent("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"), 0, nil, get("/"), 200, true, "body_read_timeout", 50 * second},
		{"half a chunk of an answer", silent("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello"), 0, nil, get("/"), 200, true, "body_read_timeout", 50 * second},
		{"half a body, and no grace over before", silent("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"), 0,
			func(s *setup) { s.Reverse.Grace = 100 * second }, get("/"), 504, false, "body_read_timeout", 50 * second},
		{"too long in all, before a byte", silent(""), 7 * second, nil, get("/"), 504, false, "total_timeout", 7 * second},
		{"too long in all, in the body", silent("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"), 7 * second, nil, get("/"), 200, true, "total_timeout", 7 * second},
		{"too long in all, while connecting", absent, 3 * second, nil, get("/"), 504, false, "total_timeout", 3 * second},
		{"an upstream that takes nothing", flood, 0, nil, post("PUT", "", strings.Repeat("x", 100<<10)), 504, false, "write_timeout", 30 * second},
		{"too long in all, while sending", flood, 7 * second, nil, post("PUT", "", strings.Repeat("x", 100<<10)), 504, false, "total_timeout", 7 * second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := defaults(tt.origin)
			s.Client.Total = tt.total
			if tt.prepare != nil {
				tt.prepare(s)
			}
			s.play(t, func(st *stage) {
				st.window = 8 << 10
				c := st.client()
				began := time.Now()
				c.say(tt.say)
				method, _, _ := strings.Cut(tt.say, " ")
				a := c.answer(method)
				took := time.Since(began)
				if tt.status == 0 {
					if b, err := c.rest(); b != "" || err != nil || a.Status != 0 {
						t.Errorf("the client heard %q, %v", b, err)
					}
					if n := st.count(); n != 0 {
						t.Errorf("%d exchanges were recorded", n)
					}
				} else {
					tr := st.last()
					if a.Status != tt.status || a.Cut != tt.cut || id(tr.Fault) != tt.fault {
						t.Errorf("the client got %d, cut %v; fault %q, want %d, %v, %q", a.Status, a.Cut, id(tr.Fault), tt.status, tt.cut, tt.fault)
					}
					if tr.Cut != tt.cut || tr.Status != tt.status {
						t.Errorf("the trail says %d, cut %v", tr.Status, tr.Cut)
					}
					if strings.Contains(tr.Fault.Observed(), "{") {
						t.Errorf("a fact is missing: %s", tr.Fault.Observed())
					}
				}
				if !roughly(took, tt.after) {
					t.Errorf("it took %v, want %v", took, tt.after)
				}
			})
		})
	}
}

// An idle connection ends without a word.
func TestKeepAliveEnds(t *testing.T) {
	defaults(ok).play(t, func(st *stage) {
		c := st.client()
		c.say(get("/"))
		if a := c.answer("GET"); a.Status != 200 || a.Close {
			st.t.Fatalf("%+v", a)
		}
		began := time.Now()
		if b, err := c.rest(); b != "" || err != nil {
			t.Errorf("the client heard %q, %v", b, err)
		}
		if took := time.Since(began); !roughly(took, 75*second) {
			t.Errorf("after %v", took)
		}
		if n := st.count(); n != 1 {
			t.Errorf("%d exchanges were recorded", n)
		}
	})
}

// A client that takes nothing of its answer is not waited for for ever, and
// nobody else is to blame.
func TestReplyTimeout(t *testing.T) {
	defaults(answering("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 100_000))).play(t, func(st *stage) {
		st.window = 8 << 10
		c := st.client()
		c.say(get("/"))
		time.Sleep(70 * second)
		tr := st.last()
		if id(tr.Fault) != "reply_timeout" || !tr.Cut || tr.Status != 200 || tr.Out == 0 || tr.Out >= 100_000 {
			t.Errorf("%s, cut %v, status %d, out %d", id(tr.Fault), tr.Cut, tr.Status, tr.Out)
		}
		if b, err := c.rest(); err == nil {
			t.Errorf("the client sees an orderly end after %d bytes", len(b))
		}
		if s := st.up.State(); s[0].Failures != 0 {
			t.Errorf("the endpoint is blamed: %+v", s[0])
		}
	})
}

// Nor is a server, when the exchange's whole time runs out on a client that
// takes nothing.
func TestTotalWhileReplying(t *testing.T) {
	s := defaults(answering("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000)))
	s.Client.Total = 7 * second
	s.play(t, func(st *stage) {
		st.window = 8 << 10
		c := st.client()
		c.say(get("/"))
		time.Sleep(10 * second)
		tr := st.last()
		if id(tr.Fault) != "total_timeout" || tr.Fault.At.String() != "reply" || !tr.Cut {
			t.Errorf("%s in %s, cut %v", id(tr.Fault), tr.Fault.At, tr.Cut)
		}
		if s := st.up.State(); s[0].Failures != 0 {
			t.Errorf("the endpoint is blamed: %+v", s[0])
		}
	})
}

// What comes within the grace is held back, what takes longer is sent on.
func TestGrace(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
	slowly := func(pause time.Duration, end func(c *peer), pieces ...string) behaviour {
		return func(c *peer, _ int) {
			c.request()
			for i, p := range pieces {
				if i > 0 {
					time.Sleep(pause)
				}
				c.say(p)
			}
			time.Sleep(pause)
			end(c)
		}
	}
	fin := func(c *peer) { c.Close() }
	rst := func(c *peer) { c.end(true) }
	for _, tt := range []struct {
		name     string
		origin   behaviour
		status   int
		body     string
		cut      bool
		attempts string
	}{
		{"cut within the grace", slowly(5*time.Millisecond, fin, head, "hello"), 200, "ok", false, "body_eof_short ok"},
		{"reset within the grace", slowly(5*time.Millisecond, rst, head, "hello"), 200, "ok", false, "body_rst ok"},
		{"cut after the grace", slowly(30*time.Millisecond, fin, head, "hello"), 200, "hello", true, "body_eof_short"},
		{"whole after the grace", slowly(30*time.Millisecond, fin, head, "hello", "world"), 200, "helloworld", false, "ok"},
		{"chunks, cut within the grace", slowly(5*time.Millisecond, fin, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n"), 200, "ok", false, "chunk_eof ok"},
		{"chunks, cut after the grace", slowly(30*time.Millisecond, fin, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n"), 200, "hello", true, "chunk_eof"},
		{"until the end, reset within the grace", slowly(5*time.Millisecond, rst, "HTTP/1.1 200 OK\r\n\r\n", "hello"), 200, "ok", false, "body_close_delimited_rst ok"},
		{"until the end, reset after the grace", slowly(30*time.Millisecond, rst, "HTTP/1.1 200 OK\r\n\r\n", "hello"), 200, "hello", true, "body_close_delimited_rst"},
		{"until the end, in order", slowly(30*time.Millisecond, fin, "HTTP/1.1 200 OK\r\n\r\n", "hello"), 200, "hello", false, "ok"},
		{"events, cut at once", slowly(0, fin, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), 200, "hello", true, "chunk_eof"},
		{"events, broken before any was sent", slowly(0, fin, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"), 200, "ok", false, "chunk_size_invalid ok"},
		{"too large to hold, cut at once", slowly(0, fin, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 30_000)), 200, strings.Repeat("x", 30_000), true, "body_eof_short"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defaults(tt.origin, ok).play(t, func(st *stage) {
				a := st.ask(get("/"))
				tr := st.last()
				if a.Status != tt.status || a.Body != tt.body || a.Cut != tt.cut || faults(tr) != tt.attempts {
					t.Errorf("the client got %d %.40q, cut %v; attempts %q", a.Status, a.Body, a.Cut, faults(tr))
				}
			})
		})
	}
}

// Events reach the client when they come, not when the grace is over.
func TestEventsAreNotHeld(t *testing.T) {
	origin := func(c *peer, _ int) {
		c.request()
		c.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n")
		for range 3 {
			c.say("data: x\n\n")
			time.Sleep(10 * time.Millisecond)
		}
		c.Close()
	}
	defaults(origin).play(t, func(st *stage) {
		c := st.client()
		began := time.Now()
		c.say(get("/"))
		buf := make([]byte, len("HTTP/1.1 200 OK\r\n"))
		if _, err := io.ReadFull(c.in, buf); err != nil || time.Since(began) != 0 {
			t.Errorf("%q after %v, %v", buf, time.Since(began), err)
		}
		if all, err := c.in.ReadString('}'); !strings.HasSuffix(all, "0\r\n\r\n") && err == nil {
			t.Errorf("%q, %v", all, err)
		}
	})
}

// To an HTTP/1.0 client only a reset tells a cut from the end.
func TestCutForHTTP10(t *testing.T) {
	for name, raw := range map[string]string{"chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "until the end": "HTTP/1.1 200 OK\r\n\r\nhello"} {
		for _, whole := range []bool{false, true} {
			defaults(func(c *peer, _ int) {
				c.request()
				c.say(raw)
				time.Sleep(second)
				if whole && name == "chunks" {
					c.say("0\r\n\r\n")
				}
				c.end(!whole)
			}).play(t, func(st *stage) {
				c := st.client()
				c.say("GET / HTTP/1.0\r\n\r\n")
				s, err := c.rest()
				if !strings.HasSuffix(s, "\r\n\r\nhello") || (err == nil) != whole {
					t.Errorf("%s, whole %v: %q, %v", name, whole, s, err)
				}
			})
		}
	}
}
