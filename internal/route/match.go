package route

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/gatewhy/gatewhy/internal/message"
)

// rule is a compiled Match.
type rule struct {
	path    []*pattern
	methods []string
	field   []fieldCondition
	query   []Condition
	client  []netip.Prefix
	not     []rule
	// free: there is no condition besides the path.
	free bool
}

// fieldCondition is a Condition with its field looked up, and its name in lower
// case.
type fieldCondition struct {
	Condition
	id message.Name
}

func newRule(m *Match) rule {
	r := rule{methods: m.Method, query: m.Query}
	for _, s := range m.Path {
		p, _ := parsePattern(s)
		r.path = append(r.path, &p)
	}
	for _, c := range m.Field {
		c.Name = string(appendLower(nil, c.Name))
		r.field = append(r.field, fieldCondition{c, message.LookupName([]byte(c.Name))})
	}
	for _, p := range m.Client {
		r.client = append(r.client, network(p))
	}
	for i := range m.Not {
		r.not = append(r.not, newRule(&m.Not[i]))
	}
	r.free = len(r.methods)+len(r.field)+len(r.query)+len(r.client)+len(r.not) == 0
	return r
}

// network is p without bits of the host, as an IPv4 network if it is one.
func network(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

func (r *rule) readsPath() bool {
	return len(r.path) > 0 || slices.ContainsFunc(r.not, func(n rule) bool { return n.readsPath() })
}

// query is a request on its way through a site's rules.
type query struct {
	site   *site
	head   *message.Head
	client netip.Addr
	path   []byte // in the reading that is looked up
	params []byte // what follows the ?
	value  [MaxValue + 1]byte
}

func (q *query) begin(r *Request, s *site) {
	q.site, q.head, q.client = s, r.Head, r.Client
	q.path, q.params = r.Head.Bytes(r.Head.Path), nil
	if i := bytes.IndexByte(q.path, '?'); i >= 0 {
		q.path, q.params = q.path[:i], q.path[i+1:]
	}
}

// holds reports whether the conditions besides the path hold.
func (r *rule) holds(q *query) bool {
	if r.free {
		return true
	}
	if len(r.methods) > 0 {
		method, ok := q.head.Bytes(q.head.Method), false
		for _, m := range r.methods {
			if ok = string(method) == m; ok {
				break
			}
		}
		if !ok {
			return false
		}
	}
	for i := range r.field {
		c := &r.field[i]
		if value, ok := q.field(c.id, c.Name); !ok || !c.meets(value) {
			return false
		}
	}
	for i := range r.query {
		if !q.parameter(&r.query[i]) {
			return false
		}
	}
	if len(r.client) > 0 && !slices.ContainsFunc(r.client, func(p netip.Prefix) bool { return p.Contains(q.client) }) {
		return false
	}
	for i := range r.not {
		if r.not[i].matches(q) {
			return false
		}
	}
	return true
}

// matches is holds with the path.
func (r *rule) matches(q *query) bool {
	if len(r.path) > 0 && !slices.ContainsFunc(r.path, func(p *pattern) bool { return p.matches(q.path) }) {
		return false
	}
	return r.holds(q)
}

func (c *Condition) meets(value []byte) bool {
	if c.Op == Present {
		return true
	}
	for _, v := range c.Values {
		if len(value) >= len(v) && (c.Op == Prefix || len(value) == len(v)) && string(value[:len(v)]) == v {
			return true
		}
	}
	return false
}

// field is the value of a field, of all its lines. It may be cut behind more
// bytes than a condition can have. Fields that the client has marked as its own,
// by Connection, are not there: the upstream would not see them.
func (q *query) field(id message.Name, name string) (value []byte, ok bool) {
	h := q.head
	joined := false
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID != id || id == message.Other && (f.Flags&message.Drop != 0 || !message.EqualFold(h.Bytes(f.Name), name)) {
			continue
		}
		switch {
		case !ok && f.Flags&^message.Drop == 0:
			value = h.Bytes(f.Value)
		case !ok:
			value, joined = q.join(nil, h, f), true
		default:
			if !joined {
				value, joined = append(q.value[:0], value[:min(len(value), len(q.value))]...), true
			}
			value = q.join(append(value, ", "[:min(2, len(q.value)-len(value))]...), h, f)
		}
		ok = true
	}
	return value, ok
}

// join appends the value of f to what stands in q.value, as far as there is room.
func (q *query) join(value []byte, h *message.Head, f *message.Field) []byte {
	at := len(value)
	if f.Flags&^message.Drop != 0 { // a folded line: rare, and of any length
		return q.value[:at+copy(q.value[at:], h.AppendValue(nil, f))]
	}
	return q.value[:at+copy(q.value[at:], h.Bytes(f.Value))]
}

// parameter reports whether the query meets c: there is such a parameter, and
// each that has the name has the value.
func (q *query) parameter(c *Condition) bool {
	found := false
	for rest := q.params; len(rest) > 0; {
		var name, value []byte
		name, value, rest = nextParameter(rest)
		if !decodesTo(name, c.Name, false) {
			continue
		}
		if c.Op != Present && !slices.ContainsFunc(c.Values, func(v string) bool { return decodesTo(value, v, c.Op == Prefix) }) {
			return false
		}
		found = true
	}
	return found
}

// nextParameter cuts the first parameter from a query.
func nextParameter(query []byte) (name, value, rest []byte) {
	one := query
	if i := bytes.IndexByte(query, '&'); i >= 0 {
		one, rest = query[:i], query[i+1:]
	}
	if i := bytes.IndexByte(one, '='); i >= 0 {
		return one[:i], one[i+1:], rest
	}
	return one, nil, rest
}

// decodesTo reports whether raw, with its percent-encodings decoded, is want, or
// begins with it. What is no percent-encoding stands as it is.
func decodesTo(raw []byte, want string, prefix bool) bool {
	n := 0
	for i := 0; i < len(raw); i++ {
		if n == len(want) {
			return prefix
		}
		c := raw[i]
		if c == '%' && i+2 < len(raw) && hexValue[raw[i+1]] >= 0 && hexValue[raw[i+2]] >= 0 {
			c = byte(hexValue[raw[i+1]]<<4 | hexValue[raw[i+2]])
			i += 2
		}
		if c != want[n] {
			return false
		}
		n++
	}
	return n == len(want)
}

// list holds routes that share a path, or have none. Most have few; a long one
// is sorted by the values that its routes want, so that most need not be tried.
type list struct {
	routes []int32 // in order: those to try one by one
	keyed  []keyed
}

// keyed holds the routes that want certain values of one thing.
type keyed struct {
	field   *fieldCondition // the field; nil for another thing
	query   string          // the parameter
	clients []int           // lengths of networks; nil for another thing
	values  map[string][]int32
	nets    map[netip.Prefix][]int32
}

// short is how many routes are tried one by one without a thought.
const short = 8

func (s *site) newList(routes []int32) list {
	if len(routes) <= short {
		return list{routes: routes}
	}
	type key struct {
		what byte
		name string
	}
	groups, order := map[key][]int32{}, []key(nil)
	var l list
	for _, i := range routes {
		r := &s.rules[i]
		k := key{}
		switch {
		case slices.ContainsFunc(r.field, func(c fieldCondition) bool { return c.Op == Equal }):
			f := r.field[slices.IndexFunc(r.field, func(c fieldCondition) bool { return c.Op == Equal })]
			k = key{'f', f.Name}
		case slices.ContainsFunc(r.query, func(c Condition) bool { return c.Op == Equal }):
			k = key{'q', r.query[slices.IndexFunc(r.query, func(c Condition) bool { return c.Op == Equal })].Name}
		case len(r.client) > 0:
			k = key{'c', ""}
		default:
			l.routes = append(l.routes, i)
			continue
		}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], i)
	}
	for _, k := range order {
		group := groups[k]
		if len(group) <= short {
			l.routes = append(l.routes, group...)
			continue
		}
		var d keyed
		for _, i := range group {
			r := &s.rules[i]
			switch k.what {
			case 'f':
				f := &r.field[slices.IndexFunc(r.field, func(c fieldCondition) bool { return c.Op == Equal })]
				d.field = f
				d.add(f.Values, i)
			case 'q':
				c := &r.query[slices.IndexFunc(r.query, func(c Condition) bool { return c.Op == Equal })]
				d.query = c.Name
				d.add(c.Values, i)
			case 'c':
				d.addClient(r.client, i)
			}
		}
		l.keyed = append(l.keyed, d)
	}
	slices.Sort(l.routes)
	return l
}

func appendLower(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = append(dst, lower[s[i]])
	}
	return dst
}

func (d *keyed) add(values []string, route int32) {
	if d.values == nil {
		d.values = map[string][]int32{}
	}
	for _, v := range values {
		if r := d.values[v]; len(r) == 0 || r[len(r)-1] != route {
			d.values[v] = append(r, route)
		}
	}
}

func (d *keyed) addClient(list []netip.Prefix, route int32) {
	if d.nets == nil {
		d.nets = map[netip.Prefix][]int32{}
	}
	for _, p := range list {
		if !slices.Contains(d.clients, p.Bits()) {
			d.clients = append(d.clients, p.Bits())
		}
		if r := d.nets[p]; len(r) == 0 || r[len(r)-1] != route {
			d.nets[p] = append(r, route)
		}
	}
}

// first returns the first route before best that meets q, the path left aside;
// best if there is none.
func (l *list) first(q *query, best int32) int32 {
	best = q.first(l.routes, best)
	for i := range l.keyed {
		d := &l.keyed[i]
		switch {
		case d.field != nil:
			if value, ok := q.field(d.field.id, d.field.Name); ok {
				best = q.first(d.values[string(value)], best)
			}
		case d.clients != nil:
			for _, bits := range d.clients {
				if p, err := q.client.Prefix(bits); err == nil {
					best = q.first(d.nets[p], best)
				}
			}
		default:
			best = d.byParameter(q, best)
		}
	}
	return best
}

// byParameter looks at the first parameter of the name: all others must have the
// same value.
func (d *keyed) byParameter(q *query, best int32) int32 {
	for rest := q.params; len(rest) > 0; {
		var name, value []byte
		name, value, rest = nextParameter(rest)
		if !decodesTo(name, d.query, false) {
			continue
		}
		n := 0
		for i := 0; i < len(value) && n < len(q.value); i++ {
			c := value[i]
			if c == '%' && i+2 < len(value) && hexValue[value[i+1]] >= 0 && hexValue[value[i+2]] >= 0 {
				c = byte(hexValue[value[i+1]]<<4 | hexValue[value[i+2]])
				i += 2
			}
			q.value[n] = c
			n++
		}
		return q.first(d.values[string(q.value[:n])], best)
	}
	return best
}

func (q *query) first(routes []int32, best int32) int32 {
	for _, i := range routes {
		if i >= best {
			break
		}
		if q.site.rules[i].holds(q) {
			return i
		}
	}
	return best
}
