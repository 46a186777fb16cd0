package h1

import (
	"bytes"

	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire"
)

// requestPreface reads the method and the SP behind it, byte by byte, so that a
// TLS ClientHello or a PROXY header is refused at once and not by a timeout.
func (p *Parser) requestPreface(b []byte) (more bool, err Error) {
	end := min(p.line+p.lim.StartLine, p.lim.Head)
	i := max(p.scan, p.start)
	for i < len(b) && i < end && wire.TokenChar[b[i]] {
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
	i := start + wire.TargetLen(b[start:end])
	switch {
	// No version: that is HTTP/0.9, which ended with RFC 2616, or a lost blank.
	case i == end || i == start && wire.Space(b[i]):
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
		if k := wire.Authority(b[start:end], true); k >= 0 {
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
	case wire.FoldPrefix(t, "http://"):
		i += len("http://")
	case wire.FoldPrefix(t, "https://"):
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
	if k := wire.Authority(b[i:path], false); k >= 0 {
		return flaw(HostInvalid, i+k)
	}
	h.Authority = message.Span{Off: uint32(i), Len: uint32(path - i)}
	h.Path = message.Span{Off: uint32(path), Len: uint32(end - path)}
	return Error{}
}
