package upstream

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/fault"
)

func bound(t *testing.T, e *Endpoint, secure bool) (value string) {
	t.Helper()
	m := regexp.MustCompile("^Set-Cookie: srv=([a-z2-7]{16}); Path=/; HttpOnly; SameSite=Lax(; Max-Age=[0-9]+)?(; Secure)?\r\nCache-Control: private\r\n$").FindSubmatch(e.Bind(secure))
	if m == nil || (len(m[3]) > 0) != secure {
		t.Fatalf("%q", e.Bind(secure))
	}
	return string(m[1])
}

func TestAffinityValues(t *testing.T) {
	key := bytes.Repeat([]byte("k"), LeastKey)
	a := upstreamOf(t, Options{Name: "app", Affinity: Affinity{Cookie: "srv", Key: key}}, ":1-3")
	b := upstreamOf(t, Options{Name: "app", Affinity: Affinity{Cookie: "srv", Key: key, MaxAge: time.Hour}}, ":3", ":1")
	other := upstreamOf(t, Options{Name: "app", Affinity: Affinity{Cookie: "srv", Key: append(key, 'x')}}, ":1")
	none := upstreamOf(t, Options{Name: "app", Affinity: Affinity{Cookie: "srv"}}, ":1")
	again := upstreamOf(t, Options{Name: "app", Affinity: Affinity{Cookie: "srv"}}, ":1")
	one := bound(t, a.endpoints[0], false)
	if one != bound(t, a.endpoints[0], true) || one != bound(t, b.endpoints[1], false) {
		t.Error("one key makes several values")
	}
	if !strings.Contains(string(b.endpoints[0].Bind(false)), "; Max-Age=3600") {
		t.Errorf("%s", b.endpoints[0].Bind(false))
	}
	seen := map[string]bool{one: true}
	for _, e := range []*Endpoint{a.endpoints[1], a.endpoints[2], other.endpoints[0], none.endpoints[0]} {
		v := bound(t, e, false)
		if seen[v] {
			t.Errorf("%s has the value of another", e.Name())
		}
		seen[v] = true
	}
	if bound(t, none.endpoints[0], false) != bound(t, again.endpoints[0], false) {
		t.Error("a reload makes other values")
	}
	for _, o := range []Affinity{{Cookie: "a b"}, {Cookie: "__Host-x"}, {Cookie: "srv", Key: []byte("short")}} {
		if _, err := New(Options{Targets: a.o.Targets, Affinity: o}); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// A cookie leads to its endpoint while that is well, and while it is drained.
func TestBound(t *testing.T) {
	u := upstreamOf(t, Options{Affinity: Affinity{Cookie: "srv"}, Eject: Eject{After: 1, Share: -1, For: time.Second}}, ":1-3")
	p, clock := at(u)
	e := u.endpoints[1]
	value := []byte(bound(t, e, false))
	is := func(when string, want bool) {
		t.Helper()
		if got := p.Bound(value); (got == e) != want || got != e && got != nil {
			t.Errorf("%s: %v", when, got)
		}
	}
	is("well", true)
	e.Drain("upgrade")
	is("drained", true)
	e.Maintain("repair")
	is("in maintenance", false)
	e.Resume("done")
	is("back", true)
	e.Fail("sick")
	is("down", false)
	e.Up("well")
	is("up", true)
	p.Report(e, fault.New(fault.HeadEOFEmpty))
	is("ejected", false)
	clock.pass(1200 * time.Millisecond)
	is("the probe", true)
	is("another one meanwhile", false)
	p.Report(e, nil)
	p.Report(u.endpoints[0], refused())
	p.Report(e, fault.New(fault.DNSServfail)) // out of reach, and not ejected
	is("out of reach", false)
	for _, v := range []string{"", "x", "aaaaaaaaaaaaaaaa", "127.0.0.1:1"} {
		if got := p.Bound([]byte(v)); got != nil {
			t.Errorf("%q leads to %s", v, got.Name())
		}
	}
	if n := testing.AllocsPerRun(100, func() { p.Bound(value) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
