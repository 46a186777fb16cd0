package reverse

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/incident"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/upstream"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// A stage is a whole gateway on one loop, with a network in memory: clients in
// front of it, origins behind it, and the trails that it left.
type stage struct {
	t      *testing.T
	engine loop.Engine
	loop   loop.Loop
	server *exchange.Server
	proxy  *Proxy
	ln     loop.Listener
	front  *listener
	up     *upstream.Upstream
	store  *incident.Store

	mu      sync.Mutex
	origins []*origin
	trails  []trail.Trail
	wires   []*wire
	ports   int
	closed  bool
	others  sync.WaitGroup // origins and talking clients
	window  int            // how much of a direction may wait unread; 0 means no limit
	kernel  *kernel        // makes the connections; nil where they are in memory
}

// setup is what a test may change before its stage begins.
type setup struct {
	Reverse   Options
	Client    exchange.Options
	Budget    upstream.Budget
	Eject     upstream.Eject
	Balance   upstream.Balance
	Key       upstream.Key
	Capacity  upstream.Capacity
	Affinity  upstream.Affinity
	SendProxy int
	Responder func(x *exchange.Exchange) *fault.Fault // in place of the proxy
	origins   []behaviour
}

// behaviour plays an origin's side of one connection; n counts the connections
// to it from 0.
type behaviour func(c *peer, n int)

// refuse and hang are no behaviours of a connection: there will be none.
var (
	refuse behaviour = func(*peer, int) { panic("refused") }
	absent behaviour = func(*peer, int) { panic("no answer to a connect") }
)

type origin struct {
	behave          behaviour
	refuses, absent bool
	conns           int
	mu              sync.Mutex
	got             []string // requests that were read, as "METHOD path body"
}

func (o *origin) requests() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.got...)
}

const (
	second = time.Second
	grace  = 40 * time.Millisecond
)

func defaults(origins ...behaviour) *setup {
	return &setup{
		Reverse: Options{
			Limits: http1.Limits{Limits: h1.DefaultResponse}, Allow: h1.AllowResponse, Attempts: DefaultAttempts,
			Send: 30 * second, FirstByte: 60 * second, Read: 50 * second, Tunnel: 600 * second, Grace: grace,
			ReplayMemory: 64 << 10, ReplayDisk: 1 << 20, Spool: func() (Spool, error) { return nil, errors.New("no disk in this test") },
		},
		Client: exchange.Options{
			Node: "gw", Via: "gw", Limits: http1.Limits{Limits: h1.DefaultRequest}, Detail: exchange.All,
			Times: http1.Timeouts{Head: 10 * second, Body: 20 * second, KeepAlive: 75 * second, Reply: 60 * second},
		},
		origins: origins,
	}
}

// play runs f on each engine, with a stage in a bubble with a clock of its own. All
// connections end with it, and nothing of the gateway may be left.
func (s *setup) play(t *testing.T, f func(st *stage)) {
	t.Helper()
	t.Run("portable", func(t *testing.T) { s.playOn(t, false, f) })
	if loop.HasEpoll {
		t.Run("epoll", func(t *testing.T) { s.playOn(t, true, f) })
	}
}

func (s *setup) playOn(t *testing.T, epoll bool, f func(st *stage)) {
	synctest.Test(t, func(t *testing.T) {
		st := &stage{t: t, front: &listener{queue: make(chan net.Conn), done: make(chan struct{})}}
		var o upstream.Options
		o.Name, o.Budget, o.Eject = "app", s.Budget, s.Eject
		o.Balance, o.Key, o.SendProxy, o.Capacity, o.Affinity = s.Balance, s.Key, s.SendProxy, s.Capacity, s.Affinity
		for i, b := range s.origins {
			list, err := upstream.ParseTarget(fmt.Sprintf("10.0.0.%d:80", i+1))
			if err != nil {
				t.Fatal(err)
			}
			o.Targets = append(o.Targets, list...)
			st.origins = append(st.origins, &origin{behave: b, refuses: same(b, refuse), absent: same(b, absent)})
		}
		if len(o.Targets) == 0 {
			o.Targets = []upstream.Target{{Name: "10.0.0.1:80", Host: "10.0.0.1", Port: 80}}
		}
		var err error
		if st.up, err = upstream.New(o); err != nil {
			t.Fatal(err)
		}
		st.store = incident.NewStore(0)
		client := s.Client // another engine has one of its own
		client.Incidents, client.Observe = st.store, st.observe
		if epoll {
			st.kernel = newKernel(st)
			st.engine = st.kernel.engine()
		} else {
			st.engine = loop.Portable(loop.PortableOptions{Loops: 1, Poison: true, Dial: st.dial,
				Listen: func(loop.Address) (net.Listener, error) { return st.front, nil }})
		}
		st.loop = st.engine.Loops()[0]
		st.on(func() {
			st.proxy = New(st.loop, &s.Reverse, st.up)
			var r exchange.Responder = st.proxy
			if s.Responder != nil {
				r = responder(s.Responder)
			}
			st.server = exchange.NewServer(st.loop, &client, exchange.Only{Responder: r})
		})
		if st.ln, err = st.engine.Listen(loop.Address{}); err != nil {
			t.Fatal(err)
		}
		st.engine.Serve(st.ln, func(_ loop.Loop, c loop.Stream) { st.server.Serve(c) })
		defer st.end()
		f(st)
	})
}

type responder func(x *exchange.Exchange) *fault.Fault

func (r responder) Respond(x *exchange.Exchange) *fault.Fault { return r(x) }

func same(a, b behaviour) bool { return fmt.Sprintf("%p", a) == fmt.Sprintf("%p", b) }

// on runs f as a task of the gateway's loop.
func (st *stage) on(f func()) {
	done := make(chan struct{})
	st.loop.Post(func() { defer close(done); f() })
	<-done
}

func (st *stage) end() {
	st.ln.Close()
	st.mu.Lock()
	st.closed = true
	wires := st.wires
	st.mu.Unlock()
	for _, w := range wires {
		w.end(true)
	}
	st.on(func() {
		st.server.Drain(st.loop.Now().Add(int64(time.Hour)))
		if n := st.server.Open(); n != 0 {
			st.t.Errorf("%d client connections are left", n)
		}
		st.proxy.Close()
	})
	st.engine.Close()
	st.others.Wait()
	if st.kernel != nil {
		st.kernel.close()
	}
}

func (st *stage) observe(t *trail.Trail) {
	c := *t
	c.Client = []byte(string(t.Client))
	c.Method, c.Path, c.Authority = []byte(string(t.Method)), []byte(string(t.Path)), []byte(string(t.Authority))
	st.mu.Lock()
	defer st.mu.Unlock()
	st.trails = append(st.trails, c)
	st.monotonic(&c)
}

// monotonic fails if a stamp of t comes before one that it must follow.
func (st *stage) monotonic(t *trail.Trail) {
	order := func(what string, stamps ...trail.Stamp) {
		last := trail.Stamp(0)
		for i, s := range stamps {
			if s == 0 {
				continue
			}
			if s < last {
				st.t.Errorf("%s: stamp %d of %v is before the one it follows", what, i, stamps)
			}
			last = s
		}
	}
	order("exchange", t.HeadRead, t.BodyRead, t.Ended)
	order("answer", t.HeadRead, t.Answered, t.Ended)
	for i := range t.Tries() {
		a := &t.Attempts[i]
		order("attempt", t.HeadRead, a.Began, a.Selected, a.Resolved, a.Connected, a.Secured, a.FirstByte, a.HeadRead, a.Ended)
		order("sent", a.Began, a.Connected, a.Sent, a.Ended)
	}
}

// last returns the trail of the latest exchange, when nothing moves any more.
func (st *stage) last() *trail.Trail {
	st.t.Helper()
	synctest.Wait()
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.trails) == 0 {
		st.t.Fatal("no exchange was recorded")
	}
	return &st.trails[len(st.trails)-1]
}

func (st *stage) count() int {
	synctest.Wait()
	st.mu.Lock()
	defer st.mu.Unlock()
	return len(st.trails)
}

// faults lists the fault of each attempt, "" where it went well.
func faults(t *trail.Trail) string {
	var list []string
	for _, a := range t.Tries() {
		s := "ok"
		if a.Fault != nil {
			s = string(a.Fault.ID)
		}
		list = append(list, s)
	}
	return strings.Join(list, " ")
}

func notices(t *trail.Trail) string {
	var list []string
	for _, n := range t.Receipts() {
		list = append(list, string(n.ID))
	}
	return strings.Join(list, " ")
}

func id(f *fault.Fault) string {
	if f == nil {
		return ""
	}
	return string(f.ID)
}

// called returns the origin of an address and how many connections to it there were.
func (st *stage) called(a loop.Address) (o *origin, n int) {
	at := int(a.IP.Addr().As4()[3]) - 1
	st.mu.Lock()
	defer st.mu.Unlock()
	o = st.origins[at]
	o.conns++
	return o, o.conns - 1
}

// begin plays an origin's end of a connection.
func (st *stage) begin(o *origin, n int, w *wire) {
	p := &peer{wire: w, in: bufio.NewReader(w), o: o, t: st.t}
	st.others.Go(func() { o.behave(p, n) })
}

func (st *stage) dial(ctx context.Context, a loop.Address) (net.Conn, error) {
	o, n := st.called(a)
	switch {
	case o.refuses:
		return nil, syscall.ECONNREFUSED
	case o.absent:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ours, theirs := st.wire("192.0.2.80", a.IP.String())
	st.begin(o, n, theirs)
	return ours, nil
}

func (st *stage) wire(from, to string) (*wire, *wire) {
	a, b := connect(net.JoinHostPort(from, strconv.Itoa(st.port())), to)
	a.in.cap, a.out.cap = st.window, st.window
	st.keep(a, b)
	return a, b
}

// port is one that nobody has.
func (st *stage) port() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.ports++
	return 1000 + st.ports
}

// keep has connections end with the stage.
func (st *stage) keep(list ...*wire) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		list[0].end(true)
	}
	st.wires = append(st.wires, list...)
}

// peer is an origin's end of a connection.
type peer struct {
	*wire
	in *bufio.Reader
	o  *origin
	t  *testing.T
}

// head reads a request's head and returns it raw, "" at the end.
func (p *peer) head() string {
	var head []byte
	for {
		line, err := p.in.ReadSlice('\n')
		if head = append(head, line...); err != nil {
			return ""
		}
		if string(line) == "\r\n" {
			return string(head)
		}
	}
}

// request reads a whole request; false at the end of the connection.
func (p *peer) request() bool {
	q, err := http.ReadRequest(p.in)
	if err != nil {
		return false
	}
	body, err := io.ReadAll(q.Body)
	s := strings.TrimSpace(q.Method + " " + q.URL.Path + " " + string(body))
	for k, v := range q.Trailer {
		s += " " + k + "=" + strings.Join(v, ",")
	}
	if err != nil {
		s += " CUT"
	}
	p.o.mu.Lock()
	p.o.got = append(p.o.got, s)
	p.o.mu.Unlock()
	return err == nil
}

func (p *peer) say(s string) { io.WriteString(p.wire, s) }

// answering answers each request with raw and keeps the connection.
func answering(raw string) behaviour {
	return func(c *peer, _ int) {
		defer c.Close()
		for c.request() {
			c.say(raw)
		}
	}
}

// closing reads one request, says raw and hangs up.
func closing(raw string) behaviour {
	return func(c *peer, _ int) {
		c.request()
		c.say(raw)
		c.Close()
	}
}

// resetting reads one request, says raw and resets.
func resetting(raw string) behaviour {
	return func(c *peer, _ int) {
		c.request()
		c.say(raw)
		c.end(true)
	}
}

// silent reads one request and says raw, and then nothing more.
func silent(raw string) behaviour {
	return func(c *peer, _ int) {
		c.request()
		c.say(raw)
		c.request()
		c.Close()
	}
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

var ok = answering(okAnswer)

// client is a client's end of a connection.
type client struct {
	*wire
	in *bufio.Reader
	st *stage
}

func (st *stage) client() *client { return st.clientFrom("203.0.113.9") }

func (st *stage) clientFrom(ip string) *client {
	st.t.Helper()
	var ours *wire
	if st.kernel != nil {
		ours = st.kernel.client(ip)
	} else {
		var theirs *wire
		ours, theirs = st.wire(ip, gatewayAddress)
		st.front.queue <- theirs
	}
	return &client{wire: ours, in: bufio.NewReader(ours), st: st}
}

// say sends. Where the network holds only so much the gateway may not read, and
// the test goes on meanwhile: then it says one thing only.
func (c *client) say(s string) {
	if c.st.window == 0 {
		io.WriteString(c.wire, s)
		return
	}
	c.st.others.Go(func() { io.WriteString(c.wire, s) })
}

// said is an answer as a client sees it.
type said struct {
	Status int
	Body   string
	Cut    bool // the answer is not whole
	Close  bool // and the last of its connection
	Header http.Header
	Proto  string
}

// answer reads one final answer; interim ones are skipped.
func (c *client) answer(method string) said {
	c.st.t.Helper()
	for {
		start, _ := c.in.Peek(len("HTTP/1.1 1xx"))
		if !strings.HasPrefix(string(start), "HTTP/1.1 1") || string(start) == "HTTP/1.1 101" {
			break
		}
		for line := "x"; line != "\r\n" && line != ""; {
			line, _ = c.in.ReadString('\n')
		}
	}
	r, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		return said{Cut: true}
	}
	body, err := io.ReadAll(r.Body)
	return said{Status: r.StatusCode, Body: string(body), Cut: err != nil, Close: r.Close, Header: r.Header, Proto: r.Proto}
}

// answerHead reads the head of an answer and wants this status.
func (c *client) answerHead(status int) {
	line, err := c.in.ReadString('\n')
	if want := fmt.Sprintf("HTTP/1.1 %d ", status); !strings.HasPrefix(line, want) {
		c.st.t.Fatalf("got %q, %v, want %s", line, err, want)
	}
	for line != "\r\n" && err == nil {
		line, err = c.in.ReadString('\n')
	}
}

// rest reads all that comes until the connection ends.
func (c *client) rest() (string, error) {
	b, err := io.ReadAll(c.in)
	return string(b), err
}

// ask sends one request on a connection of its own and reads the answer.
func (st *stage) ask(raw string) said {
	st.t.Helper()
	c := st.client()
	c.say(raw)
	method, _, _ := strings.Cut(raw, " ")
	a := c.answer(method)
	synctest.Wait()
	c.Close()
	return a
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n" }

func post(method, fields, body string) string {
	return fmt.Sprintf("%s /p HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n%s", method, fields, len(body), body)
}
