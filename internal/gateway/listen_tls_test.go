package gateway

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/accesslog"
	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// listeningTLS is a gateway with a TLS listener before an origin, its log and its trails.
type listeningTLS struct {
	*testing.T
	*Gateway
	address string
	log     *memory
	seen    *trails
}

// memory is a log in memory.
type memory struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (m *memory) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text.Write(b)
}

func (m *memory) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text.String()
}

// patience bounds what is about to happen. It passes only when a test fails.
const patience = 20 * time.Second

// onTLS runs f with a gateway on each engine. change may be nil.
func onTLS(t *testing.T, change func(*Options), f func(g *listeningTLS)) {
	engines(t, func(t *testing.T, epoll bool) {
		origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Proto", q.Header.Get("X-Forwarded-Proto"))
			switch q.URL.Path {
			case "/echo":
				w.Header().Set("Content-Length", fmt.Sprint(q.ContentLength))
				io.Copy(w, q.Body)
			case "/big":
				io.Copy(w, io.LimitReader(endless{}, 8<<20)) // chunked
			default:
				io.WriteString(w, "hello")
			}
		}))
		t.Cleanup(origin.Close)
		g := &listeningTLS{T: t, log: &memory{}, seen: &trails{}}
		_, seen, gw := start(t, epoll, func(o *Options) {
			o.Listen, o.ListenTLS = nil, o.Listen
			o.Loops = 2 // that share the keys of tickets
			o.TLS.SelfSigned = true
			o.Client.Log = accesslog.NewSink(g.log, accesslog.SinkOptions{})
			if change != nil {
				change(o)
			}
		}, origin.Listener.Addr().String())
		g.Gateway, g.seen, g.address = gw, seen, gw.Addresses()[0].String()
		f(g)
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i)
	}
	return len(p), nil
}

// client is one connection's TLS.
func client(version uint16, cache tls.ClientSessionCache) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", MinVersion: version, MaxVersion: version, ClientSessionCache: cache}
}

func (g *listeningTLS) raw() *net.TCPConn {
	g.Helper()
	c, err := net.Dial("tcp", g.address)
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		g.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// get makes one request on a new connection, reads to its end, and returns what
// came and the state of the connection.
func (g *listeningTLS) get(cc *tls.Config) (answer string, s tls.ConnectionState) {
	g.Helper()
	c := tls.Client(g.raw(), cc)
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		g.Fatal(err)
	}
	b, err := io.ReadAll(c) // an error unless close_notify comes
	if err != nil {
		g.Errorf("the connection ends with %v after %q", err, b)
	}
	return string(b), c.ConnectionState()
}

// counted waits until the counts are those.
func (g *listeningTLS) counted(want exchange.Handshakes) {
	g.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		got := g.Handshakes()
		if got == want {
			return
		}
		if time.Now().After(end) {
			g.Fatalf("handshakes %+v, want %+v", got, want)
		}
	}
}

// open waits until so many connections have been accepted.
func (g *listeningTLS) open(want int) {
	g.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		n := make(chan int, len(g.servers))
		for i, l := range g.engine.Loops() {
			l.Post(func() { n <- g.servers[i].Open() })
		}
		got := 0
		for range g.servers {
			got += <-n
		}
		if got == want {
			return
		}
		if time.Now().After(end) {
			g.Fatalf("%d connections, want %d", got, want)
		}
	}
}

func TestTLSFacts(t *testing.T) {
	onTLS(t, nil, func(g *listeningTLS) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			cc := client(version, nil)
			cc.NextProtos = []string{"http/1.1"}
			answer, s := g.get(cc)
			if !strings.HasPrefix(answer, "HTTP/1.1 200 OK\r\n") || !strings.Contains(answer, "\r\nProto: https\r\n") || !strings.HasSuffix(answer, "\r\n\r\nhello") {
				g.Errorf("%q", answer)
			}
			if s.Version != version || s.NegotiatedProtocol != "http/1.1" {
				g.Errorf("%+v", s)
			}
			want := trail.TLS{Version: map[uint16]string{tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"}[version],
				Cipher: tls.CipherSuiteName(s.CipherSuite), ALPN: "http/1.1", SNI: "localhost"}
			list := g.seen.all()
			if got := list[len(list)-1]; got.Scheme != "https" || got.TLS == nil || !reflect.DeepEqual(*got.TLS, want) {
				g.Errorf("trail %s %+v, want %+v", got.Scheme, got.TLS, want)
			}
		}
		g.counted(exchange.Handshakes{Full: 2})
		for end := time.Now().Add(patience); strings.Count(g.log.String(), `"tls.protocol.version":"1.`) != 2; {
			if time.Now().After(end) {
				g.Fatalf("log:\n%s", g.log)
			}
			g.Handshakes() // a turn of the loops
		}
	})
}

func TestTLSResumption(t *testing.T) {
	onTLS(t, nil, func(g *listeningTLS) {
		want := exchange.Handshakes{}
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			cc := client(version, tls.NewLRUClientSessionCache(1))
			for i, resumed := range []bool{false, true, true, true, true} {
				if i == 3 {
					g.Certificates().Rotate() // the old key still lets in
				}
				if _, s := g.get(cc); s.DidResume != resumed {
					g.Errorf("%x, connection %d: resumed %v", version, i, s.DidResume)
				}
				if resumed {
					want.Resumed++
				} else {
					want.Full++
				}
			}
			// More turns than keys are kept.
			for range 3 {
				g.Certificates().Rotate()
			}
			if _, s := g.get(cc); s.DidResume {
				g.Errorf("%x: resumed with a key that is gone", version)
			}
			want.Full++
		}
		g.counted(want)
		if list := g.seen.all(); list[0].TLS.Resumed || !list[1].TLS.Resumed {
			g.Errorf("trails: %+v, %+v", list[0].TLS, list[1].TLS)
		}
	})
}

func TestPlainHTTPToTLS(t *testing.T) {
	onTLS(t, nil, func(g *listeningTLS) {
		for _, request := range []string{"GET /cart?a=1 HTTP/1.1\r\nHost: shop.test:8443\r\n\r\n",
			"POST /cart?a=1 HTTP/1.1\r\nHost: shop.test:8443\r\nContent-Length: 4\r\n\r\nbody"} {
			c := g.raw()
			if _, err := io.WriteString(c, request); err != nil {
				g.Fatal(err)
			}
			b, err := io.ReadAll(c)
			if err != nil || !bytes.HasPrefix(b, []byte("HTTP/1.1 400 Bad Request\r\n")) || !bytes.Contains(b, []byte("\r\nConnection: close\r\n")) ||
				!bytes.Contains(b, []byte("https://shop.test:8443/cart?a=1")) || !bytes.Contains(b, []byte("request_plain_on_tls_port")) {
				g.Errorf("%v, %s", err, b)
			}
			list := g.seen.all()
			if got := list[len(list)-1]; got.Scheme != "http" || got.TLS != nil || got.N != 0 {
				g.Errorf("trail %s %+v, %d attempts", got.Scheme, got.TLS, got.N)
			}
		}
		// A byte at a time.
		c := g.raw()
		for _, b := range []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n") {
			if _, err := c.Write([]byte{b}); err != nil {
				g.Fatal(err)
			}
		}
		if b, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(b, []byte("HTTP/1.1 400 ")) {
			g.Errorf("in pieces: %v, %s", err, b)
		}
		// HTTP/2 with prior knowledge.
		h := &http.Transport{Protocols: new(http.Protocols)}
		h.Protocols.SetUnencryptedHTTP2(true)
		r, err := h.RoundTrip(httptest.NewRequest("GET", "http://"+g.address+"/x", nil))
		if err != nil {
			g.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != 400 || !bytes.Contains(b, []byte("https://"+g.address+"/x")) {
			g.Errorf("HTTP/2: %v, %d, %s", err, r.StatusCode, b)
		}
		r.Body.Close()
		h.CloseIdleConnections()
		g.counted(exchange.Handshakes{Plain: 4})
	})
}

// hello is the first flight of a client.
func hello(t *testing.T) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	go func() { // ends when b is closed
		tls.Client(b, client(tls.VersionTLS13, nil)).Handshake()
	}()
	defer b.Close()
	buf := make([]byte, 16<<10)
	n, err := a.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// Handshakes that come to nothing are counted, told once a second, and are no
// exchanges. None leaves a connection behind.
func TestTLSFailures(t *testing.T) {
	onTLS(t, func(o *Options) { o.Client.Handshake = 200 * time.Millisecond }, func(g *listeningTLS) {
		first := hello(t)
		for i, c := range []struct {
			send  []byte
			then  func(*net.TCPConn) error
			alert bool // an alert comes before the end
		}{
			{[]byte{0x16}, nil, false},                                               // a byte, and then silence
			{first[:len(first)/2], nil, false},                                       // half a hello
			{first, nil, true},                                                       // a whole one, and no answer to ours
			{first[:len(first)/2], (*net.TCPConn).CloseWrite, false},                 // half, and the end
			{first, (*net.TCPConn).CloseWrite, true},                                 // whole, and the end
			{[]byte("\x99\x03\x03\x00\x04what"), nil, false},                         // no record
			{[]byte("\x16\x03\x01\xff\xffwhat is this"), nil, true},                  // a record that is too long
			{append([]byte("\x16\x03\x01\x00\x10"), make([]byte, 16)...), nil, true}, // no handshake message
			{[]byte("\x80\x2e\x01\x03\x01"), nil, true},                              // SSL 2
		} {
			conn := g.raw()
			if _, err := conn.Write(c.send); err != nil {
				g.Fatal(err)
			}
			if c.then != nil {
				if err := c.then(conn); err != nil {
					g.Fatal(err)
				}
			}
			b, err := io.ReadAll(conn)
			if err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
				g.Errorf("%d: the connection ends with %v", i, err)
			}
			if len(b) > 0 != c.alert {
				g.Errorf("%d: got %x", i, b)
			}
		}
		// Who says nothing has not failed.
		silent := g.raw()
		if err := silent.CloseWrite(); err != nil {
			g.Fatal(err)
		}
		io.ReadAll(silent)
		// Our certificate is not trusted: the client's alert is told.
		cc := client(tls.VersionTLS12, nil)
		cc.InsecureSkipVerify = false
		if err := tls.Client(g.raw(), cc).Handshake(); err == nil {
			g.Error("a client trusts what is self-signed")
		}
		g.counted(exchange.Handshakes{Failed: 10})
		if n := len(g.seen.all()); n != 0 {
			g.Errorf("%d exchanges", n)
		}
		g.Drain(time.Second)
		g.counted(exchange.Handshakes{Failed: 10}) // still
		log := g.log.String()
		if n := strings.Count(log, "\n"); n == 0 || n > 10 || strings.Count(log, `"kind":"handshake"`) != n || !strings.Contains(log, "no handshake within 200ms") {
			g.Errorf("%d lines for ten failures:\n%s", n, log)
		}
	})
}

func TestTLSBodies(t *testing.T) {
	onTLS(t, nil, func(g *listeningTLS) {
		body := make([]byte, 8<<20+17)
		rand.Read(body)
		h := &http.Client{Transport: &http.Transport{TLSClientConfig: client(tls.VersionTLS13, nil)}, Timeout: patience}
		defer h.CloseIdleConnections()
		for range 2 {
			r, err := h.Post("https://"+g.address+"/echo", "application/octet-stream", bytes.NewReader(body))
			if err != nil {
				g.Fatal(err)
			}
			got, err := io.ReadAll(r.Body)
			r.Body.Close()
			if err != nil || !bytes.Equal(got, body) {
				g.Errorf("%d bytes came back, %v", len(got), err)
			}
		}
		r, err := h.Get("https://" + g.address + "/big")
		if err != nil {
			g.Fatal(err)
		}
		sum, want := sha256.New(), sha256.New()
		n, err := io.Copy(sum, r.Body)
		r.Body.Close()
		io.Copy(want, io.LimitReader(endless{}, 8<<20))
		if err != nil || n != 8<<20 {
			g.Errorf("%d bytes, %v", n, err)
		}
		g.counted(exchange.Handshakes{Full: 1}) // one connection for all
	})
}

// Idle connections end at once at a drain, with close_notify.
func TestTLSDrain(t *testing.T) {
	onTLS(t, nil, func(g *listeningTLS) {
		c := tls.Client(g.raw(), client(tls.VersionTLS13, nil))
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			g.Fatal(err)
		}
		b := make([]byte, 4096)
		for n := 0; !bytes.HasSuffix(b[:n], []byte("hello")); {
			k, err := c.Read(b[n:])
			if err != nil {
				g.Fatal(err)
			}
			n += k
		}
		silent, half := g.raw(), g.raw() // not a byte, and one
		if _, err := half.Write([]byte{0x16}); err != nil {
			g.Fatal(err)
		}
		g.open(3)
		drained := make(chan struct{})
		go func() { // ends with the drain
			defer close(drained)
			g.Drain(patience)
		}()
		if n, err := c.Read(b); n != 0 || err != io.EOF {
			g.Errorf("the end: %q, %v", b[:n], err)
		}
		if b, err := io.ReadAll(silent); len(b) != 0 || err != nil {
			g.Errorf("a silent connection ends with %q, %v", b, err)
		}
		half.Close()
		<-drained
	})
}

// Over the limit a client is told so, inside TLS.
func TestTLSLimit(t *testing.T) {
	onTLS(t, func(o *Options) { o.Loops, o.Client.MaxConnections = 1, 1 }, func(g *listeningTLS) {
		c := tls.Client(g.raw(), client(tls.VersionTLS13, nil))
		if err := c.Handshake(); err != nil {
			g.Fatal(err)
		}
		if answer, _ := g.get(client(tls.VersionTLS13, nil)); !strings.HasPrefix(answer, "HTTP/1.1 503 ") || !strings.Contains(answer, "overload_shed") {
			g.Errorf("%q", answer)
		}
	})
}

// A plain and a TLS listener stand side by side.
func TestBothListeners(t *testing.T) {
	onTLS(t, func(o *Options) { o.Listen = o.ListenTLS }, func(g *listeningTLS) {
		all := g.Addresses()
		if len(all) != 2 || all[0] == all[1] {
			g.Fatalf("addresses %v", all)
		}
		r, err := http.Get("http://" + all[0].String())
		if err != nil {
			g.Fatal(err)
		}
		r.Body.Close()
		g.address = all[1].String()
		answer, _ := g.get(client(tls.VersionTLS13, nil))
		if r.StatusCode != 200 || r.Header.Get("Proto") != "http" || !strings.Contains(answer, "Proto: https") {
			g.Errorf("plain %d %s, TLS %q", r.StatusCode, r.Header.Get("Proto"), answer)
		}
		http.DefaultClient.CloseIdleConnections()
	})
}

func TestStartWithoutCertificate(t *testing.T) {
	o := Defaults()
	o.ListenTLS = []loop.Address{{IP: listenAny}}
	if g, err := Start(o); err == nil || !strings.Contains(err.Error(), "--tls-cert") {
		t.Errorf("%v, %v", g, err)
	}
	o.TLS.SelfSigned, o.UpstreamKey = true, "key.pem"
	if g, err := Start(o); err == nil || !strings.Contains(err.Error(), "--upstream-cert") {
		t.Errorf("%v, %v", g, err)
	}
}
