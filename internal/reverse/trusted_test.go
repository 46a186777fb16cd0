package reverse

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// Who the client is is what trusted proxies say, and nobody else; all that goes on is
// true.
func TestTrustedProxies(t *testing.T) {
	const proxy, stranger = "10.1.2.3", "203.0.113.9"
	for _, tt := range []struct {
		name, peer, fields string
		client, scheme     string
		on                 []string // fields that go on
		detail             bool     // the client may see operator detail
	}{
		{"nobody speaks", proxy, "", proxy, "http", []string{"X-Forwarded-For: " + proxy, "X-Forwarded-Host: a", "X-Forwarded-Proto: http"}, false},
		{"a proxy speaks", proxy, "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b.test\r\n", "198.51.100.7", "https",
			[]string{"X-Forwarded-For: 198.51.100.7, " + proxy, "X-Forwarded-Host: b.test", "X-Forwarded-Proto: https"}, false},
		{"a stranger lies", stranger, "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b.test\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\n",
			stranger, "http", []string{"X-Forwarded-For: " + stranger, "X-Forwarded-Host: a", "X-Forwarded-Proto: http"}, false},
		{"a client lies to a proxy", proxy, "X-Forwarded-For: 127.0.0.1, 198.51.100.7\r\n", "198.51.100.7", "http",
			[]string{"X-Forwarded-For: 127.0.0.1, 198.51.100.7, " + proxy}, false},
		{"two proxies", proxy, "X-Forwarded-For: 1.1.1.1, 198.51.100.7, 10.9.9.9\r\n", "198.51.100.7", "http",
			[]string{"X-Forwarded-For: 1.1.1.1, 198.51.100.7, 10.9.9.9, " + proxy}, false},
		{"in several lines", proxy, "X-Forwarded-For: 1.1.1.1\r\nX-A: b\r\nX-Forwarded-For:198.51.100.7 ,10.9.9.9\r\n", "198.51.100.7", "http",
			[]string{"X-Forwarded-For: 1.1.1.1, 198.51.100.7 ,10.9.9.9, " + proxy}, false},
		{"only proxies", proxy, "X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n", "10.0.0.1", "http", nil, false},
		{"no address", proxy, "X-Forwarded-For: 198.51.100.7, unknown, 10.0.0.2\r\n", "10.0.0.2", "http", nil, false},
		{"rubbish", proxy, "X-Forwarded-For: , ,,\r\nX-Forwarded-Proto: ftp\r\nX-Forwarded-Host: a, b\r\n", proxy, "http",
			[]string{"X-Forwarded-Host: a", "X-Forwarded-Proto: http"}, false},
		{"empty", proxy, "X-Forwarded-For:\r\nX-Forwarded-Host:\r\n", proxy, "http", []string{"X-Forwarded-For: " + proxy, "X-Forwarded-Host: a"}, false},
		{"ports and brackets", proxy, "X-Forwarded-For: 198.51.100.7:1234, [2001:db8:1::5]:80, [2001:db8::6]\r\n", "198.51.100.7", "http", nil, false},
		{"IPv6", "2001:db8::1", "X-Forwarded-For: 2001:db9::5\r\n", "2001:db9::5", "http", []string{"X-Forwarded-For: 2001:db9::5, 2001:db8::1"}, false},
		{"mapped IPv4", proxy, "X-Forwarded-For: ::ffff:198.51.100.7\r\n", "198.51.100.7", "http", nil, false},
		{"a zone", proxy, "X-Forwarded-For: fe80::1%eth0\r\n", proxy, "http", nil, false},
		{"too long", proxy, "X-Forwarded-For: " + strings.Repeat("1", 500) + "\r\n", proxy, "http", nil, false},
		{"the last scheme counts", proxy, "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: http, HTTPS\r\n", "198.51.100.7", "https", []string{"X-Forwarded-Proto: https"}, false},
		{"this machine", "127.0.0.1", "", "127.0.0.1", "http", nil, true},
		{"this machine, for somebody else", "127.0.0.1", "X-Forwarded-For: 198.51.100.7\r\n", "127.0.0.1", "http", []string{"X-Forwarded-For: 127.0.0.1"}, false},
		{"a proxy, for this machine", proxy, "X-Forwarded-For: 127.0.0.1\r\n", "127.0.0.1", "http", nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var head string
			s := defaults(func(c *peer, _ int) {
				head = c.head()
				c.say(okAnswer)
				c.Close()
			})
			s.Client.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
			s.play(t, func(st *stage) {
				c := st.clientFrom(tt.peer)
				c.say("GET / HTTP/1.1\r\nHost: a\r\n" + tt.fields + "\r\n")
				if a := c.answer("GET"); a.Status != 200 {
					t.Errorf("%+v", a)
				}
				tr := st.last()
				if string(tr.Client) != tt.client || tr.Scheme != tt.scheme || tr.Trusted != tt.detail {
					t.Errorf("the client is %s over %s, detail %v; want %s over %s, %v", tr.Client, tr.Scheme, tr.Trusted, tt.client, tt.scheme, tt.detail)
				}
				lines := strings.Split(head, "\r\n")
				for _, want := range tt.on {
					if !slices.Contains(lines, want) {
						t.Errorf("%q does not go on: %q", want, head)
					}
				}
				for _, name := range []string{"X-Forwarded-For: ", "X-Forwarded-Host: ", "X-Forwarded-Proto: ", "X-Forwarded-Port: ", "X-Real-IP: "} {
					if n := strings.Count(head, name); n != 1 {
						t.Errorf("%d lines of %s", n, name)
					}
				}
				if strings.Contains(head, "\r\nForwarded: ") || !slices.Contains(lines, "X-Real-IP: "+tt.client) {
					t.Errorf("what a stranger says goes on: %q", head)
				}
			})
		})
	}
}
