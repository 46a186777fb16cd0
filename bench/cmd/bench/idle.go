package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// settle is how long a contender may take to put its buffers away.
const settle = time.Second

// runIdle tells what memory a keep-alive connection costs that waits: it opens
// -idle connections, sends one request on each, and looks when all is quiet.
// Each contender starts anew for it, since a heap that an earlier workload made
// large would hide what connections need.
func (h *house) runIdle(ctx context.Context, w workload, able []*contender) (failed int) {
	fmt.Printf("\n## idle  (%d keep-alive connections, one request each, then silence)\n", h.idle)
	fmt.Printf("%-16s %-12s %-12s %-12s %s\n", "contender", "MiB before", "MiB after", "KiB/conn", "errors")
	for _, c := range able {
		i, err := h.idleAnew(ctx, w, c)
		if err != nil {
			h.complainOf(w, c, err)
			failed++
			continue
		}
		fmt.Printf("%-16s %-12.1f %-12.1f %-12.2f %d\n", c.name, i.before, i.after, i.each(h.idle), i.errs)
	}
	return failed
}

// idling is resident memory in MiB before and after the connections came; errs of
// them failed, the last one with the error last.
type idling struct {
	before, after float64
	errs          int
	last          error
}

// each is what one of n connections costs, in KiB.
func (i idling) each(n int) float64 { return (i.after - i.before) * 1024 / float64(n-i.errs) }

// idleAnew starts the contender anew and measures it.
func (h *house) idleAnew(ctx context.Context, w workload, c *contender) (i idling, err error) {
	c.stop()
	c.process = nil
	if err := h.start(ctx, c); err != nil {
		return i, err
	}
	if i, err = h.measureIdle(ctx, w, c); err == nil && i.errs > 0 {
		h.complain("idle %s: %d of %d connections failed, the last one: %v", c.name, i.errs, h.idle, i.last)
	}
	return i, err
}

func (h *house) measureIdle(ctx context.Context, w workload, c *contender) (m idling, err error) {
	var conns []net.Conn
	defer func() {
		for _, cn := range conns {
			cn.Close()
		}
	}()
	// The first request makes what any request needs: not a cost of waiting.
	for i := range h.idle + 1 {
		if ctx.Err() != nil {
			return m, ctx.Err()
		}
		cn, err := h.ask(w, c.port)
		if err != nil {
			m.errs, m.last = m.errs+1, err
			continue
		}
		conns = append(conns, cn)
		if i == 0 {
			m.before = rss(tree(c.pid))
		}
	}
	if m.before == 0 || len(conns) < 2 {
		return m, m.last
	}
	time.Sleep(settle)
	m.after = rss(tree(c.pid))
	return m, nil
}

// ask sends one request on a new connection, reads the answer, and leaves the
// connection open.
func (h *house) ask(w workload, port int) (net.Conn, error) {
	cn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 5*time.Second)
	if err != nil {
		return nil, err
	}
	n, err := exchange(cn, w.path)
	if err == nil && n != int64(w.body) {
		err = fmt.Errorf("%d bytes of body, not %d", n, w.body)
	}
	if err != nil {
		cn.Close()
		return nil, err
	}
	return cn, nil
}

func exchange(cn net.Conn, path string) (body int64, err error) {
	if err := cn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(cn, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench (idle)\r\nAccept: */*\r\n\r\n"); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(cn), nil)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("answer %s", resp.Status)
	}
	if resp.Close {
		return 0, fmt.Errorf("it does not keep the connection open")
	}
	return io.Copy(io.Discard, resp.Body)
}
