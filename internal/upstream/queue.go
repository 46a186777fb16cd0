package upstream

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// The defaults of Capacity.
const (
	// DefaultQueue: of a thousand requests that wait, the last is served within the
	// queue's time where answers take 50 ms and ten may be asked for at once; the memory
	// of what waits stays some 10 MiB.
	DefaultQueue = 1024

	// DefaultQueueTimeout is as long as a connect may take: people wait that long, and
	// who has waited so long behind others is likely to be gone.
	DefaultQueueTimeout = 5 * time.Second
)

// glance is how often a request that waits looks whether its client is still there.
const glance = time.Second

// Capacity bounds what endpoints are asked at a time, all loops together, and how requests
// wait where all of them are full. The zero value bounds nothing.
//
// The counts are atomics that all loops share, and not a share of the limit for each loop:
// with eight loops and a limit of four, shares would leave half of the loops nothing, and
// with any limit one loop would queue while another has room. The cost is one addition to
// a shared word at the begin and one at the end of an attempt, and only where there is a limit.
type Capacity struct {
	// Requests is how many may be under way on one endpoint; 0 means any number.
	Requests int
	// Adapt bounds them by a limit that is learned, besides.
	Adapt Adapt
	// Connections is how many may be open to one endpoint, those that nobody uses
	// included; 0 means any number. Neither health checks are counted nor connections
	// that many requests share.
	Connections int
	// Queue is how many requests of the upstream may wait; 0 means DefaultQueue, below 0
	// none does.
	Queue int
	// QueueTimeout is how long one waits at most; 0 means DefaultQueueTimeout.
	QueueTimeout time.Duration
}

// usage is what is under way on an endpoint, all loops together. A reload hands it on.
type usage struct {
	requests, connections atomic.Int32
	pace                  pace
}

// queue is who waits for an endpoint of an upstream, all loops together. Who came first is
// served first: requests have tickets, each loop has a line of its own requests in their
// order, and shows the ticket of the first. Whoever has made room looks for the lowest one,
// and its loop gives the place away. A reload hands the queue on, so that requests of both
// generations stand in the same.
type queue struct {
	waiting atomic.Int32
	tickets atomic.Uint64
	lines   atomic.Pointer[[]*Local] // that may have somebody in line; it never changes

	mu   sync.Mutex        // held while lines is changed, when Locals begin and end, and for the below
	uses map[Target]*usage // by place, of all endpoints that are there or still in use
}

// count has endpoints counted with what was under way on them before a reload.
func (q *queue) count(list []*Endpoint) {
	q.mu.Lock()
	defer q.mu.Unlock()
	uses := make(map[Target]*usage, len(list))
	for at, use := range q.uses {
		if use.requests.Load() != 0 || use.connections.Load() != 0 {
			uses[at] = use
		}
	}
	for _, e := range list {
		at := e.target.Place()
		if use := q.uses[at]; use != nil {
			e.use = use
		}
		uses[at] = e.use
	}
	q.uses = uses
}

// waiter is a request in line.
type waiter struct {
	task   loop.Task
	ticket uint64
	before []*Endpoint
	key    uint64
	only   *Endpoint // the one that it waits for; nil for any
	got    *Endpoint
	none   bool // nobody is left to wait for
}

// Asker is who asks for an endpoint, and may go away while it waits.
type Asker interface {
	// Gone is not nil if nobody waits for the answer any more.
	Gone() *fault.Fault
}

func (q *queue) join(p *Local) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var list []*Local
	if old := q.lines.Load(); old != nil {
		list = slices.Clone(*old)
	}
	list = append(list, p)
	q.lines.Store(&list)
}

func (q *queue) quit(p *Local) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if old := q.lines.Load(); old != nil {
		list := slices.DeleteFunc(slices.Clone(*old), func(o *Local) bool { return o == p })
		q.lines.Store(&list)
	}
}

// room gives away what may have become free: to who came first, of those whose ticket is
// above after. It is called by whoever has made room, on the loop of p; p is nil for
// somebody who is on no loop.
func (q *queue) room(p *Local, after uint64) {
	if q.waiting.Load() == 0 {
		return
	}
	var first *Local
	ticket := uint64(0)
	if lines := q.lines.Load(); lines != nil {
		for _, l := range *lines {
			if t := l.head.Load(); t > after && (first == nil || t < ticket) {
				first, ticket = l, t
			}
		}
	}
	switch {
	case first == nil:
	case p != nil && first.loop == p.loop:
		if !first.serve() {
			q.room(p, ticket)
		}
	default:
		first.loop.Post(func() {
			if !first.serve() {
				q.room(first, ticket)
			}
		})
	}
}

// elsewhere reports whether who came first waits elsewhere than at p: on another loop, or
// at what was there before a reload.
func (q *queue) elsewhere(p *Local) bool {
	if q.waiting.Load() == 0 {
		return false
	}
	var first *Local
	for _, l := range *q.lines.Load() {
		if t := l.head.Load(); t != 0 && (first == nil || t < first.head.Load()) {
			first = l
		}
	}
	return first != nil && first != p
}

// ask has all others close a connection that they do not use, for a request of p that
// waits because there are too many.
func (q *queue) ask(p *Local) {
	for _, l := range *q.lines.Load() {
		if l != p {
			l.loop.Post(l.yield)
		}
	}
}

// yield closes a connection that nobody uses, the one used last longest ago, where there
// are as many as may be and somebody waits elsewhere.
func (p *Local) yield() {
	if !p.up.queue.elsewhere(p) {
		return
	}
	for i := range p.bench {
		b, e := &p.bench[i], p.up.endpoints[i]
		if len(b.idle) > 0 && p.crowded(e) {
			p.idle--
			p.shut(b.remove(0))
			return
		}
	}
}

// serveMost bounds how many in line are looked at when there is room: one that has asked
// all others before may wait for an endpoint that is still full.
const serveMost = 32

// serve gives places to those in line, and reports whether none is left.
func (p *Local) serve() (full bool) {
	for i, looked := 0, 0; i < len(p.line) && looked < serveMost; looked++ {
		w := p.line[i]
		e, nobody := p.enter(w.before, w.key, w.only)
		if e == nil && !nobody {
			if full = len(w.before) == 0 && w.only == nil; full {
				return true
			}
			i++
			continue
		}
		w.got, w.none = e, nobody
		p.unline(i)
		w.task.Wake()
	}
	return false
}

// unline takes a request out of the line.
func (p *Local) unline(i int) {
	copy(p.line[i:], p.line[i+1:])
	p.line[len(p.line)-1] = nil
	p.line = p.line[:len(p.line)-1]
	p.showHead()
	p.up.queue.waiting.Add(-1)
	if p.closed && len(p.line) == 0 {
		p.up.queue.quit(p)
	}
}

func (p *Local) showHead() {
	head := uint64(0)
	if len(p.line) > 0 {
		head = p.line[0].ticket
	}
	p.head.Store(head)
}

// Admit chooses the endpoint of the next attempt as Pick does, or takes only if that is not
// nil and neither down nor in maintenance, and counts the attempt until Leave. Where all are full it waits in line for at most
// the queue's time, and until the moment given; waited says that it did.
func (p *Local) Admit(before []*Endpoint, key uint64, only *Endpoint, until loop.Time, a Asker) (e *Endpoint, waited bool, f *fault.Fault) {
	if !p.up.limited {
		if only == nil {
			only, f = p.Pick(before, key)
		}
		return only, false, f
	}
	q := p.up.queue
	if q.waiting.Load() == 0 {
		e, nobody := p.enter(before, key, only)
		switch {
		case e != nil:
			return e, false, nil
		case nobody:
			return nil, false, p.nobody()
		}
	}
	c := &p.up.o.Capacity
	if c.Queue < 0 {
		return nil, false, p.fullFault(fault.PoolExhausted, 0)
	}
	if n := q.waiting.Add(1); int(n) > c.Queue {
		q.waiting.Add(-1)
		return nil, false, p.fullFault(fault.QueueFull, 0)
	}
	began := p.loop.Now()
	w := p.waiter()
	defer func() { *w = waiter{}; p.waiters = append(p.waiters, w) }()
	*w = waiter{task: p.loop.Self(), ticket: q.tickets.Add(1), before: before, key: key, only: only}
	if p.closed && len(p.line) == 0 {
		q.join(p) // a reload has closed p before this request came to it
	}
	p.line = append(p.line, w)
	p.showHead()
	q.room(p, 0) // who has left since we looked did not see us
	if c.Connections > 0 {
		q.ask(p)
	}
	limit := began.Add(int64(c.QueueTimeout))
	for w.got == nil && !w.none {
		err := p.loop.Park(min(limit, until, p.loop.Now().Add(int64(glance))))
		now := p.loop.Now()
		if w.got != nil || w.none || err == nil {
			continue
		}
		switch f = a.Gone(); {
		case f != nil:
		case errors.Is(err, loop.ErrInterrupted), now < limit && now < until:
			continue
		case now >= limit:
			f = p.fullFault(fault.QueueTimeout, time.Duration(now-began))
		default:
			f = fault.New(fault.TotalTimeout, "endpoint", "none", "after", short(time.Duration(now-began)), "received", "0")
			f.At = fault.Select
		}
		p.unline(slices.Index(p.line, w))
		return nil, true, f
	}
	if w.none {
		return nil, true, p.nobody()
	}
	if f := a.Gone(); f != nil { // nobody needs to do what nobody waits for
		p.Leave(w.got)
		return nil, true, f
	}
	return w.got, true, nil
}

// The way of a request that others overtake: often is how many times it tries again at
// once, and rest is how long it waits after each further one, so that a loop which always comes
// second leaves the others time to be done.
const (
	often = 8
	rest  = time.Millisecond
)

// Overtaken is for a request that had a place and then no connection, because other loops
// were faster for the nth time, the first one counted as 1. It waits a moment if need be, and
// returns a fault if the request is to give up: where none waits after a few times, else
// when the queue's time is over since the request began.
func (p *Local) Overtaken(n int, began loop.Time) *fault.Fault {
	c, now := &p.up.o.Capacity, p.loop.Now()
	switch {
	case n < often:
	case c.Queue < 0:
		return p.fullFault(fault.PoolExhausted, 0)
	case now >= began.Add(int64(c.QueueTimeout)):
		return p.fullFault(fault.QueueTimeout, time.Duration(now-began))
	default:
		p.loop.Sleep(now.Add(int64(rest))) // whoever interrupts it is asked about next
	}
	return nil
}

func (p *Local) waiter() *waiter {
	if n := len(p.waiters); n > 0 {
		w := p.waiters[n-1]
		p.waiters = p.waiters[:n-1]
		return w
	}
	return &waiter{}
}

// Leave ends what Admit began.
func (p *Local) Leave(e *Endpoint) {
	if !p.up.limited {
		return
	}
	if p.up.o.Capacity.counts() {
		e.use.requests.Add(-1)
	}
	p.up.queue.room(p, 0)
}

// enter counts an attempt on the endpoint that is chosen. It returns nil if all are
// full, or if nobody is to be asked at all.
func (p *Local) enter(before []*Endpoint, key uint64, only *Endpoint) (e *Endpoint, nobody bool) {
	for {
		if e = only; e == nil {
			if e, nobody = p.pick(before, key); e == nil {
				return nil, nobody
			}
		} else if e.health.said.Load() == saidMaintenance || e.health.down.Load() || e.closed(p.loop.Now()) {
			return nil, true
		} else if p.full(e) {
			return nil, false
		}
		c := &p.up.o.Capacity
		if !c.counts() {
			return e, false
		}
		if n := e.use.requests.Load(); n < c.most(e) && e.use.requests.CompareAndSwap(n, n+1) {
			if c.Adapt.On {
				e.use.pace.enters(n + 1)
			}
			return e, false
		}
	}
}

// full reports whether an endpoint takes no more requests of this loop.
func (p *Local) full(e *Endpoint) bool {
	if !p.up.limited {
		return false
	}
	c := &p.up.o.Capacity
	if c.counts() && e.use.requests.Load() >= c.most(e) {
		return true
	}
	return p.crowded(e) && !p.has(e)
}

// counts reports whether requests under way are counted.
func (c *Capacity) counts() bool { return c.Requests > 0 || c.Adapt.On }

// most is how many requests may be under way on e, where they are counted.
func (c *Capacity) most(e *Endpoint) int32 {
	switch {
	case !c.Adapt.On:
		return int32(c.Requests)
	case c.Requests > 0:
		return min(int32(c.Requests), e.use.pace.allowed(&c.Adapt))
	}
	return e.use.pace.allowed(&c.Adapt)
}

// learns tells the limit of e of an attempt: what its answer took to begin, or that it
// failed.
func (p *Local) learns(e *Endpoint, ns int64, failed bool) {
	if c := &p.up.o.Capacity; c.Adapt.On && e.use.pace.answers(ns, failed, &c.Adapt, p.loop.Now()) {
		p.up.queue.room(p, 0)
	}
}

// crowded reports whether no further connection to e may be opened.
func (p *Local) crowded(e *Endpoint) bool {
	most := p.up.o.Capacity.Connections
	return most > 0 && !p.uncounted && int(e.use.connections.Load()) >= most
}

// has reports whether a connection is there that takes one more request.
func (p *Local) has(e *Endpoint) bool {
	b := &p.bench[e.index]
	return len(b.idle) > 0 || slices.ContainsFunc(b.shared, func(c *Conn) bool { return c.Shared.Free() > 0 })
}

// connects counts a connection that is about to be opened; false if it must not be.
func (p *Local) connects(e *Endpoint) bool {
	most := int32(p.up.o.Capacity.Connections)
	if most <= 0 || p.uncounted {
		return true
	}
	for {
		n := e.use.connections.Load()
		if n >= most {
			return false
		}
		if e.use.connections.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// gone ends what connects began, when the connection has been closed.
func (p *Local) gone(e *Endpoint) {
	if p.up.o.Capacity.Connections > 0 && !p.uncounted {
		e.use.connections.Add(-1)
		p.up.queue.room(p, 0)
	}
}

// Uncounted makes p one whose connections no limit counts: those of health checks, which
// must find out how an endpoint is when it is full, too.
func (p *Local) Uncounted() {
	if p.uncounted = true; p.up.limited {
		p.up.queue.quit(p)
	}
}

// Queued is how many requests wait for an endpoint. It may be called from anywhere.
func (u *Upstream) Queued() int { return int(u.queue.waiting.Load()) }

// fullFault is a fault of a request for which there is no room.
func (p *Local) fullFault(id fault.ID, after time.Duration) *fault.Fault {
	c := &p.up.o.Capacity
	var limit string
	switch {
	case c.Adapt.On:
		// Of several the least: it says most of why.
		e := slices.MinFunc(p.up.endpoints, func(a, b *Endpoint) int { return cmp.Compare(c.most(a), c.most(b)) })
		limit = e.use.pace.words(&c.Adapt)
	case c.Requests > 0 && c.Connections > 0:
		limit = strconv.Itoa(c.Requests) + " requests or " + strconv.Itoa(c.Connections) + " connections"
	case c.Requests > 0:
		limit = strconv.Itoa(c.Requests) + " requests"
	default:
		limit = strconv.Itoa(c.Connections) + " connections"
	}
	f := fault.New(id, "upstream", p.up.o.Name, "count", strconv.Itoa(len(p.up.endpoints)))
	switch id {
	case fault.QueueFull:
		return f.With("limit", strconv.Itoa(c.Queue))
	case fault.QueueTimeout:
		f.With("after", short(after)).With("waiting", strconv.Itoa(int(p.up.queue.waiting.Load())))
	}
	return f.With("limit", limit)
}

func (c Capacity) filled() Capacity {
	// The counters have 32 bits.
	c.Requests, c.Connections = min(max(c.Requests, 0), math.MaxInt32), min(max(c.Connections, 0), math.MaxInt32)
	c.Adapt = c.Adapt.filled()
	c.Queue = cmp.Or(c.Queue, DefaultQueue)
	c.QueueTimeout = cmp.Or(max(c.QueueTimeout, 0), DefaultQueueTimeout)
	return c
}
