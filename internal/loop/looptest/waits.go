package looptest

import (
	"io"
	"net"
	"runtime"

	"github.com/gatewhy/gatewhy/internal/loop"
)

var waits = []contract{
	{"Wake leaves one permit", testWakePermit},
	{"Wake does not end a Sleep", testWakeSleep},
	{"Interrupt ends Park and Sleep", testInterrupt},
	{"Interrupt ends Fill", testInterruptFill},
	{"Interrupt ends Send", testInterruptSend},
	{"Interrupt ends one wait", testInterruptOnce},
	{"deadlines of Park and Sleep", testDeadlines},
	{"deadlines of Fill", testFillDeadline},
	{"deadlines of Send", testSendDeadline},
	{"what is there wins over a deadline and an interrupt", testThere},
	{"Try neither waits nor takes an interrupt", testTry},
	{"a busy stream starves nobody", testFair},
}

func testWakePermit(r *rig) {
	r.run(func() {
		l := r.l
		me := l.Current()
		me.Wake()
		me.Wake()
		r.is(l.Park(soon(l)), nil)
		r.is(l.Park(l.Now().Add(moment)), loop.ErrTimeout)
		l.Go(me.Wake)
		r.is(l.Park(soon(l)), nil)
		r.is(l.Park(l.Now().Add(moment)), loop.ErrTimeout)
	})
}

func testWakeSleep(r *rig) {
	r.run(func() {
		l := r.l
		me := l.Current()
		until := l.Now().Add(moment)
		l.Go(me.Wake)
		r.is(l.Sleep(until), nil)
		if l.Now() < until {
			r.Error("Sleep ended at a Wake")
		}
		r.is(l.Park(soon(l)), nil) // the Wake was kept
	})
}

func testInterrupt(r *rig) {
	r.run(func() {
		l := r.l
		for name, wait := range map[string]func() error{
			"Park":            func() error { return l.Park(soon(l)) },
			"Sleep":           func() error { return l.Sleep(soon(l)) },
			"Park for ever":   func() error { return l.Park(loop.Never) },
			"Sleep for ever":  func() error { return l.Sleep(loop.Never) },
			"Dial, next wait": func() error { l.Current().Interrupt(); _, err := l.Dial(loopback, soon(l)); return err },
		} {
			var err error
			t := r.beside(l, func(enter func()) {
				enter()
				err = wait()
			})
			t.Interrupt()
			r.join(l, t)
			if err != loop.ErrInterrupted {
				r.Errorf("%s: %v", name, err)
			}
			// Not in a wait: the next one.
			l.Current().Interrupt()
			if err := wait(); err != loop.ErrInterrupted {
				r.Errorf("%s, interrupted before: %v", name, err)
			}
		}
	})
}

func testInterruptFill(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		var b loop.Buffer
		var err error
		t := r.beside(l, func(enter func()) {
			enter()
			err = s.Fill(&b, loop.Never)
		})
		t.Interrupt()
		r.join(l, t)
		r.is(err, loop.ErrInterrupted)

		// The stream is as good as before, with every kind of deadline.
		for _, until := range []loop.Time{soon(l), loop.Never} {
			t = r.beside(l, func(enter func()) {
				enter()
				err = s.Fill(&b, until)
			})
			r.write(peer, "x")
			r.join(l, t)
			r.is(err, nil)
			b.Consume(b.Len())
		}

		// Input that comes with the interrupt stays, whichever is first.
		for _, first := range []bool{false, true} {
			t = r.beside(l, func(enter func()) {
				enter()
				err = s.Fill(&b, loop.Never)
			})
			if first {
				t.Interrupt()
			}
			r.write(peer, "kept")
			if !first {
				for range 1000 {
					runtime.Gosched() // does not let t run, but the engine may notice the input
				}
				t.Interrupt()
			}
			r.join(l, t)
			r.is(err, loop.ErrInterrupted)
			if b.Len() > 0 {
				r.Errorf("an interrupted Fill brought %q", b.Bytes())
			}
			r.fill(s, &b, 4)
			if string(b.Bytes()) != "kept" {
				r.Errorf("got %q", b.Bytes())
			}
			b.Release()
		}
	})
}

// stuff sends until nothing more is taken for a whole moment: on a busy machine the
// kernel may find room late.
func (r *rig) stuff(s loop.Stream) (n int) {
	p := make([]byte, 256<<10)
	for {
		k, err := s.Send(p, nil, s.Loop().Now().Add(moment))
		n += k
		switch {
		case err != loop.ErrTimeout:
			r.must(err)
		case k == 0:
			return n
		}
	}
}

func testInterruptSend(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		taken := r.stuff(s)
		var err error
		var n int
		t := r.beside(l, func(enter func()) {
			enter()
			n, err = s.Send([]byte("one"), []byte("two"), loop.Never)
		})
		t.Interrupt()
		r.join(l, t)
		r.is(err, loop.ErrInterrupted)
		taken += n
		if s.Sent() != uint64(taken) {
			r.Errorf("Sent is %d, but Send took %d", s.Sent(), taken)
		}
		// Not a byte more than Send admitted reaches the peer.
		r.must(s.CloseWrite())
		l.Do(func() { r.drain(peer, taken) })
	})
}

func (r *rig) drain(c net.Conn, want int) {
	buf := make([]byte, 64<<10)
	got := 0
	for {
		n, err := c.Read(buf)
		got += n
		if err != nil {
			break
		}
	}
	if got != want {
		r.Errorf("the peer got %d bytes, want %d", got, want)
	}
}

func testInterruptOnce(r *rig) {
	r.dialed(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		me := l.Current()
		me.Interrupt()
		me.Interrupt() // one is due already
		r.is(l.Park(soon(l)), loop.ErrInterrupted)
		r.is(l.Park(l.Now().Add(moment)), loop.ErrTimeout)

		var b loop.Buffer
		l.Go(me.Interrupt)
		r.is(s.Fill(&b, soon(l)), loop.ErrInterrupted)
		r.is(s.Fill(&b, l.Now().Add(moment)), loop.ErrTimeout)

		// The deadline that comes after an interrupt is not early.
		l.Go(me.Interrupt)
		r.is(s.Fill(&b, soon(l)), loop.ErrInterrupted)
		until := l.Now().Add(moment)
		r.is(s.Fill(&b, until), loop.ErrTimeout)
		if l.Now() < until {
			r.Error("ErrTimeout before the moment came")
		}
	})
}

func testDeadlines(r *rig) {
	r.run(func() {
		l := r.l
		// Now far, now near, so that timers are reused both ways.
		for _, d := range []int64{moment, 2 * moment, moment / 2, moment} {
			until := l.Now().Add(d)
			r.is(l.Park(until), loop.ErrTimeout)
			if l.Now() < until {
				r.Error("Park: ErrTimeout before the moment came")
			}
			l.Go(l.Current().Wake)
			r.is(l.Park(l.Now().Add(patience)), nil)
			until = l.Now().Add(d)
			r.is(l.Sleep(until), nil)
			if l.Now() < until {
				r.Error("Sleep ended before the moment came")
			}
		}
		r.is(l.Sleep(l.Now()-1), nil)
		r.is(l.Park(l.Now()-1), loop.ErrTimeout)
	})
}

func testFillDeadline(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		var b loop.Buffer
		late := func(d int64) {
			until := l.Now().Add(d)
			r.is(s.Fill(&b, until), loop.ErrTimeout)
			if l.Now() < until {
				r.Error("ErrTimeout before the moment came")
			}
		}
		late(moment)
		late(2 * moment)
		late(moment / 2)
		r.is(s.Fill(&b, l.Now()-1), loop.ErrTimeout)
		late(moment)

		// A deadline that was met does not cut the next, longer wait.
		until := l.Now().Add(moment)
		r.write(peer, "a")
		err := s.Fill(&b, until)
		for err == loop.ErrTimeout { // a slow machine
			err = s.Fill(&b, soon(l))
		}
		r.must(err)
		t := r.beside(l, func(enter func()) {
			enter()
			err = s.Fill(&b, soon(l))
		})
		r.must(l.Sleep(until.Add(moment)))
		r.write(peer, "b")
		r.join(l, t)
		r.is(err, nil)

		// Nor does it disturb reading without a wait, or without a deadline.
		r.write(peer, "c")
		r.must(s.Fill(&b, loop.Never))
		late(moment)
		l.Go(func() { r.write(peer, "d") })
		r.must(s.Fill(&b, loop.Never))
		if string(b.Bytes()) != "abcd" {
			r.Errorf("got %q", b.Bytes())
		}
		b.Release()
	})
}

func testSendDeadline(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		taken := r.stuff(s)
		until := l.Now().Add(moment)
		n, err := s.Send([]byte("x"), nil, until)
		r.is(err, loop.ErrTimeout)
		if l.Now() < until {
			r.Error("ErrTimeout before the moment came")
		}
		taken += n
		n, err = s.Send([]byte("x"), []byte("y"), l.Now()-1)
		r.is(err, loop.ErrTimeout)
		taken += n
		if n, err := s.Send(nil, nil, l.Now()-1); n != 0 || err != nil {
			r.Errorf("nothing to send: %d, %v", n, err)
		}
		// It goes on when the peer reads.
		read := make(chan struct{})
		go func() { // ends at FIN
			defer close(read)
			r.drain(peer, taken+5)
		}()
		m, err := s.Send([]byte("hel"), []byte("lo"), soon(l))
		r.must(err)
		if m != 5 || s.Sent() != uint64(taken+5) {
			r.Errorf("took %d, Sent %d, want 5, %d", m, s.Sent(), taken+5)
		}
		r.must(s.CloseWrite())
		l.Do(func() { <-read })
	})
}

// arrive waits until input is at s.
func (r *rig) arrive(s loop.Stream) {
	l := s.Loop()
	for s.Check() == nil {
		l.Sleep(l.Now() + 50_000)
	}
}

func testThere(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		me := l.Current()
		var b loop.Buffer
		r.is(s.Fill(&b, l.Now().Add(moment)), loop.ErrTimeout)
		r.write(peer, "x")
		r.arrive(s)
		me.Interrupt()
		r.is(s.Fill(&b, l.Now()-1), nil)
		n, err := s.Send([]byte("y"), nil, l.Now()-1)
		if n != 1 || err != nil {
			r.Errorf("Send: %d, %v", n, err)
		}
		me.Wake()
		r.is(l.Park(l.Now()-1), nil)
		r.is(s.Fill(&b, soon(l)), loop.ErrInterrupted)
		b.Release()
	})
}

func testTry(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		me := l.Current()
		ran := false
		l.Go(func() { ran = true })
		was := ran
		var b loop.Buffer
		me.Interrupt()
		r.is(s.Fill(&b, loop.Try), loop.ErrTimeout)
		n, err := s.Send([]byte("x"), nil, loop.Try)
		if n != 1 || err != nil {
			r.Errorf("Send: %d, %v", n, err)
		}
		if ran != was {
			r.Error("another task ran")
		}
		if b.Room() != 0 {
			r.Error("storage stayed behind")
		}
		r.is(l.Park(soon(l)), loop.ErrInterrupted)
		r.write(peer, "y")
		r.arrive(s)
		r.is(s.Fill(&b, loop.Try), nil)
		b.Release()
	})
}

// testFair has streams that never need to wait: one peer takes all, the other
// always has more. Another task must get its turn all the same.
func testFair(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		go io.Copy(io.Discard, peer) // ends when the stream does
		ran := false
		l.Go(func() { ran = true })
		for range 20_000 {
			if r.send(s, "x"); ran {
				return
			}
		}
		r.Error("another task had no turn while 20,000 bytes were sent")
	})
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		go func() { // ends when the stream does
			p := make([]byte, 256<<10)
			for {
				if _, err := peer.Write(p); err != nil {
					return
				}
			}
		}()
		var b loop.Buffer
		defer b.Release()
		turns, moved := 0, 0
		t := l.Go(func() {
			for turns < 50 {
				l.Sleep(l.Now() + 1)
				turns++
			}
		})
		for !t.Done() && moved < 1<<30 {
			r.must(s.Fill(&b, soon(l)))
			moved += b.Len()
			b.Consume(b.Len())
		}
		if !t.Done() {
			r.Errorf("the other task had %d turns while a gigabyte went by", turns)
		}
	})
}
