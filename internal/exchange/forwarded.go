package exchange

import (
	"bytes"
	"net/netip"

	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire"
	"github.com/gatewhy/gatewhy/internal/wire/forwarded"
)

// trusts reports whether a peer at this address is one of the proxies in front of us.
func (o *Options) trusts(a netip.Addr) bool {
	for _, n := range o.TrustedProxies {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// here stands for the peer of a unix socket: it is on this machine.
var here = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// longestAddress is that of IPv6 with an IPv4 tail (RFC 4291 §2.2).
const longestAddress = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")

// spokenFor finds out who the client is where the peer is not: a trusted proxy tells by
// X-Forwarded-For, to which each proxy on the way has added the address of its peer. The
// client is the rightmost that is no trusted proxy: what stands left of it anybody may
// have written. What is no address ends the search, and the last one that was found
// counts.
//
// X-Forwarded-Proto and X-Forwarded-Host of a trusted proxy count and go on; those of
// others are replaced, as are their X-Forwarded-For and Forwarded.
//
// Where Options.Forwarded says so, all this is Forwarded's (RFC 7239): see spokenForBy.
func (x *Exchange) spokenFor() {
	h, t := &x.Request.Head, &x.Trail
	x.Onward.ForwardedHost, x.forwardedGood = nil, false
	x.Onward.NoXForwarded = x.Opts.Forwarded == ForwardedRFC7239
	if x.Onward.NoXForwarded {
		x.Onward.Added = nil
	}
	if !x.conn.proxy {
		if t.Trusted && x.forwarded() {
			// It comes from this machine, and for somebody else: who that is we do not know.
			t.Trusted = false
		}
		return
	}
	if x.Opts.Forwarded != ForwardedX && x.spokenForBy() || x.Opts.Forwarded == ForwardedRFC7239 {
		return
	}
	// What all proxies say, in order, and then the peer.
	b := append(x.added[:0], forwardedFor...)
	scheme := x.conn.scheme()
	for i := range h.Fields {
		f := &h.Fields[i]
		switch v := h.Bytes(f.Value); f.ID {
		case message.XForwardedFor:
			if len(v) > 0 {
				b = append(append(b, v...), ", "...)
			}
		case message.XForwardedProto:
			if s := bytes.TrimSpace(v[bytes.LastIndexByte(v, ',')+1:]); message.EqualFold(s, "https") {
				scheme = "https"
			} else if message.EqualFold(s, "http") {
				scheme = "http"
			}
		case message.XForwardedHost:
			if len(v) > 0 && bytes.IndexByte(v, ',') < 0 {
				x.Onward.ForwardedHost = v
			}
		}
	}
	client := x.conn.remote().Addr()
	if !client.IsValid() {
		client = here
	}
	said := bytes.TrimSuffix(b[len(forwardedFor):], []byte(", "))
	for len(said) > 0 && x.Opts.trusts(client) {
		i := bytes.LastIndexByte(said, ',')
		a, ok := addressOf(bytes.TrimSpace(said[i+1:]))
		if !ok {
			break
		}
		client, said = a, said[:max(i, 0)]
	}
	x.goesOn(b, scheme)
	x.isFor(client, scheme)
}

// goesOn ends the fields of a request that a trusted proxy speaks of: behind what it
// says in X-Forwarded-For comes its own address.
func (x *Exchange) goesOn(b []byte, scheme string) {
	b = append(b, x.conn.address()...)
	b = append(append(append(b, forwardedProto...), scheme...), "\r\n"...)
	x.added, x.Onward.Added = b, b
}

// isFor notes who the client is.
func (x *Exchange) isFor(client netip.Addr, scheme string) {
	t := &x.Trail
	x.client = client
	t.Client = client.AppendTo(x.clientText[:0])
	t.Trusted = client.IsLoopback()
	t.Scheme = scheme
}

// spokenForBy is spokenFor by Forwarded; false if a proxy sent none, or a broken one, of
// which nothing is believed. The scheme and the host are those of the element that tells
// of the client.
func (x *Exchange) spokenForBy() bool {
	h := &x.Request.Head
	x.elements = x.elements[:0]
	ok := true
	for i := range h.Fields {
		if h.Fields[i].ID == message.Forwarded && ok {
			x.elements, ok = forwarded.Append(x.elements, h.Bytes(h.Fields[i].Value))
		}
	}
	if !ok || len(x.elements) == 0 {
		return false
	}
	x.forwardedGood = true
	client := x.conn.remote().Addr()
	if !client.IsValid() {
		client = here
	}
	scheme := x.conn.scheme()
	b := append(x.added[:0], forwardedFor...)
	for i := range x.elements {
		if a := x.elements[i].For; a.IsValid() {
			b = append(a.AppendTo(b), ", "...)
		} else {
			b = append(b, "unknown, "...)
		}
	}
	for i := len(x.elements) - 1; i >= 0 && x.Opts.trusts(client); i-- {
		e := &x.elements[i]
		if message.EqualFold(e.Proto, "https") {
			scheme = "https"
		} else if message.EqualFold(e.Proto, "http") {
			scheme = "http"
		}
		if len(e.Host) > 0 && bytes.IndexByte(e.Host, ',') < 0 {
			x.Onward.ForwardedHost = e.Host
		}
		if !e.For.IsValid() {
			break
		}
		client = e.For
	}
	if !x.Onward.NoXForwarded {
		x.goesOn(b, scheme)
	}
	x.isFor(client, scheme)
	clear(x.elements) // they hold the request's memory
	return true
}

// forwarded reports whether the request says that it comes from a proxy.
func (x *Exchange) forwarded() bool {
	for i := range x.Request.Head.Fields {
		switch x.Request.Head.Fields[i].ID {
		case message.XForwardedFor, message.Forwarded, message.XRealIP:
			return true
		}
	}
	return false
}

// addressOf reads an element of X-Forwarded-For: an address, in some proxies with a
// port or in brackets.
func addressOf(s []byte) (a netip.Addr, ok bool) {
	switch i := bytes.IndexByte(s, ']'); {
	case i > 0 && s[0] == '[':
		s = s[1:i]
	case bytes.Count(s, []byte(":")) == 1:
		s = s[:bytes.IndexByte(s, ':')]
	}
	if len(s) == 0 || len(s) > longestAddress {
		return a, false
	}
	a, ok = wire.ParseAddr(s)
	return a.Unmap(), ok
}
