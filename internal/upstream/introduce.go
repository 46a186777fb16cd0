package upstream

import (
	"errors"
	"net/netip"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/wire/proxyproto"
)

// nobody is the PROXY header of connections that speak for no client, by version.
var nobody = [...][]byte{
	1: proxyproto.AppendV1(nil, netip.AddrPort{}, netip.AddrPort{}),
	2: proxyproto.AppendV2(nil, netip.AddrPort{}, netip.AddrPort{}, nil),
}

// SendProxy is the version of the PROXY header that connections begin with; 0 if they
// do not.
func (p *Local) SendProxy() int { return p.up.o.SendProxy }

// introduce sends a PROXY header on s, which it closes if that fails. It fits into the
// buffer of any new socket, so only an endpoint that hangs up at once can fail it.
func (p *Local) introduce(s loop.Stream, header []byte, until loop.Time, e *Endpoint, tm *Timing) *fault.Fault {
	began, limit := p.loop.Now(), p.up.o.Timeouts.Connect
	_, err := s.Send(header, nil, min(until, began.Add(int64(limit))))
	if err == nil {
		return nil
	}
	s.Close()
	now := p.loop.Now()
	took := time.Duration(now - began)
	switch {
	case errors.Is(err, loop.ErrInterrupted):
		return interrupted(fault.Connect)
	case errors.Is(err, loop.ErrTimeout) && now >= until:
		return cut(fault.Connect, e, took)
	case errors.Is(err, loop.ErrTimeout):
		return fault.New(fault.ConnectTimeout, "endpoint", e.target.Name, "address", tm.Address, "limit", short(limit), "after", short(took))
	}
	return fault.New(fault.AcceptThenRST, "endpoint", e.target.Name, "address", tm.Address, "delivered", "none", "errno", err.Error()).Because(err)
}
