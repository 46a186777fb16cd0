package check

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// ParsePath checks the target of a check: it is sent as it stands.
func ParsePath(s string) error {
	if !strings.HasPrefix(s, "/") {
		return fmt.Errorf("a path begins with /: write /%s", strings.TrimLeft(s, "/"))
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return fmt.Errorf("a path has no %q: write %%%02X", c, c)
		}
	}
	return nil
}

// ParseExpect reads what the body of an answer is to have: words, or between slashes a
// regular expression (RE2).
func ParseExpect(s string) (*regexp.Regexp, error) {
	if s == "" {
		return nil, errors.New("nothing is expected: write some words, or /a regular expression/")
	}
	if len(s) < 2 || s[0] != '/' || s[len(s)-1] != '/' {
		return regexp.Compile(regexp.QuoteMeta(s))
	}
	r, err := regexp.Compile(s[1 : len(s)-1])
	if err != nil {
		return nil, fmt.Errorf("this is no regular expression: %v", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return r, nil
}

// ParseStatus reads a status, as 204, or the least and the most of several, as 200-299.
func ParseStatus(s string) (least, most int, err error) {
	from, to, several := strings.Cut(s, "-")
	if !several {
		to = from
	}
	least, err1 := strconv.Atoi(from)
	most, err2 := strconv.Atoi(to)
	switch {
	case err1 != nil || err2 != nil || least < 200 || most > 599:
		return 0, 0, fmt.Errorf("a status is a number from 200 to 599, or two of them as in 200-299")
	case least > most:
		return 0, 0, fmt.Errorf("the least status comes first: write %d-%d", most, least)
	}
	return least, most, nil
}

// FormatStatus writes what ParseStatus reads.
func FormatStatus(least, most int) string {
	if least == most {
		return strconv.Itoa(least)
	}
	return fmt.Sprintf("%d-%d", least, most)
}
