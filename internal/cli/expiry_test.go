package cli

import (
	"slices"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/certs"
)

func TestExpiryIsTold(t *testing.T) {
	const day = 24 * time.Hour
	start := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	year := certs.Expiry{Name: "year", NotAfter: start.Add(365 * day), Life: 365 * day}
	week := certs.Expiry{Name: "week", NotAfter: start.Add(7 * day), Life: 7 * day}
	var r reminder
	var told []string
	for now := start; now.Before(start.Add(367 * day)); now = now.Add(time.Hour) {
		list := []certs.Expiry{year}
		if now.Before(start.Add(8 * day)) {
			list = append(list, week)
		}
		for _, line := range r.due(now, list) {
			told = append(told, now.Format(time.DateOnly)+" "+line)
		}
	}
	want := []string{
		"2026-01-06 the certificate for week ends on 2026-01-08, 2 days from now",
		"2026-01-07 the certificate for week ends on 2026-01-08, 1 day from now",
		"2026-01-08 the certificate for week ended on 2026-01-08: clients refuse it",
		"2026-12-02 the certificate for year ends on 2027-01-01, 30 days from now",
		"2026-12-18 the certificate for year ends on 2027-01-01, 14 days from now",
		"2026-12-25 the certificate for year ends on 2027-01-01, 7 days from now",
		"2026-12-29 the certificate for year ends on 2027-01-01, 3 days from now",
		"2026-12-31 the certificate for year ends on 2027-01-01, 1 day from now",
		"2027-01-01 the certificate for year ended on 2027-01-01: clients refuse it",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told\n%q\nwant\n%q", told, want)
	}
}
