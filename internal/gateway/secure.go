package gateway

import (
	"bytes"
	"strconv"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/certs"
	"github.com/gatewhy/gatewhy/internal/exchange"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// redirect answers a request in plain HTTP for a site that has TLS, at that port: with
// 308, so that a POST stays one (RFC 9110 §15.4.9).
type redirect uint16

// Respond implements exchange.Responder.
func (port redirect) Respond(x *exchange.Exchange) *fault.Fault {
	h := &x.Request.Head
	host := h.Bytes(h.Authority)
	if i := bytes.LastIndexByte(host, ':'); i >= 0 && bytes.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	to := append([]byte("https://"), host...)
	if port != 443 {
		to = strconv.AppendUint(append(to, ':'), uint64(port), 10)
	}
	if path := h.Bytes(h.Path); len(path) > 0 && path[0] == '/' {
		to = append(to, path...)
	}
	fields := append(append([]byte("Location: "), to...), "\r\nContent-Type: text/plain; charset=utf-8\r\n"...)
	return x.Answer(308, fields, append(append([]byte("This is at "), to...), '\n'))
}

// challenge answers what an ACME server asks, and anybody else who asks there.
type challenge struct {
	m *certs.Manager
	l loop.Loop
}

// Respond implements exchange.Responder.
func (c *challenge) Respond(x *exchange.Exchange) *fault.Fault {
	h := &x.Request.Head
	host, path := string(h.Bytes(h.Authority)), string(h.Bytes(h.Path))
	var body []byte
	c.l.Do(func() { body = c.m.Challenge(host, path) })
	fields := []byte("Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n")
	if body == nil {
		return x.Answer(404, fields, []byte("there is no such challenge\n"))
	}
	return x.Answer(200, fields, body)
}
