package loop

import (
	"context"
	"errors"
	"net"
	"os"
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
	var ctx context.Context
	var cancel context.CancelFunc
	if now := l.Now(); until == Never {
		ctx, cancel = context.WithCancel(context.Background())
	} else if now < until {
		ctx, cancel = context.WithDeadline(context.Background(), time.Now().Add(time.Duration(until-now)))
	} else {
		return nil, ErrTimeout
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
		// Our deadline only: the kernel's own ETIMEDOUT is an errno and another thing.
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
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
	c, err := d.DialContext(ctx, "tcp", a.IP.String()) // DialTCP would bind first
	if err != nil {
		return nil, err
	}
	return c, nil
}
