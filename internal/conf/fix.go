package conf

import "slices"

// Fix makes the edits of all problems whose fix needs no second thought. It
// returns the new texts of the files that change, and how many problems that
// mends. Where two fixes touch the same place the first one is made: reading
// again shows what is left.
func (r *Report) Fix() (texts map[*Source]string, mended int) {
	bySource := map[*Source][]Edit{}
	for i := range r.Problems {
		p := &r.Problems[i]
		if len(p.Fix) == 0 || p.Unsure || !free(bySource, p.Fix) {
			continue
		}
		for _, e := range p.Fix {
			bySource[e.Source] = append(bySource[e.Source], e)
		}
		mended++
	}
	texts = map[*Source]string{}
	for s, edits := range bySource {
		slices.SortStableFunc(edits, func(a, b Edit) int { return a.Start - b.Start })
		texts[s] = apply(s.Text, edits)
	}
	return texts, mended
}

// free reports whether none of the edits touches one that is made already.
func free(made map[*Source][]Edit, edits []Edit) bool {
	for _, e := range edits {
		for _, m := range made[e.Source] {
			if e.Start < m.End && m.Start < e.End || e.Start == m.Start {
				return false
			}
		}
	}
	return true
}
