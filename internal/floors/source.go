package floors

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// load reads every package of the module at root from its source.
//
// It reads files rather than ask `go list`, which sees only what one build
// constraint selects: an import that goes up in a file for macOS is as wrong
// on Linux. And `go test` notices files that a test opens, so that a cached
// verdict never outlives a change.
func load(root string) ([]pkg, error) {
	var pkgs []pkg
	err := filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if dir != root && ignored(dir) {
			return filepath.SkipDir
		}
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			return err
		}
		k, found, err := loadDir(dir, filepath.ToSlash(rel))
		if found {
			pkgs = append(pkgs, k)
		}
		return err
	})
	return pkgs, err
}

// ignored tells a folder that no `./...` reaches (see `go help packages`).
func ignored(dir string) bool {
	base := filepath.Base(dir)
	if base[0] == '.' || base[0] == '_' || base == "testdata" || base == "node_modules" {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// loadDir reads one folder. found is false when it has no Go files but tests.
func loadDir(dir, rel string) (k pkg, found bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return k, false, err
	}
	k.path = rel
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return k, found, err
		}
		if err := k.read(path.Join(rel, name), src); err != nil {
			return k, found, err
		}
		found = true
	}
	return k, found, nil
}

// read adds the imports and the moves of one file. A file that starts with
// `//go:build ignore` is a tool for `go run`, not part of the package.
func (k *pkg) read(name string, src []byte) error {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution|parser.ParseComments)
	if err != nil {
		return err
	}
	if isTool(f) {
		return nil
	}
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		k.imports = append(k.imports, p)
	}
	times := localName(f, "time")
	ast.Inspect(f, func(n ast.Node) bool {
		what := ""
		switch n := n.(type) {
		case *ast.GoStmt:
			what = "go statement"
		case *ast.ChanType:
			what = "channel type"
		case *ast.SelectStmt:
			what = "select statement"
		case *ast.SendStmt:
			what = "send on a channel"
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				what = "receive from a channel"
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && times != "" && x.Name == times {
				what = "time." + n.Sel.Name
			}
		}
		if what != "" {
			at := fset.Position(n.Pos())
			k.moves = append(k.moves, move{what, fmt.Sprintf("%s:%d", name, at.Line)})
		}
		return true
	})
	return nil
}

func isTool(f *ast.File) bool {
	for _, g := range f.Comments {
		if g.Pos() < f.Package && slices.ContainsFunc(g.List, func(c *ast.Comment) bool { return c.Text == "//go:build ignore" }) {
			return true
		}
	}
	return false
}

// localName is how a file calls an import of the standard library, or "".
func localName(f *ast.File, imp string) string {
	for _, spec := range f.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err != nil || p != imp {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(imp)
	}
	return ""
}
