package exchange

import (
	"bytes"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// admit refuses what must not go on although it is well-formed.
func (x *Exchange) admit() *fault.Fault {
	h := &x.Request.Head
	for i := range h.Fields {
		if h.Fields[i].ID == message.Via && ours(h.Bytes(h.Fields[i].Value), x.via) {
			return fault.New(fault.LoopVia, "loop", string(h.Bytes(h.Fields[i].Value)), "value", string(x.via))
		}
	}
	return nil
}

// forward says whether a request may go on. OPTIONS and TRACE count the gateways
// that they may still pass; one that may pass no more is answered here.
//
// "Each intermediary that receives a TRACE or OPTIONS request containing a
// Max-Forwards header field MUST check and update its value prior to forwarding
// the request."
// https://www.rfc-editor.org/rfc/rfc9110#section-7.6.2-4
func (x *Exchange) forward() (on bool, f *fault.Fault) {
	switch string(x.Method()) {
	case "OPTIONS", "TRACE":
	default:
		return true, nil
	}
	h := &x.Request.Head
	for i := range h.Fields {
		if h.Fields[i].ID == message.MaxForwards && isZero(h.Bytes(h.Fields[i].Value)) {
			return false, x.endOfTheLine()
		}
	}
	for i := range h.Fields {
		if h.Fields[i].ID == message.MaxForwards {
			countDown(h, &h.Fields[i])
		}
	}
	return true, nil
}

func isZero(v []byte) bool { return len(v) > 0 && len(bytes.TrimLeft(v, "0")) == 0 }

// countDown takes one from the decimal number that f has for a value, in place.
// It is not 0. What is no number is left as it is.
func countDown(h *message.Head, f *message.Field) {
	v := h.Bytes(f.Value)
	for _, c := range v {
		if c < '0' || c > '9' {
			return
		}
	}
	for i := len(v) - 1; i >= 0; i-- {
		if v[i]--; v[i] >= '0' {
			break
		}
		v[i] = '9'
	}
	if len(v) > 1 && v[0] == '0' { // 10 became 09: the blank before a value may be longer
		v[0] = ' '
		f.Value.Off++
		f.Value.Len--
	}
}

// endOfTheLine answers in the place of the origin: OPTIONS with nothing to tell,
// TRACE with the head that came (RFC 9110 §9.3.7, §9.3.8), but for its secrets.
func (x *Exchange) endOfTheLine() *fault.Fault {
	var fields, body []byte
	fields = append(append(append(fields, "Date: "...), x.server.date(x.Loop.Wall())...), "\r\n"...)
	if string(x.Method()) == "TRACE" {
		fields = append(fields, "Content-Type: message/http\r\nCache-Control: no-store\r\n"...)
		body = message.Mask(nil, asHTTP1(&x.Request.Head))
	}
	return x.own(200, fields, body)
}

// asHTTP1 is a request's head as message/http has it (RFC 9112 §10.1): what came, or
// what HTTP/1.1 would have said.
func asHTTP1(h *message.Head) []byte {
	if h.Major < 2 {
		return h.Raw
	}
	b := h1.AppendRequestLine(nil, h.Bytes(h.Method), h.Bytes(h.Path), 1)
	b = append(append(append(b, "Host: "...), h.Bytes(h.Authority)...), "\r\n"...)
	return append(h1.AppendFields(b, h), "\r\n"...)
}

// own sends an answer of ours that explains no fault. fields are whole lines.
func (x *Exchange) own(status int, fields, body []byte) *fault.Fault {
	r := &x.reply
	r.close = r.close || x.server.draining || !x.Client.BodyDone()
	r.kind = message.Sized
	x.Trail.Status = status
	back := message.Back{Minor: r.minor, Body: message.Sized, Length: int64(len(body)), Close: r.close, Via: x.via}
	r.head, r.body = x.Client.AppendOwn(r.head[:0], status, fields, &back), r.body[:0]
	if r.toHead {
		r.kind = message.NoBody
	}
	return x.FinishWith(body)
}

// ours reports whether a Via value names us: 1*( protocol SP received-by [ SP comment ] ),
// separated by commas (RFC 9110 §7.6.3).
func ours(via, us []byte) bool {
	for len(via) > 0 {
		var one []byte
		one, via, _ = bytes.Cut(via, []byte(","))
		one = bytes.Trim(one, " \t")
		if _, by, ok := bytes.Cut(one, []byte(" ")); ok {
			by, _, _ = bytes.Cut(bytes.TrimLeft(by, " \t"), []byte(" "))
			if bytes.EqualFold(by, us) {
				return true
			}
		}
	}
	return false
}
