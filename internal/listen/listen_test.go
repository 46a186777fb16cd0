package listen

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/internal/loop"
)

func TestParse(t *testing.T) {
	ip := func(list ...string) (a []loop.Address) {
		for _, s := range list {
			a = append(a, loop.Address{IP: netip.MustParseAddrPort(s)})
		}
		return a
	}
	for _, c := range []struct {
		in   string
		want [][]loop.Address
		url  string
	}{
		{":8080", [][]loop.Address{ip("[::]:8080"), ip("0.0.0.0:8080")}, "http://localhost:8080"},
		{"*:80", [][]loop.Address{ip("[::]:80"), ip("0.0.0.0:80")}, "http://localhost"},
		{"127.0.0.1:8080", [][]loop.Address{ip("127.0.0.1:8080")}, "http://127.0.0.1:8080"},
		{"0.0.0.0:8080", [][]loop.Address{ip("0.0.0.0:8080")}, "http://localhost:8080"},
		{"localhost:8080", [][]loop.Address{ip("127.0.0.1:8080", "[::1]:8080"), ip("127.0.0.1:8080")}, "http://localhost:8080"},
		{"localhost:0", [][]loop.Address{ip("127.0.0.1:0")}, "http://localhost:0"},
		{"[::1]:8080", [][]loop.Address{ip("[::1]:8080")}, "http://[::1]:8080"},
		{"[::]:8080", [][]loop.Address{ip("[::]:8080")}, "http://localhost:8080"},
		{"unix:/run/web.sock", [][]loop.Address{{{Path: "/run/web.sock"}}}, "unix:/run/web.sock"},
		{"http://:8080", [][]loop.Address{ip("[::]:8080"), ip("0.0.0.0:8080")}, "http://localhost:8080"},
		{"http://127.0.0.1", [][]loop.Address{ip("127.0.0.1:80")}, "http://127.0.0.1"},
		{"https://:8443", [][]loop.Address{ip("[::]:8443"), ip("0.0.0.0:8443")}, "https://localhost:8443"},
		{"https://", [][]loop.Address{ip("[::]:443"), ip("0.0.0.0:443")}, "https://localhost"},
		{"https://[::1]/", [][]loop.Address{ip("[::1]:443")}, "https://[::1]"},
		{"https://[::1]:80", [][]loop.Address{ip("[::1]:80")}, "https://[::1]:80"},
	} {
		l, err := Parse(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if diff := cmp.Diff(c.want, l.Alternatives, cmp.Comparer(func(a, b loop.Address) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.in, diff)
		}
		if got := l.URL(l.Alternatives[0][0]); got != c.url {
			t.Errorf("%s is shown as %s, want %s", c.in, got, c.url)
		}
	}
	for in, want := range map[string]string{
		"": "no port", "8080": "write :8080", "localhost": "write localhost:8080", ":x": "not a port", ":65536": "not a port",
		"::1:8080": "brackets", "[::1]": "write [::1]:8080", "ftp://localhost:8080": "http or https", "app.example:8080": "not an address of this machine",
		"unix:web.sock": "absolute", "unix:": "absolute",
	} {
		if l, err := Parse(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, want a word on %q", in, l, err, want)
		}
	}
}

// A port can be taken once: an address that means all takes it everywhere.
func TestOverlaps(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{":80", "127.0.0.1:80", true}, {"127.0.0.1:80", ":80", true}, {":80", "[::1]:80", true}, {"0.0.0.0:80", "127.0.0.1:80", true},
		{"0.0.0.0:80", "[::1]:80", false}, {"127.0.0.1:80", "127.0.0.2:80", false}, {":80", ":81", false}, {"localhost:80", "127.0.0.1:80", true},
		{":0", ":0", false}, {"unix:/a", "unix:/a", true}, {"unix:/a", "unix:/b", false}, {"unix:/a", ":80", false}, {":80", "https://:80", true},
	} {
		a, err := Parse(c.a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Parse(c.b)
		if err != nil {
			t.Fatal(err)
		}
		if a.Overlaps(b) != c.want || b.Overlaps(a) != c.want {
			t.Errorf("%s and %s: %v and %v, want %v", c.a, c.b, a.Overlaps(b), b.Overlaps(a), c.want)
		}
	}
}
