//go:build !race

package prove

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/gatewhy/gatewhy/internal/accesslog"
	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/upstream"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
)

// TestHTTP2PathAllocatesNothing is TestPlainPathAllocatesNothing for a client that
// speaks HTTP/2 and has four requests under way at a time. Each request is a task,
// which costs a goroutine on the portable engine and nothing on the other.
func TestHTTP2PathAllocatesNothing(t *testing.T) {
	const (
		answer  = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
		warming = 2000
		counted = 5000
		wide    = 4
	)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 64)
	conns := 0
	accepting := make(chan int)
	go func() { // ends when ln is closed
		for {
			conn, err := ln.Accept()
			if err != nil {
				accepting <- conns
				return
			}
			conns++
			go func() { // ends with the gateway's connection
				defer conn.Close()
				served <- echo(conn, []byte(answer))
			}()
		}
	}()

	o := gateway.Defaults()
	o.Engine = epoll(t)()
	o.Listen = []loop.Address{{IP: listening}}
	if o.Upstream.Targets, err = upstream.ParseTarget(ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	o.Client.Log = accesslog.NewSink(io.Discard, accesslog.SinkOptions{FlushEvery: accesslog.DefaultFlushEvery})
	g, err := gateway.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", g.Addresses()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}

	// The first block fills the gateway's table, the others refer to it, but for the
	// path, which common clients never let into a table.
	fields := []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "a.test"},
		{Name: ":path", Value: "/a/path?with=query", Sensitive: true}, {Name: "user-agent", Value: "h2load nghttp2/1.52.0"},
		{Name: "accept", Value: "*/*"}, {Name: "cookie", Value: "a=b"}}
	var w growing
	e := hpack.NewEncoder(&w)
	encode := func() []byte {
		w = w[:0]
		for _, f := range fields {
			if err := e.WriteField(f); err != nil {
				t.Fatal(err)
			}
		}
		return append([]byte(nil), w...)
	}
	first, next := encode(), encode()
	id := uint32(1)
	var out []byte
	ask := func(block []byte) {
		out = h2.AppendHeader(out, h2.Header{Length: uint32(len(block)), Type: h2.Headers, Flags: h2.EndHeaders | h2.EndStream, Stream: id})
		out = append(out, block...)
		id += 2
	}
	var buf [16 << 10]byte
	got := 0
	round := func(block []byte, n int) {
		for range n {
			ask(block)
		}
		if _, err := conn.Write(out); err != nil {
			t.Fatal(err)
		}
		out = out[:0]
		for whole := 0; whole < n; {
			k, err := conn.Read(buf[got:])
			if err != nil {
				t.Fatal(err)
			}
			got += k
			at := 0
			for got-at >= h2.HeaderLen {
				h := h2.ParseHeader(buf[at:])
				size := h2.HeaderLen + int(h.Length)
				if got-at < size {
					break
				}
				switch {
				case h.Type == h2.Data && h.Has(h2.EndStream):
					whole++
				case h.Type == h2.RSTStream || h.Type == h2.GoAway:
					t.Fatalf("%+v %x", h, buf[at:at+size])
				}
				at += size
			}
			got = copy(buf[:], buf[at:got])
		}
	}
	exchange := func(n int) {
		for range n / wide {
			round(next, wide)
		}
	}
	out = append(out, h2.Preface...)
	out = h2.AppendSettings(out)
	out = h2.AppendSettingsAck(out)
	out = h2.AppendWindowUpdate(out, 0, 1<<20)
	round(first, 1)
	exchange(warming)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	exchange(counted)
	runtime.ReadMemStats(&after)
	allocations := after.Mallocs - before.Mallocs
	t.Logf("%d allocations in %d requests", allocations, counted)
	if allocations > counted/10 {
		t.Errorf("%d allocations in %d requests: %.2f per request", allocations, counted, float64(allocations)/counted)
	}

	conn.Close()
	g.Drain(time.Second)
	ln.Close()
	for range <-accepting {
		if err := <-served; err != io.EOF {
			t.Errorf("the origin ended with %v", err)
		}
	}
}

// growing is a writer to memory.
type growing []byte

func (g *growing) Write(p []byte) (int, error) { *g = append(*g, p...); return len(p), nil }
