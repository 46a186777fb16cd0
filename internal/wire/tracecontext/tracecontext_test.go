package tracecontext

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, c := range []struct{ in, out string }{
		{good, good},
		{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"},
		{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"},
		{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"},
		{"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03", good},
		{"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-ever", good},
		{"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what", ""},
		{good + "-more", ""},
		{good + " ", ""},
		{"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ""},
		{"00-00000000000000000000000000000000-b7ad6b7169203331-01", ""},
		{"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", ""},
		{"00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01", ""},
		{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1", ""},
		{"00-0af7651916cd43dd8448eb211c80319cb7ad6b7169203331-0011", ""},
		{"00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01", ""},
		{"0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ""},
		{"", ""},
	} {
		got := ""
		if x, ok := Parse([]byte(c.in)); ok {
			got = string(x.Append(nil))
		}
		if got != c.out {
			t.Errorf("%s: %q, want %q", c.in, got, c.out)
		}
	}
}

func TestCheckState(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "k%d=v,", i)
		}
		return b.String()
	}
	for in, want := range map[string]bool{
		"":                              true,
		" , ,":                          true,
		"a=b":                           true,
		"rojo=00f067aa0ba902b7,congo=t": true,
		"a=b \t, c=d":                   true,
		"0tenant@0vendor=x y;z:/":       true,
		"a_-*/0=!~":                     true,
		many(32):                        true,
		many(33):                        false,
		"a=b,a=c":                       false,
		"a=b|a=c":                       false, // | parts the lines here
		"a=b|c=d":                       true,
		"A=b":                           false,
		"_a=b":                          false,
		"@a=b":                          false,
		"a@=b":                          false,
		"a@_b=b":                        false,
		"a@b@c=b":                       false,
		"a":                             false,
		"a=":                            false,
		"=b":                            false,
		"a=b=c":                         false,
		"a=\x01":                        false,
		"a=\xe9":                        false,
		strings.Repeat("k", 256) + "=" + strings.Repeat("v", 256): true,
		strings.Repeat("k", 257) + "=v":                           false,
		"k=" + strings.Repeat("v", 257):                           false,
	} {
		if got := CheckState(bytes.Split([]byte(in), []byte("|"))...); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

// A list is what it is however it is spread over lines, and one member more never mends
// it.
func FuzzCheckState(f *testing.F) {
	f.Add([]byte("rojo=00f067aa0ba902b7,congo=t"), 3)
	f.Add([]byte(" a@b=c ,, d= e\t"), 9)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		good := CheckState(b)
		if !good && CheckState(b, []byte("x=y")) {
			t.Fatalf("%q is good with another one", b)
		}
		if i := bytes.IndexByte(b, ','); i >= 0 && CheckState(b[:i], b[i+1:]) != good {
			t.Fatalf("%q in two lines is another thing", b)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
	f.Add([]byte("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, ok := Parse(b)
		if !ok {
			if c != (Context{}) {
				t.Fatalf("%q was refused and read", b)
			}
			return
		}
		if again, ok := Parse(c.Append(nil)); !ok || again != c {
			t.Fatalf("%q became %+v", b, again)
		}
	})
}
