package h2

import (
	"strconv"

	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire"
)

// The first bits of the representations of fields (RFC 7541 §6).
const (
	bitsIndexed = 0x80
	bitsPlain   = 0x00 // a literal without indexing
	bitsNever   = 0x10 // a literal that nobody on the way may index
)

// appendInteger appends v with a prefix of so many bits, first being what stands
// above it (RFC 7541 §5.1).
func appendInteger(dst []byte, first byte, prefix uint, v int) []byte {
	most := 1<<prefix - 1
	if v < most {
		return append(dst, first|byte(v))
	}
	dst = append(dst, first|byte(most))
	for v -= most; v >= 0x80; v >>= 7 {
		dst = append(dst, byte(v)|0x80)
	}
	return append(dst, byte(v))
}

// appendLiteral appends a string (RFC 7541 §5.2), in Huffman code where that is
// shorter.
func appendLiteral(dst, s []byte) []byte {
	if n := encodedLen(s, &exact); n < len(s) {
		return appendEncoded(appendInteger(dst, 0x80, 7, n), s, &exact)
	}
	return append(appendInteger(dst, 0, 7, len(s)), s...)
}

// appendName appends the beginning of a literal field and its name, in lower
// case. Bytes that no name may have become "-".
func appendName(dst []byte, id message.Name, name []byte) []byte {
	first := byte(bitsPlain)
	switch id {
	case message.Authorization, message.ProxyAuthorization, message.Cookie, message.SetCookie:
		// "could also choose not to index values for fields that are considered to be
		// highly valuable or sensitive to recovery, such as the Cookie or Authorization
		// header fields." https://www.rfc-editor.org/rfc/rfc7541#section-7.1.3-2
		first = bitsNever
	}
	if i := staticName(id, name); i > 0 {
		return appendInteger(dst, first, 4, i)
	}
	dst = append(dst, first)
	if n := encodedLen(name, &lower); n < len(name) {
		return appendEncoded(appendInteger(dst, 0x80, 7, n), name, &lower)
	}
	dst = appendInteger(dst, 0, 7, len(name))
	for _, c := range name {
		dst = append(dst, lowered[c])
	}
	return dst
}

// lowered is how a byte of a name is written.
var lowered = func() (t [256]byte) {
	for c := range t {
		switch {
		case 'A' <= c && c <= 'Z':
			t[c] = byte(c) | 0x20
		case wire.TokenChar[c]:
			t[c] = byte(c)
		default:
			t[c] = '-'
		}
	}
	return t
}()

// AppendField appends one field. name may have upper-case letters. Control
// characters in value become SP.
func AppendField(dst, name, value []byte) []byte {
	dst = appendName(dst, message.LookupName(name), name)
	return appendValue(dst, value)
}

func appendValue(dst, value []byte) []byte {
	i, j := wire.Trim(value, 0, len(value))
	value = value[i:j]
	if wire.FirstControl(value) == len(value) {
		return appendLiteral(dst, value)
	}
	dst = appendInteger(dst, 0, 7, len(value))
	for _, c := range value {
		if wire.Control(c) {
			c = ' '
		}
		dst = append(dst, c)
	}
	return dst
}

// AppendFields appends the fields of h that are not dropped, in their order, names
// in lower case. h may be of any version.
func AppendFields(dst []byte, h *message.Head) []byte {
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Flags&message.Drop != 0 {
			continue
		}
		dst = appendName(dst, f.ID, h.Bytes(f.Name))
		if f.Flags == 0 {
			dst = appendLiteral(dst, h.Bytes(f.Value))
			continue
		}
		// AppendValue makes one line of it; its place is not known to be short enough
		// for one byte of length, so it is made behind and moved.
		at := len(dst)
		dst = h.AppendValue(dst, f)
		n := len(dst) - at
		dst = append(dst, 0, 0, 0, 0, 0, 0)
		var size [6]byte
		k := len(appendInteger(size[:0], 0, 7, n))
		copy(dst[at+k:], dst[at:at+n])
		copy(dst[at:], size[:k])
		dst = dst[:at+k+n]
	}
	return dst
}

// AppendLines appends fields that are given as whole lines, "Name: value CRLF".
func AppendLines(dst, lines []byte) []byte {
	for len(lines) > 0 {
		name := 0
		for name < len(lines) && lines[name] != ':' {
			name++
		}
		end := name
		for end < len(lines) && lines[end] != '\r' {
			end++
		}
		if end > name {
			dst = AppendField(dst, lines[:name], lines[name+1:end])
		}
		lines = lines[min(end+2, len(lines)):]
	}
	return dst
}

// AppendStatus appends :status. One that is not 100..599 becomes 502.
func AppendStatus(dst []byte, status int) []byte {
	switch status {
	case 200:
		return append(dst, bitsIndexed|staticStatus)
	case 204:
		return append(dst, bitsIndexed|staticStatus+1)
	case 206:
		return append(dst, bitsIndexed|staticStatus+2)
	case 304:
		return append(dst, bitsIndexed|staticStatus+3)
	case 400:
		return append(dst, bitsIndexed|staticStatus+4)
	case 404:
		return append(dst, bitsIndexed|staticStatus+5)
	case 500:
		return append(dst, bitsIndexed|staticStatus+6)
	}
	if status < 100 || status > 599 {
		status = 502
	}
	return append(dst, bitsPlain|staticStatus, 3, byte('0'+status/100), byte('0'+status/10%10), byte('0'+status%10))
}

// AppendControl appends the pseudo-fields of a request. path must be "/..." or,
// for OPTIONS, "*"; for CONNECT it and the scheme are left out.
func AppendControl(dst, method []byte, scheme string, authority, path []byte) []byte {
	switch string(method) {
	case "GET":
		dst = append(dst, bitsIndexed|staticMethod)
	case "POST":
		dst = append(dst, bitsIndexed|staticMethod+1)
	default:
		dst = appendValue(append(dst, bitsPlain|staticMethod), method)
	}
	if string(method) != "CONNECT" {
		if scheme == "https" {
			dst = append(dst, bitsIndexed|staticScheme+1)
		} else {
			dst = append(dst, bitsIndexed|staticScheme)
		}
		if string(path) == "/" {
			dst = append(dst, bitsIndexed|staticPath)
		} else {
			dst = appendValue(append(dst, bitsPlain|staticPath), path)
		}
	}
	if len(authority) > 0 {
		dst = appendValue(append(dst, bitsPlain|staticAuthority), authority)
	}
	return dst
}

// AppendNumber appends a field with a well-known name and a number for a value.
func AppendNumber(dst []byte, id message.Name, n int64) []byte {
	dst = appendName(dst, id, nil)
	var b [20]byte
	s := strconv.AppendInt(b[:0], n, 10)
	return append(appendInteger(dst, 0, 7, len(s)), s...)
}

// AppendKnown appends a field with a well-known name.
func AppendKnown(dst []byte, id message.Name, value []byte) []byte {
	return appendValue(appendName(dst, id, []byte(id.String())), value)
}

// AppendTableSize tells the peer that its decoder's table is not used, which it
// must be told once if the peer announced one smaller than the default (RFC 7541
// §4.2). It must be at the start of the first block after that.
func AppendTableSize(dst []byte) []byte { return append(dst, 0x20) }
