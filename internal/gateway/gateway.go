// Package gateway puts the parts together: listeners, the client's side, sites and
// their routes, the attempt loop and the upstreams, on the loops of an engine. It
// starts them, puts others in their place and drains them; for a request it does
// one thing, which is to say who answers.
//
// What requests go through is a graph: sites, routes, upstreams. It never changes;
// [Gateway.Apply] makes another one of new options, checks it whole, and swaps one
// pointer. Plain data goes in ([Options], [Site], [Route], [Upstream]), so whoever reads
// a configuration needs nothing else; see graph.go, router.go and apply.go.
package gateway

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatewhy/gatewhy/internal/accesslog"
	"github.com/gatewhy/gatewhy/internal/certs"
	"github.com/gatewhy/gatewhy/internal/check"
	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/http2"
	"github.com/gatewhy/gatewhy/internal/incident"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/metrics"
	"github.com/gatewhy/gatewhy/internal/reverse"
	"github.com/gatewhy/gatewhy/internal/upstream"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
)

// DefaultDrain is how long a stopping gateway waits for its exchanges: longer
// than most answers take, shorter than the 90 s after which systemd kills.
const DefaultDrain = 30 * time.Second

// Options are the settings of a whole gateway. Defaults returns good ones; the
// zero value of a field means what the field's own type says.
type Options struct {
	// Listen and ListenTLS are where it listens, in plain HTTP and with TLS: at least
	// one address in all.
	Listen    []loop.Address
	ListenTLS []loop.Address
	// TLS says how TLS is spoken on ListenTLS, and with which certificates.
	TLS      certs.Options
	Upstream upstream.Options
	// UpstreamCertificate and UpstreamKey are PEM files: what to show to endpoints
	// that ask for a certificate. "" for none, and for a key in the same file.
	UpstreamCertificate, UpstreamKey string
	// UpstreamCA is a PEM file with the authorities that endpoints are verified by, in the
	// place of Upstream.CA; "" for none.
	UpstreamCA string
	Client     exchange.Options
	Reverse    reverse.Options
	// Link are the settings of HTTP/2 connections to the upstream, besides those
	// that hold for any version.
	Link http2.LinkOptions
	// Check says how the endpoints of Upstream are looked at.
	Check check.Options
	// Told hears in a line what becomes of certificates that are obtained. It is called
	// from any goroutine, and may be nil.
	Told func(string)
	// Changed hears of each endpoint that comes to another state, besides the access
	// log. It is called from any loop, must not wait, and may be nil.
	Changed func(*accesslog.Endpoint)
	// Upstreams, if there are any, stand in the place of the one that Upstream,
	// UpstreamCertificate, UpstreamKey, Reverse and Link describe; each has a name of its own.
	Upstreams []Upstream
	// Sites say which upstream answers which request. Without any there is one site,
	// any, with one route, to the only upstream.
	Sites []Site
	// Engine runs it, and is closed with it, also when Start fails; nil means the
	// portable engine, or with Epoll that one, with Loops loops (0: one a core).
	// Epoll wants GOMAXPROCS two higher than Loops: see loop.EpollOptions.
	Engine loop.Engine
	Loops  int
	Epoll  bool
	// Inherited are listening sockets that are taken where an address is to be listened
	// on, before others are opened; nil for none.
	Inherited *loop.Inherited
}

// Defaults are the settings of a gateway that nobody configured.
func Defaults() Options {
	return Options{
		Epoll: loop.HasEpoll,
		Client: exchange.Options{
			Times: http1.Timeouts{Head: exchange.DefaultClientHead, Body: exchange.DefaultClientBody,
				KeepAlive: exchange.DefaultKeepAlive, Reply: exchange.DefaultReply},
			Limits: http1.Limits{Limits: h1.DefaultRequest},
			HTTP2: http2.ServerOptions{Ping: http2.DefaultClientPing, Pong: http2.DefaultPong, Requests: http2.DefaultRequests, BodyWindow: http2.DefaultBodyWindow,
				BodyMemory: http2.DefaultBodyMemory, Resets: http2.DefaultResets, Control: http2.DefaultControl, Table: h2.DefaultTable},
			MaxConnections: exchange.DefaultMaxConnections, TraceSample: 1,
		},
		Upstream: upstream.Options{Balance: upstream.Latency},
		Reverse: reverse.Options{
			Limits: http1.Limits{Limits: h1.DefaultResponse}, Allow: h1.AllowResponse,
			Attempts: reverse.DefaultAttempts, Send: reverse.DefaultSend, FirstByte: reverse.DefaultFirstByte,
			Read: reverse.DefaultRead, Tunnel: reverse.DefaultTunnel, Grace: reverse.DefaultGrace,
			ReplayMemory: reverse.DefaultReplayMemory, ReplayDisk: reverse.DefaultReplayDisk,
		},
	}
}

// ListenError is an address that could not be listened on, and why.
type ListenError struct {
	Address loop.Address
	Err     error
}

func (e *ListenError) Error() string { return fmt.Sprintf("cannot listen on %s: %v", e.Address, e.Err) }
func (e *ListenError) Unwrap() error { return e.Err }

// Gateway is a running gateway.
type Gateway struct {
	engine  loop.Engine
	servers []*exchange.Server // by loop
	graph   atomic.Pointer[graph]
	own     atomic.Pointer[[]netip.AddrPort]
	asked   atomic.Pointer[certs.Manager] // acme, for the loops
	port    atomic.Uint32                 // of the first TLS listener, 0 if there is none
	log     *accesslog.Sink               // nil if there is none; it never changes
	tell    func(*accesslog.Endpoint)     // likewise

	discovery discovery

	applying sync.Mutex // held by Apply and Drain, which change the below
	stopped  atomic.Bool

	mu        sync.Mutex // held while the below are changed, and by others who read them
	o         Options
	certs     *certs.Store   // nil without ListenTLS
	acme      *certs.Manager // nil without certificates that are obtained
	listeners []*listener    // those of Listen, then those of ListenTLS

	counting   sync.Mutex
	handshakes exchange.Handshakes // as of the last count
	counters   *metrics.Counters   // as of the end; nil before
	ended      bool                // the loops do not run any more
}

// Start listens and serves. The error names what could not be done; nothing
// runs then.
func Start(o Options) (*Gateway, error) {
	g := &Gateway{log: o.Client.Log, tell: o.Changed}
	var err error
	switch {
	case o.Engine != nil:
		g.engine = o.Engine
	case o.Epoll:
		if g.engine, err = loop.Epoll(loop.EpollOptions{Loops: o.Loops, Inherited: o.Inherited}); err != nil {
			return nil, fmt.Errorf("the epoll engine cannot start, the portable one may: %w", err)
		}
	default:
		g.engine = loop.Portable(loop.PortableOptions{Loops: o.Loops, Inherited: o.Inherited})
	}
	first, err := g.prepare(&o)
	if err != nil {
		g.engine.Close()
		return nil, err
	}
	g.servers = make([]*exchange.Server, len(g.engine.Loops()))
	g.swap(first)
	return g, nil
}

// addresses are those that we listen on.
func (g *Gateway) addresses() []netip.AddrPort {
	if p := g.own.Load(); p != nil {
		return *p
	}
	return nil
}

// changed notes that an endpoint has come to another state.
func (g *Gateway) changed(c upstream.Change) {
	line := &accesslog.Endpoint{At: time.Now().UnixNano(), Upstream: c.Upstream, Endpoint: c.Endpoint, From: string(c.From),
		To: string(c.To), Why: c.Why, Fault: string(c.Fault), For: int64(c.For)}
	if g.log != nil {
		g.log.Endpoint(line)
	}
	if g.tell != nil {
		g.tell(line)
	}
}

// name fills in who we are to others, and what of old stays. The pseudonym in Via
// has the port: two gateways on one machine, one in front of the other, are no loop.
func (g *Gateway) name(old *exchange.Options) {
	c := &g.o.Client
	if c.Node == "" {
		host, err := os.Hostname()
		if err != nil || host == "" {
			host = "gateway"
		}
		c.Node = host
	}
	c.Via = cmp.Or(c.Via, old.Via)
	if c.Via == "" {
		c.Via = c.Node
		if ip := g.listeners[0].Addr().IP; ip.IsValid() {
			c.Via = fmt.Sprintf("%s:%d", c.Node, ip.Port())
		}
	}
	c.Log, c.Spans = cmp.Or(c.Log, old.Log), cmp.Or(c.Spans, old.Spans)
	c.Trace = c.Trace || c.Spans != nil
	if c.Incidents = cmp.Or(c.Incidents, old.Incidents); c.Incidents == nil {
		c.Incidents = incident.NewStore(0)
	}
	if c.Observe == nil {
		c.Observe = old.Observe
	}
}

// Certificates are those of the TLS listeners, nil if there are none.
func (g *Gateway) Certificates() *certs.Store {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.certs
}

// Handshakes counts the TLS handshakes of all loops. It must not be called from a
// task.
func (g *Gateway) Handshakes() exchange.Handshakes {
	g.counting.Lock()
	defer g.counting.Unlock()
	if !g.ended {
		g.count()
	}
	return g.handshakes
}

// Counters are the sums of what the exchanges of all loops came to, and how many
// client connections are open. It must not be called from a task.
func (g *Gateway) Counters() (c *metrics.Counters, open int) {
	g.counting.Lock()
	defer g.counting.Unlock()
	if g.ended {
		return g.counters, 0
	}
	return g.sum()
}

func (g *Gateway) sum() (c *metrics.Counters, open int) {
	c = new(metrics.Counters)
	for i, l := range g.engine.Loops() { // one behind the other: they add to the same
		done := make(chan struct{})
		l.Post(func() {
			defer close(done)
			c.Add(g.servers[i].Counters())
			open += g.servers[i].Open()
		})
		<-done
	}
	return c, open
}

// count asks the loops, which run.
func (g *Gateway) count() {
	var all exchange.Handshakes
	each := make(chan exchange.Handshakes, len(g.servers)) // no loop waits here
	for i, l := range g.engine.Loops() {
		l.Post(func() { each <- g.servers[i].Handshakes() })
	}
	for range g.servers {
		h := <-each
		all.Full, all.Resumed, all.Failed, all.Plain = all.Full+h.Full, all.Resumed+h.Resumed, all.Failed+h.Failed, all.Plain+h.Plain
	}
	g.handshakes = all
}

// Addresses are those that the gateway listens on, in the order of the options:
// those of Listen, then those of ListenTLS.
func (g *Gateway) Addresses() []loop.Address {
	g.mu.Lock()
	defer g.mu.Unlock()
	var a []loop.Address
	for _, ln := range g.listeners {
		a = append(a, ln.Addr())
	}
	return a
}

// Socket is a listening socket for another process.
type Socket struct {
	// Name is the address that was asked for, as text.
	Name string
	File *os.File
}

// Sockets are copies of the listening sockets. The caller closes the files.
func (g *Gateway) Sockets() (list []Socket, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, ln := range g.listeners {
		files, e := ln.Files()
		if e != nil {
			for _, s := range list {
				s.File.Close()
			}
			return nil, fmt.Errorf("the socket on %s cannot be handed over: %w", ln.asked, e)
		}
		for _, f := range files {
			list = append(list, Socket{ln.asked.String(), f})
		}
	}
	return list, nil
}

// Leave makes a drain leave the files of unix sockets where they are: another process
// accepts on them.
func (g *Gateway) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, ln := range g.listeners {
		ln.Leave()
	}
}

// Node is the name in Proxy-Status.
func (g *Gateway) Node() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.o.Client.Node
}

// Incidents are the incidents kept.
func (g *Gateway) Incidents() *incident.Store {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.o.Client.Incidents
}

// Upstreams are what stands behind the gateway, in the order of the options.
func (g *Gateway) Upstreams() (list []*upstream.Upstream) {
	for _, s := range g.graph.Load().services {
		list = append(list, s.up)
	}
	return list
}

// Upstream is the first of Upstreams.
func (g *Gateway) Upstream() *upstream.Upstream { return g.graph.Load().services[0].up }

// Turns reports whether every loop runs what it is given, which takes until it has, or
// until ctx ends. It must not be called from a task.
func (g *Gateway) Turns(ctx context.Context) bool {
	loops := g.engine.Loops()
	turned := make(chan struct{}, len(loops)) // no loop waits here
	for _, l := range loops {
		l.Post(func() { turned <- struct{}{} })
	}
	for range loops {
		select {
		case <-turned:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// Stopping reports whether Drain was called.
func (g *Gateway) Stopping() bool { return g.stopped.Load() }

// Drain stops accepting, lets exchanges end for at most the given time, breaks
// what is left, and returns when nothing runs any more. Further calls do nothing.
func (g *Gateway) Drain(most time.Duration) {
	again := g.stopped.Swap(true) // an Apply that waits then gives up
	g.discovery.stop()
	g.applying.Lock()
	defer g.applying.Unlock()
	if again {
		return
	}
	for _, ln := range g.listeners {
		ln.Close()
	}
	services := g.graph.Load().services
	g.onLoops(func(i int, l loop.Loop) {
		g.servers[i].Drain(l.Now().Add(int64(max(most, 1))))
		for _, s := range services {
			s.close(i)
		}
	})
	for _, sink := range []*accesslog.Sink{g.o.Client.Log, g.o.Client.Spans} {
		if sink != nil {
			sink.Close()
		}
	}
	g.counting.Lock()
	g.count()
	g.counters, _ = g.sum()
	g.ended = true
	g.counting.Unlock()
	g.engine.Close()
	if g.certs != nil {
		g.certs.Close()
	}
	if g.acme != nil {
		g.acme.Close()
	}
}
