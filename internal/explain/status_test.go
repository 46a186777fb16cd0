package explain

import (
	"bytes"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"
	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// member parses a Proxy-Status field of one member into its node and parameters.
func member(t *testing.T, field []byte) (node any, params map[string]any) {
	t.Helper()
	list, err := httpsfv.UnmarshalList([]string{string(field)})
	if err != nil || len(list) != 1 {
		t.Fatalf("%v: %q", err, field)
	}
	item, ok := list[0].(httpsfv.Item)
	if !ok {
		t.Fatalf("not an item: %q", field)
	}
	params = map[string]any{}
	for _, name := range item.Params.Names() {
		params[name], _ = item.Params.Get(name)
	}
	return item.Value, params
}

func statusOf(t *testing.T, x *trail.Trail, detail bool) map[string]any {
	t.Helper()
	_, params := member(t, look(&Answer{Trail: x, Node: "edge-1", Detail: detail}, testRow).proxyStatus(nil))
	return params
}

// overHTTP2 is badAnswer on a connection that others had opened.
func overHTTP2() *trail.Trail {
	t := badAnswer()
	for i := range t.Tries() {
		t.Attempts[i].HTTP2, t.Attempts[i].Connected = true, 0
	}
	return t
}

func TestTimelineNamesHTTP2(t *testing.T) {
	var b bytes.Buffer
	Incident(&b, overHTTP2(), false)
	if !strings.Contains(b.String(), "HTTP/2") {
		t.Errorf("the timeline does not tell of HTTP/2:\n%s", &b)
	}
}

func TestProxyStatus(t *testing.T) {
	token := func(s string) httpsfv.Token { return httpsfv.Token(s) }
	for _, c := range []struct {
		name   string
		t      *trail.Trail
		detail bool
		want   map[string]any
	}{
		{"public", badAnswer(), false, map[string]any{"error": token("http_protocol_error"), "details": "fault=bad_name id=7K3QM2VX"}},
		{"operator", badAnswer(), true, map[string]any{"error": token("http_protocol_error"), "next-hop": "10.0.0.11:8080",
			"next-protocol": token("http/1.1"), "details": "fault=bad_name id=7K3QM2VX rule=RFC9110-5.6.2 off=22"}},
		{"over HTTP/2", overHTTP2(), true, map[string]any{"error": token("http_protocol_error"), "next-hop": "10.0.0.11:8080",
			"next-protocol": token("h2"), "details": "fault=bad_name id=7K3QM2VX rule=RFC9110-5.6.2 off=22"}},
		{"no connection, no protocol", refusedPost(), true, map[string]any{"error": token("connection_refused"),
			"next-hop": "10.0.0.11:8080", "details": "fault=refused id=7K3QM2VX rule=RFC9293-3.10.7"}},
		{"the upstream's status", cutPost(), true, map[string]any{"error": token("http_response_incomplete"), "next-hop": "10.0.0.11:8080",
			"next-protocol": token("http/1.1"), "received-status": int64(200), "details": "fault=cut_short id=7K3QM2VX rule=RFC9112-8 off=2"}},
		{"the client's fault", badRequest(), false, map[string]any{"error": token("http_request_error"), "status-code": int64(400),
			"details": "fault=bad_request id=00000001"}},
		{"rescued", rescued(), false, map[string]any{"error": token("http_protocol_error")}},
		{"no incident", busy(), false, map[string]any{"error": token("proxy_internal_response"), "details": "fault=shed"}},
	} {
		if d := cmp.Diff(c.want, statusOf(t, c.t, c.detail)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestProxyStatusExtras(t *testing.T) {
	for _, c := range []struct {
		proxy string
		facts []string
		want  map[string]any
	}{
		{"dns_error", []string{"rcode", "SERVFAIL", "ede", "6"}, map[string]any{"rcode": "SERVFAIL", "info-code": int64(6)}},
		{"dns_error", []string{"rcode", "NXDOMAIN", "ede", "6 (bogus)"}, map[string]any{"rcode": "NXDOMAIN", "info-code": int64(6)}},
		{"tls_alert_received", []string{"alert", "40", "value", "handshake failure"},
			map[string]any{"alert-id": int64(40), "alert-message": "handshake failure"}},
		{"http_response_header_size", []string{"field", `"X-Big"`, "size", "70000 bytes"},
			map[string]any{"header-name": "X-Big", "header-size": int64(70000)}},
		{"http_response_header_section_size", []string{"size", "70000"}, map[string]any{"header-section-size": int64(70000)}},
		{"http_response_body_size", []string{"size", "-1"}, map[string]any{}},
		{"http_response_body_size", []string{"size", "9999999999999999"}, map[string]any{}},
		{"http_response_transfer_coding", []string{"coding", "gzip"}, map[string]any{"coding": httpsfv.Token("gzip")}},
		{"http_response_transfer_coding", []string{"coding", "g z"}, map[string]any{}},
		{"connection_refused", []string{"size", "5"}, map[string]any{}},
	} {
		r := fault.Row{ID: "x", Proxy: c.proxy}
		f := &fault.Fault{ID: "x"}
		for i := 0; i < len(c.facts); i += 2 {
			f.With(c.facts[i], c.facts[i+1])
		}
		v := look(&Answer{Trail: &trail.Trail{Fault: f}, Detail: true}, func(fault.ID) *fault.Row { return &r })
		_, got := member(t, v.proxyStatus(nil))
		delete(got, "error")
		delete(got, "details")
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s %v: %s", c.proxy, c.facts, d)
		}
	}
}

// Every row of the catalogue makes a valid member with its token.
func TestProxyStatusCatalogue(t *testing.T) {
	for _, r := range fault.Catalogue() {
		for _, detail := range []bool{false, true} {
			_, got := member(t, ProxyStatus(nil, &Answer{Trail: privateTrail(r), Node: "edge-1", Detail: detail}))
			if token, _ := got["error"].(httpsfv.Token); string(token) != r.Proxy {
				t.Errorf("%s: error %v, want %s", r.ID, got["error"], r.Proxy)
			}
			if details, _ := got["details"].(string); !strings.HasPrefix(details, "fault="+string(r.ID)+" id=7K3QM2VX") {
				t.Errorf("%s: details %q", r.ID, details)
			}
		}
	}
}

func TestNode(t *testing.T) {
	for node, want := range map[string]any{"": httpsfv.Token("gateway"), "edge-1.example.org": httpsfv.Token("edge-1.example.org"),
		"10.0.0.1:80": "10.0.0.1:80", `a "b" \c`: `a "b" \c`, "küche": "k??che", "*x/y": httpsfv.Token("*x/y")} {
		got, params := member(t, Received(nil, node, 503))
		if got != want {
			t.Errorf("%q: %#v, want %#v", node, got, want)
		}
		if d := cmp.Diff(map[string]any{"received-status": int64(503)}, params); d != "" {
			t.Error(d)
		}
	}
}
