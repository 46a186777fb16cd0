package program

import (
	"fmt"
	"testing"
)

// asked counts who answers n requests for a host.
func (s *service) asked(n int, url string) map[string]int {
	got := map[string]int{}
	for range n {
		_, body := s.get(url)
		got[body]++
	}
	return got
}

// Weights, a backup and zones, as a file says them; an operator takes one group after the
// other out.
func TestWeightsBackupsZones(t *testing.T) {
	a, b, c, d := called(t, "a"), called(t, "b"), called(t, "c"), called(t, "d")
	s := serving(t, fmt.Sprintf(`
listen: 127.0.0.1:0
zone: here
upstreams:
  app:
    to:
      - { to: "%s", weight: 3, zone: here }
      - { to: "%s", zone: here }
      - "%s"
      - { to: "%s", backup: true, zone: here }
    balance: round-robin
sites: { any: app }
log: off
engine: { loops: 1 }
`, a, b, c, d))
	out := func(endpoint string) {
		t.Helper()
		if code, out, talk := s.tool("endpoint", "drain", endpoint); code != 0 {
			t.Fatal(out, talk)
		}
	}
	if got := s.asked(20, "http://x.test/"); got["a"] != 15 || got["b"] != 5 {
		t.Errorf("3 to 1: %v", got)
	}
	out(a)
	if got := s.asked(5, "http://x.test/"); got["b"] != 5 {
		t.Errorf("one of the zone is left: %v", got)
	}
	out(b)
	if got := s.asked(5, "http://x.test/"); got["c"] != 5 {
		t.Errorf("the zone has none left: %v", got)
	}
	out(c)
	if got := s.asked(5, "http://x.test/"); got["d"] != 5 {
		t.Errorf("the backup is left: %v", got)
	}
	s.stop()
}
