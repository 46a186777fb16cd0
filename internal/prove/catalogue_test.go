package prove

import (
	"testing"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/lab"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// TestCatalogue plays every recipe of the catalogue through a gateway, alone
// and, where it promises that this helps, with a good second endpoint.
func TestCatalogue(t *testing.T) { proveAll(t, lab.Recipes()) }

// TestCorpus plays the golden corpus of broken answers: the fault, its offset,
// the rule that says so, and what the client gets.
func TestCorpus(t *testing.T) {
	corpus := lab.Corpus()
	if len(corpus) != 144 {
		t.Errorf("the corpus has %d answers, not 144", len(corpus))
	}
	for _, r := range corpus {
		if id := r.Fault(); id != "" && fault.Lookup(id).Rule == "" {
			t.Errorf("%s: the row of %s cites no rule", r.Name, id)
		}
	}
	proveAll(t, corpus)
}

func proveAll(t *testing.T, recipes []*lab.Recipe) { proveAllOn(t, recipes, portable) }

func proveAllOn(t *testing.T, recipes []*lab.Recipe, engine func() loop.Engine) {
	slots := make(chan struct{}, parallel)
	for _, r := range recipes {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			if got := prove(t.Context(), r, engine); got.Verdict == Unexplained {
				t.Errorf("%s (%s): %s", r.Name, r.Why, got.Why)
			}
		})
	}
}
