package http2

import (
	"cmp"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
)

// The defaults of ServerOptions. Each says why.
const (
	// DefaultRequests is what browsers were seen to use at a time, with room to spare,
	// and what nginx and HAProxy's neighbours allow.
	DefaultRequests = 128
	// DefaultBodyWindow is how much of one request's body may come before anybody has
	// taken it: one round trip of 10 ms at 50 Mbit/s. An upload that turns out to be
	// held up by it gets more, up to DefaultBodyMemory.
	DefaultBodyWindow = 64 << 10
	// DefaultBodyMemory bounds the bytes of request bodies that a connection can make
	// us keep, whatever its requests are doing.
	DefaultBodyMemory = 1 << 20
	// DefaultResets is how many requests of a connection may end in a reset at once:
	// a page that is left cancels its images, a search box its last letters. A
	// thirtieth of it comes back each second.
	DefaultResets = 500
	// DefaultClientPing: a client that has gone without a word, or whose mobile lost
	// its network, keeps an upstream busy for nobody; one that only waits is disturbed
	// twice a minute.
	DefaultClientPing = 30 * time.Second
	// DefaultControl is how many frames that bring no request nearer are borne at
	// once. A thirtieth of it comes back each second, and what answers are sent
	// earns some: clients acknowledge content as it comes.
	DefaultControl = 2000
)

const (
	// unsentMost is how many bytes may wait for a client that does not read them:
	// then nothing more is read from it either. Answers wait on their own when half
	// of it is there.
	unsentMost = 64 << 10
	// fewBytes is a piece of content too small for a frame of its own, if more of it
	// would fit next time.
	fewBytes = 512
	// calm is how long a connection without a request keeps its task before it is left
	// to the loop: some round trips, so that one that is in use does not come and go.
	calm = 100 * time.Millisecond
	// farewell is how long a connection that is being ended is still read from, so that
	// the last answers are not lost to a reset, and farewellBytes how much; floodBytes
	// if it is ended because too much comes.
	farewell      = time.Second
	farewellBytes = 1 << 20
	floodBytes    = 64 << 10
	// goneStreams is how many ended streams are remembered: what comes for them may
	// have been under way, or be a mistake.
	goneStreams = 32
)

// ServerOptions are the settings of HTTP/2 at the client's side, shared by all
// loops. A zero field means its default, or no limit for times and Body.
type ServerOptions struct {
	Limits h2.Limits // of a request's head, and of its trailer
	Body   int64     // payload bytes of one request
	// Head bounds the wait for a whole head from its first frame on, and for the
	// first request of a connection; BodyRead for a piece of a body; Idle a
	// connection without a request; Reply one write's wait.
	Head, BodyRead, Idle, Reply time.Duration
	// Ping is how long a client that waits for answers may be silent before it is
	// asked whether it is there, and Pong how long it may take to say so (RFC 9113
	// §6.7); 0 means DefaultClientPing and DefaultPong, below 0 it is never asked.
	Ping, Pong time.Duration
	// Requests bounds the requests of a connection at a time (RFC 9113 §5.1.2).
	Requests int
	// BodyWindow and BodyMemory bound what comes and was not taken, of a request and
	// of a connection, in bytes.
	BodyWindow, BodyMemory int
	// Resets and Control are the patience with a connection: see DefaultResets.
	Resets, Control int
	// Table is how large a table of a client's fields may be, in bytes (RFC 7541
	// §4.2); below 0 there is none.
	Table int
}

func (o *ServerOptions) ping() int64 { return int64(cmp.Or(o.Ping, DefaultClientPing)) }
func (o *ServerOptions) pong() int64 { return int64(cmp.Or(max(o.Pong, 0), DefaultPong)) }

func (o *ServerOptions) table() uint32 {
	if o.Table < 0 {
		return 0
	}
	return uint32(cmp.Or(o.Table, h2.DefaultTable))
}

// Streams keeps the streams of one loop that are not in use. The zero value is ready.
type Streams struct{ free []*Stream }

// streamsKept bounds Streams.
const streamsKept = 1024

// Host is what a connection needs of whoever serves its requests.
type Host interface {
	// ServeStream runs one exchange. It is a task of its own.
	ServeStream(s *Stream)
	// Failed tells that the client has made the connection unusable; nothing can be
	// answered.
	Failed(f *fault.Fault)
	// Ended tells that the connection is over and nothing of it runs any more.
	Ended()
}

// Server is one connection of a client that speaks HTTP/2. It belongs to the loop
// of its stream.
//
// One task reads; it ends when no request is under way, and the loop wakes
// another when something comes. Each request is a task. What they compose is
// gathered, and a task that lives as long as there is something to send gives it
// to the kernel: all that was composed in one round of the loop leaves in one call.
type Server struct {
	o      *ServerOptions
	stream loop.Stream
	loop   loop.Loop
	host   Host
	kept   *Streams
	run    func()      // Server.serve, as a value that need not be made each time
	woken  func(error) // Server.wake, likewise
	send   func()      // Server.write, likewise

	in     loop.Buffer
	dec    h2.Decoder
	reader loop.Task // the reading task; nil if there is none
	paused bool      // it waits for the client to take something
	greet  bool      // the preface is still to come
	begun  loop.Time // of the connection
	idle   loop.Time // when the last request ended; 0 while one is under way
	heard  loop.Time // when something last came
	asked  loop.Time // when an unanswered PING asked whether the client is there; 0 if none did
	first  bool      // no request has come yet
	last   uint32    // the highest stream that was begun
	open   int       // streams that are not closed, as the protocol counts
	live   int       // requests that run
	find   [16]*Stream
	gone   [goneStreams]goneStream
	ngone  int
	resets bucket
	floods bucket

	// A field block in more than one frame.
	block      []byte
	blockOf    uint32 // 0 if there is none under way
	blockEnd   bool
	blockFlaw  h2.Error
	blockUntil loop.Time

	// Bodies of requests.
	unread  int64 // taken from the connection's window and not given back
	window  int64 // the peer may send so much more
	begin   int64 // a new stream's window, as SETTINGS said
	target  int64 // what it is to become when the stream is read from
	sample  int64 // bytes that came since probe was sent
	probing bool

	sending

	draining bool
	parted   bool      // GOAWAY told the last request that will be served
	partAt   loop.Time // when it will, at the latest
	broken   error     // the stream is of no more use
	over     bool      // no more requests, and GOAWAY said so
	flooded  bool      // because the client only makes work
}

type goneStream struct {
	id  uint32
	how fate
}

// bucket is a patience that comes back with time.
type bucket struct {
	left, most int32
	at         loop.Time
}

func (b *bucket) init(most int, now loop.Time) { *b = bucket{int32(most), int32(most), now} }

// take takes n; it returns false if they are not there.
func (b *bucket) take(n int32, now loop.Time) bool {
	if b.left < n {
		// A thirtieth a second.
		back := int64(now-b.at) * int64(b.most) / int64(30*time.Second)
		if back > 0 {
			b.left, b.at = int32(min(int64(b.left)+back, int64(b.most))), now
		}
	}
	b.left -= n
	if b.left < 0 {
		b.left = 0
		return false
	}
	return true
}

func (b *bucket) give(n int32) { b.left = min(b.left+n, b.most) }

// NewServer begins a connection. in is what was read of it, and is taken over. The
// caller then calls Serve.
func NewServer(s loop.Stream, in *loop.Buffer, o *ServerOptions, kept *Streams, host Host) *Server {
	c := &Server{o: o, stream: s, loop: s.Loop(), host: host, kept: kept, greet: true, first: true, in: *in}
	*in = loop.Buffer{}
	c.run, c.woken, c.send = c.serve, c.wake, c.write
	c.begun = c.loop.Now()
	c.idle, c.heard = c.begun, c.begun
	c.resets.init(cmp.Or(o.Resets, DefaultResets), c.begun)
	c.floods.init(cmp.Or(o.Control, DefaultControl), c.begun)
	c.dec.Init(o.table(), &o.Limits, &h2.DefaultRequest)
	c.begin = int64(cmp.Or(o.BodyWindow, DefaultBodyWindow))
	c.target = c.begin
	c.window = c.memory()
	c.sending.init()
	c.control = h2.AppendSettings(c.control,
		h2.Setting{ID: h2.MaxConcurrentStreams, Value: uint32(c.requests())},
		h2.Setting{ID: h2.InitialWindowSize, Value: uint32(c.begin)},
		h2.Setting{ID: h2.MaxHeaderListSize, Value: uint32(c.dec.Limits().Head)},
		h2.Setting{ID: h2.HeaderTableSize, Value: o.table()},
		h2.Setting{ID: h2.NoRFC7540Priorities, Value: 1})
	c.control = h2.AppendWindowUpdate(c.control, 0, int32(c.window-h2.DefaultWindow))
	c.kick()
	return c
}

func (c *Server) requests() int { return cmp.Or(c.o.Requests, DefaultRequests) }

// memory is the connection's window; it cannot be less than what the peer begins
// with.
func (c *Server) memory() int64 {
	return int64(max(cmp.Or(c.o.BodyMemory, DefaultBodyMemory), h2.DefaultWindow+1))
}

// Serve reads until the connection is over or has nothing to do for a while. The
// calling task may end then: Host.Ended tells when all is over.
func (c *Server) Serve() { c.serve() }

func (c *Server) serve() {
	c.reader = c.loop.Current()
	for c.broken == nil && !c.over {
		if !c.frames() {
			break
		}
		if c.blocked() {
			continue
		}
		now := c.loop.Now()
		if c.mayLeave(now) {
			c.reader, c.control = nil, nil
			c.in.Release()
			c.stream.Rest(c.expires(), c.woken)
			return
		}
		// Whoever has been silent for long will be for a while: a connection that waits
		// for a slow answer need not look up all the time.
		until := min(c.expires(), now.Add(max(int64(calm), int64(now-c.heard))))
		c.in.ReleaseEmpty()
		if err := c.stream.Fill(&c.in, until); err == nil {
			c.heard, c.asked = c.loop.Now(), 0
		} else if !c.waited(err) {
			break
		}
	}
	c.end()
}

// wake is the task that goes on reading.
func (c *Server) wake(err error) {
	c.reader = c.loop.Current()
	if err == nil {
		// What is there must be read, be it the end: to leave again for it would be to
		// come back at once.
		err = c.stream.Fill(&c.in, c.loop.Now().Add(int64(calm)))
		c.heard = c.loop.Now()
	}
	if err != nil && !c.waited(err) {
		c.end()
		return
	}
	c.serve()
}

// mayLeave reports whether nothing is under way, so that the loop can wait for the
// client instead of a task.
func (c *Server) mayLeave(now loop.Time) bool {
	return c.idle != 0 && now >= c.idle.Add(int64(calm)) && c.in.Len() == 0 && !c.writing && c.blockOf == 0 && !c.over
}

// expires is the moment at which something has taken too long.
func (c *Server) expires() loop.Time {
	until := loop.Never
	switch {
	case c.blockOf != 0: // a request has begun
		until = c.blockUntil
	case c.idle != 0 && c.first:
		until = c.idle.Add(int64(c.o.Head))
	case c.idle != 0:
		until = c.idle.Add(int64(c.o.Idle))
	case c.asked != 0:
		until = c.asked.Add(c.o.pong())
	case c.o.ping() > 0:
		until = c.heard.Add(c.o.ping())
	}
	if c.draining && !c.parted {
		until = min(until, c.partAt)
	}
	return until
}

// waited judges a wait that brought nothing. It returns false if the connection is
// over.
func (c *Server) waited(err error) bool {
	switch err {
	case loop.ErrInterrupted:
		if c.parted && c.live == 0 {
			c.over = true
		}
		return !c.over && c.broken == nil
	case loop.ErrTimeout:
	case loop.ErrFull: // cannot be: frames fit
		c.in.Grow(2 * c.in.Len())
		return true
	default:
		c.lost(err)
		return false
	}
	now := c.loop.Now()
	if c.draining && !c.parted && now >= c.partAt {
		c.part()
		return !c.over
	}
	if c.blockOf != 0 && now >= c.blockUntil {
		c.host.Failed(fault.New(fault.RequestHeadTimeout, "limit", c.o.Head.String(), "received", number(len(c.block))))
		c.fail(h2.ProtocolError, "head timeout")
		return false
	}
	switch {
	case now < c.expires():
	case c.live == 0:
		c.goodbye(h2.NoError, "idle")
		return false
	case c.asked != 0:
		c.lost(errSilent)
		return false
	case c.idle == 0:
		c.asked = now
		c.control = h2.AppendPing(c.control, askPing, false)
		c.kick()
	}
	return true
}

// AppendRefusal is all that a client gets of whom no request will be served. It may
// send them again elsewhere: the last one that was taken is 0 (RFC 9113 §6.8).
func AppendRefusal(dst []byte, why string) []byte {
	return h2.AppendGoAway(h2.AppendSettings(dst), 0, h2.EnhanceYourCalm, why)
}

// Drain lets the requests that are under way end, and no new ones begin. The
// client is told first that this is about to be, so that requests which it has
// just sent are not lost: "A server that is attempting to gracefully shut down a
// connection SHOULD send an initial GOAWAY frame with the last stream identifier
// set to 2^31-1 and a NO_ERROR code. [...] After allowing time for any in-flight
// stream creation (at least one round-trip time), the server MAY send another
// GOAWAY frame with an updated last stream identifier."
// https://www.rfc-editor.org/rfc/rfc9113#section-6.8-10
func (c *Server) Drain() {
	if c.draining || c.over || c.broken != nil {
		return
	}
	c.draining, c.partAt = true, c.loop.Now().Add(int64(farewell))
	c.control = h2.AppendGoAway(c.control, h2.MaxStream, h2.NoError, "")
	c.control = h2.AppendPing(c.control, drainPing, false)
	c.kick()
	c.rouse()
}

// The contents of our own PINGs, so that their answers are known.
var (
	drainPing = [8]byte{'d', 'r', 'a', 'i', 'n'}
	probePing = [8]byte{'w', 'i', 'n', 'd', 'o', 'w'}
	askPing   = [8]byte{'t', 'h', 'e', 'r', 'e', '?'}
)

// part tells the client the last request that will be served.
func (c *Server) part() {
	if c.parted {
		return
	}
	c.parted = true
	c.control = h2.AppendGoAway(c.control, c.last, h2.NoError, "")
	c.kick()
	if c.live == 0 {
		c.over = true
	}
}

// rouse has the reading task look what is new.
func (c *Server) rouse() {
	if c.reader == nil {
		c.stream.Rouse()
		return
	}
	c.reader.Interrupt() // it reads
	c.reader.Wake()      // or it waits for requests to end
}

// Abort ends the connection at once.
func (c *Server) Abort() { c.stream.Abort() }

// goodbye ends the connection in peace.
func (c *Server) goodbye(code h2.Code, why string) {
	if !c.over {
		c.over = true
		c.control = h2.AppendGoAway(c.control, c.last, code, why)
		c.kick()
	}
}

// fail ends the connection because of what the client did: requests under way are
// over.
func (c *Server) fail(code h2.Code, why string) {
	c.goodbye(code, why)
	c.forsake(errGone)
}

// lost notes that the stream is of no more use.
func (c *Server) lost(err error) {
	if c.broken == nil {
		c.broken = err
		if err != errSilent {
			err = errGone
		}
		c.forsake(err)
	}
}

// forsake tells all requests that nobody waits for their answers, and why.
func (c *Server) forsake(why error) {
	for i := range c.find {
		for c.find[i] != nil {
			c.find[i].die(why, wasCut)
		}
	}
}

// end waits for what still runs, sends what is left to say, and closes.
func (c *Server) end() {
	for c.live > 0 || c.writing && c.broken == nil {
		_ = c.loop.Park(loop.Never) // each end of a request, and of the writer, wakes us
	}
	c.in.Release()
	if c.broken == nil && c.stream.CloseWrite() == nil {
		until := c.loop.Now().Add(int64(farewell))
		most := farewellBytes
		if c.flooded {
			most = floodBytes
		}
		for got := 0; got < most; {
			if err := c.stream.Fill(&c.in, until); err != nil && err != loop.ErrInterrupted {
				break
			}
			got += c.in.Len()
			c.in.Release()
		}
		c.in.Release()
	}
	if c.broken == nil {
		c.broken = loop.ErrClosed
	}
	c.stream.Close()
	for c.writing {
		_ = c.loop.Park(loop.Never)
	}
	c.sending.release()
	c.reader = nil
	c.host.Ended()
}

// swamped reports whether so much waits to be sent that no more should be read: a
// client that asks for answers and does not take them gets no more of them.
func (c *Server) swamped() bool { return len(c.control)+c.out.Len() >= unsentMost }

// blocked waits while the client does not take what we have to say to it. It
// reports whether it waited.
func (c *Server) blocked() bool {
	if !c.swamped() {
		return false
	}
	for c.paused = true; c.swamped() && c.broken == nil; {
		_ = c.loop.Park(loop.Never) // the writer wakes us, and has a limit
	}
	c.paused = false
	return true
}
