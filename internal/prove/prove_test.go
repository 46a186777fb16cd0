package prove

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/lab"
	"github.com/gatewhy/gatewhy/internal/trail"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if exit := Run(t.Context(), &out, Options{Only: []string{"cl_conflict", "head_bare_lf", "body_eof_short/late"}}); exit != ExitProved {
		t.Errorf("exit %d:\n%s", exit, &out)
	}
	for _, want := range []string{"rescued      cl_conflict (2 ways)\n", "rescued      head_bare_lf\n",
		"explained    body_eof_short\n", "3 faults in 4 ways: 2 rescued, 1 explained, 0 unexplained, in "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

func TestRunJSON(t *testing.T) {
	var out bytes.Buffer
	if exit := Run(t.Context(), &out, Options{JSON: true, Only: []string{"corpus/ok", "corpus/cl_neg"}}); exit != ExitProved {
		t.Errorf("exit %d:\n%s", exit, &out)
	}
	var r Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v in\n%s", err, &out)
	}
	if len(r.Faults) != 2 || r.Faults[0].Fault != "" || r.Faults[1].Fault != fault.CLInvalid || r.Rescued != 2 || r.Plays != 2 ||
		r.Faults[1].Plays[0].Recipe != "corpus/cl_neg" || r.Faults[1].Plays[0].Status != 502 {
		t.Errorf("got %+v", r)
	}
}

func TestRunRefuses(t *testing.T) {
	var out bytes.Buffer
	if exit := Run(t.Context(), &out, Options{Only: []string{"cl_conflikt"}}); exit != ExitFailed {
		t.Errorf("exit %d", exit)
	}
	if got := out.String(); !strings.Contains(got, `did you mean "cl_conflict"?`) {
		t.Errorf("got %q", got)
	}
}

// TestRunEnds: whoever interrupts a proof need not wait for its end.
func TestRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	if exit := Run(ctx, &out, Options{}); exit != ExitFailed {
		t.Errorf("exit %d", exit)
	}
	if exit := Run(t.Context(), broken{}, Options{Only: []string{"cl_empty"}}); exit != ExitFailed {
		t.Errorf("exit %d though the output is gone", exit)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// TestJudgeFinds changes one promise of a recipe at a time. Each lie must be
// found: what nobody could fail proves nothing.
func TestJudgeFinds(t *testing.T) {
	tests := []struct {
		name   string
		recipe string
		lie    func(*lab.Recipe)
		want   string
	}{
		{"name", "cl_conflict", func(r *lab.Recipe) { r.Want = fault.CLInvalid }, "named cl_conflict, not cl_invalid"},
		{"no name", "cl_conflict", func(r *lab.Recipe) { r.Want = "" }, "named cl_conflict, though nothing failed"},
		{"nothing", "corpus/ok", func(r *lab.Recipe) { r.Want = fault.CLInvalid }, "named nothing, not cl_invalid"},
		{"offset", "cl_conflict", func(r *lab.Recipe) { r.Offset++ }, "offset "},
		{"offset in a request", "request_host_invalid", func(r *lab.Recipe) { r.Offset = 3 }, "offset "},
		{"status", "cl_conflict", func(r *lab.Recipe) { r.Status = 504 }, "not status 504"},
		{"body", "corpus/ok", func(r *lab.Recipe) { r.Body = "hallo" }, `body "hello", not "hallo"`},
		{"receipt", "corpus/ok", func(r *lab.Recipe) { r.Notes = []fault.ID{fault.HeadBareLF} }, "no receipt says head_bare_lf"},
		{"withheld", "cl_conflict", func(r *lab.Recipe) { r.Withheld = fault.RetryBudgetExhausted },
			"withheld by nothing, not retry_budget_exhausted"},
		{"cut", "corpus/ok", func(r *lab.Recipe) { r.Status, r.Cut = 0, true }, "not one that is visibly cut"},
		{"whole", "body_eof_short/late", func(r *lab.Recipe) { r.Status, r.Cut = 200, false }, "which is not whole"},
		{"rescue", "body_eof_short/late", func(r *lab.Recipe) { r.Rescue = true }, "not rescued"},
		{"start", "cl_conflict", func(r *lab.Recipe) { r.Set = map[string]string{"no-such": "1"} }, "no-such"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := *lab.Find(test.recipe)
			test.lie(&r)
			got := prove(t.Context(), &r, portable)
			if got.Verdict != Unexplained || !strings.Contains(got.Why, test.want) {
				t.Errorf("got %s %q, not one about %q", got.Verdict, got.Why, test.want)
			}
		})
	}
}

// TestSecretsStay lets an upstream and a client send secrets in broken messages.
func TestSecretsStay(t *testing.T) {
	const inAnswer = "Set-Cookie: session=" + secret + "; HttpOnly\r\nX-Api-Key: " + secret + "\r\n"
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\n" + inAnswer + "X (A): b\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\n" + inAnswer + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\n" + inAnswer + "Content-Le",
		"HTTP/1.1 200 OK\r\nSet-Cookie: session=" + secret,
		"HTTP/1.1 200 OK\r\nAuthorization: Bearer " + secret + "\x00\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + inAnswer + "Content-Length: 50\r\n\r\nhello",
	} {
		r := *lab.Find("head_eof_partial")
		r.Answer, r.Rescue = answer, false
		p, s, err := playAnswer(t, &r, answer)
		if err != nil {
			t.Fatal(err)
		}
		j := &judgement{r: &r, p: p, t: p.trail}
		if p.trail.Fault == nil || len(p.trail.Attempts[0].First) == 0 {
			t.Errorf("%q: fault %v, no evidence", answer, p.trail.Fault)
		}
		if j.secrets(s); j.wrong != nil {
			t.Errorf("%q: %v", answer, errors.Join(j.wrong...))
		}
	}
}

// playAnswer plays a plain GET before an upstream that answers with raw bytes and
// hangs up.
func playAnswer(t *testing.T, r *lab.Recipe, answer string) (*played, *stage, error) {
	m := startMoody(t, func(c *visit, _ int) {
		if c.read() {
			c.write(answer)
		}
	})
	t.Cleanup(m.close)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	s := &stage{recipe: r, trails: make(chan *trail.Trail, maxTrails), origins: []*lab.Origin{{Target: m.target()}}}
	o, err := s.options()
	if err != nil {
		return nil, s, err
	}
	if s.gateway, err = gateway.Start(o); err != nil {
		return nil, s, err
	}
	defer s.gateway.Drain(drain)
	s.address = s.gateway.Addresses()[0].String()
	p, err := s.play(ctx)
	return p, s, err
}
