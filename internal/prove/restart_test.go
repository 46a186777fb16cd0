package prove

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// TestKillRestart kills and restarts two servers in turn under load. No GET may
// fail: one of the two is up at any time.
func TestKillRestart(t *testing.T) {
	const clients = 16
	rounds, each := 6, 500
	if testing.Short() {
		rounds, each = 2, 200
	}
	servers := [2]*mortal{startMortal(t), startMortal(t)}
	o := gateway.Defaults()
	o.Loops = 2
	o.Listen = []loop.Address{{IP: listening}}
	for _, m := range servers {
		targets, err := upstream.ParseTarget(m.address)
		if err != nil {
			t.Fatal(err)
		}
		o.Upstream.Targets = append(o.Upstream.Targets, targets...)
	}
	g, err := gateway.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Drain(time.Second)

	// The client that sends the request with a round number of its own does the
	// killing, in the middle of the others' load: each server lies dead for the
	// next `each` requests.
	var running sync.WaitGroup
	var next, failed atomic.Int64
	var calls sync.RWMutex                     // read while a request is under way
	steps := make([]chan struct{}, 2*rounds+1) // closed when the step before it is done
	for i := range steps {
		steps[i] = make(chan struct{})
	}
	close(steps[0])
	for range clients {
		running.Go(func() { // ends when all requests are sent
			c := &caller{address: g.Addresses()[0].String()}
			defer c.close()
			for {
				n := int(next.Add(1)) - 1
				if n >= (2*rounds+1)*each {
					return
				}
				if n%each == 0 && n > 0 {
					step := n/each - 1
					<-steps[step]
					if m := servers[step/2%2]; step%2 == 0 {
						m.kill()
					} else {
						// Who met this server dead has his answer before the other one dies:
						// else both were dead for him.
						calls.Lock()
						m.start(t)
						calls.Unlock()
					}
					close(steps[step+1])
				}
				calls.RLock()
				a, err := c.call(t.Context(), "GET", fmt.Sprintf("get-%d", n))
				calls.RUnlock()
				if err != nil || a.status != 200 || !a.whole || string(a.body) != "hello" {
					failed.Add(1)
					t.Errorf("request %d: %v %v\n%s", n, a, err, a.excerpt())
				}
			}
		})
	}
	running.Wait()
	for _, m := range servers {
		if m.served.Load() == 0 {
			t.Errorf("%s served nothing", m.address)
		}
		m.kill()
	}
	t.Logf("%d requests over %d deaths, %d failed", (2*rounds+1)*each, rounds, failed.Load())
}

// mortal is a net/http server that dies and comes back at the same address.
type mortal struct {
	address string
	served  atomic.Int64
	server  *http.Server
	done    chan struct{}
}

func startMortal(t *testing.T) *mortal {
	m := &mortal{address: "127.0.0.1:0"}
	m.start(t)
	return m
}

func (m *mortal) start(t *testing.T) {
	ln, err := net.Listen("tcp", m.address)
	if err != nil {
		t.Error(err)
		return
	}
	m.address = ln.Addr().String()
	m.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		m.served.Add(1)
		io.WriteString(w, "hello")
	})}
	m.done = make(chan struct{})
	go func(s *http.Server, done chan struct{}) { // ends with kill
		defer close(done)
		s.Serve(ln)
	}(m.server, m.done)
}

// kill closes the listener and all connections, those in the middle of an answer
// too. A server that is dead already stays so.
func (m *mortal) kill() {
	m.server.Close()
	<-m.done
}
