package upstream

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// worker is an application that works on so many requests at a time, each for so long:
// more of them share it.
type worker struct {
	at   float64
	each time.Duration
	fail float64 // the share of answers that are failures, and come at once
}

// run lets the pace of an endpoint of it go on, with so many clients that ask again and
// again, and returns the limit in the last quarter of the time, on average, and the least of all.
func (w worker) run(p *pace, o *Adapt, now *loop.Time, clients int, d time.Duration) (mean, least int) {
	const step = 10 * time.Millisecond
	left := 0.0
	least = math.MaxInt
	sum, n := 0, 0
	for i := range d / step {
		*now = now.Add(int64(step))
		k := min(clients, int(p.allowed(o)))
		p.enters(int32(k))
		took := float64(w.each) * max(1, float64(k)/w.at)
		took *= 1 + 0.1*math.Sin(float64(*now)/3e8) // it is never quite the same
		for left += float64(k) * float64(step) / took; left >= 1; left-- {
			p.answers(int64(took), math.Mod(left, 1) < w.fail, o, *now)
		}
		least = min(least, int(p.allowed(o)))
		if i >= d/step*3/4 {
			sum, n = sum+int(p.allowed(o)), n+1
		}
	}
	return sum / n, least
}

func TestAdapt(t *testing.T) {
	o := Adapt{On: true}.filled()
	for _, at := range []float64{5, 30, 300} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			var p pace
			now := loop.Time(1e12)
			w := worker{at: at, each: 20 * time.Millisecond}
			// With more clients than it can serve the limit settles where it is busy and a few wait.
			got, _ := w.run(&p, &o, &now, 2000, time.Minute)
			if room := float64(got) / at; room < 1 || room > 1.3+3/math.Sqrt(at) {
				t.Errorf("the limit settles at %d, and it works on %v at a time", got, at)
			}
			// It stays about there, also when what is at ease is measured anew.
			if got, least := w.run(&p, &o, &now, 2000, 3*time.Minute); float64(got) < at*0.8 || float64(got) > at*1.5+12 || float64(least) < at*0.3 {
				t.Errorf("later it is %d, and was %d", got, least)
			}
			// With a tenth as many clients nothing is learned about more, and nobody is turned away.
			few := int(at/10) + 1
			if got, least := w.run(&p, &o, &now, few, 3*time.Minute); least < few {
				t.Errorf("with %d clients the limit is %d and was %d", few, got, least)
			}
			w.run(&p, &o, &now, 2000, time.Minute)
			// It becomes half as quick, with as many at a time, and quicker again.
			w.each *= 2
			if got, _ := w.run(&p, &o, &now, 2000, 2*time.Minute); float64(got) < at*0.8 || float64(got) > at*1.5+12 {
				t.Errorf("half as quick it is %d", got)
			}
			w.each /= 4
			if got, _ := w.run(&p, &o, &now, 2000, 2*time.Minute); float64(got) < at*0.8 || float64(got) > at*1.5+12 {
				t.Errorf("four times as quick it is %d", got)
			}
			// It loses three quarters of its strength, and gets it back.
			w.at /= 4
			if got, _ := w.run(&p, &o, &now, 2000, 3*time.Minute); float64(got) > w.at*2+15 {
				t.Errorf("with a quarter of its strength it is %d", got)
			}
			w.at *= 4
			if got, _ := w.run(&p, &o, &now, 2000, 3*time.Minute); float64(got) < at*0.8 {
				t.Errorf("with all of its strength again it is %d", got)
			}
		})
	}
}

// One that refuses quickly gets less, however quick it is, but never less than the least.
func TestAdaptToFailures(t *testing.T) {
	var p pace
	o := Adapt{On: true, Min: 3, Max: 50}.filled()
	now := loop.Time(1e12)
	w := worker{at: 100, each: 10 * time.Millisecond}
	if got, _ := w.run(&p, &o, &now, 200, time.Minute); got < 49 {
		t.Errorf("the most is 50, and the limit %d", got)
	}
	w.fail = 0.4
	if got, _ := w.run(&p, &o, &now, 200, time.Minute); got > 4 {
		t.Errorf("with failures it is %d", got)
	}
	w.fail = 0
	if got, _ := w.run(&p, &o, &now, 200, time.Minute); got < 49 {
		t.Errorf("without them again it is %d", got)
	}
}

// The limit is one of the endpoint's, and what is beyond it waits or is told why not.
func TestAdaptLimits(t *testing.T) {
	u := upstreamOf(t, Options{Name: "app", Capacity: Capacity{Adapt: Adapt{On: true, Min: 2, Max: 3}, Queue: -1}}, ":1")
	p, _ := at(u)
	e := u.endpoints[0]
	admit := func() *fault.Fault { _, _, f := p.Admit(nil, 0, nil, loop.Never, stays{}); return f }
	for range 3 {
		if f := admit(); f != nil {
			t.Fatal(f.ID)
		}
	}
	f := admit()
	if f == nil || f.ID != fault.PoolExhausted || f.Get("limit") != "3 requests, as learned" {
		t.Fatalf("%+v", f)
	}
	e.use.pace.limit.Store(2)
	e.use.pace.ease.Store(20e6)
	e.use.pace.now.Store(85e6)
	p.Leave(e)
	if f := admit(); f == nil || !strings.Contains(f.Get("limit"), "2 requests, as learned from answers that take 85ms, and 20ms at ease") {
		t.Fatalf("%+v", f)
	}
	p.Leave(e)
	if f := admit(); f != nil {
		t.Fatal(f.ID)
	}
	if s := u.State()[0]; s.Requests != 2 || s.Limit != 2 || s.Learned == "" {
		t.Errorf("%+v", s)
	}
}

// What an attempt costs more where the limit is learned.
func BenchmarkAdapt(b *testing.B) {
	for _, on := range []bool{false, true} {
		b.Run(fmt.Sprint(on), func(b *testing.B) {
			u := upstreamOf(b, Options{Capacity: Capacity{Adapt: Adapt{On: on}, Requests: 100}}, ":1-2")
			p, _ := at(u)
			b.ReportAllocs()
			for b.Loop() {
				e, _, f := p.Admit(nil, 0, nil, loop.Never, stays{})
				if f != nil {
					b.Fatal(f.ID)
				}
				p.Leave(e)
				p.Report(e, nil)
				p.Took(e, 1e6, false)
			}
		})
	}
}

// A limit that the counters cannot count to is none, and not one below zero, which would
// let nothing through.
func TestHugeLimits(t *testing.T) {
	const huge = 3 << 30
	c := Capacity{Requests: huge, Connections: huge, Adapt: Adapt{On: true, Min: huge, Max: huge}}.filled()
	var e Endpoint
	e.use = new(usage)
	if n := c.most(&e); n != math.MaxInt32 {
		t.Errorf("%d requests at a time", n)
	}
	if c.Connections != math.MaxInt32 {
		t.Errorf("%d connections", c.Connections)
	}
}
