package http1

import (
	"strconv"

	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// Onward says how a request's head is written to an upstream.
type Onward struct {
	// Added are field lines that every request of the client's connection gets:
	// X-Forwarded-For, X-Forwarded-Proto.
	Added []byte
	// Via is our pseudonym.
	Via []byte
	// Host is the authority of a request that names none, as HTTP/1.0 clients may:
	// where the client connected to.
	Host []byte
	// Length is the body's length where it is known although the client's
	// framing does not say; -1 to keep the client's framing.
	Length int64
	// Expect keeps "Expect: 100-continue".
	Expect bool
	// Speak10 writes HTTP/1.0 (after a 505); a chunked body is then impossible.
	Speak10 bool
}

// AppendRequest writes the head of q for the next hop. Hop-by-hop fields are
// gone, framing is stated once and anew, so that no two parsers can read the
// request differently (RFC 9112 §6.3, RFC 9110 §7.6).
func AppendRequest(dst []byte, q *Request, o *Onward) []byte {
	h := &q.Head
	minor := uint8(1)
	if o.Speak10 {
		minor = 0
	}
	dst = h1.AppendRequestLine(dst, h.Bytes(h.Method), h.Bytes(h.Path), minor)
	dst = append(dst, "Host: "...)
	authority := h.Bytes(h.Authority)
	if len(authority) == 0 {
		authority = o.Host
	}
	dst = append(dst, authority...)
	dst = append(dst, "\r\n"...)
	dst = h1.AppendFields(dst, h)
	switch {
	case o.Length >= 0 && q.Framing.Body != h1.NoBody:
		dst = appendLength(dst, o.Length)
	case q.Framing.Body == h1.Sized:
		dst = appendLength(dst, q.Framing.Length)
	case q.Framing.Body == h1.Chunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	if o.Expect {
		dst = append(dst, "Expect: 100-continue\r\n"...)
	}
	switch {
	case q.Framing.Upgrade:
		dst = append(dst, "Connection: upgrade\r\nUpgrade: "...)
		dst = append(dst, h.Value(message.Upgrade)...)
		dst = append(dst, "\r\n"...)
	case q.Framing.Trailers:
		dst = append(dst, "Connection: TE\r\nTE: trailers\r\n"...)
	}
	dst = append(dst, "X-Forwarded-Host: "...)
	dst = append(dst, authority...)
	dst = append(dst, "\r\n"...)
	dst = append(dst, o.Added...)
	return appendVia(dst, h, o.Via)
}

func appendLength(dst []byte, n int64) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, "\r\n"...)
}

// Back says how an answer's head is written to the client.
type Back struct {
	Minor   uint8 // the client's HTTP/1.Minor
	Body    h1.BodyKind
	Length  int64  // of a Sized body; also told for HEAD and 304 when NoBody and >= 0
	Close   bool   // the connection ends after this answer
	Via     []byte // our pseudonym
	Date    []byte // value of a Date field to add; nil for none
	Status  []byte // value of a Proxy-Status field to add; nil for none
	Upgrade bool   // a 101: Connection and Upgrade are kept
}

// AppendAnswer writes the head of an upstream's answer for the client.
func AppendAnswer(dst []byte, h *message.Head, o *Back) []byte {
	dst = h1.AppendStatusLine(dst, h.Status, h.Bytes(h.Reason))
	dst = h1.AppendFields(dst, h)
	if h.Status < 200 || h.Status == 204 {
		// "A server MUST NOT send a Content-Length header field in any response
		// with a status code of 1xx or 204" (RFC 9110 §8.6).
		bare := *o
		bare.Length = -1
		o = &bare
	}
	dst = appendBack(dst, o)
	if o.Date != nil {
		dst = append(append(append(dst, "Date: "...), o.Date...), "\r\n"...)
	}
	if o.Upgrade {
		dst = append(dst, "Connection: upgrade\r\n"...) // Upgrade itself is one of the fields
	}
	return appendVia(dst, h, o.Via)
}

// appendVia ends a head with our Via, which tells the version that the message
// came in (RFC 9110 §7.6.3).
func appendVia(dst []byte, h *message.Head, via []byte) []byte {
	if h.Minor == 0 {
		dst = append(dst, "Via: 1.0 "...)
	} else {
		dst = append(dst, "Via: 1.1 "...)
	}
	return append(append(dst, via...), "\r\n\r\n"...)
}

// appendBack writes what concerns this hop only: framing, persistence, status.
func appendBack(dst []byte, o *Back) []byte {
	switch {
	case o.Body == h1.Sized, o.Body == h1.NoBody && o.Length >= 0:
		dst = appendLength(dst, o.Length)
	case o.Body == h1.Chunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case o.Upgrade:
	case o.Close:
		dst = append(dst, "Connection: close\r\n"...)
	case o.Minor == 0:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	if o.Status != nil {
		dst = append(dst, "Proxy-Status: "...)
		dst = append(dst, o.Status...)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// AppendOwn writes the head of an answer that the gateway makes itself. fields
// are whole lines.
func AppendOwn(dst []byte, status int, fields []byte, o *Back) []byte {
	dst = h1.AppendStatusLine(dst, status, []byte(message.StatusText(status)))
	dst = append(dst, fields...)
	dst = appendBack(dst, o)
	dst = append(dst, "Via: 1.1 "...)
	dst = append(dst, o.Via...)
	return append(dst, "\r\n\r\n"...)
}

// AppendInterim writes an interim (1xx) head for the client.
func AppendInterim(dst []byte, h *message.Head, via []byte) []byte {
	dst = h1.AppendStatusLine(dst, h.Status, h.Bytes(h.Reason))
	dst = h1.AppendFields(dst, h)
	dst = append(dst, "Via: 1.1 "...)
	dst = append(dst, via...)
	return append(dst, "\r\n\r\n"...)
}
