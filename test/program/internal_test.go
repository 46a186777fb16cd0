package program

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Names for private use get certificates of the internal authority, which clients trust when
// they are told its root; it stays the same over a restart, and is never made anew for what is broken.
func TestInternalAuthority(t *testing.T) {
	secure := free(t)
	_, port, _ := strings.Cut(secure, ":")
	storage := filepath.Join(t.TempDir(), "state")
	text := fmt.Sprintf(`
listen: { http: 127.0.0.1:0, https: %s }
tls: { acme: { storage: %s } }
sites:
  localhost: %s
  any.shop.internal: %[3]s
  "https://127.0.0.1": %[3]s
  "http://plain.internal": %[3]s
`, secure, storage, called(t, "app"))
	s := serving(t, text)
	for _, name := range []string{"localhost", "*.shop.internal", "127.0.0.1"} {
		s.await("certificate for " + name + " obtained")
	}
	code, root, talk := s.tool("trust", "--print")
	if code != 0 || !strings.HasPrefix(root, "-----BEGIN CERTIFICATE-----\n") || strings.Contains(root, "KEY") {
		t.Fatalf("trust --print: %s %s", root, talk)
	}
	file := write(t, filepath.Join(t.TempDir(), "root.pem"), root)
	ask := func(url string, more ...string) string {
		t.Helper()
		return curl(t, append(more, "--cacert", file, "--resolve", "www.shop.internal:"+port+":127.0.0.1", "--resolve", "localhost:"+port+":127.0.0.1", url)...)
	}
	for _, host := range []string{"localhost", "www.shop.internal", "127.0.0.1"} {
		for _, version := range []string{"--http1.1", "--http2"} {
			if got := ask("https://"+host+":"+port+"/", version); got != "app" {
				t.Errorf("%s %s: %q", host, version, got)
			}
		}
	}
	code, out, talk := s.tool("status")
	for _, want := range []string{"certificate for localhost until ", "6 days, by Gatewhy internal authority ", "certificate for Gatewhy internal authority "} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("status lacks %q: %s%s", want, out, talk)
		}
	}
	s.stop()

	again := serving(t, text)
	if code, same, talk := again.tool("trust", "--print"); code != 0 || same != root {
		t.Errorf("another root after a restart: %s%s", same, talk)
	}
	if got := ask("https://localhost:" + port + "/"); got != "app" {
		t.Errorf("after a restart: %q", got)
	}
	again.stop()

	// With a broken root other sites go on, and it is told what to do.
	write(t, filepath.Join(storage, "internal", "root.key"), "broken")
	if err := os.RemoveAll(filepath.Join(storage, "certificates")); err != nil {
		t.Fatal(err)
	}
	broken := serving(t, text)
	broken.await("no certificate for localhost: ")
	broken.await("internal/root.key holds no key: put the one back")
	broken.wants("http://plain.internal/", "app")
	if code, _, talk := broken.tool("trust", "--print"); code != 1 || !strings.Contains(talk, "root.key holds no key") {
		t.Errorf("trust: %d %s", code, talk)
	}
	broken.stop()
}

// trust puts the root into the system's store, where curl and others find it, and untrust
// takes it out. It is tried in a layer over the system's own directories.
func TestTrust(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can have a layer over the system's store")
	}
	secure := free(t)
	_, port, _ := strings.Cut(secure, ":")
	s := serving(t, fmt.Sprintf("listen: { http: 127.0.0.1:0, https: %s }\ntls: { acme: { storage: %s } }\nsites: { localhost: %s }\n", secure, filepath.Join(t.TempDir(), "state"), called(t, "app")))
	s.await("certificate for localhost obtained")
	_, root, _ := s.tool("trust", "--print")
	b, _ := pem.Decode([]byte(root))
	if b == nil {
		t.Fatal(root)
	}
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	layer := t.TempDir()
	script := `set -eu
mount -t tmpfs none "$1"
i=0
for d in /usr/local/share/ca-certificates /etc/ssl/certs; do
	i=$((i+1))
	mkdir -p "$1/$i/up" "$1/$i/work" "$d"
	mount -t overlay overlay -o "lowerdir=$d,upperdir=$1/$i/up,workdir=$1/$i/work" "$d"
done
page() { env -u CURL_CA_BUNDLE -u SSL_CERT_FILE -u SSL_CERT_DIR curl -sS --resolve "localhost:$4:127.0.0.1" "https://localhost:$4/" 2>&1 || true; }
echo "before: $(page "$@")"
"$2" trust --run-dir "$3"
echo "trusted: $(page "$@")"
"$2" trust --run-dir "$3" >/dev/null
"$2" untrust --run-dir "$3"
echo "after: $(page "$@")"
`
	cmd := exec.Command("unshare", "-m", "sh", "-c", script, "sh", layer, binary, s.dir, port)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	raw, err := cmd.CombinedOutput()
	out := string(raw)
	if err != nil || !strings.Contains(out, "before: curl: (60)") || !strings.Contains(out, "trusted: "+c.Subject.CommonName+", until ") ||
		!strings.Contains(out, "trusted: app\n") || !strings.Contains(out, "no longer trusted: "+c.Subject.CommonName) || !strings.Contains(out, "after: curl: (60)") {
		t.Errorf("%v\n%s", err, out)
	}
	s.stop()

	// One without an authority says how to get one.
	plain := serving(t, "listen: 127.0.0.1:0\nsites: { any: "+called(t, "x")+" }\n")
	if code, _, talk := plain.tool("trust"); code != 1 || !strings.Contains(talk, "no internal authority") || !strings.Contains(talk, "https://localhost") {
		t.Errorf("%d %s", code, talk)
	}
	plain.stop()
}
