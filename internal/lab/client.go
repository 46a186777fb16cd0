package lab

import (
	"strings"

	"golang.org/x/net/http2"

	"github.com/gatewhy/gatewhy/fault"
)

// clientHello is the start of a TLS 1.2-compatible ClientHello: what a browser
// sends that was told https and met a plain port.
const clientHello = "\x16\x03\x01\x00\x2e\x01\x00\x00\x2a\x03\x03" +
	"0123456789abcdef0123456789abcdef" + "\x00\x00\x02\x13\x01\x01\x00"

// clientRecipes are requests that are at fault themselves, against a good
// origin: it must not see them.
func clientRecipes() []*Recipe {
	return append(append(requestHeads(), requestBodies()...), append(clientErrors(), clientsGone()...)...)
}

// ask is a request that is answered with status by the gateway itself.
func ask(name string, want fault.ID, status int, request string) *Recipe {
	r := refused(name, want, "").asks(request).status(status).lost().does((*Conn).GoodAll)
	r.Where = Local
	r.Why = "the client sends " + sketchRequest(request)
	return r
}

func sketchRequest(s string) string {
	s = strings.ReplaceAll(s, mark, "")
	const most = 70
	if len(s) > most {
		return quote(s[:most]) + "…"
	}
	return quote(s)
}

func requestHeads() []*Recipe {
	// Host comes last, so that no offset depends on the gateway's address.
	head := func(name string, want fault.ID, status int, lines string) *Recipe {
		return ask(name, want, status, "GET / HTTP/1.1\r\n"+lines+"\r\nHost: %HOST%\r\n\r\n")
	}
	length := func(variant string, value string) *Recipe {
		return ask("request_length_invalid"+variant, fault.RequestLengthInvalid, 400,
			"POST / HTTP/1.1\r\nContent-Length:"+value+"\r\nHost: %HOST%\r\n\r\nhello")
	}
	ambiguous := func(variant, lines string) *Recipe {
		return ask("request_framing_ambiguous"+variant, fault.RequestFramingAmbiguous, 400,
			"POST / HTTP/1.1\r\nHost: %HOST%\r\n"+lines+"\r\n\r\n"+chunkHello)
	}
	coding := func(variant, value string) *Recipe {
		return ask("request_coding_unknown"+variant, fault.RequestCodingUnknown, 501,
			"POST / HTTP/1.1\r\nTransfer-Encoding: "+value+"\r\nHost: %HOST%\r\n\r\n"+chunkHello)
	}
	host := func(variant, lines string) *Recipe {
		return ask("request_host_invalid"+variant, fault.RequestHostInvalid, 400, "GET / HTTP/1.1\r\n"+lines+"\r\n")
	}
	malformed := func(variant, lines string) *Recipe {
		return head("request_header_malformed"+variant, fault.RequestHeaderMalformed, 400, lines)
	}
	line := func(variant, line string) *Recipe {
		return ask("request_line_malformed"+variant, fault.RequestLineMalformed, 400, line+"\r\nHost: %HOST%\r\n\r\n")
	}
	long := strings.Repeat("a", 256<<10)
	return []*Recipe{
		ask("request_not_http", fault.RequestNotHTTP, 400, "‸"+clientHello),
		ask("request_not_http/h2-off", fault.RequestNotHTTP, 400, "‸PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").set("http2", "off"),
		ask("request_not_http/proxy-header", fault.RequestNotHTTP, 400,
			"‸PROXY TCP4 127.0.0.1 127.0.0.1 40000 80\r\n"+plainGET),
		ask("request_not_http/ssh", fault.RequestNotHTTP, 400, "‸SSH-2.0-OpenSSH_9.2p1\r\n"),

		ask("request_not_http/ssh-to-tls", fault.RequestNotHTTP, 400, "‸SSH-2.0-OpenSSH_9.2p1\r\n").onTLS(),
		ask("request_plain_on_tls_port", fault.RequestPlainOnTLSPort, 400, plainGET).onTLS(),
		ask("request_plain_on_tls_port/post", fault.RequestPlainOnTLSPort, 400,
			"POST /form HTTP/1.1\r\nHost: %HOST%\r\nContent-Length: 5\r\n\r\nhello").onTLS(),

		line("", "GET ‸ / HTTP/1.1"),
		line("/method", "G‸(T / HTTP/1.1"),
		line("/no-version", "GET /"),
		sentFrames("request_line_malformed/h2", fault.RequestLineMalformed, 400, "the client sends no :path", requestHead(endStream, "\x82\x86\x01\x06a.test")),
		ask("request_target_invalid", fault.RequestTargetInvalid, 400, "GET /a‸\x01b HTTP/1.1\r\nHost: %HOST%\r\n\r\n"),
		ask("request_target_invalid/asterisk", fault.RequestTargetInvalid, 400, "GET * HTTP/1.1\r\nHost: %HOST%\r\n\r\n"),
		sentFrames("request_target_invalid/h2", fault.RequestTargetInvalid, 400, "the client sends a :path without a slash",
			requestHead(endStream, "\x82\x86\x04\x04nope\x01\x06a.test")),
		ask("request_version_unsupported", fault.RequestVersionUnsupported, 505, "GET / HTTP/‸2.0\r\nHost: %HOST%\r\n\r\n"),

		malformed("", "X-A‸ : one"),
		malformed("/bare-cr", "X-A: 1‸\rX-B: 2"),
		malformed("/nul", "X-A: a‸\x00b"),
		malformed("/obs-fold", "X-A: one\r\n‸ two"),
		malformed("/no-colon", "‸garbage line here"),
		malformed("/name-char", "X‸(A): one"),
		malformed("/bare-lf", "X-A: 1‸\nX-B: 2"),
		ask("request_header_malformed/fold-first", fault.RequestHeaderMalformed, 400,
			"GET / HTTP/1.1\r\n‸ X-A: one\r\nHost: %HOST%\r\n\r\n"),
		sentFrames("request_header_malformed/h2", fault.RequestHeaderMalformed, 400, "the client has a field name in capitals",
			requestHead(endStream, getBlock+literal("X-App", "1"))),
		sentFrames("request_header_malformed/h2-newline", fault.RequestHeaderMalformed, 400, "the client has a line break in a field's value",
			requestHead(endStream, getBlock+literal("x-app", "1\r\nx-evil: 1"))),
		sentFrames("request_header_malformed/h2-connection", fault.RequestHeaderMalformed, 400, "the client has a Connection field over HTTP/2",
			requestHead(endStream, getBlock+literal("connection", "close"))),

		ambiguous("", "Content-Length: 15\r\nTransfer-Encoding: chunked"),
		ambiguous("/te-first", "Transfer-Encoding: chunked\r\nContent-Length: 15"),
		ambiguous("/lengths-differ", "Content-Length: 15\r\nContent-Length: 14"),
		ambiguous("/lengths-equal", "Content-Length: 15\r\nContent-Length: 15"),
		ambiguous("/codings-equal", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
		ask("request_framing_ambiguous/http10", fault.RequestFramingAmbiguous, 400,
			"POST / HTTP/1.0\r\nHost: %HOST%\r\nTransfer-Encoding: chunked\r\n\r\n"+chunkHello),

		length("", " ‸abc"),
		length("/negative", " ‸-5"),
		length("/plus", " ‸+5"),
		length("/overflow", " ‸99999999999999999999"),
		length("/empty", "‸"),
		sentFrames("request_length_invalid/h2", fault.RequestLengthInvalid, 400, "the client has letters for a content-length",
			requestHead(endStream, postBlock+literal("content-length", "abc"))),
		coding("", "‸gzip, chunked"),
		coding("/identity", "‸identity"),
		coding("/xchunked", "‸xchunked"),

		host("", "Host: a b\r\n"),
		host("/missing", ""),
		host("/twice", "Host: %HOST%\r\nHost: other.example\r\n"),
		host("/userinfo", "Host: user@%HOST%\r\n"),
		sentFrames("request_host_invalid/h2", fault.RequestHostInvalid, 400, "the client has an :authority with a blank",
			requestHead(endStream, "\x82\x86\x84\x01\x03a b")),
		sentFrames("request_host_invalid/h2-differs", fault.RequestHostInvalid, 400, "the client has a Host that is not its :authority",
			requestHead(endStream, getBlock+literal("host", "other.test"))),

		ask("request_target_too_long", fault.RequestTargetTooLong, 414, "GET /"+long+" HTTP/1.1\r\nHost: %HOST%\r\n\r\n"),
		head("request_header_too_large", fault.RequestHeaderTooLarge, 431, "X-A: "+long),
		head("request_header_too_large/many", fault.RequestHeaderTooLarge, 431,
			strings.Repeat("X-A: a\r\n", 20_000)+"X-B: b"),
		// 4000 bytes once, and then a byte for each time (RFC 7541 §6.2.1, §6.1).
		sentFrames("request_header_too_large/h2", fault.RequestHeaderTooLarge, 431, "the client has a header section of 8 KiB that is 16 MiB when decompressed",
			requestHead(endStream, getBlock+"\x40\x01x\x7f\xa1\x1e"+strings.Repeat("x", 4000)+strings.Repeat("\xbe", 4096))),
		ask("request_head_timeout", fault.RequestHeadTimeout, 408, "").
			set("timeout-client-head", soon).sends("GET / HTTP/1.1\r\n", "Host: %HOST%\r\n", "X-A: "),
		ask("request_head_incomplete", fault.RequestHeadIncomplete, 400, "GET / HTTP/1.1\r\nHost: %HO").then(CloseWrite),
	}
}

// The head of a good request in HPACK: GET, http, / and a.test (RFC 7541 §A, §6.2.2).
const (
	getBlock  = "\x82\x86\x84\x01\x06a.test"
	postBlock = "\x83\x86\x84\x01\x06a.test"
)

// sentFrames is a request of an HTTP/2 client that breaks a rule of its own.
func sentFrames(name string, want fault.ID, status int, why string, frames ...string) *Recipe {
	r := ask(name, want, status, "")
	r.Frames, r.Why = strings.Join(frames, ""), why
	return r
}

// requestHead is a HEADERS frame of stream 1 with that block, and more flags.
func requestHead(flags http2.Flags, block string) string {
	return frame(http2.FrameHeaders, endHeaders|flags, 1, block)
}

// clientErrors are connections of HTTP/2 clients that end because of what they sent.
func clientErrors() []*Recipe {
	broken := func(variant, goaway, why string, frames ...string) *Recipe {
		r := sentFrames("request_h2_error"+variant, fault.RequestH2Error, 0, why, frames...)
		r.Goaway = goaway
		return r
	}
	flood := func(variant, why, option, limit string, frames ...string) *Recipe {
		r := sentFrames("request_h2_flood"+variant, fault.RequestH2Flood, 0, why, frames...).set(option, limit)
		r.Goaway = "ENHANCE_YOUR_CALM"
		return r
	}
	const most = "\x7f\xff\xff\xff"
	// Rapid reset (CVE-2023-44487): requests that are called off at once.
	rapid := ""
	for i := range uint32(12) {
		rapid += frame(http2.FrameHeaders, endHeaders|endStream, 2*i+1, getBlock) + frame(http2.FrameRSTStream, 0, 2*i+1, "\x00\x00\x00\x08")
	}
	// MadeYouReset (CVE-2025-8671): requests that make the server reset them.
	made := ""
	for i := range uint32(12) {
		made += frame(http2.FrameHeaders, endHeaders, 2*i+1, postBlock) + frame(http2.FrameWindowUpdate, 0, 2*i+1, "\x00\x00\x00\x00")
	}
	ping := frame(http2.FramePing, 0, 0, "12345678")
	return []*Recipe{
		broken("", "PROTOCOL_ERROR", "the client sends DATA on stream 0", frame(http2.FrameData, endStream, 0, hello)),
		broken("/hpack", "COMPRESSION_ERROR", "the client has index 0 in its header block", requestHead(endStream, "\x80")),
		broken("/frame-size", "FRAME_SIZE_ERROR", "the client sends a PING of seven bytes", frame(http2.FramePing, 0, 0, "1234567")),
		broken("/even", "PROTOCOL_ERROR", "the client opens stream 2, as only a server may",
			frame(http2.FrameHeaders, endHeaders|endStream, 2, getBlock)),
		broken("/window", "FLOW_CONTROL_ERROR", "the client opens the connection's window beyond 2^31-1",
			frame(http2.FrameWindowUpdate, 0, 0, most), frame(http2.FrameWindowUpdate, 0, 0, most)),
		broken("/continuation", "PROTOCOL_ERROR", "the client puts PING between HEADERS and CONTINUATION",
			frame(http2.FrameHeaders, endStream, 1, getBlock), ping),
		flood("", "the client asks and calls off at once, again and again (rapid reset)", "http2-resets", "5", rapid),
		flood("/made", "the client makes the gateway reset its requests, again and again (MadeYouReset)", "http2-resets", "5", made),
		flood("/ping", "the client sends PING without end", "http2-control", "100", strings.Repeat(ping, 500)),
		flood("/settings", "the client sends SETTINGS without end", "http2-control", "100", strings.Repeat(frame(http2.FrameSettings, 0, 0, ""), 500)),
		flood("/priority", "the client sends PRIORITY without end", "http2-control", "100",
			strings.Repeat(frame(http2.FramePriority, 0, 1, "\x00\x00\x00\x00\x10"), 500)),
		flood("/data", "the client sends empty DATA without end", "http2-control", "100", requestHead(0, postBlock),
			strings.Repeat(frame(http2.FrameData, 0, 1, ""), 500)),
		flood("/unknown", "the client sends frames of an unknown type without end", "http2-control", "100", strings.Repeat(frame(0x42, 0, 0, ""), 500)),
	}
}

func requestBodies() []*Recipe {
	const sized = "POST / HTTP/1.1\r\nHost: %HOST%\r\nContent-Length: 10\r\n\r\n"
	const chunked = "POST / HTTP/1.1\r\nHost: %HOST%\r\nTransfer-Encoding: chunked\r\n\r\n"
	return []*Recipe{
		ask("request_body_broken", fault.RequestBodyBroken, 400, chunked+"5\r\nhello\r\n‸zz\r\n"),
		ask("request_body_broken/cut", fault.RequestBodyBroken, 400, sized+"hello").then(CloseWrite),
		ask("request_body_broken/bare-lf", fault.RequestBodyBroken, 400, chunked+"5‸\nhello\r\n0\r\n\r\n"),
		ask("request_body_broken/overrun", fault.RequestBodyBroken, 400, chunked+"5\r\nhello‸XX\r\n0\r\n\r\n"),
		sentFrames("request_body_broken/h2", fault.RequestBodyBroken, 400, "the client sends 5 bytes of 10 and ends the stream",
			requestHead(0, postBlock+literal("content-length", "10")), frame(http2.FrameData, endStream, 1, hello)),
		ask("request_body_timeout", fault.RequestBodyTimeout, 408, "").
			set("timeout-client-body", soon).sends(sized, "hello"),
		sentFrames("request_body_timeout/h2", fault.RequestBodyTimeout, 408, "the client sends 5 bytes of 10, and no more",
			requestHead(0, postBlock+literal("content-length", "10")), frame(http2.FrameData, 0, 1, hello)).set("timeout-client-body", soon),
		ask("request_body_too_large", fault.RequestBodyTooLarge, 413,
			"POST / HTTP/1.1\r\nHost: %HOST%\r\nContent-Length: 11\r\n\r\nhello hello").set("max-body", "10"),
		ask("request_body_too_large/chunked", fault.RequestBodyTooLarge, 413,
			chunked+"b\r\nhello hello\r\n0\r\n\r\n").set("max-body", "10"),
		sentFrames("request_body_too_large/h2", fault.RequestBodyTooLarge, 413, "the client sends 11 bytes, of 10 allowed",
			requestHead(0, postBlock), frame(http2.FrameData, endStream, 1, "hello hello")).set("max-body", "10"),
		ask("request_expectation_unknown", fault.RequestExpectationUnknown, 417,
			"POST / HTTP/1.1\r\nExpect: ‸tea\r\nHost: %HOST%\r\nContent-Length: 5\r\n\r\nhello"),
		ask("request_method_unsupported", fault.RequestMethodUnsupported, 501,
			"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n"),
		sentFrames("request_method_unsupported/h2", fault.RequestMethodUnsupported, 501, "the client asks for a tunnel over HTTP/2",
			requestHead(0, "\x02\x07CONNECT\x01\x11other.example:443")),
	}
}

// clientsGone are clients that do not wait for their answer, or do not take it.
func clientsGone() []*Recipe {
	return []*Recipe{
		// A FIN alone may come from a client that only has no more to say, so the
		// answer goes on its way, and finds nobody.
		refused("client_gone", fault.ClientGone, "").status(0).lost().then(Close).
			because("the client leaves before the upstream answers").
			does(func(c *Conn) {
				if c.ReadRequest() && c.Wait(5*Gap) && c.Write(sizedHead(huge)) {
					c.WriteMuch(huge)
				}
			}),
		refused("client_gone/reset", fault.ClientGone, "").status(0).lost().then(Reset).ends(Hang).
			because("the client resets while the upstream thinks"),
		refused("reply_timeout", fault.ReplyTimeout, "").mustCut().then(Stall).set("timeout-reply", soon).
			because("the upstream answers with much, and the client does not read").
			does(func(c *Conn) {
				if c.ReadRequest() {
					c.Write(sizedHead(4 * huge))
					c.WriteMuch(4 * huge)
					c.FIN()
				}
			}),
	}
}
