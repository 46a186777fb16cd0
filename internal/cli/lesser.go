package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatewhy/gatewhy/internal/certs"
	"github.com/gatewhy/gatewhy/internal/gateway"
)

// The pauses between two looks for what a start could not have.
const (
	lackFirst = time.Second
	lackLast  = 30 * time.Second
)

// lack is what a service begins without, since a site that works should not wait for
// one that does not: a place that somebody else listens on, or a certificate whose files
// cannot be read.
type lack struct {
	place       *place // nil if it is a certificate
	certificate int    // which of the options' it is
	why         string
}

// without is the plan less what it lacks. With no certificate left nothing speaks TLS.
func (p *plan) without(lacks []lack) *plan {
	q := *p
	if len(lacks) == 0 {
		return &q
	}
	t := &q.options.TLS
	whole := p.options.TLS
	t.Certificates, t.Keys = nil, nil
	for i, file := range whole.Certificates {
		if slices.ContainsFunc(lacks, func(l lack) bool { return l.place == nil && l.certificate == i }) {
			continue
		}
		t.Certificates = append(t.Certificates, file)
		if len(whole.Keys) > 0 {
			t.Keys = append(t.Keys, whole.Keys[i])
		}
	}
	q.at = slices.DeleteFunc(slices.Clone(p.at), func(at *place) bool {
		return at.Secure && !t.Any() || slices.ContainsFunc(lacks, func(l lack) bool { return l.place == at })
	})
	return &q
}

// begin starts a gateway of the plan, or of what can be had of it if partly is set. The
// error is of one that cannot have any place to listen on.
func (p *plan) begin(partly bool) (g *gateway.Gateway, q *plan, lacks []lack, err error) {
	if t := &p.options.TLS; partly && (len(t.Keys) == 0 || len(t.Keys) == len(t.Certificates)) {
		for i, file := range t.Certificates {
			key := file
			if len(t.Keys) > 0 {
				key = t.Keys[i]
			}
			if _, err := certs.Pair(file, key); err != nil {
				lacks = append(lacks, lack{certificate: i, why: err.Error()})
			}
		}
	}
	for {
		q = p.without(lacks)
		g, err = q.at.start(&q.options)
		var where *gateway.ListenError
		if err == nil || !partly || !errors.As(err, &where) || len(q.at) <= 1 {
			if err != nil {
				err = cannotListen(err, q.at, p.another)
			}
			return g, q, lacks, err
		}
		at := q.at.at(where.Address)
		lacks = append(lacks, lack{place: at, why: cannotListen(err, q.at, p.another).Error()})
	}
}

// lacking tells what a start could not have.
func (s *service) lacking() {
	for _, l := range s.lacks {
		s.e.warn(l.why + "; the rest is served, and this is tried again")
	}
}

// complete tries again and again to have what the start could not. It ends with ctx, when
// all is there, and when a reload has put another plan in force.
func (s *service) complete(ctx context.Context, whole *plan) {
	for pause := lackFirst; ; pause = min(2*pause, lackLast) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		if s.completed(whole) {
			return
		}
	}
}

// completed tries once, and reports whether that is all.
func (s *service) completed(whole *plan) bool {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	s.mu.Lock()
	lacks := slices.Clone(s.lacks)
	s.mu.Unlock()
	for _, l := range lacks {
		rest := slices.DeleteFunc(slices.Clone(s.lacks), func(o lack) bool { return o.place == l.place && o.certificate == l.certificate })
		q := whole.without(rest)
		if l.place == nil {
			o := &whole.options.TLS
			key := o.Certificates[l.certificate]
			if len(o.Keys) > 0 {
				key = o.Keys[l.certificate]
			}
			if _, err := certs.Pair(o.Certificates[l.certificate], key); err != nil {
				continue
			}
		}
		o := q.options
		if q.at.open(&o, func() error { return s.gateway.Apply(o) }) != nil {
			continue
		}
		s.mu.Lock()
		s.plan, s.lacks = q, rest
		s.mu.Unlock()
		what := ""
		if l.place != nil {
			what = "listens on " + l.place.Written()
		} else {
			what = "uses the certificate in " + whole.options.TLS.Certificates[l.certificate]
		}
		fmt.Fprintf(s.e.err, "%s %s\n", s.ink.green("now:"), what)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lacks) == 0
}
