package explain

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (write it anew with -update):\n%s", file, d)
	}
}

// rows are the catalogue of the golden files: the real one may be worded better
// any day, and that is not for these tests to judge.
var rows = map[fault.ID]*fault.Row{}

func init() {
	for _, r := range []fault.Row{
		{ID: "bad_name", Phase: fault.Head, Side: fault.Upstream, Class: fault.ClassBadAnswer, Status: 502,
			Proxy: "http_protocol_error", Retry: fault.RI, Rule: "RFC 9110 §5.6.2",
			Requires: "A field name is a token: letters, digits and ! # $ % & ' * + - . ^ _ ` | ~ and no space. Lenient parsers disagree about where such a name ends.",
			Title:    "the upstream's answer has a character in a header name that HTTP forbids",
			Saw:      "offset {offset} holds {byte} in the line {line}; {unknown}",
			Causes:   []string{"the application uses a label for people as a name", "a log line got into the head"},
			Fix:      []string{"rename the field in the application, for example `X-Bad Header` to `X-Bad-Header`"},
			Bearing:  "--retry-attempts helps if another instance runs different code", Related: []fault.ID{"refused", "cut_short"},
			Example: "HTTP/1.1 200 OK\r\nX-Bad Header: 1\r\n\r\n", Mark: 22, Nginx: "502, `upstream sent invalid header`", HAProxy: "502, PH"},
		{ID: "refused", Phase: fault.Connect, Side: fault.Upstream, Class: fault.ClassUnreachable, Status: 502,
			Proxy: "connection_refused", Retry: fault.RC, Rule: "RFC 9293 §3.10.7", Requires: "A service listens on its port.",
			Title: "nothing listens on the upstream's port", Saw: "the connect to {address} was refused",
			Causes: []string{"the application is not running"}, Fix: []string{"see what listens: `ss -ltnp`"}, Mark: -1},
		{ID: "cut_short", Phase: fault.Body, Side: fault.Upstream, Class: fault.ClassNoAnswer, Status: 502,
			Proxy: "http_response_incomplete", Retry: fault.RI, Rule: "RFC 9112 §8", Requires: "A body has as many bytes as Content-Length says.",
			Title: "the upstream closed the connection before its answer was complete", Saw: "the connection ended after {received} of {want} bytes",
			Causes: []string{"the worker crashed"}, Fix: []string{"look in its log"}, Mark: -1},
		{ID: "bare_lf", Phase: fault.Head, Side: fault.Upstream, Class: fault.ClassBadAnswer, Kind: fault.Repair, Status: 502,
			Proxy: "http_protocol_error", Retry: fault.RI, Rule: "RFC 9112 §2.2", Requires: "A line ends in CR LF.",
			Title: "a line ends in LF without CR", Saw: "at {offset}", Causes: []string{"`\\n`"}, Fix: []string{"`\\r\\n`"},
			Example: "HTTP/1.1 200 OK\r\nX-A: 1\nX-B: 2\r\n\r\n", Mark: 23},
		{ID: "bad_request", Phase: fault.Parse, Side: fault.Client, Class: fault.ClassBadRequest, Status: 400,
			Proxy: "http_request_error", Retry: fault.NoRetry, Rule: "RFC 9112 §3", Requires: "A method is a token.",
			Title: "the client's request line is malformed", Saw: "offset {offset}: {flaw}", Causes: []string{"no HTTP client"},
			Fix: []string{"use one"}, Example: "G\x00T / HTTP/1.1\r\n\r\n", Mark: 1},
		{ID: "shed", Phase: fault.Admit, Side: fault.Gateway, Class: fault.ClassBusy, Status: 503, Proxy: "proxy_internal_response",
			Retry: fault.RL, Rule: "RFC 9110 §15.6.4", Requires: "A server may refuse.", Title: "there is too much to do",
			Saw: "{limit} exchanges at a time", Causes: []string{"load"}, Fix: []string{"raise the limit"}, Mark: -1},
	} {
		rows[r.ID] = &r
	}
}

func testRow(id fault.ID) *fault.Row {
	if r := rows[id]; r != nil {
		return r
	}
	return rows["shed"]
}

const began = 1795338847221_000_000 // 2026-11-22T09:14:07.221Z

var badHead = []byte("HTTP/1.1 200 OK\r\nX-Bad Header: 1\r\nContent-Length: 2\r\n\r\nhi")

// badAnswer is the incident of the design's example: two endpoints, the same answer.
func badAnswer() *trail.Trail {
	f := &fault.Fault{ID: "bad_name", At: fault.Head, Param: []fault.Param{{Name: "offset", Value: "22"},
		{Name: "byte", Value: "0x20 (space)"}, {Name: "line", Value: `"X-Bad Header: 1"`}},
		Saw: &fault.Excerpt{Bytes: badHead[10:], Base: 10, Mark: 22}}
	t := &trail.Trail{Began: began, Client: []byte("203.0.113.9"), Method: []byte("GET"), Scheme: "http",
		Authority: []byte("shop.example.org"), Path: []byte("/cart?page=2"), Minor: 1, Route: "cart-route",
		HeadRead: 100_000, BodyRead: 100_000, Answered: 31_200_000, Ended: 31_300_000, Status: 502, UpstreamStatus: 200,
		In: 412, Out: 1893, N: 2, Fault: f, Incident: [8]byte([]byte("7K3QM2VX"))}
	t.Attempts[0] = trail.Attempt{Upstream: "cart-pool", Endpoint: "cart.internal:8080", Address: "10.0.0.11:8080", Reused: true,
		Serial: 3, Idle: 2_104_000_000, Began: 400_000, Sent: 500_000, FirstByte: 14_000_000, Ended: 14_800_000, BytesSent: 412,
		BytesReceived: 57, Fault: &fault.Fault{ID: "bad_name", At: fault.Head, Saw: f.Saw}, First: badHead}
	t.Attempts[1] = t.Attempts[0]
	a := &t.Attempts[1]
	a.Address, a.Reused, a.Began, a.Connected, a.Sent, a.FirstByte, a.Ended, a.Fault = "10.0.0.12:8080", false, 15_200_000,
		16_100_000, 16_300_000, 28_000_000, 30_800_000, f
	t.Note("bare_lf", 15, 0)
	return t
}

// refusedPost met a closed port: nothing was sent.
func refusedPost() *trail.Trail {
	t := badAnswer()
	t.Method, t.N, t.NNotice, t.UpstreamStatus = []byte("POST"), 1, 0, 0
	t.Fault = &fault.Fault{ID: "refused", At: fault.Connect, Param: []fault.Param{{Name: "address", Value: "10.0.0.11:8080"}},
		Err: errors.New("ECONNREFUSED")}
	t.Attempts[0] = trail.Attempt{Endpoint: "cart.internal:8080", Address: "10.0.0.11:8080", Began: 400_000, Ended: 900_000, Fault: t.Fault}
	return t
}

// cutPost was read by the upstream, which then hung up.
func cutPost() *trail.Trail {
	t := badAnswer()
	t.Method, t.N, t.NNotice = []byte("POST"), 1, 0
	t.Fault = &fault.Fault{ID: "cut_short", At: fault.Body, Param: []fault.Param{{Name: "received", Value: "2"}, {Name: "want", Value: "9"}},
		Saw: &fault.Excerpt{Bytes: []byte("hi"), Mark: 2}}
	a := &t.Attempts[0]
	a.Fault, a.HeadRead, a.Status = t.Fault, 14_100_000, 200
	t.Withheld = &fault.Fault{ID: "shed", At: fault.Select}
	return t
}

func badRequest() *trail.Trail {
	return &trail.Trail{Began: began, Client: []byte("203.0.113.9"), Method: []byte("G\x00T"), Path: []byte("/"), Status: 400,
		Answered: 200_000, Ended: 210_000, HeadRead: 90_000, Out: 400, Incident: [8]byte([]byte("00000001")),
		Fault: &fault.Fault{ID: "bad_request", At: fault.Parse, Param: []fault.Param{{Name: "offset", Value: "1"}, {Name: "flaw", Value: "no token"}},
			Saw: &fault.Excerpt{Bytes: []byte("G\x00T / HTTP/1.1\r\n"), Mark: 1}}}
}

func busy() *trail.Trail {
	return &trail.Trail{Began: began, Client: []byte("203.0.113.9"), Method: []byte("PUT"), Path: []byte("/"), Status: 503,
		Answered: 200_000, Ended: 210_000, HeadRead: 90_000, Fault: &fault.Fault{ID: "shed", At: fault.Admit}}
}

func cutLate() *trail.Trail {
	t := cutPost()
	t.Method, t.Status, t.Cut = []byte("GET"), 200, true
	return t
}

func rescued() *trail.Trail {
	t := badAnswer()
	t.Attempts[1].Fault, t.Attempts[1].Status, t.Attempts[1].HeadRead = nil, 200, 28_100_000
	t.Fault, t.Status, t.Rescued = t.Attempts[0].Fault, 200, true
	return t
}

var trails = []struct {
	name string
	t    *trail.Trail
}{{"bad_answer", badAnswer()}, {"refused_post", refusedPost()}, {"cut_post", cutPost()}, {"bad_request", badRequest()},
	{"busy", busy()}, {"rescued", rescued()}, {"cut_late", cutLate()}}

func TestRenderGolden(t *testing.T) {
	for _, x := range trails[:5] {
		for f, ext := range map[Format]string{HTML: ".html", Problem: ".json", Markdown: ".md", Text: ".txt"} {
			for _, detail := range []bool{false, true} {
				name := x.name + ".public" + ext
				if detail {
					name = x.name + ".operator" + ext
				}
				t.Run(name, func(t *testing.T) {
					a := &Answer{Trail: x.t, Node: "edge-1.example.org", Detail: detail, Contact: "help@example.org", RetryAfter: 30 * (1 - x.t.N&1)}
					v := look(a, testRow)
					render := map[Format]func([]byte) []byte{HTML: v.html, Problem: v.problem, Markdown: v.markdown, Text: v.text}
					golden(t, name, render[f](nil))
				})
			}
		}
	}
}

func TestIncidentGolden(t *testing.T) {
	for _, x := range trails {
		v := look(&Answer{Trail: x.t, Detail: true}, testRow)
		golden(t, x.name+".incident.txt", v.report(nil, false))
	}
	golden(t, "bad_answer.incident.color.txt", look(&Answer{Trail: badAnswer(), Detail: true}, testRow).report(nil, true))
}

func TestPageGolden(t *testing.T) {
	var plain, color bytes.Buffer
	for _, id := range []fault.ID{"bad_name", "refused", "bare_lf", "bad_request"} {
		Page(&plain, rows[id], false)
		Page(&color, rows[id], true)
	}
	golden(t, "page.txt", plain.Bytes())
	golden(t, "page.color.txt", color.Bytes())
}

func TestDocGolden(t *testing.T) {
	r := *rows["bad_name"]
	r.Related = nil
	golden(t, "doc.md", Doc(&r))
}

func TestEffectAndRetry(t *testing.T) {
	with := func(t *trail.Trail, method string) *trail.Trail { t.Method = []byte(method); return t }
	undelivered := cutPost()
	undelivered.Fault.Param = append(undelivered.Fault.Param, fault.Param{Name: "delivered", Value: "none"})
	for _, c := range []struct {
		name   string
		t      *trail.Trail
		effect trail.Effect
		again  bool
	}{
		{"a bad answer stays bad", badAnswer(), trail.Harmless, false},
		{"nothing was sent", refusedPost(), trail.NotSent, true},
		{"POST was read", cutPost(), trail.Unknown, false},
		{"POST was sent, TCP says it never arrived", undelivered, trail.NotSent, true},
		{"PUT was read", with(cutPost(), "PUT"), trail.Repeat, true},
		{"DELETE was read", with(cutPost(), "DELETE"), trail.Repeat, true},
		{"HEAD was read", with(cutPost(), "HEAD"), trail.Harmless, true},
		{"PATCH was read", with(cutPost(), "PATCH"), trail.Unknown, false},
		{"methods are case-sensitive", with(cutPost(), "get"), trail.Unknown, false},
		{"a bad request stays bad", badRequest(), trail.NotSent, false},
		{"busy now, not later", busy(), trail.NotSent, true},
	} {
		v := look(&Answer{Trail: c.t}, testRow)
		if v.effect != c.effect || v.retryable() != c.again {
			t.Errorf("%s: effect %d, retryable %t; want %d, %t", c.name, v.effect, v.retryable(), c.effect, c.again)
		}
	}
	if a := (&Answer{Trail: &trail.Trail{Fault: &fault.Fault{ID: fault.OverloadShed}}}); !a.Retryable() {
		t.Error("the real catalogue says that overload lasts for ever")
	}
}

func TestNegotiate(t *testing.T) {
	for accept, want := range map[string]Format{
		"": Text, "*/*": Text, "text/html": HTML, "TEXT/HTML": HTML, "text/plain": Text, "text/markdown": Markdown,
		"application/json": Problem, "application/problem+json": Problem, "application/vnd.api+json": Problem, "application/*": Problem,
		"text/*": Text, "image/png": Text, "image/avif,image/webp,*/*;q=0.8": Text,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": HTML,
		"application/json, text/plain, */*":                               Problem,
		"text/plain, application/json":                                    Text,
		"text/html;q=0.1, application/json;q=0.2":                         Problem,
		"text/html;q=0.5, */*":                                            Text,
		"text/html;q=0":                                                   Text,
		"text/markdown, text/html;q=0.9, */*;q=0.1":                       Markdown,
		"text/html; level=1 ; q = 0.3 , text/markdown;q=0.301":            Markdown,
		"text/html;q=nonsense, application/json;q=0.1":                    Problem,
		"text/html;q=1.000":                                               HTML,
		"*/*;q=0.1, text/*;q=0.5, text/html;q=0.2":                        Text,
		";;;,,,q=1": Text,
	} {
		if got := Negotiate([]byte(accept)); got != want {
			t.Errorf("%q: %d, want %d", accept, got, want)
		}
	}
	for f := range formats {
		if f.ContentType() == "" {
			t.Errorf("format %d has no content type", f)
		}
		if media, _, _ := bytes.Cut([]byte(f.ContentType()), []byte(";")); Negotiate(media) != f {
			t.Errorf("%s does not choose itself", media)
		}
	}
}
