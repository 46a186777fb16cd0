package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/config"
	"github.com/gatewhy/gatewhy/internal/gateway"
)

// effect is what a plan makes of a configuration.
type effect struct {
	Options              gateway.Options
	At                   []string
	Log, LogFile, RunDir string
	Drain                time.Duration
	Connections          string
}

func effectOf(t *testing.T, tree any) (effect, error) {
	t.Helper()
	text, err := json.Marshal(tree) // which is YAML
	if err != nil {
		t.Fatal(err)
	}
	l := config.Load(config.Source{Path: "gatewhy.yaml", Files: oneFile(text)})
	for _, p := range l.Report.Problems {
		if p.Level == conf.Error && !slices.Contains([]string{"missing_file", "bad_certificate", "missing_key", "tls_without_certificate"}, p.Name) {
			t.Fatalf("%s\n%s: %s", text, p.Name, p.Message)
		}
	}
	p, err := planOf(l, "gatewhy.yaml")
	if err != nil {
		return effect{}, err
	}
	e := effect{p.options, nil, strings.TrimSpace(fmt.Sprint(p.log, " ", p.logTemplate, " ", p.logSample)), p.logFile, fmt.Sprint(p.runDir, " ", p.admin, " ", p.token, " ", p.upgrade), p.drain, p.connections}
	for _, at := range p.at {
		e.At = append(e.At, at.Written())
	}
	return e, nil
}

// strange are values of keys that their type does not tell.
var strange = map[string]any{
	"/node": "edge-1", "/listen/http": ":8081", "/listen/https": ":8443", "/tls/certificates/0/cert": "/x.pem", "/tls/certificates/0/key": "/x.key",
	"/errors/contact": "ops@example.org", "/resolver": "127.0.0.1:53", "/log/file": "/x.log", "/upstreams/app/health/grpc": true, "/upstreams/app/health/service": "a.B", "/upstreams/app/health/expect": "/ok/", "/tls/clients/ca": "/ca.pem", "/tls/clients/optional": true, "/tls/clients/forward": true, "/tls/acme/ca": "https://ca.example/dir", "/tls/acme/ask": "http://localhost:9/ask", "/tls/acme/email": "a@b.example", "/tls/acme/ca-root": "/ca.pem", "/tls/acme/storage": "/s", "/tls/acme/when": "off", "/log/template": "${url.path}", "/log/sample": 0.5, "/admin/dir": "/x", "/admin/token": "/token", "/admin/listen": "localhost:2502", "/upstreams/app/balance/key": "cookie:sid", "/trusted-proxies": "10.0.0.0/8", "/listen/proxy-protocol": "10.0.0.0/8", "/request-id/field": "X-Request-Id", "/request-id/reply": true, "/trace/on": true, "/trace/sample": 0.5, "/upstreams/app/eject/share": 0.3, "/upstreams/app/adaptive/on": true,
	"/upstreams/app/to/0/to": "app:3001", "/upstreams/app/to/0/zone": "b", "/zone": "a",
	"/limits/proxy-header":       "8KiB",
	"/upstreams/app/health/path": "/healthz", "/upstreams/app/health/host": "h.example", "/upstreams/app/health/status": "204",
	"/upstreams/app/tls/ca": "/ca.pem", "/upstreams/app/tls/cert": "/x.pem", "/upstreams/app/tls/key": "/x.key",
	"/upstreams/app/tls/server-name": "name.example", "/upstreams/app/tls/sni": "sni.example",
	"/sites/any/routes/0/match/path": "/x", "/sites/any/routes/0/match/method": "POST", "/sites/any/routes/0/match/client": "10.0.0.0/8",
	"/sites/any/routes/0/match/field": map[string]any{"X-A": "1"}, "/sites/any/routes/0/match/query": map[string]any{"a": "1"},
	"/sites/any/routes/0/match/not": map[string]any{"path": "/x"}, "/sites/any/routes/0/proxy": "app:3002", "/http2/control": 500, "/engine/name": "portable",
}

// also are keys that another one needs beside it.
var also = map[string]map[string]any{
	"/tls/certificates/0/key":       {"/tls/certificates/0/cert": "/x.pem"},
	"/tls/certificates/0/cert":      {"/listen/https": ":8443"},
	"/tls/self-signed":              {"/listen/https": ":8443"},
	"/tls/redirect":                 {"/listen/https": ":8443", "/tls/self-signed": true, "/sites/shop.example.com": "app"},
	"/tls/acme/when":                {"/listen/https": ":8443", "/tls/self-signed": true, "/sites/shop.example.com": "app"},
	"/tls/internal":                 {"/listen/https": ":8443", "/sites/shop.internal": "app"},
	"/tls/acme/email":               {"/listen/https": ":8443", "/sites/shop.example.com": "app"},
	"/tls/acme/ca":                  {"/listen/https": ":8443", "/sites/shop.example.com": "app"},
	"/tls/acme/ca-root":             {"/listen/https": ":8443", "/sites/shop.example.com": "app"},
	"/tls/acme/storage":             {"/listen/https": ":8443", "/sites/shop.example.com": "app"},
	"/tls/acme/ask":                 {"/listen/https": ":8443", "/tls/self-signed": true},
	"/listen/https":                 {"/tls/self-signed": true},
	"/upstreams/app/tls/key":        {"/upstreams/app/tls/cert": "/x.pem"},
	"/upstreams/app/tls/ca":         {"/upstreams/app/to": "https://app"},
	"/upstreams/app/tls/verify":     {"/upstreams/app/to": "https://app"},
	"/upstreams/app/http2":          {"/upstreams/app/to": "https://app"},
	"/upstreams/app/health/host":    {"/upstreams/app/health/path": "/healthz"},
	"/upstreams/app/health/every":   {"/upstreams/app/health/path": "/healthz"},
	"/upstreams/app/health/timeout": {"/upstreams/app/health/path": "/healthz"},
	"/upstreams/app/health/rise":    {"/upstreams/app/health/path": "/healthz"},
	"/upstreams/app/health/fall":    {"/upstreams/app/health/path": "/healthz"},
	"/upstreams/app/health/expect":  {"/upstreams/app/health/path": "/healthz"},
	"/upstreams/app/health/service": {"/upstreams/app/health/grpc": true},
	"/upstreams/app/health/status":  {"/upstreams/app/health/path": "/healthz"},
	"/upstreams/app/to/0/weight":    {"/upstreams/app/to/0/to": "app:3001"},
	"/upstreams/app/to/0/backup":    {"/upstreams/app/to/0/to": "app:3001"},
	"/upstreams/app/to/0/zone":      {"/upstreams/app/to/0/to": "app:3001"},
	"/upstreams/app/pool/shared":    {"/upstreams/app/to": "https://app"},
}

// without have no effect on what runs: one says how to read the file, the other
// is gone once it is read.
var without = []string{"/version", "/include"}

// Nothing that a configuration can say is lost on the way to what runs.
func TestEveryKeyCounts(t *testing.T) {
	keys := 0
	for at, f := range leaves(reflect.TypeFor[config.Gateway](), "") {
		if slices.Contains(without, at) {
			continue
		}
		value, ok := strange[at]
		if !ok {
			value = sample(t, at, f)
		}
		before, after := base(), base()
		for beside, v := range also[at] {
			put(before, beside, v)
			put(after, beside, v)
		}
		put(after, at, value)
		a, err := effectOf(t, before)
		if err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		b, err := effectOf(t, after)
		keys++
		if err != nil {
			if s, _ := value.(string); s == "" || !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v", at, err)
			}
			continue // a file that is read
		}
		if gocmp.Equal(a, b, cmpopts.EquateComparable(), gocmp.Exporter(func(reflect.Type) bool { return true })) {
			t.Errorf("%s %v changes nothing of what runs", at, value)
		}
	}
	if keys < 70 {
		t.Errorf("%d keys were tried", keys)
	}
}

func base() map[string]any {
	return map[string]any{
		"listen":    map[string]any{"http": "127.0.0.1:8080"},
		"upstreams": map[string]any{"app": map[string]any{"to": "app:3000"}},
		"sites":     map[string]any{"any": map[string]any{"routes": []any{map[string]any{"proxy": "app"}, map[string]any{"proxy": "app"}}}},
	}
}

// put sets the value at a path.
func put(tree map[string]any, at string, value any) {
	parts := strings.Split(at[1:], "/")
	for i, p := range parts[:len(parts)-1] {
		if p == "0" {
			continue
		}
		switch next := tree[p].(type) {
		case map[string]any:
			tree = next
		case []any:
			tree = next[0].(map[string]any)
		default:
			m := map[string]any{}
			if tree[p] = m; parts[i+1] == "0" {
				tree[p] = []any{m}
			}
			tree = m
		}
	}
	tree[parts[len(parts)-1]] = value
}

// leaves are the keys that have no keys below them, by path.
func leaves(t reflect.Type, at string) map[string]conf.FieldInfo {
	all := map[string]conf.FieldInfo{}
	for _, f := range conf.Fields(t) {
		here, of := at+"/"+f.Key, f.Type
		switch here {
		case "/upstreams":
			here, of = here+"/app", reflect.TypeFor[config.Upstream]()
		case "/sites":
			here, of = here+"/any", reflect.TypeFor[config.Site]()
		case "/sites/any/routes":
			here, of = here+"/0", reflect.TypeFor[config.Route]()
		case "/tls/certificates":
			here, of = here+"/0", reflect.TypeFor[config.Certificate]()
		case "/upstreams/app/to":
			here, of = here+"/0", reflect.TypeFor[config.Endpoint]()
		}
		if _, known := strange[here]; !known && of.Kind() == reflect.Struct && len(conf.Fields(of)) > 0 {
			maps.Copy(all, leaves(of, here))
			continue
		}
		all[here] = f
	}
	return all
}

// sample is a value of a key that is not its default.
func sample(t *testing.T, at string, f conf.FieldInfo) any {
	t.Helper()
	if len(f.Enum) > 0 {
		return f.Enum[len(f.Enum)-1]
	}
	switch {
	case f.Type == reflect.TypeFor[time.Duration]():
		return "7s"
	case f.Type == reflect.TypeFor[conf.Size]():
		return "512KiB"
	case f.Type.Kind() == reflect.Bool:
		return slices.Contains([]string{"/upstreams/app/to/0/backup", "/tls/self-signed", "/upstreams/app/retry/idempotency-key", "/upstreams/app/health/connect"}, at)
	case f.Type.Kind() == reflect.Int:
		return 7
	case f.Type.Kind() == reflect.Float64:
		return 0.5
	}
	t.Fatalf("%s: no sample for a %s", at, f.Type)
	return nil
}

func TestRunHints(t *testing.T) {
	_, code, out, _ := inDir(t, map[string]string{"gatewhy.yaml": goodConfig}, nil, "")
	if code != 0 || !strings.Contains(out, "There is gatewhy.yaml: gatewhy run would serve it") {
		t.Errorf("%d %s", code, out)
	}
	_, code, _, talk := inDir(t, nil, nil, "", "run")
	if code != 1 || !strings.Contains(talk, "there is no gatewhy.yaml here") {
		t.Errorf("%d %s", code, talk)
	}
	_, code, out, _ = inDir(t, map[string]string{"gatewhy.yaml": goodConfig}, nil, "", "run", "-t")
	if code != 0 || !strings.Contains(out, "no problem found") {
		t.Errorf("%d %s", code, out)
	}
	_, code, _, talk = inDir(t, map[string]string{"other.yaml": wrongConfig}, map[string]string{"GATEWHY_CONFIG": "other.yaml"}, "", "run")
	if code != 3 || !strings.Contains(talk, "other.yaml:1:8") {
		t.Errorf("%d %s", code, talk)
	}
}
