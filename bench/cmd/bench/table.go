package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// A figure is what a bar is about.
type figure int

const (
	cost   figure = iota // CPU time a request
	tail                 // the 99th percentile of latency
	memory               // resident memory of a waiting connection, KiB
)

// A bar is what the subject's figure must be at most, as a share of a base's in the
// same round. Of several bases the better one counts, round by round.
type bar struct {
	of    []string // contenders; none: most is no share but KiB
	most  float64
	below bool // most itself does not do
}

// A goal is a row of the table: a workload and its bars.
type goal struct {
	workload string
	figure   figure
	bars     []bar
}

// nginx means nginx-log where only one is named: both write an access log.
var (
	nginx       = []string{"nginx-log"}
	betterNginx = []string{"nginx", "nginx-tuned"}
	haproxy     = []string{"haproxy"}
)

var goals = []goal{
	{"h1-64", cost, []bar{{nginx, 0.80, false}, {haproxy, 1, true}}},
	{"h1-512", cost, []bar{{nginx, 0.60, false}, {haproxy, 1, true}}},
	{"h1-16k", cost, []bar{{betterNginx, 0.80, false}}},
	{"h1-chunked", cost, []bar{{betterNginx, 0.80, false}}},
	{"h1-post4k", cost, []bar{{betterNginx, 0.80, false}}},
	{"h1-newconn", cost, []bar{{nginx, 1, false}}},
	{"h1-1m", cost, []bar{{[]string{"haproxy-tuned"}, 0.60, false}}},
	{"tls-h1-128", cost, []bar{{nginx, 0.75, false}}},
	{"tls-h1-16k", cost, []bar{{nginx, 0.75, false}}},
	{"tls-h2-16x16", cost, []bar{{nginx, 0.60, false}, {[]string{"h2o"}, 1, true}}},
	{"tls-handshake", cost, []bar{{nginx, 1.3, false}}},
	{"tls-resume", cost, []bar{{nginx, 1, false}}},
	{"h2up-64", cost, []bar{{[]string{"limit-fwd"}, 1.2, true}}},
	{"rate-20k", tail, []bar{{nginx, 1, false}}},
	{"idle", memory, []bar{{nil, 1, false}}},
}

// judged are the contenders that the table needs, the subject first.
func (s *settings) judged() []string {
	list := []string{s.subject}
	for _, g := range goals {
		for _, name := range g.contenders() {
			if !slices.Contains(list, name) {
				list = append(list, name)
			}
		}
	}
	return list
}

// contenders are the bases of a goal.
func (g *goal) contenders() (list []string) {
	for _, b := range g.bars {
		list = append(list, b.of...)
	}
	return list
}

// runTable runs the goals whose workloads are chosen and prints one table.
func (h *house) runTable(ctx context.Context) error {
	failed := h.missing
	var rows strings.Builder
	for _, g := range goals {
		i := slices.IndexFunc(h.workloads, func(w workload) bool { return w.name == g.workload })
		if i < 0 {
			continue
		}
		var cs []*contender
		for _, c := range h.contenders {
			if c.name == h.subject || slices.Contains(g.contenders(), c.name) {
				cs = append(cs, c)
			}
		}
		h.complain("%s", g.workload)
		able, n := h.able(ctx, h.workloads[i], cs)
		failed += n
		if !slices.ContainsFunc(able, func(c *contender) bool { return c.name == h.subject }) {
			fmt.Fprintf(&rows, "| %s | not measured | | |\n", g.workload)
			continue
		}
		if g.figure == memory {
			m, err := h.idleAnew(ctx, h.workloads[i], able[0])
			if err != nil {
				failed++
				h.complainOf(h.workloads[i], able[0], err)
				continue
			}
			g.writeMemory(&rows, m.each(h.idle))
			continue
		}
		list, n := h.runRounds(ctx, h.workloads[i], able)
		failed += n
		g.write(&rows, h.subject, list)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	fmt.Printf("| workload | %s | share of | bar met |\n| --- | --- | --- | --- |\n%s", h.subject, rows.String())
	fmt.Printf("\nCPU time in us a request, for rate-* the 99th percentile in us: median [min..max] of %d rounds of %v; shares are medians of the shares of each round.\n", h.rounds, h.duration)
	if failed > 0 {
		fmt.Fprintf(os.Stderr, "bench: the table lacks something, see above\n")
		return fmt.Errorf("%d contenders or measurements failed", failed)
	}
	return nil
}

// of is the figure in a sample; 0 means that it was not measured.
func (f figure) of(s sample) float64 {
	if f == tail {
		return s.p99
	}
	return s.cpu()
}

// write prints the row of a goal from the samples of each round.
func (g *goal) write(w io.Writer, subject string, list []map[string]sample) {
	var own []sample
	for _, round := range list {
		if s, ok := round[subject]; ok {
			own = append(own, s)
		}
	}
	if len(own) == 0 {
		fmt.Fprintf(w, "| %s | not measured | | |\n", g.workload)
		return
	}
	med, least, largest := spread(own, g.figure.of)
	var shares, verdicts []string
	for _, b := range g.bars {
		share, base, ok := b.share(g.figure, subject, list)
		if !ok {
			shares, verdicts = append(shares, strings.Join(b.of, ", ")+": not measured"), append(verdicts, "?")
			continue
		}
		name := b.of[0]
		if len(b.of) > 1 {
			name = "the better of " + strings.Join(b.of, " and ")
		}
		shares = append(shares, fmt.Sprintf("**%.2f** of %s (%.2f)", share, name, base))
		verdicts = append(verdicts, b.verdict(share))
	}
	fmt.Fprintf(w, "| %s | %.2f [%.2f..%.2f] | %s | %s%s |\n", g.workload, med, least, largest,
		strings.Join(shares, "; "), strings.Join(verdicts, "; "), mistakes(list))
}

// mistakes tells of requests that failed, with which a row needs a look before it
// means something.
func mistakes(list []map[string]sample) string {
	most := map[string]float64{}
	for _, round := range list {
		for name, s := range round {
			most[name] = max(most[name], s.errors)
		}
	}
	told := ""
	for _, name := range slices.Sorted(maps.Keys(most)) {
		if most[name] > 0 {
			told += fmt.Sprintf("; %.0f errors of %s", most[name], name)
		}
	}
	return told
}

// writeMemory prints the row of a goal for KiB a connection.
func (g *goal) writeMemory(w io.Writer, kib float64) {
	fmt.Fprintf(w, "| %s | %.2f KiB a connection | | %s |\n", g.workload, kib, g.bars[0].verdict(kib))
}

// share is the subject's figure as a share of the base's, median over the rounds
// that have both; base is the median of the base's.
func (b *bar) share(f figure, subject string, list []map[string]sample) (share, base float64, ok bool) {
	var shares, bases []sample // in the field user, which spread is asked for
	for _, round := range list {
		best := 0.0
		for _, name := range b.of {
			if s, ok := round[name]; ok && f.of(s) > 0 && (best == 0 || f.of(s) < best) {
				best = f.of(s)
			}
		}
		if s, ok := round[subject]; ok && best > 0 {
			shares = append(shares, sample{user: f.of(s) / best})
			bases = append(bases, sample{user: best})
		}
	}
	if len(shares) == 0 {
		return 0, 0, false
	}
	user := func(s sample) float64 { return s.user }
	share, _, _ = spread(shares, user)
	base, _, _ = spread(bases, user)
	return share, base, true
}

func (b *bar) verdict(share float64) string {
	if b.below {
		return yesNo(share < b.most) + fmt.Sprintf(" (< %.2f)", b.most)
	}
	return yesNo(share <= b.most) + fmt.Sprintf(" (≤ %.2f)", b.most)
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "**no**"
}
