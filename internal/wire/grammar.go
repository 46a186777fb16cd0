// Package wire is the grammar that all versions of HTTP share (RFC 9110, RFC
// 3986): tables and judgements of bytes. The versions are packages below it.
package wire

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/gatewhy/gatewhy/internal/message"
)

// Tables of the grammar, so that a byte is judged by one load.
var (
	TokenChar  = set("!#$%&'*+-.^_`|~" + digits + letters) // RFC 9110 §5.6.2
	TargetChar = visible('#')                              // RFC 9112 §3.2, and what browsers leave unescaped
	HostChar   = set("-._~!$&'()*+,;=" + digits + letters) // RFC 3986 §3.2.2 reg-name, without pct-encoded
	QuotedChar = func() [256]bool {                        // RFC 9110 §5.6.4
		t := visible('"', '\\')
		t['\t'], t[' '] = true, true
		for c := 0x80; c < 0x100; c++ {
			t[c] = true
		}
		return t
	}()
	// HexValue is what a hexadecimal digit counts, -1 for any other byte.
	HexValue = func() (t [256]int8) {
		for i := range t {
			t[i] = -1
		}
		for i := range 10 {
			t['0'+i] = int8(i)
		}
		for i := range 6 {
			t['a'+i], t['A'+i] = int8(10+i), int8(10+i)
		}
		return t
	}()
)

const (
	digits  = "0123456789"
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

func set(s string) (t [256]bool) {
	for i := range len(s) {
		t[s[i]] = true
	}
	return t
}

// visible is VCHAR without some.
func visible(without ...byte) (t [256]bool) {
	for c := 0x21; c < 0x7f; c++ {
		t[c] = true
	}
	for _, c := range without {
		t[c] = false
	}
	return t
}

// Digit reports whether c is a DIGIT.
func Digit(c byte) bool { return c-'0' < 10 }

// Space reports whether c is white space within a line (OWS).
func Space(c byte) bool { return c == ' ' || c == '\t' }

// Control reports whether c is a control character other than HT.
func Control(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// FirstControl returns the index of the first control character other than HT
// in b, len(b) if there is none. Values are long and clean, so it looks at
// eight bytes at a time.
func FirstControl(b []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		del := x ^ 0x7f*ones
		// The high bit of each byte that is below SP or DEL. A borrow may mark a
		// byte wrongly, but only above one that is marked rightly.
		mark := ((x-' '*ones)&^x | (del-ones)&^del) & highs
		if mark == 0 {
			i += 8
			continue
		}
		if i += bits.TrailingZeros64(mark) >> 3; b[i] != '\t' {
			return i
		}
		i++
	}
	for i < len(b) && !Control(b[i]) {
		i++
	}
	return i
}

// TargetLen returns how many bytes at the start of b a request-target may hold.
func TargetLen(b []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		del, hash := x^0x7f*ones, x^'#'*ones
		// As in firstControl: SP and below, DEL, "#", and all above ASCII.
		if mark := ((x-'!'*ones)&^x | (del-ones)&^del | (hash-ones)&^hash | x) & highs; mark != 0 {
			return i + bits.TrailingZeros64(mark)>>3
		}
	}
	for i < len(b) && TargetChar[b[i]] {
		i++
	}
	return i
}

// Trim returns b[i:j] without SP and HT at both ends, as indices.
func Trim(b []byte, i, j int) (int, int) {
	for i < j && Space(b[i]) {
		i++
	}
	for j > i && Space(b[j-1]) {
		j--
	}
	return i, j
}

// FoldPrefix reports whether b begins with s, which must be in lower case, in
// any case of ASCII letters.
func FoldPrefix(b []byte, s string) bool {
	if len(b) < len(s) {
		return false
	}
	for i := range len(s) {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != s[i] {
			return false
		}
	}
	return true
}

// Authority judges uri-host [ ":" port ] (RFC 9110 §7.2, RFC 3986 §3.2). It
// returns the index of the first byte that is wrong or missing, -1 if none is.
// An empty host is wrong (RFC 9110 §4.2.1).
func Authority(b []byte, needPort bool) int {
	i := 0
	if len(b) > 0 && b[0] == '[' {
		n := bytes.IndexByte(b, ']')
		if n < 0 {
			return len(b)
		}
		if k := ipv6(b[1:n]); k >= 0 {
			return 1 + k
		}
		i = n + 1
	} else {
		for i < len(b) && (HostChar[b[i]] || b[i] == '%') {
			if b[i] == '%' {
				if i+2 >= len(b) || HexValue[b[i+1]] < 0 || HexValue[b[i+2]] < 0 {
					return i
				}
				i += 2
			}
			i++
		}
		if i == 0 {
			return 0
		}
	}
	switch {
	case i == len(b) && !needPort:
		return -1
	case i == len(b) || b[i] != ':' || i+1 == len(b) && needPort:
		return i
	}
	port := 0
	for i++; i < len(b); i++ {
		if !Digit(b[i]) {
			return i
		}
		if port = port*10 + int(b[i]-'0'); port > 65535 {
			return i
		}
	}
	return -1
}

// ipv6 judges an IPv6address of RFC 3986 §3.2.2: as Authority, without the
// brackets. Zones have no meaning to anybody but their own host and are refused.
func ipv6(b []byte) int {
	groups, gap, i := 0, false, 0
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		gap, i = true, 2
	}
	for i < len(b) {
		start := i
		for i < len(b) && i < start+4 && HexValue[b[i]] >= 0 {
			i++
		}
		if i < len(b) && b[i] == '.' { // the last two groups as an IPv4 address
			if k := ipv4(b[start:]); k >= 0 {
				return start + k
			}
			groups += 2
			break
		}
		if i == start {
			return i
		}
		if groups++; i == len(b) {
			break
		}
		if b[i] != ':' || i+1 == len(b) {
			return i
		}
		if i++; b[i] == ':' {
			if gap {
				return i
			}
			gap, i = true, i+1
		}
	}
	if groups > 8 || gap && groups == 8 || !gap && groups < 8 {
		return len(b)
	}
	return -1
}

func ipv4(b []byte) int {
	i := 0
	for part := range 4 {
		if part > 0 {
			if i == len(b) || b[i] != '.' {
				return i
			}
			i++
		}
		start, n := i, 0
		for i < len(b) && Digit(b[i]) {
			if n = n*10 + int(b[i]-'0'); n > 255 || i > start && b[start] == '0' {
				return i
			}
			i++
		}
		if i == start {
			return i
		}
	}
	if i < len(b) {
		return i
	}
	return -1
}

// Disguised reports whether a name that we do not know is, to whoever turns "-"
// into "_" (RFC 3875 §4.1.18), one that decides framing, routing or trust.
func Disguised(name []byte) bool {
	var dashed [32]byte
	if len(name) > len(dashed) || bytes.IndexByte(name, '_') < 0 {
		return false
	}
	for i, c := range name {
		if c == '_' {
			c = '-'
		}
		dashed[i] = c
	}
	switch message.LookupName(dashed[:len(name)]) {
	case message.ContentLength, message.TransferEncoding, message.ProxyAuthorization, message.KeepAlive,
		message.ProxyConnection, message.HTTP2Settings, message.XForwardedFor, message.XForwardedHost,
		message.XForwardedProto, message.XForwardedPort, message.XRealIP:
		return true
	}
	return false
}

// ForbiddenTrailer reports whether a field may not come behind a body, because
// whoever acts on it had to know it before: framing, routing, authentication,
// request modifiers, response control and the content's format (RFC 9110 §6.5.1).
// Content-Digest may, and so may all that we do not know.
func ForbiddenTrailer(id message.Name, name []byte) bool {
	switch id {
	case message.Other:
		if Disguised(name) {
			return true
		}
	case message.ETag, message.LastModified, message.ProxyStatus, message.Server, message.Via,
		message.Accept, message.CDNLoop, message.IdempotencyKey:
		return false
	default:
		return true
	}
	for _, s := range [...]string{"age", "alt-svc", "authentication-info", "cache-control", "content-disposition",
		"content-security-policy", "expires", "pragma", "proxy-authentication-info", "strict-transport-security",
		"vary", "warning", "www-authenticate"} {
		if message.EqualFold(name, s) {
			return true
		}
	}
	return FoldPrefix(name, "if-") || FoldPrefix(name, "access-control-")
}
