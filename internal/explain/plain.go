package explain

import (
	"fmt"
	"strings"
)

// text is the answer for a terminal: what, what now, what became of the request.
func (v *view) text(dst []byte) []byte {
	dst = fmt.Appendf(dst, "%d %s (%s). %s", v.status(), v.sentences().Short, visible(string(v.f.ID)), v.action())
	if id := v.incident(); id != "" {
		dst = fmt.Appendf(dst, " Incident %s.", id)
	}
	dst = fmt.Appendf(dst, "\n%s\n", v.became())
	if v.a.Detail {
		dst = append(dst, '\n')
		dst = v.report(dst, false)
	}
	return dst
}

// markdown is the answer for agents: a front matter with the members of the
// problem, then what a person would read. The operator's part is an indented
// block, in which nothing that a peer sent can be markup.
func (v *view) markdown(dst []byte) []byte {
	p := v.toProblem()
	dst = append(dst, "---\n"...)
	dst = fmt.Appendf(dst, "type: %q\ntitle: %q\nstatus: %d\n", p.Type, p.Title, p.Status)
	if p.Instance != "" {
		dst = fmt.Appendf(dst, "instance: %q\n", p.Instance)
	}
	dst = fmt.Appendf(dst, "fault: %s\nside: %s\nattempts: %d\nrequest_reached_upstream: %t\nrequest_effect: %s\nretryable: %t\n",
		p.Fault, p.Side, p.Attempts, p.Reached, p.Effect, p.Retryable)
	if p.RetryAfter != nil {
		dst = fmt.Appendf(dst, "retry_after: %d\n", *p.RetryAfter)
	} else {
		dst = append(dst, "retry_after: null\n"...)
	}
	dst = fmt.Appendf(dst, "user_action: %q\noperator_action_required: %t\ntimestamp: %s\n---\n\n", p.UserAction, p.Operator, p.Timestamp)
	dst = fmt.Appendf(dst, "%s %s\n", p.Detail, p.UserAction)
	if v.a.Detail {
		dst = append(dst, '\n')
		for line := range strings.Lines(string(v.report(nil, false))) {
			if line != "\n" {
				dst = append(dst, "    "...)
			}
			dst = append(dst, line...)
		}
	}
	return dst
}
