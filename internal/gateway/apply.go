package gateway

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gatewhy/gatewhy/internal/certs"
	"github.com/gatewhy/gatewhy/internal/check"
	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/reverse"
)

// ErrStopping is what Apply returns once the gateway drains.
var ErrStopping = errors.New("the gateway is stopping")

// Apply makes o the settings of the running gateway. Everything is checked and
// opened first: on an error nothing has changed. Then the graph is swapped.
//
// Exchanges under way keep the upstream, the limits and the route that they began
// with, to their end; nothing is cut. Upstreams with the same name and settings stay
// as they are, with their connections; others take over what the one of the same name
// has learned of endpoints that both have, and its idle connections to them. Listeners on
// the same address stay open, whether they speak TLS or not; new ones are open before old
// ones close. Client connections live on, with the limits that they began with.
//
// The engine and its loops, the access log and the incidents cannot change; of the
// latter two nil means what there is. Apply must not be called from a task; calls
// take turns.
func (g *Gateway) Apply(o Options) error {
	if g.stopped.Load() {
		return ErrStopping
	}
	g.applying.Lock()
	defer g.applying.Unlock()
	if g.stopped.Load() {
		return ErrStopping
	}
	if err := g.restarts(&o); err != nil {
		return err
	}
	next, err := g.prepare(&o)
	if err != nil {
		return err
	}
	g.swap(next)
	return nil
}

// restarts tells what of o a running gateway cannot take.
func (g *Gateway) restarts(o *Options) error {
	var wrong []error
	if o.Engine != nil && o.Engine != g.o.Engine || o.Loops != g.o.Loops || o.Epoll != g.o.Epoll {
		wrong = append(wrong, errors.New("another engine, or another number of loops, needs a restart"))
	}
	if o.Client.Log != nil && o.Client.Log != g.o.Client.Log || o.Client.Incidents != nil && o.Client.Incidents != g.o.Client.Incidents {
		wrong = append(wrong, errors.New("the access log and the store of incidents need a restart"))
	}
	return errors.Join(wrong...)
}

// generation is everything that one set of options leads to, opened and not in use. See
// Gateway.refresh as well, which makes one with another graph.
type generation struct {
	o         *Options
	client    *exchange.Options // as the loops have it
	graph     *graph
	certs     *certs.Store
	acme      *certs.Manager
	listeners []*listener
	opened    []*listener // of these, those that were not open before
}

// listener is a socket that the gateway accepts on.
type listener struct {
	loop.Listener
	asked  loop.Address // as in the options, perhaps with port 0
	secure atomic.Bool  // connections that are accepted from now on speak TLS
}

// prepare makes the generation of o. On an error everything is as it was.
func (g *Gateway) prepare(o *Options) (n *generation, err error) {
	if len(o.Listen)+len(o.ListenTLS) == 0 {
		return nil, errors.New("no address to listen on: give one, such as :8080")
	}
	n = &generation{o: o, certs: g.certs, acme: g.acme}
	defer func() {
		if err == nil {
			return
		}
		for _, ln := range n.opened {
			ln.Close()
		}
		if n.certs != nil && n.certs != g.certs {
			n.certs.Close()
		}
		if n.acme != nil && n.acme != g.acme {
			n.acme.Close()
		}
	}()
	g.discovery.learn(o)
	var wrong []error
	if n.graph, err = g.compile(o, g.graph.Load()); err != nil {
		wrong = append(wrong, err)
	}
	if err := n.certify(g); err != nil {
		wrong = append(wrong, err)
	}
	if err := errors.Join(wrong...); err != nil {
		return n, err
	}
	if err := n.listen(g); err != nil {
		return n, err
	}
	return n, nil
}

// certify loads the certificates. Those that are in use stay if they are the same:
// clients then go on with their sessions.
func (n *generation) certify(g *Gateway) error {
	if len(n.o.ListenTLS) == 0 {
		n.certs, n.acme = nil, nil
		return nil
	}
	if a := n.o.TLS.Managed; a == nil {
		n.acme = nil
	} else if g.acme == nil || !g.acme.Same(*a) {
		tell := n.o.Told
		if tell == nil {
			tell = func(string) {}
		}
		var err error
		if n.acme, err = certs.NewManager(*a, tell); err != nil {
			n.acme = g.acme
			return err
		}
	}
	n.o.TLS.HTTP2, n.o.TLS.NoHTTP1 = !n.o.Client.NoHTTP2, n.o.Client.NoHTTP1
	same := g.certs != nil && n.acme == g.acme && reflect.DeepEqual(n.o.TLS, g.o.TLS)
	if same && len(n.o.TLS.Certificates) == 0 && g.certs.SameClients(n.o.TLS.ClientCAs) {
		return nil // the manager's, and the one that was made at the start
	}
	store, err := certs.Load(n.o.TLS, n.acme)
	if err != nil {
		n.certs = g.certs
		return err
	}
	if same && store.Same(g.certs) {
		store.Close()
		return nil
	}
	n.certs = store
	return nil
}

// listen opens what is not open yet.
func (n *generation) listen(g *Gateway) error {
	left := slices.Clone(g.listeners)
	for _, a := range slices.Concat(n.o.Listen, n.o.ListenTLS) {
		if i := slices.IndexFunc(left, func(ln *listener) bool { return ln.asked == a }); i >= 0 {
			n.listeners = append(n.listeners, left[i])
			left = slices.Delete(left, i, i+1)
			continue
		}
		ln, err := g.engine.Listen(a)
		if err != nil {
			return &ListenError{a, err}
		}
		own := &listener{Listener: ln, asked: a}
		n.listeners, n.opened = append(n.listeners, own), append(n.opened, own)
	}
	return nil
}

// swap puts a generation in the place of the one before, if there was one.
func (g *Gateway) swap(n *generation) {
	old := g.graph.Load()
	oldCerts, oldListeners, oldACME := g.certs, g.listeners, g.acme
	g.mu.Lock()
	client := g.o.Client
	g.o, g.certs, g.acme, g.listeners = *n.o, n.certs, n.acme, n.listeners
	g.name(&client)
	n.client = new(exchange.Options)
	*n.client = g.o.Client
	n.client.TLS = nil
	if n.certs != nil {
		n.client.TLS = n.certs.Config()
	}
	g.mu.Unlock()

	// From here on requests could come back to us by the new listeners.
	var own []netip.AddrPort
	for _, ln := range g.listeners {
		if ip := ln.Addr().IP; ip.IsValid() {
			own = append(own, ip)
		}
	}
	g.own.Store(&own)
	g.asked.Store(n.acme)
	port := uint32(0)
	if len(n.o.ListenTLS) > 0 {
		port = uint32(g.listeners[len(n.o.Listen)].Addr().IP.Port())
	}
	g.port.Store(port)

	// The new parts are there on each loop before the first request can meet them.
	for _, s := range n.graph.services {
		if s.proxies == nil {
			s.proxies = make([]*reverse.Proxy, len(g.engine.Loops()))
			s.checkers = make([]*check.Checker, len(g.engine.Loops()))
		}
	}
	g.onLoops(func(i int, l loop.Loop) {
		for _, s := range n.graph.services {
			s.begin(i, l)
		}
	})
	g.graph.Store(n.graph)
	g.onLoops(func(i int, l loop.Loop) {
		if g.servers[i] == nil {
			g.servers[i] = exchange.NewServer(l, n.client, &router{g: g, index: i})
		} else {
			g.servers[i].Use(n.client)
		}
		if old == nil {
			return
		}
		for _, s := range old.services {
			heir := n.graph.find(s.o.Name)
			if heir == s {
				continue
			}
			if heir != nil {
				heir.proxies[i].Inherit(s.proxies[i])
			}
			s.close(i)
		}
	})
	g.appeared(old, n.graph)
	g.keep(n.o)
	for i, ln := range g.listeners {
		ln.secure.Store(i >= len(g.o.Listen))
	}
	for _, ln := range n.opened {
		g.engine.Serve(ln.Listener, func(l loop.Loop, s loop.Stream) {
			if own := g.servers[l.Index()]; ln.secure.Load() {
				own.ServeTLS(s)
			} else {
				own.Serve(s)
			}
		})
	}
	for _, ln := range oldListeners {
		if !slices.Contains(g.listeners, ln) {
			ln.Close()
		}
	}
	if oldCerts != nil && oldCerts != g.certs {
		oldCerts.Close()
	}
	if oldACME != nil && oldACME != g.acme {
		oldACME.Close()
	}
	if g.acme != nil { // now there is somebody to answer what the authority asks
		g.acme.Manage(n.o.TLS.Managed.Names, n.o.TLS.Managed.Internal)
	}
}

// onLoops runs f on each loop and waits for all.
func (g *Gateway) onLoops(f func(i int, l loop.Loop)) {
	var done sync.WaitGroup
	for i, l := range g.engine.Loops() {
		done.Add(1)
		l.Post(func() {
			defer done.Done()
			f(i, l)
		})
	}
	done.Wait()
}
