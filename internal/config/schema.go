package config

import (
	_ "embed"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/gatewhy/gatewhy/internal/check"
	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// SchemaID is where the schema is at home.
const SchemaID = "https://gatewhy.example/gatewhy.schema.json"

//go:embed options.go
var source string

// docs are the comments of options.go by "Type.Field", and by "Type" alone.
var docs = sync.OnceValue(func() map[string]string {
	file, err := parser.ParseFile(token.NewFileSet(), "options.go", source, parser.ParseComments)
	if err != nil {
		panic(err) // it was compiled
	}
	all := map[string]string{}
	for _, d := range file.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, s := range gen.Specs {
			ts, ok := s.(*ast.TypeSpec)
			if !ok {
				continue
			}
			all[ts.Name.Name] = line(gen.Doc.Text())
			if st, ok := ts.Type.(*ast.StructType); ok {
				for _, f := range st.Fields.List {
					for _, name := range f.Names {
						doc, _, _ := strings.Cut(f.Doc.Text(), "\n\n") // what follows is for readers of Go
						all[ts.Name.Name+"."+name.Name] = line(doc)
					}
				}
			}
		}
	}
	return all
})

func line(s string) string { return strings.Join(strings.Fields(s), " ") }

// Doc is the sentence about a field of an option struct, "" if there is none.
func Doc(t reflect.Type, field string) string {
	if field == "" {
		return docs()[t.Name()]
	}
	return docs()[t.Name()+"."+field]
}

// The forms of texts, for schemas. A ${env.NAME} may stand in any text.
const (
	durationPattern = `^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$`
	statusesPattern = `^[2-5][0-9]{2}(-[2-5][0-9]{2})?$`
	sizePattern     = `^(0|[0-9]+ ?([kKMGT]i?B|B))$`
)

// Schema is the JSON Schema (draft 2020-12) of gatewhy.yaml.
func Schema() []byte {
	r := &jsonschema.Reflector{
		FieldNameTag: "conf", RequiredFromJSONSchemaTags: true, ExpandedStruct: true, Anonymous: true,
		LookupComment: Doc,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			switch t {
			case reflect.TypeFor[time.Duration]():
				return anyOf(&jsonschema.Schema{Type: "string", Pattern: durationPattern}, &jsonschema.Schema{Const: 0})
			case reflect.TypeFor[conf.Size]():
				return anyOf(&jsonschema.Schema{Type: "string", Pattern: sizePattern}, &jsonschema.Schema{Const: 0})
			case reflect.TypeFor[Proxy]():
				return anyOf(&jsonschema.Schema{Type: "string"}, &jsonschema.Schema{Ref: "#/$defs/Upstream"})
			case reflect.TypeFor[Address](), reflect.TypeFor[Target](), reflect.TypeFor[Pattern](), reflect.TypeFor[Method](),
				reflect.TypeFor[Network](), reflect.TypeFor[NodeName](), reflect.TypeFor[Resolver](), reflect.TypeFor[AdminAddress](),
				reflect.TypeFor[FieldName](), reflect.TypeFor[LogTemplate](), reflect.TypeFor[DirectoryURL](), reflect.TypeFor[Expectation](),
				reflect.TypeFor[CookieName]():
				return &jsonschema.Schema{Type: "string"}
			case reflect.TypeFor[HashKey]():
				return &jsonschema.Schema{Type: "string", Pattern: "^(client|path|field:.+|cookie:.+)$"}
			case reflect.TypeFor[HealthPath]():
				return &jsonschema.Schema{Type: "string", Pattern: "^/"}
			case reflect.TypeFor[Statuses]():
				return anyOf(&jsonschema.Schema{Type: "string", Pattern: statusesPattern},
					&jsonschema.Schema{Type: "integer", Minimum: "200", Maximum: "599"})
			}
			return nil
		},
	}
	s := r.Reflect(&Gateway{})
	s.ID, s.Title = SchemaID, "gatewhy.yaml"
	forms := map[string]reflect.Type{}
	walk(reflect.TypeFor[Gateway](), forms)
	refine(s, forms["Gateway"])
	for name, def := range s.Definitions {
		refine(def, forms[name])
	}
	for name, def := range s.Definitions {
		s.Definitions[name] = withShort(def, forms[name])
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // it is our own
	}
	return append(b, '\n')
}

// walk collects the structs of the options by name.
func walk(t reflect.Type, all map[string]reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t == reflect.TypeFor[Proxy]() {
		t = reflect.TypeFor[Upstream]()
	}
	if t.Kind() != reflect.Struct || all[t.Name()] != nil || t == reflect.TypeFor[Statuses]() || t == reflect.TypeFor[HashKey]() {
		return
	}
	all[t.Name()] = t
	for _, f := range conf.Fields(t) {
		walk(f.Type, all)
	}
}

func anyOf(list ...*jsonschema.Schema) *jsonschema.Schema { return &jsonschema.Schema{AnyOf: list} }

// refine adds to the schema of a struct what its tags say.
func refine(s *jsonschema.Schema, t reflect.Type) {
	if t == nil || s.Properties == nil {
		return
	}
	filled := reflect.New(t)
	if d, ok := filled.Interface().(interface{ Default() }); ok {
		d.Default()
	}
	for _, f := range conf.Fields(t) {
		p, ok := s.Properties.Get(f.Key)
		if !ok {
			continue
		}
		for _, e := range f.Enum {
			p.Enum = append(p.Enum, e)
		}
		switch k := f.Type.Kind(); {
		case f.Type == reflect.TypeFor[time.Duration](), f.Type == reflect.TypeFor[conf.Size]():
		case k == reflect.Int || k == reflect.Float64:
			p.Minimum, p.Maximum = json.Number(f.Min), json.Number(f.Max)
			if p.Minimum == "" {
				p.Minimum = "0"
			}
		case k == reflect.Slice: // one value is a list of one
			list := *p
			list.Description, list.MinItems = "", new(uint64)
			*list.MinItems = 1
			*p = jsonschema.Schema{Description: p.Description, AnyOf: []*jsonschema.Schema{p.Items, &list}}
		case k == reflect.Map && f.Type.Elem().Kind() == reflect.Slice:
			value := *p.AdditionalProperties
			p.AdditionalProperties = anyOf(value.Items, &value)
		}
		if v := filled.Elem().FieldByName(f.Field); !v.IsZero() || f.Type == reflect.TypeFor[HashKey]() {
			switch x := v.Interface().(type) {
			case time.Duration:
				p.Default = conf.FormatDuration(x)
			case conf.Size:
				p.Default = x.String()
			case string, int, bool, float64:
				p.Default = x
			case HashKey:
				p.Default = upstream.Key(x).String()
			case Statuses:
				p.Default = check.FormatStatus(x.Least, x.Most)
			}
		} else if f.Type.Kind() == reflect.Bool {
			p.Default = false
		}
		if f.Required {
			s.Required = append(s.Required, f.Key)
		}
	}
	if s.Description == "" {
		s.Description = Doc(t, "")
	}
	s.PatternProperties = map[string]*jsonschema.Schema{"^x-": jsonschema.TrueSchema}
}

// withShort adds the form that stands for a whole struct.
func withShort(s *jsonschema.Schema, t reflect.Type) *jsonschema.Schema {
	if t == nil {
		return s
	}
	for _, f := range conf.Fields(t) {
		if !f.Short {
			continue
		}
		p, ok := s.Properties.Get(f.Key)
		if !ok {
			continue
		}
		one := *p
		one.Description, one.Default = "", nil
		return &jsonschema.Schema{Description: s.Description, AnyOf: []*jsonschema.Schema{&one, s}}
	}
	return s
}
