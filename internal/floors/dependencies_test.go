package floors

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every module that we stand on has its line in docs/dependencies.md, and the
// page speaks of no other.
func TestDependencies(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	required := requirements(string(mod))
	if len(required) == 0 {
		t.Fatal("go.mod requires nothing: the reader has lost its way")
	}
	rows, bad := dependencyRows(string(page))
	for _, s := range bad {
		t.Error(s)
	}
	for _, m := range required {
		if !slices.Contains(rows, m) {
			t.Errorf("%s has no line in docs/dependencies.md: say why, over what, its licence and how to leave", m)
		}
	}
	for _, m := range rows {
		if !slices.Contains(required, m) {
			t.Errorf("docs/dependencies.md has a line for %s, which go.mod does not require: delete it", m)
		}
	}
}

// requirements returns the module paths that a go.mod requires, in its order.
func requirements(mod string) (paths []string) {
	block := false
	for line := range strings.Lines(mod) {
		line, _, _ = strings.Cut(line, "//")
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == "require" && f[1] == "(":
			block = true
		case len(f) == 1 && f[0] == ")":
			block = false
		case len(f) == 3 && f[0] == "require":
			paths = append(paths, f[1])
		case len(f) == 2 && block:
			paths = append(paths, f[0])
		}
	}
	return paths
}

var moduleCell = regexp.MustCompile("^`([^`]+)`$")

// dependencyRows returns the modules that have a row in the page's tables, and
// what is wrong with the rows: a module is the first cell, in backquotes, and
// no cell may be empty.
func dependencyRows(page string) (modules, bad []string) {
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		m := moduleCell.FindStringSubmatch(strings.TrimSpace(cells[0]))
		if m == nil {
			continue // the head of a table
		}
		if slices.Contains(modules, m[1]) {
			bad = append(bad, m[1]+" has two rows")
		}
		modules = append(modules, m[1])
		for _, c := range cells {
			if strings.TrimSpace(c) == "" {
				bad = append(bad, m[1]+" has an empty cell")
			}
		}
	}
	return modules, bad
}

func TestRequirements(t *testing.T) {
	const mod = `module m

go 1.26

require example.org/one v1.0.0

require (
	example.org/two v1.2.3
	example.org/three/v2 v2.0.0 // indirect
	// example.org/never v1.0.0
)

replace example.org/two => ../two

exclude (
	example.org/four v1.0.0
)
`
	want := []string{"example.org/one", "example.org/two", "example.org/three/v2"}
	if d := cmp.Diff(want, requirements(mod)); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func TestDependencyRows(t *testing.T) {
	const page = "# Title\n\ntext with `example.org/none`\n\n| module | why |\n| --- | --- |\n" +
		"| `example.org/one` | for this |\n| `example.org/two` |  |\n| `example.org/one` | again |\n"
	modules, bad := dependencyRows(page)
	if d := cmp.Diff([]string{"example.org/one", "example.org/two", "example.org/one"}, modules); d != "" {
		t.Errorf("modules: -want +got\n%s", d)
	}
	if d := cmp.Diff([]string{"example.org/two has an empty cell", "example.org/one has two rows"}, bad); d != "" {
		t.Errorf("bad: -want +got\n%s", d)
	}
}
