package lab

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2End is one side of an HTTP/2 connection: what the lab's origin and its
// client have in common. It reads by the rules and writes whatever it is told.
//
// All of it is one goroutine's: verbs that wait read frames and see to SETTINGS,
// PING and flow control on the way.
type h2End struct {
	fr      *http2.Framer
	encoder *hpack.Encoder
	block   bytes.Buffer // what encoder wrote

	streams map[uint32]*h2Stream
	window  int64 // what may be sent on the connection
	initial int64 // what may be sent on a new stream
	frame   int64 // the peer's SETTINGS_MAX_FRAME_SIZE
	settled bool  // the peer's SETTINGS have come
	acked   bool  // the peer has acknowledged ours
	goaway  *http2.GoAwayFrame
	err     error // what ended the reading

	// client: this side asks. stingy gives no window back for what came; mute
	// answers neither PING nor SETTINGS.
	client, stingy, mute bool
}

// h2Stream is one exchange.
type h2Stream struct {
	id     uint32
	fields []hpack.HeaderField // of the last header block
	heads  []h2Head            // all header blocks
	n      int64               // bytes of DATA that have come
	sum    hash.Hash
	body   []byte // the first of them
	ended  bool   // END_STREAM has come
	reset  bool   // RST_STREAM has come
	code   http2.ErrCode
	window int64 // what may be sent
	taken  bool  // a script has it
	done   bool  // it was executed
}

// h2Head is one header block.
type h2Head struct {
	fields []hpack.HeaderField
	behind int64 // bytes of DATA before it
	last   bool  // it ends the stream
}

func (e *h2End) init(r io.Reader, w io.Writer) {
	e.fr = http2.NewFramer(w, r)
	e.fr.AllowIllegalWrites = true
	e.fr.SetMaxReadFrameSize(1 << 20)
	e.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	e.encoder = hpack.NewEncoder(&e.block)
	e.streams = map[uint32]*h2Stream{}
	e.window, e.initial, e.frame = 65535, 65535, 16384
}

// read reads one frame and does what the rules ask for. It is false when the peer
// has gone, or breaks a rule.
func (e *h2End) read() bool {
	if e.err != nil {
		return false
	}
	f, err := e.fr.ReadFrame()
	if err != nil {
		e.err = err
		return false
	}
	s := e.streams[f.Header().StreamID]
	switch f := f.(type) {
	case *http2.SettingsFrame:
		e.settings(f)
	case *http2.PingFrame:
		if !f.IsAck() && !e.mute {
			e.fr.WritePing(true, f.Data)
		}
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			e.window += int64(f.Increment)
		} else if s != nil {
			s.window += int64(f.Increment)
		}
	case *http2.MetaHeadersFrame:
		if s == nil {
			s = e.open(f.StreamID)
		}
		s.fields, s.ended = append([]hpack.HeaderField(nil), f.Fields...), f.StreamEnded()
		s.heads = append(s.heads, h2Head{s.fields, s.n, s.ended})
	case *http2.DataFrame:
		if s == nil {
			break
		}
		s.n += int64(len(f.Data()))
		s.sum.Write(f.Data())
		s.body = append(s.body, f.Data()[:min(len(f.Data()), h2Kept-len(s.body))]...)
		s.ended = f.StreamEnded()
		if n := f.Length; n > 0 && !e.stingy {
			e.fr.WriteWindowUpdate(0, n)
			if !s.ended {
				e.fr.WriteWindowUpdate(s.id, n)
			}
		}
	case *http2.RSTStreamFrame:
		if s != nil {
			s.reset, s.code = true, f.ErrCode
		}
	case *http2.GoAwayFrame:
		g := *f // the Framer uses it again
		e.goaway = &g
	}
	return true
}

// h2Kept bounds what is remembered of a body.
const h2Kept = 1 << 20

func (e *h2End) open(id uint32) *h2Stream {
	s := &h2Stream{id: id, window: e.initial, sum: sha256.New()}
	e.streams[id] = s
	return s
}

func (e *h2End) settings(f *http2.SettingsFrame) {
	if f.IsAck() {
		e.acked = true
		return
	}
	if v, ok := f.Value(http2.SettingInitialWindowSize); ok {
		for _, s := range e.streams {
			s.window += int64(v) - e.initial
		}
		e.initial = int64(v)
	}
	if v, ok := f.Value(http2.SettingMaxFrameSize); ok {
		e.frame = int64(v)
	}
	if v, ok := f.Value(http2.SettingHeaderTableSize); ok {
		e.encoder.SetMaxDynamicTableSizeLimit(v)
	}
	e.settled = true
	if !e.mute {
		e.fr.WriteSettingsAck()
	}
}

// await reads until done says that it is enough.
func (e *h2End) await(done func() bool) bool {
	for !done() {
		if !e.read() {
			return false
		}
	}
	return true
}

// encode compresses a field section: pairs of name and value.
func (e *h2End) encode(pairs ...string) []byte {
	e.block.Reset()
	for i := 0; i+1 < len(pairs); i += 2 {
		e.encoder.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return bytes.Clone(e.block.Bytes())
}

// headers sends a field section, in as many frames as it takes.
func (e *h2End) headers(id uint32, end bool, pairs ...string) bool {
	return e.headerBlock(id, end, e.encode(pairs...))
}

func (e *h2End) headerBlock(id uint32, end bool, block []byte) bool {
	const most = 16384
	first := block[:min(len(block), most)]
	block = block[len(first):]
	err := e.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: end, EndHeaders: len(block) == 0})
	for len(block) > 0 && err == nil {
		piece := block[:min(len(block), most)]
		block = block[len(piece):]
		err = e.fr.WriteContinuation(id, len(block) == 0, piece)
	}
	return err == nil
}

// data sends a body, as the windows allow; end ends the stream with it.
func (e *h2End) data(s *h2Stream, end bool, body []byte) bool {
	for {
		over := func() bool { return s.reset || e.client && s.ended }
		if !e.await(func() bool { return over() || len(body) == 0 || s.window > 0 && e.window > 0 }) || over() {
			return false
		}
		n := min(int64(len(body)), s.window, e.window, e.frame)
		piece := body[:max(n, 0)]
		body = body[len(piece):]
		s.window -= n
		e.window -= n
		if len(piece) == 0 && !end {
			return true
		}
		if e.fr.WriteData(s.id, end && len(body) == 0, piece) != nil {
			return false
		}
		if len(body) == 0 {
			return true
		}
	}
}

// much sends n bytes of 'x'.
func (e *h2End) much(s *h2Stream, n int64) bool {
	piece := bytes.Repeat([]byte{'x'}, 1<<16)
	for ; n > 0; n -= int64(len(piece)) {
		piece = piece[:min(int64(len(piece)), n)]
		if !e.data(s, false, piece) {
			return false
		}
	}
	return true
}

// value returns the value of a field of the last header block.
func (s *h2Stream) value(name string) string {
	for _, f := range s.fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// h2 is one HTTP/2 connection of an upstream, for scripts.
type h2 struct {
	h2End
	c *Conn
}

// overH2 makes a script for HTTP/2 a recipe's: f begins when the client's preface
// has come, before anything was sent.
func overH2(f func(*h2)) func(*Conn) {
	return func(c *Conn) {
		h := &h2{c: c}
		h.init(c.in, c.conn)
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c.in, preface); err != nil || string(preface) != http2.ClientPreface {
			return
		}
		f(h)
	}
}

// greet sends SETTINGS, which must be the first frame, and reads those of the
// client.
func (h *h2) greet(settings ...http2.Setting) bool {
	return h.fr.WriteSettings(settings...) == nil && h.await(func() bool { return h.settled })
}

// head waits for the head of a request that no script has yet.
func (h *h2) head() *h2Stream { return h.next(func(s *h2Stream) bool { return true }) }

// request waits for a whole request. It is not executed yet.
func (h *h2) request() *h2Stream { return h.next(func(s *h2Stream) bool { return s.ended }) }

// execute notes that s was executed, whatever becomes of its answer.
func (h *h2) execute(s *h2Stream) {
	if !s.done {
		s.done = true
		h.c.origin.executed(s.value("x-request-seq"))
	}
}

func (h *h2) next(fit func(*h2Stream) bool) (found *h2Stream) {
	if h.err != nil {
		return nil
	}
	ok := h.await(func() bool {
		for _, s := range h.streams {
			if len(s.heads) > 0 && !s.taken && !s.reset && fit(s) && (found == nil || s.id < found.id) {
				found = s
			}
		}
		return found != nil
	})
	if !ok {
		return nil
	}
	found.taken = true
	h.c.origin.hits.Add(1)
	return found
}

// requests waits for n whole requests, and returns the last.
func (h *h2) requests(n int) (all []*h2Stream) {
	for range n {
		s := h.request()
		if s == nil {
			return nil
		}
		all = append(all, s)
	}
	return all
}

// last is the highest stream that was executed: what GOAWAY must say at least.
func (h *h2) last() (last uint32) {
	for id, s := range h.streams {
		if s.done {
			last = max(last, id)
		}
	}
	return last
}

// depart says GOAWAY as a server should: it answers s and all requests up to the
// last one that it has executed, none above it, and closes.
func (h *h2) depart(s *h2Stream) {
	last := h.last()
	h.fr.WriteGoAway(last, http2.ErrCodeNo, nil)
	if s != nil {
		h.answer(s)
	}
	h.await(func() bool {
		over := true
		for id, s := range h.streams {
			switch {
			case id > last || s.done || s.reset:
			case s.ended:
				h.answer(s)
			default:
				over = false
			}
		}
		return over
	})
	h.end(FIN)
}

// answer sends a good answer to s, as Conn.Good does.
func (h *h2) answer(s *h2Stream) bool {
	h.execute(s)
	fields := []string{":status", "200", "content-type", "text/plain", "content-length", "5"}
	if s.n > 0 {
		fields = append(fields, "x-body-length", strconv.FormatInt(s.n, 10), "x-body-sha256", hex.EncodeToString(s.sum.Sum(nil)))
	}
	if seq := s.value("x-request-seq"); seq != "" {
		fields = append(fields, "x-executed", strconv.Itoa(h.c.origin.Executed(seq)))
	}
	if s.value(":method") == "HEAD" {
		return h.headers(s.id, true, fields...)
	}
	if isGRPC(s) {
		return h.headers(s.id, false, ":status", "200", "content-type", "application/grpc") &&
			h.data(s, false, grpcMessage(0, hello)) && h.headers(s.id, true, "grpc-status", "0")
	}
	return h.headers(s.id, false, fields...) && h.data(s, true, []byte(hello))
}

// isGRPC reports whether the request is a call of gRPC.
func isGRPC(s *h2Stream) bool { return strings.HasPrefix(s.value("content-type"), "application/grpc") }

// grpcMessage is a message with its prefix.
func grpcMessage(flag byte, text string) []byte {
	n := len(text)
	return append([]byte{flag, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, text...)
}

// good reads one request and answers it well.
func (h *h2) good() bool {
	s := h.request()
	return s != nil && h.answer(s)
}

// goodAll answers requests well until the peer is gone. A request that waits for
// consent gets it.
func (h *h2) goodAll() {
	for h.await(h.due) {
		for _, s := range h.streams {
			if len(s.heads) > 0 && !s.taken && !s.ended && s.value("expect") != "" {
				s.fields = nil
				h.headers(s.id, false, ":status", "100")
			}
		}
		if h.whole() && !h.good() {
			break
		}
	}
	h.c.FIN()
}

// due reports whether goodAll has something to do.
func (h *h2) due() bool {
	for _, s := range h.streams {
		if len(s.heads) > 0 && !s.taken && !s.reset && (s.ended || s.value("expect") != "") {
			return true
		}
	}
	return false
}

func (h *h2) whole() bool {
	for _, s := range h.streams {
		if s.ended && !s.taken && !s.reset {
			return true
		}
	}
	return false
}

// serve goes on by the rules, and answers nothing, until the peer is gone.
func (h *h2) serve() {
	h.await(func() bool { return false })
	h.c.FIN()
}

// serveFor is serve for a while.
func (h *h2) serveFor(d time.Duration) {
	h.c.raw.SetReadDeadline(time.Now().Add(d))
	h.await(func() bool { return false })
	h.c.raw.SetReadDeadline(time.Time{})
	h.err = nil
}

// rst resets the stream.
func (h *h2) rst(s *h2Stream, code http2.ErrCode) { h.fr.WriteRSTStream(s.id, code) }

// end ends the connection once what was written is at the peer. Requests that came
// and were not taken are nobody's then.
func (h *h2) end(e End) {
	if e == Hang {
		h.serve()
		return
	}
	h.c.End(e)
	h.err = net.ErrClosed
}

// raw writes bytes that are no frames of the Framer's making.
func (h *h2) raw(b string) bool { return h.c.Write(b) }

// frame is a frame as it stands on the wire.
func frame(kind http2.FrameType, flags http2.Flags, stream uint32, payload string) string {
	n := len(payload)
	return string([]byte{byte(n >> 16), byte(n >> 8), byte(n), byte(kind), byte(flags),
		byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)}) + payload
}
