package http2_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"

	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// Go's client gets every byte of what it sends back, many at a time.
func TestGoClient(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), nil)
		c := &http.Client{Transport: st.transport(), Timeout: patience}
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				body := make([]byte, rand.IntN(200_000))
				for k := range body {
					body[k] = byte(k * (i + 1))
				}
				q, err := http.NewRequest("POST", "http://a.test/echo", io.NopCloser(bytes.NewReader(body)))
				if err != nil {
					t.Error(err)
					return
				}
				q.Trailer = http.Header{"X-Check": {"abc"}}
				a, err := c.Do(q)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(a.Body)
				a.Body.Close()
				if err != nil || !bytes.Equal(got, body) || a.Trailer.Get("X-Check") != "abc" || a.Header.Get("Via") != "1.1 gw" {
					t.Errorf("%d bytes of %d, %v, %v %v", len(got), len(body), err, a.Header, a.Trailer)
				}
			})
		}
		all.Wait()
		for path, want := range map[string]string{"/": "200 1024", "/bare?204": "204 0", "/bare?304": "304 0", "/big?0": "200 0", "/big?160": "200 160"} {
			for _, method := range []string{"GET", "HEAD"} {
				q, err := http.NewRequest(method, "http://a.test"+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				a, err := c.Do(q)
				if err != nil {
					t.Error(err)
					continue
				}
				got, err := io.ReadAll(a.Body)
				a.Body.Close()
				n := len(got)
				if method == "HEAD" && a.StatusCode == 200 {
					n = int(a.ContentLength)
				}
				if s := fmt.Sprint(a.StatusCode, " ", n); s != want || err != nil || method == "HEAD" && len(got) > 0 {
					t.Errorf("%s %s: %s, want %s, %v", method, path, s, want, err)
				}
			}
		}
	})
}

// TRACE gets back what HTTP/1.1 would have said, without secrets.
func TestTrace(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), nil)
		p := st.dial()
		r := p.answer(p.ask(true, "TRACE", "/a?b", "max-forwards: 0", "x-a: b", "cookie: c=d"))
		const want = "TRACE /a?b HTTP/1.1\r\nHost: a.test\r\nmax-forwards: 0\r\nx-a: b\r\ncookie: c=x\r\n\r\n"
		if r.status != "200" || string(r.body) != want {
			t.Errorf("%s %q", r.status, r.body)
		}
	})
}

func TestInterim(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), nil)
		p := st.dial()
		if r := p.answer(p.ask(true, "GET", "/interim")); r.status != "200" || !slices.Equal(r.interim, []string{"103"}) || string(r.body) != "hello" {
			t.Errorf("%+v", r)
		}
	})
}

// A malformed request is told so, and its stream ends with PROTOCOL_ERROR; one that
// is over a limit is told so. Either way the connection goes on.
func TestRefusedRequests(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), func(o *exchange.Options) { o.Limits.Head, o.Limits.Body = 4<<10, 1000 })
		p := st.dial()
		for _, c := range []struct {
			name   string
			fields []string
			status string
			code   http2.ErrCode
			fault  string
		}{
			{"upper case", []string{"X-A: b"}, "400", http2.ErrCodeProtocol, "request_header_malformed"},
			{"connection", []string{"connection: close"}, "400", http2.ErrCodeProtocol, "request_header_malformed"},
			{"te", []string{"te: gzip"}, "400", http2.ErrCodeProtocol, "request_header_malformed"},
			{"late pseudo-field", []string{"x-a: b", ":path: /"}, "400", http2.ErrCodeProtocol, "request_line_malformed"},
			{"host differs", []string{"host: b.test"}, "400", http2.ErrCodeProtocol, "request_host_invalid"},
			{"two lengths", []string{"content-length: 1", "content-length: 2"}, "400", http2.ErrCodeProtocol, "request_framing_ambiguous"},
			{"too large", []string{"x-a: " + strings.Repeat("b", 5000)}, "431", http2.ErrCodeNo, "request_header_too_large"},
			{"expectation", []string{"expect: the-best"}, "417", http2.ErrCodeNo, "request_expectation_unknown"},
			{"body too large", []string{"content-length: 2000"}, "413", http2.ErrCodeNo, "request_body_too_large"},
		} {
			r := p.answerAndReset(p.ask(false, "POST", "/", c.fields...))
			if r.status != c.status || r.code != c.code || !r.ended || !strings.Contains(r.fields["proxy-status"], c.fault) || len(r.body) == 0 {
				t.Errorf("%s: %s %v %v %q", c.name, r.status, r.code, r.fields, r.body)
			}
		}
		if r := p.answer(p.ask(true, "CONNECT", "/")); r.status != "400" {
			t.Errorf("CONNECT with a path: %+v", r)
		}
		id := p.id
		p.id += 2
		p.must(p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.encode(":method: CONNECT", ":authority: a.test:443"), EndHeaders: true}))
		if r := p.answerAndReset(id); r.status != "501" && r.status != "405" {
			t.Errorf("CONNECT: %+v", r)
		}
		if r := p.answer(p.ask(true, "GET", "/")); r.status != "200" || len(r.body) != 1024 {
			t.Errorf("after all that: %+v", r)
		}
	})
}

// What the body of a request may be.
func TestBodies(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), func(o *exchange.Options) { o.Limits.Body = 100; o.Times.Body = 30 * time.Millisecond })
		p := st.dial()
		data := func(id uint32, end bool, s string) { p.must(p.WriteData(id, end, []byte(s))) }
		for _, c := range []struct {
			name   string
			fields []string
			send   func(id uint32)
			status string
			code   http2.ErrCode
		}{
			{"more than declared", []string{"content-length: 3"}, func(id uint32) { data(id, false, "four") }, "400", http2.ErrCodeProtocol},
			{"less than declared", []string{"content-length: 5"}, func(id uint32) { data(id, true, "four") }, "400", http2.ErrCodeProtocol},
			{"more than allowed", nil, func(id uint32) { data(id, false, strings.Repeat("a", 101)) }, "413", http2.ErrCodeNo},
			{"silence", nil, func(id uint32) { data(id, false, "a") }, "408", http2.ErrCodeNo},
			{"trailer that ends nothing", nil, func(id uint32) {
				p.must(p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.encode("x-a: b"), EndHeaders: true}))
			}, "400", http2.ErrCodeProtocol},
			{"trailer with a pseudo-field", nil, func(id uint32) {
				p.must(p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.encode(":path: /"), EndHeaders: true, EndStream: true}))
			}, "400", http2.ErrCodeProtocol},
		} {
			id := p.ask(false, "POST", "/body", c.fields...)
			c.send(id)
			if r := p.answerAndReset(id); r.status != c.status || r.code != c.code {
				t.Errorf("%s: %s %v %q", c.name, r.status, r.code, r.body)
			}
		}
		id := p.ask(false, "POST", "/body", "content-length: 4")
		p.must(p.WriteDataPadded(id, false, []byte("ab"), make([]byte, 200)))
		data(id, true, "cd")
		if r := p.answer(id); r.status != "200" || string(r.body) != "hello" {
			t.Errorf("a good one: %+v", r)
		}
	})
}

// An answer that breaks off is reset, never ended.
func TestLateFault(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), nil)
		p := st.dial()
		if r := p.answer(p.ask(true, "GET", "/late")); !r.reset || r.ended || r.code != http2.ErrCodeInternal || string(r.body) != "half" {
			t.Errorf("%+v", r)
		}
		if r := p.answer(p.ask(true, "GET", "/")); r.status != "200" {
			t.Errorf("afterwards: %+v", r)
		}
	})
}

// Frames whose order breaks a rule end the connection with the code of the RFC.
func TestConnectionErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		send func(p *peer)
		code http2.ErrCode
	}{
		{"DATA on an idle stream", func(p *peer) { p.must(p.WriteData(1, true, []byte("a"))) }, http2.ErrCodeProtocol},
		{"WINDOW_UPDATE on an idle stream", func(p *peer) { p.must(p.WriteWindowUpdate(1, 5)) }, http2.ErrCodeProtocol},
		{"an even stream", func(p *peer) { p.id = 2; p.ask(true, "GET", "/") }, http2.ErrCodeProtocol},
		{"an earlier stream", func(p *peer) { p.id = 5; p.ask(true, "GET", "/"); p.id = 3; p.ask(true, "GET", "/") }, http2.ErrCodeProtocol},
		{"PUSH_PROMISE", func(p *peer) {
			p.must(p.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: p.block("GET", "/"), EndHeaders: true}))
		}, http2.ErrCodeProtocol},
		{"DATA inside a field block", func(p *peer) {
			p.must(p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.block("GET", "/")}))
			p.must(p.WriteData(1, true, nil))
		}, http2.ErrCodeProtocol},
		{"CONTINUATION from nowhere", func(p *peer) { p.must(p.WriteContinuation(1, true, nil)) }, http2.ErrCodeProtocol},
		{"a broken field block", func(p *peer) {
			p.must(p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff}, EndHeaders: true}))
		}, http2.ErrCodeCompression},
		{"the connection's window above its limit", func(p *peer) { p.must(p.WriteWindowUpdate(0, 1<<31-1)) }, http2.ErrCodeFlowControl},
		{"a frame too large", func(p *peer) { p.must(p.WriteRawFrame(0x77, 0, 0, make([]byte, 16385))) }, http2.ErrCodeFrameSize},
		{"a stream that has ended", func(p *peer) {
			id := p.ask(true, "GET", "/")
			p.answer(id)
			p.must(p.WriteData(id, true, []byte("a")))
		}, http2.ErrCodeStreamClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			engines(t, func(t *testing.T, engine func() loop.Engine) {
				st := start(t, engine(), nil)
				p := st.dial()
				c.send(p)
				if r := p.end(); !r.goaway || r.code != c.code || !r.closed {
					t.Errorf("%+v, want %v", r, c.code)
				}
				if got := st.faults(); !slices.Contains(got, "request_h2_error") {
					t.Errorf("recorded: %v", got)
				}
			})
		})
	}
}

// However small the windows, the answer is whole; and nothing exceeds them.
func TestFlowControl(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), nil)
		p := st.dial(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		id := p.ask(true, "GET", "/big?320")
		var body []byte
		for len(body) < 320 {
			f, err := p.ReadFrame()
			p.must(err)
			if d, ok := f.(*http2.DataFrame); ok {
				if len(d.Data()) != 1 {
					t.Fatalf("%d bytes in a window of 1", len(d.Data()))
				}
				body = append(body, d.Data()...)
				p.must(p.WriteWindowUpdate(id, 1))
			}
		}
		if want := bytes.Repeat([]byte("0123456789abcdef"), 20); !bytes.Equal(body, want) {
			t.Errorf("%q", body)
		}
		// A larger initial window opens the streams that wait.
		id = p.ask(true, "GET", "/big?1600")
		p.must(p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 2000}))
		if r := p.answer(id); len(r.body) != 1600 || !r.ended {
			t.Errorf("%d bytes", len(r.body))
		}
	})
}

// When the connection's window opens, the most urgent goes first, and incremental
// ones take turns.
func TestPriority(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), nil)
		p := st.dial(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		first := p.ask(true, "GET", "/big?80000") // uses up the connection's window
		r := results{}
		p.read(r, func(r results) bool { return len(r.of(first).body) == 65535 })
		low := p.ask(true, "GET", "/big?64000", "priority: u=6")
		a := p.ask(true, "GET", "/big?64000", "priority: u=2, i")
		b := p.ask(true, "GET", "/big?64000", "priority: u=2, i")
		top := p.ask(true, "GET", "/big?64000", "priority: u=7")
		p.must(p.WriteRawFrame(http2.FrameType(0x10), 0, 0, append([]byte{0, 0, 0, byte(top)}, "u=0"...)))
		p.read(r, func(r results) bool {
			return r.of(low).status+r.of(a).status+r.of(b).status+r.of(top).status == "200200200200"
		})
		// All wait: a PING's answer says that everything before it was taken in.
		p.must(p.WritePing(false, [8]byte{1}))
		for ponged := false; !ponged; {
			f, err := p.ReadFrame()
			p.must(err)
			pong, ok := f.(*http2.PingFrame)
			ponged = ok && pong.IsAck()
		}
		p.must(p.WriteWindowUpdate(0, 1<<20))
		order := p.read(r, func(r results) bool { return r.of(low).ended && r.of(first).ended })
		last := func(id uint32) int {
			for i := len(order) - 1; i >= 0; i-- {
				if order[i] == id {
					return i
				}
			}
			return -1
		}
		begin := func(id uint32) int { return slices.Index(order, id) }
		if last(top) > begin(a) || last(top) > begin(b) || max(last(a), last(b)) > begin(low) || last(top) > begin(first) {
			t.Errorf("top %d, then %d and %d, then %d and %d: %v", top, a, b, first, low, order)
		}
		if begin(b) > last(a) || begin(a) > last(b) {
			t.Errorf("%d and %d took no turns: %v", a, b, order)
		}
	})
}

// A stream whose window stays shut is given up; its connection goes on.
func TestZeroWindow(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), func(o *exchange.Options) { o.Times.Reply = 50 * time.Millisecond })
		p := st.dial(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		if r := p.answer(p.ask(true, "GET", "/")); r.status != "200" || !r.reset || r.ended || len(r.body) > 0 {
			t.Errorf("%+v", r)
		}
		id := p.ask(true, "GET", "/")
		p.must(p.WriteWindowUpdate(id, 5000))
		if r := p.answer(id); !r.ended || len(r.body) != 1024 {
			t.Errorf("%+v", r)
		}
		if got := st.faults(); !slices.Equal(got, []string{"reply_timeout"}) {
			t.Errorf("%v", got)
		}
	})
}

// More requests than allowed are refused, which the client may repeat.
func TestRequestsAtATime(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), func(o *exchange.Options) { o.HTTP2.Requests = 2 })
		p := st.dial()
		one, two := p.ask(false, "POST", "/body"), p.ask(false, "POST", "/body")
		if r := p.answer(p.ask(true, "GET", "/")); !r.reset || r.code != http2.ErrCodeRefusedStream {
			t.Errorf("%+v", r)
		}
		p.must(p.WriteData(one, true, nil))
		if r := p.answer(one); r.status != "200" {
			t.Errorf("%+v", r)
		}
		if r := p.answer(p.ask(true, "GET", "/")); r.status != "200" {
			t.Errorf("%+v", r)
		}
		p.must(p.WriteData(two, true, nil))
		if r := p.answer(two); r.status != "200" {
			t.Errorf("%+v", r)
		}
	})
}

// A client that resets a request ends its exchange; so does one that leaves.
func TestClientGone(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), nil)
		p := st.dial()
		wait := func() (id uint32) {
			id = p.ask(true, "GET", "/wait")
			p.read(results{}, func(r results) bool { return len(r.of(id).interim) > 0 })
			return id
		}
		p.must(p.WriteRSTStream(wait(), http2.ErrCodeCancel))
		p.must(p.WriteRSTStream(p.ask(false, "POST", "/body"), http2.ErrCodeCancel))
		wait()
		if r := p.answer(p.ask(true, "GET", "/")); r.status != "200" {
			t.Errorf("%+v", r)
		}
		p.conn.Close()
		st.drain(patience)
		if got := st.faults(); !slices.Equal(got, []string{"client_gone"}) {
			t.Errorf("%v", got)
		}
	})
}

// A drain says so at once, takes what was under way, says what the last request is,
// and ends when that is answered.
func TestDrain(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), nil)
		p, idle := st.dial(), st.dial()
		id := p.ask(false, "POST", "/body")
		idle.answer(idle.ask(true, "GET", "/"))
		p.must(p.WritePing(false, [8]byte{1}))
		drained := make(chan struct{})
		go func() { st.drain(patience); close(drained) }()
		var last []uint32
		for len(last) < 2 {
			f, err := p.ReadFrame()
			p.must(err)
			switch f := f.(type) {
			case *http2.GoAwayFrame:
				if f.ErrCode != http2.ErrCodeNo {
					t.Error(f)
				}
				last = append(last, f.LastStreamID)
			case *http2.PingFrame:
				if !f.IsAck() {
					// A request that was under way before we could know.
					if r := p.ask(true, "GET", "/"); r != id+2 {
						t.Error(r)
					}
					p.must(p.WritePing(true, f.Data))
				}
			}
		}
		if diff := cmp.Diff([]uint32{1<<31 - 1, id + 2}, last); diff != "" {
			t.Error(diff)
		}
		p.must(p.WriteData(id, true, nil))
		r := results{}
		p.read(r, func(results) bool { return false })
		if !r.of(id).ended || r.of(id).status != "200" {
			t.Errorf("%+v", r.of(id))
		}
		idle.end()
		p.conn.Close()
		idle.conn.Close()
		<-drained
	})
}

// A client that waits for an answer is asked whether it is there as often as it
// has been silent for long. One that does not say so is gone.
func TestSilentClient(t *testing.T) {
	for name, pong := range map[string]time.Duration{"answers": patience, "is deaf": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			bare(t, func(t *testing.T, engine func() loop.Engine) {
				st := start(t, engine(), func(o *exchange.Options) { o.HTTP2.Ping, o.HTTP2.Pong = 20*time.Millisecond, pong })
				p := st.dial()
				p.ask(true, "GET", "/wait")
				pings := 0
				for pings < 3 {
					f, err := p.ReadFrame()
					if err != nil {
						break
					}
					if f, ok := f.(*http2.PingFrame); ok && !f.IsAck() {
						if pings++; name == "answers" {
							p.must(p.WritePing(true, f.Data))
						}
					}
				}
				want, wantPings := []string(nil), 3
				if name == "is deaf" {
					want, wantPings = []string{"client_gone"}, 1
					st.drain(patience) // the connection has ended: so has its exchange, or is about to
				}
				if got := st.faults(); pings != wantPings || !slices.Equal(got, want) {
					t.Errorf("%d PINGs, %v", pings, got)
				}
				p.conn.Close()
			})
		})
	}
}

func TestIdle(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), func(o *exchange.Options) { o.Times.KeepAlive = 20 * time.Millisecond })
		p := st.dial()
		if r := p.answer(p.ask(true, "GET", "/")); r.status != "200" {
			t.Errorf("%+v", r)
		}
		if r := p.end(); !r.goaway || r.code != http2.ErrCodeNo || len(st.faults()) > 0 {
			t.Errorf("%+v %v", r, st.faults())
		}
	})
}

// A connection that was at rest goes on when something comes.
func TestRest(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), nil)
		p := st.dial()
		for i := range 2 {
			if r := p.answer(p.ask(true, "GET", "/")); r.status != "200" {
				t.Errorf("%+v", r)
			}
			if i == 1 {
				break
			}
			// Longer than a connection keeps its task.
			p.must(p.conn.SetReadDeadline(time.Now().Add(150 * time.Millisecond)))
			if f, err := p.ReadFrame(); err == nil {
				if _, ok := f.(*http2.SettingsFrame); !ok {
					t.Errorf("%v came", f)
				}
			}
			p.must(p.conn.SetReadDeadline(time.Now().Add(patience)))
		}
	})
}

// An upload that the round trip holds up gets a larger window; what is not taken
// never exceeds what a connection may hold.
func TestWindowGrows(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), nil)
		p := st.dial()
		conn := 65535
		for i := range 3 { // a later one begins with the window that SETTINGS said
			p.upload(600<<10, &conn, i == 0)
		}
	})
}

// upload sends n bytes as the windows allow; conn is the connection's.
func (p *peer) upload(n int, conn *int, grows bool) {
	p.t.Helper()
	id := p.ask(false, "POST", "/discard")
	room, granted := 64<<10, 0
	for sent := 0; sent < n; {
		for k := min(room, *conn, 16384); k > 0 && sent < n; k = min(room, *conn, 16384) {
			p.must(p.WriteData(id, false, make([]byte, k)))
			room, *conn, sent = room-k, *conn-k, sent+k
		}
		if sent >= n {
			break
		}
		f, err := p.ReadFrame()
		p.must(err)
		switch f := f.(type) {
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 {
				*conn += int(f.Increment)
			} else {
				room += int(f.Increment)
				granted = max(granted, int(f.Increment))
			}
		case *http2.PingFrame:
			p.must(p.WritePing(true, f.Data))
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			p.t.Fatal(f)
		}
	}
	p.must(p.WriteData(id, true, nil))
	for { // window updates may come before the answer
		f, err := p.ReadFrame()
		p.must(err)
		switch f := f.(type) {
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 {
				*conn += int(f.Increment)
			}
		case *http2.PingFrame:
			p.must(p.WritePing(true, f.Data))
		case *http2.MetaHeadersFrame:
			if f.PseudoValue("status") != "200" || !f.StreamEnded() {
				p.t.Error(f)
			}
			if grows && granted <= 64<<10 {
				p.t.Errorf("at most %d bytes were granted at once", granted)
			}
			return
		}
	}
}
