package config

import (
	"fmt"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"

	"github.com/gatewhy/gatewhy/internal/conf"
)

// anyValue is every value of a field or a parameter that is there.
const anyValue = "any"

// Pattern is a set of paths. A path is compared part by part, as it is after
// percent-decoding and without empty parts, "." and "..".
type Pattern struct {
	Text  string
	Parts []Part // of "/" one that is empty
	// Rest: everything below is in it too, and /api itself is in /api/*.
	Rest bool
}

// Part is what stands between two slashes.
type Part struct {
	Literal string
	Capture string // the name of a capture, which is any text but nothing; "" for a literal
}

// Noun implements the word for messages.
func (*Pattern) Noun() string { return "path" }

// MarshalText is the pattern.
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.Text), nil }

// UnmarshalText reads /api/*, /about, /blog/{slug}.
func (p *Pattern) UnmarshalText(b []byte) error {
	s := string(b)
	bad := func(start, end int, message, help string) error {
		return &conf.Bad{Name: "bad_match", Message: message, Start: start, End: end, Help: help}
	}
	switch {
	case strings.HasPrefix(s, "^"), strings.HasPrefix(s, "~"), strings.HasSuffix(s, "$"):
		return bad(0, 0, "a path is no regular expression", "write /api/* for all below /api, /about for one path, {name} for one part")
	case s[0] != '/':
		if method, path, ok := strings.Cut(s, " "); ok && slices.Contains(methods, strings.ToUpper(method)) && strings.HasPrefix(path, "/") {
			return &conf.Bad{Name: "bad_match", Message: "a path has no method in front", End: len(method), Words: "not a part of the path",
				Help: fmt.Sprintf("write `match: { method: %s, path: %s }`", strings.ToUpper(method), path)}
		}
		if strings.HasPrefix(s, "*.") {
			return bad(0, 0, "a path begins with a slash, and the end of one cannot be matched", "")
		}
		if strings.Contains(s, "://") || strings.Contains(s, ".") && !strings.Contains(s, "/") {
			return bad(0, 0, "a path begins with a slash", "the host is the name of the site")
		}
		return &conf.Bad{Name: "bad_match", Message: "a path begins with a slash", With: "/" + s}
	}
	*p = Pattern{Text: s}
	at := 1
	for part := range strings.SplitSeq(s[1:], "/") {
		start, end := at, at+len(part)
		at = end + 1
		last := end == len(s)
		switch {
		case part == "*" && last:
			p.Rest = true
			continue
		case strings.HasSuffix(part, "*") && last && !strings.Contains(part[:len(part)-1], "*") && !strings.ContainsAny(part, "{}"):
			return &conf.Bad{Name: "bad_match", Message: "a `*` stands alone behind the last slash", Start: start, End: end, Words: "a part of a path is taken whole",
				With: s[:end-1] + "/*", Unsure: true}
		case strings.Contains(part, "*"):
			return bad(start, end, "a `*` stands alone behind the last slash", "to match one part of a path whatever it is, write {name}")
		case part == "" && !last, part == ".", part == "..":
			return bad(start-1, end, "no request has such a path: empty parts, `.` and `..` are taken out before", "")
		case strings.ContainsAny(part, "?#"):
			i := start + strings.IndexAny(part, "?#")
			return bad(i, len(s), "a path has no query", "write it as `query: { name: value }` beside `path:`")
		case strings.Contains(part, "%"):
			return bad(start, end, "a path is written as it reads after decoding, without `%`", "write the character itself")
		}
		if name, ok := strings.CutPrefix(part, "{"); ok {
			name, ok = strings.CutSuffix(name, "}")
			switch {
			case !ok || strings.ContainsAny(name, "{}"):
				return bad(start, end, "a capture is a whole part of a path", "write /blog/{slug}")
			case name == "" || !isName(name):
				return bad(start, end, "the name of a capture has letters, digits and hyphens", "")
			case slices.ContainsFunc(p.Parts, func(q Part) bool { return q.Capture == name }):
				return bad(start, end, fmt.Sprintf("the capture `%s` is there twice", name), "")
			}
			p.Parts = append(p.Parts, Part{Capture: name})
			continue
		}
		if strings.ContainsAny(part, "{}") {
			return bad(start, end, "a capture is a whole part of a path", "write /blog/{slug}")
		}
		for i := range len(part) {
			if part[i] <= ' ' || part[i] == 0x7f {
				return bad(start+i, start+i+1, "a path has no blank", "")
			}
		}
		p.Parts = append(p.Parts, Part{Literal: part})
	}
	return nil
}

func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// Takes reports whether a path is in the set.
func (p *Pattern) Takes(path string) bool {
	rest := strings.TrimPrefix(path, "/")
	parts := strings.Split(rest, "/")
	if p.Rest && len(p.Parts) == 0 {
		return true
	}
	if len(parts) < len(p.Parts) || !p.Rest && len(parts) > len(p.Parts) {
		return false
	}
	for i, q := range p.Parts {
		if q.Capture != "" && parts[i] == "" || q.Capture == "" && q.Literal != parts[i] {
			return false
		}
	}
	return true
}

// covers reports whether each path of q is in p too.
func (p *Pattern) covers(q *Pattern) bool {
	if len(p.Parts) > len(q.Parts) || !p.Rest && (q.Rest || len(p.Parts) != len(q.Parts)) {
		return false
	}
	for i, a := range p.Parts {
		switch b := q.Parts[i]; {
		case a.Capture == "" && (b.Capture != "" || a.Literal != b.Literal):
			return false
		case a.Capture != "" && b.Capture == "" && b.Literal == "":
			return false
		}
	}
	return true
}

// example is a path of the set.
func (p *Pattern) example() string {
	var b strings.Builder
	for _, q := range p.Parts {
		b.WriteString("/" + q.Literal)
		if q.Capture != "" {
			b.WriteString(q.Capture)
		}
	}
	if p.Rest {
		b.WriteString("/x")
	}
	return b.String()
}

// all reports whether every path is in the set.
func (p *Pattern) all() bool { return p.Rest && len(p.Parts) == 0 }

// Request is what matching looks at.
type Request struct {
	Method string
	Path   string
	Field  map[string][]string // by canonical name
	Query  map[string][]string
	Client netip.Addr
}

// Takes reports whether a request matches: the plain meaning of a match, which
// whatever routes requests must agree with.
func (m *Match) Takes(r *Request) bool {
	switch {
	case len(m.Path) > 0 && !slices.ContainsFunc(m.Path, func(p Pattern) bool { return p.Takes(r.Path) }),
		len(m.Method) > 0 && !slices.Contains(m.Method, Method(r.Method)),
		len(m.Client) > 0 && !slices.ContainsFunc(m.Client, func(n Network) bool { return n.Contains(r.Client.Unmap()) }),
		m.Not != nil && m.Not.Takes(r):
		return false
	}
	for name, want := range m.Field {
		if !takes(want, r.Field[textproto.CanonicalMIMEHeaderKey(name)]) {
			return false
		}
	}
	for name, want := range m.Query {
		if !takes(want, r.Query[name]) {
			return false
		}
	}
	return true
}

func takes(want, have []string) bool {
	return len(have) > 0 && (slices.Contains(want, anyValue) || slices.ContainsFunc(have, func(s string) bool { return slices.Contains(want, s) }))
}

// everything reports whether every request matches.
func (m *Match) everything() bool {
	return (len(m.Path) == 0 || slices.ContainsFunc(m.Path, func(p Pattern) bool { return p.all() })) &&
		len(m.Method)+len(m.Field)+len(m.Query)+len(m.Client) == 0 && m.Not == nil
}

// covers reports whether each request that other matches is matched by m too. It
// may say no where a cleverer reader would see it.
func (m *Match) covers(other *Match) bool {
	if len(m.Path) > 0 && !slices.ContainsFunc(m.Path, func(p Pattern) bool { return p.all() }) {
		if len(other.Path) == 0 {
			return false
		}
		for i := range other.Path {
			if !slices.ContainsFunc(m.Path, func(p Pattern) bool { return p.covers(&other.Path[i]) }) {
				return false
			}
		}
	}
	if len(m.Method) > 0 && (len(other.Method) == 0 || !subset(other.Method, m.Method)) {
		return false
	}
	if len(m.Client) > 0 {
		if len(other.Client) == 0 {
			return false
		}
		for _, n := range other.Client {
			if !slices.ContainsFunc(m.Client, func(a Network) bool { return a.Bits() <= n.Bits() && a.Contains(n.Addr()) }) {
				return false
			}
		}
	}
	if !valuesCover(m.Field, other.Field, textproto.CanonicalMIMEHeaderKey) || !valuesCover(m.Query, other.Query, func(s string) string { return s }) {
		return false
	}
	return m.Not == nil || other.Not != nil && other.Not.covers(m.Not)
}

func subset[T comparable](a, b []T) bool {
	return !slices.ContainsFunc(a, func(x T) bool { return !slices.Contains(b, x) })
}

func valuesCover(a, b map[string][]string, name func(string) string) bool {
	for k, want := range a {
		covered := false
		for l, have := range b {
			covered = covered || name(k) == name(l) && (slices.Contains(want, anyValue) || subset(have, want))
		}
		if !covered {
			return false
		}
	}
	return true
}

// example is a request that matches, in words, as far as paths and methods tell.
func (m *Match) example() string {
	method, path := "GET", "/"
	if len(m.Method) > 0 {
		method = string(m.Method[0])
	}
	if len(m.Path) > 0 {
		path = m.Path[0].example()
	}
	return method + " " + path
}
