package gateway

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/gatewhy/gatewhy/internal/accesslog"
)

// zone is a name server with SRV records of one name that tests change.
type zone struct {
	mu      sync.Mutex
	rcode   int
	records []string
	asked   chan struct{}
	address string
}

const recordName = "_http._tcp.app.test."

func serveZone(t *testing.T) *zone {
	t.Helper()
	z := &zone{asked: make(chan struct{}, 1)}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	up := make(chan struct{})
	s := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(up) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		z.mu.Lock()
		defer z.mu.Unlock()
		m := new(dns.Msg).SetReply(q)
		m.Rcode = z.rcode
		for _, r := range z.records {
			rr, err := dns.NewRR(recordName + " 1 SRV " + r)
			if err != nil {
				t.Error(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		w.WriteMsg(m)
		select {
		case z.asked <- struct{}{}:
		default:
		}
	})}
	go s.ActivateAndServe() // ends with Shutdown
	<-up
	t.Cleanup(func() { s.Shutdown() })
	z.address = pc.LocalAddr().String()
	return z
}

func (z *zone) set(rcode int, records ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.rcode, z.records = rcode, records
}

// srv is the record of an endpoint.
func srv(priority, weight int, target string) string {
	_, port, _ := net.SplitHostPort(target)
	return fmt.Sprintf("%d %d %s localhost.", priority, weight, port)
}

// The endpoints of an SRV name come and go with its records, the log tells of it, and no
// request fails meanwhile. What the name server cannot say changes nothing.
func TestServiceRecords(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		t.Parallel()
		z := serveZone(t)
		a, b := named(t, "a"), named(t, "b")
		z.set(dns.RcodeServerFailure)
		u := service1(t, "app", "srv+http://"+recordName)
		u.Resolver = z.address
		o := options(epoll, u)
		lines := make(chan string, 100)
		o.Changed = func(e *accesslog.Endpoint) {
			lines <- fmt.Sprintf("%s %s→%s: %s", e.Endpoint, e.From, e.To, e.Why)
		}
		await := func(want ...string) {
			t.Helper()
			for _, w := range want {
				for got := range lines { // a line that never comes is what the test's own deadline is for
					if strings.HasPrefix(got, w) {
						break
					}
					t.Errorf("%q, want %q", got, w)
				}
			}
		}
		g, url := begin(t, o)
		await("srv+http://" + recordName + " absent→unresolved: ")
		if status, body := get(t, http.DefaultClient, "x.test", url); status != 503 || !strings.Contains(body, "pool_empty") {
			t.Errorf("%d %s", status, body)
		}
		at := func(target string) string { return strings.Replace(target, "127.0.0.1", "localhost", 1) }
		ask := func(want ...string) {
			t.Helper()
			for range 12 {
				status, body := get(t, http.DefaultClient, "x.test", url)
				if ok := status == 200 && strings.Contains(strings.Join(want, " "), body); !ok {
					t.Errorf("%d %q, want one of %q", status, body, want)
				}
			}
		}
		const name = "srv+http://" + recordName
		z.set(dns.RcodeSuccess, srv(1, 1, a))
		await(name+" unresolved→resolved", at(a)+" absent→up: an SRV record names it")
		ask("a")
		z.set(dns.RcodeSuccess, srv(1, 1, a), srv(1, 1, b))
		await(at(b) + " absent→up")
		ask("a", "b")
		z.set(dns.RcodeSuccess, srv(2, 1, a), srv(1, 1, b))
		for tier := func(i int) int { return g.Upstream().Endpoints()[i].Target().Tier }; tier(0) == tier(1); { // no line tells of it
			<-z.asked
		}
		ask("b")
		z.set(dns.RcodeServerFailure)
		await(name + " resolved→unresolved: ")
		ask("b")
		z.set(dns.RcodeSuccess, srv(1, 1, a))
		await(name+" unresolved→resolved", at(b)+" up→absent: no SRV record names it any more")
		ask("a")
		// A reload that changes nothing of it knows what is known, without a question.
		before := g.Upstream()
		if err := g.Apply(o); err != nil || g.Upstream() != before {
			t.Errorf("%v", err)
		}
		z.set(dns.RcodeSuccess, "0 0 0 .")
		await(at(a) + " up→absent")
		if status, _ := get(t, http.DefaultClient, "x.test", url); status != 503 {
			t.Errorf("the service is none, and the status %d", status)
		}
	})
}
