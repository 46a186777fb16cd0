package soak

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
)

// period is the length after which a body repeats. It is prime, so that bytes moved
// by the size of any buffer are other bytes.
const period = 65521

// table holds the bytes of all bodies, twice.
var table = func() []byte {
	b := make([]byte, 2*period)
	rand.NewChaCha8([32]byte{7}).Read(b[:period])
	copy(b[period:], b[:period])
	return b
}()

// content is the body that belongs to a request: a reader of size bytes that
// follow from its number.
type content struct {
	id   uint64
	at   int64
	size int64
}

// next are the bytes at the reader's place, at most most.
func (c *content) next(most int) []byte {
	from := int((c.id*40503 + uint64(c.at)) % period)
	return table[from : from+min(most, period, int(c.size-c.at))]
}

func (c *content) Read(b []byte) (int, error) {
	if c.at == c.size {
		return 0, io.EOF
	}
	n := copy(b, c.next(len(b)))
	c.at += int64(n)
	return n, nil
}

var errWrongBytes = errors.New("wrong bytes")

// Write compares what comes with what should.
func (c *content) Write(b []byte) (int, error) {
	for n := 0; n < len(b); {
		want := c.next(len(b) - n)
		if len(want) == 0 || !bytes.Equal(want, b[n:n+len(want)]) {
			return n, errWrongBytes
		}
		n += len(want)
		c.at += int64(len(want))
	}
	return len(b), nil
}
