package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatewhy/gatewhy/internal/upstream"
)

// notifier tells the service manager how the service is, by the protocol of
// sd_notify(3). Without one it says nothing.
type notifier struct {
	at       string // the manager's socket, "" if there is none
	conn     net.Conn
	watchdog time.Duration // how often a sign of life is due; 0 if nobody waits for one
	over     atomic.Bool   // another process speaks for the service
}

// handOver tells the manager that the service is another process from now on. What this
// one says would be taken for the other's.
func (n *notifier) handOver(pid int) {
	n.say("MAINPID=" + strconv.Itoa(pid))
	n.over.Store(true)
}

// environment are the variables by which the next program finds the manager.
func (n *notifier) environment() (list []string) {
	if n.at != "" {
		list = append(list, "NOTIFY_SOCKET="+n.at)
		if n.watchdog > 0 {
			list = append(list, "WATCHDOG_USEC="+strconv.FormatInt(n.watchdog.Microseconds(), 10))
		}
	}
	return list
}

// notifier finds the manager in the environment, and takes it out of there: it is not
// for programs that we start.
func (e *env) notifier() *notifier {
	n := &notifier{}
	at := e.getenv("NOTIFY_SOCKET")
	if at == "" {
		return n
	}
	c, err := net.Dial("unixgram", at) // @ is an abstract name for package net, too
	if err != nil {
		e.complain(fmt.Errorf("the service manager cannot be told anything: %w", err), "")
		return n
	}
	n.at, n.conn = at, c
	us, err := strconv.ParseInt(e.getenv("WATCHDOG_USEC"), 10, 64)
	if pid := e.getenv("WATCHDOG_PID"); err == nil && us > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.watchdog = time.Duration(us) * time.Microsecond
	}
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		os.Unsetenv(name)
	}
	return n
}

// say sends assignments, one in a line. A manager that does not listen is its own
// problem.
func (n *notifier) say(lines ...string) {
	if n.conn != nil && !n.over.Load() {
		n.conn.Write([]byte(strings.Join(lines, "\n")))
	}
}

func (n *notifier) close() {
	if n.conn != nil {
		n.conn.Close()
	}
}

// alive gives a sign of life while every loop of the gateway turns: one that hangs is
// to be found by who waits for the sign.
func (s *service) alive(ctx context.Context) {
	tick := time.NewTicker(s.notify.watchdog / 3)
	defer tick.Stop()
	for {
		if s.gateway.Turns(ctx) {
			s.notify.say("WATCHDOG=1", "STATUS="+s.status())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// status is the service in one line.
func (s *service) status() string {
	up, all := 0, 0
	for _, u := range s.gateway.Upstreams() {
		for _, e := range u.State() {
			if all++; e.State == upstream.StateUp {
				up++
			}
		}
	}
	var at []string
	for _, a := range s.gateway.Addresses() {
		at = append(at, a.String())
	}
	return fmt.Sprintf("%s; %d of %s up; %s", strings.Join(at, ", "), up, count(all, "endpoint"), count(int(s.gateway.Incidents().Total()), "incident"))
}
