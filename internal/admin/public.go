package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gatewhy/gatewhy/internal/metrics"
)

// Public is what anybody may ask who reaches an address: nothing that tells of a
// request, and nothing that changes anything.
type Public struct {
	// Listen is a TCP address: host and port.
	Listen string
	// Listener, if it is not nil, is there already and stands for Listen.
	Listener net.Listener
	// Metrics writes them in Prometheus' text format. It is called from any goroutine.
	Metrics func(io.Writer) error
	// API is served besides to who has the token, which Token reads each time; nil where
	// there is none.
	API   *Options
	Token func() (string, error)
	// Ready tells why no requests should come here; nil if they should.
	Ready func() error
}

// Metrics serves Public.
type Metrics struct {
	ln   net.Listener
	http http.Server
	done sync.WaitGroup
	// conns are the connections. Those that are new come before Serve returns, so
	// Close may wait for them.
	conns sync.WaitGroup
}

// headTimeout bounds the wait for a question, and mostHead its size: those who ask
// are programs near by.
const (
	headTimeout = 5 * time.Second
	mostHead    = 16 << 10
)

// Serve listens and serves. The error is of the address.
func Serve(p Public) (*Metrics, error) {
	ln := p.Listener
	if ln == nil {
		var err error
		if ln, err = listenTCP(p.Listen); err != nil {
			return nil, err
		}
	}
	m := &Metrics{ln: ln}
	m.http = http.Server{Handler: p.handler(), ReadTimeout: readTimeout, ReadHeaderTimeout: headTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: 2 * writeTimeout, MaxHeaderBytes: mostHead}
	m.http.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			m.conns.Add(1)
		case http.StateClosed, http.StateHijacked:
			m.conns.Done()
		}
	}
	m.done.Go(func() { m.http.Serve(ln) }) // ends at Close
	return m, nil
}

// listenTCP listens on a TCP address. The name localhost is this machine by rule (RFC 6761
// section 6.3), whatever a resolver knows of it.
func listenTCP(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return net.Listen("tcp", address)
	}
	ln, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port))
	if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
		if six, err := net.Listen("tcp6", net.JoinHostPort("::1", port)); err == nil {
			return six, nil // a machine without IPv4
		}
	}
	return ln, err
}

// Addr is where it listens.
func (m *Metrics) Addr() net.Addr { return m.ln.Addr() }

// File is a copy of its socket, for another process. The caller closes it.
func (m *Metrics) File() (*os.File, error) {
	ln, ok := m.ln.(*net.TCPListener)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return ln.File()
}

// Close ends it.
func (m *Metrics) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	// Server.Shutdown drops the question of a connection that was accepted a moment ago,
	// and there is another process to which it could have gone.
	m.ln.Close()
	m.done.Wait()
	m.http.SetKeepAlivesEnabled(false)
	answered := make(chan struct{})
	go func() { // ends with the last connection
		m.conns.Wait()
		close(answered)
	}()
	select {
	case <-answered:
	case <-ctx.Done():
	}
	m.http.Close()
	<-answered
}

func (p *Public) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", metrics.ContentType)
		w.Header().Set("Cache-Control", "no-store")
		p.Metrics(w) // an error is one of the connection
	})
	if p.API != nil {
		host, _, _ := net.SplitHostPort(p.Listen)
		api := guard(host, p.Token, handler(p.API))
		routes(p.API, func(pattern string, _ http.HandlerFunc) { mux.Handle(pattern, api) })
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { tell(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { tell(w, p.Ready()) })
	return mux
}

func tell(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, err)
		return
	}
	fmt.Fprintln(w, "ok")
}
