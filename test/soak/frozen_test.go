package soak

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// serveAlone is the whole life of an origin in a process of its own.
func serveAlone(f *os.File) {
	ln, err := net.FileListener(f)
	if err != nil {
		os.Exit(1)
	}
	o := &origin{w: &world{executed: map[uint64]int{}, spoken: map[string]int{}}}
	s := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Process", "alone")
		o.ServeHTTP(w, r)
	})}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	s.Serve(ln)
}

// A server whose process is stopped accepts connections and takes requests, as far
// as its kernel has room, and says nothing. Requests that may be sent again are
// answered by the other server; when the process goes on it gets requests again.
func TestFrozen(t *testing.T) {
	for name, scheme := range map[string]string{"HTTP/1.1": "http://", "HTTP/2": "h2c://"} {
		t.Run(name, func(t *testing.T) {
			onEngines(t, func(t *testing.T, args ...string) { frozen(t, scheme, args...) })
		})
	}
}

func frozen(t *testing.T, scheme string, args ...string) {
	w := newWorld(t)
	cert := newCertificate(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	alone := exec.Command(os.Args[0])
	alone.Env = append(os.Environ(), gatewayRole+"=origin")
	alone.ExtraFiles = []*os.File{f}
	alone.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	alone.Stderr = os.Stderr
	if err := alone.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		alone.Process.Kill()
		alone.Wait()
	})
	good := newOrigin(t, w, nil, false)
	p := launch(t, cert, append(args, "--loops", "2", "--timeout-first-byte", "2s", "--timeout-connect", "2s", "--timeout-tls", "2s",
		scheme+ln.Addr().String(), good.address)...)
	served := func() bool { // by the one that is alone, in some tries
		for range 20 {
			c := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := c.Get("http://" + p.plain + "/0/sized/0")
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%v %v", resp, err)
			}
			resp.Body.Close()
			if resp.Header.Get("X-Process") == "alone" {
				return true
			}
		}
		return false
	}
	if !served() {
		t.Fatal("one of two servers gets no requests")
	}
	if err := alone.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// A POST that it took is nobody's to send again.
	idempotent := func(c *client) {
		defer c.close()
		for range 10 {
			if c.ends() {
				return
			}
			c.call(c.request([]string{"GET", "HEAD", "PUT", "DELETE"}[c.rand.IntN(4)], small, 3000))
		}
	}
	var clients sync.WaitGroup
	over := make(chan struct{})
	w.run(&clients, []row{{"plain", 4, plain, idempotent}, {"TLS", 4, secure, idempotent}}, 0, p, over)
	for range 200 {
		select {
		case <-w.calls:
		case <-time.After(patience):
			t.Fatal("no requests are answered")
		}
	}
	close(over)
	clients.Wait()
	if err := alone.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); !served(); {
		if time.Now().After(end) {
			t.Fatal("it goes on, and gets no requests")
		}
	}
	p.stop(t)
}
