package accesslog

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

var update = flag.Bool("update", false, "write the golden files anew")

const began = 1795338847221_000_000 // 2026-11-22T09:14:07.221Z

// good is the exchange that costs what most of them cost.
func good() *trail.Trail {
	t := &trail.Trail{Began: began, Client: []byte("203.0.113.9"), Method: []byte("GET"), Scheme: "http",
		Authority: []byte("shop.example.org"), Path: []byte("/cart?page=2"), Minor: 1, Route: "cart",
		HeadRead: 100_000, Answered: 12_900_000, Ended: 13_200_400, Status: 200, UpstreamStatus: 200, In: 412, Out: 1893, N: 1}
	t.Attempts[0] = trail.Attempt{Upstream: "cart", Endpoint: "cart.internal:8080", Address: "10.0.0.11:8080", Reused: true,
		Began: 150_000, Sent: 250_000, FirstByte: 12_650_000, HeadRead: 12_700_000, Ended: 13_100_000, Status: 200,
		BytesSent: 412, BytesReceived: 1893}
	return t
}

// lost is the incident of the design's example: both endpoints answer alike.
func lost() *trail.Trail {
	t := good()
	f := &fault.Fault{ID: fault.HeaderNameBadChar, At: fault.Head}
	t.Status, t.Ended, t.Answered, t.N, t.Fault = 502, 31_200_000, 31_100_000, 2, f
	t.Attempts[0].Fault, t.Attempts[0].HeadRead, t.Attempts[0].Ended = f, 0, 14_800_000
	t.Attempts[1] = trail.Attempt{Upstream: "cart", Endpoint: "cart.internal:8080", Address: "10.0.0.12:8080",
		Began: 15_200_000, Connected: 16_100_000, Sent: 16_300_000, FirstByte: 28_000_000, Ended: 30_800_000, Fault: f}
	t.Incident = [8]byte([]byte("7K3QM2VX"))
	return t
}

func rescued() *trail.Trail {
	t := lost()
	t.Fault = &fault.Fault{ID: fault.BodyEOFShort, At: fault.Body}
	t.Attempts[0].Fault, t.Attempts[1].Fault = t.Fault, nil
	t.Attempts[1].HeadRead, t.Attempts[1].Status = 28_100_000, 200
	t.Attempts[0].Lost = true
	t.Status, t.Rescued = 200, true
	t.Note(fault.HeadBareLF, 15, 0)
	return t
}

func cut() *trail.Trail {
	t := good()
	t.Fault = &fault.Fault{ID: fault.BodyRST, At: fault.Body}
	t.Attempts[0].Fault, t.Cut = t.Fault, true
	t.Withheld = &fault.Fault{ID: fault.RequestNotReplayable, At: fault.Select}
	for range trail.MaxNotices + 2 {
		t.Note(fault.HeaderCtl, 20, 0)
	}
	return t
}

func refused() *trail.Trail {
	return &trail.Trail{Began: began, Client: []byte("2001:db8::1"), Method: []byte("G\x00T"), Authority: []byte("[2001:db8::2]:8443"),
		Path: []byte("/\x1b[2J\xff\u202e?a=\"&access_token=hunter2;x"), Status: 400, Ended: 90_000, In: 20, Out: 300,
		Site: "any", Fault: &fault.Fault{ID: fault.RequestLineMalformed, At: fault.Parse}, Incident: [8]byte([]byte("00000001"))}
}

func gone() *trail.Trail {
	t := good()
	t.Status, t.Ended = 499, 2_504_000_000
	t.Fault = &fault.Fault{ID: fault.ClientGone, At: fault.Await}
	return t
}

func secure() *trail.Trail {
	t := good()
	t.Scheme, t.Major, t.Minor = "https", 2, 0
	t.TLS = &trail.TLS{Version: "1.3", Cipher: "TLS_AES_128_GCM_SHA256", ALPN: "h2", SNI: "shop.\x1bexample.org", Resumed: true, Client: "CN=anna,O=Shop"}
	t.RequestID = []byte("a\"b")
	t.Trace, t.Span, t.Site = [16]byte{0x4b, 0xf9, 15: 0x36}, [8]byte{7: 0xb7}, "shop.example.org"
	return t
}

func called() *trail.Trail {
	t := lost()
	t.Method, t.Path, t.Major, t.Minor = []byte("POST"), []byte("/shop.Orders/Place"), 2, 0
	t.Status, t.Call, t.GRPCStatus = 200, true, 14
	return t
}

var lines = []struct {
	name string
	t    *trail.Trail
}{{"good", good()}, {"secure", secure()}, {"lost", lost()}, {"rescued", rescued()}, {"cut", cut()}, {"refused", refused()}, {"gone", gone()}, {"called", called()},
	{"empty", &trail.Trail{}}}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (write it anew with -update):\n%s", file, d)
	}
}

func TestJSONLines(t *testing.T) {
	var all []byte
	for _, l := range lines {
		from := len(all)
		all = AppendJSON(all, l.t)
		var got map[string]any
		if err := json.Unmarshal(all[from:], &got); err != nil {
			t.Errorf("%s: %v", l.name, err)
		}
	}
	golden(t, "lines.json", all)
}

func TestTextLines(t *testing.T) {
	var plain, color []byte
	for _, l := range lines {
		// The catalogue's titles may be worded better any day: only their place counts.
		title := "no title"
		if r := row(l.t); r != nil {
			title = r.Title
		}
		plain = append(plain, strings.Replace(string(AppendText(nil, l.t, false)), title, "TITLE", 1)...)
		color = append(color, strings.Replace(string(AppendText(nil, l.t, true)), title, "TITLE", 1)...)
	}
	golden(t, "lines.txt", plain)
	golden(t, "lines.color.txt", color)
}

func TestState(t *testing.T) {
	for _, c := range []struct {
		id   fault.ID
		at   fault.Phase
		want string
	}{
		{fault.HeaderNameBadChar, fault.Head, "PH"},
		{fault.ConnectRefused, fault.Connect, "SC"},
		{fault.ConnectTimeout, fault.Connect, "sC"},
		{fault.HeadEOFEmpty, fault.Await, "SH"},
		{fault.HeadTimeoutFirstByte, fault.Await, "sH"},
		{fault.BodyEOFShort, fault.Body, "SD"},
		{fault.BodyReadTimeout, fault.Body, "sD"},
		{fault.RequestHeadTimeout, fault.Parse, "cR"},
		{fault.RequestHeaderMalformed, fault.Parse, "PR"},
		{fault.ClientGone, fault.Await, "CH"},
		{fault.LocalFDExhausted, fault.Connect, "RC"},
		{fault.OverloadShed, fault.Admit, "PR"},
		{fault.EarlyResponse, fault.Send, "--"},
	} {
		x := &trail.Trail{Fault: &fault.Fault{ID: c.id, At: c.at}}
		if s := state(x, row(x)); string(s[:]) != c.want {
			t.Errorf("%s: %s, want %s", c.id, s, c.want)
		}
	}
	for _, r := range fault.Catalogue() {
		x := &trail.Trail{Fault: &fault.Fault{ID: r.ID, At: r.Phase}}
		s := state(x, r)
		if !strings.Contains("CSPRcs-", string(s[0])) || !strings.Contains("RQCHDL-", string(s[1])) {
			t.Errorf("%s: %q", r.ID, s)
		}
	}
}

func TestTime(t *testing.T) {
	for _, at := range []string{"1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00.000Z", "2000-02-29T12:34:56.789Z",
		"2026-11-22T09:14:07.221Z", "2100-02-28T23:59:59.999Z", "2100-03-01T00:00:00.000Z", "1900-03-01T00:00:00.000Z",
		"2262-04-11T23:47:16.854Z"} {
		moment, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(appendTime(nil, moment.UnixNano())); got != at {
			t.Errorf("got %s, want %s", got, at)
		}
	}
}

func FuzzTime(f *testing.F) {
	f.Add(int64(began))
	f.Add(int64(-1))
	f.Fuzz(func(t *testing.T, ns int64) {
		want := time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000Z")
		if got := string(appendTime(nil, ns)); got != want {
			t.Errorf("%d: got %s, want %s", ns, got, want)
		}
	})
}

func TestMillis(t *testing.T) {
	for ns, want := range map[int64]string{0: "0", 499: "0", 500: "0.001", 1_000: "0.001", 10_000: "0.01", 100_000: "0.1",
		120_000: "0.12", 123_000: "0.123", 103_000: "0.103", 1_000_000: "1", 31_200_000: "31.2", 999_999_600: "1000"} {
		if got := string(appendMillis(nil, ns)); got != want {
			t.Errorf("%d: %s, want %s", ns, got, want)
		}
	}
}

// Whatever peers send: one line, valid JSON, valid UTF-8, nothing that acts on
// a terminal, and all that was valid text comes back.
func FuzzAppendJSON(f *testing.F) {
	f.Add([]byte("GET"), []byte("shop.example.org:80"), []byte("/a?token=b"), "10.0.0.1:80")
	f.Add([]byte("\x00"), []byte("[::1]:0"), []byte("/\xff\u2028\u202e\x1b[0m\u009b"), "unix:/\xf0\x9f")
	f.Fuzz(func(t *testing.T, method, authority, path []byte, address string) {
		x := lost()
		x.Method, x.Authority, x.Path = method, authority, path
		x.Attempts[0].Address = address
		x.Client = method
		line := AppendJSON(nil, x)
		if bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Fatalf("not one line: %q", line)
		}
		if !utf8.Valid(line) {
			t.Fatalf("not UTF-8: %q", line)
		}
		for _, c := range string(line[:len(line)-1]) {
			if isHostile(c) {
				t.Fatalf("raw %U in %q", c, line)
			}
		}
		var got map[string]any
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		want := strings.ToValidUTF8(string(method), "")
		if m, _ := got["http.request.method"].(string); utf8.Valid(method) && m != want {
			t.Fatalf("method %q became %q", method, m)
		}
		text := AppendText(nil, x, false)
		if bytes.IndexByte(text, '\n') != len(text)-1 {
			t.Fatalf("not one line: %q", text)
		}
		for _, c := range string(text[:len(text)-1]) {
			if isHostile(c) {
				t.Fatalf("raw %U in %q", c, text)
			}
		}
	})
}

func TestAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 64<<10)
	for _, l := range lines {
		if n := testing.AllocsPerRun(100, func() { buf = AppendJSON(buf[:0], l.t) }); n != 0 {
			t.Errorf("AppendJSON of %s: %v allocations", l.name, n)
		}
		if n := testing.AllocsPerRun(100, func() { buf = AppendText(buf[:0], l.t, true) }); n != 0 {
			t.Errorf("AppendText of %s: %v allocations", l.name, n)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	for _, l := range lines[:2] {
		b.Run(l.name, func(b *testing.B) {
			buf := AppendJSON(nil, l.t)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				buf = AppendJSON(buf[:0], l.t)
			}
		})
	}
}

// A secret in a path or a query does not reach the log.
func TestSecretParameters(t *testing.T) {
	for path, want := range map[string]string{
		"/a;jsessionid=hunter2":            `"url.path":"/a;jsessionid=xxx"`,
		"/a;v=1;token=hunter2/b":           `"url.path":"/a;v=1;token=xxx"`,
		"/a?sig=hunter2&design=x":          `"url.query":"sig=xxx&design=x"`,
		"/a?state=x&code=hunter2":          `"url.query":"state=x&code=xxx"`,
		"/a?PASS=hunter2;x-session=hunter": `"url.query":"PASS=xxx;x-session=xxx"`,
	} {
		tr := &trail.Trail{Method: []byte("GET"), Path: []byte(path), Status: 200, Ended: 1}
		for _, got := range []string{string(AppendJSON(nil, tr)), string(AppendText(nil, tr, true))} {
			if strings.Contains(got, "hunter") || strings.HasPrefix(got, "{") && !strings.Contains(got, want) {
				t.Errorf("%s: %s", path, got)
			}
		}
	}
}

func TestHandshakeLines(t *testing.T) {
	h := &Handshake{At: began, Client: []byte("203.0.113.9"), Why: "client offered only \x1b[2J"}
	got := string(AppendHandshake(AppendHandshake(nil, JSON, h), Text, h))
	h.More = 12
	got += string(AppendHandshake(AppendHandshake(nil, JSON, h), Color, h))
	want := `{"ts":"2026-11-22T09:14:07.221Z","kind":"handshake","client.address":"203.0.113.9","error.message":"client offered only \u001b[2J"}
09:14:07.221  TLS with 203.0.113.9 failed: client offered only \u001b[2J
{"ts":"2026-11-22T09:14:07.221Z","kind":"handshake","client.address":"203.0.113.9","error.message":"client offered only \u001b[2J","more":12}
09:14:07.221  TLS with 203.0.113.9 failed: client offered only \u001b[2J, and 12 more since the last such line
`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
