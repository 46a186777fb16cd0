package explain

import "github.com/gatewhy/gatewhy/fault"

// The gRPC statuses that a gateway has to give.
const (
	grpcCancelled         = 1
	grpcUnknown           = 2
	grpcDeadlineExceeded  = 4
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcInternal          = 13
	grpcUnavailable       = 14
)

// grpcStatuses are those of faults whose HTTP status does not say it.
var grpcStatuses = map[fault.ID]int{
	fault.ClientGone:            grpcCancelled,
	fault.GRPCContentType:       grpcUnknown,
	fault.GRPCDeadline:          grpcDeadlineExceeded,
	fault.RequestBodyTooLarge:   grpcResourceExhausted,
	fault.BodyTooLarge:          grpcResourceExhausted,
	fault.GRPCStatusMissing:     grpcInternal,
	fault.GRPCMessageTruncated:  grpcInternal,
	fault.GRPCCompressedFlagBad: grpcInternal,
}

// GRPCStatus is the grpc-status that tells a gRPC client of a fault. What would be
// a 502, 503 or 504 is UNAVAILABLE, as clients make of those themselves (gRPC's
// http-grpc-status-mapping).
func GRPCStatus(f *fault.Fault) int {
	if s, ok := grpcStatuses[f.ID]; ok {
		return s
	}
	switch f.Row().Status {
	case 502, 503, 504, 408, 429:
		return grpcUnavailable
	case 400, 411, 413, 414, 417, 431, 500:
		return grpcInternal
	case 501, 505, 404, 405:
		return grpcUnimplemented
	}
	return grpcUnknown
}

// GRPCMessage appends the value of grpc-message: one line for the program's log,
// with the fault's name and the incident. It is percent-encoded (gRPC
// PROTOCOL-HTTP2: all but visible ASCII and spaces, and "%").
func GRPCMessage(dst []byte, a *Answer) []byte {
	v := look(a, fault.Lookup)
	said := v.sentences().Short
	if a.Detail {
		said = v.f.Observed()
	}
	s := string(v.f.ID) + ": " + said
	if id := v.incident(); id != "" {
		s += " (" + v.say.Incident + " " + id + ")"
	}
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '%' {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}
