package config

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// A gateway that is started from a configuration does what it says.
func TestGatewayFromConfig(t *testing.T) {
	var ends []string
	for _, name := range []string{"api", "web", "img"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, name) }))
		defer s.Close()
		ends = append(ends, strings.TrimPrefix(s.URL, "http://"))
	}
	l := read(strings.NewReplacer("API", ends[0], "WEB", ends[1], "IMG", ends[2]).Replace(`
listen: "127.0.0.1:0"
upstreams:
  api: { to: "API", retry: 1 }
sites:
  "http://one.example":
    - { match: /api/*, proxy: api }
    - { match: { method: POST, not: /upload }, proxy: api }
    - { match: { field: { X-Kind: [im*, pic*] } }, proxy: { to: "IMG" } }
    - proxy: "WEB"
  any.two.example: "IMG"
`))
	if len(l.Report.Problems) > 0 {
		t.Fatal(rendered(l.Report))
	}
	o, err := l.Gateway.Options()
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Drain(time.Second)
	address := g.Addresses()[0].String()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}}}
	for _, c := range []struct{ method, url, kind, want string }{
		{"GET", "http://one.example/", "", "web"},
		{"GET", "http://one.example/api", "", "api"},
		{"GET", "http://one.example/api/x", "", "api"},
		{"GET", "http://one.example/apis", "", "web"},
		{"POST", "http://one.example/x", "", "api"},
		{"POST", "http://one.example/upload", "", "web"},
		{"GET", "http://one.example/x", "image", "img"},
		{"GET", "http://one.example/x", "pi", "web"},
		{"GET", "http://one.example/x", "picture", "img"},
		{"GET", "http://a.two.example/", "", "img"},
		{"GET", "http://a.b.two.example/", "", "img"},
		{"GET", "http://two.example/", "", "404"},
		{"GET", "http://three.example/", "", "404"},
	} {
		r, err := http.NewRequest(c.method, c.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.kind != "" {
			r.Header.Set("X-Kind", c.kind)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		got := string(b)
		if answer.StatusCode != 200 {
			got = fmt.Sprint(answer.StatusCode)
		}
		if got != c.want {
			t.Errorf("%s %s, X-Kind %q: %.80q, want %s", c.method, c.url, c.kind, got, c.want)
		}
	}
}

// Each upstream has a name of its own, whoever named it.
func TestNamesOfUpstreams(t *testing.T) {
	l := read(`
upstreams: { web: :3000, old: :3001 }
sites:
  "http://a.example": [ web, { proxy: { to: :3000 } } ]
  "http://b.example": [ { match: /x, proxy: ":3000" }, { proxy: { to: :3000 } } ]
  "http://c.example": ":3000"
`)
	if l.Report.Failed() {
		t.Fatal(rendered(l.Report))
	}
	o, err := l.Gateway.Options()
	if err != nil {
		t.Fatal(err)
	}
	var names, routes []string
	for _, u := range o.Upstreams {
		names = append(names, u.Name)
	}
	for _, s := range o.Sites {
		for _, r := range s.Routes {
			routes = append(routes, s.Name+" "+r.To)
		}
	}
	if diff := cmp.Diff([]string{"old", "web", "http://a.example#2", ":3000", "http://b.example#2"}, names); diff != "" {
		t.Error(diff)
	}
	want := []string{"http://a.example web", "http://a.example http://a.example#2", "http://b.example :3000", "http://b.example http://b.example#2", "http://c.example :3000"}
	if diff := cmp.Diff(want, routes); diff != "" {
		t.Error(diff)
	}
}

// Files that have gone since the check are told.
func TestOptionsReadFiles(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, []byte("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "gatewhy.yaml")
	if err := os.WriteFile(path, []byte("upstreams: { app: { to: https://app, tls: { ca: ca.pem } } }\nsites: { any: app }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := Load(Source{Path: path})
	if l.Report.Failed() {
		t.Fatal(rendered(l.Report))
	}
	o, err := l.Gateway.Options()
	if err != nil {
		t.Fatal(err)
	}
	o.Listen = []loop.Address{{IP: netip.MustParseAddrPort("127.0.0.1:0")}}
	start := func() error {
		g, err := gateway.Start(o)
		if err == nil {
			g.Drain(time.Second)
		}
		return err
	}
	if err := start(); err == nil || !strings.Contains(err.Error(), "holds no certificate") {
		t.Error(err)
	}
	if err := os.Remove(ca); err != nil {
		t.Fatal(err)
	}
	if err := start(); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
	if again := Load(Source{Path: path}); !strings.Contains(rendered(again.Report), "missing_file") {
		t.Error(rendered(again.Report))
	}
}
