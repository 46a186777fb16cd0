package message

import (
	"bytes"
	"time"
)

// IsGRPC reports whether a Content-Type is that of a gRPC message: application/grpc
// with an optional suffix (+proto) or parameters. gRPC-Web is another protocol.
func IsGRPC(contentType []byte) bool {
	const name = "application/grpc"
	if len(contentType) < len(name) || !EqualFold(contentType[:len(name)], name) {
		return false
	}
	rest := contentType[len(name):]
	return len(rest) == 0 || bytes.IndexByte([]byte("+; \t"), rest[0]) >= 0
}

// GRPCTimeout reads the value of grpc-timeout: at most 8 digits and a unit. ok is
// false if it is none.
func GRPCTimeout(value []byte) (d time.Duration, ok bool) {
	n := len(value) - 1
	if n < 1 || n > 8 {
		return 0, false
	}
	for _, c := range value[:n] {
		if c < '0' || c > '9' {
			return 0, false
		}
		d = 10*d + time.Duration(c-'0')
	}
	switch value[n] {
	case 'H': // up to 11 000 years, more than a Duration holds
		return min(d, 1_000_000) * time.Hour, true
	case 'M':
		return d * time.Minute, true
	case 'S':
		return d * time.Second, true
	case 'm':
		return d * time.Millisecond, true
	case 'u':
		return d * time.Microsecond, true
	case 'n':
		return d, true
	}
	return 0, false
}

// FieldNamed returns the first field with this name, which is in lower case and
// not one of the well-known ones; nil if there is none.
func (h *Head) FieldNamed(name string) *Field {
	for i := range h.Fields {
		if f := &h.Fields[i]; int(f.Name.Len) == len(name) && EqualFold(h.Bytes(f.Name), name) {
			return f
		}
	}
	return nil
}

// Append adds a field to a head that was made and not read.
func (h *Head) Append(name, value string) {
	n := uint32(len(h.Raw))
	h.Raw = append(append(h.Raw, name...), value...)
	h.Fields = append(h.Fields, Field{Name: Span{n, uint32(len(name))}, Value: Span{n + uint32(len(name)), uint32(len(value))}})
}
