package lab

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/gatewhy/gatewhy/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ids are the constants of the catalogue, read from its source.
func ids(t *testing.T) []fault.ID {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../fault/ids.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []fault.ID
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			for _, e := range v.Values {
				s, err := strconv.Unquote(e.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, fault.ID(s))
			}
		}
		return true
	})
	if len(all) < 150 {
		t.Fatalf("only %d ids found", len(all))
	}
	return all
}

func everything() []*Recipe { return slices.Concat(Recipes(), Corpus()) }

func TestEveryFaultHasARecipe(t *testing.T) {
	for _, id := range ids(t) {
		r := Find(string(id))
		if r == nil {
			t.Errorf("%s has no recipe", id)
			continue
		}
		if r.Fault() != id && !slices.Contains(r.Notes, id) {
			t.Errorf("recipe %s is about %s", id, r.Fault())
		}
	}
}

func TestRecipesAreInTheOrderOfTheCatalogue(t *testing.T) {
	var order []fault.ID
	for _, r := range Recipes() {
		base, _, _ := strings.Cut(r.Name, "/")
		if len(order) == 0 || order[len(order)-1] != fault.ID(base) {
			order = append(order, fault.ID(base))
		}
	}
	if want := ids(t); !slices.Equal(order, want) {
		t.Errorf("order\n%v, want\n%v", order, want)
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range everything() {
		if seen[r.Name] {
			t.Errorf("two recipes named %s", r.Name)
		}
		seen[r.Name] = true
		if Find(r.Name) != r {
			t.Errorf("Find(%q) finds another", r.Name)
		}
		if base, _, _ := strings.Cut(r.Name, "/"); base != "corpus" && !fault.Known(fault.ID(base)) {
			t.Errorf("%s is named after no fault", r.Name)
		}
	}
	if n := len(Corpus()); n != 144 {
		t.Errorf("the corpus has %d cases, want 144", n)
	}
	if d := Demo(); len(d) != 12 || slices.Contains(d, nil) {
		t.Errorf("the demo has %v", d)
	}
}

// A recipe's expectation stands beside the row, not instead of it.
func TestExpectationsAgreeWithTheCatalogue(t *testing.T) {
	for _, r := range everything() {
		for _, id := range append([]fault.ID{r.Want, r.Withheld}, r.Notes...) {
			if id != "" && !fault.Known(id) {
				t.Errorf("%s speaks of %s, which has no row", r.Name, id)
			}
		}
		for _, n := range r.Notes {
			if fault.Lookup(n).Kind == fault.Failure {
				t.Errorf("%s: %s is no notice", r.Name, n)
			}
		}
		row := fault.Lookup(r.Want)
		switch {
		case r.Want == "", r.Status == 200: // nothing wrong, or mended by another attempt
		case r.Want == fault.ClientGone, r.Want == fault.ReplyTimeout: // nobody is there to read a status
		case r.Want == fault.WSIdleTimeout: // the status was 101
		case r.Cut && r.Status == 0: // the upstream's own status has been passed on
		case r.Status != row.Status:
			t.Errorf("%s: status %d, but the row of %s says %d", r.Name, r.Status, r.Want, row.Status)
		}
		if r.Rescue && r.Want == "" {
			t.Errorf("%s is good and wants rescue", r.Name)
		}
		if r.Rescue && r.Method() == "POST" && row.Retry != fault.RC && row.Retry != fault.RU {
			t.Errorf("%s wants a POST sent twice", r.Name)
		}
	}
}

func TestWordsOfRecipes(t *testing.T) {
	for _, r := range everything() {
		if r.Why == "" || strings.HasSuffix(r.Why, ".") || strings.ContainsAny(r.Why, "\r\n") || len(r.Why) > 140 {
			t.Errorf("%s: bad words %q", r.Name, r.Why)
		}
		for _, s := range []string{r.Answer, r.Request, r.Body, r.Why} {
			if strings.Contains(s, mark) {
				t.Errorf("%s: the mark was left in %.80q", r.Name, s)
			}
		}
	}
}

// The corpus was measured with these lengths, and they decide.
func TestLengthsOfTheCorpus(t *testing.T) {
	for name, want := range map[string]int{"i100_x2000": 50043, "hdr_8k_line": 8242, "hdr_70k_line": 70050,
		"hdr_500_lines": 4043, "hdr_2m_total": 2014043, "chunk_ext_64k": 65601, "chunk_trailer_64k": 65605} {
		if got := len(Find("corpus/" + name).Answer); got != want {
			t.Errorf("%s has %d bytes, want %d", name, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	for ask, want := range map[string]string{"header_no_colom": "header_no_colon", "conect_refused": "connect_refused",
		"corpus/st_tap": "corpus/st_tab", "tls_cert_expird": "tls_cert_expired"} {
		if got := Nearest(ask); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", ask, got, want)
		}
	}
}
