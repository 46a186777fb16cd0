package http2

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"math"
	"strconv"
	"syscall"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
)

// The defaults of LinkOptions. Each says why.
const (
	// DefaultStreams is as many requests as most servers take at a time on one
	// connection (nginx 128, Go 250); more of them would only wait for each other.
	DefaultStreams = 128
	// DefaultLinkWindow is how much of one answer may come before its client has
	// taken any of it. It is doubled up to MaxLinkWindow while the client keeps up,
	// so that a distant upstream is not slowed down.
	DefaultLinkWindow = 128 << 10
	// MaxLinkWindow bounds what one answer can hold of our memory: 50 ms at 10 MB/s.
	MaxLinkWindow = 512 << 10
	// DefaultPing is how long an upstream that owes answers may be silent before it is
	// asked whether it lives: firewalls forget connections after minutes.
	DefaultPing = 30 * time.Second
	// DefaultPong outlives a lost packet and its repeats over a bad link.
	DefaultPong = 10 * time.Second
	// DefaultLinkSend bounds the wait for a kernel that takes nothing of what all
	// requests of a connection want to send.
	DefaultLinkSend = 30 * time.Second
)

const (
	// connWindow is the window of a whole connection. It is opened again as soon as
	// data comes: what is waiting for one slow client must not stop the others, and
	// each answer has a window of its own.
	connWindow = 16 << 20
	// pending is how much may wait to be sent before those who send bodies wait too.
	pending = 256 << 10
	// indulgence is how many frames that bring no answer nearer are borne in a row.
	indulgence = 1000
	// blockFrames bounds the frames that one field block comes in. Its bytes have the
	// limit of heads, which compression makes smaller.
	blockFrames = 64
	// bulk is how much is read at once of a connection that brings more than a usual
	// buffer holds.
	bulk = 128 << 10
	// largeLeast is the least size of the buffers that a link keeps for content that
	// waits, largeKept how many it keeps.
	largeLeast = 128 << 10
	largeKept  = 32
	// firstLine bounds what is read of a server that speaks no HTTP/2, to quote it.
	firstLine = 256
	// suspicious is how long a connection may have been silent before a request is
	// trusted to it without asking first: a middlebox may have forgotten it.
	suspicious = 15 * time.Second
)

// LinkOptions are the settings of the connections to an upstream, shared by all
// loops. A zero field means its default.
type LinkOptions struct {
	Limits h2.Limits // of one head
	Body   int64     // payload bytes of one answer; 0 means no limit
	// Repair mends what may be mended in an answer's head, with a receipt.
	Repair bool
	// Streams bounds the requests at a time on a connection, besides what the
	// upstream allows.
	Streams int
	Ping    time.Duration // silence before a PING; below 0 never
	Pong    time.Duration // wait for its answer, and for that to SETTINGS
	Send    time.Duration // wait for the kernel to take something
}

func (o *LinkOptions) ping() int64 { return int64(cmp.Or(o.Ping, DefaultPing)) }
func (o *LinkOptions) pong() int64 { return int64(cmp.Or(max(o.Pong, 0), DefaultPong)) }

// Link is a connection to an upstream that speaks HTTP/2: many requests share it,
// each with a [Line]. It belongs to the loop of its stream, and has two tasks: one
// reads for all of them, one writes what all of them composed since it last did.
type Link struct {
	o      *LinkOptions
	stream loop.Stream
	loop   loop.Loop
	in     loop.Buffer
	dec    h2.Decoder
	lines  map[uint32]*Line // streams that are open, by number
	next   uint32           // number of the next stream
	begun  int              // lines that hold a place, with or without a number
	scheme string

	// Output: what is composed and not given to the kernel.
	out, spare []byte
	queued     int64 // bytes ever put into out
	handed     int64 // of these, bytes that the kernel has or is being given
	writer     loop.Task
	reader     loop.Task
	rests      bool    // the writer waits for something to write
	blocked    []*Line // that wait for a window, or for room in out
	broken     error   // what a write met

	// What the peer allows.
	room    int64 // its window of the connection
	initial int64 // its window of a new stream
	most    uint32
	streams uint32
	resize  bool // its table is not the usual one: the next block must say that we use none

	// Input.
	window   int64 // ours of the connection
	owed     int64 // to be added to it
	block    []byte
	holder   uint32 // the stream whose field block is under way
	ends     bool   // and ends with it
	pieces   int
	patience int
	large    [][]byte  // buffers for content, empty
	heard    loop.Time // when something last came
	active   loop.Time // when the first of the present requests began
	pinged   loop.Time // when an unanswered PING was sent; 0 if none is
	pings    uint64
	asking   []loop.Task // that wait for a PING's answer
	acked    bool        // our SETTINGS were acknowledged
	opened   loop.Time

	away    *end // GOAWAY came: no new requests
	last    uint32
	freed   func() // called when more requests may begin, or never again will
	closing bool   // we want no new requests
	cause   *end   // what ended the connection; nil while it lives
}

// end says why a connection or a stream ended.
type end struct {
	id    fault.ID
	facts []string // pairs of name and value
	saw   *fault.Excerpt
	err   error
	// undelivered: the upstream has not begun the request, by the rules of the protocol.
	undelivered bool
}

// Open begins HTTP/2 on s, and waits until the upstream has sent its SETTINGS. No
// request is sent before, so that whatever goes wrong here costs none of them.
// scheme is "http" or "https". freed is called whenever more requests may begin, or
// never again will. On a fault s stays open.
func Open(s loop.Stream, scheme string, o *LinkOptions, until loop.Time, freed func()) (*Link, *fault.Fault) {
	l := s.Loop()
	k := &Link{o: o, freed: freed, stream: s, loop: l, scheme: scheme, lines: map[uint32]*Line{}, next: 1, patience: indulgence,
		room: h2.DefaultWindow, initial: h2.DefaultWindow, most: h2.DefaultFrameSize, streams: math.MaxUint32,
		window: connWindow}
	k.dec.Init(h2.DefaultTable, &o.Limits, &h2.DefaultAnswer)
	k.out = append(k.out, h2.Preface...)
	k.out = h2.AppendSettings(k.out, h2.Setting{ID: h2.EnablePush, Value: 0},
		h2.Setting{ID: h2.InitialWindowSize, Value: DefaultLinkWindow},
		h2.Setting{ID: h2.MaxHeaderListSize, Value: uint32(k.dec.Limits().Head)})
	k.out = h2.AppendWindowUpdate(k.out, 0, connWindow-h2.DefaultWindow)
	n, err := s.Send(k.out, nil, until)
	k.queued, k.handed = int64(len(k.out)), int64(n)
	k.out = k.out[:0]
	if err == nil {
		err = k.greet(until)
	}
	if err != nil && k.cause == nil {
		k.cause = k.unopened(err, until)
	}
	if k.cause != nil {
		k.in.Release()
		f := k.cause.fault()
		if k.cause.id != fault.ClientGone {
			f.With("delivered", "none")
		}
		return nil, f
	}
	k.opened, k.heard = l.Now(), l.Now()
	k.writer = l.Go(k.write)
	k.reader = l.Go(k.read)
	return k, nil
}

// greet waits for the upstream's SETTINGS and takes them in.
func (k *Link) greet(until loop.Time) error {
	for {
		b := k.in.Bytes()
		if end := k.stranger(b); end != nil {
			// What it says of itself explains more than that it is not HTTP/2.
			for !bytes.Contains(k.in.Bytes(), []byte("\n")) && k.in.Len() < firstLine {
				if k.stream.Fill(&k.in, min(until, k.loop.Now().Add(int64(time.Second)))) != nil {
					break
				}
			}
			k.cause = k.stranger(k.in.Bytes())
			return nil
		}
		if len(b) >= h2.HeaderLen {
			h := h2.ParseHeader(b)
			if e := h.Check(h2.DefaultFrameSize); !e.Ok() {
				k.broke(h, b, e)
				return nil
			}
			if n := h2.HeaderLen + int(h.Length); len(b) >= n {
				k.settings(h, b[:n])
				k.in.Consume(n)
				return nil
			}
		}
		if err := k.stream.Fill(&k.in, until); err != nil {
			return err
		}
	}
}

// stranger says what b, the first that an upstream sends, is if it is not the
// beginning of SETTINGS; nil if it is, or may become it.
func (k *Link) stranger(b []byte) *end {
	const http = "HTTP/"
	if n := min(len(b), len(http)); n > 2 && string(b[:n]) == http[:n] {
		line, _, _ := bytes.Cut(b, []byte("\n"))
		q := quote(bytes.TrimRight(line, "\r"))
		return &end{id: fault.H2GotHTTP1, facts: []string{"line", q, "got", q}, saw: excerpt(b, 0)}
	}
	if len(b) < h2.HeaderLen {
		return nil
	}
	h := h2.ParseHeader(b)
	if h.Type == h2.Settings && !h.Has(h2.Ack) && h.Length <= h2.DefaultFrameSize {
		return nil
	}
	return &end{id: fault.H2PrefaceBad, facts: []string{"got", quote(b[:min(len(b), 24)]), "frame", describe(h)}, saw: excerpt(b, 3)}
}

// unopened says why no SETTINGS came.
func (k *Link) unopened(err error, until loop.Time) *end {
	var e *end
	b := k.in.Bytes()
	switch {
	case err == loop.ErrInterrupted:
		return &end{id: fault.ClientGone, err: err}
	case err == loop.ErrTimeout:
		return &end{id: fault.H2SettingsTimeout, facts: []string{"want", "the upstream's SETTINGS"}, err: err}
	case len(b) > 0:
		e = &end{id: fault.H2PrefaceBad, facts: []string{"got", quote(b)}, saw: excerpt(b, 0)}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e = &end{id: fault.AcceptThenFIN}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		e = &end{id: fault.AcceptThenRST}
	default:
		e = &end{id: fault.H2ConnLost, facts: []string{"count", "0", "received", "0"}}
	}
	e.err = err
	e.facts = append(e.facts, "errno", errno(err))
	return e
}

// Free is how many more requests may begin now; 0 also if there will be none.
func (k *Link) Free() int {
	if !k.Open() {
		return 0
	}
	return max(0, int(min(int64(k.streams), int64(cmp.Or(k.o.Streams, DefaultStreams))))-k.begun)
}

// Open reports whether more requests may begin, now or later.
func (k *Link) Open() bool {
	return k.cause == nil && k.away == nil && !k.closing && k.broken == nil && k.next < h2.MaxStream
}

// Busy is how many requests are under way.
func (k *Link) Busy() int { return k.begun }

// Allowed is how many requests at a time the upstream takes.
func (k *Link) Allowed() uint32 { return k.streams }

// Close lets the requests under way end, and with the last of them the
// connection. New ones do not begin.
func (k *Link) Close() {
	k.closing = true
	k.retire()
}

// retire ends a connection that has no more work, and none to come.
func (k *Link) retire() {
	if k.begun == 0 && k.cause == nil && (k.closing || k.away != nil || k.next >= h2.MaxStream) {
		k.end(&end{id: fault.H2ConnLost}, h2.NoError)
	}
}

// Alive makes sure that a connection which has been silent for long still leads
// somewhere, before a request is trusted to it. It waits; false means to take
// another one.
func (k *Link) Alive(until loop.Time) bool {
	now := k.loop.Now()
	if now-k.heard < loop.Time(suspicious) {
		return k.Open()
	}
	asked := now
	k.ping(now)
	until = min(until, now.Add(k.o.pong()))
	for k.Open() && k.heard < asked {
		k.asking = append(k.asking, k.loop.Self())
		if err := k.loop.Park(until); err != nil {
			k.unask(k.loop.Self())
			if err == loop.ErrTimeout && k.loop.Now() >= asked.Add(k.o.pong()) && k.heard < asked {
				k.silent()
			}
			return false
		}
	}
	return k.Open()
}

// Ended reports whether the upstream has ended the connection, read or not: then no
// request begins on it any more. It asks the kernel, for a request that must not meet
// an end of which it could have known.
func (k *Link) Ended() bool {
	d, ok := k.stream.Delivery()
	if ok && d.Ended {
		k.closing = true
	}
	return k.closing
}

func (k *Link) unask(t loop.Task) {
	for i, a := range k.asking {
		if a == t {
			k.asking = append(k.asking[:i], k.asking[i+1:]...)
			return
		}
	}
}

// ping asks whether the upstream lives, unless it is being asked.
func (k *Link) ping(now loop.Time) {
	if k.pinged != 0 {
		return
	}
	k.pinged = now
	k.pings++
	var data [8]byte
	for i := range data {
		data[i] = byte(k.pings >> (8 * i))
	}
	k.put(h2.AppendPing(k.out, data, false))
}

// silent ends a connection whose other end is gone.
func (k *Link) silent() {
	k.end(&end{id: fault.H2PingTimeout, facts: []string{"limit", time.Duration(k.o.pong()).String(),
		"count", strconv.Itoa(len(k.lines))}}, h2.NoError)
}

// put makes out the output, to which something was appended.
func (k *Link) put(out []byte) {
	k.queued += int64(len(out) - len(k.out))
	k.out = out
	if k.rests {
		k.rests = false
		k.writer.Wake()
	}
}

// write is the task that sends: all that was composed since the last time leaves
// in one call.
func (k *Link) write() {
	for {
		if len(k.out) == 0 || k.broken != nil {
			if k.cause != nil {
				break
			}
			k.rests = true
			k.loop.Park(loop.Never)
			k.rests = false
			continue
		}
		whole := k.out
		k.out, k.spare = k.spare[:0], nil
		k.handed += int64(len(whole))
		if err := k.send(whole); err != nil && k.cause == nil {
			// What the upstream said before may be whole answers: the reader judges.
			k.broken = err
			k.out = k.out[:0]
			k.unblock()
			k.reader.Interrupt()
		} else if err != nil {
			break // in the middle of a frame: there is no last word
		}
		k.spare = whole[:0]
		if cap(k.spare) > 2*pending {
			k.spare = nil
		}
		k.unblock()
	}
	k.stream.Close()
}

func (k *Link) send(b []byte) error {
	limit := k.o.Send
	if k.cause != nil { // a last word, if it is taken at once
		limit = time.Millisecond
	}
	for len(b) > 0 {
		n, err := k.stream.Send(b, nil, k.loop.Now().Add(int64(cmp.Or(limit, DefaultLinkSend))))
		b = b[n:]
		if err == loop.ErrInterrupted && k.cause != nil {
			return err
		}
		if err != nil && err != loop.ErrInterrupted && !(err == loop.ErrTimeout && n > 0) {
			return err
		}
	}
	return nil
}

// read is the task that reads for all lines.
func (k *Link) read() {
	big := false // the input has a large buffer
	for k.cause == nil {
		if !k.take() {
			break
		}
		if k.begun == 0 || !big {
			k.in.ReleaseEmpty()
			big = false
		}
		now := k.loop.Now()
		err := k.stream.Fill(&k.in, k.look(now))
		now = k.loop.Now()
		switch {
		case err == nil:
			if !big && k.in.Room() == 0 {
				big = true
				k.in.Grow(bulk)
			}
			k.heard = now
			k.pinged = 0
			k.answered()
		case err == loop.ErrTimeout:
			k.waited(now)
		case err == loop.ErrInterrupted:
		default:
			k.lost(err)
		}
	}
	k.in.Release()
}
