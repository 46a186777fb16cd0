package prove

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/lab"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/settings"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// ill are recipes whose endpoint nobody would want among three, in each stage of
// an attempt in which one can be ill.
var ill = []string{
	"connect_refused", "connect_timeout", "unix_socket_missing", "unix_socket_backlog",
	"accept_then_fin", "accept_then_rst",
	"dns_nxdomain", "dns_servfail", "dns_timeout", "dns_all_addresses_failed",
	"tls_handshake_timeout", "tls_got_plaintext", "tls_eof_in_handshake", "tls_rst_in_handshake",
	"tls_alert_handshake_failure", "tls_alert_unrecognized_name", "tls_handshake_invalid",
	"tls_cert_expired", "tls_cert_name_mismatch", "tls_cert_unknown_ca", "tls_record_corrupt",
	"head_eof_empty", "head_rst_empty", "head_eof_partial", "head_rst_partial",
	"head_timeout_first_byte", "head_timeout_partial",
	"http09", "foreign_banner", "tls_on_plain_port", "h2_on_h1",
	"status_code_range", "status_version_malformed", "status_line_too_long", "head_bare_cr", "header_nul",
	"header_no_colon", "header_section_too_large", "interim_flood", "interim_then_eof", "switch_unasked",
	"cl_conflict", "cl_invalid", "cl_and_te", "te_unknown",
	"chunk_size_invalid", "chunk_data_overrun", "chunk_line_too_long", "chunk_eof", "chunk_eof/rst", "trailer_malformed",
	"body_eof_short", "body_rst", "body_read_timeout", "body_close_delimited_rst",
	"upstream_gateway_error", "upstream_overloaded",
}

// unread are those whose endpoint ends a connection without looking at what came.
// Nobody can know that a request was not read, so a POST may be lost to it.
var unread = map[string]bool{"accept_then_fin": true, "accept_then_rst": true,
	"closes without a word after each answer": true}

// TestStorm sends a mix of requests through a gateway to three endpoints, one of
// which is ill. No GET, HEAD, PUT or DELETE may be lost; no POST may be executed
// twice, and one may be lost only where another attempt could execute it twice.
func TestStorm(t *testing.T) {
	for _, name := range ill {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := lab.Find(name)
			if r == nil {
				t.Fatalf("the lab has no recipe %s", name)
			}
			o, err := r.Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			storm(t, o.Target, o, unread[name], lab.Good)
		})
	}
	for name, script := range moods {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := startMoody(t, script)
			defer o.close()
			storm(t, o.target(), o, unread[name], lab.Good)
		})
	}
}

// executor knows how often it ran a request.
type executor interface{ Executed(id string) int }

// stormSettings are short limits, so that what hangs is found out soon. An
// answer is held back longer than the upstream may be silent: only so can one
// that stops in its body be rescued.
var stormSettings = map[string]string{
	"timeout-first-byte": "500ms", "timeout-read": "500ms", "grace": "1s", "timeout-connect": "500ms",
	"timeout-tls": "500ms", "timeout-resolve": "500ms",
}

const (
	stormClients  = 8
	stormRequests = 960
)

// stormSlots bounds the storms at one time: more would only wait for the processor,
// and a limit of half a second would pass where nothing hangs.
var stormSlots = make(chan struct{}, 2)

// storm sends the mix through a gateway to target and two good origins. unread: target
// may end a connection with requests on it that it did not look at.
func storm(t *testing.T, target string, sick executor, unread bool, wellAs func(context.Context) (*lab.Origin, error)) {
	stormSlots <- struct{}{}
	defer func() { <-stormSlots }()
	requests := stormRequests
	if testing.Short() {
		requests /= 10
	}
	var good [2]*lab.Origin
	o := gateway.Defaults()
	o.Listen = []loop.Address{{IP: listening}}
	o.Loops = 2
	o.Upstream.Name = "storm"
	targets := []string{target}
	for i := range good {
		var err error
		if good[i], err = wellAs(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer good[i].Close()
		targets = append(targets, good[i].Target)
	}
	for _, s := range targets {
		list, err := upstream.ParseTarget(s)
		if err != nil {
			t.Fatal(err)
		}
		o.Upstream.Targets = append(o.Upstream.Targets, list...)
	}
	if named, ok := sick.(*lab.Origin); ok {
		o.Upstream.Resolver = named.Resolver
		if named.CA != "" {
			if err := settings.Apply(&o, map[string]string{"upstream-ca": named.CA}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := settings.Apply(&o, stormSettings); err != nil {
		t.Fatal(err)
	}
	var rescued atomic.Int64
	o.Client.Observe = func(tr *trail.Trail) {
		if tr.Rescued {
			rescued.Add(1)
		}
		// Exchanges are used again: nothing of the last one may be in the next.
		for i, a := range tr.Tries() {
			if !a.Reused && !a.HTTP2 && a.Connected == 0 && (a.Status != 0 || a.BytesSent != 0 || a.BytesReceived != 0) {
				t.Errorf("attempt %d had no connection, and tells of status %d, %d bytes sent, %d received",
					i, a.Status, a.BytesSent, a.BytesReceived)
			}
		}
	}
	g, err := gateway.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Drain(time.Second)

	executed := func(id string) int { return sick.Executed(id) + good[0].Executed(id) + good[1].Executed(id) }
	var running sync.WaitGroup
	var next, lostPosts atomic.Int64
	for i := range stormClients {
		running.Go(func() { // ends when all requests are sent
			var c stormClient = &caller{address: g.Addresses()[0].String()}
			if i%2 == 1 {
				c = &callerH2{address: g.Addresses()[0].String()}
			}
			defer c.close()
			for {
				n := int(next.Add(1)) - 1
				if n >= requests {
					return
				}
				method := stormMethods[n%len(stormMethods)]
				id := fmt.Sprintf("%s-%d", strings.ToLower(method), n)
				a, err := c.call(t.Context(), method, id)
				fine := err == nil && a.whole && a.status == 200 && (method == "HEAD" || string(a.body) == "hello")
				switch times := executed(id); {
				case method != "POST" && !fine:
					t.Errorf("%s is lost: %v %v\n%s", id, a, err, a.excerpt())
				case method == "POST" && times > 1:
					t.Errorf("%s was executed %d times", id, times)
				case method == "POST" && !fine && sick.Executed(id) == 0 && !unread:
					t.Errorf("%s is lost, though no endpoint that failed had it: %v %v\n%s", id, a, err, a.excerpt())
				case fine && times == 0:
					t.Errorf("%s is answered, and nobody executed it", id)
				case !fine:
					lostPosts.Add(1)
				}
			}
		})
	}
	running.Wait()
	t.Logf("%d requests, %d rescued, %d POSTs lost", requests, rescued.Load(), lostPosts.Load())
}

var stormMethods = [...]string{"GET", "HEAD", "PUT", "DELETE", "POST"}

// stormClient sends requests one after the other.
type stormClient interface {
	call(ctx context.Context, method, id string) (*answer, error)
	close()
}

// callerH2 is a caller that speaks HTTP/2.
type callerH2 struct {
	address string
	client  *lab.H2Client
}

func (c *callerH2) close() {
	if c.client != nil {
		c.client.Close()
		c.client = nil
	}
}

func (c *callerH2) call(ctx context.Context, method, id string) (*answer, error) {
	if c.client == nil {
		var err error
		if c.client, err = lab.DialH2(ctx, c.address); err != nil {
			return nil, err
		}
	}
	x, err := c.client.Start(stormRequest(method, id), 0)
	if err != nil {
		c.close()
		return nil, err
	}
	a := fromH2(x.Answer())
	if !a.whole {
		c.close()
	}
	return a, nil
}

// stormRequest is a request with a body of two bytes where it has one.
func stormRequest(method, id string) string {
	request := method + " /" + id + " HTTP/1.1\r\nHost: " + authority + "\r\nX-Request-Seq: " + id + "\r\n"
	if method == "PUT" || method == "POST" {
		return request + "Content-Length: 2\r\n\r\nok"
	}
	return request + "\r\n"
}

// caller is a client with a connection that it keeps while it can.
type caller struct {
	address string
	conn    net.Conn
	in      *bufio.Reader
}

func (c *caller) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// call sends one request and reads its answer. A body has two bytes.
func (c *caller) call(ctx context.Context, method, id string) (*answer, error) {
	if c.conn == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.address)
		if err != nil {
			return nil, err
		}
		c.conn, c.in = conn, bufio.NewReader(conn)
	}
	c.conn.SetDeadline(time.Now().Add(limit))
	if _, err := c.conn.Write([]byte(stormRequest(method, id))); err != nil {
		c.close()
		return nil, err
	}
	a := readAnswer(c.in, method == "HEAD")
	if !a.whole || a.closes {
		c.close()
	}
	return a, nil
}

// excerpt is what the page says first.
func (a *answer) excerpt() []byte {
	if a == nil {
		return nil
	}
	return a.body[:min(len(a.body), 2000)]
}
