package soak

import (
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// requestsBeforeStop is how many requests are over when the gateway is told to stop.
const requestsBeforeStop = 300

// A stop in the middle of the load loses no request: who has a connection is
// answered, and nobody can make a new one.
func TestStop(t *testing.T) { onEngines(t, stop) }

func stop(t *testing.T, args ...string) {
	w := newWorld(t)
	cert := newCertificate(t)
	o := newOrigin(t, w, nil, false)
	p := launch(t, cert, append(args, "--loops", "2", o.address)...)
	// Pipelined requests behind an answer that closes are the client's to send again,
	// and a tunnel has no end to wait for.
	var those []row
	for _, r := range rows {
		if !slices.Contains([]string{"pipelined", "TLS pipelined", "tunnel", "TLS tunnel"}, r.name) {
			those = append(those, r)
		}
	}
	var clients sync.WaitGroup
	over := make(chan struct{})
	w.run(&clients, those, 0, p, over)
	for range requestsBeforeStop {
		select {
		case <-w.calls:
		case <-time.After(patience):
			t.Fatal("no requests are answered")
		}
	}
	w.stopping.Store(true)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	clients.Wait() // each ends when it is refused
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("it does not end:\n%s", p.words())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.words())
	}
	w.account(p)
	t.Logf("%d requests: %v", w.next.Load(), w.tally)
}
