// Package gateway puts the parts together: listeners, the client's side, the
// attempt loop and the upstream, on the loops of an engine. It starts them and
// drains them; it does nothing for a request.
package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/certs"
	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/http2"
	"github.com/gatewhy/gatewhy/internal/incident"
	"github.com/gatewhy/gatewhy/internal/loop"
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
	Client                           exchange.Options
	Reverse                          reverse.Options
	// Link are the settings of HTTP/2 connections to the upstream, besides those
	// that hold for any version.
	Link http2.LinkOptions
	// Engine runs it, and is closed with it, also when Start fails; nil means the
	// portable engine, or with Epoll that one, with Loops loops (0: one a core).
	// Epoll wants GOMAXPROCS two higher than Loops: see loop.EpollOptions.
	Engine loop.Engine
	Loops  int
	Epoll  bool
}

// Defaults are the settings of a gateway that nobody configured.
func Defaults() Options {
	return Options{
		Epoll: loop.HasEpoll,
		Client: exchange.Options{
			Times: http1.Timeouts{Head: exchange.DefaultClientHead, Body: exchange.DefaultClientBody,
				KeepAlive: exchange.DefaultKeepAlive, Reply: exchange.DefaultReply},
			Limits: http1.Limits{Limits: h1.DefaultRequest},
			HTTP2: http2.ServerOptions{Requests: http2.DefaultRequests, BodyWindow: http2.DefaultBodyWindow,
				BodyMemory: http2.DefaultBodyMemory, Resets: http2.DefaultResets, Control: http2.DefaultControl, Table: h2.DefaultTable},
			MaxConnections: exchange.DefaultMaxConnections,
		},
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
	o         Options
	engine    loop.Engine
	up        *upstream.Upstream
	certs     *certs.Store       // nil without ListenTLS
	listeners []loop.Listener    // those of Listen, then those of ListenTLS
	servers   []*exchange.Server // by loop
	proxies   []*reverse.Proxy   // by loop
	own       atomic.Pointer[[]netip.AddrPort]
	draining  sync.Once

	counting   sync.Mutex
	handshakes exchange.Handshakes // as of the last count
	ended      bool                // the loops do not run any more
}

// Start listens and serves. The error names what could not be done; nothing
// runs then.
func Start(o Options) (*Gateway, error) {
	if len(o.Listen)+len(o.ListenTLS) == 0 {
		return nil, errors.New("no address to listen on: give one, such as :8080")
	}
	g := &Gateway{o: o}
	g.o.Upstream.Own = func() []netip.AddrPort {
		if p := g.own.Load(); p != nil {
			return *p
		}
		return nil
	}
	var err error
	if len(o.ListenTLS) > 0 {
		o.TLS.HTTP2 = !o.Client.NoHTTP2
		if g.certs, err = certs.Load(o.TLS); err != nil {
			return nil, err
		}
		g.o.Client.TLS = g.certs.Config()
	}
	if o.UpstreamKey != "" && o.UpstreamCertificate == "" {
		g.closeCerts()
		return nil, errors.New("--upstream-key without a certificate: name it with --upstream-cert")
	}
	if o.UpstreamCertificate != "" {
		c, err := certs.Pair(o.UpstreamCertificate, cmp.Or(o.UpstreamKey, o.UpstreamCertificate))
		if err != nil {
			g.closeCerts()
			return nil, err
		}
		g.o.Upstream.Certificate = &c
	}
	switch {
	case o.Engine != nil:
		g.engine = o.Engine
	case o.Epoll:
		if g.engine, err = loop.Epoll(loop.EpollOptions{Loops: o.Loops}); err != nil {
			g.closeCerts()
			return nil, fmt.Errorf("the epoll engine cannot start, the portable one may: %w", err)
		}
	default:
		g.engine = loop.Portable(loop.PortableOptions{Loops: o.Loops})
	}
	g.share()
	if g.up, err = upstream.New(g.o.Upstream); err == nil {
		err = g.listen()
	}
	if err != nil {
		for _, ln := range g.listeners {
			ln.Close()
		}
		g.engine.Close()
		g.closeCerts()
		return nil, err
	}
	g.name()
	g.open()
	for i, ln := range g.listeners {
		if i < len(o.Listen) {
			g.engine.Serve(ln, func(l loop.Loop, s loop.Stream) { g.servers[l.Index()].Serve(s) })
		} else {
			g.engine.Serve(ln, func(l loop.Loop, s loop.Stream) { g.servers[l.Index()].ServeTLS(s) })
		}
	}
	return g, nil
}

func (g *Gateway) listen() error {
	var own []netip.AddrPort
	for _, a := range slices.Concat(g.o.Listen, g.o.ListenTLS) {
		ln, err := g.engine.Listen(a)
		if err != nil {
			return &ListenError{a, err}
		}
		g.listeners = append(g.listeners, ln)
		if ip := ln.Addr().IP; ip.IsValid() {
			own = append(own, ip)
		}
	}
	g.own.Store(&own)
	return nil
}

// share teaches the upstream to speak HTTP/2.
func (g *Gateway) share() {
	o, r := &g.o.Link, &g.o.Reverse
	o.Limits = h2.Limits{Field: r.Limits.Field, Head: r.Limits.Head, Fields: r.Limits.Fields}
	o.Body, o.Repair, o.Send = r.Limits.Body, r.Allow != 0, r.Send
	g.o.Upstream.Share = func(s loop.Stream, secure bool, until loop.Time, freed func()) (upstream.Shared, *fault.Fault) {
		scheme := "http"
		if secure {
			scheme = "https"
		}
		k, f := http2.Open(s, scheme, o, until, freed)
		if f != nil {
			return nil, f
		}
		return k, nil
	}
}

// name fills in who we are to others. The pseudonym in Via has the port: two
// gateways on one machine, one in front of the other, are no loop.
func (g *Gateway) name() {
	c := &g.o.Client
	if c.Node == "" {
		host, err := os.Hostname()
		if err != nil || host == "" {
			host = "gateway"
		}
		c.Node = host
	}
	if c.Via == "" {
		c.Via = c.Node
		if ip := g.listeners[0].Addr().IP; ip.IsValid() {
			c.Via = fmt.Sprintf("%s:%d", c.Node, ip.Port())
		}
	}
	c.Incidents = cmp.Or(c.Incidents, incident.NewStore(0))
}

// open makes the parts of each loop, on that loop.
func (g *Gateway) open() {
	loops := g.engine.Loops()
	g.servers = make([]*exchange.Server, len(loops))
	g.proxies = make([]*reverse.Proxy, len(loops))
	var made sync.WaitGroup
	made.Add(len(loops))
	for i, l := range loops {
		l.Post(func() {
			defer made.Done()
			g.proxies[i] = reverse.New(l, &g.o.Reverse, g.up)
			g.servers[i] = exchange.NewServer(l, &g.o.Client, g.proxies[i])
		})
	}
	made.Wait()
}

func (g *Gateway) closeCerts() {
	if g.certs != nil {
		g.certs.Close()
	}
}

// Certificates are those of the TLS listeners, nil if there are none.
func (g *Gateway) Certificates() *certs.Store { return g.certs }

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
	var a []loop.Address
	for _, ln := range g.listeners {
		a = append(a, ln.Addr())
	}
	return a
}

// Node is the name in Proxy-Status.
func (g *Gateway) Node() string { return g.o.Client.Node }

// Incidents are the incidents kept.
func (g *Gateway) Incidents() *incident.Store { return g.o.Client.Incidents }

// Upstream is what stands behind the gateway.
func (g *Gateway) Upstream() *upstream.Upstream { return g.up }

// Drain stops accepting, lets exchanges end for at most the given time, breaks
// what is left, and returns when nothing runs any more. Further calls do nothing.
func (g *Gateway) Drain(most time.Duration) {
	g.draining.Do(func() {
		for _, ln := range g.listeners {
			ln.Close()
		}
		var drained sync.WaitGroup
		drained.Add(len(g.servers))
		for i, l := range g.engine.Loops() {
			l.Post(func() {
				defer drained.Done()
				g.servers[i].Drain(l.Now().Add(int64(max(most, 1))))
				g.proxies[i].Close()
			})
		}
		drained.Wait()
		if g.o.Client.Log != nil {
			g.o.Client.Log.Close()
		}
		g.counting.Lock()
		g.count()
		g.ended = true
		g.counting.Unlock()
		g.engine.Close()
		g.closeCerts()
	})
}
