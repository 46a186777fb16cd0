package message

import (
	"bytes"
	"strings"
	"testing"
)

var masked = []struct{ name, raw, want string }{
	{"nothing secret", "GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"authorization", "GET / HTTP/1.1\r\nAuthorization: Bearer abc\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nAuthorization: xxxxxx xxx\r\nHost: a\r\n\r\n"},
	{"any case", "proxy-AUTHORIZATION:abc\r\n", "proxy-AUTHORIZATION:xxx\r\n"},
	{"cookies keep their names", "Cookie: sid=abc; theme=dark\r\n", "Cookie: sid=xxx; theme=xxxx\r\n"},
	{"cookie without a name", "Cookie: abc; a=b\r\n", "Cookie: xxx; a=x\r\n"},
	{"cookie that only looks named", "Cookie: c2VjcmV0==\r\n", "Cookie: xxxxxxxxxx\r\n"},
	{"set-cookie keeps attributes", "Set-Cookie: id=abc; Path=/shop; HttpOnly; Max-Age=5\r\n",
		"Set-Cookie: id=xxx; Path=/shop; HttpOnly; Max-Age=5\r\n"},
	{"an attribute's name does not excuse a cookie", "Set-Cookie: path=abc\r\n", "Set-Cookie: path=xxx\r\n"},
	{"names that speak", "X-Api-Key: k\r\nX-CSRF-Token: t\r\nMy-Session-Id: s\r\nX-Key: v\r\n",
		"X-Api-Key: x\r\nX-CSRF-Token: x\r\nMy-Session-Id: x\r\nX-Key: v\r\n"},
	{"query of a request line", "GET /a?user=bob&access_token=abc&x=1 HTTP/1.1\r\n", "GET /a?user=bob&access_token=xxx&x=1 HTTP/1.1\r\n"},
	{"query of a Location", "HTTP/1.1 302 Found\r\nLocation: https://a/b?password=p#top\r\n",
		"HTTP/1.1 302 Found\r\nLocation: https://a/b?password=x#top\r\n"},
	{"user information", "Location: https://bob:pw@a/b\r\n", "Location: https://xxxxxx@a/b\r\n"},
	{"continuation line", "Authorization: Digest\r\n response=abc\r\nHost: a\r\n", "Authorization: xxxxxx\r\n xxxxxxxxxxxx\r\nHost: a\r\n"},
	{"bare LF", "Host: a\nAuthorization: abc\nHost: a\n", "Host: a\nAuthorization: xxx\nHost: a\n"},
	{"bare CR before the name", "Host: a\rAuthorization: abc\r\n", "Host: a\rAuthorization: xxx\r\n"},
	{"bare CR in the value", "Authorization: abc\rdef\r\n", "Authorization: xxx\rxxx\r\n"},
	{"NUL in the value stays", "Authorization: ab\x00c\r\n", "Authorization: xx\x00x\r\n"},
	{"no colon", "HTTP/1.1 200 OK\r\nAuthorization Bearer abc:def\r\n", "HTTP/1.1 200 OK\r\nAuthorization xxxxxx xxxxxxx\r\n"},
	{"space in the name", "HTTP/1.1 200 OK\r\nX-Bad Token: abc\r\n", "HTTP/1.1 200 OK\r\nX-Bad Token: xxx\r\n"},
	{"space before the colon", "Authorization : abc\r\n", "Authorization : xxx\r\n"},
	{"reason phrases are no names", "HTTP/1.1 407 Proxy Authentication Required\r\n", "HTTP/1.1 407 Proxy Authentication Required\r\n"},
	{"nor are paths", "GET /auth HTTP/1.1\r\n", "GET /auth HTTP/1.1\r\n"},
	{"final head behind an interim one", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 Unauthorized x\r\nX-Token: a\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 Unauthorized x\r\nX-Token: x\r\n"},
	{"cut in the value", "Authorization: Bear", "Authorization: xxxx"},
	{"cut in the name", "Authoriz", "Authoriz"},
	{"parameters that are secret as a whole name", "GET /a?sig=ab&design=cd&code=ef&pass=gh HTTP/1.1\r\n",
		"GET /a?sig=xx&design=cd&code=xx&pass=xx HTTP/1.1\r\n"},
	{"members of JSON", `{"user":"bob","password": "a\"b c","access_token":"x=,}","pin":1234,"code":"E1"}`,
		`{"user":"bob","password": "xxxx x","access_token":"xxxx","pin":xxxx,"code":"E1"}`},
	{"JSON in JSON", `{"log":"{\"token\":\"a b\",\"n\":1}"}`, `{"log":"{\"token\":\"x xx",\"n\":1}"}`},
	{"JSON without an end", `{"n":1,"secret":"abc`, `{"n":1,"secret":"xxx`},
	{"a secret list", `{"n":1,"tokens":["abc","def"],"m":1}`, `{"n":1,"tokens":xxxxxxxxxxxx],"m":1}`},
	{"form", "password=hunter2&user=bob", "password=xxxxxxxxxxxxxxxx"},
}

func TestMask(t *testing.T) {
	for _, c := range masked {
		t.Run(c.name, func(t *testing.T) {
			raw := []byte(c.raw)
			if got := string(Mask([]byte("dst"), raw)); got != "dst"+c.want {
				t.Errorf("got  %q\nwant %q", got, "dst"+c.want)
			}
			if string(raw) != c.raw {
				t.Errorf("the input was changed: %q", raw)
			}
		})
	}
}

// Whatever the head looks like: length and white space stay, a second pass
// finds nothing more.
func FuzzMask(f *testing.F) {
	for _, c := range masked {
		f.Add([]byte(c.raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got := Mask(nil, raw)
		if len(got) != len(raw) {
			t.Fatalf("length %d became %d", len(raw), len(got))
		}
		for i := range got {
			if got[i] != raw[i] && (got[i] != 'x' || raw[i] <= ' ' || raw[i] == 0x7f) {
				t.Fatalf("byte %d: %q became %q", i, raw[i], got[i])
			}
		}
		if again := Mask(nil, got); !bytes.Equal(again, got) {
			t.Fatalf("not idempotent:\n%q\n%q", got, again)
		}
	})
}

// A secret behind a name that speaks of one does not survive, whatever stands
// before and behind it.
func FuzzMaskPlanted(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a"), []byte(": Bearer "), []byte("\r\n\r\n"), uint8(0))
	f.Add([]byte("HTTP/1.1 200 OK\r\nbroken line\r\n folded"), []byte(" : "), []byte("\x00\r"), uint8(3))
	f.Add([]byte("A: b\rC"), []byte("="), []byte(""), uint8(5))
	f.Add([]byte("HTTP/1.1 200 OK\nSet-Cookie: a=b;"), []byte("\t"), []byte("\n x"), uint8(9))
	names := []string{"Authorization", "proxy-authorization", "Cookie: sid", "set-cookie: a", "X-Api-Key", "x-auth-token",
		"Client-Secret", "X-Session", "X-Password", "GET /?access_token", "{\"a\":1,\"password\": \""}
	const secret = "hunter2hunter2"
	f.Fuzz(func(t *testing.T, before, gap, behind []byte, n uint8) {
		name := names[int(n)%len(names)]
		// Between name and value: only what a broken sender may put there.
		for _, c := range gap {
			if !strings.ContainsRune(" \t:=", rune(c)) {
				return
			}
		}
		if strings.HasPrefix(name, "GET") || strings.Contains(name, ":") {
			gap = []byte("=")
		} else if len(gap) == 0 {
			gap = []byte(":")
		}
		raw := append([]byte{}, before...)
		if len(raw) > 0 {
			raw = append(raw, '\n')
		}
		raw = append(append(append(append(raw, name...), gap...), secret...), behind...)
		if bytes.Contains(before, []byte(secret)) || bytes.Contains(behind, []byte(secret)) {
			return
		}
		if got := Mask(nil, raw); bytes.Contains(got, []byte(secret)) {
			t.Fatalf("the secret survived in %q", got)
		}
	})
}
