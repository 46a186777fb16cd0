package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/reverse"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// say prints the first line of a start: the gateway accepts requests from now on.
func (r *running) say(o *gateway.Options) {
	fmt.Fprintf(r.e.err, "%s · pid %d · no config file, 1 route from flags\n\n",
		r.ink.bold("gatewhy "+number), os.Getpid())
	if c := r.gateway.Certificates(); c != nil {
		for _, w := range c.Warnings() {
			r.e.warn(w)
		}
		if f := c.Fingerprint(); f != "" {
			fmt.Fprintf(r.e.err, "  self-signed certificate, for trying out: clients must be told to trust it (curl -k)\n  SHA-256 %s\n\n", f)
		}
	}
	if o.Upstream.Trusting && slices.ContainsFunc(o.Upstream.Targets, func(t upstream.Target) bool { return t.Secure }) {
		r.e.warn("--upstream-verify off: anybody on the way to the https:// upstreams can read and change everything")
	}
}

// asked bounds the polls of an endpoint that is down: ten minutes.
const asked = 600

// pollEvery is the pause between two polls of an endpoint that is down.
const pollEvery = time.Second

// watch asks each endpoint once, says how it is, and keeps asking those that are
// down until they are up.
func (r *running) watch(ctx context.Context, o *gateway.Options, at listens) {
	p := newProber(r.gateway.Upstream(), &o.Reverse)
	defer p.close()
	ends := r.gateway.Upstream().Endpoints()
	verdicts := p.ask(ctx, ends)
	if ctx.Err() != nil {
		return
	}
	r.table(at, ends, verdicts)
	fmt.Fprintf(r.e.err, "\n  %s\n\n", r.ink.dim(summary(o, r.log)))

	var down []*upstream.Endpoint
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
		verdicts := p.ask(ctx, down)
		if ctx.Err() != nil {
			return
		}
		var still []*upstream.Endpoint
		for i, v := range verdicts {
			if v.down {
				still = append(still, down[i])
				continue
			}
			fmt.Fprintf(r.e.err, "  %s %s\n", url(down[i].Target()), v.words(r.ink))
		}
		down = still
	}
	for _, e := range down {
		fmt.Fprintf(r.e.err, "  %s is still down; it gets requests all the same, only this line does not wait any longer\n", e.Name())
	}
}

// table prints a line for each listener and endpoint.
func (r *running) table(at listens, ends []*upstream.Endpoint, verdicts []verdict) {
	lefts, left, width := at.urls(r.gateway.Addresses()), 0, 0
	for _, l := range lefts {
		left = max(left, utf8.RuneCountInString(l))
	}
	for _, e := range ends {
		width = max(width, len(url(e.Target())))
	}
	for i := range max(len(lefts), len(ends)) {
		from := ""
		if i < len(lefts) {
			from = lefts[i]
		}
		if i >= len(ends) {
			fmt.Fprintf(r.e.err, "  %s\n", from)
			continue
		}
		fmt.Fprintf(r.e.err, "  %-*s  →  %-*s   %s\n", left, from, width, url(ends[i].Target()), verdicts[i].words(r.ink))
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
func summary(o *gateway.Options, log *accessLog) string {
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
	return strings.Join(append(words, log.String(), "gatewhy explain ID looks an incident up"), " · ")
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
