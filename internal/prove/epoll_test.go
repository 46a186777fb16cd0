package prove

import (
	"testing"

	"github.com/gatewhy/gatewhy/internal/lab"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// epoll makes the epoll engine of one gateway, with one loop, and skips the test
// where there is none.
func epoll(t *testing.T) func() loop.Engine {
	if !loop.HasEpoll {
		t.Skip("the epoll engine is not for this system")
	}
	return func() loop.Engine {
		e, err := loop.Epoll(loop.EpollOptions{Loops: 1, Poison: true})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
}

// TestCatalogueEpoll plays the catalogue on the other engine: what a fault is
// called must not depend on how we wait.
func TestCatalogueEpoll(t *testing.T) { proveAllOn(t, lab.Recipes(), epoll(t)) }

// TestCorpusEpoll likewise.
func TestCorpusEpoll(t *testing.T) { proveAllOn(t, lab.Corpus(), epoll(t)) }
