package h1

import (
	"bytes"

	"github.com/gatewhy/gatewhy/internal/message"
)

// requestPreface reads the method and the SP behind it, byte by byte, so that a
// TLS ClientHello or a PROXY header is refused at once and not by a timeout.
func (p *Parser) requestPreface(b []byte) (more bool, err Error) {
	end := min(p.line+p.lim.StartLine, p.lim.Head)
	i := max(p.scan, p.start)
	for i < len(b) && i < end && tchar[b[i]] {
		i++
	}
	p.scan = i
	switch {
	case i >= end:
		return false, p.startTooLong(b)
	case i == len(b):
		return true, Error{}
	case b[i] == ' ' && i > p.start:
		p.method = i
		p.state = startLine
		return false, Error{}
	case i > p.start && (b[i] == '\t' || b[i] == '\r' || b[i] == '\n'):
		return false, flaw(RequestSpacing, i)
	}
	return false, flaw(MethodChar, i)
}

// requestLine reads b[p.start:end]: method SP request-target SP HTTP-version
// (RFC 9112 §3). The method was read by requestPreface.
func (p *Parser) requestLine(b []byte, h *message.Head, end int) Error {
	h.Method = message.Span{Off: uint32(p.start), Len: uint32(p.method - p.start)}
	start := p.method + 1
	i := start + targetLen(b[start:end])
	switch {
	// No version: that is HTTP/0.9, which ended with RFC 2616, or a lost blank.
	case i == end || i == start && space(b[i]):
		return flaw(RequestSpacing, i)
	case b[i] == '\t':
		return flaw(RequestSpacing, i)
	case b[i] != ' ':
		return flaw(TargetChar, i)
	}
	v := i + 1
	if end-v != len("HTTP/1.1") || string(b[v:v+len(httpName)]) != httpName {
		if err := notVersion(b, i, end); !err.Ok() {
			return err
		}
	}
	if err := version(b, v+len(httpName), end, h); !err.Ok() {
		return err
	}
	h.Target = message.Span{Off: uint32(start), Len: uint32(i - start)}
	return p.target(b, h, start, i)
}

// notVersion judges what stands behind the target, b[sp] being the SP between
// them, when it is not "HTTP/" and three bytes.
func notVersion(b []byte, sp, end int) Error {
	v := sp + 1
	// White space where none belongs: in the target, or around the version. Two
	// parsers may read such a line differently, so it is never repaired.
	if k := bytes.IndexAny(b[v:end], " \t"); k >= 0 {
		if k > 0 && !bytes.HasPrefix(b[v:end], []byte(httpName)) {
			return flaw(RequestSpacing, sp)
		}
		return flaw(RequestSpacing, v+k)
	}
	for k := range len(httpName) {
		if v+k >= end || b[v+k] != httpName[k] {
			return flaw(VersionName, v+k)
		}
	}
	return Error{}
}

// target tells the four forms apart (RFC 9112 §3.2).
func (p *Parser) target(b []byte, h *message.Head, start, end int) Error {
	connect := string(b[h.Method.Off:h.Method.End()]) == "CONNECT"
	switch {
	case connect: // authority-form, and only here
		if k := authority(b[start:end], true); k >= 0 {
			return flaw(TargetForm, start+k)
		}
		h.Authority = h.Target
	case b[start] == '/':
		h.Path = h.Target
	case b[start] == '*' && end == start+1 && string(b[h.Method.Off:h.Method.End()]) == "OPTIONS":
		h.Path = h.Target
	default:
		return p.absolute(b, h, start, end)
	}
	return Error{}
}

// absolute reads absolute-form: http and https only, no user information.
func (p *Parser) absolute(b []byte, h *message.Head, start, end int) Error {
	i := start
	switch t := b[start:end]; {
	case foldPrefix(t, "http://"):
		i += len("http://")
	case foldPrefix(t, "https://"):
		i += len("https://")
	default:
		return flaw(TargetForm, start)
	}
	path := i
	for path < end && b[path] != '/' && b[path] != '?' {
		path++
	}
	// "A recipient SHOULD parse for userinfo and treat its presence as an error;
	// it is likely being used to obscure the authority for the sake of phishing
	// attacks." https://www.rfc-editor.org/rfc/rfc9110#section-4.2.4-3
	if k := authority(b[i:path], false); k >= 0 {
		return flaw(HostInvalid, i+k)
	}
	h.Authority = message.Span{Off: uint32(i), Len: uint32(path - i)}
	h.Path = message.Span{Off: uint32(path), Len: uint32(end - path)}
	return Error{}
}

// authority judges uri-host [ ":" port ] (RFC 9110 §7.2, RFC 3986 §3.2). It
// returns the index of the first byte that is wrong or missing, -1 if none is.
// An empty host is wrong (RFC 9110 §4.2.1).
func authority(b []byte, needPort bool) int {
	i := 0
	if len(b) > 0 && b[0] == '[' {
		n := bytes.IndexByte(b, ']')
		if n < 0 {
			return len(b)
		}
		if k := ipv6(b[1:n]); k >= 0 {
			return 1 + k
		}
		i = n + 1
	} else {
		for i < len(b) && (host[b[i]] || b[i] == '%') {
			if b[i] == '%' {
				if i+2 >= len(b) || hexval[b[i+1]] < 0 || hexval[b[i+2]] < 0 {
					return i
				}
				i += 2
			}
			i++
		}
		if i == 0 {
			return 0
		}
	}
	switch {
	case i == len(b) && !needPort:
		return -1
	case i == len(b) || b[i] != ':' || i+1 == len(b) && needPort:
		return i
	}
	port := 0
	for i++; i < len(b); i++ {
		if !digit(b[i]) {
			return i
		}
		if port = port*10 + int(b[i]-'0'); port > 65535 {
			return i
		}
	}
	return -1
}

// ipv6 judges an IPv6address of RFC 3986 §3.2.2: as authority, without the
// brackets. Zones have no meaning to anybody but their own host and are refused.
func ipv6(b []byte) int {
	groups, gap, i := 0, false, 0
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		gap, i = true, 2
	}
	for i < len(b) {
		start := i
		for i < len(b) && i < start+4 && hexval[b[i]] >= 0 {
			i++
		}
		if i < len(b) && b[i] == '.' { // the last two groups as an IPv4 address
			if k := ipv4(b[start:]); k >= 0 {
				return start + k
			}
			groups += 2
			break
		}
		if i == start {
			return i
		}
		if groups++; i == len(b) {
			break
		}
		if b[i] != ':' || i+1 == len(b) {
			return i
		}
		if i++; b[i] == ':' {
			if gap {
				return i
			}
			gap, i = true, i+1
		}
	}
	if groups > 8 || gap && groups == 8 || !gap && groups < 8 {
		return len(b)
	}
	return -1
}

func ipv4(b []byte) int {
	i := 0
	for part := range 4 {
		if part > 0 {
			if i == len(b) || b[i] != '.' {
				return i
			}
			i++
		}
		start, n := i, 0
		for i < len(b) && digit(b[i]) {
			if n = n*10 + int(b[i]-'0'); n > 255 || i > start && b[start] == '0' {
				return i
			}
			i++
		}
		if i == start {
			return i
		}
	}
	if i < len(b) {
		return i
	}
	return -1
}
