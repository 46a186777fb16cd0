// Package soak runs the whole program under a mix of everything for a while: clients
// of all sorts in front, servers that die and come back behind. Every byte of every
// answer is checked, every line of the access log is counted, and nothing may stay
// behind.
//
// GATEWHY_SOAK is how long the load lasts ("2m"), GATEWHY_SOAK_SEED what the clients
// do. Start with TestSoak, then client_test.go.
package soak

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience bounds every wait for something that is about to happen. It passes
// only when a test fails.
const patience = time.Minute

// world is what all clients and servers of one test know.
type world struct {
	t    *testing.T
	seed uint64
	next atomic.Uint64 // number of the last request

	// kills counts up when a server begins to die and again when the gateway's kernel knows
	// of it, so it is odd in between. From then on no POST may be lost to that death.
	kills atomic.Uint64
	calls chan struct{} // gets one for each request that is over

	// stopping is set when the gateway is told to stop, refused when it takes no
	// connections any more.
	stopping, refused atomic.Bool

	failures atomic.Int64
	bad      atomic.Int64 // requests that get a 400 and have no number

	mu       sync.Mutex
	expect   map[uint64]expectation
	executed map[uint64]int
	suspects map[uint64]bool
	spoken   map[string]int // requests that came to servers, by protocol
	tally    map[string]int
}

func newWorld(t *testing.T) *world {
	return &world{t: t, seed: seed(t), calls: make(chan struct{}, 2*requestsADeath), expect: map[uint64]expectation{},
		executed: map[uint64]int{}, suspects: map[uint64]bool{}, spoken: map[string]int{}, tally: map[string]int{}}
}

// expectation is what the log must say of a request.
type expectation struct {
	status  int  // 0 if the client does not know it
	certain bool // there is a line; else there may be one
}

// fail tells the first failures: others follow from them.
func (w *world) fail(format string, args ...any) {
	if w.failures.Add(1) <= 20 {
		w.t.Errorf("seed %d: "+format, append([]any{w.seed}, args...)...)
	}
}

// executes notes that a POST has arrived at a server.
func (w *world) executes(id uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.executed[id]++
}

// suspect has the log's line of a request shown: the next one on its connection failed.
func (w *world) suspect(id uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.suspects[id] = true
}

// speaks notes how requests come to servers.
func (w *world) speaks(r *http.Request) {
	how := r.Proto
	if r.TLS != nil {
		how += " over TLS"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spoken[how]++
}

// over notes that a request is over.
func (w *world) over(kind string, id uint64, e expectation) {
	w.mu.Lock()
	w.expect[id] = e
	w.tally[kind]++
	w.mu.Unlock()
	select {
	case w.calls <- struct{}{}:
	default: // chaos has enough to do
	}
}

// excused reports whether a server died since then (an earlier value of kills).
func (w *world) excused(then uint64) bool { return then%2 == 1 || w.kills.Load() != then }

// requestsADeath is how many requests pass, about, before a server dies or comes
// back: often enough for a short test, rarely enough that the retries stay within
// their budget, a fifth of the requests.
const requestsADeath = 400

// chaos kills and starts servers until stop closes. The first is never killed.
func (w *world) chaos(r *rand.Rand, origins []*origin, stop <-chan struct{}) {
	for {
		for range requestsADeath/2 + r.IntN(requestsADeath) {
			select {
			case <-w.calls:
			case <-stop:
				return
			}
		}
		o := origins[1+r.IntN(len(origins)-1)]
		if o.done == nil {
			if err := o.start(); err != nil {
				w.fail("a server does not come back: %v", err)
			}
			continue
		}
		w.kills.Add(1)
		o.kill(r.IntN(2) == 0)
		w.kills.Add(1)
	}
}

func length(t *testing.T) time.Duration {
	s := os.Getenv("GATEWHY_SOAK")
	if s == "" {
		return 3 * time.Second
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("GATEWHY_SOAK=%q: %v", s, err)
	}
	return d
}

func seed(t *testing.T) uint64 {
	s := os.Getenv("GATEWHY_SOAK_SEED")
	if s == "" {
		return 1
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("GATEWHY_SOAK_SEED=%q: %v", s, err)
	}
	return n
}

// phases are the parts of the load. What is made once is made in the first; each
// other one must leave no more behind.
const phases = 3

func TestSoak(t *testing.T) {
	onEngines(t, soak)
}

// onEngines runs a test with the arguments that choose each engine.
func onEngines(t *testing.T, test func(t *testing.T, args ...string)) {
	for _, engine := range []string{"portable", "epoll"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			if engine == "epoll" && runtime.GOOS != "linux" {
				t.Skip("NOT TESTED: there is no epoll on this system")
			}
			test(t, "--engine", engine)
		})
	}
}

func soak(t *testing.T, args ...string) {
	w := newWorld(t)
	cert := newCertificate(t)
	origins := []*origin{newOrigin(t, w, nil, false), newOrigin(t, w, nil, false), newOrigin(t, w, cert, false), newOrigin(t, w, nil, true)}
	// Connections to servers are kept for a second only, so that what is open when
	// all is quiet is a leak. A small answer is held back until it is whole, so that
	// no death of a server is seen, however slow the machine. Nobody is ejected: a
	// server that dies so often would get no requests. An upload may outlive all three
	// servers that die, so there are attempts for all four.
	args = append(args, "--loops", "2", "--pool-idle", "1s", "--grace", "20s", "--eject-after", "0", "--retry-attempts", "4")
	args = append(args, "--upstream-ca", cert.certFile)
	for _, o := range origins {
		args = append(args, o.target())
	}
	p := launch(t, cert, args...)
	first := p.count(t)
	t.Logf("at first      %+v", first)
	var after counts
	for i := range phases {
		w.phase(uint64(i), p, origins, length(t)/phases)
		if i == 0 {
			// What may come on top in the first phase: pollers, pipes and coroutines
			// that are kept for the next time.
			after = p.settle(t, counts{Tasks: first.Tasks + 8, Files: first.Files + 8})
			t.Logf("after phase 1 %+v", after)
			continue
		}
		now := p.settle(t, after)
		t.Logf("after phase %d %+v", i+1, now)
		if most := after.Heap + heapSlack; now.Heap > most {
			w.fail("%d bytes live after phase %d, %d after the first", now.Heap, i+1, after.Heap)
		}
		if most := after.RSS + after.RSS/2 + heapSlack; !raced && now.RSS > most {
			w.fail("%d bytes resident after phase %d, %d after the first", now.RSS, i+1, after.RSS)
		}
	}
	p.stop(t)
	w.account(p)
	for _, how := range []string{"HTTP/1.1", "HTTP/2.0", "HTTP/2.0 over TLS"} {
		if w.spoken[how] == 0 {
			w.fail("no request came to a server in %s", how)
		}
	}
	t.Logf("%d requests: %v; to servers %v; %d deaths of servers", w.next.Load(), w.tally, w.spoken, w.kills.Load()/2)
	if n := w.failures.Load(); n > 20 {
		t.Errorf("%d failures in all", n)
	}
}

// heapSlack is what the heap may grow by without a leak: the store of incidents
// fills up, what is kept to be used again grows to the largest that it was used for,
// and maps keep the size that they once had. Two minutes are some 300 000 requests,
// so that a hundred bytes that each left behind are seen.
const heapSlack = 24 << 20

// phase runs all clients and the chaos for d.
func (w *world) phase(n uint64, p *process, origins []*origin, d time.Duration) {
	var clients, chaos sync.WaitGroup
	over := make(chan struct{})
	timer := time.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	stop := make(chan struct{})
	chaos.Go(func() { w.chaos(rand.New(rand.NewPCG(w.seed, n)), origins, stop) }) // ends with stop
	w.run(&clients, rows, n<<32, p, over)
	clients.Wait()
	close(stop)
	chaos.Wait()
	for _, o := range origins {
		if o.done == nil {
			if err := o.start(); err != nil {
				w.fail("a server does not come back: %v", err)
			}
		}
	}
}

// run starts the clients of the rows, numbered from first on for their seeds.
func (w *world) run(clients *sync.WaitGroup, rows []row, first uint64, p *process, over <-chan struct{}) {
	for _, row := range rows {
		for range row.clients {
			first++
			c := &client{world: w, kind: row.name, over: over, rand: rand.New(rand.NewPCG(w.seed, first)), dial: row.dial, p: p,
				tickets: tls.NewLRUClientSessionCache(4)}
			clients.Go(func() { // ends some time after over
				for !c.ends() {
					row.visit(c)
				}
			})
		}
	}
}

// account holds the access log against what the clients know, and counts what the
// servers executed.
func (w *world) account(p *process) {
	file, err := os.Open(p.log)
	if err != nil {
		w.t.Fatal(err)
	}
	defer file.Close()
	lines := map[uint64]int{}
	var bad, cut int64
	in := bufio.NewScanner(file)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var l struct {
			Kind   string `json:"kind"`
			Path   string `json:"url.path"`
			Status int    `json:"http.response.status_code"`
			Fault  string `json:"fault"`
		}
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			w.fail("%v in the line %s", err, in.Bytes())
			continue
		}
		number, _, _ := strings.Cut(strings.TrimPrefix(l.Path, "/"), "/")
		id, err := strconv.ParseUint(number, 10, 64)
		e, known := w.expect[id]
		switch {
		case l.Fault == "gateway_internal_error":
			w.fail("a panic: %s", in.Bytes())
		case l.Kind == "handshake": // those that failed, and not each of them
			continue
		case l.Kind != "access":
			w.fail("the log says %s", in.Bytes())
		case l.Path == "" && (l.Status == 0 || l.Status == 400 || l.Status == 499):
			cut++ // a client left in the middle of the head, or broke the rules of HTTP/2
			continue
		case l.Path == "/garbage":
			continue
		case l.Path == "/malformed" && l.Status == 400:
			bad++
			continue
		case err != nil || !known:
			w.fail("nobody knows the request of this line: %s", in.Bytes())
		case e.status != 0 && l.Status != e.status:
			w.fail("the client saw status %d, the log says %s", e.status, in.Bytes())
		}
		if w.suspects[id] {
			w.t.Logf("before a failure: %s", in.Bytes())
		}
		lines[id]++
	}
	if err := in.Err(); err != nil {
		w.t.Fatal(err)
	}
	if want := w.bad.Load(); bad != want {
		w.fail("%d lines with status 400, and %d bad requests", bad, want)
	}
	if most := int64(w.tally["reset"] + w.tally["TLS reset"] + w.tally["TLS handshake"] +
		framesOfGarbage*(w.tally["h2c garbage"]+w.tally["h2 garbage"])); cut > most {
		w.fail("%d lines of requests without a whole head, and %d clients that left", cut, most)
	}
	for id, e := range w.expect {
		if n := lines[id]; n > 1 || n == 0 && e.certain {
			w.fail("request %d has %d lines: %+v", id, n, e)
		}
	}
	for id, n := range w.executed {
		if n > 1 {
			w.fail("POST %d was executed %d times", id, n)
		}
	}
}
