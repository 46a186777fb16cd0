package h1

import (
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire"
)

// Decoder reads one body. Init it for each message; its memory for trailers is
// kept.
//
// Its use: call Next with the input behind what it has consumed, drop n bytes,
// use data, until Done or an error. Next consumes as much as it can, but returns
// at most one piece of payload at a time.
type Decoder struct {
	lim   *Limits
	own   Limits // what lim points to if the caller's left something out
	allow Allow
	kind  message.BodyKind
	state chunk

	off      int64 // bytes consumed
	received int64 // of them payload
	left     int64 // of the chunk or of the sized body; while a size is read, the size
	line     int64 // offset of the chunk line
	mark     int64 // offset to blame if the next byte is not the one hoped for
	ext      int64 // bytes of extensions so far

	err     Error
	noted   bool
	repairs [2]Error
	nrepair uint8
	section Limits // of the trailer section
	parser  Parser
	trailer message.Head
}

// chunk is what a Decoder waits for.
type chunk uint8

const (
	done       chunk = iota
	payload          // data
	sizeFirst        // the first digit of a chunk size
	sizeMore         // more digits, or what ends them
	sizeSpace        // ";" behind white space
	extName          // the first byte of an extension's name
	extNameEnd       // more of the name, or what ends it
	extEqual         // "=", ";" or the line's end, behind white space
	extValue         // the first byte of its value
	extToken         // more of a token
	extQuoted        // more of a quoted string
	extEscape        // the byte behind "\"
	extNext          // ";" or the line's end
	sizeLF           // the LF of the line
	extCut           // what follows a CR that comes too early
	dataCR           // the CR behind a chunk's data
	dataLF           // its LF
	trailers         // the whole trailer section
)

// Init prepares d for the body that f speaks of. A nil l means the defaults.
func (d *Decoder) Init(f message.Framing, l *Limits, a Allow) {
	d.lim = l.fill(&DefaultResponse, &d.own)
	d.allow, d.kind, d.left = a, f.Body, 0
	d.off, d.received, d.line, d.mark, d.ext = 0, 0, 0, 0, 0
	d.err, d.nrepair, d.noted = Error{}, 0, false
	d.trailer.Reset()
	switch f.Body {
	case message.Sized:
		d.left, d.state = f.Length, payload
		if f.Length <= 0 {
			d.state = done
		}
	case message.Streamed:
		d.state = sizeFirst
	case message.ToClose:
		d.left, d.state = 1<<63-1, payload
	default:
		d.state = done
	}
}

// Next reads from in, the input behind what was consumed so far. It consumes
// in[:n]; data, if not empty, is a piece of that and part of the payload. An
// error comes after all payload before it, and stays. n = 0 without an error
// means that more input is needed or, if Done, that nothing more belongs to the
// body.
//
// A trailer section is consumed only when all of it is in in, which must
// therefore have room for Limits.Trailer bytes.
func (d *Decoder) Next(in []byte) (data []byte, n int, err Error) {
	if !d.err.Ok() {
		return nil, 0, d.err
	}
	for n < len(in) && d.state != done {
		if d.state != payload {
			k, more := d.framing(in[n:])
			n += k
			d.off += int64(k)
			if !d.err.Ok() && len(data) == 0 {
				return nil, n, d.err
			}
			if more || !d.err.Ok() {
				break
			}
			continue
		}
		if len(data) > 0 {
			break
		}
		k := len(in) - n
		if int64(k) >= d.left {
			k = int(d.left)
			d.state = dataCR
			if d.kind == message.Sized {
				d.state = done
			}
		}
		data = in[n : n+k : n+k]
		n += k
		d.left -= int64(k)
		d.off += int64(k)
		d.received += int64(k)
	}
	if d.kind == message.ToClose {
		d.left = 1<<63 - 1
	}
	return data, n, Error{}
}

// Skip counts n bytes of a sized body, at most Left, that went another way.
func (d *Decoder) Skip(n int64) {
	d.left -= n
	d.off += n
	d.received += n
	if d.left == 0 {
		d.state = done
	}
}

// Done reports whether the whole body was consumed. A body that ends with the
// connection is never done: Finish says so.
func (d *Decoder) Done() bool { return d.state == done }

// Finish says what the end of the stream means here (RFC 9112 §8). complete is
// true if all of the payload was read: the body is done, or ends with the
// connection, or was chunked and its last chunk was read, where AllowLastChunk
// makes that a repair. A certain flaw is LastChunkCut, where it is not allowed,
// and whatever Next found.
func (d *Decoder) Finish() (complete bool, err Error) {
	switch {
	case !d.err.Ok():
		return false, d.err
	case d.state == done:
		return true, Error{}
	case d.kind == message.ToClose:
		d.state = done
		return true, Error{}
	case d.state != trailers:
		return false, Error{}
	case d.allow&AllowLastChunk == 0:
		d.err = Error{LastChunkCut, d.off}
		return false, d.err
	}
	d.note(LastChunkCut, d.off)
	d.trailer.Reset()
	d.state = done
	return true, Error{}
}

// Offset is the number of bytes consumed, framing included.
func (d *Decoder) Offset() int64 { return d.off }

// Received is the number of payload bytes returned.
func (d *Decoder) Received() int64 { return d.received }

// Left is how much of a Sized body, or of the chunk that is being read, is yet
// to come; 0 between chunks and for a body that ends with the connection.
func (d *Decoder) Left() int64 {
	if d.state != payload || d.kind == message.ToClose {
		return 0
	}
	return d.left
}

// Trailer is the trailer section, nil if it has no field that may be forwarded.
// It is valid until the input moves.
func (d *Decoder) Trailer() *message.Head {
	for i := range d.trailer.Fields {
		if d.state == done && d.trailer.Fields[i].Flags&message.Drop == 0 {
			return &d.trailer
		}
	}
	return nil
}

// Repairs are the flaws that were repaired, of each the first place. The slice
// is d's.
func (d *Decoder) Repairs() []Error { return d.repairs[:d.nrepair] }

func (d *Decoder) note(f Flaw, at int64) {
	if int(d.nrepair) < len(d.repairs) {
		d.repairs[d.nrepair] = Error{f, at}
		d.nrepair++
	}
}

// framing reads from in what stands between payload (RFC 9112 §7.1). It returns
// how much it consumed, and more if it needs what has not come. It sets d.err.
func (d *Decoder) framing(in []byte) (n int, more bool) {
	for n < len(in) {
		if d.state == trailers {
			k := d.trailerSection(in[n:], d.off+int64(n))
			return n + k, k == 0
		}
		at := d.off + int64(n)
		if k := d.plainSize(in[n:], at); k > 0 {
			n += k
			return n, false
		}
		if d.state < dataCR && at-d.line >= int64(d.lim.ChunkLine) {
			d.err = Error{ChunkLineTooLong, at}
			return n, false
		}
		d.err = d.step(in[n], at)
		if !d.err.Ok() {
			return n, false
		}
		n++
		if d.state == payload {
			return n, false
		}
	}
	return n, d.state != done
}

// plainSize reads, in one go, what stands between nearly all chunks: the CRLF of
// the last one, a size of a few digits, CRLF. It returns 0 if that is not there,
// and the bytes are taken one by one.
func (d *Decoder) plainSize(in []byte, at int64) int {
	i := 0
	switch {
	case d.state == dataCR && len(in) > 2 && in[0] == '\r' && in[1] == '\n':
		i = 2
	case d.state != sizeFirst:
		return 0
	}
	start := i
	size := int64(0)
	for i < len(in) && i < start+7 && wire.HexValue[in[i]] >= 0 {
		size = size<<4 | int64(wire.HexValue[in[i]])
		i++
	}
	if size == 0 || i+2 > len(in) || in[i] != '\r' || in[i+1] != '\n' || i+2-start > d.lim.ChunkLine {
		return 0
	}
	d.line, d.left, d.state = at+int64(start), size, payload
	return i + 2
}

// step takes one byte of framing, c at offset at.
func (d *Decoder) step(c byte, at int64) Error {
	switch d.state {
	case sizeFirst, sizeMore:
		if v := wire.HexValue[c]; v >= 0 {
			if d.left > (1<<63-1)>>4 {
				return Error{ChunkSizeOverflow, at}
			}
			d.left, d.state = d.left<<4|int64(v), sizeMore
			return Error{}
		}
		return d.sizeEnd(c, at)
	case sizeLF:
		if c != '\n' {
			return Error{ChunkLineCR, at - 1}
		}
		return d.lineRead(at)
	case dataCR:
		switch c {
		case '\r':
			d.state = dataLF
			return Error{}
		case '\n':
			return Error{ChunkLineBareLF, at}
		}
		return Error{ChunkDataOverrun, at}
	case dataLF:
		if c != '\n' {
			return Error{ChunkLineCR, at - 1}
		}
		d.state, d.line, d.left = sizeFirst, at+1, 0
		return Error{}
	}
	return d.extension(c, at)
}

// sizeEnd takes the byte behind a chunk size, or in its place.
func (d *Decoder) sizeEnd(c byte, at int64) Error {
	switch {
	case d.state == sizeFirst:
		return Error{ChunkSizeInvalid, at}
	case c == '\r':
		d.state = sizeLF
	case c == '\n':
		return Error{ChunkLineBareLF, at}
	case c == ';':
		d.state, d.mark = extName, at
	case wire.Space(c):
		d.state, d.mark = sizeSpace, at
	default:
		return Error{ChunkSizeInvalid, at}
	}
	return Error{}
}

// extOverhead is how many bytes of extensions a body may hold besides one
// sixteenth of its payload: extensions carry signatures of chunks, and whoever
// sends more of them than of payload wants to keep us busy.
const extOverhead = 64 << 10

// lineRead concludes a chunk line that ends at the LF at offset at.
func (d *Decoder) lineRead(at int64) Error {
	// "0000001;a" has a long size and a short extension; what counts is that the
	// line is longer than any size needs.
	if n := at + 1 - d.line; n > 20 {
		if d.ext += n; d.ext > extOverhead+d.received/16 {
			return Error{ChunkLineTooLong, at}
		}
	}
	d.state = payload
	if d.left == 0 {
		d.state = trailers
		d.section = *d.lim
		d.section.Field, d.section.Head = d.lim.Trailer, d.lim.Trailer
		d.parser.Init(trailer, &d.section, 0)
	}
	return Error{}
}

// extension takes one byte of chunk extensions (RFC 9112 §7.1.1). We have no use
// for them, but what one parser skips as an extension another may take for data,
// so their grammar counts.
func (d *Decoder) extension(c byte, at int64) Error {
	switch {
	case d.state == extCut:
		if c == '\n' {
			return Error{ChunkExtInvalid, at - 1}
		}
		return Error{ChunkLineCR, at - 1}
	case c == '\n':
		return Error{ChunkLineBareLF, at}
	case c == '\r':
		return d.extensionCR()
	}
	switch d.state {
	case extQuoted:
		switch {
		case c == '"':
			d.state = extNext
		case c == '\\':
			d.state = extEscape
		case !wire.QuotedChar[c]:
			return Error{ChunkExtInvalid, at}
		}
		return Error{}
	case extEscape:
		d.state = extQuoted
		if wire.Control(c) {
			return Error{ChunkExtInvalid, at}
		}
		return Error{}
	case extName, extNameEnd, extValue, extToken:
		if wire.TokenChar[c] {
			if d.state == extName {
				d.state = extNameEnd
			} else if d.state == extValue {
				d.state = extToken
			}
			return Error{}
		}
	}
	return d.extensionMark(c, at)
}

// extensionCR takes a CR, which is right where the line may end.
func (d *Decoder) extensionCR() Error {
	switch d.state {
	case sizeSpace:
		return Error{ChunkSizeInvalid, d.mark}
	case extNameEnd, extEqual, extToken, extNext:
		d.state = sizeLF
	default:
		d.state = extCut
	}
	return Error{}
}

// extensionMark takes a byte between the words of an extension.
func (d *Decoder) extensionMark(c byte, at int64) Error {
	switch {
	case wire.Space(c):
		switch d.state {
		case extNameEnd:
			d.state = extEqual
		case extToken:
			d.state = extNext
		}
	case c == ';' && d.state != extName && d.state != extValue:
		d.state = extName
	case c == '=' && (d.state == extNameEnd || d.state == extEqual):
		d.state = extValue
	case c == '"' && d.state == extValue:
		d.state = extQuoted
	case d.state == sizeSpace:
		return Error{ChunkSizeInvalid, d.mark}
	default:
		return Error{ChunkExtInvalid, at}
	}
	return Error{}
}

// trailerSection reads the trailer section at the start of in, if it is whole
// (RFC 9112 §7.1.2). It is read by the rules of field lines, without repairs: a
// head is repaired before anybody has seen it, a trailer section ends a message
// that is half delivered.
func (d *Decoder) trailerSection(in []byte, off int64) (n int) {
	if in[0] == '\r' && len(in) > 1 && in[1] == '\n' {
		d.state = done
		return 2
	}
	n, err := d.parser.Parse(in, &d.trailer)
	if !err.Ok() {
		d.err = Error{TrailerMalformed, off + err.At}
		switch err.Flaw {
		case FieldTooLong, SectionTooLarge, TooManyFields:
			d.err.Flaw = TrailerTooLarge
		}
		return 0
	}
	if n == 0 {
		return 0
	}
	for i := range d.trailer.Fields {
		f := &d.trailer.Fields[i]
		if !wire.ForbiddenTrailer(f.ID, d.trailer.Bytes(f.Name)) {
			continue
		}
		at := off + int64(f.Name.Off)
		if d.allow&AllowTrailer == 0 {
			d.err = Error{TrailerForbidden, at}
			return 0
		}
		f.Flags |= message.Drop
		if !d.noted {
			d.noted = true
			d.note(TrailerForbidden, at)
		}
	}
	d.state = done
	return n
}
