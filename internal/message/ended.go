package message

// Circumstances are what the connection knows when an answer ends before it is whole.
type Circumstances struct {
	Reused    bool // the connection had served before
	Upgrade   bool // the request asked for an upgrade
	SendBroke bool // sending the request had failed
	// Undelivered: TCP proves that nothing of the request was delivered.
	Undelivered bool
	// Unacked: the peer's kernel acknowledged nothing of the request.
	Unacked bool
	Limit   string // the timer that fired, for timeouts
	Total   bool   // it was the one for the whole exchange
	Local   error  // the send's error, if SendBroke
}
