package program

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// called is an upstream that answers with its name.
func called(t *testing.T, name string) (address string) {
	t.Helper()
	return script(t, answering(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(name), name)))
}

// write writes a file, whole or not at all, and returns its path.
func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// service is a running gatewhy run.
type service struct {
	*process
	address string // the first, 127.0.0.1:PORT
	file    string
	dir     string // of its socket
}

var listening = regexp.MustCompile(`listening +https?://(127\.0\.0\.1:\d+)`)

// serving starts gatewhy run with a file of that text and waits until it has said
// how its upstreams are.
func serving(t *testing.T, text string, args ...string) *service {
	t.Helper()
	return servingIn(t, nil, text, args...)
}

// servingIn is serving with more of an environment.
func servingIn(t *testing.T, more []string, text string, args ...string) *service {
	t.Helper()
	dir := t.TempDir()
	s := &service{file: write(t, filepath.Join(dir, "gatewhy.yaml"), text), dir: filepath.Join(dir, "r")}
	s.process = launchIn(t, more, binary, append([]string{"run", "-c", s.file, "--run-dir", s.dir}, args...)...)
	said := s.await("looks an incident up")
	m := listening.FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("it does not say where it listens:\n%s", said)
	}
	s.address = m[1]
	return s
}

// get asks the gateway for a URL, on a connection of its own.
func (s *service) get(url string) (status int, body string) {
	s.t.Helper()
	r, body := s.answer(url)
	return r.StatusCode, body
}

// answer is get with the whole head.
func (s *service) answer(url string) (r *http.Response, body string) {
	s.t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", s.address)
	}}}
	r, err := client.Get(url)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return r, string(b)
}

func (s *service) wants(url, want string) {
	s.t.Helper()
	if status, got := s.get(url); got != want {
		s.t.Errorf("%s: %d %.200q, want %q", url, status, got, want)
	}
}

// tool runs a command that speaks to the service.
func (s *service) tool(command string, args ...string) (code int, out, talk string) {
	s.t.Helper()
	return run(s.t, append([]string{command, "--run-dir", s.dir}, args...)...)
}

// The smallest whole file works as it stands, but for its ports.
func TestRun(t *testing.T) {
	one, two, web := called(t, "one"), called(t, "two"), called(t, "web")
	s := serving(t, fmt.Sprintf(`listen: { http: "127.0.0.1:0" }
upstreams:
  api:
    to: [%q, %q]
    retry: { attempts: 3 }
    timeout: { connect: 1s, first-byte: 15s }
  web: %s

sites:
  "http://example.org":
    - { match: /api/*, proxy: api }
    - proxy: web
`, one, two, web), "--log", "json")
	golden(t, "run.txt", strings.ReplaceAll(normal(s.said()), s.file, "gatewhy.yaml"))
	s.wants("http://example.org/", "web")
	s.wants("http://example.org/apis", "web")
	if status, body := s.get("http://example.org/api/x"); status != 200 || body != "one" && body != "two" {
		t.Errorf("/api/x: %d %q", status, body)
	}
	if status, body := s.get("http://other.example/"); status != 404 || !strings.Contains(body, "no_site") {
		t.Errorf("a host without a site: %d %.200q", status, body)
	}
	s.stop()
	for _, want := range []string{`"http.route":"http://example.org#1"`, `"http.route":"http://example.org#2"`} {
		if !strings.Contains(s.printed(), want) {
			t.Errorf("the log lacks %s:\n%s", want, s.printed())
		}
	}
}

// Sites and paths choose among upstreams, and a reload changes that.
func TestReload(t *testing.T) {
	a, b := called(t, "a"), called(t, "b")
	text := fmt.Sprintf("listen: 127.0.0.1:0\nupstreams: { a: %s, b: %s }\nsites:\n  any.example.org: b\n  example.org:\n    - { match: /b/*, proxy: b }\n    - proxy: a\n", a, b)
	s := serving(t, text)
	s.wants("http://example.org/", "a")
	s.wants("http://example.org/b/1", "b")
	s.wants("http://www.example.org/", "b")

	write(t, s.file, strings.Replace(text, "any.example.org: b", "any.example.org: a", 1))
	code, out, talk := s.tool("reload")
	if want := "reloaded " + s.file + ": 1 change\n  route 1 of any.example.org: proxy b → a\n"; code != 0 || out != want || talk != "" {
		t.Errorf("reload: %d, %q, %q, want %q", code, out, talk, want)
	}
	s.wants("http://www.example.org/", "a")
	s.wants("http://example.org/b/1", "b")

	// The same by a signal.
	write(t, s.file, text)
	s.signal(syscall.SIGHUP)
	s.await("proxy a → b")
	s.wants("http://www.example.org/", "b")

	// A file that means the same changes nothing, and one with a new upstream says how
	// that is.
	if code, out, _ := s.tool("reload"); code != 0 || !strings.Contains(out, "means the same") {
		t.Errorf("the same again: %d %q", code, out)
	}
	write(t, s.file, text+"  new.example: "+free(t)+"\n")
	if code, out, talk := s.tool("reload"); code != 0 || !strings.Contains(out, "site new.example: new") {
		t.Errorf("a new site: %d %q %q", code, out, talk)
	}
	s.await("refuses connections")
	s.stop()
}

// A broken file changes nothing, and both sides say where and how to mend it.
func TestBrokenReload(t *testing.T) {
	text := fmt.Sprintf("listen: 127.0.0.1:0\nupstreams: { app: %s }\nsites: { any: app }\n", called(t, "app"))
	s := serving(t, text)
	for _, c := range []struct {
		text string
		code int
		want []string
	}{
		{strings.Replace(text, "any: app", "any: ap", 1), 3, []string{"error[unknown_upstream]", s.file + ":3:15", "did you mean `app`", "not reloaded"}},
		{"sites: [\n", 3, []string{"error[", "not reloaded"}},
		{strings.Replace(text, "listen", "lissen", 1), 3, []string{"error[unknown_key]", "listen: 127.0.0.1:0"}},
		{text + "engine: portable\n", 1, []string{"cannot change this", "engine", "restart"}},
		{text + "log: off\n", 1, []string{"cannot change this", "log", "restart"}},
		{strings.Replace(text, "127.0.0.1:0", fmt.Sprintf("[127.0.0.1:0, %q]", "0.0.0.0:"+strings.TrimPrefix(s.address, "127.0.0.1:")), 1), 1, []string{"cannot listen on 0.0.0.0:", "listens there"}},
		{strings.Replace(text, "127.0.0.1:0", fmt.Sprintf("[127.0.0.1:0, %q]", called(t, "x")), 1), 1, []string{"cannot listen on 127.0.0.1:", "listens there"}},
	} {
		write(t, s.file, c.text)
		code, out, talk := s.tool("reload")
		if code != c.code || out != "" {
			t.Errorf("exit code %d, want %d, output %q", code, c.code, out)
		}
		for _, want := range c.want {
			if !strings.Contains(talk, want) {
				t.Errorf("reload does not say %q:\n%s", want, talk)
			}
			s.await(want) // its own words come by another way than the answer
		}
		s.wants("http://example.org/", "app")
	}
	if code, out, talk := s.tool("reload", "--json"); code != 1 || !strings.Contains(out, `"done": false`) {
		t.Errorf("as JSON: %d %s %s", code, out, talk)
	}
	if err := os.Remove(s.file); err != nil {
		t.Fatal(err)
	}
	if code, _, talk := s.tool("reload"); code != 3 || !strings.Contains(talk, "cannot_read") {
		t.Errorf("without a file: %d %s", code, talk)
	}
	s.wants("http://example.org/", "app")
	write(t, s.file, text)
	if code, out, talk := s.tool("reload"); code != 0 {
		t.Errorf("the good file again: %d %s %s", code, out, talk)
	}
	s.stop()
}

// reloads is how often TestReloadUnderLoad reloads.
const reloads = 100

// Reloads fail no request, on connections that live on and on new ones; what was
// under way ends where it began.
func TestReloadUnderLoad(t *testing.T) {
	a, b := called(t, "a"), called(t, "b")
	gate := make(chan struct{})
	slow := script(t, func(c net.Conn, in *bufio.Reader) {
		if _, ok := head(in); !ok {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlo")
		<-gate
		io.WriteString(c, "ng")
	})
	texts := [2]string{}
	for i, to := range []string{a, b} {
		texts[i] = fmt.Sprintf("listen: 127.0.0.1:0\nupstreams: { app: { to: %q, retry: 1 } }\nsites:\n  any: app\n", to)
	}
	texts[0] += fmt.Sprintf("  slow.example: %s\n", slow) // gone with the first reload
	s := serving(t, texts[0])

	// One answer is under way all the time.
	long, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	long.SetDeadline(time.Now().Add(4 * patience))
	io.WriteString(long, "GET / HTTP/1.1\r\nHost: slow.example\r\nConnection: close\r\n\r\n")
	in := bufio.NewReader(long)
	if h, ok := head(in); !ok || !strings.HasPrefix(h, "HTTP/1.1 200 ") {
		t.Fatalf("the long answer begins with %q", h)
	}

	var load sync.WaitGroup
	var stop atomic.Bool
	var count [2]atomic.Int64 // answers of a and of b
	for i := range 4 {
		transport := &http.Transport{DisableKeepAlives: i%2 == 1}
		client := &http.Client{Timeout: patience, Transport: transport}
		load.Go(func() { // ends when stop is set
			defer transport.CloseIdleConnections()
			for !stop.Load() {
				r, err := client.Get("http://" + s.address + "/")
				if err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
				body, err := io.ReadAll(r.Body)
				r.Body.Close()
				switch {
				case err != nil || r.StatusCode != 200:
					t.Errorf("a request failed: %d %v %.300q", r.StatusCode, err, body)
					return
				case string(body) == "a":
					count[0].Add(1)
				case string(body) == "b":
					count[1].Add(1)
				default:
					t.Errorf("answer %q", body)
				}
			}
		})
	}
	socket := filepath.Join(s.dir, fmt.Sprintf("proxy-%d.sock", s.cmd.Process.Pid))
	admin := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	for i := range reloads {
		write(t, s.file, texts[(i+1)%2])
		r, err := admin.Post("http://gatewhy/reload", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != 200 || !strings.Contains(string(body), `"done":true`) {
			t.Fatalf("reload %d: %d %s", i, r.StatusCode, body)
		}
		// From here on requests go to the other one.
		if _, got := s.get("http://example.org/"); got != string("ba"[i%2]) {
			t.Errorf("after reload %d: %q", i, got)
		}
	}
	stop.Store(true)
	load.Wait()
	admin.CloseIdleConnections()
	close(gate)
	if rest, err := io.ReadAll(in); err != nil || string(rest) != "long" {
		t.Errorf("the answer that was under way: %q, %v", rest, err)
	}
	if count[0].Load() == 0 || count[1].Load() == 0 {
		t.Errorf("answers of both: %d and %d", count[0].Load(), count[1].Load())
	}
	t.Logf("%d requests and %d reloads", count[0].Load()+count[1].Load(), reloads)
	s.stop()
	if strings.Contains(s.printed(), `"fault"`) {
		t.Errorf("a fault:\n%s", s.printed())
	}
}

func TestRunExitCodes(t *testing.T) {
	dir := t.TempDir()
	good := write(t, filepath.Join(dir, "good.yaml"), "listen: 127.0.0.1:0\nsites: { any: 127.0.0.1:1 }\n")
	bad := write(t, filepath.Join(dir, "bad.yaml"), "listen: 127.0.0.1:0\nsites: { any: 127.0.0.1 }\n")
	taken := write(t, filepath.Join(dir, "taken.yaml"), fmt.Sprintf("listen: %s\nsites: { any: 127.0.0.1:1 }\n", called(t, "x")))
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"run -t -c " + good, 0, good + ": no problem found"},
		{"run -t -c " + bad, 3, "error["},
		{"run -c " + bad, 3, bad + ":2:15"},
		{"run -t -c " + filepath.Join(dir, "none.yaml"), 1, "cannot_read"},
		{"run -c " + filepath.Join(dir, "none.yaml"), 1, "cannot_read"},
		{"run -c " + taken, 1, "in " + taken},
		{"run -c " + good + " --zzz", 2, "unknown flag"},
		{"run " + good, 2, "-c names another file"},
		{"run -c " + good + " --drain soon", 3, "--drain"},
		{"reload --run-dir " + dir, 1, "no gateway"},
		{"drain --run-dir " + dir, 1, "no gateway"},
		{"stop --run-dir " + dir + " --pid 1", 1, "process 1 is no gateway"},
	} {
		code, out, talk := run(t, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out+talk, c.want) {
			t.Errorf("gatewhy %s: exit code %d, want %d with %q:\n%s%s", c.args, code, c.code, c.want, out, talk)
		}
	}
}

// A drain waits for what is under way; a stop does not.
func TestDrainAndStop(t *testing.T) {
	gate := make(chan struct{})
	upstream := script(t, func(c net.Conn, in *bufio.Reader) {
		if h, ok := head(in); !ok || !strings.Contains(h, "/slow") {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlo")
		<-gate
		io.WriteString(c, "ng")
	})
	text := fmt.Sprintf("listen: 127.0.0.1:0\nupstreams: { app: %s }\nsites: { any: app }\n", upstream)
	begin := func(s *service) *bufio.Reader {
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(patience))
		io.WriteString(c, "GET /slow HTTP/1.1\r\nHost: example.org\r\n\r\n")
		in := bufio.NewReader(c)
		if h, ok := head(in); !ok || !strings.HasPrefix(h, "HTTP/1.1 200 ") {
			t.Fatalf("the answer begins with %q", h)
		}
		return in
	}

	s := serving(t, text, "--grace", "0")
	begin(s)
	if code, out, talk := s.tool("stop"); code != 0 || !strings.Contains(out, "has ended") {
		t.Errorf("stop: %d %q %q", code, out, talk)
	}
	if code := s.ended(); code != 0 {
		t.Errorf("exit code %d after a stop:\n%s", code, s.said())
	}

	s = serving(t, text, "--grace", "0")
	in := begin(s)
	drain := launch(t, binary, "drain", "--run-dir", s.dir)
	s.await("stopping: requests under way have 30s to end")
	close(gate)
	if b, err := io.ReadAll(in); err != nil || string(b) != "long" {
		t.Errorf("the answer under way: %q %v", b, err)
	}
	if code := drain.ended(); code != 0 || !strings.Contains(drain.printed(), "has ended") {
		t.Errorf("drain: %d %q %q", code, drain.printed(), drain.said())
	}
	if code := s.ended(); code != 0 {
		t.Errorf("exit code %d after a drain:\n%s", code, s.said())
	}
}

// A gateway without a file says so when it is told to reload.
func TestReloadWithoutFile(t *testing.T) {
	g := proxy(t, called(t, "app"))
	code, _, talk := run(t, "reload", "--run-dir", g.dir)
	if code != 1 || !strings.Contains(talk, "there is no config file") {
		t.Errorf("exit code %d: %s", code, talk)
	}
	g.stop()
}

// With two of them the commands ask which one is meant.
func TestReloadAsksWhichOne(t *testing.T) {
	text := fmt.Sprintf("listen: 127.0.0.1:0\nsites: { any: %s }\n", called(t, "app"))
	one := serving(t, text)
	two := launch(t, binary, "run", "-c", one.file, "--run-dir", one.dir)
	two.await("looks an incident up")
	code, _, talk := one.tool("reload")
	if code != 1 || !strings.Contains(talk, "several gateways run") || !strings.Contains(talk, fmt.Sprint(two.cmd.Process.Pid)) {
		t.Errorf("exit code %d: %s", code, talk)
	}
	if code, out, talk := one.tool("reload", "--pid", fmt.Sprint(two.cmd.Process.Pid)); code != 0 {
		t.Errorf("with --pid: %d %s %s", code, out, talk)
	}
	two.await("reloaded")
	if strings.Contains(one.said(), "reloaded") {
		t.Errorf("the other one reloaded:\n%s", one.said())
	}
}

// A certificate that was renewed is shown after a reload, and a broken one changes
// nothing.
func TestReloadCertificate(t *testing.T) {
	p := newPapers(t)
	soon, later := time.Now().Add(24*time.Hour).Truncate(time.Second), time.Now().Add(48*time.Hour).Truncate(time.Second)
	p.leaf("site", soon, "a.test")
	s := serving(t, fmt.Sprintf("listen: { https: 127.0.0.1:0 }\ntls: { certificates: { cert: %s, key: %s } }\nsites: { a.test: %s }\n",
		p.file("site.pem"), p.file("site.key"), called(t, "app")))
	roots := x509.NewCertPool()
	if text, err := os.ReadFile(p.file("ca.pem")); err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	shows := func(want time.Time) {
		t.Helper()
		c, err := tls.Dial("tcp", s.address, &tls.Config{RootCAs: roots, ServerName: "a.test"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := c.ConnectionState().PeerCertificates[0].NotAfter; !got.Equal(want) {
			t.Errorf("the certificate ends %s, want %s", got, want)
		}
	}
	shows(soon)
	p.leaf("site", later, "a.test")
	if code, out, talk := s.tool("reload"); code != 0 {
		t.Fatalf("reload: %d %s %s", code, out, talk)
	}
	shows(later)
	if err := os.WriteFile(p.file("site.key"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, talk := s.tool("reload"); code != 3 || !strings.Contains(talk, "bad_certificate") {
		t.Errorf("a broken key: %d %s", code, talk)
	}
	shows(later)
	if strings.Contains(s.said(), "no key") {
		t.Error("what the key's file holds is in the log")
	}
	s.stop()
}

// A certificate that was renewed is shown without a word from anybody, and one that
// cannot be used changes nothing.
func TestCertificatesAreWatched(t *testing.T) {
	t.Parallel()
	p := newPapers(t)
	soon, later := time.Now().Add(24*time.Hour).Truncate(time.Second), time.Now().Add(48*time.Hour).Truncate(time.Second)
	p.leaf("site", soon, "a.test")
	g, port := proxyTLS(t, script(t, answering(hello)), "--tls-cert", p.file("site.pem"), "--tls-key", p.file("site.key"))
	roots := x509.NewCertPool()
	if text, err := os.ReadFile(p.file("ca.pem")); err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	shows := func(want time.Time) {
		t.Helper()
		c, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{RootCAs: roots, ServerName: "a.test"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := c.ConnectionState().PeerCertificates[0].NotAfter; !got.Equal(want) {
			t.Errorf("the certificate ends %s, want %s", got, want)
		}
	}
	shows(soon)
	p.leaf("site", later, "a.test")
	g.await("certificates read again: ")
	shows(later)
	if err := os.WriteFile(p.file("site.key"), []byte("a secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := g.await("the certificates from before stay"); strings.Contains(said, "a secret") {
		t.Error("what the key's file holds is in the log")
	}
	shows(later)
	p.leaf("site", soon, "a.test") // the key as well: it is whole again
	g.awaitTimes("certificates read again: ", 2)
	shows(soon)
	g.stop()
}

// With --watch a configuration is in force soon after it was written, one that an
// include finds too; one with errors changes nothing.
func TestWatch(t *testing.T) {
	t.Parallel()
	more := filepath.Join(t.TempDir(), "more")
	if err := os.Mkdir(more, 0o700); err != nil {
		t.Fatal(err)
	}
	text := func(app string) string {
		return fmt.Sprintf("listen: 127.0.0.1:0\ninclude: %s/*.yaml\nsites: { 'http://a.test': %s }\n", more, called(t, app))
	}
	s := serving(t, text("first"), "--watch")
	s.wants("http://a.test/", "first")
	write(t, s.file, text("second"))
	s.awaitTimes("reloaded ", 1)
	s.wants("http://a.test/", "second")
	write(t, s.file, "sites: [")
	s.await("not reloaded:")
	s.wants("http://a.test/", "second")
	write(t, s.file, text("third"))
	s.awaitTimes("reloaded ", 2)
	s.wants("http://a.test/", "third")
	write(t, filepath.Join(more, "b.yaml"), fmt.Sprintf("sites: { 'http://b.test': %s }\n", called(t, "fourth")))
	s.awaitTimes("reloaded ", 3)
	s.wants("http://b.test/", "fourth")
	s.stop()
}

// A configuration is put by the API, by TCP to who has the token; it is in force, and in the
// file if that is wanted.
func TestPutConfig(t *testing.T) {
	a, b := called(t, "a"), called(t, "b")
	api := free(t)
	dir := t.TempDir()
	token := write(t, filepath.Join(dir, "token"), "0123456789abcdef0123456789abcdef\n")
	text := func(to string) string {
		return fmt.Sprintf("# A comment.\nlisten: 127.0.0.1:0\nadmin: { listen: %s, token: %s }\nsites: { any: %s }\n", api, token, to)
	}
	s := serving(t, text(a))
	do := func(method, path, match, body string) (int, string, http.Header) {
		t.Helper()
		r, err := http.NewRequest(method, "http://"+api+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer 0123456789abcdef0123456789abcdef")
		if match != "" {
			r.Header.Set("If-Match", match)
		}
		res, err := (&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(got), res.Header
	}
	if r, err := http.Get("http://" + api + "/state"); err != nil || r.StatusCode != 401 {
		t.Errorf("without a token: %v %v", r, err)
	}
	s.wants("http://x/", "a")
	_, _, head := do("GET", "/config", "", "")
	tag := head.Get("ETag")
	for _, c := range []struct {
		match, body string
		status      int
		want        string
	}{
		{"", text(b), 428, "If-Match"}, {`"0000"`, text(b), 412, "another configuration"},
		{tag, "sites: { any: nonsense }\n", 422, "needs a port"}, {tag, strings.Replace(text(b), "127.0.0.1:0", a, 1), 409, `"error":"`},
	} {
		if code, got, _ := do("PUT", "/config", c.match, c.body); code != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%s %q: %d %s", c.match, c.body, code, got)
		}
	}
	s.wants("http://x/", "a")
	code, got, head := do("PUT", "/config", tag, text(b))
	if code != 200 || !strings.Contains(got, "the file is as it was") || head.Get("ETag") == tag {
		t.Errorf("%d %s", code, got)
	}
	s.wants("http://x/", "b")
	if text, _ := os.ReadFile(s.file); !strings.Contains(string(text), a) {
		t.Errorf("the file is %s", text)
	}
	// A reload goes back to the file, and says what that changes.
	if code, out, _ := s.tool("reload"); code != 0 || !strings.Contains(out, "proxy "+b+" → "+a) {
		t.Errorf("reload: %d %s", code, out)
	}
	s.wants("http://x/", "a")
	if code, got, _ := do("PUT", "/config?write=true", "*", text(b)); code != 200 || strings.Contains(got, "note") {
		t.Errorf("%d %s", code, got)
	}
	s.wants("http://x/", "b")
	if got, _ := os.ReadFile(s.file); string(got) != text(b) {
		t.Errorf("the file is %s", got)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(s.file), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	s.stop()
}
