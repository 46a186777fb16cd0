package reverse

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/wire/proxyproto"
)

// heads keeps the heads of requests and answers them.
type heads struct{ list []string }

func (h *heads) serve(c *peer, _ int) {
	defer c.Close()
	for {
		head := c.head()
		if head == "" {
			return
		}
		h.list = append(h.list, head)
		c.say(okAnswer)
	}
}

// line is the value of a field of the last head.
func (h *heads) line(name string) string {
	v := ""
	for _, l := range strings.Split(h.list[len(h.list)-1], "\r\n") {
		if rest, ok := strings.CutPrefix(l, name+": "); ok {
			v += rest + "|"
		}
	}
	return strings.TrimSuffix(v, "|")
}

var networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}

// Who comes through a proxy that says PROXY is the client, for fields as for the log.
func TestIntroduced(t *testing.T) {
	const v1 = "PROXY TCP4 198.51.100.7 192.0.2.1 1234 443\r\n"
	v2 := string(proxyproto.AppendV2(nil, netip.MustParseAddrPort("[2001:db9::7]:1234"), netip.MustParseAddrPort("[2001:db9::1]:443"),
		proxyproto.AppendSSL(nil, "TLSv1.3", "X")))
	local := string(proxyproto.AppendV2(nil, netip.AddrPort{}, netip.AddrPort{}, nil))
	for _, c := range []struct {
		name, peer, header, fields string
		client, scheme, chain      string // "" if it is not served
	}{
		{"version 1", "10.1.1.1", v1, "", "198.51.100.7", "http", "198.51.100.7"},
		{"version 2, with TLS", "10.1.1.1", v2, "", "2001:db9::7", "https", "2001:db9::7"},
		{"local", "10.1.1.1", local, "", "10.1.1.1", "http", "10.1.1.1"},
		{"unknown", "10.1.1.1", "PROXY UNKNOWN\r\n", "", "10.1.1.1", "http", "10.1.1.1"},
		{"no header", "10.1.1.1", "", "", "", "", ""},
		{"a wrong one", "10.1.1.1", "PROXY TCP4 198.51.100.7\r\n", "", "", "", ""},
		{"somebody else", "203.0.113.9", "", "", "203.0.113.9", "http", "203.0.113.9"},
		{"its client is no proxy", "10.1.1.1", v1, "X-Forwarded-For: 1.1.1.1\r\n", "198.51.100.7", "http", "198.51.100.7"},
		{"its client is one", "10.1.1.1", "PROXY TCP4 10.9.9.9 10.1.1.1 1 2\r\n", "X-Forwarded-For: 1.1.1.1\r\n", "1.1.1.1", "http", "1.1.1.1, 10.9.9.9"},
	} {
		for _, piece := range []int{1000, 1} {
			t.Run(c.name, func(t *testing.T) {
				h := &heads{}
				s := defaults(h.serve)
				s.Client.ProxyProtocol, s.Client.TrustedProxies = networks, networks
				s.play(t, func(st *stage) {
					h.list = nil
					cl := st.clientFrom(c.peer)
					say := c.header + "GET / HTTP/1.1\r\nHost: a\r\n" + c.fields + "\r\n"
					for len(say) > piece {
						cl.say(say[:piece])
						say = say[piece:]
					}
					cl.say(say)
					if c.client == "" {
						if b, _ := cl.in.Peek(1); len(b) != 0 {
							t.Errorf("it was answered %q", b)
						}
						if len(h.list) != 0 {
							t.Errorf("it was served: %q", h.list)
						}
						return
					}
					if a := cl.answer("GET"); a.Status != 200 {
						t.Fatalf("%+v", a)
					}
					tr := st.last()
					if string(tr.Client) != c.client || tr.Scheme != c.scheme || h.line("X-Forwarded-For") != c.chain || h.line("X-Real-IP") != c.client {
						t.Errorf("client %s over %s; %q", tr.Client, tr.Scheme, h.list)
					}
					// The connection goes on, and its header is not asked for again.
					cl.say("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
					if a := cl.answer("GET"); a.Status != 200 || string(st.last().Client) != string(c.client) && c.fields == "" {
						t.Errorf("second: %+v", a)
					}
				})
			})
		}
	}
}

// A PROXY header has limits of its own, in bytes and in time.
func TestIntroductionLimits(t *testing.T) {
	long := string(proxyproto.AppendV2(nil, netip.MustParseAddrPort("198.51.100.7:1"), netip.MustParseAddrPort("192.0.2.1:2"),
		proxyproto.AppendExtension(nil, proxyproto.Noop, strings.Repeat("x", 300))))
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, c := range []struct {
		name   string
		most   int
		pieces []string // a second apart
		served bool
		after  time.Duration // when the connection is closed, if it is not served
	}{
		{"as long as it may be", len(long), []string{long + get}, true, 0},
		{"longer", len(long) - 1, []string{long + get}, false, 0},
		{"in time", 0, []string{"PROXY ", "UNKNOWN", "\r\n" + get}, true, 0},
		{"in part", 0, []string{"PROXY "}, false, 5 * second},
		{"nothing at all", 0, nil, false, 5 * second},
		{"too late", 0, []string{"P", "R", "O", "X", "Y", " ", "UNKNOWN\r\n"}, false, 5 * second},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &heads{}
			s := defaults(h.serve)
			s.Client.ProxyProtocol, s.Client.MaxProxyHeader = networks, c.most
			s.play(t, func(st *stage) {
				h.list = nil
				began := time.Now()
				cl := st.clientFrom("10.1.1.1")
				for i, p := range c.pieces {
					if i > 0 {
						time.Sleep(second)
					}
					cl.say(p)
				}
				if c.served {
					if a := cl.answer("GET"); a.Status != 200 {
						t.Errorf("%+v", a)
					}
					return
				}
				cl.in.Peek(1)
				if took := time.Since(began); took < c.after || len(h.list) > 0 || c.after == 0 && took != 0 {
					t.Errorf("closed after %v, requests %q", took, h.list)
				}
			})
		})
	}
}

// 127.0.0.1 is this machine only where the proxy is on it.
func TestIntroducedFromAfar(t *testing.T) {
	for peer, trusted := range map[string]bool{"10.1.1.1": false, "127.0.0.1": true} {
		h := &heads{}
		s := defaults(h.serve)
		s.Client.ProxyProtocol = append(slices.Clone(networks), netip.MustParsePrefix("127.0.0.0/8"))
		s.play(t, func(st *stage) {
			h.list = nil
			cl := st.clientFrom(peer)
			cl.say("PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if a := cl.answer("GET"); a.Status != 200 || string(st.last().Client) != "127.0.0.1" || st.last().Trusted != trusted {
				t.Errorf("from %s: %+v, %+v", peer, a, st.last().Trusted)
			}
		})
	}
}

// introduced is an origin that wants a PROXY header and keeps what it was told.
type introduced struct {
	t    *testing.T
	list []string
	open int
}

func (i *introduced) serve(c *peer, _ int) {
	defer c.Close()
	b, _ := c.in.Peek(16)
	n := 0
	for n == 0 {
		b, _ = c.in.Peek(len(b) + 1)
		var flaw proxyproto.Flaw
		if _, n, flaw, _ = proxyproto.Parse(b, 4096); flaw != proxyproto.NoFlaw {
			i.t.Errorf("%v in %q", flaw, b)
			return
		}
	}
	i.list = append(i.list, string(b[:n]))
	i.open++
	c.in.Discard(n)
	for c.request() {
		c.say(okAnswer)
	}
	i.open--
}

// What a PROXY header in front tells goes on in ours.
func TestSendProxyTells(t *testing.T) {
	from, to := netip.MustParseAddrPort("198.51.100.7:1234"), netip.MustParseAddrPort("192.0.2.1:443")
	tlvs := proxyproto.AppendExtension(nil, proxyproto.UniqueID, "id-1")
	tlvs = proxyproto.AppendExtension(tlvs, proxyproto.Authority, "shop.example.org")
	tlvs = proxyproto.AppendSSL(tlvs, "TLSv1.3", "C")
	told := proxyproto.AppendExtension(tlvs, proxyproto.NetNS, "ns")
	o := &introduced{t: t}
	s := defaults(o.serve)
	s.SendProxy, s.Client.ProxyProtocol = 2, networks
	s.play(t, func(st *stage) {
		o.list = nil
		cl := st.clientFrom("10.1.1.1")
		cl.say(string(proxyproto.AppendV2(nil, from, to, proxyproto.AppendExtension(slices.Clone(told), proxyproto.Noop, "pad"))) + "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if a := cl.answer("GET"); a.Status != 200 {
			t.Fatalf("%+v", a)
		}
		if want := []string{string(proxyproto.AppendV2(nil, from, to, told))}; !slices.Equal(o.list, want) {
			t.Errorf("%q, want %q", o.list, want)
		}
	})
}

// A connection that began with a client's PROXY header ends soon after the client.
func TestSendProxyEndsWithItsClient(t *testing.T) {
	o := &introduced{t: t}
	s := defaults(o.serve)
	s.SendProxy = 1
	s.play(t, func(st *stage) {
		o.open = 0
		stays, goes := st.clientFrom("203.0.113.8"), st.clientFrom("203.0.113.9")
		for _, c := range []*client{stays, goes} {
			c.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if a := c.answer("GET"); a.Status != 200 {
				t.Fatalf("%+v", a)
			}
		}
		goes.Close()
		time.Sleep(2 * second)
		synctest.Wait()
		if o.open != 1 {
			t.Errorf("%d connections are open", o.open)
		}
	})
}

// Whoever is to be told by a PROXY header is told on each connection, and no connection
// serves two clients.
func TestSendProxy(t *testing.T) {
	for version, want := range map[int]*regexp.Regexp{
		1: regexp.MustCompile(`^PROXY TCP4 203\.0\.113\.[89] \S+ \d+ \d+\r\n$`),
		2: regexp.MustCompile(`(?s)^\r\n\r\n\x00\r\nQUIT\n\x21\x11`),
	} {
		t.Run(string(rune('0'+version)), func(t *testing.T) {
			var intros []string
			s := defaults(func(c *peer, _ int) {
				defer c.Close()
				b, _ := c.in.Peek(16)
				n := 0
				for n == 0 {
					b, _ = c.in.Peek(len(b) + 1)
					var flaw proxyproto.Flaw
					if _, n, flaw, _ = proxyproto.Parse(b, 4096); flaw != proxyproto.NoFlaw {
						t.Errorf("%v in %q", flaw, b)
						return
					}
				}
				intros = append(intros, string(b[:n]))
				c.in.Discard(n)
				for c.request() {
					c.say(okAnswer)
				}
			})
			s.SendProxy = version
			s.play(t, func(st *stage) {
				intros = nil
				a, b := st.clientFrom("203.0.113.8"), st.clientFrom("203.0.113.9")
				for _, c := range []*client{a, b, a, b, b, a} {
					c.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
					if got := c.answer("GET"); got.Status != 200 {
						t.Fatalf("%+v", got)
					}
				}
				if len(intros) != 2 || intros[0] == intros[1] {
					t.Errorf("headers %q", intros)
				}
				for _, i := range intros {
					if !want.MatchString(i) {
						t.Errorf("%q", i)
					}
				}
			})
		})
	}
}

func TestForwarded(t *testing.T) {
	const proxy, stranger = "10.1.2.3", "203.0.113.9"
	for _, c := range []struct {
		name           string
		which          exchange.Forwarded
		peer, fields   string
		client, scheme string
		standard, host string // what goes on
		chain          string
	}{
		{"a stranger", exchange.ForwardedRFC7239, stranger, "Forwarded: for=1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n", stranger, "http",
			`for=203.0.113.9;host="a";proto=http`, "", ""},
		{"a proxy", exchange.ForwardedRFC7239, proxy, "Forwarded: for=1.1.1.1;proto=https;host=b\r\n", "1.1.1.1", "https",
			`for=1.1.1.1;proto=https;host=b, for=10.1.2.3;host="a";proto=http`, "", ""},
		{"X-Forwarded-For is not asked", exchange.ForwardedRFC7239, proxy, "X-Forwarded-For: 2.2.2.2\r\n", proxy, "http",
			`for=10.1.2.3;host="a";proto=http`, "", ""},
		{"a broken one", exchange.ForwardedRFC7239, proxy, "Forwarded: for=1.1.1.1\r\nForwarded: for=x\r\n", proxy, "http",
			`for=10.1.2.3;host="a";proto=http`, "", ""},
		{"a chain in two lines", exchange.ForwardedBoth, proxy, "Forwarded: for=9.9.9.9, for=\"[2001:db9::1]:80\";proto=https\r\nForwarded: for=10.2.2.2;proto=http\r\n", "2001:db9::1", "https",
			`for=9.9.9.9, for="[2001:db9::1]:80";proto=https, for=10.2.2.2;proto=http, for=10.1.2.3;host="a";proto=http`, "a", "9.9.9.9, 2001:db9::1, 10.2.2.2, 10.1.2.3"},
		{"hidden", exchange.ForwardedBoth, proxy, "Forwarded: for=_x;proto=https\r\n", proxy, "https",
			`for=_x;proto=https, for=10.1.2.3;host="a";proto=http`, "a", "unknown, 10.1.2.3"},
		{"both, and it sends the other", exchange.ForwardedBoth, proxy, "X-Forwarded-For: 2.2.2.2\r\n", "2.2.2.2", "http",
			`for=10.1.2.3;host="a";proto=http`, "a", "2.2.2.2, 10.1.2.3"},
		{"only the other", exchange.ForwardedX, proxy, "Forwarded: for=1.1.1.1\r\n", proxy, "http", "", "a", proxy},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &heads{}
			s := defaults(h.serve)
			s.Client.TrustedProxies, s.Client.Forwarded = networks, c.which
			s.play(t, func(st *stage) {
				h.list = nil
				cl := st.clientFrom(c.peer)
				cl.say("GET / HTTP/1.1\r\nHost: a\r\n" + c.fields + "\r\n")
				if a := cl.answer("GET"); a.Status != 200 {
					t.Fatalf("%+v", a)
				}
				tr := st.last()
				if string(tr.Client) != c.client || tr.Scheme != c.scheme {
					t.Errorf("client %s over %s", tr.Client, tr.Scheme)
				}
				if got := []string{h.line("Forwarded"), h.line("X-Forwarded-Host"), h.line("X-Forwarded-For")}; !slices.Equal(got, []string{c.standard, c.host, c.chain}) {
					t.Errorf("%q", got)
				}
			})
		})
	}
}

func TestForwardedPort(t *testing.T) {
	for _, c := range []struct{ peer, host, fields, want string }{
		{"203.0.113.9", "a", "X-Forwarded-Port: 1\r\n", "80"},
		{"203.0.113.9", "a:8080", "", "8080"},
		{"203.0.113.9", "[::1]", "", "80"},
		{"203.0.113.9", "[::1]:81", "", "81"},
		{"203.0.113.9", "a:", "", "80"},
		{"10.1.1.1", "a", "X-Forwarded-Port: 8443\r\n", "8443"},
		{"10.1.1.1", "a", "X-Forwarded-Port: 99999\r\n", "80"},
		{"10.1.1.1", "a", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n", "443"},
		{"10.1.1.1", "a", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Host: b:82\r\n", "82"},
	} {
		h := &heads{}
		s := defaults(h.serve)
		s.Client.TrustedProxies = networks
		s.play(t, func(st *stage) {
			h.list = nil
			cl := st.clientFrom(c.peer)
			cl.say("GET / HTTP/1.1\r\nHost: " + c.host + "\r\n" + c.fields + "\r\n")
			if a := cl.answer("GET"); a.Status != 200 || h.line("X-Forwarded-Port") != c.want {
				t.Errorf("%+v: %d, port %q", c, a.Status, h.line("X-Forwarded-Port"))
			}
		})
	}
}

func TestRequestID(t *testing.T) {
	made := regexp.MustCompile(`^[0-9a-f]{32}$`)
	for _, c := range []struct {
		name, peer, fields, want string // "" for one of ours
	}{
		{"none", "203.0.113.9", "", ""},
		{"a stranger's", "203.0.113.9", "X-Request-ID: abc\r\n", ""},
		{"a proxy's", "10.1.1.1", "x-request-id: abc-1/2=\r\n", "abc-1/2="},
		{"two", "10.1.1.1", "x-request-id: a\r\nx-request-id: b\r\n", ""},
		{"too long", "10.1.1.1", "x-request-id: " + strings.Repeat("a", 129) + "\r\n", ""},
		{"with blanks", "10.1.1.1", "x-request-id: a b\r\n", ""},
		{"empty", "10.1.1.1", "x-request-id:\r\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &heads{}
			s := defaults(h.serve)
			s.Client.TrustedProxies, s.Client.RequestID, s.Client.ReplyRequestID = networks, "X-Request-ID", true
			s.play(t, func(st *stage) {
				h.list = nil
				cl := st.clientFrom(c.peer)
				cl.say("GET / HTTP/1.1\r\nHost: a\r\n" + c.fields + "\r\n")
				a := cl.answer("GET")
				id := h.line("X-Request-ID")
				if a.Status != 200 || c.want != "" && id != c.want || c.want == "" && !made.MatchString(id) || string(st.last().RequestID) != id ||
					a.Header.Get("X-Request-Id") != id || strings.Count(strings.ToLower(h.list[0]), "x-request-id:") != 1 {
					t.Errorf("%+v: %q", a, h.list)
				}
				cl.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				if cl.answer("GET"); h.line("X-Request-ID") == id {
					t.Errorf("the next request has the same id")
				}
			})
		})
	}
}

// A request that fails tells its id and its incident.
func TestRequestIDOfFailure(t *testing.T) {
	s := defaults(closing("nonsense\r\n\r\n"))
	s.Client.RequestID, s.Client.ReplyRequestID = "X-Request-Id", true
	s.play(t, func(st *stage) {

		cl := st.client()
		cl.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		a := cl.answer("GET")
		tr := st.last()
		if a.Status != 502 || !slices.Equal(a.Header["X-Request-Id"], []string{string(tr.RequestID)}) || !strings.Contains(a.Body, string(tr.Incident[:])) {
			t.Errorf("%+v, id %s, incident %s", a, tr.RequestID, tr.Incident)
		}
	})
}

// So does one that was refused before anybody could read an id in it.
func TestRequestIDOfRefusal(t *testing.T) {
	s := defaults(answering(okAnswer))
	s.Client.RequestID, s.Client.ReplyRequestID, s.Client.TrustedProxies = "X-Request-Id", true, networks
	s.play(t, func(st *stage) {
		cl := st.clientFrom("10.1.1.1")
		cl.say("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\nbad name: x\r\n\r\n")
		a := cl.answer("GET")
		if id := string(st.last().RequestID); a.Status != 400 || !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) || !slices.Equal(a.Header["X-Request-Id"], []string{id}) {
			t.Errorf("%+v, id %q", a, id)
		}
	})
}

func TestTrace(t *testing.T) {
	const given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, c := range []struct {
		name, peer, fields string
		sample             float64
		goesOn             bool
		flags, state       string
	}{
		{"none, all are sampled", "203.0.113.9", "", 1, false, "01", ""},
		{"none, none is", "203.0.113.9", "", 0, false, "00", ""},
		{"a stranger's", "203.0.113.9", "traceparent: " + given + "\r\ntracestate: a=b\r\n", 0, false, "00", ""},
		{"a proxy's", "10.1.1.1", "Traceparent: " + given + "\r\ntracestate: a=b\r\n", 0, true, "01", "a=b"},
		{"a proxy's list in two lines", "10.1.1.1", "Traceparent: " + given + "\r\ntracestate: a=b\r\nTraceState: c=d\r\n", 0, true, "01", "a=b"},
		{"a proxy's broken list", "10.1.1.1", "Traceparent: " + given + "\r\ntracestate: a=b\r\ntracestate: a=d\r\n", 0, true, "01", ""},
		{"a proxy's, with flags of no meaning", "10.1.1.1", "Traceparent: " + given[:53] + "fd\r\n", 0, true, "01", ""},
		{"a broken one", "10.1.1.1", "traceparent: " + given + "x\r\ntracestate: a=b\r\n", 1, false, "01", ""},
		{"two", "10.1.1.1", "traceparent: " + given + "\r\ntraceparent: " + given + "\r\n", 1, false, "01", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &heads{}
			s := defaults(h.serve)
			s.Client.TrustedProxies, s.Client.Trace, s.Client.TraceSample = networks, true, c.sample
			s.play(t, func(st *stage) {
				h.list = nil
				cl := st.clientFrom(c.peer)
				cl.say("GET / HTTP/1.1\r\nHost: a\r\n" + c.fields + "\r\n")
				if a := cl.answer("GET"); a.Status != 200 {
					t.Fatalf("%+v", a)
				}
				tr := st.last()
				part := strings.Split(h.line("Traceparent"), "-")
				if len(part) != 4 || (part[1] == "0af7651916cd43dd8448eb211c80319c") != c.goesOn || part[3] != c.flags || h.line("tracestate") != c.state ||
					strings.Count(strings.ToLower(h.list[0]), "traceparent:") != 1 {
					t.Fatalf("%q", h.list)
				}
				if a := tr.Attempts[0]; fmt.Sprintf("%x", tr.Trace[:]) != part[1] || fmt.Sprintf("%x", a.Span[:]) != part[2] || a.Span == tr.Span || tr.Span == [8]byte{} ||
					(fmt.Sprintf("%x", tr.Parent[:]) == "b7ad6b7169203331") != c.goesOn || tr.Sampled != (c.flags == "01") {
					t.Errorf("trail %x %x %x %x", tr.Trace, tr.Parent, tr.Span, a.Span)
				}
			})
		})
	}
}

// Each attempt has a span of its own, and without tracing what comes goes on.
func TestTraceOfAttempts(t *testing.T) {
	h := &heads{}
	s := defaults(func(c *peer, n int) {
		h.list = append(h.list, c.head())
		if n > 0 {
			c.say(okAnswer)
		}
		c.Close()
	})
	s.Client.Trace = true
	s.play(t, func(st *stage) {
		h.list = nil
		cl := st.client()
		cl.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if a := cl.answer("GET"); a.Status != 200 || len(h.list) != 2 {
			t.Fatalf("%+v %q", a, h.list)
		}
		second := h.line("Traceparent")
		h.list = h.list[:1]
		if first := h.line("Traceparent"); first[:36] != second[:36] || first == second {
			t.Errorf("%s, then %s", first, second)
		}
	})
	h = &heads{}
	defaults(h.serve).play(t, func(st *stage) {
		h.list = nil
		cl := st.client()
		cl.say("GET / HTTP/1.1\r\nHost: a\r\ntraceparent: x\r\ntracestate: y\r\n\r\n")
		if cl.answer("GET"); h.line("traceparent") != "x" || h.line("tracestate") != "y" {
			t.Errorf("%q", h.list)
		}
	})
}
