// Package tunnel joins two byte streams after a protocol switch and says how
// the joint ended. It looks at no byte that passes.
package tunnel

import (
	"errors"
	"io"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// End says how a tunnel ended. Of its two halves, the one that ended first
// counts: the other follows from it.
type End struct {
	Up, Down int64 // bytes from a to b, and from b to a
	// Err is what ended it: io.EOF for an orderly end, loop.ErrTimeout when both
	// sides were silent for too long, or what broke a stream.
	Err error
	// FromB: the end came from b's side.
	FromB bool
}

// joint is what the two halves share. They are tasks of one loop.
type joint struct {
	end    End
	ended  bool
	dead   bool // a half failed: the other must not begin another wait
	open   int
	active loop.Time // when a byte last passed, in either direction
	idle   int64
	main   loop.Task
	halves [2]loop.Task
}

// Join carries bytes both ways until both directions have ended, one has
// failed, or nothing passed for idle nanoseconds (0: for ever). What fromA and
// fromB hold goes first; they are released. It closes neither stream, but a
// half that ended in order is passed on as FIN.
func Join(l loop.Loop, a, b loop.Stream, fromA, fromB *loop.Buffer, idle int64) End {
	j := &joint{idle: idle, open: 2, active: l.Now(), main: l.Current()}
	j.halves[0] = l.Go(func() { j.carry(a, b, fromA, &j.end.Up, false) })
	j.halves[1] = l.Go(func() { j.carry(b, a, fromB, &j.end.Down, true) })
	for j.open > 0 {
		if l.Park(loop.Never) == loop.ErrInterrupted {
			j.fail(loop.ErrInterrupted, false)
		}
	}
	return j.end
}

func (j *joint) carry(from, to loop.Stream, in *loop.Buffer, count *int64, fromB bool) {
	defer func() {
		in.Release()
		j.open--
		j.main.Wake()
	}()
	for !j.dead {
		if in.Len() > 0 {
			// Writes wait as long as reads may: a peer that takes nothing is as idle.
			n, err := to.Send(in.Bytes(), nil, from.Loop().Now().Add(j.idle))
			*count += int64(n)
			if err != nil {
				j.fail(err, !fromB)
				return
			}
			j.active = from.Loop().Now()
			in.Release()
		}
		err := from.Fill(in, j.active.Add(j.idle))
		switch {
		case err == nil:
			continue
		case err == loop.ErrTimeout && from.Loop().Now() < j.active.Add(j.idle):
			continue // the other direction was busy meanwhile
		case isEOF(err):
			j.note(err, fromB)
			if to.CloseWrite() != nil {
				j.fail(err, fromB)
			}
			return
		}
		j.fail(err, fromB)
		return
	}
}

// note keeps the first end.
func (j *joint) note(err error, fromB bool) {
	if !j.ended {
		j.ended, j.end.Err, j.end.FromB = true, err, fromB
	}
}

// fail ends both halves.
func (j *joint) fail(err error, fromB bool) {
	j.note(err, fromB)
	j.dead = true
	for _, h := range j.halves {
		if h != nil && !h.Done() {
			h.Interrupt()
		}
	}
}
func isEOF(err error) bool { return errors.Is(err, io.EOF) }
