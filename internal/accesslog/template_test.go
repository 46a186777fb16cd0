package accesslog

import (
	"errors"
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
	h2head.Major, h2head.Minor, h2head.Lines, h2head.Path = 2, 0, true, message.Span{Off: 4, Len: 12}
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
		{"no padding", "${user.name}", full, requestHead("GET / HTTP/1.0", "Authorization: Basic  YW5uYTpzZWNyZXQ"), "anna"},
		{"no password", "${user.name}", full, requestHead("GET / HTTP/1.0", "Authorization: Basic YW5uYQ=="), "-"},
		{"another scheme", commonLine, full, requestHead("GET / HTTP/1.0", "Authorization: Bearer YW5uYTpzZWNyZXQ="), `203.0.113.9 - - [22/Nov/2026:03:44:07 -0530] "GET / HTTP/1.0" 200 1700`},
		{"a huge one", "${user.name}", full, requestHead("GET / HTTP/1.0", "Authorization: Basic "+strings.Repeat("YW5uYTpz", 1000)), "-"},
		{"HTTP/2", combinedLine, h2, h2head, `203.0.113.9 - - [22/Nov/2026:03:44:07 -0530] "GET /cart?page=2 HTTP/2.0" 200 1893 "-" "-"`},
		{"a version that is none", "${request_line}", full, &message.Head{Raw: []byte("\r\nGET / HTTP/9.9\r\n"), Major: 9, Minor: 9}, "GET / HTTP/9.9"},
		{"HTTP/2 in a line", "${request_line}", full, &message.Head{Raw: []byte("GET / HTTP/2.0\r\n"), Major: 2}, "GET / HTTP/2.0"},
		{"no HTTP at all", "${request_line}", full, &message.Head{Raw: []byte("\x16\x03\x01")}, `\x16\x03\x01`},
		{"a unix socket", "${client.address}", &trail.Trail{Client: []byte("unix")}, &message.Head{}, "unix:"},
		{"TLS", "${tls.next_protocol} ${tls.resumed}", h2, &message.Head{}, "h2 true"},
		{"gRPC", "${rpc.grpc.status_code} ${notices}", called(), &message.Head{}, "14 0"},
		{"cut", "${cut} ${withheld} ${notices} ${error.type}", cut(), &message.Head{}, "true request_not_replayable 10 http_response_incomplete"},
		{"rescued", "${rescued} ${error.type}", rescued(), &message.Head{}, "true -"},
		{"secrets", "${url.path} ${url.query}", &trail.Trail{Path: []byte("/a;jsessionid=hunter2;\xff?token=hunter2&b=\"c\"")}, &message.Head{}, `/a;jsessionid=xxx;\xFF token=xxx&b=\x22c\x22`},
		{"no name", "$${client.address} $$ ${state}$${", full, &message.Head{}, "${client.address} $$ --${"},
		{"no request", combinedLine, &trail.Trail{Began: began, Client: []byte("::1"), Status: 503}, &message.Head{}, `::1 - - [22/Nov/2026:03:44:07 -0530] "" 503 0 "-" "-"`},
		{"gone", "${http.response.status_code} ${duration_s} ${state}", gone(), &message.Head{}, "499 2.504 CH"},
		{"text alone", "a $b {c} $", full, &message.Head{}, "a $b {c} $"},
		{"all of a failure", every, failed, requestHead("GET / HTTP/1.1"),
			"attempts=2 bytes.body=1893 bytes.in=412 bytes.out=1893 client.address=203.0.113.9 cut=- duration_ms=31.2 duration_s=0.031 error.type=http_protocol_error fault=header_name_bad_char" +
				" http.request.method=GET http.response.status_code=502 http.route=cart incident=7K3QM2VX network.protocol.version=1.1 notices=0 request_id=id-1" +
				" request_line=GET / HTTP/1.1 rescued=false rpc.grpc.status_code=- server.address=shop.example.org server.port=- site=shop.example.org span_id=0000000000000001 state=PH" +
				" t.await=11.7 t.body=- t.connect=0.9 t.head=2.8 t.parse=0.1 t.reply=0.4 t.resolve=- t.secure=- t.send=0.2 time_local=22/Nov/2026:03:44:07 -0530 tls.cipher=- tls.client.server_name=- tls.client.subject=- tls.next_protocol=- tls.protocol.version=- tls.resumed=- trace_id=ab000000000000000000000000000000" +
				" ts=2026-11-22T09:14:07.221Z upstream=cart upstream.address=10.0.0.12:8080 upstream.status_code=200 url.path=/cart url.query=page=2 url.scheme=http" +
				" user.name=- withheld=- http.request.header.NAME=- "},
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
	for _, c := range []struct{ in, part, want, instead string }{
		{"", "", "the template is empty", ""},
		{"a\nb", "\n", `no '\n' in it`, ""},
		{"a\u202eb", "\u202e", "in it", ""},
		{strings.Repeat("x", longestTemplate+1), strings.Repeat("x", longestTemplate+1), "at most 8192 bytes", ""},
		{"x ${client.adress} y", "${client.adress}", "there is no ${client.adress} to write: did you mean ${client.address}?", "${client.address}"},
		{"${http.request.header.}", "${http.request.header.}", "there is no ${http.request.header.} to write", "${http.request.method}"},
		{"${http.request.header.a b}", "${http.request.header.a b}", `"a b" is no name of a field`, ""},
		{"${http.request.header.Cookie}", "${http.request.header.Cookie}", "holds secrets", ""},
		{"x ${http.request.header.x-api-key}", "${http.request.header.x-api-key}", "holds secrets", ""},
		{"x ${url.path", "${url.path", `"${url.path" has no closing brace`, ""},
		{"${}", "${}", "there is no ${} to write: names like it are", ""},
		{"${status}", "${status}", "did you mean ${http.response.status_code}?", "${http.response.status_code}"},
		// A log_format of nginx's would be text and nothing else.
		{"$remote_addr - $remote_user", "$remote_addr", "a template has no $remote_addr: write ${client.address}", "${client.address}"},
		{"$$request_time", "$request_time", "write ${duration_s}", "${duration_s}"},
	} {
		_, err := ParseTemplate(c.in)
		var e *TemplateError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || c.in[e.Start:e.End] != c.part || e.Instead != c.instead {
			t.Errorf("%.40q: %+v, want %s", c.in, err, c.want)
		}
	}
	for name, ours := range nginxNames {
		if _, err := ParseTemplate("${" + ours + "}"); err != nil {
			t.Errorf("for %s: %v", name, err)
		}
	}
}

// Every template that is read makes a line, and one that is not has a place for why.
func FuzzParseTemplate(f *testing.F) {
	f.Add(combinedLine)
	f.Add("$$ $${a} ${url.path}${url.query $remote_user")
	f.Fuzz(func(t *testing.T, s string) {
		tp, err := ParseTemplate(s)
		var e *TemplateError
		if errors.As(err, &e) {
			if e.Start < 0 || e.End > len(s) || e.Start > e.End || e.Start == e.End && s != "" {
				t.Fatalf("%q: %+v", s, e)
			}
			if e.Instead == "" {
				return
			}
			// Each step mends one place, so there are not more of them than dollars.
			for n := strings.Count(s, "$"); errors.As(err, &e) && e.Instead != ""; n-- {
				if n == 0 {
					t.Fatalf("mending ends in %q: %v", s, err)
				}
				s = s[:e.Start] + e.Instead + s[e.End:]
				_, err = ParseTemplate(s)
			}
			return
		}
		if line := tp.Append(nil, lost(), requestHead("GET / HTTP/1.1"), nil); strings.Count(string(line), "\n") != 1 {
			t.Fatalf("%q makes %q", s, line)
		}
	})
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
	for name := range fills {
		tp := must(ParseTemplate("${" + name + "}"))
		for _, one := range lines {
			if n := testing.AllocsPerRun(10, func() { b = tp.Append(b[:0], one.t, h, l) }); n != 0 {
				t.Errorf("%v allocations for %s of %s", n, name, one.name)
			}
		}
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
	unanswered := good()
	unanswered.Status = 0
	call := good()
	call.Call, call.GRPCStatus = true, 5
	fine := good()
	fine.Call = true
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
		{"404", 0.001, refusal, 1000, 1000}, {"no answer", 0.001, unanswered, 1000, 1000}, {"a call that failed", 0.001, call, 1000, 1000},
		{"a call that did not", 0.001, fine, 0, 20},
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
