package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/listen"
	"github.com/gatewhy/gatewhy/internal/route"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// checker looks at several options together.
type checker struct {
	*Loaded
	files   conf.Files
	decoder *conf.Decoder
	used    map[string]bool      // upstreams that a route names
	shared  map[string]*Upstream // targets that routes name, by their text
	later   bool                 // files that are not there now are no matter at a start
}

// The paths of sections.
var (
	listenPath    = conf.Path("").Key("listen")
	tlsPath       = conf.Path("").Key("tls")
	upstreamsPath = conf.Path("").Key("upstreams")
	sitesPath     = conf.Path("").Key("sites")
)

func (c *checker) check() {
	c.used, c.shared = map[string]bool{}, map[string]*Upstream{}
	c.routes()
	c.listeners()
	c.upstreams()
	c.certificates()
	c.times()
	c.sizes()
	c.log()
}

// key labels the key of a path.
func (c *checker) key(at conf.Path, words string) conf.Label {
	return conf.Label{Span: c.Places.Key(at), Words: words}
}

// value labels the value of a path.
func (c *checker) value(at conf.Path, words string) conf.Label {
	return conf.Label{Span: firstLine(c.Places[at].Value), Words: words}
}

func firstLine(s conf.Span) conf.Span {
	if i := strings.IndexByte(s.Text(), '\n'); i >= 0 {
		s.End = s.Start + i
	}
	return s
}

// add adds a problem; where its value came from, if no file holds it.
func (c *checker) add(p conf.Problem, at conf.Path) {
	if !p.At.Valid() {
		p.Where = c.Places[at].From.String()
	}
	c.Report.Add(p)
}

// names are the keys of a map in the order of the file.
func (c *checker) names(at conf.Path, keys []string) []string {
	slices.SortFunc(keys, func(a, b string) int {
		x, y := c.Places[at.Key(a)].Key, c.Places[at.Key(b)].Key
		if x.Valid() && y.Valid() && x.Source == y.Source {
			return x.Start - y.Start
		}
		return strings.Compare(a, b)
	})
	return keys
}

func (c *checker) sites() []string {
	return c.names(sitesPath, slices.Collect(maps.Keys(c.Gateway.Sites)))
}

// routes finds out where each route leads, and asks package route what it thinks
// of hosts and matches.
func (c *checker) routes() {
	var sites []route.Site
	var names []string // of these
	var rows [][]int   // of each the routes that could be read
	for _, name := range c.sites() {
		site := c.Gateway.Sites[name]
		if site == nil {
			delete(c.Gateway.Sites, name)
			continue
		}
		at := sitesPath.Key(name).Key("routes")
		s, own := route.Site{Name: name, Hosts: []string{name}}, []int{}
		for i := range site.Routes {
			r, here := &site.Routes[i], at.Index(i)
			c.proxy(&r.Proxy, here.Key("proxy"), name, i)
			c.match(&r.Match, here.Key("match"))
			if c.sound(here) {
				s.Routes, own = append(s.Routes, r.Match.Rule()), append(own, i)
			}
		}
		sites, names, rows = append(sites, s), append(names, name), append(rows, own)
	}
	for _, p := range route.Check(sites) {
		if p.Route < 0 {
			other := ""
			if p.OtherSite >= 0 {
				other = names[p.OtherSite]
			}
			c.site(p, names[p.Site], other)
			continue
		}
		at := sitesPath.Key(names[p.Site]).Key("routes")
		row := rows[p.Site]
		if p.Warning {
			c.unreachable(p, at, row[p.Route], row[p.OtherRoute])
			continue
		}
		here := at.Index(row[p.Route])
		c.add(conf.Problem{Name: "bad_match", Message: p.Text, At: c.condition(p, here, &c.Gateway.Sites[names[p.Site]].Routes[row[p.Route]].Match), Help: p.Fix}, here)
	}
}

// condition is the place of what a problem with a match is about, as near as it
// can be told.
func (c *checker) condition(p *route.Problem, at conf.Path, m *Match) conf.Label {
	at = at.Key("match")
	label := c.value(at, "")
	key, _, inner := strings.Cut(p.Key, ".")
	if key == "" {
		return label
	}
	if l := c.value(at.Key(key), ""); l.Valid() {
		label = l
	}
	var named map[string][]string
	switch {
	case inner:
		return label
	case key == "field":
		named = m.Field
	case key == "query":
		named = m.Query
	default:
		if l := c.value(at.Key(key).Index(p.Item), ""); l.Valid() {
			label = l
		}
		return label
	}
	if names := slices.Sorted(maps.Keys(named)); p.Item < len(names) {
		if l := c.key(at.Key(key).Key(names[p.Item]), ""); l.Valid() {
			label = l
		}
	}
	return label
}

// site tells what is wrong with the name of a site.
func (c *checker) site(p *route.Problem, name, other string) {
	at := sitesPath.Key(name)
	if other != "" {
		c.add(conf.Problem{Name: "conflicting_sites", Message: fmt.Sprintf("`%s` and `%s` answer for the same requests", other, name),
			At: c.key(at, "again here"), Also: []conf.Label{c.key(sitesPath.Key(other), "first here")}, Help: "put the routes of both into one site"}, at)
		return
	}
	bad := fromText("bad_site_name", name, p.Text)
	key := c.Places[at].Key
	problem := conf.Problem{Name: bad.Name, Message: bad.Message, At: conf.Label{Span: key, Words: bad.Words}, Help: bad.Help, Unsure: bad.Unsure}
	if key.Valid() {
		problem.At.Span = key.Part(name, bad.Start, bad.End)
		if bad.With != "" {
			problem.Fix = []conf.Edit{key.Instead(bad.With)}
		}
	}
	c.add(problem, at)
}

// unreachable tells of a route that an earlier one leaves nothing for.
func (c *checker) unreachable(p *route.Problem, at conf.Path, late, early int) {
	site := c.Gateway.Sites[at.Parts()[1]]
	words := "takes every request first"
	if r := site.Routes[early].Match.Rule(); !reflect.DeepEqual(r, route.Match{}) {
		method, rest, _ := strings.Cut(p.Example, " //")
		words = fmt.Sprintf("takes `%s %s` first, and all else that this would", method, rest[strings.IndexByte(rest, '/'):])
	}
	problem := conf.Problem{Level: conf.Warning, Name: "unreachable_route", Message: "this route can never match", At: c.value(at.Index(late), "unreachable"),
		Also: []conf.Label{c.value(at.Index(early), words)}}
	if same := site.Routes[late].Match.Rule(); reflect.DeepEqual(same, site.Routes[early].Match.Rule()) || reflect.DeepEqual(same, route.Match{}) {
		problem.Help = "take one of them away, or let the first one match less"
	} else {
		problem.Help = fmt.Sprintf("move it above line %d", problem.Also[0].Line())
	}
	c.add(problem, at.Index(late))
}

// sound reports whether nothing is wrong in a value: a match that could not be
// read says nothing about what it matches.
func (c *checker) sound(at conf.Path) bool {
	span := c.Places[at].Value
	return c.Report.Left() == 0 && !slices.ContainsFunc(c.Report.Problems, func(p conf.Problem) bool {
		return p.Level == conf.Error && p.At.Source == span.Source && span.Start <= p.At.Start && p.At.Start < span.End
	})
}

// match looks at what package route does not: what is lawful and probably not
// meant.
func (c *checker) match(m *Match, at conf.Path) {
	for i, p := range m.Path {
		if s := string(p); len(s) > 1 && strings.HasSuffix(s, "/") {
			here := c.value(at.Key("path").Index(i), "and nothing below it")
			problem := conf.Problem{Level: conf.Warning, Name: "only_itself", Message: fmt.Sprintf("`%s` matches only `%[1]s` itself", s), At: here,
				Help: "for all below it write"}
			if here.Valid() {
				problem.Fix, problem.Unsure = []conf.Edit{here.Instead(s + "*")}, true
			}
			c.add(problem, at)
		}
	}
	for key, conditions := range map[string]map[string][]string{"field": m.Field, "query": m.Query} {
		for name, values := range conditions {
			prefixes := 0
			for _, v := range values {
				if strings.HasSuffix(v, "*") {
					prefixes++
				}
			}
			if every := slices.Contains(values, everyValue); every && len(values) > 1 || prefixes > 0 && prefixes < len(values) {
				c.add(conf.Problem{Name: "bad_match", Message: fmt.Sprintf("`%s` mixes kinds of values", name), At: c.value(at.Key(key).Key(name), "not together"),
					Help: "write only any, only whole values, or only beginnings that end with *"}, at)
			}
		}
	}
	for i := range m.Not {
		c.match(&m.Not[i], at.Key("not").Index(i))
	}
}

// proxy finds the upstream that a route names.
func (c *checker) proxy(p *Proxy, at conf.Path, site string, route int) {
	switch {
	case p.node == nil:
		return
	case p.Own:
		p.Name = fmt.Sprintf("%s#%d", site, route+1)
		return
	case p.Name == "":
		return
	}
	if u, ok := c.Gateway.Upstreams[p.Name]; ok {
		c.used[p.Name] = true
		if p.To = u; u == nil {
			p.To = new(Upstream) // told already
		}
		return
	}
	here := c.value(at, "")
	if !strings.ContainsAny(p.Name, ":/") {
		problem := conf.Problem{Name: "unknown_upstream", Message: fmt.Sprintf("`%s` is not an upstream", p.Name), At: here}
		names := slices.Collect(maps.Keys(c.Gateway.Upstreams))
		slices.Sort(names)
		near := conf.Meant(p.Name, names)
		switch {
		case near != "":
			c.used[near] = true
			problem.At.Words = fmt.Sprintf("no upstream of this name; did you mean `%s`", near)
			if k := c.Places[upstreamsPath.Key(near)].Key; k.Valid() && k.Source == here.Source {
				problem.At.Words += fmt.Sprintf(" (line %d)", k.Line())
			}
			problem.At.Words += "?"
			if here.Valid() {
				problem.Help, problem.Fix, problem.Unsure = "an upstream with a similar name exists", []conf.Edit{here.Instead(near)}, true
			}
		case len(names) > 0:
			problem.At.Words = "no upstream of this name"
			problem.Notes = append(problem.Notes, "the upstreams are "+strings.Join(names[:min(len(names), 8)], ", "))
		default:
			problem.At.Words = "there are no upstreams"
		}
		problem.Notes = append(problem.Notes, fmt.Sprintf("a target that is not a name needs a port: `%s:80`", p.Name))
		c.add(problem, at)
		return
	}
	if u := c.shared[p.Name]; u != nil {
		p.To = u
		return
	}
	list, err := upstream.ParseTarget(p.Name)
	if err != nil {
		bad := badTarget(p.Name, err)
		problem := conf.Problem{Name: bad.Name, Message: bad.Message, At: here, Help: bad.Help}
		problem.At.Words = bad.Words
		if bad.With != "" && here.Valid() {
			problem.Fix, problem.Unsure = []conf.Edit{here.Instead(bad.With)}, bad.Unsure
		}
		c.add(problem, at)
		return
	}
	u := new(Upstream)
	c.decoder.Defaults(u, at)
	u.To = []Endpoint{{To: Target{p.Name, list}, Weight: 1}}
	c.shared[p.Name], p.To = u, u
}

// listeners fills in the default ones, and looks for two in the same place and
// for sites that nobody can reach.
func (c *checker) listeners() {
	g := c.Gateway
	_, written := c.Places[listenPath]
	certificate := len(g.TLS.Certificates) > 0 || g.TLS.SelfSigned
	public, internal := g.obtained()
	obtained := g.asks() || len(public) > 0 || len(internal) > 0
	if !written {
		g.Listen.HTTP = []Address{defaultAddress(":80")}
		// A name for private use does not open a port by itself: who means TLS says https://.
		if certificate || g.asks() || len(public) > 0 || g.TLS.Internal == "all" || slices.ContainsFunc(c.sites(), func(name string) bool { return strings.HasPrefix(strings.ToLower(name), "https://") }) {
			g.Listen.HTTPS = []Address{defaultAddress(":443")}
		}
	}
	type place struct {
		*listen.Place
		at conf.Path
	}
	var all []place
	for i, a := range g.Listen.HTTP {
		all = append(all, place{a.Place, listenPath.Key("http").Index(i)})
	}
	for i, a := range g.Listen.HTTPS {
		all = append(all, place{a.Place, listenPath.Key("https").Index(i)})
	}
	for j, b := range all {
		for _, a := range all[:j] {
			if a.Place == nil || b.Place == nil || !a.Overlaps(b.Place) {
				continue
			}
			words := "first here"
			if a.Text != b.Text {
				words = "this takes the port there too"
			}
			c.add(conf.Problem{Name: "duplicate_listener", Message: fmt.Sprintf("two listeners take `%s`", b.Text), At: c.value(b.at, "again here"),
				Also: []conf.Label{c.value(a.at, words)}, Help: "keep one of them"}, b.at)
			break
		}
	}
	if len(all) == 0 && written && c.sound(listenPath) && c.Places[listenPath].Value.Text() != "" {
		c.add(conf.Problem{Name: "missing_key", Message: "`listen` has neither `http` nor `https`", At: c.key(listenPath, "listens nowhere")}, listenPath)
	}
	if len(g.Listen.HTTPS) > 0 && !certificate && !obtained {
		c.add(conf.Problem{Name: "tls_without_certificate", Message: "an HTTPS listener needs a certificate, and there is none", At: c.value(listenPath.Key("https"), "speaks TLS"),
			Help: "name one: `tls: { certificates: [{ cert: site.pem, key: site.key }] }`, or try out with `tls: { self-signed: true }`; for a site with a name one is obtained"}, listenPath.Key("https"))
	}
	if len(g.Listen.HTTPS) == 0 && certificate && len(all) > 0 {
		at := tlsPath.Key("certificates")
		if !c.Places.Key(at).Valid() {
			at = tlsPath.Key("self-signed")
		}
		c.add(conf.Problem{Level: conf.Warning, Name: "certificate_unused", Message: "there is a certificate and no HTTPS listener", At: c.key(at, "nobody is shown this"),
			Also: []conf.Label{c.key(listenPath, "only plain HTTP")}, Help: "add one: `listen: { https: :443 }`"}, at)
	}
	for _, name := range c.sites() {
		at := sitesPath.Key(name)
		switch scheme, _, _ := strings.Cut(strings.ToLower(name), "://"); {
		case scheme == "https" && len(g.Listen.HTTPS) == 0 && len(all) > 0:
			c.add(conf.Problem{Name: "site_without_listener", Message: fmt.Sprintf("`%s` is served with TLS only, and no listener speaks TLS", name), At: c.key(at, "nobody can reach it"),
				Help: "add `listen: { https: :443 }` and a certificate under `tls:`"}, at)
		case scheme == "http" && len(g.Listen.HTTP) == 0 && len(all) > 0:
			c.add(conf.Problem{Name: "site_without_listener", Message: fmt.Sprintf("`%s` is served in plain HTTP only, and no listener speaks that", name), At: c.key(at, "nobody can reach it"),
				Help: "add `listen: { http: :80 }`, or take `http://` away"}, at)
		}
	}
	c.loops()
}

func defaultAddress(s string) Address {
	var a Address
	if err := a.UnmarshalText([]byte(s)); err != nil {
		panic(err)
	}
	return a
}

// loops tells of targets that are the gateway itself.
func (c *checker) loops() {
	each := func(u *Upstream, at conf.Path) {
		for i, e := range u.To {
			t := e.To
			for _, target := range t.List {
				for _, a := range c.Gateway.Listeners() {
					if a.Place == nil || !same(a.Place, target) {
						continue
					}
					here := c.value(at.Key("to").Index(i), "this is the gateway itself")
					if !here.Valid() {
						here = c.value(at, "this is the gateway itself")
					}
					c.add(conf.Problem{Name: "proxy_loop", Message: fmt.Sprintf("requests to `%s` would come back for ever", t.Text), At: here,
						Help: "name the port of the application"}, at)
					return
				}
			}
		}
	}
	seen := map[*Upstream]bool{}
	for _, name := range c.names(upstreamsPath, slices.Collect(maps.Keys(c.Gateway.Upstreams))) {
		if u := c.Gateway.Upstreams[name]; u != nil {
			seen[u] = true
			each(u, upstreamsPath.Key(name))
		}
	}
	for _, name := range c.sites() {
		for i := range c.Gateway.Sites[name].Routes {
			if p := &c.Gateway.Sites[name].Routes[i].Proxy; p.To != nil && !seen[p.To] {
				seen[p.To] = true
				each(p.To, sitesPath.Key(name).Key("routes").Index(i).Key("proxy"))
			}
		}
	}
}

// same reports whether a target is where the gateway listens, as far as names
// tell without asking DNS.
func same(p *listen.Place, t upstream.Target) bool {
	if p.Path != "" || t.Path != "" {
		return p.Path == t.Path
	}
	if p.Port == 0 || p.Port != t.Port {
		return false
	}
	for _, a := range p.Alternatives[0] {
		ip := a.IP.Addr()
		switch {
		case ip.IsUnspecified():
			return t.Host == "localhost" || t.Host == "127.0.0.1" || t.Host == "::1"
		case t.Host == ip.String(), t.Host == "localhost" && ip.IsLoopback():
			return true
		}
	}
	return false
}

// upstreams looks at each by itself.
func (c *checker) upstreams() {
	for _, name := range c.names(upstreamsPath, slices.Collect(maps.Keys(c.Gateway.Upstreams))) {
		at := upstreamsPath.Key(name)
		u := c.Gateway.Upstreams[name]
		if strings.ContainsAny(name, ":/# ") || name == "" {
			c.add(conf.Problem{Name: "bad_name", Message: "the name of an upstream has no colon, slash, # or blank", At: c.key(at, "reads like a target")}, at)
		}
		if u == nil {
			delete(c.Gateway.Upstreams, name)
			continue
		}
		c.duplicates(u, at)
		c.ca(u, at)
		c.health(u, at)
		c.sendProxy(u, at)
		c.affinity(u, at)
		if !c.used[name] && c.Gateway.Sites != nil {
			c.add(conf.Problem{Level: conf.Warning, Name: "unused_upstream", Message: fmt.Sprintf("no route leads to `%s`", name), At: c.key(at, "never used")}, at)
		}
	}
	for _, name := range c.sites() {
		for i := range c.Gateway.Sites[name].Routes {
			if p := &c.Gateway.Sites[name].Routes[i].Proxy; p.Own && p.To != nil {
				at := sitesPath.Key(name).Key("routes").Index(i).Key("proxy")
				c.duplicates(p.To, at)
				c.ca(p.To, at)
				c.health(p.To, at)
				c.sendProxy(p.To, at)
				c.affinity(p.To, at)
			}
		}
	}
}

// health tells of checks that never happen, and of such as say nothing.
func (c *checker) health(u *Upstream, at conf.Path) {
	at = at.Key("health")
	place := func(key, words string) conf.Label {
		if l := c.value(at.Key(key), words); l.Valid() {
			return l
		}
		return c.key(at, words)
	}
	h, usual := &u.Health, Health{}
	usual.Default()
	switch on := h.Path != "" || h.Connect || h.GRPC; {
	case *h == usual || c.Places[at.Key("path")].Value.Valid() && h.Path == "": // the path is wrong
	case !on:
		c.add(conf.Problem{Name: "health_never", Message: "nobody is checked: there is no path, and neither grpc nor connect is set", At: c.key(at, "what is asked for?"),
			Help: "write `path: /healthz`, `grpc: true`, or `connect: true` for what speaks no HTTP"}, at)
	case h.Path != "" && h.GRPC:
		c.add(conf.Problem{Level: conf.Warning, Name: "health_never", Message: "the path is never asked for: checks go by grpc.health.v1", At: place("path", "not asked for"),
			Help: "drop `path`, or `grpc`"}, at)
	case h.Path != "" && h.Connect:
		c.add(conf.Problem{Level: conf.Warning, Name: "health_never", Message: "the path is never asked for: checks only connect", At: place("path", "not asked for"),
			Help: "drop `connect`"}, at)
	case h.Timeout > h.Every && c.Places[at.Key("timeout")].Value.Valid(): // by default only one that hangs delays the next
		c.add(conf.Problem{Level: conf.Warning, Name: "health_never", Message: fmt.Sprintf("a check may take %s and the next one is due after %s: it comes later",
			conf.FormatDuration(h.Timeout), conf.FormatDuration(h.Every)), At: place("timeout", "longer than `every`"), Help: "make `timeout` shorter, or `every` longer"}, at)
	}
}

// sendProxy tells of PROXY headers on connections that are not one client's.
func (c *checker) sendProxy(u *Upstream, at conf.Path) {
	if u.SendProxy == "off" {
		return
	}
	h2c := slices.ContainsFunc(u.To, func(e Endpoint) bool {
		return slices.ContainsFunc(e.To.List, func(t upstream.Target) bool { return t.H2C })
	})
	if !h2c && u.HTTP2 != "on" {
		return
	}
	c.add(conf.Problem{Name: "send_proxy_http2", Message: "a PROXY header tells of one client, and an HTTP/2 connection carries the requests of many",
		At: c.key(at.Key("send-proxy"), "with HTTP/2"), Help: "write `http2: off` and `http://` targets, or drop `send-proxy`"}, at)
}

// affinity tells of keys that make no cookie, and of such as are easy to guess.
func (c *checker) affinity(u *Upstream, at conf.Path) {
	at = at.Key("affinity")
	a := &u.Affinity
	if a.Key != "" {
		if b, ok := c.file(a.Key, at.Key("key")); ok && len(b) < upstream.LeastKey {
			c.add(conf.Problem{Name: "affinity_key", Message: fmt.Sprintf("`%s` holds %d bytes, and a key has %d at least", filepath.Base(a.Key), len(b), upstream.LeastKey),
				At: c.value(at.Key("key"), "too short"), Help: "make one with `openssl rand -hex 32`"}, at.Key("key"))
		}
	}
	if a.Cookie == "" && (a.Key != "" || a.MaxAge != 0) && !c.Places[at.Key("cookie")].Value.Valid() {
		c.add(conf.Problem{Name: "affinity_key", Message: "nobody is bound: the cookie has no name", At: c.key(at, "which cookie?"), Help: "write `cookie: endpoint`"}, at)
	}
}

// duplicates tells of targets that are there twice.
func (c *checker) duplicates(u *Upstream, at conf.Path) {
	first := map[upstream.Target]int{}
	for i, e := range u.To {
		t := e.To
		for _, target := range t.List {
			target = target.Place()
			j, there := first[target]
			if !there {
				first[target] = i
				continue
			}
			to := at.Key("to")
			c.add(conf.Problem{Name: "duplicate_target", Message: fmt.Sprintf("the target `%s` is given twice", t.Text), At: c.value(to.Index(i), "again here"),
				Also: []conf.Label{c.value(to.Index(j), "first here")}, Help: "name each endpoint once"}, to)
			break
		}
	}
}

// certificates reads the files of the TLS section.
func (c *checker) certificates() {
	if ca := c.Gateway.TLS.Clients.CA; ca != "" {
		c.authorities(ca, tlsPath.Key("clients").Key("ca"))
	}
	for i, cert := range c.Gateway.TLS.Certificates {
		if cert.Cert != "" {
			c.later = true
			c.pair(cert.Cert, cert.Key, tlsPath.Key("certificates").Index(i).Key("cert"), tlsPath.Key("certificates").Index(i).Key("key"))
			c.later = false
		}
	}
}

// pair reads a certificate and its key.
func (c *checker) pair(cert, key string, certAt, keyAt conf.Path) {
	chain, ok := c.file(cert, certAt)
	if !ok {
		return
	}
	secret := chain
	if key != "" {
		if secret, ok = c.file(key, keyAt); !ok {
			return
		}
	}
	at := certAt
	if key != "" {
		at = keyAt
	}
	pair, err := tls.X509KeyPair(chain, secret)
	if err != nil {
		c.add(conf.Problem{Name: "bad_certificate", Message: fmt.Sprintf("`%s` cannot be used: %s", filepath.Base(cert), strings.TrimPrefix(err.Error(), "tls: ")), At: c.value(at, ""),
			Help: "both are PEM files, the key is the one that the certificate was made for, and the certificate is the first of its file"}, at)
		return
	}
	if end := pair.Leaf.NotAfter; time.Now().After(end) {
		c.add(conf.Problem{Level: conf.Warning, Name: "certificate_expired", Message: fmt.Sprintf("`%s` expired on %s", filepath.Base(cert), end.UTC().Format(time.DateOnly)),
			At: c.value(certAt, "clients will refuse it"), Help: "renew it"}, certAt)
	}
}

// file reads a file that an option names, and tells if it cannot be.
func (c *checker) file(path string, at conf.Path) ([]byte, bool) {
	b, err := c.files.Read(path)
	if err == nil {
		return b, true
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	p := conf.Problem{Name: "missing_file", Message: fmt.Sprintf("cannot read `%s`: %v", path, err), At: c.value(at, "this file")}
	if errors.Is(err, fs.ErrNotExist) {
		p.Message, p.At.Words = fmt.Sprintf("the file `%s` does not exist", path), "not there"
		p.Notes = []string{"a path is relative to the file that it is written in"}
	}
	p.Later = c.later
	c.add(p, at)
	return nil, false
}

// authorities reads a file of certificates that others lead to.
func (c *checker) authorities(path string, at conf.Path) {
	if b, ok := c.file(path, at); ok && !strings.Contains(string(b), "-----BEGIN CERTIFICATE-----") {
		c.add(conf.Problem{Name: "bad_certificate", Message: fmt.Sprintf("`%s` holds no certificate", filepath.Base(path)), At: c.value(at, "not PEM"),
			Help: "it must hold PEM blocks, -----BEGIN CERTIFICATE-----"}, at)
	}
}

// ca reads the files of an upstream's TLS.
func (c *checker) ca(u *Upstream, at conf.Path) {
	at = at.Key("tls")
	if u.TLS.CA != "" {
		c.authorities(u.TLS.CA, at.Key("ca"))
	}
	switch {
	case u.TLS.Cert != "":
		c.pair(u.TLS.Cert, u.TLS.Key, at.Key("cert"), at.Key("key"))
	case u.TLS.Key != "":
		c.add(conf.Problem{Name: "missing_key", Message: "there is a key and no certificate", At: c.value(at.Key("key"), "the key of what?"), Help: "name the certificate with `cert:`"}, at.Key("key"))
	}
}

// log tells of a template that is not there, and of one that nobody looks at.
func (c *checker) log() {
	l, at := &c.Gateway.Log, conf.Path("").Key("log")
	switch wanted := l.Format == "template"; {
	case wanted && l.Template == "" && !c.Places[at.Key("template")].Value.Valid():
		c.add(conf.Problem{Name: "log_template", Message: "the log is to be a template, and there is none", At: c.value(at.Key("format"), "which one?"),
			Help: "write `template: '${client.address} \"${request_line}\" ${http.response.status_code}'`"}, at)
	case !wanted && l.Template != "":
		c.add(conf.Problem{Level: conf.Warning, Name: "log_template", Message: "the template is not used: the format is another", At: c.key(at.Key("template"), "not used"),
			Help: "write `format: template`"}, at)
	}
}

// times tells of timeouts that never come because another one always comes first.
func (c *checker) times() {
	total, totalAt := c.Gateway.Timeout.Total, conf.Path("").Key("timeout").Key("total")
	if total == 0 {
		return
	}
	late := func(what string, d time.Duration, at conf.Path) {
		if d < total || !c.Places[at].Value.Valid() {
			return
		}
		c.add(conf.Problem{Level: conf.Warning, Name: "timeout_never", Message: fmt.Sprintf("`%s` never comes: the whole exchange ends before", what), At: c.value(at, "this phase may take longer"),
			Also: []conf.Label{c.value(totalAt, "than everything together")}, Help: "make the total longer, or this shorter"}, at)
	}
	each := func(u *Upstream, at conf.Path) {
		at = at.Key("timeout")
		t := &u.Timeout
		for _, x := range []struct {
			name string
			d    time.Duration
		}{{"resolve", t.Resolve}, {"connect", t.Connect}, {"tls", t.TLS}, {"send", t.Send}, {"first-byte", t.FirstByte}, {"read", t.Read}} {
			late(x.name, x.d, at.Key(x.name))
		}
	}
	for name, u := range c.Gateway.Upstreams {
		each(u, upstreamsPath.Key(name))
	}
	for name, s := range c.Gateway.Sites {
		for i := range s.Routes {
			if p := &s.Routes[i].Proxy; p.Own {
				each(p.To, sitesPath.Key(name).Key("routes").Index(i).Key("proxy"))
			}
		}
	}
	late("head", c.Gateway.Timeout.Head, conf.Path("").Key("timeout").Key("head"))
}

// sizes tells of limits that never come because another one always comes first.
func (c *checker) sizes() {
	never := func(line, head conf.Size, at conf.Path, what string) {
		lineAt, headAt := at.Key(what), at.Key("head")
		if line <= head || !c.Places[lineAt].Value.Valid() && !c.Places[headAt].Value.Valid() {
			return
		}
		p := conf.Problem{Level: conf.Warning, Name: "limit_never", Message: fmt.Sprintf("a `%s` of %s does not fit into a head of %s", what, line, head),
			At: c.value(lineAt, "more than all lines together"), Help: "the smaller one holds"}
		if !p.At.Valid() {
			p.At = c.value(headAt, fmt.Sprintf("less than one line, %s", line))
		} else if other := c.value(headAt, "all lines together"); other.Valid() {
			p.Also = []conf.Label{other}
		}
		c.add(p, lineAt)
	}
	at := conf.Path("").Key("limits")
	never(c.Gateway.Limits.Line, c.Gateway.Limits.Head, at, "line")
	never(c.Gateway.Limits.StartLine, c.Gateway.Limits.Head, at, "start-line")
	for name, u := range c.Gateway.Upstreams {
		never(u.Limits.Line, u.Limits.Head, upstreamsPath.Key(name).Key("limits"), "line")
		never(u.Limits.StartLine, u.Limits.Head, upstreamsPath.Key(name).Key("limits"), "start-line")
	}
}
