package h2

import (
	"encoding/binary"
	"math/bits"
)

// codeLength is the length in bits of each byte's Huffman code (RFC 7541 Appendix
// B). The code is canonical, ordered by length and then by byte, so that the
// lengths say it all. The end-of-string symbol is the last code of 30 bits.
var codeLength = [256]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
	28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
	5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
	7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
	6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
	24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
	21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
	19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
	26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
}

// longestCode is the length in bits of the longest code.
const longestCode = 30

// near is how many bits one look at the table decodes at most: the codes of all
// letters, digits and usual signs fit.
const near = 9

// huffman is what encoding and decoding need of the code.
var huffman = func() (t struct {
	code  [256]uint32             // of a byte, right-aligned
	near  [1 << near]uint16       // the byte and, above it, its code's length, by the next bits; 0 for longer codes
	limit [longestCode + 1]uint32 // the first left-aligned code (of 32 bits) that is longer than so many bits
	first [longestCode + 1]uint32 // the first code of a length, right-aligned
	index [longestCode + 1]uint16 // where the bytes of that length begin in order
	order [257]uint8              // the bytes in the order of their codes
}) {
	code, n := uint32(0), 0
	for length := 1; length <= longestCode; length++ {
		code <<= 1
		t.first[length], t.index[length] = code, uint16(n)
		for b, l := range codeLength {
			if int(l) != length {
				continue
			}
			t.code[b], t.order[n] = code, uint8(b)
			if length <= near {
				from := code << (near - length)
				for i := range uint32(1) << (near - length) {
					t.near[from+i] = uint16(length)<<8 | uint16(b)
				}
			}
			code++
			n++
		}
		t.limit[length] = code << (32 - length)
	}
	return t
}()

// appendDecoded appends what the Huffman-coded s stands for. bad is the index of
// the first byte that no code explains, -1 if there is none.
func appendDecoded(dst, s []byte) (out []byte, bad int) {
	var window uint64 // the next bits, left-aligned
	have := 0         // how many of them are there
	for i := 0; ; {
		for have <= 56 && i < len(s) {
			window |= uint64(s[i]) << (56 - have)
			have += 8
			i++
		}
		if have == 0 {
			return dst, -1
		}
		if e := huffman.near[window>>(64-near)]; e != 0 && int(e>>8) <= have {
			dst = append(dst, byte(e))
			window <<= e >> 8
			have -= int(e >> 8)
			continue
		}
		next, length := uint32(window>>32), near+1
		for length <= longestCode && next >= huffman.limit[length] {
			length++
		}
		if length > longestCode || length > have {
			// "A padding strictly longer than 7 bits MUST be treated as a decoding
			// error. A padding not corresponding to the most significant bits of the
			// code for the EOS symbol MUST be treated as a decoding error. A Huffman-
			// encoded string literal containing the EOS symbol MUST be treated as a
			// decoding error." https://www.rfc-editor.org/rfc/rfc7541#section-5.2-5
			if i == len(s) && have < 8 && bits.LeadingZeros64(^window) >= have {
				return dst, -1
			}
			return dst, i - (have+7)/8
		}
		n := next>>(32-length) - huffman.first[length]
		dst = append(dst, huffman.order[int(huffman.index[length])+int(n)])
		window <<= length
		have -= length
	}
}

// A symbol is how one byte is encoded.
type symbol struct {
	code uint32 // right-aligned
	bits uint8
}

// exact encodes bytes as they are, lower turns names into those that may be
// written: upper-case letters become lower, what is no token becomes "-".
var exact, lower = func() (e, l [256]symbol) {
	for c := range e {
		e[c] = symbol{huffman.code[c], codeLength[c]}
	}
	for c := range l {
		l[c] = e[lowered[c]]
	}
	return e, l
}()

// encodedLen is the length of s in Huffman code, in bytes.
func encodedLen(s []byte, t *[256]symbol) int {
	n := 0
	for _, c := range s {
		n += int(t[c].bits)
	}
	return (n + 7) / 8
}

// appendEncoded appends s in Huffman code.
func appendEncoded(dst, s []byte, t *[256]symbol) []byte {
	var window uint64
	have := uint(0)
	for _, c := range s {
		e := t[c]
		window = window<<e.bits | uint64(e.code)
		if have += uint(e.bits); have >= 32 {
			have -= 32
			dst = binary.BigEndian.AppendUint32(dst, uint32(window>>have))
		}
	}
	for have >= 8 {
		have -= 8
		dst = append(dst, byte(window>>have))
	}
	if have > 0 { // the rest is the beginning of the end-of-string symbol: ones
		dst = append(dst, byte(window<<(8-have))|byte(1<<(8-have)-1))
	}
	return dst
}
