// Package check asks endpoints how they are, with the gateway's own resolver,
// dialler and parsers, so that its verdict is the one that requests will meet.
//
// Ask is one look. A Checker looks again and again and tells the upstream when an
// endpoint has changed for good: after so many looks in a row that agree.
package check

import (
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
	Path    string // "" means "/"
	Host    string // "" means the endpoint's own
	Agent   string // User-Agent
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
	Took        time.Duration
}

// maxInterims bounds what is read before the final answer.
const maxInterims = 8

// Ask connects to e, asks, and reads the head of the answer. It is called from a
// task of the loop of local, on which its connection counts for no pool.
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
	if link, ok := c.Shared.(*http2.Link); ok {
		v.Version = "HTTP/2"
		v.Status, v.Fault = q.ask2(link, e, until)
		return v
	}
	request := "GET " + q.path() + " HTTP/1.1\r\nHost: " + q.host(e) +
		"\r\nUser-Agent: " + q.Agent + "\r\nAccept: */*\r\nConnection: close\r\n\r\n"
	// A send that breaks says less than what the endpoint may have said before.
	c.Stream.Send([]byte(request), nil, until)
	var a http1.Answer
	defer a.In.Release()
	limits := q.Limits
	if limits == (http1.Limits{}) {
		limits.Limits = h1.DefaultResponse
	}
	a.Start(c.Stream, &limits, q.Allow)
	for {
		ok, f := a.ParseHead()
		switch {
		case f != nil:
			v.Fault = f
			return v
		case ok && a.Head.Status < 200 && a.Head.Status != 101 && a.Interims < maxInterims:
			a.Next()
			continue
		case ok:
			v.Status, v.Version = a.Head.Status, fmt.Sprintf("HTTP/1.%d", a.Head.Minor)
			return v
		}
		if err := a.Fill(until); err != nil {
			if v.Fault = upstream.TLSFault(err); v.Fault == nil {
				v.Fault = a.HeadEnded(err, &http1.Circumstances{Limit: q.Time.String()})
			}
			return v
		}
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

// ask2 is Ask on a connection that speaks HTTP/2.
func (q *Question) ask2(k *http2.Link, e *upstream.Endpoint, until loop.Time) (status int, f *fault.Fault) {
	var l http2.Line
	l.Begin(k)
	defer l.Release()
	r := message.Request{Safe: true, Idempotent: true}
	h := &r.Head
	add := func(s string) message.Span {
		h.Raw = append(h.Raw, s...)
		return message.Span{Off: uint32(len(h.Raw) - len(s)), Len: uint32(len(s))}
	}
	h.Major, h.Minor = 1, 1
	h.Method, h.Path, h.Authority = add("GET"), add(q.path()), add(q.host(e))
	h.Fields = []message.Field{{Name: add("user-agent"), Value: add(q.Agent)},
		{Name: add("accept"), Value: add("*/*"), ID: message.Accept}}
	l.Compose(&r, &message.Onward{Length: -1, Via: []byte("gatewhy")})
	l.End(nil)
	if sent, err := l.AskWhole(until); !sent || err != nil {
		return 0, l.HeadEnded(err, &message.Circumstances{Limit: q.Time.String()})
	}
	answer, _ := l.Message()
	for {
		switch ok, _ := l.ParseHead(); {
		case ok && answer.Status < 200 && l.Interim() < maxInterims:
			l.Next()
			continue
		case ok:
			return answer.Status, nil
		}
		if err := l.Fill(until); err != nil {
			return 0, l.HeadEnded(err, &message.Circumstances{Limit: q.Time.String()})
		}
	}
}
