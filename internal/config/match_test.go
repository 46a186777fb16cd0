package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/route"
)

// What people write becomes what package route takes.
func TestMatchesAsRules(t *testing.T) {
	all := netip.MustParsePrefix("10.0.0.0/8")
	one := netip.MustParsePrefix("192.0.2.1/32")
	for text, want := range map[string]route.Match{
		"/api/*":                                     {Path: []string{"/api/*"}},
		`[/a, "/b/{c}"]`:                             {Path: []string{"/a", "/b/{c}"}},
		"{ method: GET }":                            {Method: []string{"GET"}},
		"{ field: { b: any, A: [x, y] } }":           {Field: []route.Condition{{Name: "A", Op: route.Equal, Values: []string{"x", "y"}}, {Name: "b", Op: route.Present}}},
		"{ query: { v: [1*, 2*] } }":                 {Query: []route.Condition{{Name: "v", Op: route.Prefix, Values: []string{"1", "2"}}}},
		"{ client: [10.0.0.0/8, 192.0.2.1] }":        {Client: []netip.Prefix{all, one}},
		"{ path: /a/*, not: /a/b/* }":                {Path: []string{"/a/*"}, Not: []route.Match{{Path: []string{"/a/b/*"}}}},
		"{ not: [/a, { method: PUT, path: /b/* }] }": {Not: []route.Match{{Path: []string{"/a"}}, {Method: []string{"PUT"}, Path: []string{"/b/*"}}}},
	} {
		l := read("sites: { any: [ { match: " + text + ", proxy: :3000 } ] }\n")
		if len(l.Report.Problems) > 0 {
			t.Errorf("%s: %s", text, rendered(l.Report))
			continue
		}
		got := l.Gateway.Sites["any"].Routes[0].Match.Rule()
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// What is no path is told with what to write, as far as somebody can know.
func TestPatternsRefused(t *testing.T) {
	for s, want := range map[string]string{
		"api": "/api", "api/*": "/api/*", "/api*": "/api/*", "/*/x": "", "/a*b/*": "", "/a//b": "", "/a/../b": "", "/a?b": "/a", "/a#b": "/a",
		"/{a": "", "/{}": "", "/{a}/{a}": "", "/x{a}": "", "^/a": "", "/a$": "", "~ /a": "", "GET /a": "", "get /a": "", "*.php": "", "/a;b": "",
		"https://a/": "", "*": "/*",
	} {
		var p Pattern
		err := p.UnmarshalText([]byte(s))
		var bad *conf.Bad
		if !errors.As(err, &bad) {
			t.Errorf("%s is accepted as %q", s, p)
			continue
		}
		if bad.With != want {
			t.Errorf("%s is better written %q, want %q (%+v)", s, bad.With, want, bad)
		}
		if bad.End > len(s) || bad.Start > bad.End || bad.Message == "" {
			t.Errorf("%s: %+v", s, bad)
		}
		if bad.With != "" {
			if err := new(Pattern).UnmarshalText([]byte(bad.With)); err != nil {
				t.Errorf("%s is suggested for %s and refused: %v", bad.With, s, err)
			}
		}
	}
	for _, s := range []string{"/", "/*", "/a", "/a/", "/a/*", "/{a}/b/{c}/*", "/caf\u00e9", "/a%20b"} {
		if err := new(Pattern).UnmarshalText([]byte(s)); err != nil {
			t.Errorf("%s: %v", s, err)
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
