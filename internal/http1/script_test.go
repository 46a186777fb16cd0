package http1

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// still is a loop whose clock does not move: the script says what happens.
type still struct {
	loop.Loop
	now loop.Time
}

func (s *still) Now() loop.Time { return s.now }

// script is a stream whose input a test has written down: some pieces, then an
// end. Its buffers are poisoned, so a span that outlives its bytes shows.
type script struct {
	loop.Stream
	loop   *still
	pool   loop.Pool
	pieces []string
	end    error // after the pieces; io.EOF if nil
	check  error
	noHalf error // what CloseWrite returns

	until  []loop.Time // of each Fill
	events []string
}

func (s *script) Loop() loop.Loop { return s.loop }

func (s *script) Fill(b *loop.Buffer, until loop.Time) error {
	s.until = append(s.until, until)
	if b.Len() > 0 && b.Room() == 0 {
		return loop.ErrFull
	}
	if len(s.pieces) == 0 {
		if s.end == nil {
			return io.EOF
		}
		return s.end
	}
	n := copy(b.Space(&s.pool), s.pieces[0])
	b.Took(n)
	if s.pieces[0] = s.pieces[0][n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	return nil
}

func (s *script) Check() error      { return s.check }
func (s *script) CloseWrite() error { s.events = append(s.events, "fin"); return s.noHalf }
func (s *script) Close()            { s.events = append(s.events, "close") }

func play(pieces ...string) *script {
	return &script{loop: &still{now: 1000}, pool: loop.Pool{Poison: true}, pieces: slices.Clone(pieces)}
}

// bytewise is raw in pieces of one byte.
func bytewise(raw string) []string { return strings.Split(raw, "") }

var (
	requestLimits  = Limits{Limits: h1.DefaultRequest}
	responseLimits = Limits{Limits: h1.DefaultResponse}
	someTimes      = Timeouts{Head: 10e9, Body: 20e9, KeepAlive: 30e9, Reply: 40e9}
)

func clientOf(s *script) *Client {
	c := new(Client)
	c.Init(s, &requestLimits, &someTimes)
	return c
}

func answerOf(s *script) *Answer {
	a := new(Answer)
	a.Start(s, &responseLimits, h1.AllowResponse)
	return a
}

// told fails if a fact that the row's sentence speaks of was not given. Facts of
// the connection are added by package reverse.
func told(t *testing.T, f *fault.Fault) {
	t.Helper()
	if !fault.Known(f.ID) {
		t.Errorf("the catalogue has no %q", f.ID)
	}
	s := f.Observed()
	for _, later := range []string{"{endpoint}", "{address}", "{age}", "{idle}", "{delivered}"} {
		s = strings.ReplaceAll(s, later, "")
	}
	if i := strings.IndexByte(s, '{'); i >= 0 {
		if _, rest, ok := strings.Cut(s[i:], "}"); ok && !strings.Contains(f.Get("line")+f.Get("got")+f.Get("byte")+f.Get("field"), "{") {
			t.Errorf("%s: a fact is missing: %q%q", f.ID, s, rest)
		}
	}
}

// bare removes from a raw message what a test does not look at.
func name(f *fault.Fault) string {
	if f == nil {
		return ""
	}
	return string(f.ID)
}
