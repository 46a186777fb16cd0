package reverse

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// disk is a Spool in memory that says what was done to it.
type disk struct {
	mu     sync.Mutex
	data   []byte
	closed int
	full   bool
}

func (d *disk) WriteAt(p []byte, at int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return 0, syscall.ENOSPC
	}
	d.data = append(d.data[:at], p...)
	return len(p), nil
}

func (d *disk) ReadAt(p []byte, at int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return copy(p, d.data[at:]), nil
}

func (d *disk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed++
	return nil
}

// numbered is n bytes of which no two pieces are alike.
func numbered(n int) string {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		b.WriteString(strings.Repeat(string(rune('a'+i%26)), 7))
		b.WriteByte(byte('0' + i/26%10))
	}
	return b.String()[:n]
}

// inChunks frames a body in chunks of the given size, with a trailer.
func inChunks(body string, size int) string {
	var b strings.Builder
	for len(body) > 0 {
		n := min(size, len(body))
		b.WriteString(strings.TrimLeft(hexOf(n), "0") + "\r\n" + body[:n] + "\r\n")
		body = body[n:]
	}
	return b.String() + "0\r\nX-Sum: 7\r\n\r\n"
}

func hexOf(n int) string {
	const digits = "0123456789abcdef"
	s := ""
	for ; n > 0; n >>= 4 {
		s = string(digits[n&15]) + s
	}
	return s
}

// A body is sent again from memory, from a file, or not at all.
func TestReplay(t *testing.T) {
	for _, tt := range []struct {
		name     string
		size     int
		full     bool // the disk
		attempts string
		withheld string
		spooled  bool
	}{
		{"came with the head", 4 << 10, false, "head_eof_empty head_eof_empty ok", "", false},
		{"in memory", 60 << 10, false, "head_eof_empty head_eof_empty ok", "", false},
		{"in a file", 500 << 10, false, "head_eof_empty head_eof_empty ok", "", true},
		{"too large", 2 << 20, false, "head_eof_empty", "request_not_replayable", true},
		{"no room in the file", 500 << 10, true, "head_eof_empty", "request_not_replayable", true},
	} {
		for _, chunked := range []bool{false, true} {
			for _, late := range []bool{false, true} {
				body := numbered(tt.size)
				raw, want := post("PUT", "", body), "PUT /p "+body
				if chunked {
					raw = "PUT /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + inChunks(body, 9000)
					want += " X-Sum=7"
				}
				s := defaults(closing(""), closing(""), ok)
				var d *disk
				opened := 0
				s.Reverse.Spool = func() (Spool, error) { opened++; return d, nil }
				s.play(t, func(st *stage) {
					d, opened = &disk{full: tt.full}, 0
					c := st.client()
					if late { // the head alone, and the body in pieces
						head, rest, _ := strings.Cut(raw, "\r\n\r\n")
						c.say(head + "\r\n\r\n")
						for len(rest) > 0 {
							time.Sleep(time.Millisecond)
							n := min(len(rest), 30_000)
							c.say(rest[:n])
							rest = rest[n:]
						}
					} else {
						c.say(raw)
					}
					a := c.answer("PUT")
					tr := st.last()
					if faults(tr) != tt.attempts || id(tr.Withheld) != tt.withheld {
						st.t.Fatalf("%s, chunked %v, late %v: %d, attempts %q, withheld %q", tt.name, chunked, late, a.Status, faults(tr), id(tr.Withheld))
					}
					wantStatus := 200
					if tt.withheld != "" {
						wantStatus = 502
						if !strings.Contains(tr.Withheld.Observed(), "of a body is kept") || strings.Contains(tr.Withheld.Observed(), "{") {
							t.Errorf("%s", tr.Withheld.Observed())
						}
					}
					if a.Status != wantStatus {
						t.Errorf("%s: %d", tt.name, a.Status)
					}
					for i, o := range st.origins[:tr.N] {
						if got := o.requests(); len(got) != 1 || got[0] != want {
							t.Errorf("%s, chunked %v, late %v: endpoint %d got %d requests, not the one of %d bytes", tt.name, chunked, late, i, len(got), len(want))
						}
					}
					if (opened > 0) != tt.spooled || opened > 1 || d.closed != opened {
						t.Errorf("%s: the file was opened %d times and closed %d times", tt.name, opened, d.closed)
					}
					if tr.In != int64(len(raw)) {
						t.Errorf("%s: %d of %d bytes counted", tt.name, tr.In, len(raw))
					}
				})
			}
		}
	}
}

// A body that cannot be kept is still sent once.
func TestNoDisk(t *testing.T) {
	body := numbered(200 << 10)
	s := defaults(ok)
	s.Reverse.Spool = func() (Spool, error) { return nil, errors.New("read-only file system") }
	s.play(t, func(st *stage) {
		a := st.ask(post("PUT", "", body))
		tr := st.last()
		if a.Status != 200 || notices(tr) != "local_disk_full" || st.origins[0].requests()[0] != "PUT /p "+body {
			t.Errorf("%d, notices %q", a.Status, notices(tr))
		}
	})
}

// The client's own mistakes are the client's, although an upstream has a part of
// the request; it never sees a whole one.
func TestBrokenUpload(t *testing.T) {
	for _, tt := range []struct {
		name, first, later, fault string
		status                    int
		fin                       bool
	}{
		{"bad chunk with the head", "5\r\nhello\r\nzz\r\n", "", "request_body_broken", 400, false},
		{"bad chunk later", "5\r\nhello\r\n", "zz\r\n", "request_body_broken", 400, false},
		{"cut", "5\r\nhel", "", "request_body_broken", 400, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defaults(ok).play(t, func(st *stage) {
				c := st.client()
				c.say("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + tt.first)
				time.Sleep(time.Millisecond)
				c.say(tt.later)
				if tt.fin {
					c.CloseWrite()
				}
				began := time.Now()
				a := c.answer("PUT")
				tr := st.last()
				if a.Status != tt.status || !a.Close || id(tr.Fault) != tt.fault {
					t.Errorf("%d, close %v, %s", a.Status, a.Close, id(tr.Fault))
				}
				if time.Since(began) > second {
					t.Errorf("only after %v", time.Since(began))
				}
				for _, got := range st.origins[0].requests() {
					if !strings.HasSuffix(got, "CUT") {
						t.Errorf("the upstream got a whole request: %q", got)
					}
				}
				if _, err := c.rest(); err != nil {
					t.Errorf("the answer may be lost: %v", err)
				}
			})
		})
	}
}

// An explanation reaches a client that is still sending: its connection says
// that it will close, and closes in order.
func TestAnswerToAnUnreadUpload(t *testing.T) {
	for name, s := range map[string]*setup{"502": defaults(refuse), "an answer of the upstream": defaults(func(c *peer, _ int) {
		c.head()
		c.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		time.Sleep(second)
		c.end(true)
	})} {
		s.play(t, func(st *stage) {
			c := st.client()
			c.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("x", 100<<10))
			a := c.answer("POST")
			if a.Status == 0 || !a.Close {
				t.Errorf("%s: %d, close %v", name, a.Status, a.Close)
			}
			c.say(strings.Repeat("x", 100<<10))
			if _, err := c.rest(); err != nil {
				t.Errorf("%s: the answer may be lost: %v", name, err)
			}
		})
	}
}

// Of a chunked upload nobody knows how much is left: a little is read for the
// next request's sake, more ends the connection.
func TestUnreadChunks(t *testing.T) {
	for size, again := range map[int]bool{10_000: true, 300_000: false} {
		defaults(refuse).play(t, func(st *stage) {
			c := st.client()
			c.say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + inChunks(numbered(size), 9000) + get("/next"))
			if a := c.answer("POST"); a.Status != 502 {
				t.Errorf("%d bytes: %+v", size, a)
			}
			next := c.answer("GET")
			if (next.Status == 502) != again || !again && st.count() != 1 {
				t.Errorf("%d bytes: then %d, %d exchanges", size, next.Status, st.count())
			}
		})
	}
}

// Expect: 100-continue, both ways.
func TestExpect(t *testing.T) {
	const head = "PUT /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
	patient := func(c *peer, _ int) {
		h := c.head()
		if !strings.Contains(h, "Expect: 100-continue\r\n") {
			c.t.Errorf("the upstream got %q", h)
		}
		c.say("HTTP/1.1 100 Continue\r\n\r\n")
		b := make([]byte, 4)
		c.in.Read(b)
		c.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + string(b))
		c.head()
	}
	ignorant := func(c *peer, _ int) { // never says 100
		c.head()
		b := make([]byte, 4)
		c.in.Read(b)
		c.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + string(b))
		c.head()
	}
	unwilling := func(c *peer, _ int) {
		c.head()
		c.say("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		c.head()
	}
	refusing := once(func(c *peer, _ int) {
		c.head()
		c.say("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
		c.head()
	}, ignorant)
	for _, tt := range []struct {
		name     string
		origins  []behaviour
		interim  bool
		status   int
		body     string
		attempts string
		notices  string
		within   time.Duration
	}{
		{"100, then the answer", []behaviour{patient}, true, 200, "body", "ok", "", 0},
		{"no 100", []behaviour{ignorant}, true, 200, "body", "ok", "expect_no_100", second},
		{"a final answer at once", []behaviour{unwilling}, false, 413, "no", "ok", "early_response", 0},
		{"417", []behaviour{refusing}, true, 200, "body", "expect_417 ok", "", 0},
		{"nobody there", []behaviour{refuse}, false, 502, "", "connect_refused", "", 0},
		{"the first refuses", []behaviour{refuse, patient}, true, 200, "body", "connect_refused ok", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defaults(tt.origins...).play(t, func(st *stage) {
				c := st.client()
				began := time.Now()
				c.say(head)
				if tt.interim {
					want := "HTTP/1.1 100 Continue\r\n\r\n"
					got, _ := c.in.Peek(len(want))
					if string(got) != want {
						st.t.Fatalf("the client got %q after %v; %s", got, time.Since(began), faults(st.last()))
					}
					c.in.Discard(len(want))
					c.say("body")
				}
				a := c.answer("PUT")
				tr := st.last()
				if a.Status != tt.status || tt.body != "" && a.Body != tt.body || faults(tr) != tt.attempts || notices(tr) != tt.notices {
					t.Errorf("%d %q, attempts %q, notices %q", a.Status, a.Body, faults(tr), notices(tr))
				}
				if a.Close != !tt.interim {
					t.Errorf("close %v", a.Close)
				}
				if took := time.Since(began); took > tt.within {
					t.Errorf("it took %v", took)
				}
				if !tt.interim && tt.status == 413 { // its body was never sent
					st.ask(get("/next"))
					if next := st.last(); next.Attempts[0].Reused || faults(next) != "ok" {
						t.Errorf("the next request: reused %v, %q", next.Attempts[0].Reused, faults(next))
					}
				}
			})
		})
	}
}

// An upstream that is known not to like Expect does not get it; the client is
// told to go on all the same.
func TestExpectIsAnsweredByUs(t *testing.T) {
	s := defaults(ok)
	s.play(t, func(st *stage) {
		st.up.Endpoints()[0].NoExpect.Store(true)
		c := st.client()
		c.say("PUT /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
		want := "HTTP/1.1 100 Continue\r\n\r\n"
		got, err := c.in.Peek(len(want))
		if string(got) != want {
			st.t.Fatalf("the client got %q, %v", got, err)
		}
		c.in.Discard(len(want))
		c.say("body")
		if a := c.answer("PUT"); a.Status != 200 || st.origins[0].requests()[0] != "PUT /p body" {
			t.Errorf("%d, the upstream got %q", a.Status, st.origins[0].requests())
		}
	})
}

// A final answer while the upload runs.
func TestEarlyAnswer(t *testing.T) {
	upload := "PUT /p HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
	t.Run("413, kept open", func(t *testing.T) {
		defaults(func(c *peer, _ int) {
			c.head()
			c.say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
			c.head()
		}).play(t, func(st *stage) {
			c := st.client()
			c.say(upload + "hello")
			a := c.answer("PUT")
			tr := st.last()
			if a.Status != 413 || a.Body != "big" || !a.Close || notices(tr) != "early_response" || tr.Fault != nil {
				t.Errorf("%+v, notices %q", a, notices(tr))
			}
			// Half a request is still on that connection: the next one would be its body.
			st.ask(get("/next"))
			if next := st.last(); next.Attempts[0].Reused || faults(next) != "ok" {
				t.Errorf("the next request: reused %v, %q", next.Attempts[0].Reused, faults(next))
			}
		})
	})
	t.Run("413, then a reset", func(t *testing.T) {
		defaults(func(c *peer, _ int) {
			c.head()
			c.say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
			c.end(true)
		}).play(t, func(st *stage) {
			c := st.client()
			c.say(upload + "hello")
			time.Sleep(time.Millisecond)
			c.say("world")
			if a := c.answer("PUT"); a.Status != 413 || a.Body != "big" {
				t.Errorf("%+v, %s", a, faults(st.last()))
			}
		})
	})
	t.Run("200 while both talk", func(t *testing.T) {
		defaults(func(c *peer, _ int) {
			c.head()
			c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			b := make([]byte, 5)
			for range 2 {
				c.in.Read(b)
				c.say("5\r\n" + string(b) + "\r\n")
				time.Sleep(second)
			}
			c.say("0\r\n\r\n")
			c.head()
		}).play(t, func(st *stage) {
			c := st.client()
			c.say(upload + "hello")
			time.Sleep(5 * second)
			c.say("world")
			a := c.answer("PUT")
			tr := st.last()
			if a.Status != 200 || a.Body != "helloworld" || a.Cut || a.Close || tr.Fault != nil {
				t.Errorf("%+v, %s", a, id(tr.Fault))
			}
			c.say(get("/again"))
			if a := c.answer("GET"); a.Status == 0 {
				t.Errorf("the connection is of no more use: %+v", a)
			}
		})
	})
	t.Run("200, and the upload breaks", func(t *testing.T) {
		defaults(func(c *peer, _ int) {
			c.head()
			c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
			c.head()
		}).play(t, func(st *stage) {
			c := st.client()
			c.say("PUT /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
			time.Sleep(second)
			c.say("zz\r\n")
			began := time.Now()
			a := c.answer("PUT")
			tr := st.last()
			if a.Status != 200 || !a.Cut || id(tr.Fault) != "request_body_broken" || !tr.Cut {
				t.Errorf("%+v, %s", a, id(tr.Fault))
			}
			if took := time.Since(began); took > second {
				t.Errorf("it took %v", took)
			}
		})
	})
}

// What the sending hand's end interrupts is the wait of its own attempt only.
func TestNoInterruptIsLeft(t *testing.T) {
	answer := answering(okAnswer)
	defaults(answer).play(t, func(st *stage) {
		c := st.client()
		for range 3 {
			c.say("PUT /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
			time.Sleep(time.Millisecond)
			c.say("body")
			if a := c.answer("PUT"); a.Status != 200 || a.Close {
				st.t.Fatalf("%+v", a)
			}
			// An interrupt that was left over would end this wait, and the connection.
			time.Sleep(5 * second)
		}
		if n := st.count(); n != 3 {
			t.Errorf("%d exchanges", n)
		}
		if tr := st.last(); tr.Attempts[0].Serial != 2 {
			t.Errorf("the upstream connection had served %d", tr.Attempts[0].Serial)
		}
	})
}

// A hand that has ended leaves no interrupt behind, and one that is to end sends
// nothing more, although it need not wait.
func TestStopHand(t *testing.T) {
	defaults(ok).play(t, func(st *stage) {
		st.on(func() {
			c := &call{p: st.proxy}
			me := st.loop.Current()
			c.hand = hand{main: me, done: true}
			me.Interrupt()
			c.stopHand()
			if err := st.loop.Park(st.loop.Now() + 1000); err != loop.ErrTimeout {
				t.Errorf("the next wait ended in %v", err)
			}
			if f := c.sendPiece([]byte("more")); f != http1.Interrupted {
				t.Errorf("a stopped hand goes on: %v", f)
			}
		})
	})
}
