// Package route answers one question: which rule owns this request. It knows
// nothing of what an owner does with it.
//
// A [Site] is a list of hosts with an ordered list of routes. The most exact
// host wins: the name itself, then the longest wildcard, then the default site.
// In a site the first route that matches wins, from top to bottom. [Compile]
// makes a [Table] of sites, which never changes; a [Finder] looks requests up in
// it, at a cost that hardly depends on how many sites and routes there are.
//
// # What is compared
//
// The host is compared without its port, without a final dot and in lower case.
// Internationalised names are A-labels (xn--…), in rules as in requests.
//
// The path is compared in the normal form of RFC 3986 §6.2.2: unreserved
// characters are decoded, dot segments are removed, other percent-encodings keep
// their bytes, with upper-case digits, and a % that begins none is %25. So an encoded slash is a part of its segment, and // is an
// empty segment. The request that goes on keeps the path as it came.
//
// Servers read some paths in other ways: they merge slashes, decode %2F, take \
// for /, ignore ;parameters, or leave dot segments alone. A path that has any of these is looked
// up in each reading, and if they do not lead to the same route, none is
// chosen: see [Ambiguous]. Where they agree nothing is refused.
//
// Field and query conditions follow the same thought: field lines of one name
// are one value, joined by ", " (RFC 9110 §5.3), and a query parameter that is given twice
// equals a value only if both do.
package route

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatewhy/gatewhy/internal/message"
)

// Site says which hosts a list of routes is for.
type Site struct {
	// Name is what logs and metrics call it; "" means its first host.
	Name string
	// Hosts, at least one:
	//
	//	example.org          that name
	//	any.example.org      one or more labels below it; *.example.org likewise
	//	any                  whatever no other site is for; * likewise
	//	http://example.org   with a scheme: only requests that came by it
	Hosts  []string
	Routes []Match
}

// Match says which requests a route is for: those that meet every condition that
// is given. The zero value matches all.
type Match struct {
	// Path: one of these.
	//
	//	/about           that path and no other
	//	/api/*           /api and all below it
	//	/users/{id}      any one segment, which is not empty, in the place of {id}
	//
	// A pattern is written as people read it: it may hold letters outside ASCII and
	// spaces, which requests send percent-encoded.
	Path []string
	// Method: one of these, case-sensitive (RFC 9110 §9.1). GET does not stand for HEAD.
	Method []string
	// Field: each of these.
	Field []Condition
	// Query: each of these.
	Query []Condition
	// Client: the client's address is in one of these. IPv4 networks hold IPv4-mapped
	// addresses too.
	Client []netip.Prefix
	// Not: none of these match.
	Not []Match
}

// Condition is about the value of a field or of a query parameter.
type Condition struct {
	// Name of the field, in any case, or of the parameter, percent-decoded.
	Name string
	Op   Op
	// Values, of at most MaxValue bytes each, are compared byte by byte; one of them
	// must fit.
	Values []string
}

// MaxValue bounds the values of conditions, in bytes.
const MaxValue = 256

// Op is how a condition compares.
type Op uint8

// The ways to compare.
const (
	Present Op = iota // there is such a field or parameter
	Equal             // its value is one of Values
	Prefix            // its value begins with one of Values
)

// Outcome is what came of a look-up.
type Outcome uint8

// The outcomes.
const (
	// Owned: a route was found.
	Owned Outcome = iota
	// NoSite: no site is for the host.
	NoSite
	// NoRoute: no route of the site matches.
	NoRoute
	// Ambiguous: the target can be read in more than one way, and the readings lead
	// to different routes, or sites; or there is too much of it to find that out.
	Ambiguous
)

// Found is the answer: indices into the sites that the table was made of.
type Found struct {
	Outcome Outcome
	Site    int // -1 if there is none
	Route   int // of the site; -1 if there is none
	// Other is a route that another reading of an ambiguous path leads to; -1 for none.
	Other int
}

// Request is what rules ask about. Its Head must not change during the look-up.
type Request struct {
	Head *message.Head
	// Secure: it came over TLS.
	Secure bool
	// Client is the client's address; the zero value, for a unix socket, is in no
	// network.
	Client netip.Addr
}

// Table is a compiled set of sites. It never changes and may be used from
// anywhere.
type Table struct {
	sites []*site
	hosts [2]hosts // plain, secure
	// only is the one site that owns all requests, nil if the host matters.
	only *site
	// client: a rule asks for the client's address.
	client bool
	// near are the names that a miss is compared with, see NearHost.
	near []string
}

// site is a compiled site. What every look-up needs comes first.
type site struct {
	index int32
	// always is the first route without a condition; the number of routes if there is none.
	// Those behind it own nothing and are not compiled.
	always int32
	routes int32
	// any are the routes before it that have no path condition, root those that have.
	any  routes
	root *node
	// paths: the path matters, so it has to be read.
	paths bool

	lists []list
	rules []rule
	name  string
	ids   []string // of the routes
}

// Compile makes a table of sites. The error joins the mistakes that [Check]
// finds; what is only worth a warning is none.
func Compile(sites []Site) (*Table, error) {
	var wrong []error
	for _, p := range check(sites) {
		if !p.Warning {
			wrong = append(wrong, p)
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	return compile(sites), nil
}

// compile is Compile for sites that have no mistake.
func compile(sites []Site) *Table {
	t, names := &Table{}, map[string]string{}
	for i := range sites {
		own := newSite(i, &sites[i], names)
		t.sites = append(t.sites, own)
		t.client = t.client || slices.ContainsFunc(sites[i].Routes, asksClient)
		for _, h := range sites[i].Hosts {
			p, _ := parseHost(h)
			for s := range t.hosts {
				if p.scheme == anyScheme || p.scheme == schemes[s] {
					t.hosts[s].add(&p, own)
				}
			}
			if p.kind != everyHost {
				t.near = append(t.near, p.text())
			}
		}
	}
	for s := range t.hosts {
		t.hosts[s].done()
	}
	if len(sites) == 1 && t.hosts[0].catches() && t.hosts[1].catches() {
		t.only = t.sites[0]
	}
	return t
}

func newSite(index int, s *Site, names map[string]string) *site {
	n := int32(len(s.Routes))
	c := &site{index: int32(index), name: s.label(), rules: make([]rule, n), always: n, routes: n}
	any, paths := []int32{}, &maker{}
	for i := range s.Routes {
		c.ids = append(c.ids, fmt.Sprintf("%s#%d", c.name, i+1))
	}
	for i := range s.Routes {
		m := &s.Routes[i]
		r := &c.rules[i]
		*r = newRule(m)
		c.paths = c.paths || r.readsPath()
		if r.free && len(r.path) == 0 {
			c.always = int32(i)
			break
		}
		if len(r.path) == 0 {
			any = append(any, int32(i))
		}
		for _, p := range r.path {
			paths.add(p, int32(i))
		}
	}
	c.any = c.file(any)
	c.root = paths.make(c, "", names)
	return c
}

// label is the name of s.
func (s *Site) label() string {
	switch {
	case s.Name != "":
		return s.Name
	case len(s.Hosts) > 0:
		return s.Hosts[0]
	}
	return "any"
}

func asksClient(m Match) bool { return len(m.Client) > 0 || slices.ContainsFunc(m.Not, asksClient) }

// AsksClient reports whether a rule asks for the client's address: otherwise a
// request need not have it.
func (t *Table) AsksClient() bool { return t.client }

// SiteName is what logs call a site.
func (t *Table) SiteName(site int) string { return t.sites[site].name }

// ID is what logs call a route: the site's name, #, and its place from 1. It
// allocates nothing.
func (t *Table) ID(site, route int) string { return t.sites[site].ids[route] }

// Finder looks requests up. It holds the memory that a look-up needs, so it is
// for one task at a time; the zero value is ready.
type Finder struct {
	q    query
	host []byte
	path []byte // the normal form of the path, where it is not the path as it came
	read []byte // another reading
}

// Find says which route of t owns r.
func (f *Finder) Find(t *Table, r *Request) Found {
	s := t.only
	if s == nil {
		host, odd := f.hostOf(r.Head.Bytes(r.Head.Authority))
		if s = t.hosts[secureIndex(r.Secure)].find(host); s == nil {
			return Found{Outcome: NoSite, Site: -1, Route: -1, Other: -1}
		}
		if odd {
			return Found{Outcome: Ambiguous, Site: int(s.index), Route: -1, Other: -1}
		}
	}
	if s.always == 0 && s.routes > 0 {
		return Found{Site: int(s.index), Other: -1}
	}
	f.q.begin(r, s)
	path := f.q.path
	var odd oddities
	if s.paths {
		if odd = odditiesOf(path); odd != 0 {
			f.path = appendReading(f.path[:0], path, 0)
			f.q.path = f.path
		}
	}
	route := s.find(&f.q)
	found := Found{Site: int(s.index), Route: route, Other: -1}
	if odd &^= encoded; odd != 0 {
		normal := f.q.path
		if len(path)<<bits.OnesCount8(uint8(odd)) > maxReading {
			found.Outcome = Ambiguous // for all that we are willing to find out
			return found
		}
		for as := readings(odd); as != 0; as = (as - 1) & readings(odd) {
			f.read = appendReading(f.read[:0], path, as)
			f.q.path = f.read
			if other := s.find(&f.q); other != route {
				found.Outcome, found.Other = Ambiguous, other
				break
			}
		}
		f.q.path = normal
	}
	if found.Outcome == Owned && route < 0 {
		found.Outcome = NoRoute
	}
	return found
}

// Capture is the segment in the place of {name} in the pattern by which the last
// request that was found met its route, percent-encoded as in the normal form of
// its path. nil if the pattern has none. It is valid until the next Find or until
// the request's head changes.
func (f *Finder) Capture(found Found, name string) []byte {
	if f.q.site == nil || int(f.q.site.index) != found.Site || found.Route < 0 {
		return nil
	}
	for _, p := range f.q.site.rules[found.Route].path {
		if p.matches(f.q.path) {
			return p.capture(f.q.path, name)
		}
	}
	return nil
}

// find returns the first route that matches, -1 if none does.
func (s *site) find(q *query) int {
	best := s.any.first(q, s.always)
	if s.root != nil && len(q.path) > 0 && q.path[0] == '/' {
		best = s.root.first(q, q.path[1:], best)
	}
	if best == s.routes {
		return -1
	}
	return int(best)
}

func secureIndex(secure bool) int {
	if secure {
		return 1
	}
	return 0
}

// Problem is a mistake in the rules, or something about them that is worth
// knowing.
type Problem struct {
	// Site and Route are indices; Route is -1 for the site itself.
	Site, Route int
	// Key is the part that it is about: host, path, method, field, query, client or
	// not; "" for the whole. Item is the index in its list.
	Key  string
	Item int
	// Text says what is wrong, Fix what to do.
	Text, Fix string
	// Example is a request, "METHOD //host/path", that shows a conflict; "" for none.
	Example string
	// OtherSite and OtherRoute are what it is in conflict with; -1 for nothing.
	OtherSite, OtherRoute int
	// Warning: the rules can be used as they are.
	Warning bool
}

// Error is the problem on one line.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Text)
	if p.Fix != "" {
		b.WriteString(": ")
		b.WriteString(p.Fix)
	}
	return b.String()
}
