package h1

import (
	"bytes"

	"github.com/gatewhy/gatewhy/internal/message"
)

// Parser reads one head. Init it for each message; it keeps no bytes.
//
// Its use: call Parse with all bytes of the head so far, again with more until
// n > 0 or the error is set. The bytes may move between calls. What was looked
// at once is not looked at again, so slow senders cost no more than fast ones.
type Parser struct {
	lim     *Limits
	own     Limits // what lim points to if the caller's left something out
	kind    Kind
	allow   Allow
	state   state
	nrepair uint8
	blanks  uint8
	junk    junk
	line    int // offset of the line that is being read
	scan    int // how far this line was searched for what state waits for
	start   int // offset of the start line's first byte that is no white space
	method  int // offset behind the method
	field   int // offset of the last field line
	noted   [2]uint64
	repairs [8]Error
	err     Error
}

// trailer is a kind without start line, for the Decoder.
const trailer Kind = 255

// state is what a Parser waits for.
type state uint8

const (
	begin     state = iota
	blank           // the first byte of the start line
	preface         // enough of it to tell that it is HTTP
	startLine       // its end
	fieldLine       // the end of a field line
	failed
)

// Init prepares p for a message of kind k. A nil l means the defaults. It keeps
// no pointer to l.
func (p *Parser) Init(k Kind, l *Limits, a Allow) {
	d := &DefaultResponse
	if k == Request {
		d = &DefaultRequest
	}
	p.lim = l.fill(d, &p.own)
	// Everything but repairs, which nrepair bounds: this runs for each message.
	p.kind, p.allow, p.state = k, a, begin
	p.line, p.scan, p.start, p.method, p.field = 0, 0, 0, 0, 0
	p.nrepair, p.blanks, p.junk = 0, 0, junk{}
	p.noted, p.err = [2]uint64{}, Error{}
}

// Parse reads a head from b, which holds all bytes of the message so far. It
// returns n = 0 and no error if it needs more.
//
// On n > 0 the head is complete: n is its length with its empty line, and
// h.Raw is b[:n]. Method, Target and Fields are set; of an origin-form target
// also Path, of absolute-form Authority and Path, of authority-form Authority.
// What the fields mean is for FrameRequest or FrameResponse. On an error h.Raw
// is b, and h holds what was read before it.
//
// For absolute-form, Path may be empty or begin with "?": AppendRequestLine
// writes the "/" that RFC 9112 §3.2.1 asks for.
func (p *Parser) Parse(b []byte, h *message.Head) (n int, err Error) {
	for err.Ok() {
		more := false
		switch p.state {
		case begin:
			h.Reset()
			p.state = blank
			if p.kind == trailer {
				p.state = fieldLine
			}
		case blank:
			more, err = p.blankLines(b)
		case preface:
			if p.kind == Request {
				more, err = p.requestPreface(b)
			} else {
				more, err = p.responsePreface(b)
			}
		case startLine:
			more, err = p.startLine(b, h)
		case fieldLine:
			n, err = p.fieldLines(b, h)
			if n > 0 {
				h.Raw, h.Lines = b[:n:n], true
				return n, Error{}
			}
			more = true
		case failed:
			return 0, p.err
		}
		if more && err.Ok() {
			return 0, Error{}
		}
	}
	h.Raw = b
	p.state, p.err = failed, err
	return 0, err
}

// End says what is certain when the stream ends behind b, all bytes that Parse
// has seen: a flaw if they can be no HTTP message at all, none if they are
// merely the beginning of one (RFC 9112 §8: the message is incomplete).
func (p *Parser) End(b []byte) Error {
	switch {
	case p.state == failed:
		return p.err
	case p.state == preface && p.kind == Response && p.junk.is:
		if !p.junk.ended && versionLine(b[p.start:]) {
			return Error{VersionName, int64(p.junk.at)}
		}
		return Error{NotHTTP, int64(p.junk.at)}
	}
	return Error{}
}

// Begun reports whether anything but empty lines was seen: false while a
// connection that ends, ends between messages.
func (p *Parser) Begun() bool { return p.state > blank }

// Repairs are the flaws that were repaired, by Parse and by FrameRequest or
// FrameResponse: of each flaw the first place, at most eight. The slice is p's.
func (p *Parser) Repairs() []Error { return p.repairs[:p.nrepair] }

// repair notes a flaw that bit allows and reports whether it does.
func (p *Parser) repair(bit Allow, f Flaw, at int) bool {
	if p.allow&bit == 0 {
		return false
	}
	p.note(f, at)
	return true
}

func (p *Parser) note(f Flaw, at int) {
	if p.noted[f>>6]&(1<<(f&63)) != 0 || int(p.nrepair) == len(p.repairs) {
		return
	}
	p.noted[f>>6] |= 1 << (f & 63)
	p.repairs[p.nrepair] = Error{f, int64(at)}
	p.nrepair++
}

func flaw(f Flaw, at int) Error { return Error{f, int64(at)} }

// lineEnd returns the offset of the LF that ends the line at p.line, -1 if it
// has not come. over is true if the line, counted from base, is longer than
// limit, or the head than its own: then no LF is looked for behind it, so that
// the verdict does not depend on how much has arrived.
func (p *Parser) lineEnd(b []byte, base, limit int) (lf int, over bool) {
	end := min(base+limit, p.lim.Head)
	if k := min(end, len(b)); p.scan < k {
		if i := bytes.IndexByte(b[p.scan:k], '\n'); i >= 0 {
			return p.scan + i, false
		}
		p.scan = k
	}
	return -1, len(b) >= end
}

// next makes the line behind lf the current one.
func (p *Parser) next(lf int, s state) {
	p.line, p.scan, p.state = lf+1, lf+1, s
}

// maxBlanks is how many empty lines may come before a start line: one that an
// old client adds to a body, and one more for good measure.
const maxBlanks = 2

// blankLines skips them (RFC 9112 §2.2). Whoever repairs bare LF in lines takes
// an empty line without CR too.
func (p *Parser) blankLines(b []byte) (more bool, err Error) {
	for {
		at := p.line
		if at >= p.lim.Head {
			return false, flaw(SectionTooLarge, p.lim.Head)
		}
		if at == len(b) {
			return true, Error{}
		}
		lf := at
		switch b[at] {
		case '\n':
			if p.allow&AllowBareLF == 0 {
				return false, flaw(BareLF, at)
			}
		case '\r':
			if lf = at + 1; lf == len(b) {
				return true, Error{}
			}
			if b[lf] != '\n' {
				return false, flaw(BareCR, at)
			}
		default:
			p.start = at
			p.state = preface
			return false, Error{}
		}
		if p.blanks++; p.blanks > maxBlanks || !p.repair(AllowLeadingBlank, LeadingBlank, at) {
			return false, flaw(LeadingBlank, at)
		}
		if lf == at {
			p.note(BareLF, at)
		}
		p.next(lf, blank)
	}
}

// startLine reads the start line once all of it is there.
func (p *Parser) startLine(b []byte, h *message.Head) (more bool, err Error) {
	lf, over := p.lineEnd(b, p.line, p.lim.StartLine)
	if lf < 0 {
		if !over {
			return true, Error{}
		}
		return false, p.startTooLong(b)
	}
	end := lf
	if b[lf-1] == '\r' { // there is at least a method or "HTTP/"
		end--
	}
	if p.kind == Request {
		err = p.requestLine(b, h, end)
	} else {
		err = p.statusLine(b, h, end)
	}
	if err.Ok() && end == lf && !p.repair(AllowBareLF, BareLF, lf) {
		err = flaw(BareLF, lf)
	}
	p.next(lf, fieldLine)
	return false, err
}

// startTooLong judges a start line that has no end within the limits.
func (p *Parser) startTooLong(b []byte) Error {
	end := p.line + p.lim.StartLine
	if end > p.lim.Head {
		return flaw(SectionTooLarge, p.lim.Head)
	}
	if p.kind == Request && p.state == startLine {
		// It is the target's fault if what follows it would not fit.
		from := p.method + 1
		to := max(from, end-len("HTTP/1.1\r\n"))
		if bytes.IndexByte(b[from:to], ' ') < 0 {
			return flaw(TargetTooLong, end)
		}
	}
	return flaw(StartLineTooLong, end)
}
