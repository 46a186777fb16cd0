package upstream

import "github.com/gatewhy/gatewhy/internal/loop"

const (
	// rampSoon stands for a slow start that begins when a loop next looks: whoever brings
	// an endpoint back need not know the time.
	rampSoon = -1

	// rampLeast is the share of its weight that an endpoint begins with: enough to warm
	// up by, and to see whether it works at all.
	rampLeast = 0.1
)

// slowly has an endpoint that is back begin with a small share.
func (e *Endpoint) slowly() {
	if e.up.o.SlowStart > 0 {
		e.health.ramp.Store(rampSoon)
	}
	e.up.touch()
}

// begun begins a slow start that was asked for, and ends one that is over. It reports
// whether the endpoint is in it.
func (e *Endpoint) begun(now loop.Time) bool {
	began := e.health.ramp.Load()
	switch {
	case began == rampSoon:
		e.health.ramp.CompareAndSwap(rampSoon, max(int64(now), 1))
		return true
	case began != 0 && now-loop.Time(began) >= loop.Time(e.up.o.SlowStart):
		e.health.ramp.CompareAndSwap(began, 0)
		return false
	}
	return began != 0
}

// share is the part of its weight that the endpoint has at this time, 0 to 1: it grows
// evenly over the slow start.
func (e *Endpoint) share(now loop.Time) float64 {
	began := e.health.ramp.Load()
	if began == 0 {
		return 1
	}
	if began == rampSoon {
		return rampLeast
	}
	return min(max(float64(now-loop.Time(began))/float64(e.up.o.SlowStart), rampLeast), 1)
}

// ripe reports whether an endpoint that was drawn is to be taken, as far as its slow
// start goes: a key that it owns comes to it once, and stays.
func (p *Local) ripe(e *Endpoint, key uint64, now loop.Time) bool {
	s := e.share(now)
	if s >= 1 {
		return true
	}
	x := p.random.Uint64()
	if p.up.o.Balance == Hash {
		x = mix(key, ^e.hash)
	}
	return float64(x>>11)/(1<<53) < s
}
