package exchange

import (
	"strconv"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/explain"
	"github.com/gatewhy/gatewhy/internal/incident"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
)

// statusGone is what the log says of an exchange whose client did not wait for
// the answer; nobody ever receives it.
const statusGone = 499

// fail ends an exchange that no attempt could answer: with an explanation where
// the client can still be told, else so that it sees the cut.
func (x *Exchange) fail(f *fault.Fault) {
	t, r := &x.Trail, &x.reply
	x.impatient(f)
	t.Fault = f
	x.nameIncident()
	x.nameRefused()
	row := f.Row()
	switch {
	case r.whole:
	case f.ID == fault.ClientGone || r.broken:
		if !r.begun {
			t.Status = statusGone
		}
		t.Cut = t.Cut || r.begun
		r.broken = true
		x.Client.Abort()
	case r.begun && x.breakOff():
	case r.begun:
		x.cut()
	case row.Status == 0 || r.upgraded:
		r.broken = true
	default:
		x.answer(row.Status)
	}
}

// nameIncident gives the exchange its incident's name, once.
func (x *Exchange) nameIncident() {
	if x.Trail.Incident == [8]byte{} {
		x.Trail.Incident = incident.NewID()
	}
}

// Detailed reports whether this client may see operator detail.
func (x *Exchange) Detailed() bool {
	return x.Opts.Detail == All || x.Opts.Detail == Trusted && x.Trail.Trusted
}

// tooMuch is how much of an unread body is not worth the reading, so that the
// connection can be used again: about what a new one costs.
const tooMuch = 64 << 10

// answer makes the answer that explains the trail's fault.
func (x *Exchange) answer(status int) {
	t, r := &x.Trail, &x.reply
	x.Deadline = loop.Never // it may be what has passed; the explanation is still due
	if status == 0 {
		status = 502
	}
	x.Reject()
	if x.grpc {
		x.refuse()
		return
	}
	t.Status = status
	t.Ended = x.Stamp()
	a := x.explains()
	if status == 503 {
		a.RetryAfter = x.retryAfter()
	}
	format := explain.Negotiate(x.accept())
	body := explain.Render(nil, &a, format)
	if !x.Client.BodyDone() && (x.Request.Framing.Expect || t.Fault.Row().Side == fault.Client ||
		x.Request.Framing.Body == message.Streamed || x.Client.Left() > tooMuch) {
		// Whether the client will send its body cannot be known, or where it ends, or
		// it is not worth the reading.
		r.close = true
	}
	r.close = r.close || x.server.draining
	fields := x.ownFields(format)
	back := message.Back{Minor: r.minor, Body: message.Sized, Length: int64(len(body)), Close: r.close, Via: x.via,
		Status: explain.ProxyStatus(nil, &a)}
	if x.Opts.ReplyRequestID {
		back.Own = x.replyID()
	}
	r.head = x.Client.AppendOwn(r.head[:0], status, fields, &back)
	if r.kind = message.Sized; r.toHead {
		r.kind, body = message.NoBody, nil
	}
	if f := x.send(body, true, nil); f != nil {
		r.close = true
	} else {
		r.whole = true
	}
	t.Ended = x.Stamp()
}

// Answer answers in the place of an upstream, with fields that are whole lines.
func (x *Exchange) Answer(status int, fields, body []byte) *fault.Fault {
	dated := append(append(append([]byte("Date: "), x.server.date(x.Loop.Wall())...), "\r\n"...), fields...)
	return x.own(status, dated, body)
}

// retryAfter is the value of Retry-After of a 503 that the gateway makes, in seconds.
func (x *Exchange) retryAfter() int {
	if f := x.Trail.Fault; f != nil && f.RetryAfter > 0 {
		return int((f.RetryAfter + time.Second - 1) / time.Second)
	}
	return int(retryAfter / time.Second)
}

func (x *Exchange) accept() []byte {
	if x.Request.Head.Raw == nil {
		return nil
	}
	return x.Value(message.Accept)
}

// ownFields are the fields of every answer that the gateway makes itself.
func (x *Exchange) ownFields(format explain.Format) []byte {
	t := &x.Trail
	b := append([]byte("Date: "), x.server.date(x.Loop.Wall())...)
	b = append(append(b, "\r\nContent-Type: "...), format.ContentType()...)
	b = append(b, "\r\nCache-Control: no-store\r\nVary: Accept\r\nX-Content-Type-Options: nosniff\r\n"...)
	if format == explain.HTML {
		b = append(append(append(b, "Content-Security-Policy: "...), explain.ContentSecurityPolicy...), "\r\n"...)
	}
	if t.Status == 503 {
		b = append(strconv.AppendInt(append(b, "Retry-After: "...), int64(x.retryAfter()), 10), "\r\n"...)
	}
	if x.Opts.ReplyRequestID && x.server.requestID == "x-request-id" && len(t.RequestID) > 0 {
		return b // which is what replyID tells; the page and Proxy-Status name the incident
	}
	return append(append(append(b, "X-Request-Id: "...), t.Incident[:]...), "\r\n"...)
}
