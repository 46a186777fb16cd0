package main

import (
	"fmt"
	"os"
	"slices"
)

// complain tells the person at the terminal; tables go to standard output.
func (h *house) complain(format string, a ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", a...)
}

func (h *house) complainOf(w workload, c *contender, err error) {
	h.complain("%s %s: %.400s", w.name, c.name, err)
}

// printTable prints one workload: medians over the rounds, and the spread of
// the two figures that matter most.
func (h *house) printTable(w workload, cs []*contender, rows map[string][]sample, counts map[string]sample) {
	fmt.Printf("\n## %s  (%s, %d connections, %v x %d rounds; median [min..max])\n", w.name, w.path, w.conns, h.duration, h.rounds)
	fmt.Printf("%-16s %-24s %-9s %-13s %-22s %-8s %-8s %-8s %-9s %-8s %-6s %s\n", "contender", "CPU us/req", "of base",
		"user/sys", "req/s", "p50 us", "p99 us", "p99.9", "machine", "RSS MiB", "errors", "syscalls/req")
	for _, c := range cs {
		ss := rows[c.name]
		if len(ss) == 0 {
			continue
		}
		med := func(f func(sample) float64) float64 { m, _, _ := spread(ss, f); return m }
		cpu, cpu0, cpu1 := spread(ss, func(s sample) float64 { return s.cpu() })
		rps, rps0, rps1 := spread(ss, func(s sample) float64 { return s.rps })
		_, _, errs := spread(ss, func(s sample) float64 { return s.errors })
		calls := ""
		if n, ok := counts[c.name]; ok {
			calls = fmt.Sprintf("%.2f (%.3f switches)", n.calls, n.switchings)
		}
		fmt.Printf("%-16s %6.2f [%5.2f..%5.2f]  %-9s %5.2f/%-6.2f %6.0f [%5.0f..%5.0f] %-8.0f %-8.0f %-8.0f %-9.2f %-8.1f %-6.0f %s\n",
			c.name, cpu, cpu0, cpu1, ofBase(ss),
			med(func(s sample) float64 { return s.user }), med(func(s sample) float64 { return s.sys }), rps, rps0, rps1,
			med(func(s sample) float64 { return s.p50 }), med(func(s sample) float64 { return s.p99 }), med(func(s sample) float64 { return s.p999 }),
			med(func(s sample) float64 { return s.busy }), med(func(s sample) float64 { return s.rss }), errs, calls)
	}
}

// ofBase is the median over the rounds of CPU time as a share of the base's in
// the same round, so that a busy minute of the machine falls on both.
func ofBase(ss []sample) string {
	var both []sample
	for _, s := range ss {
		if s.base > 0 {
			both = append(both, s)
		}
	}
	if len(both) == 0 {
		return "-"
	}
	m, _, _ := spread(both, func(s sample) float64 { return s.cpu() / s.base })
	return fmt.Sprintf("%.2f", m)
}

// spread returns median, least and largest of a figure; ss is not empty. Of an
// even number of samples the median is the mean of the middle two.
func spread(ss []sample, f func(sample) float64) (median, least, largest float64) {
	v := make([]float64, len(ss))
	for i, s := range ss {
		v[i] = f(s)
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2, v[0], v[len(v)-1]
}
