//go:build !unix

package loop

import (
	"errors"
	"syscall"
)

var errWouldWait = errors.New("would wait")

// tryRead cannot look without waiting here.
func tryRead(syscall.RawConn, []byte) (int, error) { return 0, errWouldWait }

func tryWrite(syscall.RawConn, []byte) (int, error) { return 0, errWouldWait }
