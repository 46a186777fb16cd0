package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/lab"
	"github.com/gatewhy/gatewhy/internal/listen"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// run runs a command line in a world of its own.
func run(t *testing.T, environ map[string]string, args ...string) (code int, out, talk string) {
	t.Helper()
	var o, e bytes.Buffer
	env := &env{in: strings.NewReader(""), out: &o, err: &e, getenv: func(k string) string { return environ[k] }}
	code = env.run(context.Background(), args)
	return code, o.String(), e.String()
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		args  string
		code  int
		error string
		hint  string
	}{
		{"prxoy", 2, `no command "prxoy"`, "did you mean gatewhy proxy?"},
		{"frobnicate", 2, `no command "frobnicate"`, "gatewhy --help"},
		{"proxy", 2, "takes an address to listen on", "usage: gatewhy proxy LISTEN UPSTREAM..."},
		{"proxy :8080", 2, "at least one upstream", "usage:"},
		{"proxy --timeout-conect 5s :1 :2", 2, "unknown flag: --timeout-conect", "did you mean --timeout-connect?"},
		{"proxy --zzzzzzzz :1 :2", 2, "unknown flag: --zzzzzzzz", "gatewhy proxy --help"},
		{"proxy --timeout-connect 5 :1 :2", 2, "write 5s or 5ms", "gatewhy proxy --help"},
		{"proxy --drain soon :1 :2", 2, "--drain", ""},
		{"proxy --log xml :1 :2", 2, "common, template or off", ""},
		{"proxy 8080 :3000", 2, "write :8080", "LISTEN is one of"},
		{"proxy :8080 3000", 2, `target "3000"`, "UPSTREAM is one of"},
		{"proxy :8080 app ap:0", 2, `target "app": no port`, "UPSTREAM is one of"},
		{"proxy https://:0 :3000", 2, "cannot listen on https://:0: TLS needs a certificate", "--tls-self-signed"},
		{"proxy :8443 :3000 --tls-self-signed", 2, "there is a certificate, and :8443 speaks plain HTTP", "write https://:8443"},
		{"proxy :8080,https://:8080 :3000 --tls-self-signed", 2, "given twice", "LISTEN is one of"},
		{"proxy :8080, :3000", 2, "no port", "LISTEN is one of"},
		{"proxy https://:0 :3000 --tls-cert /nonexistent.pem --tls-key /nonexistent.key", 1, "/nonexistent.pem does not exist", ""},
		{"proxy https://:0 :3000 --tls-cert a --tls-cert b --tls-key c", 1, "2 certificates and 1 keys", ""},
		{"proxy https://:0 :3000 --tls-min 1.0 --tls-self-signed", 2, "must be 1.2 or 1.3", ""},
		{"proxy :0 https://localhost:1 --upstream-cert /nonexistent.pem", 1, "/nonexistent.pem does not exist", ""},
		{"proxy :0 https://localhost:1 --upstream-key /nonexistent.pem", 1, "name it with --upstream-cert", ""},
		{"proxy :0 :3000 localhost:3000", 1, "given twice", ""},
		{"proxy --log-file /nonexistent/x :0 :3000", 1, "cannot write the access log", ""},
		{"explain cl_conflct", 2, `no fault "cl_conflct"`, "nearest names are cl_conflict"},
		{"explain heder_nam", 2, `no fault "heder_nam"`, "header_name_bad_char"},
		{"explain a b", 2, "takes one name", "usage:"},
		{"explain 7K3QM2VX --run-dir /nonexistent", 1, "no gateway runs here", "--run-dir"},
		{"lab", 2, "takes an address to listen on", "usage:"},
		{"lab 9000", 2, "write :9000", ""},
		{"lab unix:/x", 2, "TCP and in plain HTTP", ""},
		{"lab https://:9000", 2, "plain HTTP only", ""},
		{"demo now", 2, "takes no argument", "usage:"},
		{"prove cl_conflct", 2, `no recipe "cl_conflct"`, "did you mean cl_conflict"},
		{"version now", 2, "takes no argument", "usage:"},
		{"docs", 2, "takes one directory", "usage:"},
	} {
		code, out, talk := run(t, nil, strings.Fields(c.args)...)
		if code != c.code || out != "" {
			t.Errorf("%s: exit code %d and output %q, want %d and none", c.args, code, out, c.code)
		}
		errors, hints := "", ""
		for _, line := range strings.Split(talk, "\n") {
			if strings.HasPrefix(line, "hint:") {
				hints += line
			} else {
				errors += line
			}
		}
		if !strings.HasPrefix(talk, "error: ") || !strings.Contains(errors, c.error) || !strings.Contains(hints, c.hint) {
			t.Errorf("%s said\n%s\nwant an error with %q and a hint with %q", c.args, talk, c.error, c.hint)
		}
	}
}

func TestEnvironmentStandsInForFlags(t *testing.T) {
	bad := map[string]string{"GATEWHY_TIMEOUT_CONNECT": "5"}
	if code, _, talk := run(t, bad, "proxy", ":0", ":3000"); code != 2 || !strings.Contains(talk, `--timeout-connect "5"`) {
		t.Errorf("a bad value in the environment: %d %s", code, talk)
	}
	// A flag wins, so the bad value is not looked at; the twice named target then ends the run.
	if code, _, talk := run(t, bad, "proxy", "--timeout-connect", "5s", ":0", ":3000", ":3000"); code != 1 || !strings.Contains(talk, "given twice") {
		t.Errorf("a flag did not win over the environment: %d %s", code, talk)
	}
	if code, _, talk := run(t, map[string]string{"GATEWHY_PLAIN": "perhaps"}, "proxy", ":0", ":3000"); code != 2 ||
		!strings.Contains(talk, `GATEWHY_PLAIN="perhaps"`) {
		t.Errorf("a switch with a bad value: %d %s", code, talk)
	}
}

func TestHelp(t *testing.T) {
	code, out, talk := run(t, nil)
	if code != 0 || talk != "" {
		t.Fatalf("gatewhy alone: %d %s", code, talk)
	}
	for _, want := range []string{"gatewhy demo", "gatewhy proxy :8080 localhost:3000", "gatewhy explain header_name_bad_char", "completion"} {
		if !strings.Contains(out, want) {
			t.Errorf("help lacks %q", want)
		}
	}
	if strings.Contains(out, "docs") {
		t.Error("help shows the hidden docs command")
	}
	_, out, _ = run(t, nil, "proxy", "--help")
	for _, line := range strings.Split(out, "\n") {
		if len(line) > helpWidth {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	if strings.Count(out, "General:") != 1 || !strings.Contains(out, "Timeouts:") {
		t.Errorf("flags do not stand under headings:\n%s", out)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, out, talk := run(t, nil, "completion", shell); code != 0 || !strings.Contains(out, "gatewhy") {
			t.Errorf("%s: %d, %d bytes, %s", shell, code, len(out), talk)
		}
	}
	_, out, _ := run(t, nil, "__complete", "explain", "cl_con")
	if !strings.Contains(out, "cl_conflict\t") {
		t.Errorf("names of faults are not completed:\n%s", out)
	}
}

func TestVersion(t *testing.T) {
	code, out, _ := run(t, nil, "version")
	if code != 0 || !strings.HasPrefix(out, "gatewhy "+number+" · ") {
		t.Errorf("%d %q", code, out)
	}
	_, out, _ = run(t, nil, "version", "--json")
	var b build
	if err := json.Unmarshal([]byte(out), &b); err != nil || b.Version != number || !strings.HasPrefix(b.Go, "go1.") {
		t.Errorf("%s: %+v, %v", out, b, err)
	}
}

func TestExplain(t *testing.T) {
	code, list, _ := run(t, nil, "explain")
	if code != 0 {
		t.Fatal(code)
	}
	for _, r := range fault.Catalogue() {
		if strings.Count(list, "  "+string(r.ID)+" ") != 1 {
			t.Errorf("%s is not in the list once", r.ID)
		}
		code, page, talk := run(t, nil, "explain", string(r.ID))
		if code != 0 || !strings.HasPrefix(page, string(r.ID)) {
			t.Errorf("%s: %d %s", r.ID, code, talk)
		}
		if strings.Contains(page, "\x1b") {
			t.Errorf("%s: colour where there is no terminal", r.ID)
		}
	}
	if strings.Contains(list, families[len(families)-1].heading+"\n") {
		t.Errorf("a fault belongs to no family:\n%s", list)
	}
	_, out, _ := run(t, nil, "explain", "--json")
	var all []faultJSON
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != len(fault.Catalogue()) {
		t.Errorf("%d faults as JSON, %v", len(all), err)
	}
	_, out, _ = run(t, nil, "explain", "cl_conflict", "--json")
	var one faultJSON
	if err := json.Unmarshal([]byte(out), &one); err != nil {
		t.Fatal(err)
	}
	row := fault.Lookup(fault.CLConflict)
	if one.Fault != row.ID || one.Status != 502 || string(one.Example) != row.Example || one.Mark == nil || *one.Mark != row.Mark ||
		one.Rule != row.Rule || one.Kind != "failure" || one.Side != "upstream" {
		t.Errorf("cl_conflict as JSON: %s", out)
	}
}

// Every flag that a page of a fault tells people to use exists, and so does every
// command.
func TestCatalogueSpeaksOfFlagsThatExist(t *testing.T) {
	root := (&env{getenv: func(string) string { return "" }}).root()
	var proxy *cobra.Command
	for _, c := range root.Commands() {
		if c.Name() == "proxy" {
			proxy = c
		}
	}
	proxy.Flags()
	flag, command := regexp.MustCompile(`--[a-z][a-z0-9-]*`), regexp.MustCompile("`gatewhy ([a-z]+)")
	used := 0
	for _, r := range fault.Catalogue() {
		for _, name := range flag.FindAllString(r.Bearing, -1) {
			used++
			if proxy.Flags().Lookup(name[2:]) == nil {
				t.Errorf("%s speaks of %s, which gatewhy proxy does not have", r.ID, name)
			}
		}
		for _, m := range command.FindAllStringSubmatch(strings.Join(r.Fix, " ")+r.Bearing, -1) {
			if !slices.Contains(commandNames(root), m[1]) {
				t.Errorf("%s speaks of gatewhy %s, which does not exist", r.ID, m[1])
			}
		}
	}
	if used < 50 {
		t.Errorf("%d flags found: the test has lost its way", used)
	}
}

// No two flags share a name in the environment, and each has words.
func TestFlags(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range (&env{getenv: func(string) string { return "" }}).root().Commands() {
		if c.Name() != "proxy" {
			continue
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			v := variable(f.Name)
			if seen[v] || f.Usage == "" || len(f.Annotations[groupKey]) != 1 {
				t.Errorf("--%s: variable %s, help %q, headings %v", f.Name, v, f.Usage, f.Annotations[groupKey])
			}
			seen[v] = true
		})
	}
	if !seen["GATEWHY_TIMEOUT_FIRST_BYTE"] || !seen["GATEWHY_LOG"] {
		t.Errorf("variables %v", seen)
	}
}

// The pages in docs/faults are those of this catalogue: run
//
//	go run . docs docs/faults
func TestDocsAreUpToDate(t *testing.T) {
	const dir = "../../docs/faults"
	files := pages()
	var stale []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(string(files[name]), string(got)); diff != "" {
			if len(stale) == 0 {
				t.Errorf("%s is out of date (-catalogue +page):\n%s", name, diff)
			}
			stale = append(stale, name)
		}
	}
	if len(stale) > 0 {
		t.Errorf("%d pages are out of date: run go run . docs docs/faults", len(stale))
	}
	there, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range there {
		if files[f.Name()] == nil {
			t.Errorf("%s is no page of the catalogue", f.Name())
		}
	}
}

func TestWriteDocs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "faults")
	if code, _, talk := run(t, nil, "docs", dir); code != 0 {
		t.Fatal(talk)
	}
	old, other := filepath.Join(dir, "gone_fault.md"), filepath.Join(dir, "picture.svg")
	for _, p := range []string{old, other} {
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, talk := run(t, nil, "docs", dir); code != 0 {
		t.Fatal(talk)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("the page of a fault that is gone is still there")
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("a file that is no page was removed: %v", err)
	}
}

func TestParseListens(t *testing.T) {
	all, err := parseListens("https://localhost:8443,:8080,https://127.0.0.1:0,127.0.0.1:0,localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, l := range all {
		order = append(order, l.Written())
		l.taken = l.Alternatives[0]
	}
	if diff := cmp.Diff([]string{":8080", "127.0.0.1:0", "localhost:0", "https://localhost:8443", "https://127.0.0.1:0"}, order); diff != "" {
		t.Errorf("plain ones come first (-want +got):\n%s", diff)
	}
	var got []loop.Address
	for _, s := range []string{"[::]:8080", "127.0.0.1:41", "127.0.0.1:42", "127.0.0.1:8443", "[::1]:8443", "127.0.0.1:43"} {
		got = append(got, loop.Address{IP: netip.MustParseAddrPort(s)})
	}
	want := []string{"http://localhost:8080", "http://127.0.0.1:41", "http://localhost:42", "https://localhost:8443", "https://127.0.0.1:43"}
	if diff := cmp.Diff(want, all.urls(got)); diff != "" {
		t.Errorf("urls (-want +got):\n%s", diff)
	}
	if l := all.at(got[4]); l.Written() != "https://localhost:8443" || l.WithPort(9) != "https://localhost:9" {
		t.Errorf("%v belongs to %s", got[4], l.Written())
	}
	for _, twice := range []string{":80,http://", "127.0.0.1:80,https://localhost:80", "unix:/a,unix:/a"} {
		if _, err := parseListens(twice); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("%s: %v", twice, err)
		}
	}
}

// The process that has a port is this one.
func TestListener(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("no /proc here, so no process can be named")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := uint16(ln.Addr().(*net.TCPAddr).Port)
	if got := listener(port); !strings.Contains(got, "(pid ") || !strings.Contains(got, "cli.test") {
		t.Errorf("port %d is held by %q, want this test", port, got)
	}
	at, err := listen.Parse(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	next := freePort(at)
	if next == 0 || next == port {
		t.Fatalf("the next free port after %d is %d", port, next)
	}
	if got, want := at.WithPort(next), "127.0.0.1:"; !strings.HasPrefix(got, want) || got == at.Text {
		t.Errorf("at the next port: %s", got)
	}
	ln.Close()
	if got := listener(port); got != "" {
		t.Errorf("nobody listens on %d any more, and it is held by %q", port, got)
	}
}

func TestInk(t *testing.T) {
	for _, c := range []struct {
		environ    map[string]string
		tty, plain bool
		want       bool
	}{
		{nil, true, false, true},
		{nil, false, false, false},
		{nil, true, true, false},
		{map[string]string{"NO_COLOR": "1"}, true, false, false},
		{map[string]string{"TERM": "dumb"}, true, false, false},
		{map[string]string{"CLICOLOR_FORCE": "1"}, false, false, true},
		{map[string]string{"CLICOLOR_FORCE": "0"}, false, false, false},
		{map[string]string{"CLICOLOR_FORCE": "1"}, true, true, false},
	} {
		e := &env{getenv: func(k string) string { return c.environ[k] }}
		if got := e.ink(c.tty, c.plain).red("x") != "x"; got != c.want {
			t.Errorf("%v, terminal %t, plain %t: colour %t", c.environ, c.tty, c.plain, got)
		}
	}
}

func TestWrap(t *testing.T) {
	got := wrap("  one two  three four", 9)
	if diff := cmp.Diff([]string{"one two", "three", "four"}, got); diff != "" {
		t.Error(diff)
	}
	if got := wrap("a-word-that-is-too-long for it", 5); got[0] != "a-word-that-is-too-long" || len(got) != 3 {
		t.Errorf("%q", got)
	}
}

func TestPrintable(t *testing.T) {
	if got := printable("a\x1b[31mb\n\u009bc\xff é"); got != "a?[31mb??c? é" {
		t.Errorf("%q", got)
	}
}

// Every scene of the demo has a recipe that needs nothing pretended.
func TestScenes(t *testing.T) {
	if len(scenes) != 12 {
		t.Errorf("%d scenes, the demo says a dozen", len(scenes))
	}
	for _, s := range scenes {
		r := lab.Find(s.recipe)
		if r == nil {
			t.Errorf("%s: no such recipe", s.recipe)
			continue
		}
		row := fault.Lookup(r.Fault())
		if r.Inject.Any() || len(r.Pieces) > 0 || r.Upload > 0 || r.Client != lab.Read || row.Nginx == "" || row.HAProxy == "" {
			t.Errorf("%s needs more than a demo has, or others have no word for it", s.recipe)
		}
		if s.spare && !r.Rescue {
			t.Errorf("%s is not rescued by a second endpoint", s.recipe)
		}
	}
}

// The demo explains everything, also when nobody waits for Enter.
func TestDemo(t *testing.T) {
	code, out, talk := run(t, nil, "demo", "--once")
	if code != 0 || talk != "" {
		t.Fatalf("exit code %d: %s\n%s", code, talk, out)
	}
	for _, want := range []string{"3 rescued, 2 mended, 7 explained.", "200 rescued in 2 attempts", "504 explained", "cut visibly",
		"incident ", "at byte 64 of the answer's head"} {
		if !strings.Contains(out, want) {
			t.Errorf("the demo does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "{") || strings.Contains(out, "press Enter") {
		t.Errorf("a fact is missing, or somebody is asked to press a key:\n%s", out)
	}
}

// On a terminal the demo stops after each upstream, and q ends it.
func TestDemoAsks(t *testing.T) {
	var out bytes.Buffer
	dir := filepath.Join(t.TempDir(), "r")
	e := &env{in: strings.NewReader("\nq\n"), out: &out, err: &out, inTTY: true, outTTY: true,
		getenv: func(name string) string { return map[string]string{"GATEWHY_RUN_DIR": dir}[name] }}
	if code := e.run(context.Background(), []string{"demo", "--plain"}); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out.String())
	}
	if n := strings.Count(out.String(), "press Enter"); n != 2 {
		t.Errorf("asked %d times, want 2:\n%s", n, out.String())
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("no socket was made, so incidents cannot be looked up meanwhile: %v", err)
	}
	if !strings.Contains(out.String(), "2 rescued, 0 mended, 0 explained.") {
		t.Errorf("the sums are not those of two scenes:\n%s", out.String())
	}
}

func TestProveOneFault(t *testing.T) {
	code, out, talk := run(t, nil, "prove", "cl_conflict")
	if code != 0 || !strings.Contains(out, "cl_conflict") || !strings.Contains(out, "0 unexplained") {
		t.Errorf("%d\n%s%s", code, out, talk)
	}
}

func TestAffordable(t *testing.T) {
	for _, c := range []struct{ n, files, want int }{
		{100000, 1 << 20, 100000}, {100000, 20128, 10000}, {500, 20128, 500}, {100000, 100, 1}, {0, 1024, 0}, {7, 0, 7},
	} {
		if got := affordable(c.n, c.files); got != c.want {
			t.Errorf("%d connections with %d files: %d, want %d", c.n, c.files, got, c.want)
		}
	}
}
