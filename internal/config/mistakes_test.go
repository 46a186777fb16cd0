package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/internal/conf"
)

var update = flag.Bool("update", false, "write what comes out as what should")

// Each mistake in testdata/mistakes is told as the page beside it says: message,
// place, caret, suggestion, what --fix makes of it, and that it leaves less.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/mistakes/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		mem := memory{"gatewhy.yaml": string(text)}
		load := func() *conf.Report {
			return Load(Source{Path: "gatewhy.yaml", Files: mem, Env: func(string) (string, bool) { return "", false }}).Report
		}
		r := load()
		if len(r.Problems) == 0 {
			t.Errorf("%s: no problem found", path)
		}
		got := rendered(r) + r.Summary("gatewhy.yaml") + "\n"
		errors := r.Count(conf.Error)
		for n := 0; r.Fixable() > 0; n++ {
			texts, mended := r.Fix()
			if mended == 0 || n == 10 {
				t.Fatalf("%s: fixing does not end", path)
			}
			for s, text := range texts {
				mem[s.Name] = text
			}
			r = load()
		}
		if mem["gatewhy.yaml"] != string(text) {
			got += "\n--fix makes of it:\n\n" + indent(mem["gatewhy.yaml"]) + "\n" + r.Summary("gatewhy.yaml") + "\n"
			if left := r.Count(conf.Error); left > errors {
				t.Errorf("%s: %d errors before fixing and %d after it", path, errors, left)
			}
		}
		want := strings.TrimSuffix(path, ".yaml") + ".txt"
		if *update {
			if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		page, err := os.ReadFile(want)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(page), got); diff != "" {
			t.Errorf("%s (-page +told):\n%s", path, diff)
		}
	}
}

func indent(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		fmt.Fprintf(&b, "    %s", line)
	}
	return b.String()
}
