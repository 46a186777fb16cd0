package gateway

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/certs"
	"github.com/gatewhy/gatewhy/internal/check"
	"github.com/gatewhy/gatewhy/internal/http2"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/reverse"
	"github.com/gatewhy/gatewhy/internal/route"
	"github.com/gatewhy/gatewhy/internal/upstream"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
)

// Site says where requests for some hosts go: the first route that matches owns
// a request. Hosts and matches are those of package route.
type Site struct {
	Name   string // what logs call it; "" means its first host
	Hosts  []string
	Routes []Route
	// Redirect sends requests that come in plain HTTP to the same URL with https, where
	// there is a TLS listener.
	Redirect bool
}

// Route is a rule of a site.
type Route struct {
	Match route.Match
	// To is the name of the upstream that answers.
	To string
}

// Upstream is a named service behind the gateway, and how it is asked. Its name,
// in Options, is what routes, logs and metrics call it.
type Upstream struct {
	upstream.Options
	// CertificateFile and KeyFile are PEM: what to show to endpoints that ask for a
	// certificate. "" for none, and for a key in the same file.
	CertificateFile, KeyFile string
	// CAFile is PEM with the authorities to trust, in the place of CA; "" for none.
	CAFile  string
	Reverse reverse.Options
	// Link are the settings of its HTTP/2 connections, besides those that hold for any
	// version.
	Link http2.LinkOptions
	// Check says how its endpoints are looked at.
	Check check.Options
}

// all are the upstreams of o, of which there may be one that is not in the list.
func (o *Options) all() []Upstream {
	if len(o.Upstreams) > 0 {
		return o.Upstreams
	}
	return []Upstream{{Options: o.Upstream, CertificateFile: o.UpstreamCertificate, KeyFile: o.UpstreamKey, CAFile: o.UpstreamCA, Reverse: o.Reverse, Link: o.Link, Check: o.Check}}
}

// graph is what requests go through: sites, routes, upstreams. It never changes;
// another one takes its place.
type graph struct {
	table    *route.Table
	owners   [][]*service // by site and route
	redirect []bool       // by site
	services []*service   // in the order of the options
}

// service is an upstream with its parts on the loops. While its settings stay the
// same it stays, from one graph to the next.
type service struct {
	o Upstream // as given, with the certificate loaded
	// targets are those of o, with what SRV names stand for in their places.
	targets []upstream.Target
	up      *upstream.Upstream
	// By loop. Without checks the checkers are nil.
	proxies  []*reverse.Proxy
	checkers []*check.Checker
}

// checker is what others take health checks for in their logs.
const checker = "gatewhy (health check)"

// begin makes the parts of s that belong to a loop, unless they are there.
func (s *service) begin(i int, l loop.Loop) {
	if s.proxies[i] != nil {
		return
	}
	s.proxies[i] = reverse.New(l, &s.o.Reverse, s.up)
	if s.o.Check.On() {
		s.checkers[i] = check.Start(l, len(s.checkers), s.up, &s.o.Check, checker)
	}
}

// close ends them.
func (s *service) close(i int) {
	if c := s.checkers[i]; c != nil {
		c.Close()
	}
	s.proxies[i].Close()
}

// compile checks the options as a whole and makes a graph of them. Services of
// from that are the same in it are used again; others of the same name hand on what
// they have learned. It opens nothing. The error names every mistake.
func (g *Gateway) compile(o *Options, from *graph) (*graph, error) {
	var wrong []error
	n := &graph{}
	byName := map[string]*service{}
	for _, u := range o.all() {
		if byName[u.Name] != nil {
			wrong = append(wrong, fmt.Errorf("two upstreams are called %q: give each a name of its own", u.Name))
			continue
		}
		s, err := g.service(u, from)
		if err != nil {
			wrong = append(wrong, err)
			s = &service{o: u}
		}
		byName[u.Name] = s
		n.services = append(n.services, s)
	}
	sites := o.Sites
	if len(sites) == 0 {
		if len(n.services) > 1 {
			wrong = append(wrong, errors.New("there are several upstreams and no site says which one answers: add a site"))
		}
		sites = []Site{{Hosts: []string{"any"}, Routes: []Route{{To: n.services[0].o.Name}}}}
	}
	var rules []route.Site
	for i := range sites {
		s := &sites[i]
		r := route.Site{Name: s.Name, Hosts: s.Hosts}
		var owners []*service
		for j := range s.Routes {
			r.Routes = append(r.Routes, s.Routes[j].Match)
			to := byName[s.Routes[j].To]
			if to == nil {
				wrong = append(wrong, fmt.Errorf("route %d of site %s leads to upstream %q, which there is none of", j+1, cmp.Or(s.Name, append(s.Hosts, "")[0]), s.Routes[j].To))
			}
			owners = append(owners, to)
		}
		rules, n.owners, n.redirect = append(rules, r), append(n.owners, owners), append(n.redirect, s.Redirect)
	}
	var err error
	if n.table, err = route.Compile(rules); err != nil {
		wrong = append(wrong, err)
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	return n, nil
}

// find returns the service of that name, nil if there is none.
func (n *graph) find(name string) *service {
	if n == nil {
		return nil
	}
	if i := slices.IndexFunc(n.services, func(s *service) bool { return s.o.Name == name }); i >= 0 {
		return n.services[i]
	}
	return nil
}

// service makes an upstream, or takes it from another graph.
func (g *Gateway) service(u Upstream, from *graph) (*service, error) {
	switch {
	case u.KeyFile != "" && u.CertificateFile == "":
		return nil, errors.New("--upstream-key without a certificate: name it with --upstream-cert")
	case u.CertificateFile != "":
		c, err := certs.Pair(u.CertificateFile, cmp.Or(u.KeyFile, u.CertificateFile))
		if err != nil {
			return nil, err
		}
		u.Certificate = &c
	}
	if u.CAFile != "" {
		pem, err := os.ReadFile(u.CAFile)
		if err != nil {
			return nil, err
		}
		u.CA = x509.NewCertPool()
		if !u.CA.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", u.CAFile)
		}
	}
	old := from.find(u.Name)
	targets, empty := g.discovery.expand(&u)
	if old != nil && old.o.same(&u) && slices.Equal(old.targets, targets) {
		return old, nil
	}
	s := &service{o: u, targets: targets}
	options := u.Options
	options.Targets, options.Empty = targets, empty
	options.Own, options.Changed = g.addresses, g.changed
	options.Share = s.share()
	var err error
	if s.up, err = upstream.New(options); err != nil {
		return nil, err
	}
	if old != nil {
		s.up.Inherit(old.up)
		for _, e := range s.up.Endpoints() {
			if !s.o.Check.On() {
				e.Up("nobody checks it any more")
			}
		}
	}
	return s, nil
}

// share teaches the upstream to speak HTTP/2.
func (s *service) share() upstream.Share {
	o, r := &s.o.Link, &s.o.Reverse
	link := *o
	link.Limits = h2.Limits{Field: r.Limits.Field, Head: r.Limits.Head, Fields: r.Limits.Fields}
	link.Body, link.Repair, link.Send = r.Limits.Body, r.Allow != 0, r.Send
	return func(s loop.Stream, secure bool, until loop.Time, freed func()) (upstream.Shared, *fault.Fault) {
		scheme := "http"
		if secure {
			scheme = "https"
		}
		k, f := http2.Open(s, scheme, &link, until, freed)
		if f != nil {
			return nil, f
		}
		return k, nil
	}
}

// same reports whether two upstreams have the same settings. Functions cannot be
// compared: with one they are not the same.
func (u *Upstream) same(o *Upstream) bool {
	a, b := *u, *o
	if a.Own != nil || b.Own != nil || a.Changed != nil || b.Changed != nil || a.Share != nil || b.Share != nil || a.Reverse.Spool != nil || b.Reverse.Spool != nil {
		return false
	}
	if a.CA != b.CA && (a.CA == nil || b.CA == nil || !a.CA.Equal(b.CA)) {
		return false
	}
	if c, d := a.Certificate, b.Certificate; c != d && (c == nil || d == nil || !reflect.DeepEqual(c.Certificate, d.Certificate)) {
		return false
	}
	a.CA, b.CA, a.Certificate, b.Certificate = nil, nil, nil, nil
	return reflect.DeepEqual(&a, &b)
}
