package config

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/gatewhy/gatewhy/internal/conf"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(SchemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// instance is a configuration as other readers of YAML see it.
func instance(t *testing.T, text string) any {
	t.Helper()
	var r conf.Report
	n := conf.Parse(conf.NewSource("gatewhy.yaml", text), &r)
	if n == nil {
		return nil
	}
	b, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The schema accepts what we accept: the examples, what the rules call right, and
// what show writes of them. It refuses what is wrong with single values.
func TestSchema(t *testing.T) {
	s := compiled(t)
	accept := func(name, text string) {
		if err := s.Validate(instance(t, text)); err != nil {
			t.Errorf("%s is refused by the schema: %v\n%s", name, err, text)
		}
	}
	for _, path := range examples(t) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		accept(path, string(b))
		l := Load(Source{Path: path, Env: environment})
		accept(path+" as shown", string(l.Tree(true).YAML(true)))
	}
	refused := 0
	for _, r := range Rules() {
		if len(r.Wrong) > 1<<16 || r.Right == "" {
			continue
		}
		accept(r.Name, several(r.Right)["gatewhy.yaml"])
		switch r.Name {
		case "bad_boolean", "bad_choice", "bad_duration", "bad_size", "empty_list", "missing_key", "missing_unit", "out_of_range", "unknown_key", "wrong_kind":
			refused++
			if s.Validate(instance(t, r.Wrong)) == nil {
				t.Errorf("%s: the schema accepts\n%s", r.Name, r.Wrong)
			}
		}
	}
	if refused != 10 {
		t.Errorf("%d mistakes looked at", refused)
	}
}

// Each key has one sentence, which is in the schema.
func TestEachKeyHasItsSentence(t *testing.T) {
	types := map[string]reflect.Type{}
	walk(reflect.TypeFor[Gateway](), types)
	if len(types) < 20 {
		t.Fatalf("%d structs", len(types))
	}
	schema := string(Schema())
	keys := 0
	for name, typ := range types {
		for _, f := range conf.Fields(typ) {
			keys++
			doc := Doc(typ, f.Field)
			if !strings.HasSuffix(doc, ".") || strings.Count(doc, ". ") > 0 || len(doc) > 160 {
				t.Errorf("%s.%s has the sentence %q", name, f.Field, doc)
			}
			quoted, _ := json.Marshal(doc)
			if !strings.Contains(schema, strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(quoted))) &&
				!strings.Contains(schema, string(quoted)) {
				t.Errorf("the sentence of %s.%s is not in the schema: %s", name, f.Field, doc)
			}
		}
	}
	if keys < 80 {
		t.Errorf("%d keys", keys)
	}
}

func examples(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("testdata/examples/*.yaml")
	if err != nil || len(list) < 5 {
		t.Fatalf("%d examples, %v", len(list), err)
	}
	return list
}

// environment is what the examples find.
func environment(name string) (string, bool) {
	v, ok := map[string]string{"API_HOST": "10.0.0.7", "TOKEN_FILE": "testdata/examples/files/port"}[name]
	return v, ok
}

// docs/keys.md is that of these structs; -update writes it.
func TestReference(t *testing.T) {
	const page = "../../docs/keys.md"
	if *update {
		if err := os.WriteFile(page, Reference(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(Reference()), string(got)); diff != "" {
		t.Errorf("out of date, run go test ./internal/config -update (-structs +page):\n%s", diff)
	}
}

// Each configuration that the documentation shows is one: it is read without an
// error, and the schema accepts it. Those that are wrong on purpose, and parts of
// a whole, say so behind the word yaml.
func TestDocumentation(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	s := compiled(t)
	shown := 0
	for _, page := range append(pages, "../../README.md") {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range strings.Split(string(b), "\n```yaml\n")[1:] {
			text, _, ok := strings.Cut(part, "\n```\n")
			if !ok {
				t.Fatalf("%s: block %d has no end", page, i+1)
			}
			text = strings.TrimSuffix(text, "\n...") + "\n"
			shown++
			if err := s.Validate(instance(t, text)); err != nil {
				t.Errorf("%s: %v\n%s", page, err, text)
			}
			if l := read(text); l.Report.Failed() {
				t.Errorf("%s:\n%s\n%s", page, text, rendered(l.Report))
			}
		}
	}
	if shown < 8 {
		t.Errorf("%d configurations found: the test has lost its way", shown)
	}
}
