// Command compare lets things happen to the servers behind a proxy while requests go on,
// and counts what the clients notice: with Gatewhy, nginx, HAProxy and Caddy, each
// configured as a careful operator would (configs/). It prints a table in Markdown.
//
//	go run ./test/compare
//
// It takes some four minutes for each proxy, and uses loopback only. Proxies that are not installed are
// left out with a word.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	if what := os.Getenv(asBackend); what != "" {
		fmt.Fprintln(os.Stderr, serveBackend(what))
		os.Exit(1)
	}
	window := flag.Duration("window", 4*time.Second, "how long requests go on before, between and behind the steps of a scenario")
	clients := flag.Int("clients", 8, "how many clients ask at a time")
	flag.Parse()
	if err := compare(load{clients: *clients, time: *window}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func compare(l load) error {
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	built := filepath.Join(dir, "gatewhy")
	if out, err := exec.Command("go", "build", "-o", built, "github.com/gatewhy/gatewhy").CombinedOutput(); err != nil {
		return fmt.Errorf("gatewhy does not build: %v\n%s", err, out)
	}
	var names []string
	rows := make([][]string, len(scenarios))
	for _, c := range contenders {
		program := built
		if c.name != "gatewhy" {
			if program, err = exec.LookPath(c.name); err != nil {
				fmt.Fprintf(os.Stderr, "%s is not installed and is left out\n", c.name)
				continue
			}
		}
		names = append(names, c.name)
		out, _ := exec.Command(program, c.version...).CombinedOutput()
		version, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		fmt.Fprintf(os.Stderr, "%s: %s\n", c.name, version)
		for i := range scenarios {
			o, _, err := play(&scenarios[i], &c, program, dir, l)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", scenarios[i].name, c.name, err)
			}
			fmt.Fprintf(os.Stderr, "  %s: %d of %d GETs failed, %d of %d POSTs, %d executed twice, slowest %v  %s\n", scenarios[i].name, o.failed, o.gets,
				o.failedPosts, o.posts, o.twice, o.slowest.Round(10*time.Millisecond), o.firstFailure)
			cell := fmt.Sprintf("%d of %d · %d of %d · %.1f s", o.failed, o.gets, o.failedPosts, o.posts, o.slowest.Seconds())
			if o.twice > 0 {
				cell += fmt.Sprintf(" · **%d twice**", o.twice)
			}
			rows[i] = append(rows[i], cell)
		}
	}
	fmt.Printf("| what happens | %s |\n| --- |%s\n", strings.Join(names, " | "), strings.Repeat(" --- |", len(names)))
	for i, s := range scenarios {
		fmt.Printf("| %s | %s |\n", s.name, strings.Join(rows[i], " | "))
	}
	return nil
}

// play plays a scenario with fresh servers and a fresh proxy, and returns its log too.
func play(s *scenario, c *contender, program, dir string, l load) (o outcome, log string, err error) {
	var both [2]*backend
	for i := range both {
		both[i] = &backend{executed: filepath.Join(dir, fmt.Sprint("executed", i))}
		if both[i].address, err = freeAddress(); err != nil {
			return o, "", err
		}
		switch s.configs {
		case "tls":
			if both[i].certificates = dir; i == 0 {
				if err := certify(dir); err != nil {
					return o, "", err
				}
			}
		case "dns": // a name has no ports
			_, port, _ := net.SplitHostPort(both[0].address)
			both[i].address = fmt.Sprintf("127.0.0.%d:%s", 2+i, port)
		}
		if err := both[i].start(); err != nil {
			return o, "", err
		}
		defer both[i].kill()
	}
	if err := zone.start(); err != nil {
		return o, "", err
	}
	zone.move(both[0])
	p, err := c.start(program, s.configs, both[0], both[1])
	if err != nil {
		return o, "", err
	}
	o, err = s.run(p, both[0], both[1], l)
	return o, p.stop(), err
}
