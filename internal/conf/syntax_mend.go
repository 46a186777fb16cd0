package conf

import (
	"fmt"
	"strings"
)

// quoted is a value in quotes.
func quoted(s string) string {
	if !strings.ContainsAny(s, `\"`) {
		return `"` + s + `"`
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// quoteFrom tells that the value at an offset needs quotes, and gives it some.
func (t *trouble) quoteFrom(at int, name, message, words string) bool {
	v := Span{t.source, at, t.valueEnd(at)}
	if v.Start == v.End {
		return t.plainly()
	}
	e := Edit{v, quoted(v.Text())}
	return t.tell(Problem{Name: name, Message: message, At: Label{v, words}, Help: "put it in quotes", Fix: []Edit{e}}, e)
}

// star judges what looks like an alias and is none: a wildcard, most of the time.
func (t *trouble) star() bool {
	text := t.source.Text
	if t.context >= 0 && t.context < len(text) && (text[t.context] == '*' || text[t.context] == '&') {
		t.at = t.context
	}
	if t.at >= len(text) || text[t.at] != '*' && text[t.at] != '&' {
		return t.plainly()
	}
	end := t.at + 1
	for end < len(text) && !strings.ContainsRune(" \t\r\n,[]{}", rune(text[end])) && !(text[end] == ':' && (end+1 >= len(text) || strings.ContainsRune(" \t\r\n", rune(text[end+1])))) {
		end++
	}
	at := Span{t.source, t.at, end}
	word := at.Text()
	if host, ok := strings.CutPrefix(word, "*."); ok && host != "" {
		e := Edit{at, "any." + host}
		return t.told(Problem{Name: "leading_star", Message: "a name that begins with `*` must be quoted", At: Label{at, "`*` begins an alias in YAML"},
			Help: "write `any.` for the wildcard", Fix: []Edit{e}}, e)
	}
	if word[0] == '*' && isKey(word[1:]) {
		p := Problem{Name: "unknown_anchor", Message: fmt.Sprintf("there is no anchor `&%s` above", word[1:]), At: Label{at, "an alias of nothing"},
			Help: "a text that begins with `*` stands in quotes"}
		if near := Meant(word[1:], t.anchorNames()); near != "" {
			p.Help, p.Unsure = "an anchor with a similar name exists", true
			p.Fix = []Edit{{at, "*" + near}}
		}
		return t.tell(p, Edit{at, quoted(word)})
	}
	e := Edit{at, quoted(word)}
	what := map[byte]string{'*': "an alias", '&': "an anchor"}[word[0]]
	return t.told(Problem{Name: "leading_star", Message: fmt.Sprintf("a value that begins with `%c` must be quoted", word[0]),
		At: Label{at, fmt.Sprintf("`%c` begins %s in YAML", word[0], what)}, Help: "put it in quotes", Fix: []Edit{e}}, e)
}

// told is tell for a mend that means the same: what it leads to is judged like
// anything else.
func (t *trouble) told(p Problem, mends ...Edit) bool {
	if t.mend(mends...) {
		t.report.Add(p)
		return true
	}
	return t.tell(p)
}

func (t *trouble) anchorNames() (names []string) {
	for i, c := range t.source.Text {
		if c == '&' && t.startsValue(i) {
			end := i + 1
			for end < len(t.source.Text) && isKey(t.source.Text[end:end+1]) {
				end++
			}
			names = append(names, t.source.Text[i+1:end])
		}
	}
	return names
}

// tabbed reports whether a tab is what is wrong: one among the blanks that its
// line begins with.
func (t *trouble) tabbed() bool {
	if strings.Contains(t.message, "tab character") {
		return true
	}
	start, end := t.lineStart(t.at), t.lineEnd(t.at)
	line := t.source.Text[start:end]
	lead := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	return strings.IndexByte(lead, '\t') >= 0 && t.at <= start+len(lead)+1
}

// tabs tells of all tabs that lines begin with, and takes the width that makes
// sense of the file.
func (t *trouble) tabs() bool {
	var runs []Span
	for i := range t.source.lines {
		start, end := t.source.bounds(i)
		line := t.source.Text[start:end]
		lead := len(line) - len(strings.TrimLeft(line, " \t"))
		if strings.IndexByte(line[:lead], '\t') >= 0 {
			runs = append(runs, Span{t.source, start, start + lead})
		}
	}
	if len(runs) == 0 {
		return t.plainly()
	}
	p := Problem{Name: "tab_indent", Message: "a line is indented with a tab", At: Label{runs[0], "YAML knows only spaces here"}}
	if n := len(runs) - 1; n > 0 {
		p.Message = fmt.Sprintf("%d lines are indented with tabs", n+1)
		p.Notes = []string{plural(n, "further line") + " below: " + lineNumbers(runs[1:])}
	}
	for _, width := range []int{2, 4, 8} {
		var edits []Edit
		for _, s := range runs {
			column := 0
			for i := s.Start; i < s.End; i++ {
				if column++; t.source.Text[i] == '\t' {
					column = (column-1)/width*width + width
				}
			}
			edits = append(edits, Edit{s, strings.Repeat(" ", column)})
		}
		if _, err := load(apply(t.source.Text, edits)); err == nil || width == 8 {
			p.Help = "indent with spaces"
			if err == nil {
				p.Fix = edits
			}
			return t.told(p, edits...)
		}
	}
	return false
}

// lineNumbers lists the lines of spans, the first few.
func lineNumbers(spans []Span) string {
	const most = 6
	var words []string
	for i, s := range spans {
		if i == most {
			words = append(words, "…")
			break
		}
		words = append(words, fmt.Sprint(s.Line()))
	}
	return strings.Join(words, ", ")
}

func (t *trouble) directive() bool {
	at := Span{t.source, t.lineStart(t.at), t.lineEnd(t.at)}
	e := Edit{at, ""}
	return t.told(Problem{Name: "yaml_directive", Message: "directives for YAML readers are not used", At: Label{at, "not needed"},
		Help: "delete the line", Fix: []Edit{e}}, e)
}

func (t *trouble) severalDocuments() bool {
	// The position is that of the document's content: the line with the dashes is
	// above it.
	line := t.source.line(t.at)
	for line > 0 {
		start, end := t.source.bounds(line)
		if strings.HasPrefix(t.source.Text[start:end], "---") {
			break
		}
		line--
	}
	start, end := t.source.bounds(line)
	return t.tell(Problem{Name: "several_documents", Message: "a file is one document, and here begins another", At: Label{Span{t.source, start, end}, "a second document"},
		Help: "put it into a file of its own and name that under `include:`"})
}

// escape judges a backslash in double quotes that means nothing there.
func (t *trouble) escape() bool {
	open := t.context
	if open < 0 || open >= len(t.source.Text) || t.source.Text[open] != '"' {
		return t.plainly()
	}
	at := min(t.at, len(t.source.Text)-1)
	for at > open && t.source.Text[at] != '\\' {
		at--
	}
	if at == open {
		return t.plainly()
	}
	p := Problem{Name: "bad_escape", Message: "in double quotes a backslash begins an escape, and this is none", At: Label{Span{t.source, at, min(at+2, t.lineEnd(at))}, "no escape"},
		Help: "in single quotes a backslash is a backslash"}
	end := open + 1
	for end < t.lineEnd(open) && t.source.Text[end] != '"' {
		if t.source.Text[end] == '\\' {
			end++
		}
		end++
	}
	inner := t.source.Text[open+1 : min(end, len(t.source.Text))]
	if end >= t.lineEnd(open) || strings.ContainsAny(inner, "'") {
		return t.tell(p)
	}
	p.Fix = []Edit{{Span{t.source, open, end + 1}, "'" + inner + "'"}}
	return t.told(p, p.Fix...)
}

func (t *trouble) unclosedQuote(open int) bool {
	if open < 0 || open >= len(t.source.Text) {
		return t.plainly()
	}
	quote := t.source.Text[open]
	if quote != '"' && quote != '\'' {
		return t.plainly()
	}
	end := t.valueEnd(open)
	at := Span{t.source, open, open + 1}
	p := Problem{Name: "unclosed_quote", Message: fmt.Sprintf("the quote `%c` is never closed", quote), At: Label{at, "opened here"},
		Help: "close it where the value ends", Unsure: true, Fix: []Edit{{Span{t.source, end, end}, string(quote)}}}
	return t.told(p, p.Fix...)
}

// colon judges a colon with a space behind it where none can be.
func (t *trouble) colon() bool {
	text := t.source.Text
	start := t.lineStart(t.at)
	line := text[start:t.lineEnd(t.at)]
	first := colonIn(line)
	if !t.inFlow(t.at) && first >= 0 && start+first >= t.at-1 { // it is the first of its line: the line above is to blame
		return t.above(start)
	}
	if first < 0 {
		return t.plainly()
	}
	// The value begins behind the last colon that may have been meant as one.
	v := start + first + 1
	if t.inFlow(t.at) {
		v = t.valueStart(t.at - 1)
		for v > start && !strings.HasSuffix(strings.TrimRight(text[start:v], " "), ":") {
			v = t.valueStart(v - 1)
		}
	}
	for v < t.lineEnd(v) && text[v] == ' ' {
		v++
	}
	if v >= t.at {
		return t.plainly()
	}
	return t.colonAt(v)
}

func (t *trouble) colonAt(value int) bool {
	return t.quoteFrom(value, "colon_in_value", "a value with a colon and a space must be quoted", "`: ` makes a key of what is before it")
}

// address judges an IPv6 address whose brackets were taken for a list.
func (t *trouble) address(value int) bool {
	return t.quoteFrom(value, "bracket_in_value", bracketMessage, bracketWords)
}

// colonIn is where the colon of a line's first key is, -1 if there is none.
func colonIn(line string) int {
	quote := byte(0)
	for i := range len(line) {
		switch c := line[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case (c == '"' || c == '\'') && strings.Trim(line[:i], " -{[") == "":
			quote = c
		case c == ':' && (i+1 == len(line) || line[i+1] == ' ' || line[i+1] == '\t'):
			return i
		}
	}
	return -1
}

// contentAbove is where the content begins of the last line with some above the
// line that begins at start, behind its dashes; -1 if there is none.
func (t *trouble) contentAbove(start int) int {
	for above := t.source.line(start) - 1; above >= 0; above-- {
		s, e := t.source.bounds(above)
		line := t.source.Text[s:e]
		if l := strings.TrimSpace(line); l != "" && l[0] != '#' {
			return s + len(line) - len(strings.TrimLeft(line, " -"))
		}
	}
	return -1
}

// above judges a key that cannot stand where it does because of the line above.
func (t *trouble) above(start int) bool {
	content := t.contentAbove(start)
	if content < 0 {
		return t.plainly()
	}
	s := t.lineStart(content)
	line := t.source.Text[s:t.lineEnd(content)]
	if colonIn(line) < 0 {
		return t.noColon(content)
	}
	here := start + len(t.source.Text[start:t.lineEnd(start)]) - len(strings.TrimLeft(t.source.Text[start:t.lineEnd(start)], " "))
	key := Span{t.source, content, s + colonIn(line)}
	return t.tell(Problem{Name: "bad_indent", Message: "this line is indented as if it belonged to the value above",
		At: Label{firstLine(Span{t.source, here, t.lineEnd(start)}), "too deep"}, Also: []Label{{key, "this key has its value in its own line"}},
		Help: "let keys of the same level begin in the same column"})
}

// noColon judges a line that begins at an offset and should be a key.
func (t *trouble) noColon(at int) bool {
	if at < 0 {
		return t.plainly()
	}
	end := t.valueEnd(at)
	word := t.source.Text[at:end]
	if key, rest, ok := strings.Cut(word, ":"); ok && isKey(key) && rest != "" {
		colon := at + len(key) + 1
		p := Problem{Name: "no_space_after_colon", Message: "there is no space behind the colon", At: Label{Span{t.source, colon - 1, colon}, "only `: ` ends a key"},
			Help: "put one there", Fix: []Edit{{Span{t.source, colon, colon}, " "}}}
		return t.told(p, p.Fix...)
	}
	p := Problem{Name: "no_colon", Message: "a key ends with a colon, and here is none", At: Label{Span{t.source, at, end}, "a key?"}}
	if isKey(word) {
		p.Help, p.Unsure, p.Fix = "put a colon there", true, []Edit{{Span{t.source, end, end}, ":"}}
		return t.told(p, p.Fix...)
	}
	return t.tell(p)
}

// dash judges a list that begins in the line of its key.
func (t *trouble) dash() bool {
	end := t.valueEnd(t.at)
	at := Span{t.source, t.at, end}
	p := Problem{Name: "bad_list", Message: "a list with dashes begins in a line of its own", At: Label{at, "not in the line of the key"}}
	item := strings.TrimSpace(strings.TrimPrefix(at.Text(), "-"))
	next := t.source.line(t.at) + 1
	more := false // further items below
	for ; next < len(t.source.lines); next++ {
		s, e := t.source.bounds(next)
		l := strings.TrimSpace(t.source.Text[s:e])
		if l != "" {
			more = l[0] == '-'
			break
		}
	}
	if item != "" && !more && !strings.ContainsAny(item, ",[]{}:") {
		p.Help, p.Fix = "write a list of one in brackets", []Edit{{at, "[" + item + "]"}}
		return t.told(p, p.Fix...)
	}
	return t.tell(p)
}

// inside judges what cannot be read between brackets or braces.
func (t *trouble) inside() bool {
	text := t.source.Text
	if t.context < 0 || t.context >= len(text) {
		return t.plainly()
	}
	open := text[t.context]
	closing := map[byte]string{'[': "]", '{': "}"}[open]
	if closing == "" {
		return t.plainly()
	}
	if t.source.line(t.at) == t.source.line(t.context) && t.at < len(text) {
		v := t.valueStart(t.at)
		switch c := text[t.at]; {
		case c == ':' && v > 0 && text[v-1] == '[' && t.startsValue(v-1):
			return t.address(v - 1)
		case c == ':' && v < t.at:
			return t.colonAt(v)
		case c == ']' || c == '}':
			return t.tell(Problem{Name: "unclosed_bracket", Message: fmt.Sprintf("a `%c` is closed with `%c`", open, c), At: Label{t.span1(), fmt.Sprintf("expected `,` or `%s`", closing)},
				Also: []Label{{Span{t.source, t.context, t.context + 1}, "opened here"}}, Help: fmt.Sprintf("close it with `%s`", closing), Unsure: true,
				Fix: []Edit{{Span{t.source, t.at, t.at}, closing}}})
		case strings.IndexByte("{[*&", c) >= 0 && v < t.at:
			// A value goes on with what means something else here: /blog/{slug}.
			return t.quoteFrom(v, "bracket_in_value", fmt.Sprintf("between brackets or braces a value with `%c` must be quoted", c),
				fmt.Sprintf("`%c` means something of its own here", c))
		}
	}
	at := Span{t.source, t.context, t.context + 1}
	if t.source.line(t.at) > t.source.line(t.context) {
		end := t.valueEnd(t.context)
		for _, sep := range []string{" ", ","} {
			for strings.HasSuffix(text[t.context:end], sep) {
				end--
			}
		}
		return t.tell(Problem{Name: "unclosed_bracket", Message: fmt.Sprintf("the `%c` is never closed", open), At: Label{at, "opened here"},
			Also: []Label{{t.span1(), fmt.Sprintf("expected `,` or `%s` before this", closing)}},
			Help: fmt.Sprintf("close it with `%s`", closing), Unsure: true, Fix: []Edit{{Span{t.source, end, end}, closing}}})
	}
	return t.tell(Problem{Name: "yaml_syntax", Message: fmt.Sprintf("expected `,` or `%s`", closing), At: Label{t.span1(), "before this"},
		Also: []Label{{at, "opened here"}}, Help: "separate the values with commas, and put those with `,` `{` `[` `}` `]` in quotes"})
}

// openBracket is where the last bracket is that opens a value and is not closed
// before the end, -1 if there is none.
func (t *trouble) openBracket() int {
	var open []int
	for i, c := range t.source.Text {
		switch {
		case (c == '[' || c == '{') && (len(open) > 0 || t.startsValue(i)):
			open = append(open, i)
		case (c == ']' || c == '}') && len(open) > 0:
			open = open[:len(open)-1]
		}
	}
	if len(open) == 0 {
		return -1
	}
	return open[len(open)-1]
}

// misplaced judges something that is neither the next key nor the next item.
func (t *trouble) misplaced() bool {
	text := t.source.Text
	start, end := t.lineStart(t.at), t.lineEnd(t.at)
	line := text[start:end]
	lead := start + len(line) - len(strings.TrimLeft(line, " "))
	if q := t.runawayQuote(); q >= 0 {
		return t.unclosedQuote(q)
	}
	if t.at > lead || t.at >= len(text) {
		v := t.valueStart(max(start, t.at-1))
		for v > start && !t.startsValue(v) {
			v--
		}
		if c := colonIn(line); c >= 0 && t.at > start+c {
			v = start + c + 1
			for v < end && text[v] == ' ' {
				v++
			}
		} else if dash := lead; dash < end && text[dash] == '-' {
			v = dash + 1
			for v < end && text[v] == ' ' {
				v++
			}
		}
		if v < t.at && v < len(text) {
			switch text[v] {
			case '[':
				value := text[v:t.valueEnd(v)]
				if strings.Contains(value, ":") && strings.Trim(value, "[]0123456789abcdefABCDEF:.%") == "" {
					return t.address(v)
				}
			case '"', '\'':
				if t.source.line(t.at) == t.source.line(v) {
					return t.tell(Problem{Name: "after_quote", Message: "something stands behind the closing quote", At: Label{Span{t.source, t.at, t.valueEnd(t.at)}, "not a part of the value"},
						Help: "put the whole value in quotes, or write `#` before a comment"})
				}
			}
			if c := text[t.at]; c == '}' || c == ']' {
				return t.tell(Problem{Name: "unclosed_bracket", Message: fmt.Sprintf("there is a `%c` too many", c), At: Label{t.span1(), "nothing is open here"},
					Help: "delete it", Fix: []Edit{{t.span1(), ""}}}, Edit{t.span1(), ""})
			}
		}
		return t.plainly()
	}
	if t.context < 0 {
		return t.plainly()
	}
	_, here := t.source.Position(t.at)
	_, there := t.source.Position(t.context)
	if here == there {
		if text[t.at] == '-' {
			return t.tell(Problem{Name: "bad_list", Message: "a list item stands among keys", At: Label{t.span1(), "a dash begins an item"},
				Also: []Label{{t.source.char(t.context), "the keys begin here"}}, Help: "indent the item deeper than its key, or leave the dash away"})
		}
		return t.tell(Problem{Name: "bad_list", Message: "this is neither a list item nor deeper than one", At: Label{firstLine(Span{t.source, t.at, t.valueEnd(t.at)}), "no dash"},
			Also: []Label{{t.source.char(t.context), "the items begin here"}}, Help: "begin it with `- `, or indent it as what it belongs to"})
	}
	p := Problem{Name: "bad_indent", Message: "this line fits to none of the lines above", At: Label{firstLine(Span{t.source, t.at, end}), fmt.Sprintf("begins in column %d", here)},
		Also: []Label{{t.source.char(t.context), fmt.Sprintf("column %d", there)}},
		Help: "let keys of the same level begin in the same column"}
	if above := t.contentAbove(start); above >= 0 && t.source.line(above) != t.source.line(t.context) {
		_, column := t.source.Position(above)
		p.Also = append(p.Also, Label{t.source.char(above), fmt.Sprintf("column %d", column)})
	}
	return t.tell(p)
}

// runawayQuote is where a quote before the trouble opens that goes over several
// lines, -1 if there is none: the text between two values was taken for one.
func (t *trouble) runawayQuote() int {
	from := max(t.context, 0)
	text := t.source.Text
	for i := from; i < t.at && i < len(text); i++ {
		c := text[i]
		if (c != '"' && c != '\'') || !t.startsValue(i) {
			continue
		}
		end := i + 1
		for end < t.at && text[end] != c {
			if c == '"' && text[end] == '\\' {
				end++
			}
			end++
		}
		if end >= t.at || t.source.line(end) != t.source.line(i) {
			return i
		}
		i = end
	}
	return -1
}
