package program

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// An endpoint whose checks fail gets no requests, one that is well again gets them
// again, and the log says when and why. A check that is never answered, of a program
// that is stopped, is a failure too.
func TestHealthChecks(t *testing.T) {
	for _, engine := range []string{"portable", "epoll"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			var sick atomic.Bool
			var asked [2]atomic.Int64
			var at [2]string
			for i := range at {
				up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					switch {
					case r.URL.Path == "/healthz" && i == 0 && sick.Load():
						w.WriteHeader(http.StatusServiceUnavailable)
					case r.URL.Path != "/healthz":
						asked[i].Add(1)
						fmt.Fprint(w, "server ", i)
					}
				}))
				t.Cleanup(up.Close)
				at[i] = strings.TrimPrefix(up.URL, "http://")
			}
			s := serving(t, fmt.Sprintf(`
listen: 127.0.0.1:0
upstreams:
  app:
    to: [%s, %s]
    balance: turns
    health: { path: /healthz, every: 100ms, rise: 2, fall: 3 }
sites: { any: app }
log: { format: text }
engine: %s
`, at[0], at[1], engine))
			spread := func() (first, second int64) {
				t.Helper()
				before := [2]int64{asked[0].Load(), asked[1].Load()}
				for range 20 {
					resp, err := http.Get("http://" + s.address)
					if err != nil {
						t.Fatal(err)
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode != 200 {
						t.Errorf("status %d", resp.StatusCode)
					}
				}
				return asked[0].Load() - before[0], asked[1].Load() - before[1]
			}
			if a, b := spread(); a == 0 || b == 0 {
				t.Errorf("both are well: %d and %d requests", a, b)
			}
			sick.Store(true)
			s.awaitPrinted("endpoint " + at[0] + " of app is down: the last 3 checks failed: GET /healthz is answered with 503, want 200 to 399")
			if a, b := spread(); a != 0 || b != 20 {
				t.Errorf("one is down: %d and %d requests", a, b)
			}
			sick.Store(false)
			s.awaitPrinted("endpoint " + at[0] + " of app is up: the last 2 checks went well")
			if a, b := spread(); a == 0 || b == 0 {
				t.Errorf("both are well again: %d and %d requests", a, b)
			}
			s.stop()
		})
	}
}
