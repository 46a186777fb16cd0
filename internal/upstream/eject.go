package upstream

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// The defaults of Eject.
const (
	// DefaultEjectAfter: five failures in a row are no accident, and a retry has
	// hidden most of them from people.
	DefaultEjectAfter = 5

	// DefaultEjectShare: an endpoint that fails half of its requests is worse than
	// none while others are well.
	DefaultEjectShare = 0.5

	// DefaultEjectFor is about the time in which a process is restarted.
	DefaultEjectFor = 5 * time.Second

	// DefaultEjectMax: after an outage of hours an endpoint is back within a
	// minute of being well, for the price of one request a minute.
	DefaultEjectMax = time.Minute

	// DefaultEjectWindow and DefaultEjectRequests say over how long a failure share is
	// taken, and of how many requests of one loop at least: 10 of 20 mean something.
	DefaultEjectWindow   = 10 * time.Second
	DefaultEjectRequests = 20

	// DefaultEjectProbes: an endpoint that answers a request does work. What comes and goes
	// is met by the times, which double.
	DefaultEjectProbes = 1

	// DefaultEjectMost: all but the last one.
	DefaultEjectMost = 1
)

const (
	// shyFor is how long an endpoint that could not be reached comes last when
	// picking, long before it is ejected: a dead endpoint costs a few requests a
	// second an attempt, not each.
	shyFor = time.Second

	// probeFor is how long one probe keeps others away from an endpoint whose
	// ejection is over. A probe that is never reported (its client went away)
	// costs no more than that.
	probeFor = 10 * time.Second
)

// Eject says when an endpoint is left out for a while, and how it comes back: it is a
// circuit breaker for each endpoint. The last one that is up is never left out, unless
// Options.NoLastResort says so.
type Eject struct {
	After    int           // failures in a row; 0 means DefaultEjectAfter, below 0 never, whatever Share says
	Share    float64       // failed share of requests, above 0 to 1; 0 means DefaultEjectShare, below 0 never
	Window   time.Duration // over which Share is taken; 0 means DefaultEjectWindow
	Requests int           // of one loop in the window, from which on Share counts; 0 means DefaultEjectRequests
	For      time.Duration // the first time; each next one doubles; 0 means DefaultEjectFor
	Max      time.Duration // longest time; 0 means DefaultEjectMax
	Probes   int           // requests that must go well, one after the other, until it is back; 0 means DefaultEjectProbes
	Most     float64       // share of the endpoints that may be left out at a time, one at least; 0 means DefaultEjectMost
}

func (o Eject) filled() Eject {
	if o.After < 0 {
		return Eject{After: -1, Share: -1}
	}
	if o.After == 0 {
		o.After = DefaultEjectAfter
	}
	if o.Share == 0 {
		o.Share = DefaultEjectShare
	}
	if o.For <= 0 {
		o.For = DefaultEjectFor
	}
	if o.Max <= 0 {
		o.Max = DefaultEjectMax
	}
	o.Max = max(o.Max, o.For)
	o.Window = cmp.Or(max(o.Window, 0), DefaultEjectWindow)
	o.Requests = cmp.Or(max(o.Requests, 0), DefaultEjectRequests)
	o.Probes = cmp.Or(max(o.Probes, 0), DefaultEjectProbes)
	o.Most = cmp.Or(max(o.Most, 0), DefaultEjectMost)
	return o
}

// health is the verdict on an endpoint, shared by all loops. On the good path
// it is only read.
type health struct {
	row   atomic.Int32 // failures in a row
	until atomic.Int64 // loop.Time of the next probe; 0 if up
	shy   atomic.Int64 // loop.Time until which it comes last
	probe atomic.Int64 // loop.Time until which a probe is under way
	times atomic.Int32 // ejections since it was last well for long
	well  atomic.Int32 // probes in a row that went well
	back  atomic.Int64 // loop.Time when it was last let in again
	why   atomic.Pointer[fault.ID]
	cause atomic.Pointer[string] // of the last ejection, a clause
	ramp  atomic.Int64           // loop.Time when its slow start began, rampNext for soon, 0 for none

	said   atomic.Int32           // what an operator said, see Drain and Maintain
	down   atomic.Bool            // by checks, see Fail
	reason atomic.Pointer[string] // of it
}

// window counts what one loop saw of an endpoint lately.
type window struct {
	began     loop.Time
	good, bad int32
}

func (w *window) turn(now loop.Time, length time.Duration) {
	if now-w.began > loop.Time(length) {
		*w = window{began: now}
	}
}

// Report tells how an attempt on e went; nil means well. Report each attempt
// once. Only failures of the endpoint or of the way to it count against it:
// neither the client's mistakes nor ours do.
func (p *Local) Report(e *Endpoint, f *fault.Fault) {
	b, h, now := &p.bench[e.index], &e.health, p.loop.Now()
	o := &p.up.o.Eject
	b.window.turn(now, o.Window)
	if f == nil {
		b.window.good++
		if h.row.Load() != 0 {
			h.row.Store(0)
		}
		if h.shy.Load() != 0 {
			h.shy.Store(0)
			e.up.touch()
		}
		// An ejected endpoint is back when a probe went well, not when a request
		// that was under way all the time did.
		until := h.until.Load()
		if until == 0 || now < loop.Time(until) {
			return
		}
		if well := h.well.Add(1); int(well) < o.Probes {
			h.probe.Store(0) // for the next one
			e.up.touch()
			return
		}
		if h.until.CompareAndSwap(until, 0) {
			h.probe.Store(0)
			h.back.Store(int64(now))
			e.slowly()
			if !h.down.Load() && h.said.Load() == 0 {
				why := "a request to it went well"
				if o.Probes > 1 {
					why = fmt.Sprintf("%d requests to it went well", o.Probes)
				}
				e.change(StateEjected, StateUp, why, "", 0)
			}
		}
		return
	}
	row := f.Row()
	counts := against(f.ID, row)
	if f.At == fault.Resolve || counts && (f.At == fault.Connect || f.At == fault.Secure) {
		// A name that cannot be resolved right now need not be its owner's fault,
		// but other endpoints are the better bet.
		h.shy.Store(int64(now.Add(int64(shyFor))))
		e.up.touch()
	}
	if !counts {
		return
	}
	p.learns(e, 0, true)
	b.window.bad++
	h.why.Store(&row.ID)
	failures := int(h.row.Add(1))
	if until := h.until.Load(); until != 0 {
		if now >= loop.Time(until) { // the probe failed
			e.eject(now, until, o, "the request that tried it again failed", row.ID)
		}
		return
	}
	n := b.window.good + b.window.bad
	if o.After > 0 && failures >= o.After ||
		o.Share > 0 && int(n) >= o.Requests && float64(b.window.bad) >= o.Share*float64(n) {
		if p.up.spares(e) {
			bad := b.window.bad
			b.window = window{began: now}
			why := fmt.Sprintf("%d failures in a row", failures)
			if o.After <= 0 || failures < o.After {
				why = fmt.Sprintf("%d of its last %d requests failed", bad, n)
			}
			e.eject(now, 0, o, why, row.ID)
		}
	}
}

// against reports whether a fault speaks against the endpoint: a failure on the
// upstream's side that another request would have met as well. Its own 502 or
// 503 is one too: it says so itself.
func against(id fault.ID, row *fault.Row) bool {
	return row.Side == fault.Upstream && (row.Kind == fault.Failure || id == fault.UpstreamGatewayError) &&
		id != fault.ClientGone && id != fault.H2GoawayAboveLast && row.Class != fault.ClassBadRequest && row.Class != fault.ClassClientGone
}

// eject leaves e out from now on, unless another loop did so just now.
func (e *Endpoint) eject(now loop.Time, was int64, o *Eject, why string, id fault.ID) {
	h := &e.health
	if now-loop.Time(h.back.Load()) > loop.Time(o.Max) && was == 0 {
		h.times.Store(0) // it was well for long: old sins are forgotten
	}
	n := h.times.Load()
	d := o.Max
	if n < 16 && o.For<<n < o.Max {
		d = o.For << n
	}
	// Up to a tenth more, so that endpoints which fell together do not return
	// together.
	d += rand.N(d/10 + 1)
	if h.until.CompareAndSwap(was, int64(now.Add(int64(d)))) {
		h.times.Add(1)
		h.well.Store(0)
		h.probe.Store(0)
		if was == 0 {
			h.cause.Store(&why)
		}
		e.up.touch()
		from := StateUp
		if was != 0 {
			from = StateEjected
		}
		if !h.down.Load() && h.said.Load() == 0 {
			e.change(from, StateEjected, why, id, d)
		}
	}
}

// spares reports whether the upstream can do without e: another one is up, or nobody is to
// be asked as the last resort, and not too many are left out already. Two loops may eject the
// last two at once; Pick lives with all being ejected.
func (u *Upstream) spares(e *Endpoint) bool {
	others, left := false, 1
	for _, o := range u.endpoints {
		switch {
		case o == e:
		case o.State() == StateUp:
			others = true
		case o.health.until.Load() != 0:
			left++
		}
	}
	if !others && !u.o.NoLastResort {
		return false
	}
	return left == 1 || float64(left) <= u.o.Eject.Most*float64(len(u.endpoints))
}

// panics reports whether so few endpoints are well that all are asked as if they were, and
// tells when that begins and ends.
func (u *Upstream) panics(now loop.Time) bool {
	if u.o.Panic <= 0 {
		return false
	}
	all, well := 0, 0
	for _, e := range u.endpoints {
		switch e.rank(nil, now) {
		case out:
		case up, shy:
			all++
			well++
		default:
			all++
		}
	}
	yes := float64(well) < u.o.Panic*float64(all)
	if u.panicking.CompareAndSwap(!yes, yes) && u.o.Changed != nil {
		c := Change{Upstream: u.o.Name, From: StatePanic, To: StateCalm}
		if yes {
			c.From, c.To = c.To, c.From
		}
		c.Why = fmt.Sprintf("%d of its %d endpoints are well, and the panic threshold is %v", well, all, u.o.Panic)
		u.o.Changed(c)
	}
	return yes
}

// Panics reports whether all endpoints are asked because too few are well.
func (u *Upstream) Panics() bool { return u.panicking.Load() }
