package reverse

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/upstream"
)

// The first answer binds its client, later requests go to the same endpoint, and no
// application ever sees the cookie.
func TestAffinity(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	app := func(c *peer, _ int) {
		defer c.Close()
		for h := c.head(); h != ""; h = c.head() {
			mu.Lock()
			seen = append(seen, h)
			mu.Unlock()
			c.say(okAnswer)
		}
	}
	s := defaults(app, app, app)
	s.Affinity = upstream.Affinity{Cookie: "srv"}
	s.Client.RequestID, s.Client.ReplyRequestID = "X-Request-Id", true
	s.play(t, func(st *stage) {
		ask := func(cookies string) (to, set string) {
			t.Helper()
			a := st.ask("GET / HTTP/1.1\r\nHost: a\r\n" + cookies + "\r\n")
			if a.Status != 200 || a.Header.Get("X-Request-Id") == "" {
				t.Fatalf("%+v", a)
			}
			set = strings.Join(a.Header.Values("Set-Cookie"), "; ")
			if (set != "") != (a.Header.Get("Cache-Control") == "private") {
				t.Errorf("Set-Cookie: %s, Cache-Control: %s", set, a.Header.Get("Cache-Control"))
			}
			return st.last().Attempts[0].Endpoint, set
		}
		value := func(set string) string {
			t.Helper()
			v, attributes, _ := strings.Cut(strings.TrimPrefix(set, "srv="), "; ")
			if attributes != "Path=/; HttpOnly; SameSite=Lax" || len(v) != 16 {
				t.Fatalf("%q", set)
			}
			return v
		}
		home := map[string]string{} // cookie by endpoint
		for range 6 {
			to, set := ask("")
			home[to] = value(set)
		}
		if len(home) != 3 {
			t.Fatalf("%d clients are at %d of 3 endpoints", 6, len(home))
		}
		for at, v := range home {
			for i := range 4 {
				to, set := ask(fmt.Sprintf("Cookie: a=%d; srv=%s; b=1\r\n", i, v))
				if to != at || set != "" {
					t.Errorf("the client of %s was sent to %s and told %q", at, to, set)
				}
			}
		}
		first := st.up.Endpoints()[0]
		v := home[first.Name()]
		first.Drain("upgrade")
		if to, set := ask("Cookie: srv=" + v + "\r\n"); to != first.Name() || set != "" {
			t.Errorf("drained: at %s, %q", to, set)
		}
		if to, _ := ask(""); to == first.Name() {
			t.Error("a new client is sent to the drained endpoint")
		}
		first.Maintain("repair")
		to, set := ask("Cookie: srv=" + v + "\r\n")
		if to == first.Name() || value(set) != home[to] {
			t.Errorf("in maintenance: at %s, %q", to, set)
		}
		if _, set := ask("Cookie: srv=127.0.0.1; a=1\r\n"); set == "" {
			t.Error("a value that nobody gave is good")
		}
		mu.Lock()
		defer mu.Unlock()
		others := 0
		for _, h := range seen {
			if strings.Contains(h, "srv=") {
				t.Errorf("the application saw %q", h)
			}
			if strings.Contains(h, "; b=1\r\n") {
				others++
			}
		}
		if others == 0 {
			t.Error("the application saw no cookie at all")
		}
	})
}

// A client whose endpoint fails goes elsewhere in the same request, and stays there.
func TestAffinityMoves(t *testing.T) {
	var dead atomic.Bool
	s := defaults(func(c *peer, n int) {
		for c.request() {
			if dead.Load() {
				break
			}
			c.say(okAnswer)
		}
		c.Close()
	}, ok)
	s.Affinity = upstream.Affinity{Cookie: "srv", MaxAge: time.Hour}
	s.Balance = upstream.RoundRobin
	s.play(t, func(st *stage) {
		dead.Store(false)
		a := st.ask(get("/"))
		set := a.Header.Get("Set-Cookie")
		if at := st.last().Attempts[0].Endpoint; at != "10.0.0.1:80" || !strings.HasSuffix(set, "; Max-Age=3600") {
			t.Fatalf("%s %q", at, set)
		}
		cookie, _, _ := strings.Cut(set, ";")
		dead.Store(true)
		with := "GET / HTTP/1.1\r\nHost: a\r\nCookie: " + cookie + "\r\n\r\n"
		a = st.ask(with)
		if a.Status != 200 || a.Header.Get("Set-Cookie") == "" || a.Header.Get("Set-Cookie") == set {
			t.Errorf("%+v", a)
		}
		if tr := st.last(); tr.Attempts[0].Endpoint != "10.0.0.1:80" || tr.Attempts[tr.N-1].Endpoint != "10.0.0.2:80" {
			t.Errorf("%d attempts, the first at %s", tr.N, tr.Attempts[0].Endpoint)
		}
	})
}
