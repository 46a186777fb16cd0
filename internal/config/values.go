package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gatewhy/gatewhy/internal/accesslog"
	"github.com/gatewhy/gatewhy/internal/check"
	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/listen"
	"github.com/gatewhy/gatewhy/internal/route"
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

// AdminAddress is a TCP address to serve metrics on.
type AdminAddress string

// Noun implements the word for messages.
func (*AdminAddress) Noun() string { return "address" }

// UnmarshalText reads a host, or none for all, and a port.
func (a *AdminAddress) UnmarshalText(b []byte) error {
	s := string(b)
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		bad := &conf.Bad{Name: "bad_address", Message: fmt.Sprintf("`%s` is no address with a port", s), Help: "write one such as localhost:2502"}
		if _, err := strconv.ParseUint(s, 10, 16); err == nil {
			bad.With, bad.Unsure, bad.Help = "localhost:"+s, true, "write"
		}
		return bad
	}
	*a = AdminAddress(s)
	return nil
}

// MarshalText is the address.
func (a AdminAddress) MarshalText() ([]byte, error) { return []byte(a), nil }

// HealthPath is what checks ask for.
type HealthPath string

// Noun implements the word for messages.
func (*HealthPath) Noun() string { return "path" }

// UnmarshalText reads a path as package check does.
func (p *HealthPath) UnmarshalText(b []byte) error {
	if err := check.ParsePath(string(b)); err != nil {
		return fromText("", string(b), err.Error())
	}
	*p = HealthPath(b)
	return nil
}

// MarshalText is the path.
func (p HealthPath) MarshalText() ([]byte, error) { return []byte(p), nil }

// Statuses are those from Least to Most.
type Statuses struct{ Least, Most int }

// Noun implements the word for messages.
func (*Statuses) Noun() string { return "status" }

// UnmarshalText reads statuses as package check does.
func (s *Statuses) UnmarshalText(b []byte) (err error) {
	if s.Least, s.Most, err = check.ParseStatus(string(b)); err != nil {
		return fromText("", string(b), err.Error())
	}
	return nil
}

// MarshalText is what UnmarshalText reads.
func (s Statuses) MarshalText() ([]byte, error) {
	return []byte(check.FormatStatus(s.Least, s.Most)), nil
}

// DirectoryURL is an absolute http or https URL.
type DirectoryURL string

// Noun implements the word for messages.
func (*DirectoryURL) Noun() string { return "URL" }

// UnmarshalText reads a URL.
func (u *DirectoryURL) UnmarshalText(b []byte) error {
	v, err := url.Parse(string(b))
	if err != nil || v.Scheme != "http" && v.Scheme != "https" || v.Host == "" || v.User != nil || v.Fragment != "" {
		return fromText("", string(b), "write a whole URL, as in https://acme.example.org/directory")
	}
	*u = DirectoryURL(b)
	return nil
}

// MarshalText is what UnmarshalText reads.
func (u DirectoryURL) MarshalText() ([]byte, error) { return []byte(u), nil }

// FieldName is the name of a field for ids.
type FieldName string

// Noun implements the word for messages.
func (*FieldName) Noun() string { return "field" }

// UnmarshalText reads a name as package exchange has it.
func (n *FieldName) UnmarshalText(b []byte) error {
	if err := exchange.CheckRequestID(string(b)); err != nil {
		return fromText("", string(b), err.Error())
	}
	*n = FieldName(b)
	return nil
}

// MarshalText is what UnmarshalText reads.
func (n FieldName) MarshalText() ([]byte, error) { return []byte(n), nil }

// LogTemplate is the line of an access log.
type LogTemplate string

// Noun implements the word for messages.
func (*LogTemplate) Noun() string { return "template" }

// UnmarshalText reads a template as package accesslog has it.
func (t *LogTemplate) UnmarshalText(b []byte) error {
	var e *accesslog.TemplateError
	if _, err := accesslog.ParseTemplate(string(b)); errors.As(err, &e) {
		bad := &conf.Bad{Message: e.Message, Help: e.Help, Start: e.Start, End: e.End}
		if e.Instead != "" {
			bad.With, bad.Unsure = string(b[:e.Start])+e.Instead+string(b[e.End:]), true
		}
		return bad
	}
	*t = LogTemplate(b)
	return nil
}

// MarshalText is what UnmarshalText reads.
func (t LogTemplate) MarshalText() ([]byte, error) { return []byte(t), nil }

// CookieName is the name of a cookie of the gateway's own.
type CookieName string

// Noun implements the word for messages.
func (*CookieName) Noun() string { return "cookie" }

// UnmarshalText reads a name as package upstream does.
func (n *CookieName) UnmarshalText(b []byte) error {
	if err := upstream.CheckCookie(string(b)); err != nil {
		return fromText("", string(b), err.Error())
	}
	*n = CookieName(b)
	return nil
}

// MarshalText is what UnmarshalText reads.
func (n CookieName) MarshalText() ([]byte, error) { return []byte(n), nil }

// Expectation is what the body of an answer has.
type Expectation string

// Noun implements the word for messages.
func (*Expectation) Noun() string { return "expectation" }

// UnmarshalText reads an expectation as package check does.
func (e *Expectation) UnmarshalText(b []byte) error {
	if _, err := check.ParseExpect(string(b)); err != nil {
		return fromText("", string(b), err.Error())
	}
	*e = Expectation(b)
	return nil
}

// MarshalText is what UnmarshalText reads.
func (e Expectation) MarshalText() ([]byte, error) { return []byte(e), nil }

// HashKey is what hashing goes by.
type HashKey upstream.Key

// Noun implements the word for messages.
func (*HashKey) Noun() string { return "key" }

// UnmarshalText reads a key as package upstream does.
func (k *HashKey) UnmarshalText(b []byte) error {
	key, err := upstream.ParseKey(string(b))
	if err != nil {
		return fromText("", string(b), err.Error())
	}
	*k = HashKey(key)
	return nil
}

// MarshalText is what UnmarshalText reads.
func (k HashKey) MarshalText() ([]byte, error) { return []byte(upstream.Key(k).String()), nil }

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
		bad := fromText("bad_address", s, strings.TrimPrefix(err.Error(), fmt.Sprintf("cannot listen on %q: ", s)))
		if port, ok := strings.CutPrefix(bad.Message, "write "); ok {
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

// badTarget makes a problem of what ParseTarget says.
func badTarget(s string, err error) *conf.Bad {
	bad := fromText("bad_target", s, strings.TrimPrefix(err.Error(), fmt.Sprintf("target %q: ", s)))
	for _, all := range []string{"0.0.0.0", "[::]"} {
		if where, ok := strings.CutPrefix(bad.Help, "write "); ok && strings.HasPrefix(bad.Message, all) {
			bad.With, bad.Unsure, bad.Help = strings.Replace(s, all, where, 1), true, "write"
		}
	}
	if strings.HasPrefix(bad.Message, "no port") {
		bad.Name, bad.Message, bad.Words = "missing_port", "a target has a port", "which port?"
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

// Pattern is a set of paths, as package route reads it.
type Pattern string

// Noun implements the word for messages.
func (*Pattern) Noun() string { return "path" }

// MarshalText is the pattern.
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p), nil }

// UnmarshalText reads /api/*, /about, /blog/{slug}. Package route says what is
// none; what people bring along from elsewhere is answered here.
func (p *Pattern) UnmarshalText(b []byte) error {
	s := string(b)
	bad := &conf.Bad{Name: "bad_match"}
	method, path, two := strings.Cut(s, " ")
	last := s[strings.LastIndexByte(s, '/')+1:]
	switch {
	case strings.HasPrefix(s, "^"), strings.HasPrefix(s, "~"), strings.HasSuffix(s, "$"):
		bad.Message, bad.Help = "a path is no regular expression", "write /api/* for all below /api, /about for one path, {name} for one part"
		return bad
	case two && slices.Contains(methods, strings.ToUpper(method)) && strings.HasPrefix(path, "/"):
		bad.Message, bad.End, bad.Words = "a path has no method in front", len(method), "not a part of the path"
		bad.Help = fmt.Sprintf("write `match: { method: %s, path: %s }`", strings.ToUpper(method), path)
		return bad
	case strings.HasPrefix(s, "*."):
		bad.Message = "a path begins with a slash, and the end of one cannot be matched"
		return bad
	case strings.HasPrefix(s, "/") && len(last) > 1 && strings.IndexByte(last, '*') == len(last)-1 && !strings.ContainsAny(last, "{}") && strings.Count(s, "*") == 1:
		bad.Message, bad.Words = "a `*` stands alone behind the last slash", "a part of a path is taken whole"
		bad.Start, bad.End, bad.With, bad.Unsure = len(s)-len(last), len(s), s[:len(s)-1]+"/*", true
		return bad
	}
	for _, problem := range route.Check([]route.Site{{Hosts: []string{everyHost}, Routes: []route.Match{{Path: []string{s}}}}}) {
		bad := fromText("bad_match", s, strings.TrimPrefix(problem.Text, fmt.Sprintf("path %q: ", s)))
		bad.Unsure = bad.With != "/"+s
		return bad
	}
	*p = Pattern(s)
	return nil
}

// everyHost is the site that is for whatever no other site is for.
const everyHost = "any"

// fromText makes a problem of what another package says of a text: "what is
// wrong: write this", "what is wrong: drop that".
func fromText(name, s, text string) *conf.Bad {
	bad := &conf.Bad{Name: name, Message: text}
	what, way, ok := strings.Cut(text, ": write ")
	if !ok {
		if what, way, ok = strings.Cut(text, "? write "); ok {
			what += "?"
		}
	}
	if ok {
		bad.Message, bad.Help = what, "write "+way
		// The first word is what to write, unless it is an example.
		if first, _, _ := strings.Cut(way, " or "); !strings.ContainsAny(first, " ,…;") && strings.Contains(first, strings.Trim(s, "[]/:")) && first != s {
			bad.With, bad.Unsure = first, true
		}
		return bad
	}
	if what, way, ok = strings.Cut(text, ": drop "); ok {
		bad.Message, bad.Help = what, "leave it away"
		if part, err := strconv.QuotedPrefix(way); err == nil {
			rest := strings.TrimLeft(way[len(part):], ", ")
			part, _ = strconv.Unquote(part)
			if i := strings.LastIndex(s, part); part != "" && i >= 0 {
				bad.Start, bad.End, bad.Words = i, i+len(part), "not a part of it"
				bad.With, bad.Unsure = s[:i]+s[i+len(part):], true
			}
			if rest != "" {
				bad.Help += ", " + strings.TrimPrefix(rest, ", ")
			}
		}
	}
	return bad
}

// Proxy says where the requests of a route go.
type Proxy struct {
	// Name is what logs and metrics call the upstream: that of Upstreams, the target,
	// or that of the route, SITE#NUMBER, whose own it is.
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
