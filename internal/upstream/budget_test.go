package upstream

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// withdrawn counts the retries that are granted, at most limit.
func withdrawn(p *Local, limit int) int {
	n := 0
	for n < limit && p.Withdraw() {
		n++
	}
	return n
}

func TestBudgetFloor(t *testing.T) {
	p, clock := at(upstreamOf(t, Options{Budget: Budget{Share: -1, Floor: 3}}, ":1"))
	for second := range 5 {
		if n := withdrawn(p, 100); n != 3 {
			t.Fatalf("second %d: %d retries, want 3", second, n)
		}
		clock.pass(time.Second)
	}
	clock.pass(time.Hour)
	if n := withdrawn(p, 100); n != 3 {
		t.Errorf("an hour of calm saves %d retries, want one second's worth", n)
	}
}

func TestBudgetShare(t *testing.T) {
	p, clock := at(upstreamOf(t, Options{Budget: Budget{Share: 0.2, Floor: -1}}, ":1"))
	granted, requests := 0, 0
	for range 600 { // a minute of 1000 requests a second that all want a retry
		for range 100 {
			p.Deposit()
			requests++
			if p.Withdraw() {
				granted++
			}
		}
		clock.pass(100 * time.Millisecond)
	}
	if share := float64(granted) / float64(requests); share < 0.19 || share > 0.2 {
		t.Errorf("%.3f of the requests were retried, want 0.2 and not more", share)
	}
}

func TestBudgetFades(t *testing.T) {
	p, clock := at(upstreamOf(t, Options{Budget: Budget{Share: 0.5, Floor: -1}}, ":1"))
	save := func() {
		for range 2000 {
			p.Deposit()
		}
	}
	save()
	if n := withdrawn(p, 5000); n != 1000 {
		t.Fatalf("%d retries of 2000 requests, want 1000", n)
	}
	save()
	clock.pass(budgetMemory)
	p.Deposit()
	if n, want := float64(withdrawn(p, 5000)), 1000/math.E; math.Abs(n-want) > 40 {
		t.Errorf("after %v %v retries are left, want about %.0f", budgetMemory, n, want)
	}
	clock.pass(24 * 60 * time.Hour) // longer than the 32-bit clock
	if n := withdrawn(p, 5000); n > 1 {
		t.Errorf("after two months %d retries are left", n)
	}
}

// Loops that share a budget cannot get more out of it than went in.
func TestBudgetIsSharedExactly(t *testing.T) {
	u := upstreamOf(t, Options{Budget: Budget{Share: 0.25, Floor: -1}}, ":1")
	const loops, each = 4, 4000
	var wg sync.WaitGroup
	var granted [loops]int
	for i := range loops {
		wg.Go(func() {
			p := u.On(&still{now: loop.Time(time.Hour)})
			for range each {
				p.Deposit()
				if p.Withdraw() {
					granted[i]++
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range granted {
		sum += n
	}
	if want := loops * each / 4; sum > want || sum < want-1 {
		t.Errorf("%d retries granted, want %d", sum, want)
	}
}
