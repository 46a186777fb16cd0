package upstream

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/gatewhy/gatewhy/fault"
)

func service(t testing.TB, s string) Target {
	t.Helper()
	list, err := ParseTarget(s)
	if err != nil || len(list) != 1 || list[0].Service == "" {
		t.Fatalf("%s: %v %v", s, list, err)
	}
	return list[0]
}

func TestParseService(t *testing.T) {
	for s, want := range map[string]Target{
		"srv+http://_http._tcp.Example.org":    {Name: "srv+http://_http._tcp.example.org", Service: "_http._tcp.example.org"},
		"srv+https://app.service.consul/":      {Name: "srv+https://app.service.consul", Service: "app.service.consul", Secure: true},
		"SRV+h2c://_grpc._tcp.app.example.org": {Name: "srv+h2c://_grpc._tcp.app.example.org", Service: "_grpc._tcp.app.example.org", H2C: true},
	} {
		if got := service(t, s); got != want {
			t.Errorf("%s: %+v", s, got)
		}
		if back := service(t, want.Name); back != want {
			t.Errorf("%s is read back as %+v", want.Name, back)
		}
	}
	for s, want := range map[string]string{
		"srv+http://":                     "no name: write srv+http://_http._tcp.example.org",
		"srv+http://_http._tcp.a.org:80":  "an SRV name has no port",
		"srv+http://10.0.0.1":             "an address has no SRV records: write http://10.0.0.1",
		"srv+http://_http._tcp.a.org/x":   "a target has no path",
		"srv+ftp://_ftp._tcp.example.org": `unknown scheme "ftp"`,
		"srv+http://a b":                  "cannot stand in a host name",
	} {
		if _, err := ParseTarget(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", s, err, want)
		}
	}
}

func TestLookupService(t *testing.T) {
	const name = "_http._tcp.app.test."
	show := func(f Found) (list []string) {
		for _, t := range f.Targets {
			list = append(list, fmt.Sprintf("%s tier %d weight %d", t.Name, t.Tier, t.Weight))
		}
		return list
	}
	for _, tt := range []struct {
		name, target string
		records      []string
		want         []string
		ttl          time.Duration
		fault        fault.ID
	}{
		{"priorities are tiers, weights weights", "srv+http://" + name, []string{
			name + " 60 SRV 20 1 80 C.app.test.", name + " 60 SRV 10 3 8080 b.app.test.", name + " 30 SRV 10 1 80 a.app.test."},
			[]string{"a.app.test:80 tier 10 weight 1", "b.app.test:8080 tier 10 weight 3", "c.app.test:80 tier 20 weight 1"}, 30 * time.Second, ""},
		{"weight 0 beside others is little", "srv+http://" + name, []string{
			name + " 60 SRV 0 0 80 a.app.test.", name + " 60 SRV 0 2 80 b.app.test.", name + " 60 SRV 0 1 80 c.app.test.", name + " 60 SRV 1 0 80 d.app.test."},
			[]string{"a.app.test:80 tier 0 weight 1", "b.app.test:80 tier 0 weight 1000", "c.app.test:80 tier 0 weight 500", "d.app.test:80 tier 1 weight 1"}, time.Minute, ""},
		{"large weights", "srv+http://" + name, []string{name + " 0 SRV 0 65535 80 a.app.test.", name + " 60 SRV 0 6554 80 b.app.test."},
			[]string{"a.app.test:80 tier 0 weight 1000", "b.app.test:80 tier 0 weight 100"}, ttlLeast, ""},
		{"TLS, by an alias, named twice", "srv+https://" + name, []string{name + " 60 CNAME other.test.", "other.test. 60 SRV 2 1 443 a.app.test.", "other.test. 60 SRV 1 1 443 a.app.test."},
			[]string{"https://a.app.test:443 tier 1 weight 1"}, time.Minute, ""},
		{"h2c and an address that is none", "srv+h2c://" + name, []string{name + " 9000 SRV 0 0 80 a.app.test.", name + " 9000 SRV 0 0 0 b.app.test."},
			[]string{"h2c://a.app.test:80 tier 0 weight 1"}, ttlMost, ""},
		{"there is no such service", "srv+http://" + name, []string{name + " 60 SRV 0 0 0 ."}, nil, time.Minute, ""},
		{"no record", "srv+http://" + name, []string{name + " 60 A 10.0.0.1"}, nil, 0, fault.DNSNodata},
		{"no name", "srv+http://" + name, nil, nil, 0, fault.DNSNxdomain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := nameServer(t, zone(t, tt.records...))
			got, f := LookupService(context.Background(), service(t, tt.target), at, 5*time.Second)
			if f != nil || tt.fault != "" {
				if f == nil || f.ID != tt.fault || !strings.Contains(f.Observed(), "_http._tcp.app.test") {
					t.Errorf("%v, want %s", f, tt.fault)
				}
				return
			}
			if diff := cmp.Diff(tt.want, show(got)); diff != "" || got.TTL != tt.ttl {
				t.Errorf("TTL %v, %s", got.TTL, diff)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	silent := nameServer(t, func(dns.ResponseWriter, *dns.Msg) {})
	if _, f := LookupService(ctx, service(t, "srv+http://"+name), silent, time.Hour); f == nil || f.ID != fault.DNSTimeout {
		t.Errorf("%v", f)
	}
}

// An upstream of nothing says so.
func TestEmptyUpstream(t *testing.T) {
	if _, err := New(Options{Name: "app"}); err == nil {
		t.Error("no target, and no reason")
	}
	if _, err := New(Options{Name: "app", Targets: []Target{service(t, "srv+http://a.test")}}); err == nil {
		t.Error("a name is taken for an endpoint")
	}
	u, err := New(Options{Name: "app", Empty: "a.test is not there"})
	if err != nil {
		t.Fatal(err)
	}
	p, _ := at(u)
	if _, f := p.Pick(nil, 0); f == nil || f.ID != fault.PoolEmpty || f.Observed() != "no endpoint of app is known: a.test is not there" {
		t.Errorf("%v", f)
	}
}
