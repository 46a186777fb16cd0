package h2

import (
	"bytes"

	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire"
)

// Request decodes and judges the field block b of a request into q (RFC 9113
// §8.3.1). end is true if the stream ends with it. The head's bytes are kept in
// q.Store as lines of "name: value CRLF", pseudo-fields first.
//
// It sets the method, target, authority and path from the pseudo-fields or Host,
// and marks with message.Drop what must not be forwarded as it stands, as
// h1.FrameRequest does; pieces of cookies become one.
//
// An error that costs only the stream comes with as much of the head as could be
// read, for whoever logs or answers it.
func (d *Decoder) Request(b []byte, q *message.Request, end bool) Error {
	s := &d.s
	q.Reset()
	*s = section{h: &q.Head, raw: q.Store[:0], kind: request}
	err := d.decode(b)
	if err.Ok() {
		s.request(d.limits.Path, end)
		err = s.err
	}
	q.Store = s.close(&q.Head)
	q.Framing = s.Framing
	method := q.Head.Bytes(q.Head.Method)
	q.Safe, q.Idempotent = message.Safe(method), message.Idempotent(method)
	return err
}

// Answer decodes and judges the field block b of an answer, final or interim, into
// h (RFC 9113 §8.3.2), which keeps its bytes in store; the memory that is to be
// used next time is returned with it. head is true if the request was HEAD, end
// if the stream ends with the block.
//
// It marks with message.Drop what must not be forwarded as it stands, as
// h1.FrameResponse does. What may be repaired is, see Noted.
func (d *Decoder) Answer(b []byte, h *message.Head, store []byte, head, end bool) (message.Framing, []byte, Error) {
	s := &d.s
	h.Reset()
	*s = section{h: h, raw: store[:0], kind: answer}
	err := d.decode(b)
	if err.Ok() {
		s.answer(head, end)
		err = s.err
	}
	return s.Framing, s.close(h), err
}

// Trailer decodes and judges the field block b behind a body into h, which keeps
// its bytes in store (RFC 9113 §8.1). Fields that must not stand there are marked
// with message.Drop.
func (d *Decoder) Trailer(b []byte, h *message.Head, store []byte) ([]byte, Error) {
	s := &d.s
	h.Reset()
	*s = section{h: h, raw: store[:0], kind: trailer}
	err := d.decode(b)
	if err.Ok() {
		s.trailer()
		err = s.err
	}
	return s.close(h), err
}

// Skip decodes b for the sake of the table, and forgets what it says: for blocks
// of streams that are over.
func (d *Decoder) Skip(b []byte) Error {
	var h message.Head
	d.s = section{h: &h, raw: d.spare[:0], full: true}
	err := d.decode(b)
	d.spare = d.s.raw[:0]
	if cap(d.spare) > keepSpare {
		d.spare = nil
	}
	d.s.close(&h)
	return err
}

// Noted is the first flaw of the last block that was repaired, if there was one:
// in an answer, control characters, fields about the connection, Content-Length
// where none belongs, fields that came twice.
func (d *Decoder) Noted() Error { return d.s.noted }

// Urgency is what the Priority field of the last block says; ok is false if it
// has none.
func (d *Decoder) Urgency(h *message.Head) (u Urgency, ok bool) {
	if d.s.urgency.Len == 0 {
		return DefaultUrgency, false
	}
	return ParseUrgency(h.Bytes(d.s.urgency)), true
}

// keepSpare bounds the memory that Skip keeps, in bytes.
const keepSpare = 4 << 10

// close hands the head and its memory over.
func (s *section) close(h *message.Head) (raw []byte) {
	raw = s.raw
	h.Raw, h.Major, h.Minor, h.Lines = raw, 2, 0, true
	s.h, s.raw = nil, nil
	return raw
}

// The pseudo-fields, as bits of section.pseudo.
const (
	pMethod = 1 << iota
	pScheme
	pAuthority
	pPath
	pStatus
)

// pseudo notes a pseudo-field. Its grammar is judged when all are known.
func (d *Decoder) pseudo(name, value message.Span) {
	s := &d.s
	n := s.raw[name.Off:name.End()]
	var bit uint8
	switch string(n) {
	case ":method":
		bit, s.h.Method = pMethod, value
	case ":scheme":
		bit, s.scheme = pScheme, value
	case ":authority":
		bit, s.h.Authority = pAuthority, value
	case ":path":
		bit, s.h.Path = pPath, value
	case ":status":
		bit = pStatus
	}
	of := uint8(pMethod | pScheme | pAuthority | pPath)
	switch s.kind {
	case answer:
		of = pStatus
	case trailer:
		of = 0 // "Pseudo-header fields MUST NOT appear in a trailer section" (RFC 9113 §8.1)
	}
	switch {
	case bit&of == 0:
		s.flaw(PseudoUnknown, name.Off)
	// "All pseudo-header fields MUST appear in a field block before all regular
	// field lines." https://www.rfc-editor.org/rfc/rfc9113#section-8.3-4
	case s.fields > 0:
		s.flaw(PseudoLate, name.Off)
	case s.pseudo&bit != 0:
		s.flaw(PseudoDuplicate, name.Off)
	case bit == pStatus:
		s.status(value)
	}
	s.pseudo |= bit
}

func (s *section) status(v message.Span) {
	b := s.raw[v.Off:v.End()]
	if len(b) != 3 || !wire.Digit(b[0]) || !wire.Digit(b[1]) || !wire.Digit(b[2]) {
		s.flaw(StatusInvalid, v.Off)
		return
	}
	n := int(b[0]-'0')*100 + int(b[1]-'0')*10 + int(b[2]-'0')
	// "HTTP/2 removes support for the 101 (Switching Protocols) informational status
	// code". https://www.rfc-editor.org/rfc/rfc9113#section-8.6
	if n < 100 || n > 599 || n == 101 {
		s.flaw(StatusInvalid, v.Off)
		return
	}
	s.h.Status = n
}

// request judges a request whose fields are all there.
func (s *section) request(path int, end bool) {
	h := s.h
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID != message.Other {
			s.requestField(i, f)
		} else if f.Name.Len == 8 && string(s.raw[f.Name.Off:f.Name.End()]) == "priority" {
			s.urgency = f.Value
		} else if wire.Disguised(s.raw[f.Name.Off:f.Name.End()]) {
			f.Flags |= message.Drop
		}
	}
	if s.cookies > 1 {
		s.join()
	}
	h.Target = h.Path
	if s.full {
		return // the pseudo-fields may be among what was not kept
	}
	s.control(path)
	s.authority()
	switch {
	case s.length > 0 && end && s.declare > 0:
		s.flaw(LengthMismatch, h.Fields[s.length-1].Value.Off)
	case end:
	case s.length > 0:
		s.Body, s.Length = message.Sized, s.declare
	default:
		s.Body = message.Streamed
	}
}

// control judges the pseudo-fields of a request (RFC 9113 §8.3.1).
func (s *section) control(path int) {
	h := s.h
	if s.pseudo&pMethod == 0 {
		s.flaw(PseudoMissing, 0)
		return
	}
	method := s.raw[h.Method.Off:h.Method.End()]
	for i, c := range method {
		if !wire.TokenChar[c] {
			s.flaw(MethodInvalid, h.Method.Off+uint32(i))
			return
		}
	}
	if len(method) == 0 {
		s.flaw(MethodInvalid, h.Method.Off)
		return
	}
	if string(method) == "CONNECT" {
		// "The ":scheme" and ":path" pseudo-header fields MUST be omitted."
		// https://www.rfc-editor.org/rfc/rfc9113#section-8.5
		if s.pseudo&(pScheme|pPath) != 0 {
			s.flaw(PseudoUnknown, 0)
		} else if s.pseudo&pAuthority == 0 {
			s.flaw(PseudoMissing, 0)
		}
		h.Target = h.Authority
		return
	}
	if s.pseudo&(pScheme|pPath) != pScheme|pPath {
		s.flaw(PseudoMissing, 0)
		return
	}
	if v := s.raw[s.scheme.Off:s.scheme.End()]; !message.EqualFold(v, "http") && !message.EqualFold(v, "https") {
		s.flaw(SchemeInvalid, s.scheme.Off)
	}
	p := s.raw[h.Path.Off:h.Path.End()]
	switch {
	case len(p) > path:
		s.flaw(PathTooLong, h.Path.Off+uint32(path))
	case len(p) == 0, p[0] != '/' && !(len(p) == 1 && p[0] == '*' && string(method) == "OPTIONS"):
		s.flaw(PathInvalid, h.Path.Off)
	default:
		if n := wire.TargetLen(p); n < len(p) {
			s.flaw(PathInvalid, h.Path.Off+uint32(n))
		}
	}
}

// authority judges whom a request is for.
func (s *section) authority() {
	h := s.h
	if s.pseudo&pAuthority != 0 {
		if k := wire.Authority(s.raw[h.Authority.Off:h.Authority.End()], string(s.raw[h.Method.Off:h.Method.End()]) == "CONNECT"); k >= 0 {
			s.flaw(AuthorityInvalid, h.Authority.Off+uint32(k))
		}
	}
	if s.host == 0 {
		// "If the scheme has a mandatory authority component (including "http" and
		// "https"), the request MUST contain either an ":authority" pseudo-header
		// field or a "Host" header field." (RFC 9114 §4.3.1, and so all of HTTP/2 that
		// leads to HTTP/1.1)
		if s.pseudo&pAuthority == 0 {
			s.flaw(HostMissing, uint32(len(s.raw)))
		}
		return
	}
	v := h.Fields[s.host-1].Value
	host := s.raw[v.Off:v.End()]
	if s.pseudo&pAuthority == 0 {
		if k := wire.Authority(host, false); k >= 0 {
			s.flaw(AuthorityInvalid, v.Off+uint32(k))
		}
		h.Authority = v
		return
	}
	// "A server SHOULD treat a request as malformed if it contains a Host header
	// field that identifies an entity that differs from the entity in the
	// ":authority" pseudo-header field."
	// https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1-2.4.5
	if !bytes.EqualFold(host, s.raw[h.Authority.Off:h.Authority.End()]) {
		s.flaw(HostDiffers, v.Off)
	}
}

func (s *section) requestField(i int, f *message.Field) {
	v := s.raw[f.Value.Off:f.Value.End()]
	switch f.ID {
	case message.Cookie:
		s.cookies++
		return
	case message.Host:
		if s.host > 0 {
			s.flaw(HostDuplicate, f.Value.Off)
		}
		s.host = i + 1
	case message.ContentLength:
		s.contentLength(i, f)
	case message.Connection, message.KeepAlive, message.ProxyConnection, message.TransferEncoding, message.Upgrade:
		// "An endpoint MUST NOT generate an HTTP/2 message containing connection-
		// specific header fields. [...] Any message containing connection-specific
		// header fields MUST be treated as malformed".
		// https://www.rfc-editor.org/rfc/rfc9113#section-8.2.2-2
		s.flaw(ConnectionField, f.Name.Off)
	case message.TE:
		if !message.EqualFold(v, "trailers") {
			s.flaw(TEInvalid, f.Value.Off)
		}
		s.Trailers = true
	case message.Expect:
		if !message.EqualFold(v, "100-continue") {
			s.flaw(ExpectUnknown, f.Value.Off)
		}
		s.Expect = true
	case message.ProxyAuthorization, message.HTTP2Settings,
		message.Proxy, // becomes HTTP_PROXY in a CGI environment: httpoxy, CVE-2016-5385
		message.XForwardedFor, message.XForwardedHost, message.XForwardedProto, message.XForwardedPort,
		message.XRealIP, message.Forwarded:
	default:
		return
	}
	f.Flags |= message.Drop
}

// contentLength judges one Content-Length field (RFC 9110 §8.6). Equal ones are
// one in an answer.
func (s *section) contentLength(i int, f *message.Field) {
	v := s.raw[f.Value.Off:f.Value.End()]
	n := int64(0)
	for k, c := range v {
		d := int64(c - '0')
		if !wire.Digit(c) || n > (1<<63-1-d)/10 {
			s.flaw(LengthInvalid, f.Value.Off+uint32(k))
			return
		}
		n = n*10 + d
	}
	switch {
	case len(v) == 0:
		s.flaw(LengthInvalid, f.Value.Off)
	case s.length > 0 && (n != s.declare || s.kind == request):
		s.flaw(LengthConflict, f.Value.Off)
	case s.length > 0:
		s.note(Duplicate, f.Value.Off)
	}
	s.length, s.declare = i+1, n
}

// answer judges an answer whose fields are all there.
func (s *section) answer(head, end bool) {
	h := s.h
	for i := range h.Fields {
		if f := &h.Fields[i]; f.ID != message.Other {
			s.answerField(i, f)
		}
	}
	if s.full {
		return
	}
	if s.pseudo&pStatus == 0 {
		s.flaw(PseudoMissing, 0)
		return
	}
	switch {
	case h.Status < 200 || h.Status == 204:
		if s.length > 0 {
			if s.declare > 0 && h.Status < 200 {
				s.flaw(LengthForbidden, h.Fields[s.length-1].Value.Off)
			}
			s.note(LengthForbidden, h.Fields[s.length-1].Value.Off)
		}
	case head || h.Status == 304:
		s.Length = -1
		if s.length > 0 {
			s.Length = s.declare
		}
	case end && s.length > 0 && s.declare > 0:
		s.flaw(LengthMismatch, h.Fields[s.length-1].Value.Off)
	case end:
		s.Body = message.Sized
	case s.length > 0:
		s.Body, s.Length = message.Sized, s.declare
	default:
		s.Body = message.Streamed
	}
}

func (s *section) answerField(i int, f *message.Field) {
	v := s.raw[f.Value.Off:f.Value.End()]
	switch f.ID {
	case message.ContentLength:
		s.contentLength(i, f)
	case message.Connection, message.KeepAlive, message.ProxyConnection, message.TransferEncoding, message.Upgrade:
		s.note(ConnectionField, f.Name.Off)
	case message.ContentType:
		if s.single(i, f) {
			const events = "text/event-stream"
			s.Events = wire.FoldPrefix(v, events) && (len(v) == len(events) || v[len(events)] == ';' || wire.Space(v[len(events)]))
		}
		return
	case message.Date:
		s.Dated = true
		s.single(i, f)
		return
	case message.Location, message.ETag, message.LastModified, message.ContentRange,
		message.ContentLocation, message.RetryAfter, message.Server:
		s.single(i, f)
		return
	default:
		return
	}
	f.Flags |= message.Drop
}

// single judges a field that may come once (RFC 9110 §5.3), as h1 does: equal ones
// are one, of differing ones the first counts, except of Location.
func (s *section) single(i int, f *message.Field) (first bool) {
	k := s.h.Find(f.ID)
	if k == i {
		return true
	}
	f.Flags |= message.Drop
	g := &s.h.Fields[k]
	if bytes.Equal(s.raw[f.Value.Off:f.Value.End()], s.raw[g.Value.Off:g.Value.End()]) {
		return false
	}
	if f.ID == message.Location {
		s.flaw(Duplicate, f.Value.Off)
	}
	s.note(Duplicate, f.Value.Off)
	return false
}

// trailer judges a trailer section whose fields are all there.
func (s *section) trailer() {
	for i := range s.h.Fields {
		f := &s.h.Fields[i]
		switch f.ID {
		case message.Connection, message.KeepAlive, message.ProxyConnection, message.TransferEncoding, message.Upgrade:
			s.flaw(ConnectionField, f.Name.Off)
		}
		if wire.ForbiddenTrailer(f.ID, s.raw[f.Name.Off:f.Name.End()]) {
			f.Flags |= message.Drop
		}
	}
}
