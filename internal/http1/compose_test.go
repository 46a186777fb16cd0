package http1

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/google/go-cmp/cmp"
)

// raw turns the lines of a test into a message: each ends in CRLF.
func raw(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n" }

func requestOf(t *testing.T, raw string) *message.Request {
	t.Helper()
	var q message.Request
	if f, quiet := clientOf(play(raw)).ReadHead(&q); f != nil || quiet {
		t.Fatalf("%q: %v, quiet %v", raw, f, quiet)
	}
	return &q
}

const added = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n"

func TestAppendRequest(t *testing.T) {
	tail := func(host string) string { return "X-Forwarded-Host: " + host + "\r\n" + added + "Via: 1.1 gw\r\n\r\n" }
	for _, tt := range []struct {
		name, raw string
		onward    message.Onward
		want      string
	}{
		{"as it is", raw("GET /a?b HTTP/1.1", "Host: a", "X-A: 1", "x-b:2  ", "X-A: 3", ""), message.Onward{Length: -1},
			raw("GET /a?b HTTP/1.1", "Host: a", "X-A: 1", "x-b:2  ", "X-A: 3") + tail("a")},
		{"hop-by-hop fields", raw("GET / HTTP/1.1", "Connection: keep-alive, X-Secret", "Host: a", "Keep-Alive: 5", "Proxy-Connection: close",
			"Proxy-Authorization: Basic eA==", "X-Secret: 1", "TE: gzip", "Proxy: http://evil", "HTTP2-Settings: x", "Trailer: X", "A: b", ""), message.Onward{Length: -1},
			raw("GET / HTTP/1.1", "Host: a", "A: b") + tail("a")},
		{"what only we may say of the client", raw("GET / HTTP/1.1", "Host: a", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-Proto: https",
			"X-Forwarded-Host: evil", "X-Real-IP: 10.0.0.1", "Forwarded: for=10.0.0.1", ""), message.Onward{Length: -1},
			raw("GET / HTTP/1.1", "Host: a") + tail("a")},
		{"Via is added to", raw("GET / HTTP/1.1", "Host: a", "Via: 1.0 before", ""), message.Onward{Length: -1},
			raw("GET / HTTP/1.1", "Host: a", "Via: 1.0 before") + tail("a")},
		{"the target has the last word on the host", raw("GET http://b:81/x HTTP/1.1", "Host: a", ""), message.Onward{Length: -1},
			raw("GET /x HTTP/1.1", "Host: b:81") + tail("b:81")},
		{"a target without a path", raw("GET http://b HTTP/1.1", "Host: b", ""), message.Onward{Length: -1},
			raw("GET / HTTP/1.1", "Host: b") + tail("b")},
		{"a target with a query only", raw("GET http://b?q=1 HTTP/1.1", "Host: b", ""), message.Onward{Length: -1},
			raw("GET /?q=1 HTTP/1.1", "Host: b") + tail("b")},
		{"OPTIONS of the whole server", raw("OPTIONS http://b HTTP/1.1", "Host: b", ""), message.Onward{Length: -1},
			raw("OPTIONS * HTTP/1.1", "Host: b") + tail("b")},
		{"OPTIONS *", raw("OPTIONS * HTTP/1.1", "Host: b", ""), message.Onward{Length: -1},
			raw("OPTIONS * HTTP/1.1", "Host: b") + tail("b")},
		{"sized", raw("POST / HTTP/1.1", "content-length: 007", "Host: a", ""), message.Onward{Length: -1},
			raw("POST / HTTP/1.1", "Host: a", "Content-Length: 7") + tail("a")},
		{"an empty body is still declared", raw("POST / HTTP/1.1", "Host: a", "Content-Length: 0", ""), message.Onward{Length: -1},
			raw("POST / HTTP/1.1", "Host: a", "Content-Length: 0") + tail("a")},
		{"chunked", raw("POST / HTTP/1.1", "transfer-encoding: CHUNKED", "Host: a", "Trailer: X-Sum", ""), message.Onward{Length: -1},
			raw("POST / HTTP/1.1", "Host: a", "Trailer: X-Sum", "Transfer-Encoding: chunked") + tail("a")},
		{"chunked, of known length", raw("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Host: a", ""), message.Onward{Length: 7},
			raw("POST / HTTP/1.1", "Host: a", "Content-Length: 7") + tail("a")},
		{"in HTTP/1.0", raw("GET / HTTP/1.1", "Host: a", "Connection: keep-alive", ""), message.Onward{Length: -1, Speak10: true},
			raw("GET / HTTP/1.0", "Host: a") + tail("a")},
		{"of an HTTP/1.0 client", raw("GET / HTTP/1.0", "Upgrade: websocket", "Connection: upgrade", ""), message.Onward{Length: -1},
			raw("GET / HTTP/1.1", "Host: 192.0.2.9:80") + strings.Replace(tail("192.0.2.9:80"), "Via: 1.1", "Via: 1.0", 1)},
		{"trailers are welcome", raw("GET / HTTP/1.1", "Host: a", "TE: deflate, trailers", "Connection: TE", ""), message.Onward{Length: -1},
			raw("GET / HTTP/1.1", "Host: a", "Connection: TE", "TE: trailers") + tail("a")},
		{"an upgrade", raw("GET / HTTP/1.1", "Host: a", "Upgrade: websocket", "Connection: keep-alive, Upgrade", "Sec-WebSocket-Key: k", ""), message.Onward{Length: -1},
			raw("GET / HTTP/1.1", "Host: a", "Sec-WebSocket-Key: k", "Connection: upgrade", "Upgrade: websocket") + tail("a")},
		{"Upgrade without its option", raw("GET / HTTP/1.1", "Host: a", "Upgrade: websocket", ""), message.Onward{Length: -1},
			raw("GET / HTTP/1.1", "Host: a") + tail("a")},
		{"an expectation", raw("PUT / HTTP/1.1", "Host: a", "Expect: 100-Continue", "Content-Length: 5", ""), message.Onward{Length: -1, Expect: true},
			raw("PUT / HTTP/1.1", "Host: a", "Content-Length: 5", "Expect: 100-continue") + tail("a")},
		{"an expectation that is known to be of no use", raw("PUT / HTTP/1.1", "Host: a", "Expect: 100-continue", "Content-Length: 5", ""), message.Onward{Length: -1},
			raw("PUT / HTTP/1.1", "Host: a", "Content-Length: 5") + tail("a")},
	} {
		tt.onward.Added, tt.onward.Via, tt.onward.Host = []byte(added), []byte("gw"), []byte("192.0.2.9:80")
		got := string(AppendRequest([]byte("before "), requestOf(t, tt.raw), &tt.onward))
		if d := cmp.Diff("before "+tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
		q, err := http.ReadRequest(bufio.NewReader(strings.NewReader(tt.want)))
		if err != nil || len(q.TransferEncoding) > 0 && q.ContentLength >= 0 {
			t.Errorf("%s: net/http reads something else: %v", tt.name, err)
		}
	}
}

// judged reads the head of an answer and judges it.
func judged(t *testing.T, raw string, toHead bool) *Answer {
	t.Helper()
	a := answerOf(play(raw))
	if err := a.Fill(loop.Never); err != nil {
		t.Fatal(err)
	}
	if ok, f := a.ParseHead(); !ok || f != nil {
		t.Fatalf("%q: %v, %v", raw, ok, f)
	}
	if f := a.Frame(toHead); f != nil {
		t.Fatalf("%q: %v", raw, f)
	}
	return a
}

func TestAppendAnswer(t *testing.T) {
	const via = "Via: 1.1 gw"
	for _, tt := range []struct {
		name, raw string
		toHead    bool
		back      message.Back
		want      string
	}{
		{"sized", raw("HTTP/1.1 200 Fine", "content-length: 5", "X-A: 1", ""), false, message.Back{Minor: 1},
			raw("HTTP/1.1 200 Fine", "X-A: 1", "Content-Length: 5", via, "")},
		{"hop-by-hop fields", raw("HTTP/1.1 200 OK", "Connection: close, X-Own", "X-Own: 1", "Keep-Alive: timeout=5", "Proxy-Connection: close",
			"Upgrade: h2c", "Content-Length: 0", "A: b", ""), false, message.Back{Minor: 1},
			raw("HTTP/1.1 200 OK", "A: b", "Content-Length: 0", via, "")},
		{"chunked", raw("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Trailer: X", ""), false, message.Back{Minor: 1},
			raw("HTTP/1.1 200 OK", "Trailer: X", "Transfer-Encoding: chunked", via, "")},
		{"to the end, as chunks", raw("HTTP/1.1 200 OK", ""), false, message.Back{Minor: 1, Body: message.Streamed},
			raw("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", via, "")},
		{"to the end, for HTTP/1.0", raw("HTTP/1.1 200 OK", ""), false, message.Back{Body: message.ToClose, Close: true},
			raw("HTTP/1.1 200 OK", "Connection: close", via, "")},
		{"sized, for HTTP/1.0 that keeps", raw("HTTP/1.1 200 OK", "Content-Length: 5", ""), false, message.Back{},
			raw("HTTP/1.1 200 OK", "Content-Length: 5", "Connection: keep-alive", via, "")},
		{"the last of its connection", raw("HTTP/1.1 200 OK", "Content-Length: 5", ""), false, message.Back{Minor: 1, Close: true},
			raw("HTTP/1.1 200 OK", "Content-Length: 5", "Connection: close", via, "")},
		{"of an HTTP/1.0 server", raw("HTTP/1.0 200 OK", "Content-Length: 5", ""), false, message.Back{Minor: 1},
			raw("HTTP/1.1 200 OK", "Content-Length: 5", "Via: 1.0 gw", "")},
		{"to HEAD", raw("HTTP/1.1 200 OK", "Content-Length: 5", ""), true, message.Back{Minor: 1},
			raw("HTTP/1.1 200 OK", "Content-Length: 5", via, "")},
		{"to HEAD, of unknown length", raw("HTTP/1.1 200 OK", ""), true, message.Back{Minor: 1},
			raw("HTTP/1.1 200 OK", via, "")},
		{"204", raw("HTTP/1.1 204 No Content", ""), false, message.Back{Minor: 1},
			raw("HTTP/1.1 204 No Content", via, "")},
		{"204 with a length", raw("HTTP/1.1 204 No Content", "Content-Length: 0", ""), false, message.Back{Minor: 1},
			raw("HTTP/1.1 204 No Content", via, "")},
		{"304", raw("HTTP/1.1 304 Not Modified", "ETag: \"x\"", ""), false, message.Back{Minor: 1},
			raw("HTTP/1.1 304 Not Modified", "ETag: \"x\"", via, "")},
		{"304 with the length of what it stands for", raw("HTTP/1.1 304 Not Modified", "Content-Length: 5", ""), false, message.Back{Minor: 1},
			raw("HTTP/1.1 304 Not Modified", "Content-Length: 5", via, "")},
		{"101", raw("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Accept: x", ""), false,
			message.Back{Minor: 1, Length: -1, Upgrade: true, Body: message.NoBody},
			raw("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Sec-WebSocket-Accept: x", "Connection: upgrade", via, "")},
		{"a failure of its own", raw("HTTP/1.1 503 Busy", "Content-Length: 0", "Proxy-Status: inner; error=dns_error", ""), false,
			message.Back{Minor: 1, Status: []byte("gw; received-status=503")},
			raw("HTTP/1.1 503 Busy", "Proxy-Status: inner; error=dns_error", "Content-Length: 0", "Proxy-Status: gw; received-status=503", via, "")},
		{"repaired lines", "HTTP/1.1 200 OK\nA : 1\nB: 2\r\n 3\nC: \x01\nContent-Length: 5\n\n", false, message.Back{Minor: 1},
			raw("HTTP/1.1 200 OK", "A: 1", "B: 2 3", "C:  ", "Content-Length: 5", via, "")},
	} {
		a := judged(t, tt.raw, tt.toHead)
		b := tt.back
		b.Via = []byte("gw")
		if b.Body == message.NoBody && !b.Upgrade {
			b.Body, b.Length = a.Framing.Body, a.Framing.Length
		}
		got := string(AppendAnswer([]byte("before "), &a.Head, &b))
		if d := cmp.Diff("before "+tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

func TestAppendInterim(t *testing.T) {
	a := judged(t, raw("HTTP/1.1 103 Early Hints", "Link: </a>; rel=preload", "Connection: x-y", "X-Y: 1", ""), false)
	want := raw("HTTP/1.1 103 Early Hints", "Link: </a>; rel=preload", "Via: 1.1 gw", "")
	if d := cmp.Diff(want, string(AppendInterim(nil, &a.Head, []byte("gw")))); d != "" {
		t.Error(d)
	}
}

func TestAppendOwn(t *testing.T) {
	got := string(AppendOwn(nil, 504, []byte("Date: x\r\n"), &message.Back{Minor: 1, Body: message.Sized, Length: 3, Close: true, Via: []byte("gw"), Status: []byte("gw; error=x")}))
	want := raw("HTTP/1.1 504 Gateway Timeout", "Date: x", "Content-Length: 3", "Connection: close", "Proxy-Status: gw; error=x", "Via: 1.1 gw", "")
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// What a request's head was forwarded as is read back as the same request by
// our own strict reading, with its framing stated once.
func FuzzOnward(f *testing.F) {
	for _, s := range []string{
		raw("GET /a?b HTTP/1.1", "Host: a", "Cookie: x=y", ""),
		raw("POST http://b HTTP/1.1", "Host: a", "Content-Length: 5", "Connection: close, x", "X: 1", ""),
		raw("POST http://b?x HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Trailer: a", "Expect: 100-continue", ""),
		raw("OPTIONS https://b HTTP/1.1", "Host: a", "TE: trailers", "Upgrade: x", "Connection: upgrade", ""),
		raw("GET / HTTP/1.0", ""),
	} {
		f.Add([]byte(s), true, int64(-1))
		f.Add([]byte(s), false, int64(12))
	}
	f.Fuzz(func(t *testing.T, in []byte, expect bool, length int64) {
		var q, back message.Request
		if fl, quiet := clientOf(play(string(in))).ReadHead(&q); fl != nil || quiet {
			return
		}
		if q.Head.Authority.Len == 0 {
			return // of HTTP/1.0: an empty Host is due (RFC 9112 §3.2), and refused by us where others need none
		}
		out := AppendRequest(nil, &q, &message.Onward{Added: []byte(added), Via: []byte("gw"), Host: []byte("a"), Length: max(length, -1), Expect: expect && q.Framing.Expect})
		c := clientOf(play(string(out)))
		if fl, quiet := c.ReadHead(&back); fl != nil || quiet {
			t.Fatalf("%q became %q: %v", in, out, fl)
		}
		want := q.Framing
		if want.Body != message.NoBody && length >= 0 {
			want.Body, want.Length = message.Sized, length
		}
		if back.Framing.Body != want.Body || back.Framing.Length != want.Length {
			t.Errorf("%q became %q: framing %+v", in, out, back.Framing)
		}
		if a, b := q.Head.Bytes(q.Head.Authority), back.Head.Bytes(back.Head.Authority); !bytes.Equal(a, b) {
			t.Errorf("%q became %q: authority %q, then %q", in, out, a, b)
		}
		if c.In.Len() > 0 {
			t.Errorf("%q became %q: %q is left", in, out, c.In.Bytes())
		}
	})
}
