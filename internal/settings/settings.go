// Package settings gives every option of a gateway a name, a default that it
// can explain, and a reader for its value. The flags of `gatewhy proxy`, the
// environment, the lab's recipes and the proof all speak of options by these
// names.
//
// It holds no option itself: a [Setting] writes into gateway.Options. Start with
// the table in table.go.
package settings

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gatewhy/gatewhy/internal/gateway"
)

// Setting is one option by name.
type Setting struct {
	// Name is the flag's name without dashes.
	Name string
	// Group is the heading under which help lists it.
	Group string
	// Value is what stands for the value in help: DURATION, SIZE, N, ...; "" for a
	// switch, whose value is true or false.
	Value string
	// Default is what holds when nobody sets it, as it would be written; "" if
	// that is nothing.
	Default string
	// Help says in a line what it does, in which unit, and why the default is what
	// it is.
	Help string

	set func(*gateway.Options, string) error
}

// All lists the settings in the order of help.
func All() []*Setting { return table }

// Find returns the setting of that name, nil if there is none.
func Find(name string) *Setting {
	if i := slices.IndexFunc(table, func(s *Setting) bool { return s.Name == name }); i >= 0 {
		return table[i]
	}
	return nil
}

// Set reads value into o. The error says what is wrong with the value and what
// to write; it does not name the setting.
func (s *Setting) Set(o *gateway.Options, value string) error { return s.set(o, value) }

// Apply reads values by name into o, in the order of [All], so that a narrow
// setting wins over a wide one. The error joins what is wrong with each, in that
// order; o is then half changed and should be thrown away.
func Apply(o *gateway.Options, set map[string]string) error {
	var wrong []error
	seen := 0
	for _, s := range table {
		v, ok := set[s.Name]
		if !ok {
			continue
		}
		seen++
		if err := s.set(o, v); err != nil {
			wrong = append(wrong, fmt.Errorf("--%s %q: %w", s.Name, v, err))
		}
	}
	if seen < len(set) {
		var names []string
		for name := range set {
			if Find(name) == nil {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			wrong = append(wrong, fmt.Errorf("there is no setting %q", name))
		}
	}
	return errors.Join(wrong...)
}
