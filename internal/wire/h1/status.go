package h1

import (
	"bytes"

	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire"
)

// junkWindow is how far we look behind a first line that is no status line for
// one that is: far enough for the few lines that a script prints by mistake,
// near enough that a foreign protocol is not listened to for long.
const junkWindow = 1024

// httpName begins every start line that we understand (RFC 9112 §2.3).
const httpName = "HTTP/"

// junk is what is known of a first line that is no status line.
type junk struct {
	is    bool
	ended bool  // the first line has ended
	match uint8 // how much of "HTTP/1." was seen at the start of a later line
	at    int   // the first byte that differs from "HTTP/"
}

// responsePreface reads until the answer is known to begin with "HTTP/", or to
// be something else. Each verdict falls at a certain byte, whatever comes behind
// it and however it arrived: an SSH server that greets and waits is found out at
// once, not by a timeout.
func (p *Parser) responsePreface(b []byte) (more bool, err Error) {
	p.scan = max(p.scan, p.start)
	for ; !p.junk.is && p.scan < len(b); p.scan++ {
		c := b[p.scan]
		switch {
		case p.scan == p.start && wire.Space(c) && p.scan-p.line < junkWindow:
			p.start++
		case c != httpName[p.scan-p.start]:
			p.junk = junk{is: true, at: p.scan}
			if p.start > p.line {
				p.junk.at = p.line
			}
			p.scan-- // it may be the byte that tells
		case p.scan-p.start == len(httpName)-1:
			if p.start > p.line && !p.repair(AllowStatusSpacing, StatusSpacing, p.line) {
				return false, flaw(StatusSpacing, p.line)
			}
			p.scan++
			p.state = startLine
			return false, Error{}
		}
	}
	for ; p.junk.is && p.scan < len(b); p.scan++ {
		if f := p.junkByte(b); f == LeadingJunk || f == LeadingBOM {
			return false, flaw(f, p.line)
		} else if f != NoFlaw {
			return false, flaw(f, p.junk.at)
		}
	}
	return true, Error{}
}

// junkByte looks at b[p.scan], which is no part of a status line.
func (p *Parser) junkByte(b []byte) Flaw {
	const later = "HTTP/1."
	c, n := b[p.scan], p.scan-p.line
	switch {
	case n >= junkWindow || binaryByte(c):
		return NotHTTP
	case n < longestGreeting && greeting(b[p.line:p.scan+1]):
		return NotHTTP
	case n < len(bom)+len(httpName) && string(b[p.line:p.scan+1]) == bom+httpName:
		return LeadingBOM
	case c == '\n':
		if !p.junk.ended && versionLine(b[p.start:p.scan]) {
			return VersionName
		}
		p.junk.ended, p.junk.match = true, 0
	case p.junk.ended && int(p.junk.match) < len(later) && c == later[p.junk.match]:
		if p.junk.match++; int(p.junk.match) == len(later) {
			return LeadingJunk
		}
	default:
		p.junk.match = uint8(len(later)) // not this line
	}
	return NoFlaw
}

// bom is the byte order mark of UTF-8.
const bom = "\xef\xbb\xbf"

// binaryByte reports whether no text in UTF-8 or ASCII holds c. ESC is allowed:
// it colours the log lines of development servers.
func binaryByte(c byte) bool {
	return c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != 0x1b ||
		c == 0x7f || c == 0xc0 || c == 0xc1 || c >= 0xf5
}

// versionLine reports whether a line looks like a status line of another name:
// "ICY 200 OK", "RTSP/1.0 401 Unauthorized", "http/1.1 200 OK".
func versionLine(line []byte) bool {
	name, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(rest) < 3 || !wire.Digit(rest[0]) || !wire.Digit(rest[1]) || !wire.Digit(rest[2]) ||
		len(rest) > 3 && rest[3] > ' ' {
		return false
	}
	name, version, ok := bytes.Cut(name, []byte("/"))
	for _, c := range version {
		if !wire.Digit(c) && c != '.' {
			return false
		}
	}
	for _, c := range name {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			return false
		}
	}
	return len(name) > 0 && (!ok || len(version) > 0)
}

// version reads DIGIT "." DIGIT at b[i:end], which follows "HTTP/"; what comes
// behind it must be white space or the end.
func version(b []byte, i, end int, h *message.Head) Error {
	for k := range 3 {
		if at := i + k; at >= end || k == 1 && b[at] != '.' || k != 1 && !wire.Digit(b[at]) {
			return flaw(VersionMalformed, at)
		}
	}
	if i+3 < end && !wire.Space(b[i+3]) {
		return flaw(VersionMalformed, i+3)
	}
	h.Major, h.Minor = b[i]-'0', b[i+2]-'0'
	if h.Major != 1 {
		return flaw(VersionUnsupported, i)
	}
	return Error{}
}

// statusLine reads b[p.start:end], which begins with "HTTP/":
// HTTP-version SP status-code SP [ reason-phrase ] (RFC 9112 §4). The SP behind
// the code may be missing: half the servers forget it when they have no reason.
func (p *Parser) statusLine(b []byte, h *message.Head, end int) Error {
	i := p.start + len(httpName)
	if err := version(b, i, end, h); !err.Ok() {
		return err
	}
	i += 3
	code := i
	for code < end && wire.Space(b[code]) {
		code++
	}
	if bad := i + 1; code > i && (code > bad || b[i] != ' ') {
		if b[i] != ' ' {
			bad = i
		}
		if !p.repair(AllowStatusSpacing, StatusSpacing, bad) {
			return flaw(StatusSpacing, bad)
		}
	}
	for i = code; i < code+3; i++ {
		if i == end || wire.Space(b[i]) {
			return flaw(StatusCodeLength, i)
		}
		if !wire.Digit(b[i]) {
			return flaw(StatusCodeNonDigit, i)
		}
		h.Status = h.Status*10 + int(b[i]-'0')
	}
	if i < end && wire.Digit(b[i]) {
		return flaw(StatusCodeLength, i)
	}
	if i < end && !wire.Space(b[i]) {
		return flaw(StatusCodeNonDigit, i)
	}
	if h.Status < 100 || h.Status > 599 {
		return flaw(StatusCodeRange, code)
	}
	if i < end && b[i] == '\t' && !p.repair(AllowStatusSpacing, StatusSpacing, i) {
		return flaw(StatusSpacing, i)
	}
	reason := min(i+1, end)
	if k := reason + wire.FirstControl(b[reason:end]); k < end {
		if !p.repair(AllowReason, ReasonChars, k) {
			return flaw(ReasonChars, k)
		}
		reason = end
	}
	h.Reason = message.Span{Off: uint32(reason), Len: uint32(end - reason)}
	return Error{}
}
