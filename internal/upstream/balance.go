package upstream

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// Balance says how an endpoint is chosen among those that are well.
type Balance uint8

// The ways. Each leaves out what Pick leaves out, and gives an endpoint of weight 2 twice
// the requests of one of weight 1, or lets it have twice as many at a time.
const (
	// Turns takes the next one in turn, or one at random that has fewer requests in
	// flight: with two choices the load stays even, and slow endpoints get less, at no
	// cost (Mitzenmacher, The Power of Two Choices, 2001).
	Turns Balance = iota
	// RoundRobin takes the next one in turn, whatever it is doing.
	RoundRobin
	// Random takes any.
	Random
	// Least takes the one with the fewest requests in flight; of more than 32 endpoints
	// it compares 16 at random.
	Least
	// Latency takes the better of two at random: the one whose answers begin sooner,
	// times the requests that it has in flight. A slow answer counts at once and is
	// forgotten over ten seconds (peak EWMA, as in Finagle).
	Latency
	// Hash takes the same one for the same key, see Key. When an endpoint goes, its keys
	// are spread over the others and no other key moves (rendezvous hashing, Thaler and
	// Ravishankar 1998; with weights as in Schindelhauer and Schomaker 2005).
	Hash
)

// Source says what the key of Hash is.
type Source uint8

// The sources.
const (
	ByClient Source = iota // the client's address
	ByPath                 // the path, without the query
	ByField                // a field's value
	ByCookie               // a cookie's value
)

// Key says what of a request Hash goes by. A request without it goes by the client.
type Key struct {
	Source Source
	Name   string // of the field, in lower case, or of the cookie
}

// balances are the names of the ways, in their order.
var balances = [...]string{"turns", "round-robin", "random", "least", "latency", "hash"}

// ParseBalance reads the name of a way.
func ParseBalance(s string) (Balance, error) {
	if i := slices.Index(balances[:], s); i >= 0 {
		return Balance(i), nil
	}
	return 0, fmt.Errorf("it must be one of %s", strings.Join(balances[:], ", "))
}

// ParseKey reads what Hash goes by: client, path, field:NAME or cookie:NAME.
func ParseKey(s string) (k Key, err error) {
	what, name, named := strings.Cut(s, ":")
	switch {
	case s == "client":
		return Key{Source: ByClient}, nil
	case s == "path":
		return Key{Source: ByPath}, nil
	case what == "field" && isToken(name):
		return Key{ByField, strings.ToLower(name)}, nil
	case what == "cookie" && isToken(name):
		return Key{ByCookie, name}, nil
	case named && (what == "field" || what == "cookie"):
		return k, fmt.Errorf("%q is the name of no %s: write %s:NAME", name, what, what)
	}
	return k, fmt.Errorf("it must be client, path, field:NAME or cookie:NAME")
}

// String is what ParseKey reads.
func (k Key) String() string {
	switch k.Source {
	case ByPath:
		return "path"
	case ByField:
		return "field:" + k.Name
	case ByCookie:
		return "cookie:" + k.Name
	}
	return "client"
}

// isToken reports whether s is a token (RFC 9110 §5.6.2).
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// forget is the time in which an endpoint's latency of once loses half its weight.
const forget = loop.Time(10e9)

// took notes how long an endpoint let us wait, and when.
func (b *bench) took(ns int64, now loop.Time) {
	switch {
	case ns >= b.latency:
		b.latency = ns
	default:
		// A share of the past that falls with its age: half after ten seconds.
		age := min(now-b.tookAt, 100*forget)
		b.latency = int64((float64(b.latency)*float64(forget) + float64(ns)*float64(age)) / float64(forget+age))
	}
	b.tookAt = now
}

// Took tells how long after a request its answer began, on an attempt that went well; bad
// says that the answer was a failure of the application all the same. Such ones are often
// quick, and must not draw requests to where they come from.
func (p *Local) Took(e *Endpoint, ns int64, bad bool) {
	p.learns(e, ns, bad)
	if b := &p.bench[e.index]; p.up.o.Balance == Latency && (!bad || ns > b.latency) {
		b.took(ns, p.loop.Now())
	}
}

// Balance is how endpoints are chosen.
func (p *Local) Balance() (Balance, *Key) { return p.up.o.Balance, &p.up.o.Key }

// HashKey is a number for the bytes of a key (FNV-1a).
func HashKey(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// mix spreads a key and an endpoint over all numbers.
func mix(key, endpoint uint64) uint64 {
	hi, lo := bits.Mul64(key^0x9e3779b97f4a7c15, endpoint|1)
	x := hi ^ lo
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}

// The bounds of what a choice looks at, so that it costs the same for any number of
// endpoints.
const (
	// leastAll is up to how many endpoints Least looks at all; of more it looks at
	// leastSome at random, of which the least is among the least of all.
	leastAll, leastSome = 32, 16
)

// choose draws an endpoint of the view; nth counts the draws of a pick.
func (p *Local) choose(v *view, key uint64, nth int, now loop.Time) *Endpoint {
	if len(v.list) == 1 {
		return v.list[0]
	}
	switch p.up.o.Balance {
	case Random:
		return p.any(v)
	case Least:
		return p.least(v)
	case Hash:
		return p.owner(v, key, nth)
	case Latency:
		first, second := p.any(v), p.any(v)
		if p.better(second, first, key) {
			return second
		}
		return first
	case RoundRobin:
		return p.turn(v)
	}
	first := p.turn(v)
	// The second choice counts only if it is less busy, and then the load of the first
	// is above 0. Probes stay where they fall.
	if v.rank == up && p.bench[first.index].inFlight > 0 && first.health.until.Load() == 0 {
		if second := p.any(v); p.better(second, first, key) && second.health.until.Load() == 0 && second.rank(nil, now) == up {
			return second
		}
	}
	return first
}

// better reports whether e is the better choice than o, where both are equally well.
func (p *Local) better(e, o *Endpoint, key uint64) bool {
	switch p.up.o.Balance {
	case Hash:
		slot := slotOf(key, 0)
		return e.score(slot) > o.score(slot)
	case Latency:
		// Who is due for a probe gets it: its latency is that of once.
		if due := e.health.until.Load() != 0; due != (o.health.until.Load() != 0) {
			return due
		}
		return p.cost(e) < p.cost(o)
	case Turns, Least:
		return p.bench[e.index].inFlight*o.weight < p.bench[o.index].inFlight*e.weight
	}
	return false
}

// cost is what the next request to an endpoint is expected to wait. One that nobody has
// asked costs nothing, until somebody waits for it: then it is not known to be quick.
func (p *Local) cost(e *Endpoint) float64 {
	b := &p.bench[e.index]
	load := float64(b.inFlight)
	switch {
	case b.latency > 0:
		return float64(b.latency) * (load/float64(e.weight) + 1)
	case b.inFlight == 0:
		return 0
	}
	return load * float64(math.MaxInt64)
}

// least returns one with the fewest requests in flight for its weight.
func (p *Local) least(v *view) *Endpoint {
	n := len(v.list)
	best := p.any(v) // by weight among equals
	if n > leastAll {
		for range leastSome {
			if e := p.any(v); p.better(e, best, 0) {
				best = e
			}
		}
		return best
	}
	for _, e := range v.list {
		if p.better(e, best, 0) {
			best = e
		}
	}
	return best
}
