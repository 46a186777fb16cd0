// Package reverse answers an exchange from the servers behind the gateway. It
// is the attempt loop: its files are the phases of an attempt (select, send,
// await, head, body, tunnel) and retry.go, which judges whether another attempt
// is safe.
//
// An attempt ends in a fault or in an answer that has reached the client. The
// rules of retrying stand in the faults' rows; nothing here knows a status or a
// word of an explanation.
package reverse

import (
	"bytes"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/http2"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/upstream"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// Defaults, with their reasons.
const (
	// DefaultAttempts is one try and two more. Each further one helps less than the
	// load it adds; moves away from endpoints that received nothing do not count.
	DefaultAttempts = 3
	// DefaultSend bounds the wait for an upstream that takes no byte of a request.
	DefaultSend = 30 * time.Second
	// DefaultFirstByte is how long an application may think: nginx's figure, which
	// applications are written against.
	DefaultFirstByte = 60 * time.Second
	// DefaultRead bounds the silence between two reads of an answer.
	DefaultRead = 60 * time.Second
	// DefaultTunnel bounds the silence of an upgraded connection. WebSocket
	// libraries that ping do so within a minute; others deserve some more.
	DefaultTunnel = 10 * time.Minute
	// DefaultGrace is how long a small answer that is not whole is held back. A
	// crash in the middle of an answer shows within it, a person does not notice it,
	// and an answer that comes in one packet never waits.
	DefaultGrace = 40 * time.Millisecond
	// DefaultReplayMemory keeps forms and API calls for another attempt.
	DefaultReplayMemory = 64 << 10
	// DefaultReplayDisk keeps uploads of idempotent requests; above it a temporary
	// file costs more than the rare retry is worth.
	DefaultReplayDisk = 16 << 20
	// continueWait is how long we wait for a 100 before the body is sent anyway
	// (RFC 9110 §10.1.1: not for an indefinite period). Origins that know Expect answer at once.
	continueWait = time.Second
	// maxInterims bounds the interim answers of one request.
	maxInterims = 32
	// glance is how often a waiting exchange looks whether its client still lives.
	glance = time.Second
)

// Options are the settings of the upstream's side, shared by all loops. Zero
// durations mean no limit: the callers fill in the defaults.
type Options struct {
	Limits    http1.Limits
	Allow     h1.Allow
	Attempts  int // per exchange, 1..trail.MaxAttempts; 0 means DefaultAttempts
	Send      time.Duration
	FirstByte time.Duration
	Read      time.Duration
	Tunnel    time.Duration
	Grace     time.Duration // 0: nothing is held back
	// Hedge is how long an idempotent request without a body waits for the first byte of
	// its answer before another endpoint is asked as well; 0 never asks two.
	Hedge time.Duration
	// ReplayMemory and ReplayDisk bound the request bytes kept for another attempt,
	// in memory and then in a temporary file.
	ReplayMemory, ReplayDisk int64
	// Spool makes the temporary file; nil means one in the system's folder.
	Spool func() (Spool, error)
	// IdempotencyKey lets an Idempotency-Key field make any request idempotent:
	// only for upstreams that honour it.
	IdempotencyKey bool
}

// Proxy is one loop's part.
type Proxy struct {
	o    *Options
	loop loop.Loop
	pool *upstream.Local
	up   *upstream.Upstream
	free []*call
}

// New makes the part of one loop. It must be called on that loop.
func New(l loop.Loop, o *Options, u *upstream.Upstream) *Proxy {
	return &Proxy{o: o, loop: l, pool: u.On(l), up: u}
}

// Inherit takes over the idle connections of from, as upstream.Local does.
func (p *Proxy) Inherit(from *Proxy) { p.pool.Inherit(from.pool) }

// Close ends idle upstream connections. Exchanges under way go on, and new ones
// may begin; their connections end with them.
func (p *Proxy) Close() { p.pool.Close() }

// call is the work for one exchange: its attempts, one after the other.
type call struct {
	p *Proxy
	// The lines of the current attempt: its own, or the spare ones while another attempt
	// has those. rival is that attempt, nil if there is none.
	*lines
	own   lines
	spare *lines
	rival *rival
	first []byte // first bytes of an answer whose head is no longer in the buffer
	body  body
	// The PROXY header of its connections, and what is in it.
	intro, extra []byte
	cookie       [32]byte // scratch
	work
}

// lines are a request and its answer in either version; one of the two is used.
type lines struct {
	h1 http1.Line
	h2 http2.Line
}

// work is what of a call belongs to one exchange and is forgotten after it.
type work struct {
	x    *exchange.Exchange
	conn *upstream.Conn
	end  *upstream.Endpoint // of the current attempt
	held *upstream.Endpoint // the one that counts the attempt; nil if none does
	a    *trail.Attempt
	hand hand

	// line is the current attempt's, nil before it has a connection; answer and
	// framing are those of its head that was read last.
	line    line
	answer  *message.Head
	framing *message.Framing
	told    int // its receipts that were noted

	tried      [trail.MaxAttempts]*upstream.Endpoint
	onward     message.Onward
	idempotent bool
	fresh      bool               // the next attempt must use a new connection
	stay       *upstream.Endpoint // and this endpoint, if set
	bound      *upstream.Endpoint // the one that the client's cookie stands for; nil for none
	anew       bool               // another attempt is decided
	elsewhere  bool               // an upstream's own 502 or 503 was already tried elsewhere
	redone     redo
	shared     bool // the attempt's connection is used by others too
	alone      bool // the next attempts need one of their own
	refused    int  // attempts that were not processed, as the upstream says
	spent      int  // attempts that may have reached an upstream
	asks       bool // the wait for the answer is to send the whole request
	sentAt     loop.Time
	sent       bool  // request fully handed to the kernel
	tunnelled  int64 // bytes sent behind it
	sendErr    error
	copies     bool // the body cannot go straight to the client
	expecting  bool // Expect was sent and no 100 has come
	asked      bool // the client was told to continue
	calling    calling
	hedgeAt    loop.Time // when another endpoint is asked as well
	hedged     bool      // that was done
}

// redo remembers which once-only second chances were used.
type redo uint8

const (
	redoExpect redo = 1 << iota
	redoMisdirected
	redoEarly
	redoVersion
	redoLength
)

// Respond implements exchange.Responder.
func (p *Proxy) Respond(x *exchange.Exchange) *fault.Fault {
	var c *call
	if n := len(p.free); n > 0 {
		c, p.free = p.free[n-1], p.free[:n-1]
	} else {
		c = &call{}
		c.lines = &c.own
	}
	c.p, c.x, c.hedgeAt = p, x, loop.Never
	defer c.release()
	p.pool.Deposit()
	if name := p.pool.Cookie(); name != "" {
		c.bound = p.pool.Bound(x.TakeCookie(name, &c.cookie))
	}
	c.idempotent = x.Request.Idempotent || p.o.IdempotencyKey && x.Value(message.IdempotencyKey) != nil
	return c.run()
}

// callsKept bounds the calls that a loop keeps for use again.
const callsKept = 1024

// release gives everything back, also after a panic.
func (c *call) release() {
	c.forsake()
	c.stopHand()
	if c.conn != nil {
		c.p.pool.Drop(c.conn, true)
	}
	c.leave()
	if c.line != nil {
		c.line.Release()
	}
	c.lines = &c.own
	c.body.close()
	c.body = body{kept: c.body.kept[:0]}
	c.work = work{}
	if len(c.p.free) < callsKept && cap(c.body.kept) <= DefaultReplayMemory {
		c.p.free = append(c.p.free, c)
	}
}

func (c *call) run() *fault.Fault {
	t := &c.x.Trail
	if f := c.takeBody(); f != nil {
		return f
	}
	if c.p.loop.Now() >= c.x.Deadline {
		return fault.New(fault.DeadlineBeforeAttempt, "limit", c.x.Patience(), "attempts", "0")
	}
	for {
		f := c.attempt()
		c.ended(f)
		if f == nil {
			if first := c.cause(); first != nil {
				t.Fault = first
			}
			return nil
		}
		if f.Row().Side == fault.Client || f.ID == fault.ClientGone || f.ID == fault.ReplyTimeout {
			return f
		}
		if c.anew {
			c.anew = false
			continue
		}
		again, withheld := c.again(f)
		if withheld != nil && withheld.ID == fault.ClientGone {
			return withheld
		}
		if !again {
			if c.x.Stashed() && !c.x.Begun() {
				t.Fault = c.cause()
				return c.x.Unstash()
			}
			t.Withheld = withheld
			return c.verdict(f)
		}
	}
}

// attempt tries once: a nil fault means that the client has the whole answer.
func (c *call) attempt() *fault.Fault {
	c.begin()
	if f := c.connect(); f != nil {
		return f
	}
	c.begins()
	if f := c.send(); f != nil {
		return f
	}
	if f := c.fellBehind(c.await()); f != nil {
		return f
	}
	if c.answer.Status == 101 {
		return c.tunnel()
	}
	if f := c.head(); f != nil {
		return f
	}
	return c.relay()
}

// begin opens the trail's page for the attempt.
func (c *call) begin() {
	t := &c.x.Trail
	c.a = &t.Attempts[t.N]
	*c.a = trail.Attempt{Upstream: c.p.up.Name(), Began: c.x.Stamp()}
	t.N++
	t.Hedged = false
	c.sent, c.tunnelled, c.sendErr, c.expecting, c.sentAt, c.asks = false, 0, nil, false, 0, false
	// An attempt that finds no connection begins no answer: it must not tell of the last one.
	c.drop()
	c.first, c.shared = c.first[:0], false
	c.calling = calling{}
	c.end = nil
}

// ended closes the trail's page: evidence, counts, and the verdict for the endpoint.
func (c *call) ended(f *fault.Fault) {
	a := c.a
	c.stopHand()
	a.Ended = c.x.Stamp()
	a.Fault = f
	if c.line != nil {
		a.BytesSent, a.BytesReceived = c.line.Sent()+c.tunnelled, c.line.Came()
		// The status is told although what came behind it may be broken.
		a.Status = c.answer.Status
		if c.shared && f == nil && !c.sent {
			c.h2.Parting(c.p.loop.Now().Add(int64(DefaultGrace)))
		}
		c.receipts()
	}
	if a.Status != 0 {
		c.x.Trail.UpstreamStatus = a.Status
	}
	health := c.health(f)
	if f != nil {
		c.evidence()
		f.With("endpoint", a.Endpoint).With("address", a.Address)
		if a.Reused {
			f.With("age", round(a.Age)).With("idle", round(a.Idle))
			if f.Get("delivered") == "" {
				f.With("delivered", "not known")
			}
		}
	}
	c.drop()
	if c.conn != nil {
		c.p.pool.Drop(c.conn, f != nil)
		c.conn = nil
	}
	c.leave()
	if c.end != nil && (f == nil || f.At != fault.Reply) {
		c.p.pool.Report(c.end, health)
		if health == nil && a.FirstByte > a.Sent {
			c.p.pool.Took(c.end, int64(a.FirstByte-a.Sent), a.Status >= 500)
		}
	}
}

// begins makes the line of an attempt that has got its connection.
func (c *call) begins() {
	if link, ok := c.conn.Shared.(*http2.Link); ok {
		c.h2.Begin(link)
		c.line, c.told = &c.h2, 0
		c.a.HTTP2 = true
	} else {
		c.h1.Begin(c.conn.Stream, &c.p.o.Limits, c.p.o.Allow)
		c.line, c.told = &c.h1, 0
	}
	c.answer, c.framing = c.line.Message()
}

// drop ends the line of an attempt that is over. What it read is gone then.
func (c *call) drop() {
	if c.line != nil {
		c.line.Release()
		c.line = nil
	}
}

// round says a span of nanoseconds for people.
func round(ns int64) string { return time.Duration(ns).Round(time.Millisecond).String() }

// health is what an attempt says of its endpoint: its fault, or that the answer,
// passed on as it came, speaks of an endpoint that cannot do its work.
func (c *call) health(f *fault.Fault) *fault.Fault {
	if s := c.a.Status; f == nil && (s == 502 || s == 503 || s == 504) {
		return c.line.Fault(fault.UpstreamGatewayError)
	}
	return f
}

// Bounds of the evidence that an attempt keeps.
const (
	evidenceFirst = 4 << 10
	evidenceLast  = 1 << 10
)

// evidence takes the raw bytes of the answer, masked, while they are there.
func (c *call) evidence() {
	if c.line == nil {
		return
	}
	in := c.line.Raw()
	first := c.first
	if len(first) == 0 {
		first = in[:min(len(in), evidenceFirst)]
	}
	if len(first) > 0 {
		c.a.First = message.Mask(nil, first)
	}
	if len(in) > evidenceFirst || len(c.first) > 0 && len(in) > 0 {
		masked := message.Mask(nil, in) // whole lines: half a field is not known for a secret
		c.a.Last = bytes.Clone(masked[max(0, len(in)-evidenceLast):])
	}
}

// note keeps a receipt of this attempt.
func (c *call) note(id fault.ID, at int64) { c.x.Trail.Note(id, at, c.x.Trail.N-1) }
