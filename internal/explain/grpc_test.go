package explain

import (
	"net/url"
	"strings"
	"testing"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

func TestGRPCStatus(t *testing.T) {
	for id, want := range map[fault.ID]int{fault.ConnectRefused: 14, fault.HeadTimeoutFirstByte: 14, fault.OverloadShed: 14,
		fault.GRPCDeadline: 4, fault.GRPCStatusMissing: 13, fault.GRPCContentType: 2, fault.GRPCStatusInBodyH1: 14,
		fault.H2RSTRefused: 14, fault.ClientGone: 1, fault.RequestHeaderMalformed: 13, fault.RequestMethodUnsupported: 12,
		fault.BodyTooLarge: 8, fault.GatewayInternalError: 13} {
		if got := GRPCStatus(fault.New(id)); got != want {
			t.Errorf("%s: grpc-status %d, want %d", id, got, want)
		}
	}
	for _, r := range fault.Catalogue() {
		if got := GRPCStatus(fault.New(r.ID)); got < 1 || got > 16 {
			t.Errorf("%s: grpc-status %d is none of a failure", r.ID, got)
		}
	}
}

func TestGRPCMessage(t *testing.T) {
	f := fault.New(fault.HeaderNoColon, "offset", "12", "line", "\"garbage 50% é\n\"")
	tr := &trail.Trail{Fault: f, Incident: [8]byte{'7', 'K', '3', 'Q', 'M', '2', 'V', 'X'}}
	public := string(GRPCMessage(nil, &Answer{Trail: tr}))
	if strings.Contains(public, "garbage") || !strings.HasPrefix(public, "header_no_colon: ") || !strings.HasSuffix(public, "(incident 7K3QM2VX)") {
		t.Errorf("a user reads %q", public)
	}
	full := string(GRPCMessage(nil, &Answer{Trail: tr, Detail: true}))
	if strings.ContainsFunc(full, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("%q is not percent-encoded", full)
	}
	if plain, err := url.PathUnescape(full); err != nil || !strings.Contains(plain, "garbage 50% é\n") {
		t.Errorf("an operator reads %q: %v", plain, err)
	}
}
