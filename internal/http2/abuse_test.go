package http2_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// attacks are clients that want us to work for nothing. send is called until the
// connection is gone; it must be soon.
var attacks = []struct {
	name string
	send func(p *peer) error
}{
	// CVE-2023-44487
	{"rapid reset", func(p *peer) error {
		id, end := p.id, p.id+2
		p.id = end
		if err := p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.block("GET", "/"), EndStream: true, EndHeaders: true}); err != nil {
			return err
		}
		return p.WriteRSTStream(id, http2.ErrCodeCancel)
	}},
	// CVE-2025-8671: the server resets, and the client stays within its rights.
	{"made you reset by a window", func(p *peer) error {
		id := p.id
		p.id += 2
		if err := p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.block("POST", "/body"), EndHeaders: true}); err != nil {
			return err
		}
		return p.WriteRawFrame(http2.FrameWindowUpdate, 0, id, []byte{0, 0, 0, 0})
	}},
	{"made you reset by a priority", func(p *peer) error {
		id := p.id
		p.id += 2
		if err := p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.block("POST", "/body"), EndHeaders: true}); err != nil {
			return err
		}
		return p.WriteRawFrame(http2.FramePriority, 0, id, []byte{0, 0, 0, 0})
	}},
	{"malformed requests", func(p *peer) error {
		id := p.id
		p.id += 2
		return p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.block("GET", "nowhere"), EndStream: true, EndHeaders: true})
	}},
	{"PING flood", func(p *peer) error { return p.WritePing(false, [8]byte{1}) }},
	{"SETTINGS flood", func(p *peer) error { return p.WriteSettings() }},
	{"PRIORITY flood", func(p *peer) error {
		return p.WritePriority(1001, http2.PriorityParam{StreamDep: 3})
	}},
	{"PRIORITY_UPDATE flood", func(p *peer) error { return p.WriteRawFrame(0x10, 0, 0, []byte{0, 0, 0, 1, 'u', '=', '1'}) }},
	{"WINDOW_UPDATE flood", func(p *peer) error { return p.WriteWindowUpdate(0, 1) }},
	{"unknown frames", func(p *peer) error { return p.WriteRawFrame(0x77, 0, 0, nil) }},
	{"empty DATA", func(p *peer) error {
		if p.id == 1 {
			p.ask(false, "POST", "/body")
		}
		return p.WriteData(1, false, nil)
	}},
	{"padding only", func(p *peer) error {
		if p.id == 1 {
			p.ask(false, "POST", "/body")
		}
		return p.WriteDataPadded(1, false, nil, make([]byte, 10))
	}},
	// CERT VU#421644
	{"CONTINUATION flood", func(p *peer) error {
		if p.id == 1 {
			p.id = 3
			return p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.block("GET", "/")})
		}
		return p.WriteContinuation(1, false, bytes.Repeat([]byte{0x82}, 1000))
	}},
	{"empty CONTINUATION", func(p *peer) error {
		if p.id == 1 {
			p.id = 3
			return p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.block("GET", "/")})
		}
		return p.WriteContinuation(1, false, nil)
	}},
	{"windows of one byte", func(p *peer) error {
		if p.id == 1 {
			if err := p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
				return err
			}
			p.ask(true, "GET", "/big?1000000")
		}
		return p.WriteWindowUpdate(1, 1)
	}},
}

// cpu is the time that this process has spent.
func cpu(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Whoever attacks is told to be calm and loses the connection, and what it costs
// is logged: memory and time of this whole process, the attacker's own included.
func TestAttacks(t *testing.T) {
	for _, c := range attacks {
		t.Run(c.name, func(t *testing.T) {
			engines(t, func(t *testing.T, engine func() loop.Engine) {
				if strings.HasSuffix(t.Name(), "pieces") {
					return // the attacks are about what came, not how
				}
				st := start(t, engine(), nil)
				p := st.dial()
				told := make(chan *result)
				go func() {
					r := results{}
					for {
						f, err := p.ReadFrame()
						if err != nil {
							break
						}
						if g, ok := f.(*http2.GoAwayFrame); ok {
							r.of(0).goaway, r.of(0).code = true, g.ErrCode
						}
					}
					told <- r.of(0)
				}()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				spent := cpu(t)
				frames := 0
				for c.send(p) == nil {
					if frames++; frames > 1_000_000 {
						t.Fatal("a million frames were borne")
					}
				}
				r := <-told
				spent = cpu(t) - spent
				runtime.ReadMemStats(&after)
				t.Logf("%d frames, %v of CPU, %d KiB allocated in all, both ends", frames, spent.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>10)
				if r.goaway && r.code != http2.ErrCodeEnhanceYourCalm {
					t.Errorf("%v", r.code)
				}
				st.drain(patience)
				if got := st.faults(); !slices.Contains(got, "request_h2_flood") {
					t.Errorf("recorded: %v", got)
				}
			})
		})
	}
}

// A block that a byte makes kilobytes of costs the limit of a head, not more.
func TestHPACKBomb(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), nil)
		p := st.dial()
		if r := p.answer(p.ask(true, "GET", "/", "x-long: "+strings.Repeat("v", 4000))); r.status != "200" {
			t.Fatalf("%+v", r)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		bomb := append(p.block("GET", "/"), bytes.Repeat([]byte{0xbe}, 16000)...) // 64 MB
		id := p.id
		p.id += 2
		p.must(p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: bomb, EndStream: true, EndHeaders: true}))
		if r := p.answer(id); r.status != "431" {
			t.Errorf("%+v", r)
		}
		runtime.ReadMemStats(&after)
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 2<<20 {
			t.Errorf("%d bytes allocated", spent)
		}
		if r := p.answer(p.ask(true, "GET", "/")); r.status != "200" {
			t.Errorf("%+v", r)
		}
	})
}

// A client that asks and does not read is not read from, and then left.
func TestDeafClient(t *testing.T) {
	bare(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), func(o *exchange.Options) {
			o.HTTP2.Control, o.Times.Reply = 1<<30, 300*time.Millisecond
		})
		p := st.dial()
		var err error
		for err == nil {
			err = p.WritePing(false, [8]byte{1})
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it was never left")
		}
	})
}

// Nor does one that opens its windows and reads nothing keep its answers for ever.
func TestDeafReader(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), func(o *exchange.Options) { o.Times.Reply = 200 * time.Millisecond })
		p := st.dial(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		p.must(p.WriteWindowUpdate(0, 1<<30))
		if r := p.answer(p.ask(true, "GET", "/")); r.status != "200" {
			t.Fatalf("%+v", r)
		}
		for range 3 {
			p.ask(true, "GET", "/big?16000000")
		}
		p.must(p.WritePing(false, [8]byte{1}))
		var buf [1]byte
		if _, err := io.ReadFull(p.conn, buf[:]); err != nil { // they have begun
			t.Fatal(err)
		}
		st.drain(patience) // ends when the connection has
		if got := st.faults(); len(got) == 0 || slices.Contains(got, "gateway_internal_error") {
			t.Errorf("%v", got)
		}
	})
}

// A head that does not end is not waited for.
func TestSlowHead(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), func(o *exchange.Options) { o.Times.Head = 40 * time.Millisecond })
		p := st.dial()
		p.must(p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.block("GET", "/"), EndStream: true}))
		goaway := false
		for { // nothing is acknowledged: that would be a frame inside the block
			f, err := p.ReadFrame()
			if err != nil {
				break
			}
			_, is := f.(*http2.GoAwayFrame)
			goaway = goaway || is
		}
		if got := st.faults(); !goaway || !slices.Equal(got, []string{"request_head_timeout"}) {
			t.Errorf("%v", got)
		}
	})
}

// An honest client that acknowledges each piece, as some do, is no flood.
func TestAcknowledgingClient(t *testing.T) {
	engines(t, func(t *testing.T, engine func() loop.Engine) {
		st := start(t, engine(), func(o *exchange.Options) { o.HTTP2.Control = 100 })
		p := st.dial()
		for range 300 {
			id := p.ask(true, "GET", "/")
			if r := p.answer(id); r.status != "200" {
				t.Fatalf("%+v", r)
			}
			p.must(p.WriteWindowUpdate(id, 1024))
			p.must(p.WriteWindowUpdate(0, 1024))
		}
	})
}
