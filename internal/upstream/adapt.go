package upstream

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// The defaults of Adapt.
const (
	// DefaultAdaptMin lets enough through to see how an endpoint is.
	DefaultAdaptMin = 4
	// DefaultAdaptMax is far above what one process of an application works on at a time.
	DefaultAdaptMax = 1000
)

const (
	// adaptFrom is the limit at first.
	adaptFrom = 20

	// adaptWindow is over which answers are averaged, and adaptSamples how many of them
	// there are at least; a window that has too few goes on, for adaptStale at most.
	adaptWindow  = 100 * time.Millisecond
	adaptSamples = 16
	adaptStale   = 10 * time.Second

	// adaptEase is how much longer answers may take than at ease before the limit falls: so
	// much they differ by themselves.
	adaptEase = 1.2

	// adaptFailed is the share of failures from which on the limit falls whatever the
	// times: those who are overloaded often refuse quickly.
	adaptFailed = 0.1

	// adaptAgain is after which time without answers as quick as at ease it is found out
	// whether they still can be.
	adaptAgain = 30 * time.Second

	// adaptNear is how near answers must come to those at ease for that to be sure.
	adaptNear = 1.1

	// adaptSame is how much of its time an answer still takes, at least, with half as many
	// others, for it to count as the same. adaptHalves is the same while it is measured:
	// where the limit has come to rest, half of it is at ease and takes some 0.7 of the time.
	adaptSame   = 0.8
	adaptHalves = 0.65
)

// Adapt bounds what is under way on an endpoint by a limit that is learned from how long
// its answers take: as many requests as it works on at a time, and a few that wait at it.
//
// It follows the gradient of Netflix's concurrency-limits and of Envoy's adaptive concurrency
// filter: limit ← limit · g + √limit, where g is the time of answers at ease, and a fifth,
// over their time now, between 1/2 and 1. The square root is the room to grow by and, where
// the limit comes to rest, what waits at the endpoint. An endpoint of which less than half of the
// limit is used learns nothing about more. What answers take at ease is the least average of a
// window. At first, and when it was not met for long, it is measured: the limit is halved for a
// moment until that makes answers no quicker. If the gradient has halved it for nothing, that
// tells the same.
type Adapt struct {
	On  bool
	Min int // 0 means DefaultAdaptMin
	Max int // 0 means DefaultAdaptMax
}

func (a Adapt) filled() Adapt {
	a.Min = min(cmp.Or(max(a.Min, 0), DefaultAdaptMin), math.MaxInt32)
	a.Max = min(max(cmp.Or(max(a.Max, 0), DefaultAdaptMax), a.Min), math.MaxInt32)
	return a
}

// pace is what was learned of an endpoint. All loops add to it; the one that finds a
// window over has the below for itself until the next one is over.
type pace struct {
	limit atomic.Int32 // 0 before the first answer

	ends   atomic.Int64 // loop.Time of the window's end, 0 before the first
	answer atomic.Int64 // how many there were in the window
	took   atomic.Int64 // nanoseconds, all together
	failed atomic.Int64
	most   atomic.Int32 // requests that were under way at a time
	ease   atomic.Int64 // nanoseconds that an answer takes at ease, to be shown
	now    atomic.Int64 // and what they took in the last window

	began    loop.Time // of the window
	estimate float64   // the limit before it is rounded
	seen     loop.Time // when answers were last as quick as at ease
	markAt   float64   // a limit of before, see Adapt
	markTook float64   // and what answers took then
	probing  int       // windows to come until a halved limit has its say; 0 is no such
	before   float64   // the limit before it was halved
}

// enters notes that so many are under way.
func (p *pace) enters(n int32) {
	if n > p.most.Load() {
		p.most.Store(n) // a loop that comes between has as many or one less
	}
}

// allowed is the limit in force.
func (p *pace) allowed(o *Adapt) int32 {
	if n := p.limit.Load(); n > 0 {
		return n
	}
	return int32(min(max(adaptFrom, o.Min), o.Max))
}

// answers adds an answer that took ns, or a failure, and reports whether the limit rose.
func (p *pace) answers(ns int64, failed bool, o *Adapt, now loop.Time) (rose bool) {
	if failed {
		p.failed.Add(1)
	} else {
		p.took.Add(ns)
		p.answer.Add(1)
	}
	ends := p.ends.Load()
	if now < loop.Time(ends) || !p.ends.CompareAndSwap(ends, int64(now.Add(int64(adaptWindow)))) {
		return false
	}
	if ends == 0 {
		p.began = now
	}
	n, bad := p.answer.Load(), p.failed.Load()
	if n+bad < adaptSamples && now-p.began < loop.Time(adaptStale) {
		return false
	}
	took := p.took.Load()
	p.answer.Add(-n)
	p.failed.Add(-bad)
	p.took.Add(-took)
	most := p.most.Swap(0)
	p.began = now
	if n+bad < adaptSamples {
		return false
	}
	was := p.allowed(o)
	if p.estimate == 0 {
		p.estimate = float64(was)
	}
	p.learn(float64(took)/float64(max(n, 1)), float64(n), float64(bad), float64(most), o, now)
	limit := int32(math.Round(p.estimate))
	p.limit.Store(limit)
	return limit > was
}

// learn moves the estimate by what a window has shown: the average time of an answer in
// nanoseconds, and how many answers and failures there were, and requests at a time.
func (p *pace) learn(took, good, bad, most float64, o *Adapt, now loop.Time) {
	base := float64(p.ease.Load())
	if good == 0 {
		took = base
	}
	p.now.Store(int64(took))
	switch {
	case p.probing > 1: // answers to what came before are still among these
		p.probing--
		return
	case p.probing == 1:
		if took < adaptHalves*p.markTook && p.estimate > float64(o.Min) {
			p.halve(took, o)
			return
		}
		p.probing = 0
		base, p.seen = min(took, p.markTook), now
		p.estimate, p.markAt = p.before, 0
	case base == 0:
		p.before = p.estimate
		p.ease.Store(int64(took))
		p.halve(took, o)
		return
	case took < base:
		base = took
	}
	if took <= base*adaptNear {
		p.seen = now
	}
	if p.markAt != 0 && p.estimate <= p.markAt/2 {
		if took > adaptSame*p.markTook {
			base, p.seen = took, now
		}
		p.markAt = 0
	}
	if p.markAt == 0 || p.estimate > p.markAt || took*adaptSame > p.markTook {
		p.markAt, p.markTook = p.estimate, took
	}
	p.ease.Store(int64(base))

	g := 1.0
	if took > 0 {
		g = min(max(adaptEase*base/took, 0.5), 1)
	}
	if bad >= adaptFailed*(good+bad) {
		g = min(g, 0.9)
	}
	next := p.estimate*g + math.Sqrt(p.estimate)
	if g < 1 && bad >= adaptFailed*(good+bad) {
		next = p.estimate * g // who refuses wants less, not a little more
	}
	if next = (p.estimate + next) / 2; most < p.estimate/2 {
		next = min(next, p.estimate)
	}
	p.estimate = min(max(next, float64(o.Min)), float64(o.Max))
	if now-p.seen > loop.Time(adaptAgain)+loop.Time(rand.N(adaptAgain/4)) && p.estimate > float64(o.Min) {
		p.before = p.estimate
		p.halve(took, o)
	}
}

// halve has half of the limit show whether answers can be quicker than they are.
func (p *pace) halve(took float64, o *Adapt) {
	p.probing, p.markTook = 2, took
	p.estimate = max(p.estimate/2, float64(o.Min))
}

// words say what was learned.
func (p *pace) words(o *Adapt) string {
	s := fmt.Sprintf("%d requests, as learned", p.allowed(o))
	if ease := p.ease.Load(); ease > 0 {
		s += fmt.Sprintf(" from answers that take %s, and %s at ease", short(time.Duration(p.now.Load())), short(time.Duration(ease)))
	}
	return s
}
