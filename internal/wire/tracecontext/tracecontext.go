// Package tracecontext reads and writes the traceparent field of W3C Trace Context
// (https://www.w3.org/TR/trace-context/), by which servers tell each other to which
// trace a request belongs.
package tracecontext

// ID is a trace's, Span a span's in it. All zeros is none.
type (
	ID   [16]byte
	Span [8]byte
)

// Sampled is the flag that says that the caller may have recorded its part.
const Sampled = 1

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
	c.Flags = flags[0]
	if version[0] != 0 {
		c.Flags &= Sampled // what other flags mean there nobody knows
	}
	return c, true
}

// Append appends c as the value of a traceparent field of version 00.
func (c *Context) Append(dst []byte) []byte {
	dst = append(AppendHex(append(dst, "00-"...), c.Trace[:]), '-')
	dst = append(AppendHex(dst, c.Parent[:]), '-')
	return AppendHex(dst, []byte{c.Flags})
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
