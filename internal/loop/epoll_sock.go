//go:build linux && (amd64 || arm64 || loong64 || ppc64le || riscv64)

package loop

import (
	"io"
	"syscall"
	"unsafe"
)

// esock is a stream of the epoll engine: a non-blocking socket with one
// edge-triggered registration for all that can happen to it. An edge tells that
// something has changed, once, so what is known is kept:
//
//   - readable is false if a read emptied the socket and no edge has come since.
//     A wait for input then needs no look, and Ask no trick.
//   - The kernel looks at the whole state of the socket when events are fetched, so
//     a FIN or an error behind the last data may come with the edge of that data
//     and has none of its own. So once one was reported, over stays true, and a
//     short read proves nothing.
//
// These are as fresh as the loop's last fetch. Where a wait is not possible, or
// the answer is what counts (Check), the kernel is asked.
type esock struct {
	l      *eloop
	fd     uintptr
	slot   int32
	tcp    bool
	active bool // we dialed it
	closed bool
	eof    bool
	// watched: it has its registration. One that we accepted gets it only when
	// somebody waits for it: a request that is there already and its answer, with
	// the connection's end behind them, need none.
	watched bool

	readable bool
	heard    int64 // the round in which input was read last
	writable bool
	over     bool // FIN, reset or error was reported
	urgent   bool // the peer has sent urgent data
	parting  bool // what is sent may wait for the end: see Part
	// broken is the error that ended the connection. The kernel tells it once:
	// after a Send or Check that heard it, recv would say end of stream.
	broken syscall.Errno

	rd, wr *etask // who is in Fill and in Send
	sent   uint64
	remote Address

	// While the stream is at rest: what to run, and the deadline. The timer may be
	// armed for an earlier moment, or without a rest: as for waits, see etask.
	rest  func(error)
	until Time
	timer timer
}

// interest is all that can happen. EPOLLERR and EPOLLHUP come unasked.
const interest = syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | syscall.EPOLLPRI | edge

// newEsock makes a stream of fd, which it closes if that fails.
func newEsock(l *eloop, fd uintptr, remote Address, active bool) (*esock, syscall.Errno) {
	s := &esock{l: l, fd: fd, tcp: remote.IP.IsValid(), active: active, writable: !active, remote: remote}
	l.place(s)
	if !active {
		s.readable = true // a client speaks as soon as it is connected: worth a look
		return s, 0
	}
	if errno := s.watch(); errno != 0 {
		s.close()
		return nil, errno
	}
	return s, 0
}

// watch registers s. What is so already is an edge too.
func (s *esock) watch() syscall.Errno {
	errno := s.l.watch(s.fd, s.slot, s.l.slots[s.slot].gen, interest)
	s.watched = errno == 0
	return errno
}

// event notes what has happened and wakes those whom it concerns.
func (s *esock) event(events uint32) {
	if events&syscall.EPOLLPRI != 0 {
		// A read stops before urgent data: a short one is then no proof that the
		// socket is empty (tcp(7)).
		s.urgent = true
	}
	if events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
		s.over = true
	}
	if events&(syscall.EPOLLIN|syscall.EPOLLPRI) != 0 || s.over {
		s.readable = true
		if s.rd != nil {
			s.rd.wake()
		}
		if s.rest != nil {
			s.rise(nil)
		}
	}
	if events&(syscall.EPOLLOUT|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
		s.writable = true
		if s.wr != nil {
			s.wr.wake()
		}
	}
}

func (s *esock) Loop() Loop      { return s.l }
func (s *esock) Sent() uint64    { return s.sent }
func (s *esock) Remote() Address { return s.remote }

func (s *esock) Local() Address {
	if s.closed {
		return Address{}
	}
	return localAddress(s.fd)
}

func (s *esock) Fill(b *Buffer, until Time) error {
	t := s.l.task()
	s.l.turn(t, until)
	if s.closed {
		return ErrClosed
	}
	if b.full() {
		return ErrFull
	}
	return s.read(t, b, until)
}

// read is Fill for an open stream and a Buffer with room.
func (s *esock) read(t *etask, b *Buffer, until Time) error {
	alone(s.rd)
	if !s.readable && (until == Try || t.interrupted || until <= s.l.clock()) {
		// There will be no wait, and what came since the last fetch is there too.
		s.readable = true
	}
	s.rd = t
	var err error
	for {
		if s.readable {
			if err = s.receive(b); err != errNothing {
				break
			}
		}
		if err = s.wait(t, until); err != nil {
			break
		}
	}
	s.rd = nil
	return err
}

// alone panics if somebody is in the direction that another task wants to use.
func alone(t *etask) {
	if t != nil {
		panic("loop: two tasks in the same direction of a stream")
	}
}

// wait waits for an event on s or the moment. In a wait an interrupt wins over
// what came meanwhile.
func (s *esock) wait(t *etask, until Time) error {
	if !s.watched && !s.closed {
		if errno := s.watch(); errno != 0 {
			return errno
		}
	}
	err := t.wait(until)
	switch {
	case s.closed:
		return ErrClosed
	case err == nil && t.takeInterrupt():
		return ErrInterrupted
	}
	return err
}

// receive reads once.
func (s *esock) receive(b *Buffer) error {
	fresh := b.data == nil
	p := b.Space(&s.l.pool)
	n, errno := recv(s.fd, p, 0)
	if n > 0 {
		b.Took(n)
		s.l.work += n
		// A short read has emptied the socket (epoll(7)): no need for another one
		// that only says EAGAIN.
		s.readable = n == len(p) || s.over || s.urgent
		s.heard = s.l.rounds.Load()
		return nil
	}
	if fresh {
		b.Release()
	}
	if errno == syscall.EAGAIN {
		s.readable = false
		return errNothing
	}
	return s.ended(errno)
}

// ended is what recv's end of stream (0) or error means.
func (s *esock) ended(errno syscall.Errno) error {
	if errno != 0 {
		s.note(errno)
		return errno
	}
	if s.broken != 0 && !s.eof {
		return s.broken
	}
	s.eof = true
	return io.EOF
}

// note keeps what broke the connection.
func (s *esock) note(errno syscall.Errno) {
	if breaks(errno) {
		s.broken = errno
	}
}

func (s *esock) Send(first, second []byte, until Time) (int, error) {
	t := s.l.task()
	s.l.turn(t, until)
	if s.closed {
		return 0, ErrClosed
	}
	alone(s.wr)
	var n int
	var errno syscall.Errno
	if until != Try && s.l.left+len(s.l.asks) > 0 && len(first)+len(second) <= joinMax {
		if n, errno = s.tell(t, first, second); s.closed {
			return n, ErrClosed
		}
	} else {
		n, errno = s.push(first, second)
	}
	switch errno {
	case 0:
		return n, nil
	case syscall.EAGAIN:
		return s.write(t, first, second, n, until)
	}
	return n, errno
}

// Ask needs no look before the wait: see esock.
func (s *esock) Ask(first, second []byte, b *Buffer, until Time) (int, error) {
	t := s.l.task()
	s.l.turn(t, until)
	if s.closed {
		return 0, ErrClosed
	}
	if b.full() {
		return 0, ErrFull
	}
	alone(s.rd)
	alone(s.wr)
	if s.l.left+len(s.l.asks) == 0 || s.readable || t.interrupted || until <= s.l.clock() {
		n, errno := s.push(first, second)
		switch errno {
		case 0:
			return n, s.read(t, b, until)
		case syscall.EAGAIN:
			return n, nil
		}
		return n, errno
	}
	s.rd, s.wr = t, t // the latter until it was sent
	t.told.first, t.told.second, t.told.s = first, second, s
	s.l.asks = append(s.l.asks, t)
	err := s.wait(t, until)
	s.rd = nil
	n, errno := t.told.n, t.told.errno
	t.told = told{}
	switch {
	case n == len(first)+len(second):
		if err == nil {
			err = s.read(t, b, until)
		}
	case s.closed:
	case errno == syscall.EAGAIN:
		err = nil
	default:
		err = errno
	}
	return n, err
}

// told is what a loop sends for a task, and what came of it.
type told struct {
	s             *esock
	first, second []byte
	back          bool // the task goes on as soon as this was sent
	n             int
	errno         syscall.Errno
}

// tell is push at the end of the round, see eloop.tell.
func (s *esock) tell(t *etask, first, second []byte) (int, syscall.Errno) {
	t.told.first, t.told.second, t.told.s, t.told.back = first, second, s, true
	s.wr = t
	s.l.asks = append(s.l.asks, t)
	t.pause()
	n, errno := t.told.n, t.told.errno
	t.told = told{}
	return n, errno
}

// tell sends what the tasks of a round have to say. One call behind the other
// they cost less than each between other things to do: the way through the kernel
// stays in the cache, and a peer that the first one wakes does not fall asleep
// again before the next one comes. A task goes on only after its turn here: those
// in Ask at an event or in the next round, those in Send at once.
func (l *eloop) tell() {
	for _, t := range l.asks {
		o := &t.told
		o.s.wr = nil
		if o.s.closed {
			continue // whoever closed it has woken t, if it waits
		}
		if o.n, o.errno = o.s.push(o.first, o.second); o.errno != 0 && !o.back {
			t.wake()
		}
	}
	asks := l.asks
	l.asks = nil // none is added meanwhile: left is 0
	for i, t := range asks {
		asks[i] = nil
		if t.told.back {
			l.resume(t)
		}
	}
	l.asks = asks[:0]
}

// write waits and sends what is left after the first n bytes.
func (s *esock) write(t *etask, first, second []byte, n int, until Time) (int, error) {
	s.wr = t
	var err error
	for all := len(first) + len(second); n < all; {
		if err = s.wait(t, until); err != nil {
			break
		}
		if !s.writable {
			continue // the moment came
		}
		a, b := first, second
		if n < len(a) {
			a = a[n:]
		} else {
			a, b = nil, b[n-len(a):]
		}
		k, errno := s.push(a, b)
		n += k
		if errno != 0 && errno != syscall.EAGAIN {
			err = errno
			break
		}
	}
	s.wr = nil
	return n, err
}

// push sends what the kernel takes: all of it, or errno says why not. After
// EAGAIN an edge will tell that there is room; a part taken would not do for that
// on every kind of socket.
func (s *esock) push(a, b []byte) (n int, errno syscall.Errno) {
	if len(a) > 0 && len(b) > 0 && len(a)+len(b) <= len(s.l.join) {
		k := copy(s.l.join[:], a)
		k += copy(s.l.join[k:], b)
		a, b = s.l.join[:k], nil
	}
	for len(a)+len(b) > 0 {
		var flags uintptr
		if s.parting {
			flags = syscall.MSG_MORE
		}
		k, errno := send(s.fd, a, b, flags)
		if errno != 0 {
			s.writable = s.writable && errno != syscall.EAGAIN
			s.note(errno)
			return n, errno
		}
		n += k
		s.sent += uint64(k)
		s.l.work += k
		if k < len(a) {
			a = a[k:]
			continue
		}
		a, b = nil, b[k-len(a):]
	}
	return n, 0
}

func (s *esock) part() { s.parting = s.tcp }

func (s *esock) Rest(until Time, f func(error)) {
	l := s.l
	l.task()
	alone(s.rd)
	if s.rest != nil {
		panic("loop: a stream at rest cannot rest once more")
	}
	l.enter() // until the task of f ends
	s.rest = f
	switch {
	case s.closed:
		s.rise(ErrClosed)
	case (s.readable || until <= l.clock()) && s.look() != errNothing:
		s.rise(nil)
	case until <= l.clock():
		s.rise(ErrTimeout)
	default:
		if !s.watched {
			if errno := s.watch(); errno != 0 {
				s.rise(errno)
				return
			}
		}
		s.until = until
		if until != Never && (s.timer.pos == 0 || until < s.timer.at) {
			s.timer.owner = s
			l.wheel.arm(&s.timer, until)
		}
	}
}

// rise ends the rest: its function becomes a task.
func (s *esock) rise(err error) {
	l := s.l
	t := l.spawn()
	l.tasks-- // it was counted already
	t.rested, t.err = s.rest, err
	s.rest = nil
	l.queue.push(t)
}

// expired is called by the timer of Rest.
func (s *esock) expired(now Time) {
	switch {
	case s.rest == nil:
	case s.until <= now:
		// What is there already wins: a loop that was kept from its work may find both.
		if s.look() != errNothing {
			s.rise(nil)
		} else {
			s.rise(ErrTimeout)
		}
	case s.until != Never:
		s.l.wheel.arm(&s.timer, s.until)
	}
}

func (s *esock) Rouse() {
	s.l.task()
	if s.rest != nil {
		s.rise(ErrInterrupted)
	}
}

// Check asks the kernel, always. What the edges know, and Quiet tells, is as old as
// the loop's last fetch.
func (s *esock) Check() error {
	s.l.task()
	if s.closed {
		return ErrClosed
	}
	if err := s.look(); err != errNothing {
		return err
	}
	return nil
}

// Quiet needs a fetch since the last input: what follows that at once, as the
// second half of a smuggled answer would, is then known.
func (s *esock) Quiet() (quiet, sure bool) {
	s.l.task()
	if s.closed || s.readable || s.over || s.broken != 0 {
		return false, true
	}
	return true, s.watched && s.heard != s.l.rounds.Load()
}

// look says what is next: errNothing, ErrInput, or how the input ended.
func (s *esock) look() error {
	var one [1]byte
	n, errno := recv(s.fd, one[:], syscall.MSG_PEEK)
	switch {
	case errno == syscall.EAGAIN:
		s.readable = false
		return errNothing
	case n > 0:
		s.readable = true
		return ErrInput
	}
	s.readable = true
	return s.ended(errno)
}

func (s *esock) CloseWrite() error {
	s.l.task()
	if s.closed {
		return ErrClosed
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SHUTDOWN, s.fd, syscall.SHUT_WR, 0); errno != 0 {
		return errno
	}
	return nil
}

func (s *esock) Close() {
	s.l.task()
	if !s.closed {
		s.close()
	}
}

func (s *esock) Abort() {
	s.l.task()
	if s.closed {
		return
	}
	if s.tcp {
		// Closing with a linger time of 0 sends RST (socket(7), RFC 9293 §3.10.4).
		linger := syscall.Linger{Onoff: 1}
		syscall.RawSyscall6(syscall.SYS_SETSOCKOPT, s.fd, syscall.SOL_SOCKET, syscall.SO_LINGER, uintptr(unsafe.Pointer(&linger)), unsafe.Sizeof(linger), 0)
	}
	s.close()
}

// close gives the descriptor back, and with it its registration.
func (s *esock) close() {
	s.closed = true
	closeFd(s.fd)
	s.l.vacate(s)
	s.l.wheel.disarm(&s.timer)
	if s.rest != nil {
		s.rise(ErrClosed)
	}
	if !s.active {
		s.l.connections.Add(-1)
	}
	if s.rd != nil {
		s.rd.wake()
	}
	if s.wr != nil {
		s.wr.wake()
	}
}

func (s *esock) Delivery() (Delivery, bool) {
	s.l.task()
	if s.closed || !s.tcp {
		return Delivery{}, false
	}
	return delivery(s.fd, s.sent, s.active)
}

// closeFd is close(2). It does not wait: our sockets do not linger.
func closeFd(fd uintptr) { syscall.RawSyscall(syscall.SYS_CLOSE, fd, 0, 0) }
