package accesslog

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/wire"
	"github.com/gatewhy/gatewhy/internal/wire/tracecontext"
)

// Template is a line with names to be filled in: ${url.path}. Values are escaped as
// nginx does it: quotes, backslashes, and what is no printable ASCII are \xHH; one
// that there is none of is "-".
type Template struct{ parts []part }

// part is text as it stands, or something to fill in.
type part struct {
	text  string
	fill  func(dst []byte, r *record, arg string) (b []byte, there bool)
	field string // of http.request.header.NAME, in lower case
}

// record is what a line is about. head is the request's and may be empty.
type record struct {
	t    *trail.Trail
	head *message.Head
	l    *Local
}

const (
	commonLine   = `${client.address} - ${user.name} [${time_local}] "${request_line}" ${http.response.status_code} ${bytes.body}`
	combinedLine = commonLine + ` "${http.request.header.referer}" "${http.request.header.user-agent}"`
)

// Common and Combined are the formats of those names, byte by byte as nginx writes them.
var (
	Common   = must(ParseTemplate(commonLine))
	Combined = must(ParseTemplate(combinedLine))
)

func must(t *Template, err error) *Template {
	if err != nil {
		panic(err) // they are ours
	}
	return t
}

// headerPrefix begins the names of the request's fields.
const headerPrefix = "http.request.header."

// longestTemplate bounds a template: nobody reads a longer line.
const longestTemplate = 8 << 10

// A TemplateError says what is wrong with a template, and which part of it.
type TemplateError struct {
	Start, End int
	Message    string
	Help       string // what to do about it; "" if Message says all
	// Instead is what was probably meant, for that part; "" if nobody knows.
	Instead string
}

func (e *TemplateError) Error() string {
	if e.Help == "" {
		return e.Message
	}
	return e.Message + ": " + e.Help
}

// ParseTemplate reads a template. "$${" stands for "${". The error is a *[TemplateError].
func ParseTemplate(s string) (*Template, error) {
	switch {
	case s == "":
		return nil, &TemplateError{Message: "the template is empty", Help: "write one such as ${client.address} ${request_line} ${http.response.status_code}"}
	case len(s) > longestTemplate:
		return nil, &TemplateError{0, len(s), fmt.Sprintf("a template has at most %d bytes", longestTemplate), "name fewer values", ""}
	}
	for i, c := range s {
		if isHostile(c) && c != '\t' {
			return nil, &TemplateError{i, i + utf8.RuneLen(c), fmt.Sprintf("a line of a log has no %q in it", c), "leave it away; the end of the line comes by itself", ""}
		}
	}
	t := &Template{}
	text := ""
	for at := 0; at < len(s); {
		i := strings.IndexByte(s[at:], '$')
		if i < 0 {
			text += s[at:]
			break
		}
		text, at = text+s[at:at+i], at+i
		switch {
		case strings.HasPrefix(s[at:], "$${"):
			text, at = text+"${", at+len("$${")
			continue
		case !strings.HasPrefix(s[at:], "${"):
			if name := nginxName(s[at+1:]); name != "" {
				return nil, &TemplateError{at, at + 1 + len(name), "a template has no $" + name, "write ${" + nginxNames[name] + "}", "${" + nginxNames[name] + "}"}
			}
			text, at = text+"$", at+1
			continue
		}
		end := strings.IndexByte(s[at:], '}')
		if end < 0 {
			return nil, &TemplateError{at, len(s), fmt.Sprintf("%q has no closing brace", s[at:]), "write ${NAME}, or $${ for the two characters", ""}
		}
		p, wrong := named(s[at+len("${") : at+end])
		if wrong != nil {
			wrong.Start, wrong.End = at, at+end+1
			return nil, wrong
		}
		if text != "" {
			t.parts = append(t.parts, part{text: text})
			text = ""
		}
		t.parts, at = append(t.parts, p), at+end+1
	}
	if text != "" {
		t.parts = append(t.parts, part{text: text})
	}
	return t, nil
}

// named is the part that stands for a name.
func named(name string) (part, *TemplateError) {
	if field, ok := strings.CutPrefix(name, headerPrefix); ok && field != "" {
		switch {
		case strings.ContainsFunc(field, func(c rune) bool { return c >= 0x80 || !wire.TokenChar[c] }):
			return part{}, &TemplateError{Message: fmt.Sprintf("%q is no name of a field", field), Help: "write one such as ${" + headerPrefix + "referer}"}
		case message.SecretField([]byte(field)):
			return part{}, &TemplateError{Message: "the field " + field + " holds secrets, which are not logged", Help: "leave it away"}
		}
		return part{fill: fillHeader, field: strings.ToLower(field)}, nil
	}
	if fill := fills[name]; fill != nil {
		return part{fill: fill}, nil
	}
	e := &TemplateError{Message: "there is no ${" + name + "} to write"}
	if near := cmp.Or(nginxNames[name], conf.Meant(name, sorted)); near != "" {
		e.Instead = "${" + near + "}"
		e.Help = "did you mean " + e.Instead + "?"
	} else {
		e.Help = "names like it are " + strings.Join(conf.Nearest(name, TemplateNames(), 3), ", ")
	}
	return part{}, e
}

// nginxName is the name of nginx's at the beginning of s, "" if there is none.
func nginxName(s string) string {
	n := 0
	for n < len(s) && (s[n] == '_' || 'a' <= s[n] && s[n] <= 'z' || '0' <= s[n] && s[n] <= '9') {
		n++
	}
	if nginxNames[s[:n]] == "" {
		return ""
	}
	return s[:n]
}

// nginxNames are what nginx calls some of the values: people bring their log_format.
var nginxNames = map[string]string{
	"remote_addr": "client.address", "remote_user": "user.name", "time_local": "time_local", "time_iso8601": "ts", "request": "request_line",
	"request_method": "http.request.method", "request_uri": "url.path", "uri": "url.path", "args": "url.query", "query_string": "url.query",
	"host": "server.address", "http_host": "server.address", "server_port": "server.port", "scheme": "url.scheme", "server_protocol": "network.protocol.version",
	"status": "http.response.status_code", "body_bytes_sent": "bytes.body", "bytes_sent": "bytes.out", "request_length": "bytes.in", "request_time": "duration_s",
	"upstream_addr": "upstream.address", "upstream_status": "upstream.status_code", "upstream_response_time": "t.await", "upstream_connect_time": "t.connect",
	"http_referer": headerPrefix + "referer", "http_user_agent": headerPrefix + "user-agent", "http_x_forwarded_for": headerPrefix + "x-forwarded-for",
	"ssl_protocol": "tls.protocol.version", "ssl_cipher": "tls.cipher", "ssl_server_name": "tls.client.server_name", "server_name": "site", "request_id": "request_id",
}

var sorted = slices.Sorted(maps.Keys(fills))

// TemplateNames are the names that a template may have, in the order of the alphabet.
func TemplateNames() []string {
	return append(slices.Clone(sorted), headerPrefix+"NAME")
}

// Append appends the line of t, with its line end. h is the request's head, and may be
// empty; l is the loop's part, or nil.
func (tp *Template) Append(dst []byte, t *trail.Trail, h *message.Head, l *Local) []byte {
	if l == nil {
		l = &Local{}
	}
	r := &l.record
	*r = record{t, h, l}
	for i := range tp.parts {
		p := &tp.parts[i]
		if p.fill == nil {
			dst = append(dst, p.text...)
			continue
		}
		b, there := p.fill(dst, r, p.field)
		if dst = b; !there {
			dst = append(dst, '-')
		}
	}
	*r = record{}
	return append(dst, '\n')
}

// escaped appends b as nginx does, or nothing if it is nil.
func escaped[B []byte | string](dst []byte, b B) []byte {
	const hex = "0123456789ABCDEF"
	from := 0
	for i := range len(b) {
		if plain[b[i]] {
			continue
		}
		dst = append(append(dst, b[from:i]...), '\\', 'x', hex[b[i]>>4], hex[b[i]&15])
		from = i + 1
	}
	return append(dst, b[from:]...)
}

// some appends a value that is there unless it is empty.
func some[B []byte | string](dst []byte, b B) ([]byte, bool) { return escaped(dst, b), len(b) > 0 }

type filler = func(dst []byte, r *record, arg string) ([]byte, bool)

// of makes a filler of a function that needs the trail only.
func of[B []byte | string](f func(t *trail.Trail) B) filler {
	return func(dst []byte, r *record, _ string) ([]byte, bool) { return some(dst, f(r.t)) }
}

// count makes one of a number, which is always there.
func count(f func(t *trail.Trail) int64) filler {
	return func(dst []byte, r *record, _ string) ([]byte, bool) { return appendInt(dst, f(r.t)), true }
}

// positive makes one of a number that is not there if it is 0.
func positive(f func(t *trail.Trail) int64) filler {
	return func(dst []byte, r *record, _ string) ([]byte, bool) {
		n := f(r.t)
		if n == 0 {
			return dst, false
		}
		return appendInt(dst, n), true
	}
}

// yes makes one of something that is true or not there.
func yes(f func(t *trail.Trail) bool) filler {
	return func(dst []byte, r *record, _ string) ([]byte, bool) {
		if !f(r.t) {
			return dst, false
		}
		return append(dst, "true"...), true
	}
}

// took makes one of a phase's time in milliseconds.
func took(at fault.Phase) filler {
	return func(dst []byte, r *record, _ string) ([]byte, bool) {
		for _, one := range phases(r.t) {
			if one.p == at && one.took >= leastShown {
				return appendMillis(dst, one.took), true
			}
		}
		return dst, false
	}
}

// unix is what nginx calls the client of a unix socket.
var unix = []byte("unix:")

// last is the last attempt, nil if there was none.
func last(t *trail.Trail) *trail.Attempt {
	if t.N == 0 {
		return nil
	}
	return &t.Attempts[t.N-1]
}

// fills are the names of templates. Those of the JSON form mean the same here, and hide
// the same secrets.
var fills = map[string]filler{
	"ts": func(dst []byte, r *record, _ string) ([]byte, bool) { return appendTime(dst, r.t.Began), true },
	"time_local": func(dst []byte, r *record, _ string) ([]byte, bool) {
		return r.appendLocal(dst), true
	},
	"client.address": of(func(t *trail.Trail) []byte {
		if string(t.Client) == "unix" {
			return unix
		}
		return t.Client
	}),
	"user.name":    fillUser,
	"request_line": fillRequestLine,
	"http.request.method": of(func(t *trail.Trail) []byte {
		return t.Method
	}),
	"network.protocol.version": func(dst []byte, r *record, _ string) ([]byte, bool) {
		switch {
		case r.t.Major == 0:
			return dst, false
		case r.t.Major > 1:
			return append(dst, '0'+r.t.Major), true
		}
		return append(dst, '1', '.', '0'+r.t.Minor), true
	},
	"url.scheme": of(func(t *trail.Trail) string { return t.Scheme }),
	"server.address": of(func(t *trail.Trail) []byte {
		host, _ := splitHost(t.Authority)
		return host
	}),
	"server.port": of(func(t *trail.Trail) []byte {
		_, port := splitHost(t.Authority)
		return port
	}),
	"url.path": func(dst []byte, r *record, _ string) ([]byte, bool) {
		path, _, _ := bytes.Cut(r.t.Path, []byte("?"))
		return appendPathAs(dst, path, escaped), len(path) > 0
	},
	"url.query": func(dst []byte, r *record, _ string) ([]byte, bool) {
		_, query, _ := bytes.Cut(r.t.Path, []byte("?"))
		return appendQueryAs(dst, query, escaped), len(query) > 0
	},
	"tls.protocol.version": of(func(t *trail.Trail) string {
		if t.TLS == nil {
			return ""
		}
		return t.TLS.Version
	}),
	"tls.cipher": of(func(t *trail.Trail) string {
		if t.TLS == nil {
			return ""
		}
		return t.TLS.Cipher
	}),
	"tls.client.server_name": of(func(t *trail.Trail) string {
		if t.TLS == nil {
			return ""
		}
		return t.TLS.SNI
	}),
	"tls.next_protocol": of(func(t *trail.Trail) string {
		if t.TLS == nil {
			return ""
		}
		return t.TLS.ALPN
	}),
	"tls.resumed": yes(func(t *trail.Trail) bool { return t.TLS != nil && t.TLS.Resumed }),
	"tls.client.subject": of(func(t *trail.Trail) string {
		if t.TLS == nil {
			return ""
		}
		return t.TLS.Client
	}),
	"site":                      of(func(t *trail.Trail) string { return t.Site }),
	"http.route":                of(func(t *trail.Trail) string { return t.Route }),
	"http.response.status_code": fillStatus,
	"upstream": of(func(t *trail.Trail) string {
		if a := last(t); a != nil {
			return a.Upstream
		}
		return ""
	}),
	"upstream.address": of(func(t *trail.Trail) string {
		switch a := last(t); {
		case a == nil:
			return ""
		case a.Address == "":
			return a.Endpoint
		default:
			return a.Address
		}
	}),
	"rpc.grpc.status_code": func(dst []byte, r *record, _ string) ([]byte, bool) {
		if !r.t.Call || r.t.GRPCStatus < 0 {
			return dst, false
		}
		return appendInt(dst, int64(r.t.GRPCStatus)), true
	},
	"upstream.status_code": positive(func(t *trail.Trail) int64 { return int64(t.UpstreamStatus) }),
	"attempts":             count(func(t *trail.Trail) int64 { return int64(t.N) }),
	"notices":              count(func(t *trail.Trail) int64 { return int64(t.NNotice) }),
	"t.parse":              took(fault.Parse),
	"t.resolve":            took(fault.Resolve),
	"t.connect":            took(fault.Connect),
	"t.secure":             took(fault.Secure),
	"t.send":               took(fault.Send),
	"t.await":              took(fault.Await),
	"t.head":               took(fault.Head),
	"t.body":               took(fault.Body),
	"t.reply":              took(fault.Reply),
	"error.type": of(func(t *trail.Trail) string {
		if r := row(t); r != nil && !t.Rescued {
			return r.Proxy
		}
		return ""
	}),
	"withheld": of(func(t *trail.Trail) string {
		if t.Withheld == nil {
			return ""
		}
		return string(t.Withheld.ID)
	}),
	"cut": yes(func(t *trail.Trail) bool { return t.Cut }),
	"duration_ms": func(dst []byte, r *record, _ string) ([]byte, bool) {
		return appendMillis(dst, int64(r.t.Ended)), true
	},
	"duration_s": func(dst []byte, r *record, _ string) ([]byte, bool) {
		ms := int64(r.t.Ended) / 1e6
		return append(appendInt(dst, ms/1000), '.', byte('0'+ms/100%10), byte('0'+ms/10%10), byte('0'+ms%10)), true
	},
	"state": func(dst []byte, r *record, _ string) ([]byte, bool) {
		s := state(r.t, row(r.t))
		return append(dst, s[0], s[1]), true
	},
	"fault": of(func(t *trail.Trail) string {
		if t.Fault == nil {
			return ""
		}
		return string(t.Fault.ID)
	}),
	"rescued": func(dst []byte, r *record, _ string) ([]byte, bool) {
		if r.t.Fault == nil {
			return dst, false
		}
		if r.t.Rescued {
			return append(dst, "true"...), true
		}
		return append(dst, "false"...), true
	},
	"incident": func(dst []byte, r *record, _ string) ([]byte, bool) {
		if r.t.Incident == ([8]byte{}) {
			return dst, false
		}
		return append(dst, r.t.Incident[:]...), true
	},
	"request_id": of(func(t *trail.Trail) []byte { return t.RequestID }),
	"trace_id": func(dst []byte, r *record, _ string) ([]byte, bool) {
		if r.t.Trace == ([16]byte{}) {
			return dst, false
		}
		return tracecontext.AppendHex(dst, r.t.Trace[:]), true
	},
	"span_id": func(dst []byte, r *record, _ string) ([]byte, bool) {
		if r.t.Span == ([8]byte{}) {
			return dst, false
		}
		return tracecontext.AppendHex(dst, r.t.Span[:]), true
	},
	"bytes.in":   count(func(t *trail.Trail) int64 { return t.In }),
	"bytes.out":  count(func(t *trail.Trail) int64 { return t.Out }),
	"bytes.body": count(func(t *trail.Trail) int64 { return max(0, t.Out-t.Heads) }),
}

// fillStatus writes three digits: nginx has 000 where there is none.
func fillStatus(dst []byte, r *record, _ string) ([]byte, bool) {
	s := r.t.Status
	return append(dst, byte('0'+s/100%10), byte('0'+s/10%10), byte('0'+s%10)), true
}

// fillHeader writes a field of the request. One that is there and empty is "".
func fillHeader(dst []byte, r *record, name string) ([]byte, bool) {
	for i := range r.head.Fields {
		if f := &r.head.Fields[i]; int(f.Name.Len) == len(name) && message.EqualFold(r.head.Bytes(f.Name), name) {
			return escaped(dst, r.head.Bytes(f.Value)), true
		}
	}
	return dst, false
}

// fillRequestLine writes the first line of the request as it came; for HTTP/2, which
// has none, as nginx does.
func fillRequestLine(dst []byte, r *record, _ string) ([]byte, bool) {
	h := r.head
	if h.Raw == nil {
		return dst, true
	}
	if h.Major == 2 && h.Lines { // a line of HTTP/1 may say so too, and is refused
		dst = append(escaped(dst, h.Bytes(h.Method)), ' ')
		dst = append(escaped(dst, h.Bytes(h.Path)), " HTTP/2.0"...)
		return dst, true
	}
	line := bytes.TrimLeft(h.Raw, "\r\n")
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = bytes.TrimSuffix(line[:i], []byte("\r"))
	}
	return escaped(dst, line), true
}

// fillUser writes the name of basic authentication (RFC 7617 §2), which nobody has
// verified.
func fillUser(dst []byte, r *record, _ string) ([]byte, bool) {
	const basic = "basic "
	v := r.head.Value(message.Authorization)
	if len(v) <= len(basic) || !message.EqualFold(v[:len(basic)], basic) {
		return dst, false
	}
	// nginx does not mind where the padding is, or that there is none.
	v, _, _ = bytes.Cut(bytes.TrimLeft(v[len(basic):], " "), []byte("="))
	var room [192]byte
	if base64.RawStdEncoding.DecodedLen(len(v)) > len(room) {
		return dst, false
	}
	n, err := base64.RawStdEncoding.Decode(room[:], v)
	name, _, ok := bytes.Cut(room[:n], []byte(":"))
	if err != nil || !ok || len(name) == 0 {
		return dst, false
	}
	return escaped(dst, name), true
}

// appendLocal writes the moment at which the exchange ended as nginx does, in the
// machine's time zone: 26/Nov/2026:16:35:54 +0000. A loop spells each second once.
func (r *record) appendLocal(dst []byte) []byte {
	at := r.t.Began + int64(r.t.Ended)
	second, _ := floorDiv(at, 1e9)
	if second != r.l.second || len(r.l.spelled) == 0 {
		r.l.second, r.l.spelled = second, spell(r.l.spelled[:0], second)
	}
	return append(dst, r.l.spelled...)
}

func spell(dst []byte, second int64) []byte {
	return time.Unix(second, 0).AppendFormat(dst, "02/Jan/2006:15:04:05 -0700")
}
