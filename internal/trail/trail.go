// Package trail is the diary of one exchange: when each phase ended, which
// attempts were made, what went wrong and what was mended.
//
// A Trail is plain data of fixed size: keeping one costs no allocation and no
// I/O, on the good path or on the bad. Package exchange owns it, package
// reverse writes the attempts, log and incidents read it when the exchange is
// over.
package trail

import "github.com/gatewhy/gatewhy/fault"

// MaxAttempts bounds the attempts of one exchange that a trail can hold, and so
// the attempts that are made.
const MaxAttempts = 8

// MaxNotices bounds the receipts that one exchange keeps; more are counted only.
const MaxNotices = 8

// Stamp is a moment in nanoseconds since the exchange began. Zero means that it
// never came; a phase that ended at once has at least 1.
type Stamp int64

// Trail is the diary. Its byte slices belong to the exchange: whoever keeps a
// Trail longer must copy them.
type Trail struct {
	Began     int64  // wall clock, nanoseconds since 1970, first byte of the request
	Client    []byte // address without port, as text
	Trusted   bool   // the client may see operator detail
	Method    []byte
	Scheme    string // "http" or "https" at the client's side
	Authority []byte
	Path      []byte // path and query as received
	Major     uint8  // HTTP version of the client; 0 while nothing was read
	Minor     uint8
	Site      string // name of the site, "" if none is for the request
	Route     string // id of the route: site#2 is the second one of its site; "" if none matches
	TLS       *TLS   // of the client's connection; nil without TLS. Shared by its exchanges, never changed

	// RequestID is the request's id; nil if it has none.
	RequestID []byte
	// Trace is the W3C trace that the request belongs to, zeros if to none; Parent the span
	// of whom we have it from, zeros if the trace begins here; Span our own.
	Trace        [16]byte
	Parent, Span [8]byte
	Sampled      bool // the trace is to be recorded

	HeadRead Stamp // the request's head was complete
	BodyRead Stamp // the request's body was complete
	Answered Stamp // the first byte of the final answer was handed to the client's socket
	Ended    Stamp // the last byte was, or the exchange was given up

	Status         int // what the client got; 0 if nothing could be sent; 499 if it was gone
	UpstreamStatus int // what the last attempt that answered said; 0 if none did
	In, Out        int64
	Heads          int64 // of Out, the heads of answers, and what HTTP/2 frames its content with
	// Call: the request is a call of gRPC. GRPCStatus is the grpc-status that its
	// client got, -1 if none.
	Call       bool
	GRPCStatus int
	// Cut: the answer began and could not be completed.
	Cut bool

	Attempts [MaxAttempts]Attempt
	N        int // attempts made

	// Fault is the one to show: the first cause of the failure, or of what was
	// rescued. nil if all went well.
	Fault *fault.Fault
	// Hedged: the answer is that of an attempt that was made beside another one, and came
	// first.
	Hedged bool
	// Rescued: there was a Fault and the client got a good answer all the same.
	Rescued bool
	// Withheld says why no further attempt was made: a fault of the retry itself
	// (retry_budget_exhausted, request_not_replayable), or nil.
	Withheld *fault.Fault

	Notices [MaxNotices]Notice
	NNotice int

	Incident [8]byte // Crockford base32; zero if none was needed
}

// TLS is what the handshake of a client's connection agreed on.
type TLS struct {
	Version string // "1.3", as OpenTelemetry has it
	Cipher  string // the suite's name (RFC 8446 §B.4)
	ALPN    string // the protocol chosen; "" if the client offered none
	SNI     string // the name that the client asked for; "" if none
	Resumed bool   // an earlier session went on
	// Client is the subject of the client's certificate, which was verified; "" if it has
	// none.
	Client string
	// Certificate is that certificate (DER), where upstreams are told of it; else nil.
	Certificate []byte
}

// Notice is the receipt of something repaired, tolerated or learned.
type Notice struct {
	ID      fault.ID
	At      int64 // offset in the message, -1 for none
	Attempt int8  // index of the attempt, -1 for the client's side
}

// Attempt is one try on one endpoint.
type Attempt struct {
	Upstream string  // name of the upstream
	Endpoint string  // as configured, host:port
	Address  string  // as dialled
	Secure   bool    // TLS
	HTTP2    bool    // as one stream of an HTTP/2 connection; else HTTP/1.1
	Reused   bool    // the connection had served before
	Age      int64   // of the connection when taken, nanoseconds
	Idle     int64   // how long it had been idle, nanoseconds
	Span     [8]byte // in the exchange's trace; zeros if it has none
	Serial   int     // how many requests the connection had served before

	Began     Stamp
	Selected  Stamp // the wait in the upstream's queue ended; 0 if it did not wait
	Resolved  Stamp
	Connected Stamp
	Secured   Stamp
	Sent      Stamp // request fully handed to the kernel
	FirstByte Stamp
	HeadRead  Stamp
	Ended     Stamp

	BytesSent     int64 // of the request, head included
	BytesReceived int64 // of the answer, head included
	Status        int
	Lost          bool // another attempt, which was made beside it, was quicker
	Fault         *fault.Fault
	// First and Last are raw bytes of the answer: its first 4 KiB, its last
	// 1 KiB. Taken only when there is a fault; secrets are masked.
	First, Last []byte
}

// Note keeps a receipt. attempt is -1 for the client's side.
func (t *Trail) Note(id fault.ID, at int64, attempt int) {
	if t.NNotice < MaxNotices {
		t.Notices[t.NNotice] = Notice{id, at, int8(attempt)}
	}
	t.NNotice++
}

// Tries returns the attempts made.
func (t *Trail) Tries() []Attempt { return t.Attempts[:t.N] }

// Receipts returns the notices kept.
func (t *Trail) Receipts() []Notice { return t.Notices[:min(t.NNotice, MaxNotices)] }

// Effect says what is known of the request's effect upstream, from what was
// really sent. It is the most valuable sentence of an error page.
type Effect uint8

// The effects.
const (
	NotSent  Effect = iota // no byte of the request reached any upstream
	Harmless               // it may have been processed, but asked for no change (safe method)
	Repeat                 // it may have been processed; sending it again has the same effect (idempotent)
	Unknown                // it may have been processed, and sending it again may do it twice
)

// Effect judges the trail. Bytes that the kernel took count as sent unless the
// attempt's fault proves that nothing was delivered.
func (t *Trail) Effect(safe, idempotent bool) Effect {
	sent := false
	for i := range t.Tries() {
		a := &t.Attempts[i]
		if a.BytesSent > 0 && (a.Fault == nil || a.Fault.Get("delivered") != "none") {
			sent = true
		}
	}
	switch {
	case !sent:
		return NotSent
	case safe:
		return Harmless
	case idempotent:
		return Repeat
	}
	return Unknown
}

// Reset makes t empty again. Only the pages that were used are cleared: the
// whole is some kilobytes, and this is done for each request.
func (t *Trail) Reset() {
	clear(t.Tries())
	clear(t.Receipts())
	t.Began, t.Client, t.Trusted, t.Method, t.Scheme, t.Authority, t.Path = 0, nil, false, nil, "", nil, nil
	t.TLS, t.RequestID = nil, nil
	t.Trace, t.Parent, t.Span, t.Sampled = [16]byte{}, [8]byte{}, [8]byte{}, false
	t.Site, t.Major, t.Minor, t.Route, t.HeadRead, t.BodyRead, t.Answered, t.Ended = "", 0, 0, "", 0, 0, 0, 0
	t.Status, t.UpstreamStatus, t.In, t.Out, t.Heads, t.Cut, t.N = 0, 0, 0, 0, 0, false, 0
	t.Call, t.GRPCStatus = false, 0
	t.Hedged = false
	t.Fault, t.Rescued, t.Withheld, t.NNotice, t.Incident = nil, false, nil, 0, [8]byte{}
}
