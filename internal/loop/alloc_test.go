//go:build !race

package loop_test

import (
	"testing"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// TestNoAllocations promises that moving bytes, waiting and looking allocate
// nothing, with whatever deadlines.
func TestNoAllocations(t *testing.T) {
	t.Run("portable", func(t *testing.T) {
		noAllocations(t, loop.Portable(loop.PortableOptions{Loops: 1}), false)
	})
	if loop.HasEpoll {
		t.Run("epoll", func(t *testing.T) {
			e, err := loop.Epoll(loop.EpollOptions{Loops: 1})
			if err != nil {
				t.Fatal(err)
			}
			noAllocations(t, e, true)
		})
	}
}

// noAllocations: restsFree says that neither Rest nor Spawn allocates. The portable
// engine starts a goroutine for them.
func noAllocations(t *testing.T, e loop.Engine, restsFree bool) {
	ln, err := e.Listen(loop.Address{IP: loopback})
	if err != nil {
		t.Fatal(err)
	}
	e.Serve(ln, echo)
	l := e.Loops()[0]
	done := make(chan struct{})
	l.Post(func() {
		defer close(done)
		s, err := l.Dial(ln.Addr(), loop.Never)
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		var b loop.Buffer
		head, body := make([]byte, 300), make([]byte, 16<<10)
		for name, deadline := range map[string]func() loop.Time{
			"no deadline": func() loop.Time { return loop.Never },
			"deadlines":   func() loop.Time { return l.Now() + 60e9 },
		} {
			for _, size := range []int{0, 100, len(body)} {
				n := testing.AllocsPerRun(200, func() {
					if _, err := s.Send(head, body[:size], deadline()); err != nil {
						t.Error(err)
					}
					for b.Len() < len(head)+size {
						if err := s.Fill(&b, deadline()); err != nil {
							t.Error(err)
							return
						}
					}
					b.Release()
					if err := s.Check(); err != nil {
						t.Error(err)
					}
					s.Fill(&b, loop.Try)
					s.Delivery()
				})
				if n != 0 {
					t.Errorf("%s, %d bytes: %v allocations", name, len(head)+size, n)
				}
			}
		}
		me := l.Current()
		l.Park(l.Now() + 1000) // makes the timer
		if n := testing.AllocsPerRun(200, func() {
			l.Park(l.Now() + 1000)
			me.Wake()
			l.Park(loop.Never)
			l.Sleep(l.Now() + 1000)
		}); n != 0 {
			t.Errorf("waits: %v allocations", n)
		}
		if restsFree {
			var err error
			woken := func(e error) { err = e; me.Wake() }
			spawned := func() { me.Wake() }
			one := []byte("x")
			if n := testing.AllocsPerRun(200, func() {
				s.Rest(l.Now()+60e9, woken)
				s.Send(one, nil, loop.Never)
				l.Park(loop.Never)
				if err != nil || s.Fill(&b, loop.Try) != nil {
					t.Error("no input after the rest")
				}
				b.Release()
				l.Spawn(spawned)
				l.Park(loop.Never)
			}); n != 0 {
				t.Errorf("Rest and Spawn: %v allocations", n)
			}
		}
	})
	<-done
	ln.Close()
	e.Close()
}
