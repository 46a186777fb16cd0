package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/gatewhy/gatewhy/internal/admin"
)

// openPublic listens for those who ask for metrics and, with a token, for the API. Where
// that cannot be had, as failed says or a try shows, it is tried again: what watches
// requests should not keep them from being served.
func (s *service) openPublic(public admin.Public, failed error) {
	if failed == nil {
		failed = s.tryPublic(public)
	}
	if failed == nil {
		return
	}
	s.e.complain(fmt.Errorf("no metrics: %w", failed),
		"requests are served all the same, and this is tried again; admin.listen, or --admin-listen, names another address")
	public.Listener = nil
	s.begin(func(ctx context.Context) {
		for pause := lackFirst; ; pause = min(2*pause, lackLast) {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			if s.heir.Load() != 0 {
				return // the address is that of the process that took over
			}
			if s.tryPublic(public) == nil {
				fmt.Fprintf(s.e.err, "%s http://%s/metrics\n", s.ink.green("now there are metrics:"), s.public.Load().Addr())
				return
			}
		}
	})
}

func (s *service) tryPublic(public admin.Public) error {
	m, err := admin.Serve(public)
	if err == nil {
		s.public.Store(m)
	}
	return err
}

func (s *service) closePublic() {
	if m := s.public.Load(); m != nil {
		m.Close()
	}
}
