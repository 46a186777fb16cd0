package h1

// Flaw is a broken rule of RFC 9110 or 9112. It knows no side and no status:
// package http1 lifts it to a fault.
type Flaw uint8

// The flaws, in the order in which a message meets them.
const (
	NoFlaw Flaw = iota

	// Start line of a response.
	NotHTTP            // the first line is no status line: At is the first byte that differs from "HTTP/"
	LeadingBlank       // empty line before the start line
	LeadingBOM         // EF BB BF before the start line
	LeadingJunk        // a line of text, and behind it a status line: At is the junk
	VersionName        // "http/1.1", "ICY", "RTSP/1.0": a version that is not "HTTP/"
	VersionMalformed   // not DIGIT "." DIGIT
	VersionUnsupported // major version other than 1
	StatusSpacing      // not exactly one SP between version, code and reason
	StatusCodeLength   // not three digits
	StatusCodeNonDigit // a byte that is no digit in the code
	StatusCodeRange    // outside 100..599
	ReasonChars        // NUL, CTL or bare CR in the reason phrase
	StartLineTooLong   // no end of line within Limits.StartLine: At is the first byte too many

	// Start line of a request.
	MethodChar     // not a tchar in the method, or no method
	RequestSpacing // not exactly one SP between method, target and version, or fewer than three parts
	TargetChar     // a byte that no target may hold
	TargetForm     // a target of no form that its method allows (RFC 9112 §3.2)
	TargetTooLong  // the start line is over its limit because of the target: At is the first byte too many

	// Field lines.
	BareLF           // LF without CR
	BareCR           // CR without LF
	NUL              // in a name or value
	Control          // other CTL or DEL in a value
	ObsFold          // continuation line
	FoldFirst        // white space between the start line and the first field
	SpaceBeforeColon // white space between name and colon
	NameEmpty        // ":" first
	NoColon          // a line without colon
	NameChar         // not a tchar in a name
	FieldTooLong     // one field line over its limit: At is its start
	SectionTooLarge  // the head is over its limit: At is the first byte too many
	TooManyFields    // At is the first field too many

	// What fields say. At is the value's first byte unless said otherwise.
	SingletonDuplicate  // a field that may come once came twice with different values
	ConnectionAbuse     // Connection names an end-to-end or framing field: At is that option
	HostMissing         // HTTP/1.1 without Host: At is the end of the head
	HostDuplicate       // a second Host field
	HostInvalid         // not uri-host [ ":" port ]: At is the offending byte
	ExpectUnknown       // an expectation other than 100-continue
	LengthInvalid       // Content-Length is not 1*DIGIT: At is the offending byte
	LengthEmpty         // Content-Length without value
	LengthOverflow      // over 2^63-1
	LengthListSame      // "5, 5"
	LengthDuplicateSame // two equal lines
	LengthConflict      // differing values: At is the second
	LengthAndCoding     // Content-Length and Transfer-Encoding: At is the later one
	CodingUnknown       // a transfer coding other than chunked
	CodingNotFinal      // chunked is not last, or applied twice
	CodingDuplicate     // a second identical Transfer-Encoding line
	CodingOn10          // Transfer-Encoding in an HTTP/1.0 message
	FramingForbidden    // Content-Length or Transfer-Encoding on 1xx, 204

	// Bodies. At counts from the first byte of the body's framing.
	ChunkSizeInvalid  // not 1*HEXDIG
	ChunkSizeOverflow // over 2^63-1
	ChunkLineBareLF   // LF without CR in a chunk's framing
	ChunkLineCR       // CR without LF in a chunk's framing
	ChunkLineTooLong  // size and extensions over their limit
	ChunkDataOverrun  // no CRLF where the chunk's data ends: data is longer or shorter than its size
	ChunkExtInvalid   // an extension that breaks the grammar
	TrailerMalformed  // a bad field line in the trailer section
	TrailerForbidden  // a framing, routing or authentication field in the trailer section
	TrailerTooLarge   // over its limit
	LastChunkCut      // the stream ended behind "0 CRLF", before the final CRLF

	flaws
)

var flawNames = [flaws]string{
	NoFlaw:              "NoFlaw",
	NotHTTP:             "NotHTTP",
	LeadingBlank:        "LeadingBlank",
	LeadingBOM:          "LeadingBOM",
	LeadingJunk:         "LeadingJunk",
	VersionName:         "VersionName",
	VersionMalformed:    "VersionMalformed",
	VersionUnsupported:  "VersionUnsupported",
	StatusSpacing:       "StatusSpacing",
	StatusCodeLength:    "StatusCodeLength",
	StatusCodeNonDigit:  "StatusCodeNonDigit",
	StatusCodeRange:     "StatusCodeRange",
	ReasonChars:         "ReasonChars",
	StartLineTooLong:    "StartLineTooLong",
	MethodChar:          "MethodChar",
	RequestSpacing:      "RequestSpacing",
	TargetChar:          "TargetChar",
	TargetForm:          "TargetForm",
	TargetTooLong:       "TargetTooLong",
	BareLF:              "BareLF",
	BareCR:              "BareCR",
	NUL:                 "NUL",
	Control:             "Control",
	ObsFold:             "ObsFold",
	FoldFirst:           "FoldFirst",
	SpaceBeforeColon:    "SpaceBeforeColon",
	NameEmpty:           "NameEmpty",
	NoColon:             "NoColon",
	NameChar:            "NameChar",
	FieldTooLong:        "FieldTooLong",
	SectionTooLarge:     "SectionTooLarge",
	TooManyFields:       "TooManyFields",
	SingletonDuplicate:  "SingletonDuplicate",
	ConnectionAbuse:     "ConnectionAbuse",
	HostMissing:         "HostMissing",
	HostDuplicate:       "HostDuplicate",
	HostInvalid:         "HostInvalid",
	ExpectUnknown:       "ExpectUnknown",
	LengthInvalid:       "LengthInvalid",
	LengthEmpty:         "LengthEmpty",
	LengthOverflow:      "LengthOverflow",
	LengthListSame:      "LengthListSame",
	LengthDuplicateSame: "LengthDuplicateSame",
	LengthConflict:      "LengthConflict",
	LengthAndCoding:     "LengthAndCoding",
	CodingUnknown:       "CodingUnknown",
	CodingNotFinal:      "CodingNotFinal",
	CodingDuplicate:     "CodingDuplicate",
	CodingOn10:          "CodingOn10",
	FramingForbidden:    "FramingForbidden",
	ChunkSizeInvalid:    "ChunkSizeInvalid",
	ChunkSizeOverflow:   "ChunkSizeOverflow",
	ChunkLineBareLF:     "ChunkLineBareLF",
	ChunkLineCR:         "ChunkLineCR",
	ChunkLineTooLong:    "ChunkLineTooLong",
	ChunkDataOverrun:    "ChunkDataOverrun",
	ChunkExtInvalid:     "ChunkExtInvalid",
	TrailerMalformed:    "TrailerMalformed",
	TrailerForbidden:    "TrailerForbidden",
	TrailerTooLarge:     "TrailerTooLarge",
	LastChunkCut:        "LastChunkCut",
}

// String is the constant's name, for tests and traces; users read the words of
// package fault.
func (f Flaw) String() string { return flawNames[f] }
