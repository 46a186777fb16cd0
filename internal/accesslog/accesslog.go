// Package accesslog writes one line for each exchange, when it is over.
//
// [AppendJSON] is the form for machines: one JSON object a line, OpenTelemetry
// names where there are such, the catalogue's words for the rest. [AppendText]
// is the form for a terminal. Both append to a buffer and allocate nothing. A
// [Sink] brings the lines of all loops to one writer without ever making a loop
// wait for a disk.
//
// Start with AppendJSON. What is said in an error page is package explain's,
// what is kept of an incident package incident's.
package accesslog

import (
	"bytes"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// state says in HAProxy's two letters who ended the exchange and at which
// stage, so that old eyes and old scripts find their way: C client, S server,
// P proxy, R resource, in lower case for a time limit; then R request, Q queue,
// C connect, H headers, D data, L last. "--" is a normal end.
func state(t *trail.Trail, r *fault.Row) [2]byte {
	if r == nil || t.Rescued || r.Kind == fault.Notice {
		return [2]byte{'-', '-'}
	}
	return [2]byte{whoEnded(r), stage[t.Fault.At]}
}

func whoEnded(r *fault.Row) byte {
	switch {
	case r.Class == fault.ClassTooSlow && r.Side == fault.Client:
		return 'c'
	case r.Class == fault.ClassTooSlow:
		return 's'
	case r.Class == fault.ClassClientGone:
		return 'C'
	case r.ID == fault.LocalFDExhausted, r.ID == fault.LocalPortExhausted, r.ID == fault.LocalMemoryExhausted,
		r.ID == fault.LocalDiskFull:
		return 'R'
	case r.Class == fault.ClassBadRequest, r.Class == fault.ClassNotHere, r.Class == fault.ClassBadAnswer, r.Side == fault.Gateway:
		return 'P' // it was us who refused
	case r.Side == fault.Client:
		return 'C'
	}
	return 'S'
}

// stage maps a phase to HAProxy's second letter.
var stage = [...]byte{
	fault.NoPhase: '-', fault.Accept: 'R', fault.Parse: 'R', fault.Route: 'R', fault.Admit: 'R',
	fault.Select: 'Q', fault.Resolve: 'C', fault.Connect: 'C', fault.Secure: 'C',
	fault.Send: 'H', fault.Await: 'H', fault.Head: 'H', fault.Answer: 'H',
	fault.Body: 'D', fault.Tunnel: 'D', fault.Reply: 'D', fault.Record: 'L',
}

// row is the row of the trail's fault, nil if there is none.
func row(t *trail.Trail) *fault.Row {
	if t.Fault == nil {
		return nil
	}
	return t.Fault.Row()
}

// phase is one part of an exchange and how long it took, in nanoseconds.
type phase struct {
	p    fault.Phase
	took int64
}

// phases measures the parts of an exchange: the request's head, the parts of
// the last attempt, and what it took to hand the rest of the answer over. A
// part that did not happen, or took no measurable time, is 0.
func phases(t *trail.Trail) (list [10]phase) {
	list[0] = phase{fault.Parse, int64(t.HeadRead)}
	if t.N == 0 {
		return list
	}
	a := &t.Attempts[t.N-1]
	steps := [...]struct {
		p   fault.Phase
		end trail.Stamp
	}{{fault.Select, a.Selected}, {fault.Resolve, a.Resolved}, {fault.Connect, a.Connected}, {fault.Secure, a.Secured}, {fault.Send, a.Sent},
		{fault.Await, a.FirstByte}, {fault.Head, a.HeadRead}, {fault.Body, a.Ended}, {fault.Reply, t.Ended}}
	from := a.Began
	for i, s := range steps {
		list[i+1].p = s.p
		// An early answer's first byte comes before the request is sent: no time
		// was spent waiting then, and the clock goes on from the later moment.
		if s.end > from {
			list[i+1].took = int64(s.end - from)
			from = s.end
		}
	}
	// An attempt that ended without a head had no body phase: what came last was
	// the phase of its fault.
	if a.HeadRead == 0 && a.Fault != nil && list[8].took > 0 {
		took := list[8].took
		list[8].took = 0
		for i := range list {
			if list[i].p == a.Fault.At {
				list[i].took += took
			}
		}
	}
	return list
}

// splitHost takes an authority apart: host without brackets, port without
// colon, either may be empty (RFC 3986 §3.2).
func splitHost(authority []byte) (host, port []byte) {
	i := bytes.LastIndexByte(authority, ':')
	if i < 0 || bytes.IndexByte(authority[i:], ']') >= 0 {
		host = authority
	} else {
		host, port = authority[:i], authority[i+1:]
	}
	if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	return host, port
}
