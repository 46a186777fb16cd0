package lab

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestConnects(t *testing.T) {
	for name, ok := range map[string]func(error) bool{
		"connect_refused":     func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) },
		"connect_timeout":     func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) || isTimeout(err) },
		"unix_socket_missing": func(err error) bool { return errors.Is(err, syscall.ENOENT) },
		"unix_socket_backlog": func(err error) bool { return errors.Is(err, syscall.EAGAIN) },
	} {
		o := start(t, Find(name))
		network, address := "tcp", o.Target
		if path, isUnix := strings.CutPrefix(o.Target, "unix:"); isUnix {
			network, address = "unix", path
		}
		for range 2 { // and it stays so
			c, err := net.DialTimeout(network, address, 5*Gap)
			if !ok(err) {
				t.Errorf("%s: %v", name, err)
			}
			if c != nil {
				c.Close()
			}
		}
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func TestAcceptThenEnd(t *testing.T) {
	o := start(t, Find("accept_then_fin"))
	if n, err := connect(t, o).Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("accept_then_fin: %d, %v", n, err)
	}
	o = start(t, Find("accept_then_rst"))
	if n, err := connect(t, o).Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("accept_then_rst: %d, %v", n, err)
	}
}

// pooled makes a first good exchange with a Warm recipe's origin and arms it.
func pooled(t *testing.T, name string) (*Origin, *net.TCPConn, *bufio.Reader) {
	t.Helper()
	o := start(t, Find(name))
	c := connect(t, o).(*net.TCPConn)
	in := bufio.NewReader(c)
	say(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	a, err := http.ReadResponse(in, nil)
	if err != nil || a.StatusCode != 200 {
		t.Fatalf("first exchange: %v, %v", a, err)
	}
	if b, err := io.ReadAll(a.Body); err != nil || string(b) != hello {
		t.Fatalf("first exchange: %q, %v", b, err)
	}
	if err := o.Arm(t.Context()); err != nil {
		t.Fatal(err)
	}
	return o, c, in
}

func info(t *testing.T, c *net.TCPConn) *unix.TCPInfo {
	t.Helper()
	var i *unix.TCPInfo
	control(c, func(fd int) bool {
		var err error
		if i, err = unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err != nil {
			t.Fatal(err)
		}
		return true
	})
	return i
}

// waiting is what the kernel holds for c: bytes, and whether FIN is behind them.
func waiting(c *net.TCPConn) (n int, err error) {
	b := make([]byte, 256)
	control(c, func(fd int) bool {
		n, _, err = unix.Recvfrom(fd, b, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return true
	})
	return n, err
}

const tcpClose = 7 // TCP_CLOSE of include/net/tcp_states.h

// The three ways in which a pooled connection dies under a request, as TCP sees
// them: what rule RP stands on.
func TestWhatARaceProves(t *testing.T) {
	const second = "POST /order HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
	race := func(name string) (acked uint64, state uint8, err error) {
		o, c, in := pooled(t, name)
		before := info(t, c).Bytes_acked
		say(t, c, second)
		_, err = in.ReadByte()
		i := info(t, c)
		if o.Hits() > 2 {
			t.Errorf("%s: %d requests", name, o.Hits())
		}
		return i.Bytes_acked - before, i.State, err
	}
	// The FIN was here before the request: EOF, nothing acknowledged, closed.
	for _, name := range []string{"reuse_race_fin/post-crossed", "reuse_fin_before_write", "conn_close_lie"} {
		if acked, state, err := race(name); acked != 0 || state != tcpClose || err != io.EOF {
			t.Errorf("%s: %d bytes acknowledged, state %d, %v", name, acked, state, err)
		}
	}
	// The origin read all of it and then closed: all is acknowledged.
	for _, name := range []string{"reuse_race_fin/post-read", "reuse_race_fin/put-read"} {
		if acked, state, err := race(name); acked != uint64(len(second)) || state == tcpClose || err != io.EOF {
			t.Errorf("%s: %d bytes acknowledged, state %d, %v", name, acked, state, err)
		}
	}
	// A reset says nothing about delivery, however much was acknowledged.
	if _, _, err := race("reuse_race_rst/post-read"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset: %v", err)
	}
}

func TestRacePartial(t *testing.T) {
	_, c, in := pooled(t, "reuse_race_partial/get-read")
	say(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if b, err := io.ReadAll(in); err != nil || string(b) != "HTTP/1.1 20" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestExecutions(t *testing.T) {
	o, c, in := pooled(t, "reuse_race_fin/post-read")
	say(t, c, strings.ReplaceAll(postHello, "%HOST%", "a"))
	if _, err := in.ReadByte(); err != io.EOF {
		t.Fatal(err)
	}
	if n := o.Executed("order-1"); n != 1 {
		t.Errorf("executed %d times, want 1", n)
	}
	// A fresh connection is good, so that a retry would be seen.
	c2 := connect(t, o)
	say(t, c2, strings.ReplaceAll(postHello, "%HOST%", "a"))
	if a, err := http.ReadResponse(bufio.NewReader(c2), nil); err != nil || a.Header.Get("X-Executed") != "2" {
		t.Errorf("%v, %v", a, err)
	}
}

// When Arm returns, what happened on the idle connection is in our kernel.
func TestIdleConnections(t *testing.T) {
	for name, want := range map[string]string{
		"reuse_unsolicited_data": "HTTP/1.1 200 OK\r\n",
		"reuse_idle_408":         "HTTP/1.1 408 Request Timeout\r\n",
	} {
		_, c, _ := pooled(t, name)
		n, err := waiting(c)
		if err != nil || n < len(want) {
			t.Errorf("%s: %d bytes wait, %v", name, n, err)
			continue
		}
		b := make([]byte, len(want))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	_, c, _ := pooled(t, "reuse_fin_before_write")
	if n, err := waiting(c); n != 0 || err != nil {
		t.Errorf("no FIN waits: %d, %v", n, err)
	}
	_, c, _ = pooled(t, "reuse_race_fin/get-read")
	if n, err := waiting(c); err != syscall.EAGAIN {
		t.Errorf("the connection is not silent: %d, %v", n, err)
	}
}

// The blackhole is one connection's, and is alive to TCP.
func TestBlackhole(t *testing.T) {
	o, c, _ := pooled(t, "reuse_blackhole")
	say(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	fresh := connect(t, o)
	say(t, fresh, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if a, err := http.ReadResponse(bufio.NewReader(fresh), nil); err != nil || a.StatusCode != 200 {
		t.Errorf("on a fresh connection: %v, %v", a, err)
	}
	// The fresh one was asked later and has answered.
	if n, err := waiting(c); err != syscall.EAGAIN {
		t.Errorf("on the old connection: %d bytes, %v", n, err)
	}
}
