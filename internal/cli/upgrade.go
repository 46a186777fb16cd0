package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/gatewhy/gatewhy/internal/admin"
	"github.com/gatewhy/gatewhy/internal/handover"
)

// ownPath is the path by which this program was started, absolute: what stands there at
// an upgrade is the new program. It is found at the start, since the working directory is
// then still the one in which the command was written.
var ownPath = func() string {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		path, _ = os.Executable()
	}
	return path
}()

// errEnding is why a gateway that ends starts nothing.
var errEnding = errors.New("the gateway is ending already")

// upgrade starts the program anew and lets it take our place: it gets our sockets, and
// when it serves, this process ends what it has begun. If it does not come to that, all is as
// before.
func (s *service) upgrade() (pid int, err error) {
	defer func() {
		if err != nil {
			s.e.complain(fmt.Errorf("no upgrade, this process goes on: %w", err), "")
		}
	}()
	s.reloading.Lock() // a reload changes the sockets
	defer s.reloading.Unlock()
	p, _ := s.now()
	switch {
	case s.gateway.Stopping() || s.heir.Load() != 0:
		return 0, errEnding
	case p.loaded != nil && p.read == nil:
		return 0, errors.New("the configuration came from standard input, which cannot be read again")
	}
	sockets, err := s.gateway.Sockets()
	if err != nil {
		return 0, err
	}
	next := handover.Successor{Path: ownPath, Args: os.Args, Env: s.notify.environment(), Timeout: p.upgrade}
	for _, socket := range sockets {
		defer socket.File.Close()
		next.Sockets = append(next.Sockets, handover.Socket(socket))
	}
	if m := s.public.Load(); m != nil {
		f, err := m.File()
		if err != nil {
			return 0, err
		}
		defer f.Close()
		next.Sockets = append(next.Sockets, handover.Socket{Name: "admin " + p.admin, File: f})
	}
	if pid, err = next.Start(); err != nil {
		return 0, err
	}
	// From here on there are two of us, and the other one stays.
	s.heir.Store(int64(pid))
	s.gateway.Leave()
	s.notify.handOver(pid)
	s.closePublic()
	s.stop(false)
	return pid, nil
}

func (e *env) upgrade() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use:   "upgrade",
		Short: "Let the program that is installed now take the running gateway's place",
		Long: "Let the program that is installed now take the running gateway's place, as SIGUSR2 does: it is\n" +
			"started with the same arguments and gets the sockets, so that no connection is refused or lost.\n" +
			"When it serves, the old process ends what it has begun. If it cannot, nothing has changed.",
		Example: "  gatewhy upgrade",
		Args:    arguments(cobra.NoArgs, "no argument; --pid chooses among several"),
		RunE: func(c *cobra.Command, _ []string) error {
			socket, state, err := e.find(c.Context(), &t)
			if err != nil {
				return err
			}
			pid, err := admin.PostUpgrade(c.Context(), socket)
			if err != nil {
				return failed(fmt.Errorf("no upgrade: %w", err), fmt.Sprintf("pid %d goes on; what the new program said stands in its log", state.PID))
			}
			fmt.Fprintf(e.out, "pid %d serves, and pid %d ends what it has begun\n", pid, state.PID)
			return nil
		},
	}
	t.addTo(c)
	return c
}
