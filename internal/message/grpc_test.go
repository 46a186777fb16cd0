package message

import (
	"testing"
	"time"
)

func TestIsGRPC(t *testing.T) {
	for s, want := range map[string]bool{"application/grpc": true, "application/grpc+proto": true, "Application/GRPC": true,
		"application/grpc; charset=utf-8": true, "application/grpc-web": false, "application/grpc-web+proto": false,
		"application/grp": false, "": false, "text/html": false} {
		if IsGRPC([]byte(s)) != want {
			t.Errorf("IsGRPC(%q) is not %v", s, want)
		}
	}
}

func TestGRPCTimeout(t *testing.T) {
	for s, want := range map[string]time.Duration{"1S": time.Second, "100m": 100 * time.Millisecond, "3H": 3 * time.Hour,
		"20M": 20 * time.Minute, "5u": 5 * time.Microsecond, "99999999n": 99999999, "99999999M": 99999999 * time.Minute,
		"99999999H": 1_000_000 * time.Hour} {
		if got, ok := GRPCTimeout([]byte(s)); !ok || got != want || got <= 0 {
			t.Errorf("GRPCTimeout(%q) = %v, %v, want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "S", "1", "1s", "123456789S", "-1S", "1.5S", " 1S", "1 S"} {
		if got, ok := GRPCTimeout([]byte(s)); ok {
			t.Errorf("GRPCTimeout(%q) = %v, but it is none", s, got)
		}
	}
}

func TestMadeHead(t *testing.T) {
	var h Head
	h.Append("grpc-status", "14")
	h.Append("grpc-message", "gone")
	f := h.FieldNamed("grpc-message")
	if f == nil || string(h.Bytes(f.Value)) != "gone" || h.FieldNamed("grpc-status-details-bin") != nil {
		t.Errorf("%+v", h)
	}
}
