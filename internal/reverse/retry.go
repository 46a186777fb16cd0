package reverse

import (
	"strconv"
	"strings"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// again judges whether another attempt is safe and worth it after f. withheld
// says what spoke against an attempt that the rule allowed.
func (c *call) again(f *fault.Fault) (yes bool, withheld *fault.Fault) {
	x, t := c.x, &c.x.Trail
	if x.Begun() || t.N >= trail.MaxAttempts {
		return false, nil
	}
	if c.older(f) {
		return c.ready(f)
	}
	rule, free := c.rule(f)
	if !free {
		c.spent++
	}
	other := c.untried()
	switch rule {
	case fault.RC:
		if !other && !c.a.Reused {
			return false, nil // the same endpoint was just out of reach
		}
	case fault.RI:
		if !c.idempotent || !other && c.repeats(f) {
			return false, nil
		}
	case fault.RU:
		// Not processed, by the rules of the protocol: safe, but not without end.
		if c.refused++; c.refused >= c.attempts() {
			return false, nil
		}
	case fault.R0:
		if !other || !c.idempotent && !c.nothingSent(f) {
			return false, nil
		}
	default:
		return false, nil
	}
	if free {
		// A move away from an endpoint that got nothing adds no load anywhere.
		return c.ready(f)
	}
	if c.spent >= c.attempts() {
		return false, nil
	}
	if yes, withheld := c.ready(f); !yes {
		return false, withheld
	}
	if !c.p.pool.Withdraw() {
		return false, fault.New(fault.RetryBudgetExhausted, "attempts", strconv.Itoa(t.N), "endpoint", c.a.Endpoint)
	}
	return true, nil
}

// older reports whether the request is to be sent again to the same endpoint in
// HTTP/1.1: it says so, or does not get along with our HTTP/2 (A.9: "-> h1").
func (c *call) older(f *fault.Fault) bool {
	if !c.shared || c.alone {
		return false
	}
	switch f.ID {
	case fault.H2RSTHTTP11Required:
		if !c.end.Downgrade(c.p.loop.Now()) {
			return false
		}
	case fault.H2InadequateSecurity:
		if !c.idempotent && f.Get("delivered") != "none" || !c.end.Downgrade(c.p.loop.Now()) {
			return false
		}
	case fault.H2RSTProtocol:
		// About this request, so nothing is remembered.
		if !c.idempotent || !c.end.SpeaksBoth() {
			return false
		}
	default:
		return false
	}
	c.alone, c.stay = true, c.end
	return true
}

// ready checks what every further attempt needs: time, and a body to send.
func (c *call) ready(*fault.Fault) (bool, *fault.Fault) {
	if !c.replayable() {
		return false, fault.New(fault.RequestNotReplayable, "limit", strconv.FormatInt(c.p.o.ReplayMemory+c.p.o.ReplayDisk, 10)+" bytes",
			"size", strconv.FormatInt(c.x.Client.Received(), 10)+" bytes")
	}
	if c.p.loop.Now() >= c.x.Deadline {
		return false, fault.New(fault.DeadlineBeforeAttempt, "limit", c.x.Patience(), "attempts", strconv.Itoa(c.x.Trail.N))
	}
	if f := c.x.Client.Gone(false); f != nil {
		return false, f
	}
	return true, nil
}

// rule is the retry rule of this very fault; free says that the attempt cannot
// have had an effect and costs the upstream nothing.
func (c *call) rule(f *fault.Fault) (rule fault.Retry, free bool) {
	rule = f.Row().Retry
	undelivered := f.Get("delivered") == "none"
	switch rule {
	case fault.RP:
		c.fresh = true
		if undelivered {
			return fault.RC, true
		}
		return fault.RI, false
	case fault.RD, fault.RI:
		if undelivered {
			return fault.RC, true
		}
		if c.a.Reused && !c.shared {
			c.fresh = true
		}
		return fault.RI, false
	case fault.RU:
		// Who leaves asks for no rest, who refuses does.
		return fault.RU, f.ID == fault.H2GoawayAboveLast
	case fault.RC:
		if undelivered || c.nothingSent(f) {
			return fault.RC, true
		}
		return fault.RI, false
	case fault.RL:
		if c.end != nil && c.conn == nil && f.ID == fault.LoopSelfAddress {
			return fault.RC, true
		}
	}
	return rule, false
}

// nothingSent reports whether no byte of the request was handed to the kernel.
func (c *call) nothingSent(*fault.Fault) bool { return c.a.BytesSent == 0 }

// repeats reports whether f would only come again on the same endpoint, or take
// as long again.
func (c *call) repeats(f *fault.Fault) bool {
	switch f.Row().Class {
	case fault.ClassTooSlow:
		return !c.a.Reused
	case fault.ClassBadAnswer:
		return true
	}
	return false
}

// untried reports whether an endpoint is left that this exchange has not asked.
func (c *call) untried() bool {
	for _, e := range c.p.up.Endpoints() {
		seen := e.Out()
		for _, t := range c.tried[:c.x.Trail.N] {
			seen = seen || t == e
		}
		if !seen {
			return true
		}
	}
	return false
}

func (c *call) attempts() int {
	if n := c.p.o.Attempts; n > 0 {
		return min(n, trail.MaxAttempts)
	}
	return DefaultAttempts
}

// cause is the first fault that explains anything: a pooled connection that died
// is everyday life, and hides what a fresh one then showed.
func (c *call) cause() *fault.Fault { return c.earliest(false) }

// earliest is cause; failed leaves out what only asked for another attempt and is
// no answer to anybody (a 417, an answer in store).
func (c *call) earliest(failed bool) *fault.Fault {
	t := &c.x.Trail
	var first *fault.Fault
	for i := range t.Tries() {
		f := t.Attempts[i].Fault
		if f == nil || failed && f.Row().Status == 0 {
			continue
		}
		if !strings.HasPrefix(string(f.ID), "reuse_") {
			return f
		}
		if first == nil {
			first = f
		}
	}
	return first
}

// verdict is the fault to show for a failed exchange.
func (c *call) verdict(last *fault.Fault) *fault.Fault {
	if last.Row().Status == 0 || last.ID == fault.TotalTimeout {
		return last
	}
	return c.earliest(true)
}
