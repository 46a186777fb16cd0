package upstream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/fault"
)

// An endpoint that is down comes behind one that is ejected, and is asked when there
// is nobody else.
func TestPickLeavesOutWhatIsDown(t *testing.T) {
	p, _ := at(upstreamOf(t, Options{}, ":1-3"))
	e := p.up.endpoints
	e[0].Fail("no")
	e[1].health.until.Store(1 << 62)
	for range 10 {
		if got := pick(t, p); got != e[2] {
			t.Fatalf("%s was picked", got.Name())
		}
	}
	if got := pick(t, p, e[2]); got != e[1] {
		t.Errorf("next to none: %s", got.Name())
	}
	if got := pick(t, p, e[2], e[1]); got != e[0] {
		t.Errorf("nobody else: %s", got.Name())
	}
}

// Each change is told once, with its reason.
func TestChangesAreTold(t *testing.T) {
	var got []string
	o := Options{Name: "app", Eject: Eject{After: 2, Share: -1, For: time.Second, Max: time.Second}, Changed: func(c Change) {
		got = append(got, fmt.Sprintf("%s %s %s→%s: %s %s %v", c.Upstream, c.Endpoint, c.From, c.To, c.Why, c.Fault, c.For.Round(time.Second)))
	}}
	u := upstreamOf(t, o, ":1-2")
	p, clock := at(u)
	e := u.endpoints[0]
	p.Report(e, nil)
	p.Report(e, refused())
	p.Report(e, refused())
	p.Report(e, refused()) // was under way
	clock.now = clock.now.Add(int64(2 * time.Second))
	p.Report(e, refused()) // the probe
	clock.now = clock.now.Add(int64(2 * time.Second))
	p.Report(e, nil)
	e.Fail("sick")
	e.Fail("still sick")
	p.Report(e, refused())
	p.Report(e, refused()) // ejected as well: down says it
	if e.State() != StateDown || u.State()[0].Down != "still sick" {
		t.Errorf("%+v", u.State()[0])
	}
	e.Up("well")
	e.Up("well")
	if e.State() != StateEjected {
		t.Errorf("%s", e.State())
	}
	name := e.Name()
	want := []string{
		"app " + name + " up→ejected: 2 failures in a row connect_refused 1s",
		"app " + name + " ejected→ejected: the request that tried it again failed connect_refused 1s",
		"app " + name + " ejected→up: a request to it went well  0s",
		"app " + name + " up→down: sick  0s",
		"app " + name + " down→ejected: well  0s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What was found of an endpoint outlives a reload.
func TestInheritDown(t *testing.T) {
	old, next := upstreamOf(t, Options{}, ":1-2"), upstreamOf(t, Options{}, ":2-3")
	old.endpoints[1].Fail("sick")
	next.Inherit(old)
	if s := next.State(); s[0].State != StateDown || s[0].Down != "sick" || s[1].State != StateUp {
		t.Errorf("%+v", s)
	}
}

// What an operator says holds until he says something else, whatever checks and
// requests find.
func TestDrainedEndpoint(t *testing.T) {
	var got []string
	o := Options{Eject: Eject{After: 1, Share: -1}, Changed: func(c Change) { got = append(got, string(c.From+"→"+c.To)) }}
	u := upstreamOf(t, o, ":1-3")
	p, _ := at(u)
	e := u.endpoints[0]
	if !e.Drain("upgrade") || e.Drain("again") {
		t.Error("drained twice, or not at all")
	}
	for range 20 {
		if pick(t, p) == e {
			t.Fatal("it still gets requests")
		}
	}
	e.Fail("sick")
	e.Up("well")
	p.Report(e, refused())
	if e.State() != StateDrained {
		t.Errorf("%s", e.State())
	}
	next := upstreamOf(t, Options{}, ":1")
	next.Inherit(u)
	if next.endpoints[0].State() != StateDrained {
		t.Error("a reload puts it back")
	}
	u.endpoints[1].Fail("sick")
	u.endpoints[2].Drain("too")
	if got := pick(t, p); got != u.endpoints[1] {
		t.Errorf("%s comes before one that is only down", got.Name())
	}
	if got := pick(t, p, u.endpoints[1]); got != u.endpoints[1] {
		t.Errorf("%s is picked, and was taken out", got.Name())
	}
	u.endpoints[1].Maintain("and that")
	if e, f := p.Pick(nil, 0); f == nil || f.ID != fault.PoolAllUnhealthy {
		t.Fatalf("%v %v", e, f)
	} else if got := f.Observed(); !strings.Contains(got, ":1 is drained, localhost:2 is in maintenance") {
		t.Errorf("%s", got)
	}
	if u.endpoints[1].Maintain("again") || !u.endpoints[1].Drain("only that") || u.endpoints[1].State() != StateDrained {
		t.Error("from maintenance to drained")
	}
	if !e.Resume("done") || e.Resume("again") || e.State() != StateEjected {
		t.Errorf("%s", e.State())
	}
	if diff := cmp.Diff([]string{"up→drained", "up→down", "up→drained", "down→maintenance", "maintenance→drained", "drained→ejected"}, got); diff != "" {
		t.Error(diff)
	}
}
