package h1

import (
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
	"Referer: https://www.example.org/articles/2026/gateways-that-explain\r\n\r\n"

func BenchmarkRequest(b *testing.B) {
	raw := []byte(browserGET)
	var p Parser
	var h message.Head
	dst := make([]byte, 0, 4096)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		p.Init(Request, nil, AllowRequest)
		if n, err := p.Parse(raw, &h); n == 0 {
			b.Fatal(err)
		}
		if _, err := FrameRequest(&p, &h); !err.Ok() {
			b.Fatal(err)
		}
		dst = AppendRequestLine(dst[:0], h.Bytes(h.Method), h.Bytes(h.Path))
		dst = AppendFields(dst, &h)
	}
}
