package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/incident"
)

func tree(t *testing.T, text string) *conf.Node {
	t.Helper()
	r := new(conf.Report)
	n := conf.Load("x.yaml", oneText(text), r)
	if n == nil || r.Failed() {
		t.Fatalf("%q", text)
	}
	return n
}

type oneText string

func (o oneText) Read(string) ([]byte, error)   { return []byte(o), nil }
func (o oneText) Glob(string) ([]string, error) { return nil, nil }

// told is an API whose configuration can be put, and that does whatever it is told.
func told(t *testing.T) (o *Options, text *string) {
	text = new(string)
	*text = "sites: { \"http://example.org\": [ { match: /api, proxy: app } ], any: app }\nupstreams: { app: { to: [ \":1\", \":2\" ] } }\n"
	now := func() *Configuration {
		n := tree(t, *text)
		return &Configuration{File: "x.yaml", Tree: n, Full: n}
	}
	return &Options{Incidents: incident.NewStore(0), State: func() State {
		return State{Listen: []string{}, Endpoints: []Endpoint{{Upstream: "app", Name: ":1", State: "up"}}}
	}, Control: Control{
		Reload: func() Reload { return Reload{Done: true} },
		Stop:   func(bool) {},
		Upgrade: func() (int, error) {
			return 7, nil
		},
		Endpoint: func(_, name string, _ Operation) (string, error) {
			if name != ":1" {
				return "", errors.New("there is none")
			}
			return "done", nil
		},
		Config: now,
		Put: func(put []byte, _ bool, still func(*Configuration) bool) (bool, Reload) {
			if !still(now()) {
				return false, Reload{}
			}
			if strings.Contains(string(put), "wrong") {
				return true, Reload{Problems: []conf.ProblemJSON{{}}}
			}
			*text = string(put)
			return true, Reload{Done: true, Changes: []string{"one"}}
		},
	}}, text
}

// What the document describes and what is served is the same, and real answers are as it
// says.
func TestOpenAPI(t *testing.T) {
	o, _ := told(t)
	kept := kept(o.Incidents, fault.HeaderNameBadChar)
	c := jsonschema.NewCompiler()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(openAPI)))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	var served, described []string
	routes(o, func(pattern string, _ http.HandlerFunc) {
		served = append(served, strings.ReplaceAll(pattern, "...}", "}"))
	})
	paths := doc.(map[string]any)["paths"].(map[string]any)
	for path, item := range paths {
		for method := range item.(map[string]any) {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(served)
	slices.Sort(described)
	if !slices.Equal(served, described) {
		t.Errorf("served    %q\ndescribed %q", served, described)
	}
	h := handler(o)
	id := string(kept.Trail.Incident[:])
	for _, q := range []struct {
		method, url, template, match, body string
		status                             int
	}{
		{"GET", "/openapi.json", "/openapi.json", "", "", 200}, {"GET", "/state", "/state", "", "", 200},
		{"GET", "/incidents", "/incidents", "", "", 200}, {"GET", "/incidents?n=0", "/incidents", "", "", 400},
		{"GET", "/incidents/" + id, "/incidents/{id}", "", "", 200}, {"GET", "/incidents/00000000", "/incidents/{id}", "", "", 404}, {"GET", "/incidents/x", "/incidents/{id}", "", "", 400},
		{"GET", "/config", "/config", "", "", 200}, {"GET", "/config/upstreams/app/to/1", "/config/{path}", "", "", 200}, {"GET", "/config/nothing", "/config/{path}", "", "", 404},
		{"PUT", "/config", "/config", "", "sites: {}", 428}, {"PUT", "/config", "/config", `"x"`, "sites: {}", 412}, {"PUT", "/config", "/config", "*", "wrong: 1", 422},
		{"PUT", "/config", "/config", "*", strings.Repeat("x", mostConfig+1), 413}, {"PUT", "/config?write=true", "/config", "*", "sites: { any: b }", 200},
		{"POST", "/reload", "/reload", "", "", 200}, {"POST", "/endpoints/drain?endpoint=:1", "/endpoints/drain", "", "", 200}, {"POST", "/endpoints/maintenance?endpoint=:1", "/endpoints/maintenance", "", "", 200},
		{"POST", "/endpoints/resume?endpoint=:9", "/endpoints/resume", "", "", 409}, {"POST", "/upgrade", "/upgrade", "", "", 200}, {"POST", "/drain", "/drain", "", "", 202}, {"POST", "/stop", "/stop", "", "", 202},
	} {
		r := httptest.NewRequest(q.method, q.url, strings.NewReader(q.body))
		if q.match != "" {
			r.Header.Set("If-Match", q.match)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		at := fmt.Sprintf("%s %s: %d", q.method, q.url, w.Code)
		if w.Code != q.status {
			t.Errorf("%s, want %d: %s", at, q.status, w.Body)
			continue
		}
		// Where the answer's schema stands, directly or behind a reference.
		where := "/paths/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(q.template) + "/" + strings.ToLower(q.method) + "/responses/" + fmt.Sprint(q.status)
		item := paths[q.template].(map[string]any)[strings.ToLower(q.method)].(map[string]any)["responses"].(map[string]any)[fmt.Sprint(q.status)]
		if item == nil {
			t.Errorf("%s is not described", at)
			continue
		}
		if ref, ok := item.(map[string]any)["$ref"].(string); ok {
			where = strings.TrimPrefix(ref, "#")
		}
		schema, err := c.Compile("openapi.json#" + where + "/content/application~1json/schema")
		if err != nil {
			t.Errorf("%s: %v", at, err)
			continue
		}
		v, err := jsonschema.UnmarshalJSON(w.Body)
		if err == nil {
			err = schema.Validate(v)
		}
		if err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// A configuration is replaced by who knows what he replaces.
func TestPutConfig(t *testing.T) {
	o, text := told(t)
	h := handler(o)
	do := func(method, url, match, none, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, url, strings.NewReader(body))
		for name, v := range map[string]string{"If-Match": match, "If-None-Match": none} {
			if v != "" {
				r.Header.Set(name, v)
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	first := do("GET", "/config", "", "", "").Header().Get("ETag")
	if !regexp.MustCompile(`^"[0-9a-f]{16}"$`).MatchString(first) {
		t.Fatalf("tag %q", first)
	}
	if w := do("GET", "/config", "", first, ""); w.Code != 304 {
		t.Errorf("what is known already: %d", w.Code)
	}
	w := do("PUT", "/config", `"other", `+first, "", "sites: { any: second }")
	second := w.Header().Get("ETag")
	if w.Code != 200 || second == first || *text != "sites: { any: second }" {
		t.Errorf("%d %s, %s", w.Code, w.Body, second)
	}
	if w := do("PUT", "/config", first, "", "sites: { any: third }"); w.Code != 412 || *text != "sites: { any: second }" {
		t.Errorf("by who knows an older one: %d", w.Code)
	}
	// What means the same has the same tag.
	*text = "sites:\n  any: second # a comment\n"
	if got := do("GET", "/config", "", "", "").Header().Get("ETag"); got != second {
		t.Errorf("tag %s, want %s", got, second)
	}
}

func TestConfigPaths(t *testing.T) {
	var v any
	if err := json.Unmarshal([]byte(`{"sites":{"http://example.org":[{"proxy":"app"}],"a":{"b":{"c":1}},"a/b":2},"n":null}`), &v); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"": "map", "/": "map", "/sites/a/b/c": "1", "/sites/a/b": "2", "/sites/http://example.org/0/proxy": "app", "/sites/http://example.org/1": "none",
		"/sites/http://example.org/-1": "none", "/sites/x": "none", "/n": "<nil>", "/n/x": "none", "/sites/http://example.org/x": "none",
	} {
		got := "none"
		if v, ok := at(v, path); ok {
			if got = fmt.Sprint(v); strings.HasPrefix(got, "map[") {
				got = "map"
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestGuard(t *testing.T) {
	const token = "0123456789abcdef"
	good := map[string]string{"Authorization": "Bearer " + token}
	with := func(more ...string) map[string]string {
		m := map[string]string{"Authorization": good["Authorization"]}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	for _, c := range []struct {
		name, host string
		head       map[string]string
		token      string
		want       int
	}{
		{"who has it", "127.0.0.1:2502", good, token, 200},
		{"by IPv6", "[::1]:2502", good, token, 200},
		{"by localhost", "localhost:2502", good, token, 200},
		{"by its own name", "ADMIN.example:2502", good, token, 200},
		{"without it", "localhost:2502", nil, token, 401},
		{"a wrong one", "localhost:2502", map[string]string{"Authorization": "Bearer " + token + "0"}, token, 401},
		{"another scheme", "localhost:2502", map[string]string{"Authorization": "Basic " + token}, token, 401},
		{"a name that was made to lead here", "evil.example:2502", good, token, 421},
		{"a page of another origin", "localhost:2502", with("Origin", "https://evil.example"), token, 403},
		{"of none", "localhost:2502", with("Origin", "null"), token, 403},
		{"a page of ours", "localhost:2502", with("Origin", "http://localhost:2502"), token, 200},
		{"another site", "localhost:2502", with("Sec-Fetch-Site", "cross-site"), token, 403},
		{"a neighbour", "localhost:2502", with("Sec-Fetch-Site", "same-site"), token, 403},
		{"no page", "localhost:2502", with("Sec-Fetch-Site", "none"), token, 200},
		{"a token that is too short", "localhost:2502", map[string]string{"Authorization": "Bearer a"}, "a", 503},
		{"no token at all", "localhost:2502", map[string]string{"Authorization": "Bearer "}, "", 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := false
			h := guard("admin.example", func() (string, error) { return c.token, nil }, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
			r := httptest.NewRequest("GET", "/state", nil)
			r.Host = c.host
			for k, v := range c.head {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.want || asked != (c.want == 200) {
				t.Errorf("%d %s, want %d", w.Code, w.Body, c.want)
			}
		})
	}
}
