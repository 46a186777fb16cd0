package program

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

var metricsAt = regexp.MustCompile(`metrics +http://(127\.0\.0\.1:\d+)/metrics`)

// What is served for a scraper is what happened: by route, by endpoint, by fault.
// promtool finds nothing wrong with it.
func TestMetrics(t *testing.T) {
	for _, engine := range []string{"portable", "epoll"} {
		t.Run(engine, func(t *testing.T) {
			good := called(t, "app")
			dead := script(t, func(c net.Conn, in *bufio.Reader) { head(in) }) // and hangs up
			s := serving(t, fmt.Sprintf(`
listen: 127.0.0.1:0
upstreams:
  app: { to: %s, health: /healthz }
  worse: { to: %s, retry: 1 }
sites:
  any:
    - { match: /bad, proxy: worse }
    - app
admin: { listen: "127.0.0.1:0" }
engine: %s
log: off
`, good, dead, engine))
			at := metricsAt.FindStringSubmatch(s.said())
			if at == nil {
				t.Fatalf("it does not say where its metrics are:\n%s", s.said())
			}
			ask := func(path string) (int, string) {
				t.Helper()
				resp, err := http.Get("http://" + at[1] + path)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				return resp.StatusCode, string(b)
			}
			for range 3 {
				s.wants("http://x.test/", "app")
			}
			if status, _ := s.get("http://x.test/bad"); status != 502 {
				t.Errorf("/bad: %d", status)
			}
			status, text := ask("/metrics")
			for _, line := range []string{
				`gatewhy_http_requests_total{site="any",route="any#2",method="GET",code="200"} 3`,
				`gatewhy_http_requests_total{site="any",route="any#1",method="GET",code="502"} 1`,
				`gatewhy_http_request_duration_seconds_count{site="any",route="any#2",method="GET",code_class="2xx"} 3`,
				`gatewhy_upstream_attempts_total{upstream="app",target="` + good + `",outcome="ok"} 3`,
				`gatewhy_upstream_attempts_total{upstream="worse",target="` + dead + `",outcome="fault"} 1`,
				`gatewhy_upstream_up{upstream="app",target="` + good + `"} 1`,
				`gatewhy_config_reloads_total{result="ok"} 0`,
				`gatewhy_config_last_reload_successful 1`,
			} {
				if !strings.Contains(text, "\n"+line+"\n") {
					t.Errorf("there is no line %s", line)
				}
			}
			if !strings.Contains(text, `side="upstream",upstream="worse",rescued="false"} 1`) || status != 200 {
				t.Errorf("the fault is not counted: %d", status)
			}
			if t.Failed() {
				t.Log(text)
			}
			cmd := exec.Command(need(t, "promtool"), "check", "metrics")
			cmd.Stdin = strings.NewReader(text)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("promtool: %v\n%s", err, out)
			}
			shipped(t, text)
			for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/state": 404, "/incidents": 404} {
				if status, _ := ask(path); status != want {
					t.Errorf("%s: %d, want %d", path, status, want)
				}
			}
			if err := os.WriteFile(s.file, []byte("sites: ["), 0o600); err != nil {
				t.Fatal(err)
			}
			s.tool("reload")
			if _, text := ask("/metrics"); !strings.Contains(text, "\ngatewhy_config_last_reload_successful 0\n") ||
				!strings.Contains(text, `gatewhy_config_reloads_total{result="error"} 1`) || !strings.Contains(text, `code="200"} 3`) {
				t.Errorf("after a reload that failed:\n%s", text)
			}
			s.stop()
		})
	}
}

var metricName = regexp.MustCompile(`\b(?:gatewhy|process|go)_[a-z0-9_]+`)

// shipped holds the metrics that alerts and boards speak of against a scrape.
func shipped(t *testing.T, scrape string) {
	t.Helper()
	families := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(scrape, -1) {
		if families[m[1]] = true; m[2] == "histogram" {
			families[m[1]+"_bucket"] = true
		}
	}
	// Without a TLS listener there is no certificate.
	families["gatewhy_tls_certificate_not_after_timestamp_seconds"] = true
	for _, file := range []string{"prometheus/rules.yml", "grafana/traffic.json", "grafana/upstreams.json"} {
		b, err := os.ReadFile("../../deploy/" + file)
		if err != nil {
			t.Fatal(err)
		}
		names := metricName.FindAllString(string(b), -1)
		for _, name := range names {
			if !families[name] && !strings.HasSuffix(name, "_5m") && !strings.HasSuffix(name, "_requests") {
				t.Errorf("%s speaks of %s, which there is none of", file, name)
			}
		}
		if len(names) < 10 {
			t.Errorf("%s: %v", file, names)
		}
		if strings.HasSuffix(file, ".json") && !json.Valid(b) {
			t.Errorf("%s is no JSON", file)
		}
	}
	if out, err := exec.Command(need(t, "promtool"), "check", "rules", "../../deploy/prometheus/rules.yml").CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
