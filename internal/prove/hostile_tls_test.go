package prove

//lint:file-ignore SA1019 net/http makes its connections itself, and here the test has them

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/lab"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/settings"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// securely starts a gateway with a plain and a TLS listener before a good origin.
func securely(t *testing.T, engine loop.Engine, set map[string]string) (g *gateway.Gateway, plain, secure string) {
	t.Helper()
	origin, err := lab.Good(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(origin.Close)
	o := gateway.Defaults()
	o.Listen, o.ListenTLS = []loop.Address{{IP: listening}}, []loop.Address{{IP: listening}}
	o.Engine = engine
	if o.Upstream.Targets, err = upstream.ParseTarget(origin.Target); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"tls-self-signed": "true"}
	for k, v := range set {
		all[k] = v
	}
	if err := settings.Apply(&o, all); err != nil {
		t.Fatal(err)
	}
	if g, err = gateway.Start(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Drain(time.Second) })
	a := g.Addresses()
	return g, a[0].String(), a[1].String()
}

// Who connects and says nothing counts as a connection, on the TLS port too, and
// who is one too many is not waited for: else they could take all descriptors.
func TestSilentConnectionsAreBounded(t *testing.T) {
	for _, e := range []struct {
		name   string
		engine func() loop.Engine
	}{{"portable", portable}, {"epoll", epoll(t)}} {
		t.Run(e.name, func(t *testing.T) {
			const most, over, comers = 8, 2, 100 // exchange allows a quarter more to be answered
			_, plain, secure := securely(t, e.engine(), map[string]string{"max-connections": "8",
				"timeout-client-tls": "10m", "timeout-client-head": "10m"})
			ended := make(chan string, comers)
			for i := range comers {
				c, err := net.Dial("tcp", []string{plain, secure}[i%2])
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				c.SetDeadline(time.Now().Add(limit))
				go func() { // ends with the connection
					b, _ := io.ReadAll(c)
					ended <- string(b)
				}()
			}
			late := time.After(limit)
			for n := range comers - most - over {
				select {
				case said := <-ended:
					if said != "" && !strings.HasPrefix(said, "HTTP/1.1 503 ") {
						t.Errorf("a silent client was sent %q", said)
					}
				case <-late:
					t.Fatalf("%d of %d silent connections were ended: the others hold descriptors", n, comers)
				}
			}
		})
	}
}

// A client of HTTP/2 that is one too many is told in HTTP/2.
func TestOneTooManyHTTP2(t *testing.T) {
	noGoroutines(t)
	for _, e := range []struct {
		name   string
		engine func() loop.Engine
	}{{"portable", portable}, {"epoll", epoll(t)}} {
		t.Run(e.name, func(t *testing.T) {
			_, _, secure := securely(t, e.engine(), map[string]string{"max-connections": "1"})
			dial := func() *tls.Conn {
				t.Helper()
				conn, err := tls.Dial("tcp", secure, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close() })
				conn.SetDeadline(time.Now().Add(limit))
				return conn
			}
			cc, err := (&http2.Transport{}).NewClientConn(dial())
			if err != nil {
				t.Fatal(err)
			}
			defer cc.Close()
			r, _ := http.NewRequest("GET", "https://localhost/", nil) // it parses
			if resp, err := cc.RoundTrip(r); err != nil || resp.StatusCode != 200 {
				t.Fatalf("the first client: %v %v", resp, err)
			}
			// It may be told, and its connection closed, before it has said a word.
			frames := http2.NewFramer(io.Discard, dial())
			for {
				f, err := frames.ReadFrame()
				if err != nil {
					t.Fatalf("the second client was not told: %v", err)
				}
				if f, ok := f.(*http2.GoAwayFrame); ok {
					if f.ErrCode != http2.ErrCodeEnhanceYourCalm || f.LastStreamID != 0 {
						t.Errorf("it was told %v", f)
					}
					break
				}
			}
		})
	}
}
