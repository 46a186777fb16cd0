package http1

import (
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
	"github.com/google/go-cmp/cmp"
)

// heard is all that an Answer says of a message.
type heard struct {
	Interims int
	Status   int
	Body     string
	Trailer  string
	Whole    bool
	Fault    string
	At       int64
	Extra    string
	Repairs  []h1.Error
	Payload  int64
}

// hear reads one answer as package reverse does. keep says that the head is held
// while the body is read.
func hear(t *testing.T, a *Answer, toHead, keep bool, c *Circumstances) (h heard) {
	t.Helper()
	failed := func(f *fault.Fault) heard {
		told(t, f)
		h.Fault, h.At = name(f), f.Offset()
		return h
	}
	for {
		if a.In.Len() > 0 {
			ok, f := a.ParseHead()
			if f != nil {
				return failed(f)
			}
			if ok && a.Head.Status >= 200 {
				break
			}
			if ok {
				a.Next()
				h.Interims++
				continue
			}
		}
		if err := a.Fill(loop.Never); err != nil {
			return failed(a.HeadEnded(err, c))
		}
	}
	h.Status = a.Head.Status
	f := a.Frame(toHead)
	h.Repairs = append(h.Repairs, a.Repairs()...)
	if f != nil {
		return failed(f)
	}
	if !keep {
		a.DropHead()
	}
	for !a.Done() {
		piece, done, f := a.Piece()
		if f != nil {
			return failed(f)
		}
		h.Body += string(piece)
		if done {
			break
		}
		if len(piece) > 0 {
			continue
		}
		err := a.Fill(loop.Never)
		if err == nil {
			continue
		}
		if err == io.EOF {
			if whole, _ := a.Finish(); whole {
				break
			}
		}
		return failed(a.BodyEnded(err, c))
	}
	h.Whole, h.Payload = true, a.Payload()
	h.Repairs = append(h.Repairs, a.TrailerRepaired()...)
	if tr := a.Trailer(); tr != nil {
		h.Trailer = string(h1.AppendFields(nil, tr))
	}
	h.Extra = string(a.Extra())
	return h
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, raw string
		toHead    bool
		want      heard
	}{
		{"sized", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false,
			heard{Status: 200, Body: "hello", Whole: true, Payload: 5}},
		{"chunked with a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 7\r\n\r\n", false,
			heard{Status: 200, Body: "hello", Trailer: "X-Sum: 7\r\n", Whole: true, Payload: 5}},
		{"until the end", "HTTP/1.1 200 OK\r\n\r\nhello", false,
			heard{Status: 200, Body: "hello", Whole: true, Payload: 5}},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", false, heard{Status: 204, Whole: true}},
		{"not modified, with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, heard{Status: 304, Whole: true}},
		{"to HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, heard{Status: 200, Whole: true}},
		{"a body to HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true, heard{Status: 200, Whole: true, Extra: "hello"}},
		{"interim answers first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false,
			heard{Interims: 2, Status: 200, Body: "ok", Whole: true, Payload: 2}},
		{"more behind it", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", false,
			heard{Status: 200, Body: "ok", Whole: true, Payload: 2, Extra: "HTTP/1.1 200 OK\r\n\r\n"}},
		{"the last CRLF is missing", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", false,
			heard{Status: 200, Body: "ok", Whole: true, Payload: 2, Repairs: []h1.Error{{Flaw: h1.LastChunkCut, At: 10}}}},
		{"a forbidden trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 5\r\n\r\n", false,
			heard{Status: 200, Body: "ok", Whole: true, Payload: 2, Repairs: []h1.Error{{Flaw: h1.TrailerForbidden, At: 10}}}},
		{"bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", false,
			heard{Status: 200, Body: "ok", Whole: true, Payload: 2, Repairs: []h1.Error{{Flaw: h1.BareLF, At: 15}}}},

		{"a chunk size that is none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n", false,
			heard{Status: 200, Body: "ok", Fault: "chunk_size_invalid", At: 7}},
		{"a chunk longer than its size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n", false,
			heard{Status: 200, Body: "ok", Fault: "chunk_data_overrun", At: 5}},
		{"a chunk line with LF", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n", false,
			heard{Status: 200, Fault: "chunk_line_bare_lf", At: 1}},
		{"a chunk size that no counter holds", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", false,
			heard{Status: 200, Fault: "chunk_size_overflow", At: 15}},
		{"a trailer without colon", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nfoo\r\n\r\n", false,
			heard{Status: 200, Fault: "trailer_malformed", At: 3}},
		{"length and coding", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false,
			heard{Status: 200, Fault: "cl_and_te", At: 55}},
		{"a line without colon", "HTTP/1.1 200 OK\r\nfoo\r\n\r\n", false, heard{Fault: "header_no_colon", At: 17}},
		{"SSH", "SSH-2.0-OpenSSH_9.2\r\n", false, heard{Fault: "foreign_banner", At: 0}},
		{"HTTP/2", "\x00\x00\x12\x04\x00\x00\x00\x00\x00" + strings.Repeat("\x00", 18), false, heard{Fault: "h2_on_h1", At: 0}},
		{"HTTP/0.9", "<html>hello</html>\r\n", false, heard{Fault: "http09", At: 0}},
		{"another version", "HTTP/2.0 200 OK\r\n\r\n", false, heard{Fault: "status_version_unsupported", At: 5}},
		{"another name", "ICY 200 OK\r\n\r\n", false, heard{Fault: "status_version_name", At: 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for how, pieces := range map[string][]string{"at once": {tt.raw}, "byte by byte": bytewise(tt.raw)} {
				for _, keep := range []bool{false, true} {
					a := answerOf(play(pieces...))
					got := hear(t, a, tt.toHead, keep, &Circumstances{Limit: "1s"})
					if how != "at once" {
						got.Extra = tt.want.Extra // it is not waited for
						if got.Fault == string(fault.HTTP09) {
							continue // one byte is enough to know that this is no HTTP, not to know what it is
						}
					}
					if d := cmp.Diff(tt.want, got); d != "" {
						t.Errorf("%s, head held %v: %s", how, keep, d)
					}
				}
			}
		})
	}
}

// Every flaw that the codec can find in an answer has a fault of its own.
func TestEveryFlawOfAnAnswer(t *testing.T) {
	raw := []byte("HTTP/1.1 200 OK\r\nA: b\r\n\r\n")
	for e := (h1.Error{Flaw: h1.NotHTTP, At: 4}); e.Flaw <= h1.LastChunkCut; e.Flaw++ {
		switch e.Flaw {
		case h1.MethodChar, h1.RequestSpacing, h1.TargetChar, h1.TargetForm, h1.TargetTooLong, h1.HostMissing,
			h1.HostDuplicate, h1.HostInvalid, h1.ExpectUnknown:
			continue // only requests have these
		}
		f := LiftAnswer(e, raw, 0, &h1.DefaultResponse)
		r := f.Row()
		if r.Side != fault.Upstream || f.Offset() != 4 {
			t.Errorf("%v: %s, side %s", e.Flaw, f.ID, r.Side)
		}
		if r.Kind == fault.Failure && r.Status != 502 {
			t.Errorf("%v: %s has status %d", e.Flaw, f.ID, r.Status)
		}
		if Receipt(e) != f.ID {
			t.Errorf("%v: the receipt says %s, the fault %s", e.Flaw, Receipt(e), f.ID)
		}
	}
}

// What ended an answer is named by what the connection knows (faults.md A.1).
func TestHeadEnded(t *testing.T) {
	reset := error(syscall.ECONNRESET)
	reused, fresh := &Circumstances{Reused: true, Limit: "1s"}, &Circumstances{Limit: "1s"}
	for _, tt := range []struct {
		name, raw string
		err       error
		c         *Circumstances
		want      fault.ID
		delivered string
	}{
		{"fresh FIN", "", io.EOF, fresh, fault.HeadEOFEmpty, ""},
		{"fresh FIN, nothing delivered", "", io.EOF, &Circumstances{Undelivered: true}, fault.AcceptThenFIN, "none"},
		{"fresh FIN, sending had failed", "", io.EOF, &Circumstances{SendBroke: true}, fault.WriteReset, ""},
		{"fresh FIN to an upgrade", "", io.EOF, &Circumstances{Upgrade: true}, fault.WSUpgradeEOF, ""},
		{"fresh RST", "", reset, fresh, fault.HeadRSTEmpty, ""},
		{"fresh RST, sending had failed", "", reset, &Circumstances{SendBroke: true}, fault.WriteReset, ""},
		{"kept FIN", "", io.EOF, reused, fault.ReuseRaceFIN, ""},
		{"kept FIN, nothing delivered", "", io.EOF, &Circumstances{Reused: true, Undelivered: true}, fault.ReuseRaceFIN, "none"},
		{"kept RST", "", reset, reused, fault.ReuseRaceRST, ""},
		{"cut", "HTTP/1.1 200 OK\r\nContent-Le", io.EOF, fresh, fault.HeadEOFPartial, ""},
		{"cut in the version", "HTT", io.EOF, fresh, fault.HeadEOFPartial, ""},
		{"kept, cut", "HTTP/1.1 200", io.EOF, reused, fault.ReuseRacePartial, ""},
		{"reset in the head", "HTTP/1.1 200", reset, fresh, fault.HeadRSTPartial, ""},
		{"kept, reset in the head", "HTTP/1.1 200", reset, reused, fault.ReuseRacePartial, ""},
		{"early answer, reset", "HTTP/1.1 413", reset, &Circumstances{SendBroke: true}, fault.EarlyResponseTruncated, ""},
		{"text, then FIN", "hello", io.EOF, fresh, fault.HTTP09, ""},
		{"interim, then FIN", "HTTP/1.1 103 Early Hints\r\n\r\n", io.EOF, fresh, fault.InterimThenEOF, ""},
		{"kept, interim, then RST", "HTTP/1.1 103 Early Hints\r\n\r\n", reset, reused, fault.InterimThenEOF, ""},
		{"kept, interim, then cut", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200", io.EOF, reused, fault.HeadEOFPartial, ""},
		{"silence", "", loop.ErrTimeout, fresh, fault.HeadTimeoutFirstByte, ""},
		{"kept, silence", "", loop.ErrTimeout, reused, fault.HeadTimeoutFirstByte, ""},
		{"kept, silence, nothing acknowledged", "", loop.ErrTimeout, &Circumstances{Reused: true, Unacked: true, Limit: "1s"}, fault.ReuseBlackhole, ""},
		{"silence in the head", "HTTP/1.1 200", loop.ErrTimeout, fresh, fault.HeadTimeoutPartial, ""},
		{"out of time", "HTTP/1.1 200", loop.ErrTimeout, &Circumstances{Total: true, Limit: "1s"}, fault.TotalTimeout, ""},
	} {
		for how, pieces := range map[string][]string{"at once": {tt.raw}, "byte by byte": bytewise(tt.raw)} {
			if tt.raw == "" {
				pieces = nil
			}
			s := play(pieces...)
			s.end = tt.err
			a := answerOf(s)
			got := hear(t, a, false, false, tt.c)
			if got.Fault != string(tt.want) {
				t.Errorf("%s, %s: %s, want %s", tt.name, how, got.Fault, tt.want)
			}
			if a.Received != int64(len(tt.raw)) {
				t.Errorf("%s, %s: received %d of %d", tt.name, how, a.Received, len(tt.raw))
			}
			f := a.HeadEnded(tt.err, tt.c)
			if f.Get("delivered") != tt.delivered {
				t.Errorf("%s: delivered %q, want %q", tt.name, f.Get("delivered"), tt.delivered)
			}
		}
	}
}

func TestBodyEnded(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\n"
	reset := error(syscall.ECONNRESET)
	plain := &Circumstances{Limit: "1s"}
	for _, tt := range []struct {
		name, raw string
		err       error
		c         *Circumstances
		want      fault.ID
		says      string // in the sentence for operators
	}{
		{"sized, FIN", head + "Content-Length: 10\r\n\r\nhello", io.EOF, plain, fault.BodyEOFShort, "after 5 of 10 bytes"},
		{"sized, RST", head + "Content-Length: 10\r\n\r\nhello", reset, plain, fault.BodyRST, "after 5 of 10 bytes"},
		{"chunked, FIN", head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", io.EOF, plain, fault.ChunkEOF, "after 5 bytes"},
		{"chunked, RST", head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhel", reset, plain, fault.ChunkEOF, "after 3 bytes"},
		{"to close, RST", head + "\r\nhello", reset, plain, fault.BodyCloseDelimitedRST, "after 5 bytes"},
		{"silence", head + "Content-Length: 10\r\n\r\nhello", loop.ErrTimeout, plain, fault.BodyReadTimeout, "after 5 bytes"},
		{"out of time", head + "Content-Length: 10\r\n\r\nhello", loop.ErrTimeout, &Circumstances{Total: true, Limit: "9s"}, fault.TotalTimeout, "limit of 9s"},
		{"early answer, RST", head + "Content-Length: 10\r\n\r\nhello", reset, &Circumstances{SendBroke: true}, fault.EarlyResponseTruncated, "(200)"},
		{"early answer, FIN", head + "Content-Length: 10\r\n\r\nhello", io.EOF, &Circumstances{SendBroke: true}, fault.BodyEOFShort, "after 5 of 10 bytes"},
	} {
		for _, keep := range []bool{false, true} {
			s := play(tt.raw)
			s.end = tt.err
			a := answerOf(s)
			got := hear(t, a, false, keep, tt.c)
			if got.Fault != string(tt.want) {
				t.Errorf("%s: %s, want %s", tt.name, got.Fault, tt.want)
			}
			f := a.BodyEnded(tt.err, tt.c)
			told(t, f)
			if !strings.Contains(f.Observed(), tt.says) {
				t.Errorf("%s: %q does not say %q", tt.name, f.Observed(), tt.says)
			}
		}
	}
}

// A sized body that is held back in the buffer was not decoded, and has come all
// the same.
func TestBodyEndedWhileHeld(t *testing.T) {
	a := answerOf(play("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"))
	if err := a.Fill(loop.Never); err != nil {
		t.Fatal(err)
	}
	if ok, f := a.ParseHead(); !ok || f != nil {
		t.Fatal(ok, f)
	}
	if f := a.Frame(false); f != nil {
		t.Fatal(f)
	}
	if _, whole := a.WholeBody(); whole || !a.Room() {
		t.Fatal("half a body is whole, or has no room")
	}
	if s := a.BodyEnded(io.EOF, &Circumstances{}).Observed(); !strings.Contains(s, "after 5 of 10 bytes") {
		t.Error(s)
	}
}

func TestWholeBody(t *testing.T) {
	const raw = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP"
	s := play(raw[:20], raw[20:40], raw[40:])
	a := answerOf(s)
	for {
		if err := a.Fill(loop.Never); err != nil {
			t.Fatal(err)
		}
		ok, f := a.ParseHead()
		if f != nil {
			t.Fatal(f)
		}
		if ok {
			break
		}
	}
	if f := a.Frame(false); f != nil {
		t.Fatal(f)
	}
	if _, whole := a.WholeBody(); whole {
		t.Fatal("whole too early")
	}
	if err := a.Fill(loop.Never); err != nil {
		t.Fatal(err)
	}
	body, whole := a.WholeBody()
	if string(body) != "hello" || !whole {
		t.Fatalf("%q, %v", body, whole)
	}
	a.TakeBody(len(body))
	if !a.Done() || a.Payload() != 5 || string(a.Extra()) != "HTTP" {
		t.Errorf("done %v, payload %d, extra %q", a.Done(), a.Payload(), a.Extra())
	}
	if got := string(a.Head.Value(5)); got != "5" && a.Head.Status != 200 {
		t.Errorf("the head is gone: %q", got)
	}
	a.DropHead()
	if string(a.In.Bytes()) != "HTTP" {
		t.Errorf("%q is left", a.In.Bytes())
	}
}

// A head may be larger than a usual buffer, and is refused where the limit says.
func TestLargeHead(t *testing.T) {
	for n, want := range map[int]string{10: "", 15: "", 30: "header_section_too_large"} {
		raw := "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("a", 10<<10)+"\r\n", n) + "Content-Length: 0\r\n\r\n"
		got := hear(t, answerOf(play(raw)), false, true, &Circumstances{})
		if got.Fault != want || (want == "") != got.Whole {
			t.Errorf("%d KiB: %+v", 10*n, got)
		}
	}
}

func TestAnswerBodyLimit(t *testing.T) {
	l := Limits{Limits: h1.DefaultResponse, Body: 9}
	for _, raw := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n0123456789",
	} {
		a := new(Answer)
		a.Start(play(raw), &l, h1.AllowResponse)
		if got := hear(t, a, false, false, &Circumstances{}); got.Fault != "body_too_large" {
			t.Errorf("%q: %+v", raw, got)
		}
	}
}

// A second answer on the same Answer knows nothing of the first.
func TestStartAgain(t *testing.T) {
	a := answerOf(play("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"))
	hear(t, a, false, true, &Circumstances{})
	a.In.Release()
	a.Start(play(), &responseLimits, h1.AllowResponse)
	if a.Head.Status != 0 || len(a.Head.Fields) != 0 || a.Received != 0 || a.Interims != 0 || a.HeadSize() != 0 || a.Payload() != 0 {
		t.Errorf("it remembers: %+v", a.Head)
	}
}
