package route

import (
	"bytes"
	"fmt"
	"strings"
)

// pattern is a path pattern, read: its segments in normal form.
type pattern struct {
	text     string // as it was written
	segments []segment
	below    bool // ends in /*
}

// segment of a pattern: a literal, or a capture with a name.
type segment struct {
	literal string
	capture string // "" for a literal
}

// parsePattern reads a path pattern. The error says what to write.
func parsePattern(s string) (p pattern, err error) {
	p.text = s
	bad := func(format string, a ...any) (pattern, error) { return p, fmt.Errorf(format, a...) }
	switch {
	case s == "":
		return bad("a path begins with /: write /* for all")
	case strings.Contains(s, "://"):
		return bad("a path has no scheme and no host: they are the site's")
	case s == "*":
		return bad("a path begins with /: write /*")
	case s[0] != '/':
		return bad("a path begins with /: write /%s", s)
	}
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		if s[i] == '#' {
			return bad("what follows # is never sent: drop %q, or write %%23 if it is meant as it stands", s[i:])
		}
		return bad("the query is no part of the path: drop %q and match it with query", s[i:])
	}
	for rest, last := s[1:], false; !last; {
		var part string
		var more bool
		part, rest, more = strings.Cut(rest, "/")
		last = !more
		switch {
		case part == "*" && last:
			p.below = true
			return p, nil
		case part == "*":
			return bad("* stands at the end: write {name} for one segment in the middle")
		case strings.Contains(part, "*"):
			return bad("* stands for whole segments: /api/* matches /api and all below it; write %%2A for the character")
		case part == "" && !last:
			return bad("an empty segment is no path that people ask for: write one / where there are two")
		case part == "." || part == "..":
			return bad("dot segments are gone before a path is matched: write the path that %s leads to", s)
		case strings.ContainsAny(part, "{}"):
			name, ok := strings.CutSuffix(strings.TrimPrefix(part, "{"), "}")
			if !ok || !isName(name) || part[0] != '{' {
				return bad("%s is no capture: a whole segment {name}, of letters, digits, - and _; write %%7B for the character {", part)
			}
			for _, other := range p.segments {
				if other.capture == name {
					return bad("{%s} stands there twice: give each capture a name of its own", name)
				}
			}
			p.segments = append(p.segments, segment{capture: name})
		case strings.ContainsAny(part, "\\;"):
			return bad("servers do not agree what \\ and ; mean in a path, so none can choose a route: drop it from %q", part)
		default:
			literal, err := normalSegment(part)
			if err != nil {
				return p, err
			}
			p.segments = append(p.segments, segment{literal: literal})
		}
	}
	return p, nil
}

func isName(s string) bool {
	for i := range len(s) {
		if c := lower[s[i]]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return s != ""
}

// normalSegment is a literal segment as it stands in the normal form of a path.
func normalSegment(s string) (string, error) {
	var b []byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) || hexValue[s[i+1]] < 0 || hexValue[s[i+2]] < 0 {
				return "", fmt.Errorf("%% begins a percent-encoding of two digits: write %%25 for the character in %q", s)
			}
			v := byte(hexValue[s[i+1]]<<4 | hexValue[s[i+2]])
			if i += 2; unreserved[v] {
				b = append(b, v)
			} else {
				b = appendEncoded(b, v)
			}
		case c <= ' ' || c == 0x7f || c >= 0x80:
			b = appendEncoded(b, c)
		default:
			b = append(b, c)
		}
	}
	switch n := string(b); n {
	case ".", "..":
		return "", fmt.Errorf("%s is a dot segment, which is gone before a path is matched", s)
	default:
		return n, nil
	}
}

const upperHex = "0123456789ABCDEF"

func appendEncoded(b []byte, c byte) []byte { return append(b, '%', upperHex[c>>4], upperHex[c&15]) }

// unreserved are the characters that mean the same whether they are encoded or
// not (RFC 3986 §2.3).
var unreserved = func() (t [256]bool) {
	for c := range t {
		l := lower[c]
		t[c] = 'a' <= l && l <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
	}
	return t
}()

// matches reports whether a path in normal form meets p.
func (p *pattern) matches(path []byte) bool {
	if len(path) == 0 || path[0] != '/' {
		return false
	}
	rest, ended := path[1:], false
	for i := range p.segments {
		if ended {
			return false
		}
		part := rest
		if n := bytes.IndexByte(rest, '/'); n >= 0 {
			part, rest = rest[:n], rest[n+1:]
		} else {
			ended = true
		}
		if s := &p.segments[i]; s.capture != "" && len(part) == 0 || s.capture == "" && string(part) != s.literal {
			return false
		}
	}
	return p.below || ended
}

// capture is the segment of a path, which p matches, in the place of {name}; nil
// if p has no such capture.
func (p *pattern) capture(path []byte, name string) []byte {
	rest := path[1:]
	for i := range p.segments {
		part, after, _ := bytes.Cut(rest, []byte("/"))
		if p.segments[i].capture == name {
			return part
		}
		rest = after
	}
	return nil
}

// holds reports whether each path that o matches is matched by p too.
func (p *pattern) holds(o *pattern) bool {
	if len(p.segments) > len(o.segments) || len(p.segments) < len(o.segments) && !p.below || o.below && !p.below {
		return false
	}
	for i := range p.segments {
		a, b := &p.segments[i], &o.segments[i]
		switch {
		case a.capture == "" && (b.capture != "" || a.literal != b.literal):
			return false
		case a.capture != "" && b.capture == "" && b.literal == "":
			return false // the last segment of a path that ends in /
		}
	}
	return true
}

// example is a path that p matches.
func (p *pattern) example() string {
	var b strings.Builder
	for _, s := range p.segments {
		b.WriteByte('/')
		if s.capture != "" {
			b.WriteString(s.capture)
		} else {
			b.WriteString(s.literal)
		}
	}
	if p.below {
		b.WriteString("/")
	}
	return b.String()
}

// oddities are what a path has that its bytes alone do not tell.
type oddities uint8

const (
	// encoded: a percent-encoding. All read it in one way, RFC 3986's, unless one of
	// the others is there too.
	encoded oddities = 1 << iota
	// dots: a dot segment, or what may become one.
	dots
	// empty: two slashes in a row.
	empty
	// params: a semicolon, behind which some servers see parameters.
	params
	// slashes: a backslash, or an encoded slash, backslash or NUL.
	slashes
)

// striking marks the bytes that may make a path odd.
var striking = [256]bool{'/': true, '%': true, ';': true, '\\': true}

// odditiesOf looks a path over.
func odditiesOf(path []byte) (o oddities) {
	for i, c := range path {
		if !striking[c] {
			continue
		}
		switch c {
		case '/':
			if i+1 < len(path) {
				switch path[i+1] {
				case '/':
					o |= empty
				case '.':
					o |= dots
				}
			}
		case '%':
			o |= encoded
			if i+2 < len(path) {
				switch v := hexValue[path[i+1]]<<4 | hexValue[path[i+2]]; v {
				case '/', '\\', 0:
					o |= slashes
				case '.':
					o |= dots
				}
			}
		case ';':
			o |= params
		case '\\':
			o |= slashes
		}
	}
	if o&(slashes|params) != 0 {
		// Behind what only some take for the end of a segment there may be an empty one,
		// or one of dots.
		o |= empty
		if bytes.IndexByte(path, '.') >= 0 {
			o |= dots
		}
	}
	return o
}

// maxReading bounds the bytes of all readings of one path: each costs the sender a
// byte, and us up to 45. Two readings of the longest path that is usual fit, and all of
// one that is longer than any that people see.
const maxReading = 16 << 10

// readings are the bits of appendReading that make a difference for a path with
// these oddities.
func readings(o oddities) oddities { return o &^ encoded }

// appendReading appends a path as it is read by whoever does what the bits of as
// say. Without any it is the normal form of RFC 3986 §6.2.2. With slashes, encoded slashes and
// backslashes are slashes and a NUL ends the path; with params, what follows a
// semicolon in a segment is not there; with empty, empty segments are not there;
// with dots, dot segments have no meaning.
func appendReading(dst, path []byte, as oddities) []byte {
	base := len(dst)
	for i := 0; i < len(path); i++ {
		j := i
		for j < len(path) && path[j] != '%' && path[j] != '\\' {
			j++
		}
		dst = append(dst, path[i:j]...)
		if i = j; i == len(path) {
			break
		}
		c := path[i]
		switch {
		case c == '\\' && as&slashes != 0:
			c = '/'
		case c == '%' && i+2 < len(path) && hexValue[path[i+1]] >= 0 && hexValue[path[i+2]] >= 0:
			v := byte(hexValue[path[i+1]]<<4 | hexValue[path[i+2]])
			i += 2
			switch {
			case unreserved[v]:
				c = v
			case as&slashes != 0 && (v == '/' || v == '\\'):
				c = '/'
			case as&slashes != 0 && v == 0:
				i = len(path)
				continue
			default:
				dst = appendEncoded(dst, v)
				continue
			}
		case c == '%':
			// It begins nothing, so it stands for itself: "%%610" must not become
			// "%a0", which means something else.
			dst = append(dst, "%25"...)
			continue
		}
		dst = append(dst, c)
	}
	if len(dst) == base || dst[base] != '/' {
		return dst // the asterisk of OPTIONS
	}
	return dst[:base+trimSegments(dst[base:], as)]
}

// trimSegments does the part of appendReading that is about whole segments, in
// place, and returns the new length. path begins with a slash.
func trimSegments(path []byte, as oddities) int {
	n := 0 // path[:n] is done: empty, or begins with a slash and ends before the next
	for i := 0; i < len(path); {
		// path[i] is the slash before a segment.
		end := len(path)
		if k := bytes.IndexByte(path[i+1:], '/'); k >= 0 {
			end = i + 1 + k
		}
		part, last := path[i+1:end], end == len(path)
		i = end
		if as&params != 0 {
			if k := bytes.IndexByte(part, ';'); k >= 0 {
				part = part[:k]
			}
		}
		switch {
		case as&dots == 0 && string(part) == ".":
			part = part[:0]
			if !last {
				continue
			}
		case as&dots == 0 && string(part) == "..":
			part = part[:0]
			n = max(0, bytes.LastIndexByte(path[:n], '/'))
			if !last {
				continue
			}
		case as&empty != 0 && len(part) == 0 && !last:
			continue
		}
		path[n] = '/'
		n += 1 + copy(path[n+1:], part)
	}
	return n
}
