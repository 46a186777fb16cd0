package explain

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dunglas/httpsfv"
	"golang.org/x/net/html"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// private are the strings that a user must never see.
var private = []string{"10.9.8.7", "backend.internal", "203.0.113.77", "secret-path", "secret-route", "secret-pool", "secret-host",
	"x-evidence", "secret-fact", "secret-error", "node-7"}

// privateTrail has one of them wherever a trail can hold one.
func privateTrail(r *fault.Row) *trail.Trail {
	f := &fault.Fault{ID: r.ID, At: r.Phase, Err: errors.New("secret-error"),
		Saw: &fault.Excerpt{Bytes: []byte("x-evidence: 10.9.8.7"), Mark: 3}}
	for _, name := range []string{"address", "endpoint", "host", "value", "line", "field", "got", "names", "size", "coding", "rcode",
		"ede", "alert", "byte", "resolver", "errno", "subject", "issuer", "protocol", "loop"} {
		f.Param = append(f.Param, fault.Param{Name: name, Value: "secret-fact"})
	}
	t := &trail.Trail{Began: began, Client: []byte("203.0.113.77"), Method: []byte("POST"), Authority: []byte("secret-host"),
		Path: []byte("/secret-path"), Route: "secret-route", Status: r.Status, N: 2, Fault: f, Incident: [8]byte([]byte("7K3QM2VX"))}
	for i := range t.Tries() {
		t.Attempts[i] = trail.Attempt{Upstream: "secret-pool", Endpoint: "backend.internal:1", Address: "10.9.8.7:1", Began: 1,
			Connected: 2, Ended: 3, BytesSent: 10, Fault: f, First: []byte("x-evidence: 10.9.8.7")}
	}
	t.Note(fault.HeaderCtl, 20, 0)
	return t
}

// maxPage is the most that a user's page may weigh.
const maxPage = 3 << 10

func TestPublicNeverTells(t *testing.T) {
	for _, r := range fault.Catalogue() {
		a := &Answer{Trail: privateTrail(r), Node: "node-7", Contact: "https://help.example.org/contact", RetryAfter: 30}
		detailed := *a
		detailed.Detail = true
		for f := range formats {
			body := string(Render(nil, a, f))
			for _, word := range append(private, "HTTP/1") {
				if strings.Contains(body, word) {
					t.Errorf("%s, format %d tells %q:\n%s", r.ID, f, word, body)
				}
			}
			if rest := strings.ReplaceAll(body, "urn:gatewhy:", ""); strings.Contains(strings.ToLower(rest), "gatewhy") {
				t.Errorf("%s, format %d names the product:\n%s", r.ID, f, body)
			}
			if !strings.Contains(body, string(r.ID)) || !strings.Contains(body, "7K3QM2VX") {
				t.Errorf("%s, format %d lacks fault or incident:\n%s", r.ID, f, body)
			}
			if f == HTML && len(body) >= maxPage {
				t.Errorf("%s: the page has %d bytes", r.ID, len(body))
			}
			// The same words stand where they should, or this test could not fail.
			if all := string(Render(nil, &detailed, f)); !strings.Contains(all, "10.9.8.7") || !strings.Contains(all, "secret-error") {
				t.Errorf("%s, format %d tells operators too little:\n%s", r.ID, f, all)
			}
		}
		if status := string(ProxyStatus(nil, a)); strings.Contains(status, "secret") || strings.Contains(status, "10.9.8.7") ||
			strings.Contains(status, "rule=") {
			t.Errorf("%s: %s", r.ID, status)
		}
	}
}

// elements parses a page and returns its elements in order.
func elements(t *testing.T, page []byte) (list []*html.Node) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(string(page)))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			list = append(list, n)
		}
	}
	return list
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

var allowedElements = map[string]bool{"html": true, "head": true, "meta": true, "title": true, "style": true, "body": true,
	"main": true, "h1": true, "p": true, "ol": true, "li": true, "br": true, "small": true, "strong": true, "code": true, "a": true,
	"hr": true, "h2": true, "h3": true, "table": true, "tbody": true, "tr": true, "td": true, "th": true, "pre": true, "mark": true, "ul": true}

// A page needs nothing else, runs nothing, and says by words who is to blame.
func TestPageForUsers(t *testing.T) {
	for _, r := range fault.Catalogue() {
		x := privateTrail(r)
		x.N = 0
		bad, parties := 0, 0
		for _, n := range elements(t, Render(nil, &Answer{Trail: x}, HTML)) {
			if !allowedElements[n.Data] {
				t.Errorf("%s: element %s", r.ID, n.Data)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "src" || a.Key == "href" {
					t.Errorf("%s: attribute %s=%q", r.ID, a.Key, a.Val)
				}
			}
			if n.Data == "html" && attribute(n, "lang") != "en" {
				t.Errorf("%s: language %q", r.ID, attribute(n, "lang"))
			}
			if n.Data == "li" {
				parties++
				if attribute(n, "class") == "bad" {
					bad++
				}
			}
		}
		if want := min(1, int(r.Side)); parties != 3 || bad != want {
			t.Errorf("%s: %d parties, %d at fault, want 3 and %d", r.ID, parties, bad, want)
		}
	}
}

func TestContact(t *testing.T) {
	for contact, href := range map[string]string{"help@example.org": "mailto:help@example.org", "https://a/b?c=d": "https://a/b?c=d",
		"the desk in room 5": "", "javascript:alert(1)": "", "a@b?bcc=c@d": "", `https://a"onclick="x`: `https://a"onclick="x`} {
		page := Render(nil, &Answer{Trail: privateTrail(fault.Lookup(fault.ConnectRefused)), Contact: contact}, HTML)
		got := ""
		for _, n := range elements(t, page) {
			if n.Data == "a" {
				got = attribute(n, "href")
				if len(n.Attr) != 1 {
					t.Errorf("%q: attributes %v", contact, n.Attr)
				}
			}
		}
		if got != href {
			t.Errorf("%q: link %q, want %q", contact, got, href)
		}
	}
}

// hostile is a trail in which peers wrote whatever s says, wherever they can.
func hostile(s string) *trail.Trail {
	t := privateTrail(fault.Lookup(fault.HeaderNameBadChar))
	t.Method, t.Authority, t.Path, t.Client, t.Route = []byte(s), []byte(s), []byte(s), []byte(s), s
	for i := range t.Fault.Param {
		t.Fault.Param[i].Value = s
	}
	t.Fault.Err = errors.New(s)
	t.Fault.Saw = &fault.Excerpt{Bytes: []byte(s), Mark: int64(len(s) / 2)}
	for i := range t.Tries() {
		t.Attempts[i].Address, t.Attempts[i].Endpoint, t.Attempts[i].First = s, s, []byte(s)
	}
	return t
}

var hostileWords = []string{"<script>alert(1)</script>", "</pre></table><img src=x onerror=y>", "\x1b[2J\x1b]0;x\x07", "\u009b31m",
	"a\nb\r\n---\n# heading", "\u202egnp.exe", "\xff\xfe\xc0\x80", "```\n", `"; error=x; "`, "\x00", strings.Repeat("A", 5000), "🙂ü\u2028"}

func FuzzHostile(f *testing.F) {
	for _, s := range hostileWords {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		x := hostile(s)
		a := &Answer{Trail: x, Node: s, Detail: true, Contact: s}
		for format := range formats {
			body := Render(nil, a, format)
			if !utf8.Valid(body) {
				t.Fatalf("format %d is no UTF-8: %q", format, body)
			}
			for _, c := range string(body) {
				if c != '\n' && (c < ' ' || c >= 0x7f && isHostile(c)) {
					t.Fatalf("format %d has raw %U: %q", format, c, body)
				}
			}
			switch format {
			case HTML:
				for _, n := range elements(t, body) {
					if !allowedElements[n.Data] {
						t.Fatalf("element %s in %q", n.Data, body)
					}
				}
			case Problem:
				var got problem
				if err := json.Unmarshal(body, &got); err != nil {
					t.Fatalf("%v: %q", err, body)
				}
			case Markdown:
				// Behind the front matter and its sentences all is in the block.
				_, block, _ := strings.Cut(strings.TrimPrefix(string(body), "---\n"), "---\n\n")
				for i, line := range strings.Split(strings.TrimSuffix(block, "\n"), "\n") {
					if i > 0 && line != "" && !strings.HasPrefix(line, "    ") {
						t.Fatalf("markup %q in %q", line, body)
					}
				}
			}
		}
		for _, list := range [][]byte{ProxyStatus(nil, a), Received(nil, s, 502)} {
			if _, err := httpsfv.UnmarshalList([]string{string(list)}); err != nil {
				t.Fatalf("%v: %q", err, list)
			}
		}
		var out strings.Builder
		Incident(&out, x, true)
		for i, c := range out.String() {
			if c == 0x1b && isColour(out.String()[i:]) || c == '\n' {
				continue
			}
			if c < ' ' || c >= 0x7f && isHostile(c) {
				t.Fatalf("the terminal would get raw %U: %q", c, out.String())
			}
		}
	})
}

// isColour reports whether s begins with one of our own escape sequences.
func isColour(s string) bool {
	for _, code := range []string{"0", "1", "2", "31"} {
		if strings.HasPrefix(s, "\x1b["+code+"m") {
			return true
		}
	}
	return false
}
