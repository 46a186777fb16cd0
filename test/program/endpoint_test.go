package program

import (
	"fmt"
	"strings"
	"testing"
)

// An operator takes an endpoint out for an upgrade and puts it back; status tells, and
// so does the log. A reload changes nothing of it.
func TestEndpointDrain(t *testing.T) {
	a, b := called(t, "a"), called(t, "b")
	s := serving(t, fmt.Sprintf("listen: 127.0.0.1:0\nupstreams: { app: { to: [%s, %s], balance: turns }, other: %s }\nsites: { any: app, o.test: other }\nlog: text\n", a, b, b))
	asks := func() map[string]int {
		t.Helper()
		got := map[string]int{}
		for range 10 {
			_, body := s.get("http://x.test/")
			got[body]++
		}
		return got
	}
	tool := func(want int, words string, args ...string) {
		t.Helper()
		code, out, talk := s.tool(args[0], args[1:]...)
		if code != want || !strings.Contains(out+talk, words) {
			t.Errorf("%v: %d %s%s, want %d and %q", args, code, out, talk, want, words)
		}
	}
	if got := asks(); got["a"] == 0 || got["b"] == 0 {
		t.Errorf("%v", got)
	}
	tool(0, a+"  up", "status")
	tool(0, a+" of app gets no new requests", "endpoint", "drain", a)
	s.awaitPrinted("endpoint " + a + " of app is drained: an operator took it out")
	if got := asks(); got["a"] != 0 || got["b"] != 10 {
		t.Errorf("one is out: %v", got)
	}
	tool(0, "drained", "status")
	tool(0, `"state": "drained"`, "status", "--json")
	tool(0, "it means the same as before", "reload")
	if got := asks(); got["a"] != 0 {
		t.Errorf("a reload has put it back: %v", got)
	}
	tool(1, a+" is out already", "endpoint", "drain", "app/"+a)
	tool(1, "is in several upstreams", "endpoint", "drain", b)
	tool(1, "there is no endpoint 127.0.0.1:1", "endpoint", "drain", "127.0.0.1:1")
	tool(1, "upstream nobody has no endpoint", "endpoint", "drain", "nobody/"+a)
	tool(0, "it was the last one: requests for other get 503 until one is put back", "endpoint", "drain", "other/"+b)
	if code, body := s.get("http://o.test/"); code != 503 || !strings.Contains(body, "pool_all_unhealthy") {
		t.Errorf("nobody is left: %d %q", code, body)
	}
	tool(0, "other is out, and it was the last one", "endpoint", "maintenance", "other/"+b)
	s.awaitPrinted("endpoint " + b + " of other is in maintenance: an operator set it to maintenance")
	tool(1, "is out already", "endpoint", "maintenance", "other/"+b)
	tool(0, `"state": "maintenance"`, "status", "--json")
	tool(0, b+" of other is up", "endpoint", "resume", "other/"+b)
	s.wants("http://o.test/", "b")
	tool(0, a+" of app is up", "endpoint", "resume", a)
	tool(1, a+" is not out", "endpoint", "resume", a)
	if got := asks(); got["a"] == 0 || got["b"] == 0 {
		t.Errorf("both are back: %v", got)
	}
	s.stop()
}
