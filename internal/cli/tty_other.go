//go:build !linux

package cli

import "os"

// isatty knows no better way without a library: the null device is told apart by
// its name.
func isatty(f *os.File) bool { return f.Name() != os.DevNull }
