package prove

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/explain"
)

var update = flag.Bool("update", false, "write the golden files")

// TestExplainGolden pins what `gatewhy explain` says of every row: nobody
// changes a word of it unawares.
func TestExplainGolden(t *testing.T) {
	dir := filepath.Join("testdata", "explain")
	wanted := map[string]bool{}
	for _, row := range fault.Catalogue() {
		name := string(row.ID) + ".txt"
		wanted[name] = true
		var page bytes.Buffer
		explain.Page(&page, row, false)
		if strings.ContainsRune(page.String(), 0x1b) {
			t.Errorf("%s: an escape reaches a terminal without colour", row.ID)
		}
		path := filepath.Join(dir, name)
		if *update {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		golden, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%v: go test ./internal/prove -run ExplainGolden -update writes it", err)
			continue
		}
		if diff := cmp.Diff(string(golden), page.String()); diff != "" {
			t.Errorf("%s (-golden +now):\n%s", row.ID, diff)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if wanted[f.Name()] {
			continue
		}
		if !*update {
			t.Errorf("%s is of no row", f.Name())
		} else if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
			t.Error(err)
		}
	}
}
