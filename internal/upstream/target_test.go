package upstream

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseTarget(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []Target
	}{
		{"app:3000", []Target{{Name: "app:3000", Host: "app", Port: 3000}}},
		{":3000", []Target{{Name: "localhost:3000", Host: "localhost", Port: 3000}}},
		{":3000-3002", []Target{
			{Name: "localhost:3000", Host: "localhost", Port: 3000},
			{Name: "localhost:3001", Host: "localhost", Port: 3001},
			{Name: "localhost:3002", Host: "localhost", Port: 3002}}},
		{"http://App.Example", []Target{{Name: "app.example:80", Host: "app.example", Port: 80}}},
		{"http://app:3000/", []Target{{Name: "app:3000", Host: "app", Port: 3000}}},
		{"HTTPS://app", []Target{{Name: "https://app:443", Host: "app", Port: 443, Secure: true}}},
		{"https://[::1]:8443", []Target{{Name: "https://[::1]:8443", Host: "::1", Port: 8443, Secure: true}}},
		{"https://[::1]", []Target{{Name: "https://[::1]:443", Host: "::1", Port: 443, Secure: true}}},
		{"[2001:DB8:0::1]:80", []Target{{Name: "[2001:db8::1]:80", Host: "2001:db8::1", Port: 80}}},
		{"[fe80::1%eth0]:80", []Target{{Name: "[fe80::1%eth0]:80", Host: "fe80::1%eth0", Port: 80}}},
		{"10.0.0.7:80", []Target{{Name: "10.0.0.7:80", Host: "10.0.0.7", Port: 80}}},
		{"app.:80", []Target{{Name: "app.:80", Host: "app.", Port: 80}}},
		{"my_app:80", []Target{{Name: "my_app:80", Host: "my_app", Port: 80}}},
		{"unix:/run/app.sock", []Target{{Name: "unix:/run/app.sock", Path: "/run/app.sock"}}},
		{"unix:///run/app.sock", []Target{{Name: "unix:/run/app.sock", Path: "/run/app.sock"}}},
	} {
		got, err := ParseTarget(c.in)
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%q: %s", c.in, d)
		}
	}
}

func TestParseTargetRefuses(t *testing.T) {
	for in, hint := range map[string]string{
		"":                                 "HOST:PORT",
		"app":                              "write app:80 or http://app",
		"3000":                             "write :3000",
		"app:":                             "no port after the colon",
		"app:0":                            "from 1 to 65535",
		"app:65536":                        "from 1 to 65535",
		"app:+80":                          "from 1 to 65535",
		"app:http":                         "from 1 to 65535",
		":3003-3000":                       "write 3000-3003",
		":1-60000":                         "at most 256",
		"::1:3000":                         "write [::1]:3000",
		"[::1:3000":                        "not closed",
		"[::1]3000":                        "comes :PORT",
		"[1.2.3.4]:80":                     "not an IPv6 address",
		"1.2.3:80":                         "neither an IP address nor a host name",
		"0.0.0.0:80":                       "write 127.0.0.1",
		"[::]:80":                          "write [::1]",
		"ftp://app":                        `unknown scheme "ftp"`,
		"http://app/path":                  `drop "/path"`,
		"http://me:pw@app":                 `drop "me:pw@"`,
		"http://":                          "HOST:PORT",
		"bücher:80":                        "A-label",
		"a b:80":                           "cannot stand in a host name",
		"a..b:80":                          "empty label",
		"unix:run/app.sock":                "absolute",
		"unix:/a\x00b":                     "NUL",
		"unix:/" + longName(120):           "at most 107",
		longName(64) + ":80":               "more than 63",
		strings.Repeat("ab.", 90) + "c:80": "at most 253",
	} {
		got, err := ParseTarget(in)
		if err == nil {
			t.Errorf("%q: accepted as %v", in, got)
			continue
		}
		if !strings.Contains(err.Error(), hint) || !strings.Contains(err.Error(), "target ") {
			t.Errorf("%q: %q does not say %q", in, err, hint)
		}
	}
}

func longName(n int) string { return strings.Repeat("x", n) }

// A target's name reads back as that target: what logs show can be typed.
func FuzzParseTarget(f *testing.F) {
	f.Add("srv+https://_http._tcp.example.org")
	for _, s := range []string{"app:3000", ":3000-3003", "https://[::1%lo]:8443", "unix:/run/a", "http://x", "10.0.0.7:80", "[::1]:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := ParseTarget(s)
		if (err == nil) != (len(list) > 0) {
			t.Fatalf("%q: %d targets and error %v", s, len(list), err)
		}
		for _, want := range list {
			if address := want.Path == "" && want.Service == ""; address != (want.Port != 0) || address != (want.Host != "") {
				t.Errorf("%q: %+v is neither TCP nor unix", s, want)
			}
			again, err := ParseTarget(want.Name)
			if err != nil || len(again) != 1 || again[0] != want {
				t.Errorf("%q: %+v reads back as %+v, %v", s, want, again, err)
			}
		}
	})
}
