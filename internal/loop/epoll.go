package loop

// EpollOptions says how the epoll engine runs. The zero value is good.
type EpollOptions struct {
	// Loops is how many; 0 means GOMAXPROCS. A loop holds one of the runtime's
	// processors while it has work and for some milliseconds after, so a program
	// should set GOMAXPROCS two higher than Loops; it may be any number.
	Loops int
	// Poison overwrites released buffers with 0xDB (tests).
	Poison bool
	// OnAcceptError hears of each accept(2) that failed although the listener is
	// open; after it that socket waits a little. It is called outside the loops.
	// nil means that nobody cares.
	OnAcceptError func(error)
	// Inherited are sockets to take before others are opened; nil for none.
	Inherited *Inherited
	// Rig, in tests only, gives the engine a network and a time of the test's own. It
	// has one loop then.
	Rig *Rig
}

// Rig is for tests that want to own an engine's time: in a bubble of testing/synctest
// a loop that waits in the kernel would hold the clock. With a Rig it waits in Go,
// and the sockets, which are real, end in the test. It is for one engine.
type Rig struct {
	// Dial stands in for connect(2): it returns a non-blocking socket, connected or
	// about to be, whose other end the test has. It is called on the loop.
	Dial func(Address) (fd uintptr, err error)
	// Idle is called by a loop that has nothing to do: whatever it has sent is with
	// the kernel, so the other ends may look. It returns how many bytes are on the way
	// to the loop, which then looks again.
	Idle func() int

	nudge chan struct{} // there may be news for the loop; holds one
	begin func(fd uintptr, remote Address)
}

// Nudge tells the loop that something may have happened to its sockets. Call it after
// each write, shutdown or close of their other ends.
func (r *Rig) Nudge() {
	select {
	case r.nudge <- struct{}{}:
	default: // it will look anyway
	}
}

// Accept has the engine take over a connected non-blocking socket, as if a client with
// this address had come to the listener that is served.
func (r *Rig) Accept(fd uintptr, remote Address) { r.begin(fd, remote) }
