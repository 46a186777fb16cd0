package incident

import "crypto/rand"

// alphabet is Crockford's base32: no I, L, O and U, so that an id read aloud
// or copied by hand cannot become another one.
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// NewID returns a fresh id of 40 random bits. Two of a thousand kept incidents
// collide once in two million fillings of the store; the newer one wins.
func NewID() (id [8]byte) {
	var b [5]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	v := uint64(b[0])<<32 | uint64(b[1])<<24 | uint64(b[2])<<16 | uint64(b[3])<<8 | uint64(b[4])
	for i := len(id) - 1; i >= 0; i-- {
		id[i] = alphabet[v&31]
		v >>= 5
	}
	return id
}

// Parse reads an id as people type it: letters in any case, o for 0, i and l
// for 1, hyphens and surrounding spaces ignored. ok is false if s is no id.
func Parse(s string) (id [8]byte, ok bool) {
	n := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '-' || c == ' ' {
			continue
		}
		if c = canonical[c]; c == 0 || n == len(id) {
			return [8]byte{}, false
		}
		id[n] = c
		n++
	}
	if n != len(id) {
		return [8]byte{}, false
	}
	return id, true
}

// canonical maps each byte that may stand in an id to the digit it means, every
// other byte to 0.
var canonical = func() (t [256]byte) {
	for i := 0; i < len(alphabet); i++ {
		c := alphabet[i]
		t[c] = c
		if c >= 'A' {
			t[c|0x20] = c
		}
	}
	for _, c := range "oO" {
		t[c] = '0'
	}
	for _, c := range "iIlL" {
		t[c] = '1'
	}
	return t
}()
