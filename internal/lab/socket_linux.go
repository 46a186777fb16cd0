package lab

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// queueTick is how often a kernel queue is looked at: queues have no events.
const queueTick = time.Millisecond

// control runs f on the descriptor of c, if it has one.
func control(c net.Conn, f func(fd int) bool) (done bool) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return true
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	if rc.Control(func(fd uintptr) { done = f(int(fd)) }) != nil {
		return true
	}
	return done
}

// awaitFlushed waits until the peer's kernel has acknowledged all that was
// written to c, FIN included, or ctx ends, or c breaks.
func awaitFlushed(ctx context.Context, c net.Conn) {
	awaitSocket(ctx, c, func(fd int) bool {
		waiting, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		return err != nil || waiting == 0
	})
}

// awaitGone waits until the peer of c has reset it or ended its side, without
// reading from c, or ctx ends. The kernel takes a FIN only in its turn, so a
// peer that ends behind unread bytes that did not fit is seen at ctx's end.
func awaitGone(ctx context.Context, c net.Conn) {
	awaitSocket(ctx, c, func(fd int) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(p, 0)
		return err != nil && err != unix.EINTR || n > 0
	})
}

func awaitSocket(ctx context.Context, c net.Conn, done func(fd int) bool) {
	for !control(c, done) {
		t := time.NewTimer(queueTick)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// smallReceive keeps the peer from sending much into c unread.
func smallReceive(c net.Conn) {
	control(c, func(fd int) bool {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10) == nil
	})
}

// bound is a TCP socket that has an address and does not listen: connects to it
// are refused, and nobody else can take it. port 0 means any.
func bound(ip [4]byte, port int) (got int, free func() error, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, err
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: ip, Port: port}); err == nil {
		var sa unix.Sockaddr
		if sa, err = unix.Getsockname(fd); err == nil {
			return sa.(*unix.SockaddrInet4).Port, func() error { return unix.Close(fd) }, nil
		}
	}
	unix.Close(fd)
	return 0, nil, err
}

// maxFill bounds the connections that fill a queue.
const maxFill = 8

// fullTCP listens on loopback with a queue that is full: no connect completes.
func fullTCP(o *Origin) (port int, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	o.onClose(func() error { return unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	if err := unix.Listen(fd, 0); err != nil {
		return 0, err
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	to := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: sa.(*unix.SockaddrInet4).Port}
	for range maxFill {
		c, err := net.DialTCP("tcp", nil, to)
		if err != nil {
			return 0, err
		}
		o.onClose(c.Close)
		// Of a listening socket, unacked is the length of its queue and sacked
		// the longest that is allowed.
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return 0, err
		}
		if info.Unacked > info.Sacked {
			return to.Port, nil
		}
	}
	return 0, errors.New("the listener's queue does not fill")
}

// fullUnix listens on a unix socket whose queue is full: connects end in EAGAIN.
func fullUnix(o *Origin, path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	o.onClose(func() error { return unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return err
	}
	if err := unix.Listen(fd, 0); err != nil {
		return err
	}
	for range maxFill {
		c, err := net.Dial("unix", path)
		if errors.Is(err, syscall.EAGAIN) {
			return nil
		}
		if err != nil {
			return err
		}
		o.onClose(c.Close)
	}
	return errors.New("the listener's queue does not fill")
}
