package conf

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// Source is the text of one file.
type Source struct {
	// Name is what messages call the file: its path as somebody would type it.
	Name string
	// Text is what the file holds.
	Text string

	lines []int // where each line begins
}

// NewSource makes a source of a text.
func NewSource(name, text string) *Source {
	s := &Source{Name: name, Text: text, lines: []int{0}}
	for i := range len(text) {
		if text[i] == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// Position is the line and the column of an offset, both from 1. A column is a
// character, as editors count.
func (s *Source) Position(offset int) (line, column int) {
	offset = min(max(offset, 0), len(s.Text))
	line = s.line(offset)
	return line + 1, utf8.RuneCountInString(s.Text[s.lines[line]:offset]) + 1
}

// line is the index of the line that an offset lies in.
func (s *Source) line(offset int) int {
	i, found := slices.BinarySearch(s.lines, offset)
	if found {
		return i
	}
	return i - 1
}

// bounds are the offsets of a line, by index, without its end of line.
func (s *Source) bounds(line int) (start, end int) {
	start, end = s.lines[line], len(s.Text)
	if line+1 < len(s.lines) {
		end = s.lines[line+1] - 1
		if end > start && s.Text[end-1] == '\r' {
			end--
		}
	}
	return start, end
}

// Span is a part of a source, from one offset up to another. Without a source it
// is no place at all.
type Span struct {
	Source     *Source
	Start, End int
}

// Valid reports whether it is a place.
func (p Span) Valid() bool { return p.Source != nil }

// String is the place as FILE:LINE:COLUMN.
func (p Span) String() string {
	if !p.Valid() {
		return "-"
	}
	line, column := p.Source.Position(p.Start)
	return fmt.Sprintf("%s:%d:%d", p.Source.Name, line, column)
}

// Line is the line that it begins in, from 1; 0 if it is no place.
func (p Span) Line() int {
	if !p.Valid() {
		return 0
	}
	return p.Source.line(p.Start) + 1
}

// Text is what stands there.
func (p Span) Text() string {
	if !p.Valid() {
		return ""
	}
	return p.Source.Text[p.Start:p.End]
}
