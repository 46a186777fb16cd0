//go:build linux && (amd64 || arm64 || loong64 || ppc64le || riscv64)

package loop

import (
	"syscall"
	"unsafe"
)

// A pipe is where splice(2) keeps what it moves from socket to socket: references
// to pages and not bytes. It is empty while it is in its loop's pool.
type pipe struct{ r, w uintptr }

const (
	// pipeSize is how much a pipe is asked to hold. A tenth of it would cost more
	// calls; more would let a slow client keep more of the kernel's memory.
	pipeSize = 256 << 10
	// pipesUsed bounds the pipes of a loop: two descriptors each, which must not be
	// missing for connections. Who gets none copies.
	pipesUsed = 64
	// pipesKept bounds those that a busy loop keeps for later.
	pipesKept = 16
)

// pipe returns an empty pipe, nil if there is none to be had.
func (l *eloop) pipe() *pipe {
	if n := len(l.pipes); n > 0 {
		p := l.pipes[n-1]
		l.pipes = l.pipes[:n-1]
		l.piping++
		return p
	}
	if l.piping >= pipesUsed {
		return nil
	}
	var fds [2]int32
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PIPE2, uintptr(unsafe.Pointer(&fds)), syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0); errno != 0 {
		return nil
	}
	p := &pipe{uintptr(fds[0]), uintptr(fds[1])}
	// Refused when the user's pipes hold much already (pipe(7)): smaller does too.
	syscall.RawSyscall(syscall.SYS_FCNTL, p.w, syscall.F_SETPIPE_SZ, pipeSize)
	l.piping++
	return p
}

// piped takes a pipe back.
func (l *eloop) piped(p *pipe, empty bool) {
	l.piping--
	if empty && len(l.pipes) < pipesKept {
		l.pipes = append(l.pipes, p)
		return
	}
	p.close()
}

func (p *pipe) close() {
	closeFd(p.r)
	closeFd(p.w)
}

// closePipes gives up those that are not in use.
func (l *eloop) closePipes() {
	for _, p := range l.pipes {
		p.close()
	}
	l.pipes = nil
}

// splice moves up to n bytes from one descriptor to another.
func splice(from, to uintptr, n int64) (int64, syscall.Errno) {
	const move, nonblock = 1, 2 // SPLICE_F_MOVE, SPLICE_F_NONBLOCK
	for {
		k, _, errno := syscall.RawSyscall6(syscall.SYS_SPLICE, from, 0, to, 0, uintptr(n), move|nonblock)
		if errno == 0 {
			return int64(k), 0
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}

func (s *esock) splice(to Stream, n int64, rd Time, stall int64, end Time) (got, sent int64, err error) {
	t := s.l.task()
	d, ok := to.(*esock)
	if !ok || d.l != s.l {
		return 0, 0, ErrNoSplice
	}
	s.l.turn(t, rd)
	if s.closed || d.closed {
		return 0, 0, ErrClosed
	}
	alone(s.rd)
	alone(d.wr)
	p, got, err := s.siphon(t, min(n, pipeSize), rd)
	if p == nil {
		return 0, 0, err
	}
	s.l.work += int(got)
	if d.closed { // meanwhile, and its descriptor may be another's
		err = ErrClosed
	} else {
		alone(d.wr)
		sent, err = d.drain(t, p, got, stall, end)
	}
	s.l.piped(p, sent == got)
	return got, sent, err
}

// siphon fills a pipe with input, at least one byte. Without a pipe err says why.
func (s *esock) siphon(t *etask, n int64, rd Time) (p *pipe, got int64, err error) {
	if !s.readable && (t.interrupted || rd <= s.l.clock()) {
		s.readable = true // there will be no wait, see read
	}
	s.rd = t
	defer func() { s.rd = nil }()
	for {
		if s.readable {
			// Only now: whoever waits for input holds no pipe.
			if p = s.l.pipe(); p == nil {
				return nil, 0, ErrNoSplice
			}
			k, errno := splice(s.fd, p.w, n)
			if k > 0 {
				return p, k, nil
			}
			s.l.piped(p, true)
			switch errno {
			case syscall.EAGAIN:
				s.readable = false
			case syscall.EINVAL, syscall.ENOSYS, syscall.EPERM: // not this kind of socket, or not here
				return nil, 0, ErrNoSplice
			default:
				return nil, 0, s.ended(errno)
			}
		}
		if err := s.wait(t, rd); err != nil {
			return nil, 0, err
		}
	}
}

// drain sends the n bytes in p.
func (s *esock) drain(t *etask, p *pipe, n, stall int64, end Time) (sent int64, err error) {
	s.wr = t
	interrupted := false
	for sent < n && err == nil {
		k, errno := splice(p.r, s.fd, n-sent)
		switch {
		case k > 0:
			sent += k
			s.sent += uint64(k)
		case errno == syscall.EAGAIN:
			s.writable = false
			for until := min(s.l.clock().Add(stall), end); err == nil && !s.writable; {
				if err = s.wait(t, until); err == ErrInterrupted {
					interrupted, err = true, nil // half of a message cannot be left in a pipe
				}
			}
		default:
			s.note(errno)
			err = errno
		}
	}
	s.wr = nil
	t.interrupted = t.interrupted || interrupted
	return sent, err
}
