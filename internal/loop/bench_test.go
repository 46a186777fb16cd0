//go:build unix

package loop_test

import (
	"io"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/gatewhy/gatewhy/internal/loop"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// message is a small request with its answer.
const message = 128

// engines are what the benchmarks compare, each with a loop a core.
var engines = map[string]func(b *testing.B) loop.Engine{
	"portable": func(*testing.B) loop.Engine { return loop.Portable(loop.PortableOptions{}) },
	"epoll": func(b *testing.B) loop.Engine {
		if !loop.HasEpoll {
			b.Skip("not on this system")
		}
		n := runtime.GOMAXPROCS(0)
		b.Cleanup(func() { runtime.GOMAXPROCS(n) })
		runtime.GOMAXPROCS(n + 2) // see EpollOptions.Loops
		e, err := loop.Epoll(loop.EpollOptions{Loops: n})
		if err != nil {
			b.Fatal(err)
		}
		return e
	},
}

// BenchmarkEcho sends small messages there and back over loopback. The clients
// are the same for all servers, so that the servers compare; cpu-ns/op is the
// whole process's time in user and system mode.
func BenchmarkEcho(b *testing.B) {
	for _, conns := range []int{1, 64, 512} {
		for name, newEngine := range engines {
			b.Run(name+"/"+strconv.Itoa(conns), func(b *testing.B) {
				e := newEngine(b)
				ln, err := e.Listen(loop.Address{IP: loopback})
				if err != nil {
					b.Fatal(err)
				}
				e.Serve(ln, echo)
				pingPong(b, ln.Addr().String(), conns)
				e.Close()
			})
		}
		b.Run("plain/"+strconv.Itoa(conns), func(b *testing.B) {
			e := loop.Portable(loop.PortableOptions{Dial: plainDial, Listen: plainListen})
			ln, err := e.Listen(loop.Address{IP: loopback})
			if err != nil {
				b.Fatal(err)
			}
			e.Serve(ln, echo)
			pingPong(b, ln.Addr().String(), conns)
			e.Close()
		})
		b.Run("net/"+strconv.Itoa(conns), func(b *testing.B) {
			ln := listenNet(b, echoNet)
			pingPong(b, ln.Addr().String(), conns)
			ln.Close()
		})
	}
}

func echo(l loop.Loop, s loop.Stream) {
	var b loop.Buffer
	for s.Fill(&b, l.Now().Add(int64(60e9))) == nil {
		if _, err := s.Send(b.Bytes(), nil, l.Now().Add(int64(60e9))); err != nil {
			break
		}
		b.Consume(b.Len())
		b.ReleaseEmpty()
	}
	s.Close()
}

// pingPong shares b.N messages among so many connections.
func pingPong(b *testing.B, to string, conns int) {
	var cs []net.Conn
	for range conns {
		c, err := net.Dial("tcp", to)
		if err != nil {
			b.Fatal(err)
		}
		cs = append(cs, c)
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ReportAllocs()
	before := cpu()
	b.ResetTimer()
	for _, c := range cs {
		wg.Go(func() { // ends when all messages are through
			p := make([]byte, message)
			for left.Add(-1) >= 0 {
				if _, err := c.Write(p); err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(c, p); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
	for _, c := range cs {
		c.Close()
	}
}

func cpu() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkForward has the server ask another one for each message, as a gateway
// does.
func BenchmarkForward(b *testing.B) {
	for _, conns := range []int{1, 64, 512} {
		for name, newEngine := range engines {
			b.Run(name+"/"+strconv.Itoa(conns), func(b *testing.B) {
				origin := listenNet(b, echoNet)
				e := newEngine(b)
				ln, err := e.Listen(loop.Address{IP: loopback})
				if err != nil {
					b.Fatal(err)
				}
				to := loop.Address{IP: origin.Addr().(*net.TCPAddr).AddrPort()}
				e.Serve(ln, func(l loop.Loop, s loop.Stream) {
					defer s.Close()
					up, err := l.Dial(to, loop.Never)
					if err != nil {
						b.Error(err)
						return
					}
					defer up.Close()
					var p loop.Buffer
					limit := int64(60e9)
					for s.Fill(&p, l.Now().Add(limit)) == nil {
						up.Send(p.Bytes(), nil, l.Now().Add(limit))
						p.Release()
						if up.Fill(&p, l.Now().Add(limit)) != nil {
							return
						}
						s.Send(p.Bytes(), nil, l.Now().Add(limit))
						p.Release()
					}
				})
				pingPong(b, ln.Addr().String(), conns)
				e.Close()
				origin.Close()
			})
		}
		b.Run("net/"+strconv.Itoa(conns), func(b *testing.B) {
			origin := listenNet(b, echoNet)
			ln := listenNet(b, func(c net.Conn) {
				up, err := net.Dial("tcp", origin.Addr().String())
				if err != nil {
					b.Error(err)
					return
				}
				defer up.Close()
				p := make([]byte, loop.BufferSize)
				for {
					n, err := c.Read(p)
					if err != nil {
						return
					}
					up.Write(p[:n])
					if n, err = up.Read(p); err != nil {
						return
					}
					c.Write(p[:n])
				}
			})
			pingPong(b, ln.Addr().String(), conns)
			ln.Close()
			origin.Close()
		})
	}
}

// listenNet serves with package net, a goroutine a connection.
func listenNet(b *testing.B, serve func(net.Conn)) net.Listener {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { // ends with ln
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { // ends when serve does, at FIN
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return ln
}

func echoNet(c net.Conn) {
	p := make([]byte, loop.BufferSize)
	for {
		n, err := c.Read(p)
		if err != nil {
			return
		}
		c.Write(p[:n])
	}
}
