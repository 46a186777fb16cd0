package http2

import (
	"errors"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
)

// What ends a stream before its answer is whole.
var (
	errReset = errors.New("the client reset the request's stream") // or had it reset, by a mistake
	errGone  = errors.New("the client's connection ended")
	// errSilent: as errGone, and there was no end to see.
	errSilent = errors.New("the client was silent and did not answer a PING")
)

// Stream is one request at the client's side and the way for its answer. It is
// used by the task that Host.ServeStream runs in, and by those that this starts.
type Stream struct {
	c    *Server
	id   uint32
	next *Stream // in Server.find
	run  func()  // Stream.serve, as a value that need not be made each time

	request message.Request
	wrong   *fault.Fault // what is wrong with the head
	code    h2.Code      // that ends the stream behind the answer to a malformed request

	task loop.Task // that runs the exchange
	open bool      // as the protocol counts
	dead error     // nobody waits for the answer

	// The body.
	remote   bool        // END_STREAM came
	data     loop.Buffer // what came
	lent     loop.Buffer // what Piece returned last
	owed     int64       // bytes of lent
	back     int64       // taken, and not given back to the stream's window
	window   int64       // the client may send so much more
	size     int64       // the window's
	came     int64       // payload bytes that came
	received int64       // payload bytes that Piece returned
	taken    int64       // bytes on the wire
	broken   *fault.Fault
	tstore   []byte
	trailer  message.Head
	trailed  bool
	reader   loop.Task // in Piece

	// The answer.
	local          bool // END_STREAM was sent
	room           int64
	w              writing
	writer         loop.Task // in Write
	inLine         bool
	before, behind *Stream
	urgency        uint8
	incremental    bool
}

// writing is one call of Write.
type writing struct {
	head, a, b []byte
	tail       []byte // a trailer's frames
	last       bool
	n          int
	active     bool
}

// take makes a stream for a new request.
func (c *Server) take(id uint32) *Stream {
	var s *Stream
	if n := len(c.kept.free); n > 0 {
		s, c.kept.free = c.kept.free[n-1], c.kept.free[:n-1]
	} else {
		s = &Stream{}
		s.run = s.serve
	}
	s.c, s.id, s.open = c, id, true
	s.window, s.size, s.room = c.begin, c.begin, c.initial
	s.urgency, s.incremental = h2.DefaultUrgency.Level, false
	at := c.slot(id)
	s.next, *at = *at, s
	c.open++
	return s
}

// storeMost bounds the memory that an unused stream keeps for a head.
const storeMost = 8 << 10

// Release ends what is left of a stream and keeps it for another request.
func (s *Stream) Release() {
	c := s.c
	c.shut(s, wasCut)
	c.giveBack(s.owed + int64(s.data.Len()))
	s.data.Release()
	s.lent.Release()
	store, tstore, tail := s.request.Store, s.tstore, s.w.tail
	fields, tfields := s.request.Head.Fields, s.trailer.Fields
	if cap(store) > storeMost {
		store = nil
	}
	if cap(tstore) > storeMost {
		tstore = nil
	}
	*s = Stream{run: s.run, tstore: tstore}
	s.request.Store, s.request.Head.Fields, s.trailer.Fields, s.w.tail = store, fields[:0], tfields[:0], tail[:0]
	if len(c.kept.free) < streamsKept {
		c.kept.free = append(c.kept.free, s)
	}
}

// headTaken notes what is known when the head is there.
func (s *Stream) headTaken(n int, end bool, e h2.Error) {
	c, h := s.c, &s.request.Head
	s.taken = int64(h2.HeaderLen + n)
	s.remote = end
	if u, ok := c.dec.Urgency(h); ok {
		s.urgency, s.incremental = u.Level, u.Incremental
	}
	method := h.Bytes(h.Method)
	switch {
	case !e.Ok():
		s.wrong = liftSection(e, h, c.dec.Limits())
		if !tooLarge(e.Flaw) {
			// "Clients MUST NOT generate malformed requests. Servers MUST treat [them] as
			// a stream error of type PROTOCOL_ERROR. For malformed requests, a server MAY
			// send an HTTP response prior to closing or resetting the stream."
			// https://www.rfc-editor.org/rfc/rfc9113#section-8.1.1-3
			s.code = e.Code()
		}
	case string(method) == "CONNECT":
		s.wrong = fault.New(fault.RequestMethodUnsupported, "value", quoted(method))
	case c.o.Body > 0 && s.request.Framing.Length > c.o.Body:
		s.wrong = s.bodyTooLarge(s.request.Framing.Length)
	}
}

func (s *Stream) bodyTooLarge(size int64) *fault.Fault {
	return fault.New(fault.RequestBodyTooLarge, "limit", number(int(s.c.o.Body)), "size", number(int(size)))
}

// serve is the task of the request.
func (s *Stream) serve() {
	c := s.c
	s.task = c.loop.Self()
	c.host.ServeStream(s)
	s.task = nil
	s.Settle(true)
	s.Release()
	if c.live--; c.live > 0 {
		return
	}
	c.idle = c.loop.Now()
	if c.parted {
		c.over = true
	}
	if c.over || c.broken != nil {
		c.rouse()
	}
}

// dataCame takes in a DATA frame of n bytes, padding included.
func (s *Stream) dataCame(data []byte, n int64, end bool) h2.Error {
	c := s.c
	if s.window -= n; s.window < 0 {
		c.unread += n
		c.reset(s.id, h2.FlowControlError)
		return okay
	}
	s.taken += n + h2.HeaderLen
	s.came += int64(len(data))
	s.remote = end
	if pad := n - int64(len(data)); pad > 0 {
		s.back += pad
		c.giveBack(pad)
	}
	if f := &s.request.Framing; f.Body == message.Sized && (s.came > f.Length || end && s.came < f.Length) {
		s.mismatch()
	}
	if s.dead != nil || s.broken != nil || s.code != h2.NoError {
		c.giveBack(int64(len(data)))
	} else {
		keep(&s.data, data, c.loop.Pool())
	}
	s.wakeReader()
	return okay
}

// mismatch ends a body whose length is not what was declared.
//
// "A request or response is also malformed if the value of a Content-Length
// header field does not equal the sum of the DATA frame payload lengths that
// form the content". https://www.rfc-editor.org/rfc/rfc9113#section-8.1.1-5
func (s *Stream) mismatch() {
	if s.broken == nil {
		s.code = h2.ProtocolError
		s.broken = fault.New(fault.RequestBodyBroken, "flaw", "the DATA frames add up to something else than Content-Length",
			"offset", number(int(min(s.came, s.request.Framing.Length))), "got", number(int(s.came)), "want", number(int(s.request.Framing.Length)))
	}
}

// keep appends p to b, with storage of the pool while that is enough.
func keep(b *loop.Buffer, p []byte, pool *loop.Pool) {
	for len(p) > 0 {
		room := b.Space(pool)
		if len(room) == 0 {
			b.Grow(2 * (b.Len() + len(p)))
			continue
		}
		n := copy(room, p)
		b.Took(n)
		p = p[n:]
	}
}

// trailers takes in a field block behind the head.
func (s *Stream) trailers(b []byte, end bool) h2.Error {
	c := s.c
	if s.remote {
		// "if an endpoint receives additional frames, other than WINDOW_UPDATE,
		// PRIORITY, or RST_STREAM, for a stream that is in this state, it MUST respond
		// with a stream error of type STREAM_CLOSED."
		// https://www.rfc-editor.org/rfc/rfc9113#section-5.1-7.12.2
		if e := c.dec.Skip(b); !e.Ok() {
			return e
		}
		c.reset(s.id, h2.StreamClosed)
		return okay
	}
	var e h2.Error
	s.tstore, e = c.dec.Trailer(b, &s.trailer, s.tstore)
	if !e.Ok() && !e.Stream {
		return e
	}
	s.taken += int64(h2.HeaderLen + len(b))
	s.remote, s.trailed = true, e.Ok()
	switch {
	case !e.Ok() && s.broken == nil:
		s.code = e.Code()
		s.broken = fault.New(fault.RequestBodyBroken, "flaw", "a trailer with "+words[e.Flaw], "offset", number(int(s.came)))
	case !end && s.broken == nil:
		s.code = h2.ProtocolError
		s.broken = fault.New(fault.RequestBodyBroken, "flaw", "a trailer that does not end the request", "offset", number(int(s.came)))
	case s.request.Framing.Body == message.Sized && s.came != s.request.Framing.Length:
		s.mismatch()
	}
	s.wakeReader()
	return okay
}

// die tells those who wait for the client that it waits no more.
func (s *Stream) die(err error, how fate) {
	if s.dead == nil {
		s.dead = err
	}
	s.c.shut(s, how)
	s.wakeReader()
	s.wakeWriter()
	// Whatever its exchange waits for, nobody wants it any more.
	if s.task != nil && s.task != s.c.loop.Self() {
		s.task.Interrupt()
	}
}

func (s *Stream) wakeReader() {
	if s.reader != nil {
		s.reader.Wake()
	}
}

func (s *Stream) wakeWriter() {
	if s.writer != nil {
		s.writer.Wake()
	}
}

// opened notes that the client's window of the stream is larger.
func (s *Stream) opened() {
	if s.w.active && !s.wrote() && s.writer != nil && s.room > 0 {
		s.c.joinLine(s)
		s.c.kick()
	}
}

func (s *Stream) prioritise(u h2.Urgency) {
	again := s.inLine
	s.c.leaveLine(s)
	s.urgency, s.incremental = u.Level, u.Incremental
	if again {
		s.c.joinLine(s)
	}
}

// ReadHead returns the request's head, which is there when a stream is served.
func (s *Stream) ReadHead(q *message.Request) (f *fault.Fault, quiet bool) {
	*q, s.request = s.request, *q
	s.request.Framing = q.Framing // what is checked of the body
	if s.dead != nil && s.wrong == nil {
		return nil, true
	}
	return s.wrong, false
}

// Piece returns the next piece of the body: see exchange.Client.
func (s *Stream) Piece(wait bool) (piece []byte, done bool, f *fault.Fault) {
	s.give()
	for {
		switch {
		case s.broken != nil:
			return nil, false, s.broken
		case s.dead != nil:
			return nil, false, s.goneFault()
		case s.data.Len() > 0:
			s.lent, s.data = s.data, s.lent
			piece = s.lent.Bytes()
			s.owed = int64(len(piece))
			s.received += s.owed
			if m := s.c.o.Body; m > 0 && s.received > m {
				return nil, false, s.bodyTooLarge(s.received)
			}
			return piece, s.remote, nil
		case s.remote:
			return nil, true, nil
		case !wait:
			return nil, false, nil
		}
		l := s.c.loop
		s.reader = l.Self()
		err := l.Park(l.Now().Add(int64(s.c.o.BodyRead)))
		s.reader = nil
		if s.dead != nil {
			continue
		}
		switch err {
		case loop.ErrInterrupted:
			return nil, false, fault.Interrupted
		case loop.ErrTimeout:
			return nil, false, fault.New(fault.RequestBodyTimeout, "limit", s.c.o.BodyRead.String(),
				"received", number(int(s.received)), "want", s.wanted())
		}
	}
}

func (s *Stream) wanted() string {
	if f := &s.request.Framing; f.Body == message.Sized {
		return number(int(f.Length))
	}
	return "the end of the stream"
}

// give returns the room of the last piece to the client.
func (s *Stream) give() {
	if s.owed == 0 {
		return
	}
	c, n := s.c, s.owed
	s.lent.Consume(s.lent.Len())
	s.owed = 0
	s.back += n
	c.giveBack(n)
	if s.remote || !s.open || s.back < s.size/2 {
		return
	}
	more := s.back
	if c.target > s.size { // the round trip was found to be longer than the window
		more += c.target - s.size
		s.size = c.target
	}
	s.window += more
	s.back = 0
	c.control = h2.AppendWindowUpdate(c.control, s.id, int32(more))
	if !c.probing && c.target < c.memory() {
		c.probing, c.sample = true, 0
		c.control = h2.AppendPing(c.control, probePing, false)
	}
	c.kick()
}

// Trailer is the request's trailer after the last piece.
func (s *Stream) Trailer() *message.Head {
	if !s.trailed {
		return nil
	}
	return &s.trailer
}

// BodyDone reports whether the whole body was read.
func (s *Stream) BodyDone() bool {
	return s.remote && s.data.Len() == 0 && s.broken == nil
}

// Received counts the payload bytes read.
func (s *Stream) Received() int64 { return s.received }

// Taken counts the request's bytes on the wire.
func (s *Stream) Taken() int64 { return s.taken }

// Left is the least number of payload bytes that are yet to be read.
func (s *Stream) Left() int64 {
	if f := &s.request.Framing; f.Body == message.Sized {
		return f.Length - s.received
	}
	return int64(s.data.Len())
}

// Relax gives empty storage back.
func (s *Stream) Relax() {
	s.data.ReleaseEmpty()
	if s.owed == 0 {
		s.lent.ReleaseEmpty()
	}
}

// Gone reports whether nobody waits for the answer.
func (s *Stream) Gone(begun bool) *fault.Fault {
	if s.dead == nil {
		return nil
	}
	return s.goneFault()
}

func (s *Stream) goneFault() *fault.Fault {
	return fault.New(fault.ClientGone, "errno", s.dead.Error()).Because(s.dead)
}

// Wire is nothing: HTTP/2 has no switch of protocols.
func (s *Stream) Wire() (loop.Stream, *loop.Buffer) { return nil, nil }

// Abort ends the request.
func (s *Stream) Abort() { s.end(h2.Cancel) }

// end ends the stream at once, if it is open.
func (s *Stream) end(code h2.Code) {
	if !s.open {
		return
	}
	c := s.c
	if code != h2.NoError && code != h2.Cancel {
		c.count()
	}
	if s.open && c.broken == nil {
		c.putReset(s.id, code)
	}
	s.die(errReset, wasCut)
}

// Settle ends what is left of a stream whose answer is whole.
func (s *Stream) Settle(close bool) (again bool) {
	s.give()
	switch {
	case !s.open:
	case s.code != h2.NoError:
		s.end(s.code)
	case !s.local:
		s.end(h2.InternalError)
	case !s.remote:
		// "A server MAY request that the client abort transmission of a request without
		// error by sending a RST_STREAM with an error code of NO_ERROR after sending a
		// complete response". https://www.rfc-editor.org/rfc/rfc9113#section-8.1-9
		s.end(h2.NoError)
	}
	return false
}
