package check

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/upstream"
)

// What a body must have it has in its beginning, whatever frames it.
func TestExpect(t *testing.T) {
	page := func(body string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n5\r\n good\r\n0\r\n\r\n"
	lacks := `the answer to GET /healthz begins with "nothing here" and lacks "good"`
	for _, c := range []struct{ name, expect, answer, why string }{
		{"words", "good", page("all good"), ""},
		{"words that are none", "good", page("nothing here"), lacks},
		{"in chunks", "all good", chunked, ""},
		{"until the end of the connection", "good", "HTTP/1.1 200 OK\r\n\r\nall good", ""},
		{"an expression", `/^(ok|fine)\b/`, page("fine!"), ""},
		{"one that does not match", `/^(ok|fine)$/`, page("not fine"), `and lacks "/^(ok|fine)$/"`},
		{"signs of expressions in words", "a.b", page("axb"), `and lacks "a.b"`},
		{"no body", "good", page(""), `has no body and lacks "good"`},
		{"at the end of what is read", "good", page(strings.Repeat("x", MostBody-4) + "good" + strings.Repeat("x", 1000)), ""},
		{"behind it", "good", page(strings.Repeat("x", MostBody) + "good"), "lacks"},
		{"a body that is cut", "good", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nall good", "(body_eof_short)"},
		{"another status", "good", strings.Replace(page("all good"), "200", "500", 1), "is answered with 500"},
	} {
		t.Run(c.name, func(t *testing.T) {
			checked(t, Options{Path: "/healthz", Expect: c.expect, Every: time.Second, Fall: 1}, c.answer, func(n *network, up *upstream.Upstream, changes func() []string) {
				time.Sleep(1500 * time.Millisecond)
				switch got := strings.Join(changes(), "; "); {
				case c.why == "" && got != "":
					t.Errorf("it is well, and %s", got)
				case c.why != "" && !strings.Contains(got, c.why):
					t.Errorf("%q, want %q", got, c.why)
				}
			})
		})
	}
}

func TestParseExpect(t *testing.T) {
	for in, want := range map[string]string{"": "nothing is expected", "/(/": "this is no regular expression: missing closing )"} {
		if _, err := ParseExpect(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestHealthStatus(t *testing.T) {
	message := func(m string) string { return "\x00\x00\x00\x00" + string(rune(len(m))) + m }
	for _, c := range []struct {
		name, in string
		status   int
		wrong    bool
	}{
		{"serving", message("\x08\x01"), 1, false},
		{"not serving", message("\x08\x02"), 2, false},
		{"a default", message(""), 0, false},
		{"a status of later", message("\x08\xff\xff\x01"), len(statuses), false},
		{"the last one counts", message("\x08\x02\x08\x01"), 1, false},
		{"other fields", message("\x12\x02ab\x19........\x25....\x18\x07\x08\x01"), 1, false},
		{"nothing", "", 0, true},
		{"compressed", "\x01\x00\x00\x00\x02\x08\x01", 0, true},
		{"shorter than it says", "\x00\x00\x00\x00\x03\x08\x01", 0, true},
		{"longer than it says", "\x00\x00\x00\x00\x01\x08\x01", 0, true},
		{"a cut key", message("\x88"), 0, true},
		{"a cut number", message("\x08\x80"), 0, true},
		{"cut words", message("\x12\x09ab"), 0, true},
		{"a length beyond all", message("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 0, true},
		{"a cut number of eight bytes", message("\x19."), 0, true},
		{"a group", message("\x0b"), 0, true},
	} {
		got, err := healthStatus([]byte(c.in))
		if (err != nil) != c.wrong || err == nil && got != c.status {
			t.Errorf("%s: %d, %v", c.name, got, err)
		}
	}
	if got := string(healthRequest("a.B")); got != "\x00\x00\x00\x00\x05\x0a\x03a.B" {
		t.Errorf("%q", got)
	}
}

func FuzzHealthStatus(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x02\x08\x01"))
	f.Add([]byte("\x00\x00\x00\x00\x0c\x12\x02ab\x19........"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := healthStatus(b); err == nil && (n < 0 || n > len(statuses)) {
			t.Fatalf("%q is %d", b, n)
		}
	})
}
