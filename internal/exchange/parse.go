package exchange

import (
	"bytes"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/message"
)

// begin starts the trail.
func (x *Exchange) begin() {
	x.began = x.Loop.Now()
	t := &x.Trail
	t.Began = x.Loop.Wall()
	t.Client, t.Trusted = x.conn.address(), x.conn.trusted
	t.Scheme, t.TLS = x.conn.scheme(), x.conn.tls
	x.Deadline = x.began.Add(int64(x.Opts.Total))
	x.grpc, x.patience = false, 0
}

// parse reads the request's head. quiet means that no exchange took place.
func (x *Exchange) parse() (f *fault.Fault, quiet bool) {
	x.begin()
	f, quiet = x.Client.ReadHead(&x.Request)
	if quiet {
		return nil, true
	}
	t, h := &x.Trail, &x.Request.Head
	t.HeadRead = x.Stamp()
	if h.Raw != nil {
		t.Method, t.Authority, t.Path = h.Bytes(h.Method), h.Bytes(h.Authority), h.Bytes(h.Path)
		t.Major, t.Minor = h.Major, h.Minor
	}
	x.reply.toHead = string(t.Method) == "HEAD"
	x.reply.major, x.reply.minor = h.Major, h.Minor
	if f != nil {
		// Where the next request begins cannot be known (RFC 9112 §9.6).
		x.reply.close = true
		return f, false
	}
	x.spokenFor()
	x.recognise()
	x.identify()
	x.Onward.Host = nil
	if h.Authority.Len == 0 {
		x.Onward.Host = x.conn.localAuthority()
	}
	x.reply.close = x.Request.Framing.Close || x.server.draining
	return nil, false
}

// localAuthority is where the client connected to.
func (c *conn) localAuthority() []byte {
	if c.local == nil {
		local := []byte("localhost")
		if ip := c.destination(); ip.IsValid() {
			local = ip.AppendTo(nil)
		}
		c.local = &local
	}
	return *c.local
}

// Method is the request's method.
func (x *Exchange) Method() []byte { return x.Request.Head.Bytes(x.Request.Head.Method) }

// Field is the value of the first request field with that name, which is in lower case;
// nil if there is none.
func (x *Exchange) Field(name string) []byte {
	h := &x.Request.Head
	for i := range h.Fields {
		if n := h.Bytes(h.Fields[i].Name); len(n) == len(name) && message.EqualFold(n, name) {
			return h.Bytes(h.Fields[i].Value)
		}
	}
	return nil
}

// Cookie is the value of the request's first cookie with that name (RFC 6265 §4.2.1);
// nil if there is none.
func (x *Exchange) Cookie(name string) []byte {
	h := &x.Request.Head
	for i := range h.Fields {
		if h.Fields[i].ID != message.Cookie {
			continue
		}
		for rest := h.Bytes(h.Fields[i].Value); len(rest) > 0; {
			var one []byte
			one, rest, _ = bytes.Cut(rest, []byte(";"))
			if k, v, ok := bytes.Cut(bytes.TrimSpace(one), []byte("=")); ok && string(k) == name {
				return v
			}
		}
	}
	return nil
}

// TakeCookie is Cookie that takes all cookies of that name out of the request, so that they
// go no further. A value that does not fit into dst is no value.
func (x *Exchange) TakeCookie(name string, dst *[32]byte) (value []byte) {
	h := &x.Request.Head
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID != message.Cookie {
			continue
		}
		all := h.Bytes(f.Value)
		n := len(all)
		for at := 0; at < n; {
			end := n
			if i := bytes.IndexByte(all[at:n], ';'); i >= 0 {
				end = at + i
			}
			k, v, ok := bytes.Cut(bytes.TrimSpace(all[at:end]), []byte("="))
			if !ok || string(k) != name {
				at = end + 1
				continue
			}
			if value == nil && len(v) <= len(dst) {
				value = dst[:copy(dst[:], v)]
			}
			next := min(end+1, n) // the next cookie, which takes its place
			for next < n && all[next] == ' ' {
				next++
			}
			if next == n {
				n = max(at-1, 0) // it was the last: the semicolon before it goes, too
				break
			}
			for all[at] == ' ' {
				at++
			}
			n = at + copy(all[at:], all[next:n])
		}
		if f.Value.Len = uint32(n); n == 0 {
			f.Flags |= message.Drop
		}
	}
	return value
}

// Value is the value of a request field, nil if it has none.
func (x *Exchange) Value(n message.Name) []byte { return x.Request.Head.Value(n) }
