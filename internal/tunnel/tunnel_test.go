package tunnel

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/google/go-cmp/cmp"
)

// end is one end of a pair of streams that live in memory, on one loop.
type end struct {
	loop.Stream
	l      loop.Loop
	peer   *end
	in     []byte
	err    error // what comes behind in
	room   int   // how much of our output the peer has not read may wait; 0: no limit
	reader loop.Task
	writer loop.Task
	shut   bool
	noFIN  bool  // the transport cannot close one side
	broken error // what writes meet
}

func pair(l loop.Loop) (ours, theirs *end) {
	a, b := &end{l: l}, &end{l: l}
	a.peer, b.peer = b, a
	return a, b
}

func (e *end) Loop() loop.Loop { return e.l }

func wake(t loop.Task) {
	if t != nil {
		t.Wake()
	}
}

func (e *end) Fill(b *loop.Buffer, until loop.Time) error {
	if e.reader != nil {
		panic("two tasks read")
	}
	e.reader = e.l.Current()
	defer func() { e.reader = nil }()
	for len(e.in) == 0 {
		if e.err != nil {
			return e.err
		}
		if err := e.l.Park(until); err != nil {
			return err
		}
	}
	n := copy(b.Space(e.l.Pool()), e.in)
	b.Took(n)
	e.in = e.in[n:]
	wake(e.peer.writer)
	return nil
}

func (e *end) Send(first, second []byte, until loop.Time) (n int, err error) {
	if e.writer != nil {
		panic("two tasks write")
	}
	e.writer = e.l.Current()
	defer func() { e.writer = nil }()
	for p := append(append([]byte(nil), first...), second...); len(p) > 0; {
		switch {
		case e.broken != nil:
			return n, e.broken
		case e.shut:
			return n, syscall.EPIPE
		}
		k := len(p)
		if e.room > 0 {
			k = min(k, e.room-len(e.peer.in))
		}
		if k > 0 {
			e.peer.in = append(e.peer.in, p[:k]...)
			p, n = p[k:], n+k
			wake(e.peer.reader)
			continue
		}
		if err := e.l.Park(until); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (e *end) CloseWrite() error {
	if e.noFIN {
		return errors.ErrUnsupported
	}
	e.finish(io.EOF)
	return nil
}

// finish ends what the peer reads.
func (e *end) finish(err error) {
	e.shut, e.peer.err = true, err
	wake(e.peer.reader)
}

func (e *end) say(t *testing.T, s string) {
	t.Helper()
	if _, err := e.Send([]byte(s), nil, loop.Never); err != nil {
		t.Errorf("saying %q: %v", s, err)
	}
}

// hear reads n bytes; fewer only if the stream ends, as err says.
func (e *end) hear(n int) (s string, err error) {
	for len(s) < n {
		var b loop.Buffer
		if err := e.Fill(&b, loop.Never); err != nil {
			return s, err
		}
		s += string(b.Bytes())
		b.Release()
	}
	return s, nil
}

// joined runs a tunnel between two pairs. f plays both outer ends, as a task;
// main is the task that waits for the tunnel.
type joined struct {
	l           loop.Loop
	client, app *end // outer ends
	a, b        *end // the tunnel's ends
	main        loop.Task
}

// run plays f on each engine; both tell the same end, but for who was first where both
// sides end at once.
func run(t *testing.T, idle time.Duration, fromA, fromB string, f func(j *joined)) (got End) {
	t.Helper()
	got = runOn(t, false, idle, fromA, fromB, f)
	if loop.HasEpoll {
		other := runOn(t, true, idle, fromA, fromB, f)
		if other.Up != got.Up || other.Down != got.Down || other.Err != got.Err {
			t.Errorf("portable: %+v, epoll: %+v", got, other)
		}
	}
	return got
}

func runOn(t *testing.T, epoll bool, idle time.Duration, fromA, fromB string, f func(j *joined)) (got End) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := loop.Portable(loop.PortableOptions{Loops: 1, Poison: true})
		if epoll {
			e.Close()
			var err error
			if e, err = loop.Epoll(loop.EpollOptions{Poison: true, Rig: &loop.Rig{Idle: func() int { return 0 }}}); err != nil {
				t.Fatal(err)
			}
		}
		l := e.Loops()[0]
		done := make(chan struct{})
		l.Post(func() {
			defer close(done)
			j := &joined{l: l, main: l.Current()}
			j.client, j.a = pair(l)
			j.app, j.b = pair(l)
			player := l.Go(func() { f(j) })
			var a, b loop.Buffer
			a.Append([]byte(fromA))
			b.Append([]byte(fromB))
			got = Join(l, j.a, j.b, &a, &b, int64(idle))
			if a.Room() != 0 || b.Room() != 0 {
				t.Error("a buffer is still held")
			}
			// Both halves have ended: nobody else may read or write.
			if j.a.reader != nil || j.b.reader != nil || j.a.writer != nil || j.b.writer != nil {
				t.Error("a half is still at work")
			}
			j.a.finish(io.EOF)
			j.b.finish(io.EOF)
			for !player.Done() {
				l.Sleep(l.Now().Add(int64(time.Second)))
			}
			// The caller goes on to wait for other things: nothing of the tunnel
			// may end that wait.
			if err := l.Park(l.Now() + 1000); err != loop.ErrTimeout {
				t.Errorf("a wait after the tunnel ended in %v", err)
			}
		})
		<-done
		e.Close()
	})
	return got
}

func expect(t *testing.T, got End, up, down int64, err error, fromB bool) {
	t.Helper()
	if got.Up != up || got.Down != down || !errors.Is(got.Err, err) || got.FromB != fromB {
		t.Errorf("got %+v, want up %d, down %d, %v, fromB %v", got, up, down, err, fromB)
	}
}

func TestBothWays(t *testing.T) {
	got := run(t, 0, "", "", func(j *joined) {
		j.client.say(t, "ping")
		if s, err := j.app.hear(4); s != "ping" || err != nil {
			t.Errorf("%q, %v", s, err)
		}
		j.app.say(t, "pong!")
		if s, err := j.client.hear(5); s != "pong!" || err != nil {
			t.Errorf("%q, %v", s, err)
		}
		j.client.CloseWrite()
		if s, err := j.app.hear(1); s != "" || err != io.EOF {
			t.Errorf("%q, %v", s, err)
		}
		j.app.CloseWrite()
		if s, err := j.client.hear(1); s != "" || err != io.EOF {
			t.Errorf("%q, %v", s, err)
		}
	})
	expect(t, got, 4, 5, io.EOF, false)
}

// What either side said before the tunnel began goes first.
func TestLeftoversFirst(t *testing.T) {
	got := run(t, 0, "early ", "hello ", func(j *joined) {
		j.client.say(t, "bird")
		j.app.say(t, "world")
		j.client.CloseWrite()
		j.app.CloseWrite()
		if s, err := j.app.hear(11); s != "early bird" || err != io.EOF {
			t.Errorf("%q, %v", s, err)
		}
		if s, err := j.client.hear(12); s != "hello world" || err != io.EOF {
			t.Errorf("%q, %v", s, err)
		}
	})
	if got.Up != 10 || got.Down != 11 || got.Err != io.EOF {
		t.Errorf("%+v", got)
	}
}

// One direction has ended, the other goes on for as long as it likes.
func TestHalfClosed(t *testing.T) {
	for _, fromB := range []bool{false, true} {
		got := run(t, time.Minute, "", "", func(j *joined) {
			first, second := j.client, j.app
			if fromB {
				first, second = second, first
			}
			first.CloseWrite()
			if s, err := second.hear(1); s != "" || err != io.EOF {
				t.Errorf("%q, %v", s, err)
			}
			for range 10 {
				j.l.Sleep(j.l.Now().Add(int64(50 * time.Second)))
				second.say(t, "still here. ")
			}
			second.CloseWrite()
			if s, err := first.hear(1000); s != strings.Repeat("still here. ", 10) || err != io.EOF {
				t.Errorf("%q, %v", s, err)
			}
		})
		up, down := int64(0), int64(120)
		if fromB {
			up, down = down, up
		}
		expect(t, got, up, down, io.EOF, fromB)
	}
}

// Silence counts for both directions together.
func TestIdle(t *testing.T) {
	var ended time.Duration
	got := run(t, time.Minute, "", "", func(j *joined) {
		began := j.l.Now()
		for range 5 { // only one side speaks
			j.l.Sleep(j.l.Now().Add(int64(40 * time.Second)))
			j.app.say(t, "tick")
		}
		for j.a.reader != nil {
			j.l.Sleep(j.l.Now().Add(int64(time.Second)))
		}
		ended = time.Duration(j.l.Now() - began)
	})
	expect(t, got, 0, 20, loop.ErrTimeout, got.FromB) // silence has no side
	if want := 200*time.Second + time.Minute; ended < want || ended > want+2*time.Second {
		t.Errorf("it ended after %v, want %v", ended, want)
	}
}

// A peer that takes nothing is as idle as one that says nothing.
func TestIdleWriter(t *testing.T) {
	got := run(t, time.Minute, "", "", func(j *joined) {
		j.b.room = 10
		j.client.say(t, strings.Repeat("x", 100))
	})
	expect(t, got, 10, 0, loop.ErrTimeout, true)
}

func TestNoIdleLimit(t *testing.T) {
	got := run(t, 0, "", "", func(j *joined) {
		j.l.Sleep(j.l.Now().Add(int64(1000 * time.Hour)))
		j.client.CloseWrite()
		j.app.CloseWrite()
	})
	if got.Err != io.EOF {
		t.Errorf("%+v", got)
	}
}

// A reset of one side ends both directions at once.
func TestReset(t *testing.T) {
	for _, fromB := range []bool{false, true} {
		got := run(t, 0, "", "", func(j *joined) {
			j.client.say(t, "up")
			j.app.hear(2)
			j.app.say(t, "down")
			j.client.hear(4)
			if fromB {
				j.app.finish(syscall.ECONNRESET)
			} else {
				j.client.finish(syscall.ECONNRESET)
			}
		})
		expect(t, got, 2, 4, syscall.ECONNRESET, fromB)
	}
}

// A side that cannot be written to ends both, and it was that side.
func TestBrokenWriter(t *testing.T) {
	got := run(t, 0, "", "", func(j *joined) {
		j.b.broken = syscall.EPIPE
		j.client.say(t, "up")
	})
	expect(t, got, 0, 0, syscall.EPIPE, true)
	got = run(t, 0, "", "", func(j *joined) {
		j.a.broken = syscall.EPIPE
		j.app.say(t, "down")
	})
	expect(t, got, 0, 0, syscall.EPIPE, false)
}

// Where a FIN cannot be passed on, the end of one direction is the end of both.
func TestNoHalfClose(t *testing.T) {
	got := run(t, 0, "", "", func(j *joined) {
		j.b.noFIN = true
		j.client.CloseWrite()
	})
	expect(t, got, 0, 0, io.EOF, false)
}

// Whoever waits for the tunnel can be interrupted; that ends it.
func TestInterrupt(t *testing.T) {
	got := run(t, 0, "", "", func(j *joined) {
		j.client.say(t, "up")
		j.app.hear(2)
		j.main.Interrupt()
	})
	expect(t, got, 2, 0, loop.ErrInterrupted, false)
}

// More than any buffer holds, both ways at once, against a slow reader.
func TestMuch(t *testing.T) {
	up, down := strings.Repeat("0123456789", 30_000), strings.Repeat("abcdefg", 40_000)
	var gotUp, gotDown string
	got := run(t, 0, "", "", func(j *joined) {
		j.a.room, j.b.room, j.client.room, j.app.room = 100, 9000, 5000, 70_000
		talk := j.l.Go(func() {
			j.client.say(t, up)
			j.client.CloseWrite()
		})
		back := j.l.Go(func() {
			j.app.say(t, down)
			j.app.CloseWrite()
		})
		read := j.l.Go(func() { gotUp, _ = j.app.hear(1 << 30) })
		gotDown, _ = j.client.hear(1 << 30)
		for !talk.Done() || !back.Done() || !read.Done() {
			j.l.Sleep(j.l.Now().Add(int64(time.Second)))
		}
	})
	if gotUp != up || gotDown != down {
		t.Errorf("%s", cmp.Diff([2]int{len(up), len(down)}, [2]int{len(gotUp), len(gotDown)}))
	}
	if got.Up != int64(len(up)) || got.Down != int64(len(down)) || got.Err != io.EOF {
		t.Errorf("%+v", got)
	}
}
