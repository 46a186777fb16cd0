package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/internal/conf"
)

// Each example is read without a word, means the same when it is written out
// with all its defaults and read again, and when it is laid out anew.
func TestExamples(t *testing.T) {
	for _, path := range examples(t) {
		l := Load(Source{Path: path, Env: environment})
		if len(l.Report.Problems) > 0 {
			t.Errorf("%s:\n%s", path, rendered(l.Report))
			continue
		}
		for _, all := range []bool{false, true} {
			text := string(l.Tree(all).YAML(all))
			again := Load(Source{Path: "gatewhy.yaml", Files: memory{"gatewhy.yaml": text}})
			if again.Report.Failed() {
				t.Errorf("%s, written (all: %v) and read again:\n%s\n%s", path, all, text, rendered(again.Report))
				continue
			}
			if lines := Differences(l, again); len(lines) > 0 {
				t.Errorf("%s, written (all: %v) and read again, differs: %q\n%s", path, all, lines, text)
			}
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out, err := conf.Format(conf.NewSource(path, string(b)), new(conf.Report))
		if err != nil || out == nil {
			t.Errorf("%s cannot be formatted: %v", path, err)
		}
	}
}

// The keys that everything.yaml has are all keys.
func TestEverythingIsEverything(t *testing.T) {
	l := Load(Source{Path: "testdata/examples/everything.yaml"})
	var missing []string
	var walk func(v reflect.Type, at conf.Path)
	walk = func(typ reflect.Type, at conf.Path) {
		for typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		for _, f := range conf.Fields(typ) {
			here := at.Key(f.Key)
			if _, ok := l.Places[here]; !ok && f.Key != "include" && f.Key != "certificates" && f.Key != "ca" && f.Key != "cert" && f.Key != "key" {
				missing = append(missing, string(here))
			}
			switch f.Type {
			case reflect.TypeFor[map[string]*Upstream]():
				walk(reflect.TypeFor[Upstream](), here.Key("api"))
			case reflect.TypeFor[map[string]*Site]():
				walk(reflect.TypeFor[Site](), here.Key("http://example.org"))
			case reflect.TypeFor[[]Route]():
				walk(reflect.TypeFor[Route](), here.Index(1))
			default:
				if k := f.Type.Kind(); (k == reflect.Struct || k == reflect.Pointer) && len(conf.Fields(deref(f.Type))) > 0 && f.Key != "not" {
					walk(f.Type, here)
				}
			}
		}
	}
	walk(reflect.TypeFor[Gateway](), "")
	if len(missing) > 0 {
		t.Errorf("testdata/examples/everything.yaml lacks %s", strings.Join(missing, ", "))
	}
}

func deref(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// The plain data of a configuration.
func TestPlainData(t *testing.T) {
	l := Load(Source{Path: "testdata/examples/smallest.yaml"})
	g := l.Gateway
	if l.Report.Failed() {
		t.Fatal(rendered(l.Report))
	}
	site := g.Sites["http://example.org"]
	if len(site.Routes) != 2 {
		t.Fatalf("site %+v", site)
	}
	api := g.Upstreams["api"]
	if site.Routes[0].Proxy.To != api || site.Routes[0].Proxy.Name != "api" || site.Routes[1].Proxy.To != g.Upstreams["web"] {
		t.Errorf("routes %+v", site.Routes)
	}
	if api.Timeout.Connect != time.Second || api.Timeout.FirstByte != 15*time.Second || api.Timeout.Read != time.Minute || api.Retry.Attempts != 3 || !api.Repair {
		t.Errorf("upstream %+v", api)
	}
	if len(api.To) != 2 || api.To[1].To.List[0].Host != "127.0.0.1" || api.To[1].To.List[0].Port != 3002 {
		t.Errorf("targets %+v", api.To)
	}
	if len(g.Listen.HTTP) != 1 || g.Listen.HTTP[0].Alternatives[0][0].IP != netip.MustParseAddrPort("127.0.0.1:8080") || len(g.Listen.HTTPS) != 0 {
		t.Errorf("listen %+v", g.Listen)
	}
	var names []string
	g.Each(func(name string, u *Upstream) { names = append(names, fmt.Sprint(name, " ", len(u.To))) })
	if diff := cmp.Diff([]string{"api 2", "web 1"}, names); diff != "" {
		t.Error(diff)
	}
}

// Routes that name the same target share its upstream; an upstream written in a
// route is its own.
func TestTargetsInRoutes(t *testing.T) {
	l := read(`
sites:
  "http://a.example":
    - { match: /x/*, proxy: localhost:3000 }
    - localhost:3000
  "http://b.example": { proxy: never }
  "http://c.example":
    - { match: /x/*, proxy: { to: [localhost:3000, localhost:3001], retry: 2 } }
    - { to: localhost:3000 }
    - proxy: { to: localhost:3000 }
`)
	a, c := l.Gateway.Sites["http://a.example"], l.Gateway.Sites["http://c.example"]
	if a.Routes[0].Proxy.To == nil || a.Routes[0].Proxy.To != a.Routes[1].Proxy.To || a.Routes[0].Proxy.To.Retry.Attempts != 3 {
		t.Errorf("%+v", a.Routes)
	}
	if p := c.Routes[0].Proxy; !p.Own || p.Name != "http://c.example#1" || p.To.Retry.Attempts != 2 || p.To.Timeout.Read != time.Minute {
		t.Errorf("%+v", p)
	}
	if p := c.Routes[2].Proxy; !p.Own || p.To == a.Routes[0].Proxy.To {
		t.Errorf("%+v", p)
	}
	var names []string
	for _, p := range l.Report.Problems {
		names = append(names, p.Name)
	}
	if !slices.Contains(names, "unknown_key") {
		t.Errorf("problems %v", names)
	}
}

// A flag wins over a variable, a variable over the file, the file over the
// default; and show says so.
func TestPrecedence(t *testing.T) {
	files := memory{"gatewhy.yaml": `
upstreams:
  a: { to: :3001, timeout: { connect: 1s, read: 2s }, repair: true }
  b: { to: :3002 }
sites: { "http://a.example": a, "http://b.example": b, "http://c.example": ":3003" }
limits: { head: 8KiB, line: 4KiB, start-line: 4KiB }
drain: 5s
`}
	set := map[string]conf.Origin{
		"timeout-connect": {Kind: conf.Flag, Name: "--timeout-connect"}, "timeout-read": {Kind: conf.Env, Name: "GATEWHY_TIMEOUT_READ"},
		"no-repair": {Kind: conf.Flag, Name: "--no-repair"}, "max-line": {Kind: conf.Flag, Name: "--max-line"},
	}
	values := map[string]string{"timeout-connect": "7s", "timeout-read": "9s", "no-repair": "true", "max-line": "2048"}
	l := Load(Source{Path: "gatewhy.yaml", Files: files, Set: func(name string) (string, conf.Origin, bool) {
		o, ok := set[name]
		return values[name], o, ok
	}})
	if len(l.Report.Problems) > 0 {
		t.Fatal(rendered(l.Report))
	}
	g := l.Gateway
	for name, u := range map[string]*Upstream{"a": g.Upstreams["a"], "b": g.Upstreams["b"], "target": g.Sites["http://c.example"].Routes[0].Proxy.To} {
		if u.Timeout.Connect != 7*time.Second || u.Timeout.Read != 9*time.Second || u.Repair {
			t.Errorf("%s: %+v", name, u)
		}
	}
	if g.Limits.Line != 2048 || g.Limits.StartLine != 2048 || g.Limits.Head != 8192 || g.Upstreams["a"].Limits.Line != 2048 || g.Drain != 5*time.Second {
		t.Errorf("%+v", g.Limits)
	}
	shown := string(l.Tree(true).YAML(true))
	for _, want := range []string{"connect: 7s", "# flag --timeout-connect", "# env GATEWHY_TIMEOUT_READ", "drain: 5s", "# gatewhy.yaml:7", "# default", "repair: false"} {
		if !strings.Contains(shown, want) {
			t.Errorf("show lacks %q:\n%s", want, shown)
		}
	}
}

// A flag with a bad value is told with its name and not with a place.
func TestBadFlag(t *testing.T) {
	l := Load(Source{Path: "gatewhy.yaml", Files: memory{"gatewhy.yaml": site}, Set: func(name string) (string, conf.Origin, bool) {
		return "soon", conf.Origin{Kind: conf.Env, Name: "GATEWHY_DRAIN"}, name == "drain"
	}})
	if got := rendered(l.Report); !strings.Contains(got, "`soon` is no duration\n  --> env GATEWHY_DRAIN\n") {
		t.Error(got)
	}
}

// The command line of gatewhy proxy is a configuration too.
func TestFromFlags(t *testing.T) {
	l := FromFlags(Source{Set: func(name string) (string, conf.Origin, bool) {
		return "15s", conf.Origin{Kind: conf.Flag, Name: "--timeout-first-byte"}, name == "timeout-first-byte"
	}}, []string{":8080", "http://127.0.0.1"}, []string{"localhost:3000", ":3001-3002"}, "app")
	if len(l.Report.Problems) > 0 {
		t.Fatal(rendered(l.Report))
	}
	want := `listen:
  http: [:8080, 127.0.0.1:80]       # flag arguments
upstreams:
  app:
    to: [localhost:3000, :3001-3002]  # flag arguments
    timeout:
      first-byte: 15s               # flag --timeout-first-byte
sites:
  any:
    - proxy: app                    # flag arguments
`
	got := string(l.Tree(false).YAML(true))
	if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if again := read(string(l.Tree(false).YAML(false))); len(again.Report.Problems) > 0 || len(Differences(l, again)) > 0 {
		t.Errorf("what is written for it means something else: %q %s", Differences(l, again), rendered(again.Report))
	}
	bad := FromFlags(Source{}, []string{"8080"}, []string{"app"}, "app")
	if got := rendered(bad.Report); strings.Count(got, "error[") != 2 || !strings.Contains(got, "missing_port") || !strings.Contains(got, "bad_address") {
		t.Error(got)
	}
	secure := FromFlags(Source{Set: func(name string) (string, conf.Origin, bool) {
		return "true", conf.Origin{Kind: conf.Flag, Name: "--tls-self-signed"}, name == "tls-self-signed"
	}}, []string{"https://:8443", "https://localhost"}, []string{":3000"}, "app")
	if len(secure.Report.Problems) > 0 || len(secure.Gateway.Listen.HTTPS) != 2 || secure.Gateway.Listen.HTTPS[1].Port != 443 || len(secure.Gateway.Listen.HTTP) != 0 {
		t.Errorf("%s %+v", rendered(secure.Report), secure.Gateway.Listen)
	}
}

func TestDifferences(t *testing.T) {
	base := `
upstreams:
  api: { to: [:3001, :3002], retry: 1 }
  web: :3003
sites:
  "http://example.org":
    - { match: /api/*, proxy: api }
    - { match: /img/*, proxy: web }
    - web
`
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"nothing but looks": {`
# a comment
sites: { "http://example.org": [ { proxy: api, match: { path: [/api/*] } }, { match: /img/*, proxy: web }, { proxy: web } ] }
upstreams: { web: { to: [":3003"] }, api: { to: [:3001, :3002], retry: { attempts: 1, budget: 0.2 } } }
drain: 30s
`, nil},
		"a value":                {strings.Replace(base, "retry: 1", "retry: 3", 1), []string{"upstream api: retry attempts 1 → 3"}},
		"a default made another": {base + "drain: 10s\n", []string{"drain: 30s → 10s"}},
		"targets":                {strings.Replace(base, ", :3002]", ", :3004, :3005]", 1), []string{"upstream api: to :3001, :3002 → :3001, :3004, :3005"}},
		"a route in the middle": {strings.Replace(base, "    - { match: /img", "    - { match: /new/*, proxy: :3009 }\n    - { match: /img", 1),
			[]string{"route 2 of http://example.org: new: match path /new/*, proxy :3009"}},
		"a route gone": {strings.Replace(base, "    - { match: /img/*, proxy: web }\n", "", 1),
			[]string{"route 2 of http://example.org: gone: match path /img/*, proxy web"}},
		"a route elsewhere": {strings.Replace(base, "- { match: /img/*, proxy: web }", "- { match: /img/*, proxy: api }", 1),
			[]string{"route 2 of http://example.org: proxy web → api"}},
		"a match":                  {strings.Replace(base, "/img/*,", "{ path: /img/*, method: GET },", 1), []string{"route 2 of http://example.org: match method GET, was unset"}},
		"a site":                   {base + "  any: web\n", []string{"site any: new: proxy web"}},
		"an upstream and its uses": {strings.ReplaceAll(strings.ReplaceAll(base, "web", "www"), "  www: :3003\n", "  www: { to: :3003, repair: false }\n"), nil},
	} {
		a, b := read(base), read(c.text)
		if a.Report.Failed() || b.Report.Failed() {
			t.Errorf("%s: %s", name, rendered(b.Report))
			continue
		}
		got := Differences(a, b)
		if name == "an upstream and its uses" {
			if len(got) != 4 || !strings.HasPrefix(got[0], "upstream web: gone: to :3003") || !strings.HasPrefix(got[1], "upstream www: new: to :3003") {
				t.Errorf("%s: %q", name, got)
			}
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A certificate is read with its key, and one that has expired is worth a word.
func TestCertificates(t *testing.T) {
	pair := func(end time.Time) (cert, key string) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.Add(-time.Hour), NotAfter: end, DNSNames: []string{"a.example"}}
		der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	}
	good, goodKey := pair(time.Now().Add(time.Hour))
	old, oldKey := pair(time.Now().Add(-time.Hour))
	load := func(section string) string {
		l := Load(Source{Path: "gatewhy.yaml", Files: memory{"gatewhy.yaml": "listen: { https: :443 }\n" + section + site,
			"good.pem": good, "good.key": goodKey, "old.pem": old + oldKey, "both.pem": goodKey + good}})
		var names []string
		for _, p := range l.Report.Problems {
			names = append(names, p.Name)
		}
		if strings.Contains(rendered(l.Report), "PRIVATE") {
			t.Error("a key is shown")
		}
		return strings.Join(names, " ")
	}
	for section, want := range map[string]string{
		"tls: { certificates: { cert: good.pem, key: good.key } }\n":    "",
		"tls: { certificates: [both.pem] }\n":                           "",
		"tls: both.pem\n":                                               "",
		"tls: { certificates: old.pem }\n":                              "certificate_expired",
		"tls: { certificates: { cert: good.pem, key: old.pem } }\n":     "bad_certificate",
		"tls: { certificates: { cert: good.pem } }\n":                   "bad_certificate",
		"tls: { certificates: { cert: good.key, key: good.key } }\n":    "bad_certificate",
		"tls: { certificates: { cert: good.pem, key: missing.key } }\n": "missing_file",
	} {
		if got := load(section); got != want {
			t.Errorf("%s: %q, want %q", section, got, want)
		}
	}
}

// Certificates that flags name come in two lists.
func TestCertificatesOfFlags(t *testing.T) {
	load := func(cert, key string) *Loaded {
		return Load(Source{Path: "gatewhy.yaml", Files: memory{"gatewhy.yaml": "listen: { https: :443 }\n" + site, "a": "", "b": "", "c": ""},
			Set: func(name string) (string, conf.Origin, bool) {
				v := map[string]string{"tls-cert": cert, "tls-key": key}[name]
				return v, conf.Origin{Kind: conf.Flag, Name: "--" + name}, v != ""
			}})
	}
	l := load("a,b", "c,c")
	if diff := cmp.Diff([]Certificate{{"a", "c"}, {"b", "c"}}, l.Gateway.TLS.Certificates); diff != "" {
		t.Error(diff)
	}
	if got := rendered(load("a,b", "c").Report); !strings.Contains(got, "2 certificates and 1 keys") {
		t.Error(got)
	}
}

// A path is relative to the file that it is written in.
func TestPathsAreRelativeToTheirFile(t *testing.T) {
	l := Load(Source{Path: "etc/gatewhy.yaml", Files: memory{
		"etc/gatewhy.yaml":    "include: conf.d/*.yaml\n" + site,
		"etc/conf.d/log.yaml": "log: { file: ../logs/access.log }\nadmin: /run/x\n",
	}, Env: func(string) (string, bool) { return "", false }})
	if len(l.Report.Problems) > 0 || l.Gateway.Log.File != filepath.Join("etc", "logs", "access.log") || l.Gateway.Admin.Dir != "/run/x" {
		t.Errorf("%q %q %s", l.Gateway.Log.File, l.Gateway.Admin.Dir, rendered(l.Report))
	}
}

// Secrets come from files that variables name.
func TestVariables(t *testing.T) {
	env := map[string]string{"A": "10.0.0.1", "B_FILE": "secret", "C_FILE": "missing", "D": "x y"}
	load := func(to string) string {
		l := Load(Source{Path: "gatewhy.yaml", Files: memory{"secret": "10.0.0.2\r\n", "gatewhy.yaml": "upstreams: { app: { to: '" + to + "' } }\nsites: { any: app }\n"},
			Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
		if len(l.Report.Problems) > 0 {
			return rendered(l.Report)
		}
		shown := string(l.Tree(false).YAML(true))
		return l.Gateway.Upstreams["app"].To[0].To.Text + " " + shown[strings.Index(shown, "#"):strings.Index(shown, "\nsites")]
	}
	for to, want := range map[string]string{
		"${env.A}:80":         "10.0.0.1:80 # env A",
		"${env.B}:80":         "10.0.0.2:80 # env B_FILE",
		"${env.A}:${env.A}":   "is not a port",
		"${env.C}:80":         "C_FILE: ",
		"${env.D}:80":         "the value comes from the environment: D",
		"${env.E}:80":         "the variable E is not set",
		"${A}:80":             "`${A}` stands for nothing",
		"${env.x-y}:80":       "stands for nothing",
		"${env.A:80":          "never closed",
		"${}:80":              "stands for nothing",
		"$env.A:80":           "cannot stand in a host name",
		"https://${env.A}":    "https://10.0.0.1 # env A",
		"${env.B}:${env.A}00": "not a port",
	} {
		if got := load(to); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", to, got, want)
		}
	}
}
