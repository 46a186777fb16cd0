package program

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// papers is a folder with an authority and what it issues: ca.pem, and NAME.pem and
// NAME.key for each name.
type papers struct {
	t   *testing.T
	dir string
	ca  *x509.Certificate
	key *ecdsa.PrivateKey
}

func newPapers(t *testing.T) *papers {
	p := &papers{t: t, dir: t.TempDir()}
	p.ca = &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	p.issue("ca", p.ca)
	return p
}

func (p *papers) file(name string) string { return filepath.Join(p.dir, name) }

// issue signs c and writes it with its key.
func (p *papers) issue(name string, c *x509.Certificate) {
	p.t.Helper()
	c.Subject = pkix.Name{CommonName: name}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.key == nil {
		p.key = key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, p.ca, &key.PublicKey, p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	for ending, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(p.file(name+ending), pem.EncodeToMemory(block), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
}

// leaf issues NAME.pem for hosts.
func (p *papers) leaf(name string, notAfter time.Time, hosts ...string) {
	p.issue(name, &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: hosts, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
}

var shownTLS = regexp.MustCompile(`https://127\.0\.0\.1:(\d+)`)

// proxyTLS starts gatewhy proxy with a plain and a TLS listener.
func proxyTLS(t *testing.T, args ...string) (g *gateway, secure string) {
	t.Helper()
	dir := t.TempDir()
	p := launch(t, binary, append([]string{"proxy", "127.0.0.1:0,https://127.0.0.1:0", "--run-dir", filepath.Join(dir, "r")}, args...)...)
	said := p.await("looks an incident up")
	plain, tls := shown.FindStringSubmatch(said), shownTLS.FindStringSubmatch(said)
	if plain == nil || tls == nil {
		t.Fatalf("it does not say where it listens:\n%s", said)
	}
	return &gateway{p, "127.0.0.1:" + plain[1], filepath.Join(dir, "r")}, tls[1]
}

// openssl runs a client with a request and returns all that it said.
func openssl(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(need(t, "openssl"), append([]string{"s_client", "-ign_eof"}, args...)...)
	cmd.Stdin = strings.NewReader("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
	out, _ := cmd.CombinedOutput() // a refusal is an exit code, and the text tells more
	return string(out)
}

func TestTLS(t *testing.T) {
	need(t, "curl")
	p := newPapers(t)
	year := time.Now().Add(90 * 24 * time.Hour)
	p.leaf("a", year, "a.test")
	p.leaf("b", year, "*.b.test")
	up := script(t, answering(hello))
	for _, engine := range []string{"portable", "epoll"} {
		t.Run(engine, func(t *testing.T) {
			g, port := proxyTLS(t, up, "--engine", engine, "--log", "json",
				"--tls-cert", p.file("a.pem"), "--tls-cert", p.file("b.pem"), "--tls-key", p.file("a.key")+","+p.file("b.key"))
			ask := func(host string, args ...string) []string {
				return append([]string{"--cacert", p.file("ca.pem"), "--connect-to", "::127.0.0.1:" + port, "https://" + host + ":" + port + "/"}, args...)
			}
			if got := curl(t, "http://"+g.address); got != "hello" {
				t.Errorf("plain: %q", got)
			}
			for _, args := range [][]string{ask("a.test"), ask("x.b.test"), ask("a.test", "--tlsv1.3"), ask("a.test", "--tls-max", "1.2"), ask("a.test", "--http1.1")} {
				if got := curl(t, args...); got != "hello" {
					t.Errorf("%v: %q", args, got)
				}
			}
			// A name that nothing matches gets the first certificate, which curl refuses.
			code := 0
			if err := exec.Command("curl", append([]string{"-sS", "--noproxy", "*"}, ask("c.test")...)...).Run(); err != nil {
				code = err.(*exec.ExitError).ExitCode()
			}
			if code != 60 {
				t.Errorf("a name that no certificate is for: curl ends with %d, want 60", code)
			}
			if got := curl(t, "http://127.0.0.1:"+port, "-w", "%{http_code}", "-o", os.DevNull); got != "400" {
				t.Errorf("plain HTTP to the TLS port: %s", got)
			}
			if got := curl(t, "http://127.0.0.1:"+port+"/x"); !strings.Contains(got, "https://127.0.0.1:"+port+"/x") {
				t.Errorf("it does not say where to go: %s", got)
			}
			for _, version := range []string{"-tls1_2", "-tls1_3"} {
				session := filepath.Join(t.TempDir(), "session")
				at := []string{"-connect", "127.0.0.1:" + port, "-servername", "a.test", version}
				first := openssl(t, append(at, "-sess_out", session)...)
				again := openssl(t, append(at, "-sess_in", session)...)
				if !strings.Contains(first, "\nNew, TLSv1.") || !strings.Contains(first, "hello") ||
					!strings.Contains(again, "\nReused, TLSv1.") || !strings.Contains(again, "hello") {
					t.Errorf("%s: the first\n%s\nand again\n%s", version, first, again)
				}
			}
			if got := openssl(t, "-connect", "127.0.0.1:"+port, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"); !strings.Contains(got, "protocol version") {
				t.Errorf("TLS 1.1: %s", got)
			}
			g.stop()
			log := g.printed()
			for _, want := range []string{`"tls.protocol.version":"1.3"`, `"tls.protocol.version":"1.2"`, `"tls.resumed":true`, `"tls.client.server_name":"x.b.test"`,
				`"fault":"request_plain_on_tls_port"`, `"kind":"handshake"`} {
				if !strings.Contains(log, want) {
					t.Errorf("the log lacks %s:\n%s", want, log)
				}
			}
		})
	}
}

func TestTLSSelfSigned(t *testing.T) {
	g, port := proxyTLS(t, script(t, answering(hello)), "--tls-self-signed")
	m := regexp.MustCompile(`\n  SHA-256 ([0-9A-F:]{95})\n`).FindStringSubmatch(g.said())
	if m == nil {
		t.Fatalf("no fingerprint:\n%s", g.said())
	}
	c, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cmd := exec.Command(need(t, "openssl"), "x509", "-noout", "-fingerprint", "-sha256")
	cmd.Stdin = bytes.NewReader(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.ConnectionState().PeerCertificates[0].Raw}))
	if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "="+m[1]) {
		t.Errorf("openssl says %s, %v; it said %s", out, err, m[1])
	}
	g.stop()
}

// A certificate that has expired is told, and used all the same.
func TestTLSExpired(t *testing.T) {
	p := newPapers(t)
	p.leaf("old", time.Now().Add(-24*time.Hour), "a.test")
	g, port := proxyTLS(t, script(t, answering(hello)), "--tls-cert", p.file("old.pem"), "--tls-key", p.file("old.key"))
	if said := g.said(); !strings.Contains(said, "warning: "+p.file("old.pem")+": the certificate expired on ") {
		t.Errorf("it said\n%s", said)
	}
	if got := curl(t, "-k", "https://127.0.0.1:"+port); got != "hello" {
		t.Errorf("%q", got)
	}
	g.stop()
}

// An upstream with TLS that wants a certificate of ours, by another name than the
// one that is verified, and one that nobody can verify.
func TestTLSUpstream(t *testing.T) {
	p := newPapers(t)
	year := time.Now().Add(90 * 24 * time.Hour)
	p.leaf("app", year, "app.test")
	p.leaf("gateway", year, "gateway.test")
	pair, err := tls.LoadX509KeyPair(p.file("app.pem"), p.file("app.key"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := x509.ParseCertificate(func() []byte {
		text, err := os.ReadFile(p.file("ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := pem.Decode(text)
		return b.Bytes
	}())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(signed)
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		io.WriteString(w, q.TLS.ServerName+" "+q.TLS.PeerCertificates[0].DNSNames[0])
	}))
	up.Config.ErrorLog = log.New(io.Discard, "", 0) // the refusals are wanted
	up.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	up.StartTLS()
	defer up.Close()
	_, port, _ := net.SplitHostPort(up.Listener.Addr().String())
	target := "https://127.0.0.1:" + port
	mutual := []string{target, "--upstream-cert", p.file("gateway.pem"), "--upstream-key", p.file("gateway.key")}

	g := proxy(t, append(mutual, "--upstream-ca", p.file("ca.pem"), "--upstream-server-name", "app.test", "--upstream-sni", "front.test")...)
	if got := curl(t, "http://"+g.address); got != "front.test gateway.test" {
		t.Errorf("%q", got)
	}
	g.stop()

	g = proxy(t, append(mutual, "--upstream-verify", "off", "--upstream-server-name", "nobody.test")...)
	if got := curl(t, "http://"+g.address); got != "nobody.test gateway.test" {
		t.Errorf("%q", got)
	}
	if said := g.said(); !strings.Contains(said, "warning: --upstream-verify off: anybody on the way") {
		t.Errorf("no warning:\n%s", said)
	}
	g.stop()

	g = proxy(t, mutual...)
	if got := curl(t, "http://"+g.address); !strings.Contains(got, "tls_cert_") {
		t.Errorf("a certificate that nobody vouches for: %s", got)
	}
	g.stop()
}
