package program

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// A collector hears of exchanges, over a reload too, and of faults whose trace nobody
// records; its absence is told and stops nobody. One that wants no metrics gets spans all
// the same.
func TestSpansReachACollector(t *testing.T) {
	bodies, metrics := make(chan string, 100), make(chan string, 100)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/v1/metrics" {
			select {
			case metrics <- string(b):
			default:
			}
			http.Error(w, "no metrics here", http.StatusNotFound)
			return
		}
		bodies <- r.URL.Path + " " + string(b)
	}))
	defer collector.Close()
	parents := make(chan string, 100)
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" { // which the start asks for
			parents <- r.Header.Get("Traceparent")
		}
	}))
	defer up.Close()
	text := `
listen: 127.0.0.1:0
upstreams: { app: { to: %s, retry: 1 } }
sites: { "http://a": app, "http://b": 127.0.0.1:1 }
trace: { sample: %s }
log: json
`
	app := strings.TrimPrefix(up.URL, "http://")
	s := servingIn(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL, "OTEL_SERVICE_NAME=edge", "OTEL_METRIC_EXPORT_INTERVAL=200"}, fmt.Sprintf(text, app, "1"))
	s.get("http://a/one")
	body := <-bodies
	parent := strings.Split(<-parents, "-")
	if !strings.HasPrefix(body, `/v1/traces {"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"edge"}},{"key":"service.instance.id","value":{"stringValue":"`) ||
		len(parent) != 4 || strings.Count(body, `"traceId":"`+parent[1]+`"`) != 2 || !strings.Contains(body, `"spanId":"`+parent[2]+`"`) || !strings.Contains(body, `"/one"`) {
		t.Errorf("the upstream's parent is %v, and the collector got %s", parent, body)
	}
	s.awaitPrinted(`"trace_id":"` + parent[1] + `"`)
	write(t, s.file, fmt.Sprintf(text, app, "0"))
	if code, _, talk := s.tool("reload"); code != 0 {
		t.Fatalf("reload: %s", talk)
	}
	s.get("http://a/unseen")
	s.get("http://b/fault")
	body = <-bodies
	if strings.Contains(body, "unseen") || !regexp.MustCompile(`"url.path","value":\{"stringValue":"/fault"\}.*"error.type","value":\{"stringValue":"connect_refused"\}.*"status":\{"code":2\}`).MatchString(body) {
		t.Errorf("the collector got %s", body)
	}
	for instance := regexp.MustCompile(`"service.instance.id","value":\{"stringValue":"[0-9a-f-]{36}"`).FindString(body); ; {
		m := <-metrics
		if instance == "" || !strings.Contains(m, instance) {
			t.Fatalf("metrics of another than %s: %s", instance, m)
		}
		if strings.Contains(m, `"http.server.request.duration"`) && strings.Contains(m, `"gatewhy.http.requests"`) {
			break
		}
	}
	s.await("metrics are dropped, " + collector.URL + `/v1/metrics cannot be told: it answers 404 "no metrics here\n"`)
	collector.Close()
	s.get("http://b/fault")
	s.await("spans are dropped, " + collector.URL + "/v1/traces cannot be told: ")
	s.wants("http://a/", "")
	s.stop()
}

// The last that is counted is told at the end.
func TestMetricsReachACollector(t *testing.T) {
	bodies := make(chan string, 100)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		bodies <- string(b)
	}))
	defer collector.Close()
	s := servingIn(t, []string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=" + collector.URL + "/any"}, `
listen: 127.0.0.1:0
sites: { "http://a": 127.0.0.1:1 }
`)
	s.get("http://a/")
	s.stop()
	if len(bodies) != 1 {
		t.Fatalf("%d exports", len(bodies))
	}
	if b := <-bodies; !strings.Contains(b, `{"key":"fault","value":{"stringValue":"connect_refused"}}`) || !strings.Contains(b, `{"key":"service.name","value":{"stringValue":"gatewhy"}}`) {
		t.Errorf("the collector got %s", b)
	}
}
