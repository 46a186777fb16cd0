// Bench compares reverse proxies on one machine. It starts an origin and every
// contender, drives them in turns (A B C A B C ...), and prints CPU time a
// request first, because on a noisy machine that is the figure that holds.
//
// It runs on Linux: the figures come from /proc.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// settings are the command line.
type settings struct {
	dir, extra   string
	contenders   []string // empty: all there are
	workloads    []workload
	base         string
	rounds       int
	duration     time.Duration
	warm         time.Duration
	port         int
	loadThreads  int
	originThread int
	workers      int
	idle         int
	syscalls     bool
	pin          bool
	verbose      bool
	table        bool
	subject      string
}

func main() {
	s, err := parseFlags(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if s == nil {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err = run(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// parseFlags returns nil settings when the answer was a list or a help text.
func parseFlags(args []string) (*settings, error) {
	s := &settings{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&s.dir, "dir", ".", "the bench folder")
	f.StringVar(&s.extra, "extra", "", "a further folder of contenders")
	names := f.String("contenders", "", "comma-separated contenders (default: all that start)")
	loads := f.String("workloads", "", "comma-separated workloads; 'list' prints them, 'all' runs all (default: h1-64,h1-512, with -table all that have a bar)")
	f.StringVar(&s.base, "base", "nginx-log", "the contender that the others are compared with")
	f.IntVar(&s.rounds, "rounds", 5, "rounds; every round runs each contender once a workload")
	f.DurationVar(&s.duration, "duration", 3*time.Second, "length of one measurement, in whole seconds")
	f.DurationVar(&s.warm, "warm", time.Second, "warm-up before the first round of a workload, in whole seconds")
	f.IntVar(&s.port, "port", 27100, "first port; the origin has it, contenders follow in fours")
	f.IntVar(&s.loadThreads, "threads", 1, "threads of the load generator")
	f.IntVar(&s.originThread, "origin-threads", 1, "threads of the origin")
	f.IntVar(&s.workers, "workers", 2, "worker threads or processes of each contender")
	f.IntVar(&s.idle, "idle", 10000, "connections of the idle workload")
	f.BoolVar(&s.syscalls, "syscalls", false, "a last extra round counts system calls a request (needs perf and root)")
	f.BoolVar(&s.pin, "pin", false, "contenders on CPU 0 with one worker, origin and load generator on CPU 1")
	f.BoolVar(&s.table, "table", false, "run the workloads that have a bar, each with the contenders that its bar names, and print them in Markdown")
	f.StringVar(&s.subject, "subject", "gatewhy", "the contender that -table holds against the bars")
	f.BoolVar(&s.verbose, "v", false, "print each sample")
	if err := f.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return nil, nil
		}
		return nil, err
	}
	if *loads == "list" {
		for _, w := range workloads {
			fmt.Println(w.name)
		}
		return nil, nil
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; see -help", f.Arg(0))
	}
	if s.rounds < 1 || s.duration < time.Second || s.warm < 0 || s.idle < 1 || s.workers < 1 {
		return nil, fmt.Errorf("-rounds, -idle and -workers are at least 1, -duration at least 1s")
	}
	if s.table {
		if *names != "" {
			return nil, fmt.Errorf("-table chooses the contenders itself; -subject names the one to judge")
		}
		s.contenders = s.judged()
	}
	switch {
	case *loads != "":
	case s.table:
		*loads = "all"
	default:
		*loads = "h1-64,h1-512"
	}
	if *names != "" {
		s.contenders = strings.Split(*names, ",")
	}
	if s.pin {
		s.workers = 1
	}
	var err error
	if s.workloads, err = selectWorkloads(*loads); err != nil {
		return nil, err
	}
	s.dir, err = filepath.Abs(s.dir)
	return s, err
}

// run owns all processes and files: when it returns, none is left.
func run(ctx context.Context, s *settings) error {
	tmp, err := os.MkdirTemp("", "gatewhy-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	// Workers that gave up their root rights must reach their folders.
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	raiseFiles()
	h := &house{settings: s, tmp: tmp}
	if err := h.makeCertificate(); err != nil {
		return err
	}
	defer h.stop()
	if err := h.open(ctx); err != nil {
		return err
	}
	if s.table {
		return h.runTable(ctx)
	}
	failed := h.missing
	for _, w := range s.workloads {
		failed += h.runWorkload(ctx, w)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d contenders or measurements failed, see above", failed)
	}
	return nil
}
