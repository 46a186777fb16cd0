package explain

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// Incident writes what happened in one exchange, for a terminal: the timeline,
// the attempts, the bytes with the offending one marked, the rule, the likely
// causes and what to do. color allows ANSI colours. Errors of w are not told.
func Incident(w io.Writer, t *trail.Trail, color bool) {
	v := look(&Answer{Trail: t, Detail: true}, fault.Lookup)
	w.Write(v.report(nil, color))
}

// ink draws with colour or without. What it draws must be visible text.
type ink bool

func (k ink) with(code, s string) string {
	if !k || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (k ink) bold(s string) string { return k.with("1", s) }
func (k ink) dim(s string) string  { return k.with("2", s) }
func (k ink) red(s string) string  { return k.with("31", s) }

// lineWidth is how wide terminal text may get. It fits two columns of words, and
// half of a usual screen.
const lineWidth = 100

// report appends the text of Incident.
func (v *view) report(dst []byte, color bool) []byte {
	k := ink(color)
	t := v.t
	head := []string{"incident " + or(v.incident(), "without a number"), k.red(visible(string(v.f.ID))),
		visible(t.Method) + " " + visible(t.Authority) + visible(t.Path), v.began().Format("2006-01-02 15:04:05.000 UTC")}
	switch {
	case t.Rescued:
		head = append(head, "rescued")
	case t.Fault != nil:
		head = append(head, "not rescued")
	}
	dst = fmt.Appendf(dst, "%s\n", strings.Join(head, " · "))
	for _, line := range wrap(k.bold(v.row.Title)+": "+visible(v.observed(v.f)), lineWidth-2) {
		dst = fmt.Appendf(dst, "  %s\n", line)
	}
	dst = append(dst, '\n')
	dst = v.appendTimeline(dst, k)
	if rows := v.attempts(); len(rows) > 0 {
		dst = append(dst, '\n')
		dst = appendTable(dst, rows, k)
	}
	if e := v.evidence(); e != nil {
		dst = fmt.Appendf(dst, "\n  %s\n", visible(e.title))
		for line := range strings.Lines(string(Hex(nil, e.bytes, e.base, e.mark))) {
			if strings.Contains(line, "^^") && strings.Trim(line, " ^\n") == "" {
				line = k.red(strings.TrimSuffix(line, "\n")) + "\n"
			}
			dst = append(append(dst, "  "...), line...)
		}
		if e.note != "" {
			dst = fmt.Appendf(dst, "        %s\n", e.note)
		}
	}
	dst = append(dst, '\n')
	dst = labelled(dst, k, "rule", v.row.Requires+" ("+v.row.Rule+")")
	dst = labelled(dst, k, "causes", v.row.Causes...)
	dst = labelled(dst, k, "fix", v.row.Fix...)
	if v.row.Bearing != "" {
		dst = labelled(dst, k, "live", v.row.Bearing)
	}
	dst = labelled(dst, k, "notes", v.receipts()...)
	return labelled(dst, k, "help", "gatewhy explain "+string(v.row.ID))
}

func (v *view) appendTimeline(dst []byte, k ink) []byte {
	for _, e := range v.timeline() {
		words := visible(e.words)
		unit := ""
		if e.at == 0 {
			unit = " ms" // once is enough
		}
		line := fmt.Sprintf("%9s%-3s  %s", millis(int64(e.at)), unit, words)
		dst = append(dst, line...)
		if e.id != "" {
			gap := max(2, 72-utf8.RuneCountInString(line))
			dst = append(append(dst, strings.Repeat(" ", gap)...), k.red(visible(string(e.id)))...)
		}
		dst = append(dst, '\n')
	}
	return dst
}

// appendTable lines up the columns of rows, the first of which is the headline.
func appendTable(dst []byte, rows [][]string, k ink) []byte {
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			width[i] = max(width[i], utf8.RuneCountInString(visible(c)))
		}
	}
	for n, r := range rows {
		line := " "
		for i, c := range r {
			line += " " + pad(visible(c), width[i]+1)
		}
		line = strings.TrimRight(line, " ")
		if n == 0 {
			line = k.dim(line)
		}
		dst = append(append(dst, line...), '\n')
	}
	return dst
}

// labelWidth is the width of the left column with the labels.
const labelWidth = 10

// labelled writes items under each other beside one label.
func labelled(dst []byte, k ink, label string, items ...string) []byte {
	for i, s := range items {
		if i > 0 {
			label = ""
		}
		for j, line := range wrap(visible(s), lineWidth-labelWidth-2) {
			if j > 0 {
				label = ""
			}
			dst = append(dst, "  "...)
			dst = append(append(dst, k.bold(pad(label, labelWidth))...), line...)
			dst = append(dst, '\n')
		}
	}
	return dst
}
