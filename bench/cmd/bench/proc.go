package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// userHZ is the unit of the times in /proc: 100 a second on every Linux
// architecture that Go knows, whatever the kernel's own tick is.
const userHZ = 100

// procStat is what we need of /proc/PID/stat.
type procStat struct {
	parent    int
	state     byte
	user, sys float64 // seconds, of all threads, those that have ended too
}

// parseStat reads the one line of /proc/PID/stat (proc(5)). The command name
// in it may hold spaces and parentheses, so the fields count from the last ')'.
func parseStat(line string) (procStat, error) {
	f := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(f) < 13 {
		return procStat{}, fmt.Errorf("bench: short stat line %q", line)
	}
	parent, err := strconv.Atoi(f[1])
	if err != nil {
		return procStat{}, err
	}
	user, err := strconv.ParseFloat(f[11], 64)
	if err != nil {
		return procStat{}, err
	}
	sys, err := strconv.ParseFloat(f[12], 64)
	if err != nil {
		return procStat{}, err
	}
	return procStat{parent, f[0][0], user / userHZ, sys / userHZ}, nil
}

func stat(pid int) (procStat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(string(b))
}

// tree returns root and all its living descendants.
func tree(root int) []int {
	children := map[int][]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
	for _, d := range dirs {
		pid, err := strconv.Atoi(filepath.Base(d))
		if err != nil {
			continue
		}
		if s, err := stat(pid); err == nil { // it may have ended meanwhile
			children[s.parent] = append(children[s.parent], pid)
		}
	}
	out := []int{root}
	for i := 0; i < len(out); i++ {
		out = append(out, children[out[i]]...)
	}
	return out
}

// cpuOf sums the CPU time of processes, in seconds.
func cpuOf(pids []int) (user, sys float64) {
	for _, p := range pids {
		if s, err := stat(p); err == nil {
			user += s.user
			sys += s.sys
		}
	}
	return user, sys
}

// machineBusy is the time that all CPUs were not idle since boot, in seconds.
func machineBusy() float64 {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	return parseBusy(string(b))
}

// parseBusy reads the first line of /proc/stat: "cpu", then user, nice, system,
// idle, iowait, irq, softirq, steal, and guest times that user holds already.
func parseBusy(text string) float64 {
	line, _, _ := strings.Cut(text, "\n")
	t := 0.0
	for i, f := range strings.Fields(line) {
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		v, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0
		}
		t += v
	}
	return t / userHZ
}

// rss sums resident memory in MiB. Pages that forked workers share count for
// each of them.
func rss(pids []int) float64 {
	pages := 0.0
	for _, p := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p))
		if err != nil {
			continue
		}
		if f := strings.Fields(string(b)); len(f) > 1 {
			v, _ := strconv.ParseFloat(f[1], 64) // the kernel writes numbers
			pages += v
		}
	}
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

// killGroup ends a process that leads a group of its own, and all in the
// group: it asks first, and does not ask twice. gone closes when the leader has
// been waited for.
func killGroup(leader int, gone <-chan struct{}) {
	// Errors here mean that nobody is left, which is what we want.
	_ = syscall.Kill(-leader, syscall.SIGTERM)
	select {
	case <-gone:
	case <-time.After(2 * time.Second):
	}
	_ = syscall.Kill(-leader, syscall.SIGKILL)
	<-gone
}

// raiseFiles lifts the limit of open files as far as we may; the contenders
// inherit it. Without it the idle workload reports errors, so nothing is hidden.
func raiseFiles() {
	l := syscall.Rlimit{Cur: 1 << 18, Max: 1 << 18}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l) == nil {
		return
	}
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) == nil {
		l.Cur = l.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
	}
}
