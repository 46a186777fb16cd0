package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gatewhy/gatewhy/internal/certs"
	"github.com/gatewhy/gatewhy/internal/check"
	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/http2"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// Options are the settings of the gateway that a configuration without errors
// describes. Its listeners are the first alternatives of each address; the access
// log, the incidents and the drain are the caller's. The error is about files
// that have changed since the configuration was checked.
func (g *Gateway) Options() (gateway.Options, error) {
	o := gateway.Defaults()
	for _, a := range g.Listen.HTTP {
		o.Listen = append(o.Listen, a.Alternatives[0]...)
	}
	for _, a := range g.Listen.HTTPS {
		o.ListenTLS = append(o.ListenTLS, a.Alternatives[0]...)
	}
	g.tls(&o)
	secure := len(o.ListenTLS) > 0
	g.client(&o.Client)
	o.Loops, o.Epoll = g.Engine.Loops, g.Engine.Name == "epoll" || g.Engine.Name == "auto" && loop.HasEpoll
	var wrong []error
	names := map[*Upstream]string{}
	g.Each(func(name string, u *Upstream) {
		names[u] = name
		one, err := u.options(name)
		if err != nil {
			wrong = append(wrong, err)
		}
		one.Resolver, one.Zone = string(g.Resolver), g.Zone
		o.Upstreams = append(o.Upstreams, one)
	})
	for _, name := range slices.Sorted(maps.Keys(g.Sites)) {
		scheme, _, schemed := strings.Cut(strings.ToLower(name), "://")
		s := gateway.Site{Name: name, Hosts: []string{name}, Redirect: secure && g.TLS.Redirect && name != "any" && name != "*" && !(schemed && scheme == "http")}
		for i := range g.Sites[name].Routes {
			r := &g.Sites[name].Routes[i]
			s.Routes = append(s.Routes, gateway.Route{Match: r.Match.Rule(), To: names[r.Proxy.To]})
		}
		o.Sites = append(o.Sites, s)
	}
	return o, errors.Join(wrong...)
}

func (g *Gateway) tls(o *gateway.Options) {
	t := &g.TLS
	own := true // each file holds its key too
	for _, c := range t.Certificates {
		own = own && c.Key == ""
	}
	for _, c := range t.Certificates {
		o.TLS.Certificates = append(o.TLS.Certificates, c.Cert)
		switch {
		case own:
		case c.Key == "":
			o.TLS.Keys = append(o.TLS.Keys, c.Cert)
		default:
			o.TLS.Keys = append(o.TLS.Keys, c.Key)
		}
	}
	o.TLS.SelfSigned, o.TLS.NoPostQuantum = t.SelfSigned, !t.PostQuantum
	if t.SelfSigned {
		if host, err := os.Hostname(); err == nil {
			o.TLS.Names = []string{host}
		}
	}
	o.TLS.Managed = g.managed()
	o.TLS.ClientCAs, o.TLS.ClientsMay = t.Clients.CA, t.Clients.Optional
	o.TLS.Min = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[t.Min]
	o.TLS.Rotation = orNone(t.Rotation)
}

// managed says for which names certificates are to be obtained, and how; nil for none.
func (g *Gateway) managed() *certs.Managed {
	t := &g.TLS
	names, internal := g.obtained()
	if len(g.Listen.HTTPS) == 0 || len(names) == 0 && len(internal) == 0 && !g.asks() {
		return nil
	}
	a := &certs.Managed{Names: names, Internal: internal, CA: string(t.ACME.CA), CARoots: t.ACME.Roots, Email: t.ACME.Email, Storage: t.ACME.Storage}
	if g.asks() {
		a.Ask = string(t.ACME.Ask)
	}
	if a.Storage == "" {
		a.Storage = stateDir()
	}
	port := func(list []Address) int {
		for _, l := range list {
			if l.Place != nil && l.Port != 0 {
				if ip := l.Alternatives[0][0].IP.Addr(); !ip.IsUnspecified() {
					a.Host = ip.String()
				}
				return int(l.Port)
			}
		}
		return 0
	}
	a.HTTPPort, a.TLSPort = port(g.Listen.HTTP), port(g.Listen.HTTPS)
	return a
}

// asks reports whether certificates are obtained for names that clients come with.
func (g *Gateway) asks() bool { return g.TLS.ACME.When != "off" && g.TLS.ACME.Ask != "" }

// obtained are the sites that TLS is spoken for and that none of the certificates is for:
// those whose names a public authority is asked to make certificates for, and those whose
// certificates the internal one makes.
func (g *Gateway) obtained() (public, internal []string) {
	for _, name := range slices.Sorted(maps.Keys(g.Sites)) {
		host := name
		if scheme, rest, ok := strings.Cut(name, "://"); ok {
			if strings.EqualFold(scheme, "http") {
				continue
			}
			host = rest
		}
		host = strings.ToLower(strings.TrimSuffix(host, "."))
		wild := strings.HasPrefix(host, "any.")
		if wild {
			host = "*." + strings.TrimPrefix(host, "any.")
		}
		host = strings.Trim(host, "[]")
		if host == "any" || host == "*" || slices.Contains(public, host) || slices.Contains(internal, host) || g.certified(host) {
			continue
		}
		switch private := certs.Private(host); {
		case private && g.TLS.Internal != "off" && !g.TLS.SelfSigned, g.TLS.Internal == "all":
			internal = append(internal, host)
		case !private && !wild && certs.Public(host) && g.TLS.ACME.When != "off":
			public = append(public, host)
		}
	}
	return public, internal
}

// certified reports whether one of the certificate files is for that host. What cannot be
// read is told elsewhere.
func (g *Gateway) certified(host string) bool {
	return slices.ContainsFunc(g.TLS.Certificates, func(c Certificate) bool {
		b, err := os.ReadFile(c.Cert)
		if err != nil {
			return false
		}
		for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
			if block.Type == "CERTIFICATE" {
				leaf, err := x509.ParseCertificate(block.Bytes)
				return err == nil && leaf.VerifyHostname(host) == nil
			}
		}
		return false
	})
}

// stateDir is where a program keeps what it must not lose: what systemd says, else
// /var/lib/gatewhy for root, else the user's own (XDG Base Directory Specification).
func stateDir() string {
	if dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); dir != "" {
		return filepath.Join(dir, "certificates")
	}
	if os.Geteuid() == 0 {
		return "/var/lib/gatewhy/certificates"
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "gatewhy", "certificates")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = os.TempDir()
	}
	return filepath.Join(home, ".local", "share", "gatewhy", "certificates")
}

// orNone is a duration for options in which 0 means their default, and below 0
// means none.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

func (g *Gateway) client(c *exchange.Options) {
	c.Node, c.Via = string(g.Node), string(g.Node)
	t, l, h := &g.Timeout, &g.Limits, &g.HTTP2
	c.Handshake, c.ProxyHeader, c.Total = t.TLS, t.ProxyHeader, t.Total
	c.MaxProxyHeader = int(l.ProxyHeader)
	for _, n := range g.TrustedProxies {
		c.TrustedProxies = append(c.TrustedProxies, n.Prefix)
	}
	c.Forwarded = map[string]exchange.Forwarded{"x": exchange.ForwardedX, "rfc7239": exchange.ForwardedRFC7239, "both": exchange.ForwardedBoth}[g.Forwarded]
	c.ClientCert = g.TLS.Clients.Forward
	c.RequestID, c.ReplyRequestID = string(g.RequestID.Field), g.RequestID.Reply
	c.Trace, c.TraceSample = g.Trace.On, g.Trace.Sample
	for _, n := range g.Listen.ProxyProtocol {
		c.ProxyProtocol = append(c.ProxyProtocol, n.Prefix)
	}
	c.Times = http1.Timeouts{Head: t.Head, Body: t.Body, KeepAlive: t.KeepAlive, Reply: t.Reply}
	limit(&c.Limits, l.Head, l.Line, l.StartLine, l.Fields, l.Body)
	c.MaxConnections = l.Connections
	c.NoHTTP2, c.NoHTTP1 = h.When == "off", h.When == "only"
	c.HTTP2.Requests, c.HTTP2.Resets, c.HTTP2.Control = h.Requests, h.Resets, h.Control
	c.HTTP2.Ping, c.HTTP2.Pong = orNone(t.Ping), min(t.Ping, http2.DefaultPong)
	c.HTTP2.BodyWindow, c.HTTP2.BodyMemory = int(h.Window), int(h.Memory)
	if c.HTTP2.Table = int(h.Table); h.Table == 0 {
		c.HTTP2.Table = -1 // none
	}
	c.Detail = map[string]exchange.Detail{"trusted": exchange.Trusted, "public": exchange.Public, "all": exchange.All}[g.Errors.Detail]
	c.Contact = g.Errors.Contact
}

func limit(l *http1.Limits, head, line, start conf.Size, fields int, body conf.Size) {
	l.Head, l.Field, l.StartLine, l.Fields, l.Body = int(head), int(line), int(start), fields, int64(body)
}

// options are those of one upstream.
func (u *Upstream) options(name string) (gateway.Upstream, error) {
	o := gateway.Upstream{Reverse: gateway.Defaults().Reverse, CertificateFile: u.TLS.Cert, KeyFile: u.TLS.Key, CAFile: u.TLS.CA}
	o.Name = name
	for _, e := range u.To {
		for _, t := range e.To.List {
			t.Preference = upstream.Preference{Weight: e.Weight, Backup: e.Backup, Zone: e.Zone}
			o.Targets = append(o.Targets, t)
		}
	}
	o.SlowStart = u.SlowStart
	o.Capacity = upstream.Capacity{Requests: u.MaxRequests, Connections: u.MaxConnections, Queue: u.Queue.Max, QueueTimeout: u.Queue.Timeout}
	o.Capacity.Adapt = upstream.Adapt{On: u.Adaptive.On, Min: u.Adaptive.Min, Max: u.Adaptive.Max}
	if u.Queue.Max == 0 {
		o.Capacity.Queue = -1 // none
	}
	t := &u.Timeout
	o.Timeouts = upstream.Timeouts{Resolve: t.Resolve, Connect: t.Connect, Secure: t.TLS}
	o.Trusting, o.ServerName, o.SNI = !u.TLS.Verify, u.TLS.ServerName, u.TLS.SNI
	o.HTTP2 = map[string]upstream.HTTP2{"auto": upstream.AutoHTTP2, "on": upstream.OnlyHTTP2, "off": upstream.NoHTTP2}[u.HTTP2]
	o.SendProxy = map[string]int{"off": 0, "v1": 1, "v2": 2}[u.SendProxy]
	o.MaxShared, o.IdleTimeout = u.Pool.Shared, u.Pool.Idle
	if u.Pool.Idle == 0 {
		o.MaxIdle = -1 // none is kept
	}
	if o.Budget.Share = u.Retry.Budget; u.Retry.Budget == 0 {
		o.Budget = upstream.Budget{Share: -1, Floor: -1}
	}
	e := &u.Eject
	o.Eject = upstream.Eject{After: e.After, Share: e.Share, Window: e.Window, Requests: e.Requests, For: e.For, Max: e.Max, Probes: e.Probes, Most: e.Most}
	if e.After == 0 {
		o.Eject.After = -1 // never
	}
	if e.Share == 0 {
		o.Eject.Share = -1 // no share counts
	}
	if e.Most == 0 {
		o.Eject.Most = math.SmallestNonzeroFloat64 // one all the same
	}
	o.NoLastResort, o.Panic = !u.LastResort, u.Panic
	r := &o.Reverse
	r.Hedge = u.Retry.Hedge
	r.Attempts, r.Grace, r.IdempotencyKey = u.Retry.Attempts, u.Retry.Grace, u.Retry.IdempotencyKey
	r.ReplayMemory, r.ReplayDisk = int64(u.Retry.ReplayMemory), int64(u.Retry.ReplayDisk)
	r.Send, r.FirstByte, r.Read, r.Tunnel = t.Send, t.FirstByte, t.Read, t.Idle
	l := &u.Limits
	limit(&r.Limits, l.Head, l.Line, l.StartLine, l.Fields, l.Body)
	if !u.Repair {
		r.Allow = 0
	}
	o.Affinity.Cookie, o.Affinity.MaxAge = string(u.Affinity.Cookie), u.Affinity.MaxAge
	if u.Affinity.Key != "" {
		key, err := os.ReadFile(u.Affinity.Key)
		if err != nil {
			return o, err
		}
		o.Affinity.Key = key
	}
	balance, err := upstream.ParseBalance(u.Balance.How)
	if err != nil {
		return o, err
	}
	o.Balance, o.Key = balance, upstream.Key(u.Balance.Key)
	h := &u.Health
	o.Check = check.Options{Expect: string(h.Expect), GRPC: h.GRPC, Service: h.Service, Path: string(h.Path), Connect: h.Connect, Host: h.Host, Every: h.Every, Timeout: h.Timeout,
		Rise: h.Rise, Fall: h.Fall, Least: h.Status.Least, Most: h.Status.Most}
	o.Link.Streams = u.Pool.Streams
	o.Link.Ping, o.Link.Pong = orNone(t.Ping), min(t.Ping, http2.DefaultPong)
	return o, nil
}
