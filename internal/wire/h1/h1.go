// Package h1 turns bytes into HTTP/1.1 messages and back (RFC 9110, RFC 9112).
//
// It holds no connection, clock or role: bytes in, spans out, and for whatever
// breaks a rule a [Flaw] and the offset of the guilty byte. It does not know
// whether it reads a client or an upstream; the caller says what may be
// repaired ([Allow]) and how long things may be ([Limits]). It allocates nothing
// but the growth of message.Head.Fields.
//
// Reading a head is [Parser], what its fields mean for framing is [FrameRequest]
// and [FrameResponse], reading a body is [Decoder], writing is append.go, and
// [Sniff] names what is not HTTP at all. Bytes may arrive in any pieces: the
// verdict is the same.
package h1

import "cmp"

// Error is a broken rule: the zero value means none. It is a value, so that
// the good path allocates nothing.
type Error struct {
	Flaw Flaw
	At   int64 // offset of the first offending byte, from the start of the head (Parser, Frame*) or of the body's framing (Decoder)
}

// Ok reports whether nothing is wrong.
func (e Error) Ok() bool { return e.Flaw == NoFlaw }

// Kind says which grammar the start line follows.
type Kind uint8

// The kinds of message.
const (
	Request Kind = iota
	Response
)

// Allow says which flaws are repaired and noted instead of refused. The bits
// are those repairs that RFC 9110 and 9112 permit; chunk lines, conflicting
// lengths and length beside coding can never be allowed.
type Allow uint32

// What can be allowed.
const (
	AllowLeadingBlank     Allow = 1 << iota // at most two empty lines before the start line (RFC 9112 §2.2)
	AllowBareLF                             // a head line may end in LF alone (RFC 9112 §2.2)
	AllowObsFold                            // unfold (RFC 9112 §5.2)
	AllowSpaceBeforeColon                   // strip, unless the name decides framing (RFC 9112 §5.1)
	AllowControls                           // CTL other than NUL, CR, LF in a value becomes SP (RFC 9110 §5.5)
	AllowStatusSpacing                      // more than one SP, HT, or a leading SP in a status line (RFC 9112 §4)
	AllowReason                             // a reason phrase with forbidden bytes is dropped (RFC 9112 §4)
	AllowSameLength                         // equal Content-Length values collapse (RFC 9110 §8.6)
	AllowSameCoding                         // a second identical "Transfer-Encoding: chunked" line collapses
	AllowCodingOn10                         // Transfer-Encoding in an HTTP/1.0 answer: decode, then close (RFC 9112 §6.1)
	AllowForbidden                          // framing fields where no body can be are stripped (RFC 9110 §8.6)
	AllowDuplicate                          // of differing Content-Type, ETag, Date... the first counts (RFC 9110 §5.3)
	AllowLastChunk                          // "0 CRLF" then the end of the stream completes the message
	AllowTrailer                            // forbidden trailer fields are dropped (RFC 9110 §6.5.1)
)

// AllowResponse is what a careful gateway repairs in an answer.
const AllowResponse = AllowLeadingBlank | AllowBareLF | AllowObsFold | AllowSpaceBeforeColon | AllowControls |
	AllowStatusSpacing | AllowReason | AllowSameLength | AllowSameCoding | AllowCodingOn10 | AllowForbidden |
	AllowDuplicate | AllowLastChunk | AllowTrailer

// AllowRequest is what it repairs in a request: nothing that two parsers could
// read differently.
const AllowRequest = AllowLeadingBlank | AllowTrailer

// Limits bound what is read, in bytes unless said otherwise. A zero field means
// its default: that of DefaultRequest or DefaultResponse.
type Limits struct {
	StartLine int // the start line with its line end
	Field     int // one field line, its continuations and line end
	Head      int // empty lines, start line, all fields and the empty line; at most 1 GiB
	Fields    int // number of field lines, of a head or of a trailer section
	ChunkLine int // chunk size and extensions with their CRLF
	Trailer   int // trailer section with its empty line
}

// Bodies are read alike on both sides.
const (
	// DefaultChunkLine leaves room for a size and for the signatures that some
	// object stores put into extensions (about 90 bytes), and for nobody's padding.
	DefaultChunkLine = 4 << 10
	// DefaultTrailer fits into one read buffer together with what precedes it.
	// Trailers carry digests, signatures, timings and gRPC statuses.
	DefaultTrailer = 16 << 10
)

// DefaultResponse is generous: an application's own head is no attack, and a
// gateway that drops good answers is a bad one. Each limit lies above what is
// seen in the wild and below what only a loop in the application can produce.
var DefaultResponse = Limits{
	StartLine: 16 << 10,  // a stack trace in the reason phrase is long, but not that long
	Field:     128 << 10, // one Set-Cookie or Content-Security-Policy of 64 KiB passes with room to spare
	Head:      256 << 10, // above the 128 KiB that large CDNs accept
	Fields:    1000,      // Set-Cookie and Link come by the hundred
	ChunkLine: DefaultChunkLine,
	Trailer:   DefaultTrailer,
}

// DefaultRequest is tighter: the sender is a stranger. It is a little wider
// than the usual 8 KiB a line and 32 KiB in all, so that whoever moves here
// loses no request, and small enough that many slow clients cost little.
var DefaultRequest = Limits{
	StartLine: 16 << 10, // URLs beyond 8 KiB exist, and most servers behind us refuse 16
	Field:     32 << 10, // single sign-on puts tokens of 16 KiB into one field
	Head:      64 << 10,
	Fields:    200, // browsers send 30, chains of proxies add 20
	ChunkLine: DefaultChunkLine,
	Trailer:   DefaultTrailer,
}

// fill returns the limits to obey: l itself if it says all, else own with what l
// leaves out taken from d. Limits are looked at for each message, and nearly
// always say all.
func (l *Limits) fill(d, own *Limits) *Limits {
	switch {
	case l == nil:
		return d
	case l.StartLine > 0 && l.Field > 0 && l.Head > 0 && l.Fields > 0 && l.ChunkLine > 0 && l.Trailer > 0:
		return l
	}
	*own = Limits{
		StartLine: cmp.Or(l.StartLine, d.StartLine),
		Field:     cmp.Or(l.Field, d.Field),
		Head:      cmp.Or(l.Head, d.Head),
		Fields:    cmp.Or(l.Fields, d.Fields),
		ChunkLine: cmp.Or(l.ChunkLine, d.ChunkLine),
		Trailer:   cmp.Or(l.Trailer, d.Trailer),
	}
	return own
}
