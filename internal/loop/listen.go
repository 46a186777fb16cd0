package loop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// listener is a Listener of the portable engine.
type listener struct {
	e    *portable
	ln   net.Listener
	addr Address
	stop chan struct{} // closed by Close
	once sync.Once
	err  error
}

func (ln *listener) Addr() Address { return ln.addr }

func (ln *listener) Files() ([]*os.File, error) { return filesOf(ln.ln) }

func (ln *listener) Leave() {
	if u, ok := ln.ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
}

func (ln *listener) Close() error {
	ln.once.Do(func() {
		close(ln.stop)
		ln.err = ln.ln.Close()
		ln.e.mu.Lock()
		delete(ln.e.listeners, ln)
		ln.e.mu.Unlock()
	})
	return ln.err
}

// Listen opens a listening socket. [::] takes IPv4 too where the system lets it;
// 0.0.0.0 takes IPv4 only. The file of a unix socket that nobody listens on any
// more is replaced.
func (e *portable) Listen(a Address) (Listener, error) {
	listen := e.opt.Listen
	if listen == nil {
		listen = systemListen
	}
	l, err := e.opt.Inherited.Listener(a.String(), a)
	if l == nil && err == nil {
		l, err = listen(a)
	}
	if err != nil {
		return nil, err
	}
	ln := &listener{e: e, ln: l, addr: addressOf(l.Addr()), stop: make(chan struct{})}
	if ln.addr == (Address{}) {
		ln.addr = a
	}
	e.mu.Lock()
	closed := e.closed
	if !closed {
		e.listeners[ln] = struct{}{}
	}
	e.mu.Unlock()
	if closed {
		l.Close()
		return nil, net.ErrClosed
	}
	return ln, nil
}

func systemListen(a Address) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	if a.Path != "" {
		if err := removeStale(a.Path); err != nil {
			return nil, err
		}
		return lc.Listen(context.Background(), "unix", a.Path)
	}
	lc.SetMultipathTCP(false)
	network := "tcp"
	if a.IP.Addr().Unmap().Is4() {
		network = "tcp4"
	}
	return lc.Listen(context.Background(), network, a.IP.String())
}

// removeStale removes the unix socket at path if nobody listens on it: a process
// that was killed leaves its file behind, and bind(2) refuses it for ever.
func removeStale(path string) error {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || fi.Mode()&fs.ModeSocket == 0 {
		return nil // bind tells it better
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return &net.OpError{Op: "listen", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"}, Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("stale socket: %w", err)
		}
	}
	return nil
}

// Serve accepts in a goroutine of its own, which ends when the listener closes.
func (e *portable) Serve(ln Listener, f func(Loop, Stream)) {
	l := ln.(*listener)
	if !e.enter() {
		return
	}
	go l.accept(f)
}

// The pauses after an accept that failed: for want of descriptors another try
// helps only when somebody has closed one.
const (
	firstAcceptPause = 5 * time.Millisecond
	lastAcceptPause  = time.Second
)

func (ln *listener) accept(f func(Loop, Stream)) {
	defer ln.e.leave()
	pause := firstAcceptPause
	for next := 0; ; next++ {
		c, err := ln.ln.Accept()
		if err != nil {
			select {
			case <-ln.stop:
				return
			default:
			}
			if errors.Is(err, syscall.ECONNABORTED) {
				continue // the client gave up in the queue: no fault of ours
			}
			if ln.e.opt.OnAcceptError != nil {
				ln.e.opt.OnAcceptError(err)
			}
			if errors.Is(err, net.ErrClosed) {
				return
			}
			select {
			case <-ln.stop:
				return
			case <-time.After(pause):
			}
			pause = min(2*pause, lastAcceptPause)
			continue
		}
		pause = firstAcceptPause
		l := ln.e.own[next%len(ln.e.own)]
		l.Post(func() { f(l, newStream(l, c, false)) })
	}
}

// addressOf is a as an Address, the zero value if it is neither TCP nor a named
// unix socket.
func addressOf(a net.Addr) Address {
	switch a := a.(type) {
	case *net.TCPAddr:
		ip := a.AddrPort()
		if ip.Addr().Is4In6() {
			return Address{IP: netipUnmap(ip)}
		}
		return Address{IP: ip}
	case *net.UnixAddr:
		return Address{Path: a.Name}
	}
	return Address{}
}
