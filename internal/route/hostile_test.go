package route

import (
	"strings"
	"testing"
)

// What an attacker can make a look-up cost: a path as long as heads may be, with
// everything in it that has more than one reading.
func BenchmarkHostile(b *testing.B) {
	for name, part := range map[string]string{"all": `/a;x/.%2f\./`, "plain": "/abcdefghij", "dots": "/a/./b/..", "slashes": "/ab%2fcdef"} {
		b.Run(name, func(b *testing.B) {
			benchmark(b, many(1, 100), []*Request{ask("GET", "h0.example.org", "/api/r0/"+strings.Repeat(part, 8000/len(part)))})
		})
	}
}
