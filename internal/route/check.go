package route

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire"
)

// Check finds the mistakes in sites, and, where there are none, what is worth
// knowing: routes that no request reaches. It is meant for the time at which
// rules are read: with ten thousand routes it takes some ten milliseconds.
func Check(sites []Site) []*Problem {
	list := check(sites)
	if slices.ContainsFunc(list, func(p *Problem) bool { return !p.Warning }) {
		return list
	}
	t := compile(sites)
	for i := range sites {
		list = append(list, t.unreachable(i, &sites[i])...)
	}
	return list
}

// check finds mistakes of one rule, and sites that claim the same host.
func check(sites []Site) (list []*Problem) {
	type claim struct{ site, item int }
	claims := map[hostPattern]claim{}
	for i := range sites {
		s := &sites[i]
		add := func(p *Problem) *Problem {
			p.Site, p.OtherSite, p.OtherRoute = i, -1, -1
			list = append(list, p)
			return p
		}
		if len(s.Hosts) == 0 {
			add(&Problem{Route: -1, Key: "host", Text: "a site is for at least one host", Fix: "write its name, or any for whatever no other site is for"})
		}
		for j, h := range s.Hosts {
			p, err := parseHost(h)
			if err != nil {
				add(&Problem{Route: -1, Key: "host", Item: j, Text: err.Error()})
				continue
			}
			if c, ok := claims[p]; ok {
				text, fix := fmt.Sprintf("two sites are for %s", p.text()), "write their routes under one of them"
				if c.site == i {
					text, fix = fmt.Sprintf("the site names %s twice", p.text()), "drop one"
				}
				add(&Problem{Route: -1, Key: "host", Item: j, Text: text, Fix: fix,
					Example: "GET //" + p.example() + "/"}).OtherSite = c.site
				continue
			}
			claims[p] = claim{i, j}
		}
		for j := range s.Routes {
			checkMatch(&s.Routes[j], func(key string, item int, text, fix string) {
				add(&Problem{Route: j, Key: key, Item: item, Text: text, Fix: fix})
			})
		}
	}
	return list
}

// example is a host that p is for.
func (p *hostPattern) example() string {
	switch p.kind {
	case belowHost:
		return "www." + p.name
	case everyHost:
		return "anything.example"
	}
	return p.name
}

func checkMatch(m *Match, bad func(key string, item int, text, fix string)) {
	for i, s := range m.Path {
		if _, err := parsePattern(s); err != nil {
			bad("path", i, fmt.Sprintf("path %q: %v", s, err), "")
		}
	}
	for i, s := range m.Method {
		upper := strings.ToUpper(s)
		switch {
		case s == "" || strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f || !wire.TokenChar[r] }):
			bad("method", i, fmt.Sprintf("%q is no method", s), "a method is a word such as GET")
		case s != upper && slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT"}, upper):
			bad("method", i, fmt.Sprintf("methods are case-sensitive, %q is none that clients send", s), "write "+upper)
		}
	}
	for i := range m.Field {
		c := &m.Field[i]
		switch id := message.LookupName([]byte(c.Name)); {
		case c.Name == "" || strings.ContainsFunc(c.Name, func(r rune) bool { return r > 0x7f || !wire.TokenChar[r] }):
			bad("field", i, fmt.Sprintf("%q is no field name", c.Name), "a name is a word such as X-Tenant")
		case id == message.Host:
			bad("field", i, "the host chooses the site, and no field condition sees it", "make a site of the host")
		default:
			for _, v := range c.Values {
				if strings.TrimSpace(v) != v || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
					bad("field", i, fmt.Sprintf("no field has the value %q", v), "a value has no control characters, and no white space at its ends")
				}
			}
			checkValues(c, "field", i, bad)
		}
	}
	for i := range m.Query {
		c := &m.Query[i]
		switch {
		case c.Name == "":
			bad("query", i, "a query condition names a parameter", "")
		case strings.ContainsAny(c.Name+strings.Join(c.Values, ""), " +"):
			bad("query", i, fmt.Sprintf("some read + in a query as a space and some as it stands, so %q cannot choose a route", c.Name+"="+strings.Join(c.Values, ",")),
				"match another parameter, or only that it is present")
		default:
			checkValues(c, "query", i, bad)
		}
	}
	for i, p := range m.Client {
		if !p.IsValid() {
			bad("client", i, "this is no network", "write 10.0.0.0/8, 2001:db8::/32 or a single address")
		}
	}
	for i := range m.Not {
		n := &m.Not[i]
		if n.empty() {
			bad("not", i, "not without a condition keeps every request away", "say what must not match, or drop it")
		}
		checkMatch(n, func(key string, item int, text, fix string) { bad("not."+key, item, text, fix) })
	}
}

func checkValues(c *Condition, key string, i int, bad func(key string, item int, text, fix string)) {
	switch {
	case c.Op > Prefix:
		bad(key, i, fmt.Sprintf("there is no comparison %d", c.Op), "")
	case c.Op == Present && len(c.Values) > 0:
		bad(key, i, "presence is not compared with a value", "say equal or prefix")
	case c.Op != Present && len(c.Values) == 0:
		bad(key, i, "there is no value to compare with", "name one, or say that presence is enough")
	}
	for _, v := range c.Values {
		if len(v) > MaxValue {
			bad(key, i, fmt.Sprintf("the value has %d bytes, at most %d are compared", len(v), MaxValue), "")
		}
	}
}

func (m *Match) empty() bool {
	return len(m.Path)+len(m.Method)+len(m.Field)+len(m.Query)+len(m.Client)+len(m.Not) == 0
}

// unreachable finds the routes of a site that earlier ones leave nothing to. It
// finds those that single earlier routes take whole, path by path: never a route
// that can be reached, perhaps not all that cannot.
func (t *Table) unreachable(index int, from *Site) (list []*Problem) {
	s := t.sites[index]
	host := "any.example"
	if p, err := parseHost(from.Hosts[0]); err == nil {
		host = p.example()
	}
	find := &shadows{site: s}
	for j := range from.Routes {
		own := newRule(&from.Routes[j])
		r := &own
		if j > int(s.always) { // the compiled rules end there
			list = append(list, taken(from, index, j, int(s.always), host, r))
			continue
		}
		by, all := -1, true
		paths := r.path
		if len(paths) == 0 {
			paths = []*pattern{nil}
		}
		for _, p := range paths {
			i := find.taker(r, p, int32(j))
			if all = i >= 0; !all {
				break
			}
			if by < 0 {
				by = i
			}
		}
		if all {
			list = append(list, taken(from, index, j, by, host, r))
		}
	}
	return list
}

// taken is the problem of a route that another one takes whole.
func taken(from *Site, site, route, by int, host string, r *rule) *Problem {
	method, path := "GET", "/"
	if len(r.methods) > 0 {
		method = r.methods[0]
	}
	if len(r.path) > 0 {
		path = r.path[0].example()
	}
	example := method + " //" + host + path
	return &Problem{Site: site, Route: route, OtherSite: site, OtherRoute: by, Warning: true, Example: example,
		Text: fmt.Sprintf("route %d of %s is never reached: %s is taken by route %d", route+1, from.label(), example, by+1),
		Fix:  fmt.Sprintf("move it above route %d, or drop it", by+1)}
}

// shadows finds earlier routes that take all that a later one could.
type shadows struct{ site *site }

// taker returns the first route before j that takes each request that r takes
// by path p (nil: by any), -1 if there is none.
func (w *shadows) taker(r *rule, p *pattern, j int32) int {
	best := -1
	try := func(l routes) {
		l.each(w.site, r, func(i int32) {
			if i < j && (best < 0 || int(i) < best) && w.site.rules[i].takes(r, p) {
				best = int(i)
			}
		})
	}
	try(w.site.any)
	if p != nil && w.site.root != nil {
		w.site.root.above(p, 0, try)
	}
	return best
}

// above calls try with the lists of the patterns that may hold p.
func (n *node) above(p *pattern, at int, try func(routes)) {
	try(n.below)
	if at == len(p.segments) {
		if !p.below {
			try(n.end)
		}
		return
	}
	s := &p.segments[at]
	if n.hold != nil {
		n.hold.above(p, at+1, try)
	}
	if s.capture == "" {
		if next := n.literal([]byte(s.literal)); next != nil {
			next.above(p, at+1, try)
		}
	}
}

// each calls f with the routes of l that may take what o does: of those that
// want one value of something only the ones that want what o wants.
func (l *list) each(o *rule, f func(int32)) {
	all := func(routes []int32) {
		for _, i := range routes {
			f(i)
		}
	}
	all(l.routes)
	for i := range l.keyed {
		d := &l.keyed[i]
		switch {
		case d.field != nil:
			for j := range o.field {
				if c := &o.field[j]; c.Op == Equal && strings.EqualFold(c.Name, d.field.Name) {
					for _, v := range c.Values {
						all(d.values[v])
					}
				}
			}
		case d.clients != nil:
			for _, p := range o.client {
				for _, bits := range d.clients {
					if wide, err := p.Addr().Prefix(bits); err == nil && bits <= p.Bits() {
						all(d.nets[wide])
					}
				}
			}
		default:
			for j := range o.query {
				if c := &o.query[j]; c.Op == Equal && c.Name == d.query {
					for _, v := range c.Values {
						all(d.values[v])
					}
				}
			}
		}
	}
}

// takes reports whether r matches each request that o matches by path p.
func (r *rule) takes(o *rule, p *pattern) bool {
	if len(r.path) > 0 && (p == nil || !slices.ContainsFunc(r.path, func(mine *pattern) bool { return mine.holds(p) })) {
		return false
	}
	return r.leavesOut(o)
}

// leavesOut reports whether each request that meets the conditions of o besides
// its path meets those of r.
func (r *rule) leavesOut(o *rule) bool {
	if len(r.methods) > 0 && (len(o.methods) == 0 || slices.ContainsFunc(o.methods, func(m string) bool { return !slices.Contains(r.methods, m) })) {
		return false
	}
	for i := range r.field {
		if !slices.ContainsFunc(o.field, func(c fieldCondition) bool {
			return strings.EqualFold(c.Name, r.field[i].Name) && r.field[i].follows(&c.Condition)
		}) {
			return false
		}
	}
	for i := range r.query {
		if !slices.ContainsFunc(o.query, func(c Condition) bool { return c.Name == r.query[i].Name && r.query[i].follows(&c) }) {
			return false
		}
	}
	if len(r.client) > 0 && (len(o.client) == 0 || slices.ContainsFunc(o.client, func(p netip.Prefix) bool {
		return !slices.ContainsFunc(r.client, func(mine netip.Prefix) bool { return mine.Bits() <= p.Bits() && mine.Contains(p.Addr()) })
	})) {
		return false
	}
	// What r must not match, o must not match either.
	for i := range r.not {
		if !slices.ContainsFunc(o.not, func(n rule) bool { return n.covers(&r.not[i]) }) {
			return false
		}
	}
	return true
}

// covers reports whether r matches each request that o matches.
func (r *rule) covers(o *rule) bool {
	if len(o.path) == 0 {
		return r.takes(o, nil)
	}
	return !slices.ContainsFunc(o.path, func(p *pattern) bool { return !r.takes(o, p) })
}

// follows reports whether c holds wherever o, a condition on the same thing, does.
func (c *Condition) follows(o *Condition) bool {
	switch {
	case c.Op == Present:
		return true
	case o.Op == Present || c.Op == Equal && o.Op == Prefix:
		return false
	}
	return !slices.ContainsFunc(o.Values, func(v string) bool {
		return !slices.ContainsFunc(c.Values, func(mine string) bool { return mine == v || c.Op == Prefix && strings.HasPrefix(v, mine) })
	})
}
