package otlp

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// decode reads a request as a collector does. The one deviation of OTLP's JSON from that of
// protobuf is that ids are hexadecimal.
func decode(t *testing.T, body []byte) *collector.ExportTraceServiceRequest {
	t.Helper()
	ids := regexp.MustCompile(`"(traceId|spanId|parentSpanId)":"([0-9a-f]*)"`)
	body = ids.ReplaceAllFunc(body, func(b []byte) []byte {
		m := ids.FindSubmatch(b)
		id, err := hex.DecodeString(string(m[2]))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Appendf(nil, "%q:%q", m[1], base64.StdEncoding.EncodeToString(id))
	})
	var r collector.ExportTraceServiceRequest
	if err := protojson.Unmarshal(body, &r); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	return &r
}

func attributes(s *trace.Span) (list []string) {
	for _, a := range s.Attributes {
		v := a.Value.GetStringValue()
		if n := a.Value.GetIntValue(); n != 0 {
			v = fmt.Sprint(n)
		}
		if a.Value.GetBoolValue() {
			v = "true"
		}
		list = append(list, a.Key+"="+v)
	}
	return list
}

func exchange() *trail.Trail {
	t := &trail.Trail{Began: 1_800_000_000_000_000_000, Method: []byte("GET"), Scheme: "https", Authority: []byte("[2001:db8::1]:8443"), Path: []byte("/a\"b\xff?q=1"),
		Client: []byte("203.0.113.9"), Major: 2, Route: "shop#1", Status: 200, UpstreamStatus: 200, Ended: 30_000_000, Sampled: true, N: 2,
		Trace: [16]byte{1, 15: 2}, Span: [8]byte{3}, Parent: [8]byte{4}, TLS: &trail.TLS{Version: "1.3"}, RequestID: []byte("id")}
	f := fault.New(fault.ConnectRefused)
	t.Attempts[0] = trail.Attempt{Upstream: "app", Endpoint: "app:80", Address: "10.0.0.1:80", Began: 1_000_000, Ended: 2_000_000, Fault: f}
	t.Attempts[1] = trail.Attempt{Upstream: "app", Endpoint: "app:81", Address: "10.0.0.2:81", Began: 2_000_000, Ended: 29_000_000, Status: 200, Reused: true, Span: [8]byte{5}}
	t.Fault, t.Rescued, t.Incident = f, true, [8]byte([]byte("7K3QM2VX"))
	return t
}

// What a collector reads is what the exchange was.
func TestSpans(t *testing.T) {
	failed := exchange()
	failed.Path, failed.Rescued, failed.Status, failed.Parent = []byte("/a?token=secret"), false, 502, [8]byte{}
	failed.Attempts[1].Fault = failed.Fault
	var got []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		if r.Header.Get("Content-Type") != "application/json" || r.Header.Get("X-Key") != "a b" {
			t.Errorf("%v", r.Header)
		}
	}))
	defer server.Close()
	p := NewPoster(Options{Endpoint: server.URL, Headers: http.Header{"X-Key": {"a b"}}, Resource: [][2]string{{"service.name", "edge \"1\""}}}, "1.2.3")
	if _, err := p.Write(AppendSpans(AppendSpans(nil, exchange(), nil), failed, nil)); err != nil {
		t.Fatal(err)
	}
	r := decode(t, got)
	rs := r.ResourceSpans[0]
	if v := rs.Resource.Attributes[0]; v.Key != "service.name" || v.Value.GetStringValue() != `edge "1"` || rs.ScopeSpans[0].Scope.Version != "1.2.3" {
		t.Errorf("resource %v, scope %v", rs.Resource, rs.ScopeSpans[0].Scope)
	}
	spans := rs.ScopeSpans[0].Spans
	if len(spans) != 4 || p.Sent() != 4 {
		t.Fatalf("%d spans, %d were sent", len(spans), p.Sent())
	}
	a, b, c, d := spans[0], spans[1], spans[2], spans[3]
	if a.Kind != trace.Span_SPAN_KIND_SERVER || a.Name != "GET shop#1" || hex.EncodeToString(a.TraceId) != "01000000000000000000000000000002" ||
		hex.EncodeToString(a.SpanId) != "0300000000000000" || hex.EncodeToString(a.ParentSpanId) != "0400000000000000" ||
		a.StartTimeUnixNano != 1_800_000_000_000_000_000 || a.EndTimeUnixNano != 1_800_000_000_030_000_000 || a.Status != nil {
		t.Errorf("%v", a)
	}
	if want := []string{"http.request.method=GET", "url.scheme=https", "url.path=/a\"b\ufffd", "url.query=q=1", "server.address=2001:db8::1", "server.port=8443",
		"client.address=203.0.113.9", "network.protocol.version=2", "http.route=shop#1", "http.response.status_code=200", "tls.protocol.version=1.3",
		"gatewhy.request_id=id", "gatewhy.rescued=connect_refused", "gatewhy.incident=7K3QM2VX"}; !slices.Equal(attributes(a), want) {
		t.Errorf("%q\nwant %q", attributes(a), want)
	}
	if b.Kind != trace.Span_SPAN_KIND_CLIENT || b.Name != "GET" || hex.EncodeToString(b.ParentSpanId) != "0300000000000000" || b.StartTimeUnixNano != 1_800_000_000_002_000_000 || b.Status != nil {
		t.Errorf("%v", b)
	}
	if want := []string{"http.request.method=GET", "network.peer.address=10.0.0.2", "network.peer.port=81", "server.address=app:81", "gatewhy.upstream=app",
		"http.response.status_code=200", "gatewhy.connection.reused=true"}; !slices.Equal(attributes(b), want) {
		t.Errorf("%q\nwant %q", attributes(b), want)
	}
	if c.Status.GetCode() != trace.Status_STATUS_CODE_ERROR || !slices.Contains(attributes(c), "error.type=connect_refused") || strings.Contains(fmt.Sprint(attributes(c)), "secret") || len(c.ParentSpanId) != 0 {
		t.Errorf("%v", c)
	}
	if d.Status.GetCode() != trace.Status_STATUS_CODE_ERROR {
		t.Errorf("%v", d)
	}
}

func TestWanted(t *testing.T) {
	x := exchange()
	x.Sampled = false
	if !Wanted(x) {
		t.Error("a fault is not told")
	}
	if x.Fault = nil; Wanted(x) {
		t.Error("what is not recorded is told")
	}
	x.Sampled = true
	if x.Trace = [16]byte{}; Wanted(x) {
		t.Error("what is in no trace is told")
	}
}

// A collector that cannot be reached is told of once, what comes meanwhile is dropped at
// once, and it goes on by itself.
func TestDeadCollector(t *testing.T) {
	well := false
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; !well {
			http.Error(w, "no room", http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	var told []string
	p := NewPoster(Options{Endpoint: server.URL, Tell: func(s string) { told = append(told, s) }}, "1")
	batch := AppendSpans(nil, exchange(), nil)
	p.Write(batch)
	p.Write(batch) // in the pause
	if asked != 1 || p.Dropped() != 4 || p.Sent() != 0 || p.pause != firstPause {
		t.Errorf("asked %d times, %d dropped, pause %v", asked, p.Dropped(), p.pause)
	}
	for range 10 {
		p.until = time.Time{}
		p.Write(batch)
	}
	if asked != 11 || p.pause != lastPause {
		t.Errorf("asked %d times, pause %v", asked, p.pause)
	}
	well, p.until = true, time.Time{}
	p.Write(batch)
	p.Drop(3)
	if p.Sent() != 2 || p.Dropped() != 27 || p.pause != 0 {
		t.Errorf("%d sent, %d dropped", p.Sent(), p.Dropped())
	}
	if len(told) != 2 || !strings.Contains(told[0], `it answers 503 "no room\n"; it is tried again`) || !strings.Contains(told[1], "is told of spans again") {
		t.Errorf("told %q", told)
	}
}

func TestEnvironment(t *testing.T) {
	for _, c := range []struct {
		env      string
		signal   Signal
		endpoint string // "" if it is off
		more     string
		err      string
	}{
		{"", Spans, "", "", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", Spans, "http://c:4318/v1/traces", "[[service.name gatewhy] [service.instance.id 7]] 0s", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318/x/ OTEL_SERVICE_NAME=edge OTEL_RESOURCE_ATTRIBUTES=a=b%20c,service.name=no", Spans, "http://c:4318/x/v1/traces", "[[a b c] [service.name edge] [service.instance.id 7]] 0s", ""},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://c/own OTEL_EXPORTER_OTLP_ENDPOINT=http://d OTEL_EXPORTER_OTLP_TIMEOUT=500", Spans, "https://c/own", "[[service.name gatewhy] [service.instance.id 7]] 500ms", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_SDK_DISABLED=true", Spans, "", "", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_TRACES_EXPORTER=none", Spans, "", "", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=c:4318", Spans, "", "", "OTEL_EXPORTER_OTLP_ENDPOINT is"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_EXPORTER_OTLP_PROTOCOL=grpc", Spans, "", "", "by HTTP"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_EXPORTER_OTLP_HEADERS=nonsense", Spans, "", "", "OTEL_EXPORTER_OTLP_HEADERS"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_EXPORTER_OTLP_TIMEOUT=soon", Spans, "", "", "OTEL_EXPORTER_OTLP_TIMEOUT"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318 OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://d OTEL_RESOURCE_ATTRIBUTES=service.instance.id=a", Metrics, "http://c:4318/v1/metrics", "[[service.instance.id a] [service.name gatewhy]] 0s", ""},
		{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c/m OTEL_EXPORTER_OTLP_METRICS_TIMEOUT=7 OTEL_EXPORTER_OTLP_TIMEOUT=8", Metrics, "http://c/m", "[[service.name gatewhy] [service.instance.id 7]] 7ms", ""},
		{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c/m", Spans, "", "", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_METRICS_EXPORTER=none", Metrics, "", "", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_METRIC_EXPORT_INTERVAL=0", Metrics, "", "", "OTEL_METRIC_EXPORT_INTERVAL"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_METRIC_EXPORT_INTERVAL=99999999999", Metrics, "", "", "OTEL_METRIC_EXPORT_INTERVAL"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_RESOURCE_ATTRIBUTES=x", Spans, "", "", "OTEL_RESOURCE_ATTRIBUTES"},
	} {
		env := map[string]string{}
		for _, f := range strings.Fields(c.env) {
			k, v, _ := strings.Cut(f, "=")
			env[k] = v
		}
		o, on, err := FromEnvironment(func(k string) string { return env[k] }, c.signal, "7")
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", c.env, err)
			}
		case err != nil || on != (c.endpoint != "") || on && (o.Endpoint != c.endpoint || fmt.Sprint(o.Resource, " ", o.Timeout) != c.more):
			t.Errorf("%s: %+v %v %v", c.env, o, on, err)
		}
	}
}

// Whatever the bytes, a collector can read it.
func FuzzSpans(f *testing.F) {
	f.Add("GET", "/a?b=c", "example.org:80", "id")
	f.Add("\x00\"\\", "/\xff?\u2028", "[::1]:1", "\x7f")
	p := NewPoster(Options{Resource: [][2]string{{"service.name", "x"}}}, "1")
	f.Fuzz(func(t *testing.T, method, path, authority, id string) {
		x := exchange()
		x.Method, x.Path, x.Authority, x.RequestID = []byte(method), []byte(path), []byte(authority), []byte(id)
		x.Attempts[1].Address = authority
		b := strings.TrimSuffix(string(AppendSpans(nil, x, nil)), ",")
		var r collector.ExportTraceServiceRequest
		plain := regexp.MustCompile(`"(traceId|spanId|parentSpanId)":"[0-9a-f]*",`).ReplaceAllString(b, "")
		if err := protojson.Unmarshal([]byte(string(p.before)+plain+after), &r); err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
	})
}

func TestSpansAllocateNothing(t *testing.T) {
	x := exchange()
	b := make([]byte, 0, 1<<16)
	if n := testing.AllocsPerRun(100, func() { b = AppendSpans(b[:0], x, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSpans(b *testing.B) {
	x := exchange()
	var dst []byte
	for b.Loop() {
		dst = AppendSpans(dst[:0], x, nil)
	}
}
