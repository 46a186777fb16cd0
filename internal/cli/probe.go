package cli

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/http2"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
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

// look connects to e, asks for its start page and reads the head of the answer.
// It is a task of the prober's loop.
func (p *prober) look(of probed) verdict {
	e, local, options := of.end, of.of.local, of.of.options
	began := p.loop.Now()
	until := began.Add(int64(probeTime))
	v := verdict{name: e.Name()}
	took := func() time.Duration { return time.Duration(p.loop.Now() - began) }
	c, f := local.Dial(e, until, nil)
	if f != nil {
		// An address of our own does not become another one by waiting.
		v.down, v.fault, v.took = f.ID != fault.LoopSelfAddress, f, took()
		return v
	}
	defer local.Drop(c, true)
	if link, ok := c.Shared.(*http2.Link); ok {
		v.version = "HTTP/2"
		v.status, v.fault = p.look2(link, e, until)
		v.took = took()
		return v
	}
	request := "GET / HTTP/1.1\r\nHost: " + authority(e.Target()) +
		"\r\nUser-Agent: gatewhy/" + number + " (start-up probe)\r\nAccept: */*\r\nConnection: close\r\n\r\n"
	// A send that breaks says less than what the endpoint may have said before.
	c.Stream.Send([]byte(request), nil, until)
	var a http1.Answer
	defer a.In.Release()
	a.Start(c.Stream, &options.Limits, options.Allow)
	for {
		ok, f := a.ParseHead()
		switch {
		case f != nil:
			v.fault, v.took = f, took()
			return v
		case ok && a.Head.Status < 200 && a.Head.Status != 101 && a.Interims < maxInterims:
			a.Next()
			continue
		case ok:
			v.status, v.version, v.took = a.Head.Status, fmt.Sprintf("HTTP/1.%d", a.Head.Minor), took()
			return v
		}
		if err := a.Fill(until); err != nil {
			v.fault, v.took = p.ended(&a, err), took()
			return v
		}
	}
}

// look2 is look on a connection that speaks HTTP/2.
func (p *prober) look2(k *http2.Link, e *upstream.Endpoint, until loop.Time) (status int, f *fault.Fault) {
	var l http2.Line
	l.Begin(k)
	defer l.Release()
	q := message.Request{Safe: true, Idempotent: true}
	h := &q.Head
	add := func(s string) message.Span {
		h.Raw = append(h.Raw, s...)
		return message.Span{Off: uint32(len(h.Raw) - len(s)), Len: uint32(len(s))}
	}
	h.Major, h.Minor = 1, 1
	h.Method, h.Path, h.Authority = add("GET"), add("/"), add(authority(e.Target()))
	h.Fields = []message.Field{{Name: add("user-agent"), Value: add("gatewhy/" + number + " (start-up probe)")},
		{Name: add("accept"), Value: add("*/*"), ID: message.Accept}}
	l.Compose(&q, &message.Onward{Length: -1, Via: []byte("gatewhy")})
	l.End(nil)
	if sent, err := l.AskWhole(until); !sent || err != nil {
		return 0, l.HeadEnded(err, &message.Circumstances{Limit: probeTime.String()})
	}
	answer, _ := l.Message()
	for {
		switch ok, _ := l.ParseHead(); {
		case ok && answer.Status < 200 && l.Interim() < maxInterims:
			l.Next()
			continue
		case ok:
			return answer.Status, nil
		}
		if err := l.Fill(until); err != nil {
			return 0, l.HeadEnded(err, &message.Circumstances{Limit: probeTime.String()})
		}
	}
}

// maxInterims bounds what a probe reads before the answer.
const maxInterims = 8

func (p *prober) ended(a *http1.Answer, err error) *fault.Fault {
	if f := upstream.TLSFault(err); f != nil {
		return f
	}
	return a.HeadEnded(err, &http1.Circumstances{Limit: probeTime.String()})
}

// authority is the Host field for a target.
func authority(t upstream.Target) string {
	if t.Path != "" {
		return "localhost"
	}
	if _, name, ok := strings.Cut(t.Name, "://"); ok {
		return name
	}
	return t.Name
}
