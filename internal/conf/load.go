package conf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Files is where configurations come from, so that tests and programs can hand
// over what is on no disk.
type Files interface {
	// Read returns what a file holds. The error of one that is not there is
	// fs.ErrNotExist.
	Read(path string) ([]byte, error)
	// Glob lists the files that a pattern means, in the order of their names.
	Glob(pattern string) ([]string, error)
}

// Disk are the files of this machine.
type Disk struct{}

// Read implements Files. It reads regular files and pipes, and no more than
// MaxFile and a byte.
func (Disk) Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case fi.IsDir():
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("is a directory")}
	}
	return io.ReadAll(io.LimitReader(f, MaxFile+1))
}

// Glob implements Files.
func (Disk) Glob(pattern string) ([]string, error) { return filepath.Glob(pattern) }

// includeKey names further files of a configuration.
const includeKey = "include"

// Load reads a file and those that it includes into one tree. It returns nil if
// the file cannot be read; a file that is included and cannot is left out. The
// report says why.
//
// A key of the top level may be given in several files if its value is a map;
// what is in the maps may not. So no file overrides another silently.
func Load(path string, files Files, r *Report) *Node {
	l := &loader{files: files, report: r}
	return l.file(path, nil)
}

type loader struct {
	files  Files
	report *Report
	open   []string // files that are being read, the outermost first
	read   int
}

func (l *loader) file(path string, asked *Span) *Node {
	tell := func(p Problem) *Node {
		if p.Where = path; asked != nil {
			p.At = Label{*asked, "included here"}
		}
		l.report.Add(p)
		return nil
	}
	if l.read++; l.read > MaxFiles {
		return tell(Problem{Name: "too_large", Message: fmt.Sprintf("a configuration has at most %d files", MaxFiles)})
	}
	b, err := l.files.Read(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return tell(Problem{Name: "cannot_read", Message: fmt.Sprintf("cannot read %s: %v", path, err)})
	}
	root := Parse(NewSource(path, string(b)), l.report)
	if root == nil || root.Kind != Map {
		return nil
	}
	l.open = append(l.open, filepath.Clean(path))
	defer func() { l.open = l.open[:len(l.open)-1] }()
	l.include(root)
	return root
}

// include reads the files that a tree names, and puts their keys behind its own.
func (l *loader) include(root *Node) {
	i := slices.IndexFunc(root.Entries, func(e Entry) bool { return e.Key.Text == includeKey })
	if i < 0 {
		return
	}
	value := root.Entries[i].Value.Value()
	patterns := value.Items
	if value.Kind != List {
		patterns = []*Node{value}
	}
	for _, n := range patterns {
		n = n.Value()
		if n.broken {
			continue
		}
		if n.Kind != Scalar || n.Text == "" {
			l.report.Add(Problem{Name: "wrong_kind", Message: "`include` takes paths of files, and this is " + n.Kind.String(), At: Label{Span: firstLine(n.Span)}})
			continue
		}
		for _, path := range l.expand(n) {
			clean := filepath.Clean(path)
			switch {
			case slices.Contains(l.open, clean):
				if n.isPattern() && clean == l.open[len(l.open)-1] {
					continue // "*.yaml" beside this file means the others
				}
				l.report.Add(Problem{Name: "include_cycle", Message: fmt.Sprintf("%s includes itself", path), At: Label{n.Span, "leads back to a file that leads here"}})
			case len(l.open) > MaxIncludes:
				l.report.Add(Problem{Name: "too_deep", Message: fmt.Sprintf("files include files at most %d deep", MaxIncludes), At: Label{Span: n.Span}})
			default:
				at := n.Span
				if other := l.file(path, &at); other != nil {
					l.merge(root, other)
				}
			}
		}
	}
}

func (n *Node) isPattern() bool { return strings.ContainsAny(n.Text, "*?[") }

// expand lists the files that a pattern means. A name without a wildcard must be
// there. A pattern that matches nothing is worth a word, unless it is for the files
// to come of a directory that is empty.
func (l *loader) expand(n *Node) []string {
	pattern := n.Text
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(n.Source.Name), pattern)
	}
	if !n.isPattern() {
		return []string{pattern}
	}
	list, err := l.files.Glob(pattern)
	switch {
	case err != nil:
		l.report.Add(Problem{Name: "bad_value", Message: fmt.Sprintf("`%s` is no pattern of file names", n.Text), At: Label{n.Span, "a bracket that is not closed?"}})
	case len(list) == 0 && !l.isEmpty(filepath.Dir(pattern)):
		l.report.Add(Problem{Level: Warning, Name: "include_nothing", Message: fmt.Sprintf("no file matches `%s`", n.Text), At: Label{n.Span, "includes nothing"}})
	}
	return list
}

// isEmpty reports whether a directory, whose name may be a pattern, is there and has
// nothing in it. Files with other names in it may be those that were meant.
func (l *loader) isEmpty(dir string) bool {
	there, err := l.files.Glob(dir)
	if err != nil || len(there) == 0 {
		return false
	}
	inside, err := l.files.Glob(filepath.Join(dir, "*"))
	return err == nil && len(inside) == 0
}

// merge adds the keys of another file to root.
func (l *loader) merge(root, other *Node) {
	for _, e := range other.Entries {
		if e.Key.Text == includeKey || strings.HasPrefix(e.Key.Text, "x-") {
			continue // done, and the file's own
		}
		i := slices.IndexFunc(root.Entries, func(o Entry) bool { return o.Key.Text == e.Key.Text })
		if i < 0 {
			root.Entries = append(root.Entries, e)
			continue
		}
		mine, its := root.Entries[i].Value.Value(), e.Value.Value()
		if mine.Kind != Map || its.Kind != Map {
			l.conflict(e.Key, root.Entries[i].Key)
			continue
		}
		// The first file's own map stays as it is: an alias may share it.
		both := *mine
		both.Entries = slices.Clone(mine.Entries)
		for _, sub := range its.Entries {
			if j := slices.IndexFunc(both.Entries, func(o Entry) bool { return o.Key.Text == sub.Key.Text }); j >= 0 {
				l.conflict(sub.Key, both.Entries[j].Key)
				continue
			}
			both.Entries = append(both.Entries, sub)
		}
		root.Entries[i].Value = &both
	}
}

func (l *loader) conflict(key, first *Node) {
	l.report.Add(Problem{Name: "include_conflict", Message: fmt.Sprintf("two files set `%s`", key.Text), At: Label{key.Span, "again here"},
		Also: []Label{{first.Span, "first here"}}, Help: "keep it in one of the files: none overrides another"})
}
