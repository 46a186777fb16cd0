//go:build linux && (amd64 || arm64 || loong64 || ppc64le || riscv64)

package loop

import (
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// sleep is eloop.sleep where time is the test's. The kernel may hand over what was
// sent a moment later; what it cannot hand over, since the other end does not read,
// does not change however often one looks.
func (r *Rig) sleep(l *eloop, wait int) (n int, errno syscall.Errno) {
	for range stuck {
		if n, errno = l.fetch(0); n > 0 || errno != 0 {
			return n, errno
		}
		if l.underway()+r.Idle() == 0 {
			break
		}
		runtime.Gosched()
	}
	l.shrink()
	var late <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(time.Duration(wait) * time.Millisecond)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-r.nudge:
	case <-late:
	}
	return l.fetch(0)
}

// stuck is how often the loop looks at bytes on the way before it takes them for
// held up.
const stuck = 100

// underway is how many bytes of the loop's sockets are on the way.
func (l *eloop) underway() (n int) {
	for i := range l.slots {
		if s := l.slots[i].s; s != nil {
			n += Unacked(s.fd)
		}
	}
	return n
}

// Unacked is how many bytes of a socket are on the way, for tests: those that were not
// acknowledged, a FIN counted as one, and of a unix socket those that were not read.
func Unacked(fd uintptr) int {
	var n int32
	const siocoutq = 0x5411
	if _, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, fd, siocoutq, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return 0
	}
	return int(n)
}

// dial is eloop.Dial to an end of the test's.
func (r *Rig) dial(l *eloop, t *etask, a Address, until Time) (Stream, error) {
	fd, err := r.Dial(a)
	if err != nil {
		return nil, err
	}
	s, errno := newEsock(l, fd, a, true)
	if errno != 0 {
		return nil, errno
	}
	if err := s.connect(t, until); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// take adopts a connection that no loop has accepted.
func (l *eloop) take(fd uintptr, remote Address, serve func(Loop, Stream)) {
	if !l.e.enter() {
		closeFd(fd)
		return
	}
	l.connections.Add(1)
	l.deliver(parcel{do: func() { l.adopt(fd, remote, serve) }, counted: true})
}
