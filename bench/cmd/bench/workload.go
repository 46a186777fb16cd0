package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A workload says how to drive a contender.
type workload struct {
	name   string
	tool   string // wrk, h2load, gen, handshake or idle
	path   string // what to ask the origin for
	body   int    // bytes of body in the answer
	conns  int
	tls    bool
	script string // wrk script under wrk/, get.lua when empty
	header string // one further field of the request
	post   int    // bytes of body in the request, as the script sends them
	stream int    // h2load: streams a connection
	rate   int    // gen: requests a second
	resume bool   // handshake: continue sessions
	old    bool   // handshake: TLS 1.2, not 1.3
	h2up   bool   // the upstream speaks HTTP/2, to contenders that can
}

var workloads = []workload{
	{name: "h1-64", tool: "wrk", path: "/128", body: 128, conns: 64},
	{name: "h1-512", tool: "wrk", path: "/128", body: 128, conns: 512},
	{name: "h1-1k", tool: "wrk", path: "/1k", body: 1 << 10, conns: 64},
	{name: "h1-16k", tool: "wrk", path: "/16k", body: 16 << 10, conns: 64},
	{name: "h1-1m", tool: "wrk", path: "/1m", body: 1 << 20, conns: 16},
	{name: "h1-chunked", tool: "wrk", path: "/chunked", body: 4 << 10, conns: 64},
	{name: "h1-post4k", tool: "wrk", path: "/128", body: 128, conns: 64, script: "post4k.lua", post: 4 << 10},
	{name: "h1-newconn", tool: "wrk", path: "/128", body: 128, conns: 64, header: "Connection: close"},
	{name: "tls-h1-128", tool: "wrk", path: "/128", body: 128, conns: 64, tls: true},
	{name: "tls-h1-16k", tool: "wrk", path: "/16k", body: 16 << 10, conns: 64, tls: true},
	{name: "tls-h1-1m", tool: "wrk", path: "/1m", body: 1 << 20, conns: 16, tls: true},
	{name: "tls-newconn", tool: "wrk", path: "/128", body: 128, conns: 32, tls: true, header: "Connection: close"},
	{name: "tls-handshake", tool: "handshake", path: "/128", body: 128, conns: 32, tls: true},
	{name: "tls-resume", tool: "handshake", path: "/128", body: 128, conns: 32, tls: true, resume: true},
	{name: "tls12-handshake", tool: "handshake", path: "/128", body: 128, conns: 32, tls: true, old: true},
	{name: "tls12-resume", tool: "handshake", path: "/128", body: 128, conns: 32, tls: true, old: true, resume: true},
	{name: "tls-h2-64x1", tool: "h2load", path: "/128", body: 128, conns: 64, tls: true, stream: 1},
	{name: "tls-h2-16x16", tool: "h2load", path: "/128", body: 128, conns: 16, tls: true, stream: 16},
	{name: "h2up-64", tool: "wrk", path: "/128", body: 128, conns: 64, h2up: true},
	{name: "rate-5k", tool: "gen", path: "/128", body: 128, conns: 64, rate: 5000},
	{name: "rate-20k", tool: "gen", path: "/128", body: 128, conns: 64, rate: 20000},
	{name: "rate-40k", tool: "gen", path: "/128", body: 128, conns: 256, rate: 40000},
	{name: "idle", tool: "idle", path: "/128", body: 128},
}

// selectWorkloads returns the named workloads in the table's order.
func selectWorkloads(list string) ([]workload, error) {
	if list == "all" {
		return workloads, nil
	}
	want := map[string]bool{}
	for _, n := range strings.Split(list, ",") {
		want[n] = true
	}
	var out []workload
	for _, w := range workloads {
		if want[w.name] {
			out = append(out, w)
			delete(want, w.name)
		}
	}
	for n := range want {
		return nil, fmt.Errorf("no workload is called %q; `-workloads list` prints them", n)
	}
	return out, nil
}

// load is the command that drives the contender at port.
func (s *settings) load(w workload, port int, d time.Duration) *exec.Cmd {
	scheme := "http"
	if w.tls {
		port, scheme = port+1, "https"
	}
	url := fmt.Sprintf("%s://localhost:%d%s", scheme, port, w.path)
	seconds := strconv.Itoa(max(1, int(d.Round(time.Second)/time.Second))) // wrk and h2load take whole seconds
	conns, threads := strconv.Itoa(w.conns), strconv.Itoa(s.loadThreads)
	switch w.tool {
	case "gen":
		return s.pinned(1, filepath.Join(s.dir, "bin", "gen"), strconv.Itoa(port), w.path, conns, strconv.Itoa(w.rate), seconds)
	case "handshake":
		kind, version := "full", "1.3"
		if w.resume {
			kind = "resume"
		}
		if w.old {
			version = "1.2"
		}
		return s.pinned(1, filepath.Join(s.dir, "bin", "handshake"), strconv.Itoa(port), w.path, conns, seconds, kind, version)
	case "h2load":
		return s.pinned(1, "h2load", "-t", threads, "-c", conns, "-m", strconv.Itoa(w.stream), "-D", seconds, url)
	}
	script := w.script
	if script == "" {
		script = "get.lua"
	}
	args := []string{"-t", threads, "-c", conns, "-d", seconds + "s", "--latency", "-s", filepath.Join(s.dir, "wrk", script)}
	if w.header != "" {
		args = append(args, "-H", w.header)
	}
	return s.pinned(1, "wrk", append(args, url)...)
}

// pinned is exec.Command, on one CPU when -pin is given.
func (s *settings) pinned(cpu int, name string, args ...string) *exec.Cmd {
	if s.pin {
		return exec.Command("taskset", append([]string{"-c", strconv.Itoa(cpu), name}, args...)...)
	}
	return exec.Command(name, args...)
}
