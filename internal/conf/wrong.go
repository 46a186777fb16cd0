package conf

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

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
