package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/route"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// named is an origin that answers with its name.
func named(t *testing.T, name string) (target string) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, name) }))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// service is an upstream of that name with the default settings.
func service1(t *testing.T, name string, targets ...string) Upstream {
	t.Helper()
	u := Upstream{Options: upstream.Options{Name: name}, Reverse: Defaults().Reverse}
	for _, s := range targets {
		list, err := upstream.ParseTarget(s)
		if err != nil {
			t.Fatal(err)
		}
		u.Targets = append(u.Targets, list...)
	}
	return u
}

func path(patterns ...string) route.Match { return route.Match{Path: patterns} }

// get asks for a URL as that host and returns status and body.
func get(t *testing.T, c *http.Client, host, url string) (int, string) {
	t.Helper()
	q, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Host = host
	a, err := c.Do(q)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Error(err)
	}
	return a.StatusCode, string(b)
}

// Requests go where sites and routes say, and the trail says which.
func TestRoutes(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		ended := make(chan trail.Trail, 1)
		url, _ := front(t, epoll, func(o *Options) {
			o.Client.Observe = func(x *trail.Trail) { ended <- *x } // site, route and fault are no memory of the exchange's
			o.Upstreams = []Upstream{service1(t, "api", named(t, "api")), service1(t, "web", named(t, "web"))}
			o.Sites = []Site{
				{Hosts: []string{"example.org"}, Routes: []Route{
					{path("/api/*"), "api"},
					{route.Match{Client: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Path: []string{"/local"}}, "api"},
					{route.Match{Client: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Path: []string{"/remote"}}, "api"},
					{path("/{name}"), "web"},
				}},
				{Name: "rest", Hosts: []string{"any.example.org"}, Routes: []Route{{route.Match{}, "web"}}},
			}
		})
		for _, tt := range []struct {
			host, path, body, site, route string
			status                        int
			seen                          string
		}{
			{"example.org", "/api/x", "api", "example.org", "example.org#1", 200, ""},
			{"EXAMPLE.org.:80", "/api", "api", "example.org", "example.org#1", 200, ""},
			{"example.org", "/local", "api", "example.org", "example.org#2", 200, ""},
			{"example.org", "/remote", "web", "example.org", "example.org#4", 200, ""},
			{"www.example.org", "/a/b", "web", "rest", "rest#1", 200, ""},
			{"example.org", "/a/b", "", "example.org", "", 404, `no route of example.org takes GET "/a/b"; nothing is like it`},
			{"example.net", "/", "", "", "", 404, `no site is for "example.net"; `},
			{"example.org", "/x/..%2fapi", "", "example.org", "", 400, `GET "/x/..%2fapi" leads to no route in one reading and to example.org#1 in another`},
		} {
			status, body := get(t, http.DefaultClient, tt.host, url+tt.path)
			if status != tt.status || tt.body != "" && body != tt.body {
				t.Errorf("%s%s: %d %q", tt.host, tt.path, status, body)
			}
			x := <-ended
			if x.Site != tt.site || x.Route != tt.route {
				t.Errorf("%s%s: site %q, route %q", tt.host, tt.path, x.Site, x.Route)
			}
			if f := x.Fault; tt.seen != "" && (f == nil || !strings.HasPrefix(f.Observed(), tt.seen)) {
				t.Errorf("%v, want %s", f, tt.seen)
			}
		}
	})
}

// What is wrong with options is told at once, and whole.
func TestWrongGraph(t *testing.T) {
	o := Defaults()
	o.Listen = []loop.Address{{IP: netip.MustParseAddrPort("127.0.0.1:0")}}
	o.Upstreams = []Upstream{service1(t, "a", "127.0.0.1:1"), service1(t, "a", "127.0.0.1:2"), service1(t, "empty")}
	o.Sites = []Site{{Hosts: []string{"x y"}, Routes: []Route{{path("/a*"), "b"}}}}
	_, err := Start(o)
	if err == nil {
		t.Fatal("it started")
	}
	for _, want := range []string{`two upstreams are called "a"`, `"empty" has no target`, "cannot stand in a host name", "whole segments", `leads to upstream "b"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: nothing of %s", err, want)
		}
	}
	o.Sites = nil
	if _, err := Start(o); err == nil || !strings.Contains(err.Error(), "add a site") {
		t.Error(err)
	}
}

// begin starts a gateway that Apply can change.
func begin(t *testing.T, o Options) (g *Gateway, url string) {
	t.Helper()
	g, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Drain(5 * time.Second) })
	return g, "http://" + g.Addresses()[0].String()
}

func options(epoll bool, upstreams ...Upstream) Options {
	o := Defaults()
	o.Listen = []loop.Address{{IP: netip.MustParseAddrPort("127.0.0.1:0")}}
	o.Loops, o.Epoll = 2, epoll
	o.Upstreams = upstreams
	return o
}

// A hundred new graphs under load: no request fails, whatever changes.
func TestApplyUnderLoad(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		a, b, two := named(t, "a"), named(t, "b"), origin2(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "two") }), new(atomic.Int64))
		o := options(epoll, service1(t, "app", a))
		g, url := begin(t, o)
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
		defer client.CloseIdleConnections()
		stop := make(chan struct{})
		served := make(chan bool)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for {
					var status int
					var body string
					if i%2 == 0 {
						status, body = get(t, client, "example.org", url+"/")
					} else { // not idempotent: it must not even need a retry
						r, err := client.Post(url+"/", "text/plain", strings.NewReader("body"))
						if err != nil {
							t.Error(err)
							return
						}
						got, _ := io.ReadAll(r.Body)
						r.Body.Close()
						status, body = r.StatusCode, string(got)
					}
					if status != 200 || body != "a" && body != "b" && body != "two" {
						t.Errorf("%d %q", status, body)
					}
					select {
					case served <- true:
					case <-stop:
						return
					}
				}
			})
		}
		for i := range 100 {
			<-served
			n := o
			app := service1(t, "app", a)
			switch i % 6 {
			case 1:
				app = service1(t, "app", b)
			case 2:
				app = service1(t, "app", a, b)
				app.Reverse.FirstByte = time.Duration(i+1) * time.Second
			case 3:
				app = service1(t, "app", two)
			case 4:
				n.Client.MaxConnections = 1000 + i
			}
			n.Upstreams = []Upstream{app, service1(t, fmt.Sprint("other", i), b)}
			n.Sites = []Site{{Hosts: []string{"any"}, Routes: []Route{{route.Match{Not: []route.Match{path("/x")}}, "app"}, {route.Match{}, fmt.Sprint("other", i)}}}}
			if i%6 == 5 {
				n.Sites[0].Hosts = []string{"example.org", "127.0.0.1"}
			}
			if err := g.Apply(n); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			<-served
		}
		close(stop)
		all.Wait()
	})
}

// An exchange keeps the upstream that it began with, and its connection lives on.
func TestApplyKeepsWhatBegan(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		entered, leave := make(chan bool), make(chan bool)
		slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "slow ")
			w.(http.Flusher).Flush()
			entered <- true
			<-leave
			io.WriteString(w, "end")
		}))
		defer slow.Close()
		o := options(epoll, service1(t, "app", slow.Listener.Addr().String()))
		g, url := begin(t, o)
		type result struct {
			status int
			body   string
		}
		done := make(chan result)
		go func() { // ends with its request
			status, body := get(t, http.DefaultClient, "", url)
			done <- result{status, body}
		}()
		<-entered
		o.Upstreams = []Upstream{service1(t, "new", named(t, "new"))}
		if err := g.Apply(o); err != nil {
			t.Fatal(err)
		}
		if status, body := get(t, http.DefaultClient, "", url); status != 200 || body != "new" {
			t.Errorf("%d %q behind the change", status, body)
		}
		close(leave)
		if r := <-done; r.status != 200 || r.body != "slow end" {
			t.Errorf("%+v, which began before it", r)
		}
	})
}

// Connections to endpoints that stay, and what is known of these, live on.
func TestApplyKeepsConnections(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		var conns atomic.Int64
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
		s.Config.ConnState = func(_ net.Conn, c http.ConnState) {
			if c == http.StateNew {
				conns.Add(1)
			}
		}
		s.Start()
		defer s.Close()
		target := s.Listener.Addr().String()
		o := options(epoll, service1(t, "app", target))
		o.Loops = 1
		g, url := begin(t, o)
		get(t, http.DefaultClient, "", url)
		first := g.Upstream()
		first.Endpoints()[0].NoExpect.Store(true)

		o.Sites = []Site{{Hosts: []string{"any"}, Routes: []Route{{route.Match{}, "app"}}}}
		if err := g.Apply(o); err != nil {
			t.Fatal(err)
		}
		if g.Upstream() != first {
			t.Error("an upstream with the same settings is another one")
		}
		o.Upstreams = []Upstream{service1(t, "app", target, named(t, "x"))}
		o.Upstreams[0].Reverse.Attempts = 2
		if err := g.Apply(o); err != nil {
			t.Fatal(err)
		}
		if g.Upstream() == first || !g.Upstream().Endpoints()[0].NoExpect.Load() {
			t.Error("what was learned of the endpoint is lost")
		}
		o.Upstreams = []Upstream{service1(t, "app", target)}
		if err := g.Apply(o); err != nil {
			t.Fatal(err)
		}
		get(t, http.DefaultClient, "", url)
		if n := conns.Load(); n != 1 {
			t.Errorf("%d connections, want the one that was idle all the time", n)
		}
	})
}

// Listeners: unchanged ones stay, new ones open, others close; a taken port, or any
// other mistake, changes nothing.
func TestApplyListeners(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		o := options(epoll, service1(t, "app", named(t, "a")))
		g, url := begin(t, o)
		first := g.Addresses()[0]

		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		broken := o
		broken.Upstreams = []Upstream{service1(t, "app", named(t, "b"))}
		free := loop.Address{IP: netip.MustParseAddrPort("127.0.0.1:0")}
		broken.Listen = []loop.Address{o.Listen[0], free, {IP: netip.MustParseAddrPort(taken.Addr().String())}}
		var cannot *ListenError
		if err := g.Apply(broken); !errors.As(err, &cannot) || !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a taken port: %v", err)
		}
		broken.Listen = nil
		if err := g.Apply(broken); err == nil {
			t.Error("no listener is no mistake")
		}
		broken.Listen, broken.Loops = o.Listen, 7
		if err := g.Apply(broken); err == nil || !strings.Contains(err.Error(), "restart") {
			t.Errorf("other loops: %v", err)
		}
		if a := g.Addresses(); len(a) != 1 || a[0] != first {
			t.Errorf("%v after mistakes, want %v", a, first)
		}
		if status, body := get(t, http.DefaultClient, "", url); status != 200 || body != "a" {
			t.Errorf("%d %q after mistakes", status, body)
		}

		o.Listen = append(o.Listen, free)
		if err := g.Apply(o); err != nil {
			t.Fatal(err)
		}
		both := g.Addresses()
		if len(both) != 2 || both[0] != first {
			t.Fatalf("%v, want %v and another", both, first)
		}
		for _, a := range both {
			if status, _ := get(t, http.DefaultClient, "", "http://"+a.String()); status != 200 {
				t.Errorf("%v: %d", a, status)
			}
		}
		// The first one speaks TLS from now on, and the second is gone.
		o.Listen, o.ListenTLS = nil, []loop.Address{free}
		o.TLS.SelfSigned = true
		if err := g.Apply(o); err != nil {
			t.Fatal(err)
		}
		if a := g.Addresses(); len(a) != 1 || a[0] != first {
			t.Errorf("%v, want %v", a, first)
		}
		if c, err := net.Dial("tcp", both[1].String()); err == nil {
			c.Close()
			t.Error("a listener that is gone accepts")
		}
		if g.Certificates() == nil {
			t.Error("no certificate")
		}
		http.DefaultClient.CloseIdleConnections()
		if status, _ := get(t, http.DefaultClient, "", url); status != 400 {
			t.Errorf("plain HTTP to what speaks TLS now: %d", status)
		}
		mine := g.Certificates()
		if err := g.Apply(o); err != nil || g.Certificates() != mine {
			t.Errorf("%v; the same certificate is another one: %v", err, g.Certificates() != mine)
		}
		g.Drain(time.Second)
		if err := g.Apply(o); err != ErrStopping {
			t.Errorf("after the end: %v", err)
		}
	})
}

// Clients of TLS and HTTP/2 notice nothing of new graphs, nor of new certificates.
func TestApplyUnderHTTP2(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		a := named(t, "a")
		o := options(epoll, service1(t, "app", a))
		o.Listen, o.ListenTLS = nil, o.Listen
		o.TLS.SelfSigned = true
		g, _ := begin(t, o)
		url := "https://" + g.Addresses()[0].String()
		var conns atomic.Int64
		transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				conns.Add(1)
				return new(net.Dialer).DialContext(ctx, network, address)
			}}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		if status, _ := get(t, client, "", url); status != 200 {
			t.Fatal(status)
		}
		stop, served := make(chan struct{}), make(chan bool)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for {
					if status, body := get(t, client, "", url); status != 200 || body != "a" {
						t.Errorf("%d %q", status, body)
					}
					select {
					case served <- true:
					case <-stop:
						return
					}
				}
			})
		}
		for i := range 50 {
			<-served
			n := o
			n.Upstreams = []Upstream{service1(t, "app", a)}
			n.Upstreams[0].Reverse.Read = time.Duration(i+1) * time.Minute
			n.Client.HTTP2.Requests = 50 + i
			n.TLS.Names = []string{fmt.Sprintf("h%d.test", i/10)}
			if err := g.Apply(n); err != nil {
				t.Fatal(err)
			}
		}
		close(stop)
		all.Wait()
		if n := conns.Load(); n != 1 {
			t.Errorf("%d connections, want the one that was there all the time", n)
		}
	})
}

// A connection that changed its protocol outlives the upstream that it leads to.
func TestApplyKeepsTunnels(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, in, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			io.Copy(c, in)
		}))
		defer s.Close()
		o := options(epoll, service1(t, "app", s.Listener.Addr().String()))
		g, url := begin(t, o)
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		in := bufio.NewReader(c)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		if a, err := http.ReadResponse(in, nil); err != nil || a.StatusCode != 101 {
			t.Fatal(a, err)
		}
		for i := range 3 {
			line := fmt.Sprintf("line %d\n", i)
			io.WriteString(c, line)
			if got, err := in.ReadString('\n'); err != nil || got != line {
				t.Fatalf("%q, %v", got, err)
			}
			o.Upstreams = []Upstream{service1(t, fmt.Sprint("other", i), named(t, "x"))}
			if err := g.Apply(o); err != nil {
				t.Fatal(err)
			}
		}
	})
}
