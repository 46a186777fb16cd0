package cli

import (
	"cmp"
	"crypto/tls"
	"reflect"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gatewhy/gatewhy/internal/certs"
	"github.com/gatewhy/gatewhy/internal/check"
	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/config"
	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/http2"
	"github.com/gatewhy/gatewhy/internal/settings"
	"github.com/gatewhy/gatewhy/internal/upstream"
	"github.com/gatewhy/gatewhy/internal/wire/proxyproto"
)

// samples are values that are not the default, by what help calls them, and by
// setting where that is not enough.
var samples = map[string]string{
	"DURATION": "7s", "SIZE": "1MiB", "N": "3", "SHARE": "0.5", "on|off": "off", "": "true", "ADDRESS": "127.0.0.1:53", "WHO": "all",
	"node": "edge-1", "engine": "portable", "upstream-sni": "sni.example", "upstream-server-name": "app.example", "tls-min": "1.3",
	"http2": "only", "upstream-http2": "on", "http2-control": "500", "upstream-cert": "/x.pem", "upstream-key": "/x.key",
	"balance": "latency", "zone": "eu-1", "balance-key": "field:x-user", "trusted-proxies": "10.0.0.0/8,::1", "proxy-protocol": "10.2.0.0/16", "send-proxy": "v1", "health-service": "a.B", "health-expect": "ok", "tls-client-ca": "/ca.pem", "forwarded": "both", "request-id": "X-Request-Id", "trace-sample": "0.5", "health-path": "/healthz", "health-host": "app.example", "STATUS": "200-299",
	"max-proxy-header": "8KiB",
	"tls-cert":         "/a.pem,/b.pem", "tls-key": "/a.key,/b.key",
}

// zeros are further values of settings where 0 is special.
var zeros = []string{"timeout-h2-ping", "timeout-client-ping", "timeout-first-byte", "timeout-total", "tls-ticket-rotation", "http2-table", "retry-budget", "eject-after", "eject-share", "eject-most", "pool-idle",
	"grace", "replay-disk", "queue", "max-body", "max-connections"}

// Whether a setting is said by a flag or by a configuration, the gateway gets the
// same options.
func TestFlagsAndConfigurationsAgree(t *testing.T) {
	compare := func(set map[string]string) {
		t.Helper()
		flags := gateway.Defaults()
		if err := settings.Apply(&flags, set); err != nil {
			t.Errorf("%v: %v", set, err)
			return
		}
		l := config.FromFlags(config.Source{Files: oneFile(""), Set: func(name string) (string, conf.Origin, bool) {
			v, ok := set[name]
			return v, conf.Origin{Kind: conf.Flag, Name: "--" + name}, ok
		}}, []string{"127.0.0.1:8080"}, []string{"app:3000"}, upstreamName)
		for _, p := range l.Report.Problems {
			if p.Level == conf.Error && p.Name != "missing_file" && p.Name != "bad_certificate" && p.Name != "missing_key" && p.Name != "health_never" {
				t.Errorf("%v: %s", set, p.Message)
			}
		}
		made, err := l.Gateway.Options()
		if err != nil {
			t.Errorf("%v: %v", set, err)
			return
		}
		at, err := parseListens("127.0.0.1:8080")
		if err != nil {
			t.Fatal(err)
		}
		flags.Listen = at[0].Alternatives[0]
		flags.Upstream.Name = upstreamName
		if flags.Upstream.Targets, err = parseTargets([]string{"app:3000"}); err != nil {
			t.Fatal(err)
		}
		// The one upstream of the flags as one of a list, and the names of the host.
		one := gateway.Upstream{Options: flags.Upstream, CertificateFile: flags.UpstreamCertificate, KeyFile: flags.UpstreamKey, Reverse: flags.Reverse, Link: flags.Link, Check: flags.Check}
		flags.Upstreams, flags.Upstream, flags.UpstreamCertificate, flags.UpstreamKey = []gateway.Upstream{one}, made.Upstream, "", ""
		flags.Reverse, flags.Link, flags.Check = made.Reverse, made.Link, made.Check
		flags.Sites, flags.TLS.Names = made.Sites, made.TLS.Names
		fill(&flags)
		fill(&made)
		if diff := gocmp.Diff(flags, made, cmpopts.EquateComparable(), gocmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
			t.Errorf("%v (-flags +configuration):\n%s", set, diff)
		}
	}
	compare(nil)
	for _, s := range settings.All() {
		v, ok := samples[s.Name]
		if !ok {
			v, ok = samples[s.Value]
		}
		switch s.Name {
		case "upstream-ca": // a file is read: see the tests of both packages
			continue
		case "affinity-max-age":
			compare(map[string]string{s.Name: v, "affinity": "srv"})
			continue
		case "tls-key", "upstream-key":
			compare(map[string]string{s.Name: v, s.Name[:len(s.Name)-len("key")] + "cert": samples[s.Name[:len(s.Name)-len("key")]+"cert"]})
			continue
		}
		if !ok {
			t.Errorf("no sample for --%s %s", s.Name, s.Value)
			continue
		}
		compare(map[string]string{s.Name: v})
	}
	for _, name := range zeros {
		compare(map[string]string{name: "0"})
	}
	compare(map[string]string{"max-head": "8KiB", "max-response-head": "16KiB", "max-line": "4KiB"})
}

// fill puts the defaults in where 0 means them.
func fill(o *gateway.Options) {
	o.TLS.Min = cmp.Or(o.TLS.Min, tls.VersionTLS12)
	o.TLS.Rotation = cmp.Or(o.TLS.Rotation, certs.DefaultRotation)
	o.Client.Handshake = cmp.Or(o.Client.Handshake, exchange.DefaultHandshake)
	o.Client.ProxyHeader = cmp.Or(o.Client.ProxyHeader, exchange.DefaultProxyHeader)
	o.Client.MaxProxyHeader = cmp.Or(o.Client.MaxProxyHeader, proxyproto.DefaultMax)
	u := &o.Upstreams[0]
	for i := range u.Targets {
		u.Targets[i].Weight = cmp.Or(u.Targets[i].Weight, 1)
	}
	u.Timeouts.Resolve = cmp.Or(u.Timeouts.Resolve, upstream.DefaultResolve)
	u.Timeouts.Connect = cmp.Or(u.Timeouts.Connect, upstream.DefaultConnect)
	u.Timeouts.Secure = cmp.Or(u.Timeouts.Secure, upstream.DefaultSecure)
	if u.IdleTimeout == 0 && u.MaxIdle >= 0 {
		u.IdleTimeout = upstream.DefaultIdle
	}
	u.Capacity.Queue = cmp.Or(u.Capacity.Queue, upstream.DefaultQueue)
	u.Capacity.QueueTimeout = cmp.Or(u.Capacity.QueueTimeout, upstream.DefaultQueueTimeout)
	u.MaxShared = cmp.Or(u.MaxShared, upstream.DefaultMaxShared)
	u.Budget.Share = cmp.Or(u.Budget.Share, upstream.DefaultBudgetShare)
	a := &u.Capacity.Adapt
	a.Min, a.Max = cmp.Or(a.Min, upstream.DefaultAdaptMin), cmp.Or(a.Max, upstream.DefaultAdaptMax)
	e := &u.Eject
	e.After, e.Share = cmp.Or(e.After, upstream.DefaultEjectAfter), cmp.Or(e.Share, upstream.DefaultEjectShare)
	e.Window, e.Requests = cmp.Or(e.Window, upstream.DefaultEjectWindow), cmp.Or(e.Requests, upstream.DefaultEjectRequests)
	e.For, e.Max = cmp.Or(e.For, upstream.DefaultEjectFor), cmp.Or(e.Max, upstream.DefaultEjectMax)
	e.Probes, e.Most = cmp.Or(e.Probes, upstream.DefaultEjectProbes), cmp.Or(e.Most, upstream.DefaultEjectMost)
	u.Check.Every, u.Check.Timeout = cmp.Or(u.Check.Every, check.DefaultEvery), cmp.Or(u.Check.Timeout, check.DefaultTimeout)
	u.Check.Rise, u.Check.Fall = cmp.Or(u.Check.Rise, check.DefaultRise), cmp.Or(u.Check.Fall, check.DefaultFall)
	u.Check.Least, u.Check.Most = cmp.Or(u.Check.Least, check.DefaultLeast), cmp.Or(u.Check.Most, check.DefaultMost)
	u.Link.Streams = cmp.Or(u.Link.Streams, http2.DefaultStreams)
	if u.Link.Ping == 0 {
		u.Link.Ping, u.Link.Pong = http2.DefaultPing, http2.DefaultPong
	}
}
