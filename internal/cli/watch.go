package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/gateway"
)

// watchEvery is how often the files of a service are looked at. What has changed is
// read when it has stayed the same for as long: an editor or a deployment may be in
// the middle of it, and a certificate must fit its key.
const watchEvery = 2 * time.Second

// mark is what a look at a file tells, without reading it. The zero value is a file
// that is not there.
type mark struct {
	id       os.FileInfo // nil if it is not there
	size     int64
	modified time.Time
}

func markOf(path string) mark {
	fi, err := os.Stat(path)
	if err != nil {
		return mark{}
	}
	return mark{fi, fi.Size(), fi.ModTime()}
}

func (m mark) same(o mark) bool {
	if m.id == nil || o.id == nil {
		return m.id == nil && o.id == nil
	}
	return m.size == o.size && m.modified.Equal(o.modified) && os.SameFile(m.id, o.id)
}

// watcher notices changes of files.
type watcher struct {
	known   map[string]mark // as they were read
	pending map[string]mark // as the last look found those that have changed
}

// look returns the files that have changed since they were read and have rested since
// the last look. Files that were never seen count as read.
func (w *watcher) look(files []string) (changed []string) {
	known, pending := map[string]mark{}, map[string]mark{}
	for _, f := range files {
		now := markOf(f)
		before, ok := w.known[f]
		switch {
		case !ok || now.same(before):
			known[f] = now
			continue
		}
		known[f] = before
		if last, ok := w.pending[f]; ok && last.same(now) {
			changed, known[f] = append(changed, f), now
		} else {
			pending[f] = now
		}
	}
	w.known, w.pending = known, pending
	return changed
}

// certificateFiles are the files of certificates, keys and authorities that the plan names.
func (p *plan) certificateFiles() (list []string) {
	o := &p.options
	list = append(list, o.TLS.Certificates...)
	list = append(list, o.TLS.Keys...)
	list = append(list, o.TLS.ClientCAs, o.UpstreamCertificate, o.UpstreamKey, o.UpstreamCA)
	for i := range o.Upstreams {
		list = append(list, o.Upstreams[i].CertificateFile, o.Upstreams[i].KeyFile, o.Upstreams[i].CAFile)
	}
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(f string) bool { return f == "" })
}

// watch reads certificates again when their files have changed, and if the
// configuration is to be watched, that as well. It ends with ctx.
func (s *service) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var certificates, config watcher
	for {
		p, _ := s.now()
		if p.sources != nil {
			if changed := config.look(p.sources()); len(changed) > 0 {
				fmt.Fprintf(s.e.err, "changed: %s\n", strings.Join(changed, ", "))
				s.reload()
				certificates = watcher{} // they were read, too
				continue
			}
		}
		if changed := certificates.look(p.certificateFiles()); len(changed) > 0 {
			s.renew(changed)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// renew reads the certificates again. If that fails, those from before stay.
func (s *service) renew(changed []string) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	p, _ := s.now()
	o := p.options
	err := p.at.open(&o, func() error { return s.gateway.Apply(o) })
	switch {
	case errors.Is(err, gateway.ErrStopping):
	case err != nil:
		s.e.complain(fmt.Errorf("%s changed and cannot be used, so the certificates from before stay: %w", strings.Join(changed, ", "), err),
			"it is tried again when the file changes, or by gatewhy reload")
	default:
		fmt.Fprintf(s.e.err, "%s %s\n", s.ink.green("certificates read again:"), strings.Join(changed, ", "))
	}
}

// sources notes which files a configuration is read from, and the directories in
// which further ones may appear.
type sources struct {
	conf.Files
	list []string
}

// Read implements conf.Files.
func (s *sources) Read(path string) ([]byte, error) {
	s.list = append(s.list, path)
	return s.Files.Read(path)
}

// Glob implements conf.Files.
func (s *sources) Glob(pattern string) ([]string, error) {
	if strings.ContainsAny(pattern, `*?[`) {
		s.list = append(s.list, filepath.Dir(pattern))
	} else { // a look whether it is there, and not for what is beside it
		s.list = append(s.list, pattern)
	}
	return s.Files.Glob(pattern)
}
