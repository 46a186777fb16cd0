package http2

import (
	"cmp"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
)

// look is until when the reader waits for input.
func (k *Link) look(now loop.Time) loop.Time {
	until := loop.Never
	switch {
	case k.broken != nil:
		return now.Add(int64(time.Second)) // for what came before the end
	case k.pinged != 0:
		until = k.pinged.Add(k.o.pong())
	case k.o.ping() > 0:
		until = now.Add(k.o.ping())
	}
	if !k.acked {
		until = min(until, max(now+1, k.opened.Add(k.o.pong())))
	}
	return until
}

// waited judges a silence of the upstream.
func (k *Link) waited(now loop.Time) {
	if k.begun == 0 {
		k.large = nil
	}
	switch {
	case k.broken != nil:
		k.lost(k.broken)
	case !k.acked && now >= k.opened.Add(k.o.pong()):
		if k.acked = true; k.begun > 0 {
			k.end(&end{id: fault.H2SettingsTimeout, facts: []string{"want", "the acknowledgement of our SETTINGS",
				"limit", time.Duration(k.o.pong()).String()}}, h2.SettingsTimeout)
		}
	case k.pinged != 0 && now >= k.pinged.Add(k.o.pong()):
		k.silent()
	case k.pinged == 0 && k.begun > 0 && k.o.ping() > 0 && now >= max(k.heard, k.active).Add(k.o.ping()):
		k.ping(now)
	}
}

// answered wakes those that asked whether the upstream lives.
func (k *Link) answered() {
	for _, t := range k.asking {
		t.Wake()
	}
	k.asking = k.asking[:0]
}

// lost ends a connection that the upstream or the way to it has ended.
func (k *Link) lost(err error) {
	e := k.away
	switch {
	case k.cause != nil:
		return
	case err == loop.ErrTimeout: // the kernel took nothing
		e = &end{id: fault.WriteTimeout, facts: []string{"limit", cmp.Or(k.o.Send, DefaultLinkSend).String(), "got", "0", "count", "0"}}
	case e == nil || e.id == fault.H2GoawayNoError:
		e = &end{id: fault.H2ConnLost, facts: []string{"count", strconv.Itoa(len(k.lines)), "errno", errno(err)}}
	}
	if err != io.EOF {
		e.err = err
	}
	for _, l := range k.lines {
		// All that was declared has come, and is with the client perhaps: it is whole,
		// though the frame that says so is lost (RFC 9110 §8.6).
		if l.final && !l.over && l.most >= 0 && l.got == l.most {
			l.over, l.news = true, true
			l.note(e.id, -1)
		}
	}
	k.stop(e)
}

// end ends the connection on our side, with GOAWAY.
func (k *Link) end(e *end, c h2.Code) {
	if k.cause != nil {
		return
	}
	k.stop(e)
	debug := ""
	if c != h2.NoError {
		debug = string(e.id)
	}
	k.put(h2.AppendGoAway(k.out, 0, c, debug)) // an upstream opens no streams
}

// stop tells all lines that the connection is over. What they composed and was
// not sent never will be.
func (k *Link) stop(e *end) {
	k.cause = e
	k.out = k.out[:0]
	defer k.freed()
	for _, l := range k.lines {
		l.stop(e)
	}
	k.unblock()
	k.answered()
	if k.reader.Interrupt(); k.rests {
		k.rests = false
		k.writer.Wake()
	} else {
		k.writer.Interrupt()
	}
}

// broke ends the connection because of a flaw in the frame that begins b.
func (k *Link) broke(h h2.Header, b []byte, e h2.Error) {
	id := ofFrame(e.Flaw)
	facts := []string{"frame", describe(h), "flaw", words[e.Flaw], "limit", strconv.Itoa(h2.DefaultFrameSize),
		"stream", strconv.Itoa(int(h.Stream)), "size", strconv.Itoa(int(h.Length))}
	k.refuse(&end{id: id, facts: facts, saw: excerpt(b, int(e.At))}, e.Code())
}

// wrong is broke for a rule of which no codec knows.
func (k *Link) wrong(id fault.ID, h h2.Header, b []byte, at int, flaw string, c h2.Code) {
	k.refuse(&end{id: id, facts: []string{"frame", describe(h), "flaw", flaw, "stream", strconv.Itoa(int(h.Stream)),
		"limit", strconv.Itoa(indulgence)}, saw: excerpt(b, at)}, c)
}

func (k *Link) refuse(e *end, c h2.Code) {
	if k.reader == nil { // the upstream's first frame: nobody else knows of the connection yet
		k.cause = e
		_, _ = k.stream.Send(h2.AppendGoAway(nil, 0, c, string(e.id)), nil, loop.Try)
		return
	}
	k.end(e, c)
}

// take takes in all whole frames that have come. It returns false when the
// connection is over.
func (k *Link) take() bool {
	for k.cause == nil {
		b := k.in.Bytes()
		if len(b) < h2.HeaderLen {
			return true
		}
		h := h2.ParseHeader(b)
		e := h.Check(h2.DefaultFrameSize)
		if !e.Ok() && !e.Stream {
			if end := k.stranger(b); end != nil && end.id == fault.H2GotHTTP1 {
				k.end(end, h2.ProtocolError) // an error page of a balancer, in the middle of it all
				return false
			}
			k.broke(h, b, e)
			return false
		}
		n := h2.HeaderLen + int(h.Length)
		if len(b) < n {
			return true
		}
		if e.Ok() {
			k.frame(h, b[:n])
		}
		k.in.Consume(n)
	}
	return false
}

// frame takes in one frame; b is all of it.
func (k *Link) frame(h h2.Header, b []byte) {
	p := b[h2.HeaderLen:]
	if k.holder != 0 && (h.Type != h2.Continuation || h.Stream != k.holder) {
		k.wrong(fault.H2ContinuationAbuse, h, b, 3, "it stands inside the field block of stream "+strconv.Itoa(int(k.holder)), h2.ProtocolError)
		return
	}
	useful := false
	switch h.Type {
	case h2.Data:
		useful = h.Length > 0 || h.Has(h2.EndStream)
		k.data(h, b)
	case h2.Headers:
		useful = k.lines[h.Stream] != nil
		fragment, e := h.Fragment(p)
		if !e.Ok() && !e.Stream {
			k.broke(h, b, e)
			return
		}
		k.ends = h.Has(h2.EndStream)
		if h.Has(h2.EndHeaders) {
			k.section(h, b, fragment)
			break
		}
		k.holder, k.pieces, k.block = h.Stream, 1, append(k.block[:0], fragment...)
	case h2.Continuation:
		k.continuation(h, b)
	case h2.RSTStream:
		useful = k.lines[h.Stream] != nil // an end is one, too
		k.reset(h, b)
	case h2.Settings:
		k.settings(h, b)
	case h2.Ping:
		if !h.Has(h2.Ack) {
			k.put(h2.AppendPing(k.out, [8]byte(p), true))
		}
	case h2.GoAway:
		k.goAway(h, b)
	case h2.WindowUpdate:
		useful = k.opens(h, b)
	case h2.PushPromise:
		k.wrong(fault.H2PushUnexpected, h, b, 3, "we have switched push off", h2.ProtocolError)
	}
	switch {
	case useful:
		k.patience = min(indulgence, k.patience+1)
	case k.cause == nil:
		if k.patience--; k.patience < 0 {
			k.wrong(fault.H2ControlFlood, h, b, 3, "", h2.EnhanceYourCalm)
			k.cause.facts[1] = typeName(h.Type)
		}
	}
}

func (k *Link) continuation(h h2.Header, b []byte) {
	if k.holder == 0 {
		k.wrong(fault.H2ContinuationAbuse, h, b, 3, "there is no field block that it could continue", h2.ProtocolError)
		return
	}
	k.pieces++
	k.block = append(k.block, b[h2.HeaderLen:]...)
	if most := k.dec.Limits().Head; len(k.block) > most {
		k.refuse(&end{id: fault.H2HeadersTooLarge, facts: []string{"stream", strconv.Itoa(int(h.Stream)),
			"limit", strconv.Itoa(most)}, saw: excerpt(b, 0)}, h2.EnhanceYourCalm)
		return
	}
	if k.pieces > blockFrames {
		k.wrong(fault.H2ContinuationAbuse, h, b, 3, "the field block has "+strconv.Itoa(k.pieces)+" frames and "+
			strconv.Itoa(len(k.block))+" bytes, and no end", h2.EnhanceYourCalm)
		return
	}
	if h.Has(h2.EndHeaders) {
		k.holder = 0
		k.section(h, b, k.block)
		if cap(k.block) > 4*h2.DefaultFrameSize {
			k.block = nil
		}
	}
}

// append is append for content. What is more than a line keeps comes from large
// buffers that the link keeps for all of them.
func (k *Link) append(dst, p []byte) []byte {
	n := len(dst) + len(p)
	if n <= cap(dst) || n <= bodyKept {
		return append(dst, p...)
	}
	var to []byte
	if i := len(k.large) - 1; i >= 0 && cap(k.large[i]) >= n {
		to, k.large = k.large[i], k.large[:i]
	} else {
		to = make([]byte, 0, max(largeLeast, 2*n))
	}
	to = append(append(to, dst...), p...)
	k.spareOf(dst)
	return to
}

// spareOf takes b back if it is large, and returns what its owner may keep of it.
func (k *Link) spareOf(b []byte) []byte {
	if cap(b) <= bodyKept {
		return b[:0]
	}
	if cap(b) >= largeLeast && cap(b) <= 2*largeLeast && len(k.large) < largeKept {
		k.large = append(k.large, b[:0])
	}
	return nil
}

// known returns the line of a stream. A stream that was never opened ends the
// connection; of one that is over there is none.
func (k *Link) known(h h2.Header, b []byte) (l *Line, ok bool) {
	if l = k.lines[h.Stream]; l != nil {
		return l, true
	}
	if h.Stream >= k.next || h.Stream&1 == 0 {
		k.wrong(fault.H2StreamIDInvalid, h, b, 5, "we have opened no such stream", h2.ProtocolError)
		return nil, false
	}
	return nil, true
}

func (k *Link) data(h h2.Header, b []byte) {
	n := int64(h.Length)
	if k.window -= n; k.window < 0 {
		k.wrong(fault.H2FlowViolation, h, b, 0, "the window of the connection is "+strconv.FormatInt(k.window+n, 10)+" bytes", h2.FlowControlError)
		return
	}
	if k.owed += n; k.owed >= connWindow/4 {
		k.put(h2.AppendWindowUpdate(k.out, 0, int32(k.owed)))
		k.window += k.owed
		k.owed = 0
	}
	l, ok := k.known(h, b)
	if !ok || l == nil {
		return
	}
	payload, e := h.Data(b[h2.HeaderLen:])
	switch {
	case !e.Ok():
		k.broke(h, b, e)
	case l.over:
		k.wrong(fault.H2StreamIDInvalid, h, b, 5, "that stream has ended", h2.StreamClosed)
	case n > l.window:
		k.wrong(fault.H2FlowViolation, h, b, 0, "the window of its stream is "+strconv.FormatInt(l.window, 10)+" bytes", h2.FlowControlError)
	case !l.final:
		l.fail(&end{id: fault.H2DataBeforeHeaders, facts: []string{"frame", describe(h), "flaw", "it comes before the answer's head"},
			saw: excerpt(b, 3)}, h2.ProtocolError)
	default:
		l.window -= n
		l.consumed += n - int64(len(payload)) // padding is nobody's
		l.came += int64(len(b))
		l.content(payload, h.Has(h2.EndStream))
	}
}

// section takes in the whole field block of a stream.
func (k *Link) section(h h2.Header, b, block []byte) {
	h.Type = h2.Headers
	l, ok := k.known(h, b)
	if !ok {
		return
	}
	k.acked = true // who answers has read what we sent
	var e h2.Error
	trailer := false
	switch {
	case l == nil || l.over:
		e = k.dec.Skip(block)
		if e.Ok() && l != nil {
			k.wrong(fault.H2StreamIDInvalid, h, b, 5, "that stream has ended", h2.StreamClosed)
			return
		}
	case l.final:
		trailer = true
		l.tstore, e = k.dec.Trailer(block, &l.trailer, l.tstore)
	case l.ready && len(l.queue) >= interimsKept:
		if e = k.dec.Skip(block); e.Ok() {
			l.fail(&end{id: fault.InterimFlood, facts: []string{"limit", strconv.Itoa(interimsKept)}}, h2.EnhanceYourCalm)
			return
		}
	default:
		x := l.slot()
		x.framing, x.store, e = k.dec.Answer(block, &x.head, x.store, l.toHead, k.ends)
		x.noted = k.dec.Noted()
	}
	if !e.Ok() && !e.Stream {
		k.refuse(&end{id: fault.H2HPACKError, facts: []string{"stream", strconv.Itoa(int(h.Stream)), "flaw", words[e.Flaw],
			"frame", describe(h), "size", strconv.Itoa(int(k.dec.TableSize()))}, saw: excerpt(block, int(e.At))}, h2.CompressionError)
		return
	}
	if l == nil {
		return
	}
	l.came += int64(len(block) + h2.HeaderLen)
	l.fields(e, trailer, k.ends)
}

func (k *Link) reset(h h2.Header, b []byte) {
	l, ok := k.known(h, b)
	if !ok || l == nil {
		return
	}
	l.reset(h, b, h2.ParseCode(b[h2.HeaderLen:]))
}

func (k *Link) settings(h h2.Header, b []byte) {
	if h.Has(h2.Ack) {
		k.acked = true
		return
	}
	p := b[h2.HeaderLen:]
	for i := range len(p) / 6 {
		s, e := h2.SettingAt(p, i)
		if e.Ok() && s.ID == h2.EnablePush && s.Value != 0 {
			e = h2.Error{Flaw: h2.SettingInvalid, At: int64(h2.HeaderLen + 6*i + 2)}
		}
		if !e.Ok() {
			k.broke(h, b, e)
			return
		}
		switch s.ID {
		case h2.HeaderTableSize:
			k.resize = k.resize || s.Value != h2.DefaultTable
		case h2.MaxConcurrentStreams:
			k.streams = s.Value
			k.freed()
		case h2.MaxFrameSizeID:
			k.most = s.Value
		case h2.InitialWindowSize:
			change := int64(s.Value) - k.initial
			k.initial = int64(s.Value)
			for _, l := range k.lines {
				if l.room += change; l.room > h2.MaxWindow {
					k.broke(h, b, h2.Error{Flaw: h2.WindowTooLarge, At: int64(h2.HeaderLen + 6*i + 2)})
					return
				}
			}
			k.unblock()
		}
	}
	k.put(h2.AppendSettingsAck(k.out))
}

func (k *Link) goAway(h h2.Header, b []byte) {
	last, code, debug := h2.ParseGoAway(b[h2.HeaderLen:])
	said := "nothing"
	if len(debug) > 0 {
		said = quote(debug)
	}
	facts := []string{"code", code.String(), "last", strconv.Itoa(int(last)), "debug", said, "frame", describe(h)}
	if k.away == nil || last < k.last {
		k.last = last
	}
	id := fault.H2GoawayNoError
	switch {
	case code == h2.InadequateSecurity:
		id = fault.H2InadequateSecurity
	case code != h2.NoError:
		id = fault.H2GoawayError
	}
	saw := excerpt(b, h2.HeaderLen+4)
	k.away = &end{id: id, facts: facts, saw: saw}
	above := &end{id: fault.H2GoawayAboveLast, facts: facts, saw: excerpt(b, h2.HeaderLen), undelivered: true}
	if id == fault.H2InadequateSecurity {
		above.id = id
	}
	for n, l := range k.lines {
		if n > k.last {
			l.stop(above)
		}
	}
	k.retire()
	k.freed()
}

// opens takes in WINDOW_UPDATE; useful says that somebody waited for it.
func (k *Link) opens(h h2.Header, b []byte) (useful bool) {
	n, e := h.ParseIncrement(b[h2.HeaderLen:])
	if h.Stream == 0 {
		if !e.Ok() {
			k.broke(h, b, e)
			return false
		}
		useful = k.room < h2.DefaultWindow
		if k.room += int64(n); k.room > h2.MaxWindow {
			k.wrong(fault.H2WindowUpdateBad, h, b, h2.HeaderLen, "the window would be over 2^31-1", h2.FlowControlError)
			return false
		}
		k.unblock()
		return useful
	}
	l, ok := k.known(h, b)
	if !ok || l == nil {
		return false
	}
	flaw, code := words[e.Flaw], h2.ProtocolError
	if e.Ok() {
		useful = l.room < k.initial
		if l.room += int64(n); l.room <= h2.MaxWindow {
			l.unblock()
			return useful
		}
		flaw, code = "the window would be over 2^31-1", h2.FlowControlError
	}
	l.fail(&end{id: fault.H2WindowUpdateBad, facts: []string{"frame", describe(h), "flaw", flaw}, saw: excerpt(b, h2.HeaderLen)}, code)
	return false
}

// unblock wakes all that wait to compose more.
func (k *Link) unblock() {
	list := k.blocked
	k.blocked = k.blocked[:0]
	for _, l := range list {
		l.unblock()
	}
}

func errno(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "end of stream"
	}
	return err.Error()
}
