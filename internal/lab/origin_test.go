package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start runs a recipe for the length of a test.
func start(t *testing.T, r *Recipe) *Origin {
	t.Helper()
	o, err := r.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

// limit is what a test waits for something that must come; nothing is measured.
const limit = 10 * time.Second

func connect(t *testing.T, o *Origin) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", o.Target, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(limit))
	return c
}

func say(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

// Whoever asks a recipe gets its very bytes, and its end.
func TestRawAnswers(t *testing.T) {
	asked := 0
	for _, r := range everything() {
		if !r.plain || r.Where != HTTP || r.Upload > 0 {
			continue // code, which has tests of its own
		}
		asked++
		t.Run(r.Name, func(t *testing.T) {
			o := start(t, r)
			c := connect(t, o)
			say(t, c, r.Requested(o.Target))
			got := make([]byte, len(r.Answer))
			if _, err := io.ReadFull(c, got); err != nil {
				t.Fatalf("after %q: %v", got, err)
			}
			if string(got) != r.Answer {
				t.Errorf("got %.200q, want %.200q", got, r.Answer)
			}
			ended(t, o, c, r.End)
		})
	}
	if asked < 200 {
		t.Errorf("only %d recipes were asked", asked)
	}
}

// ended checks how the stream goes on behind the answer.
func ended(t *testing.T, o *Origin, c net.Conn, e End) {
	t.Helper()
	switch e {
	case FIN:
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("behind the answer: %d bytes, %v; want EOF", n, err)
		}
	case RST:
		if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("behind the answer: %d bytes, %v; want a reset", n, err)
		}
	case Hang, Keep:
		// The origin neither speaks nor ends until we end our side.
		if err := o.AwaitHit(t.Context()); err != nil || o.active.Load() != 1 {
			t.Error("the connection has ended")
		}
		c.(*net.TCPConn).CloseWrite()
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("behind our FIN: %d bytes, %v; want EOF", n, err)
		}
	}
}

func TestGood(t *testing.T) {
	o, err := Good(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	c := connect(t, o)
	in := bufio.NewReader(c)
	ask := func(request, method string) *http.Response {
		t.Helper()
		say(t, c, strings.ReplaceAll(request, "%HOST%", o.Target))
		answer, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	body := func(a *http.Response) string {
		t.Helper()
		b, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	const sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // SHA-256 of "hello"
	for _, request := range []string{postHello, chunkedPOST, putHello} {
		a := ask(request, "POST")
		if a.Header.Get("X-Body-Length") != "5" || a.Header.Get("X-Body-SHA256") != sum || body(a) != hello {
			t.Errorf("to %q: %v", request, a.Header)
		}
	}
	if n := o.Executed("order-1"); n != 2 {
		t.Errorf("order-1 was executed %d times, want 2", n)
	}
	if a := ask(plainHEAD, "HEAD"); a.StatusCode != 200 || body(a) != "" {
		t.Errorf("to HEAD: %v", a.Status)
	}
	if a := ask(expecting, "POST"); a.StatusCode != 100 {
		t.Errorf("to Expect: %v", a.Status)
	}
	if a, err := http.ReadResponse(in, nil); err != nil || a.StatusCode != 200 || body(a) != hello {
		t.Errorf("behind 100: %v %v", a, err)
	}
	a := ask(webSocket, "GET")
	if a.StatusCode != 101 || a.Header.Get("Sec-WebSocket-Accept") != acceptKey {
		t.Errorf("to an upgrade: %v %v", a.Status, a.Header)
	}
	say(t, c, "\x81\x82\x00\x00\x00\x00hi")
	echo := make([]byte, 8)
	if _, err := io.ReadFull(in, echo); err != nil || string(echo[6:]) != "hi" {
		t.Errorf("echo %q, %v", echo, err)
	}
	if o.Connections() != 1 || o.Hits() != 6 {
		t.Errorf("%d connections, %d requests; want 1, 6", o.Connections(), o.Hits())
	}
}

// Played straight against their origins, recipes that need no gateway show what
// they promise: a whole answer, one that is visibly cut, or none.
func TestPlay(t *testing.T) {
	for name, want := range map[string]Reply{
		"corpus/ok":                 {Status: 200, Body: []byte(hello)},
		"corpus/head_body":          {Status: 200},
		"corpus/i103_then_200":      {Status: 200, Body: []byte(hello), Interim: []int{103}},
		"corpus/cl_short_fin":       {Status: 200, Body: []byte(hello), Cut: true},
		"corpus/closedelim_rst":     {Status: 200, Body: []byte(hello), Cut: true},
		"corpus/chunk_rst_mid":      {Status: 200, Body: []byte(hello), Cut: true},
		"corpus/early_413_close":    {Status: 413, Body: []byte("big")},
		"early_response":            {Status: 413, Body: []byte("big")},
		"early_response_truncated":  {Status: 413, Body: []byte("big"), Cut: true},
		"expect_417":                {Status: 417},
		"expect_no_100":             {Status: 200, Body: []byte(hello)},
		"misdirected_421":           {Status: 421},
		"too_early_425":             {Status: 425},
		"version_not_supported_505": {Status: 505},
		"length_required_411":       {Status: 411},
		"upstream_overloaded":       {Status: 503, Body: []byte("come back later\n")},
		"corpus/close_in_head":      {Cut: true},
		"corpus/close_before_head":  {},
		"reuse_fin_before_write":    {},
		"reuse_race_fin/post-read":  {},
		"local_disk_full":           {Status: 200, Body: []byte(hello)},
	} {
		t.Run(name, func(t *testing.T) {
			r := Find(name)
			o := start(t, r)
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			re, err := r.play(ctx, o.Target, o)
			if err != nil {
				t.Fatal(err)
			}
			if re.Status != want.Status || !bytes.Equal(re.Body, want.Body) || re.Cut != want.Cut ||
				len(re.Interim) != len(want.Interim) {
				t.Errorf("got %d %q cut %t interim %v (%v)", re.Status, re.Body, re.Cut, re.Interim, re.Err)
			}
		})
	}
}

// A late fault comes behind megabytes of good body.
func TestLateFaults(t *testing.T) {
	for _, r := range Recipes() {
		if !strings.HasSuffix(r.Name, "/late") || r.End == Hang || r.Where == HTTP2 {
			continue
		}
		o := start(t, r)
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		re, err := r.play(ctx, o.Target, o)
		cancel()
		if err != nil || re.Status != 200 || !re.Cut || len(re.Body) != maxReply {
			t.Errorf("%s: %d, %d bytes, cut %t, %v", r.Name, re.Status, len(re.Body), re.Cut, err)
		}
	}
}

// An answer that comes slowly comes in pieces, all of it.
func TestTotalTimeoutComesByteByByte(t *testing.T) {
	o := start(t, Find("total_timeout"))
	c := connect(t, o)
	say(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	var reads []int
	buf := make([]byte, 1024)
	for len(reads) < 5 {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		reads = append(reads, n)
	}
	for _, n := range reads {
		if n > 3 {
			t.Errorf("%d bytes at once in %v", n, reads)
		}
	}
}

func TestUpgrades(t *testing.T) {
	for name, field := range map[string]string{
		"ws_subprotocol_unoffered": "Sec-WebSocket-Protocol",
		"ws_extension_unoffered":   "Sec-WebSocket-Extensions",
		"ws_idle_timeout":          "Upgrade",
	} {
		o := start(t, Find(name))
		c := connect(t, o)
		say(t, c, strings.ReplaceAll(webSocket, "%HOST%", o.Target))
		a, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || a.StatusCode != 101 || a.Header.Get(field) == "" || a.Header.Get("Sec-WebSocket-Accept") != acceptKey {
			t.Errorf("%s: %v, %v", name, a, err)
		}
	}
}

func TestWriteTimeoutReadsNoBody(t *testing.T) {
	o := start(t, Find("write_timeout"))
	c := connect(t, o)
	say(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16777216\r\n\r\n")
	if err := o.AwaitHit(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	n, err := io.CopyN(c, xs{}, huge)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes were taken, %v", n, err)
	}
}

func TestWriteReset(t *testing.T) {
	o := start(t, Find("write_reset"))
	c := connect(t, o)
	say(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16777216\r\n\r\n")
	if n, err := io.CopyN(c, xs{}, huge); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("%d bytes were taken, %v", n, err)
	}
}

func TestClientEnds(t *testing.T) {
	for name, request := range map[string]string{"client_gone": "GET / ", "client_gone/reset": "GET / ", "reply_timeout": "GET / "} {
		r := Find(name)
		if !strings.HasPrefix(r.Requested("a"), request) {
			t.Errorf("%s asks %q", name, r.Requested("a"))
		}
		if r.Client == Stall {
			continue // somebody must give up: a gateway
		}
		o := start(t, r)
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		if re, err := r.play(ctx, o.Target, o); err != nil || re.Status != 0 {
			t.Errorf("%s: %+v, %v", name, re, err)
		}
		// The origin sees that the client has gone, and ends.
		if err := o.AwaitEnd(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
