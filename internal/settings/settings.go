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
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

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

// ParseDuration reads a length of time: a number with a unit (ms, s, m, h), or
// 0. It is never negative.
func ParseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil && isNumber(s):
		return 0, fmt.Errorf("a duration has a unit: write %ss or %[1]sms", s)
	case err != nil:
		return 0, errors.New("a duration is a number with a unit, such as 500ms, 5s or 2m")
	case d < 0:
		return 0, errors.New("a duration cannot be negative")
	}
	return d, nil
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

// units of sizes. Both families, since people write both and mean what they say.
var units = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// ParseSize reads a number of bytes: 65536, 64KiB, 10MB. It is never negative.
func ParseSize(s string) (int64, error) {
	number, unit := s, int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			number, unit = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange), n > math.MaxInt64/unit:
		return 0, errors.New("this is more than a size can be")
	case err != nil:
		return 0, errors.New("a size is a whole number of bytes with or without a unit, such as 512, 64KiB or 10MB")
	case n < 0:
		return 0, errors.New("a size cannot be negative")
	}
	return n * unit, nil
}

// FormatSize writes a size as ParseSize reads it, with the largest unit that
// leaves a whole number.
func FormatSize(n int64) string {
	for i := 3; i >= 0; i-- {
		if u := units[i]; n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// FormatDuration writes a duration as ParseDuration reads it, without the empty
// minutes and seconds of time.Duration's own form.
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
