package message

// Framing is what a head says about its message and connection.
type Framing struct {
	Body   BodyKind
	Length int64 // of a Sized body; for a HEAD or 304 answer what it declares, -1 if nothing; else 0
	// Close: the connection ends after this message (RFC 9112 §9.3). HTTP/2 has no
	// such thing.
	Close bool
	// Upgrade: the head has both Upgrade and "Connection: upgrade" (HTTP/1.1).
	Upgrade bool
	// Trailers: the request says "TE: trailers" (RFC 9110 §10.1.4).
	Trailers bool
	// Expect: the request says "Expect: 100-continue" (RFC 9110 §10.1.1).
	Expect bool
	// Events: the answer's Content-Type is text/event-stream.
	Events bool
	// Dated: the answer has a Date field. One without gets the time at which it
	// came from whoever forwards it (RFC 9110 §6.6.1).
	Dated bool
	// KeepAlive is the value of "Keep-Alive: timeout=" in seconds, 0 if not said.
	KeepAlive int
}

// BodyKind is how the end of a body is found.
type BodyKind uint8

// The kinds of body.
const (
	NoBody BodyKind = iota
	// Sized: Content-Length says it.
	Sized
	// Streamed: the framing marks the end, nobody declared a length: chunks (RFC
	// 9112 §7.1), or END_STREAM (RFC 9113 §8.1).
	Streamed
	// ToClose: until the connection ends (answers of HTTP/1 only, RFC 9112 §6.3).
	ToClose
)

// Request is one request's head and what it means.
type Request struct {
	Head             Head
	Framing          Framing
	Safe, Idempotent bool // RFC 9110 §9.2.1, §9.2.2
	// Store is memory that a codec may keep Head.Raw in: the request outlives the
	// connection's buffer, and its memory the request.
	Store []byte
}

// Reset empties q and keeps its memory.
func (q *Request) Reset() {
	q.Head.Reset()
	*q = Request{Head: q.Head, Store: q.Store[:0]}
}

// Onward says how a request's head is written to an upstream.
type Onward struct {
	// Added are field lines that every request of the client's connection gets:
	// X-Forwarded-For, X-Forwarded-Proto.
	Added []byte
	// ForwardedHost is X-Forwarded-Host where a trusted proxy said it; nil means the
	// request's own authority.
	ForwardedHost []byte
	// NoXForwarded leaves X-Forwarded-Host out.
	NoXForwarded bool
	// Own are field lines of this request alone: its id, its trace.
	Own []byte
	// Via is our pseudonym.
	Via []byte
	// Host is the authority of a request that names none, as HTTP/1.0 clients may:
	// where the client connected to.
	Host []byte
	// Length is the body's length where it is known although the client's
	// framing does not say; -1 to keep the client's framing.
	Length int64
	// Expect keeps "Expect: 100-continue".
	Expect bool
	// Speak10 writes HTTP/1.0 (after a 505); a streamed body is then impossible.
	Speak10 bool
}

// Back says how an answer's head is written to the client.
type Back struct {
	Minor   uint8 // the client's HTTP/1.Minor; HTTP/2 ignores it
	Body    BodyKind
	Length  int64  // of a Sized body; also told for HEAD and 304 when NoBody and >= 0
	Close   bool   // the connection ends after this answer; HTTP/2 ignores it
	Via     []byte // our pseudonym
	Date    []byte // value of a Date field to add; nil for none
	Status  []byte // value of a Proxy-Status field to add; nil for none
	Own     []byte // field lines to add; nil for none
	Upgrade bool   // a 101 of HTTP/1.1: Connection and Upgrade are kept
}

// Out is a part of an answer on its way to the client: composed heads, payload,
// and perhaps the end.
type Out struct {
	Head []byte // heads as the client's version composed them; Write may append to it
	A, B []byte // payload, in this order; not to be changed until Write returns
	Body BodyKind
	// Last: the message ends behind the payload, with Trailer if it is not nil.
	Last    bool
	Trailer *Head
	// End: the connection ends behind the message, and the client has said that it
	// sends nothing more.
	End bool
}
