package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gatewhy/gatewhy/internal/admin"
	"github.com/gatewhy/gatewhy/internal/conf"
)

// replaced are files of which one is another text.
type replaced struct {
	conf.Files
	path string
	text []byte
}

// Read implements conf.Files.
func (r *replaced) Read(path string) ([]byte, error) {
	if path == r.path {
		return r.text, nil
	}
	return r.Files.Read(path)
}

// configuration is the one in force.
func (s *service) configuration() *admin.Configuration {
	p, _ := s.now()
	if p.loaded == nil {
		return nil
	}
	return &admin.Configuration{File: p.file, Tree: p.loaded.Tree(false), Full: p.loaded.Tree(true)}
}

// put puts a text in the place of the configuration, as if the file had it. With write it
// has it in the end; what stands there is replaced as a whole, and only by what is in
// force. It returns false if the configuration is none that is still to be replaced.
func (s *service) put(text []byte, write bool, still func(*admin.Configuration) bool) (bool, admin.Reload) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	old, _ := s.now()
	r := admin.Reload{Config: old.file}
	if old.instead == nil {
		r.Error, r.Hint = "there is no configuration file that this could stand for", "gatewhy run -c FILE can be told so"
		return true, r
	}
	if !still(s.configuration()) {
		return false, r
	}
	var next string
	if write {
		var err error
		if next, err = beside(old.file, text); err != nil {
			r.Error = fmt.Sprintf("the file cannot be written, and nothing has changed: %v", err)
			return true, r
		}
		defer os.Remove(next) // it is gone if all went well
	}
	before := s.gateway.Upstreams()
	s.notify.say(reloading()...)
	r = s.take(old, old.instead(text))
	s.reloads.note(r.Done)
	s.notify.say("READY=1", "STATUS="+s.status())
	switch {
	case !r.Done:
	case !write:
		r.Note = "the file is as it was: the next reload, start or upgrade goes back to it; write=true puts this into the file"
	default:
		if err := os.Rename(next, old.file); err != nil {
			r.Note = fmt.Sprintf("it is in force, and the file could not be replaced: %v", err)
		}
	}
	s.report(&r)
	if subjects := s.subjects(before); r.Done && len(subjects) > 0 {
		s.begin(func(ctx context.Context) { s.look(ctx, subjects, false) })
	}
	return true, r
}

// beside writes a text to a new file in the directory of another, with that one's mode,
// and returns its path.
func beside(path string, text []byte) (string, error) {
	mode := os.FileMode(0o644)
	if fi, err := os.Stat(path); err == nil {
		mode = fi.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".")
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}
