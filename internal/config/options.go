package config

import (
	"time"

	"github.com/gatewhy/gatewhy/internal/certs"
	"github.com/gatewhy/gatewhy/internal/check"
	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/handover"
	"github.com/gatewhy/gatewhy/internal/http2"
	"github.com/gatewhy/gatewhy/internal/reverse"
	"github.com/gatewhy/gatewhy/internal/upstream"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
	"github.com/gatewhy/gatewhy/internal/wire/proxyproto"
)

// The comments of the fields are the reference: the first sentence of each is
// what the schema says of its key.

// Gateway is a whole configuration.
type Gateway struct {
	// The version of this language, which is 1.
	Version int `conf:"version" min:"1" max:"1"`
	// Further files of this configuration: paths and patterns, relative to this file.
	//
	// Load empties it: what they hold is in the other fields.
	Include []string `conf:"include"`
	// The gateway's own name in Proxy-Status and Via, unique among its neighbours; the host name unless set.
	Node NodeName `conf:"node,env" flag:"node"`
	// The zone that the gateway stands in: endpoints in another zone get requests only while none of this one is well.
	Zone string `conf:"zone,env" flag:"zone" aka:"locality,region,datacenter"`
	// Where clients connect.
	Listen Listen `conf:"listen" aka:"listeners,bind,ports"`
	// How TLS is spoken with clients, and with which certificates.
	TLS TLS `conf:"tls" aka:"ssl,certificates"`
	// HTTP/2 with clients.
	HTTP2 HTTP2 `conf:"http2"`
	// The services behind the gateway, each by its name.
	Upstreams map[string]*Upstream `conf:"upstreams" aka:"backends,services,clusters,backend,servers"`
	// What is served, by the host name that clients ask for.
	Sites map[string]*Site `conf:"sites,required" aka:"hosts,servers,vhosts,server,virtualhosts,domains"`
	// Networks of proxies in front of the gateway, a unix socket being 127.0.0.1: who the client is is what they say in X-Forwarded-For.
	TrustedProxies []Network `conf:"trusted-proxies" flag:"trusted-proxies" aka:"trusted_proxies,set_real_ip_from,real-ip"`
	// Who is told of the client in which fields, and what trusted proxies are asked: x (X-Forwarded-*), rfc7239 (Forwarded) or both.
	Forwarded string `conf:"forwarded" flag:"forwarded" enum:"x,rfc7239,both" aka:"forwarded-headers"`
	// An id for each request.
	RequestID RequestID `conf:"request-id" aka:"request_id,unique-id,requestid"`
	// W3C Trace Context: the place of each request in a trace.
	Trace Trace `conf:"trace" aka:"tracing,traces"`
	// How long clients may take.
	Timeout ClientTimeout `conf:"timeout" aka:"timeouts"`
	// What clients may send.
	Limits Limits `conf:"limits" aka:"limit"`
	// What answers of the gateway's own tell.
	Errors Errors `conf:"errors" aka:"error-pages"`
	// The access log.
	Log Log `conf:"log" aka:"access-log,logging,logs,access_log"`
	// How long a stop waits for requests under way; less than the 90s after which systemd kills.
	Drain time.Duration `conf:"drain" flag:"drain" aka:"grace-period,shutdown-timeout"`
	// How long the new program of an upgrade may take until it serves; the old one goes on until then, and if it does not.
	UpgradeTimeout time.Duration `conf:"upgrade-timeout" flag:"upgrade-timeout" zero:"no"`
	// What is for operators: the socket that gatewhy explain asks, metrics.
	Admin Admin `conf:"admin"`
	// What runs the event loops.
	Engine Engine `conf:"engine"`
	// The DNS server to ask, an IP address with or without a port; those of resolv.conf unless set.
	Resolver Resolver `conf:"resolver,env" flag:"resolver" aka:"dns,nameserver,nameservers"`
}

// Default implements the defaults of the fields without a type of their own.
func (g *Gateway) Default() {
	g.Version, g.Forwarded, g.Drain, g.UpgradeTimeout = 1, "x", DefaultDrain, handover.DefaultTimeout
}

// RequestID is how requests get an id.
type RequestID struct {
	// The field that it goes on in, as in X-Request-Id; no id unless set, and a trusted proxy's is kept.
	Field FieldName `conf:"field,short" flag:"request-id" aka:"header,name"`
	// Tell the client too.
	Reply bool `conf:"reply" flag:"request-id-reply" aka:"response"`
}

// Trace is what the gateway does about traces.
type Trace struct {
	// Go on with the traces of trusted proxies and begin one for others; off passes traceparent and tracestate on as they come.
	On bool `conf:"on,short" flag:"trace" aka:"enabled,traceparent"`
	// The share of the traces which begin here that are marked to be recorded, 0 to 1.
	Sample float64 `conf:"sample" flag:"trace-sample" min:"0" max:"1" aka:"ratio,sampling"`
}

// Default implements the defaults.
func (t *Trace) Default() { t.Sample = 1 }

// DefaultDrain is longer than most answers take, and shorter than the 90 s after
// which systemd kills.
const DefaultDrain = 30 * time.Second

// Listen says where clients connect.
type Listen struct {
	// Addresses for plain HTTP; :80 unless there is a listen key.
	HTTP []Address `conf:"http,short,env"`
	// Addresses for HTTPS; :443 unless there is a listen key, if there is a certificate.
	HTTPS []Address `conf:"https,env" aka:"tls,ssl"`
	// Networks of proxies that begin each connection with a PROXY header, version 1 or 2: they must, and others may not.
	ProxyProtocol []Network `conf:"proxy-protocol" flag:"proxy-protocol" aka:"proxy_protocol,accept-proxy"`
}

// TLS says how TLS is spoken with clients.
type TLS struct {
	// Certificates with their keys; the name that the client asks for (SNI) chooses, the first is for all other names.
	Certificates []Certificate `conf:"certificates,short" aka:"certificate,certs"`
	// Make a certificate for localhost and this host at the start: for trying out.
	SelfSigned bool `conf:"self-signed" flag:"tls-self-signed"`
	// Certificates that clients must show.
	Clients TLSClients `conf:"clients" aka:"client-auth,client_auth,mtls,mutual"`
	// Obtain certificates of an authority that speaks ACME: for public names of sites that no certificate is for.
	ACME ACME `conf:"acme" aka:"letsencrypt,automatic-https,auto_https"`
	// For which sites certificates are made by an authority of the gateway's own, which clients must be told to trust: auto (names for private use), all or off.
	Internal string `conf:"internal" enum:"auto,all,off" aka:"local,local-certs,local_certs,internal-ca"`
	// Requests in plain HTTP for a site that has TLS get a redirect to it (308); the site any, and keys with http://, never.
	Redirect bool `conf:"redirect" aka:"https-redirect,force-https"`
	// The least version, 1.2 or 1.3; a few clients older than 2019 lack 1.3.
	Min string `conf:"min-version" flag:"tls-min" enum:"1.2,1.3" aka:"min,protocols,versions"`
	// Offer the key exchange X25519MLKEM768; it costs both sides some 100us a full handshake.
	PostQuantum bool `conf:"post-quantum" flag:"tls-post-quantum"`
	// How long a key makes session tickets, which two later ones still let in; 0 makes none.
	Rotation time.Duration `conf:"ticket-rotation" flag:"tls-ticket-rotation"`
}

// Default implements the defaults.
func (t *TLS) Default() {
	t.Internal, t.Redirect, t.Min, t.PostQuantum, t.Rotation = "auto", true, "1.2", true, certs.DefaultRotation
}

// TLSClients is what clients must show (mutual TLS).
type TLSClients struct {
	// PEM file of the authorities that certificates of clients must lead to; clients are not asked for any unless set.
	CA string `conf:"ca,short,file,env" flag:"tls-client-ca" aka:"ca-file,ssl_client_certificate,trusted_ca_certs"`
	// A client may come without a certificate, but not with a wrong one.
	Optional bool `conf:"optional" flag:"tls-client-optional"`
	// Tell upstreams of the certificate in the field Client-Cert (RFC 9440), which clients cannot send themselves then.
	Forward bool `conf:"forward" flag:"tls-client-forward"`
}

// ACME is how certificates are obtained. To use an authority means to agree to its
// terms.
type ACME struct {
	// auto obtains certificates for public names of sites that no certificate is for, where there is an HTTPS listener; off obtains none.
	When string `conf:"when,short" enum:"auto,off" aka:"mode,enabled"`
	// Whom the authority tells of what it must tell; nobody unless set.
	Email string `conf:"email,env" aka:"contact"`
	// The URL of the authority's directory; Let's Encrypt unless set.
	CA DirectoryURL `conf:"ca,env" aka:"directory,server,issuer"`
	// PEM file of the authorities that the server of ca is verified by; those of the system unless set.
	Roots string `conf:"ca-root,file,env" aka:"ca_root,root"`
	// The directory for accounts, keys and certificates, those of the internal authority as well; /var/lib/gatewhy or the user's own unless set.
	Storage string `conf:"storage,file,env" aka:"dir,directory,data"`
	// A URL that is asked, with ?domain=NAME, whether to obtain one for another name that a client comes with; 200 is a yes.
	Ask DirectoryURL `conf:"ask,env" aka:"on-demand,on_demand_tls"`
}

// Default implements the defaults.
func (a *ACME) Default() { a.When = "auto" }

// Certificate is a certificate and its key.
type Certificate struct {
	// PEM file with the certificate and the intermediates behind it.
	Cert string `conf:"cert,short,required,file,env" aka:"certificate,crt,ssl_certificate"`
	// PEM file with the key; left out if the certificate's file holds it.
	Key string `conf:"key,file,env" aka:"private-key,ssl_certificate_key"`
}

// Noun implements the word for messages.
func (*Certificate) Noun() string { return "certificate" }

// HTTP2 are the settings of HTTP/2 with clients.
type HTTP2 struct {
	// When HTTP/2 is spoken: on (where TLS agrees on it, and without TLS with those that begin with it), off, or only (no HTTP/1).
	When string `conf:"when,short" flag:"http2" enum:"on,off,only" aka:"enabled"`
	// Requests at a time on a connection; browsers use 100.
	Requests int `conf:"requests" flag:"http2-requests" min:"1" max:"65536"`
	// What one upload may send ahead; one that a longer way holds up gets more, up to memory.
	Window conf.Size `conf:"window" flag:"http2-window" min:"1KiB" max:"1GiB"`
	// What all uploads of a connection may send ahead: memory that a client can make us hold.
	Memory conf.Size `conf:"memory" flag:"http2-memory" min:"64KiB" max:"1GiB"`
	// Table of a client's fields (HPACK); 0 is none, fields are then sent in full each time.
	Table conf.Size `conf:"table" flag:"http2-table" max:"1MiB"`
	// Requests of a connection that may end in a reset at once, a thirtieth of it more each second.
	Resets int `conf:"resets" flag:"http2-resets" min:"1" max:"1073741824"`
	// Frames that bring no request nearer (PING, SETTINGS, empty ones), likewise.
	Control int `conf:"control" flag:"http2-control" min:"100" max:"1073741824"`
}

// Default implements the defaults.
func (h *HTTP2) Default() {
	*h = HTTP2{"on", http2.DefaultRequests, http2.DefaultBodyWindow, http2.DefaultBodyMemory, h2.DefaultTable,
		http2.DefaultResets, http2.DefaultControl}
}

// ClientTimeout bounds what clients take. 0 means no limit, where that is allowed.
type ClientTimeout struct {
	// A client's TLS handshake; two lost packets on a slow mobile.
	TLS time.Duration `conf:"tls" flag:"timeout-client-tls" zero:"no" aka:"handshake"`
	// The PROXY header of a proxy in proxy-protocol, which sends it at once; two lost packets.
	ProxyHeader time.Duration `conf:"proxy-header" flag:"timeout-proxy-header" zero:"no" aka:"proxy-protocol,proxy_protocol"`
	// The request's head, from its first byte to its end: for slow mobiles, not for slow attackers.
	Head time.Duration `conf:"head" flag:"timeout-client-head" aka:"header,headers,read-header,client-head"`
	// Silence between two reads of an upload.
	Body time.Duration `conf:"body" flag:"timeout-client-body" aka:"client-body"`
	// A client's connection without a request; a little over the 60s of the load balancers in front.
	KeepAlive time.Duration `conf:"keep-alive" flag:"timeout-keep-alive" aka:"keepalive"`
	// A client that takes no byte of the answer.
	Reply time.Duration `conf:"reply" flag:"timeout-reply" aka:"write"`
	// Silence of an HTTP/2 client that waits for answers, before it is asked with a PING whether it is there.
	Ping time.Duration `conf:"ping" flag:"timeout-client-ping"`
	// The whole exchange with all its attempts; none unless set, since downloads may last.
	Total time.Duration `conf:"total" flag:"timeout-total" aka:"request"`
}

// Default implements the defaults.
func (t *ClientTimeout) Default() {
	*t = ClientTimeout{TLS: exchange.DefaultHandshake, ProxyHeader: exchange.DefaultProxyHeader, Head: exchange.DefaultClientHead, Body: exchange.DefaultClientBody,
		KeepAlive: exchange.DefaultKeepAlive, Reply: exchange.DefaultReply, Ping: http2.DefaultClientPing}
}

// Limits bound what clients send.
type Limits struct {
	// The head of a request.
	Head conf.Size `conf:"head" flag:"max-head" min:"1B" max:"1GiB" aka:"header,headers"`
	// One field line of a request.
	Line conf.Size `conf:"line" flag:"max-line" min:"1B" max:"1GiB" aka:"field"`
	// The first line of a request.
	StartLine conf.Size `conf:"start-line" flag:"max-line" min:"1B" max:"1GiB" aka:"request-line,uri"`
	// Field lines of a request; browsers send 30.
	Fields int `conf:"fields" flag:"max-fields" min:"1" max:"1048576"`
	// The body of a request; 0 is no limit, bodies are streamed.
	Body conf.Size `conf:"body" flag:"max-body" aka:"client-max-body-size,max-body"`
	// The PROXY header of a proxy in proxy-protocol; one that tells of a client's certificate is long.
	ProxyHeader conf.Size `conf:"proxy-header" flag:"max-proxy-header" min:"232B" max:"16KiB"`
	// Clients' connections at once, about 10KiB each while busy; 0 is no limit.
	Connections int `conf:"connections" flag:"max-connections" max:"1073741824" aka:"max-connections,maxconn"`
}

// Default implements the defaults.
func (l *Limits) Default() {
	d := h1.DefaultRequest
	*l = Limits{Head: conf.Size(d.Head), Line: conf.Size(d.Field), StartLine: conf.Size(d.StartLine), Fields: d.Fields,
		ProxyHeader: proxyproto.DefaultMax, Connections: exchange.DefaultMaxConnections}
}

// Errors say what answers of the gateway's own tell.
type Errors struct {
	// Who sees bytes, addresses and fixes: trusted (clients on this machine), public (nobody) or all.
	Detail string `conf:"detail,short" flag:"errors-detail" enum:"trusted,public,all"`
	// An email address or a URL that error pages offer; none unless set.
	Contact string `conf:"contact"`
}

// Default implements the defaults.
func (e *Errors) Default() { e.Detail = "trusted" }

// Log is the access log.
type Log struct {
	// text, json, combined (as nginx has it), common, template or off; text on a terminal and json elsewhere unless set.
	Format string `conf:"format,short" flag:"log" enum:"text,json,combined,common,template,off"`
	// The line of format template, with names as in ${client.address}.
	Template LogTemplate `conf:"template,names" flag:"log-template" aka:"log_format,line"`
	// The share of good exchanges that get a line, 0 to 1; those with a fault, a notice or a status of 400 or more always do.
	Sample float64 `conf:"sample" flag:"log-sample" min:"0" max:"1" aka:"sampling,ratio"`
	// The file to append to, opened anew on SIGUSR1; standard output unless set.
	File string `conf:"file,file,env" flag:"log-file" aka:"path,output"`
}

// Default implements the defaults.
func (l *Log) Default() { l.Sample = 1 }

// Admin is what is for operators.
type Admin struct {
	// The directory of the socket; /run/gatewhy or the user's own unless set.
	Dir string `conf:"dir,short,file,env" flag:"run-dir" aka:"directory,socket"`
	// Where /metrics, /healthz and /readyz are served in plain HTTP, as in localhost:2502; nowhere unless set.
	Listen AdminAddress `conf:"listen,env" flag:"admin-listen" aka:"metrics,address,port"`
	// A file with a token of 16 characters or more: the API of the socket is served on listen too, to who has it.
	Token string `conf:"token,file,env" flag:"admin-token" aka:"token-file,api-token"`
}

// Engine says what runs the event loops.
type Engine struct {
	// What runs the loops: epoll (64-bit Linux, a thread each that asks the kernel itself), portable, or auto for the first that the system has.
	Name string `conf:"name,short" flag:"engine" enum:"auto,epoll,portable"`
	// Event loops; one a core unless set.
	Loops int `conf:"loops" flag:"loops" min:"1" max:"1024" aka:"workers,threads,worker_processes"`
}

// Default implements the defaults.
func (e *Engine) Default() { e.Name = "auto" }

// Upstream is a service behind the gateway: endpoints that stand in for each other.
type Upstream struct {
	// The endpoints: HOST:PORT, :PORT, :3000-3003, https://HOST, h2c://HOST:PORT, unix:/PATH or srv+http://NAME.
	To []Endpoint `conf:"to,short,required,env" aka:"servers,targets,server,endpoints,hosts,url,address,addresses,backends"`
	// When and how a request is tried again.
	Retry Retry `conf:"retry" aka:"retries"`
	// How long each phase of an attempt may take.
	Timeout Timeout `conf:"timeout" aka:"timeouts"`
	// What answers may hold.
	Limits AnswerLimits `conf:"limits" aka:"limit"`
	// The PROXY header that connections begin with, to tell the client's address: off, v1 or v2.
	SendProxy string `conf:"send-proxy" flag:"send-proxy" enum:"off,v1,v2" aka:"proxy-protocol,proxy_protocol,send-proxy-v2"`
	// TLS with https:// endpoints.
	TLS UpstreamTLS `conf:"tls" aka:"ssl"`
	// When HTTP/2 is spoken: auto (over TLS with whoever agrees, and with h2c:// endpoints), on (with all) or off.
	HTTP2 string `conf:"http2" flag:"upstream-http2" enum:"auto,on,off"`
	// Connections that are kept.
	Pool Pool `conf:"pool" aka:"keepalive,keep-alive,connections"`
	// Which of the endpoints that are well gets a request.
	Balance Balance `conf:"balance" aka:"lb,lb_policy,load-balancing,policy,algorithm"`
	// Requests at a time on one endpoint, all loops together; those beyond it on all endpoints wait in the queue; 0 is no limit.
	MaxRequests int `conf:"max-requests" flag:"endpoint-max-requests" max:"1073741824" aka:"maxconn,max_requests,concurrency"`
	// A limit of them that is learned from how long answers take: as many as the endpoint works on at a time, and a few that wait.
	Adaptive Adaptive `conf:"adaptive" aka:"adaptive-concurrency,adaptive_concurrency,gradient,concurrency-limit,inflight"`
	// Connections to one endpoint, all loops together and unused ones included; 0 is no limit.
	MaxConnections int `conf:"max-connections" flag:"endpoint-max-connections" max:"1073741824" aka:"max_conns,max_connections"`
	// How requests wait while all endpoints are full.
	Queue Queue `conf:"queue" aka:"pending,backlog,maxqueue"`
	// A cookie of the gateway's own that binds each client to the endpoint that answered it first; none unless set.
	Affinity Affinity `conf:"affinity" aka:"sticky,cookie,session,stickiness,persistence"`
	// Over which time an endpoint that is back, or that a reload has added, comes to its whole share of requests; 0 is at once.
	SlowStart time.Duration `conf:"slow-start" flag:"slow-start" aka:"slowstart,slow_start,warmup"`
	// When an endpoint is left out for a while, and how it comes back.
	Eject Eject `conf:"eject" aka:"ejection,outlier-detection,passive,circuit,breaker,circuit-breaker,circuit_breaker"`
	// Ask endpoints that are ejected or down where nobody better is left; without it the answer is 503 at once.
	LastResort bool `conf:"last-resort" flag:"!no-last-resort" aka:"fail-open"`
	// The share of endpoints that must be well; with fewer all are asked as if they were, to spare the few; 0 is never.
	Panic float64 `conf:"panic-threshold" flag:"panic-threshold" min:"0" max:"1" aka:"panic,healthy-panic-threshold"`
	// How endpoints are asked whether they are well; they are not unless there is a path, or connect.
	Health Health `conf:"health" aka:"healthcheck,health-check,health_check,check,checks,active"`
	// Mend answers that the RFCs let us mend, with a receipt in the log.
	Repair bool `conf:"repair" flag:"!no-repair"`
}

// Default implements the defaults.
func (u *Upstream) Default() {
	u.HTTP2, u.SendProxy, u.Repair, u.LastResort = "auto", "off", true, true
}

// Noun implements the word for messages.
func (*Upstream) Noun() string { return "upstream" }

// Endpoint is one target of an upstream, or a range of them, and its share of requests.
type Endpoint struct {
	// Where it is: HOST:PORT, :PORT, :3000-3003, https://HOST, h2c://HOST:PORT, unix:/PATH or srv+http://NAME.
	To Target `conf:"to,short,required,env" aka:"address,host,server,url,target,endpoint"`
	// Its part of the requests, beside the weights of the others.
	Weight int `conf:"weight" min:"1" max:"1000"`
	// It gets requests only while no endpoint without this is well.
	Backup bool `conf:"backup" aka:"standby,fallback"`
	// Where it stands: endpoints in the zone of the gateway come first.
	Zone string `conf:"zone" aka:"locality,region,datacenter"`
}

// Default implements the defaults.
func (e *Endpoint) Default() { e.Weight = 1 }

// Noun implements the word for messages.
func (*Endpoint) Noun() string { return "endpoint" }

// Retry says when and how a request is tried again.
type Retry struct {
	// Attempts that may have reached an endpoint, the first one counted; 1 never tries again.
	Attempts int `conf:"attempts,short" flag:"retry-attempts" min:"1" max:"8" aka:"tries,max,count,retries"`
	// Further attempts as a share of requests, so that retries never make an outage; 0 is none.
	Budget float64 `conf:"budget" flag:"retry-budget" min:"0" max:"1"`
	// How much of a request's body is kept in memory for another attempt; forms and API calls fit.
	ReplayMemory conf.Size `conf:"replay-memory" flag:"replay-memory" max:"1TiB"`
	// How much of it is kept in a temporary file beyond that; 0 is none.
	ReplayDisk conf.Size `conf:"replay-disk" flag:"replay-disk" max:"1024TiB"`
	// A request with Idempotency-Key may be sent again: only for applications that honour it.
	IdempotencyKey bool `conf:"idempotency-key" flag:"idempotency-key"`
	// How long an idempotent request without a body waits for its answer before another endpoint is asked as well; 0 never asks two.
	Hedge time.Duration `conf:"hedge" flag:"hedge" aka:"hedging,hedge-after"`
	// How long a small answer that is not whole is held back, so that a cut can still be rescued; 0 is not at all.
	Grace time.Duration `conf:"grace" flag:"grace"`
}

// Default implements the defaults.
func (r *Retry) Default() {
	*r = Retry{Attempts: reverse.DefaultAttempts, Budget: upstream.DefaultBudgetShare, ReplayMemory: reverse.DefaultReplayMemory,
		ReplayDisk: reverse.DefaultReplayDisk, Grace: reverse.DefaultGrace}
}

// Timeout bounds the phases of an attempt. 0 means no limit, where that is
// allowed.
type Timeout struct {
	// Looking up a name; two DNS servers, asked twice.
	Resolve time.Duration `conf:"resolve" flag:"timeout-resolve" zero:"no" aka:"dns"`
	// Connecting, over all addresses of a name; outlives two lost SYNs.
	Connect time.Duration `conf:"connect" flag:"timeout-connect" zero:"no" aka:"dial"`
	// The TLS handshake; two round trips and a busy server.
	TLS time.Duration `conf:"tls" flag:"timeout-tls" zero:"no" aka:"handshake"`
	// An endpoint that takes no byte of the request.
	Send time.Duration `conf:"send" flag:"timeout-send" aka:"write"`
	// Thinking: from the request's end to the answer's first byte; nginx's figure.
	FirstByte time.Duration `conf:"first-byte" flag:"timeout-first-byte" aka:"response,header,server,response-header"`
	// Silence between two reads of the answer.
	Read time.Duration `conf:"read" flag:"timeout-read"`
	// Silence on an upgraded connection; WebSocket libraries that ping do so within a minute.
	Idle time.Duration `conf:"idle" flag:"timeout-idle" aka:"tunnel,websocket"`
	// Silence of an HTTP/2 endpoint that owes answers, before it is asked whether it lives; 0 never asks.
	Ping time.Duration `conf:"ping" flag:"timeout-h2-ping"`
}

// Default implements the defaults.
func (t *Timeout) Default() {
	*t = Timeout{upstream.DefaultResolve, upstream.DefaultConnect, upstream.DefaultSecure, reverse.DefaultSend,
		reverse.DefaultFirstByte, reverse.DefaultRead, reverse.DefaultTunnel, http2.DefaultPing}
}

// AnswerLimits bound what answers hold.
type AnswerLimits struct {
	// The head of an answer; more than of a request, since an application is no stranger.
	Head conf.Size `conf:"head" flag:"max-response-head,max-head" min:"1B" max:"1GiB" aka:"header,headers"`
	// One field line of an answer.
	Line conf.Size `conf:"line" flag:"max-line" min:"1B" max:"1GiB" aka:"field"`
	// The first line of an answer.
	StartLine conf.Size `conf:"start-line" flag:"max-line" min:"1B" max:"1GiB" aka:"status-line"`
	// Field lines of an answer.
	Fields int `conf:"fields" flag:"max-fields" min:"1" max:"1048576"`
	// The body of an answer; 0 is no limit.
	Body conf.Size `conf:"body" flag:"max-response-body"`
}

// Default implements the defaults.
func (l *AnswerLimits) Default() {
	d := h1.DefaultResponse
	*l = AnswerLimits{Head: conf.Size(d.Head), Line: conf.Size(d.Field), StartLine: conf.Size(d.StartLine), Fields: d.Fields}
}

// UpstreamTLS is TLS with the endpoints of an upstream.
type UpstreamTLS struct {
	// PEM file of the authorities to trust; those of the system unless set.
	CA string `conf:"ca,file,env" flag:"upstream-ca" aka:"cafile,ca-file,trust"`
	// Verify the certificates of endpoints; without it anybody on the way can be the endpoint.
	Verify bool `conf:"verify" flag:"upstream-verify"`
	// PEM file with the certificate to show to endpoints that ask for one.
	Cert string `conf:"cert,file,env" flag:"upstream-cert" aka:"certificate,crt"`
	// PEM file with the key of cert; left out if that holds it.
	Key string `conf:"key,file,env" flag:"upstream-key" aka:"private-key"`
	// The name to send and to verify; the endpoint's host unless set.
	ServerName string `conf:"server-name,env" flag:"upstream-server-name" aka:"host,name"`
	// The name to send, where another one is verified; the verified one unless set.
	SNI string `conf:"sni,env" flag:"upstream-sni"`
}

// Default implements the defaults.
func (t *UpstreamTLS) Default() { t.Verify = true }

// Pool says which connections to endpoints are kept.
type Pool struct {
	// How long an unused connection is kept, unless the endpoint shows that it closes sooner; 0 keeps none.
	Idle time.Duration `conf:"idle,short" flag:"pool-idle" aka:"idle-timeout,keepalive,keep-alive"`
	// HTTP/2 connections to one endpoint, on each loop; each takes a hundred requests at a time.
	Shared int `conf:"shared" flag:"pool-shared" min:"1" max:"1024"`
	// Requests at a time on one HTTP/2 connection, besides what the endpoint allows.
	Streams int `conf:"streams" flag:"pool-streams" min:"1" max:"1048576"`
}

// Default implements the defaults.
func (p *Pool) Default() {
	*p = Pool{upstream.DefaultIdle, upstream.DefaultMaxShared, http2.DefaultStreams}
}

// Affinity binds clients to endpoints by a cookie. The application does not see it.
type Affinity struct {
	// The name of the cookie.
	Cookie CookieName `conf:"cookie,short" flag:"affinity" aka:"name"`
	// How long clients keep it; until their session ends unless set.
	MaxAge time.Duration `conf:"max-age" flag:"affinity-max-age" aka:"expires,ttl"`
	// File with 16 bytes or more that make its values: the same for all gateways in front of the endpoints; new at each start unless set.
	Key string `conf:"key,file,env" aka:"secret"`
}

// Adaptive says whether and within which bounds the limit of requests at a time is learned.
type Adaptive struct {
	// Learn the limit.
	On bool `conf:"on,short" flag:"adaptive" aka:"enabled"`
	// The least that it comes to.
	Min int `conf:"min" flag:"adaptive-min" min:"1" max:"1073741824"`
	// The most that it comes to.
	Max int `conf:"max" flag:"adaptive-max" min:"1" max:"1073741824"`
}

// Default implements the defaults.
func (a *Adaptive) Default() { a.Min, a.Max = upstream.DefaultAdaptMin, upstream.DefaultAdaptMax }

// Queue says how requests wait while all endpoints of an upstream are full. Those that came
// first go first.
type Queue struct {
	// Requests that may wait, all loops together; 0 is none.
	Max int `conf:"max,short" flag:"queue" max:"1048576" aka:"size,length,limit"`
	// How long one waits; as long as a connect may take.
	Timeout time.Duration `conf:"timeout" flag:"queue-timeout" zero:"no" aka:"wait"`
}

// Default implements the defaults.
func (q *Queue) Default() { *q = Queue{upstream.DefaultQueue, upstream.DefaultQueueTimeout} }

// Eject says when an endpoint is left out for a while. The last one that is up
// never is.
type Eject struct {
	// Failures in a row that leave an endpoint out for a while; 0 is never, whatever else is set.
	After int `conf:"after,short" flag:"eject-after" max:"1048576" aka:"failures,fall,max-fails,max_fails"`
	// The failed share of requests that does; 0 is no share.
	Share float64 `conf:"share" flag:"eject-share" min:"0" max:"1" aka:"rate,ratio,threshold,error-rate"`
	// Over which time the share is taken.
	Window time.Duration `conf:"window" flag:"eject-window" zero:"no" aka:"interval,period"`
	// Requests of one loop in the window from which on the share counts.
	Requests int `conf:"requests" flag:"eject-requests" min:"1" max:"1048576" aka:"min-requests,volume,request-volume"`
	// How long it is left out the first time; each next one doubles.
	For time.Duration `conf:"for" flag:"eject-for" zero:"no" aka:"duration,time,fail-timeout,fail_timeout,fail_duration,base"`
	// How long it is left out at most.
	Max time.Duration `conf:"max" flag:"eject-max" zero:"no" aka:"longest"`
	// Requests that must go well, one after the other, until it gets its share again.
	Probes int `conf:"probes" flag:"eject-probes" min:"1" max:"1024" aka:"half-open,successes,rise"`
	// The share of endpoints that may be left out at a time; one may always, and the last one that is up never.
	Most float64 `conf:"most" flag:"eject-most" min:"0" max:"1" aka:"max-ejection-percent,percent"`
}

// Default implements the defaults.
func (e *Eject) Default() {
	*e = Eject{After: upstream.DefaultEjectAfter, Share: upstream.DefaultEjectShare, Window: upstream.DefaultEjectWindow, Requests: upstream.DefaultEjectRequests,
		For: upstream.DefaultEjectFor, Max: upstream.DefaultEjectMax, Probes: upstream.DefaultEjectProbes, Most: upstream.DefaultEjectMost}
}

// Balance says which of the endpoints that are well gets a request.
type Balance struct {
	// latency (the better of two at random), turns (in turn, and rather one that is less busy), round-robin, random, least (requests in flight) or hash (of key).
	How string `conf:"how,short" flag:"balance" enum:"latency,turns,round-robin,random,least,hash" aka:"method,policy,algorithm"`
	// What hash goes by: client, path, field:NAME or cookie:NAME; a request without it goes by its client.
	Key HashKey `conf:"key" flag:"balance-key" aka:"by,hash,on"`
}

// Default implements the defaults.
func (b *Balance) Default() { b.How, b.Key = "latency", HashKey{Source: upstream.ByClient} }

// Health says how endpoints are asked whether they are well.
type Health struct {
	// What is asked for with GET, as in /healthz.
	Path HealthPath `conf:"path,short" flag:"health-path" aka:"uri,url,target,endpoint"`
	// Only connect, with a TLS handshake where the endpoint has TLS: for what speaks no HTTP.
	Connect bool `conf:"connect" flag:"health-connect" aka:"tcp"`
	// Ask by grpc.health.v1 how the server is; endpoints must speak HTTP/2.
	GRPC bool `conf:"grpc" flag:"health-grpc"`
	// The gRPC service that is asked for; the server as a whole unless set.
	Service string `conf:"service" flag:"health-service"`
	// The host to ask for; the endpoint's own unless set.
	Host string `conf:"host" flag:"health-host"`
	// The time between two checks of an endpoint, up to a tenth more or less.
	Every time.Duration `conf:"every" flag:"health-every" zero:"no" aka:"interval,inter,period"`
	// How long one check may take.
	Timeout time.Duration `conf:"timeout" flag:"health-timeout" zero:"no"`
	// Good checks in a row that bring an endpoint back.
	Rise int `conf:"rise" flag:"health-rise" min:"1" max:"1000" aka:"passes,healthy,successes"`
	// Bad checks in a row after which an endpoint gets no requests.
	Fall int `conf:"fall" flag:"health-fall" min:"1" max:"1000" aka:"fails,unhealthy,failures"`
	// The statuses of an endpoint that is well: one, or the least and the most.
	Status Statuses `conf:"status" flag:"health-status" aka:"expect-status,codes"`
	// What the first 64KiB of the body have: words, or between slashes a regular expression.
	Expect Expectation `conf:"expect" flag:"health-expect" aka:"body,expect-body,match"`
}

// Default implements the defaults.
func (h *Health) Default() {
	*h = Health{Every: check.DefaultEvery, Timeout: check.DefaultTimeout, Rise: check.DefaultRise, Fall: check.DefaultFall,
		Status: Statuses{check.DefaultLeast, check.DefaultMost}}
}

// Site is what is served for a host name.
type Site struct {
	// What happens to requests: the first route that matches takes a request.
	Routes []Route `conf:"routes,short,required" aka:"locations,rules,paths,location"`
}

// Noun implements the word for messages.
func (*Site) Noun() string { return "site" }

// Route takes the requests that it matches.
type Route struct {
	// Which requests it takes; all unless set.
	Match Match `conf:"match" aka:"path,if,when,location,matcher,matches"`
	// Where they go: an upstream's name, a target, or an upstream of its own.
	Proxy Proxy `conf:"proxy,short,required" aka:"upstream,backend,proxy_pass,reverse_proxy,to,service,forward,pass"`
}

// Noun implements the word for messages.
func (*Route) Noun() string { return "route" }

// Match says which requests a route takes: those to which everything applies that
// it names. Of several values for one thing one must apply. It is route.Match as
// people write it.
type Match struct {
	// Paths: /api/* is /api and all below it, /about only itself, {name} one part of a path.
	Path []Pattern `conf:"path,short" aka:"paths,prefix,uri,location"`
	// Methods, as in GET.
	Method []Method `conf:"method" aka:"methods"`
	// Fields of the head with their values; any is every value, and v1* each that begins with v1.
	Field map[string][]string `conf:"field" aka:"header,headers,fields"`
	// Parameters of the query with their values, likewise.
	Query map[string][]string `conf:"query" aka:"params,queries,args"`
	// Networks that the client's address lies in, as in 10.0.0.0/8.
	Client []Network `conf:"client" aka:"ip,network,remote,remote_ip,source,networks"`
	// What must not apply; of several, none.
	Not []Match `conf:"not" aka:"except,unless"`
}

// Noun implements the word for messages.
func (*Match) Noun() string { return "match" }
