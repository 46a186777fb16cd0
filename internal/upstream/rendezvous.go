package upstream

import (
	"math"
	"sync/atomic"
)

// Keys are put into slots, and slots have owners: so the owner of each needs to be found
// only once, where a look at a thousand endpoints takes ten microseconds. Their number
// never changes, or keys would move with it. A thousand endpoints have some 260 each,
// which makes their shares of keys differ by 6 %.
const slotBits = 18

// slotOf is the slot of a key. A key whose owner is not well has others, its own as well:
// nth counts them.
func slotOf(key uint64, nth int) uint64 {
	return mix(key, uint64(2*nth+1)*0xd1342543de82ef95) >> (64 - slotBits)
}

// score is how much of a right to a slot an endpoint has: who has the highest one owns
// it. Over all slots each has the highest score in its weight's share of them, and a
// change of one weight moves slots to or from that endpoint only.
func (e *Endpoint) score(slot uint64) float64 {
	// A number above 0 and below 1, evenly spread.
	u := (float64(mix(slot<<(64-slotBits), e.hash)>>11) + 0.5) / (1 << 53)
	if e.up.even {
		return u // in the same order
	}
	return -float64(e.weight) / math.Log(u)
}

// tier are endpoints that are equally preferred.
type tier struct {
	all []*Endpoint
	// owners are by slot the index of an endpoint and one, 0 where nobody has looked; nil
	// where a look costs next to nothing. They do not depend on who is well.
	owners []atomic.Uint32
}

// ownersFrom is the number of endpoints from which on owners are kept.
const ownersFrom = 9

// owner returns the owner of a key among those in the view. nth counts the draws of a
// pick; what it returns may be not well and is then drawn again.
func (p *Local) owner(v *view, key uint64, nth int) *Endpoint {
	t := &p.up.tiers[v.list[0].tier]
	slot := slotOf(key, nth)
	if t.owners == nil {
		return highest(v.list, slot)
	}
	n := t.owners[slot].Load()
	if n == 0 {
		n = uint32(highest(t.all, slot).index) + 1
		t.owners[slot].Store(n)
	}
	return p.up.endpoints[n-1]
}

func highest(list []*Endpoint, slot uint64) *Endpoint {
	best, most := list[0], list[0].score(slot)
	for _, e := range list[1:] {
		if s := e.score(slot); s > most {
			best, most = e, s
		}
	}
	return best
}
