package check

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// The defaults of Options. Each says why.
const (
	// DefaultEvery finds a dead endpoint before most people notice, for a request
	// that costs less than a thousandth of a core.
	DefaultEvery = 10 * time.Second
	// DefaultTimeout is longer than a lost packet and its repeat (1 s, RFC 6298 §2.1)
	// take together with a slow page.
	DefaultTimeout = 3 * time.Second
	// DefaultRise: a program that has just started may answer once and fall again.
	DefaultRise = 2
	// DefaultFall: one look may meet a pause of the garbage collector, three in a row
	// are an outage.
	DefaultFall = 3
	// DefaultLeast and DefaultMost are the statuses of an endpoint that is well.
	DefaultLeast, DefaultMost = 200, 399
)

// Options say how the endpoints of an upstream are looked at. The zero value is not
// at all.
type Options struct {
	// Path is asked for with GET; "" and not Connect: nobody is asked.
	Path string
	// Connect only connects, with a TLS handshake where the endpoint has TLS.
	Connect bool
	Host    string        // to ask for; "" means the endpoint's own
	Every   time.Duration // between two looks, up to a tenth more or less; 0 means DefaultEvery
	Timeout time.Duration // of one look; 0 means DefaultTimeout
	// Rise and Fall are how many good looks in a row make an endpoint up, and how many
	// bad ones make it down; 0 means their defaults.
	Rise, Fall int
	// Least and Most are the statuses that are good; 0 means the defaults.
	Least, Most int
	// Expect must be in the first MostBody bytes of the body, or match it if it stands between
	// slashes; "" expects nothing.
	Expect string
	// GRPC asks by grpc.health.v1, and Service is whom for; "" is the server as a whole.
	GRPC    bool
	Service string
}

// MostBody is how much of a body is looked at: pages that are made to be looked at are
// small.
const MostBody = 64 << 10

// On reports whether anybody is to be asked.
func (o *Options) On() bool { return o.Path != "" || o.Connect || o.GRPC }

// Checker looks at the endpoints of one upstream that fall to one loop. Its methods
// must be called from tasks of that loop.
type Checker struct {
	o      Options
	q      Question
	loop   loop.Loop
	local  *upstream.Local
	tasks  []loop.Task
	closed bool
	expect *regexp.Regexp // nil if anything will do
}

// Start begins to look at each of the upstream's endpoints whose index leaves the
// loop's when divided by the number of loops: so each endpoint is asked once.
func Start(l loop.Loop, loops int, up *upstream.Upstream, o *Options, agent string) *Checker {
	c := &Checker{o: *o, loop: l, local: up.On(l)}
	c.local.Uncounted()
	c.o.Every, c.o.Timeout = cmp.Or(o.Every, DefaultEvery), cmp.Or(o.Timeout, DefaultTimeout)
	c.o.Rise, c.o.Fall = cmp.Or(o.Rise, DefaultRise), cmp.Or(o.Fall, DefaultFall)
	c.o.Least, c.o.Most = cmp.Or(o.Least, DefaultLeast), cmp.Or(o.Most, DefaultMost)
	c.q = Question{Connect: o.Connect, GRPC: o.GRPC, Service: o.Service, Path: o.Path, Host: o.Host, Agent: agent, Time: c.o.Timeout}
	if o.Expect != "" {
		c.q.Body = MostBody
		c.expect, _ = ParseExpect(o.Expect) // whoever wrote it was told
	}
	for i, e := range up.Endpoints() {
		if i%loops == l.Index() {
			c.tasks = append(c.tasks, l.Go(func() { c.watch(e) }))
		}
	}
	return c
}

// Close ends it. Looks under way are called off.
func (c *Checker) Close() {
	c.closed = true
	for _, t := range c.tasks {
		t.Interrupt()
	}
	c.tasks = nil
	c.local.Close()
}

// watch looks at one endpoint until the checker is closed. Its first look comes at
// once, so that one which is down at the start is known soon; a verdict needs as many
// looks as later.
func (c *Checker) watch(e *upstream.Endpoint) {
	good, bad := 0, 0
	for !c.closed {
		if e.State() == upstream.StateMaintenance {
			good, bad = 0, 0
			_ = c.loop.Sleep(c.loop.Now().Add(int64(c.o.Every))) // Close interrupts
			continue
		}
		a := Ask(c.local, c.loop, e, &c.q)
		if c.closed {
			return
		}
		if why := c.wrong(&a); why == "" {
			if good, bad = good+1, 0; good >= c.o.Rise || !e.Down() {
				e.Up(inARow(good, "went well"))
			}
		} else if good, bad = 0, bad+1; bad >= c.o.Fall {
			e.Fail(inARow(bad, "failed") + ": " + why)
		}
		pause := c.o.Every
		if bad > 0 && bad < c.o.Fall || good > 0 && good < c.o.Rise && e.Down() {
			pause = min(pause, max(c.o.Timeout, pause/4)) // it is about to change: look closer
		}
		pause += time.Duration((rand.Float64() - 0.5) / 5 * float64(pause))
		for end := c.loop.Now().Add(int64(pause)); !c.closed && c.loop.Now() < end; {
			_ = c.loop.Sleep(end) // Close interrupts
		}
	}
}

// wrong is what is wrong with an answer, "" if nothing is.
func (c *Checker) wrong(a *Answer) string {
	switch {
	case a.Fault != nil:
		return words(a.Fault)
	case c.o.GRPC:
		return a.GRPC
	case !c.o.Connect && (a.Status < c.o.Least || a.Status > c.o.Most):
		return fmt.Sprintf("GET %s is answered with %d, want %d to %d", c.q.path(), a.Status, c.o.Least, c.o.Most)
	case c.expect != nil && !c.expect.Match(a.Body):
		beginning := "has no body"
		if len(a.Body) > 0 {
			beginning = fmt.Sprintf("begins with %.40q", a.Body)
		}
		return fmt.Sprintf("the answer to GET %s %s and lacks %s", c.q.path(), beginning, strconv.Quote(c.o.Expect))
	}
	return ""
}

func inARow(n int, what string) string {
	if n == 1 {
		return "the last check " + what
	}
	return fmt.Sprintf("the last %d checks %s", n, what)
}

// words is a fault in one line.
func words(f *fault.Fault) string {
	what := f.Observed()
	if strings.Contains(what, "{") { // a fact that only an exchange has
		what = f.Row().Title
	}
	return what + " (" + string(f.ID) + ")"
}
