package prove

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/lab"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/loop/faulty"
	"github.com/gatewhy/gatewhy/internal/settings"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// leakSettings are limits that end what never ends by itself, and no pool: what
// is open when all clients have gone is a leak.
var leakSettings = map[string]string{
	"timeout-client-head": "200ms", "timeout-client-body": "200ms", "timeout-reply": "200ms", "timeout-read": "200ms",
	"timeout-keep-alive": "2s", "max-body": "1MiB", "pool-idle": "0",
}

// guarded is a gateway whose goroutines and descriptors are counted.
type guarded struct {
	gateway *gateway.Gateway
	address string
}

// guard starts a gateway before target. When the test ends it waits until the
// counts are what they were, drains, and looks for goroutines left over.
func guard(t *testing.T, target string, engine loop.Engine) *guarded {
	t.Helper()
	o := gateway.Defaults()
	o.Listen = []loop.Address{{IP: listening}}
	o.Engine = engine
	var err error
	if o.Upstream.Targets, err = upstream.ParseTarget(target); err != nil {
		t.Fatal(err)
	}
	if err := settings.Apply(&o, leakSettings); err != nil {
		t.Fatal(err)
	}
	g, err := gateway.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	w := &guarded{gateway: g, address: g.Addresses()[0].String()}
	w.serves(t) // what is made once is made now
	files, tasks := openFiles(t), runtime.NumGoroutine()
	t.Cleanup(func() {
		w.serves(t)
		await(t, "descriptors", files, func() int { return openFiles(t) })
		await(t, "goroutines", tasks, runtime.NumGoroutine)
		g.Drain(time.Second)
	})
	return w
}

// noGoroutines looks for goroutines left over when all else of the test is cleaned
// up: call it first.
func noGoroutines(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// serves checks that the gateway answers a plain request.
func (w *guarded) serves(t *testing.T) {
	t.Helper()
	c := &caller{address: w.address}
	defer c.close()
	if a, err := c.call(context.Background(), "GET", "alive"); err != nil || a.status != 200 || string(a.body) != "hello" {
		t.Errorf("the gateway does not serve: %v %v", a, err)
	}
}

func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no way to count descriptors here")
	}
	return len(entries)
}

// await waits until a count is no more than it was.
func await(t *testing.T, what string, most int, count func() int) {
	t.Helper()
	end := time.Now().Add(limit)
	for {
		n := count()
		if n <= most {
			return
		}
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Errorf("%d %s, %d before\n%s", n, what, most, stacks[:runtime.Stack(stacks, true)])
			return
		}
		time.Sleep(5 * time.Millisecond) // between two looks: the kernel tells nobody
	}
}

// TestNoLeak lets clients do what bad ones do. Each ends in a 4xx or a closed
// connection, the gateway goes on serving, and nothing of them stays.
func TestNoLeak(t *testing.T) {
	noGoroutines(t)
	origin, err := lab.Good(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(origin.Close)
	const get = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
	const head = "POST / HTTP/1.1\r\nHost: a.test\r\n"
	endless := func(c *net.TCPConn, piece string) {
		b := []byte(strings.Repeat(piece, 1+4096/len(piece)))
		for {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}
	tests := []struct {
		name    string
		do      func(c *net.TCPConn) // writes; another goroutine reads
		want    []int                // statuses of the answers; none means that the connection ends without
		bounded bool                 // the gateway must end the connection
	}{
		{"says nothing", func(*net.TCPConn) {}, nil, true},
		{"stops in its head", func(c *net.TCPConn) { io.WriteString(c, "GET / HT") }, []int{408}, true},
		{"stops in its body", func(c *net.TCPConn) { io.WriteString(c, head+"Content-Length: 9\r\n\r\nhell") }, []int{408}, true},
		{"ends in its head", func(c *net.TCPConn) { io.WriteString(c, "GET / HT"); c.CloseWrite() }, []int{400}, true},
		{"ends in its body", func(c *net.TCPConn) {
			io.WriteString(c, head+"Content-Length: 9\r\n\r\nhell")
			c.CloseWrite()
		}, []int{400}, true},
		{"ends its side and waits", func(c *net.TCPConn) { io.WriteString(c, get); c.CloseWrite() }, []int{200}, true},
		{"pipelines", func(c *net.TCPConn) { io.WriteString(c, strings.Repeat(get, 5)); c.CloseWrite() },
			[]int{200, 200, 200, 200, 200}, true},
		{"pipelines a bad request", func(c *net.TCPConn) { io.WriteString(c, get+"BAD\r\n\r\n"+get) }, []int{200, 400}, true},
		{"sends byte by byte", func(c *net.TCPConn) {
			c.SetNoDelay(true)
			for _, b := range []byte(head + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n") {
				c.Write([]byte{b})
			}
		}, []int{200}, true},
		{"endless request line", func(c *net.TCPConn) { io.WriteString(c, "GET /"); endless(c, "a") }, []int{414}, true},
		{"endless field line", func(c *net.TCPConn) { io.WriteString(c, head+"X-A: "); endless(c, "a") }, []int{431}, true},
		{"endless fields", func(c *net.TCPConn) { io.WriteString(c, head); endless(c, "X-A: a\r\n") }, []int{431}, true},
		{"endless empty lines", func(c *net.TCPConn) { endless(c, "\r\n") }, []int{400}, true},
		{"endless garbage", func(c *net.TCPConn) { endless(c, "\x00\xff\x17") }, []int{400}, true},
		{"endless chunks", func(c *net.TCPConn) {
			io.WriteString(c, head+"Transfer-Encoding: chunked\r\n\r\n")
			endless(c, "5\r\nhello\r\n")
		}, []int{413}, true},
		{"endless chunk extension", func(c *net.TCPConn) {
			io.WriteString(c, head+"Transfer-Encoding: chunked\r\n\r\n5;a=")
			endless(c, "b")
		}, []int{400}, true},
		{"endless trailers", func(c *net.TCPConn) {
			io.WriteString(c, head+"Transfer-Encoding: chunked\r\n\r\n0\r\n")
			endless(c, "X-A: a\r\n")
		}, []int{400}, true},
		{"announces too much", func(c *net.TCPConn) { io.WriteString(c, head+"Content-Length: 99999999\r\n\r\n") }, []int{413}, true},
		{"smuggles", func(c *net.TCPConn) {
			io.WriteString(c, head+"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+get)
		}, []int{400}, true},
	}
	w := guard(t, origin.Target, nil)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := w.dial(t)
			defer c.Close()
			var writing sync.WaitGroup
			writing.Go(func() { test.do(c) }) // ends when all is written or the gateway ends the connection
			in := bufio.NewReader(c)
			var got []int
			for {
				a := readAnswer(in, false)
				if a.flaw != "" {
					t.Errorf("got %v", a)
					break
				}
				if a.status == 0 {
					if errors.Is(a.cut, os.ErrDeadlineExceeded) {
						t.Errorf("the gateway does not end the connection")
					}
					break
				}
				got = append(got, a.status)
			}
			c.Close()
			writing.Wait()
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got statuses %v, not %v", got, test.want)
			}
		})
	}
}

func (w *guarded) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(limit))
	return c.(*net.TCPConn)
}

// TestResetAnywhere resets a client's connection at every byte of a request, and
// at every byte of an answer; and an upstream's at every byte of its answer.
func TestResetAnywhere(t *testing.T) {
	noGoroutines(t)
	const request = "PUT /item HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
	const answer = "HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
	step := 1
	if testing.Short() {
		step = 7
	}
	t.Run("request", func(t *testing.T) {
		origin, err := lab.Good(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(origin.Close) // after the gateway's end
		w := guard(t, origin.Target, nil)
		for n := 0; n <= len(request); n += step {
			c := w.dial(t)
			io.WriteString(c, request[:n])
			c.SetLinger(0)
			c.Close()
		}
	})
	t.Run("reading", func(t *testing.T) {
		origin, err := lab.Good(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(origin.Close)
		w := guard(t, origin.Target, nil)
		for n := 0; n < 80; n += step {
			c := w.dial(t)
			io.WriteString(c, request)
			io.CopyN(io.Discard, c, int64(n))
			c.SetLinger(0)
			c.Close()
		}
	})
	t.Run("answer", func(t *testing.T) {
		var mu sync.Mutex
		cut := len(answer)
		m := startMoody(t, func(c *visit, _ int) {
			for c.read() {
				mu.Lock()
				n := cut
				mu.Unlock()
				if c.write(answer[:n]) != nil {
					return
				}
				if n < len(answer) {
					c.reset()
					return
				}
			}
		})
		t.Cleanup(m.close)
		w := guard(t, m.target(), nil)
		c := &caller{address: w.address}
		for n := 0; n < len(answer); n += step {
			mu.Lock()
			cut = n
			mu.Unlock()
			a, err := c.call(t.Context(), "GET", "reset")
			switch {
			case err != nil || a.flaw != "":
				t.Errorf("reset after %d bytes: %v %v", n, a, err)
			case a.status == 502 && a.whole && a.get("Proxy-Status") != "":
			case a.status == 200 && !a.whole:
			default:
				t.Errorf("reset after %d bytes: %v %q", n, a, a.body)
			}
		}
		c.close()
		mu.Lock()
		cut = len(answer)
		mu.Unlock()
	})
}

// TestSlowReader lets a client take nothing of a long answer: the gateway ends it.
func TestSlowReader(t *testing.T) {
	noGoroutines(t)
	const size = 64 << 20
	long := bytes.Repeat([]byte("x"), 1<<20)
	m := startMoody(t, func(c *visit, n int) {
		if !c.read() {
			return
		}
		if n != 1 {
			c.answer()
			return
		}
		c.write(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size))
		for range size / len(long) {
			if _, err := c.conn.Write(long); err != nil {
				return
			}
		}
	})
	t.Cleanup(m.close)
	w := guard(t, m.target(), nil)
	c := w.dial(t)
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	m.awaitQuiet(t, 2) // the origin can send no more: its connection is broken
	a := readAnswer(bufio.NewReader(c), false)
	if a.status != 200 || a.whole {
		t.Errorf("a client that did not read got %v", a)
	}
}

// TestPanic lets one exchange panic: it is explained, and the process serves on.
func TestPanic(t *testing.T) {
	noGoroutines(t)
	s, err := setUp(t.Context(), lab.Find("gateway_internal_error"), portable, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.tearDown)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	p, err := s.play(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if p.answer.status != 500 || p.trail.Fault == nil || p.trail.Fault.Err == nil ||
		!strings.Contains(p.trail.Fault.Err.Error(), "goroutine") {
		t.Errorf("a panic gave %v and %v", p.answer, p.trail.Fault)
	}
	for range 3 {
		c, err := s.dial(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := s.plainGET(ctx, c, bufio.NewReader(c)); err != nil {
			t.Errorf("after the panic: %v %v", a, err)
		}
		c.Close()
	}
}

// together are the faults that are only seen in bytes that come together: what
// stands behind a whole message is not waited for, a foreign protocol is named by
// the bytes that are there when the first one is wrong, and a body by those that
// came with its head.
var together = []fault.ID{fault.ExtraAfterMessage, fault.ResponseSmuggled, fault.BodyOnBodyless,
	fault.TLSOnPlainPort, fault.H2OnH1, fault.ContentCodingMismatch}

// TestCorpusInPieces plays the corpus over a network that hands over one byte at a
// time: arrival in pieces changes nothing else.
func TestCorpusInPieces(t *testing.T) {
	engine := func() loop.Engine {
		return faulty.Wrap(portable(), &faulty.Plan{ReadSize: 1, Accepted: true})
	}
	const most = 64 << 10 // of an answer's bytes: more only takes longer
	slots := make(chan struct{}, parallel)
	for _, r := range lab.Corpus() {
		if len(r.Answer) > most || r.Upload > most || slices.Contains(together, r.Fault()) ||
			slices.ContainsFunc(r.Notes, func(id fault.ID) bool { return slices.Contains(together, id) }) {
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			p, s, err := play(t.Context(), r, engine, false)
			if err == nil {
				err = judge(r, p, s)
			}
			if err != nil {
				t.Errorf("%s: %v", r.Why, err)
			}
		})
	}
}
