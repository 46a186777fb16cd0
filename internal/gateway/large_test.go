package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// large is a body that goes straight from socket to socket where that can be.
func large() []byte {
	p := make([]byte, 2<<20+777)
	for i := range p {
		p[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return p
}

// A large body is the same to the last byte, and its connections go on: the
// client's as well as the upstream's.
func TestLargeBodies(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		body := large()
		origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := len(body)
			fmt.Sscanf(r.URL.Path, "/%d", &n)
			w.Header().Set("Content-Length", fmt.Sprint(n))
			w.Write(body[:n/2])
			w.(http.Flusher).Flush()
			w.Write(body[n/2 : n])
		}))
		defer origin.Close()
		ends := make(chan trail.Trail, 1)
		url, _ := front(t, epoll, watch(ends), origin.URL)
		sizes := []int{len(body), 100 << 10, 1, 64<<10 + 20<<10, len(body) - 1, 64 << 10}
		for i, n := range sizes {
			resp, err := http.Get(fmt.Sprintf("%s/%d", url, n))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Equal(got, body[:n]) {
				t.Errorf("%d bytes: %d came, %v, the same: %v", n, len(got), err, bytes.Equal(got, body[:n]))
			}
			tr, n := <-ends, int64(n)
			if tr.Fault != nil || tr.Out <= n || tr.Out > n+2000 || tr.Attempts[0].BytesReceived <= n {
				t.Errorf("%d bytes: fault %v, out %d, received %d", n, tr.Fault, tr.Out, tr.Attempts[0].BytesReceived)
			}
			if i > 0 && !tr.Attempts[0].Reused {
				t.Errorf("%d bytes: a new connection", n)
			}
		}
	})
}

// watch has ends told of the exchanges that have ended.
func watch(ends chan trail.Trail) func(*Options) {
	return func(o *Options) {
		o.Client.Observe = func(t *trail.Trail) { ends <- *t }
		o.Client.Times.Reply = 50 * time.Millisecond
	}
}

// What breaks in the middle of a large body is told as ever: whose fault it was,
// and visibly to the client.
func TestLargeBodiesBreak(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		body := large()
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		turns := make(chan int, 1) // how often the body is sent of the 100 times that were announced
		go func() {                // ends with ln
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				io.ReadAtLeast(c, make([]byte, 4096), 10)
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 100*len(body))
				for range <-turns {
					if _, err := c.Write(body); err != nil {
						break
					}
				}
				c.Close()
			}
		}()
		ends := make(chan trail.Trail, 1)
		url, _ := front(t, epoll, watch(ends), "http://"+ln.Addr().String())
		turns <- 1
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("a cut body passed for a whole one of %d bytes", len(got))
		}
		resp.Body.Close()
		if tr := <-ends; tr.Fault == nil || tr.Fault.ID != fault.BodyEOFShort || !tr.Cut || tr.Attempts[0].BytesReceived < int64(len(body)) {
			t.Errorf("fault %v, cut %v", tr.Fault, tr.Cut)
		}

		// A client that reads nothing is the client's fault.
		turns <- 100
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if tr := <-ends; tr.Fault == nil || tr.Fault.ID != fault.ReplyTimeout || tr.Out < 100 {
			t.Errorf("fault %v after %d bytes", tr.Fault, tr.Out)
		}
	})
}
