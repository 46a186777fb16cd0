package lab

import (
	"fmt"

	"github.com/gatewhy/gatewhy/fault"
)

// long is a body that no gateway holds back, and half of what a Content-Length here promises.
const long = 4 << 20

// framingRecipes are answers whose body cannot be found, ends too early, or is
// not what the head says. A variant "late" fails behind megabytes, when the head
// is at the client for certain.
func framingRecipes() []*Recipe {
	return append(append(lengths(), chunks()...), bodies()...)
}

// late sends before, then a long piece of body, then after, and ends.
func late(name string, want fault.ID, before, after string, e End, why string) *Recipe {
	return refused(name, want, "").mustCut().ends(e).because(why).does(func(c *Conn) {
		if c.ReadRequest() && c.Write(before) && c.WriteMuch(long) && c.Write(after) {
			c.End(e)
		}
	})
}

func lengths() []*Recipe {
	return []*Recipe{
		like("cl_invalid", "cl_alpha", "has letters for a Content-Length"),
		like("cl_invalid/negative", "cl_neg", "has a negative Content-Length"),
		like("cl_invalid/plus", "cl_plus", "has a sign in its Content-Length"),
		like("cl_empty", "cl_empty", "has an empty Content-Length"),
		like("cl_overflow", "cl_huge", "has a Content-Length of twenty digits"),
		like("cl_list_same", "cl_list_same", "lists the same Content-Length twice in one line"),
		like("cl_duplicate_same", "cl_dup_same", "sends the same Content-Length twice"),
		like("cl_conflict", "cl_conflict", "sends two different Content-Lengths"),
		like("cl_conflict/list", "cl_list_conflict", "lists two different Content-Lengths"),
		like("cl_and_te", "cl_and_te", "sends both Content-Length and Transfer-Encoding"),
		like("cl_and_te/te-first", "te_and_cl", "sends both Transfer-Encoding and Content-Length"),
		like("te_unknown", "te_identity", "has the abolished coding identity"),
		like("te_unknown/gzip", "te_gzip_chunked", "compresses in its transfer coding"),
		like("te_unknown/vt", "te_vt", "hides chunked behind a control character"),
		like("te_chunked_not_final", "te_chunked_gzip", "compresses around its chunks"),
		like("te_chunked_not_final/twice", "te_chunked_chunked", "applies chunked twice"),
		like("te_duplicate_line", "te_twice", "sends Transfer-Encoding twice"),
		like("te_on_http10", "te_http10", "sends chunks in HTTP/1.0"),
		like("body_forbidden_framing", "b204_body", "has Content-Length and a body on 204"),
		like("body_on_bodyless", "head_body", "answers HEAD with a body"),
		like("body_on_bodyless/304", "b304_body", "has a body on 304"),
	}
}

func chunks() []*Recipe {
	size := fmt.Sprintf("%x\r\n", long)
	late := func(name string, want fault.ID, rest, why string) *Recipe {
		return late(name, want, chunkedHead+size, "\r\n"+rest, FIN, why)
	}
	return []*Recipe{
		like("chunk_size_invalid", "chunk_bad_size", "has letters that are no digits for a chunk size"),
		like("chunk_size_invalid/second", "chunk_bad_size_second", "has a bad size on its second chunk"),
		like("chunk_size_invalid/trailing-space", "chunk_trailing_sp", "has a space behind a chunk size"),
		late("chunk_size_invalid/late", fault.ChunkSizeInvalid, "zz\r\nhello\r\n0\r\n\r\n", "has a bad chunk size after 4 MiB"),
		like("chunk_size_overflow", "chunk_overflow", "has a chunk size of seventeen digits"),
		like("chunk_line_bare_lf", "chunk_lf_size", "ends a chunk size in LF alone"),
		like("chunk_line_bare_lf/data", "chunk_lf_data", "ends a chunk's data in LF alone"),
		like("chunk_line_cr", "chunk_ext_cr", "has a CR inside a chunk extension"),
		like("chunk_line_too_long", "chunk_ext_64k", "has a chunk extension of 64 KiB"),
		like("chunk_data_overrun", "chunk_data_overrun", "sends more in a chunk than its size says"),
		like("chunk_eof", "chunk_close_mid", "hangs up inside a chunk"),
		like("chunk_eof/no-last", "chunk_no_last", "hangs up before the last chunk"),
		like("chunk_eof/rst", "chunk_rst_mid", "resets inside a chunk"),
		late("chunk_eof/late", fault.ChunkEOF, "a\r\nhello", "hangs up inside a chunk after 4 MiB"),
		like("chunk_last_missing_crlf", "chunk_last_no_crlf", "forgets the empty line behind its last chunk"),
		like("trailer_malformed", "chunk_trailer_bad", "has a trailer line without a colon"),
		like("trailer_forbidden", "chunk_trailer_cl", "has Content-Length in its trailer"),
		like("trailer_too_large", "chunk_trailer_64k", "has a trailer of 64 KiB"),
	}
}

func bodies() []*Recipe {
	late := func(name string, want fault.ID, head string, e End, why string) *Recipe {
		return late(name, want, head, "", e, why)
	}
	const toClose = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
	return []*Recipe{
		like("extra_after_message", "cl_over", "sends more than its Content-Length says"),
		like("extra_after_message/chunked", "chunk_extra_after", "sends more behind its last chunk"),
		like("response_smuggled", "resp_smuggle", "sends a second answer behind the first"),
		like("body_eof_short", "cl_short_fin", "hangs up before its body is whole"),
		late("body_eof_short/late", fault.BodyEOFShort, sizedHead(2*long), FIN, "hangs up after 4 MiB of 8"),
		like("body_rst", "cl_short_rst", "resets before its body is whole"),
		late("body_rst/late", fault.BodyRST, sizedHead(2*long), RST, "resets after 4 MiB of 8"),
		like("body_close_delimited_rst", "closedelim_rst", "resets where only FIN could end its body"),
		late("body_close_delimited_rst/late", fault.BodyCloseDelimitedRST, toClose, RST,
			"resets after 4 MiB where only FIN could end its body"),
		like("body_close_delimited_fin", "closedelim_ok", "ends its body by ending the connection"),
		like("body_read_timeout", "cl_short_hang", "stops in the middle of its body"),
		like("body_read_timeout/chunked", "chunk_hang_mid", "stops inside a chunk"),
		late("body_read_timeout/late", fault.BodyReadTimeout, sizedHead(2*long), Hang, "stops after 4 MiB of 8").
			set("timeout-read", soon),
		refused("body_too_large", fault.BodyTooLarge, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello hello").
			set("max-response-body", "10").because("has a body of 11 bytes, of 10 allowed"),
		refused("body_too_large/chunked", fault.BodyTooLarge, chunkedHead+"b\r\nhello hello\r\n0\r\n\r\n").cut().
			set("max-response-body", "10").because("has chunks of 11 bytes in all, of 10 allowed"),
		like("content_coding_mismatch", "ce_gzip_plain", "says gzip and sends plain text"),
	}
}
