package conf

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	names := []string{"cl_conflict", "cl_invalid", "connect_refused", "dns_refused", "header_name_bad_char", "header_nul"}
	for word, want := range map[string]string{"cl_conflct": "cl_conflict", "CL_CONFLICT": "cl_conflict", "refused": "connect_refused",
		"dns_": "dns_refused", "heder_nam": "header_name_bad_char", "haeder_nul": "header_nul", strings.Repeat("x", 1000): "cl_conflict"} {
		got := Nearest(word, names, 2)
		if len(got) != 2 || got[0] != want && word != strings.Repeat("x", 1000) {
			t.Errorf("nearest to %.20q: %v, want %s first", word, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"prxoy", "proxy", 1}, {"kitten", "sitting", 3}} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("distance of %q and %q is %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// One letter in three may be wrong, no more.
func TestMeant(t *testing.T) {
	names := []string{"to", "retry", "timeout", "first-byte", "tls"}
	for word, want := range map[string]string{"timout": "timeout", "TIMEOUT": "timeout", "first_byte": "first-byte", "tos": "to", "x": "", "": "", "rtry": "retry",
		"health": "", strings.Repeat("timeout", 50): ""} {
		if got := Meant(word, names); got != want {
			t.Errorf("%.20q was meant to be %q, want %q", word, got, want)
		}
	}
}
