package program

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A service manager hears when the gateway is ready, reloads, lives and stops.
func TestNotify(t *testing.T) {
	for _, engine := range []string{"portable", "epoll"} {
		t.Run(engine, func(t *testing.T) {
			dir := t.TempDir()
			at := filepath.Join(dir, "notify")
			ln, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			heard := func(want string) string {
				t.Helper()
				ln.SetReadDeadline(time.Now().Add(patience))
				var all []string
				for b := make([]byte, 4096); ; {
					n, err := ln.Read(b)
					if err != nil {
						t.Fatalf("waited for %s: %v after %q", want, err, all)
					}
					all = append(all, string(b[:n]))
					if strings.Contains("\n"+string(b[:n])+"\n", "\n"+want+"\n") {
						return string(b[:n])
					}
				}
			}
			file := write(t, filepath.Join(dir, "gatewhy.yaml"), fmt.Sprintf("listen: 127.0.0.1:0\nengine: %s\nsites: { any: %s }\n", engine, called(t, "app")))
			made := filepath.Join(dir, "r")
			p := launchIn(t, []string{"NOTIFY_SOCKET=" + at, "WATCHDOG_USEC=300000", "RUNTIME_DIRECTORY=" + made}, binary, "run", "-c", file)
			if s := heard("READY=1"); !strings.Contains(s, "\nSTATUS=127.0.0.1:") || !strings.Contains(s, "of 1 endpoint up") {
				t.Errorf("%q", s)
			}
			for range 3 {
				heard("WATCHDOG=1")
			}
			p.await("looks an incident up")
			// In the directory that was made for it, where root finds it: the service has
			// temporary files of its own.
			if sockets, _ := filepath.Glob(filepath.Join(made, "*.sock")); len(sockets) != 1 {
				t.Errorf("the sockets in RUNTIME_DIRECTORY are %v", sockets)
			}
			p.signal(syscall.SIGHUP)
			if s := heard("RELOADING=1"); !strings.Contains(s, "\nMONOTONIC_USEC=") {
				t.Errorf("%q", s)
			}
			heard("READY=1")
			p.signal(syscall.SIGTERM)
			heard("STOPPING=1")
			<-p.done
		})
	}
}

// The unit that we ship is one, and lets the service do little.
func TestUnit(t *testing.T) {
	tool := need(t, "systemd-analyze")
	text, err := os.ReadFile("../../deploy/systemd/gatewhy.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := write(t, filepath.Join(t.TempDir(), "gatewhy.service"), strings.ReplaceAll(string(text), "/usr/bin/gatewhy", binary))
	if out, err := exec.Command(tool, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	socket, err := os.ReadFile("../../deploy/systemd/gatewhy.socket")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "verify", "--man=no", write(t, filepath.Join(filepath.Dir(unit), "gatewhy.socket"), string(socket))).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	// 100 is a service that may do everything; those that Debian ships are at 96.
	if out, err := exec.Command(tool, "security", "--offline=true", "--threshold=25", "--no-pager", unit).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
