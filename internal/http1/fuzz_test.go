package http1

import (
	"bytes"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/google/go-cmp/cmp"
)

// secret stands in a line of its own in whatever a fuzzer makes up.
const secret = "TOPSECRET"

func leaks(f *fault.Fault) string {
	if f.Saw != nil && bytes.Contains(f.Saw.Bytes, []byte(secret)) {
		return "the bytes that prove it"
	}
	for _, p := range f.Param {
		if strings.Contains(p.Value, secret) {
			return p.Name
		}
	}
	if strings.Contains(f.Observed(), secret) {
		return "the sentence"
	}
	return ""
}

// Whatever bytes come from either side, and however they end: a fault has a row
// and all of its facts, and tells no secret.
func FuzzLift(f *testing.F) {
	for _, tt := range refused {
		if len(tt.raw) < 1000 {
			f.Add([]byte(tt.raw[:len(tt.raw)/2]), []byte(tt.raw[len(tt.raw)/2:]), byte(0))
		}
	}
	for i, s := range []string{
		"HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
		"HTTP/1.1 103 Early Hints\r\n", "SSH-2.0-x\r\n", "ICY 200 OK\r\n", "\xef\xbb\xbfHTTP/1.1 200 OK\r\n", "oops\r\nHTTP/1.1 200 OK\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n",
	} {
		for _, end := range []string{"", "\r", "\r\n\r\n", "\r\n\r\n5\r\nhello\r\n", "\r\n\r\n5\r\nhellozz\r\n0\r\nX\r\n", "\r\nX\x00: 1\r\n\r\n", "\n"} {
			f.Add([]byte(s), []byte(end), byte(i))
		}
	}
	f.Fuzz(func(t *testing.T, before, after []byte, how byte) {
		if bytes.Contains(before, []byte("TOP")) || bytes.Contains(after, []byte("TOP")) {
			return
		}
		if n := len(before); n > 0 && before[n-1] != '\n' {
			before = append(bytes.Clone(before), '\n')
		}
		raw := string(before) + "Cookie: sid=" + secret + string(after) // cut right behind it if after is empty
		ends := []error{io.EOF, syscall.ECONNRESET, loop.ErrTimeout}
		end := ends[int(how)%len(ends)]

		s := play(raw)
		s.end = end
		c := clientOf(s)
		var q message.Request
		fl, quiet := c.ReadHead(&q)
		for done := false; fl == nil && !quiet && !done; {
			_, done, fl = c.Piece(true)
		}
		check(t, raw, fl, fault.Client)

		for _, reused := range []bool{false, true} {
			for _, keep := range []bool{false, true} {
				s := play(raw)
				s.end = end
				check(t, raw, endOf(answerOf(s), keep, &Circumstances{Reused: reused, SendBroke: how&64 != 0, Limit: "1s"}), fault.Upstream)
			}
		}
	})
}

func check(t *testing.T, raw string, f *fault.Fault, side fault.Side) {
	t.Helper()
	if f == nil {
		return
	}
	told(t, f)
	if s := f.Row().Side; s != side {
		t.Errorf("%q: %s is on the side of %s", raw, f.ID, s)
	}
	if where := leaks(f); where != "" {
		t.Errorf("%q: %s tells the secret in %s", raw, f.ID, where)
	}
}

// endOf reads an answer and returns the fault that ended it.
func endOf(a *Answer, keep bool, c *Circumstances) *fault.Fault {
	for {
		if a.In.Len() > 0 {
			ok, f := a.ParseHead()
			if f != nil {
				return f
			}
			if ok && (a.Head.Status >= 200 || a.Interims > 3) {
				break
			}
			if ok {
				if f := a.Frame(false); f != nil {
					return f
				}
				a.Next()
				continue
			}
		}
		if err := a.Fill(loop.Never); err != nil {
			return a.HeadEnded(err, c)
		}
	}
	if f := a.Frame(false); f != nil {
		return f
	}
	if !keep {
		a.DropHead()
	}
	for {
		piece, done, f := a.Piece()
		if f != nil || done {
			return f
		}
		if len(piece) > 0 {
			continue
		}
		if err := a.Fill(loop.Never); err != nil {
			return a.BodyEnded(err, c)
		}
	}
}

// However an answer arrives, it is the same answer.
func FuzzAnswerArrival(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nX-Sum: 7\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.0 200 OK\r\n\r\nhello",
		"HTTP/1.1 204 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\nA : b\n c\n\n5",
		"\r\nHTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhel",
		"oops\r\nHTTP/1.1 200 OK\r\n\r\n",
	} {
		f.Add([]byte(s), uint16(14), uint16(3), true, false)
		f.Add([]byte(s), uint16(40), uint16(7), false, true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, first, size uint16, keep, toHead bool) {
		c := &Circumstances{Limit: "1s"}
		want := hear(t, answerOf(play(string(raw))), toHead, keep, c)
		pieces := []string{string(raw[:min(int(first), len(raw))])}
		for rest := raw[len(pieces[0]):]; len(rest) > 0; {
			n := min(len(rest), int(size)%64+1)
			pieces = append(pieces, string(rest[:n]))
			rest = rest[n:]
		}
		if pieces[0] == "" {
			pieces = pieces[1:]
		}
		got := hear(t, answerOf(play(pieces...)), toHead, keep, c)
		got.Extra, want.Extra = "", "" // who has his message does not wait for more
		if unlike(want.Fault) && unlike(got.Fault) {
			// That it is no HTTP shows in a byte, what it is only in several.
			want.Fault, want.At, got.Fault, got.At = "", 0, "", 0
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q in pieces %q: %s", raw, pieces, d)
		}
	})
}

// unlike reports whether a fault says that the bytes are not HTTP/1 at all.
func unlike(id string) bool {
	switch fault.ID(id) {
	case fault.HTTP09, fault.ForeignBanner, fault.H2OnH1, fault.TLSOnPlainPort, fault.StatusLeadingJunk, fault.StatusVersionName:
		return true
	}
	return false
}
