package h1

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/gatewhy/gatewhy/internal/message"
)

const browserGET = "GET /assets/app/main.css?v=20260714 HTTP/1.1\r\n" +
	"Host: www.example.org\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
	"Accept: text/css,*/*;q=0.1\r\n" +
	"Accept-Language: en-GB,en;q=0.8,de;q=0.5,fr;q=0.3\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Connection: keep-alive\r\n" +
	"Referer: https://www.example.org/articles/2026/gateways-that-explain-themselves\r\n\r\n"

const pageAnswer = "HTTP/1.1 200 OK\r\n" +
	"Server: app\r\n" +
	"Date: Tue, 14 Jul 2026 08:00:00 GMT\r\n" +
	"Content-Type: text/html; charset=utf-8\r\n" +
	"Content-Length: 128\r\n" +
	"Connection: keep-alive\r\n" +
	"Cache-Control: private, no-cache\r\n" +
	"Set-Cookie: session=0123456789abcdef; Path=/; HttpOnly; SameSite=Lax\r\n\r\n"

// forward does what a gateway does with a head.
func forward(tb testing.TB, k Kind, raw []byte, p *Parser, h *message.Head, dst []byte) []byte {
	p.Init(k, nil, AllowResponse)
	n, err := p.Parse(raw, h)
	if n != len(raw) {
		tb.Fatal(n, err)
	}
	if k == Request {
		_, err = FrameRequest(p, h)
		dst = AppendRequestLine(dst, h.Bytes(h.Method), h.Bytes(h.Path), 1)
	} else {
		_, err = FrameResponse(p, h, false)
		dst = AppendStatusLine(dst, h.Status, h.Bytes(h.Reason))
	}
	if !err.Ok() {
		tb.Fatal(err)
	}
	return append(AppendFields(dst, h), "\r\n"...)
}

func BenchmarkRequestHead(b *testing.B)  { benchmarkHead(b, Request, browserGET) }
func BenchmarkResponseHead(b *testing.B) { benchmarkHead(b, Response, pageAnswer) }

func benchmarkHead(b *testing.B, k Kind, head string) {
	var p Parser
	var h message.Head
	raw, dst := []byte(head), make([]byte, 0, 4096)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		dst = forward(b, k, raw, &p, &h, dst[:0])
	}
}

func BenchmarkChunks(b *testing.B) {
	for _, size := range []int{1, 64, 16384} {
		chunk := AppendChunk(nil, size)
		chunk = append(append(chunk, strings.Repeat("x", size)...), "\r\n"...)
		raw := bytes.Repeat(chunk, max(1, 16384/len(chunk)))
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			var d Decoder
			d.Init(message.Framing{Body: message.Streamed}, nil, 0)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				for in := raw; len(in) > 0; {
					_, n, err := d.Next(in)
					if !err.Ok() {
						b.Fatal(err)
					}
					in = in[n:]
				}
			}
		})
	}
}

// The package promises to allocate nothing once Fields has grown.
func TestNoAllocations(t *testing.T) {
	var p Parser
	var d Decoder
	var h message.Head
	dst := make([]byte, 0, 4096)
	get, page := []byte(browserGET), []byte(pageAnswer)
	bad := []byte("HTTP/1.1 200 OK\r\nX-A: one\r\n two\r\nX-B : \x01\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n")
	refused := []byte("GET / HTTP/1.1\nHost: a\r\n\r\n")
	chunked := []byte("5;a=\"b\"\r\nhello\r\n0\r\nA: b\r\n\r\n")
	for name, f := range map[string]func(){
		"request":  func() { dst = forward(t, Request, get, &p, &h, dst[:0]) },
		"response": func() { dst = forward(t, Response, page, &p, &h, dst[:0]) },
		"repaired": func() { dst = forward(t, Response, bad, &p, &h, dst[:0]) },
		"refused": func() {
			p.Init(Request, nil, 0)
			if _, err := p.Parse(refused, &h); err.Flaw != BareLF {
				t.Error(err)
			}
		},
		"byte by byte": func() {
			p.Init(Request, nil, 0)
			for i := range get {
				if n, _ := p.Parse(get[:i], &h); n != 0 {
					t.Error("head ends early")
				}
			}
		},
		"chunks": func() {
			d.Init(message.Framing{Body: message.Streamed}, nil, AllowResponse)
			for in := chunked; !d.Done(); {
				_, n, err := d.Next(in)
				if in = in[n:]; !err.Ok() {
					t.Fatal(err)
				}
			}
		},
	} {
		f() // lets Fields grow
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
