package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseLoad(t *testing.T) {
	const h2 = `
finished in 1.00s, 52432.00 req/s, 10.05MB/s
requests: 52432 total, 52496 started, 52432 done, 52430 succeeded, 1 failed, 1 errored, 0 timeout
status codes: 52430 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 10.05MB (10538832) total, 1.55MB (1625392) headers (space savings 90.31%), 6.40MB (6711296) data
                     min         max         mean         sd        +/- sd
time for request:       95us     12.06ms      1.21ms       504us    80.63%
`
	tests := []struct {
		name, tool, out string
		want            sample
		err             string
	}{
		{"wrk", "wrk", "Running 1s test\n  Latency 0.5ms\nRESULT 80000 1000000 3 500 1200 3400\n",
			sample{requests: 80000, errors: 3, rps: 80000, p50: 500, p99: 1200, p999: 3400}, ""},
		{"gen ran half a second", "gen", "RESULT 2500 500000 0 480 900 1000\n",
			sample{requests: 2500, rps: 5000, p50: 480, p99: 900, p999: 1000}, ""},
		{"wrk could not connect", "wrk", "unable to connect to localhost:1\n", sample{}, "no result in"},
		{"a result in the middle of a line", "wrk", "x RESULT 1 1 1 1 1 1\n", sample{}, "no result in"},
		{"no time went by", "gen", "RESULT 0 0 0 0 0 0\n", sample{}, "no result in"},
		{"nothing succeeded", "gen", "RESULT 0 1000 64 0 0 0\n", sample{}, "no request succeeded"},
		{"h2load", "h2load", h2, sample{requests: 52430, errors: 2, rps: 52432, p50: 1210, p999: 12060}, ""},
		{"h2load without latencies", "h2load", h2[:strings.Index(h2, "time for")], sample{}, "h2load said something else"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseLoad(tt.tool, tt.out)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(sample{})); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func TestPerfCount(t *testing.T) {
	const out = "RESULT 10 10 0 1 1 1\n4300,,raw_syscalls:sys_enter,2000,100.00,,\n<not counted>,,cycles,0,0.00,,\n"
	if n, err := perfCount(out, "raw_syscalls:sys_enter"); n != 4300 || err != nil {
		t.Errorf("got %v, %v; want 4300", n, err)
	}
	for _, event := range []string{"context-switches", "cycles"} {
		if n, err := perfCount(out, event); err == nil {
			t.Errorf("%s: got %v, want an error", event, n)
		}
	}
}

func TestParseStat(t *testing.T) {
	const rest = " S 41 42 42 0 -1 4194304 100 0 0 0 250 75 9 9 20 0 4 0 1000 1 2\n"
	want := procStat{parent: 41, state: 'S', user: 2.5, sys: 0.75}
	for _, name := range []string{"nginx", "a b", "x) R 7 (y"} {
		got, err := parseStat("42 (" + name + ")" + rest)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", name, got, err, want)
		}
	}
	for _, line := range []string{"", "42 (x)", "42 (x) S 41", "42 (x) S y 42 42 0 -1 0 0 0 0 0 250 75\n"} {
		if got, err := parseStat(line); err == nil {
			t.Errorf("%q: got %+v, want an error", line, got)
		}
	}
}

func TestParseBusy(t *testing.T) {
	// user nice system idle iowait irq softirq steal guest guest_nice
	if got := parseBusy("cpu  100 20 300 9999 8888 4 50 6 7777 6666\ncpu0 1 1 1 1\n"); got != 4.80 {
		t.Errorf("got %v seconds, want 4.80", got)
	}
}

func TestSpread(t *testing.T) {
	tests := []struct {
		rps                    []float64
		median, least, largest float64
	}{
		{[]float64{5}, 5, 5, 5},
		{[]float64{9, 1, 4}, 4, 1, 9},
		{[]float64{9, 1, 4, 6}, 5, 1, 9},
	}
	for _, tt := range tests {
		var ss []sample
		for _, v := range tt.rps {
			ss = append(ss, sample{rps: v})
		}
		if m, a, z := spread(ss, func(s sample) float64 { return s.rps }); m != tt.median || a != tt.least || z != tt.largest {
			t.Errorf("%v: got %v [%v..%v]", tt.rps, m, a, z)
		}
	}
}

// A round in which the machine was twice as slow for everybody changes nothing.
func TestOfBase(t *testing.T) {
	ss := []sample{{user: 3, sys: 3, base: 10}, {user: 6, sys: 6, base: 20}, {user: 9, sys: 9, base: 10}, {user: 5}}
	if got := ofBase(ss); got != "0.60" {
		t.Errorf("got %s, want 0.60", got)
	}
	if got := ofBase([]sample{{user: 5}}); got != "-" {
		t.Errorf("without a base: got %s", got)
	}
}

// Of two bases the better one counts, round by round, and a round without a base
// counts for nothing.
func TestGoal(t *testing.T) {
	g := goal{"h1-16k", cost, []bar{{[]string{"a", "b"}, 0.5, false}, {[]string{"c"}, 1, true}}}
	list := []map[string]sample{
		{"us": {user: 5}, "a": {user: 10}, "b": {user: 20}, "c": {user: 5}},
		{"us": {user: 6}, "a": {user: 20}, "b": {user: 10}, "c": {user: 6}},
		{"us": {user: 4}, "a": {user: 10}, "c": {user: 4}},
		{"us": {user: 100}},
	}
	var b strings.Builder
	g.write(&b, "us", list)
	want := "| h1-16k | 5.50 [4.00..100.00] | **0.50** of the better of a and b (10.00); **1.00** of c (5.00) | yes (≤ 0.50); **no** (< 1.00) |\n"
	if b.String() != want {
		t.Errorf("got  %swant %s", b.String(), want)
	}
	b.Reset()
	g.write(&b, "nobody", list)
	if want := "| h1-16k | not measured | | |\n"; b.String() != want {
		t.Errorf("got  %swant %s", b.String(), want)
	}
	b.Reset()
	g.write(&b, "us", list[3:])
	if want := "| h1-16k | 100.00 [100.00..100.00] | a, b: not measured; c: not measured | ?; ? |\n"; b.String() != want {
		t.Errorf("got  %swant %s", b.String(), want)
	}
	b.Reset()
	(&goal{"rate-20k", tail, []bar{{[]string{"a"}, 1, false}}}).write(&b, "us", []map[string]sample{{"us": {p99: 30}, "a": {p99: 20, errors: 7}}})
	if want := "| rate-20k | 30.00 [30.00..30.00] | **1.50** of a (20.00) | **no** (≤ 1.00); 7 errors of a |\n"; b.String() != want {
		t.Errorf("got  %swant %s", b.String(), want)
	}
}

// Every goal is about a workload, and about contenders that can do it.
func TestGoals(t *testing.T) {
	h := &house{settings: &settings{dir: "../..", port: 27100, workers: 1, subject: "gatewhy"}, tmp: t.TempDir()}
	h.settings.contenders = h.judged()
	if err := h.discover(); err != nil {
		t.Fatal(err)
	}
	for _, g := range goals {
		if _, err := selectWorkloads(g.workload); err != nil {
			t.Error(err)
		}
		for _, c := range h.contenders {
			if c.skip[g.workload] && (c.name == "gatewhy" || slices.Contains(g.contenders(), c.name)) {
				t.Errorf("%s skips %s", c.name, g.workload)
			}
		}
	}
}

func TestSelectWorkloads(t *testing.T) {
	got, err := selectWorkloads("idle,h1-64")
	if err != nil || len(got) != 2 || got[0].name != "h1-64" || got[1].name != "idle" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := selectWorkloads("h1-64,h1-65"); err == nil || !strings.Contains(err.Error(), `"h1-65"`) {
		t.Errorf("unknown workload: error %v", err)
	}
	if all, err := selectWorkloads("all"); err != nil || len(all) != len(workloads) {
		t.Errorf("all: %d workloads, %v", len(all), err)
	}
}

func TestLoad(t *testing.T) {
	s := &settings{dir: "/b", loadThreads: 1}
	line := func(s *settings, name string, d time.Duration) string {
		ws, err := selectWorkloads(name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(s.load(ws[0], 7000, d).Args, " ")
	}
	tests := []struct{ got, want string }{
		{line(s, "h1-64", 300*time.Millisecond), "wrk -t 1 -c 64 -d 1s --latency -s /b/wrk/get.lua http://localhost:7000/128"},
		{line(s, "tls-newconn", 3*time.Second), "wrk -t 1 -c 32 -d 3s --latency -s /b/wrk/get.lua -H Connection: close https://localhost:7001/128"},
		{line(s, "tls-h2-16x16", 2*time.Second), "h2load -t 1 -c 16 -m 16 -D 2 https://localhost:7001/128"},
		{line(s, "rate-5k", 2*time.Second), "/b/bin/gen 7000 /128 64 5000 2"},
		{line(&settings{dir: "/b", loadThreads: 2, pin: true}, "h1-post4k", time.Second),
			"taskset -c 1 wrk -t 2 -c 64 -d 1s --latency -s /b/wrk/post4k.lua http://localhost:7000/128"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got  %s\nwant %s", tt.got, tt.want)
		}
	}
}

// Every contender of the repository can be rendered: no @NAME@ is left, its
// start script is executable, and it skips only workloads that exist.
func TestContenders(t *testing.T) {
	h := &house{settings: &settings{dir: "../..", port: 27100, workers: 2}, tmp: t.TempDir()}
	if err := h.discover(); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, w := range workloads {
		known[w.name] = true
	}
	seen := map[string]bool{}
	for _, c := range h.contenders {
		seen[c.name] = true
		for w := range c.skip {
			if !known[w] {
				t.Errorf("%s skips %q, which is no workload", c.name, w)
			}
		}
		if fi, err := os.Stat(c.src + "/start"); err != nil || fi.Mode()&0o111 == 0 {
			t.Errorf("%s: start is not executable: %v", c.name, err)
		}
		entries, err := os.ReadDir(c.src)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".tmpl") {
				continue
			}
			b, err := os.ReadFile(c.src + "/" + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			if got := render(b, h.vars(c, "/work")); strings.Contains(string(got), "@") {
				t.Errorf("%s/%s has a name that nobody fills in:\n%s", c.name, e.Name(), got)
			}
		}
	}
	for _, n := range []string{"gatewhy", "nginx", "nginx-log", "haproxy", "haproxy-log", "limit-fwd"} {
		if !seen[n] {
			t.Errorf("contender %s is missing", n)
		}
	}
	h.settings.contenders = []string{"nobody"}
	if err := h.discover(); err == nil {
		t.Error("an unknown contender is found")
	}
}

// A fast wrong answer must not win.
func TestCheck(t *testing.T) {
	answers := map[string]func(http.ResponseWriter){
		"right":  func(w http.ResponseWriter) { _, _ = w.Write([]byte(strings.Repeat("x", 128))) },
		"short":  func(w http.ResponseWriter) { _, _ = w.Write([]byte(strings.Repeat("x", 127))) },
		"other":  func(w http.ResponseWriter) { _, _ = w.Write([]byte(strings.Repeat("y", 128))) },
		"status": func(w http.ResponseWriter) { w.WriteHeader(502); _, _ = w.Write([]byte(strings.Repeat("x", 128))) },
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answers[strings.TrimPrefix(r.URL.Path, "/")](w)
	}))
	defer srv.Close()
	h := &house{settings: &settings{}}
	for name := range answers {
		err := h.check(t.Context(), workload{path: "/" + name, body: 128}, srv.Listener.Addr().(*net.TCPAddr).Port)
		if (err == nil) != (name == "right") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc on this system")
	}
	// All processes of the group hold the pipe: its end is theirs.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "sleep 100 & echo ready; wait")
	cmd.Stdout = w
	p, err := startProcess(cmd)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 16)
	if n, err := r.Read(said); string(said[:n]) != "ready\n" {
		t.Fatalf("the shell said %q, %v", said[:n], err)
	}
	pids := tree(p.pid)
	if len(pids) != 2 {
		t.Errorf("the shell and its child are %v", pids)
	}
	if m := rss(pids); m <= 0 {
		t.Errorf("they live on %v MiB", m)
	}
	p.stop()
	if n, err := r.Read(said); n != 0 || err != io.EOF {
		t.Errorf("somebody outlives the group: %d, %v", n, err)
	}
}
