package program

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The Debian package is one that lintian has nothing against, is the same when it is
// built again, and can be installed, configured, updated, removed and purged, after which
// nothing of it is left.
func TestDebianPackage(t *testing.T) {
	lintian := need(t, "lintian")
	for _, tool := range []string{"dpkg-deb", "unshare", "curl"} {
		need(t, tool)
	}
	var debs [2]string
	for i := range debs {
		out, err := exec.Command("../../deploy/deb/build", t.TempDir()).Output()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		debs[i] = strings.TrimSpace(string(out))
	}
	if out, err := exec.Command("cmp", debs[0], debs[1]).CombinedOutput(); err != nil {
		t.Errorf("built again it is another: %s", out)
	}
	if out, err := exec.Command(lintian, "--allow-root", "--fail-on", "error,warning", debs[0]).CombinedOutput(); err != nil {
		t.Errorf("lintian: %v\n%s", err, out)
	}
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("installing a package needs root")
		}
		t.Skip("installing a package needs root")
	}
	port, app := free(t), called(t, "the application")
	script := fmt.Sprintf(`
set -eu
cd /
export DEBIAN_FRONTEND=noninteractive
dpkg -i gatewhy.deb
gatewhy version
gatewhy check -c /etc/gatewhy/gatewhy.yaml
man=$(zcat /usr/share/man/man1/gatewhy.1.gz | head -n 1)
echo "man: $man"
bash -n /usr/share/bash-completion/completions/gatewhy
if command -v systemd-sysusers >/dev/null; then getent passwd gatewhy | cut -d: -f1,7; else echo gatewhy:; fi
test -L /etc/systemd/system/multi-user.target.wants/gatewhy.service && echo enabled
cat >/etc/gatewhy/conf.d/port.yaml <<'Y'
listen: %[1]s
Y
sed -i 's|any: localhost:3000|any: %[2]s|; s|^admin:.*||' /etc/gatewhy/gatewhy.yaml
gatewhy run -c /etc/gatewhy/gatewhy.yaml >/var/log/gatewhy-test 2>&1 &
pid=$!
for i in $(seq 100); do curl -sf http://%[1]s/ && break; sleep 0.1; done
echo
# An update keeps what was changed, and one with a wrong configuration says so.
dpkg -i gatewhy.deb
grep -q %[2]s /etc/gatewhy/gatewhy.yaml && echo kept
echo 'sites: nonsense' >/etc/gatewhy/conf.d/wrong.yaml
dpkg -i gatewhy.deb 2>&1 | grep 'has errors; what runs goes on as it is'
rm /etc/gatewhy/conf.d/*.yaml
kill $pid
wait $pid || true
mkdir -p /var/lib/gatewhy/certificates
dpkg -r gatewhy
test ! -e /usr/bin/gatewhy && test -e /etc/gatewhy/gatewhy.yaml && echo removed
dpkg -P gatewhy
rm -f gatewhy.deb /var/log/gatewhy-test
find /etc /usr/bin /usr/share /lib/systemd /var/lib /var/log /var/cache -name '*gatewhy*' -not -path '/var/lib/dpkg/*-old' 2>/dev/null | grep . || echo nothing is left
`, port, app)
	// What the package does to a machine it does to a layer over this one, if there may be
	// such; only a machine that is made for tests is one to be changed.
	dir := t.TempDir()
	layer := fmt.Sprintf(`
set -eu
mount -t tmpfs none %[1]s
mkdir %[1]s/upper %[1]s/work %[1]s/root
mount -t overlay overlay -o lowerdir=/,upperdir=%[1]s/upper,workdir=%[1]s/work %[1]s/root
mount -t proc proc %[1]s/root/proc
mount --rbind /dev %[1]s/root/dev
`, dir)
	var out []byte
	var err error
	if exec.Command("unshare", "-m", "sh", "-c", layer).Run() == nil {
		whole := layer + fmt.Sprintf("cp %s %s/root/gatewhy.deb\nexec chroot %[2]s/root /bin/sh\n", debs[0], dir)
		// The shell that comes last reads the rest.
		c := exec.Command("unshare", "-m", "sh", "-c", whole)
		c.Stdin = strings.NewReader(script)
		out, err = c.CombinedOutput()
	} else if os.Getenv("CI") != "" {
		c := exec.Command("sh", "-c", "cp "+debs[0]+" /gatewhy.deb && exec sh")
		c.Stdin = strings.NewReader(script)
		out, err = c.CombinedOutput()
	} else {
		t.Skip("there can be no layer over this machine to install a package in")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"gatewhy 0.", "no problem found", "man: .TH", "\ngatewhy:", "\nenabled\n", "the application\n", "\nkept\n",
		"has errors; what runs goes on as it is, and nothing is started", "\nremoved\n", "nothing is left"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("there is no %q in\n%s", want, out)
		}
	}
}
