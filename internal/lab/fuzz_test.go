package lab

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
)

// heard is what a script makes of bytes that arrive in pieces.
type heard struct {
	heads, bodies int
	last          RequestHead
	n             int64
	sum           [32]byte
}

func hear(pieces ...string) (h heard) {
	here, there := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o := newOrigin(ctx, good)
	go func() { // ends when all is written or hear closes its end
		for _, p := range pieces {
			io.WriteString(there, p)
		}
		there.Close()
	}()
	c := &Conn{ctx: ctx, origin: o, raw: here, conn: here, in: bufio.NewReader(here)}
	for c.ReadHead() {
		h.heads++
		h.last = c.Head
		var ok bool
		if h.n, h.sum, ok = c.ReadBody(); !ok {
			break
		}
		h.bodies++
	}
	here.Close()
	o.Close()
	return h
}

// However the bytes of requests arrive, a script sees the same requests.
func FuzzRequests(f *testing.F) {
	for _, s := range []string{plainGET, postHello, chunkedPOST, expecting, webSocket, plainGET + postHello, "GET /\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\nshort", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"\x16\x03\x01\x00\x05hello"} {
		f.Add(s, 3, 20)
	}
	f.Fuzz(func(t *testing.T, raw string, i, j int) {
		i = min(max(i, 0), len(raw))
		j = min(max(j, i), len(raw))
		whole, split := hear(raw), hear(raw[:i], raw[i:j], raw[j:])
		if whole != split {
			t.Errorf("%q: whole %+v, cut at %d and %d %+v", raw, whole, i, j, split)
		}
		if whole.bodies > whole.heads || whole.heads > strings.Count(raw, "HTTP/1.") {
			t.Errorf("%q: %d heads, %d bodies", raw, whole.heads, whole.bodies)
		}
	})
}
