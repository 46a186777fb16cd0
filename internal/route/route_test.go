package route

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/gatewhy/gatewhy/internal/message"
)

// ask makes a request: METHOD, target path, host and field lines.
func ask(method, host, path string, fields ...string) *Request {
	h := &message.Head{Major: 1, Minor: 1}
	put := func(s string) message.Span {
		at := uint32(len(h.Raw))
		h.Raw = append(h.Raw, s...)
		return message.Span{Off: at, Len: uint32(len(s))}
	}
	h.Method, h.Authority, h.Path = put(method), put(host), put(path)
	for _, line := range fields {
		name, value, _ := strings.Cut(line, ": ")
		f := message.Field{Name: put(name), Value: put(value), ID: message.LookupName([]byte(name))}
		if strings.ContainsAny(value, "\r\n") {
			f.Flags |= message.Folded
		}
		h.Fields = append(h.Fields, f)
	}
	return &Request{Head: h, Client: netip.MustParseAddr("192.0.2.7")}
}

func table(t testing.TB, sites ...Site) *Table {
	t.Helper()
	c, err := Compile(sites)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestHosts(t *testing.T) {
	all := []Match{{}}
	c := table(t,
		Site{Hosts: []string{"Example.org", "www.example.org."}, Routes: all}, // 0
		Site{Hosts: []string{"any.example.org"}, Routes: all},                 // 1
		Site{Hosts: []string{"*.deep.example.org"}, Routes: all},              // 2
		Site{Hosts: []string{"http://plain.example"}, Routes: all},            // 3
		Site{Hosts: []string{"both.example"}, Routes: all},                    // 4
		Site{Hosts: []string{"https://both.example"}, Routes: all},            // 5
		Site{Hosts: []string{"[2001:DB8::1]"}, Routes: all},                   // 6
		Site{Hosts: []string{"xn--bcher-kva.example"}, Routes: all},           // 7
		Site{Hosts: []string{"https://any"}, Routes: all},                     // 8
	)
	for _, tt := range []struct {
		host          string
		plain, secure int
	}{
		{"example.org", 0, 0},
		{"EXAMPLE.org:8080", 0, 0},
		{"example.org.", 0, 0},
		{"example.org.:80", 0, 0},
		{"example.org..", -1, 8},
		{"www.example.org", 0, 0},
		{"api.example.org", 1, 1},
		{"a.b.example.org", 1, 1},
		{"deep.example.org", 1, 1},
		{"a.deep.example.org", 2, 2},
		{"a.b.deep.example.org:1", 2, 2},
		{".example.org", -1, 8},
		{"xexample.org", -1, 8},
		{"org", -1, 8},
		{"plain.example", 3, 8},
		{"both.example", 4, 5},
		{"[2001:db8::1]", 6, 6},
		{"[2001:db8::1]:443", 6, 6},
		{"[2001:db8::2]", -1, 8},
		{"xn--bcher-kva.example", 7, 7},
		{"XN--bcher-KVA.example", 7, 7},
		{"", -1, 8},
		{strings.Repeat("a.", 500) + "example.org", 1, 1},
	} {
		for i, want := range []int{tt.plain, tt.secure} {
			r := ask("GET", tt.host, "/")
			r.Secure = i == 1
			var f Finder
			got := f.Find(c, r)
			if got.Site != want || (got.Outcome == NoSite) != (want < 0) {
				t.Errorf("%q, secure %v: %+v, want site %d", tt.host, r.Secure, got, want)
			}
		}
	}
}

// A host with a percent-encoding is, to some, another host: a site that is not
// for all of them does not take it.
func TestEncodedHost(t *testing.T) {
	c := table(t, Site{Hosts: []string{"example.org"}, Routes: []Match{{}}}, Site{Hosts: []string{"any"}, Routes: []Match{{}}})
	var f Finder
	if got := f.Find(c, ask("GET", "ex%61mple.org", "/")); got.Outcome != Ambiguous {
		t.Errorf("%+v, want Ambiguous", got)
	}
	c = table(t, Site{Hosts: []string{"any"}, Routes: []Match{{}}})
	if got := f.Find(c, ask("GET", "ex%61mple.org", "/")); got.Outcome != Owned {
		t.Errorf("%+v, want Owned: there is one site", got)
	}
}

func TestFirstMatchWins(t *testing.T) {
	c := table(t, Site{Hosts: []string{"any"}, Routes: []Match{
		0:  {Path: []string{"/api/v1/*"}, Method: []string{"POST", "PUT"}},
		1:  {Path: []string{"/api/*"}, Field: []Condition{{Name: "x-beta"}}},
		2:  {Path: []string{"/api/*"}, Query: []Condition{{"v", Equal, []string{"2"}}}},
		3:  {Path: []string{"/api/v1/users/{id}"}},
		4:  {Path: []string{"/api/v1/users/me"}}, // never reached: 3 takes it
		5:  {Path: []string{"/api/*"}, Client: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}},
		6:  {Path: []string{"/about", "/imprint"}},
		7:  {Path: []string{"/dir/"}},
		8:  {Path: []string{"/bücher/a b"}},
		9:  {Method: []string{"DELETE"}, Not: []Match{{Path: []string{"/keep/*"}}, {Field: []Condition{{"X-Sure", Equal, []string{"yes"}}}}}},
		10: {Field: []Condition{{"Accept", Prefix, []string{"text/"}}}, Path: []string{"/{lang}/page", "/page"}},
		11: {Path: []string{"/a%2fb/*"}},
		12: {Path: []string{"/"}},
	}})
	from := func(r *Request, ip string) *Request { r.Client = netip.MustParseAddr(ip); return r }
	for _, tt := range []struct {
		r    *Request
		want int
	}{
		{ask("POST", "", "/api/v1/x"), 0},
		{ask("PUT", "", "/api/v1"), 0},
		{ask("GET", "", "/api/v1"), -1},
		{ask("post", "", "/api/v1"), -1},
		{ask("GET", "", "/api/v1/x", "X-Beta: "), 1},
		{ask("POST", "", "/api/v1/x", "X-Beta: "), 0},
		{ask("GET", "", "/api?v=2"), 2},
		{ask("GET", "", "/api/?a=1&v=%32&b"), 2},
		{ask("GET", "", "/api/?v=2&v=3"), -1},
		{ask("GET", "", "/api/?v=2&v=2"), 2},
		{ask("GET", "", "/api/?v="), -1},
		{ask("GET", "", "/api/v1/users/7"), 3},
		{ask("GET", "", "/api/v1/users/me"), 3},
		{ask("GET", "", "/api/v1/users/"), -1},
		{ask("GET", "", "/api/v1/users"), -1},
		{ask("GET", "", "/api/v1/users/7/x"), -1},
		{from(ask("GET", "", "/api/v1/users/7/x"), "10.1.2.3"), 5},
		{from(ask("GET", "", "/api/v1/users/7/x"), "::ffff:10.1.2.3"), -1}, // callers unmap
		{from(ask("GET", "", "/api"), "2001:db8::9"), 5},
		{ask("GET", "", "/about"), 6},
		{ask("GET", "", "/imprint?x"), 6},
		{ask("GET", "", "/about/"), -1},
		{ask("GET", "", "/About"), -1},
		{ask("GET", "", "/dir/"), 7},
		{ask("GET", "", "/dir"), -1},
		{ask("GET", "", "/b%C3%BCcher/a%20b"), 8},
		{ask("GET", "", "/b%c3%bccher/%61%20b"), 8},
		{ask("DELETE", "", "/x"), 9},
		{ask("DELETE", "", "/keep"), -1},
		{ask("DELETE", "", "/x", "X-Sure: yes"), -1},
		{ask("DELETE", "", "/x", "X-Sure: no"), 9},
		{ask("DELETE", "", "/x", "X-Sure: yes", "X-Sure: yes"), 9}, // "yes, yes"
		{ask("GET", "", "/en/page", "Accept: text/html"), 10},
		{ask("GET", "", "/page", "Accept: text/html"), 10},
		{ask("GET", "", "/page", "Accept: */*", "Accept: text/html"), -1},
		{ask("GET", "", "//page", "Accept: text/html"), -2},
		{ask("GET", "", "/a%2Fb/c"), -2}, // /a/b/c to others, which is nobody's
		{ask("GET", "", "/"), 12},
		{ask("GET", "", "/?"), 12},
		{ask("OPTIONS", "", "*"), -1},
		{ask("DELETE", "", "*"), 9},
	} {
		var f Finder
		got := f.Find(c, tt.r)
		name := string(tt.r.Head.Raw)
		switch tt.want {
		case -2:
			if got.Outcome != Ambiguous {
				t.Errorf("%s: %+v, want Ambiguous", name, got)
			}
		case -1:
			if got.Outcome != NoRoute || got.Route != -1 {
				t.Errorf("%s: %+v, want NoRoute", name, got)
			}
		default:
			if got.Outcome != Owned || got.Route != tt.want {
				t.Errorf("%s: %+v, want route %d", name, got, tt.want)
			}
		}
	}
}

// What two parsers could read differently picks no route silently, and is no
// matter where all readings lead to the same.
func TestReadings(t *testing.T) {
	c := table(t, Site{Hosts: []string{"any"}, Routes: []Match{
		{Path: []string{"/admin/*"}},
		{Path: []string{"/api/*"}},
		{},
	}})
	const ambiguous = -2
	for path, want := range map[string]int{
		"/admin":                0,
		"/%61dmin":              0,
		"/adm%69n/x":            0,
		"/Admin":                2,
		"/%41dmin":              2,
		"/api/x/../y":           1,
		"/api/./x":              1,
		"/api/..;/x":            ambiguous, // /x to a Java server
		"/api/..;/admin":        ambiguous,
		"/api/x;v=1/y":          1,
		"/api/items;v=1":        1,
		"/api/../admin":         ambiguous, // as it stands it is below /api
		"/api/%2e%2e/admin":     ambiguous,
		"/api/.%2E/x":           ambiguous,
		"/api/..%2fadmin":       ambiguous,
		"/api/..%5cadmin":       ambiguous,
		`/api/..\admin`:         ambiguous,
		"/api/%2Fadmin":         1,
		"/%2Fadmin":             ambiguous,
		"//admin":               ambiguous,
		"/x//y":                 2,
		"/api//x":               1,
		"/api//../x":            ambiguous, // /x to who merges slashes first
		"/admin%00/x":           ambiguous,
		"/admin%00":             ambiguous,
		"/api%00":               ambiguous,
		"/api/a%00":             1,
		"/admin;x/y":            ambiguous,
		"/;/admin":              ambiguous,
		"/api/...":              1,
		"/api/.well-known":      1,
		"/..":                   2,
		"/../admin":             ambiguous,
		"/admin/..":             ambiguous,
		"/admin/../admin":       0,
		"/api/%":                1,
		"/api/%zz":              1,
		"/admin%2":              2,
		"/x/%252e%252e/admin":   2,
		"/x?y=/../admin//%2F;z": 2,
		"*":                     2,
	} {
		var f Finder
		got := f.Find(c, ask("GET", "a", path))
		if want == ambiguous {
			if got.Outcome != Ambiguous || got.Other == got.Route {
				t.Errorf("%s: %+v, want Ambiguous", path, got)
			}
		} else if got.Outcome != Owned || got.Route != want {
			t.Errorf("%s: %+v, want route %d", path, got, want)
		}
	}
	// What would cost too much to read is not read.
	for path, want := range map[string]Outcome{
		"/api/" + strings.Repeat("a/", 4000) + "/b":          Owned,
		"/api/" + strings.Repeat("a/", 4200) + "/b":          Ambiguous,
		"/api/" + strings.Repeat("a/", 400) + "//;.%2F/b":    Owned,
		"/api/" + strings.Repeat("a/", 600) + "//;.%2F/b":    Ambiguous,
		"/api/" + strings.Repeat("a/", 100_000) + "%C3%BC/b": Owned,
	} {
		var f Finder
		if got := f.Find(c, ask("GET", "a", path)); got.Outcome != want {
			t.Errorf("%d bytes that end in %s: %+v, want %d", len(path), path[len(path)-5:], got, want)
		}
	}
	// One route that takes everything: nothing to be in doubt about.
	var f Finder
	c = table(t, Site{Hosts: []string{"any"}, Routes: []Match{{}}})
	if got := f.Find(c, ask("GET", "a", "/api/../admin//%2F;x")); got.Outcome != Owned {
		t.Errorf("%+v, want Owned", got)
	}
}

func TestNormalForm(t *testing.T) {
	for path, want := range map[string]string{
		"/":            "/",
		"/a/b/..":      "/a/",
		"/a/b/../":     "/a/",
		"/a/b/../c":    "/a/c",
		"/a/./b":       "/a/b",
		"/a/.":         "/a/",
		"/..":          "/",
		"/../..":       "/",
		"/../a":        "/a",
		"/a/../../b":   "/b",
		"/a//b":        "/a//b",
		"/a//../b":     "/a/b",
		"/%7euser":     "/~user",
		"/%2f%3a":      "/%2F%3A",
		"/%c3%bc":      "/%C3%BC",
		"/%2e%2e/x":    "/x",
		"/%":           "/%25",
		"/%4":          "/%254",
		"/%4g":         "/%254g",
		"/%%610":       "/%25a0",
		"*":            "*",
		"/a/b/c/./../": "/a/b/",
	} {
		if got := string(appendReading(nil, []byte(path), 0)); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestCapture(t *testing.T) {
	c := table(t, Site{Hosts: []string{"any"}, Routes: []Match{
		{Path: []string{"/blog/{slug}", "/{year}/{slug}/*"}},
		{},
	}})
	for _, tt := range []struct{ path, year, slug string }{
		{"/blog/a%20b", "", "a%20b"},
		{"/2026/x/y/z", "2026", "x"},
		{"/%32026/x", "2026", "x"},
		{"/", "", ""},
	} {
		var f Finder
		found := f.Find(c, ask("GET", "a", tt.path+"?q"))
		if year, slug := string(f.Capture(found, "year")), string(f.Capture(found, "slug")); year != tt.year || slug != tt.slug {
			t.Errorf("%s: %q and %q, want %q and %q", tt.path, year, slug, tt.year, tt.slug)
		}
	}
}

// Fields that the client gives to Connection are gone before the upstream could
// see them, folded lines are one, and a joined value has room for what rules hold.
func TestFieldValues(t *testing.T) {
	long := strings.Repeat("x", MaxValue)
	c := table(t, Site{Hosts: []string{"any"}, Routes: []Match{
		{Field: []Condition{{"X-A", Equal, []string{"one two"}}}},
		{Field: []Condition{{"X-A", Equal, []string{"b, c"}}}},
		{Field: []Condition{{"X-A", Equal, []string{long}}}},
		{Field: []Condition{{"X-A", Prefix, []string{long[1:] + ","}}}},
		{Field: []Condition{{"X-A", Present, nil}}},
	}})
	hop := ask("GET", "", "/", "X-A: b, c")
	hop.Head.Fields[0].Flags |= message.Drop
	for i, tt := range []struct {
		r    *Request
		want int
	}{
		{ask("GET", "", "/", "x-a: one\r\n two"), 0},
		{ask("GET", "", "/", "X-A: b", "Other: 1", "X-A: c"), 1},
		{ask("GET", "", "/", "X-A: "+long), 2},
		{ask("GET", "", "/", "X-A: "+long+"x"), 4},
		{ask("GET", "", "/", "X-A: "+long, "X-A: 1"), 4},
		{ask("GET", "", "/", "X-A: "+long[1:], "X-A: 1"), 3},
		{ask("GET", "", "/", "X-A: one\r\n two", "X-A: "+long+long), 4},
		{hop, -1},
		{ask("GET", "", "/"), -1},
	} {
		var f Finder
		if got := f.Find(c, tt.r); got.Route != tt.want {
			t.Errorf("%d: %+v, want %d", i, got, tt.want)
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		site Site
		want string
	}{
		{Site{}, "at least one host"},
		{Site{Hosts: []string{""}}, "no host"},
		{Site{Hosts: []string{"a.example:80"}}, "has no port"},
		{Site{Hosts: []string{"[::1]:80"}}, "has no port"},
		{Site{Hosts: []string{"::g"}}, "not an IPv6 address"},
		{Site{Hosts: []string{"http://a/b"}}, "has no path"},
		{Site{Hosts: []string{"a/b"}}, "has no path"},
		{Site{Hosts: []string{"ftp://a"}}, "no scheme"},
		{Site{Hosts: []string{"u@a"}}, "no user name"},
		{Site{Hosts: []string{"bücher.example"}}, "A-label"},
		{Site{Hosts: []string{"a..b"}}, "empty label"},
		{Site{Hosts: []string{"a.*.b"}}, "whole labels at the start"},
		{Site{Hosts: []string{"a b"}}, "cannot stand in a host name"},
		{Site{Hosts: []string{strings.Repeat("a", 64)}}, "more than 63"},
		{Site{Hosts: []string{"a", "A."}}, "names a twice"},
		{Site{Hosts: []string{"*.a", "any.a"}}, "names any.a twice"},
		{route("api"), "write /api"},
		{route("*"), "write /*"},
		{route(""), "begins with /"},
		{route("http://a/b"), "no scheme"},
		{route("/a?b"), "query"},
		{route("/a#b"), "never sent"},
		{route("/a*"), "whole segments"},
		{route("/*/a"), "write {name}"},
		{route("/a//b"), "empty segment"},
		{route("/a/../b"), "dot segments"},
		{route("/a/%2e%2E/b"), "dot segment"},
		{route("/x{id}"), "no capture"},
		{route("/{}"), "no capture"},
		{route("/{a}/{a}"), "stands there twice"},
		{route("/a;b"), "do not agree"},
		{route("/%4"), "percent-encoding"},
		{with(Match{Method: []string{"get"}}), "write GET"},
		{with(Match{Method: []string{"G T"}}), "no method"},
		{with(Match{Field: []Condition{{"X A", Present, nil}}}), "no field name"},
		{with(Match{Field: []Condition{{"host", Equal, []string{"a"}}}}), "chooses the site"},
		{with(Match{Field: []Condition{{"A", Equal, []string{" x"}}}}), "no field has the value"},
		{with(Match{Field: []Condition{{"A", Equal, []string{strings.Repeat("x", MaxValue+1)}}}}), "at most 256"},
		{with(Match{Field: []Condition{{"A", Present, []string{"x"}}}}), "presence"},
		{with(Match{Field: []Condition{{"A", Equal, nil}}}), "no value to compare"},
		{with(Match{Query: []Condition{{"a", Equal, []string{"x y"}}}}), "as a space"},
		{with(Match{Query: []Condition{{"", Equal, []string{"x"}}}}), "names a parameter"},
		{with(Match{Client: []netip.Prefix{{}}}), "no network"},
		{with(Match{Not: []Match{{}}}), "keeps every request away"},
		{with(Match{Not: []Match{{Path: []string{"a"}}}}), "begins with /"},
	} {
		_, err := Compile([]Site{tt.site})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.site, err, tt.want)
		}
	}
	two := []Site{{Hosts: []string{"a.example"}}, {Hosts: []string{"b.example", "A.example"}}}
	list := Check(two)
	if len(list) != 1 || list[0].Site != 1 || list[0].OtherSite != 0 || list[0].Item != 1 || list[0].Warning {
		t.Errorf("%+v", list)
	}
}

func route(path string) Site { return with(Match{Path: []string{path}}) }
func with(m Match) Site      { return Site{Hosts: []string{"any"}, Routes: []Match{m}} }

func TestUnreachable(t *testing.T) {
	net := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	for _, tt := range []struct {
		name  string
		sites []Match
		want  string // route:by
	}{
		{"nothing", []Match{{Path: []string{"/a"}}, {Path: []string{"/b"}}}, ""},
		{"prefix", []Match{{Path: []string{"/api/*"}}, {Path: []string{"/api/v1/*"}}}, "1:0"},
		{"the root of a prefix", []Match{{Path: []string{"/api/*"}}, {Path: []string{"/api"}}}, "1:0"},
		{"not the other way round", []Match{{Path: []string{"/api"}}, {Path: []string{"/api/*"}}}, ""},
		{"capture", []Match{{Path: []string{"/u/{id}"}}, {Path: []string{"/u/me"}}}, "1:0"},
		{"a capture is not empty", []Match{{Path: []string{"/u/{id}"}}, {Path: []string{"/u/"}}}, ""},
		{"a literal does not take a capture", []Match{{Path: []string{"/u/me"}}, {Path: []string{"/u/{id}"}}}, ""},
		{"everything", []Match{{}, {Path: []string{"/a"}}, {}}, "1:0 2:0"},
		{"all by /*", []Match{{Path: []string{"/*"}}, {Path: []string{"/a"}}}, "1:0"},
		{"two paths, each taken", []Match{{Path: []string{"/a"}}, {Path: []string{"/b"}}, {Path: []string{"/a", "/b"}}}, "2:0"},
		{"two paths, one taken", []Match{{Path: []string{"/a"}}, {Path: []string{"/a", "/b"}}}, ""},
		{"method", []Match{{Method: []string{"GET", "POST"}}, {Method: []string{"GET"}}}, "1:0"},
		{"more methods", []Match{{Method: []string{"GET"}}, {Method: []string{"GET", "POST"}}}, ""},
		{"field", []Match{{Field: []Condition{{"x-a", Present, nil}}}, {Field: []Condition{{"X-A", Equal, []string{"1"}}}}}, "1:0"},
		{"field prefix", []Match{{Field: []Condition{{"x-a", Prefix, []string{"1"}}}}, {Field: []Condition{{"X-A", Equal, []string{"12"}}}}}, "1:0"},
		{"field value", []Match{{Field: []Condition{{"x-a", Equal, []string{"1"}}}}, {Field: []Condition{{"X-A", Present, nil}}}}, ""},
		{"values", []Match{{Field: []Condition{{"x-a", Equal, []string{"1", "2"}}}}, {Field: []Condition{{"X-A", Equal, []string{"2"}}}}}, "1:0"},
		{"more values", []Match{{Field: []Condition{{"x-a", Equal, []string{"1"}}}}, {Field: []Condition{{"X-A", Equal, []string{"1", "2"}}}}}, ""},
		{"query", []Match{{Query: []Condition{{"a", Present, nil}}}, {Query: []Condition{{"a", Equal, []string{"1"}}}}}, "1:0"},
		{"client", []Match{{Client: net("10.0.0.0/8")}, {Client: net("10.1.0.0/16")}}, "1:0"},
		{"wider client", []Match{{Client: net("10.1.0.0/16")}, {Client: net("10.0.0.0/8")}}, ""},
		{"not", []Match{{Not: []Match{{Path: []string{"/a/*"}}}}, {Path: []string{"/b"}}}, ""},
		{"not in both", []Match{{Not: []Match{{Path: []string{"/a/b"}}}}, {Not: []Match{{Path: []string{"/a/*"}}}}}, "1:0"},
		{"narrower not", []Match{{Not: []Match{{Path: []string{"/a/*"}}}}, {Not: []Match{{Path: []string{"/a/b"}}}}}, ""},
	} {
		var got []string
		for _, p := range Check([]Site{{Hosts: []string{"a.example"}, Routes: tt.sites}}) {
			got = append(got, fmt.Sprintf("%d:%d", p.Route, p.OtherRoute))
			if !p.Warning || !strings.Contains(p.Text, "//a.example/") {
				t.Errorf("%s: %+v", tt.name, p)
			}
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, s, tt.want)
		}
	}
}

func TestNear(t *testing.T) {
	c := table(t,
		Site{Hosts: []string{"shop.example.org", "http://plain.example.org", "any.apps.example.net"}, Routes: []Match{
			{Path: []string{"/api/*"}, Method: []string{"POST"}}, {Path: []string{"/images/{name}"}}, {Path: []string{"/about"}}, {Path: []string{"/dir/"}},
		}},
		Site{Hosts: []string{"example.com"}},
	)
	for host, want := range map[string]string{
		"shop.exmaple.org":     "shop.example.org",
		"shop.example.or:8080": "shop.example.org",
		"www.example.com":      "example.com",
		"apps.example.net":     "any.apps.example.net",
		"x.aps.example.net":    "any.apps.example.net",
		"quite.different.test": "",
		"192.0.2.1":            "",
		"":                     "",
	} {
		if got := c.NearHost(false, []byte(host)); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
	if got := c.NearHost(true, []byte("plain.example.org")); got != "http://plain.example.org" {
		t.Errorf("the other scheme: %q", got)
	}
	for path, want := range map[string]string{
		"/api/x":     "/api/*", // the method does not match
		"/aip/x":     "/api/*",
		"/API/x":     "/api/*",
		"/image/a":   "/images/{name}",
		"/about/":    "/about",
		"/abuot?x=1": "/about",
		"/dir":       "/dir/",
		"/zzz":       "",
		"/":          "",
		"*":          "",
	} {
		if got := c.NearPath(0, []byte(path)); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	c := table(t, Site{Hosts: []string{"example.org"}, Routes: []Match{{Path: []string{"/a"}}, {}}}, Site{Name: "rest", Hosts: []string{"any"}, Routes: []Match{{}}})
	if got := c.ID(0, 1) + " " + c.ID(1, 0) + " " + c.SiteName(1); got != "example.org#2 rest#1 rest" {
		t.Error(got)
	}
}

func TestFindAllocatesNothing(t *testing.T) {
	c := table(t, many(100, 100)...)
	var f Finder
	for _, r := range []*Request{
		ask("GET", "h42.example.org", "/api/r42/x?a=1", "X-A: 1"),
		ask("GET", "a.w42.example.org:80", "/api/r42/x"),
		ask("GET", "h42.example.org", "/b%C3%BCcher/../api/%2F/"),
		ask("GET", "nobody.example", "/"),
	} {
		f.Find(c, r)
		if n := testing.AllocsPerRun(100, func() { f.Find(c, r) }); n != 0 {
			t.Errorf("%s: %v allocations", r.Head.Raw, n)
		}
	}
}

// many makes sites with routes each.
func many(sites, routes int) (list []Site) {
	for i := range sites {
		s := Site{Hosts: []string{fmt.Sprintf("h%d.example.org", i), fmt.Sprintf("any.w%d.example.org", i)}}
		for j := range routes {
			s.Routes = append(s.Routes, Match{Path: []string{fmt.Sprintf("/api/r%d/*", j)}})
		}
		list = append(list, s)
	}
	return list
}

var sinkFound Found

func benchmark(b *testing.B, sites []Site, requests []*Request) {
	c := table(b, sites...)
	var f Finder
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		sinkFound = f.Find(c, requests[i])
		if i++; i == len(requests) {
			i = 0
		}
	}
}

func BenchmarkSites(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var requests []*Request
			for i := range 1000 {
				requests = append(requests, ask("GET", fmt.Sprintf("h%d.example.org:8080", i*7919%n), "/api/r0/x/y?z=1"))
			}
			benchmark(b, many(n, 1), requests)
		})
	}
}

func BenchmarkRoutes(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var requests []*Request
			for i := range 1000 {
				requests = append(requests, ask("GET", "h0.example.org:8080", fmt.Sprintf("/api/r%d/x/y?z=1", i*7919%n)))
			}
			benchmark(b, many(1, n), requests)
		})
	}
}

// Routes that differ in a field only.
func BenchmarkFields(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := Site{Hosts: []string{"any"}}
			for j := range n {
				s.Routes = append(s.Routes, Match{Path: []string{"/api/*"}, Field: []Condition{{"X-Tenant", Equal, []string{fmt.Sprint("t", j)}}}})
			}
			var requests []*Request
			for i := range 1000 {
				requests = append(requests, ask("GET", "h0.example.org:8080", "/api/x/y?z=1", "X-Tenant: t"+fmt.Sprint(i*7919%n)))
			}
			benchmark(b, []Site{s}, requests)
		})
	}
}

func BenchmarkAnything(b *testing.B) {
	benchmark(b, []Site{{Hosts: []string{"any"}, Routes: []Match{{}}}}, []*Request{ask("GET", "h0.example.org:8080", "/api/x/y?z=1")})
}

func BenchmarkCheck10000(b *testing.B) {
	sites := many(1, 10_000)
	for b.Loop() {
		if l := Check(sites); len(l) != 0 {
			b.Fatal(l[0])
		}
	}
}

func BenchmarkNearHost10000(b *testing.B) {
	c := table(b, many(10_000, 1)...)
	for b.Loop() {
		if c.NearHost(false, []byte("nobody.example.com")) == "x" {
			b.Fatal()
		}
	}
}
