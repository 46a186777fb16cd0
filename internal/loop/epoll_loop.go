//go:build linux && (amd64 || arm64 || loong64 || ppc64le || riscv64)

package loop

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// HasEpoll tells whether this system has the epoll engine.
const HasEpoll = true

// Epoll returns the engine on epoll(7): a loop is a goroutine on a thread of its
// own, a task is a coroutine that the loop resumes. The error is the kernel's,
// wrapped: no descriptors left. On other systems it wraps errors.ErrUnsupported.
func Epoll(o EpollOptions) (Engine, error) {
	n := o.Loops
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	if o.Rig != nil {
		n = 1
		o.Rig.nudge = make(chan struct{}, 1)
	}
	e := &epoll{opt: o, start: clockStart(), listeners: map[*elistener]struct{}{}}
	e.active.Store(1)
	for i := range n {
		l, err := newEloop(e, i)
		if err != nil {
			for _, l := range e.own {
				l.closeFds()
			}
			return nil, err
		}
		e.own = append(e.own, l)
		e.loops = append(e.loops, l)
	}
	liveLoops.Add(int32(n))
	for _, l := range e.own {
		e.running.Go(l.run) // ends when e is dead
	}
	return e, nil
}

// liveLoops counts the loops of all epoll engines of the process: see eloop.mayHold.
var liveLoops atomic.Int32

type epoll struct {
	opt     EpollOptions
	start   time.Time
	own     []*eloop
	loops   []Loop
	running sync.WaitGroup // the loops

	// active counts the loops that have tasks, tasks on their way to a loop, and 1
	// until Close. At 0 the engine is dead and its loops end.
	active atomic.Int64

	mu        sync.Mutex
	closed    bool
	listeners map[*elistener]struct{}
}

func (e *epoll) Loops() []Loop { return e.loops }

// enter counts one more; false if the engine is dead.
func (e *epoll) enter() bool {
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

func (e *epoll) leave() {
	if e.active.Add(-1) == 0 {
		for _, l := range e.own {
			l.deliver(parcel{}) // an empty one only wakes it
		}
	}
}

func (e *epoll) Close() {
	e.mu.Lock()
	first := !e.closed
	e.closed = true
	open := make([]*elistener, 0, len(e.listeners))
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
	e.running.Wait()
}

// eloop is a loop. All but the inbox belongs to its goroutine and the coroutines
// that this resumes, of which one runs at a time.
type eloop struct {
	e     *epoll
	index int
	ep    int // the epoll instance
	bell  int // an eventfd: rings when the inbox has something for a loop that waits

	cur   *etask   // nil while no task runs
	tasks int      // that have not ended, streams at rest included
	ready []*etask // to be resumed, in this order
	spare []*etask // storage of the last round's ready
	queue fifo     // to begin, when those that have begun had their turn
	left  int      // tasks that are still to run in this round; not kept while telling
	asks  []*etask // for which something is to be sent in this round
	idle  []*coro  // without a task; the last one used is the next to be used
	spent []*etask // that may be used again; likewise
	wheel timers

	work   int  // done so far, see budget
	began  int  // work when cur was resumed
	now    Time // the clock as last read; 0 if it must be read again
	fresh  int  // work when it was
	wall   int64
	wallAt Time
	pool   Pool
	join   [joinMax]byte // where two small slices become one

	slots     []slot // of the streams
	free      []int32
	accepting map[int32]*esocket // by event number
	named     int32              // event numbers given so far
	events    []syscall.EpollEvent

	// asleep is true while the loop waits, or is about to, and nobody has rung.
	// The lock guards inbox and gone; full is what the loop can see without it.
	asleep atomic.Bool
	full   atomic.Bool
	mu     sync.Mutex
	inbox  []parcel
	gone   bool

	pipes  []*pipe // empty, see splice; the last one used is the next to be used
	piping int     // in use

	connections atomic.Int64 // accepted ones, and those that were given to it
	rounds      atomic.Int64 // returns from epoll_pwait
}

// A slot is a place that events name. Its generation tells a stream from one that
// had the place before. Tasks run only when the events of a batch are all noted,
// so none is for a stream that was closed since; but a descriptor that a child
// process holds too, between fork and exec, stays registered when we close it.
type slot struct {
	s   *esock
	gen int32
}

// The numbers of events that are not for a stream: the bell, and below it the
// listening sockets.
const bellEvent = -1

// batch is how many events are fetched at once.
const batch = 256

func newEloop(e *epoll, index int) (*eloop, error) {
	l := &eloop{e: e, index: index, bell: -1, named: bellEvent, accepting: map[int32]*esocket{}, events: make([]syscall.EpollEvent, batch)}
	l.pool.Poison = e.opt.Poison
	var err error
	if l.ep, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	bell, _, errno := syscall.RawSyscall(syscall.SYS_EVENTFD2, 0, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		l.closeFds()
		return nil, os.NewSyscallError("eventfd2", errno)
	}
	l.bell = int(bell)
	// Edge-triggered: each write is an event, so nobody ever reads the bell. Its
	// counter would be full after 2^64 of them.
	if errno := l.watch(bell, bellEvent, 0, syscall.EPOLLIN|edge); errno != 0 {
		l.closeFds()
		return nil, os.NewSyscallError("epoll_ctl", errno)
	}
	return l, nil
}

func (l *eloop) closeFds() {
	syscall.Close(l.ep)
	if l.bell >= 0 {
		syscall.Close(l.bell)
	}
}

// edge is EPOLLET, which package syscall has with a sign on some systems.
const edge = 1 << 31

// watch adds fd to the epoll instance.
func (l *eloop) watch(fd uintptr, number, gen int32, events uint32) syscall.Errno {
	ev := syscall.EpollEvent{Events: events, Fd: number, Pad: gen}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(l.ep), syscall.EPOLL_CTL_ADD, fd, uintptr(unsafe.Pointer(&ev)), 0, 0)
	return errno
}

// A parcel comes from another goroutine: a task to start or to go on with, or
// something for the loop itself to do, which must not wait.
type parcel struct {
	task    *etask
	do      func()
	counted bool // by epoll.enter
}

// deliver puts p into the inbox; false if the loop has ended.
func (l *eloop) deliver(p parcel) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return false
	}
	l.inbox = append(l.inbox, p)
	l.full.Store(true)
	// The loop says that it sleeps before it looks at full for the last time, and
	// we fill before we ask, so one of the two notices the other. Only the first to
	// come pays for a system call.
	if l.asleep.CompareAndSwap(true, false) {
		one := uint64(1)
		syscall.RawSyscall(syscall.SYS_WRITE, uintptr(l.bell), uintptr(unsafe.Pointer(&one)), 8)
		if r := l.e.opt.Rig; r != nil {
			r.Nudge()
		}
	}
	return true
}

// unpack empties the inbox.
func (l *eloop) unpack() {
	if !l.full.Load() {
		return
	}
	l.mu.Lock()
	ps := l.inbox
	l.inbox = nil
	l.full.Store(false)
	l.mu.Unlock()
	for _, p := range ps {
		if p.do != nil {
			p.do()
		}
		if p.task != nil {
			l.ready = append(l.ready, p.task)
			if p.counted {
				l.enter()
			}
		}
		if p.counted {
			l.e.leave()
		}
	}
}

// enter and leave count the tasks of the loop, and the loop once while it has
// some: loops share a counter that they seldom touch.
func (l *eloop) enter() {
	if l.tasks++; l.tasks == 1 {
		l.e.active.Add(1) // it is not 0: whoever starts a task is counted
	}
}

func (l *eloop) leave() {
	if l.tasks--; l.tasks == 0 {
		l.e.leave()
	}
}

// run is the life of the loop: rounds of looking what has happened, then letting
// those tasks run that it concerns. A task that becomes ready in a round runs in
// the next one, so none can keep the others from their turn.
func (l *eloop) run() {
	// A thread of its own keeps the loop where its caches are.
	runtime.LockOSThread()
	defer l.end()
	for {
		l.unpack()
		if !l.busy() && l.e.active.Load() == 0 {
			return
		}
		l.poll()
		l.now = 0
		if len(l.wheel.heap) > 0 {
			l.wheel.fire(l.clock())
		}
		l.unpack()
		l.round()
	}
}

// beginners bounds how many tasks of streams at rest begin in a round. Those that
// have begun come first: so no more exchanges are under way than need be, their
// stacks, buffers and upstream connections are the ones that were used last, and
// stay in the cache. What has not begun costs nothing while it waits.
const beginners = 16

// round runs those that are ready.
func (l *eloop) round() {
	run := l.ready
	l.ready = l.spare[:0]
	begin := min(l.queue.len(), beginners)
	l.left = len(run) + begin
	for i, t := range run {
		run[i] = nil
		l.left--
		l.resume(t)
	}
	l.spare = run[:0]
	for range begin {
		l.left--
		l.resume(l.queue.pop())
	}
	if len(l.asks) > 0 {
		l.tell()
	}
}

// busy reports whether somebody is to run.
func (l *eloop) busy() bool { return len(l.ready) > 0 || l.queue.len() > 0 }

// fifo is a queue of tasks.
type fifo struct {
	tasks []*etask
	first int
}

func (q *fifo) len() int { return len(q.tasks) - q.first }

func (q *fifo) push(t *etask) { q.tasks = append(q.tasks, t) }

func (q *fifo) pop() *etask {
	t := q.tasks[q.first]
	q.tasks[q.first] = nil
	if q.first++; q.first == len(q.tasks) {
		q.tasks, q.first = q.tasks[:0], 0
	}
	return t
}

// end closes what is left. It goes on where it was if it ends a coroutine that
// takes the goroutine with it, see coro.serve.
func (l *eloop) end() {
	defer func() {
		if len(l.idle) > 0 {
			l.end()
			return
		}
		for _, s := range l.slots {
			if s.s != nil {
				s.s.close() // its task forgot it
			}
		}
		l.closePipes()
		l.mu.Lock()
		l.gone = true
		l.closeFds()
		l.mu.Unlock()
		liveLoops.Add(-1)
		runtime.UnlockOSThread()
	}()
	for len(l.idle) > 0 {
		c := l.idle[len(l.idle)-1]
		l.idle = l.idle[:len(l.idle)-1]
		c.stop()
	}
}

// hold is how long, in milliseconds, a loop without work waits before it gives
// its processor back to the runtime. Under load the next event comes much sooner,
// and a blocking system call would have the runtime take the processor away and
// wake another thread for it, each time.
const hold = 5

// mayHold reports whether the runtime has processors left for others while every
// loop holds one.
func mayHold() bool { return runtime.GOMAXPROCS(0) > int(liveLoops.Load()) }

// poll asks the kernel for events and waits for them, unless there is something
// else to do.
func (l *eloop) poll() {
	wait := l.patience()
	if wait != 0 {
		l.asleep.Store(true)
		if l.full.Load() {
			l.asleep.Store(false)
			wait = 0
		}
	}
	n, errno := 0, syscall.Errno(0)
	switch {
	case wait == 0:
		n, errno = l.fetch(0)
	case l.e.opt.Rig != nil:
		n, errno = l.e.opt.Rig.sleep(l, wait)
		l.asleep.Store(false)
	default:
		n, errno = l.sleep(wait)
		l.asleep.Store(false)
	}
	l.rounds.Add(1)
	if errno != 0 {
		if errno != syscall.EINTR {
			panic(os.NewSyscallError("epoll_pwait", errno)) // our own mistake
		}
		// The runtime's preemption signal: somebody wants this processor, perhaps to
		// collect garbage with the world stopped. Inside fetch it cannot be had.
		runtime.Gosched()
		return
	}
	for i := range l.events[:n] {
		l.event(&l.events[i])
	}
}

// sleep waits for events: at first in short, with the processor in hand if others
// have enough, then as long as it takes.
func (l *eloop) sleep(wait int) (n int, errno syscall.Errno) {
	short := wait
	if uint(wait) > hold { // -1 is for ever
		short = hold
	}
	if mayHold() {
		n, errno = l.fetch(short)
	} else {
		n, errno = l.block(short)
	}
	if n > 0 || errno != 0 || short == wait {
		return n, errno
	}
	l.shrink()
	if wait > 0 {
		wait -= short
	}
	return l.block(wait)
}

// fetch waits at most so many milliseconds and does not tell the scheduler.
func (l *eloop) fetch(wait int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(l.ep), uintptr(unsafe.Pointer(&l.events[0])), batch, uintptr(wait), 0, 0)
	return int(n), errno
}

// block is fetch for a wait in which the scheduler may have the processor.
func (l *eloop) block(wait int) (int, syscall.Errno) {
	n, _, errno := syscall.Syscall6(syscall.SYS_EPOLL_PWAIT, uintptr(l.ep), uintptr(unsafe.Pointer(&l.events[0])), batch, uintptr(wait), 0, 0)
	return int(n), errno
}

// longest bounds a wait, in milliseconds, to what the kernel takes.
const longest = 1 << 30

// patience is how many milliseconds the loop may wait; -1 means for ever. It
// rounds up: a timer must not find that it is too early.
func (l *eloop) patience() int {
	if l.busy() {
		return 0
	}
	at := l.wheel.next()
	if at == Never {
		return -1
	}
	l.now = 0
	d := at - l.clock()
	if d <= 0 {
		return 0
	}
	return int(min((d+Time(time.Millisecond)-1)/Time(time.Millisecond), longest))
}

// event makes those ready who wait for what has happened.
func (l *eloop) event(ev *syscall.EpollEvent) {
	if ev.Fd >= 0 {
		if at := &l.slots[ev.Fd]; at.s != nil && at.gen == ev.Pad {
			at.s.event(ev.Events)
		}
		return
	}
	if s := l.accepting[ev.Fd]; s != nil {
		s.accept()
	}
}

// place gives s a slot.
func (l *eloop) place(s *esock) {
	if n := len(l.free); n > 0 {
		s.slot = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		s.slot = int32(len(l.slots))
		l.slots = append(l.slots, slot{})
	}
	l.slots[s.slot].s = s
}

func (l *eloop) vacate(s *esock) {
	at := &l.slots[s.slot]
	at.s = nil
	at.gen++
	l.free = append(l.free, s.slot)
}

func (l *eloop) Index() int  { return l.index }
func (l *eloop) Pool() *Pool { return &l.pool }

// Current gives a handle of the task away, which then must be its own for ever.
func (l *eloop) Current() Task {
	t := l.task()
	t.again = false
	return t
}

func (l *eloop) Self() Task { return l.task() }

// task is the running task. It panics if there is none, as somebody then calls a
// method of the loop from elsewhere.
func (l *eloop) task() *etask {
	t := l.cur
	if t == nil {
		panic("loop: called from outside the loop's tasks")
	}
	return t
}

// turn lets others run if t did much since it last waited.
func (l *eloop) turn(t *etask, until Time) {
	if l.work-l.began > budget && until != Try {
		l.ready = append(l.ready, t)
		t.pause()
	}
	l.work += callCost
}

// clock reads the clock once in a round, and again after clockWork.
func (l *eloop) clock() Time {
	if l.now == 0 || l.work-l.fresh > clockWork {
		l.now, l.fresh = Time(time.Since(l.e.start)), l.work
	}
	return l.now
}

func (l *eloop) Now() Time {
	l.task()
	return l.clock()
}

func (l *eloop) Wall() int64 {
	now := l.Now()
	if l.wallAt == 0 || now-l.wallAt > wallEvery {
		l.wall, l.wallAt = time.Now().UnixNano()-int64(now), now
	}
	return l.wall + int64(now)
}
