package lab

import (
	"golang.org/x/net/http2"
)

// MoodsH2 are origins that speak HTTP/2 and are well at times, which no recipe is:
// each breaks its connections or streams again and again, as servers do that are
// restarted, scaled or overloaded.
func MoodsH2() []*Recipe {
	mood := func(name string, f func(h *h2, n int, s *h2Stream) (on bool)) *Recipe {
		r := over2("mood/"+name, "", name, func(h *h2) {
			if !h.greet() {
				return
			}
			for n := 1; ; n++ {
				if s := h.request(); s == nil || !f(h, n, s) {
					break
				}
			}
			h.end(FIN)
		})
		r.finish()
		return r
	}
	return []*Recipe{
		mood("refuses each third stream", func(h *h2, n int, s *h2Stream) bool {
			if n%3 == 0 {
				h.rst(s, http2.ErrCodeRefusedStream)
				return true
			}
			return h.answer(s)
		}),
		mood("resets each third stream", func(h *h2, n int, s *h2Stream) bool {
			if n%3 == 0 {
				h.execute(s)
				h.rst(s, http2.ErrCodeInternal)
				return true
			}
			return h.answer(s)
		}),
		mood("says GOAWAY at each eighth request", func(h *h2, n int, s *h2Stream) bool {
			if n%8 == 0 {
				h.execute(s)
				h.depart(s)
				return false
			}
			return h.answer(s)
		}),
		mood("says GOAWAY and has not begun the request", func(h *h2, n int, s *h2Stream) bool {
			if n%5 == 0 {
				h.depart(nil)
				return false
			}
			return h.answer(s)
		}),
		mood("ends each connection with an error at its sixth request", func(h *h2, n int, s *h2Stream) bool {
			if n%6 == 0 {
				h.execute(s)
				h.fr.WriteGoAway(h.last(), http2.ErrCodeInternal, []byte("bug"))
				return false
			}
			return h.answer(s)
		}),
		mood("hangs up at each seventh request", func(h *h2, n int, s *h2Stream) bool {
			if n%7 == 0 {
				h.execute(s)
				h.end(RST)
				return false
			}
			return h.answer(s)
		}),
		mood("cuts each fourth body", func(h *h2, n int, s *h2Stream) bool {
			if n%4 == 0 {
				h.execute(s)
				return h.headers(s.id, false, ":status", "200", "content-length", "5") && h.fr.WriteData(s.id, true, []byte("hel")) == nil
			}
			return h.answer(s)
		}),
		mood("answers the last request first", func(h *h2, n int, s *h2Stream) bool {
			all := []*h2Stream{s}
			for h.whole() {
				if s := h.request(); s != nil {
					all = append(all, s)
				}
			}
			for i := len(all) - 1; i >= 0; i-- {
				if !h.answer(all[i]) {
					return false
				}
			}
			return true
		}),
	}
}
