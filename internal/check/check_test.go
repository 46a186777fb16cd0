package check

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// network is endpoints in memory: what each of them does is told by its mood.
type network struct {
	mu    sync.Mutex
	mood  map[string]string // by address: refuses, hangs, or what it says
	asked map[string][]time.Duration
	heads []string
	began time.Time
}

func (n *network) is(address, mood string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mood[address] = mood
}

// count is how many checks have asked something.
func (n *network) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.heads)
}

func (n *network) dial(ctx context.Context, a loop.Address) (net.Conn, error) {
	n.mu.Lock()
	mood := n.mood[a.String()]
	n.asked[a.String()] = append(n.asked[a.String()], time.Since(n.began))
	n.mu.Unlock()
	if mood == "refuses" {
		return nil, syscall.ECONNREFUSED
	}
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		r, err := http.ReadRequest(bufio.NewReader(theirs))
		if err != nil {
			return
		}
		n.mu.Lock()
		n.heads = append(n.heads, r.Method+" "+r.URL.Path+" "+r.Host+" "+r.UserAgent())
		n.mu.Unlock()
		if mood == "hangs" {
			io.Copy(io.Discard, theirs) // until the look gives up
			return
		}
		io.WriteString(theirs, mood)
	}()
	return ours, nil
}

func answers(status int) string {
	return fmt.Sprintf("HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n", status)
}

const address = "10.0.0.1:80"

// checked plays f with a checker of one endpoint, of a clock of its own. changes
// returns what has become of the endpoint so far.
func checked(t *testing.T, o Options, mood string, f func(n *network, up *upstream.Upstream, changes func() []string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &network{mood: map[string]string{address: mood}, asked: map[string][]time.Duration{}, began: time.Now()}
		var mu sync.Mutex
		var list []string
		targets, err := upstream.ParseTarget(address)
		if err != nil {
			t.Fatal(err)
		}
		up, err := upstream.New(upstream.Options{Name: "app", Targets: targets, Changed: func(c upstream.Change) {
			mu.Lock()
			defer mu.Unlock()
			list = append(list, fmt.Sprintf("%s→%s: %s", c.From, c.To, c.Why))
		}})
		if err != nil {
			t.Fatal(err)
		}
		e := loop.Portable(loop.PortableOptions{Loops: 1, Dial: n.dial})
		l := e.Loops()[0]
		on := func(f func()) {
			done := make(chan struct{})
			l.Post(func() { defer close(done); f() })
			<-done
		}
		var c *Checker
		on(func() { c = Start(l, 1, up, &o, "tester") })
		f(n, up, func() []string {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(list)
		})
		on(func() { c.Close() })
		e.Close() // waits for its tasks: nothing of the checker is left
	})
}

// An endpoint is down after so many bad checks in a row, and up after so many good
// ones; one of the other kind in between begins the count anew.
func TestRiseAndFall(t *testing.T) {
	checked(t, Options{Path: "/healthz", Host: "app.test"}, answers(200), func(n *network, up *upstream.Upstream, changes func() []string) {
		e := up.Endpoints()[0]
		time.Sleep(time.Minute)
		if got := changes(); len(got) > 0 || e.State() != upstream.StateUp {
			t.Errorf("a good endpoint: %v, %s", got, e.State())
		}
		n.mu.Lock()
		if len(n.heads) < 6 || len(n.heads) > 8 || n.heads[0] != "GET /healthz app.test tester" {
			t.Errorf("%d checks in a minute: %v", len(n.heads), n.heads)
		}
		n.mu.Unlock()
		n.is(address, answers(503))
		for before := n.count(); n.count() == before; {
			time.Sleep(time.Second / 10)
		}
		n.is(address, answers(200))
		time.Sleep(time.Minute)
		if got := changes(); len(got) > 0 {
			t.Errorf("a hiccup: %v", got)
		}
		n.is(address, answers(503))
		time.Sleep(time.Minute)
		want := "up→down: the last 3 checks failed: GET /healthz is answered with 503, want 200 to 399"
		if got := changes(); len(got) != 1 || got[0] != want || !e.Down() {
			t.Errorf("got %q, want %q", got, want)
		}
		if s := up.State()[0]; s.State != upstream.StateDown || !strings.Contains(s.Down, "503") {
			t.Errorf("%+v", s)
		}
		n.is(address, "refuses")
		time.Sleep(time.Minute)
		if s := up.State()[0]; !strings.Contains(s.Down, "connect_refused") {
			t.Errorf("another reason is not told: %+v", s)
		}
		n.is(address, answers(204))
		time.Sleep(time.Minute)
		if got := changes(); len(got) != 2 || got[1] != "down→up: the last 2 checks went well" || e.Down() {
			t.Errorf("%q", got)
		}
	})
}

// Whatever an endpoint does that requests would not like is bad, and the wait ends.
func TestBadAnswers(t *testing.T) {
	for _, tt := range []struct {
		mood, why string
		o         Options
	}{
		{"refuses", "connect_refused", Options{Path: "/"}},
		{"refuses", "connect_refused", Options{Connect: true}},
		{"hangs", "head_timeout_first_byte", Options{Path: "/"}},
		{"HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n", "header", Options{Path: "/"}},
		{"SSH-2.0-OpenSSH\r\n", "foreign_banner", Options{Path: "/"}},
		{"HTTP/1.1 2", "head_eof", Options{Path: "/"}},
		{"", "head_eof", Options{Path: "/"}},
		{answers(404), "404", Options{Path: "/"}},
		{answers(200), "200", Options{Path: "/", Least: 204, Most: 204}},
	} {
		tt.o.Fall = 1
		checked(t, tt.o, tt.mood, func(n *network, up *upstream.Upstream, changes func() []string) {
			time.Sleep(5 * time.Second)
			if got := changes(); len(got) != 1 || !strings.Contains(got[0], tt.why) {
				t.Errorf("%q: %q, want %s", tt.mood, got, tt.why)
			}
		})
	}
	// Who only listens is well where that is all that is asked.
	checked(t, Options{Connect: true, Fall: 1}, "hangs", func(n *network, up *upstream.Upstream, changes func() []string) {
		time.Sleep(time.Minute)
		if got := changes(); len(got) > 0 {
			t.Errorf("%q", got)
		}
	})
}

// No two checks are a fixed time apart, so that many gateways do not ask at once; the
// looks that decide come closer together.
func TestPace(t *testing.T) {
	checked(t, Options{Path: "/", Every: 40 * time.Second}, answers(200), func(n *network, up *upstream.Upstream, changes func() []string) {
		time.Sleep(10 * time.Minute)
		n.is(address, "refuses")
		changes()
		n.mu.Lock()
		at := slices.Clone(n.asked[address])
		n.mu.Unlock()
		pauses := map[time.Duration]bool{}
		for i := range at[1:] {
			p := at[i+1] - at[i]
			if pauses[p] = true; p < 36*time.Second || p > 44*time.Second {
				t.Errorf("a pause of %v", p)
			}
		}
		if at[0] != 0 || len(pauses) < len(at)/2 {
			t.Errorf("checks at %v", at)
		}
		time.Sleep(44*time.Second + 2*11*time.Second)
		if got := changes(); len(got) != 1 {
			t.Errorf("it takes too long to find out: %q", got)
		}
	})
}

func TestParse(t *testing.T) {
	for s, want := range map[string]string{"/": "", "/a?b=c": "", "healthz": "write /healthz", "": "write /", "/ä": "write %C3", "/a b": "write %20", "/#": "write %23"} {
		if err := ParsePath(s); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", s, err, want)
		}
	}
	for s, want := range map[string]string{"200": "200", "200-299": "200-299", "204-204": "204", "199": "", "200-600": "", "299-200": "", "2xx": "", "": "", "-": ""} {
		least, most, err := ParseStatus(s)
		if err != nil != (want == "") || err == nil && FormatStatus(least, most) != want {
			t.Errorf("%q: %d %d %v, want %q", s, least, most, err, want)
		}
	}
}
