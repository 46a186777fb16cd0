package lab

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"
)

// maxRequestHead bounds what an upstream of the lab reads as a request's head.
const maxRequestHead = 1 << 20

// linger bounds how long an upstream that has sent FIN waits for the peer's.
const linger = 5 * time.Second

// Conn is one connection of an upstream, for scripts. Its verbs do not report
// errors: a script whose peer is gone runs on into nothing and ends.
type Conn struct {
	// N numbers the connections of an origin from 0.
	N int
	// Head is the request that ReadHead read last.
	Head RequestHead

	ctx    context.Context
	origin *Origin
	raw    net.Conn // the transport
	conn   net.Conn // raw, or TLS over it
	in     *bufio.Reader
	again  bool   // Head has not been handled yet
	only   string // the target that the script answers; "" for any
	moved  bool   // Head is for somebody else
}

// RequestHead is what a script needs to know of a request.
type RequestHead struct {
	Raw                     string
	Method, Target, Version string
}

// Get returns the value of a field, by its name in any case; "" if it is absent.
func (h *RequestHead) Get(name string) string {
	for _, line := range strings.Split(h.Raw, "\r\n")[1:] {
		n, v, _ := strings.Cut(line, ":")
		if strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// ReadHead reads the head of the next request. It is false when the peer is
// gone or speaks no HTTP/1, or asks for something else than this script.
func (c *Conn) ReadHead() bool {
	if c.again {
		c.again = false
		return true
	}
	var raw strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		if err != nil || raw.Len()+len(line) > maxRequestHead {
			return false
		}
		raw.WriteString(line)
		if line == "\r\n" && raw.Len() > 2 {
			break
		}
	}
	h := RequestHead{Raw: raw.String()}
	first, _, _ := strings.Cut(h.Raw, "\r\n")
	h.Method, first, _ = strings.Cut(first, " ")
	h.Target, h.Version, _ = strings.Cut(first, " ")
	if !strings.HasPrefix(h.Version, "HTTP/1.") {
		return false
	}
	c.Head = h
	c.origin.hits.Add(1)
	if c.only != "" && h.Target != c.only {
		c.again, c.moved = true, true
		return false
	}
	return true
}

// ReadBody reads the body of the request. n is its length in bytes without
// framing; ok is false if it did not come whole.
func (c *Conn) ReadBody() (n int64, sum [sha256.Size]byte, ok bool) {
	hash := sha256.New()
	var err error
	if strings.EqualFold(c.Head.Get("Transfer-Encoding"), "chunked") {
		n, err = io.Copy(hash, httputil.NewChunkedReader(c.in))
		for err == nil { // the trailer section
			var line string
			if line, err = c.in.ReadString('\n'); line == "\r\n" {
				break
			}
		}
	} else if length, _ := strconv.ParseInt(c.Head.Get("Content-Length"), 10, 64); length > 0 {
		n, err = io.CopyN(hash, c.in, length)
	}
	hash.Sum(sum[:0])
	if err != nil {
		return n, sum, false
	}
	c.origin.executed(c.Head.Get("X-Request-Seq"))
	return n, sum, true
}

// ReadRequest reads a whole request.
func (c *Conn) ReadRequest() bool {
	if !c.ReadHead() {
		return false
	}
	_, _, ok := c.ReadBody()
	return ok
}

// Write sends s. It is false when the peer is gone.
func (c *Conn) Write(s string) bool {
	_, err := io.WriteString(c.conn, s)
	return err == nil
}

// Gap is the pause between pieces that must not arrive together. Only time can
// make it: no event at the sender tells that the receiver has read.
const Gap = 20 * time.Millisecond

// WriteSlow sends the pieces with a Gap between.
func (c *Conn) WriteSlow(pieces ...string) bool {
	for i, p := range pieces {
		if i > 0 && !c.Wait(Gap) || !c.Write(p) {
			return false
		}
	}
	return true
}

// Wait waits d, or until the origin ends, which is false.
func (c *Conn) Wait(d time.Duration) bool { return wait(c.ctx, d) }

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// HalfClose sends FIN and keeps reading. Over TLS that is a FIN without
// close_notify; use CloseTLS for the other.
func (c *Conn) HalfClose() {
	if half, ok := c.raw.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

// FIN ends the connection in an orderly way: FIN, then it waits for the peer's
// and closes. So no unread byte turns the end into a reset (RFC 9112 §9.6).
func (c *Conn) FIN() {
	c.HalfClose()
	c.raw.SetReadDeadline(time.Now().Add(linger))
	io.Copy(io.Discard, c.raw)
	c.raw.Close()
}

// CloseNow closes both directions at once: bytes that come later are answered
// with RST, and so is this, if there are unread ones.
func (c *Conn) CloseNow() { c.raw.Close() }

// RST resets the connection as soon as what was written is at the peer.
func (c *Conn) RST() {
	c.flush()
	if t, ok := c.raw.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.raw.Close()
}

// Stall keeps the connection open and silent until the peer goes or the origin
// ends. It reads, so that the peer's end is seen.
func (c *Conn) Stall() {
	c.raw.SetReadDeadline(time.Time{})
	io.Copy(io.Discard, c.raw)
}

// Deaf keeps the connection open and does not read either, until the origin
// ends or the peer has gone.
func (c *Conn) Deaf() { awaitGone(c.ctx, c.raw) }

// Idle marks the point between the good first exchange of a Warm recipe and its
// fault: it waits for [Origin.Arm]. An origin that nobody arms (`gatewhy lab`)
// goes on after a pause that lets the gateway pool the connection.
func (c *Conn) Idle() bool {
	if c.origin.unarmed {
		return c.Wait(5 * Gap)
	}
	select {
	case <-c.origin.arm:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// Ready ends what Idle began: what the script did while idle is at the peer,
// and the client may send its request.
func (c *Conn) Ready() {
	c.flush()
	c.origin.setReady()
}

func (c *Conn) flush() { awaitFlushed(c.ctx, c.raw) }

// Play reads a request, writes the answer and ends as told. It is how recipes
// behave that are only data.
func (c *Conn) Play(answer string, end End) {
	for c.ReadRequest() && c.Write(answer) {
		if end != Keep {
			c.End(end)
			return
		}
	}
}

// End ends the connection as told; Keep does nothing.
func (c *Conn) End(e End) {
	switch e {
	case FIN:
		c.FIN()
	case RST:
		c.RST()
	case Hang:
		c.Stall()
	}
}

// Good reads one request and answers it well, with hello for a body, what it
// knows of the request's body in fields, and keeps the connection open. It is
// false when the connection cannot be used again.
func (c *Conn) Good() bool {
	if !c.ReadHead() {
		return false
	}
	if strings.EqualFold(c.Head.Get("Expect"), "100-continue") && !c.Write("HTTP/1.1 100 Continue\r\n\r\n") {
		return false
	}
	n, sum, ok := c.ReadBody()
	if !ok {
		return false
	}
	if strings.EqualFold(c.Head.Get("Upgrade"), "websocket") {
		c.Write(switching(c.Head.Get("Sec-WebSocket-Key"), ""))
		io.Copy(c.conn, c.in) // an echo of frames, masked as they came
		return false
	}
	if strings.HasPrefix(c.Head.Get("Content-Type"), "application/grpc") {
		return c.Write("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\na\r\n" +
			string(grpcMessage(0, hello)) + "\r\n0\r\ngrpc-status: 0\r\n\r\n")
	}
	answer := "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
	if n > 0 {
		answer += fmt.Sprintf("X-Body-Length: %d\r\nX-Body-SHA256: %s\r\n", n, hex.EncodeToString(sum[:]))
	}
	if seq := c.Head.Get("X-Request-Seq"); seq != "" {
		answer += fmt.Sprintf("X-Executed: %d\r\n", c.origin.Executed(seq))
	}
	body := hello
	if c.Head.Method == "HEAD" {
		body = ""
	}
	last := strings.EqualFold(c.Head.Get("Connection"), "close")
	if last {
		answer += "Connection: close\r\n"
	}
	return c.Write(answer+"\r\n"+body) && !last
}

// GoodAll answers requests well until the peer is gone.
func (c *Conn) GoodAll() {
	for c.Good() {
		continue
	}
	c.FIN()
}

// switching is a 101 for a WebSocket with the right Sec-WebSocket-Accept
// (RFC 6455 §4.2.2) and more field lines, each with its CRLF.
func switching(key, more string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n" + more + "\r\n"
}

// quote is s in ASCII with Go's escapes.
func quote(s string) string { return strconv.QuoteToASCII(s) }

// WriteMuch sends n bytes of 'x'. It is false when the peer is gone.
func (c *Conn) WriteMuch(n int64) bool {
	_, err := io.CopyN(c.conn, xs{}, n)
	return err == nil
}

// xs is an endless stream of 'x'.
type xs struct{}

func (xs) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// sizedHead is the head of a good answer with n bytes.
func sizedHead(n int64) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", n)
}
