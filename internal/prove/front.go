package prove

import (
	"context"
	"fmt"
	"strings"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/lab"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// overH2 reports whether the recipe is played with a client that speaks HTTP/2,
// too: one of each fault is, and all that are about HTTP/2. What only HTTP/1.1 can
// say, or say wrongly, is not.
func overH2(r *lab.Recipe) bool {
	own := strings.HasPrefix(r.Name, "h2_") || strings.HasPrefix(r.Name, "grpc_") || r.GRPC != ""
	switch {
	case strings.Contains(r.Name, "/") && !own, r.Hold > 0, r.Busy > 0, len(r.Pieces) > 0, r.OnTLS, r.Frames != "":
		return false
	case strings.Contains(r.Request, "\r\nUpgrade: "):
		return false
	case r.Client == lab.CloseWrite:
		return false
	}
	id := r.Fault()
	return fault.Lookup(id).Side != fault.Client || id == fault.ClientGone || id == fault.ReplyTimeout
}

// playH2 is play with a client that speaks HTTP/2.
func playH2(ctx context.Context, r *lab.Recipe, engine func() loop.Engine) (*played, *stage, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s, err := setUp(ctx, r, engine, false)
	if err != nil {
		return nil, s, err
	}
	defer s.tearDown()
	p, err := s.playH2(ctx)
	return p, s, err
}

func (s *stage) playH2(ctx context.Context) (*played, error) {
	r := s.recipe
	if err := s.trip(ctx); err != nil {
		return nil, err
	}
	c, err := lab.DialH2(ctx, s.address)
	if err != nil {
		return nil, fmt.Errorf("the gateway does not accept: %w", err)
	}
	defer c.Close()
	plain := func(path string) (*lab.H2Exchange, error) {
		return c.Start("GET "+path+" HTTP/1.1\r\nHost: "+authority+"\r\n\r\n", 0)
	}
	if r.Warm {
		x, err := plain("/")
		if err != nil {
			return nil, err
		}
		if a := fromH2(x.Answer()); a.status != 200 || !a.whole {
			return nil, fmt.Errorf("the request that makes a pooled connection got %v", a)
		}
		if _, err := s.trail(ctx, false); err != nil {
			return nil, err
		}
		if err := s.origins[0].Arm(ctx); err != nil {
			return nil, fmt.Errorf("the origin does not get ready: %w", err)
		}
	}
	var others []*lab.H2Exchange
	for i := range r.Beside {
		x, err := plain(lab.BesidePath)
		if err != nil {
			return nil, err
		}
		if err := s.origins[0].AwaitHits(ctx, int64(2+i)); err != nil {
			return nil, fmt.Errorf("a request beside does not come to the origin: %w", err)
		}
		others = append(others, x)
	}
	request, _ := plant(r.Requested("%HOST%"))
	x, err := c.Start(strings.ReplaceAll(request, "%HOST%", authority), r.Upload)
	if err != nil {
		return nil, err
	}
	p := &played{at: -1}
	switch r.Client {
	case lab.Close, lab.Reset:
		if err := s.origins[0].AwaitHit(ctx); err != nil {
			return nil, fmt.Errorf("the request does not come to the origin: %w", err)
		}
		if r.Client == lab.Reset {
			x.Cancel()
		} else {
			c.Close()
		}
		p.answer = &answer{cut: context.Canceled}
		p.trail, err = s.trail(ctx, false)
		return p, err
	case lab.Stall:
		if err := s.origins[0].AwaitEnd(ctx); err != nil {
			return nil, fmt.Errorf("the origin's connection does not end: %w", err)
		}
	}
	p.answer = fromH2(x.Answer())
	if p.trail, err = s.trail(ctx, false); err != nil {
		return p, err
	}
	for _, x := range others {
		o := &played{at: -1, answer: fromH2(x.Answer())}
		if o.trail, err = s.trail(ctx, true); err != nil {
			return p, err
		}
		p.beside = append(p.beside, o)
	}
	return p, nil
}

// playFrames lets a client send the recipe's frames, whatever they are.
func (s *stage) playFrames(ctx context.Context) (*played, error) {
	c, err := lab.DialH2(ctx, s.address)
	if err != nil {
		return nil, fmt.Errorf("the gateway does not accept: %w", err)
	}
	defer c.Close()
	x, err := c.Send(s.recipe.Frames)
	if err != nil {
		return nil, err
	}
	p := &played{at: -1, answer: fromH2(x.Answer())}
	if s.recipe.Goaway != "" {
		p.goaway = c.Goaway()
	}
	// What was under way when the connection ended has trails of its own.
	for p.trail == nil || p.trail.Fault == nil || p.trail.Fault.ID != s.recipe.Want {
		t, err := s.trail(ctx, false)
		if err != nil {
			if p.trail != nil {
				return p, nil // judged by its name
			}
			return p, err
		}
		p.trail = t
	}
	return p, nil
}

// fromH2 is an answer over HTTP/2 as the judgement looks at it.
func fromH2(h *lab.H2Answer) *answer {
	a := &answer{status: h.Status, body: h.Body, size: h.Size, whole: h.Whole && h.Flaw == "", interim: h.Interim, cut: h.Cut, flaw: h.Flaw}
	for _, f := range h.Fields {
		a.fields = append(a.fields, field{f.Name, f.Value})
	}
	for _, f := range h.Trailer {
		a.trailer = append(a.trailer, field{f.Name, f.Value})
	}
	return a
}
