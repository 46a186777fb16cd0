package explain

import (
	"strings"
	"unicode/utf8"
)

// appendVisible writes s so that it is text and nothing else, on a terminal, in
// a page or in a log: one line, no control characters (C0, DEL, C1), no marks
// that change the writing direction. A byte that is no UTF-8 is \xNN, a hostile
// character \xNN or \uNNNN.
func appendVisible[T string | []byte](dst []byte, s T) []byte {
	const hex = "0123456789abcdef"
	for i := 0; i < len(s); {
		if c := s[i]; c >= ' ' && c < 0x7f {
			dst = append(dst, c)
			i++
			continue
		}
		c, n := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
		switch {
		case c == '\t' || c == '\n' || c == '\r':
			dst = append(dst, '\\', "tn  r"[c-'\t'])
		case c == utf8.RuneError && n == 1:
			dst = append(dst, '\\', 'x', hex[s[i]>>4], hex[s[i]&15])
		case c < 0x80:
			dst = append(dst, '\\', 'x', hex[c>>4], hex[c&15])
		case isHostile(c):
			dst = append(dst, '\\', 'u', hex[c>>12&15], hex[c>>8&15], hex[c>>4&15], hex[c&15])
		default:
			dst = utf8.AppendRune(dst, c)
		}
		i += n
	}
	return dst
}

func visible[T string | []byte](s T) string { return string(appendVisible(nil, s)) }

// isHostile names the characters beyond ASCII that act instead of being seen.
func isHostile(c rune) bool {
	return c < 0xa0 || c >= 0x200b && c <= 0x200f || c >= 0x2028 && c <= 0x202e || c >= 0x2060 && c <= 0x206f || c == 0xfeff
}

// appendHTML writes s as text of a page, or of an attribute in double quotes.
func appendHTML[T string | []byte](dst []byte, s T) []byte {
	return append(dst, htmlEscaper.Replace(visible(s))...)
}

var htmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;")

// wrap breaks s at spaces into lines of at most width characters; a longer word
// has a line of its own. Citations stay together.
func wrap(s string, width int) (lines []string) {
	const glue = "\x00" // cannot be in visible text
	s = strings.NewReplacer("RFC ", "RFC"+glue, " §", glue+"§").Replace(s)
	line, n := "", 0
	for word := range strings.FieldsSeq(s) {
		word = strings.ReplaceAll(word, glue, " ")
		w := utf8.RuneCountInString(word)
		if n > 0 && n+1+w > width {
			lines = append(lines, line)
			line, n = "", 0
		}
		if n > 0 {
			line += " "
			n++
		}
		line += word
		n += w
	}
	if n > 0 {
		lines = append(lines, line)
	}
	return lines
}

// pad returns s with spaces up to width characters.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}
