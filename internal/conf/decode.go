package conf

import (
	"encoding"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Decoder reads trees into option structs. A struct says by tags how its fields
// are written:
//
//	conf:"first-byte"     the key; without the tag a field is no option
//	conf:"to,short"       what stands for the whole struct if it is no map
//	conf:"to,required"    the key must be there
//	conf:"to,env"         ${env.NAME} stands for a variable of the environment
//	conf:"ca,file"        a path, relative to the file that it is written in
//	flag:"max-head"       the settings that win over the file, the first one set;
//	                      one with ! in front means the opposite
//	enum:"text,json,off"  all values there are
//	min:"1" max:"1GiB"    the bounds of a number or a size
//	zero:"no"             a duration that is never 0
//	aka:"servers,backend" what others call it, for suggestions
//
// A struct with a method Default is filled by it first. A type that reads itself
// is an encoding.TextUnmarshaler, whose error may be a *[Bad], or a [Reader].
type Decoder struct {
	// Report takes the problems.
	Report *Report
	// Set tells what a flag or a variable of the environment sets; nil for nothing.
	Set func(name string) (text string, from Origin, ok bool)
	// Env looks up a variable for ${env.NAME}; nil for an empty environment.
	Env func(name string) (string, bool)
	// Read reads the file that NAME_FILE names; nil for none.
	Read func(path string) ([]byte, error)
	// Places are where the values stand that were read: those that are missing
	// there are defaults.
	Places Places

	root  reflect.Type
	types map[reflect.Type][]field
	nodes int
	full  bool // too many nodes: told already
}

// fields are those of a struct type, looked at once.
func (d *Decoder) fields(t reflect.Type) []field {
	list, ok := d.types[t]
	if !ok {
		if d.types == nil {
			d.types = map[reflect.Type][]field{}
		}
		list = fieldsOf(t)
		d.types[t] = list
	}
	return list
}

// Places say by path where each value stands.
type Places map[Path]Place

// Place is where a value stands.
type Place struct {
	Key, Value Span // no place for what no file holds
	From       Origin
}

// Key is the place of a path's key, or of its value if it has none.
func (p Places) Key(at Path) Span {
	if k := p[at].Key; k.Valid() {
		return k
	}
	return p[at].Value
}

// Reader is a type that reads its own node.
type Reader interface {
	ReadConf(d *Decoder, n *Node, at Path)
}

// Writer is a type that a [Reader] made, in a form that can be written: a string,
// a struct, a list.
type Writer interface {
	WriteConf() any
}

// Bad says what is wrong with a text, and which part of it.
type Bad struct {
	// Name is the problem's; "" means bad_value.
	Name    string
	Message string
	// Start and End are the part of the text that is wrong; both 0 for all of it.
	Start, End int
	Words      string // at the place
	Note, Help string
	// With is the whole text as it should be; "" if nobody knows.
	With   string
	Unsure bool
}

func (b *Bad) Error() string { return b.Message }

// field is a field of a struct with its tags.
type field struct {
	index    int
	name     string
	short    bool
	required bool
	env      bool
	file     bool
	flags    []string
	enum     []string
	aka      []string
	min, max string
	never0   bool
}

// fieldsOf are the options of a struct type, in their order.
func fieldsOf(t reflect.Type) (list []field) {
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, ok := sf.Tag.Lookup("conf")
		if !ok || tag == "-" {
			continue
		}
		words := strings.Split(tag, ",")
		f := field{index: i, name: words[0], min: sf.Tag.Get("min"), max: sf.Tag.Get("max"), never0: sf.Tag.Get("zero") == "no"}
		for _, w := range words[1:] {
			switch w {
			case "short":
				f.short = true
			case "required":
				f.required = true
			case "env":
				f.env = true
			case "file":
				f.file = true
			default:
				panic(fmt.Sprintf("conf: field %s of %s has an unknown word %q in its tag", sf.Name, t, w))
			}
		}
		split := func(key string) []string {
			if s := sf.Tag.Get(key); s != "" {
				return strings.Split(s, ",")
			}
			return nil
		}
		f.flags, f.enum, f.aka = split("flag"), split("enum"), split("aka")
		list = append(list, f)
	}
	return list
}

// Decode reads a tree into the struct that into points to. What cannot be read
// keeps its default, and the report has an error.
func (d *Decoder) Decode(root *Node, into any) {
	if d.Places == nil {
		d.Places = Places{}
	}
	v := reflect.ValueOf(into).Elem()
	d.root = v.Type()
	d.strct(root, v, "", nil)
}

// Value reads a node into what into points to: for a [Reader] that has decided
// what its node is.
func (d *Decoder) Value(n *Node, into any, at Path) {
	d.value(n, reflect.ValueOf(into).Elem(), at, nil)
}

// Defaults fills what into points to, as if nothing was written there.
func (d *Decoder) Defaults(into any, at Path) { d.missing(reflect.ValueOf(into).Elem(), at, nil) }

// Text reads a scalar as a text in which ${env.NAME} may stand, "" if it is none;
// want says what it should be.
func (d *Decoder) Text(n *Node, want string, at Path) string {
	if n.Kind != Scalar {
		d.unlike(n, reflect.TypeFor[string](), want, at)
		return ""
	}
	if n = d.expand(n, &field{env: true}, at); n == nil {
		return ""
	}
	if n.Text == "" {
		d.bad(n, &Bad{Name: "empty_value", Message: d.called(at) + " is an empty text", Help: "give it " + want})
	}
	return n.Text
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
	readerType   = reflect.TypeFor[Reader]()
)

// value reads a node. Whether it was read is in the report.
func (d *Decoder) value(n *Node, v reflect.Value, at Path, f *field) {
	if !d.count(n) {
		return
	}
	if n.Kind == Alias {
		n = n.Target
		d.value(n, v, at, f)
		return
	}
	if n.broken {
		return
	}
	t := v.Type()
	if reflect.PointerTo(t).Implements(readerType) {
		v.Addr().Interface().(Reader).ReadConf(d, n, at)
		return
	}
	switch {
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		d.value(n, v.Elem(), at, f)
	case t == durationType, t == sizeType, reflect.PointerTo(t).Implements(textType):
		d.scalar(n, v, at, f)
	case t.Kind() == reflect.Struct:
		d.strct(n, v, at, f)
	case t.Kind() == reflect.Slice:
		d.list(n, v, at, f)
	case t.Kind() == reflect.Map:
		d.table(n, v, at, f)
	default:
		d.scalar(n, v, at, f)
	}
}

// count keeps a tree with aliases from growing without end.
func (d *Decoder) count(n *Node) bool {
	if d.nodes++; d.nodes <= MaxNodes {
		return true
	}
	if !d.full {
		d.full = true
		d.Report.Add(Problem{Name: "too_large", Message: fmt.Sprintf("a configuration has at most %d values, aliases counted as what they stand for", MaxNodes),
			At: Label{Span: firstLine(n.Span)}})
	}
	return false
}

// Full reports whether there were more values than are read: what was decoded is
// not the whole then.
func (d *Decoder) Full() bool { return d.full }

// missing fills what nobody wrote.
func (d *Decoder) missing(v reflect.Value, at Path, f *field) {
	if f != nil {
		for _, name := range f.flags {
			if d.Set == nil {
				break
			}
			name, not := strings.CutPrefix(name, "!")
			if text, from, ok := d.Set(name); ok {
				d.set(v, at, f, text, from, not)
				return
			}
		}
	}
	if v.Kind() == reflect.Struct && !reflect.PointerTo(v.Type()).Implements(textType) && !reflect.PointerTo(v.Type()).Implements(readerType) {
		d.strct(nil, v, at, f)
	}
}

// set reads what a flag or the environment says.
func (d *Decoder) set(v reflect.Value, at Path, f *field, text string, from Origin, not bool) {
	n := &Node{Kind: Scalar, Text: text, Plain: true, From: from}
	switch {
	case v.Kind() == reflect.Bool:
		yes := text == "true" || text == "on"
		if !yes && text != "false" && text != "off" {
			d.bad(n, &Bad{Name: "bad_boolean", Message: fmt.Sprintf("`%s` is neither true nor false", text)})
			return
		}
		n.Text = strconv.FormatBool(yes != not)
	case v.Kind() == reflect.Slice:
		list := &Node{Kind: List, From: from}
		for _, s := range strings.Split(text, ",") {
			list.Items = append(list.Items, &Node{Kind: Scalar, Text: s, Plain: true, From: from})
		}
		n = list
	}
	d.Places[at] = Place{From: from}
	d.value(n, v, at, f)
}

// strct reads a map into a struct; n is nil if nobody wrote it.
func (d *Decoder) strct(n *Node, v reflect.Value, at Path, of *field) {
	if def, ok := v.Addr().Interface().(interface{ Default() }); ok {
		def.Default()
	}
	fields := d.fields(v.Type())
	if n != nil && n.Kind != Map {
		i := slices.IndexFunc(fields, func(f field) bool { return f.short })
		if i < 0 || n.Kind == Null {
			d.unlike(n, v.Type(), "a map of keys", at)
			n = nil
		}
		for j := range fields {
			f := &fields[j]
			if j == i && n != nil {
				d.field(n, Span{}, v.Field(f.index), at.Key(f.name), f)
			} else {
				d.missing(v.Field(f.index), at.Key(f.name), f)
			}
		}
		return
	}
	byName := map[string]*Entry{}
	guessed := map[string]bool{} // what unknown keys were probably meant to be
	if n != nil {
		for i := range n.Entries {
			e := &n.Entries[i]
			byName[e.Key.Text] = e
			if strings.HasPrefix(e.Key.Text, "x-") || slices.ContainsFunc(fields, func(f field) bool { return f.name == e.Key.Text }) {
				continue
			}
			if name := d.unknown(e, n, v.Type(), fields, at); name != "" {
				guessed[name] = true
			}
		}
	}
	for i := range fields {
		f := &fields[i]
		e := byName[f.name]
		if e == nil {
			d.missing(v.Field(f.index), at.Key(f.name), f)
			if f.required && n != nil && !guessed[f.name] {
				d.lacks(n, v.Type(), f, at)
			}
			continue
		}
		d.field(e.Value, e.Key.Span, v.Field(f.index), at.Key(f.name), f)
	}
}

// field reads what is written for a field, unless a flag wins.
func (d *Decoder) field(n *Node, key Span, v reflect.Value, at Path, f *field) {
	d.Places[at] = Place{Key: key, Value: n.Span, From: n.Value().From}
	d.value(n, v, at, f)
	for _, name := range f.flags {
		if d.Set == nil {
			break
		}
		name, not := strings.CutPrefix(name, "!")
		if text, from, ok := d.Set(name); ok {
			v.SetZero()
			d.set(v, at, f, text, from, not)
			return
		}
	}
}

// noun is what a struct is called in messages: its own word, or its key.
func noun(t reflect.Type, at Path) string {
	if n, ok := reflect.New(t).Interface().(interface{ Noun() string }); ok {
		return article(n.Noun())
	}
	parts := at.Parts()
	if len(parts) == 0 {
		return "the configuration"
	}
	return "`" + parts[len(parts)-1] + "`"
}

func article(word string) string {
	if strings.IndexByte("aeiou", word[0]) >= 0 {
		return "an " + word
	}
	return "a " + word
}

// within is a label for what a problem is in, nil if the same line shows it.
func (d *Decoder) within(t reflect.Type, at Path, line int) []Label {
	key := d.Places[at].Key
	parts := at.Parts()
	if !key.Valid() || key.Line() == line || len(parts) == 0 {
		return nil
	}
	words := "in `" + parts[len(parts)-1] + "`"
	if n, ok := reflect.New(t).Interface().(interface{ Noun() string }); ok {
		words = "in " + n.Noun() + " `" + parts[len(parts)-1] + "`"
	}
	return []Label{{key, words}}
}

// unknown tells of a key that is none. It returns the key that was probably
// meant, "" if nobody knows.
func (d *Decoder) unknown(e *Entry, n *Node, t reflect.Type, fields []field, at Path) string {
	if e.Key.broken {
		return ""
	}
	key := e.Key.Text
	p := Problem{Name: "unknown_key", Message: fmt.Sprintf("unknown key `%s` in %s", key, noun(t, at)),
		At: Label{e.Key.Span, "not a key here"}, Also: d.within(t, at, e.Key.Line())}
	var names []string
	for _, f := range fields {
		names = append(names, f.name)
	}
	places := keysBelow(d.root)
	switch {
	case strings.ReplaceAll(strings.ToLower(key), "_", "-") != key && slices.Contains(names, strings.ReplaceAll(strings.ToLower(key), "_", "-")):
		p.Help = "keys are written in lower case, with hyphens"
		p.Fix = []Edit{{e.Key.Span, strings.ReplaceAll(strings.ToLower(key), "_", "-")}}
	case Meant(key, names) != "" && n.Get(Meant(key, names)) == nil:
		p.Help = "a key with a similar name exists"
		p.Fix = []Edit{{e.Key.Span, Meant(key, names)}}
	case slices.ContainsFunc(fields, func(f field) bool { return slices.Contains(f.aka, key) }):
		i := slices.IndexFunc(fields, func(f field) bool { return slices.Contains(f.aka, key) })
		p.Help = fmt.Sprintf("here it is called `%s`", names[i])
		p.Fix, p.Unsure = []Edit{{e.Key.Span, names[i]}}, true
	default:
		if in := places[key]; len(in) > 0 {
			p.Help = fmt.Sprintf("`%s` is a key of %s", key, strings.Join(in[:min(3, len(in))], " and of "))
		} else if near := Meant(key, sortedKeys(places)); near != "" {
			p.Help = fmt.Sprintf("`%s` is a key of %s", near, strings.Join(places[near][:min(3, len(places[near]))], " and of "))
		}
		p.Notes = []string{"the keys here are " + strings.Join(names, ", ")}
	}
	d.Report.Add(p)
	if len(p.Fix) > 0 {
		return p.Fix[0].With
	}
	return ""
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// keysBelow are all keys of a struct type and of what is in it, each with what it
// is a key of, in words.
func keysBelow(t reflect.Type) map[string][]string {
	keys := map[string][]string{}
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type, in string)
	walk = func(t reflect.Type, in string) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || seen[t] {
			return
		}
		seen[t] = true
		if n, ok := reflect.New(t).Interface().(interface{ Noun() string }); ok {
			in = article(n.Noun())
		}
		for _, f := range fieldsOf(t) {
			keys[f.name] = append(keys[f.name], in)
			below := "`" + f.name + "`"
			if in != "the top level" {
				below += " of " + in
			}
			walk(t.Field(f.index).Type, below)
		}
	}
	walk(t, "the top level")
	return keys
}

// lacks tells of a key that must be there.
func (d *Decoder) lacks(n *Node, t reflect.Type, f *field, at Path) {
	place := d.Places[at].Key
	if !place.Valid() {
		place = firstLine(n.Span)
	}
	d.Report.Add(Problem{Name: "missing_key", Message: fmt.Sprintf("%s has no `%s`", noun(t, at), f.name), At: Label{place, "needs `" + f.name + ":`"}})
}

// called is what a user knows a value by: its key, or that of what its shorthand
// stands for.
func (d *Decoder) called(at Path) string {
	parts, item := at.Parts(), false
	for p := at; len(parts) > 0; parts = parts[:len(parts)-1] {
		last := parts[len(parts)-1]
		if d.Places[p].Key.Valid() || !d.Places[p].Value.Valid() {
			if item {
				return "an item of `" + last + "`"
			}
			return "`" + last + "`"
		}
		if strings.Trim(last, "0123456789") == "" {
			item = d.Places[p.parent()].Value != d.Places[p].Value // else a list of one
		}
		p = p.parent()
	}
	return "this"
}

// unlike tells that a node is of the wrong kind.
func (d *Decoder) unlike(n *Node, t reflect.Type, want string, at Path) {
	key := d.called(at)
	p := Problem{Name: "wrong_kind", Message: fmt.Sprintf("%s takes %s, and this is %s", key, want, n.Kind), At: Label{firstLine(n.Span), "not " + want}}
	p.Where = n.whence()
	switch {
	case n.Kind == Null:
		p.Name, p.Message, p.At.Words = "empty_value", key+" has no value", "nothing here"
		if k := d.Places[at].Key; k.Valid() {
			p.At = Label{k, "nothing behind this key"}
		}
		p.Help = "give it " + want + ", or leave the key away"
	case n.Kind == Map && n.flow && !strings.HasPrefix(want, "a map") && onlyKeys(n):
		p.Name, p.Message, p.At.Words = "braces_are_a_map", "a value in braces is a map in YAML", "a map with the key `"+n.Entries[0].Key.Text+"`"
		p.Help = "put it in quotes to mean the text"
		p.Fix, p.Unsure = []Edit{{n.Span, quoted(n.Span.Text())}}, true
	case n.Kind == List && n.flow && strings.HasPrefix(n.Span.Text(), "[:"):
		p.Name, p.Message, p.At.Words = "bracket_in_value", bracketMessage, bracketWords
	case n.Kind == Scalar && n.Plain:
		// "timeout:5s" is a word to YAML.
		k, rest, ok := strings.Cut(n.Text, ":")
		known := t.Kind() == reflect.Struct && slices.ContainsFunc(d.fields(t), func(f field) bool { return f.name == k })
		named := t.Kind() == reflect.Map && !strings.HasPrefix(rest, "/") && d.Places[at].Key.Line() != n.Line()
		if ok && rest != "" && n.Valid() && (known || named) {
			colon := n.Start + len(k) + 1
			p.Name, p.Message, p.At.Words = "no_space_after_colon", "there is no space behind the colon", "a word, and no key with a value"
			p.Help, p.Fix, p.Unsure = "put one there", []Edit{{Span{n.Source, colon, colon}, " "}}, named
		}
	}
	d.Report.Add(p)
}

// onlyKeys reports whether a map has keys and no values: {host}.
func onlyKeys(n *Node) bool {
	for _, e := range n.Entries {
		if e.Value.Kind != Null {
			return false
		}
	}
	return len(n.Entries) > 0
}

// whence is where a value came from that no file holds.
func (n *Node) whence() string {
	if n.Valid() {
		return ""
	}
	return n.From.String()
}

// list reads a list, or one value as a list of one.
func (d *Decoder) list(n *Node, v reflect.Value, at Path, f *field) {
	items := n.Items
	switch {
	case n.Kind == Null:
		d.unlike(n, v.Type(), "a list", at)
		return
	case n.Kind != List:
		items = []*Node{n}
	case len(items) == 0:
		d.Report.Add(Problem{Name: "empty_list", Message: d.called(at) + " is an empty list", At: Label{n.Span, "nothing in it"},
			Help: "put something in, or leave the key away", Where: n.whence()})
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		d.Places[at.Index(i)] = Place{Value: item.Span, From: item.Value().From}
		d.value(item, v.Index(i), at.Index(i), f)
	}
}

// table reads a map whose keys are names that the user chose.
func (d *Decoder) table(n *Node, v reflect.Value, at Path, f *field) {
	if n.Kind != Map {
		d.unlike(n, v.Type(), "a map of keys", at)
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Entries)))
	for _, e := range n.Entries {
		key := e.Key.Text
		if strings.HasPrefix(key, "x-") && v.Type().Elem().Kind() != reflect.Slice {
			continue // an extension, unless it may be the name of a field
		}
		here := at.Key(key)
		d.Places[here] = Place{Key: e.Key.Span, Value: e.Value.Span, From: e.Value.Value().From}
		el := reflect.New(v.Type().Elem()).Elem()
		d.value(e.Value, el, here, f)
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), el)
	}
}

// kindOf says in words what a scalar type takes.
func kindOf(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration"
	case t == sizeType:
		return "a size"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "a whole number"
	case t.Kind() == reflect.Float64:
		return "a number"
	}
	if n, ok := reflect.New(t).Interface().(interface{ Noun() string }); ok {
		return article(n.Noun())
	}
	return "a text"
}

// scalar reads one value.
func (d *Decoder) scalar(n *Node, v reflect.Value, at Path, f *field) {
	t := v.Type()
	if n.Kind != Scalar {
		d.unlike(n, t, kindOf(t), at)
		return
	}
	if f == nil {
		f = &field{}
	}
	n = d.expand(n, f, at)
	if n == nil {
		return
	}
	text := n.Text
	if len(f.enum) > 0 && !slices.Contains(f.enum, text) {
		b := &Bad{Name: "bad_choice", Message: fmt.Sprintf("`%s` is not one of %s", text, strings.Join(f.enum, ", "))}
		if near := Meant(text, f.enum); near != "" {
			b.Words, b.With = fmt.Sprintf("did you mean `%s`?", near), near
			b.Unsure = strings.ContainsAny(near, "0123456789") // a number is no misspelling of another
		}
		d.bad(n, b)
		return
	}
	var err error
	switch {
	case t == durationType:
		err = d.duration(n, v, text, f)
	case t == sizeType:
		err = d.size(n, v, text, f)
	case reflect.PointerTo(t).Implements(textType):
		if text == "" {
			err = &Bad{Name: "empty_value", Message: d.called(at) + " is an empty text"}
			break
		}
		err = v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	case t.Kind() == reflect.Bool:
		err = boolean(n, v, text)
	case t.Kind() == reflect.Int:
		err = integer(n, v, text, f)
	case t.Kind() == reflect.Float64:
		err = float(n, v, text, f)
	default:
		if text == "" {
			err = &Bad{Name: "empty_value", Message: d.called(at) + " is an empty text", Help: "write a text, or leave the key away"}
			break
		}
		if f.file {
			text = relative(n, text)
		}
		v.SetString(text)
	}
	if err != nil {
		var b *Bad
		if !errors.As(err, &b) {
			b = &Bad{Message: err.Error()}
		}
		d.bad(n, b)
	}
}

// relative is a path as seen from here: one in a file is relative to that file.
func relative(n *Node, path string) string {
	if filepath.IsAbs(path) || !n.Valid() {
		return path
	}
	return filepath.Join(filepath.Dir(n.Source.Name), path)
}

// bad tells what is wrong with a scalar.
func (d *Decoder) bad(n *Node, b *Bad) {
	p := Problem{Name: b.Name, Message: b.Message, At: Label{firstLine(n.Span), b.Words}, Help: b.Help, Where: n.whence()}
	if p.Name == "" {
		p.Name = "bad_value"
	}
	if b.Note != "" {
		p.Notes = []string{b.Note}
	}
	if n.From.Kind == Env && n.Valid() {
		p.Notes = append(p.Notes, "the value comes from the environment: "+n.From.Name)
		d.Report.Add(p)
		return
	}
	if n.Valid() {
		p.At.Span = firstLine(n.Span.Part(n.Text, b.Start, b.End))
	}
	if b.With != "" && n.Valid() {
		p.Fix, p.Unsure = []Edit{n.Span.Instead(b.With)}, b.Unsure
		if p.Help == "" {
			p.Help = "write it so"
		}
	}
	d.Report.Add(p)
}

// inner is where the text of a scalar stands, within its quotes; no place if it
// is written differently from what it means.
func (p Span) inner(text string) Span {
	switch s := p.Text(); {
	case !p.Valid():
	case s == text:
		return p
	case len(s) == len(text)+2 && s[1:len(s)-1] == text:
		return Span{p.Source, p.Start + 1, p.End - 1}
	}
	return Span{}
}

// Part is a part of a scalar as a span: of its text from one offset to another,
// or all of it if that cannot be told.
func (p Span) Part(text string, start, end int) Span {
	if inner := p.inner(text); inner.Valid() && start < end && end <= len(text) {
		return Span{p.Source, inner.Start + start, inner.Start + end}
	}
	return p
}

// Instead is the edit that puts a text in the place of a scalar, in quotes if it
// had some or needs them. A number or a boolean loses them.
func (p Span) Instead(text string) Edit {
	s := p.Text()
	had := s != "" && (s[0] == '"' || s[0] == '\'')
	bare := isNumber(text) || text == "true" || text == "false"
	if had && !bare || !plainSafe(text, true) {
		text = quoted(text)
	}
	return Edit{p, text}
}

func (d *Decoder) duration(n *Node, v reflect.Value, text string, f *field) error {
	t, err := ParseDuration(text)
	switch {
	case err != nil:
		b := &Bad{Name: "bad_duration", Message: fmt.Sprintf("`%s` is no duration", text), Note: err.Error()}
		if isNumber(text) {
			b.Name, b.Message, b.Words, b.Note = "missing_unit", "a duration has a unit", "seconds? milliseconds?", ""
		}
		if better, sure := betterDuration(text); better != "" {
			b.With, b.Unsure = better, !sure
		}
		return b
	case t == 0 && f.never0:
		return &Bad{Name: "out_of_range", Message: "this phase always has a limit", Words: "not 0", Help: "write a duration above 0, or leave the key away"}
	}
	v.SetInt(int64(t))
	return nil
}

func (d *Decoder) size(n *Node, v reflect.Value, text string, f *field) error {
	size, err := ParseSize(text)
	if err != nil || isNumber(text) && size != 0 && n.From.Kind == File {
		b := &Bad{Name: "bad_size", Message: fmt.Sprintf("`%s` is no size", text)}
		if err != nil {
			b.Note = "a size is a whole number with a unit, such as 512B, 64KiB or 10MB"
		}
		if isNumber(text) {
			b.Name, b.Message, b.Words, b.Note = "missing_unit", "a size has a unit", "bytes?", ""
		}
		if better, sure := betterSize(text); better != "" {
			b.With, b.Unsure = better, !sure
		}
		return b
	}
	bound := func(s string, none int64) int64 {
		if s == "" {
			return none
		}
		n, err := ParseSize(s)
		if err != nil {
			panic("conf: " + err.Error())
		}
		return n
	}
	least, most := bound(f.min, 0), bound(f.max, 1<<62)
	if size < least || size > most {
		return &Bad{Name: "out_of_range", Message: fmt.Sprintf("it must lie between %s and %s", FormatSize(least), FormatSize(most))}
	}
	v.SetInt(size)
	return nil
}

// booleans are what other languages call true and false.
var booleans = map[string]string{"yes": "true", "on": "true", "y": "true", "1": "true", "enabled": "true", "enable": "true",
	"no": "false", "off": "false", "n": "false", "0": "false", "disabled": "false", "disable": "false"}

func boolean(n *Node, v reflect.Value, text string) error {
	if text == "true" || text == "false" {
		if !n.Plain {
			return &Bad{Name: "bad_boolean", Message: "a text in quotes is neither true nor false", With: text}
		}
		v.SetBool(text == "true")
		return nil
	}
	b := &Bad{Name: "bad_boolean", Message: fmt.Sprintf("`%s` is neither true nor false", text)}
	if with := booleans[strings.ToLower(text)]; with != "" {
		b.With = with
	} else if l := strings.ToLower(text); l == "true" || l == "false" {
		b.With = l
	}
	return b
}

func integer(n *Node, v reflect.Value, text string, f *field) error {
	i, err := strconv.Atoi(text)
	least, most := 0, int(1<<31-1)
	if f.min != "" {
		least, _ = strconv.Atoi(f.min)
	}
	if f.max != "" {
		most, _ = strconv.Atoi(f.max)
	}
	switch {
	case len(text) > 1 && text[0] == '0' && err == nil:
		return &Bad{Name: "octal_number", Message: fmt.Sprintf("`%s` is read in two ways: as %d, and in base 8", text, i), Words: "begins with 0",
			With: strconv.Itoa(i), Unsure: true, Help: "write it without the 0"}
	case err != nil:
		b := &Bad{Name: "bad_number", Message: fmt.Sprintf("`%s` is no whole number", text)}
		if digits := strings.NewReplacer("_", "", ",", "", "'", "").Replace(text); digits != text {
			if i, err := strconv.Atoi(digits); err == nil {
				b.With = strconv.Itoa(i)
			}
		}
		return b
	case !n.Plain:
		return &Bad{Name: "bad_number", Message: "a number stands without quotes", With: text}
	case i < least || i > most:
		return &Bad{Name: "out_of_range", Message: fmt.Sprintf("it must be a whole number from %d to %d", least, most)}
	}
	v.SetInt(int64(i))
	return nil
}

func float(n *Node, v reflect.Value, text string, f *field) error {
	x, err := strconv.ParseFloat(text, 64)
	if p, ok := strings.CutSuffix(text, "%"); ok && err != nil {
		if x, err := strconv.ParseFloat(p, 64); err == nil {
			return &Bad{Name: "bad_number", Message: fmt.Sprintf("`%s` is no number", text), Words: "a share from 0 to 1", With: strconv.FormatFloat(x/100, 'g', 6, 64)}
		}
	}
	if err != nil || x != x {
		return &Bad{Name: "bad_number", Message: fmt.Sprintf("`%s` is no number", text)}
	}
	least, most := 0.0, 1e9
	if f.min != "" {
		least, _ = strconv.ParseFloat(f.min, 64)
	}
	if f.max != "" {
		most, _ = strconv.ParseFloat(f.max, 64)
	}
	if x < least || x > most {
		return &Bad{Name: "out_of_range", Message: fmt.Sprintf("it must be a number from %g to %g", least, most)}
	}
	v.SetFloat(x)
	return nil
}

// expand puts the environment's values into a text, where its field is typed so.
// It returns nil if that cannot be done.
func (d *Decoder) expand(n *Node, f *field, at Path) *Node {
	text := n.Text
	if !strings.Contains(text, "${") || n.From.Kind > File {
		return n
	}
	var out strings.Builder
	rest := text
	var from []string
	for {
		i := strings.Index(rest, "${")
		if i < 0 {
			out.WriteString(rest)
			break
		}
		out.WriteString(rest[:i])
		end := strings.IndexByte(rest[i:], '}')
		if end < 0 {
			d.bad(n, &Bad{Name: "bad_placeholder", Message: "the placeholder is never closed", Words: "`${` without `}`", Help: "write ${env.NAME}"})
			return nil
		}
		word := rest[i+2 : i+end]
		rest = rest[i+end+1:]
		name, env := strings.CutPrefix(word, "env.")
		switch {
		case !env || !isKey(name) || strings.Contains(name, "-"):
			b := &Bad{Name: "bad_placeholder", Message: fmt.Sprintf("`${%s}` stands for nothing", word), Note: "the one placeholder is ${env.NAME}, a variable of the environment"}
			if isKey(word) && strings.ToUpper(word) == word {
				b.With, b.Unsure = strings.Replace(text, "${"+word+"}", "${env."+word+"}", 1), true
			}
			d.bad(n, b)
			return nil
		case !f.env:
			d.bad(n, &Bad{Name: "env_not_here", Message: d.called(at) + " takes no variable of the environment", Words: "only addresses, names and paths do"})
			return nil
		}
		value, where, problem := d.variable(name)
		if problem != "" {
			d.bad(n, &Bad{Name: "env_not_set", Message: problem, Words: "not set", Help: fmt.Sprintf("set %s, or %[1]s_FILE to the path of a file that holds the value", name)})
			return nil
		}
		from = append(from, where)
		out.WriteString(value)
	}
	expanded := *n // the node may stand in other places too
	expanded.Text, expanded.From = out.String(), Origin{Env, strings.Join(from, ", ")}
	place := d.Places[at]
	place.From = expanded.From
	d.Places[at] = place
	return &expanded
}

// variable is the value of a variable: its own, or what the file holds that the
// variable with _FILE behind its name points to.
func (d *Decoder) variable(name string) (value, where, problem string) {
	get := func(name string) (string, bool) {
		if d.Env == nil {
			return "", false
		}
		return d.Env(name)
	}
	if v, ok := get(name); ok {
		return v, name, ""
	}
	path, ok := get(name + "_FILE")
	if !ok || d.Read == nil {
		return "", "", fmt.Sprintf("the variable %s is not set", name)
	}
	b, err := d.Read(path)
	switch {
	case err != nil:
		return "", "", fmt.Sprintf("%s_FILE: %v", name, err)
	case len(b) > maxSecret:
		return "", "", fmt.Sprintf("%s_FILE: the file has more than %s", name, FormatSize(maxSecret))
	}
	return strings.TrimRight(string(b), "\r\n"), name + "_FILE", ""
}
