package h1

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/internal/message"
)

// outcome is all that can be told of a stream of bytes that holds one message.
type outcome struct {
	HeadLen  int // 0 if the head is incomplete or refused
	Head     string
	Begun    bool
	Head0    Error // of Parse, End
	Frame0   Error // of FrameRequest or FrameResponse
	Framing  message.Framing
	Repairs  []Error // of the head
	Body     string
	Body0    Error // of the Decoder
	Done     bool  // the body ended before the stream
	Complete bool  // or with it
	Offset   int64
	Mended   []Error // repairs of the body
	Trailer  string
	Rest     string // what comes behind the message
}

// receive reads one message whose bytes arrive in pieces, as a connection
// would: each piece moves the bytes to another place.
func receive(kind Kind, toHEAD bool, l *Limits, a Allow, pieces ...[]byte) (o outcome) {
	var (
		p   Parser
		d   Decoder
		h   message.Head
		buf []byte
		n   int
		err Error
	)
	p.Init(kind, l, a)
	for len(pieces) > 0 && n == 0 && err.Ok() {
		buf = append(bytes.Clone(buf), pieces[0]...)
		pieces = pieces[1:]
		n, err = p.Parse(buf, &h)
	}
	o.Begun = p.Begun()
	if err.Ok() && n == 0 {
		err = p.End(buf)
	}
	o.Repairs = append(o.Repairs, p.Repairs()...)
	if o.HeadLen, o.Head0 = n, err; n == 0 {
		return o
	}
	o.Framing, o.Frame0 = frameOf(&p, &h, kind, toHEAD)
	o.Head = show(&h)
	o.Repairs = append(o.Repairs[:0], p.Repairs()...) // and those of Frame*
	if !o.Frame0.Ok() {
		return o
	}
	d.Init(o.Framing, l, a)
	buf = bytes.Clone(buf[n:])
	for {
		data, n, err := d.Next(buf)
		o.Body += string(data)
		buf = buf[n:]
		if o.Body0 = err; !err.Ok() || d.Done() {
			break
		}
		if n > 0 {
			continue
		}
		if len(pieces) == 0 {
			break
		}
		buf = append(bytes.Clone(buf), pieces[0]...)
		pieces = pieces[1:]
	}
	o.Done = d.Done()
	if t := d.Trailer(); t != nil {
		o.Trailer = show(t)
	}
	if !o.Done && o.Body0.Ok() {
		o.Complete, o.Body0 = d.Finish()
	}
	o.Offset, o.Mended = d.Offset(), append(o.Mended, d.Repairs()...)
	if o.Done {
		o.Rest = string(buf) + string(bytes.Join(pieces, nil))
	}
	return o
}

func frameOf(p *Parser, h *message.Head, kind Kind, toHEAD bool) (message.Framing, Error) {
	if kind == Request {
		return FrameRequest(p, h)
	}
	return FrameResponse(p, h, toHEAD)
}

// show prints a head so that two can be compared: what is dropped has a "-".
func show(h *message.Head) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%q %q %q %q %d.%d %d %q\n", h.Bytes(h.Method), h.Bytes(h.Target), h.Bytes(h.Authority),
		h.Bytes(h.Path), h.Major, h.Minor, h.Status, h.Bytes(h.Reason))
	for i := range h.Fields {
		f := &h.Fields[i]
		mark := ' '
		if f.Flags&message.Drop != 0 {
			mark = '-'
		}
		fmt.Fprintf(&s, "%c %q: %q (%s %d)\n", mark, h.Bytes(f.Name), h.AppendValue(nil, f), f.ID, f.Flags)
	}
	return s.String()
}

// cutAt returns raw in two pieces.
func cutAt(raw []byte, i int) [][]byte { return [][]byte{raw[:i], raw[i:]} }

// byBytes returns raw in pieces of one byte.
func byBytes(raw []byte) (pieces [][]byte) {
	for i := range raw {
		pieces = append(pieces, raw[i:i+1])
	}
	return pieces
}

// String tells an outcome in one line: "head NotHTTP 0", "200 sized 5 done".
func (o outcome) String() string {
	var s []string
	add := func(format string, args ...any) { s = append(s, fmt.Sprintf(format, args...)) }
	list := func(what string, l []Error) {
		for _, e := range l {
			add("%s %v %d", what, e.Flaw, e.At)
		}
	}
	switch {
	case !o.Head0.Ok():
		add("head %v %d", o.Head0.Flaw, o.Head0.At)
	case o.HeadLen == 0 && o.Begun:
		add("incomplete")
	case o.HeadLen == 0:
		add("nothing")
	case !o.Frame0.Ok():
		add("frame %v %d", o.Frame0.Flaw, o.Frame0.At)
	default:
		add("%s", [...]string{"no body", "sized", "chunked", "to close"}[o.Framing.Body])
		switch {
		case !o.Body0.Ok():
			add("%v %d", o.Body0.Flaw, o.Body0.At)
		case o.Done:
			add("done")
		case o.Complete:
			add("complete")
		default:
			add("cut at %d", o.Offset)
		}
		if o.Body != "" {
			add("%q", o.Body)
		}
		if o.Trailer != "" {
			add("trailer")
		}
		if o.Rest != "" {
			add("rest %q", o.Rest)
		}
		if o.Framing.Close {
			add("close")
		}
	}
	list("repaired", o.Repairs)
	list("mended", o.Mended)
	return strings.Join(s, ", ")
}

// same fails if two outcomes of the same bytes differ.
func same(t testing.TB, name string, whole, pieces outcome) {
	t.Helper()
	if diff := cmp.Diff(whole, pieces); diff != "" {
		t.Errorf("%s: arrival changed the outcome (-whole +pieces):\n%s", name, diff)
	}
}
