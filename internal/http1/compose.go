package http1

import (
	"strconv"

	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// AppendRequest writes the head of q for the next hop. Hop-by-hop fields are
// gone, framing is stated once and anew, so that no two parsers can read the
// request differently (RFC 9112 §6.3, RFC 9110 §7.6).
func AppendRequest(dst []byte, q *message.Request, o *message.Onward) []byte {
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
	case o.Length >= 0 && q.Framing.Body != message.NoBody:
		dst = appendLength(dst, o.Length)
	case q.Framing.Body == message.Sized:
		dst = appendLength(dst, q.Framing.Length)
	case q.Framing.Body == message.Streamed:
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
	if !o.NoXForwarded {
		dst = append(dst, "X-Forwarded-Host: "...)
		if o.ForwardedHost != nil {
			authority = o.ForwardedHost
		}
		dst = append(dst, authority...)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, o.Added...)
	dst = append(dst, o.Own...)
	return appendVia(dst, h, o.Via)
}

func appendLength(dst []byte, n int64) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, "\r\n"...)
}

// AppendAnswer writes the head of an upstream's answer for the client.
func AppendAnswer(dst []byte, h *message.Head, o *message.Back) []byte {
	dst = appendStatus(dst, h)
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

// appendStatus writes the status line of h. HTTP/2 has no reason phrases, and some
// who read HTTP/1.1 expect one.
func appendStatus(dst []byte, h *message.Head) []byte {
	if h.Major < 2 {
		return h1.AppendStatusLine(dst, h.Status, h.Bytes(h.Reason))
	}
	return h1.AppendStatusLine(dst, h.Status, []byte(message.StatusText(h.Status)))
}

// appendVia ends a head with our Via, which tells the version that the message
// came in (RFC 9110 §7.6.3).
func appendVia(dst []byte, h *message.Head, via []byte) []byte {
	switch {
	case h.Major == 2:
		dst = append(dst, "Via: 2.0 "...)
	case h.Minor == 0:
		dst = append(dst, "Via: 1.0 "...)
	default:
		dst = append(dst, "Via: 1.1 "...)
	}
	return append(append(dst, via...), "\r\n\r\n"...)
}

// appendBack writes what concerns this hop only: framing, persistence, status.
func appendBack(dst []byte, o *message.Back) []byte {
	switch {
	case o.Body == message.Sized, o.Body == message.NoBody && o.Length >= 0:
		dst = appendLength(dst, o.Length)
	case o.Body == message.Streamed:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case o.Upgrade:
	case o.Close:
		dst = append(dst, "Connection: close\r\n"...)
	case o.Minor == 0:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	dst = append(dst, o.Own...)
	if o.Status != nil {
		dst = append(dst, "Proxy-Status: "...)
		dst = append(dst, o.Status...)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// AppendOwn writes the head of an answer that the gateway makes itself. fields
// are whole lines.
func AppendOwn(dst []byte, status int, fields []byte, o *message.Back) []byte {
	dst = h1.AppendStatusLine(dst, status, []byte(message.StatusText(status)))
	dst = append(dst, fields...)
	dst = appendBack(dst, o)
	dst = append(dst, "Via: 1.1 "...)
	dst = append(dst, o.Via...)
	return append(dst, "\r\n\r\n"...)
}

// AppendInterim writes an interim (1xx) head for the client.
func AppendInterim(dst []byte, h *message.Head, via []byte) []byte {
	dst = appendStatus(dst, h)
	dst = h1.AppendFields(dst, h)
	dst = append(dst, "Via: 1.1 "...)
	dst = append(dst, via...)
	return append(dst, "\r\n\r\n"...)
}
