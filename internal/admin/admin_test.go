package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/incident"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// short is a directory whose path leaves room for a socket's name: sockaddr_un
// ends after 107 bytes.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "run")
}

func kept(store *incident.Store, f fault.ID) *incident.Record {
	return store.Keep(&trail.Trail{Began: 1_700_000_000_000_000_000, Method: []byte("GET"), Authority: []byte("shop.example"),
		Path: []byte("/cart"), Status: 502, Fault: fault.New(f, "offset", "22"), N: 1,
		Attempts: [trail.MaxAttempts]trail.Attempt{{Endpoint: "10.0.0.1:80", First: []byte("HTTP/1.1 200 OK\r\nX-Bad Header: 1\r\n")}}})
}

func start(t *testing.T, dir string, store *incident.Store) *Server {
	t.Helper()
	s, err := Start(Options{Dir: dir, Incidents: store, State: func() State {
		return State{PID: os.Getpid(), Version: "1.2.3", Node: "edge", Started: time.Unix(1, 0).UTC(), Listen: []string{"127.0.0.1:8080"},
			Incidents: store.Total(), Endpoints: Endpoints("app", []upstream.EndpointState{{Name: "app:80", Ejected: true,
				Why: fault.ConnectRefused, Failures: 5, IdleLimit: 5 * time.Second}})}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestAnswers(t *testing.T) {
	store := incident.NewStore(10)
	older, newer := kept(store, fault.CLConflict), kept(store, fault.HeaderNameBadChar)
	s := start(t, short(t), store)
	ctx := context.Background()

	state, err := ReadState(ctx, s.Path())
	if err != nil {
		t.Fatal(err)
	}
	want := State{PID: os.Getpid(), Version: "1.2.3", Node: "edge", Started: time.Unix(1, 0).UTC(), Listen: []string{"127.0.0.1:8080"},
		Incidents: 2, Endpoints: []Endpoint{{Upstream: "app", Name: "app:80", Ejected: true, Why: "connect_refused", Failures: 5, IdleLimitMS: 5000}}}
	if diff := cmp.Diff(want, state); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}

	found, err := Find(ctx, []string{s.Path()}, newer.Trail.Incident)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(newer.Trail, found.Record.Trail); diff != "" {
		t.Errorf("the record changed on its way (-kept +found):\n%s", diff)
	}

	for _, c := range []struct {
		path   string
		status int
		want   string
	}{
		{"/incidents/zzz", 400, "8 letters and digits"},
		{"/incidents/00000000", 404, "keeps no incident 00000000"},
		{"/incidents?n=0", 400, "from 1 to 1000"},
		{"/incidents?n=x", 400, "from 1 to 1000"},
		{"/nothing", 404, "not found"},
	} {
		status, body, err := get(ctx, s.Path(), c.path)
		if err != nil || status != c.status || !strings.Contains(string(body), c.want) {
			t.Errorf("%s: %d %s %v, want %d with %q", c.path, status, body, err, c.status, c.want)
		}
	}

	_, body, err := get(ctx, s.Path(), "/incidents?n=1")
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Incidents []Summary
		Total     int
	}
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatal(err)
	}
	if list.Total != 2 || len(list.Incidents) != 1 {
		t.Fatalf("%d incidents of %d, want 1 of 2", len(list.Incidents), list.Total)
	}
	wantSummary := Summary{Incident: string(newer.Trail.Incident[:]), Began: time.Unix(1_700_000_000, 0).UTC(), Method: "GET",
		Host: "shop.example", Path: "/cart", Status: 502, Fault: "header_name_bad_char", Attempts: 1}
	if diff := cmp.Diff(wantSummary, list.Incidents[0]); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	if older.Trail.Incident == newer.Trail.Incident {
		t.Fatal("two incidents with one id: the test shows nothing")
	}
}

// Two gateways: the one that keeps the incident answers, in whatever order they
// are asked, and what a killed one left behind does no harm.
func TestFindAsksAll(t *testing.T) {
	dir := short(t)
	a, b := incident.NewStore(10), incident.NewStore(10)
	first := start(t, filepath.Join(dir, "a"), a)
	second := start(t, filepath.Join(dir, "b"), b)
	dead := filepath.Join(dir, "a", "proxy-1.sock")
	leave(t, dead)
	r := kept(b, fault.CLConflict)
	sockets := Sockets(filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "missing"))
	if len(sockets) != 3 {
		t.Fatalf("sockets %v, want the two and the dead one", sockets)
	}
	for _, order := range [][]string{sockets, {second.Path(), first.Path(), dead}} {
		found, err := Find(context.Background(), order, r.Trail.Incident)
		if err != nil || found.Socket != second.Path() {
			t.Errorf("asked %v: %v, %v", order, found, err)
		}
	}
	_, err := Find(context.Background(), sockets, [8]byte([]byte("00000000")))
	var none *NotFoundError
	if !errors.As(err, &none) || none.Asked != 2 || len(none.Failed) != 0 {
		t.Errorf("an unknown incident: %v %+v, want 2 asked and none failed", err, none)
	}
}

// leave makes the socket file that a killed process leaves behind.
func leave(t *testing.T, path string) {
	t.Helper()
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
}

func TestSocketIsPrivateAndTidy(t *testing.T) {
	dir := short(t)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	dead, other := filepath.Join(dir, "proxy-1.sock"), filepath.Join(dir, "notes.txt")
	leave(t, dead)
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir, incident.NewStore(1))
	fi, err := os.Lstat(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().Perm() != 0o600 || fi.Mode()&fs.ModeSocket == 0 {
		t.Errorf("mode %v, want a socket that only its owner can open", fi.Mode())
	}
	if _, err := os.Lstat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket of a dead process is still there: %v", err)
	}
	if _, err := os.Lstat(other); err != nil {
		t.Errorf("a file that is no socket of ours was touched: %v", err)
	}
	s.Close()
	if left := Sockets(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDirectories(t *testing.T) {
	base := short(t)
	if err := os.MkdirAll(base, 0o700); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(base, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(open, link); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{open: "written by others", link: "not a directory", file: "not a directory"} {
		if _, err := prepare(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	fresh := filepath.Join(base, "x", "y")
	if _, err := prepare(fresh); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(fresh); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("a fresh directory has mode %v, %v", fi.Mode(), err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(fresh, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if _, err := prepare(fresh); err == nil || !strings.Contains(err.Error(), "somebody else") {
			t.Errorf("a directory of another user: %v", err)
		}
	}
}

func TestDirs(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/7")
	dirs := Dirs()
	for _, want := range []string{"/run/user/7/gatewhy", "/run/gatewhy"} {
		if !strings.Contains(strings.Join(dirs, " ")+" ", want+" ") {
			t.Errorf("%v lacks %s", dirs, want)
		}
	}
	t.Setenv("RUNTIME_DIRECTORY", "/run/made:/run/another")
	if got := Dirs(); got[0] != "/run/made" || !slices.Equal(got[1:], dirs) {
		t.Errorf("%v does not begin with the directory that the service manager made", got)
	}
	t.Setenv("RUNTIME_DIRECTORY", "")
	t.Setenv("XDG_RUNTIME_DIR", "relative")
	if got := Dirs(); len(got) != len(dirs)-1 {
		t.Errorf("a relative XDG_RUNTIME_DIR is taken: %v (XDG Base Directory: it must be absolute)", got)
	}
}

// What a gateway can be told to do, and what its answers are.
func TestControl(t *testing.T) {
	ctx := context.Background()
	var r Reload
	var stops []bool
	s, err := Start(Options{Dir: short(t), Incidents: incident.NewStore(1), State: func() State { return State{} }, Control: Control{
		Reload: func() Reload { return r },
		Stop:   func(atOnce bool) { stops = append(stops, atOnce) },
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct {
		r      Reload
		status int
	}{
		{Reload{Config: "a.yaml", Done: true, Changes: []string{"drain 30s → 10s"}, Problems: []conf.ProblemJSON{}}, 200},
		{Reload{Config: "a.yaml", Changes: []string{}, Problems: []conf.ProblemJSON{{Name: "unknown_key"}}, Text: "error[unknown_key]"}, 422},
		{Reload{Changes: []string{}, Problems: []conf.ProblemJSON{}, Error: "a port is taken", Hint: "another"}, 409},
	} {
		r = c.r
		got, err := PostReload(ctx, s.Path())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.r, got); diff != "" {
			t.Errorf("(-made +told):\n%s", diff)
		}
		if status, _, err := ask(ctx, "POST", s.Path(), "/reload"); err != nil || status != c.status {
			t.Errorf("%d %v, want %d", status, err, c.status)
		}
	}
	r = Reload{}
	if _, body, err := ask(ctx, "POST", s.Path(), "/reload"); err != nil || strings.Contains(string(body), "null") {
		t.Errorf("lists are never null: %s %v", body, err)
	}
	if err := errors.Join(PostStop(ctx, s.Path(), false), PostStop(ctx, s.Path(), true)); err != nil || !slices.Equal(stops, []bool{false, true}) {
		t.Errorf("%v %v", stops, err)
	}
	// A link or an image makes browsers ask, and never changes anything.
	for _, path := range []string{"/reload", "/drain", "/stop"} {
		if status, _, err := get(ctx, s.Path(), path); err != nil || status != 405 {
			t.Errorf("GET %s: %d %v", path, status, err)
		}
	}
	running, err := Running(ctx, []string{s.Path(), s.Path() + "x"})
	if err != nil || len(running) != 1 || PID(s.Path()) != os.Getpid() {
		t.Errorf("%v %v", running, err)
	}
	if Gone(ctx, s.Path()) || !Gone(ctx, s.Path()+"x") {
		t.Error("who is gone is not who answers")
	}
	none := start(t, short(t), incident.NewStore(1))
	if _, err := PostReload(ctx, none.Path()); err == nil || !strings.Contains(err.Error(), "cannot reload") {
		t.Errorf("one that cannot: %v", err)
	}
	if err := PostStop(ctx, none.Path(), true); err == nil {
		t.Error("one that cannot stop")
	}
}
