package looptest

import (
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/gatewhy/gatewhy/internal/loop"
)

var ends = []contract{
	{"FIN comes after what was sent before", testEOF},
	{"half-close, ours and theirs", testHalfClose},
	{"what came before a reset is delivered first", testReset},
	{"a reset that Send or Check met first is still a reset", testResetNoted},
	{"Close while another task waits", testCloseWaiting},
	{"Abort while another task waits", testAbortWaiting},
	{"after Close", testAfterClose},
	{"Abort sends RST", testAbort},
	{"Delivery: read, then closed", testDelivered},
	{"Delivery: an end behind input", testEndedBehindInput},
	{"Delivery: closed before we wrote", testUndelivered},
	{"Delivery: under way", testUnderway},
}

func testEOF(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		r.write(peer, "last")
		peer.Close()
		var b loop.Buffer
		r.fill(s, &b, 4)
		r.is(s.Fill(&b, soon(l)), io.EOF)
		r.is(s.Fill(&b, soon(l)), io.EOF)
		if string(b.Bytes()) != "last" {
			r.Errorf("got %q", b.Bytes())
		}
		b.Release()
	})
}

func testHalfClose(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		// Theirs: we can still send.
		r.must(peer.CloseWrite())
		var b loop.Buffer
		r.is(s.Fill(&b, soon(l)), io.EOF)
		r.send(s, "still here")
		r.must(s.CloseWrite())
		l.Do(func() {
			if p, err := io.ReadAll(peer); string(p) != "still here" || err != nil {
				r.Errorf("the peer got %q, %v", p, err)
			}
		})
	})
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		// Ours: we can still read, and no longer send.
		r.must(s.CloseWrite())
		_, err := s.Send([]byte("x"), nil, soon(l))
		r.is(err, syscall.EPIPE)
		l.Do(func() {
			if p, err := io.ReadAll(peer); len(p) != 0 || err != nil {
				r.Errorf("the peer got %q, %v", p, err)
			}
		})
		r.write(peer, "answer")
		peer.Close()
		var b loop.Buffer
		r.fill(s, &b, 6)
		r.is(s.Fill(&b, soon(l)), io.EOF)
		b.Release()
	})
}

// reset closes c with RST.
// The end is seen behind input that nobody has read, and not before it is there.
func testEndedBehindInput(r *rig) {
	if !r.canDeliver() {
		return
	}
	for _, end := range []func(*net.TCPConn){func(c *net.TCPConn) { r.must(c.Close()) }, r.reset} {
		r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
			r.write(peer, "unread")
			r.arrive(s)
			if d, _ := s.Delivery(); d.Ended {
				r.Errorf("the peer may still speak: %+v", d)
			}
			end(peer)
			r.settled(s, func(d loop.Delivery) bool { return d.Ended })
		})
	}
}

func (r *rig) reset(c *net.TCPConn) {
	r.must(c.SetLinger(0))
	r.must(c.Close())
}

func testReset(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		r.write(peer, "before")
		r.arrive(s)
		r.reset(peer)
		var b loop.Buffer
		r.fill(s, &b, 6)
		if string(b.Bytes()) != "before" {
			r.Errorf("got %q", b.Bytes())
		}
		r.is(s.Fill(&b, soon(l)), syscall.ECONNRESET)
		r.is(s.Fill(&b, soon(l)), syscall.ECONNRESET)
		r.is(s.Check(), syscall.ECONNRESET)
		b.Release()
	})
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) { // in the wait
		var b loop.Buffer
		t := r.beside(l, func(enter func()) {
			enter()
			r.is(s.Fill(&b, soon(l)), syscall.ECONNRESET)
		})
		r.reset(peer)
		r.join(l, t)
		if b.Room() != 0 {
			r.Error("storage stayed behind")
		}
	})
}

func testResetNoted(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		r.write(peer, "before")
		r.arrive(s)
		r.reset(peer)
		// The reset is there when a Send has failed.
		var err error
		for err == nil {
			_, err = s.Send([]byte("x"), nil, soon(l))
		}
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			r.Errorf("Send: %v", err)
		}
		var b loop.Buffer
		r.fill(s, &b, 6)
		r.is(s.Fill(&b, soon(l)), syscall.ECONNRESET)
		b.Release()
	})
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		r.reset(peer)
		r.arrive(s)
		r.is(s.Check(), syscall.ECONNRESET)
		var b loop.Buffer
		r.is(s.Fill(&b, soon(l)), syscall.ECONNRESET)
	})
}

// waiting has one task in Fill and one in Send of s.
func (r *rig) waiting(l loop.Loop, s loop.Stream, until loop.Time) (end func()) {
	r.stuff(s)
	var b loop.Buffer
	var fillErr, sendErr error
	f := r.beside(l, func(enter func()) {
		enter()
		fillErr = s.Fill(&b, until)
	})
	w := r.beside(l, func(enter func()) {
		enter()
		_, sendErr = s.Send(make([]byte, 1<<20), nil, until)
	})
	return func() {
		r.join(l, f)
		r.join(l, w)
		r.is(fillErr, loop.ErrClosed)
		r.is(sendErr, loop.ErrClosed)
		if b.Room() != 0 {
			r.Error("storage stayed behind")
		}
	}
}

func testCloseWaiting(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		end := r.waiting(l, s, loop.Never)
		s.Close()
		end()
	})
}

func testAbortWaiting(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		end := r.waiting(l, s, soon(l))
		s.Abort()
		end()
		r.gotReset(l, peer)
	})
}

func testAfterClose(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		r.send(s, "bye")
		s.Close()
		s.Close()
		s.Abort() // too late
		var b loop.Buffer
		r.is(s.Fill(&b, soon(l)), loop.ErrClosed)
		_, err := s.Send([]byte("x"), nil, soon(l))
		r.is(err, loop.ErrClosed)
		r.is(s.Check(), loop.ErrClosed)
		r.is(s.CloseWrite(), loop.ErrClosed)
		if s.Sent() != 3 {
			r.Errorf("Sent is %d after Close, want 3", s.Sent())
		}
		if _, ok := s.Delivery(); ok {
			r.Error("Delivery of a closed stream")
		}
		l.Do(func() {
			if p, err := io.ReadAll(peer); string(p) != "bye" || err != nil {
				r.Errorf("the peer got %q, %v", p, err)
			}
		})
	})
}

func (r *rig) gotReset(l loop.Loop, peer *net.TCPConn) {
	l.Do(func() {
		if _, err := io.Copy(io.Discard, peer); !errors.Is(err, syscall.ECONNRESET) {
			r.Errorf("the peer got %v, want a reset", err)
		}
	})
}

func testAbort(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		s.Abort()
		s.Abort()
		s.Close()
		r.gotReset(l, peer)
	})
}

// settled waits until the kernel says what ok wants, and returns that.
func (r *rig) settled(s loop.Stream, ok func(loop.Delivery) bool) loop.Delivery {
	l := s.Loop()
	end := soon(l)
	for {
		d, can := s.Delivery()
		if !can {
			r.Skip("no Delivery here")
		}
		if ok(d) {
			return d
		}
		if l.Now() > end {
			r.Errorf("Delivery stays at %+v", d)
			panic(stop{})
		}
		l.Sleep(l.Now() + 100_000)
	}
}

func (r *rig) canDeliver() bool {
	can := false
	r.dialed(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) { _, can = s.Delivery() })
	if !can {
		r.Log("no Delivery here")
	}
	return can
}

func testDelivered(r *rig) {
	if !r.canDeliver() {
		return
	}
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		if d, _ := s.Delivery(); d != (loop.Delivery{}) {
			r.Errorf("before the first byte: %+v", d)
		}
		r.send(s, "request")
		l.Do(func() {
			if _, err := io.ReadFull(peer, make([]byte, 7)); err != nil {
				r.Error(err)
			}
		})
		peer.Close()
		var b loop.Buffer
		r.is(s.Fill(&b, soon(l)), io.EOF)
		d := r.settled(s, func(d loop.Delivery) bool { return d.Acked == 7 })
		if d.Closed || d.Unacked != 0 || d.Unsent != 0 {
			r.Errorf("read, then closed: %+v", d)
		}
		if !d.Ended {
			r.Error("an end that was read is not seen")
		}
		// Our FIN is no byte of ours.
		r.must(s.CloseWrite())
		r.settled(s, func(d loop.Delivery) bool { return d.Acked == 7 && d.Unacked == 0 })
	})
}

func testUndelivered(r *rig) {
	if !r.canDeliver() {
		return
	}
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		peer.Close()
		r.arrive(s)
		r.send(s, "request")
		d := r.settled(s, func(d loop.Delivery) bool { return d.Closed })
		if d.Acked != 0 {
			r.Errorf("closed before we wrote: %+v", d)
		}
	})
}

func testUnderway(r *rig) {
	if !r.canDeliver() {
		return
	}
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		n := r.stuff(s)
		d, _ := s.Delivery()
		if d.Acked+d.Unacked+d.Unsent != uint64(n) || s.Sent() != uint64(n) || d.Acked == 0 || d.Unsent == 0 || d.Closed {
			r.Errorf("took %d, Sent %d: %+v", n, s.Sent(), d)
		}
	})
}
