package gateway

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// discovery knows what the SRV names among the targets stand for. Such a name is asked
// before the first graph that has it, and again when its answer's time is over. When it
// stands for other endpoints a new graph takes the old one's place, as in a reload: so
// endpoints never change under anybody's hands, and what was learned of those that stay
// is handed on.
type discovery struct {
	mu    sync.Mutex // held while the below are read or changed, and never while somebody is asked
	names map[serviceName]*srvName
	ask   chan struct{}   // tells the task of new names; nil before it has begun
	ctx   context.Context // ends it, with the questions under way
	end   context.CancelFunc
	ended bool
	over  sync.WaitGroup
}

// serviceName is an SRV name and whom to ask for it.
type serviceName struct {
	target   upstream.Target // its place
	resolver string
}

// srvName is what is known of a name.
type srvName struct {
	found   []upstream.Target
	known   bool
	failure *fault.Fault // of the latest question; nil if it was answered
	pause   time.Duration
	next    time.Time // when it is asked again
	asking  bool
	untold  bool // that the first question failed
}

// The pauses after a question that was not answered: they double.
const (
	leastPause = time.Second
	mostPause  = 30 * time.Second // RFC 8767 §5: no more often while an old answer is used
)

// services are the SRV names of an upstream.
func services(u *Upstream) (names []serviceName, limit time.Duration) {
	for _, t := range u.Targets {
		if t.Service != "" {
			names = append(names, serviceName{t.Place(), u.Resolver})
		}
	}
	if limit = u.Timeouts.Resolve; limit <= 0 {
		limit = upstream.DefaultResolve
	}
	return names, limit
}

// learn asks for the names in o of which nothing is known, all at a time, and waits.
func (d *discovery) learn(o *Options) {
	var wait sync.WaitGroup
	all := o.all()
	for i := range all {
		names, limit := services(&all[i])
		for _, n := range names {
			d.mu.Lock()
			if d.ctx == nil {
				d.ctx, d.end = context.WithCancel(context.Background())
			}
			if d.names == nil {
				d.names = map[serviceName]*srvName{}
			}
			known := d.names[n] != nil
			if !known {
				d.names[n] = &srvName{asking: true}
			}
			d.mu.Unlock()
			if !known {
				wait.Go(func() {
					if _, failed, _, _ := d.question(n, limit); failed {
						d.mu.Lock()
						d.names[n].untold = true
						d.mu.Unlock()
					}
				})
			}
		}
	}
	wait.Wait()
}

// question asks for a name and notes the answer. It reports what has changed.
func (d *discovery) question(n serviceName, limit time.Duration) (other, failed, mended bool, f *fault.Fault) {
	answer, f := upstream.LookupService(d.ctx, n.target, n.resolver, limit)
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.names[n]
	if s == nil {
		return false, false, false, nil // nobody wants it any more
	}
	s.asking = false
	failed, mended = f != nil && s.failure == nil, f == nil && s.failure != nil
	if s.failure = f; f != nil {
		// The last answer holds: whoever is gone shows when connected to, and a mistake in
		// a zone is no reason to forget everybody.
		s.pause = min(max(2*s.pause, leastPause), mostPause)
		s.next = time.Now().Add(s.pause)
		return false, failed, mended, f
	}
	s.pause, s.next = 0, time.Now().Add(answer.TTL)
	other = !s.known || !slices.Equal(s.found, answer.Targets)
	s.found, s.known = answer.Targets, true
	return other, failed, mended, nil
}

// expand puts what its names stand for in the place of the names among the targets of u.
func (d *discovery) expand(u *Upstream) (targets []upstream.Target, empty string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range u.Targets {
		if t.Service == "" {
			targets = append(targets, t)
			continue
		}
		s := d.names[serviceName{t.Place(), u.Resolver}]
		switch {
		case s == nil:
		case s.failure != nil:
			empty = s.failure.Observed() + " (" + string(s.failure.ID) + ")"
		case len(s.found) == 0:
			empty = "the SRV record of " + t.Service + " says that there is none"
		}
		if empty == "" {
			empty = t.Service + " was not looked up"
		}
		for _, one := range found(s) {
			one.Backup, one.Zone = t.Backup, t.Zone
			if !slices.ContainsFunc(targets, func(o upstream.Target) bool { return o.Place() == one.Place() }) {
				targets = append(targets, one)
			}
		}
	}
	return targets, empty
}

func found(s *srvName) []upstream.Target {
	if s == nil {
		return nil
	}
	return s.found
}

// keep forgets the names that o has not, and begins or ends the task that asks again.
func (g *Gateway) keep(o *Options) {
	d := &g.discovery
	wanted := map[serviceName]bool{}
	all := o.all()
	for i := range all {
		names, _ := services(&all[i])
		for _, n := range names {
			wanted[n] = true
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for n, s := range d.names {
		if !wanted[n] {
			delete(d.names, n)
		} else if s.untold && s.failure != nil {
			s.untold = false
			g.tellName(n, upstream.StateAbsent, upstream.StateUnresolved, s.failure.Observed(), s.failure.ID)
		}
	}
	switch {
	case len(d.names) == 0 || d.ended:
	case d.ask == nil:
		d.ask = make(chan struct{}, 1)
		d.over.Go(g.rediscover) // ends with stop
	default:
		select {
		case d.ask <- struct{}{}:
		default:
		}
	}
}

// stop ends the task, and waits for it.
func (d *discovery) stop() {
	d.mu.Lock()
	d.ended = true
	if d.end != nil {
		d.end()
	}
	d.mu.Unlock()
	d.over.Wait()
}

// rediscover asks for each name when its time has come.
func (g *Gateway) rediscover() {
	d := &g.discovery
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-d.ask:
		case <-timer.C:
		}
		now, next := time.Now(), time.Now().Add(time.Hour)
		var due []serviceName
		d.mu.Lock()
		for n, s := range d.names {
			if !s.asking && !s.next.After(now) {
				s.asking = true
				due = append(due, n)
			} else if !s.asking && s.next.Before(next) {
				next = s.next
			}
		}
		d.mu.Unlock()
		if len(due) == 0 {
			timer.Reset(time.Until(next))
			continue
		}
		timer.Reset(0) // look again when these are answered
		var changed atomic.Bool
		var all sync.WaitGroup
		for _, n := range due {
			all.Go(func() {
				other, failed, mended, f := d.question(n, upstream.DefaultResolve)
				switch {
				case d.ctx.Err() != nil:
				case failed:
					g.tellName(n, upstream.StateResolved, upstream.StateUnresolved, f.Observed()+"; its last answer holds", f.ID)
				case mended:
					g.tellName(n, upstream.StateUnresolved, upstream.StateResolved, "its records can be had again", "")
				}
				if other {
					changed.Store(true)
				}
			})
		}
		all.Wait()
		if changed.Load() {
			g.refresh()
		}
	}
}

// tellName tells of a name in the log, for each upstream that has it.
func (g *Gateway) tellName(n serviceName, from, to upstream.State, why string, id fault.ID) {
	for _, s := range g.graph.Load().services {
		for _, t := range s.o.Targets {
			if t.Service != "" && t.Place() == n.target && s.o.Resolver == n.resolver {
				g.changed(upstream.Change{Upstream: s.o.Name, Endpoint: t.Name, From: from, To: to, Why: why, Fault: id})
			}
		}
	}
}

// refresh puts a graph of the same options in the place of the one there is.
func (g *Gateway) refresh() {
	g.applying.Lock()
	defer g.applying.Unlock()
	if g.stopped.Load() {
		return
	}
	o := g.o
	next, err := g.compile(&o, g.graph.Load())
	if err != nil {
		return // what was made of these options before can be made again
	}
	g.swap(&generation{o: &o, graph: next, certs: g.certs, acme: g.acme, listeners: g.listeners})
}

// appeared tells of endpoints that an SRV name has led to, or leads to no longer.
func (g *Gateway) appeared(old, next *graph) {
	if old == nil {
		return
	}
	for _, s := range next.services {
		was := old.find(s.o.Name)
		if was == nil || was == s || !was.o.same(&s.o) {
			continue // a reload, which tells itself
		}
		for _, e := range s.up.Endpoints() {
			if !has(was.up, e.Target()) {
				g.changed(upstream.Change{Upstream: s.o.Name, Endpoint: e.Name(), From: upstream.StateAbsent, To: e.State(), Why: "an SRV record names it"})
			}
		}
		for _, e := range was.up.Endpoints() {
			if !has(s.up, e.Target()) {
				g.changed(upstream.Change{Upstream: s.o.Name, Endpoint: e.Name(), From: e.State(), To: upstream.StateAbsent, Why: "no SRV record names it any more"})
			}
		}
	}
}

func has(u *upstream.Upstream, t upstream.Target) bool {
	return slices.ContainsFunc(u.Endpoints(), func(e *upstream.Endpoint) bool { return e.Target().Place() == t.Place() })
}
