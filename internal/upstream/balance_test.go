package upstream

import (
	"fmt"
	"testing"
	"time"
)

// shares picks n times and counts.
func shares(t *testing.T, p *Local, n int, key func(i int) uint64) map[*Endpoint]int {
	t.Helper()
	count := map[*Endpoint]int{}
	for i := range n {
		e, f := p.Pick(nil, key(i))
		if f != nil {
			t.Fatal(f)
		}
		count[e]++
	}
	return count
}

func same(int) uint64 { return 42 }

func keys(i int) uint64 { return HashKey(fmt.Appendf(nil, "10.0.%d.%d", i/250, i%250)) }

func TestRoundRobin(t *testing.T) {
	p, _ := at(upstreamOf(t, Options{Balance: RoundRobin}, ":1-4"))
	p.bench[0].inFlight = 1000 // is no matter
	for e, n := range shares(t, p, 400, same) {
		if n != 100 {
			t.Errorf("%s: %d of 400", e.Name(), n)
		}
	}
}

func TestRandom(t *testing.T) {
	p, _ := at(upstreamOf(t, Options{Balance: Random}, ":1-4"))
	p.random.Seed(1, 2)
	count := shares(t, p, 4000, same)
	for _, e := range p.up.endpoints {
		if n := count[e]; n < 850 || n > 1150 {
			t.Errorf("%s: %d of 4000", e.Name(), n)
		}
	}
}

func TestLeast(t *testing.T) {
	p, _ := at(upstreamOf(t, Options{Balance: Least}, ":1-4"))
	for i, n := range []int{3, 1, 2, 5} {
		p.bench[i].inFlight = n
	}
	for range 20 {
		if e := pick(t, p); e != p.up.endpoints[1] {
			t.Fatalf("%s was picked", e.Name())
		}
	}
	p.up.endpoints[1].Fail("no")
	if e := pick(t, p); e != p.up.endpoints[2] {
		t.Errorf("%s was picked", e.Name())
	}
	// Among equals nobody is preferred.
	p, _ = at(upstreamOf(t, Options{Balance: Least}, ":1-4"))
	for e, n := range shares(t, p, 4000, same) {
		if n < 850 || n > 1150 {
			t.Errorf("%s: %d of 4000", e.Name(), n)
		}
	}
}

// The slow endpoint gets less, at once; what it was is forgotten.
func TestLatency(t *testing.T) {
	p, clock := at(upstreamOf(t, Options{Balance: Latency}, ":1-2"))
	slow, quick := p.up.endpoints[0], p.up.endpoints[1]
	p.Took(slow, 100e6, false)
	p.Took(quick, 1e6, false)
	// The slow one is taken only when both choices are that one.
	if n := shares(t, p, 4000, same)[slow]; n < 800 || n > 1200 {
		t.Errorf("the slow endpoint was picked %d times of 4000", n)
	}
	p.bench[quick.index].inFlight = 200 // so busy that the slow one answers sooner
	if n := shares(t, p, 4000, same)[slow]; n < 2800 {
		t.Errorf("the slow endpoint was picked %d times of 4000", n)
	}
	p.bench[quick.index].inFlight = 0
	for range 20 {
		clock.pass(10 * time.Second)
		p.Took(slow, 1e6, false)
	}
	if got := p.bench[slow.index].latency; got > 2e6 {
		t.Errorf("after many quick answers it is still thought to take %v", time.Duration(got))
	}
	p.Took(slow, 50e6, false)
	if got := p.bench[slow.index].latency; got != 50e6 {
		t.Errorf("a slow answer is not seen at once: %v", time.Duration(got))
	}
	fresh := upstreamOf(t, Options{Balance: Latency}, ":2-3")
	q := fresh.On(clock)
	q.Inherit(p)
	if q.bench[0].latency != p.bench[1].latency {
		t.Error("what was learned is lost in a reload")
	}
}

// The same key leads to the same endpoint; keys are spread evenly; and when an endpoint
// goes, only its keys move.
func TestHash(t *testing.T) {
	p, _ := at(upstreamOf(t, Options{Balance: Hash}, ":1-5"))
	const n = 10_000
	before := make([]*Endpoint, n)
	for i := range n {
		before[i], _ = p.Pick(nil, keys(i))
	}
	for e, got := range shares(t, p, n, keys) {
		if got < n/5*8/10 || got > n/5*12/10 {
			t.Errorf("%s has %d of %d keys", e.Name(), got, n)
		}
	}
	gone := p.up.endpoints[2]
	gone.Fail("gone")
	others := map[*Endpoint]int{}
	for i := range n {
		e, _ := p.Pick(nil, keys(i))
		switch {
		case before[i] == gone && e == gone:
			t.Fatal("an endpoint that is down is picked")
		case before[i] == gone:
			others[e]++
		case e != before[i]:
			t.Fatalf("key %d moved from %s to %s, and %s is gone", i, before[i].Name(), e.Name(), gone.Name())
		}
	}
	for e, got := range others {
		if got < 300 || got > 700 {
			t.Errorf("%s took over %d keys", e.Name(), got)
		}
	}
	// The names decide, not their order, so that all gateways agree.
	q, _ := at(upstreamOf(t, Options{Balance: Hash}, ":5", ":4", ":3", ":2", ":1"))
	for i := range n {
		if e, _ := q.Pick(nil, keys(i)); e.Name() != before[i].Name() {
			t.Fatalf("key %d: %s here, %s there", i, before[i].Name(), e.Name())
		}
	}
	// A second attempt goes elsewhere, and to the same place each time.
	e, _ := q.Pick([]*Endpoint{q.up.endpoints[0]}, 7)
	f, _ := q.Pick([]*Endpoint{q.up.endpoints[0]}, 7)
	if e != f || e == q.up.endpoints[0] {
		t.Errorf("%s, then %s", e.Name(), f.Name())
	}
}

func TestParseKey(t *testing.T) {
	for s, want := range map[string]string{"client": "client", "path": "path", "field:X-User": "field:x-user", "cookie:SID": "cookie:SID",
		"": "", "ip": "", "field:": "", "field": "", "cookie:a b": "", "cookie:a=b": ""} {
		k, err := ParseKey(s)
		if (err != nil) != (want == "") || err == nil && k.String() != want {
			t.Errorf("%q: %v %v", s, k, err)
		}
	}
	for i, s := range balances {
		if b, err := ParseBalance(s); err != nil || int(b) != i {
			t.Errorf("%s: %v %v", s, b, err)
		}
	}
}

func BenchmarkBalance(b *testing.B) {
	for _, n := range []int{2, 10, 250} {
		for i, name := range balances {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				p, _ := at(upstreamOf(b, Options{Balance: Balance(i)}, fmt.Sprintf(":1-%d", n)))
				b.ReportAllocs()
				for j := 0; b.Loop(); j++ {
					p.Pick(nil, uint64(j))
				}
			})
		}
	}
}
