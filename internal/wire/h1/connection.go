package h1

import (
	"bytes"

	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire"
)

// options is what Connection fields say (RFC 9110 §7.6.1).
type options struct {
	close, keepAlive, upgrade bool
	fields                    bool // some other field is named
}

// read takes in one Connection field. Its own options are read here; the fields
// that it names are dropped by connection, when all fields are known.
func (o *options) read(p *Parser, h *message.Head, f *message.Field) {
	v := h.Bytes(f.Value)
	// Nearly every Connection field is one of these two words.
	switch {
	case message.EqualFold(v, "keep-alive"):
		o.keepAlive = true
		return
	case message.EqualFold(v, "close"):
		o.close = true
		return
	}
	for len(v) > 0 {
		var option []byte
		option, v, _ = bytes.Cut(v, []byte(","))
		i, e := wire.Trim(option, 0, len(option))
		switch option = option[i:e]; {
		case len(option) == 0:
		case message.EqualFold(option, "close"):
			o.close = true
		case message.EqualFold(option, "keep-alive"):
			o.keepAlive = true
		case message.EqualFold(option, "upgrade"):
			o.upgrade = true
		default:
			o.fields = true
		}
	}
}

// maxNamed bounds how many fields Connection may name, since each is looked for
// among all. Nobody has more than a few.
const maxNamed = 32

// connection concludes from the options (RFC 9112 §9.3) and drops the fields
// that Connection names.
func (s *frame) connection() Error {
	s.Close = s.Close || s.conn.close || s.h.Minor == 0 && !s.conn.keepAlive
	s.Upgrade = s.conn.upgrade && s.upgrade > 0
	if !s.conn.fields {
		return Error{}
	}
	named := 0
	for i := range s.h.Fields {
		if f := &s.h.Fields[i]; f.ID == message.Connection {
			if err := s.dropNamed(f, &named); !err.Ok() {
				return err
			}
		}
	}
	return Error{}
}

func (s *frame) dropNamed(f *message.Field, named *int) Error {
	v := s.h.Bytes(f.Value)
	for k, n := 0, 0; k < len(v); k = n + 1 {
		if n = bytes.IndexByte(v[k:], ','); n < 0 {
			n = len(v)
		} else {
			n += k
		}
		from, to := wire.Trim(v, k, n)
		option, at := v[from:to], int(f.Value.Off)+from
		id := message.LookupName(option)
		switch id {
		case message.Connection, message.KeepAlive, message.ProxyConnection, message.TE, message.Upgrade,
			message.Trailer, message.ProxyAuthorization, message.Proxy, message.HTTP2Settings:
			continue // hop-by-hop: judged by their own rules
		}
		if len(option) == 0 || message.EqualFold(option, "close") {
			continue
		}
		// A client that could have an end-to-end field removed by us would decide
		// what our upstream, or the next gateway's access rules, get to see.
		if id != message.Other || endToEnd(option) {
			s.p.note(ConnectionAbuse, at)
			continue
		}
		if *named++; *named > maxNamed {
			return flaw(ConnectionAbuse, at)
		}
		for i := range s.h.Fields {
			g := &s.h.Fields[i]
			if g.ID == message.Other && bytes.EqualFold(s.h.Bytes(g.Name), option) {
				g.Flags |= message.Drop
			}
		}
	}
	return Error{}
}

// endToEnd reports whether an option is the name of a field that RFC 9110, RFC
// 9111 or the web platform defines as end-to-end, besides the well-known names.
func endToEnd(option []byte) bool {
	for _, prefix := range [...]string{"content-", "access-control-", "if-", "accept-", "cross-origin-", "sec-"} {
		if wire.FoldPrefix(option, prefix) {
			return true
		}
	}
	for _, name := range [...]string{"age", "allow", "alt-svc", "authentication-info", "cache-control", "expires",
		"from", "origin", "pragma", "priority", "referer", "referrer-policy", "strict-transport-security",
		"traceparent", "tracestate", "user-agent", "vary", "warning", "www-authenticate", "x-content-type-options",
		"x-frame-options"} {
		if message.EqualFold(option, name) {
			return true
		}
	}
	return false
}
