package h1

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/google/go-cmp/cmp"
)

// chunks decodes a chunked body that arrives in pieces.
func chunks(l *Limits, a Allow, pieces ...[]byte) outcome {
	head := []byte(ok200 + "Transfer-Encoding: chunked\r\n\r\n")
	return receive(Response, false, l, a, append([][]byte{head}, pieces...)...)
}

var chunkedBodies = []struct{ raw, want string }{
	{"5\r\nhello\r\n0\r\n\r\n", `done, "hello"`},
	{"00005\r\nhello\r\n000\r\n\r\nX", `done, "hello", rest "X"`},
	{"a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", `done, "01234567890123456789a"`},
	{"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", `done, "abc"`},
	{"", `cut at 0`},
	{"5", `cut at 1`},
	{"0", `cut at 1`},
	{"0\r", `cut at 2`},
	{"0\r\n", `complete, mended LastChunkCut 3`},
	{"0\r\n\r", `complete, mended LastChunkCut 3`},
	{"0\r\nA: b\r\n", `complete, mended LastChunkCut 3`},
	{"5\r\nhel", `cut at 6, "hel"`},
	{"5\r\nhello", `cut at 8, "hello"`},
	{"5\r\nhello\r", `cut at 9, "hello"`},
	{"7fffffffffffffff\r\nx", `cut at 19, "x"`},
	{"8000000000000000\r\nx", `ChunkSizeOverflow 15`},
	{"00007fffffffffffffff\r\nx", `cut at 23, "x"`},

	{"\r\n", `ChunkSizeInvalid 0`},
	{"\n", `ChunkSizeInvalid 0`},
	{" 5\r\nhello", `ChunkSizeInvalid 0`},
	{"+5\r\nhello", `ChunkSizeInvalid 0`},
	{"5g\r\n", `ChunkSizeInvalid 1`},
	{"5 \r\nhello", `ChunkSizeInvalid 1`},
	{"5 \t x\r\nhello", `ChunkSizeInvalid 1`},
	{"5_\r\n", `ChunkSizeInvalid 1`},
	{"5\nhello", `ChunkLineBareLF 1`},
	{"5\rhello", `ChunkLineCR 1`},
	{"5\r\rhello", `ChunkLineCR 1`},
	{"5\r\nhello\n0\r\n\r\n", `ChunkLineBareLF 8, "hello"`},
	{"5\r\nhello\rX", `ChunkLineCR 8, "hello"`},
	{"5\r\nhello0\r\n\r\n", `ChunkDataOverrun 8, "hello"`},
	{"5\r\nhel\r\n0\r\n\r\n", `ChunkDataOverrun 8, "hel\r\n"`},
	{"5\r\nhello\r\n\r\n", `ChunkSizeInvalid 10, "hello"`},

	{"5;a\r\nhello\r\n0;b=c\r\n\r\n", `done, "hello"`},
	{"5 ; a = b ;c; d=\"e;\\\"\xff\t\" ; f \r\nhello\r\n0\r\n\r\n", `done, "hello"`},
	{"5;a=b \r\nhello\r\n0\r\n\r\n", `done, "hello"`},
	{"5;\r\n", `ChunkExtInvalid 2`},
	{"5;;a\r\n", `ChunkExtInvalid 2`},
	{"5;=a\r\n", `ChunkExtInvalid 2`},
	{"5;a=\r\n", `ChunkExtInvalid 4`},
	{"5;a=;\r\n", `ChunkExtInvalid 4`},
	{"5;a b\r\n", `ChunkExtInvalid 4`},
	{"5;a=b c\r\n", `ChunkExtInvalid 6`},
	{"5;a=b=c\r\n", `ChunkExtInvalid 5`},
	{"5;a=\"b\"c\r\n", `ChunkExtInvalid 7`},
	{"5;a\x00\r\n", `ChunkExtInvalid 3`},
	{"5;a=\"\x01\"\r\n", `ChunkExtInvalid 5`},
	{"5;a=\"\\\x01\"\r\n", `ChunkExtInvalid 6`},
	{"5;a=\"b\r\n\"\r\n", `ChunkExtInvalid 6`},
	{"5;a=\"b\rc\"\r\n", `ChunkLineCR 6`},
	{"5;a\rb\r\n", `ChunkLineCR 3`},
	{"5;a\nhello", `ChunkLineBareLF 3`},
	{"5;a=\"\n\"\r\n", `ChunkLineBareLF 5`},

	{"0\r\nA: b\r\nC: d\r\n\r\nX", `done, trailer, rest "X"`},
	{"0\r\nContent-Digest: x\r\nServer-Timing: y\r\n\r\n", `done, trailer`},
	{"0\r\nX_Forwarded_For: x\r\nX_Other: y\r\n\r\n", `done, trailer, mended TrailerForbidden 3`},
	{"0\r\nCache-Control: x\r\nIf-Match: y\r\nTransfer-Encoding: chunked\r\n\r\n", `done, mended TrailerForbidden 3`},
	{"0\r\nA b\r\n\r\n", `TrailerMalformed 3`},
	{"0\r\nA: b\n\r\n", `TrailerMalformed 7`},
	{"0\r\n\n", `TrailerMalformed 3`},
	{"0\r\nA: \x00\r\n\r\n", `TrailerMalformed 6`},
	{"0\r\n A: b\r\n\r\n", `TrailerMalformed 3`},
	{"0\r\nA: b\r\n c\r\n\r\n", `TrailerMalformed 9`},
	{"0\r\nA : b\r\n\r\n", `TrailerMalformed 4`},
}

func TestChunked(t *testing.T) {
	for _, c := range chunkedBodies {
		raw := []byte(c.raw)
		whole := chunks(nil, AllowResponse, raw)
		if got, want := whole.String(), "chunked, "+c.want; got != want {
			t.Errorf("%q:\n got %s\nwant %s", c.raw, got, want)
		}
		same(t, c.raw, whole, chunks(nil, AllowResponse, byBytes(raw)...))
		for i := range raw {
			same(t, c.raw, whole, chunks(nil, AllowResponse, cutAt(raw, i)...))
		}
	}
}

func TestChunkLimits(t *testing.T) {
	l := &Limits{ChunkLine: 10, Trailer: 12, Fields: 2}
	for _, c := range []struct{ raw, want string }{
		{"00000005\r\nhello\r\n0\r\n\r\n", `done, "hello"`},
		{"000000005\r\nhello\r\n0\r\n\r\n", `ChunkLineTooLong 10`},
		{"5\r\nhello\r\n5;aaaaaaaaaaa", `ChunkLineTooLong 20, "hello"`},
		{"0\r\nA: 4567\r\n\r\n", `done, trailer`}, // 11 bytes
		{"0\r\nA: 456789\r\n\r\n", `TrailerTooLarge 15`},
		{"0\r\nA:\r\nB:\r\n\r\n", `done, trailer`},
		{"0\r\nA:\r\nB:\r\nC:\r\n\r\n", `TrailerTooLarge 11`},
	} {
		for _, pieces := range [][][]byte{{[]byte(c.raw)}, byBytes([]byte(c.raw))} {
			if got := chunks(l, AllowResponse, pieces...).String(); got != "chunked, "+c.want {
				t.Errorf("%q:\n got %s\nwant %s", c.raw, got, c.want)
			}
		}
	}
}

// A limit below what is read in one go holds as well.
func TestTinyChunkLine(t *testing.T) {
	for _, raw := range []string{"5\r\nhello\r\n005\r\n", "5\r\nhello\r\n0005\r\n"} {
		for _, pieces := range [][][]byte{{[]byte(raw)}, byBytes([]byte(raw))} {
			if o := chunks(&Limits{ChunkLine: 4}, 0, pieces...); o.Body0 != (Error{ChunkLineTooLong, 14}) || o.Body != "hello" {
				t.Errorf("%q: %s", raw, o)
			}
		}
	}
}

// Extensions may not outweigh the payload for long.
func TestExtensionsAreBounded(t *testing.T) {
	line := "1;a=" + strings.Repeat("x", 1018) + "\r\n" // 1 KiB
	raw := strings.Repeat(line+"y\r\n", 70)
	o := chunks(nil, AllowResponse, []byte(raw))
	if o.Body0.Flaw != ChunkLineTooLong || len(o.Body) != extOverhead/1024 {
		t.Errorf("%v behind %d chunks", o.Body0, len(o.Body))
	}
	signed := "1000;chunk-signature=" + strings.Repeat("f", 64) + "\r\n" + strings.Repeat("x", 4096) + "\r\n"
	o = chunks(nil, AllowResponse, []byte(strings.Repeat(signed, 2000)+"0\r\n\r\n"))
	if !o.Done || len(o.Body) != 2000*4096 {
		t.Errorf("signed chunks: %v at %d", o.Body0, o.Offset)
	}
}

// Pieces are slices of the input, one at a time, and the input is not touched.
func TestPayloadIsNotCopied(t *testing.T) {
	raw := []byte("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nrest")
	before := bytes.Clone(raw)
	var d Decoder
	d.Init(message.Framing{Body: message.Streamed}, nil, 0)
	in := raw
	var at []int
	for !d.Done() {
		data, n, err := d.Next(in)
		if !err.Ok() || n == 0 {
			t.Fatal(n, err)
		}
		if len(data) > 0 {
			at = append(at, bytes.Index(raw, data))
			data[0] ^= 0x20 // must be seen in raw
		}
		in = in[n:]
	}
	if diff := cmp.Diff([]int{3, 11}, at); diff != "" {
		t.Error(diff)
	}
	if raw[3] != 'A' || raw[11] != 'D' {
		t.Error("data was a copy")
	}
	raw[3], raw[11] = 'a', 'd'
	if !bytes.Equal(raw, before) || string(in) != "rest" {
		t.Errorf("input changed: %q, rest %q", raw, in)
	}
	if d.Received() != 5 || d.Offset() != int64(len(raw)-4) {
		t.Errorf("received %d, offset %d", d.Received(), d.Offset())
	}
}

func TestOtherBodies(t *testing.T) {
	var d Decoder
	d.Init(message.Framing{Body: message.Sized, Length: 3}, nil, 0)
	data, n, err := d.Next([]byte("ab"))
	if string(data) != "ab" || n != 2 || !err.Ok() || d.Done() || d.Left() != 1 {
		t.Errorf("%q %d %v", data, n, err)
	}
	if complete, err := d.Finish(); complete || !err.Ok() {
		t.Error("2 of 3 bytes are complete", err)
	}
	data, n, _ = d.Next([]byte("cd"))
	if string(data) != "c" || n != 1 || !d.Done() || d.Trailer() != nil {
		t.Errorf("%q %d", data, n)
	}
	if data, n, err = d.Next([]byte("d")); len(data) != 0 || n != 0 || !err.Ok() {
		t.Error("took what is not its own")
	}

	d.Init(message.Framing{Body: message.Sized}, nil, 0)
	if complete, _ := d.Finish(); !d.Done() || !complete {
		t.Error("an empty body is not done")
	}
	d.Init(message.Framing{}, nil, 0)
	if !d.Done() {
		t.Error("no body is not done")
	}

	d.Init(message.Framing{Body: message.ToClose}, nil, 0)
	for range 3 {
		if data, n, _ = d.Next([]byte("abc")); string(data) != "abc" || n != 3 || d.Done() || d.Left() != 0 {
			t.Errorf("%q %d", data, n)
		}
	}
	if complete, err := d.Finish(); !complete || !err.Ok() || d.Received() != 9 {
		t.Error("the end of the stream is not the end of the body", err)
	}
}

// An error comes behind the payload before it, and stays.
func TestDecoderErrorStays(t *testing.T) {
	var d Decoder
	d.Init(message.Framing{Body: message.Streamed}, nil, AllowResponse)
	data, n, err := d.Next([]byte("2\r\nabX"))
	if string(data) != "ab" || n != 5 || !err.Ok() {
		t.Fatalf("%q %d %v", data, n, err)
	}
	for range 2 {
		if data, n, err = d.Next([]byte("X\r\n")); data != nil || n != 0 || err != (Error{ChunkDataOverrun, 5}) {
			t.Errorf("%q %d %v", data, n, err)
		}
	}
	if complete, err := d.Finish(); complete || err.Flaw != ChunkDataOverrun || d.Done() {
		t.Error(complete, err)
	}
}
