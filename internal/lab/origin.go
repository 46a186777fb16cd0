package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Origin is one running recipe on a loopback address of its own.
type Origin struct {
	// Target is what to give the gateway as upstream: "127.0.0.1:PORT",
	// "https://localhost:PORT", "unix:PATH", "origin.lab.test:PORT", or Self.
	Target string
	// Resolver is the address of the name server to ask, "" for none.
	Resolver string
	// CA is the path of a PEM file with the authority to trust, "" for none.
	CA string

	recipe  *Recipe
	ctx     context.Context
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
	closers []func() error // in the order in which things were opened
	dir     string

	hits    atomic.Int64
	queries atomic.Int64
	conns   atomic.Int64
	active  atomic.Int64

	arm       chan struct{}
	ready     chan struct{}
	armOnce   sync.Once
	readyOnce sync.Once
	unarmed   bool

	mu   sync.Mutex
	open map[net.Conn]bool
	runs map[string]int
}

// newOrigin makes an origin that listens nowhere yet.
func newOrigin(ctx context.Context, r *Recipe) *Origin {
	o := &Origin{recipe: r, arm: make(chan struct{}), ready: make(chan struct{}),
		open: map[net.Conn]bool{}, runs: map[string]int{}}
	o.ctx, o.cancel = context.WithCancel(ctx)
	return o
}

// Start lets the recipe run until ctx ends or the origin is closed; Close must
// be called in both cases.
func (r *Recipe) Start(ctx context.Context) (*Origin, error) {
	o := newOrigin(ctx, r)
	start := r.start
	if start == nil {
		start = listenPlain
	}
	if err := start(o.ctx, o); err != nil {
		o.Close()
		return nil, fmt.Errorf("starting recipe %s: %w", r.Name, err)
	}
	return o, nil
}

// Good starts a good origin: HTTP/1.1 with persistent connections, WebSocket and
// Expect. It answers every request with "hello"; X-Body-Length and X-Body-SHA256
// tell of an uploaded body, X-Executed how often a request with the same
// X-Request-Seq has come whole.
func Good(ctx context.Context) (*Origin, error) { return good.Start(ctx) }

var good = &Recipe{Name: "good", Status: 200, Body: hello, Offset: -1, Why: "answers well",
	serve: (*Conn).GoodAll}

// Hits is how many heads of requests have come.
func (o *Origin) Hits() int64 { return o.hits.Load() }

// Connections is how many connections were accepted.
func (o *Origin) Connections() int64 { return o.conns.Load() }

// Queries is how many DNS queries have come.
func (o *Origin) Queries() int64 { return o.queries.Load() }

// Executed is how often a whole request came with this value of X-Request-Seq.
// For a request that is not idempotent more than once is a gateway's worst sin.
func (o *Origin) Executed(seq string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.runs[seq]
}

func (o *Origin) executed(seq string) {
	if seq == "" {
		return
	}
	o.mu.Lock()
	o.runs[seq]++
	o.mu.Unlock()
}

// Arm lets a Warm recipe's script do what it does while its connection is idle,
// and waits until that is at the gateway's kernel. Call it when the first answer
// has been read, before the second request is sent.
func (o *Origin) Arm(ctx context.Context) error {
	o.armOnce.Do(func() { close(o.arm) })
	if !o.recipe.Warm {
		return nil
	}
	select {
	case <-o.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-o.ctx.Done():
		return net.ErrClosed
	}
}

func (o *Origin) setReady() { o.readyOnce.Do(func() { close(o.ready) }) }

// poll is how often a count is looked at that has no event to wait for.
const poll = 2 * time.Millisecond

// AwaitHit waits until a request is here.
func (o *Origin) AwaitHit(ctx context.Context) error { return o.AwaitHits(ctx, 1) }

// AwaitHits waits until n requests were here.
func (o *Origin) AwaitHits(ctx context.Context, n int64) error {
	return await(ctx, func() bool { return o.Hits() >= n })
}

// AwaitEnd waits until a request was here and all connections have ended.
func (o *Origin) AwaitEnd(ctx context.Context) error {
	return await(ctx, func() bool { return o.Hits() > 0 && o.active.Load() == 0 })
}

func await(ctx context.Context, done func() bool) error {
	t := time.NewTicker(poll)
	defer t.Stop()
	for !done() {
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Close ends the origin, its connections and scripts, and waits for them.
func (o *Origin) Close() {
	o.cancel()
	for i := len(o.closers) - 1; i >= 0; i-- {
		o.closers[i]()
	}
	o.mu.Lock()
	for c := range o.open {
		c.Close()
	}
	o.mu.Unlock()
	o.tasks.Wait()
	if o.dir != "" {
		os.RemoveAll(o.dir)
	}
}

// onClose keeps what must be closed with the origin.
func (o *Origin) onClose(f func() error) { o.closers = append(o.closers, f) }

// file is a path in a directory of the origin's own.
func (o *Origin) file(name string) (string, error) {
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "gatewhy-lab-")
		if err != nil {
			return "", err
		}
		o.dir = dir
	}
	return filepath.Join(o.dir, name), nil
}

// loopback is where origins listen.
const loopback = "127.0.0.1"

func listenPlain(ctx context.Context, o *Origin) error {
	ln, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		return err
	}
	o.Target = ln.Addr().String()
	o.serveAll(ln, func(c *Conn) { o.recipe.serve(c) })
	return nil
}

// serveAll runs f for each connection of ln until the origin is closed.
func (o *Origin) serveAll(ln net.Listener, f func(*Conn)) {
	o.onClose(ln.Close)
	o.tasks.Go(func() { // ends when ln is closed
		for {
			raw, err := ln.Accept()
			if err != nil {
				if o.ctx.Err() == nil && !errors.Is(err, net.ErrClosed) && wait(o.ctx, Gap) {
					continue // a connection that was reset before it was accepted, or no descriptor left
				}
				return
			}
			n := int(o.conns.Add(1)) - 1
			o.serve(raw, n, f)
		}
	})
}

// serve runs f on a connection, in a goroutine that ends with f; Close makes
// every wait of f end by closing the connection.
func (o *Origin) serve(raw net.Conn, n int, f func(*Conn)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ctx.Err() != nil {
		raw.Close()
		return
	}
	o.open[raw] = true
	o.active.Add(1)
	o.tasks.Go(func() {
		defer o.active.Add(-1)
		defer func() {
			raw.Close()
			o.mu.Lock()
			delete(o.open, raw)
			o.mu.Unlock()
		}()
		f(&Conn{N: n, ctx: o.ctx, origin: o, raw: raw, conn: raw, in: bufio.NewReaderSize(raw, 16<<10)})
	})
}
