package config

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatewhy/gatewhy/internal/conf"
)

// Whatever gatewhy.yaml holds: it is judged, telling about it works, mending it
// ends, and one without errors means the same when it is written out and read
// again.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/examples/*.yaml", "testdata/mistakes/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(b))
		}
	}
	for _, r := range Rules() {
		if len(r.Wrong) < 1<<12 {
			f.Add(r.Wrong)
			f.Add(r.Right)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<14 {
			return
		}
		files := several(text)
		env := func(name string) (string, bool) { return "10.0.0.1:80", name == "A" }
		l := Load(Source{Path: "gatewhy.yaml", Files: files, Env: env})
		l.Report.Render(io.Discard, true)
		l.Report.JSON()
		for n := 0; l.Report.Fixable() > 0; n++ {
			texts, mended := l.Report.Fix()
			if mended == 0 || n == 50 {
				break // two fixes that touch each other, or a chain of mistakes
			}
			for s, text := range texts {
				files[s.Name] = text
			}
			l = Load(Source{Path: "gatewhy.yaml", Files: files, Env: env})
			l.Report.Render(io.Discard, false)
		}
		if l.Report.Failed() {
			return
		}
		l.Gateway.Each(func(name string, u *Upstream) {
			if len(u.To) == 0 {
				t.Errorf("the upstream %q has no target", name)
			}
		})
		for _, all := range []bool{false, true} {
			out := string(l.Tree(all).YAML(all))
			again := Load(Source{Path: "gatewhy.yaml", Files: several(out), Env: env})
			if again.Report.Failed() {
				t.Fatalf("%q is written\n%s\nwhich has errors:\n%s", text, out, rendered(again.Report))
			}
			if lines := Differences(l, again); len(lines) > 0 {
				t.Fatalf("%q is written\n%s\nwhich differs: %q", text, out, lines)
			}
		}
		if out, err := conf.Format(conf.NewSource("gatewhy.yaml", files["gatewhy.yaml"]), new(conf.Report)); err == nil && out != nil {
			files["gatewhy.yaml"] = string(out)
			again := Load(Source{Path: "gatewhy.yaml", Files: files, Env: env})
			if lines := Differences(l, again); len(lines) > 0 || again.Report.Failed() {
				t.Fatalf("%q is laid out as\n%s\nwhich differs: %q %s", text, out, lines, rendered(again.Report))
			}
		}
	})
}
