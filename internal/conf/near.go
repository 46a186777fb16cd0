package conf

import (
	"cmp"
	"slices"
	"strings"
)

// longWord is how much of a word is compared: the cost is in the product of both
// lengths, and no name is longer.
const longWord = 64

// Distance is the number of inserted, dropped, changed and swapped bytes between
// a and b (optimal string alignment).
func Distance(a, b string) int {
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

// Nearest returns at most n of the names, those that are most like word first: a
// name that word begins or that contains it is nearer than any misspelt one.
func Nearest(word string, names []string, n int) []string {
	word = strings.ToLower(word[:min(len(word), longWord)])
	score := func(name string) int {
		name = name[:min(len(name), longWord)]
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

// Meant returns the name that word was probably meant to be, "" if none is near
// enough: one letter in three may be wrong.
func Meant(word string, names []string) string {
	best, least := "", len(word)
	short := strings.ToLower(word[:min(len(word), longWord)])
	for _, name := range names {
		if d := Distance(short, strings.ToLower(name[:min(len(name), longWord)])); d < least {
			best, least = name, d
		}
	}
	if least > max(1, len(short)/3) {
		return ""
	}
	return best
}
