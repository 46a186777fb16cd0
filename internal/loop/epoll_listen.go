//go:build linux && (amd64 || arm64 || loong64 || ppc64le || riscv64)

package loop

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// elistener is a Listener of the epoll engine. For TCP it has a socket for each
// loop (SO_REUSEPORT): the kernel deals connections out by their addresses, and
// no loop wakes for another's. A unix socket has one, whose loop hands over.
type elistener struct {
	e       *epoll
	addr    Address
	sockets []*esocket
	once    sync.Once
	left    atomic.Bool // to another process
	err     error
}

// esocket is a listening socket.
type esocket struct {
	l      *eloop
	ln     *elistener
	serve  func(Loop, Stream)
	number int32 // of its events
	retry  timer // after an error; until then the socket is not watched
	pause  Time

	// The lock keeps the descriptor ours while accept uses it: anybody may Close,
	// and the number would soon be another's.
	mu     sync.Mutex
	fd     uintptr
	closed bool
}

func (ln *elistener) Addr() Address { return ln.addr }

func (ln *elistener) Leave() { ln.left.Store(true) }

func (ln *elistener) Files() (list []*os.File, err error) {
	for _, s := range ln.sockets {
		f, e := s.file()
		if e != nil {
			for _, f := range list {
				f.Close()
			}
			return nil, e
		}
		list = append(list, f)
	}
	return list, nil
}

// file is a copy of the socket.
func (s *esocket) file() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, net.ErrClosed
	}
	fd, errno := duplicate(s.fd)
	if errno != 0 {
		return nil, os.NewSyscallError("fcntl", errno)
	}
	return os.NewFile(fd, s.ln.addr.String()), nil
}

// duplicate is a copy of a descriptor that no program inherits by accident.
func duplicate(fd uintptr) (uintptr, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, 3)
	return n, errno
}

func (ln *elistener) Close() error {
	ln.once.Do(func() {
		// As with package net, the file goes first: who finds it can still connect.
		if p := ln.addr.Path; p != "" && p[0] != '@' && !ln.left.Load() {
			if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
				ln.err = err
			}
		}
		for _, s := range ln.sockets {
			s.mu.Lock()
			s.closed = true
			// Where another process has the socket too, its end here would not end the
			// events of it.
			syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(s.l.ep), syscall.EPOLL_CTL_DEL, s.fd, 0, 0, 0)
			closeFd(s.fd)
			s.mu.Unlock()
			s.l.deliver(parcel{do: s.forget})
		}
		ln.e.mu.Lock()
		delete(ln.e.listeners, ln)
		ln.e.mu.Unlock()
	})
	return ln.err
}

// Listen opens a listening socket. [::] takes IPv4 too; 0.0.0.0 takes IPv4 only.
// The file of a unix socket that nobody listens on any more is replaced.
func (e *epoll) Listen(a Address) (Listener, error) {
	ln := &elistener{e: e, addr: a}
	loops := e.own
	if files := e.opt.Inherited.Take(a.String(), a); len(files) > 0 {
		more, err := ln.inherit(files)
		if err != nil {
			return nil, err
		}
		loops = more
	} else if a.Path != "" {
		if err := removeStale(a.Path); err != nil {
			return nil, err
		}
		loops = loops[:1]
	}
	if e.opt.Rig != nil {
		loops = nil
	}
	for _, l := range loops {
		fd, call, errno := open(ln.addr, len(ln.sockets) > 0, len(loops) > 1)
		if errno != 0 {
			for _, s := range ln.sockets {
				closeFd(s.fd)
			}
			return nil, listenError(a, call, errno)
		}
		if a.Path == "" { // the port that the kernel chose
			ln.addr = localAddress(fd)
		}
		ln.sockets = append(ln.sockets, &esocket{l: l, ln: ln, fd: fd})
	}
	if err := e.add(ln); err != nil {
		return nil, err
	}
	return ln, nil
}

// inherit makes sockets of files, which it closes. Each goes to a loop; where they are such
// as share their address, more returns the loops that have none and are to open one.
func (ln *elistener) inherit(files []*os.File) (more []*eloop, err error) {
	e := ln.e
	ln.left.Store(true) // whoever made it may still need the file of a unix socket
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	for i, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			return nil, err
		}
		var fd uintptr
		var errno syscall.Errno
		if err := raw.Control(func(n uintptr) { fd, errno = duplicate(n) }); err != nil {
			return nil, err
		}
		if errno != 0 {
			return nil, os.NewSyscallError("fcntl", errno)
		}
		// Whoever made it may have left it blocking; a loop must never wait in it.
		if err := syscall.SetNonblock(int(fd), true); err != nil {
			closeFd(fd)
			return nil, os.NewSyscallError("fcntl", err)
		}
		ln.sockets = append(ln.sockets, &esocket{l: e.own[i%len(e.own)], ln: ln, fd: fd})
	}
	if len(files) < len(e.own) && ln.addr.Path == "" && option(ln.sockets[0].fd, syscall.SOL_SOCKET, soReuseport) == 1 {
		more = e.own[len(files):]
	}
	if ln.addr.Path == "" {
		ln.addr = localAddress(ln.sockets[0].fd)
		setOption(ln.sockets[0].fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	}
	return more, nil
}

// option is the value of a socket option that is a number; 0 if it cannot be told.
func option(fd uintptr, level, name int) int {
	n, err := syscall.GetsockoptInt(int(fd), level, name)
	if err != nil {
		return 0
	}
	return n
}

// add makes a listener one of the engine's, which closes it in the end.
func (e *epoll) add(ln *elistener) error {
	e.mu.Lock()
	closed := e.closed
	if !closed {
		e.listeners[ln] = struct{}{}
	}
	e.mu.Unlock()
	if closed {
		ln.Close()
		return net.ErrClosed
	}
	return nil
}

// listenError words errno as package net does.
func listenError(a Address, call string, errno syscall.Errno) error {
	e := &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError(call, errno)}
	if a.Path != "" {
		e.Net, e.Addr = "unix", &net.UnixAddr{Name: a.Path, Net: "unix"}
	} else {
		e.Addr = net.TCPAddrFromAddrPort(a.IP)
	}
	return e
}

// soReuseport is SO_REUSEPORT, which package syscall lacks on some systems.
const soReuseport = 15

// backlog is how many connections may wait to be accepted: as many as the system
// allows (net.core.somaxconn), since the kernel cuts it to that.
const backlog = 1 << 16

// open returns a listening socket, or the call that failed. One of several for
// the same address needs SO_REUSEPORT. The first gets it only when it is bound: so
// an address that somebody else has, another gateway also, is in use.
func open(a Address, another, several bool) (fd uintptr, call string, errno syscall.Errno) {
	var sa sockaddr
	if errno := sa.set(a); errno != 0 {
		return 0, "bind", errno
	}
	fd, errno = socket(sa.raw.Addr.Family)
	if errno != 0 {
		return 0, "socket", errno
	}
	reuse := func() {
		if errno == 0 {
			call, errno = "setsockopt", setOption(fd, syscall.SOL_SOCKET, soReuseport, 1)
		}
	}
	if a.Path == "" {
		call, errno = "setsockopt", setOption(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		if errno == 0 { // accepted sockets inherit it: a call less for each
			errno = setOption(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		}
		if errno == 0 && sa.raw.Addr.Family == syscall.AF_INET6 {
			errno = setOption(fd, syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY, 0)
		}
		if another {
			reuse()
		}
	}
	if errno == 0 {
		call = "bind"
		_, _, errno = syscall.RawSyscall(syscall.SYS_BIND, fd, uintptr(unsafe.Pointer(&sa.raw)), uintptr(sa.len))
	}
	if several && !another {
		reuse()
	}
	if errno == 0 {
		call = "listen"
		_, _, errno = syscall.RawSyscall(syscall.SYS_LISTEN, fd, backlog, 0)
	}
	if errno != 0 {
		closeFd(fd)
	}
	return fd, call, errno
}

// Serve accepts on the loops themselves.
func (e *epoll) Serve(ln Listener, f func(Loop, Stream)) {
	if r := e.opt.Rig; r != nil {
		r.begin = func(fd uintptr, remote Address) { e.own[0].take(fd, remote, f) }
		return
	}
	for _, s := range ln.(*elistener).sockets {
		s.l.deliver(parcel{do: func() {
			s.serve = f
			s.retry.owner = s
			s.l.named--
			s.number = s.l.named
			s.l.accepting[s.number] = s
			s.watch()
		}})
	}
}

// watch has the loop told of connections as long as there are some: not by edges,
// so that those beyond what one event may take are not forgotten.
func (s *esocket) watch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if errno := s.l.watch(s.fd, s.number, 0, syscall.EPOLLIN); errno != 0 {
		s.fail("epoll_ctl", errno)
	}
}

// forget is the loop's part of Close.
func (s *esocket) forget() {
	s.l.wheel.disarm(&s.retry)
	delete(s.l.accepting, s.number)
}

// accepts is how many connections are accepted before others get their turn.
const accepts = 64

// accept takes what waits.
func (s *esocket) accept() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range accepts {
		if s.closed {
			return
		}
		sa := sockaddr{len: syscall.SizeofSockaddrAny}
		fd, _, errno := syscall.RawSyscall6(syscall.SYS_ACCEPT4, s.fd, uintptr(unsafe.Pointer(&sa.raw)), uintptr(unsafe.Pointer(&sa.len)), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			s.pause = 0
			s.hand(fd, sa.address())
		case syscall.EAGAIN:
			return
		case syscall.EINTR, syscall.ECONNABORTED: // the client gave up in the queue: no fault of ours
		default:
			s.fail("accept4", errno)
			return
		}
	}
}

// hand gives a connection to the loop that shall have it, see least.
func (s *esocket) hand(fd uintptr, remote Address) {
	if !s.l.e.enter() {
		closeFd(fd)
		return
	}
	l := s.l.e.least(s.l, len(s.ln.sockets) > 1)
	l.connections.Add(1)
	if l == s.l {
		l.adopt(fd, remote, s.serve)
		l.e.leave() // its task counts
		return
	}
	l.deliver(parcel{do: func() { l.adopt(fd, remote, s.serve) }, counted: true})
}

// least is the loop for a connection that own accepted: itself, unless another
// has clearly fewer. The kernel deals out by a hash, which is even for many
// connections and may put the few busy ones on one loop. Where own accepts for
// all, any difference is clear.
func (e *epoll) least(own *eloop, dealt bool) *eloop {
	best := own
	for _, l := range e.own {
		if l.connections.Load() < best.connections.Load() {
			best = l
		}
	}
	n := best.connections.Load()
	if dealt && own.connections.Load() <= n+1+n/4 {
		return own
	}
	return best
}

// adopt starts the task of a connection, which is counted already.
func (l *eloop) adopt(fd uintptr, remote Address, serve func(Loop, Stream)) {
	s, errno := newEsock(l, fd, remote, false)
	if errno != 0 {
		l.e.complain("epoll_ctl", errno)
		return
	}
	t := l.spawn()
	t.serve, t.s = serve, s
	l.queue.push(t) // it comes behind those that have begun
}

// fail stops watching for a while: for want of descriptors another try helps only
// when somebody has closed one, and the event would come again at once.
func (s *esocket) fail(call string, errno syscall.Errno) {
	s.l.e.complain(call, errno)
	syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(s.l.ep), syscall.EPOLL_CTL_DEL, s.fd, 0, 0, 0)
	s.pause = min(max(2*s.pause, Time(firstAcceptPause)), Time(lastAcceptPause))
	s.l.wheel.arm(&s.retry, s.l.clock()+s.pause)
}

func (s *esocket) expired(Time) { s.watch() }

// complain tells the one who wants to know, outside the loops.
func (e *epoll) complain(call string, errno syscall.Errno) {
	if f := e.opt.OnAcceptError; f != nil && e.enter() {
		go func() { // ends with f
			defer e.leave()
			f(os.NewSyscallError(call, errno))
		}()
	}
}
