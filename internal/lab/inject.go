package lab

import "syscall"

// Injection is what an engine must pretend in the place of the network or the
// machine. The zero value pretends nothing.
//
// Package loop/faulty can do what concerns connections; SpoolErrno and Panic are
// for whoever puts the gateway together.
type Injection struct {
	// DialErrno is what every connect to the origin ends in.
	DialErrno syscall.Errno
	// PauseAfterConnect hands a fresh connection over only when the peer's FIN or
	// RST has arrived.
	PauseAfterConnect bool
	// HideClose lets Stream.Check say that a connection is well whose FIN has
	// arrived: the FIN crosses the request.
	HideClose bool
	// NoAck lets Stream.Delivery say that nothing was ever acknowledged.
	NoAck bool
	// SpoolErrno is what writing a request body to disk ends in.
	SpoolErrno syscall.Errno
	// Panic makes the exchange panic once, where it would make its attempt.
	Panic bool
}

// Any reports whether there is anything to pretend.
func (i Injection) Any() bool { return i != Injection{} }
