package conf

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// seeds are whole files and small sins.
func seeds(f *testing.F) {
	files, err := filepath.Glob("../config/testdata/*/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	for _, s := range []string{"", "#", "a: *x\n", "a: !b c", "\ta: b", "a: [1, {b: c}, 'd''e', \"f\\n\"]\n# x", "? a\n: b", "- - a\n  - b\n", "a: |\n  x\nb: >-\n y\n",
		"x-a: &a [1]\nb: *a", "---\na: b\n---\n", "a: b\r\nc: d\r", "\ufeffa: 日本 # 語\n", "%YAML 1.1\n---\n", "a: \"b\nc\"\n", "a: {b: \n# c\nd}\n", "{", "a: 'b", "a:\n b: 1\n  c: 2\n", "- a\n b\n",
		"a: [::1]:80", "a: b: c", "a:b\nc: d", "a: - b", "? ? a", "!!map {a: b}", "&a a: *a", "<<: 1", "a: &a {b: *a}"} {
		f.Add(s)
	}
}

// Whatever a file holds, reading it ends in a tree or in a problem with a place
// inside of it, and telling that works.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			return
		}
		s := NewSource("f", text)
		var r Report
		n := Parse(s, &r)
		if n == nil && !r.Failed() {
			t.Fatal("no tree and no error")
		}
		if n != nil {
			inside(t, n, s)
		}
		for _, p := range r.Problems {
			for _, l := range labels(&p) {
				if l.Valid() && (l.Start < 0 || l.End < l.Start || l.End > len(text)) {
					t.Errorf("%s: label %d-%d of %d", p.Name, l.Start, l.End, len(text))
				}
			}
			last := 0
			for _, e := range p.Fix {
				if e.Start < last || e.End < e.Start || e.End > len(text) {
					t.Errorf("%s: edit %d-%d after %d of %d", p.Name, e.Start, e.End, last, len(text))
				}
				last = e.End
			}
		}
		r.Sort()
		r.Render(io.Discard, true)
		r.JSON()
		r.Fix()
	})
}

func inside(t *testing.T, n *Node, in *Source) {
	if n.Start < 0 || n.End < n.Start || n.End > len(in.Text) || n.Source != in {
		t.Errorf("node %q at %d-%d of %d", n.Text, n.Start, n.End, len(in.Text))
	}
	for _, e := range n.Entries {
		inside(t, e.Key, in)
		inside(t, e.Value, in)
	}
	for _, i := range n.Items {
		inside(t, i, in)
	}
}

// Laying a file out never changes what it means, never loses a comment (Format
// itself checks both, and says if it would) and is done after one run.
func FuzzFormat(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			return
		}
		var r Report
		out, err := Format(NewSource("f", text), &r)
		if err != nil || out == nil {
			return
		}
		again, err := Format(NewSource("f", string(out)), &r)
		if err != nil || !bytes.Equal(out, again) {
			t.Errorf("%q becomes %q becomes %q (%v)", text, out, again, err)
		}
		for line := range strings.Lines(string(out)) {
			if strings.HasSuffix(strings.TrimSuffix(line, "\n"), " ") && !strings.ContainsAny(text, "|>\"'") {
				t.Errorf("%q becomes %q: a blank at the end of a line", text, out)
			}
		}
	})
}

// A tree that is written and read again is the same.
func FuzzWrite(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<14 {
			return
		}
		var r Report
		n := Parse(NewSource("f", text), &r)
		if n == nil || r.Failed() || strings.Contains(text, "*") || strings.Contains(text, "&") {
			return
		}
		out := n.YAML(false)
		back := Parse(NewSource("g", string(out)), &r)
		if back == nil || r.Failed() || !same(n, back) {
			var b bytes.Buffer
			r.Render(&b, false)
			t.Errorf("%q is written %q: %s", text, out, b.String())
		}
		if b, err := n.MarshalJSON(); err != nil || len(b) == 0 {
			t.Errorf("%q as JSON: %s, %v", text, b, err)
		}
	})
}
