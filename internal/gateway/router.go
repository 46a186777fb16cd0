package gateway

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/certs"
	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/route"
)

// router is one loop's exchange.Router.
type router struct {
	g      *Gateway
	index  int // of the loop
	finder route.Finder
	asked  route.Request
	hinted loop.Time // when what is nearest was last looked for
}

// Route implements exchange.Router. It is the only reader of the graph on the data
// path: an exchange keeps the answerer that it got here.
func (r *router) Route(x *exchange.Exchange) (exchange.Responder, *fault.Fault) {
	g := r.g.graph.Load()
	if m := r.g.asked.Load(); m != nil && !x.Secure() && bytes.HasPrefix(x.Trail.Path, []byte(certs.ChallengePath)) {
		return &challenge{m, x.Loop}, nil
	}
	r.asked = route.Request{Head: &x.Request.Head, Secure: x.Secure()}
	if g.table.AsksClient() {
		r.asked.Client = x.ClientIP()
	}
	found := r.finder.Find(g.table, &r.asked)
	if found.Site >= 0 {
		x.Trail.Site = g.table.SiteName(found.Site)
		if g.redirect[found.Site] && !r.asked.Secure {
			if port := r.g.port.Load(); port != 0 {
				return redirect(port), nil
			}
		}
	}
	if found.Outcome == route.NoSite && !r.asked.Secure {
		// It may be there with TLS.
		r.asked.Secure = true
		also := r.finder.Find(g.table, &r.asked)
		r.asked.Secure = false
		if port := r.g.port.Load(); also.Site >= 0 && port != 0 && g.redirect[also.Site] {
			x.Trail.Site = g.table.SiteName(also.Site)
			return redirect(port), nil
		}
	}
	if found.Outcome != route.Owned {
		return nil, r.missed(x, g.table, found)
	}
	x.Trail.Route = g.table.ID(found.Site, found.Route)
	return g.owners[found.Site][found.Route].proxies[r.index], nil
}

// missed is the fault of a request that no route owns.
func (r *router) missed(x *exchange.Exchange, t *route.Table, found route.Found) *fault.Fault {
	h := &x.Request.Head
	authority := h.Bytes(h.Authority)
	path, _, _ := bytes.Cut(h.Bytes(h.Path), []byte("?"))
	value := fmt.Sprintf("%s %.200q", h.Bytes(h.Method), path)
	switch found.Outcome {
	case route.NoSite:
		host := fmt.Sprintf("%.200q", authority)
		if len(authority) == 0 {
			host = "a request without a host"
		}
		near := r.near(x.Loop.Now(), func() string { return t.NearHost(r.asked.Secure, authority) })
		if s := x.Trail.TLS; s != nil && s.SNI != "" && !isHost(authority, s.SNI) {
			return fault.New(fault.MisdirectedRequest, "want", s.SNI, "host", host, "near", near)
		}
		return fault.New(fault.NoSite, "host", host, "near", near)
	case route.NoRoute:
		near := r.near(x.Loop.Now(), func() string { return t.NearPath(found.Site, path) })
		return fault.New(fault.NoRoute, "names", t.SiteName(found.Site), "value", value, "near", near)
	}
	if found.Route < 0 && found.Other < 0 { // the host itself
		return fault.New(fault.RouteAmbiguous, "value", fmt.Sprintf("the host %.200q", authority), "got", "one site", "want", "another")
	}
	name := func(i int) string {
		if i < 0 {
			return "no route"
		}
		return t.ID(found.Site, i)
	}
	return fault.New(fault.RouteAmbiguous, "value", value, "got", name(found.Route), "want", name(found.Other))
}

// hintEvery is the least time between two searches for what is nearest: among
// thousands of names one takes as long as many requests, and misses cost whoever
// sends them nothing.
const hintEvery = 50 * time.Millisecond

// near says what is like what was asked for.
func (r *router) near(now loop.Time, find func() string) string {
	if r.hinted != 0 && now-r.hinted < loop.Time(hintEvery) {
		return "there are too many such requests to look for the nearest"
	}
	r.hinted = now
	if s := find(); s != "" {
		return "the nearest is " + s
	}
	return "nothing is like it"
}

// isHost reports whether an authority is for that host.
func isHost(authority []byte, host string) bool {
	if i := bytes.LastIndexByte(authority, ':'); i >= 0 && bytes.IndexByte(authority[i:], ']') < 0 {
		authority = authority[:i]
	}
	return strings.EqualFold(strings.TrimSuffix(string(authority), "."), strings.TrimSuffix(host, "."))
}
