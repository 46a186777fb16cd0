package forwarded

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestAppend(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		// The examples of RFC 7239 §4, §6.3, §7.1, §7.4.
		{`for="_gazonk"`, "?"},
		{`For="[2001:db8:cafe::17]:4711"`, "2001:db8:cafe::17"},
		{`for=192.0.2.60;proto=http;by=203.0.113.43`, "192.0.2.60 http"},
		{`for=192.0.2.43, for=198.51.100.17`, "192.0.2.43|198.51.100.17"},
		{`for=_hidden, for=_SEVKISEK`, "?|?"},
		{`for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown`, "192.0.2.43|2001:db8:cafe::17|?"},
		{`for=192.0.2.43, for="[2001:db8:cafe::17]"`, "192.0.2.43|2001:db8:cafe::17"},

		{`for="192.0.2.43:47011";host="a.example:8080";proto=https`, "192.0.2.43 https a.example:8080"},
		{`proto=https;FOR=192.0.2.43`, "192.0.2.43 https"},
		{`for=192.0.2.43;by="_x:_y";ext="a\"b,;c"`, "192.0.2.43"},
		{`host="a\b\"c"`, `? host ab"c`},
		{`for="[::ffff:192.0.2.43]"`, "192.0.2.43"},
		{`for="192.0.2.43:_port"`, "192.0.2.43"},
		{` for=192.0.2.43 ; proto=http `, "192.0.2.43 http"}, // blanks beside ";" are not in the grammar, and nobody can take them for something else
		{`;for=192.0.2.43;;`, "192.0.2.43"},
		{``, ""},
		{`,`, ""},
		{` , for=192.0.2.43,, ,`, "192.0.2.43"},
		{`for=192.0.2.43, ;`, "192.0.2.43|?"},
		{`for=Unknown;by=UNKNOWN`, "?"},
		{`for="unknown:80"`, "?"},
		{`for=192.0.2.43;by=_a;by=_b`, "bad"},
		{`for=192.0.2.43;by=x`, "bad"},

		{`for=192.0.2.43;for=192.0.2.44`, "bad"},
		{`for=2001:db8::1`, "bad"},
		{`for="2001:db8::1"`, "bad"},
		{`for=[2001:db8::1]`, "bad"},
		{`for="[192.0.2.43]"`, "bad"},
		{`for="[fe80::1%eth0]"`, "bad"},
		{`for="[::1"`, "bad"},
		{`for="[::1]x"`, "bad"},
		{`for=192.0.2.43:80`, "bad"}, // a colon is no token
		{`for="192.0.2.43:"`, "bad"},
		{`for="192.0.2.43:123456"`, "bad"},
		{`for=example.org`, "bad"},
		{`for=_`, "bad"},
		{`for=""`, "bad"},
		{`for=`, "bad"},
		{`for`, "bad"},
		{`for =1.1.1.1`, "bad"},
		{`for= 1.1.1.1`, "bad"},
		{`=1.1.1.1`, "bad"},
		{`for="1.1.1.1`, "bad"},
		{`for="1.1.1.1\`, "bad"},
		{"host=\"a\x00\"", "bad"},
		{"host=\"a\\\x19\"", "bad"},
		{"host=\"a\\\tb\"", "? host a\tb"},
		{`for=1.1.1.1 for=2.2.2.2`, "bad"},
		{`for=1.1.1.1"`, "bad"},
	} {
		list, ok := Append(nil, []byte(c.in))
		var s []string
		for _, e := range list {
			one := "?"
			if e.For.IsValid() {
				one = e.For.String()
			}
			if e.Proto != nil {
				one += " " + string(e.Proto)
			}
			if e.Host != nil && e.Proto == nil {
				one += " host"
			}
			if e.Host != nil {
				one += " " + string(e.Host)
			}
			s = append(s, one)
		}
		got := strings.Join(s, "|")
		if !ok {
			got = "bad" + got
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.in, got, c.want)
		}
	}
}

func TestAppendElement(t *testing.T) {
	for _, c := range []struct{ client, host, want string }{
		{"192.0.2.1", "a:80", `for=192.0.2.1;host="a:80";proto=http`},
		{"2001:db8::1", "", `for="[2001:db8::1]";proto=http`},
		{"fe80::1%eth0", `a"\`, `for="[fe80::1]";host="a\"\\";proto=http`},
		{"", "a", `for=unknown;host="a";proto=http`},
	} {
		a, _ := netip.ParseAddr(c.client)
		if got := string(AppendElement(nil, a, []byte(c.host), "http")); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// Elements that were read are the same when they are written and read again, and two
// values in a row are what they are one by one.
func FuzzAppend(f *testing.F) {
	for _, s := range []string{`for="_gazonk"`, `For="[2001:db8:cafe::17]:4711"`, `for=192.0.2.60;proto=http;by=203.0.113.43`, `host="a\b\"c",`, ` ; , `} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		list, ok := Append(nil, b)
		if !ok {
			if list != nil {
				t.Fatalf("%q was refused and read", b)
			}
			return
		}
		var out []byte
		for i, e := range list {
			if i > 0 {
				out = append(out, ", "...)
			}
			out = AppendElement(out, e.For, e.Host, "http")
		}
		again, ok := Append(nil, out)
		if !ok || len(again) != len(list) {
			t.Fatalf("%q was written as %q: %v", b, out, ok)
		}
		for i, e := range list {
			if again[i].For != e.For || string(again[i].Host) != string(e.Host) {
				t.Fatalf("%q: element %d is %s, then %s", b, i, fmt.Sprint(e), fmt.Sprint(again[i]))
			}
		}
	})
}
