//go:build linux && (amd64 || arm64 || loong64 || ppc64le || riscv64)

package reverse

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"unsafe"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// kernel is the network of a stage on the epoll engine: TCP on loopback, whose far
// ends are wires as those in memory are. Nobody waits in the kernel, so that the
// bubble's clock goes on: the loop and the wires tell each other to look.
type kernel struct {
	st  *stage
	rig *loop.Rig
	ln  int
	at  syscall.Sockaddr

	mu    sync.Mutex
	wires []*wire
}

func newKernel(st *stage) *kernel {
	k := &kernel{st: st}
	k.rig = &loop.Rig{Dial: k.dial, Idle: k.idle}
	k.ln = k.listen()
	return k
}

func (k *kernel) engine() loop.Engine {
	e, err := loop.Epoll(loop.EpollOptions{Poison: true, Rig: k.rig})
	k.must(err)
	return e
}

func (k *kernel) must(err error) {
	if err != nil {
		panic(err) // no fault of what is tested
	}
}

func (k *kernel) listen() int {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	k.must(err)
	k.must(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	k.must(syscall.Listen(fd, 16))
	k.at, err = syscall.Getsockname(fd)
	k.must(err)
	return fd
}

func (k *kernel) close() {
	syscall.Close(k.ln)
}

// pair makes a connection: the gateway's end and the test's.
func (k *kernel) pair(local, remote string) (uintptr, *wire) {
	k.mu.Lock()
	defer k.mu.Unlock()
	ours, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	k.must(err)
	if n := k.st.window; n > 0 {
		k.must(syscall.SetsockoptInt(ours, syscall.SOL_SOCKET, syscall.SO_RCVBUF, n))
		k.must(syscall.SetsockoptInt(ours, syscall.SOL_SOCKET, syscall.SO_SNDBUF, n))
	}
	k.must(syscall.Connect(ours, k.at))
	theirs, _, err := syscall.Accept4(k.ln, syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK)
	k.must(err)
	k.must(syscall.SetNonblock(ours, true))
	for _, fd := range []int{ours, theirs} {
		k.must(syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1))
	}
	if n := k.st.window; n > 0 {
		k.must(syscall.SetsockoptInt(theirs, syscall.SOL_SOCKET, syscall.SO_RCVBUF, n))
		k.must(syscall.SetsockoptInt(theirs, syscall.SOL_SOCKET, syscall.SO_SNDBUF, n))
	}
	w := &wire{p: &pair{changed: make(chan struct{})}, sock: &sock{k, theirs}, in: &direction{}, out: &direction{},
		local: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(local)), remote: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(remote))}
	k.wires = append(k.wires, w)
	k.st.keep(w)
	return uintptr(ours), w
}

// dial is what the gateway does.
func (k *kernel) dial(a loop.Address) (uintptr, error) {
	o, n := k.st.called(a)
	switch {
	case o.refuses:
		return 0, syscall.ECONNREFUSED
	case o.absent:
		// A counter that is full never becomes writable.
		fd, _, errno := syscall.RawSyscall(syscall.SYS_EVENTFD2, 0, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
		most := ^uint64(1)
		if errno == 0 {
			_, _, errno = syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(&most)), 8)
		}
		if errno != 0 {
			return 0, errno
		}
		return fd, nil
	}
	fd, w := k.pair(a.IP.String(), "192.0.2.80:1000")
	k.st.begin(o, n, w)
	return fd, nil
}

// client connects to the gateway.
func (k *kernel) client(ip string) *wire {
	from := netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(k.st.port()))
	fd, w := k.pair(from.String(), gatewayAddress)
	k.rig.Accept(fd, loop.Address{IP: from})
	return w
}

// idle has all wires look, since the loop has done what it could.
func (k *kernel) idle() (n int) {
	k.mu.Lock()
	list := slices.Clone(k.wires)
	k.mu.Unlock()
	for _, w := range list {
		w.p.mu.Lock()
		if !w.closed {
			n += loop.Unacked(uintptr(w.sock.fd))
		}
		w.p.change()
		w.p.mu.Unlock()
	}
	return n
}

// sock is a wire's end of a connection.
type sock struct {
	k  *kernel
	fd int
}

func (s *sock) read(b []byte) (int, error) {
	n, err := syscall.Read(s.fd, b)
	switch {
	case err != nil:
		return 0, err
	case n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	s.k.rig.Nudge() // there is room again
	return n, nil
}

func (s *sock) write(b []byte) (int, error) {
	n, err := syscall.Write(s.fd, b)
	if n > 0 {
		s.k.rig.Nudge()
	}
	return max(n, 0), err
}

func (s *sock) shut() error {
	defer s.k.rig.Nudge()
	return syscall.Shutdown(s.fd, syscall.SHUT_WR)
}

func (s *sock) waiting() (n int, fin bool) {
	b := make([]byte, 1<<16)
	n, _, err := syscall.Recvfrom(s.fd, b, syscall.MSG_PEEK)
	return max(n, 0), n == 0 && err == nil
}

func (s *sock) end(reset bool) {
	if reset {
		syscall.SetsockoptLinger(s.fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	}
	syscall.Close(s.fd)
	s.k.rig.Nudge()
}
