package program

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// asked counts who answers n requests for a host.
func (s *service) asked(n int, url string) map[string]int {
	got := map[string]int{}
	for range n {
		_, body := s.get(url)
		got[body]++
	}
	return got
}

// Weights, a backup and zones, as a file says them; an operator takes one group after the
// other out.
func TestWeightsBackupsZones(t *testing.T) {
	a, b, c, d := called(t, "a"), called(t, "b"), called(t, "c"), called(t, "d")
	s := serving(t, fmt.Sprintf(`
listen: 127.0.0.1:0
zone: here
upstreams:
  app:
    to:
      - { to: "%s", weight: 3, zone: here }
      - { to: "%s", zone: here }
      - "%s"
      - { to: "%s", backup: true, zone: here }
    balance: round-robin
sites: { any: app }
log: off
engine: { loops: 1 }
`, a, b, c, d))
	out := func(endpoint string) {
		t.Helper()
		if code, out, talk := s.tool("endpoint", "drain", endpoint); code != 0 {
			t.Fatal(out, talk)
		}
	}
	if got := s.asked(20, "http://x.test/"); got["a"] != 15 || got["b"] != 5 {
		t.Errorf("3 to 1: %v", got)
	}
	out(a)
	if got := s.asked(5, "http://x.test/"); got["b"] != 5 {
		t.Errorf("one of the zone is left: %v", got)
	}
	out(b)
	if got := s.asked(5, "http://x.test/"); got["c"] != 5 {
		t.Errorf("the zone has none left: %v", got)
	}
	out(c)
	if got := s.asked(5, "http://x.test/"); got["d"] != 5 {
		t.Errorf("the backup is left: %v", got)
	}
	s.stop()
}

// Requests beyond what the endpoint may be asked wait in line, on any loop; those for whom
// there is no room get 503 and are told why.
func TestEndpointQueue(t *testing.T) {
	for _, engine := range []string{"portable", "epoll"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			var under, most atomic.Int32
			free := make(chan struct{})
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasPrefix(r.UserAgent(), "Go-http-client") {
					return // the look at the start
				}
				n := under.Add(1)
				for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
				}
				<-free
				under.Add(-1) // before the gateway can know that it is over
				fmt.Fprint(w, "done")
			}))
			t.Cleanup(up.Close)
			at := strings.TrimPrefix(up.URL, "http://")
			s := serving(t, fmt.Sprintf(`
listen: 127.0.0.1:0
upstreams: { app: { to: "%s", max-requests: 2, queue: { max: 20, timeout: 1m } } }
sites: { any: app }
log: { format: json }
engine: { name: %s, loops: 2 }
errors: { detail: all }
admin: { listen: "127.0.0.1:0" }
`, at, engine))
			type answer struct {
				status int
				after  string
			}
			answers := make(chan answer, 30)
			for range 30 {
				go func() { // ends with its answer
					resp, err := http.Get("http://" + s.address)
					if err != nil {
						answers <- answer{}
						return
					}
					defer resp.Body.Close()
					io.Copy(io.Discard, resp.Body)
					answers <- answer{resp.StatusCode, resp.Header.Get("Retry-After")}
				}()
			}
			// Two are at the endpoint, twenty wait, eight are told so at once.
			for range 8 {
				if a := <-answers; a.status != 503 || a.after == "" {
					t.Errorf("%+v", a)
				}
			}
			s.awaitPrinted(`"fault":"queue_full"`)
			close(free)
			for range 22 {
				if a := <-answers; a.status != 200 {
					t.Errorf("%+v", a)
				}
			}
			if n := most.Load(); n != 2 {
				t.Errorf("%d requests at a time, want 2", n)
			}
			s.awaitPrinted(`"select":`)
			s.stop()
		})
	}
}

// A client stays where its first request went, over reloads too, until the endpoint is
// taken out.
func TestAffinity(t *testing.T) {
	name := func(name string) string {
		up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, name, " ", r.Header["Cookie"])
		}))
		t.Cleanup(up.Close)
		return strings.TrimPrefix(up.URL, "http://")
	}
	a, b := name("a"), name("b")
	text := fmt.Sprintf("listen: 127.0.0.1:0\nupstreams: { app: { to: [%q, %q], affinity: srv } }\nsites: { any: app }\nlog: off\n", a, b)
	s := serving(t, text)
	ask := func(cookie string) (to, set string) {
		t.Helper()
		q, err := http.NewRequest("GET", "http://"+s.address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if q.Header.Set("Cookie", "theme=dark"); cookie != "" {
			q.Header.Set("Cookie", "theme=dark; "+cookie)
		}
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		to, cookies, _ := strings.Cut(string(body), " ")
		if err != nil || cookies != "[theme=dark]" {
			t.Errorf("the application saw %q, %v", body, err)
		}
		return to, resp.Header.Get("Set-Cookie")
	}
	to, set := ask("")
	cookie, _, _ := strings.Cut(set, ";")
	stays := func() {
		t.Helper()
		for range 6 {
			if now, set := ask(cookie); now != to || set != "" {
				t.Errorf("the client of %s is at %s and was told %q", to, now, set)
			}
		}
	}
	stays()
	write(t, s.file, text+"drain: 5s\n")
	if code, out, talk := s.tool("reload"); code != 0 {
		t.Fatal(out, talk)
	}
	stays()
	if code, out, talk := s.tool("endpoint", "maintenance", map[string]string{"a": a, "b": b}[to]); code != 0 {
		t.Fatal(out, talk)
	}
	now, set := ask(cookie)
	if now == to || !strings.HasPrefix(set, "srv=") || strings.HasPrefix(set, cookie) {
		t.Errorf("at %s, %q", now, set)
	}
	s.stop()
}

// With last-resort off the only endpoint is left out when it fails, clients get 503 at once
// with the time of the next probe, the operator is told why, and a probe brings it back.
func TestCircuitOpens(t *testing.T) {
	var well atomic.Bool
	var hits atomic.Int32
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" { // which the start asks for
			return
		}
		if hits.Add(1); !well.Load() {
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, "well")
	}))
	t.Cleanup(up.Close)
	app := strings.TrimPrefix(up.URL, "http://")
	s := serving(t, fmt.Sprintf(`
listen: 127.0.0.1:0
upstreams:
  app: { to: "%s", retry: 1, last-resort: false, eject: { after: 2, for: 1s, probes: 2 } }
sites: { any: app }
errors: { detail: all }
log: json
`, app))
	for range 2 {
		if status, _ := s.get("http://x.test/a"); status != 502 {
			t.Fatalf("a request that fails: %d", status)
		}
	}
	before := hits.Load()
	r, body := s.answer("http://x.test/a")
	if r.StatusCode != 503 || r.Header.Get("Retry-After") != "1" && r.Header.Get("Retry-After") != "2" || hits.Load() != before ||
		!strings.Contains(body, "circuit_open") || !strings.Contains(body, "ejected (2 failures in a row: head_eof_empty)") {
		t.Errorf("%d, Retry-After %q, %d more requests: %s", r.StatusCode, r.Header.Get("Retry-After"), hits.Load()-before, body)
	}
	well.Store(true)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		r, body := s.answer("http://x.test/a")
		if r.StatusCode == 200 && body == "well" {
			break
		}
		if r.StatusCode != 503 {
			t.Fatalf("%d %s", r.StatusCode, body)
		}
	}
	s.wants("http://x.test/a", "well")
	s.awaitPrinted(`"to":"up","why":"2 requests to it went well"`)
}

// A limit is learned from an application that works on four requests at a time: under load
// it comes near to that, whatever the clients want, and nobody is lost.
func TestAdaptive(t *testing.T) {
	const at, each = 4, 5 * time.Millisecond
	work := make(chan struct{}, at)
	var here, most atomic.Int32
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := here.Add(1)
		defer here.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		work <- struct{}{}
		time.Sleep(each)
		<-work
		io.WriteString(w, "done")
	}))
	t.Cleanup(up.Close)
	s := serving(t, fmt.Sprintf(`
listen: 127.0.0.1:0
upstreams:
  app: { to: "%s", adaptive: { on: true, min: 2 }, queue: { max: 100, timeout: 1m }, retry: 1 }
sites: { any: app }
log: off
`, strings.TrimPrefix(up.URL, "http://")))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", s.address)
	}}}
	defer client.CloseIdleConnections()
	load := func(n int) {
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				for range n {
					r, err := client.Get("http://x.test/x")
					if err != nil {
						t.Error(err)
						return
					}
					b, _ := io.ReadAll(r.Body)
					r.Body.Close()
					if r.StatusCode != 200 || string(b) != "done" {
						t.Errorf("%d %.300s", r.StatusCode, b)
					}
				}
			})
		}
		all.Wait()
	}
	load(40)
	most.Store(0)
	load(15)
	// Without a limit it would be 64. The exact figure depends on how busy this machine is.
	if n := most.Load(); n > 32 {
		t.Errorf("%d requests at a time, for one that works on %d", n, at)
	}
	code, out, talk := s.tool("status")
	if code != 0 || !regexp.MustCompile(`up +\d+ of \d+ requests, as learned from answers that take .*, and .* at ease`).MatchString(out) {
		t.Errorf("status: %s %s", out, talk)
	}
	t.Logf("%d at a time\n%s", most.Load(), out)
}
