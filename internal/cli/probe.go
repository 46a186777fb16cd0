package cli

import (
	"context"
	"sync"
	"time"

	"github.com/gatewhy/gatewhy/internal/check"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/reverse"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// probeTime bounds one look at an endpoint: longer than a healthy start page
// takes, short enough to wait for at a prompt.
const probeTime = 2 * time.Second

// subject is an upstream whose endpoints are looked at.
type subject struct {
	up      *upstream.Upstream
	options *reverse.Options
	local   *upstream.Local // on the prober's loop
}

// probed is an endpoint to look at.
type probed struct {
	of  *subject
	end *upstream.Endpoint
}

// prober asks endpoints with the gateway's own resolver, dialler and parser, so
// that its verdict is the one that requests will meet. It has a loop of its own,
// and its requests count for no ejection.
type prober struct {
	engine   loop.Engine
	loop     loop.Loop
	subjects []*subject
}

func newProber(list []*subject) *prober {
	p := &prober{engine: loop.Portable(loop.PortableOptions{Loops: 1}), subjects: list}
	p.loop = p.engine.Loops()[0]
	for _, s := range list {
		s.local = s.up.On(p.loop)
		s.local.Uncounted()
	}
	return p
}

func (p *prober) close() {
	var closed sync.WaitGroup
	closed.Add(1)
	p.loop.Post(func() {
		for _, s := range p.subjects {
			s.local.Close()
		}
		closed.Done()
	})
	closed.Wait()
	p.engine.Close()
}

// ask looks at the endpoints, all at once, and waits for the verdicts. It ends
// early when ctx does; the verdicts mean nothing then.
func (p *prober) ask(ctx context.Context, ends []probed) []verdict {
	verdicts := make([]verdict, len(ends))
	var done sync.WaitGroup
	done.Add(len(ends))
	for i, e := range ends {
		p.loop.Post(func() {
			defer done.Done()
			t := p.loop.Current()
			stop := context.AfterFunc(ctx, func() { p.loop.Post(t.Interrupt) })
			defer stop()
			if ctx.Err() == nil {
				verdicts[i] = p.look(e)
			}
		})
	}
	done.Wait()
	return verdicts
}

// look asks e for its start page. It is a task of the prober's loop.
func (p *prober) look(of probed) verdict {
	o := of.of.options
	a := check.Ask(of.of.local, p.loop, of.end, &check.Question{Agent: "gatewhy/" + number + " (start-up probe)",
		Limits: o.Limits, Allow: o.Allow, Time: probeTime})
	return verdict{name: of.end.Name(), down: a.Unreachable, status: a.Status, version: a.Version, took: a.Took, fault: a.Fault}
}
