//go:build race

package soak

// raced: the race detector's own memory hides the program's.
const raced = true
