package explain

import (
	"bytes"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// observed is what a fault's row says was seen, with the facts filled in and "?"
// for a fact that was not told, then what another package said. It is not escaped.
func (v *view) observed(f *fault.Fault) string {
	s := fill(v.lookup(f.ID).Saw, f)
	if f.Err != nil {
		if said := f.Err.Error(); !strings.Contains(s, said) {
			s += " (" + said + ")"
		}
	}
	return s
}

// fill puts a fault's facts where a row's words have {name}.
func fill(s string, f *fault.Fault) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "{")
		name, after, closed := strings.Cut(rest, "}")
		b.WriteString(before)
		if !ok || !closed {
			b.WriteString(s[len(before):])
			return b.String()
		}
		if value := f.Get(name); value != "" {
			b.WriteString(value)
		} else {
			b.WriteByte('?')
		}
		s = after
	}
}

// event is one line of a timeline.
type event struct {
	at    trail.Stamp
	words string
	id    fault.ID // "" where nothing went wrong
}

// timeline tells the exchange in the order in which it happened.
func (v *view) timeline() []event {
	t := v.t
	list := []event{{0, "first byte of the request from " + or(string(t.Client), "the client"), ""}}
	add := func(at trail.Stamp, id fault.ID, format string, args ...any) {
		if at > 0 {
			list = append(list, event{at, fmt.Sprintf(format, args...), id})
		}
	}
	add(t.HeadRead, "", "head of the request complete")
	if t.BodyRead > t.HeadRead {
		add(t.BodyRead, "", "body of the request complete")
	}
	for i := range t.Tries() {
		v.tell(add, i)
	}
	if n := t.N; n > 0 && t.Withheld != nil {
		w := v.lookup(t.Withheld.ID)
		add(max(1, t.Attempts[n-1].Ended), t.Withheld.ID, "no further try: %s", w.Title)
	}
	if t.N == 0 && t.Fault != nil {
		add(max(1, t.HeadRead), v.f.ID, "%s", v.row.Title)
	}
	switch {
	case t.Status == 0:
		add(t.Ended, "", "the client got no answer")
	case t.Cut:
		add(t.Answered, "", "%d on its way to the client", t.Status)
		add(t.Ended, "", "answer cut after %d bytes, so that nobody takes it for whole", t.Out)
	case t.Status == 499:
		add(t.Ended, "", "the client was gone")
	default:
		said := ""
		if t.Call && t.GRPCStatus >= 0 {
			said = fmt.Sprintf(", grpc-status %d", t.GRPCStatus)
		}
		add(t.Answered, "", "%d%s on its way to the client", t.Status, said)
		add(t.Ended, "", "exchange over, %d bytes to the client", t.Out)
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].at < list[j].at })
	return list
}

// tell adds the events of attempt i.
func (v *view) tell(add func(trail.Stamp, fault.ID, string, ...any), i int) {
	a := &v.t.Attempts[i]
	began := max(1, a.Began)
	connection := "new connection"
	if a.Secure {
		connection = "new TLS connection"
	}
	if a.HTTP2 {
		connection += ", HTTP/2"
	}
	if a.HTTP2 && (a.Reused || a.Connected == 0 && a.BytesSent > 0) {
		connection = fmt.Sprintf("HTTP/2 connection in use, %d requests before", a.Serial)
	} else if a.Reused {
		connection = fmt.Sprintf("reused connection, %d requests before, idle for %s", a.Serial, span(a.Idle))
	} else if ready := max(a.Connected, a.Secured); ready > max(a.Began, a.Selected) {
		connection += ", ready in " + span(int64(ready-max(a.Began, a.Selected)))
	}
	if a.Selected > 0 {
		add(began, "", "waits in the queue of %s", a.Upstream)
		began = a.Selected
	}
	where := or(a.Endpoint, a.Address)
	if where == "" && a.Fault != nil {
		add(max(began, a.Ended), a.Fault.ID, "no endpoint to ask")
		return
	}
	if a.Address != "" && a.Address != where {
		where += " (" + a.Address + ")"
	}
	add(began, "", "try %d → %s: %s", i+1, where, connection)
	add(a.Sent, "", "request sent, %d bytes", a.BytesSent)
	add(a.FirstByte, "", "first byte of the answer")
	if a.Status > 0 {
		add(a.HeadRead, "", "head of the answer: %d", a.Status)
	} else {
		add(a.HeadRead, "", "head of the answer")
	}
	if a.Fault == nil {
		add(a.Ended, "", "answer complete, %d bytes", a.BytesReceived)
		return
	}
	r := v.lookup(a.Fault.ID)
	at := ""
	if off := a.Fault.Offset(); off >= 0 {
		at = fmt.Sprintf(" at byte %d", off)
	}
	add(max(began, a.Ended), a.Fault.ID, "%s%s", outcome(r), at)
}

// outcome says in three words how an attempt ended.
func outcome(r *fault.Row) string {
	switch r.Class {
	case fault.ClassUnreachable:
		return "no connection"
	case fault.ClassNoAnswer:
		return "connection ended without a whole answer"
	case fault.ClassTooSlow:
		return "given up waiting"
	case fault.ClassBadAnswer:
		return "answer refused"
	case fault.ClassInsecure:
		return "no secure connection"
	case fault.ClassClientGone:
		return "abandoned, the client was gone"
	}
	return "failed"
}

// attempts is a table with a headline, nil if no attempt was made.
func (v *view) attempts() [][]string {
	if v.t.N == 0 {
		return nil
	}
	rows := [][]string{{"try", "endpoint", "address", "connection", "sent", "received", "status", "fault"}}
	for i := range v.t.Tries() {
		a := &v.t.Attempts[i]
		connection, status, id := "new", "-", "-"
		if a.Reused {
			connection = "reused"
		}
		if a.Status > 0 {
			status = strconv.Itoa(a.Status)
		}
		if a.Fault != nil {
			id = string(a.Fault.ID)
		}
		rows = append(rows, []string{strconv.Itoa(i + 1), or(a.Endpoint, "-"), or(a.Address, "-"), connection,
			strconv.FormatInt(a.BytesSent, 10), strconv.FormatInt(a.BytesReceived, 10), status, id})
	}
	return rows
}

// receipts tells what was repaired, tolerated or learned on the way.
func (v *view) receipts() (list []string) {
	for _, n := range v.t.Receipts() {
		s := string(n.ID) + ": " + v.lookup(n.ID).Title
		if n.At >= 0 {
			s += fmt.Sprintf(", byte %d", n.At)
		}
		if n.Attempt >= 0 && v.t.N > 1 {
			s += fmt.Sprintf(" (try %d)", n.Attempt+1)
		}
		list = append(list, s)
	}
	if more := v.t.NNotice - len(list); more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return list
}

// evidence is the piece of a message that proves a fault.
type evidence struct {
	title string
	bytes []byte
	base  int64
	mark  int64  // -1 for none
	note  string // about the marked byte, "" for none
}

// hexLinesBefore and hexLinesBehind bound how much evidence is shown around the
// mark: enough to recognise the place, and all of it on one screen.
const (
	hexLinesBefore = 8
	hexLinesBehind = 4
)

// evidence finds what to show, nil if no bytes were kept. An attempt's first
// bytes show more than the fault's own excerpt, but only where both count from
// the same start: an offset in a body counts from the body's own.
func (v *view) evidence() *evidence {
	a, saw := v.culprit(), v.f.Saw
	e := &evidence{mark: -1}
	switch {
	case saw != nil && a != nil && agrees(a.First, saw):
		e.bytes, e.mark = a.First, saw.Mark
	case saw != nil && len(saw.Bytes) > 0:
		e.bytes, e.base, e.mark = saw.Bytes, saw.Base, saw.Mark
	case a != nil && len(a.First) > 0:
		e.bytes = a.First
	case a != nil && len(a.Last) > 0:
		e.bytes, e.base = a.Last, max(0, a.BytesReceived-int64(len(a.Last)))
	default:
		return nil
	}
	whole := len(e.bytes)
	e.window()
	of := "request"
	if v.row.Side != fault.Client {
		of = "answer"
		if a != nil {
			of += " of " + or(a.Address, a.Endpoint)
		}
	}
	e.title = fmt.Sprintf("%s, %d bytes from byte %d", of, len(e.bytes), e.base)
	if len(e.bytes) < whole {
		e.title += fmt.Sprintf(" (%d were kept)", whole)
	}
	e.note = e.aboutMark()
	return e
}

// agrees reports whether first, the first bytes of an answer, hold the excerpt
// at the same offsets.
func agrees(first []byte, saw *fault.Excerpt) bool {
	if saw.Base < 0 || saw.Base > int64(len(first)) || saw.Mark > int64(len(first)) {
		return false
	}
	part := first[saw.Base:]
	n := min(len(part), len(saw.Bytes))
	return n > 0 && bytes.Equal(part[:n], saw.Bytes[:n])
}

// window cuts the evidence to some lines around its mark.
func (e *evidence) window() {
	const line = hexWidth
	from, to := e.base, e.base+int64(len(e.bytes))
	if e.mark >= from && e.mark <= to {
		from = max(from, e.mark&^(line-1)-hexLinesBefore*line)
	}
	to = min(to, max(from, e.mark)&^(line-1)+(hexLinesBehind+1)*line)
	if e.mark < 0 {
		to = min(e.base+int64(len(e.bytes)), from+(hexLinesBefore+hexLinesBehind)*line)
	}
	if to < from {
		return // the offsets make no sense: they came from elsewhere
	}
	e.bytes = e.bytes[from-e.base : min(int64(len(e.bytes)), to-e.base)]
	e.base = from
}

// aboutMark says which byte is marked.
func (e *evidence) aboutMark() string {
	i := e.mark - e.base
	switch {
	case e.mark < 0 || i < 0 || i > int64(len(e.bytes)):
		return ""
	case i == int64(len(e.bytes)):
		return fmt.Sprintf("byte %d (0x%x) is where the bytes end", e.mark, e.mark)
	}
	c := e.bytes[i]
	name := fmt.Sprintf("0x%02x", c)
	switch {
	case c == ' ':
		name += ", a space"
	case c > ' ' && c < 0x7f:
		name += fmt.Sprintf(", %q", rune(c))
	case c == '\r':
		name += ", CR"
	case c == '\n':
		name += ", LF"
	case c == '\t':
		name += ", a tab"
	case c == 0:
		name += ", NUL"
	case c < ' ' || c == 0x7f:
		name += ", a control character"
	default:
		name += ", no ASCII"
	}
	return fmt.Sprintf("byte %d (0x%x) is %s", e.mark, e.mark, name)
}

func or(s, instead string) string {
	if s != "" {
		return s
	}
	return instead
}

// span writes a duration for people.
func span(ns int64) string {
	d := time.Duration(ns)
	switch {
	case d >= time.Second:
		d = d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		d = d.Round(100 * time.Microsecond)
	default:
		d = d.Round(time.Microsecond)
	}
	return d.String()
}
