package program

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

func TestStartOutput(t *testing.T) {
	up := script(t, answering(hello))
	g := proxy(t, up, free(t), script(t, answering("SSH-2.0-OpenSSH_9.2p1\r\n")))
	golden(t, "start.txt", normal(g.said()))
	g.stop()
}

// A gateway that is told to stand in front of itself says so at once.
func TestStartBeforeItself(t *testing.T) {
	address := free(t)
	p := launch(t, binary, "proxy", address, address, "--run-dir", filepath.Join(t.TempDir(), "r"))
	if said := p.await("looks an incident up"); !strings.Contains(said, "bad   ") || !strings.Contains(said, "gatewhy explain loop_self_address") {
		t.Errorf("it said\n%s", said)
	}
	if got := curl(t, "-o", os.DevNull, "-w", "%{http_code}", "http://"+address); got != "502" {
		t.Errorf("status %s, want 502 and no loop", got)
	}
	p.stop()
}

func TestStartOutputWithoutLog(t *testing.T) {
	g := proxy(t, script(t, answering(hello)), "--log", "off", "--retry-attempts", "1", "--no-repair")
	golden(t, "start-off.txt", normal(g.said()))
	if got := curl(t, "http://"+g.address); got != "hello" {
		t.Errorf("answer %q", got)
	}
	g.stop()
	if out := g.printed(); out != "" {
		t.Errorf("a log although it is off: %s", out)
	}
}

func TestPortTaken(t *testing.T) {
	g := proxy(t, script(t, answering(hello)))
	code, out, talk := run(t, "proxy", g.address, "localhost:3000", "--retry-attempts", "2")
	if code != 1 || out != "" {
		t.Errorf("exit code %d, output %q", code, out)
	}
	want := fmt.Sprintf("error: cannot listen on %s: gatewhy (pid %d) listens there\n", g.address, g.cmd.Process.Pid)
	if !strings.HasPrefix(talk, want) {
		t.Errorf("it said\n%s\nwant\n%s", talk, want)
	}
	next := regexp.MustCompile(`hint:  stop it, or take the next free port: gatewhy proxy (127\.0\.0\.1:\d+) localhost:3000\n`).FindStringSubmatch(talk)
	if next == nil || next[1] == g.address {
		t.Fatalf("no free port is offered:\n%s", talk)
	}
	ln, err := net.Listen("tcp", next[1])
	if err != nil {
		t.Fatalf("the port that is offered is not free: %v", err)
	}
	ln.Close()
}

func TestUpstreamDownThenUp(t *testing.T) {
	address := free(t)
	g := proxy(t, address)
	g.await("waiting   " + address + " refuses connections: nothing listens there (started yet?)")
	if got := curl(t, "-o", os.DevNull, "-w", "%{http_code}", "http://"+g.address); got != "502" {
		t.Errorf("status %s before it is up", got)
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "here")
	})}}
	server.Start()
	defer server.Close()
	g.await("up, HTTP/1.1, answered 200 in ")
	if got := curl(t, "http://"+g.address); got != "here" {
		t.Errorf("answer %q", got)
	}
	g.stop()
}

// A stop waits for the request under way, takes no new one, and ends well.
func TestDrain(t *testing.T) {
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- struct{}{}
			<-release
		}
		io.WriteString(w, "done")
	}))
	defer up.Close()
	g := proxy(t, up.URL)
	got := make(chan string, 1)
	need(t, "curl")
	go func() { got <- curl(t, "-w", " %{http_code}", "http://"+g.address+"/slow") }() // ends with curl
	<-arrived
	g.signal(syscall.SIGTERM)
	g.await("stopping: requests under way have 30s to end")
	refused(t, g.address)
	select {
	case <-g.done:
		t.Error("it ended before the request did")
	default:
	}
	close(release)
	if answer := <-got; answer != "done 200" {
		t.Errorf("the slow request got %q", answer)
	}
	if code := g.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if left, _ := os.ReadDir(g.dir); len(left) != 0 {
		t.Errorf("left in the run directory: %v", left)
	}
	if n := strings.Count(g.printed(), `"url.path":"/slow"`); n != 1 {
		t.Errorf("the slow request has %d lines in the log:\n%s", n, g.printed())
	}
}

// refused waits until nobody listens any more: the signal's line comes first.
func refused(t *testing.T, address string) {
	t.Helper()
	for range 1000 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		// A listener that is about to close may still take one from its queue.
		io.Copy(io.Discard, c)
		c.Close()
	}
	t.Errorf("%s still accepts connections", address)
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	arrived := make(chan struct{}, 1)
	up := script(t, func(c net.Conn, in *bufio.Reader) {
		for {
			h, ok := head(in)
			if !ok {
				return
			}
			if strings.HasPrefix(h, "GET /never ") {
				arrived <- struct{}{}
				head(in) // never answers: it waits for the end
				return
			}
			io.WriteString(c, hello)
		}
	})
	g := proxy(t, up, "--drain", "10m")
	c, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
	<-arrived
	g.signal(syscall.SIGINT)
	g.await("stopping: requests under way have 10m to end")
	g.signal(syscall.SIGINT)
	if code := g.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// The log has one JSON object a line, with these names.
func TestJSONLog(t *testing.T) {
	up := script(t, answering(hello))
	g := proxy(t, up, free(t))
	for range 4 {
		curl(t, "http://"+g.address+"/cart?token=secret&page=2", "-A", "tester")
	}
	g.stop()
	lines := strings.Split(strings.TrimSpace(g.printed()), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines:\n%s", len(lines), g.printed())
	}
	plain := []string{"attempts", "bytes", "client.address", "duration_ms", "http.request.method", "http.response.status_code", "http.route",
		"kind", "server.address", "server.port", "state", "t", "ts", "upstream", "upstream.status_code", "url.path", "url.query"}
	rescued := slices.Sorted(slices.Values(append(slices.Clone(plain), "fault", "incident", "rescued")))
	saved := 0
	for _, line := range lines {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		keys := slices.Sorted(maps.Keys(m))
		want := plain
		if m["rescued"] != nil {
			saved++
			want = rescued
			if m["fault"] != "connect_refused" || m["rescued"] != true || m["http.response.status_code"] != 200.0 {
				t.Errorf("a rescue is told as %s", line)
			}
		}
		if diff := cmp.Diff(want, keys); diff != "" {
			t.Errorf("names (-want +got):\n%s%s", diff, line)
		}
		if strings.Contains(line, "secret") {
			t.Errorf("a secret is in the log: %s", line)
		}
	}
	if saved == 0 {
		t.Errorf("one of two endpoints refuses connections and no request was rescued:\n%s", g.printed())
	}
}

func TestLogFileIsReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	g := proxy(t, script(t, answering(hello)), "--log-file", path)
	curl(t, "http://"+g.address+"/one")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	g.signal(syscall.SIGUSR1)
	appears(t, g.process, path)
	curl(t, "http://"+g.address+"/two")
	g.stop()
	both := ""
	for _, p := range []string{path + ".1", path} {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		both += string(b)
		if p == path && !strings.Contains(string(b), `"/two"`) {
			t.Errorf("the new file lacks what came after SIGUSR1: %s", b)
		}
	}
	if strings.Count(both, `"/one"`) != 1 || strings.Count(both, `"/two"`) != 1 {
		t.Errorf("lines were lost or doubled:\n%s", both)
	}
	if out := g.printed(); out != "" {
		t.Errorf("the log is also on standard output: %s", out)
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm()&0o007 != 0 {
		t.Errorf("mode of the log: %v, %v", fi.Mode(), err)
	}
}

// A hang-up signal has nothing to reload, and must not end the gateway.
func TestHangUpSignal(t *testing.T) {
	g := proxy(t, script(t, answering(hello)))
	g.signal(syscall.SIGHUP)
	g.await("nothing to read again")
	if got := curl(t, "http://"+g.address); got != "hello" {
		t.Errorf("answer %q", got)
	}
	g.stop()
}

// A log reader that goes away does not take the gateway with it.
func TestLogReaderGone(t *testing.T) {
	up := script(t, answering(hello))
	dir := t.TempDir()
	p := launch(t, need(t, "bash"), "-c", `"$0" proxy 127.0.0.1:0 "$1" --run-dir "$2" | true; wait`, binary, up, filepath.Join(dir, "r"))
	said := p.await("looks an incident up")
	m := shown.FindStringSubmatch(said)
	if m == nil {
		t.Fatal(said)
	}
	for range 3 {
		if got := curl(t, "http://127.0.0.1:"+m[1]); got != "hello" {
			t.Errorf("answer %q", got)
		}
	}
	pid := regexp.MustCompile(`pid (\d+)`).FindStringSubmatch(said)
	var n int
	fmt.Sscan(pid[1], &n)
	if err := syscall.Kill(n, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.ended()
}

func TestUnixSockets(t *testing.T) {
	dir := t.TempDir()
	web, app := filepath.Join(dir, "web.sock"), filepath.Join(dir, "app.sock")
	ln, err := net.Listen("unix", app)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "by socket, for "+r.Host)
	})}}
	server.Start()
	defer server.Close()
	p := launch(t, binary, "proxy", "unix:"+web, "unix:"+app, "--run-dir", filepath.Join(dir, "r"))
	p.await("looks an incident up")
	if got := curl(t, "--unix-socket", web, "http://shop.example/"); got != "by socket, for shop.example" {
		t.Errorf("answer %q", got)
	}
	p.stop()
	if _, err := os.Stat(web); err == nil {
		t.Error("the socket is still there after the end")
	}
}
