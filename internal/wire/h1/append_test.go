package h1

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/internal/message"
)

func TestAppendLines(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{string(AppendRequestLine([]byte("x"), []byte("GET"), []byte("/a?b"), 1)), "xGET /a?b HTTP/1.1\r\n"},
		{string(AppendRequestLine(nil, []byte("GET"), nil, 1)), "GET / HTTP/1.1\r\n"},
		{string(AppendRequestLine(nil, []byte("OPTIONS"), nil, 1)), "OPTIONS * HTTP/1.1\r\n"},
		{string(AppendRequestLine(nil, []byte("CONNECT"), []byte("a:1"), 1)), "CONNECT a:1 HTTP/1.1\r\n"},
		{string(AppendRequestLine(nil, []byte("GE T\r\n"), []byte("/\r\nX: \xe9"), 1)), "GET /%0D%0AX:%20%E9 HTTP/1.1\r\n"},
		{string(AppendStatusLine(nil, 200, []byte("OK"))), "HTTP/1.1 200 OK\r\n"},
		{string(AppendStatusLine(nil, 404, nil)), "HTTP/1.1 404 \r\n"},
		{string(AppendStatusLine(nil, 599, []byte("a\r\nX: y"))), "HTTP/1.1 599 \r\n"},
		{string(AppendStatusLine(nil, 99, []byte("a"))), "HTTP/1.1 502 \r\n"},
		{string(AppendStatusLine(nil, 1000, []byte("a"))), "HTTP/1.1 502 \r\n"},
		{string(AppendField(nil, "Via", "1.1 a")), "Via: 1.1 a\r\n"},
		{string(AppendField(nil, "A\r\n:", "b\r\nC: d\x00\x7f\t")), "A---: b  C: d  \t\r\n"},
		{string(AppendChunk(nil, 0)), "0\r\n"},
		{string(AppendChunk(nil, 0x1aF)), "1af\r\n"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

// A head that did not come from the Parser is written field by field, and
// whatever it holds cannot end a line.
func TestAppendFieldsOfForeignHead(t *testing.T) {
	const raw = "name: value\r\nSet-Cookie: x\r\n\r\nbody"
	h := message.Head{Raw: []byte(raw), Fields: []message.Field{
		{Name: message.Span{Off: 0, Len: 4}, Value: message.Span{Off: 6, Len: 20}}, // spans two lines
		{Name: message.Span{Off: 0, Len: 6}, Value: message.Span{Off: 6, Len: 5}},  // a name with a colon
		{Name: message.Span{Off: 6, Len: 5}, Value: message.Span{Off: 30, Len: 4}},
		{Name: message.Span{Off: 6, Len: 5}, Value: message.Span{Off: 30, Len: 4}, Flags: message.Drop},
	}}
	want := "name: value Set-Cookie: x\r\nname--: value\r\nvalue: body\r\n"
	if diff := cmp.Diff(want, string(AppendFields(nil, &h))); diff != "" {
		t.Error(diff)
	}
}

// Fields may be dropped or reordered after parsing.
func TestAppendFieldsInAnotherOrder(t *testing.T) {
	var p Parser
	var h message.Head
	p.Init(Response, nil, 0)
	if n, _ := p.Parse([]byte(ok200+"A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n"), &h); n == 0 {
		t.Fatal("incomplete")
	}
	h.Fields[0], h.Fields[2] = h.Fields[2], h.Fields[0]
	h.Fields = append(h.Fields[:1], h.Fields[2:]...)
	if got := string(AppendFields(nil, &h)); got != "C: 3\r\nA: 1\r\nD: 4\r\n" {
		t.Errorf("%q", got)
	}
}

func TestSniff(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{"SSH-2.0-OpenSSH_9.2p1\r\n", "SSH"},
		{"220 mail.example ESMTP\r\n", "SMTP"},
		{"220-mail.example ESMTP\r\n", "SMTP"},
		{"220 (vsFTPd 3.0)\r\n", "FTP"},
		{"220 hello\r\n", "SMTP or FTP"},
		{"+OK ready\r\n", "POP3"},
		{"* OK [CAPABILITY IMAP4rev1]\r\n", "IMAP"},
		{"\x4a\x00\x00\x00\x0a8.0.36\x00", "MySQL"},
		{"\x45\x00\x00\x00\xff\x6a\x04Host", "MySQL"},
		{"-ERR unknown command 'GET'\r\n", "Redis"},
		{"-DENIED Redis is running in protected mode", "Redis"},
		{"-NOAUTH Authentication required.\r\n", "Redis"},
		{"+PONG\r\n", "Redis"},
		{"E\x00\x00\x00\x60SFATAL\x00", "PostgreSQL"},
		{"N\x00\x00\x00\x60SNOTICE\x00", "PostgreSQL"},
		{"AMQP\x00\x00\x09\x01", "AMQP"},
		{"RTSP/1.0 400 Bad Request\r\n", "RTSP"},
		{"ICAP/1.0 400 Bad Request\r\n", "ICAP"},
		{"\x15\x03\x01\x00\x02\x02\x46", "TLS"},
		{"\x16\x03\x01\x02\x00\x01\x00", "TLS"},
		{"\x00\x00\x00\x04\x00\x00\x00\x00\x00", "HTTP/2"},
		{"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64", "HTTP/2"},
		{"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", "HTTP/2"},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2"},
		{"ERROR\r\n", "memcached"},
		{"It looks like you are trying to access MongoDB over HTTP", "MongoDB"},
		{"\x30\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\xdd\x07\x00\x00", "MongoDB"},
		{"\x00\x16\x0b\x00\x00\x00\x06\x00", "X11"},
		{"RFB 003.008\n", "VNC"},
		{"\xff\xfd\x18\xff\xfd\x20", "Telnet"},
		{"\x05\xff", "SOCKS5"},
		{"\x05\x02\x00\x02", "SOCKS5"},
		{"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY protocol"},
		{"\r\n\r\n\x00\r\nQUIT\n\x21\x11", "PROXY protocol"},
		{"", ""},
		{"H", ""},
		{"HTTP/1.1 200 OK\r\n\r\n", ""},
		{"GET / HTTP/1.1\r\n\r\n", ""},
		{"<html>", ""},
		{"Exception in thread", ""},
		{"\x00\x01\x02\x03\xff\xfe binary\n\n", ""},
	} {
		if got := Sniff([]byte(c.raw)); got != c.want {
			t.Errorf("%q: %q, want %q", c.raw, got, c.want)
		}
		// Nothing is named something else while its first bytes arrive, but for
		// the line that tells SMTP from FTP.
		for i := range c.raw {
			got := Sniff([]byte(c.raw[:i]))
			if got != "" && got != c.want && got != "SMTP or FTP" {
				t.Errorf("%q: %q, want %q", c.raw[:i], got, c.want)
			}
		}
	}
}

func TestFlawNames(t *testing.T) {
	seen := map[string]bool{}
	for f := range flaws {
		s := f.String()
		if s == "" || seen[s] || strings.Contains(s, " ") {
			t.Errorf("flaw %d is called %q", f, s)
		}
		seen[s] = true
	}
}
