package reverse

import (
	"testing"
	"testing/synctest"
	"time"
)

// A stop loses no request that a client sent before it could know of the stop.
func TestDrainLosesNothing(t *testing.T) {
	origin := func(c *peer, _ int) {
		for c.request() {
			time.Sleep(2 * second)
			c.say(okAnswer)
		}
		c.Close()
	}
	drain := func(st *stage) (done chan time.Duration) {
		done = make(chan time.Duration, 1)
		began := time.Now()
		st.loop.Post(func() {
			st.server.Drain(st.loop.Now().Add(int64(60 * second)))
			done <- time.Since(began)
		})
		return done
	}
	t.Run("an answer under way says that it is the last", func(t *testing.T) {
		defaults(origin).play(t, func(st *stage) {
			c := st.client()
			c.say(get("/"))
			time.Sleep(second)
			done := drain(st)
			if a := c.answer("GET"); a.Status != 200 || !a.Close {
				t.Errorf("%+v", a)
			}
			<-done
		})
	})
	t.Run("an explanation, too", func(t *testing.T) {
		s := defaults(func(c *peer, _ int) {
			c.request()
			time.Sleep(2 * second)
			c.Close()
		})
		s.Reverse.Attempts = 1
		s.play(t, func(st *stage) {
			c := st.client()
			c.say(get("/"))
			time.Sleep(second)
			done := drain(st)
			if a := c.answer("GET"); a.Status != 502 || !a.Close {
				t.Errorf("%+v", a)
			}
			<-done
		})
	})
	for name, used := range map[string]bool{"a new connection": false, "one that was told to persist": true} {
		t.Run(name, func(t *testing.T) {
			defaults(origin).play(t, func(st *stage) {
				c := st.client()
				if used {
					c.say(get("/1"))
					if a := c.answer("GET"); a.Close {
						t.Errorf("%+v", a)
					}
				}
				synctest.Wait()
				done := drain(st)
				time.Sleep(parting - time.Millisecond)
				c.say(get("/2"))
				if a := c.answer("GET"); a.Status != 200 || !a.Close {
					t.Errorf("%+v", a)
				}
				if took := <-done; took != parting-time.Millisecond+2*second {
					t.Errorf("drained after %v", took)
				}
			})
		})
		t.Run(name+" that stays silent", func(t *testing.T) {
			defaults(origin).play(t, func(st *stage) {
				c := st.client()
				if used {
					c.say(get("/1"))
					c.answer("GET")
				}
				synctest.Wait()
				if took := <-drain(st); took != parting {
					t.Errorf("drained after %v", took)
				}
			})
		})
	}
}

// parting is what package exchange waits for on a connection that was in use a
// moment ago.
const parting = time.Second
