package fault

// grpcOverHTTP2 is the document that defines gRPC on the wire; mapping says which
// gRPC status a client makes of an HTTP status. Both are in gRPC's repository.
const (
	grpcOverHTTP2 = "gRPC PROTOCOL-HTTP2"
	grpcMapping   = "gRPC http-grpc-status-mapping"
)

// grpc: answers that mean nothing, or something bad, to a gRPC client. It gets
// status 200 whatever happened, and the verdict in grpc-status: Status is what an
// HTTP client would get.
var grpc = []Row{
	{
		ID: GRPCStatusMissing, Phase: Body, Side: Upstream, Class: ClassNoAnswer,
		Status: 502, Proxy: "http_protocol_error", Retry: RI, Rule: grpcOverHTTP2,
		Title:    "the upstream's gRPC answer ended without grpc-status",
		Requires: "A call ends with trailers, and they say grpc-status, even if all went well. An answer without it is broken off, however whole it looks to HTTP.",
		Saw:      "the answer on stream {stream} ended without grpc-status after {received} bytes",
		Causes: []string{
			"a proxy on the way speaks HTTP/1.1 and drops trailers",
			"the handler crashed, and its server ended the stream as if all were well",
			"a timeout of a proxy on the way ended the stream",
		},
		Fix: []string{
			"look for a hop between the gateway and the application that is not HTTP/2 from end to end",
			"look for a crash in the application's log at this time",
			"ask the application itself: `grpcurl -plaintext HOST:PORT SERVICE/METHOD`",
		},
		Related: []ID{GRPCMessageTruncated, GRPCStatusInBodyH1, H2TrailersBad},
		Mark:    -1,
		Nginx:   "passes it on; clients say `server closed the stream without sending trailers`",
		HAProxy: "passes it on",
	},
	{
		ID: GRPCStatusInBodyH1, Phase: Body, Side: Upstream, Class: ClassBadAnswer,
		Status: 502, Proxy: "http_upgrade_failed", Retry: R0, Rule: grpcOverHTTP2,
		Title:    "the upstream answered a gRPC call over HTTP/1.1, without grpc-status",
		Requires: "gRPC is defined over HTTP/2. Over HTTP/1.1 an answer can have trailers only in chunks, and most servers send none.",
		Saw:      "the answer came over HTTP/1.1 with status {status} and no grpc-status",
		Causes: []string{
			"the upstream is written with http://, and its gRPC server wants h2c://",
			"the https:// upstream did not agree to HTTP/2 (ALPN)",
			"the port is that of a web server, not of the gRPC server",
		},
		Fix: []string{
			"write h2c:// in place of http:// for a gRPC server without TLS",
			"with https://, let the server offer h2: `openssl s_client -alpn h2 -connect HOST:PORT`",
		},
		Related: []ID{GRPCStatusMissing, GRPCContentType, H2GotHTTP1},
		Mark:    -1,
		Nginx:   "grpc_pass speaks HTTP/2 only: 502",
		HAProxy: "passes it on",
	},
	{
		ID: GRPCContentType, Phase: Head, Side: Upstream, Class: ClassBadAnswer,
		Status: 502, Proxy: "http_protocol_error", Retry: R0, Rule: grpcOverHTTP2,
		Title:    "the upstream answered a gRPC call with something that is not gRPC",
		Requires: "An answer to a call has a content-type that begins with application/grpc. Anything else is a page for people, or an answer to somebody else.",
		Saw:      "the answer's content-type is {got}",
		Causes: []string{
			"the request was routed to a web server, or to a page for unknown paths with status 200",
			"a proxy on the way answered with a page of its own",
			"the service speaks gRPC-Web or JSON on this path",
		},
		Fix: []string{
			"ask by hand what answers there: `curl -v --http2-prior-knowledge -X POST http://HOST:PORT/SERVICE/METHOD`",
			"send calls of this service to the port of the gRPC server",
		},
		Related: []ID{GRPCHTTPStatus, GRPCStatusInBodyH1, GRPCStatusMissing},
		Mark:    -1,
		Nginx:   "passes it on; clients say `unexpected content-type \"text/html\"`",
		HAProxy: "passes it on",
	},
	{
		ID: GRPCHTTPStatus, Phase: Head, Side: Upstream, Class: ClassRepaired, Kind: Notice,
		Retry: NoRetry, Rule: grpcMapping,
		Title:    "the upstream answered a gRPC call with an HTTP error status",
		Requires: "A gRPC server answers with status 200 and says in grpc-status what went wrong. Another status comes from something before it; clients translate it: 502, 503 and 504 to UNAVAILABLE, 404 to UNIMPLEMENTED.",
		Saw:      "the answer has status {status} and no grpc-status",
		Causes: []string{
			"a proxy between the gateway and the application could not reach it (502, 503, 504)",
			"the path is not known to the server that answered (404)",
			"a filter before the application refused the call (401, 403)",
		},
		Fix: []string{
			"find out which hop answered: its Server or Via header field, its log",
			"for a 404, compare the path with the full name of the service in the .proto file: /package.Service/Method",
		},
		Related: []ID{GRPCContentType, UpstreamGatewayError, GRPCTrailersOnlyError},
		Mark:    -1,
		Nginx:   "passes it on",
		HAProxy: "passes it on",
	},
	{
		ID: GRPCMessageTruncated, Phase: Body, Side: Upstream, Class: ClassNoAnswer,
		Status: 502, Proxy: "http_response_incomplete", Retry: RI, Rule: grpcOverHTTP2,
		Title:    "the upstream's last gRPC message is shorter than its prefix says",
		Requires: "Each message begins with five bytes, a flag and its length, and has as many bytes as that. A stream that ends inside of a message and says that all went well has lost something.",
		Saw:      "a message of {want} bytes ended after {got}",
		Causes: []string{
			"the handler or its server crashed while it wrote the message",
			"a proxy on the way cut the body, or changed it",
			"a server that writes the prefix itself and counts wrongly",
		},
		Fix: []string{
			"look for a crash in the application's log at this time",
			"ask the application itself: `grpcurl -plaintext HOST:PORT SERVICE/METHOD`",
		},
		Related: []ID{GRPCStatusMissing, GRPCCompressedFlagBad, H2ContentLengthMismatch},
		Mark:    -1,
		Nginx:   "passes it on; clients say `unexpected EOF`",
		HAProxy: "passes it on",
	},
	{
		ID: GRPCCompressedFlagBad, Phase: Body, Side: Upstream, Class: ClassBadAnswer,
		Status: 502, Proxy: "http_response_content_coding", Retry: R0, Rule: grpcOverHTTP2,
		Title:    "the upstream's gRPC message says that it is compressed, and not how",
		Requires: "The first byte of a message is 0, or 1 where it is compressed as the header field grpc-encoding says. Without that field it is 0, and no other value means anything.",
		Saw:      "a message begins with the flag {byte}, and grpc-encoding is {value}",
		Causes: []string{
			"a proxy on the way removed grpc-encoding",
			"the body is not gRPC: text, JSON or gRPC-Web where messages should be",
			"a server that writes the prefix itself",
		},
		Fix: []string{
			"let every hop pass grpc-encoding on",
			"switch compression off in the server until it is found",
		},
		Related: []ID{GRPCMessageTruncated, GRPCContentType, ContentCodingMismatch},
		Mark:    -1,
		Nginx:   "passes it on",
		HAProxy: "passes it on",
	},
	{
		ID: GRPCDeadline, Phase: Await, Side: Upstream, Class: ClassTooSlow,
		Status: 504, Proxy: "http_response_timeout", Retry: NoRetry, Rule: grpcOverHTTP2,
		Title:    "the time that the client gave for the gRPC call ran out",
		Requires: "A client says in grpc-timeout how long it will wait. When that has passed nobody wants the answer any more, so the call ends with DEADLINE_EXCEEDED and is not sent again.",
		Saw:      "grpc-timeout was {limit}, and has passed without an answer",
		Causes: []string{
			"the application is slower than its clients expect",
			"earlier attempts used up the time",
			"a deadline that was passed along through many services, and is almost over when it comes here",
		},
		Fix: []string{
			"see in which phase the time went: `gatewhy explain INCIDENT` shows it",
			"give the call more time in the client, or make the method faster",
		},
		Related: []ID{TotalTimeout, HeadTimeoutFirstByte, DeadlineBeforeAttempt},
		Mark:    -1,
		Nginx:   "504 after its own timeouts, whatever grpc-timeout says",
		HAProxy: "504 after its own timeouts, whatever grpc-timeout says",
	},
	{
		ID: GRPCTrailersOnlyError, Phase: Head, Side: Upstream, Class: ClassRepaired, Kind: Notice,
		Retry: NoRetry, Rule: grpcOverHTTP2,
		Title:    "the upstream refused the gRPC call at once",
		Requires: "A call that fails before it has an answer ends with its first header block, which says grpc-status. It is a whole answer and is passed on.",
		Saw:      "the answer is trailers only, with grpc-status {code}",
		Causes: []string{
			"the application means it: unknown method (12), bad argument (3), no permission (7, 16)",
			"the application is overloaded or about to stop (8, 14)",
		},
		Fix: []string{
			"read grpc-message; the client has got both",
			"for 14 (UNAVAILABLE), let the client try again, with a pause",
		},
		Related: []ID{GRPCHTTPStatus, Upstream5xx},
		Mark:    -1,
		Nginx:   "passes it on",
		HAProxy: "passes it on",
	},
}
