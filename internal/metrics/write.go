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

// A Family is one metric with its samples, besides those of Counters.
type Family struct {
	Name, Help, Type string // Type is counter or gauge
	Samples          []Sample
}

// Sample is a value with its labels: names and values in turn.
type Sample struct {
	Labels []string
	Value  float64
}

// Write writes the counters and the other families in Prometheus' text format.
func (c *Counters) Write(w io.Writer, others []Family) error {
	p := &printer{w: bufio.NewWriter(w)}
	c.writeRoutes(p)
	c.writeEndpoints(p)
	c.writeFaults(p)
	for _, f := range others {
		p.family(f.Name, f.Type, f.Help)
		for _, s := range f.Samples {
			p.sample(f.Name, "", s.Value, s.Labels...)
		}
	}
	return p.w.Flush()
}

func (c *Counters) writeRoutes(p *printer) {
	ids := slices.Sorted(maps.Keys(c.routes))
	each := func(f func(r *ofRoute, id, method string, m *ofMethod)) {
		for _, id := range ids {
			for i, m := range c.routes[id].methods {
				if m != nil {
					f(c.routes[id], id, methods[i], m)
				}
			}
		}
	}
	const requests = "gatewhy_http_requests_total"
	p.family(requests, "counter", "Exchanges that are over, by what the client got; code 0 is nothing, 499 a client that left.")
	each(func(r *ofRoute, id, method string, m *ofMethod) {
		list := slices.Clone(m.statuses)
		slices.SortFunc(list, func(a, b ofStatus) int { return cmp.Compare(a.status, b.status) })
		for _, s := range list {
			p.sample(requests, "", float64(s.n), "site", r.site, "route", id, "method", method, "code", code(s.status))
		}
	})
	const duration = "gatewhy_http_request_duration_seconds"
	p.family(duration, "histogram", "From the first byte of a request to the last of its answer.")
	each(func(r *ofRoute, id, method string, m *ofMethod) {
		for i, h := range m.classes {
			if h != nil {
				p.histogram(duration, h, "site", r.site, "route", id, "method", method, "code_class", classes[i])
			}
		}
	})
	sites := map[string][2]int64{}
	for _, r := range c.routes {
		n := sites[r.site]
		sites[r.site] = [2]int64{n[0] + r.in, n[1] + r.out}
	}
	for i, f := range [...]struct{ name, help string }{
		{"gatewhy_http_request_bytes_total", "Bytes from clients, heads included."},
		{"gatewhy_http_response_bytes_total", "Bytes to clients, heads included."},
	} {
		p.family(f.name, "counter", f.help)
		for _, s := range slices.Sorted(maps.Keys(sites)) {
			p.sample(f.name, "", float64(sites[s][i]), "site", s)
		}
	}
}

var classes = [6]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

func code(status int) string {
	switch status {
	case 0:
		return "0"
	case statuses - 1:
		return "other"
	}
	return strconv.Itoa(status + 99)
}

func (c *Counters) writeEndpoints(p *printer) {
	keys := slices.SortedFunc(maps.Keys(c.endpoints), func(a, b endpointKey) int {
		return cmp.Or(cmp.Compare(a.upstream, b.upstream), cmp.Compare(a.endpoint, b.endpoint))
	})
	const attempts = "gatewhy_upstream_attempts_total"
	p.family(attempts, "counter", "Tries of exchanges on endpoints; outcome fault is one that failed, lost one that another was quicker than.")
	for _, k := range keys {
		e := c.endpoints[k]
		p.sample(attempts, "", float64(e.good), "upstream", k.upstream, "target", k.endpoint, "outcome", "ok")
		p.sample(attempts, "", float64(e.bad), "upstream", k.upstream, "target", k.endpoint, "outcome", "fault")
		if e.lost > 0 {
			p.sample(attempts, "", float64(e.lost), "upstream", k.upstream, "target", k.endpoint, "outcome", "lost")
		}
	}
	const duration = "gatewhy_upstream_duration_seconds"
	p.family(duration, "histogram", "The phases of attempts; await is from the request's end to the answer's first byte.")
	sums := map[string]*[len(phases)]histogram{}
	for _, k := range keys {
		s := sums[k.upstream]
		if s == nil {
			s = new([len(phases)]histogram)
			sums[k.upstream] = s
		}
		for i := range phases {
			s[i].add(&c.endpoints[k].phases[i])
		}
	}
	for _, u := range slices.Sorted(maps.Keys(sums)) {
		for i, phase := range phases {
			p.histogram(duration, &sums[u][i], "upstream", u, "phase", phase)
		}
	}
}

func (c *Counters) writeFaults(p *printer) {
	const faults = "gatewhy_faults_total"
	p.family(faults, "counter", "Exchanges with a fault, by its id (gatewhy explain ID); rescued are those whose client got a good answer all the same.")
	for _, k := range slices.SortedFunc(maps.Keys(c.faults), func(a, b faultKey) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.upstream, b.upstream), cmp.Compare(strconv.FormatBool(a.rescued), strconv.FormatBool(b.rescued)))
	}) {
		side := ""
		if row := fault.Lookup(k.id); row != nil {
			side = row.Side.String()
		}
		p.sample(faults, "", float64(c.faults[k]), "fault", string(k.id), "side", side, "upstream", k.upstream, "rescued", strconv.FormatBool(k.rescued))
	}
	const rescues = "gatewhy_rescues_total"
	p.family(rescues, "counter", "Would-be failures that became good answers: by another attempt, by mending an answer, or by asking another endpoint as well.")
	p.sample(rescues, "", float64(c.retried), "how", "retry")
	p.sample(rescues, "", float64(c.repaired), "how", "repair")
	p.sample(rescues, "", float64(c.hedged), "how", "hedge")
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

func (p *printer) family(name, typ, help string) {
	p.w.WriteString("# HELP " + name + " " + escapeHelp.Replace(help) + "\n# TYPE " + name + " " + typ + "\n")
}

func (p *printer) sample(name, suffix string, v float64, labels ...string) {
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

func (p *printer) histogram(name string, h *histogram, labels ...string) {
	total := uint64(0)
	within := append(slices.Clone(labels), "le", "")
	for i, n := range h.counts {
		total += n
		within[len(within)-1] = "+Inf"
		if i < len(buckets) {
			within[len(within)-1] = strconv.FormatFloat(buckets[i], 'g', -1, 64)
		}
		p.sample(name, "_bucket", float64(total), within...)
	}
	p.sample(name, "_sum", float64(h.sum)/1e9, labels...)
	p.sample(name, "_count", float64(total), labels...)
}
