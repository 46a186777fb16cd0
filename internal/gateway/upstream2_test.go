package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/loop/faulty"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// engines runs f with each engine that this system has.
func engines(t *testing.T, f func(t *testing.T, epoll bool)) {
	t.Run("portable", func(t *testing.T) { f(t, false) })
	if loop.HasEpoll {
		t.Run("epoll", func(t *testing.T) { f(t, true) })
	}
}

// trails are what a gateway's exchanges left.
type trails struct {
	mu   sync.Mutex
	list []trail.Trail
}

func (s *trails) observe(t *trail.Trail) {
	c := *t
	c.Method, c.Path = bytes.Clone(t.Method), bytes.Clone(t.Path)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, c)
}

func (s *trails) all() []trail.Trail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]trail.Trail(nil), s.list...)
}

var listenAny = netip.MustParseAddrPort("127.0.0.1:0")

// front starts a gateway before the targets and returns its URL.
func front(t *testing.T, epoll bool, change func(*Options), targets ...string) (url string, seen *trails) {
	t.Helper()
	url, seen, _ = start(t, epoll, change, targets...)
	return url, seen
}

// start is front, and returns the gateway too.
func start(t *testing.T, epoll bool, change func(*Options), targets ...string) (url string, seen *trails, g *Gateway) {
	t.Helper()
	o := Defaults()
	o.Listen = []loop.Address{{IP: listenAny}}
	o.Loops, o.Epoll = 1, epoll
	for _, s := range targets {
		list, err := upstream.ParseTarget(s)
		if err != nil {
			t.Fatal(err)
		}
		o.Upstream.Targets = append(o.Upstream.Targets, list...)
	}
	seen = &trails{}
	o.Client.Observe = seen.observe
	if change != nil {
		change(&o)
	}
	g, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Drain(time.Second) })
	return "http://" + g.Addresses()[0].String(), seen, g
}

// origin2 serves HTTP/2 in the clear and returns its target; opened counts the
// connections.
func origin2(t *testing.T, h http.Handler, opened *atomic.Int64) (target string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, Protocols: new(http.Protocols), ConnState: func(_ net.Conn, c http.ConnState) {
		if c == http.StateNew {
			opened.Add(1)
		}
	}}
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(ln)
	t.Cleanup(func() { s.Close() })
	return "h2c://" + ln.Addr().String()
}

// mirror answers in the ways that a path names.
func mirror() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Proto)
		w.Header().Set("X-Method", r.Method)
		w.Header().Set("X-Host", r.Host)
		w.Header().Set("X-For", r.Header.Get("X-Forwarded-For"))
		w.Header().Set("Trailer", "X-Sum, X-Sent")
		h := sha256.New()
		io.Copy(io.MultiWriter(w, h), r.Body)
		w.Header().Set("X-Sum", fmt.Sprintf("%x", h.Sum(nil)))
		w.Header().Set("X-Sent", r.Trailer.Get("X-Sent"))
	})
	m.HandleFunc("/bytes/", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/bytes/"))
		w.Header().Set("Content-Length", strconv.Itoa(n))
		w.Write(pattern(n))
	})
	m.HandleFunc("/status/", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/status/"))
		w.WriteHeader(n)
	})
	m.HandleFunc("/hints", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "hinted")
	})
	m.HandleFunc("/refuse", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		io.WriteString(w, "too big")
	})
	return m
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// A request to an upstream of HTTP/2 is answered as one to HTTP/1.1 is: bodies and
// trailers both ways, interim answers, answers without a body.
func TestUpstreamHTTP2(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		target := origin2(t, mirror(), new(atomic.Int64))
		url, _ := front(t, epoll, nil, target)
		for _, n := range []int{0, 1, 5, 16383, 16384, 16385, 70_000, 3 << 20} {
			for _, sized := range []bool{true, false} {
				body := pattern(n)
				var r io.Reader = bytes.NewReader(body)
				if !sized {
					r = io.MultiReader(r) // hides the length
				}
				q, _ := http.NewRequest("POST", url+"/echo", r)
				if !sized {
					q.Trailer = http.Header{"X-Sent": {"yes"}}
				}
				q.Header.Set("TE", "trailers")
				a, err := http.DefaultClient.Do(q)
				if err != nil {
					t.Fatalf("%d bytes: %v", n, err)
				}
				got, err := io.ReadAll(a.Body)
				a.Body.Close()
				if err != nil || !bytes.Equal(got, body) {
					t.Fatalf("%d bytes, sized %v: %d came back, equal %v, %v", n, sized, len(got), bytes.Equal(got, body), err)
				}
				if a.Header.Get("X-Proto") != "HTTP/2.0" || a.Header.Get("X-For") != "127.0.0.1" || a.Header.Get("X-Host") != strings.TrimPrefix(url, "http://") {
					t.Errorf("the upstream saw %v", a.Header)
				}
				if want := fmt.Sprintf("%x", sha256.Sum256(body)); a.Trailer.Get("X-Sum") != want {
					t.Errorf("%d bytes, sized %v: trailer %v, want %s", n, sized, a.Trailer, want)
				}
				if !sized && n > 0 && a.Trailer.Get("X-Sent") != "yes" {
					t.Errorf("%d bytes: the request's trailer did not arrive: %v", n, a.Trailer)
				}
			}
		}
		for _, n := range []int{0, 128, 16 << 10, 1 << 20} {
			for _, method := range []string{"GET", "HEAD"} {
				q, _ := http.NewRequest(method, url+"/bytes/"+strconv.Itoa(n), nil)
				a, err := http.DefaultClient.Do(q)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(a.Body)
				a.Body.Close()
				want := pattern(n)
				if method == "HEAD" {
					want = nil
				}
				if err != nil || !bytes.Equal(got, want) || a.ContentLength != int64(n) {
					t.Errorf("%s of %d: %d bytes, length %d, %v", method, n, len(got), a.ContentLength, err)
				}
			}
		}
		for _, status := range []int{200, 204, 304, 404, 500} {
			a, err := http.Get(url + "/status/" + strconv.Itoa(status))
			if err != nil {
				t.Fatal(err)
			}
			a.Body.Close()
			if a.StatusCode != status {
				t.Errorf("got %d, want %d", a.StatusCode, status)
			}
		}
		hints := 0
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				if code == 103 && h.Get("Link") != "" {
					hints++
				}
				return nil
			}})
		q, _ := http.NewRequestWithContext(ctx, "GET", url+"/hints", nil)
		a, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(a.Body)
		a.Body.Close()
		if hints != 1 || string(got) != "hinted" {
			t.Errorf("%d hints, body %q", hints, got)
		}
	})
}

// Many requests share few connections, and an early answer ends an upload without
// ending the connection.
func TestUpstreamHTTP2Shares(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		var conns atomic.Int64
		target := origin2(t, mirror(), &conns)
		url, _ := front(t, epoll, nil, target)
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
		defer client.CloseIdleConnections()
		var all sync.WaitGroup
		for i := range 32 {
			all.Go(func() {
				for j := range 8 {
					n := (i*31 + j*977) % 40_000
					if j%7 == 3 {
						a, err := client.Post(url+"/refuse", "text/plain", bytes.NewReader(pattern(1<<20)))
						if err != nil {
							continue // the connection may end while we send
						}
						a.Body.Close()
						continue
					}
					a, err := client.Post(url+"/echo", "text/plain", bytes.NewReader(pattern(n)))
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.ReadAll(a.Body)
					a.Body.Close()
					if err != nil || !bytes.Equal(got, pattern(n)) {
						t.Errorf("%d bytes came back of %d, %v", len(got), n, err)
					}
				}
			})
		}
		all.Wait()
		if n := conns.Load(); n > 2 {
			t.Errorf("%d connections for 32 clients, which one can serve", n)
		}
	})
}

// Over TLS ALPN decides, and what an endpoint speaks is remembered.
func TestUpstreamHTTP2OverTLS(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		for name, protocols := range map[string]string{"h2": "HTTP/2.0", "http/1.1": "HTTP/1.1"} {
			s := httptest.NewUnstartedServer(mirror())
			s.EnableHTTP2 = name == "h2"
			s.StartTLS()
			defer s.Close()
			pool := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
			url, _ := front(t, epoll, func(o *Options) {
				o.Upstream.CA, o.Upstream.ServerName = pool, "example.com"
			}, s.URL)
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for range 3 {
						a, err := http.Post(url+"/echo", "text/plain", strings.NewReader("hello"))
						if err != nil {
							t.Error(err)
							return
						}
						got, _ := io.ReadAll(a.Body)
						a.Body.Close()
						if string(got) != "hello" || a.Header.Get("X-Proto") != protocols {
							t.Errorf("%s: %q over %s", name, got, a.Header.Get("X-Proto"))
						}
					}
				})
			}
			all.Wait()
		}
	})
}

// A server that agrees to HTTP/2 and speaks HTTP/1.1 gets HTTP/1.1.
func TestUpstreamHTTP2FallsBack(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		cert := httptest.NewTLSServer(nil)
		defer cert.Close()
		ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: cert.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: mirror(), TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){
			"h2": func(_ *http.Server, c *tls.Conn, _ http.Handler) {
				io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
				c.Close()
			}}}
		go s.Serve(ln)
		defer s.Close()
		url, seen := front(t, epoll, func(o *Options) {
			o.Upstream.CA = cert.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
			o.Upstream.ServerName = "example.com"
		}, "https://"+ln.Addr().String())
		for range 3 {
			a, err := http.Post(url+"/echo", "text/plain", strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			a.Body.Close()
			if a.StatusCode != 200 || a.Header.Get("X-Proto") != "HTTP/1.1" {
				t.Errorf("%d over %s", a.StatusCode, a.Header.Get("X-Proto"))
			}
		}
		noted := 0
		for _, x := range seen.all() {
			for _, n := range x.Receipts() {
				if n.ID == "h2_got_http1" {
					noted++
				}
			}
		}
		if noted != 1 {
			t.Errorf("the downgrade was noted %d times, want once: it is to be remembered", noted)
		}
	})
}

// Whatever a server's restarts cut off, no request is lost that may be sent again,
// and no POST is run twice.
func TestUpstreamHTTP2Restarts(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		var mu sync.Mutex
		ran := map[string]int{}
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				mu.Lock()
				ran[r.Header.Get("X-Id")]++
				mu.Unlock()
			}
			io.Copy(io.Discard, r.Body)
			io.WriteString(w, "done")
		})
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := ln.Addr().String()
		start := func(ln net.Listener) *http.Server {
			s := &http.Server{Handler: handler, Protocols: new(http.Protocols)}
			s.Protocols.SetUnencryptedHTTP2(true)
			go s.Serve(ln)
			return s
		}
		s := start(ln)
		url, _ := front(t, epoll, func(o *Options) { o.Upstream.Budget.Share = 1 }, "h2c://"+address)
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
		defer client.CloseIdleConnections()
		var all sync.WaitGroup
		stop := make(chan struct{})
		served := make(chan bool)
		for i := range 16 {
			all.Go(func() {
				for j := 0; ; j++ {
					select {
					case <-stop:
						return
					default:
					}
					method := "GET"
					if i%2 == 0 {
						method = "POST"
					}
					q, _ := http.NewRequest(method, url+"/", strings.NewReader("body"))
					q.Header.Set("X-Id", fmt.Sprintf("%d-%d", i, j))
					a, err := client.Do(q)
					if err != nil {
						t.Errorf("%s: %v", method, err)
						return
					}
					b, _ := io.ReadAll(a.Body)
					a.Body.Close()
					if a.StatusCode != 200 && method == "GET" {
						t.Errorf("%s was lost: %d %s", method, a.StatusCode, b)
					}
					select {
					case served <- true:
					case <-stop:
						return
					}
				}
			})
		}
		for range 4 {
			for range 200 {
				<-served
			}
			// A graceful restart: GOAWAY, then the requests under way end, while the next
			// process listens already.
			var next net.Listener
			err := errors.New("not tried")
			ln.Close()
			for err != nil {
				next, err = net.Listen("tcp", address)
			}
			old := s
			s, ln = start(next), next
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			old.Shutdown(ctx)
			cancel()
		}
		close(stop)
		all.Wait()
		s.Close()
		for id, n := range ran {
			if n > 1 {
				t.Errorf("POST %s was run %d times", id, n)
			}
		}
	})
}

// HTTP/2 on both sides: both directions of one exchange go on side by side, and
// trailers come last.
func TestHTTP2BothSides(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		m := http.NewServeMux()
		m.HandleFunc("/talk", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Trailer", "X-End")
			buf := make([]byte, 64<<10)
			for {
				n, err := r.Body.Read(buf)
				w.Write(buf[:n])
				w.(http.Flusher).Flush()
				if err != nil {
					break
				}
			}
			w.Header().Set("X-End", "bye")
		})
		m.HandleFunc("/pour", func(w http.ResponseWriter, r *http.Request) {
			w.Write(pattern(8 << 20))
		})
		url, _ := front(t, epoll, nil, origin2(t, m, new(atomic.Int64)))
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
		defer client.CloseIdleConnections()

		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				out, in := io.Pipe()
				q, _ := http.NewRequest("POST", url+"/talk", out)
				q.Header.Set("TE", "trailers")
				answers := make(chan *http.Response, 1)
				go func() {
					a, err := client.Do(q)
					if err != nil {
						t.Error(err)
					}
					answers <- a
				}()
				var a *http.Response
				for i := range 20 {
					word := []byte(fmt.Sprintf("word %d %s", i, pattern(i*100)))
					if _, err := in.Write(word); err != nil {
						t.Error(err)
						return
					}
					if a == nil {
						if a = <-answers; a == nil {
							return
						}
					}
					got := make([]byte, len(word))
					if _, err := io.ReadFull(a.Body, got); err != nil || !bytes.Equal(got, word) {
						t.Errorf("word %d: %q, %v", i, got, err)
						return
					}
				}
				in.Close()
				rest, err := io.ReadAll(a.Body)
				a.Body.Close()
				if err != nil || len(rest) > 0 || a.Trailer.Get("X-End") != "bye" {
					t.Errorf("%d bytes at the end, trailer %v, %v", len(rest), a.Trailer, err)
				}
			})
		}
		// One that does not read must not stop the others.
		slow, err := client.Get(url + "/pour")
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			all.Go(func() {
				a, err := client.Get(url + "/pour")
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(a.Body)
				a.Body.Close()
				if err != nil || !bytes.Equal(got, pattern(8<<20)) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
		}
		all.Wait()
		got, err := io.ReadAll(slow.Body)
		slow.Body.Close()
		if err != nil || !bytes.Equal(got, pattern(8<<20)) {
			t.Errorf("the slow one got %d bytes, %v", len(got), err)
		}
	})
}

// storm serves one connection of HTTP/2: it runs few requests, says GOAWAY in the
// middle of others, which it does not run, and closes. run is told of each request
// that it runs.
func storm(c net.Conn, few int, run func(method, id string)) {
	defer c.Close()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	fr := http2.NewFramer(c, c)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 20})
	answer := func(stream uint32) {
		block.Reset()
		enc.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true})
		fr.WriteData(stream, true, []byte("done"))
	}
	type request struct{ method, id string }
	open := map[uint32]request{}
	for ran := 0; ; {
		f, err := fr.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				fr.WriteSettingsAck()
			}
		case *http2.PingFrame:
			fr.WritePing(true, f.Data)
		case *http2.MetaHeadersFrame:
			q := request{method: f.PseudoValue("method")}
			for _, h := range f.RegularFields() {
				if h.Name == "x-id" {
					q.id = h.Value
				}
			}
			open[f.StreamID] = q
		}
		if h := f.Header(); (h.Type == http2.FrameHeaders || h.Type == http2.FrameData) && h.Flags.Has(http2.FlagDataEndStream) {
			q := open[h.StreamID]
			delete(open, h.StreamID)
			switch {
			case ran < few:
				ran++
				run(q.method, q.id)
				answer(h.StreamID)
			case h.StreamID%3 == 0 && ran < few+2: // refused, and the connection lives on
				ran++
				fr.WriteRSTStream(h.StreamID, http2.ErrCodeRefusedStream)
			default:
				fr.WriteGoAway(h.StreamID-2, http2.ErrCodeNo, nil)
				for stream, q := range open {
					if stream < h.StreamID {
						run(q.method, q.id)
						answer(stream)
					}
				}
				// A close with input unread would be a reset, which destroys what we said.
				c.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, c)
				return
			}
		}
	}
}

// Connections that end all the time, in order, lose no request of any method, and
// run none twice.
func TestUpstreamHTTP2GoAwayStorm(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		var mu sync.Mutex
		ran := map[string]int{}
		conns := 0
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				conns++
				go storm(c, 10+conns%7, func(_, id string) {
					mu.Lock()
					ran[id]++
					mu.Unlock()
				})
			}
		}()
		url, _ := front(t, epoll, func(o *Options) {
			o.Upstream.Budget.Share, o.Reverse.Attempts = 1, 8
		}, "h2c://"+ln.Addr().String())
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
		defer client.CloseIdleConnections()
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for j := range 100 {
					id := fmt.Sprintf("%d-%d", i, j)
					q, _ := http.NewRequest("POST", url+"/", strings.NewReader("body"))
					q.Header.Set("X-Id", id)
					a, err := client.Do(q)
					if err != nil {
						t.Error(err)
						return
					}
					b, _ := io.ReadAll(a.Body)
					a.Body.Close()
					if a.StatusCode != 200 {
						t.Errorf("POST %s was lost: %d %.200s", id, a.StatusCode, b)
					}
				}
			})
		}
		all.Wait()
		mu.Lock()
		defer mu.Unlock()
		for id, n := range ran {
			if n != 1 {
				t.Errorf("POST %s was run %d times", id, n)
			}
		}
		if len(ran) != 800 {
			t.Errorf("%d POSTs were run, want 800", len(ran))
		}
	})
}

// wrapped is an engine whose streams to upstreams go wrong by plan.
func wrapped(t *testing.T, epoll bool, p *faulty.Plan) loop.Engine {
	t.Helper()
	if !epoll {
		return faulty.Wrap(loop.Portable(loop.PortableOptions{Loops: 1}), p)
	}
	e, err := loop.Epoll(loop.EpollOptions{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	return faulty.Wrap(e, p)
}

// Short reads and writes change nothing.
func TestUpstreamHTTP2InPieces(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		target := origin2(t, mirror(), new(atomic.Int64))
		url, _ := front(t, epoll, func(o *Options) {
			o.Engine = wrapped(t, epoll, &faulty.Plan{ReadSize: 1, WriteSize: 3})
		}, target)
		for _, n := range []int{0, 1, 20_000} {
			a, err := http.Post(url+"/echo", "text/plain", bytes.NewReader(pattern(n)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(a.Body)
			a.Body.Close()
			if err != nil || !bytes.Equal(got, pattern(n)) {
				t.Errorf("%d bytes came back of %d, %v", len(got), n, err)
			}
		}
	})
}

// A connection that breaks at any byte costs no request that may be sent again,
// runs no POST twice, and lets nobody wait.
func TestUpstreamHTTP2BreaksAtEveryByte(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		var mu sync.Mutex
		ran := map[string]int{}
		target := origin2(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			mu.Lock()
			ran[r.Header.Get("X-Id")]++
			mu.Unlock()
			io.WriteString(w, "done")
		}), new(atomic.Int64))
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		for n := int64(1); n < 190; n++ { // SETTINGS, their acknowledgement, an answer
			for i, p := range []*faulty.Plan{{CutAfter: n}, {ResetAfter: n}} {
				dials := new(atomic.Int64)
				p.For = func(loop.Address) bool { return dials.Add(1) == 1 } // the first connection only
				url, _ := front(t, epoll, func(o *Options) { o.Engine = wrapped(t, epoll, p) }, target)
				for _, method := range []string{"POST", "GET"} {
					id := fmt.Sprintf("%s-%d-%d", method, n, i)
					q, _ := http.NewRequest(method, url, strings.NewReader("body"))
					q.Header.Set("X-Id", id)
					a, err := client.Do(q)
					if err != nil {
						t.Fatalf("%s: %v", id, err)
					}
					b, err := io.ReadAll(a.Body)
					a.Body.Close()
					mu.Lock()
					times := ran[id]
					mu.Unlock()
					switch {
					case a.StatusCode == 200 && string(b) != "done" || err != nil:
						t.Errorf("%s: %q, %v", id, b, err)
					case a.StatusCode != 200 && method == "GET":
						t.Errorf("%s was lost: %d %.200s", id, a.StatusCode, b)
					case times > 1 && method == "POST":
						t.Errorf("%s was run %d times", id, times)
					case times == 0 && a.StatusCode != 200:
						// It was lost although nobody had it: allowed, if we could not know.
						if !bytes.Contains(b, []byte("h2_")) {
							t.Errorf("%s: %.300s", id, b)
						}
					}
				}
			}
		}
	})
}

// A client that waits for a 100 gets the upstream's, and one that asks for an upgrade
// gets the answer to its request without: HTTP/2 has none.
func TestUpstreamHTTP2AsksFirst(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		target := origin2(t, mirror(), new(atomic.Int64))
		url, _ := front(t, epoll, nil, target)
		client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Hour}}
		defer client.CloseIdleConnections()
		q, _ := http.NewRequest("POST", url+"/echo", bytes.NewReader(pattern(100_000)))
		q.Header.Set("Expect", "100-continue")
		a, err := client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(a.Body)
		a.Body.Close()
		if err != nil || !bytes.Equal(got, pattern(100_000)) {
			t.Errorf("%d bytes came back, %v", len(got), err)
		}
		q, _ = http.NewRequest("POST", url+"/refuse", bytes.NewReader(pattern(100_000)))
		q.Header.Set("Expect", "100-continue")
		if a, err = client.Do(q); err != nil {
			t.Fatal(err)
		}
		got, _ = io.ReadAll(a.Body)
		a.Body.Close()
		if a.StatusCode != 413 || string(got) != "too big" {
			t.Errorf("%d %q", a.StatusCode, got)
		}
		q, _ = http.NewRequest("GET", url+"/bytes/5", nil)
		q.Header.Set("Connection", "upgrade")
		q.Header.Set("Upgrade", "websocket")
		q.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		if a, err = client.Do(q); err != nil {
			t.Fatal(err)
		}
		got, _ = io.ReadAll(a.Body)
		a.Body.Close()
		if a.StatusCode != 200 || !bytes.Equal(got, pattern(5)) {
			t.Errorf("%d %q", a.StatusCode, got)
		}
	})
}

// Connections are not kept where none is to be.
func TestUpstreamHTTP2KeepsNone(t *testing.T) {
	engines(t, func(t *testing.T, epoll bool) {
		var opened atomic.Int64
		target := origin2(t, mirror(), &opened)
		url, _ := front(t, epoll, func(o *Options) { o.Upstream.MaxIdle = -1 }, target)
		for range 3 {
			a, err := http.Get(url + "/bytes/5")
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, a.Body)
			a.Body.Close()
		}
		if n := opened.Load(); n != 3 {
			t.Errorf("%d connections for 3 requests", n)
		}
	})
}
