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
)

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
