package conf

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// nearLines is how many lines without a label are shown between two that have
	// one; more become dots.
	nearLines = 2
	// maxLine is how many bytes of a long line are shown around its label.
	maxLine = 160
	// maxFixLines is how many lines of a fix are shown.
	maxFixLines = 8
)

// Render writes the problems for people, each with its lines and carets, as
// rustc does. It ends with no summary.
func (r *Report) Render(w io.Writer, color bool) error {
	p := &printer{w: bufio.NewWriter(w), color: color}
	highest := 0
	for i := range r.Problems {
		for _, l := range labels(&r.Problems[i]) {
			highest = max(highest, l.Line())
		}
		for _, e := range r.Problems[i].Fix {
			highest = max(highest, e.Line())
		}
	}
	p.gutter = max(2, len(strconv.Itoa(highest)))
	for i := range r.Problems {
		p.problem(&r.Problems[i])
		p.line("")
	}
	if n := r.Left(); n > 0 {
		p.line(plural(n, "further problem") + " not shown")
		p.line("")
	}
	return p.w.Flush()
}

// labels are a problem's places, the first one its own.
func labels(p *Problem) []Label { return append([]Label{p.At}, p.Also...) }

type printer struct {
	w      *bufio.Writer
	color  bool
	gutter int // columns of a line's number
}

// The colours: those of rustc and of git.
const (
	bold   = "1"
	red    = "1;31"
	yellow = "1;33"
	blue   = "1;34"
	cyan   = "1;36"
	green  = "32"
)

func (p *printer) paint(code, s string) string {
	if !p.color || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// line writes a line without blanks at its end.
func (p *printer) line(s string) {
	p.w.WriteString(strings.TrimRight(s, " "))
	p.w.WriteByte('\n')
}

// side is the left side of a line, with a number if it is not 0.
func (p *printer) side(number int) string {
	s := strings.Repeat(" ", p.gutter)
	if number > 0 {
		s = fmt.Sprintf("%*d", p.gutter, number)
	}
	return p.paint(blue, s+" |")
}

func (p *printer) problem(q *Problem) {
	code := red
	if q.Level == Warning {
		code = yellow
	}
	p.line(p.paint(code, fmt.Sprintf("%s[%s]", q.Level, q.Name)) + p.paint(bold, ": "+clean(q.Message)))
	if !q.At.Valid() {
		if q.Where != "" {
			p.line(p.arrow("-->") + clean(q.Where))
		}
	} else {
		p.snippets(q, code)
	}
	for _, n := range q.Notes {
		p.text(" "+strings.Repeat(" ", p.gutter)+p.paint(blue, "=")+" "+p.paint(bold, "note:")+" ", p.gutter+9, n)
	}
	if q.Help != "" {
		p.text(p.paint(cyan, "help:")+" ", 6, q.Help)
	}
	p.fix(q)
}

func (p *printer) arrow(s string) string {
	return strings.Repeat(" ", p.gutter) + p.paint(blue, s) + " "
}

// text writes words behind a head; further lines stand below their beginning.
func (p *printer) text(head string, indent int, words string) {
	for i, l := range strings.Split(words, "\n") {
		if i > 0 {
			head = strings.Repeat(" ", indent)
		}
		p.line(head + clean(l))
	}
}

// clean is a text that does nothing to a terminal.
func clean(s string) string {
	s, _ = shown(s)
	return s
}

// snippets shows the lines of all labels, file by file.
func (p *printer) snippets(q *Problem, code string) {
	var files []*Source
	all := labels(q)
	for _, l := range all {
		if l.Valid() && !slices.Contains(files, l.Source) {
			files = append(files, l.Source)
		}
	}
	for i, f := range files {
		var mine []int // indices in all
		for j, l := range all {
			if l.Source == f {
				mine = append(mine, j)
			}
		}
		arrow := "-->"
		if i > 0 {
			arrow = ":::"
		}
		p.line(p.arrow(arrow) + clean(all[mine[0]].String()))
		p.line(p.side(0))
		slices.SortStableFunc(mine, func(a, b int) int {
			return cmp.Or(cmp.Compare(all[a].Line(), all[b].Line()), cmp.Compare(all[a].Start, all[b].Start))
		})
		last := 0
		for j, k := range mine {
			l := all[k]
			if n := l.Line(); j == 0 || n != last {
				if j > 0 && n-last > nearLines+1 {
					p.line(p.paint(blue, strings.Repeat(" ", p.gutter-1)+"..."))
				} else if j > 0 {
					for between := last + 1; between < n; between++ {
						p.source(f, between, nil)
					}
				}
				var of []Span
				for _, m := range mine[j:] {
					if all[m].Line() == n {
						of = append(of, firstLine(all[m].Span))
					}
				}
				p.source(f, n, of)
				last = n
			}
			p.mark(l, k == 0, code)
		}
	}
}

// window is the part of a line that is shown, as offsets: all of it, unless it is
// very long; then what is around the label.
func window(s *Source, line int, label Span) (start, end int) {
	start, end = s.bounds(line - 1)
	if end-start <= maxLine {
		return start, end
	}
	if label.Valid() && label.Start > start+maxLine/2 {
		start = label.Start - maxLine/4
	}
	end = min(end, start+maxLine)
	for start > 0 && start < len(s.Text) && !utf8.RuneStart(s.Text[start]) {
		start--
	}
	for end < len(s.Text) && !utf8.RuneStart(s.Text[end]) {
		end++
	}
	return start, end
}

// source shows a line of a file.
func (p *printer) source(s *Source, line int, labels []Span) {
	var first Span
	if len(labels) > 0 {
		first = labels[0]
	}
	start, end := window(s, line, first)
	text, _ := shown(s.Text[start:end])
	from, to := s.bounds(line - 1)
	if start > from {
		text = "…" + text
	}
	if end < to {
		text += "…"
	}
	p.line(p.side(line) + " " + text)
}

// mark underlines a label below its line.
func (p *printer) mark(l Label, own bool, code string) {
	sign, colour := "-", blue
	if own {
		sign, colour = "^", code
	}
	span := firstLine(l.Span)
	start, end := window(span.Source, l.Line(), span)
	from, _ := span.Source.bounds(l.Line() - 1)
	a, b := min(max(span.Start, start), end), min(max(span.End, start), end)
	_, before := shown(span.Source.Text[start:a])
	_, width := shown(span.Source.Text[a:b])
	if start > from {
		before++
	}
	words := strings.Repeat(sign, max(1, width))
	if l.Words != "" {
		words += " " + clean(l.Words)
	}
	p.line(p.side(0) + " " + strings.Repeat(" ", before) + p.paint(colour, words))
}

// fix shows what the lines look like with the edits made.
func (p *printer) fix(q *Problem) {
	if len(q.Fix) == 0 {
		return
	}
	edits := slices.Clone(q.Fix)
	slices.SortStableFunc(edits, func(a, b Edit) int { return a.Start - b.Start })
	source := edits[0].Source
	p.line(p.side(0))
	lines := 0
	for i := 0; i < len(edits); {
		first := source.line(edits[i].Start)
		last, j := first, i
		for j < len(edits) && source.line(edits[j].Start) <= last {
			last = max(last, source.line(edits[j].End))
			j++
		}
		if lines += last - first + 1; lines > maxFixLines {
			p.line(p.paint(blue, strings.Repeat(" ", p.gutter-1)+"..."))
			return
		}
		start, _ := source.bounds(first)
		_, end := source.bounds(last)
		p.fixed(source, first, last, start, end, edits[i:j])
		i = j
	}
}

// fixed shows the lines from first to last with their edits.
func (p *printer) fixed(s *Source, first, last, start, end int, edits []Edit) {
	var local []Edit
	for _, e := range edits {
		// An edit may go to the very end of its line, which a carriage return is part of.
		local = append(local, Edit{Span{s, min(e.Start, end) - start, min(e.End, end) - start}, e.With})
	}
	after := apply(s.Text[start:end], local)
	if first != last || strings.Contains(after, "\n") {
		for n := first; n <= last; n++ {
			a, b := s.bounds(n)
			text, _ := shown(crop(s.Text[a:b]))
			p.line(p.paint(blue, fmt.Sprintf("%*d", p.gutter, n+1)) + " " + p.paint(red, "- "+text))
		}
		for i, l := range strings.Split(after, "\n") {
			text, _ := shown(crop(l))
			p.line(p.paint(blue, fmt.Sprintf("%*d", p.gutter, first+1+i)) + " " + p.paint(green, "+ "+text))
		}
		return
	}
	if len(after) > maxLine {
		return // nobody would see what changed
	}
	text, _ := shown(after)
	p.line(p.side(first+1) + " " + text)
	var marks strings.Builder
	at, shift := 0, 0
	for _, e := range local {
		from := e.Start + shift
		_, before := shown(after[at:from])
		_, width := shown(e.With)
		if strings.TrimSpace(e.With) == "" {
			width = min(width, 1)
		}
		marks.WriteString(strings.Repeat(" ", before) + strings.Repeat("~", width))
		_, all := shown(e.With)
		marks.WriteString(strings.Repeat(" ", max(0, all-width)))
		at = from + len(e.With)
		shift += len(e.With) - (e.End - e.Start)
	}
	if m := strings.TrimRight(marks.String(), " "); m != "" {
		p.line(p.side(0) + " " + p.paint(green, m))
	}
}

// crop shortens a very long line.
func crop(s string) string {
	if len(s) <= maxLine {
		return s
	}
	end := maxLine
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
