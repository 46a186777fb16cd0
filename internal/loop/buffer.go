package loop

// BufferSize is the usual storage of a Buffer in bytes: a 16 KiB body and its
// head fit into one read. It stays in the second-level cache.
const BufferSize = 20 << 10

// Buffer is a window of input: bytes come in at the end, are consumed at the
// start. The zero value is empty and holds no storage. A Buffer with storage
// must be released on the loop whose stream filled it.
type Buffer struct {
	data []byte
	r, w int
	pool *Pool // where data goes back to; nil for storage of its own size
}

// Bytes are what has come and was not consumed. They stay where they are until
// the next Fill, Grow or Release; the owner may change them.
func (b *Buffer) Bytes() []byte { return b.data[b.r:b.w] }

// Len is the number of those bytes.
func (b *Buffer) Len() int { return b.w - b.r }

// Room is how many more bytes fit without Grow, counting consumed space.
func (b *Buffer) Room() int { return len(b.data) - (b.w - b.r) }

// Consume forgets the first n bytes. When none is left the storage is kept, for
// another Fill; Release gives it back.
func (b *Buffer) Consume(n int) {
	b.r += n
	if b.r >= b.w {
		b.r, b.w = 0, 0
	}
}

// Release gives the storage back and forgets what was in it.
func (b *Buffer) Release() {
	if b.data == nil {
		return
	}
	if b.pool != nil {
		b.pool.put(b.data)
	}
	*b = Buffer{}
}

// ReleaseEmpty gives the storage back if nothing is in it.
func (b *Buffer) ReleaseEmpty() {
	if b.r == b.w {
		b.Release()
	}
}

// Grow makes room for at least n bytes in all, consumed space not counted. It
// keeps the content. Storage beyond BufferSize is not pooled.
func (b *Buffer) Grow(n int) {
	if n <= len(b.data) {
		b.compact()
		return
	}
	data := make([]byte, n)
	w := copy(data, b.Bytes())
	b.Release()
	b.data, b.w = data, w
}

// Append adds p behind what b holds and grows as needed; p came from elsewhere
// than a stream.
func (b *Buffer) Append(p []byte) {
	if b.Len()+len(p) > len(b.data) {
		b.Grow(max(BufferSize, 2*(b.Len()+len(p))))
	} else if b.w+len(p) > len(b.data) {
		b.compact()
	}
	b.w += copy(b.data[b.w:], p)
}

func (b *Buffer) compact() {
	if b.r > 0 {
		b.w = copy(b.data, b.data[b.r:b.w])
		b.r = 0
	}
}

// Space is for engines and for wrappers of streams: it returns where the next
// input goes, taking storage from pool if b has none. It is empty if b is full.
func (b *Buffer) Space(pool *Pool) []byte {
	if b.data == nil {
		b.data, b.pool = pool.get(), pool
	}
	if b.w == len(b.data) {
		b.compact()
	}
	return b.data[b.w:]
}

// Took is for engines and for wrappers of streams: n bytes came into Space.
func (b *Buffer) Took(n int) { b.w += n }

// full reports whether b has storage and no room in it: what ErrFull says.
func (b *Buffer) full() bool { return b.data != nil && b.Room() == 0 }

// Pool is a loop's store of buffers, last in first out so that the memory stays
// in cache. It must be used on its loop only.
type Pool struct {
	free [][]byte
	// Keep bounds how many free buffers are kept; 0 means 256 (5 MiB).
	Keep int
	// Poison overwrites what is released with 0xDB, so that a test notices who
	// still reads it.
	Poison bool
}

func (p *Pool) get() []byte {
	if n := len(p.free); n > 0 {
		d := p.free[n-1]
		p.free = p.free[:n-1]
		return d
	}
	return make([]byte, BufferSize)
}

func (p *Pool) put(d []byte) {
	if p.Poison {
		for i := range d {
			d[i] = 0xDB
		}
	}
	keep := p.Keep
	if keep == 0 {
		keep = 256
	}
	if len(p.free) < keep {
		p.free = append(p.free, d)
	}
}
