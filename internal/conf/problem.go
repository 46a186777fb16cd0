package conf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Level is how bad a problem is.
type Level uint8

// The levels.
const (
	Error   Level = iota // nothing runs with it
	Warning              // it runs, and probably not as it was meant
)

func (l Level) String() string {
	if l == Warning {
		return "warning"
	}
	return "error"
}

// Label is a place with a few words about it.
type Label struct {
	Span
	Words string // "" if the place speaks for itself
}

// Edit puts a text in the place of what is there.
type Edit struct {
	Span
	With string
}

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Level Level
	// Name is its one name for ever: gatewhy explain NAME tells all about it.
	Name string
	// Message says what is wrong: lower case, no full stop, no advice.
	Message string
	// At is the place to look at. It may be no place: see Where.
	At Label
	// Also are other places that matter.
	Also []Label
	// Where is what the value came from, if it stands in no file: a flag, a
	// variable of the environment, a file that cannot be read.
	Where string
	// Notes are facts that help to understand it.
	Notes []string
	// Help is the way out, in words.
	Help string
	// Fix is the way out as edits; nil if a machine cannot know it.
	Fix []Edit
	// Later: a program can begin without what is missing, and have it when it comes.
	Later bool
	// Unsure: the fix is a guess that a person should look at; nobody applies it
	// unasked.
	Unsure bool
}

// Report gathers the problems of a configuration.
type Report struct {
	// Problems are those that were kept, at most MaxProblems.
	Problems []Problem

	left  [2]int          // problems not kept, by level
	seen  map[sight]bool  // what is there already
	order map[*Source]int // sources in the order in which they were read
}

// sight is what makes a problem the same as another.
type sight struct {
	name, message, where string
	at                   Span
}

// Add adds a problem. The same one at the same place is told once: a value that
// several places share is read several times.
func (r *Report) Add(p Problem) {
	key := sight{p.Name, p.Message, p.Where, p.At.Span}
	if r.seen[key] {
		return
	}
	if r.seen == nil {
		r.seen = map[sight]bool{}
	}
	r.seen[key] = true
	if len(r.Problems) >= MaxProblems {
		r.left[p.Level]++
		return
	}
	r.Problems = append(r.Problems, p)
}

// know notes a source, so that problems are told in the order of the files.
func (r *Report) know(s *Source) {
	if r.order == nil {
		r.order = map[*Source]int{}
	}
	if _, ok := r.order[s]; !ok {
		r.order[s] = len(r.order)
	}
}

// Sources are the files that were read, in order.
func (r *Report) Sources() []*Source {
	list := make([]*Source, len(r.order))
	for s, i := range r.order {
		list[i] = s
	}
	return list
}

// Count is how many problems of a level there are, those not kept included.
func (r *Report) Count(l Level) int {
	n := r.left[l]
	for i := range r.Problems {
		if r.Problems[i].Level == l {
			n++
		}
	}
	return n
}

// Left is how many problems were not kept.
func (r *Report) Left() int { return r.left[Error] + r.left[Warning] }

// Failed reports whether there is an error.
func (r *Report) Failed() bool { return r.Count(Error) > 0 }

// Sort puts the problems into the order of their places. Those without a place
// come first: they are about the whole.
func (r *Report) Sort() {
	slices.SortStableFunc(r.Problems, func(a, b Problem) int {
		if a.At.Valid() != b.At.Valid() {
			if b.At.Valid() {
				return -1
			}
			return 1
		}
		return cmp.Or(
			cmp.Compare(r.order[a.At.Source], r.order[b.At.Source]),
			cmp.Compare(a.At.Start, b.At.Start),
			cmp.Compare(a.Level, b.Level),
		)
	})
}

// Fixable is how many problems have a fix that needs no second thought.
func (r *Report) Fixable() (n int) {
	for i := range r.Problems {
		if p := &r.Problems[i]; len(p.Fix) > 0 && !p.Unsure {
			n++
		}
	}
	return n
}

// Summary says in a line what was found in the configuration of that name.
func (r *Report) Summary(name string) string {
	e, w := r.Count(Error), r.Count(Warning)
	if e+w == 0 {
		return name + ": no problem found"
	}
	var words []string
	if e > 0 {
		words = append(words, plural(e, "error"))
	}
	if w > 0 {
		words = append(words, plural(w, "warning"))
	}
	if n := r.Fixable(); n > 0 {
		words = append(words, fmt.Sprintf("%d can be fixed with --fix", n))
	}
	return name + ": " + strings.Join(words, ", ")
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
