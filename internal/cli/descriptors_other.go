//go:build !unix

package cli

func openFiles() int { return 0 }

func cpuSeconds() (float64, bool) { return 0, false }
