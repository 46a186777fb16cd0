package lab

import (
	"context"
	"net"
	"strconv"
	"syscall"

	"github.com/gatewhy/gatewhy/fault"
)

// connectingRecipes fail before a byte is sent.
func connectingRecipes() []*Recipe {
	at := func(name string, want fault.ID, w Where, start func(context.Context, *Origin) error, why string) *Recipe {
		r := refused(name, want, "").because(why)
		r.Where, r.start = w, start
		return r
	}
	errno := func(name string, want fault.ID, e syscall.Errno, why string) *Recipe {
		r := refused(name, want, "").because(why).does((*Conn).GoodAll)
		r.Where, r.Inject = Injected, Injection{DialErrno: e}
		return r
	}
	// The request must not reach the socket before the peer's end has reached
	// the gateway, else it is another fault: only a pause makes that certain.
	accepted := func(name string, want fault.ID, why string, f func(*Conn)) *Recipe {
		r := refused(name, want, "").because(why).does(f)
		r.Inject = Injection{PauseAfterConnect: true}
		return r
	}
	return []*Recipe{
		at("connect_refused", fault.ConnectRefused, NoListener, listenNot, "nobody listens on this port"),
		at("connect_refused/call", fault.ConnectRefused, NoListener, listenNot, "nobody listens where a call of gRPC goes").called("14"),
		at("connect_timeout", fault.ConnectTimeout, Backlog, listenFull,
			"the listener's queue is full, so no packet comes back").status(504).set("timeout-connect", soon),
		errno("connect_host_unreachable", fault.ConnectHostUnreachable, syscall.EHOSTUNREACH, "no way to the host"),
		errno("connect_net_unreachable", fault.ConnectNetUnreachable, syscall.ENETUNREACH, "no way to the network"),
		errno("connect_denied", fault.ConnectDenied, syscall.EACCES, "the local kernel forbids the connection"),
		errno("connect_other", fault.ConnectOther, syscall.EPROTO, "the kernel refuses with an error that has no row of its own"),
		at("unix_socket_missing", fault.UnixSocketMissing, Unix, func(_ context.Context, o *Origin) error {
			path, err := o.file("missing.sock")
			o.Target = "unix:" + path
			return err
		}, "there is no such socket file"),
		at("unix_socket_backlog", fault.UnixSocketBacklog, Unix, func(_ context.Context, o *Origin) error {
			path, err := o.file("full.sock")
			if err != nil {
				return err
			}
			o.Target = "unix:" + path
			return fullUnix(o, path)
		}, "the unix socket's queue is full").status(503),
		accepted("accept_then_fin", fault.AcceptThenFIN, "accepts and hangs up before anything is sent", (*Conn).CloseNow),
		accepted("accept_then_rst", fault.AcceptThenRST, "accepts and resets before anything is sent", func(c *Conn) {
			// A reset that comes before the peer has looked at its new socket
			// would be an error of its connect.
			if c.Wait(Gap) {
				c.RST()
			}
		}),
	}
}

func listenNot(_ context.Context, o *Origin) error {
	port, free, err := bound([4]byte{127, 0, 0, 1}, 0)
	if err != nil {
		return err
	}
	o.onClose(free)
	o.Target = net.JoinHostPort(loopback, strconv.Itoa(port))
	return nil
}

func listenFull(_ context.Context, o *Origin) error {
	port, err := fullTCP(o)
	o.Target = net.JoinHostPort(loopback, strconv.Itoa(port))
	return err
}
