package upstream

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
)

const (
	// ttlLeast and ttlMost clamp what the resolver says of an answer's life. With
	// a TTL of 0 a busy name would be asked for at each connect; and nobody
	// expects a moved name to be noticed only after a day.
	ttlLeast = time.Second
	ttlMost  = time.Hour

	// ttlHosts is the life of an answer from /etc/hosts, which has no TTL of its
	// own: an edit is noticed within that time.
	ttlHosts = 5 * time.Second

	// ttlMissing clamps how long "no such name" and "no such record" are believed
	// (RFC 2308 §5 lets the zone say; services are born faster than zones think).
	ttlMissing = 10 * time.Second

	// ttlFailed is how long a failed resolver is not asked again for this name if
	// there is no good answer, so that a stream of requests does not become a
	// stream of questions (RFC 9520 §3.2: at least 1 s).
	ttlFailed = time.Second

	// staleRetry is the same with a good answer at hand (RFC 8767 §5: "no more
	// frequently than every 30 seconds").
	staleRetry = 30 * time.Second

	// staleWait is how long a request waits for the resolver while an expired
	// answer is at hand (RFC 8767 §5: 1.8 s, below common client timeouts).
	staleWait = 1800 * time.Millisecond

	// staleMost is how long an expired answer may be used (RFC 8767 §5: one to
	// three days).
	staleMost = 24 * time.Hour

	// askLeast is how often failed connects of a loop may ask again before an answer's life
	// is over: enough to notice a move, no burden for a resolver.
	askLeast = time.Second
)

// answer is what the resolver said of a name, good or bad. It does not change.
type answer struct {
	addrs  []netip.Addr // empty if fault is set
	fault  *fault.Fault
	source source
	// ttl is the answer's life, already clamped.
	ttl time.Duration
	// came, refresh and expires are moments: when it came, from when whoever uses
	// it asks again in the background, and when its life ends.
	came, refresh, expires loop.Time
}

// source says who knew the answer.
type source uint8

const (
	fromDNS   source = iota
	fromHosts        // /etc/hosts
	fromRule         // RFC 6761: localhost
)

func (a *answer) fromDNS() bool { return a.source == fromDNS }

// failure is a copy of the answer's fault: an answer is shared, a fault belongs
// to one exchange.
func (a *answer) failure() *fault.Fault {
	f := *a.fault
	f.Param = slices.Clone(f.Param)
	return &f
}

// at sets the moments of a new answer.
func (a *answer) at(now loop.Time) *answer {
	a.came = now
	a.expires = now.Add(int64(a.ttl))
	// A fifth of the life is time enough to ask again before it ends.
	a.refresh = now.Add(int64(a.ttl - a.ttl/5))
	return a
}

// lookup is a question under way on one loop, and who waits for it.
type lookup struct {
	waiting []loop.Task
	done    bool
}

// resolve returns a good answer for e's name: the one at hand while it is
// fresh, else a new one, else an old one (RFC 8767).
func (p *Local) resolve(e *Endpoint, until loop.Time, tm *Timing) (*answer, *fault.Fault) {
	now := p.loop.Now()
	if a := e.answer.Load(); a != nil && now < a.expires {
		if a.fault == nil {
			if now >= a.refresh && e.asking.CompareAndSwap(false, true) {
				p.ask(e)
			}
			return a, nil
		}
		if g := e.usable(now); g != nil {
			tm.Note = a.failure()
			return g, nil
		}
		return nil, a.failure()
	}
	old := e.usable(now)
	limit := p.up.o.Timeouts.Resolve
	if old != nil {
		limit = min(limit, staleWait)
	}
	err := p.await(e, min(until, now.Add(int64(limit))))
	after := time.Duration(p.loop.Now() - now)
	if a := e.answer.Load(); err == nil && a != nil {
		if a.fault == nil {
			return a, nil
		}
		if old != nil {
			tm.Note = a.failure()
			return old, nil
		}
		return nil, a.failure()
	}
	switch {
	case errors.Is(err, loop.ErrInterrupted):
		return nil, interrupted(fault.Resolve)
	case old != nil && p.loop.Now() < until:
		tm.Note = p.up.dns.timeout(e.target.Host, limit, after)
		return old, nil
	case p.loop.Now() >= until:
		return nil, cut(fault.Resolve, e, after)
	}
	return nil, p.up.dns.timeout(e.target.Host, limit, after)
}

// usable returns the latest good answer if it may still be used; nil if not.
func (e *Endpoint) usable(now loop.Time) *answer {
	if g := e.good.Load(); g != nil && now < g.expires.Add(int64(staleMost)) {
		return g
	}
	return nil
}

// askAgain returns an answer that is newer than a, asking for one unless it is
// too soon; nil if there is none. Whoever comes while the question is under way waits for
// the same answer: when a container moves all requests find out at once.
func (p *Local) askAgain(e *Endpoint, a *answer, until loop.Time) *answer {
	b, now := &p.bench[e.index], p.loop.Now()
	if fresh := e.good.Load(); fresh != nil && fresh.came > a.came {
		return fresh
	}
	if b.lookup == nil {
		if b.again != 0 && now-b.again < loop.Time(askLeast) {
			return nil
		}
		b.again = now
	}
	if p.await(e, min(until, now.Add(int64(p.up.o.Timeouts.Resolve)))) != nil {
		return nil
	}
	if fresh := e.good.Load(); fresh != nil && fresh.came > a.came {
		return fresh
	}
	return nil
}

// await has e's name looked up, or joins the lookup that is under way on this
// loop, and waits for its end. nil means that e.answer is new.
func (p *Local) await(e *Endpoint, until loop.Time) error {
	b := &p.bench[e.index]
	if b.lookup == nil {
		e.asking.Store(true)
		p.ask(e)
	}
	q := b.lookup
	if q == nil {
		return nil // the lookup ended before Go returned
	}
	self := p.loop.Current()
	q.waiting = append(q.waiting, self)
	var err error
	for !q.done && err == nil {
		err = p.loop.Park(until)
	}
	if q.done {
		return nil
	}
	if i := slices.Index(q.waiting, self); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	return err
}

// ask starts a task that looks e's name up. The task ends with the lookup,
// which the resolve timeout bounds.
func (p *Local) ask(e *Endpoint) {
	b := &p.bench[e.index]
	if b.lookup != nil {
		return
	}
	q := &lookup{}
	b.lookup = q
	p.loop.Go(func() {
		var a *answer
		p.loop.Do(func() { a = p.up.dns.lookup(e.target.Host, p.up.o.Timeouts.Resolve) })
		e.took(a, p.loop.Now())
		q.done = true
		b.lookup = nil
		for _, t := range q.waiting {
			t.Wake()
		}
	})
}

// took publishes a new answer.
func (e *Endpoint) took(a *answer, now loop.Time) {
	if a.fault != nil && e.usable(now) != nil {
		a.ttl = max(a.ttl, staleRetry)
	}
	a.at(now)
	if a.fault == nil {
		e.good.Store(a)
	}
	e.answer.Store(a)
	e.asking.Store(false)
}
