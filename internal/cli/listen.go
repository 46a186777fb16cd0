package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/listen"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// listens are all the places where the gateway listens, those in plain HTTP first.
type listens []*place

// parseListens reads places to listen on, separated by commas.
func parseListens(s string) (all listens, err error) {
	var wrong []error
	for _, one := range strings.Split(s, ",") {
		p, err := listen.Parse(one)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		if slices.ContainsFunc(all, func(other *place) bool { return other.Same(p) }) {
			wrong = append(wrong, fmt.Errorf("cannot listen on %q: the place is given twice", one))
		}
		all = append(all, &place{Place: p})
	}
	slices.SortStableFunc(all, func(a, b *place) int {
		switch {
		case a.Secure == b.Secure:
			return 0
		case b.Secure:
			return -1
		}
		return 1
	})
	return all, errors.Join(wrong...)
}

// secure reports whether one of them speaks TLS.
func (all listens) secure() bool { return len(all) > 0 && all[len(all)-1].Secure }

// open calls with, which opens the addresses of o, for the first of the
// alternatives that this machine has: not every one has IPv6.
func (all listens) open(o *gateway.Options, with func() error) (err error) {
	most := 1
	for _, l := range all {
		most = max(most, len(l.Alternatives))
	}
	for i := range most {
		o.Listen, o.ListenTLS = nil, nil
		for _, l := range all {
			l.taken = l.Alternatives[min(i, len(l.Alternatives)-1)]
			if l.Secure {
				o.ListenTLS = append(o.ListenTLS, l.taken...)
			} else {
				o.Listen = append(o.Listen, l.taken...)
			}
		}
		err = with()
		if !errors.Is(err, syscall.EAFNOSUPPORT) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			break
		}
	}
	return err
}

// start starts a gateway there.
func (all listens) start(o *gateway.Options) (g *gateway.Gateway, err error) {
	err = all.open(o, func() (err error) {
		g, err = gateway.Start(*o)
		return err
	})
	return g, err
}

// urls are what to type into a browser on this machine; got are the addresses that
// the gateway has.
func (all listens) urls(got []loop.Address) (list []string) {
	for _, l := range all {
		list = append(list, l.URL(got[0]))
		got = got[len(l.taken):]
	}
	return list
}

// at is the place that an address belongs to.
func (all listens) at(a loop.Address) *place {
	for _, l := range all {
		if slices.Contains(l.taken, a) {
			return l
		}
	}
	return all[0]
}

// place is one of them, with the addresses that were taken of its alternatives.
type place struct {
	*listen.Place
	taken []loop.Address
}
