package h2

import (
	"cmp"
	"math"

	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire"
)

// Limits bound one head, in bytes of "name: value CRLF" lines unless said
// otherwise. A zero field means its default: that of DefaultRequest or
// DefaultAnswer. The size of a compressed block is the caller's to bound.
type Limits struct {
	Path   int // the value of :path
	Field  int // one field
	Head   int // all fields and pseudo-fields; SETTINGS_MAX_HEADER_LIST_SIZE should say this
	Fields int // number of fields
}

// DefaultRequest and DefaultAnswer are what HTTP/1.1's heads may be, see package
// h1: a message is not to fail because of the version that it came in.
var (
	DefaultRequest = Limits{Path: 16 << 10, Field: 32 << 10, Head: 64 << 10, Fields: 200}
	DefaultAnswer  = Limits{Path: 16 << 10, Field: 128 << 10, Head: 256 << 10, Fields: 1000}
)

// Decoder turns the field blocks of one connection and direction into heads, in
// the order in which they come. The zero value is not ready: see Init.
type Decoder struct {
	table     table
	announced uint32
	allowed   uint32 // the largest table that the peer may ask for
	limits    Limits
	s         section
	spare     []byte // where Skip decodes to
}

// Init begins a connection. announced is the SETTINGS_HEADER_TABLE_SIZE that we
// told the peer, DefaultTable if we told none. unset says what limits the zero
// fields of l mean.
func (d *Decoder) Init(announced uint32, l, unset *Limits) {
	*d = Decoder{announced: announced, allowed: max(announced, DefaultTable), limits: Limits{
		Path:   cmp.Or(l.Path, unset.Path),
		Field:  cmp.Or(l.Field, unset.Field),
		Head:   cmp.Or(l.Head, unset.Head),
		Fields: cmp.Or(l.Fields, unset.Fields),
	}}
	// The peer begins with the default and may go up when it has seen our SETTINGS.
	d.table.max = DefaultTable
}

// Acknowledged says that the peer has seen our SETTINGS: from now on it may not ask
// for a larger table than announced.
func (d *Decoder) Acknowledged() { d.allowed = d.announced }

// Limits are the limits in force.
func (d *Decoder) Limits() *Limits { return &d.limits }

// TableSize is what the dynamic table now counts (RFC 7541 §4.1), in bytes.
func (d *Decoder) TableSize() uint32 { return d.table.size }

// section is a head in the making.
type section struct {
	h       *message.Head
	raw     []byte
	kind    kind
	err     Error // the first flaw that costs the stream
	noted   Error // the first that was repaired
	full    bool  // a limit is passed: nothing more is stored
	fields  int   // that came, pseudo-fields not counted
	pseudo  uint8 // which pseudo-fields came: bits 1<<pMethod and so on
	scheme  message.Span
	host    int // index of Host in h.Fields from 1; 0 for none
	length  int // likewise of Content-Length
	declare int64
	cookies int
	urgency message.Span
	message.Framing
}

type kind uint8

const (
	request kind = iota
	answer
	trailer
)

// flaw notes the first flaw that costs the stream. The block is decoded to its end
// all the same, since the next one depends on the table.
func (s *section) flaw(f Flaw, at uint32) {
	if s.err.Ok() {
		s.err = streamFlaw(f, int(at))
	}
}

func (s *section) note(f Flaw, at uint32) {
	if s.noted.Ok() {
		s.noted = streamFlaw(f, int(at))
	}
}

// decode reads the whole block b. The error is one that costs the connection;
// what costs the stream is in d.s.err.
func (d *Decoder) decode(b []byte) Error {
	early := true // a change of the table's size may come
	for i := 0; i < len(b); {
		c := b[i]
		if c&0xe0 == 0x20 {
			v, n, f := integer(b[i:], 5)
			switch {
			case f != NoFlaw:
				return connectionFlaw(f, i)
			// "This dynamic table size update MUST occur at the beginning of the first
			// header block following the change to the dynamic table size."
			// https://www.rfc-editor.org/rfc/rfc7541#section-4.2-3
			case !early:
				return connectionFlaw(TableLate, i)
			case v > d.allowed:
				return connectionFlaw(TableTooLarge, i)
			}
			d.table.resize(v)
			i += n
			continue
		}
		early = false
		if c&0x80 != 0 {
			v, n, f := integer(b[i:], 7)
			if f != NoFlaw {
				return connectionFlaw(f, i)
			}
			e, line := d.lookup(v)
			if e == nil {
				return connectionFlaw(IndexInvalid, i)
			}
			d.indexed(e, line)
			i += n
			continue
		}
		n, err := d.literal(b, i)
		if !err.Ok() {
			return err
		}
		i += n
	}
	return Error{}
}

// lookup returns the entry with the index v and its line; nil if there is none.
func (d *Decoder) lookup(v uint32) (*entry, []byte) {
	if v <= staticLen {
		if v == 0 {
			return nil, nil
		}
		return &static.entry[v], static.line[v]
	}
	i := v - staticLen - 1
	if i >= uint32(d.table.count) {
		return nil, nil
	}
	e := d.table.at(int(i))
	return e, d.table.bytes[e.off : e.off+e.line()]
}

// indexed takes a field from a table.
func (d *Decoder) indexed(e *entry, line []byte) {
	s := &d.s
	if !d.room(int(e.name), int(e.value)) {
		return
	}
	at := uint32(len(s.raw))
	s.raw = append(s.raw, line...)
	d.field(at, *e)
}

// room reports whether a field of this size may still be stored. Once a limit is
// passed nothing more is: what follows is read for the table's sake only, so that
// many references to a long entry cost no memory and little time.
func (d *Decoder) room(name, value int) bool {
	s, l := &d.s, &d.limits
	line := name + value + lineOverhead
	switch {
	case s.full:
	case line > l.Field:
		s.flaw(FieldTooLong, uint32(len(s.raw)))
		s.full = true
	case len(s.raw)+line > l.Head:
		s.flaw(SectionTooLarge, uint32(len(s.raw)))
		s.full = true
	}
	return !s.full
}

// literal reads the literal field at b[i:] (RFC 7541 §6.2) and returns its length.
func (d *Decoder) literal(b []byte, i int) (n int, err Error) {
	s := &d.s
	start, prefix, index := i, uint(4), false
	if b[i]&0xc0 == 0x40 {
		prefix, index = 6, true
	}
	v, k, f := integer(b[i:], prefix)
	if f != NoFlaw {
		return 0, connectionFlaw(f, i)
	}
	i += k
	at := len(s.raw) // the line is made where it will stand
	var e entry
	if v != 0 {
		known, line := d.lookup(v)
		if known == nil {
			return 0, connectionFlaw(IndexInvalid, start)
		}
		e.name, e.id = known.name, known.id
		e.clean = known.clean
		s.raw = append(s.raw, line[:known.name]...)
	} else {
		if s.raw, k, err = appendString(s.raw, b, i); !err.Ok() {
			return 0, err
		}
		i += k
		e.name = uint32(len(s.raw) - at)
		e.id = message.LookupName(s.raw[at:])
	}
	s.raw = append(s.raw, ": "...)
	if s.raw, k, err = appendString(s.raw, b, i); !err.Ok() {
		return 0, err
	}
	i += k
	e.value = uint32(len(s.raw) - at - int(e.name) - 2)
	s.raw = append(s.raw, "\r\n"...)
	clean := (e.clean || v == 0 && cleanName(s.raw[at:at+int(e.name)])) && cleanValue(s.raw[at+int(e.name)+2:len(s.raw)-2])
	e.clean = clean
	if index {
		d.table.add(e, s.raw[at:])
	}
	line := s.raw
	s.raw = s.raw[:at]
	if d.room(int(e.name), int(e.value)) {
		s.raw = line
		d.field(uint32(at), e)
	}
	return i - start, Error{}
}

// cleanName reports whether a name is one that a field may have.
func cleanName(b []byte) bool {
	for _, c := range b {
		if !nameChar[c] {
			return false
		}
	}
	return len(b) > 0
}

// nameChar is what a field name may hold: no upper-case letters (RFC 9113 §8.2).
var nameChar = func() [256]bool {
	t := wire.TokenChar
	for c := 'A'; c <= 'Z'; c++ {
		t[c] = false
	}
	return t
}()

// cleanValue reports whether a value needs no judgement (RFC 9113 §8.2.1).
func cleanValue(b []byte) bool {
	return wire.FirstControl(b) == len(b) && (len(b) == 0 || !wire.Space(b[0]) && !wire.Space(b[len(b)-1]))
}

// integer reads an integer with a prefix of so many bits (RFC 7541 §5.1).
func integer(b []byte, prefix uint) (v uint32, n int, f Flaw) {
	most := uint32(1)<<prefix - 1
	if v = uint32(b[0]) & most; v < most {
		return v, 1, NoFlaw
	}
	sum := uint64(v)
	for n = 1; n < len(b); n++ {
		if n > 5 {
			return 0, 0, IntegerTooLong
		}
		sum += uint64(b[n]&0x7f) << (7 * (n - 1))
		if b[n]&0x80 == 0 {
			if sum > math.MaxUint32 {
				return 0, 0, IntegerTooLong
			}
			return uint32(sum), n + 1, NoFlaw
		}
	}
	return 0, 0, BlockCut
}

// appendString appends the string literal at b[i:] (RFC 7541 §5.2), and returns
// its length in b.
func appendString(dst, b []byte, i int) (out []byte, n int, err Error) {
	if i >= len(b) {
		return dst, 0, connectionFlaw(BlockCut, len(b))
	}
	size, k, f := integer(b[i:], 7)
	if f != NoFlaw {
		return dst, 0, connectionFlaw(f, i)
	}
	if uint64(size) > uint64(len(b)-i-k) {
		return dst, 0, connectionFlaw(BlockCut, i)
	}
	s := b[i+k : i+k+int(size)]
	if b[i]&0x80 == 0 {
		return append(dst, s...), k + len(s), Error{}
	}
	dst, bad := appendDecoded(dst, s)
	if bad >= 0 {
		return dst, 0, connectionFlaw(HuffmanInvalid, i+k+bad)
	}
	return dst, k + len(s), Error{}
}

// field judges the field whose line stands in raw at the offset at.
func (d *Decoder) field(at uint32, e entry) {
	s := &d.s
	name := message.Span{Off: at, Len: e.name}
	value := message.Span{Off: at + e.name + 2, Len: e.value}
	if e.name > 0 && s.raw[at] == ':' {
		d.pseudo(name, value)
		return
	}
	if s.fields++; s.fields > d.limits.Fields {
		s.flaw(TooManyFields, at)
		s.full = true
		return
	}
	var flags message.Flags
	if !e.clean {
		flags = s.unclean(name, value)
	}
	s.h.Fields = append(s.h.Fields, message.Field{Name: name, Value: value, ID: e.id, Flags: flags})
}

// unclean says what is wrong with a field that is not clean.
func (s *section) unclean(name, value message.Span) (flags message.Flags) {
	n, v := s.raw[name.Off:name.End()], s.raw[value.Off:value.End()]
	if len(n) == 0 {
		s.flaw(NameEmpty, name.Off)
	}
	for i, c := range n {
		if !nameChar[c] {
			f := NameChar
			if 'A' <= c && c <= 'Z' {
				f = NameUpper
			}
			s.flaw(f, name.Off+uint32(i))
			break
		}
	}
	for i := wire.FirstControl(v); i < len(v); i++ {
		switch c := v[i]; {
		case c == 0:
			s.flaw(NUL, value.Off+uint32(i))
		case c == '\r' || c == '\n':
			s.flaw(LineBreak, value.Off+uint32(i))
		case !wire.Control(c):
		case s.kind == request:
			s.flaw(Control, value.Off+uint32(i))
		default:
			// "a recipient [...] MAY retain such characters" in what a server says, as
			// SP (RFC 9110 §5.5).
			s.note(Control, value.Off+uint32(i))
			flags |= message.Controls
		}
	}
	// "A field value MUST NOT start or end with an ASCII whitespace character"
	// https://www.rfc-editor.org/rfc/rfc9113#section-8.2.1-3.5
	if len(v) > 0 {
		if wire.Space(v[0]) {
			s.flaw(ValueSpace, value.Off)
		} else if wire.Space(v[len(v)-1]) {
			s.flaw(ValueSpace, value.End()-1)
		}
	}
	return flags
}

// join makes one field of a request's cookies, which may come in pieces.
//
// "If there are multiple Cookie header fields after decompression, these MUST be
// concatenated into a single octet string using the two-octet delimiter of 0x3B,
// 0x20 (the ASCII string "; ") before being passed into a non-HTTP/2 context"
// https://www.rfc-editor.org/rfc/rfc9113#section-8.2.3-3
func (s *section) join() {
	h, at, first := s.h, uint32(len(s.raw)), -1
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID != message.Cookie {
			continue
		}
		if first < 0 {
			first = i
			s.raw = append(s.raw, "cookie: "...)
		} else {
			s.raw = append(s.raw, "; "...)
			f.Flags |= message.Drop
		}
		s.raw = append(s.raw, s.raw[f.Value.Off:f.Value.End()]...)
	}
	f := &h.Fields[first]
	f.Name = message.Span{Off: at, Len: uint32(len("cookie"))}
	f.Value = message.Span{Off: at + 8, Len: uint32(len(s.raw)) - at - 8}
	s.raw = append(s.raw, "\r\n"...)
}
