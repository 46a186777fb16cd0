package loop

import (
	"bytes"
	"testing"
)

// FuzzBuffer plays random operations on a Buffer and on a plain slice: both must
// always hold the same bytes.
func FuzzBuffer(f *testing.F) {
	f.Add([]byte{0, 10, 1, 5, 2, 200, 3, 0, 4, 0})
	f.Add([]byte{5, 255, 5, 255, 1, 1, 5, 255, 2, 255, 5, 3})
	f.Fuzz(func(t *testing.T, ops []byte) {
		pool := &Pool{Poison: true, Keep: 2}
		var b Buffer
		var model []byte
		next := byte(0)
		make1 := func(n int) []byte {
			p := make([]byte, n)
			for i := range p {
				next = next*31 + 7
				p[i] = next
			}
			return p
		}
		for i := 0; i+1 < len(ops); i += 2 {
			n := int(ops[i+1]) * 40
			switch ops[i] % 7 {
			case 0:
				p := make1(n)
				b.Append(p)
				model = append(model, p...)
			case 1:
				n = min(n, len(model))
				b.Consume(n)
				model = model[n:]
			case 2:
				b.Grow(n)
				if b.Room()+b.Len() < n {
					t.Fatalf("Grow(%d) left %d", n, b.Room()+b.Len())
				}
			case 3:
				b.Release()
				model = nil
				if b.Room() != 0 {
					t.Fatal("storage after Release")
				}
			case 4:
				b.ReleaseEmpty()
				if len(model) == 0 && b.Room() != 0 {
					t.Fatal("storage after ReleaseEmpty")
				}
			case 5: // as an engine does
				full := b.full()
				space := b.Space(pool)
				if full != (len(space) == 0) || len(space) > b.Room() {
					t.Fatalf("full is %v, space is %d, room is %d", full, len(space), b.Room())
				}
				p := make1(min(n, len(space)))
				b.Took(copy(space, p))
				model = append(model, p...)
			case 6: // the owner may change what is there
				for j := range b.Bytes() {
					b.Bytes()[j]++
					model[j]++
				}
			}
			if b.Len() != len(model) || !bytes.Equal(b.Bytes(), model) {
				t.Fatalf("step %d: %d bytes, want %d, or others", i/2, b.Len(), len(model))
			}
			if len(pool.free) > 2 {
				t.Fatalf("the pool keeps %d", len(pool.free))
			}
		}
	})
}

func TestPool(t *testing.T) {
	p := &Pool{Keep: 2, Poison: true}
	var a, b, c Buffer
	for _, x := range []*Buffer{&a, &b, &c} {
		x.Took(copy(x.Space(p), "secret"))
	}
	last := b.Bytes()
	a.Release()
	b.Release()
	c.Release() // one too many
	if len(p.free) != 2 {
		t.Errorf("the pool keeps %d, want 2", len(p.free))
	}
	for _, x := range last {
		if x != 0xDB {
			t.Fatalf("released storage holds %q", last)
		}
	}
	var d Buffer
	if s := d.Space(p); &s[0] != &last[0] {
		t.Error("not the storage that was used last")
	}
	big := Buffer{}
	big.Grow(BufferSize + 1)
	big.Release()
	if len(p.free) != 1 {
		t.Error("storage of its own size came into the pool")
	}
}
