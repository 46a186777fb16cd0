package upstream

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
)

func pick(t *testing.T, p *Local, tried ...*Endpoint) *Endpoint {
	t.Helper()
	e, f := p.Pick(tried, 0)
	if f != nil || e == nil {
		t.Fatalf("Pick: %v, %v", e, f)
	}
	return e
}

func TestPickTakesTurns(t *testing.T) {
	p, _ := at(upstreamOf(t, Options{}, ":1-4"))
	count := map[string]int{}
	for range 400 {
		count[pick(t, p).Name()]++
	}
	for _, e := range p.up.Endpoints() {
		if count[e.Name()] != 100 {
			t.Errorf("%s was picked %d times of 400", e.Name(), count[e.Name()])
		}
	}
}

func TestPickAvoidsTheBusy(t *testing.T) {
	p, _ := at(upstreamOf(t, Options{}, ":1-2"))
	p.bench[0].inFlight = 1000
	count := map[*Endpoint]int{}
	for range 1000 {
		count[pick(t, p)]++
	}
	// The busy one is kept only when the second choice is itself: one in four.
	if n := count[p.up.endpoints[0]]; n < 150 || n > 350 {
		t.Errorf("the busy endpoint was picked %d times of 1000", n)
	}
}

func TestPickNeverRepeatsWhileOthersAreLeft(t *testing.T) {
	p, _ := at(upstreamOf(t, Options{}, ":1-5"))
	for _, e := range p.up.endpoints[:4] { // all but the last are the worst there is
		e.health.until.Store(int64(loop.Never))
	}
	var tried []*Endpoint
	for range 5 {
		e := pick(t, p, tried...)
		for _, old := range tried {
			if old == e {
				t.Fatalf("%s was picked again, after %d of 5", e.Name(), len(tried))
			}
		}
		tried = append(tried, e)
	}
	if tried[0] != p.up.endpoints[4] {
		t.Errorf("first choice is %s, which is ejected", tried[0].Name())
	}
	pick(t, p, tried...) // all tried: still somebody
}

func TestEjectionAndProbe(t *testing.T) {
	u := upstreamOf(t, Options{Eject: Eject{After: 3, For: time.Second, Max: 4 * time.Second}}, ":1-2")
	p, clock := at(u)
	bad, good := u.endpoints[0], u.endpoints[1]
	fail := func() { p.Report(bad, fault.New(fault.HeadEOFEmpty)) }
	fail()
	fail()
	if u.State()[0].Ejected {
		t.Fatal("ejected after 2 of 3 failures")
	}
	p.Report(bad, nil)
	fail()
	fail()
	if u.State()[0].Ejected {
		t.Fatal("failures that were not in a row count")
	}
	fail()
	s := u.State()[0]
	if !s.Ejected || s.Why != fault.HeadEOFEmpty || s.Failures != 3 {
		t.Fatalf("after 3 failures in a row: %+v", s)
	}
	for range 10 {
		if pick(t, p) != good {
			t.Fatal("an ejected endpoint was picked")
		}
	}
	p.Report(bad, nil) // a request that was under way all the time
	if !u.State()[0].Ejected {
		t.Fatal("an old request ended the ejection")
	}

	clock.pass(1200 * time.Millisecond)
	probes := 0
	for range 10 {
		if pick(t, p) == bad {
			probes++
		}
	}
	if probes != 1 {
		t.Fatalf("%d probes at a time, want 1", probes)
	}
	fail() // the probe
	if until := u.State()[0].Until - clock.now; until < loop.Time(2*time.Second) || until > loop.Time(2200*time.Millisecond) {
		t.Fatalf("second ejection lasts %v, want 2 s and up to a tenth", time.Duration(until))
	}
	clock.pass(2500 * time.Millisecond)
	for pick(t, p) != bad {
	}
	p.Report(bad, nil)
	if s := u.State()[0]; s.Ejected || s.Why != "" {
		t.Fatalf("after a good probe: %+v", s)
	}
}

func TestLostProbeIsReplaced(t *testing.T) {
	u := upstreamOf(t, Options{Eject: Eject{After: 1, For: time.Second}}, ":1-2")
	p, clock := at(u)
	p.Report(u.endpoints[0], fault.New(fault.HeadEOFEmpty))
	for range 3 { // each probe's client goes away: nobody reports
		clock.pass(probeFor + time.Second)
		probes := 0
		for range 8 {
			if pick(t, p) == u.endpoints[0] {
				probes++
			}
		}
		if probes != 1 {
			t.Fatalf("%d probes, want 1", probes)
		}
	}
}

func TestEjectionIsBounded(t *testing.T) {
	u := upstreamOf(t, Options{Eject: Eject{After: 1, For: time.Second, Max: 4 * time.Second}}, ":1-2")
	p, clock := at(u)
	for range 40 {
		p.Report(u.endpoints[0], fault.New(fault.HeadEOFEmpty))
		left := u.State()[0].Until - clock.now
		if left > loop.Time(4400*time.Millisecond) {
			t.Fatalf("ejected for %v", time.Duration(left))
		}
		clock.pass(time.Duration(left) + 1)
	}
}

func TestLastOneUpIsNeverEjected(t *testing.T) {
	u := upstreamOf(t, Options{Eject: Eject{After: 1}}, ":1-2")
	p, _ := at(u)
	for range 50 {
		p.Report(u.endpoints[0], fault.New(fault.HeadEOFEmpty))
		p.Report(u.endpoints[1], fault.New(fault.HeadEOFEmpty))
	}
	if s := u.State(); !s[0].Ejected || s[1].Ejected {
		t.Errorf("ejected: %v %v, want the first only", s[0].Ejected, s[1].Ejected)
	}
}

func TestFailureShareEjects(t *testing.T) {
	u := upstreamOf(t, Options{}, ":1-2")
	p, _ := at(u)
	for i := range 20 { // good and bad in turn: never two in a row
		if u.State()[0].Ejected {
			t.Fatalf("ejected after %d reports", i)
		}
		if i%2 == 0 {
			p.Report(u.endpoints[0], nil)
		} else {
			p.Report(u.endpoints[0], fault.New(fault.BodyEOFShort))
		}
	}
	if !u.State()[0].Ejected {
		t.Error("half of 20 requests failed and it is still in")
	}
}

func TestOnlyTheEndpointsSinsCount(t *testing.T) {
	u := upstreamOf(t, Options{Eject: Eject{After: 1}}, ":1-2")
	for _, id := range []fault.ID{fault.ClientGone, fault.RequestBodyBroken, fault.LocalFDExhausted,
		fault.LocalPortExhausted, fault.LoopSelfAddress, fault.RetryBudgetExhausted, fault.RequestHeaderMalformed,
		fault.HeaderObsFold, fault.ReuseFINBeforeWrite} {
		p, _ := at(u)
		p.Report(u.endpoints[0], fault.New(id))
		if s := u.State()[0]; s.Failures != 0 || s.Ejected {
			t.Errorf("%s counts against the endpoint", id)
		}
	}
	for _, id := range []fault.ID{fault.ConnectRefused, fault.ConnectTimeout, fault.TLSCertExpired, fault.HeadEOFEmpty,
		fault.HeadTimeoutFirstByte, fault.BodyRST, fault.HTTP09, fault.ChunkSizeInvalid} {
		u := upstreamOf(t, Options{Eject: Eject{After: 1}}, ":1-2")
		p, _ := at(u)
		p.Report(u.endpoints[0], fault.New(id))
		if s := u.State()[0]; !s.Ejected {
			t.Errorf("%s does not count against the endpoint", id)
		}
	}
}

func TestUnreachableComesLast(t *testing.T) {
	u := upstreamOf(t, Options{}, ":1-3")
	p, clock := at(u)
	p.Report(u.endpoints[1], refused())
	for range 9 {
		if pick(t, p) == u.endpoints[1] {
			t.Fatal("picked an endpoint that was refused a moment ago")
		}
	}
	if pick(t, p, u.endpoints[0], u.endpoints[2]) != u.endpoints[1] {
		t.Fatal("it is left, and was not picked")
	}
	clock.pass(shyFor + 1)
	seen := false
	for range 3 {
		seen = seen || pick(t, p) == u.endpoints[1]
	}
	if !seen {
		t.Error("it is still left out after its second")
	}
}

func TestNothingIsAllocatedOnTheGoodPath(t *testing.T) {
	u := upstreamOf(t, Options{}, ":1-8")
	p, _ := at(u)
	p.sweeping = true
	tried := []*Endpoint{u.endpoints[3]}
	c := &Conn{Stream: &pipe{}, Endpoint: u.endpoints[0]}
	p.Keep(c, 0)
	if n := testing.AllocsPerRun(1000, func() {
		p.Deposit()
		p.Pick(nil, 0)
		p.Pick(tried, 0)
		c, _ := p.Take(u.endpoints[0])
		p.Keep(c, 5*time.Second)
		p.Report(u.endpoints[0], nil)
		p.Withdraw()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What an exchange costs here without connecting.
func BenchmarkExchange(b *testing.B) {
	for _, how := range []Balance{Turns, Latency} {
		b.Run(balances[how], func(b *testing.B) {
			u := upstreamOf(b, Options{Balance: how}, ":1-8")
			p, _ := at(u)
			p.sweeping = true
			for _, e := range u.endpoints {
				p.Keep(&Conn{Stream: &pipe{}, Endpoint: e}, 0)
			}
			b.ReportAllocs()
			for b.Loop() {
				p.Deposit()
				e, _, _ := p.Admit(nil, 0, nil, loop.Never, stays{})
				c, _ := p.Take(e)
				p.Keep(c, 0)
				p.Leave(e)
				p.Report(e, nil)
				p.Took(e, 1e6, false)
			}
		})
	}
}

// The share, its window and its least number of requests are options.
func TestEjectShare(t *testing.T) {
	u := upstreamOf(t, Options{Eject: Eject{After: 100, Share: 0.25, Window: time.Minute, Requests: 8, For: time.Second}}, ":1-2")
	p, clock := at(u)
	e := u.endpoints[0]
	for i := range 7 { // two of seven are too few to tell
		var f *fault.Fault
		if i == 2 || i == 4 {
			f = fault.New(fault.HeadEOFEmpty)
		}
		clock.pass(time.Second)
		p.Report(e, f)
	}
	if u.State()[0].Ejected {
		t.Fatal("ejected for 2 of 7")
	}
	clock.pass(30 * time.Second)
	p.Report(e, fault.New(fault.HeadEOFEmpty))
	if !u.State()[0].Ejected {
		t.Fatal("not ejected for 3 of 8")
	}
}

// Half open, an endpoint is asked one request at a time until enough of them went well;
// one failure opens it again for twice as long.
func TestEjectProbes(t *testing.T) {
	var changes []string
	u := upstreamOf(t, Options{Eject: Eject{After: 1, Probes: 3, For: time.Second, Max: time.Minute},
		Changed: func(c Change) { changes = append(changes, string(c.To)+": "+c.Why) }}, ":1-2")
	p, clock := at(u)
	bad := u.endpoints[0]
	probes := func(n int) (got int) {
		for range n {
			if pick(t, p) == bad {
				got++
			}
		}
		return got
	}
	p.Report(bad, fault.New(fault.ConnectRefused))
	if n := probes(20); n != 0 {
		t.Fatalf("asked %d times while its circuit is open", n)
	}
	for _, last := range []*fault.Fault{fault.New(fault.ConnectRefused), nil} {
		clock.pass(3 * time.Second)
		for i := range 2 {
			if n := probes(20); n != 1 {
				t.Fatalf("probe %d: %d requests", i+1, n)
			}
			p.Report(bad, nil)
			if !u.State()[0].Ejected {
				t.Fatalf("back after %d of 3 probes", i+1)
			}
		}
		if n := probes(20); n != 1 {
			t.Fatalf("the last probe: %d requests", n)
		}
		p.Report(bad, last)
	}
	if want := []string{"ejected: 1 failures in a row", "ejected: the request that tried it again failed", "up: 3 requests to it went well"}; !slices.Equal(changes, want) {
		t.Errorf("%q", changes)
	}
	if n := probes(20); n != 10 {
		t.Errorf("back, it gets %d of 20", n)
	}
}

// No more than a share is left out at a time, whatever the others do.
func TestEjectMost(t *testing.T) {
	for _, c := range []struct {
		most float64
		want int
	}{{0, 3}, {0.5, 2}, {0.01, 1}} {
		u := upstreamOf(t, Options{Eject: Eject{After: 1, Most: c.most}}, ":1-4")
		p, _ := at(u)
		for _, e := range u.endpoints {
			p.Report(e, fault.New(fault.ConnectRefused))
		}
		n := 0
		for _, s := range u.State() {
			if s.Ejected {
				n++
			}
		}
		if n != c.want {
			t.Errorf("most %v: %d of 4 are left out, want %d", c.most, n, c.want)
		}
	}
}

// Without a last resort the last one is left out too, the fault says why and when the next
// probe is due, and that probe gets through.
func TestNoLastResort(t *testing.T) {
	for _, spec := range []string{":1", ":1-2"} {
		u := upstreamOf(t, Options{Name: "app", NoLastResort: true, Eject: Eject{After: 1, For: 4 * time.Second, Max: time.Minute}}, spec)
		p, clock := at(u)
		for _, e := range u.endpoints {
			p.Report(e, fault.New(fault.ConnectRefused))
		}
		e, f := p.Pick(nil, 0)
		if e != nil || f == nil || f.ID != fault.CircuitOpen || f.RetryAfter < 3*time.Second || f.RetryAfter > 5*time.Second ||
			!strings.Contains(f.Get("states"), "1 failures in a row: connect_refused") {
			t.Fatalf("%s: %v, %+v", spec, e, f)
		}
		// One that has been tried is not asked again, either.
		if e, f := p.Pick(u.endpoints[:1], 0); e != nil || f == nil {
			t.Fatalf("%s: %v", spec, e)
		}
		clock.pass(5 * time.Second)
		for range u.endpoints {
			if _, f := p.Pick(nil, 0); f != nil {
				t.Fatalf("%s: no probe: %v", spec, f.ID)
			}
		}
		if _, f := p.Pick(nil, 0); f == nil || f.ID != fault.CircuitOpen {
			t.Fatalf("%s: a second request while the probe is under way: %v", spec, f)
		}
		p.Report(u.endpoints[0], nil)
		if e := pick(t, p); e != u.endpoints[0] {
			t.Fatalf("%s: %v", spec, e)
		}
		u.endpoints[0].Fail("GET / is answered with 500")
		if _, f := p.Pick(nil, 0); len(u.endpoints) == 1 && (f == nil || f.ID != fault.PoolAllUnhealthy) {
			t.Fatalf("%s: down: %v", spec, f)
		}
	}
}

// With fewer endpoints that are well than the threshold, all are asked but those that an
// operator took out, and each way is told once.
func TestPanic(t *testing.T) {
	var changes []string
	u := upstreamOf(t, Options{Name: "app", Panic: 0.5, Balance: RoundRobin, Changed: func(c Change) {
		if c.Endpoint == "" {
			changes = append(changes, string(c.To)+": "+c.Why)
		}
	}}, ":1-5")
	p, _ := at(u)
	q, _ := at(u)
	asked := func() (s string) {
		pick(t, q) // another loop tells nothing twice
		count := map[int]int{}
		for range 20 {
			count[pick(t, p).index]++
		}
		for i := range u.endpoints {
			s += fmt.Sprint(count[i], " ")
		}
		return s
	}
	u.endpoints[4].Drain("test")
	u.endpoints[0].Fail("it is broken")
	u.endpoints[1].Fail("it is broken")
	if s := asked(); s != "0 0 10 10 0 " || u.Panics() {
		t.Errorf("half are well: %s", s)
	}
	u.endpoints[2].Fail("it is broken")
	if s := asked(); s != "5 5 5 5 0 " || !u.Panics() {
		t.Errorf("a quarter is well: %s", s)
	}
	u.endpoints[2].Up("it works")
	if s := asked(); s != "0 0 10 10 0 " || u.Panics() {
		t.Errorf("half are well again: %s", s)
	}
	if want := []string{"panic: 1 of its 4 endpoints are well, and the panic threshold is 0.5", "calm: 2 of its 4 endpoints are well, and the panic threshold is 0.5"}; !slices.Equal(changes, want) {
		t.Errorf("%q", changes)
	}
}
