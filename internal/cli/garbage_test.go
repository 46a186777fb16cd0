package cli

import (
	"testing"
	"time"
)

func TestPacer(t *testing.T) {
	p := &pacer{percent: leastPercent}
	now, spent := time.Unix(1e9, 0), 0.0
	p.began = now
	// A span of a second in which the collector was busy for a share of a core.
	span := func(share float64, live uint64) int {
		now, spent = now.Add(time.Second), spent+share
		p.judge(now, spent, live)
		return p.percent
	}
	for i, s := range []struct {
		share float64
		live  uint64
		want  int
	}{
		{0.001, 1 << 20, 100}, {0.2, 1 << 20, 200}, {0.2, 1 << 20, 400}, {0.03, 1 << 20, 400}, {0.2, 1 << 20, 800},
		{0.2, 1 << 20, 800},   // 32 MiB of garbage over a heap that counts as 4 MiB
		{0.2, 16 << 20, 200},  // and over one of 16
		{0.2, 100 << 20, 100}, // what lives is more than that
		{0.2, 1 << 20, 200}, {0.001, 1 << 20, 100}, {0, 1 << 20, 100},
	} {
		if got := span(s.share, s.live); got != s.want {
			t.Errorf("span %d: %d percent, want %d", i, got, s.want)
		}
	}
}
