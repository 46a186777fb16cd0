package reverse

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"strconv"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/tunnel"
)

// tunnel judges a 101, passes it on, and joins the two streams.
func (c *call) tunnel() *fault.Fault {
	a, x := &c.h1, c.x // no other version has a 101
	f := a.Frame(false)
	if f == nil {
		f = c.judgeSwitch()
	}
	if f != nil {
		return f
	}
	if c.expecting {
		if f := c.goOn(); f != nil { // a 100 cannot follow the 101
			return f
		}
	}
	c.bind()
	if f := x.BeginSwitch(c.answer); f != nil {
		return f
	}
	if f := c.sendRest(); f != nil {
		return f
	}
	a.DropHead()
	up := c.conn
	down, ahead := x.Client.Wire()
	end := tunnel.Join(c.p.loop, down, up.Stream, ahead, &a.In, int64(c.p.o.Tunnel))
	a.Received += end.Down
	c.tunnelled += end.Up
	x.Switched(end.Up, end.Down)
	if end.Err == loop.ErrTimeout {
		return fault.New(fault.WSIdleTimeout, "limit", c.p.o.Tunnel.String(), "got", strconv.FormatInt(end.Down, 10))
	}
	if end.Err != nil && !errors.Is(end.Err, io.EOF) {
		x.Client.Abort()
	}
	return nil
}

// sendRest sends what is left of the request's body: the new protocol begins
// behind the whole request (RFC 9110 §7.8).
func (c *call) sendRest() *fault.Fault {
	for c.handRuns() {
		if err := c.p.loop.Park(c.x.Deadline); err == loop.ErrTimeout {
			return fault.New(fault.TotalTimeout, "limit", c.x.Patience(), "received", strconv.FormatInt(c.line.Came(), 10))
		}
	}
	c.stopHand()
	if c.hand.fault != nil {
		return c.hand.fault
	}
	if c.sendErr != nil {
		return fault.New(fault.WriteReset, "errno", c.sendErr.Error()).Because(c.sendErr)
	}
	return nil
}

// judgeSwitch holds a 101 against what was asked (RFC 9110 §7.8, RFC 6455 §4).
func (c *call) judgeSwitch() *fault.Fault {
	h, q := c.answer, &c.x.Request
	if !q.Framing.Upgrade {
		return c.line.FaultAt(fault.SwitchUnasked, 0)
	}
	if !c.framing.Upgrade {
		return c.line.Fault(fault.SwitchNoUpgradeHeader)
	}
	got, asked := h.Value(message.Upgrade), c.x.Value(message.Upgrade)
	if !listed(asked, got, true) {
		return c.line.Fault(fault.SwitchWrongProtocol).With("got", strconv.QuoteToASCII(string(got))).
			With("want", strconv.QuoteToASCII(string(asked)))
	}
	if message.EqualFold(got, "websocket") {
		return c.judgeWebSocket()
	}
	return nil
}

// webSocketGUID is what RFC 6455 §1.3 appends to the key.
const webSocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

func (c *call) judgeWebSocket() *fault.Fault {
	h := c.answer
	sum := sha1.Sum(append(bytes.Clone(c.x.Value(message.SecWebSocketKey)), webSocketGUID...))
	want := base64.StdEncoding.EncodeToString(sum[:])
	if got := h.Value(message.SecWebSocketAccept); string(got) != want {
		return c.line.Fault(fault.WSAcceptBad).With("got", strconv.QuoteToASCII(string(got))).With("want", strconv.Quote(want))
	}
	if got := h.Value(message.SecWebSocketProtocol); got != nil && !listed(c.x.Value(message.SecWebSocketProtocol), got, false) {
		return c.line.Fault(fault.WSSubprotocolUnoffered).With("got", strconv.QuoteToASCII(string(got)))
	}
	if got := h.Value(message.SecWebSocketExtensions); got != nil {
		for one := range bytes.SplitSeq(got, []byte(",")) {
			name, _, _ := bytes.Cut(bytes.TrimSpace(one), []byte(";"))
			if len(name) > 0 && !offered(c.x.Value(message.SecWebSocketExtensions), bytes.TrimSpace(name)) {
				return c.line.Fault(fault.WSExtensionUnoffered).With("got", strconv.QuoteToASCII(string(name)))
			}
		}
	}
	return nil
}

// listed reports whether the comma-separated list has the member one.
func listed(list, one []byte, fold bool) bool {
	for m := range bytes.SplitSeq(list, []byte(",")) {
		m = bytes.TrimSpace(m)
		if bytes.Equal(m, one) || fold && bytes.EqualFold(m, one) {
			return true
		}
	}
	return false
}

// offered is listed for members with parameters.
func offered(list, name []byte) bool {
	for m := range bytes.SplitSeq(list, []byte(",")) {
		m, _, _ = bytes.Cut(m, []byte(";"))
		if bytes.Equal(bytes.TrimSpace(m), name) {
			return true
		}
	}
	return false
}
