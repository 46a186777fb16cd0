package h2

// Flaw is a broken rule of RFC 9113 or 7541. It knows no side and no status.
type Flaw uint8

// The flaws, in the order in which a stream meets them. Those up to lastOfFrame
// are about one frame, At is then an offset in the frame, header included. Those
// up to lastOfBlock are about the compression of a field block, At is an offset
// in the block. The others are about a head: At is an offset in Head.Raw.
const (
	NoFlaw Flaw = iota

	FrameTooLarge  // longer than we said that we take
	FrameLength    // a length that its type cannot have
	PriorityLength // likewise, of PRIORITY, which costs only the stream
	NeedsStream    // on stream 0, where its type cannot be
	ForbidsStream  // not on stream 0, where its type must be
	PadTooLong     // more padding than payload
	SelfDependency // a stream that depends on itself (RFC 7540 §5.3.1)
	AckNotEmpty    // an acknowledgement of SETTINGS with a payload
	SettingInvalid // a value that a parameter cannot have
	WindowTooLarge // SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1
	NoIncrement    // WINDOW_UPDATE by 0

	IndexInvalid   // an index that no table entry has
	IntegerTooLong // an integer above 2^32-1 or in more than six bytes
	HuffmanInvalid // the end-of-string symbol, or padding that is not its beginning
	TableLate      // a change of the table's size that is not at the block's start
	TableTooLarge  // a table larger than we said that we keep
	BlockCut       // the block ends inside a field

	NameEmpty        // a field without a name
	NameUpper        // an upper-case letter in a name
	NameChar         // another byte that no name may have
	NUL              // in a value
	LineBreak        // CR or LF in a value
	Control          // another control character in a value
	ValueSpace       // white space around a value
	PseudoLate       // a pseudo-field behind a field
	PseudoUnknown    // one that is not defined, or not for this kind of head
	PseudoDuplicate  // one that came twice
	PseudoMissing    // a needed one is not there
	ConnectionField  // a field about the connection, which HTTP/2 has no use for
	TEInvalid        // TE with a value other than "trailers"
	MethodInvalid    // :method is no token
	SchemeInvalid    // :scheme is neither http nor https
	PathInvalid      // :path is empty, has no form that its method allows, or a byte that it must not have
	AuthorityInvalid // :authority or Host is no host and port
	HostMissing      // neither of both
	HostDuplicate    // two Host fields
	HostDiffers      // both, and they differ
	StatusInvalid    // :status is not three digits from 100 to 599, or 101
	LengthInvalid    // Content-Length is no number
	LengthConflict   // two that differ
	LengthMismatch   // the DATA frames add up to something else than Content-Length
	ExpectUnknown    // an expectation other than 100-continue
	PathTooLong      // :path is over its limit
	FieldTooLong     // one field is over its limit
	SectionTooLarge  // the whole head is over its limit
	TooManyFields    // more fields than the limit
	Duplicate        // an answer's field that may come once came twice, and differs
	LengthForbidden  // Content-Length where no content can be

	lastOfFrame = NoIncrement
	lastOfBlock = BlockCut
)

// Error is a broken rule: the zero value means none. It is a value, so that
// the good path allocates nothing.
type Error struct {
	Flaw Flaw
	At   int64 // offset of the first offending byte: see Flaw
	// Stream is true if the flaw costs a stream, false if it costs the connection.
	Stream bool
}

// Ok reports whether nothing is wrong.
func (e Error) Ok() bool { return e.Flaw == NoFlaw }

// Code is what to tell the peer.
func (e Error) Code() Code {
	switch f := e.Flaw; {
	case f == NoFlaw:
		return NoError
	case f == FrameTooLarge, f == FrameLength, f == PriorityLength, f == AckNotEmpty:
		return FrameSizeError
	case f == WindowTooLarge:
		return FlowControlError
	case f > lastOfFrame && f <= lastOfBlock:
		return CompressionError
	}
	return ProtocolError
}

func connectionFlaw(f Flaw, at int) Error { return Error{Flaw: f, At: int64(at)} }
func streamFlaw(f Flaw, at int) Error     { return Error{Flaw: f, At: int64(at), Stream: true} }
