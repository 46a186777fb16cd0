package cli

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// reloading are the lines that announce a reload (sd_notify(3)): the manager compares
// the moment with the one of the signal that it sent.
func reloading() []string {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return []string{"RELOADING=1"}
	}
	return []string{"RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", t.Nano()/1000)}
}
