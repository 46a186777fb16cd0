package upstream

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// nameServer runs a name server on loopback, UDP and TCP on the same port, and
// returns its address.
func nameServer(t *testing.T, h dns.HandlerFunc) string {
	t.Helper()
	for range 20 {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", pc.LocalAddr().String())
		if err != nil {
			pc.Close() // somebody else has the port for TCP
			continue
		}
		for _, s := range []*dns.Server{{PacketConn: pc, Handler: h}, {Listener: ln, Handler: h}} {
			up := make(chan struct{})
			s.NotifyStartedFunc = func() { close(up) }
			go s.ActivateAndServe() // ends with Shutdown
			<-up
			t.Cleanup(func() { s.Shutdown() })
		}
		return pc.LocalAddr().String()
	}
	t.Fatal("no port is free for UDP and TCP")
	return ""
}

// replies makes a handler of a function that fills in the reply.
func replies(f func(m *dns.Msg, q dns.Question)) dns.HandlerFunc {
	return func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		f(m, r.Question[0])
		w.WriteMsg(m)
	}
}

func record(t testing.TB, s string) dns.RR {
	rr, err := dns.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

// zone answers from records, as an authoritative server would.
func zone(t testing.TB, records ...string) dns.HandlerFunc {
	return replies(func(m *dns.Msg, q dns.Question) {
		known := false
		for _, s := range records {
			rr := record(t, s)
			if h := rr.Header(); h.Name == strings.ToLower(q.Name) {
				known = true
				if h.Rrtype == q.Qtype || h.Rrtype == dns.TypeCNAME {
					m.Answer = append(m.Answer, rr)
				}
			}
		}
		if !known {
			m.Rcode = dns.RcodeNameError
		}
	})
}

func asker(t testing.TB, server string) *resolver {
	r, err := newResolver(server)
	if err != nil {
		t.Fatal(err)
	}
	r.hosts = os.DevNull
	return &r
}

func addrs(list ...string) (a []netip.Addr) {
	for _, s := range list {
		a = append(a, netip.MustParseAddr(s))
	}
	return a
}

var byText = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestLookupGood(t *testing.T) {
	server := nameServer(t, zone(t,
		"app.test. 300 A 127.0.0.2", "app.test. 60 A 127.0.0.3", "app.test. 300 AAAA ::1",
		"zero.test. 0 A 127.0.0.2",
		"old.test. 86400 A 127.0.0.2",
		"alias.test. 20 CNAME far.test.", "far.test. 300 CNAME app.test.",
		"Mixed.test. 300 A 127.0.0.9",
		"six.test. 300 AAAA ::1",
	))
	for _, c := range []struct {
		host string
		want []netip.Addr
		ttl  time.Duration
	}{
		{"app.test", addrs("::1", "127.0.0.2", "127.0.0.3"), time.Minute},
		{"app.test.", addrs("::1", "127.0.0.2", "127.0.0.3"), time.Minute},
		{"zero.test", addrs("127.0.0.2"), ttlLeast},
		{"old.test", addrs("127.0.0.2"), ttlMost},
		{"alias.test", addrs("::1", "127.0.0.2", "127.0.0.3"), 20 * time.Second},
		{"six.test", addrs("::1"), 5 * time.Minute},
	} {
		a := asker(t, server).lookup(c.host, time.Minute)
		if a.fault != nil {
			t.Errorf("%s: %v", c.host, a.fault)
			continue
		}
		if d := cmp.Diff(c.want, a.addrs, byText); d != "" || a.ttl != c.ttl {
			t.Errorf("%s: for %v, want %v; %s", c.host, a.ttl, c.ttl, d)
		}
	}
}

func TestLookupFaults(t *testing.T) {
	soa := record(t, "test. 300 SOA ns.test. me.test. 1 2 3 4 3")
	for _, c := range []struct {
		name  string
		serve dns.HandlerFunc
		want  fault.ID
		rcode string
		param string // NAME=PART of its value
		ttl   time.Duration
	}{
		{"no such name", replies(func(m *dns.Msg, _ dns.Question) { m.Rcode = dns.RcodeNameError }),
			fault.DNSNxdomain, "NXDOMAIN", "host=app.test", ttlLeast},
		{"no such name, says the zone for 3 s", replies(func(m *dns.Msg, _ dns.Question) {
			m.Rcode, m.Ns = dns.RcodeNameError, []dns.RR{soa}
		}), fault.DNSNxdomain, "NXDOMAIN", "resolver=127.0.0.1", 3 * time.Second},
		{"no address", replies(func(*dns.Msg, dns.Question) {}), fault.DNSNodata, "NOERROR", "types=A, AAAA", ttlLeast},
		{"server failure", replies(func(m *dns.Msg, _ dns.Question) { m.Rcode = dns.RcodeServerFailure }),
			fault.DNSServfail, "SERVFAIL", "", ttlFailed},
		{"server failure, with the reason", replies(func(m *dns.Msg, _ dns.Question) {
			m.Rcode = dns.RcodeServerFailure
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: 6, ExtraText: "sig\x1b expired"}}
		}), fault.DNSServfail, "SERVFAIL (extended error 6: DNSSEC Bogus)", `value="sig\x1b expired"`, ttlFailed},
		{"refused", replies(func(m *dns.Msg, _ dns.Question) { m.Rcode = dns.RcodeRefused }),
			fault.DNSRefused, "REFUSED", "", ttlFailed},
		{"format error", replies(func(m *dns.Msg, _ dns.Question) { m.Rcode = dns.RcodeFormatError }),
			fault.DNSFormerr, "FORMERR", "", ttlFailed},
		{"not DNS at all", func(w dns.ResponseWriter, _ *dns.Msg) { w.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) },
			fault.DNSFormerr, "an answer that cannot be read", "", ttlFailed},
		{"less than a header", func(w dns.ResponseWriter, _ *dns.Msg) { w.Write([]byte("no")) },
			fault.DNSFormerr, "an answer that cannot be read", "", ttlFailed},
		{"not implemented", replies(func(m *dns.Msg, _ dns.Question) { m.Rcode = dns.RcodeNotImplemented }),
			fault.DNSServfail, "NOTIMP", "", ttlFailed},
		{"aliases that go round in one answer", replies(func(m *dns.Msg, _ dns.Question) {
			m.Answer = []dns.RR{record(t, "app.test. 1 CNAME b.test."), record(t, "b.test. 1 CNAME app.test.")}
		}), fault.DNSCnameLoop, "NOERROR", "names=app.test. → b.test. → app.test.", ttlFailed},
		{"aliases that go round, one at a time", zone(t, "app.test. 1 CNAME b.test.", "b.test. 1 CNAME app.test."),
			fault.DNSCnameLoop, "NOERROR", "names=app.test. → b.test. → app.test.", ttlFailed},
		{"an alias of itself", zone(t, "app.test. 1 CNAME app.test."), fault.DNSCnameLoop, "NOERROR", "", ttlFailed},
		{"aliases without end", replies(func(m *dns.Msg, q dns.Question) {
			m.Answer = []dns.RR{record(t, q.Name+" 1 CNAME a"+q.Name)}
		}), fault.DNSCnameLoop, "NOERROR", "", ttlFailed},
		{"an alias of nothing", zone(t, "app.test. 1 CNAME gone.test."), fault.DNSNxdomain, "NXDOMAIN", "", ttlLeast},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := asker(t, nameServer(t, c.serve)).lookup("app.test", time.Minute)
			if a.fault == nil {
				t.Fatalf("found %v", a.addrs)
			}
			if a.fault.ID != c.want || a.fault.Get("rcode") != c.rcode || a.ttl != c.ttl {
				t.Errorf("got %s, rcode %q, for %v; want %s, %q, for %v", a.fault.ID, a.fault.Get("rcode"), a.ttl, c.want, c.rcode, c.ttl)
			}
			if name, part, _ := strings.Cut(c.param, "="); !strings.Contains(a.fault.Get(name), part) {
				t.Errorf("%s is %q, want %q in it", name, a.fault.Get(name), part)
			}
			if s := a.fault.Observed(); strings.Contains(s, "{") {
				t.Errorf("a fact is missing: %s", s)
			}
		})
	}
}

func TestLookupTimeout(t *testing.T) {
	server := nameServer(t, func(dns.ResponseWriter, *dns.Msg) {})
	a := asker(t, server).lookup("app.test", 300*time.Millisecond)
	if a.fault == nil || a.fault.ID != fault.DNSTimeout || a.fault.Get("resolver") != server || a.fault.Get("limit") != "300ms" {
		t.Errorf("got %+v", a.fault)
	}
}

func TestResolverThatIsNotThere(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := pc.LocalAddr().String()
	pc.Close()
	a := asker(t, server).lookup("app.test", 5*time.Second)
	if a.fault == nil || a.fault.ID != fault.DNSTimeout || a.fault.Get("errno") != "ECONNREFUSED" {
		t.Errorf("got %+v", a.fault)
	}
}

func TestTruncatedAnswerIsReadOverTCP(t *testing.T) {
	server := nameServer(t, func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		if w.RemoteAddr().Network() == "udp" {
			m.Truncated = true
		} else if r.Question[0].Qtype == dns.TypeA {
			for i := range 100 {
				m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: r.Question[0].Name, Rrtype: dns.TypeA,
					Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(127, 0, 1, byte(i))})
			}
		}
		w.WriteMsg(m)
	})
	if a := asker(t, server).lookup("app.test", time.Minute); len(a.addrs) != 100 {
		t.Errorf("%d addresses, want 100; %v", len(a.addrs), a.fault)
	}
}

func TestServerWithoutEDNS(t *testing.T) {
	server := nameServer(t, func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		switch {
		case r.IsEdns0() != nil:
			m.Rcode, m.Question = dns.RcodeFormatError, nil // as servers of the last century do
		case r.Question[0].Qtype == dns.TypeA:
			m.Answer = []dns.RR{record(t, "app.test. 60 A 127.0.0.2")}
		}
		w.WriteMsg(m)
	})
	a := asker(t, server).lookup("app.test", time.Minute)
	if d := cmp.Diff(addrs("127.0.0.2"), a.addrs, byText); d != "" {
		t.Errorf("%s (%v)", d, a.fault)
	}
}

func TestForgedAnswersAreIgnored(t *testing.T) {
	server := nameServer(t, func(w dns.ResponseWriter, r *dns.Msg) {
		forge := func(change func(*dns.Msg)) {
			m := new(dns.Msg).SetReply(r)
			m.Answer = []dns.RR{record(t, "app.test. 60 A 127.6.6.6")}
			change(m)
			w.WriteMsg(m)
		}
		forge(func(m *dns.Msg) { m.Id++ })
		forge(func(m *dns.Msg) { m.Question[0].Name = "other.test." })
		forge(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeTXT })
		forge(func(m *dns.Msg) { m.Response = false })
		forge(func(m *dns.Msg) { m.Question = nil })
		forge(func(m *dns.Msg) { // the right one, with an address that nobody asked for
			m.Answer = []dns.RR{record(t, "app.test. 60 A 127.0.0.2"), record(t, "other.test. 60 A 127.6.6.6")}
		})
	})
	a := asker(t, server).lookup("app.test", time.Minute)
	if d := cmp.Diff(addrs("127.0.0.2"), a.addrs, byText); d != "" {
		t.Errorf("%s (%v)", d, a.fault)
	}
}

// A server that swallows questions for AAAA must not cost more than a moment.
func TestOneFamilyIsEnough(t *testing.T) {
	server := nameServer(t, func(w dns.ResponseWriter, r *dns.Msg) {
		if r.Question[0].Qtype == dns.TypeA {
			m := new(dns.Msg).SetReply(r)
			m.Answer = []dns.RR{record(t, "app.test. 60 A 127.0.0.2")}
			w.WriteMsg(m)
		}
	})
	a := asker(t, server).lookup("app.test", time.Hour) // the test would not end in time if both were waited for
	if d := cmp.Diff(addrs("127.0.0.2"), a.addrs, byText); d != "" {
		t.Errorf("%s (%v)", d, a.fault)
	}
}

func TestHostsAndLocalhost(t *testing.T) {
	r := asker(t, "127.0.0.1:1") // nobody there: DNS would fail
	r.hosts = filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(r.hosts, []byte("# 127.9.9.9 app\n127.0.0.5 App app.lan # mine\n::5 app\nbad app\n127.0.0.5 app\n127.0.0.6\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][]netip.Addr{
		"app":           addrs("127.0.0.5", "::5"),
		"app.lan":       addrs("127.0.0.5"),
		"localhost":     addrs("127.0.0.1", "::1"),
		"localhost.":    addrs("127.0.0.1", "::1"),
		"app.localhost": addrs("127.0.0.1", "::1"),
	} {
		a := r.lookup(host, time.Second)
		if d := cmp.Diff(want, a.addrs, byText); d != "" || a.source == fromDNS {
			t.Errorf("%s: %s (%v)", host, d, a.fault)
		}
	}
}

func TestResolvConf(t *testing.T) {
	dir := t.TempDir()
	r := asker(t, "")
	r.conf = filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(r.conf, []byte("search a.test b.test\nnameserver 127.0.0.1\nnameserver ::1\noptions ndots:2 attempts:3 timeout:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][]string{
		"app":       {"app.a.test.", "app.b.test.", "app."},
		"x.app":     {"x.app.a.test.", "x.app.b.test.", "x.app."},
		"x.y.app":   {"x.y.app.", "x.y.app.a.test.", "x.y.app.b.test."},
		"app.full.": {"app.full."},
	} {
		q := r.question(host, 12*time.Second)
		if d := cmp.Diff(want, q.names); d != "" {
			t.Errorf("%s: %s", host, d)
		}
		if d := cmp.Diff([]string{"127.0.0.1:53", "[::1]:53"}, q.servers); d != "" || q.attempts != 3 || q.try != time.Second {
			t.Errorf("%s: %d attempts of %v; %s", host, q.attempts, q.try, d)
		}
	}
	r.conf = filepath.Join(dir, "missing")
	if q := r.question("app", 6*time.Second); q.servers[0] != "127.0.0.1:53" || q.try != 3*time.Second {
		t.Errorf("without resolv.conf: %+v", q)
	}
}

// The search list is walked, and the second server asked when the first fails.
func TestSearchAndSecondServer(t *testing.T) {
	var first atomic.Int32
	bad := nameServer(t, replies(func(m *dns.Msg, _ dns.Question) { first.Add(1); m.Rcode = dns.RcodeServerFailure }))
	good := nameServer(t, zone(t, "app.b.test. 60 A 127.0.0.2"))
	q := asker(t, bad).question("app", time.Minute)
	q.servers = []string{bad, good}
	q.names = []string{"app.a.test.", "app.b.test.", "app."}
	a := q.ask()
	if d := cmp.Diff(addrs("127.0.0.2"), a.addrs, byText); d != "" || first.Load() == 0 {
		t.Errorf("%s (%v), the first server was asked %d times", d, a.fault, first.Load())
	}
	q.names = []string{"x.a.test.", "x."}
	if a := q.ask(); a.fault == nil || a.fault.ID != fault.DNSNxdomain || a.fault.Get("host") != "x.a.test, x" {
		t.Errorf("got %+v", a.fault)
	}
}

func TestResolverOption(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.2": "10.0.0.2:53", "10.0.0.2:5353": "10.0.0.2:5353", "::1": "[::1]:53", "[::1]": "[::1]:53", "[::1]:5": "[::1]:5",
	} {
		if r, err := newResolver(in); err != nil || r.server != want {
			t.Errorf("%q: %q, %v", in, r.server, err)
		}
	}
	if _, err := newResolver("dns.example"); err == nil || !strings.Contains(err.Error(), "write 10.0.0.2") {
		t.Errorf("a name for a resolver: %v", err)
	}
}
