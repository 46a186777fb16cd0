package lab

import (
	"net/netip"
	"syscall"

	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/loop/faulty"
)

// Injection is what an engine must pretend in the place of the network or the
// machine. The zero value pretends nothing.
//
// [Recipe.Plan] makes a plan for package faulty of what concerns connections;
// SpoolErrno and Panic are for whoever puts the gateway together.
type Injection struct {
	// DialErrno is what every connect to the origin ends in.
	DialErrno syscall.Errno
	// PauseAfterConnect hands a fresh connection over only when the peer's FIN or
	// RST has arrived.
	PauseAfterConnect bool
	// HideClose lets Stream.Check say that a connection is well whose FIN has
	// arrived: the FIN crosses the request.
	HideClose bool
	// NoAck lets Stream.Delivery say that nothing was ever acknowledged.
	NoAck bool
	// SpoolErrno is what writing a request body to disk ends in.
	SpoolErrno syscall.Errno
	// Panic makes the exchange panic once, where it would make its attempt.
	Panic bool
}

// Any reports whether there is anything to pretend.
func (i Injection) Any() bool { return i != Injection{} }

// Plan is what the gateway's engine must be wrapped in (faulty.Wrap) for the
// recipe to work before the origin o; nil if nothing is to be pretended of
// connections. It is for connections to o only, so a second endpoint stays good;
// but where the machine itself is at fault, that is so for every endpoint.
func (r *Recipe) Plan(o *Origin) *faulty.Plan {
	i := r.Inject
	i.SpoolErrno, i.Panic = 0, false
	if !i.Any() {
		return nil
	}
	p := &faulty.Plan{Blind: i.HideClose}
	if to, err := netip.ParseAddrPort(o.Target); err == nil && (r.Rescue || i.DialErrno == 0) {
		p.For = func(a loop.Address) bool { return a.IP == to }
	}
	if i.DialErrno != 0 {
		only := p.For
		p.DialErr = func(a loop.Address) error {
			if only != nil && !only(a) {
				return nil
			}
			return i.DialErrno
		}
	}
	if i.PauseAfterConnect {
		p.AfterConnect = faulty.AwaitPeer
	}
	if i.NoAck {
		p.Delivery = func(d loop.Delivery, ok bool) (loop.Delivery, bool) {
			d.Acked, d.Unacked = 0, d.Acked+d.Unacked
			return d, true
		}
	}
	return p
}
