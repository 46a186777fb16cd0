package upstream

import (
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
)

const (
	// shareWindow and shareLeast say over how long a failure share is taken, and
	// of how many requests of one loop at least: 10 of 20 mean something.
	shareWindow = 10 * time.Second
	shareLeast  = 20

	// shyFor is how long an endpoint that could not be reached comes last when
	// picking, long before it is ejected: a dead endpoint costs a few requests a
	// second an attempt, not each.
	shyFor = time.Second

	// probeFor is how long one probe keeps others away from an endpoint whose
	// ejection is over. A probe that is never reported (its client went away)
	// costs no more than that.
	probeFor = 10 * time.Second
)

// Eject says when an endpoint is left out for a while. The last one that is up
// never is.
type Eject struct {
	After int           // failures in a row; 0 means DefaultEjectAfter, below 0 never
	Share float64       // failed share of at least 20 requests in 10 s; 0 means DefaultEjectShare, below 0 never
	For   time.Duration // the first time; each next one doubles; 0 means DefaultEjectFor
	Max   time.Duration // longest time; 0 means DefaultEjectMax
}

func (o Eject) filled() Eject {
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
	back  atomic.Int64 // loop.Time when it was last let in again
	why   atomic.Pointer[fault.ID]
	ramp  atomic.Int64 // loop.Time when its slow start began, rampNext for soon, 0 for none

	said   atomic.Int32           // what an operator said, see Drain and Maintain
	down   atomic.Bool            // by checks, see Fail
	reason atomic.Pointer[string] // of it
}

// window counts what one loop saw of an endpoint lately.
type window struct {
	began     loop.Time
	good, bad int32
}

func (w *window) turn(now loop.Time) {
	if now-w.began > loop.Time(shareWindow) {
		*w = window{began: now}
	}
}

// Report tells how an attempt on e went; nil means well. Report each attempt
// once. Only failures of the endpoint or of the way to it count against it:
// neither the client's mistakes nor ours do.
func (p *Local) Report(e *Endpoint, f *fault.Fault) {
	b, h, now := &p.bench[e.index], &e.health, p.loop.Now()
	b.window.turn(now)
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
		if until := h.until.Load(); until != 0 && now >= loop.Time(until) && h.until.CompareAndSwap(until, 0) {
			h.probe.Store(0)
			h.back.Store(int64(now))
			e.slowly()
			if !h.down.Load() && h.said.Load() == 0 {
				e.change(StateEjected, StateUp, "a request to it went well", "", 0)
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
	b.window.bad++
	h.why.Store(&row.ID)
	failures := int(h.row.Add(1))
	o := &p.up.o.Eject
	if until := h.until.Load(); until != 0 {
		if now >= loop.Time(until) { // the probe failed
			e.eject(now, until, o, "the request that tried it again failed", row.ID)
		}
		return
	}
	n := b.window.good + b.window.bad
	if o.After > 0 && failures >= o.After ||
		o.Share > 0 && n >= shareLeast && float64(b.window.bad) >= o.Share*float64(n) {
		if p.up.othersUp(e) {
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
		h.probe.Store(0)
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

// othersUp reports whether an endpoint besides e is up. Two loops may eject the
// last two at once; Pick lives with all being ejected.
func (u *Upstream) othersUp(e *Endpoint) bool {
	for _, o := range u.endpoints {
		if o != e && o.State() == StateUp {
			return true
		}
	}
	return false
}
