package cli

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// distance is the number of inserted, dropped, changed and swapped bytes between
// a and b (optimal string alignment).
func distance(a, b string) int {
	whole, _ := distances(a, b)
	return whole
}

// distances also tells the distance between a and that beginning of b which is
// most like it: people stop typing a long name early.
func distances(a, b string) (whole, begin int) {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			change := row[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			next[j] = min(change, row[j]+1, next[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)], slices.Min(row)
}

// nearest returns at most n of the names, those that are most like word first: a
// name that word begins or that contains it is nearer than any misspelt one.
func nearest(word string, names []string, n int) []string {
	if len(word) > 64 {
		word = word[:64]
	}
	word = strings.ToLower(word)
	score := func(name string) int {
		switch {
		case strings.HasPrefix(name, word):
			return -2
		case len(word) > 2 && strings.Contains(name, word):
			return -1
		}
		whole, begin := distances(word, name)
		return 1<<8*begin + whole
	}
	sorted := slices.Clone(names)
	slices.SortStableFunc(sorted, func(a, b string) int { return cmp.Compare(score(a), score(b)) })
	return sorted[:min(n, len(sorted))]
}

// nearestFlag is the hint for a flag that cobra refused.
func nearestFlag(c *cobra.Command, err error) string {
	hint := c.CommandPath() + " --help lists the flags"
	_, word, ok := strings.Cut(err.Error(), "unknown flag: --")
	if !ok {
		return hint
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := nearest(word, names, 1); len(near) > 0 && distance(word, near[0]) <= max(2, len(word)/3) {
		return "did you mean --" + near[0] + "?"
	}
	return hint
}
