package program

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// installed is a gatewhy at a path of its own, which can be replaced while it runs.
type installed struct {
	*process
	path, dir string
	pid       int // of the process that serves
}

// install starts gatewhy run with a file of that text from a copy of the program.
func install(t *testing.T, text string, more ...string) *installed {
	t.Helper()
	dir := t.TempDir()
	i := &installed{path: filepath.Join(dir, "gatewhy"), dir: dir}
	i.put(t, binary)
	file := write(t, filepath.Join(dir, "gatewhy.yaml"), text)
	i.process = launchIn(t, more, i.path, "run", "-c", file, "--run-dir", filepath.Join(dir, "r"))
	i.await("looks an incident up")
	i.pid = i.cmd.Process.Pid
	// Successors are no children of ours: the last one is ended by its number.
	t.Cleanup(func() {
		if i.pid != i.cmd.Process.Pid {
			syscall.Kill(i.pid, syscall.SIGKILL)
		}
	})
	return i
}

// put makes another file the program, at once for whoever looks.
func (i *installed) put(t *testing.T, from string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	next := i.path + ".new"
	if err := os.WriteFile(next, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, i.path); err != nil {
		t.Fatal(err)
	}
}

var upgraded = regexp.MustCompile(`^pid (\d+) serves, and pid (\d+) ends what it has begun\n$`)

// upgrade has the program take its own place.
func (i *installed) upgrade() {
	i.t.Helper()
	code, out, talk := run(i.t, "upgrade", "--run-dir", filepath.Join(i.dir, "r"))
	m := upgraded.FindStringSubmatch(out)
	if code != 0 || m == nil || m[2] != strconv.Itoa(i.pid) {
		i.t.Fatalf("upgrade: %d %q %s\nthe log: %s", code, out, talk, i.said())
	}
	i.pid, _ = strconv.Atoi(m[1])
}

// end stops the process that serves, and waits for all of them.
func (i *installed) end() {
	i.t.Helper()
	if code, _, talk := run(i.t, "drain", "--run-dir", filepath.Join(i.dir, "r"), "--pid", strconv.Itoa(i.pid)); code != 0 {
		i.t.Errorf("drain: %d %s", code, talk)
	}
	<-i.done // when nobody holds its output any more
	i.pid = i.cmd.Process.Pid
}

// upgrades is how often TestUpgradeUnderLoad upgrades.
const upgrades = 10

// The program takes its own place again and again, and nobody who connects, asks, or is in
// the middle of something notices.
func TestUpgradeUnderLoad(t *testing.T) {
	for _, engine := range []string{"epoll", "portable"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			app := called(t, "app")
			gate := make(chan struct{})
			slow := script(t, func(c net.Conn, in *bufio.Reader) {
				h, ok := head(in)
				switch {
				case !ok:
				case strings.Contains(strings.ToLower(h), "upgrade: echo"):
					io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
					io.Copy(c, in)
				default:
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlo")
					<-gate
					io.WriteString(c, "ng")
				}
			})
			at, admin := free(t), free(t)
			dir := t.TempDir()
			sock := filepath.Join(dir, "web.sock")
			i := install(t, fmt.Sprintf(`
listen: { http: [%s, "unix:%s"] }
upstreams: { app: { to: %q, retry: 1 } }
sites:
  "http://any": app
  "http://slow.example": %s
admin: { listen: %s }
engine: %s
log: json
`, at, sock, app, slow, admin, engine))
			dial := func(ask string) (net.Conn, *bufio.Reader) {
				c, err := net.Dial("tcp", at)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				c.SetDeadline(time.Now().Add(4 * patience))
				io.WriteString(c, ask)
				return c, bufio.NewReader(c)
			}
			// An answer and a tunnel are under way all the time.
			_, long := dial("GET / HTTP/1.1\r\nHost: slow.example\r\nConnection: close\r\n\r\n")
			if h, ok := head(long); !ok || !strings.HasPrefix(h, "HTTP/1.1 200 ") {
				t.Fatalf("the long answer begins with %q", h)
			}
			tunnel, echo := dial("GET / HTTP/1.1\r\nHost: slow.example\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
			if h, ok := head(echo); !ok || !strings.HasPrefix(h, "HTTP/1.1 101 ") {
				t.Fatalf("the tunnel begins with %q", h)
			}

			var load sync.WaitGroup
			var stop atomic.Bool
			var count atomic.Int64
			for n, u := range []string{"http://" + at, "http://" + at, "http://" + at, "http://unix", "http://" + admin + "/healthz"} {
				transport := &http.Transport{DisableKeepAlives: n != 1}
				if n == 3 {
					transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
						return (&net.Dialer{}).DialContext(ctx, "unix", sock)
					}
				}
				client := &http.Client{Timeout: patience, Transport: transport}
				load.Go(func() { // ends when stop is set
					defer transport.CloseIdleConnections()
					for !stop.Load() {
						r, err := client.Get(u)
						if err != nil {
							t.Errorf("%s: %v", u, err)
							return
						}
						body, err := io.ReadAll(r.Body)
						r.Body.Close()
						if err != nil || r.StatusCode != 200 {
							t.Errorf("%s: %d %v %.300q", u, r.StatusCode, err, body)
							return
						}
						count.Add(1)
					}
				})
			}
			for n := range upgrades {
				i.upgrade()
				word := fmt.Sprint("word ", n, "\n")
				io.WriteString(tunnel, word)
				if got, err := echo.ReadString('\n'); got != word {
					t.Fatalf("the tunnel says %q after upgrade %d, %v", got, n, err)
				}
				// What is asked now is asked of the one that serves.
				code, out, _ := run(t, "status", "--json", "--run-dir", filepath.Join(i.dir, "r"))
				if code != 0 || !strings.Contains(out, fmt.Sprintf(`"pid": %d`, i.pid)) {
					t.Errorf("status: %d %s, want pid %d", code, out, i.pid)
				}
			}
			stop.Store(true)
			load.Wait()
			close(gate)
			if rest, err := io.ReadAll(long); err != nil || string(rest) != "long" {
				t.Errorf("the answer that was under way: %q, %v", rest, err)
			}
			tunnel.Close()
			t.Logf("%d requests and %d upgrades", count.Load(), upgrades)
			i.end()
			if strings.Contains(i.printed(), `"fault"`) {
				t.Errorf("a fault:\n%.2000s", i.printed())
			}
		})
	}
}

// A program that does not come to serve changes nothing, wherever it ends.
func TestUpgradeThatFails(t *testing.T) {
	at := free(t)
	dir := t.TempDir()
	sock, cert := filepath.Join(dir, "web.sock"), filepath.Join(dir, "cert.pem")
	secure := free(t)
	need(t, "openssl")
	if out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", filepath.Join(dir, "key.pem"), "-out", cert,
		"-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	key, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	write(t, cert, string(pem)+string(key))
	text := fmt.Sprintf(`
include: more*.yaml
listen: { http: [%s, "unix:%s"], https: %s }
tls: %s
sites:
  "http://any": %s
  "https://localhost": %[5]s
upgrade-timeout: %%s
engine: { loops: 1 }
log: { file: %s }
`, at, sock, secure, cert, called(t, "app"), filepath.Join(dir, "access.log"))
	i := install(t, fmt.Sprintf(text, "10s"))
	config := filepath.Join(i.dir, "gatewhy.yaml")
	serves := func(when string) {
		t.Helper()
		if got := curl(t, "http://"+at+"/"); got != "app" {
			t.Errorf("%s: %q", when, got)
		}
		if got := curl(t, "--unix-socket", sock, "http://a/"); got != "app" {
			t.Errorf("%s, by the unix socket: %q", when, got)
		}
	}
	fails := func(when, want string) {
		t.Helper()
		code, _, talk := run(t, "upgrade", "--run-dir", filepath.Join(i.dir, "r"))
		if code != 1 || !strings.Contains(talk, want) {
			t.Errorf("%s: exit code %d, %q, want %q; the log %s", when, code, talk, want, i.said())
		}
		i.await("no upgrade, this process goes on")
		serves(when)
	}

	// Programs that are none.
	script := filepath.Join(dir, "script")
	for _, c := range []struct{ name, script, want string }{
		{"it ends", "exit 7", "it ended with exit code 7 before it served"},
		{"it closes all and ends", "exec 3>&- 4>&- 5>&- 6>&-; exit 0", "it ended with exit code 0 before it served"},
		{"it is killed", "kill -9 $$", "it ended before it served: signal: killed"},
		{"it says something else", "echo nonsense >&6; exec sleep 100", `it said "nonsen" instead of that it serves, and was killed`},
		{"it says half of it", "printf rea >&6; kill -9 $$", "before it served"},
	} {
		write(t, script, "#!/bin/sh\n"+c.script+"\n")
		i.put(t, script)
		fails(c.name, c.want)
	}
	write(t, script, "no program")
	i.put(t, script)
	fails("no program", "cannot be started")

	// One that takes too long. The limit is of the configuration in force.
	write(t, config, fmt.Sprintf(text, "200ms"))
	if code, _, talk := run(t, "reload", "--run-dir", filepath.Join(i.dir, "r")); code != 0 {
		t.Fatalf("reload: %s", talk)
	}
	write(t, script, "#!/bin/sh\nexec sleep 100\n")
	i.put(t, script)
	fails("it hangs", "it did not serve within 200ms, and was killed")
	i.put(t, binary)
	write(t, config, fmt.Sprintf(text, "10s"))
	if code, _, talk := run(t, "reload", "--run-dir", filepath.Join(i.dir, "r")); code != 0 {
		t.Fatalf("reload: %s", talk)
	}

	// One whose configuration is wrong, and one that has one more place to listen on,
	// which is taken: it has taken the sockets over already.
	write(t, config, "sites: { any: nonsense }\n")
	fails("a wrong configuration", "it ended with exit code 3 before it served")
	write(t, config, strings.Replace(fmt.Sprintf(text, "10s"), "http: [", "http: ["+called(t, "other")+", ", 1))
	fails("a port that is taken", "it ended with exit code 1 before it served")
	write(t, config, fmt.Sprintf(text, "10s"))

	// One that is killed while it reads its files.
	for _, name := range []string{filepath.Join(i.dir, "more.yaml"), cert, filepath.Join(dir, "access.log")} {
		before, _ := os.ReadFile(name)
		os.Remove(name)
		if err := syscall.Mkfifo(name, 0o600); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { // ends with the child
			defer close(done)
			code, _, talk := run(t, "upgrade", "--run-dir", filepath.Join(i.dir, "r"))
			if code != 1 || !strings.Contains(talk, "it ended before it served: signal: killed") {
				t.Errorf("killed while it reads %s: %d %q", name, code, talk)
			}
		}()
		killChild(t, i.pid)
		<-done
		os.Remove(name)
		if name != filepath.Join(i.dir, "more.yaml") {
			write(t, name, string(before))
		}
		serves("killed while it reads " + name)
	}

	// After all this it can be upgraded.
	i.upgrade()
	serves("upgraded")
	i.end()
}

// killChild waits for a child of pid and kills it.
func killChild(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, name := range tasks {
			b, _ := os.ReadFile(name)
			for _, f := range strings.Fields(string(b)) {
				child, err := strconv.Atoi(f)
				if err != nil {
					t.Fatal(err)
				}
				// A zombie was killed before.
				if stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child)); len(stat) > 0 && !strings.Contains(string(stat), ") Z ") {
					syscall.Kill(child, syscall.SIGKILL)
					return
				}
			}
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("there is no child")
}

// The service manager follows, and the new process gives the signs of life.
func TestUpgradeNotifies(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "notify")
	ln, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	i := install(t, fmt.Sprintf("listen: 127.0.0.1:0\nsites: { any: %s }\n", called(t, "app")), "NOTIFY_SOCKET="+at, "WATCHDOG_USEC=300000")
	i.signal(syscall.SIGUSR2)
	var all []string
	heard := func(want string) {
		t.Helper()
		ln.SetReadDeadline(time.Now().Add(patience))
		for b := make([]byte, 4096); ; {
			n, err := ln.Read(b)
			if err != nil {
				t.Fatalf("waited for %s: %v after %q", want, err, all)
			}
			all = append(all, string(b[:n]))
			if strings.HasPrefix(string(b[:n]), want) {
				return
			}
		}
	}
	heard("READY=1")
	heard("READY=1") // of the new one
	heard("MAINPID=")
	i.pid, _ = strconv.Atoi(strings.TrimPrefix(all[len(all)-1], "MAINPID="))
	heard("WATCHDOG=1")
	syscall.Kill(i.pid, syscall.SIGTERM)
	heard("STOPPING=1")
	<-i.done
	if n := strings.Count(strings.Join(all, "\n"), "STOPPING=1"); n != 1 {
		t.Errorf("%d of the two said that the service stops: %q", n, all)
	}
}

// Sockets of a service manager are used where they are wanted, and told of where not.
func TestSocketActivation(t *testing.T) {
	tool := need(t, "systemd-socket-activate")
	for _, engine := range []string{"epoll", "portable"} {
		t.Run(engine, func(t *testing.T) {
			dir := t.TempDir()
			at, other := free(t), free(t)
			sock := filepath.Join(dir, "web.sock")
			file := write(t, filepath.Join(dir, "gatewhy.yaml"), fmt.Sprintf("listen: [%s, \"unix:%s\"]\nengine: { name: %s, loops: 2 }\nsites: { any: %s }\n", at, sock, engine, called(t, "app")))
			p := launch(t, tool, "-l", at, "-l", sock, "-l", other, binary, "run", "-c", file, "--run-dir", filepath.Join(dir, "r"))
			ready(t, p, at)
			// The first connection starts it, and is served.
			for range 20 {
				if got := curl(t, "http://"+at+"/"); got != "app" {
					t.Errorf("%q", got)
				}
				if got := curl(t, "--unix-socket", sock, "http://a/"); got != "app" {
					t.Errorf("by the unix socket: %q", got)
				}
			}
			p.await("a socket on " + other + " was handed over, and nothing listens there by these settings: it is closed")
			p.stop()
			if _, err := os.Stat(sock); err != nil {
				t.Errorf("the manager's socket is gone: %v", err)
			}
		})
	}
}
