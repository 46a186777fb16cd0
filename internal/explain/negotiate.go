package explain

import (
	"bytes"
	"strings"
)

// Format is the form of an error answer.
type Format uint8

// The formats.
const (
	HTML     Format = iota // a page, for browsers
	Problem                // RFC 9457, for programs
	Markdown               // for agents
	Text                   // two lines, for terminals
	formats
)

var contentTypes = [formats]string{"text/html; charset=utf-8", "application/problem+json",
	"text/markdown; charset=utf-8", "text/plain; charset=utf-8"}

// ContentType is the value of the answer's Content-Type.
func (f Format) ContentType() string { return contentTypes[f] }

// ContentSecurityPolicy suits the HTML form: a style of its own, nothing else.
const ContentSecurityPolicy = "default-src 'none'; style-src 'unsafe-inline'"

// Negotiate chooses the format for a request by its Accept field (RFC 9110
// §12.5.1). Among equal weights a type that is named wins over a wildcard, then
// the one that is named first. Whoever accepts anything, or nothing that we
// have, gets plain text: that is curl, not a browser.
func Negotiate(accept []byte) Format {
	var weight, exact, place [formats]int
	for i := range weight {
		weight[i] = -1
	}
	for n, element := range bytes.Split(accept, []byte{','}) {
		parts := strings.Split(strings.ToLower(string(element)), ";")
		q := 1000
		for _, p := range parts[1:] {
			if name, value, ok := strings.Cut(strings.TrimSpace(p), "="); ok && strings.TrimSpace(name) == "q" {
				q = quality(strings.TrimSpace(value))
			}
		}
		named, precision := named(strings.TrimSpace(parts[0]))
		for _, f := range named {
			// Of several ranges that match, the most precise one counts.
			if precision > exact[f] {
				weight[f], exact[f], place[f] = q, precision, n
			}
		}
	}
	best := Text
	for f := range formats {
		if weight[f] > 0 && better(weight, exact, place, f, best) {
			best = f
		}
	}
	return best
}

func better(weight, exact, place [formats]int, f, than Format) bool {
	switch {
	case weight[f] != weight[than]:
		return weight[f] > weight[than]
	case exact[f] != exact[than]:
		return exact[f] > exact[than]
	case exact[f] < precise:
		return false // a wildcard names nobody: the order of preference is ours
	}
	return place[f] < place[than]
}

// precise is the precision of a media type without wildcard.
const precise = 3

// named returns the formats that a media range names, and how precisely it does.
func named(mediaRange string) (list []Format, precision int) {
	switch mediaRange {
	case "*/*", "*":
		return []Format{HTML, Problem, Markdown, Text}, 1
	case "text/*":
		return []Format{HTML, Markdown, Text}, 2
	case "application/*":
		return []Format{Problem}, 2
	case "text/html", "application/xhtml+xml":
		return []Format{HTML}, precise
	case "application/problem+json", "application/json":
		return []Format{Problem}, precise
	case "text/markdown":
		return []Format{Markdown}, precise
	case "text/plain":
		return []Format{Text}, precise
	}
	if strings.HasPrefix(mediaRange, "application/") && strings.HasSuffix(mediaRange, "+json") {
		return []Format{Problem}, precise
	}
	return nil, 0
}

// quality reads a weight in thousandths (RFC 9110 §12.4.2). What is no weight
// counts as 0: it was meant to say less than 1.
func quality(s string) int {
	if s == "" || s[0] != '0' && s[0] != '1' || len(s) > 5 || len(s) > 1 && s[1] != '.' {
		return 0
	}
	q, unit := int(s[0]-'0')*1000, 100
	for i := 2; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0
		}
		q += int(s[i]-'0') * unit
		unit /= 10
	}
	return min(q, 1000)
}
