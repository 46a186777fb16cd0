package looptest

import (
	"crypto/tls"
	"io"
	"net"
	"syscall"

	"github.com/gatewhy/gatewhy/internal/loop"
)

var rests = []contract{
	{"Spawn", testSpawn},
	{"Rest ends at input, FIN and reset", testRest},
	{"Rest ends at what is there already", testRestThere},
	{"deadlines of Rest", testRestDeadline},
	{"Rouse ends a Rest, and nothing else", testRouse},
	{"Close ends a Rest", testRestClose},
	{"a stream at rest may send", testRestSend},
	{"a stream rests between its exchanges", testRestAgain},
	{"a stream at rest keeps the engine", testRestKeeps},
	{"Quiet knows what was before", testQuiet},
	{"a task handle outlives its task", testHandle},
	{"Self wakes a Park, and the next task knows nothing of it", testSelf},
	{"TLS: Rest", testTLSRest},
	{"TLS: Rest ends at what is there already", testTLSRestThere},
}

func testSpawn(r *rig) {
	r.run(func() {
		l := r.l
		me := l.Current()
		n := 0
		for i := range 100 {
			l.Spawn(func() {
				if l.Current() == me {
					r.Error("the new task is the old one")
				}
				if i%2 == 0 {
					r.must(l.Sleep(l.Now() + 1000))
				}
				if n++; n == 100 {
					me.Wake()
				}
			})
		}
		r.must(l.Park(soon(l)))
	})
}

// atRest rests s and waits, in another task, for what it ends with; meanwhile
// runs between. after runs in the task at the end of the rest.
func (r *rig) atRest(s loop.Stream, until loop.Time, between func(), after func()) (err error) {
	l := s.Loop()
	me := l.Current()
	ended := 0
	s.Rest(until, func(e error) {
		err = e
		if ended++; ended > 1 {
			r.Error("a rest ended twice")
		}
		if after != nil {
			r.guard(after)
		}
		me.Wake()
	})
	if ended > 0 {
		r.Error("Rest ran its function itself")
	}
	if between != nil {
		between()
	}
	r.must(l.Park(soon(l)))
	return err
}

func testRest(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		var b loop.Buffer
		for range 3 {
			r.is(r.atRest(s, soon(l), func() { r.write(peer, "input") }, func() {
				// Fill does not wait, and what came is all there.
				r.is(s.Fill(&b, loop.Try), nil)
				r.fill(s, &b, 5)
			}), nil)
			if string(b.Bytes()) != "input" {
				r.Errorf("got %q", b.Bytes())
			}
			b.Release()
		}
		r.is(r.atRest(s, loop.Never, func() { peer.CloseWrite() }, func() { r.is(s.Fill(&b, loop.Try), io.EOF) }), nil)
	})
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		var b loop.Buffer
		r.is(r.atRest(s, soon(l), func() {
			peer.SetLinger(0)
			peer.Close()
		}, func() { r.is(s.Fill(&b, loop.Try), syscall.ECONNRESET) }), nil)
	})
}

func testRestThere(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		var b loop.Buffer
		defer b.Release()
		r.write(peer, "one and more")
		r.must(s.Fill(&b, soon(l)))
		b.Release()
		r.write(peer, "two")
		for s.Check() != loop.ErrInput { // on loopback it is there at once, but nobody promises that
			l.Sleep(l.Now() + 1000)
		}
		// In each case it is what is there that ends the rest.
		for _, until := range []loop.Time{loop.Never, soon(l), l.Now(), 1, loop.Try} {
			r.is(r.atRest(s, until, nil, nil), nil)
		}
		// Input that the Buffer had no room for is there too.
		r.fill(s, &b, 3)
		b.Release()
		l.Do(func() { r.write(peer, string(make([]byte, 3*loop.BufferSize))) })
		r.must(s.Fill(&b, soon(l)))
		b.Release()
		for got := loop.BufferSize; got < 3*loop.BufferSize; {
			r.is(r.atRest(s, soon(l), nil, func() { r.must(s.Fill(&b, loop.Try)) }), nil)
			got += b.Len()
			b.Release()
			if s.Check() == nil {
				break
			}
		}
		// FIN behind input that was read.
		r.write(peer, "last")
		peer.CloseWrite()
		for s.Check() == nil {
			l.Sleep(l.Now() + 1000)
		}
		r.fill(s, &b, 4)
		r.is(r.atRest(s, soon(l), nil, func() { b.Release(); r.is(s.Fill(&b, loop.Try), io.EOF) }), nil)
	})
}

func testRestDeadline(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		var b loop.Buffer
		defer b.Release()
		for _, d := range []int64{moment, 2 * moment, moment / 2} {
			until := l.Now().Add(d)
			r.is(r.atRest(s, until, nil, func() {
				if l.Now() < until {
					r.Error("ErrTimeout before the moment came")
				}
			}), loop.ErrTimeout)
		}
		for _, until := range []loop.Time{l.Now(), 1, loop.Try} {
			r.is(r.atRest(s, until, nil, nil), loop.ErrTimeout)
		}
		// A rest that ended well leaves no deadline behind for the next one.
		early := l.Now().Add(moment)
		r.is(r.atRest(s, early, func() { r.write(peer, "x") }, func() { r.fill(s, &b, 1) }), nil)
		t := r.beside(l, func(enter func()) {
			enter()
			l.Sleep(early + loop.Time(moment))
			r.write(peer, "y")
		})
		r.is(r.atRest(s, soon(l), nil, nil), nil)
		r.join(l, t)
	})
}

func testRouse(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		s.Rouse() // it does not rest
		r.is(r.atRest(s, soon(l), s.Rouse, nil), loop.ErrInterrupted)
		r.is(r.atRest(s, loop.Never, func() { s.Rouse(); s.Rouse() }, func() {
			r.is(l.Park(l.Now().Add(moment)), loop.ErrTimeout) // no interrupt of it is left
		}), loop.ErrInterrupted)
		s.Rouse()
		r.is(l.Park(l.Now().Add(moment)), loop.ErrTimeout)
		var b loop.Buffer
		r.is(s.Fill(&b, l.Now().Add(moment)), loop.ErrTimeout)
		// A Fill in its wait is not at rest.
		t := r.beside(l, func(enter func()) {
			enter()
			r.must(s.Fill(&b, soon(l)))
		})
		s.Rouse()
		r.write(peer, "x")
		r.join(l, t)
		b.Release()
	})
}

func testRestClose(r *rig) {
	for _, end := range []func(loop.Stream){loop.Stream.Close, loop.Stream.Abort} {
		r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
			r.is(r.atRest(s, soon(l), func() { end(s) }, nil), loop.ErrClosed)
			r.is(r.atRest(s, soon(l), nil, nil), loop.ErrClosed)
			s.Rouse()
		})
	}
}

func testRestSend(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		r.is(r.atRest(s, soon(l), func() {
			r.send(s, "ping")
			var p [4]byte
			l.Do(func() { io.ReadFull(peer, p[:]) })
			if string(p[:]) != "ping" {
				r.Errorf("the peer got %q", p)
			}
			r.write(peer, "pong")
		}, nil), nil)
		var b loop.Buffer
		r.fill(s, &b, 4)
		b.Release()
	})
}

// testRestAgain is what the streams are for: an echo whose tasks live only while
// there is something to echo.
func testRestAgain(r *rig) {
	ln, err := r.e.Listen(loopback)
	if err != nil {
		r.Fatal(err)
	}
	const conns, turns = 20, 50
	r.e.Serve(ln, func(l loop.Loop, s loop.Stream) {
		var b loop.Buffer
		var f func(error)
		f = func(err error) {
			if err == nil {
				err = s.Fill(&b, soon(l))
			}
			if err != nil {
				s.Close()
				return
			}
			r.send(s, string(b.Bytes()))
			b.Release()
			s.Rest(soon(l), f)
		}
		s.Rest(soon(l), f)
	})
	end := make(chan struct{})
	for range conns {
		go func() { // ends after its turns
			defer func() { end <- struct{}{} }()
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				r.Error(err)
				return
			}
			defer c.Close()
			var p [5]byte
			for range turns {
				r.write(c, "hello")
				if _, err := io.ReadFull(c, p[:]); err != nil || string(p[:]) != "hello" {
					r.Errorf("%q, %v", p, err)
					return
				}
			}
		}()
	}
	for range conns {
		<-end
	}
	ln.Close()
}

func testRestKeeps(r *rig) {
	ln, err := r.e.Listen(loopback)
	if err != nil {
		r.Fatal(err)
	}
	resting := make(chan loop.Stream)
	var l loop.Loop
	ended := false // written by a task, read after Close: the race detector watches
	r.e.Serve(ln, func(on loop.Loop, s loop.Stream) {
		l = on
		s.Rest(loop.Never, func(error) {
			s.Close()
			ended = true
		})
		resting <- s
	})
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		r.Fatal(err)
	}
	defer c.Close()
	s := <-resting
	closed := make(chan struct{})
	go func() { // ends when Close has, which needs the Rouse below
		defer close(closed)
		r.e.Close()
	}()
	l.Post(s.Rouse)
	<-closed
	if !ended {
		r.Error("Close did not wait for a stream at rest")
	}
}

// testHandle: whoever has a handle may use it when its task is over and another
// one has its place.
func testHandle(r *rig) {
	r.run(func() {
		l := r.l
		me := l.Current()
		var old loop.Task
		l.Spawn(func() {
			old = l.Current()
			me.Wake()
		})
		r.must(l.Park(soon(l)))
		for range 10 {
			l.Spawn(func() {
				old.Interrupt()
				old.Wake()
				r.is(l.Park(l.Now().Add(moment)), loop.ErrTimeout)
				me.Wake()
			})
			r.must(l.Park(soon(l)))
		}
		if !old.Done() {
			r.Error("not done")
		}
	})
}

// testSelf: a Wake that came too late for the Park of one task does not end that
// of the next one, which may have its place.
func testSelf(r *rig) {
	r.run(func() {
		l := r.l
		me := l.Current()
		for range 10 {
			var self loop.Task
			l.Spawn(func() {
				self = l.Self()
				r.must(l.Park(soon(l)))
				self.Wake() // remembered, and forgotten with the task
				me.Wake()
			})
			r.must(l.Sleep(l.Now().Add(moment)))
			self.Wake()
			r.must(l.Park(soon(l)))
			l.Spawn(func() {
				r.is(l.Park(l.Now().Add(moment)), loop.ErrTimeout)
				me.Wake()
			})
			r.must(l.Park(soon(l)))
		}
	})
}

func testTLSRest(r *rig) {
	r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
		var b loop.Buffer
		for range 3 {
			r.is(r.atRest(s, soon(l), func() { r.write(peer, "input") }, func() {
				r.is(s.Fill(&b, loop.Try), nil)
			}), nil)
			if string(b.Bytes()) != "input" {
				r.Errorf("got %q", b.Bytes())
			}
			b.Release()
		}
		until := l.Now().Add(moment)
		r.is(r.atRest(s, until, nil, nil), loop.ErrTimeout)
		r.is(r.atRest(s, soon(l), s.Rouse, nil), loop.ErrInterrupted)
		r.is(r.atRest(s, soon(l), func() { l.Do(func() { peer.CloseWrite() }) }, func() { r.is(s.Fill(&b, loop.Try), io.EOF) }), nil)
		r.is(r.atRest(s, soon(l), nil, func() { r.is(s.Fill(&b, loop.Try), io.EOF) }), nil)
	})
	r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
		r.is(r.atRest(s, soon(l), s.Close, nil), loop.ErrClosed)
		r.is(r.atRest(s, soon(l), nil, nil), loop.ErrClosed)
	})
	r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
		// Part of a record does not end the rest, the end behind it does.
		var b loop.Buffer
		raw := peer.NetConn()
		r.is(r.atRest(s, soon(l), func() {
			r.write(raw, "\x17\x03\x03\x40")
			t := r.beside(l, func(enter func()) {
				enter()
				l.Sleep(l.Now().Add(moment))
				raw.(*net.TCPConn).CloseWrite()
			})
			r.join(l, t)
		}, func() {
			if err := s.Fill(&b, loop.Try); err == nil || err == loop.ErrTimeout {
				r.Errorf("the rest ended at %v", err)
			}
		}), nil)
	})
}

// testTLSRestThere: what was decrypted, or is in our buffer, has no event.
func testTLSRestThere(r *rig) {
	r.secure(func(l loop.Loop, s *loop.TLS, peer *tls.Conn) {
		var b loop.Buffer
		defer b.Release()
		big := make([]byte, 3*loop.BufferSize)
		go peer.Write(big) // ends with the stream
		for got := 0; got < len(big); {
			r.is(r.atRest(s, soon(l), nil, func() { r.must(s.Fill(&b, soon(l))) }), nil)
			got += b.Len()
			b.Release()
		}
		r.write(peer, "seen by Check")
		for s.Check() != loop.ErrInput {
			l.Sleep(l.Now() + 1000)
		}
		r.is(r.atRest(s, soon(l), nil, func() { r.fill(s, &b, len("seen by Check")) }), nil)
	})
}

// testQuiet: what happened to one stream before another one's rest ended is known
// then, without asking.
func testQuiet(r *rig) {
	for name, act := range map[string]func(c *net.TCPConn){
		"input": func(c *net.TCPConn) { r.write(c, "x") },
		"FIN":   func(c *net.TCPConn) { c.CloseWrite() },
		"reset": func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
	} {
		r.dialed(func(l loop.Loop, kept loop.Stream, peer *net.TCPConn) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			r.must(err)
			defer ln.Close()
			s, err := l.Dial(loop.Address{IP: ln.Addr().(*net.TCPAddr).AddrPort()}, soon(l))
			r.must(err)
			defer s.Close()
			var c net.Conn
			l.Do(func() { c, err = ln.Accept() })
			r.must(err)
			defer c.Close()
			// Silent streams are quiet, also after input that was read.
			var b loop.Buffer
			r.write(peer, "answer")
			r.fill(kept, &b, 6)
			b.Release()
			r.is(r.atRest(s, soon(l), func() { r.write(c, "x") }, func() {
				r.must(s.Fill(&b, loop.Try))
				if quiet, sure := kept.Quiet(); !quiet || !sure {
					r.Errorf("%s: before, quiet %v, sure %v", name, quiet, sure)
				}
			}), nil)
			b.Release()
			r.is(r.atRest(s, soon(l), func() {
				act(peer)
				r.write(c, "y")
			}, func() {
				if quiet, sure := kept.Quiet(); quiet || !sure {
					r.Errorf("%s before, but quiet %v, sure %v", name, quiet, sure)
				}
				if kept.Check() == nil {
					r.Errorf("%s before, and nothing is there", name)
				}
			}), nil)
		})
	}
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		s.Close()
		if quiet, _ := s.Quiet(); quiet {
			r.Error("a closed stream is quiet")
		}
	})
}
