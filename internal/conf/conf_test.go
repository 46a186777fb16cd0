package conf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func parse(t *testing.T, text string) *Node {
	t.Helper()
	var r Report
	n := Parse(NewSource("f.yaml", text), &r)
	if n == nil || len(r.Problems) > 0 {
		t.Fatalf("%q: %+v", text, r.Problems)
	}
	return n
}

// Each node stands where it stands, in characters of any width.
func TestPlaces(t *testing.T) {
	n := parse(t, "# 1\n\u65e5\u672c: [a, 'b c', \"d\\te\"] # x\r\nk:\n  - {x: y, z: }\n  - >\n    folded\n    text\n\n  - plain\n    more # c\nx-a: &q { r: s }\nl: *q\n")
	var got []string
	var walk func(n *Node)
	walk = func(n *Node) {
		got = append(got, fmt.Sprintf("%s %q", n.Span, n.Span.Text()))
		for _, e := range n.Entries {
			walk(e.Key)
			walk(e.Value)
		}
		for _, i := range n.Items {
			walk(i)
		}
	}
	walk(n)
	want := []string{
		"f.yaml:2:1 " + fmt.Sprintf("%q", n.Span.Text()),
		`f.yaml:2:1 "` + "\u65e5\u672c" + `"`, `f.yaml:2:5 "[a, 'b c', \"d\\te\"]"`, `f.yaml:2:6 "a"`, `f.yaml:2:9 "'b c'"`, `f.yaml:2:16 "\"d\\te\""`,
		`f.yaml:3:1 "k"`, `f.yaml:4:3 "- {x: y, z: }\n  - >\n    folded\n    text\n\n  - plain\n    more"`,
		`f.yaml:4:5 "{x: y, z: }"`, `f.yaml:4:6 "x"`, `f.yaml:4:9 "y"`, `f.yaml:4:12 "z"`, `f.yaml:4:15 ""`,
		`f.yaml:5:5 ">\n    folded\n    text"`, `f.yaml:9:5 "plain\n    more"`,
		`f.yaml:11:1 "x-a"`, `f.yaml:11:6 "&q { r: s }"`, `f.yaml:11:11 "r"`, `f.yaml:11:14 "s"`, `f.yaml:12:1 "l"`, `f.yaml:12:4 "*q"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What was mended in memory does not move what comes after it.
func TestPlacesBehindMends(t *testing.T) {
	var r Report
	n := Parse(NewSource("f.yaml", "*.a.b: x\nk: @v # c\nz:\n  - 1\n"), &r)
	if n == nil || len(r.Problems) != 2 {
		t.Fatalf("%+v", r.Problems)
	}
	z := n.Get("z")
	if z.Items[0].Span.String() != "f.yaml:4:5" || z.Items[0].Span.Text() != "1" || n.Get("any.a.b") == nil {
		t.Errorf("%s %q", z.Items[0].Span, z.Items[0].Span.Text())
	}
}

func TestRenderOfManyKinds(t *testing.T) {
	a := NewSource("a.yaml", "one\ntwo\nthree\nfour\nfive\nsix\n"+strings.Repeat("x", 300)+"NEEDLE"+strings.Repeat("y", 300)+"\n\u202eevil\x1b[31m\u0000\n")
	b := NewSource("b/b.yaml", "other\tfile \U0001f600 here\n")
	at := func(s *Source, text string) Span {
		i := strings.Index(s.Text, text)
		return Span{s, i, i + len(text)}
	}
	var r Report
	r.know(a)
	r.know(b)
	r.Add(Problem{Name: "two_files", Message: "two files", At: Label{at(b, "here"), "again"}, Also: []Label{{at(a, "two"), "first"}, {at(a, "six"), ""}, {at(a, "three"), "near"}}})
	r.Add(Problem{Level: Warning, Name: "long", Message: "a long line", At: Label{at(a, "NEEDLE"), "here"}, Notes: []string{"one\ntwo"}, Help: "shorten it"})
	r.Add(Problem{Name: "hostile", Message: "what acts on terminals: \x1b[2J", At: Label{at(a, "evil"), "\x1b]0;x\a"}})
	r.Add(Problem{Name: "nowhere", Message: "no place", Where: "flag --x"})
	r.Add(Problem{Name: "nowhere", Message: "no place", Where: "flag --x"}) // the same
	r.Add(Problem{Name: "lines", Message: "a fix of several lines", At: Label{Span: at(a, "two")}, Help: "so", Fix: []Edit{{Span{a, 4, 13}, "2\n3"}, {at(a, "five"), "5"}}})
	r.Sort()
	var out bytes.Buffer
	if err := r.Render(&out, false); err != nil {
		t.Fatal(err)
	}
	want := `error[nowhere]: no place
  --> flag --x

error[lines]: a fix of several lines
  --> a.yaml:2:1
   |
 2 | two
   | ^^^
help: so
   |
 2 - two
 3 - three
 2 + 2
 3 + 3
 5 | 5
   | ~

warning[long]: a long line
  --> a.yaml:7:301
   |
 7 | …` + strings.Repeat("x", 40) + "NEEDLE" + strings.Repeat("y", 114) + `…
   | ` + strings.Repeat(" ", 41) + `^^^^^^ here
   = note: one
           two
help: shorten it

error[hostile]: what acts on terminals: ` + "\ufffd" + `[2J
  --> a.yaml:8:2
   |
 8 | ` + "\ufffdevil\ufffd[31m\ufffd" + `
   |  ^^^^ ` + "\ufffd]0;x\ufffd" + `

error[two_files]: two files
  --> b/b.yaml:1:14
   |
 1 | other    file ` + "\U0001f600" + ` here
   |                  ^^^^ again
  ::: a.yaml:2:1
   |
 2 | two
   | --- first
 3 | three
   | ----- near
 4 | four
 5 | five
 6 | six
   | ---

`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := r.Summary("x"); got != "x: 4 errors, 1 warning, 1 can be fixed with --fix" {
		t.Error(got)
	}
}

// A report keeps the first problems and counts the others.
func TestReportIsBounded(t *testing.T) {
	var r Report
	for i := range 3 * MaxProblems {
		r.Add(Problem{Level: Level(i % 2), Name: "x", Message: fmt.Sprint(i)})
	}
	if len(r.Problems) != MaxProblems || r.Left() != 2*MaxProblems || r.Count(Warning) != 3*MaxProblems/2 {
		t.Errorf("%d kept, %d left, %d warnings", len(r.Problems), r.Left(), r.Count(Warning))
	}
	var out bytes.Buffer
	r.Render(&out, false)
	if !strings.HasSuffix(out.String(), "200 further problems not shown\n\n") {
		t.Error(out.String()[out.Len()-60:])
	}
}

func TestColumns(t *testing.T) {
	for s, want := range map[string]int{"a": 1, "\t": 4, "\u65e5": 2, "\U0001f600": 2, "e\u0301": 1, "\u200d": 0, "\u00e9": 1, "\uff21": 2, "\x00": 1, "\xff": 1, "\u202e": 1, "\uac00": 2} {
		if _, got := shown(s); got != want {
			t.Errorf("%q takes %d columns, want %d", s, got, want)
		}
	}
}

// Options for the decoder's tests.
type (
	root struct {
		Name  string            `conf:"name,env"`
		Inner inner             `conf:"inner"`
		List  []inner           `conf:"list"`
		Table map[string]*inner `conf:"table"`
		Tree  *tree             `conf:"tree"`
		Text  shout             `conf:"text"`
		Path  string            `conf:"path,file"`
		Share float64           `conf:"share" min:"0" max:"1"`
	}
	inner struct {
		To    []string      `conf:"to,short,required"`
		Wait  time.Duration `conf:"wait" flag:"wait" zero:"no"`
		Size  Size          `conf:"size" min:"1KiB" max:"1MiB"`
		Count int           `conf:"count" min:"1" max:"9"`
		On    bool          `conf:"on" flag:"!off,on"`
		Kind  string        `conf:"kind" enum:"red,green" aka:"colour"`
	}
	tree struct {
		Below []tree `conf:"below"`
	}
	shout string
)

func (i *inner) Default()   { i.Wait, i.Count, i.On = time.Second, 2, true }
func (*inner) Noun() string { return "inner thing" }

func (s *shout) UnmarshalText(b []byte) error {
	if bytes.ContainsAny(b, "abc") {
		return &Bad{Message: "too quiet", Start: 1, End: 2, With: strings.ToUpper(string(b))}
	}
	*s = shout(b)
	return nil
}

func (s shout) MarshalText() ([]byte, error) { return []byte(s), nil }

func decode(text string, set map[string]string) (*root, *Decoder) {
	r := new(Report)
	d := &Decoder{Report: r, Env: func(n string) (string, bool) { return "value", n == "V" },
		Set: func(n string) (string, Origin, bool) { v, ok := set[n]; return v, Origin{Flag, "--" + n}, ok }}
	o := new(root)
	if n := Parse(NewSource("dir/f.yaml", text), r); n != nil {
		d.Decode(n, o)
	}
	r.Sort()
	return o, d
}

func TestDecode(t *testing.T) {
	o, d := decode(`
name: a ${env.V}!
inner: { to: [x, y], wait: 5s, size: 2KiB, count: 3, on: false, kind: red, x-own: [whatever] }
list: [ one, { to: two }, [three, four] ]
table:
  a: x
  b: { to: y, count: 9 }
  x-shared: { nothing: here }
tree: { below: [ { below: [] } ] }
text: LOUD
path: sub/file
share: 0.5
x-more: 1
`, nil)
	want := &root{Name: "a value!", Inner: inner{[]string{"x", "y"}, 5 * time.Second, 2048, 3, false, "red"},
		List:  []inner{{[]string{"one"}, time.Second, 0, 2, true, ""}, {[]string{"two"}, time.Second, 0, 2, true, ""}, {[]string{"three", "four"}, time.Second, 0, 2, true, ""}},
		Table: map[string]*inner{"a": {[]string{"x"}, time.Second, 0, 2, true, ""}, "b": {[]string{"y"}, time.Second, 0, 9, true, ""}},
		Tree:  &tree{[]tree{{}}}, Text: "LOUD", Path: "dir/sub/file", Share: 0.5}
	if diff := cmp.Diff(want, o); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(d.Report.Problems) != 1 || d.Report.Problems[0].Name != "empty_list" {
		t.Errorf("%+v", d.Report.Problems)
	}
	for at, want := range map[Path]string{"/name": "env V", "/inner/wait": "dir/f.yaml:3", "/list/0": "dir/f.yaml:4", "/table/b/count": "dir/f.yaml:7"} {
		if got := d.Places[at].From.String(); got != want {
			t.Errorf("%s comes from %s, want %s", at, got, want)
		}
	}
	if got := d.Places["/inner/size"].From.String() + d.Places["/list/1/wait"].From.String(); got != "dir/f.yaml:3default" {
		t.Error(got)
	}
}

func TestFlagsWin(t *testing.T) {
	o, d := decode("inner: { to: x, wait: 5s }\n", map[string]string{"wait": "9s", "off": "true"})
	if o.Inner.Wait != 9*time.Second || o.Inner.On || d.Places["/inner/wait"].From.String() != "flag --wait" || len(d.Report.Problems) > 0 {
		t.Errorf("%+v %+v", o.Inner, d.Report.Problems)
	}
	o, _ = decode("list: [ x ]\ntable: { a: y }\n", map[string]string{"on": "false"})
	if o.List[0].On || o.Table["a"].On || o.Inner.On {
		t.Errorf("%+v", o)
	}
}

// What cannot be decoded is told with its place, and the rest is decoded.
func TestDecodeErrors(t *testing.T) {
	for _, c := range []struct{ text, problem, place, with string }{
		{"inner: { to: x, wait: 5 }", "missing_unit", "1:23", "5s"},
		{"inner: { to: x, wait: 0 }", "out_of_range", "1:23", ""},
		{"inner: { to: x, size: 5MiB }", "out_of_range", "1:23", ""},
		{"inner: { to: x, size: 1024 }", "missing_unit", "1:23", "1KiB"},
		{"inner: { to: x, count: 10 }", "out_of_range", "1:24", ""},
		{"inner: { to: x, count: \"3\" }", "bad_number", "1:24", "3"},
		{"inner: { to: x, count: three }", "bad_number", "1:24", ""},
		{"inner: { to: x, on: yes }", "bad_boolean", "1:21", "true"},
		{"inner: { to: x, kind: gren }", "bad_choice", "1:23", "green"},
		{"inner: { to: x, kind: blue }", "bad_choice", "1:23", ""},
		{"inner: { to: x, colour: red }", "unknown_key", "1:17", "kind"},
		{"inner: { to: x, To: y }", "unknown_key", "1:17", "to"},
		{"inner: { count: 3 }", "missing_key", "1:1", ""},
		{"inner: { to: x, zzzzzzz: 3 }", "unknown_key", "1:17", ""},
		{"inner: { to: { a: b } }", "wrong_kind", "1:14", ""},
		{"inner: { to: {host} }", "braces_are_a_map", "1:14", "\"{host}\""},
		{"inner: { to: '' }", "empty_value", "1:14", ""},
		{"inner:", "empty_value", "1:1", ""},
		{"list: {a: b}", "missing_key", "1:7", ""},
		{"table: [a]", "wrong_kind", "1:8", ""},
		{"table: { a: }", "empty_value", "1:10", ""},
		{"text: LaUD", "bad_value", "1:8", "LAUD"},
		{"text: 'LaUD'", "bad_value", "1:9", "\"LAUD\""},
		{"text: \"L\\x61UD\"", "bad_value", "1:7", "\"LAUD\""},
		{"share: 1.5", "out_of_range", "1:8", ""},
		{"share: 20%", "bad_number", "1:8", "0.2"},
		{"share: NaN", "bad_number", "1:8", ""},
		{"path: ${env.V}", "env_not_here", "1:7", ""},
		{"name: ${env.W}", "env_not_set", "1:7", ""},
		{"name: ${env.V", "bad_placeholder", "1:7", ""},
		{"tree: x", "wrong_kind", "1:7", ""},
		{"name: [a, b]", "wrong_kind", "1:7", ""},
		{"share: {a: 1}\nname: good", "wrong_kind", "1:8", ""},
	} {
		_, d := decode(c.text+"\n", nil)
		if len(d.Report.Problems) == 0 {
			t.Errorf("%s: no problem", c.text)
			continue
		}
		p := d.Report.Problems[0]
		with := ""
		if len(p.Fix) > 0 {
			with = p.Fix[0].With
		}
		if p.Name != c.problem || p.At.String() != "dir/f.yaml:"+c.place || with != c.with {
			t.Errorf("%s: %s at %s, %q (%s); want %s at %s, %q", c.text, p.Name, p.At, with, p.Message, c.problem, c.place, c.with)
		}
	}
}

// Aliases of aliases end in a limit, not in all of the memory.
func TestAliasesAreCounted(t *testing.T) {
	var b strings.Builder
	b.WriteString("x-0: &a0 { below: [ {} ] }\n")
	for i := 1; i < 20; i++ {
		fmt.Fprintf(&b, "x-%d: &a%d { below: [ %s ] }\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10))
	}
	b.WriteString("tree: *a19\n")
	_, d := decode(b.String(), nil)
	if len(d.Report.Problems) != 1 || d.Report.Problems[0].Name != "too_large" || !d.Full() {
		t.Errorf("%+v", d.Report.Problems)
	}
}

// memFS are files in memory.
type memFS map[string]string

func (m memFS) Read(name string) ([]byte, error) {
	if s, ok := m[name]; ok {
		return []byte(s), nil
	}
	return nil, fs.ErrNotExist
}

func (m memFS) Glob(pattern string) (list []string, err error) {
	for name := range m {
		if ok, err := path.Match(pattern, name); err != nil {
			return nil, err
		} else if ok {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list, nil
}

func TestInclude(t *testing.T) {
	for _, c := range []struct {
		name  string
		files memFS
		keys  string   // of the whole
		want  []string // names and places of problems
	}{
		{"a list and patterns", memFS{"d/f": "include: [a, 'p*']\nk: 1\n", "d/a": "b: { x: 1 }\n", "d/p1": "b: { y: 2 }\n", "d/p2": "c: 3\n"}, "include k b{x y} c", nil},
		{"relative to its file", memFS{"d/f": "include: e/a\n", "d/e/a": "include: b\n", "d/e/b": "k: 1\n"}, "include k", nil},
		{"what is private stays", memFS{"d/f": "include: a\nx-s: 1\n", "d/a": "x-s: 2\nk: 3\n"}, "include x-s k", nil},
		{"a conflict of values", memFS{"d/f": "include: a\nk: 1\n", "d/a": "k: 2\n"}, "include k", []string{"include_conflict d/a:1:1 d/f:2:1"}},
		{"a conflict in maps", memFS{"d/f": "include: a\nk: { x: 1 }\n", "d/a": "k: { y: 1, x: 1 }\n"}, "include k{x y}", []string{"include_conflict d/a:1:12 d/f:2:6"}},
		{"a conflict of two included", memFS{"d/f": "include: [a, b]\n", "d/a": "k: 1\n", "d/b": "k: 2\n"}, "include k", []string{"include_conflict d/b:1:1 d/a:1:1"}},
		{"a circle", memFS{"d/f": "include: a\n", "d/a": "include: f\n"}, "include", []string{"include_cycle d/a:1:10"}},
		{"itself by a pattern", memFS{"d/f": "include: '*'\nk: 1\n", "d/g": "l: 1\n"}, "include k l", nil},
		{"itself by name", memFS{"d/f": "include: f\n"}, "include", []string{"include_cycle d/f:1:10"}},
		{"missing", memFS{"d/f": "include: a\nk: 1\n"}, "include k", []string{"cannot_read d/f:1:10"}},
		{"a pattern without files", memFS{"d/f": "include: a*\n"}, "include", []string{"include_nothing d/f:1:10"}},
		{"a directory without files", memFS{"d/f": "include: [c/*.x, e/*, h*/*.x]\n", "d/c": "", "d/e": "", "d/e/y": "k: 1\n", "d/h": "", "d/h/y": ""}, "include k", []string{"include_nothing d/f:1:23"}},
		{"a broken pattern", memFS{"d/f": "include: 'a['\n"}, "include", []string{"bad_value d/f:1:10"}},
		{"no path", memFS{"d/f": "include: [{ a: b }, '']\n"}, "include", []string{"wrong_kind d/f:1:11", "wrong_kind d/f:1:21"}},
		{"a broken file", memFS{"d/f": "include: a\nk: 1\n", "d/a": "[\n"}, "include k", []string{"unclosed_bracket d/a:1:1"}},
		{"an alias", memFS{"d/f": "x-i: &i a\ninclude: *i\n", "d/a": "k: 1\n"}, "x-i include k", nil},
		{"a shared map is not changed", memFS{"d/f": "x-m: &m { x: 1 }\nk: *m\nl: *m\ninclude: a\n", "d/a": "k: { y: 2 }\n"}, "x-m{x} k{x y} l{x} include", nil},
	} {
		r := new(Report)
		n := Load("d/f", c.files, r)
		r.Sort()
		var got []string
		for _, p := range r.Problems {
			s := p.Name + " " + p.At.String()
			for _, l := range p.Also {
				s += " " + l.String()
			}
			got = append(got, s)
		}
		var keys []string
		for _, e := range n.Entries {
			k := e.Key.Text
			if v := e.Value.Value(); v.Kind == Map {
				var sub []string
				for _, e := range v.Entries {
					sub = append(sub, e.Key.Text)
				}
				k += "{" + strings.Join(sub, " ") + "}"
			}
			keys = append(keys, k)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || strings.Join(keys, " ") != c.keys {
			t.Errorf("%s: keys %v, want %s; problems (-want +got):\n%s", c.name, keys, c.keys, diff)
		}
	}
}

func TestIncludesAreBounded(t *testing.T) {
	deep := memFS{}
	for i := range 20 {
		deep[fmt.Sprint(i)] = fmt.Sprintf("include: %d\n", i+1)
	}
	deep["20"] = ""
	r := new(Report)
	if Load("0", deep, r); len(r.Problems) != 1 || r.Problems[0].Name != "too_deep" {
		t.Errorf("%+v", r.Problems)
	}
	many := memFS{"f": "include: many/*\n"}
	for i := range MaxFiles {
		many[fmt.Sprintf("many/%d", i)] = ""
	}
	r = new(Report)
	if Load("f", many, r); len(r.Problems) != 1 || r.Problems[0].Name != "too_large" {
		t.Errorf("%d problems", len(r.Problems))
	}
}

// The disk's files are read up to a limit, and directories are none.
func TestDisk(t *testing.T) {
	if _, err := (Disk{}).Read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Error(err)
	}
	if _, err := (Disk{}).Read(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there is read")
	}
	if b, err := (Disk{}).Read("conf.go"); err != nil || !bytes.HasPrefix(b, []byte("// Package conf")) {
		t.Errorf("%v %.20s", err, b)
	}
	if _, err := os.Stat("/dev/zero"); err != nil {
		return // this system has no file without an end
	}
	if b, err := (Disk{}).Read("/dev/zero"); err != nil || len(b) != MaxFile+1 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// What is written is read back, whatever is in it.
func TestWriteScalars(t *testing.T) {
	for _, s := range []string{"a", "a b", "", " a", "a ", "a: b", "a #b", "#a", "- a", "-", "?", ":", ":80", "a:", "[::1]:80", "{a}", "*a", "&a", "!a", "|", ">", "@a", "`a", "%a", "'a", "\"a\"",
		"null", "~", "true", "yes", "1", "0x1", "1.5", "<<", "---", "...", "a\nb", "a\tb", "\u00e9", "\u65e5", "\u0085", "\ufeff", "\x01", "a,b", "a]", "\\", "it's", "${env.X}", "\U0001f600", "=", "a\u2028b"} {
		for _, list := range []bool{false, true} {
			n := &Node{Kind: Scalar, Text: s}
			tree := &Node{Kind: Map, Entries: []Entry{{&Node{Kind: Scalar, Text: s + "k"}, n}}}
			if list {
				tree.Entries[0].Value = &Node{Kind: List, Items: []*Node{n, {Kind: Scalar, Text: "x"}}}
			}
			out := string(tree.YAML(false))
			back := parse(t, out)
			if !same(tree, back) {
				t.Errorf("%q is written %q", s, out)
			}
			b, err := json.Marshal(tree)
			var v map[string]any
			if err != nil || json.Unmarshal(b, &v) != nil {
				t.Errorf("%q as JSON: %s %v", s, b, err)
			}
		}
	}
}

func TestPaths(t *testing.T) {
	p := Path("").Key("sites").Key("http://a~b/c").Index(0).Index(12).Key("").Key("x")
	if p != "/sites/http:~1~1a~0b~1c/0/12//x" {
		t.Error(p)
	}
	if diff := cmp.Diff([]string{"sites", "http://a~b/c", "0", "12", "", "x"}, p.Parts()); diff != "" {
		t.Error(diff)
	}
	if p.parent() != "/sites/http:~1~1a~0b~1c/0/12/" || Path("/a").parent() != "" {
		t.Error(p.parent())
	}
}

// A file is laid out in one way.
func TestFormat(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"# only\n\n\n", "# only\n"},
		{"a:   1   # one\nb:\n    - c: 1\n      d: 2 #x\n\n\n\n    # about e\n    - e\n    # last of b\n# about f\nf: {a: 1,b: [x,y ,z]}   # f\n\n",
			"a: 1   # one\nb:\n  - c: 1\n    d: 2 # x\n\n  # about e\n  - e\n  # last of b\n# about f\nf: { a: 1, b: [x, y, z] }   # f\n"},
		{"a: { # why\n b: 1, # one\n\n # two\n c: [1,\n 2] }\n", "a: {\n  # why\n  b: 1, # one\n\n  # two\n  c: [\n    1,\n    2,\n  ],\n}\n"},
		{"a: # c1\n  # c2\n  b\nc:\n- 1\n- 2\n# for d\nd: x\n", "# c1\n# c2\na: b\nc:\n  - 1\n  - 2\n# for d\nd: x\n"},
		{"a: |\n    x\n      y\n\n    z\nb: >- # c\n   k\nc: \"a\n    b\"\nd: plain\n    more\n", "a: |\n  x\n    y\n\n  z\nb: >- # c\n  k\nc: \"a\n  b\"\nd: plain\n  more\n"},
		{"---\nx-a: &a\n   b: 1\nc: *a\nd: [*a,  *a]\n...\n", "x-a: &a\n  b: 1\nc: *a\nd: [*a, *a]\n"},
		{"a:\n\n  b: 1\n", "a:\n  b: 1\n"},
		{"a:\n  -   - x\n      - y\n  - # c\n    z: 1\n", "a:\n  - - x\n    - y\n  # c\n  - z: 1\n"},
		{"a: {}\nb: []\nc: {\n# x\n}\nd: { e: , f }\n", "a: {}\nb: []\nc: {\n  # x\n}\nd: { e, f }\n"},
		{"a: 1\r\nb: # x\r\n  - 2\r\n", "a: 1\nb: # x\n  - 2\n"},
		{"\ufeffa: 'it''s'\n", "a: 'it''s'\n"},
		{"a: \"#no\"   #yes\nb: no#comment\n#!keep\n##\n", "a: \"#no\"   # yes\nb: no#comment\n#!keep\n##\n"},
		{"a:\n  b:\n    c: 1\n    # of c\n  # of b\n# of a\nd: 1\n", "a:\n  b:\n    c: 1\n    # of c\n  # of b\n# of a\nd: 1\n"},
	} {
		var r Report
		out, err := Format(NewSource("f", c.in), &r)
		if err != nil || string(out) != c.want {
			t.Errorf("%q\nis laid out as\n%q, %v, want\n%q", c.in, out, err, c.want)
		}
	}
	var r Report
	if out, err := Format(NewSource("f", "a: [\n"), &r); out != nil || err != nil || !r.Failed() {
		t.Errorf("a broken file: %q %v", out, err)
	}
}

// The tags of options are checked when they are read for the first time.
func TestUnknownTag(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a tag with an unknown word is accepted")
		}
	}()
	Fields(reflect.TypeFor[struct {
		A string `conf:"a,shrot"`
	}]())
}
