package upstream

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/miekg/dns"
)

const (
	// udpSize is the largest answer asked for over UDP: it fits into one packet on
	// all common paths (RFC 9715 §3.2 allows 1400, DNS Flag Day 2020 asked for 1232).
	udpSize = 1232

	// aliasesMost bounds a chain of CNAMEs; sane zones have two or three.
	aliasesMost = 16

	// familyWait is how long the second family's answer is waited for when the
	// first has addresses. RFC 8305 §3 has 50 ms for people who wait; our answers
	// are cached, and a family that is left out is so for a whole TTL.
	familyWait = 250 * time.Millisecond

	// tryLeast is the shortest time given to one question: below that a good
	// resolver looks like a dead one.
	tryLeast = 250 * time.Millisecond
)

// resolver asks for addresses. Its methods block: call lookup inside Loop.Do.
type resolver struct {
	server string // HOST:PORT; "" means those of conf
	hosts  string // path of the hosts file
	conf   string // path of resolv.conf
}

func newResolver(server string) (resolver, error) {
	r := resolver{hosts: "/etc/hosts", conf: "/etc/resolv.conf"}
	if server == "" {
		return r, nil
	}
	ap, err := netip.ParseAddrPort(server)
	if err != nil {
		ip, err := netip.ParseAddr(strings.Trim(server, "[]"))
		if err != nil {
			return r, fmt.Errorf("resolver %q is not an IP address: write 10.0.0.2, 10.0.0.2:53 or [fd00::2]:53", server)
		}
		ap = netip.AddrPortFrom(ip, 53)
	}
	r.server = ap.String()
	return r, nil
}

// lookup finds the addresses of host: localhost by rule (RFC 6761 §6.3), then
// the hosts file, then DNS. It takes at most limit.
func (r *resolver) lookup(host string, limit time.Duration) *answer {
	name := strings.TrimSuffix(host, ".")
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return &answer{source: fromRule, ttl: ttlMost,
			addrs: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}}
	}
	if addrs := r.readHosts(name); len(addrs) > 0 {
		return &answer{source: fromHosts, ttl: ttlHosts, addrs: addrs}
	}
	return r.question(host, limit).ask()
}

// ask asks for one name after the other, until one has addresses.
func (q *question) ask() *answer {
	ctx, cancel := context.WithDeadline(context.Background(), q.began.Add(q.limit))
	defer cancel()
	var worst *outcome
	for _, name := range q.names {
		o := q.both(ctx, name)
		if o.kind == "" {
			return &answer{addrs: o.addrs, ttl: min(max(o.ttl, ttlLeast), ttlMost)}
		}
		worst = worse(worst, o)
	}
	return q.failed(worst)
}

// readHosts finds name in the hosts file. A file that cannot be read is as good
// as none: DNS may know.
func (r *resolver) readHosts(name string) (addrs []netip.Addr) {
	f, err := os.Open(r.hosts)
	if err != nil {
		return nil
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		line, _, _ := strings.Cut(s.Text(), "#")
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		ip, err := netip.ParseAddr(words[0])
		if err != nil || slices.Contains(addrs, ip.Unmap()) {
			continue
		}
		for _, w := range words[1:] {
			if strings.EqualFold(strings.TrimSuffix(w, "."), name) {
				addrs = append(addrs, ip.Unmap())
				break
			}
		}
	}
	return addrs
}

// question is one lookup in DNS.
type question struct {
	host     string
	types    string   // of the records, in words
	names    []string // fully qualified, in the order to ask
	servers  []string
	attempts int
	try      time.Duration // for one question to one server
	limit    time.Duration
	began    time.Time
}

func (r *resolver) question(host string, limit time.Duration) *question {
	q := &question{host: host, types: "A, AAAA", limit: limit, began: time.Now(), attempts: 2}
	wait := limit
	if r.server != "" {
		// Whoever names a resolver names hosts in full: no search list.
		q.servers, q.names = []string{r.server}, []string{dns.Fqdn(host)}
	} else {
		conf, err := dns.ClientConfigFromFile(r.conf)
		if err != nil {
			conf = &dns.ClientConfig{Ndots: 1, Attempts: 2, Timeout: 5, Port: "53"}
		}
		if len(conf.Servers) == 0 {
			conf.Servers = []string{"127.0.0.1"} // resolv.conf(5): the default
		}
		for _, s := range conf.Servers {
			q.servers = append(q.servers, net.JoinHostPort(s, conf.Port))
		}
		q.attempts = conf.Attempts
		q.names = conf.NameList(host)
		wait = time.Duration(conf.Timeout) * time.Second
	}
	q.try = max(min(wait, limit/time.Duration(len(q.servers)*q.attempts)), tryLeast)
	return q
}

// outcome is what came of one name and one type, or of one name.
type outcome struct {
	kind     fault.ID // "" if there are addresses
	addrs    []netip.Addr
	services []*dns.SRV
	ttl      time.Duration
	name     string // as asked
	server   string
	rcode    string
	ede      string // number of the extended error, RFC 8914
	text     string // what the resolver added
	chain    []string
	err      error
}

// gravity orders failures by how much they say: a name that surely is not there
// says less than a resolver that could not tell.
var gravity = []fault.ID{fault.DNSNxdomain, fault.DNSNodata, fault.DNSTimeout, fault.DNSRefused,
	fault.DNSFormerr, fault.DNSServfail, fault.DNSCnameLoop}

func worse(a, b *outcome) *outcome {
	if a == nil || slices.Index(gravity, b.kind) > slices.Index(gravity, a.kind) {
		return b
	}
	return a
}

// both asks for both families of a name at once. It returns when both have
// answered, or a little after one of them has addresses.
func (q *question) both(ctx context.Context, name string) *outcome {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan *outcome, 2)
	// Both end when they have an answer, or with ctx; both are waited for.
	for _, t := range [...]uint16{dns.TypeAAAA, dns.TypeA} {
		go func() { answers <- q.one(ctx, name, t) }()
	}
	first := <-answers
	if first.kind == "" {
		late := time.AfterFunc(familyWait, cancel)
		defer late.Stop()
	}
	second := <-answers
	if first.kind != "" && second.kind != "" {
		return worse(first, second)
	}
	all := &outcome{ttl: ttlMost}
	for _, o := range [...]*outcome{first, second} {
		if o.kind == "" {
			all.addrs = append(all.addrs, o.addrs...)
			all.ttl = min(all.ttl, o.ttl)
		}
	}
	// IPv6 first (RFC 6724 §2.1, policy table), as RFC 8305 §4 expects it.
	slices.SortStableFunc(all.addrs, func(a, b netip.Addr) int { return cmp.Compare(b.BitLen(), a.BitLen()) })
	return all
}

// one asks for one type of a name: each server in turn, as often as the
// configuration says, until one knows.
func (q *question) one(ctx context.Context, name string, qtype uint16) *outcome {
	var worst *outcome
	for range q.attempts {
		for _, server := range q.servers {
			o := q.follow(ctx, server, name, qtype)
			switch o.kind {
			case "", fault.DNSNxdomain, fault.DNSNodata, fault.DNSCnameLoop:
				return o
			}
			worst = worse(worst, o)
			if ctx.Err() != nil {
				return worst
			}
		}
	}
	return worst
}

// follow asks one server and goes after aliases that it left to us.
func (q *question) follow(ctx context.Context, server, name string, qtype uint16) *outcome {
	o := &outcome{name: name, server: server, chain: []string{dns.CanonicalName(name)}, ttl: ttlMost}
	for {
		owner := o.chain[len(o.chain)-1]
		m, err := q.exchange(ctx, server, owner, qtype)
		if err != nil {
			o.kind, o.err, o.rcode = fault.DNSTimeout, err, "no answer"
			if errors.Is(err, errUnreadable) {
				o.kind, o.rcode = fault.DNSFormerr, "an answer that cannot be read"
			}
			return o
		}
		o.rcode = rcodeName(m.Rcode)
		o.extended(m)
		before := len(o.chain)
		if !o.walk(m, qtype) {
			o.kind = fault.DNSCnameLoop
			return o
		}
		switch {
		case len(o.addrs)+len(o.services) > 0:
			return o
		case m.Rcode == dns.RcodeSuccess && len(o.chain) > before:
			continue // an alias without its end
		case m.Rcode == dns.RcodeSuccess:
			o.kind, o.ttl = fault.DNSNodata, negativeTTL(m)
		case m.Rcode == dns.RcodeNameError:
			o.kind, o.ttl = fault.DNSNxdomain, negativeTTL(m)
		case m.Rcode == dns.RcodeRefused:
			o.kind = fault.DNSRefused
		case m.Rcode == dns.RcodeFormatError:
			o.kind = fault.DNSFormerr
		default:
			o.kind = fault.DNSServfail
		}
		return o
	}
}

// walk follows the aliases in an answer from the end of the chain to addresses.
// It reports false if they go round or do not end.
func (o *outcome) walk(m *dns.Msg, qtype uint16) bool {
	for {
		owner, alias := o.chain[len(o.chain)-1], ""
		for _, rr := range m.Answer {
			h := rr.Header()
			if dns.CanonicalName(h.Name) != owner {
				continue
			}
			var ip netip.Addr
			switch rr := rr.(type) {
			case *dns.A:
				ip, _ = netip.AddrFromSlice(rr.A)
			case *dns.AAAA:
				ip, _ = netip.AddrFromSlice(rr.AAAA)
			case *dns.SRV:
				if qtype == dns.TypeSRV {
					o.services = append(o.services, rr)
					o.ttl = min(o.ttl, time.Duration(h.Ttl)*time.Second)
				}
			case *dns.CNAME:
				alias = dns.CanonicalName(rr.Target)
				o.ttl = min(o.ttl, time.Duration(h.Ttl)*time.Second)
			}
			if ip.IsValid() && h.Rrtype == qtype {
				o.addrs = append(o.addrs, ip.Unmap())
				o.ttl = min(o.ttl, time.Duration(h.Ttl)*time.Second)
			}
		}
		if len(o.addrs)+len(o.services) > 0 || alias == "" {
			return true
		}
		round := slices.Contains(o.chain, alias)
		o.chain = append(o.chain, alias)
		if round || len(o.chain) > aliasesMost {
			return false
		}
	}
}

// extended takes what the resolver says of its failure (RFC 8914).
func (o *outcome) extended(m *dns.Msg) {
	opt := m.IsEdns0()
	if opt == nil || m.Rcode == dns.RcodeSuccess {
		return
	}
	for _, option := range opt.Option {
		if e, ok := option.(*dns.EDNS0_EDE); ok {
			o.ede = strconv.Itoa(int(e.InfoCode))
			o.rcode += " (extended error " + o.ede
			if s := dns.ExtendedErrorCodeToString[e.InfoCode]; s != "" {
				o.rcode += ": " + s
			}
			o.rcode += ")"
			if len(e.ExtraText) > 0 {
				o.text = strconv.QuoteToASCII(e.ExtraText[:min(len(e.ExtraText), 120)])
			}
			return
		}
	}
}

func rcodeName(n int) string {
	if s, ok := dns.RcodeToString[n]; ok {
		return s
	}
	return "RCODE " + strconv.Itoa(n)
}

// negativeTTL is how long the zone wants its "no" to be believed (RFC 2308 §5).
func negativeTTL(m *dns.Msg) time.Duration {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(max(time.Duration(min(soa.Hdr.Ttl, soa.Minttl))*time.Second, ttlLeast), ttlMissing)
		}
	}
	return ttlLeast
}

// failed makes an answer of the failure of all names.
func (q *question) failed(o *outcome) *answer {
	names := make([]string, len(q.names))
	for i, n := range q.names {
		names[i] = strings.TrimSuffix(n, ".")
	}
	f := fault.New(o.kind, "host", strings.Join(names, ", "), "resolver", o.server, "rcode", o.rcode, "types", q.types,
		"limit", short(q.limit), "after", short(time.Since(q.began)))
	if o.kind == fault.DNSTimeout {
		f.Param[1].Value = strings.Join(q.servers, ", ")
	}
	if o.ede != "" {
		f.With("ede", o.ede)
	}
	if o.text != "" {
		f.With("value", o.text)
	}
	if o.kind == fault.DNSCnameLoop {
		f.With("names", strings.Join(o.chain, " → "))
	}
	if o.err != nil {
		f.Because(o.err).With("errno", errno(o.err))
	}
	a := &answer{fault: f, ttl: ttlFailed}
	if o.kind == fault.DNSNxdomain || o.kind == fault.DNSNodata {
		a.ttl = o.ttl
	}
	return a
}

// timeout is the fault of a lookup that nobody waited for any longer.
func (r *resolver) timeout(host string, limit, after time.Duration) *fault.Fault {
	q := r.question(host, limit)
	return fault.New(fault.DNSTimeout, "host", host, "resolver", strings.Join(q.servers, ", "), "types", "A, AAAA",
		"limit", short(limit), "after", short(after))
}

// errUnreadable is an answer that is not DNS.
var errUnreadable = errors.New("answer is not a DNS message")

// exchange asks one server one question over UDP: again without EDNS if the
// server cannot bear it (RFC 6891 §6.2.2), and over TCP if the answer was cut
// (RFC 7766 §5) or cannot be read.
func (q *question) exchange(ctx context.Context, server, name string, qtype uint16) (*dns.Msg, error) {
	ask := new(dns.Msg)
	ask.SetQuestion(name, qtype)
	ask.SetEdns0(udpSize, false)
	ctx, cancel := context.WithTimeout(ctx, q.try)
	defer cancel()
	m, err := roundTrip(ctx, "udp", server, ask)
	if err == nil && m.Rcode == dns.RcodeFormatError {
		ask.Extra = nil
		if plain, err := roundTrip(ctx, "udp", server, ask); err == nil {
			m = plain
		}
	}
	if err == nil && m.Truncated || errors.Is(err, errUnreadable) {
		if whole, err := roundTrip(ctx, "tcp", server, ask); err == nil {
			return whole, nil
		}
	}
	return m, err
}

func roundTrip(ctx context.Context, network, server string, ask *dns.Msg) (*dns.Msg, error) {
	ask.Id = dns.Id()
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c := &dns.Conn{Conn: conn, UDPSize: udpSize}
	if err := c.WriteMsg(ask); err != nil {
		return nil, err
	}
	for {
		m, err := c.ReadMsg()
		var broken net.Error
		switch {
		case err == nil && answers(m, ask):
			return m, nil
		case err == nil:
			// Somebody guesses, or an old answer is late: wait on.
		case errors.As(err, &broken), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, err
		default:
			return nil, fmt.Errorf("%w: %v", errUnreadable, err)
		}
	}
}

// answers reports whether m answers ask (RFC 5452 §9.1). Servers that fail early
// may leave the question out.
func answers(m, ask *dns.Msg) bool {
	if m.Id != ask.Id || !m.Response {
		return false
	}
	if len(m.Question) == 0 {
		return m.Rcode != dns.RcodeSuccess
	}
	a, b := m.Question[0], ask.Question[0]
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && strings.EqualFold(a.Name, b.Name)
}
