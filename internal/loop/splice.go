package loop

import "errors"

// ErrNoSplice is what Splice says when these streams cannot, or not now.
var ErrNoSplice = errors.New("the input cannot go straight to that stream")

// Splice moves input of one stream straight to another one of the same loop, at
// most n bytes, without bringing it here: for bodies so large that it pays (see
// SpliceWorth). It waits for input as Stream.Fill does, until the moment rd, and
// then until all of what it got was taken. It is not done when the stream `to` takes
// nothing for stall nanoseconds (0: no limit), or at the moment end: ErrTimeout. An
// interrupt ends only the wait for input; one that comes later is kept.
//
// If sent < got, err is that of the sending side, and what is missing is lost. Else
// err is that of the input, and got is 0, or it is nil.
func Splice(from, to Stream, n int64, rd Time, stall int64, end Time) (got, sent int64, err error) {
	if s, ok := from.(splicer); ok {
		return s.splice(to, n, rd, stall, end)
	}
	return 0, 0, ErrNoSplice
}

// SpliceWorth is how many bytes must be left for Splice to cost less than copies:
// below it the calls that a pipe needs outweigh what they save.
const SpliceWorth = 64 << 10

type splicer interface {
	splice(to Stream, n int64, rd Time, stall int64, end Time) (got, sent int64, err error)
}
