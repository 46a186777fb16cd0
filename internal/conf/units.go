package conf

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes.
type Size int64

func (s Size) String() string { return FormatSize(int64(s)) }

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

// betterDuration is how a duration that was refused was probably meant, "" if
// nobody can know; sure tells whether there is only one way to read it.
func betterDuration(s string) (better string, sure bool) {
	number, unit := splitUnit(s)
	if number == "" {
		return "", false
	}
	switch strings.ToLower(unit) {
	case "":
		// Seconds, as nginx means it. HAProxy means milliseconds, and nobody waits for
		// a thousand seconds.
		if f, err := strconv.ParseFloat(number, 64); err != nil || f >= 1000 {
			return number + "ms", false
		}
		return number + "s", true
	case "s", "sec", "secs", "second", "seconds":
		return number + "s", true
	case "ms", "msec", "msecs", "millisecond", "milliseconds":
		return number + "ms", true
	case "m", "min", "mins", "minute", "minutes":
		return number + "m", true
	case "h", "hr", "hrs", "hour", "hours":
		return number + "h", true
	case "d", "day", "days":
		if n, err := strconv.Atoi(number); err == nil && n < 1e4 {
			return strconv.Itoa(n*24) + "h", true
		}
	}
	return "", false
}

// betterSize is how a size that was refused was probably meant.
func betterSize(s string) (better string, sure bool) {
	number, unit := splitUnit(s)
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return "", false
	}
	switch strings.ToLower(unit) {
	case "", "b", "byte", "bytes":
		if better = FormatSize(n); isNumber(better) {
			better += "B"
		}
		return better, true
	case "k", "kib", "ki": // as nginx, and as memory is counted
		return number + "KiB", true
	case "m", "mib", "mi":
		return number + "MiB", true
	case "g", "gib", "gi":
		return number + "GiB", true
	case "t", "tib", "ti":
		return number + "TiB", true
	case "kb", "mb", "gb", "tb":
		return number + strings.ToUpper(unit), true
	}
	return "", false
}

// splitUnit cuts a number from the word behind it.
func splitUnit(s string) (number, unit string) {
	i := 0
	for i < len(s) && ('0' <= s[i] && s[i] <= '9' || s[i] == '.') {
		i++
	}
	if i == 0 || !isNumber(s[:i]) {
		return "", ""
	}
	return s[:i], strings.TrimSpace(s[i:])
}
