package h1

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire"
)

const get = "GET / HTTP/1.1\r\nHost: a\r\n" // 25 bytes

// The outcome of requests, repaired as AllowRequest says.
var requests = []struct{ name, raw, want string }{
	{"plain", get + "\r\n", `no body, done`},
	{"HTTP/1.0 closes and needs no Host", "GET / HTTP/1.0\r\n\r\n", `no body, done, close`},
	{"HTTP/1.0 with keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", `no body, done`},
	{"a later minor version is 1.1", "GET / HTTP/1.7\r\nHost: a\r\n\r\n", `no body, done`},
	{"close wins", get + "Connection: keep-alive, Close\r\n\r\n", `no body, done, close`},
	{"pipelined", get + "\r\n" + get, `no body, done, rest "GET / HTTP/1.1\r\nHost: a\r\n"`},
	{"sized", get + "Content-Length: 3\r\n\r\nabcd", `sized, done, "abc", rest "d"`},
	{"leading zeros", get + "Content-Length: 003\r\n\r\nabc", `sized, done, "abc"`},
	{"longest length", get + "Content-Length: 9223372036854775807\r\n\r\na", `sized, cut at 1, "a"`},
	{"chunked", get + "Transfer-Encoding: ChunKed\r\n\r\n3\r\nabc\r\n0\r\n\r\n", `chunked, done, "abc"`},
	{"tab around a value", get + "Content-Length:\t3 \t\r\n\r\nabc", `sized, done, "abc"`},
	{"two empty lines first", "\r\n\r\n" + get + "\r\n", `no body, done, repaired LeadingBlank 0`},
	{"obs-text in a value", get + "X: \x80\xff\r\n\r\n", `no body, done`},
	{"tab in a value", get + "X: a\tb\r\n\r\n", `no body, done`},

	{"nothing", "", `nothing`},
	{"an empty line", "\r\n", `nothing, repaired LeadingBlank 0`},
	{"half a line end", "\r", `nothing`},
	{"half a method", "GE", `incomplete`},
	{"half a head", "GET / HTTP/1.1\r\nHost: a\r\n\r", `incomplete`},

	{"three empty lines first", "\r\n\r\n\r\n" + get + "\r\n", `head LeadingBlank 4, repaired LeadingBlank 0`},
	{"LF first", "\n" + get + "\r\n", `head BareLF 0`},
	{"CR first", "\r" + get + "\r\n", `head BareCR 0`},
	{"SP first", " " + get + "\r\n", `head MethodChar 0`},
	{"method in brackets", "G(T / HTTP/1.1\r\n", `head MethodChar 1`},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", `head MethodChar 0`},
	{"PROXY v2", "\r\n\r\n\x00\r\nQUIT\n", `head MethodChar 4, repaired LeadingBlank 0`},
	{"PROXY v1", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", `head RequestSpacing 10`},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", `head VersionUnsupported 11`},
	{"SSH", "SSH-2.0-OpenSSH\r\n", `head RequestSpacing 15`},
	{"only a method", "GET\r\n", `head RequestSpacing 3`},
	{"tab behind the method", "GET\t/ HTTP/1.1\r\n", `head RequestSpacing 3`},
	{"two SP behind the method", "GET  / HTTP/1.1\r\n", `head RequestSpacing 4`},
	{"HTTP/0.9", "GET /\r\n", `head RequestSpacing 5`},
	{"HTTP/0.9 and SP", "GET / \r\n", `head VersionName 6`},
	{"two SP behind the target", "GET /  HTTP/1.1\r\n", `head RequestSpacing 6`},
	{"SP in the target", "GET /a b HTTP/1.1\r\n", `head RequestSpacing 6`},
	{"tab in the target", "GET /a\tb HTTP/1.1\r\n", `head RequestSpacing 6`},
	{"SP behind the version", "GET / HTTP/1.1 \r\n", `head RequestSpacing 14`},
	{"two versions", "GET / HTTP/1.1 HTTP/1.1\r\n", `head RequestSpacing 14`},
	{"version in lower case", "GET / http/1.1\r\n", `head VersionName 6`},
	{"another version name", "GET / HTTQ/1.1\r\n", `head VersionName 9`},
	{"no minor version", "GET / HTTP/1\r\n", `head VersionMalformed 12`},
	{"two digits", "GET / HTTP/1.10\r\n", `head VersionMalformed 14`},
	{"version ends early", "GET / HTTP/\r\n", `head VersionMalformed 11`},
	{"HTTP/2.0", "GET / HTTP/2.0\r\n", `head VersionUnsupported 11`},
	{"HTTP/0.9 by name", "GET / HTTP/0.9\r\n", `head VersionUnsupported 11`},
	{"LF ends the line", "GET / HTTP/1.1\nHost: a\r\n\r\n", `head BareLF 14`},
	{"CR CR LF", "GET / HTTP/1.1\r\r\n", `head VersionMalformed 14`},
	{"fragment", "GET /a#b HTTP/1.1\r\n", `head TargetChar 6`},
	{"UTF-8 in the target", "GET /\xc3\xa9 HTTP/1.1\r\n", `head TargetChar 5`},
	{"NUL in the target", "GET /\x00 HTTP/1.1\r\n", `head TargetChar 5`},
	{"relative target", "GET a HTTP/1.1\r\n", `head TargetForm 4`},
	{"asterisk for GET", "GET * HTTP/1.1\r\n", `head TargetForm 4`},
	{"ftp", "GET ftp://a/ HTTP/1.1\r\n", `head TargetForm 4`},
	{"CONNECT to a path", "CONNECT / HTTP/1.1\r\n", `head TargetForm 8`},
	{"CONNECT without port", "CONNECT a HTTP/1.1\r\n", `head TargetForm 9`},
	{"CONNECT with an empty port", "CONNECT a: HTTP/1.1\r\n", `head TargetForm 9`},
	{"CONNECT to absolute-form", "CONNECT http://a:1/ HTTP/1.1\r\n", `head TargetForm 13`},
	{"authority-form for GET", "GET a:80 HTTP/1.1\r\n", `head TargetForm 4`},
	{"userinfo", "GET http://u@a/ HTTP/1.1\r\n", `head HostInvalid 12`},
	{"absolute-form without host", "GET http:///x HTTP/1.1\r\n", `head HostInvalid 11`},

	{"LF ends a field", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", `head BareLF 23`},
	{"LF ends the head", get + "\n", `head BareLF 25`},
	{"CR in a value", get + "X: a\rb\r\n\r\n", `head BareCR 29`},
	{"CR before CRLF", get + "X: a\r\r\n\r\n", `head BareCR 29`},
	{"CR in a name", get + "X\r: a\r\n\r\n", `head BareCR 26`},
	{"NUL in a value", get + "X: a\x00\r\n\r\n", `head NUL 29`},
	{"control character", get + "X: a\x01\r\n\r\n", `head Control 29`},
	{"the first of two sins counts", get + "X: 12345678\x01\x00\r\n\r\n", `head Control 36`},
	{"DEL late in a long value", get + "X: " + strings.Repeat("x", 70) + "\x7f\r\n\r\n", `head Control 98`},
	{"obs-fold", get + "X: a\r\n b\r\n\r\n", `head ObsFold 31`},
	{"fold first", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", `head FoldFirst 16`},
	{"SP before the colon", get + "X : a\r\n\r\n", `head SpaceBeforeColon 26`},
	{"no name", get + ": a\r\n\r\n", `head NameEmpty 25`},
	{"no colon", get + "abc\r\n\r\n", `head NoColon 25`},
	{"no colon but words", get + "a b c\r\n\r\n", `head NoColon 25`},
	{"bracket in a name", get + "X(: a\r\n\r\n", `head NameChar 26`},

	{"no Host", "GET / HTTP/1.1\r\nX: a\r\n\r\n", `frame HostMissing 24`},
	{"two Hosts", get + "Host: a\r\n\r\n", `frame HostDuplicate 31`},
	{"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", `frame HostInvalid 21`},
	{"Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", `frame HostInvalid 23`},
	{"Host with SP", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", `frame HostInvalid 23`},
	{"Host with userinfo", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", `frame HostInvalid 23`},
	{"port over 65535", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", `frame HostInvalid 28`},
	{"port in letters", "GET / HTTP/1.1\r\nHost: a:http\r\n\r\n", `frame HostInvalid 24`},
	{"absolute-form and a bad Host", "GET http://a/ HTTP/1.1\r\nHost: @\r\n\r\n", `frame HostInvalid 30`},
	{"absolute-form without Host field", "GET http://a/ HTTP/1.1\r\n\r\n", `frame HostMissing 26`},
	{"expectation", get + "Expect: 200-ok\r\n\r\n", `frame ExpectUnknown 33`},

	{"two equal lengths", get + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", `frame LengthDuplicateSame 60`},
	{"two lengths", get + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", `frame LengthConflict 60`},
	{"list of equal lengths", get + "Content-Length: 3, 3\r\n\r\nabc", `frame LengthListSame 41`},
	{"list of lengths", get + "Content-Length: 3,4\r\n\r\nabc", `frame LengthConflict 43`},
	{"list with a hole", get + "Content-Length: 3,\r\n\r\nabc", `frame LengthInvalid 43`},
	{"signed length", get + "Content-Length: +3\r\n\r\nabc", `frame LengthInvalid 41`},
	{"hexadecimal length", get + "Content-Length: 0x3\r\n\r\nabc", `frame LengthInvalid 42`},
	{"length over 2^63-1", get + "Content-Length: 9223372036854775808\r\n\r\n", `frame LengthOverflow 41`},
	{"invalid beats overflow", get + "Content-Length: 99999999999999999999x\r\n\r\n", `frame LengthInvalid 61`},
	{"empty length", get + "Content-Length: \r\n\r\n", `frame LengthEmpty 41`},
	{"length, then coding", get + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", `frame LengthAndCoding 63`},
	{"coding, then length", get + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", `frame LengthAndCoding 69`},
	{"two codings", get + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", `frame CodingDuplicate 72`},
	{"gzip, chunked", get + "Transfer-Encoding: gzip, chunked\r\n\r\n", `frame CodingUnknown 44`},
	{"chunked, gzip", get + "Transfer-Encoding: chunked , gzip\r\n\r\n", `frame CodingNotFinal 44`},
	{"chunked, then gzip in a line", get + "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n", `frame CodingNotFinal 72`},
	{"identity", get + "Transfer-Encoding: identity\r\n\r\n", `frame CodingUnknown 44`},
	{"empty coding", get + "Transfer-Encoding:\r\n\r\n", `frame CodingUnknown 43`},
	{"chunked with parameter", get + "Transfer-Encoding: chunked;q=1\r\n\r\n", `frame CodingUnknown 44`},
	{"coding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", `frame CodingOn10 36`},

	{"chunk trailers", get + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: 1\r\n\r\n", `chunked, done, trailer`},
	{"forbidden trailer", get + "Transfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\nX: 1\r\nCookie: c\r\n\r\n",
		`chunked, done, trailer, mended TrailerForbidden 3`},
	{"cut before the last CRLF", get + "Transfer-Encoding: chunked\r\n\r\n0\r\n", `chunked, LastChunkCut 3`},
}

func TestRequests(t *testing.T) {
	for _, c := range requests {
		if got := receive(Request, false, nil, AllowRequest, []byte(c.raw)).String(); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestRequestsInPieces(t *testing.T) {
	for _, c := range requests {
		raw := []byte(c.raw)
		for _, a := range []Allow{0, AllowRequest, AllowResponse} {
			whole := receive(Request, false, nil, a, raw)
			same(t, c.name, whole, receive(Request, false, nil, a, byBytes(raw)...))
			for i := range raw {
				same(t, c.name, whole, receive(Request, false, nil, a, cutAt(raw, i)...))
			}
		}
	}
}

func TestTargets(t *testing.T) {
	for _, c := range []struct{ line, authority, path, written string }{
		{"GET /a?b=c|d", "h", "/a?b=c|d", "GET /a?b=c|d"},
		{"GET //a", "h", "//a", "GET //a"},
		{"GET http://x:8/a", "x:8", "/a", "GET /a"},
		{"GET HTTPS://[::1]?q", "[::1]", "?q", "GET /?q"},
		{"GET http://x", "x", "", "GET /"},
		{"OPTIONS http://x", "x", "", "OPTIONS *"},
		{"OPTIONS http://x?q", "x", "?q", "OPTIONS /?q"},
		{"OPTIONS *", "h", "*", "OPTIONS *"},
		{"M-SEARCH /", "h", "/", "M-SEARCH /"},
	} {
		raw := []byte(c.line + " HTTP/1.1\r\nHost: h\r\n\r\n")
		var p Parser
		var h message.Head
		p.Init(Request, nil, 0)
		if n, err := p.Parse(raw, &h); n != len(raw) {
			t.Errorf("%s: %d, %v", c.line, n, err)
			continue
		}
		if _, err := FrameRequest(&p, &h); !err.Ok() {
			t.Errorf("%s: %v", c.line, err)
		}
		got := []string{string(h.Bytes(h.Authority)), string(h.Bytes(h.Path)),
			string(AppendRequestLine(nil, h.Bytes(h.Method), h.Bytes(h.Path), 1))}
		if diff := cmp.Diff([]string{c.authority, c.path, c.written + " HTTP/1.1\r\n"}, got); diff != "" {
			t.Errorf("%s: %s", c.line, diff)
		}
	}
}

func TestConnect(t *testing.T) {
	raw := []byte("CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: x\r\n\r\n")
	var p Parser
	var h message.Head
	p.Init(Request, nil, 0)
	if n, err := p.Parse(raw, &h); n != len(raw) {
		t.Fatal(n, err)
	}
	if _, err := FrameRequest(&p, &h); !err.Ok() {
		t.Fatal(err)
	}
	if got := string(h.Bytes(h.Authority)); got != "[2001:db8::1]:443" || h.Path.Len != 0 {
		t.Errorf("authority %q, path %q", got, h.Bytes(h.Path))
	}
}

func TestAuthority(t *testing.T) {
	for _, c := range []struct {
		s    string
		want int
	}{
		{"", 0}, {"a", -1}, {"a.example:80", -1}, {"a:", -1}, {":80", 0}, {"a:0", -1}, {"a:65535", -1}, {"a:65536", 6},
		{"a_b~c!$&'()*+,;=", -1}, {"%41", -1}, {"a%4", 1}, {"a%4g", 1}, {"%", 0}, {"a b", 1}, {"a/b", 1}, {"\xe9", 0},
		{"1.2.3.4", -1}, {"a::1", 2},
		{"[::]", -1}, {"[::1]:80", -1}, {"[1:2:3:4:5:6:7:8]", -1}, {"[1:2:3:4:5:6:1.2.3.4]", -1}, {"[::ffff:1.2.3.4]", -1},
		{"[1::]", -1}, {"[1:2:3:4:5:6:7::]", -1}, {"[::2:3:4:5:6:7:8]", -1},
		{"[", 1}, {"[]", 1}, {"[:]", 1}, {"[1]", 2}, {"[1:2]", 4}, {"[::1", 4}, {"[::1]x", 5}, {"[:::]", 3},
		{"[1::2::3]", 6}, {"[1:2:3:4:5:6:7:8:9]", 18}, {"[1::2:3:4:5:6:7:8]", 17}, {"[12345::]", 5}, {"[g::]", 1},
		{"[::1.2.3]", 8}, {"[::1.2.3.256]", 11}, {"[::01.2.3.4]", 4}, {"[::1.2.3.4:5]", 10}, {"[fe80::1%25eth0]", 8},
	} {
		if got := wire.Authority([]byte(c.s), false); got != c.want {
			t.Errorf("%q: %d, want %d", c.s, got, c.want)
		}
	}
}

func TestForwardedRequestFields(t *testing.T) {
	const raw = "POST / HTTP/1.1\r\n" +
		"Host: a\r\n" +
		"Connection: X-Hop, te, Authorization, Content-Type, Cache-Control, upgrade,,x-hop\r\n" +
		"Keep-Alive: timeout=5\r\n" +
		"Proxy-Connection: close\r\n" +
		"Proxy: http://evil\r\n" +
		"Proxy-Authorization: Basic x\r\n" +
		"TE: gzip;q=1, trailers\r\n" +
		"Trailer: X\r\n" +
		"Upgrade: websocket\r\n" +
		"HTTP2-Settings: x\r\n" +
		"X-Hop: 1\r\n" +
		"x-HOP: 2\r\n" +
		"Expect: 100-Continue\r\n" +
		"Content-Length: 0\r\n" +
		"X-Forwarded-For: 1\r\nX-Forwarded-Host: 1\r\nX-Forwarded-Proto: 1\r\nX-Forwarded-Port: 1\r\n" +
		"X-Real-IP: 1\r\nForwarded: for=1\r\n" +
		"X_Forwarded-For: 1\r\nCONTENT_LENGTH: 5\r\nTransfer_Encoding: chunked\r\nX_Other: 1\r\n" +
		"Authorization: Bearer x\r\n" +
		"Content-Type: text/plain\r\n" +
		"Cache-Control: no-store\r\n" +
		"Via: 1.1 b\r\n" +
		"Cookie: a=b\r\n\r\n"
	const kept = "X_Other: 1\r\nAuthorization: Bearer x\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\nVia: 1.1 b\r\nCookie: a=b\r\n"
	var p Parser
	var h message.Head
	p.Init(Request, nil, AllowRequest)
	if n, err := p.Parse([]byte(raw), &h); n != len(raw) {
		t.Fatal(n, err)
	}
	f, err := FrameRequest(&p, &h)
	if !err.Ok() {
		t.Fatal(err)
	}
	if diff := cmp.Diff(message.Framing{Body: message.Sized, Upgrade: true, Trailers: true, Expect: true}, f); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(kept, string(AppendFields(nil, &h))); diff != "" {
		t.Error(diff)
	}
	at := int64(strings.Index(raw, "Authorization"))
	if diff := cmp.Diff([]Error{{ConnectionAbuse, at}}, p.Repairs()); diff != "" {
		t.Error(diff)
	}
}

// Connection may name a few fields, not thousands to search for.
func TestConnectionNamesTooMany(t *testing.T) {
	raw := get + "Connection: " + strings.Repeat("x,", maxNamed) + "y\r\n\r\n"
	want := flaw(ConnectionAbuse, strings.Index(raw, "y"))
	if o := receive(Request, false, nil, AllowRequest, []byte(raw)); o.Frame0 != want {
		t.Errorf("%v, want %v", o.Frame0, want)
	}
	raw = get + "Connection: " + strings.Repeat("x,", maxNamed) + "\r\n\r\n"
	if o := receive(Request, false, nil, AllowRequest, []byte(raw)); !o.Frame0.Ok() {
		t.Error(o.Frame0)
	}
}

// A request in HTTP/1.0 can neither upgrade nor expect.
func TestRequest10HasNoUpgrade(t *testing.T) {
	raw := "GET / HTTP/1.0\r\nConnection: upgrade, keep-alive\r\nUpgrade: websocket\r\nExpect: 100-continue\r\n\r\n"
	if o := receive(Request, false, nil, 0, []byte(raw)); o.Framing != (message.Framing{}) || !o.Frame0.Ok() {
		t.Errorf("%+v %v", o.Framing, o.Frame0)
	}
}

func TestLimits(t *testing.T) {
	l := Limits{StartLine: 30, Field: 20, Head: 100, Fields: 3}
	x := strings.Repeat("x", 200)
	for _, c := range []struct {
		name, raw string
		kind      Kind
		want      Error
	}{
		{"longest start line", "GET /3456789012345678 HTTP/1.1\r\n", Request, Error{TargetTooLong, 30}},
		{"start line that fits", "GET /34567890123456 HTTP/1.1\r\nHost: a\r\n\r\n", Request, Error{}},
		{"method", x, Request, Error{StartLineTooLong, 30}},
		{"target", "GET /" + x, Request, Error{TargetTooLong, 30}},
		{"version", "GET / " + x, Request, Error{StartLineTooLong, 30}},
		{"reason", "HTTP/1.1 200 " + x, Response, Error{StartLineTooLong, 30}},
		{"longest field", "HTTP/1.1 200 OK\r\nX: 456789012345678\r\n\r\n", Response, Error{}},
		{"field", "HTTP/1.1 200 OK\r\nX: 4567890123456789\r\n\r\n", Response, Error{FieldTooLong, 17}},
		{"folded field", "HTTP/1.1 200 OK\r\nX: 4567890123\r\n 8901\r\n\r\n", Response, Error{FieldTooLong, 17}},
		{"fields", "HTTP/1.1 200 OK\r\nA:\r\nB:\r\nC:\r\nD:\r\n\r\n", Response, Error{TooManyFields, 29}},
		{"continuations are no fields", "HTTP/1.1 200 OK\r\nA:\r\n a\r\nB:\r\n a\r\nC:\r\n a\r\n\r\n", Response, Error{}},
		{"head", "HTTP/1.1 200 OK\r\nA: 90123456789012345\r\n 0\r\nB: 90123456789012345\r\nC: 9012345678901234567", Response,
			Error{FieldTooLong, 17}},
		{"head in short fields", "GET / HTTP/1.1\r\nHost: 345678901234\r\nA: 12345678901234\r\nB: 12345678901234\r\nC: 1", Request,
			Error{}},
	} {
		var whole outcome
		for i, pieces := range [][][]byte{{[]byte(c.raw)}, byBytes([]byte(c.raw))} {
			o := receive(c.kind, false, &l, AllowResponse, pieces...)
			if o.Head0 != c.want {
				t.Errorf("%s: %v, want %v", c.name, o.Head0, c.want)
			}
			if i == 0 {
				whole = o
			} else {
				same(t, c.name, whole, o)
			}
		}
	}
	l = Limits{Head: 40}
	raw := "HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n"
	for i := 40; i <= len(raw); i++ {
		if o := receive(Response, false, &l, 0, []byte(raw[:i])); o.Head0 != (Error{SectionTooLarge, 40}) {
			t.Errorf("head of %d bytes: %v", i, o.Head0)
		}
	}
	l.Head = len(raw)
	if o := receive(Response, false, &l, 0, []byte(raw)); o.HeadLen != len(raw) {
		t.Errorf("head of exactly its limit: %s", o)
	}
}
