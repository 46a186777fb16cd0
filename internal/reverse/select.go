package reverse

import (
	"bytes"
	"strings"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/http2"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/upstream"
	"github.com/gatewhy/gatewhy/internal/wire/proxyproto"
)

// connect finds an endpoint and a connection to it: one that is kept, or a new
// one (phases select, resolve, connect, secure).
func (c *call) connect() *fault.Fault {
	stay := c.stay
	c.stay = nil
	if stay == nil && c.x.Trail.N == 1 {
		stay = c.bound
	}
	began := c.p.loop.Now()
	for n := 1; ; n++ {
		f := c.choose(stay)
		if f == nil {
			f = c.reach()
		}
		if f == nil || f.ID != fault.PoolExhausted || c.held == nil || c.p.loop.Now() >= c.x.Deadline {
			return f
		}
		// Another loop was faster with the last connection that may be opened.
		c.leave()
		if f := c.p.pool.Overtaken(n, began); f != nil {
			return f
		}
		if f := c.Gone(); f != nil {
			return f
		}
	}
}

// choose picks an endpoint, or takes stay if that is set, and waits where all are full.
func (c *call) choose(stay *upstream.Endpoint) *fault.Fault {
	p, x := c.p, c.x
	e, waited, f := p.pool.Admit(c.tried[:x.Trail.N-1], c.key(), stay, x.Deadline, c)
	if f != nil && f.ID == fault.PoolAllUnhealthy && stay != nil {
		// The one it was to stay on is gone meanwhile.
		e, waited, f = p.pool.Admit(c.tried[:x.Trail.N-1], c.key(), nil, x.Deadline, c)
	}
	if waited {
		c.a.Selected = x.Stamp()
	}
	if f != nil {
		if f.ID == fault.TotalTimeout {
			f.With("limit", x.Patience())
		}
		return f
	}
	c.end, c.held, c.tried[x.Trail.N-1] = e, e, e
	c.a.Endpoint = e.Name()
	return nil
}

// Gone implements upstream.Asker. Nobody waits for an attempt beside another one that has
// its answer, either.
func (c *call) Gone() *fault.Fault {
	if c.rival != nil && c.rival.done && c.rival.err == nil {
		return http1.Interrupted
	}
	return c.x.Client.Gone(false)
}

// leave gives back the place on the endpoint.
func (c *call) leave() {
	if c.held != nil {
		c.p.pool.Leave(c.held)
		c.held = nil
	}
}

// reach finds a connection to the endpoint.
func (c *call) reach() *fault.Fault {
	p, x, a, e := c.p, c.x, c.a, c.end
	alone := c.alone || x.Request.Framing.Upgrade // what comes behind a 101 needs a connection of its own
	intro := c.introduction()
	for !c.fresh && !alone {
		conn := p.pool.Join(e)
		if conn == nil {
			break
		}
		if k := conn.Shared.(*http2.Link); !k.Alive(x.Deadline) || !c.idempotent && k.Ended() {
			p.pool.Drop(conn, true)
			continue
		}
		c.use(conn, conn.Served > 0)
		return nil
	}
	if !c.fresh {
		for {
			conn, note := p.pool.TakeFor(e, intro)
			if note != "" {
				c.note(note, -1)
			}
			if conn != nil {
				c.use(conn, true)
				return nil
			}
			if note == "" {
				break
			}
		}
	}
	c.fresh = false
	var tm upstream.Timing
	var conn *upstream.Conn
	var f *fault.Fault
	switch {
	case intro != nil:
		conn, f = p.pool.DialFor(e, intro, x.Gone(), x.Deadline, &tm)
	case alone:
		conn, f = p.pool.DialAlone(e, x.Deadline, &tm)
	default:
		conn, f = p.pool.Dial(e, x.Deadline, &tm)
	}
	a.Address = tm.Address
	for _, s := range [...]struct {
		stamp *trail.Stamp
		at    int64
	}{{&a.Resolved, int64(tm.Resolved)}, {&a.Connected, int64(tm.Connected)}, {&a.Secured, int64(tm.Secured)}} {
		if s.at != 0 {
			*s.stamp = x.Stamp() - trail.Stamp(int64(p.loop.Now())-s.at)
		}
	}
	if tm.Note != nil {
		c.note(tm.Note.ID, -1)
	}
	if f != nil {
		if f.ID == fault.TotalTimeout {
			f.With("limit", x.Patience()).With("received", "0")
		}
		// The connection was there, and HTTP/2 on it failed.
		a.HTTP2 = strings.HasPrefix(string(f.ID), "h2_")
		return f
	}
	c.use(conn, conn.Served > 0)
	return nil
}

// introduction is the PROXY header that connections for this client begin with; nil if
// the upstream is sent none.
func (c *call) introduction() []byte {
	version := c.p.pool.SendProxy()
	if version == 0 {
		return nil
	}
	from, to := c.x.Ends()
	c.intro = c.intro[:0]
	if version == 1 {
		c.intro = proxyproto.AppendV1(c.intro, from, to)
		return c.intro
	}
	c.extra = c.extra[:0]
	told := c.x.Told()
	if t := c.x.Trail.TLS; t != nil {
		// TLS ends here: what was told of it is of another connection.
		c.extra = proxyproto.AppendThose(c.extra, told, proxyproto.UniqueID, proxyproto.NetNS)
		if t.ALPN != "" {
			c.extra = proxyproto.AppendExtension(c.extra, proxyproto.ALPN, t.ALPN)
		}
		if t.SNI != "" {
			c.extra = proxyproto.AppendExtension(c.extra, proxyproto.Authority, t.SNI)
		}
		c.extra = proxyproto.AppendSSL(c.extra, "TLSv"+t.Version, t.Cipher)
	} else {
		c.extra = append(c.extra, told...)
	}
	c.intro = proxyproto.AppendV2(c.intro, from, to, c.extra)
	return c.intro
}

// key is what the choice of an endpoint goes by, where it goes by the request.
func (c *call) key() uint64 {
	how, by := c.p.pool.Balance()
	if how != upstream.Hash {
		return 0
	}
	x := c.x
	var v []byte
	switch by.Source {
	case upstream.ByPath:
		v, _, _ = bytes.Cut(x.Trail.Path, []byte("?"))
	case upstream.ByField:
		v = x.Field(by.Name)
	case upstream.ByCookie:
		v = x.Cookie(by.Name)
	}
	if len(v) == 0 {
		v = x.Trail.Client
	}
	return upstream.HashKey(v)
}

func (c *call) use(conn *upstream.Conn, reused bool) {
	a := c.a
	c.conn, c.shared = conn, conn.Shared != nil
	conn.SentBefore = conn.Stream.Sent()
	a.Address, a.Secure, a.Reused, a.Serial = conn.Address, conn.Secure, reused, conn.Served
	if reused {
		now := c.p.loop.Now()
		a.Age, a.Idle = int64(now-conn.Opened), int64(now-conn.Idled)
	}
}
