// Package program runs the whole program as a user would: the built binary, real
// servers behind it, curl and a browser in front.
//
// Everything is on loopback and bounded in time. A tool that is missing skips its
// test, loudly; with CI=true it fails it.
package program

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// patience bounds every wait for something that is about to happen. It passes
// only when a test fails.
const patience = 20 * time.Second

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gatewhy-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "gatewhy")
	out, err := exec.Command("go", "build", "-o", binary, "../..").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// need finds a program that a test cannot do without.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed, and CI must not skip this", name)
	}
	t.Skipf("NOT TESTED: %s is not installed", name)
	return ""
}

// process is a running program whose output is watched.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of Wait, after done

	mu     sync.Mutex
	out    bytes.Buffer
	talk   bytes.Buffer
	change *sync.Cond
}

// environment is the little that a program under test sees, so that the
// machine's own settings do not matter.
func environment(dir string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "XDG_RUNTIME_DIR=" + dir, "LC_ALL=C"}
}

// launch starts a program and sees to it that it ends with the test.
func launch(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return launchIn(t, nil, name, args...)
}

// launchIn is launch with more of an environment.
func launchIn(t *testing.T, more []string, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...), done: make(chan struct{})}
	p.change = sync.NewCond(&p.mu)
	p.cmd.Env = append(environment(t.TempDir()), more...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stdout, p.cmd.Stderr = sink{p, &p.out}, sink{p, &p.talk}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the program
		p.err = p.cmd.Wait()
		p.mu.Lock()
		close(p.done)
		p.mu.Unlock()
		p.change.Broadcast()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

type sink struct {
	p *process
	b *bytes.Buffer
}

func (s sink) Write(b []byte) (int, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	defer s.p.change.Broadcast()
	return s.b.Write(b)
}

// await waits until the program has said the words on standard error, and returns
// all that it has said.
func (p *process) await(words string) string {
	p.t.Helper()
	return p.awaitTimes(words, 1)
}

// awaitTimes is await for words that are said again and again.
func (p *process) awaitTimes(words string, times int) string {
	p.t.Helper()
	return p.awaitIn(&p.talk, words, times)
}

// awaitPrinted is await for what the program writes to standard output.
func (p *process) awaitPrinted(words string) string {
	p.t.Helper()
	return p.awaitIn(&p.out, words, 1)
}

func (p *process) awaitIn(b *bytes.Buffer, words string, times int) string {
	p.t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		p.mu.Lock()
		late = true
		p.mu.Unlock()
		p.change.Broadcast()
	})
	defer timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for strings.Count(b.String(), words) < times {
		ended := false
		select {
		case <-p.done:
			ended = true
		default:
		}
		if late || ended {
			p.t.Fatalf("waited for %q (program ended: %t):\n%s%s", words, ended, p.talk.String(), p.out.String())
		}
		p.change.Wait()
	}
	return b.String()
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.talk.String()
}

func (p *process) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// signal sends one.
func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// ended waits for the end and returns the exit code.
func (p *process) ended() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("it does not end:\n%s", p.said())
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop ends a proxy as a supervisor does.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.ended(); code != 0 {
		p.t.Errorf("exit code %d after SIGTERM:\n%s", code, p.said())
	}
}

// gateway is a running proxy.
type gateway struct {
	*process
	address string // 127.0.0.1:PORT
	dir     string // of its socket
}

var shown = regexp.MustCompile(`http://127\.0\.0\.1:(\d+) +→`)

// proxy starts gatewhy proxy on a free port and waits until it has said how its
// upstreams are.
func proxy(t *testing.T, args ...string) *gateway {
	t.Helper()
	dir := t.TempDir()
	p := launch(t, binary, append([]string{"proxy", "127.0.0.1:0", "--run-dir", filepath.Join(dir, "r")}, args...)...)
	said := p.await("looks an incident up")
	m := shown.FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("it does not say where it listens:\n%s", said)
	}
	return &gateway{p, "127.0.0.1:" + m[1], filepath.Join(dir, "r")}
}

// run runs the program to its end.
func run(t *testing.T, args ...string) (code int, out, talk string) {
	t.Helper()
	p := launch(t, binary, args...)
	code = p.ended()
	return code, p.printed(), p.said()
}

// curl runs curl and returns what it printed.
func curl(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(need(t, "curl"), append([]string{"-sS", "--max-time", "20", "--noproxy", "*"}, args...)...)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil {
		t.Fatalf("curl %s: %v: %s", strings.Join(args, " "), err, talk.String())
	}
	return out.String()
}

// free is a port of loopback that was free a moment ago.
func free(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// ready waits until somebody accepts connections at the address.
func ready(t *testing.T, p *process, address string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-p.done:
			t.Fatalf("%s has ended: %s", p.cmd.Path, p.said())
		case <-end:
			t.Fatalf("nobody listens on %s: %s", address, p.said())
		}
	}
}

// script is an upstream whose connections run f.
func script(t *testing.T, f func(c net.Conn, in *bufio.Reader)) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() { // ends when ln is closed
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { // ends with the connection, or by its deadline
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience))
				f(c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		conns.Wait()
	})
	return ln.Addr().String()
}

// head reads the head of a request; false at the end of the connection.
func head(in *bufio.Reader) (string, bool) {
	var b strings.Builder
	for {
		line, err := in.ReadString('\n')
		b.WriteString(line)
		switch {
		case err != nil:
			return b.String(), false
		case line == "\r\n":
			return b.String(), true
		}
	}
}

// answering answers each request with the same bytes and keeps the connection.
func answering(raw string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, in *bufio.Reader) {
		for {
			if _, ok := head(in); !ok {
				return
			}
			if _, err := io.WriteString(c, raw); err != nil {
				return
			}
		}
	}
}

// What differs from run to run in what the program says.
var changing = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`gatewhy \d+\.\d+\.\d+`), "gatewhy VERSION"},
	{regexp.MustCompile(`pid \d+`), "pid PID"},
	{regexp.MustCompile(`(127\.0\.0\.1|localhost|\[::1?\]):\d+`), "$1:PORT"},
	{regexp.MustCompile(`\b\d+(\.\d+)? ms\b`), "N ms"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "TIME"},
	{regexp.MustCompile(`incident [0-9A-HJKMNP-TV-Z]{8}\b`), "incident INCIDENT"},
	{regexp.MustCompile(`, \d+(\.\d+)?[a-zµ]*s? old and idle for \d+(\.\d+)?[a-zµ]*s?,`), ", AGE old and idle for AGE,"},
	{regexp.MustCompile(` +\n`), "\n"},
}

func normal(s string) string {
	for _, c := range changing {
		s = c.what.ReplaceAllString(s, c.with)
	}
	return s
}

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run go test ./test/program -update and look at it", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// appears waits for a file.
func appears(t *testing.T, p *process, path string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-p.done:
			t.Fatalf("it has ended: %s", p.said())
		case <-end:
			t.Fatalf("%s does not appear: %s", path, p.said())
		}
	}
}
