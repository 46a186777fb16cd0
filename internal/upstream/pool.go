package upstream

import (
	"bytes"
	"errors"
	"sync/atomic"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
)

const (
	// sweepEvery is how often idle connections are looked at: each look costs a
	// system call, and tells to the second when an endpoint hangs up.
	sweepEvery = time.Second

	// leastLimit is the shortest idle limit worth learning: below that a
	// connection is used at once or not at all.
	leastLimit = 100 * time.Millisecond

	// habitApart is how far apart in time two closings must be to count as a
	// habit: a restart closes all connections within a moment.
	habitApart = time.Second

	// habitForget is how long a learned limit stands without being seen again;
	// then it is raised by a quarter, to find out whether it still holds.
	habitForget = 10 * time.Minute
)

// Conn is a connection to an endpoint. It belongs to whoever took or dialled it
// until Keep or Drop, and to the loop that it was dialled on.
type Conn struct {
	Stream   loop.Stream
	Endpoint *Endpoint
	// In is the input that was not consumed. Keep wants it empty and released.
	In loop.Buffer
	// Address is where it leads, as dialled.
	Address string
	// Served counts the requests that it has served: 0 means fresh.
	Served int
	// Opened is when it was ready, TLS included; Idled when it was last kept, 0
	// if never.
	Opened, Idled loop.Time
	// SentBefore is Stream.Sent when the current request began. Take and Dial
	// set it; see Undelivered.
	SentBefore uint64
	// Secure: TLS is spoken.
	Secure bool
	// Shared is the connection if others use it too, nil if it is the owner's alone.
	Shared Shared

	intro   []byte        // the PROXY header that it began with; nil for none
	gone    *bool         // its client has ended; nil if it is for all
	users   int           // of a shared one
	limit   time.Duration // the endpoint's own Keep-Alive: timeout, less the margin; 0 if none
	looked  loop.Time     // when it was last seen open while idle
	busy    bool          // handed out
	counted bool          // in usage.connections
}

// Undelivered reports whether TCP proves that nothing of the current request
// reached the endpoint's application: the answer to our bytes was RST from a
// closed socket, and none of them was acknowledged. It is a proof only when
// reading ended by FIN (io.EOF): after ECONNRESET do not ask, since an
// application that has read the request may reset before its kernel
// acknowledges anything.
func Undelivered(c *Conn) bool {
	if c.Shared != nil {
		return false
	}
	d, ok := c.Stream.Delivery()
	return ok && d.Closed && d.Acked <= c.SentBefore
}

// Take returns an idle connection to e that is still good, the one used last; nil
// if there is none. Those found dead on the way are closed, and the note says
// why: reuse_unsolicited_data, reuse_idle_408, conn_close_lie or
// reuse_fin_before_write, the first of these that was met; "" if none was. No
// request was sent on them.
func (p *Local) Take(e *Endpoint) (c *Conn, note fault.ID) { return p.TakeFor(e, nil) }

// TakeFor is Take of a connection that began with that PROXY header.
func (p *Local) TakeFor(e *Endpoint, intro []byte) (c *Conn, note fault.ID) {
	b := &p.bench[e.index]
	now := p.loop.Now()
	for len(b.idle) > 0 {
		if c = b.take(intro); c == nil {
			break
		}
		p.idle--
		if now-c.Idled > loop.Time(e.limit(c, &p.up.o)) {
			p.shut(c)
			continue
		}
		var err error
		if quiet, sure := c.Stream.Quiet(); !quiet || !sure {
			err = c.Stream.Check()
		}
		if err == nil {
			c.busy = true
			c.SentBefore = c.Stream.Sent()
			b.inFlight++
			return c, note
		}
		note = graver(note, p.autopsy(c, err))
		now = p.loop.Now()
	}
	return nil, note
}

// quietMost bounds the search for a connection that need not be looked at.
const quietMost = 16

// take takes one of the idle connections: the one used last of those that the
// loop is sure about, else the one used last. Under load many are kept and would
// be taken again before the loop has looked what came behind their answers.
// It is nil if none began with intro.
func (b *bench) take(intro []byte) *Conn {
	n := len(b.idle)
	at := n - 1
	if intro != nil {
		for at >= 0 && !bytes.Equal(b.idle[at].intro, intro) {
			at--
		}
		if at < 0 {
			return nil
		}
		return b.remove(at)
	}
	for i := at; i >= max(0, n-quietMost); i-- {
		if _, sure := b.idle[i].Stream.Quiet(); sure {
			at = i
			break
		}
	}
	return b.remove(at)
}

func (b *bench) remove(at int) *Conn {
	n := len(b.idle)
	c := b.idle[at]
	copy(b.idle[at:], b.idle[at+1:])
	b.idle[n-1] = nil
	b.idle = b.idle[:n-1]
	return c
}

// autopsy closes an idle connection that is no longer silent and says why. A
// reset counts as a FIN: the endpoint has closed its end, earlier or later.
func (p *Local) autopsy(c *Conn, err error) fault.ID {
	note := fault.ReuseFINBeforeWrite
	if errors.Is(err, loop.ErrInput) {
		var in loop.Buffer
		switch err := c.Stream.Fill(&in, loop.Try); {
		case err == nil && isRequestTimeout(in.Bytes()):
			note = fault.ReuseIdle408
		case err == nil, errors.Is(err, loop.ErrTimeout): // the latter: a TLS record came in part
			note = fault.ReuseUnsolicitedData
		}
		in.Release()
	}
	now := p.loop.Now()
	if note == fault.ReuseFINBeforeWrite && c.limit > 0 && now-c.Idled < loop.Time(c.limit) {
		note = fault.ConnCloseLie // it had promised to wait for longer
	}
	if note != fault.ReuseUnsolicitedData {
		c.Endpoint.habit.saw(now, now-c.Idled, c.looked-c.Idled)
	}
	p.shut(c)
	return note
}

// isRequestTimeout recognises "HTTP/1.x 408", which servers say to connections
// that they find idle for too long (RFC 9110 §15.5.9).
func isRequestTimeout(b []byte) bool {
	const version = "HTTP/1."
	return len(b) >= len(version)+5 && bytes.HasPrefix(b, []byte(version)) &&
		bytes.Equal(b[len(version)+1:len(version)+5], []byte(" 408"))
}

// graver returns the note to show of two: what hints at a broken endpoint comes
// before what happens to all.
func graver(a, b fault.ID) fault.ID {
	for _, id := range [...]fault.ID{fault.ReuseUnsolicitedData, fault.ReuseIdle408, fault.ConnCloseLie, fault.ReuseFINBeforeWrite} {
		if a == id || b == id {
			return id
		}
	}
	return ""
}

// Keep puts c back for another request. Its answer was read to the end, In is
// empty and released. hint is what the endpoint said in Keep-Alive: timeout=, or
// 0. c must not be used after.
func (p *Local) Keep(c *Conn, hint time.Duration) {
	if c.Shared != nil {
		p.part(c)
		return
	}
	b := p.release(c)
	now := p.loop.Now()
	c.Served++
	c.Idled, c.looked = now, now
	if hint > 0 {
		c.limit = hint - margin(hint)
	}
	if p.closed || len(b.idle) >= p.up.o.MaxIdle || c.In.Len() > 0 || c.useless() || c.counted && p.up.queue.elsewhere(p) {
		c.In.Release()
		p.shut(c)
		return
	}
	c.In.Release()
	b.idle = append(b.idle, c)
	p.idle++
	p.mind()
	if c.counted {
		p.up.queue.room(p, 0)
	}
}

// shut closes a connection that is nobody's.
func (p *Local) shut(c *Conn) {
	c.Stream.Close()
	p.discount(c)
}

// discount takes a connection that has ended, or soon will, out of the count.
func (p *Local) discount(c *Conn) {
	if c.counted {
		c.counted = false
		c.Endpoint.use.connections.Add(-1)
		p.up.queue.room(p, 0)
	}
}

// mind begins to look after the connections that are kept.
func (p *Local) mind() {
	if !p.sweeping {
		p.sweeping = true
		p.sweeper = p.loop.Go(p.sweep)
	}
}

// Drop closes c: with RST if abort is true, which tells the endpoint that we do
// not want the rest. c must not be used after.
func (p *Local) Drop(c *Conn, abort bool) {
	if c.Shared != nil {
		p.part(c) // its request has ended by itself, or was called off
		return
	}
	p.release(c)
	c.In.Release()
	if abort {
		c.Stream.Abort()
	} else {
		c.Stream.Close()
	}
	p.discount(c)
}

func (p *Local) release(c *Conn) *bench {
	b := &p.bench[c.Endpoint.index]
	if c.busy {
		c.busy = false
		b.inFlight--
	}
	return b
}

// sweep looks after the idle connections of p. It ends when there are none, so
// an idle gateway does nothing at all.
func (p *Local) sweep() {
	for (p.idle > 0 || p.links > 0) && !p.closed {
		if err := p.loop.Park(p.loop.Now().Add(int64(sweepEvery))); !errors.Is(err, loop.ErrTimeout) {
			continue // Close has woken us
		}
		for i := range p.bench {
			p.sweepBench(p.up.endpoints[i], &p.bench[i])
			p.sweepShared(&p.bench[i], p.loop.Now())
		}
	}
	p.sweeping = false
}

func (p *Local) sweepBench(e *Endpoint, b *bench) {
	if len(b.idle) == 0 {
		return
	}
	now := p.loop.Now()
	e.habit.forget(now, p.up.o.IdleTimeout)
	kept := b.idle[:0]
	for _, c := range b.idle {
		switch err := c.Stream.Check(); {
		case err != nil:
			if !errors.Is(err, loop.ErrInput) {
				e.habit.saw(now, now-c.Idled, c.looked-c.Idled)
			}
			p.shut(c)
		case c.useless(), now-c.Idled > loop.Time(e.limit(c, &p.up.o)), e.State() == StateMaintenance:
			p.shut(c)
		default:
			c.looked = now
			kept = append(kept, c)
		}
	}
	p.idle -= len(b.idle) - len(kept)
	clear(b.idle[len(kept):])
	b.idle = kept
}

// useless: it began with a PROXY header of a client that has gone.
func (c *Conn) useless() bool { return c.gone != nil && *c.gone }

// limit is how long c may be idle.
func (e *Endpoint) limit(c *Conn, o *Options) time.Duration {
	d := o.IdleTimeout
	if c.limit > 0 {
		d = min(d, c.limit)
	}
	if l := time.Duration(e.habit.limit.Load()); l > 0 {
		d = min(d, l-margin(l))
	}
	return d
}

// margin is how much earlier than the endpoint we close: its FIN and our request
// must not cross. A tenth, but at most a second, which is more than a round
// trip.
func margin(limit time.Duration) time.Duration { return min(limit/10, time.Second) }

// habit is what all loops learned of how long an endpoint keeps idle
// connections. One closing is an accident; two at about the same age, at
// different moments, are a habit.
type habit struct {
	limit atomic.Int64 // ns for which a connection was idle and lived; 0 if unknown
	seen  atomic.Int64 // loop.Time when the limit was last confirmed
	last  atomic.Pointer[closing]
}

// closing is one connection found closed: it lived when it was idle for `lived`,
// and did no longer at `dead`.
type closing struct {
	at          loop.Time
	lived, dead loop.Time
}

func (h *habit) saw(now, dead, lived loop.Time) {
	c := &closing{now, lived, dead}
	old := h.last.Load()
	if old == nil || now-old.at > loop.Time(habitForget) {
		h.last.Store(c)
		return
	}
	if now-old.at < loop.Time(habitApart) {
		return
	}
	h.last.Store(c)
	if c.lived > old.dead || old.lived > c.dead {
		return // different ages: no habit
	}
	// Each age at which a connection lived is below the limit; where none was
	// seen alive, half of the age is a guess on the safe side.
	limit := max(c.lived, old.lived, min(c.dead, old.dead)/2, loop.Time(leastLimit))
	h.limit.Store(int64(limit))
	h.seen.Store(int64(now))
}

// forget raises a limit that was not confirmed for long, and drops it when it
// no longer matters: servers are reconfigured.
func (h *habit) forget(now loop.Time, most time.Duration) {
	limit := h.limit.Load()
	if limit == 0 || now-loop.Time(h.seen.Load()) <= loop.Time(habitForget) {
		return
	}
	h.seen.Store(int64(now))
	if limit += limit / 4; limit >= int64(most) {
		limit = 0
	}
	h.limit.Store(limit)
}
