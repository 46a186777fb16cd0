package reverse

import (
	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// rival is an attempt that waits for the first byte of its answer while another
// endpoint is asked the same: whoever answers first wins, and the other one is called
// off. One task waits for it, and the call's own task for the other.
type rival struct {
	work  work
	lines *lines
	task  loop.Task
	main  loop.Task
	limit loop.Time // of its wait
	err   error     // what ended it
	done  bool
}

// hedges reports whether the request may be asked for twice: it has no body, asks for
// nothing that once is not the same as twice, and this was not done yet.
func (c *call) hedges() bool {
	q := &c.x.Request
	return c.p.o.Hedge > 0 && !c.hedged && c.idempotent && q.Framing.Body == message.NoBody && !q.Framing.Upgrade
}

// hedge asks another endpoint beside the one that has not answered for so long. It counts
// as a further attempt, for the budget too; where it may not be made, all stays as it is.
// What it returns ends the wait for the head of either.
func (c *call) hedge() *fault.Fault {
	c.hedgeAt, c.hedged = loop.Never, true
	t := &c.x.Trail
	if t.N+1 >= trail.MaxAttempts || c.spent+2 > c.attempts() || !c.untried() || c.p.up.Queued() > 0 || !c.p.pool.Withdraw() {
		return nil
	}
	r := &rival{work: c.work, lines: c.lines, main: c.p.loop.Self()}
	r.limit = min(c.sentAt.Add(int64(c.p.o.FirstByte)), c.x.Deadline)
	r.task = c.p.loop.Go(func() {
		r.err = r.work.line.Fill(r.limit)
		r.done = true
		r.main.Interrupt()
	})
	c.rival = r
	if c.spare == nil {
		c.spare = &lines{}
	}
	c.lines = c.spare
	// None of this is the new attempt's.
	c.line, c.conn, c.end, c.held, c.told = nil, nil, nil, nil, 0
	c.spent++
	c.begin()
	f := c.connect()
	if f == nil {
		c.begins()
		f = c.send()
	}
	if f != nil {
		return f
	}
	return c.fillHead()
}

// fellBehind deals with f, which ended the attempt that was made beside another one, or the
// wait for either: while the other one still waits, the exchange goes on with that.
func (c *call) fellBehind(f *fault.Fault) *fault.Fault {
	for f != nil && c.rival != nil {
		if gone := c.x.Client.Gone(false); gone != nil {
			return gone
		}
		if f.ID == fault.ClientGone || f == http1.Interrupted { // the rival's end interrupted a wait that takes this for the client's
			c.lost()
		} else {
			c.ended(f)
		}
		c.back()
		f = c.await()
	}
	return f
}

// overtaken deals with the end of the rival's wait, which has interrupted ours. on says
// that the wait for this attempt's answer goes on; else the rival's has begun, and the
// exchange goes on with it.
func (c *call) overtaken() (on bool) {
	r := c.rival
	if r.err == nil {
		c.lost()
		c.back()
		return false
	}
	// It failed: its page is closed, and it is alone again who came later.
	later, own := c.work, c.lines
	c.work, c.lines = r.work, r.lines
	c.ended(c.line.HeadEnded(r.err, c.circumstances(r.err, r.limit)))
	tried := later.tried
	c.work, c.lines = later, own
	c.tried = tried
	c.rival = nil
	return true
}

// wins ends the race for an attempt whose answer has begun while its rival waits.
func (c *call) wins() {
	if c.rival == nil {
		return
	}
	c.halt()
	r := c.rival
	own, lines := c.work, c.lines
	c.work, c.lines = r.work, r.lines
	c.lost()
	c.work, c.lines, c.rival = own, lines, nil
	c.x.Trail.Hedged = true
}

// back makes the rival's attempt the current one. Its page comes last, since the last
// attempt is the one that answers.
func (c *call) back() {
	c.halt()
	r := c.rival
	t := &c.x.Trail
	tried, hedgeAt, spent := c.tried, c.hedgeAt, c.spent
	c.work, c.lines, c.rival = r.work, r.lines, nil
	c.tried, c.hedged, c.hedgeAt, c.spent = tried, true, hedgeAt, spent
	for i := range t.Tries() {
		if c.a == &t.Attempts[i] && i < t.N-1 {
			t.Attempts[i], t.Attempts[t.N-1] = t.Attempts[t.N-1], t.Attempts[i]
			c.tried[i], c.tried[t.N-1] = c.tried[t.N-1], c.tried[i]
			c.a = &t.Attempts[t.N-1]
			break
		}
	}
	if r.done && r.err == nil {
		if c.a.FirstByte == 0 {
			c.a.FirstByte = c.x.Stamp()
		}
	}
}

// halt ends the rival's wait, and waits for that.
func (c *call) halt() {
	r := c.rival
	for !r.done {
		if r.task != nil {
			r.task.Interrupt()
		}
		c.p.loop.Park(loop.Never)
	}
	// Its end may have interrupted a wait of ours that was over already.
	for c.p.loop.Park(1) != loop.ErrTimeout {
	}
}

// lost closes the page of an attempt that another one was quicker than. It failed in
// nothing, but it is at least as slow as it has been so far.
func (c *call) lost() {
	a := c.a
	a.Ended, a.Lost = c.x.Stamp(), true
	if c.line != nil {
		a.BytesSent, a.BytesReceived = c.line.Sent(), c.line.Came()
	}
	c.drop()
	if c.conn != nil {
		c.p.pool.Drop(c.conn, true)
		c.conn = nil
	}
	c.leave()
	if c.end != nil && a.Sent > 0 && a.Ended > a.Sent {
		c.p.pool.Took(c.end, int64(a.Ended-a.Sent), false)
	}
}

// forsake gives up a rival, after a panic too.
func (c *call) forsake() {
	if c.rival == nil {
		return
	}
	c.halt()
	r := c.rival
	own, lines := c.work, c.lines
	c.work, c.lines, c.rival = r.work, r.lines, nil
	c.lost()
	c.work, c.lines = own, lines
}
