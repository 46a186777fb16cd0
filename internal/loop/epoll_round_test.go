//go:build linux && (amd64 || arm64 || loong64 || ppc64le || riscv64)

package loop_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// pairs dials so many streams to a listener of package net and accepts them.
func pairs(t *testing.T, l loop.Loop, n int) (streams []loop.Stream, peers []*net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	defer ln.Close()
	to := loop.Address{IP: ln.Addr().(*net.TCPAddr).AddrPort()}
	for range n {
		s, err := l.Dial(to, loop.Never)
		if err != nil {
			t.Error(err)
			break
		}
		var c net.Conn
		l.Do(func() { c, err = ln.Accept() })
		if err != nil {
			t.Error(err)
			break
		}
		streams, peers = append(streams, s), append(peers, c.(*net.TCPConn))
	}
	return streams, peers
}

// together runs the functions as tasks of one round and waits for their end.
func together(l loop.Loop, fs ...func()) {
	me := l.Current()
	left := len(fs)
	for _, f := range fs {
		l.Go(func() {
			f()
			if left--; left == 0 {
				me.Wake()
			}
		})
	}
	l.Park(loop.Never)
}

// What the tasks of a round send goes out at its end. Nobody may notice: not by
// its result, and not when the stream is closed or the task interrupted before.
func TestEpollTellsAtTheEnd(t *testing.T) {
	e := newEpoll(t, 1)
	l := e.Loops()[0]
	on(l, func() {
		const conns = 5
		ss, peers := pairs(t, l, conns)
		if len(ss) < conns {
			return
		}
		until := func() loop.Time { return l.Now() + Time(patience) }
		idle := func() {}

		// Both ways at once, small, and too large to be joined.
		for _, size := range []int{0, 10, 8 << 10} {
			body := []byte(strings.Repeat("b", size))
			var fs []func()
			for i := range conns {
				go io.CopyN(peers[i], peers[i], int64(2*(4+size))) // an echo; ends with the stream
				fs = append(fs, func() {
					var b loop.Buffer
					defer b.Release()
					n, err := ss[i].Ask([]byte("head"), body, &b, until())
					if n == 4+size && err == nil && i%2 == 0 {
						var m int
						m, err = ss[i].Send([]byte("head"), body, until())
						n += m
					} else if err == nil {
						var m int
						m, err = ss[i].Send(body, []byte("head"), until())
						n += m
					}
					if n != 2*(4+size) || err != nil {
						t.Errorf("%d bytes went, %v", n, err)
						return
					}
					for b.Len() < n {
						if err := ss[i].Fill(&b, until()); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			together(l, fs...)
		}

		// Interrupted before: Send takes no interrupt, Ask does, and both have sent.
		var sending, asking loop.Task
		var b loop.Buffer
		together(l, func() {
			sending = l.Current()
			if n, err := ss[0].Send([]byte("x"), nil, until()); n != 1 || err != nil {
				t.Errorf("Send: %d, %v", n, err)
			}
			if err := l.Sleep(until()); err != loop.ErrInterrupted {
				t.Errorf("the wait after Send: %v", err)
			}
		}, func() {
			asking = l.Current()
			if n, err := ss[1].Ask([]byte("x"), nil, &b, until()); n != 1 || err != loop.ErrInterrupted {
				t.Errorf("Ask: %d, %v", n, err)
			}
		}, func() {
			sending.Interrupt()
			asking.Interrupt()
		}, idle)

		// Closed before: nothing was sent.
		sent := ss[0].Sent()
		together(l, func() {
			if n, err := ss[0].Send([]byte("x"), nil, until()); n != 0 || err != loop.ErrClosed {
				t.Errorf("Send: %d, %v", n, err)
			}
		}, func() {
			if n, err := ss[1].Ask([]byte("x"), nil, &b, until()); n != 0 || err != loop.ErrClosed {
				t.Errorf("Ask: %d, %v", n, err)
			}
		}, func() {
			ss[0].Close()
			ss[1].Abort()
		}, idle)
		if ss[0].Sent() != sent {
			t.Error("something was sent")
		}

		// Broken before: a send says so.
		peers[2].SetLinger(0)
		peers[2].Close()
		for ss[2].Check() == nil {
			l.Sleep(l.Now() + 1000)
		}
		together(l, func() {
			if n, err := ss[2].Send([]byte("x"), nil, until()); n != 0 || err == nil {
				t.Errorf("Send: %d, %v", n, err)
			}
		}, idle)
		together(l, func() {
			if n, err := ss[2].Ask([]byte("x"), nil, &b, until()); n != 0 || err == nil {
				t.Errorf("Ask: %d, %v", n, err)
			}
		}, idle)

		// Full before: Send waits, Ask does not.
		stuffed := 0
		big := make([]byte, 256<<10)
		for _, s := range ss[3:] {
			for {
				n, err := s.Send(big, nil, loop.Try)
				stuffed += n
				if err == loop.ErrTimeout {
					break
				}
			}
		}
		together(l, func() {
			if n, err := ss[3].Send([]byte("x"), nil, until()); n != 1 || err != nil {
				t.Errorf("Send: %d, %v", n, err)
			}
			ss[3].Close()
		}, func() {
			if n, err := ss[4].Ask([]byte("x"), nil, &b, until()); n != 0 || err != nil {
				t.Errorf("Ask: %d, %v", n, err)
			}
			ss[4].Close()
		}, func() {
			got := 0
			l.Do(func() {
				for _, c := range peers[3:] {
					n, err := io.Copy(io.Discard, c)
					if got += int(n); err != nil {
						t.Error(err)
					}
				}
			})
			if got != stuffed+1 {
				t.Errorf("the peers got %d bytes, want %d", got, stuffed+1)
			}
		})
		for _, c := range peers {
			c.Close()
		}
	})
	e.Close()
}

// Many streams whose rest ends at once begin a few at a time, so that those that
// have begun come to their end first.
func TestEpollBeginsAFew(t *testing.T) {
	e := newEpoll(t, 1)
	l := e.Loops()[0]
	on(l, func() {
		const conns = 100
		ss, peers := pairs(t, l, conns)
		me := l.Current()
		begun := map[int64]int{} // by round
		left := len(ss)
		for i, s := range ss {
			s.Rest(loop.Never, func(error) {
				begun[loop.Rounds(l)]++
				if left--; left == 0 {
					me.Wake()
				}
			})
			peers[i].Write([]byte("x"))
		}
		l.Park(loop.Never)
		for round, n := range begun {
			if n > loop.Beginners {
				t.Errorf("%d tasks began in round %d", n, round)
			}
		}
		for i, s := range ss {
			s.Close()
			peers[i].Close()
		}
	})
	e.Close()
}

// A loop whose streams are at rest holds nothing for them and does not wake: not a
// coroutine, not a task to be used again, not a timer of a wait that is over.
func TestEpollRestsInSilence(t *testing.T) {
	e := newEpoll(t, 2)
	waker, l := e.Loops()[0], e.Loops()[1]
	var ss []loop.Stream
	var peers []*net.TCPConn
	on(l, func() {
		const conns = 200
		ss, peers = pairs(t, l, conns)
		me := l.Current()
		left := len(ss)
		var b loop.Buffer
		for i, s := range ss {
			s.Rest(l.Now()+Time(patience), func(error) {
				if err := s.Fill(&b, loop.Try); err != nil {
					t.Error(err)
				}
				b.Release()
				l.Park(l.Now() + 1e6) // leaves a timer behind
				s.Rest(l.Now()+100*Time(patience), func(error) { s.Close() })
				if left--; left == 0 {
					me.Wake()
				}
			})
			peers[i].Write([]byte("x"))
		}
		l.Park(loop.Never)
	})
	on(waker, func() {
		waker.Sleep(waker.Now() + 100e6) // some while in which the loop settles
		before := loop.Rounds(l)
		waker.Sleep(waker.Now() + 200e6)
		if n := loop.Rounds(l) - before; n > 3 {
			t.Errorf("a loop with streams at rest came back %d times", n)
		}
	})
	on(l, func() {
		if n := loop.Coroutines(l); n != 0 {
			t.Errorf("%d coroutines are kept", n)
		}
		if n := loop.Armed(l); n > len(ss) {
			t.Errorf("%d timers for %d streams", n, len(ss))
		}
		for i, s := range ss {
			s.Rouse()
			peers[i].Close()
		}
	})
	e.Close()
}
