package lab

import "github.com/gatewhy/gatewhy/fault"

// Pending lists rows of the catalogue that no gateway code raises yet: they may
// lack a recipe, and package prove leaves them out. A release has it empty.
var Pending = map[fault.ID]bool{
	fault.RequestH2Error: true,
	fault.RequestH2Flood: true,
}

// H2Clients: listeners speak HTTP/2, so that clients that do can be played.
const H2Clients = false
