package lab

import (
	"fmt"
	"strings"

	"github.com/gatewhy/gatewhy/fault"
)

// headingRecipes are answers whose head does not come, does not end, or breaks a
// rule.
func headingRecipes() []*Recipe {
	all := []*Recipe{
		like("head_eof_empty", "close_before_head", "reads the request and hangs up"),
		like("head_eof_empty/post", "post_close_before_head", "reads a POST and hangs up: perhaps processed"),
		like("head_rst_empty", "rst_before_head", "reads the request and resets"),
		refused("head_rst_empty/post", fault.HeadRSTEmpty, "").asks(postHello).ends(RST).lost().
			because("reads a POST and resets: perhaps processed"),
		like("head_eof_partial", "close_in_head", "hangs up inside a field name"),
		like("head_eof_partial/status-line", "close_in_status_line", "hangs up inside the status code"),
		like("head_rst_partial", "rst_in_head", "resets inside a field name"),
		like("head_timeout_first_byte", "hang_before_head", "reads the request and never answers"),
		refused("head_timeout_first_byte/call", fault.HeadTimeoutFirstByte, "").called("14").status(504).lost().ends(Hang).
			set("timeout-first-byte", soon).because("reads a call of gRPC and never answers"),
		like("head_timeout_partial", "hang_in_head", "stops in the middle of its head"),
		refused("total_timeout", fault.TotalTimeout, "").status(504).lost().set("timeout-total", soon).
			because("sends its head a byte at a time, so that no read takes too long").
			does(func(c *Conn) {
				if c.ReadRequest() {
					c.WriteSlow(strings.Split(helloHead+hello, "")...)
					c.FIN()
				}
			}),
		refused("total_timeout/body", fault.TotalTimeout, "").mustCut().set("timeout-total", soon).
			because("sends its body a byte at a time for ever").
			does(func(c *Conn) {
				if c.ReadRequest() && c.Write(sizedHead(huge)) && c.WriteMuch(huge/16) {
					for c.Write("x") && c.Wait(Gap) {
						continue
					}
				}
			}),
	}
	return append(append(append(all, foreign()...), grammar()...), interim()...)
}

// foreign are ports that do not speak HTTP/1.
func foreign() []*Recipe {
	banner := func(variant, bytes string) *Recipe {
		return refused("foreign_banner/"+variant, fault.ForeignBanner, mark+bytes)
	}
	tlsPort := func(name, body, why string) *Recipe {
		return noted(name, fault.TLSPortSays400, fmt.Sprintf(
			"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(body), body)).
			status(400).body(body).because(why)
	}
	return []*Recipe{
		like("http09", "http09_body", "sends a page without any head, as HTTP/0.9 did"),
		like("http09/binary", "garbage_binary", "sends binary bytes of no protocol"),
		like("foreign_banner", "ssh_banner", "is an SSH server"),
		like("foreign_banner/smtp", "smtp_banner", "is a mail server"),
		banner("pop3", "+OK POP3 ready\r\n").because("is a POP3 server"),
		banner("imap", "* OK [CAPABILITY IMAP4rev1] ready\r\n").because("is an IMAP server"),
		banner("mysql", "\x4a\x00\x00\x00\x0a8.0.36\x00").because("is a MySQL server"),
		banner("redis", "-ERR unknown command 'GET'\r\n").because("is a Redis server"),
		like("tls_on_plain_port", "tls_alert_on_plain", "is a TLS port that answers with an alert"),
		tlsPort("tls_port_says_400", "Client sent an HTTP request to an HTTPS server.\n",
			"is the HTTPS port of a Go program, asked without TLS"),
		tlsPort("tls_port_says_400/nginx", "<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n"+
			"<body>\r\n<center><h1>400 Bad Request</h1></center>\r\n</body>\r\n</html>\r\n", "is the HTTPS port of nginx, asked without TLS"),
		like("h2_on_h1", "h2_settings_on_h1", "speaks HTTP/2 only and sends SETTINGS"),
		like("h2_on_h1/goaway", "h2_goaway_on_h1", "speaks HTTP/2 only and sends GOAWAY"),
	}
}

// grammar are heads that break a rule.
func grammar() []*Recipe {
	lines := func(s string) string { return "HTTP/1.1 200 OK\r\n" + s + "\r\n" + tail }
	return []*Recipe{
		like("status_leading_blank", "leading_crlf", "sends an empty line before its head"),
		like("status_leading_bom", "leading_bom", "sends a byte order mark before its head"),
		like("status_leading_junk", "leading_junk_line", "prints a debug line into its answer"),
		like("status_version_name", "ver_lower", "spells HTTP in lower case"),
		like("status_version_name/icy", "ver_icy", "speaks Shoutcast"),
		like("status_version_unsupported", "ver_http20", "claims HTTP/2.0 in an HTTP/1 head"),
		like("status_version_malformed", "ver_http2", "has no minor version"),
		like("status_version_malformed/two-digits", "ver_11digits", "has a minor version of two digits"),
		like("status_spacing", "st_two_sp", "has two spaces before the code"),
		like("status_spacing/tab", "st_tab", "has a tab before the code"),
		like("status_code_length", "st_2digit", "has a status code of two digits"),
		like("status_code_length/four", "st_4digit", "has a status code of four digits"),
		like("status_code_nondigit", "st_alpha", "has letters for a status code"),
		like("status_code_range", "st_600", "has status code 600"),
		like("status_code_range/000", "st_000", "has status code 000"),
		like("status_reason_chars", "st_reason_nul", "has a NUL in its reason phrase"),
		refused("status_line_too_long", fault.StatusLineTooLong,
			"HTTP/1.1 500 "+strings.Repeat("at app.main(main.go:1) ", 8<<10)+"\r\n"+tail).
			because("puts a stack trace of 184 KiB into its reason phrase"),
		like("head_bare_lf", "bare_lf_all", "ends its lines in LF alone"),
		like("head_bare_cr", "bare_cr_header", "has a CR inside a field line"),
		like("header_nul", "hdr_nul_value", "has a NUL in a field value"),
		like("header_nul/name", "hdr_nul_name", "has a NUL in a field name"),
		like("header_ctl", "hdr_ctl_value", "has a control character in a field value"),
		like("header_obs_fold", "hdr_obs_fold", "folds a field over two lines"),
		like("header_fold_first", "hdr_fold_first", "begins its first field line with a space"),
		like("header_space_before_colon", "hdr_space_before_colon", "has a space before a colon"),
		like("header_space_before_colon/framing", "hdr_cl_space_before_colon", "has a space before the colon of Content-Length"),
		like("header_name_empty", "hdr_empty_name", "has a field without a name"),
		like("header_no_colon", "hdr_no_colon", "prints a log line into its head"),
		like("header_name_bad_char", "hdr_bad_char_name", "has parentheses in a field name"),
		like("header_name_bad_char/utf8", "hdr_utf8_name", "has an accented letter in a field name"),
		like("header_name_bad_char/space", "hdr_space_in_name", "has a space in a field name"),
		refused("header_line_too_long", fault.HeaderLineTooLong, lines("X-Debug: "+strings.Repeat("d", 9000))).
			set("max-line", "8192").because("has one field of 9000 bytes, of 8192 allowed"),
		like("header_section_too_large", "hdr_2m_total", "has a head of 2 MB"),
		refused("header_too_many", fault.HeaderTooMany, lines(strings.Repeat("X-A: a\r\n", 200)+"X-B: b")).
			set("max-fields", "100").because("has 202 fields, of 100 allowed"),
		noted("header_singleton_duplicate", fault.HeaderSingletonDuplicate,
			lines("Content-Type: text/html\r\nContent-Type: ‸text/plain")).because("has two different content types"),
		refused("header_singleton_duplicate/location", fault.HeaderSingletonDuplicate,
			"HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: ‸/b\r\nContent-Length: 0\r\n\r\n").
			because("redirects to two places"),
		noted("connection_option_abuse", fault.ConnectionOptionAbuse, lines("Connection: ‸content-length")).
			because("names Content-Length as a field of the connection"),
	}
}

// interim are answers with 1xx, and connections that do not do as they say.
func interim() []*Recipe {
	return []*Recipe{
		like("interim_unexpected", "i100_then_200", "says 100 (Continue) to a GET"),
		like("interim_flood", "i100_x2000", "says 100 (Continue) two thousand times"),
		like("interim_bad", "i100_with_cl", "says 100 (Continue) with a body"),
		like("interim_then_eof", "i100_only_close", "says 100 (Continue) and hangs up"),
		like("interim_then_eof/103", "i103_only_close", "says 103 (Early Hints) and hangs up"),
		refused("interim_on_h10", fault.InterimOnH10, "HTTP/1.0 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n"+tail).
			because("says 100 (Continue) in HTTP/1.0"),
		like("switch_unasked", "i101_unasked", "switches protocols without being asked"),
		like("switch_unasked/bare", "i101_bare", "says 101 without a protocol and without being asked"),
		refused("switch_no_upgrade_header", fault.SwitchNoUpgradeHeader, "HTTP/1.1 101 Switching Protocols\r\n\r\nraw-bytes").
			asks(webSocket).because("says 101 and not to which protocol"),
		like("switch_wrong_protocol", "ws_wrong_proto", "switches to a protocol that nobody offered"),
		noted("conn_close_lie", fault.ConnCloseLie, "").because("promises to keep the idle connection for a minute and closes it").
			asks("").lie(),
	}
}

// lie promises a long keep-alive and closes at once.
func (r *Recipe) lie() *Recipe {
	r.Warm = true
	r.serve = func(c *Conn) {
		if c.N > 0 {
			c.GoodAll()
			return
		}
		if c.ReadRequest() && c.Write("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60\r\nContent-Length: 5\r\n\r\nhello") {
			hangUpIdle(c)
		}
	}
	return r
}
