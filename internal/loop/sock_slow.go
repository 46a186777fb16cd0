//go:build !(linux && (amd64 || arm64 || loong64 || ppc64le || riscv64))

package loop

import "net"

// newStream makes a stream of c.
func newStream(l *ploop, c net.Conn, _ bool) Stream { return newConn(l, c) }
