package main

import (
	"bytes"
	"embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

//go:embed configs
var configs embed.FS

// contender is a proxy, with the configuration that a careful operator would write for it.
type contender struct {
	name, config string
	command      func(program, config, dir string) []string
	version      []string
}

var contenders = []contender{
	{"gatewhy", "gatewhy.yaml", func(p, c, _ string) []string { return []string{p, "run", "-c", c} }, []string{"version"}},
	{"nginx", "nginx.conf", func(p, c, d string) []string { return []string{p, "-p", d, "-c", c, "-e", d + "/log"} }, []string{"-v"}},
	{"haproxy", "haproxy.cfg", func(p, c, _ string) []string { return []string{p, "-db", "-f", c} }, []string{"-v"}},
	{"caddy", "Caddyfile", func(p, c, _ string) []string {
		return []string{p, "run", "--config", c, "--adapter", "caddyfile"}
	}, []string{"version"}},
}

// proxy is a running one.
type proxy struct {
	address, dir string
	cmd          *exec.Cmd
	said         bytes.Buffer
}

// start starts a contender in front of two servers and waits until it listens.
func (c *contender) start(program, configurations string, a, b *backend) (*proxy, error) {
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	p := &proxy{dir: dir}
	if p.address, err = freeAddress(); err != nil {
		return nil, err
	}
	text, err := configs.ReadFile(path.Join("configs", configurations, c.config))
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(a.address)
	name := strings.TrimSuffix(host, ".")
	values := map[string]string{"LISTEN": p.address, "A": a.address, "B": b.address, "DIR": dir, "CA": filepath.Join(a.certificates, "ca.pem"),
		"DNS": zone.address, "HOST": name, "PORT": port, "NAME": name + ":" + port}
	env := os.Environ()
	filled := string(text)
	for name, v := range values {
		env = append(env, name+"="+v)
		if c.name != "gatewhy" { // which reads its environment itself
			filled = strings.ReplaceAll(filled, "${"+name+"}", v)
		}
	}
	config := filepath.Join(dir, c.config)
	if err := os.WriteFile(config, []byte(filled), 0o644); err != nil {
		return nil, err
	}
	args := c.command(program, config, dir)
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Env = append(env, "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for range 200 {
		if conn, err := net.Dial("tcp", p.address); err == nil {
			conn.Close()
			return p, nil
		}
		time.Sleep(25 * time.Millisecond)
	}
	p.stop()
	return nil, fmt.Errorf("%s does not listen:\n%s", c.name, p.said.String())
}

// stop ends it, and returns what it logged.
func (p *proxy) stop() string {
	p.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { // ends with the program
		defer close(done)
		p.cmd.Wait()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill()
		<-done
	}
	log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	os.RemoveAll(p.dir)
	return string(log)
}
