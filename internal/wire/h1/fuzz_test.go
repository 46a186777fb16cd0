package h1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/internal/message"
)

// seed adds every message of the tables.
func seed(add func(kind Kind, raw string)) {
	for _, c := range requests {
		add(Request, c.raw)
	}
	add(Request, browserGET)
	for _, c := range corpus {
		if len(c.raw) < 1000 {
			add(Response, c.raw)
		}
	}
	for _, c := range repairable {
		add(Response, c.raw)
	}
	for _, c := range refusedAnswers {
		add(Response, c.raw)
	}
	for _, c := range chunkedBodies {
		add(Request, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"+c.raw)
	}
}

func kindOf(request bool) Kind {
	if request {
		return Request
	}
	return Response
}

// However the bytes arrive, the outcome is the same; so it is under limits that
// they exceed, and whatever is allowed.
func FuzzArrival(f *testing.F) {
	seed(func(k Kind, raw string) {
		f.Add(k == Request, uint32(AllowResponse), uint8(0), uint16(7), uint16(19), []byte(raw))
		f.Add(k == Request, uint32(0), uint8(40), uint16(3), uint16(30), []byte(raw))
	})
	f.Fuzz(func(t *testing.T, request bool, allow uint32, limit uint8, i, j uint16, raw []byte) {
		var l *Limits
		if n := int(limit); n > 0 {
			l = &Limits{StartLine: n, Field: n/2 + 5, Head: 3 * n, Fields: n/16 + 1, ChunkLine: n/4 + 3, Trailer: n}
		}
		k, toHEAD := kindOf(request), i%5 == 4
		a, b := min(int(i), len(raw)), min(int(j), len(raw))
		a, b = min(a, b), max(a, b)
		whole := receive(k, toHEAD, l, Allow(allow), raw)
		pieces := receive(k, toHEAD, l, Allow(allow), raw[:a], raw[a:b], raw[b:])
		if diff := cmp.Diff(whole, pieces); diff != "" {
			t.Errorf("cut at %d and %d (-whole +pieces):\n%s", a, b, diff)
		}
		if len(raw) < 300 {
			if diff := cmp.Diff(whole, receive(k, toHEAD, l, Allow(allow), byBytes(raw)...)); diff != "" {
				t.Errorf("byte by byte (-whole +pieces):\n%s", diff)
			}
		}
	})
}

// rewrite writes a parsed message again, as a gateway would.
func rewrite(k Kind, h *message.Head, f message.Framing) []byte {
	var b []byte
	if k == Request {
		b = AppendRequestLine(b, h.Bytes(h.Method), targetOf(h), 1)
		if h.Authority.Len > 0 {
			b = AppendField(b, "Host", string(h.Bytes(h.Authority)))
		}
	} else {
		b = AppendStatusLine(b, h.Status, h.Bytes(h.Reason))
	}
	b = AppendFields(b, h)
	switch f.Body {
	case message.Sized:
		b = AppendField(b, "Content-Length", strconv.FormatInt(f.Length, 10))
	case message.Streamed:
		b = AppendField(b, "Transfer-Encoding", "chunked")
	}
	return append(b, "\r\n"...)
}

func targetOf(h *message.Head) []byte {
	if string(h.Bytes(h.Method)) == "CONNECT" {
		return h.Bytes(h.Authority)
	}
	return h.Bytes(h.Path)
}

// kept lists the fields that go on, as name and value.
func kept(h *message.Head) (l []string) {
	for i := range h.Fields {
		f := &h.Fields[i]
		switch f.ID {
		case message.Host, message.ContentLength, message.TransferEncoding:
			continue
		}
		if f.Flags&message.Drop == 0 {
			// White space at the ends is no part of a value; a control character
			// that became SP may have come to stand there.
			l = append(l, string(h.Bytes(f.Name))+": "+strings.Trim(string(h.AppendValue(nil, f)), " \t"))
		}
	}
	return l
}

// What we write, we read back without any repair: the same fields in the same
// order, the same framing. To write that again changes nothing.
func FuzzRoundTrip(f *testing.F) {
	seed(func(k Kind, raw string) { f.Add(k == Request, []byte(raw)) })
	f.Fuzz(func(t *testing.T, request bool, raw []byte) {
		k := kindOf(request)
		var p Parser
		var h message.Head
		p.Init(k, nil, AllowResponse)
		if n, err := p.Parse(bytes.Clone(raw), &h); n == 0 || !err.Ok() {
			return
		}
		framing, err := frameOf(&p, &h, k, false)
		if !err.Ok() {
			return
		}
		if request && h.Minor == 0 && h.Authority.Len == 0 {
			return // without Host it cannot become HTTP/1.1
		}
		if request && framing.Body == message.ToClose {
			t.Fatal("a request never lasts until the connection ends")
		}
		written := rewrite(k, &h, framing)
		big := Limits{StartLine: 1 << 20, Field: 1 << 20, Head: 1 << 21, Fields: 1 << 12}
		var p2 Parser
		var h2 message.Head
		p2.Init(k, &big, 0)
		n, err := p2.Parse(written, &h2)
		if n != len(written) {
			t.Fatalf("wrote %q\nread %d of %d, %v", written, n, len(written), err)
		}
		framing2, err := frameOf(&p2, &h2, k, false)
		if !err.Ok() || len(p2.Repairs()) > 0 {
			t.Fatalf("wrote %q\nread %v, repaired %v", written, err, p2.Repairs())
		}
		if framing2.Body != framing.Body || framing.Body == message.Sized && framing2.Length != framing.Length {
			t.Errorf("wrote %q\nframing %+v became %+v", written, framing, framing2)
		}
		if diff := cmp.Diff(kept(&h), kept(&h2)); diff != "" {
			t.Errorf("wrote %q\n%s", written, diff)
		}
		if h.Status != h2.Status || string(h.Bytes(h.Method)) != string(h2.Bytes(h2.Method)) ||
			string(h.Bytes(h.Authority)) != string(h2.Bytes(h2.Authority)) {
			t.Errorf("wrote %q\n%s became\n%s", written, show(&h), show(&h2))
		}
		if again := rewrite(k, &h2, framing2); !bytes.Equal(written, again) {
			t.Errorf("wrote %q\nthen  %q", written, again)
		}
	})
}

// On whatever we accept, net/http agrees about where the message
// ends and what its payload is, or refuses it. The other direction does not
// hold: we are stricter.
func FuzzAgreement(f *testing.F) {
	seed(func(k Kind, raw string) {
		f.Add(k == Request, false, []byte(raw))
		f.Add(k == Request, true, []byte(raw))
	})
	f.Fuzz(func(t *testing.T, request, repair bool, raw []byte) {
		k, a := kindOf(request), Allow(0)
		if repair {
			a = AllowRequest &^ AllowLeadingBlank // net/http knows no empty lines
			if !request {
				a = AllowResponse &^ (AllowLeadingBlank | AllowStatusSpacing | AllowLastChunk | AllowCodingOn10)
			}
		}
		o := receive(k, false, nil, a, raw)
		if o.HeadLen == 0 || !o.Frame0.Ok() || !o.Body0.Ok() {
			return
		}
		r := bytes.NewReader(raw)
		br := bufio.NewReader(r)
		var theirs io.ReadCloser
		if request {
			q, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			theirs = q.Body
		} else {
			q, err := http.ReadResponse(br, nil)
			if err != nil {
				return
			}
			theirs = q.Body
		}
		payload, err := io.ReadAll(theirs)
		rest, _ := io.ReadAll(br)
		if err != nil && err != io.ErrUnexpectedEOF {
			return // it refuses chunk sizes of 17 digits and SP before ";"
		}
		switch {
		case (o.Done || o.Complete) != (err == nil):
			t.Errorf("%s, but net/http reads %q, %v", o, payload, err)
		case !o.Done && !o.Complete:
		case string(payload) != o.Body:
			t.Errorf("%s, but net/http reads %q", o, payload)
		case o.Done && string(rest) != o.Rest:
			t.Errorf("%s, but net/http leaves %q", o, rest)
		}
	})
}

// Chunks are what a plain reading of the grammar says: where we find no flaw,
// concatenating the pieces at their sizes gives the payload, offsets add up, and
// what we would write reads back.
func FuzzChunks(f *testing.F) {
	for _, c := range chunkedBodies {
		f.Add([]byte(c.raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		o := chunks(nil, AllowResponse, raw)
		if int(o.Offset)+len(o.Rest) > len(raw) || o.Done && int(o.Offset)+len(o.Rest) != len(raw) {
			t.Fatalf("%s: offset %d, rest %d, of %d", o, o.Offset, len(o.Rest), len(raw))
		}
		if !o.Body0.Ok() && (o.Body0.At < 0 || int(o.Body0.At) > len(raw)) {
			t.Fatalf("%s: flaw outside of %d bytes", o, len(raw))
		}
		if !o.Done {
			return
		}
		want, n := plainChunks(raw)
		if string(want) != o.Body || n != int(o.Offset) {
			t.Errorf("%s, but a plain reading gives %q and ends at %d, not %d", o, want, n, o.Offset)
		}
		var again []byte
		for piece := range slices.Chunk([]byte(o.Body), 3) {
			again = append(append(AppendChunk(again, len(piece)), piece...), "\r\n"...)
		}
		again = append(AppendChunk(again, 0), "\r\n"...)
		if o2 := chunks(nil, 0, again); !o2.Done || o2.Body != o.Body || o2.Rest != "" {
			t.Errorf("wrote %q, read %s", again, o2)
		}
	})
}

// plainChunks reads a valid chunked body in the shortest way.
func plainChunks(raw []byte) (payload []byte, n int) {
	for {
		end := n + bytes.Index(raw[n:], []byte("\r\n"))
		size, _, _ := strings.Cut(string(raw[n:end]), ";")
		k, _ := strconv.ParseInt(strings.TrimRight(size, " \t"), 16, 64)
		if n = end + 2; k == 0 {
			break
		}
		payload = append(payload, raw[n:n+int(k)]...)
		n += int(k) + 2
	}
	for {
		end := bytes.Index(raw[n:], []byte("\r\n"))
		if n += end + 2; end == 0 {
			return payload, n
		}
	}
}
