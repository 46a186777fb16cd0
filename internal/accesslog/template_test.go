package accesslog

import (
	"strings"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// requestHead is a head with these fields, "name: value".
func requestHead(line string, fields ...string) *message.Head {
	h := &message.Head{Major: 1, Minor: 1}
	h.Raw = append(h.Raw, line...)
	method, _, _ := strings.Cut(line, " ")
	h.Method = message.Span{Len: uint32(len(method))}
	h.Raw = append(h.Raw, "\r\n"...)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		from := uint32(len(h.Raw))
		h.Raw = append(append(h.Raw, f...), "\r\n"...)
		field := message.Field{Name: message.Span{Off: from, Len: uint32(len(name))},
			Value: message.Span{Off: from + uint32(len(name)) + 2, Len: uint32(len(value))}}
		if strings.EqualFold(name, "authorization") {
			field.ID = message.Authorization
		}
		h.Fields = append(h.Fields, field)
	}
	return h
}

func TestTemplates(t *testing.T) {
	local := time.Local
	defer func() { time.Local = local }()
	time.Local = time.FixedZone("", -5*3600-1800)

	full := good()
	full.Heads = 193
	h2 := secure()
	h2head := requestHead("GET /cart?page=2 HTTP/1.1")
	h2head.Major, h2head.Minor, h2head.Path = 2, 0, message.Span{Off: 4, Len: 12}
	failed := lost()
	failed.Major = 1
	failed.RequestID, failed.Trace, failed.Span, failed.Site = []byte("id-1"), [16]byte{0: 0xab}, [8]byte{7: 1}, "shop.example.org"
	every := ""
	for _, name := range TemplateNames() {
		every += name + "=${" + name + "} "
	}
	for _, c := range []struct {
		name, template string
		t              *trail.Trail
		h              *message.Head
		want           string
	}{
		{"combined", combinedLine, full, requestHead(`GET /cart?page=2 HTTP/1.1`, "User-Agent: curl/8", "REFERER: http://a/\"b\\c\x1b\xe4"),
			`203.0.113.9 - - [22/Nov/2026:03:44:07 -0530] "GET /cart?page=2 HTTP/1.1" 200 1700 "http://a/\x22b\x5Cc\x1B\xE4" "curl/8"`},
		{"nobody says who", combinedLine, full, requestHead("GET / HTTP/1.0"), `203.0.113.9 - - [22/Nov/2026:03:44:07 -0530] "GET / HTTP/1.0" 200 1700 "-" "-"`},
		{"an empty field", combinedLine, full, requestHead("GET / HTTP/1.0", "Referer: "), `203.0.113.9 - - [22/Nov/2026:03:44:07 -0530] "GET / HTTP/1.0" 200 1700 "" "-"`},
		{"a user", commonLine, full, requestHead("GET / HTTP/1.0", "Authorization: BASIC YW5uYTpzZWNyZXQ="), `203.0.113.9 - anna [22/Nov/2026:03:44:07 -0530] "GET / HTTP/1.0" 200 1700`},
		{"a user without name", commonLine, full, requestHead("GET / HTTP/1.0", "Authorization: Basic OnNlY3JldA=="), `203.0.113.9 - - [22/Nov/2026:03:44:07 -0530] "GET / HTTP/1.0" 200 1700`},
		{"another scheme", commonLine, full, requestHead("GET / HTTP/1.0", "Authorization: Bearer YW5uYTpzZWNyZXQ="), `203.0.113.9 - - [22/Nov/2026:03:44:07 -0530] "GET / HTTP/1.0" 200 1700`},
		{"a huge one", "${user.name}", full, requestHead("GET / HTTP/1.0", "Authorization: Basic "+strings.Repeat("YW5uYTpz", 1000)), "-"},
		{"HTTP/2", combinedLine, h2, h2head, `203.0.113.9 - - [22/Nov/2026:03:44:07 -0530] "GET /cart?page=2 HTTP/2.0" 200 1893 "-" "-"`},
		{"no request", combinedLine, &trail.Trail{Began: began, Client: []byte("::1"), Status: 503}, &message.Head{}, `::1 - - [22/Nov/2026:03:44:07 -0530] "" 503 0 "-" "-"`},
		{"gone", "${http.response.status_code} ${duration_s} ${state}", gone(), &message.Head{}, "499 2.504 CH"},
		{"text alone", "a $b {c} $", full, &message.Head{}, "a $b {c} $"},
		{"all of a failure", every, failed, requestHead("GET / HTTP/1.1"),
			"attempts=2 bytes.body=1893 bytes.in=412 bytes.out=1893 client.address=203.0.113.9 duration_ms=31.2 duration_s=0.031 fault=header_name_bad_char" +
				" http.request.method=GET http.response.status_code=502 http.route=cart incident=7K3QM2VX network.protocol.version=1.1 request_id=id-1" +
				" request_line=GET / HTTP/1.1 rescued=false server.address=shop.example.org server.port=- site=shop.example.org span_id=0000000000000001 state=PH" +
				" time_local=22/Nov/2026:03:44:07 -0530 tls.cipher=- tls.client.server_name=- tls.protocol.version=- trace_id=ab000000000000000000000000000000" +
				" ts=2026-11-22T09:14:07.221Z upstream=cart upstream.address=10.0.0.12:8080 upstream.status_code=200 url.path=/cart url.query=page=2 url.scheme=http" +
				" user.name=- http.request.header.NAME=- "},
	} {
		t.Run(c.name, func(t *testing.T) {
			tp, err := ParseTemplate(c.template)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(tp.Append(nil, c.t, c.h, nil)); got != c.want+"\n" {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			l := &Local{}
			for range 2 { // with what a loop keeps
				if got := string(tp.Append(nil, c.t, c.h, l)); got != c.want+"\n" {
					t.Errorf("with a loop's memory %s", got)
				}
			}
		})
	}
}

func TestParseTemplate(t *testing.T) {
	for in, want := range map[string]string{
		"":                        "the template is empty",
		"a\nb":                    "no line breaks",
		"${client.adress}":        "there is no ${client.adress} to write: did you mean ${client.address}?",
		"${http.request.header.}": "there is no ${http.request.header.} to write",
		"x ${url.path":            `"${url.path" has no closing brace`,
		"${}":                     "there is no ${}",
	} {
		if _, err := ParseTemplate(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}

// Lines are one line each and plain ASCII, whatever the bytes.
func FuzzTemplate(f *testing.F) {
	f.Add("GET / HTTP/1.1", "a\"\\\x00\xff", "Basic YW5uYTpzZWNyZXQ=", "/a?b")
	f.Fuzz(func(t *testing.T, line, value, auth, path string) {
		if strings.ContainsAny(line+value+auth, "\r\n") || line == "" {
			return
		}
		x := good()
		x.Path = []byte(path)
		h := requestHead(line, "Referer: "+value, "Authorization: "+auth)
		tp := must(ParseTemplate(combinedLine + " ${url.path} ${url.query} ${user.name}"))
		got := tp.Append(nil, x, h, nil)
		for i, c := range got {
			if (c == '\n') != (i == len(got)-1) || c != '\n' && (c < ' ' || c > '~') {
				t.Fatalf("%q", got)
			}
		}
		if n := strings.Count(string(got), `"`); n != 6 {
			t.Fatalf("%d quotes in %q", n, got)
		}
	})
}

func TestTemplatesAllocateNothing(t *testing.T) {
	x, h, l := good(), requestHead("GET /cart HTTP/1.1", "User-Agent: curl", "Authorization: Basic YW5uYTpzZWNyZXQ="), &Local{}
	var b []byte
	if n := testing.AllocsPerRun(100, func() { b = Combined.Append(b[:0], x, h, l) }); n != 0 {
		t.Errorf("%v allocations a line", n)
	}
}

func BenchmarkCombined(b *testing.B) {
	x, h, l := good(), requestHead("GET /cart HTTP/1.1", "User-Agent: curl", "Referer: http://a/"), &Local{}
	var dst []byte
	for b.Loop() {
		dst = Combined.Append(dst[:0], x, h, l)
	}
}

// What went wrong, was mended or refused always has its line; of the rest a share.
func TestSample(t *testing.T) {
	mended := good()
	mended.Note(fault.HeadBareLF, 1, 0)
	refusal := good()
	refusal.Status = 404
	for _, c := range []struct {
		name     string
		share    float64
		t        *trail.Trail
		min, max int
	}{
		{"a tenth", 0.1, good(), 60, 140}, {"all", 1, good(), 1000, 1000}, {"unset", 0, good(), 1000, 1000},
		{"faults", 0.001, lost(), 1000, 1000}, {"rescues", 0.001, rescued(), 1000, 1000}, {"notices", 0.001, mended, 1000, 1000},
		{"404", 0.001, refusal, 1000, 1000},
	} {
		s := NewSink(nil, SinkOptions{Sample: c.share, Format: Templated, Template: Common, Backlog: 1 << 30})
		l := &Local{sink: s, task: starting, every: 1}
		l.random.Seed(1, 2)
		for range 1000 {
			l.Write(c.t, &message.Head{})
		}
		if n := strings.Count(string(l.buf), "\n"); n < c.min || n > c.max {
			t.Errorf("%s: %d lines", c.name, n)
		}
	}
}
