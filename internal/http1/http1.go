// Package http1 is a connection that speaks HTTP/1.1, from either hand of a
// gateway: [Client] reads requests and [Answer] reads what an upstream says;
// compose.go writes heads to both.
//
// It knows whose mistake a broken message is, and lifts a codec's flaw to a
// fault with the bytes that prove it (lift.go). It decides neither status nor
// retry: those stand in the fault's row and in package reverse.
package http1

import (
	"time"

	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// Limits of one side: what is read, and how much of it.
type Limits struct {
	h1.Limits
	// Body bounds a message's payload in bytes; 0 means no limit.
	Body int64
}

// Timeouts of the client's side. 0 means no limit.
type Timeouts struct {
	Head      time.Duration // from the first byte of a request, or a new connection, to the end of its head
	Body      time.Duration // between two reads of a request's body
	KeepAlive time.Duration // idle between two requests
	Reply     time.Duration // between two writes that the client's side takes bytes of
}
