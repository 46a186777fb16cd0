package otlp

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	measured "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/metrics"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// handler is a collector without a network, which a bubble can hold.
type handler func(w http.ResponseWriter, r *http.Request)

func (h handler) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	h(w, r)
	return w.Result(), nil
}

// counted are counters that met a bit of everything.
func counted() *metrics.Counters {
	c := new(metrics.Counters)
	for i, status := range []int{200, 200, 404, 503, 0, 700} {
		x := exchange()
		x.Fault, x.Rescued, x.Site, x.Status, x.Ended = nil, false, "shop", status, trail.Stamp(1_000_000<<(2*i))
		if i == 1 {
			x.Scheme, x.Fault, x.Rescued = "http", fault.New(fault.ConnectRefused), true
		}
		if i == 2 {
			x.Method = []byte("BREW")
		}
		c.Record(x)
	}
	return c
}

func labelsOf(list []*common.KeyValue) string {
	var b strings.Builder
	for _, a := range list {
		v := a.Value.GetStringValue()
		if _, ok := a.Value.Value.(*common.AnyValue_IntValue); ok {
			v = fmt.Sprint(a.Value.GetIntValue())
		}
		fmt.Fprintf(&b, " %s=%s", a.Key, v)
	}
	return b.String()
}

func readMetrics(t *testing.T, body []byte) (*measured.ResourceMetrics, map[string]*measured.Metric) {
	t.Helper()
	var r collector.ExportMetricsServiceRequest
	if err := protojson.Unmarshal(body, &r); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	list := map[string]*measured.Metric{}
	for _, m := range r.ResourceMetrics[0].ScopeMetrics[0].Metrics {
		if list[m.Name] != nil {
			t.Errorf("%s is there twice", m.Name)
		}
		list[m.Name] = m
	}
	return r.ResourceMetrics[0], list
}

// What a collector reads is what a scrape has, value for value: each sample of the text is
// found again under the name that collectors make the text's name of.
func TestMetricsAreThoseOfAScrape(t *testing.T) {
	c := counted()
	others := []metrics.Family{
		{Name: "gatewhy_a_b_timestamp_seconds", Type: "gauge", Help: "a \"b\"\n", Samples: []metrics.Sample{{Labels: []string{"l", "x\x00\"y"}, Value: 1.5}}},
		{Name: "process_cpu_seconds_total", Type: "counter", Help: "CPU.", Samples: []metrics.Sample{{Value: 0.25}}},
		{Name: "gatewhy_nothing_total", Type: "counter", Help: "None."},
		{Name: "gatewhy_odd", Type: "gauge", Help: "Odd.", Samples: []metrics.Sample{{Value: math.Inf(1)}, {Labels: []string{"a", "b"}, Value: math.NaN()}}},
	}
	families := append(append(c.Families(), c.Durations()), others...)
	var got []byte
	r := NewReporter(Options{Resource: [][2]string{{"service.name", "edge"}}}, "1.2.3", time.Unix(1000, 0), func() []metrics.Family { return families })
	r.client.Transport = handler(func(_ http.ResponseWriter, r *http.Request) { got, _ = io.ReadAll(r.Body) })
	r.export(t.Context())
	rm, list := readMetrics(t, got)
	if rm.Resource.Attributes[0].Value.GetStringValue() != "edge" || rm.ScopeMetrics[0].Scope.Version != "1.2.3" || r.Sent() != 1 || r.Dropped() != 0 {
		t.Errorf("%v, sent %d", rm, r.Sent())
	}
	found := 0
	for _, f := range families {
		name, unit := nameOf(&f)
		m := list[name]
		if m == nil {
			if len(f.Samples) > 0 {
				t.Errorf("there is no %s for %s", name, f.Name)
			}
			continue
		}
		if standard[f.Name].name == "" {
			// https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
			back := strings.ReplaceAll(name, ".", "_")
			back += map[string]string{"s": "_seconds", "By": "_bytes"}[unit]
			if f.Type == "counter" {
				back += "_total"
			}
			if back != f.Name {
				t.Errorf("%s comes back as %s", f.Name, back)
			}
		}
		if m.Unit != unit || m.Description != f.Help {
			t.Errorf("%s: unit %q, description %q", name, m.Unit, m.Description)
		}
		for i, s := range f.Samples {
			want := ""
			for j := 0; j < len(s.Labels); j += 2 {
				if s.Labels[j+1] != "" {
					want += " " + s.Labels[j] + "=" + s.Labels[j+1]
				}
			}
			if f.Type == "histogram" {
				p := m.GetHistogram().DataPoints[i]
				if m.GetHistogram().AggregationTemporality != measured.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE ||
					p.Count != s.Histogram.Count() || p.GetSum() != s.Histogram.Sum() || fmt.Sprint(p.BucketCounts) != fmt.Sprint(s.Histogram.Counts()) || fmt.Sprint(p.ExplicitBounds) != fmt.Sprint(metrics.Bounds()) ||
					p.StartTimeUnixNano != 1000e9 || p.TimeUnixNano <= 1000e9 {
					t.Errorf("%s: %v of %v", name, p, s)
				}
			} else {
				points := m.GetGauge().GetDataPoints()
				if f.Type == "counter" {
					if points = m.GetSum().GetDataPoints(); !m.GetSum().IsMonotonic || m.GetSum().AggregationTemporality != measured.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE {
						t.Errorf("%s: %v", name, m)
					}
				}
				v := s.Value
				if math.IsNaN(v) || math.IsInf(v, 0) {
					v = 0
				}
				if p := points[i]; p.GetAsDouble() != v || labelsOf(p.Attributes) != want && name != "http.server.request.duration" {
					t.Errorf("%s: %v, labels%s, of %v", name, p, labelsOf(p.Attributes), s)
				}
			}
			found++
		}
	}
	if found < 20 {
		t.Errorf("only %d samples", found)
	}
}

// Durations have the attributes of the semantic conventions for HTTP servers.
func TestDurations(t *testing.T) {
	body := appendFamilies([]byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[`), []metrics.Family{counted().Durations()}, time.Unix(1, 0), time.Unix(2, 0))
	_, list := readMetrics(t, append(body, after...))
	got := ""
	for _, p := range list["http.server.request.duration"].GetHistogram().DataPoints {
		got += strconv.FormatUint(p.Count, 10) + labelsOf(p.Attributes) + "\n"
	}
	if want := `1 gatewhy.site=shop http.route=shop#1 url.scheme=https http.request.method=GET error.type=_OTHER
1 gatewhy.site=shop http.route=shop#1 url.scheme=http http.request.method=GET http.response.status_code=200
1 gatewhy.site=shop http.route=shop#1 url.scheme=https http.request.method=GET http.response.status_code=200
1 gatewhy.site=shop http.route=shop#1 url.scheme=https http.request.method=GET http.response.status_code=503 error.type=503
1 gatewhy.site=shop http.route=shop#1 url.scheme=https http.request.method=GET error.type=_OTHER
1 gatewhy.site=shop http.route=shop#1 url.scheme=https http.request.method=_OTHER http.response.status_code=404
`; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// Exports leave at the interval, pause when the collector asks for it, and once more at the
// end.
func TestReporter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var at []string
		var told []string
		r := NewReporter(Options{Interval: 10 * time.Second, Tell: func(s string) { told = append(told, s) }}, "1", began, func() []metrics.Family { return nil })
		r.client.Transport = handler(func(w http.ResponseWriter, _ *http.Request) {
			now := time.Since(began)
			at = append(at, now.String())
			switch { // by the time, which is all that the test and the reporter share
			case now < 25*time.Second:
			case now < 45*time.Second: // asked at 30 s, left alone at 40 s
				w.Header().Set("Retry-After", "15")
				w.WriteHeader(http.StatusTooManyRequests)
			default:
				io.WriteString(w, `{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"too \"old\""}}`)
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); r.Run(ctx, time.Second) }()
		time.Sleep(65 * time.Second)
		cancel()
		<-ended
		if s := strings.Join(at, " "); s != "10s 20s 30s 50s 1m0s 1m5s" {
			t.Errorf("exports at %s", s)
		}
		if r.Sent() != 5 || r.Dropped() != 2 {
			t.Errorf("%d sent, %d dropped", r.Sent(), r.Dropped())
		}
		if len(told) != 3 || !strings.Contains(told[0], "metrics are dropped") || !strings.Contains(told[1], `tells of metrics: "too \"old\"" (3 were refused)`) || !strings.Contains(told[2], "is told of metrics again") {
			t.Errorf("told %q", told)
		}
	})
}

// Spans that a collector takes and then refuses are counted as dropped.
func TestRefusedSpans(t *testing.T) {
	var told []string
	p := NewPoster(Options{Tell: func(s string) { told = append(told, s) }}, "1")
	p.client.Transport = handler(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"partialSuccess":{"rejectedSpans":1}}`)
	})
	batch := AppendSpans(nil, exchange(), nil)
	p.Write(batch)
	p.Write(batch)
	if p.Sent() != 2 || p.Dropped() != 2 || len(told) != 1 || !strings.Contains(told[0], "no reason given") {
		t.Errorf("%d sent, %d dropped, told %q", p.Sent(), p.Dropped(), told)
	}
}

// A thousand routes with all that may be counted.
func BenchmarkMetrics(b *testing.B) {
	c := new(metrics.Counters)
	for i := range 1000 {
		x := exchange()
		x.Site, x.Route = fmt.Sprint("site", i), fmt.Sprintf("site%d#1", i)
		c.Record(x)
	}
	var dst []byte
	for b.Loop() {
		dst = appendFamilies(dst[:0], c.Families(), time.Unix(1, 0), time.Now())
	}
	b.ReportMetric(float64(len(dst)), "B/export")
}
