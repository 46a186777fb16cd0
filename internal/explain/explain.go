// Package explain puts trails and rows of the catalogue into words, for the two
// audiences that a failure has.
//
// End users get a page that names the class of the fault, whose side it is on,
// whether to try again, what became of their request, and an incident number:
// [Render], in the format that they accept ([Negotiate]), and the Proxy-Status
// field ([ProxyStatus]). It never names a host, address, path, field value, byte
// or version. Operators get all of it: in the same answer if Answer.Detail says
// so, in the terminal by [Incident], and what a fault means by [Page] and [Doc].
//
// The sentences for users are in words.go, by class of fault and in one place
// for each language. Those for operators are the rows of package fault. All that
// peers sent is escaped here, for the medium it goes to; nothing is trusted.
package explain

import (
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// Answer is what an error answer is made from.
type Answer struct {
	// Trail is the diary of the exchange. Its Status is sent; where it is 0 the
	// row's status is.
	Trail *trail.Trail
	// Node is this deployment's name in Proxy-Status: a host or service name, never
	// that of the product (RFC 9209 §2). "" means "gateway".
	Node string
	// Detail adds what only operators may see.
	Detail bool
	// Contact is a mail address, URL or phrase that users are sent to; "" for none.
	Contact string
	// RetryAfter is the value of the answer's Retry-After in seconds, which bodies
	// repeat; 0 if the field is not sent.
	RetryAfter int
}

// Render appends the body of the error answer in format f. A user's HTML page
// is under 3 KB and needs neither scripts nor other resources.
func Render(dst []byte, a *Answer, f Format) []byte {
	v := look(a, fault.Lookup)
	switch f {
	case HTML:
		return v.html(dst)
	case Problem:
		return v.problem(dst)
	case Markdown:
		return v.markdown(dst)
	}
	return v.text(dst)
}

// Retryable reports whether sending the same request again may help and cannot
// do harm: the fault passes by itself, and the request was not processed or has
// the same effect twice. It is what bodies say in "retryable".
func (a *Answer) Retryable() bool { return look(a, fault.Lookup).retryable() }

// view is a trail as the renderers see it.
type view struct {
	a      *Answer
	t      *trail.Trail
	f      *fault.Fault
	row    *fault.Row
	lookup func(fault.ID) *fault.Row
	say    *language
	effect trail.Effect
}

// look prepares a trail for telling. lookup finds rows; tests bring their own.
func look(a *Answer, lookup func(fault.ID) *fault.Row) *view {
	t := a.Trail
	f := t.Fault
	if f == nil {
		// An error answer without a fault is a bug of ours, which must be told too.
		f = &fault.Fault{ID: fault.GatewayInternalError, Param: []fault.Param{{Name: "value", Value: "no fault was noted"}}}
	}
	return &view{a: a, t: t, f: f, row: lookup(f.ID), lookup: lookup, say: &english,
		effect: t.Effect(isSafe(t.Method), isIdempotent(t.Method))}
}

// isSafe reports whether a method asks for no change (RFC 9110 §9.2.1).
func isSafe(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	}
	return false
}

// isIdempotent reports whether a method has the same effect twice (RFC 9110 §9.2.2).
func isIdempotent(method []byte) bool {
	return isSafe(method) || string(method) == "PUT" || string(method) == "DELETE"
}

func (v *view) status() int {
	switch {
	case v.t.Status != 0:
		return v.t.Status
	case v.row.Status != 0:
		return v.row.Status
	}
	return 502
}

func (v *view) sentences() *sentences { return v.say.of(v.row) }

// passes reports whether the fault may be gone in a moment.
func (v *view) passes() bool {
	switch v.row.Class {
	case fault.ClassUnreachable, fault.ClassNoAnswer, fault.ClassTooSlow, fault.ClassBusy:
		return v.row.Retry != fault.R0
	case fault.ClassOurFault:
		return v.status() == 503 || v.status() == 504
	}
	return false
}

func (v *view) retryable() bool { return v.passes() && v.effect != trail.Unknown }

// became says what became of the request.
func (v *view) became() string {
	s := v.say.Effect[v.effect]
	if v.retryable() && v.effect != trail.NotSent {
		s += " " + v.say.Safe
	}
	return s
}

// advice says whether to try again.
func (v *view) advice() string {
	switch {
	case v.row.Class == fault.ClassBadRequest, v.row.Class == fault.ClassNotHere:
		return v.say.Change
	case v.effect == trail.Unknown:
		return "" // the effect's own sentence says what to do first
	case v.passes():
		return v.say.Again
	}
	return v.say.Pointless
}

// action is the advice in a few words.
func (v *view) action() string {
	switch {
	case v.row.Class == fault.ClassBadRequest, v.row.Class == fault.ClassNotHere:
		return v.say.DoChange
	case v.effect == trail.Unknown:
		return v.say.DoCheck
	case v.passes():
		return v.say.DoRetry
	}
	return v.say.DoWait
}

// incident is the incident's id, "" if there is none.
func (v *view) incident() string { return incidentOf(v.t) }

func incidentOf(t *trail.Trail) string {
	if t.Incident == ([8]byte{}) {
		return ""
	}
	return string(t.Incident[:])
}

func (v *view) began() time.Time { return time.Unix(0, v.t.Began).UTC() }

// culprit is the attempt that met the trail's fault, nil if none did.
func (v *view) culprit() *trail.Attempt {
	for i := range v.t.Tries() {
		if f := v.t.Attempts[i].Fault; f != nil && (f == v.f || f.ID == v.f.ID) {
			return &v.t.Attempts[i]
		}
	}
	return nil
}
