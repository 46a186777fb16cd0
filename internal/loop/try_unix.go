//go:build unix

package loop

import (
	"errors"
	"io"
	"syscall"
)

var errWouldWait = errors.New("would wait")

// tryRead reads what is there: errWouldWait if nothing is.
func tryRead(rc syscall.RawConn, p []byte) (n int, err error) {
	// Deadlines that have passed make Read fail before it calls us.
	late := rc.Read(func(fd uintptr) bool {
		n, err = syscall.Read(int(fd), p)
		return true
	})
	switch {
	case late != nil:
		return 0, late
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return 0, errWouldWait
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// tryWrite writes what is taken at once: errWouldWait if nothing is.
func tryWrite(rc syscall.RawConn, p []byte) (n int, err error) {
	late := rc.Write(func(fd uintptr) bool {
		n, err = syscall.Write(int(fd), p)
		return true
	})
	switch {
	case late != nil:
		return 0, late
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return 0, errWouldWait
	case err != nil:
		return 0, err
	}
	return n, nil
}
