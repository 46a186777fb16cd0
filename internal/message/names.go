package message

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
	Host: "host", IdempotencyKey: "idempotency-key", KeepAlive: "keep-alive", LastModified: "last-modified",
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

// slots finds a name by its length and first letter; no two well-known names
// that share both are compared more than a few times.
var slots = func() (t [32][26][]Name) {
	for n := Other + 1; n < names; n++ {
		s := spelled[n]
		t[len(s)][s[0]-'a'] = append(t[len(s)][s[0]-'a'], n)
	}
	return t
}()

// LookupName returns the well-known name that b spells, in any case of letters.
func LookupName(b []byte) Name {
	if len(b) == 0 || len(b) >= len(slots) {
		return Other
	}
	c := b[0] | 0x20
	if c < 'a' || c > 'z' {
		return Other
	}
	for _, n := range slots[len(b)][c-'a'] {
		if EqualFold(b, spelled[n]) {
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
