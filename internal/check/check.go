// Package check asks endpoints how they are, with the gateway's own resolver,
// dialler and parsers, so that its verdict is the one that requests will meet.
//
// Ask is one look. A Checker looks again and again and tells the upstream when an
// endpoint has changed for good: after so many looks in a row that agree.
package check

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/http1"
	"github.com/gatewhy/gatewhy/internal/http2"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/upstream"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// Question is what an endpoint is asked. The zero value asks for its start page.
type Question struct {
	// Connect asks only whether a connection can be had, with its TLS handshake.
	Connect bool
	// GRPC asks by grpc.health.v1.Health/Check how Service is; "" is the server as a
	// whole. It needs an endpoint that speaks HTTP/2.
	GRPC    bool
	Service string
	Path    string // "" means "/"
	Host    string // "" means the endpoint's own
	Agent   string // User-Agent
	// Body is how much of the answer's body is read; 0 is none of it.
	Body int
	// Limits and Allow are those of answers; a zero Limits means the usual ones.
	Limits http1.Limits
	Allow  h1.Allow
	// Time is how long a look may take, as messages say it.
	Time time.Duration
}

// Answer is what came of a look.
type Answer struct {
	// Fault is nil if there was an answer, or for Connect a connection.
	Fault *fault.Fault
	// Unreachable: there was no connection.
	Unreachable bool
	Status      int // 0 if there was no answer
	Version     string
	// Body is the beginning of the body, as far as it was asked for, and Cut says that
	// there was more.
	Body []byte
	Cut  bool
	// GRPC is what a gRPC check found, in words; "" if the service is well.
	GRPC string
	Took time.Duration
}

// maxInterims bounds what is read before the final answer.
const maxInterims = 8

// line is one request and its answer, in either version of HTTP: what http1.Line and
// http2.Line have in common.
type line interface {
	Compose(q *message.Request, o *message.Onward)
	Add(piece []byte)
	End(trailer *message.Head)
	AskWhole(until loop.Time) (sent bool, err error)
	Fill(until loop.Time) error
	ParseHead() (ok bool, f *fault.Fault)
	Next()
	Interim() int
	Frame(toHead bool) *fault.Fault
	Message() (*message.Head, *message.Framing)
	DropHead()
	Piece() (piece []byte, done bool, f *fault.Fault)
	Trailer() *message.Head
	Unfinished(err error) bool
	Release()
	HeadEnded(err error, c *message.Circumstances) *fault.Fault
	BodyEnded(err error, c *message.Circumstances) *fault.Fault
}

// Ask connects to e, asks, and reads the answer as far as the question wants. It is
// called from a task of the loop of local, on which its connection counts for no pool.
func Ask(local *upstream.Local, l loop.Loop, e *upstream.Endpoint, q *Question) (v Answer) {
	began := l.Now()
	until := began.Add(int64(q.Time))
	defer func() { v.Took = time.Duration(l.Now() - began) }()
	c, f := local.Dial(e, until, nil)
	if f != nil {
		// An address of our own does not become another one by waiting.
		v.Unreachable, v.Fault = f.ID != fault.LoopSelfAddress, f
		return v
	}
	defer local.Drop(c, true)
	if q.Connect {
		return v
	}
	link, ok := c.Shared.(*http2.Link)
	switch {
	case ok:
		var l http2.Line
		l.Begin(link)
		q.converse(&l, e, until, &v)
	case q.GRPC:
		v.GRPC = "it speaks no HTTP/2, which gRPC needs"
	default:
		limits := q.Limits
		if limits == (http1.Limits{}) {
			limits.Limits = h1.DefaultResponse
		}
		var l http1.Line
		l.Begin(c.Stream, &limits, q.Allow)
		q.converse(&l, e, until, &v)
	}
	return v
}

// converse asks and reads what is answered.
func (q *Question) converse(l line, e *upstream.Endpoint, until loop.Time, v *Answer) {
	defer l.Release()
	r, body := q.request(e)
	l.Compose(r, &message.Onward{Length: int64(len(body)), Via: []byte("gatewhy"), NoXForwarded: true})
	l.Add(body)
	l.End(nil)
	circumstances := &message.Circumstances{Limit: q.Time.String()}
	sent, err := l.AskWhole(until)
	if !sent && err == nil {
		err = loop.ErrTimeout
	}
	for {
		// A send that breaks says less than what the endpoint may have said before.
		switch ok, f := l.ParseHead(); {
		case f != nil:
			v.Fault = f
			return
		case ok:
			h, _ := l.Message()
			if h.Status < 200 && h.Status != 101 && l.Interim() < maxInterims {
				l.Next()
				continue
			}
			v.Status, v.Version = h.Status, "HTTP/2"
			if h.Major == 1 {
				v.Version = fmt.Sprintf("HTTP/1.%d", h.Minor)
			}
			q.read(l, until, v, circumstances)
			return
		}
		if err != nil {
			if v.Fault = upstream.TLSFault(err); v.Fault == nil {
				v.Fault = l.HeadEnded(err, circumstances)
			}
			return
		}
		err = l.Fill(until)
	}
}

// mostHealth bounds the message of a gRPC check, which has two bytes.
const mostHealth = 1 << 10

// read reads the body, as far as it is wanted.
func (q *Question) read(l line, until loop.Time, v *Answer, circumstances *message.Circumstances) {
	most := q.Body
	if q.GRPC {
		most = mostHealth
	}
	h, _ := l.Message()
	var early []byte // grpc-status of an answer without a message
	if q.GRPC {
		if f := h.FieldNamed("grpc-status"); f != nil {
			early = bytes.Clone(h.Bytes(f.Value))
		}
	}
	if most == 0 || v.Status == 101 {
		return
	}
	if v.Fault = l.Frame(false); v.Fault != nil {
		return
	}
	l.DropHead()
	for {
		piece, done, f := l.Piece()
		if v.Fault = f; f != nil {
			return
		}
		if room := most - len(v.Body); len(piece) > room {
			v.Body, v.Cut = append(v.Body, piece[:room]...), true
			break
		}
		v.Body = append(v.Body, piece...)
		if done {
			break
		}
		if piece != nil {
			continue
		}
		if err := l.Fill(until); err != nil {
			if l.Unfinished(err) {
				v.Fault = l.BodyEnded(err, circumstances)
				return
			}
			break
		}
	}
	if q.GRPC {
		status := early
		if t := l.Trailer(); t != nil {
			if f := t.FieldNamed("grpc-status"); f != nil {
				status = t.Bytes(f.Value)
			}
		}
		v.GRPC = q.serving(v, string(status))
	}
}

func (q *Question) path() string {
	if q.Path == "" {
		return "/"
	}
	return q.Path
}

// host is the authority of the request.
func (q *Question) host(e *upstream.Endpoint) string {
	t := e.Target()
	switch _, name, ok := strings.Cut(t.Name, "://"); {
	case q.Host != "":
		return q.Host
	case t.Path != "":
		return "localhost"
	case ok:
		return name
	}
	return t.Name
}

// request is what is asked, and its body.
func (q *Question) request(e *upstream.Endpoint) (*message.Request, []byte) {
	r := &message.Request{Safe: true, Idempotent: true}
	h := &r.Head
	add := func(s string) message.Span {
		h.Raw = append(h.Raw, s...)
		return message.Span{Off: uint32(len(h.Raw) - len(s)), Len: uint32(len(s))}
	}
	h.Major, h.Minor = 1, 1
	method, path := "GET", q.path()
	if q.GRPC {
		method, path = "POST", "/grpc.health.v1.Health/Check"
	}
	h.Method, h.Path, h.Authority = add(method), add(path), add(q.host(e))
	h.Fields = []message.Field{{Name: add("User-Agent"), Value: add(q.Agent)}}
	if !q.GRPC {
		h.Fields = append(h.Fields, message.Field{Name: add("Accept"), Value: add("*/*"), ID: message.Accept})
		return r, nil
	}
	h.Fields = append(h.Fields, message.Field{Name: add("Content-Type"), Value: add("application/grpc"), ID: message.ContentType})
	body := healthRequest(q.Service)
	r.Framing = message.Framing{Body: message.Sized, Length: int64(len(body)), Trailers: true}
	return r, body
}
