package wire

import (
	"net/netip"
	"strings"
	"testing"
)

var addresses = []string{
	"", "1", ".", ":", "::", "::1", "1::", "1::2", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8",
	"1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", ":1", "1:", ":::", "1:::2", "12345::", "g::", "FFFF::abCD", "2001:db8::0001", "0000:0::",
	"192.0.2.1", "0.0.0.0", "255.255.255.255", "256.1.1.1", "01.1.1.1", "1.1.1", "1.1.1.1.1", "1..1.1", "1.1.1.", ".1.1.1", "1.1.1.1 ", "1.1.1.+1", "1000.1.1.1",
	"::ffff:192.0.2.1", "::192.0.2.1", "1:2:3:4:5:6:192.0.2.1", "1:2:3:4:5:192.0.2.1", "1:2:3:4:5:6:7:192.0.2.1", "1:2:3:4:5:6::192.0.2.1", "192.0.2.1::", "::1.2.3",
	"::192.0.2.1:1", "::1.2.3.256", "fe80::1%eth0", "[::1]", "1.1.1.1:80", "::\x00", "::a.1.1.1", "::1234.1.1.1",
}

func FuzzParseAddr(f *testing.F) {
	for _, s := range addresses {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := ParseAddr([]byte(s))
		want, err := netip.ParseAddr(s)
		if good := err == nil && !strings.Contains(s, "%"); ok != good || ok && got != want {
			t.Fatalf("%q is %v, %v; netip says %v, %v", s, got, ok, want, err)
		}
	})
}

func TestParseAddrAllocatesNothing(t *testing.T) {
	for _, s := range addresses {
		b := []byte(s)
		if n := testing.AllocsPerRun(10, func() { ParseAddr(b) }); n != 0 {
			t.Errorf("%s: %v allocations", s, n)
		}
	}
}
