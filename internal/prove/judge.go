package prove

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dunglas/httpsfv"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/incident"
	"github.com/gatewhy/gatewhy/internal/lab"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// judge holds a play against what its recipe promises. The error lists all that
// is wrong; nil means that the fault is explained, or that it did no harm.
func judge(r *lab.Recipe, p *played, s *stage) error {
	j := &judgement{r: r, p: p, t: p.trail}
	j.names()
	j.offset()
	j.answer()
	j.words()
	j.secrets(s)
	for _, other := range p.beside {
		j.beside(other)
	}
	return errors.Join(j.wrong...)
}

// beside judges a request that was under way on the same connection. A GET can
// always be asked for again.
func (j *judgement) beside(p *played) {
	if a := p.answer; a.flaw != "" || !a.whole || a.status != 200 || string(a.body) != "hello" {
		j.bad("a request beside got %v", a)
	}
	if f := p.trail.Fault; f != nil && (j.r.Spared && !p.trail.Rescued || f.ID != j.r.Want) {
		j.bad("a request beside met %s", f.ID)
	}
}

// judgeRescue holds a play with a good second endpoint against what it must be:
// an answer without a flaw, as if nothing had been.
func judgeRescue(r *lab.Recipe, p *played) error {
	j := &judgement{r: r, p: p, t: p.trail}
	upgraded := strings.Contains(r.Request, "\r\nUpgrade: ")
	switch a := p.answer; {
	case upgraded && a.status == 101 && a.flaw == "":
	case r.GRPC != "" && a.whole && a.status == 200 && a.said("grpc-status") == "0" && bytes.HasSuffix(a.body, []byte("hello")) &&
		p.trail.Fault != nil && p.trail.Rescued:
	case upgraded || !a.whole || a.status != 200 || string(a.body) != "hello":
		j.bad("with a good second endpoint the client gets %v, not rescued", a)
	case p.trail.Fault == nil:
		j.bad("rescued, but the trail names no fault")
	case !p.trail.Rescued:
		j.bad("rescued from %s, but the trail does not say so", p.trail.Fault.ID)
	}
	return errors.Join(j.wrong...)
}

type judgement struct {
	r     *lab.Recipe
	p     *played
	t     *trail.Trail
	wrong []error
}

func (j *judgement) bad(format string, a ...any) {
	j.wrong = append(j.wrong, fmt.Errorf(format, a...))
}

// noted returns the receipt for id, nil if there is none.
func (j *judgement) noted(id fault.ID) *trail.Notice {
	for i, n := range j.t.Receipts() {
		if n.ID == id {
			return &j.t.Receipts()[i]
		}
	}
	return nil
}

// names: the fault has exactly the recipe's name, and so has all that is said
// beside it.
func (j *judgement) names() {
	r, t := j.r, j.t
	got := fault.ID("")
	if t.Fault != nil {
		got = t.Fault.ID
	}
	// What the attempt got over by itself is a receipt, not the trail's fault.
	mended := got == "" && r.Status == 200 && j.noted(r.Want) != nil
	if r.Want != "" && got != r.Want && !mended {
		j.bad("named %s, not %s", orNone(got), r.Want)
	}
	withheld := fault.ID("")
	if t.Withheld != nil {
		withheld = t.Withheld.ID
	}
	if withheld != r.Withheld {
		j.bad("another attempt was withheld by %s, not %s", orNone(withheld), orNone(r.Withheld))
	}
	for _, id := range r.Notes {
		// What was cured by another attempt is the trail's fault, with a good answer.
		if j.noted(id) == nil && got != id {
			j.bad("no receipt says %s", id)
		}
	}
	if r.Want == "" && got != "" && !slices.Contains(r.Notes, got) {
		j.bad("named %s, though nothing failed", got)
	}
	if got != "" && !fault.Known(got) {
		j.bad("%s is in no row of the catalogue", got)
	}
}

func orNone(id fault.ID) string {
	if id == "" {
		return "nothing"
	}
	return string(id)
}

// offset: the very byte.
func (j *judgement) offset() {
	r := j.r
	if r.Offset < 0 || r.Want == "" && len(r.Notes) == 0 {
		return
	}
	got := int64(-1)
	want := r.Offset
	if r.Want != "" {
		if j.t.Fault == nil {
			return // judged by names
		}
		got = j.t.Fault.Offset()
		if row := fault.Lookup(r.Want); row.Side == fault.Client && j.p.at >= 0 && row.ID != fault.RequestBodyBroken &&
			want >= int64(j.p.at) {
			want += int64(len(planted))
		}
	} else if n := j.noted(r.Notes[0]); n != nil {
		got = n.At
	}
	if got != want {
		j.bad("offset %d, not %d", got, want)
	}
}

// answer: what the client got.
func (j *judgement) answer() {
	r, a := j.r, j.p.answer
	if j.p.goaway != r.Goaway {
		j.bad("the connection ended with %q, not %q", j.p.goaway, r.Goaway)
	}
	switch {
	case a.flaw != "":
		j.bad("the client got %v", a)
		return
	case r.GRPC != "" && j.told(): // whatever the status would be, trailers say it
		return
	case r.Cut && j.cut():
		return
	case r.Cut && r.Status == 0:
		j.bad("the client got %v, not one that is visibly cut", a)
		return
	case a.status != r.Status:
		j.bad("the client got %v, not status %d", a, r.Status)
		return
	case r.Status == 0:
		return
	case !a.whole:
		j.bad("the client got %v, which is not whole", a)
		return
	}
	if j.explained() {
		j.explanation()
		return
	}
	if string(a.body) != r.Body && r.Status != 101 {
		j.bad("the client got body %.60q, not %.60q", a.body, r.Body)
	}
}

// told reports whether a gRPC client gets to know the fault in its own way: status
// 200, and trailers with the verdict and the incident.
func (j *judgement) told() bool {
	r, a := j.r, j.p.answer
	if a.status != 200 || !a.whole {
		j.bad("the client of a call got %v", a)
		return true
	}
	if got := a.said("grpc-status"); got != r.GRPC {
		j.bad("grpc-status %q, not %q", got, r.GRPC)
	}
	if !j.t.Call || strconv.Itoa(j.t.GRPCStatus) != r.GRPC {
		j.bad("the trail says grpc-status %d of %v, not %s", j.t.GRPCStatus, j.t.Call, r.GRPC)
	}
	if r.Want == "" {
		return true // what the upstream said
	}
	id := string(j.t.Incident[:])
	if m := a.said("grpc-message"); !strings.HasPrefix(m, string(r.Want)+": ") || !strings.Contains(m, id) {
		j.bad("grpc-message %q lacks the fault or incident %s", m, id)
	}
	if a.size > 0 && !j.t.Cut {
		j.bad("the answer is broken off, but the trail does not say so")
	}
	if len(a.trailer) == 0 {
		j.proxyStatus(a.get("Proxy-Status"), fault.Lookup(r.Want), id)
	}
	return true
}

// cut reports whether the answer has begun with the upstream's status and shows
// that something is missing.
func (j *judgement) cut() bool {
	a := j.p.answer
	if a.status == 0 || a.whole || a.status != j.t.UpstreamStatus {
		return false
	}
	if !j.t.Cut {
		j.bad("the answer is cut, but the trail does not say so")
	}
	return true
}

// explained reports whether the answer must be the gateway's own.
func (j *judgement) explained() bool {
	return j.r.Want != "" && j.r.Status >= 400
}

// explanation: the status, the header and the page say the same, in a form that
// others can read.
func (j *judgement) explanation() {
	a, t := j.p.answer, j.t
	if t.Fault == nil {
		return // already said
	}
	row := t.Fault.Row()
	if a.status != row.Status {
		j.bad("status %d, but the row of %s says %d", a.status, row.ID, row.Status)
	}
	if t.Status != a.status {
		j.bad("the trail says status %d, the client got %d", t.Status, a.status)
	}
	id := string(t.Incident[:])
	if t.Incident == [8]byte{} {
		j.bad("no incident has a name")
	} else if a.size > 0 && !bytes.Contains(a.body, []byte(id)) {
		j.bad("the page does not name incident %s", id)
	}
	if a.get("Content-Type") == "" || a.get("Date") == "" {
		j.bad("the page lacks Content-Type or Date")
	}
	if a.status == 503 && a.get("Retry-After") == "" {
		j.bad("503 without Retry-After")
	}
	j.proxyStatus(a.get("Proxy-Status"), row, id)
}

// proxyStatus holds the field against RFC 9209 §2, by a parser that is not ours.
func (j *judgement) proxyStatus(value string, row *fault.Row, incident string) {
	if row.Proxy == "" {
		return
	}
	list, err := httpsfv.UnmarshalList([]string{value})
	if err != nil || len(list) == 0 {
		j.bad("Proxy-Status %q cannot be parsed: %v", value, err)
		return
	}
	item, ok := list[len(list)-1].(httpsfv.Item)
	if !ok {
		j.bad("Proxy-Status %q: a member is no item", value)
		return
	}
	switch got, _ := item.Params.Get("error"); got {
	case httpsfv.Token(row.Proxy):
	default:
		j.bad("Proxy-Status %q: error is %v, not the token %s", value, got, row.Proxy)
	}
	if p, ok := item.Params.Get("next-protocol"); ok && j.r.Where == lab.HTTP2 && p != httpsfv.Token("h2") {
		j.bad("Proxy-Status %q: the next hop speaks HTTP/2", value)
	}
	details, _ := item.Params.Get("details")
	if s, _ := details.(string); !strings.Contains(s, string(row.ID)) || !strings.Contains(s, incident) {
		j.bad("Proxy-Status %q: details lack the fault or the incident", value)
	}
}

// words: what was observed is said with all facts filled in.
func (j *judgement) words() {
	say := func(f *fault.Fault) {
		if f == nil {
			return
		}
		if s := f.Observed(); strings.Contains(s, "{") {
			j.bad("%s says %q: a fact is missing", f.ID, s)
		}
	}
	say(j.t.Fault)
	if j.t.Withheld != j.t.Fault {
		say(j.t.Withheld)
	}
	for i := range j.t.Tries() {
		if f := j.t.Attempts[i].Fault; f != j.t.Fault {
			say(f)
		}
	}
}

// secrets: what was planted into the request has not come out anywhere.
func (j *judgement) secrets(s *stage) {
	look := func(where string, b []byte) {
		if bytes.Contains(b, []byte(secret)) {
			j.bad("a secret of the request is in %s", where)
		}
	}
	look("the answer", j.p.answer.body)
	for _, f := range j.p.answer.fields {
		look("the answer's fields", []byte(f.value))
	}
	look("the access log", s.log.text)
	record, err := json.Marshal(&incident.Record{Trail: j.t})
	if err != nil {
		j.bad("the incident has no JSON form: %v", err)
	}
	look("the incident", record)
}
