package loop

import (
	"errors"
	"net"
	"os"
	"sync"
)

// Inherited are listening sockets that were there before this process: of the process
// that it takes the place of, or of a service manager. An engine that is to listen on an
// address takes those for it, so that nobody who waits there to be accepted is lost. A
// nil one has none. Its methods may be called from anywhere.
type Inherited struct {
	mu   sync.Mutex
	list []inherited
}

type inherited struct {
	name string  // what it was listened on by; "" if only its address says that
	addr Address // as bound
	file *os.File
}

// Add adds a socket, whose file is then the list's. name is what the process before
// called the place, an Address as text, and "" means that its own address says it. An
// error is about a descriptor that no connection can be accepted on; the file is closed then.
func (in *Inherited) Add(name string, f *os.File) error {
	a, err := listensOn(f)
	if err != nil {
		f.Close()
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.list = append(in.list, inherited{name, a, f})
	return nil
}

// Take removes the sockets of a place and returns them. The caller closes the files,
// which does not end the sockets while it has others of them.
func (in *Inherited) Take(name string, a Address) (files []*os.File) {
	if in == nil {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	rest := in.list[:0]
	for _, i := range in.list {
		if i.name == name && name != "" || i.name == "" && i.addr == a {
			files = append(files, i.file)
		} else {
			rest = append(rest, i)
		}
	}
	in.list = rest
	return files
}

// Close closes what nobody has taken, and returns what that was called.
func (in *Inherited) Close() (left []string) {
	if in == nil {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, i := range in.list {
		name := i.name
		if name == "" {
			name = i.addr.String()
		}
		left = append(left, name)
		i.file.Close()
	}
	in.list = nil
	return left
}

// Listener makes a net.Listener of the socket of a place; nil if there is none. Its
// Close leaves the file of a unix socket, which whoever made it may still need.
func (in *Inherited) Listener(name string, a Address) (net.Listener, error) {
	files := in.Take(name, a)
	if len(files) == 0 {
		return nil, nil
	}
	for _, f := range files {
		defer f.Close()
	}
	ln, err := net.FileListener(files[0])
	if err != nil {
		return nil, err
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	return ln, nil
}

// filesOf are copies of a net.Listener's socket.
func filesOf(ln net.Listener) ([]*os.File, error) {
	f, ok := ln.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, errors.ErrUnsupported
	}
	one, err := f.File()
	if err != nil {
		return nil, err
	}
	return []*os.File{one}, nil
}
