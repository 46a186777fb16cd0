package loop

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// dialing is a connect under way.
type dialing struct{ cancel context.CancelFunc }

func (d dialing) kick() { d.cancel() }

func (l *ploop) Dial(a Address, until Time) (Stream, error) {
	t := l.task()
	if t.takeInterrupt() {
		return nil, ErrInterrupted
	}
	ctx, cancel := context.WithCancel(context.Background())
	if until != Never {
		now := l.Now()
		if until <= now {
			cancel()
			return nil, ErrTimeout
		}
		cancel()
		ctx, cancel = context.WithDeadline(context.Background(), time.Now().Add(time.Duration(until-now)))
	}
	defer cancel()
	dial := l.e.opt.Dial
	if dial == nil {
		dial = systemDial
	}
	t.in = dialing{cancel}
	l.unlock()
	c, err := dial(ctx, a)
	l.lock(t)
	t.in = nil
	if t.takeInterrupt() {
		if err == nil {
			c.Close()
		}
		return nil, ErrInterrupted
	}
	if err != nil {
		// The kernel's own ETIMEDOUT comes before our deadline and is another thing.
		var errno syscall.Errno
		if !errors.As(err, &errno) && ctx.Err() != nil {
			return nil, ErrTimeout
		}
		return nil, err
	}
	return newStream(l, c, true), nil
}

func systemDial(ctx context.Context, a Address) (net.Conn, error) {
	// Deadlines notice a dead peer; probes on every connection would cost timers.
	d := net.Dialer{KeepAlive: -1}
	// A nil *net.TCPConn in a net.Conn would not be nil.
	if a.Path != "" {
		c, err := d.DialUnix(ctx, "unix", nil, &net.UnixAddr{Name: a.Path, Net: "unix"})
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	d.SetMultipathTCP(false)
	c, err := d.DialTCP(ctx, "tcp", netip.AddrPort{}, a.IP)
	if err != nil {
		return nil, err
	}
	return c, nil
}
