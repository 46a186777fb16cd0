package accesslog

import (
	"bytes"
	"unicode/utf8"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/wire/tracecontext"
)

// AppendJSON appends the line of t, with its line end, and returns the longer
// dst. What is empty is left out. It allocates nothing but the growth of dst.
//
// Every line is valid JSON and one line, whatever bytes a peer sent: control
// characters (C1 too), line separators and marks that turn the writing direction
// are \u escapes; a byte that is no UTF-8 becomes \ufffd, since JSON has no way
// to say it. Values of parameters that look secret are "xxx".
//
// Durations are milliseconds with up to three decimals. In t each key is a
// fault.Phase of the last attempt; a part that took no time is left out.
func AppendJSON(dst []byte, t *trail.Trail) []byte {
	r := row(t)
	dst = append(dst, `{"ts":"`...)
	dst = appendTime(dst, t.Began)
	dst = append(dst, `","kind":"access"`...)
	dst = appendMember(dst, "client.address", t.Client)
	dst = appendMember(dst, "http.request.method", t.Method)
	switch {
	case t.Major == 2:
		dst = append(dst, `,"network.protocol.version":"2"`...)
	case t.Major == 1 && t.Minor == 0:
		dst = append(dst, `,"network.protocol.version":"1.0"`...)
	}
	host, port := splitHost(t.Authority)
	dst = appendMember(dst, "server.address", host)
	if isNumber(port) {
		dst = append(dst, `,"server.port":`...)
		dst = append(dst, port...)
	}
	path, query, _ := bytes.Cut(t.Path, []byte("?"))
	if len(path) > 0 {
		dst = append(dst, `,"url.path":"`...)
		dst = appendPath(dst, path)
		dst = append(dst, '"')
	}
	if len(query) > 0 {
		dst = append(dst, `,"url.query":"`...)
		dst = appendQuery(dst, query)
		dst = append(dst, '"')
	}
	if t.TLS != nil {
		dst = appendTLS(dst, t.TLS)
	}
	if t.Route == "" { // which begins with the site's name
		dst = appendString(dst, "site", t.Site)
	}
	dst = appendString(dst, "http.route", t.Route)
	if t.N > 0 {
		dst = appendString(dst, "upstream", t.Attempts[t.N-1].Upstream)
	}
	dst = appendNumber(dst, "http.response.status_code", int64(t.Status))
	if t.Call && t.GRPCStatus >= 0 {
		dst = append(dst, `,"rpc.grpc.status_code":`...)
		dst = appendInt(dst, int64(t.GRPCStatus))
	}
	dst = appendNumber(dst, "upstream.status_code", int64(t.UpstreamStatus))
	dst = append(dst, `,"duration_ms":`...)
	dst = appendMillis(dst, int64(t.Ended))
	dst = appendPhases(dst, t)
	s := state(t, r)
	dst = append(dst, `,"state":"`...)
	dst = append(dst, s[0], s[1], '"')
	if r != nil {
		dst = appendFault(dst, t, r)
	}
	dst = appendAttempts(dst, t)
	dst = appendNotices(dst, t)
	if t.Incident != ([8]byte{}) {
		dst = appendMember(dst, "incident", t.Incident[:])
	}
	dst = appendMember(dst, "request_id", t.RequestID)
	if t.Trace != ([16]byte{}) {
		dst = append(dst, `,"trace_id":"`...)
		dst = tracecontext.AppendHex(dst, t.Trace[:])
		dst = append(dst, `","span_id":"`...)
		dst = append(tracecontext.AppendHex(dst, t.Span[:]), '"')
	}
	dst = append(dst, `,"bytes":{"in":`...)
	dst = appendInt(dst, t.In)
	dst = append(dst, `,"out":`...)
	dst = appendInt(dst, t.Out)
	return append(dst, "}}\n"...)
}

func appendTLS(dst []byte, s *trail.TLS) []byte {
	dst = appendString(dst, "tls.protocol.version", s.Version)
	dst = appendString(dst, "tls.cipher", s.Cipher)
	dst = appendString(dst, "tls.next_protocol", s.ALPN)
	dst = appendString(dst, "tls.client.server_name", s.SNI)
	dst = appendString(dst, "tls.client.subject", s.Client)
	if s.Resumed {
		dst = append(dst, `,"tls.resumed":true`...)
	}
	return dst
}

func appendFault(dst []byte, t *trail.Trail, r *fault.Row) []byte {
	if !t.Rescued {
		dst = appendString(dst, "error.type", r.Proxy)
	}
	dst = appendString(dst, "fault", string(t.Fault.ID))
	if t.Rescued {
		dst = append(dst, `,"rescued":true`...)
	} else {
		dst = append(dst, `,"rescued":false`...)
	}
	if t.Withheld != nil {
		dst = appendString(dst, "withheld", string(t.Withheld.ID))
	}
	if t.Cut {
		dst = append(dst, `,"cut":true`...)
	}
	return dst
}

// leastShown is half a microsecond: less would read 0.
const leastShown = 500

func appendPhases(dst []byte, t *trail.Trail) []byte {
	list := phases(t)
	open := false
	for i := range list {
		if list[i].took < leastShown {
			continue
		}
		if open {
			dst = append(dst, ',', '"')
		} else {
			dst = append(dst, `,"t":{"`...)
			open = true
		}
		dst = append(dst, list[i].p.String()...)
		dst = append(dst, '"', ':')
		dst = appendMillis(dst, list[i].took)
	}
	if open {
		dst = append(dst, '}')
	}
	return dst
}

func appendAttempts(dst []byte, t *trail.Trail) []byte {
	if t.N == 0 {
		return dst
	}
	dst = append(dst, `,"attempts":[`...)
	for i := range t.Tries() {
		a := &t.Attempts[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"to":"`...)
		to := a.Address
		if to == "" {
			to = a.Endpoint // "" if there was none to ask
		}
		dst = appendEscaped(dst, to)
		dst = append(dst, '"')
		dst = appendNumber(dst, "status", int64(a.Status))
		if a.Reused {
			dst = append(dst, `,"reused":true`...)
		}
		if a.Lost {
			dst = append(dst, `,"lost":true`...)
		}
		if a.Fault != nil {
			dst = appendString(dst, "fault", string(a.Fault.ID))
		}
		dst = append(dst, `,"ms":`...)
		dst = appendMillis(dst, max(0, int64(a.Ended-a.Began)))
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendNotices(dst []byte, t *trail.Trail) []byte {
	if t.NNotice == 0 {
		return dst
	}
	dst = append(dst, `,"notices":[`...)
	for i, n := range t.Receipts() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = appendEscaped(dst, string(n.ID))
		dst = append(dst, '"')
	}
	dst = append(dst, ']')
	return appendNumber(dst, "notices_left_out", int64(max(0, t.NNotice-trail.MaxNotices)))
}

// appendPath writes a path. Its parameters, as in "/cart;jsessionid=...", are
// treated as those of a query.
func appendPath(dst, path []byte) []byte { return appendPathAs(dst, path, appendEscaped) }

// escape appends text as its log has it.
type escape = func(dst, text []byte) []byte

func appendPathAs(dst, path []byte, as escape) []byte {
	if bytes.IndexByte(path, ';') >= 0 {
		return appendQueryAs(dst, path, as)
	}
	return as(dst, path)
}

// appendQuery writes a query string with the values of secret parameters
// replaced.
func appendQuery(dst, query []byte) []byte { return appendQueryAs(dst, query, appendEscaped) }

func appendQueryAs(dst, query []byte, as escape) []byte {
	for len(query) > 0 {
		end := 0
		for end < len(query) && query[end] != '&' && query[end] != ';' {
			end++
		}
		part := query[:end]
		if eq := bytes.IndexByte(part, '='); eq >= 0 && message.SecretParameter(part[:eq]) {
			dst = as(dst, part[:eq+1])
			dst = append(dst, "xxx"...)
		} else {
			dst = as(dst, part)
		}
		if end < len(query) {
			dst = append(dst, query[end])
			end++
		}
		query = query[end:]
	}
	return dst
}

// appendMember writes ,"name":"value" unless the value is empty.
func appendMember(dst []byte, name string, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	dst = appendName(dst, name)
	dst = append(dst, '"')
	dst = appendEscaped(dst, value)
	return append(dst, '"')
}

func appendString(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = appendName(dst, name)
	dst = append(dst, '"')
	dst = appendEscaped(dst, value)
	return append(dst, '"')
}

// appendNumber writes ,"name":n unless n is 0.
func appendNumber(dst []byte, name string, n int64) []byte {
	if n == 0 {
		return dst
	}
	return appendInt(appendName(dst, name), n)
}

func appendName(dst []byte, name string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

// plain are the bytes that a JSON string holds as they are.
var plain = func() (t [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

func appendEscaped[B []byte | string](dst []byte, s B) []byte {
	from := 0
	for i := 0; i < len(s); {
		if plain[s[i]] {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		n := 0
		dst, n = appendRune(dst, []byte(s[i:min(len(s), i+utf8.UTFMax)]))
		i += n
		from = i
	}
	return append(dst, s[from:]...)
}

// appendRune writes the first character of b, which is not plain.
func appendRune(dst, b []byte) ([]byte, int) {
	if b[0] == '"' || b[0] == '\\' {
		return append(dst, '\\', b[0]), 1
	}
	c, n := utf8.DecodeRune(b)
	if c == utf8.RuneError && n == 1 {
		return append(dst, `\ufffd`...), 1
	}
	if isHostile(c) {
		const hex = "0123456789abcdef"
		return append(dst, '\\', 'u', hex[c>>12&15], hex[c>>8&15], hex[c>>4&15], hex[c&15]), n
	}
	return append(dst, b[:n]...), n
}

// isHostile reports whether a character could act on a terminal or make a line
// look like another: controls (C0, DEL, C1), line separators, and the marks that
// change the writing direction. All are below U+10000.
func isHostile(c rune) bool {
	return c < ' ' || c >= 0x7f && c < 0xa0 || c >= 0x200e && c <= 0x200f || c >= 0x2028 && c <= 0x202e ||
		c >= 0x2066 && c <= 0x2069 || c == 0xfeff
}

func isNumber(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	// JSON has no leading zeros.
	return len(b) > 0 && len(b) <= 5 && b[0] != '0'
}
