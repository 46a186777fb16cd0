package soak

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A row is one sort of client.
type row struct {
	name    string
	clients int // at the same time
	dial    func(c *client) (net.Conn, error)
	visit   func(c *client) // what it does again and again
}

var rows = []row{
	{"keep-alive", 6, plain, keepAlive},
	{"pipelined", 2, plain, pipelined},
	{"new connection", 2, plain, newConnection},
	{"upload", 2, plain, upload},
	{"download", 2, plain, download},
	{"slow", 4, plain, slow},
	{"reset", 4, plain, reset},
	{"tunnel", 2, plain, tunnel},
	{"malformed", 1, plain, malformed},
	{"TLS keep-alive", 3, secure, keepAlive},
	{"TLS pipelined", 1, secure, pipelined},
	{"TLS new connection", 2, secure, newConnection},
	{"TLS upload", 1, secure, upload},
	{"TLS download", 1, secure, download},
	{"TLS slow", 2, secure, slow},
	{"TLS reset", 2, secure, reset},
	{"TLS tunnel", 1, secure, tunnel},
	{"TLS malformed", 1, secure, malformed},
	{"TLS handshake", 1, plain, handshake},
	{"h2c streams", 2, plain, streams},
	{"h2c transfers", 1, plain, transfers},
	{"h2c slow", 1, plain, slowStreams},
	{"h2c abort", 1, plain, abortStreams},
	{"h2c garbage", 1, plain, garbage},
	{"h2 garbage", 1, secureH2, garbage},
	{"h2 streams", 2, secureH2, streams},
	{"h2 transfers", 1, secureH2, transfers},
	{"h2 slow", 1, secureH2, slowStreams},
	{"h2 abort", 1, secureH2, abortStreams},
}

func plain(c *client) (net.Conn, error) { return net.Dial("tcp", c.p.plain) }

// secure connects with TLS of either version, half of the time with a ticket if
// there is one.
func secure(c *client) (net.Conn, error) {
	config := &tls.Config{RootCAs: c.p.trust, ServerName: certified}
	if c.rand.IntN(2) == 0 {
		config.MaxVersion = tls.VersionTLS12
	}
	if c.rand.IntN(2) == 0 {
		config.ClientSessionCache = c.tickets
	}
	return tls.Dial("tcp", c.p.secure, config)
}

// client is one client; conn is what it keeps between requests.
type client struct {
	*world
	kind string
	over <-chan struct{}
	rand *rand.Rand
	dial func(c *client) (net.Conn, error)
	p    *process

	tickets tls.ClientSessionCache

	conn  net.Conn
	in    *bufio.Reader
	last  atomic.Uint64 // number of the request before on this connection, or any other
	fresh atomic.Bool   // no answer has come on the connection
}

// ends reports whether no new request is to be sent.
func (c *client) ends() bool {
	if c.refused.Load() {
		return true
	}
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

// open connects unless a connection is there.
func (c *client) open() bool {
	if c.conn != nil {
		return true
	}
	conn, err := c.dial(c)
	if err != nil {
		if c.stopping.Load() {
			c.refused.Store(true)
		} else {
			c.fail("%s: no connection: %v", c.kind, err)
		}
		return false
	}
	conn.SetDeadline(time.Now().Add(patience))
	c.conn, c.in = conn, bufio.NewReader(conn)
	c.fresh.Store(true)
	return true
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// abort resets the connection.
func (c *client) abort() {
	linger(c.conn, 0)
	c.close()
}

// linger reaches through TLS.
func linger(conn net.Conn, seconds int) {
	bare(conn).(*net.TCPConn).SetLinger(seconds)
}

// bare is the connection below TLS.
func bare(conn net.Conn) net.Conn {
	if in, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return in.NetConn()
	}
	return conn
}

// A request, and how its body is sent.
type request struct {
	id     uint64
	method string
	mode   string // what the server does: sized, chunked, hints, echo
	size   int64  // of the answer's body
	body   int64  // of the request's body
	coding bool   // it is chunked
	expect bool   // with Expect: 100-continue
	half   bool   // the client's side is closed behind the request
	fields string
	then   uint64 // kills when it was made
}

var methods = []string{"GET", "GET", "GET", "HEAD", "PUT", "DELETE", "POST"}

// small is a body that comes whole with its head: where a server dies in the middle
// of such an answer, nobody need notice.
const small = 1500

// request chooses a request with an answer and a body of at most these sizes.
func (c *client) request(method string, answer, body int64) *request {
	q := &request{id: c.next.Add(1), method: method, mode: []string{"sized", "chunked", "hints"}[c.rand.IntN(3)],
		size: c.rand.Int64N(answer + 1), then: c.kills.Load()}
	if method == "PUT" || method == "POST" {
		q.body = c.rand.Int64N(body + 1)
		q.coding, q.expect = c.rand.IntN(2) == 0, c.rand.IntN(4) == 0
	}
	if q.size > small && q.mode == "hints" {
		q.mode = "sized"
	}
	return q
}

func (q *request) idempotent() bool { return q.method != "POST" }

// path is what the server is asked for.
func (q *request) path() string { return fmt.Sprintf("/%d/%s/%d", q.id, q.mode, q.size) }

func (q *request) String() string {
	return fmt.Sprintf("%s %s (body %d, chunked %t, expect %t)", q.method, q.path(), q.body, q.coding, q.expect)
}

// head is the request's head.
func (q *request) head() string {
	h := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: soak.test\r\n%s", q.method, q.path(), q.fields)
	if q.method == "PUT" || q.method == "POST" {
		if q.expect {
			h += "Expect: 100-continue\r\n"
		}
		if q.coding {
			h += fmt.Sprintf("X-Size: %d\r\nTransfer-Encoding: chunked\r\n", q.body)
		} else {
			h += fmt.Sprintf("Content-Length: %d\r\n", q.body)
		}
	}
	return h + "\r\n"
}

// sendBody writes the request's body.
func (q *request) sendBody(w io.Writer, r *rand.Rand) error {
	body := &content{id: q.id, size: q.body}
	if !q.coding {
		_, err := io.Copy(w, body)
		return err
	}
	for body.at < body.size {
		piece := body.next(1 + r.IntN(20_000))
		if _, err := fmt.Fprintf(w, "%x\r\n%s\r\n", len(piece), piece); err != nil {
			return err
		}
		body.at += int64(len(piece))
	}
	_, err := io.WriteString(w, "0\r\n\r\n")
	return err
}

// An answer as far as it came.
type answer struct {
	status int   // 0: none came
	came   int64 // bytes of the body
	err    error // nil if it is whole
	closes bool
	page   string // what a gateway's own answer says
}

// read reads the answer to q, its body through pace.
func (c *client) read(q *request, pace func(io.Reader) io.Reader) (a answer) {
	var resp *http.Response
	for {
		if resp, a.err = http.ReadResponse(c.in, &http.Request{Method: q.method}); a.err != nil {
			return a
		}
		if resp.StatusCode == http.StatusSwitchingProtocols || resp.StatusCode >= 200 {
			break
		}
	}
	a.status, a.closes = resp.StatusCode, resp.Close
	return c.readBody(q, a, resp, pace)
}

func (c *client) readBody(q *request, a answer, resp *http.Response, pace func(io.Reader) io.Reader) answer {
	defer resp.Body.Close()
	c.fresh.Store(false)
	if a.status != http.StatusOK {
		page, err := io.ReadAll(resp.Body)
		a.page, a.err = fmt.Sprintf("%s %.2000s", resp.Header, page), err
		return a
	}
	if got := resp.Header.Get("X-Number"); got != fmt.Sprint(q.id) {
		c.fail("%s: %v has the answer of %s", c.kind, q, got)
	}
	var body io.Reader = resp.Body
	if pace != nil {
		body = pace(body)
	}
	want := &content{id: q.id, size: q.size}
	_, a.err = io.Copy(want, body)
	a.came = want.at
	switch {
	case errors.Is(a.err, errWrongBytes):
		c.fail("%s: %v: other bytes at %d", c.kind, q, want.at)
	case a.err == nil && q.method != "HEAD" && want.at != want.size:
		c.fail("%s: %v: %d bytes as a whole body", c.kind, q, want.at)
		a.err = io.ErrUnexpectedEOF
	}
	return a
}

// judge holds an answer against what may happen, and tells the log's examiner.
func (c *client) judge(q *request, a answer) {
	e := expectation{status: a.status, certain: true}
	defer func() { c.world.over(c.kind, q.id, e) }()
	if a.status == 200 && a.err == nil {
		c.last.Store(q.id)
		return
	}
	if a.status == 0 && c.stopping.Load() && (c.fresh.Load() || unprocessed(a.err)) {
		e.certain = false // it was connected, and not yet accepted
		return
	}
	cut := a.status == 200 && a.err != nil && !errors.Is(a.err, errWrongBytes)
	switch {
	case !c.excused(q.then):
	case !q.idempotent():
		// Nobody knows whether the server that died had executed it.
		return
	case cut && q.size > small:
		return // it had begun
	}
	c.suspect(c.last.Load())
	c.fail("%s: %v failed: status %d, %d bytes, %v (before it: %d)\n%s", c.kind, q, a.status, a.came, a.err, c.last.Load(), a.page)
}

// unprocessed reports whether a client of HTTP/2 knows from the GOAWAY that it got
// that its request may be sent again elsewhere.
func unprocessed(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "http2: client conn not usable") ||
		strings.Contains(err.Error(), "http2: Transport received Server's graceful shutdown GOAWAY"))
}

// call sends a request and reads its answer on the client's connection, which it
// closes where the answer says so.
func (c *client) call(q *request) {
	if !c.open() {
		c.world.over(c.kind, q.id, expectation{})
		return
	}
	a := c.exchange(q)
	c.judge(q, a)
	if a.err != nil || a.closes {
		c.close()
	}
}

func (c *client) exchange(q *request) (a answer) {
	out := bufio.NewWriter(c.conn)
	io.WriteString(out, q.head())
	if q.method != "PUT" && q.method != "POST" {
		out.Flush() // an error shows in the read
		c.closeSide(q)
		return c.read(q, nil)
	}
	if q.expect {
		out.Flush()
		// 100 or an answer: whoever gets an answer need not send the body.
		line, err := c.in.Peek(len("HTTP/1.1 100"))
		if err == nil && string(line) != "HTTP/1.1 100" {
			a = c.read(q, nil)
			a.closes = true
			return a
		}
	}
	q.sendBody(out, c.rand) // an error shows in the read: an early answer, or its absence
	out.Flush()
	c.closeSide(q)
	return c.read(q, nil)
}

// closeSide says that nothing more will come: a FIN, in TLS with close_notify.
func (c *client) closeSide(q *request) {
	if q.half {
		c.conn.(interface{ CloseWrite() error }).CloseWrite() // an error shows in the read
	}
}

func keepAlive(c *client) {
	defer c.close()
	for range 1 + c.rand.IntN(60) {
		if c.ends() {
			return
		}
		c.call(c.request(methods[c.rand.IntN(len(methods))], small, 3000))
	}
}

func pipelined(c *client) {
	defer c.close()
	for range 1 + c.rand.IntN(8) {
		if c.ends() || !c.open() {
			return
		}
		var qs []*request
		var bytes strings.Builder
		for range 2 + c.rand.IntN(14) {
			q := c.request([]string{"GET", "HEAD", "PUT"}[c.rand.IntN(3)], small, 1000)
			q.expect = false
			qs = append(qs, q)
			bytes.WriteString(q.head())
			if q.method == "PUT" {
				q.sendBody(&bytes, c.rand)
			}
		}
		for rest := bytes.String(); rest != ""; {
			n := 1 + c.rand.IntN(len(rest))
			io.WriteString(c.conn, rest[:n])
			rest = rest[n:]
		}
		for i, q := range qs {
			a := c.read(q, nil)
			c.judge(q, a)
			if a.err == nil && !a.closes {
				continue
			}
			for _, q := range qs[i+1:] { // what stands behind may not have been read
				c.world.over(c.kind, q.id, expectation{})
			}
			return
		}
	}
}

// newConnection sends one request on a connection, and may close its side behind it.
func newConnection(c *client) {
	defer c.close()
	q := c.request(methods[c.rand.IntN(len(methods))], small, 1000)
	if c.rand.IntN(2) == 0 {
		q.fields = "Connection: close\r\n"
	}
	q.half = !q.expect && c.rand.IntN(2) == 0
	c.call(q)
}

func upload(c *client) {
	defer c.close()
	for range 4 {
		if c.ends() {
			return
		}
		c.call(c.request([]string{"PUT", "POST"}[c.rand.IntN(2)], small, []int64{10, 100_000, 3 << 20}[c.rand.IntN(3)]))
	}
}

func download(c *client) {
	defer c.close()
	for range 4 {
		if c.ends() {
			return
		}
		c.call(c.request("GET", []int64{20_000, 200_000, 6 << 20}[c.rand.IntN(3)], 0))
	}
}

// pause is what slow clients do between two reads or writes. Nothing waits for it
// to be long enough.
func (c *client) pause() { <-time.After(time.Duration(c.rand.IntN(5)) * time.Millisecond) }

// hesitant writes and reads a few bytes at a time, with pauses, until it has had
// enough of them.
type hesitant struct {
	c     *client
	w     io.Writer
	r     io.Reader
	turns int
}

func (h *hesitant) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		most := len(b) - n
		if h.turns > 0 {
			h.turns--
			h.c.pause()
			most = min(most, 1+h.c.rand.IntN(5))
		}
		var m int
		m, err = h.w.Write(b[n : n+most])
		n += m
	}
	return n, err
}

func (h *hesitant) Read(b []byte) (int, error) {
	if h.turns > 0 {
		h.turns--
		h.c.pause()
		b = b[:min(len(b), 1+h.c.rand.IntN(2000))]
	}
	return h.r.Read(b)
}

func slow(c *client) {
	defer c.close()
	for range 3 {
		if c.ends() || !c.open() {
			return
		}
		q := c.request([]string{"GET", "PUT", "POST"}[c.rand.IntN(3)], []int64{small, 300_000, 2 << 20}[c.rand.IntN(3)], 20_000)
		q.expect = false
		out := &hesitant{c: c, w: c.conn, turns: 10 + c.rand.IntN(100)}
		io.WriteString(out, q.head()) // an error shows in the read
		if q.method != "GET" {
			q.sendBody(out, c.rand)
		}
		a := c.read(q, func(r io.Reader) io.Reader { return &hesitant{c: c, r: r, turns: 10 + c.rand.IntN(100)} })
		c.judge(q, a)
		if a.err != nil || a.closes || q.size > small {
			c.close() // for the gateway the answer may have ended long ago
		}
	}
}

// reset leaves at a random point of a request or its answer.
func reset(c *client) {
	if !c.open() {
		return
	}
	defer c.close()
	q := c.request(methods[c.rand.IntN(len(methods))], []int64{small, 2 << 20}[c.rand.IntN(2)], []int64{2000, 1 << 20}[c.rand.IntN(2)])
	q.expect = false
	q.fields = "Connection: close\r\n" // who reads more than there is meets the end
	var bytes strings.Builder
	bytes.WriteString(q.head())
	if q.body > 0 || q.method == "PUT" || q.method == "POST" {
		q.sendBody(&bytes, c.rand)
	}
	whole := bytes.String()
	e := expectation{}
	switch c.rand.IntN(3) {
	case 0: // in the head or the body
		io.WriteString(c.conn, whole[:c.rand.IntN(len(whole))])
	case 1: // before the answer
		io.WriteString(c.conn, whole)
	case 2: // in the answer
		go io.WriteString(c.conn, whole) // ends when the connection does
		line, err := c.in.Peek(12)
		e.certain = err == nil && slices.Contains([]string{"HTTP/1.1 200", "HTTP/1.1 103"}, string(line))
		io.CopyN(io.Discard, c.in, c.rand.Int64N(q.size+500))
	}
	if c.rand.IntN(4) == 0 {
		c.close() // a FIN, or a reset if something is unread
	} else {
		c.abort()
	}
	c.world.over(c.kind, q.id, e)
}

// tunnel upgrades and sends bytes both ways.
func tunnel(c *client) {
	defer c.close()
	if !c.open() {
		return
	}
	q := c.request("GET", 0, 0)
	q.mode = "echo"
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	q.fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n"
	io.WriteString(c.conn, q.head())
	resp, err := http.ReadResponse(c.in, &http.Request{Method: "GET"})
	e := expectation{certain: true}
	defer func() { c.world.over(c.kind, q.id, e) }()
	if err == nil && resp.StatusCode == http.StatusOK {
		e.status = 200 // a server of HTTP/2 was asked: there is no upgrade
		return
	}
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != acceptKey(key) {
		// A server that dies after it agreed may take the tunnel with it, not the 101.
		c.fail("tunnel: %v: %v %v", q, resp, err)
		return
	}
	e.status = resp.StatusCode
	up, down := &content{id: q.id, size: 1 << 40}, &content{id: q.id, size: 1 << 40}
	for range 1 + c.rand.IntN(20) {
		// Less than what the buffers on the way hold: the echo is read after the write.
		n := int64(1 + c.rand.IntN(30_000))
		if _, err = io.CopyN(c.conn, up, n); err == nil {
			_, err = io.CopyN(down, c.in, n)
		}
		if err != nil {
			break
		}
	}
	if err != nil && (errors.Is(err, errWrongBytes) || !c.excused(q.then)) {
		c.fail("tunnel: %v: after %d bytes: %v", q, down.at, err)
	}
	if c.rand.IntN(4) == 0 {
		c.abort()
	}
}

// malformed sends what no server may take.
func malformed(c *client) {
	if !c.open() {
		return
	}
	defer c.close()
	raw := []string{
		"GET /malformed HTTP/1.1\r\nHost : a\r\n\r\n",
		"GET /malformed HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n",
		"POST /malformed HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET /malformed HTTP/1.1\r\n\r\n",
		"GET /malformed HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
	}[c.rand.IntN(5)]
	io.WriteString(c.conn, raw)
	resp, err := http.ReadResponse(c.in, nil)
	if c.stopping.Load() && err != nil {
		c.world.over(c.kind, 0, expectation{})
		return
	}
	c.bad.Add(1)
	if err != nil || resp.StatusCode != 400 {
		c.fail("%q: %v %v", raw, resp, err)
		return
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		c.fail("%q: %v", raw, err)
	}
	if rest, err := io.ReadAll(c.in); len(rest) > 0 || err != nil {
		c.fail("%q: behind the answer %q, %v", raw, rest, err)
	}
}

// handshake leaves in the middle of a TLS handshake.
func handshake(c *client) {
	conn, err := net.Dial("tcp", c.p.secure)
	if err != nil {
		if !c.stopping.Load() {
			c.fail("no connection: %v", err)
		}
		return
	}
	conn.SetDeadline(time.Now().Add(patience))
	defer conn.Close()
	t := tls.Client(&limited{Conn: conn, left: c.rand.IntN(700)}, &tls.Config{RootCAs: c.p.trust, ServerName: certified})
	if t.Handshake() == nil && c.rand.IntN(2) == 0 {
		io.WriteString(t, "GET") // and no more than that
	}
	if c.rand.IntN(2) == 0 {
		linger(conn, 0)
	}
}

// limited is a connection that takes only so many bytes.
type limited struct {
	net.Conn
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	n, err := l.Conn.Write(b[:min(len(b), l.left)])
	l.left -= n
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}
