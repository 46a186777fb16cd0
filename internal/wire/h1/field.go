package h1

import (
	"bytes"

	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire"
)

// fieldLines reads field lines up to the empty line (RFC 9112 §5). It returns
// the offset behind that line, 0 if more bytes are needed.
func (p *Parser) fieldLines(b []byte, h *message.Head) (n int, err Error) {
	for {
		if p.scan == p.line {
			p.cleanLines(b, h)
		}
		line, base := p.line, p.line
		if line < len(b) && wire.Space(b[line]) && len(h.Fields) > 0 {
			base = p.field // a continuation counts to its field
		}
		lf, over := p.lineEnd(b, base, p.lim.Field)
		if lf < 0 {
			switch {
			case !over:
				return 0, Error{}
			case base+p.lim.Field > p.lim.Head:
				return 0, flaw(SectionTooLarge, p.lim.Head)
			}
			return 0, flaw(FieldTooLong, base)
		}
		end := lf
		if lf > line && b[lf-1] == '\r' {
			end--
		}
		switch {
		case end == line:
		case wire.Space(b[line]):
			err = p.fold(b, h, line, end)
		default:
			err = p.fieldLine(b, h, line, end)
		}
		if err.Ok() && end == lf && !p.repair(AllowBareLF, BareLF, lf) {
			err = flaw(BareLF, lf)
		}
		if !err.Ok() {
			return 0, err
		}
		p.next(lf, fieldLine)
		if end == line {
			return lf + 1, Error{}
		}
	}
}

// cleanLines reads the field lines from p.line on that are as they should be,
// which is nearly all of them, in one pass over their bytes. At whatever is
// special it stops, and leaves the line to those who tell what it is: a line
// that is not whole, the empty line, a control character, a limit.
func (p *Parser) cleanLines(b []byte, h *message.Head) {
	line, last := p.line, p.field
	fields := h.Fields
	for len(fields) < p.lim.Fields {
		i := line
		for i < len(b) && wire.TokenChar[b[i]] {
			i++
		}
		if i == line || i >= len(b) || b[i] != ':' {
			break
		}
		v := i + 1
		for v < len(b) && wire.Space(b[v]) {
			v++
		}
		cr := v + wire.FirstControl(b[v:])
		lf := cr + 1
		if lf >= len(b) || b[cr] != '\r' || b[lf] != '\n' || lf >= min(line+p.lim.Field, p.lim.Head) {
			break
		}
		e := cr
		for e > v && wire.Space(b[e-1]) {
			e--
		}
		fields = append(fields, message.Field{
			Name:  message.Span{Off: uint32(line), Len: uint32(i - line)},
			Value: message.Span{Off: uint32(v), Len: uint32(e - v)},
			ID:    message.LookupName(b[line:i]),
		})
		line, last = lf+1, line
	}
	h.Fields = fields
	p.field = last
	p.line, p.scan = line, line
}

// fieldLine reads the line b[line:end]: name ":" OWS value OWS (RFC 9112 §5).
func (p *Parser) fieldLine(b []byte, h *message.Head, line, end int) Error {
	if len(h.Fields) >= p.lim.Fields {
		return flaw(TooManyFields, line)
	}
	i := line
	for wire.TokenChar[b[i]] { // stops at the line's LF at the latest
		i++
	}
	colon := i
	id := message.LookupName(b[line:i])
	if b[i] != ':' || i == line {
		var err Error
		if colon, err = p.colon(b, line, i, end, id); !err.Ok() {
			return err
		}
	}
	v, e := wire.Trim(b, colon+1, end)
	f := message.Field{
		Name:  message.Span{Off: uint32(line), Len: uint32(i - line)},
		Value: message.Span{Off: uint32(v), Len: uint32(e - v)},
		ID:    id,
	}
	if k := v + wire.FirstControl(b[v:e]); k < e {
		if err := p.controls(b, k, e); !err.Ok() {
			return err
		}
		f.Flags |= message.Controls
	}
	p.field = line
	h.Fields = append(h.Fields, f)
	return Error{}
}

// colon judges a name that does not end in its colon: b[i] is the first byte
// that is no tchar. It returns the colon's place if only white space precedes it.
func (p *Parser) colon(b []byte, line, i, end int, id message.Name) (int, Error) {
	if i < end && b[i] == ':' {
		return 0, flaw(NameEmpty, line)
	}
	k := i
	for k < end && wire.Space(b[k]) {
		k++
	}
	switch {
	// "A proxy MUST remove any such whitespace from a response message before
	// forwarding the message downstream."
	// https://www.rfc-editor.org/rfc/rfc9112#section-5.1-2
	// Where the name decides framing or routing, somebody before us may have read
	// it differently: no repair.
	case k > i && k < end && b[k] == ':':
		if critical(id) || !p.repair(AllowSpaceBeforeColon, SpaceBeforeColon, i) {
			return 0, flaw(SpaceBeforeColon, i)
		}
		return k, Error{}
	case i < end && b[i] == 0:
		return 0, flaw(NUL, i)
	case i < end && b[i] == '\r':
		return 0, flaw(BareCR, i)
	case i == end || bytes.IndexByte(b[i:end], ':') < 0:
		return 0, flaw(NoColon, line)
	}
	return 0, flaw(NameChar, i)
}

// controls judges the control characters of a value; the first is at b[k].
func (p *Parser) controls(b []byte, k, e int) Error {
	for k < e {
		switch {
		case b[k] == 0:
			return flaw(NUL, k)
		case b[k] == '\r':
			return flaw(BareCR, k)
		case !p.repair(AllowControls, Control, k):
			return flaw(Control, k)
		}
		k++
		k += wire.FirstControl(b[k:e])
	}
	return Error{}
}

// fold adds the continuation line b[line:end] to the last field (obs-fold, RFC
// 9112 §5.2).
func (p *Parser) fold(b []byte, h *message.Head, line, end int) Error {
	// "A recipient that receives whitespace between the start-line and the first
	// header field MUST either reject the message as invalid or consume each
	// whitespace-preceded line without further processing"
	// https://www.rfc-editor.org/rfc/rfc9112#section-2.2-8
	if len(h.Fields) == 0 {
		return flaw(FoldFirst, line)
	}
	f := &h.Fields[len(h.Fields)-1]
	if critical(f.ID) || !p.repair(AllowObsFold, ObsFold, line) {
		return flaw(ObsFold, line)
	}
	v, e := wire.Trim(b, line, end)
	if k := v + wire.FirstControl(b[v:e]); k < e {
		if err := p.controls(b, k, e); !err.Ok() {
			return err
		}
		f.Flags |= message.Controls
	}
	f.Flags |= message.Folded
	if v < e {
		if f.Value.Len == 0 {
			f.Value.Off = uint32(v)
		}
		f.Value.Len = uint32(e) - f.Value.Off
	}
	return Error{}
}

// critical reports whether two readings of a field with this name could make
// two parsers disagree about framing or routing.
func critical(id message.Name) bool {
	switch id {
	case message.ContentLength, message.TransferEncoding, message.Host, message.Connection,
		message.Upgrade, message.Expect, message.Trailer, message.TE:
		return true
	}
	return false
}
