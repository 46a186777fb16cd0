package reverse

import (
	"fmt"
	"testing"

	"github.com/gatewhy/gatewhy/internal/upstream"
)

// What hashing goes by decides where a request goes, and nothing else of it does.
func TestHashedChoice(t *testing.T) {
	ask := func(path, fields string) string { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" }
	for _, tt := range []struct {
		key string
		// request is that of a user, differing from others of the same in i only.
		request func(user, i int) (ip, raw string)
	}{
		{"client", func(user, i int) (string, string) {
			return fmt.Sprintf("203.0.113.%d", user), ask(fmt.Sprint("/", i), fmt.Sprintf("Cookie: sid=%d\r\n", i))
		}},
		{"path", func(user, i int) (string, string) {
			return fmt.Sprintf("203.0.113.%d", i), ask(fmt.Sprintf("/%d?%d", user, i), "")
		}},
		{"field:x-user", func(user, i int) (string, string) {
			return fmt.Sprintf("203.0.113.%d", i), ask(fmt.Sprint("/", i), fmt.Sprintf("X-User: %d\r\n", user))
		}},
		{"cookie:sid", func(user, i int) (string, string) {
			return fmt.Sprintf("203.0.113.%d", i), ask("/", fmt.Sprintf("Cookie: a=%d; sid=%d\r\nCookie: xsid=%d\r\n", i, user, i))
		}},
		{"cookie:none", func(user, i int) (string, string) { // without it the client counts
			return fmt.Sprintf("203.0.113.%d", user), ask("/", fmt.Sprintf("Cookie: a=%d\r\n", i))
		}},
	} {
		t.Run(tt.key, func(t *testing.T) {
			s := defaults(ok, ok, ok)
			s.Balance = upstream.Hash
			var err error
			if s.Key, err = upstream.ParseKey(tt.key); err != nil {
				t.Fatal(err)
			}
			s.play(t, func(st *stage) {
				taken := map[string]bool{}
				for user := range 12 {
					at := ""
					for i := range 4 {
						ip, raw := tt.request(user+1, i+1)
						c := st.clientFrom(ip)
						c.say(raw)
						if a := c.answer("GET"); a.Status != 200 {
							t.Fatalf("%+v", a)
						}
						c.Close()
						got := st.last().Attempts[0].Endpoint
						if at == "" {
							at = got
						}
						if got != at {
							t.Errorf("user %d was at %s and is at %s", user, at, got)
						}
					}
					taken[at] = true
				}
				if len(taken) != 3 {
					t.Errorf("12 users are at %d of 3 endpoints", len(taken))
				}
			})
		})
	}
}
