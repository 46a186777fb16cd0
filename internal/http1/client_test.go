package http1

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
	"github.com/google/go-cmp/cmp"
)

// refused are requests that get no further, with the fault's name and the offset
// of the byte that proves it.
var refused = []struct {
	name, raw string
	id        fault.ID
	at        int64
	status    int
}{
	{"TLS on a plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", fault.RequestNotHTTP, 0, 400},
	{"HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", fault.RequestNotHTTP, 0, 400},
	{"SSH", "SSH-2.0-OpenSSH_9.2\r\n", fault.RequestNotHTTP, 0, 400},
	{"PROXY protocol", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", fault.RequestNotHTTP, 0, 400},
	{"three empty lines first", "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", fault.RequestLineMalformed, 4, 400},
	{"a byte that no method has", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", fault.RequestLineMalformed, 1, 400},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", fault.RequestLineMalformed, 4, 400},
	{"no version", "GET /\r\nHost: a\r\n\r\n", fault.RequestLineMalformed, 5, 400},
	{"a version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", fault.RequestLineMalformed, 6, 400},
	{"a version of two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", fault.RequestLineMalformed, 14, 400},
	{"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", fault.RequestVersionUnsupported, 11, 505},
	{"a byte outside ASCII in the target", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", fault.RequestTargetInvalid, 5, 400},
	{"a target without a slash", "GET index HTTP/1.1\r\nHost: a\r\n\r\n", fault.RequestTargetInvalid, 4, 400},
	{"a target that is too long", "GET /" + strings.Repeat("a", 17<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", fault.RequestTargetTooLong, 16 << 10, 414},
	{"one field that is too long", "GET / HTTP/1.1\r\nX: " + strings.Repeat("a", 33<<10) + "\r\nHost: a\r\n\r\n", fault.RequestHeaderTooLarge, 16, 431},
	{"a head that is too large", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: "+strings.Repeat("a", 8<<10)+"\r\n", 9), fault.RequestHeaderTooLarge, 64 << 10, 431},
	{"too many fields", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: a\r\n", 200) + "\r\n", fault.RequestHeaderTooLarge, 25 + 199*6, 431},
	{"no Host", "GET / HTTP/1.1\r\nA: b\r\n\r\n", fault.RequestHostInvalid, 24, 400},
	{"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", fault.RequestHostInvalid, 31, 400},
	{"a Host with a slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", fault.RequestHostInvalid, 23, 400},
	{"an unknown expectation", "PUT / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", fault.RequestExpectationUnknown, 33, 417},
	{"a line that ends in LF", "GET / HTTP/1.1\nHost: a\r\n\r\n", fault.RequestHeaderMalformed, 14, 400},
	{"a CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", fault.RequestHeaderMalformed, 29, 400},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", fault.RequestHeaderMalformed, 28, 400},
	{"a folded line", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", fault.RequestHeaderMalformed, 31, 400},
	{"white space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", fault.RequestHeaderMalformed, 16, 400},
	{"white space before a colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", fault.RequestHeaderMalformed, 20, 400},
	{"a line without a colon", "GET / HTTP/1.1\r\nHost\r\n\r\n", fault.RequestHeaderMalformed, 16, 400},
	{"length and coding", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", fault.RequestFramingAmbiguous, 64, 400},
	{"two lengths that differ", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", fault.RequestFramingAmbiguous, 61, 400},
	{"two lengths that agree", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", fault.RequestFramingAmbiguous, 61, 400},
	{"a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n", fault.RequestFramingAmbiguous, 42, 400},
	{"chunked twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", fault.RequestFramingAmbiguous, 45, 400},
	{"a coding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", fault.RequestFramingAmbiguous, 45, 400},
	{"a signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", fault.RequestLengthInvalid, 42, 400},
	{"an empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", fault.RequestLengthInvalid, 41, 400},
	{"a length that no counter holds", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", fault.RequestLengthInvalid, 42, 400},
	{"an unknown coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", fault.RequestCodingUnknown, 45, 501},
	{"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", fault.RequestMethodUnsupported, -1, 501},
}

// fits reports whether a status may be the answer to a client's mistake.
func fits(status int) bool { return status >= 400 && status < 500 || status == 501 || status == 505 }

func TestRefused(t *testing.T) {
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			for how, pieces := range map[string][]string{"at once": {tt.raw}, "byte by byte": bytewise(tt.raw)} {
				var q message.Request
				f, quiet := clientOf(play(pieces...)).ReadHead(&q)
				if f == nil || quiet {
					t.Fatalf("%s: not refused (quiet %v)", how, quiet)
				}
				told(t, f)
				if how != "at once" && tt.id == fault.RequestNotHTTP && tt.at == 0 && f.ID == fault.RequestLineMalformed {
					continue // the first byte alone decides, and names no protocol yet
				}
				if f.ID != tt.id || f.Offset() != tt.at || f.Row().Status != tt.status {
					t.Errorf("%s: %s at %d, status %d; want %s at %d, status %d", how, f.ID, f.Offset(), f.Row().Status, tt.id, tt.at, tt.status)
				}
				if f.Row().Side != fault.Client || !fits(f.Row().Status) {
					t.Errorf("%s: side %s, status %d", how, f.Row().Side, f.Row().Status)
				}
			}
		})
	}
}

// Whatever the codec may say of a request is the client's, has words, and never
// a status that blames a server.
func TestEveryFlawOfARequest(t *testing.T) {
	raw := []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	for e := (h1.Error{Flaw: h1.NotHTTP, At: 4}); e.Flaw <= h1.LastChunkCut; e.Flaw++ {
		switch e.Flaw {
		case h1.LeadingBOM, h1.LeadingJunk, h1.StatusSpacing, h1.StatusCodeLength, h1.StatusCodeNonDigit,
			h1.StatusCodeRange, h1.ReasonChars, h1.SingletonDuplicate, h1.ConnectionAbuse, h1.FramingForbidden:
			continue // only answers have these, or requests are repaired
		}
		f := LiftRequest(e, raw, 0, &h1.DefaultRequest)
		told(t, f)
		if r := f.Row(); r.Side != fault.Client || !fits(r.Status) || f.Get("flaw") == "" || f.Offset() != 4 {
			t.Errorf("%v: %s, side %s, status %d, words %q", e.Flaw, f.ID, r.Side, r.Status, f.Get("flaw"))
		}
	}
}

// Bytes inside a body are not the first of their connection, whatever they look
// like.
func TestBodyIsNoGreeting(t *testing.T) {
	c := clientOf(play("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nSSH-2.0-x\r\n"))
	var q message.Request
	if f, _ := c.ReadHead(&q); f != nil {
		t.Fatal(f)
	}
	_, _, f := c.Piece(true)
	if name(f) != "request_body_broken" {
		t.Errorf("%s: %s", name(f), f.Observed())
	}
}

func TestPipelined(t *testing.T) {
	const raw = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n" +
		"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" +
		"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nX-Sum: 7\r\n\r\n" +
		"\r\nGET /4 HTTP/1.0\r\n\r\n"
	want := []string{`GET /1 "" "" head 28 close=false`, `POST /2 "hello" "" head 48 close=false`,
		`POST /3 "hello" "X-Sum: 7\r\n" head 57 close=false`, `GET /4 "" "" head 21 close=true`}
	for how, pieces := range map[string][]string{"at once": {raw}, "byte by byte": bytewise(raw)} {
		c := clientOf(play(pieces...))
		var q message.Request
		var got []string
		for wait(c) {
			f, quiet := c.ReadHead(&q)
			if f != nil || quiet {
				t.Fatalf("%s: %v, quiet %v after %q", how, f, quiet, got)
			}
			head := string(q.Head.Raw)
			body, trailer := readBody(t, c)
			if string(q.Head.Raw) != head {
				t.Errorf("%s: the head changed while its body was read", how)
			}
			got = append(got, fmt.Sprintf("%s %s %q %q head %d close=%v", q.Head.Bytes(q.Head.Method),
				q.Head.Bytes(q.Head.Path), body, trailer, len(head), q.Framing.Close))
			if !c.Discard(0, time.Minute) {
				t.Errorf("%s: a whole request cannot be discarded", how)
			}
			c.In.ReleaseEmpty()
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", how, d)
		}
		if c.Served != 4 {
			t.Errorf("%s: served %d", how, c.Served)
		}
	}
}

func readBody(t *testing.T, c *Client) (body, trailer string) {
	t.Helper()
	for {
		piece, done, f := c.Piece(true)
		if f != nil {
			t.Fatalf("after %q: %v", body, f)
		}
		body += string(piece)
		if done {
			break
		}
	}
	if !c.BodyDone() {
		t.Error("the body is whole and not done")
	}
	if h := c.Trailer(); h != nil {
		trailer = string(h1.AppendFields(nil, h))
	}
	return body, trailer
}

const (
	sized   = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
	chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
)

// What ends a request before its time.
func TestEndedEarly(t *testing.T) {
	reset := syscall.ECONNRESET
	for _, tt := range []struct {
		name, raw string
		end       error
		want      fault.ID // of the head, else of the body; "" for a quiet end
	}{
		{"before anything", "", io.EOF, ""},
		{"after an empty line", "\r\n", io.EOF, ""},
		{"reset before anything", "", reset, ""},
		{"in the head", "GET / HTTP/1.1\r\nHo", io.EOF, fault.RequestHeadIncomplete},
		{"reset in the head", "GET / HTTP/1.1\r\nHo", reset, fault.ClientGone},
		{"slow head", "GET / HTTP/1.1\r\nHo", loop.ErrTimeout, fault.RequestHeadTimeout},
		{"interrupted in the head", "GET / HTTP/1.1\r\nHo", loop.ErrInterrupted, ""},
		{"closed by us in the head", "GET / HTTP/1.1\r\nHo", loop.ErrClosed, ""},
		{"in a sized body", sized + "hello", io.EOF, fault.RequestBodyBroken},
		{"in a chunk", chunked + "a\r\nhello", io.EOF, fault.RequestBodyBroken},
		{"behind the last chunk", chunked + "0\r\n", io.EOF, fault.RequestBodyBroken},
		{"reset in the body", sized + "hello", reset, fault.ClientGone},
		{"slow body", sized + "hello", loop.ErrTimeout, fault.RequestBodyTimeout},
		{"bad chunk", chunked + "xyz\r\n", io.EOF, fault.RequestBodyBroken},
		{"chunk longer than its size", chunked + "2\r\nhello\r\n", io.EOF, fault.RequestBodyBroken},
		{"chunk line with LF", chunked + "2\nhe\r\n", io.EOF, fault.RequestBodyBroken},
		{"trailer without colon", chunked + "0\r\nfoo\r\n\r\n", io.EOF, fault.RequestBodyBroken},
	} {
		for how, pieces := range map[string][]string{"at once": {tt.raw}, "byte by byte": bytewise(tt.raw)} {
			if tt.raw == "" {
				pieces = nil
			}
			s := play(pieces...)
			s.end = tt.end
			c := clientOf(s)
			var q message.Request
			f, quiet := c.ReadHead(&q)
			for f == nil && !quiet {
				var done bool
				if _, done, f = c.Piece(true); done {
					t.Errorf("%s, %s: a whole body", tt.name, how)
					break
				}
			}
			if quiet != (tt.want == "") || name(f) != string(tt.want) {
				t.Errorf("%s, %s: %q, quiet %v, want %q", tt.name, how, name(f), quiet, tt.want)
			}
			if f != nil {
				told(t, f)
				if r := f.Row(); r.Side != fault.Client || r.Status != 499 && !fits(r.Status) {
					t.Errorf("%s: side %s, status %d", tt.name, r.Side, r.Status)
				}
			}
		}
	}
}

// An interrupt ends a wait for the body and is nobody's fault; what comes later
// is still read.
func TestInterruptedBody(t *testing.T) {
	s := play(sized + "hel")
	s.end = loop.ErrInterrupted
	c := clientOf(s)
	var q message.Request
	if f, quiet := c.ReadHead(&q); f != nil || quiet {
		t.Fatal(f, quiet)
	}
	if p, done, f := c.Piece(true); string(p) != "hel" || done || f != nil {
		t.Fatalf("%q %v %v", p, done, f)
	}
	if _, _, f := c.Piece(true); f != Interrupted {
		t.Fatalf("got %v", f)
	}
	s.pieces = []string{"lo worl"}
	if p, done, f := c.Piece(true); string(p) != "lo worl" || !done || f != nil {
		t.Errorf("%q %v %v", p, done, f)
	}
}

func TestBodyLimit(t *testing.T) {
	l := Limits{Limits: h1.DefaultRequest, Body: 9}
	for _, tt := range []struct {
		raw    string
		inHead bool
	}{{sized + "0123456789", true}, {chunked + "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n", false}} {
		c := new(Client)
		c.Init(play(tt.raw), &l, &someTimes)
		var q message.Request
		f, _ := c.ReadHead(&q)
		if inHead := f != nil; inHead != tt.inHead {
			t.Errorf("%q: refused by its head: %v", tt.raw, inHead)
		}
		for done := false; f == nil && !done; {
			_, done, f = c.Piece(true)
		}
		if name(f) != "request_body_too_large" || f.Get("limit") != "9" || f.Get("size") != "10" {
			t.Errorf("%q: %v", tt.raw, f)
		}
	}
}

// Without waiting, Piece takes what is there and returns nothing when nothing is.
func TestPieceWithoutWaiting(t *testing.T) {
	s := play(chunked+"3\r\nab", "c\r\n0\r", "\n\r\n")
	c := clientOf(s)
	var q message.Request
	if f, quiet := c.ReadHead(&q); f != nil || quiet {
		t.Fatal(f, quiet)
	}
	fills := len(s.until)
	if p, done, f := c.Piece(false); string(p) != "ab" || done || f != nil {
		t.Fatalf("%q %v %v", p, done, f)
	}
	if p, done, f := c.Piece(false); len(p) > 0 || done || f != nil || len(s.until) != fills {
		t.Fatalf("%q %v %v, it waited %d times", p, done, f, len(s.until)-fills)
	}
	if body, _ := readBody(t, c); body != "c" || c.Received() != 3 {
		t.Errorf("the rest is %q, received %d", body, c.Received())
	}
}

func TestDiscard(t *testing.T) {
	ten := "0123456789"
	for _, tt := range []struct {
		name   string
		pieces []string
		most   int64
		want   bool
		left   string
	}{
		{"no body", []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET"}, 0, true, "GET"},
		{"all there", []string{sized + ten + "GET"}, 10, true, "GET"},
		{"comes later", []string{sized, "01234", "56789GET"}, 10, true, "GET"},
		{"more than allowed", []string{sized, ten}, 9, false, ""},
		{"chunks", []string{chunked + "3\r\nabc\r\n", "0\r\n\r\nGET"}, 10, true, "GET"},
		{"too many chunks", []string{chunked + strings.Repeat("3\r\nabc\r\n", 5), "0\r\n\r\n"}, 10, false, "*"},
		{"broken chunks", []string{chunked + "x"}, 10, false, "*"},
		{"cut", []string{sized + "123"}, 10, false, ""},
	} {
		c := clientOf(play(tt.pieces...))
		var q message.Request
		if f, quiet := c.ReadHead(&q); f != nil || quiet {
			t.Fatal(f, quiet)
		}
		if got := c.Discard(tt.most, time.Minute); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		if left := string(c.In.Bytes()); tt.left != "*" && left != tt.left {
			t.Errorf("%s: %q is left, want %q", tt.name, left, tt.left)
		}
	}
}

func TestLinger(t *testing.T) {
	big := strings.Repeat("x", 8<<10)
	for _, tt := range []struct {
		name   string
		stream *script
		most   int
		events []string
		unread int
	}{
		{"until the client closes", play(big, big), 1 << 20, []string{"fin", "close"}, 0},
		{"until it is too much", play(big, big, big), 12 << 10, []string{"fin", "close"}, 1},
		{"until it takes too long", &script{loop: &still{}, pieces: []string{big}, end: loop.ErrTimeout}, 1 << 20, []string{"fin", "close"}, 0},
		{"not where there is no FIN", &script{loop: &still{}, pieces: []string{big}, noHalf: errors.ErrUnsupported}, 1 << 20, []string{"fin", "close"}, 1},
	} {
		c := clientOf(tt.stream)
		c.Linger(tt.most, 5*time.Second)
		if d := cmp.Diff(tt.events, tt.stream.events); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
		if len(tt.stream.pieces) != tt.unread {
			t.Errorf("%s: %d pieces unread, want %d", tt.name, len(tt.stream.pieces), tt.unread)
		}
		for _, u := range tt.stream.until {
			if want := tt.stream.loop.now.Add(5e9); u != want {
				t.Errorf("%s: waited until %d, want %d", tt.name, u, want)
			}
		}
		if c.In.Room() != 0 {
			t.Errorf("%s: a buffer is held", tt.name)
		}
	}
}

// wait waits for the first byte of a request, as those do who use a Client.
func wait(c *Client) bool {
	return c.In.Len() > 0 || c.Stream.Fill(&c.In, loop.Never) == nil
}

// A head has one deadline, however it comes; each piece of a body has its own.
func TestWhichTimeout(t *testing.T) {
	s := play(append(bytewise("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), sized, "01234", "56789")...)
	c := clientOf(s)
	var q message.Request
	now := s.loop.now
	for range 2 {
		wait(c)
		if f, quiet := c.ReadHead(&q); f != nil || quiet {
			t.Fatal(f, quiet)
		}
		readBody(t, c)
	}
	want := []loop.Time{loop.Never}
	for range len("ET / HTTP/1.1\r\nHost: a\r\n\r\n") {
		want = append(want, now+10e9)
	}
	want = append(want, loop.Never, now+20e9, now+20e9)
	if d := cmp.Diff(want, s.until); d != "" {
		t.Error(d)
	}
}

func TestGone(t *testing.T) {
	for err, gone := range map[error]bool{nil: false, io.EOF: false, loop.ErrInput: false,
		syscall.ECONNRESET: true, loop.ErrClosed: true, syscall.EPIPE: true} {
		s := play()
		s.check = err
		f := clientOf(s).Gone(false)
		if (f != nil) != gone || gone && f.ID != fault.ClientGone {
			t.Errorf("%v: %v", err, f)
		}
	}
}

// What was read of a request is counted for it alone.
func TestTaken(t *testing.T) {
	c := clientOf(play(sized + "0123456789" + "GET  / HTTP/1.1\r\n\r\n"))
	var q message.Request
	if f, _ := c.ReadHead(&q); f != nil {
		t.Fatal(f)
	}
	readBody(t, c)
	if want := int64(len(sized) + 10); c.Taken() != want {
		t.Errorf("taken %d, want %d", c.Taken(), want)
	}
	if f, _ := c.ReadHead(&q); f == nil {
		t.Fatal("two spaces passed")
	}
	if want := int64(len("GET  / HTTP/1.1\r\n\r\n")); c.Taken() != want {
		t.Errorf("of the bad request %d bytes were taken, want %d", c.Taken(), want)
	}
}
