package explain

import "bytes"

// hexWidth is how many bytes a line of a hex view shows.
const hexWidth = 16

// Hex appends a hex view of b: lines of 16 bytes with their offset, in hex and as
// text, where a byte that is no visible ASCII is "·". base is the offset of b[0] in
// its message. Under the byte at offset mark stands ^^, and ^ in the text; a mark
// just behind b's end shows where bytes are missing, and any other outside of b
// is not shown.
func Hex(dst []byte, b []byte, base, mark int64) []byte {
	for _, l := range hexLines(b, base, mark) {
		dst = l.appendTo(dst, false)
		dst = append(dst, '\n')
		if l.mark >= 0 {
			dst = l.appendCaret(dst)
			dst = append(dst, '\n')
		}
	}
	return dst
}

// hexLine is one line of a hex view.
type hexLine struct {
	offset int64  // of the line's first column, a multiple of 16
	skip   int    // columns before the first byte
	bytes  []byte // up to 16
	mark   int    // column of the marked byte, -1 for none
	digits int    // of the offset
}

func hexLines(b []byte, base, mark int64) (lines []hexLine) {
	end := base + int64(len(b))
	digits := 4
	for limit := int64(1) << 16; end > limit && digits < 16; limit <<= 4 {
		digits++
	}
	for at := base &^ (hexWidth - 1); at < end || at == end && mark == end; at += hexWidth {
		l := hexLine{offset: at, mark: -1, digits: digits, skip: int(max(0, base-at))}
		from := max(at, base)
		l.bytes = b[from-base : min(int64(len(b)), at+hexWidth-base)]
		if mark >= from && mark < at+hexWidth && mark <= end {
			l.mark = int(mark - at)
		}
		lines = append(lines, l)
	}
	return lines
}

// column is where a byte's two hex digits begin.
func (l *hexLine) column(i int) int {
	c := l.digits + 2 + 3*i
	if i >= hexWidth/2 {
		c++ // a gap in the middle helps to count
	}
	return c
}

// textColumn is where the text of a line begins.
func (l *hexLine) textColumn() int { return l.column(hexWidth) + 2 }

// appendTo writes the line without its end. In html it is escaped, and the marked
// byte is in a mark element in both columns.
func (l *hexLine) appendTo(dst []byte, html bool) []byte {
	const hex = "0123456789abcdef"
	for i := l.digits - 1; i >= 0; i-- {
		dst = append(dst, hex[l.offset>>(4*i)&15])
	}
	dst = append(dst, ' ', ' ')
	for i := range hexWidth {
		if i == hexWidth/2 {
			dst = append(dst, ' ')
		}
		switch j := i - l.skip; {
		case j < 0 || j >= len(l.bytes):
			dst = append(dst, "   "...)
		default:
			dst = l.around(dst, i, html, []byte{hex[l.bytes[j]>>4], hex[l.bytes[j]&15]})
			dst = append(dst, ' ')
		}
	}
	dst = append(dst, ' ', ' ')
	for range l.skip {
		dst = append(dst, ' ')
	}
	for j, c := range l.bytes {
		shown := []byte{c}
		if c < ' ' || c >= 0x7f {
			shown = []byte("·")
		}
		if html {
			shown = appendHTML(nil, shown)
		}
		dst = l.around(dst, j+l.skip, html, shown)
	}
	return dst
}

func (l *hexLine) around(dst []byte, column int, html bool, what []byte) []byte {
	if html && column == l.mark {
		return append(append(append(dst, "<mark>"...), what...), "</mark>"...)
	}
	return append(dst, what...)
}

// appendCaret writes the line under a marked one, without its end.
func (l *hexLine) appendCaret(dst []byte) []byte {
	dst = append(dst, bytes.Repeat([]byte{' '}, l.column(l.mark))...)
	dst = append(dst, '^', '^')
	gap := l.textColumn() + l.mark - l.column(l.mark) - 2
	return append(append(dst, bytes.Repeat([]byte{' '}, gap)...), '^')
}
