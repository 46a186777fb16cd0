// Package test uses the built program as the documentation tells people to.
package test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/fault"
)

// The tests of this file hold the pages of the documentation to their word. A
// fenced block behind <!-- run --> is run with bash, in a folder of its own:
//
//	<!-- run -->                 to its end, which must be a success
//	<!-- run: exit=2 -->         to its end, with that exit code
//	<!-- run: serve -->          as a server, until the section ends
//	<!-- run: serve port=8080 -->  likewise, on a port that the command does not name
//	<!-- run: needs=node -->     only where that program is installed
//
// The block behind <!-- file: NAME --> is written to that file, the one behind
// <!-- shows --> is what the last run block has printed, the one behind
// <!-- shows: 8080 --> what the server on that port has. In those a line "..." is
// any number of lines and "…" any piece of a line; times, process ids and sizes
// may differ; ports and incidents are translated, so that a page may speak of
// what an earlier block has shown. `go run .` and `gatewhy` both mean the program
// under test.

var updateDocs = flag.Bool("update-docs", false, "write the lists in docs/ that come from the catalogue")

// handWritten are the pages with promises.
var handWritten = []string{"README.md", "docs/README.md", "docs/guide.md", "docs/configuration.md", "docs/healing.md", "docs/upstreams.md", "docs/admin.md", "docs/explanations.md", "docs/from-nginx.md", "docs/from-caddy.md"}

func TestDocsExamples(t *testing.T) {
	for _, name := range handWritten {
		t.Run(name, func(t *testing.T) {
			examples := 0
			for _, s := range sections(t, name) {
				if s.runs() {
					examples++
					t.Run(s.title, func(t *testing.T) { newSession(t).play(s) })
				}
			}
			if examples == 0 && name != "docs/README.md" {
				t.Error("no example is marked to be run")
			}
		})
	}
}

// read returns a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// block is a fenced block with the comment before it.
type block struct {
	verb, args string // of the comment
	text       string
	line       int
}

// section is what stands under one heading: the life of its servers.
type section struct {
	title  string
	blocks []block
}

func (s *section) runs() bool {
	return slices.ContainsFunc(s.blocks, func(b block) bool { return b.verb == "run" })
}

var (
	headingRE = regexp.MustCompile(`^##? +(.*)`)
	commentRE = regexp.MustCompile(`^<!-- (run|shows|file)(?:: (.*))? -->$`)
)

// sections reads a page. A comment that no block follows is a mistake.
func sections(t *testing.T, name string) []section {
	t.Helper()
	list := []section{{title: "top"}}
	var pending, fenced *block
	for i, line := range strings.Split(read(t, name), "\n") {
		m := commentRE.FindStringSubmatch(line)
		switch fence := strings.HasPrefix(line, "```"); {
		case fence && fenced == nil:
			fenced = &block{line: i + 1}
			if pending != nil {
				fenced.verb, fenced.args, pending = pending.verb, pending.args, nil
			}
		case fence:
			last := &list[len(list)-1]
			last.blocks = append(last.blocks, *fenced)
			fenced = nil
		case fenced != nil:
			fenced.text += line + "\n"
		case pending != nil:
			t.Fatalf("%s:%d: a comment for the test stands directly before a fenced block", name, i+1)
		case m != nil:
			pending = &block{verb: m[1], args: m[2]}
		default:
			if h := headingRE.FindStringSubmatch(line); h != nil {
				list = append(list, section{title: h[1]})
			}
		}
	}
	if fenced != nil || pending != nil {
		t.Fatalf("%s: the last block has no end", name)
	}
	return list
}

// cells returns the cells of the table rows between two comments of a page.
func cells(t *testing.T, page, list string) (rows [][]string) {
	t.Helper()
	text := read(t, page)
	begin, end := "<!-- "+list+" -->\n", "<!-- end of "+list+" -->"
	_, text, ok := strings.Cut(text, begin)
	text, _, closed := strings.Cut(text, end)
	if !ok || !closed {
		t.Fatalf("%s has no table between %q and %q", page, begin, end)
	}
	for _, line := range lines(text) {
		if !strings.HasPrefix(line, "| `") && !strings.HasPrefix(line, "| R") {
			continue
		}
		row := strings.Split(strings.Trim(line, "| "), " | ")
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		rows = append(rows, row)
	}
	return rows
}

var codeRE = regexp.MustCompile("`([^`]+)`")

// code returns what stands between backticks.
func code(s string) (list []string) {
	for _, m := range codeRE.FindAllStringSubmatch(s, -1) {
		list = append(list, m[1])
	}
	return list
}

var (
	flagRE    = regexp.MustCompile(`(?m)^  (?:-h, )?--([a-z0-9-]+)(?: ([A-Z]+))?(?:\s|$)`)
	defaultRE = regexp.MustCompile(`\(([^()]*)\)$`)
)

// The guide has each flag of `gatewhy proxy`, no other, and the defaults that help
// tells.
func TestDocsFlags(t *testing.T) {
	p := launch(t, t.TempDir(), "gatewhy proxy --help")
	out := ""
	if code := p.ended(t); code == 0 {
		out = p.printed()
	}
	help := map[string]string{}
	found := flagRE.FindAllStringSubmatchIndex(out, -1)
	for i, m := range found {
		end := len(out)
		if i+1 < len(found) {
			end = found[i+1][0]
		}
		text, _, _ := strings.Cut(out[m[0]:end], "\n\n")
		standard := ""
		if d := defaultRE.FindStringSubmatch(strings.Join(strings.Fields(text), " ")); d != nil {
			standard = d[1]
		}
		help[out[m[2]:m[3]]] = standard
	}
	page := map[string]string{}
	for _, row := range cells(t, "docs/guide.md", "flags") {
		if len(row) < 3 || len(code(row[0])) != 1 {
			t.Fatalf("a row is | `--flag VALUE` | default | why |, not %q", row)
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(code(row[0])[0], "--"), " ")
		if _, twice := page[name]; twice {
			t.Errorf("--%s is there twice", name)
		}
		page[name] = strings.Join(code(row[1]), " ")
	}
	if diff := cmp.Diff(help, page); diff != "" {
		t.Errorf("flags and defaults (-proxy --help +docs/guide.md):\n%s", diff)
	}
	if len(help) < 30 {
		t.Errorf("only %d flags found in help: has its form changed?\n%s", len(help), out)
	}
}

// The guide explains each key of a JSON line, and no other.
func TestDocsLogKeys(t *testing.T) {
	s := newSession(t)
	s.serve("gatewhy lab 127.0.0.1:9000")
	g := s.serve("gatewhy proxy 127.0.0.1:8080 127.0.0.1:9000 127.0.0.1:3000 --log-file log --eject-after 0")
	for _, path := range []string{"/good?q=1", "/good", "/fault/header_obs_fold", "/fault/header_name_bad_char", "/fault/body_eof_short/late"} {
		res, err := http.Get("http://127.0.0.1:" + s.ports["8080"] + path)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body) // the last one is cut, and shall be
		res.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit := g.ended(t); exit != 0 {
		t.Fatalf("exit code %d:\n%s", exit, g.printed())
	}
	log, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	written := string(log)
	if n := len(lines(written)); n != 5 {
		t.Errorf("%d lines, want 5:\n%s", n, written)
	}
	// What a short run does not meet is in the lines that accesslog is tested with.
	names, err := filepath.Glob("../internal/accesslog/testdata/*json*")
	if err != nil || len(names) == 0 {
		t.Fatalf("no golden lines: %v", err)
	}
	for _, name := range names {
		written += read(t, filepath.Join("internal/accesslog/testdata", filepath.Base(name)))
	}
	seen := map[string]bool{}
	for _, line := range lines(written) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		keys(seen, "", v)
	}
	if diff := cmp.Diff(seen, told(t, "docs/guide.md", "log keys")); diff != "" {
		t.Errorf("keys (-lines +docs/guide.md):\n%s", diff)
	}
}

// told is what the first column of a table names.
func told(t *testing.T, page, list string) map[string]bool {
	names := map[string]bool{}
	for _, row := range cells(t, page, list) {
		for _, k := range code(row[0]) {
			names[k] = true
		}
	}
	return names
}

// keys collects the keys of v: "key", "object.key", "list[].key".
func keys(seen map[string]bool, prefix string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			keys(seen, prefix+"."+k, e)
		}
		return
	case []any:
		for _, e := range v {
			if _, ok := e.(map[string]any); ok {
				keys(seen, prefix+"[]", e)
			}
		}
		if len(v) > 0 {
			if _, ok := v[0].(map[string]any); ok {
				return
			}
		}
	}
	seen[strings.TrimPrefix(prefix, ".")] = true
}

// The page on explanations has each member of the JSON form, and no other.
func TestDocsProblemMembers(t *testing.T) {
	s := newSession(t)
	s.serve("gatewhy lab 127.0.0.1:9000")
	s.serve("gatewhy proxy 127.0.0.1:8080 127.0.0.1:9000 --log off --errors-detail all")
	req, err := http.NewRequest("GET", "http://127.0.0.1:"+s.ports["8080"]+"/fault/header_name_bad_char", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/problem+json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var v map[string]any
	if err := json.NewDecoder(res.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for k := range v {
		seen[k] = true
	}
	if diff := cmp.Diff(seen, told(t, "docs/explanations.md", "problem members")); diff != "" {
		t.Errorf("members (-answer +docs/explanations.md):\n%s", diff)
	}
}

// The lists of what is mended, noted and refused are those of
// the catalogue. -update-docs writes them.
func TestDocsCatalogue(t *testing.T) {
	const page = "docs/healing.md"
	lists := map[string]func(*fault.Row) bool{
		"repairs": func(r *fault.Row) bool { return r.Kind == fault.Repair },
		"notices": func(r *fault.Row) bool { return r.Kind == fault.Notice },
		"refused": func(r *fault.Row) bool {
			return r.Kind == fault.Failure && r.Class == fault.ClassBadAnswer && r.Side == fault.Upstream
		},
	}
	old := read(t, page)
	text := old
	for name, belongs := range lists {
		var b strings.Builder
		b.WriteString("| fault | what is wrong | rule |\n| --- | --- | --- |\n")
		for _, r := range fault.Catalogue() {
			if belongs(r) {
				fmt.Fprintf(&b, "| [`%s`](faults/%[1]s.md) | %s | %s |\n", r.ID, r.Title, r.Rule)
			}
		}
		begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->"
		before, rest, ok := strings.Cut(text, begin)
		_, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			t.Fatalf("%s has no list between %q and %q", page, begin, end)
		}
		text = before + begin + b.String() + end + after
	}
	if *updateDocs {
		if err := os.WriteFile(filepath.Join("..", page), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(lines(old), lines(text)); diff != "" {
		t.Errorf("%s and the catalogue differ; go test ./test -update-docs writes it (-page +catalogue):\n%s", page, diff)
	}
}

// The table of retry rules has each rule of the catalogue, and each fault
// that it names as an example is one of that rule.
func TestDocsRetryRules(t *testing.T) {
	used := map[string]bool{}
	for _, r := range fault.Catalogue() {
		if r.Retry != fault.NoRetry {
			used[r.Retry.String()] = true
		}
	}
	named := map[string]bool{}
	for _, row := range cells(t, "docs/healing.md", "rules") {
		named[row[0]] = true
		examples := code(row[len(row)-1])
		if len(examples) == 0 {
			t.Errorf("%s has no example", row[0])
		}
		for _, e := range examples {
			if !fault.Known(fault.ID(e)) {
				t.Errorf("%s: there is no fault %q", row[0], e)
			} else if rule := fault.Lookup(fault.ID(e)).Retry.String(); rule != row[0] {
				t.Errorf("%s is an example of %s in the table, and %s in the catalogue", e, row[0], rule)
			}
		}
	}
	if diff := cmp.Diff(used, named); diff != "" {
		t.Errorf("rules (-catalogue +page):\n%s", diff)
	}
}

var linkRE = regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)

// What a page links to within the repository is there.
func TestDocsLinks(t *testing.T) {
	for _, name := range append([]string{"ARCHITECTURE.md"}, handWritten...) {
		for _, m := range linkRE.FindAllStringSubmatch(read(t, name), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			path := filepath.Join("..", filepath.Dir(name), m[1])
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			}
		}
	}
}
