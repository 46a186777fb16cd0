package message

import "bytes"

// secretWords are looked for, in lower case, in the names of fields and query
// parameters. A name that holds one of them has a secret for a value. Masking
// too much costs a line of evidence, masking too little costs a password.
var secretWords = [...]string{"auth", "cookie", "token", "secret", "password", "passwd", "api-key", "apikey",
	"api_key", "session", "credential", "signature"}

// secretParameters are names that are secret as a whole name only, of query
// parameters and members of JSON: "sig" is part of "design".
var secretParameters = [...]string{"sig", "sid", "pass", "pwd", "jwt", "otp", "pin"}

// secretInQuery are names that mean a secret in a URL (RFC 6749 §4.1.2, API keys)
// and in JSON most often a reason.
var secretInQuery = [...]string{"code", "key"}

// SecretParameter reports whether the name of a query parameter speaks of a secret.
func SecretParameter(name []byte) bool {
	for _, w := range secretInQuery {
		if len(name) == len(w) && hasFold(name, w) {
			return true
		}
	}
	return secretMember(name)
}

// secretMember is SecretParameter for a member of a JSON object.
func secretMember(name []byte) bool {
	for _, w := range secretParameters {
		if len(name) == len(w) && hasFold(name, w) {
			return true
		}
	}
	return hasSecretWord(name)
}

// cookieAttributes may keep their values in a Set-Cookie field: they say how
// long and where a cookie is sent, never what is in it (RFC 6265 §5.2).
var cookieAttributes = [...]string{"expires", "max-age", "domain", "path", "secure", "httponly", "samesite", "partitioned"}

// Mask appends raw, the bytes of a message's head, to dst and overwrites what
// is secret with 'x'. Length and offsets stay, so a marked byte stays marked;
// white space and control characters stay too, since they may be that byte.
//
// Secret are the values of Authorization, Proxy-Authorization, Cookie and
// Set-Cookie (whose names stay) and of every field whose name speaks of a
// token, secret, password, key or session, with their continuation lines; the
// query parameters and the members of JSON objects so named, anywhere; and the user
// information of URLs.
//
// It needs no valid head: it is called when the head is not. A line without a
// colon, a name with spaces in it or a bare CR hides nothing. raw must begin
// where a line begins: mask before cutting. Masking twice changes nothing.
func Mask(dst, raw []byte) []byte {
	start := len(dst)
	dst = append(dst, raw...)
	b := dst[start:]
	first := true
	for i := 0; i < len(b); {
		end := lineEnd(b, i)
		if end == i {
			i++ // an empty line, or the LF of a CRLF
			continue
		}
		MaskURLs(b[i:end])
		if from, cookies := secretFrom(b[i:end], first); from >= 0 {
			// Behind a secret name everything is secret up to the end of the field:
			// a bare CR or a fold does not end it.
			end = fieldEnd(b, end)
			if value := b[i+from : end]; cookies {
				maskCookies(value)
			} else {
				blank(value)
			}
		}
		first = false
		i = end
	}
	return dst
}

// lineEnd is the index of the first CR or LF at or behind i, or len(b).
func lineEnd(b []byte, i int) int {
	if n := bytes.IndexAny(b[i:], "\r\n"); n >= 0 {
		return i + n
	}
	return len(b)
}

// fieldEnd is the index of the LF that ends the field in which i lies: one that
// no white space follows (RFC 9112 §5.2).
func fieldEnd(b []byte, i int) int {
	for ; i < len(b); i++ {
		if b[i] == '\n' && (i+1 == len(b) || b[i+1] != ' ' && b[i+1] != '\t') {
			return i
		}
	}
	return len(b)
}

// secretFrom returns where in line the secret begins, -1 if its name speaks of
// none, and whether it is a list of cookies.
func secretFrom(line []byte, first bool) (from int, cookies bool) {
	name := line
	if colon := bytes.IndexByte(line, ':'); colon >= 0 {
		name = line[:colon]
	}
	if isStart(line, first) {
		return -1, false
	}
	for i := 0; i < len(name); {
		end := i
		for end < len(name) && !isGap(name[end]) {
			end++
		}
		if word := name[i:end]; hasSecretWord(word) {
			cookies = len(word) == len("cookie") && hasFold(word, "cookie") ||
				len(word) == len("set-cookie") && hasFold(word, "set-cookie")
			for end < len(line) && isGap(line[end]) {
				end++
			}
			return end, cookies
		}
		i = end + 1
	}
	return -1, false
}

// SecretField reports whether the name of a field speaks of a secret.
func SecretField(name []byte) bool { return hasSecretWord(name) }

// isStart reports whether line is a start line, whose words are no field names:
// "HTTP/1.1 407 Proxy Authentication Required", "GET /auth HTTP/1.1".
func isStart(line []byte, first bool) bool {
	if bytes.HasPrefix(line, []byte("HTTP/")) {
		return true
	}
	if !first {
		return false
	}
	_, target, ok := bytes.Cut(line, []byte(" "))
	target = bytes.TrimLeft(target, " \t")
	return ok && len(target) > 0 && (target[0] == '/' || target[0] == '*' ||
		bytes.HasPrefix(target, []byte("http://")) || bytes.HasPrefix(target, []byte("https://")))
}

func isGap(c byte) bool { return c == ' ' || c == '\t' || c == ':' || c == '=' }

func hasSecretWord(name []byte) bool {
	for _, w := range secretWords {
		if hasFold(name, w) {
			return true
		}
	}
	return false
}

// hasFold reports whether b holds w, which is in lower case, in any case.
func hasFold(b []byte, w string) bool {
	for i := 0; i+len(w) <= len(b); i++ {
		j := 0
		for j < len(w) && lower(b[i+j]) == w[j] {
			j++
		}
		if j == len(w) {
			return true
		}
	}
	return false
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// blank overwrites b, but for white space and control characters.
func blank(b []byte) {
	for i, c := range b {
		if c > ' ' && c != 0x7f {
			b[i] = 'x'
		}
	}
}

// maskCookies keeps the names of cookies and the attributes of Set-Cookie. A
// piece without a name is all secret, and so is one whose name is no token.
func maskCookies(b []byte) {
	for first := true; len(b) > 0; first = false {
		end := bytes.IndexByte(b, ';')
		if end < 0 {
			end = len(b)
		}
		piece := b[:end]
		eq := bytes.IndexByte(piece, '=')
		name := piece
		if eq >= 0 {
			name = piece[:eq]
		}
		switch trimmed := bytes.Trim(name, " \t\r\n"); {
		case !first && isCookieAttribute(trimmed):
		case eq < 0 || !isToken(trimmed) || len(bytes.Trim(piece[eq:], "= \t\r\n")) == 0:
			blank(piece)
		default:
			blank(piece[eq+1:])
		}
		b = b[min(end+1, len(b)):]
	}
}

func isCookieAttribute(name []byte) bool {
	for _, a := range cookieAttributes {
		if len(name) == len(a) && hasFold(name, a) {
			return true
		}
	}
	return false
}

func isToken(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f || bytes.IndexByte([]byte(`"(),/:;<=>?@[\]{}`), c) >= 0 {
			return false
		}
	}
	return len(b) > 0
}

// MaskURLs masks secret query parameters, user information and members of JSON
// in a line.
func MaskURLs(line []byte) {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '"':
			i += maskMember(line[i+1:])
		case '?', '&', ';':
			maskParameter(line[i+1:])
		case ':':
			if bytes.HasPrefix(line[i:], []byte("://")) {
				maskUserinfo(line[i+3:])
			}
		}
	}
}

// maskParameter masks the value in b = "name=value..." if its name is secret.
func maskParameter(b []byte) {
	eq := 0
	for ; eq < len(b) && b[eq] != '='; eq++ {
		if isURLEnd(b[eq]) {
			return
		}
	}
	if eq == len(b) || !SecretParameter(b[:eq]) {
		return
	}
	end := eq + 1
	for end < len(b) && !isURLEnd(b[end]) {
		end++
	}
	blank(b[eq+1 : end])
}

func isURLEnd(c byte) bool {
	return c <= ' ' || c == 0x7f || c == '&' || c == ';' || c == '#' || c == '?' || c == '"' || c == '<' || c == '>'
}

// longestMember bounds the names of members that are looked at.
const longestMember = 64

// maskMember masks the value in b = `name": value...` if its name is secret, and
// returns how much of b it has dealt with. A list or an object is masked up to its
// first end.
func maskMember(b []byte) (done int) {
	end := bytes.IndexByte(b[:min(len(b), longestMember)], '"')
	if end < 0 {
		return 0
	}
	i := end + 1
	for i < len(b) && isGap(b[i]) && b[i] != '=' {
		i++
	}
	if bytes.IndexByte(b[end:i], ':') < 0 || !secretMember(bytes.TrimRight(b[:end], `\`)) {
		return 0
	}
	from := i
	switch {
	case i < len(b) && b[i] == '"':
		from++
		for i = from; i < len(b) && b[i] != '"'; i++ {
			if b[i] == '\\' {
				i++
			}
		}
		i = min(i, len(b))
	case bytes.HasPrefix(b[i:], []byte(`\"`)): // JSON in a string of JSON
		from += 2
		for i = from; i < len(b) && b[i] != '"'; i++ {
		}
	case i < len(b) && (b[i] == '[' || b[i] == '{'):
		for i < len(b) && b[i] != ']' && b[i] != '}' {
			i++
		}
	default:
		for i < len(b) && bytes.IndexByte([]byte(",}] \t"), b[i]) < 0 {
			i++
		}
	}
	blank(b[from:i])
	return min(i+1, len(b))
}

// maskUserinfo masks "user:password" in b = "user:password@host..." (RFC 3986 §3.2.1).
func maskUserinfo(b []byte) {
	end := bytes.IndexAny(b, "/?# \t\"<>")
	if end < 0 {
		end = len(b)
	}
	if at := bytes.LastIndexByte(b[:end], '@'); at >= 0 {
		blank(b[:at])
	}
}
