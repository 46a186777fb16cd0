// Package exchange is the life of one request and its answer at the client's
// side. Its files are its phases: accept, parse, admit, answer, reply, record.
// How an answer is found is not its business: a [Responder] does that.
//
// It judges faults: the row decides the status, this package makes the answer
// and keeps the trail. Start with accept.go.
package exchange

import (
	crand "crypto/rand"
	"crypto/tls"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/accesslog"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/http2"
	"github.com/gatewhy/gatewhy/internal/incident"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/metrics"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/wire/forwarded"
)

// Responder finds the answer to an exchange: it calls x.Begin, x.Add, x.Finish,
// or returns the fault that kept it from doing so. It is one loop's own.
type Responder interface {
	Respond(x *Exchange) *fault.Fault
}

// Detail says who sees operator detail in error answers.
type Detail uint8

// The details.
const (
	Trusted Detail = iota // clients on this machine (loopback)
	Public                // nobody
	All                   // everybody
)

// Defaults, with their reasons.
const (
	// DefaultClientHead outlives a slow mobile link that needs several round trips of
	// several seconds for a large head, and ends a slowloris in the time nginx does.
	DefaultClientHead = 60 * time.Second
	// DefaultClientBody is the pause between two reads of an upload that people
	// on bad links survive; nginx's and HAProxy's users know this figure.
	DefaultClientBody = 60 * time.Second
	// DefaultKeepAlive is a little over the 60 s after which load balancers in
	// front of us drop idle connections: whoever is in front should be first to close.
	DefaultKeepAlive = 75 * time.Second
	// DefaultReply bounds one write's wait: a client that takes no byte for a
	// minute reads no more.
	DefaultReply = 60 * time.Second
	// DefaultHandshake outlives a client on a slow mobile link: TCP is up, two round
	// trips are missing, and each may be lost once.
	DefaultHandshake = 10 * time.Second
	// DefaultProxyHeader outlives two lost packets on the way from a proxy, which sends
	// its header at once: after 1 s and 2 s they are sent again (RFC 6298).
	DefaultProxyHeader = 5 * time.Second
	// DefaultMaxConnections is what the usual limit of file descriptors of a
	// service (1 Mi) could never reach and memory (about 10 KiB each) still holds.
	DefaultMaxConnections = 100_000
)

// Options are the settings of the client's side, shared by all loops.
type Options struct {
	// Node names this gateway in Proxy-Status: the deployment's name, never the product's.
	Node string
	// Via is our pseudonym in Via, unique on this machine.
	Via string
	// TLS is what handshakes on TLS listeners use, shared by all of them; nil if
	// there is none.
	TLS *tls.Config
	// Handshake bounds a TLS handshake, from the connection's first moment; 0 means
	// DefaultHandshake.
	Handshake time.Duration
	Limits    http1.Limits
	Times     http1.Timeouts
	// HTTP2 is what only HTTP/2 has: how many requests at a time, windows, patience.
	// Its limits and times are those of all versions.
	HTTP2 http2.ServerOptions
	// NoHTTP2 refuses HTTP/2 to clients that begin with it (RFC 9113 §3.3). With TLS
	// the handshake says what is spoken, see TLS.
	NoHTTP2 bool
	// NoHTTP1 takes each connection for one of HTTP/2: for clients that all speak it,
	// such as those of gRPC.
	NoHTTP1 bool
	// Total bounds an exchange from its first byte to its last; 0 means no limit.
	Total  time.Duration
	Detail Detail
	// Contact is an email address or URL that error pages offer; "" for none.
	Contact string
	// ClientCert tells upstreams of the certificate that a client was verified by, in the
	// field Client-Cert (RFC 9440), and keeps clients from saying so themselves.
	ClientCert bool
	// Forwarded says in which fields proxies in front tell of the client, and upstreams
	// are told.
	Forwarded Forwarded
	// RequestID is the field by which each request has an id, "" for none.
	RequestID string
	// ReplyRequestID tells the client that id too.
	ReplyRequestID bool
	// Trace gives each request its place in a W3C trace, and TraceSample is the share of
	// the traces which begin here that are sampled, 0 to 1.
	Trace       bool
	TraceSample float64
	// TrustedProxies are the networks of proxies in front of us, which say who the
	// client is; see Exchange.spokenFor.
	TrustedProxies []netip.Prefix
	// ProxyProtocol are the networks of proxies that begin each connection with a PROXY
	// header, in front of TLS too: they must, and nobody else may.
	ProxyProtocol []netip.Prefix
	// ProxyHeader bounds how long that header may take, from the connection's first
	// moment; 0 means DefaultProxyHeader. MaxProxyHeader bounds its bytes; 0 means
	// proxyproto.DefaultMax.
	ProxyHeader    time.Duration
	MaxProxyHeader int
	// MaxConnections bounds the client connections of each loop; 0 means no limit.
	MaxConnections int
	Log            *accesslog.Sink // nil for no access log
	// Spans gathers the spans of exchanges for a collector; nil tells none. Trace must be
	// set for it.
	Spans     *accesslog.Sink
	Incidents *incident.Store
	// Observe, if set, is called with every finished trail: prove and tests. It
	// must not keep the trail.
	Observe func(*trail.Trail)
}

// Forwarded says in which fields a client is told of.
type Forwarded uint8

// The choices.
const (
	ForwardedX       Forwarded = iota // X-Forwarded-For, -Proto, -Host, -Port and X-Real-IP
	ForwardedRFC7239                  // Forwarded
	ForwardedBoth                     // both; of a proxy in front, Forwarded if it sends that
)

// Server serves client connections on one loop.
type Server struct {
	o        *Options
	loop     loop.Loop
	router   Router
	log      *accesslog.Local
	spans    *accesslog.Local
	via      []byte
	text     [64]byte // scratch for an address
	free     []*Exchange
	spare    []*conn // of connections that have ended
	conns    conn    // ring of all connections
	open     int
	shakes   Handshakes
	counters metrics.Counters
	http2    *http2.ServerOptions // as new connections have them
	streams  http2.Streams
	draining bool
	drained  []loop.Task
	second   int64  // the second that dated spells, from 1970
	dated    []byte // a Date field's value
	ids      rand.ChaCha8
	// requestID is Options.RequestID in lower case.
	requestID string
}

// NewServer makes the server of one loop. It must be called on that loop.
func NewServer(l loop.Loop, o *Options, r Router) *Server {
	s := &Server{o: o, loop: l, router: r, via: []byte(o.Via)}
	if o.Log != nil {
		s.log = o.Log.Local(l)
	}
	if o.Spans != nil {
		s.spans = o.Spans.Local(l)
	}
	s.Use(o)
	var seed [32]byte
	crand.Read(seed[:])
	s.ids.Seed(seed)
	s.conns.next, s.conns.prev = &s.conns, &s.conns
	return s
}

// Counters are what the server's exchanges came to. Use them on its loop.
func (s *Server) Counters() *metrics.Counters { return &s.counters }

// Use makes o the settings of connections and exchanges that begin from now on. Log
// and Via stay what they were. It must be called on the server's loop.
func (s *Server) Use(o *Options) {
	h := o.http2()
	s.o, s.http2, s.requestID = o, &h, strings.ToLower(o.RequestID)
}

// date spells the moment wall, in nanoseconds, for a Date field (RFC 9110 §5.6.7).
// It is valid until the next call.
func (s *Server) date(wall int64) []byte {
	if second := wall / int64(time.Second); len(s.dated) == 0 || second != s.second {
		s.second = second
		s.dated = time.Unix(second, 0).UTC().AppendFormat(s.dated[:0], "Mon, 02 Jan 2006 15:04:05 GMT")
	}
	return s.dated
}

// Open counts the client connections.
func (s *Server) Open() int { return s.open }

// Drain ends idle connections at once, those that were in use a moment ago after
// that moment, and the others after their current exchange, whose answer says so
// if it still can. When the moment comes it breaks the rest. It waits for them all.
func (s *Server) Drain(until loop.Time) {
	s.draining = true
	for c := s.conns.next; c != &s.conns; c = c.next {
		switch {
		case c.http2 != nil:
			c.http2.Drain()
		case c.idle:
			c.stream.Rouse()
		}
	}
	for s.open > 0 {
		s.drained = append(s.drained, s.loop.Current())
		if s.loop.Park(until) == nil {
			continue
		}
		// Whoever waits for an upstream looks at its client now and then; all other
		// waits are on the stream that ends here, or have a limit of their own.
		for c := s.conns.next; c != &s.conns; c = c.next {
			c.stream.Abort()
		}
		until = loop.Never
	}
}

// An Exchange is one request and its answer. It belongs to its connection's
// task and is used again after it.
type Exchange struct {
	Request message.Request
	Trail   trail.Trail
	Client  Client
	Loop    loop.Loop
	// Onward is what every request of this client carries on.
	Onward message.Onward
	// Deadline is the moment that ends the exchange.
	Deadline loop.Time
	// Opts are the settings of the client's side.
	Opts *Options

	server *Server
	conn   *conn
	began  loop.Time
	reply  reply
	back   message.Back // how the head is composed
	out    message.Out  // what is being written
	via    []byte
	// grpc: the request is a call of gRPC; patience is its own limit, 0 if it set none.
	grpc     bool
	patience time.Duration
	// What a trusted proxy says of its client: the address, as text, and what goes on.
	client     netip.Addr
	clientText [longestAddress]byte
	added      []byte
	lines      []byte // lines of this request alone
	spanAt     int    // where in lines the span of an attempt goes
	idText     [longestID]byte
	// What proxies say in Forwarded, and that it is to be believed.
	elements      []forwarded.Element
	forwardedGood bool
	// reading is what an HTTP/1.1 client needs while it reads a request.
	reading http1.Reading
	// tunnelled counts the client's bytes behind a switch of protocols.
	tunnelled int64
}

// Stamp is now, as the trail counts.
func (x *Exchange) Stamp() trail.Stamp { return x.At(x.Loop.Now()) }

// At turns a moment into a stamp of the trail.
func (x *Exchange) At(t loop.Time) trail.Stamp { return max(1, trail.Stamp(t-x.began)) }

func (s *Server) take(c *conn, client Client) *Exchange {
	var x *Exchange
	if n := len(s.free); n > 0 {
		x, s.free = s.free[n-1], s.free[:n-1]
	} else {
		x = &Exchange{}
	}
	x.server, x.conn, x.Client, x.Loop, x.Opts, x.via = s, c, client, s.loop, s.o, s.via
	x.Onward.Added, x.Onward.Via = c.added, s.via
	return x
}

// addedKept bounds the memory that an exchange keeps for what proxies said.
const addedKept = 4 << 10

// freed bounds the exchanges kept for use again.
const freed = 1024

func (s *Server) put(x *Exchange) {
	x.Trail.Reset()
	x.reply.reset()
	x.tunnelled = 0
	x.client = netip.Addr{}
	if cap(x.added) > addedKept {
		x.added = nil
	}
	if cap(x.lines) > addedKept {
		x.lines = nil
	}
	x.conn, x.Client = nil, nil
	if len(s.free) < freed {
		s.free = append(s.free, x)
	}
}
