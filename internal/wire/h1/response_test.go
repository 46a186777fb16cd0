package h1

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/internal/message"
)

const (
	ok200 = "HTTP/1.1 200 OK\r\n" // 17 bytes
	five  = "Content-Length: 5\r\n\r\nhello"
)

// Each repair is made with its bit and refused, at the same byte, without it.
var repairable = []struct {
	name, raw string
	bit       Allow
	want      Error
	body      bool // the Decoder meets it
}{
	{"empty line first", "\r\n" + ok200 + five, AllowLeadingBlank, Error{LeadingBlank, 0}, false},
	{"LF ends the status line", "HTTP/1.1 200 OK\n" + five, AllowBareLF, Error{BareLF, 15}, false},
	{"LF ends a field", ok200 + "X: a\n" + five, AllowBareLF, Error{BareLF, 21}, false},
	{"LF ends the head", ok200 + "Content-Length: 0\r\n\n", AllowBareLF, Error{BareLF, 36}, false},
	{"fold", ok200 + "X: a\r\n\tb\r\n" + five, AllowObsFold, Error{ObsFold, 23}, false},
	{"empty fold", ok200 + "X: a\r\n \r\n" + five, AllowObsFold, Error{ObsFold, 23}, false},
	{"SP before the colon", ok200 + "X \t: a\r\n" + five, AllowSpaceBeforeColon, Error{SpaceBeforeColon, 18}, false},
	{"control character", ok200 + "X: a\x1b[0m\r\n" + five, AllowControls, Error{Control, 21}, false},
	{"DEL", ok200 + "X: \x7f\r\n" + five, AllowControls, Error{Control, 20}, false},
	{"two SP", "HTTP/1.1  200 OK\r\n" + five, AllowStatusSpacing, Error{StatusSpacing, 9}, false},
	{"tab", "HTTP/1.1\t200 OK\r\n" + five, AllowStatusSpacing, Error{StatusSpacing, 8}, false},
	{"tab behind the code", "HTTP/1.1 200\tOK\r\n" + five, AllowStatusSpacing, Error{StatusSpacing, 12}, false},
	{"leading SP", " HTTP/1.1 200 OK\r\n" + five, AllowStatusSpacing, Error{StatusSpacing, 0}, false},
	{"CTL in the reason", "HTTP/1.1 200 O\x02\r\n" + five, AllowReason, Error{ReasonChars, 14}, false},
	{"CR behind the reason", "HTTP/1.1 200 OK\r\r\n" + five, AllowReason, Error{ReasonChars, 15}, false},
	{"lengths in a list", ok200 + "Content-Length: 5,5 , 5\r\n\r\nhello", AllowSameLength, Error{LengthListSame, 33}, false},
	{"lengths in lines", ok200 + "Content-Length: 5\r\n" + five, AllowSameLength, Error{LengthDuplicateSame, 52}, false},
	{"codings in lines", ok200 + "Transfer-Encoding: chunked\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", AllowSameCoding,
		Error{CodingDuplicate, 64}, false},
	{"coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", AllowCodingOn10, Error{CodingOn10, 36}, false},
	{"length on 204", "HTTP/1.1 204 A\r\nContent-Length: 0\r\n\r\n", AllowForbidden, Error{FramingForbidden, 32}, false},
	{"coding on 204", "HTTP/1.1 204 A\r\nTransfer-Encoding: chunked\r\n\r\n", AllowForbidden, Error{FramingForbidden, 35}, false},
	{"length 0 on 103", "HTTP/1.1 103 A\r\nContent-Length: 0\r\n\r\n", AllowForbidden, Error{FramingForbidden, 32}, false},
	{"two Dates", ok200 + "Date: a\r\nDate: b\r\n" + five, AllowDuplicate, Error{SingletonDuplicate, 32}, false},
	{"two Content-Types", ok200 + "Content-Type: a\r\ncontent-type: b\r\n" + five, AllowDuplicate, Error{SingletonDuplicate, 48}, false},
	{"trailer", ok200 + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: 1\r\nContent-Length: 5\r\n\r\n", AllowTrailer, Error{TrailerForbidden, 9}, true},
	{"last CRLF cut", ok200 + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: ", AllowLastChunk, Error{LastChunkCut, 3}, true},
}

func TestRepairs(t *testing.T) {
	for _, c := range repairable {
		o := receive(Response, false, nil, c.bit, []byte(c.raw))
		got, first := o.Repairs, o.Head0
		if c.body {
			got = o.Mended
		}
		if diff := cmp.Diff([]Error{c.want}, got); diff != "" || !o.Done && !o.Complete {
			t.Errorf("%s, allowed: %s %s", c.name, o, diff)
		}
		o = receive(Response, false, nil, AllowResponse&^c.bit, []byte(c.raw))
		for _, e := range []Error{o.Frame0, o.Body0, o.Head0} {
			if !e.Ok() {
				first = e
			}
		}
		if first != c.want || o.Done || o.Complete {
			t.Errorf("%s, not allowed: %s", c.name, o)
		}
	}
}

// What no bit repairs.
var refusedAnswers = []struct {
	name, raw string
	want      Error
}{
	{"third empty line", "\r\n\r\n\r\n" + ok200 + five, Error{LeadingBlank, 4}},
	{"BOM", "\xef\xbb\xbf" + ok200, Error{LeadingBOM, 0}},
	{"BOM, but nothing behind it", "\xef\xbb\xbf{\"a\":1}\n", Error{NotHTTP, 0}},
	{"junk line", "Warning: x\r\n" + ok200 + five, Error{LeadingJunk, 0}},
	{"junk lines", "\x1b[31mWarning\nat main\n\n" + ok200 + five, Error{LeadingJunk, 0}},
	{"junk that begins like HTTP", "HTTPS is fine\n" + ok200 + five, Error{LeadingJunk, 0}},
	{"junk behind an empty line", "\r\nx\r\n" + ok200 + five, Error{LeadingJunk, 2}},
	{"junk and SP before the status line", "x\n " + ok200 + five, Error{NotHTTP, 0}},
	{"a body only", "{\"error\":\"HTTP/1.1 200\"}\n", Error{NotHTTP, 0}},
	{"a body in many lines", strings.Repeat("<p>line</p>\n", 100), Error{NotHTTP, 0}},
	{"a status line behind the window", strings.Repeat("x", junkWindow) + "\n" + ok200, Error{NotHTTP, 0}},
	{"the last place in the window", strings.Repeat("x", junkWindow-8) + "\n" + ok200, Error{LeadingJunk, 0}},
	{"binary behind text", "abc\x00", Error{NotHTTP, 0}},
	{"binary behind HTT", "HTT\x00", Error{NotHTTP, 3}},
	{"SSH", "SSH-", Error{NotHTTP, 0}},
	{"IMAP", "* OK", Error{NotHTTP, 0}},
	{"MySQL", "\x4a\x00\x00\x00\x0a8.0", Error{NotHTTP, 0}},
	{"ICY", "ICY 200 OK\r\n", Error{VersionName, 0}},
	{"ICY without line end", "ICY 200", Error{VersionName, 0}},
	{"RTSP", "RTSP/1.0 200 OK\r\n", Error{VersionName, 0}},
	{"no slash", "HTTP 200 OK\r\n", Error{VersionName, 4}},
	{"HTTPS", "HTTPS/1.1 200 OK\r\n", Error{VersionName, 4}},
	{"lower case", "Http/1.1 200 OK\r\n", Error{VersionName, 1}},
	{"no code", "HTTP/1.1\r\n", Error{StatusCodeLength, 8}},
	{"no code but SP", "HTTP/1.1 \r\n", Error{StatusCodeLength, 9}},
	{"version and code in one", "HTTP/1.1200 OK\r\n", Error{VersionMalformed, 8}},
	{"code and reason in one", "HTTP/1.1 200OK\r\n", Error{StatusCodeNonDigit, 12}},
	{"no minor version", "HTTP/1 200 OK\r\n", Error{VersionMalformed, 6}},
	{"content type and SP before the colon", ok200 + "Transfer-Encoding : chunked\r\n\r\n", Error{SpaceBeforeColon, 34}},
	{"folded length", ok200 + "Content-Length:\r\n 5\r\n\r\n", Error{ObsFold, 34}},
	{"folded coding", ok200 + "Transfer-Encoding: chunked,\r\n chunked\r\n\r\n", Error{ObsFold, 46}},
	{"NUL in a fold", ok200 + "X: a\r\n b\x00\r\n\r\n", Error{NUL, 25}},
	{"CR in a fold", ok200 + "X: a\r\n b\rc\r\n\r\n", Error{BareCR, 25}},
	{"NUL behind a control character", ok200 + "X: \x01\x00\r\n\r\n", Error{NUL, 21}},
	{"control character in a length", ok200 + "Content-Length: 5\x01\r\n\r\nhello", Error{LengthInvalid, 34}},
	{"two Locations", ok200 + "Location: /a\r\nLocation: /b\r\n" + five, Error{SingletonDuplicate, 41}},
	{"length on 100", "HTTP/1.1 100 A\r\nContent-Length: 5\r\n\r\n", Error{FramingForbidden, 32}},
	{"coding on 101", "HTTP/1.1 101 A\r\nTransfer-Encoding: chunked\r\n\r\n", Error{FramingForbidden, 35}},
	{"conflict on HEAD-like 304", "HTTP/1.1 304 A\r\nContent-Length: 5, 6\r\n\r\n", Error{LengthConflict, 35}},
}

func TestRefusedAnswers(t *testing.T) {
	for _, c := range refusedAnswers {
		raw := []byte(c.raw)
		o := receive(Response, false, nil, AllowResponse, raw)
		got := o.Head0
		if o.HeadLen > 0 {
			got = o.Frame0
		}
		if got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		for _, a := range []Allow{0, AllowResponse} {
			whole := receive(Response, false, nil, a, raw)
			same(t, c.name, whole, receive(Response, false, nil, a, byBytes(raw)...))
			for i := range raw {
				same(t, c.name, whole, receive(Response, false, nil, a, cutAt(raw, i)...))
			}
		}
	}
}

// A server that greets and waits is found out by its greeting, without an end
// of the stream.
func TestForeignServersAreFoundOutAtOnce(t *testing.T) {
	for _, raw := range []string{"SSH-2.0-x", "220 mail ESMTP", "+OK ready", "* OK ready", "-ERR x", "-NOAUTH x", "RFB 003.008\n",
		"AMQP\x00\x00\x09\x01", "ERROR\r\n", "RTSP/1.0 400 x\r\n", "ICAP/1.0 400 x\r\n",
		"\x4a\x00\x00\x00\x0a8.0", "\x15\x03\x01\x00\x02\x02\x46", "\x00\x00\x06\x04\x00\x00\x00\x00\x00", "\xff\xfd\x18", "\x05\xff", "E\x00\x00\x00\x40SFATAL"} {
		var p Parser
		var h message.Head
		p.Init(Response, nil, AllowResponse)
		if n, err := p.Parse([]byte(raw), &h); n != 0 || err.Flaw != NotHTTP && err.Flaw != VersionName || err.At != 0 {
			t.Errorf("%q: %d, %v", raw, n, err)
		}
		if Sniff([]byte(raw)) == "" {
			t.Errorf("%q: nobody knows it", raw)
		}
	}
}

func TestFrameResponse(t *testing.T) {
	for _, c := range []struct {
		name, raw string
		head      bool
		want      message.Framing
	}{
		{"sized", ok200 + five, false, message.Framing{Body: message.Sized, Length: 5}},
		{"HEAD", ok200 + five, true, message.Framing{Length: 5}},
		{"HEAD without length", ok200 + "\r\n", true, message.Framing{Length: -1}},
		{"HEAD chunked", ok200 + "Transfer-Encoding: chunked\r\n\r\n", true, message.Framing{Length: -1}},
		{"304", "HTTP/1.1 304 A\r\n" + five, false, message.Framing{Length: 5}},
		{"204", "HTTP/1.1 204 A\r\n\r\n", false, message.Framing{}},
		{"204 to HEAD", "HTTP/1.1 204 A\r\n\r\n", true, message.Framing{}},
		{"100", "HTTP/1.1 100 A\r\n\r\n", false, message.Framing{}},
		{"204 that promises", "HTTP/1.1 204 A\r\nContent-Length: 5\r\n\r\n", false, message.Framing{Close: true}},
		{"204 that promises nothing", "HTTP/1.1 204 A\r\nContent-Length: 0\r\n\r\n", false, message.Framing{}},
		{"to the end", ok200 + "\r\n", false, message.Framing{Body: message.ToClose, Close: true}},
		{"chunked", ok200 + "transfer-encoding: CHUNKED\r\n\r\n", false, message.Framing{Body: message.Streamed}},
		{"1.0", "HTTP/1.0 200 A\r\n" + five, false, message.Framing{Body: message.Sized, Length: 5, Close: true}},
		{"1.0 keep-alive", "HTTP/1.0 200 A\r\nConnection: keep-alive\r\nKeep-Alive: max=9, Timeout=7\r\n" + five, false,
			message.Framing{Body: message.Sized, Length: 5, KeepAlive: 7}},
		{"1.0 chunked", "HTTP/1.0 200 A\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n", false, message.Framing{Body: message.Streamed, Close: true}},
		{"close", ok200 + "Connection: foo, close\r\n" + five, false, message.Framing{Body: message.Sized, Length: 5, Close: true}},
		{"bad keep-alive", ok200 + "Keep-Alive: timeout=x, timeout\r\n" + five, false, message.Framing{Body: message.Sized, Length: 5}},
		{"events", ok200 + "Content-Type: Text/Event-Stream;charset=utf-8\r\n" + five, false, message.Framing{Body: message.Sized, Length: 5, Events: true}},
		{"no events", ok200 + "Content-Type: text/event-streams\r\n" + five, false, message.Framing{Body: message.Sized, Length: 5}},
		{"a Date", ok200 + "Date: a\r\nContent-Length: 0\r\n\r\n", false, message.Framing{Body: message.Sized, Dated: true}},
		{"switch", "HTTP/1.1 101 A\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", false, message.Framing{Upgrade: true}},
		{"205 has framing", "HTTP/1.1 205 A\r\nContent-Length: 0\r\n\r\n", false, message.Framing{Body: message.Sized}},
	} {
		o := receive(Response, c.head, nil, AllowResponse, []byte(c.raw))
		if diff := cmp.Diff(c.want, o.Framing); diff != "" || !o.Frame0.Ok() || o.HeadLen == 0 {
			t.Errorf("%s: %s %s", c.name, o, diff)
		}
	}
}

func TestForwardedResponseFields(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{"hop by hop", ok200 + "Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: a\r\nUpgrade: h2c\r\n" +
			"Trailer: X\r\nProxy-Authenticate: Basic\r\nServer: s\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n" + five,
			"Proxy-Authenticate: Basic\r\nServer: s\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"},
		{"Trailer stays with chunks", ok200 + "Trailer: X\r\nTransfer-Encoding: chunked\r\n\r\n", "Trailer: X\r\n"},
		{"101 keeps Upgrade", "HTTP/1.1 101 A\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "Upgrade: websocket\r\n"},
		{"the first of differing lines", ok200 + "ETag: a\r\nX: 1\r\nETag: b\r\nDate: d\r\nDate: d\r\n" + five, "ETag: a\r\nX: 1\r\nDate: d\r\n"},
		{"LF lines are written with CRLF", "HTTP/1.1 200 OK\nA: 1\nB: 2\r\nC: 3\n\n", "A: 1\r\nB: 2\r\nC: 3\r\n"},
		{"white space before the colon goes", ok200 + "A: 1\r\nB \t: 2\r\nC: 3\r\n\r\n", "A: 1\r\nB: 2\r\nC: 3\r\n"},
		{"white space around a value may stay", ok200 + "A:1\r\nB:\t2 \t\r\nC:\r\n\r\n", "A:1\r\nB:\t2 \t\r\nC:\r\n"},
		{"unfolded", ok200 + "A: 1 \r\n\t 2\r\n \r\n 3\r\nB:\r\n b\r\nC: c\r\n \r\nD:\r\n \r\nE: e\r\n\r\n", "A: 1 2 3\r\nB: b\r\nC: c\r\nD: \r\nE: e\r\n"},
		{"controls become SP", ok200 + "A: \x01b\x7f\r\nB: b\r\n\r\n", "A:  b \r\nB: b\r\n"},
	} {
		var p Parser
		var h message.Head
		p.Init(Response, nil, AllowResponse)
		if n, err := p.Parse([]byte(c.raw), &h); n == 0 {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if _, err := FrameResponse(&p, &h, false); !err.Ok() {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, string(AppendFields(nil, &h))); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// One flaw is noted once, so that the many do not hide the few.
func TestRepairsAreNotedOnce(t *testing.T) {
	raw := "HTTP/1.1 200 OK\n" + strings.Repeat("A: \x01\n", 20) + "B : c\r\n\r\n"
	o := receive(Response, false, nil, AllowResponse, []byte(raw))
	want := []Error{{BareLF, 15}, {Control, 19}, {SpaceBeforeColon, 117}}
	if diff := cmp.Diff(want, o.Repairs); diff != "" {
		t.Error(diff)
	}
}

// A Parser may be asked again when it has refused.
func TestErrorsStay(t *testing.T) {
	var p Parser
	var h message.Head
	p.Init(Response, nil, 0)
	raw := []byte("HTTP/1.1 2x")
	for len(raw) < 40 {
		raw = append(raw, "\r\nmore"...)
		if n, err := p.Parse(raw, &h); n != 0 || err != (Error{StatusCodeNonDigit, 10}) || p.End(raw) != err {
			t.Fatalf("%q: %d, %v", raw, n, err)
		}
	}
}

// A Parser that has read anything is as good as new behind Init.
func TestInitForgets(t *testing.T) {
	seed(func(_ Kind, raw string) {
		var fresh, used Parser
		used.Init(Response, &Limits{Head: 10000}, AllowResponse)
		var h message.Head
		used.Parse([]byte(raw), &h)
		for _, k := range []Kind{Request, Response} {
			used.Init(k, nil, 0)
			fresh.Init(k, nil, 0)
			used.repairs, used.own = fresh.repairs, fresh.own // not looked at: nrepair and lim say so
			if used != fresh {
				t.Fatalf("%q: %+v, want %+v", raw, used, fresh)
			}
		}
	})
}
