// Package fault names every way in which a gateway can fail to get a good
// answer, and says of each what it is, whose it is, and what to do.
//
// A [Fault] is one failure: facts, gathered where it was first understood. A
// [Row] holds the words and the judgement: status, Proxy-Status type, retry
// rule, citation, causes. Everything that speaks of a fault (log, metric,
// header, page, explain, docs) derives from its row and says it by its [ID].
//
// The package decides nothing about connections and does no I/O. Start with
// the rows in the catalogue_*.go files.
package fault

import (
	"strings"
	"time"
)

// ID is a fault's one name for ever: in Go, config, log, metric, header and
// page. The zero value means "no fault".
type ID string

// Side says who has to act. It is not always who suffers.
type Side uint8

// The sides, in the order in which a request meets them.
const (
	NoSide   Side = iota // nobody's mistake, or it cannot be told
	Client               // whoever sent the request
	Gateway              // this process, its machine or its configuration
	Upstream             // the server behind us, or the way to it
)

var sideNames = [...]string{"none", "client", "gateway", "upstream"}

func (s Side) String() string { return sideNames[s] }

// Phase is the part of an exchange's life in which a fault was met. Log,
// metrics, docs and file names use the same words.
type Phase uint8

// The first seven phases belong to the exchange (the client's side), the rest
// to one attempt (the upstream's side).
const (
	NoPhase Phase = iota
	Accept
	Parse
	Route
	Admit
	Answer
	Reply
	Record
	Select
	Resolve
	Connect
	Secure
	Send
	Await
	Head
	Body
	Tunnel
	phases
)

var phaseNames = [phases]string{"", "accept", "parse", "route", "admit", "answer", "reply", "record",
	"select", "resolve", "connect", "secure", "send", "await", "head", "body", "tunnel"}

func (p Phase) String() string { return phaseNames[p] }

// Retry is the rule that says whether another attempt is safe.
type Retry uint8

// The retry rules. "Any method" still needs a body that can be sent again.
const (
	NoRetry Retry = iota // no answer is owed, or none can be given
	RC                   // nothing of the request reached the upstream: another attempt at once, any method
	RU                   // the protocol guarantees "not processed": once more as indicated, any method
	RI                   // may have been processed: idempotent methods only (RFC 9110 §9.2.2)
	RP                   // a pooled connection died: as RC when TCP proves that nothing was delivered, else as RI
	RD                   // the answer has begun at the client: no retry, make the cut visible
	RL                   // no attempt was made: only another route, a queue or a stale answer helps
	R0                   // deterministic: never again on the same endpoint with the same settings
	retries
)

var retryNames = [retries]string{"-", "RC", "RU", "RI", "RP", "RD", "RL", "R0"}

func (r Retry) String() string { return retryNames[r] }

// Class groups faults for the words that end users see.
type Class uint8

// The classes. Each has its sentences in internal/explain.
const (
	NoClass          Class = iota
	ClassBadRequest        // the client's message is at fault
	ClassNotHere           // the client asks for what is not here
	ClassUnreachable       // the application could not be reached
	ClassNoAnswer          // the application hung up without a (whole) answer
	ClassTooSlow           // something took longer than its limit
	ClassBadAnswer         // the application's answer cannot be passed on
	ClassInsecure          // the application's identity or encryption is at fault
	ClassOurFault          // the gateway itself is at fault
	ClassBusy              // too much to do right now
	ClassClientGone        // nobody is left to answer
	ClassRepaired          // a notice: the answer was good enough, or was mended
	classes
)

// Kind tells faults that fail an exchange from those that only deserve a note.
type Kind uint8

// The kinds.
const (
	// Failure ends the attempt; the exchange fails unless it is rescued.
	Failure Kind = iota
	// Repair is mended where the RFCs allow it, with a receipt in the log. With
	// repairs off, or where the place decides framing, it is a Failure.
	Repair
	// Notice is tolerated, learned from or passed on: a receipt, no harm.
	Notice
)

// Row is one line of the catalogue.
type Row struct {
	ID     ID
	Phase  Phase
	Side   Side
	Class  Class
	Kind   Kind
	Status int    // what the client gets when nothing rescues it; 0 where it gets nothing new
	Proxy  string // Proxy-Status error type, a token of RFC 9209 §2.3; "" for none
	Retry  Retry
	Rule   string // citation: "RFC 9112 §5.1"
	// Requires quotes no RFC: it says in our words what the rule asks for.
	Requires string
	Title    string // one line, no full stop: what is wrong, as a sentence about the sender
	// Saw is what was observed, with {name} where a fault's Params go.
	Saw     string
	Causes  []string // likely causes, the likeliest first
	Fix     []string // what to do about it, imperative
	Bearing string   // how to live with it: the option of this gateway, "" if there is none
	Related []ID
	// Example is an erroneous message, raw; "" where bytes are not the point.
	// Mark is the offset of the offending byte in it, -1 for none.
	Example string
	Mark    int
	// Nginx and HAProxy say what those would have shown for it, so that their
	// users recognise it; "" where there is no equivalent.
	Nginx, HAProxy string
}

// A Fault is one failure, told once, where it was first understood.
type Fault struct {
	ID    ID
	At    Phase // where it was met; the row's phase unless said otherwise
	Param []Param
	// Saw is the bytes that prove it; nil where there are none.
	Saw *Excerpt
	// Err is what another package or the kernel said, if it said anything.
	Err error
	// RetryAfter is when the cause may be gone; 0 if nobody knows.
	RetryAfter time.Duration
}

// Param is one fact that a row's words refer to by name.
type Param struct{ Name, Value string }

// Excerpt is a bounded piece of a message with secrets masked.
type Excerpt struct {
	Bytes []byte // the piece
	Base  int64  // offset of Bytes[0] in the message
	Mark  int64  // offset in the message of the offending byte; -1 for none
}

// New makes a fault in the phase of its row. Params come in pairs of name and
// value.
func New(id ID, nameValue ...string) *Fault {
	f := &Fault{ID: id, At: Lookup(id).Phase}
	for i := 0; i+1 < len(nameValue); i += 2 {
		f.Param = append(f.Param, Param{nameValue[i], nameValue[i+1]})
	}
	return f
}

// With adds one fact and returns f.
func (f *Fault) With(name, value string) *Fault {
	f.Param = append(f.Param, Param{name, value})
	return f
}

// Because notes what another package said and returns f.
func (f *Fault) Because(err error) *Fault { f.Err = err; return f }

// Row returns the catalogue's row of f.
func (f *Fault) Row() *Row { return Lookup(f.ID) }

// Offset is the offset of the offending byte in its message, -1 for none.
func (f *Fault) Offset() int64 {
	if f.Saw == nil {
		return -1
	}
	return f.Saw.Mark
}

// Get returns the value of the named fact, "" if it was not told.
func (f *Fault) Get(name string) string {
	for _, p := range f.Param {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// Observed is the row's Saw with the facts filled in: a sentence for operators.
func (f *Fault) Observed() string {
	s := f.Row().Saw
	if !strings.Contains(s, "{") {
		return s
	}
	pairs := make([]string, 0, 2*len(f.Param))
	for _, p := range f.Param {
		pairs = append(pairs, "{"+p.Name+"}", p.Value)
	}
	s = strings.NewReplacer(pairs...).Replace(s)
	// An endpoint that is an address already need not be told twice.
	if e := f.Get("endpoint"); e != "" {
		s = strings.ReplaceAll(s, e+" ("+e+")", e)
	}
	return s
}

// Error makes a Fault an error for the border of the program. Inside, faults
// travel as *Fault: a nil *Fault stored in an error is not a nil error.
func (f *Fault) Error() string { return string(f.ID) + ": " + f.Observed() }

// Unwrap returns what another package said.
func (f *Fault) Unwrap() error { return f.Err }

// Catalogue lists all rows in the order of the life of an exchange.
func Catalogue() []*Row { return all }

// Lookup returns the row of id. An unknown id is a bug of ours and gets the row
// of gateway_internal_error, so that even a bug is explained.
func Lookup(id ID) *Row {
	if r := byID[id]; r != nil {
		return r
	}
	return byID[GatewayInternalError]
}

// Known reports whether the catalogue has a row for id.
func Known(id ID) bool { return byID[id] != nil }

var all, byID = index(client, routing, local, resolving, connecting, securing, sending, heading, fields, framing, content, http2, switching, meaning, grpc)

func index(families ...[]Row) ([]*Row, map[ID]*Row) {
	var rows []*Row
	ids := map[ID]*Row{}
	for _, f := range families {
		for i := range f {
			rows = append(rows, &f[i])
			ids[f[i].ID] = &f[i]
		}
	}
	return rows, ids
}

// Interrupted stands for a wait that its own task's fellow ended: no fault of
// anybody, and never to be shown.
var Interrupted = &Fault{ID: ClientGone}
