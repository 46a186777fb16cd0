// Package upstream keeps the endpoints behind the gateway: where they are,
// which one is next, whether it is well, and whether a connection to it may be
// used again.
//
// It decides nothing about HTTP. Package reverse picks an endpoint, takes or
// dials a connection, sends its request, and reports how it went; ejection, the
// learned idle limits and the retry budget follow from what it reports.
//
// An [Upstream] is shared by all loops and holds verdicts as atomics; a [Local]
// is the part of one loop and holds its connections, without locks. Start with
// Local.Pick, Local.Take and Local.Dial.
package upstream

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// The defaults of Options. Each says why, so that readers can disagree with the
// argument instead of the number.
const (
	// DefaultResolve bounds one name resolution. Two servers asked twice get more
	// than a second each, and a recursive answer from afar takes less than that.
	DefaultResolve = 5 * time.Second

	// DefaultConnect bounds the connect phase over all addresses. It outlives two
	// lost SYNs, which cost 1 s + 2 s (RFC 6298 §2.1, §5.5).
	DefaultConnect = 5 * time.Second

	// DefaultSecure bounds one TLS handshake: two round trips and an RSA signature
	// on a busy host fit many times, a plaintext server that waits for a request
	// line is found out before a person gives up.
	DefaultSecure = 5 * time.Second

	// DefaultIdle is how long an unused connection is kept. It is below the 60 s
	// of load balancers and Tomcat and the 75 s of nginx. Servers with shorter
	// limits (Node 5 s, gunicorn 2 s) say so in Keep-Alive or are found out.
	DefaultIdle = 50 * time.Second

	// DefaultMaxIdle bounds the idle connections of one endpoint on one loop: the
	// connections of a burst are there for the next one. An idle connection costs
	// us less than 1 KiB; DefaultIdle clears them away.
	DefaultMaxIdle = 1024
)

// Timeouts bound the phases of a dial.
type Timeouts struct {
	Resolve time.Duration // 0 means DefaultResolve
	Connect time.Duration // 0 means DefaultConnect
	Secure  time.Duration // 0 means DefaultSecure
}

// Options says who stands behind an upstream and how it is treated.
type Options struct {
	// Name is what logs and metrics call the upstream.
	Name string
	// Targets are its endpoints: at least one, none twice.
	Targets []Target

	// Empty is why there may be no target, as words of DNS; "" means that there must be one.
	Empty string

	// CA are the roots that an endpoint's certificate must lead to; nil means
	// those of the system.
	CA *x509.CertPool
	// Trusting accepts any certificate: whoever is on the way can be the endpoint.
	Trusting bool
	// ServerName is the name asked for (SNI) and verified; "" means the target's
	// host.
	ServerName string
	// SNI is the name asked for, if it is another than the one verified; "" if not.
	SNI string
	// Certificate is shown to endpoints that ask for one; nil if we have none.
	Certificate *tls.Certificate

	Timeouts Timeouts

	// IdleTimeout is how long an unused connection is kept at most; 0 means
	// DefaultIdle. What the endpoint announces or shows may make it shorter.
	IdleTimeout time.Duration
	// MaxIdle bounds the idle connections of one endpoint on one loop; 0 means
	// DefaultMaxIdle, below 0 none is kept.
	MaxIdle int

	// HTTP2 says when HTTP/2 is spoken, and Share how: without it never.
	HTTP2 HTTP2
	Share Share
	// MaxShared bounds the connections that many requests share, of one endpoint
	// and loop; 0 means DefaultMaxShared.
	MaxShared int

	// SendProxy is the version of the PROXY header that connections begin with, 1 or 2;
	// 0 for none. Such a connection is its client's alone and speaks HTTP/1.1.
	SendProxy int

	Eject  Eject
	Budget Budget
	// NoLastResort says that nobody is asked who is ejected or down: then the last one may
	// be ejected too, and the fault where none is left is circuit_open, or
	// pool_all_unhealthy if requests have nothing to do with it. Panic comes before it.
	NoLastResort bool
	// Panic is the share of endpoints, those that an operator took out left aside, that
	// must be well: with fewer all are asked as if they were, since the few would only follow.
	// From 0, which is never, to 1.
	Panic float64

	// Balance says how an endpoint is chosen, and Key what Hash goes by.
	Balance Balance
	Key     Key
	// Capacity bounds what endpoints are asked at a time.
	Capacity Capacity
	// Affinity binds clients to endpoints.
	Affinity Affinity
	// Zone is where this gateway stands: endpoints in another one get requests only
	// while none of this one is well. "" means that zones are no matter.
	Zone string
	// SlowStart is the time over which an endpoint that is back, or that a reload has
	// added, comes to its whole share of requests; 0 means at once.
	SlowStart time.Duration

	// Resolver is the DNS server to ask, an IP address with or without port; ""
	// means those of /etc/resolv.conf.
	Resolver string
	// Changed hears of each endpoint that comes to another state. It is called from any
	// loop, must not wait, and may be nil.
	Changed func(Change)
	// Own tells the addresses that this gateway listens on, so that it never
	// sends a request to itself (RFC 9110 §7.3.3). It is asked at each dial,
	// from any loop, and may be nil.
	Own func() []netip.AddrPort
}

// Upstream is a named service: its endpoints and what all loops know of them.
type Upstream struct {
	o         Options
	endpoints []*Endpoint
	budget    budget
	dns       resolver
	tiers     []tier               // by Endpoint.tier
	marks     map[string]*Endpoint // by value of the cookie that binds clients
	even      bool                 // all weights are the same
	limited   bool                 // Options.Capacity bounds something
	queue     *queue
	version   atomic.Uint32 // of what picking goes by, see Upstream.touch
	panicking atomic.Bool
}

// New checks the options and makes an upstream of them. It opens nothing. The
// error names each mistake and the way out.
func New(o Options) (*Upstream, error) {
	o.IdleTimeout = cmp.Or(max(o.IdleTimeout, 0), DefaultIdle)
	o.MaxShared = cmp.Or(max(o.MaxShared, 0), DefaultMaxShared)
	o.MaxIdle = cmp.Or(o.MaxIdle, DefaultMaxIdle)
	o.Timeouts.Resolve = cmp.Or(max(o.Timeouts.Resolve, 0), DefaultResolve)
	o.Timeouts.Connect = cmp.Or(max(o.Timeouts.Connect, 0), DefaultConnect)
	o.Timeouts.Secure = cmp.Or(max(o.Timeouts.Secure, 0), DefaultSecure)
	o.Eject = o.Eject.filled()
	o.Budget = o.Budget.filled()
	o.Capacity = o.Capacity.filled()
	o.Targets = slices.Clone(o.Targets)

	var wrong []error
	if len(o.Targets) == 0 && o.Empty == "" {
		wrong = append(wrong, fmt.Errorf("upstream %q has no target: add one, such as localhost:3000", o.Name))
	}
	dns, err := newResolver(o.Resolver)
	if err != nil {
		wrong = append(wrong, err)
	}
	u := &Upstream{o: o, dns: dns, queue: &queue{}, limited: o.Capacity.counts() || o.Capacity.Connections > 0}
	u.budget.init(o.Budget)
	for i, t := range o.Targets {
		if slices.ContainsFunc(u.endpoints, func(e *Endpoint) bool { return e.target.same(t) }) {
			wrong = append(wrong, fmt.Errorf("target %q is given twice: name each target once", t.Name))
			continue
		}
		if o.SendProxy != 0 && (t.H2C || o.HTTP2 == OnlyHTTP2) {
			wrong = append(wrong, fmt.Errorf("target %q speaks HTTP/2, whose connections are not one client's, and is sent PROXY headers: write http:// or leave them out", t.Name))
		}
		if t.H2C && o.HTTP2 == NoHTTP2 {
			wrong = append(wrong, fmt.Errorf("target %q speaks HTTP/2, which is switched off: write http:// or switch it on", t.Name))
		}
		if t.Service != "" {
			wrong = append(wrong, fmt.Errorf("target %q is the name of a service: nobody has looked it up", t.Name))
		}
		if t.Weight < 0 || t.Weight > MaxWeight {
			wrong = append(wrong, fmt.Errorf("target %q has the weight %d: write a number from 1 to %d", t.Name, t.Weight, MaxWeight))
		}
		e := &Endpoint{up: u, target: t, index: i, use: &usage{}, weight: min(max(t.Weight, 1), MaxWeight)}
		e.prepare()
		u.endpoints = append(u.endpoints, e)
	}
	u.queue.count(u.endpoints)
	u.rankTiers()
	if a := &o.Affinity; a.Cookie != "" {
		if err := CheckCookie(a.Cookie); err != nil {
			wrong = append(wrong, err)
		}
		if n := len(a.Key); n > 0 && n < LeastKey {
			wrong = append(wrong, fmt.Errorf("the affinity key of upstream %q has %d bytes: give it %d at least, as from `openssl rand -hex 32`", o.Name, n, LeastKey))
		}
		u.bind()
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	return u, nil
}

// Name is the upstream's name, as configured.
func (u *Upstream) Name() string { return u.o.Name }

// Endpoints are the upstream's endpoints, in the order of its targets. The
// slice must not be changed.
func (u *Upstream) Endpoints() []*Endpoint { return u.endpoints }

// On makes the part of u that belongs to l. Call it once for each loop; it may
// be called from anywhere, the Local's methods only from tasks of l.
func (u *Upstream) On(l loop.Loop) *Local {
	p := &Local{up: u, loop: l, bench: make([]bench, len(u.endpoints))}
	p.random.Seed(rand.Uint64(), rand.Uint64())
	if u.limited {
		u.queue.join(p)
	}
	return p
}

// Local is the part of an upstream that belongs to one loop. Its methods must be
// called from tasks of that loop; only Dial waits.
type Local struct {
	up       *Upstream
	loop     loop.Loop
	bench    []bench // by Endpoint.index
	view     view
	next     int    // where the round robin stands in view.list
	round    uint32 // how often it has been around
	random   rand.PCG
	deposits int // requests not yet told to the shared budget
	idle     int // idle connections of all endpoints
	links    int // shared connections, likewise
	sweeper  loop.Task
	sweeping bool
	closed   bool

	line      []*waiter     // for an endpoint
	head      atomic.Uint64 // the ticket of the first, 0 if there is none; see queue
	waiters   []*waiter     // to use again
	uncounted bool
}

// bench is what one loop has of one endpoint.
type bench struct {
	idle     []*Conn     // the last one was used last
	shared   []*Conn     // connections that many requests use
	opening  int         // of those, dials under way
	failed   int         // dials that failed so far
	waiting  []loop.Task // for a place on a shared connection
	inFlight int         // connections handed out, dials under way included
	turn     int         // rotates the addresses of a name
	latency  int64       // what answers took to begin, nanoseconds; 0 if none has come
	tookAt   loop.Time   // when the last one did
	window   window
	lookup   *lookup
	again    loop.Time                  // when a failed connect last asked before the time
	bad      map[loop.Address]loop.Time // addresses that failed, and until when they come last
}

// Close drains: idle connections are closed, and those in use will be when they
// come back. Attempts under way may still dial.
func (p *Local) Close() {
	p.closed = true
	for i := range p.bench {
		b := &p.bench[i]
		for j, c := range b.idle {
			p.shut(c)
			b.idle[j] = nil
		}
		b.idle = b.idle[:0]
		for _, c := range b.shared {
			if c.users == 0 {
				c.Shared.Close()
			}
		}
	}
	p.idle = 0
	if p.up.limited && len(p.line) == 0 {
		p.up.queue.quit(p)
	}
	if p.sweeping {
		p.sweeper.Wake()
	}
}

// EndpointState is what a status page says of one endpoint.
type EndpointState struct {
	Name string
	// State is how it is, and Down why checks say that it is down, "" if they do not.
	State State
	Down  string
	// Ejected: it gets no requests but probes, unless all are ejected.
	Ejected bool
	// Until is when an ejected endpoint gets its next probe; 0 if it is up.
	Until loop.Time
	// Why is the fault that ejected it, or the latest that speaks against it;
	// "" if the latest attempt went well.
	Why fault.ID
	// Failures in a row, all loops counted.
	Failures int
	// Requests and Connections are how many are under way and open, as far as
	// Options.Capacity has them counted.
	Requests, Connections int
	// Limit is how many requests may be under way, 0 if any number, and Learned says how
	// that was learned, "" if it was not.
	Limit   int
	Learned string
	// Addresses are those of the latest good answer of the resolver; empty for
	// a unix socket, and before the first use of a name.
	Addresses []netip.Addr
	// IdleLimit is how long the endpoint keeps an idle connection, as far as we
	// learned; 0 if unknown.
	IdleLimit time.Duration
}

// State tells the state of each endpoint. It may be called from anywhere.
func (u *Upstream) State() []EndpointState {
	list := make([]EndpointState, 0, len(u.endpoints))
	for _, e := range u.endpoints {
		s := EndpointState{
			Name:     e.target.Name,
			Until:    loop.Time(e.health.until.Load()),
			Failures: int(e.health.row.Load()),
			Requests: int(e.use.requests.Load()), Connections: int(e.use.connections.Load()),
			IdleLimit: time.Duration(e.habit.limit.Load()),
		}
		if c := &u.o.Capacity; c.counts() {
			if s.Limit = int(c.most(e)); c.Adapt.On {
				s.Learned = e.use.pace.words(&c.Adapt)
			}
		}
		s.Ejected = s.Until != 0
		s.State = e.State()
		if r := e.health.reason.Load(); r != nil && s.State == StateDown {
			s.Down = *r
		}
		if why := e.health.why.Load(); why != nil && (s.Ejected || s.Failures > 0) {
			s.Why = *why
		}
		if a := e.answer.Load(); a != nil {
			s.Addresses = slices.Clone(a.addrs)
		} else if e.fixed.IP.IsValid() {
			s.Addresses = []netip.Addr{e.fixed.IP.Addr()}
		}
		list = append(list, s)
	}
	return list
}
