package metrics

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

func exchange(route, method string, status int, change func(*trail.Trail)) *trail.Trail {
	t := &trail.Trail{Site: strings.Split(route, "#")[0], Route: route, Method: []byte(method), Status: status, In: 100, Out: 1000, Ended: 30e6, N: 1}
	t.Attempts[0] = trail.Attempt{Upstream: "app", Endpoint: "10.0.0.1:80", Began: 1e6, Sent: 2e6, FirstByte: 22e6, Ended: 29e6}
	if change != nil {
		change(t)
	}
	return t
}

func text(t *testing.T, c *Counters, others ...Family) string {
	t.Helper()
	var b strings.Builder
	if err := Write(&b, append(c.Families(), others...)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCounters(t *testing.T) {
	var c Counters
	c.Record(exchange("a.test#1", "GET", 200, nil))
	c.Record(exchange("a.test#1", "GET", 200, nil))
	c.Record(exchange("a.test#1", "GET", 404, nil))
	c.Record(exchange("a.test#2", "BREW", 200, nil))
	c.Record(exchange("", "GET", 404, func(t *trail.Trail) { t.Site, t.N = "b.test", 0 }))
	c.Record(exchange("a.test#1", "POST", 0, func(t *trail.Trail) { t.Fault = fault.New(fault.ClientGone) }))
	c.Record(exchange("a.test#1", "GET", 200, func(t *trail.Trail) {
		t.Fault, t.Rescued, t.N = fault.New(fault.ConnectRefused), true, 2
		t.Attempts[1] = t.Attempts[0]
		t.Attempts[0] = trail.Attempt{Upstream: "app", Endpoint: "10.0.0.2:80", Began: 1, Resolved: 2e6, Ended: 5e6, Fault: t.Fault}
	}))
	c.Record(exchange("a.test#1", "GET", 700, nil))
	got := text(t, &c)
	for _, line := range []string{
		`gatewhy_http_requests_total{site="a.test",route="a.test#1",method="GET",code="200"} 3`,
		`gatewhy_http_requests_total{site="a.test",route="a.test#1",method="GET",code="404"} 1`,
		`gatewhy_http_requests_total{site="a.test",route="a.test#1",method="GET",code="other"} 1`,
		`gatewhy_http_requests_total{site="a.test",route="a.test#1",method="POST",code="0"} 1`,
		`gatewhy_http_requests_total{site="a.test",route="a.test#2",method="other",code="200"} 1`,
		`gatewhy_http_requests_total{site="",route="",method="GET",code="404"} 1`,
		`gatewhy_http_request_duration_seconds_bucket{site="a.test",route="a.test#1",method="GET",code_class="2xx",le="0.025"} 0`,
		`gatewhy_http_request_duration_seconds_bucket{site="a.test",route="a.test#1",method="GET",code_class="2xx",le="0.05"} 3`,
		`gatewhy_http_request_duration_seconds_bucket{site="a.test",route="a.test#1",method="GET",code_class="2xx",le="+Inf"} 3`,
		`gatewhy_http_request_duration_seconds_sum{site="a.test",route="a.test#1",method="GET",code_class="2xx"} 0.09`,
		`gatewhy_http_request_duration_seconds_count{site="a.test",route="a.test#1",method="GET",code_class="2xx"} 3`,
		`gatewhy_http_request_bytes_total{site="a.test"} 700`,
		`gatewhy_http_response_bytes_total{site="a.test"} 7000`,
		`gatewhy_upstream_attempts_total{upstream="app",target="10.0.0.1:80",outcome="ok"} 7`,
		`gatewhy_upstream_attempts_total{upstream="app",target="10.0.0.2:80",outcome="fault"} 1`,
		`gatewhy_upstream_duration_seconds_count{upstream="app",phase="await"} 7`,
		`gatewhy_upstream_duration_seconds_bucket{upstream="app",phase="await",le="0.01"} 0`,
		`gatewhy_upstream_duration_seconds_bucket{upstream="app",phase="await",le="0.025"} 7`,
		`gatewhy_upstream_duration_seconds_count{upstream="app",phase="resolve"} 1`,
		`gatewhy_upstream_duration_seconds_count{upstream="app",phase="connect"} 0`,
		`gatewhy_faults_total{fault="client_gone",side="client",upstream="",rescued="false"} 1`,
		`gatewhy_faults_total{fault="connect_refused",side="upstream",upstream="app",rescued="true"} 1`,
		`gatewhy_rescues_total{how="retry"} 1`,
		`gatewhy_rescues_total{how="repair"} 0`,
	} {
		if !strings.Contains(got, "\n"+line+"\n") {
			t.Errorf("there is no line %s", line)
		}
	}
	if t.Failed() {
		t.Log(got)
	}

	// Two loops are the sum of both.
	var sum Counters
	sum.Add(&c)
	if text(t, &sum) != got {
		t.Error("the sum of one is not that one")
	}
	sum.Add(&c)
	if s := text(t, &sum); !strings.Contains(s, `code="200"} 6`) || !strings.Contains(s, `outcome="ok"} 14`) || !strings.Contains(s, `{how="retry"} 2`) {
		t.Error("the sum of two is not twice as much")
	}
}

var (
	sampleLine = regexp.MustCompile(`^([a-z_:][a-z0-9_:]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)$`)
	helpLine   = regexp.MustCompile(`^# HELP ([a-z_]+) .+$`)
	typeLine   = regexp.MustCompile(`^# TYPE ([a-z_]+) (counter|gauge|histogram)$`)
)

// The format is Prometheus' text format 0.0.4: each family has its help and type
// before its samples, in one block, no sample is there twice, buckets only rise and
// end with the count.
func valid(t *testing.T, s string) {
	t.Helper()
	seen, families := map[string]bool{}, map[string]bool{}
	family, typ, bucket := "", "", -1.0
	for line := range strings.Lines(s) {
		line = strings.TrimSuffix(line, "\n")
		if m := helpLine.FindStringSubmatch(line); m != nil {
			if families[m[1]] {
				t.Errorf("two families are called %s", m[1])
			}
			family, typ, families[m[1]] = m[1], "", true
			continue
		}
		if m := typeLine.FindStringSubmatch(line); m != nil {
			if typ = m[2]; m[1] != family {
				t.Errorf("a type without help: %s", line)
			}
			if typ == "counter" != strings.HasSuffix(family, "_total") {
				t.Errorf("%s is a %s", family, typ)
			}
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("no sample: %q", line)
			continue
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil || seen[m[1]+m[2]] {
			t.Errorf("twice, or no number: %s", line)
		}
		seen[m[1]+m[2]] = true
		switch suffix, ok := strings.CutPrefix(m[1], family); {
		case !ok || suffix != "" && (typ != "histogram" || !slices.Contains([]string{"_bucket", "_sum", "_count"}, suffix)) || suffix == "" && typ == "histogram":
			t.Errorf("not of family %s: %s", family, line)
		case suffix == "_bucket":
			if v < bucket {
				t.Errorf("fewer in a larger bucket: %s", line)
			}
			bucket = v
		case suffix == "_count":
			if v != bucket {
				t.Errorf("the last bucket has %v: %s", bucket, line)
			}
			bucket = -1
		}
	}
}

func TestFormat(t *testing.T) {
	var c Counters
	valid(t, text(t, &c))
	for i := range 200 {
		c.Record(exchange(fmt.Sprintf("%c\"\\\n.test#%d", 'a'+i%7, i%3), []string{"GET", "POST", "x\"\n"}[i%3], 100+i*3, func(x *trail.Trail) {
			x.Ended = trail.Stamp(i) * 100e6
			x.Attempts[0].Endpoint = fmt.Sprintf("unix:/a \"%d\\", i%4)
			if i%5 == 0 {
				x.Fault = fault.New(fault.WriteTimeout)
			}
		}))
	}
	valid(t, text(t, &c, Family{Name: "x_total", Help: "a\nb\\", Type: "counter", Samples: []Sample{{Labels: []string{"l", "a\n\"\\"}, Value: 1e9}}}))
}

// Nothing that a client sends becomes a label: however it asks, the number of samples
// stays what it is.
func TestLabelsAreBounded(t *testing.T) {
	var c Counters
	ask := func(i int) {
		c.Record(exchange("", fmt.Sprintf("M%d", i), 400, func(x *trail.Trail) {
			x.Site, x.N = fmt.Sprintf("host%d.test", i), 0
			x.Path, x.Authority = fmt.Appendf(nil, "/%d", i), fmt.Appendf(nil, "host%d.test", i)
			x.Fault = fault.New(fault.NoSite, "host", fmt.Sprint(i))
		}))
		c.Record(exchange("a#1", fmt.Sprintf("M%d", i), 1000+i, nil)) // an upstream's idea
	}
	ask(0)
	before := strings.Count(text(t, &c), "\n")
	for i := range 1000 {
		ask(i)
	}
	if after := strings.Count(text(t, &c), "\n"); after != before {
		t.Errorf("%d lines have become %d", before, after)
	}
}

func TestRecordAllocatesNothing(t *testing.T) {
	var c Counters
	list := []*trail.Trail{exchange("a#1", "GET", 200, nil), exchange("a#2", "GET", 304, nil), exchange("b#1", "POST", 201, nil)}
	list[2].Attempts[0].Endpoint = "10.0.0.2:80"
	record := func() {
		for _, x := range list {
			c.Record(x)
		}
	}
	record()
	if n := testing.AllocsPerRun(100, record); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	var c Counters
	x := exchange("a#1", "GET", 200, nil)
	b.ReportAllocs()
	for b.Loop() {
		c.Record(x)
	}
}

func BenchmarkRecordManyRoutes(b *testing.B) {
	var c Counters
	var list []*trail.Trail
	for i := range 10_000 {
		list = append(list, exchange(fmt.Sprintf("site%d.test#1", i), "GET", 200, nil))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Record(list[i*7919%len(list)])
	}
	Write(io.Discard, c.Families())
}
