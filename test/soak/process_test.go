package soak

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/cli"
)

// gatewayRole is the variable that makes the test binary something else. "gateway"
// is the program itself: the same command line, in a process of its own, which tells
// its counts when asked. "origin" is a server in a process that can be stopped.
const gatewayRole = "GATEWHY_SOAK_ROLE"

// gatewayFiles is the variable with the number of files that the program may open.
const gatewayFiles = "GATEWHY_SOAK_FILES"

func TestMain(m *testing.M) {
	switch os.Getenv(gatewayRole) {
	case "":
		os.Exit(m.Run())
	case "origin":
		serveAlone(os.NewFile(3, "listener"))
		return
	}
	os.Unsetenv(gatewayRole)
	if n, err := strconv.ParseUint(os.Getenv(gatewayFiles), 10, 64); err == nil {
		l := syscall.Rlimit{Cur: n, Max: n}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	go tell(os.Stdin, os.NewFile(3, "counts")) // ends with the process
	os.Exit(cli.Main(context.Background(), os.Args[1:]))
}

// counts is what a process holds.
type counts struct {
	Tasks int   // goroutines; coroutines count as such
	Files int   // descriptors
	Heap  int64 // bytes that live after a collection
	RSS   int64 // bytes
}

// tell answers each line with counts.
func tell(in io.Reader, out io.Writer) {
	enc := json.NewEncoder(out)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		runtime.GC() // what finalizers and pools let go is gone with the next one
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		enc.Encode(counts{Tasks: runtime.NumGoroutine(), Heap: int64(m.HeapAlloc)})
	}
}

// process is a running gateway.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	log  string        // path of its access log
	ask  io.WriteCloser
	told *json.Decoder
	// where it listens
	plain, secure string
	trust         *x509.CertPool // who signed its certificate

	mu     sync.Mutex
	said   strings.Builder
	change *sync.Cond
}

// Write keeps what the program says on standard error.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.change.Broadcast()
	return p.said.Write(b)
}

var shown = regexp.MustCompile(`(https?)://(127\.0\.0\.1:\d+)(\s+→|\n)`)

// certificate signs itself.
type certificate struct {
	certFile, keyFile string
	pool              *x509.CertPool
}

// certified is a name in it, as is 127.0.0.1.
const certified = "example.com"

// newCertificate takes the one of httptest.
func newCertificate(t *testing.T) *certificate {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pair, dir := s.TLS.Certificates[0], t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	c := &certificate{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), x509.NewCertPool()}
	c.pool.AddCert(s.Certificate())
	for path, block := range map[string]*pem.Block{
		c.certFile: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		c.keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// launch starts gatewhy proxy on free ports.
func launch(t *testing.T, cert *certificate, args ...string) *process {
	t.Helper()
	return launchIn(t, nil, cert, args...)
}

// launchIn is launch with more variables.
func launchIn(t *testing.T, env []string, cert *certificate, args ...string) *process {
	t.Helper()
	dir, err := os.MkdirTemp("", "gatewhy-soak-") // short: the path of a socket has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &process{done: make(chan struct{}), log: filepath.Join(dir, "access.log"), trust: cert.pool}
	p.change = sync.NewCond(&p.mu)
	p.cmd = exec.Command(os.Args[0], append([]string{"proxy", "127.0.0.1:0,https://127.0.0.1:0", "--run-dir", filepath.Join(dir, "r"),
		"--log", "json", "--log-file", p.log, "--tls-cert", cert.certFile, "--tls-key", cert.keyFile}, args...)...)
	p.cmd.Env = append(append(os.Environ(), env...), gatewayRole+"=gateway", "TMPDIR="+dir)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	counts, told, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.ExtraFiles, p.told = []*os.File{told}, json.NewDecoder(counts)
	if p.ask, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	told.Close()
	go func() { // ends with the program
		p.cmd.Wait()
		p.mu.Lock()
		close(p.done)
		p.mu.Unlock()
		p.change.Broadcast()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
		counts.Close()
	})
	said := p.await(t, "looks an incident up")
	for _, m := range shown.FindAllStringSubmatch(said, -1) {
		if m[1] == "http" && p.plain == "" { // the upstreams follow
			p.plain = m[2]
		} else if m[1] == "https" && p.secure == "" && m[2] != p.plain {
			p.secure = m[2]
		}
	}
	if p.plain == "" || p.secure == "" {
		t.Fatalf("it does not say where it listens:\n%s", said)
	}
	return p
}

// await waits until the program has said the words, and returns all that it has said.
func (p *process) await(t *testing.T, words string) string {
	t.Helper()
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
	for !strings.Contains(p.said.String(), words) {
		ended := false
		select {
		case <-p.done:
			ended = true
		default:
		}
		if late || ended {
			t.Fatalf("waited for %q (program ended: %t):\n%s", words, ended, p.said.String())
		}
		p.change.Wait()
	}
	return p.said.String()
}

func (p *process) words() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// count asks the process what it holds.
func (p *process) count(t *testing.T) (c counts) {
	t.Helper()
	if _, err := io.WriteString(p.ask, "count\n"); err != nil {
		t.Fatalf("the gateway has ended: %v\n%s", err, p.words())
	}
	if err := p.told.Decode(&c); err != nil {
		t.Fatalf("the gateway has ended: %v\n%s", err, p.words())
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	c.Files = len(files)
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		t.Fatal(err)
	}
	c.RSS = resident * int64(os.Getpagesize())
	return c
}

// settle counts until tasks and descriptors are at most those of the limits.
func (p *process) settle(t *testing.T, most counts) counts {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for {
		c := p.count(t)
		if c.Tasks <= most.Tasks && c.Files <= most.Files {
			return c
		}
		select {
		case <-tick.C: // the kernel tells nobody
		case <-end:
			files, _ := exec.Command("ls", "-l", fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid)).Output() // for people
			p.cmd.Process.Signal(syscall.SIGABRT)                                                        // its stacks
			<-p.done
			t.Fatalf("after all clients have gone it holds %+v, at most %+v before\n%s\n%s", c, most, files, p.words())
		}
	}
}

// stop ends the gateway as a supervisor does.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("it does not end:\n%s", p.words())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d after SIGTERM:\n%s", code, p.words())
	}
}
