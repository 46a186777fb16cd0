package message

import "encoding/binary"

// Name is a well-known field name. The zero value stands for every other name.
type Name uint8

// The field names that the gateway itself reads or writes.
const (
	Other Name = iota
	Accept
	CDNLoop
	Connection
	ContentEncoding
	ContentLength
	ContentLocation
	ContentRange
	ContentType
	Date
	ETag
	Expect
	Forwarded
	Host
	HTTP2Settings
	IdempotencyKey
	KeepAlive
	LastModified
	Location
	MaxForwards
	Proxy
	ProxyAuthenticate
	ProxyAuthorization
	ProxyConnection
	ProxyStatus
	Range
	RetryAfter
	SecWebSocketAccept
	SecWebSocketExtensions
	SecWebSocketKey
	SecWebSocketProtocol
	Server
	TE
	Trailer
	TransferEncoding
	Upgrade
	Via
	XForwardedFor
	XForwardedHost
	XForwardedPort
	XForwardedProto
	XRealIP
	Authorization
	Cookie
	SetCookie
	names
)

var spelled = [names]string{
	Accept: "accept", CDNLoop: "cdn-loop", Connection: "connection", ContentEncoding: "content-encoding",
	ContentLength: "content-length", ContentLocation: "content-location", ContentRange: "content-range",
	ContentType: "content-type", Date: "date", ETag: "etag", Expect: "expect", Forwarded: "forwarded",
	Host: "host", HTTP2Settings: "http2-settings", IdempotencyKey: "idempotency-key", KeepAlive: "keep-alive", LastModified: "last-modified",
	Location: "location", MaxForwards: "max-forwards", Proxy: "proxy", ProxyAuthenticate: "proxy-authenticate",
	ProxyAuthorization: "proxy-authorization", ProxyConnection: "proxy-connection", ProxyStatus: "proxy-status",
	Range: "range", RetryAfter: "retry-after", SecWebSocketAccept: "sec-websocket-accept",
	SecWebSocketExtensions: "sec-websocket-extensions", SecWebSocketKey: "sec-websocket-key",
	SecWebSocketProtocol: "sec-websocket-protocol", Server: "server", TE: "te", Trailer: "trailer",
	TransferEncoding: "transfer-encoding", Upgrade: "upgrade", Via: "via", XForwardedFor: "x-forwarded-for",
	XForwardedHost: "x-forwarded-host", XForwardedPort: "x-forwarded-port", XForwardedProto: "x-forwarded-proto",
	XRealIP: "x-real-ip", Authorization: "authorization", Cookie: "cookie", SetCookie: "set-cookie",
}

// String is the name in lower case, "" for Other.
func (n Name) String() string { return spelled[n] }

// longest is the length of the longest well-known name.
const longest = 24

// lookup finds a name by its length and first letter. Few names share both, and
// each candidate costs three comparisons of eight letters.
var lookup = func() (t struct {
	first [longest + 1][32]Name // the first candidate
	next  [names]Name           // the candidate after this one, Other for none
	words [names]word
}) {
	for n := names - 1; n > Other; n-- {
		s := spelled[n]
		t.words[n], _ = fold([]byte(s))
		slot := &t.first[len(s)][s[0]&31]
		t.next[n], *slot = *slot, n
	}
	return t
}()

// word is a name of up to 24 letters in lower case: its first eight, its last
// eight, and what may be left between them.
type word struct{ head, tail, mid uint64 }

// fold lowers the letters of b; ok is false if b has a byte that lowering would
// turn into one of a name's bytes although it is none.
func fold(b []byte) (w word, ok bool) {
	const lower, bit6 = 0x2020202020202020, 0x4040404040404040
	switch n := len(b); {
	case n >= 8:
		w.head = binary.LittleEndian.Uint64(b)
		w.tail = binary.LittleEndian.Uint64(b[n-8:])
		w.mid = w.tail
		if n > 16 {
			w.mid = binary.LittleEndian.Uint64(b[8:])
		}
	case n >= 4:
		w.head = uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))<<32
		w.tail, w.mid = w.head, w.head
	default:
		w.head = lower
		for _, c := range b {
			w.head = w.head<<8 | uint64(c)
		}
		w.tail, w.mid = w.head, w.head
	}
	// Setting bit 5 lowers a letter and leaves digits and "-" alone, but it also
	// lifts a control character into them: those have neither bit 5 nor bit 6.
	sound := (w.head | w.head<<1) & (w.tail | w.tail<<1) & (w.mid | w.mid<<1)
	w.head, w.tail, w.mid = w.head|lower, w.tail|lower, w.mid|lower
	return w, sound&bit6 == bit6
}

// LookupName returns the well-known name that b spells, in any case of letters.
func LookupName(b []byte) Name {
	if len(b) == 0 || len(b) > longest {
		return Other
	}
	n := lookup.first[len(b)][b[0]&31]
	if n == Other {
		return Other
	}
	w, ok := fold(b)
	if !ok {
		return Other
	}
	for ; n != Other; n = lookup.next[n] {
		if lookup.words[n] == w {
			return n
		}
	}
	return Other
}

// EqualFold reports whether b is s, which must be in lower case, in any case of
// ASCII letters.
func EqualFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != s[i] {
			return false
		}
	}
	return true
}

// Idempotent reports whether the effect of several identical requests is that
// of one (RFC 9110 §9.2.2). Methods are case-sensitive.
func Idempotent(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// Safe reports whether the client asks for no change at all (RFC 9110 §9.2.1).
func Safe(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	}
	return false
}

// StatusText is the reason phrase that RFC 9110 §15 suggests for a status, ""
// for an unregistered one.
func StatusText(status int) string {
	if i := status - 100; i >= 0 && i < len(statusText) {
		return statusText[i]
	}
	return ""
}

var statusText = [500]string{
	0: "Continue", 1: "Switching Protocols", 2: "Processing", 3: "Early Hints",
	100: "OK", 101: "Created", 102: "Accepted", 103: "Non-Authoritative Information", 104: "No Content",
	105: "Reset Content", 106: "Partial Content", 107: "Multi-Status", 108: "Already Reported", 126: "IM Used",
	200: "Multiple Choices", 201: "Moved Permanently", 202: "Found", 203: "See Other", 204: "Not Modified",
	205: "Use Proxy", 207: "Temporary Redirect", 208: "Permanent Redirect",
	300: "Bad Request", 301: "Unauthorized", 302: "Payment Required", 303: "Forbidden", 304: "Not Found",
	305: "Method Not Allowed", 306: "Not Acceptable", 307: "Proxy Authentication Required", 308: "Request Timeout",
	309: "Conflict", 310: "Gone", 311: "Length Required", 312: "Precondition Failed", 313: "Content Too Large",
	314: "URI Too Long", 315: "Unsupported Media Type", 316: "Range Not Satisfiable", 317: "Expectation Failed",
	321: "Misdirected Request", 322: "Unprocessable Content", 323: "Locked", 324: "Failed Dependency",
	325: "Too Early", 326: "Upgrade Required", 328: "Precondition Required", 329: "Too Many Requests",
	331: "Request Header Fields Too Large", 351: "Unavailable For Legal Reasons",
	400: "Internal Server Error", 401: "Not Implemented", 402: "Bad Gateway", 403: "Service Unavailable",
	404: "Gateway Timeout", 405: "HTTP Version Not Supported", 406: "Variant Also Negotiates",
	407: "Insufficient Storage", 408: "Loop Detected", 410: "Not Extended", 411: "Network Authentication Required",
}
