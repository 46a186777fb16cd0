package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/upstream"
)

// Limits hold while everything is changed under load: nobody is lost in the queue, and in
// the end nothing is counted that is not there.
func TestLimitsUnderReload(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		const most = 3
		counted := func(under *atomic.Int32) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if n := under.Add(1); n > most {
					t.Errorf("%d requests at a time, and %d are allowed", n, most)
				}
				time.Sleep(time.Millisecond)
				under.Add(-1)
				io.WriteString(w, "ok")
			})
		}
		var under [2]atomic.Int32
		plain := httptest.NewServer(counted(&under[0]))
		t.Cleanup(plain.Close)
		two := origin2(t, counted(&under[1]), new(atomic.Int64))
		app := service1(t, "app", plain.Listener.Addr().String(), two)
		app.Capacity = upstream.Capacity{Requests: most, Connections: 2, Queue: 100, QueueTimeout: time.Minute}
		o := options(epoll, app)
		g, url := begin(t, o)
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
		defer client.CloseIdleConnections()
		stop, served := make(chan struct{}), make(chan bool)
		var all sync.WaitGroup
		for range 24 {
			all.Go(func() {
				for {
					if status, body := get(t, client, "x.test", url); status != 200 || body != "ok" {
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
		for i := range 40 {
			for range 20 {
				<-served
			}
			next := app
			next.Reverse.FirstByte = time.Duration(i+10) * time.Second // another upstream, which inherits
			if i%5 == 4 {
				next.Targets = next.Targets[:1]
			}
			o.Upstreams = []Upstream{next}
			if err := g.Apply(o); err != nil {
				t.Fatal(err)
			}
		}
		close(stop)
		all.Wait()
		for _, e := range g.Upstream().State() {
			if e.Requests != 0 || e.Connections > 2 {
				t.Errorf("%s: %d requests under way, %d connections", e.Name, e.Requests, e.Connections)
			}
		}
		if n := g.Upstream().Queued(); n != 0 {
			t.Errorf("%d wait", n)
		}
	})
}
