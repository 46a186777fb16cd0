package exchange

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire"
	"github.com/gatewhy/gatewhy/internal/wire/forwarded"
	"github.com/gatewhy/gatewhy/internal/wire/tracecontext"
)

// identify composes the fields that go on with this request and no other: what is
// said of its client besides Onward.Added, its id, its place in a trace. It comes after
// spokenFor.
func (x *Exchange) identify() {
	o, b := x.Opts, x.lines[:0]
	if o.Forwarded != ForwardedRFC7239 {
		b = append(x.appendPort(append(b, "X-Forwarded-Port: "...)), "\r\nX-Real-IP: "...)
		b = append(append(b, x.Trail.Client...), "\r\n"...)
	}
	if o.Forwarded != ForwardedX {
		b = x.appendForwarded(b)
	}
	if o.ClientCert {
		// "the TTRP MUST sanitize requests" (RFC 9440 §2.4)
		x.drop("client-cert")
		x.drop("client-cert-chain")
		if t := x.Trail.TLS; t != nil && t.Certificate != nil {
			// RFC 9440 §2.2: a byte sequence of structured fields.
			b = append(base64.StdEncoding.AppendEncode(append(b, "Client-Cert: :"...), t.Certificate), ":\r\n"...)
		}
	}
	if o.RequestID != "" {
		b = x.nameRequest(b)
	}
	if o.Trace {
		b = x.trace(b)
	}
	x.lines, x.Onward.Own = b, b
}

// appendPort appends the port that the client asked for: what a trusted proxy says, else
// that of the authority, else the scheme's own.
func (x *Exchange) appendPort(dst []byte) []byte {
	h := &x.Request.Head
	if x.conn.proxy {
		if v := h.Value(message.XForwardedPort); len(v) > 0 && len(v) <= 5 {
			if n, err := strconv.ParseUint(string(v), 10, 16); err == nil {
				return strconv.AppendUint(dst, n, 10)
			}
		}
	}
	authority := h.Bytes(h.Authority)
	if x.Onward.ForwardedHost != nil {
		authority = x.Onward.ForwardedHost
	}
	if i := bytes.LastIndexByte(authority, ':'); i >= 0 && i+1 < len(authority) && bytes.IndexByte(authority[i:], ']') < 0 {
		return append(dst, authority[i+1:]...)
	}
	if x.Secure() {
		return append(dst, "443"...)
	}
	return append(dst, "80"...)
}

// appendForwarded appends the Forwarded field: what trusted proxies said, and then our
// own element, which is about our peer.
func (x *Exchange) appendForwarded(dst []byte) []byte {
	h := &x.Request.Head
	dst = append(dst, "Forwarded: "...)
	if x.forwardedGood {
		for i := range h.Fields {
			if v := h.Bytes(h.Fields[i].Value); h.Fields[i].ID == message.Forwarded && len(v) > 0 {
				dst = append(append(dst, v...), ", "...)
			}
		}
	}
	authority := h.Bytes(h.Authority)
	if len(authority) == 0 {
		authority = x.conn.localAuthority()
	}
	dst = forwarded.AppendElement(dst, x.conn.remote().Addr(), authority, x.conn.scheme())
	return append(dst, "\r\n"...)
}

// drop leaves the request's fields of that name, in lower case, out of what goes on,
// and returns the value of the first and how many there are.
func (x *Exchange) drop(name string) (value []byte, n int) {
	h := &x.Request.Head
	for i := range h.Fields {
		f := &h.Fields[i]
		if int(f.Name.Len) != len(name) || !message.EqualFold(h.Bytes(f.Name), name) {
			continue
		}
		f.Flags |= message.Drop
		if n++; n == 1 {
			value = h.Bytes(f.Value)
		}
	}
	return value, n
}

// CheckRequestID tells what is wrong with the name of a field for ids.
func CheckRequestID(name string) error {
	if name == "" {
		return errors.New("a field has a name: write one such as X-Request-Id")
	}
	for i := range len(name) {
		if !wire.TokenChar[name[i]] {
			return fmt.Errorf("%q cannot stand in the name of a field: write one such as X-Request-Id", name[i])
		}
	}
	switch lower := strings.ToLower(name); lower {
	case "traceparent", "tracestate", "host", "via", "forwarded", "connection", "content-length", "transfer-encoding", "x-real-ip",
		"x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto":
		return fmt.Errorf("%s means something else: write a name such as X-Request-Id", name)
	}
	return nil
}

// longestID bounds an id that a proxy gave: longer ones are a mistake, and would fill
// the log.
const longestID = 128

// nameRequest gives the request its id: a trusted proxy's, else one of 128 random bits.
// Whoever does not know it cannot guess it, but it is no secret.
func (x *Exchange) nameRequest(dst []byte) []byte {
	o := x.Opts
	given, n := x.drop(x.server.requestID)
	dst = append(append(dst, o.RequestID...), ": "...)
	from := len(dst)
	if x.conn.proxy && n == 1 && isID(given) {
		dst = append(dst, given...)
	} else {
		dst = x.server.appendID(dst)
	}
	x.Trail.RequestID = append(x.idText[:0], dst[from:]...)
	return append(dst, "\r\n"...)
}

// appendID appends an id of ours.
func (s *Server) appendID(dst []byte) []byte {
	var id [16]byte
	s.random(id[:])
	return tracecontext.AppendHex(dst, id[:])
}

// nameRefused gives an id to a request that was refused before it got one: what its head
// says is not to be believed, if it has one.
func (x *Exchange) nameRefused() {
	if x.Opts.RequestID != "" && len(x.Trail.RequestID) == 0 {
		x.Trail.RequestID = x.server.appendID(x.idText[:0])
	}
}

// isID reports whether v is an id as people make them: letters, digits, and the
// punctuation of UUIDs, base64 and what brokers do with both.
func isID(v []byte) bool {
	if len(v) == 0 || len(v) > longestID {
		return false
	}
	for _, c := range v {
		if !wire.TokenChar[c] && c != '/' && c != '=' && c != ':' && c != '@' {
			return false
		}
	}
	return true
}

// random fills b, a multiple of eight bytes, from the loop's own generator.
func (s *Server) random(b []byte) {
	for ; len(b) > 0; b = b[8:] {
		binary.LittleEndian.PutUint64(b, s.ids.Uint64())
	}
}

// trace finds the request's place in a trace: a trusted proxy's goes on, for others a
// new one begins, of which a share is sampled. What a stranger sends of the kind does
// not go on: it could name any trace of ours as its own.
func (x *Exchange) trace(dst []byte) []byte {
	t := &x.Trail
	parent, n := x.drop("traceparent")
	var c tracecontext.Context
	ok := false
	if x.conn.proxy && n == 1 {
		c, ok = tracecontext.Parse(parent)
	}
	if ok {
		t.Parent = c.Parent
		// "If the vendor failed to parse tracestate, it MUST NOT ..." give up the trace
		// with it: the list alone is left out (§3.3, §4.3).
		if !x.stateGood() {
			x.drop("tracestate")
		}
	} else {
		x.drop("tracestate")
		x.server.random(c.Trace[:])
		c.Flags = 0
		// 53 bits are as good as a float gets.
		if float64(x.server.ids.Uint64()>>11)/(1<<53) < x.Opts.TraceSample {
			c.Flags = tracecontext.Sampled
		}
	}
	t.Trace, t.Sampled = c.Trace, c.Flags&tracecontext.Sampled != 0
	x.server.random(t.Span[:])
	c.Parent = t.Span
	dst = c.Append(append(dst, "Traceparent: "...))
	x.spanAt = len(dst) - len("0123456789abcdef-01")
	return append(dst, "\r\n"...)
}

// stateGood reports whether the request's tracestate fields are a list together.
func (x *Exchange) stateGood() bool {
	var values [4][]byte
	n, h := 0, &x.Request.Head
	for i := range h.Fields {
		f := &h.Fields[i]
		if int(f.Name.Len) != len("tracestate") || !message.EqualFold(h.Bytes(f.Name), "tracestate") {
			continue
		}
		if n == len(values) {
			return false
		}
		values[n] = h.Bytes(f.Value)
		n++
	}
	return tracecontext.CheckState(values[:n]...)
}

// NextSpan names an attempt's own span, which becomes the parent of what the endpoint
// does. It returns zeros where the request is in no trace.
func (x *Exchange) NextSpan() (s [8]byte) {
	if x.Trail.Trace == [16]byte{} {
		return s
	}
	x.server.random(s[:])
	tracecontext.AppendHex(x.lines[x.spanAt:x.spanAt], s[:])
	return s
}

// replyID is the line that tells the client the request's id; empty if it has none.
func (x *Exchange) replyID() []byte {
	if len(x.Trail.RequestID) == 0 {
		return nil
	}
	b := append(append(x.reply.id[:0], x.Opts.RequestID...), ": "...)
	x.reply.id = append(append(b, x.Trail.RequestID...), "\r\n"...)
	return x.reply.id
}

// dropReplyID leaves an id of the application's out of its answer.
func (x *Exchange) dropReplyID(h *message.Head) {
	name := x.server.requestID
	for i := range h.Fields {
		if f := &h.Fields[i]; int(f.Name.Len) == len(name) && message.EqualFold(h.Bytes(f.Name), name) {
			f.Flags |= message.Drop
		}
	}
}
