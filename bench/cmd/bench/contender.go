package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A house is the origin and the contenders of one run.
type house struct {
	*settings
	tmp        string
	origin     *process
	origin2    *process // speaks HTTP/2 in the clear, on the second port
	contenders []*contender
	missing    int // contenders asked for by name that did not start
}

// A contender is one proxy under test.
type contender struct {
	name, src string
	port      int
	skip      map[string]bool // workloads that it cannot do
	h2up      bool            // its upstream speaks HTTP/2
	*process                  // nil when it is not running
}

// A process is a program that we started, in a process group of its own.
type process struct {
	pid  int
	gone chan struct{} // closed when it has ended and was waited for
}

func startProcess(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{pid: cmd.Process.Pid, gone: make(chan struct{})}
	go func() { // ends with the process; stop waits for it
		_ = cmd.Wait() // how it ended says its log, if it was not us
		close(p.gone)
	}()
	return p, nil
}

func (p *process) stop() {
	if p != nil {
		killGroup(p.pid, p.gone)
	}
}

// waitPort returns when something accepts connections on port.
func (p *process) waitPort(ctx context.Context, port int) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(5 * time.Second); ; {
		if listening(port) {
			return nil
		}
		select {
		case <-tick.C:
		case <-late:
			return fmt.Errorf("nothing listens on port %d", port)
		case <-p.gone:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func listening(port int) bool {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func (h *house) stop() {
	for _, c := range h.contenders {
		c.stop()
	}
	h.origin.stop()
	h.origin2.stop()
}

// open starts the origin and the contenders.
func (h *house) open(ctx context.Context) error {
	if err := h.discover(); err != nil {
		return err
	}
	for p := h.port; p < h.port+4*(len(h.contenders)+1); p++ {
		if listening(p) {
			return fmt.Errorf("port %d is taken; choose another range with -port", p)
		}
	}
	cmd := h.pinned(1, filepath.Join(h.dir, "bin", "origin"), strconv.Itoa(h.port), strconv.Itoa(h.originThread))
	cmd.Stderr = os.Stderr
	var err error
	if h.origin, err = startProcess(cmd); err != nil {
		return err
	}
	if err := h.origin.waitPort(ctx, h.port); err != nil {
		return fmt.Errorf("origin: %w", err)
	}
	cmd = h.pinned(1, filepath.Join(h.dir, "bin", "h2c"), strconv.Itoa(h.port+1))
	cmd.Stderr = os.Stderr
	if h.origin2, err = startProcess(cmd); err != nil {
		return err
	}
	if err := h.origin2.waitPort(ctx, h.port+1); err != nil {
		return fmt.Errorf("origin of HTTP/2: %w", err)
	}
	var up []*contender
	for _, c := range h.contenders {
		if err := h.start(ctx, c); err != nil {
			fmt.Fprintf(os.Stderr, "bench: left out: %s: %v\n", c.name, err)
			if len(h.settings.contenders) > 0 {
				h.missing++
			}
			continue
		}
		up = append(up, c)
	}
	h.contenders = up
	return ctx.Err()
}

// discover lists the contenders' folders, or those asked for, in that order.
func (h *house) discover() error {
	var all []string
	where := map[string]string{}
	for _, d := range []string{filepath.Join(h.dir, "contenders"), h.extra} {
		if d == "" {
			continue
		}
		starts, err := filepath.Glob(filepath.Join(d, "*", "start"))
		if err != nil {
			return err
		}
		for _, s := range starts {
			src := filepath.Dir(s)
			all = append(all, filepath.Base(src))
			where[filepath.Base(src)] = src
		}
	}
	if len(h.settings.contenders) > 0 {
		all = h.settings.contenders
	}
	for i, n := range all {
		if where[n] == "" {
			return fmt.Errorf("no contender is called %q", n)
		}
		if slices.Contains(all[:i], n) {
			return fmt.Errorf("contender %q twice", n)
		}
		c := &contender{name: n, src: where[n], port: h.port + 4*(i+1), skip: map[string]bool{}}
		skip, err := os.ReadFile(filepath.Join(c.src, "skip"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for _, w := range strings.Fields(string(skip)) {
			c.skip[w] = true
		}
		h.contenders = append(h.contenders, c)
	}
	return nil
}

// start renders the templates of the contender's folder into its work folder
// and runs its start script there.
func (h *house) start(ctx context.Context, c *contender) error {
	wd := filepath.Join(h.tmp, c.name)
	if err := os.MkdirAll(wd, 0o755); err != nil {
		return err
	}
	// Some drop their root rights before they write logs and temporary files.
	if err := os.Chmod(wd, 0o777); err != nil {
		return err
	}
	vars := h.vars(c, wd)
	templates, err := filepath.Glob(filepath.Join(c.src, "*.tmpl"))
	if err != nil {
		return err
	}
	for _, t := range templates {
		b, err := os.ReadFile(t)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(t), ".tmpl")
		if err := os.WriteFile(filepath.Join(wd, name), render(b, vars), 0o644); err != nil {
			return err
		}
	}
	log, err := os.Create(filepath.Join(wd, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := h.pinned(0, filepath.Join(c.src, "start"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = wd, log, log
	cmd.Env = os.Environ()
	for k, v := range vars {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	p, err := startProcess(cmd)
	if err != nil {
		return err
	}
	if err := p.waitPort(ctx, c.port); err != nil {
		p.stop()
		said, _ := os.ReadFile(log.Name()) // a hint; the error is in err
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(said[max(0, len(said)-600):]))
	}
	c.process = p
	return nil
}

// vars are what a contender's script and templates may use.
func (h *house) vars(c *contender, wd string) map[string]string {
	upstream := "127.0.0.1:" + strconv.Itoa(h.port)
	if c.h2up {
		upstream = "h2c://127.0.0.1:" + strconv.Itoa(h.port+1)
	}
	return map[string]string{
		"UPSTREAM":      upstream,
		"PORT":          strconv.Itoa(c.port),
		"TLS_PORT":      strconv.Itoa(c.port + 1),
		"ADMIN_PORT":    strconv.Itoa(c.port + 2),
		"UPSTREAM_PORT": strconv.Itoa(h.port),
		"WORKERS":       strconv.Itoa(h.workers),
		"CERT":          filepath.Join(h.tmp, "cert.pem"),
		"KEY":           filepath.Join(h.tmp, "key.pem"),
		"CERTKEY":       filepath.Join(h.tmp, "both.pem"),
		"DIR":           wd,
		"SRC":           c.src,
		"BENCH":         h.dir,
	}
}

// render puts values in the place of @NAME@.
func render(template []byte, vars map[string]string) []byte {
	for k, v := range vars {
		template = bytes.ReplaceAll(template, []byte("@"+k+"@"), []byte(v))
	}
	return template
}
