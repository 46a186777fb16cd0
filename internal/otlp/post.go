package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// DefaultTimeout bounds the sending of one batch, as the specification has it.
const DefaultTimeout = 10 * time.Second

// The pauses after batches that could not be sent: what comes meanwhile is dropped at
// once, and not kept for a collector that may never come.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// Signal is a kind of what is told.
type Signal int

// The signals.
const (
	Spans Signal = iota
	Metrics
)

var signals = [...]struct {
	variable string // the word for it in names of variables
	path     string // below an endpoint for all signals
	noun     string // for people
}{{"TRACES", "v1/traces", "spans"}, {"METRICS", "v1/metrics", "metrics"}}

// Options say where a signal goes. They are the variables of OpenTelemetry, see
// FromEnvironment.
type Options struct {
	Endpoint string // URL for POST
	Headers  http.Header
	Timeout  time.Duration // 0 means DefaultTimeout
	Interval time.Duration // of metrics; 0 means DefaultInterval
	// Resource are the attributes of who tells: service.name and more, in this order.
	Resource [][2]string
	// Tell hears in a line when sending begins to fail, and when it goes on. It may be nil.
	Tell func(string)
}

// FromEnvironment reads the variables by which OpenTelemetry is configured: on is false
// if none names where to send the signal to. The error names the variable that cannot be
// used. Resource is what they say, with a service.name and with instance as
// service.instance.id where they have none: counters of two processes must not be taken
// for one that jumps.
func FromEnvironment(getenv func(string) string, signal Signal, instance string) (o Options, on bool, err error) {
	word := signals[signal].variable
	first := func(names ...string) (string, string) {
		for _, n := range names {
			if v := getenv(n); v != "" {
				return v, n
			}
		}
		return "", ""
	}
	if off, _ := strconv.ParseBool(getenv("OTEL_SDK_DISABLED")); off || getenv("OTEL_"+word+"_EXPORTER") == "none" {
		return o, false, nil
	}
	endpoint, name := first("OTEL_EXPORTER_OTLP_"+word+"_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	if endpoint == "" {
		return o, false, nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return o, false, fmt.Errorf("%s is %q, which is no URL: write one such as http://localhost:4318", name, endpoint)
	}
	if name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
		u = u.JoinPath(signals[signal].path)
	}
	o.Endpoint, o.Headers = u.String(), http.Header{}
	if p, name := first("OTEL_EXPORTER_OTLP_"+word+"_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); p == "grpc" {
		return o, false, fmt.Errorf("%s is grpc: %s are sent by HTTP, to port 4318 of a collector as it comes", name, signals[signal].noun)
	}
	list, name := first("OTEL_EXPORTER_OTLP_"+word+"_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
	for k, v := range pairs(list) {
		if k == "" {
			return o, false, fmt.Errorf("%s is no list of NAME=VALUE, separated by commas", name)
		}
		o.Headers.Add(k, v)
	}
	milliseconds := func(to *time.Duration, names ...string) error {
		ms, name := first(names...)
		if ms == "" {
			return nil
		}
		n, err := strconv.ParseInt(ms, 10, 32)
		if err != nil || n <= 0 {
			return fmt.Errorf("%s is %q, which is no number of milliseconds", name, ms)
		}
		*to = time.Duration(n) * time.Millisecond
		return nil
	}
	if err := milliseconds(&o.Timeout, "OTEL_EXPORTER_OTLP_"+word+"_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"); err != nil {
		return o, false, err
	}
	if signal == Metrics {
		if err := milliseconds(&o.Interval, "OTEL_METRIC_EXPORT_INTERVAL"); err != nil {
			return o, false, err
		}
	}
	service := getenv("OTEL_SERVICE_NAME")
	for k, v := range pairs(getenv("OTEL_RESOURCE_ATTRIBUTES")) {
		switch {
		case k == "":
			return o, false, errors.New("OTEL_RESOURCE_ATTRIBUTES is no list of NAME=VALUE, separated by commas")
		case k == "service.name" && service != "":
			continue
		}
		o.Resource = append(o.Resource, [2]string{k, v})
	}
	has := func(name string) bool {
		return slices.ContainsFunc(o.Resource, func(p [2]string) bool { return p[0] == name })
	}
	if service == "" && !has("service.name") {
		service = "gatewhy"
	}
	if service != "" {
		o.Resource = append(o.Resource, [2]string{"service.name", service})
	}
	if instance != "" && !has("service.instance.id") {
		o.Resource = append(o.Resource, [2]string{"service.instance.id", instance})
	}
	return o, true, nil
}

// pairs are those of NAME=VALUE,NAME=VALUE, values percent-encoded as in Baggage. One that
// is none has no name.
func pairs(list string) func(yield func(k, v string) bool) {
	return func(yield func(k, v string) bool) {
		for part := range strings.SplitSeq(list, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			k, v, ok := strings.Cut(part, "=")
			value, err := url.PathUnescape(strings.TrimSpace(v))
			if k = strings.TrimSpace(k); !ok || err != nil {
				k = ""
			}
			if !yield(k, value) {
				return
			}
		}
	}
}

// link is the way to a collector, with what became of it. It is used by one goroutine at a
// time.
type link struct {
	o      Options
	noun   string
	client http.Client
	failed error // the last sending, nil if it went well
	pause  time.Duration
	until  time.Time // nothing is sent before
	warned string    // the last thing that a collector did not like in what it took
}

func newLink(o Options, signal Signal) link {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	return link{o: o, noun: signals[signal].noun}
}

// resource is the value of the member of that name.
func (l *link) resource() []byte {
	s := span{dst: []byte(`{"attributes":[`)}
	for _, a := range l.o.Resource {
		s.string(a[0], a[1])
	}
	return append(s.dst, `]}`...)
}

// send sends a request, unless it is too early for another try. refused is how many of what
// it carried the collector took and then would not have.
func (l *link) send(ctx context.Context, body []byte) (sent bool, refused uint64) {
	if time.Now().Before(l.until) {
		return false, 0
	}
	a, err := l.post(ctx, body)
	if err != nil {
		l.pause = max(min(max(firstPause, 2*l.pause), lastPause), a.after)
		l.until = time.Now().Add(l.pause)
		if l.failed == nil {
			l.o.Tell(fmt.Sprintf("%s are dropped, %s cannot be told: %v; it is tried again, with growing pauses", l.noun, l.o.Endpoint, err))
		}
		l.failed = err
		return false, 0
	}
	if a.message != l.warned {
		if l.warned = a.message; a.message != "" {
			l.o.Tell(fmt.Sprintf("%s tells of %s: %.200q (%d were refused)", l.o.Endpoint, l.noun, a.message, a.refused))
		}
	}
	if l.failed != nil {
		l.o.Tell(fmt.Sprintf("%s is told of %s again", l.o.Endpoint, l.noun))
	}
	l.failed, l.pause = nil, 0
	return true, a.refused
}

// answer is a collector's.
type answer struct {
	after   time.Duration // that it wants to be left alone; 0 if it did not say
	refused uint64
	message string
}

// longestAfter bounds what a collector may ask for.
const longestAfter = time.Hour

func (l *link) post(ctx context.Context, body []byte) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.o.Endpoint, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	for k, v := range l.o.Headers {
		r.Header[k] = v
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := l.client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return a, err
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if res.StatusCode/100 != 2 {
		if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 {
			a.after = min(time.Duration(n)*time.Second, longestAfter)
		}
		return a, fmt.Errorf("it answers %d %.200q", res.StatusCode, text)
	}
	// Whether it is JSON or the protobuf of a collector that knows no other answer: only what
	// can be read has something to say.
	var partial struct {
		PartialSuccess struct {
			RejectedSpans      json.Number `json:"rejectedSpans"`
			RejectedDataPoints json.Number `json:"rejectedDataPoints"`
			ErrorMessage       string      `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
	if json.Unmarshal(text, &partial) == nil {
		p := &partial.PartialSuccess
		spans, _ := p.RejectedSpans.Int64()
		points, _ := p.RejectedDataPoints.Int64()
		a.refused, a.message = uint64(max(0, spans)+max(0, points)), p.ErrorMessage
		if a.message == "" && a.refused > 0 {
			a.message = "no reason given"
		}
	}
	return a, nil
}

// Poster sends batches of spans. It is an io.Writer, used by one goroutine at a time.
type Poster struct {
	link
	before  []byte // of a batch
	dropped atomic.Uint64
	sent    atomic.Uint64
}

const after = `]}]}]}`

// NewPoster makes a poster. version is the program's.
func NewPoster(o Options, version string) *Poster {
	p := &Poster{link: newLink(o, Spans)}
	b := append([]byte(`{"resourceSpans":[{"resource":`), p.resource()...)
	p.before = append(scope(append(b, `,"scopeSpans":[{`...), version), `"spans":[`...)
	return p
}

// scope appends the member that says who measured.
func scope(dst []byte, version string) []byte {
	return append(escape(append(dst, `"scope":{"name":"gatewhy","version":"`...), version), `"},`...)
}

// Dropped counts the spans that nobody was told of, and Sent the others.
func (p *Poster) Dropped() uint64 { return p.dropped.Load() }

// Sent counts the spans that were told.
func (p *Poster) Sent() uint64 { return p.sent.Load() }

// Drop counts spans that did not come to a batch.
func (p *Poster) Drop(n int64) { p.dropped.Add(uint64(n)) }

// Write sends a batch: spans with a comma behind each. It never fails: what cannot be sent
// is dropped and counted, and after a failure all is for a while.
func (p *Poster) Write(b []byte) (int, error) {
	spans := uint64(bytes.Count(b, []byte(`{"traceId":"`)))
	if spans == 0 {
		return len(b), nil
	}
	sent, refused := p.send(context.Background(), slices.Concat(p.before, bytes.TrimSuffix(b, []byte(",")), []byte(after)))
	if !sent {
		refused = spans
	}
	refused = min(refused, spans)
	p.dropped.Add(refused)
	p.sent.Add(spans - refused)
	return len(b), nil
}
