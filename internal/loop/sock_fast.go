//go:build linux && (amd64 || arm64 || loong64 || ppc64le || riscv64)

package loop

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// newStream makes a stream of c. active: we dialed it.
func newStream(l *ploop, c net.Conn, active bool) Stream {
	// Nothing that only looks like a socket: its own Read would be passed by.
	var sc socketConn
	tcp := false
	switch c := c.(type) {
	case *net.TCPConn:
		sc, tcp = c, true
	case *net.UnixConn:
		sc = c
	default:
		return newConn(l, c)
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return newConn(l, c)
	}
	s := &sock{l: l, c: sc, rc: rc, tcp: tcp, active: active}
	s.rester = rester{l: l, input: s}
	if rc.Control(func(fd uintptr) { s.fd = fd }) != nil {
		return newConn(l, c)
	}
	s.rd = half{set: sc.SetReadDeadline, armed: Never}
	s.wr = half{set: sc.SetWriteDeadline, armed: Never}
	s.onRead, s.onWrite = s.readReady, s.writeReady
	return s
}

// socketConn is what *net.TCPConn and *net.UnixConn have in common.
type socketConn interface {
	net.Conn
	syscall.Conn
}

// sock is a stream on a socket: system calls straight on the descriptor while
// the task holds the loop, the runtime's poller for the waits. The calls never
// block, so RawSyscall, which does not tell the scheduler, is right for them.
// Only the loop closes the descriptor, so that its number means our socket
// whenever closed is false.
type sock struct {
	l      *ploop
	c      socketConn
	rc     syscall.RawConn
	fd     uintptr
	tcp    bool
	active bool
	closed bool
	eof    bool
	// broken is the error that ended the connection. The kernel tells it once:
	// after a Send or Check that heard it, recv would say end of stream.
	broken syscall.Errno
	sent   uint64

	rester
	rd, wr          half
	onRead, onWrite func(uintptr) bool // readReady, writeReady; made once

	// What Fill asks of readReady.
	buf   *Buffer
	rdErr error
	rdOut bool // the loop was let go for a wait
	ask   bool // send a and b first (Ask)
	peek  bool // only wait (Rest)

	// What Send asks of writeReady.
	a, b  []byte
	wrErr error
	wrOut bool
}

func (s *sock) Loop() Loop      { return s.l }
func (s *sock) Sent() uint64    { return s.sent }
func (s *sock) Local() Address  { return addressOf(s.c.LocalAddr()) }
func (s *sock) Remote() Address { return addressOf(s.c.RemoteAddr()) }

func (s *sock) Fill(b *Buffer, until Time) error {
	l := s.l
	t := l.task()
	l.turn(t, until)
	if s.closed {
		return ErrClosed
	}
	if b.full() {
		return ErrFull
	}
	s.rd.enter(t, until)
	s.buf = b
	err := s.read(t)
	s.buf = nil
	s.rd.leave()
	return err
}

// askBlind bounds how long Ask waits before it looks at all. It is armed once in
// this time for a busy stream, so it costs nothing.
const askBlind = Time(250 * time.Millisecond)

func (s *sock) Ask(first, second []byte, b *Buffer, until Time) (int, error) {
	l := s.l
	t := l.task()
	l.turn(t, until)
	if s.closed {
		return 0, ErrClosed
	}
	if b.full() {
		return 0, ErrFull
	}
	if s.wr.task != nil {
		panic("loop: two tasks in the same direction of a stream")
	}
	s.rd.enter(t, until)
	all := len(first) + len(second)
	if len(first) > 0 && len(second) > 0 && all <= len(l.join) {
		n := copy(l.join[:], first)
		n += copy(l.join[n:], second)
		first, second = l.join[:n], nil
	}
	s.a, s.b, s.wrErr, s.ask, s.buf = first, second, nil, true, b
	err := s.read(t)
	n := all - len(s.a) - len(s.b)
	if n < all {
		err = s.wrErr
	}
	s.a, s.b, s.ask, s.buf = nil, nil, false, nil
	s.rd.leave()
	return n, err
}

func (s *sock) read(t *task) error {
	for {
		s.rdErr, s.rdOut = nil, false
		err := s.rc.Read(s.onRead)
		waited := s.rdOut
		if waited {
			s.rd.resume()
		}
		if err == nil {
			return s.rdErr
		}
		if err := s.awake(&s.rd, t, waited, err); err != nil {
			return err
		}
	}
}

// awake says how a wait ended that the poller ended with err: nil means that the
// armed deadline was too early, and the wait may begin anew.
func (s *sock) awake(h *half, t *task, waited bool, err error) error {
	if s.closed {
		return ErrClosed
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return cause(err)
	}
	now := s.l.Now()
	if waited {
		if t.takeInterrupt() {
			return ErrInterrupted
		}
		if h.until <= now {
			return ErrTimeout
		}
	}
	h.arm(now, h.until)
	return nil
}

// readReady is called by the poller: once at the start of a Fill, when the task
// holds the loop, and then each time that input may have come, when it does not.
func (s *sock) readReady(uintptr) bool {
	t := s.rd.task
	if s.rdOut {
		s.rd.resume()
		s.rdOut = false
		if s.closed {
			s.rdErr = ErrClosed
			return true
		}
		if t.takeInterrupt() {
			s.rdErr = ErrInterrupted
			return true
		}
	}
	if s.ask {
		s.ask = false
		if !s.push() || s.wrErr != nil {
			return true
		}
		// The poller's memory of input was cleared before the request went out, so
		// that the answer to it cannot be missed: no need to look now. But a FIN
		// that came before is forgotten too, and if the peer then only listens,
		// nothing more will come: hence askBlind.
		s.rdErr = s.rd.wait(askBlind)
		s.rdOut = s.rdErr == nil
		return !s.rdOut
	}
	if s.peek {
		if s.rdErr = s.look(); s.rdErr != errNothing {
			s.rdErr = nil
			return true
		}
		s.rdErr = s.rd.wait(0)
		s.rdOut = s.rdErr == nil
		return !s.rdOut
	}
	fresh := s.buf.data == nil
	p := s.buf.Space(&s.l.pool)
	n, errno := recv(s.fd, p, 0)
	if n > 0 {
		s.buf.Took(n)
		s.l.spent += n
		return true
	}
	if fresh {
		s.buf.Release()
	}
	if errno == syscall.EAGAIN {
		s.rdErr = s.rd.wait(0)
		s.rdOut = s.rdErr == nil
		return !s.rdOut
	}
	s.rdErr = s.ended(errno)
	return true
}

// ended is what recv's end of stream (0) or error means.
func (s *sock) ended(errno syscall.Errno) error {
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
func (s *sock) note(errno syscall.Errno) {
	if breaks(errno) {
		s.broken = errno
	}
}

// breaks reports whether errno says that the connection is broken. EPIPE does
// not: the other direction may well have more to say.
func breaks(errno syscall.Errno) bool {
	switch errno {
	case syscall.EPIPE, syscall.EAGAIN, syscall.ENOBUFS, syscall.ENOMEM:
		return false
	}
	return true
}

func (s *sock) Send(first, second []byte, until Time) (int, error) {
	l := s.l
	t := l.task()
	l.turn(t, until)
	if s.closed {
		return 0, ErrClosed
	}
	if s.wr.task != nil {
		panic("loop: two tasks in the same direction of a stream")
	}
	if len(first) > 0 && len(second) > 0 && len(first)+len(second) <= len(l.join) {
		n := copy(l.join[:], first)
		n += copy(l.join[n:], second)
		k, errno := send(s.fd, l.join[:n], nil, 0)
		s.took(k)
		if k == n {
			return n, nil
		}
		if errno != 0 && errno != syscall.EAGAIN {
			s.note(errno)
			return 0, errno
		}
		m, err := s.write(t, first, second, k, until)
		return k + m, err
	}
	return s.write(t, first, second, 0, until)
}

// write sends what is left after the first skip bytes.
func (s *sock) write(t *task, first, second []byte, skip int, until Time) (int, error) {
	if skip < len(first) {
		first = first[skip:]
	} else {
		first, second = nil, second[skip-len(first):]
	}
	all := len(first) + len(second)
	s.a, s.b, s.wrErr = first, second, nil
	if s.push() {
		n := all - len(s.a) - len(s.b)
		s.a, s.b = nil, nil
		return n, s.wrErr
	}
	s.wr.enter(t, until)
	var err error
	for {
		s.wrErr, s.wrOut = nil, false
		err = s.rc.Write(s.onWrite)
		waited := s.wrOut
		if waited {
			s.wr.resume()
		}
		if err == nil {
			err = s.wrErr
			break
		}
		if err = s.awake(&s.wr, t, waited, err); err != nil {
			break
		}
	}
	s.wr.leave()
	n := all - len(s.a) - len(s.b)
	s.a, s.b = nil, nil
	return n, err
}

// writeReady is to Send as readReady is to Fill.
func (s *sock) writeReady(uintptr) bool {
	t := s.wr.task
	if s.wrOut {
		s.wr.resume()
		s.wrOut = false
		if s.closed {
			s.wrErr = ErrClosed
			return true
		}
		if t.takeInterrupt() {
			s.wrErr = ErrInterrupted
			return true
		}
	}
	if s.push() {
		return true
	}
	s.wrErr = s.wr.wait(0)
	s.wrOut = s.wrErr == nil
	return !s.wrOut
}

// push sends of a and b what the kernel takes now. It is done if nothing is left
// or it failed.
func (s *sock) push() (done bool) {
	for len(s.a)+len(s.b) > 0 {
		n, errno := send(s.fd, s.a, s.b, 0)
		if errno == syscall.EAGAIN {
			return false
		}
		if errno != 0 {
			s.note(errno)
			s.wrErr = errno
			return true
		}
		s.took(n)
		if n < len(s.a) {
			s.a = s.a[n:]
			continue
		}
		s.b = s.b[n-len(s.a):]
		s.a = nil
	}
	return true
}

func (s *sock) took(n int) {
	s.sent += uint64(n)
	s.l.spent += n
}

func (s *sock) Check() error {
	s.l.task()
	if s.closed {
		return ErrClosed
	}
	if err := s.look(); err != errNothing {
		return err
	}
	return nil
}

func (s *sock) Quiet() (quiet, sure bool) { return s.Check() == nil, true }

// errNothing is what look says when no input is there.
var errNothing = io.ErrNoProgress

// look says what is next: errNothing, ErrInput, or how the input ended.
func (s *sock) look() error {
	var one [1]byte
	n, errno := recv(s.fd, one[:], syscall.MSG_PEEK)
	switch {
	case n > 0:
		return ErrInput
	case errno == syscall.EAGAIN:
		return errNothing
	}
	return s.ended(errno)
}

// await waits for input, or its end, and leaves it where it is.
func (s *sock) await(t *task, until Time) error {
	if s.closed {
		return ErrClosed
	}
	s.rd.enter(t, until)
	s.peek = true
	err := s.read(t)
	s.peek = false
	s.rd.leave()
	return err
}

func (s *sock) CloseWrite() error {
	s.l.task()
	if s.closed {
		return ErrClosed
	}
	if err := syscall.Shutdown(int(s.fd), syscall.SHUT_WR); err != nil {
		return err
	}
	return nil
}

func (s *sock) Close() {
	s.l.task()
	if s.closed {
		return
	}
	s.closed = true
	if s.rd.task != nil || s.wr.task != nil {
		// Close waits for those who use the descriptor, and one that is about to return
		// from its wait wants the loop first, which we hold.
		go s.c.Close()
		return
	}
	s.c.Close()
}

func (s *sock) Abort() {
	s.l.task()
	if s.closed {
		return
	}
	if s.tcp {
		// Closing with a linger time of 0 sends RST (socket(7), RFC 9293 §3.10.4).
		_ = syscall.SetsockoptLinger(int(s.fd), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	}
	s.Close()
}

// tcpInfo is the part of struct tcp_info that we read (linux/tcp.h). The kernel
// fills as much as it knows.
type tcpInfo struct {
	state        uint8
	_            [99]byte
	totalRetrans uint32 // at 100
	_            [16]byte
	bytesAcked   uint64 // at 120, since Linux 4.1
	_            [16]byte
	notSentBytes uint32 // at 144, since Linux 4.6
	_            uint32
}

// The states of linux/tcp_states.h in which the peer can say no more.
const (
	tcpTimeWait  = 6
	tcpClose     = 7
	tcpCloseWait = 8
	tcpLastAck   = 9
	tcpClosing   = 11
)

func (s *sock) Delivery() (Delivery, bool) {
	s.l.task()
	if s.closed || !s.tcp {
		return Delivery{}, false
	}
	return delivery(s.fd, s.sent, s.active)
}

// delivery reads the TCP_INFO of fd, which has taken so many bytes.
// tcpi_bytes_acked counts sequence numbers, so the SYN of a connection that we
// opened (active) counts as one byte (that of one that we accepted does not), and
// our FIN as another once it is acknowledged.
func delivery(fd uintptr, sent uint64, active bool) (Delivery, bool) {
	var i tcpInfo
	size := uint32(unsafe.Sizeof(i))
	_, _, errno := syscall.RawSyscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO, uintptr(unsafe.Pointer(&i)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 || uintptr(size) < unsafe.Offsetof(i.notSentBytes)+unsafe.Sizeof(i.notSentBytes) {
		return Delivery{}, false
	}
	acked := i.bytesAcked
	if active && acked > 0 {
		acked--
	}
	d := Delivery{
		Acked:  min(acked, sent),
		Unsent: uint64(i.notSentBytes),
		Closed: i.state == tcpClose,
		Ended: i.state == tcpClose || i.state == tcpCloseWait || i.state == tcpLastAck || i.state == tcpClosing ||
			i.state == tcpTimeWait,
		Retransmits: uint64(i.totalRetrans),
	}
	if rest := sent - d.Acked; rest > d.Unsent {
		d.Unacked = rest - d.Unsent
	}
	return d, true
}

// recv is recv(2) without waiting.
func recv(fd uintptr, p []byte, flags uintptr) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags|syscall.MSG_DONTWAIT, 0, 0)
		if errno == 0 {
			return int(n), 0
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}

// send is send(2) or, if both are given, sendmsg(2) without waiting.
func send(fd uintptr, a, b []byte, flags uintptr) (int, syscall.Errno) {
	flags |= syscall.MSG_DONTWAIT | syscall.MSG_NOSIGNAL
	if len(a) == 0 {
		a, b = b, nil
	}
	for {
		var n uintptr
		var errno syscall.Errno
		if len(b) == 0 {
			n, _, errno = syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(a))), uintptr(len(a)), flags, 0, 0)
		} else {
			iov := [2]syscall.Iovec{{Base: unsafe.SliceData(a)}, {Base: unsafe.SliceData(b)}}
			iov[0].SetLen(len(a))
			iov[1].SetLen(len(b))
			msg := syscall.Msghdr{Iov: &iov[0]}
			msg.Iovlen = 2
			n, _, errno = syscall.RawSyscall(syscall.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&msg)), flags)
			runtime.KeepAlive(&iov)
		}
		if errno == 0 {
			return int(n), 0
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}
