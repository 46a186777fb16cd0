//go:build !linux

package lab

import (
	"context"
	"errors"
	"net"
	"time"
)

// settle is what other systems give a queue of the kernel that they cannot ask.
const settle = 20 * time.Millisecond

func awaitFlushed(ctx context.Context, c net.Conn) {
	t := time.NewTimer(settle)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func awaitGone(ctx context.Context, c net.Conn) { <-ctx.Done() }

func smallReceive(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetReadBuffer(4 << 10)
	}
}

// bound finds a port where nobody listens; here it cannot be kept.
func bound(ip [4]byte, port int) (got int, free func() error, err error) {
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: ip[:], Port: port})
	if err != nil {
		return 0, nil, err
	}
	return ln.Addr().(*net.TCPAddr).Port, func() error { return nil }, ln.Close()
}

func fullTCP(o *Origin) (port int, err error) { return 0, errors.ErrUnsupported }

func fullUnix(o *Origin, path string) error { return errors.ErrUnsupported }
