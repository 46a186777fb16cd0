// Package faulty makes an engine's network fail by plan: it injects what a
// loopback network cannot produce on demand, such as an unreachable host, a
// reset at a given byte, or an answer in pieces of one byte.
//
// What it wraps is a [loop.Engine], so the code under test cannot tell. TLS runs
// over a faulty stream like over any other. Package prove and tests use it.
package faulty

import (
	"io"
	"syscall"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// Plan says what goes wrong. The zero value is a network without faults. It must
// not change while an engine uses it; its functions may be called on several
// loops at once. They may wait where they get a deadline.
type Plan struct {
	// For picks the dialed streams, by where they lead, that the plan is for; nil
	// means all.
	For func(loop.Address) bool
	// Accepted puts the plan on accepted streams too.
	Accepted bool

	// DialErr is asked before each Dial; an error is the Dial's result. nil, and
	// the result nil, mean to go on.
	DialErr func(loop.Address) error
	// AfterConnect is called when a stream is open, before the caller gets it. An
	// error closes the stream and is the Dial's result. See AwaitPeer.
	AfterConnect func(s loop.Stream, until loop.Time) error

	// ReadSize bounds the bytes of one Fill; 0 means no bound.
	ReadSize int
	// WriteSize bounds the bytes that the kernel gets in one call; 0 means no
	// bound. Send still sends all.
	WriteSize int

	// CutAfter ends the input with io.EOF after so many bytes. 0 means never, a
	// negative number before the first.
	CutAfter int64
	// ResetAfter breaks the stream in both directions after so many bytes of
	// input: Fill says ECONNRESET, and then Send says EPIPE. 0 and negative as in
	// CutAfter. The peer learns nothing of it before the stream is closed.
	ResetAfter int64
	// SendErr breaks Send after SendErrAfter bytes; nil means never.
	SendErr      error
	SendErrAfter int64

	// Blind makes Check say that the stream is open and silent, unless it is closed
	// by us: the peer's FIN is then always one that comes a moment too late.
	Blind bool
	// Delivery replaces what the kernel says; nil means to believe it.
	Delivery func(d loop.Delivery, ok bool) (loop.Delivery, bool)
}

// AwaitPeer is an AfterConnect that waits until the peer has sent something, or
// closed or reset the stream: what we send then meets a closed door for sure.
func AwaitPeer(s loop.Stream, until loop.Time) error {
	f, ok := s.(*stream)
	if !ok {
		return nil
	}
	switch err := f.more(until); err {
	case loop.ErrTimeout, loop.ErrInterrupted:
		return err
	}
	return nil
}

// Wrap returns e with the faults of p. Loops and streams of e itself stay
// faultless. Closing either closes e.
func Wrap(e loop.Engine, p *Plan) loop.Engine {
	w := &engine{Engine: e, plan: p}
	for _, l := range e.Loops() {
		w.loops = append(w.loops, &floop{Loop: l, plan: p})
	}
	return w
}

type engine struct {
	loop.Engine
	plan  *Plan
	loops []loop.Loop
}

func (e *engine) Loops() []loop.Loop { return e.loops }

func (e *engine) Serve(ln loop.Listener, f func(loop.Loop, loop.Stream)) {
	e.Engine.Serve(ln, func(l loop.Loop, s loop.Stream) {
		own := e.loops[l.Index()]
		f(own, newStream(own, s, e.plan, e.plan.Accepted))
	})
}

type floop struct {
	loop.Loop
	plan *Plan
}

func (l *floop) Dial(a loop.Address, until loop.Time) (loop.Stream, error) {
	p := l.plan
	picked := p.For == nil || p.For(a)
	if picked && p.DialErr != nil {
		if err := p.DialErr(a); err != nil {
			return nil, err
		}
	}
	raw, err := l.Loop.Dial(a, until)
	if err != nil {
		return nil, err
	}
	s := newStream(l, raw, p, picked)
	if picked && p.AfterConnect != nil {
		if err := p.AfterConnect(s, until); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// stream is a Stream with the faults of its plan; without (&none) it is only a
// stream that knows its faulty loop.
type stream struct {
	loop.Stream
	l    loop.Loop
	plan *Plan

	in     loop.Buffer // what came and was not asked for yet
	got    int64       // bytes that Fill gave
	sent   int64       // bytes that Send took
	broken bool        // ResetAfter has come
	filled bool        // somebody is in more
	closed bool
}

var none Plan

func newStream(l loop.Loop, raw loop.Stream, p *Plan, picked bool) *stream {
	if !picked {
		p = &none
	}
	return &stream{Stream: raw, l: l, plan: p}
}

func (s *stream) Loop() loop.Loop { return s.l }

// left is how many bytes come before the input ends by plan, and how it ends.
func (s *stream) left() (int64, error) {
	const plenty = 1 << 62
	n, end := int64(plenty), error(nil)
	if c := s.plan.CutAfter; c != 0 {
		n, end = max(c, 0)-s.got, io.EOF
	}
	if r := s.plan.ResetAfter; r != 0 && max(r, 0)-s.got < n {
		n, end = max(r, 0)-s.got, syscall.ECONNRESET
	}
	return n, end
}

// more waits for input of the kernel. It comes through a buffer of our own, as
// the caller's may have more room than the plan allows.
func (s *stream) more(until loop.Time) error {
	s.in.ReleaseEmpty()
	s.filled = true
	err := s.Stream.Fill(&s.in, until)
	s.filled = false
	if s.closed {
		s.in.Release()
	}
	return err
}

func (s *stream) Ask(first, second []byte, b *loop.Buffer, until loop.Time) (int, error) {
	return loop.SendThenFill(s, first, second, b, until)
}

func (s *stream) Rest(until loop.Time, f func(error)) {
	if n, _ := s.left(); !s.closed && (n <= 0 || s.in.Len() > 0) {
		s.l.Spawn(func() { f(nil) })
		return
	}
	s.Stream.Rest(until, f)
}

func (s *stream) Fill(b *loop.Buffer, until loop.Time) error {
	if s.closed {
		return loop.ErrClosed
	}
	if b.Room() == 0 && b.Len() > 0 {
		return loop.ErrFull
	}
	n, end := s.left()
	if n <= 0 {
		s.broken = end != io.EOF
		return end
	}
	if s.in.Len() == 0 {
		if err := s.more(until); err != nil {
			return err
		}
	}
	n = min(n, int64(s.in.Len()))
	if s.plan.ReadSize > 0 {
		n = min(n, int64(s.plan.ReadSize))
	}
	k := copy(b.Space(s.l.Pool()), s.in.Bytes()[:n])
	b.Took(k)
	s.got += int64(k)
	s.in.Consume(k)
	s.in.ReleaseEmpty()
	return nil
}

func (s *stream) Send(first, second []byte, until loop.Time) (n int, err error) {
	if s.closed {
		return 0, loop.ErrClosed
	}
	if s.broken {
		return 0, syscall.EPIPE
	}
	if s.plan.WriteSize <= 0 && s.plan.SendErr == nil {
		return s.Stream.Send(first, second, until)
	}
	n, err = s.pieces(first, until)
	if err == nil {
		var m int
		m, err = s.pieces(second, until)
		n += m
	}
	return n, err
}

func (s *stream) pieces(p []byte, until loop.Time) (n int, err error) {
	for len(p) > 0 && err == nil {
		k := len(p)
		if s.plan.WriteSize > 0 {
			k = min(k, s.plan.WriteSize)
		}
		if s.plan.SendErr != nil {
			left := s.plan.SendErrAfter - s.sent
			if left <= 0 {
				return n, s.plan.SendErr
			}
			k = int(min(int64(k), left))
		}
		k, err = s.Stream.Send(p[:k], nil, until)
		n += k
		s.sent += int64(k)
		p = p[k:]
	}
	return n, err
}

func (s *stream) Check() error {
	switch {
	case s.closed:
		return loop.ErrClosed
	case s.plan.Blind:
		return nil
	}
	if n, end := s.left(); n <= 0 {
		return end
	}
	if s.in.Len() > 0 {
		return loop.ErrInput
	}
	return s.Stream.Check()
}

func (s *stream) Quiet() (quiet, sure bool) {
	if s.closed || s.plan.Blind {
		return !s.closed, true
	}
	if n, _ := s.left(); n <= 0 || s.in.Len() > 0 {
		return false, true
	}
	return s.Stream.Quiet()
}

func (s *stream) Close() {
	s.gone()
	s.Stream.Close()
}

func (s *stream) Abort() {
	s.gone()
	s.Stream.Abort()
}

func (s *stream) gone() {
	s.closed = true
	if !s.filled { // else the one who waits for input releases it
		s.in.Release()
	}
}

func (s *stream) Delivery() (loop.Delivery, bool) {
	d, ok := s.Stream.Delivery()
	if s.plan.Delivery != nil {
		return s.plan.Delivery(d, ok)
	}
	return d, ok
}
