package h1

import (
	"bytes"
	"encoding/binary"

	"github.com/gatewhy/gatewhy/internal/wire"
)

// greetings are first words in text, of servers and of clients, that no HTTP
// message can begin with.
var greetings = [...]struct{ prefix, protocol string }{
	{"SSH-", "SSH"},
	{"220 ", "SMTP or FTP"}, // told apart by Sniff, if the line says more
	{"220-", "SMTP or FTP"},
	{"+OK", "POP3"},
	{"* OK", "IMAP"},
	{"* PREAUTH", "IMAP"},
	{"* BYE", "IMAP"},
	{"-ERR", "Redis"},
	{"-DENIED", "Redis"},
	{"-NOAUTH", "Redis"},
	{"+PONG", "Redis"},
	{"AMQP", "AMQP"},
	{"RFB 00", "VNC"},
	{"ERROR\r\n", "memcached"},
	{"RTSP/", "RTSP"},
	{"ICAP/", "ICAP"},
	{"PRI * HTTP/2.0", "HTTP/2"},
	{"PROXY TCP", "PROXY protocol"},
	{"PROXY UNKNOWN", "PROXY protocol"},
	{"\r\n\r\n\x00\r\nQUIT\n", "PROXY protocol"},
	{"It looks like you are trying to access MongoDB", "MongoDB"},
	{"INFO {\"server_id\"", "NATS"},
	{"@RSYNCD:", "rsync"},
}

// longestGreeting bounds those that end the wait for a status line.
const longestGreeting = 9

// greeting reports whether line, so far, is exactly one of the short first words.
// RTSP and ICAP have status lines of their own and are named by those.
func greeting(line []byte) bool {
	for i := range greetings {
		g := &greetings[i]
		if len(g.prefix) <= longestGreeting && g.prefix == string(line) && g.prefix[len(g.prefix)-1] != '/' {
			return true
		}
	}
	return false
}

// Sniff names the protocol that b, the first bytes of a connection in either
// direction, is the beginning of: "SSH", "TLS", "HTTP/2", "MySQL"... It returns
// "" if it knows none, and for HTTP/1. It is a guess for a sentence, made once
// something is known to be wrong, not a dispatcher.
func Sniff(b []byte) (protocol string) {
	for i := range greetings {
		if !bytes.HasPrefix(b, []byte(greetings[i].prefix)) {
			continue
		}
		line, _, _ := bytes.Cut(b, []byte("\n"))
		if greetings[i].prefix[0] == '2' {
			switch {
			case bytes.Contains(line, []byte("SMTP")):
				return "SMTP"
			case bytes.Contains(line, []byte("FTP")):
				return "FTP"
			}
		}
		return greetings[i].protocol
	}
	return sniffBinary(b)
}

func sniffBinary(b []byte) string {
	if len(b) < 2 {
		return ""
	}
	switch {
	case (b[0] == 0x15 || b[0] == 0x16) && b[1] == 3:
		return "TLS" // record header, RFC 8446 §5.1
	case b[0] == 0xff && b[1] >= 0xfa:
		return "Telnet" // IAC and a command, RFC 854
	case b[0] == 5 && (len(b) == 2 || len(b) == 2+int(b[1])):
		return "SOCKS5" // RFC 1928 §3: a method chosen, or a list of them
	case len(b) >= 9 && http2Frame(b):
		return "HTTP/2"
	case len(b) >= 6 && mysql(b):
		return "MySQL"
	case len(b) >= 6 && postgres(b):
		return "PostgreSQL"
	case len(b) >= 16 && mongo(b):
		return "MongoDB"
	case len(b) >= 8 && (b[0] == 0 || b[0] == 2) && b[1] < 64 && binary.LittleEndian.Uint16(b[2:]) == 11:
		return "X11" // connection refused or authentication wanted, protocol version 11
	}
	return ""
}

// http2Frame looks for SETTINGS or GOAWAY on stream 0 (RFC 9113 §4.1).
func http2Frame(b []byte) bool {
	n := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	stream := binary.BigEndian.Uint32(b[5:])
	return stream == 0 && n <= 16384 &&
		(b[3] == 4 && b[4] <= 1 && n%6 == 0 || b[3] == 7 && b[4] == 0 && n >= 8)
}

// mysql looks for a server greeting: packet 0, protocol version 10 or an error.
func mysql(b []byte) bool {
	n := int(b[0]) | int(b[1])<<8 | int(b[2])<<16
	return b[3] == 0 && n > 1 && n < 1024 && (b[4] == 0x0a && wire.Digit(b[5]) || b[4] == 0xff)
}

// postgres looks for an error or notice message, or the refusal of one that is
// no startup message.
func postgres(b []byte) bool {
	n := binary.BigEndian.Uint32(b[1:])
	return (b[0] == 'E' || b[0] == 'N') && n >= 6 && n < 1<<16 && (b[5] == 'S' || b[5] == 'V')
}

// mongo looks for a wire protocol header whose operation is a known one.
func mongo(b []byte) bool {
	n, op := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[12:])
	return n >= 16 && n < 48<<20 && (op == 1 || op == 2013)
}
