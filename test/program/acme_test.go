package program

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// authority is an ACME server that asks at these ports of 127.0.0.1, whatever the name.
type authority struct {
	*httptest.Server
	roots    *x509.CertPool // of the certificates that it makes
	file     string         // with the certificate of its own server
	requests atomic.Int64
}

// pebble starts an authority whose certificates last so many seconds.
func pebble(t *testing.T, httpPort, tlsPort string, validity uint64) *authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	var conn net.PacketConn
	var stream net.Listener
	for conn == nil { // one port for both
		var err error
		if stream, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if conn, err = net.ListenPacket("udp", stream.Addr().String()); err != nil {
			stream.Close()
		}
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		var m dns.Msg
		m.SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 1)})
		}
		w.WriteMsg(&m)
	})
	for _, names := range []*dns.Server{{PacketConn: conn, Handler: handler}, {Listener: stream, Handler: handler}} {
		go names.ActivateAndServe() // ends with the test
		t.Cleanup(func() { names.Shutdown() })
	}
	number := func(s string) (n int) {
		fmt.Sscan(s, &n)
		return n
	}
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "d", ValidityPeriod: validity}})
	asks := va.New(quiet, number(httpPort), number(tlsPort), false, conn.LocalAddr().String(), store)
	front := wfe.New(quiet, store, asks, issuer, []string{"pebble.letsencrypt.org"}, false, false, 1, 1)
	a := &authority{roots: x509.NewCertPool()}
	inner := front.Handler()
	a.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.requests.Add(1)
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(a.Close)
	if !a.roots.AppendCertsFromPEM(issuer.GetRootCert(0).PEM()) {
		t.Fatal("the authority has no root")
	}
	a.file = write(t, filepath.Join(t.TempDir(), "ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw})))
	return a
}

// visit asks for a page of a name by TLS, as a browser that trusts the authority.
func (a *authority) visit(at, name string) (body string, leaf *x509.Certificate, err error) {
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: a.roots, ServerName: name}}
	r, err := http.NewRequest(http.MethodGet, "https://"+at+"/", nil)
	if err != nil {
		return "", nil, err
	}
	r.Host = name
	res, err := (&http.Client{Timeout: patience, Transport: transport}).Do(r)
	if err != nil {
		return "", nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), res.TLS.PeerCertificates[0], err
}

const acmeText = `
listen: { http: %s, https: %s }
tls: { acme: { ca: %s/dir, ca-root: %s, storage: %s, email: ops@shop.example.com } }
sites:
  shop.example.com: %s
  "http://plain.example.com": %[6]s
  "https://secure.example.com": %[6]s
`

// Sites with public names get their certificates, by either challenge, and keep them; who
// comes in plain HTTP is sent to them.
func TestACME(t *testing.T) {
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			plain, secure := free(t), free(t)
			_, httpPort, _ := net.SplitHostPort(plain)
			_, tlsPort, _ := net.SplitHostPort(secure)
			_, nobody, _ := net.SplitHostPort(free(t))
			// One of the two ways is closed.
			if challenge == "http-01" {
				tlsPort = nobody
			} else {
				httpPort = nobody
			}
			a := pebble(t, httpPort, tlsPort, 0)
			storage := filepath.Join(t.TempDir(), "state")
			text := fmt.Sprintf(acmeText, plain, secure, a.URL, a.file, storage, called(t, "app"))
			s := serving(t, text)
			s.await("certificate for shop.example.com obtained")
			s.await("certificate for secure.example.com obtained")
			for _, name := range []string{"shop.example.com", "secure.example.com"} {
				if body, leaf, err := a.visit(secure, name); err != nil || body != "app" || leaf.VerifyHostname(name) != nil {
					t.Errorf("%s: %q, %v", name, body, err)
				}
			}
			if code, out, _ := s.tool("status"); code != 0 || !strings.Contains(out, "certificate for shop.example.com until ") {
				t.Errorf("status: %s", out)
			}
			// Plain HTTP leads there, but for whoever opted out.
			for _, c := range [][2]string{
				{"http://shop.example.com/a?b=c", "308 https://shop.example.com:" + strings.Split(secure, ":")[1] + "/a?b=c"},
				{"http://secure.example.com/", "308 https://secure.example.com:" + strings.Split(secure, ":")[1] + "/"},
				{"http://plain.example.com/", "200 "},
				{"http://other.example.com/", "404 "},
				{"http://shop.example.com/.well-known/acme-challenge/nobody", "404 "},
			} {
				host := strings.Split(c[0], "/")[2]
				if got := curl(t, "-o", os.DevNull, "-w", "%{http_code} %{redirect_url}", "--resolve", host+":80:127.0.0.1", "--connect-to", "::"+plain, c[0]); got != c[1] {
					t.Errorf("%s: %s, want %s", c[0], got, c[1])
				}
			}
			if got := curl(t, "-I", "--connect-to", "::"+plain, "http://shop.example.com/"); !strings.HasPrefix(got, "HTTP/1.1 308 ") {
				t.Errorf("HEAD: %s", got)
			}
			// No key is told, and none can be read by others.
			if strings.Contains(s.said()+s.printed(), "PRIVATE KEY") {
				t.Error("a key is in the log")
			}
			filepath.Walk(storage, func(path string, fi os.FileInfo, err error) error {
				if err == nil && strings.HasSuffix(path, ".key") && fi.Mode().Perm()&0o077 != 0 {
					t.Errorf("%s can be read by others: %v", path, fi.Mode())
				}
				return err
			})
			s.stop()

			// The next start finds them in the storage, and asks nobody.
			a.Close()
			s = serving(t, text)
			for range 100 {
				body, _, err := a.visit(secure, "shop.example.com")
				if err == nil && body == "app" {
					break
				}
				time.Sleep(10 * time.Millisecond) // they are read beside everything else
			}
			if body, _, err := a.visit(secure, "shop.example.com"); err != nil || body != "app" {
				t.Errorf("after a start without the authority: %q, %v", body, err)
			}
			s.stop()
		})
	}
}

// An authority that cannot be asked is told of, and everything else goes on.
func TestACMEDead(t *testing.T) {
	plain, secure := free(t), free(t)
	dead := free(t)
	s := serving(t, fmt.Sprintf(`
listen: { http: %s, https: %s }
tls: { acme: { ca: "https://%s/dir", storage: %s } }
sites:
  shop.example.com: %s
  "http://plain.example.com": %[5]s
`, plain, secure, dead, filepath.Join(t.TempDir(), "s"), called(t, "app")))
	s.await("no certificate for shop.example.com: ")
	s.await("connection refused")
	s.await("it is tried again, with growing pauses")
	if got := curl(t, "--connect-to", "::"+plain, "http://plain.example.com/"); got != "app" {
		t.Errorf("%q", got)
	}
	_, err := tls.Dial("tcp", secure, &tls.Config{ServerName: "shop.example.com", InsecureSkipVerify: true})
	if err == nil {
		t.Error("there is a certificate")
	}
	s.awaitPrinted("there is no certificate for shop.example.com yet: ")
	s.stop()
}

// Names that nobody has written down get certificates if the application says so; one that
// has ended is renewed when somebody comes.
func TestACMEOnDemand(t *testing.T) {
	plain, secure := free(t), free(t)
	_, httpPort, _ := net.SplitHostPort(plain)
	_, tlsPort, _ := net.SplitHostPort(secure)
	a := pebble(t, httpPort, tlsPort, 8)
	asked := make(chan string, 100)
	ask := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("domain")
		asked <- name
		if !strings.HasSuffix(name, ".customers.example.com") || r.URL.Query().Get("key") != "1" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer ask.Close()
	s := serving(t, fmt.Sprintf(`
listen: { http: %s, https: %s }
tls: { acme: { ca: %s/dir, ca-root: %s, storage: %s, ask: "%s/?key=1" } }
sites: { any: %s }
`, plain, secure, a.URL, a.file, filepath.Join(t.TempDir(), "s"), ask.URL, called(t, "app")))
	body, first, err := a.visit(secure, "one.customers.example.com")
	if err != nil || body != "app" {
		t.Fatalf("%q, %v\n%s%s", body, err, s.said(), s.printed())
	}
	if name := <-asked; name != "one.customers.example.com" {
		t.Errorf("asked for %s", name)
	}
	if _, _, err := a.visit(secure, "one.strangers.example.com"); err == nil {
		t.Error("a stranger has a certificate")
	}
	s.awaitPrinted("a certificate for one.strangers.example.com is not to be had: ")
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		_, leaf, err := a.visit(secure, "one.customers.example.com")
		if err == nil && leaf.SerialNumber.Cmp(first.SerialNumber) != 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it was not renewed: %v\n%s%s", err, s.said(), s.printed())
		}
	}
	s.stop()
}
