package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

func TestMain(m *testing.M) {
	if what := os.Getenv(asBackend); what != "" {
		serveBackend(what)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// leftOut is what the log says of a server that gets no requests for a while.
var leftOut = regexp.MustCompile(`endpoint (https://)?127\.0\.0\.1:\d+ of app is (ejected|down)`)

// While one good server is left no request that may be repeated fails, none that may not is
// executed twice, and the log tells which server was left out.
func TestFailures(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "gatewhy")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/gatewhy/gatewhy").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for i := range scenarios {
		s := &scenarios[i]
		t.Run(s.name, func(t *testing.T) {
			l := load{clients: 8, requests: 500}
			if len(s.steps) == 2 && s.configs != "dns" { // a name is one endpoint, wherever it is
				l.story = leftOut
			}
			o, log, err := play(s, &contenders[0], program, dir, l)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d GETs, %d POSTs of which %d failed, slowest %v", o.gets, o.posts, o.failedPosts, o.slowest)
			if o.failed > 0 || o.twice > 0 {
				t.Errorf("%d of %d GETs failed, %d of %d POSTs were executed twice: %s", o.failed, o.gets, o.twice, o.posts, o.firstFailure)
			}
			if l.story != nil && !l.story.MatchString(log) {
				t.Errorf("the log tells nothing of a server that was left out:\n%.3000s", log)
			}
		})
	}
}

// The other proxies understand the configurations that they are compared with.
func TestContendersStart(t *testing.T) {
	for _, c := range contenders[1:] {
		t.Run(c.name, func(t *testing.T) {
			program, err := exec.LookPath(c.name)
			if err != nil {
				if os.Getenv("CI") != "" {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			o, _, err := play(&scenario{name: "nothing"}, &c, program, t.TempDir(), load{clients: 2, requests: 50})
			if err != nil || o.failed+o.failedPosts > 0 {
				t.Errorf("%+v, %v", o, err)
			}
		})
	}
}
