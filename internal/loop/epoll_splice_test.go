//go:build linux && (amd64 || arm64 || loong64 || ppc64le || riscv64)

package loop_test

import (
	"bytes"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// spliced runs f in a task with two streams and their peers.
func spliced(t *testing.T, f func(l loop.Loop, from, to loop.Stream, source, sink *net.TCPConn)) {
	t.Helper()
	e := newEpoll(t, 1)
	l := e.Loops()[0]
	on(l, func() {
		ss, peers := pairs(t, l, 2)
		if len(ss) == 2 {
			f(l, ss[0], ss[1], peers[0], peers[1])
		}
		for i, s := range ss {
			s.Close()
			peers[i].Close()
		}
	})
	e.Close()
}

// pattern is bytes that show where they belong.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return p
}

func TestSpliceMovesAll(t *testing.T) {
	spliced(t, func(l loop.Loop, from, to loop.Stream, source, sink *net.TCPConn) {
		body := pattern(3<<20 + 12345)
		extra := []byte("behind it")
		go func() { // ends with the stream
			source.Write(body)
			source.Write(extra)
		}()
		got := make([]byte, len(body))
		read := make(chan error, 1)
		go func() { // a slow start makes Splice wait for room
			_, err := io.ReadFull(sink, got[:1])
			if err == nil {
				_, err = io.ReadFull(sink, got[1:])
			}
			read <- err
		}()
		for left := int64(len(body)); left > 0; {
			n, sent, err := loop.Splice(from, to, left, loop.Never, patience, loop.Never)
			if err != nil || n <= 0 || n != sent || n > left {
				t.Errorf("%d, %d, %v", n, sent, err)
				return
			}
			left -= n
		}
		var err error
		if l.Do(func() { err = <-read }); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(got, body) {
			t.Error("the bytes are others")
		}
		if to.Sent() != uint64(len(body)) {
			t.Errorf("Sent is %d", to.Sent())
		}
		// Not a byte more than asked for, and the streams are as good as before.
		var b loop.Buffer
		defer b.Release()
		for b.Len() < len(extra) {
			if err := from.Fill(&b, loop.Never); err != nil {
				t.Error(err)
				return
			}
		}
		if !bytes.Equal(b.Bytes(), extra) {
			t.Errorf("behind it is %q", b.Bytes())
		}
		source.CloseWrite()
		if n, _, err := loop.Splice(from, to, 1, loop.Never, patience, loop.Never); n != 0 || err != io.EOF {
			t.Errorf("at the end: %d, %v", n, err)
		}
	})
}

func TestSpliceEnds(t *testing.T) {
	// fill makes the stream refuse more.
	fill := func(l loop.Loop, s loop.Stream) {
		p := make([]byte, 256<<10)
		for {
			if _, err := s.Send(p, nil, loop.Try); err == loop.ErrTimeout {
				l.Sleep(l.Now() + 1) // others have had their turn after so much work
				return
			}
		}
	}
	move := func(l loop.Loop, from, to loop.Stream, rd loop.Time, stall int64, end loop.Time) (got, sent int64, err error) {
		return loop.Splice(from, to, 1<<20, rd, stall, end)
	}
	type test = func(l loop.Loop, from, to loop.Stream, source, sink *net.TCPConn)
	for name, f := range map[string]test{
		"nothing comes": func(l loop.Loop, from, to loop.Stream, source, sink *net.TCPConn) {
			until := l.Now() + 3e6
			if got, _, err := move(l, from, to, until, 0, loop.Never); got != 0 || err != loop.ErrTimeout || l.Now() < until {
				t.Errorf("%d, %v", got, err)
			}
		},
		"interrupted": func(l loop.Loop, from, to loop.Stream, source, sink *net.TCPConn) {
			me := l.Current()
			l.Go(me.Interrupt)
			if got, _, err := move(l, from, to, loop.Never, 0, loop.Never); got != 0 || err != loop.ErrInterrupted {
				t.Errorf("%d, %v", got, err)
			}
		},
		"the source breaks": func(l loop.Loop, from, to loop.Stream, source, sink *net.TCPConn) {
			l.Go(func() {
				source.SetLinger(0)
				source.Close()
			})
			if got, _, err := move(l, from, to, loop.Never, 0, loop.Never); got != 0 || err != syscall.ECONNRESET {
				t.Errorf("%d, %v", got, err)
			}
		},
		"closed while it waits for input": func(l loop.Loop, from, to loop.Stream, source, sink *net.TCPConn) {
			l.Go(from.Close)
			if got, _, err := move(l, from, to, loop.Never, 0, loop.Never); got != 0 || err != loop.ErrClosed {
				t.Errorf("%d, %v", got, err)
			}
		},
		"the sink closed while it waits for input": func(l loop.Loop, from, to loop.Stream, source, sink *net.TCPConn) {
			l.Go(func() {
				to.Close()
				source.Write([]byte("too late"))
			})
			if got, sent, err := move(l, from, to, loop.Never, 0, loop.Never); got != 8 || sent != 0 || err != loop.ErrClosed {
				t.Errorf("%d, %d, %v", got, sent, err)
			}
		},
		"the sink takes nothing": func(l loop.Loop, from, to loop.Stream, source, sink *net.TCPConn) {
			fill(l, to)
			source.Write([]byte("input"))
			for from.Check() == nil {
				l.Sleep(l.Now() + 1000)
			}
			if got, sent, err := move(l, from, to, loop.Never, 3e6, loop.Never); got != 5 || sent != 0 || err != loop.ErrTimeout {
				t.Errorf("%d, %d, %v", got, sent, err)
			}
		},
		"the whole time is over": func(l loop.Loop, from, to loop.Stream, source, sink *net.TCPConn) {
			fill(l, to)
			source.Write([]byte("input"))
			for from.Check() == nil {
				l.Sleep(l.Now() + 1000)
			}
			if got, sent, err := move(l, from, to, loop.Never, 0, l.Now()+3e6); got != 5 || sent != 0 || err != loop.ErrTimeout {
				t.Errorf("%d, %d, %v", got, sent, err)
			}
		},
		"the sink breaks": func(l loop.Loop, from, to loop.Stream, source, sink *net.TCPConn) {
			fill(l, to)
			source.Write([]byte("input"))
			for from.Check() == nil {
				l.Sleep(l.Now() + 1000)
			}
			l.Go(func() {
				sink.SetLinger(0)
				sink.Close()
			})
			if got, sent, err := move(l, from, to, loop.Never, 0, loop.Never); got != 5 || sent != 0 || err == nil || err == loop.ErrTimeout {
				t.Errorf("%d, %d, %v", got, sent, err)
			}
		},
		"the sink closed while it is full": func(l loop.Loop, from, to loop.Stream, source, sink *net.TCPConn) {
			fill(l, to)
			source.Write([]byte("input"))
			for from.Check() == nil {
				l.Sleep(l.Now() + 1000)
			}
			l.Go(to.Close)
			if got, sent, err := move(l, from, to, loop.Never, 0, loop.Never); got != 5 || sent != 0 || err != loop.ErrClosed {
				t.Errorf("%d, %d, %v", got, sent, err)
			}
		},
		"an interrupt in the middle is kept": func(l loop.Loop, from, to loop.Stream, source, sink *net.TCPConn) {
			fill(l, to)
			source.Write([]byte("input"))
			for from.Check() == nil {
				l.Sleep(l.Now() + 1000)
			}
			me := l.Current()
			l.Go(func() {
				me.Interrupt()
				go io.Copy(io.Discard, sink) // ends with the stream
			})
			if got, sent, err := move(l, from, to, loop.Never, 0, loop.Never); got != 5 || sent != 5 || err != nil {
				t.Errorf("%d, %d, %v", got, sent, err)
			}
			if err := l.Sleep(l.Now() + Time(patience)); err != loop.ErrInterrupted {
				t.Errorf("the next wait: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { spliced(t, f) })
	}
}

// Where it cannot be, the caller is told before anything is lost.
func TestSpliceCannot(t *testing.T) {
	spliced(t, func(l loop.Loop, from, to loop.Stream, source, sink *net.TCPConn) {
		source.Write([]byte("input"))
		if got, _, err := loop.Splice(from, &stranger{to}, 5, loop.Never, 0, loop.Never); got != 0 || err != loop.ErrNoSplice {
			t.Errorf("%d, %v", got, err)
		}
		if got, _, err := loop.Splice(&stranger{from}, to, 5, loop.Never, 0, loop.Never); got != 0 || err != loop.ErrNoSplice {
			t.Errorf("%d, %v", got, err)
		}
		var b loop.Buffer
		defer b.Release()
		for b.Len() < 5 {
			if err := from.Fill(&b, loop.Never); err != nil {
				t.Error(err)
				return
			}
		}
	})
}

// stranger is a stream that is no socket of the engine's.
type stranger struct{ loop.Stream }

// No pipe stays open when the loop has nothing to do, and one that was left full
// is never used again.
func TestSplicePipes(t *testing.T) {
	spliced(t, func(l loop.Loop, from, to loop.Stream, source, sink *net.TCPConn) {
		source.Write([]byte("one"))
		if _, _, err := loop.Splice(from, to, 3, loop.Never, 0, loop.Never); err != nil {
			t.Error(err)
		}
		if kept, used := loop.Pipes(l); kept != 1 || used != 0 {
			t.Errorf("%d pipes are kept and %d in use", kept, used)
		}
		to.Close()
		source.Write([]byte("two"))
		if got, sent, err := loop.Splice(from, to, 3, loop.Never, 0, loop.Never); got != 0 || sent != 0 || err != loop.ErrClosed {
			t.Errorf("%d, %d, %v", got, sent, err)
		}
		l.Sleep(l.Now() + 100e6)
		if kept, used := loop.Pipes(l); kept != 0 || used != 0 {
			t.Errorf("later %d pipes are kept and %d in use", kept, used)
		}
	})
}
