package otlp

import (
	"bytes"
	"context"
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

// Options say where spans go. They are the variables of OpenTelemetry, see FromEnvironment.
type Options struct {
	Endpoint string // URL for POST
	Headers  http.Header
	Timeout  time.Duration // 0 means DefaultTimeout
	// Resource are the attributes of who tells: service.name and more, in this order.
	Resource [][2]string
	// Tell hears in a line when sending begins to fail, and when it goes on. It may be nil.
	Tell func(string)
}

// FromEnvironment reads the variables by which OpenTelemetry is configured: on is false
// if none names where to send to. The error names the variable that cannot be used.
func FromEnvironment(getenv func(string) string) (o Options, on bool, err error) {
	first := func(names ...string) (string, string) {
		for _, n := range names {
			if v := getenv(n); v != "" {
				return v, n
			}
		}
		return "", ""
	}
	if off, _ := strconv.ParseBool(getenv("OTEL_SDK_DISABLED")); off || getenv("OTEL_TRACES_EXPORTER") == "none" {
		return o, false, nil
	}
	endpoint, name := first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	if endpoint == "" {
		return o, false, nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return o, false, fmt.Errorf("%s is %q, which is no URL: write one such as http://localhost:4318", name, endpoint)
	}
	if name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
		u = u.JoinPath("v1/traces")
	}
	o.Endpoint, o.Headers = u.String(), http.Header{}
	if p, name := first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); p == "grpc" {
		return o, false, fmt.Errorf("%s is grpc: spans are sent by HTTP, to port 4318 of a collector as it comes", name)
	}
	list, name := first("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
	for k, v := range pairs(list) {
		if k == "" {
			return o, false, fmt.Errorf("%s is no list of NAME=VALUE, separated by commas", name)
		}
		o.Headers.Add(k, v)
	}
	if ms, name := first("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"); ms != "" {
		n, err := strconv.Atoi(ms)
		if err != nil || n <= 0 {
			return o, false, fmt.Errorf("%s is %q, which is no number of milliseconds", name, ms)
		}
		o.Timeout = time.Duration(n) * time.Millisecond
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
	if service == "" && !slices.ContainsFunc(o.Resource, func(p [2]string) bool { return p[0] == "service.name" }) {
		service = "gatewhy"
	}
	if service != "" {
		o.Resource = append(o.Resource, [2]string{"service.name", service})
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

// Poster sends batches of spans. It is an io.Writer, used by one goroutine at a time.
type Poster struct {
	o      Options
	client http.Client
	before []byte // of a batch
	failed error  // the last sending, nil if it went well
	pause  time.Duration
	until  time.Time

	dropped atomic.Uint64
	sent    atomic.Uint64
}

const after = `]}]}]}`

// NewPoster makes a poster. version is the program's.
func NewPoster(o Options, version string) *Poster {
	p := &Poster{o: o}
	if p.o.Timeout <= 0 {
		p.o.Timeout = DefaultTimeout
	}
	if p.o.Tell == nil {
		p.o.Tell = func(string) {}
	}
	s := span{dst: []byte(`{"resourceSpans":[{"resource":{"attributes":[`)}
	for _, a := range o.Resource {
		s.string(a[0], a[1])
	}
	s.dst = append(s.dst, `]},"scopeSpans":[{"scope":{"name":"gatewhy","version":"`...)
	p.before = append(escape(s.dst, version), `"},"spans":[`...)
	return p
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
	if time.Now().Before(p.until) {
		p.dropped.Add(spans)
		return len(b), nil
	}
	body := slices.Concat(p.before, bytes.TrimSuffix(b, []byte(",")), []byte(after))
	err := p.post(body)
	switch {
	case err != nil:
		p.dropped.Add(spans)
		p.pause = min(max(firstPause, 2*p.pause), lastPause)
		p.until = time.Now().Add(p.pause)
		if p.failed == nil {
			p.o.Tell(fmt.Sprintf("spans are dropped, %s cannot be told: %v; it is tried again, with growing pauses", p.o.Endpoint, err))
		}
	default:
		p.sent.Add(spans)
		p.pause = 0
		if p.failed != nil {
			p.o.Tell(fmt.Sprintf("%s is told of spans again; %d were dropped so far", p.o.Endpoint, p.dropped.Load()))
		}
	}
	p.failed = err
	return len(b), nil
}

func (p *Poster) post(body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), p.o.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.o.Endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for k, v := range p.o.Headers {
		r.Header[k] = v
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := p.client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return err
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("it answers %d %.200q", res.StatusCode, answer)
	}
	return nil
}
