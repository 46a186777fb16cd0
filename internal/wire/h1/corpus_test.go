package h1

import (
	"strings"
	"testing"

	"github.com/gatewhy/gatewhy/internal/message"
)

// corpus holds what an upstream sent in each of the measured raw cases of broken
// answers, and what we read in it: the flaw and its offset, from the start of
// the head or, behind "chunked" and "sized", of the body. How the stream ended
// (FIN, RST, silence) is not for a codec to know: "cut" and "incomplete" stand
// for all three.
var corpus = []struct{ name, request, raw, want string }{
	{"ok", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello"`},
	{"close_before_head", "GET", "", `nothing`},
	{"close_in_status_line", "GET", "HTTP/1.1 20", `incomplete`},
	{"close_in_head", "GET", "HTTP/1.1 200 OK\r\nContent-Le", `incomplete`},
	{"close_after_status_line", "GET", "HTTP/1.1 200 OK\r\n", `incomplete`},
	{"rst_in_head", "GET", "HTTP/1.1 200 OK\r\nContent-Le", `incomplete`},
	{"hang_before_head", "GET", "", `nothing`},
	{"hang_in_head", "GET", "HTTP/1.1 200 OK\r\nContent-Le", `incomplete`},
	{"garbage_binary", "GET", "\x00\x01\x02\x03\xff\xfe binary\n\n", `head NotHTTP 0`},
	{"ssh_banner", "GET", "SSH-2.0-OpenSSH_9.2p1\r\n", `head NotHTTP 0`},
	{"smtp_banner", "GET", "220 mail.example ESMTP\r\n", `head NotHTTP 0`},
	{"http09_body", "GET", "<html>hi</html>\n", `head NotHTTP 0`},
	{"tls_alert_on_plain", "GET", "\x15\x03\x01\x00\x02\x02F", `head NotHTTP 0`},
	{"h2_settings_on_h1", "GET", "\x00\x00\x00\x04\x00\x00\x00\x00\x00", `head NotHTTP 0`},
	{"h2_goaway_on_h1", "GET", "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00d\x00\x00\b\a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", `head NotHTTP 0`},
	{"ver_http20", "GET", "HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", `head VersionUnsupported 5`},
	{"ver_http30", "GET", "HTTP/3.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", `head VersionUnsupported 5`},
	{"ver_http2", "GET", "HTTP/2 200 OK\r\nContent-Length: 5\r\n\r\nhello", `head VersionMalformed 6`},
	{"ver_lower", "GET", "http/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", `head VersionName 0`},
	{"ver_http10", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello", close`},
	{"ver_http09", "GET", "HTTP/0.9 200 OK\r\nContent-Length: 5\r\n\r\nhello", `head VersionUnsupported 5`},
	{"ver_11digits", "GET", "HTTP/1.10 200 OK\r\nContent-Length: 5\r\n\r\nhello", `head VersionMalformed 8`},
	{"ver_icy", "GET", "ICY 200 OK\r\nContent-Length: 5\r\n\r\nhello", `head VersionName 0`},
	{"st_two_sp", "GET", "HTTP/1.1  200 OK\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello", repaired StatusSpacing 9`},
	{"st_tab", "GET", "HTTP/1.1\t200 OK\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello", repaired StatusSpacing 8`},
	{"st_2digit", "GET", "HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello", `head StatusCodeLength 11`},
	{"st_4digit", "GET", "HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello", `head StatusCodeLength 12`},
	{"st_alpha", "GET", "HTTP/1.1 abc OK\r\nContent-Length: 5\r\n\r\nhello", `head StatusCodeNonDigit 9`},
	{"st_plus", "GET", "HTTP/1.1 +20 OK\r\nContent-Length: 5\r\n\r\nhello", `head StatusCodeNonDigit 9`},
	{"st_000", "GET", "HTTP/1.1 000 X\r\nContent-Length: 5\r\n\r\nhello", `head StatusCodeRange 9`},
	{"st_099", "GET", "HTTP/1.1 099 X\r\nContent-Length: 5\r\n\r\nhello", `head StatusCodeRange 9`},
	{"st_600", "GET", "HTTP/1.1 600 X\r\nContent-Length: 5\r\n\r\nhello", `head StatusCodeRange 9`},
	{"st_999", "GET", "HTTP/1.1 999 X\r\nContent-Length: 5\r\n\r\nhello", `head StatusCodeRange 9`},
	{"st_noreason_nosp", "GET", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello"`},
	{"st_noreason_sp", "GET", "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello"`},
	{"st_reason_ctl", "GET", "HTTP/1.1 200 O\x01K\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello", repaired ReasonChars 14`},
	{"st_reason_nul", "GET", "HTTP/1.1 200 O\x00K\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello", repaired ReasonChars 14`},
	{"st_reason_cr", "GET", "HTTP/1.1 200 O\rK\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello", repaired ReasonChars 14`},
	{"st_leading_sp", "GET", " HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello", repaired StatusSpacing 0`},
	{"leading_crlf", "GET", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello", repaired LeadingBlank 0`},
	{"leading_bom", "GET", "\ufeffHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", `head LeadingBOM 0`},
	{"leading_junk_line", "GET", "DEBUG: starting\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", `head LeadingJunk 0`},
	{"bare_lf_all", "GET", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", `sized, done, "hello", repaired BareLF 15`},
	{"bare_lf_header", "GET", "HTTP/1.1 200 OK\r\nX-A: 1\nX-B: 2\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello", repaired BareLF 23`},
	{"bare_cr_header", "GET", "HTTP/1.1 200 OK\r\nX-A: 1\rX-B: 2\r\nContent-Length: 5\r\n\r\nhello", `head BareCR 23`},
	{"hdr_nul_value", "GET", "HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 5\r\n\r\nhello", `head NUL 23`},
	{"hdr_nul_name", "GET", "HTTP/1.1 200 OK\r\nX-\x00A: ab\r\nContent-Length: 5\r\n\r\nhello", `head NUL 19`},
	{"hdr_ctl_value", "GET", "HTTP/1.1 200 OK\r\nX-A: a\x01b\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello", repaired Control 23`},
	{"hdr_del_value", "GET", "HTTP/1.1 200 OK\r\nX-A: a\x7fb\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello", repaired Control 23`},
	{"hdr_obs_text", "GET", "HTTP/1.1 200 OK\r\nX-A: caf\xe9\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello"`},
	{"hdr_obs_fold", "GET", "HTTP/1.1 200 OK\r\nX-A: one\r\n two\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello", repaired ObsFold 27`},
	{"hdr_fold_first", "GET", "HTTP/1.1 200 OK\r\n X-A: one\r\nContent-Length: 5\r\n\r\nhello", `head FoldFirst 17`},
	{"hdr_space_before_colon", "GET", "HTTP/1.1 200 OK\r\nX-A : one\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello", repaired SpaceBeforeColon 20`},
	{"hdr_cl_space_before_colon", "GET", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello", `head SpaceBeforeColon 31`},
	{"hdr_empty_name", "GET", "HTTP/1.1 200 OK\r\n: one\r\nContent-Length: 5\r\n\r\nhello", `head NameEmpty 17`},
	{"hdr_no_colon", "GET", "HTTP/1.1 200 OK\r\ngarbage line here\r\nContent-Length: 5\r\n\r\nhello", `head NoColon 17`},
	{"hdr_space_in_name", "GET", "HTTP/1.1 200 OK\r\nX A: one\r\nContent-Length: 5\r\n\r\nhello", `head NameChar 18`},
	{"hdr_bad_char_name", "GET", "HTTP/1.1 200 OK\r\nX(A): one\r\nContent-Length: 5\r\n\r\nhello", `head NameChar 18`},
	{"hdr_utf8_name", "GET", "HTTP/1.1 200 OK\r\nX-\u00e9: one\r\nContent-Length: 5\r\n\r\nhello", `head NameChar 19`},
	{"cl_alpha", "GET", "HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nhello", `frame LengthInvalid 33`},
	{"cl_neg", "GET", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", `frame LengthInvalid 33`},
	{"cl_plus", "GET", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", `frame LengthInvalid 33`},
	{"cl_hex", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello", `frame LengthInvalid 34`},
	{"cl_empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello", `frame LengthEmpty 32`},
	{"cl_spaces", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5 5\r\n\r\nhello", `frame LengthInvalid 34`},
	{"cl_huge", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello", `frame LengthOverflow 33`},
	{"cl_decimal", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5.0\r\n\r\nhello", `frame LengthInvalid 34`},
	{"cl_dup_same", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello", repaired LengthDuplicateSame 52`},
	{"cl_list_same", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", `sized, done, "hello", repaired LengthListSame 33`},
	{"cl_conflict", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", `frame LengthConflict 52`},
	{"cl_list_conflict", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello", `frame LengthConflict 36`},
	{"cl_and_te", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", `frame LengthAndCoding 55`},
	{"te_and_cl", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n", `frame LengthAndCoding 61`},
	{"te_identity", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n", `frame CodingUnknown 36`},
	{"te_gzip_chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", `frame CodingUnknown 36`},
	{"te_chunked_chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", `frame CodingNotFinal 36`},
	{"te_xchunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", `frame CodingUnknown 36`},
	{"te_chunked_gzip", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n", `frame CodingNotFinal 36`},
	{"te_quoted", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: \"chunked\"\r\n\r\n5\r\nhello\r\n0\r\n\r\n", `frame CodingUnknown 36`},
	{"te_vt", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: \vchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", `frame CodingUnknown 36, repaired Control 36`},
	{"te_twice", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", `chunked, done, "hello", repaired CodingDuplicate 64`},
	{"te_http10", "GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", `chunked, done, "hello", close, repaired CodingOn10 36`},
	{"chunk_ok", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", `chunked, done, "hello"`},
	{"chunk_bad_size", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", `chunked, ChunkSizeInvalid 0`},
	{"chunk_bad_size_second", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", `chunked, ChunkSizeInvalid 10, "hello"`},
	{"chunk_neg", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", `chunked, ChunkSizeInvalid 0`},
	{"chunk_0x", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", `chunked, ChunkSizeInvalid 1`},
	{"chunk_leading_sp", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n", `chunked, ChunkSizeInvalid 0`},
	{"chunk_trailing_sp", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", `chunked, ChunkSizeInvalid 1`},
	{"chunk_overflow", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n", `chunked, ChunkSizeOverflow 15`},
	{"chunk_empty_size", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n", `chunked, ChunkSizeInvalid 0`},
	{"chunk_lf_size", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", `chunked, ChunkLineBareLF 1`},
	{"chunk_lf_data", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", `chunked, ChunkLineBareLF 8, "hello"`},
	{"chunk_data_overrun", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX\r\n0\r\n\r\n", `chunked, ChunkDataOverrun 8, "hello"`},
	{"chunk_ext", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n", `chunked, done, "hello"`},
	{"chunk_ext_cr", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\rb\r\nhello\r\n0\r\n\r\n", `chunked, ChunkLineCR 4`},
	{"chunk_ext_64k", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=" + strings.Repeat("b", 65536) + "\r\nhello\r\n0\r\n\r\n", `chunked, ChunkLineTooLong 4096`},
	{"chunk_no_last", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", `chunked, cut at 10, "hello"`},
	{"chunk_close_mid", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello", `chunked, cut at 8, "hello"`},
	{"chunk_rst_mid", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello", `chunked, cut at 8, "hello"`},
	{"chunk_hang_mid", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello", `chunked, cut at 8, "hello"`},
	{"chunk_last_no_crlf", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", `chunked, complete, "hello", mended LastChunkCut 13`},
	{"chunk_last_no_crlf_hang", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", `chunked, complete, "hello", mended LastChunkCut 13`},
	{"chunk_trailer_ok", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n", `chunked, done, "hello", trailer`},
	{"chunk_trailer_bad", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nbad trailer\r\n\r\n", `chunked, TrailerMalformed 13, "hello"`},
	{"chunk_trailer_cl", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n", `chunked, done, "hello", mended TrailerForbidden 13`},
	{"chunk_trailer_64k", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: " + strings.Repeat("t", 65536) + "\r\n\r\n", `chunked, TrailerTooLarge 13, "hello"`},
	{"chunk_extra_after", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nEXTRA", `chunked, done, "hello", rest "EXTRA"`},
	{"cl_short_fin", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", `sized, cut at 5, "hello"`},
	{"cl_short_rst", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", `sized, cut at 5, "hello"`},
	{"cl_short_hang", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", `sized, cut at 5, "hello"`},
	{"cl_zero_body_fin", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", `sized, cut at 0`},
	{"cl_over", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloEXTRA", `sized, done, "hello", rest "EXTRA"`},
	{"closedelim_ok", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", `to close, complete, "hello", close`},
	{"closedelim_rst", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", `to close, complete, "hello", close`},
	{"resp_smuggle", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Poison: 1\r\n\r\npoison", `sized, done, "hello", rest "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Po"`},
	{"b204_body", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", `no body, done, rest "hello", close, repaired FramingForbidden 41`},
	{"b204_te", "GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", `no body, done, rest "5\r\nhello\r\n0\r\n\r\n", close, repaired FramingForbidden 44`},
	{"b304_body", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", `no body, done, rest "hello"`},
	{"head_body", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", `no body, done, rest "hello"`},
	{"i100_then_200", "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", `no body, done, rest "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"`},
	{"i102_then_200", "GET", "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", `no body, done, rest "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"`},
	{"i103_then_200", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", `no body, done, rest "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"`},
	{"i199_then_200", "GET", "HTTP/1.1 199 X\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", `no body, done, rest "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"`},
	{"i100_only_close", "GET", "HTTP/1.1 100 Continue\r\n\r\n", `no body, done`},
	{"i103_only_close", "GET", "HTTP/1.1 103 Early Hints\r\n\r\n", `no body, done`},
	{"i100_x2000", "GET", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 2000) + "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", `no body, done, rest "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Co"`},
	{"i100_with_cl", "GET", "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", `frame FramingForbidden 39`},
	{"i101_unasked", "GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nraw-bytes", `no body, done, rest "raw-bytes"`},
	{"i101_bare", "GET", "HTTP/1.1 101 Switching Protocols\r\n\r\nraw-bytes", `no body, done, rest "raw-bytes"`},
	{"ws_wrong_proto", "WS", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nraw-bytes", `no body, done, rest "raw-bytes"`},
	{"ws_bad_accept", "WS", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAA\r\n\r\n\x81\x02hi", `no body, done, rest "\x81\x02hi"`},
	{"ws_refused_200", "WS", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello"`},
	{"ws_close", "WS", "", `nothing`},
	{"hdr_8k_line", "GET", "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 8192) + "\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello"`},
	{"hdr_70k_line", "GET", "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 70000) + "\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello"`},
	{"hdr_500_lines", "GET", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: a\r\n", 500) + "Content-Length: 5\r\n\r\nhello", `sized, done, "hello"`},
	{"hdr_2m_total", "GET", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 10062)+"\r\n", 200) + "Content-Length: 5\r\n\r\nhello", `head SectionTooLarge 262144`},
	{"ce_gzip_plain", "GET", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", `sized, done, "hello"`},
	{"early_413_rst", "POSTBIG", "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig", `sized, done, "big", close`},
	{"early_413_close", "POSTBIG", "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig", `sized, done, "big", close`},
	{"post_close_before_head", "POST", "", `nothing`},
	{"expect_417", "EXPECT", "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n", `sized, done`},
	{"rst_before_head", "GET", "", `nothing`},
}

func TestCorpus(t *testing.T) {
	for _, c := range corpus {
		o := receive(Response, c.request == "HEAD", nil, AllowResponse, []byte(c.raw))
		if len(o.Rest) > 40 {
			o.Rest = o.Rest[:40]
		}
		if got := o.String(); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// However the bytes of the corpus arrive, the outcome is the same.
func TestCorpusInPieces(t *testing.T) {
	for _, c := range corpus {
		raw, toHEAD := []byte(c.raw), c.request == "HEAD"
		if len(raw) > 1000 {
			continue
		}
		for _, a := range []Allow{0, AllowResponse} {
			whole := receive(Response, toHEAD, nil, a, raw)
			same(t, c.name, whole, receive(Response, toHEAD, nil, a, byBytes(raw)...))
			for i := range raw {
				same(t, c.name, whole, receive(Response, toHEAD, nil, a, cutAt(raw, i)...))
			}
		}
	}
}

// A head or a body that is not whole is never refused, and never taken for whole.
func TestCorpusCutShort(t *testing.T) {
	for _, c := range corpus {
		raw, toHEAD := []byte(c.raw), c.request == "HEAD"
		whole := receive(Response, toHEAD, nil, AllowResponse, raw)
		if len(raw) > 1000 || !whole.Done || whole.Framing.Body == message.ToClose {
			continue
		}
		for i := range len(raw) - len(whole.Rest) {
			o := receive(Response, toHEAD, nil, AllowResponse&^AllowLastChunk, raw[:i])
			if !o.Head0.Ok() || !o.Frame0.Ok() || o.Done || o.Complete || !o.Body0.Ok() && o.Body0.Flaw != LastChunkCut {
				t.Errorf("%s, first %d bytes: %s", c.name, i, o)
			}
		}
	}
}
