package route

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// naive does what the package promises in the plainest way: every host of every
// site, every route from the top, strings cut anew each time.
func naive(sites []Site, r *Request) Found {
	none := Found{Outcome: NoSite, Site: -1, Route: -1, Other: -1}
	host := strings.ToLower(string(r.Head.Bytes(r.Head.Authority)))
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	host = strings.TrimSuffix(host, ".")
	best, rank := -1, 0
	for i, s := range sites {
		for _, h := range s.Hosts {
			score := 1
			name, ok := strings.CutPrefix(h, "http://")
			if ok && r.Secure {
				continue
			}
			if !ok {
				if name, ok = strings.CutPrefix(h, "https://"); ok && !r.Secure {
					continue
				}
			}
			if ok {
				score++
			}
			name = strings.TrimSuffix(strings.ToLower(name), ".")
			switch below := strings.TrimPrefix(name, "any"); {
			case name == "any":
			case below != name && strings.HasSuffix(host, below) && len(host) > len(below):
				score += 2 * len(below)
			case name == host:
				score += 10000
			default:
				continue
			}
			if score > rank {
				best, rank = i, score
			}
		}
	}
	if best < 0 {
		return none
	}
	path, query, _ := strings.Cut(string(r.Head.Bytes(r.Head.Path)), "?")
	routes := map[int]bool{}
	first := -1
	for as := range 16 {
		got := -1
		for i := range sites[best].Routes {
			if naiveMatch(&sites[best].Routes[i], r, naiveReading(path, as), query) {
				got = i
				break
			}
		}
		if as == 0 {
			first = got
		}
		routes[got] = true
	}
	switch f := (Found{Site: best, Route: first, Other: -1}); {
	case len(routes) > 1:
		f.Outcome = Ambiguous
		return f
	case first < 0:
		f.Outcome = NoRoute
		return f
	default:
		return f
	}
}

// naiveReading reads a path in one of 16 ways.
func naiveReading(path string, as int) string {
	if !strings.HasPrefix(path, "/") {
		return path
	}
	if as&1 != 0 {
		path = strings.NewReplacer("%2F", "/", "%2f", "/", "%5C", "/", "%5c", "/", `\`, "/").Replace(path)
		path, _, _ = strings.Cut(path, "%00")
	}
	parts := strings.Split(path[1:], "/")
	var done []string
	for i, p := range parts {
		last := i == len(parts)-1
		if as&2 != 0 {
			p, _, _ = strings.Cut(p, ";")
		}
		if d := strings.ReplaceAll(strings.ReplaceAll(p, "%2e", "."), "%2E", "."); as&4 == 0 && (d == "." || d == "..") {
			if d == ".." {
				done = done[:max(0, len(done)-1)]
			}
			if last {
				done = append(done, "")
			}
			continue
		}
		if as&8 != 0 && p == "" && !last {
			continue
		}
		done = append(done, p)
	}
	return "/" + strings.Join(done, "/")
}

func naiveMatch(m *Match, r *Request, path, query string) bool {
	if len(m.Path) > 0 && !slices.ContainsFunc(m.Path, func(p string) bool { return naivePath(p, path) }) {
		return false
	}
	if len(m.Method) > 0 && !slices.Contains(m.Method, string(r.Head.Bytes(r.Head.Method))) {
		return false
	}
	compare := func(c Condition, v string) bool {
		return c.Op == Present || slices.ContainsFunc(c.Values, func(s string) bool { return v == s || c.Op == Prefix && strings.HasPrefix(v, s) })
	}
	for _, c := range m.Field {
		var lines []string
		for _, f := range r.Head.Fields {
			if strings.EqualFold(string(r.Head.Bytes(f.Name)), c.Name) {
				lines = append(lines, string(r.Head.Bytes(f.Value)))
			}
		}
		if len(lines) == 0 || !compare(c, strings.Join(lines, ", ")) {
			return false
		}
	}
	for _, c := range m.Query {
		found := false
		for _, one := range strings.Split(query, "&") {
			k, v, _ := strings.Cut(one, "=")
			if one == "" || naiveDecode(k) != c.Name {
				continue
			}
			if !compare(c, naiveDecode(v)) {
				return false
			}
			found = true
		}
		if !found {
			return false
		}
	}
	if len(m.Client) > 0 && !slices.ContainsFunc(m.Client, func(p netip.Prefix) bool { return p.Contains(r.Client) }) {
		return false
	}
	return !slices.ContainsFunc(m.Not, func(n Match) bool { return naiveMatch(&n, r, path, query) })
}

func naiveDecode(s string) string {
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}

// naivePath compares a pattern with a path segment by segment, each decoded.
func naivePath(pattern, path string) bool {
	if !strings.HasPrefix(path, "/") {
		return false
	}
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	for i, w := range want {
		if w == "*" && i == len(want)-1 {
			return true
		}
		if i >= len(got) {
			return false
		}
		if strings.HasPrefix(w, "{") {
			if got[i] == "" {
				return false
			}
			continue
		}
		if naiveDecode(w) != naiveDecode(got[i]) {
			return false
		}
	}
	return len(want) == len(got)
}

// dice makes rules and requests of few words, so that they meet often.
type dice struct{ *rand.Rand }

func (d dice) one(words ...string) string { return words[d.IntN(len(words))] }

func (d dice) some(most int, f func()) {
	for range d.IntN(most + 1) {
		f()
	}
}

func (d dice) pattern() string {
	var b strings.Builder
	captures := 0
	for range 1 + d.IntN(3) {
		w := d.one("a", "b", "%61", "c%2fd", "{}", "é", "a.b")
		if w == "{}" {
			w = fmt.Sprintf("{c%d}", captures)
			captures++
		}
		b.WriteString("/" + w)
	}
	return b.String() + d.one("", "", "/", "/*", "/*")
}

func (d dice) match(deep int) (m Match) {
	d.some(2, func() { m.Path = append(m.Path, d.pattern()) })
	if d.IntN(3) == 0 {
		m.Method = []string{d.one("GET", "POST")}
	}
	condition := func() Condition {
		c := Condition{Name: d.one("X-A", "x-b", "Accept"), Op: Op(d.IntN(3))}
		if c.Op != Present {
			c.Values = []string{d.one("1", "12", "2", "1, 2")}
			d.some(1, func() { c.Values = append(c.Values, d.one("1", "3", "12")) })
		}
		return c
	}
	if d.IntN(3) == 0 {
		m.Field = append(m.Field, condition())
	}
	if d.IntN(3) == 0 {
		c := condition()
		c.Name = d.one("q", "r")
		for i := range c.Values {
			c.Values[i] = strings.ReplaceAll(c.Values[i], ", ", ",")
		}
		m.Query = append(m.Query, c)
	}
	if d.IntN(4) == 0 {
		m.Client = append(m.Client, netip.MustParsePrefix(d.one("192.0.2.0/24", "192.0.0.0/16", "2001:db8::/32")))
	}
	if deep > 0 && d.IntN(4) == 0 {
		if n := d.match(deep - 1); !n.empty() {
			m.Not = append(m.Not, n)
		}
	}
	return m
}

func (d dice) sites() (sites []Site) {
	hosts := []string{"example.org", "any.example.org", "any.a.example.org", "a.example.org", "http://example.org", "https://any.example.org", "any", "http://any"}
	d.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	for range 1 + d.IntN(3) {
		s := Site{Hosts: []string{hosts[0]}}
		hosts = hosts[1:]
		for range d.IntN(30) {
			s.Routes = append(s.Routes, d.match(1))
		}
		sites = append(sites, s)
	}
	return sites
}

func (d dice) request() *Request {
	var path strings.Builder
	for range 1 + d.IntN(4) {
		path.WriteString(d.one("/", "/", "/", "/", "//", "%2f", `\`))
		path.WriteString(d.one("a", "b", "%61", "c%2Fd", "%C3%A9", ".", "..", "%2e.", "a;x", "..;", "", "a.b", "a%00", "%zz"))
	}
	target := "/" + strings.TrimPrefix(path.String(), "/")
	if d.IntN(40) == 0 {
		target = "*"
	}
	if d.IntN(2) == 0 {
		target += "?" + d.one("q", "q=1", "q=%31", "r=12&q=2", "q=1&q=2", "q=1&q=1", "&&r=2", "q=1,2")
	}
	var fields []string
	d.some(2, func() {
		fields = append(fields, d.one("X-A", "x-a", "X-B", "Accept")+": "+d.one("1", "12", "2", "1, 2", ""))
	})
	r := ask(d.one("GET", "POST", "PUT"), d.one("example.org", "EXAMPLE.org:80", "a.example.org", "b.a.example.org.", "x.example.org", "other.test", ""), target, fields...)
	r.Secure = d.IntN(2) == 0
	r.Client = netip.MustParseAddr(d.one("192.0.2.1", "192.0.3.1", "198.51.100.1", "2001:db8::1"))
	return r
}

// The compiled table agrees with the plain reading of the rules; no route that
// Check calls unreachable is ever reached.
func agree(t *testing.T, seed uint64) {
	d := dice{rand.New(rand.NewPCG(seed, 1))}
	sites := d.sites()
	c, err := Compile(sites)
	if err != nil {
		t.Fatalf("seed %d: %v\n%+v", seed, err, sites)
	}
	dead := map[[2]int]bool{}
	for _, p := range Check(sites) {
		dead[[2]int{p.Site, p.Route}] = true
	}
	var f Finder
	for range 50 {
		r := d.request()
		got, want := f.Find(c, r), naive(sites, r)
		if got.Outcome == Ambiguous {
			if got.Other == got.Route {
				t.Errorf("seed %d: %s: both readings lead to %d", seed, r.Head.Raw, got.Route)
			}
			got.Other = -1
		}
		if got != want {
			t.Fatalf("seed %d: %s %v %v: %+v, want %+v\n%+v", seed, r.Head.Raw, r.Secure, r.Client, got, want, sites)
		}
		if got.Outcome == Owned && dead[[2]int{got.Site, got.Route}] {
			t.Errorf("seed %d: %s reaches route %d of site %d, which is called unreachable\n%+v", seed, r.Head.Raw, got.Route, got.Site, sites)
		}
	}
}

func TestAgreesWithNaive(t *testing.T) {
	for seed := range uint64(300) {
		agree(t, seed)
	}
}

func FuzzAgreesWithNaive(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(seed)
	}
	f.Fuzz(agree)
}

// Whatever is asked for, a look-up ends in one of its outcomes, and what it
// calls the normal form of a path is one.
func FuzzFind(f *testing.F) {
	f.Add("example.org", "/a/%2e%2e/b;c//\\%2f?q=1&q", "X-A: 1")
	f.Add("[::1]:80", "*", "")
	f.Add("a..", "/%", "A: %")
	c, err := Compile(dice{rand.New(rand.NewPCG(7, 7))}.sites())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, host, path, field string) {
		var find Finder
		r := ask("GET", host, path, field)
		got := find.Find(c, r)
		if got.Outcome == Owned && (got.Site < 0 || got.Route < 0) || got.Outcome == NoSite && got.Site >= 0 {
			t.Errorf("%+v", got)
		}
		once := appendReading(nil, []byte(path), 0)
		if again := appendReading(nil, once, 0); !strings.HasPrefix(path, "/") || string(again) == string(once) {
			return
		} else {
			t.Errorf("%q: %q, and again %q", path, once, again)
		}
	})
}

// A pattern that is read is met by its own example.
func FuzzPattern(f *testing.F) {
	f.Add("/a/{b}/*")
	f.Add("/é %2f/")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePattern(s)
		if err != nil {
			return
		}
		example := p.example()
		if !p.matches(appendReading(nil, []byte(example), 0)) {
			t.Errorf("%q does not match %q", s, example)
		}
		if !p.holds(&p) {
			t.Errorf("%q does not hold itself", s)
		}
	})
}
