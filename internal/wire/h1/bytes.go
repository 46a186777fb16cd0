package h1

import (
	"encoding/binary"
	"math/bits"
)

// Tables of the grammar, so that a byte is judged by one load.
var (
	tchar  = set("!#$%&'*+-.^_`|~" + digits + letters) // RFC 9110 §5.6.2
	target = visible('#')                              // RFC 9112 §3.2, and what browsers leave unescaped
	host   = set("-._~!$&'()*+,;=" + digits + letters) // RFC 3986 §3.2.2 reg-name, without pct-encoded
	qdtext = func() [256]bool {                        // RFC 9110 §5.6.4
		t := visible('"', '\\')
		t['\t'], t[' '] = true, true
		for c := 0x80; c < 0x100; c++ {
			t[c] = true
		}
		return t
	}()
	hexval = func() (t [256]int8) {
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

func digit(c byte) bool { return c-'0' < 10 }
func space(c byte) bool { return c == ' ' || c == '\t' }

// control reports whether c is a control character other than HT.
func control(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// firstControl returns the index of the first control character other than HT
// in b, len(b) if there is none. Values are long and clean, so it looks at
// eight bytes at a time.
func firstControl(b []byte) int {
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
	for i < len(b) && !control(b[i]) {
		i++
	}
	return i
}

// targetLen returns how many bytes at the start of b a request-target may hold.
func targetLen(b []byte) int {
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
	for i < len(b) && target[b[i]] {
		i++
	}
	return i
}

// trim returns b[i:j] without SP and HT at both ends, as indices.
func trim(b []byte, i, j int) (int, int) {
	for i < j && space(b[i]) {
		i++
	}
	for j > i && space(b[j-1]) {
		j--
	}
	return i, j
}

// foldPrefix reports whether b begins with s, which must be in lower case, in
// any case of ASCII letters.
func foldPrefix(b []byte, s string) bool {
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
