//go:build linux && (amd64 || arm64 || loong64 || ppc64le || riscv64)

package loop

import (
	"fmt"
	"iter"
	"runtime"
	"runtime/debug"
)

// keepIdle bounds the coroutines that a busy loop keeps without a task.
const keepIdle = 256

// shrink gives up the coroutines without a task, and tasks to be used again: a loop that has had nothing to do
// for milliseconds needs no warm stacks, and a new one costs a microsecond.
func (l *eloop) shrink() {
	kept := l.idle[:0]
	for _, c := range l.idle {
		if c.dying {
			kept = append(kept, c) // it would take the loop's goroutine with it
		} else {
			c.stop()
		}
	}
	clear(l.idle[len(kept):])
	l.idle = kept
	for _, t := range l.spent {
		l.wheel.disarm(&t.timer) // it would wake the loop for nothing
	}
	l.closePipes()
	clear(l.spent)
	l.spent = l.spent[:0]
}

// A coro is a coroutine: a goroutine that runs only while the loop's goroutine
// stands in next, on its thread. Switching costs a tenth of a microsecond and the
// scheduler has no part in it. Tasks come and go; the coroutine and its stack,
// which is warm in the cache, stay.
type coro struct {
	l     *eloop
	t     *etask // what it runs
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	dying bool // a task of it has called runtime.Goexit
}

func newCoro(l *eloop) *coro {
	c := &coro{l: l}
	c.next, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		c.yield = yield
		c.serve()
	})
	return c
}

// serve runs tasks until the coroutine is not needed any more.
//
// A panic of a task must end the process, as everywhere in Go, and show where it
// began: iter.Pull brings it to the loop's goroutine, where that is not to be
// seen, hence taskPanic. runtime.Goexit (a test that failed) must end the task
// only, but iter.Pull would have the loop's goroutine exit too. So the coroutine
// never gets that far: it goes on with other tasks in this deferred call, until
// the loop ends.
func (c *coro) serve() {
	returned := false
	defer func() {
		if returned {
			return
		}
		if p := recover(); p != nil {
			panic(&taskPanic{p, debug.Stack()})
		}
		c.dying = true
		if c.rest() {
			c.serve()
		}
	}()
	for {
		c.t.run()
		if !c.rest() {
			break
		}
	}
	returned = true
}

// rest ends the task and waits for the next one; false if there will be none.
func (c *coro) rest() bool {
	l, t := c.l, c.t
	c.t = nil
	t.end()
	l.leave()
	if len(l.idle) >= keepIdle && !c.dying {
		return false
	}
	l.idle = append(l.idle, c)
	return c.yield(struct{}{})
}

// taskPanic is what a task panicked with, and where.
type taskPanic struct {
	value any
	stack []byte
}

func (p *taskPanic) Error() string { return fmt.Sprintf("%v\n\n%s", p.value, p.stack) }

func (p *taskPanic) Unwrap() error {
	err, _ := p.value.(error)
	return err
}

type etask struct {
	l  *eloop
	co *coro // nil before the first step and after the last

	// What it runs: f, or serve with s, or rested with err.
	f      func()
	serve  func(Loop, Stream)
	s      *esock
	rested func(error)
	err    error

	told told // what the loop is to send for it, while it is in Ask or Send

	// timer fires at the deadline of a wait, or earlier: it is armed anew only when
	// an earlier moment is wanted, so that a wait that ends well costs no work on
	// the heap. One that fires too early moves on to until.
	timer timer
	until Time // what the wait wants; Never outside of one

	waiting     bool // for a wake; false if it runs, is ready, or in Do
	parked      bool // in Park
	permit      bool // a Wake that no Park has seen
	interrupted bool // an Interrupt that no wait has seen
	done        bool
	again       bool // nobody has a handle of it: it is used again after its end
}

func newEtask(l *eloop, f func()) *etask {
	t := &etask{l: l, f: f, until: Never}
	t.timer.owner = t
	return t
}

// spawn makes a task without a handle. It counts from now on.
func (l *eloop) spawn() *etask {
	l.enter()
	if n := len(l.spent); n > 0 {
		t := l.spent[n-1]
		l.spent = l.spent[:n-1]
		return t
	}
	t := newEtask(l, nil)
	t.again = true
	return t
}

func (t *etask) run() {
	switch {
	case t.rested != nil:
		t.rested(t.err)
	case t.serve != nil:
		t.serve(t.l, t.s)
	default:
		t.f()
	}
}

// end makes t ready for another life if nobody can know of this one. Its timer
// may stay armed: as with waits, it mostly fires when a later moment is wanted.
func (t *etask) end() {
	l := t.l
	t.co, t.f, t.serve, t.s, t.rested, t.err = nil, nil, nil, nil, nil, nil
	if t.again && len(l.spent) < keepIdle {
		t.permit, t.interrupted = false, false
		l.spent = append(l.spent, t)
		return
	}
	t.done = true
	l.wheel.disarm(&t.timer)
}

// resume lets t run until it waits or ends.
func (l *eloop) resume(t *etask) {
	c := t.co
	if c == nil {
		if n := len(l.idle); n > 0 {
			c = l.idle[n-1]
			l.idle = l.idle[:n-1]
		} else {
			c = newCoro(l)
		}
		c.t, t.co = t, c
	}
	l.cur, l.began = t, l.work
	c.next()
	l.cur = nil
}

// pause gives the loop back, until somebody has put t among the ready.
func (t *etask) pause() { t.co.yield(struct{}{}) }

// wake ends the wait that t is in.
func (t *etask) wake() {
	if t.waiting {
		t.waiting = false
		t.l.ready = append(t.l.ready, t)
	}
}

// wait waits until somebody calls wake, or the moment comes. An error says why
// there was no wait.
func (t *etask) wait(until Time) error {
	if until == Try {
		return ErrTimeout
	}
	if t.takeInterrupt() {
		return ErrInterrupted
	}
	if until != Never {
		if until <= t.l.clock() {
			return ErrTimeout
		}
		t.until = until
		if t.timer.pos == 0 || until < t.timer.at {
			t.l.wheel.arm(&t.timer, until)
		}
	}
	t.waiting = true
	t.pause()
	t.until = Never
	return nil
}

// expired is called by the timer.
func (t *etask) expired(now Time) {
	switch {
	case t.until <= now:
		t.wake()
	case t.until != Never:
		t.l.wheel.arm(&t.timer, t.until)
	}
}

// takeInterrupt reports and forgets an interrupt.
func (t *etask) takeInterrupt() bool {
	i := t.interrupted
	t.interrupted = false
	return i
}

func (t *etask) Done() bool { return t.done }

func (t *etask) Wake() {
	t.permit = true
	if t.parked {
		t.wake()
	}
}

func (t *etask) Interrupt() {
	if t.done {
		return
	}
	t.interrupted = true
	t.wake()
}

func (l *eloop) Go(f func()) Task {
	l.task()
	t := newEtask(l, f)
	l.enter()
	l.ready = append(l.ready, t)
	return t
}

func (l *eloop) Spawn(f func()) {
	l.task()
	t := l.spawn()
	t.f = f
	l.ready = append(l.ready, t)
}

func (l *eloop) Post(f func()) {
	if l.e.enter() {
		l.deliver(parcel{task: newEtask(l, f), counted: true})
	}
}

func (l *eloop) Sleep(until Time) error {
	t := l.task()
	for until > l.clock() {
		err := t.wait(until)
		if err == nil && t.takeInterrupt() {
			err = ErrInterrupted
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Park takes an interrupt before a permit if both came in the wait.
func (l *eloop) Park(until Time) error {
	t := l.task()
	for !t.permit {
		t.parked = true
		err := t.wait(until)
		t.parked = false
		if err == nil && t.takeInterrupt() {
			err = ErrInterrupted
		}
		if err != nil {
			return err
		}
	}
	t.permit = false
	return nil
}

// Do runs f on an ordinary goroutine. What f does to its goroutine happens to the
// task: a panic, or runtime.Goexit.
func (l *eloop) Do(f func()) {
	t := l.task()
	var broken any
	returned := false
	go func() { // ends with f
		defer func() {
			broken = recover()
			l.deliver(parcel{task: t})
		}()
		f()
		returned = true
	}()
	t.pause()
	if broken != nil {
		panic(broken)
	}
	if !returned {
		runtime.Goexit()
	}
}
