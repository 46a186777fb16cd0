// Package loop is the engine: it makes plain sequential protocol code run at
// the cost of an event loop.
//
// A [Loop] is one thread of control with its own connections, buffers and
// timers. Its tasks never run at the same time and switch only where they wait,
// so code between two waits is atomic and needs no locks. A task may touch only
// what belongs to its own loop, or what never changes.
//
// The methods that wait are Loop.Sleep, Loop.Park, Loop.Do and Loop.Dial, and
// Stream.Fill and Stream.Send; nothing else does. A method that waits must be
// called from a task of the loop.
//
// What is there already wins: a Fill that finds input, a Send that the kernel
// takes at once, a Park whose Wake came before, do their work even if their
// deadline has passed or an interrupt is due. In a wait the interrupt wins: what came at the
// same moment stays where it is. An engine may let other tasks run in a Fill or
// Send that need not wait, so that a busy stream starves nobody; see [Try].
//
// Two engines keep this contract: the portable one here (goroutines, one lock a
// loop), and one on epoll. Package looptest holds the tests that both must
// pass. Above this package nobody knows of goroutines, channels, mutexes or
// net.Conn.
package loop

import (
	"errors"
	"math"
	"net/netip"
	"os"
)

// Time is a moment on the monotonic clock, in nanoseconds since an arbitrary
// start that all loops of a process share. It is never 0.
type Time int64

// Never is a deadline that does not come.
const Never Time = math.MaxInt64

// Try is the deadline of a Fill or Send that only looks or tries: ErrTimeout if
// it would have to wait. Such a call lets nobody else run and takes no interrupt.
const Try Time = math.MinInt64

// Add returns the moment d nanoseconds later; a d of 0 or less means Never,
// so that an unset limit is no limit.
func (t Time) Add(d int64) Time {
	if d <= 0 {
		return Never
	}
	return t + Time(d)
}

// What waiting may end in, besides success. A Stream returns io.EOF when the
// peer sent FIN, and a syscall.Errno (ECONNRESET, EPIPE, ...) when the
// connection broke.
var (
	ErrTimeout     = errors.New("deadline passed")     // the moment `until` came
	ErrInterrupted = errors.New("interrupted")         // Task.Interrupt was called
	ErrInput       = errors.New("unexpected input")    // Stream.Check: bytes are waiting
	ErrFull        = errors.New("buffer is full")      // Stream.Fill: Buffer.Grow first
	ErrClosed      = errors.New("stream closed by us") // used after Close or Abort
)

// Engine runs loops.
type Engine interface {
	// Loops returns the loops, at least one. The slice does not change.
	Loops() []Loop
	// Listen opens a listening socket. The error is that of the kernel, wrapped.
	Listen(a Address) (Listener, error)
	// Serve starts a task that runs f for each connection that ln accepts,
	// spread over the loops. It returns at once. f owns the stream.
	Serve(ln Listener, f func(Loop, Stream))
	// Close ends the engine when its tasks have ended: it waits for them. Its
	// listeners are closed at once. The caller has made the tasks end.
	Close()
}

// Listener is a socket that accepts connections.
type Listener interface {
	Addr() Address
	// Close stops accepting. Connections that are already handed over live on.
	Close() error
	// Files are copies of its sockets, for a process that is to go on with them. The caller
	// closes them.
	Files() ([]*os.File, error)
	// Leave makes Close leave the file of a unix socket where it is, since another process
	// accepts on it.
	Leave()
}

// Address is where a stream leads: an IP address and port, or the path of a
// unix socket. It is comparable.
type Address struct {
	IP   netip.AddrPort
	Path string // unix socket; IP is then the zero value
}

// String is host:port, or unix:PATH.
func (a Address) String() string {
	if a.Path != "" {
		return "unix:" + a.Path
	}
	return a.IP.String()
}

// Loop is one thread of control.
type Loop interface {
	// Index numbers the loops of an engine from 0.
	Index() int
	// Now is the time, as of when the running task last waited or a little later:
	// between two waits it may stand still. It costs next to nothing. Now and
	// Wall must be called from a task.
	Now() Time
	// Wall is the wall clock's time in nanoseconds since 1970, likewise.
	Wall() int64
	// Go starts a task on this loop. It begins when the caller waits or ends,
	// or before Go returns: do not count on either. Must be called from a task.
	Go(f func()) Task
	// Spawn is Go for a task that nobody needs a handle of. An engine uses the task
	// again after its end, so starting it need not allocate.
	Spawn(f func())
	// Post starts a task on this loop from anywhere: another loop, or outside.
	Post(f func())
	// Current is the running task.
	Current() Task
	// Self is Current for whoever forgets the task before it ends, as one that gives
	// it to others for the time of a Park: the engine may use the task again after it,
	// and whoever still knew it would wake somebody else.
	Self() Task
	// Sleep waits until the moment comes (nil) or the task is interrupted.
	Sleep(until Time) error
	// Park waits until somebody calls Wake on this task (nil), the moment comes
	// (ErrTimeout), or the task is interrupted. A Wake that came before is
	// remembered, once.
	Park(until Time) error
	// Do runs f elsewhere, where it may block, and waits for its end; it cannot
	// be interrupted. Other tasks of the loop run meanwhile. f must not touch
	// what belongs to a loop.
	Do(f func())
	// Dial connects. Errors: ErrTimeout, ErrInterrupted, or a syscall.Errno (perhaps
	// wrapped) as connect(2) or socket(2) gave it.
	Dial(a Address, until Time) (Stream, error)
	// Pool is where the buffers of this loop's streams get their storage from.
	Pool() *Pool
}

// Task is a running piece of sequential code. Its methods must be called from
// tasks of the same loop, and never wait.
type Task interface {
	// Wake ends the task's Park, or its next one.
	Wake()
	// Interrupt makes the wait that the task is in, or the next that it enters,
	// return ErrInterrupted (except Do). One Interrupt ends one wait.
	Interrupt()
	// Done reports whether the task's function has returned.
	Done() bool
}

// Stream is a connected byte stream. One task may Fill while another Sends.
// Its methods must be called from tasks of its loop.
type Stream interface {
	// Fill waits until input is there and reads it behind what b holds: at
	// least one byte, or an error, never both. A b without storage gets some only when input is
	// there, so a wait on an empty Buffer holds no memory. ErrFull if b has
	// storage but no room. io.EOF once the peer has sent FIN and all before it
	// was read. What arrived before a reset is delivered before the error.
	Fill(b *Buffer, until Time) error
	// Send waits until the kernel has taken first and then second, in one call
	// where it can. n counts the bytes taken, also when it fails. The bytes must
	// not change meanwhile. Either may be empty.
	Send(first, second []byte, until Time) (n int, err error)
	// Ask sends as Send does and, if the kernel takes all at once, waits for input
	// as Fill does: for a peer that speaks only when it was spoken to, where an
	// engine can save a look for input that cannot be there yet. If n counts
	// fewer bytes than were given, err is Send's, or nil if the kernel was full,
	// and nothing was read: Send the rest. Otherwise err is Fill's. A FIN that
	// came before may be noticed some 100 ms late; ErrFull comes before all.
	Ask(first, second []byte, b *Buffer, until Time) (n int, err error)
	// Rest leaves the stream to the loop until there is something to read: the
	// calling task may end meanwhile, and neither a task nor a buffer is held. Then
	// f runs, once, as a new task (see Loop.Spawn). Its argument is nil if input,
	// FIN or an error is there, so that Fill will not wait, or only for the rest of
	// a TLS record; ErrTimeout if the moment came, ErrInterrupted after Rouse,
	// ErrClosed if the stream was closed. As with Fill, what is there wins over a
	// moment that has passed. Until f runs nobody may Fill the stream; it counts
	// for Engine.Close like a task.
	Rest(until Time, f func(error))
	// Rouse ends a Rest, if there is one. It never waits.
	Rouse()
	// Check looks without waiting: nil if the stream is open and silent, io.EOF
	// if the peer's FIN is next, ErrInput if bytes are next, else what broke it.
	// It consumes nothing.
	Check() error
	// Quiet reports whether the loop knows of no input, no end and no error: Check
	// without asking the kernel, where an engine can. It knows whatever happened
	// before that for which it last resumed a task at rest, so a peer whose end led
	// to the present exchange is not quiet. It is not sure while the loop has not
	// looked what came behind the last input. If it is not quiet, Check tells more.
	Quiet() (quiet, sure bool)
	// CloseWrite sends FIN and keeps reading.
	CloseWrite() error
	// Close ends the stream in an orderly way. A wait of another task on it
	// returns ErrClosed. Closing twice is harmless.
	Close()
	// Abort ends the stream with RST where the transport can.
	Abort()
	// Sent counts the bytes that the kernel took since the stream was opened,
	// at the transport (TLS records included).
	Sent() uint64
	// Delivery asks the kernel what reached the peer; ok is false where it
	// cannot tell.
	Delivery() (d Delivery, ok bool)
	// Local and Remote are the ends' addresses; the zero value where unknown.
	Local() Address
	Remote() Address
	// Loop is the loop that the stream belongs to.
	Loop() Loop
}

// Delivery is what TCP knows of our bytes (Linux tcp(7), TCP_INFO).
type Delivery struct {
	// Acked counts our bytes that the peer's kernel has acknowledged since the
	// stream was opened, as Stream.Sent counts them.
	Acked uint64
	// Unacked and Unsent are what is under way and what waits in our kernel.
	Unacked, Unsent uint64
	// Closed is true when the socket's state is CLOSE: the RST that answered
	// data to a closed peer has arrived.
	Closed bool
	// Ended is true when the peer's FIN or RST is with our kernel, though input may
	// stand before it.
	Ended bool
	// Retransmits of segments since the stream was opened.
	Retransmits uint64
}
