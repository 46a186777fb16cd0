package exchange

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatewhy/gatewhy/internal/message"
)

// asking is an exchange whose request has these Cookie fields.
func asking(cookies ...string) *Exchange {
	x := &Exchange{}
	h := &x.Request.Head
	for _, c := range cookies {
		h.Fields = append(h.Fields, message.Field{ID: message.Cookie, Value: message.Span{Off: uint32(len(h.Raw)), Len: uint32(len(c))}})
		h.Raw = append(h.Raw, c...)
	}
	return x
}

// left are the Cookie fields that go on.
func left(x *Exchange) (list []string) {
	h := &x.Request.Head
	for i := range h.Fields {
		if h.Fields[i].Flags&message.Drop == 0 {
			list = append(list, string(h.Bytes(h.Fields[i].Value)))
		}
	}
	return list
}

func TestTakeCookie(t *testing.T) {
	for _, tt := range []struct {
		in    []string
		value string
		left  []string
	}{
		{nil, "", nil},
		{[]string{"a=1; b=2"}, "", []string{"a=1; b=2"}},
		{[]string{"srv=x"}, "x", nil},
		{[]string{"srv=x; a=1"}, "x", []string{"a=1"}},
		{[]string{"a=1; srv=x"}, "x", []string{"a=1"}},
		{[]string{"a=1; srv=x; b=2"}, "x", []string{"a=1; b=2"}},
		{[]string{"a=1;b=2;srv=x;c=3"}, "x", []string{"a=1;b=2;c=3"}},
		{[]string{"srv=x; srv=y; a=1; srv=z"}, "x", []string{"a=1"}},
		{[]string{"a=1", "srv=x", "b=2; srv=y"}, "x", []string{"a=1", "b=2"}},
		{[]string{"xsrv=1; srvx=2; a=srv=3; srv"}, "", []string{"xsrv=1; srvx=2; a=srv=3; srv"}},
		{[]string{"  srv = x ; a=1"}, "", []string{"  srv = x ; a=1"}}, // "srv " is another name
		{[]string{"a=1; srv=" + strings.Repeat("y", 33)}, "", []string{"a=1"}},
		{[]string{"srv=; a=1"}, "", []string{"a=1"}},
		{[]string{";;srv=x;;"}, "x", []string{";;;"}},
	} {
		x := asking(tt.in...)
		var dst [32]byte
		value := x.TakeCookie("srv", &dst)
		if got := left(x); string(value) != tt.value || !slices.Equal(got, tt.left) {
			t.Errorf("%q: %q and %q are left, want %q and %q", tt.in, value, got, tt.value, tt.left)
		}
	}
}

// The cookie is found as Cookie finds it, and taken out; the others stay as they were.
func FuzzTakeCookie(f *testing.F) {
	for _, s := range []string{"", "a=1; srv=x; b=2", "srv=x", ";;srv=;", " srv=1;srv=2 ; c", "srv=x;", "a=1;\r\n srv=2"} {
		f.Add(s)
	}
	cookies := func(s, but string) (list []string) {
		for one := range strings.SplitSeq(s, ";") {
			one = strings.TrimSpace(one)
			if k, _, ok := strings.Cut(one, "="); one != "" && !(ok && k == but) {
				list = append(list, one)
			}
		}
		return list
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := string(asking(s).Cookie("srv"))
		x := asking(s)
		var dst [32]byte
		if got := string(x.TakeCookie("srv", &dst)); got != want && len(want) <= len(dst) && want != "" {
			// Where the first one is too long the next one counts, and is as good as none.
			t.Errorf("%q: %q, want %q", s, got, want)
		}
		got := ""
		if l := left(x); len(l) > 0 {
			got = l[0]
		}
		if a, b := cookies(s, "srv"), cookies(got, "none of this name"); !slices.Equal(a, b) && asking(s).Cookie("srv") != nil {
			t.Errorf("%q leaves %q, want %q", s, b, a)
		}
		if x.Cookie("srv") != nil {
			t.Errorf("%q: it is still there in %q", s, got)
		}
	})
}

func TestTakeCookieAllocatesNothing(t *testing.T) {
	x := asking("theme=dark; srv=abcdefghabcdefgh; session=1234")
	raw := slices.Clone(x.Request.Head.Raw)
	fields := slices.Clone(x.Request.Head.Fields)
	var dst [32]byte
	if n := testing.AllocsPerRun(100, func() {
		copy(x.Request.Head.Raw, raw)
		copy(x.Request.Head.Fields, fields)
		if string(x.TakeCookie("srv", &dst)) != "abcdefghabcdefgh" {
			t.Fatal("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
