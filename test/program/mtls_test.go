package program

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// opensslIn runs it in a directory.
func opensslIn(t *testing.T, dir string, args ...string) {
	t.Helper()
	c := exec.Command(need(t, "openssl"), args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
}

// issue makes an authority and a certificate of it: NAME-ca.pem, NAME.pem, NAME.key.
func issue(t *testing.T, dir, name, subject string) {
	t.Helper()
	ec := []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"}
	opensslIn(t, dir, append([]string{"req", "-x509", "-keyout", name + "-ca.key", "-out", name + "-ca.pem", "-subj", "/CN=" + name + " authority"}, ec...)...)
	opensslIn(t, dir, append([]string{"req", "-keyout", name + ".key", "-out", name + ".csr", "-subj", subject}, ec...)...)
	opensslIn(t, dir, "x509", "-req", "-in", name+".csr", "-CA", name+"-ca.pem", "-CAkey", name+"-ca.key", "-CAcreateserial", "-out", name+".pem", "-days", "10")
}

// Clients show certificates that our authority made, and upstreams are told of them, but
// not by clients. When the authority's file changes, the new one counts.
func TestClientCertificates(t *testing.T) {
	need(t, "curl")
	dir := t.TempDir()
	issue(t, dir, "good", "/O=Shop/CN=anna")
	issue(t, dir, "other", "/CN=eve")
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%d %.6s", len(r.Header["Client-Cert"]), r.Header.Get("Client-Cert"))
	}))
	defer up.Close()
	at := free(t)
	ca := filepath.Join(dir, "clients.pem")
	copyFile := func(from string) {
		b, err := os.ReadFile(filepath.Join(dir, from))
		if err != nil {
			t.Fatal(err)
		}
		write(t, ca, string(b))
	}
	copyFile("good-ca.pem")
	text := `
listen: { https: %s }
tls: { self-signed: true, clients: { ca: %s, optional: %v, forward: true } }
sites: { "https://any": %s }
log: json
`
	s := serving(t, fmt.Sprintf(text, at, ca, false, strings.TrimPrefix(up.URL, "http://")))
	ask := func(args ...string) string {
		out, err := exec.Command("curl", append([]string{"-sk", "--max-time", "20", "-H", "Client-Cert: :forged:", "https://" + at + "/"}, args...)...).Output()
		if err != nil {
			return "refused"
		}
		return string(out)
	}
	pair := func(name string) []string {
		return []string{"--cert", filepath.Join(dir, name+".pem"), "--key", filepath.Join(dir, name+".key")}
	}
	for _, c := range []struct{ who, want string }{{"good", "1 :MIIB"}, {"other", "refused"}, {"", "refused"}} {
		var args []string
		if c.who != "" {
			args = pair(c.who)
		}
		if got := ask(args...); !strings.HasPrefix(got, c.want) {
			t.Errorf("with the certificate %q: %q, want %q", c.who, got, c.want)
		}
	}
	s.awaitPrinted(`"tls.client.subject":"CN=anna,O=Shop"`)
	s.awaitPrinted("failed to verify certificate") // that of the other is told no sooner than a second later
	// With others, from the next look at the files on.
	copyFile("other-ca.pem")
	s.await("certificates read again")
	if got := ask(pair("other")...); !strings.HasPrefix(got, "1 :MIIB") {
		t.Errorf("of the new authority: %q", got)
	}
	if got := ask(pair("good")...); got != "refused" {
		t.Errorf("of the old authority: %q", got)
	}
	write(t, s.file, fmt.Sprintf(text, at, ca, true, strings.TrimPrefix(up.URL, "http://")))
	if code, _, talk := s.tool("reload"); code != 0 {
		t.Fatalf("reload: %s", talk)
	}
	if got := ask(); got != "0 " {
		t.Errorf("without one, where that is allowed: %q", got)
	}
	if got := ask(pair("good")...); got != "refused" {
		t.Errorf("a wrong one, where none is allowed: %q", got)
	}
	s.stop()
}
