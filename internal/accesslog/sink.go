package accesslog

import (
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// Format is how a line looks.
type Format uint8

// The formats.
const (
	JSON      Format = iota // AppendJSON
	Text                    // AppendText without colour
	Color                   // AppendText with colour
	Templated               // SinkOptions.Template
	custom                  // SinkOptions.Append
)

const (
	// DefaultSize is how many bytes a loop gathers before it writes: some 150
	// lines. Larger writes save no more, since the copy then dominates.
	DefaultSize = 64 << 10
	// DefaultFlushEvery bounds how long a line waits in a file's log. Whoever
	// follows the file with tail sees a second as "now".
	DefaultFlushEvery = time.Second
	// DefaultBacklog is how much a loop keeps while a write is stuck: a second of
	// 10 000 requests. A disk that is slower than that for longer loses lines, not
	// requests.
	DefaultBacklog = 4 << 20
)

// SinkOptions says how lines get out.
type SinkOptions struct {
	Format Format
	// Template is the form of lines where Format is Templated.
	Template *Template
	// Append, if it is set, writes something else than a line for an exchange, and Wanted says
	// for which; Dropped hears of how many that was not written, in the place of a line. They are
	// called on the loops.
	Append  func(dst []byte, t *trail.Trail, h *message.Head) []byte
	Wanted  func(t *trail.Trail) bool
	Dropped func(n int64)
	// Events is where other lines than those of exchanges go, as AppendText has them;
	// nil means to where all go. Templated lines are read by programs that know no
	// others.
	Events io.Writer
	// Sample is the share of good exchanges that get a line, where it is above 0 and
	// below 1. One that met a fault, was mended, was answered with 400 or more or not at
	// all, or with a grpc-status of failure, always has its line.
	Sample float64
	// FlushEvery is how long a line may wait for others; 0 writes at once, which
	// suits terminals. Files want DefaultFlushEvery.
	FlushEvery time.Duration
	Size       int // bytes at which a loop writes before FlushEvery is over; 0 means DefaultSize
	Backlog    int // bytes that a loop keeps at most; 0 means DefaultBacklog
}

// Sink brings the lines of all loops to one writer.
//
// Its writer is the only thing that loops share: the lock around it is taken
// outside of the loops, in Loop.Do, and held for one write. Everything else
// belongs to a Local, so to one loop. A write carries whole lines only, so lines
// of different loops never mix.
type Sink struct {
	o SinkOptions

	mu     sync.Mutex
	w      io.Writer
	err    error
	locals []*Local
	others sync.WaitGroup // writes that belong to no loop
}

// NewSink makes a sink that writes to w.
func NewSink(w io.Writer, o SinkOptions) *Sink {
	if o.Size <= 0 {
		o.Size = DefaultSize
	}
	if o.Backlog <= 0 {
		o.Backlog = DefaultBacklog
	}
	if o.Append != nil {
		o.Format = custom
	}
	return &Sink{o: o, w: w}
}

// Reopen makes w the writer and returns the one before it, which no write uses
// any more: for log files that were renamed.
func (s *Sink) Reopen(w io.Writer) (before io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.w = s.w, w
	s.err = nil
	return before
}

// Err returns the first error of the present writer, nil if all is well. The
// lines of a failed write are lost; later ones are tried all the same.
func (s *Sink) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close writes what is left and returns Err. Call it from outside the loops
// while their engine still runs: it waits for each loop to have its say. Lines
// that are written after it go out at once.
func (s *Sink) Close() error {
	s.mu.Lock()
	locals := s.locals
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, l := range locals {
		wg.Add(1)
		l.loop.Post(func() { l.close(wg.Done) })
	}
	wg.Wait()
	s.others.Wait()
	return s.Err()
}

func (s *Sink) write(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.w.Write(b); err != nil && s.err == nil {
		s.err = err
	}
}

// event writes a line that is about no exchange, without waiting.
func (s *Sink) event(line []byte) {
	s.others.Go(func() {
		if s.o.Events == nil {
			s.write(line)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.o.Events.Write(line)
	})
}

// eventFormat is how such lines look.
func (s *Sink) eventFormat() Format {
	if s.o.Events != nil || s.o.Format == Templated {
		return Text
	}
	return s.o.Format
}

// Local makes the part of the sink that belongs to l. Call it once for each
// loop.
func (s *Sink) Local(l loop.Loop) *Local {
	local := &Local{sink: s, loop: l, every: s.o.FlushEvery}
	local.random.Seed(rand.Uint64(), rand.Uint64())
	local.run = local.flush
	s.mu.Lock()
	s.locals = append(s.locals, local)
	s.mu.Unlock()
	return local
}

// Local gathers the lines of one loop. Its methods must be called from tasks of
// that loop, and never wait.
type Local struct {
	sink  *Sink
	loop  loop.Loop
	every time.Duration
	run   func() // flush, bound once so that starting it allocates nothing here

	buf, spare []byte
	dropped    int64     // lines since the last write
	handshakes int64     // failures without a line since the last one that has one
	quiet      loop.Time // until then they get no line
	second     int64     // that spelled spells, from 1970
	spelled    []byte
	random     rand.PCG
	record     record    // of the template that is being filled in
	task       loop.Task // the flush that is under way, nil if none is
	parked     bool      // it waits for more lines
	done       []func()  // to be called when all is written
}

// wentWell reports whether an exchange is one of those that Sample is about.
func wentWell(t *trail.Trail) bool {
	return t.Status > 0 && t.Status < 400 && t.Fault == nil && t.NNotice == 0 && !t.Cut && (!t.Call || t.GRPCStatus <= 0)
}

// Write appends the line of t; h is the head of its request, which may be empty. If the
// backlog is full it counts the line as dropped; a line of its own says how many were,
// once writing goes on.
func (l *Local) Write(t *trail.Trail, h *message.Head) {
	if wanted := l.sink.o.Wanted; wanted != nil && !wanted(t) {
		return
	}
	if share := l.sink.o.Sample; share > 0 && share < 1 && wentWell(t) &&
		float64(l.random.Uint64()>>11)/(1<<53) >= share {
		return
	}
	if len(l.buf) >= l.sink.o.Backlog {
		l.dropped++
		return
	}
	switch l.sink.o.Format {
	case custom:
		l.buf = l.sink.o.Append(l.buf, t, h)
	case JSON:
		l.buf = AppendJSON(l.buf, t)
	case Templated:
		l.buf = l.sink.o.Template.Append(l.buf, t, h, l)
	default:
		l.buf = AppendText(l.buf, t, l.sink.o.Format == Color)
	}
	l.kick()
}

// kick sees to it that a flush is under way, and hurries it if need be.
func (l *Local) kick() {
	switch {
	case l.task == nil:
		l.task = starting
		l.loop.Go(l.run)
	case l.parked && l.hurry():
		l.parked = false
		l.task.Wake()
	}
}

func (l *Local) hurry() bool {
	return l.every <= 0 || len(l.buf) >= l.sink.o.Size
}

// starting stands for a flush that has been asked for and has not begun.
var starting loop.Task = noTask{}

type noTask struct{}

func (noTask) Wake()      {}
func (noTask) Interrupt() {}
func (noTask) Done() bool { return false }

// flush is the task that writes. It lives while there are lines, so an idle
// loop has none and no timer either.
func (l *Local) flush() {
	l.task = l.loop.Current()
	for len(l.buf) > 0 || l.dropped > 0 {
		if !l.hurry() {
			l.parked = true
			l.loop.Park(l.loop.Now().Add(int64(l.every)))
			l.parked = false
		}
		l.writeOut()
	}
	l.task = nil
	for _, f := range l.done {
		f()
	}
	l.done = nil
}

// writeOut swaps the buffers and writes the full one where it may block.
func (l *Local) writeOut() {
	if l.dropped > 0 {
		if l.sink.o.Format == custom {
			l.sink.o.Dropped(l.dropped)
		} else if l.sink.o.Events != nil {
			l.sink.event(appendDropped(nil, Text, l.loop.Wall(), l.dropped))
		} else {
			l.buf = appendDropped(l.buf, l.sink.o.Format, l.loop.Wall(), l.dropped)
		}
		l.dropped = 0
	}
	out := l.buf
	l.buf, l.spare = l.spare, nil
	if len(out) == 0 {
		return
	}
	l.loop.Do(func() { l.sink.write(out) })
	// A buffer that a stuck disk has blown up is not kept.
	if cap(out) <= 4*l.sink.o.Size {
		l.spare = out[:0]
	}
}

// close writes what is there and calls done.
func (l *Local) close(done func()) {
	l.every = 0
	l.done = append(l.done, done)
	l.kick()
}

// appendDropped writes the line that says how many lines are missing before it.
func appendDropped(dst []byte, f Format, wall, n int64) []byte {
	if f == JSON {
		dst = append(dst, `{"ts":"`...)
		dst = appendTime(dst, wall)
		dst = append(dst, `","kind":"dropped","lines":`...)
		dst = appendInt(dst, n)
		return append(dst, "}\n"...)
	}
	dst = appendInt(dst, n)
	return append(dst, " lines of the access log were dropped here: writing it is too slow\n"...)
}
