package upstream

import (
	"slices"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// rank says how willingly an endpoint is picked; lower is better.
type rank uint8

const (
	up      rank = iota // well, or due for a probe
	shy                 // could not be reached a moment ago
	ejected             // left out
	down                // checks say that it is down
	tried               // has had this request before
)

// Pick chooses the endpoint of the next attempt. It takes the next one in turn,
// or one at random that has fewer requests in flight on this loop: with two
// choices the load stays even, and slow endpoints get less, at no cost
// (Mitzenmacher, The Power of Two Choices, 2001).
//
// It never returns one of those tried while another is left, an ejected one only when
// no other is left, or as a probe once its time is over, and one that is down only when
// there is nothing better: a check may be wrong, and a try costs less than none. With at
// least one target there always is an endpoint, so the fault is nil; it is for
// callers that treat all pickers alike.
func (p *Local) Pick(before []*Endpoint) (*Endpoint, *fault.Fault) {
	all := p.up.endpoints
	n := len(all)
	if n == 1 {
		return all[0], nil
	}
	now := p.loop.Now()
	first, r := p.seek(p.next, before, now)
	p.next = first + 1
	if p.next >= n {
		p.next = 0
	}
	choice := all[first]
	if r == up {
		if choice.health.until.Load() != 0 {
			if choice.claimProbe(now) {
				return choice, nil
			}
			return p.Pick(before) // another loop has the probe now: it ranks as ejected
		}
		// The second choice counts only if it is less busy, and then the load of
		// the first is above 0.
		if p.bench[first].inFlight > 0 {
			second, r2 := p.seek(int(p.random.Uint64()%uint64(n)), before, now)
			if r2 == up && all[second].health.until.Load() == 0 && p.bench[second].inFlight < p.bench[first].inFlight {
				choice = all[second]
			}
		}
	}
	return choice, nil
}

// seek returns the first endpoint from index `from` on, around the ring, that
// nobody outranks.
func (p *Local) seek(from int, before []*Endpoint, now loop.Time) (best int, bestRank rank) {
	all := p.up.endpoints
	best, bestRank = from, tried
	for i := range all {
		at := from + i
		if at >= len(all) {
			at -= len(all)
		}
		r := all[at].rank(before, now)
		if r < bestRank {
			best, bestRank = at, r
		}
		if r == up {
			break
		}
	}
	return best, bestRank
}

func (e *Endpoint) rank(before []*Endpoint, now loop.Time) rank {
	h := &e.health
	switch until := loop.Time(h.until.Load()); {
	case slices.Contains(before, e):
		return tried
	case h.down.Load():
		return down
	case until != 0 && (now < until || now < loop.Time(h.probe.Load())):
		return ejected
	case until == 0 && now < loop.Time(h.shy.Load()):
		return shy
	}
	return up
}

// claimProbe makes the caller's request the one that finds out whether an
// ejected endpoint is well again.
func (e *Endpoint) claimProbe(now loop.Time) bool {
	old := e.health.probe.Load()
	return now >= loop.Time(old) && e.health.probe.CompareAndSwap(old, int64(now.Add(int64(probeFor))))
}
