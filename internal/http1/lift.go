package http1

import (
	"bytes"
	"cmp"
	"strconv"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// A request's flaws fall into few faults: what the client has to mend is said
// by the flaw in the fault's facts, what we answer by the fault's row.
var ofRequest = map[h1.Flaw]fault.ID{
	h1.NotHTTP: fault.RequestLineMalformed, h1.LeadingBlank: fault.RequestLineMalformed,
	h1.MethodChar: fault.RequestLineMalformed, h1.RequestSpacing: fault.RequestLineMalformed,
	h1.StartLineTooLong: fault.RequestLineMalformed, h1.VersionName: fault.RequestLineMalformed,
	h1.VersionMalformed: fault.RequestLineMalformed, h1.VersionUnsupported: fault.RequestVersionUnsupported,
	h1.TargetChar: fault.RequestTargetInvalid, h1.TargetForm: fault.RequestTargetInvalid,
	h1.TargetTooLong: fault.RequestTargetTooLong,
	h1.FieldTooLong:  fault.RequestHeaderTooLarge, h1.SectionTooLarge: fault.RequestHeaderTooLarge,
	h1.TooManyFields: fault.RequestHeaderTooLarge,
	h1.HostMissing:   fault.RequestHostInvalid, h1.HostDuplicate: fault.RequestHostInvalid,
	h1.HostInvalid: fault.RequestHostInvalid, h1.ExpectUnknown: fault.RequestExpectationUnknown,
	h1.LengthInvalid: fault.RequestLengthInvalid, h1.LengthEmpty: fault.RequestLengthInvalid,
	h1.LengthOverflow: fault.RequestLengthInvalid,
	h1.LengthListSame: fault.RequestFramingAmbiguous, h1.LengthDuplicateSame: fault.RequestFramingAmbiguous,
	h1.LengthConflict: fault.RequestFramingAmbiguous, h1.LengthAndCoding: fault.RequestFramingAmbiguous,
	h1.CodingNotFinal: fault.RequestFramingAmbiguous, h1.CodingDuplicate: fault.RequestFramingAmbiguous,
	h1.CodingOn10: fault.RequestFramingAmbiguous, h1.CodingUnknown: fault.RequestCodingUnknown,
	h1.ChunkSizeInvalid: fault.RequestBodyBroken, h1.ChunkSizeOverflow: fault.RequestBodyBroken,
	h1.ChunkLineBareLF: fault.RequestBodyBroken, h1.ChunkLineCR: fault.RequestBodyBroken,
	h1.ChunkLineTooLong: fault.RequestBodyBroken, h1.ChunkDataOverrun: fault.RequestBodyBroken,
	h1.ChunkExtInvalid: fault.RequestBodyBroken, h1.TrailerMalformed: fault.RequestBodyBroken,
	h1.TrailerForbidden: fault.RequestBodyBroken, h1.TrailerTooLarge: fault.RequestBodyBroken,
	h1.LastChunkCut: fault.RequestBodyBroken,
}

// An answer's flaws have a fault each.
var ofAnswer = map[h1.Flaw]fault.ID{
	h1.NotHTTP: fault.HTTP09, h1.LeadingBlank: fault.StatusLeadingBlank, h1.LeadingBOM: fault.StatusLeadingBOM,
	h1.LeadingJunk: fault.StatusLeadingJunk, h1.VersionName: fault.StatusVersionName,
	h1.VersionMalformed: fault.StatusVersionMalformed, h1.VersionUnsupported: fault.StatusVersionUnsupported,
	h1.StatusSpacing: fault.StatusSpacing, h1.StatusCodeLength: fault.StatusCodeLength,
	h1.StatusCodeNonDigit: fault.StatusCodeNondigit, h1.StatusCodeRange: fault.StatusCodeRange,
	h1.ReasonChars: fault.StatusReasonChars, h1.StartLineTooLong: fault.StatusLineTooLong,
	h1.BareLF: fault.HeadBareLF, h1.BareCR: fault.HeadBareCR, h1.NUL: fault.HeaderNUL, h1.Control: fault.HeaderCtl,
	h1.ObsFold: fault.HeaderObsFold, h1.FoldFirst: fault.HeaderFoldFirst,
	h1.SpaceBeforeColon: fault.HeaderSpaceBeforeColon, h1.NameEmpty: fault.HeaderNameEmpty,
	h1.NoColon: fault.HeaderNoColon, h1.NameChar: fault.HeaderNameBadChar, h1.FieldTooLong: fault.HeaderLineTooLong,
	h1.SectionTooLarge: fault.HeaderSectionTooLarge, h1.TooManyFields: fault.HeaderTooMany,
	h1.SingletonDuplicate: fault.HeaderSingletonDuplicate, h1.ConnectionAbuse: fault.ConnectionOptionAbuse,
	h1.LengthInvalid: fault.CLInvalid, h1.LengthEmpty: fault.CLEmpty, h1.LengthOverflow: fault.CLOverflow,
	h1.LengthListSame: fault.CLListSame, h1.LengthDuplicateSame: fault.CLDuplicateSame,
	h1.LengthConflict: fault.CLConflict, h1.LengthAndCoding: fault.CLAndTE, h1.CodingUnknown: fault.TEUnknown,
	h1.CodingNotFinal: fault.TEChunkedNotFinal, h1.CodingDuplicate: fault.TEDuplicateLine,
	h1.CodingOn10: fault.TEOnHTTP10, h1.FramingForbidden: fault.BodyForbiddenFraming,
	h1.ChunkSizeInvalid: fault.ChunkSizeInvalid, h1.ChunkSizeOverflow: fault.ChunkSizeOverflow,
	h1.ChunkLineBareLF: fault.ChunkLineBareLF, h1.ChunkLineCR: fault.ChunkLineCR,
	h1.ChunkLineTooLong: fault.ChunkLineTooLong, h1.ChunkDataOverrun: fault.ChunkDataOverrun,
	h1.ChunkExtInvalid: fault.ChunkSizeInvalid, h1.TrailerMalformed: fault.TrailerMalformed,
	h1.TrailerForbidden: fault.TrailerForbidden, h1.TrailerTooLarge: fault.TrailerTooLarge,
	h1.LastChunkCut: fault.ChunkLastMissingCRLF,
}

// words say a flaw in a clause, for faults that cover several.
var words = map[h1.Flaw]string{
	h1.NotHTTP: "the first line is no request line", h1.LeadingBlank: "empty lines before the request line",
	h1.MethodChar: "a byte that no method may have", h1.RequestSpacing: "not exactly one space between method, target and version",
	h1.StartLineTooLong: "the request line is over its limit", h1.VersionName: "the version is not HTTP/",
	h1.VersionMalformed: "the version is not digit.digit", h1.VersionUnsupported: "a major version other than 1",
	h1.TargetChar: "a byte that no request target may have", h1.TargetForm: "a request target of no form that its method allows",
	h1.TargetTooLong: "the request target is over the line's limit",
	h1.BareLF:        "a line that ends in LF without CR", h1.BareCR: "a CR without LF", h1.NUL: "a NUL byte",
	h1.Control: "a control character in a value", h1.ObsFold: "a folded field line",
	h1.FoldFirst: "white space before the first field", h1.SpaceBeforeColon: "white space between a field's name and its colon",
	h1.NameEmpty: "a field without a name", h1.NoColon: "a field line without a colon",
	h1.NameChar: "a byte that no field name may have", h1.FieldTooLong: "one field line is over its limit",
	h1.SectionTooLarge: "the head is over its limit", h1.TooManyFields: "more fields than the limit",
	h1.HostMissing: "no Host field", h1.HostDuplicate: "two Host fields", h1.HostInvalid: "a Host that is no host and port",
	h1.ExpectUnknown: "an expectation other than 100-continue", h1.LengthInvalid: "a Content-Length that is no number",
	h1.LengthEmpty: "an empty Content-Length", h1.LengthOverflow: "a Content-Length that no counter holds",
	h1.LengthListSame: "a list in Content-Length", h1.LengthDuplicateSame: "two Content-Length fields",
	h1.LengthConflict: "two Content-Length fields that differ", h1.LengthAndCoding: "both Content-Length and Transfer-Encoding",
	h1.CodingUnknown: "a transfer coding other than chunked", h1.CodingNotFinal: "chunked is not the one last transfer coding",
	h1.CodingDuplicate: "two Transfer-Encoding fields", h1.CodingOn10: "Transfer-Encoding in an HTTP/1.0 message",
	h1.ChunkSizeInvalid: "a chunk size that is not hexadecimal", h1.ChunkSizeOverflow: "a chunk size that no counter holds",
	h1.ChunkLineBareLF: "a chunk line that ends in LF without CR", h1.ChunkLineCR: "a CR inside a chunk line",
	h1.ChunkLineTooLong: "a chunk line over its limit", h1.ChunkDataOverrun: "a chunk that is longer or shorter than its size says",
	h1.ChunkExtInvalid: "a chunk extension that breaks the grammar", h1.TrailerMalformed: "a malformed trailer field",
	h1.TrailerForbidden: "a trailer field that must not be one", h1.TrailerTooLarge: "trailers over their limit",
	h1.LastChunkCut: "the end is missing behind the last chunk",
}

// due says what should stand where a flaw's byte does.
var due = map[h1.Flaw]string{
	h1.ChunkSizeInvalid: "a chunk size of hexadecimal digits with its CRLF", h1.ChunkSizeOverflow: "the size's CRLF",
	h1.ChunkLineBareLF: "CRLF", h1.ChunkLineCR: "CRLF", h1.ChunkDataOverrun: "CRLF",
	h1.ChunkExtInvalid: "a chunk extension or CRLF", h1.TrailerMalformed: "a field line of name, colon and value",
	h1.LastChunkCut: "CRLF",
}

// LiftRequest makes a fault of the client's flaw. b holds the message from
// offset base on.
func LiftRequest(e h1.Error, b []byte, base int64, l *h1.Limits) *fault.Fault {
	id, ok := ofRequest[e.Flaw]
	if !ok {
		id = fault.RequestHeaderMalformed
	}
	if e.Flaw < h1.ChunkSizeInvalid && e.At < 24 && base == 0 {
		if p := h1.Sniff(b); p != "" {
			f := fault.New(fault.RequestNotHTTP, "protocol", p)
			f.Saw = excerpt(b, 0, 0)
			return f
		}
	}
	f := fault.New(id, "flaw", words[e.Flaw], "limit", limit(e.Flaw, l, &h1.DefaultRequest))
	prove(f, e, b, base)
	return f
}

// LiftAnswer makes a fault of the upstream's flaw. b holds the message from
// offset base on.
func LiftAnswer(e h1.Error, b []byte, base int64, l *h1.Limits) *fault.Fault {
	id, ok := ofAnswer[e.Flaw]
	if !ok {
		id = fault.GatewayInternalError
	}
	if base == 0 && (e.Flaw == h1.NotHTTP || e.Flaw == h1.LeadingJunk || e.Flaw == h1.VersionName) {
		if f := foreign(b); f != nil {
			return f
		}
	}
	f := fault.New(id, "flaw", words[e.Flaw], "limit", limit(e.Flaw, l, &h1.DefaultResponse))
	prove(f, e, b, base)
	return f
}

// foreign recognises protocols that are not HTTP/1 by their first bytes: the
// commonest cause is a wrong port, and its name is the whole explanation.
func foreign(b []byte) *fault.Fault {
	var f *fault.Fault
	switch p := h1.Sniff(b); p {
	case "":
		return nil
	case "TLS":
		f = fault.New(fault.TLSOnPlainPort)
	case "HTTP/2":
		f = fault.New(fault.H2OnH1)
	case "RTSP", "ICY":
		return nil // a status line with another version name: said better by that row
	default:
		f = fault.New(fault.ForeignBanner, "protocol", p)
	}
	f.Saw = excerpt(b, 0, 0)
	return f.With("offset", "0").With("byte", quoteByte(b, 0)).With("line", quoteLine(b, 0))
}

// Receipt returns the notice for a repair in an answer.
func Receipt(e h1.Error) fault.ID { return ofAnswer[e.Flaw] }

// limit is the limit that a flaw is about, with its unit; "" for other flaws.
func limit(f h1.Flaw, l, unset *h1.Limits) string {
	n, unit := 0, " bytes"
	switch f {
	case h1.StartLineTooLong, h1.TargetTooLong:
		n = cmp.Or(l.StartLine, unset.StartLine)
	case h1.FieldTooLong:
		n = cmp.Or(l.Field, unset.Field)
	case h1.SectionTooLarge:
		n = cmp.Or(l.Head, unset.Head)
	case h1.TooManyFields:
		n, unit = cmp.Or(l.Fields, unset.Fields), " fields"
	case h1.ChunkLineTooLong:
		n = cmp.Or(l.ChunkLine, unset.ChunkLine)
	case h1.TrailerTooLarge:
		n = cmp.Or(l.Trailer, unset.Trailer)
	default:
		return ""
	}
	return strconv.Itoa(n) + unit
}

// prove adds the facts that every flaw has: where, which byte, in which line.
// Secrets are masked before anything is kept; masking moves no byte.
func prove(f *fault.Fault, e h1.Error, b []byte, base int64) {
	i := int(e.At - base)
	b = masked(b, i)
	f.Saw = cutOut(b, base, e.At)
	f.With("offset", strconv.FormatInt(e.At, 10)).With("byte", quoteByte(b, i)).With("line", quoteLine(b, i)).
		With("got", quoteByte(b, i)).With("want", due[e.Flaw])
	if line := lineAt(b, i); len(line) > 0 {
		if c := bytes.IndexByte(line, ':'); c > 0 {
			f.With("field", quote(line[:c])).With("value", quote(bytes.TrimSpace(line[c+1:])))
		} else {
			f.With("value", quote(line))
		}
	}
}

// masked copies b up to a little behind i, and masks what is secret in it.
func masked(b []byte, i int) []byte {
	return message.Mask(nil, b[:max(0, min(len(b), i+around))])
}

// around is how many bytes of evidence a fault itself carries to either side of
// the guilty one; an incident keeps more.
const around = 256

func excerpt(b []byte, base, mark int64) *fault.Excerpt {
	return cutOut(masked(b, int(mark-base)), base, mark)
}

// cutOut takes the neighbourhood of mark out of masked bytes.
func cutOut(b []byte, base, mark int64) *fault.Excerpt {
	i := max(0, min(int(mark-base), len(b)))
	from, to := max(0, i-around), min(len(b), i+around)
	return &fault.Excerpt{Bytes: bytes.Clone(b[from:to]), Base: base + int64(from), Mark: mark}
}

// quoteByte spells b[i] so that it can be told from all others.
func quoteByte(b []byte, i int) string {
	if i < 0 || i >= len(b) {
		return "the end"
	}
	if c := b[i]; c <= ' ' || c >= 0x7f {
		const hex = "0123456789abcdef"
		s := "0x" + string([]byte{hex[c>>4], hex[c&15]})
		switch c {
		case ' ':
			return s + " (space)"
		case '\t':
			return s + " (tab)"
		case '\r':
			return s + " (CR)"
		case '\n':
			return s + " (LF)"
		case 0:
			return s + " (NUL)"
		}
		return s
	}
	return strconv.QuoteRune(rune(b[i]))
}

func lineAt(b []byte, i int) []byte {
	i = max(0, min(i, len(b)))
	from := bytes.LastIndexByte(b[:i], '\n') + 1
	line := b[from:]
	if to := bytes.IndexByte(line, '\n'); to >= 0 {
		line = line[:to]
	}
	return bytes.TrimSuffix(line, []byte("\r"))
}

// quoteLine quotes the line of b[i], secrets masked.
func quoteLine(b []byte, i int) string { return quote(lineAt(masked(b, i), i)) }

// quote makes foreign bytes safe and short for a sentence.
func quote(b []byte) string {
	const most = 80
	if len(b) > most {
		return strconv.QuoteToASCII(string(b[:most])) + "..."
	}
	return strconv.QuoteToASCII(string(b))
}
