package looptest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"syscall"

	"github.com/gatewhy/gatewhy/internal/loop"
)

var streams = []contract{
	{"a waiting Fill holds no storage", testNoStorage},
	{"ErrFull, and Grow helps", testFull},
	{"Fill adds behind what is there", testFillAdds},
	{"Send takes both slices whole", testSendSlices},
	{"large transfers both ways at once", testTransfer},
	{"a slow reader gets every byte", testSlowReader},
	{"Check looks and consumes nothing", testCheck},
	{"addresses, loop, Sent", testAccessors},
	{"Ask sends and waits for the answer", testAsk},
	{"Ask without an answer: deadline, interrupt, Close", testAskWaits},
	{"Ask of a peer that has closed", testAskClosed},
	{"Ask when the kernel takes no more", testAskFull},
}

func testNoStorage(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		var b loop.Buffer
		t := r.beside(l, func(enter func()) {
			enter()
			r.is(s.Fill(&b, soon(l)), nil)
		})
		if b.Room() != 0 {
			r.Error("a waiting Fill holds storage")
		}
		r.write(peer, "x")
		r.join(l, t)
		if b.Len() != 1 || b.Room() < 1 {
			r.Errorf("after Fill: %d bytes, room for %d", b.Len(), b.Room())
		}
		b.Consume(1)
		b.ReleaseEmpty()
		r.is(s.Fill(&b, l.Now().Add(moment)), loop.ErrTimeout)
		if b.Room() != 0 {
			r.Error("a Fill that failed left storage")
		}
		r.must(peer.CloseWrite())
		r.is(s.Fill(&b, soon(l)), io.EOF)
		if b.Room() != 0 {
			r.Error("a Fill at the end left storage")
		}
	})
}

func testFull(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		want := noise(3*loop.BufferSize, 1)
		go peer.Write(want) // ends when all is sent or the stream ends
		var b loop.Buffer
		for b.Room() > 0 || b.Len() == 0 {
			r.must(s.Fill(&b, soon(l)))
		}
		size := b.Len()
		r.is(s.Fill(&b, soon(l)), loop.ErrFull)
		b.Grow(len(want))
		r.fill(s, &b, len(want))
		if size != loop.BufferSize || !bytes.Equal(b.Bytes(), want) {
			r.Errorf("full at %d of %d bytes, or wrong bytes", size, len(want))
		}
		r.is(s.Fill(&b, soon(l)), loop.ErrFull)
		b.Release()
	})
}

func testFillAdds(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		var b loop.Buffer
		b.Append([]byte("pre"))
		r.write(peer, "fix")
		r.fill(s, &b, 6)
		if string(b.Bytes()) != "prefix" {
			r.Errorf("got %q", b.Bytes())
		}
		b.Consume(3)
		r.write(peer, "ed")
		r.fill(s, &b, 5)
		if string(b.Bytes()) != "fixed" {
			r.Errorf("got %q", b.Bytes())
		}
		b.Release()
	})
}

func testSendSlices(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		sizes := []int{0, 1, 100, 4096, 5000, 20000, 300_000}
		total := 0
		for _, i := range sizes {
			for _, j := range sizes {
				total += i + j
			}
		}
		all := noise(total, 2)
		got := make(chan []byte)
		go func() { // ends at FIN
			p, _ := io.ReadAll(peer)
			got <- p
		}()
		at := 0
		for _, i := range sizes {
			for _, j := range sizes {
				// What lies behind a slice is not ours to touch.
				first := append(bytes.Clone(all[at:at+i]), "guarded guarded guarded"...)
				second := append(bytes.Clone(all[at+i:at+i+j]), "guarded"...)
				n, err := s.Send(first[:i], second[:j], soon(l))
				r.must(err)
				if n != i+j {
					r.Errorf("Send(%d, %d) took %d", i, j, n)
				}
				if string(first[i:]) != "guarded guarded guarded" || string(second[j:]) != "guarded" {
					r.Errorf("Send(%d, %d) wrote behind a slice", i, j)
				}
				at += i + j
			}
		}
		if s.Sent() != uint64(total) {
			r.Errorf("Sent is %d, want %d", s.Sent(), total)
		}
		r.must(s.CloseWrite())
		var p []byte
		l.Do(func() { p = <-got })
		if !bytes.Equal(p, all) {
			r.Errorf("the peer got %d bytes, want %d, or others", len(p), total)
		}
	})
}

// noise is n bytes that no shift or swap maps to themselves.
func noise(n int, seed uint64) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(p)
	return p
}

func testTransfer(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		out, in := noise(3<<20+17, 3), noise(2<<20+5, 4)
		go peer.Write(in) // ends when all is sent or the stream ends
		got := make(chan []byte)
		go func() { // ends at FIN
			p, _ := io.ReadAll(peer)
			got <- p
		}()
		// One task sends while this one fills.
		t := l.Go(func() {
			for p := out; len(p) > 0; {
				k := min(len(p), 100_000)
				n, err := s.Send(p[:k/3], p[k/3:k], soon(l))
				r.is(err, nil)
				if err != nil {
					return
				}
				p = p[n:]
			}
			r.is(s.CloseWrite(), nil)
		})
		var b loop.Buffer
		for at := 0; at < len(in); {
			r.must(s.Fill(&b, soon(l)))
			if !bytes.Equal(b.Bytes(), in[at:at+b.Len()]) {
				r.Errorf("wrong bytes in %d..%d", at, at+b.Len())
			}
			at += b.Len()
			b.Consume(b.Len())
		}
		b.Release()
		r.join(l, t)
		var p []byte
		l.Do(func() { p = <-got })
		if !bytes.Equal(p, out) {
			r.Errorf("the peer got %d bytes, want %d, or others", len(p), len(out))
		}
	})
}

func testSlowReader(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		out := noise(16<<20, 5) // more than both kernels' buffers hold
		got := make(chan []byte)
		go func() { // ends at FIN
			var all []byte
			p := make([]byte, 3001)
			for {
				n, err := peer.Read(p)
				all = append(all, p[:n]...)
				if err != nil {
					got <- all
					return
				}
			}
		}()
		n, err := s.Send(out[:10], out[10:], soon(l))
		r.must(err)
		if n != len(out) {
			r.Errorf("took %d", n)
		}
		r.must(s.CloseWrite())
		var p []byte
		l.Do(func() { p = <-got })
		if !bytes.Equal(p, out) {
			r.Errorf("the peer got %d bytes, want %d, or others", len(p), len(out))
		}
	})
}

func testCheck(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		r.is(s.Check(), nil)
		r.write(peer, "ab")
		r.arrive(s)
		r.is(s.Check(), loop.ErrInput)
		r.is(s.Check(), loop.ErrInput)
		var b loop.Buffer
		r.fill(s, &b, 2)
		r.is(s.Check(), nil)
		b.Consume(2)

		// While another task waits in Fill.
		t := r.beside(l, func(enter func()) {
			enter()
			r.is(s.Fill(&b, soon(l)), nil)
		})
		r.is(s.Check(), nil)
		r.write(peer, "c")
		r.join(l, t)
		b.Release()

		r.must(peer.CloseWrite())
		r.arrive(s)
		r.is(s.Check(), io.EOF)
		r.is(s.Check(), io.EOF)
		r.is(s.Fill(&b, soon(l)), io.EOF)
	})
}

func testAccessors(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		if s.Loop() != l {
			r.Error("the stream is another loop's")
		}
		if a := s.Remote().IP; a != peer.LocalAddr().(*net.TCPAddr).AddrPort() {
			r.Errorf("Remote is %v, the peer is %v", a, peer.LocalAddr())
		}
		if a := s.Local().IP; a != peer.RemoteAddr().(*net.TCPAddr).AddrPort() {
			r.Errorf("Local is %v, the peer sees %v", a, peer.RemoteAddr())
		}
		if s.Sent() != 0 {
			r.Errorf("Sent is %d before the first byte", s.Sent())
		}
		r.send(s, "four")
		if s.Sent() != 4 {
			r.Errorf("Sent is %d, want 4", s.Sent())
		}
	})
}

func testAsk(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		go io.Copy(peer, peer) // ends when the stream does
		var b loop.Buffer
		for _, size := range []int{0, 1, 3000, 6000, 16 << 10} {
			first, second := noise(200, 11), noise(size, 12)
			n, err := s.Ask(first, second, &b, soon(l))
			r.must(err)
			if n != 200+size {
				r.Errorf("Ask took %d of %d bytes", n, 200+size)
			}
			if b.Len() == 0 {
				r.Error("Ask brought nothing")
			}
			r.fill(s, &b, n)
			if !bytes.Equal(b.Bytes(), append(first, second...)) {
				r.Errorf("wrong echo of %d bytes", n)
			}
			b.Release()
		}
		// What came before counts as an answer: Ask looks no closer than Fill.
		r.write(peer, "early")
		r.arrive(s)
		_, err := s.Ask([]byte("question"), nil, &b, soon(l))
		r.must(err)
		r.fill(s, &b, 5)
		if string(b.Bytes()[:5]) != "early" {
			r.Errorf("got %q", b.Bytes())
		}
		b.Release()
		b.Append(make([]byte, 10))
		for b.Room() > 0 {
			b.Append([]byte{1})
		}
		if n, err := s.Ask([]byte("x"), nil, &b, soon(l)); n != 0 || err != loop.ErrFull {
			r.Errorf("Ask into a full Buffer: %d, %v", n, err)
		}
	})
}

func testAskWaits(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		var b loop.Buffer
		until := l.Now().Add(moment)
		n, err := s.Ask([]byte("a"), nil, &b, until)
		r.is(err, loop.ErrTimeout)
		if n != 1 || l.Now() < until {
			r.Errorf("Ask took %d, and it is %d ns too early", n, until-l.Now())
		}
		for _, until := range []loop.Time{soon(l), loop.Never} {
			t := r.beside(l, func(enter func()) {
				enter()
				n, err = s.Ask([]byte("b"), []byte("c"), &b, until)
			})
			t.Interrupt()
			r.join(l, t)
			r.is(err, loop.ErrInterrupted)
			if n != 2 || b.Room() != 0 {
				r.Errorf("Ask took %d, and left room for %d", n, b.Room())
			}
		}
		if s.Sent() != 5 {
			r.Errorf("Sent is %d, want 5", s.Sent())
		}
		t := r.beside(l, func(enter func()) {
			enter()
			_, err = s.Ask([]byte("d"), nil, &b, loop.Never)
		})
		s.Close()
		r.join(l, t)
		r.is(err, loop.ErrClosed)
		_, err = s.Ask([]byte("e"), nil, &b, loop.Never)
		r.is(err, loop.ErrClosed)
	})
}

// A peer that has closed is noticed whether or not it still listens: that its FIN
// came before the question must not make it a deadline that is missed.
func testAskClosed(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		var b loop.Buffer
		r.is(s.Fill(&b, l.Now().Add(moment)), loop.ErrTimeout) // the poller knows s
		r.must(peer.CloseWrite())
		r.arrive(s)
		l.Sleep(l.Now().Add(moment)) // and has heard of the FIN
		n, err := s.Ask([]byte("anybody"), []byte("there?"), &b, soon(l))
		r.is(err, io.EOF)
		if n != 13 {
			r.Errorf("Ask took %d", n)
		}
	})
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		r.reset(peer)
		r.arrive(s)
		var b loop.Buffer
		_, err := s.Ask([]byte("anybody"), nil, &b, soon(l))
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			r.Errorf("Ask after a reset: %v", err)
		}
		r.is(s.Fill(&b, soon(l)), syscall.ECONNRESET)
	})
}

func testAskFull(r *rig) {
	r.both(func(l loop.Loop, s loop.Stream, peer *net.TCPConn) {
		taken := r.stuff(s)
		var b loop.Buffer
		n, err := s.Ask([]byte("more"), nil, &b, l.Now().Add(moment))
		taken += n
		if n == 4 || err != nil && err != loop.ErrTimeout || b.Len() != 0 {
			r.Errorf("Ask took %d, %v", n, err)
		}
		r.must(s.CloseWrite())
		l.Do(func() { r.drain(peer, taken) })
	})
}
