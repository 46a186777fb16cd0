package exchange

import (
	"strconv"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/explain"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
)

// GRPC reports whether the request is a call of gRPC. Its client gets status 200
// whatever happens, and the verdict in grpc-status.
func (x *Exchange) GRPC() bool { return x.grpc }

// Patience is the limit that Deadline stands for, in words.
func (x *Exchange) Patience() string {
	if x.patience > 0 {
		return x.patience.String()
	}
	return x.Opts.Total.String()
}

// recognise finds out whether the request is a call, and how long its client
// waits.
func (x *Exchange) recognise() {
	if x.grpc = message.IsGRPC(x.Value(message.ContentType)); !x.grpc {
		return
	}
	x.Trail.Call, x.Trail.GRPCStatus = true, -1
	h := &x.Request.Head
	if f := h.FieldNamed("grpc-timeout"); f != nil {
		d, ok := message.GRPCTimeout(h.Bytes(f.Value))
		if until := x.began.Add(int64(max(d, 1))); ok && until < x.Deadline {
			x.Deadline, x.patience = until, max(d, 1)
		}
	}
}

// tick is how far the clocks of a call's two servers may be apart: both of them end
// it when its time is over.
const tick = 10 * time.Millisecond

// impatient names a fault after the client's own limit if that is what has passed.
// The upstream knows the limit, too, and may be first to call it a day.
func (x *Exchange) impatient(f *fault.Fault) {
	if x.patience == 0 {
		return
	}
	late := x.Loop.Now().Add(int64(tick)) >= x.Deadline
	switch {
	case f.ID == fault.TotalTimeout, f.ID == fault.DeadlineBeforeAttempt:
	case late && f.ID == fault.H2RSTCancel:
	case late && f.Row().Class == fault.ClassTooSlow && f.Row().Side == fault.Upstream:
	default:
		return
	}
	f.ID, f.At = fault.GRPCDeadline, fault.Await
	for i := range f.Param {
		if f.Param[i].Name == "limit" {
			f.Param[i].Value = x.Patience()
			return
		}
	}
	f.With("limit", x.Patience())
}

// explains is what the explanation of the trail's fault is made from.
func (x *Exchange) explains() explain.Answer {
	return explain.Answer{Trail: &x.Trail, Node: x.Opts.Node, Detail: x.Detailed(), Contact: x.Opts.Contact}
}

// refuse answers a call with the trail's fault: trailers only, as gRPC says it.
func (x *Exchange) refuse() {
	t, r := &x.Trail, &x.reply
	t.Status = 200
	t.Ended = x.Stamp()
	t.GRPCStatus = explain.GRPCStatus(t.Fault)
	a := x.explains()
	b := append([]byte("Date: "), x.server.date(x.Loop.Wall())...)
	b = append(b, "\r\nContent-Type: application/grpc\r\ngrpc-status: "...)
	b = strconv.AppendInt(b, int64(t.GRPCStatus), 10)
	b = explain.GRPCMessage(append(b, "\r\ngrpc-message: "...), &a)
	b = append(append(append(b, "\r\nX-Request-Id: "...), t.Incident[:]...), "\r\n"...)
	r.close = r.close || x.server.draining || !x.Client.BodyDone()
	back := message.Back{Minor: r.minor, Body: message.Sized, Close: r.close, Via: x.via, Status: explain.ProxyStatus(nil, &a)}
	r.head = x.Client.AppendOwn(r.head[:0], 200, b, &back)
	r.kind = message.Sized
	if f := x.send(nil, true, nil); f != nil {
		r.close = true
	} else {
		r.whole = true
	}
	t.Ended = x.Stamp()
}

// breakOff ends a call's answer that has begun and will not be whole: with
// trailers that say so, where the client reads them. It reports whether it did.
func (x *Exchange) breakOff() bool {
	r := &x.reply
	if !x.grpc || !x.Request.Framing.Trailers || r.kind != message.Streamed || r.broken {
		return false
	}
	x.Deadline = loop.Never // it may be what has passed
	x.Trail.GRPCStatus = explain.GRPCStatus(x.Trail.Fault)
	a := x.explains()
	trailer := &message.Head{Major: 2}
	trailer.Append("grpc-status", strconv.Itoa(x.Trail.GRPCStatus))
	trailer.Append("grpc-message", string(explain.GRPCMessage(nil, &a)))
	r.hold, x.Trail.Cut = false, true
	if x.send(nil, true, trailer) == nil {
		r.whole = true
	}
	return true
}
