// Package metrics counts what exchanges come to and writes it in Prometheus' text
// format.
//
// Each loop has Counters of its own, which only its tasks touch: counting takes no
// lock and, once a route, an endpoint or a status has been seen, allocates nothing.
// Add takes their sums where somebody asks. Labels are names of the configuration and
// of the catalogue, methods that RFCs define, and statuses: nothing that a client can
// make up, so their number is bounded.
package metrics

import (
	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// buckets are the upper bounds of durations, in seconds: those that OpenTelemetry
// advises for HTTP.
var buckets = [...]float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// bounds are the buckets in nanoseconds.
var bounds = func() (b [len(buckets)]int64) {
	for i, s := range buckets {
		b[i] = int64(s * 1e9)
	}
	return b
}()

// Histogram counts durations. The last count is of those beyond all bounds.
type Histogram struct {
	counts [len(buckets) + 1]uint64
	sum    int64 // nanoseconds
}

// Bounds are the upper bounds of the buckets of every Histogram, in seconds.
func Bounds() []float64 { return buckets[:] }

// Counts are how many durations are in each bucket and in none before it; there is one more
// than Bounds, for those beyond.
func (h *Histogram) Counts() []uint64 { return h.counts[:] }

// Sum is that of all durations, in seconds.
func (h *Histogram) Sum() float64 { return float64(h.sum) / 1e9 }

// Count is how many there were.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.counts {
		n += c
	}
	return n
}

func (h *Histogram) observe(ns int64) {
	i := 0
	for i < len(bounds) && ns > bounds[i] {
		i++
	}
	h.counts[i]++
	h.sum += ns
}

func (h *Histogram) add(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.sum += o.sum
}

// methods are those that have a label of their own; the others are the last.
var methods = [...]string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "other"}

func methodOf(m []byte) int {
	for i := range methods[:len(methods)-1] {
		if string(m) == methods[i] {
			return i
		}
	}
	return len(methods) - 1
}

// statuses is how many there may be: 0 where nothing could be sent, 100 to 599, and
// the last one for anything else that an upstream made up.
const statuses = 502

func statusOf(n int) int {
	switch {
	case n == 0:
		return 0
	case n >= 100 && n <= 599:
		return n - 99
	}
	return statuses - 1
}

// outcome is what the client of an exchange got: a status, as statusOf has it, by https or
// by http.
type outcome struct {
	status int
	secure bool
}

// ofOutcome counts the exchanges of one route, method and outcome.
type ofOutcome struct {
	outcome
	took *Histogram
}

// ofMethod counts those of one route and method. The outcomes are few, so they are looked
// through; the last one met moves ahead.
type ofMethod []ofOutcome

func (m *ofMethod) of(o outcome) *Histogram {
	l := *m
	for i := range l {
		if l[i].outcome == o {
			h := l[i].took
			if i > 0 {
				l[i], l[i-1] = l[i-1], l[i]
			}
			return h
		}
	}
	h := new(Histogram)
	*m = append(l, ofOutcome{o, h})
	return h
}

// ofRoute counts the exchanges of one route.
type ofRoute struct {
	site    string
	methods [len(methods)]*ofMethod
	in, out int64
}

// The phases of an attempt that are measured.
var phases = [...]string{"resolve", "connect", "secure", "send", "await", "body"}

// ofEndpoint counts the attempts on one endpoint.
type ofEndpoint struct {
	good, bad, lost uint64
	phases          [len(phases)]Histogram
}

type endpointKey struct{ upstream, endpoint string }

type faultKey struct {
	id       fault.ID
	upstream string
	rescued  bool
}

// Counters are those of one loop, or the sums of several. The zero value is ready.
// But for Add its methods must be called from tasks of one loop.
type Counters struct {
	routes    map[string]*ofRoute
	endpoints map[endpointKey]*ofEndpoint
	faults    map[faultKey]uint64
	retried   uint64 // rescues by another attempt
	repaired  uint64 // answers that were mended
	hedged    uint64 // answers of an endpoint that was asked as well

	// What was met last is likely to be met next.
	lastRoute    string
	last         *ofRoute
	lastKey      endpointKey
	lastEndpoint *ofEndpoint
}

// Record counts an exchange that is over.
func (c *Counters) Record(t *trail.Trail) {
	r := c.last
	if r == nil || c.lastRoute != t.Route {
		r = c.route(t)
	}
	r.in += t.In
	r.out += t.Out
	i := methodOf(t.Method)
	m := r.methods[i]
	if m == nil {
		m = new(ofMethod)
		r.methods[i] = m
	}
	m.of(outcome{statusOf(t.Status), t.Scheme == "https"}).observe(int64(t.Ended))
	for i := range t.Tries() {
		c.attempt(t, &t.Attempts[i])
	}
	if t.Fault != nil {
		c.fault(t)
	}
	if t.Hedged {
		c.hedged++
	}
	for _, n := range t.Receipts() {
		if fault.Lookup(n.ID).Kind == fault.Repair {
			c.repaired++
			break
		}
	}
}

func (c *Counters) route(t *trail.Trail) *ofRoute {
	r := c.routes[t.Route]
	if r == nil {
		if c.routes == nil {
			c.routes = map[string]*ofRoute{}
		}
		r = &ofRoute{}
		if t.Route != "" { // one of no site is for any
			r.site = t.Site
		}
		c.routes[t.Route] = r
	}
	c.last, c.lastRoute = r, t.Route
	return r
}

func (c *Counters) attempt(t *trail.Trail, a *trail.Attempt) {
	k := endpointKey{a.Upstream, a.Endpoint}
	e := c.lastEndpoint
	if e == nil || c.lastKey != k {
		if e = c.endpoints[k]; e == nil {
			if c.endpoints == nil {
				c.endpoints = map[endpointKey]*ofEndpoint{}
			}
			e = &ofEndpoint{}
			c.endpoints[k] = e
		}
		c.lastEndpoint, c.lastKey = e, k
	}
	switch {
	case a.Fault != nil:
		e.bad++
	case a.Lost:
		e.lost++
	default:
		e.good++
	}
	// A phase that did not happen has no stamp, or the one of the phase before.
	last := max(a.Began, a.Selected) // the wait in a queue is no endpoint's
	for i, s := range [...]trail.Stamp{a.Resolved, a.Connected, a.Secured, a.Sent, a.FirstByte, a.Ended} {
		if s == 0 || i == len(phases)-1 && a.FirstByte == 0 {
			continue
		}
		if s > last || i >= 3 {
			e.phases[i].observe(int64(max(s-last, 0)))
		}
		last = max(last, s)
	}
}

func (c *Counters) fault(t *trail.Trail) {
	k := faultKey{id: t.Fault.ID, rescued: t.Rescued}
	for i := range t.Tries() {
		if t.Attempts[i].Fault != nil {
			k.upstream = t.Attempts[i].Upstream
			break
		}
	}
	if c.faults == nil {
		c.faults = map[faultKey]uint64{}
	}
	c.faults[k]++
	if t.Rescued {
		c.retried++
	}
}

// Add adds what o has counted.
func (c *Counters) Add(o *Counters) {
	if c.routes == nil {
		c.routes, c.endpoints, c.faults = map[string]*ofRoute{}, map[endpointKey]*ofEndpoint{}, map[faultKey]uint64{}
	}
	for id, from := range o.routes {
		r := c.routes[id]
		if r == nil {
			r = &ofRoute{site: from.site}
			c.routes[id] = r
		}
		r.in, r.out = r.in+from.in, r.out+from.out
		for i, m := range from.methods {
			if m == nil {
				continue
			}
			if r.methods[i] == nil {
				r.methods[i] = new(ofMethod)
			}
			r.methods[i].add(m)
		}
	}
	for k, from := range o.endpoints {
		e := c.endpoints[k]
		if e == nil {
			e = &ofEndpoint{}
			c.endpoints[k] = e
		}
		e.good, e.bad, e.lost = e.good+from.good, e.bad+from.bad, e.lost+from.lost
		for i := range from.phases {
			e.phases[i].add(&from.phases[i])
		}
	}
	for k, n := range o.faults {
		c.faults[k] += n
	}
	c.retried, c.repaired, c.hedged = c.retried+o.retried, c.repaired+o.repaired, c.hedged+o.hedged
}

func (m *ofMethod) add(o *ofMethod) {
	for _, x := range *o {
		m.of(x.outcome).add(x.took)
	}
}
