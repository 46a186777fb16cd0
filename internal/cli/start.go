package cli

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/config"
	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/reverse"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// say prints the first lines of a start: the gateway accepts requests from now on.
func (s *service) say() {
	p, _ := s.now()
	fmt.Fprintf(s.e.err, "%s · pid %d · %s\n\n", s.ink.bold("gatewhy "+number), os.Getpid(), p.from)
	if c := s.gateway.Certificates(); c != nil {
		for _, w := range c.Warnings() {
			s.e.warn(w)
		}
		if f := c.Fingerprint(); f != "" {
			fmt.Fprintf(s.e.err, "  self-signed certificate, for trying out: clients must be told to trust it (curl -k)\n  SHA-256 %s\n\n", f)
		}
	}
	trusting := "--upstream-verify off"
	one := []gateway.Upstream{{Options: p.options.Upstream}}
	if len(p.options.Upstreams) > 0 {
		one = p.options.Upstreams
	}
	for _, u := range one {
		if !u.Trusting || !slices.ContainsFunc(u.Targets, func(t upstream.Target) bool { return t.Secure }) {
			continue
		}
		if p.loaded != nil {
			trusting = "upstream " + u.Name + " has tls.verify false"
		}
		s.e.warn(trusting + ": anybody on the way to the https:// upstreams can read and change everything")
	}
	switch {
	case p.loaded != nil:
		s.overview(p)
	case s.public.Load() != nil:
		fmt.Fprintf(s.e.err, "  metrics    http://%s/metrics\n\n", s.public.Load().Addr())
	}
}

// overview prints where it listens and what goes where.
func (s *service) overview(p *plan) {
	var b strings.Builder
	for i, u := range p.at.urls(s.gateway.Addresses()) {
		label := ""
		if i == 0 {
			label = "listening"
		}
		fmt.Fprintf(&b, "  %-9s  %s\n", label, u)
	}
	if m := s.public.Load(); m != nil {
		fmt.Fprintf(&b, "  %-9s  http://%s/metrics\n", "metrics", m.Addr())
	}
	b.WriteString("\n")
	s.routes(&b, p.loaded.Gateway)
	fmt.Fprintln(s.e.err, b.String()) // one write: a log reader sees it whole
}

// mostShown bounds the lines about routes and about endpoints: what fits on two
// screens. There may be ten thousand.
const mostShown = 50

// routes writes a line for each route: site, match, upstream.
func (s *service) routes(b *strings.Builder, g *config.Gateway) {
	type row struct{ site, match, to string }
	var rows []row
	more, left, middle := 0, 0, 0
	for _, name := range slices.Sorted(maps.Keys(g.Sites)) {
		for i := range g.Sites[name].Routes {
			if len(rows) == mostShown {
				more++
				continue
			}
			r := &g.Sites[name].Routes[i]
			w := row{match: "everything else", to: r.Proxy.Name}
			if i == 0 {
				w.site, w.match = name, "everything"
			}
			if m := conf.Encode(&r.Match, nil, true).Words(); m != "" {
				w.match = strings.TrimPrefix(m, "path ")
			}
			rows = append(rows, w)
			left, middle = max(left, utf8.RuneCountInString(w.site)), max(middle, utf8.RuneCountInString(w.match))
		}
	}
	for _, w := range rows {
		fmt.Fprintf(b, "  %-*s  %-*s  →  %s\n", left, w.site, min(middle, 60), w.match, w.to)
	}
	if more > 0 {
		fmt.Fprintf(b, "  and %d more routes: gatewhy show\n", more)
	}
}

// subjects are the upstreams behind the gateway but for those in before.
func (s *service) subjects(before []*upstream.Upstream) (list []*subject) {
	p, _ := s.now()
	for i, u := range s.gateway.Upstreams() {
		if slices.Contains(before, u) {
			continue
		}
		o := &p.options.Reverse
		if i < len(p.options.Upstreams) {
			o = &p.options.Upstreams[i].Reverse
		}
		list = append(list, &subject{up: u, options: o})
	}
	return list
}

// asked bounds the polls of an endpoint that is down: ten minutes.
const asked = 600

// pollEvery is the pause between two polls of an endpoint that is down.
const pollEvery = time.Second

// mostProbed bounds the endpoints that are asked: each takes a connection, all at
// once.
const mostProbed = 256

// look asks each endpoint once, says how it is, and keeps asking those that are
// down until they are up or serve no more. At the start it says more.
func (s *service) look(ctx context.Context, list []*subject, start bool) {
	p := newProber(list)
	defer p.close()
	var ends []probed
	more := 0
	for _, of := range list {
		for _, e := range of.up.Endpoints() {
			if len(ends) < mostProbed {
				ends = append(ends, probed{of, e})
			} else {
				more++
			}
		}
	}
	verdicts := p.ask(ctx, ends)
	if ctx.Err() != nil {
		return
	}
	now, _ := s.now()
	var b strings.Builder
	if now.loaded == nil {
		s.table(&b, now.at, ends, verdicts)
	} else {
		s.upstreams(&b, ends, verdicts)
	}
	if more > 0 {
		fmt.Fprintf(&b, "  and %d more endpoints, which were not asked\n", more)
	}
	if start {
		fmt.Fprintf(&b, "\n  %s\n\n", s.ink.dim(summary(now, s.log)))
	}
	fmt.Fprint(s.e.err, b.String())

	var down []probed
	for i, v := range verdicts {
		if v.down {
			down = append(down, ends[i])
		}
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for polls := 0; len(down) > 0 && polls < asked; polls++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		serving := s.gateway.Upstreams()
		down = slices.DeleteFunc(down, func(d probed) bool { return !slices.Contains(serving, d.of.up) })
		verdicts := p.ask(ctx, down)
		if ctx.Err() != nil {
			return
		}
		var still []probed
		for i, v := range verdicts {
			if v.down {
				still = append(still, down[i])
				continue
			}
			fmt.Fprintf(s.e.err, "  %s %s\n", url(down[i].end.Target()), v.words(s.ink))
		}
		down = still
	}
	for _, d := range down {
		fmt.Fprintf(s.e.err, "  %s is still down; it gets requests all the same, only this line does not wait any longer\n", d.end.Name())
	}
}

// noEndpoint is said of an upstream of SRV names of which nothing is known.
const noEndpoint = "no endpoint is known: requests get 503 until DNS names one"

// table writes a line for each listener and endpoint.
func (s *service) table(b *strings.Builder, at listens, ends []probed, verdicts []verdict) {
	lefts, left, width := at.urls(s.gateway.Addresses()), 0, 0
	for _, l := range lefts {
		left = max(left, utf8.RuneCountInString(l))
	}
	for _, e := range ends {
		width = max(width, len(url(e.end.Target())))
	}
	for i := range max(len(lefts), len(ends)) {
		from := ""
		if i < len(lefts) {
			from = lefts[i]
		}
		if i >= len(ends) {
			if fmt.Fprintf(b, "  %s", from); len(ends) == 0 && i == 0 {
				b.WriteString("  →  " + s.ink.red(noEndpoint))
			}
			b.WriteByte('\n')
			continue
		}
		fmt.Fprintf(b, "  %-*s  →  %-*s   %s\n", left, from, width, url(ends[i].end.Target()), verdicts[i].words(s.ink))
	}
}

// upstreams writes a line for each endpoint, with the name of its upstream; of
// many those that are up are counted only.
func (s *service) upstreams(b *strings.Builder, ends []probed, verdicts []verdict) {
	left, width, well := 0, 0, 0
	for _, e := range ends {
		left, width = max(left, utf8.RuneCountInString(e.of.up.Name())), max(width, len(url(e.end.Target())))
	}
	var last *subject
	for i, e := range ends {
		if len(ends) > mostShown && verdicts[i].fault == nil {
			well++
			continue
		}
		name := ""
		if e.of != last {
			name, last = e.of.up.Name(), e.of
		}
		fmt.Fprintf(b, "  %-*s  %-*s   %s\n", left, name, width, url(e.end.Target()), verdicts[i].words(s.ink))
	}
	for _, u := range s.gateway.Upstreams() {
		if len(u.Endpoints()) == 0 {
			fmt.Fprintf(b, "  %-*s  %s\n", left, u.Name(), s.ink.red(noEndpoint))
		}
	}
	if well > 0 {
		fmt.Fprintf(b, "  %d endpoints are %s\n", well, s.ink.green("up"))
	}
}

// url is a target as a link, where it can be one.
func url(t upstream.Target) string {
	if t.Path != "" || t.Secure || t.H2C {
		return t.Name
	}
	return "http://" + t.Name
}

// summary tells what is switched on.
func summary(p *plan, log *accessLog) string {
	const help = "gatewhy explain ID looks an incident up"
	if p.loaded != nil {
		return log.String() + " · " + help
	}
	o := &p.options
	n := o.Reverse.Attempts
	if n == 0 {
		n = reverse.DefaultAttempts
	}
	words := []string{fmt.Sprintf("retries on, %d attempts", n)}
	if n == 1 {
		words[0] = "retries off"
	}
	if o.Reverse.Allow != 0 {
		words = append(words, "repairs on")
	} else {
		words = append(words, "repairs off")
	}
	return strings.Join(append(words, log.String(), help), " · ")
}

// verdict is what a probe found out.
type verdict struct {
	down    bool // a connection cannot be had: worth asking again
	status  int  // 0 if it did not answer
	version string
	took    time.Duration
	fault   *fault.Fault // nil if it answered well
	name    string       // of the endpoint
}

// words says how an endpoint is.
func (v verdict) words(p ink) string {
	switch {
	case v.fault == nil:
		return p.green("up") + fmt.Sprintf(", %s, answered %d in %s", v.version, v.status, milliseconds(v.took))
	case v.fault.ID == fault.HeadTimeoutFirstByte:
		return p.green("up") + fmt.Sprintf(", and GET / has no answer after %s", milliseconds(v.took))
	case v.fault.ID == fault.ConnectRefused:
		return p.yellow("waiting") + "   " + v.name + " refuses connections: nothing listens there (started yet?)"
	case v.fault.ID == fault.UnixSocketMissing:
		return p.yellow("waiting") + "   " + v.name + " does not exist (started yet?)"
	case v.down:
		return p.yellow("waiting") + "   " + told(v.fault)
	}
	return p.red("bad") + "   " + told(v.fault)
}

// told is a fault in one line with the command that says more.
func told(f *fault.Fault) string {
	what := f.Observed()
	if strings.Contains(what, "{") { // a fact that only an exchange has
		what = f.Row().Title
	}
	if f.ID == fault.TotalTimeout {
		what = "no connection within " + milliseconds(probeTime)
	}
	return printable(what) + " (gatewhy explain " + string(f.ID) + ")"
}

func milliseconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", max(1, d.Milliseconds()))
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
