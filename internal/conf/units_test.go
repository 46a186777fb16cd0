package conf

import (
	"testing"
	"time"
)

func TestSizes(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "512": 512, "512B": 512, "1kB": 1000, "1KB": 1000, "64KiB": 65536,
		"10MB": 10e6, "3 MiB": 3 << 20, "1GiB": 1 << 30, "1TiB": 1 << 40, "2GB": 2e9, "1TB": 1e12} {
		if n, err := ParseSize(s); err != nil || n != want {
			t.Errorf("%s: %d, %v, want %d", s, n, err, want)
		}
	}
	for _, n := range []int64{0, 1, 1000, 1024, 1500, 65536, 1 << 20, 3 << 30, 1<<40 + 1} {
		s := FormatSize(n)
		if back, err := ParseSize(s); err != nil || back != n {
			t.Errorf("%d is written %s and read %d, %v", n, s, back, err)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 40 * time.Millisecond: "40ms", time.Minute: "1m", 75 * time.Second: "1m15s",
		10 * time.Minute: "10m", time.Hour: "1h", 90 * time.Minute: "1h30m"} {
		if s := FormatDuration(d); s != want {
			t.Errorf("%v is written %s, want %s", d, s, want)
		}
		if back, err := ParseDuration(FormatDuration(d)); err != nil || back != d {
			t.Errorf("%v is read back as %v, %v", d, back, err)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"0", "64KiB", "10MB", "-1", "9223372036854775807", "8EiB", "1 kB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err != nil {
			return
		}
		if n < 0 {
			t.Fatalf("%q is %d", s, n)
		}
		if back, err := ParseSize(FormatSize(n)); err != nil || back != n {
			t.Fatalf("%q is %d, written %s, read %d, %v", s, n, FormatSize(n), back, err)
		}
	})
}

// What people write elsewhere is understood well enough to say how it is written
// here, and a suggestion can always be read.
func TestBetterUnits(t *testing.T) {
	for in, want := range map[string]string{"30": "30s", "0.5": "0.5s", "5000": "5000ms", "5 sec": "5s", "2 minutes": "2m", "1d": "24h", "100 msecs": "100ms",
		"1hr": "1h", "soon": "", "": "", "s": "", "99999d": "", "5x": ""} {
		got, _ := betterDuration(in)
		if got != want {
			t.Errorf("%q is better written %q, want %q", in, got, want)
		}
		if _, err := ParseDuration(got); got != "" && err != nil {
			t.Errorf("%q is suggested and refused: %v", got, err)
		}
	}
	for in, want := range map[string]string{"65536": "64KiB", "1000": "1000B", "10M": "10MiB", "64k": "64KiB", "1g": "1GiB", "2 mb": "2MB", "1t": "1TiB", "3 bytes": "3B",
		"big": "", "": "", "1.5M": "", "7q": ""} {
		got, _ := betterSize(in)
		if got != want {
			t.Errorf("%q is better written %q, want %q", in, got, want)
		}
		if _, err := ParseSize(got); got != "" && err != nil {
			t.Errorf("%q is suggested and refused: %v", got, err)
		}
	}
}
