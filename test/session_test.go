package test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	// The program is built from it; without the import `go test` would take a result
	// from its cache although the program has changed.
	_ "github.com/gatewhy/gatewhy/internal/cli"
)

// patience bounds every wait for something that is about to happen. It passes
// only when a test fails.
const patience = 30 * time.Second

// binary is the program under test.
var binary string

func TestMain(m *testing.M) { os.Exit(build(m)) }

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gatewhy-docs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "gatewhy")
	if out, err := exec.Command("go", "build", "-o", binary, "..").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// need skips a test without a program that it needs; with CI=true it fails it.
func need(t *testing.T, name string) {
	t.Helper()
	_, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is not installed, and CI must not skip this", name)
	default:
		t.Skipf("NOT TESTED: %s is not installed", name)
	}
}

// process is a running command and what it has printed.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	mu     sync.Mutex
	out    bytes.Buffer
	change *sync.Cond // out, or the end
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.change.Broadcast()
	return p.out.Write(b)
}

func (p *process) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// until waits, with p.mu held for each look, until good is true; false if the
// program ends or time passes without that.
func (p *process) until(good func() bool) bool {
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
	for !good() {
		select {
		case <-p.done:
			return false
		default:
		}
		if late {
			return false
		}
		p.change.Wait()
	}
	return true
}

// launch runs a script in dir. It and all that it started end with the test. The
// environment is the little that a user has, so that the machine's own settings
// do not matter.
func launch(t *testing.T, dir, script string) *process {
	t.Helper()
	p := &process{cmd: exec.Command("bash", "-euo", "pipefail", "-c", script), done: make(chan struct{})}
	p.change = sync.NewCond(&p.mu)
	p.cmd.Dir = dir
	p.cmd.Env = []string{"PATH=" + filepath.Dir(binary) + ":" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir,
		"GATEWHY_RUN_DIR=" + filepath.Join(dir, "run"), "CURL_HOME=" + dir, "PYTHONUNBUFFERED=1", "LC_ALL=C.UTF-8"}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Stdout, p.cmd.Stderr = p, p // one writer: as a terminal mixes them
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the script
		p.cmd.Wait()
		p.mu.Lock()
		close(p.done)
		p.mu.Unlock()
		p.change.Broadcast()
	}()
	t.Cleanup(func() {
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM) // the group; it may have ended
		select {
		case <-p.done:
		case <-time.After(patience):
			syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
			<-p.done
		}
	})
	return p
}

// ended waits for the end and returns the exit code.
func (p *process) ended(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("it does not end:\n%s", p.printed())
	}
	return p.cmd.ProcessState.ExitCode()
}

// free is a port that was free a moment ago. It lies below those that the system
// gives to outgoing connections, so that it probably stays free for another moment.
func free(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20_000 + rand.N(12_000))
		if ln, err := net.Listen("tcp", ":"+port); err == nil {
			ln.Close()
			return port
		}
	}
	t.Fatal("no free port found")
	return ""
}

// ready waits until p accepts connections on the port.
func ready(t *testing.T, p *process, port string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		select {
		case <-tick.C:
			if err == nil {
				return
			}
		case <-p.done: // whoever listens, it is not p
			t.Fatalf("it has ended:\n%s", p.printed())
		case <-end:
			t.Fatalf("nobody listens on port %s:\n%s", port, p.printed())
		}
	}
}

// session runs the blocks of one section.
type session struct {
	t       *testing.T
	dir     string
	ports   map[string]string   // as written, as used
	ids     map[string]string   // incidents: as written, as seen
	servers map[string]*process // by port as written
	last    *process            // the last run block
}

// portRE finds the ports that the pages speak of.
var portRE = regexp.MustCompile(`\b(8080|8081|8443|8444|3000|3001|3002|9000)\b`)

func newSession(t *testing.T) *session {
	t.Helper()
	for _, name := range []string{"bash", "curl"} {
		need(t, name)
	}
	// Not t.TempDir: the path of a unix socket has at most 107 bytes.
	dir, err := os.MkdirTemp("", "gatewhy-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) }) // after its servers have ended
	s := &session{t: t, dir: dir, ports: map[string]string{}, ids: map[string]string{}, servers: map[string]*process{}}
	// curl shows its meter when it has no terminal.
	if err := os.WriteFile(filepath.Join(s.dir, ".curlrc"), []byte("silent\nshow-error\nnoproxy = *\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *session) play(sec section) {
	for _, b := range sec.blocks {
		switch b.verb {
		case "file":
			if err := os.WriteFile(filepath.Join(s.dir, b.args), []byte(s.translate(b.text)), 0o600); err != nil {
				s.t.Fatal(err)
			}
		case "run":
			s.run(b)
		case "shows":
			s.shows(b)
		}
	}
}

// translate makes a block runnable here.
func (s *session) translate(text string) string {
	text = strings.ReplaceAll(text, "go run .", "gatewhy")
	text = portRE.ReplaceAllStringFunc(text, func(written string) string {
		for s.ports[written] == "" {
			port := free(s.t)
			if !slices.Contains(slices.Collect(maps.Values(s.ports)), port) { // ours may not listen yet
				s.ports[written] = port
			}
		}
		return s.ports[written]
	})
	for written, seen := range s.ids {
		text = strings.ReplaceAll(text, written, seen)
	}
	return text
}

func (s *session) run(b block) {
	exit, serve, port := 0, false, ""
	for _, word := range strings.Fields(b.args) {
		switch key, value, _ := strings.Cut(word, "="); key {
		case "serve":
			serve = true
		case "port":
			port = value
		case "exit":
			exit, _ = strconv.Atoi(value)
		case "needs":
			need(s.t, value)
		default:
			s.t.Fatalf("line %d: there is no %q in a run comment", b.line, word)
		}
	}
	if serve {
		s.serveAt(b.text, port)
		return
	}
	s.last = launch(s.t, s.dir, s.translate(b.text))
	if code := s.last.ended(s.t); code != exit {
		s.t.Fatalf("line %d: exit code %d, want %d:\n%s", b.line, code, exit, s.last.printed())
	}
}

// serve starts a server and waits until its port, the first one in the command,
// accepts connections.
func (s *session) serve(command string) *process { return s.serveAt(command, "") }

// serveAt is serve for a command that does not say its port itself.
func (s *session) serveAt(command, port string) *process {
	s.t.Helper()
	if port == "" {
		port = portRE.FindString(command)
	}
	s.translate(port)
	if port == "" || strings.Count(strings.TrimSpace(command), "\n") > 0 {
		s.t.Fatalf("a server is one command with a port: %s", command)
	}
	s.last = launch(s.t, s.dir, "exec "+s.translate(command))
	s.servers[port] = s.last
	ready(s.t, s.last, s.ports[port])
	return s.last
}

// shows compares a block with what was printed. Of a server it may come later.
func (s *session) shows(b block) {
	p := s.last
	if b.args != "" {
		p = s.servers[b.args]
	}
	if p == nil {
		s.t.Fatalf("line %d: nothing was run before", b.line)
	}
	pattern, ids := expression(b.text)
	got := ""
	if !p.until(func() bool {
		got = steady(s.untranslate(p.out.String()))
		m := pattern.FindStringSubmatch(got)
		for i := range ids {
			if m != nil {
				s.ids[ids[i]] = m[i+1]
			}
		}
		return m != nil
	}) {
		for port, server := range s.servers {
			s.t.Logf("the server on port %s:\n%s", port, server.printed())
		}
		s.t.Fatalf("line %d (-page +program):\n%s", b.line, cmp.Diff(lines(steady(b.text)), lines(got)))
	}
}

func lines(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") }

// untranslate writes the ports of the page for those that were used.
func (s *session) untranslate(text string) string {
	for written, used := range s.ports {
		text = regexp.MustCompile(`\b`+used+`\b`).ReplaceAllString(text, written)
	}
	return text
}

// varying is what differs from run to run and from machine to machine.
var varying = []struct {
	re *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT`), "DATE"},
	{regexp.MustCompile(`\d{1,2} \w{3} \d{4} [\d:]{8} UTC`), "DATE"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ][\d:]{8}(\.\d+)?( UTC|Z)?`), "DATE"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d(\.\d{3})?`), "CLOCK"},
	{regexp.MustCompile(`\b\d+(\.\d+)? ?(ns|µs|ms|s)\b`), "TIME"},
	{regexp.MustCompile(`ms":\d+(\.\d+)?`), `ms":TIME`},
	{regexp.MustCompile(`(?m)^(\s*)\d+\.\d( +)`), "${1}TIME$2"},
	{regexp.MustCompile(`\bpid \d+`), "pid PID"},
	{regexp.MustCompile(`Content-Length: \d+`), "Content-Length: SIZE"},
	{regexp.MustCompile(`(Via: \d\.\d) \S+`), "$1 NODE"},
	{regexp.MustCompile(`Proxy-Status: [^;\s]+`), "Proxy-Status: NODE"},
	{regexp.MustCompile(`(Server: \w+)/\S+.*`), "$1"},
	{regexp.MustCompile(`\bgo1\.[\d.]+`), "GO"},
	{regexp.MustCompile(`(\[::1\]|127\.0\.0\.1):`), "LOOPBACK:"},
	{regexp.MustCompile(`\r`), ""},
	{regexp.MustCompile(`[ \t]+`), " "},
	{regexp.MustCompile(`(?m) $`), ""},
}

// steady writes a fixed word for each thing that varies.
func steady(s string) string {
	for _, v := range varying {
		s = v.re.ReplaceAllString(s, v.by)
	}
	return strings.TrimSpace(s) + "\n"
}

// incidentRE finds incident ids where pages and programs write them.
var incidentRE = regexp.MustCompile(`(?:[Ii]ncident[": ]+|id=|X-Request-Id: |explain |urn:gatewhy:)([0-9A-HJKMNP-TV-Z]{8})\b`)

// expression is what a printed text has to match, and the incidents that its
// groups capture.
func expression(text string) (re *regexp.Regexp, ids []string) {
	var b strings.Builder
	for _, line := range lines(steady(text)) {
		if strings.TrimSpace(line) == "..." {
			b.WriteString(`(?:[^\n]*\n)*?`)
			continue
		}
		at := 0
		for _, m := range incidentRE.FindAllStringSubmatchIndex(line, -1) {
			b.WriteString(literal(line[at:m[2]]) + `([0-9A-HJKMNP-TV-Z]{8})`)
			ids = append(ids, line[m[2]:m[3]])
			at = m[3]
		}
		b.WriteString(literal(line[at:]) + `\n`)
	}
	return regexp.MustCompile(`^` + b.String() + `$`), ids
}

// literal matches a piece of a line, in which "…" is anything.
func literal(s string) string { return strings.ReplaceAll(regexp.QuoteMeta(s), "…", `[^\n]*`) }
