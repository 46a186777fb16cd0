package conf

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// Parse reads a file into a tree. It returns nil if the file cannot be read so
// far that judging it makes sense; the report then says why. An empty file is an
// empty map.
//
// The YAML library stops at the first mistake. Where the mistake is one that we
// know the way out of, it is mended in memory and the rest is read as well.
func Parse(s *Source, r *Report) *Node {
	r.know(s)
	d := &draft{source: s, text: s.Text}
	if !d.characters(r) {
		return nil
	}
	for range maxMends {
		tree, err := load(d.text)
		if err == nil {
			b := &builder{draft: d, report: r, anchors: map[string]*Node{}}
			return b.root(tree)
		}
		if d.stuck(err, r) || !d.judge(err, r) {
			return nil
		}
	}
	return nil
}

// stuck reports whether the latest mend did not help: the reader complains about
// the same place again. Then it is no fix either.
func (d *draft) stuck(err error, r *Report) bool {
	var le *yaml.LoadError
	if d.latest == nil || !errors.As(err, &le) || le.Mark.Line == 0 {
		return false
	}
	b := builder{draft: d}
	if at := d.original(b.offset(le.Mark.Line, le.Mark.Column)); at > d.latest[0].End {
		return false
	}
	for i := range r.Problems {
		if p := &r.Problems[i]; len(p.Fix) > 0 && p.At.Source == d.source && p.Fix[0].Span == d.latest[0].Span {
			p.Fix, p.Help = nil, ""
			p.Notes = append(p.Notes, unread)
		}
	}
	return true
}

// unread is the note on what stopped the reading of a file.
const unread = "what comes after this was not read"

// draft is a source with its mistakes mended.
type draft struct {
	source *Source
	text   string
	mends  []Edit // in the order of their places, none over another
	starts []int  // where they begin in the mended text
	broken []Span // what was mended so that it means something else
	latest []Edit // the mends of the latest mistake; nil before the first
}

// mend makes further edits, in terms of the source. It fails if one of them would
// touch what was mended before: that helped nothing.
func (d *draft) mend(edits ...Edit) bool {
	all := append(slices.Clone(d.mends), edits...)
	slices.SortStableFunc(all, func(a, b Edit) int { return a.Start - b.Start })
	for i := 1; i < len(all); i++ {
		if all[i].Start < all[i-1].End || all[i].Start == all[i-1].Start {
			return false
		}
	}
	d.mends, d.latest = all, edits
	d.text = apply(d.source.Text, all)
	d.starts = d.starts[:0]
	shift := 0
	for _, e := range all {
		d.starts = append(d.starts, e.Start+shift)
		shift += len(e.With) - (e.End - e.Start)
	}
	return true
}

// apply makes edits that are sorted and do not overlap.
func apply(text string, edits []Edit) string {
	var b strings.Builder
	at := 0
	for _, e := range edits {
		b.WriteString(text[at:e.Start])
		b.WriteString(e.With)
		at = e.End
	}
	b.WriteString(text[at:])
	return b.String()
}

// original is the offset in the source of one in the mended text.
func (d *draft) original(offset int) int {
	i, exact := slices.BinarySearch(d.starts, offset)
	if !exact {
		i--
	}
	if i < 0 {
		return min(offset, len(d.source.Text))
	}
	e := d.mends[i]
	if into := offset - d.starts[i]; into >= len(e.With) {
		return min(e.End+into-len(e.With), len(d.source.Text))
	}
	return e.Start
}

// span is a part of the mended text as a part of the source.
func (d *draft) span(start, end int) Span {
	a := d.original(start)
	return Span{d.source, a, max(a, d.original(end))}
}

// load reads the one document of a text.
func load(text string) (tree *yaml.Node, err error) {
	defer func() {
		// The library is made to return errors. If it fails to, the file is at fault
		// all the same, and a gateway that runs goes on.
		if p := recover(); p != nil {
			err = fmt.Errorf("the YAML reader gave up: %v", p)
		}
	}()
	l, err := yaml.NewLoader(strings.NewReader(text), yaml.WithPlugin(loaderlimits.New(
		loaderlimits.DepthFunc(func(depth int, _ *yaml.DepthContext) error {
			if depth > 2*MaxDepth { // a list in a map counts twice
				return errDeep
			}
			return nil
		}))))
	if err != nil {
		return nil, err
	}
	first := new(yaml.Node)
	if err := l.Load(first); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, err
	}
	var second yaml.Node
	switch err := l.Load(&second); {
	case err == nil:
		return nil, &severalError{second.Line}
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	return first, nil
}

var errDeep = errors.New("too deep")

// severalError tells of a second document that begins in a line.
type severalError struct{ line int }

func (e *severalError) Error() string { return "several documents" }

// builder makes our tree of the library's.
type builder struct {
	*draft
	report  *Report
	anchors map[string]*Node
	open    []*Node // anchored nodes that are being built
	free    bool    // below an x- key, where anchors may be
	nodes   int

	// Where the latest position was: nodes come nearly in order, and lines may be long.
	line, column, at int
}

func (b *builder) root(doc *yaml.Node) *Node {
	empty := &Node{Kind: Map, Span: Span{b.source, 0, 0}}
	if doc == nil || len(doc.Content) == 0 {
		return empty
	}
	n, _ := b.build(doc.Content[0], 0)
	if n == nil {
		return nil
	}
	switch {
	case n.Kind == Null && !n.broken:
		return empty
	case n.Kind != Map && !n.broken:
		p := Problem{Name: "not_a_map", Message: "a configuration is a map of keys, and this is " + n.Kind.String(),
			At: Label{firstLine(n.Span), "not `key: value`"}}
		if key, _, ok := strings.Cut(n.Text, ":"); ok && n.Kind == Scalar && isKey(key) {
			colon := n.Start + len(key) + 1
			p.Help = "put a space behind the colon"
			p.Fix = []Edit{{Span{b.source, colon, colon}, " "}}
		}
		b.report.Add(p)
		return nil
	}
	return n
}

// offset is where a position of the library is in the mended text.
func (b *builder) offset(line, column int) int {
	if line < b.line || line == b.line && column < b.column || b.line == 0 {
		if line != b.line {
			b.at = 0
			for range line - 1 {
				i := strings.IndexByte(b.text[b.at:], '\n')
				if i < 0 {
					break
				}
				b.at += i + 1
			}
		} else {
			b.at = strings.LastIndexByte(b.text[:b.at], '\n') + 1
		}
		b.line, b.column = line, 1
	}
	for b.line < line {
		i := strings.IndexByte(b.text[b.at:], '\n')
		if i < 0 {
			break
		}
		b.at += i + 1
		b.line++
		b.column = 1
	}
	for b.column < column && b.at < len(b.text) && b.text[b.at] != '\n' {
		_, n := utf8.DecodeRuneInString(b.text[b.at:])
		b.at += n
		b.column++
	}
	return b.at
}

// build makes a node and all below it, and tells where it ends in the mended
// text. It returns nil when there are too many.
func (b *builder) build(y *yaml.Node, depth int) (*Node, int) {
	b.nodes++
	start := b.offset(y.Line, y.Column)
	n := &Node{}
	fail := func(name, message string) (*Node, int) {
		b.report.Add(Problem{Name: name, Message: message, At: Label{Span: b.span(start, start)}})
		return nil, 0
	}
	switch {
	case b.nodes > MaxNodes:
		return fail("too_large", fmt.Sprintf("a configuration has at most %d values", MaxNodes))
	case depth > MaxDepth:
		return fail("too_deep", fmt.Sprintf("values nest at most %d deep", MaxDepth))
	}
	content := start
	if y.Kind != yaml.AliasNode {
		content = b.props(n, y, start)
	}
	if y.Anchor != "" && y.Kind != yaml.AliasNode {
		if !b.free {
			b.report.Add(Problem{Name: "anchor_outside_x", Message: fmt.Sprintf("the anchor `&%s` stands outside an `x-` key", y.Anchor),
				At:   Label{b.span(start, start+1+len(y.Anchor)), "not here"},
				Help: fmt.Sprintf("put what several places share below a key of your own, `x-%s: &%[1]s …`, and write `*%[1]s` where it belongs", y.Anchor)})
		}
		b.anchors[y.Anchor] = n
		b.open = append(b.open, n)
		defer func() { b.open = b.open[:len(b.open)-1] }()
	}
	end := content
	switch y.Kind {
	case yaml.AliasNode:
		n.Kind, n.Text, n.Target = Alias, y.Value, b.anchors[y.Value]
		end = start + 1 + len(y.Value)
		if n.Target == nil || slices.Contains(b.open, n.Target) {
			b.report.Add(Problem{Name: "unknown_anchor", Message: fmt.Sprintf("`*%s` is a part of what it stands for", y.Value),
				At: Label{b.span(start, end), "goes round in a circle"}})
			n.Kind, n.Target, n.broken = Null, nil, true
		}
	case yaml.ScalarNode:
		n.Kind, n.Text = Scalar, y.Value
		n.Plain = y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
		n.block = y.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
		if n.Plain && (y.Value == "" || y.Tag == "!!null") {
			n.Kind = Null
		}
		end = b.scalarEnd(content, y, n.Plain)
	case yaml.SequenceNode, yaml.MappingNode:
		n.Kind = List
		if y.Kind == yaml.MappingNode {
			n.Kind = Map
		}
		n.flow = y.Style&yaml.FlowStyle != 0
		n.column = y.Column - 1
		if end = b.children(n, y, content, depth); end < 0 {
			return nil, 0
		}
	}
	n.Span = b.span(start, end)
	n.From = Origin{File, fmt.Sprintf("%s:%d", b.source.Name, n.Line())}
	if y.Style&yaml.TaggedStyle != 0 {
		b.tagged(n, y, start, end)
	}
	if slices.ContainsFunc(b.broken, func(s Span) bool {
		return s.Start <= n.Start && n.Start < max(s.End, s.Start+1) && n.Kind != Map && n.Kind != List
	}) {
		n.broken = true
	}
	return n, end
}

// props skips the anchor and the tag before a node's content.
func (b *builder) props(n *Node, y *yaml.Node, start int) int {
	at := start
	for at < len(b.text) && (b.text[at] == '&' && y.Anchor != "" || b.text[at] == '!' && y.Style&yaml.TaggedStyle != 0) {
		end := at
		for end < len(b.text) && !strings.ContainsRune(" \t\r\n", rune(b.text[end])) && !(end > at && strings.ContainsRune(",]}", rune(b.text[end]))) {
			end++
		}
		n.props = strings.TrimSpace(n.props + " " + b.text[at:end])
		at = end
		for at < len(b.text) && strings.ContainsRune(" \t\r\n", rune(b.text[at])) {
			at++
		}
		if y.Kind == yaml.ScalarNode && y.Value == "" && y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 {
			return end
		}
		if at < len(b.text) && b.text[at] == '#' { // the content is below a comment
			if len(y.Content) > 0 && y.Style&yaml.FlowStyle == 0 {
				return b.offset(y.Content[0].Line, y.Content[0].Column)
			}
		}
	}
	return at
}

// children builds what is in a list or a map and returns where it ends, -1 if it
// is too much.
func (b *builder) children(n *Node, y *yaml.Node, start, depth int) (end int) {
	end = start
	if !n.flow && len(y.Content) > 0 {
		n.column = y.Content[0].Column - 1 // of a map: its position may be that of its anchor
		if n.Kind == List {
			n.column = y.Column - 1
		}
	}
	seen := map[string]*Node{}
	for i := 0; i < len(y.Content); i++ {
		c, e := b.build(y.Content[i], depth+1)
		if c == nil {
			return -1
		}
		end = max(end, e)
		if n.Kind == List {
			n.Items = append(n.Items, c)
			continue
		}
		key := c
		free := b.free
		if depth == 0 && strings.HasPrefix(key.Text, "x-") {
			b.free = true
		}
		i++
		value, e := b.build(y.Content[i], depth+1)
		b.free = free
		if value == nil {
			return -1
		}
		end = max(end, e)
		switch {
		case key.broken && key.Kind != Scalar:
		case key.Kind == List && b.bracketed(key, value):
			n.broken = true
		case key.Kind != Scalar:
			b.report.Add(Problem{Name: "complex_key", Message: "a key is a word, and this is " + key.Kind.String(),
				At: Label{firstLine(key.Span), "not a key"}})
		case y.Content[i-1].Tag == "!!merge" && key.Plain:
			b.report.Add(Problem{Name: "merge_key", Message: "`<<` merges nothing here", At: Label{key.Span, "not a key"},
				Help: "write the keys out, or give a whole value by its alias: `timeout: *slow`"})
		case seen[key.Text] != nil:
			first := seen[key.Text]
			b.report.Add(Problem{Name: "duplicate_key", Message: fmt.Sprintf("the key `%s` is given twice", key.Text),
				At: Label{key.Span, "again here"}, Also: []Label{{first.Span, "first here"}},
				Help: "keep one of them, or put the contents of both below one"})
		default:
			seen[key.Text] = key
			n.Entries = append(n.Entries, Entry{key, value})
		}
	}
	if n.flow {
		end = b.closing(end, n.Kind)
	}
	return end
}

// bracketed tells of an IPv6 address whose brackets made a list of it, and with
// its port a map: [::1]:8443 between brackets or braces.
func (b *builder) bracketed(key, value *Node) bool {
	s := key.Span.Text()
	if !strings.Contains(s, ":") || strings.Trim(s, "[]0123456789abcdefABCDEF:.%") != "" {
		return false
	}
	at := Span{b.source, key.Start, max(key.End, value.End)}
	b.report.Add(Problem{Name: "bracket_in_value", Message: bracketMessage, At: Label{at, bracketWords}, Help: "put it in quotes",
		Fix: []Edit{{at, quoted(at.Text())}}})
	return true
}

const (
	bracketMessage = "an address that begins with `[` must be quoted"
	bracketWords   = "`[` begins a list in YAML"
)

// closing is the offset behind the bracket that closes what is open at offset at,
// behind its last child.
func (b *builder) closing(at int, k Kind) int {
	bracket := byte(']')
	if k == Map {
		bracket = '}'
	}
	if at < len(b.text) && (b.text[at] == '[' || b.text[at] == '{') { // it has no child
		at++
	}
	for at < len(b.text) {
		switch c := b.text[at]; c {
		case bracket:
			return at + 1
		case '#':
			if i := strings.IndexByte(b.text[at:], '\n'); i >= 0 {
				at += i
				continue
			}
			return len(b.text)
		case ' ', '\t', '\r', '\n', ',', ':', '?':
			at++
		default:
			return at
		}
	}
	return at
}

// scalarEnd is where a scalar ends that begins at an offset.
func (b *builder) scalarEnd(at int, y *yaml.Node, plain bool) int {
	t := b.text
	switch {
	case at >= len(t):
		return at
	case plain:
		return plainEnd(t, at, y.Value)
	case t[at] == '\'':
		for i := at + 1; i < len(t); i++ {
			if t[i] == '\'' {
				if i+1 < len(t) && t[i+1] == '\'' {
					i++
					continue
				}
				return i + 1
			}
		}
	case t[at] == '"':
		for i := at + 1; i < len(t); i++ {
			switch t[i] {
			case '\\':
				i++
			case '"':
				return i + 1
			}
		}
	case t[at] == '|' || t[at] == '>':
		return blockEnd(t, at)
	}
	return at
}

// plainEnd is where a scalar without quotes ends. Several lines of it are one
// value, with each end of line folded into a space.
func plainEnd(text string, at int, value string) int {
	if strings.HasPrefix(text[at:], value) {
		return at + len(value)
	}
	end := at
	blank := func(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
	for i := 0; i < len(value) && at < len(text); {
		switch {
		case blank(value[i]):
			i++
		case blank(text[at]):
			at++
		case value[i] == text[at]:
			i++
			at++
			end = at
		default:
			return end
		}
	}
	return end
}

// blockEnd is where a scalar behind | or > ends: before the first line that is
// not indented deeper than the line of the | is.
func blockEnd(text string, at int) int {
	begin := strings.LastIndexByte(text[:at], '\n') + 1
	parent := 0
	// In a list, what counts is where the entry behind the dashes begins.
	for i := begin; i < at && (text[i] == ' ' || text[i] == '-'); i++ {
		if text[i] == '-' && i+1 < len(text) && text[i+1] != ' ' {
			break
		}
		parent++
	}
	if begin+parent == at { // "- |": deeper than the dash
		for parent > 0 && text[begin+parent-1] != '-' {
			parent--
		}
		parent = max(parent-1, 0)
	}
	end := at
	first := true
	for pos := begin; pos < len(text); {
		line := text[pos:]
		if i := strings.IndexByte(line, '\n'); i >= 0 {
			line = line[:i]
		}
		trimmed := strings.TrimRight(line, " \t\r")
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if !first && trimmed != "" && indent <= parent {
			break
		}
		if trimmed != "" {
			end = pos + len(trimmed)
		}
		first = false
		pos += len(line) + 1
	}
	return end
}

// tagged tells that a tag is no part of the language. One that begins with ! and
// a path was meant as "not".
func (b *builder) tagged(n *Node, y *yaml.Node, start, end int) {
	n.broken = true
	word := b.text[start:min(len(b.text), start+len(n.props))]
	at := b.span(start, start+len(word))
	if y.Anchor != "" {
		at = n.Span
	}
	p := Problem{Name: "yaml_tag", Message: fmt.Sprintf("`%s` is a YAML tag and not a value", word), At: Label{at, "this value would be lost"}}
	switch rest := strings.TrimPrefix(word, "!"); {
	case strings.HasPrefix(rest, "/") && n.Text == "":
		p.Help = "to turn a condition round, write `not:`"
		p.Fix = []Edit{{at, "{ not: " + rest + " }"}}
	case n.Kind == Scalar && n.Text != "":
		p.At.Words = "tags are not used"
		p.Help = "leave the tag away: what a value is follows from its key"
		if i := strings.IndexByte(b.text[start:end], ' '); i > 0 && y.Anchor == "" {
			p.Fix = []Edit{{b.span(start, start+i+1), ""}}
		}
	default:
		p.Help = "a text that begins with `!` stands in quotes; to turn a condition round, write `not:`"
	}
	b.report.Add(p)
}

// firstLine is the part of a span in its first line.
func firstLine(p Span) Span {
	if i := strings.IndexByte(p.Text(), '\n'); i >= 0 {
		p.End = p.Start + len(strings.TrimRight(p.Text()[:i], " \t\r"))
	}
	return p
}

// isKey reports whether a word could be a key of the language.
func isKey(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}
