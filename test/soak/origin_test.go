package soak

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// origin is a server that dies and comes back at the same address. Nobody starts
// or kills it from two goroutines at once.
type origin struct {
	w       *world
	address string
	cert    *certificate // nil: no TLS
	h2c     bool         // HTTP/2 without TLS, beside HTTP/1.1
	server  *http.Server
	done    chan struct{} // closed when this life is over; nil while it is dead

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func newOrigin(t *testing.T, w *world, cert *certificate, h2c bool) *origin {
	t.Helper()
	o := &origin{w: w, cert: cert, h2c: h2c, conns: map[net.Conn]bool{}}
	// Below the ports of outgoing connections: one of these must not take the place
	// of a server that is dead for a moment.
	for range 200 {
		o.address = "127.0.0.1:" + strconv.Itoa(20_000+rand.N(12_000))
		if o.start() == nil {
			t.Cleanup(func() { o.kill(false) })
			return o
		}
	}
	t.Fatal("no free port found")
	return nil
}

// target is how the command line names it.
func (o *origin) target() string {
	if o.cert != nil {
		return "https://" + o.address
	}
	if o.h2c {
		return "h2c://" + o.address
	}
	return o.address
}

func (o *origin) start() error {
	ln, err := net.Listen("tcp", o.address)
	if err != nil {
		return err
	}
	o.server = &http.Server{Handler: o, ConnState: o.track, ErrorLog: log.New(io.Discard, "", 0)}
	o.server.Protocols = new(http.Protocols)
	o.server.Protocols.SetHTTP1(true)
	o.server.Protocols.SetHTTP2(o.cert != nil)
	o.server.Protocols.SetUnencryptedHTTP2(o.h2c)
	o.done = make(chan struct{})
	go func(s *http.Server, done chan struct{}) { // ends with kill
		defer close(done)
		if o.cert != nil {
			s.ServeTLS(ln, o.cert.certFile, o.cert.keyFile)
		} else {
			s.Serve(ln)
		}
	}(o.server, o.done)
	return nil
}

func (o *origin) track(c net.Conn, s http.ConnState) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch s {
	case http.StateNew:
		o.conns[c] = true
	case http.StateClosed:
		delete(o.conns, c)
	}
}

// kill closes the listener and breaks all connections, tunnels too, with a FIN or a
// reset.
func (o *origin) kill(reset bool) {
	if o.done == nil {
		return
	}
	o.breakAll(reset)
	o.server.Close()
	<-o.done
	o.done = nil
	// One that was accepted at the last moment outlives the server.
	for late := time.Now().Add(patience); !o.settled(); time.Sleep(time.Millisecond) {
		if o.breakAll(reset); time.Now().After(late) {
			o.w.fail("connections to %s outlive the server", o.address)
			return
		}
	}
}

func (o *origin) breakAll(reset bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for c := range o.conns {
		if reset {
			linger(c, 0)
		}
		bare(c).Close()
	}
}

// settled reports whether the other ends of all connections know that they have ended:
// the kernel may be late to hand a FIN or a reset over, also on loopback. Where nobody
// tells (proc(5)), it is taken to be so.
func (o *origin) settled() bool {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return true
	}
	_, port, _ := net.SplitHostPort(o.address)
	n, _ := strconv.Atoi(port)
	peer, established := fmt.Sprintf(":%04X", n), "01"
	for line := range strings.Lines(string(table)) {
		// sl local_address rem_address st ...
		if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[2], peer) && f[3] == established {
			return false
		}
	}
	return true
}

// ServeHTTP answers /NUMBER/MODE/SIZE with the content of that number.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	part := strings.Split(r.URL.Path, "/")
	if len(part) != 4 {
		http.NotFound(w, r) // the gateway's own look at its upstreams
		return
	}
	id, err1 := strconv.ParseUint(part[1], 10, 64)
	size, err2 := strconv.ParseInt(part[3], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		o.w.fail("the upstream was asked for %s: %v", r.URL.Path, err)
		http.NotFound(w, r)
		return
	}
	o.w.speaks(r)
	if r.Method == http.MethodPost {
		o.w.executes(id)
	}
	if part[2] == "echo" {
		if r.ProtoMajor == 1 { // else the wish to upgrade has not come this far
			o.echo(w, r)
		}
		return
	}
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		want := content{id: id, size: r.ContentLength}
		if n, err := strconv.ParseInt(r.Header.Get("X-Size"), 10, 64); err == nil {
			want.size = n
		}
		switch _, err := io.Copy(&want, r.Body); {
		case errors.Is(err, errWrongBytes):
			o.w.fail("%s %s: the upstream got other bytes at %d", r.Method, r.URL.Path, want.at)
			return
		case err != nil:
			panic(http.ErrAbortHandler) // the client or the gateway gave up
		case want.at != want.size:
			o.w.fail("%s %s: the upstream got %d bytes of %d as a whole body", r.Method, r.URL.Path, want.at, want.size)
		}
	}
	body := &content{id: id, size: size}
	w.Header().Set("X-Number", part[1])
	switch part[2] {
	case "sized":
		w.Header().Set("Content-Length", part[3])
		if r.Method != http.MethodHead {
			io.Copy(w, body)
		}
	case "chunked":
		flush := http.NewResponseController(w)
		for piece := int64(1 + id%1500); body.at < size && r.Method != http.MethodHead; piece = piece*3 + 1 {
			if _, err := io.CopyN(w, body, piece); err != nil && err != io.EOF {
				return
			}
			flush.Flush()
		}
	case "hints":
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.Header().Set("Content-Length", part[3]) // before the hints: net/http may still read the fields then
		w.WriteHeader(http.StatusEarlyHints)
		if r.Method != http.MethodHead {
			io.Copy(w, body)
		}
	default:
		o.w.fail("the upstream was asked for %s", r.URL.Path)
	}
}

// acceptKey is what a server answers to a WebSocket key (RFC 6455 §4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// echo switches to a tunnel that sends back what comes.
func (o *origin) echo(w http.ResponseWriter, r *http.Request) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		o.w.fail("no tunnel: %v", err)
		return
	}
	defer func() {
		c.Close()
		o.mu.Lock()
		delete(o.conns, c)
		o.mu.Unlock()
	}()
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		acceptKey(r.Header.Get("Sec-WebSocket-Key")))
	in := bufio.NewReader(rw) // what came with the head is in rw
	io.Copy(c, in)
}
