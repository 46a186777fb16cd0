package conf

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Encode makes a tree of an option struct: what Decode reads back. With all it
// has every value and otherwise those that somebody wrote. Each node says where
// its value came from.
func Encode(v any, places Places, all bool) *Node {
	e := &encoder{places: places, all: all, types: &Decoder{}}
	if n := e.value(reflect.ValueOf(v).Elem(), ""); n != nil {
		return n
	}
	return &Node{Kind: Map}
}

type encoder struct {
	places Places
	all    bool
	types  *Decoder
}

// whole is an encoder that writes what is there, whoever wrote it.
func (e *encoder) whole() *encoder { return &encoder{e.places, true, e.types} }

// leaf is a scalar, nil if nobody wrote it and only that counts.
func (e *encoder) leaf(text string, plain bool, at Path) *Node {
	place, written := e.places[at]
	if !written && !e.all {
		return nil
	}
	return &Node{Kind: Scalar, Text: text, Plain: plain, From: place.From, Span: place.Value}
}

func (e *encoder) value(v reflect.Value, at Path) *Node {
	t := v.Type()
	if v.CanAddr() {
		if w, ok := v.Addr().Interface().(Writer); ok {
			if in := w.WriteConf(); in != nil {
				return e.made(reflect.ValueOf(in), at)
			}
			return nil
		}
	}
	switch {
	case t.Kind() == reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return e.value(v.Elem(), at)
	case t == durationType:
		return e.leaf(FormatDuration(time.Duration(v.Int())), true, at)
	case t == sizeType:
		s := FormatSize(v.Int())
		if isNumber(s) && s != "0" {
			s += "B"
		}
		return e.leaf(s, true, at)
	case v.CanInterface() && reflect.PointerTo(t).Implements(textType):
		m, ok := v.Interface().(encoding.TextMarshaler)
		if !ok {
			panic(fmt.Sprintf("conf: %s is read from text and not written", t))
		}
		b, err := m.MarshalText()
		if err != nil || len(b) == 0 {
			return nil
		}
		return e.leaf(string(b), false, at)
	}
	switch t.Kind() {
	case reflect.Bool:
		return e.leaf(strconv.FormatBool(v.Bool()), true, at)
	case reflect.Int:
		return e.leaf(strconv.FormatInt(v.Int(), 10), true, at)
	case reflect.Float64:
		return e.leaf(strconv.FormatFloat(v.Float(), 'g', -1, 64), true, at)
	case reflect.String:
		if v.Len() == 0 {
			return nil
		}
		return e.leaf(v.String(), false, at)
	case reflect.Slice:
		return e.list(v, at)
	case reflect.Map:
		return e.table(v, at)
	case reflect.Struct:
		return e.strct(v, at)
	}
	panic(fmt.Sprintf("conf: cannot write %s", t))
}

// made writes what a Writer made. It is there even if its own places are
// unknown.
func (e *encoder) made(v reflect.Value, at Path) *Node {
	if v.Kind() == reflect.Pointer {
		return e.value(v.Elem(), at)
	}
	return e.whole().value(v, at)
}

func (e *encoder) list(v reflect.Value, at Path) *Node {
	_, written := e.places[at]
	if v.Len() == 0 || !written && !e.all && !e.below(v, at) {
		return nil
	}
	n := &Node{Kind: List, From: e.places[at].From}
	// A list is whole or not there: one with holes would mean something else.
	whole := e
	if isLeaf(v.Type().Elem()) {
		whole = e.whole()
	}
	for i := range v.Len() {
		item := whole.shorthand(v.Index(i), at.Index(i))
		if item == nil {
			item = whole.value(v.Index(i), at.Index(i))
		}
		if item != nil {
			if item.From.Kind == Default {
				item.From = n.From
			}
			n.Items = append(n.Items, item)
		}
	}
	if len(n.Items) == 1 && n.Items[0].Kind == Scalar {
		return n.Items[0] // one value is a list of one
	}
	return n
}

// shorthand writes a struct of a list by its shorthand, if that is a text which reads
// itself and says it all: nil if not.
func (e *encoder) shorthand(v reflect.Value, at Path) *Node {
	t := v.Type()
	if t.Kind() != reflect.Struct || isLeaf(t) {
		return nil
	}
	fields := e.types.fields(t)
	i := slices.IndexFunc(fields, func(f field) bool { return f.short })
	if i < 0 || len(fields) == 1 || !reflect.PointerTo(t.Field(fields[i].index).Type).Implements(textType) {
		return nil
	}
	usual := reflect.New(t)
	if d, ok := usual.Interface().(interface{ Default() }); ok {
		d.Default()
	}
	short := v.Field(fields[i].index)
	usual.Elem().Field(fields[i].index).Set(short)
	if !reflect.DeepEqual(usual.Elem().Interface(), v.Interface()) {
		return nil
	}
	n := e.value(short, at.Key(fields[i].name))
	if n == nil || n.Kind != Scalar {
		return nil
	}
	return n
}

// below reports whether something in a list was written, though the list itself
// was not: by its shorthand.
func (e *encoder) below(v reflect.Value, at Path) bool {
	for i := range v.Len() {
		if _, ok := e.places[at.Index(i)]; ok {
			return true
		}
	}
	return false
}

func isLeaf(t reflect.Type) bool {
	return t.Kind() != reflect.Struct && t.Kind() != reflect.Pointer || reflect.PointerTo(t).Implements(textType)
}

func (e *encoder) table(v reflect.Value, at Path) *Node {
	if v.Len() == 0 {
		return nil
	}
	n := &Node{Kind: Map, From: e.places[at].From}
	var keys []string
	for _, k := range v.MapKeys() {
		keys = append(keys, k.String())
	}
	slices.Sort(keys)
	// In the order of the file, where there is one.
	slices.SortStableFunc(keys, func(a, b string) int {
		return e.places[at.Key(a)].Key.Start - e.places[at.Key(b)].Key.Start
	})
	for _, k := range keys {
		el := reflect.New(v.Type().Elem()).Elem()
		el.Set(v.MapIndex(reflect.ValueOf(k).Convert(v.Type().Key())))
		value := e.value(el, at.Key(k))
		if value == nil {
			value = &Node{Kind: Map}
		}
		n.Entries = append(n.Entries, Entry{&Node{Kind: Scalar, Text: k}, value})
	}
	return n
}

func (e *encoder) strct(v reflect.Value, at Path) *Node {
	n := &Node{Kind: Map, From: e.places[at].From}
	var short *field
	fields := e.types.fields(v.Type())
	for i := range fields {
		f := &fields[i]
		if f.short {
			short = f
		}
		if f.min != "" && f.min != "0" && v.Field(f.index).IsZero() {
			continue // unset, and 0 cannot be written
		}
		if value := e.value(v.Field(f.index), at.Key(f.name)); value != nil {
			n.Entries = append(n.Entries, Entry{&Node{Kind: Scalar, Text: f.name, Plain: true}, value})
		}
	}
	switch {
	case len(n.Entries) == 0:
		return nil
	case len(n.Entries) == 1 && short != nil && n.Entries[0].Key.Text == short.name && n.Entries[0].Value.Kind != Map:
		// Its shorthand, if there is nothing else to it or it was written so.
		place := e.places[at.Key(short.name)]
		if len(fields) == 1 && n.Entries[0].Value.Kind == List || place.Value.Valid() && !place.Key.Valid() {
			return n.Entries[0].Value
		}
	}
	return n
}

// plainSafe reports whether a text can stand without quotes and is read back as
// what it is; flow: also within braces.
func plainSafe(s string, flow bool) bool {
	switch s {
	case "", "~", "null", "Null", "NULL", "<<", "=", "---", "...":
		return false
	}
	if strings.TrimSpace(s) != s || !utf8.ValidString(s) || strings.Contains(s, ": ") || strings.Contains(s, " #") || s[len(s)-1] == ':' {
		return false
	}
	if strings.IndexByte(",[]{}#&*!|>'\"%@`", s[0]) >= 0 || (s[0] == '-' || s[0] == '?') && (len(s) == 1 || s[1] == ' ') ||
		s[0] == ':' && (len(s) == 1 || flow && strings.IndexByte(",[]{}", s[1]) >= 0) || strings.HasPrefix(s, "---") || strings.HasPrefix(s, "...") {
		return false
	}
	if flow && strings.ContainsAny(s, ",[]{}") {
		return false
	}
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff {
			return false
		}
	}
	return true
}

// word is a scalar as it is written.
func (n *Node) word(flow bool) string {
	if n.Kind == Null {
		return "null"
	}
	// A text that looks like a number or a boolean reads as one to other programs.
	looks := isNumber(n.Text) || booleans[strings.ToLower(n.Text)] != "" || n.Text == "true" || n.Text == "false"
	if plainSafe(n.Text, flow) && (n.Plain || !looks) {
		return n.Text
	}
	return quoteAll(n.Text)
}

// quoteAll is a text in double quotes, whatever is in it.
func quoteAll(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// YAML writes a tree as a file. With origins each value has a comment that says
// where it came from.
func (n *Node) YAML(origins bool) []byte {
	w := &yamlWriter{origins: origins}
	w.node(n, 0)
	// The comments stand below each other.
	width := 0
	for _, l := range w.lines {
		width = max(width, min(utf8.RuneCountInString(l.text), maxOriginColumn))
	}
	var b strings.Builder
	for _, l := range w.lines {
		b.WriteString(l.text)
		if l.origin != "" {
			b.WriteString(strings.Repeat(" ", max(0, width-utf8.RuneCountInString(l.text))) + "  # " + l.origin)
		}
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

// maxOriginColumn is how far right the comments begin: one long line pushes only
// its own.
const maxOriginColumn = 60

type yamlWriter struct {
	origins bool
	lines   []yamlLine
	head    string // what the next line begins with, instead of blanks
}

type yamlLine struct{ text, origin string }

func (w *yamlWriter) line(indent int, text string, from *Node) {
	l := yamlLine{text: strings.Repeat(" ", indent-len(w.head)) + w.head + text}
	if w.origins && from != nil {
		l.origin = from.From.String()
	}
	w.head = ""
	w.lines = append(w.lines, l)
}

func (w *yamlWriter) node(n *Node, indent int) {
	switch {
	case n.Kind == Map && len(n.Entries) == 0:
		w.line(indent, "{}", nil)
	case n.Kind == Map:
		for _, e := range n.Entries {
			key := e.Key.word(false)
			v := e.Value
			switch {
			case v.Kind == Scalar || v.Kind == Null:
				w.line(indent, key+": "+v.word(false), v)
			case v.Kind == Map && len(v.Entries) == 0:
				w.line(indent, key+": {}", nil)
			case v.Kind == List && allScalars(v):
				w.line(indent, key+": "+inline(v), v.first())
			default:
				w.line(indent, key+":", nil)
				w.node(v, indent+2)
			}
		}
	case n.Kind == List && allScalars(n):
		w.line(indent, inline(n), n.first())
	case n.Kind == List:
		for _, item := range n.Items {
			if item.Kind == Scalar || item.Kind == Null {
				w.line(indent, "- "+item.word(false), item)
				continue
			}
			w.head += "- " // behind those of lists that begin with this one
			w.node(item, indent+2)
		}
	default:
		w.line(indent, n.word(false), n)
	}
}

func (n *Node) first() *Node {
	if len(n.Items) > 0 {
		return n.Items[0]
	}
	return n
}

func allScalars(n *Node) bool {
	for _, i := range n.Items {
		if i.Kind != Scalar {
			return false
		}
	}
	return true
}

func inline(n *Node) string {
	words := make([]string, len(n.Items))
	for i, item := range n.Items {
		words[i] = item.word(true)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// MarshalJSON writes a tree as JSON: plain scalars as numbers and booleans where
// they are such, all others as texts.
func (n *Node) MarshalJSON() ([]byte, error) {
	n = n.Value()
	switch n.Kind {
	case Null:
		return []byte("null"), nil
	case List:
		items := n.Items
		if items == nil {
			items = []*Node{}
		}
		return json.Marshal(items)
	case Map:
		var b []byte
		for i, e := range n.Entries {
			b = append(b, "{,"[min(i, 1)])
			key, err := json.Marshal(e.Key.Text)
			if err != nil {
				return nil, err
			}
			value, err := e.Value.MarshalJSON()
			if err != nil {
				return nil, err
			}
			b = append(append(append(b, key...), ':'), value...)
		}
		if b == nil {
			b = append(b, '{')
		}
		return append(b, '}'), nil
	}
	if n.Plain && (n.Text == "true" || n.Text == "false" || json.Valid([]byte(n.Text)) && isNumber(n.Text)) {
		return []byte(n.Text), nil
	}
	return json.Marshal(n.Text)
}

// Change is a difference in meaning between two configurations.
type Change struct {
	Path Path  // in the new one; of what is gone, in the old one
	Old  *Node // nil if it is new
	New  *Node // nil if it is gone
}

// Diff lists what must change for one tree to mean what the other does. Items
// of lists are compared by what they mean and not by their place.
func Diff(a, b *Node) []Change {
	var d differ
	d.node(a, b, "")
	return d.changes
}

type differ struct{ changes []Change }

func (d *differ) node(a, b *Node, at Path) {
	a, b = a.Value(), b.Value()
	switch {
	case same(a, b):
	case a.Kind == Map && b.Kind == Map:
		for _, e := range a.Entries {
			if b.Get(e.Key.Text) == nil {
				d.changes = append(d.changes, Change{at.Key(e.Key.Text), e.Value, nil})
			}
		}
		for _, e := range b.Entries {
			if old := a.Get(e.Key.Text); old != nil {
				d.node(old, e.Value, at.Key(e.Key.Text))
			} else {
				d.changes = append(d.changes, Change{at.Key(e.Key.Text), nil, e.Value})
			}
		}
	case a.Kind == List && b.Kind == List && !(allScalars(a) && allScalars(b)):
		d.list(a.Items, b.Items, at)
	default:
		d.changes = append(d.changes, Change{at, a, b})
	}
}

// maxLists bounds the work of comparing two lists: the product of their lengths.
// Longer ones are compared place by place.
const maxLists = 4 << 20

// list finds the longest common part and pairs what is left between.
func (d *differ) list(a, b []*Node, at Path) {
	begin := 0
	for begin < len(a) && begin < len(b) && same(a[begin], b[begin]) {
		begin++
	}
	enda, endb := len(a), len(b)
	for enda > begin && endb > begin && same(a[enda-1], b[endb-1]) {
		enda--
		endb--
	}
	n, m := enda-begin, endb-begin
	if n*m > maxLists {
		d.gap(a, b, begin, enda, begin, endb, at)
		return
	}
	common := make([][]int32, n+1) // the length of what is common from here on
	for i := range common {
		common[i] = make([]int32, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if same(a[begin+i], b[begin+j]) {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j, gapA, gapB := 0, 0, 0, 0
	for i < n && j < m {
		switch {
		case same(a[begin+i], b[begin+j]):
			d.gap(a, b, begin+gapA, begin+i, begin+gapB, begin+j, at)
			i++
			j++
			gapA, gapB = i, j
		case common[i+1][j] >= common[i][j+1]:
			i++
		default:
			j++
		}
	}
	d.gap(a, b, begin+gapA, enda, begin+gapB, endb, at)
}

// gap pairs the items between two common ones: changed as long as both have one,
// then gone or new.
func (d *differ) gap(a, b []*Node, fromA, toA, fromB, toB int, at Path) {
	for fromA < toA && fromB < toB {
		d.node(a[fromA], b[fromB], at.Index(fromB))
		fromA++
		fromB++
	}
	for ; fromA < toA; fromA++ {
		d.changes = append(d.changes, Change{at.Index(fromA), a[fromA], nil})
	}
	for ; fromB < toB; fromB++ {
		d.changes = append(d.changes, Change{at.Index(fromB), nil, b[fromB]})
	}
}

// Words is a value in a few words, for a line about a change.
func (n *Node) Words() string {
	n = n.Value()
	switch n.Kind {
	case Scalar:
		return n.Text
	case Null:
		return "nothing"
	case List:
		words := make([]string, len(n.Items))
		for i, item := range n.Items {
			words[i] = item.Words()
		}
		return strings.Join(words, ", ")
	}
	words := make([]string, len(n.Entries))
	for i, e := range n.Entries {
		if v := e.Value.Value(); v.Kind == Map && len(v.Entries) > 1 {
			words[i] = e.Key.Text + " (" + v.Words() + ")"
		} else {
			words[i] = e.Key.Text + " " + v.Words()
		}
	}
	return strings.Join(words, ", ")
}
