package lab

import (
	"strconv"
	"strings"
	"sync"

	"github.com/gatewhy/gatewhy/fault"
)

// mark stands in front of the offending byte in a recipe's answer or request.
// It is no byte of any broken message: finish takes it out and counts.
const mark = "‸"

// none as a Body says that the client gets no body with a status that has one.
const none = mark

// hello is the body of every good answer.
const hello = "hello"

const helloHead = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"

// The requests of recipes that do not ask with a plain GET.
const (
	plainGET     = "GET / HTTP/1.1\r\nHost: %HOST%\r\n\r\n"
	plainHEAD    = "HEAD / HTTP/1.1\r\nHost: %HOST%\r\n\r\n"
	postHello    = "POST /order HTTP/1.1\r\nHost: %HOST%\r\nX-Request-Seq: order-1\r\nContent-Length: 5\r\n\r\nhello"
	postKeyed    = "POST /order HTTP/1.1\r\nHost: %HOST%\r\nX-Request-Seq: order-1\r\nIdempotency-Key: \"7K3QM2VX\"\r\nContent-Length: 5\r\n\r\nhello"
	putHello     = "PUT /item/1 HTTP/1.1\r\nHost: %HOST%\r\nX-Request-Seq: order-1\r\nContent-Length: 5\r\n\r\nhello"
	deleteOne    = "DELETE /item/1 HTTP/1.1\r\nHost: %HOST%\r\nX-Request-Seq: order-1\r\n\r\n"
	postBig      = "POST /upload HTTP/1.1\r\nHost: %HOST%\r\nContent-Length: %UPLOAD%\r\n\r\n"
	putBig       = "PUT /upload HTTP/1.1\r\nHost: %HOST%\r\nContent-Length: %UPLOAD%\r\n\r\n"
	expecting    = "POST /upload HTTP/1.1\r\nHost: %HOST%\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"
	expectingBig = "POST /upload HTTP/1.1\r\nHost: %HOST%\r\nExpect: 100-continue\r\nContent-Length: %UPLOAD%\r\n\r\n"
	chunkedPOST  = "POST /upload HTTP/1.1\r\nHost: %HOST%\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"

	// The key and its accept value are those of RFC 6455 §1.3.
	webSocket = "GET /chat HTTP/1.1\r\nHost: %HOST%\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	acceptKey = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// huge is an upload that no pair of socket buffers on loopback swallows whole.
const huge = 16 << 20

// refused is an answer that must not be passed on.
func refused(name string, want fault.ID, answer string) *Recipe {
	return &Recipe{Name: name, Want: want, Status: 502, Rescue: true, Answer: answer}
}

// noted is an answer that is passed on, mended if need be, with a receipt.
func noted(name string, note fault.ID, answer string) *Recipe {
	return &Recipe{Name: name, Notes: []fault.ID{note}, Status: 200, Answer: answer}
}

// fine is an answer without a flaw.
func fine(name, answer string) *Recipe {
	return &Recipe{Name: name, Status: 200, Answer: answer}
}

// The methods below finish a row of a table.

func (r *Recipe) because(why string) *Recipe  { r.Why = why; return r }
func (r *Recipe) ends(e End) *Recipe          { r.End = e; return r }
func (r *Recipe) status(n int) *Recipe        { r.Status = n; return r }
func (r *Recipe) asks(request string) *Recipe { r.Request = request; return r }
func (r *Recipe) does(f func(*Conn)) *Recipe  { r.serve = f; return r }

func (r *Recipe) body(s string) *Recipe {
	if r.Body = s; s == "" {
		r.Body = none
	}
	return r
}

// cut: the head may be at the client before the fault is known.
func (r *Recipe) cut() *Recipe { r.Cut = true; return r }

// mustCut: the head is at the client for certain.
func (r *Recipe) mustCut() *Recipe {
	r.Status, r.Cut, r.Rescue = 0, true, false
	return r
}

// lost: a second endpoint is of no use.
func (r *Recipe) lost() *Recipe { r.Rescue = false; return r }

// at says where the offending byte is, for answers that carry no mark.
func (r *Recipe) at(offset int64) *Recipe { r.Offset, r.placed = offset, true; return r }

func (r *Recipe) uploads(n int64) *Recipe { r.Upload = n; return r }

func (r *Recipe) also(notes ...fault.ID) *Recipe {
	r.Notes = append(r.Notes, notes...)
	return r
}

// onTLS: the client connects to a listener that speaks TLS. It speaks none itself.
func (r *Recipe) onTLS() *Recipe { r.OnTLS = true; return r }

// set adds options of the gateway, pairs of name and value.
func (r *Recipe) set(pairs ...string) *Recipe {
	if r.Set == nil {
		r.Set = map[string]string{}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		r.Set[pairs[i]] = pairs[i+1]
	}
	return r
}

// warm: f runs on the origin's first connection when it has answered a first
// request well; every other connection is good.
func (r *Recipe) warm(f func(*Conn)) *Recipe {
	r.Warm = true
	r.serve = func(c *Conn) {
		if c.N > 0 || !c.Good() {
			c.GoodAll()
			return
		}
		f(c)
	}
	return r
}

// soon is the limit in recipes whose fault is that a limit passes.
const soon = "200ms"

// finish takes the marks out and fills in what most rows leave to it.
func (r *Recipe) finish() {
	if !r.placed {
		r.Offset = -1
	}
	for _, s := range []*string{&r.Answer, &r.Request} {
		raw, at, found := strings.Cut(*s, mark)
		if !found {
			continue
		}
		whole := raw + at
		r.Offset = int64(len(raw))
		if head := strings.Index(whole, "\r\n\r\n"); head >= 0 && head+4 <= len(raw) {
			r.Offset -= int64(head + 4)
		}
		*s = whole
	}
	switch {
	case r.Body == none:
		r.Body = ""
	case r.Body == "" && r.Status == 200:
		r.Body = hello
	}
	if r.Why == "" {
		r.Why = r.sketch()
	}
	if r.serve == nil {
		r.plain = true
		r.serve = func(c *Conn) { c.Play(r.Answer, r.End) }
	}
}

// sketch says what the answer looks like, for recipes that need no more words.
func (r *Recipe) sketch() string {
	const most = 60
	s := r.Answer
	if len(s) > most {
		s = s[:most]
	}
	s = quote(s)
	if len(r.Answer) > most {
		s += "…"
	}
	if r.Answer == "" {
		s = "nothing"
	}
	return "answers " + s + ", then " + r.End.String()
}

// cases are the corpus by case, before marks are taken out.
var cases = sync.OnceValue(func() map[string]*Recipe {
	m := map[string]*Recipe{}
	for _, r := range corpus() {
		m[strings.TrimPrefix(r.Name, "corpus/")] = r
	}
	return m
})

// like is a recipe that answers as a case of the corpus does.
func like(name, corpusCase, why string) *Recipe {
	r := *cases()[corpusCase]
	r.Name, r.Why = name, why
	return &r
}

// sends lets the client send pieces, and then wait.
func (r *Recipe) sends(pieces ...string) *Recipe { r.Pieces = pieces; return r }

func (r *Recipe) then(c ClientEnd) *Recipe { r.Client = c; return r }

// host fills in the authority.
func host(request, address string) string { return strings.ReplaceAll(request, "%HOST%", address) }

// Requested is the raw request for that authority, without the upload.
func (r *Recipe) Requested(authority string) string {
	request := r.Request
	if request == "" {
		request = plainGET
	}
	request = strings.ReplaceAll(request, "%UPLOAD%", strconv.FormatInt(r.Upload, 10))
	return host(request, authority)
}

// Method is the method of the request, "" if it is none.
func (r *Recipe) Method() string {
	method, _, ok := strings.Cut(r.Requested(""), " ")
	if len(r.Pieces) > 0 {
		method, _, ok = strings.Cut(strings.Join(r.Pieces, ""), " ")
	}
	if !ok {
		return ""
	}
	return method
}
