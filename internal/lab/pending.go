package lab

import "github.com/gatewhy/gatewhy/fault"

// Pending lists rows of the catalogue that no gateway code raises yet: they may
// lack a recipe, and package prove leaves them out. A release has it empty.
var Pending = map[fault.ID]bool{
	fault.RequestH2Error:          true,
	fault.RequestH2Flood:          true,
	fault.H2PrefaceBad:            true,
	fault.H2GotHTTP1:              true,
	fault.H2SettingsInvalid:       true,
	fault.H2SettingsTimeout:       true,
	fault.H2FrameSize:             true,
	fault.H2Padding:               true,
	fault.H2StreamIDInvalid:       true,
	fault.H2FlowViolation:         true,
	fault.H2WindowUpdateBad:       true,
	fault.H2FlowStall:             true,
	fault.H2HPACKError:            true,
	fault.H2HeadersTooLarge:       true,
	fault.H2ContinuationAbuse:     true,
	fault.H2StatusMissing:         true,
	fault.H2StatusInvalid:         true,
	fault.H2PseudoOrder:           true,
	fault.H2FieldUppercase:        true,
	fault.H2ConnectionHeader:      true,
	fault.H2ContentLengthMismatch: true,
	fault.H2TrailersBad:           true,
	fault.H2DataBeforeHeaders:     true,
	fault.H2EndStreamNoFinal:      true,
	fault.H2PushUnexpected:        true,
	fault.H2RSTRefused:            true,
	fault.H2RSTNoError:            true,
	fault.H2RSTCancel:             true,
	fault.H2RSTInternal:           true,
	fault.H2RSTProtocol:           true,
	fault.H2RSTEnhanceCalm:        true,
	fault.H2RSTHTTP11Required:     true,
	fault.H2RSTOther:              true,
	fault.H2InadequateSecurity:    true,
	fault.H2GoawayNoError:         true,
	fault.H2GoawayAboveLast:       true,
	fault.H2GoawayError:           true,
	fault.H2ConnLost:              true,
	fault.H2PingTimeout:           true,
	fault.H2StreamsExhausted:      true,
	fault.H2ControlFlood:          true,
	fault.GRPCStatusMissing:       true,
	fault.GRPCContentType:         true,
	fault.GRPCHTTPStatus:          true,
	fault.GRPCMessageTruncated:    true,
	fault.GRPCCompressedFlagBad:   true,
	fault.GRPCDeadline:            true,
	fault.GRPCTrailersOnlyError:   true,
}

// H2Clients: listeners speak HTTP/2, so that clients that do can be played.
const H2Clients = false
