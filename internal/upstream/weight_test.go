package upstream

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/fault"
)

// weighted is an upstream whose endpoints have these weights.
func weighted(t testing.TB, o Options, weights ...int) *Upstream {
	t.Helper()
	for i, w := range weights {
		o.Targets = append(o.Targets, Target{Name: fmt.Sprintf("10.0.%d.%d:80", i/250, i%250), Host: fmt.Sprintf("10.0.%d.%d", i/250, i%250),
			Port: 80, Preference: Preference{Weight: w}})
	}
	u, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Every way gives each endpoint its weight's share.
func TestWeights(t *testing.T) {
	const n = 24_000
	for i, name := range balances {
		for _, weights := range [][]int{{3, 1}, {1, 1, 4}, {5, 1, 1, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 1}, {1000, 500}} {
			t.Run(fmt.Sprint(name, weights), func(t *testing.T) {
				u := weighted(t, Options{Balance: Balance(i)}, weights...)
				p, _ := at(u)
				p.random.Seed(1, 2)
				sum := 0
				for _, w := range weights {
					sum += w
				}
				// Requests that end at once: the load of nobody tells anything.
				for e, got := range shares(t, p, n, keys) {
					want := float64(n*e.weight) / float64(sum)
					if math.Abs(float64(got)-want) > 0.15*want+40 {
						t.Errorf("weight %d of %d: %d of %d requests, want %.0f", e.weight, sum, got, n, want)
					}
				}
			})
		}
	}
}

// In turn means evenly in turn: who has half of the weight is every second one.
func TestWeightedTurnsAreSpread(t *testing.T) {
	u := weighted(t, Options{Balance: RoundRobin}, 4, 2, 2)
	p, _ := at(u)
	last, gap := -1, 0
	for i := range 400 {
		if pick(t, p) == u.endpoints[0] {
			gap, last = max(gap, i-last), i
		}
	}
	if gap > 3 {
		t.Errorf("between two turns of half of the weight are %d others", gap-1)
	}
}

// Under load the requests at a time follow the weights, too.
func TestWeightedLoad(t *testing.T) {
	for _, b := range []Balance{Turns, Least, Latency} {
		u := weighted(t, Options{Balance: b}, 4, 1)
		p, _ := at(u)
		p.random.Seed(1, 2)
		for _, e := range u.endpoints {
			p.Took(e, 1e6, false)
		}
		for range 500 { // none of them ends
			p.bench[pick(t, p).index].inFlight++
		}
		if n := p.bench[0].inFlight; n < 370 || n > 430 {
			t.Errorf("%s: the larger one has %d of 500 requests", balances[b], n)
		}
	}
}

// A change of one weight moves keys to that endpoint and none between others.
func TestWeightedHashMovesLittle(t *testing.T) {
	for _, n := range []int{4, 20} {
		weights := make([]int, n)
		for i := range weights {
			weights[i] = 10
		}
		p, _ := at(weighted(t, Options{Balance: Hash}, weights...))
		weights[1] = 11
		q, _ := at(weighted(t, Options{Balance: Hash}, weights...))
		moved := 0
		for i := range 20_000 {
			a, b := pickKey(t, p, keys(i)), pickKey(t, q, keys(i))
			if a.Name() == b.Name() {
				continue
			}
			if moved++; b.index != 1 {
				t.Fatalf("%d endpoints: key %d moved from %s to %s", n, i, a.Name(), b.Name())
			}
		}
		if most := 20_000 / n / 5; moved == 0 || moved > most {
			t.Errorf("%d endpoints: %d keys moved, want some and at most %d", n, moved, most)
		}
	}
}

// A thousand endpoints: who is not well loses its keys to all others, and gets the same
// ones back.
func TestHashOfMany(t *testing.T) {
	weights := make([]int, 1000)
	u := weighted(t, Options{Balance: Hash}, weights...)
	p, _ := at(u)
	before := make([]*Endpoint, 20_000)
	for i := range before {
		before[i] = pickKey(t, p, keys(i))
	}
	for _, e := range u.endpoints[:500] {
		e.Fail("gone")
	}
	for i, was := range before {
		switch now := pickKey(t, p, keys(i)); {
		case now.Down():
			t.Fatalf("key %d is at %s, which is down", i, now.Name())
		case !was.Down() && now != was:
			t.Fatalf("key %d moved from %s, which is well, to %s", i, was.Name(), now.Name())
		case now != pickKey(t, p, keys(i)):
			t.Fatalf("key %d is now here, now there", i)
		}
	}
	for _, e := range u.endpoints[:500] {
		e.Up("back")
	}
	for i, was := range before {
		if now := pickKey(t, p, keys(i)); now != was {
			t.Fatalf("key %d was at %s and came back to %s", i, was.Name(), now.Name())
		}
	}
}

func pickKey(t *testing.T, p *Local, key uint64) *Endpoint {
	t.Helper()
	e, f := p.Pick(nil, key)
	if f != nil {
		t.Fatal(f)
	}
	return e
}

// preferred is an upstream of ports 1, 2, ... with these preferences.
func preferred(t testing.TB, o Options, list ...Preference) *Upstream {
	t.Helper()
	for i, p := range list {
		o.Targets = append(o.Targets, Target{Name: fmt.Sprintf("10.0.0.1:%d", i+1), Host: "10.0.0.1", Port: uint16(i + 1), Preference: p})
	}
	u, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Backups, tiers and zones: the next group gets requests while nobody of the ones before
// is well, whatever the way.
func TestGroups(t *testing.T) {
	for i, name := range balances {
		t.Run(name, func(t *testing.T) {
			u := preferred(t, Options{Balance: Balance(i), Zone: "a"},
				Preference{Zone: "b"}, Preference{Backup: true}, Preference{Zone: "a"}, Preference{Tier: 1, Zone: "a"}, Preference{Zone: "a"}, Preference{})
			p, clock := at(u)
			expect := func(when string, ports ...int) {
				t.Helper()
				got := shares(t, p, 600, keys)
				for _, port := range ports {
					if got[u.endpoints[port-1]] == 0 {
						t.Errorf("%s: port %d gets nothing", when, port)
					}
					delete(got, u.endpoints[port-1])
				}
				for e, n := range got {
					t.Errorf("%s: %s gets %d requests", when, e.Name(), n)
				}
			}
			e := func(port int) *Endpoint { return u.endpoints[port-1] }
			expect("all are well", 3, 5)
			e(3).Fail("no")
			expect("one of the own zone is left", 5)
			e(5).Drain("no")
			expect("the own zone is gone", 1, 6)
			p.Report(e(6), fault.New(fault.ConnectRefused)) // not ejected, but out of reach
			expect("another zone", 1)
			clock.pass(shyFor)
			expect("a second later", 1, 6)
			e(1).Fail("no")
			e(6).Fail("no")
			expect("the first tier is gone", 4)
			e(4).Fail("no")
			expect("only the backup is well", 2)
			e(2).Fail("no")
			if got := pickKey(t, p, 1); got == e(5) {
				t.Error("nobody is well, and the one that was taken out is picked")
			}
			e(5).Resume("yes")
			expect("back again", 5)
		})
	}
}

// An endpoint that is back gets little at first and its share in the end; none does at
// the start.
func TestSlowStart(t *testing.T) {
	for i, name := range balances {
		t.Run(name, func(t *testing.T) {
			o := Options{Balance: Balance(i), SlowStart: 20 * time.Second, Eject: Eject{After: 1, Share: -1, For: time.Second, Max: time.Second}}
			u := upstreamOf(t, o, ":1-4")
			p, clock := at(u)
			p.random.Seed(1, 2)
			back := u.endpoints[1]
			share := func() int { return shares(t, p, 4000, keys)[back] }
			between := func(when string, least, most int) {
				t.Helper()
				if n := share(); n < least || n > most {
					t.Errorf("%s: %d of 4000, want %d to %d", when, n, least, most)
				}
			}
			between("at the start", 800, 1200)
			back.Fail("sick")
			between("while it is down", 0, 0)
			back.Up("well")
			between("at once", 40, 250)
			clock.pass(10 * time.Second)
			between("halfway", 350, 850)
			clock.pass(10 * time.Second)
			between("in the end", 800, 1200)
			if back.health.ramp.Load() != 0 {
				t.Error("it never ends")
			}
			back.Drain("upgrade")
			back.Resume("done")
			between("put back", 40, 250)

			next := upstreamOf(t, o, ":1-5") // a reload adds one
			next.Inherit(u)
			q := next.On(clock)
			q.random.Seed(1, 2)
			clock.pass(15 * time.Second)
			got := shares(t, q, 4000, keys)
			if n := got[next.endpoints[4]]; n < 40 || n > 300 {
				t.Errorf("a new one: %d of 4000", n)
			}
			if n := got[next.endpoints[1]]; n < 400 || n > 1050 {
				t.Errorf("one in the middle of its start: %d of 4000", n)
			}
			for _, e := range next.endpoints {
				e.Fail("all of them")
			}
			for _, e := range next.endpoints {
				e.Up("well again")
			}
			for e, n := range shares(t, q, 4000, keys) { // nobody else is there to take more
				if n < 500 {
					t.Errorf("all begin anew: %s gets %d of 4000", e.Name(), n)
				}
			}
		})
	}
}

// Weights are looked at, and an endpoint is where it is.
func TestWeightsAreChecked(t *testing.T) {
	for _, w := range []int{-1, MaxWeight + 1} {
		if _, err := New(Options{Targets: []Target{{Name: "a:80", Host: "a", Port: 80, Preference: Preference{Weight: w}}}}); err == nil {
			t.Errorf("the weight %d is taken", w)
		}
	}
	// Where an endpoint is tells it from others, what it gets does not.
	a := Target{Name: "a:80", Host: "a", Port: 80}
	b := a
	b.Weight, b.Backup, b.Zone = 5, true, "z"
	if _, err := New(Options{Targets: []Target{a, b}}); err == nil {
		t.Error("one endpoint is given twice, with different weights, and taken")
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	for i, name := range balances {
		for _, n := range []int{2, 40} {
			weights := make([]int, n)
			for j := range weights {
				weights[j] = j%7 + 1
			}
			p, _ := at(weighted(t, Options{Balance: Balance(i)}, weights...))
			key := uint64(0)
			if got := testing.AllocsPerRun(1000, func() {
				p.Pick(nil, key)
				key++
			}); got != 0 {
				t.Errorf("%s of %d: %v allocations", name, n, got)
			}
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{1, 10, 1000} {
		for i, name := range balances {
			for kind, weight := range map[string]func(int) int{"even": func(int) int { return 1 }, "weighted": func(i int) int { return i%10 + 1 }} {
				b.Run(fmt.Sprintf("%s/%s/%d", name, kind, n), func(b *testing.B) {
					weights := make([]int, n)
					for j := range weights {
						weights[j] = weight(j)
					}
					p, _ := at(weighted(b, Options{Balance: Balance(i)}, weights...))
					for j := range uint64(200_000) { // owners of slots are found
						p.Pick(nil, j)
					}
					b.ReportAllocs()
					for j := uint64(0); b.Loop(); j++ {
						p.Pick(nil, j%200_000)
					}
				})
			}
		}
	}
}
