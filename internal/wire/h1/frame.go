package h1

import (
	"bytes"

	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire"
)

// frame is what a walk over the fields gathers. Indices count from 1; 0 is none.
type frame struct {
	p *Parser
	h *message.Head
	message.Framing
	host, length, coding, trailer, upgrade int

	nested   bool  // Upgrade asks for what would hide requests from us
	declared int64 // by Content-Length
	chunked  bool
	conn     options
}

// FrameRequest says what the fields of a parsed request mean for its body and
// its connection (RFC 9112 §6.3, §9.3). p must be the Parser that read h, since
// it knows what may be repaired.
//
// It sets h.Authority (from the target where that has one, else from Host; empty
// for HTTP/1.0 without Host), and marks with message.Drop what must not be
// forwarded as it stands: hop-by-hop fields, and those that the caller writes
// anew: Host, Content-Length, Transfer-Encoding, Connection, Upgrade, Expect,
// and what only a trusted proxy may say of the client (X-Forwarded-*, X-Real-IP,
// Forwarded). An Upgrade to HTTP/2, another HTTP or TLS is ignored. The same names with "_" for "-" go too: to a CGI program they are
// the same.
//
// Whatever two parsers could frame differently is an error.
func FrameRequest(p *Parser, h *message.Head) (message.Framing, Error) {
	s := frame{p: p, h: h}
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID == message.Other {
			if wire.Disguised(h.Bytes(f.Name)) {
				f.Flags |= message.Drop
			}
			continue
		}
		if err := s.requestField(i, f); !err.Ok() {
			return s.Framing, err
		}
	}
	if err := s.connection(); !err.Ok() {
		return s.Framing, err
	}
	if err := s.authority(); !err.Ok() {
		return s.Framing, err
	}
	if err := s.both(); !err.Ok() {
		return s.Framing, err
	}
	switch {
	case s.chunked:
		s.Body = message.Streamed
	case s.length > 0:
		s.Body, s.Length = message.Sized, s.declared
	}
	s.keepTrailer()
	s.Upgrade = s.Upgrade && !s.nested
	if h.Minor == 0 {
		// "A server MUST ignore an Upgrade header field that is received in an
		// HTTP/1.0 request." https://www.rfc-editor.org/rfc/rfc9110#section-7.8-15
		// Nor is there "100-continue" (§10.1.1).
		s.Upgrade, s.Expect = false, false
	}
	return s.Framing, Error{}
}

func (s *frame) requestField(i int, f *message.Field) Error {
	switch f.ID {
	case message.Host:
		if s.host > 0 {
			return flaw(HostDuplicate, int(f.Value.Off))
		}
		s.host = i + 1
	case message.ContentLength:
		if err := s.contentLength(i, f); !err.Ok() {
			return err
		}
	case message.TransferEncoding:
		if err := s.transferEncoding(i, f); !err.Ok() {
			return err
		}
	case message.Connection:
		s.conn.read(s.p, s.h, f)
	case message.Upgrade:
		s.upgrade = i + 1
		s.nested = s.nested || nested(s.h.Bytes(f.Value))
	case message.Expect:
		// "A server that receives an Expect field value containing a member other
		// than 100-continue MAY respond with a 417 (Expectation Failed)."
		// https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1-6
		if !message.EqualFold(s.h.Bytes(f.Value), "100-continue") {
			return flaw(ExpectUnknown, int(f.Value.Off))
		}
		s.Expect = true
	case message.TE:
		s.Trailers = s.Trailers || hasToken(s.h.Bytes(f.Value), "trailers")
	case message.Trailer:
		s.trailer = i + 1
		return Error{} // kept if the body is chunked
	case message.KeepAlive, message.ProxyConnection, message.ProxyAuthorization:
	case message.Proxy: // becomes HTTP_PROXY in a CGI environment: httpoxy, CVE-2016-5385
	case message.XForwardedFor, message.XForwardedHost, message.XForwardedProto, message.XForwardedPort,
		message.XRealIP, message.Forwarded, message.HTTP2Settings:
	default:
		return Error{}
	}
	f.Flags |= message.Drop
	return Error{}
}

// nested reports whether an Upgrade field asks for HTTP in another version or in
// TLS, or for nothing. Behind such a switch come more requests, and whoever joins
// the streams sees none of them: no framing would be judged, no rule kept, nothing
// logged. A server may ignore Upgrade (RFC 9110 §7.8), and h2c is gone (RFC 9113
// §3.1), so that is what we do.
func nested(v []byte) bool {
	if len(v) == 0 {
		return true
	}
	for len(v) > 0 {
		var protocol []byte
		protocol, v, _ = bytes.Cut(v, []byte(","))
		i, e := wire.Trim(protocol, 0, len(protocol))
		protocol, _, _ = bytes.Cut(protocol[i:e], []byte("/"))
		for _, p := range [...]string{"h2c", "h2", "http", "tls"} {
			if message.EqualFold(protocol, p) {
				return true
			}
		}
	}
	return false
}

// authority judges Host and says whom the request is for (RFC 9112 §3.2, §3.3).
func (s *frame) authority() Error {
	if s.host == 0 {
		if s.h.Minor > 0 {
			return flaw(HostMissing, len(s.h.Raw))
		}
		return Error{}
	}
	v := s.h.Fields[s.host-1].Value
	if k := wire.Authority(s.h.Bytes(v), false); k >= 0 {
		return flaw(HostInvalid, int(v.Off)+k)
	}
	// "When a proxy receives a request with an absolute-form of request-target,
	// the proxy MUST ignore the received Host header field (if any) and instead
	// replace it with the host information of the request-target."
	// https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2-7
	if s.h.Authority.Len == 0 {
		s.h.Authority = v
	}
	return Error{}
}

// FrameResponse says what the fields of a parsed answer mean for its body and
// its connection (RFC 9112 §6.3, §9.3); head is true if the request was HEAD. p
// must be the Parser that read h.
//
// It marks with message.Drop what must not be forwarded as it stands: hop-by-hop
// fields, Content-Length and Transfer-Encoding, which the caller writes anew,
// and what came twice and may come once.
func FrameResponse(p *Parser, h *message.Head, head bool) (message.Framing, Error) {
	s := frame{p: p, h: h}
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID == message.Other {
			continue
		}
		if err := s.responseField(i, f); !err.Ok() {
			return s.Framing, err
		}
	}
	if err := s.connection(); !err.Ok() {
		return s.Framing, err
	}
	if err := s.both(); !err.Ok() {
		return s.Framing, err
	}
	var err Error
	switch {
	case h.Status < 200 || h.Status == 204:
		err = s.bodiless()
	case head || h.Status == 304:
		s.Length = -1
		if s.length > 0 {
			s.Length = s.declared
		}
	case s.chunked:
		s.Body = message.Streamed
	case s.length > 0:
		s.Body, s.Length = message.Sized, s.declared
	default:
		s.Body, s.Close = message.ToClose, true
	}
	s.keepTrailer()
	return s.Framing, err
}

func (s *frame) responseField(i int, f *message.Field) Error {
	switch f.ID {
	case message.ContentLength:
		if err := s.contentLength(i, f); !err.Ok() {
			return err
		}
	case message.TransferEncoding:
		if err := s.transferEncoding(i, f); !err.Ok() {
			return err
		}
	case message.Connection:
		s.conn.read(s.p, s.h, f)
	case message.KeepAlive:
		s.KeepAlive = keepAliveTimeout(s.h.Bytes(f.Value))
	case message.ProxyConnection:
	case message.Upgrade:
		s.upgrade = i + 1
		if s.h.Status == 101 {
			return Error{} // it says what the connection has become
		}
	case message.Trailer:
		s.trailer = i + 1
		return Error{}
	case message.ContentType:
		first, err := s.single(i, f)
		if first {
			v := s.h.Bytes(f.Value)
			const events = "text/event-stream"
			s.Events = wire.FoldPrefix(v, events) && (len(v) == len(events) || v[len(events)] == ';' || wire.Space(v[len(events)]))
		}
		return err
	case message.Date:
		s.Dated = true
		_, err := s.single(i, f)
		return err
	case message.Location, message.ETag, message.LastModified, message.ContentRange,
		message.ContentLocation, message.RetryAfter, message.Server:
		_, err := s.single(i, f)
		return err
	default:
		return Error{}
	}
	f.Flags |= message.Drop
	return Error{}
}

// single judges a field that may come once (RFC 9110 §5.3). Equal lines are one.
// Of differing ones the first counts, except of Location: to send somebody to
// the wrong place is worse than an error.
func (s *frame) single(i int, f *message.Field) (first bool, err Error) {
	k := s.h.Find(f.ID)
	if k == i {
		return true, Error{}
	}
	f.Flags |= message.Drop
	if bytes.Equal(s.h.Bytes(f.Value), s.h.Bytes(s.h.Fields[k].Value)) {
		return false, Error{}
	}
	if f.ID == message.Location || !s.p.repair(AllowDuplicate, SingletonDuplicate, int(f.Value.Off)) {
		return false, flaw(SingletonDuplicate, int(f.Value.Off))
	}
	return false, Error{}
}

// both refuses a message that declares its length twice over: "Such a message
// might indicate an attempt to perform request smuggling or response splitting
// and ought to be handled as an error."
// https://www.rfc-editor.org/rfc/rfc9112#section-6.3-2.3
func (s *frame) both() Error {
	if s.length > 0 && s.coding > 0 {
		return flaw(LengthAndCoding, int(s.h.Fields[max(s.length, s.coding)-1].Value.Off))
	}
	return Error{}
}

// bodiless judges framing fields where no body can be (RFC 9110 §8.6, RFC 9112
// §6.1). A 204 that promises bytes may be followed by them, so its connection
// ends with it. Behind an interim answer they would stand where the final one
// is due, so that is no repair.
func (s *frame) bodiless() Error {
	i := max(s.length, s.coding)
	if i == 0 {
		return Error{}
	}
	at := int(s.h.Fields[i-1].Value.Off)
	promise := s.coding > 0 || s.declared > 0
	if s.h.Status < 200 && promise || !s.p.repair(AllowForbidden, FramingForbidden, at) {
		return flaw(FramingForbidden, at)
	}
	s.Close = s.Close || promise
	return Error{}
}

// keepTrailer keeps the Trailer field where trailers can follow.
func (s *frame) keepTrailer() {
	if s.trailer == 0 || s.Body == message.Streamed {
		return
	}
	for i := range s.h.Fields[:s.trailer] {
		if s.h.Fields[i].ID == message.Trailer {
			s.h.Fields[i].Flags |= message.Drop
		}
	}
}

// transferEncoding judges one Transfer-Encoding line (RFC 9112 §6.1, §7). We
// know one coding, chunked, once.
func (s *frame) transferEncoding(i int, f *message.Field) Error {
	at := int(f.Value.Off)
	if !message.EqualFold(s.h.Bytes(f.Value), "chunked") {
		if wire.FoldPrefix(s.h.Bytes(f.Value), "chunked") && more(s.h.Bytes(f.Value)[len("chunked"):]) || s.coding > 0 {
			return flaw(CodingNotFinal, at)
		}
		return flaw(CodingUnknown, at)
	}
	if s.coding > 0 && !s.p.repair(AllowSameCoding, CodingDuplicate, at) {
		return flaw(CodingDuplicate, at)
	}
	// "A server or client that receives an HTTP/1.0 message containing a
	// Transfer-Encoding header field MUST treat the message as if the framing is
	// faulty, even if a Content-Length is present, and close the connection after
	// processing the message." https://www.rfc-editor.org/rfc/rfc9112#section-6.1-16
	if s.h.Minor == 0 {
		if !s.p.repair(AllowCodingOn10, CodingOn10, at) {
			return flaw(CodingOn10, at)
		}
		s.Close = true
	}
	s.coding, s.chunked = i+1, true
	return Error{}
}

// more reports whether a list goes on behind its first member.
func more(rest []byte) bool {
	i, _ := wire.Trim(rest, 0, len(rest))
	return i < len(rest) && rest[i] == ','
}

// contentLength judges one Content-Length line (RFC 9110 §8.6).
func (s *frame) contentLength(i int, f *message.Field) Error {
	v, at := s.h.Bytes(f.Value), int(f.Value.Off)
	if len(v) == 0 {
		return flaw(LengthEmpty, at)
	}
	first := s.length == 0
	for k, n := 0, 0; ; k = n + 1 {
		if n = bytes.IndexByte(v[k:], ','); n < 0 {
			n = len(v)
		} else {
			n += k
		}
		from, to := wire.Trim(v, k, n)
		length, f, bad := number(v[from:to])
		if f != NoFlaw {
			return flaw(f, at+from+bad)
		}
		switch {
		case first:
		case length != s.declared:
			return flaw(LengthConflict, at+from)
		case k > 0:
			if !s.p.repair(AllowSameLength, LengthListSame, at) {
				return flaw(LengthListSame, at)
			}
		case !s.p.repair(AllowSameLength, LengthDuplicateSame, at):
			return flaw(LengthDuplicateSame, at)
		}
		s.declared, first = length, false
		if n == len(v) {
			s.length = i + 1
			return Error{}
		}
	}
}

// number reads 1*DIGIT up to 2^63-1; bad is the index of the offending byte.
func number(v []byte) (n int64, f Flaw, bad int) {
	if len(v) == 0 {
		return 0, LengthInvalid, 0
	}
	over := false
	for i, c := range v {
		if !wire.Digit(c) {
			return 0, LengthInvalid, i
		}
		d := int64(c - '0')
		over = over || n > (1<<63-1-d)/10
		if !over {
			n = n*10 + d
		}
	}
	if over {
		return 0, LengthOverflow, 0
	}
	return n, NoFlaw, 0
}

// keepAliveTimeout reads "timeout=N" of a Keep-Alive field, 0 if there is none.
func keepAliveTimeout(v []byte) int {
	for len(v) > 0 {
		var member []byte
		member, v, _ = bytes.Cut(v, []byte(","))
		i, e := wire.Trim(member, 0, len(member))
		if member = member[i:e]; wire.FoldPrefix(member, "timeout=") {
			if n, f, _ := number(member[len("timeout="):]); f == NoFlaw {
				return int(min(n, 1<<31-1))
			}
		}
	}
	return 0
}

// hasToken reports whether the list v has the member token, which must be in
// lower case.
func hasToken(v []byte, token string) bool {
	for len(v) > 0 {
		var member []byte
		member, v, _ = bytes.Cut(v, []byte(","))
		i, e := wire.Trim(member, 0, len(member))
		if message.EqualFold(member[i:e], token) {
			return true
		}
	}
	return false
}
