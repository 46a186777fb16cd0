package h2

import "github.com/gatewhy/gatewhy/internal/message"

// entry is a field in a table. The table holds it as the line "name: value CRLF"
// that it becomes in Head.Raw, so that using it is one copy.
type entry struct {
	off         uint32 // of the line
	name, value uint32 // lengths
	id          message.Name
	clean       bool // a field, not a pseudo-field, whose bytes were found in order
}

// lineOverhead is what a line has besides name and value.
const lineOverhead = len(": \r\n")

func (e *entry) line() uint32 { return e.name + e.value + uint32(lineOverhead) }

// entryOverhead is what an entry counts besides its bytes (RFC 7541 §4.1).
const entryOverhead = 32

func (e *entry) size() uint32 { return e.name + e.value + entryOverhead }

// table is a dynamic table (RFC 7541 §2.3.2). It grows to what is used.
type table struct {
	bytes   []byte  // the lines, the oldest first; forgotten ones may precede
	entries []entry // a ring
	first   int     // the oldest
	count   int
	size    uint32 // by RFC 7541 §4.1
	max     uint32 // set by the encoder
}

// at returns the i-th newest entry, from 0.
func (t *table) at(i int) *entry {
	return &t.entries[(t.first+t.count-1-i)%len(t.entries)]
}

func (t *table) resize(max uint32) {
	t.max = max
	t.evict(0)
}

// evict makes room for one more entry of so many bytes.
func (t *table) evict(size uint32) {
	for t.count > 0 && t.size+size > t.max {
		t.size -= t.entries[t.first].size()
		t.first = (t.first + 1) % len(t.entries)
		t.count--
	}
	if t.count == 0 {
		t.first, t.size, t.bytes = 0, 0, t.bytes[:0]
	}
}

// add adds the entry e, whose line is given. The line must not be the table's own.
func (t *table) add(e entry, line []byte) {
	t.evict(e.size())
	// "It is not an error to attempt to add an entry that is larger than the
	// maximum size; an attempt to add an entry larger than the maximum size causes
	// the table to be emptied of all existing entries and results in an empty
	// table." https://www.rfc-editor.org/rfc/rfc7541#section-4.4-3
	if e.size() > t.max {
		return
	}
	if t.count == len(t.entries) {
		t.grow()
	}
	if len(t.bytes)+len(line) > cap(t.bytes) {
		t.compact(len(line))
	}
	e.off = uint32(len(t.bytes))
	t.bytes = append(t.bytes, line...)
	t.entries[(t.first+t.count)%len(t.entries)] = e
	t.count++
	t.size += e.size()
}

func (t *table) grow() {
	more := make([]entry, max(8, 2*len(t.entries)))
	for i := range t.count {
		more[i] = t.entries[(t.first+i)%len(t.entries)]
	}
	t.entries, t.first = more, 0
}

// compact moves the lines to the start of their memory, and to a larger one if
// they would soon have to be moved again.
func (t *table) compact(more int) {
	from := uint32(len(t.bytes))
	if t.count > 0 {
		from = t.entries[t.first].off
	}
	live := t.bytes[from:]
	dst := t.bytes[:0]
	if need := 2 * (len(live) + more); need > cap(t.bytes) {
		dst = make([]byte, 0, max(256, need))
	}
	t.bytes = append(dst, live...)
	for i := range t.count {
		t.entries[(t.first+i)%len(t.entries)].off -= from
	}
}
