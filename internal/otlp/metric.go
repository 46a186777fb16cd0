package otlp

import (
	"context"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatewhy/gatewhy/internal/metrics"
)

// DefaultInterval is the time between two exports of metrics, as the specification has it.
const DefaultInterval = time.Minute

// Reporter sends metrics from time to time.
type Reporter struct {
	link
	version string
	gather  func() []metrics.Family
	began   time.Time

	sent, dropped atomic.Uint64 // exports
}

// NewReporter makes a reporter of what gather returns, which is called on the goroutine of
// Run. version is the program's, and began is when its counters were 0.
func NewReporter(o Options, version string, began time.Time, gather func() []metrics.Family) *Reporter {
	r := &Reporter{link: newLink(o, Metrics), version: version, gather: gather, began: began}
	if r.o.Interval <= 0 {
		r.o.Interval = DefaultInterval
	}
	return r
}

// Sent counts the exports that were taken, and Dropped the others. Nothing is lost by one
// that was dropped, but for the times between: sums go on.
func (r *Reporter) Sent() uint64 { return r.sent.Load() }

// Dropped counts the exports that were not taken.
func (r *Reporter) Dropped() uint64 { return r.dropped.Load() }

// Run sends until ctx is done, and then once more, for as long as last.
func (r *Reporter) Run(ctx context.Context, last time.Duration) {
	tick := time.NewTicker(r.o.Interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.export(ctx)
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), last)
			defer cancel()
			r.export(ctx)
			return
		}
	}
}

func (r *Reporter) export(ctx context.Context) {
	body := append([]byte(`{"resourceMetrics":[{"resource":`), r.resource()...)
	body = scope(append(body, `,"scopeMetrics":[{`...), r.version)
	body = appendFamilies(append(body, `"metrics":[`...), r.gather(), r.began, time.Now())
	if sent, _ := r.send(ctx, append(body, after...)); sent {
		r.sent.Add(1)
	} else {
		r.dropped.Add(1)
	}
}

// standard are the metrics that the semantic conventions have a name for.
var standard = map[string]struct{ name, unit string }{
	"http_server_request_duration_seconds": {"http.server.request.duration", "s"},
	"process_cpu_seconds_total":            {"process.cpu.time", "s"},
	"process_resident_memory_bytes":        {"process.memory.usage", "By"},
	"process_open_fds":                     {"process.unix.file_descriptor.count", "{file_descriptor}"},
	"go_goroutines":                        {"go.goroutine.count", "{goroutine}"},
}

// units are what names of metrics end with.
var units = [...]struct{ suffix, unit string }{{"_seconds", "s"}, {"_bytes", "By"}}

// nameOf is the name and unit that a collector turns into that of Prometheus again.
func nameOf(f *metrics.Family) (name, unit string) {
	if s, ok := standard[f.Name]; ok {
		return s.name, s.unit
	}
	name = f.Name
	if f.Type == "counter" {
		name = strings.TrimSuffix(name, "_total")
	}
	for _, u := range units {
		if short, ok := strings.CutSuffix(name, u.suffix); ok {
			name, unit = short, u.unit
			break
		}
	}
	return strings.ReplaceAll(name, "_", "."), unit
}

// appendFamilies appends metrics, each but the last with a comma behind it.
func appendFamilies(dst []byte, list []metrics.Family, began, now time.Time) []byte {
	start := strconv.AppendInt(append([]byte(nil), `"startTimeUnixNano":"`...), began.UnixNano(), 10)
	times := append(strconv.AppendInt(append(start, `","timeUnixNano":"`...), now.UnixNano(), 10), '"')
	some := false
	for i := range list {
		f := &list[i]
		if len(f.Samples) == 0 {
			continue
		}
		if some {
			dst = append(dst, ',')
		}
		some = true
		name, unit := nameOf(f)
		dst = escape(append(dst, `{"name":"`...), name)
		dst = escape(append(dst, `","description":"`...), f.Help)
		if unit != "" {
			dst = append(append(dst, `","unit":"`...), unit...)
		}
		switch f.Type {
		case "counter":
			dst = append(dst, `","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[`...)
		case "histogram":
			dst = append(dst, `","histogram":{"aggregationTemporality":2,"dataPoints":[`...)
		default:
			dst = append(dst, `","gauge":{"dataPoints":[`...)
		}
		for i := range f.Samples {
			if i > 0 {
				dst = append(dst, ',')
			}
			s := span{dst: append(dst, '{')}
			s.labels(name, f.Samples[i].Labels)
			dst = append(append(s.dst, ','), times...)
			dst = append(appendValue(dst, &f.Samples[i]), '}')
		}
		dst = append(dst, `]}}`...)
	}
	return dst
}

func appendValue(dst []byte, s *metrics.Sample) []byte {
	h := s.Histogram
	if h == nil {
		return appendFloat(append(dst, `,"asDouble":`...), s.Value)
	}
	dst = append(strconv.AppendUint(append(dst, `,"count":"`...), h.Count(), 10), '"')
	dst = appendFloat(append(dst, `,"sum":`...), h.Sum())
	dst = append(dst, `,"bucketCounts":[`...)
	for i, n := range h.Counts() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(strconv.AppendUint(append(dst, '"'), n, 10), '"')
	}
	dst = append(dst, `],"explicitBounds":[`...)
	for i, b := range metrics.Bounds() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendFloat(dst, b)
	}
	return append(dst, ']')
}

// appendFloat writes a number as JSON has it; what is none is 0.
func appendFloat(dst []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		v = 0
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}

// labels writes those of a sample as attributes.
func (s *span) labels(metric string, labels []string) {
	s.dst, s.some = append(s.dst, `"attributes":[`...), false
	for i := 0; i < len(labels); i += 2 {
		k, v := labels[i], labels[i+1]
		if metric == "http.server.request.duration" {
			s.ofExchange(k, v)
		} else {
			s.string(k, v)
		}
	}
	s.dst = append(s.dst, ']')
}

// ofExchange writes a label of http.server.request.duration as the conventions have it.
func (s *span) ofExchange(label, v string) {
	switch label {
	case "route":
		s.string("http.route", v)
	case "scheme":
		s.string("url.scheme", v)
	case "method":
		if v == "other" {
			v = "_OTHER"
		}
		s.string("http.request.method", v)
	case "code":
		n, err := strconv.ParseInt(v, 10, 64)
		switch {
		case err != nil: // what an upstream made up
			s.string("error.type", "_OTHER")
		case n == 0: // nothing was sent
			s.string("error.type", "_OTHER")
		default:
			s.number("http.response.status_code", n)
			if n >= 500 {
				s.string("error.type", v)
			}
		}
	default:
		s.string("gatewhy."+label, v)
	}
}
