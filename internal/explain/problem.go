package explain

import (
	"encoding/json"
	"fmt"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// problem is the answer for programs: RFC 9457 and members of our own.
type problem struct {
	Type       string `json:"type"`
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Detail     string `json:"detail"`
	Instance   string `json:"instance,omitempty"`
	Fault      string `json:"fault"`
	Side       string `json:"side"`
	Attempts   int    `json:"attempts"`
	Reached    bool   `json:"request_reached_upstream"`
	Effect     string `json:"request_effect"`
	Retryable  bool   `json:"retryable"`
	RetryAfter *int   `json:"retry_after"`
	UserAction string `json:"user_action"`
	Operator   bool   `json:"operator_action_required"`
	Timestamp  string `json:"timestamp"`

	More *problemDetail `json:"operator,omitempty"`
}

type problemDetail struct {
	Title    string            `json:"title"`
	Observed string            `json:"observed"`
	Params   map[string]string `json:"params,omitempty"`
	Route    string            `json:"route,omitempty"`
	Timeline []problemEvent    `json:"timeline"`
	Evidence *problemEvidence  `json:"evidence,omitempty"`
	Rule     string            `json:"rule"`
	Requires string            `json:"requires"`
	Causes   []string          `json:"causes"`
	Fix      []string          `json:"fix"`
	Bearing  string            `json:"live_with_it,omitempty"`
	Notices  []string          `json:"notices,omitempty"`
}

type problemEvent struct {
	Ms    float64 `json:"ms"`
	Event string  `json:"event"`
	Fault string  `json:"fault,omitempty"`
}

type problemEvidence struct {
	Of    string `json:"of"`
	Base  int64  `json:"base"`
	Mark  int64  `json:"mark"` // offset of the offending byte, -1 for none
	Bytes []byte `json:"base64"`
}

// effectWords are the values of request_effect.
var effectWords = [...]string{trail.NotSent: "not_processed", trail.Harmless: "no_change_asked",
	trail.Repeat: "same_if_repeated", trail.Unknown: "unknown"}

// urn of a fault: it names, and promises nothing that could be fetched.
func urn(id fault.ID) string { return "urn:gatewhy:fault:" + visible(string(id)) }

func (v *view) toProblem() *problem {
	s := v.sentences()
	p := &problem{Type: urn(v.f.ID), Title: s.Short, Status: v.status(), Detail: s.Told, Fault: visible(string(v.f.ID)),
		Side: v.row.Side.String(), Attempts: v.t.N, Reached: v.effect != trail.NotSent, Effect: effectWords[v.effect],
		Retryable: v.retryable(), UserAction: v.action(),
		Operator:  v.row.Side != fault.Client && v.row.Class != fault.ClassBusy,
		Timestamp: v.began().Format("2006-01-02T15:04:05Z")}
	if v.t.N > 1 {
		p.Detail += " " + fmt.Sprintf(v.say.Tried, v.t.N)
	}
	p.Detail += " " + v.became()
	if id := v.incident(); id != "" {
		p.Instance = "urn:gatewhy:" + id
	}
	if v.a.RetryAfter > 0 {
		p.RetryAfter = &v.a.RetryAfter
	}
	if v.a.Detail {
		p.More = v.toDetail()
	}
	return p
}

func (v *view) toDetail() *problemDetail {
	d := &problemDetail{Title: v.row.Title, Observed: visible(v.observed(v.f)), Route: visible(v.t.Route), Rule: v.row.Rule,
		Requires: v.row.Requires, Causes: v.row.Causes, Fix: v.row.Fix, Bearing: v.row.Bearing, Params: map[string]string{}}
	for _, p := range v.f.Param {
		d.Params[visible(p.Name)] = visible(p.Value)
	}
	for _, e := range v.timeline() {
		d.Timeline = append(d.Timeline, problemEvent{float64(e.at) / 1e6, visible(e.words), visible(string(e.id))})
	}
	if e := v.evidence(); e != nil {
		d.Evidence = &problemEvidence{visible(e.title), e.base, e.mark, e.bytes}
	}
	for _, n := range v.receipts() {
		d.Notices = append(d.Notices, visible(n))
	}
	return d
}

func (v *view) problem(dst []byte) []byte {
	b, err := json.Marshal(v.toProblem())
	if err != nil {
		// Strings, numbers and slices of them always have a JSON form.
		panic("explain: " + err.Error())
	}
	return append(append(dst, b...), '\n')
}
