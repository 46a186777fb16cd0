package program

import (
	"bytes"
	"context"
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// kilobyte is an origin whose answers are about 1 KiB, as h2spec wants them.
func kilobyte(t *testing.T) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return // what h2spec sends is not always whole
		}
		w.Header().Set("Content-Length", "1024")
		_, _ = w.Write(bytes.Repeat([]byte("k"), 1024)) // the client may be gone
	})}
	go func() { _ = s.Serve(ln) }() // ends with the test
	t.Cleanup(func() { s.Close() })
	return ln.Addr().String()
}

var engines = []string{"portable", "epoll"}

// h2spec is pinned: the newest release that the module proxy has.
const h2spec = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"

// h2specCases is how many there are in that release.
const h2specCases = 146

// TestH2Spec: the conformance suite of HTTP/2, all of it, strictly, with and without
// TLS.
func TestH2Spec(t *testing.T) {
	origin := kilobyte(t)
	build := exec.Command(need(t, "go"), "install", h2spec)
	dir := t.TempDir()
	build.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=-mod=mod")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, engine := range engines {
		// What begins a connection of HTTP/1.1 wrongly is to be answered in HTTP/1.1
		// where that is spoken too, and h2spec wants it closed.
		plain := proxy(t, origin, "--engine", engine, "--http2", "only")
		_, secure := proxyTLS(t, origin, "--engine", engine, "--tls-self-signed")
		for name, args := range map[string][]string{
			engine + " h2c": {"-p", port(plain.address)},
			engine + " TLS": {"-p", secure, "-t", "-k"},
		} {
			t.Run(name, func(t *testing.T) {
				report := filepath.Join(t.TempDir(), "report.xml")
				cmd := exec.Command(filepath.Join(dir, "h2spec"), append(args, "-h", "127.0.0.1", "--strict", "-o", "5", "-j", report)...)
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Errorf("%v", err)
				}
				raw, err := os.ReadFile(report)
				if err != nil {
					t.Fatal(err)
				}
				var r struct {
					Suites []struct {
						Tests    int `xml:"tests,attr"`
						Skipped  int `xml:"skipped,attr"`
						Failures int `xml:"failures,attr"`
						Errors   int `xml:"errors,attr"`
					} `xml:"testsuite"`
				}
				if err := xml.Unmarshal(raw, &r); err != nil {
					t.Fatal(err)
				}
				n, bad := 0, 0
				for _, s := range r.Suites {
					n, bad = n+s.Tests, bad+s.Skipped+s.Failures+s.Errors
				}
				if n != h2specCases || bad > 0 {
					t.Errorf("%d cases, %d of them not passed:\n%s", n, bad, failures(string(out)))
				}
			})
		}
	}
}

// failures is the end of h2spec's report.
func failures(out string) string {
	_, rest, _ := strings.Cut(out, "Failures:")
	return rest
}

func port(address string) string {
	_, p, _ := strings.Cut(address, ":")
	return p
}

var succeeded = regexp.MustCompile(`(\d+) succeeded, (\d+) failed, (\d+) errored`)

// TestHTTP2Tools: curl, nghttp and h2load work through the proxy.
func TestHTTP2Tools(t *testing.T) {
	origin := kilobyte(t)
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			g := proxy(t, origin, "--engine", engine)
			url := "http://" + g.address
			if got := curl(t, "--http2-prior-knowledge", "-o", os.DevNull, "-w", "%{http_version} %{http_code} %{size_download}", url+"/"); got != "2 200 1024" {
				t.Errorf("curl: %s", got)
			}
			big := filepath.Join(t.TempDir(), "big")
			if err := os.WriteFile(big, bytes.Repeat([]byte("0123456789abcdef"), 200_000), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := curl(t, "--http2-prior-knowledge", "-o", os.DevNull, "-w", "%{http_version} %{http_code}", "--data-binary", "@"+big, url+"/"); got != "2 200" {
				t.Errorf("curl sends: %s", got)
			}
			out, err := exec.Command(need(t, "nghttp"), "-nv", "-m", "5", url+"/").CombinedOutput()
			if s := string(out); err != nil || strings.Count(s, ":status: 200") != 5 || strings.Contains(s, "RST_STREAM") {
				t.Errorf("nghttp: %v\n%s", err, s)
			}
			out, err = exec.Command(need(t, "h2load"), "-n", "2000", "-c", "5", "-m", "20", url+"/").CombinedOutput()
			if m := succeeded.FindStringSubmatch(string(out)); err != nil || m == nil || m[1] != "2000" || m[2]+m[3] != "00" {
				t.Errorf("h2load: %v\n%s", err, out)
			}
			out, err = exec.Command(need(t, "h2load"), "-n", "60", "-c", "2", "-m", "10", "-d", big, url+"/").CombinedOutput()
			if m := succeeded.FindStringSubmatch(string(out)); err != nil || m == nil || m[1] != "60" {
				t.Errorf("h2load sends: %v\n%s", err, out)
			}
		})
	}
}

// TestHTTP2Browser: Chromium agrees on HTTP/2 over TLS, and gets its page.
func TestHTTP2Browser(t *testing.T) {
	chromium := need(t, "chromium")
	g, secure := proxyTLS(t, script(t, answering("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n<h1>good answer</h1>")), "--tls-self-signed")
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
		"--disable-component-update", "--no-first-run", "--ignore-certificate-errors", "--user-data-dir="+filepath.Join(t.TempDir(), "profile"),
		"--dump-dom", "https://127.0.0.1:"+secure+"/page")
	cmd.Env = environment(t.TempDir())
	dom, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium: %v\n%s", err, dom)
	}
	g.stop()
	if !strings.Contains(string(dom), "<h1>good answer</h1>") {
		t.Errorf("the page: %s", dom)
	}
	for l := range strings.Lines(g.printed()) {
		if strings.Contains(l, `"url.path":"/page"`) {
			if !strings.Contains(l, `"network.protocol.version":"2"`) || !strings.Contains(l, `"tls.next_protocol":"h2"`) {
				t.Errorf("it came otherwise: %s", l)
			}
			return
		}
	}
	t.Errorf("no line of it:\n%s", g.printed())
}
