package wire

import "testing"

func TestFirstControl(t *testing.T) {
	// Each byte value at each place, among neighbours that could borrow or carry.
	for _, fill := range []byte{' ', 'a', '\t', 0x80, 0xff, '~', '!'} {
		for n := range 27 {
			b := make([]byte, n)
			for at := range n {
				for c := range 256 {
					for i := range b {
						b[i] = fill
					}
					b[at] = byte(c)
					want := n
					if c < ' ' && c != '\t' || c == 0x7f {
						want = at
					}
					if got := FirstControl(b); got != want {
						t.Fatalf("%q: %d, want %d", b, got, want)
					}
				}
			}
		}
	}
	if got := FirstControl([]byte("\tabcdefg\x1f\x00")); got != 8 {
		t.Error(got)
	}
}

func TestTargetLen(t *testing.T) {
	for _, fill := range []byte{'/', '!', '~', '$', '"'} {
		for n := range 19 {
			b := make([]byte, n)
			for at := range n {
				for c := range 256 {
					for i := range b {
						b[i] = fill
					}
					b[at] = byte(c)
					want := n
					if c <= ' ' || c >= 0x7f || c == '#' {
						want = at
					}
					if got := TargetLen(b); got != want {
						t.Fatalf("%q: %d, want %d", b, got, want)
					}
				}
			}
		}
	}
}
