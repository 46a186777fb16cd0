// Package floors keeps the house standing: it says on which floor each package
// lives, and its tests fail when an import goes up or sideways.
//
// The rules are data, in plan.go. What they mean is judge, below. The tests
// first plant violations in made-up packages to see that each rule bites, and
// then judge this repository.
//
// Test files may import what they like: a test of a low package often needs a
// part from above, and cannot tie a knot into the program.
package floors

import (
	"fmt"
	"slices"
	"strings"
)

// A plan is what the house should look like. Package paths are relative to the
// module; the root package is ".". A pattern is such a path, or one that ends
// in "/..." for the package and all below it.
type plan struct {
	module     string
	floors     []floor           // the lowest first
	apart      []string          // patterns: may import anything, nobody on a floor may import them
	exceptions map[edge]string   // imports that break the floors, each with its reason
	bans       []ban             // what some packages may not use, wherever it lives
	calls      map[string]string // for sequential packages: a function of the standard library, and why not
}

// A floor is a storey of the house. The packages on it do not know each other,
// except that a package may import the one whose path it extends.
type floor struct {
	name     string
	packages []string // patterns
}

// An edge is one import between two packages of the module.
type edge struct{ from, to string }

// A ban keeps some packages from some imports, and from concurrency.
type ban struct {
	packages   []string // patterns
	imports    []string // patterns over full import paths
	stdOnly    bool     // nothing from other modules
	save       []string // patterns over full import paths that stdOnly lets pass
	sequential bool     // no goroutines, channels or blocking clocks
	reason     string
}

// A pkg is what judge needs to know of one package, its test files left out.
type pkg struct {
	path    string   // relative to the module
	imports []string // full import paths, in any order, perhaps more than once
	moves   []move   // concurrency in its source
}

// A move is one use of concurrency or of a function of the standard library.
type move struct {
	what string // "go statement", "channel type", "time.Sleep"
	at   string // file:line
}

// judge returns each way in which pkgs differ from the plan, as sentences.
func (p *plan) judge(pkgs []pkg) []string {
	var bad []string
	add := func(format string, a ...any) { bad = append(bad, fmt.Sprintf(format, a...)) }
	used := map[edge]bool{}
	for _, k := range pkgs {
		at, placed := p.floorOf(k.path)
		if !placed && !matchAny(p.apart, k.path) {
			add("%s has no floor: give it one in plan.go", k.path)
			continue
		}
		for _, b := range p.bans {
			if matchAny(b.packages, k.path) {
				p.judgeBan(b, k, add)
			}
		}
		if !placed {
			continue
		}
		for _, to := range unique(k.imports) {
			rel, ours := p.relative(to)
			if !ours {
				continue
			}
			if why := p.trespass(k.path, at, rel); why != "" {
				e := edge{k.path, rel}
				if p.exceptions[e] != "" {
					used[e] = true
					continue
				}
				add("%s imports %s: %s", k.path, rel, why)
			}
		}
	}
	for e, reason := range p.exceptions {
		if !used[e] {
			add("the exception for %s to import %s is not used: delete it (%s)", e.from, e.to, reason)
		}
	}
	slices.Sort(bad)
	return bad
}

// trespass says why a package on floor at may not import the package to, or "".
func (p *plan) trespass(from string, at int, to string) string {
	there, placed := p.floorOf(to)
	switch {
	case !placed && matchAny(p.apart, to):
		return "it stands apart from the house"
	case !placed:
		return "it has no floor"
	case there > at:
		return fmt.Sprintf("up, from %s to %s", p.floors[at].name, p.floors[there].name)
	case there == at && !strings.HasPrefix(from, to+"/"):
		return fmt.Sprintf("sideways, both live on %s", p.floors[at].name)
	}
	return ""
}

func (p *plan) judgeBan(b ban, k pkg, add func(string, ...any)) {
	for _, imp := range unique(k.imports) {
		_, ours := p.relative(imp)
		switch {
		case matchAny(b.imports, imp):
			add("%s imports %s: %s", k.path, imp, b.reason)
		case b.stdOnly && !ours && !isStd(imp) && !matchAny(b.save, imp):
			add("%s imports %s: only the standard library and lower floors here: %s", k.path, imp, b.reason)
		}
	}
	if !b.sequential {
		return
	}
	for _, m := range k.moves {
		if reason := p.calls[m.what]; reason != "" {
			add("%s: %s: %s", m.at, m.what, reason)
		} else if !strings.Contains(m.what, ".") {
			add("%s: %s: %s", m.at, m.what, b.reason)
		}
	}
}

// floorOf returns the index of the floor that a package lives on. The longest
// pattern wins, so that one package of a family may live elsewhere.
func (p *plan) floorOf(path string) (at int, placed bool) {
	best := -1
	for i, f := range p.floors {
		for _, pattern := range f.packages {
			if match(pattern, path) && len(pattern) > best {
				at, best = i, len(pattern)
			}
		}
	}
	return at, best >= 0
}

// relative returns an import path as the plan writes it, and whether the
// package is one of the module.
func (p *plan) relative(imp string) (string, bool) {
	if imp == p.module {
		return ".", true
	}
	return strings.CutPrefix(imp, p.module+"/")
}

// isStd reports whether an import path is of the standard library: the first
// element of any other has a dot.
func isStd(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".")
}

func match(pattern, path string) bool {
	if top, tree := strings.CutSuffix(pattern, "/..."); tree {
		return path == top || strings.HasPrefix(path, top+"/")
	}
	return pattern == path
}

func matchAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, path) })
}

func unique(l []string) []string {
	l = slices.Clone(l)
	slices.Sort(l)
	return slices.Compact(l)
}
