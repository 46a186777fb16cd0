package prove

import (
	"testing"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/lab"
)

// TestPooledRace is the table of what happens to a request on a kept connection
// that dies. Most proxies answer 502 to the PUT, or run the POST twice, or close
// without a word.
func TestPooledRace(t *testing.T) {
	tests := []struct {
		recipe   string
		off      bool // the option idempotency-key
		status   int
		executed int // how often the origins ran the request
	}{
		{recipe: "reuse_race_fin/get-crossed", status: 200},
		{recipe: "reuse_race_fin/put-crossed", status: 200, executed: 1},
		{recipe: "reuse_race_fin/delete-crossed", status: 200, executed: 1},
		{recipe: "reuse_race_fin/post-crossed", status: 200, executed: 1},
		{recipe: "reuse_race_fin/keyed-crossed", status: 200, executed: 1},
		{recipe: "reuse_race_fin/keyed-crossed", off: true, status: 200, executed: 1},

		{recipe: "reuse_race_fin/get-read", status: 200},
		{recipe: "reuse_race_fin/put-read", status: 200, executed: 2},
		{recipe: "reuse_race_fin/delete-read", status: 200, executed: 2},
		{recipe: "reuse_race_fin/post-read", status: 502, executed: 1},
		{recipe: "reuse_race_fin/keyed-read", status: 200, executed: 2},
		{recipe: "reuse_race_fin/keyed-read", off: true, status: 502, executed: 1},

		{recipe: "reuse_race_rst/get-read", status: 200},
		{recipe: "reuse_race_rst/put-read", status: 200, executed: 2},
		{recipe: "reuse_race_rst/delete-read", status: 200, executed: 2},
		{recipe: "reuse_race_rst/post-read", status: 502, executed: 1},
		{recipe: "reuse_race_rst/keyed-read", status: 200, executed: 2},
		{recipe: "reuse_race_rst/keyed-read", off: true, status: 502, executed: 1},

		{recipe: "reuse_race_partial/get-read", status: 200},
		{recipe: "reuse_race_partial/post-read", status: 502, executed: 1},
	}
	for _, test := range tests {
		name := test.recipe
		if test.off {
			name += "-off"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := lab.Find(test.recipe)
			if r == nil {
				t.Fatalf("the lab has no recipe %s", test.recipe)
			}
			if test.off {
				plain := *r
				plain.Set, plain.Status = nil, test.status
				r = &plain
			}
			p, s, err := play(t.Context(), r, portable, false)
			if err != nil {
				t.Fatal(err)
			}
			if p.answer.status != test.status || !p.answer.whole {
				t.Errorf("the client got %v, not status %d", p.answer, test.status)
			}
			if n := s.origins[0].Executed("order-1"); n != test.executed {
				t.Errorf("the request was executed %d times, not %d", n, test.executed)
			}
			if f := p.trail.Fault; f == nil || f.Row().Retry != fault.RP && f.Row().Retry != fault.RI {
				t.Errorf("the trail names %v", f)
			}
			if a := p.trail.Tries(); len(a) == 0 || !a[0].Reused {
				t.Errorf("the first attempt was not on a kept connection: %+v", a)
			}
			if err := judge(r, p, s); err != nil {
				t.Error(err)
			}
		})
	}
}
