package h2

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"
)

var headers = []struct {
	name string
	h    Header
	want Error
}{
	{"DATA", Header{5, Data, 0, 1}, Error{}},
	{"DATA on the connection", Header{5, Data, 0, 0}, Error{NeedsStream, 5, false}},
	{"padded DATA without a pad length", Header{0, Data, Padded, 1}, Error{FrameLength, 0, false}},
	{"too large", Header{16385, Data, 0, 1}, Error{FrameTooLarge, 0, false}},
	{"HEADERS on the connection", Header{5, Headers, 0, 0}, Error{NeedsStream, 5, false}},
	{"HEADERS too short for a priority", Header{4, Headers, HasPriority, 1}, Error{FrameLength, 0, false}},
	{"PRIORITY", Header{5, Priority, 0, 1}, Error{}},
	{"short PRIORITY", Header{4, Priority, 0, 1}, Error{PriorityLength, 0, true}},
	{"short RST_STREAM", Header{3, RSTStream, 0, 1}, Error{FrameLength, 0, false}},
	{"RST_STREAM on the connection", Header{4, RSTStream, 0, 0}, Error{NeedsStream, 5, false}},
	{"SETTINGS", Header{12, Settings, 0, 0}, Error{}},
	{"SETTINGS on a stream", Header{0, Settings, 0, 1}, Error{ForbidsStream, 5, false}},
	{"half a setting", Header{7, Settings, 0, 0}, Error{FrameLength, 0, false}},
	{"acknowledged settings", Header{6, Settings, Ack, 0}, Error{AckNotEmpty, 0, false}},
	{"long PING", Header{9, Ping, 0, 0}, Error{FrameLength, 0, false}},
	{"short GOAWAY", Header{7, GoAway, 0, 0}, Error{FrameLength, 0, false}},
	{"WINDOW_UPDATE on the connection", Header{4, WindowUpdate, 0, 0}, Error{}},
	{"long WINDOW_UPDATE", Header{5, WindowUpdate, 0, 1}, Error{FrameLength, 0, false}},
	{"CONTINUATION on the connection", Header{5, Continuation, 0, 0}, Error{NeedsStream, 5, false}},
	{"PRIORITY_UPDATE on a stream", Header{4, PriorityUpdate, 0, 1}, Error{ForbidsStream, 5, false}},
	{"an unknown type", Header{4, 0x77, 0xff, 9}, Error{}},
}

func TestCheck(t *testing.T) {
	for _, c := range headers {
		if got := c.h.Check(DefaultFrameSize); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if got := ParseHeader(AppendHeader(nil, c.h)); got != c.h {
			t.Errorf("%s: written %+v, read %+v", c.name, c.h, got)
		}
	}
}

func TestPayloads(t *testing.T) {
	h := Header{Type: Data, Flags: Padded, Stream: 1}
	if d, err := h.Data([]byte("\x02ab\x00\x00")); string(d) != "ab" || !err.Ok() {
		t.Errorf("%q %v", d, err)
	}
	if d, err := h.Data([]byte("\x02\x00\x00")); len(d) != 0 || !err.Ok() {
		t.Errorf("all padding: %q %v", d, err)
	}
	if _, err := h.Data([]byte("\x03\x00\x00")); err != (Error{PadTooLong, 9, false}) {
		t.Errorf("more padding than payload: %v", err)
	}
	h = Header{Type: Headers, Flags: Padded | HasPriority, Stream: 3}
	if d, err := h.Fragment([]byte("\x01\x00\x00\x00\x01\xffab\x00")); string(d) != "ab" || !err.Ok() {
		t.Errorf("%q %v", d, err)
	}
	if d, err := h.Fragment([]byte("\x01\x80\x00\x00\x03\xffab\x00")); string(d) != "ab" || err != (Error{SelfDependency, 10, true}) {
		t.Errorf("%q %v", d, err)
	}
	if _, err := h.Fragment([]byte("\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00")); err != (Error{FrameLength, 0, false}) {
		t.Errorf("padding leaves no room for the priority: %v", err)
	}
	for _, c := range []struct {
		s    Setting
		want Error
	}{
		{Setting{EnablePush, 1}, Error{}},
		{Setting{EnablePush, 2}, Error{SettingInvalid, 11, false}},
		{Setting{InitialWindowSize, MaxWindow}, Error{}},
		{Setting{InitialWindowSize, MaxWindow + 1}, Error{WindowTooLarge, 11, false}},
		{Setting{MaxFrameSizeID, 16383}, Error{SettingInvalid, 11, false}},
		{Setting{MaxFrameSizeID, 1 << 24}, Error{SettingInvalid, 11, false}},
		{Setting{0x77, 1 << 31}, Error{}},
	} {
		b := AppendSettings(nil, c.s)
		if s, err := SettingAt(b[HeaderLen:], 0); s != c.s || err != c.want {
			t.Errorf("%v: %v %v, want %v", c.s, s, err, c.want)
		}
	}
	if _, err := (Header{Stream: 1}).ParseIncrement([]byte{0x80, 0, 0, 0}); err != (Error{NoIncrement, 9, true}) {
		t.Error(err)
	}
	if _, err := (Header{}).ParseIncrement([]byte{0, 0, 0, 0}); err != (Error{NoIncrement, 9, false}) {
		t.Error(err)
	}
}

// Somebody else's framer reads what we write.
func TestAppend(t *testing.T) {
	var b []byte
	b = AppendSettings(b, Setting{InitialWindowSize, 1000}, Setting{EnablePush, 0})
	b = AppendSettingsAck(b)
	b = AppendPing(b, [8]byte{1, 2, 3}, true)
	b = AppendGoAway(b, 7, EnhanceYourCalm, "calm")
	b = AppendReset(b, 9, Cancel)
	b = AppendWindowUpdate(b, 0, 12345)
	b = AppendData(b, 11, []byte("hello"), true)
	start := len(b)
	b = BeginHeaders(b)
	b = AppendStatus(b, 200)
	b = AppendField(b, []byte("X-Long"), bytes.Repeat([]byte("\x01#"), 20000))
	block := bytes.Clone(b[start+HeaderLen:])
	b = EndHeadersAt(b, start, 13, true, DefaultFrameSize)

	fr := http2.NewFramer(nil, bytes.NewReader(b))
	next := func() http2.Frame {
		t.Helper()
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	s := next().(*http2.SettingsFrame)
	if v, ok := s.Value(http2.SettingInitialWindowSize); !ok || v != 1000 || s.NumSettings() != 2 {
		t.Error(s)
	}
	if f := next().(*http2.SettingsFrame); !f.IsAck() {
		t.Error(f)
	}
	if f := next().(*http2.PingFrame); !f.IsAck() || f.Data != [8]byte{1, 2, 3} {
		t.Error(f)
	}
	if f := next().(*http2.GoAwayFrame); f.LastStreamID != 7 || f.ErrCode != http2.ErrCodeEnhanceYourCalm || string(f.DebugData()) != "calm" {
		t.Error(f)
	}
	if f := next().(*http2.RSTStreamFrame); f.StreamID != 9 || f.ErrCode != http2.ErrCodeCancel {
		t.Error(f)
	}
	if f := next().(*http2.WindowUpdateFrame); f.StreamID != 0 || f.Increment != 12345 {
		t.Error(f)
	}
	if f := next().(*http2.DataFrame); f.StreamID != 11 || string(f.Data()) != "hello" || !f.StreamEnded() {
		t.Error(f)
	}
	h := next().(*http2.HeadersFrame)
	got := bytes.Clone(h.HeaderBlockFragment())
	if !h.StreamEnded() || h.HeadersEnded() || h.StreamID != 13 || len(got) != DefaultFrameSize {
		t.Error(h, len(got))
	}
	for last := false; !last; {
		c := next().(*http2.ContinuationFrame)
		got, last = append(got, c.HeaderBlockFragment()...), c.HeadersEnded()
	}
	if !bytes.Equal(got, block) {
		t.Error("the block was not cut and joined faithfully")
	}
}

func TestEndHeadersAt(t *testing.T) {
	for n := range 40 {
		block := make([]byte, n)
		for i := range block {
			block[i] = byte(i)
		}
		b := append(BeginHeaders([]byte("before")), block...)
		b = EndHeadersAt(b, len("before"), 5, false, 7)
		var got []byte
		b = b[len("before"):]
		for first := true; ; first = false {
			h := ParseHeader(b)
			if h.Stream != 5 || (h.Type == Headers) != first || h.Type != Headers && h.Type != Continuation || h.Length > 7 {
				t.Fatalf("%d: %+v", n, h)
			}
			got = append(got, b[HeaderLen:HeaderLen+h.Length]...)
			if b = b[HeaderLen+h.Length:]; h.Has(EndHeaders) {
				break
			}
		}
		if len(b) > 0 || !bytes.Equal(got, block) {
			t.Fatalf("%d: %v, left %v", n, got, b)
		}
	}
}

func TestParseUrgency(t *testing.T) {
	for _, c := range []struct {
		field string
		want  Urgency
	}{
		{"", Urgency{3, false}},
		{"u=0", Urgency{0, false}},
		{"u=7, i", Urgency{7, true}},
		{"i,u=1", Urgency{1, true}},
		{"u=8", Urgency{3, false}},
		{"u=5;x=1, i=?1", Urgency{5, true}},
		{"i=?1, i=?0", Urgency{3, false}},
		{`x="u=1, i", u=2`, Urgency{2, false}},
		{"u=2.5", Urgency{3, false}},
		{"ui", Urgency{3, false}},
		{`x="\`, Urgency{3, false}},
	} {
		if got := ParseUrgency([]byte(c.field)); got != c.want {
			t.Errorf("%q: %v, want %v", c.field, got, c.want)
		}
	}
}

func TestCode(t *testing.T) {
	for c := NoError; c <= HTTP11Required; c++ {
		if c.String() != http2.ErrCode(c).String() {
			t.Errorf("%v, want %v", c, http2.ErrCode(c))
		}
	}
	if s := Code(0xabcd).String(); s != "0x0000abcd" {
		t.Error(s)
	}
}
