package cli

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The collector of garbage starts when the heap has doubled, and never below 4
// MiB. Requests make no garbage, so that hardly matters, but a TLS handshake makes
// some 50 KiB in crypto/tls: with a small heap and many handshakes there were up to
// fifty cycles a second, a fifth of the CPU time. So the heap may grow further
// while the collector is busy, and may not when it is idle again: memory follows
// need.
const (
	// busyShare and idleShare of one core: above the first the heap may grow, below
	// the second it shrinks.
	busyShare = 0.05
	idleShare = 0.01
	// garbageMost is what the heap may hold in garbage, unless what lives is more.
	garbageMost = 32 << 20
	// leastPercent is Go's default, GOGC=100.
	leastPercent = 100
	// leastHeap is Go's: the live heap counts for no less.
	leastHeap = 4 << 20
)

// pacer sets how often garbage is collected, after each collection.
type pacer struct {
	percent int
	began   time.Time // of the span that is looked at
	spent   float64   // seconds of the collector until then
	sample  []metrics.Sample
}

// paceGarbage begins. Nothing runs but at the end of a collection, so an idle
// program is left alone. Who has set GOGC is not meddled with.
func (e *env) paceGarbage() {
	if e.getenv("GOGC") != "" {
		return
	}
	p := &pacer{percent: leastPercent, began: time.Now(), sample: []metrics.Sample{
		{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/gc/heap/live:bytes"}}}
	p.arm()
}

// arm has look called at the end of the next collection, by the runtime's
// goroutine for finalizers.
func (p *pacer) arm() {
	type sentinel struct{ p *pacer }
	runtime.SetFinalizer(&sentinel{p}, func(*sentinel) {
		p.look()
		p.arm()
	})
}

func (p *pacer) look() {
	metrics.Read(p.sample)
	before := p.percent
	p.judge(time.Now(), p.sample[0].Value.Float64(), p.sample[1].Value.Uint64())
	if p.percent != before {
		debug.SetGCPercent(p.percent)
	}
}

// judge looks at what the collector spent since the last time.
func (p *pacer) judge(now time.Time, spent float64, live uint64) {
	took := now.Sub(p.began).Seconds()
	share := (spent - p.spent) / max(took, 1e-6)
	p.began, p.spent = now, spent
	most := max(leastPercent, int(leastPercent*garbageMost/max(live, leastHeap)))
	switch {
	case share > busyShare:
		p.percent *= 2
	case share < idleShare:
		p.percent /= 2
	}
	p.percent = min(max(p.percent, leastPercent), most)
}
