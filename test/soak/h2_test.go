package soak

//lint:file-ignore SA1019 net/http makes its connections itself, and here the test has them

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// secureH2 connects with TLS and agrees on HTTP/2.
func secureH2(c *client) (net.Conn, error) {
	conn, err := tls.Dial("tcp", c.p.secure, &tls.Config{RootCAs: c.p.trust, ServerName: certified, NextProtos: []string{"h2"}})
	if err == nil && conn.ConnectionState().NegotiatedProtocol != "h2" {
		conn.Close()
		return nil, fmt.Errorf("ALPN gave %q", conn.ConnectionState().NegotiatedProtocol)
	}
	return conn, err
}

// multiplex makes a connection of streams out of the client's connection.
func (c *client) multiplex() *http2.ClientConn {
	if !c.open() {
		return nil
	}
	t := &http2.Transport{AllowHTTP: true, DisableCompression: true}
	cc, err := t.NewClientConn(c.conn)
	if err != nil {
		c.fail("%s: %v", c.kind, err)
		c.close()
		return nil
	}
	return cc
}

// stream is what one request of a connection does.
type stream struct {
	*request
	up    *rand.Rand // of the goroutine that sends the body
	down  *rand.Rand // of the one that reads the answer
	slow  bool       // both ways
	leave int64      // bytes of the answer after which it is reset; -1: never
}

func (c *client) stream(q *request) *stream {
	q.expect = false
	return &stream{request: q, up: rand.New(rand.NewPCG(c.rand.Uint64(), 0)), down: rand.New(rand.NewPCG(c.rand.Uint64(), 1)), leave: -1}
}

// together sends requests at once and waits until all are over.
func (c *client) together(cc *http2.ClientConn, list []*stream) {
	var streams sync.WaitGroup
	for _, s := range list {
		streams.Go(func() { c.roundTrip(cc, s) }) // ends with the answer, or patience
	}
	streams.Wait()
}

func (c *client) roundTrip(cc *http2.ClientConn, s *stream) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var body io.Reader
	if s.method == "PUT" || s.method == "POST" {
		body = &content{id: s.id, size: s.body}
		if s.slow {
			body = &hesitant{c: &client{rand: s.up}, r: body, turns: 10 + s.up.IntN(50)}
		}
	}
	r, err := http.NewRequestWithContext(ctx, s.method, "http://soak.test"+s.path(), body)
	if err != nil {
		c.fail("%s: %v", c.kind, err)
		return
	}
	if body != nil {
		r.ContentLength = s.body
		r.Header.Set("X-Size", fmt.Sprint(s.body))
		if s.coding {
			r.ContentLength = -1
		}
	}
	resp, err := cc.RoundTrip(r)
	if s.leave >= 0 {
		e := expectation{certain: err == nil}
		if err == nil {
			io.CopyN(io.Discard, resp.Body, s.leave)
			resp.Body.Close() // resets the stream
		}
		c.world.over(c.kind, s.id, e)
		return
	}
	a := answer{err: err}
	if err == nil {
		a.status = resp.StatusCode
		var pace func(io.Reader) io.Reader
		if s.slow {
			pace = func(r io.Reader) io.Reader {
				return &hesitant{c: &client{rand: s.down}, r: r, turns: 10 + s.down.IntN(100)}
			}
		}
		a = c.readBody(s.request, a, resp, pace)
	}
	c.judge(s.request, a)
}

// streams sends small requests, many at a time; some are reset.
func streams(c *client) {
	defer c.close()
	cc := c.multiplex()
	if cc == nil {
		return
	}
	defer cc.Close()
	for range 1 + c.rand.IntN(10) {
		if c.ends() {
			return
		}
		var list []*stream
		for range 1 + c.rand.IntN(30) {
			s := c.stream(c.request(methods[c.rand.IntN(len(methods))], small, 3000))
			if c.rand.IntN(40) == 0 {
				s.size = c.rand.Int64N(1 << 20)
				s.mode = "sized"
				s.leave = c.rand.Int64N(s.size + 1)
			}
			list = append(list, s)
		}
		c.together(cc, list)
		c.conn.SetDeadline(time.Now().Add(patience))
	}
}

// transfers sends and fetches large bodies beside each other.
func transfers(c *client) {
	defer c.close()
	cc := c.multiplex()
	if cc == nil {
		return
	}
	defer cc.Close()
	var list []*stream
	for range 1 + c.rand.IntN(5) {
		if c.rand.IntN(2) == 0 {
			list = append(list, c.stream(c.request([]string{"PUT", "POST"}[c.rand.IntN(2)], small, []int64{100_000, 3 << 20}[c.rand.IntN(2)])))
		} else {
			list = append(list, c.stream(c.request("GET", []int64{200_000, 6 << 20}[c.rand.IntN(2)], 0)))
		}
	}
	c.together(cc, list)
}

// slowStreams reads and writes slowly on some streams, and not on others: one must
// not hold up the rest.
func slowStreams(c *client) {
	defer c.close()
	cc := c.multiplex()
	if cc == nil {
		return
	}
	defer cc.Close()
	var list []*stream
	for i := range 6 {
		s := c.stream(c.request([]string{"GET", "PUT", "POST"}[c.rand.IntN(3)], []int64{small, 300_000, 2 << 20}[c.rand.IntN(3)], 20_000))
		s.slow = i%2 == 0
		list = append(list, s)
	}
	c.together(cc, list)
}

// abortStreams resets a connection with streams on it.
func abortStreams(c *client) {
	defer c.close()
	cc := c.multiplex()
	if cc == nil {
		return
	}
	defer cc.Close()
	var list []*request
	for range 1 + c.rand.IntN(12) {
		list = append(list, c.request(methods[c.rand.IntN(len(methods))], []int64{small, 2 << 20}[c.rand.IntN(2)], 3000))
	}
	var running sync.WaitGroup
	for _, q := range list {
		running.Go(func() { // ends with the connection
			body := io.Reader(nil)
			if q.method == "PUT" || q.method == "POST" {
				body = &content{id: q.id, size: q.body}
			}
			r, _ := http.NewRequest(q.method, "http://soak.test"+q.path(), body) // it parses
			if body != nil {
				r.ContentLength = q.body
				r.Header.Set("X-Size", fmt.Sprint(q.body)) // 0 means unknown above
			}
			if resp, err := cc.RoundTrip(r); err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
	<-time.After(time.Duration(c.rand.IntN(20)) * time.Millisecond) // somewhere in the middle
	linger(c.conn, 0)
	bare(c.conn).Close()
	running.Wait()
	for _, q := range list {
		c.world.over(c.kind, q.id, expectation{})
	}
}

// garbage sends frames that are whole and make no sense, some valid requests among
// them, and reads what comes until it is thrown out.
func garbage(c *client) {
	defer c.close()
	if !c.open() {
		return
	}
	var out bytes.Buffer
	out.WriteString(http2.ClientPreface)
	fr := http2.NewFramer(&out, nil)
	fr.AllowIllegalWrites = true
	fr.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for n := c.rand.IntN(framesOfGarbage); n > 0; n-- {
		stream := uint32(c.rand.IntN(12))
		payload := make([]byte, c.rand.IntN(60))
		for i := range payload {
			payload[i] = byte(c.rand.Uint32())
		}
		switch c.rand.IntN(8) {
		case 0:
			fr.WriteRawFrame(http2.FrameType(c.rand.IntN(18)), http2.Flags(c.rand.Uint32()), stream, payload)
		case 1:
			fr.WriteData(stream, c.rand.IntN(2) == 0, payload)
		case 2:
			fr.WriteRSTStream(stream, http2.ErrCode(c.rand.IntN(20)))
		case 3:
			fr.WriteWindowUpdate(stream, c.rand.Uint32()>>c.rand.IntN(32))
		case 4:
			fr.WriteSettings(http2.Setting{ID: http2.SettingID(c.rand.IntN(12)), Val: c.rand.Uint32() >> c.rand.IntN(32)})
		case 5:
			fr.WriteRawFrame(http2.FrameContinuation, http2.Flags(c.rand.IntN(8)), stream, payload)
		default:
			block.Reset()
			for _, f := range [][2]string{{":method", methods[c.rand.IntN(len(methods))]}, {":scheme", "http"},
				{":path", "/garbage"}, {":authority", "soak.test"}, {"content-length", "5"}} {
				if c.rand.IntN(12) > 0 { // at times one is missing
					enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
				}
			}
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream | 1, BlockFragment: block.Bytes(),
				EndStream: c.rand.IntN(2) == 0, EndHeaders: c.rand.IntN(12) > 0})
		}
	}
	b := out.Bytes()
	b = b[:len(b)-c.rand.IntN(20)]
	writing := make(chan struct{})
	go func(conn net.Conn) { // ends when the connection does
		defer close(writing)
		conn.Write(b)
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
	}(c.conn)
	if _, err := io.Copy(io.Discard, c.in); errors.Is(err, os.ErrDeadlineExceeded) {
		c.fail("%s: the connection does not end: %x", c.kind, b)
	}
	bare(c.conn).Close()
	<-writing
	c.world.over(c.kind, 0, expectation{})
}

// framesOfGarbage bounds the frames of a connection, and so the lines in the log.
const framesOfGarbage = 20
