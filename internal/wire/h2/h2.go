// Package h2 turns bytes into HTTP/2 frames and heads, and back (RFC 9113, RFC
// 7541, RFC 9218).
//
// It holds no connection, clock or role: bytes in, values out, and for whatever
// breaks a rule a [Flaw] and the offset of the guilty byte. What a flaw costs,
// a stream or the connection, and with which [Code], the flaw knows; whose
// mistake it was, the caller does.
//
// frame.go reads frames and append.go writes them. [Decoder] turns field blocks
// into message.Head values and judges them as requests, answers or trailers
// (head.go), [AppendFields] and its neighbours in encode.go write them. Encoding
// never touches the dynamic table, so that a block that was written may be sent,
// kept for later or forgotten. Nothing allocates but the growth of what the
// caller hands in and, once a connection, the decoder's table.
package h2

// Preface is what a client sends first, before its SETTINGS (RFC 9113 §3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// HeaderLen is the length of a frame's header in bytes.
const HeaderLen = 9

// Values that hold until SETTINGS say otherwise (RFC 9113 §6.5.2), and bounds.
const (
	DefaultTable     = 4096      // SETTINGS_HEADER_TABLE_SIZE
	DefaultWindow    = 65535     // SETTINGS_INITIAL_WINDOW_SIZE, and the connection's window
	DefaultFrameSize = 16384     // SETTINGS_MAX_FRAME_SIZE, and the least that it may be
	MaxFrameSize     = 1<<24 - 1 // the most that it may be
	MaxWindow        = 1<<31 - 1 // the most that a window may ever be
	MaxStream        = 1<<31 - 1 // the last stream of a connection
)

// Type is the type of a frame. Unknown ones are to be ignored (RFC 9113 §5.5).
type Type uint8

// The types.
const (
	Data           Type = 0x0
	Headers        Type = 0x1
	Priority       Type = 0x2
	RSTStream      Type = 0x3
	Settings       Type = 0x4
	PushPromise    Type = 0x5
	Ping           Type = 0x6
	GoAway         Type = 0x7
	WindowUpdate   Type = 0x8
	Continuation   Type = 0x9
	PriorityUpdate Type = 0x10 // RFC 9218 §7.1
)

// Flags of a frame. Flags that its type does not define are to be ignored.
type Flags uint8

// The flags.
const (
	EndStream   Flags = 0x1 // Data, Headers
	Ack         Flags = 0x1 // Settings, Ping
	EndHeaders  Flags = 0x4 // Headers, PushPromise, Continuation
	Padded      Flags = 0x8 // Data, Headers, PushPromise
	HasPriority Flags = 0x20
)

// SettingID names a parameter of SETTINGS. Unknown ones are to be ignored.
type SettingID uint16

// The settings (RFC 9113 §6.5.2, RFC 8441 §3, RFC 9218 §2.1).
const (
	HeaderTableSize       SettingID = 0x1
	EnablePush            SettingID = 0x2
	MaxConcurrentStreams  SettingID = 0x3
	InitialWindowSize     SettingID = 0x4
	MaxFrameSizeID        SettingID = 0x5
	MaxHeaderListSize     SettingID = 0x6
	EnableConnectProtocol SettingID = 0x8
	NoRFC7540Priorities   SettingID = 0x9
)

// Setting is one parameter of SETTINGS.
type Setting struct {
	ID    SettingID
	Value uint32
}

// Code says why a stream or a connection ended (RFC 9113 §7).
type Code uint32

// The codes.
const (
	NoError            Code = 0x0
	ProtocolError      Code = 0x1
	InternalError      Code = 0x2
	FlowControlError   Code = 0x3
	SettingsTimeout    Code = 0x4
	StreamClosed       Code = 0x5
	FrameSizeError     Code = 0x6
	RefusedStream      Code = 0x7
	Cancel             Code = 0x8
	CompressionError   Code = 0x9
	ConnectError       Code = 0xa
	EnhanceYourCalm    Code = 0xb
	InadequateSecurity Code = 0xc
	HTTP11Required     Code = 0xd
)

var codeNames = [...]string{"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
	"STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR",
	"ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"}

// String is the code's name in the RFC, or its number in hexadecimal.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	const hex = "0123456789abcdef"
	b := []byte("0x00000000")
	for i := len(b) - 1; i > 1; i-- {
		b[i] = hex[c&15]
		c >>= 4
	}
	return string(b)
}
