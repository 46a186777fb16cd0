package proxyproto

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
)

func v2(rest string) string { return "\r\n\r\n\x00\r\nQUIT\n" + rest }

const (
	four = "\x0a\x00\x00\x01\x0a\x00\x00\x02\x1f\x90\x00\x50"
	six  = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x1f\x90\x01\xbb"
)

// sealed is a header for IPv4 with a checksum and, if good is not set, one bit turned.
func sealed(good bool) string {
	b := AppendV2(nil, netip.MustParseAddrPort("10.0.0.1:8080"), netip.MustParseAddrPort("10.0.0.2:80"),
		AppendExtension(AppendExtension(nil, CRC32C, "\x00\x00\x00\x00"), UniqueID, "abc"))
	at := len(b) - 6 - 4
	copy(b[at:], sum(b))
	if !good {
		b[len(b)-1] ^= 1
	}
	return string(b)
}

func TestParse(t *testing.T) {
	tests := []struct {
		name, in string
		n        int // of the header, 0 if it has a flaw
		source   string
		to       string
		local    bool
		flaw     Flaw
		at       int
	}{
		{"v1 IPv4", "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET", 45, "192.0.2.1:56324", "198.51.100.2:443", false, 0, 0},
		{"v1 IPv6", "PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", 36, "[2001:db8::1]:1", "[::1]:65535", false, 0, 0},
		{"v1 longest", "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", 104,
			"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", false, 0, 0},
		{"v1 unknown", "PROXY UNKNOWN\r\n", 15, "", "", true, 0, 0},
		{"v1 unknown with more", "PROXY UNKNOWN ffff::1 what ever\r\nX", 33, "", "", true, 0, 0},
		{"v1 unknown, longest", "PROXY UNKNOWN " + strings.Repeat("x", 91) + "\r\n", 107, "", "", true, 0, 0},
		{"v1 too long", "PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n", 0, "", "", false, LineTooLong, 106},
		{"v1 LF", "PROXY UNKNOWN\nGET / HTTP/1.1\r\n", 0, "", "", false, LineEnd, 13},
		{"v1 CR", "PROXY UNKNOWN\rX\n", 0, "", "", false, LineEnd, 14},
		{"v1 protocol", "PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n", 0, "", "", false, Protocol, 6},
		{"v1 in lower case", "proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n", 0, "", "", false, NoHeader, 0},
		{"v1 two spaces", "PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n", 0, "", "", false, Spacing, 10},
		{"v1 space at the end", "PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n", 0, "", "", false, Spacing, 10},
		{"v1 without ports", "PROXY TCP4 1.1.1.1 1.1.1.1\r\n", 0, "", "", false, Spacing, 10},
		{"v1 IPv6 as TCP4", "PROXY TCP4 ::1 1.1.1.1 1 1\r\n", 0, "", "", false, Address, 11},
		{"v1 second address", "PROXY TCP4 1.1.1.1 1.1.1.256 1 1\r\n", 0, "", "", false, Address, 19},
		{"v1 leading zero", "PROXY TCP4 1.1.1.01 1.1.1.1 1 1\r\n", 0, "", "", false, Address, 11},
		{"v1 zone", "PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n", 0, "", "", false, Address, 11},
		{"v1 port over", "PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n", 0, "", "", false, Port, 29},
		{"v1 port with zero", "PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n", 0, "", "", false, Port, 27},
		{"v1 empty port", "PROXY TCP4 1.1.1.1 1.1.1.1  1\r\n", 0, "", "", false, Port, 27},
		{"request", "GET / HTTP/1.1\r\n", 0, "", "", false, NoHeader, 0},
		{"request like it", "PRI * HTTP/2.0\r\n", 0, "", "", false, NoHeader, 2},
		{"TLS", "\x16\x03\x01", 0, "", "", false, NoHeader, 0},

		{"v2 IPv4", v2("\x21\x11\x00\x0c" + four + "GET"), 28, "10.0.0.1:8080", "10.0.0.2:80", false, 0, 0},
		{"v2 IPv6", v2("\x21\x21\x00\x24" + six), 52, "[2001:db8::1]:8080", "[2001:db8::2]:443", false, 0, 0},
		{"v2 UDP", v2("\x21\x12\x00\x0c" + four), 28, "10.0.0.1:8080", "10.0.0.2:80", false, 0, 0},
		{"v2 local", v2("\x20\x00\x00\x00"), 16, "", "", true, 0, 0},
		{"v2 local with addresses", v2("\x20\x11\x00\x0c" + four), 28, "", "", true, 0, 0},
		{"v2 local, too short for its family", v2("\x20\x11\x00\x02ab"), 18, "", "", true, 0, 0},
		{"v2 local of an unknown family", v2("\x20\x4f\x00\x02ab"), 18, "", "", true, 0, 0},
		{"v2 unique id", v2("\x21\x11\x00\x8f" + four + "\x05\x00\x80" + strings.Repeat("u", 128)), 159, "10.0.0.1:8080", "10.0.0.2:80", false, 0, 0},
		{"v2 unique id, longer", v2("\x21\x11\x00\x90" + four + "\x05\x00\x81" + strings.Repeat("u", 129)), 0, "", "", false, Value, 28},
		{"v2 authority, longer", v2("\x21\x11\x01\x0f" + four + "\x02\x01\x00" + strings.Repeat("a", 256)), 0, "", "", false, Value, 28},
		{"v2 network namespace", v2("\x21\x11\x00\x11" + four + "\x30\x00\x02ns"), 33, "10.0.0.1:8080", "10.0.0.2:80", false, 0, 0},
		{"v2 TLS", v2("\x21\x11\x00\x17" + four + "\x20\x00\x08\x01\x00\x00\x00\x00\x21\x00\x00"), 39, "10.0.0.1:8080", "10.0.0.2:80", false, 0, 0},
		{"v2 TLS, cut", v2("\x21\x11\x00\x13" + four + "\x20\x00\x04\x01\x00\x00\x00"), 0, "", "", false, Value, 28},
		{"v2 TLS, a part is cut", v2("\x21\x11\x00\x1b" + four + "\x04\x00\x00\x20\x00\x09\x01\x00\x00\x00\x00\x21\x00\x02a"), 0, "", "", false, Value, 31},
		{"v2 unspecified", v2("\x21\x00\x00\x03abc"), 19, "", "", true, 0, 0},
		{"v2 unix", v2("\x21\x31\x00\xd8" + strings.Repeat("\x00", 216)), 232, "", "", true, 0, 0},
		{"v2 empty extension", v2("\x21\x11\x00\x0f" + four + "\x04\x00\x00"), 31, "10.0.0.1:8080", "10.0.0.2:80", false, 0, 0},
		{"v2 checksum", sealed(true), 41, "10.0.0.1:8080", "10.0.0.2:80", false, 0, 0},
		{"v2 wrong checksum", sealed(false), 0, "", "", false, Checksum, 28},
		{"v2 checksum of three bytes", v2("\x21\x11\x00\x12" + four + "\x03\x00\x03abc"), 0, "", "", false, Checksum, 28},
		{"v2 signature", "\r\n\r\n\x00\r\nQUIT\r", 0, "", "", false, NoHeader, 11},
		{"v2 blank lines", "\r\n\r\nGET", 0, "", "", false, NoHeader, 4},
		{"v2 version", v2("\x11\x11\x00\x0c" + four), 0, "", "", false, VersionBits, 12},
		{"v2 command", v2("\x22\x11\x00\x0c" + four), 0, "", "", false, Command, 12},
		{"v2 family", v2("\x21\x41\x00\x0c" + four), 0, "", "", false, Family, 13},
		{"v2 transport", v2("\x21\x13\x00\x0c" + four), 0, "", "", false, Family, 13},
		{"v2 too short", v2("\x21\x21\x00\x0c" + four), 0, "", "", false, TooShort, 14},
		{"v2 too long", v2("\x21\x11\x0f\xf1"), 0, "", "", false, TooLong, 14},
		{"v2 cut extension", v2("\x21\x11\x00\x0e" + four + "\x04\x00"), 0, "", "", false, TLV, 28},
		{"v2 extension beyond", v2("\x21\x11\x00\x10" + four + "\x04\x00\x02a"), 0, "", "", false, TLV, 28},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			h, n, flaw, at := Parse([]byte(c.in), DefaultMax)
			if n != c.n || flaw != c.flaw || at != c.at {
				t.Fatalf("%d bytes, %v at %d; want %d, %v at %d", n, flaw, at, c.n, c.flaw, c.at)
			}
			if flaw != NoFlaw {
				return
			}
			if h.Local != c.local {
				t.Errorf("local is %v", h.Local)
			}
			if !c.local && (h.Source.String() != c.source || h.Destination.String() != c.to) {
				t.Errorf("from %v to %v, want from %s to %s", h.Source, h.Destination, c.source, c.to)
			}
			for i := range n { // however it is cut, the rest is waited for
				if _, n, flaw, _ := Parse([]byte(c.in[:i]), DefaultMax); n != 0 || flaw != NoFlaw {
					t.Fatalf("of the first %d bytes: %d, %v", i, n, flaw)
				}
			}
		})
	}
}

func TestWordsForEachFlaw(t *testing.T) {
	for f := NoFlaw; f <= Value; f++ {
		if f.String() == "" {
			t.Errorf("flaw %d has no words", f)
		}
	}
}

func TestExtensions(t *testing.T) {
	tlvs := AppendSSL(AppendExtension(AppendExtension(nil, ALPN, "h2"), Authority, "example.org"), "TLSv1.3", "TLS_AES_128_GCM_SHA256")
	b := AppendV2(nil, netip.MustParseAddrPort("[::ffff:10.0.0.1]:1"), netip.MustParseAddrPort("[2001:db8::2]:2"), tlvs)
	h, n, flaw, _ := Parse(b, DefaultMax)
	if n != len(b) || flaw != NoFlaw {
		t.Fatalf("%d of %d bytes, %v", n, len(b), flaw)
	}
	if got := h.Source.String() + " " + h.Destination.String(); got != "[::ffff:10.0.0.1]:1 [2001:db8::2]:2" {
		t.Error(got)
	}
	if string(h.Extension(ALPN)) != "h2" || string(h.Extension(Authority)) != "example.org" || h.Extension(UniqueID) != nil || !h.Secure() {
		t.Errorf("extensions %q", h.Extensions)
	}
	if got := h.Extension(SSL); string(got[5:]) != "\x21\x00\x07TLSv1.3\x23\x00\x16TLS_AES_128_GCM_SHA256" {
		t.Errorf("%q", got)
	}
}

func TestParseTLS(t *testing.T) {
	part := func(kind byte, value string) string { return string(AppendExtension(nil, kind, value)) }
	v := "\x07\x00\x00\x00\x02" + part(SSLVersion, "TLSv1.3") + part(SSLCommonName, "anna") + part(0x2f, "?") + part(SSLCipher, "C") + part(SSLSigAlg, "SHA256") + part(SSLKeyAlg, "RSA2048")
	got, ok := ParseTLS([]byte(v))
	if !ok || got.Client != 7 || got.Unverified != 2 || string(got.Version) != "TLSv1.3" || string(got.CommonName) != "anna" || string(got.Cipher) != "C" ||
		string(got.SigAlg) != "SHA256" || string(got.KeyAlg) != "RSA2048" {
		t.Errorf("%v %+v", ok, got)
	}
	for i := range 5 {
		if _, ok := ParseTLS([]byte(v[:i])); ok {
			t.Errorf("%d bytes were enough", i)
		}
	}
}

func TestAppendThose(t *testing.T) {
	all := AppendSSL(AppendExtension(AppendExtension(AppendExtension(nil, UniqueID, "u"), Noop, "xx"), CRC32C, "1234"), "TLSv1.3", "C")
	want := AppendSSL(AppendExtension(nil, UniqueID, "u"), "TLSv1.3", "C")
	if got := AppendThose(nil, all, SSL, UniqueID); !bytes.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := AppendThose(nil, all[:len(all)-1], SSL, UniqueID); string(got) != "\x05\x00\x01u" {
		t.Errorf("of a cut list %q", got)
	}
}

func TestAppendV1(t *testing.T) {
	none := netip.AddrPort{}
	a := netip.MustParseAddrPort
	tests := []struct {
		from, to netip.AddrPort
		want     string
	}{
		{a("192.0.2.1:0"), a("198.51.100.2:443"), "PROXY TCP4 192.0.2.1 198.51.100.2 0 443\r\n"},
		{a("[2001:db8::1]:10100"), a("[::1]:8"), "PROXY TCP6 2001:db8::1 ::1 10100 8\r\n"},
		{a("[::ffff:192.0.2.1]:7"), a("1.1.1.1:8"), "PROXY TCP4 192.0.2.1 1.1.1.1 7 8\r\n"},
		{a("192.0.2.1:7"), a("[::1]:8"), "PROXY TCP6 ::ffff:192.0.2.1 ::1 7 8\r\n"},
		{a("[fe80::1%eth0]:7"), none, "PROXY TCP6 fe80::1 :: 7 0\r\n"},
		{none, a("1.1.1.1:8"), "PROXY UNKNOWN\r\n"},
	}
	for _, c := range tests {
		if got := string(AppendV1(nil, c.from, c.to)); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	if got := string(AppendV2(nil, none, none, nil)); got != v2("\x20\x00\x00\x00") {
		t.Errorf("%q", got)
	}
}

// What Parse accepts it reads the same whether it comes at once or byte by byte, it
// never looks beyond the header, and what it read can be written and read again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET", "PROXY UNKNOWN\r\n", "PROXY TCP6 ::1 ::1 1 1\r\n",
		v2("\x21\x11\x00\x0c" + four), v2("\x21\x21\x00\x24" + six), v2("\x20\x00\x00\x00"), sealed(true), sealed(false), "GET /"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, flaw, at := Parse(b, DefaultMax)
		if flaw != NoFlaw && (n != 0 || at < 0 || at >= max(len(b), 1)) {
			t.Fatalf("%v at %d of %d bytes, n %d", flaw, at, len(b), n)
		}
		for i := range len(b) {
			_, m, early, _ := Parse(b[:i], DefaultMax)
			switch {
			case early != NoFlaw && n > 0, m > 0 && m != n:
				t.Fatalf("the first %d bytes: %d, %v; all: %d, %v", i, m, early, n, flaw)
			}
		}
		if n == 0 || h.Local {
			return
		}
		if again, _, flaw, _ := Parse(AppendV1(nil, h.Source, h.Destination), 0); flaw != NoFlaw || again.Source.Port() != h.Source.Port() ||
			again.Source.Addr().Unmap() != h.Source.Addr().Unmap() {
			t.Fatalf("%v became %v, %v", h.Source, again.Source, flaw)
		}
		again, _, flaw, _ := Parse(AppendV2(nil, h.Source, h.Destination, h.Extensions), 1<<17)
		if flaw != NoFlaw && flaw != Checksum || flaw == NoFlaw && !bytes.Equal(again.Extensions, h.Extensions) {
			t.Fatalf("%+v became %+v, %v", h, again, flaw)
		}
	})
}

// sum is the checksum of a header whose own four bytes are zero.
func sum(header []byte) []byte {
	return binary.BigEndian.AppendUint32(nil, crc32.Checksum(header, crc32.MakeTable(crc32.Castagnoli)))
}
