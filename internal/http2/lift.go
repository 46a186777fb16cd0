package http2

import (
	"bytes"
	"strconv"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
)

// ofRequest is the fault of a client's head with a flaw; all others are
// RequestHeaderMalformed.
var ofRequest = map[h2.Flaw]fault.ID{
	h2.MethodInvalid: fault.RequestLineMalformed, h2.SchemeInvalid: fault.RequestTargetInvalid,
	h2.PathInvalid: fault.RequestTargetInvalid, h2.PseudoMissing: fault.RequestLineMalformed,
	h2.PseudoDuplicate: fault.RequestLineMalformed, h2.PseudoLate: fault.RequestLineMalformed,
	h2.PseudoUnknown: fault.RequestLineMalformed, h2.AuthorityInvalid: fault.RequestHostInvalid,
	h2.HostMissing: fault.RequestHostInvalid, h2.HostDuplicate: fault.RequestHostInvalid,
	h2.HostDiffers: fault.RequestHostInvalid, h2.LengthInvalid: fault.RequestLengthInvalid,
	h2.LengthConflict: fault.RequestFramingAmbiguous, h2.LengthMismatch: fault.RequestBodyBroken,
	h2.ExpectUnknown: fault.RequestExpectationUnknown, h2.PathTooLong: fault.RequestTargetTooLong,
	h2.FieldTooLong: fault.RequestHeaderTooLarge, h2.SectionTooLarge: fault.RequestHeaderTooLarge,
	h2.TooManyFields: fault.RequestHeaderTooLarge,
}

// tooLarge reports whether a flaw is a limit of ours and not a mistake of the client's.
func tooLarge(f h2.Flaw) bool {
	switch f {
	case h2.PathTooLong, h2.FieldTooLong, h2.SectionTooLarge, h2.TooManyFields, h2.ExpectUnknown:
		return true
	}
	return false
}

// liftSection makes a fault of the flaw in a request's head.
func liftSection(e h2.Error, h *message.Head, l *h2.Limits) *fault.Fault {
	id, ok := ofRequest[e.Flaw]
	if !ok {
		id = fault.RequestHeaderMalformed
	}
	f := fault.New(id, "flaw", words[e.Flaw])
	switch e.Flaw {
	case h2.PathTooLong:
		f.With("limit", strconv.Itoa(l.Path)+" bytes")
	case h2.FieldTooLong:
		f.With("limit", strconv.Itoa(l.Field)+" bytes")
	case h2.SectionTooLarge:
		f.With("limit", strconv.Itoa(l.Head)+" bytes")
	case h2.TooManyFields:
		f.With("limit", strconv.Itoa(l.Fields)+" fields")
	}
	// The head stands as lines, so that it is masked and shown as one of HTTP/1.1.
	const near = 256
	i := max(0, min(int(e.At), len(h.Raw)))
	b := message.Mask(nil, h.Raw[:min(len(h.Raw), i+near)])
	from := max(0, i-near)
	f.Saw = &fault.Excerpt{Bytes: bytes.Clone(b[from:]), Base: int64(from), Mark: e.At}
	byteAt := "the end"
	if i < len(b) {
		byteAt = strconv.QuoteRuneToASCII(rune(b[i]))
	}
	start := bytes.LastIndexByte(b[:i], '\n') + 1
	line := b[start:]
	if end := bytes.Index(line, []byte("\r\n")); end >= 0 {
		line = line[:end]
	}
	f.With("offset", strconv.Itoa(i)).With("byte", byteAt).With("got", byteAt).With("line", quoted(line))
	if k := bytes.Index(line, []byte(": ")); k > 0 {
		f.With("field", quoted(line[:k])).With("value", quoted(line[k+2:]))
	} else if len(line) > 0 {
		f.With("value", quoted(line))
	}
	return f
}

// quoted makes foreign bytes safe and short for a sentence.
func quoted(b []byte) string {
	const most = 80
	if len(b) > most {
		return strconv.QuoteToASCII(string(b[:most])) + "..."
	}
	return strconv.QuoteToASCII(string(b))
}
