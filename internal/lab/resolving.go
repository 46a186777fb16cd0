package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/miekg/dns"

	"github.com/gatewhy/gatewhy/fault"
)

// hostName is the name that the lab's name servers know. Names under test are
// never those of anybody (RFC 6761 §6.2).
const hostName = "origin.lab.test"

// staleTTL is how long the lab's answers may be kept, in seconds: longer than
// any test, so that only a failure can make a resolver ask again.
const staleTTL = 300

// resolvingRecipes are name servers that do not help. Behind the name stands a
// good origin.
func resolvingRecipes() []*Recipe {
	rcode := func(name string, want fault.ID, code int, why string) *Recipe {
		return naming(name, want, why, func(m *dns.Msg, _ *nameServer) { m.Rcode = code })
	}
	servfail := naming("dns_servfail", fault.DNSServfail, "the name server says SERVFAIL, for DNSSEC reasons",
		func(m *dns.Msg, s *nameServer) {
			m.Rcode = dns.RcodeServerFailure
			if s.query.IsEdns0() != nil { // RFC 6891 §7: no OPT for who sent none
				m.SetEdns0(dns.DefaultMsgSize, false)
				m.IsEdns0().Option = append(m.IsEdns0().Option,
					&dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeDNSBogus, ExtraText: "signature expired"})
			}
		})
	stale := naming("dns_stale_answer", fault.DNSStaleAnswer,
		"the name server first gives an address where nobody listens any more, then the right one",
		func(m *dns.Msg, s *nameServer) {
			if m.Question[0].Qtype != dns.TypeA {
				return
			}
			if s.asked.Add(1) == 1 {
				address(m, s.dead[0])
				return
			}
			address(m, loopback)
		}).status(200).lost()
	stale.start = startNaming(stale, "127.0.0.2")
	all := naming("dns_all_addresses_failed", fault.DNSAllAddressesFailed, "the name has three addresses, and all refuse",
		func(m *dns.Msg, s *nameServer) {
			if m.Question[0].Qtype == dns.TypeA {
				address(m, s.dead...)
			}
		})
	all.start = startNaming(all, "127.0.0.2", "127.0.0.3", "127.0.0.4")
	return []*Recipe{
		rcode("dns_nxdomain", fault.DNSNxdomain, dns.RcodeNameError, "the name server says that there is no such name"),
		naming("dns_nodata", fault.DNSNodata, "the name exists and has no address", func(*dns.Msg, *nameServer) {}),
		servfail,
		rcode("dns_refused", fault.DNSRefused, dns.RcodeRefused, "the name server does not serve us"),
		rcode("dns_formerr", fault.DNSFormerr, dns.RcodeFormatError, "the name server does not understand the query"),
		naming("dns_formerr/unparsable", fault.DNSFormerr, "the name server's answer cannot be parsed",
			func(_ *dns.Msg, s *nameServer) { s.garbage = true }),
		naming("dns_timeout", fault.DNSTimeout, "the name server never answers",
			func(_ *dns.Msg, s *nameServer) { s.silent = true }).status(504).set("timeout-resolve", soon),
		naming("dns_cname_loop", fault.DNSCnameLoop, "the name is an alias of an alias of itself",
			func(m *dns.Msg, _ *nameServer) {
				const other = "alias.lab.test."
				m.Answer = append(m.Answer, alias(hostName+".", other), alias(other, hostName+"."))
			}),
		stale,
		all,
	}
}

// nameServer is the state of one running name server, and of one query in it.
type nameServer struct {
	query           *dns.Msg
	asked           *atomic.Int64 // queries for A so far
	dead            []string      // addresses where nobody listens
	silent, garbage bool
}

func naming(name string, want fault.ID, why string, answer func(*dns.Msg, *nameServer)) *Recipe {
	r := refused(name, want, "").because(why).does((*Conn).GoodAll)
	r.Where, r.name = DNS, answer
	r.start = startNaming(r)
	return r
}

func address(m *dns.Msg, ips ...string) {
	for _, ip := range ips {
		m.Answer = append(m.Answer, &dns.A{
			Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: staleTTL},
			A:   net.ParseIP(ip)})
	}
}

func alias(from, to string) dns.RR {
	return &dns.CNAME{Target: to,
		Hdr: dns.RR_Header{Name: from, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: staleTTL}}
}

// startNaming starts the origin, keeps its port unused on the dead addresses,
// and starts the name server.
func startNaming(r *Recipe, dead ...string) func(context.Context, *Origin) error {
	return func(ctx context.Context, o *Origin) error {
		if err := listenBeside(ctx, o, dead); err != nil {
			return err
		}
		_, port, _ := net.SplitHostPort(o.Target)
		o.Target = net.JoinHostPort(hostName, port)
		var asked atomic.Int64
		return o.serveNames(dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			o.queries.Add(1)
			m := new(dns.Msg).SetReply(q)
			m.RecursionAvailable = true
			s := &nameServer{query: q, asked: &asked, dead: dead}
			if len(q.Question) == 1 && dns.CanonicalName(q.Question[0].Name) == hostName+"." {
				r.name(m, s)
			} else {
				m.Rcode = dns.RcodeNameError // a search domain's
			}
			switch {
			case s.silent:
			case s.garbage: // one question, whose name is a label of 63 bytes that are not there
				w.Write(append([]byte{byte(q.Id >> 8), byte(q.Id), 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, "\x3flab"...))
			default:
				if len(m.Answer) == 0 {
					m.Ns = []dns.RR{authority()}
				}
				w.WriteMsg(m)
			}
		}))
	}
}

// authority tells how long an absence may be remembered (RFC 2308 §3).
func authority() dns.RR {
	return &dns.SOA{Ns: "ns.lab.test.", Mbox: "hostmaster.lab.test.", Serial: 1, Refresh: 60, Retry: 60, Expire: 60, Minttl: 1,
		Hdr: dns.RR_Header{Name: "lab.test.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 1}}
}

// maxPorts bounds the search for a port that is free on several addresses.
const maxPorts = 32

// listenBeside starts the origin on a port that is ours and refused on the dead
// addresses.
func listenBeside(_ context.Context, o *Origin, dead []string) error {
	for range maxPorts {
		ln, err := net.Listen("tcp", loopback+":0")
		if err != nil {
			return err
		}
		free, err := keepClosed(ln.Addr().(*net.TCPAddr).Port, dead)
		if err == nil {
			for _, f := range free {
				o.onClose(f)
			}
			o.Target = ln.Addr().String()
			o.serveAll(ln, func(c *Conn) { o.recipe.serve(c) })
			return nil
		}
		ln.Close()
		if !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
	}
	return errors.New("no port is free on all addresses")
}

func keepClosed(port int, ips []string) (free []func() error, err error) {
	for _, ip := range ips {
		var f func() error
		if _, f, err = bound([4]byte(net.ParseIP(ip).To4()), port); err != nil {
			for _, f := range free {
				f()
			}
			return nil, err
		}
		free = append(free, f)
	}
	return free, nil
}

// serveNames answers DNS queries over UDP and TCP on one port of loopback.
func (o *Origin) serveNames(h dns.Handler) error {
	for range maxPorts {
		ln, err := net.Listen("tcp", loopback+":0")
		if err != nil {
			return err
		}
		port := ln.Addr().(*net.TCPAddr).Port
		pc, err := net.ListenPacket("udp", net.JoinHostPort(loopback, strconv.Itoa(port)))
		if err != nil {
			ln.Close()
			if errors.Is(err, syscall.EADDRINUSE) {
				continue
			}
			return err
		}
		o.Resolver = ln.Addr().String()
		for _, s := range []*dns.Server{{Listener: ln, Handler: h}, {PacketConn: pc, Handler: h}} {
			if err := o.runNames(s); err != nil {
				ln.Close()
				pc.Close()
				return err
			}
		}
		return nil
	}
	return errors.New("no port is free for both UDP and TCP")
}

// runNames runs s until the origin is closed, and returns when it answers.
func (o *Origin) runNames(s *dns.Server) error {
	up := make(chan error, 2)
	s.NotifyStartedFunc = func() { up <- nil }
	o.tasks.Go(func() { up <- s.ActivateAndServe() }) // ends at Shutdown
	if err := <-up; err != nil {
		return fmt.Errorf("name server: %w", err)
	}
	o.onClose(s.Shutdown)
	return nil
}
