package conf

import (
	"bytes"
	"errors"
	"slices"
	"strings"
)

// errMeaning says that Format would not do what it must.
var errMeaning = errors.New("it cannot be laid out anew without changing what it means: this is a mistake of gatewhy fmt, please report it")

// Format lays a file out in one way: two blanks a level, one before and behind
// what is in braces, no more than one empty line at once. Comments stay with what
// they are about, and the order, the quotes and the choice between braces and
// lines stay as they are. What comes out means the same and is left alone by
// another run.
//
// A file that is no YAML is not touched; the report says why.
func Format(s *Source, r *Report) ([]byte, error) {
	out, err := layOut(s, r)
	// A comment that had to move may stand otherwise in its new place.
	for range settleMost {
		if out == nil || err != nil {
			return nil, err
		}
		var again Report
		next, err := layOut(NewSource(s.Name, string(out)), &again)
		if err != nil || bytes.Equal(out, next) {
			return next, err
		}
		out = next
	}
	return nil, errMeaning
}

// settleMost bounds how often a layout may change what the last one made.
const settleMost = 4

// layOut is one run of Format.
func layOut(s *Source, r *Report) ([]byte, error) {
	s = NewSource(s.Name, strings.TrimPrefix(s.Text, "\ufeff"))
	before := len(r.Problems)
	root := Parse(s, r)
	if root == nil || len(r.Problems) > before {
		return nil, nil
	}
	f := &formatter{s: s, comments: comments(s, root)}
	if len(root.Entries) > 0 {
		f.block(root, 0, len(s.Text), -1, false)
	}
	f.before(len(s.Text), 0, len(root.Entries) == 0)
	out := f.out
	for len(out) > 0 && out[len(out)-1] == '\n' {
		out = out[:len(out)-1]
	}
	if len(out) > 0 {
		out = append(out, '\n')
	}
	// It is easier to see that nothing was lost than to be sure of never losing
	// anything.
	var again Report
	t := NewSource(s.Name, string(out))
	back := Parse(t, &again)
	if back == nil || len(again.Problems) > 0 || !alike(root, back) || !slices.EqualFunc(f.comments, comments(t, back), func(a, b comment) bool {
		return tidy(a.text) == tidy(b.text)
	}) {
		return nil, errMeaning
	}
	return out, nil
}

// alike reports whether two trees are the same to each reader, anchors included.
func alike(a, b *Node) bool {
	if a.Kind != b.Kind || a.Text != b.Text || a.Plain != b.Plain || a.props != b.props || len(a.Entries) != len(b.Entries) || len(a.Items) != len(b.Items) {
		return false
	}
	for i := range a.Entries {
		if !alike(a.Entries[i].Key, b.Entries[i].Key) || !alike(a.Entries[i].Value, b.Entries[i].Value) {
			return false
		}
	}
	for i := range a.Items {
		if !alike(a.Items[i], b.Items[i]) {
			return false
		}
	}
	return true
}

// comment is a comment of a file.
type comment struct {
	text       string // with its #
	start, end int
	column     int
	own        bool // alone in its line
}

// comments finds those of a file: what begins with # outside of all scalars.
func comments(s *Source, root *Node) (list []comment) {
	var scalars []Span
	var walk func(n *Node)
	walk = func(n *Node) {
		switch n.Kind {
		case Map:
			for _, e := range n.Entries {
				walk(e.Key)
				walk(e.Value)
			}
		case List:
			for _, i := range n.Items {
				walk(i)
			}
		default:
			span := n.Span
			if n.block { // its first line may end with a comment
				head := firstLine(span)
				if i := strings.Index(head.Text(), " #"); i >= 0 {
					scalars = append(scalars, Span{s, head.Start, head.Start + i})
					span.Start = min(head.End+1, span.End)
				}
			}
			scalars = append(scalars, span)
		}
	}
	walk(root)
	slices.SortStableFunc(scalars, func(a, b Span) int { return a.Start - b.Start })
	at := 0
	gap := func(to int) {
		for at < to {
			i := strings.IndexByte(s.Text[at:to], '#')
			if i < 0 {
				break
			}
			start := at + i
			if start > 0 && strings.IndexByte(" \t\n\r", s.Text[start-1]) < 0 {
				at = start + 1
				continue
			}
			line := s.line(start)
			begin, end := s.bounds(line)
			list = append(list, comment{s.Text[start:end], start, end, start - begin, strings.TrimLeft(s.Text[begin:start], " \t") == ""})
			at = end
		}
		at = max(at, to)
	}
	for _, p := range scalars {
		if p.Start > at {
			gap(p.Start)
		}
		at = max(at, p.End)
	}
	gap(len(s.Text))
	return list
}

// tidy is a comment as it is written: with a blank behind the #, unless something
// else than a word follows.
func tidy(s string) string {
	s = strings.TrimRight(s, " \t")
	if len(s) > 1 && ('a' <= s[1] && s[1] <= 'z' || 'A' <= s[1] && s[1] <= 'Z' || s[1] >= 0x80) {
		return "# " + s[1:]
	}
	return s
}

type formatter struct {
	s        *Source
	comments []comment
	next     int // the first comment that is not written yet
	out      []byte
	last     int // offset behind what was written last
	inLine   bool
}

// newline ends the current line if it has begun.
func (f *formatter) newline() {
	if f.inLine {
		f.out = append(f.out, '\n')
		f.inLine = false
	}
}

// begin begins a line.
func (f *formatter) begin(indent int) {
	f.newline()
	for range indent {
		f.out = append(f.out, ' ')
	}
	f.inLine = true
}

func (f *formatter) put(s string) { f.out = append(f.out, s...) }

// gap keeps an empty line between what was written last and offset at.
func (f *formatter) gap(at int, first bool) {
	if first || f.last >= at || len(f.out) == 0 {
		return
	}
	if strings.Count(f.s.Text[f.last:at], "\n") >= 2 {
		f.newline()
		f.out = append(f.out, '\n')
	}
}

// before writes the comments that stand before offset at, each in a line.
func (f *formatter) before(at, indent int, first bool) {
	for f.next < len(f.comments) && f.comments[f.next].start < at {
		c := f.comments[f.next]
		f.gap(c.start, first)
		f.begin(indent)
		f.put(tidy(c.text))
		f.next++
		f.last, first = c.end, false
	}
	f.gap(at, first)
}

// behind writes the comment that stands in the line of offset end, behind it.
func (f *formatter) behind(end int) {
	f.last = max(f.last, end)
	if f.next >= len(f.comments) {
		return
	}
	c := f.comments[f.next]
	if c.own || c.start < end || f.s.line(c.start) != f.s.line(max(end, 0)) {
		return
	}
	blanks := 0
	for i := c.start - 1; i >= end && f.s.Text[i] == ' '; i-- {
		blanks++
	}
	f.put(strings.Repeat(" ", max(1, blanks)) + tidy(c.text))
	f.next++
	f.last = c.end
}

// left writes the comments behind the last child of a block that still belong to
// it, as their column shows.
func (f *formatter) left(n *Node, indent, limit, outer int) {
	for f.next < len(f.comments) {
		c := f.comments[f.next]
		if !c.own || c.start >= limit || c.column < n.column || c.column <= outer {
			return
		}
		f.gap(c.start, false)
		f.begin(indent)
		f.put(tidy(c.text))
		f.next++
		f.last = c.end
	}
}

// block writes a map or a list, a line each. Everything in it ends before limit;
// outer is the column of what it is in. With inline its first line has begun.
func (f *formatter) block(n *Node, indent, limit, outer int, inline bool) {
	for i := range max(len(n.Entries), len(n.Items)) {
		end := limit
		if i+1 < len(n.Entries) {
			end = n.Entries[i+1].Key.Start
		} else if i+1 < len(n.Items) {
			end = n.Items[i+1].Start
		}
		var start int
		if n.Kind == Map {
			start = n.Entries[i].Key.Start
		} else {
			start = n.Items[i].Start
		}
		if i > 0 || !inline {
			f.before(start, indent, i == 0)
			if n.Kind == Map {
				f.hoist(n.Entries[i], indent)
			}
			f.begin(indent)
		}
		if n.Kind == Map {
			e := n.Entries[i]
			f.put(e.Key.Span.Text() + ":")
			f.last = max(f.last, e.Key.End)
			f.value(e.Value, indent, end, n.column, false)
			continue
		}
		f.put("-")
		f.value(n.Items[i], indent, end, n.column, true)
	}
	f.left(n, indent, limit, outer)
}

// hoist writes the comments between a key and a value that will stand in its
// line, before the key.
func (f *formatter) hoist(e Entry, indent int) {
	if v := e.Value; v.Kind == Null || !v.flow && (v.Kind == Map || v.Kind == List) {
		return
	}
	f.before(e.Value.Start, indent, true)
}

// value writes what is behind a key or a dash.
func (f *formatter) value(n *Node, indent, limit, outer int, item bool) {
	switch {
	case (n.Kind == Map || n.Kind == List) && !n.flow:
		inner := indent + 2
		if n.props != "" {
			f.put(" " + n.props)
		}
		if item && n.props == "" {
			f.put(" ")
			f.block(n, inner, limit, outer, true)
			return
		}
		if len(n.Entries) > 0 {
			f.keyComment(n.Entries[0].Key.Start)
		} else if len(n.Items) > 0 {
			f.keyComment(n.Items[0].Start)
		}
		f.block(n, inner, limit, outer, false)
	case n.Kind == Map || n.Kind == List:
		f.put(" ")
		f.flow(n, indent)
		f.behind(n.End)
	case n.Start == n.End:
		f.behind(f.last)
	default:
		f.put(" ")
		f.scalar(n, indent)
		f.behind(n.End)
	}
}

// keyComment writes the comment in the line of a key whose value is below it.
func (f *formatter) keyComment(child int) {
	if f.next < len(f.comments) {
		if c := f.comments[f.next]; !c.own && c.start < child {
			at := c.start
			for at > f.last && f.s.Text[at-1] == ' ' {
				at--
			}
			f.behind(at)
		}
	}
}

// scalar writes a value as it is; further lines of it are indented deeper.
func (f *formatter) scalar(n *Node, indent int) {
	text := strings.ReplaceAll(n.Span.Text(), "\r\n", "\n")
	if !strings.Contains(text, "\n") {
		f.put(text)
		return
	}
	lines := strings.Split(text, "\n")
	cut := 0 // what each line loses at its beginning
	if n.block {
		head, _, comment := strings.Cut(lines[0], " #")
		f.put(strings.TrimRight(head, " \t"))
		if comment {
			f.behind(n.Start + len(strings.TrimRight(head, " \t")))
		}
		cut = 1 << 20
		for _, l := range lines[1:] {
			if t := strings.TrimLeft(l, " "); t != "" {
				cut = min(cut, len(l)-len(t))
			}
		}
	} else {
		f.put(strings.TrimRight(lines[0], " \t"))
	}
	for _, l := range lines[1:] {
		f.put("\n")
		if n.block {
			l = l[min(cut, len(l)):]
		} else {
			l = strings.Trim(l, " \t")
		}
		if l != "" {
			f.put(strings.Repeat(" ", indent+2) + l)
		}
	}
}

// flow writes a map or a list in braces or brackets: in one line, unless it had
// several or has comments.
func (f *formatter) flow(n *Node, indent int) {
	if n.props != "" {
		f.put(n.props + " ")
	}
	brackets := "[]"
	if n.Kind == Map {
		brackets = "{}"
	}
	count := max(len(n.Entries), len(n.Items))
	f.put(brackets[:1])
	several := strings.Contains(n.Span.Text(), "\n")
	if count == 0 {
		if several { // perhaps only comments
			f.before(n.End-1, indent+2, true)
			f.begin(indent)
		}
		f.put(brackets[1:])
		return
	}
	if n.Kind == Map && !several {
		f.put(" ")
	}
	f.last = max(f.last, n.Start+1)
	for i := range count {
		var start int
		if n.Kind == Map {
			start = n.Entries[i].Key.Start
		} else {
			start = n.Items[i].Start
		}
		if several {
			f.before(start, indent+2, i == 0)
			if n.Kind == Map && n.Entries[i].Value.Kind != Null {
				f.before(n.Entries[i].Value.Start, indent+2, true)
			}
			f.begin(indent + 2)
		}
		var v *Node
		if n.Kind == Map {
			e := n.Entries[i]
			f.scalar(e.Key, indent+2) // in braces a key too may have several lines
			f.last = e.Key.End
			if v = e.Value; v.Start < v.End || v.Kind != Null {
				f.put(": ")
			}
		} else {
			v = n.Items[i]
		}
		switch {
		case v.Kind == Map || v.Kind == List:
			f.flow(v, indent+2)
		case v.Start < v.End:
			f.scalar(v, indent+2)
		}
		f.last = max(f.last, v.End)
		if i < count-1 || several {
			f.put(",")
		}
		if several {
			f.comma(v.End)
		} else if i < count-1 {
			f.put(" ")
		}
	}
	switch {
	case several:
		f.before(n.End-1, indent+2, true)
		f.begin(indent)
	case n.Kind == Map:
		f.put(" ")
	}
	f.put(brackets[1:])
	f.last = n.End
}

// comma writes the comment behind an item in braces, on either side of its comma.
func (f *formatter) comma(end int) {
	if f.next < len(f.comments) {
		if c := f.comments[f.next]; !c.own && c.start >= end && f.s.line(c.start) == f.s.line(end) {
			at := c.start
			for at > end && f.s.Text[at-1] == ' ' {
				at--
			}
			f.behind(at)
		}
	}
}
