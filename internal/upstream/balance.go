package upstream

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// Balance says how an endpoint is chosen among those that are well.
type Balance uint8

// The ways. Each leaves out what Pick leaves out.
const (
	// Turns takes the next one in turn, or one at random that has fewer requests in
	// flight: with two choices the load stays even, and slow endpoints get less, at no
	// cost (Mitzenmacher, The Power of Two Choices, 2001).
	Turns Balance = iota
	// RoundRobin takes the next one in turn, whatever it is doing.
	RoundRobin
	// Random takes any.
	Random
	// Least takes the one with the fewest requests in flight. It looks at all.
	Least
	// Latency takes the better of two at random: the one whose answers begin sooner,
	// times the requests that it has in flight. A slow answer counts at once and is
	// forgotten over ten seconds (peak EWMA, as in Finagle).
	Latency
	// Hash takes the same one for the same key, see Key. When an endpoint goes, its keys
	// are spread over the others and no other key moves (rendezvous hashing, Thaler and
	// Ravishankar 1998). It looks at all.
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

// cost is what the next request to an endpoint is expected to wait. One that nobody has
// asked costs nothing.
func (b *bench) cost() int64 { return b.latency * int64(b.inFlight+1) }

// Took tells how long after a request its answer began, on an attempt that went well.
func (p *Local) Took(e *Endpoint, ns int64) {
	if p.up.o.Balance == Latency {
		p.bench[e.index].took(ns, p.loop.Now())
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

// choose returns the index of the endpoint to pick, and its rank.
func (p *Local) choose(before []*Endpoint, key uint64, now loop.Time) (int, rank) {
	all := p.up.endpoints
	n := len(all)
	anywhere := func() int { return int(p.random.Uint64() % uint64(n)) }
	switch p.up.o.Balance {
	case Random:
		return p.seek(anywhere(), before, now)
	case Least:
		return p.best(anywhere(), before, now, func(a, b int) bool { return p.bench[a].inFlight < p.bench[b].inFlight })
	case Hash:
		return p.best(0, before, now, func(a, b int) bool { return mix(key, all[a].hash) > mix(key, all[b].hash) })
	case Latency:
		first, r := p.seek(anywhere(), before, now)
		second, r2 := p.seek(anywhere(), before, now)
		if r2 < r || r2 == r && p.bench[second].cost() < p.bench[first].cost() {
			return second, r2
		}
		return first, r
	}
	first, r := p.seek(p.next, before, now)
	p.next = first + 1
	if p.next >= n {
		p.next = 0
	}
	// The second choice counts only if it is less busy, and then the load of the first
	// is above 0.
	if p.up.o.Balance == Turns && r == up && p.bench[first].inFlight > 0 && all[first].health.until.Load() == 0 {
		second, r2 := p.seek(anywhere(), before, now)
		if r2 == up && all[second].health.until.Load() == 0 && p.bench[second].inFlight < p.bench[first].inFlight {
			first = second
		}
	}
	return first, r
}

// best returns the index of the best ranked endpoint for which better says so, looking
// at all from one on.
func (p *Local) best(from int, before []*Endpoint, now loop.Time, better func(a, b int) bool) (at int, r rank) {
	all := p.up.endpoints
	at, r = -1, tried
	for i := range all {
		i += from
		if i >= len(all) {
			i -= len(all)
		}
		switch q := all[i].rank(before, now); {
		case at < 0 || q < r || q == r && better(i, at):
			at, r = i, q
		}
	}
	return at, r
}
