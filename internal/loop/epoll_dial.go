//go:build linux && (amd64 || arm64 || loong64 || ppc64le || riscv64)

package loop

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// sockaddr is an address as the kernel has it, in one of its three forms.
type sockaddr struct {
	raw syscall.RawSockaddrAny
	len uint32
}

// port is a port in network byte order.
func port(n uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return binary.NativeEndian.Uint16(b[:])
}

// set is a for the kernel. EINVAL: the path is too long, or a is no address.
func (sa *sockaddr) set(a Address) syscall.Errno {
	ip := a.IP.Addr().Unmap()
	switch {
	case a.Path != "":
		un := (*syscall.RawSockaddrUnix)(unsafe.Pointer(&sa.raw))
		if len(a.Path) >= len(un.Path) {
			return syscall.EINVAL
		}
		un.Family = syscall.AF_UNIX
		for i := range len(a.Path) {
			un.Path[i] = int8(a.Path[i])
		}
		sa.len = uint32(unsafe.Offsetof(un.Path)) + uint32(len(a.Path)) + 1
		if a.Path[0] == '@' { // abstract (unix(7)): no file, and no NUL at the end
			un.Path[0] = 0
			sa.len--
		}
	case ip.Is4():
		in := (*syscall.RawSockaddrInet4)(unsafe.Pointer(&sa.raw))
		*in = syscall.RawSockaddrInet4{Family: syscall.AF_INET, Port: port(a.IP.Port()), Addr: ip.As4()}
		sa.len = syscall.SizeofSockaddrInet4
	case ip.Is6():
		in := (*syscall.RawSockaddrInet6)(unsafe.Pointer(&sa.raw))
		*in = syscall.RawSockaddrInet6{Family: syscall.AF_INET6, Port: port(a.IP.Port()), Addr: ip.As16(), Scope_id: scope(ip.Zone())}
		sa.len = syscall.SizeofSockaddrInet6
	default:
		return syscall.EINVAL
	}
	return 0
}

// scope is the number of a zone, by name or number; 0 if there is none.
func scope(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	n, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(n)
}

// address is what the kernel told; the zero value for a socket without a name.
func (sa *sockaddr) address() Address {
	switch sa.raw.Addr.Family {
	case syscall.AF_INET:
		in := (*syscall.RawSockaddrInet4)(unsafe.Pointer(&sa.raw))
		return Address{IP: netip.AddrPortFrom(netip.AddrFrom4(in.Addr), port(in.Port))}
	case syscall.AF_INET6:
		in := (*syscall.RawSockaddrInet6)(unsafe.Pointer(&sa.raw))
		ip := netip.AddrFrom16(in.Addr).Unmap()
		if in.Scope_id != 0 && ip.Is6() {
			ip = ip.WithZone(strconv.FormatUint(uint64(in.Scope_id), 10))
		}
		return Address{IP: netip.AddrPortFrom(ip, port(in.Port))}
	case syscall.AF_UNIX:
		un := (*syscall.RawSockaddrUnix)(unsafe.Pointer(&sa.raw))
		var path []byte
		for i := range int(sa.len) - int(unsafe.Offsetof(un.Path)) {
			c := byte(un.Path[i])
			if c == 0 && i > 0 {
				break
			}
			if c == 0 {
				c = '@'
			}
			path = append(path, c)
		}
		return Address{Path: string(path)}
	}
	return Address{}
}

// localAddress is getsockname(2).
func localAddress(fd uintptr) Address {
	sa := sockaddr{len: syscall.SizeofSockaddrAny}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_GETSOCKNAME, fd, uintptr(unsafe.Pointer(&sa.raw)), uintptr(unsafe.Pointer(&sa.len))); errno != 0 {
		return Address{}
	}
	return sa.address()
}

// socket is socket(2) for streams.
func socket(family uint16) (uintptr, syscall.Errno) {
	fd, _, errno := syscall.RawSyscall(syscall.SYS_SOCKET, uintptr(family), syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	return fd, errno
}

// setOption sets a socket option that is a number.
func setOption(fd uintptr, level, option uintptr, value int32) syscall.Errno {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_SETSOCKOPT, fd, level, option, uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0)
	return errno
}

func (l *eloop) Dial(a Address, until Time) (Stream, error) {
	t := l.task()
	if t.takeInterrupt() {
		return nil, ErrInterrupted
	}
	if until <= l.clock() {
		return nil, ErrTimeout
	}
	if r := l.e.opt.Rig; r != nil {
		return r.dial(l, t, a, until)
	}
	var sa sockaddr
	if errno := sa.set(a); errno != 0 {
		return nil, os.NewSyscallError("connect", errno)
	}
	fd, errno := socket(sa.raw.Addr.Family)
	if errno != 0 {
		return nil, os.NewSyscallError("socket", errno)
	}
	if a.Path == "" {
		setOption(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1) // cannot fail
	}
	l.work += callCost
	_, _, errno = syscall.RawSyscall(syscall.SYS_CONNECT, fd, uintptr(unsafe.Pointer(&sa.raw)), uintptr(sa.len))
	if errno != 0 && errno != syscall.EINPROGRESS && errno != syscall.EINTR {
		closeFd(fd)
		return nil, os.NewSyscallError("connect", errno)
	}
	remote := a
	if a.Path == "" {
		remote.IP = netip.AddrPortFrom(a.IP.Addr().Unmap(), a.IP.Port())
	}
	// Registered only now: a socket that does not connect yet reports a hang-up.
	s, bad := newEsock(l, fd, remote, true)
	if bad != 0 {
		return nil, os.NewSyscallError("epoll_ctl", bad)
	}
	if errno != 0 {
		if err := s.connect(t, until); err != nil {
			s.close()
			return nil, err
		}
	}
	s.writable = true
	return s, nil
}

// connect waits until the connection stands.
func (s *esock) connect(t *etask, until Time) error {
	s.wr = t
	defer func() { s.wr = nil }() // before it is closed, if it fails
	for !s.writable {
		if err := s.wait(t, until); err != nil {
			return err
		}
	}
	var errno syscall.Errno
	size := uint32(4)
	var value int32
	if _, _, errno = syscall.RawSyscall6(syscall.SYS_GETSOCKOPT, s.fd, syscall.SOL_SOCKET, syscall.SO_ERROR, uintptr(unsafe.Pointer(&value)), uintptr(unsafe.Pointer(&size)), 0); errno != 0 {
		return os.NewSyscallError("getsockopt", errno)
	}
	if value != 0 {
		return os.NewSyscallError("connect", syscall.Errno(value))
	}
	// A port that nobody listens on may be the one that the kernel picks for our own
	// end, and TCP lets such a socket connect to itself (RFC 9293 §3.5, Figure 8).
	if s.remote.IP.Addr().IsLoopback() && localAddress(s.fd) == s.remote {
		return os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	return nil
}
