//go:build unix

package loop

import (
	"errors"
	"net/netip"
	"os"
	"syscall"
)

// listensOn is the address of a listening stream socket.
func listensOn(f *os.File) (a Address, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return a, err
	}
	inner := raw.Control(func(fd uintptr) {
		var sa syscall.Sockaddr
		if sa, err = syscall.Getsockname(int(fd)); err != nil {
			err = os.NewSyscallError("getsockname", err)
			return
		}
		var kind, accepts int
		if kind, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_TYPE); err == nil && kind == syscall.SOCK_STREAM {
			accepts, err = acceptsConnections(int(fd))
		}
		if err != nil {
			err = os.NewSyscallError("getsockopt", err)
			return
		}
		switch sa := sa.(type) {
		case *syscall.SockaddrInet4:
			a.IP = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
		case *syscall.SockaddrInet6:
			a.IP = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
		case *syscall.SockaddrUnix:
			a.Path = sa.Name
		}
		if kind != syscall.SOCK_STREAM || accepts == 0 || a == (Address{}) {
			err = errors.New("it is no socket that connections are accepted on")
		}
	})
	if err == nil {
		err = inner
	}
	return a, err
}
