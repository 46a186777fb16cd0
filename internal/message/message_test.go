package message

import (
	"strings"
	"testing"
)

func TestLookupName(t *testing.T) {
	for n := Other + 1; n < names; n++ {
		s := spelled[n]
		if s == "" || len(s) > longest {
			t.Fatalf("name %d is spelled %q", n, s)
		}
		for _, b := range []string{s, strings.ToUpper(s), strings.ToUpper(s[:1]) + s[1:]} {
			if got := LookupName([]byte(b)); got != n {
				t.Errorf("LookupName(%q) = %q", b, got)
			}
		}
		// Every other byte at every place makes it another name.
		b := []byte(s)
		for i := range b {
			for c := range 256 {
				b[i] = byte(c)
				want := strings.EqualFold(string(b), s) && c < 0x80
				if got := LookupName(b) == n; got != want {
					t.Errorf("LookupName(%q) is %q: %v, want %v", b, s, got, want)
				}
			}
			b[i] = s[i]
		}
		if got := LookupName(b[:len(b)-1]); got == n {
			t.Errorf("LookupName(%q) = %q", b[:len(b)-1], got)
		}
		if got := LookupName(append(b, 'x')); got == n {
			t.Errorf("LookupName(%q) = %q", append(b, 'x'), got)
		}
	}
}

func TestLookupNameAgreesWithEqualFold(t *testing.T) {
	for _, s := range []string{"", "x", "user-agent", "accepT", "x-forwarded-fors", "sec-websocket-extensionsx",
		strings.Repeat("c", 24), strings.Repeat("c", 300), "\x80", "\x00"} {
		got := LookupName([]byte(s))
		want := Other
		for n := Other + 1; n < names; n++ {
			if EqualFold([]byte(s), spelled[n]) {
				want = n
			}
		}
		if got != want {
			t.Errorf("LookupName(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestAppendValue(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{"", ""},
		{"plain", "plain"},
		{"tab\there", "tab\there"},
		{"one\r\n two", "one two"},
		{"one \t\r\n\t two", "one two"},
		{"one\n two", "one two"},
		{"one\r\n \r\n two", "one two"},
		{"a\x01b\x7fc\x00d", "a b c d"},
		{"a\rb", "a b"},
		{"caf\xe9", "caf\xe9"},
		{"a\x01\r\n b", "a  b"},
		{"\r\n", " "},
	} {
		h := Head{Raw: []byte("X" + c.value)}
		f := Field{Name: Span{0, 1}, Value: Span{1, uint32(len(c.value))}}
		if got := string(h.AppendValue([]byte("X: "), &f)); got != "X: "+c.want {
			t.Errorf("%q: %q, want %q", c.value, got, c.want)
		}
	}
}

func BenchmarkLookupName(b *testing.B) {
	browser := [][]byte{[]byte("Host"), []byte("User-Agent"), []byte("Accept"), []byte("Accept-Language"),
		[]byte("Accept-Encoding"), []byte("Connection"), []byte("Cookie"), []byte("Upgrade-Insecure-Requests")}
	b.ReportAllocs()
	for b.Loop() {
		for _, n := range browser {
			LookupName(n)
		}
	}
}
