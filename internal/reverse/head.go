package reverse

import (
	"bytes"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// head judges the final answer's head: framing, repairs, and the statuses that
// promise that another try with one thing changed will do better.
func (c *call) head() *fault.Fault {
	x := c.x
	f := c.line.Frame(string(x.Method()) == "HEAD")
	c.receipts()
	if f != nil {
		return f
	}
	c.bind()
	status := c.answer.Status
	if x.Request.Framing.Upgrade && message.EqualFold(x.Value(message.Upgrade), "websocket") {
		c.note(fault.WSUpgradeRefused, -1)
	}
	if id := c.secondChance(status); id != "" {
		return c.line.Fault(id)
	}
	if c.x.GRPC() {
		if f := c.judgeCall(); f != nil {
			return f
		}
	}
	switch {
	case status < 500:
		if status == 429 && c.answer.Find(message.RetryAfter) >= 0 {
			c.note(fault.UpstreamOverloaded, -1)
		}
	case status == 503 && c.answer.Find(message.RetryAfter) >= 0:
		c.note(fault.UpstreamOverloaded, -1)
	case status == 502 || status == 503 || status == 504:
		c.note(fault.UpstreamGatewayError, -1)
	default:
		c.note(fault.Upstream5xx, -1)
	}
	if bytes.EqualFold(c.answer.Value(message.ContentEncoding), []byte("gzip")) {
		c.checkGzip()
	}
	return nil
}

// bind has the answer bind its client to the endpoint, unless it is bound to it.
func (c *call) bind() {
	if c.p.pool.Cookie() == "" {
		return
	}
	var lines []byte
	if c.end != c.bound {
		lines = c.end.Bind(c.x.Secure())
	}
	c.x.Adds(lines)
}

// receipts notes what was repaired since it was last asked.
func (c *call) receipts() {
	for ; ; c.told++ {
		id, at, ok := c.line.Receipt(c.told)
		if !ok {
			return
		}
		c.note(id, at)
	}
}

// secondChance names the fault whose cure is to send the request once more with
// one thing changed (rule RU), or "" to pass the answer on.
func (c *call) secondChance(status int) fault.ID {
	var id fault.ID
	var once redo
	switch status {
	case 417:
		if c.onward.Expect {
			id, once = fault.Expect417, redoExpect
		}
	case 421:
		id, once = fault.Misdirected421, redoMisdirected
	case 425:
		if !c.earlyData() {
			id, once = fault.TooEarly425, redoEarly
		}
	case 505:
		if !c.shared && !c.onward.Speak10 && (!c.chunked() || c.body.whole) {
			id, once = fault.VersionNotSupported505, redoVersion
		}
	case 411:
		if c.chunked() {
			id, once = fault.LengthRequired411, redoLength
		}
	}
	if id == "" || c.redone&once != 0 || c.x.Trail.N >= trail.MaxAttempts || !c.replayable() || c.x.Begun() {
		return ""
	}
	c.stopHand()
	if c.hand.fault != nil {
		return ""
	}
	if once == redoLength && !c.readRest() {
		return ""
	}
	c.redone |= once
	switch once {
	case redoExpect:
		c.end.NoExpect.Store(true)
	case redoVersion:
		c.end.Speaks10.Store(true)
	case redoLength:
		c.end.NeedLength.Store(true)
	}
	c.fresh, c.stay, c.anew = true, c.end, true
	return id
}

// earlyData reports whether the request came in TLS early data: then a 425 is
// for the client to act on (RFC 8470 §5.2).
func (c *call) earlyData() bool {
	h := &c.x.Request.Head
	for i := range h.Fields {
		if message.EqualFold(h.Bytes(h.Fields[i].Name), "early-data") {
			return true
		}
	}
	return false
}

// checkGzip compares the first bytes of a body with what Content-Encoding says.
// It passes on as it is: the client decides, the operator is told.
func (c *call) checkGzip() {
	b := c.line.Peek()
	if c.framing.Body != message.Sized || len(b) < 2 || c.framing.Length < 2 {
		return
	}
	if b[0] != 0x1f || b[1] != 0x8b {
		c.note(fault.ContentCodingMismatch, 0)
	}
}

// plainToTLS are sentences of the pages with which well-known servers answer
// plain HTTP on a TLS port: nginx, Go, Apache httpd.
var plainToTLS = [][]byte{
	[]byte("plain HTTP request was sent to HTTPS port"),
	[]byte("sent an HTTP request to an HTTPS server"),
	[]byte("speaking plain HTTP to an SSL-enabled server port"),
}

// checkPlainToTLS recognises such a page.
func (c *call) checkPlainToTLS(body []byte) {
	if c.answer.Status != 400 || c.a.Secure {
		return
	}
	for _, s := range plainToTLS {
		if bytes.Contains(body, s) {
			c.note(fault.TLSPortSays400, -1)
			return
		}
	}
}

// checkExtra looks at what came behind a whole message. It belongs to no
// request, is never passed on, and the connection is of no more use.
func (c *call) checkExtra() (clean bool) {
	extra := c.line.Extra()
	if len(extra) == 0 {
		return true
	}
	id := fault.ExtraAfterMessage
	switch {
	case bytes.HasPrefix(extra, []byte("HTTP/1.")):
		id = fault.ResponseSmuggled
	case c.framing.Body == message.NoBody:
		id = fault.BodyOnBodyless
	}
	c.note(id, c.line.Came()-int64(len(extra)))
	return false
}
