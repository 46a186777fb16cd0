package lab

import (
	"strings"

	"github.com/gatewhy/gatewhy/fault"
)

// The heads that most cases of the corpus share.
const (
	chunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	chunkHello  = "5\r\nhello\r\n0\r\n\r\n"
	tail        = "Content-Length: 5\r\n\r\nhello" // the rest of a head and its body
)

// corpus is the golden corpus: raw answers that real proxies disagree about,
// each with the verdict of a gateway that is strict with its upstreams. A ‸
// stands in front of the offending byte.
func corpus() []*Recipe {
	var all []*Recipe
	for _, part := range []func() []*Recipe{corpusEnds, corpusStatusLines, corpusFields, corpusLengths,
		corpusChunks, corpusBodies, corpusInterim, corpusSizes} {
		all = append(all, part()...)
	}
	for _, r := range all {
		r.Name = "corpus/" + r.Name
	}
	return all
}

// corpusEnds are answers that end too early, and bytes that are no HTTP.
func corpusEnds() []*Recipe {
	return []*Recipe{
		fine("ok", helloHead+hello),
		refused("close_before_head", fault.HeadEOFEmpty, ""),
		refused("close_in_status_line", fault.HeadEOFPartial, "HTTP/1.1 20"),
		refused("close_in_head", fault.HeadEOFPartial, "HTTP/1.1 200 OK\r\nContent-Le"),
		refused("close_after_status_line", fault.HeadEOFPartial, "HTTP/1.1 200 OK\r\n"),
		refused("rst_in_head", fault.HeadRSTPartial, "HTTP/1.1 200 OK\r\nContent-Le").ends(RST),
		refused("hang_before_head", fault.HeadTimeoutFirstByte, "").ends(Hang).status(504).set("timeout-first-byte", soon),
		refused("hang_in_head", fault.HeadTimeoutPartial, "HTTP/1.1 200 OK\r\nContent-Le").ends(Hang).status(504).
			set("timeout-first-byte", soon, "timeout-read", soon),
		refused("rst_before_head", fault.HeadRSTEmpty, "").ends(RST),
		refused("post_close_before_head", fault.HeadEOFEmpty, "").asks(postHello).lost(),

		refused("garbage_binary", fault.HTTP09, "‸\x00\x01\x02\x03\xff\xfe binary\n\n"),
		refused("ssh_banner", fault.ForeignBanner, "‸SSH-2.0-OpenSSH_9.2p1\r\n"),
		refused("smtp_banner", fault.ForeignBanner, "‸220 mail.example ESMTP\r\n"),
		refused("http09_body", fault.HTTP09, "‸<html>hi</html>\n"),
		refused("tls_alert_on_plain", fault.TLSOnPlainPort, "‸\x15\x03\x01\x00\x02\x02F"),
		refused("h2_settings_on_h1", fault.H2OnH1, "‸\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
		refused("h2_goaway_on_h1", fault.H2OnH1,
			"‸\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00d\x00\x00\b\a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"),
	}
}

func corpusStatusLines() []*Recipe {
	version := func(name string, want fault.ID, v string) *Recipe {
		return refused(name, want, v+" 200 OK\r\n"+tail)
	}
	code := func(name string, want fault.ID, c string) *Recipe {
		return refused(name, want, "HTTP/1.1 "+c+"\r\n"+tail)
	}
	mended := func(name string, note fault.ID, line string) *Recipe {
		return noted(name, note, line+"\r\n"+tail)
	}
	return []*Recipe{
		version("ver_http20", fault.StatusVersionUnsupported, "HTTP/‸2.0"),
		version("ver_http30", fault.StatusVersionUnsupported, "HTTP/‸3.0"),
		version("ver_http2", fault.StatusVersionMalformed, "HTTP/2‸"),
		version("ver_lower", fault.StatusVersionName, "‸http/1.1"),
		fine("ver_http10", "HTTP/1.0 200 OK\r\n"+tail),
		version("ver_http09", fault.StatusVersionUnsupported, "HTTP/‸0.9"),
		version("ver_11digits", fault.StatusVersionMalformed, "HTTP/1.1‸0"),
		version("ver_icy", fault.StatusVersionName, "‸ICY"),

		mended("st_two_sp", fault.StatusSpacing, "HTTP/1.1 ‸ 200 OK"),
		mended("st_tab", fault.StatusSpacing, "HTTP/1.1‸\t200 OK"),
		code("st_2digit", fault.StatusCodeLength, "20‸ OK"),
		code("st_4digit", fault.StatusCodeLength, "200‸0 OK"),
		code("st_alpha", fault.StatusCodeNondigit, "‸abc OK"),
		code("st_plus", fault.StatusCodeNondigit, "‸+20 OK"),
		code("st_000", fault.StatusCodeRange, "‸000 X"),
		code("st_099", fault.StatusCodeRange, "‸099 X"),
		code("st_600", fault.StatusCodeRange, "‸600 X"),
		code("st_999", fault.StatusCodeRange, "‸999 X"),
		fine("st_noreason_nosp", "HTTP/1.1 200\r\n"+tail),
		fine("st_noreason_sp", "HTTP/1.1 200 \r\n"+tail),
		mended("st_reason_ctl", fault.StatusReasonChars, "HTTP/1.1 200 O‸\x01K"),
		mended("st_reason_nul", fault.StatusReasonChars, "HTTP/1.1 200 O‸\x00K"),
		mended("st_reason_cr", fault.StatusReasonChars, "HTTP/1.1 200 O‸\rK"),
		mended("st_leading_sp", fault.StatusSpacing, "‸ HTTP/1.1 200 OK"),

		mended("leading_crlf", fault.StatusLeadingBlank, "‸\r\nHTTP/1.1 200 OK"),
		version("leading_bom", fault.StatusLeadingBOM, "‸\ufeffHTTP/1.1"),
		version("leading_junk_line", fault.StatusLeadingJunk, "‸DEBUG: starting\nHTTP/1.1"),
	}
}

func corpusFields() []*Recipe {
	bad := func(name string, want fault.ID, lines string) *Recipe {
		return refused(name, want, "HTTP/1.1 200 OK\r\n"+lines+"\r\n"+tail)
	}
	mended := func(name string, note fault.ID, lines string) *Recipe {
		return noted(name, note, "HTTP/1.1 200 OK\r\n"+lines+"\r\n"+tail)
	}
	return []*Recipe{
		noted("bare_lf_all", fault.HeadBareLF, "HTTP/1.1 200 OK‸\nContent-Length: 5\n\nhello"),
		mended("bare_lf_header", fault.HeadBareLF, "X-A: 1‸\nX-B: 2"),
		bad("bare_cr_header", fault.HeadBareCR, "X-A: 1‸\rX-B: 2"),
		bad("hdr_nul_value", fault.HeaderNUL, "X-A: a‸\x00b"),
		bad("hdr_nul_name", fault.HeaderNUL, "X-‸\x00A: ab"),
		mended("hdr_ctl_value", fault.HeaderCtl, "X-A: a‸\x01b"),
		mended("hdr_del_value", fault.HeaderCtl, "X-A: a‸\x7fb"),
		fine("hdr_obs_text", "HTTP/1.1 200 OK\r\nX-A: caf\xe9\r\n"+tail),
		mended("hdr_obs_fold", fault.HeaderObsFold, "X-A: one\r\n‸ two"),
		bad("hdr_fold_first", fault.HeaderFoldFirst, "‸ X-A: one"),
		mended("hdr_space_before_colon", fault.HeaderSpaceBeforeColon, "X-A‸ : one"),
		refused("hdr_cl_space_before_colon", fault.HeaderSpaceBeforeColon,
			"HTTP/1.1 200 OK\r\nContent-Length‸ : 5\r\n\r\nhello"),
		bad("hdr_empty_name", fault.HeaderNameEmpty, "‸: one"),
		bad("hdr_no_colon", fault.HeaderNoColon, "‸garbage line here"),
		bad("hdr_space_in_name", fault.HeaderNameBadChar, "X‸ A: one"),
		bad("hdr_bad_char_name", fault.HeaderNameBadChar, "X‸(A): one"),
		bad("hdr_utf8_name", fault.HeaderNameBadChar, "X-‸\u00e9: one"),
	}
}

// corpusLengths are heads whose framing fields are wrong or disagree.
func corpusLengths() []*Recipe {
	length := func(name string, want fault.ID, value string) *Recipe {
		return refused(name, want, "HTTP/1.1 200 OK\r\nContent-Length:"+value+"\r\n\r\nhello")
	}
	coding := func(name string, want fault.ID, value string) *Recipe {
		return refused(name, want, "HTTP/1.1 200 OK\r\nTransfer-Encoding: "+value+"\r\n\r\n"+chunkHello)
	}
	return []*Recipe{
		length("cl_alpha", fault.CLInvalid, " ‸abc"),
		length("cl_neg", fault.CLInvalid, " ‸-5"),
		length("cl_plus", fault.CLInvalid, " ‸+5"),
		length("cl_hex", fault.CLInvalid, " 0‸x5"),
		length("cl_empty", fault.CLEmpty, "‸"),
		length("cl_spaces", fault.CLInvalid, " 5‸ 5"),
		length("cl_huge", fault.CLOverflow, " ‸99999999999999999999"),
		length("cl_decimal", fault.CLInvalid, " 5‸.0"),
		noted("cl_dup_same", fault.CLDuplicateSame, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: ‸5\r\n\r\nhello"),
		noted("cl_list_same", fault.CLListSame, "HTTP/1.1 200 OK\r\nContent-Length: ‸5, 5\r\n\r\nhello"),
		length("cl_conflict", fault.CLConflict, " 5\r\nContent-Length: ‸6"),
		length("cl_list_conflict", fault.CLConflict, " 5, ‸6"),
		refused("cl_and_te", fault.CLAndTE,
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: ‸chunked\r\n\r\n"+chunkHello),
		refused("te_and_cl", fault.CLAndTE,
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: ‸5\r\n\r\n"+chunkHello),
		coding("te_identity", fault.TEUnknown, "‸identity"),
		coding("te_gzip_chunked", fault.TEUnknown, "‸gzip, chunked"),
		coding("te_chunked_chunked", fault.TEChunkedNotFinal, "‸chunked, chunked"),
		coding("te_xchunked", fault.TEUnknown, "‸xchunked"),
		coding("te_chunked_gzip", fault.TEChunkedNotFinal, "‸chunked, gzip"),
		coding("te_quoted", fault.TEUnknown, "‸\"chunked\""),
		coding("te_vt", fault.TEUnknown, "‸\vchunked"),
		noted("te_twice", fault.TEDuplicateLine,
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: ‸chunked\r\n\r\n"+chunkHello),
		noted("te_http10", fault.TEOnHTTP10, "HTTP/1.0 200 OK\r\nTransfer-Encoding: ‸chunked\r\n\r\n"+chunkHello),
	}
}

// corpusChunks are chunked bodies. All are small enough to be held back until
// the fault is known, but need not be: so each may also be cut.
func corpusChunks() []*Recipe {
	bad := func(name string, want fault.ID, body string) *Recipe {
		return refused(name, want, chunkedHead+body).cut()
	}
	return []*Recipe{
		fine("chunk_ok", chunkedHead+chunkHello),
		bad("chunk_bad_size", fault.ChunkSizeInvalid, "‸zz\r\nhello\r\n0\r\n\r\n"),
		bad("chunk_bad_size_second", fault.ChunkSizeInvalid, "5\r\nhello\r\n‸zz\r\n"),
		bad("chunk_neg", fault.ChunkSizeInvalid, "‸-5\r\nhello\r\n0\r\n\r\n"),
		bad("chunk_0x", fault.ChunkSizeInvalid, "0‸x5\r\nhello\r\n0\r\n\r\n"),
		bad("chunk_leading_sp", fault.ChunkSizeInvalid, "‸ 5\r\nhello\r\n0\r\n\r\n"),
		bad("chunk_trailing_sp", fault.ChunkSizeInvalid, "5‸ \r\nhello\r\n0\r\n\r\n"),
		bad("chunk_overflow", fault.ChunkSizeOverflow, "FFFFFFFFFFFFFFF‸FF\r\nhello\r\n0\r\n\r\n"),
		bad("chunk_empty_size", fault.ChunkSizeInvalid, "‸\r\nhello\r\n0\r\n\r\n"),
		bad("chunk_lf_size", fault.ChunkLineBareLF, "5‸\nhello\r\n0\r\n\r\n"),
		bad("chunk_lf_data", fault.ChunkLineBareLF, "5\r\nhello‸\n0\r\n\r\n"),
		bad("chunk_data_overrun", fault.ChunkDataOverrun, "5\r\nhello‸XX\r\n0\r\n\r\n"),
		fine("chunk_ext", chunkedHead+"5;a=b\r\nhello\r\n0\r\n\r\n"),
		bad("chunk_ext_cr", fault.ChunkLineCR, "5;a=‸\rb\r\nhello\r\n0\r\n\r\n"),
		bad("chunk_ext_64k", fault.ChunkLineTooLong, "5;a="+strings.Repeat("b", 64<<10)+"\r\nhello\r\n0\r\n\r\n"),
		bad("chunk_no_last", fault.ChunkEOF, "5\r\nhello\r\n"),
		bad("chunk_close_mid", fault.ChunkEOF, "a\r\nhello"),
		bad("chunk_rst_mid", fault.ChunkEOF, "a\r\nhello").ends(RST),
		bad("chunk_hang_mid", fault.BodyReadTimeout, "a\r\nhello").ends(Hang).status(504).lost().set("timeout-read", soon),
		noted("chunk_last_no_crlf", fault.ChunkLastMissingCRLF, chunkedHead+"5\r\nhello\r\n0\r\n"),
		// All of the data is here, but a trailer section may follow, so only time ends it.
		bad("chunk_last_no_crlf_hang", fault.BodyReadTimeout, "5\r\nhello\r\n0\r\n").ends(Hang).status(504).lost().
			set("timeout-read", soon),
		fine("chunk_trailer_ok", chunkedHead+"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"),
		bad("chunk_trailer_bad", fault.TrailerMalformed, "5\r\nhello\r\n0\r\n‸bad trailer\r\n\r\n"),
		noted("chunk_trailer_cl", fault.TrailerForbidden, chunkedHead+"5\r\nhello\r\n0\r\n‸Content-Length: 9\r\n\r\n"),
		bad("chunk_trailer_64k", fault.TrailerTooLarge, "5\r\nhello\r\n0\r\n‸X-T: "+strings.Repeat("t", 64<<10)+"\r\n\r\n"),
		noted("chunk_extra_after", fault.ExtraAfterMessage, chunkedHead+chunkHello+"EXTRA"),
	}
}

// corpusBodies are the other bodies: short, long, and where none may be.
func corpusBodies() []*Recipe {
	short := func(name string, want fault.ID, e End) *Recipe {
		return refused(name, want, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").ends(e).cut()
	}
	const toClose = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"
	const early = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"
	return []*Recipe{
		short("cl_short_fin", fault.BodyEOFShort, FIN),
		short("cl_short_rst", fault.BodyRST, RST),
		short("cl_short_hang", fault.BodyReadTimeout, Hang).status(504).lost().set("timeout-read", soon),
		refused("cl_zero_body_fin", fault.BodyEOFShort, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").cut(),
		noted("cl_over", fault.ExtraAfterMessage, helloHead+"helloEXTRA"),
		noted("closedelim_ok", fault.BodyCloseDelimitedFIN, toClose),
		refused("closedelim_rst", fault.BodyCloseDelimitedRST, toClose).ends(RST).cut().lost(),
		noted("resp_smuggle", fault.ResponseSmuggled,
			helloHead+"helloHTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Poison: 1\r\n\r\npoison").ends(Hang),
		noted("b204_body", fault.BodyForbiddenFraming, "HTTP/1.1 204 No Content\r\nContent-Length: ‸5\r\n\r\nhello").
			also(fault.BodyOnBodyless).status(204),
		noted("b204_te", fault.BodyForbiddenFraming, "HTTP/1.1 204 No Content\r\nTransfer-Encoding: ‸chunked\r\n\r\n"+chunkHello).
			also(fault.BodyOnBodyless).status(204),
		noted("b304_body", fault.BodyOnBodyless, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello").status(304),
		noted("head_body", fault.BodyOnBodyless, helloHead+hello).asks(plainHEAD).body(""),
		noted("ce_gzip_plain", fault.ContentCodingMismatch, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"+tail),
		noted("early_413_rst", fault.EarlyResponse, early).asks(postBig).uploads(huge).status(413).body("big").
			does(func(c *Conn) { c.early(early, RST) }).ends(RST),
		noted("early_413_close", fault.EarlyResponse, early).asks(postBig).uploads(huge).status(413).body("big").
			does(func(c *Conn) { c.early(early, FIN) }),
		noted("expect_417", fault.Expect417, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n").
			asks(expecting).status(417).does(func(c *Conn) {
			c.early("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n", FIN)
		}),
	}
}

func corpusInterim() []*Recipe {
	const goOn, ok = "HTTP/1.1 100 Continue\r\n\r\n", helloHead + hello
	const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
	return []*Recipe{
		noted("i100_then_200", fault.InterimUnexpected, goOn+ok),
		fine("i102_then_200", "HTTP/1.1 102 Processing\r\n\r\n"+ok),
		fine("i103_then_200", "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"+ok),
		fine("i199_then_200", "HTTP/1.1 199 X\r\n\r\n"+ok),
		refused("i100_only_close", fault.InterimThenEOF, goOn),
		refused("i103_only_close", fault.InterimThenEOF, "HTTP/1.1 103 Early Hints\r\n\r\n"),
		refused("i100_x2000", fault.InterimFlood, strings.Repeat(goOn, 2000)+ok),
		refused("i100_with_cl", fault.InterimBad, "HTTP/1.1 100 Continue\r\nContent-Length: ‸5\r\n\r\nhello"+ok),
		refused("i101_unasked", fault.SwitchUnasked, switched+"Upgrade: websocket\r\n\r\nraw-bytes"),
		refused("i101_bare", fault.SwitchUnasked, "HTTP/1.1 101 Switching Protocols\r\n\r\nraw-bytes"),
		refused("ws_wrong_proto", fault.SwitchWrongProtocol, switched+"Upgrade: foo\r\n\r\nraw-bytes").asks(webSocket),
		refused("ws_bad_accept", fault.WSAcceptBad,
			switched+"Upgrade: websocket\r\nSec-WebSocket-Accept: AAAA\r\n\r\n\x81\x02hi").asks(webSocket),
		noted("ws_refused_200", fault.WSUpgradeRefused, helloHead+hello).asks(webSocket),
		refused("ws_close", fault.WSUpgradeEOF, "").asks(webSocket),
	}
}

// corpusSizes are heads of sizes that some proxies refuse and applications send.
func corpusSizes() []*Recipe {
	lines := func(line string, n int) string { return "HTTP/1.1 200 OK\r\n" + strings.Repeat(line, n) + tail }
	line := func(n int) string { return "X-A: " + strings.Repeat("a", n) + "\r\n" }
	return []*Recipe{
		fine("hdr_8k_line", lines(line(8<<10), 1)),
		fine("hdr_70k_line", lines(line(70_000), 1)),
		fine("hdr_500_lines", lines(line(1), 500)),
		refused("hdr_2m_total", fault.HeaderSectionTooLarge, lines(line(1000), 2000)),
	}
}
