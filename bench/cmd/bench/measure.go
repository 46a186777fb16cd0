package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A sample is one measurement. Times a request are in microseconds.
type sample struct {
	requests, errors  float64
	rps               float64 // requests a second
	user, sys         float64 // CPU time of the contender a request
	busy              float64 // CPU time of the whole machine a request
	p50, p99, p999    float64 // latency
	rss               float64 // MiB
	base              float64 // CPU time a request of the base in the same round, or 0
	calls, switchings float64 // a request; only in the round that counts them
}

func (s *sample) cpu() float64 { return s.user + s.sys }

// runWorkload drives each contender once a round and prints the table. It
// returns how many measurements failed.
func (h *house) runWorkload(ctx context.Context, w workload) (failed int) {
	able, failed := h.able(ctx, w, h.contenders)
	if w.tool == "idle" {
		return failed + h.runIdle(ctx, w, able)
	}
	list, n := h.runRounds(ctx, w, able)
	failed += n
	rows := map[string][]sample{}
	for _, round := range list {
		base := round[h.base]
		for name, s := range round {
			s.base = base.cpu()
			rows[name] = append(rows[name], s)
		}
	}
	counts := map[string]sample{}
	if h.syscalls && ctx.Err() == nil {
		for _, c := range able {
			s, err := h.countCalls(ctx, w, c)
			if err != nil {
				failed++
				h.complainOf(w, c, err)
				continue
			}
			counts[c.name] = s
		}
	}
	h.printTable(w, able, rows, counts)
	return failed
}

// able are those of cs that can do the workload, and do it right.
func (h *house) able(ctx context.Context, w workload, cs []*contender) (able []*contender, failed int) {
	for _, c := range cs {
		if c.skip[w.name] {
			continue
		}
		if c.h2up != w.h2up {
			c.stop()
			c.process, c.h2up = nil, w.h2up
			if err := h.start(ctx, c); err != nil {
				failed++
				h.complainOf(w, c, err)
				continue
			}
		}
		if err := h.check(ctx, w, c.port); err != nil {
			failed++
			h.complainOf(w, c, err)
			continue
		}
		able = append(able, c)
	}
	return able, failed
}

// runRounds drives each of cs once a round, and returns the samples of each
// round by contender.
func (h *house) runRounds(ctx context.Context, w workload, cs []*contender) (list []map[string]sample, failed int) {
	first := -1 // the round that warms up
	if h.warm == 0 {
		first = 0
	}
	for r := first; r < h.rounds && ctx.Err() == nil; r++ {
		d := h.duration
		if r < 0 {
			d = h.warm
		}
		round := map[string]sample{}
		for _, c := range cs {
			s, err := h.measure(ctx, w, c, d)
			if err != nil {
				failed++
				h.complainOf(w, c, err)
				continue
			}
			round[c.name] = s
			if h.verbose && r >= 0 {
				h.complain("%s %s round %d: %.2f us/req, %.0f req/s", w.name, c.name, r, s.cpu(), s.rps)
			}
		}
		if r >= 0 {
			list = append(list, round)
		}
	}
	return list, failed
}

// check asks for the workload's answer once. A fast wrong answer must not win.
func (h *house) check(ctx context.Context, w workload, port int) error {
	scheme := "http"
	if w.tls {
		port, scheme = port+1, "https"
	}
	method, body := http.MethodGet, io.Reader(nil)
	if w.post > 0 {
		method, body = http.MethodPost, bytes.NewReader(make([]byte, w.post))
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("%s://localhost:%d%s", scheme, port, w.path), body)
	if err != nil {
		return err
	}
	// The certificate is ours and two minutes old: nobody to verify.
	t := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || len(b) != w.body || len(bytes.Trim(b, "x")) != 0 {
		return fmt.Errorf("wrong answer: %s with %d bytes, not 200 with the origin's %d", resp.Status, len(b), w.body)
	}
	return nil
}

// measure drives one contender for d.
func (h *house) measure(ctx context.Context, w workload, c *contender, d time.Duration) (sample, error) {
	// Let the connections of whoever ran before be torn down on their account.
	time.Sleep(100 * time.Millisecond)
	pids := tree(c.pid)
	user, sys := cpuOf(pids)
	busy := machineBusy()
	out, err := output(ctx, h.load(w, c.port, d))
	user1, sys1 := cpuOf(pids)
	busy1 := machineBusy()
	if err != nil {
		return sample{}, err
	}
	s, err := parseLoad(w.tool, out)
	if err != nil {
		return sample{}, err
	}
	s.user, s.sys = (user1-user)*1e6/s.requests, (sys1-sys)*1e6/s.requests
	s.busy = (busy1 - busy) * 1e6 / s.requests
	s.rss = rss(pids)
	return s, nil
}

// output runs a command to its end; ctx ends it earlier.
func output(ctx context.Context, cmd *exec.Cmd) (string, error) {
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	p, err := startProcess(cmd)
	if err != nil {
		return "", err
	}
	select {
	case <-p.gone:
	case <-ctx.Done():
		p.stop()
		return "", ctx.Err()
	}
	if !cmd.ProcessState.Success() {
		return "", fmt.Errorf("%s: %v: %s", cmd.Args[0], cmd.ProcessState, &b)
	}
	return b.String(), nil
}

var (
	resultLine  = regexp.MustCompile(`(?m)^RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$`)
	h2Requests  = regexp.MustCompile(`requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored`)
	h2Rate      = regexp.MustCompile(`finished in [^,]+, ([\d.]+) req/s`)
	h2Latencies = regexp.MustCompile(`time for request:\s+\S+\s+(\S+)\s+(\S+)`)
)

// parseLoad reads what a load generator printed. wrk's scripts and gen print
// "RESULT requests microseconds errors p50 p99 p99.9". h2load prints neither
// percentiles: its mean stands in for p50, and its maximum for p99.9.
func parseLoad(tool, out string) (s sample, err error) {
	if tool == "h2load" {
		m, r, l := h2Requests.FindStringSubmatch(out), h2Rate.FindStringSubmatch(out), h2Latencies.FindStringSubmatch(out)
		if m == nil || r == nil || l == nil {
			return s, fmt.Errorf("h2load said something else: %s", out)
		}
		s.requests, s.errors, s.rps = number(m[1]), number(m[2])+number(m[3]), number(r[1])
		longest, err1 := time.ParseDuration(l[1])
		mean, err2 := time.ParseDuration(l[2])
		if err1 != nil || err2 != nil {
			return s, fmt.Errorf("h2load said something else: %s", l[0])
		}
		s.p50, s.p999 = float64(mean.Microseconds()), float64(longest.Microseconds())
	} else {
		m := resultLine.FindStringSubmatch(out)
		if m == nil || number(m[2]) == 0 {
			return s, fmt.Errorf("no result in: %s", out)
		}
		s = sample{requests: number(m[1]), errors: number(m[3]), p50: number(m[4]), p99: number(m[5]), p999: number(m[6])}
		s.rps = s.requests / number(m[2]) * 1e6
	}
	if s.requests == 0 {
		return s, fmt.Errorf("no request succeeded: %s", out)
	}
	return s, nil
}

// number reads digits that a regular expression has seen already.
func number(digits string) float64 {
	v, _ := strconv.ParseFloat(digits, 64)
	return v
}

// countCalls counts system calls and context switches a request, apart from
// the other rounds because counting costs time.
func (h *house) countCalls(ctx context.Context, w workload, c *contender) (sample, error) {
	var pids []string
	for _, p := range tree(c.pid) {
		pids = append(pids, strconv.Itoa(p))
	}
	load := h.load(w, c.port, 2*time.Second)
	args := []string{"stat", "-x,", "-e", "raw_syscalls:sys_enter,context-switches", "-p", strings.Join(pids, ","), "--"}
	out, err := output(ctx, exec.Command("perf", append(args, load.Args...)...))
	if err != nil {
		return sample{}, err
	}
	s, err := parseLoad(w.tool, out)
	if err != nil {
		return sample{}, err
	}
	if s.calls, err = perfCount(out, "raw_syscalls:sys_enter"); err != nil {
		return sample{}, err
	}
	if s.switchings, err = perfCount(out, "context-switches"); err != nil {
		return sample{}, err
	}
	s.calls /= s.requests
	s.switchings /= s.requests
	return s, nil
}

// perfCount finds "COUNT,,EVENT," in the output of perf stat -x,
func perfCount(out, event string) (float64, error) {
	for line := range strings.Lines(out) {
		f := strings.Split(line, ",")
		if len(f) > 2 && f[2] == event {
			return strconv.ParseFloat(f[0], 64)
		}
	}
	return 0, fmt.Errorf("perf counted no %s: %s", event, out)
}
