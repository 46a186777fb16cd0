package settings

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatewhy/gatewhy/internal/check"
	"github.com/gatewhy/gatewhy/internal/conf"

	"github.com/gatewhy/gatewhy/internal/certs"
	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/http2"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/reverse"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/upstream"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
	"github.com/gatewhy/gatewhy/internal/wire/proxyproto"
)

// The groups of help.
const (
	general   = "General"
	security  = "TLS"
	timeouts  = "Timeouts"
	limits    = "Limits"
	rescue    = "Rescue"
	upstreams = "Upstream"
)

var table = []*Setting{
	{"loops", general, "N", "", "event loops; one a core unless set", number(1, 1024, func(o *gateway.Options, n int) { o.Loops = n })},
	{"engine", general, "NAME", "auto", "what runs the loops: epoll is a thread each that asks the kernel itself (64-bit Linux), portable is goroutines and the Go runtime's poller; auto is the first that the system has", engine},
	{"node", general, "NAME", "", "this gateway's name in Proxy-Status and Via, its own among its neighbours; the host name unless set", node},
	{"errors-detail", general, "WHO", "trusted", "who sees bytes, addresses and fixes in error answers: trusted (clients on this machine), public (nobody), all", detail},
	{"http2", general, "WHEN", "on", "HTTP/2 to clients: on (where TLS agrees on it, and without TLS with those that begin with it), off, only (no HTTP/1)", whenClientHTTP2},

	{"tls-cert", security, "FILE...", "", "certificate of https:// listeners with its intermediates (PEM); several are chosen by name (SNI), the first is for all other names",
		files(func(o *gateway.Options) *[]string { return &o.TLS.Certificates })},
	{"tls-key", security, "FILE...", "", "the key of each --tls-cert, in the same order; left out if they hold their keys",
		files(func(o *gateway.Options) *[]string { return &o.TLS.Keys })},
	{"tls-self-signed", security, "", "", "make a certificate for localhost and this host at the start: for trying out",
		boolean(func(o *gateway.Options, yes bool) { o.TLS.SelfSigned = yes })},
	{"tls-client-ca", security, "FILE", "", "PEM file of the authorities that certificates of clients must lead to; clients are asked for none unless set",
		text(func(o *gateway.Options, s string) { o.TLS.ClientCAs = s })},
	{"tls-client-optional", security, "", "", "a client may come without a certificate, but not with a wrong one",
		boolean(func(o *gateway.Options, yes bool) { o.TLS.ClientsMay = yes })},
	{"tls-client-forward", security, "", "", "tell upstreams of a client's certificate in the field Client-Cert (RFC 9440), which clients cannot send themselves then",
		boolean(func(o *gateway.Options, yes bool) { o.Client.ClientCert = yes })},
	{"tls-min", security, "VERSION", "1.2", "least version of TLS, 1.2 or 1.3: a few clients older than 2019 lack 1.3", tlsMin},
	{"tls-post-quantum", security, "on|off", "on", "offer the key exchange X25519MLKEM768: some 50us of CPU more with each handshake of a client that knows it, and no computer of later reads what is recorded now",
		onOff(func(o *gateway.Options, on bool) { o.TLS.NoPostQuantum = !on })},
	{"tls-ticket-rotation", security, "DURATION", conf.FormatDuration(certs.DefaultRotation),
		"how long a key makes session tickets, which two later ones still let in; 0 = none, each handshake is a full one", rotation},

	{"trusted-proxies", security, "NETWORK,...", "", "proxies in front of the gateway: who the client is is what they say in X-Forwarded-For; as in 10.0.0.0/8,fd00::/8",
		networks(func(o *gateway.Options) *[]netip.Prefix { return &o.Client.TrustedProxies })},
	{"proxy-protocol", security, "NETWORK,...", "", "proxies that begin each connection with a PROXY header, version 1 or 2, which says who the client is: they must, and others may not",
		networks(func(o *gateway.Options) *[]netip.Prefix { return &o.Client.ProxyProtocol })},
	{"forwarded", general, "WHICH", "x", "the fields that tell upstreams of the client, and that trusted proxies are asked for: x (X-Forwarded-*), rfc7239 (Forwarded) or both", whichForwarded},
	{"request-id", general, "FIELD", "", "give each request an id and send it on in this field, as in X-Request-Id; that of a trusted proxy is kept", requestID},
	{"request-id-reply", general, "", "", "tell the client the id too", boolean(func(o *gateway.Options, yes bool) { o.Client.ReplyRequestID = yes })},
	{"trace", general, "", "", "take part in W3C traces: go on with those of trusted proxies, begin one for others",
		boolean(func(o *gateway.Options, yes bool) { o.Client.Trace = yes })},
	{"trace-sample", general, "SHARE", "1", "the share of the traces which begin here that are marked to be recorded, 0 to 1",
		portion(func(o *gateway.Options, share float64) { o.Client.TraceSample = share })},

	duration("timeout-resolve", upstream.DefaultResolve, "looking up a name: two DNS servers, asked twice",
		above0, func(o *gateway.Options) *time.Duration { return &o.Upstream.Timeouts.Resolve }),
	duration("timeout-connect", upstream.DefaultConnect, "connecting, over all addresses: outlives two lost SYNs",
		above0, func(o *gateway.Options) *time.Duration { return &o.Upstream.Timeouts.Connect }),
	duration("timeout-tls", upstream.DefaultSecure, "the TLS handshake: two round trips and a busy server",
		above0, func(o *gateway.Options) *time.Duration { return &o.Upstream.Timeouts.Secure }),
	duration("timeout-send", reverse.DefaultSend, "an upstream that takes no byte of the request",
		endless, func(o *gateway.Options) *time.Duration { return &o.Reverse.Send }),
	duration("timeout-first-byte", reverse.DefaultFirstByte, "thinking: from the request's end to the answer's first byte",
		endless, func(o *gateway.Options) *time.Duration { return &o.Reverse.FirstByte }),
	duration("timeout-read", reverse.DefaultRead, "silence between two reads of the answer",
		endless, func(o *gateway.Options) *time.Duration { return &o.Reverse.Read }),
	duration("timeout-total", 0, "the whole exchange with all attempts; none, since downloads may last",
		endless, func(o *gateway.Options) *time.Duration { return &o.Client.Total }),
	duration("timeout-idle", reverse.DefaultTunnel, "silence on an upgraded connection: WebSockets ping each minute",
		endless, func(o *gateway.Options) *time.Duration { return &o.Reverse.Tunnel }),
	{"timeout-h2-ping", timeouts, "DURATION", conf.FormatDuration(http2.DefaultPing),
		"silence of an HTTP/2 upstream that owes answers, before it is asked whether it lives; it gets as long to reply, but at most " +
			conf.FormatDuration(http2.DefaultPong) + "; 0 = never asked",
		ping(func(o *gateway.Options) (*time.Duration, *time.Duration) { return &o.Link.Ping, &o.Link.Pong })},
	duration("timeout-client-tls", exchange.DefaultHandshake, "a client's TLS handshake: two lost packets on a slow mobile",
		above0, func(o *gateway.Options) *time.Duration { return &o.Client.Handshake }),
	duration("timeout-proxy-header", exchange.DefaultProxyHeader, "the PROXY header of a proxy in --proxy-protocol, which sends it at once: two lost packets",
		above0, func(o *gateway.Options) *time.Duration { return &o.Client.ProxyHeader }),
	duration("timeout-client-head", exchange.DefaultClientHead, "the client's request head, to its end: slow mobiles, not slow attackers",
		endless, func(o *gateway.Options) *time.Duration { return &o.Client.Times.Head }),
	duration("timeout-client-body", exchange.DefaultClientBody, "silence between two reads of an upload",
		endless, func(o *gateway.Options) *time.Duration { return &o.Client.Times.Body }),
	duration("timeout-keep-alive", exchange.DefaultKeepAlive, "a client connection without a request: a little over a load balancer's 60s",
		endless, func(o *gateway.Options) *time.Duration { return &o.Client.Times.KeepAlive }),
	duration("timeout-reply", exchange.DefaultReply, "a client that takes no byte of the answer",
		endless, func(o *gateway.Options) *time.Duration { return &o.Client.Times.Reply }),

	{"timeout-client-ping", timeouts, "DURATION", conf.FormatDuration(http2.DefaultClientPing),
		"silence of an HTTP/2 client that waits for answers, before it is asked whether it is there; it gets as long to reply, but at most " +
			conf.FormatDuration(http2.DefaultPong) + "; 0 = never asked",
		ping(func(o *gateway.Options) (*time.Duration, *time.Duration) {
			return &o.Client.HTTP2.Ping, &o.Client.HTTP2.Pong
		})},

	{"max-head", limits, "SIZE", conf.FormatSize(int64(h1.DefaultRequest.Head)),
		"a message's head; " + conf.FormatSize(int64(h1.DefaultResponse.Head)) + " for answers unless set: an application is no stranger",
		both(1<<30, func(l *h1.Limits, n int) { l.Head = n })},
	{"max-line", limits, "SIZE", conf.FormatSize(int64(h1.DefaultRequest.Field)),
		"one line of a head; " + conf.FormatSize(int64(h1.DefaultResponse.Field)) + " for fields of answers and " +
			conf.FormatSize(int64(h1.DefaultRequest.StartLine)) + " for start lines unless set",
		both(1<<30, func(l *h1.Limits, n int) { l.StartLine, l.Field = n, n })},
	{"max-fields", limits, "N", strconv.Itoa(h1.DefaultRequest.Fields),
		"field lines of a head; " + strconv.Itoa(h1.DefaultResponse.Fields) + " for answers unless set: browsers send 30",
		both(1<<20, func(l *h1.Limits, n int) { l.Fields = n })},
	{"max-response-head", limits, "SIZE", conf.FormatSize(int64(h1.DefaultResponse.Head)),
		"as --max-head, for answers only", size(1, 1<<30, func(o *gateway.Options, n int64) { o.Reverse.Limits.Head = int(n) })},
	{"max-body", limits, "SIZE", "0", "a request's body; 0 = no limit: bodies are streamed",
		size(0, 1<<62, func(o *gateway.Options, n int64) { o.Client.Limits.Body = n })},
	{"max-response-body", limits, "SIZE", "0", "an answer's body; 0 = no limit",
		size(0, 1<<62, func(o *gateway.Options, n int64) { o.Reverse.Limits.Body = n })},
	{"max-proxy-header", limits, "SIZE", conf.FormatSize(proxyproto.DefaultMax),
		"the PROXY header of a proxy in --proxy-protocol: one that tells of a client's certificate is long",
		size(232, 16<<10, func(o *gateway.Options, n int64) { o.Client.MaxProxyHeader = int(n) })},
	{"max-connections", limits, "N", strconv.Itoa(exchange.DefaultMaxConnections),
		"client connections at once, about 10 KiB each while busy; 0 = no limit",
		number(0, 1<<30, func(o *gateway.Options, n int) { o.Client.MaxConnections = n })},
	{"http2-requests", limits, "N", strconv.Itoa(http2.DefaultRequests),
		"requests at a time on an HTTP/2 connection: browsers use 100",
		number(1, 1<<16, func(o *gateway.Options, n int) { o.Client.HTTP2.Requests = n })},
	{"http2-window", limits, "SIZE", conf.FormatSize(http2.DefaultBodyWindow),
		"what one HTTP/2 upload may send ahead; one that a longer way holds up gets more, up to --http2-memory",
		size(1<<10, 1<<30, func(o *gateway.Options, n int64) { o.Client.HTTP2.BodyWindow = int(n) })},
	{"http2-memory", limits, "SIZE", conf.FormatSize(http2.DefaultBodyMemory),
		"what all uploads of an HTTP/2 connection may send ahead: memory that a client can make us hold",
		size(1<<16, 1<<30, func(o *gateway.Options, n int64) { o.Client.HTTP2.BodyMemory = int(n) })},
	{"http2-table", limits, "SIZE", conf.FormatSize(h2.DefaultTable),
		"table of an HTTP/2 client's fields (HPACK); 0 = none: fields are then sent in full each time",
		size(0, 1<<20, func(o *gateway.Options, n int64) {
			if o.Client.HTTP2.Table = int(n); n == 0 {
				o.Client.HTTP2.Table = -1
			}
		})},
	{"http2-resets", limits, "N", strconv.Itoa(http2.DefaultResets),
		"requests of an HTTP/2 connection that may end in a reset at once, a thirtieth of it more each second; whoever resets more loses the connection",
		number(1, 1<<30, func(o *gateway.Options, n int) { o.Client.HTTP2.Resets = n })},
	{"http2-control", limits, "N", strconv.Itoa(http2.DefaultControl),
		"HTTP/2 frames that bring no request nearer (PING, SETTINGS, empty ones), likewise",
		number(100, 1<<30, func(o *gateway.Options, n int) { o.Client.HTTP2.Control = n })},

	{"retry-attempts", rescue, "N", strconv.Itoa(reverse.DefaultAttempts),
		"attempts that may have reached an upstream, the first one counted; 1 = never try again",
		number(1, trail.MaxAttempts, func(o *gateway.Options, n int) { o.Reverse.Attempts = n })},
	{"retry-budget", rescue, "SHARE", strconv.FormatFloat(upstream.DefaultBudgetShare, 'g', -1, 64),
		"further attempts as a share of requests, so that retries never make an outage; 0 = none", portion(budget)},
	{"replay-memory", rescue, "SIZE", conf.FormatSize(reverse.DefaultReplayMemory),
		"request body kept in memory for another attempt: forms and API calls fit",
		size(0, 1<<40, func(o *gateway.Options, n int64) { o.Reverse.ReplayMemory = n })},
	{"replay-disk", rescue, "SIZE", conf.FormatSize(reverse.DefaultReplayDisk),
		"request body kept in a temporary file beyond that; 0 = none",
		size(0, 1<<50, func(o *gateway.Options, n int64) { o.Reverse.ReplayDisk = n })},
	{"idempotency-key", rescue, "", "", "a request with Idempotency-Key may be sent again: only for applications that honour it",
		boolean(func(o *gateway.Options, yes bool) { o.Reverse.IdempotencyKey = yes })},
	{"hedge", rescue, "DURATION", "0s", "how long an idempotent request without a body waits for its answer before another endpoint is asked as well; 0 = never ask two",
		limit(endless, func(o *gateway.Options) *time.Duration { return &o.Reverse.Hedge })},
	{"grace", rescue, "DURATION", conf.FormatDuration(reverse.DefaultGrace),
		"how long a small answer that is not whole is held back, so that a cut can still be rescued; 0 = not at all",
		limit(endless, func(o *gateway.Options) *time.Duration { return &o.Reverse.Grace })},
	{"no-repair", rescue, "", "", "refuse answers that the RFCs would let us mend; mending leaves a receipt in the log",
		boolean(func(o *gateway.Options, yes bool) {
			o.Reverse.Allow = h1.AllowResponse
			if yes {
				o.Reverse.Allow = 0
			}
		})},
	{"eject-after", rescue, "N", strconv.Itoa(upstream.DefaultEjectAfter),
		"failures in a row that leave an endpoint out for a while, never the last one; 0 = never", eject},
	{"eject-share", rescue, "SHARE", strconv.FormatFloat(upstream.DefaultEjectShare, 'g', -1, 64), "the failed share of requests that does; 0 = no share",
		portion(func(o *gateway.Options, share float64) { o.Upstream.Eject.Share = cmp.Or(share, -1) })},
	{"eject-window", rescue, "DURATION", conf.FormatDuration(upstream.DefaultEjectWindow), "over which time the share is taken",
		limit(above0, func(o *gateway.Options) *time.Duration { return &o.Upstream.Eject.Window })},
	{"eject-requests", rescue, "N", strconv.Itoa(upstream.DefaultEjectRequests), "requests of one loop in the window from which on the share counts",
		number(1, 1<<20, func(o *gateway.Options, n int) { o.Upstream.Eject.Requests = n })},
	{"eject-for", rescue, "DURATION", conf.FormatDuration(upstream.DefaultEjectFor), "how long an endpoint is left out the first time; each next one doubles",
		limit(above0, func(o *gateway.Options) *time.Duration { return &o.Upstream.Eject.For })},
	{"eject-max", rescue, "DURATION", conf.FormatDuration(upstream.DefaultEjectMax), "how long it is left out at most",
		limit(above0, func(o *gateway.Options) *time.Duration { return &o.Upstream.Eject.Max })},
	{"eject-probes", rescue, "N", strconv.Itoa(upstream.DefaultEjectProbes), "requests that must go well, one after the other, until it gets its share again",
		number(1, 1024, func(o *gateway.Options, n int) { o.Upstream.Eject.Probes = n })},
	{"eject-most", rescue, "SHARE", strconv.FormatFloat(upstream.DefaultEjectMost, 'g', -1, 64), "the share of endpoints that may be left out at a time; one may always",
		portion(func(o *gateway.Options, share float64) {
			o.Upstream.Eject.Most = cmp.Or(share, math.SmallestNonzeroFloat64)
		})},
	{"no-last-resort", rescue, "", "", "answer 503 at once where all endpoints are ejected or down, and eject the last one too",
		boolean(func(o *gateway.Options, yes bool) { o.Upstream.NoLastResort = yes })},
	{"panic-threshold", rescue, "SHARE", "0", "the share of endpoints that must be well; with fewer all are asked as if they were, to spare the few; 0 = never",
		portion(func(o *gateway.Options, share float64) { o.Upstream.Panic = share })},

	{"balance", upstreams, "HOW", "latency", "which endpoint gets a request: latency (the better of two at random), turns, round-robin, random, least or hash", balance},
	{"balance-key", upstreams, "KEY", "client", "what hash goes by: client, path, field:NAME or cookie:NAME", balanceKey},
	{"zone", upstreams, "NAME", "", "the zone that the gateway stands in: endpoints in another zone get requests only while none of this one is well",
		text(func(o *gateway.Options, s string) { o.Upstream.Zone = s })},
	{"slow-start", upstreams, "DURATION", "0s", "over which time an endpoint that is back, or that a reload has added, comes to its whole share of requests; 0 = at once",
		limit(endless, func(o *gateway.Options) *time.Duration { return &o.Upstream.SlowStart })},
	{"endpoint-max-requests", upstreams, "N", "0", "requests at a time on one endpoint, all loops together; those beyond it on all endpoints wait in the queue; 0 = no limit",
		number(0, 1<<30, func(o *gateway.Options, n int) { o.Upstream.Capacity.Requests = n })},
	{"adaptive", upstreams, "", "", "learn that limit from how long answers take: as many as an endpoint works on at a time, and a few that wait",
		boolean(func(o *gateway.Options, yes bool) { o.Upstream.Capacity.Adapt.On = yes })},
	{"adaptive-min", upstreams, "N", strconv.Itoa(upstream.DefaultAdaptMin), "the least that the learned limit comes to",
		number(1, 1<<30, func(o *gateway.Options, n int) { o.Upstream.Capacity.Adapt.Min = n })},
	{"adaptive-max", upstreams, "N", strconv.Itoa(upstream.DefaultAdaptMax), "the most that it comes to",
		number(1, 1<<30, func(o *gateway.Options, n int) { o.Upstream.Capacity.Adapt.Max = n })},
	{"endpoint-max-connections", upstreams, "N", "0", "connections to one endpoint, all loops together and unused ones included; 0 = no limit",
		number(0, 1<<30, func(o *gateway.Options, n int) { o.Upstream.Capacity.Connections = n })},
	{"queue", upstreams, "N", strconv.Itoa(upstream.DefaultQueue), "requests that may wait while all endpoints are full: those that came first go first; 0 = none",
		number(0, 1<<20, func(o *gateway.Options, n int) { o.Upstream.Capacity.Queue = orNone(n) })},
	{"queue-timeout", upstreams, "DURATION", conf.FormatDuration(upstream.DefaultQueueTimeout), "how long a request waits in the queue: as long as a connect may take",
		limit(above0, func(o *gateway.Options) *time.Duration { return &o.Upstream.Capacity.QueueTimeout })},
	{"affinity", upstreams, "COOKIE", "", "bind each client to the endpoint that answered it first, by a cookie of this name that the application does not see", affinity},
	{"affinity-max-age", upstreams, "DURATION", "0s", "how long clients keep that cookie; 0 = until their session ends",
		limit(endless, func(o *gateway.Options) *time.Duration { return &o.Upstream.Affinity.MaxAge })},
	{"health-path", rescue, "PATH", "", "what every endpoint is asked for again and again, as in /healthz; those that do not answer well get no requests", healthPath},
	{"health-connect", rescue, "", "", "check endpoints by connecting only, with a TLS handshake to https://",
		boolean(func(o *gateway.Options, yes bool) { o.Check.Connect = yes })},
	{"health-grpc", rescue, "", "", "check by grpc.health.v1; endpoints must speak HTTP/2", boolean(func(o *gateway.Options, yes bool) { o.Check.GRPC = yes })},
	{"health-service", rescue, "NAME", "", "the gRPC service that checks ask for; the server as a whole unless set",
		text(func(o *gateway.Options, s string) { o.Check.Service = s })},
	{"health-expect", rescue, "WORDS", "", "what the first 64KiB of the body of a good check have: words, or between slashes a regular expression",
		func(o *gateway.Options, v string) error {
			if _, err := check.ParseExpect(v); err != nil {
				return err
			}
			o.Check.Expect = v
			return nil
		}},
	{"health-host", rescue, "HOST", "", "the host that checks ask for; the endpoint's own unless set",
		text(func(o *gateway.Options, s string) { o.Check.Host = s })},
	{"health-every", rescue, "DURATION", conf.FormatDuration(check.DefaultEvery), "the time between two checks of an endpoint, up to a tenth more or less",
		limit(above0, func(o *gateway.Options) *time.Duration { return &o.Check.Every })},
	{"health-timeout", rescue, "DURATION", conf.FormatDuration(check.DefaultTimeout), "how long one check may take",
		limit(above0, func(o *gateway.Options) *time.Duration { return &o.Check.Timeout })},
	{"health-rise", rescue, "N", strconv.Itoa(check.DefaultRise), "good checks in a row that bring an endpoint back",
		number(1, 1000, func(o *gateway.Options, n int) { o.Check.Rise = n })},
	{"health-fall", rescue, "N", strconv.Itoa(check.DefaultFall), "bad checks in a row after which an endpoint gets no requests",
		number(1, 1000, func(o *gateway.Options, n int) { o.Check.Fall = n })},
	{"health-status", rescue, "STATUS", check.FormatStatus(check.DefaultLeast, check.DefaultMost), "the statuses of an endpoint that is well: one, or two as in 200-299",
		healthStatus},

	{"resolver", upstreams, "ADDRESS", "", "DNS server to ask, an IP address with or without port; those of resolv.conf unless set",
		text(func(o *gateway.Options, s string) { o.Upstream.Resolver = s })},
	{"upstream-ca", upstreams, "FILE", "", "PEM file of the authorities to trust for https:// upstreams; those of the system unless set", authorities},
	{"upstream-verify", upstreams, "on|off", "on", "verify the certificates of https:// upstreams; off lets anybody on the way be the upstream",
		onOff(func(o *gateway.Options, on bool) { o.Upstream.Trusting = !on })},
	{"upstream-cert", upstreams, "FILE", "", "PEM file with the certificate to show to https:// upstreams that ask for one",
		text(func(o *gateway.Options, s string) { o.UpstreamCertificate = s })},
	{"upstream-key", upstreams, "FILE", "", "the key of --upstream-cert; left out if that holds it",
		text(func(o *gateway.Options, s string) { o.UpstreamKey = s })},
	{"upstream-sni", upstreams, "NAME", "", "name to send in TLS, where another one is verified; the verified one unless set",
		text(func(o *gateway.Options, s string) { o.Upstream.SNI = s })},
	{"upstream-server-name", upstreams, "NAME", "", "name to send and to verify in TLS; the target's host unless set",
		text(func(o *gateway.Options, s string) { o.Upstream.ServerName = s })},
	{"upstream-http2", upstreams, "WHEN", "auto", "HTTP/2 to upstreams: auto (over TLS with whoever agrees, and with h2c:// targets), on (with all), off", whenHTTP2},
	{"send-proxy", upstreams, "VERSION", "off", "the PROXY header that connections begin with, to tell the client's address: off, v1 or v2", sendProxy},
	{"pool-shared", upstreams, "N", strconv.Itoa(upstream.DefaultMaxShared),
		"HTTP/2 connections to one endpoint, on each loop: each takes a hundred requests at a time",
		number(1, 1024, func(o *gateway.Options, n int) { o.Upstream.MaxShared = n })},
	{"pool-streams", upstreams, "N", strconv.Itoa(http2.DefaultStreams),
		"requests at a time on one HTTP/2 connection, besides what the upstream allows",
		number(1, 1<<20, func(o *gateway.Options, n int) { o.Link.Streams = n })},
	{"pool-idle", upstreams, "DURATION", conf.FormatDuration(upstream.DefaultIdle),
		"how long an unused connection is kept, unless the endpoint shows that it closes sooner; 0 = none is kept", poolIdle},
}

// Whether a duration of 0 makes sense: no limit.
const (
	above0  = false
	endless = true
)

func duration(name string, standard time.Duration, help string, zero bool, field func(*gateway.Options) *time.Duration) *Setting {
	if zero && standard != 0 {
		help += "; 0 = no limit"
	}
	return &Setting{name, timeouts, "DURATION", conf.FormatDuration(standard), help, limit(zero, field)}
}

func limit(zero bool, field func(*gateway.Options) *time.Duration) func(*gateway.Options, string) error {
	return func(o *gateway.Options, v string) error {
		d, err := conf.ParseDuration(v)
		switch {
		case err != nil:
			return err
		case d == 0 && !zero:
			return errors.New("this phase always has a limit: write one above 0")
		}
		*field(o) = d
		return nil
	}
}

func size(least, most int64, set func(*gateway.Options, int64)) func(*gateway.Options, string) error {
	return func(o *gateway.Options, v string) error {
		n, err := conf.ParseSize(v)
		switch {
		case err != nil:
			return err
		case n < least || n > most:
			return fmt.Errorf("it must lie between %s and %s", conf.FormatSize(least), conf.FormatSize(most))
		}
		set(o, n)
		return nil
	}
}

// both limits the heads of requests and of answers.
func both(most int64, set func(*h1.Limits, int)) func(*gateway.Options, string) error {
	return size(1, most, func(o *gateway.Options, n int64) {
		for _, l := range []*http1.Limits{&o.Client.Limits, &o.Reverse.Limits} {
			set(&l.Limits, int(n))
		}
	})
}

func number(least, most int, set func(*gateway.Options, int)) func(*gateway.Options, string) error {
	return func(o *gateway.Options, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < least || n > most {
			return fmt.Errorf("it must be a whole number from %d to %d", least, most)
		}
		set(o, n)
		return nil
	}
}

func boolean(set func(*gateway.Options, bool)) func(*gateway.Options, string) error {
	return func(o *gateway.Options, v string) error {
		yes, err := strconv.ParseBool(v)
		if err != nil {
			return errors.New("it must be true or false")
		}
		set(o, yes)
		return nil
	}
}

func whenClientHTTP2(o *gateway.Options, v string) error {
	if v != "on" && v != "off" && v != "only" {
		return errors.New("it must be on, off or only")
	}
	o.Client.NoHTTP2, o.Client.NoHTTP1 = v == "off", v == "only"
	return nil
}

func onOff(set func(*gateway.Options, bool)) func(*gateway.Options, string) error {
	return func(o *gateway.Options, v string) error {
		if v != "on" && v != "off" {
			return errors.New("it must be on or off")
		}
		set(o, v == "on")
		return nil
	}
}

// files reads a list of file names, separated by commas.
func files(list func(*gateway.Options) *[]string) func(*gateway.Options, string) error {
	return func(o *gateway.Options, v string) error {
		names := strings.Split(v, ",")
		if slices.Contains(names, "") {
			return errors.New("the name of a file has at least one character")
		}
		*list(o) = names
		return nil
	}
}

func text(set func(*gateway.Options, string)) func(*gateway.Options, string) error {
	return func(o *gateway.Options, v string) error {
		set(o, v)
		return nil
	}
}

func engine(o *gateway.Options, v string) error {
	o.Engine = nil // the gateway makes it, with its loops
	switch {
	case v == "auto":
		o.Epoll = loop.HasEpoll
	case v == "portable":
		o.Epoll = false
	case v != "epoll":
		return errors.New("it must be auto, epoll or portable")
	case !loop.HasEpoll:
		return fmt.Errorf("this engine is for 64-bit Linux, and this is %s on %s: use portable", runtime.GOOS, runtime.GOARCH)
	default:
		o.Epoll = true
	}
	return nil
}

// node names the gateway to others. A name that somebody chose is its own, so it
// is also the pseudonym in Via, without the port that makes a host name unique.
func node(o *gateway.Options, v string) error {
	for i := range len(v) {
		if c := v[i]; c <= ' ' || c >= 0x7f || c == '"' || c == ',' || c == ';' || c == '(' || c == ')' || c == '\\' {
			return fmt.Errorf("a name in Via has no %q: use letters, digits, dots and hyphens (RFC 9110 §7.6.3)", c)
		}
	}
	if v == "" {
		return errors.New("a name has at least one character")
	}
	o.Client.Node, o.Client.Via = v, v
	return nil
}

func detail(o *gateway.Options, v string) error {
	switch v {
	case "trusted":
		o.Client.Detail = exchange.Trusted
	case "public":
		o.Client.Detail = exchange.Public
	case "all":
		o.Client.Detail = exchange.All
	default:
		return errors.New("it must be trusted, public or all")
	}
	return nil
}

func tlsMin(o *gateway.Options, v string) error {
	switch v {
	case "1.2":
		o.TLS.Min = tls.VersionTLS12
	case "1.3":
		o.TLS.Min = tls.VersionTLS13
	default:
		return errors.New("it must be 1.2 or 1.3: older ones are broken (RFC 8996)")
	}
	return nil
}

func rotation(o *gateway.Options, v string) error {
	d, err := conf.ParseDuration(v)
	if err != nil {
		return err
	}
	if o.TLS.Rotation = d; d == 0 { // where 0 means the default
		o.TLS.Rotation = -1
	}
	return nil
}

// portion is a share of something, from 0 to 1.
func portion(set func(o *gateway.Options, share float64)) func(*gateway.Options, string) error {
	return func(o *gateway.Options, v string) error {
		share, err := strconv.ParseFloat(v, 64)
		if err != nil || !(share >= 0 && share <= 1) {
			return errors.New("it must be a share from 0 to 1, such as 0.2 for a fifth")
		}
		set(o, share)
		return nil
	}
}

func budget(o *gateway.Options, share float64) {
	o.Upstream.Budget.Share, o.Upstream.Budget.Floor = share, 0
	if share == 0 { // where 0 means the default
		o.Upstream.Budget = upstream.Budget{Share: -1, Floor: -1}
	}
}

func eject(o *gateway.Options, v string) error {
	return number(0, 1<<20, func(o *gateway.Options, n int) {
		o.Upstream.Eject.After = orNone(n)
	})(o, v)
}

func balance(o *gateway.Options, v string) (err error) {
	o.Upstream.Balance, err = upstream.ParseBalance(v)
	return err
}

func balanceKey(o *gateway.Options, v string) (err error) {
	o.Upstream.Key, err = upstream.ParseKey(v)
	return err
}

func whichForwarded(o *gateway.Options, v string) error {
	switch v {
	case "x":
		o.Client.Forwarded = exchange.ForwardedX
	case "rfc7239":
		o.Client.Forwarded = exchange.ForwardedRFC7239
	case "both":
		o.Client.Forwarded = exchange.ForwardedBoth
	default:
		return errors.New("write x, rfc7239 or both")
	}
	return nil
}

func requestID(o *gateway.Options, v string) error {
	if err := exchange.CheckRequestID(v); err != nil {
		return err
	}
	o.Client.RequestID = v
	return nil
}

func sendProxy(o *gateway.Options, v string) error {
	switch v {
	case "off":
		o.Upstream.SendProxy = 0
	case "v1":
		o.Upstream.SendProxy = 1
	case "v2":
		o.Upstream.SendProxy = 2
	default:
		return errors.New("write off, v1 or v2")
	}
	return nil
}

// networks reads networks, separated by commas; an address is a network of one.
func networks(of func(*gateway.Options) *[]netip.Prefix) func(*gateway.Options, string) error {
	return func(o *gateway.Options, v string) error { return appendNetworks(of(o), v) }
}

func appendNetworks(list *[]netip.Prefix, v string) error {
	for _, s := range strings.Split(v, ",") {
		s = strings.TrimSpace(s)
		n, err := netip.ParsePrefix(s)
		if a, e := netip.ParseAddr(s); e == nil {
			n, err = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
		}
		switch {
		case err != nil:
			return fmt.Errorf("%q is no network: write one such as 10.0.0.0/8 or fd00::/8, or one address", s)
		case n.Masked() != n:
			return fmt.Errorf("the network of %s begins elsewhere: write %s", s, n.Masked())
		}
		*list = append(*list, n)
	}
	return nil
}

func healthPath(o *gateway.Options, v string) error {
	if err := check.ParsePath(v); err != nil {
		return err
	}
	o.Check.Path = v
	return nil
}

func healthStatus(o *gateway.Options, v string) (err error) {
	o.Check.Least, o.Check.Most, err = check.ParseStatus(v)
	return err
}

func whenHTTP2(o *gateway.Options, v string) error {
	switch v {
	case "auto":
		o.Upstream.HTTP2 = upstream.AutoHTTP2
	case "on":
		o.Upstream.HTTP2 = upstream.OnlyHTTP2
	case "off":
		o.Upstream.HTTP2 = upstream.NoHTTP2
	default:
		return errors.New("it must be auto, on or off")
	}
	return nil
}

// ping reads how long a silence may be before the other side is asked with a PING,
// which then has as long to answer, if that is not too long.
func ping(at func(*gateway.Options) (ping, pong *time.Duration)) func(*gateway.Options, string) error {
	return func(o *gateway.Options, v string) error {
		d, err := conf.ParseDuration(v)
		if err != nil {
			return err
		}
		ping, pong := at(o)
		*ping, *pong = d, min(d, http2.DefaultPong)
		if d == 0 {
			*ping = -1
		}
		return nil
	}
}

func poolIdle(o *gateway.Options, v string) error {
	d, err := conf.ParseDuration(v)
	if err != nil {
		return err
	}
	o.Upstream.IdleTimeout, o.Upstream.MaxIdle = d, 0
	if d == 0 {
		o.Upstream.MaxIdle = -1
	}
	return nil
}

func authorities(o *gateway.Options, v string) error {
	pem, err := os.ReadFile(v)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return errors.New("no certificate is in this file: it must hold PEM blocks, -----BEGIN CERTIFICATE-----")
	}
	o.UpstreamCA = v
	return nil
}

// orNone is a number for options in which 0 means their default, and below 0 means none.
func orNone(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

func affinity(o *gateway.Options, v string) error {
	if err := upstream.CheckCookie(v); err != nil {
		return err
	}
	o.Upstream.Affinity.Cookie = v
	return nil
}
