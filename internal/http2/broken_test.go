package http2_test

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/loop/faulty"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// visit is what a client sends in one go: two requests, one with a body and a
// trailer, a reset, and frames about the connection.
func visit() []byte {
	var b, block bytes.Buffer
	b.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&b, nil)
	e := hpack.NewEncoder(&block)
	head := func(fields ...string) []byte {
		block.Reset()
		for i := 0; i < len(fields); i += 2 {
			_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // to memory
		}
		return bytes.Clone(block.Bytes())
	}
	ask := func(id uint32, end bool, path string, more ...string) {
		all := append([]string{":method", "POST", ":scheme", "http", ":path", path, ":authority", "a.test"}, more...)
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head(all...), EndHeaders: true, EndStream: end})
	}
	_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 500})
	ask(1, false, "/echo", "x-a", "b")
	_ = f.WriteData(1, false, []byte("hello"))
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head("x-check", "abc"), EndHeaders: true, EndStream: true})
	ask(3, true, "/", "priority", "u=1, i")
	_ = f.WriteWindowUpdate(3, 1000)
	ask(5, false, "/body")
	_ = f.WriteRSTStream(5, http2.ErrCodeCancel)
	_ = f.WritePing(false, [8]byte{1})
	return b.Bytes()
}

// Wherever the connection ends or breaks, in either direction, the server is done
// with it, and nothing is left.
func TestBrokenAtEveryByte(t *testing.T) {
	sent := visit()
	for name, plan := range map[string]func(n int) *faulty.Plan{
		"end":   func(n int) *faulty.Plan { return &faulty.Plan{Accepted: true, CutAfter: int64(n)} },
		"reset": func(n int) *faulty.Plan { return &faulty.Plan{Accepted: true, ResetAfter: int64(n)} },
		"broken answer": func(n int) *faulty.Plan {
			return &faulty.Plan{Accepted: true, SendErr: io.ErrClosedPipe, SendErrAfter: int64(n)}
		},
	} {
		for _, epoll := range []bool{false, true} {
			if epoll && !loop.HasEpoll {
				continue
			}
			t.Run(name+map[bool]string{false: " portable", true: " epoll"}[epoll], func(t *testing.T) {
				for n := 1; n <= len(sent); n++ {
					e := loop.Portable(loop.PortableOptions{Loops: 1, Poison: true})
					if epoll {
						var err error
						if e, err = loop.Epoll(loop.EpollOptions{Loops: 1, Poison: true}); err != nil {
							t.Fatal(err)
						}
					}
					e = faulty.Wrap(e, plan(n))
					s := listen(t, e)
					s.feed(sent)
					s.close()
				}
			})
		}
	}
}

// listener is a server without the comforts of a stage.
type listener struct {
	t    testing.TB
	e    loop.Engine
	s    *exchange.Server
	addr string
}

func listen(t testing.TB, e loop.Engine) *listener {
	l := &listener{t: t, e: e}
	o := &exchange.Options{Node: "gw", Via: "gw", Limits: http1.Limits{Limits: h1.DefaultRequest},
		Times: http1.Timeouts{Head: patience, Body: patience, KeepAlive: patience, Reply: patience}}
	made := make(chan struct{})
	first := e.Loops()[0]
	first.Post(func() {
		l.s = exchange.NewServer(first, o, exchange.Only{Responder: answers{first}})
		close(made)
	})
	<-made
	ln, err := e.Listen(loop.Address{IP: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	l.addr = ln.Addr().String()
	e.Serve(ln, func(_ loop.Loop, s loop.Stream) { l.s.Serve(s) })
	return l
}

// feed sends b on a connection of its own, says that this was all, and reads until
// the server has ended it.
func (l *listener) feed(b []byte) {
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		l.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		l.t.Fatal(err)
	}
	_, _ = conn.Write(b) // it may be ended before
	_ = conn.(*net.TCPConn).CloseWrite()
	if _, err := io.Copy(io.Discard, conn); err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			l.t.Fatal("the connection did not end")
		}
	}
}

func (l *listener) close() {
	done := make(chan struct{})
	first := l.e.Loops()[0]
	first.Post(func() {
		defer close(done)
		l.s.Drain(first.Now().Add(int64(patience)))
	})
	<-done
	l.e.Close()
}

// Whatever comes behind the preface, the server ends the connection, and serves the
// next one.
func FuzzServer(f *testing.F) {
	f.Add(visit()[len(http2.ClientPreface):])
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x04\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41"))
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x09\x04\x00\x00\x00\x01\x82\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00"))
	l := listen(f, loop.Portable(loop.PortableOptions{Loops: 1, Poison: true}))
	f.Cleanup(l.close)
	f.Fuzz(func(t *testing.T, frames []byte) {
		l.feed(append([]byte(http2.ClientPreface), frames...))
	})
}
