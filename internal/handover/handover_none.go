//go:build !unix

package handover

import (
	"errors"
	"os"
	"time"
)

func file(int, string) *os.File { return nil }

// Successor is the new program.
type Successor struct {
	Path      string
	Args, Env []string
	Sockets   []Socket
	Timeout   time.Duration
}

// Start cannot pass sockets on here.
func (*Successor) Start() (int, error) { return 0, errors.ErrUnsupported }
