package admin

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gatewhy/gatewhy/internal/metrics"
)

// Public is what anybody may ask who reaches an address: nothing that tells of a
// request, and nothing that changes anything.
type Public struct {
	// Listen is a TCP address: host and port.
	Listen string
	// Metrics writes them in Prometheus' text format. It is called from any goroutine.
	Metrics func(io.Writer) error
	// Ready tells why no requests should come here; nil if they should.
	Ready func() error
}

// Metrics serves Public.
type Metrics struct {
	ln   net.Listener
	http http.Server
	done sync.WaitGroup
}

// headTimeout bounds the wait for a question, and mostHead its size: those who ask
// are programs near by.
const (
	headTimeout = 5 * time.Second
	mostHead    = 16 << 10
)

// Serve listens and serves. The error is of the address.
func Serve(p Public) (*Metrics, error) {
	ln, err := net.Listen("tcp", p.Listen)
	if err != nil {
		return nil, err
	}
	m := &Metrics{ln: ln}
	m.http = http.Server{Handler: p.handler(), ReadTimeout: readTimeout, ReadHeaderTimeout: headTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: 2 * writeTimeout, MaxHeaderBytes: mostHead}
	m.done.Go(func() { m.http.Serve(ln) }) // ends at Close
	return m, nil
}

// Addr is where it listens.
func (m *Metrics) Addr() net.Addr { return m.ln.Addr() }

// Close ends it.
func (m *Metrics) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if m.http.Shutdown(ctx) != nil {
		m.http.Close()
	}
	m.done.Wait()
}

func (p *Public) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", metrics.ContentType)
		w.Header().Set("Cache-Control", "no-store")
		p.Metrics(w) // an error is one of the connection
	})
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
