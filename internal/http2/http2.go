// Package http2 is a connection that speaks HTTP/2 (RFC 9113), at the client's and
// at the upstream's side.
//
// At the client's side a [Server] is the connection and a [Stream] one request on
// it: server.go is its life, server_frames.go what comes, server_send.go what goes,
// stream.go and stream_answer.go are a request and its answer.
//
// At the upstream's side a [Link] is the connection and a [Line] one request on
// it; link_frames.go is what comes. A Link has two tasks, one that reads for all its
// lines and one that sends what they composed since it last did. It knows whose
// mistake a broken rule is, and lifts the codec's flaw to a fault with the bytes
// that prove it (words.go).
package http2
