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
}
