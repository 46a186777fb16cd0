package h1

import (
	"strconv"

	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire"
)

// AppendRequestLine appends "method target HTTP/1.minor CRLF". An empty target or
// one that begins with its query gets its "/", except that an empty one for
// OPTIONS is "*" (RFC 9112 §3.2.4). Bytes that no request line may hold are
// percent-encoded, in a method they are left out, so nothing that came from
// elsewhere can end the line.
func AppendRequestLine(dst, method, target []byte, minor uint8) []byte {
	dst = appendWhere(dst, method, &wire.TokenChar)
	dst = append(dst, ' ')
	switch {
	case len(target) == 0 && string(method) == "OPTIONS":
		dst = append(dst, '*')
	case len(target) == 0 || target[0] == '?':
		dst = append(dst, '/')
	}
	dst = appendTarget(dst, target)
	return append(append(dst, " HTTP/1."...), '0'+minor, '\r', '\n')
}

func appendTarget(dst, b []byte) []byte {
	const hex = "0123456789ABCDEF"
	for len(b) > 0 {
		n := wire.TargetLen(b)
		dst = append(dst, b[:n]...)
		if b = b[n:]; len(b) > 0 {
			dst = append(dst, '%', hex[b[0]>>4], hex[b[0]&15])
			b = b[1:]
		}
	}
	return dst
}

// appendWhere appends the bytes of b that are in t.
func appendWhere(dst, b []byte, t *[256]bool) []byte {
	for _, c := range b {
		if t[c] {
			dst = append(dst, c)
		}
	}
	return dst
}

// AppendStatusLine appends "HTTP/1.1 status reason CRLF": we speak our own
// version, whatever the upstream spoke (RFC 9110 §2.5). An empty reason, or one
// with bytes that it may not hold, leaves only its SP. A status that is not
// 100..599 becomes 502, since a line must hold three digits.
func AppendStatusLine(dst []byte, status int, reason []byte) []byte {
	if status < 100 || status > 599 {
		status, reason = 502, nil
	}
	if wire.FirstControl(reason) < len(reason) {
		reason = nil
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(dst, byte('0'+status/100), byte('0'+status/10%10), byte('0'+status%10), ' ')
	dst = append(dst, reason...)
	return append(dst, "\r\n"...)
}

// AppendFields appends the field lines of h that are not dropped, in their order
// and spelling, without the empty line. Lines that our own Parser has checked
// are copied as they stand, neighbours in one piece; all others are written
// field by field, so that no value can end its line.
func AppendFields(dst []byte, h *message.Head) []byte {
	raw := h.Raw
	from, to := 0, 0 // the run of lines that waits to be copied
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Flags&message.Drop != 0 {
			continue
		}
		start, end := int(f.Name.Off), 0
		if h.Lines && f.Flags == 0 {
			end = cleanLine(raw, f)
		}
		if start != to || end == 0 {
			dst = append(dst, raw[from:to]...)
			from, to = start, start
		}
		if end > 0 {
			to = end
			continue
		}
		dst = appendName(dst, h.Bytes(f.Name))
		dst = h.AppendValue(dst, f)
		dst = append(dst, "\r\n"...)
	}
	return append(dst, raw[from:to]...)
}

// cleanLine returns the offset behind the line of f if it stands in raw as we
// would write it, but for white space around the value; 0 if it does not.
func cleanLine(raw []byte, f *message.Field) int {
	if k := int(f.Name.End()); k >= len(raw) || raw[k] != ':' {
		return 0 // white space before the colon
	}
	e := int(f.Value.End())
	for e < len(raw) && wire.Space(raw[e]) {
		e++
	}
	if e+1 < len(raw) && raw[e] == '\r' && raw[e+1] == '\n' {
		return e + 2
	}
	return 0
}

// appendName appends name and ": ". A name is checked by whoever made it; should
// it hold anything but tchar all the same, that becomes "-".
func appendName(dst, name []byte) []byte {
	for _, c := range name {
		if !wire.TokenChar[c] {
			c = '-'
		}
		dst = append(dst, c)
	}
	return append(dst, ": "...)
}

// AppendField appends "name: value CRLF". Control characters in value become SP.
func AppendField(dst []byte, name, value string) []byte {
	for i := range len(name) {
		c := name[i]
		if !wire.TokenChar[c] {
			c = '-'
		}
		dst = append(dst, c)
	}
	dst = append(dst, ": "...)
	for i := range len(value) {
		c := value[i]
		if wire.Control(c) {
			c = ' '
		}
		dst = append(dst, c)
	}
	return append(dst, "\r\n"...)
}

// AppendChunk appends the line that begins a chunk of n bytes; its data and CRLF
// follow. For n = 0 that is the last chunk, which trailers, if any, and one more
// CRLF follow (RFC 9112 §7.1).
func AppendChunk(dst []byte, n int) []byte {
	return append(strconv.AppendInt(dst, int64(n), 16), "\r\n"...)
}
