package reverse

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// A pair is a TCP connection in memory, with what net.Pipe lacks: buffers, FIN,
// RST, and a reset for whoever closes with unread input. It knows a fake clock.
type pair struct {
	mu      sync.Mutex
	changed chan struct{} // closed and made anew when anything has changed
}

// direction is what flows one way.
type direction struct {
	buf []byte
	fin bool
	rst error
	cap int // how much may wait unread; 0 means no limit
}

type wire struct {
	p             *pair
	in, out       *direction
	local, remote net.Addr
	closed        bool
	peer          *wire
	rd, wr        time.Time
	sock          *sock // where the kernel is the network; nil in memory
}

func connect(a, b string) (*wire, *wire) {
	p := &pair{changed: make(chan struct{})}
	up, down := &direction{}, &direction{}
	x, y := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a)), net.TCPAddrFromAddrPort(netip.MustParseAddrPort(b))
	left := &wire{p: p, in: down, out: up, local: x, remote: y}
	right := &wire{p: p, in: up, out: down, local: y, remote: x}
	left.peer, right.peer = right, left
	return left, right
}

// change tells all who wait. The caller holds the lock.
func (p *pair) change() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// wait waits for a change; false if the deadline came first. The caller holds
// the lock.
func (p *pair) wait(deadline time.Time) bool {
	ch := p.changed
	var late <-chan time.Time
	if !deadline.IsZero() {
		d := time.Until(deadline)
		if d <= 0 {
			return false
		}
		t := time.NewTimer(d)
		defer t.Stop()
		late = t.C
	}
	p.mu.Unlock()
	defer p.mu.Lock()
	select {
	case <-ch:
	case <-late:
	}
	return true
}

func (w *wire) Read(b []byte) (int, error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	for {
		if w.sock != nil && !w.closed {
			if n, err := w.sock.read(b); err != syscall.EAGAIN {
				return n, err
			}
			if !w.p.wait(w.rd) {
				return 0, os.ErrDeadlineExceeded
			}
			continue
		}
		switch d := w.in; {
		case w.closed:
			return 0, net.ErrClosed
		case len(d.buf) > 0:
			n := copy(b, d.buf)
			d.buf = d.buf[n:]
			w.p.change()
			return n, nil
		case d.fin:
			return 0, io.EOF
		case d.rst != nil:
			return 0, d.rst
		}
		if !w.p.wait(w.rd) {
			return 0, os.ErrDeadlineExceeded
		}
	}
}

func (w *wire) Write(b []byte) (n int, err error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	for n < len(b) {
		if w.sock != nil && !w.closed {
			k, err := w.sock.write(b[n:])
			if n += k; err == syscall.EAGAIN {
				if !w.p.wait(w.wr) {
					return n, os.ErrDeadlineExceeded
				}
			} else if err != nil {
				return n, err
			}
			continue
		}
		d := w.out
		switch {
		case w.closed:
			return n, net.ErrClosed
		case d.fin || d.rst != nil:
			return n, syscall.EPIPE
		case w.peer.closed:
			// The kernel takes it and the peer answers with a reset.
			w.in.rst, d.rst = syscall.ECONNRESET, syscall.EPIPE
			w.p.change()
			return len(b), nil
		}
		k := len(b) - n
		if d.cap > 0 {
			k = min(k, d.cap-len(d.buf))
		}
		if k > 0 {
			d.buf = append(d.buf, b[n:n+k]...)
			n += k
			w.p.change()
			continue
		}
		if !w.p.wait(w.wr) {
			return n, os.ErrDeadlineExceeded
		}
	}
	return n, nil
}

func (w *wire) CloseWrite() error {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	if w.sock != nil {
		if w.closed {
			return net.ErrClosed
		}
		return w.sock.shut()
	}
	w.out.fin = true
	w.p.change()
	return nil
}

// waiting is how many bytes have come and were not read, and whether the end has.
func (w *wire) waiting() (n int, fin bool) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	if w.sock != nil {
		return w.sock.waiting()
	}
	return len(w.in.buf), w.in.fin
}

// Close is orderly, unless input is unread: then it is a reset, as in TCP.
func (w *wire) Close() error { return w.end(false) }

func (w *wire) end(reset bool) error {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	if w.closed {
		return net.ErrClosed
	}
	w.closed = true
	if w.sock != nil {
		w.sock.end(reset)
		w.p.change()
		return nil
	}
	if reset || len(w.in.buf) > 0 {
		w.out.rst = syscall.ECONNRESET
		w.in.rst = syscall.EPIPE
	} else if w.out.rst == nil {
		w.out.fin = true
	}
	w.p.change()
	return nil
}

// SetLinger makes the engine's Abort a reset.
func (w *wire) SetLinger(sec int) error {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	if sec == 0 {
		w.out.rst, w.in.rst = syscall.ECONNRESET, syscall.EPIPE
	}
	return nil
}

func (w *wire) LocalAddr() net.Addr  { return w.local }
func (w *wire) RemoteAddr() net.Addr { return w.remote }

func (w *wire) SetDeadline(t time.Time) error {
	w.SetReadDeadline(t)
	return w.SetWriteDeadline(t)
}

func (w *wire) SetReadDeadline(t time.Time) error {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	w.rd = t
	w.p.change()
	return nil
}

func (w *wire) SetWriteDeadline(t time.Time) error {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	w.wr = t
	w.p.change()
	return nil
}

// listener hands out what dial puts in.
type listener struct {
	queue chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error { l.once.Do(func() { close(l.done) }); return nil }
func (l *listener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(gatewayAddress))
}

const gatewayAddress = "192.0.2.80:80"
