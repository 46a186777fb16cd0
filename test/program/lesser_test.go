package program

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A start does without a place that somebody else has and a certificate that is not there,
// says so, serves the rest, and has both as soon as they can be had. A reload goes on to want all.
func TestStartsWithLess(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "late.pem"), filepath.Join(dir, "late.key")
	secure := free(t)
	text := fmt.Sprintf(`
listen: { http: [127.0.0.1:0, %q], https: %s }
tls: { certificates: { cert: %s, key: %s } }
sites: { any: %s }
`, taken.Addr(), secure, cert, key, called(t, "app"))
	s := serving(t, text)
	s.await("warning[missing_file]")
	s.await("cannot listen on " + taken.Addr().String())
	s.await("the rest is served, and this is tried again")
	s.wants("http://x.test/", "app")
	if _, err := net.Dial("tcp", secure); err == nil {
		t.Error("it speaks TLS without a certificate")
	}
	code, out, talk := s.tool("status")
	for _, want := range []string{"lacks: cannot listen on " + taken.Addr().String(), "lacks: " + cert + " does not exist"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("status does not say %q:\n%s%s", want, out, talk)
		}
	}
	if code, out, _ := run(t, "check", s.file); code != 3 || !strings.Contains(out, "error[missing_file]") {
		t.Errorf("check: %d %s", code, out)
	}
	if code, _, talk := s.tool("reload"); code != 3 || !strings.Contains(talk, "not reloaded") {
		t.Errorf("reload: %d %s", code, talk)
	}

	taken.Close()
	s.await("now: listens on " + taken.Addr().String())
	s.address = taken.Addr().String()
	s.wants("http://x.test/", "app")
	papers := newPapers(t)
	papers.leaf("late", time.Now().Add(time.Hour), "x.test")
	for from, to := range map[string]string{papers.file("late.key"): key, papers.file("late.pem"): cert} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, to, string(b))
	}
	s.await("now: uses the certificate in " + cert)
	if got := curl(t, "-k", "https://"+secure+"/"); got != "app" {
		t.Errorf("with TLS: %q", got)
	}
	if code, out, _ := s.tool("status"); code != 0 || strings.Contains(out, "lacks") {
		t.Errorf("status: %s", out)
	}
	s.stop()

	// One that can have nothing does not start.
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	file := write(t, filepath.Join(dir, "none.yaml"), fmt.Sprintf("listen: %q\nsites: { any: 127.0.0.1:1 }\n", other.Addr()))
	if code, _, talk := run(t, "run", "-c", file, "--run-dir", filepath.Join(dir, "r")); code != 1 || !strings.Contains(talk, "cannot listen on") {
		t.Errorf("%d %s", code, talk)
	}
}

// A place for metrics that somebody else has is tried again, while requests are served.
func TestStartWithoutMetrics(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	s := serving(t, fmt.Sprintf("listen: 127.0.0.1:0\nadmin: { listen: localhost:%s }\nsites: { any: %s }\n", port, called(t, "app")))
	s.await("no metrics: listen tcp4 " + taken.Addr().String())
	s.wants("http://x.test/", "app")
	taken.Close()
	s.await("now there are metrics: http://" + taken.Addr().String() + "/metrics")
	if got := curl(t, "http://"+taken.Addr().String()+"/metrics"); !strings.Contains(got, "gatewhy_") {
		t.Errorf("metrics: %q", got)
	}
	s.stop()
}
