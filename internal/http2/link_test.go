package http2

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
)

// upstream plays what a server says to one connection, in pieces: each has been read
// before the next one is sent.
func upstream(pieces ...[]byte) func(net.Conn) {
	return func(c net.Conn) {
		go io.Copy(io.Discard, c)
		for _, p := range pieces {
			if len(p) > 0 {
				if _, err := c.Write(p); err != nil {
					return
				}
				read(c)
			}
		}
		c.Close()
	}
}

// read returns when the other end has read all or is closed. What was written to a
// pipe in memory has been read.
func read(c net.Conn) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return
	}
	for left := 1; left > 0; runtime.Gosched() {
		if raw.Control(func(fd uintptr) { left = loop.Unacked(fd) }) != nil {
			return
		}
	}
}

// bothEngines runs f on each engine.
func bothEngines(t *testing.T, f func(t *testing.T, epoll bool)) {
	t.Run("portable", func(t *testing.T) { f(t, false) })
	if loop.HasEpoll {
		t.Run("epoll", func(t *testing.T) { f(t, true) })
	}
}

// onLink runs f on a loop with a connection to what serve plays: a pipe in memory, or
// a socket.
func onLink(t *testing.T, epoll bool, serve func(net.Conn), o *LinkOptions, f func(l loop.Loop, k *Link, opening *fault.Fault)) {
	t.Helper()
	e, path := loop.Engine(nil), "/upstream"
	if epoll {
		dir, err := os.MkdirTemp("", "link") // its path is short enough for a socket's
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		path = filepath.Join(dir, "s")
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go func() {
			if c, err := ln.Accept(); err == nil {
				serve(c)
			}
		}()
		if e, err = loop.Epoll(loop.EpollOptions{Loops: 1, Poison: true}); err != nil {
			t.Fatal(err)
		}
	} else {
		e = loop.Portable(loop.PortableOptions{Loops: 1, Poison: true, Dial: func(context.Context, loop.Address) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go serve(theirs)
			return ours, nil
		}})
	}
	done := make(chan bool)
	l := e.Loops()[0]
	l.Post(func() {
		defer close(done)
		s, err := l.Dial(loop.Address{Path: path}, loop.Never)
		if err != nil {
			t.Error(err)
			return
		}
		k, opening := Open(s, "http", o, l.Now().Add(int64(10*time.Second)), func() {})
		f(l, k, opening)
		if k != nil {
			k.Close()
			k.stream.Close()
		} else {
			s.Close()
		}
	})
	<-done
	e.Close()
}

// get asks for / on k and says what came of it.
func get(l loop.Loop, k *Link, method string) string {
	var line Line
	line.Begin(k)
	defer line.Release()
	q := message.Request{Head: message.Head{Raw: []byte(method + "/a.test"), Major: 1, Minor: 1}}
	n := uint32(len(method))
	q.Head.Method = message.Span{Len: n}
	q.Head.Path = message.Span{Off: n, Len: 1}
	q.Head.Authority = message.Span{Off: n + 1, Len: 6}
	q.Framing.Trailers = true
	line.Compose(&q, &message.Onward{Length: -1, Via: []byte("gw")})
	line.End(nil)
	until := l.Now().Add(int64(10 * time.Second))
	out := ""
	name := func(f *fault.Fault) string { return out + string(f.ID) }
	sent, err := line.AskWhole(until)
	if !sent {
		return name(line.HeadEnded(err, &message.Circumstances{}))
	}
	h, fr := line.Message()
	for {
		ok, _ := line.ParseHead()
		if ok && h.Status < 200 {
			out += fmt.Sprintf("%d ", h.Status)
			line.Next()
			continue
		}
		if ok {
			break
		}
		if err := line.Fill(until); err != nil {
			return name(line.HeadEnded(err, &message.Circumstances{}))
		}
	}
	out += fmt.Sprintf("%d ", h.Status)
	if f := line.Frame(method == "HEAD"); f != nil {
		return name(f)
	}
	_ = fr
	for {
		p, done, f := line.Piece()
		if f != nil {
			return name(f)
		}
		out += string(p)
		if done && line.Done() {
			break
		}
		if len(p) == 0 {
			if err := line.Fill(until); err != nil {
				return name(line.BodyEnded(err, &message.Circumstances{}))
			}
		}
	}
	if tr := line.Trailer(); tr != nil {
		for i := range tr.Fields {
			out += fmt.Sprintf(" %s=%s", tr.Bytes(tr.Fields[i].Name), tr.Bytes(tr.Fields[i].Value))
		}
	}
	for i := 0; ; i++ {
		id, _, ok := line.Receipt(i)
		if !ok {
			return out
		}
		out += " (" + string(id) + ")"
	}
}

// frame is a frame of any content.
func frame(typ h2.Type, flags h2.Flags, stream uint32, payload string) string {
	return string(h2.AppendHeader(nil, h2.Header{Length: uint32(len(payload)), Type: typ, Flags: flags, Stream: stream})) + payload
}

func lit(name, value string) string {
	return "\x00" + string([]byte{byte(len(name))}) + name + string([]byte{byte(len(value))}) + value
}

const (
	last  = h2.EndStream
	whole = h2.EndHeaders
	code0 = "\x00\x00\x00\x00"
)

var (
	hello200 = frame(h2.Headers, whole, 1, "\x88")
	data     = frame(h2.Data, last, 1, "hello")
)

var says = []struct{ name, method, frames, want string }{
	{"answer", "GET", hello200 + data, "200 hello"},
	{"in two frames", "GET", hello200 + frame(h2.Data, 0, 1, "hel") + frame(h2.Data, last, 1, "lo"), "200 hello"},
	{"padded", "GET", hello200 + frame(h2.Data, last|h2.Padded, 1, "\x03hello\x00\x00\x00"), "200 hello"},
	{"empty last frame", "GET", hello200 + frame(h2.Data, 0, 1, "hello") + frame(h2.Data, last, 1, ""), "200 hello"},
	{"head alone", "GET", frame(h2.Headers, whole|last, 1, "\x88"), "200 "},
	{"HEAD", "HEAD", frame(h2.Headers, whole|last, 1, "\x88"+lit("content-length", "5")), "200 "},
	{"body to HEAD", "HEAD", frame(h2.Headers, whole, 1, "\x88"+lit("content-length", "5")) + data, "200 h2_content_length_mismatch"},
	{"interim", "GET", frame(h2.Headers, whole, 1, lit(":status", "103")) + hello200 + data, "103 200 hello"},
	{"two interims", "GET", frame(h2.Headers, whole, 1, lit(":status", "100")) + frame(h2.Headers, whole, 1, lit(":status", "103")) +
		hello200 + data, "100 103 200 hello"},
	{"trailers", "GET", hello200 + frame(h2.Data, 0, 1, "hello") + frame(h2.Headers, whole|last, 1, lit("x-sum", "1")), "200 hello x-sum=1"},
	{"continuation", "GET", frame(h2.Headers, 0, 1, "\x88\x00") + frame(h2.Continuation, 0, 1, "\x01a") +
		frame(h2.Continuation, whole, 1, "\x01b") + data, "200 hello"},
	{"unknown frame", "GET", frame(0x42, 0xff, 7, "x") + hello200 + data, "200 hello"},
	{"settings and ping", "GET", frame(h2.Settings, 0, 0, "\x00\x04\x00\x00\x10\x00") + frame(h2.Ping, 0, 0, "12345678") + hello200 + data, "200 hello"},
	{"connection field", "GET", frame(h2.Headers, whole, 1, "\x88"+lit("connection", "close")) + data, "200 hello (h2_connection_header)"},
	{"goaway, and the answer", "GET", frame(h2.GoAway, 0, 0, "\x00\x00\x00\x01"+code0) + hello200 + data, "200 hello (h2_goaway_no_error)"},
	{"sized", "GET", frame(h2.Headers, whole, 1, "\x88"+lit("content-length", "5")) + data, "200 hello"},

	{"sized, and lost without its last word", "GET", frame(h2.Headers, whole, 1, "\x88"+lit("content-length", "5")) + frame(h2.Data, 0, 1, "hello"),
		"200 hello (h2_conn_lost)"},
	{"sized, and lost before its end", "GET", frame(h2.Headers, whole, 1, "\x88"+lit("content-length", "5")) + frame(h2.Data, 0, 1, "hell"),
		"200 hellh2_conn_lost"},
	{"of any size, and lost", "GET", hello200 + frame(h2.Data, 0, 1, "hello"), "200 helloh2_conn_lost"},

	{"too little", "GET", frame(h2.Headers, whole, 1, "\x88"+lit("content-length", "6")) + data, "h2_content_length_mismatch"},
	{"too much", "GET", frame(h2.Headers, whole, 1, "\x88"+lit("content-length", "4")) + data, "h2_content_length_mismatch"},
	{"no status", "GET", frame(h2.Headers, whole|last, 1, lit("a", "b")), "h2_status_missing"},
	{"101", "GET", frame(h2.Headers, whole|last, 1, lit(":status", "101")), "h2_status_invalid"},
	{"capitals", "GET", frame(h2.Headers, whole|last, 1, "\x88"+lit("A", "b")), "h2_field_uppercase"},
	{"data first", "GET", data, "h2_data_before_headers"},
	{"interim at the end", "GET", frame(h2.Headers, whole|last, 1, lit(":status", "103")), "h2_end_stream_no_final"},
	{"index", "GET", frame(h2.Headers, whole|last, 1, "\x80"), "h2_hpack_error"},
	{"push", "GET", frame(h2.PushPromise, whole, 1, "\x00\x00\x00\x02\x82"), "h2_push_unexpected"},
	{"even stream", "GET", frame(h2.Data, last, 2, "x"), "h2_stream_id_invalid"},
	{"frame size", "GET", frame(h2.Ping, 0, 0, "1"), "h2_frame_size"},
	{"padding", "GET", frame(h2.Headers, whole|h2.Padded, 1, "\x09\x88"), "h2_padding"},
	{"window", "GET", frame(h2.WindowUpdate, 0, 1, code0), "h2_window_update_bad"},
	{"setting", "GET", frame(h2.Settings, 0, 0, "\x00\x02\x00\x00\x00\x01"), "h2_settings_invalid"},
	{"interleaved", "GET", frame(h2.Headers, 0, 1, "\x88") + frame(h2.Ping, 0, 0, "12345678"), "h2_continuation_abuse"},
	{"refused", "GET", frame(h2.RSTStream, 0, 1, "\x00\x00\x00\x07"), "h2_rst_refused"},
	{"cancelled", "GET", frame(h2.RSTStream, 0, 1, "\x00\x00\x00\x08"), "h2_rst_cancel"},
	{"goaway above", "GET", frame(h2.GoAway, 0, 0, code0+code0), "h2_goaway_above_last"},
	{"goaway with an error", "GET", frame(h2.GoAway, 0, 0, "\x00\x00\x00\x01\x00\x00\x00\x01why"), "h2_goaway_error"},
	{"nothing", "GET", "", "h2_conn_lost"},
	{"an HTTP/1.1 answer", "GET", "HTTP/1.1 400 Bad Request\r\n\r\n", "h2_got_http1"},
}

// What is said means the same however its bytes arrive.
func TestLinkCutAtEveryByte(t *testing.T) {
	settings := frame(h2.Settings, 0, 0, "") + frame(h2.Settings, h2.Ack, 0, "")
	for _, tt := range says {
		bothEngines(t, func(t *testing.T, epoll bool) {
			b := []byte(settings + tt.frames)
			for cut := range len(b) + 1 {
				onLink(t, epoll, upstream(b[:cut], b[cut:]), &LinkOptions{Repair: true}, func(l loop.Loop, k *Link, f *fault.Fault) {
					if f != nil {
						t.Fatalf("%s, cut at %d: %v", tt.name, cut, f)
					}
					// What stands at the end of the body is told by the last word.
					if got := get(l, k, tt.method); got != tt.want && !strings.HasSuffix(got, tt.want) {
						t.Errorf("%s, cut at %d: %q, want %q", tt.name, cut, got, tt.want)
					}
				})
			}
		})
	}
}

// A connection that does not begin as one of HTTP/2 is named, and has cost no
// request.
func TestLinkOpening(t *testing.T) {
	for _, tt := range []struct{ name, says, want string }{
		{"HTTP/1.1", "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "h2_got_http1"},
		{"HTTP/1.1, cut", "HTTP/1.1 4", "h2_got_http1"},
		{"SSH", "SSH-2.0-OpenSSH_9.2p1\r\n", "h2_preface_bad"},
		{"PING", frame(h2.Ping, 0, 0, "12345678"), "h2_preface_bad"},
		{"an acknowledgement", frame(h2.Settings, h2.Ack, 0, ""), "h2_preface_bad"},
		{"a bad setting", frame(h2.Settings, 0, 0, "\x00\x05\x00\x00\x00\x01"), "h2_settings_invalid"},
		{"nothing", "", "accept_then_"}, // by FIN or RST
		{"a few bytes", "\x00\x00\x00", "h2_preface_bad"},
	} {
		b := []byte(tt.says)
		bothEngines(t, func(t *testing.T, epoll bool) {
			for cut := range len(b) + 1 {
				onLink(t, epoll, upstream(b[:cut], b[cut:]), &LinkOptions{}, func(_ loop.Loop, k *Link, f *fault.Fault) {
					if f == nil || !strings.HasPrefix(string(f.ID), tt.want) || f.Get("delivered") != "none" {
						t.Errorf("%s, cut at %d: %v, want %s", tt.name, cut, f, tt.want)
					}
				})
			}
		})
	}
}

// Whatever a server says, each request ends, and nothing panics.
func FuzzLink(f *testing.F) {
	for _, tt := range says {
		f.Add([]byte(tt.frames), uint16(len(tt.frames)/2))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		if len(b) > 1<<16 {
			return
		}
		at := int(cut) % (len(b) + 1)
		settings := []byte(frame(h2.Settings, 0, 0, ""))
		onLink(t, false, upstream(append(settings, b[:at]...), b[at:]), &LinkOptions{Repair: true, Body: 1 << 20}, func(l loop.Loop, k *Link, opening *fault.Fault) {
			if opening != nil {
				return
			}
			left := 2
			me := l.Current()
			for range 2 {
				l.Go(func() {
					get(l, k, "GET")
					left--
					me.Wake()
				})
			}
			for left > 0 {
				l.Park(loop.Never)
			}
			if k.begun != 0 || len(k.lines) != 0 {
				t.Errorf("%d places and %d streams are left", k.begun, len(k.lines))
			}
		})
	})
}
