package config

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/gatewhy/gatewhy/internal/conf"
)

func pattern(t *testing.T, s string) (p Pattern) {
	t.Helper()
	if err := p.UnmarshalText([]byte(s)); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return p
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern  string
		takes    []string
		leaves   []string
		captures int
	}{
		{"/", []string{"/"}, []string{"/a", "/a/"}, 0},
		{"/*", []string{"/", "/a", "/a/b/"}, nil, 0},
		{"/api/*", []string{"/api", "/api/", "/api/x", "/api/x/y"}, []string{"/", "/apis", "/ap", "/x/api/"}, 0},
		{"/about", []string{"/about"}, []string{"/about/", "/about/x", "/ABOUT", "/"}, 0},
		{"/about/", []string{"/about/"}, []string{"/about", "/about/x"}, 0},
		{"/blog/{slug}", []string{"/blog/x", "/blog/*"}, []string{"/blog", "/blog/", "/blog/x/", "/blog/x/y"}, 1},
		{"/{a}/b/{c}/*", []string{"/1/b/2", "/1/b/2/", "/1/b/2/3/4"}, []string{"/1/b", "/1/b/", "/1/x/2"}, 2},
		{"/caf\u00e9", []string{"/caf\u00e9"}, []string{"/cafe"}, 0},
	} {
		p := pattern(t, c.pattern)
		captures := 0
		for _, q := range p.Parts {
			if q.Capture != "" {
				captures++
			}
		}
		if captures != c.captures {
			t.Errorf("%s has %d captures", c.pattern, captures)
		}
		for _, path := range append(c.takes, p.example()) {
			if !p.Takes(path) {
				t.Errorf("%s leaves %s", c.pattern, path)
			}
		}
		for _, path := range c.leaves {
			if p.Takes(path) {
				t.Errorf("%s takes %s", c.pattern, path)
			}
		}
	}
}

func TestPatternsRefused(t *testing.T) {
	for s, want := range map[string]string{
		"api": "/api", "/api*": "/api/*", "/*/x": "", "/a*b/*": "", "//": "", "/a//b": "", "/a/../b": "", "/./a": "", "/a?b": "", "/a#b": "", "/a%20b": "",
		"/{a": "", "/{}": "", "/{a}/{a}": "", "/x{a}": "", "/{a b}": "", "^/a": "", "/a$": "", "~ /a": "", "GET /a": "", "*.php": "", "/a b": "", "example.org": "",
		"https://a/": "", "/a}": "",
	} {
		var p Pattern
		err := p.UnmarshalText([]byte(s))
		var bad *conf.Bad
		if !errors.As(err, &bad) {
			t.Errorf("%s is accepted: %+v", s, p)
			continue
		}
		if bad.With != want {
			t.Errorf("%s is better written %q, want %q", s, bad.With, want)
		}
		if bad.End > len(s) || bad.Start > bad.End {
			t.Errorf("%s: part %d-%d", s, bad.Start, bad.End)
		}
	}
}

// If one match is said to cover another, every request that the other takes is
// taken by it: found out with many matches and requests of a small world.
func TestCovers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	patterns := []string{"/", "/*", "/a", "/a/", "/a/*", "/a/b", "/a/{x}", "/{x}", "/{x}/*", "/{x}/b", "/a/b/*"}
	networks := []string{"10.0.0.0/8", "10.1.0.0/16", "10.1.1.1", "fd00::/8", "0.0.0.0/0"}
	values := []string{"any", "1", "2"}
	var random func(depth int) *Match
	random = func(depth int) *Match {
		m := &Match{}
		for range r.IntN(3) {
			m.Path = append(m.Path, pattern(t, pick(patterns...)))
		}
		for range r.IntN(3) / 2 * 2 {
			m.Method = append(m.Method, Method(pick("GET", "HEAD", "POST")))
		}
		if r.IntN(4) == 0 {
			m.Field = map[string][]string{pick("X-A", "x-a", "X-B"): {pick(values...)}}
		}
		if r.IntN(4) == 0 {
			m.Query = map[string][]string{pick("q", "p"): {pick(values...), pick(values...)}}
		}
		if r.IntN(4) == 0 {
			var n Network
			if err := n.UnmarshalText([]byte(pick(networks...))); err != nil {
				t.Fatal(err)
			}
			m.Client = []Network{n}
		}
		if depth > 0 && r.IntN(3) == 0 {
			m.Not = random(depth - 1)
		}
		return m
	}
	var requests []*Request
	for range 300 {
		q := &Request{Method: pick("GET", "HEAD", "POST"), Path: pick("/", "/a", "/a/", "/a/b", "/a/c", "/c", "/c/b", "/a/b/c", "/c/d/e"),
			Field: map[string][]string{}, Query: map[string][]string{}, Client: netip.MustParseAddr(pick("10.1.1.1", "10.1.2.3", "10.9.9.9", "fd00::1", "192.0.2.1", "::ffff:10.1.1.1"))}
		for _, name := range []string{"X-A", "X-B"} {
			if r.IntN(2) == 0 {
				q.Field[name] = []string{pick("1", "2", "3")}
			}
		}
		for _, name := range []string{"q", "p"} {
			if r.IntN(2) == 0 {
				q.Query[name] = []string{pick("1", "2", "3")}
			}
		}
		requests = append(requests, q)
	}
	covered, everything := 0, 0
	for range 20_000 {
		a, b := random(1), random(1)
		covers := a.covers(b)
		if covers {
			covered++
		}
		if a.everything() {
			everything++
		}
		for _, q := range requests {
			if a.everything() && !a.Takes(q) {
				t.Fatalf("%+v is said to take everything and leaves %+v", a, q)
			}
			if covers && b.Takes(q) && !a.Takes(q) {
				t.Fatalf("%+v is said to cover %+v, and only the latter takes %+v", a, b, q)
			}
		}
	}
	if covered < 500 || everything < 100 {
		t.Errorf("%d pairs cover, %d matches take everything: the test has lost its way", covered, everything)
	}
}

// What covers should see at least.
func TestCoversThese(t *testing.T) {
	match := func(s string) *Match {
		l := read("sites: { any: [ { match: " + s + ", proxy: :3000 } ] }\n")
		if l.Report.Failed() {
			t.Fatalf("%s: %s", s, rendered(l.Report))
		}
		return &l.Gateway.Sites["any"].Routes[0].Match
	}
	for _, c := range []struct{ a, b string }{
		{"/*", "/a"}, {"/a/*", "/a"}, {"/a/*", "/a/b/*"}, {`"/a/{x}"`, "/a/b"}, {`"/{x}/*"`, "/a/*"}, {"[/a, /b/*]", "[/b/c, /a]"},
		{"{ method: [GET, POST] }", "{ method: GET, path: /x }"}, {"{ client: 10.0.0.0/8 }", "{ client: [10.1.0.0/16, 10.2.3.4] }"},
		{"{ field: { X-A: any } }", "{ field: { x-a: 1, X-B: 2 } }"}, {"{ query: { a: [1, 2] } }", "{ query: { a: 2 } }"},
		{"{ not: /a }", "{ not: [/a, /b] }"},
	} {
		if !match(c.a).covers(match(c.b)) {
			t.Errorf("%s is not seen to cover %s", c.a, c.b)
		}
	}
	for _, c := range []struct{ a, b string }{
		{"/a", "/a/*"}, {"/a/b/*", "/a/*"}, {"/a", `"/{x}"`}, {"{ method: GET }", "/a"}, {"{ client: 10.0.0.0/8 }", "{ client: 0.0.0.0/0 }"},
		{"{ field: { X-A: 1 } }", "{ field: { X-A: any } }"}, {"{ not: [/a, /b] }", "{ not: /a }"}, {`"/{x}"`, "/"},
	} {
		if match(c.a).covers(match(c.b)) {
			t.Errorf("%s is said to cover %s", c.a, c.b)
		}
	}
}

// How long a check takes; a person should not notice it for 10 000 routes.
func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1, 1000, 10_000} {
		var one, many strings.Builder
		one.WriteString("sites:\n  any:\n")
		many.WriteString("sites:\n")
		for i := range n {
			fmt.Fprintf(&one, "    - { match: /p%d/*, proxy: localhost:%d }\n", i, 1000+i%60000)
			fmt.Fprintf(&many, "  \"http://s%d.example\": localhost:%d\n", i, 1000+i%60000)
		}
		for name, text := range map[string]string{"routes": one.String(), "sites": many.String()} {
			b.Run(fmt.Sprint(name, "-", n), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					if l := read(text); len(l.Report.Problems) > 0 {
						b.Fatal(rendered(l.Report))
					}
				}
			})
		}
	}
}
