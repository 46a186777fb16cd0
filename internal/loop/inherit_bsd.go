//go:build unix && !linux

package loop

// acceptsConnections believes it: not every such system can be asked.
func acceptsConnections(int) (int, error) { return 1, nil }
