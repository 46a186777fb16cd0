package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// asBackend is the variable that makes this program a server behind a proxy: its address,
// and the file to which it adds a line for each POST that it executes.
const asBackend = "COMPARE_BACKEND"

// serveBackend is such a server. What it does is told by PUT /mood: well, slow, reset or
// 503.
func serveBackend(what string) error {
	address, file, _ := strings.Cut(what, " ")
	executed, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var mood atomic.Pointer[string]
	well := "well"
	mood.Store(&well)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && r.URL.Path == "/mood" {
			b, _ := io.ReadAll(r.Body)
			s := string(b)
			mood.Store(&s)
			return
		}
		switch *mood.Load() {
		case "slow":
			time.Sleep(5 * time.Second)
		case "reset":
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
			}
			return
		case "503":
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if r.Method == http.MethodPost {
			b, _ := io.ReadAll(r.Body)
			fmt.Fprintf(executed, "%s\n", b)
		}
		io.WriteString(w, "hello\n")
	})
	var ln net.Listener
	for range 50 { // a predecessor's connections may still have the port
		if ln, err = net.Listen("tcp", address); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return (&http.Server{Handler: handler}).Serve(ln)
}

// backend is a server process behind the proxies.
type backend struct {
	address, executed string
	cmd               *exec.Cmd
}

// start starts it and waits until it listens.
func (b *backend) start() error {
	b.cmd = exec.Command(os.Args[0])
	b.cmd.Env = append(os.Environ(), asBackend+"="+b.address+" "+b.executed)
	b.cmd.Stderr = os.Stderr
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := b.cmd.Start(); err != nil {
		return err
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		return fmt.Errorf("the server on %s does not start: %q, %v", b.address, line, err)
	}
	return nil
}

// kill ends it at once.
func (b *backend) kill() {
	if b.cmd != nil {
		b.cmd.Process.Signal(syscall.SIGCONT)
		b.cmd.Process.Kill()
		b.cmd.Wait()
		b.cmd = nil
	}
}

func (b *backend) signal(s syscall.Signal) { b.cmd.Process.Signal(s) }

// feel tells it what to do from now on.
func (b *backend) feel(mood string) error {
	r, err := http.NewRequest(http.MethodPut, "http://"+b.address+"/mood", strings.NewReader(mood))
	if err != nil {
		return err
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(r)
	if err == nil {
		res.Body.Close()
	}
	return err
}

// freeAddress is one of 127.0.0.1 that nobody listens on.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return "127.0.0.1:" + strconv.Itoa(ln.Addr().(*net.TCPAddr).Port), nil
}
