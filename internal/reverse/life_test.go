package reverse

import (
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/upstream"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// What a client gets, to the byte, but for the fields that every answer has.
func TestAnswersToTheByte(t *testing.T) {
	const interimVia = "Via: 1.1 gw\r\n\r\n"
	const via = "Date: Sat, 01 Jan 2000 00:00:00 GMT\r\n" + interimVia
	for _, tt := range []struct {
		name, raw, origin, want string
		ends                    bool
	}{
		{"HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" + via, false},
		{"HEAD of chunks", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + via, false},
		{"204", get("/"), "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n" + via, false},
		{"304", get("/"), "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n" + via, false},
		{"sized", get("/"), okAnswer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + via + "ok", false},
		{"a Date of its own", get("/"), "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 0\r\n" + interimVia, false},
		{"empty", get("/"), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + via, false},
		{"chunks", get("/"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + via + "2\r\nok\r\n0\r\n\r\n", false},
		{"chunks with trailers for who reads them", "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + via + "2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n", false},
		{"the client wants to close", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", okAnswer,
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n" + via + "ok", true},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", okAnswer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n" + via + "ok", true},
		{"HTTP/1.0 that keeps", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", okAnswer,
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n" + via + "ok", false},
		{"chunks for HTTP/1.0", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nConnection: close\r\n" + via + "ok", true},
		{"interim answers", get("/"), "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + okAnswer,
			"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n" + interimVia + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + via + "ok", false},
		{"interim answers for HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n" + okAnswer,
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n" + via + "ok", true},
		{"a failure of its own", get("/"), "HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno",
			"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\nProxy-Status: gw; received-status=500\r\n" + via + "no", false},
		{"more than was asked for", get("/"), okAnswer + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + via + "ok", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defaults(answering(tt.origin)).play(t, func(st *stage) {
				c := st.client()
				c.say(tt.raw)
				b := make([]byte, len(tt.want))
				n, _ := io.ReadFull(c.in, b)
				if got := string(b[:n]); got != tt.want {
					t.Errorf("got  %q\nwant %q", got, tt.want)
				}
				synctest.Wait()
				more, fin := c.waiting()
				if more += c.in.Buffered(); more > 0 || fin != tt.ends {
					t.Errorf("%d bytes more, ended %v", more, fin)
				}
				tr := st.last()
				if tr.Out != int64(len(tt.want)) || tr.In != int64(len(tt.raw)) {
					t.Errorf("counted %d in and %d out, not %d and %d", tr.In, tr.Out, len(tt.raw), len(tt.want))
				}
			})
		})
	}
}

// An answer of any size and shape arrives as it was sent, from poisoned buffers.
func TestLargeAnswers(t *testing.T) {
	body := numbered(300_000)
	slow := func(head, raw string, size int) behaviour {
		return func(c *peer, _ int) {
			c.request()
			c.say(head)
			for i, rest := 0, raw; len(rest) > 0; i++ {
				n := min(size, len(rest))
				c.say(rest[:n])
				rest = rest[n:]
				if i%7 == 0 {
					time.Sleep(10 * time.Millisecond)
				}
			}
			c.Close()
		}
	}
	for name, origin := range map[string]behaviour{
		"sized":              slow("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n", body, 7000),
		"sized, at once":     closing("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + body),
		"chunks":             slow("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", inChunks(body, 5000), 4999),
		"small chunks":       slow("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", inChunks(body, 100), 30_000),
		"until the end":      slow("HTTP/1.1 200 OK\r\n\r\n", body, 9000),
		"in a large head":    slow("HTTP/1.1 200 OK\r\n"+strings.Repeat("X: "+strings.Repeat("y", 6000)+"\r\n", 9)+"Content-Length: 300000\r\n\r\n", body, 30_000),
		"behind interim one": slow("HTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n", body, 20_000),
	} {
		for _, window := range []int{0, 3000} {
			defaults(origin).play(t, func(st *stage) {
				if window > 0 && st.kernel != nil {
					return // a small window opens by the kernel's timers, which no bubble knows
				}
				st.window = window
				a := st.ask(get("/"))
				tr := st.last()
				if a.Status != 200 || a.Cut || a.Body != body || tr.Fault != nil || tr.Cut {
					t.Errorf("%s, window %d: %d, cut %v, %d bytes, %s", name, window, a.Status, a.Cut, len(a.Body), faults(tr))
				}
			})
		}
	}
}

// Requests that come together are answered in order, over one connection each way.
func TestPipeline(t *testing.T) {
	defaults(func(c *peer, _ int) {
		for c.request() {
			got := c.o.requests()
			s := got[len(got)-1]
			c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + inChunks(s, 3))
		}
		c.Close()
	}).play(t, func(st *stage) {
		c := st.client()
		c.say(get("/1") + post("POST", "", "two") + get("/3") + "GET  / HTTP/1.1\r\n\r\n" + get("/never"))
		for _, want := range []string{"GET /1", "POST /p two", "GET /3"} {
			if a := c.answer("GET"); a.Status != 200 || a.Body != want || a.Close {
				t.Errorf("%+v, want %q", a, want)
			}
		}
		if a := c.answer("GET"); a.Status != 400 || !a.Close {
			t.Errorf("%+v, want 400", a)
		}
		if s, err := c.rest(); s != "" || err != nil {
			t.Errorf("then %q, %v", s, err)
		}
		if n := st.count(); n != 4 {
			t.Errorf("%d exchanges", n)
		}
		if n := st.origins[0].conns; n != 1 {
			t.Errorf("%d upstream connections", n)
		}
		if tr := st.last(); tr.In == 0 || string(tr.Method) != "GET" || tr.N != 0 {
			t.Errorf("the refused request's trail: in %d, method %q, %d attempts", tr.In, tr.Method, tr.N)
		}
	})
}

// A kept connection that dies is everyday life (faults.md A.14): who must not be
// executed twice is not, and gets an explanation.
func TestKeptConnectionDies(t *testing.T) {
	for _, tt := range []struct {
		name, raw string
		how       behaviour // the second request on the first connection
		status    int
		attempts  string
		executed  int
	}{
		{"GET, FIN", get("/p"), func(c *peer, _ int) { c.Close() }, 200, "reuse_race_fin ok", 3},
		{"PUT, FIN", post("PUT", "", "x"), func(c *peer, _ int) { c.Close() }, 200, "reuse_race_fin ok", 3},
		{"POST, FIN", post("POST", "", "x"), func(c *peer, _ int) { c.Close() }, 502, "reuse_race_fin", 2},
		{"POST with a key, FIN", post("POST", "Idempotency-Key: 1\r\n", "x"), func(c *peer, _ int) { c.Close() }, 200, "reuse_race_fin ok", 3},
		{"GET, RST", get("/p"), func(c *peer, _ int) { c.end(true) }, 200, "reuse_race_rst ok", 3},
		{"POST, RST", post("POST", "", "x"), func(c *peer, _ int) { c.end(true) }, 502, "reuse_race_rst", 2},
		{"GET, part of a head", get("/p"), func(c *peer, _ int) { c.say("HTTP/1.1 2"); c.Close() }, 200, "reuse_race_partial ok", 3},
		{"POST, part of a head", post("POST", "", "x"), func(c *peer, _ int) { c.say("HTTP/1.1 2"); c.Close() }, 502, "reuse_race_partial", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := defaults(once(func(c *peer, n int) {
				c.request()
				c.say(okAnswer)
				c.request()
				tt.how(c, n)
			}, ok))
			s.Reverse.IdempotencyKey = true
			s.play(t, func(st *stage) {
				if a := st.ask(get("/first")); a.Status != 200 {
					st.t.Fatalf("%+v", a)
				}
				a := st.ask(tt.raw)
				tr := st.last()
				if a.Status != tt.status || faults(tr) != tt.attempts || tr.Rescued != (tt.status == 200) {
					t.Errorf("%d, attempts %q, rescued %v", a.Status, faults(tr), tr.Rescued)
				}
				if n := len(st.origins[0].requests()); n != tt.executed {
					t.Errorf("executed %d requests, want %d", n, tt.executed)
				}
				first := &tr.Attempts[0]
				if !first.Reused || first.Serial != 1 || tr.N > 1 && tr.Attempts[1].Reused {
					t.Errorf("reused %v, served %d before", first.Reused, first.Serial)
				}
				if s := first.Fault.Observed(); strings.Contains(s, "{") {
					t.Errorf("a fact is missing: %s", s)
				}
			})
		})
	}
	// Found dead before anything was sent, it costs nobody anything.
	defaults(once(func(c *peer, _ int) {
		c.request()
		c.say(okAnswer)
		time.Sleep(100 * time.Millisecond)
		c.Close()
	}, ok)).play(t, func(st *stage) {
		st.ask(get("/first"))
		time.Sleep(200 * time.Millisecond)
		a := st.ask(post("POST", "", "x"))
		if tr := st.last(); a.Status != 200 || faults(tr) != "ok" || notices(tr) != "reuse_fin_before_write" {
			t.Errorf("%d, attempts %q, notices %q", a.Status, faults(tr), notices(tr))
		}
	})
}

// A connection that is not clean, or will close, serves no second request.
func TestConnectionIsNotKept(t *testing.T) {
	for name, raw := range map[string]string{
		"it says close":         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
		"HTTP/1.0":              "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"something follows":     okAnswer + "x",
		"a body to a HEAD":      "HTTP/1.1 204 No Content\r\n\r\nok",
		"204 promises bytes":    "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
		"the last CRLF missing": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
	} {
		defaults(func(c *peer, n int) {
			c.request()
			c.say(raw)
			if strings.HasSuffix(raw, "0\r\n") {
				c.CloseWrite()
			}
			c.request()
			c.Close()
		}).play(t, func(st *stage) {
			for range 2 {
				if a := st.ask(get("/")); a.Status/100 != 2 || a.Cut {
					t.Errorf("%s: %+v", name, a)
				}
			}
			if n := st.origins[0].conns; n != 2 {
				t.Errorf("%s: %d connections", name, n)
			}
		})
	}
}

// told is a stream of which TCP says that nothing was acknowledged.
type told struct{ loop.Stream }

func (told) Delivery() (loop.Delivery, bool) { return loop.Delivery{Closed: true}, true }

// Nothing acknowledged is a proof behind a FIN only: an application may read a
// request and reset before its kernel acknowledges (faults.md RP).
func TestProofOfNonDelivery(t *testing.T) {
	defaults(ok).play(t, func(st *stage) {
		for err, want := range map[error]bool{io.EOF: true, syscall.ECONNRESET: false, syscall.EPIPE: false, loop.ErrTimeout: false} {
			c := &call{p: st.proxy, lines: &lines{}}
			c.x, c.a = &exchange.Exchange{Opts: &exchange.Options{}}, &trail.Attempt{Reused: true}
			c.conn = &upstream.Conn{Stream: told{}}
			c.line = &c.h1
			if s := c.circumstances(err, 1); s.Undelivered != want {
				t.Errorf("%v: undelivered %v, want %v", err, s.Undelivered, want)
			}
			c.h1.Received = 1
			if s := c.circumstances(err, 1); s.Undelivered {
				t.Errorf("%v: undelivered, and it was answered", err)
			}
		}
	})
}

// A client that goes away ends the work for it, and blames nobody.
func TestClientGone(t *testing.T) {
	big := "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
	for _, tt := range []struct {
		name   string
		origin behaviour
		status int
	}{
		{"before the answer", silent(""), 499},
		{"in the answer", silent(big + strings.Repeat("x", 30_000)), 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defaults(tt.origin, ok).play(t, func(st *stage) {
				c := st.client()
				c.say(get("/"))
				time.Sleep(3 * second)
				c.end(true)
				time.Sleep(3 * second)
				tr := st.last()
				if id(tr.Fault) != "client_gone" || tr.Status != tt.status || tr.N != 1 || tr.Cut != (tt.status == 200) {
					t.Errorf("%s, status %d, cut %v, attempts %q", id(tr.Fault), tr.Status, tr.Cut, faults(tr))
				}
				for _, e := range st.up.State() {
					if e.Failures != 0 {
						t.Errorf("an endpoint is blamed: %+v", e)
					}
				}
			})
		})
	}
	// So is one that left while an attempt failed.
	defaults(func(c *peer, _ int) {
		c.request()
		time.Sleep(500 * time.Millisecond)
		c.Close()
	}, ok).play(t, func(st *stage) {
		c := st.client()
		c.say(get("/"))
		time.Sleep(200 * time.Millisecond)
		c.end(true)
		time.Sleep(3 * second)
		if tr := st.last(); id(tr.Fault) != "client_gone" || tr.Status != 499 || faults(tr) != "head_eof_empty" {
			t.Errorf("%s, status %d, attempts %q", id(tr.Fault), tr.Status, faults(tr))
		}
	})
	// One that only closed its sending side still waits for its answer.
	defaults(func(c *peer, _ int) {
		c.request()
		time.Sleep(5 * second)
		c.say(okAnswer)
		c.Close()
	}).play(t, func(st *stage) {
		c := st.client()
		c.say(get("/"))
		c.CloseWrite()
		if a := c.answer("GET"); a.Status != 200 || a.Body != "ok" {
			t.Errorf("%+v", a)
		}
	})
}

func TestUpgrade(t *testing.T) {
	const asks = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	const switches = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	t.Run("switched", func(t *testing.T) {
		defaults(func(c *peer, _ int) {
			c.head()
			c.say(switches + "\r\nhello")
			b := make([]byte, 9)
			io.ReadFull(c.in, b)
			c.say("got " + string(b))
			io.Copy(io.Discard, c.in)
			c.Close()
		}).play(t, func(st *stage) {
			c := st.client()
			c.say(asks + "early")
			want := strings.Replace(switches, "Connection: Upgrade\r\n", "", 1) + "Connection: upgrade\r\nVia: 1.1 gw\r\n\r\nhello"
			b := make([]byte, len(want))
			if n, _ := io.ReadFull(c.in, b); string(b[:n]) != want {
				st.t.Fatalf("got %q, want %q", b[:n], want)
			}
			c.say("bird")
			b = make([]byte, len("got earlybird"))
			if n, _ := io.ReadFull(c.in, b); string(b[:n]) != "got earlybird" {
				t.Errorf("got %q", b[:n])
			}
			if n := st.count(); n != 0 {
				t.Errorf("%d exchanges have ended", n)
			}
			c.CloseWrite()
			if s, err := c.rest(); s != "" || err != nil {
				t.Errorf("then %q, %v", s, err)
			}
			tr := st.last()
			if tr.Status != 101 || tr.Fault != nil || tr.Out != int64(len(want)+len("got earlybird")) {
				t.Errorf("status %d, %s, out %d", tr.Status, id(tr.Fault), tr.Out)
			}
		})
	})
	// The new protocol begins behind the whole request: an upstream that switches
	// before has still to get the rest of the body, framed as it was.
	t.Run("before the request is whole", func(t *testing.T) {
		const body = "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
		defaults(func(c *peer, _ int) {
			c.head()
			c.say(switches + "\r\n")
			b := make([]byte, len(body)+3)
			io.ReadFull(c.in, b)
			c.say(string(b))
			io.Copy(io.Discard, c.in)
			c.Close()
		}).play(t, func(st *stage) {
			c := st.client()
			c.say(strings.Replace(asks, "GET", "POST", 1)[:len(asks)-1] + "Transfer-Encoding: chunked\r\n\r\n5\r\nhel")
			c.answerHead(101)
			c.say("lo\r\n0\r\n\r\nraw")
			b := make([]byte, len(body)+3)
			if n, _ := io.ReadFull(c.in, b); string(b[:n]) != body+"raw" {
				t.Errorf("the upstream got %q, want %q", b[:n], body+"raw")
			}
			c.CloseWrite()
			c.rest()
			if tr := st.last(); tr.Status != 101 || tr.Fault != nil || tr.In < int64(len(asks)+len("hello")+len("raw")) {
				t.Errorf("status %d, %s, in %d", tr.Status, id(tr.Fault), tr.In)
			}
		})
	})
	for _, tt := range []struct {
		name, raw, origin string
		status            int
		fault, notices    string
	}{
		{"refused", asks, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403, "", "ws_upgrade_refused"},
		{"not asked for", get("/"), switches + "\r\n", 502, "switch_unasked", ""},
		{"to something else", asks, strings.Replace(switches, "websocket", "h2c", 1) + "\r\n", 502, "switch_wrong_protocol", ""},
		{"with another's key", asks, strings.Replace(switches, "s3pP", "AAAA", 1) + "\r\n", 502, "ws_accept_bad", ""},
		{"bare", asks, "HTTP/1.1 101 Switching Protocols\r\n\r\n", 502, "switch_no_upgrade_header", ""},
		{"hung up", asks, "", 502, "ws_upgrade_eof", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defaults(closing(tt.origin)).play(t, func(st *stage) {
				a := st.ask(tt.raw)
				tr := st.last()
				if a.Status != tt.status || id(tr.Fault) != tt.fault || notices(tr) != tt.notices {
					t.Errorf("%d, %q, notices %q", a.Status, id(tr.Fault), notices(tr))
				}
				if tr.Fault != nil && strings.Contains(tr.Fault.Observed(), "{") {
					t.Errorf("a fact is missing: %s", tr.Fault.Observed())
				}
			})
		})
	}
	t.Run("silence", func(t *testing.T) {
		defaults(func(c *peer, _ int) {
			c.head()
			c.say(switches + "\r\n")
			io.Copy(io.Discard, c.in)
			c.Close()
		}).play(t, func(st *stage) {
			c := st.client()
			c.say(asks)
			began := time.Now()
			c.rest()
			tr := st.last()
			if id(tr.Fault) != "ws_idle_timeout" || !roughly(time.Since(began), 600*second) {
				t.Errorf("%s after %v", id(tr.Fault), time.Since(began))
			}
		})
	})
}

// A panic costs one exchange: it is explained, and the process lives.
func TestPanic(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(x *exchange.Exchange)
		status int
	}{
		{"before the answer", func(*exchange.Exchange) {}, 500},
		{"with an answer held back", func(x *exchange.Exchange) {
			begin(x, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
			x.Add([]byte("hello"))
		}, 500},
		{"in the answer", func(x *exchange.Exchange) {
			begin(x, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
			x.Release()
			x.Add([]byte("hello"))
			x.Flush()
		}, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := defaults()
			panics := false
			s.Responder = func(x *exchange.Exchange) *fault.Fault {
				if panics {
					tt.before(x)
					panic("a bug of ours")
				}
				begin(x, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
				return x.FinishWith([]byte("ok"))
			}
			s.play(t, func(st *stage) {
				panics = true
				c := st.client()
				c.say(get("/"))
				a := c.answer("GET")
				tr := st.last()
				if a.Status != tt.status || a.Cut != (tt.status == 200) || id(tr.Fault) != "gateway_internal_error" || tr.Rescued {
					t.Errorf("%+v, %s, rescued %v", a, id(tr.Fault), tr.Rescued)
				}
				if tt.status == 500 && !a.Close {
					t.Error("the connection ends, and the answer does not say so")
				}
				r := st.store.Get(tr.Incident)
				if r == nil || !strings.Contains(r.Trail.Fault.Err.Error(), "a bug of ours") || !strings.Contains(r.Trail.Fault.Err.Error(), "life_test.go") {
					t.Errorf("no incident with the place of the panic: %+v", r)
				}
				panics = false
				if a := st.ask(get("/")); a.Status != 200 || a.Body != "ok" {
					t.Errorf("the next exchange: %+v", a)
				}
			})
		})
	}
}

// begin composes an answer from a raw head.
func begin(x *exchange.Exchange, raw string) {
	var p h1.Parser
	var h message.Head
	p.Init(h1.Response, nil, h1.AllowResponse)
	if _, err := p.Parse([]byte(raw), &h); !err.Ok() {
		panic(err)
	}
	f, err := h1.FrameResponse(&p, &h, false)
	if !err.Ok() {
		panic(err)
	}
	x.Begin(&h, &f)
}

func TestDrain(t *testing.T) {
	origin := func(c *peer, _ int) {
		for c.request() {
			time.Sleep(5 * second)
			c.say(okAnswer)
		}
		c.Close()
	}
	t.Run("what runs is finished", func(t *testing.T) {
		defaults(origin).play(t, func(st *stage) {
			idle, fresh, busy := st.client(), st.client(), st.client()
			idle.say(get("/1"))
			idle.answer("GET")
			busy.say(get("/2"))
			time.Sleep(second)
			var took time.Duration
			began := time.Now()
			drained := make(chan struct{})
			st.loop.Post(func() {
				st.server.Drain(st.loop.Now().Add(int64(60 * second)))
				took = time.Since(began)
				close(drained)
			})
			for name, c := range map[string]*client{"an idle connection": idle, "a connection without a request": fresh} {
				if s, err := c.rest(); s != "" || err != nil || time.Since(began) != 0 {
					t.Errorf("%s: %q, %v after %v", name, s, err, time.Since(began))
				}
			}
			if a := busy.answer("GET"); a.Status != 200 || a.Body != "ok" {
				t.Errorf("%+v", a)
			}
			if s, err := busy.rest(); s != "" || err != nil {
				t.Errorf("then %q, %v", s, err)
			}
			<-drained
			if took != 4*second {
				t.Errorf("drained after %v", took)
			}
		})
	})
	t.Run("what takes too long is broken", func(t *testing.T) {
		defaults(silent("")).play(t, func(st *stage) {
			c := st.client()
			c.say(get("/"))
			time.Sleep(second)
			began := time.Now()
			st.on(func() { st.server.Drain(st.loop.Now().Add(int64(10 * second))) })
			if took := time.Since(began); !roughly(took, 10*second) {
				t.Errorf("drained after %v", took)
			}
			if a := c.answer("GET"); !a.Cut {
				t.Errorf("%+v", a)
			}
		})
	})
}

// Secrets of an answer that is kept as evidence are masked wherever they stand.
func TestEvidenceIsMasked(t *testing.T) {
	secret := strings.Repeat("TOPSECRET", 1000)
	for name, origin := range map[string]behaviour{
		"cut in a long cookie":    closing("HTTP/1.1 200 OK\r\nSet-Cookie: sid=" + secret),
		"cut behind a cookie":     closing("HTTP/1.1 200 OK\r\nSet-Cookie: sid=" + secret + "\r\nX"),
		"malformed behind it":     closing("HTTP/1.1 200 OK\r\nSet-Cookie: sid=" + secret + "\r\nfoo\r\n\r\n"),
		"cut in the body":         closing("HTTP/1.1 200 OK\r\nSet-Cookie: sid=" + secret + "\r\nContent-Length: 10\r\n\r\nhello"),
		"an interim with a body":  closing("HTTP/1.1 103 E\r\nSet-Cookie: sid=" + secret + "\r\nContent-Length: 10\r\n\r\nhello"),
		"framing in the same one": closing("HTTP/1.1 200 OK\r\nSet-Cookie: sid=" + secret + "\r\nContent-Length: 1, 2\r\n\r\nhello"),
	} {
		defaults(origin).play(t, func(st *stage) {
			a := st.ask(post("POST", "Cookie: sid="+secret+"\r\n", "x"))
			tr := st.last()
			f := tr.Fault
			if f == nil || a.Status != 502 {
				st.t.Fatalf("%s: %d", name, a.Status)
			}
			all := string(tr.Attempts[0].First) + string(tr.Attempts[0].Last) + f.Observed() + a.Body
			for _, p := range f.Param {
				all += p.Value
			}
			if f.Saw != nil {
				all += string(f.Saw.Bytes)
			}
			if strings.Contains(all, "SECRET") {
				t.Errorf("%s: %s tells the secret", name, f.ID)
			}
			if len(tr.Attempts[0].First) == 0 {
				t.Errorf("%s: no evidence", name)
			}
		})
	}
}

// What an error page says of a request's effect is what was really sent.
func TestEffect(t *testing.T) {
	for _, tt := range []struct {
		name, raw string
		origins   []behaviour
		want      trail.Effect
	}{
		{"refused", post("POST", "", "x"), []behaviour{refuse}, trail.NotSent},
		{"read and dropped", post("POST", "", "x"), []behaviour{closing("")}, trail.Unknown},
		{"read and dropped, PUT", post("PUT", "", "x"), []behaviour{closing("")}, trail.Repeat},
		{"read and dropped, GET", get("/"), []behaviour{closing("")}, trail.Harmless},
		{"refused and dropped", post("POST", "", "x"), []behaviour{refuse, closing("")}, trail.Unknown},
		{"a broken body", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", []behaviour{ok}, trail.NotSent},
	} {
		defaults(tt.origins...).play(t, func(st *stage) {
			st.ask(tt.raw)
			tr := st.last()
			method := tr.Method
			if got := tr.Effect(message.Safe(method), message.Idempotent(method)); got != tt.want {
				t.Errorf("%s: %v, want %v (%s)", tt.name, got, tt.want, faults(tr))
			}
			for _, a := range tr.Tries() {
				if a.Fault != nil && a.Connected != 0 && a.BytesSent == 0 {
					t.Errorf("%s: nothing was sent on a connection", tt.name)
				}
			}
		})
	}
}

// A gateway in front of itself is found by its name in Via.
func TestLoop(t *testing.T) {
	for via, status := range map[string]int{"1.1 gw": 502, "1.0 a, 1.1 GW (x)": 502, "1.1 gw2": 200, "gw": 200, "1.1 x gw": 200} {
		defaults(ok).play(t, func(st *stage) {
			a := st.ask("GET / HTTP/1.1\r\nHost: a\r\nVia: " + via + "\r\n\r\n")
			if a.Status != status {
				t.Errorf("Via: %s: %d, want %d", via, a.Status, status)
			}
		})
	}
}

// More connections than allowed are told so and leave no trace.
func TestShed(t *testing.T) {
	s := defaults(silent(""))
	s.Client.MaxConnections = 1
	s.play(t, func(st *stage) {
		first := st.client()
		first.say(get("/"))
		synctest.Wait()
		second := st.client()
		a := second.answer("GET")
		if a.Status != 503 || !a.Close || a.Header.Get("Retry-After") == "" {
			t.Errorf("%+v", a)
		}
		if tr := st.last(); id(tr.Fault) != "overload_shed" {
			t.Errorf("%s", id(tr.Fault))
		}
	})
}
