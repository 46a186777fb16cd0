package upstream

import (
	"reflect"
	"slices"
)

// Inherit takes over what from has learned of the endpoints that both have: their
// health, how long they keep idle connections, their addresses, what they cannot
// do; and the tokens for retries if both have the same budget. Call it before u is used.
func (u *Upstream) Inherit(from *Upstream) {
	for _, e := range u.endpoints {
		if old := from.find(e.target); old != nil {
			e.inherit(old, u.o.Resolver == from.o.Resolver)
		} else {
			e.slowly()
		}
	}
	u.queue = from.queue
	u.queue.count(u.endpoints)
	if u.budget.o == from.budget.o {
		u.budget.share.Store(from.budget.share.Load())
		u.budget.floor.Store(from.budget.floor.Load())
	}
}

func (u *Upstream) find(t Target) *Endpoint {
	if i := slices.IndexFunc(u.endpoints, func(e *Endpoint) bool { return e.target.same(t) }); i >= 0 {
		return u.endpoints[i]
	}
	return nil
}

func (e *Endpoint) inherit(old *Endpoint, resolver bool) {
	h, o := &e.health, &old.health
	h.row.Store(o.row.Load())
	h.until.Store(o.until.Load())
	h.shy.Store(o.shy.Load())
	h.probe.Store(o.probe.Load())
	h.times.Store(o.times.Load())
	h.well.Store(o.well.Load())
	h.cause.Store(o.cause.Load())
	h.back.Store(o.back.Load())
	h.why.Store(o.why.Load())
	if e.up.o.SlowStart > 0 {
		h.ramp.Store(o.ramp.Load())
	}
	h.said.Store(o.said.Load())
	h.down.Store(o.down.Load())
	h.reason.Store(o.reason.Load())
	e.habit.limit.Store(old.habit.limit.Load())
	e.habit.seen.Store(old.habit.seen.Load())
	e.habit.last.Store(old.habit.last.Load())
	if resolver {
		e.answer.Store(old.answer.Load())
		e.good.Store(old.good.Load())
		e.swapped.Store(old.swapped.Load())
	}
	e.plain.Store(old.plain.Load())
	e.NoExpect.Store(old.NoExpect.Load())
	e.NeedLength.Store(old.NeedLength.Load())
	e.Speaks10.Store(old.Speaks10.Load())
}

// Inherit takes over the idle connections of from to the endpoints that both have,
// where both would make the same ones. Those that many requests share stay with
// from. Both must belong to the same loop, the caller's.
func (p *Local) Inherit(from *Local) {
	u, old := &p.up.o, &from.up.o
	same := u.Trusting == old.Trusting && u.ServerName == old.ServerName && u.SNI == old.SNI && u.HTTP2 == old.HTTP2 &&
		(u.CA == old.CA || u.CA != nil && old.CA != nil && u.CA.Equal(old.CA)) && reflect.DeepEqual(u.Certificate, old.Certificate)
	for i, e := range p.up.endpoints {
		o := from.up.find(e.target)
		if o == nil {
			continue
		}
		p.bench[i].latency, p.bench[i].tookAt = from.bench[o.index].latency, from.bench[o.index].tookAt
		if e.target.Secure && !same || u.SendProxy != old.SendProxy {
			continue
		}
		mine, theirs := &p.bench[i], &from.bench[o.index]
		n := min(len(theirs.idle), max(0, u.MaxIdle-len(mine.idle)))
		moved := theirs.idle[len(theirs.idle)-n:] // those that were used last
		for _, c := range moved {
			c.Endpoint = e
			if !c.counted && u.Capacity.Connections > 0 {
				c.counted = true
				e.use.connections.Add(1)
			}
		}
		mine.idle = append(slices.Clone(moved), mine.idle...)
		clear(moved)
		theirs.idle = theirs.idle[:len(theirs.idle)-n]
		p.idle += n
		from.idle -= n
	}
	if p.idle > 0 {
		p.mind()
	}
}
