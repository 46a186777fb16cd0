package prove

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/gatewhy/gatewhy/internal/accesslog"
	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/incident"
	"github.com/gatewhy/gatewhy/internal/lab"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/loop/faulty"
	"github.com/gatewhy/gatewhy/internal/reverse"
	"github.com/gatewhy/gatewhy/internal/route"
	"github.com/gatewhy/gatewhy/internal/settings"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// stage is a recipe's origin with a gateway of its own before it. One loop is
// enough, and lets limits that hold for each loop hold for the gateway.
type stage struct {
	recipe  *lab.Recipe
	gateway *gateway.Gateway
	origins []*lab.Origin // the recipe's first; a good one last if asked for
	address string        // of the gateway
	trails  chan *trail.Trail
	kept    []*trail.Trail // read from trails before their turn
	log     lines
}

// lines is an access log in memory. Its writer runs outside the loops, but
// nobody reads before the gateway has ended.
type lines struct{ text []byte }

func (l *lines) Write(b []byte) (int, error) {
	l.text = append(l.text, b...)
	return len(b), nil
}

// maxTrails bounds the exchanges of one play; see play.
const maxTrails = 8

// listening is where gateways under test listen: any free port of loopback.
var listening = netip.MustParseAddrPort("127.0.0.1:0")

// setUp starts the recipe's origins and the gateway. With rescue, a good origin
// stands beside them as the upstream's last endpoint.
func setUp(ctx context.Context, r *lab.Recipe, engine func() loop.Engine, rescue bool) (s *stage, err error) {
	s = &stage{recipe: r, trails: make(chan *trail.Trail, maxTrails)}
	defer func() {
		if err != nil {
			s.tearDown()
		}
	}()
	for range max(1, r.Endpoints) {
		o, err := r.Start(ctx)
		if err != nil {
			return s, err
		}
		s.origins = append(s.origins, o)
	}
	if rescue {
		o, err := lab.Good(ctx)
		if err != nil {
			return s, err
		}
		s.origins = append(s.origins, o)
	}
	options, err := s.options()
	if err != nil {
		return s, err
	}
	if options.Engine, err = s.engine(engine()); err != nil {
		return s, err
	}
	if s.gateway, err = gateway.Start(options); err != nil {
		return s, err
	}
	if r.Drained {
		for _, e := range s.gateway.Upstream().Endpoints()[:max(1, r.Endpoints)] {
			e.Drain("the recipe says so")
		}
	}
	s.address = s.gateway.Addresses()[0].String()
	return s, nil
}

// options are the gateway's settings for the recipe.
func (s *stage) options() (gateway.Options, error) {
	o := gateway.Defaults()
	first := s.origins[0]
	at := listening
	for _, origin := range s.origins {
		target := origin.Target
		if target == lab.Self {
			var err error
			if at, err = freePort(); err != nil {
				return o, err
			}
			target = at.String()
		}
		targets, err := upstream.ParseTarget(target)
		if err != nil {
			return o, err
		}
		o.Upstream.Targets = append(o.Upstream.Targets, targets...)
	}
	if o.Listen = []loop.Address{{IP: at}}; s.recipe.OnTLS {
		o.Listen, o.ListenTLS = nil, o.Listen
		o.TLS.SelfSigned = true
	}
	o.Upstream.Name = "lab"
	o.Upstream.Balance = upstream.Turns // the recipe's own endpoint comes first
	for _, site := range s.recipe.Sites {
		own := gateway.Site{Hosts: []string{site.Host}}
		for _, path := range site.Paths {
			own.Routes = append(own.Routes, gateway.Route{Match: route.Match{Path: []string{path}}, To: o.Upstream.Name})
		}
		o.Sites = append(o.Sites, own)
	}
	o.Upstream.Resolver = first.Resolver
	if first.CA != "" {
		pem, err := os.ReadFile(first.CA)
		if err != nil {
			return o, err
		}
		o.Upstream.CA = x509.NewCertPool()
		if !o.Upstream.CA.AppendCertsFromPEM(pem) {
			return o, fmt.Errorf("%s holds no certificate", first.CA)
		}
	}
	store := incident.NewStore(1)
	o.Client.Observe = func(t *trail.Trail) {
		select {
		case s.trails <- store.Keep(t).Trail: // a copy: the exchange is used again
		default: // more exchanges than any recipe asks for: judged by what is there
		}
	}
	o.Client.Log = accesslog.NewSink(&s.log, accesslog.SinkOptions{})
	if e := s.recipe.Inject.SpoolErrno; e != 0 {
		o.Reverse.Spool = func() (reverse.Spool, error) { return nil, os.NewSyscallError("write", e) }
	}
	return o, settings.Apply(&o, s.recipe.Set)
}

// freePort is a port of loopback that was free a moment ago.
func freePort() (netip.AddrPort, error) {
	ln, err := net.Listen("tcp", listening.String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).AddrPort(), nil
}

// engine wraps e with what the recipe pretends of network and machine. It holds
// for the recipe's origins only: the good one is reached as ever.
func (s *stage) engine(e loop.Engine) (loop.Engine, error) {
	in := s.recipe.Inject
	in.SpoolErrno = 0 // not the engine's
	if !in.Any() {
		return e, nil
	}
	bad := map[loop.Address]bool{}
	for _, o := range s.origins[:max(1, s.recipe.Endpoints)] {
		at, err := netip.ParseAddrPort(o.Target)
		if err != nil {
			e.Close()
			return nil, fmt.Errorf("recipe %s injects and its target is no address: %w", s.recipe.Name, err)
		}
		bad[loop.Address{IP: at}] = true
	}
	plan := &faulty.Plan{For: func(a loop.Address) bool { return bad[a] }, Blind: in.HideClose}
	var panicked atomic.Bool
	plan.DialErr = func(loop.Address) error {
		if in.Panic && panicked.CompareAndSwap(false, true) {
			panic("injected by recipe " + s.recipe.Name)
		}
		if in.DialErrno != 0 {
			return os.NewSyscallError("connect", in.DialErrno)
		}
		return nil
	}
	if in.PauseAfterConnect {
		plan.AfterConnect = faulty.AwaitPeer
	}
	if in.NoAck {
		// Far less than any connection has sent: nothing new is acknowledged.
		plan.Delivery = func(d loop.Delivery, _ bool) (loop.Delivery, bool) {
			d.Acked = 0
			return d, true
		}
	}
	return faulty.Wrap(e, plan), nil
}

// drain is how long exchanges that still run when a play is over may take. By
// then the client has gone, and what is left cannot end well.
const drain = 2 * time.Second

// tearDown ends the gateway, then the origins.
func (s *stage) tearDown() {
	if s.gateway != nil {
		s.gateway.Drain(drain)
	}
	for _, o := range s.origins {
		o.Close()
	}
}
