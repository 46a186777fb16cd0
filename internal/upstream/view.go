package upstream

import (
	"cmp"
	"math/bits"
	"slices"
	"sync/atomic"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// view is what one loop picks from: the endpoints that nobody outranks, with tables by
// which one of them is drawn in a time that does not grow with their number, whatever
// their weights. It is made anew when the state of an endpoint has changed, which is
// rare, and is only a hint: whoever is drawn is looked at again.
type view struct {
	list    []*Endpoint
	rank    rank      // of each
	version uint32    // of the upstream when it was made
	made    bool      // it was
	until   loop.Time // when time changes somebody's state
	ramping bool      // some have their slow start
	panic   bool      // who is ejected or down is asked as well, see Options.Panic

	// The below are nil where all weights are the same.

	// stride is each weight as a share of the largest one, strideOne, less one. In every
	// round of the list an endpoint is passed over in all but its share of the rounds, evenly
	// spread (static stride scheduling, as in gRPC's weighted round robin).
	stride []uint16
	// odds and other draw by weight (Vose, A Linear Algorithm for Generating Random
	// Numbers with a Given Distribution, 1991): of a place drawn evenly, the share odds/2³²
	// is its own and the rest another's.
	odds  []uint32
	other []int32
}

const strideOne = 1 << 16

// touch tells all loops that their views are out of date. It is called after the change.
func (u *Upstream) touch() {
	u.version.Add(1)
	u.queue.room(nil, 0) // somebody may be there for those who wait
}

// rankTiers orders the endpoints' preferences: first those of the lowest tier that are no
// backups, in each tier those of our own zone before others.
func (u *Upstream) rankTiers() {
	type order struct {
		backup, tier int
		far          int
	}
	of := func(e *Endpoint) (o order) {
		o.tier = e.target.Tier
		if e.target.Backup {
			o.backup = 1
		}
		if u.o.Zone != "" && e.target.Zone != u.o.Zone {
			o.far = 1
		}
		return o
	}
	compare := func(a, b order) int {
		return cmp.Or(a.backup-b.backup, a.tier-b.tier, a.far-b.far)
	}
	var all []order
	for _, e := range u.endpoints {
		all = append(all, of(e))
	}
	slices.SortFunc(all, compare)
	all = slices.Compact(all)
	u.tiers = make([]tier, len(all))
	u.even = true
	for _, e := range u.endpoints {
		e.tier = slices.Index(all, of(e))
		t := &u.tiers[e.tier]
		t.all = append(t.all, e)
		u.even = u.even && e.weight == u.endpoints[0].weight
	}
	for i := range u.tiers {
		if t := &u.tiers[i]; u.o.Balance == Hash && len(t.all) >= ownersFrom {
			t.owners = make([]atomic.Uint32, 1<<slotBits)
		}
	}
}

// look returns the view, made anew if it is out of date.
func (p *Local) look(now loop.Time) *view {
	v := &p.view
	if version := p.up.version.Load(); !v.made || v.version != version || now >= v.until {
		// What changes from here on has another version, and is seen the next time.
		v.version = version
		p.make(v, now)
	}
	return v
}

func (p *Local) make(v *view, now loop.Time) {
	next := 0 // who is next in turn stays so
	if p.next < len(v.list) {
		next = v.list[p.next].index
	}
	v.made, v.until, v.ramping, v.panic = true, loop.Never, false, p.up.panics(now)
	clear(v.list)
	v.list = v.list[:0]
	for _, e := range p.up.endpoints {
		h := &e.health
		if until := loop.Time(h.until.Load()); until != 0 {
			v.lasts(until, now)
			v.lasts(loop.Time(h.probe.Load()), now)
		} else {
			v.lasts(loop.Time(h.shy.Load()), now)
		}
		r := e.rankIn(v, nil, now)
		if r == out {
			continue
		}
		if n := len(v.list); n > 0 && cmp.Or(cmp.Compare(r, v.rank), cmp.Compare(e.tier, v.list[0].tier)) != 0 {
			if r > v.rank || r == v.rank && e.tier > v.list[0].tier {
				continue
			}
			v.list = v.list[:0]
		}
		v.rank = r
		v.list = append(v.list, e)
	}
	p.next = 0
	for i, e := range v.list {
		if e.index < next {
			p.next = i + 1
		}
		if e.begun(now) {
			v.ramping = true
			v.lasts(loop.Time(e.health.ramp.Load()).Add(int64(p.up.o.SlowStart)), now)
		}
	}
	v.weigh()
}

// lasts notes a moment at which the view may change.
func (v *view) lasts(until, now loop.Time) {
	if until > now {
		v.until = min(v.until, until)
	}
}

// weigh makes the tables.
func (v *view) weigh() {
	v.stride, v.odds, v.other = v.stride[:0], v.odds[:0], v.other[:0]
	n, most, sum := len(v.list), 0, 0
	even := true
	for _, e := range v.list {
		most, sum = max(most, e.weight), sum+e.weight
		even = even && e.weight == v.list[0].weight
	}
	if even {
		return
	}
	// Vose's method in whole numbers: each place holds sum parts, an endpoint has
	// weight·n of all. Weights and endpoints are far from where this overflows.
	left := make([]int, n)
	var small, large []int32
	for i, e := range v.list {
		v.stride = append(v.stride, uint16(e.weight*strideOne/most-1))
		left[i] = e.weight * n
		if left[i] < sum {
			small = append(small, int32(i))
		} else {
			large = append(large, int32(i))
		}
	}
	v.odds, v.other = slices.Grow(v.odds, n)[:n], slices.Grow(v.other, n)[:n]
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		v.odds[s], v.other[s] = uint32(uint64(left[s])<<32/uint64(sum)), l
		if left[l] -= sum - left[s]; left[l] < sum {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, rest := range [...][]int32{small, large} {
		for _, i := range rest {
			v.odds[i], v.other[i] = 1<<32-1, i
		}
	}
}

// any draws by weight.
func (p *Local) any(v *view) *Endpoint {
	x := p.random.Uint64()
	i, _ := bits.Mul64(x, uint64(len(v.list)))
	if len(v.odds) == 0 {
		return v.list[i]
	}
	if uint32(x*0x9e3779b97f4a7c15>>32) >= v.odds[i] {
		return v.list[v.other[i]]
	}
	return v.list[i]
}

// turn is the next one in turn, by weight.
func (p *Local) turn(v *view) *Endpoint {
	for {
		if p.next >= len(v.list) {
			p.next = 0
			p.round++
		}
		i := p.next
		p.next++
		if len(v.stride) == 0 {
			return v.list[i]
		}
		// In each strideOne rounds the product passes a whole strideOne weight times.
		// Endpoints of the same weight begin at different rounds.
		weight := uint32(v.stride[i]) + 1
		if uint32(uint16(weight*p.round+uint32(i)*(strideOne/2-1)))+weight >= strideOne {
			return v.list[i]
		}
	}
}
