package conf

import "reflect"

// FieldInfo is what the tags of a field say, for schemas and references.
type FieldInfo struct {
	Field    string // in Go
	Key      string
	Short    bool // stands for its whole struct
	Required bool
	Flags    []string // the settings that win over the file
	Enum     []string
	Min, Max string // "" for no bound of its own
	Never0   bool
	Type     reflect.Type
}

// Fields are the options of a struct type, in their order.
func Fields(t reflect.Type) (list []FieldInfo) {
	for _, f := range fieldsOf(t) {
		sf := t.Field(f.index)
		list = append(list, FieldInfo{Field: sf.Name, Key: f.name, Short: f.short, Required: f.required, Flags: f.flags,
			Enum: f.enum, Min: f.min, Max: f.max, Never0: f.never0, Type: sf.Type})
	}
	return list
}
