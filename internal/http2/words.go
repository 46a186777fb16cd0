package http2

import (
	"bytes"
	"strconv"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
)

// words say a flaw in a clause.
var words = map[h2.Flaw]string{
	h2.FrameTooLarge: "it is longer than the 16384 bytes that we take", h2.FrameLength: "a length that its type cannot have",
	h2.PriorityLength: "a length that its type cannot have", h2.NeedsStream: "stream 0 is not for frames of this type",
	h2.ForbidsStream: "its type belongs on stream 0", h2.PadTooLong: "the padding is longer than the payload",
	h2.SelfDependency: "the stream depends on itself", h2.AckNotEmpty: "an acknowledgement with a payload",
	h2.SettingInvalid: "a value that this setting cannot have", h2.WindowTooLarge: "a window above 2^31-1",
	h2.NoIncrement: "an increment of 0", h2.IndexInvalid: "an index that no table entry has",
	h2.IntegerTooLong: "an integer above 2^32-1", h2.HuffmanInvalid: "broken Huffman code",
	h2.TableLate: "a change of the table's size behind a field", h2.TableTooLarge: "a table larger than we said that we keep",
	h2.BlockCut: "the block ends inside a field", h2.NameEmpty: "a field without a name",
	h2.NameUpper: "an upper-case letter in a field's name", h2.NameChar: "a byte that no field name may have",
	h2.NUL: "a NUL byte in a value", h2.LineBreak: "a line break in a value", h2.Control: "a control character in a value",
	h2.ValueSpace: "white space around a value", h2.PseudoLate: "a pseudo-field behind other fields",
	h2.PseudoUnknown: "a pseudo-field that has no place here", h2.PseudoDuplicate: "a pseudo-field that came twice",
	h2.PseudoMissing: "a pseudo-field is missing", h2.ConnectionField: "a field about the connection",
	h2.StatusInvalid: "it is not three digits from 100 to 599, or is 101", h2.LengthInvalid: "a Content-Length that is no number",
	h2.LengthConflict: "two Content-Length fields that differ", h2.LengthMismatch: "Content-Length is not what came",
	h2.FieldTooLong: "one field is over its limit", h2.SectionTooLarge: "the head is over its limit",
	h2.TooManyFields: "more fields than the limit", h2.Duplicate: "a field that may come once came twice",
	h2.LengthForbidden: "Content-Length where no content can be",

	h2.TEInvalid: "TE with a value other than trailers", h2.MethodInvalid: "a byte that no method may have, or no method",
	h2.SchemeInvalid: "a scheme that is neither http nor https", h2.PathInvalid: "a path of no form that its method allows",
	h2.AuthorityInvalid: "an authority that is no host and port", h2.HostMissing: "neither :authority nor Host",
	h2.HostDuplicate: "two Host fields", h2.HostDiffers: "a Host that differs from :authority",
	h2.ExpectUnknown: "an expectation other than 100-continue", h2.PathTooLong: "the path is over its limit",
}

// ofFrame is the fault of an upstream's frame with this flaw.
func ofFrame(f h2.Flaw) fault.ID {
	switch f {
	case h2.NeedsStream, h2.ForbidsStream:
		return fault.H2StreamIDInvalid
	case h2.PadTooLong:
		return fault.H2Padding
	case h2.AckNotEmpty, h2.SettingInvalid, h2.WindowTooLarge:
		return fault.H2SettingsInvalid
	case h2.NoIncrement:
		return fault.H2WindowUpdateBad
	}
	return fault.H2FrameSize
}

// ofSection is the fault, or the receipt, of an answer's field section with this
// flaw.
func ofSection(f h2.Flaw) fault.ID {
	switch f {
	case h2.NameUpper, h2.NameChar, h2.NameEmpty, h2.NUL, h2.LineBreak, h2.ValueSpace:
		return fault.H2FieldUppercase
	case h2.Control:
		return fault.HeaderCtl
	case h2.PseudoMissing:
		return fault.H2StatusMissing
	case h2.StatusInvalid, h2.PseudoDuplicate:
		return fault.H2StatusInvalid
	case h2.PseudoLate, h2.PseudoUnknown:
		return fault.H2PseudoOrder
	case h2.ConnectionField:
		return fault.H2ConnectionHeader
	case h2.LengthInvalid:
		return fault.CLInvalid
	case h2.LengthConflict:
		return fault.CLConflict
	case h2.LengthMismatch:
		return fault.H2ContentLengthMismatch
	case h2.LengthForbidden:
		return fault.BodyForbiddenFraming
	case h2.Duplicate:
		return fault.HeaderSingletonDuplicate
	case h2.FieldTooLong, h2.SectionTooLarge, h2.TooManyFields:
		return fault.H2HeadersTooLarge
	}
	return fault.GatewayInternalError
}

// ofCode is the fault of a stream that the upstream reset with c.
func ofCode(c h2.Code) fault.ID {
	switch c {
	case h2.RefusedStream:
		return fault.H2RSTRefused
	case h2.Cancel:
		return fault.H2RSTCancel
	case h2.InternalError:
		return fault.H2RSTInternal
	case h2.ProtocolError:
		return fault.H2RSTProtocol
	case h2.EnhanceYourCalm:
		return fault.H2RSTEnhanceCalm
	case h2.HTTP11Required:
		return fault.H2RSTHTTP11Required
	case h2.InadequateSecurity:
		return fault.H2InadequateSecurity
	}
	return fault.H2RSTOther
}

// limitOf is the limit, in bytes, that a flaw of a field section is about.
func limitOf(f h2.Flaw, l *h2.Limits) int {
	switch f {
	case h2.FieldTooLong:
		return l.Field
	case h2.TooManyFields:
		return l.Fields
	}
	return l.Head
}

var typeNames = map[h2.Type]string{h2.Data: "DATA", h2.Headers: "HEADERS", h2.Priority: "PRIORITY", h2.RSTStream: "RST_STREAM",
	h2.Settings: "SETTINGS", h2.PushPromise: "PUSH_PROMISE", h2.Ping: "PING", h2.GoAway: "GOAWAY",
	h2.WindowUpdate: "WINDOW_UPDATE", h2.Continuation: "CONTINUATION", h2.PriorityUpdate: "PRIORITY_UPDATE"}

// typeName is the name of a frame's type.
func typeName(t h2.Type) string {
	if s := typeNames[t]; s != "" {
		return s
	}
	return "type " + strconv.Itoa(int(t))
}

// describe names a frame in a sentence.
func describe(h h2.Header) string {
	return typeName(h.Type) + " of " + strconv.Itoa(int(h.Length)) + " bytes on stream " + strconv.Itoa(int(h.Stream))
}

// around is how many bytes of evidence a fault carries to either side of the
// guilty one.
const around = 256

// excerpt is the neighbourhood of mark in b, with secrets masked. A frame's bytes
// hold them compressed; heads are lines.
func excerpt(b []byte, mark int) *fault.Excerpt {
	at := max(0, min(mark, len(b)))
	to := min(len(b), at+around)
	b = message.Mask(nil, b[:to])
	from := max(0, at-around)
	return &fault.Excerpt{Bytes: bytes.Clone(b[from:to]), Base: int64(from), Mark: int64(mark)}
}

// lineAt returns the name and the masked value of the field line in which b[i] lies.
func lineAt(b []byte, i int) (name, value []byte) {
	b = message.Mask(nil, b)
	i = max(0, min(i, len(b)))
	from := bytes.LastIndexByte(b[:i], '\n') + 1
	line := b[from:]
	if n := bytes.Index(line, []byte("\r\n")); n >= 0 {
		line = line[:n]
	}
	n := bytes.Index(line[min(1, len(line)):], []byte(": "))
	if n < 0 {
		return line, nil
	}
	return line[:n+1], line[n+3:]
}

// quoteByte spells b[i].
func quoteByte(b []byte, i int) string {
	switch {
	case i < 0 || i >= len(b):
		return "the end"
	case b[i] <= ' ' || b[i] >= 0x7f:
		const hex = "0123456789abcdef"
		return "0x" + string([]byte{hex[b[i]>>4], hex[b[i]&15]})
	}
	return strconv.QuoteRune(rune(b[i]))
}

// quote makes foreign bytes safe and short for a sentence.
func quote(b []byte) string {
	const most = 80
	if len(b) > most {
		return strconv.QuoteToASCII(string(b[:most])) + "..."
	}
	return strconv.QuoteToASCII(string(b))
}

// appendVia ends a head with our Via, which tells the version that the message
// came in (RFC 9110 §7.6.3).
func appendVia(dst []byte, h *message.Head, via []byte) []byte {
	var room [128]byte
	v := append(room[:0], "1.1 "...)
	switch {
	case h.Major == 2:
		v = append(v[:0], "2.0 "...)
	case h.Minor == 0:
		v = append(v[:0], "1.0 "...)
	}
	return h2.AppendKnown(dst, message.Via, append(v, via...))
}
