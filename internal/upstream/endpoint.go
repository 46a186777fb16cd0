package upstream

import (
	"crypto/tls"
	"net/netip"
	"sync/atomic"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// Endpoint is one target of an upstream with what all loops know of it. Its
// methods may be called from any loop.
type Endpoint struct {
	up     *Upstream
	target Target
	index  int
	hash   uint64       // of its name, for Hash
	fixed  loop.Address // set for IP literals and unix sockets, which need no resolver
	tls    *tls.Config  // nil for plaintext; shared by all connections
	both   *tls.Config  // the same, offering HTTP/2 as well
	name   string       // that the certificate must be for
	weight int          // at least 1
	bind   [2][]byte    // what binds a client to it; the second one is for TLS
	tier   int          // lower ones come first

	use    *usage
	health health
	habit  habit

	answer  atomic.Pointer[answer] // latest answer of the resolver, good or bad
	good    atomic.Pointer[answer] // latest good answer
	asking  atomic.Bool            // a lookup is under way on some loop
	swapped atomic.Int64           // until this moment the second family goes first

	plain atomic.Int64 // until this moment HTTP/1.1 is spoken, and nothing else offered

	// NoExpect is set when the endpoint answered 417 to Expect, or never sent
	// 100: the field is left out from then on.
	NoExpect atomic.Bool
	// NeedLength is set when the endpoint answered 411: bodies are sent with
	// Content-Length, not chunked.
	NeedLength atomic.Bool
	// Speaks10 is set when the endpoint answered as HTTP/1.0: no chunked bodies
	// are sent to it (RFC 9112 §6.1).
	Speaks10 atomic.Bool
}

// Name is the target's name, as configured: host:port, https://host:port or
// unix:PATH.
func (e *Endpoint) Name() string { return e.target.Name }

// Target says where the endpoint is.
func (e *Endpoint) Target() Target { return e.target }

func (e *Endpoint) prepare() {
	t := e.target
	e.hash = mix(HashKey([]byte(t.Name)), 0x51_7c_c1_b7_27_22_0a_95)
	if t.Path != "" {
		e.fixed = loop.Address{Path: t.Path}
	} else if ip, err := netip.ParseAddr(t.Host); err == nil {
		e.fixed = loop.Address{IP: netip.AddrPortFrom(ip, t.Port)}
	}
	if t.Secure {
		e.secure()
	}
}
