package floors

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The repository keeps its own plan.
func TestHouse(t *testing.T) {
	pkgs, err := load("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) < 5 {
		t.Fatalf("read %d packages: the walk has lost its way", len(pkgs))
	}
	for _, s := range house.judge(pkgs) {
		t.Error(s)
	}
}

// small is a house in miniature, with every kind of rule.
func small() *plan {
	return &plan{
		module: "m",
		floors: []floor{
			{"words", []string{"fault", "trail"}},
			{"ground", []string{"wire/...", "loop/..."}},
			{"parts", []string{"http1", "lab"}},
			{"door", []string{"cli"}},
		},
		apart:      []string{"bench/..."},
		exceptions: map[edge]string{{"trail", "fault"}: "its words"},
		bans: []ban{
			{packages: []string{"wire/..."}, imports: []string{"net", "sync", "sync/..."}, reason: "no sockets"},
			{packages: []string{"lab"}, stdOnly: true, save: []string{"example.org/sys/..."}, reason: "used by all tests"},
			{packages: []string{"http1"}, imports: []string{"net"}, sequential: true, reason: "sequential"},
		},
		calls: map[string]string{"time.Sleep": "stops the loop"},
	}
}

func TestJudge(t *testing.T) {
	trail := pkg{path: "trail", imports: []string{"m/fault"}}
	tests := []struct {
		name string
		pkgs []pkg
		want []string
	}{
		{"a sound house", []pkg{
			trail,
			{path: "fault", imports: []string{"time"}},
			{path: "wire/h1", imports: []string{"m/fault", "net/netip"}},
			{path: "loop", imports: []string{"net", "example.org/x"}},
			{path: "loop/epoll", imports: []string{"m/loop"}},
			{path: "lab", imports: []string{"m/wire/h1", "m/fault", "net"}},
			{path: "cli", imports: []string{"m/lab", "m/http1", "m/fault"}},
			{path: "bench/cmd", imports: []string{"m/cli"}},
		}, nil},
		{"up", []pkg{trail, {path: "wire/h1", imports: []string{"m/http1"}}},
			[]string{"wire/h1 imports http1: up, from ground to parts"}},
		{"up within words", []pkg{trail, {path: "fault", imports: []string{"m/cli"}}},
			[]string{"fault imports cli: up, from words to door"}},
		{"sideways", []pkg{trail, {path: "http1", imports: []string{"m/lab"}}},
			[]string{"http1 imports lab: sideways, both live on parts"}},
		{"sideways is not only for strangers in name", []pkg{trail, {path: "wire/h1x", imports: []string{"m/wire/h1"}}},
			[]string{"wire/h1x imports wire/h1: sideways, both live on ground"}},
		{"between siblings", []pkg{trail, {path: "loop/epoll", imports: []string{"m/loop/portable"}}},
			[]string{"loop/epoll imports loop/portable: sideways, both live on ground"}},
		{"parent imports child", []pkg{trail, {path: "loop", imports: []string{"m/loop/epoll"}}},
			[]string{"loop imports loop/epoll: sideways, both live on ground"}},
		{"an exception works one way", []pkg{trail, {path: "fault", imports: []string{"m/trail"}}},
			[]string{"fault imports trail: sideways, both live on words"}},
		{"no floor", []pkg{trail, {path: "attic"}},
			[]string{"attic has no floor: give it one in plan.go"}},
		{"imports what has no floor", []pkg{trail, {path: "cli", imports: []string{"m/attic"}}},
			[]string{"cli imports attic: it has no floor"}},
		{"imports the root package", []pkg{trail, {path: "cli", imports: []string{"m"}}},
			[]string{"cli imports .: it has no floor"}},
		{"imports what stands apart", []pkg{trail, {path: "cli", imports: []string{"m/bench/cmd"}}},
			[]string{"cli imports bench/cmd: it stands apart from the house"}},
		{"unused exception", []pkg{{path: "trail"}},
			[]string{"the exception for trail to import fault is not used: delete it (its words)"}},
		{"codec with a socket", []pkg{trail, {path: "wire/h1", imports: []string{"net", "net"}}},
			[]string{"wire/h1 imports net: no sockets"}},
		{"codec with an atomic", []pkg{trail, {path: "wire/h2/deep", imports: []string{"sync/atomic"}}},
			[]string{"wire/h2/deep imports sync/atomic: no sockets"}},
		{"lab with another module", []pkg{trail, {path: "lab", imports: []string{"example.org/x"}}},
			[]string{"lab imports example.org/x: only the standard library and lower floors here: used by all tests"}},
		{"lab with a module that is as good as standard", []pkg{trail, {path: "lab", imports: []string{"example.org/sys/unix"}}}, nil},
		{"concurrency", []pkg{trail, {path: "http1", moves: []move{{"go statement", "http1/a.go:3"}}}},
			[]string{"http1/a.go:3: go statement: sequential"}},
		{"concurrency elsewhere", []pkg{trail, {path: "loop", moves: []move{{"go statement", "loop/a.go:3"}, {"time.Sleep", "loop/a.go:4"}}}}, nil},
		{"clock", []pkg{trail, {path: "http1", moves: []move{{"time.Sleep", "http1/a.go:3"}, {"time.Duration", "http1/a.go:4"}}}},
			[]string{"http1/a.go:3: time.Sleep: stops the loop"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, small().judge(tt.pkgs)); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func TestRead(t *testing.T) {
	tests := []struct {
		name, src string
		imports   []string
		moves     []string
	}{
		{"imports, renamed and blank", "package a\nimport (\n\tx \"net\"\n\t_ \"m/b\"\n)\nvar _ = x.Dial\n", []string{"net", "m/b"}, nil},
		{"a build constraint hides nothing", "//go:build darwin\n\npackage a\nimport \"net\"\n", []string{"net"}, nil},
		{"a tool is no part of the package", "//go:build ignore\n\npackage main\nimport \"net\"\nfunc main() { go main() }\n", nil, nil},
		{"go statement", "package a\nfunc f() { go f() }\n", nil, []string{"go statement a.go:2"}},
		{"channel type", "package a\nvar c chan int\n", nil, []string{"channel type a.go:2"}},
		{"made channel", "package a\nfunc f() {\n\t_ = make(<-chan int)\n}\n", nil, []string{"channel type a.go:3"}},
		{"select", "package a\nfunc f() { select {} }\n", nil, []string{"select statement a.go:2"}},
		{"send and receive on somebody's channel", "package a\nimport \"m/b\"\nfunc f() {\n\tb.C <- 1\n\t<-b.C\n}\n", []string{"m/b"},
			[]string{"send on a channel a.go:4", "receive from a channel a.go:5"}},
		{"clock by another name", "package a\nimport clock \"time\"\nfunc f() { clock.Sleep(1) }\n", []string{"time"}, []string{"time.Sleep a.go:3"}},
		{"words are not code", "package a\n// go f() and <-c\nvar s = \"select {}\"\n", nil, nil},
		{"negation and dereference", "package a\nfunc f(p *int) int { return -*p }\n", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var k pkg
			if err := k.read("a.go", []byte(tt.src)); err != nil {
				t.Fatal(err)
			}
			var moves []string
			for _, m := range k.moves {
				moves = append(moves, m.what+" "+m.at)
			}
			if d := cmp.Diff(tt.imports, k.imports); d != "" {
				t.Errorf("imports: -want +got\n%s", d)
			}
			if d := cmp.Diff(tt.moves, moves); d != "" {
				t.Errorf("moves: -want +got\n%s", d)
			}
		})
	}
}

// A walk sees packages below the root and passes by what the go command
// passes by.
func TestLoad(t *testing.T) {
	pkgs, err := load("testdata/house")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range pkgs {
		got = append(got, k.path+": "+strings.Join(unique(k.imports), " "))
	}
	want := []string{".: m/internal/a", "internal/a: net sync", "internal/a/b: m/internal/a"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}
