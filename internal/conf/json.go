package conf

// The form of problems for programs: an array, each with all its places and
// edits, as SARIF has them but flat. Offsets count bytes from 0, lines and
// columns from 1; a column is a character.
type (
	// ProblemJSON is a problem.
	ProblemJSON struct {
		Level   string      `json:"level"`
		Name    string      `json:"name"`
		Message string      `json:"message"`
		Where   string      `json:"where,omitempty"` // of a value that no file holds
		Spans   []LabelJSON `json:"spans,omitempty"` // the first one is the problem's own
		Notes   []string    `json:"notes,omitempty"`
		Help    string      `json:"help,omitempty"`
		Edits   []EditJSON  `json:"edits,omitempty"`
		// Sure: --fix makes the edits.
		Sure bool `json:"sure,omitempty"`
	}
	// PointJSON is a place in a file.
	PointJSON struct {
		Offset int `json:"offset"`
		Line   int `json:"line"`
		Column int `json:"column"`
	}
	// LabelJSON is a labelled part of a file.
	LabelJSON struct {
		File  string    `json:"file"`
		Start PointJSON `json:"start"`
		End   PointJSON `json:"end"`
		Label string    `json:"label,omitempty"`
	}
	// EditJSON puts a text in the place of a part of a file.
	EditJSON struct {
		File  string    `json:"file"`
		Start PointJSON `json:"start"`
		End   PointJSON `json:"end"`
		Text  string    `json:"text"`
	}
)

// JSON are the problems for programs; never nil.
func (r *Report) JSON() []ProblemJSON {
	list := make([]ProblemJSON, 0, len(r.Problems))
	for i := range r.Problems {
		p := &r.Problems[i]
		j := ProblemJSON{Level: p.Level.String(), Name: p.Name, Message: p.Message, Where: p.Where, Notes: p.Notes, Help: p.Help,
			Sure: len(p.Fix) > 0 && !p.Unsure}
		for _, l := range labels(p) {
			if l.Valid() {
				j.Spans = append(j.Spans, LabelJSON{l.Source.Name, point(l.Source, l.Start), point(l.Source, l.End), l.Words})
			}
		}
		for _, e := range p.Fix {
			j.Edits = append(j.Edits, EditJSON{e.Source.Name, point(e.Source, e.Start), point(e.Source, e.End), e.With})
		}
		list = append(list, j)
	}
	return list
}

func point(s *Source, offset int) PointJSON {
	line, column := s.Position(offset)
	return PointJSON{offset, line, column}
}
