package lab

import (
	"strings"

	"github.com/gatewhy/gatewhy/fault"
)

// clientHello is the start of a TLS 1.2-compatible ClientHello: what a browser
// sends that was told https and met a plain port.
const clientHello = "\x16\x03\x01\x00\x2e\x01\x00\x00\x2a\x03\x03" +
	"0123456789abcdef0123456789abcdef" + "\x00\x00\x02\x13\x01\x01\x00"

// clientRecipes are requests that are at fault themselves, against a good
// origin: it must not see them.
func clientRecipes() []*Recipe {
	return append(requestHeads(), requestBodies()...)
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
		ask("request_not_http/http2-preface", fault.RequestNotHTTP, 400, "‸PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
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
		ask("request_target_invalid", fault.RequestTargetInvalid, 400, "GET /a‸\x01b HTTP/1.1\r\nHost: %HOST%\r\n\r\n"),
		ask("request_target_invalid/asterisk", fault.RequestTargetInvalid, 400, "GET * HTTP/1.1\r\nHost: %HOST%\r\n\r\n"),
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
		coding("", "‸gzip, chunked"),
		coding("/identity", "‸identity"),
		coding("/xchunked", "‸xchunked"),

		host("", "Host: a b\r\n"),
		host("/missing", ""),
		host("/twice", "Host: %HOST%\r\nHost: other.example\r\n"),
		host("/userinfo", "Host: user@%HOST%\r\n"),

		ask("request_target_too_long", fault.RequestTargetTooLong, 414, "GET /"+long+" HTTP/1.1\r\nHost: %HOST%\r\n\r\n"),
		head("request_header_too_large", fault.RequestHeaderTooLarge, 431, "X-A: "+long),
		head("request_header_too_large/many", fault.RequestHeaderTooLarge, 431,
			strings.Repeat("X-A: a\r\n", 20_000)+"X-B: b"),
		ask("request_head_timeout", fault.RequestHeadTimeout, 408, "").
			set("timeout-client-head", soon).sends("GET / HTTP/1.1\r\n", "Host: %HOST%\r\n", "X-A: "),
		ask("request_head_incomplete", fault.RequestHeadIncomplete, 400, "GET / HTTP/1.1\r\nHost: %HO").then(CloseWrite),
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
		ask("request_body_timeout", fault.RequestBodyTimeout, 408, "").
			set("timeout-client-body", soon).sends(sized, "hello"),
		ask("request_body_too_large", fault.RequestBodyTooLarge, 413,
			"POST / HTTP/1.1\r\nHost: %HOST%\r\nContent-Length: 11\r\n\r\nhello hello").set("max-body", "10"),
		ask("request_body_too_large/chunked", fault.RequestBodyTooLarge, 413,
			chunked+"b\r\nhello hello\r\n0\r\n\r\n").set("max-body", "10"),
		ask("request_expectation_unknown", fault.RequestExpectationUnknown, 417,
			"POST / HTTP/1.1\r\nExpect: ‸tea\r\nHost: %HOST%\r\nContent-Length: 5\r\n\r\nhello"),
		ask("request_method_unsupported", fault.RequestMethodUnsupported, 501,
			"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n"),

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
