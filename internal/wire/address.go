package wire

import "net/netip"

// ParseAddr is netip.ParseAddr for bytes and without zones. It allocates nothing: who
// reads an address from each request has no use for an error that holds its text.
func ParseAddr(b []byte) (a netip.Addr, ok bool) {
	for _, c := range b {
		switch c {
		case '.':
			four, ok := parse4(b)
			return netip.AddrFrom4(four), ok
		case ':':
			six, ok := parse6(b)
			return netip.AddrFrom16(six), ok
		}
	}
	return a, false
}

// parse4 reads four numbers without leading zeros.
func parse4(b []byte) (a [4]byte, ok bool) {
	n, part, digits := 0, 0, 0
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			if digits == 1 && n == 0 {
				return a, false
			}
			n = 10*n + int(c-'0')
			if digits++; n > 255 {
				return a, false
			}
		case c != '.' || digits == 0 || part == 3:
			return a, false
		default:
			a[part] = byte(n)
			part++
			n, digits = 0, 0
		}
	}
	if part != 3 || digits == 0 {
		return a, false
	}
	a[3] = byte(n)
	return a, true
}

// parse6 reads what RFC 4291 §2.2 allows.
func parse6(b []byte) (a [16]byte, ok bool) {
	at, gap := 0, -1 // where the next group goes, and what "::" stands before
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		gap, b = 0, b[2:]
	}
	for len(b) > 0 {
		if at == len(a) {
			return a, false
		}
		n, i := 0, 0
		for i < len(b) && i < 4 && hex[b[i]] < 16 {
			n = n<<4 | int(hex[b[i]])
			i++
		}
		switch {
		case i == 0:
			return a, false
		case i < len(b) && b[i] == '.':
			four, ok := parse4(b)
			if !ok || at > len(a)-4 || gap < 0 && at != len(a)-4 {
				return a, false
			}
			at += copy(a[at:], four[:])
			b = nil
			continue
		}
		a[at], a[at+1] = byte(n>>8), byte(n)
		at, b = at+2, b[i:]
		switch {
		case len(b) == 0:
		case b[0] != ':' || len(b) == 1:
			return a, false
		case b[1] == ':':
			if gap >= 0 {
				return a, false
			}
			gap, b = at, b[2:]
		default:
			b = b[1:]
		}
	}
	if at < len(a) {
		if gap < 0 {
			return a, false
		}
		n := at - gap
		copy(a[len(a)-n:], a[gap:at])
		clear(a[gap : len(a)-n])
		return a, true
	}
	return a, gap < 0
}

// hex is the value of a hexadecimal digit, 16 for all other bytes.
var hex = func() (t [256]byte) {
	for i := range t {
		t[i] = 16
	}
	for i, c := range "0123456789abcdef" {
		t[c] = byte(i)
	}
	for i, c := range "ABCDEF" {
		t[c] = byte(10 + i)
	}
	return t
}()
