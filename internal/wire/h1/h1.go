// Package h1 turns bytes into HTTP/1.1 messages and back (RFC 9110, RFC 9112).
//
// It holds no connection, clock or role: bytes in, spans out, and for whatever
// breaks a rule a [Flaw] and the offset of the guilty byte. It does not know
// whether it reads a client or an upstream; the caller says what may be
// repaired ([Allow]) and how long things may be ([Limits]). It allocates nothing
// but the growth of message.Head.Fields.
//
// Reading a head is [Parser], what its fields mean for framing is [FrameRequest]
// and [FrameResponse], reading a body is [Decoder], writing is append.go. Bytes
// may arrive in any pieces: the verdict is the same.
package h1

import "github.com/gatewhy/gatewhy/internal/message"

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
	AllowLeadingBlank    Allow = 1 << iota // at most two empty lines before the start line (RFC 9112 §2.2)
	AllowBareLF                            // a head line may end in LF alone (RFC 9112 §2.2)
	AllowObsFold                           // unfold (RFC 9112 §5.2)
	AllowSpaceBeforeColon                  // strip, unless the name decides framing (RFC 9112 §5.1)
	AllowControls                          // CTL other than NUL, CR, LF in a value becomes SP (RFC 9110 §5.5)
	AllowStatusSpacing                     // more than one SP, HT, or a leading SP in a status line (RFC 9112 §4)
	AllowReason                            // a reason phrase with forbidden bytes is dropped (RFC 9112 §4)
	AllowSameLength                        // equal Content-Length values collapse (RFC 9110 §8.6)
	AllowSameCoding                        // a second identical "Transfer-Encoding: chunked" line collapses
	AllowCodingOn10                        // Transfer-Encoding in an HTTP/1.0 answer: decode, then close (RFC 9112 §6.1)
	AllowForbidden                         // framing fields where no body can be are stripped (RFC 9110 §8.6)
	AllowDuplicate                         // of differing Content-Type, ETag, Date... the first counts (RFC 9110 §5.3)
	AllowLastChunk                         // "0 CRLF" then the end of the stream completes the message
	AllowTrailer                           // forbidden trailer fields are dropped (RFC 9110 §6.5.1)
)

// AllowResponse is what a careful gateway repairs in an answer.
const AllowResponse = AllowLeadingBlank | AllowBareLF | AllowObsFold | AllowSpaceBeforeColon | AllowControls |
	AllowStatusSpacing | AllowReason | AllowSameLength | AllowSameCoding | AllowCodingOn10 | AllowForbidden |
	AllowDuplicate | AllowLastChunk | AllowTrailer

// AllowRequest is what it repairs in a request: nothing that two parsers could
// read differently.
const AllowRequest = AllowLeadingBlank | AllowTrailer

// Limits bound what is read, in bytes unless said otherwise. A zero field means
// its default.
type Limits struct {
	StartLine int // DefaultStartLine
	Field     int // one field line, name to value: DefaultField
	Head      int // start line and all fields: DefaultHead
	Fields    int // number of field lines: DefaultFields
	ChunkLine int // chunk size and extensions: DefaultChunkLine
	Trailer   int // trailer section: DefaultTrailer
}

// Parser reads one head. Init it for each message; it keeps no bytes.
//
// Its use: call Parse with all bytes of the head so far, again with more until
// n > 0 or the error is set. The bytes may move between calls.
//
//	func (p *Parser) Init(k Kind, l *Limits, a Allow)
//	func (p *Parser) Parse(b []byte, h *message.Head) (n int, err Error)
//	func (p *Parser) Repairs() []Error   // what was repaired, at most 8; also of Frame*
//	func (p *Parser) Begun() bool        // false while only empty lines were seen
//
// n is the length of the head with its empty line. On n > 0 h.Raw is b[:n].
// Method, Target, Fields are set (for an origin-form target also Path; for
// absolute-form Authority and Path; Host is judged by FrameRequest).

// Framing is what a head says about its message and connection.
type Framing struct {
	Body   BodyKind
	Length int64 // of a Sized body; for a HEAD or 304 answer what it declares, -1 if nothing
	// Close: the connection ends after this message (RFC 9112 §9.3).
	Close bool
	// Upgrade: the head has both Upgrade and "Connection: upgrade".
	Upgrade bool
	// Trailers: the request says "TE: trailers".
	Trailers bool
	// Expect: the request says "Expect: 100-continue".
	Expect bool
	// Events: the answer's Content-Type is text/event-stream.
	Events bool
	// KeepAlive is the value of "Keep-Alive: timeout=" in seconds, 0 if not said.
	KeepAlive int
}

// BodyKind is how the end of a body is found (RFC 9112 §6.3).
type BodyKind uint8

// The kinds of body.
const (
	NoBody BodyKind = iota
	Sized
	Chunked
	ToClose // until the connection ends (answers only)
)

// The functions below are in frame.go, decode.go and append.go:
//
//	func FrameRequest(p *Parser, h *message.Head) (Framing, Error)
//	func FrameResponse(p *Parser, h *message.Head, head bool) (Framing, Error)
//
// They judge framing and Host, set Authority and Path, and mark with
// message.Drop every field that must not be forwarded.
//
//	type Decoder struct{ ... }
//	func (d *Decoder) Init(f Framing, l *Limits, a Allow)
//	func (d *Decoder) Next(in []byte) (data []byte, n int, err Error)
//	func (d *Decoder) Done() bool
//	func (d *Decoder) Finish() (complete bool, err Error)  // the stream ended here
//	func (d *Decoder) Offset() int64
//	func (d *Decoder) Received() int64 // payload bytes so far
//	func (d *Decoder) Trailer() *message.Head // valid until the input moves; nil if none
//
//	func AppendRequestLine(dst, method, target []byte) []byte
//	func AppendStatusLine(dst []byte, status int, reason []byte) []byte
//	func AppendFields(dst []byte, h *message.Head) []byte
//	func AppendField(dst []byte, name, value string) []byte
//	func AppendChunk(dst []byte, n int) []byte
//
//	func Sniff(b []byte) (protocol string)
var _ message.Head
