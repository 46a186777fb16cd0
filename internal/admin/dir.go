package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A socket is called proxy-PID.sock.
const (
	prefix = "proxy-"
	suffix = ".sock"
)

// systemDir is where services keep what lives as long as they do (FHS 3.0 §3.15).
const systemDir = "/run/gatewhy"

// Dirs are the run directories, in the order in which a gateway of this user
// tries them: the one that a service manager has made for it, the system's for root, that of
// the session, and a private one among the temporary files. Readers look into all of them.
func Dirs() []string {
	// systemd.exec(5), RuntimeDirectory: what it lists is made anew at each start. Without it
	// a service with PrivateTmp would hide its socket from everybody.
	if first, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":"); filepath.IsAbs(first) {
		return append([]string{first}, usualDirs()...)
	}
	return usualDirs()
}

func usualDirs() []string {
	private := filepath.Join(os.TempDir(), "gatewhy-"+strconv.Itoa(os.Getuid()))
	var own []string
	if x := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(x) {
		own = append(own, filepath.Join(x, "gatewhy"))
	}
	if os.Getuid() == 0 {
		return append(append([]string{systemDir}, own...), private)
	}
	return append(own, private, systemDir)
}

// prepare makes the directory, or the first of Dirs that works if it is "".
func prepare(dir string) (string, error) {
	if dir != "" {
		return dir, makeDir(dir)
	}
	var failed []error
	for _, d := range Dirs() {
		err := makeDir(d)
		if err == nil {
			return d, nil
		}
		failed = append(failed, err)
	}
	return "", errors.Join(failed...)
}

// makeDir makes a directory that only its owner can enter. One that is there must
// be ours: in a folder that all may write to, somebody else may have made it
// first, to serve sockets that look like ours.
func makeDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err == nil || !errors.Is(err, fs.ErrExist) {
		return err
	}
	fi, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !fi.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case !ownedByUs(fi):
		return fmt.Errorf("%s belongs to somebody else: name another with --run-dir", dir)
	case fi.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s can be written by others: chmod 700 %[1]s", dir)
	}
	return nil
}

func ownedByUs(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}

// Sockets lists the sockets in the directories, those of running and of killed
// processes alike, in the order of the directories and by name.
func Sockets(dirs ...string) []string {
	var list []string
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // no gateway of this kind has ever run, or it is not ours to read
		}
		for _, e := range entries {
			if _, ok := pid(e.Name()); ok && e.Type()&fs.ModeSocket != 0 {
				list = append(list, filepath.Join(dir, e.Name()))
			}
		}
	}
	return slices.Compact(list)
}

func pid(name string) (int, bool) {
	s, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	if s, ok = strings.CutSuffix(s, suffix); !ok {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n > 0
}

// sweep removes the sockets that nobody listens on.
func sweep(dir string) {
	for _, path := range Sockets(dir) {
		c, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			c.Close()
			continue
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			os.Remove(path)
		}
	}
}
