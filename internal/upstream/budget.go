package upstream

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// The defaults of Budget.
const (
	// DefaultBudgetShare: a failing upstream gets at most a fifth more requests
	// than it would have got, which does not turn a hiccup into an outage.
	DefaultBudgetShare = 0.2

	// DefaultBudgetFloor: ten retries a second hurt no server, and without them a
	// site with one request a second could never be rescued.
	DefaultBudgetFloor = 10
)

// budgetMemory is the time in which saved retries fade to 1/e: what was
// earned in a quiet minute must not feed a storm.
const budgetMemory = 10 * time.Second

// Budget bounds retries, over all loops of an upstream.
//
// It is two buckets of tokens, a retry takes one. The first earns Share tokens
// a request and fades: its level b obeys db/dt = Share·r − b/T for r requests a
// second and T = 10 s. So retries can go on at Share·r a second for ever, and a
// burst after calm weather gets at most Share·r·T. The second is filled with
// Floor tokens a second and holds one second's worth.
type Budget struct {
	Share float64 // of requests; 0 means DefaultBudgetShare, below 0 means none
	Floor int     // retries a second; 0 means DefaultBudgetFloor, below 0 means none
}

func (b Budget) filled() Budget {
	if b.Share == 0 {
		b.Share = DefaultBudgetShare
	}
	if b.Floor == 0 {
		b.Floor = DefaultBudgetFloor
	}
	b.Share = min(max(b.Share, 0), maxShare)
	b.Floor = min(max(b.Floor, 0), maxFloor)
	return b
}

const (
	// maxShare and maxFloor keep the arithmetic of a bucket away from overflow,
	// far above anything sensible.
	maxShare = 10
	maxFloor = 1 << 20

	// tokenUnit is what a token counts in a bucket.
	tokenUnit = 1 << 10

	// depositBatch is how many requests a loop saves up before it tells the
	// shared budget: an atomic write per request would make the loops fight over
	// one cache line.
	depositBatch = 32

	// settleEvery is the shortest time in ms over which a level is brought up to
	// date; rounding would eat the tokens if it were much shorter.
	settleEvery = 100
)

// budget is the shared part: two words, each a moment in ms (upper half, modulo
// 2^32) and a level in tokenUnits (lower half), changed by compare-and-swap.
type budget struct {
	share atomic.Uint64
	floor atomic.Uint64
	o     Budget
}

func (b *budget) init(o Budget) {
	b.o = o
	b.floor.Store(uint64(o.Floor) * tokenUnit)
}

// change brings the level of a bucket from then to now, adds n, and stores it.
// It reports false, and changes nothing, if the level would fall below 0.
func change(word *atomic.Uint64, ms uint32, n int64, upToDate func(level float64, ms uint32) float64) bool {
	for {
		old := word.Load()
		then, level := uint32(old>>32), int64(uint32(old))
		if past := ms - then; past >= settleEvery {
			if int32(past) < 0 {
				past = math.MaxInt32 // untouched for weeks, or another loop's clock is a hair ahead
				if then-ms < settleEvery {
					past = 0
				}
			}
			if past > 0 {
				level = int64(upToDate(float64(level), past))
				then = ms
			}
		}
		if level += n; level < 0 {
			return false
		}
		level = min(level, math.MaxUint32)
		if word.CompareAndSwap(old, uint64(then)<<32|uint64(level)) {
			return true
		}
	}
}

func fade(level float64, ms uint32) float64 {
	return level * math.Exp(-float64(ms)/float64(budgetMemory.Milliseconds()))
}

func (b *budget) fill(level float64, ms uint32) float64 {
	full := float64(b.o.Floor) * tokenUnit
	return min(full, level+full*float64(ms)/1000)
}

func (b *budget) deposit(now loop.Time, requests int) {
	n := int64(float64(requests) * b.o.Share * tokenUnit)
	change(&b.share, milliseconds(now), n, fade)
}

func (b *budget) withdraw(now loop.Time) bool {
	ms := milliseconds(now)
	// The share first: it fades anyway. A full floor is there for lean times.
	return change(&b.share, ms, -tokenUnit, fade) || change(&b.floor, ms, -tokenUnit, b.fill)
}

func milliseconds(t loop.Time) uint32 { return uint32(int64(t) / int64(time.Millisecond)) }

// Deposit tells the retry budget that a request came: call it once for each
// exchange, not for its retries.
func (p *Local) Deposit() {
	if p.deposits++; p.deposits >= depositBatch {
		p.up.budget.deposit(p.loop.Now(), p.deposits)
		p.deposits = 0
	}
}

// Withdraw asks the retry budget for one retry; false means that retrying would
// do harm (retry_budget_exhausted).
func (p *Local) Withdraw() bool {
	now := p.loop.Now()
	if p.deposits > 0 {
		p.up.budget.deposit(now, p.deposits)
		p.deposits = 0
	}
	return p.up.budget.withdraw(now)
}
