package check

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// The messages of grpc.health.v1 are as small as messages of protobuf get: a request has
// the service's name in field 1, an answer its status in field 1.
// https://github.com/grpc/grpc/blob/master/doc/health-checking.md

// healthRequest is a HealthCheckRequest with the prefix of a gRPC message: not
// compressed, and its length.
func healthRequest(service string) []byte {
	var m []byte
	if service != "" {
		m = append(m, 1<<3|2) // field 1, with a length
		m = binary.AppendUvarint(m, uint64(len(service)))
		m = append(m, service...)
	}
	b := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m)))
	return append(b, m...)
}

// statuses are those of HealthCheckResponse.ServingStatus.
var statuses = [...]string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

const serving = 1

// healthStatus reads a HealthCheckResponse with its prefix. Fields that are not known are
// passed over, as protobuf has it.
func healthStatus(b []byte) (int, error) {
	if len(b) < 5 || b[0] != 0 || int(binary.BigEndian.Uint32(b[1:])) != len(b)-5 {
		return 0, fmt.Errorf("its message of %d bytes is none of gRPC", len(b))
	}
	status := 0 // what is not there is 0
	for m := b[5:]; len(m) > 0; {
		key, n := binary.Uvarint(m)
		if n <= 0 {
			return 0, fmt.Errorf("its message is cut")
		}
		m = m[n:]
		size := 0
		switch key & 7 {
		case 0:
			v, n := binary.Uvarint(m)
			if n <= 0 {
				return 0, fmt.Errorf("its message is cut")
			}
			if size = n; key>>3 == 1 {
				status = int(min(v, uint64(len(statuses))))
			}
		case 1:
			size = 8
		case 2:
			v, n := binary.Uvarint(m)
			if n <= 0 || v > uint64(len(m)-n) {
				return 0, fmt.Errorf("its message is cut")
			}
			size = n + int(v)
		case 5:
			size = 4
		default:
			return 0, fmt.Errorf("its message is no HealthCheckResponse")
		}
		if size > len(m) {
			return 0, fmt.Errorf("its message is cut")
		}
		m = m[size:]
	}
	return status, nil
}

// serving says what is wrong with the answer to a gRPC check, "" if the service is well.
// status is its grpc-status.
func (q *Question) serving(v *Answer, status string) string {
	what := "the server"
	if q.Service != "" {
		what = "service " + q.Service
	}
	switch {
	case v.Status != 200:
		return fmt.Sprintf("the check of %s is answered with the HTTP status %d", what, v.Status)
	case status == "":
		return fmt.Sprintf("the check of %s is answered without a grpc-status", what)
	case status == "5":
		return "there is no " + what + " (grpc-status 5, NOT_FOUND)"
	case status == "12":
		return "it has no grpc.health.v1.Health (grpc-status 12, UNIMPLEMENTED)"
	case status != "0":
		return fmt.Sprintf("the check of %s ends with grpc-status %.20s", what, strconv.QuoteToASCII(status))
	}
	n, err := healthStatus(v.Body)
	switch {
	case err != nil:
		return fmt.Sprintf("the check of %s: %v", what, err)
	case n >= len(statuses):
		return fmt.Sprintf("%s has a status that nobody knows", what)
	case n != serving:
		return fmt.Sprintf("%s is %s", what, statuses[n])
	}
	return ""
}
