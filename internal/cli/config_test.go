package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/config"
	"github.com/gatewhy/gatewhy/internal/settings"
)

// inDir runs a command line in a directory with these files, and with an input.
func inDir(t *testing.T, files map[string]string, environ map[string]string, input string, args ...string) (dir string, code int, out, talk string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	var o, e bytes.Buffer
	env := &env{in: strings.NewReader(input), out: &o, err: &e, getenv: func(k string) string { return environ[k] }}
	code = env.run(context.Background(), args)
	return dir, code, o.String(), e.String()
}

const (
	goodConfig  = "sites: { any: \"localhost:3000\" }\n"
	wrongConfig = "drain: 30\nsites: { any: \"localhost:3000\" }\n"
)

func TestConfigCommands(t *testing.T) {
	for _, c := range []struct {
		name        string
		files       map[string]string
		environ     map[string]string
		input, args string
		code        int
		out, talk   string // parts
	}{
		{"good", map[string]string{"gatewhy.yaml": goodConfig}, nil, "", "check", 0, "gatewhy.yaml: no problem found\n", ""},
		{"another file", map[string]string{"a.yaml": goodConfig}, nil, "", "check a.yaml", 0, "a.yaml: no problem", ""},
		{"with -c", map[string]string{"a.yaml": goodConfig}, nil, "", "check -c a.yaml", 0, "a.yaml: no problem", ""},
		{"by the environment", map[string]string{"a.yaml": goodConfig}, map[string]string{"GATEWHY_CONFIG": "a.yaml"}, "", "check", 0, "a.yaml: no problem", ""},
		{"standard input", nil, nil, goodConfig, "check -", 0, "<stdin>: no problem", ""},
		{"standard input by -c", nil, nil, wrongConfig, "check -c -", 3, "--> <stdin>:1:8", ""},
		{"wrong", map[string]string{"gatewhy.yaml": wrongConfig}, nil, "", "check", 3, "error[missing_unit]", ""},
		{"says what to try", map[string]string{"gatewhy.yaml": wrongConfig}, nil, "", "check", 3,
			"gatewhy.yaml: 1 error, 1 can be fixed with --fix.   Try `gatewhy explain missing_unit`.\n", ""},
		{"warnings are no failure", map[string]string{"gatewhy.yaml": "upstreams: { a: :1 }\n" + goodConfig}, nil, "", "check", 0, "1 warning", ""},
		{"named twice", nil, nil, "", "check a -c b", 2, "", "named twice"},
		{"no file", nil, nil, "", "check", 1, "", "there is no gatewhy.yaml here"},
		{"no such file", nil, nil, "", "check x.yaml", 1, "cannot read x.yaml", ""},
		{"a directory", map[string]string{"d/x": ""}, nil, "", "check d", 1, "is a directory", ""},
		{"an include that is not there", map[string]string{"gatewhy.yaml": "include: x.yaml\n" + goodConfig}, nil, "", "check", 3, "cannot read x.yaml", ""},
		{"a bad variable", map[string]string{"gatewhy.yaml": goodConfig}, map[string]string{"GATEWHY_DRAIN": "soon"}, "", "check", 3, "--> env GATEWHY_DRAIN", ""},
		{"mended input", nil, nil, goodConfig, "check --fix -", 2, "", "cannot be mended"},
		{"too many", nil, nil, "", "check a b", 2, "", "at most one file"},

		{"format to output", nil, nil, "a:   1\n", "fmt -", 0, "a: 1\n", ""},
		{"format names what it wrote", map[string]string{"gatewhy.yaml": "drain:   1s\n"}, nil, "", "fmt", 0, "gatewhy.yaml\n", ""},
		{"format says nothing", map[string]string{"gatewhy.yaml": "drain: 1s\n"}, nil, "", "fmt", 0, "", ""},
		{"format checks", map[string]string{"gatewhy.yaml": "drain:   1s\n"}, nil, "", "fmt --check", 3, "gatewhy.yaml\n", ""},
		{"format leaves broken files", map[string]string{"gatewhy.yaml": "a: [\n"}, nil, "", "fmt", 3, "", "stays as it is"},
		{"format without a file", nil, nil, "", "fmt x.yaml", 1, "", "cannot read"},

		{"show", map[string]string{"gatewhy.yaml": "include: b.yaml\n" + goodConfig, "b.yaml": "drain: 5s\n"}, nil, "", "show", 0, "drain: 5s\n", ""},
		{"show all", map[string]string{"gatewhy.yaml": goodConfig}, map[string]string{"GATEWHY_DRAIN": "7s"}, "", "show --expanded", 0, "# env GATEWHY_DRAIN", ""},
		{"show a wrong one", map[string]string{"gatewhy.yaml": wrongConfig}, nil, "", "show", 3, "", "error[missing_unit]"},
		{"diff", map[string]string{"a": goodConfig, "b": goodConfig + "drain: 5s\n"}, nil, "", "diff a b", 0, "drain: 30s → 5s\n", ""},
		{"no difference", map[string]string{"a": goodConfig, "b": goodConfig + "drain: 30s # the default\n"}, nil, "", "diff a b", 0, "", "both mean the same"},
		{"diff of one", nil, nil, "", "diff a", 2, "", "two files"},
		{"diff with a wrong one", map[string]string{"a": goodConfig, "b": wrongConfig}, nil, "", "diff a b", 3, "", "error[missing_unit]"},
		{"schema", nil, nil, "", "schema", 0, `"$schema": "https://json-schema.org/draft/2020-12/schema"`, ""},
		{"a command line as a file", nil, nil, "", "proxy :8080 :3000 --timeout-read 5s --print-config", 0, "      read: 5s\n", ""},
		{"a wrong command line", nil, nil, "", "proxy :8080 3000 --print-config", 2, "", "error[bad_target]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, code, out, talk := inDir(t, c.files, c.environ, c.input, strings.Fields(c.args)...)
			if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(talk, c.talk) || c.out == "" && out != "" || c.talk == "" && talk != "" {
				t.Errorf("exit code %d, output %q, talk %q; want %d, %q, %q", code, out, talk, c.code, c.out, c.talk)
			}
		})
	}
}

// --fix mends what it can, in all files, and says what is left. The file keeps
// its mode, and a link stays one.
func TestCheckFix(t *testing.T) {
	dir, code, out, talk := inDir(t, map[string]string{
		"gatewhy.yaml": "include: conf.d/*.yaml\ndrain: 30\nupstreams: { app: { to: app } }\nsites: { *.example.org: app }\n",
		"real/b.yaml":  "limits: { body: 10M }   # a comment\n",
	}, nil, "", "version") // only to make the files
	if code != 0 {
		t.Fatal(out, talk)
	}
	if err := os.Mkdir(filepath.Join(dir, "conf.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../real/b.yaml", filepath.Join(dir, "conf.d", "b.yaml")); err != nil {
		t.Fatal(err)
	}
	code, out, talk = run(t, nil, "check", "--fix")
	if code != 3 || talk != "" || !strings.Contains(out, "mended 3 in conf.d/b.yaml, gatewhy.yaml\n") || !strings.Contains(out, "error[missing_port]") ||
		strings.Count(out, "error[") != 1 {
		t.Errorf("%d %s%s", code, out, talk)
	}
	for name, want := range map[string]string{
		"gatewhy.yaml": "include: conf.d/*.yaml\ndrain: 30s\nupstreams: { app: { to: app } }\nsites: { any.example.org: app }\n",
		"real/b.yaml":  "limits: { body: 10MiB }   # a comment\n",
	} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v, want %q", name, got, err, want)
		}
		if fi, err := os.Stat(filepath.Join(dir, name)); err != nil || fi.Mode().Perm() != 0o640 {
			t.Errorf("%s has mode %v, %v", name, fi.Mode(), err)
		}
	}
	if fi, err := os.Lstat(filepath.Join(dir, "conf.d", "b.yaml")); err != nil || fi.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", fi.Mode(), err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".gatewhy-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestCheckJSON(t *testing.T) {
	_, code, out, talk := inDir(t, map[string]string{"gatewhy.yaml": "# \u65e5\u672c\nsites: { any: app }\ndrain: 30\n"}, nil, "", "check", "--json")
	var list []conf.ProblemJSON
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 3 || talk != "" || len(list) != 2 {
		t.Fatalf("%d %q %v %s", code, talk, err, out)
	}
	d := list[1]
	if d.Name != "missing_unit" || d.Level != "error" || !d.Sure || len(d.Edits) != 1 || d.Edits[0].Text != "30s" ||
		d.Spans[0].File != "gatewhy.yaml" || d.Spans[0].Start != (conf.PointJSON{Offset: 36, Line: 3, Column: 8}) || d.Spans[0].End.Column != 10 {
		t.Errorf("%+v", d)
	}
	if list[0].Name != "unknown_upstream" || list[0].Sure || len(list[0].Notes) == 0 {
		t.Errorf("%+v", list[0])
	}
	_, code, out, _ = inDir(t, map[string]string{"gatewhy.yaml": goodConfig}, nil, "", "check", "--json")
	if code != 0 || strings.TrimSpace(out) != "[]" {
		t.Errorf("no problems are %q", out)
	}
}

func TestShowJSON(t *testing.T) {
	_, code, out, _ := inDir(t, map[string]string{"gatewhy.yaml": goodConfig}, map[string]string{"GATEWHY_TIMEOUT_READ": "5s"}, "", "show", "--expanded", "--json")
	var s struct {
		Config struct {
			Drain string
			HTTP2 struct{ When string }
			Sites map[string]any
		}
		Origins map[string]string
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 || s.Config.Drain != "30s" || s.Config.HTTP2.When != "on" || s.Origins["/sites/any"] != "gatewhy.yaml:1" {
		t.Errorf("%d %v %+v\n%s", code, err, s, out)
	}
}

func TestColourOfCheck(t *testing.T) {
	_, _, out, _ := inDir(t, map[string]string{"gatewhy.yaml": wrongConfig}, map[string]string{"CLICOLOR_FORCE": "1"}, "", "check")
	if !strings.Contains(out, "\x1b[1;31merror[missing_unit]\x1b[0m\x1b[1m: a duration has a unit\x1b[0m\n") ||
		!strings.Contains(out, "\x1b[1;31m^^ seconds? milliseconds?\x1b[0m\n") {
		t.Errorf("%q", out)
	}
	_, _, out, _ = inDir(t, map[string]string{"gatewhy.yaml": wrongConfig}, map[string]string{"CLICOLOR_FORCE": "1"}, "", "check", "--plain")
	if strings.Contains(out, "\x1b") {
		t.Errorf("%q", out)
	}
}

// Each problem of a configuration is explained like a fault, and no name means
// two things.
func TestExplainRules(t *testing.T) {
	_, list, _ := run(t, nil, "explain")
	for _, r := range config.Rules() {
		if fault.Known(fault.ID(r.Name)) {
			t.Errorf("%s is a fault too", r.Name)
		}
		if strings.Count(list, "  "+r.Name+" ") != 1 {
			t.Errorf("%s is not in the list once", r.Name)
		}
		code, page, talk := run(t, nil, "explain", r.Name)
		if code != 0 || talk != "" || !strings.HasPrefix(page, r.Name+": "+r.Title+"\n") || strings.Contains(page, "\n\n\n") {
			t.Errorf("%s: %d %s%s", r.Name, code, page, talk)
		}
		if r.Wrong != "" && len(r.Wrong) < longExample && !strings.Contains(page, "["+r.Name+"]") {
			t.Errorf("%s: the page does not show what check says:\n%s", r.Name, page)
		}
	}
	_, out, _ := run(t, nil, "explain", "missing_unit", "--json")
	var j ruleJSON
	if err := json.Unmarshal([]byte(out), &j); err != nil || j.Problem != "missing_unit" || j.Wrong == "" || j.Right == "" {
		t.Errorf("%v %s", err, out)
	}
	if _, _, talk := run(t, nil, "explain", "unknwn_key"); !strings.Contains(talk, "unknown_key") {
		t.Error(talk)
	}
}

// Each setting has its key, each key that speaks of a setting speaks of one that
// exists, and both have the same default.
func TestSettingsHaveTheirKeys(t *testing.T) {
	l := config.Load(config.Source{Path: "gatewhy.yaml", Files: oneFile(goodConfig)})
	if len(l.Report.Problems) > 0 {
		t.Fatal(l.Report.Problems)
	}
	keys, values := config.Flags(), flatten(l.Gateway)
	elsewhere := map[string]bool{"tls-cert": true, "tls-key": true} // pairs in a list
	others := map[string]string{"log": "", "log-file": "", "log-template": "", "log-sample": "1", "drain": "30s", "upgrade-timeout": "10s", "run-dir": "", "admin-listen": "", "admin-token": ""}
	for _, s := range settings.All() {
		if elsewhere[s.Name] {
			continue
		}
		if _, ok := keys[s.Name]; !ok {
			t.Errorf("--%s has no key in gatewhy.yaml", s.Name)
			continue
		}
		others[s.Name] = s.Default
	}
	for name := range keys {
		want, ok := others[name]
		if !ok {
			t.Errorf("a key speaks of --%s, which does not exist", name)
			continue
		}
		if !slices.ContainsFunc(keys[name], func(at string) bool { // one of them is what help speaks of
			got := values[at]
			return got == want || want == "" && (got == "false" || got == "0") || want == "on" && got == "true" || strings.HasPrefix(name, "no-") && got == "true"
		}) {
			t.Errorf("--%s has the default %q, and its keys %v have others", name, want, keys[name])
		}
	}
	if len(keys) < 50 {
		t.Errorf("%d settings", len(keys))
	}
}

// oneFile is a configuration in memory.
type oneFile string

func (f oneFile) Read(string) ([]byte, error)   { return []byte(f), nil }
func (f oneFile) Glob(string) ([]string, error) { return nil, nil }

// flatten are the values of a configuration by path, those of the first upstream
// in the place of all.
func flatten(g *config.Gateway) map[string]string {
	values := map[string]string{}
	var walk func(n *conf.Node, at string)
	walk = func(n *conf.Node, at string) {
		if n.Kind == conf.Map {
			for _, e := range n.Entries {
				walk(e.Value, at+"/"+e.Key.Text)
			}
			return
		}
		values[at] = n.Words()
	}
	walk(conf.Encode(g, nil, true), "")
	g.Each(func(_ string, u *config.Upstream) {
		walk(conf.Encode(u, nil, true), "/upstreams/*")
	})
	return values
}

func TestPrintConfigMeansTheSame(t *testing.T) {
	args := strings.Fields("proxy :8080,https://:8443 app:3000 :3001-3002 --tls-self-signed --max-line 8KiB --no-repair --http2 off --retry-attempts 2 --log json --print-config")
	code, out, talk := run(t, nil, args...)
	if code != 0 || talk != "" {
		t.Fatal(code, out, talk)
	}
	again := config.Load(config.Source{Path: "gatewhy.yaml", Files: oneFile(out)})
	if len(again.Report.Problems) > 0 {
		t.Fatalf("%+v\n%s", again.Report.Problems, out)
	}
	g := again.Gateway
	u := g.Upstreams["app"]
	got := []any{len(g.Listen.HTTP), len(g.Listen.HTTPS), g.TLS.SelfSigned, int64(g.Limits.Line), int64(u.Limits.StartLine), u.Repair, g.HTTP2.When, u.Retry.Attempts, g.Log.Format, len(u.To)}
	want := []any{1, 1, true, int64(8192), int64(8192), false, "off", 2, "json", 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, out)
	}
}
