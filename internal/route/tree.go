package route

import (
	"bytes"
	"hash/maphash"
	"slices"
)

// node is a place in the tree of a site's path patterns, an edge a segment. It
// fits into a cache line: with thousands of routes what a look-up costs is the
// memory that it touches.
type node struct {
	// name is the literal segment that leads here.
	name string
	// least is the first route here or below: there is no need to look for one that
	// comes later than what was found.
	least int32
	end   routes // whose path ends here
	below routes // that go on with /*
	hold  *node
	// kid is the only literal segment that leads on, kids are several.
	kid  *node
	kids *kids
}

// routes stands for a list of routes: 0 for none, -1-i for route i alone if it has no
// condition besides the path, and 1+i for the site's list i.
type routes int32

// first returns the first route before best that meets q, the path left aside;
// best if there is none.
func (r routes) first(q *query, best int32) int32 {
	switch {
	case r == 0:
		return best
	case r < 0:
		return min(best, int32(-1-r))
	}
	return q.site.lists[r-1].first(q, best)
}

// file makes routes of a list.
func (s *site) file(of []int32) routes {
	switch {
	case len(of) == 0:
		return 0
	case s.rules[of[0]].free: // none behind it is ever looked for
		return routes(-1 - of[0])
	}
	s.lists = append(s.lists, s.newList(of))
	return routes(len(s.lists))
}

// each calls f with the routes that may take what o does.
func (r routes) each(s *site, o *rule, f func(int32)) {
	switch {
	case r < 0:
		f(int32(-1 - r))
	case r > 0:
		s.lists[r-1].each(o, f)
	}
}

// first returns the first route before best whose path is rest, as seen from n,
// and whose other conditions hold; best if there is none. rest is what follows a
// slash: it has one segment at least, which may be empty.
func (n *node) first(q *query, rest []byte, best int32) int32 {
	for {
		best = n.below.first(q, best)
		part, after := rest, []byte(nil)
		last := true
		if i := bytes.IndexByte(rest, '/'); i >= 0 {
			part, after, last = rest[:i], rest[i+1:], false
		}
		next := n.literal(part)
		if next != nil && next.least >= best {
			next = nil
		}
		if hold := n.hold; hold != nil && hold.least < best && len(part) > 0 {
			if next == nil {
				next = hold
			} else {
				best = hold.enter(q, after, last, best)
			}
		}
		if next == nil {
			return best
		}
		if last {
			return next.enter(q, nil, true, best)
		}
		n, rest = next, after
	}
}

// enter is first for a node that a segment led to.
func (n *node) enter(q *query, after []byte, last bool, best int32) int32 {
	if last {
		return n.below.first(q, n.end.first(q, best))
	}
	return n.first(q, after, best)
}

func (n *node) literal(part []byte) *node {
	switch {
	case n.kid != nil:
		if string(part) == n.kid.name {
			return n.kid
		}
	case n.kids != nil:
		return n.kids.find(part)
	}
	return nil
}

// kids are nodes by name.
type kids struct {
	slots []kidSlot // a power of two, at most half of them in use
}

type kidSlot struct {
	hash uint64
	node *node
}

// seed makes hashes that nobody can foresee: no request is slower than another.
var seed = maphash.MakeSeed()

func (k *kids) find(name []byte) *node {
	h := maphash.Bytes(seed, name)
	for i := h; ; i++ {
		s := &k.slots[i&uint64(len(k.slots)-1)]
		if s.node == nil || s.hash == h && s.node.name == string(name) {
			return s.node
		}
	}
}

// room is a number of slots for n entries.
func room(n int) int {
	r := 4
	for r < 2*n {
		r *= 2
	}
	return r
}

func newKids(list []*node) *kids {
	k := &kids{slots: make([]kidSlot, room(len(list)))}
	for _, n := range list {
		h := maphash.String(seed, n.name)
		i := h
		for k.slots[i&uint64(len(k.slots)-1)].node != nil {
			i++
		}
		k.slots[i&uint64(len(k.slots)-1)] = kidSlot{h, n}
	}
	return k
}

// maker gathers patterns and makes a tree of them.
type maker struct {
	end, below []int32
	hold       *maker
	kids       map[string]*maker
}

// add files a route under a pattern.
func (m *maker) add(p *pattern, route int32) {
	for i := range p.segments {
		s := &p.segments[i]
		if s.capture != "" {
			if m.hold == nil {
				m.hold = &maker{}
			}
			m = m.hold
			continue
		}
		next := m.kids[s.literal]
		if next == nil {
			next = &maker{}
			if m.kids == nil {
				m.kids = map[string]*maker{}
			}
			m.kids[s.literal] = next
		}
		m = next
	}
	to := &m.end
	if p.below {
		to = &m.below
	}
	if n := len(*to); n == 0 || (*to)[n-1] != route { // two patterns may differ in their names only
		*to = append(*to, route)
	}
}

// make makes the tree; nil if there is nothing in it. names has each name once,
// since names that all sites have are then there once.
func (m *maker) make(s *site, name string, names map[string]string) *node {
	if m == nil || m.end == nil && m.below == nil && m.hold == nil && m.kids == nil {
		return nil
	}
	if _, ok := names[name]; !ok {
		names[name] = name
	}
	n := &node{name: names[name], end: s.file(m.end), below: s.file(m.below), hold: m.hold.make(s, "", names)}
	n.least = slices.Min(append([]int32{s.always}, slices.Concat(m.end, m.below)...))
	if n.hold != nil {
		n.least = min(n.least, n.hold.least)
	}
	var kids []*node
	for name, k := range m.kids {
		kid := k.make(s, name, names)
		n.least = min(n.least, kid.least)
		kids = append(kids, kid)
	}
	switch len(kids) {
	case 0:
	case 1:
		n.kid = kids[0]
	default:
		n.kids = newKids(kids)
	}
	return n
}
