package http2

import (
	"errors"
	"strconv"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
)

const (
	// interimsKept bounds the interim heads of one answer that wait to be looked at.
	interimsKept = 32
	// storeKept bounds the memory for a head, bodyKept that for content, which a
	// Line keeps for its next exchange, in bytes.
	storeKept = 8 << 10
	bodyKept  = 32 << 10
	// holdMost is how much of an answer may come while its head is held back: what
	// HTTP/1.1 would have in its buffer.
	holdMost = loop.BufferSize
)

// Line is one request and its answer on a stream of a [Link]. The zero value is
// ready for Begin. One task may send while another reads.
type Line struct {
	link *Link
	id   uint32 // 0 before the request is sent
	held bool   // it holds a place among the link's streams

	// The request.
	block  []byte // its field block, composed and not sent
	piece  []byte
	tail   []byte // field block of its trailer
	end    bool   // nothing comes behind what is composed
	toHead bool
	tails  bool  // the client reads trailers
	ended  bool  // END_STREAM was composed
	from   int64 // of Link.queued, where its first frame begins
	framed int64 // bytes of its frames
	sent   int64 // payload bytes composed
	room   int64 // the upstream's window
	sender loop.Task
	stuck  bool // sender waits

	// The answer. One head is looked at, others may have come behind it.
	answer
	queue    []answer
	ready    bool // a head is there
	final    bool // the final head has come
	over     bool // the answer is whole
	tstore   []byte
	trailer  message.Head
	data     []byte // content that came and was not taken
	lent     []byte // content that was taken last
	got      int64  // payload bytes that came
	most     int64  // that are to come; -1 if nobody said
	came     int64  // bytes of its frames
	window   int64  // ours
	grown    int64  // what it was last set to
	consumed int64  // to be added to it
	interims int
	news     bool // something has come since the last Fill
	reader   loop.Task
	waits    bool // reader waits
	calm     bool // RST_STREAM(NO_ERROR) came behind the answer
	cause    *end // what ended the stream; nil while it lives, or if all is well
	body     int64
	receipts [4]receipt
	nreceipt int
}

type receipt struct {
	id fault.ID
	at int64
}

// answer is one head.
type answer struct {
	head    message.Head
	framing message.Framing
	store   []byte
	noted   h2.Error
}

// errOver is what Fill and Send return when the stream has ended; why, the fault
// tells.
var errOver = errors.New("the stream has ended")

// Begin begins an exchange on k, which has a place Free.
func (l *Line) Begin(k *Link) {
	store, block, tail, tstore, data, lent, queue := l.answer.store, l.block[:0], l.tail[:0], l.tstore, l.data[:0], l.lent[:0], l.queue[:0]
	fields, tfields := l.answer.head.Fields[:0], l.trailer.Fields[:0]
	*l = Line{link: k, block: block, tail: tail, tstore: tstore, data: data, lent: lent, queue: queue,
		room: k.initial, window: DefaultLinkWindow, grown: DefaultLinkWindow, body: k.o.Body}
	l.answer.store, l.answer.head.Fields, l.trailer.Fields = store, fields, tfields
	if k.begun == 0 {
		k.active = k.loop.Now()
	}
	k.begun++
	l.held = true
	if k.cause != nil {
		l.cause = k.cause
	}
}

// Compose writes the head of q.
func (l *Line) Compose(q *message.Request, o *message.Onward) {
	l.toHead = string(q.Head.Bytes(q.Head.Method)) == "HEAD"
	l.tails = q.Framing.Trailers
	l.block = appendRequest(l.block[:0], l.link.scheme, q, o)
}

// appendRequest writes the field block of a request. Hop-by-hop fields are gone,
// and what says the same as the framing is stated once and anew (RFC 9113 §8.2.2,
// §8.3.1).
func appendRequest(dst []byte, scheme string, q *message.Request, o *message.Onward) []byte {
	h := &q.Head
	authority := h.Bytes(h.Authority)
	if len(authority) == 0 {
		authority = o.Host
	}
	path := h.Bytes(h.Path)
	method := h.Bytes(h.Method)
	if len(path) == 0 || path[0] == '?' {
		if len(path) == 0 && string(method) == "OPTIONS" {
			path = []byte("*")
		} else {
			path = append([]byte("/"), path...)
		}
	}
	dst = h2.AppendControl(dst, method, scheme, authority, path)
	dst = h2.AppendFields(dst, h)
	switch {
	case o.Length >= 0 && q.Framing.Body != message.NoBody:
		dst = h2.AppendNumber(dst, message.ContentLength, o.Length)
	case q.Framing.Body == message.Sized:
		dst = h2.AppendNumber(dst, message.ContentLength, q.Framing.Length)
	}
	if o.Expect {
		dst = h2.AppendKnown(dst, message.Expect, []byte("100-continue"))
	}
	if q.Framing.Trailers {
		dst = h2.AppendKnown(dst, message.TE, []byte("trailers"))
	}
	if !o.NoXForwarded {
		if o.ForwardedHost != nil {
			authority = o.ForwardedHost
		}
		dst = h2.AppendKnown(dst, message.XForwardedHost, authority)
	}
	dst = h2.AppendLines(dst, o.Added)
	dst = h2.AppendLines(dst, o.Own)
	return appendVia(dst, h, o.Via)
}

// Add frames a piece of the request's body. It must stay as it is until it was
// sent.
func (l *Line) Add(piece []byte) { l.piece = piece }

// End frames the end of the request. trailer may be nil.
func (l *Line) End(trailer *message.Head) {
	l.end = true
	if trailer != nil && len(trailer.Fields) > 0 {
		l.tail = h2.AppendFields(l.tail[:0], trailer)
	}
}

// Send waits until all that is composed is on its way: the windows allow it, and
// not too much of others waits to be written.
func (l *Line) Send(until loop.Time) error {
	for {
		done, err := l.compose()
		if done || err != nil {
			return err
		}
		l.sender, l.stuck = l.link.loop.Self(), true
		l.link.blocked = append(l.link.blocked, l)
		err = l.link.loop.Park(until)
		if l.stuck {
			l.unwait()
		}
		if err != nil {
			return err
		}
	}
}

// compose puts as much as may be sent into the output of the connection.
func (l *Line) compose() (done bool, err error) {
	k := l.link
	switch {
	case l.cause == nil && k.cause != nil:
		l.cause = k.cause
		return false, errOver
	case l.cause == nil && k.away != nil && l.id == 0: // it came between the choice of this connection and now
		l.cause = &end{id: fault.H2GoawayAboveLast, facts: k.away.facts, saw: k.away.saw, undelivered: true}
		return false, errOver
	case l.cause != nil, l.calm && !l.ended:
		return false, errOver
	case k.broken != nil:
		return false, k.broken
	case l.ended:
		return true, nil
	}
	if l.id == 0 {
		l.open()
	}
	for len(l.piece) > 0 {
		n := min(int64(len(l.piece)), l.room, k.room, int64(k.most), int64(pending-len(k.out)))
		if n <= 0 {
			return false, nil
		}
		l.ended = l.end && len(l.tail) == 0 && n == int64(len(l.piece))
		l.put(h2.AppendData(k.out, l.id, l.piece[:n], l.ended))
		l.room -= n
		k.room -= n
		l.sent += n
		k.patience = min(indulgence, k.patience+2) // it may open the windows again
		l.piece = l.piece[n:]
	}
	l.piece = nil
	if l.end && !l.ended {
		l.ended = true
		if len(l.tail) > 0 {
			start := len(k.out)
			out := append(h2.BeginHeaders(k.out), l.tail...)
			l.put(h2.EndHeadersAt(out, start, l.id, true, k.most))
		} else {
			l.put(h2.AppendData(k.out, l.id, nil, true))
		}
	}
	if l.ended && l.over {
		l.leave()
	}
	return true, nil
}

// open sends the head, and gives the stream its number.
func (l *Line) open() {
	k := l.link
	l.id = k.next
	k.next += 2
	k.lines[l.id] = l
	l.from = k.queued
	start := len(k.out)
	out := h2.BeginHeaders(k.out)
	if k.resize {
		k.resize = false
		out = h2.AppendTableSize(out)
	}
	out = append(out, l.block...)
	l.ended = l.end && len(l.piece) == 0 && len(l.tail) == 0
	l.put(h2.EndHeadersAt(out, start, l.id, l.ended, k.most))
	l.room = k.initial
}

// put is Link.put for frames of this stream.
func (l *Line) put(out []byte) {
	l.framed = l.link.queued + int64(len(out)-len(l.link.out)) - l.from
	l.link.put(out)
}

// AskWhole sends a whole request and waits for the first of its answer.
func (l *Line) AskWhole(until loop.Time) (sent bool, err error) {
	if sent, err = l.compose(); !sent {
		return false, err
	}
	return true, l.Fill(until)
}

// Sent counts the bytes of the request's frames that were given to the kernel.
func (l *Line) Sent() int64 {
	if l.id == 0 {
		return 0
	}
	return max(0, min(l.framed, l.link.handed-l.from))
}

// Stuck says which window, if it is one, keeps the request from being sent.
func (l *Line) Stuck(f *fault.Fault) {
	k := l.link
	f.With("size", strconv.FormatInt(l.sent, 10)+" bytes").With("stream", strconv.Itoa(int(l.id)))
	switch {
	case l.id == 0 || len(l.piece) == 0:
		return
	case l.room <= 0:
		f.With("window", "the stream")
	case k.room <= 0:
		f.With("window", "the connection")
	default:
		return
	}
	if f.ID == fault.WriteTimeout {
		f.ID = fault.H2FlowStall
	}
}

func (l *Line) unblock() {
	if l.stuck {
		l.stuck = false
		l.sender.Wake()
	}
}

// unwait takes a sender that waits no longer off the list.
func (l *Line) unwait() {
	l.stuck = false
	list := l.link.blocked
	for i, b := range list {
		if b == l {
			l.link.blocked = append(list[:i], list[i+1:]...)
			return
		}
	}
}

// Fill waits until something has come that no Fill has told of.
func (l *Line) Fill(until loop.Time) error {
	for {
		switch {
		case l.news:
			l.news = false
			return nil
		case l.cause != nil:
			if e := l.cause.err; e != nil && e != loop.ErrTimeout && e != loop.ErrInterrupted {
				return e
			}
			return errOver
		}
		l.reader, l.waits = l.link.loop.Self(), true
		err := l.link.loop.Park(until)
		l.waits = false
		if err != nil {
			return err
		}
	}
}

// wake tells the reader that something has come.
func (l *Line) wake() {
	if l.waits {
		l.waits = false
		l.reader.Wake()
	}
}

// slot is where the next head goes.
func (l *Line) slot() *answer {
	if !l.ready {
		return &l.answer
	}
	if len(l.queue) < cap(l.queue) {
		l.queue = l.queue[:len(l.queue)+1]
	} else {
		l.queue = append(l.queue, answer{})
	}
	return &l.queue[len(l.queue)-1]
}

// fields takes in the field block that was decoded, with its flaw.
func (l *Line) fields(e h2.Error, trailer, ends bool) {
	x := &l.answer
	if n := len(l.queue); n > 0 {
		x = &l.queue[n-1]
	}
	switch {
	case !e.Ok():
		h := &x.head
		if trailer {
			h = &l.trailer
		}
		l.malformed(e, h, trailer)
	case trailer && !ends:
		l.fail(&end{id: fault.H2TrailersBad, facts: []string{"flaw", "they do not end the stream"}}, h2.ProtocolError)
	case !trailer && x.head.Status < 200 && ends:
		l.fail(&end{id: fault.H2EndStreamNoFinal, facts: []string{"count", strconv.Itoa(l.interims + len(l.queue) + 1)}}, h2.ProtocolError)
	default:
		if !trailer {
			l.ready = true
			l.final = x.head.Status >= 200
			switch x.framing.Body {
			case message.NoBody: // to a HEAD, a 204 or a 304 (RFC 9110 §6.4.1)
				l.most = 0
			case message.Sized:
				l.most = x.framing.Length
			default:
				l.most = -1
			}
		}
		l.news = true
		if ends {
			l.finish()
		}
		l.wake()
	}
}

// malformed ends the stream because of a flaw in one of its heads.
func (l *Line) malformed(e h2.Error, h *message.Head, trailer bool) {
	id := ofSection(e.Flaw)
	if trailer && id != fault.H2HeadersTooLarge {
		id = fault.H2TrailersBad
	}
	if e.Flaw == h2.LengthMismatch {
		l.fail(&end{id: id, facts: []string{"want", string(h.Value(message.ContentLength)), "received", "0"}, saw: excerpt(h.Raw, int(e.At))}, h2.ProtocolError)
		return
	}
	field, value := lineAt(h.Raw, int(e.At))
	l.fail(&end{id: id, facts: []string{"flaw", words[e.Flaw], "field", quote(field), "value", quote(value),
		"count", strconv.Itoa(len(h.Fields)), "offset", strconv.FormatInt(e.At, 10), "byte", quoteByte(h.Raw, int(e.At)),
		"limit", strconv.Itoa(limitOf(e.Flaw, l.link.dec.Limits()))}, saw: excerpt(h.Raw, int(e.At))}, h2.ProtocolError)
}

// content takes in a piece of the body.
func (l *Line) content(p []byte, ends bool) {
	l.got += int64(len(p))
	if l.most >= 0 && l.got > l.most {
		l.mismatch()
		return
	}
	l.data = l.link.append(l.data, p)
	l.news = true
	if ends {
		l.finish()
	}
	l.wake()
}

func (l *Line) mismatch() {
	l.fail(&end{id: fault.H2ContentLengthMismatch, facts: []string{"want", strconv.FormatInt(l.most, 10),
		"received", strconv.FormatInt(l.got, 10)}}, h2.ProtocolError)
}

// finish notes that the answer is whole.
func (l *Line) finish() {
	if l.most >= 0 && l.got < l.most {
		l.mismatch()
		return
	}
	if l.over = true; l.link.away != nil {
		l.note(fault.H2GoawayNoError, -1)
	}
	if l.ended {
		l.leave()
	}
}

// reset takes in RST_STREAM.
func (l *Line) reset(h h2.Header, b []byte, c h2.Code) {
	if l.over {
		// The answer is whole, whatever became of the request. "A server MAY request that the client abort transmission of a request
		// without error by sending a RST_STREAM with an error code of NO_ERROR after
		// sending a complete response". https://www.rfc-editor.org/rfc/rfc9113#section-8.1-4
		l.calm = true
		l.note(fault.H2RSTNoError, -1)
		l.leave()
		l.unblock()
		l.wake()
		return
	}
	e := &end{id: ofCode(c), facts: []string{"code", c.String(), "frame", describe(h)}, saw: excerpt(b, h2.HeaderLen),
		undelivered: c == h2.RefusedStream || c == h2.HTTP11Required}
	l.stop(e)
}

// fail ends the stream on our side.
func (l *Line) fail(e *end, c h2.Code) {
	if l.cause != nil {
		return
	}
	if l.id != 0 && l.link.lines[l.id] == l {
		l.link.put(h2.AppendReset(l.link.out, l.id, c))
	}
	l.stop(e)
}

// stop ends the stream, of which nothing more will come.
func (l *Line) stop(e *end) {
	if l.cause == nil {
		l.cause = e
	}
	l.leave()
	l.unblock()
	l.wake()
}

// leave gives the stream's place free.
func (l *Line) leave() {
	if !l.held {
		return
	}
	l.held = false
	k := l.link
	if l.id != 0 {
		delete(k.lines, l.id)
	}
	k.begun--
	k.retire()
	k.freed()
}

// Parting waits for what an upstream says, if it says anything, to a request that
// it has answered whole and that is not sent whole: that it wants no more of it.
func (l *Line) Parting(until loop.Time) {
	for l.over && l.held && !l.calm && l.cause == nil {
		l.reader, l.waits = l.link.loop.Self(), true
		err := l.link.loop.Park(until)
		l.waits = false
		if err != nil {
			return
		}
	}
}

// Release ends the exchange. A stream that is not over is called off.
func (l *Line) Release() {
	if l.link == nil {
		return
	}
	if l.held && l.id != 0 {
		if l.link.cause == nil {
			l.link.put(h2.AppendReset(l.link.out, l.id, h2.Cancel))
		}
	}
	l.leave()
	if cap(l.answer.store) > storeKept {
		l.answer.store = nil
	}
	if cap(l.tstore) > storeKept {
		l.tstore = nil
	}
	l.data, l.lent = l.link.spareOf(l.data), l.link.spareOf(l.lent)
	if cap(l.queue) > 2 {
		l.queue = nil
	}
	l.piece, l.cause, l.sender, l.reader = nil, nil, nil, nil
	l.link = nil
}

// ParseHead reports whether a head is there.
func (l *Line) ParseHead() (ok bool, f *fault.Fault) { return l.ready, nil }

// MoreTells reports whether a fault could be named better if more came: in HTTP/2
// none can.
func (l *Line) MoreTells(*fault.Fault) bool { return false }

// Next goes on to what came behind an interim head.
func (l *Line) Next() {
	l.interims++
	l.ready = false
	if len(l.queue) == 0 {
		return
	}
	// Swapped, so that each keeps its memory.
	l.answer, l.queue[0] = l.queue[0], l.answer
	first := l.queue[0]
	copy(l.queue, l.queue[1:])
	l.queue[len(l.queue)-1] = first
	l.queue = l.queue[:len(l.queue)-1]
	l.ready = true
}

// Frame judges the final head, and begins the body.
func (l *Line) Frame(bool) *fault.Fault {
	f := &l.answer.framing
	if f.Body == message.Sized && l.tails && (len(l.trailer.Fields) > 0 || !l.over && l.head.Find(message.Trailer) >= 0) {
		f.Body, f.Length = message.Streamed, 0 // HTTP/1.1 has trailers behind chunks only
	}
	if !l.noted.Ok() && !l.link.o.Repair && l.noted.Flaw != h2.LengthForbidden {
		return l.FaultAt(ofSection(l.noted.Flaw), l.noted.At)
	}
	if !l.noted.Ok() {
		l.note(ofSection(l.noted.Flaw), l.noted.At)
	}
	if f.Body == message.Streamed && l.over && len(l.trailer.Fields) == 0 {
		f.Body, f.Length = message.Sized, l.got // all of it is here: its length can be told
	}
	if l.body > 0 && f.Body == message.Sized && f.Length > l.body {
		return l.tooLarge(f.Length)
	}
	return nil
}

func (l *Line) tooLarge(size int64) *fault.Fault {
	return fault.New(fault.BodyTooLarge, "limit", strconv.FormatInt(l.body, 10), "size", strconv.FormatInt(size, 10),
		"received", strconv.FormatInt(l.got, 10))
}

// Message is the head that was read last.
func (l *Line) Message() (*message.Head, *message.Framing) { return &l.answer.head, &l.answer.framing }

// Interim counts the interim (1xx) heads.
func (l *Line) Interim() int { return l.interims }

// Receipt tells the i-th receipt: of what was repaired or borne.
func (l *Line) Receipt(i int) (id fault.ID, at int64, ok bool) {
	if i >= l.nreceipt {
		return "", 0, false
	}
	return l.receipts[i].id, l.receipts[i].at, true
}

func (l *Line) note(id fault.ID, at int64) {
	if l.nreceipt < len(l.receipts) {
		l.receipts[l.nreceipt] = receipt{id, at}
		l.nreceipt++
	}
}

// WholeBody returns a body whose end is known if all of it has come.
func (l *Line) WholeBody() (body []byte, ok bool) {
	if !l.over || l.tails && len(l.trailer.Fields) > 0 {
		return nil, false
	}
	return l.data, l.got == int64(len(l.data))
}

// TakeBody takes the n bytes of a body that WholeBody returned.
func (l *Line) TakeBody(n int) { l.lend() }

// Room reports whether the rest of the body may come while the head is held.
func (l *Line) Room() bool {
	return l.answer.framing.Length <= holdMost && l.got < holdMost
}

// Peek is what has come of the body and was not taken.
func (l *Line) Peek() []byte { return l.data }

// DropHead does nothing: the head does not lie in a buffer's way.
func (l *Line) DropHead() {}

// lend takes what has come, and opens our window for as much.
func (l *Line) lend() []byte {
	l.lent, l.data = l.data, l.lent[:0]
	l.consumed += int64(len(l.lent))
	if l.consumed >= l.grown/2 && !l.over && l.held {
		more := l.consumed
		if l.grown < MaxLinkWindow { // its client keeps up: more may be under way
			more += l.grown
			l.grown *= 2
		}
		l.link.put(h2.AppendWindowUpdate(l.link.out, l.id, int32(more)))
		l.window += more
		l.consumed = 0
	}
	return l.lent
}

// Piece returns the next piece of the body, nil when more must come. It is valid
// until the next call.
func (l *Line) Piece() (piece []byte, done bool, f *fault.Fault) {
	if l.body > 0 && l.got > l.body {
		return nil, false, l.tooLarge(l.got)
	}
	if len(l.data) > 0 {
		piece = l.lend()
	}
	return piece, l.over, nil
}

// Done reports whether the message is complete, and taken.
func (l *Line) Done() bool { return l.over && len(l.data) == 0 }

// Trailer returns the trailer fields, nil if there are none.
func (l *Line) Trailer() *message.Head {
	if len(l.trailer.Fields) == 0 {
		return nil
	}
	return &l.trailer
}

// Extra is nothing: what comes behind a message is another stream's.
func (l *Line) Extra() []byte { return nil }

// Unfinished reports whether an end cuts the message: in HTTP/2 each does.
func (l *Line) Unfinished(error) bool { return true }

// Came counts the bytes of the answer's frames.
func (l *Line) Came() int64 { return l.came }

// First is nothing: Raw can be had as long as the exchange lasts.
func (l *Line) First() []byte { return nil }

// Raw is evidence: the answer's head, decompressed.
func (l *Line) Raw() []byte { return l.answer.head.Raw }

// Idle does nothing: a line waits without a buffer.
func (l *Line) Idle() {}

// HeadEnded says what it means that the answer ended before its head was there.
func (l *Line) HeadEnded(err error, c *message.Circumstances) *fault.Fault {
	if err != loop.ErrTimeout {
		return l.why(err)
	}
	id := fault.HeadTimeoutFirstByte
	if c.Total {
		id = fault.TotalTimeout
	}
	return l.tell(fault.New(id, "limit", c.Limit))
}

// BodyEnded says what it means that the answer ended inside its body.
func (l *Line) BodyEnded(err error, c *message.Circumstances) *fault.Fault {
	if err != loop.ErrTimeout {
		f := l.why(err)
		f.At = fault.Body
		return f
	}
	id := fault.BodyReadTimeout
	if c.Total {
		id = fault.TotalTimeout
	}
	want := "the end of the stream"
	if f := &l.answer.framing; f.Body == message.Sized {
		want = strconv.FormatInt(f.Length, 10)
	}
	return l.tell(fault.New(id, "limit", c.Limit, "got", strconv.FormatInt(l.got, 10), "want", want))
}

// why makes the fault that ended the stream.
func (l *Line) why(err error) *fault.Fault {
	e := l.cause
	if e == nil { // the connection could not be written to, and has not ended yet
		e = &end{id: fault.H2ConnLost, facts: []string{"count", strconv.Itoa(len(l.link.lines)), "errno", errno(err)}, err: err}
	}
	f := e.fault()
	if e.undelivered || l.Sent() == 0 {
		f.With("delivered", "none")
	}
	return l.tell(f)
}

// tell adds what is known of the stream.
func (l *Line) tell(f *fault.Fault) *fault.Fault {
	for _, p := range [...]fault.Param{{Name: "stream", Value: strconv.Itoa(int(l.id))},
		{Name: "received", Value: strconv.FormatInt(l.got, 10)}, {Name: "status", Value: strconv.Itoa(l.answer.head.Status)},
		{Name: "count", Value: strconv.Itoa(l.interims)}} {
		if f.Get(p.Name) == "" {
			f.With(p.Name, p.Value)
		}
	}
	return f
}

// Fault makes a fault of the head that was read.
func (l *Line) Fault(id fault.ID) *fault.Fault { return l.FaultAt(id, -1) }

// FaultAt is Fault for one that a byte of the head proves.
func (l *Line) FaultAt(id fault.ID, off int64) *fault.Fault {
	f := fault.New(id, "status", strconv.Itoa(l.answer.head.Status), "count", strconv.Itoa(l.interims+1))
	f.Saw = excerpt(l.answer.head.Raw, int(off))
	if off >= 0 {
		field, value := lineAt(l.answer.head.Raw, int(off))
		f.With("offset", strconv.FormatInt(off, 10)).With("field", quote(field)).With("value", quote(value)).
			With("line", quote(append(append(append([]byte{}, field...), ": "...), value...)))
	}
	return l.tell(f)
}

// fault makes a fault of an end: each line needs one of its own.
func (e *end) fault() *fault.Fault {
	f := fault.New(e.id, e.facts...).Because(e.err)
	f.Saw = e.saw
	return f
}
