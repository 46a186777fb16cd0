package metrics

import (
	"bufio"
	"cmp"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gatewhy/gatewhy/fault"
)

// ContentType is that of what Write writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// A Family is one metric with its samples.
type Family struct {
	Name, Help, Type string // Type is counter, gauge or histogram
	Samples          []Sample
}

// Sample is a value with its labels: names and values in turn.
type Sample struct {
	Labels    []string
	Value     float64
	Histogram *Histogram // in the place of Value
}

func (f *Family) add(v float64, labels ...string) {
	f.Samples = append(f.Samples, Sample{Labels: labels, Value: v})
}

func (f *Family) addHistogram(h *Histogram, labels ...string) {
	f.Samples = append(f.Samples, Sample{Labels: labels, Histogram: h})
}

// Families are all that is counted.
func (c *Counters) Families() []Family {
	return slices.Concat(c.ofRoutes(), c.ofEndpoints(), c.ofFaults())
}

// eachMethod calls f for each route and method that was met, in order.
func (c *Counters) eachMethod(f func(r *ofRoute, id, method string, m ofMethod)) {
	for _, id := range slices.Sorted(maps.Keys(c.routes)) {
		for i, m := range c.routes[id].methods {
			if m != nil {
				f(c.routes[id], id, methods[i], *m)
			}
		}
	}
}

// Durations tells how long exchanges took by all that is known of them: site, route, scheme,
// method and code. It is finer than what Families have, and for those who want the metric of
// OpenTelemetry's semantic conventions.
func (c *Counters) Durations() Family {
	f := Family{Name: "http_server_request_duration_seconds", Type: "histogram", Help: durationHelp}
	c.eachMethod(func(r *ofRoute, id, method string, m ofMethod) {
		for _, o := range slices.SortedFunc(slices.Values(m), func(a, b ofOutcome) int {
			return cmp.Or(cmp.Compare(a.status, b.status), cmp.Compare(scheme(a.secure), scheme(b.secure)))
		}) {
			f.addHistogram(o.took, "site", r.site, "route", id, "scheme", scheme(o.secure), "method", method, "code", code(o.status))
		}
	})
	return f
}

const durationHelp = "From the first byte of a request to the last of its answer."

func scheme(secure bool) string {
	if secure {
		return "https"
	}
	return "http"
}

func (c *Counters) ofRoutes() []Family {
	requests := Family{Name: "gatewhy_http_requests_total", Type: "counter", Help: "Exchanges that are over, by what the client got; code 0 is nothing, 499 a client that left."}
	duration := Family{Name: "gatewhy_http_request_duration_seconds", Type: "histogram", Help: durationHelp}
	c.eachMethod(func(r *ofRoute, id, method string, m ofMethod) {
		n := map[int]uint64{}
		var ofClass [len(classes)]*Histogram
		for _, o := range m {
			n[o.status] += o.took.Count()
			i := class(o.status)
			if ofClass[i] == nil {
				ofClass[i] = new(Histogram)
			}
			ofClass[i].add(o.took)
		}
		for _, s := range slices.Sorted(maps.Keys(n)) {
			requests.add(float64(n[s]), "site", r.site, "route", id, "method", method, "code", code(s))
		}
		for i, h := range ofClass {
			if h != nil {
				duration.addHistogram(h, "site", r.site, "route", id, "method", method, "code_class", classes[i])
			}
		}
	})
	sites := map[string][2]int64{}
	for _, r := range c.routes {
		n := sites[r.site]
		sites[r.site] = [2]int64{n[0] + r.in, n[1] + r.out}
	}
	in := Family{Name: "gatewhy_http_request_bytes_total", Type: "counter", Help: "Bytes from clients, heads included."}
	out := Family{Name: "gatewhy_http_response_bytes_total", Type: "counter", Help: "Bytes to clients, heads included."}
	for _, s := range slices.Sorted(maps.Keys(sites)) {
		in.add(float64(sites[s][0]), "site", s)
		out.add(float64(sites[s][1]), "site", s)
	}
	return []Family{requests, duration, in, out}
}

var classes = [6]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// class is the index in classes of a status as statusOf has it.
func class(status int) int {
	if status > 0 && status < statuses-1 {
		return (status + 99) / 100
	}
	return 0
}

func code(status int) string {
	switch status {
	case 0:
		return "0"
	case statuses - 1:
		return "other"
	}
	return strconv.Itoa(status + 99)
}

func (c *Counters) ofEndpoints() []Family {
	keys := slices.SortedFunc(maps.Keys(c.endpoints), func(a, b endpointKey) int {
		return cmp.Or(cmp.Compare(a.upstream, b.upstream), cmp.Compare(a.endpoint, b.endpoint))
	})
	attempts := Family{Name: "gatewhy_upstream_attempts_total", Type: "counter", Help: "Tries of exchanges on endpoints; outcome fault is one that failed, lost one that another was quicker than."}
	sums := map[string]*[len(phases)]Histogram{}
	for _, k := range keys {
		e := c.endpoints[k]
		attempts.add(float64(e.good), "upstream", k.upstream, "target", k.endpoint, "outcome", "ok")
		attempts.add(float64(e.bad), "upstream", k.upstream, "target", k.endpoint, "outcome", "fault")
		if e.lost > 0 {
			attempts.add(float64(e.lost), "upstream", k.upstream, "target", k.endpoint, "outcome", "lost")
		}
		s := sums[k.upstream]
		if s == nil {
			s = new([len(phases)]Histogram)
			sums[k.upstream] = s
		}
		for i := range phases {
			s[i].add(&e.phases[i])
		}
	}
	duration := Family{Name: "gatewhy_upstream_duration_seconds", Type: "histogram", Help: "The phases of attempts; await is from the request's end to the answer's first byte."}
	for _, u := range slices.Sorted(maps.Keys(sums)) {
		for i, phase := range phases {
			duration.addHistogram(&sums[u][i], "upstream", u, "phase", phase)
		}
	}
	return []Family{attempts, duration}
}

func (c *Counters) ofFaults() []Family {
	faults := Family{Name: "gatewhy_faults_total", Type: "counter", Help: "Exchanges with a fault, by its id (gatewhy explain ID); rescued are those whose client got a good answer all the same."}
	for _, k := range slices.SortedFunc(maps.Keys(c.faults), func(a, b faultKey) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.upstream, b.upstream), cmp.Compare(strconv.FormatBool(a.rescued), strconv.FormatBool(b.rescued)))
	}) {
		side := ""
		if row := fault.Lookup(k.id); row != nil {
			side = row.Side.String()
		}
		faults.add(float64(c.faults[k]), "fault", string(k.id), "side", side, "upstream", k.upstream, "rescued", strconv.FormatBool(k.rescued))
	}
	rescues := Family{Name: "gatewhy_rescues_total", Type: "counter", Help: "Would-be failures that became good answers: by another attempt, by mending an answer, or by asking another endpoint as well."}
	rescues.add(float64(c.retried), "how", "retry")
	rescues.add(float64(c.repaired), "how", "repair")
	rescues.add(float64(c.hedged), "how", "hedge")
	return []Family{faults, rescues}
}

// Write writes families in Prometheus' text format.
func Write(w io.Writer, families []Family) error {
	p := &printer{w: bufio.NewWriter(w)}
	for _, f := range families {
		p.w.WriteString("# HELP " + f.Name + " " + escapeHelp.Replace(f.Help) + "\n# TYPE " + f.Name + " " + f.Type + "\n")
		for _, s := range f.Samples {
			if s.Histogram != nil {
				p.histogram(f.Name, s.Histogram, s.Labels)
			} else {
				p.sample(f.Name, "", s.Value, s.Labels)
			}
		}
	}
	return p.w.Flush()
}

// printer writes the text format.
type printer struct {
	w    *bufio.Writer
	text []byte
}

var (
	escapeHelp  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	escapeLabel = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

func (p *printer) sample(name, suffix string, v float64, labels []string) {
	p.w.WriteString(name)
	p.w.WriteString(suffix)
	for i := 0; i < len(labels); i += 2 {
		if i == 0 {
			p.w.WriteByte('{')
		} else {
			p.w.WriteByte(',')
		}
		p.w.WriteString(labels[i])
		p.w.WriteString(`="`)
		escapeLabel.WriteString(p.w, labels[i+1])
		p.w.WriteByte('"')
	}
	if len(labels) > 0 {
		p.w.WriteByte('}')
	}
	p.w.WriteByte(' ')
	p.text = strconv.AppendFloat(p.text[:0], v, 'g', -1, 64)
	p.w.Write(append(p.text, '\n'))
}

func (p *printer) histogram(name string, h *Histogram, labels []string) {
	total := uint64(0)
	within := append(slices.Clone(labels), "le", "")
	for i, n := range h.counts {
		total += n
		within[len(within)-1] = "+Inf"
		if i < len(buckets) {
			within[len(within)-1] = strconv.FormatFloat(buckets[i], 'g', -1, 64)
		}
		p.sample(name, "_bucket", float64(total), within)
	}
	p.sample(name, "_sum", h.Sum(), labels)
	p.sample(name, "_count", float64(total), labels)
}
