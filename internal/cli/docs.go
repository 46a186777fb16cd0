package cli

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/explain"
)

// docs writes the pages of the faults: a tool for those who change the catalogue.
func (e *env) docs() *cobra.Command {
	return &cobra.Command{
		Use:    "docs DIR",
		Short:  "Write a page for each fault, and an index, as Markdown into DIR",
		Hidden: true,
		Args:   arguments(cobra.ExactArgs(1), "one directory"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := writeDocs(args[0]); err != nil {
				return failed(err, "")
			}
			return nil
		},
	}
}

// pages are the files of the documentation by name.
func pages() map[string][]byte {
	files := map[string][]byte{"README.md": explain.DocIndex()}
	for _, r := range fault.Catalogue() {
		files[string(r.ID)+".md"] = explain.Doc(r)
	}
	return files
}

// writeDocs writes the pages and removes those of faults that are gone.
func writeDocs(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files := pages()
	old, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range old {
		if name := f.Name(); strings.HasSuffix(name, ".md") && files[name] == nil {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	for name, page := range files {
		if err := os.WriteFile(filepath.Join(dir, name), page, 0o644); err != nil {
			return err
		}
	}
	return nil
}
