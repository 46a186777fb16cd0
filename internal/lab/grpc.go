package lab

import (
	"golang.org/x/net/http2"

	"github.com/gatewhy/gatewhy/fault"
)

// callRequest is a call of gRPC with one message, callSoon one whose client waits
// 200 ms for its end.
const (
	callHead    = "POST /shop.Orders/Place HTTP/1.1\r\nHost: %HOST%\r\nContent-Type: application/grpc\r\nConnection: TE\r\nTE: trailers\r\n"
	callBody    = "\x00\x00\x00\x00\x02hi"
	callRequest = callHead + "X-Request-Seq: order-1\r\nContent-Length: 7\r\n\r\n" + callBody
	callSoon    = callHead + "grpc-timeout: 200m\r\nContent-Length: 7\r\n\r\n" + callBody
)

// called makes the recipe's request a call: its client gets status 200, and this
// as its grpc-status. A call is no idempotent request.
func (r *Recipe) called(status string) *Recipe {
	r.GRPC = status
	return r.asks(callRequest)
}

// grpcKind are the fields of an answer to a call.
var grpcKind = []string{":status", "200", "content-type", "application/grpc"}

// grpcRecipes are answers to calls of gRPC.
func grpcRecipes() []*Recipe {
	call := func(name string, want fault.ID, status, why string, f func(*h2, *h2Stream)) *Recipe {
		r := over2(name, want, why, each(f)).called(status).lost()
		if want != "" {
			r.Status = fault.Lookup(want).Status
		}
		return r
	}
	// says sends this many messages' bytes and good trailers.
	says := func(name string, want fault.ID, status, why string, fields []string, messages []byte) *Recipe {
		return call(name, want, status, why, func(h *h2, s *h2Stream) {
			if h.headers(s.id, false, append(grpcKind[:4:4], fields...)...) && h.data(s, false, messages) {
				h.headers(s.id, true, "grpc-status", "0")
			}
		}).cut()
	}
	passed := func(name string, note fault.ID, http int, body, status, why string, f func(*h2, *h2Stream)) *Recipe {
		r := call(name, "", status, why, f).status(http).body(body)
		r.Notes = []fault.ID{note}
		return r
	}
	plain := func(status string, body string) func(h *h2, s *h2Stream) {
		return func(h *h2, s *h2Stream) {
			if h.headers(s.id, false, ":status", status, "content-type", "text/html") {
				h.data(s, true, []byte(body))
			}
		}
	}
	good := grpcMessage(0, hello)
	old := func(name, answer, why string) *Recipe {
		return refused(name, fault.GRPCStatusInBodyH1, answer).called("14").lost().because(why)
	}
	return []*Recipe{
		call("grpc_status_missing", fault.GRPCStatusMissing, "13", "ends a call without trailers", func(h *h2, s *h2Stream) {
			if h.headers(s.id, false, grpcKind...) {
				h.data(s, true, good)
			}
		}),
		call("grpc_status_missing/trailers", fault.GRPCStatusMissing, "13", "has trailers without grpc-status", func(h *h2, s *h2Stream) {
			if h.headers(s.id, false, grpcKind...) && h.data(s, false, good) {
				h.headers(s.id, true, "x-sum", "1")
			}
		}).cut(),
		call("grpc_status_missing/late", fault.GRPCStatusMissing, "13", "ends a call without trailers after 4 MiB", func(h *h2, s *h2Stream) {
			if h.headers(s.id, false, grpcKind...) && h.data(s, false, []byte("\x00\x00\x40\x00\x00")) && h.much(s, long) {
				h.fr.WriteData(s.id, true, nil)
			}
		}).mustCut(),
		old("grpc_status_in_body_h1", "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nContent-Length: 10\r\n\r\n"+string(good),
			"answers a call over HTTP/1.1 with a length"),
		old("grpc_status_in_body_h1/chunked", "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\na\r\n"+
			string(good)+"\r\n0\r\n\r\n", "answers a call over HTTP/1.1 in chunks, without trailers").cut(),
		call("grpc_content_type", fault.GRPCContentType, "2", "answers a call with a page", plain("200", "<h1>It works!</h1>\n")),
		passed("grpc_http_status", fault.GRPCHTTPStatus, 503, "<h1>503</h1>\n", "", "answers a call with 503 and a page", plain("503", "<h1>503</h1>\n")),
		passed("grpc_http_status/404", fault.GRPCHTTPStatus, 404, "<h1>404</h1>\n", "", "answers a call with 404 and a page", plain("404", "<h1>404</h1>\n")),
		says("grpc_message_truncated", fault.GRPCMessageTruncated, "13", "sends half a message and says that all is well", nil, good[:7]),
		says("grpc_message_truncated/prefix", fault.GRPCMessageTruncated, "13", "sends half a prefix and says that all is well", nil, append(good[:10:10], 0, 0)),
		says("grpc_compressed_flag_bad", fault.GRPCCompressedFlagBad, "13", "sends a compressed message and does not say how", nil, grpcMessage(1, hello)),
		says("grpc_compressed_flag_bad/flag", fault.GRPCCompressedFlagBad, "13", "sends a message with flag 7", []string{"grpc-encoding", "gzip"}, grpcMessage(7, hello)),
		call("grpc_deadline", fault.GRPCDeadline, "4", "does not answer a call that has 200 ms", func(h *h2, s *h2Stream) { h.serve() }).asks(callSoon),
		call("grpc_deadline/cancel", fault.GRPCDeadline, "4", "cancels a call when its 200 ms are over", func(h *h2, s *h2Stream) {
			h.serveFor(10 * Gap)
			h.rst(s, http2.ErrCodeCancel)
		}).asks(callSoon),
		call("grpc_deadline/late", fault.GRPCDeadline, "4", "stops in the answer to a call that has 200 ms", func(h *h2, s *h2Stream) {
			if h.headers(s.id, false, grpcKind...) && h.data(s, false, good[:7]) {
				h.serve()
			}
		}).mustCut().asks(callSoon),
		passed("grpc_trailers_only_error", fault.GRPCTrailersOnlyError, 200, none, "5", "refuses a call at once", func(h *h2, s *h2Stream) {
			h.headers(s.id, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "5", "grpc-message", "no such order")
		}),
	}
}

// The calls below are recipes of other faults: what their clients get is told in
// the way of gRPC.

func callReset() *Recipe {
	return over2("h2_rst_internal/call", fault.H2RSTInternal, "fails on a call, as a Go handler that panics",
		each(func(h *h2, s *h2Stream) { h.rst(s, http2.ErrCodeInternal) })).called("14").lost()
}

func callLost() *Recipe {
	return over2("h2_conn_lost/call", fault.H2ConnLost, "hangs up after 4 MiB of an answer to a call", each(func(h *h2, s *h2Stream) {
		if h.headers(s.id, false, grpcKind...) && h.data(s, false, []byte("\x00\x00\x80\x00\x00")) && h.much(s, long) {
			h.end(FIN)
		}
	})).called("14").mustCut()
}
