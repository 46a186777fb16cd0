package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// seen is what a strict client makes of each recipe: x/net's Framer, or the rules
// that it leaves to its user. "silence" is what neither of them looks at.
var seen = map[string]string{
	"h2_preface_bad":                           "0, 0 bytes, silence",
	"h2_preface_bad/data":                      "flaw the stream ended without a final answer",
	"h2_preface_bad/ssh":                       "flaw http2: frame too large",
	"h2_preface_bad/post":                      "0, 0 bytes, silence",
	"h2_got_http1":                             "flaw http2: failed reading the frame payload: http2: frame too large, note that the frame header looked like an HTTP/1.1 header",
	"h2_got_http1/505":                         "flaw http2: failed reading the frame payload: http2: frame too large, note that the frame header looked like an HTTP/1.1 header",
	"h2_got_http1/post":                        "flaw http2: failed reading the frame payload: http2: frame too large, note that the frame header looked like an HTTP/1.1 header",
	"h2_settings_invalid":                      "0, 0 bytes, silence",
	"h2_settings_invalid/window":               "flaw connection error: FLOW_CONTROL_ERROR",
	"h2_settings_invalid/push":                 "0, 0 bytes, silence",
	"h2_settings_invalid/ack":                  "flaw connection error: FRAME_SIZE_ERROR",
	"h2_settings_timeout":                      "0, 0 bytes, silence",
	"h2_frame_size":                            "flaw http2: frame too large",
	"h2_frame_size/settings":                   "flaw connection error: FRAME_SIZE_ERROR",
	"h2_frame_size/ping":                       "flaw connection error: FRAME_SIZE_ERROR",
	"h2_frame_size/rst":                        "flaw connection error: FRAME_SIZE_ERROR",
	"h2_frame_size/window-update":              "flaw connection error: FRAME_SIZE_ERROR",
	"h2_frame_size/goaway":                     "flaw connection error: FRAME_SIZE_ERROR",
	"h2_frame_size/late":                       "flaw connection error: FRAME_SIZE_ERROR",
	"h2_padding":                               "flaw connection error: PROTOCOL_ERROR: pad size larger than data payload",
	"h2_padding/headers":                       "flaw stream error: stream ID 1; PROTOCOL_ERROR",
	"h2_stream_id_invalid":                     "0, 0 bytes, silence",
	"h2_stream_id_invalid/data-0":              "flaw connection error: PROTOCOL_ERROR: DATA frame with stream ID 0",
	"h2_stream_id_invalid/headers-0":           "flaw connection error: PROTOCOL_ERROR: HEADERS frame with stream ID 0",
	"h2_stream_id_invalid/idle":                "0, 0 bytes, silence",
	"h2_stream_id_invalid/rst-idle":            "0, 0 bytes, silence",
	"h2_stream_id_invalid/settings":            "flaw connection error: PROTOCOL_ERROR",
	"h2_stream_id_invalid/ping":                "flaw connection error: PROTOCOL_ERROR",
	"h2_stream_id_invalid/goaway":              "flaw connection error: PROTOCOL_ERROR",
	"h2_flow_violation":                        "200, 81919 bytes, silence",
	"h2_window_update_bad":                     "flaw stream error: stream ID 1; PROTOCOL_ERROR",
	"h2_window_update_bad/connection":          "flaw connection error: PROTOCOL_ERROR",
	"h2_window_update_bad/overflow":            "0, 0 bytes, silence",
	"h2_window_update_bad/connection-overflow": "0, 0 bytes, silence",
	"h2_flow_stall":                            "0, 0 bytes, silence",
	"h2_flow_stall/connection":                 "0, 0 bytes, silence",
	"h2_hpack_error":                           "flaw connection error: COMPRESSION_ERROR",
	"h2_hpack_error/index":                     "flaw connection error: COMPRESSION_ERROR",
	"h2_hpack_error/string":                    "flaw connection error: COMPRESSION_ERROR",
	"h2_hpack_error/huffman":                   "flaw connection error: COMPRESSION_ERROR",
	"h2_hpack_error/table":                     "flaw connection error: COMPRESSION_ERROR",
	"h2_hpack_error/trailers":                  "flaw connection error: COMPRESSION_ERROR",
	"h2_headers_too_large":                     `200 ""`,
	"h2_headers_too_large/bomb":                `200 ""`,
	"h2_continuation_abuse":                    "flaw connection error: PROTOCOL_ERROR: got DATA for stream 1; expected CONTINUATION following HEADERS for stream 1",
	"h2_continuation_abuse/ping":               "flaw connection error: PROTOCOL_ERROR: got PING for stream 0; expected CONTINUATION following HEADERS for stream 1",
	"h2_continuation_abuse/stream":             "flaw connection error: PROTOCOL_ERROR: got CONTINUATION for stream 2; expected stream 1",
	"h2_continuation_abuse/alone":              "flaw connection error: PROTOCOL_ERROR: unexpected CONTINUATION for stream 1",
	"h2_continuation_abuse/endless":            "0, 0 bytes, silence",
	"h2_status_missing":                        "flaw no :status",
	"h2_status_missing/empty":                  "flaw no :status",
	"h2_status_invalid":                        `flaw a misplaced or bad :status "2000"`,
	"h2_status_invalid/word":                   `flaw a misplaced or bad :status "OK"`,
	"h2_status_invalid/reason":                 `flaw a misplaced or bad :status "200 OK"`,
	"h2_status_invalid/range":                  `flaw a bad :status "999"`,
	"h2_status_invalid/101":                    `flaw a bad :status "101"`,
	"h2_status_invalid/twice":                  `flaw stream error: stream ID 1; PROTOCOL_ERROR; duplicate pseudo-header ":status": duplicate pseudo-header ":status"`,
	"h2_pseudo_order":                          "flaw stream error: stream ID 1; PROTOCOL_ERROR; mix of request and response pseudo headers: mix of request and response pseudo headers",
	"h2_pseudo_order/behind":                   "flaw stream error: stream ID 1; PROTOCOL_ERROR; pseudo header field after regular: pseudo header field after regular",
	"h2_pseudo_order/unknown":                  `flaw stream error: stream ID 1; PROTOCOL_ERROR; invalid pseudo-header ":reason": invalid pseudo-header ":reason"`,
	"h2_field_uppercase":                       `flaw stream error: stream ID 1; PROTOCOL_ERROR; invalid header field name "X-App": invalid header field name "X-App"`,
	"h2_field_uppercase/space":                 `flaw stream error: stream ID 1; PROTOCOL_ERROR; invalid header field name "x app": invalid header field name "x app"`,
	"h2_field_uppercase/empty":                 `flaw stream error: stream ID 1; PROTOCOL_ERROR; invalid header field name "": invalid header field name ""`,
	"h2_field_uppercase/newline":               `flaw stream error: stream ID 1; PROTOCOL_ERROR; invalid header field value for "x-app": invalid header field value for "x-app"`,
	"h2_field_uppercase/nul":                   `flaw stream error: stream ID 1; PROTOCOL_ERROR; invalid header field value for "x-app": invalid header field value for "x-app"`,
	"h2_connection_header":                     "flaw a field that HTTP/2 does not have: connection",
	"h2_connection_header/coding":              "flaw a field that HTTP/2 does not have: transfer-encoding",
	"h2_connection_header/upgrade":             "flaw a field that HTTP/2 does not have: upgrade",
	"h2_connection_header/no-repair":           "flaw a field that HTTP/2 does not have: connection",
	"h2_content_length_mismatch":               `flaw 5 bytes where content-length says "10"`,
	"h2_content_length_mismatch/over":          `flaw 10 bytes where content-length says "5"`,
	"h2_content_length_mismatch/none":          `flaw 0 bytes where content-length says "5"`,
	"h2_content_length_mismatch/late":          `flaw 4194304 bytes where content-length says "8388608"`,
	"h2_trailers_bad":                          "flaw trailers that do not end the stream",
	"h2_trailers_bad/status":                   "flaw a pseudo-header field in the trailers: :status",
	"h2_trailers_bad/late":                     "flaw a pseudo-header field in the trailers: :status",
	"h2_data_before_headers":                   "flaw the stream ended without a final answer",
	"h2_data_before_headers/interim":           "flaw the stream ended without a final answer",
	"h2_end_stream_no_final":                   "flaw an interim answer that ends the stream",
	"h2_push_unexpected":                       "0, 0 bytes, silence",
	"h2_rst_refused":                           "0, 0 bytes, the stream was reset with REFUSED_STREAM",
	"h2_rst_refused/post":                      "0, 0 bytes, the stream was reset with REFUSED_STREAM",
	"h2_rst_refused/once":                      "0, 0 bytes, the stream was reset with REFUSED_STREAM",
	"h2_rst_refused/once-post":                 "0, 0 bytes, the stream was reset with REFUSED_STREAM",
	"h2_rst_no_error":                          `413 "big"`,
	"h2_rst_cancel":                            "0, 0 bytes, the stream was reset with CANCEL",
	"h2_rst_cancel/post":                       "0, 0 bytes, the stream was reset with CANCEL",
	"h2_rst_cancel/body":                       "200, 5 bytes, the stream was reset with CANCEL",
	"h2_rst_cancel/late":                       "200, 4194304 bytes, the stream was reset with CANCEL",
	"h2_rst_cancel/beside":                     "0, 0 bytes, the stream was reset with CANCEL",
	"h2_rst_internal":                          "0, 0 bytes, the stream was reset with INTERNAL_ERROR",
	"h2_rst_internal/post":                     "0, 0 bytes, the stream was reset with INTERNAL_ERROR",
	"h2_rst_internal/late":                     "200, 4194304 bytes, the stream was reset with INTERNAL_ERROR",
	"h2_rst_protocol":                          "0, 0 bytes, the stream was reset with PROTOCOL_ERROR",
	"h2_rst_enhance_calm":                      "0, 0 bytes, the stream was reset with ENHANCE_YOUR_CALM",
	"h2_rst_http11_required":                   "0, 0 bytes, the stream was reset with HTTP_1_1_REQUIRED",
	"h2_rst_other":                             "0, 0 bytes, the stream was reset with FLOW_CONTROL_ERROR",
	"h2_rst_other/unknown":                     "0, 0 bytes, the stream was reset with unknown error code 0xf1",
	"h2_rst_other/no-error":                    "0, 0 bytes, the stream was reset with NO_ERROR",
	"h2_rst_other/no-error-body":               "200, 5 bytes, the stream was reset with NO_ERROR",
	"h2_inadequate_security":                   "0, 0 bytes, the stream was reset with INADEQUATE_SECURITY",
	"h2_inadequate_security/goaway":            "0, 0 bytes, lost, behind a GOAWAY with INADEQUATE_SECURITY and last stream 0",
	"h2_goaway_no_error":                       `200 "hello" (GOAWAY NO_ERROR, last 1)`,
	"h2_goaway_no_error/twice":                 `200 "hello" (GOAWAY NO_ERROR, last 1)`,
	"h2_goaway_no_error/beside":                `200 "hello" (GOAWAY NO_ERROR, last 9)`,
	"h2_goaway_above_last":                     "0, 0 bytes, lost, behind a GOAWAY with NO_ERROR and last stream 0",
	"h2_goaway_above_last/post":                "0, 0 bytes, lost, behind a GOAWAY with NO_ERROR and last stream 0",
	"h2_goaway_above_last/warm":                "0, 0 bytes, lost, behind a GOAWAY with NO_ERROR and last stream 1",
	"h2_goaway_above_last/warm-post":           "0, 0 bytes, lost, behind a GOAWAY with NO_ERROR and last stream 1",
	"h2_goaway_above_last/beside":              "0, 0 bytes, lost, behind a GOAWAY with NO_ERROR and last stream 1",
	"h2_goaway_above_last/error":               "0, 0 bytes, lost, behind a GOAWAY with INTERNAL_ERROR and last stream 1",
	"h2_goaway_error":                          "0, 0 bytes, lost, behind a GOAWAY with PROTOCOL_ERROR and last stream 1",
	"h2_goaway_error/post":                     "0, 0 bytes, lost, behind a GOAWAY with PROTOCOL_ERROR and last stream 1",
	"h2_goaway_error/calm":                     "0, 0 bytes, lost, behind a GOAWAY with ENHANCE_YOUR_CALM and last stream 1",
	"h2_goaway_error/late":                     "200, 4194304 bytes, lost, behind a GOAWAY with PROTOCOL_ERROR and last stream 1",
	"h2_conn_lost":                             "0, 0 bytes, lost",
	"h2_conn_lost/rst":                         "0, 0 bytes, lost",
	"h2_conn_lost/post":                        "0, 0 bytes, lost",
	"h2_conn_lost/body":                        "200, 5 bytes, lost",
	"h2_conn_lost/late":                        "200, 4194304 bytes, lost",
	"h2_conn_lost/late-rst":                    "200, 4194304 bytes, lost",
	"h2_conn_lost/beside":                      "0, 0 bytes, lost",
	"h2_ping_timeout":                          "0, 0 bytes, silence",
	"h2_streams_exhausted":                     "0, 0 bytes, silence",
	"h2_control_flood":                         "0, 0 bytes, silence",
	"h2_control_flood/settings":                "0, 0 bytes, silence",
	"h2_control_flood/data":                    "200, 0 bytes, silence",
	"h2_control_flood/window-update":           "0, 0 bytes, silence",
	"h2_control_flood/unknown":                 "0, 0 bytes, silence",
	"h2_rst_internal/call":                     "0, 0 bytes, the stream was reset with INTERNAL_ERROR",
	"h2_conn_lost/call":                        "200, 4194309 bytes, lost",
	"grpc_status_missing":                      `200 "\x00\x00\x00\x00\x05hello"`,
	"grpc_status_missing/trailers":             `200 "\x00\x00\x00\x00\x05hello" x-sum=1`,
	"grpc_status_missing/late":                 `200 "\x00\x00@\x00\x00xxxxxxxxxxxxxxx"`,
	"grpc_content_type":                        `200 "<h1>It works!</h1>\n"`,
	"grpc_http_status":                         `503 "<h1>503</h1>\n"`,
	"grpc_http_status/404":                     `404 "<h1>404</h1>\n"`,
	"grpc_message_truncated":                   `200 "\x00\x00\x00\x00\x05he" grpc-status=0`,
	"grpc_message_truncated/prefix":            `200 "\x00\x00\x00\x00\x05hello\x00\x00" grpc-status=0`,
	"grpc_compressed_flag_bad":                 `200 "\x01\x00\x00\x00\x05hello" grpc-status=0`,
	"grpc_compressed_flag_bad/flag":            `200 "\a\x00\x00\x00\x05hello" grpc-status=0`,
	"grpc_deadline/cancel":                     "0, 0 bytes, the stream was reset with CANCEL",
	"grpc_deadline":                            "0, 0 bytes, silence",
	"grpc_deadline/late":                       "200, 7 bytes, silence",
	"grpc_trailers_only_error":                 `200 ""`,
}

// askH2 plays the client of a recipe against its origin itself and says in a few
// words what came: the answer, or which rule x/net's Framer finds broken.
func askH2(t *testing.T, r *Recipe) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	o := start(t, r)
	address, ok := strings.CutPrefix(o.Target, "h2c://")
	if !ok {
		t.Fatalf("target %s", o.Target)
	}
	c, err := DialH2(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if r.Warm {
		x, err := c.Start(host(plainGET, address), 0)
		if err != nil {
			t.Fatal(err)
		}
		if a := x.Answer(); a.Status != 200 || !a.Whole || a.Flaw != "" {
			t.Fatalf("the first answer: %+v", a)
		}
		if err := o.Arm(ctx); err != nil {
			t.Fatal(err)
		}
	}
	var others []*H2Exchange
	for range r.Beside {
		x, err := c.Start("GET "+BesidePath+" HTTP/1.1\r\nHost: a\r\n\r\n", 0)
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, x)
	}
	if s := seen[r.Name]; strings.Contains(s, "silence") || strings.Contains(s, "do not end") {
		c.conn.SetDeadline(time.Now().Add(patience))
	}
	x, err := c.Start(r.Requested(address), r.Upload)
	if err != nil {
		t.Fatal(err)
	}
	if r.Client == Stall {
		c.stingy = true // as far as HTTP/2 is concerned
	}
	a := x.Answer()
	for _, x := range others {
		if b := x.Answer(); r.Spared && b.Status != 200 && r.Want != "h2_goaway_above_last" {
			t.Errorf("beside: %+v", b)
		}
	}
	return summary(c, a)
}

func summary(c *H2Client, a *H2Answer) string {
	s := ""
	var late net.Error
	switch {
	case a.Flaw != "":
		s = "flaw " + strings.TrimSuffix(a.Flaw, ": <nil>")
	case a.Whole:
		s = fmt.Sprintf("%d %q", a.Status, a.Body[:min(len(a.Body), 20)])
		for _, f := range a.Trailer {
			s += " " + f.Name + "=" + f.Value
		}
	case errors.Is(a.Cut, syscall.ECONNRESET), errors.Is(a.Cut, io.EOF):
		// A reset that a write has met reads as EOF.
		_, behind, _ := strings.Cut(a.Cut.Error(), ", behind")
		if s = fmt.Sprintf("%d, %d bytes, lost", a.Status, a.Size); behind != "" {
			s += ", behind" + behind
		}
	case errors.As(a.Cut, &late) && late.Timeout():
		s = fmt.Sprintf("%d, %d bytes, silence", a.Status, a.Size)
	default:
		s = fmt.Sprintf("%d, %d bytes, %v", a.Status, a.Size, a.Cut)
	}
	if g := c.goaway; g != nil && !strings.Contains(s, "behind") {
		s += fmt.Sprintf(" (GOAWAY %v, last %d)", g.ErrCode, g.LastStreamID)
	}
	return s
}

// Each recipe breaks the rule that it says, in the eyes of somebody else's reader.
func TestH2Recipes(t *testing.T) {
	for _, r := range Recipes() {
		if r.Where != HTTP2 {
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			want, ok := seen[r.Name]
			if !ok {
				t.Fatal("no expectation")
			}
			if got := askH2(t, r); got != want {
				t.Errorf("a client sees %q, not %q", got, want)
			}
		})
	}
}

// patience is how long a client waits for what will not come.
const patience = 25 * Gap

// A good origin answers over HTTP/2 what it answers over HTTP/1.1.
func TestGoodH2(t *testing.T) {
	o, err := GoodH2(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c, err := DialH2(ctx, strings.TrimPrefix(o.Target, "h2c://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func(request string, upload int64) *H2Answer {
		t.Helper()
		x, err := c.Start(request, upload)
		if err != nil {
			t.Fatal(err)
		}
		a := x.Answer()
		if a.Flaw != "" || !a.Whole || a.Status != 200 {
			t.Fatalf("%.20q: %+v", request, a)
		}
		return a
	}
	if a := ask(host(plainGET, "a"), 0); string(a.Body) != hello {
		t.Errorf("GET: %q", a.Body)
	}
	if a := ask(host(plainHEAD, "a"), 0); a.Size != 0 || a.Get("content-length") != "5" {
		t.Errorf("HEAD: %+v", a)
	}
	if a := ask(host(postHello, "a"), 0); a.Get("x-body-length") != "5" || a.Get("x-executed") != "1" || o.Executed("order-1") != 1 {
		t.Errorf("POST: %+v", a)
	}
	if a := ask(host(chunkedPOST, "a"), 0); a.Get("x-body-length") != "5" {
		t.Errorf("POST in chunks: %+v", a)
	}
	if a := ask(host(expecting, "a"), 0); len(a.Interim) != 0 && a.Interim[0] != 100 {
		t.Errorf("POST with Expect: %+v", a)
	}
	// More than any window that either side begins with.
	big := "POST / HTTP/1.1\r\nHost: a\r\nX-Request-Seq: big\r\n\r\n"
	if a := ask(big, 3<<20); a.Get("x-body-length") != "3145728" {
		t.Errorf("a large POST: %+v", a)
	}
	if a := ask("POST /s/m HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nTE: trailers\r\n\r\n"+string(grpcMessage(0, "hi")), 0); len(a.Trailer) != 1 ||
		a.Trailer[0].Value != "0" || string(a.Body) != string(grpcMessage(0, hello)) {
		t.Errorf("gRPC: %+v", a)
	}
}
