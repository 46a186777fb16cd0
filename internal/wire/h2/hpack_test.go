package h2

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2/hpack"

	"github.com/gatewhy/gatewhy/internal/message"
)

func TestHuffman(t *testing.T) {
	for c := range 256 {
		s := strings.Repeat(string([]byte{byte(c)}), 9) + "a"
		want := hpack.AppendHuffmanString(nil, s)
		if got := appendEncoded(nil, []byte(s), &exact); !bytes.Equal(got, want) || encodedLen([]byte(s), &exact) != len(want) {
			t.Errorf("%q: %x, want %x", s, got, want)
		}
		if got, bad := appendDecoded([]byte("x"), want); string(got) != "x"+s || bad >= 0 {
			t.Errorf("%q: %q, %d", s, got, bad)
		}
	}
	for _, c := range []struct {
		name, code string
		bad        int
	}{
		{"nothing", "", -1},
		{"padding only", "\xff", 0},
		{"padding of zeros", "\x18", 0}, // "a" and three zeros
		{"padding of eight bits", "\x1f\xff", 0},
		{"the end-of-string symbol", "\xff\xff\xff\xff", 0},
		{"a code cut", "\x1f\xfe", 0},
	} {
		if _, bad := appendDecoded(nil, []byte(c.code)); bad != c.bad {
			t.Errorf("%s: %d, want %d", c.name, bad, c.bad)
		}
	}
}

func FuzzHuffman(f *testing.F) {
	f.Add([]byte("www.example.com"))
	f.Add([]byte{0xff, 0x1f, 0x00, '\n', '\r'})
	f.Fuzz(func(t *testing.T, s []byte) {
		want, err := hpack.HuffmanDecodeToString(s)
		got, bad := appendDecoded(nil, s)
		if (err != nil) != (bad >= 0) || err == nil && string(got) != want {
			t.Fatalf("%x: %q %d, want %q %v", s, got, bad, want, err)
		}
		code := appendEncoded(nil, s, &exact)
		if want := hpack.AppendHuffmanString(nil, string(s)); !bytes.Equal(code, want) {
			t.Fatalf("%q: %x, want %x", s, code, want)
		}
	})
}

// block encodes fields "name: value", one a line, with indexing.
func block(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, f := range fields {
		name, value, ok := strings.Cut(strings.TrimPrefix(f, ":"), ": ")
		if !ok {
			panic(f)
		}
		if strings.HasPrefix(f, ":") {
			name = ":" + name
		}
		e.WriteField(hpack.HeaderField{Name: name, Value: value})
	}
	return b.Bytes()
}

func newDecoder(l *Limits) *Decoder {
	d := &Decoder{}
	d.Init(DefaultTable, l, &DefaultRequest)
	return d
}

// fieldsOf spells the fields that would be forwarded.
func fieldsOf(h *message.Head) (s []string) {
	for _, f := range h.Fields {
		if f.Flags&message.Drop == 0 {
			s = append(s, string(h.Bytes(f.Name))+": "+string(h.AppendValue(nil, &f)))
		}
	}
	return s
}

var get = []string{":method: GET", ":scheme: https", ":path: /a?b", ":authority: example.org"}

func with(base []string, more ...string) []string {
	return append(append([]string{}, base...), more...)
}

var requestsRead = []struct {
	name   string
	fields []string
	end    bool
	want   Error
	on     []string // what goes on
	f      message.Framing
}{
	{"plain", with(get, "accept: */*", "x-a: b"), true, Error{}, []string{"accept: */*", "x-a: b"}, message.Framing{}},
	{"no length", with(get), false, Error{}, nil, message.Framing{Body: message.Streamed}},
	{"length", with(get, "content-length: 12"), false, Error{}, nil, message.Framing{Body: message.Sized, Length: 12}},
	{"length 0 and the end", with(get, "content-length: 0"), true, Error{}, nil, message.Framing{}},
	{"length and the end", with(get, "content-length: 1"), true, Error{LengthMismatch, 0, true}, nil, message.Framing{}},
	{"two lengths", with(get, "content-length: 1", "content-length: 1"), false, Error{LengthConflict, 0, true}, nil, message.Framing{}},
	{"no number", with(get, "content-length: +1"), false, Error{LengthInvalid, 0, true}, nil, message.Framing{}},
	{"empty length", with(get, "content-length: "), false, Error{LengthInvalid, 0, true}, nil, message.Framing{}},
	{"no counter holds it", with(get, "content-length: 9223372036854775808"), false, Error{LengthInvalid, 0, true}, nil, message.Framing{}},
	{"cookies", with(get, "cookie: a=b", "x-a: b", "cookie: c=d", "cookie: e=f"), true, Error{},
		[]string{"cookie: a=b; c=d; e=f", "x-a: b"}, message.Framing{}},
	{"one cookie", with(get, "cookie: a=b"), true, Error{}, []string{"cookie: a=b"}, message.Framing{}},
	{"te", with(get, "te: trailers"), true, Error{}, nil, message.Framing{Trailers: true}},
	{"te gzip", with(get, "te: gzip"), true, Error{TEInvalid, 0, true}, nil, message.Framing{}},
	{"expect", with(get, "expect: 100-Continue"), false, Error{}, nil, message.Framing{Body: message.Streamed, Expect: true}},
	{"expect more", with(get, "expect: much"), false, Error{ExpectUnknown, 0, true}, nil, message.Framing{}},
	{"what a proxy says", with(get, "x-forwarded-for: 1.2.3.4", "forwarded: for=a", "x_real_ip: a", "proxy: a"), true, Error{}, nil, message.Framing{}},
	{"same host", with(get, "host: Example.org"), true, Error{}, nil, message.Framing{}},
	{"other host", with(get, "host: example.com"), true, Error{HostDiffers, 0, true}, nil, message.Framing{}},
	{"two hosts", with(get, "host: example.org", "host: example.org"), true, Error{HostDuplicate, 0, true}, nil, message.Framing{}},
	{"host only", []string{":method: GET", ":scheme: http", ":path: /", "host: a"}, true, Error{}, nil, message.Framing{}},
	{"bad host only", []string{":method: GET", ":scheme: http", ":path: /", "host: a b"}, true, Error{AuthorityInvalid, 0, true}, nil, message.Framing{}},
	{"no host", []string{":method: GET", ":scheme: http", ":path: /"}, true, Error{HostMissing, 0, true}, nil, message.Framing{}},
	{"user information", []string{":method: GET", ":scheme: http", ":path: /", ":authority: u@a"}, true, Error{AuthorityInvalid, 0, true}, nil, message.Framing{}},
	{"empty authority", []string{":method: GET", ":scheme: http", ":path: /", ":authority: "}, true, Error{AuthorityInvalid, 0, true}, nil, message.Framing{}},
	{"no method", get[1:], true, Error{PseudoMissing, 0, true}, nil, message.Framing{}},
	{"no path", with(get[:2], get[3]), true, Error{PseudoMissing, 0, true}, nil, message.Framing{}},
	{"no scheme", with(get[:1], get[2:]...), true, Error{PseudoMissing, 0, true}, nil, message.Framing{}},
	{"empty path", with(get[:2], ":path: ", get[3]), true, Error{PathInvalid, 0, true}, nil, message.Framing{}},
	{"relative path", with(get[:2], ":path: a", get[3]), true, Error{PathInvalid, 0, true}, nil, message.Framing{}},
	{"blank in the path", with(get[:2], ":path: /a b", get[3]), true, Error{PathInvalid, 2, true}, nil, message.Framing{}},
	{"asterisk", []string{":method: OPTIONS", ":scheme: http", ":path: *", ":authority: a"}, true, Error{}, nil, message.Framing{}},
	{"asterisk for GET", with(get[:2], ":path: *", get[3]), true, Error{PathInvalid, 0, true}, nil, message.Framing{}},
	{"two paths", with(get, ":path: /"), true, Error{PseudoDuplicate, 0, true}, nil, message.Framing{}},
	{"strange method", with(get[1:], ":method: G T"), true, Error{MethodInvalid, 1, true}, nil, message.Framing{}},
	{"empty method", with(get[1:], ":method: "), true, Error{MethodInvalid, 0, true}, nil, message.Framing{}},
	{"strange scheme", with(get[:1], ":scheme: ftp", get[2], get[3]), true, Error{SchemeInvalid, 0, true}, nil, message.Framing{}},
	{"late pseudo-field", with(get[:3], "x-a: b", get[3]), true, Error{PseudoLate, 0, true}, nil, message.Framing{}},
	{"unknown pseudo-field", with(get, ":protocol: websocket"), true, Error{PseudoUnknown, 0, true}, nil, message.Framing{}},
	{"an answer's", with(get, ":status: 200"), true, Error{PseudoUnknown, 0, true}, nil, message.Framing{}},
	{"connect", []string{":method: CONNECT", ":authority: a:443"}, false, Error{}, nil, message.Framing{Body: message.Streamed}},
	{"connect with a path", with(get[1:], ":method: CONNECT"), false, Error{PseudoUnknown, 0, true}, nil, message.Framing{}},
	{"connect nowhere", []string{":method: CONNECT"}, false, Error{PseudoMissing, 0, true}, nil, message.Framing{}},
	{"upper case", with(get, "X-a: b"), true, Error{NameUpper, 0, true}, nil, message.Framing{}},
	{"name", with(get, "x a: b"), true, Error{NameChar, 1, true}, nil, message.Framing{}},
	{"LF", with(get, "x-a: b\nc"), true, Error{LineBreak, 1, true}, nil, message.Framing{}},
	{"NUL", with(get, "x-a: b\x00"), true, Error{NUL, 1, true}, nil, message.Framing{}},
	{"BEL", with(get, "x-a: b\a"), true, Error{Control, 1, true}, nil, message.Framing{}},
	{"blank before", with(get, "x-a:  b"), true, Error{ValueSpace, 0, true}, nil, message.Framing{}},
	{"blank behind", with(get, "x-a: b\t"), true, Error{ValueSpace, 1, true}, nil, message.Framing{}},
	{"connection", with(get, "connection: close"), true, Error{ConnectionField, 0, true}, nil, message.Framing{}},
	{"transfer-encoding", with(get, "transfer-encoding: chunked"), true, Error{ConnectionField, 0, true}, nil, message.Framing{}},
}

func TestRequest(t *testing.T) {
	for _, c := range requestsRead {
		t.Run(c.name, func(t *testing.T) {
			var q message.Request
			d := newDecoder(&Limits{})
			b := block(c.fields...)
			// The second time all fields come out of the table.
			for range 2 {
				err := d.Request(b, &q, c.end)
				if err.Flaw != c.want.Flaw || err.Stream != c.want.Stream {
					t.Fatalf("%+v, want %+v", err, c.want)
				}
				if !err.Ok() {
					if err.Code() != ProtocolError || err.At < 0 || err.At > int64(len(q.Head.Raw)) {
						t.Fatalf("%+v, code %v", err, err.Code())
					}
					continue
				}
				if diff := cmp.Diff(c.on, fieldsOf(&q.Head)); diff != "" {
					t.Fatalf("-want +got\n%s", diff)
				}
				if diff := cmp.Diff(c.f, q.Framing); diff != "" {
					t.Fatalf("-want +got\n%s", diff)
				}
			}
		})
	}
	var q message.Request
	d := newDecoder(&Limits{})
	if err := d.Request(append(block(get...), "\x00\x00\x01b"...), &q, true); err.Flaw != NameEmpty {
		t.Errorf("no name: %+v", err)
	}
	d = newDecoder(&Limits{})
	if err := d.Request(block(with(get, "priority: u=1, i")...), &q, true); !err.Ok() {
		t.Fatal(err)
	}
	h := &q.Head
	got := fmt.Sprintf("%s %s %s %s %d.%d safe=%t", h.Bytes(h.Method), h.Bytes(h.Authority), h.Bytes(h.Path), h.Bytes(h.Target), h.Major, h.Minor, q.Safe)
	if got != "GET example.org /a?b /a?b 2.0 safe=true" {
		t.Error(got)
	}
	if u, ok := d.Urgency(h); !ok || u != (Urgency{1, true}) {
		t.Error(u, ok)
	}
	const raw = ":method: GET\r\n:scheme: https\r\n:path: /a?b\r\n:authority: example.org\r\npriority: u=1, i\r\n"
	if string(h.Raw) != raw {
		t.Errorf("%q", h.Raw)
	}
}

// The offset of a flaw points at the byte in Raw.
func TestFlawOffset(t *testing.T) {
	var q message.Request
	for _, c := range []struct{ field, want string }{
		{"x-a: b\x00c", "\x00"}, {"X-a: b", "X"}, {"connection: a", "c"}, {"te: gzip", "g"}, {"content-length: 1x", "x"},
		{"host: b", "b"}, {":foo: b", ":"},
	} {
		err := newDecoder(&Limits{}).Request(block(with(get, c.field)...), &q, true)
		if err.Ok() || string(q.Head.Raw[err.At]) != c.want {
			t.Errorf("%q: %+v in %q", c.field, err, q.Head.Raw)
		}
	}
}

var answers = []struct {
	name      string
	fields    []string
	head, end bool
	want      Flaw
	noted     Flaw
	on        []string
	f         message.Framing
}{
	{"plain", []string{":status: 200", "content-length: 5", "date: x", "content-type: text/event-stream"}, false, false, NoFlaw, NoFlaw,
		[]string{"date: x", "content-type: text/event-stream"}, message.Framing{Body: message.Sized, Length: 5, Dated: true, Events: true}},
	{"streamed", []string{":status: 200"}, false, false, NoFlaw, NoFlaw, nil, message.Framing{Body: message.Streamed}},
	{"empty", []string{":status: 200"}, false, true, NoFlaw, NoFlaw, nil, message.Framing{Body: message.Sized}},
	{"204", []string{":status: 204", "content-length: 0"}, false, true, NoFlaw, LengthForbidden, nil, message.Framing{}},
	{"HEAD", []string{":status: 200", "content-length: 5"}, true, true, NoFlaw, NoFlaw, nil, message.Framing{Length: 5}},
	{"304", []string{":status: 304"}, false, true, NoFlaw, NoFlaw, nil, message.Framing{Length: -1}},
	{"103", []string{":status: 103", "link: a"}, false, false, NoFlaw, NoFlaw, []string{"link: a"}, message.Framing{}},
	{"length and the end", []string{":status: 200", "content-length: 5"}, false, true, LengthMismatch, NoFlaw, nil, message.Framing{}},
	{"equal lengths", []string{":status: 200", "content-length: 5", "content-length: 5"}, false, false, NoFlaw, Duplicate, nil, message.Framing{Body: message.Sized, Length: 5}},
	{"lengths that differ", []string{":status: 200", "content-length: 5", "content-length: 6"}, false, false, LengthConflict, NoFlaw, nil, message.Framing{}},
	{"no status", []string{"date: x"}, false, false, PseudoMissing, NoFlaw, nil, message.Framing{}},
	{"101", []string{":status: 101"}, false, false, StatusInvalid, NoFlaw, nil, message.Framing{}},
	{"99", []string{":status: 099"}, false, false, StatusInvalid, NoFlaw, nil, message.Framing{}},
	{"text", []string{":status: OK!"}, false, false, StatusInvalid, NoFlaw, nil, message.Framing{}},
	{"two statuses", []string{":status: 200", ":status: 200"}, false, false, PseudoDuplicate, NoFlaw, nil, message.Framing{}},
	{"a request's", []string{":status: 200", ":path: /"}, false, false, PseudoUnknown, NoFlaw, nil, message.Framing{}},
	{"connection", []string{":status: 200", "connection: close", "keep-alive: 5"}, false, false, NoFlaw, ConnectionField, nil, message.Framing{Body: message.Streamed}},
	{"control", []string{":status: 200", "x-a: b\ac"}, false, false, NoFlaw, Control, []string{"x-a: b c"}, message.Framing{Body: message.Streamed}},
	{"CR", []string{":status: 200", "x-a: b\rc"}, false, false, LineBreak, NoFlaw, nil, message.Framing{}},
	{"two locations", []string{":status: 302", "location: a", "location: b"}, false, false, Duplicate, NoFlaw, nil, message.Framing{}},
	{"two types", []string{":status: 200", "content-type: a", "content-type: b"}, false, false, NoFlaw, Duplicate, []string{"content-type: a"}, message.Framing{Body: message.Streamed}},
}

func TestAnswer(t *testing.T) {
	for _, c := range answers {
		t.Run(c.name, func(t *testing.T) {
			var h message.Head
			d := &Decoder{}
			d.Init(DefaultTable, &Limits{}, &DefaultAnswer)
			f, _, err := d.Answer(block(c.fields...), &h, nil, c.head, c.end)
			if err.Flaw != c.want || err.Ok() == err.Stream || err.Ok() && d.Noted().Flaw != c.noted {
				t.Fatalf("%+v, noted %+v", err, d.Noted())
			}
			if !err.Ok() {
				return
			}
			if diff := cmp.Diff(c.on, fieldsOf(&h)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if diff := cmp.Diff(c.f, f); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestTrailer(t *testing.T) {
	var h message.Head
	d := newDecoder(&Limits{})
	if _, err := d.Trailer(block("grpc-status: 0", "content-length: 5", "x-a: b"), &h, nil); !err.Ok() {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"grpc-status: 0", "x-a: b"}, fieldsOf(&h)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for f, want := range map[string]Flaw{":status: 200": PseudoUnknown, "connection: a": ConnectionField, "X-A: b": NameUpper} {
		if _, err := newDecoder(&Limits{}).Trailer(block(f), &h, nil); err.Flaw != want || !err.Stream {
			t.Errorf("%s: %+v", f, err)
		}
	}
}

var broken = []struct {
	name, block string
	want        Error
}{
	{"index 0", "\x80", Error{IndexInvalid, 0, false}},
	{"index beyond the table", "\x82\xbe", Error{IndexInvalid, 1, false}},
	{"literal's index beyond the table", "\x7e\x01a", Error{IndexInvalid, 0, false}},
	{"integer cut", "\xff", Error{BlockCut, 0, false}},
	{"integer too large", "\xff\xff\xff\xff\xff\x7f", Error{IntegerTooLong, 0, false}},
	{"integer too long", "\xff\x80\x80\x80\x80\x80\x00", Error{IntegerTooLong, 0, false}},
	{"name cut", "\x00\x05ab", Error{BlockCut, 1, false}},
	{"value missing", "\x00\x01a", Error{BlockCut, 3, false}},
	{"name missing", "\x40", Error{BlockCut, 1, false}},
	{"Huffman padding of zeros", "\x00\x01a\x81\x18", Error{HuffmanInvalid, 4, false}},
	{"table too large", "\x3f\xe2\x1f", Error{TableTooLarge, 0, false}},
	{"table changed late", "\x82\x20", Error{TableLate, 1, false}},
}

func TestBroken(t *testing.T) {
	var q message.Request
	for _, c := range broken {
		err := newDecoder(&Limits{}).Request([]byte(c.block), &q, true)
		if err != c.want || err.Code() != CompressionError {
			t.Errorf("%s: %+v %v, want %+v", c.name, err, err.Code(), c.want)
		}
	}
	d := newDecoder(&Limits{})
	d.Init(100, &Limits{}, &DefaultRequest)
	if err := d.Request(append([]byte("\x3f\x80\x10"), block(get...)...), &q, true); err.Flaw == TableTooLarge {
		t.Error("a table of 2079 bytes is too large before our SETTINGS are acknowledged")
	}
	d.Acknowledged()
	if err := d.Request([]byte("\x3f\x80\x10"), &q, true); err.Flaw != TableTooLarge {
		t.Errorf("a table of 2079 bytes where 100 were announced: %+v", err)
	}
}

// A head over its limits costs no more memory than the limit, and leaves the table
// as the peer believes it to be.
func TestLimits(t *testing.T) {
	long := strings.Repeat("v", 1000)
	bomb := append(block(with(get, "x-long: "+long)...), bytes.Repeat([]byte{0xbe}, 10000)...)
	for _, c := range []struct {
		name  string
		l     Limits
		block []byte
		want  Flaw
	}{
		{"bomb", Limits{Head: 4000}, bomb, SectionTooLarge},
		{"many", Limits{Fields: 3, Head: 1 << 20}, bomb, TooManyFields},
		{"field", Limits{Field: 500}, bomb, FieldTooLong},
		{"path", Limits{Path: 10}, block(":method: GET", ":scheme: http", ":path: /"+long, ":authority: a"), PathTooLong},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q message.Request
			d := newDecoder(&c.l)
			err := d.Request(c.block, &q, true)
			if err.Flaw != c.want || !err.Stream {
				t.Fatalf("%+v", err)
			}
			if len(q.Head.Raw) > 5000 || cap(q.Store) > 8000 {
				t.Errorf("%d bytes kept, of %d", len(q.Head.Raw), cap(q.Store))
			}
			if err := newDecoderAfter(d).Request(append(block(get...), 0xbf), &q, true); err.Flaw == IndexInvalid {
				t.Error("the table has lost an entry")
			}
		})
	}
}

// newDecoderAfter is d without its limits.
func newDecoderAfter(d *Decoder) *Decoder {
	e := *d
	e.limits = DefaultRequest
	return &e
}

func TestSkipKeepsTheTable(t *testing.T) {
	var q message.Request
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	write := func(fields ...string) []byte {
		b.Reset()
		for _, f := range fields {
			name, value, _ := strings.Cut(f[1:], ": ")
			e.WriteField(hpack.HeaderField{Name: f[:1] + name, Value: value})
		}
		return b.Bytes()
	}
	d := newDecoder(&Limits{})
	if err := d.Skip(write(with(get, "x-a: one")...)); !err.Ok() {
		t.Fatal(err)
	}
	if err := d.Request(write(with(get, "x-a: one", "x-b: two")...), &q, true); !err.Ok() {
		t.Fatal(err)
	}
	kept := bytes.Clone(q.Head.Raw)
	if err := d.Skip(write(with(get, "x-c: three")...)); !err.Ok() {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, q.Head.Raw) {
		t.Error("a skipped block wrote over a request")
	}
	if diff := cmp.Diff([]string{"x-a: one", "x-b: two"}, fieldsOf(&q.Head)); diff != "" {
		t.Error(diff)
	}
}

// Whatever an encoder with a table of any size does, we follow.
func TestTableEvicts(t *testing.T) {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	d := newDecoder(&Limits{})
	var q message.Request
	for i := range 2000 {
		b.Reset()
		if i%97 == 0 {
			e.SetMaxDynamicTableSize(uint32(i*37) % 4097)
		}
		want := []string{}
		for _, f := range get {
			name, value, _ := strings.Cut(f[1:], ": ")
			e.WriteField(hpack.HeaderField{Name: ":" + name, Value: value})
		}
		for j := range 5 {
			f := hpack.HeaderField{Name: fmt.Sprint("x-", (i+j)%7), Value: strings.Repeat("v", (i*j)%300)}
			e.WriteField(f)
			want = append(want, f.Name+": "+f.Value)
		}
		if err := d.Request(b.Bytes(), &q, true); !err.Ok() {
			t.Fatal(i, err)
		}
		if diff := cmp.Diff(want, fieldsOf(&q.Head)); diff != "" {
			t.Fatalf("%d: -want +got\n%s", i, diff)
		}
		if d.TableSize() > d.table.max || cap(d.table.bytes) > 4*DefaultTable {
			t.Fatal(i, d.TableSize(), cap(d.table.bytes))
		}
	}
}

// Somebody else's decoder reads what we write.
func TestEncode(t *testing.T) {
	h := message.Head{Raw: []byte("Content-Type: text/html\r\nX-Odd_Name: a\x01b \r\nSet-Cookie: a=b\r\nVary: Accept\r\nX-Gone: c\r\nAge: 12345678\r\n\r\n"), Lines: true}
	add := func(name, value string, flags message.Flags) {
		n := bytes.Index(h.Raw, []byte(name))
		v := n + len(name) + 2
		h.Fields = append(h.Fields, message.Field{Name: message.Span{Off: uint32(n), Len: uint32(len(name))},
			Value: message.Span{Off: uint32(v), Len: uint32(len(value))}, ID: message.LookupName([]byte(name)), Flags: flags})
	}
	add("Content-Type", "text/html", 0)
	add("X-Odd_Name", "a\x01b", message.Controls)
	add("Set-Cookie", "a=b", 0)
	add("Vary", "Accept", 0)
	add("X-Gone", "c", message.Drop)
	add("Age", "12345678", 0)
	b := AppendStatus(nil, 200)
	b = AppendStatus(b, 418)
	b = AppendFields(b, &h)
	b = AppendLines(b, []byte("Date: now\r\nX-Empty:\r\nCache-Control: no-store\r\n"))
	b = AppendNumber(b, message.ContentLength, 123)
	b = AppendKnown(b, message.Via, []byte("1.1 a"))
	b = AppendControl(b, []byte("GET"), "https", []byte("a"), []byte("/"))
	b = AppendControl(b, []byte("PUT"), "http", []byte("a"), []byte("/b"))
	got, err := hpack.NewDecoder(0, nil).DecodeFull(b)
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, f := range got {
		sensitive := ""
		if f.Sensitive {
			sensitive = " (never indexed)"
		}
		s = append(s, f.Name+": "+f.Value+sensitive)
	}
	want := []string{":status: 200", ":status: 418", "content-type: text/html", "x-odd_name: a b", "set-cookie: a=b (never indexed)",
		"vary: Accept", "age: 12345678", "date: now", "x-empty: ", "cache-control: no-store", "content-length: 123", "via: 1.1 a",
		":method: GET", ":scheme: https", ":path: /", ":authority: a",
		":method: PUT", ":scheme: http", ":path: /b", ":authority: a"}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// Our decoder and x/net's agree on what a block says and whether it is sound.
func FuzzDecode(f *testing.F) {
	for _, c := range requestsRead {
		f.Add(block(c.fields...), []byte{0xbe})
	}
	for _, c := range broken {
		f.Add([]byte(c.block), []byte("\x20"))
	}
	f.Fuzz(func(t *testing.T, one, two []byte) {
		theirs := hpack.NewDecoder(DefaultTable, nil)
		d := newDecoder(&Limits{Field: 1 << 30, Head: 1 << 30, Fields: 1 << 30, Path: 1 << 30})
		for _, b := range [][]byte{one, two} {
			fields, err := theirs.DecodeFull(b)
			var h message.Head
			d.s = section{h: &h, kind: trailer}
			got := d.decode(b)
			raw := d.s.raw
			// x/net lets a block change the size late while the table is empty, and
			// integers of more than 32 bits; we do not.
			if got.Flaw == TableLate || got.Flaw == IntegerTooLong {
				return
			}
			if (err == nil) != got.Ok() {
				t.Fatalf("%x: we say %+v, they %v", b, got, err)
			}
			if err != nil {
				return
			}
			var want []byte
			for _, f := range fields {
				want = append(want, f.Name+": "+f.Value+"\r\n"...)
			}
			if !bytes.Equal(raw, want) {
				t.Fatalf("%x: %q, want %q", b, raw, want)
			}
		}
	})
}

// What we encode reads back, by us and by x/net, whatever name and value hold.
func FuzzEncode(f *testing.F) {
	f.Add([]byte("X-A"), []byte("b"), false)
	f.Add([]byte("````````````a"), []byte("\x00\r\n"), true)
	f.Fuzz(func(t *testing.T, name, value []byte, folded bool) {
		if len(name) == 0 || len(name)+len(value) > 60000 {
			return
		}
		b := AppendField(AppendStatus(nil, 200), name, value)
		h := message.Head{Raw: append(append([]byte{}, name...), value...)}
		field := message.Field{Name: message.Span{Len: uint32(len(name))}, Value: message.Span{Off: uint32(len(name)), Len: uint32(len(value))},
			ID: message.LookupName(name), Flags: message.Folded}
		if !folded {
			field.Flags = message.Controls
		}
		h.Fields = append(h.Fields, field)
		b = AppendFields(b, &h)
		fields, err := hpack.NewDecoder(0, nil).DecodeFull(b)
		if err != nil || len(fields) != 3 {
			t.Fatalf("%x: %v, %v", b, fields, err)
		}
		for _, f := range fields[1:] {
			if !cleanName([]byte(f.Name)) || strings.ContainsAny(f.Value, "\r\n\x00") {
				t.Fatalf("%q: %q", f.Name, f.Value)
			}
		}
	})
}

func TestAllocations(t *testing.T) {
	d := newDecoder(&Limits{})
	var q message.Request
	b := block(with(get, "user-agent: Mozilla/5.0", "accept: text/html", "cookie: a=b", "cookie: c=d")...)
	b = append(b, "\x04\x85\x60\xd5\x48\x5f\x2b"...) // a literal :path without indexing
	var dst []byte
	f := func() {
		d.Request(b, &q, true)
		dst = AppendFields(AppendStatus(dst[:0], 200), &q.Head)
	}
	f()
	if n := testing.AllocsPerRun(100, f); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	d := newDecoder(&Limits{})
	var q message.Request
	blk := block(with(get, "user-agent: Mozilla/5.0 (X11; Linux x86_64)", "accept: text/html,application/xhtml+xml", "accept-encoding: gzip, deflate, br", "cookie: a=b")...)
	d.Request(blk, &q, true)
	blk = []byte{0x82, 0x87, 0xc3, 0xc2, 0xc1, 0xc0, 0xbf, 0xbe}
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Request(blk, &q, true); !err.Ok() {
			b.Fatal(err)
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	lines := []byte("Server: nginx/1.22.1\r\nDate: Wed, 25 Nov 2026 22:00:00 GMT\r\nContent-Type: text/plain\r\nLast-Modified: Wed, 25 Nov 2026 22:00:00 GMT\r\nETag: \"5f3f-80\"\r\nAccept-Ranges: bytes\r\n")
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendLines(AppendStatus(dst[:0], 200), lines)
	}
}
