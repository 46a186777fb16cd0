//go:build unix

package cli

import (
	"os"
	"syscall"
)

// keepOwner gives f the owner and the group of another file, as far as this user
// may: root edits files of others.
func keepOwner(f *os.File, other os.FileInfo) error {
	s, ok := other.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return f.Chown(int(s.Uid), int(s.Gid))
}
