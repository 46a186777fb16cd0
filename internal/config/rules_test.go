package config

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatewhy/gatewhy/internal/conf"
)

func rendered(r *conf.Report) string {
	var b strings.Builder
	r.Render(&b, false)
	return b.String()
}

// The example of each rule has the problem, and the example beside it has none.
func TestRules(t *testing.T) {
	for _, r := range Rules() {
		if r.Title == "" || r.Why == "" || !strings.HasSuffix(r.Why, ".") || strings.HasSuffix(r.Title, ".") {
			t.Errorf("%s: title %q, why %q", r.Name, r.Title, r.Why)
		}
		if r.Wrong == "" && r.Right == "" {
			continue // it takes a file that cannot be written down: see TestCertificates
		}
		wrong := read(r.Wrong).Report
		if !slices.ContainsFunc(wrong.Problems, func(p conf.Problem) bool { return p.Name == r.Name }) {
			t.Errorf("%s: its example has other problems:\n%s%s", r.Name, r.Wrong[:min(500, len(r.Wrong))], rendered(wrong))
		}
		if right := read(r.Right).Report; len(right.Problems) > 0 {
			t.Errorf("%s: its good example has problems:\n%s%s", r.Name, r.Right, rendered(right))
		}
	}
}

// What the source calls problems, and what has a rule, is the same.
func TestEachProblemHasItsRule(t *testing.T) {
	name := regexp.MustCompile(`(?:Name: +|Name = |Message(?:, p\.At\.Words|, b\.Words|, b\.Words, b\.Note|, bad\.Words)? = |fail\(|fromText\(|, )"([a-z]+_[a-z_0-9]+)"`)
	raised := map[string]string{}
	for _, dir := range []string{".", "../conf"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) < 5 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") || strings.HasSuffix(f, "rules.go") || strings.HasSuffix(f, "options.go") {
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range name.FindAllStringSubmatch(string(b), -1) {
				raised[m[1]] = f
			}
		}
	}
	for n, f := range raised {
		if FindRule(n) == nil {
			t.Errorf("%s, in %s, has no rule", n, f)
		}
	}
	seen := map[string]bool{}
	for _, r := range Rules() {
		if seen[r.Name] {
			t.Errorf("%s is there twice", r.Name)
		}
		seen[r.Name] = true
		if raised[r.Name] == "" {
			t.Errorf("nothing raises %s", r.Name)
		}
	}
	if len(raised) < 60 {
		t.Errorf("%d names found: the test has lost its way", len(raised))
	}
}

// Whatever --fix mends leaves fewer problems, and in the end none that it could
// mend.
func TestFixes(t *testing.T) {
	mended := 0
	for _, r := range Rules() {
		if r.Wrong == "" || len(r.Wrong) > 1<<16 {
			continue
		}
		files := several(r.Wrong)
		before := Load(Source{Path: "gatewhy.yaml", Files: files}).Report
		report := before
		for round := 0; report.Fixable() > 0; round++ {
			texts, n := report.Fix()
			if n == 0 || round > 10 {
				t.Fatalf("%s: round %d of fixing mends %d", r.Name, round, n)
			}
			for s, text := range texts {
				files[s.Name] = text
			}
			report = Load(Source{Path: "gatewhy.yaml", Files: files}).Report
		}
		if before.Fixable() > 0 {
			mended++
			if report.Count(conf.Error) > before.Count(conf.Error)-1 && before.Count(conf.Error) > 0 {
				t.Errorf("%s: fixing leaves\n%s%s", r.Name, files["gatewhy.yaml"], rendered(report))
			}
		}
	}
	if mended < 15 {
		t.Errorf("only %d of the examples can be fixed", mended)
	}
}
