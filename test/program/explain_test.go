package program

import (
	"context"
	"encoding/json"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatewhy/gatewhy/fault"
)

const badName = "HTTP/1.1 200 OK\r\nX-Bad Header: 1\r\nSet-Cookie: session=s3cr3t-value\r\nContent-Length: 2\r\n\r\nhi"

var idField = regexp.MustCompile(`(?i)x-request-id: ([0-9A-HJKMNP-TV-Z]{8})\r\n`)

// incidentOf lets curl meet a fault and returns the incident's id.
func incidentOf(t *testing.T, g *gateway, args ...string) (id, answer string) {
	t.Helper()
	answer = curl(t, append(args, "-i", "http://"+g.address+"/cart")...)
	m := idField.FindStringSubmatch(answer)
	if m == nil {
		t.Fatalf("no incident id in\n%s", answer)
	}
	return m[1], answer
}

// An incident of a running gateway is explained from another process, with the
// byte that proves it, without the secrets beside it.
func TestExplainIncident(t *testing.T) {
	g := proxy(t, script(t, answering(badName)))
	id, answer := incidentOf(t, g)
	if !strings.HasPrefix(answer, "HTTP/1.1 502 Bad Gateway\r\n") || !strings.Contains(answer, "header_name_bad_char") ||
		strings.Count(answer, id) < 2 {
		t.Errorf("answer:\n%s", answer)
	}
	if !strings.Contains(answer, "Proxy-Status: ") || !strings.Contains(answer, "; error=http_protocol_error;") {
		t.Errorf("no Proxy-Status (RFC 9209):\n%s", answer)
	}
	for _, word := range []string{id, strings.ToLower(id), id[:4] + "-" + id[4:]} {
		code, out, talk := run(t, "explain", word, "--run-dir", g.dir)
		if code != 0 {
			t.Fatalf("explain %s: %d %s", word, code, talk)
		}
		for _, want := range []string{"incident " + id, "header_name_bad_char", "GET", "/cart", "58 2d 42 61 64 20 48  65 61 64 65 72", "^^", "RFC 9110 §5.6.2"} {
			if !strings.Contains(out, want) {
				t.Errorf("explain %s lacks %q:\n%s", word, want, out)
			}
		}
		if strings.Contains(out, "s3cr3t") || strings.Contains(out, "73 33 63 72 33 74") {
			t.Errorf("a secret is shown:\n%s", out)
		}
	}
	_, out, _ := run(t, "explain", id, "--run-dir", g.dir, "--json")
	var record struct {
		Incident string
		Status   int `json:"http.response.status_code"`
		Fault    struct {
			ID     string
			Offset int
		}
		Attempts []struct{ First struct{ Base64 []byte } }
	}
	if err := json.Unmarshal([]byte(out), &record); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if record.Incident != id || record.Status != 502 || record.Fault.ID != "header_name_bad_char" || record.Fault.Offset != 22 {
		t.Errorf("as JSON: %s", out)
	}
	if len(record.Attempts) == 0 || !strings.HasPrefix(string(record.Attempts[0].First.Base64), "HTTP/1.1 200 OK\r\nX-Bad Header") ||
		strings.Contains(string(record.Attempts[0].First.Base64), "s3cr3t") {
		t.Errorf("evidence: %s", out)
	}
	g.stop()
	if code, _, talk := run(t, "explain", id, "--run-dir", g.dir); code != 1 || !strings.Contains(talk, "no gateway runs here") {
		t.Errorf("after its end: %d %s", code, talk)
	}
}

// What strangers must not see is not in their answer.
func TestPublicDetail(t *testing.T) {
	up := script(t, answering(badName))
	_, port, _ := net.SplitHostPort(up)
	for detail, shown := range map[string]bool{"public": false, "trusted": true, "all": true} {
		g := proxy(t, up, "--errors-detail", detail)
		for _, accept := range []string{"text/html", "application/json", "text/markdown", "text/plain"} {
			_, answer := incidentOf(t, g, "-H", "Accept: "+accept)
			if got := strings.Contains(answer, port) || strings.Contains(answer, "X-Bad"); got != shown {
				t.Errorf("--errors-detail %s, %s: detail is shown: %t\n%s", detail, accept, got, answer)
			}
		}
		g.stop()
	}
}

func TestExplainPages(t *testing.T) {
	for _, id := range []fault.ID{fault.HeaderNameBadChar, fault.ConnectRefused, fault.CLConflict, fault.TLSCertExpired} {
		code, out, talk := run(t, "explain", string(id))
		if code != 0 || talk != "" {
			t.Errorf("%s: %d %s", id, code, talk)
		}
		golden(t, "explain-"+string(id)+".txt", out)
	}
}

func TestDemoOnce(t *testing.T) {
	code, out, talk := run(t, "demo", "--once")
	if code != 0 || talk != "" {
		t.Errorf("%d %s", code, talk)
	}
	golden(t, "demo.txt", normal(out))
}

// The lab behind a proxy: the way that its own help shows.
func TestLab(t *testing.T) {
	address := free(t)
	p := launch(t, binary, "lab", address)
	ready(t, p, address)
	g := proxy(t, address)
	base := "http://" + g.address
	if got := curl(t, base+"/good"); got != "hello" {
		t.Errorf("good: %q", got)
	}
	if list := curl(t, base+"/"); !strings.Contains(list, "/fault/cl_conflict") {
		t.Errorf("the index lacks /fault/cl_conflict:\n%s", list)
	}
	for name, want := range map[string]string{"cl_conflict": "502", "te_duplicate_line": "200", "foreign_banner": "502"} {
		if got := curl(t, "-w", " %{http_code}", base+"/fault/"+name); !strings.HasSuffix(got, " "+want) || want == "502" && !strings.Contains(got, name) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	g.stop()
	p.stop()

	taken := launch(t, binary, "lab", g.address)
	ready(t, taken, g.address)
	if code, _, talk := run(t, "lab", g.address); code != 1 || !strings.Contains(talk, "gatewhy (pid ") || !strings.Contains(talk, "gatewhy lab 127.0.0.1:") {
		t.Errorf("a port that is taken: %d %s", code, talk)
	}
}

func TestVersionOfTheBinary(t *testing.T) {
	code, out, _ := run(t, "version", "--json")
	var v struct{ Version, Go, Platform string }
	if err := json.Unmarshal([]byte(out), &v); code != 0 || err != nil || v.Version == "" || v.Platform == "" {
		t.Errorf("%d %s %v", code, out, err)
	}
}

// A browser shows the error page, with the incident's number on it.
func TestBrowser(t *testing.T) {
	chromium := need(t, "chromium")
	g := proxy(t, script(t, answering(badName)), "--errors-detail", "public")
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
		"--disable-component-update", "--no-first-run", "--user-data-dir="+filepath.Join(t.TempDir(), "profile"),
		"--dump-dom", "http://"+g.address+"/cart")
	cmd.Env = environment(t.TempDir())
	dom, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium: %v\n%s", err, dom)
	}
	g.stop()
	var line struct {
		Incident string
		Path     string `json:"url.path"`
	}
	for l := range strings.Lines(g.printed()) {
		if err := json.Unmarshal([]byte(l), &line); err != nil {
			t.Fatal(err)
		}
		if line.Path == "/cart" {
			break
		}
	}
	if line.Incident == "" || !strings.Contains(string(dom), line.Incident) {
		t.Errorf("the page lacks the incident %q of the log:\n%s\n%s", line.Incident, dom, g.printed())
	}
	if !strings.Contains(string(dom), "<h1>") || strings.Contains(string(dom), "<script") {
		t.Errorf("the page has no heading, or a script:\n%s", dom)
	}
}
