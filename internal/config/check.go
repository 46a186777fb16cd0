package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/listen"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// checker looks at several options together.
type checker struct {
	*Loaded
	files   conf.Files
	decoder *conf.Decoder
	used    map[string]bool      // upstreams that a route names
	shared  map[string]*Upstream // targets that routes name, by their text
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
	c.siteNames()
	c.routes()
	c.listeners()
	c.upstreams()
	c.certificates()
	c.times()
	c.sizes()
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

// siteNames reads the names of the sites, and looks for two that answer for the
// same requests.
func (c *checker) siteNames() {
	first := map[SiteName]string{}
	for _, name := range c.sites() {
		at := sitesPath.Key(name)
		site := c.Gateway.Sites[name]
		if site == nil {
			delete(c.Gateway.Sites, name)
			continue
		}
		parsed, bad := parseSite(name)
		if bad != nil {
			key := c.Places[at].Key
			p := conf.Problem{Name: bad.Name, Message: bad.Message, At: conf.Label{Span: key, Words: bad.Words}, Help: bad.Help}
			if key.Valid() {
				p.At.Span = key.Part(name, bad.Start, bad.End)
				if bad.With != "" {
					p.Help, p.Fix = "write it so", []conf.Edit{key.Instead(bad.With)}
				}
			}
			c.add(p, at)
			continue
		}
		site.Name = parsed
		for _, scheme := range []string{"http", "https", ""} {
			if parsed.Scheme != "" && scheme != "" && scheme != parsed.Scheme {
				continue
			}
			n := parsed
			n.Scheme = scheme
			other, ok := first[n]
			if !ok {
				first[n] = name
				if parsed.Scheme != "" && scheme == "" {
					delete(first, n) // http:// and https:// stand side by side
				}
				continue
			}
			c.add(conf.Problem{Name: "conflicting_sites", Message: fmt.Sprintf("`%s` and `%s` answer for the same requests", other, name),
				At: c.key(at, "again here"), Also: []conf.Label{c.key(sitesPath.Key(other), "first here")},
				Help: "put the routes of both into one site"}, at)
			break
		}
	}
}

// routes finds out where each route leads, and which ones no request can reach.
func (c *checker) routes() {
	for _, name := range c.sites() {
		site := c.Gateway.Sites[name]
		at := sitesPath.Key(name).Key("routes")
		for i := range site.Routes {
			c.match(&site.Routes[i].Match, at.Index(i).Key("match"))
			c.proxy(&site.Routes[i].Proxy, at.Index(i).Key("proxy"))
		}
		seen := earlier{}
		for j := range site.Routes {
			c.reach(site, at, j, seen)
			seen.add(&site.Routes[j].Match, j)
		}
	}
}

// earlier are routes of a site by how their paths begin: only few can cover a
// given one.
type earlier map[string][]int

// anywhere is the key of those that may cover any.
const anywhere = "/"

func (e earlier) add(m *Match, i int) {
	if len(m.Path) == 0 {
		e[anywhere] = append(e[anywhere], i)
	}
	for _, p := range m.Path {
		key := p.first()
		if l := e[key]; len(l) == 0 || l[len(l)-1] != i {
			e[key] = append(l, i)
		}
	}
}

// first is the first part of a pattern, if it is the same for all its paths.
func (p *Pattern) first() string {
	if len(p.Parts) == 0 || p.Parts[0].Capture != "" {
		return anywhere
	}
	return p.Parts[0].Literal
}

// maxReach bounds the routes that one is compared with: nobody reads more of them
// to find out which is in the way.
const maxReach = 2000

// candidates are the routes that may cover a match, the first ones first.
func (e earlier) candidates(m *Match) []int {
	list := e[anywhere]
	if len(m.Path) > 0 {
		if key := m.Path[0].first(); key != anywhere {
			list = slices.Concat(list, e[key])
			slices.Sort(list)
		}
	}
	return list[max(0, len(list)-maxReach):]
}

// reach tells of a route that an earlier one leaves nothing for.
func (c *checker) reach(site *Site, at conf.Path, j int, seen earlier) {
	late := &site.Routes[j]
	if late.Proxy.node == nil || !c.sound(at.Index(j)) {
		return
	}
	for _, i := range seen.candidates(&late.Match) {
		early := &site.Routes[i]
		if early.Proxy.node == nil || !early.Match.covers(&late.Match) || !c.sound(at.Index(i)) {
			continue
		}
		words := "takes every request first"
		if !early.Match.everything() {
			words = fmt.Sprintf("takes `%s` first, and all else that this would", late.Match.example())
		}
		here := c.value(at.Index(j), "unreachable")
		there := c.value(at.Index(i), words)
		p := conf.Problem{Level: conf.Warning, Name: "unreachable_route", Message: "this route can never match", At: here, Also: []conf.Label{there}}
		if late.Match.covers(&early.Match) {
			p.Help = "take one of them away, or let the first one match less"
		} else {
			p.Help = fmt.Sprintf("move it above line %d", there.Line())
		}
		c.add(p, at.Index(j))
		return
	}
}

// sound reports whether nothing is wrong in a value: a match that could not be
// read says nothing about what it matches.
func (c *checker) sound(at conf.Path) bool {
	span := c.Places[at].Value
	return c.Report.Left() == 0 && !slices.ContainsFunc(c.Report.Problems, func(p conf.Problem) bool {
		return p.Level == conf.Error && p.At.Source == span.Source && span.Start <= p.At.Start && p.At.Start < span.End
	})
}

// match looks at what the parts of a match cannot know by themselves.
func (c *checker) match(m *Match, at conf.Path) {
	for name := range m.Field {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 || !tchar(byte(r)) }) {
			c.add(conf.Problem{Name: "bad_match", Message: fmt.Sprintf("`%s` is no name of a field", name), At: c.key(at.Key("field").Key(name), "")}, at)
		}
		if strings.EqualFold(name, "host") {
			c.add(conf.Problem{Level: conf.Warning, Name: "bad_match", Message: "the host is matched by the name of the site", At: c.key(at.Key("field").Key(name), "not needed here")}, at)
		}
	}
	for i, p := range m.Path {
		if n := len(p.Parts); n > 1 && p.Parts[n-1] == (Part{}) && !p.Rest {
			here := c.value(at.Key("path").Index(i), "and nothing below it")
			problem := conf.Problem{Level: conf.Warning, Name: "only_itself", Message: fmt.Sprintf("`%s` matches only `%s` itself", p.Text, p.Text), At: here,
				Help: "for all below it write"}
			if here.Valid() {
				problem.Fix, problem.Unsure = []conf.Edit{here.Instead(p.Text + "*")}, true
			}
			c.add(problem, at)
		}
	}
	if m.Not != nil {
		if m.Not.everything() {
			c.add(conf.Problem{Name: "bad_match", Message: "nothing is left: `not` matches every request", At: c.value(at.Key("not"), "")}, at)
		}
		c.match(m.Not, at.Key("not"))
	}
}

// proxy finds the upstream that a route names.
func (c *checker) proxy(p *Proxy, at conf.Path) {
	switch {
	case p.node == nil:
		return
	case p.Own:
		p.Name = ownName(p.To)
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
	u.To = []Target{{p.Name, list}}
	c.shared[p.Name], p.To = u, u
}

// ownName is what the upstream that a route has to itself is called.
func ownName(u *Upstream) string {
	if len(u.To) == 0 {
		return ""
	}
	s := u.To[0].Text
	if n := len(u.To) - 1; n > 0 {
		s += fmt.Sprintf("+%d", n)
	}
	return s
}

// listeners fills in the default ones, and looks for two in the same place and
// for sites that nobody can reach.
func (c *checker) listeners() {
	g := c.Gateway
	_, written := c.Places[listenPath]
	certificate := len(g.TLS.Certificates) > 0 || g.TLS.SelfSigned
	if !written {
		g.Listen.HTTP = []Address{defaultAddress(":80")}
		if certificate {
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
	if len(g.Listen.HTTPS) > 0 && !certificate {
		c.add(conf.Problem{Name: "tls_without_certificate", Message: "an HTTPS listener needs a certificate, and there is none", At: c.value(listenPath.Key("https"), "speaks TLS"),
			Help: "name one: `tls: { certificates: [{ cert: site.pem, key: site.key }] }`, or try out with `tls: { self-signed: true }`"}, listenPath.Key("https"))
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
		switch n := g.Sites[name].Name; {
		case n.Scheme == "https" && len(g.Listen.HTTPS) == 0 && len(all) > 0:
			c.add(conf.Problem{Name: "site_without_listener", Message: fmt.Sprintf("`%s` is served with TLS only, and no listener speaks TLS", name), At: c.key(at, "nobody can reach it"),
				Help: "add `listen: { https: :443 }` and a certificate under `tls:`"}, at)
		case n.Scheme == "http" && len(g.Listen.HTTP) == 0 && len(all) > 0:
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
		for i, t := range u.To {
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
		if strings.ContainsAny(name, ":/ ") || name == "" {
			c.add(conf.Problem{Name: "bad_name", Message: "the name of an upstream has no colon, slash or blank", At: c.key(at, "reads like a target")}, at)
		}
		if u == nil {
			delete(c.Gateway.Upstreams, name)
			continue
		}
		c.duplicates(u, at)
		c.ca(u, at)
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
			}
		}
	}
}

// duplicates tells of targets that are there twice.
func (c *checker) duplicates(u *Upstream, at conf.Path) {
	first := map[upstream.Target]int{}
	for i, t := range u.To {
		for _, target := range t.List {
			target.Name = ""
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
	for i, cert := range c.Gateway.TLS.Certificates {
		if cert.Cert != "" {
			c.pair(cert.Cert, cert.Key, tlsPath.Key("certificates").Index(i).Key("cert"), tlsPath.Key("certificates").Index(i).Key("key"))
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
	c.add(p, at)
	return nil, false
}

// ca reads the files of an upstream's TLS.
func (c *checker) ca(u *Upstream, at conf.Path) {
	at = at.Key("tls")
	if u.TLS.CA != "" {
		if b, ok := c.file(u.TLS.CA, at.Key("ca")); ok && !strings.Contains(string(b), "-----BEGIN CERTIFICATE-----") {
			c.add(conf.Problem{Name: "bad_certificate", Message: fmt.Sprintf("`%s` holds no certificate", filepath.Base(u.TLS.CA)), At: c.value(at.Key("ca"), "not PEM"),
				Help: "it must hold PEM blocks, -----BEGIN CERTIFICATE-----"}, at.Key("ca"))
		}
	}
	switch {
	case u.TLS.Cert != "":
		c.pair(u.TLS.Cert, u.TLS.Key, at.Key("cert"), at.Key("key"))
	case u.TLS.Key != "":
		c.add(conf.Problem{Name: "missing_key", Message: "there is a key and no certificate", At: c.value(at.Key("key"), "the key of what?"), Help: "name the certificate with `cert:`"}, at.Key("key"))
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
