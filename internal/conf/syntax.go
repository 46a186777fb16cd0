package conf

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// characters looks at each character of the file: what is no text at all ends
// the reading, what does not belong into a text is told and read as a space.
func (d *draft) characters(r *Report) bool {
	s := d.source
	switch {
	case len(s.Text) > MaxFile:
		r.Add(Problem{Name: "too_large", Message: fmt.Sprintf("the file has %s, and at most %s are read", FormatSize(int64(len(s.Text))), FormatSize(MaxFile)),
			At: Label{Span: Span{s, 0, 0}}})
		return false
	case strings.HasPrefix(s.Text, "\xff\xfe"), strings.HasPrefix(s.Text, "\xfe\xff"):
		r.Add(Problem{Name: "not_utf8", Message: "the file is UTF-16", At: Label{Span: Span{s, 0, 0}}, Help: "save it as UTF-8"})
		return false
	}
	var odd []Edit
	if rest, ok := strings.CutPrefix(s.Text, "\ufeff"); ok { // some editors begin each file with it
		odd = append(odd, Edit{Span{s, 0, len(s.Text) - len(rest)}, ""})
	}
	told := 0
	for i := len(s.Text) - len(strings.TrimPrefix(s.Text, "\ufeff")); i < len(s.Text); {
		c, n := utf8.DecodeRuneInString(s.Text[i:])
		at := Span{s, i, i + n}
		i += n
		switch {
		case c == utf8.RuneError && n == 1:
			r.Add(Problem{Name: "not_utf8", Message: fmt.Sprintf("the byte 0x%02X is no UTF-8", s.Text[at.Start]), At: Label{Span: at},
				Help: "save the file as UTF-8"})
			return false
		case c == '\t' || c == '\n' || c >= ' ' && c < 0x7f || c >= 0xa0 && c != 0x2028 && c != 0x2029 && c != 0xfeff:
			continue
		case c == '\r' && i < len(s.Text) && s.Text[i] == '\n':
			continue
		}
		odd = append(odd, Edit{at, " "})
		if told++; told > maxMends {
			continue
		}
		name := fmt.Sprintf("U+%04X", c)
		if known := map[rune]string{'\r': "a carriage return without a line feed", 0xfeff: "a byte order mark in the middle of the text",
			0x85: "a line break of mainframes", 0x2028: "an invisible line separator", 0x2029: "an invisible paragraph separator",
			0: "a NUL byte", 0x1b: "an escape character"}[c]; known != "" {
			name += ", " + known
		}
		r.Add(Problem{Name: "control_character", Message: "a character that does not belong into a text: " + name,
			At: Label{at, "here"}, Help: "delete it", Fix: []Edit{{at, ""}}})
	}
	if len(odd) > 0 {
		d.mend(odd...)
		d.latest = nil // more than one mistake
	}
	return true
}

// trouble is an error of the YAML library, made ready to be judged.
type trouble struct {
	*draft
	report  *Report
	message string
	at      int // offset in the source
	context int // where the thing began that could not be read, -1 if nobody knows
}

// judge tells a person what an error of the library means. It reports whether the
// mistake was mended, so that reading makes sense again.
func (d *draft) judge(err error, r *Report) bool {
	t := &trouble{draft: d, report: r, context: -1}
	var several *severalError
	var le *yaml.LoadError
	switch {
	case errors.As(err, &several):
		t.at = t.place(several.line, 1)
		return t.severalDocuments()
	case errors.Is(err, errDeep) || strings.Contains(err.Error(), errDeep.Error()):
		if errors.As(err, &le) && le.Mark.Line > 0 {
			t.at = t.place(le.Mark.Line, le.Mark.Column)
		}
		return t.tell(Problem{Name: "too_deep", Message: fmt.Sprintf("values nest at most %d deep", MaxDepth), At: Label{Span: t.span1()}})
	case errors.As(err, &le):
		t.message = le.Message
		if le.Mark.Line > 0 {
			t.at = t.place(le.Mark.Line, le.Mark.Column)
		}
		if le.ContextMark.Line > 0 {
			t.context = t.place(le.ContextMark.Line, le.ContextMark.Column)
		}
	default:
		t.message = err.Error()
	}
	return t.judge()
}

// place is the offset in the source of a position in the mended text.
func (t *trouble) place(line, column int) int {
	b := builder{draft: t.draft}
	return t.original(b.offset(line, column))
}

func (t *trouble) judge() bool {
	text := t.source.Text
	char := byte(0)
	if t.at < len(text) {
		char = text[t.at]
	}
	switch {
	case t.tabbed():
		return t.tabs()
	case char == '%' && t.at == t.lineStart(t.at), strings.Contains(t.message, "directive"), strings.Contains(t.message, "incompatible YAML document"):
		return t.directive()
	case strings.HasPrefix(t.message, "unknown anchor"):
		return t.star()
	case strings.Contains(t.message, "cannot start any token"):
		what := fmt.Sprintf("`%c`", char)
		if char == '`' {
			what = "a backquote"
		}
		return t.quoteFrom(t.at, "reserved_start", "a value that begins with "+what+" must be quoted", "no plain value begins so in YAML")
	case strings.Contains(t.message, "alphabetic or numeric"):
		return t.star()
	case strings.Contains(t.message, "hexadecimal number"), strings.Contains(t.message, "unknown escape"), strings.Contains(t.message, "escape"):
		return t.escape()
	case strings.Contains(t.message, "end of stream"):
		return t.unclosedQuote(t.context)
	case strings.Contains(t.message, "mapping values are not allowed"):
		return t.colon()
	case strings.Contains(t.message, "could not find expected ':'"):
		return t.noColon(t.context)
	case strings.Contains(t.message, "sequence entries are not allowed"):
		return t.dash()
	case strings.Contains(t.message, "',' or"):
		return t.inside()
	case strings.Contains(t.message, "node content") && strings.TrimSpace(text[min(t.at, len(text)):]) == "":
		if open := t.openBracket(); open >= 0 {
			return t.tell(Problem{Name: "unclosed_bracket", Message: fmt.Sprintf("the `%c` is never closed", text[open]), At: Label{Span{t.source, open, open + 1}, "opened here"},
				Help: "close it where the values end"})
		}
	case strings.Contains(t.message, "expected key"), strings.Contains(t.message, "'-' indicator"), strings.Contains(t.message, "<document start>"):
		return t.misplaced()
	}
	return t.plainly()
}

// tell adds a problem, makes the given mends, and reports whether reading can go
// on.
func (t *trouble) tell(p Problem, mends ...Edit) bool {
	if len(mends) > 0 && t.mend(mends...) {
		for _, m := range mends {
			t.broken = append(t.broken, m.Span)
		}
		t.report.Add(p)
		return true
	}
	p.Notes = append(p.Notes, unread)
	t.report.Add(p)
	return false
}

// plainly tells what the library said, for want of better words.
func (t *trouble) plainly() bool {
	p := Problem{Name: "yaml_syntax", Message: "this is no YAML: " + t.message, At: Label{Span: t.span1()}}
	if t.context >= 0 && t.context != t.at && t.source.line(t.context) != t.source.line(t.at) {
		p.Also = []Label{{Span{t.source, t.context, t.context}, "within what begins here"}}
	}
	return t.tell(p)
}

// span1 is the place of the trouble: one character.
func (t *trouble) span1() Span { return t.source.char(t.at) }

// char is the character at an offset as a span; nothing at the end of a line.
func (s *Source) char(at int) Span {
	if at >= len(s.Text) || s.Text[at] == '\n' || s.Text[at] == '\r' {
		return Span{s, min(at, len(s.Text)), min(at, len(s.Text))}
	}
	_, n := utf8.DecodeRuneInString(s.Text[at:])
	return Span{s, at, at + n}
}

func (t *trouble) lineStart(at int) int { return t.source.lines[t.source.line(at)] }

func (t *trouble) lineEnd(at int) int {
	_, end := t.source.bounds(t.source.line(at))
	return end
}

// valueEnd is where a value without quotes ends that begins at an offset, as far
// as its line goes: at a comment, and in braces or brackets at what separates.
func (t *trouble) valueEnd(at int) int {
	end, flow := t.lineEnd(at), t.inFlow(at)
	depth := 0
	text := t.source.Text
	for i := at; i < end; i++ {
		switch c := text[i]; {
		case c == '#' && i > at && (text[i-1] == ' ' || text[i-1] == '\t'):
			end = i
		case flow && (c == '{' || c == '['):
			depth++
		case flow && depth > 0 && (c == '}' || c == ']'):
			depth--
		case flow && depth == 0 && (c == ',' || c == '}' || c == ']'):
			end = i
		}
	}
	for end > at && (text[end-1] == ' ' || text[end-1] == '\t') {
		end--
	}
	return end
}

// inFlow reports whether an offset lies within braces or brackets, as far as its
// line tells.
func (t *trouble) inFlow(at int) bool {
	depth := 0
	quote := byte(0)
	for i := t.lineStart(at); i < at; i++ {
		switch c := t.source.Text[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case (c == '"' || c == '\'') && t.startsValue(i):
			quote = c
		case (c == '{' || c == '[') && (depth > 0 || t.startsValue(i)):
			depth++
		case (c == '}' || c == ']') && depth > 0:
			depth--
		}
	}
	return depth > 0
}

// startsValue reports whether a value begins at an offset: what is before it in
// its line says so.
func (t *trouble) startsValue(at int) bool {
	before := strings.TrimRight(t.source.Text[t.lineStart(at):at], " \t")
	if before == "" {
		return true
	}
	last := before[len(before)-1]
	return strings.IndexByte(",{[", last) >= 0 || (last == ':' || last == '-') && len(before) < at-t.lineStart(at)
}

// valueStart is where the value begins that an offset lies in.
func (t *trouble) valueStart(at int) int {
	for at > t.lineStart(at) && !t.startsValue(at) {
		at--
	}
	return at
}
