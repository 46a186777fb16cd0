package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Every command that help shows has a manual page, and mandoc finds nothing wrong with
// any.
func TestManual(t *testing.T) {
	lint := need(t, "mandoc")
	dir := t.TempDir()
	if code, _, talk := run(t, "man", dir); code != 0 {
		t.Fatalf("%d %s", code, talk)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.[15]"))
	if err != nil || len(pages) < 20 {
		t.Fatalf("%v %v", pages, err)
	}
	if out, err := exec.Command(lint, append([]string{"-T", "lint", "-W", "warning"}, pages...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	_, help, _ := run(t, "--help")
	_, list, _ := strings.Cut(help, "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	commands := 0
	for line := range strings.Lines(list) {
		name := strings.Fields(line)[0]
		if name == "help" || name == "completion" {
			continue
		}
		commands++
		text, err := os.ReadFile(filepath.Join(dir, "gatewhy-"+name+".1"))
		if err != nil {
			t.Error(err)
			continue
		}
		_, help, _ := run(t, name, "--help")
		for _, word := range strings.Fields(help) {
			if flag := strings.Trim(word, `,.;:()"`); strings.HasPrefix(flag, "--") && len(flag) > 2 && !strings.ContainsAny(flag, "=…|") &&
				!strings.Contains(string(text), strings.ReplaceAll(flag, "-", `\-`)) {
				t.Errorf("gatewhy-%s(1) lacks %s", name, flag)
			}
		}
	}
	if commands < 15 {
		t.Errorf("%d commands: %s", commands, help)
	}
}
