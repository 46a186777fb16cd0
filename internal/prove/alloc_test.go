//go:build !race

// The race detector allocates by itself.

package prove

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/accesslog"
	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/route"
	"github.com/gatewhy/gatewhy/internal/upstream"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
)

// TestPlainPathAllocatesNothing and its neighbours count the allocations of the
// whole process while requests go through a gateway that writes its JSON log. Client
// and origin are loops over net.Conn that allocate nothing themselves, with
// crypto/tls or without.
func TestPlainPathAllocatesNothing(t *testing.T) { allocatesNothing(t, false, "", false, echo1) }

func TestTLSPathAllocatesNothing(t *testing.T) { allocatesNothing(t, true, "", false, echo1) }

func TestHTTP2UpstreamAllocatesNothing(t *testing.T) {
	t.Run("portable", func(t *testing.T) { allocatesNothing(t, false, "h2c://", false, echo2) })
	if loop.HasEpoll {
		t.Run("epoll", func(t *testing.T) { allocatesNothing(t, false, "h2c://", true, echo2) })
	}
}

// Behind a proxy that says all it can, with all that goes on with a request.
func TestEdgeFactsAllocateNothing(t *testing.T) {
	allocatesNothing(t, false, "", false, echo1, func(o *gateway.Options) (fields string) {
		c := &o.Client
		c.TrustedProxies, c.Forwarded = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, exchange.ForwardedBoth
		c.RequestID, c.ReplyRequestID, c.Trace, c.TraceSample = "X-Request-Id", true, true, 0.5
		c.Log = accesslog.NewSink(io.Discard, accesslog.SinkOptions{FlushEvery: accesslog.DefaultFlushEvery, Format: accesslog.Templated,
			Template: accesslog.Combined, Sample: 0.9})
		o.Upstream.SendProxy = 1
		return "X-Forwarded-For: 198.51.100.7\r\nForwarded: for=\"[2001:db8::7]:80\";proto=https;host=\"b.test\"\r\nReferer: http://b.test/\r\n" +
			"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nTracestate: a=b, c=d\r\nAuthorization: Basic YTpi\r\n"
	})
}

// And where nobody says anything, so that ids and traces begin here.
func TestNewIDsAllocateNothing(t *testing.T) {
	allocatesNothing(t, false, "", false, echo1, func(o *gateway.Options) (fields string) {
		c := &o.Client
		c.RequestID, c.ReplyRequestID, c.Trace, c.TraceSample = "X-Request-Id", true, true, 0.5
		return ""
	})
}

// allocatesNothing measures with an origin whose only connection serve has. change may
// change the gateway's options, and returns more fields of each request.
func allocatesNothing(t *testing.T, secure bool, scheme string, epoll bool, serve func(net.Conn) error, change ...func(*gateway.Options) string) {
	const (
		warming = 2000 // fills buffers, free lists, the log and the pools
		counted = 5000
	)
	request := []byte("GET /a/path?with=query HTTP/1.1\r\nHost: a.test\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n" +
		"Accept-Language: en\r\nCookie: a=b\r\n")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { // ends with the gateway's connection, after ln is closed
		conn, err := ln.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		served <- serve(conn)
	}()

	o := gateway.Defaults()
	o.Loops, o.Epoll = 1, epoll
	if o.Listen = []loop.Address{{IP: listening}}; secure {
		o.Listen, o.ListenTLS = nil, o.Listen
		o.TLS.SelfSigned = true
	}
	if o.Upstream.Targets, err = upstream.ParseTarget(scheme + ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	o.Upstream.Name = "app"
	o.Sites = []gateway.Site{
		{Hosts: []string{"any.test"}, Routes: []gateway.Route{
			{Match: route.Match{Path: []string{"/b/*", "/{c}/d"}}, To: "app"},
			{Match: route.Match{Path: []string{"/a/*"}, Method: []string{"POST"}}, To: "app"},
			{Match: route.Match{Field: []route.Condition{{Name: "X-None"}}}, To: "app"},
			{Match: route.Match{Query: []route.Condition{{Name: "with", Op: route.Equal, Values: []string{"none"}}}}, To: "app"},
			{Match: route.Match{Client: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, To: "app"},
			{Match: route.Match{Path: []string{"/{a}/path"}, Not: []route.Match{{Path: []string{"/a/path/*"}, Field: []route.Condition{{Name: "X-None"}}}}}, To: "app"},
		}},
		{Hosts: []string{"b.test", "any.b.test"}},
	}
	o.Client.Log = accesslog.NewSink(io.Discard, accesslog.SinkOptions{FlushEvery: accesslog.DefaultFlushEvery})
	for _, f := range change {
		request = append(request, f(&o)...)
	}
	request = append(request, "\r\n"...)
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
	if secure {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}

	var buf [4096]byte
	exchange := func(n int) {
		for range n {
			if _, err := conn.Write(request); err != nil {
				t.Fatal(err)
			}
			for got := 0; ; {
				k, err := conn.Read(buf[got:])
				if err != nil {
					t.Fatal(err)
				}
				if got += k; bytes.HasSuffix(buf[:got], []byte("\r\n\r\nhello")) {
					break
				}
			}
		}
	}
	exchange(warming)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	exchange(counted)
	runtime.ReadMemStats(&after)
	allocations := after.Mallocs - before.Mallocs
	if secure {
		// crypto/tls makes an object of 24 bytes for each record that it reads
		// (atLeastReader in Conn.readFromUntil): one in the gateway and one in the client.
		allocations -= min(allocations, 2*counted)
	}
	t.Logf("%d allocations in %d requests", allocations, counted)
	// Flushing the log and the runtime itself allocate now and then. One allocation
	// in ten requests is far more than that, and less than any path could have.
	if allocations > counted/10 {
		t.Errorf("%d allocations in %d requests: %.2f per request", allocations, counted, float64(allocations)/counted)
	}

	conn.Close()
	g.Drain(time.Second)
	ln.Close()
	if err := <-served; err != io.EOF {
		t.Errorf("the origin ended with %v", err)
	}
}

// echo1 is echo with a small answer.
func echo1(conn net.Conn) error {
	return echo(conn, []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"))
}

// echo2 is echo for HTTP/2: it answers each HEADERS frame.
func echo2(conn net.Conn) error {
	answer := h2.AppendHeader(nil, h2.Header{Length: 4 + 13, Type: h2.Headers, Flags: h2.EndHeaders})
	answer = append(answer, "\x88\x0f\x0d\x015\x0f\x10\x0atext/plain"...) // :status 200, content-length 5, content-type
	h2.PutHeader(answer, h2.Header{Length: uint32(len(answer) - h2.HeaderLen), Type: h2.Headers, Flags: h2.EndHeaders})
	data := len(answer)
	answer = h2.AppendData(answer, 0, []byte("hello"), true)
	buf := make([]byte, 64<<10)
	out := make([]byte, 0, 64<<10)
	greeted := false
	for got := 0; ; {
		n, err := conn.Read(buf[got:])
		if err != nil {
			return err
		}
		got += n
		at := 0
		if !greeted && got >= len(h2.Preface) {
			greeted, at = true, len(h2.Preface)
			out = h2.AppendSettings(out)
		}
		for greeted && got-at >= h2.HeaderLen {
			h := h2.ParseHeader(buf[at:])
			if got-at < h2.HeaderLen+int(h.Length) {
				break
			}
			at += h2.HeaderLen + int(h.Length)
			switch {
			case h.Type == h2.Settings && !h.Has(h2.Ack):
				out = h2.AppendSettingsAck(out)
			case h.Type == h2.Headers:
				binary.BigEndian.PutUint32(answer[5:], h.Stream)
				binary.BigEndian.PutUint32(answer[data+5:], h.Stream)
				out = append(out, answer...)
			}
		}
		copy(buf, buf[at:got])
		got -= at
		if _, err := conn.Write(out); err != nil {
			return err
		}
		out = out[:0]
	}
}

// echo answers each request head that comes with the same bytes.
func echo(conn net.Conn, answer []byte) error {
	var buf [4096]byte
	for got := 0; ; {
		n, err := conn.Read(buf[got:])
		if err != nil {
			return err
		}
		if got += n; bytes.HasSuffix(buf[:got], []byte("\r\n\r\n")) {
			if _, err := conn.Write(answer); err != nil {
				return err
			}
			got = 0
		}
	}
}
