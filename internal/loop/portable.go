package loop

import (
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// PortableOptions says how the portable engine runs. The zero value is good.
type PortableOptions struct {
	// Loops is how many; 0 means GOMAXPROCS.
	Loops int
	// Dial and Listen stand in for the system's network; nil means that. They
	// are called outside the loops and may block. Dial should end with ctx.
	Dial   func(ctx context.Context, a Address) (net.Conn, error)
	Listen func(a Address) (net.Listener, error)
	// Inherited are sockets to take before others are opened; nil for none.
	Inherited *Inherited
	// Poison overwrites released buffers with 0xDB (tests).
	Poison bool
	// OnAcceptError hears of each accept(2) that failed although the listener is
	// open; after it the engine waits a little. It is called outside the loops.
	// nil means that nobody cares.
	OnAcceptError func(error)
}

// Portable returns the engine that runs everywhere: a task is a goroutine, and a
// loop is a lock that a task holds while it runs and lets go while it waits.
func Portable(o PortableOptions) Engine {
	n := o.Loops
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	e := &portable{opt: o, start: clockStart(), done: make(chan struct{}), listeners: map[*listener]struct{}{}}
	e.active.Store(1)
	for i := range n {
		l := &ploop{e: e, index: i}
		l.pool.Poison = o.Poison
		e.own = append(e.own, l)
		e.loops = append(e.loops, l)
	}
	return e
}

// processStart is a little before every moment that a loop will see, so that a
// Time is never 0.
var processStart = time.Now().Add(-time.Second)

// clockStart is where Time counts from. A fake clock (testing/synctest) begins
// long before the process did: there the engine counts from its own start.
func clockStart() time.Time {
	if now := time.Now(); now.Before(processStart) {
		return now.Add(-time.Second)
	}
	return processStart
}

type portable struct {
	opt   PortableOptions
	start time.Time
	own   []*ploop
	loops []Loop

	// active counts tasks and accepting goroutines, and 1 until Close. At 0 the
	// engine is dead and done is closed.
	active atomic.Int64
	done   chan struct{}

	mu        sync.Mutex
	closed    bool
	listeners map[*listener]struct{}
}

func (e *portable) Loops() []Loop { return e.loops }

// enter counts one more goroutine; false if the engine is dead.
func (e *portable) enter() bool {
	for {
		n := e.active.Load()
		if n == 0 {
			return false
		}
		if e.active.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (e *portable) leave() {
	if e.active.Add(-1) == 0 {
		close(e.done)
	}
}

func (e *portable) Close() {
	e.mu.Lock()
	first := !e.closed
	e.closed = true
	open := make([]*listener, 0, len(e.listeners))
	for ln := range e.listeners {
		open = append(open, ln)
	}
	e.mu.Unlock()
	for _, ln := range open {
		ln.Close()
	}
	if first {
		e.leave()
	}
	<-e.done
}

// budget is how much work a task may do without a wait before others get their
// turn: bytes moved, each call counted as callCost more. It is about a
// millisecond's work.
const (
	budget   = 512 << 10
	callCost = 2 << 10
)

type ploop struct {
	e     *portable
	index int

	mu     sync.Mutex // held by the task that runs; it guards all below and all that belongs to the loop
	cur    *task      // nil while nobody runs
	spent  int        // since cur got the lock
	now    Time       // the clock as last read; 0 if it must be read again
	fresh  int        // spent when it was
	wall   int64      // the wall clock less ours, as of wallAt
	wallAt Time
	pool   Pool
	join   [joinMax]byte // where two small slices become one
}

// joinMax bounds what is copied together to be sent in one piece: below it a
// copy costs less than a vector, and much less than a second call.
const joinMax = 5 << 10

// lock makes t the running task.
func (l *ploop) lock(t *task) {
	l.mu.Lock()
	l.cur, l.spent, l.now, l.fresh = t, 0, 0, 0
}

func (l *ploop) unlock() {
	if r := l.cur.after; r != nil { // the task does not end: another one must wait
		l.cur.after = nil
		l.e.enter()
		go (&task{l: l, again: true}).run(r.then)
	}
	l.cur = nil
	l.mu.Unlock()
}

// task is the running task. It panics if there is none, as somebody then calls a
// method of the loop from elsewhere.
func (l *ploop) task() *task {
	t := l.cur
	if t == nil {
		panic("loop: called from outside the loop's tasks")
	}
	return t
}

// turn lets others run if t did much since it last waited.
func (l *ploop) turn(t *task, until Time) {
	if l.spent > budget && until != Try {
		l.unlock()
		runtime.Gosched()
		l.lock(t)
	}
	l.spent += callCost
	if l.spent-l.fresh > clockWork {
		l.now, l.fresh = 0, l.spent
	}
}

func (l *ploop) Index() int { return l.index }

// Current gives a handle of the task away, which then must be its own for ever.
func (l *ploop) Current() Task {
	t := l.task()
	t.again = false
	return t
}

func (l *ploop) Self() Task { return l.task() }

// clockWork is how much work (see budget) may be done by one reading of the
// clock: some tens of microseconds of it. A small exchange asks for the time
// twenty times, which would cost it more than parsing both its heads.
const clockWork = 32 << 10

// Now is the time at which the running task last got the loop, or a little later.
func (l *ploop) Now() Time {
	l.task()
	if l.now == 0 {
		l.now = Time(time.Since(l.e.start))
	}
	return l.now
}

// wallEvery is how often the wall clock is asked how far it is from ours.
const wallEvery = Time(time.Second)

func (l *ploop) Wall() int64 {
	now := l.Now()
	if l.wallAt == 0 || now-l.wallAt > wallEvery {
		l.wall, l.wallAt = time.Now().UnixNano()-int64(now), now
	}
	return l.wall + int64(now)
}
func (l *ploop) Pool() *Pool { return &l.pool }

func (l *ploop) Go(f func()) Task {
	l.task()
	t := &task{l: l}
	l.e.enter() // cannot fail: the calling task counts
	go t.run(f)
	return t
}

func (l *ploop) Spawn(f func()) { l.Go(f) }

func (l *ploop) Post(f func()) {
	if l.e.enter() {
		go (&task{l: l, again: true}).run(f)
	}
}

// rester is Rest of the streams of this engine: a task waits for them. It is the
// one that calls Rest, if it ends before it waits for something else: so whoever
// serves one stream keeps its goroutine.
type rester struct {
	l     *ploop
	input interface {
		await(t *task, until Time) error // waits for input, or its end, and leaves it where it is
	}
	f      func(error) // nil while there is no rest
	then   func()      // wait, bound at the first one
	until  Time
	task   *task // who waits; nil before
	roused bool  // before there was a task
}

func (r *rester) Rest(until Time, f func(error)) {
	t := r.l.task()
	if r.f != nil {
		panic("loop: a stream at rest cannot rest once more")
	}
	if r.then == nil {
		r.then = r.wait
	}
	r.f, r.until = f, until
	if t.after == nil {
		t.after = r
		return
	}
	r.l.Go(r.then)
}

// wait is the task that waits, and then runs f.
func (r *rester) wait() {
	t := r.l.task()
	r.task = t
	t.interrupted, r.roused = r.roused, false
	err := r.input.await(t, r.until)
	t.interrupted = false // a Rouse that came too late
	f := r.f
	r.task, r.f = nil, nil
	f(err)
}

func (r *rester) Rouse() {
	if r.task != nil {
		r.task.Interrupt()
	} else {
		r.roused = r.f != nil
	}
}

// A waiting is what a task waits in.
type waiting interface {
	// kick makes the wait look at its task again. It never waits itself and may
	// come too late or twice.
	kick()
}

type task struct {
	l           *ploop
	in          waiting // nil while it runs, or cannot be interrupted
	permit      bool    // a Wake that no Park has seen
	interrupted bool    // an Interrupt that no wait has seen
	done        bool
	again       bool    // nobody has a handle of it
	after       *rester // what to wait for when its function has returned

	// sig ends the sleep of Park and Sleep; timer sends to it. Both are made at
	// the first use. timerAt is when the timer fires, 0 if it does not. It may
	// be earlier than the sleeper wants: he looks at the clock and sleeps on.
	sig     chan struct{}
	timer   *time.Timer
	timerAt Time
}

// run is the life of the task's goroutine. A panic of f ends the process, as
// everywhere in Go, but not before the loop is free.
func (t *task) run(f func()) {
	defer t.l.e.leave()
	t.l.lock(t)
	defer func() {
		t.done = true
		if t.timer != nil {
			t.timer.Stop()
		}
		t.l.unlock()
	}()
	for f(); t.after != nil; f() {
		f = t.after.then
		t.after, t.permit = nil, false
		if !t.again { // to whoever has its handle it has ended
			t.done = true
			t = &task{l: t.l, again: true, sig: t.sig, timer: t.timer, timerAt: t.timerAt}
			t.l.cur = t
		}
	}
}

func (t *task) Done() bool { return t.done }

func (t *task) Wake() {
	t.permit = true
	if t.in == waiting(t) {
		t.kick()
	}
}

func (t *task) Interrupt() {
	if t.done {
		return
	}
	t.interrupted = true
	if t.in != nil {
		t.in.kick()
	}
}

// takeInterrupt reports and forgets an interrupt.
func (t *task) takeInterrupt() bool {
	i := t.interrupted
	t.interrupted = false
	return i
}

func (t *task) kick() {
	select {
	case t.sig <- struct{}{}:
	default: // one is under way
	}
}

// sleep waits for a kick, or until the moment comes, or less.
func (t *task) sleep(now, until Time) {
	if t.sig == nil {
		t.sig = make(chan struct{}, 1)
	}
	if t.timerAt <= now {
		t.timerAt = 0
	}
	if until != Never && (t.timerAt == 0 || until < t.timerAt) {
		t.timerAt = until
		if d := time.Duration(until - now); t.timer == nil {
			t.timer = time.AfterFunc(d, t.kick)
		} else {
			t.timer.Reset(d)
		}
	}
	t.in = t
	t.l.unlock()
	<-t.sig
	t.l.lock(t)
	t.in = nil
}

func (l *ploop) Sleep(until Time) error {
	t := l.task()
	for {
		now := l.Now()
		if until <= now {
			return nil
		}
		if t.takeInterrupt() {
			return ErrInterrupted
		}
		t.sleep(now, until)
	}
}

func (l *ploop) Park(until Time) error {
	t := l.task()
	for {
		if t.permit {
			t.permit = false
			return nil
		}
		if t.takeInterrupt() {
			return ErrInterrupted
		}
		now := l.Now()
		if until <= now {
			return ErrTimeout
		}
		t.sleep(now, until)
	}
}

func (l *ploop) Do(f func()) {
	t := l.task()
	l.unlock()
	defer l.lock(t) // also if f panics: the task's end lets the loop go
	f()
}
