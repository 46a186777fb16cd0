// Package otlp tells an OpenTelemetry collector of exchanges, with a span of kind server for
// each and one of kind client for each of its attempts, and of what is counted, in the JSON
// encoding of OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/#otlphttp).
//
// [AppendSpans] writes the spans of a finished trail and allocates nothing; package accesslog
// gathers them as it does lines, without making a loop wait; a [Poster] is the writer behind
// that and sends a batch. A [Reporter] sends what package metrics has. Names are those of the
// semantic conventions where they have one.
package otlp

import (
	"strconv"
	"unicode/utf8"

	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/wire/tracecontext"
)

// Kinds of spans, and the status of one that failed.
const (
	kindServer  = 2
	kindClient  = 3
	statusError = 2
)

// Wanted reports whether the spans of t are to be told: its trace is recorded, or
// something went wrong, which nobody knew when the trace began.
func Wanted(t *trail.Trail) bool {
	return t.Trace != [16]byte{} && (t.Sampled || t.Fault != nil)
}

// AppendSpans appends the spans of t, each with a comma behind it.
func AppendSpans(dst []byte, t *trail.Trail, _ *message.Head) []byte {
	s := span{dst: dst}
	s.begin(t, t.Span, t.Parent, kindServer, 0, int64(t.Ended))
	s.name(t.Method, t.Route)
	s.attributes()
	s.text("http.request.method", t.Method)
	s.string("url.scheme", t.Scheme)
	path, query := t.Path, []byte(nil)
	for i, c := range path {
		if c == '?' {
			path, query = path[:i], path[i+1:]
			break
		}
	}
	s.text("url.path", path)
	if len(query) > 0 && !secret(query) {
		s.text("url.query", query)
	}
	host, port := split(t.Authority)
	s.text("server.address", host)
	s.number("server.port", port)
	s.text("client.address", t.Client)
	s.string("network.protocol.version", version(t))
	s.string("http.route", t.Route)
	s.number("http.response.status_code", int64(t.Status))
	if t.TLS != nil {
		s.string("tls.protocol.version", t.TLS.Version)
	}
	if t.Call && t.GRPCStatus >= 0 {
		s.number0("rpc.grpc.status_code", int64(t.GRPCStatus))
	}
	s.text("gatewhy.request_id", t.RequestID)
	if t.Fault != nil {
		if !t.Rescued {
			s.string("error.type", string(t.Fault.ID))
		} else {
			s.string("gatewhy.rescued", string(t.Fault.ID))
		}
		s.text("gatewhy.incident", t.Incident[:])
	} else if t.Status >= 500 {
		s.decimal("error.type", int64(t.Status))
	}
	s.end(t.Status >= 500 || t.Cut)
	for i := range t.Tries() {
		s.attempt(t, &t.Attempts[i])
	}
	return s.dst
}

func (s *span) attempt(t *trail.Trail, a *trail.Attempt) {
	if a.Span == [8]byte{} { // nothing was sent
		return
	}
	s.begin(t, a.Span, t.Span, kindClient, int64(a.Began), int64(a.Ended))
	s.name(t.Method, "")
	s.attributes()
	s.text("http.request.method", t.Method)
	host, port := split([]byte(a.Address)) // escapes nothing: it is not kept
	s.text("network.peer.address", host)
	s.number("network.peer.port", port)
	s.string("server.address", a.Endpoint)
	s.string("gatewhy.upstream", a.Upstream)
	s.number("http.response.status_code", int64(a.Status))
	if a.Reused {
		s.bool("gatewhy.connection.reused")
	}
	if a.Lost {
		s.bool("gatewhy.lost")
	}
	switch {
	case a.Fault != nil:
		s.string("error.type", string(a.Fault.ID))
	case a.Status >= 400:
		s.decimal("error.type", int64(a.Status))
	}
	s.end(a.Fault != nil || a.Status >= 400)
}

// version is that of the client's HTTP.
func version(t *trail.Trail) string {
	switch {
	case t.Major == 2:
		return "2"
	case t.Major == 1 && t.Minor == 0:
		return "1.0"
	case t.Major == 1:
		return "1.1"
	}
	return ""
}

// span writes one.
type span struct {
	dst  []byte
	some bool // an attribute was written
}

func (s *span) begin(t *trail.Trail, id, parent [8]byte, kind byte, from, to int64) {
	s.dst = append(s.dst, `{"traceId":"`...)
	s.dst = tracecontext.AppendHex(s.dst, t.Trace[:])
	s.dst = append(s.dst, `","spanId":"`...)
	s.dst = tracecontext.AppendHex(s.dst, id[:])
	if parent != [8]byte{} {
		s.dst = append(s.dst, `","parentSpanId":"`...)
		s.dst = tracecontext.AppendHex(s.dst, parent[:])
	}
	s.dst = append(s.dst, `","kind":`...)
	s.dst = append(s.dst, '0'+kind)
	s.dst = append(s.dst, `,"startTimeUnixNano":"`...)
	s.dst = strconv.AppendInt(s.dst, t.Began+from, 10)
	s.dst = append(s.dst, `","endTimeUnixNano":"`...)
	s.dst = strconv.AppendInt(s.dst, t.Began+max(from, to), 10)
	s.dst = append(s.dst, '"')
}

// name is METHOD and the route, which is of few values.
func (s *span) name(method []byte, route string) {
	s.dst = append(s.dst, `,"name":"`...)
	if len(method) == 0 {
		s.dst = append(s.dst, "HTTP"...)
	}
	s.dst = escape(s.dst, method)
	if route != "" {
		s.dst = append(s.dst, ' ')
		s.dst = escape(s.dst, route)
	}
	s.dst = append(s.dst, '"')
}

func (s *span) attributes() {
	s.dst, s.some = append(s.dst, `,"attributes":[`...), false
}

func (s *span) key(name, kind string) {
	if s.some {
		s.dst = append(s.dst, ',')
	}
	s.some = true
	s.dst = append(append(s.dst, `{"key":"`...), name...)
	s.dst = append(append(append(s.dst, `","value":{"`...), kind...), `":`...)
}

func (s *span) text(name string, v []byte) {
	if len(v) == 0 {
		return
	}
	s.key(name, "stringValue")
	s.dst = append(s.dst, '"')
	s.dst = append(escape(s.dst, v), `"}}`...)
}

func (s *span) string(name, v string) {
	if v == "" {
		return
	}
	s.key(name, "stringValue")
	s.dst = append(s.dst, '"')
	s.dst = append(escape(s.dst, v), `"}}`...)
}

// decimal is a number as text.
func (s *span) decimal(name string, n int64) {
	s.key(name, "stringValue")
	s.dst = append(s.dst, '"')
	s.dst = append(strconv.AppendInt(s.dst, n, 10), `"}}`...)
}

func (s *span) number(name string, n int64) {
	if n != 0 {
		s.number0(name, n)
	}
}

// number0 writes 0 too. OTLP has integers of 64 bits as text.
func (s *span) number0(name string, n int64) {
	s.key(name, "intValue")
	s.dst = append(s.dst, '"')
	s.dst = append(strconv.AppendInt(s.dst, n, 10), `"}}`...)
}

func (s *span) bool(name string) {
	s.key(name, "boolValue")
	s.dst = append(s.dst, `true}}`...)
}

func (s *span) end(failed bool) {
	s.dst = append(s.dst, ']')
	if failed {
		s.dst = append(s.dst, `,"status":{"code":`...)
		s.dst = append(s.dst, '0'+statusError, '}')
	}
	s.dst = append(s.dst, `},`...)
}

// escape writes what a JSON string holds. A byte that is no UTF-8 becomes U+FFFD.
func escape[B []byte | string](dst []byte, v B) []byte {
	const hex = "0123456789abcdef"
	for i := 0; i < len(v); {
		switch c := v[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
			i++
		case c < ' ' || c == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			i++
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			var b [utf8.UTFMax]byte
			n := copy(b[:], v[i:])
			if r, size := utf8.DecodeRune(b[:n]); r == utf8.RuneError && size == 1 {
				dst = append(dst, "\ufffd"...)
				i++
			} else {
				dst = append(dst, b[:size]...)
				i += size
			}
		}
	}
	return dst
}

// secret reports whether a query has a parameter that looks like a secret: then it is
// not told at all.
func secret(query []byte) bool {
	for len(query) > 0 {
		end := 0
		for end < len(query) && query[end] != '&' && query[end] != ';' {
			end++
		}
		part := query[:end]
		for i, c := range part {
			if c == '=' {
				part = part[:i]
				break
			}
		}
		if message.SecretParameter(part) {
			return true
		}
		query = query[min(end+1, len(query)):]
	}
	return false
}

// split takes the port off an authority; 0 if there is none.
func split(a []byte) (host []byte, port int64) {
	for i := len(a) - 1; i >= 0; i-- {
		if a[i] == ']' {
			break
		}
		if a[i] != ':' {
			continue
		}
		for _, c := range a[i+1:] {
			if c < '0' || c > '9' || port > 99999 {
				return a, 0
			}
			port = 10*port + int64(c-'0')
		}
		a = a[:i]
		break
	}
	if n := len(a); n > 1 && a[0] == '[' && a[n-1] == ']' {
		a = a[1 : n-1]
	}
	return a, port
}
