package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/listen"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// NodeName is a gateway's name to others.
type NodeName string

// Noun implements the word for messages.
func (*NodeName) Noun() string { return "name" }

// UnmarshalText reads a name that can stand in Via (RFC 9110 §7.6.3).
func (n *NodeName) UnmarshalText(b []byte) error {
	for i, c := range string(b) {
		if c <= ' ' || c >= 0x7f || strings.ContainsRune(`",;()\`, c) {
			return &conf.Bad{Message: fmt.Sprintf("a name in Via has no %q", c), Start: i, End: i + utf8.RuneLen(c), Words: "not this one",
				Help: "use letters, digits, dots and hyphens (RFC 9110 §7.6.3)"}
		}
	}
	*n = NodeName(b)
	return nil
}

// MarshalText is the name.
func (n NodeName) MarshalText() ([]byte, error) { return []byte(n), nil }

// Resolver is the address of a DNS server.
type Resolver string

// Noun implements the word for messages.
func (*Resolver) Noun() string { return "address" }

// UnmarshalText reads an IP address with or without a port.
func (r *Resolver) UnmarshalText(b []byte) error {
	s := string(b)
	if _, err := netip.ParseAddrPort(s); err != nil {
		if _, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err != nil {
			return &conf.Bad{Message: fmt.Sprintf("`%s` is no IP address", s), Help: "write one such as 10.0.0.2 or 10.0.0.2:5353"}
		}
	}
	*r = Resolver(s)
	return nil
}

// MarshalText is the address.
func (r Resolver) MarshalText() ([]byte, error) { return []byte(r), nil }

// Address is a place to listen on.
type Address struct {
	*listen.Place
	text string
}

// Noun implements the word for messages.
func (*Address) Noun() string { return "address" }

// UnmarshalText reads a place as package listen does, without a scheme: the key
// says it.
func (a *Address) UnmarshalText(b []byte) error {
	s := string(b)
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		return &conf.Bad{Name: "bad_address", Message: "an address to listen on has no scheme: its key says it", End: len(scheme) + 3, Words: "not here", With: rest}
	}
	p, err := listen.Parse(s)
	if err != nil {
		bad := &conf.Bad{Name: "bad_address", Message: strings.TrimPrefix(err.Error(), fmt.Sprintf("cannot listen on %q: ", s))}
		bad.Message, bad.Help, _ = strings.Cut(bad.Message, ": write ")
		if bad.Help != "" {
			bad.With, bad.Help = bad.Help, ""
			if strings.Contains(bad.With, " ") {
				bad.With, bad.Help = "", "write "+bad.With
			}
			bad.Unsure = !strings.HasPrefix(bad.With, "[")
		} else if port, ok := strings.CutPrefix(bad.Message, "write "); ok {
			bad.Message, bad.With = "a port is written with its colon", port
		}
		return bad
	}
	a.Place, a.text = p, s
	return nil
}

// MarshalText is the place as it was written.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.text), nil }

// Target is an endpoint of an upstream, or a range of them.
type Target struct {
	Text string
	List []upstream.Target
}

// Noun implements the word for messages.
func (*Target) Noun() string { return "target" }

// UnmarshalText reads a target as upstream.ParseTarget does.
func (t *Target) UnmarshalText(b []byte) error {
	list, err := upstream.ParseTarget(string(b))
	if err != nil {
		return badTarget(string(b), err)
	}
	t.Text, t.List = string(b), list
	return nil
}

// badTarget makes a problem of what ParseTarget says: "what is wrong: write this".
func badTarget(s string, err error) *conf.Bad {
	bad := &conf.Bad{Name: "bad_target", Message: strings.TrimPrefix(err.Error(), fmt.Sprintf("target %q: ", s))}
	what, way, ok := strings.Cut(bad.Message, ": write ")
	if !ok {
		if what, way, ok = strings.Cut(bad.Message, "? write "); ok {
			what += "?"
		}
	}
	if ok {
		bad.Message = what
		first, _, several := strings.Cut(way, " or ")
		if strings.ContainsAny(first, " ,…") || several && strings.HasPrefix(first, "HOST") {
			bad.Help = "write " + way
		} else {
			bad.With, bad.Unsure = first, true
			bad.Help = "write " + way
		}
	}
	if what, drop, ok := strings.Cut(bad.Message, ": drop "); ok {
		part := strings.Trim(drop, `"`)
		bad.Message, bad.Help, bad.With, bad.Unsure = what, "write", strings.Replace(s, part, "", 1), true
		if i := strings.LastIndex(s, part); part != "" && i >= 0 {
			bad.Start, bad.End, bad.Words = i, i+len(part), "not a part of it"
		}
	}
	for _, all := range []string{"0.0.0.0", "[::]"} {
		if strings.HasPrefix(bad.Message, all) && bad.With != "" {
			bad.With = strings.Replace(s, all, bad.With, 1)
			bad.Help = "write " + bad.With
		}
	}
	if strings.HasPrefix(bad.Message, "no port") {
		bad.Name, bad.Message = "missing_port", "a target has a port"
		bad.Words = "which port?"
	}
	return bad
}

// MarshalText is the target as it was written.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.Text), nil }

// Method is a request method.
type Method string

// Noun implements the word for messages.
func (*Method) Noun() string { return "method" }

// methods are those that are known by name: a slip of the finger in one is worth
// a question.
var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}

// UnmarshalText reads a method: a token, which is case-sensitive (RFC 9110 §9.1).
func (m *Method) UnmarshalText(b []byte) error {
	s := string(b)
	for i := range len(s) {
		if !tchar(s[i]) {
			return &conf.Bad{Name: "bad_method", Message: fmt.Sprintf("a method has no %q", s[i]), Start: i, End: i + 1, Words: "not this one"}
		}
	}
	if up := strings.ToUpper(s); up != s && slices.Contains(methods, up) {
		return &conf.Bad{Name: "bad_method", Message: "methods are written in capitals", With: up, Words: "matches no request"}
	}
	if near := conf.Meant(s, methods); near != "" && near != s && !slices.Contains(methods, s) {
		return &conf.Bad{Name: "bad_method", Message: fmt.Sprintf("`%s` is no method that anybody uses", s), Words: "did you mean `" + near + "`?", With: near, Unsure: true}
	}
	*m = Method(s)
	return nil
}

// MarshalText is the method.
func (m Method) MarshalText() ([]byte, error) { return []byte(m), nil }

// tchar reports whether a byte may stand in a token (RFC 9110 §5.6.2).
func tchar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// Network is a range of addresses.
type Network struct{ netip.Prefix }

// Noun implements the word for messages.
func (*Network) Noun() string { return "network" }

// UnmarshalText reads a network, or an address as a network of one.
func (n *Network) UnmarshalText(b []byte) error {
	s := string(b)
	if a, err := netip.ParseAddr(s); err == nil {
		n.Prefix = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return &conf.Bad{Name: "bad_network", Message: fmt.Sprintf("`%s` is no network", s), Help: "write one such as 10.0.0.0/8 or fd00::/8, or one address"}
	case p.Masked() != p:
		return &conf.Bad{Name: "bad_network", Message: fmt.Sprintf("the network of %s begins elsewhere", s), Words: "has bits beyond its length", With: p.Masked().String(), Unsure: true,
			Help: "write where it begins, or the address alone to mean one"}
	}
	n.Prefix = p
	return nil
}

// MarshalText is the network; a single address stands alone.
func (n Network) MarshalText() ([]byte, error) {
	if n.IsSingleIP() {
		return []byte(n.Addr().String()), nil
	}
	return []byte(n.String()), nil
}

// SiteName is what the name of a site says.
type SiteName struct {
	// Scheme is http for plain HTTP only, https for TLS only, "" for both.
	Scheme string
	// Host is a name in lower case or an IP address without brackets; "" with Wild
	// means every host.
	Host string
	// Wild: each name below Host, at any depth, and not Host itself.
	Wild bool
}

// String is the name as it would be written.
func (n SiteName) String() string {
	s := n.Host
	if strings.Contains(s, ":") {
		s = "[" + s + "]"
	}
	if n.Wild {
		s = strings.TrimSuffix("any."+s, ".")
	}
	if n.Scheme != "" {
		s = n.Scheme + "://" + s
	}
	return s
}

// parseSite reads the name of a site.
func parseSite(s string) (SiteName, *conf.Bad) {
	n := SiteName{}
	bad := func(message string, start, end int, with string) (SiteName, *conf.Bad) {
		return n, &conf.Bad{Name: "bad_site_name", Message: message, Start: start, End: end, With: with}
	}
	rest := s
	if scheme, r, ok := strings.Cut(s, "://"); ok {
		if scheme != "http" && scheme != "https" {
			return bad(fmt.Sprintf("a site has no scheme `%s`", scheme), 0, len(scheme), "")
		}
		n.Scheme, rest = scheme, r
	}
	at := len(s) - len(rest)
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		with := ""
		if rest[i:] == "/" {
			with = s[:at+i]
		}
		b := &conf.Bad{Name: "bad_site_name", Message: "the name of a site has no path", Start: at + i, End: len(s), Words: "not here", With: with}
		if with == "" {
			b.Help = fmt.Sprintf("put it into a route of the site: `match: %s*`", strings.TrimRight(rest[i:], "/*")+"/")
		}
		return n, b
	}
	host := rest
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 {
			return bad("the bracket of the IPv6 address is not closed", at, len(s), "")
		}
		if end+1 < len(host) {
			return bad("the name of a site has no port: ports stand under `listen`", at+end+1, len(s), s[:at+end+1])
		}
		host = host[1:end]
	} else if i := strings.LastIndexByte(host, ':'); i >= 0 {
		if strings.Count(host, ":") > 1 {
			return bad("an IPv6 address stands in brackets", at, len(s), s[:at]+"["+host+"]")
		}
		return bad("the name of a site has no port: ports stand under `listen`", at+i, len(s), s[:at+i])
	}
	if a, err := netip.ParseAddr(host); err == nil {
		n.Host = a.String()
		return n, nil
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	switch {
	case host == "*", host == "any":
		n.Wild = true
		return n, nil
	case strings.HasPrefix(host, "*."), strings.HasPrefix(host, "any."):
		_, host, _ = strings.Cut(host, ".")
		n.Wild = true
	case host == "":
		return bad("a site needs the name of a host", 0, len(s), "any")
	}
	if problem := hostProblem(host); problem != "" {
		return bad(problem, at, len(s), "")
	}
	n.Host = host
	return n, nil
}

// hostProblem says why a text is no host name, "" if it is one.
func hostProblem(host string) string {
	if len(host) > 253 {
		return fmt.Sprintf("a host name has at most 253 characters, this one has %d", len(host))
	}
	for label := range strings.SplitSeq(host, ".") {
		switch {
		case label == "":
			return "a host name has no empty part"
		case len(label) > 63:
			return "a part of a host name has at most 63 characters"
		case strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-"):
			return "a part of a host name neither begins nor ends with a hyphen"
		}
	}
	for _, c := range host {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
		case c >= 0x80:
			return "a host name is ASCII: write its form with xn--, as the browser sends it"
		case c == '*':
			return "a `*` stands alone at the beginning of a name"
		default:
			return fmt.Sprintf("a host name has no %q", c)
		}
	}
	return ""
}

// Proxy says where the requests of a route go.
type Proxy struct {
	// Name is what logs and metrics call the upstream: that of Upstreams, or the
	// target.
	Name string
	// To is the upstream, never nil in a configuration without errors. Routes that
	// name the same one share it.
	To *Upstream
	// Own: the route has the upstream to itself, written in it.
	Own bool

	node *conf.Node // what was written
}

// ReadConf reads a name, a target or an upstream. Which of the first two it is
// shows when all upstreams are known.
func (p *Proxy) ReadConf(d *conf.Decoder, n *conf.Node, at conf.Path) {
	p.node = n
	if n.Kind == conf.Map || n.Kind == conf.List {
		p.Own, p.To = true, new(Upstream)
		d.Value(n, p.To, at)
		return
	}
	p.Name = d.Text(n, "the name of an upstream or a target", at)
}

// WriteConf is what ReadConf reads.
func (p *Proxy) WriteConf() any {
	if p.Own && p.To != nil {
		return p.To
	}
	return p.Name
}
