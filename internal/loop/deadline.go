package loop

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// half is one direction of a stream of the portable engine: who waits in it and
// which deadline its net.Conn has. Setting one costs a microsecond, so it is set
// only when an earlier one is wanted. A later one is left alone: when the armed
// one fires too early, the waiter arms anew and waits on.
type half struct {
	set   func(time.Time) error // SetReadDeadline or SetWriteDeadline
	task  *task                 // who is in Fill or Send; nil if nobody
	armed Time                  // Never if none
	until Time                  // what task wants
}

// enter makes t the one who uses this half.
func (h *half) enter(t *task, until Time) {
	if h.task != nil {
		panic("loop: two tasks in the same direction of a stream")
	}
	h.task, h.until = t, until
}

func (h *half) leave() { h.task = nil }

// long past, in a synctest bubble too.
var past = time.Unix(1, 0)

// kick ends the wait. What is armed is then wrong, which the next one to wait
// notices.
func (h *half) kick() { h.set(past) }

// wait lets the loop go until resume, with the deadline armed, or says why there
// is no wait. most bounds the wait, 0 if nothing but the deadline does: then the
// poller ends it with a deadline that is too early, and the waiter looks again.
func (h *half) wait(most Time) error {
	t := h.task
	if h.until == Try {
		return ErrTimeout
	}
	if t.takeInterrupt() {
		return ErrInterrupted
	}
	if h.until != Never || most != 0 {
		now := t.l.Now()
		if h.until <= now {
			return ErrTimeout
		}
		at := h.until
		if most != 0 {
			at = min(at, now+most)
		}
		if at < h.armed {
			h.arm(now, at)
		}
	}
	t.in = h
	t.l.unlock()
	return nil
}

// resume gets the loop back.
func (h *half) resume() {
	t := h.task
	t.l.lock(t)
	t.in = nil
}

// arm sets the deadline at; none if it has passed, as then nobody waits.
func (h *half) arm(now, at Time) {
	if at == Never || at <= now {
		h.disarm()
		return
	}
	h.armed = at
	h.set(time.Now().Add(time.Duration(at - now)))
}

func (h *half) disarm() {
	h.armed = Never
	h.set(time.Time{})
}

// cause is what err, as package net gives it, means here: a syscall.Errno,
// ErrClosed, or err itself.
func cause(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if errors.Is(err, net.ErrClosed) {
		return ErrClosed
	}
	return err
}

func netipUnmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
