package reverse

import (
	"slices"
	"strings"
	"testing"
)

// OPTIONS and TRACE pass as many gateways as Max-Forwards allows (RFC 9110 §7.6.2).
func TestMaxForwards(t *testing.T) {
	for _, tt := range []struct {
		method, came string
		went         string // "" if the gateway answered itself
	}{
		{"OPTIONS", "Max-Forwards: 5", "Max-Forwards: 4"},
		{"OPTIONS", "Max-Forwards:1", "Max-Forwards:0"},
		{"TRACE", "Max-Forwards: 10", "Max-Forwards:  9"},
		{"TRACE", "Max-Forwards: 1000", "Max-Forwards:  999"},
		{"TRACE", "Max-Forwards: 120", "Max-Forwards: 119"},
		{"TRACE", "Max-Forwards: 99999999999999999999999990", "Max-Forwards: 99999999999999999999999989"},
		{"OPTIONS", "Max-Forwards: many", "Max-Forwards: many"},
		{"OPTIONS", "Max-Forwards: -1", "Max-Forwards: -1"},
		{"OPTIONS", "Max-Forwards:", "Max-Forwards:"},
		{"GET", "Max-Forwards: 0", "Max-Forwards: 0"},
		{"OPTIONS", "Max-Forwards: 0", ""},
		{"TRACE", "Max-Forwards: 000", ""},
		{"TRACE", "Max-Forwards: 3\r\nMax-Forwards: 0", ""},
	} {
		var got string
		origin := func(c *peer, _ int) {
			got = c.head()
			c.say(okAnswer)
			c.Close()
		}
		defaults(origin).play(t, func(st *stage) {
			got = ""
			raw := tt.method + " / HTTP/1.1\r\nHost: a\r\nCookie: sid=secret\r\n" + tt.came + "\r\n\r\n"
			c := st.client()
			c.say(raw)
			a := c.answer(tt.method)
			if a.Status != 200 || a.Cut || a.Close {
				t.Errorf("%s %s: %+v", tt.method, tt.came, a)
			}
			if tt.went != "" {
				if !slices.Contains(strings.Split(got, "\r\n"), tt.went) {
					t.Errorf("%s %s: went on as %q", tt.method, tt.came, got)
				}
				return
			}
			want := ""
			if tt.method == "TRACE" {
				want = strings.Replace(raw, "secret", "xxxxxx", 1)
			}
			if got != "" || a.Body != want || a.Header.Get("Date") == "" {
				t.Errorf("%s %s: %+v, and %q went on", tt.method, tt.came, a, got)
			}
			c.say(get("/next"))
			if a := c.answer("GET"); a.Status != 200 || !strings.HasPrefix(got, "GET /next ") {
				t.Errorf("the next exchange: %+v, %q", a, got)
			}
		})
	}
}

// An upgrade to what would carry more requests past us is not passed on.
func TestUpgradeToHTTP(t *testing.T) {
	for _, upgrade := range []string{"Upgrade: h2c", "Upgrade: websocket, H2C", "Upgrade: websocket\r\nUpgrade: h2c", "Upgrade: HTTP/2.0",
		"Upgrade: TLS/1.2", "Upgrade: foo ,\th2", "Upgrade:"} {
		var got string
		origin := func(c *peer, _ int) {
			got = c.head()
			c.say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nPRI")
			c.Close()
		}
		defaults(origin).play(t, func(st *stage) {
			a := st.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n" + upgrade + "\r\n\r\n")
			if a.Status != 502 || strings.Contains(strings.ToLower(got), "upgrade") || strings.Contains(got, "HTTP2") {
				t.Errorf("%s: %d, went on as %q", upgrade, a.Status, got)
			}
		})
	}
}
