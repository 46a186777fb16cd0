// Package tracecontext reads and writes the traceparent field, and checks the tracestate field, of W3C Trace Context
// (https://www.w3.org/TR/trace-context/), by which servers tell each other to which
// trace a request belongs.
package tracecontext

import "bytes"

// ID is a trace's, Span a span's in it. All zeros is none.
type (
	ID   [16]byte
	Span [8]byte
)

// The flags that are assigned.
const (
	Sampled = 1 // the caller may have recorded its part
	Random  = 2 // the last seven bytes of the trace's id were made by chance (level 2)
)

// Context is what a traceparent says.
type Context struct {
	Trace  ID
	Parent Span // the caller's span
	Flags  byte
}

// length is that of version 00.
const length = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

// Parse reads the value of a traceparent field. It takes what is like version 00 of a
// version that is not known yet, as §4.3 has it.
func Parse(b []byte) (c Context, ok bool) {
	var version [1]byte
	var flags [1]byte
	switch {
	case len(b) < length, b[2] != '-', b[35] != '-', b[52] != '-',
		!unhex(version[:], b[:2]), version[0] == 0xff,
		version[0] == 0 && len(b) > length, len(b) > length && b[length] != '-',
		!unhex(c.Trace[:], b[3:35]), !unhex(c.Parent[:], b[36:52]), !unhex(flags[:], b[53:55]),
		c.Trace == ID{}, c.Parent == Span{}:
		return Context{}, false
	}
	// "Vendors MUST set those to zero", the other flags (§3.2.2.5.2); of a version that is
	// not known only this one is (§4.3).
	c.Flags = flags[0] & (Sampled | Random)
	if version[0] != 0 {
		c.Flags &= Sampled
	}
	return c, true
}

// Append appends c as the value of a traceparent field of version 00.
func (c *Context) Append(dst []byte) []byte {
	dst = append(AppendHex(append(dst, "00-"...), c.Trace[:]), '-')
	dst = append(AppendHex(dst, c.Parent[:]), '-')
	return AppendHex(dst, []byte{c.Flags})
}

const (
	maxMembers = 32
	maxKey     = 256
	maxValue   = 256
)

// CheckState reports whether values, those of the tracestate fields of a request in their
// order, are a list as §3.3 has it: keys that occur once, of printable ASCII, and at most
// 32 members. What is in it is its vendors' affair. A list without members is one.
func CheckState(values ...[]byte) bool {
	var keys [maxMembers][]byte
	n := 0
	for _, v := range values {
		for len(v) > 0 {
			var member []byte
			member, v, _ = bytes.Cut(v, []byte(","))
			if member = bytes.Trim(member, " \t"); len(member) == 0 {
				continue
			}
			key, value, ok := bytes.Cut(member, []byte("="))
			if !ok || n == maxMembers || !isKey(key) || !isValue(value) {
				return false
			}
			for _, other := range keys[:n] {
				if bytes.Equal(other, key) {
					return false
				}
			}
			keys[n] = key
			n++
		}
	}
	return true
}

// isKey: a vendor's name, or a tenant's at a vendor's (§3.3.2.2.1). Level 2 lets both
// begin with a digit and says nothing of their lengths but for the whole.
func isKey(b []byte) bool {
	if len(b) == 0 || len(b) > maxKey {
		return false
	}
	at := 0
	for i, c := range b {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case c == '@' && at == 0 && i > 0 && i+1 < len(b):
			at = i
		case i > 0 && (at == 0 || i != at+1) && (c == '_' || c == '-' || c == '*' || c == '/'):
		default:
			return false
		}
	}
	return true
}

// isValue (§3.3.2.2.2). Spaces at its end have been cut off.
func isValue(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' || c == ',' || c == '=' {
			return false
		}
	}
	return len(b) > 0 && len(b) <= maxValue
}

const digits = "0123456789abcdef"

// AppendHex appends b in lower-case hexadecimal digits.
func AppendHex(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	return dst
}

// unhex reads lower-case digits only: "traceparent ... MUST be lowercase" (§3.2.2).
func unhex(dst, b []byte) bool {
	for i := range dst {
		var n byte
		for _, c := range b[2*i : 2*i+2] {
			switch {
			case '0' <= c && c <= '9':
				n = n<<4 | (c - '0')
			case 'a' <= c && c <= 'f':
				n = n<<4 | (c - 'a' + 10)
			default:
				return false
			}
		}
		dst[i] = n
	}
	return true
}
