package exchange

import (
	"bytes"
	"net/netip"

	"github.com/gatewhy/gatewhy/internal/message"
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
func (x *Exchange) spokenFor() {
	h, t := &x.Request.Head, &x.Trail
	x.Onward.ForwardedHost = nil
	if !x.conn.proxy {
		if t.Trusted && x.forwarded() {
			// It comes from this machine, and for somebody else: who that is we do not know.
			t.Trusted = false
		}
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
	client := x.conn.stream.Remote().IP.Addr().Unmap()
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
	b = append(b, x.conn.address()...)
	b = append(append(append(b, forwardedProto...), scheme...), "\r\n"...)
	x.added, x.Onward.Added = b, b
	x.client = client
	t.Client = client.AppendTo(x.clientText[:0])
	t.Trusted = client.IsLoopback()
	t.Scheme = scheme
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
	a, err := netip.ParseAddr(string(s))
	return a.Unmap(), err == nil && a.Zone() == ""
}
