package tracecontext

import "testing"

func TestParse(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, c := range []struct{ in, out string }{
		{good, good},
		{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"},
		{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"},
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
