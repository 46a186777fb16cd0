package prove

import (
	"testing"

	"github.com/gatewhy/gatewhy/internal/lab"
)

// TestCatalogue plays every recipe of the catalogue through a gateway, alone
// and, where it promises that this helps, with a good second endpoint.
func TestCatalogue(t *testing.T) { proveAll(t, lab.Recipes()) }

func proveAll(t *testing.T, recipes []*lab.Recipe) {
	slots := make(chan struct{}, parallel)
	for _, r := range recipes {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			if got := prove(t.Context(), r, portable); got.Verdict == Unexplained {
				t.Errorf("%s (%s): %s", r.Name, r.Why, got.Why)
			}
		})
	}
}
