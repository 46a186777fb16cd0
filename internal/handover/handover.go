// Package handover passes listening sockets from one process to the next, so that
// nobody who connects meanwhile is refused or lost: to a new program that takes the
// place of this one, and from a service manager that opened them before us.
//
// The new program is a child that gets the sockets as descriptors from 3 on, behind them
// the writing end of a pipe, and in the environment what each is listened on by. It says
// on the pipe that it serves. Until it has said so the old program goes on as if nothing were;
// whatever becomes of the child, the sockets stay open in the old one.
package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// DefaultTimeout is how long a new program may take until it serves: it reads a
// configuration and opens what is new. Certificates that a slow disk holds fit many times.
const DefaultTimeout = 10 * time.Second

// environment is the variable that tells the child what it has; the manager's are
// those of sd_listen_fds(3).
const (
	environment = "GATEWHY_HANDOVER"
	listenPID   = "LISTEN_PID"
	listenFDs   = "LISTEN_FDS"
	listenNames = "LISTEN_FDNAMES"
)

// ready is what the child says.
const ready = "ready\n"

// firstFD is the first descriptor that is passed on.
const firstFD = 3

// Socket is one that is handed over: what it was listened on by, and a file of it.
type Socket struct {
	Name string
	File *os.File
}

// Predecessor is the process that this one takes the place of. A nil one is none.
type Predecessor struct{ pipe *os.File }

// Ready tells it that this process serves.
func (p *Predecessor) Ready() {
	if p == nil {
		return
	}
	p.pipe.WriteString(ready) // if it is gone, we serve all the same
	p.pipe.Close()
}

// Inherit takes what was handed over to this process, and takes the variables that tell
// of it out of the environment: they are not for programs that we start. What is no
// listening socket is told in the error, and the others are there all the same. Call it
// once, before descriptors are opened.
func Inherit() (in *loop.Inherited, from *Predecessor, err error) {
	in = &loop.Inherited{}
	text, pid, fds := os.Getenv(environment), os.Getenv(listenPID), os.Getenv(listenFDs)
	for _, name := range []string{environment, listenPID, listenFDs, listenNames} {
		os.Unsetenv(name)
	}
	if text != "" {
		var names []string
		if err := json.Unmarshal([]byte(text), &names); err != nil {
			return in, nil, fmt.Errorf("the variable %s is not what a gatewhy before this one writes: %w", environment, err)
		}
		err = adopt(in, names)
		if pipe := file(firstFD+len(names), "pipe"); pipe != nil {
			from = &Predecessor{pipe}
		}
		return in, from, err
	}
	if pid != strconv.Itoa(os.Getpid()) {
		return in, nil, nil // for somebody else, or for nobody
	}
	n, err := strconv.Atoi(fds)
	if err != nil || n < 0 || n > mostSockets {
		return in, nil, fmt.Errorf("%s is %q, which is no number of sockets", listenFDs, fds)
	}
	return in, nil, adopt(in, make([]string, n))
}

// mostSockets bounds what a manager may pass: more is a mistake.
const mostSockets = 4096

func adopt(in *loop.Inherited, names []string) error {
	var wrong []error
	for i, name := range names {
		f := file(firstFD+i, name)
		if f == nil {
			wrong = append(wrong, fmt.Errorf("descriptor %d was announced and is not open", firstFD+i))
			continue
		}
		if err := in.Add(name, f); err != nil {
			wrong = append(wrong, fmt.Errorf("descriptor %d: %w", firstFD+i, err))
		}
	}
	return errors.Join(wrong...)
}
