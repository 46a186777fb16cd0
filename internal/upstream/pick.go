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
	drained             // an operator took it out
	tried               // has had this request before
)

// Pick chooses the endpoint of the next attempt, as Options.Balance says; key is for
// Hash.
//
// It never returns one of those tried while another is left, an ejected one only when
// no other is left, or as a probe once its time is over, and one that is down only when
// there is nothing better: a check may be wrong, and a try costs less than none. With at
// least one target there always is an endpoint, so the fault is nil; it is for
// callers that treat all pickers alike.
func (p *Local) Pick(before []*Endpoint, key uint64) (*Endpoint, *fault.Fault) {
	all := p.up.endpoints
	if len(all) == 1 {
		return all[0], nil
	}
	now := p.loop.Now()
	i, r := p.choose(before, key, now)
	choice := all[i]
	if r == up && choice.health.until.Load() != 0 && !choice.claimProbe(now) {
		return p.Pick(before, key) // another loop has the probe now: it ranks as ejected
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
	case h.drained.Load():
		return drained
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
