package exchange

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
	"github.com/google/go-cmp/cmp"
)

// Whole exchanges, with an upstream and a clock, are played in package reverse.
// Here is what the client's side does by itself.

func TestOurs(t *testing.T) {
	for _, tt := range []struct {
		via  string
		want bool
	}{
		{"1.1 gw", true}, {"1.0 a, 1.1 gw", true}, {"1.1 GW", true}, {"HTTP/1.1 gw (a comment)", true},
		{"1.1 a,1.1  gw ,1.1 b", true}, {"1.1 gw:8080", false}, {"1.1 gwx", false}, {"gw", false},
		{"1.1 a (gw)", false}, {"", false}, {",,", false}, {"1.1", false}, {"1.1 ", false},
	} {
		if got := ours([]byte(tt.via), []byte("gw")); got != tt.want {
			t.Errorf("%q: %v", tt.via, got)
		}
	}
}

type clock struct {
	loop.Loop
	now loop.Time
}

func (c *clock) Now() loop.Time { c.now++; return c.now }
func (c *clock) Wall() int64    { return 0 }

// ear is a client that hears what is sent, in as many pieces as it was sent in.
type ear struct {
	loop.Stream
	sends  []string
	until  []loop.Time
	takes  []int // how much of each send is taken before err
	errs   []error
	events []string
}

func (e *ear) Send(first, second []byte, until loop.Time) (int, error) {
	p := string(first) + string(second)
	e.until = append(e.until, until)
	if len(e.errs) > 0 {
		n, err := e.takes[0], e.errs[0]
		e.takes, e.errs = e.takes[1:], e.errs[1:]
		e.sends = append(e.sends, p[:n])
		return n, err
	}
	e.sends = append(e.sends, p)
	return len(p), nil
}

func (e *ear) Close() { e.events = append(e.events, "close") }
func (e *ear) Abort() { e.events = append(e.events, "abort") }

func (e *ear) heard() string { return strings.Join(e.sends, "") }

// answering makes an exchange that is to be answered.
func answering(minor uint8) (*Exchange, *ear) {
	e := &ear{}
	o := &Options{Node: "gw", Via: "gw", Times: http1.Timeouts{Reply: 10 * time.Second}}
	x := &Exchange{Client: &http1.Client{Stream: e, Reading: new(http1.Reading)}, Loop: &clock{now: 1000}, Opts: o, server: &Server{o: o}, Deadline: loop.Never, via: []byte("gw")}
	x.reply.major, x.reply.minor = 1, minor
	return x, e
}

// held counts the bytes that are composed and not sent.
func held(x *Exchange) int { return len(x.reply.head) + len(x.reply.body) }

// begin composes an answer from its raw head.
func begin(t *testing.T, x *Exchange, raw string) {
	t.Helper()
	var p h1.Parser
	var h message.Head
	p.Init(h1.Response, nil, h1.AllowResponse)
	if _, err := p.Parse([]byte(raw), &h); !err.Ok() {
		t.Fatal(err)
	}
	f, err := h1.FrameResponse(&p, &h, x.reply.toHead)
	if !err.Ok() {
		t.Fatal(err)
	}
	x.Begin(&h, &f)
}

const (
	sizedHead   = "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\r\n"
	chunkedHead = "HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n"
	sizedSent   = "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\nVia: 1.1 gw\r\n\r\n"
	chunkedSent = "HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\nVia: 1.1 gw\r\n\r\n"
)

func must(t *testing.T, f *fault.Fault) {
	t.Helper()
	if f != nil {
		t.Fatal(f)
	}
}

// Until it is released an answer is nowhere but here, and can be taken back.
func TestHeldBack(t *testing.T) {
	x, e := answering(1)
	begin(t, x, sizedHead)
	must(t, x.Add([]byte("hel")))
	if x.Begun() || len(e.sends) > 0 || held(x) != len(sizedSent)+3 || x.Trail.Status != 200 {
		t.Errorf("begun %v, held %d, status %d: %q", x.Begun(), held(x), x.Trail.Status, e.sends)
	}
	x.Reject()
	if held(x) != 0 || x.Trail.Status != 0 {
		t.Errorf("rejected, held %d, status %d", held(x), x.Trail.Status)
	}
	begin(t, x, chunkedHead)
	must(t, x.Add([]byte("other")))
	must(t, x.Finish(nil))
	if d := cmp.Diff([]string{chunkedSent + "5\r\nother\r\n0\r\n\r\n"}, e.sends); d != "" {
		t.Error(d)
	}
	if !x.Begun() || !x.reply.whole || x.Trail.Answered == 0 || x.Trail.Ended < x.Trail.Answered {
		t.Errorf("begun %v, whole %v, answered %d, ended %d", x.Begun(), x.reply.whole, x.Trail.Answered, x.Trail.Ended)
	}
}

// Pieces of any size make the same message; small ones leave together.
func TestPieces(t *testing.T) {
	big := strings.Repeat("b", together+1)
	for _, tt := range []struct {
		pieces []string
		flush  bool // after each piece
		chunks []string
		sends  int
	}{
		{[]string{"a", "b", "c"}, false, []string{"abc"}, 1},
		{[]string{"a", "b", "c"}, true, []string{"a", "b", "c"}, 4},
		{[]string{big}, false, []string{big}, 2},
		{[]string{big, big}, true, []string{big, big}, 3},
		{[]string{"a", big, "c", big, "d"}, false, []string{"a" + big, "c" + big, "d"}, 3},
		{[]string{"", "a", ""}, false, []string{"a"}, 1},
		{nil, false, nil, 1},
	} {
		want := chunkedSent
		x, e := answering(1)
		begin(t, x, chunkedHead)
		x.Release()
		for _, p := range tt.pieces {
			must(t, x.Add([]byte(p)))
			if tt.flush {
				must(t, x.Flush())
			}
		}
		for _, c := range tt.chunks {
			want += fmt.Sprintf("%x\r\n%s\r\n", len(c), c)
		}
		must(t, x.Finish(nil))
		if d := cmp.Diff(want+"0\r\n\r\n", e.heard()); d != "" {
			t.Error(d)
		}
		if len(e.sends) != tt.sends {
			t.Errorf("%d pieces, flush %v: sent in %d calls, want %d", len(tt.pieces), tt.flush, len(e.sends), tt.sends)
		}
		if x.Trail.Out != int64(len(e.heard())) {
			t.Errorf("counted %d of %d bytes", x.Trail.Out, len(e.heard()))
		}
	}
}

func TestFinishWith(t *testing.T) {
	for _, n := range []int{0, 5, together, together + 1, 100_000} {
		for _, head := range []bool{false, true} {
			x, e := answering(1)
			x.reply.toHead = head
			begin(t, x, fmt.Sprintf("HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: %d\r\n\r\n", n))
			body := strings.Repeat("x", n)
			if head {
				body = ""
			}
			must(t, x.FinishWith([]byte(body)))
			want := fmt.Sprintf("HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: %d\r\nVia: 1.1 gw\r\n\r\n%s", n, body)
			if d := cmp.Diff([]string{want}, e.sends); d != "" {
				t.Errorf("%d bytes, HEAD %v: %s", n, head, d)
			}
		}
	}
}

// An answer in store is sent as it would have been, or forgotten.
func TestStash(t *testing.T) {
	for _, better := range []bool{false, true} {
		x, e := answering(1)
		begin(t, x, "HTTP/1.1 503 Busy\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n")
		must(t, x.Add([]byte("busy")))
		if x.Stashed() {
			t.Error("stashed too early")
		}
		x.Stash()
		if !x.Stashed() || x.Begun() || held(x) != 0 || x.Trail.Status != 0 {
			t.Errorf("stashed %v, begun %v, held %d, status %d", x.Stashed(), x.Begun(), held(x), x.Trail.Status)
		}
		begin(t, x, sizedHead) // another attempt
		want, status := sizedSent+"hello", 200
		if better {
			must(t, x.FinishWith([]byte("hello")))
		} else {
			x.Reject()
			must(t, x.Unstash())
			status = 503
			want = "HTTP/1.1 503 Busy\r\nDate: now\r\nTransfer-Encoding: chunked\r\nProxy-Status: gw; received-status=503\r\nVia: 1.1 gw\r\n\r\n4\r\nbusy\r\n0\r\n\r\n"
		}
		if d := cmp.Diff(want, e.heard()); d != "" || x.Trail.Status != status || !x.reply.whole {
			t.Errorf("status %d, whole %v: %s", x.Trail.Status, x.reply.whole, d)
		}
		x.reply.reset()
		if x.Stashed() {
			t.Error("the next exchange has it too")
		}
	}
}

// Interim answers go out at once, to clients that know them, before the answer.
func TestInterim(t *testing.T) {
	hint := func() *message.Head {
		var p h1.Parser
		var h message.Head
		p.Init(h1.Response, nil, 0)
		if _, err := p.Parse([]byte("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), &h); !err.Ok() {
			t.Fatal(err)
		}
		return &h
	}
	for minor, want := range []string{"", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nVia: 1.1 gw\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"} {
		x, e := answering(uint8(minor))
		must(t, x.Interim(hint()))
		must(t, x.Continue())
		if e.heard() != want || x.Begun() || x.Trail.Answered != 0 {
			t.Errorf("HTTP/1.%d: %q, begun %v", minor, e.heard(), x.Begun())
		}
		begin(t, x, sizedHead)
		must(t, x.FinishWith([]byte("hello")))
		before := e.heard()
		must(t, x.Interim(hint()))
		must(t, x.Continue())
		if e.heard() != before {
			t.Errorf("HTTP/1.%d: an interim answer behind the final one", minor)
		}
	}
}

// An interrupt in the middle of a write is for another wait: not a byte is lost
// or sent twice.
func TestInterruptedWrite(t *testing.T) {
	x, e := answering(1)
	e.takes, e.errs = []int{10, len(sizedSent) + 50, 1}, []error{loop.ErrInterrupted, loop.ErrInterrupted, loop.ErrInterrupted}
	begin(t, x, strings.Replace(sizedHead, "5\r\n", "5000\r\n", 1))
	body := strings.Repeat("0123456789", 500)
	must(t, x.FinishWith([]byte(body)))
	want := strings.Replace(sizedSent, "5\r\n", "5000\r\n", 1) + body
	if d := cmp.Diff(want, e.heard()); d != "" {
		t.Error(d)
	}
	if x.Trail.Out != int64(len(want)) || len(e.sends) != 4 {
		t.Errorf("counted %d, in %d calls", x.Trail.Out, len(e.sends))
	}
}

// A client that cannot be written to is at fault itself, unless time was up.
func TestBrokenWrite(t *testing.T) {
	for _, tt := range []struct {
		err   error
		total bool
		want  fault.ID
	}{
		{loop.ErrTimeout, false, fault.ReplyTimeout}, {loop.ErrTimeout, true, fault.TotalTimeout},
		{syscall.EPIPE, false, fault.ClientGone}, {loop.ErrClosed, false, fault.ClientGone},
	} {
		x, e := answering(1)
		if tt.total {
			x.Deadline = x.Loop.Now() + 5e9
		}
		e.takes, e.errs = []int{3}, []error{tt.err}
		begin(t, x, sizedHead)
		f := x.FinishWith([]byte("hello"))
		if f == nil || f.ID != tt.want || !x.reply.broken || x.reply.whole || x.Trail.Out != 3 {
			t.Errorf("%v: %v, out %d", tt.err, f, x.Trail.Out)
		}
		if tt.want != fault.ClientGone && !errors.Is(tt.err, loop.ErrTimeout) {
			t.Errorf("%v is no timeout", tt.err)
		}
		x.fail(f)
		if d := cmp.Diff([]string{"abort"}, e.events); d != "" || !x.Trail.Cut || len(e.sends) != 1 {
			t.Errorf("%v: cut %v, %d sends, %s", tt.err, x.Trail.Cut, len(e.sends), d)
		}
	}
}

// What has begun is cut so that it shows: chunks without the last one, anything
// else by a reset.
func TestCut(t *testing.T) {
	for _, tt := range []struct {
		head  string
		minor uint8
		want  string
		event string
	}{
		{sizedHead, 1, sizedSent + "he", "abort"},
		{chunkedHead, 1, chunkedSent + "2\r\nhe\r\n1\r\nl\r\n", "close"},
		{chunkedHead, 0, "HTTP/1.1 200 OK\r\nDate: now\r\nConnection: close\r\nVia: 1.1 gw\r\n\r\nhe", "abort"},
	} {
		x, e := answering(tt.minor)
		begin(t, x, tt.head)
		x.Release()
		must(t, x.Add([]byte("he")))
		must(t, x.Flush())
		must(t, x.Add([]byte("l")))
		x.fail(fault.New(fault.BodyRST))
		if d := cmp.Diff(tt.want, e.heard()); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{tt.event}, e.events); d != "" || !x.Trail.Cut || x.Trail.Status != 200 || x.reply.whole {
			t.Errorf("%q: status %d, cut %v: %s", tt.head, x.Trail.Status, x.Trail.Cut, d)
		}
	}
}

// An explanation is an answer like any other: its stamps are in order, and a
// HEAD gets its head only.
func TestExplanation(t *testing.T) {
	for _, head := range []bool{false, true} {
		x, e := answering(1)
		x.reply.toHead = head
		begin(t, x, sizedHead) // what was held back is forgotten
		x.fail(fault.New(fault.HeadEOFEmpty))
		got := e.heard()
		if !strings.HasPrefix(got, "HTTP/1.1 502 Bad Gateway\r\n") || !strings.Contains(got, "\r\nProxy-Status: gw; error=") ||
			!strings.Contains(got, "\r\nX-Request-Id: "+string(x.Trail.Incident[:])+"\r\n") || strings.Contains(got, "200 OK") {
			t.Errorf("%q", got)
		}
		if strings.HasSuffix(got, "\r\n\r\n") != head {
			t.Errorf("HEAD %v: %q", head, got)
		}
		tr := &x.Trail
		if tr.Status != 502 || !x.reply.whole || tr.Answered == 0 || tr.Ended < tr.Answered {
			t.Errorf("status %d, answered %d, ended %d", tr.Status, tr.Answered, tr.Ended)
		}
	}
}
