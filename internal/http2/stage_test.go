package http2_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/loop/faulty"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// patience bounds waits that should end by themselves.
const patience = 20 * time.Second

// engines are the engines that the tests here run on, with networks that are good
// and that are not.
func engines(t *testing.T, f func(t *testing.T, newEngine func() loop.Engine)) {
	bare(t, f)
	bare(t, func(t *testing.T, newEngine func() loop.Engine) {
		t.Run("in pieces", func(t *testing.T) {
			f(t, func() loop.Engine {
				return faulty.Wrap(newEngine(), &faulty.Plan{Accepted: true, ReadSize: 7, WriteSize: 1000})
			})
		})
	})
}

// bare are the engines on good networks: for what takes many bytes and is about none
// of them.
func bare(t *testing.T, f func(t *testing.T, newEngine func() loop.Engine)) {
	t.Run("portable", func(t *testing.T) {
		f(t, func() loop.Engine { return loop.Portable(loop.PortableOptions{Loops: 1, Poison: true}) })
	})
	if !loop.HasEpoll {
		return
	}
	t.Run("epoll", func(t *testing.T) {
		f(t, func() loop.Engine {
			e, err := loop.Epoll(loop.EpollOptions{Loops: 1, Poison: true})
			if err != nil {
				t.Fatal(err)
			}
			return e
		})
	})
}

// stage is a server of one loop whose answers are made by answers, below.
type stage struct {
	t      *testing.T
	engine loop.Engine
	server *exchange.Server
	addr   string
	mu     sync.Mutex
	trails []trail.Trail
}

func start(t *testing.T, e loop.Engine, change func(*exchange.Options)) *stage {
	st := &stage{t: t, engine: e}
	o := &exchange.Options{
		Node: "gw", Via: "gw", Limits: http1.Limits{Limits: h1.DefaultRequest}, Detail: exchange.All,
		Times: http1.Timeouts{Head: patience, Body: patience, KeepAlive: patience, Reply: patience},
		Observe: func(tr *trail.Trail) {
			st.mu.Lock()
			defer st.mu.Unlock()
			st.trails = append(st.trails, trail.Trail{Status: tr.Status, Fault: tr.Fault, Major: tr.Major, Cut: tr.Cut, In: tr.In, Out: tr.Out})
		},
	}
	if change != nil {
		change(o)
	}
	made := make(chan struct{})
	l := e.Loops()[0]
	l.Post(func() {
		st.server = exchange.NewServer(l, o, exchange.Only{Responder: answers{l}})
		close(made)
	})
	<-made
	ln, err := e.Listen(loop.Address{IP: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	st.addr = ln.Addr().String()
	e.Serve(ln, func(_ loop.Loop, s loop.Stream) { st.server.Serve(s) })
	t.Cleanup(func() {
		st.drain(patience)
		e.Close()
	})
	return st
}

// drain ends all connections.
func (st *stage) drain(limit time.Duration) {
	done := make(chan struct{})
	l := st.engine.Loops()[0]
	l.Post(func() {
		defer close(done)
		st.server.Drain(l.Now().Add(int64(limit)))
	})
	<-done
}

// faults are the ids of the faults of all trails so far, without repeats.
func (st *stage) faults() (ids []string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	seen := map[string]bool{}
	for _, tr := range st.trails {
		if tr.Fault != nil && !seen[string(tr.Fault.ID)] {
			seen[string(tr.Fault.ID)] = true
			ids = append(ids, string(tr.Fault.ID))
		}
	}
	return ids
}

// answers is what stands in for an upstream.
type answers struct{ l loop.Loop }

func (a answers) Respond(x *exchange.Exchange) *fault.Fault {
	path, arg, _ := strings.Cut(string(x.Request.Head.Bytes(x.Request.Head.Path)), "?")
	n := 0
	fmt.Sscan(arg, &n)
	switch path {
	case "/echo":
		return echo(x)
	case "/discard":
		for {
			if _, done, f := x.Client.Piece(true); f != nil {
				return f
			} else if done {
				return sized(x, 200, nil)
			}
		}
	case "/big":
		return sized(x, 200, bytes.Repeat([]byte("0123456789abcdef"), n/16))
	case "/bare":
		h, f := head(fmt.Sprintf("HTTP/1.1 %d x\r\nX-A: b\r\n\r\n", n), false)
		x.Begin(h, &f)
		return x.Finish(nil)
	case "/interim":
		h, _ := head("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", false)
		if f := x.Interim(h); f != nil {
			return f
		}
		return sized(x, 200, []byte("hello"))
	case "/late":
		h, f := head("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", false)
		x.Begin(h, &f)
		x.Release()
		if f := x.Add([]byte("half")); f != nil {
			return f
		}
		if f := x.Flush(); f != nil {
			return f
		}
		return fault.New(fault.GatewayInternalError, "value", "late")
	case "/wait": // for a client that goes away, which interrupts
		if f := x.Continue(); f != nil { // it has begun
			return f
		}
		for {
			if f := x.Client.Gone(false); f != nil {
				return f
			}
			_ = a.l.Sleep(loop.Never)
		}
	case "/body": // waits for the body, then answers
		for {
			if _, done, f := x.Client.Piece(true); f != nil {
				return f
			} else if done {
				return sized(x, 200, []byte("hello"))
			}
		}
	}
	return sized(x, 200, bytes.Repeat([]byte("k"), 1024))
}

// head parses the head of an answer.
func head(raw string, toHead bool) (*message.Head, message.Framing) {
	var p h1.Parser
	h := &message.Head{}
	p.Init(h1.Response, &h1.DefaultResponse, h1.AllowResponse)
	if n, e := p.Parse([]byte(raw), h); n != len(raw) || !e.Ok() {
		panic(fmt.Sprintf("%q: %d %+v", raw, n, e))
	}
	h.Raw = []byte(raw)
	f, e := h1.FrameResponse(&p, h, toHead)
	if !e.Ok() {
		panic(fmt.Sprintf("%q: %+v", raw, e))
	}
	return h, f
}

func sized(x *exchange.Exchange, status int, body []byte) *fault.Fault {
	h, f := head(fmt.Sprintf("HTTP/1.1 %d x\r\nContent-Length: %d\r\nX-A: b\r\n\r\n", status, len(body)), string(x.Method()) == "HEAD")
	x.Begin(h, &f)
	return x.FinishWith(body)
}

func echo(x *exchange.Exchange) *fault.Fault {
	h, f := head("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n", false)
	x.Begin(h, &f)
	x.Release()
	for {
		piece, done, f := x.Client.Piece(true)
		if f != nil {
			return f
		}
		if f := x.Add(piece); f != nil {
			return f
		}
		if f := x.Flush(); f != nil {
			return f
		}
		if done {
			break
		}
	}
	trailer := x.Client.Trailer()
	if trailer == nil {
		trailer = &message.Head{Raw: []byte("X-Sum: none\r\n"), Fields: []message.Field{{Name: message.Span{Len: 5}, Value: message.Span{Off: 7, Len: 4}}}}
	}
	return x.Finish(trailer)
}

// peer is a client that writes frames as it likes.
type peer struct {
	*http2.Framer
	t    *testing.T
	conn net.Conn
	out  bytes.Buffer // headers in the making
	enc  *hpack.Encoder
	id   uint32
}

// dial connects and sends the preface, settings, and a window that is never the
// matter unless the test says so.
func (st *stage) dial(settings ...http2.Setting) *peer {
	p := st.open()
	if _, err := io.WriteString(p.conn, http2.ClientPreface); err != nil {
		st.t.Fatal(err)
	}
	p.must(p.WriteSettings(settings...))
	return p
}

// open only connects.
func (st *stage) open() *peer {
	st.t.Helper()
	conn, err := net.Dial("tcp", st.addr)
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		st.t.Fatal(err)
	}
	p := &peer{Framer: http2.NewFramer(conn, conn), t: st.t, conn: conn, id: 1}
	p.AllowIllegalWrites = true
	p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.enc = hpack.NewEncoder(&p.out)
	return p
}

func (p *peer) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// block encodes fields "name: value"; those of a usual GET of path first.
func (p *peer) block(method, path string, fields ...string) []byte {
	all := append([]string{":method: " + method, ":scheme: http", ":path: " + path, ":authority: a.test"}, fields...)
	return p.encode(all...)
}

func (p *peer) encode(fields ...string) []byte {
	p.out.Reset()
	for _, f := range fields {
		name, value, _ := strings.Cut(f[1:], ": ")
		p.must(p.enc.WriteField(hpack.HeaderField{Name: f[:1] + name, Value: value}))
	}
	return bytes.Clone(p.out.Bytes())
}

// ask sends a request's head on a new stream.
func (p *peer) ask(end bool, method, path string, fields ...string) (id uint32) {
	p.t.Helper()
	id, p.id = p.id, p.id+2
	p.must(p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.block(method, path, fields...), EndStream: end, EndHeaders: true}))
	return id
}

// result is what came on a stream, or for the connection.
type result struct {
	status  string
	fields  map[string]string
	body    []byte
	trailer map[string]string
	interim []string
	ended   bool
	code    http2.ErrCode // of RST_STREAM or GOAWAY
	reset   bool
	goaway  bool
	closed  bool
}

// stage of frames for several streams.
type results map[uint32]*result

func (r results) of(id uint32) *result {
	if r[id] == nil {
		r[id] = &result{fields: map[string]string{}, trailer: map[string]string{}}
	}
	return r[id]
}

// read reads frames until until says so, or the connection ends. order lists the
// streams of DATA frames.
func (p *peer) read(r results, until func(results) bool) (order []uint32) {
	p.t.Helper()
	for !until(r) {
		f, err := p.ReadFrame()
		if err != nil {
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				p.t.Fatal("nothing came:", err)
			}
			for _, s := range r {
				s.closed = true
			}
			r.of(0).closed = true
			return order
		}
		s := r.of(f.Header().StreamID)
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			status := f.PseudoValue("status")
			switch {
			case strings.HasPrefix(status, "1"):
				s.interim = append(s.interim, status)
			case status != "":
				s.status = status
				for _, h := range f.RegularFields() {
					s.fields[h.Name] = h.Value
				}
			default:
				for _, h := range f.RegularFields() {
					s.trailer[h.Name] = h.Value
				}
			}
			s.ended = f.StreamEnded()
		case *http2.DataFrame:
			s.body = append(s.body, f.Data()...)
			s.ended = f.StreamEnded()
			order = append(order, f.StreamID)
		case *http2.RSTStreamFrame:
			s.reset, s.code = true, f.ErrCode
		case *http2.GoAwayFrame:
			s.goaway, s.code = true, f.ErrCode
		case *http2.SettingsFrame:
			if !f.IsAck() {
				p.must(p.WriteSettingsAck())
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				p.must(p.WritePing(true, f.Data))
			}
		}
	}
	return order
}

// answer reads until the stream has ended in some way.
func (p *peer) answer(id uint32) *result {
	p.t.Helper()
	r := results{}
	p.read(r, func(r results) bool { return r.of(id).ended || r.of(id).reset })
	return r.of(id)
}

// answerAndReset reads until both have come.
func (p *peer) answerAndReset(id uint32) *result {
	p.t.Helper()
	r := results{}
	p.read(r, func(r results) bool { return r.of(id).reset })
	return r.of(id)
}

// end reads until the connection ends.
func (p *peer) end() *result {
	p.t.Helper()
	r := results{}
	p.read(r, func(results) bool { return false })
	return r.of(0)
}

// transport is Go's client, with prior knowledge.
func (st *stage) transport() *http.Transport {
	tr := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", st.addr)
	}}
	tr.Protocols.SetUnencryptedHTTP2(true)
	st.t.Cleanup(tr.CloseIdleConnections)
	return tr
}
