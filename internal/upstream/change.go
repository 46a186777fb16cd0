package upstream

import (
	"time"

	"github.com/gatewhy/gatewhy/fault"
)

// State is how an endpoint is, as far as picking goes.
type State string

// The states. Which one an endpoint is in follows from what operators say, what checks
// find and what attempts meet, in this order: it is drained or in maintenance, else down,
// else ejected, else up. Who comes from one to another tells of the strongest only.
const (
	// StateUp: it gets its share of requests.
	StateUp State = "up"
	// StateEjected: requests to it failed, so it gets none for a while, then one as a
	// probe.
	StateEjected State = "ejected"
	// StateDown: checks of it failed, so it gets none until they go well.
	StateDown State = "down"
	// StateDrained: somebody took it out, so it gets no new requests until somebody puts
	// it back. Requests under way go on, and so do sessions that a cookie binds to it.
	StateDrained State = "drained"
	// StateMaintenance: somebody took it out altogether. It gets no requests, nobody
	// looks how it is, and connections to it that are not in use are closed.
	StateMaintenance State = "maintenance"
)

// The states of what DNS names: of an endpoint that an SRV record names or no longer names,
// and of a name whose records can be had or cannot.
const (
	StateAbsent     State = "absent"
	StateResolved   State = "resolved"
	StateUnresolved State = "unresolved"
)

// The states of an upstream as a whole, told with no endpoint.
const (
	// StatePanic: so few endpoints are well that all are asked, see Options.Panic.
	StatePanic State = "panic"
	StateCalm  State = "calm"
)

// words is the state as it stands in a sentence.
func (s State) words() string {
	if s == StateMaintenance {
		return "in maintenance"
	}
	return string(s)
}

// Change is an endpoint's way from one state to another. Endpoint is "" if it is the
// upstream's.
type Change struct {
	Upstream, Endpoint string
	// From is where it was; the same as To if an endpoint that was ejected is so for
	// longer.
	From, To State
	// Why is a clause for people. Fault is what the last failure was, "" if it was
	// none that requests meet.
	Why   string
	Fault fault.ID
	// For is how long it is ejected; 0 else.
	For time.Duration
}

// change tells whoever wants to know. It is called from any loop and from outside.
func (e *Endpoint) change(from, to State, why string, id fault.ID, d time.Duration) {
	e.up.touch()
	if f := e.up.o.Changed; f != nil {
		f(Change{e.up.o.Name, e.target.Name, from, to, why, id, d})
	}
}

// passive is the state that attempts have led to.
func (e *Endpoint) passive() State {
	if e.health.until.Load() != 0 {
		return StateEjected
	}
	return StateUp
}

// What an operator said of an endpoint.
const (
	saidNothing = iota
	saidDrain
	saidMaintenance
)

// State is the state that the endpoint is in.
func (e *Endpoint) State() State { return e.state(e.health.said.Load()) }

func (e *Endpoint) state(said int32) State {
	switch {
	case said == saidDrain:
		return StateDrained
	case said == saidMaintenance:
		return StateMaintenance
	case e.health.down.Load():
		return StateDown
	}
	return e.passive()
}

// out reports whether an operator took it out.
func (e *Endpoint) out() bool { return e.health.said.Load() != saidNothing }

// Out reports whether an operator took it out.
func (e *Endpoint) Out() bool { return e.out() }

// Drain takes the endpoint out: it gets no new requests, be it the last one. It returns
// false if it is drained already.
func (e *Endpoint) Drain(why string) bool { return e.say(saidDrain, why) }

// Maintain takes the endpoint out altogether; false if it is so already.
func (e *Endpoint) Maintain(why string) bool { return e.say(saidMaintenance, why) }

// Resume ends what Drain or Maintain began; false if it was not out.
func (e *Endpoint) Resume(why string) bool { return e.say(saidNothing, why) }

func (e *Endpoint) say(what int32, why string) bool {
	was := e.health.said.Swap(what)
	if was == what {
		return false
	}
	from := e.state(was)
	if what == saidNothing {
		e.slowly()
	}
	e.change(from, e.state(what), why, "", 0)
	return true
}

// Down reports whether checks found that the endpoint is down.
func (e *Endpoint) Down() bool { return e.health.down.Load() }

// Fail makes the endpoint down: it gets requests only where no better one is left.
func (e *Endpoint) Fail(why string) {
	e.health.reason.Store(&why)
	if from := e.passive(); e.health.down.CompareAndSwap(false, true) {
		e.up.touch()
		if !e.out() {
			e.change(from, StateDown, why, "", 0)
		}
	}
}

// Up ends what Fail began. It slowly gets requests again if they were what failed.
func (e *Endpoint) Up(why string) {
	if e.health.down.CompareAndSwap(true, false) {
		e.health.reason.Store(nil)
		e.slowly()
		if e.out() {
			return
		}
		e.change(StateDown, e.passive(), why, "", 0)
	}
}
