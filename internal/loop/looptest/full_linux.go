package looptest

import (
	"path/filepath"
	"syscall"

	"github.com/gatewhy/gatewhy/internal/loop"

	"net/netip"
)

// hanging is an address where connect neither succeeds nor fails: the queue of
// its listener is full, so the kernel drops what asks for more.
func hanging(r *rig) (loop.Address, func()) {
	fd := listening(r, syscall.AF_INET, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		r.Fatal(err)
	}
	free := fillUp(r, fd, syscall.AF_INET, sa)
	port := uint16(sa.(*syscall.SockaddrInet4).Port)
	return loop.Address{IP: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)}, free
}

// crowded is a unix socket whose queue is full.
func crowded(r *rig) (loop.Address, func()) {
	path := filepath.Join(r.TempDir(), "s")
	sa := &syscall.SockaddrUnix{Name: path}
	fd := listening(r, syscall.AF_UNIX, sa)
	return loop.Address{Path: path}, fillUp(r, fd, syscall.AF_UNIX, sa)
}

func socket(r *rig, family int) int {
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		r.Fatal(err)
	}
	return fd
}

func listening(r *rig, family int, sa syscall.Sockaddr) int {
	fd := socket(r, family)
	if err := syscall.Bind(fd, sa); err != nil {
		r.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		r.Fatal(err)
	}
	return fd
}

// fillUp connects until the queue of fd is full, and a few times more: those
// that hang keep the rest of the kernel's memory for it busy.
func fillUp(r *rig, fd, family int, sa syscall.Sockaddr) (free func()) {
	fds := []int{fd}
	for range 4 {
		c := socket(r, family)
		fds = append(fds, c)
		if err := syscall.Connect(c, sa); err != nil && err != syscall.EINPROGRESS && err != syscall.EAGAIN {
			r.Fatal(err)
		}
	}
	return func() {
		for _, fd := range fds {
			syscall.Close(fd)
		}
	}
}
