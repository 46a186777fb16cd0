//go:build linux && (amd64 || arm64 || loong64 || ppc64le || riscv64)

package loop_test

import (
	"testing"

	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/loop/faulty"
	"github.com/gatewhy/gatewhy/internal/loop/looptest"
)

func newEpoll(t *testing.T, loops int) loop.Engine {
	t.Helper()
	e, err := loop.Epoll(loop.EpollOptions{Loops: loops, Poison: true})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEpoll(t *testing.T) {
	looptest.Run(t, func(t *testing.T) loop.Engine { return newEpoll(t, 2) })
}

func TestEpollOneLoop(t *testing.T) {
	looptest.Run(t, func(t *testing.T) loop.Engine { return newEpoll(t, 1) })
}

func TestFaultlessFaultyEpoll(t *testing.T) {
	looptest.Run(t, func(t *testing.T) loop.Engine {
		return faulty.Wrap(newEpoll(t, 2), &faulty.Plan{Accepted: true})
	})
}
