package loop

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// scratch lends the memory that a wait on a net.Conn needs, as its Read cannot
// wait without.
var scratch = sync.Pool{New: func() any { return new([16 << 10]byte) }}

// conn is a stream on any net.Conn, with what that offers: its calls may block,
// so they run while the loop is let go. Where the system allows it (a
// syscall.Conn on Unix) it looks first without waiting.
type conn struct {
	l      *ploop
	c      net.Conn
	rc     syscall.RawConn // nil if c has none
	closed bool
	shut   bool // CloseWrite was called
	sent   uint64
	stash  []byte // input that came in a wait that ended otherwise
	ended  error  // what comes after stash; nil if not known
	broken error  // what a write met, and a read may not be told again
	rd, wr half
	rester
}

func newConn(l *ploop, c net.Conn) *conn {
	s := &conn{l: l, c: c}
	s.rester = rester{l: l, input: s}
	if sc, ok := c.(syscall.Conn); ok {
		if rc, err := sc.SyscallConn(); err == nil {
			s.rc = rc
		}
	}
	s.rd = half{set: c.SetReadDeadline, armed: Never}
	s.wr = half{set: c.SetWriteDeadline, armed: Never}
	return s
}

func (s *conn) Loop() Loop                 { return s.l }
func (s *conn) Sent() uint64               { return s.sent }
func (s *conn) Local() Address             { return addressOf(s.c.LocalAddr()) }
func (s *conn) Remote() Address            { return addressOf(s.c.RemoteAddr()) }
func (s *conn) Delivery() (Delivery, bool) { return Delivery{}, false }

func (s *conn) Fill(b *Buffer, until Time) error {
	l := s.l
	t := l.task()
	l.turn(t, until)
	if s.closed {
		return ErrClosed
	}
	if b.full() {
		return ErrFull
	}
	if err := s.await(t, until); err != nil {
		return err
	}
	if len(s.stash) == 0 {
		return s.ended
	}
	n := copy(b.Space(&l.pool), s.stash)
	b.Took(n)
	l.spent += n
	if s.stash = s.stash[n:]; len(s.stash) == 0 {
		s.stash = nil
	}
	return nil
}

// await waits until there is something in stash, or the input has ended.
func (s *conn) await(t *task, until Time) error {
	if s.closed {
		return ErrClosed
	}
	s.rd.enter(t, until)
	defer s.rd.leave()
	s.look(until == Try)
	for len(s.stash) == 0 && s.ended == nil {
		if err := s.wait(t); err != nil {
			return err
		}
	}
	return nil
}

func (s *conn) Ask(first, second []byte, b *Buffer, until Time) (int, error) {
	return SendThenFill(s, first, second, b, until)
}

// SendThenFill is Stream.Ask without a short cut, for streams that have none.
func SendThenFill(s Stream, first, second []byte, b *Buffer, until Time) (int, error) {
	if b.full() {
		return 0, ErrFull
	}
	n, err := s.Send(first, second, until)
	if err != nil || n < len(first)+len(second) {
		return n, err
	}
	return n, s.Fill(b, until)
}

// wait reads into stash. nil means to look again.
func (s *conn) wait(t *task) error {
	if err := s.rd.wait(0); err != nil {
		return err
	}
	p := scratch.Get().(*[16 << 10]byte)
	defer scratch.Put(p)
	n, err := s.c.Read(p[:])
	s.rd.resume()
	s.stash = append(s.stash, p[:n]...)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !s.closed {
		s.end(err)
	}
	return s.awake(&s.rd, t, err)
}

// awake says how a wait ended: nil means to look again.
func (s *conn) awake(h *half, t *task, err error) error {
	if s.closed {
		return ErrClosed
	}
	if t.takeInterrupt() {
		return ErrInterrupted
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		now := s.l.Now()
		if h.until <= now {
			return ErrTimeout
		}
		h.arm(now, h.until)
	}
	return nil
}

// reason is what ended the stream, in the words of this package.
func (s *conn) reason(err error) error {
	if errors.Is(err, io.ErrClosedPipe) {
		return syscall.EPIPE
	}
	return cause(err)
}

// end keeps how the input ended.
func (s *conn) end(err error) {
	s.ended = s.reason(err)
	if s.ended == io.EOF && s.broken != nil {
		s.ended = s.broken
	}
}

// refused is the reason why a write failed. The kernel tells it once.
func (s *conn) refused(err error) error {
	err = s.reason(err)
	if err != syscall.EPIPE && err != ErrClosed {
		s.broken = err
	}
	return err
}

// look takes what input there is, or the end, without waiting. Where that cannot
// be done it does what can, if the caller will not wait: a read with a deadline
// in the past finds at least the closed end of a net.Pipe.
func (s *conn) look(probe bool) {
	if len(s.stash) > 0 || s.ended != nil {
		return
	}
	if s.rc == nil {
		if probe {
			s.probe()
		}
		return
	}
	p := scratch.Get().(*[16 << 10]byte)
	defer scratch.Put(p)
	for range 2 {
		n, err := tryRead(s.rc, p[:])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			// The deadline of an earlier wait. Without one the second try can look.
			s.rd.disarm()
			continue
		case errors.Is(err, errWouldWait):
		case err != nil:
			s.end(err)
		default:
			s.stash = append(s.stash, p[:n]...)
		}
		return
	}
}

func (s *conn) Send(first, second []byte, until Time) (n int, err error) {
	l := s.l
	t := l.task()
	l.turn(t, until)
	if s.closed {
		return 0, ErrClosed
	}
	if s.shut {
		return 0, syscall.EPIPE
	}
	s.wr.enter(t, until)
	defer s.wr.leave()
	if len(first) > 0 && len(second) > 0 && len(first)+len(second) <= joinMax {
		// Not the loop's own scratch: others run while this is being written.
		p := scratch.Get().(*[16 << 10]byte)
		defer scratch.Put(p)
		k := copy(p[:], first)
		k += copy(p[k:], second)
		return s.write(t, p[:k])
	}
	if n, err = s.write(t, first); err == nil {
		var m int
		m, err = s.write(t, second)
		n += m
	}
	return n, err
}

func (s *conn) write(t *task, p []byte) (n int, err error) {
	for n < len(p) {
		if s.rc != nil {
			k, err := s.tryWrite(p[n:])
			n += k
			if err != nil {
				return n, s.refused(err)
			}
			if n == len(p) {
				break
			}
		}
		if err := s.wr.wait(0); err != nil {
			return n, err
		}
		k, err := s.c.Write(p[n:])
		s.wr.resume()
		n += k
		s.took(k)
		if n == len(p) {
			break
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !s.closed {
			return n, s.refused(err)
		}
		if err := s.awake(&s.wr, t, err); err != nil {
			return n, err
		}
	}
	return n, nil
}

// tryWrite writes what is taken without waiting.
func (s *conn) tryWrite(p []byte) (n int, err error) {
	for range 2 {
		n, err = tryWrite(s.rc, p)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		s.wr.disarm()
	}
	if errors.Is(err, errWouldWait) {
		return 0, nil
	}
	s.took(n)
	return n, err
}

func (s *conn) took(n int) {
	s.sent += uint64(n)
	s.l.spent += n
}

// Check on a conn that cannot be looked at without waiting knows only what an
// earlier wait left behind, and of net.Pipe whether the other end is closed. While
// another task is in Fill nothing can be looked at: it is silent.
func (s *conn) Check() error {
	s.l.task()
	if s.closed {
		return ErrClosed
	}
	if s.rd.task == nil {
		s.look(true)
	}
	if len(s.stash) > 0 {
		return ErrInput
	}
	return s.ended
}

// probe reads with a deadline in the past.
func (s *conn) probe() {
	var one [1]byte
	s.rd.set(past)
	n, err := s.c.Read(one[:])
	s.rd.disarm()
	s.stash = append(s.stash, one[:n]...)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		s.end(err)
	}
}

func (s *conn) Quiet() (quiet, sure bool) { return s.Check() == nil, true }

func (s *conn) CloseWrite() error {
	s.l.task()
	if s.closed {
		return ErrClosed
	}
	cw, ok := s.c.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	s.shut = true
	if err := cw.CloseWrite(); err != nil {
		return cause(err)
	}
	return nil
}

func (s *conn) Close() {
	s.l.task()
	if s.closed {
		return
	}
	s.closed = true
	s.stash = nil
	s.c.Close()
}

func (s *conn) Abort() {
	s.l.task()
	if s.closed {
		return
	}
	if c, ok := s.c.(interface{ SetLinger(int) error }); ok {
		_ = c.SetLinger(0)
	}
	s.Close()
}
