// Package forwarded reads and writes the Forwarded field (RFC 7239), by which proxies
// tell who their client was.
package forwarded

import (
	"bytes"
	"net/netip"

	"github.com/gatewhy/gatewhy/internal/wire"
)

// Element is what one proxy told. What it did not tell is empty.
type Element struct {
	// For is the address of its client; invalid if it told none, or only a name that is
	// none: "unknown" or _hidden (§6.2, §6.3).
	For netip.Addr
	// Proto and Host are what its client asked for by: as told, quotes and escapes
	// removed. They belong to the value, or to memory of their own.
	Proto, Host []byte
}

// Append reads the elements of a field's value and appends them to list, which it
// returns as it was with ok false if the value breaks the grammar (§4): then nothing of
// it is to be believed. Parameters that nobody needs here are left out.
func Append(list []Element, value []byte) (more []Element, ok bool) {
	more = list
	for i := 0; ; {
		var e Element
		var seen [4]bool
		from, said := i, false
		i = space(value, i)
		for {
			if i < len(value) && value[i] != ';' && value[i] != ',' {
				from := i
				for i < len(value) && wire.TokenChar[value[i]] {
					i++
				}
				name := value[from:i]
				if len(name) == 0 || i == len(value) || value[i] != '=' {
					return list, false
				}
				var v []byte
				if v, i, ok = word(value, i+1); !ok {
					return list, false
				}
				if !e.set(name, v, &seen) {
					return list, false
				}
				said = true
			}
			if i = space(value, i); i == len(value) || value[i] != ';' {
				break
			}
			i++
			i = space(value, i)
		}
		// "A recipient MUST parse and ignore a reasonable number of empty list elements"
		// (RFC 9110 §5.6.1.2); one of semicolons alone is one that tells nothing.
		if said || bytes.IndexByte(value[from:i], ';') >= 0 {
			more = append(more, e)
		}
		if i == len(value) {
			return more, true
		}
		if value[i] != ',' {
			return list, false
		}
		i++
	}
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	return i
}

// set notes a parameter. "Each parameter MUST NOT occur more than once per
// field-value" element (§4).
func (e *Element) set(name, v []byte, seen *[4]bool) bool {
	which := -1
	for i, n := range [...]string{"for", "proto", "host", "by"} {
		if bytes.EqualFold(name, []byte(n)) {
			which = i
		}
	}
	if which < 0 {
		return true
	}
	if seen[which] {
		return false
	}
	seen[which] = true
	switch which {
	case 0:
		a, ok := node(v)
		e.For = a
		return ok
	case 1:
		e.Proto = v
	case 2:
		e.Host = v
	case 3:
		_, ok := node(v)
		return ok
	}
	return true
}

// word reads a token or a quoted string.
func word(b []byte, i int) (v []byte, end int, ok bool) {
	if i < len(b) && b[i] != '"' {
		from := i
		for i < len(b) && wire.TokenChar[b[i]] {
			i++
		}
		return b[from:i], i, i > from
	}
	i++
	from, escaped := i, false
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			v = b[from:i]
			if escaped {
				v = unescape(v)
			}
			return v, i + 1, true
		case c == '\\':
			escaped = true
			// quoted-pair = "\" ( HTAB / SP / VCHAR / obs-text ) (RFC 9110 §5.6.4)
			if i++; i == len(b) || isControl(b[i]) {
				return nil, i, false
			}
		case isControl(c):
			return nil, i, false
		}
	}
	return nil, i, false
}

func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' {
			i++
		}
		out = append(out, b[i])
	}
	return out
}

// node reads an address with or without a port (§6). ok is false if it is neither an
// address nor a name that stands for one.
func node(v []byte) (a netip.Addr, ok bool) {
	host := v
	switch i := bytes.IndexByte(v, ']'); {
	case len(v) == 0:
		return a, false
	case v[0] == '[':
		if i < 0 || i+1 < len(v) && v[i+1] != ':' {
			return a, false
		}
		host = v[1:i]
		a, ok := wire.ParseAddr(host)
		return a.Unmap(), ok && a.Is6() && port(v[i+1:])
	default:
		if j := bytes.IndexByte(v, ':'); j >= 0 {
			if !port(v[j:]) {
				return a, false
			}
			host = v[:j]
		}
	}
	if bytes.EqualFold(host, []byte("unknown")) || len(host) > 1 && host[0] == '_' && plain(host) {
		return a, true
	}
	a, ok = wire.ParseAddr(host)
	return a, ok && a.Is4()
}

// port checks ":" and a port, which may be a hidden one; nothing is none.
func port(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	b = b[1:]
	if len(b) > 1 && b[0] == '_' {
		return plain(b)
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0 && len(b) <= 5
}

// plain reports whether b is made of what a hidden identifier may have (§6.3).
func plain(b []byte) bool {
	for _, c := range b {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// AppendElement appends an element. An invalid address is unknown; an empty host is
// left out.
func AppendElement(dst []byte, client netip.Addr, host []byte, proto string) []byte {
	dst = append(dst, "for="...)
	switch {
	case !client.IsValid():
		dst = append(dst, "unknown"...)
	case client.Is4():
		dst = client.AppendTo(dst)
	default:
		dst = append(client.WithZone("").AppendTo(append(dst, `"[`...)), `]"`...)
	}
	if len(host) > 0 {
		dst = append(dst, `;host="`...)
		for _, c := range host {
			if c == '"' || c == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, c)
		}
		dst = append(dst, '"')
	}
	return append(append(dst, ";proto="...), proto...)
}
