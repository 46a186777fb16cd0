package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/gatewhy/gatewhy/internal/conf"
)

// Reference is the page of all keys, in Markdown: docs/keys.md.
func Reference() []byte {
	var b strings.Builder
	b.WriteString("# Keys of gatewhy.yaml\n\n" +
		"Made from the option structs; `gatewhy schema` says the same to editors. [Configuration](configuration.md)\n" +
		"tells how values are written. A key in **bold** may be left away: where a value stands that is no map, it is that\n" +
		"key's. The setting in the last column is that of `gatewhy proxy`; where a key has one, `GATEWHY_NAME` in the environment wins over the file.\n")
	seen := map[reflect.Type]bool{}
	section(&b, reflect.TypeFor[Gateway](), "The top level", seen)
	return []byte(b.String())
}

// section writes the keys of a struct, and below them those of the structs in it.
func section(b *strings.Builder, t reflect.Type, title string, seen map[reflect.Type]bool) {
	if seen[t] {
		return
	}
	seen[t] = true
	fmt.Fprintf(b, "\n## %s\n\n| key | default | what it is | setting |\n| --- | --- | --- | --- |\n", title)
	filled := reflect.New(t)
	if d, ok := filled.Interface().(interface{ Default() }); ok {
		d.Default()
	}
	type below struct {
		t     reflect.Type
		title string
	}
	var next []below
	for _, f := range conf.Fields(t) {
		key := "`" + f.Key + "`"
		if f.Short {
			key = "**" + key + "**"
		}
		var flags []string
		for _, name := range f.Flags {
			flags = append(flags, "`--"+strings.TrimPrefix(name, "!")+"`")
		}
		standard := written(filled.Elem().FieldByName(f.Field))
		if f.Required {
			standard = "must be there"
		}
		sentence := Doc(t, f.Field)
		switch {
		case f.Min != "" && f.Max != "":
			sentence += fmt.Sprintf(" From %s to %s.", f.Min, f.Max)
		case f.Never0:
			sentence += " Never 0."
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", key, standard, strings.ReplaceAll(sentence, "|", "\\|"), strings.Join(flags, ", "))
		inner := f.Type
		many := false
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice || inner.Kind() == reflect.Map {
			many = many || inner.Kind() != reflect.Pointer
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && len(conf.Fields(inner)) > 0 {
			name := strings.TrimPrefix(title, "The top level")
			if name != "" {
				name += " › "
			}
			name += f.Key
			if many && f.Type.Kind() == reflect.Map {
				name += " › NAME"
			}
			next = append(next, below{inner, name})
		}
	}
	for _, n := range next {
		section(b, n.t, n.title, seen)
	}
}

// written is a default as it would be written, "" if there is none.
func written(v reflect.Value) string {
	var s string
	switch x := v.Interface().(type) {
	case time.Duration:
		s = conf.FormatDuration(x)
	case conf.Size:
		s = x.String()
	case bool, int, float64, string:
		s = fmt.Sprint(x)
		if v.IsZero() && v.Kind() != reflect.Bool {
			s = ""
		}
	}
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}
