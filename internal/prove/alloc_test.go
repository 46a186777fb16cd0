//go:build !race

// The race detector allocates by itself.

package prove

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/accesslog"
	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// TestPlainPathAllocatesNothing and TestTLSPathAllocatesNothing count the
// allocations of the whole process while requests go through a gateway that writes
// its JSON log. Client and origin are loops over net.Conn that allocate nothing
// themselves, with crypto/tls or without.
func TestPlainPathAllocatesNothing(t *testing.T) { allocatesNothing(t, false) }

func TestTLSPathAllocatesNothing(t *testing.T) { allocatesNothing(t, true) }

func allocatesNothing(t *testing.T, secure bool) {
	const (
		answer  = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
		warming = 2000 // fills buffers, free lists, the log and the pools
		counted = 5000
	)
	request := []byte("GET /a/path?with=query HTTP/1.1\r\nHost: a.test\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n" +
		"Accept-Language: en\r\nCookie: a=b\r\n\r\n")
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
		served <- echo(conn, []byte(answer))
	}()

	o := gateway.Defaults()
	o.Loops = 1
	if o.Listen = []loop.Address{{IP: listening}}; secure {
		o.Listen, o.ListenTLS = nil, o.Listen
		o.TLS.SelfSigned = true
	}
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
	// in twenty requests is far more than that, and less than any path could have.
	if allocations > counted/20 {
		t.Errorf("%d allocations in %d requests: %.2f per request", allocations, counted, float64(allocations)/counted)
	}

	conn.Close()
	g.Drain(time.Second)
	ln.Close()
	if err := <-served; err != io.EOF {
		t.Errorf("the origin ended with %v", err)
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
