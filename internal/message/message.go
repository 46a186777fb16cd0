// Package message is an HTTP message without a version: method, target, status,
// fields. Any codec can fill it in, any part of the gateway can read it.
//
// A Head owns no bytes: its spans point into Raw, which belongs to whoever read
// the message. Nothing here allocates once Fields has grown to a usual size.
package message

// Span is a piece of Head.Raw.
type Span struct{ Off, Len uint32 }

// End is the offset just behind the span.
func (s Span) End() uint32 { return s.Off + s.Len }

// Field is one field line, in the order in which it came.
type Field struct {
	Name, Value Span // Value without surrounding whitespace
	ID          Name // which well-known name it is; 0 for any other
	Flags       Flags
}

// Flags say how a field must be treated when it is written again.
type Flags uint8

// The flags.
const (
	// Folded: the value spans lines; each line break and the white space around
	// it becomes one SP (RFC 9112 §5.2).
	Folded Flags = 1 << iota
	// Controls: the value holds control characters, each becomes SP (RFC 9110 §5.5).
	Controls
	// Drop: the field is not to be passed on.
	Drop
)

// Head is the head of a request or of a response.
type Head struct {
	Raw          []byte
	Major, Minor uint8 // protocol version of the sender
	Method       Span  // request
	Target       Span  // request: as received, in any of the four forms of RFC 9112 §3.2
	Authority    Span  // request: host and port, from the target or the Host field
	Path         Span  // request: path and query; for OPTIONS "*" that asterisk
	Status       int   // response: 100..599
	Reason       Span  // response
	Fields       []Field
	// Lines: Raw holds each field as a checked HTTP/1.1 field line, so that a
	// codec may copy lines as they stand. Only the parser that checked them sets
	// it; a Head made in any other way is written field by field.
	Lines bool
}

// Bytes returns the bytes of s.
func (h *Head) Bytes(s Span) []byte { return h.Raw[s.Off : s.Off+s.Len : s.Off+s.Len] }

// Reset empties h and keeps its memory.
func (h *Head) Reset() { *h = Head{Fields: h.Fields[:0]} }

// AppendValue appends the value of f as it may be written again: line breaks
// and the white space around them become one SP, other control characters SP
// each. Whatever f holds, no CR, LF or NUL is written.
func (h *Head) AppendValue(dst []byte, f *Field) []byte {
	for v := h.Bytes(f.Value); len(v) > 0; {
		n := 0
		for n < len(v) && (v[n] >= ' ' && v[n] != 0x7f || v[n] == '\t') {
			n++
		}
		if n == len(v) {
			return append(dst, v...)
		}
		if v[n] != '\r' && v[n] != '\n' {
			dst, v = append(append(dst, v[:n]...), ' '), v[n+1:]
			continue
		}
		left, right := n, n+1
		for left > 0 && (v[left-1] == ' ' || v[left-1] == '\t') {
			left--
		}
		for right < len(v) && (v[right] == ' ' || v[right] == '\t' || v[right] == '\r' || v[right] == '\n') {
			right++
		}
		dst, v = append(append(dst, v[:left]...), ' '), v[right:]
	}
	return dst
}

// Find returns the index of the first field with the well-known name id, -1 if
// there is none.
func (h *Head) Find(id Name) int {
	for i := range h.Fields {
		if h.Fields[i].ID == id {
			return i
		}
	}
	return -1
}

// Value returns the value of the first field with the well-known name id, nil
// if there is none.
func (h *Head) Value(id Name) []byte {
	if i := h.Find(id); i >= 0 {
		return h.Bytes(h.Fields[i].Value)
	}
	return nil
}
