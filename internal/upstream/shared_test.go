package upstream

import (
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// still is a loop whose clock the test moves and whose tasks never run: for what
// does not wait.
type still struct {
	loop.Loop
	now loop.Time
}

func (s *still) Now() loop.Time        { return s.now }
func (s *still) Go(f func()) loop.Task { return never{} }
func (s *still) pass(d time.Duration)  { s.now += loop.Time(d) }

// never is a task that never runs.
type never struct{ loop.Task }

func (never) Wake() {}

// pipe is a stream of which a test says how it looks.
type pipe struct {
	loop.Stream
	check    error
	input    string
	fill     error
	closed   int
	aborted  int
	sent     uint64
	delivery loop.Delivery
	known    bool
	unsure   bool
}

func (s *pipe) Check() error                    { return s.check }
func (s *pipe) Quiet() (quiet, sure bool)       { return s.unsure || s.check == nil, !s.unsure }
func (s *pipe) Close()                          { s.closed++ }
func (s *pipe) Abort()                          { s.aborted++ }
func (s *pipe) Sent() uint64                    { return s.sent }
func (s *pipe) Delivery() (loop.Delivery, bool) { return s.delivery, s.known }
func (s *pipe) Fill(b *loop.Buffer, _ loop.Time) error {
	if s.fill == nil {
		b.Append([]byte(s.input))
	}
	return s.fill
}

// upstreamOf makes an upstream of targets as people write them.
func upstreamOf(t testing.TB, o Options, targets ...string) *Upstream {
	t.Helper()
	for _, s := range targets {
		list, err := ParseTarget(s)
		if err != nil {
			t.Fatal(err)
		}
		o.Targets = append(o.Targets, list...)
	}
	u, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// at is a Local with a clock that stands still.
func at(u *Upstream) (*Local, *still) {
	s := &still{now: loop.Time(time.Hour)}
	return u.On(s), s
}

// refused is a fault that speaks against an endpoint, met while connecting.
func refused() *fault.Fault { return fault.New(fault.ConnectRefused) }

// run runs f in a task of a new portable loop and waits for it and all its
// tasks.
func run(t *testing.T, o loop.PortableOptions, f func(l loop.Loop)) {
	t.Helper()
	o.Loops = 1
	e := loop.Portable(o)
	done := make(chan struct{})
	e.Loops()[0].Post(func() {
		defer close(done)
		f(e.Loops()[0])
	})
	<-done
	e.Close()
}
