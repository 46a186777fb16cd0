package lab

import (
	"strings"

	"github.com/gatewhy/gatewhy/fault"
)

// early answers when only the head of a request is here, and ends while the
// peer may still be sending.
func (c *Conn) early(answer string, end End) {
	if !c.ReadHead() || !c.Write(answer) {
		return
	}
	if end == RST {
		c.RST()
		return
	}
	c.FIN()
}

// sendingRecipes fail while the request is sent, or because its connection came
// from the pool.
func sendingRecipes() []*Recipe {
	notReplayable := refused("request_not_replayable", fault.HeadEOFEmpty, "").asks(putBig).uploads(1<<20).lost().
		set("replay-memory", "1024", "replay-disk", "0").
		because("both endpoints read a long body and hang up; the body cannot be sent again")
	notReplayable.Withheld, notReplayable.Endpoints = fault.RequestNotReplayable, 2

	sending := []*Recipe{
		refused("write_timeout", fault.WriteTimeout, "").asks(postBig).uploads(huge).status(504).lost().
			set("timeout-send", soon).because("reads the head and none of the body").
			does(func(c *Conn) {
				smallReceive(c.raw)
				if c.ReadHead() {
					c.Deaf()
				}
			}),
		refused("write_reset", fault.WriteReset, "").asks(postBig).uploads(huge).lost().
			because("resets in the middle of the request's body").
			does(func(c *Conn) {
				if c.ReadHead() {
					c.in.Discard(64 << 10)
					c.RST()
				}
			}),
		like("early_response", "early_413_close", "answers 413 before the body is sent, and lingers"),
		like("early_response/rst", "early_413_rst", "answers 413 before the body is sent, and resets"),
		refused("early_response_truncated", fault.EarlyResponseTruncated, "").asks(postBig).uploads(huge).cut().lost().
			because("answers 413 before the body is sent, and resets in its own body").
			does(func(c *Conn) {
				c.early("HTTP/1.1 413 Content Too Large\r\nContent-Length: 10\r\nConnection: close\r\n\r\nbig", RST)
			}),
		noted("expect_no_100", fault.ExpectNo100, helloHead+hello).asks(expectingBig).uploads(1 << 20).
			because("waits for a long body and never says 100 (Continue)"),
		noted("expect_417", fault.Expect417, "").asks(expecting).
			because("answers 417 to any Expect, and well without").
			does(func(c *Conn) {
				for c.ReadHead() {
					if c.Head.Get("Expect") != "" {
						if !c.Write("HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n") {
							return
						}
						c.FIN()
						return
					}
					c.again = true
					if !c.Good() {
						return
					}
				}
			}),
		like("expect_417/always", "expect_417", "answers 417 whatever is asked"),
		notReplayable,
	}
	return append(sending, reuseRecipes()...)
}

// reuseRecipes are faults of pooled connections.
//
// What can be known of a request on a connection that dies (faults: rule RP):
//
//   - "crossed": the origin had closed before the request came; its FIN crossed
//     the request. The kernel answers the request with RST. The gateway reads
//     EOF, TCP says that nothing was acknowledged and that the socket is closed:
//     proven not delivered, so every method is sent again. On loopback the FIN
//     is always there first and Stream.Check would see it, so the engine must
//     hide it (Injection.HideClose).
//   - "read": the origin reads the whole request, then sends FIN. All bytes are
//     acknowledged: it may have been processed. Only what is idempotent, or has
//     an Idempotency-Key, is sent again.
//   - "rst": the origin resets at the request. Zero acknowledged bytes would
//     prove nothing here, since the acknowledgement may have been on its way.
func reuseRecipes() []*Recipe {
	all := []*Recipe{
		noted("reuse_fin_before_write", fault.ReuseFINBeforeWrite, "").
			because("sends FIN on the idle connection").warm(hangUpIdle),
		noted("reuse_fin_before_write/post", fault.ReuseFINBeforeWrite, "").asks(postHello).
			because("sends FIN on the idle connection; nothing was sent, so POST is safe").warm(hangUpIdle),
	}
	methods := []struct {
		name, request string
		again         bool // it may be sent again after it may have been processed
	}{
		{"get", "", true}, {"put", putHello, true}, {"delete", deleteOne, true},
		{"post", postHello, false}, {"keyed", postKeyed, true},
	}
	readThen := func(end func(*Conn)) func(*Conn) {
		return func(c *Conn) {
			if !c.Idle() {
				return
			}
			if c.Ready(); c.ReadRequest() {
				end(c)
			}
		}
	}
	race := func(id fault.ID, variant string, name, request string, rescued bool, why string, f func(*Conn)) {
		r := refused(string(id)+"/"+name+"-"+variant, id, "").asks(request).because(why).warm(f).lost()
		if rescued {
			r.Status = 200
		}
		if request == postKeyed {
			r.set("idempotency-key", "true")
		}
		all = append(all, r)
	}
	for _, m := range methods {
		race(fault.ReuseRaceFIN, "crossed", m.name, m.request, true,
			"has closed the idle connection, and its FIN crosses the request: not delivered", hangUpIdle)
		all[len(all)-1].Inject.HideClose = true
	}
	for _, m := range methods {
		race(fault.ReuseRaceFIN, "read", m.name, m.request, m.again,
			"reads the second request of a connection and hangs up: perhaps processed", readThen((*Conn).CloseNow))
	}
	for _, m := range methods {
		race(fault.ReuseRaceRST, "read", m.name, m.request, m.again,
			"reads the second request of a connection and resets", readThen((*Conn).RST))
	}
	for _, m := range methods {
		race(fault.ReuseRacePartial, "read", m.name, m.request, m.again,
			"begins to answer the second request and hangs up", readThen(func(c *Conn) {
				c.Write("HTTP/1.1 20")
				c.FIN()
			}))
	}
	all = append(all, blackholes()...)
	all = append(all,
		noted("reuse_unsolicited_data", fault.ReuseUnsolicitedData, "").
			because("sends an answer that nobody asked for on the idle connection").
			warm(speakIdle("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Poison: 1\r\n\r\npoison", (*Conn).Stall)),
		noted("reuse_idle_408", fault.ReuseIdle408, "").
			because("ends the idle connection with a 408").
			warm(speakIdle("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", (*Conn).CloseNow)),
	)
	return byFamily(all)
}

// blackholes swallow the second request of a connection. The kernel behind it is
// alive and acknowledges, so the engine must deny that.
func blackholes() []*Recipe {
	hole := func(name, request string, status int) *Recipe {
		r := refused(name, fault.ReuseBlackhole, "").asks(request).status(status).lost().
			set("timeout-first-byte", soon).
			because("the way to the origin has gone: the second request of a connection is never acknowledged").
			warm(func(c *Conn) {
				if c.Idle() {
					c.Ready()
					c.Stall()
				}
			})
		r.Inject.NoAck = true
		return r
	}
	return []*Recipe{hole("reuse_blackhole", "", 200), hole("reuse_blackhole/post", postHello, 504)}
}

// hangUpIdle closes the connection while it is idle.
func hangUpIdle(c *Conn) {
	if c.Idle() {
		c.HalfClose()
		c.flush()
		c.CloseNow() // before Ready: a request that comes now is answered with RST
		c.origin.setReady()
	}
}

// speakIdle writes on the idle connection, then ends it.
func speakIdle(bytes string, end func(*Conn)) func(*Conn) {
	return func(c *Conn) {
		if c.Idle() {
			c.Write(bytes)
			c.Ready()
			end(c)
		}
	}
}

// byFamily gives the first recipe of each fault the fault's own name, as the one
// that stands for it.
func byFamily(all []*Recipe) []*Recipe {
	seen := map[string]bool{}
	for _, r := range all {
		id, _, _ := strings.Cut(r.Name, "/")
		seen[id] = seen[id] || r.Name == id
	}
	var out []*Recipe
	for _, r := range all {
		id, _, _ := strings.Cut(r.Name, "/")
		if !seen[id] {
			seen[id] = true
			base := *r
			base.Name = id
			out = append(out, &base)
		}
		out = append(out, r)
	}
	return out
}
