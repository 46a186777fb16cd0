package prove

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// moods are endpoints that are well at times, which no recipe is. A script runs
// for each connection; n numbers them from 0.
var moods = map[string]func(c *visit, n int){
	"closes each other connection after the request": func(c *visit, n int) {
		for c.read() {
			if n%2 == 1 {
				return
			}
			c.answer()
		}
	},
	"resets each other connection after the request": func(c *visit, n int) {
		for c.read() {
			if n%2 == 1 {
				c.reset()
				return
			}
			c.answer()
		}
	},
	"closes without a word after each answer": func(c *visit, _ int) {
		if c.read() {
			c.answer()
		}
	},
	"closes a connection at its third request": func(c *visit, _ int) {
		for i := range 3 {
			if !c.read() || i == 2 {
				return
			}
			c.answer()
		}
	},
	"answers slowly": func(c *visit, _ int) {
		for c.read() {
			c.pause(20 * time.Millisecond)
			c.answer()
		}
	},
	"hangs at each third connection": func(c *visit, n int) {
		for c.read() {
			if n%3 == 2 {
				io.Copy(io.Discard, c.conn)
				return
			}
			c.answer()
		}
	},
	"says 503 at each other request": func(c *visit, n int) {
		for i := n; c.read(); i++ {
			if i%2 == 0 {
				c.answer()
			} else if c.write("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nbusy") != nil {
				return
			}
		}
	},
	"cuts each other body": func(c *visit, n int) {
		for c.read() {
			if n%2 == 1 {
				c.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
				return
			}
			c.answer()
		}
	},
	"answers twice": func(c *visit, _ int) {
		// In one write: what comes after the next request was sent is an answer to
		// that for all that anybody can tell.
		for c.read() && c.write(c.good()+"HTTP/1.1 200 OK\r\nX-Poison: 1\r\nContent-Length: 6\r\n\r\npoison") == nil {
			continue
		}
	},
}

// moody is an endpoint that runs a script for each connection and remembers
// which requests came whole.
type moody struct {
	ln      net.Listener
	running sync.WaitGroup
	mu      sync.Mutex
	open    map[net.Conn]bool
	runs    map[string]int
	over    chan struct{}
	came    int // connections so far
}

func startMoody(t *testing.T, script func(c *visit, n int)) *moody {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &moody{ln: ln, open: map[net.Conn]bool{}, runs: map[string]int{}, over: make(chan struct{})}
	m.serve(ln, script)
	return m
}

func (m *moody) serve(ln net.Listener, script func(c *visit, n int)) {
	m.running.Go(func() { // ends when ln is closed
		for n := 0; ; n++ {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			m.mu.Lock()
			m.open[conn] = true
			m.came++
			m.mu.Unlock()
			m.running.Go(func() { // ends with the connection
				defer func() {
					conn.Close()
					m.mu.Lock()
					delete(m.open, conn)
					m.mu.Unlock()
				}()
				script(&visit{m: m, conn: conn, in: bufio.NewReader(conn)}, n)
			})
		}
	})
}

func (m *moody) target() string { return m.ln.Addr().String() }

// Executed is how often a request with this X-Request-Seq came whole.
func (m *moody) Executed(id string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.runs[id]
}

func (m *moody) close() {
	close(m.over)
	m.ln.Close()
	m.breakAll()
	m.running.Wait()
}

// breakAll resets all connections, as the death of a process does.
func (m *moody) breakAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.open {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

// visit is one connection of a moody endpoint.
type visit struct {
	m    *moody
	conn net.Conn
	in   *bufio.Reader
	head bool
}

// read reads a whole request and remembers it.
func (v *visit) read() bool {
	r, err := http.ReadRequest(v.in)
	if err != nil {
		return false
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return false
	}
	v.head = r.Method == http.MethodHead
	v.m.mu.Lock()
	v.m.runs[r.Header.Get("X-Request-Seq")]++
	v.m.mu.Unlock()
	return true
}

func (v *visit) write(s string) error {
	_, err := io.WriteString(v.conn, s)
	return err
}

func (v *visit) answer() bool { return v.write(v.good()) == nil }

// good is a good answer to the request that was read last.
func (v *visit) good() string {
	body := "hello"
	if v.head {
		body = ""
	}
	return "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body
}

func (v *visit) reset() { v.conn.(*net.TCPConn).SetLinger(0) }

// pause waits, or until the endpoint closes.
func (v *visit) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-v.m.over:
	}
}

// awaitQuiet waits until n connections have come and all have ended.
func (m *moody) awaitQuiet(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(limit); ; {
		m.mu.Lock()
		quiet := m.came >= n && len(m.open) == 0
		m.mu.Unlock()
		if quiet {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %v a connection is still open", limit)
		}
		time.Sleep(time.Millisecond) // between two looks
	}
}
