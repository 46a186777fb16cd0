package upstream

import (
	"slices"
	"strings"
	"time"

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
	out                 // an operator took it out: it is not picked at all
)

// draws is how often a pick draws from the view before it looks at all endpoints: what
// was tried before, is full, or has failed since the view was made, is drawn again rather
// often only where little else is left.
const draws = 4

// Pick chooses the endpoint of the next attempt, as Options.Balance says; key is for
// Hash.
//
// It never returns one of those tried while another is left, an ejected one only when
// no other is left, or as a probe once its time is over, and one that is down only when
// there is nothing better: a check may be wrong, and a try costs less than none;
// Options.NoLastResort says that neither is. What an operator took out is never picked: if
// nobody is left, the fault is pool_all_unhealthy, or circuit_open if requests brought that
// about; if there are none at all, pool_empty.
func (p *Local) Pick(before []*Endpoint, key uint64) (*Endpoint, *fault.Fault) {
	e, _ := p.pick(before, key)
	if e == nil {
		return nil, p.nobody()
	}
	return e, nil
}

// pick is Pick that leaves out endpoints which are full: it returns nil if those that it
// would choose from are, or with nobody if there are none. A full endpoint makes
// requests wait; it does not send them to backups or to endpoints that are not well.
func (p *Local) pick(before []*Endpoint, key uint64) (e *Endpoint, nobody bool) {
	all := p.up.endpoints
	if len(all) == 0 {
		return nil, true
	}
	if len(all) == 1 && !p.up.o.NoLastResort {
		switch e := all[0]; {
		case e.out():
			return nil, true
		case p.full(e):
			return nil, false
		}
		return all[0], false
	}
	now := p.loop.Now()
	v := p.look(now)
	for nth := 0; nth < draws && len(v.list) > 0; nth++ {
		e := p.choose(v, key, nth, now)
		switch r := e.rankIn(v, before, now); {
		case r != v.rank || p.full(e):
		case v.ramping && nth < draws-1 && !p.ripe(e, key, now):
		case r == up && e.health.until.Load() != 0 && !v.panic && !e.claimProbe(now):
			v = p.look(now) // another loop has the probe now
		default:
			return e, false
		}
	}
	return p.search(before, key, now)
}

// search looks at all endpoints and returns the best, as pick does.
func (p *Local) search(before []*Endpoint, key uint64, now loop.Time) (best *Endpoint, nobody bool) {
	all, v := p.up.endpoints, p.look(now)
	for {
		at := int(p.random.Uint64() % uint64(len(all)))
		best = nil
		var r rank
		full := false // best is
		for range all {
			e := all[at]
			if at++; at == len(all) {
				at = 0
			}
			q := e.rankIn(v, before, now)
			switch {
			case q == out:
			case best == nil || q < r || q == r && e.tier < best.tier:
				best, r, full = e, q, p.full(e)
			case q > r || e.tier > best.tier || p.full(e):
			case full || p.better(e, best, key):
				best, full = e, false
			}
		}
		switch {
		case best == nil:
			return nil, true
		case full:
			return nil, false
		case r == up && best.health.until.Load() != 0 && !v.panic && !best.claimProbe(now):
			continue // another loop has the probe now: it ranks as ejected
		}
		return best, false
	}
}

// nobody is the fault of an upstream of which no endpoint is to be asked.
func (p *Local) nobody() *fault.Fault {
	if len(p.up.endpoints) == 0 {
		return fault.New(fault.PoolEmpty, "upstream", p.up.o.Name, "value", p.up.o.Empty)
	}
	const most = 8
	var states []string
	now, next := p.loop.Now(), loop.Never // the next probe
	for i, e := range p.up.endpoints {
		state := e.State()
		words := e.target.Name + " is " + state.words()
		if state == StateEjected {
			h := &e.health
			next = min(next, max(loop.Time(h.until.Load()), loop.Time(h.probe.Load())))
			if why := h.cause.Load(); why != nil {
				words += " (" + *why
				if id := h.why.Load(); id != nil {
					words += ": " + string(*id)
				}
				words += ")"
			}
		}
		switch {
		case i < most:
			states = append(states, words)
		case i == most:
			states = append(states, "...")
		}
	}
	if next == loop.Never {
		return fault.New(fault.PoolAllUnhealthy, "upstream", p.up.o.Name, "states", strings.Join(states, ", "))
	}
	after := time.Duration(max(next-now, 0))
	f := fault.New(fault.CircuitOpen, "upstream", p.up.o.Name, "states", strings.Join(states, ", "), "after", short(after))
	f.RetryAfter = max(after, 1)
	return f
}

// rankIn is rank in a view, where panic has its say.
func (e *Endpoint) rankIn(v *view, before []*Endpoint, now loop.Time) rank {
	r := e.rank(before, now)
	if v.panic && (r == ejected || r == down || r == shy) {
		return up
	}
	return r
}

// closed reports whether the endpoint is not to be asked even as the last resort.
func (e *Endpoint) closed(now loop.Time) bool {
	return e.up.o.NoLastResort && e.up.o.Panic == 0 && now < loop.Time(e.health.until.Load())
}

func (e *Endpoint) rank(before []*Endpoint, now loop.Time) rank {
	h := &e.health
	until := loop.Time(h.until.Load())
	open := until != 0 && (now < until || now < loop.Time(h.probe.Load()))
	switch {
	case h.said.Load() != saidNothing:
		return out
	case e.up.o.NoLastResort && e.up.o.Panic == 0 && (open || h.down.Load()):
		return out
	case len(before) > 0 && slices.Contains(before, e):
		return tried
	case h.down.Load():
		return down
	case open:
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
