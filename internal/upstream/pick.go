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

// draws is how often Pick draws from the view before it looks at all endpoints: what
// was tried before, or has failed since the view was made, is drawn again rather often
// only where little else is left.
const draws = 4

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
	v := p.look(now)
	for nth := range draws {
		e := p.choose(v, key, nth, now)
		switch r := e.rank(before, now); {
		case r != v.rank:
		case v.ramping && nth < draws-1 && !p.ripe(e, key, now):
		case r == up && e.health.until.Load() != 0 && !e.claimProbe(now):
			v = p.look(now) // another loop has the probe now
		default:
			return e, nil
		}
	}
	return p.search(before, key, now), nil
}

// search looks at all endpoints and returns the best.
func (p *Local) search(before []*Endpoint, key uint64, now loop.Time) *Endpoint {
	all := p.up.endpoints
	for {
		at := int(p.random.Uint64() % uint64(len(all)))
		var best *Endpoint
		var r rank
		for range all {
			e := all[at]
			if at++; at == len(all) {
				at = 0
			}
			switch q := e.rank(before, now); {
			case best == nil || q < r || q == r && (e.tier < best.tier || e.tier == best.tier && p.better(e, best, key)):
				best, r = e, q
			}
		}
		if r == up && best.health.until.Load() != 0 && !best.claimProbe(now) {
			continue // another loop has the probe now: it ranks as ejected
		}
		return best
	}
}

func (e *Endpoint) rank(before []*Endpoint, now loop.Time) rank {
	if len(before) > 0 && slices.Contains(before, e) {
		return tried
	}
	h := &e.health
	switch until := loop.Time(h.until.Load()); {
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
	if now < loop.Time(old) || !e.health.probe.CompareAndSwap(old, int64(now.Add(int64(probeFor)))) {
		return false
	}
	e.up.touch()
	return true
}
