//go:build !linux

package cli

func reloading() []string { return []string{"RELOADING=1"} }
