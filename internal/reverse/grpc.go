package reverse

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/message"
)

// callGrace is how long the beginning of a call's answer is held back: enough for
// all of a short one to leave together, and less than anybody notices of a stream.
const callGrace = 2 * time.Millisecond

// calling follows a gRPC answer: to HTTP it may look whole when it is not. The
// zero value follows nothing.
type calling struct {
	on    bool // the answer's messages are followed, and its grpc-status is due
	coded bool // the answer names a coding for its messages
	have  int  // bytes of the next message's prefix
	left  int64
	size  int64 // of the message that left is of
	// prefix is a flag and the length of a message (gRPC PROTOCOL-HTTP2,
	// Length-Prefixed-Message).
	prefix [5]byte
}

// judgeCall judges the head of an answer to a call.
func (c *call) judgeCall() *fault.Fault {
	h := c.answer
	status := h.FieldNamed("grpc-status")
	kind := h.Value(message.ContentType)
	switch {
	case h.Status != 200:
		if status == nil {
			c.note(fault.GRPCHTTPStatus, -1)
		}
	case !message.IsGRPC(kind):
		return c.line.Fault(fault.GRPCContentType).With("got", strconv.QuoteToASCII(string(kind)))
	case status != nil:
		if c.verdictOf(h, status) != 0 {
			c.note(fault.GRPCTrailersOnlyError, -1)
		}
	default:
		coding := h.FieldNamed("grpc-encoding")
		c.calling = calling{on: true, coded: coding != nil && string(h.Bytes(coding.Value)) != "identity"}
	}
	return nil
}

// verdictOf notes the value of a grpc-status field; -1 if it is no number.
func (c *call) verdictOf(h *message.Head, f *message.Field) int {
	n, err := strconv.ParseUint(string(h.Bytes(f.Value)), 10, 16)
	if err != nil {
		return -1
	}
	c.x.Trail.GRPCStatus = int(n)
	return int(n)
}

// follow takes a piece of the answer's messages.
func (c *call) follow(piece []byte) *fault.Fault {
	g := &c.calling
	for g.on && len(piece) > 0 {
		if g.left > 0 {
			n := min(g.left, int64(len(piece)))
			g.left -= n
			piece = piece[n:]
			continue
		}
		n := copy(g.prefix[g.have:], piece)
		g.have += n
		piece = piece[n:]
		if flag := g.prefix[0]; flag > 1 || flag == 1 && !g.coded {
			return c.line.Fault(fault.GRPCCompressedFlagBad).With("byte", fmt.Sprintf("0x%02x", flag)).With("value", c.coding())
		}
		if g.have == len(g.prefix) {
			g.have = 0
			g.size = int64(binary.BigEndian.Uint32(g.prefix[1:]))
			g.left = g.size
		}
	}
	return nil
}

// coding is what the answer calls the coding of its messages.
func (c *call) coding() string {
	if f := c.answer.FieldNamed("grpc-encoding"); f != nil {
		return strconv.QuoteToASCII(string(c.answer.Bytes(f.Value)))
	}
	return "missing"
}

// concluded judges the end of an answer to a call, where HTTP sees none amiss.
func (c *call) concluded(trailer *message.Head) *fault.Fault {
	g := &c.calling
	if !g.on {
		return nil
	}
	var status *message.Field
	if trailer != nil {
		status = trailer.FieldNamed("grpc-status")
	}
	switch {
	case status == nil && c.line == line(&c.h1):
		return c.line.Fault(fault.GRPCStatusInBodyH1)
	case status == nil:
		return c.line.Fault(fault.GRPCStatusMissing)
	case c.verdictOf(trailer, status) != 0: // it failed, and says so
	case g.left > 0:
		return c.line.Fault(fault.GRPCMessageTruncated).With("want", strconv.FormatInt(g.size, 10)).
			With("got", strconv.FormatInt(g.size-g.left, 10))
	case g.have > 0:
		return c.line.Fault(fault.GRPCMessageTruncated).With("want", "at least 5").
			With("got", strconv.Itoa(g.have))
	}
	return nil
}
