//go:build !linux || !(amd64 || arm64 || loong64 || ppc64le || riscv64)

package reverse

import "github.com/gatewhy/gatewhy/internal/loop"

// Without the epoll engine there is no kernel to play on.
type (
	kernel struct{}
	sock   struct{}
)

func newKernel(*stage) *kernel           { panic("no epoll") }
func (*kernel) engine() loop.Engine      { panic("no epoll") }
func (*kernel) client(string) *wire      { panic("no epoll") }
func (*kernel) close()                   {}
func (*sock) read([]byte) (int, error)   { panic("no epoll") }
func (*sock) write([]byte) (int, error)  { panic("no epoll") }
func (*sock) shut() error                { panic("no epoll") }
func (*sock) waiting() (n int, fin bool) { panic("no epoll") }
func (*sock) end(bool)                   { panic("no epoll") }
