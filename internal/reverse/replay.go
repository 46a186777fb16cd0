package reverse

import (
	"io"
	"os"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
)

// Spool is a temporary file for a request's body. Its methods may block and are
// called off the loop.
type Spool interface {
	io.WriterAt
	io.ReaderAt
	io.Closer
}

// openSpool makes a file without a name: it vanishes with its descriptor.
func openSpool() (Spool, error) {
	f, err := os.CreateTemp("", "gatewhy-spool-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// body is the request's body as far as it was read, kept for another attempt:
// in memory first, then in a file, then no longer.
type body struct {
	whole bool   // the client has sent all of it
	bytes []byte // what is in memory: kept, or a view into the client's buffer
	kept  []byte
	spool Spool
	disk  int64 // bytes in the spool
	lost  bool  // a part was not kept: no other attempt can send it
}

// size is the number of bytes kept.
func (b *body) size() int64 { return int64(len(b.bytes)) + b.disk }

// close gives the file back.
func (b *body) close() {
	if b.spool != nil {
		b.spool.Close()
		b.spool = nil
	}
}

// takeBody takes what of the body came with the head, without waiting. A small
// body stays where it is, in the client's buffer: nothing is read into that before the
// exchange ends.
func (c *call) takeBody() *fault.Fault {
	b, x := &c.body, c.x
	if x.Request.Framing.Body == message.NoBody {
		b.whole = true
		x.Client.Relax()
		return nil
	}
	for {
		piece, done, f := x.Client.Piece(false)
		if f != nil {
			return f
		}
		if done {
			x.Trail.BodyRead, b.whole = x.Stamp(), true
			if len(b.kept) == 0 {
				b.bytes = piece
				return nil
			}
		}
		b.kept = append(b.kept, piece...)
		b.bytes = b.kept
		if done || len(piece) == 0 {
			return nil
		}
	}
}

// keepPiece keeps a piece that was read from the client. Only the sending hand
// calls it.
func (c *call) keepPiece(piece []byte) {
	b, o := &c.body, c.p.o
	if b.lost || len(piece) == 0 {
		return
	}
	if b.spool == nil && int64(len(b.kept)+len(piece)) <= o.ReplayMemory {
		b.kept = append(b.kept, piece...)
		b.bytes = b.kept
		return
	}
	// A file pays only where the method lets another attempt follow a delivery.
	if !c.idempotent || b.disk+int64(len(piece)) > o.ReplayDisk {
		c.forget()
		return
	}
	var err error
	c.p.loop.Do(func() {
		if b.spool == nil {
			if o.Spool != nil {
				b.spool, err = o.Spool()
			} else {
				b.spool, err = openSpool()
			}
		}
		if err == nil {
			_, err = b.spool.WriteAt(piece, b.disk)
		}
	})
	if err != nil {
		// The request goes on unbuffered: a full disk costs the replay, not the request.
		c.note(fault.LocalDiskFull, -1)
		c.forget()
		return
	}
	b.disk += int64(len(piece))
}

func (c *call) forget() {
	c.body.lost = true
	c.body.close()
}

// readRest reads the rest of the body into memory, for an upstream that wants
// its length first. It returns false if that is more than may be kept.
func (c *call) readRest() bool {
	b := &c.body
	if c.invite() != nil {
		return false
	}
	for !b.whole {
		piece, done, f := c.x.Client.Piece(true)
		if f != nil || int64(len(b.kept)+len(piece)) > c.p.o.ReplayMemory || b.lost || b.spool != nil {
			return false
		}
		b.kept = append(b.kept, piece...)
		b.bytes, b.whole = b.kept, done
	}
	return !b.lost && b.spool == nil
}

// replay sends what is kept.
func (b *body) replay(c *call) *fault.Fault {
	if f := c.sendPiece(b.bytes); f != nil || c.sendErr != nil {
		return f
	}
	if b.spool == nil {
		return nil
	}
	buf := make([]byte, loop.BufferSize)
	for at := int64(0); at < b.disk; {
		n := min(int64(len(buf)), b.disk-at)
		var err error
		c.p.loop.Do(func() { _, err = b.spool.ReadAt(buf[:n], at) })
		if err != nil {
			return fault.New(fault.GatewayInternalError, "value", "the spooled body cannot be read").Because(err)
		}
		if f := c.sendPiece(buf[:n]); f != nil || c.sendErr != nil {
			return f
		}
		at += n
	}
	return nil
}

// replayable reports whether the whole body can be sent again.
func (c *call) replayable() bool { return !c.body.lost }
