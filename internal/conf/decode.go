package conf

import (
	"encoding"
	"fmt"
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
	names    bool // placeholders are its own affair
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
			case "names":
				f.names = true
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
