package settings

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/internal/certs"
	"github.com/gatewhy/gatewhy/internal/check"
	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/http2"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/upstream"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
	"github.com/gatewhy/gatewhy/internal/wire/proxyproto"
)

// Each setting has its line here: a value that is not the default, where it goes,
// and what must be there.
var cases = []struct {
	name, value string
	get         func(*gateway.Options) any
	want        any
}{
	{"loops", "3", func(o *gateway.Options) any { return o.Loops }, 3},
	{"engine", "auto", func(o *gateway.Options) any { return o.Engine == nil && o.Epoll == loop.HasEpoll }, true},
	{"engine", "portable", func(o *gateway.Options) any { return o.Engine == nil && !o.Epoll }, true},
	{"node", "edge-1", func(o *gateway.Options) any { return [2]string{o.Client.Node, o.Client.Via} }, [2]string{"edge-1", "edge-1"}},
	{"errors-detail", "all", func(o *gateway.Options) any { return o.Client.Detail }, exchange.All},
	{"errors-detail", "public", func(o *gateway.Options) any { return o.Client.Detail }, exchange.Public},
	{"tls-cert", "a.pem,b.pem", func(o *gateway.Options) any { return o.TLS.Certificates }, []string{"a.pem", "b.pem"}},
	{"tls-key", "a.key", func(o *gateway.Options) any { return o.TLS.Keys }, []string{"a.key"}},
	{"tls-self-signed", "true", func(o *gateway.Options) any { return o.TLS.SelfSigned }, true},
	{"tls-min", "1.3", func(o *gateway.Options) any { return o.TLS.Min }, uint16(tls.VersionTLS13)},
	{"tls-post-quantum", "off", func(o *gateway.Options) any { return o.TLS.NoPostQuantum }, true},
	{"tls-ticket-rotation", "1h", func(o *gateway.Options) any { return o.TLS.Rotation }, time.Hour},
	{"tls-ticket-rotation", "0", func(o *gateway.Options) any { return o.TLS.Rotation }, time.Duration(-1)},
	{"timeout-client-tls", "1s", func(o *gateway.Options) any { return o.Client.Handshake }, time.Second},
	{"upstream-verify", "off", func(o *gateway.Options) any { return o.Upstream.Trusting }, true},
	{"upstream-cert", "c.pem", func(o *gateway.Options) any { return o.UpstreamCertificate }, "c.pem"},
	{"upstream-key", "c.key", func(o *gateway.Options) any { return o.UpstreamKey }, "c.key"},
	{"upstream-sni", "front.test", func(o *gateway.Options) any { return o.Upstream.SNI }, "front.test"},
	{"timeout-resolve", "1s", func(o *gateway.Options) any { return o.Upstream.Timeouts.Resolve }, time.Second},
	{"timeout-connect", "1s", func(o *gateway.Options) any { return o.Upstream.Timeouts.Connect }, time.Second},
	{"timeout-tls", "1s", func(o *gateway.Options) any { return o.Upstream.Timeouts.Secure }, time.Second},
	{"timeout-send", "1s", func(o *gateway.Options) any { return o.Reverse.Send }, time.Second},
	{"timeout-first-byte", "1500ms", func(o *gateway.Options) any { return o.Reverse.FirstByte }, 1500 * time.Millisecond},
	{"timeout-first-byte", "0", func(o *gateway.Options) any { return o.Reverse.FirstByte }, time.Duration(0)},
	{"timeout-read", "1s", func(o *gateway.Options) any { return o.Reverse.Read }, time.Second},
	{"timeout-total", "1ns", func(o *gateway.Options) any { return o.Client.Total }, time.Nanosecond},
	{"timeout-idle", "2h", func(o *gateway.Options) any { return o.Reverse.Tunnel }, 2 * time.Hour},
	{"timeout-client-head", "1s", func(o *gateway.Options) any { return o.Client.Times.Head }, time.Second},
	{"timeout-client-body", "1s", func(o *gateway.Options) any { return o.Client.Times.Body }, time.Second},
	{"timeout-keep-alive", "1s", func(o *gateway.Options) any { return o.Client.Times.KeepAlive }, time.Second},
	{"timeout-reply", "1s", func(o *gateway.Options) any { return o.Client.Times.Reply }, time.Second},
	{"max-head", "8KiB", func(o *gateway.Options) any { return [2]int{o.Client.Limits.Head, o.Reverse.Limits.Head} }, [2]int{8192, 8192}},
	{"max-line", "8192", func(o *gateway.Options) any {
		return [4]int{o.Client.Limits.Field, o.Client.Limits.StartLine, o.Reverse.Limits.Field, o.Reverse.Limits.StartLine}
	}, [4]int{8192, 8192, 8192, 8192}},
	{"max-fields", "100", func(o *gateway.Options) any { return [2]int{o.Client.Limits.Fields, o.Reverse.Limits.Fields} }, [2]int{100, 100}},
	{"max-response-head", "1MiB", func(o *gateway.Options) any { return [2]int{o.Client.Limits.Head, o.Reverse.Limits.Head} },
		[2]int{h1.DefaultRequest.Head, 1 << 20}},
	{"max-body", "10MB", func(o *gateway.Options) any { return o.Client.Limits.Body }, int64(10e6)},
	{"max-response-body", "10", func(o *gateway.Options) any { return o.Reverse.Limits.Body }, int64(10)},
	{"max-connections", "7", func(o *gateway.Options) any { return o.Client.MaxConnections }, 7},
	{"http2", "off", func(o *gateway.Options) any { return o.Client.NoHTTP2 }, true},
	{"http2", "only", func(o *gateway.Options) any { return o.Client.NoHTTP1 }, true},
	{"http2-requests", "7", func(o *gateway.Options) any { return o.Client.HTTP2.Requests }, 7},
	{"http2-window", "100KiB", func(o *gateway.Options) any { return o.Client.HTTP2.BodyWindow }, 100 << 10},
	{"http2-memory", "2MiB", func(o *gateway.Options) any { return o.Client.HTTP2.BodyMemory }, 2 << 20},
	{"http2-table", "0", func(o *gateway.Options) any { return o.Client.HTTP2.Table }, -1},
	{"http2-table", "64KiB", func(o *gateway.Options) any { return o.Client.HTTP2.Table }, 64 << 10},
	{"http2-resets", "9", func(o *gateway.Options) any { return o.Client.HTTP2.Resets }, 9},
	{"http2-control", "900", func(o *gateway.Options) any { return o.Client.HTTP2.Control }, 900},
	{"retry-attempts", "1", func(o *gateway.Options) any { return o.Reverse.Attempts }, 1},
	{"retry-budget", "0.5", func(o *gateway.Options) any { return o.Upstream.Budget }, upstream.Budget{Share: 0.5}},
	{"retry-budget", "0", func(o *gateway.Options) any { return o.Upstream.Budget }, upstream.Budget{Share: -1, Floor: -1}},
	{"replay-memory", "0", func(o *gateway.Options) any { return o.Reverse.ReplayMemory }, int64(0)},
	{"replay-disk", "1GiB", func(o *gateway.Options) any { return o.Reverse.ReplayDisk }, int64(1 << 30)},
	{"idempotency-key", "true", func(o *gateway.Options) any { return o.Reverse.IdempotencyKey }, true},
	{"grace", "0", func(o *gateway.Options) any { return o.Reverse.Grace }, time.Duration(0)},
	{"no-repair", "true", func(o *gateway.Options) any { return o.Reverse.Allow }, h1.Allow(0)},
	{"no-repair", "false", func(o *gateway.Options) any { return o.Reverse.Allow }, h1.AllowResponse},
	{"eject-after", "9", func(o *gateway.Options) any { return o.Upstream.Eject }, upstream.Eject{After: 9}},
	{"eject-after", "0", func(o *gateway.Options) any { return o.Upstream.Eject }, upstream.Eject{After: -1}},
	{"eject-share", "0.25", func(o *gateway.Options) any { return o.Upstream.Eject.Share }, 0.25},
	{"eject-share", "0", func(o *gateway.Options) any { return o.Upstream.Eject.Share }, -1.0},
	{"eject-window", "1m", func(o *gateway.Options) any { return o.Upstream.Eject.Window }, time.Minute},
	{"eject-requests", "100", func(o *gateway.Options) any { return o.Upstream.Eject.Requests }, 100},
	{"eject-for", "2s", func(o *gateway.Options) any { return o.Upstream.Eject.For }, 2 * time.Second},
	{"eject-max", "10m", func(o *gateway.Options) any { return o.Upstream.Eject.Max }, 10 * time.Minute},
	{"eject-probes", "3", func(o *gateway.Options) any { return o.Upstream.Eject.Probes }, 3},
	{"eject-most", "0.3", func(o *gateway.Options) any { return o.Upstream.Eject.Most }, 0.3},
	{"eject-most", "0", func(o *gateway.Options) any { return o.Upstream.Eject.Most }, math.SmallestNonzeroFloat64},
	{"no-last-resort", "true", func(o *gateway.Options) any { return o.Upstream.NoLastResort }, true},
	{"panic-threshold", "0.5", func(o *gateway.Options) any { return o.Upstream.Panic }, 0.5},
	{"timeout-proxy-header", "2s", func(o *gateway.Options) any { return o.Client.ProxyHeader }, 2 * time.Second},
	{"max-proxy-header", "1KiB", func(o *gateway.Options) any { return o.Client.MaxProxyHeader }, 1024},
	{"proxy-protocol", "10.0.0.0/8, ::1", func(o *gateway.Options) any { return fmt.Sprint(o.Client.ProxyProtocol) }, "[10.0.0.0/8 ::1/128]"},
	{"tls-client-ca", "/ca.pem", func(o *gateway.Options) any { return o.TLS.ClientCAs }, "/ca.pem"},
	{"tls-client-optional", "true", func(o *gateway.Options) any { return o.TLS.ClientsMay }, true},
	{"tls-client-forward", "true", func(o *gateway.Options) any { return o.Client.ClientCert }, true},
	{"health-grpc", "true", func(o *gateway.Options) any { return o.Check.GRPC }, true},
	{"health-service", "shop.Orders", func(o *gateway.Options) any { return o.Check.Service }, "shop.Orders"},
	{"health-expect", "/ok|fine/", func(o *gateway.Options) any { return o.Check.Expect }, "/ok|fine/"},
	{"hedge", "200ms", func(o *gateway.Options) any { return o.Reverse.Hedge }, 200 * time.Millisecond},
	{"forwarded", "rfc7239", func(o *gateway.Options) any { return o.Client.Forwarded }, exchange.ForwardedRFC7239},
	{"forwarded", "both", func(o *gateway.Options) any { return o.Client.Forwarded }, exchange.ForwardedBoth},
	{"request-id", "X-Request-Id", func(o *gateway.Options) any { return o.Client.RequestID }, "X-Request-Id"},
	{"request-id-reply", "true", func(o *gateway.Options) any { return o.Client.ReplyRequestID }, true},
	{"trace", "true", func(o *gateway.Options) any { return o.Client.Trace }, true},
	{"trace-sample", "0.25", func(o *gateway.Options) any { return o.Client.TraceSample }, 0.25},
	{"send-proxy", "v1", func(o *gateway.Options) any { return o.Upstream.SendProxy }, 1},
	{"send-proxy", "v2", func(o *gateway.Options) any { return o.Upstream.SendProxy }, 2},
	{"trusted-proxies", "10.0.0.0/8, ::1", func(o *gateway.Options) any { return fmt.Sprint(o.Client.TrustedProxies) }, "[10.0.0.0/8 ::1/128]"},
	{"balance", "hash", func(o *gateway.Options) any { return o.Upstream.Balance }, upstream.Hash},
	{"balance-key", "cookie:sid", func(o *gateway.Options) any { return o.Upstream.Key.String() }, "cookie:sid"},
	{"zone", "eu-1", func(o *gateway.Options) any { return o.Upstream.Zone }, "eu-1"},
	{"slow-start", "30s", func(o *gateway.Options) any { return o.Upstream.SlowStart }, 30 * time.Second},
	{"endpoint-max-requests", "10", func(o *gateway.Options) any { return o.Upstream.Capacity }, upstream.Capacity{Requests: 10}},
	{"endpoint-max-connections", "11", func(o *gateway.Options) any { return o.Upstream.Capacity }, upstream.Capacity{Connections: 11}},
	{"adaptive", "true", func(o *gateway.Options) any { return o.Upstream.Capacity }, upstream.Capacity{Adapt: upstream.Adapt{On: true}}},
	{"adaptive-min", "2", func(o *gateway.Options) any { return o.Upstream.Capacity.Adapt.Min }, 2},
	{"adaptive-max", "64", func(o *gateway.Options) any { return o.Upstream.Capacity.Adapt.Max }, 64},
	{"queue", "12", func(o *gateway.Options) any { return o.Upstream.Capacity }, upstream.Capacity{Queue: 12}},
	{"queue", "0", func(o *gateway.Options) any { return o.Upstream.Capacity }, upstream.Capacity{Queue: -1}},
	{"queue-timeout", "13s", func(o *gateway.Options) any { return o.Upstream.Capacity }, upstream.Capacity{QueueTimeout: 13 * time.Second}},
	{"affinity", "srv", func(o *gateway.Options) any { return o.Upstream.Affinity.Cookie }, "srv"},
	{"affinity-max-age", "1h", func(o *gateway.Options) any { return o.Upstream.Affinity.MaxAge }, time.Hour},
	{"health-path", "/healthz", func(o *gateway.Options) any { return o.Check.Path }, "/healthz"},
	{"health-connect", "true", func(o *gateway.Options) any { return o.Check.Connect }, true},
	{"health-host", "app.example", func(o *gateway.Options) any { return o.Check.Host }, "app.example"},
	{"health-every", "3s", func(o *gateway.Options) any { return o.Check.Every }, 3 * time.Second},
	{"health-timeout", "4s", func(o *gateway.Options) any { return o.Check.Timeout }, 4 * time.Second},
	{"health-rise", "5", func(o *gateway.Options) any { return o.Check.Rise }, 5},
	{"health-fall", "6", func(o *gateway.Options) any { return o.Check.Fall }, 6},
	{"health-status", "204", func(o *gateway.Options) any { return [2]int{o.Check.Least, o.Check.Most} }, [2]int{204, 204}},
	{"resolver", "127.0.0.1:53", func(o *gateway.Options) any { return o.Upstream.Resolver }, "127.0.0.1:53"},
	{"upstream-server-name", "app.example", func(o *gateway.Options) any { return o.Upstream.ServerName }, "app.example"},
	{"upstream-http2", "on", func(o *gateway.Options) any { return o.Upstream.HTTP2 }, upstream.OnlyHTTP2},
	{"upstream-http2", "off", func(o *gateway.Options) any { return o.Upstream.HTTP2 }, upstream.NoHTTP2},
	{"pool-shared", "3", func(o *gateway.Options) any { return o.Upstream.MaxShared }, 3},
	{"pool-streams", "9", func(o *gateway.Options) any { return o.Link.Streams }, 9},
	{"timeout-h2-ping", "3s", func(o *gateway.Options) any { return [2]time.Duration{o.Link.Ping, o.Link.Pong} }, [2]time.Duration{3 * time.Second, 3 * time.Second}},
	{"timeout-client-ping", "3s", func(o *gateway.Options) any { return [2]time.Duration{o.Client.HTTP2.Ping, o.Client.HTTP2.Pong} }, [2]time.Duration{3 * time.Second, 3 * time.Second}},
	{"timeout-client-ping", "0", func(o *gateway.Options) any { return [2]time.Duration{o.Client.HTTP2.Ping, o.Client.HTTP2.Pong} }, [2]time.Duration{-1, 0}},
	{"timeout-h2-ping", "0", func(o *gateway.Options) any { return [2]time.Duration{o.Link.Ping, o.Link.Pong} }, [2]time.Duration{-1, 0}},
	{"pool-idle", "3s", func(o *gateway.Options) any { return o.Upstream.IdleTimeout }, 3 * time.Second},
	{"pool-idle", "0", func(o *gateway.Options) any { return o.Upstream.MaxIdle }, -1},
}

func TestEachSettingGoesToItsPlace(t *testing.T) {
	covered := map[string]bool{"upstream-ca": true} // has a test of its own
	for _, c := range cases {
		covered[c.name] = true
		o := gateway.Defaults()
		if err := Apply(&o, map[string]string{c.name: c.value}); err != nil {
			t.Errorf("%s=%s: %v", c.name, c.value, err)
			continue
		}
		if diff := cmp.Diff(c.want, c.get(&o)); diff != "" {
			t.Errorf("%s=%s (-want +got):\n%s", c.name, c.value, diff)
		}
	}
	for _, s := range All() {
		if !covered[s.Name] {
			t.Errorf("%s has no case", s.Name)
		}
	}
}

// The epoll engine is for some systems only.
func TestEpollWhereThereIsOne(t *testing.T) {
	o := gateway.Defaults()
	err := Apply(&o, map[string]string{"engine": "epoll"})
	if loop.HasEpoll && (err != nil || !o.Epoll) {
		t.Errorf("refused here: %v", err)
	}
	if !loop.HasEpoll && (err == nil || !strings.Contains(err.Error(), "use portable")) {
		t.Errorf("%v, want a word on the other engine", err)
	}
}

// What help calls the default is what holds without the flag.
func TestDefaultsAreTrue(t *testing.T) {
	elsewhere := map[string]any{ // where the zero value means the default
		"timeout-resolve": upstream.DefaultResolve, "timeout-connect": upstream.DefaultConnect,
		"timeout-tls": upstream.DefaultSecure, "pool-idle": upstream.DefaultIdle,
		"tls-min": uint16(tls.VersionTLS12), "tls-ticket-rotation": certs.DefaultRotation, "timeout-client-tls": exchange.DefaultHandshake,
		"timeout-proxy-header": exchange.DefaultProxyHeader, "max-proxy-header": proxyproto.DefaultMax,
		"retry-budget": upstream.Budget{Share: upstream.DefaultBudgetShare},
		"health-path":  "", "health-connect": false, "health-host": "", "health-every": check.DefaultEvery, "health-timeout": check.DefaultTimeout,
		"health-rise": check.DefaultRise, "health-fall": check.DefaultFall, "health-status": [2]int{check.DefaultLeast, check.DefaultMost},
		"eject-after": upstream.Eject{After: upstream.DefaultEjectAfter}, "eject-share": upstream.DefaultEjectShare, "eject-window": upstream.DefaultEjectWindow,
		"eject-requests": upstream.DefaultEjectRequests, "eject-for": upstream.DefaultEjectFor, "eject-max": upstream.DefaultEjectMax,
		"adaptive-min": upstream.DefaultAdaptMin, "adaptive-max": upstream.DefaultAdaptMax,
		"eject-probes": upstream.DefaultEjectProbes, "eject-most": float64(upstream.DefaultEjectMost),
		"queue": upstream.Capacity{Queue: upstream.DefaultQueue}, "queue-timeout": upstream.Capacity{QueueTimeout: upstream.DefaultQueueTimeout},
		"pool-shared": upstream.DefaultMaxShared, "pool-streams": http2.DefaultStreams,
		"timeout-h2-ping": [2]time.Duration{http2.DefaultPing, http2.DefaultPong},
		// The pair is that of a request and an answer; help names both figures.
		"max-head":   [2]int{h1.DefaultRequest.Head, h1.DefaultRequest.Head},
		"max-fields": [2]int{h1.DefaultRequest.Fields, h1.DefaultRequest.Fields},
		"max-line": [4]int{h1.DefaultRequest.Field, h1.DefaultRequest.Field,
			h1.DefaultRequest.Field, h1.DefaultRequest.Field},
	}
	seen := map[string]bool{}
	for _, c := range cases {
		s := Find(c.name)
		if s.Default == "" || seen[c.name] {
			continue
		}
		seen[c.name] = true
		base, o := gateway.Defaults(), gateway.Defaults()
		if err := s.Set(&o, s.Default); err != nil {
			t.Errorf("the default of %s, %q: %v", s.Name, s.Default, err)
			continue
		}
		want := c.get(&base)
		if e, ok := elsewhere[s.Name]; ok {
			if !reflect.ValueOf(want).IsZero() && !strings.HasPrefix(s.Name, "max-") {
				t.Errorf("%s is listed as left to its package, but Defaults sets %v", s.Name, want)
			}
			want = e
		}
		if diff := cmp.Diff(want, c.get(&o)); diff != "" {
			t.Errorf("%s: the default %q is not what holds (-holds +says):\n%s", s.Name, s.Default, diff)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"loops", "0", "whole number"},
		{"loops", "two", "whole number"},
		{"engine", "uring", "auto, epoll or portable"},
		{"node", "", "at least one"},
		{"node", "two words", "RFC 9110"},
		{"errors-detail", "some", "trusted, public or all"},
		{"tls-cert", "a.pem,", "at least one character"},
		{"tls-min", "1.1", "RFC 8996"},
		{"tls-post-quantum", "yes", "on or off"},
		{"tls-ticket-rotation", "day", "a number with a unit"},
		{"timeout-client-tls", "0", "always has a limit"},
		{"timeout-read", "5", "5s or 5ms"},
		{"timeout-read", "soon", "a number with a unit"},
		{"timeout-read", "-1s", "negative"},
		{"timeout-connect", "0", "always has a limit"},
		{"max-head", "0", "between 1 and 1GiB"},
		{"max-head", "2GiB", "between 1 and 1GiB"},
		{"max-body", "ten", "a size is"},
		{"max-body", "1.5MiB", "a size is"},
		{"max-body", "-1", "negative"},
		{"max-body", "9999999999TiB", "more than a size can be"},
		{"max-body", "99999999999999999999", "more than a size can be"},
		{"retry-attempts", "0", "from 1 to 8"},
		{"retry-attempts", "9", "from 1 to 8"},
		{"retry-budget", "20%", "share from 0 to 1"},
		{"retry-budget", "NaN", "share from 0 to 1"},
		{"retry-budget", "1.1", "share from 0 to 1"},
		{"no-repair", "maybe", "true or false"},
		{"affinity", "a b", "is the name of no cookie"},
		{"eject-after", "-1", "whole number"},
		{"pool-idle", "x", "a number with a unit"},
		{"upstream-ca", "/nonexistent/ca.pem", "no such file"},
		{"no-such-setting", "1", "there is no setting"},
	} {
		o := gateway.Defaults()
		err := Apply(&o, map[string]string{c.name: c.value})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s=%s: %v, want a word on %q", c.name, c.value, err, c.want)
		}
	}
}

func TestApplyTellsAllMistakes(t *testing.T) {
	o := gateway.Defaults()
	err := Apply(&o, map[string]string{"loops": "x", "grace": "y", "zzz": "1", "aaa": "2"})
	want := []string{`--loops "x": `, `--grace "y": `, `no setting "aaa"`, `no setting "zzz"`}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%v", len(lines), len(want), err)
	}
	for i, w := range want {
		if !strings.Contains(lines[i], w) {
			t.Errorf("line %d is %q, want %q in it", i, lines[i], w)
		}
	}
}

// A narrow setting wins over a wide one in whatever order they are given.
func TestNarrowWins(t *testing.T) {
	o := gateway.Defaults()
	if err := Apply(&o, map[string]string{"max-response-head": "1MiB", "max-head": "8KiB"}); err != nil {
		t.Fatal(err)
	}
	if o.Client.Limits.Head != 8<<10 || o.Reverse.Limits.Head != 1<<20 {
		t.Errorf("request %d, answer %d", o.Client.Limits.Head, o.Reverse.Limits.Head)
	}
}

func TestAuthorities(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	good := write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	o := gateway.Defaults()
	if err := Apply(&o, map[string]string{"upstream-ca": good}); err != nil {
		t.Fatal(err)
	}
	if o.UpstreamCA != good {
		t.Errorf("the authorities are read from %q", o.UpstreamCA)
	}
	if err := Apply(&o, map[string]string{"upstream-ca": write("empty.pem", []byte("none"))}); err == nil || !strings.Contains(err.Error(), "PEM") {
		t.Errorf("a file without a certificate: %v", err)
	}
}
