//go:build !(linux && (amd64 || arm64 || loong64 || ppc64le || riscv64))

package loop

import (
	"errors"
	"fmt"
	"runtime"
)

// HasEpoll tells whether this system has the epoll engine.
const HasEpoll = false

// Epoll returns the engine on epoll(7). It is on 64-bit Linux only: elsewhere the
// error wraps errors.ErrUnsupported.
func Epoll(EpollOptions) (Engine, error) {
	return nil, fmt.Errorf("the epoll engine needs 64-bit Linux, and this is %s on %s: %w", runtime.GOOS, runtime.GOARCH, errors.ErrUnsupported)
}

// Unacked is how many bytes of a socket are on the way; here nobody knows.
func Unacked(uintptr) int { return 0 }
