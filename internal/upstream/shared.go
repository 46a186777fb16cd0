package upstream

import (
	"crypto/tls"
	"errors"
	"strconv"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
)

const (
	// DefaultMaxShared bounds the connections that many requests share, of one
	// endpoint and loop. One takes a hundred requests at a time; where that is not
	// enough a second one has a window and a thread of the endpoint of its own.
	DefaultMaxShared = 8

	// plainFor is how long an endpoint that turned out not to speak HTTP/2 is not
	// asked to again: servers are updated, and to find out costs one connection.
	plainFor = 10 * time.Minute
)

// HTTP2 says when HTTP/2 is spoken to endpoints.
type HTTP2 uint8

// The choices.
const (
	// AutoHTTP2: over TLS with whoever agrees to it (ALPN), and with h2c targets.
	AutoHTTP2 HTTP2 = iota
	// OnlyHTTP2: with all, in the clear with prior knowledge (RFC 9113 §3.3).
	OnlyHTTP2
	// NoHTTP2: with none.
	NoHTTP2
)

// Shared is a connection that carries many requests at a time. Its methods must
// be called from tasks of its loop and do not wait.
type Shared interface {
	// Free is how many more requests may begin now.
	Free() int
	// Open reports whether more may begin, now or later.
	Open() bool
	// Busy is how many are under way.
	Busy() int
	// Allowed is how many at a time the endpoint takes.
	Allowed() uint32
	// Close lets those under way end, and then the connection.
	Close()
}

// Share makes a Shared of a stream whose other end is to speak HTTP/2, and waits
// until it does. freed is to be called whenever more requests may begin, or never
// again will. On a fault the stream stays open.
type Share func(s loop.Stream, secure bool, until loop.Time, freed func()) (Shared, *fault.Fault)

// prior reports whether the endpoint is to speak HTTP/2 and nothing else.
func (e *Endpoint) prior() bool {
	o := &e.up.o
	return o.Share != nil && (e.target.H2C || o.HTTP2 == OnlyHTTP2) && o.HTTP2 != NoHTTP2
}

// mayShare reports whether connections to e may be such as many requests share.
func (e *Endpoint) mayShare(now loop.Time) bool {
	return e.prior() || e.up.o.Share != nil && e.up.o.HTTP2 == AutoHTTP2 && e.up.o.SendProxy == 0 && e.tls != nil && now >= loop.Time(e.plain.Load())
}

// Downgrade makes connections to e speak HTTP/1.1 for a while. It returns false
// where nothing but HTTP/2 is to be spoken.
func (e *Endpoint) Downgrade(now loop.Time) bool {
	if e.prior() {
		return false
	}
	e.plain.Store(int64(now.Add(int64(plainFor))))
	return true
}

// SpeaksBoth reports whether HTTP/1.1 may be spoken to e as well as HTTP/2.
func (e *Endpoint) SpeaksBoth() bool { return !e.prior() }

// Join returns a connection to e that others use too and that takes one more
// request; nil if there is none.
func (p *Local) Join(e *Endpoint) *Conn {
	b := &p.bench[e.index]
	if len(b.shared) == 0 || !e.mayShare(p.loop.Now()) {
		return nil
	}
	for i := 0; i < len(b.shared); i++ {
		switch c := b.shared[i]; {
		case c.Shared.Free() > 0:
			c.users++
			b.inFlight++
			return c
		case !c.Shared.Open():
			p.forsake(b, i)
			i--
		}
	}
	return nil
}

// forsake takes a connection that takes no more requests off the list. Those under
// way on it end there.
func (p *Local) forsake(b *bench, i int) {
	copy(b.shared[i:], b.shared[i+1:])
	b.shared[len(b.shared)-1] = nil
	b.shared = b.shared[:len(b.shared)-1]
	p.links--
}

// part gives back what Join returned, or a dial that is shared.
func (p *Local) part(c *Conn) {
	b := &p.bench[c.Endpoint.index]
	c.users--
	b.inFlight--
	c.Served++
	c.Idled = p.loop.Now()
	if p.closed || c.users == 0 && p.up.o.MaxIdle < 0 {
		c.Shared.Close()
	}
}

// queue waits until the caller can Join somebody's connection to e, or is to make
// one: then c and f are nil. alone says that the endpoint does not speak HTTP/2.
func (p *Local) queue(e *Endpoint, until loop.Time) (c *Conn, alone bool, f *fault.Fault) {
	b := &p.bench[e.index]
	began := p.loop.Now()
	limit := began.Add(int64(p.up.o.Timeouts.Connect))
	failed := b.failed
	for {
		now := p.loop.Now()
		if !e.mayShare(now) {
			return nil, true, nil
		}
		if c := p.Join(e); c != nil {
			return c, false, nil
		}
		if b.opening == 0 && p.another(b) || b.failed != failed {
			return nil, false, nil
		}
		most := until
		if b.opening == 0 {
			most = min(until, limit)
		}
		t := p.loop.Self()
		b.waiting = append(b.waiting, t)
		err := p.loop.Park(most)
		for i, w := range b.waiting {
			if w == t {
				b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
				break
			}
		}
		now = p.loop.Now()
		if err != nil {
			p.freed(b, false) // a place that became free at this moment is the next one's
		}
		switch {
		case errors.Is(err, loop.ErrInterrupted):
			return nil, false, interrupted(fault.Select)
		case err != nil && now >= until:
			return nil, false, cut(fault.Select, e, time.Duration(now-began))
		case err != nil && b.opening == 0:
			return nil, false, p.exhausted(e, b)
		}
	}
}

// another reports whether one more shared connection may be made and would help.
func (p *Local) another(b *bench) bool {
	for _, c := range b.shared {
		if c.Shared.Open() && c.Shared.Allowed() == 0 {
			return false
		}
	}
	return len(b.shared) < p.up.o.MaxShared
}

func (p *Local) exhausted(e *Endpoint, b *bench) *fault.Fault {
	allowed := "no"
	if len(b.shared) > 0 {
		allowed = strconv.FormatUint(uint64(b.shared[0].Shared.Allowed()), 10)
	}
	return fault.New(fault.H2StreamsExhausted, "endpoint", e.target.Name, "limit", allowed, "count", strconv.Itoa(len(b.shared)))
}

// freed wakes the first that waits for a place; all says everybody.
func (p *Local) freed(b *bench, all bool) {
	for len(b.waiting) > 0 {
		t := b.waiting[0]
		copy(b.waiting, b.waiting[1:])
		b.waiting[len(b.waiting)-1] = nil
		b.waiting = b.waiting[:len(b.waiting)-1]
		t.Wake()
		if !all {
			return
		}
	}
}

// agreed reports whether HTTP/2 is to be spoken on s.
func (e *Endpoint) agreed(s loop.Stream) bool {
	if e.tls == nil {
		return e.prior()
	}
	t, ok := s.(interface{ ConnectionState() tls.ConnectionState })
	return ok && e.up.o.Share != nil && t.ConnectionState().NegotiatedProtocol == "h2"
}

// share begins HTTP/2 on s, which it closes if that fails.
func (p *Local) share(e *Endpoint, s loop.Stream, until loop.Time, tm *Timing) (Shared, *fault.Fault) {
	b := &p.bench[e.index]
	began, limit := p.loop.Now(), p.up.o.Timeouts.Secure
	shared, f := p.up.o.Share(s, e.tls != nil, min(until, began.Add(int64(limit))), func() { p.freed(b, false) })
	if f == nil {
		return shared, nil
	}
	s.Close()
	now := p.loop.Now()
	took := time.Duration(now - began)
	if f.ID == fault.H2SettingsTimeout && now >= until {
		return nil, cut(fault.Await, e, took)
	}
	return nil, f.With("endpoint", e.target.Name).With("address", tm.Address).With("limit", short(limit)).With("after", short(took))
}

// sweepShared ends connections that nobody has used for long.
func (p *Local) sweepShared(b *bench, now loop.Time) {
	for i := 0; i < len(b.shared); i++ {
		c := b.shared[i]
		if c.users == 0 && c.Shared.Busy() == 0 && c.Endpoint.State() == StateMaintenance ||
			c.users == 0 && c.Shared.Busy() == 0 && now-max(c.Idled, c.Opened) > loop.Time(p.up.o.IdleTimeout) {
			c.Shared.Close()
		}
		if !c.Shared.Open() {
			p.forsake(b, i)
			i--
		}
	}
}
