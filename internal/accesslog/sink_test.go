package accesslog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// writes is a writer that keeps each write apart, and can be made to hang.
type writes struct {
	mu   sync.Mutex
	got  []string
	gate chan struct{} // a write waits until it is closed, nil: none waits; made in the bubble
	err  error
}

func (w *writes) Write(p []byte) (int, error) {
	if w.gate != nil {
		<-w.gate
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	w.got = append(w.got, string(p))
	return len(p), nil
}

// lines counts the lines of each write.
func (w *writes) lines() (n []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.got {
		n = append(n, strings.Count(s, "\n"))
	}
	return n
}

// run runs f in a bubble of fake time with a sink on an engine of n loops. f may
// use on to run code as a task of a loop.
func run(t *testing.T, n int, w *writes, o SinkOptions, f func(s *Sink, on func(i int, f func(*Local)))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := loop.Portable(loop.PortableOptions{Loops: n})
		defer e.Close()
		s := NewSink(w, o)
		var locals []*Local
		for _, l := range e.Loops() {
			locals = append(locals, s.Local(l))
		}
		f(s, func(i int, f func(*Local)) {
			var wg sync.WaitGroup
			wg.Add(1)
			e.Loops()[i].Post(func() { defer wg.Done(); f(locals[i]) })
			wg.Wait()
		})
	})
}

func TestSinkAtOnce(t *testing.T) {
	w := &writes{}
	run(t, 1, w, SinkOptions{Format: Text}, func(s *Sink, on func(int, func(*Local))) {
		for range 2 {
			on(0, func(l *Local) { l.Write(good(), &message.Head{}) })
			synctest.Wait()
		}
		line := string(AppendText(nil, good(), false))
		if d := cmp.Diff([]string{line, line}, w.got); d != "" {
			t.Error(d)
		}
	})
}

func TestSinkGathers(t *testing.T) {
	w := &writes{}
	run(t, 1, w, SinkOptions{FlushEvery: time.Second}, func(s *Sink, on func(int, func(*Local))) {
		on(0, func(l *Local) { l.Write(good(), &message.Head{}); l.Write(lost(), &message.Head{}) })
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		if n := w.lines(); n != nil {
			t.Errorf("written before the time: %v", n)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if d := cmp.Diff([]string{string(AppendJSON(AppendJSON(nil, good()), lost()))}, w.got); d != "" {
			t.Error(d)
		}
		// A line that comes later starts a new wait.
		on(0, func(l *Local) { l.Write(good(), &message.Head{}) })
		time.Sleep(time.Second)
		synctest.Wait()
		if d := cmp.Diff([]int{2, 1}, w.lines()); d != "" {
			t.Error(d)
		}
	})
}

func TestSinkWritesFullBuffers(t *testing.T) {
	w := &writes{}
	size := 10 * len(AppendJSON(nil, good()))
	run(t, 1, w, SinkOptions{FlushEvery: time.Hour, Size: size}, func(s *Sink, on func(int, func(*Local))) {
		on(0, func(l *Local) {
			for range 9 {
				l.Write(good(), &message.Head{})
			}
		})
		synctest.Wait()
		if n := w.lines(); n != nil {
			t.Errorf("written before it is full: %v", n)
		}
		on(0, func(l *Local) { l.Write(good(), &message.Head{}) })
		synctest.Wait()
		if d := cmp.Diff([]int{10}, w.lines()); d != "" {
			t.Error(d)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestSinkClose(t *testing.T) {
	w := &writes{}
	run(t, 2, w, SinkOptions{FlushEvery: time.Hour}, func(s *Sink, on func(int, func(*Local))) {
		on(0, func(l *Local) { l.Write(good(), &message.Head{}) })
		on(1, func(l *Local) { l.Write(good(), &message.Head{}) })
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([]int{1, 1}, w.lines()); d != "" {
			t.Error(d)
		}
		// What comes after it is not lost.
		on(0, func(l *Local) { l.Write(good(), &message.Head{}) })
		synctest.Wait()
		if d := cmp.Diff([]int{1, 1, 1}, w.lines()); d != "" {
			t.Error(d)
		}
	})
}

// While a write hangs, the loop goes on; what no longer fits is counted, and the
// log itself says that lines are missing.
func TestSinkSlowDisk(t *testing.T) {
	w := &writes{}
	line := len(AppendJSON(nil, good()))
	run(t, 1, w, SinkOptions{Backlog: 3 * line}, func(s *Sink, on func(int, func(*Local))) {
		w.gate = make(chan struct{})
		on(0, func(l *Local) { l.Write(good(), &message.Head{}) })
		synctest.Wait() // the write hangs now
		on(0, func(l *Local) {
			for range 5 {
				l.Write(good(), &message.Head{})
			}
		})
		close(w.gate)
		synctest.Wait()
		if d := cmp.Diff([]int{1, 4}, w.lines()); d != "" {
			t.Error(d)
		}
		const want = `"kind":"dropped","lines":2}` + "\n"
		if !strings.HasSuffix(w.got[1], want) {
			t.Errorf("no %s behind %s", want, w.got[1])
		}
	})
}

func TestSinkDroppedText(t *testing.T) {
	if got := string(appendDropped(nil, Text, 0, 7)); !strings.HasPrefix(got, "7 lines ") || !strings.HasSuffix(got, "\n") {
		t.Errorf("%q", got)
	}
}

func TestSinkError(t *testing.T) {
	full := errors.New("no space left on device")
	w := &writes{err: full}
	run(t, 1, w, SinkOptions{}, func(s *Sink, on func(int, func(*Local))) {
		on(0, func(l *Local) { l.Write(good(), &message.Head{}) })
		synctest.Wait()
		if err := s.Err(); err != full {
			t.Errorf("Err is %v", err)
		}
		better := &writes{}
		if before := s.Reopen(better); before != w {
			t.Errorf("Reopen returned %v", before)
		}
		on(0, func(l *Local) { l.Write(good(), &message.Head{}) })
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([]int{1}, better.lines()); d != "" {
			t.Error(d)
		}
	})
}

// Lines of different loops come out whole, in the order of their loop.
func TestSinkManyLoops(t *testing.T) {
	const loops, each = 4, 500
	w := &writes{}
	run(t, loops, w, SinkOptions{FlushEvery: time.Millisecond, Size: 4 << 10}, func(s *Sink, on func(int, func(*Local))) {
		var wg sync.WaitGroup
		for i := range loops {
			wg.Go(func() { // ends after its lines
				for n := range each {
					x := &trail.Trail{Route: fmt.Sprintf("%d-%d", i, n)}
					on(i, func(l *Local) { l.Write(x, &message.Head{}) })
				}
			})
		}
		wg.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		next := make([]int, loops)
		for _, line := range strings.SplitAfter(strings.Join(w.got, ""), "\n") {
			if line == "" {
				continue
			}
			var i, n int
			_, route, _ := strings.Cut(line, `"http.route":"`)
			if _, err := fmt.Sscanf(route, "%d-%d", &i, &n); err != nil {
				t.Fatalf("%v: %q", err, line)
			}
			if n != next[i] {
				t.Fatalf("loop %d: line %d, want %d", i, n, next[i])
			}
			next[i]++
		}
		if d := cmp.Diff([]int{each, each, each, each}, next); d != "" {
			t.Error(d)
		}
	})
}

// idle is a loop on which nothing ever runs: to look at Write alone.
type idle struct{ loop.Loop }

func (idle) Go(func()) loop.Task { return starting }

func TestWriteAllocatesNothing(t *testing.T) {
	s := NewSink(&bytes.Buffer{}, SinkOptions{FlushEvery: time.Second})
	l := s.Local(idle{})
	l.buf = make([]byte, 0, 1<<20)
	x := good()
	h := &message.Head{}
	if n := testing.AllocsPerRun(1000, func() { l.Write(x, h) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// However many handshakes fail, one a second gets a line, and it says how many
// had none.
func TestHandshakesAreFew(t *testing.T) {
	w := &writes{}
	run(t, 1, w, SinkOptions{Format: Text}, func(s *Sink, on func(int, func(*Local))) {
		for range 3 { // at 0 s, 0.6 s and 1.2 s
			on(0, func(l *Local) {
				for range 1000 {
					l.Handshake(&Handshake{At: began, Client: []byte("203.0.113.9"), Why: "scan"})
				}
			})
			synctest.Wait()
			time.Sleep(600 * time.Millisecond)
		}
		want := []string{"09:14:07.221  TLS with 203.0.113.9 failed: scan\n",
			"09:14:07.221  TLS with 203.0.113.9 failed: scan, and 1999 more since the last such line\n"}
		if d := cmp.Diff(want, w.got); d != "" {
			t.Error(d)
		}
	})
}
