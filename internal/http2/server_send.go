package http2

import (
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
)

// sending is the half of a Server that sends.
//
// Answers go from a stream into out as frames, as far as the windows and out allow.
// A stream that cannot write all at once stands in line, by urgency (RFC 9218), and
// the writing task serves the line whenever out has been given to the kernel.
type sending struct {
	control []byte // frames that need not wait for what was composed before them
	out     loop.Buffer
	leaving loop.Buffer // what the kernel is being given
	writing bool        // the writing task runs
	line    [8]line
	waiting int // streams in line
	room    int64
	initial int64 // a new stream's
	most    int   // of a frame's payload
	untable bool  // the peer's table is smaller than the default: each block says that we use none
}

// line is a ring of streams that wait to write; zero is empty.
type line struct{ first, last *Stream }

func (l *line) push(s *Stream) {
	s.before, s.behind = l.last, nil
	if l.last != nil {
		l.last.behind = s
	} else {
		l.first = s
	}
	l.last = s
}

func (l *line) remove(s *Stream) {
	if s.before != nil {
		s.before.behind = s.behind
	} else {
		l.first = s.behind
	}
	if s.behind != nil {
		s.behind.before = s.before
	} else {
		l.last = s.before
	}
	s.before, s.behind = nil, nil
}

func (g *sending) init() {
	g.room, g.initial, g.most = h2.DefaultWindow, h2.DefaultWindow, h2.DefaultFrameSize
}

func (g *sending) release() {
	g.out.Release()
	g.leaving.Release()
	g.control = nil
}

// put appends frames to out.
func (c *Server) put(p []byte) {
	for len(p) > 0 {
		room := c.out.Space(c.loop.Pool())
		if len(room) == 0 {
			c.out.Grow(2*c.out.Len() + len(p))
			continue
		}
		n := copy(room, p)
		c.out.Took(n)
		p = p[n:]
	}
}

// full reports whether out has no place for another piece of content.
func (c *Server) full() bool { return c.out.Len() > loop.BufferSize-fewBytes }

// putReset appends RST_STREAM: behind what the stream has sent.
func (c *Server) putReset(id uint32, code h2.Code) {
	var b [h2.HeaderLen + 4]byte
	c.put(h2.AppendReset(b[:0], id, code))
	c.kick()
}

// kick has the writing task run in the next round, when all that is composed in
// this one is there.
func (c *Server) kick() {
	if !c.writing && c.broken == nil {
		c.writing = true
		c.loop.Spawn(c.send)
	}
}

// write gives what is composed to the kernel, until nothing is left.
func (c *Server) write() {
	for c.broken == nil {
		c.serveLine()
		if c.out.Len()+len(c.control) == 0 {
			break
		}
		c.out, c.leaving = c.leaving, c.out
		control := c.control
		c.control = nil
		if c.paused {
			c.reader.Wake()
		}
		err := c.sendAll(control, c.leaving.Bytes())
		c.leaving.Consume(c.leaving.Len())
		c.leaving.ReleaseEmpty()
		if c.control == nil && cap(control) <= 4<<10 {
			c.control = control[:0]
		}
		if err != nil {
			c.lost(err)
			break
		}
	}
	c.out.ReleaseEmpty()
	if c.out.Len() > 0 && c.broken != nil {
		c.out.Release()
	}
	c.writing = false
	if c.over || c.broken != nil {
		c.rouse()
	}
}

// sendAll is Stream.Send that goes on after an interrupt, and gives up when
// nothing moves for the limit of one write.
func (c *Server) sendAll(a, b []byte) error {
	for {
		k, err := c.stream.Send(a, b, c.loop.Now().Add(int64(c.o.Reply)))
		if err != loop.ErrInterrupted && !(err == loop.ErrTimeout && k > 0) {
			return err
		}
		if k < len(a) {
			a = a[k:]
		} else {
			a, b = nil, b[k-len(a):]
		}
	}
}

// serveLine lets the streams in line write, the most urgent first. Of those that are
// as urgent, one is finished before the next begins, unless its parts are of use
// on their own: then they take turns (RFC 9218 §10).
func (c *Server) serveLine() {
	if c.waiting == 0 {
		return
	}
	for i := range c.line {
		l := &c.line[i]
		stuck := 0 // streams seen in a row that only the connection's window stops
	level:
		for s := l.first; s != nil && !c.full(); s = l.first {
			moved := s.emit(false)
			switch {
			case s.wrote():
				c.leaveLine(s)
				s.wakeWriter()
			case s.room <= 0 && len(s.w.head) == 0:
				c.leaveLine(s) // until its window opens
			case c.room <= 0 && !moved:
				l.remove(s)
				l.push(s)
				if stuck++; stuck > c.waiting {
					break level
				}
			case moved && s.incremental:
				stuck = 0
				l.remove(s)
				l.push(s)
			case !moved:
				return // out is full for it
			}
		}
		if c.full() {
			return
		}
	}
}

func (c *Server) joinLine(s *Stream) {
	if !s.inLine {
		s.inLine = true
		c.line[s.urgency].push(s)
		c.waiting++
	}
}

func (c *Server) leaveLine(s *Stream) {
	if s.inLine {
		s.inLine = false
		c.line[s.urgency].remove(s)
		c.waiting--
	}
}
