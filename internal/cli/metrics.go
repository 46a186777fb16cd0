package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	rt "runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatewhy/gatewhy/internal/metrics"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// reloads counts what came of reloads.
type reloads struct {
	mu       sync.Mutex
	ok, bad  int
	last     bool // the last one went well, or there was none
	lastGood time.Time
}

func (r *reloads) note(done bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last = done; done {
		r.ok, r.lastGood = r.ok+1, time.Now()
	} else {
		r.bad++
	}
}

// ready tells why no requests should come here.
func (s *service) ready() error {
	if s.gateway.Stopping() {
		return errors.New("stopping")
	}
	var wrong []string
	for _, u := range s.gateway.Upstreams() {
		down := 0
		list := u.State()
		for _, e := range list {
			if e.State != upstream.StateUp && e.State != upstream.StateEjected {
				down++
			}
		}
		if down == len(list) {
			wrong = append(wrong, fmt.Sprintf("all of upstream %s is down or taken out", u.Name()))
		}
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// metrics writes all that is counted.
func (s *service) metrics(w io.Writer) error {
	c, open := s.gateway.Counters()
	return metrics.Write(w, append(c.Families(), s.families(open)...))
}

// gather is the same for a collector, and one metric more: that of the semantic conventions.
func (s *service) gather() []metrics.Family {
	c, open := s.gateway.Counters()
	return append(append(c.Families(), c.Durations()), s.families(open)...)
}

// families are the metrics that are not counted by exchanges; open is the number of
// connections.
func (s *service) families(open int) []metrics.Family {
	one := func(name, typ, help string, v float64, labels ...string) metrics.Family {
		return metrics.Family{Name: name, Type: typ, Help: help, Samples: []metrics.Sample{{Labels: labels, Value: v}}}
	}
	up := metrics.Family{Name: "gatewhy_upstream_up", Type: "gauge", Help: "Whether an endpoint gets its share of requests; 0 if it is ejected, down or taken out."}
	queued := metrics.Family{Name: "gatewhy_upstream_queued", Type: "gauge", Help: "Requests that wait because all endpoints are full."}
	limits := metrics.Family{Name: "gatewhy_upstream_limit", Type: "gauge", Help: "Requests that may be under way on an endpoint, where that is limited."}
	running := metrics.Family{Name: "gatewhy_upstream_in_flight", Type: "gauge", Help: "Requests that are, where that is limited."}
	panics := metrics.Family{Name: "gatewhy_upstream_panic", Type: "gauge", Help: "Whether all endpoints are asked because fewer than the panic threshold are well."}
	for _, u := range s.gateway.Upstreams() {
		p := 0.0
		if u.Panics() {
			p = 1
		}
		panics.Samples = append(panics.Samples, metrics.Sample{Labels: []string{"upstream", u.Name()}, Value: p})
		queued.Samples = append(queued.Samples, metrics.Sample{Labels: []string{"upstream", u.Name()}, Value: float64(u.Queued())})
		for _, e := range u.State() {
			v := 0.0
			if e.State == upstream.StateUp {
				v = 1
			}
			if labels := []string{"upstream", u.Name(), "target", e.Name}; e.Limit > 0 {
				limits.Samples = append(limits.Samples, metrics.Sample{Labels: labels, Value: float64(e.Limit)})
				running.Samples = append(running.Samples, metrics.Sample{Labels: labels, Value: float64(e.Requests)})
			}
			up.Samples = append(up.Samples, metrics.Sample{Labels: []string{"upstream", u.Name(), "target", e.Name}, Value: v})
		}
	}
	h := s.gateway.Handshakes()
	shakes := metrics.Family{Name: "gatewhy_tls_handshakes_total", Type: "counter", Help: "TLS handshakes of clients; plain is one that spoke HTTP without TLS to a TLS listener."}
	for _, x := range []struct {
		what string
		n    uint64
	}{{"full", h.Full}, {"resumed", h.Resumed}, {"failed", h.Failed}, {"plain", h.Plain}} {
		shakes.Samples = append(shakes.Samples, metrics.Sample{Labels: []string{"result", x.what}, Value: float64(x.n)})
	}
	families := []metrics.Family{up, queued, limits, running, panics, shakes,
		one("gatewhy_open_connections", "gauge", "Connections of clients that are open.", float64(open)),
		one("gatewhy_incidents_total", "counter", "Incidents since the start, those no longer kept as well.", float64(s.gateway.Incidents().Total()))}
	if store := s.gateway.Certificates(); store != nil {
		f := metrics.Family{Name: "gatewhy_tls_certificate_not_after_timestamp_seconds", Type: "gauge", Help: "When a certificate of ours ends."}
		for _, x := range store.Expiries() {
			f.Samples = append(f.Samples, metrics.Sample{Labels: []string{"name", x.Name}, Value: float64(x.NotAfter.Unix())})
		}
		families = append(families, f)
	}
	s.reloads.mu.Lock()
	r := &s.reloads
	good, when := 0.0, s.started
	if r.last || r.ok+r.bad == 0 {
		good = 1
	}
	if !r.lastGood.IsZero() {
		when = r.lastGood
	}
	families = append(families, metrics.Family{Name: "gatewhy_config_reloads_total", Type: "counter", Help: "Reloads of the configuration.",
		Samples: []metrics.Sample{{Labels: []string{"result", "ok"}, Value: float64(r.ok)}, {Labels: []string{"result", "error"}, Value: float64(r.bad)}}},
		one("gatewhy_config_last_reload_successful", "gauge", "1 unless the last reload was refused.", good),
		one("gatewhy_config_last_reload_success_timestamp_seconds", "gauge", "When the configuration in force was read.", float64(when.UnixMilli())/1e3))
	s.reloads.mu.Unlock()
	if s.spans != nil {
		families = append(families, metrics.Family{Name: "gatewhy_otlp_spans_total", Type: "counter", Help: "Spans for a collector; dropped is one that it was not told of.",
			Samples: []metrics.Sample{{Labels: []string{"result", "sent"}, Value: float64(s.spans.Sent())}, {Labels: []string{"result", "dropped"}, Value: float64(s.spans.Dropped())}}})
	}
	if s.reporter != nil {
		families = append(families, metrics.Family{Name: "gatewhy_otlp_exports_total", Type: "counter", Help: "Exports of metrics to a collector; dropped is one that it did not take.",
			Samples: []metrics.Sample{{Labels: []string{"result", "sent"}, Value: float64(s.reporter.Sent())}, {Labels: []string{"result", "dropped"}, Value: float64(s.reporter.Dropped())}}})
	}
	families = append(families, one("gatewhy_build_info", "gauge", "1, with what runs as labels.", 1, "version", number, "goversion", runtime.Version()),
		one("process_start_time_seconds", "gauge", "When the process began.", float64(s.started.UnixMilli())/1e3))
	return append(families, process()...)
}

// process are the metrics that boards of any Go program expect.
func process() []metrics.Family {
	samples := []rt.Sample{{Name: "/sched/goroutines:goroutines"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	rt.Read(samples)
	list := []metrics.Family{
		{Name: "go_goroutines", Type: "gauge", Help: "Goroutines.", Samples: []metrics.Sample{{Value: float64(samples[0].Value.Uint64())}}},
		{Name: "go_memstats_heap_alloc_bytes", Type: "gauge", Help: "Bytes of objects in the heap.", Samples: []metrics.Sample{{Value: float64(samples[1].Value.Uint64())}}},
		{Name: "go_gc_cycles_total", Type: "counter", Help: "Garbage collections.", Samples: []metrics.Sample{{Value: float64(samples[2].Value.Uint64())}}},
	}
	if seconds, ok := cpuSeconds(); ok {
		list = append(list, metrics.Family{Name: "process_cpu_seconds_total", Type: "counter", Help: "User and system time.", Samples: []metrics.Sample{{Value: seconds}}})
	}
	// proc_pid_statm(5): size and resident set, in pages.
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			if pages, err := strconv.ParseUint(f[1], 10, 64); err == nil {
				list = append(list, metrics.Family{Name: "process_resident_memory_bytes", Type: "gauge", Help: "Resident memory.",
					Samples: []metrics.Sample{{Value: float64(pages) * float64(os.Getpagesize())}}})
			}
		}
	}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		list = append(list, metrics.Family{Name: "process_open_fds", Type: "gauge", Help: "Open files.", Samples: []metrics.Sample{{Value: float64(len(fds))}}})
	}
	return list
}
