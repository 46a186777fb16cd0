package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// H2Client is one HTTP/2 connection of a client with prior knowledge. It forgives
// nothing: a flaw that it finds in an answer is one.
//
// It is one goroutine's, and has one request under way at a time.
type H2Client struct {
	h2End
	conn *net.TCPConn
	next uint32
}

// H2Answer is what a client got on a stream.
type H2Answer struct {
	Status  int                 // of the final answer, 0 if none came
	Fields  []hpack.HeaderField // of the final answer
	Trailer []hpack.HeaderField // nil if there is none
	Interim []int               // statuses of the 1xx before it
	Body    []byte              // at most 1 MiB of it
	Size    int64               // of the body
	Whole   bool                // END_STREAM came behind a final answer
	// Flaw is the rule that the answer breaks, "" for none.
	Flaw string
	// Cut is what ended an answer that is not whole: ErrReset, or what ended the
	// connection; a GOAWAY is told with it.
	Cut error
}

// ErrReset is a RST_STREAM.
type ErrReset http2.ErrCode

func (e ErrReset) Error() string { return "the stream was reset with " + http2.ErrCode(e).String() }

// DialH2 connects, and sends the preface and SETTINGS. The connection has the
// deadline of ctx.
func DialH2(ctx context.Context, address string) (*H2Client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if end, ok := ctx.Deadline(); ok {
		conn.SetDeadline(end)
	}
	c := &H2Client{conn: conn.(*net.TCPConn), next: 1}
	c.init(bufio.NewReader(conn), conn)
	c.client = true
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		conn.Close()
		return nil, err
	}
	if err := c.fr.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0}); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the connection.
func (c *H2Client) Close() error { return c.conn.Close() }

// H2Exchange is a request that was sent.
type H2Exchange struct {
	c *H2Client
	s *h2Stream
	// head: it was a HEAD request, whose answer has no body.
	head bool
}

// Start sends a request: raw as HTTP/1.1 writes it, with upload more bytes of
// body behind it. Its fields become those of HTTP/2. An answer that comes before
// all is sent ends the sending.
func (c *H2Client) Start(raw string, upload int64) (*H2Exchange, error) {
	head, body, ok := strings.Cut(raw, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	words := strings.Split(lines[0], " ")
	if !ok || len(words) != 3 {
		return nil, fmt.Errorf("no request that HTTP/2 could say: %.60q", raw)
	}
	pseudo := []string{":method", words[0], ":scheme", "http", ":path", words[1]}
	var fields []string
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		name, value = strings.ToLower(name), strings.TrimSpace(value)
		switch name {
		case "host":
			pseudo = append(pseudo, ":authority", value)
		case "transfer-encoding":
			whole, err := io.ReadAll(httputil.NewChunkedReader(strings.NewReader(body)))
			if err != nil {
				return nil, err
			}
			body = string(whole)
		case "connection", "upgrade", "keep-alive":
		default:
			fields = append(fields, name, value)
		}
	}
	x := &H2Exchange{c: c, s: c.open(c.next), head: words[0] == "HEAD"}
	c.next += 2
	empty := body == "" && upload == 0
	if !c.headers(x.s.id, empty, append(pseudo, fields...)...) {
		return x, net.ErrClosed
	}
	if body != "" && !c.data(x.s, upload == 0, []byte(body)) || upload > 0 && !c.much(x.s, upload) {
		return x, nil // what became of it is read as the answer
	}
	if upload > 0 {
		c.fr.WriteData(x.s.id, true, nil)
	}
	return x, nil
}

// Send sends frames as they are, and returns the exchange of stream 1, which they
// may have begun.
func (c *H2Client) Send(frames string) (*H2Exchange, error) {
	x := &H2Exchange{c: c, s: c.open(1)}
	_, err := io.WriteString(c.conn, frames)
	return x, err
}

// Goaway reads until the connection ends, and returns the name of the error that
// GOAWAY said; "" if there was no GOAWAY.
func (c *H2Client) Goaway() string {
	c.await(func() bool { return false })
	if c.goaway == nil {
		return ""
	}
	return c.goaway.ErrCode.String()
}

// Cancel resets the stream.
func (x *H2Exchange) Cancel() { x.c.fr.WriteRSTStream(x.s.id, http2.ErrCodeCancel) }

// Answer reads the answer to its end.
func (x *H2Exchange) Answer() *H2Answer {
	a := &H2Answer{}
	s, c := x.s, x.c
	fine := c.await(func() bool { return s.ended || s.reset })
	a.Body, a.Size = s.body, s.n
	for i, h := range s.heads {
		if a.Status != 0 {
			a.Trailer = h.fields
			if flaw := trailerFlaw(h, i == len(s.heads)-1); flaw != "" {
				a.Flaw = flaw
			}
			continue
		}
		status, flaw := headFlaw(h)
		if flaw != "" {
			a.Flaw = flaw
			return a
		}
		if status < 200 {
			a.Interim = append(a.Interim, status)
			continue
		}
		a.Status, a.Fields = status, h.fields
	}
	var broken http2.StreamError
	var rule http2.ConnectionError
	switch {
	case errors.As(c.err, &broken):
		a.Flaw = fmt.Sprintf("%v: %v", broken, c.fr.ErrorDetail())
	case errors.As(c.err, &rule), errors.Is(c.err, http2.ErrFrameTooLarge):
		a.Flaw = fmt.Sprintf("%v: %v", c.err, c.fr.ErrorDetail())
	case s.ended && a.Status == 0:
		a.Flaw = "the stream ended without a final answer"
	case s.ended:
		a.Whole = true
		a.checkLength(x.head)
	case s.reset:
		a.Cut = ErrReset(s.code)
	case !fine:
		a.Cut = c.err
		if g := c.goaway; g != nil {
			a.Cut = fmt.Errorf("%w, behind a GOAWAY with %v and last stream %d", c.err, g.ErrCode, g.LastStreamID)
		}
	}
	return a
}

// headFlaw says which rule of RFC 9113 §8 the header section of an answer breaks
// that the Framer does not look at.
func headFlaw(h h2Head) (status int, flaw string) {
	for i, f := range h.fields {
		switch {
		case f.Name == ":status" && i > 0 || f.Name == ":status" && len(f.Value) != 3:
			return 0, "a misplaced or bad :status " + quote(f.Value)
		case f.Name == ":status":
			n, err := strconv.ParseUint(f.Value, 10, 16)
			if err != nil || n < 100 || n > 599 || n == 101 {
				return 0, "a bad :status " + quote(f.Value)
			}
			status = int(n)
		case strings.HasPrefix(f.Name, ":"):
			return 0, "a pseudo-header field " + f.Name
		case f.Name == "connection" || f.Name == "transfer-encoding" || f.Name == "keep-alive" ||
			f.Name == "upgrade" || f.Name == "proxy-connection":
			return 0, "a field that HTTP/2 does not have: " + f.Name
		}
	}
	switch {
	case status == 0:
		return 0, "no :status"
	case status < 200 && h.last:
		return 0, "an interim answer that ends the stream"
	case h.behind > 0:
		return 0, "DATA before the head"
	}
	return status, ""
}

func trailerFlaw(h h2Head, last bool) string {
	if !last || !h.last {
		return "trailers that do not end the stream"
	}
	for _, f := range h.fields {
		if strings.HasPrefix(f.Name, ":") {
			return "a pseudo-header field in the trailers: " + f.Name
		}
	}
	return ""
}

// checkLength compares the body with content-length (RFC 9113 §8.1.1).
func (a *H2Answer) checkLength(toHead bool) {
	for _, f := range a.Fields {
		if f.Name != "content-length" || toHead || a.Status == 304 {
			continue
		}
		if n, err := strconv.ParseInt(f.Value, 10, 64); err != nil || n != a.Size {
			a.Flaw = fmt.Sprintf("%d bytes where content-length says %s", a.Size, quote(f.Value))
		}
	}
}

// Get returns the values of a field of the final answer, joined as a list.
func (a *H2Answer) Get(name string) string {
	var values []string
	for _, f := range a.Fields {
		if f.Name == name {
			values = append(values, f.Value)
		}
	}
	return strings.Join(values, ", ")
}
