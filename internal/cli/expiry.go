package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/gatewhy/gatewhy/internal/certs"
)

// expiryEvery is how often certificates are looked at, and expirySteps how many days
// before the end of one that is told. One that is made for so few days that this would be always is
// told of in its last third.
const expiryEvery = time.Hour

var expirySteps = [...]int{30, 14, 7, 3, 1, 0}

// reminder tells of the ends of certificates, each step once.
type reminder struct{ told map[certs.Expiry]int } // the last step

// due are the lines that are to be told now.
func (r *reminder) due(now time.Time, list []certs.Expiry) (lines []string) {
	told := map[certs.Expiry]int{}
	for _, x := range list {
		left := x.NotAfter.Sub(now)
		before, was := r.told[x]
		if was {
			told[x] = before
		}
		if left > 0 && x.Life > 0 && left > x.Life/3 {
			continue
		}
		step := -1
		for _, s := range expirySteps {
			if left <= time.Duration(s)*24*time.Hour {
				step = s
			}
		}
		if step < 0 || was && before <= step {
			continue
		}
		told[x] = step
		if left <= 0 {
			lines = append(lines, fmt.Sprintf("the certificate for %s ended on %s: clients refuse it", x.Name, x.NotAfter.UTC().Format(time.DateOnly)))
			continue
		}
		lines = append(lines, fmt.Sprintf("the certificate for %s ends on %s, %s from now", x.Name, x.NotAfter.UTC().Format(time.DateOnly), days(left)))
	}
	r.told = told
	return lines
}

// remind tells of certificates whose end is near. It ends with ctx.
func (s *service) remind(ctx context.Context) {
	var r reminder
	tick := time.NewTicker(expiryEvery)
	defer tick.Stop()
	for {
		if c := s.gateway.Certificates(); c != nil {
			for _, line := range r.due(time.Now(), c.Expiries()) {
				s.e.warn(line)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
