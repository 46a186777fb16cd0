package accesslog

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestEndpointLines(t *testing.T) {
	e := &Endpoint{At: 1_767_225_600_123_000_000, Upstream: "api", Endpoint: "127.0.0.1:3001", From: "up", To: "ejected",
		Why: "5 failures in a row", Fault: "connect_refused", For: 5_200_000_000}
	want := `{"ts":"2026-01-01T00:00:00.123Z","kind":"endpoint","upstream":"api","endpoint":"127.0.0.1:3001","from":"up","to":"ejected",` +
		`"why":"5 failures in a row","fault":"connect_refused","for_ms":5200}` + "\n"
	if got := string(AppendEndpoint(nil, JSON, e)); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	if got := string(AppendEndpoint(nil, Text, e)); !strings.HasSuffix(got, "  endpoint 127.0.0.1:3001 of api is ejected for 5 s: 5 failures in a row (connect_refused)\n") {
		t.Errorf("%s", got)
	}
	e = &Endpoint{Endpoint: "a\nb", From: "down", To: "down", Why: "x\x1b[2J\"y"}
	if got := string(AppendEndpoint(nil, Text, e)); strings.Count(got, "\n") != 1 || strings.Contains(got, "\x1b") || !strings.Contains(got, "still down") {
		t.Errorf("%q", got)
	}
	if got := AppendEndpoint(nil, JSON, e); !json.Valid(got) {
		t.Errorf("%s", got)
	}
}
