package prove

import (
	"bufio"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadAnswer(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	tests := []struct {
		name, raw string
		toHead    bool
		want      string // answer.String()
		body      string
	}{
		{"sized", ok + "Content-Length: 5\r\n\r\nhello", false, "status 200 with 5 bytes", "hello"},
		{"chunked", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n", false, "status 200 with 5 bytes", "hello"},
		{"to close", ok + "\r\nhello", false, "status 200 with 5 bytes", "hello"},
		{"interim first", "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + ok + "Content-Length: 0\r\n\r\n", false, "status 200 with 0 bytes", ""},
		{"to HEAD", ok + "Content-Length: 5\r\n\r\n", true, "status 200 with 0 bytes", ""},
		{"204", "HTTP/1.1 204 \r\n\r\n", false, "status 204 with 0 bytes", ""},
		{"304 with a length", "HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n", false, "status 304 with 0 bytes", ""},

		{"nothing", "", false, "no answer (EOF)", ""},
		{"cut in the status line", "HTTP/1.1 2", false, "no answer (unexpected EOF)", ""},
		{"cut in a field", ok + "Content-Le", false, "no answer (unexpected EOF)", ""},
		{"cut between fields", ok + "X-A: b\r\n", false, "no answer (EOF)", ""},
		{"short", ok + "Content-Length: 9\r\n\r\nhello", false, "status 200, cut after 5 bytes (unexpected EOF)", "hello"},
		{"no last chunk", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false, "status 200, cut after 5 bytes (unexpected EOF)", "hello"},
		{"no end of the trailer", ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n", false, "status 200, cut after 0 bytes (unexpected EOF)", ""},

		{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n", false, `an answer that breaks a rule: no status line: "HTTP/1.0 200 OK"`, ""},
		{"no space behind the code", "HTTP/1.1 200\r\n\r\n", false, `an answer that breaks a rule: no status line: "HTTP/1.1 200"`, ""},
		{"code 600", "HTTP/1.1 600 X\r\n\r\n", false, `an answer that breaks a rule: no status code: "HTTP/1.1 600 X"`, ""},
		{"NUL in the reason", "HTTP/1.1 200 O\x00K\r\n\r\n", false,
			`an answer that breaks a rule: a control character in the reason phrase: "HTTP/1.1 200 O\x00K"`, ""},
		{"bare LF", "HTTP/1.1 200 OK\n\n", false, `an answer that breaks a rule: a line that ends in LF alone: "HTTP/1.1 200 OK\n"`, ""},
		{"bare CR", ok + "X-A: b\rc\r\n\r\n", false, `an answer that breaks a rule: a CR inside a line: "X-A: b\rc"`, ""},
		{"space before the colon", ok + "X-A : b\r\n\r\n", false, `an answer that breaks a rule: no field line: "X-A : b"`, ""},
		{"fold", ok + "X-A: b\r\n c\r\n\r\n", false, `an answer that breaks a rule: no field line: " c"`, ""},
		{"control in a value", ok + "X-A: \x01\r\n\r\n", false, `an answer that breaks a rule: a control character in a field value: "X-A: \x01"`, ""},
		{"both framings", ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", false,
			"an answer that breaks a rule: both Content-Length and Transfer-Encoding", ""},
		{"two lengths", ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", false,
			`an answer that breaks a rule: Content-Length "5, 5"`, ""},
		{"length on 204", "HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n", false,
			"an answer that breaks a rule: Content-Length or Transfer-Encoding where no body can be", ""},
		{"chunk size", ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", false, `an answer that breaks a rule: chunk size "zz"`, ""},
		{"chunk too long", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n", false,
			`an answer that breaks a rule: bytes behind a chunk: "!"`, "hello"},
		{"other coding", ok + "Transfer-Encoding: gzip\r\n\r\n", false, `an answer that breaks a rule: transfer coding "gzip"`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, r := range []*bufio.Reader{
				bufio.NewReader(strings.NewReader(test.raw)),
				bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader(test.raw)), 16),
			} {
				a := readAnswer(r, test.toHead)
				if got := a.String(); got != test.want {
					t.Errorf("got %s, not %s", got, test.want)
				}
				if string(a.body) != test.body {
					t.Errorf("body %q, not %q", a.body, test.body)
				}
				if left := r.Buffered(); a.whole && left > 0 {
					t.Errorf("%d bytes are left", left)
				}
			}
		})
	}
}

// FuzzReadAnswer: whatever comes, in whatever pieces, the verdict is the same,
// and an answer is whole, cut or flawed, and never two of them.
func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), false)
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), false)
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 \r\n\r\n"), true)
	f.Add([]byte("HTTP/1.1 200 OK\nX"), false)
	f.Fuzz(func(t *testing.T, raw []byte, toHead bool) {
		whole := readAnswer(bufio.NewReader(strings.NewReader(string(raw))), toHead)
		pieces := readAnswer(bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader(string(raw))), 16), toHead)
		if whole.String() != pieces.String() || string(whole.body) != string(pieces.body) {
			t.Errorf("%q: at once %v, in pieces %v", raw, whole, pieces)
		}
		ends := 0
		for _, is := range []bool{whole.whole, whole.cut != nil, whole.flaw != ""} {
			if is {
				ends++
			}
		}
		if ends != 1 {
			t.Errorf("%q: %+v", raw, whole)
		}
		if whole.whole && whole.status == 0 {
			t.Errorf("%q: whole, and without a status", raw)
		}
	})
}
