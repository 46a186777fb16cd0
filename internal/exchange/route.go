package exchange

import (
	"net/netip"

	"github.com/gatewhy/gatewhy/fault"
)

// Router says which route owns an exchange, and so who answers it. It is one
// loop's own and does not wait.
type Router interface {
	// Route fills in Site and Route of the trail, as far as they were found, and
	// returns who answers, or the fault that nobody does. The exchange keeps to that
	// answerer to its end, whatever routes become meanwhile.
	Route(x *Exchange) (Responder, *fault.Fault)
}

// Only is the router by which one responder answers everything.
type Only struct{ Responder }

// Route implements Router.
func (o Only) Route(*Exchange) (Responder, *fault.Fault) { return o.Responder, nil }

// answered finds who answers and lets them.
func (x *Exchange) answered() *fault.Fault {
	r, f := x.server.router.Route(x)
	if f != nil {
		return f
	}
	return r.Respond(x)
}

// Secure reports whether the client speaks TLS, to us or to a trusted proxy.
func (x *Exchange) Secure() bool { return x.Trail.Scheme == "https" }

// ClientIP is the client's address, an IPv4 one never as IPv6; the zero value for
// a unix socket.
func (x *Exchange) ClientIP() netip.Addr {
	if x.client.IsValid() {
		return x.client
	}
	return x.conn.remote().Addr()
}

// Gone becomes true on this loop when the client's connection has ended: what was kept
// for it alone is of no more use then.
func (x *Exchange) Gone() *bool {
	if x.conn.gone == nil {
		x.conn.gone = new(bool)
	}
	return x.conn.gone
}

// Told are the extensions of the PROXY header that the client's connection began with,
// those that upstreams may want to know; nil if there are none.
func (x *Exchange) Told() []byte {
	if x.conn.said == nil {
		return nil
	}
	return x.conn.said.told
}

// Ends are the two ends of the client's connection. What a trusted proxy says of its
// client is its own request's and no connection's; then the port is not known, and 0.
func (x *Exchange) Ends() (client, here netip.AddrPort) {
	client, here = x.conn.remote(), x.conn.destination()
	if x.client.IsValid() && x.client != client.Addr() {
		client = netip.AddrPortFrom(x.client, 0)
	}
	return client, here
}
