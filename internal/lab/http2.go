package lab

import (
	"context"
	"crypto/tls"
	"strings"

	"golang.org/x/net/http2"

	"github.com/gatewhy/gatewhy/fault"
)

// http2Recipes are upstreams that speak HTTP/2 and break its rules, or end a
// stream or a connection early. Most do it behind a whole request, on the first
// stream of a connection; variants named "late" when megabytes of the body are at
// the client, "warm" on a connection that has served before, and "beside" with
// other requests under way on it.
func http2Recipes() []*Recipe {
	var all []*Recipe
	for _, family := range [][]*Recipe{prefaces(), frames(), windows(), blocks(), heads2(), bodies2(),
		resets(), goaways(), losses(), floods()} {
		all = append(all, family...)
	}
	return all
}

// over2 is a recipe of an origin that speaks HTTP/2 in the clear.
func over2(name string, want fault.ID, why string, f func(*h2)) *Recipe {
	r := refused(name, want, "").because(why).does(overH2(f))
	r.Where, r.start = HTTP2, listenH2
	return r
}

func listenH2(ctx context.Context, o *Origin) error {
	err := listenPlain(ctx, o)
	o.Target = "h2c://" + o.Target
	return err
}

// GoodH2 starts an origin that speaks HTTP/2 in the clear and answers as [Good]
// does.
func GoodH2(ctx context.Context) (*Origin, error) { return goodH2.Start(ctx) }

var goodH2 = &Recipe{Name: "good/h2", Status: 200, Body: hello, Offset: -1, Why: "answers well, over HTTP/2",
	Where: HTTP2, start: listenH2, serve: overH2(func(h *h2) {
		if h.greet() {
			h.goodAll()
		}
	})}

// each greets, executes one request after the other, and lets f answer it.
func each(f func(*h2, *h2Stream)) func(*h2) {
	return unread(func(h *h2, s *h2Stream) {
		h.execute(s)
		f(h, s)
	})
}

// unread is each without the execution: f says that there was none.
func unread(f func(*h2, *h2Stream)) func(*h2) {
	return func(h *h2) {
		if !h.greet() {
			return
		}
		for s := h.request(); s != nil; s = h.request() {
			f(h, s)
		}
		h.end(FIN)
	}
}

// says answers each request with these frames; %STREAM% is where the number of its
// stream goes.
func says(frames ...string) func(*h2) {
	return each(func(h *h2, s *h2Stream) { h.raw(onStream(frames, s.id)) })
}

func onStream(frames []string, id uint32) string {
	number := string([]byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)})
	return strings.ReplaceAll(strings.Join(frames, ""), here, number)
}

// here stands for the number of a request's stream in a frame's head: frame writes
// it in place of hereID.
const (
	here   = "\x7f\xff\xff\xfe"
	hereID = 0x7ffffffe
)

// The flags of frames, and the start of a good answer: a head alone, and a head
// that promises five bytes.
const (
	endStream  = http2.FlagDataEndStream
	endHeaders = http2.FlagHeadersEndHeaders
	padded     = http2.FlagDataPadded
)

// :status 200 is entry 8 of HPACK's static table (RFC 7541 §A).
const status200 = "\x88"

var (
	good200   = frame(http2.FrameHeaders, endHeaders, hereID, status200)
	goodHello = frame(http2.FrameData, endStream, hereID, hello)
)

// literal is a field in HPACK, as it is: no index, no Huffman code (RFC 7541 §6.2.2).
func literal(name, value string) string {
	return "\x00" + string([]byte{byte(len(name))}) + name + string([]byte{byte(len(value))}) + value
}

// late2 answers with much, then with these frames, when the head is at the client
// for certain.
func late2(name string, want fault.ID, why string, frames ...string) *Recipe {
	return over2(name, want, why, each(func(h *h2, s *h2Stream) {
		if h.headers(s.id, false, ":status", "200") && h.much(s, long) {
			h.raw(onStream(frames, s.id))
		}
	})).mustCut()
}

// warm2: f runs on the first connection when it has answered a first request
// well; every other connection is good. all are the requests that the recipe has
// under way at the time, its own last.
func (r *Recipe) warm2(beside int, f func(h *h2, all []*h2Stream)) *Recipe {
	r.Warm, r.Beside = true, beside
	return r.does(overH2(func(h *h2) {
		if !h.greet() {
			return
		}
		if h.c.N > 0 {
			h.goodAll()
			return
		}
		if !h.good() || !h.idle() {
			return
		}
		h.c.Ready()
		all := h.requests(1 + beside)
		if all == nil {
			h.end(FIN)
			return
		}
		// The recipe's own request is the one that the others stand beside.
		for i, s := range all {
			if s.value(":path") != BesidePath {
				all[i], all[len(all)-1] = all[len(all)-1], all[i]
				break
			}
		}
		f(h, all)
		h.goodAll()
	}))
}

// idle is Conn.Idle: the acknowledgement of SETTINGS is read later.
func (h *h2) idle() bool { return h.c.Idle() }

// spare answers those beside well.
func (h *h2) spare(all []*h2Stream) (own *h2Stream) {
	own = all[len(all)-1]
	for _, s := range all[:len(all)-1] {
		h.answer(s)
	}
	return own
}

func (r *Recipe) spared() *Recipe { r.Spared = true; return r }

// prefaces are connections that do not begin as HTTP/2 does.
func prefaces() []*Recipe {
	// opens says these bytes in place of SETTINGS, and then only listens.
	opens := func(name string, want fault.ID, why, bytes string) *Recipe {
		return over2(name, want, why, func(h *h2) {
			h.raw(bytes)
			h.serve()
		})
	}
	invalid := func(variant, why string, flags http2.Flags, stream uint32, payload string) *Recipe {
		return opens("h2_settings_invalid"+variant, fault.H2SettingsInvalid, why, frame(http2.FrameSettings, flags, stream, payload)).at(11)
	}
	const old = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 11\r\n\r\nBad Request"
	silent := over2("h2_settings_timeout", fault.H2SettingsTimeout, "accepts and says nothing, not even SETTINGS", func(h *h2) {
		h.mute = true
		h.serve()
	}).status(504).set("timeout-connect", soon, "timeout-tls", soon, "timeout-first-byte", soon)
	return []*Recipe{
		opens("h2_preface_bad", fault.H2PrefaceBad, "begins with a PING frame", frame(http2.FramePing, 0, 0, "12345678")).at(3),
		opens("h2_preface_bad/data", fault.H2PrefaceBad, "begins with a DATA frame", frame(http2.FrameData, endStream, 1, hello)).at(3),
		opens("h2_preface_bad/ssh", fault.H2PrefaceBad, "is an SSH server", "SSH-2.0-OpenSSH_9.2p1\r\n"),
		opens("h2_preface_bad/post", fault.H2PrefaceBad, "begins with a PING frame; nothing was processed, so POST is safe",
			frame(http2.FramePing, 0, 0, "12345678")).asks(postHello),
		opens("h2_got_http1", fault.H2GotHTTP1, "speaks HTTP/1.1 only and answers 400", old).at(0),
		opens("h2_got_http1/505", fault.H2GotHTTP1, "speaks HTTP/1.1 only and answers 505",
			"HTTP/1.1 505 HTTP Version Not Supported\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
		opens("h2_got_http1/post", fault.H2GotHTTP1, "speaks HTTP/1.1 only; nothing was processed, so POST is safe", old).asks(postHello),

		agreed("h2_got_http1/alpn", fault.H2GotHTTP1, "agrees to HTTP/2 and speaks HTTP/1.1, which serves when it is asked for that", func(h *h2) {
			h.raw(old)
			h.end(FIN)
		}).status(200).body(hello).lost(),
		agreed("h2_got_http1/alpn-post", fault.H2GotHTTP1, "agrees to HTTP/2 and speaks HTTP/1.1; a POST is sent again", func(h *h2) {
			h.raw(old)
			h.end(FIN)
		}).asks(postHello).status(200).body(hello).lost(),

		invalid("", "has a MAX_FRAME_SIZE of 100", 0, 0, "\x00\x05\x00\x00\x00\x64"),
		invalid("/window", "has an INITIAL_WINDOW_SIZE of 2^31", 0, 0, "\x00\x04\x80\x00\x00\x00"),
		invalid("/push", "wants to be pushed to, as only a client may", 0, 0, "\x00\x02\x00\x00\x00\x01"),
		over2("h2_settings_invalid/ack", fault.H2SettingsInvalid, "acknowledges SETTINGS with a setting in it",
			says(frame(http2.FrameSettings, http2.FlagSettingsAck, 0, "\x00\x04\x00\x01\x00\x00"))),
		silent,
	}
}

// frames are those that break a rule by themselves.
func frames() []*Recipe {
	size := func(variant, why string, kind http2.FrameType, stream uint32, payload string) *Recipe {
		return over2("h2_frame_size"+variant, fault.H2FrameSize, why, says(frame(kind, 0, stream, payload))).at(0)
	}
	stream := func(variant, why string, frames ...string) *Recipe {
		return over2("h2_stream_id_invalid"+variant, fault.H2StreamIDInvalid, why, says(frames...)).at(5)
	}
	pad := "\x06hello"
	return []*Recipe{
		// No receiver that has not said so takes more than 16384; none of ours says more than 2^20.
		over2("h2_frame_size", fault.H2FrameSize, "sends a DATA frame of 2 MiB", says(good200,
			frame(http2.FrameData, endStream, hereID, strings.Repeat("x", 2<<20)))).cut(),
		size("/settings", "sends half a setting", http2.FrameSettings, 0, "\x00\x04\x00"),
		size("/ping", "sends a PING of seven bytes", http2.FramePing, 0, "1234567"),
		size("/rst", "sends a RST_STREAM of five bytes", http2.FrameRSTStream, hereID, "\x00\x00\x00\x00\x08"),
		size("/window-update", "sends a WINDOW_UPDATE of three bytes", http2.FrameWindowUpdate, 0, "\x00\x00\x01"),
		size("/goaway", "sends a GOAWAY of seven bytes", http2.FrameGoAway, 0, "\x00\x00\x00\x01\x00\x00\x00"),
		late2("h2_frame_size/late", fault.H2FrameSize, "sends a PING of seven bytes after 4 MiB", frame(http2.FramePing, 0, 0, "1234567")),

		over2("h2_padding", fault.H2Padding, "pads a DATA frame beyond its end", says(good200,
			frame(http2.FrameData, endStream|padded, hereID, pad))).cut().at(9),
		over2("h2_padding/headers", fault.H2Padding, "pads a HEADERS frame beyond its end",
			says(frame(http2.FrameHeaders, endHeaders|http2.FlagHeadersPadded, hereID, "\x02"+status200))).at(9),

		stream("", "sends DATA on stream 2, which nobody opened", frame(http2.FrameData, endStream, 2, hello)),
		stream("/data-0", "sends DATA on stream 0", frame(http2.FrameData, endStream, 0, hello)),
		stream("/headers-0", "sends HEADERS on stream 0", frame(http2.FrameHeaders, endHeaders|endStream, 0, status200)),
		stream("/idle", "answers on a stream that was not opened yet", frame(http2.FrameHeaders, endHeaders|endStream, 9999, status200)),
		stream("/rst-idle", "resets a stream that was not opened yet", frame(http2.FrameRSTStream, 0, 9999, "\x00\x00\x00\x08")),
		stream("/settings", "sends SETTINGS on a stream", frame(http2.FrameSettings, 0, hereID, "\x00\x04\x00\x01\x00\x00")),
		stream("/ping", "sends PING on a stream", frame(http2.FramePing, 0, hereID, "12345678")),
		stream("/goaway", "sends GOAWAY on a stream", frame(http2.FrameGoAway, 0, hereID, "\x00\x00\x00\x01\x00\x00\x00\x00")),
	}
}

// windows are faults of flow control.
func windows() []*Recipe {
	update := func(variant, why string, stream uint32, increments ...string) *Recipe {
		all := ""
		for _, n := range increments {
			all += frame(http2.FrameWindowUpdate, 0, stream, n)
		}
		return over2("h2_window_update_bad"+variant, fault.H2WindowUpdateBad, why, says(all)).at(9)
	}
	const most = "\x7f\xff\xff\xff"
	overrun := over2("h2_flow_violation", fault.H2FlowViolation, "sends a frame more than the window allows", each(func(h *h2, s *h2Stream) {
		if !h.headers(s.id, false, ":status", "200") {
			return
		}
		// The client does not read, so that no window opens again once all are used up.
		for h.serveFor(5 * Gap); s.window > 0 && h.window > 0; h.serveFor(5 * Gap) {
			if !h.data(s, false, make([]byte, min(s.window, h.window))) {
				return
			}
		}
		h.fr.WriteData(s.id, false, make([]byte, 16384))
	})).mustCut().then(Stall)
	stall := func(variant, why string, f func(*h2, *h2Stream)) *Recipe {
		return over2("h2_flow_stall"+variant, fault.H2FlowStall, why, func(h *h2) {
			if h.stingy = true; !h.greet() {
				return
			}
			if s := h.head(); s != nil {
				f(h, s)
			}
			h.serve()
		}).asks(postBig).uploads(huge).status(504).lost().set("timeout-send", soon)
	}
	return []*Recipe{
		overrun,
		update("", "opens the stream's window by 0", hereID, "\x00\x00\x00\x00"),
		update("/connection", "opens the connection's window by 0", 0, "\x00\x00\x00\x00"),
		update("/overflow", "opens the stream's window beyond 2^31-1", hereID, most, most),
		update("/connection-overflow", "opens the connection's window beyond 2^31-1", 0, most, most),
		stall("", "never opens the window of an upload's stream", func(h *h2, _ *h2Stream) { h.fr.WriteWindowUpdate(0, 1<<30) }),
		stall("/connection", "never opens the connection's window for an upload", func(h *h2, s *h2Stream) {
			h.fr.WriteWindowUpdate(s.id, 1<<30)
		}),
	}
}

// blocks are header blocks that cannot be read.
func blocks() []*Recipe {
	hpack := func(variant string, at int64, why, block string) *Recipe {
		return over2("h2_hpack_error"+variant, fault.H2HPACKError, why, says(frame(http2.FrameHeaders, endHeaders|endStream, hereID, block))).at(at)
	}
	begin := frame(http2.FrameHeaders, 0, hereID, status200)
	row := func(variant, why string, frames ...string) *Recipe {
		return over2("h2_continuation_abuse"+variant, fault.H2ContinuationAbuse, why, says(frames...)).at(3)
	}
	// A field of 4000 bytes that goes into the table, and then a byte for each time
	// that it stands in the section (RFC 7541 §6.2.1, §6.1).
	bomb := status200 + "\x40\x01x\x7f" + "\xa1\x1e" + strings.Repeat("x", 4000) + strings.Repeat("\xbe", 4096)
	return []*Recipe{
		hpack("", 1, "has index 0 in its header block", status200+"\x80"),
		hpack("/index", 1, "has an index beyond the table", status200+"\xff\x80\x01"),
		hpack("/string", 4, "ends inside a string", status200+"\x00\x01a\x05he"),
		hpack("/huffman", 6, "has a Huffman code that is not whole", status200+"\x00\x01a\x82\x00\x00"),
		hpack("/table", 0, "makes the table larger than we allow", "\x3f\xe1\xff\xff\x07"+status200),
		over2("h2_hpack_error/trailers", fault.H2HPACKError, "has index 0 in its trailers", says(good200,
			frame(http2.FrameData, 0, hereID, hello), frame(http2.FrameHeaders, endHeaders|endStream, hereID, "\x80"))).cut(),

		over2("h2_headers_too_large", fault.H2HeadersTooLarge, "has a header section of 300 KiB", each(func(h *h2, s *h2Stream) {
			fields := []string{":status", "200"}
			for range 80 {
				fields = append(fields, "x-a", strings.Repeat("a", 4000))
			}
			h.headers(s.id, true, fields...)
		})),
		over2("h2_headers_too_large/bomb", fault.H2HeadersTooLarge, "has a header section of 8 KiB that is 16 MiB when decompressed",
			says(frame(http2.FrameHeaders, endHeaders|endStream, hereID, bomb))),

		row("", "puts DATA between HEADERS and CONTINUATION", begin, frame(http2.FrameData, 0, hereID, hello)),
		row("/ping", "puts PING between HEADERS and CONTINUATION", begin, frame(http2.FramePing, 0, 0, "12345678")),
		row("/stream", "continues a header block on another stream", begin, frame(http2.FrameContinuation, endHeaders, 2, "")),
		row("/alone", "begins with a CONTINUATION", frame(http2.FrameContinuation, endHeaders, hereID, status200)),
		row("/endless", "sends empty CONTINUATION frames without end", begin,
			strings.Repeat(frame(http2.FrameContinuation, 0, hereID, ""), 20_000)),
	}
}

// heads2 are answers whose header section breaks a rule.
func heads2() []*Recipe {
	block := func(name string, want fault.ID, why, block string) *Recipe {
		return over2(name, want, why, says(frame(http2.FrameHeaders, endHeaders, hereID, block), goodHello))
	}
	// The places are those in the section as HTTP/1.1 would write it.
	const first, second = int64(len(":status: ")), int64(len(":status: 200\r\n"))
	mended := func(name, why, field string) *Recipe {
		r := block(name, "", why, status200+field).status(200).body(hello).lost().at(second)
		r.Notes = []fault.ID{fault.H2ConnectionHeader}
		return r
	}
	kind := literal("content-type", "text/plain")
	return []*Recipe{
		block("h2_status_missing", fault.H2StatusMissing, "has no :status", kind),
		block("h2_status_missing/empty", fault.H2StatusMissing, "has a header section without fields", ""),
		block("h2_status_invalid", fault.H2StatusInvalid, "has a :status of four digits", literal(":status", "2000")).at(first),
		block("h2_status_invalid/word", fault.H2StatusInvalid, "has a word for a :status", literal(":status", "OK")).at(first),
		block("h2_status_invalid/reason", fault.H2StatusInvalid, "has a reason phrase in its :status", literal(":status", "200 OK")).at(first),
		block("h2_status_invalid/range", fault.H2StatusInvalid, "has a :status of 999", literal(":status", "999")).at(first),
		block("h2_status_invalid/101", fault.H2StatusInvalid, "switches protocols, which HTTP/2 does not know", literal(":status", "101")).at(first),
		block("h2_status_invalid/twice", fault.H2StatusInvalid, "has :status twice", status200+"\x8d").at(second),
		block("h2_pseudo_order", fault.H2PseudoOrder, "has a :path in its answer", status200+literal(":path", "/")).at(second),
		block("h2_pseudo_order/behind", fault.H2PseudoOrder, "has :status behind a field", kind+status200).at(int64(len("content-type: text/plain\r\n"))),
		block("h2_pseudo_order/unknown", fault.H2PseudoOrder, "has a pseudo-header field that nobody knows", status200+literal(":reason", "OK")).at(second),
		block("h2_field_uppercase", fault.H2FieldUppercase, "has a field name in capitals", status200+literal("X-App", "1")).at(second),
		block("h2_field_uppercase/space", fault.H2FieldUppercase, "has a space in a field name", status200+literal("x app", "1")).at(second + 1),
		block("h2_field_uppercase/empty", fault.H2FieldUppercase, "has a field without a name", status200+literal("", "1")).at(second),
		block("h2_field_uppercase/newline", fault.H2FieldUppercase, "has a line break in a field's value",
			status200+literal("x-app", "1\r\nset-cookie: evil=1")).at(second + 8),
		block("h2_field_uppercase/nul", fault.H2FieldUppercase, "has a NUL in a field's value", status200+literal("x-app", "a\x00b")).at(second + 8),
		mended("h2_connection_header", "has a Connection field", literal("connection", "keep-alive")),
		mended("h2_connection_header/coding", "has a Transfer-Encoding field", literal("transfer-encoding", "chunked")),
		mended("h2_connection_header/upgrade", "has an Upgrade field", literal("upgrade", "h2c")),
		block("h2_connection_header/no-repair", fault.H2ConnectionHeader, "has a Connection field, and nothing is mended",
			status200+literal("connection", "keep-alive")).set("no-repair", "true").at(second),
	}
}

// bodies2 are answers whose frames do not make an answer.
func bodies2() []*Recipe {
	sized := func(n string) string {
		return frame(http2.FrameHeaders, endHeaders, hereID, status200+literal("content-length", n))
	}
	data := frame(http2.FrameData, 0, hereID, hello)
	trailers := func(flags http2.Flags, block string) string {
		return frame(http2.FrameHeaders, endHeaders|flags, hereID, block)
	}
	return []*Recipe{
		over2("h2_content_length_mismatch", fault.H2ContentLengthMismatch, "sends 5 bytes of 10 and ends the stream", says(sized("10"), goodHello)).cut(),
		over2("h2_content_length_mismatch/over", fault.H2ContentLengthMismatch, "sends 10 bytes of 5", says(sized("5"), data, goodHello)).cut(),
		over2("h2_content_length_mismatch/none", fault.H2ContentLengthMismatch, "sends none of 5 bytes", says(
			frame(http2.FrameHeaders, endHeaders|endStream, hereID, status200+literal("content-length", "5")))).cut(),
		over2("h2_content_length_mismatch/late", fault.H2ContentLengthMismatch, "sends 4 MiB of 8 and ends the stream", each(func(h *h2, s *h2Stream) {
			if h.headers(s.id, false, ":status", "200", "content-length", "8388608") && h.much(s, long) {
				h.fr.WriteData(s.id, true, nil)
			}
		})).mustCut(),
		over2("h2_trailers_bad", fault.H2TrailersBad, "sends trailers that do not end the stream",
			says(good200, data, trailers(0, literal("x-sum", "1")))).cut(),
		over2("h2_trailers_bad/status", fault.H2TrailersBad, "sends its headers twice", says(good200, data, trailers(endStream, status200))).cut(),
		late2("h2_trailers_bad/late", fault.H2TrailersBad, "sends :status in its trailers after 4 MiB", trailers(endStream, status200)),
		over2("h2_data_before_headers", fault.H2DataBeforeHeaders, "sends the body without a head", says(goodHello)).at(3),
		over2("h2_data_before_headers/interim", fault.H2DataBeforeHeaders, "sends the body behind a 103",
			says(frame(http2.FrameHeaders, endHeaders, hereID, literal(":status", "103")), goodHello)),
		over2("h2_end_stream_no_final", fault.H2EndStreamNoFinal, "ends the stream with a 103",
			says(frame(http2.FrameHeaders, endHeaders|endStream, hereID, literal(":status", "103")))),
		over2("h2_push_unexpected", fault.H2PushUnexpected, "pushes an answer that nobody asked for",
			says(frame(http2.FramePushPromise, endHeaders, hereID, "\x00\x00\x00\x02\x82\x86\x84"))).at(3),
	}
}

// resets are streams that the upstream resets.
func resets() []*Recipe {
	reset := func(name string, want fault.ID, code http2.ErrCode, why string) *Recipe {
		serve := each
		if fault.Lookup(want).Retry == fault.RU {
			serve = unread
		}
		return over2(name, want, why, serve(func(h *h2, s *h2Stream) { h.rst(s, code) })).status(fault.Lookup(want).Status).at(9)
	}
	// once resets the first request and answers the next ones.
	once := func(name string, want fault.ID, code http2.ErrCode, why string) *Recipe {
		return over2(name, want, why, func(h *h2) {
			if !h.greet() {
				return
			}
			if s := h.request(); s != nil && h.c.N == 0 {
				h.rst(s, code)
			} else if s != nil {
				h.answer(s)
			}
			h.goodAll()
		}).status(200).body(hello).lost()
	}
	late := func(name string, want fault.ID, code http2.ErrCode, why string) *Recipe {
		return late2(name, want, why, frame(http2.FrameRSTStream, 0, hereID, string([]byte{0, 0, 0, byte(code)})))
	}
	beside := func(name string, want fault.ID, code http2.ErrCode, why string) *Recipe {
		r := over2(name, want, why, nil).lost().spared()
		return r.asks(postHello).warm2(2, func(h *h2, all []*h2Stream) {
			own := h.spare(all)
			h.execute(own)
			h.rst(own, code)
		})
	}
	inBody := func(name string, want fault.ID, code http2.ErrCode, why string) *Recipe {
		return over2(name, want, why, each(func(h *h2, s *h2Stream) {
			if h.headers(s.id, false, ":status", "200") && h.data(s, false, []byte(hello)) {
				h.rst(s, code)
			}
		})).cut().set("grace", "1s") // likewise
	}
	enough := over2("h2_rst_no_error", "", "answers 413 in full, and asks for no more of the upload", func(h *h2) {
		h.stingy = true
		if !h.greet() {
			return
		}
		if s := h.head(); s != nil { // in one piece, as a reset that comes late is met by nobody
			h.raw(onStream([]string{
				frame(http2.FrameHeaders, endHeaders, hereID, literal(":status", "413")+literal("content-length", "3")),
				frame(http2.FrameData, endStream, hereID, "big"),
				frame(http2.FrameRSTStream, 0, hereID, "\x00\x00\x00\x00"),
			}, s.id))
		}
		h.serve()
	}).asks(postBig).uploads(huge).status(413).body("big").lost()
	enough.Notes = []fault.ID{fault.H2RSTNoError}
	fallback := agreed("h2_rst_http11_required/alpn", fault.H2RSTHTTP11Required, "wants HTTP/1.1 when asked over HTTP/2, and answers there",
		unread(func(h *h2, s *h2Stream) { h.rst(s, http2.ErrCodeHTTP11Required) })).status(200).body(hello).lost()
	fallbackPOST := *fallback
	fallbackPOST.Name, fallbackPOST.Request = "h2_rst_http11_required/alpn-post", postHello

	return []*Recipe{
		reset("h2_rst_refused", fault.H2RSTRefused, http2.ErrCodeRefusedStream, "refuses every stream"),
		reset("h2_rst_refused/post", fault.H2RSTRefused, http2.ErrCodeRefusedStream, "refuses every stream; nothing was processed, so POST is safe").
			asks(postHello),
		once("h2_rst_refused/once", fault.H2RSTRefused, http2.ErrCodeRefusedStream, "refuses the first stream and serves the next"),
		once("h2_rst_refused/once-post", fault.H2RSTRefused, http2.ErrCodeRefusedStream, "refuses the first stream and serves the next: POST is sent again").
			asks(postHello),
		enough,
		reset("h2_rst_cancel", fault.H2RSTCancel, http2.ErrCodeCancel, "cancels every stream"),
		reset("h2_rst_cancel/post", fault.H2RSTCancel, http2.ErrCodeCancel, "cancels a POST: perhaps processed").asks(postHello).lost(),
		inBody("h2_rst_cancel/body", fault.H2RSTCancel, http2.ErrCodeCancel, "cancels in its body"),
		late("h2_rst_cancel/late", fault.H2RSTCancel, http2.ErrCodeCancel, "cancels after 4 MiB"),
		beside("h2_rst_cancel/beside", fault.H2RSTCancel, http2.ErrCodeCancel, "cancels one of three streams and answers the others"),
		reset("h2_rst_internal", fault.H2RSTInternal, http2.ErrCodeInternal, "fails on every request, as a Go handler that panics"),
		agreed("h2_rst_internal/tls", fault.H2RSTInternal, "fails on every request, over TLS", each(func(h *h2, s *h2Stream) {
			h.rst(s, http2.ErrCodeInternal)
		})),
		reset("h2_rst_internal/post", fault.H2RSTInternal, http2.ErrCodeInternal, "fails on a POST: perhaps processed").asks(postHello).lost(),
		late("h2_rst_internal/late", fault.H2RSTInternal, http2.ErrCodeInternal, "fails after 4 MiB"),
		callReset(),
		reset("h2_rst_protocol", fault.H2RSTProtocol, http2.ErrCodeProtocol, "finds every request malformed"),
		reset("h2_rst_enhance_calm", fault.H2RSTEnhanceCalm, http2.ErrCodeEnhanceYourCalm, "says that we ask too much"),
		reset("h2_rst_http11_required", fault.H2RSTHTTP11Required, http2.ErrCodeHTTP11Required, "wants HTTP/1.1 on a port that was said to speak HTTP/2"),
		fallback, &fallbackPOST,
		reset("h2_rst_other", fault.H2RSTOther, http2.ErrCodeFlowControl, "resets with FLOW_CONTROL_ERROR"),
		reset("h2_rst_other/unknown", fault.H2RSTOther, 0xf1, "resets with a code that nobody knows"),
		reset("h2_rst_other/no-error", fault.H2RSTOther, http2.ErrCodeNo, "resets with NO_ERROR, and without an answer"),
		inBody("h2_rst_other/no-error-body", fault.H2RSTOther, http2.ErrCodeNo, "resets with NO_ERROR in its body"),
		reset("h2_inadequate_security", fault.H2InadequateSecurity, http2.ErrCodeInadequateSecurity, "finds the connection too weak"),
		over2("h2_inadequate_security/goaway", fault.H2InadequateSecurity, "finds the connection too weak, and closes it", each(func(h *h2, s *h2Stream) {
			h.fr.WriteGoAway(0, http2.ErrCodeInadequateSecurity, nil)
			h.end(FIN)
		})),
	}
}

// goaways are connections that the upstream ends with a word.
func goaways() []*Recipe {
	finish := func(name, why string) *Recipe {
		r := over2(name, "", why, nil).status(200).body(hello).lost()
		r.Notes = []fault.ID{fault.H2GoawayNoError}
		return r
	}
	calm := over2("h2_goaway_error/calm", fault.H2GoawayError, "closes the connection since we ask too much, with a word about it", each(func(h *h2, s *h2Stream) {
		h.fr.WriteGoAway(h.last(), http2.ErrCodeEnhanceYourCalm, []byte("too_many_pings"))
		h.end(FIN)
	}))
	ends := func(h *h2, _ *h2Stream) {
		h.fr.WriteGoAway(h.last(), http2.ErrCodeProtocol, []byte("unexpected frame \x00\xff"))
		h.end(FIN)
	}
	refuses := func(h *h2, all []*h2Stream) {
		h.fr.WriteGoAway(1, http2.ErrCodeNo, nil)
		h.end(FIN)
	}
	return []*Recipe{
		finish("h2_goaway_no_error", "announces its end and answers first").does(overH2(each((*h2).depart))),
		finish("h2_goaway_no_error/twice", "announces its end twice, as it should").does(overH2(each(func(h *h2, s *h2Stream) {
			h.fr.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil)
			h.depart(s)
		}))),
		finish("h2_goaway_no_error/beside", "announces its end and answers all that is under way").spared().
			warm2(2, func(h *h2, all []*h2Stream) {
				h.fr.WriteGoAway(all[0].id+uint32(2*len(all)), http2.ErrCodeNo, nil)
				h.answer(h.spare(all))
			}),

		over2("h2_goaway_above_last", fault.H2GoawayAboveLast, "closes each connection without having begun the request", unread(func(h *h2, s *h2Stream) {
			h.fr.WriteGoAway(h.last(), http2.ErrCodeNo, nil)
			h.end(FIN)
		})),
		over2("h2_goaway_above_last/post", fault.H2GoawayAboveLast, "closes each connection without having begun a POST", unread(func(h *h2, s *h2Stream) {
			h.fr.WriteGoAway(h.last(), http2.ErrCodeNo, nil)
			h.end(FIN)
		})).asks(postHello),
		over2("h2_goaway_above_last/warm", fault.H2GoawayAboveLast, "announces its end as a request comes, and serves it on the next connection", nil).
			status(200).body(hello).lost().warm2(0, refuses),
		over2("h2_goaway_above_last/warm-post", fault.H2GoawayAboveLast, "announces its end as a POST comes, and serves it on the next connection", nil).
			asks(postHello).status(200).body(hello).lost().warm2(0, refuses),
		over2("h2_goaway_above_last/beside", fault.H2GoawayAboveLast, "announces its end as three requests come", nil).
			asks(postHello).status(200).body(hello).lost().spared().warm2(2, refuses),
		over2("h2_goaway_above_last/error", fault.H2GoawayAboveLast, "ends the connection with an error, and had not begun the request", nil).
			asks(postHello).status(200).body(hello).lost().warm2(0, func(h *h2, all []*h2Stream) {
			h.fr.WriteGoAway(1, http2.ErrCodeInternal, []byte("restarting"))
			h.end(FIN)
		}),

		over2("h2_goaway_error", fault.H2GoawayError, "ends the connection with an error", each(ends)).at(13),
		over2("h2_goaway_error/post", fault.H2GoawayError, "ends the connection with an error: perhaps the POST was processed", each(ends)).
			asks(postHello).lost(),
		calm,
		over2("h2_goaway_error/late", fault.H2GoawayError, "ends the connection with an error after 4 MiB", each(func(h *h2, s *h2Stream) {
			if h.headers(s.id, false, ":status", "200") && h.much(s, long) {
				ends(h, s)
			}
		})).mustCut(),
	}
}

// losses are connections that end without a word, or fall silent.
func losses() []*Recipe {
	lost := func(name, why string, e End) *Recipe {
		return over2(name, fault.H2ConnLost, why, each(func(h *h2, s *h2Stream) { h.end(e) }))
	}
	inBody := func(name, why string, e End) *Recipe {
		return over2(name, fault.H2ConnLost, why, each(func(h *h2, s *h2Stream) {
			if h.headers(s.id, false, ":status", "200") && h.data(s, false, []byte(hello)) {
				h.end(e)
			}
		})).cut().set("grace", "1s") // so that a busy machine is in time with the end
	}
	late := func(name, why string, e End) *Recipe {
		return over2(name, fault.H2ConnLost, why, each(func(h *h2, s *h2Stream) {
			if h.headers(s.id, false, ":status", "200") && h.much(s, long) {
				h.end(e)
			}
		})).mustCut()
	}
	return []*Recipe{
		lost("h2_conn_lost", "reads the request and hangs up", FIN),
		lost("h2_conn_lost/rst", "reads the request and resets the connection", RST),
		lost("h2_conn_lost/post", "reads a POST and hangs up: perhaps processed", FIN).asks(postHello).lost(),
		agreed("h2_conn_lost/tls", fault.H2ConnLost, "reads the request over TLS and hangs up", each(func(h *h2, s *h2Stream) { h.end(FIN) })),
		agreed("h2_conn_lost/tls-late", fault.H2ConnLost, "hangs up after 4 MiB over TLS", each(func(h *h2, s *h2Stream) {
			if h.headers(s.id, false, ":status", "200") && h.much(s, long) {
				h.end(FIN)
			}
		})).mustCut(),
		inBody("h2_conn_lost/body", "hangs up in its body", FIN),
		late("h2_conn_lost/late", "hangs up after 4 MiB", FIN),
		late("h2_conn_lost/late-rst", "resets the connection after 4 MiB", RST),
		callLost(),
		over2("h2_conn_lost/beside", fault.H2ConnLost, "hangs up with three requests under way", nil).asks(postHello).lost().
			warm2(2, func(h *h2, all []*h2Stream) { h.end(FIN) }),
		over2("h2_ping_timeout", fault.H2PingTimeout, "falls silent on a connection that has served, PINGs included", nil).
			asks(postHello).status(504).lost().set("timeout-h2-ping", soon).warm2(0, func(h *h2, all []*h2Stream) {
			h.mute = true
			h.serve()
		}),
		over2("h2_streams_exhausted", fault.H2StreamsExhausted, "allows no streams at all", func(h *h2) {
			if h.greet(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0}) {
				h.serve()
			}
		}).status(503).set("timeout-connect", soon),
	}
}

// floods are upstreams that send frames without end.
func floods() []*Recipe {
	flood := func(variant, why, frames string) *Recipe {
		return over2("h2_control_flood"+variant, fault.H2ControlFlood, why, says(strings.Repeat(frames, 50_000)))
	}
	return []*Recipe{
		flood("", "sends PING without end", frame(http2.FramePing, 0, 0, "12345678")),
		agreed("h2_control_flood/tls", fault.H2ControlFlood, "sends PING without end, over TLS",
			says(strings.Repeat(frame(http2.FramePing, 0, 0, "12345678"), 50_000))),
		flood("/settings", "sends SETTINGS without end", frame(http2.FrameSettings, 0, 0, "")),
		over2("h2_control_flood/data", fault.H2ControlFlood, "sends empty DATA without end",
			says(good200, strings.Repeat(frame(http2.FrameData, 0, hereID, ""), 50_000))).cut(),
		flood("/window-update", "opens windows byte by byte without end", frame(http2.FrameWindowUpdate, 0, 0, "\x00\x00\x00\x01")),
		flood("/unknown", "sends frames of an unknown type without end", frame(0x42, 0, 0, "")),
	}
}

// agreed is a recipe of an origin with TLS that agrees to HTTP/2 (ALPN) and serves it
// with f; to whoever does not offer it, it serves HTTP/1.1 well.
func agreed(name string, want fault.ID, why string, f func(*h2)) *Recipe {
	r := refused(name, want, "").because(why).does(func(c *Conn) {
		switch {
		case !c.secure(presentGood, func(t *tls.Config) { t.NextProtos = []string{"h2", "http/1.1"} }):
			c.FIN()
		case c.conn.(*tls.Conn).ConnectionState().NegotiatedProtocol == "h2":
			overH2(f)(c)
		default:
			c.GoodAll()
		}
	})
	r.Where, r.start = TLS, listenSecure
	return r
}
