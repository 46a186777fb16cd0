package cli

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/listen"
)

// cannotListen explains why the gateway did not start. another says how to have a
// place that is free instead of one that is taken.
func cannotListen(err error, all listens, another func(taken, free string) string) error {
	var where *gateway.ListenError
	if !errors.As(err, &where) {
		return failed(err, "")
	}
	at := all.at(where.Address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && at.Path != "":
		return failed(fmt.Errorf("cannot listen on %s: another process listens there", at.Written()), "stop it, or name another path")
	case errors.Is(err, syscall.EADDRINUSE):
		who := "another process"
		if p := listener(at.Port); p != "" {
			who = p
		}
		hint := "stop it, or name another port"
		if next := freePort(at.Place); next != 0 {
			hint = "stop it, or take the next free port: " + another(at.Written(), at.WithPort(next))
		}
		return failed(fmt.Errorf("cannot listen on %s: %s listens there", at.Written(), who), hint)
	case errors.Is(err, syscall.EACCES) && at.Port > 0 && at.Port < 1024:
		return failed(fmt.Errorf("cannot listen on %s: ports below 1024 need a privilege", at.Written()),
			"take :8080, or give it to the program once: setcap cap_net_bind_service=+ep "+program())
	}
	return failed(err, "")
}

func program() string {
	if p, err := os.Executable(); err == nil {
		return p
	}
	return "gatewhy"
}

// portsTried bounds the search for a free port.
const portsTried = 100

// freePort returns the next port after the one at that is free there, 0 if none
// is near.
func freePort(at *listen.Place) uint16 {
	for p := int(at.Port) + 1; p <= int(at.Port)+portsTried && p < 1<<16; p++ {
		free := true
		for _, a := range at.Alternatives[len(at.Alternatives)-1] {
			ln, err := net.Listen("tcp", net.JoinHostPort(a.IP.Addr().String(), strconv.Itoa(p)))
			if err != nil {
				free = false
				break
			}
			ln.Close()
		}
		if free {
			return uint16(p)
		}
	}
	return 0
}

// listener names the process that listens on a TCP port of this machine, "" if
// it cannot be found: on systems without /proc, and for processes of other users.
func listener(port uint16) string {
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		listening(table, port, inodes)
	}
	if len(inodes) == 0 {
		return ""
	}
	dirs, _ := filepath.Glob("/proc/[0-9]*/fd")
	for _, dir := range dirs {
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue // not ours to look into
		}
		for _, fd := range fds {
			link, err := os.Readlink(filepath.Join(dir, fd.Name()))
			inode, ok := strings.CutPrefix(link, "socket:[")
			if err == nil && ok && inodes[strings.TrimSuffix(inode, "]")] {
				return processAt(filepath.Dir(dir))
			}
		}
	}
	return ""
}

// listening collects the inodes of the sockets that listen on the port, from a
// table as proc(5) describes it.
func listening(table string, port uint16, inodes map[string]bool) {
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer f.Close()
	const listen = "0A"
	for s := bufio.NewScanner(f); s.Scan(); {
		// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
		f := strings.Fields(s.Text())
		if len(f) < 10 || f[3] != listen {
			continue
		}
		_, hex, _ := strings.Cut(f[1], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); err == nil && uint16(n) == port {
			inodes[f[9]] = true
		}
	}
}

// processAt names the process of a folder in /proc.
func processAt(dir string) string {
	name, err := os.ReadFile(filepath.Join(dir, "comm"))
	if err != nil {
		return "process " + filepath.Base(dir)
	}
	return fmt.Sprintf("%s (pid %s)", printable(strings.TrimSpace(string(name))), filepath.Base(dir))
}

// printable keeps what a process calls itself from acting on the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffd {
			return '?'
		}
		return r
	}, s)
}
