//go:build unix

package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// file is an open descriptor, which further programs do not inherit; nil if there is none.
func file(fd int, name string) *os.File {
	var st syscall.Stat_t
	if syscall.Fstat(fd, &st) != nil {
		return nil
	}
	syscall.CloseOnExec(fd)
	// A file of the runtime's poller must not block a thread; sockets are told so here, and
	// the pipe is written once.
	if st.Mode&syscall.S_IFMT == syscall.S_IFSOCK {
		syscall.SetNonblock(fd, true)
	}
	return os.NewFile(uintptr(fd), name)
}

// Successor is the new program.
type Successor struct {
	Path string   // of its executable
	Args []string // its arguments, the name first
	// Env are variables besides those of this process.
	Env     []string
	Sockets []Socket
	// Timeout is how long it may take until it serves; 0 means DefaultTimeout.
	Timeout time.Duration
}

// ending is how long a program that has closed its end of the pipe may take to end.
const ending = time.Second

// Start starts the program and waits until it serves. The error says why it does not: it
// has ended then, and this process has what it had. The files stay the caller's.
func (s *Successor) Start() (pid int, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	names := make([]string, len(s.Sockets))
	fds := []uintptr{0, 1, 2}
	for i, socket := range s.Sockets {
		names[i] = socket.Name
		fd, err := descriptor(socket.File)
		if err != nil {
			w.Close()
			return 0, err
		}
		fds = append(fds, fd)
	}
	fd, err := descriptor(w)
	if err != nil {
		w.Close()
		return 0, err
	}
	fds = append(fds, fd)
	text, err := json.Marshal(names)
	if err != nil {
		w.Close()
		return 0, err
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, environment+"=") })
	env = append(append(env, s.Env...), environment+"="+string(text))
	pid, err = syscall.ForkExec(s.Path, s.Args, &syscall.ProcAttr{Env: env, Files: fds})
	w.Close()
	runtime.KeepAlive(s.Sockets)
	if err != nil {
		return 0, fmt.Errorf("%s cannot be started: %w", s.Path, err)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return 0, err
	}
	limit := s.Timeout
	if limit <= 0 {
		limit = DefaultTimeout
	}
	r.SetReadDeadline(time.Now().Add(limit))
	said := make([]byte, len(ready))
	_, err = io.ReadFull(r, said)
	if err == nil && string(said) == ready {
		go process.Wait() // for as long as we live: it must not become a zombie
		return pid, nil
	}
	late := errors.Is(err, os.ErrDeadlineExceeded)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		// It is ending, and its exit code tells more than a signal of ours.
		timer := time.AfterFunc(ending, func() { process.Kill() })
		defer timer.Stop()
	} else {
		process.Kill()
	}
	state, _ := process.Wait()
	switch {
	case late:
		return 0, fmt.Errorf("it did not serve within %v, and was killed", limit)
	case state != nil && state.Exited():
		return 0, fmt.Errorf("it ended with exit code %d before it served", state.ExitCode())
	case state != nil && (err == io.EOF || err == io.ErrUnexpectedEOF):
		return 0, fmt.Errorf("it ended before it served: %v", state)
	}
	return 0, fmt.Errorf("it said %q instead of that it serves, and was killed", said)
}

// descriptor is the number of a file. Unlike File.Fd it leaves the description, which
// our loops share, as it is: one that blocks would stop them.
func descriptor(f *os.File) (fd uintptr, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	err = raw.Control(func(n uintptr) { fd = n })
	return fd, err
}
