package loop

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// ErrTruncated ends a TLS stream whose transport ended (FIN) without the
// close_notify alert: whoever can inject a FIN can cut what comes by such a
// stream (RFC 8446 §6.1). It wraps io.ErrUnexpectedEOF.
var ErrTruncated error = truncated{}

type truncated struct{}

func (truncated) Error() string { return "TLS stream ended without close_notify" }
func (truncated) Unwrap() error { return io.ErrUnexpectedEOF }

// TLS is a Stream over another one. crypto/tls does the protocol. After the
// handshake it never waits inside crypto/tls, whose locks know nothing of loops:
// a task that waited there would let the next one block on its lock, and with it
// the loop. So Fill waits for a whole record before it asks crypto/tls to open it,
// and what crypto/tls writes is queued and sent when it has returned.
//
// Close sends close_notify if the transport takes it at once; CloseWrite sends
// close_notify and FIN. Sent, Delivery, Local and Remote are the transport's.
type TLS struct {
	s    Stream
	conn *tls.Conn

	// Input: bytes go from s to in, as whole records to conn, from there to the
	// caller's Buffer or to spill.
	in      Buffer
	rec     int   // bytes of the record under way that conn has not got
	end     error // how the transport's input ended; nil while it lasts
	told    bool  // conn knows of end
	left    bool  // conn may hold plaintext
	ended   error // how the plaintext ended; nil while it lasts
	spill   []byte
	filling bool

	// Output: records that the transport has not taken, from off on.
	out      *[]byte // from outPool; nil if none
	off      int
	last     bool  // the record that comes is the last of a Send: no need to queue it
	broken   error // what the transport said to pass
	sending  bool
	notified bool // close_notify was written

	closed    bool
	handshake bool // under way: only then the shim waits
	until     Time // its deadline, or that of Rest

	rest     func(error) // to be run when the stream has input; nil if it does not rest
	rose     func(error) // risen, and with nil; made at the first rest
	risesNow func()
}

// Secure does the handshake of a client on s and returns the stream inside. The
// deadline until is that of the handshake. The error is ErrTimeout,
// ErrInterrupted, what broke the transport, io.EOF or io.ErrUnexpectedEOF if the
// peer closed, or that of crypto/tls, unchanged: *tls.CertificateVerificationError,
// tls.RecordHeaderError, a *net.OpError with the peer's alert. s then stays
// open; an alert to the peer has been sent if it could be at once.
//
// The tls.Config must leave Renegotiation off, and should switch
// DynamicRecordSizing off: each piece of a Send is then one record, which need
// not be copied. Its callbacks find s by [Transport].
func Secure(s Stream, c *tls.Config, until Time) (*TLS, error) {
	return secure(s, nil, c, until, tls.Client)
}

// SecureServer is Secure for the server's side. in, unless it is nil, holds what
// was already read from s; it is empty afterwards.
func SecureServer(s Stream, in *Buffer, c *tls.Config, until Time) (*TLS, error) {
	return secure(s, in, c, until, tls.Server)
}

// Transport is the stream below the handshake whose context a callback of
// tls.Config was given (tls.CertificateRequestInfo.Context and the like); nil if
// it is none of ours. So that one tls.Config serves all connections, and still
// tells them apart.
func Transport(handshake context.Context) Stream {
	s, _ := handshake.Value(transportKey{}).(Stream)
	return s
}

type transportKey struct{}

// handshaking is the context of a handshake. It never ends: the deadline is that
// of the waits.
type handshaking struct {
	context.Context
	s Stream
}

func (h handshaking) Value(key any) any {
	if key == (transportKey{}) {
		return h.s
	}
	return nil
}

func secure(s Stream, in *Buffer, c *tls.Config, until Time, role func(net.Conn, *tls.Config) *tls.Conn) (*TLS, error) {
	t := &TLS{s: s, handshake: true, until: until}
	if in != nil {
		t.in, *in = *in, Buffer{}
	}
	t.conn = role(shim{t}, c)
	err := t.conn.HandshakeContext(handshaking{context.Background(), s})
	if err == nil {
		err = t.flush(until)
	} else {
		_ = t.flush(Try) // the alert
		if t.told && t.end != io.EOF {
			err = t.end
		}
	}
	t.handshake = false
	if err != nil {
		t.in.Release()
		return nil, err
	}
	t.in.ReleaseEmpty()
	return t, nil
}

// ConnectionState is what the handshake agreed on.
func (t *TLS) ConnectionState() tls.ConnectionState { return t.conn.ConnectionState() }

// Transport is the stream below.
func (t *TLS) Transport() Stream { return t.s }

func (t *TLS) Loop() Loop                 { return t.s.Loop() }
func (t *TLS) Local() Address             { return t.s.Local() }
func (t *TLS) Remote() Address            { return t.s.Remote() }
func (t *TLS) Sent() uint64               { return t.s.Sent() }
func (t *TLS) Delivery() (Delivery, bool) { return t.s.Delivery() }

// Ask sends and then waits.
func (t *TLS) Ask(first, second []byte, b *Buffer, until Time) (int, error) {
	return SendThenFill(t, first, second, b, until)
}

// Rest is Stream.Rest. It ends when a whole record has come, or the end.
func (t *TLS) Rest(until Time, f func(error)) {
	if t.filling {
		panic("loop: two tasks in the same direction of a stream")
	}
	if t.rest != nil {
		panic("loop: a stream at rest cannot rest once more")
	}
	if t.rose == nil {
		t.rose, t.risesNow = t.risen, func() { t.risen(nil) }
	}
	t.rest, t.until = f, until
	if !t.closed && t.has() {
		t.s.Loop().Spawn(t.risesNow)
		return
	}
	t.in.ReleaseEmpty()
	t.s.Rest(until, t.rose)
}

// has reports whether a Fill need not wait.
func (t *TLS) has() bool { return len(t.spill) > 0 || t.ready() }

// risen is the task at the end of the transport's rest.
func (t *TLS) risen(err error) {
	if err == nil && !t.closed && !t.has() {
		switch err = t.more(Try); {
		case t.ready():
			err = nil
		case err == nil || err == ErrTimeout: // part of a record
			t.in.ReleaseEmpty()
			t.s.Rest(t.until, t.rose)
			return
		}
	}
	f := t.rest
	t.rest = nil
	f(err)
}

func (t *TLS) Rouse() { t.s.Rouse() }

// Fill is Stream.Fill. The end is io.EOF after close_notify and ErrTruncated
// without; a broken record or an alert is the error of crypto/tls.
func (t *TLS) Fill(b *Buffer, until Time) error {
	if t.closed {
		return ErrClosed
	}
	if b.full() {
		return ErrFull
	}
	if t.filling {
		panic("loop: two tasks in the same direction of a stream")
	}
	if len(t.spill) > 0 {
		n := copy(b.Space(t.s.Loop().Pool()), t.spill)
		b.Took(n)
		t.spill = t.spill[n:]
		return nil
	}
	t.filling = true
	err := t.fill(b, until)
	t.filling = false
	if t.closed {
		t.in.Release()
		return ErrClosed
	}
	t.in.ReleaseEmpty()
	return err
}

func (t *TLS) fill(b *Buffer, until Time) error {
	for {
		if t.ready() {
			fresh := b.data == nil
			n, err := t.open(b.Space(t.s.Loop().Pool()))
			if n > 0 {
				b.Took(n)
				return nil
			}
			if fresh {
				b.Release()
			}
			if err != nil {
				return err
			}
		}
		if err := t.more(until); err != nil || t.closed {
			return err
		}
	}
}

// more waits for input of the transport, or its end, if conn has nothing to open.
func (t *TLS) more(until Time) error {
	if t.ready() {
		return nil
	}
	t.in.ReleaseEmpty()
	switch err := t.s.Fill(&t.in, until); err {
	case nil:
	case ErrTimeout, ErrInterrupted, ErrClosed, ErrFull:
		return err
	default:
		t.end = err
	}
	return nil
}

// ready reports whether conn can do something without input from the transport.
func (t *TLS) ready() bool {
	return t.left || t.end != nil || t.ended != nil || wholeRecord(t.in.Bytes())
}

// open lets conn decrypt into p. 0 and nil mean that what came was not for us (a
// session ticket, a new key, part of a message).
func (t *TLS) open(p []byte) (int, error) {
	if t.ended != nil {
		return 0, t.ended
	}
	n, err := t.conn.Read(p)
	t.left = n == len(p)
	if !t.sending && t.out != nil {
		_ = t.flush(Try) // the answer to a KeyUpdate; what is left goes with the next Send
	}
	if t.out != nil && len(*t.out)-t.off > outMost {
		t.ended = errKeys
	}
	if n > 0 || err == nil || errors.Is(err, errPause) {
		return n, nil
	}
	switch {
	case !t.told:
		t.ended = err
	case t.end != io.EOF:
		t.ended = t.end
	default:
		t.ended = ErrTruncated
	}
	return 0, t.ended
}

// Quiet is Stream.Quiet: false also if only a session ticket has come.
func (t *TLS) Quiet() (quiet, sure bool) {
	if t.closed || t.has() || t.in.Len() > 0 {
		return false, true
	}
	return t.s.Quiet()
}

// Check is Stream.Check for what is inside: records without application data,
// like the session tickets that a TLS 1.3 server sends after the handshake, are
// dealt with on the way and are not input. The end is as in Fill.
func (t *TLS) Check() error {
	if t.closed {
		return ErrClosed
	}
	if len(t.spill) > 0 {
		return ErrInput
	}
	if t.filling {
		return t.s.Check()
	}
	for {
		if t.ready() {
			var one [1]byte
			n, err := t.open(one[:])
			if n > 0 {
				t.spill = append(t.spill, one[0])
				return ErrInput
			}
			if err != nil {
				return err
			}
		}
		switch err := t.more(Try); {
		case err == ErrTimeout && t.in.Len() == 0:
			t.in.ReleaseEmpty()
			return nil
		case err == ErrTimeout:
			return ErrInput // part of a record: perhaps of an answer that nobody asked for
		case err != nil:
			return err
		}
	}
}

// How much plaintext goes into a record at most (RFC 8446 §5.1), and how much of
// it is sealed before it is sent: two records. A call of the kernel costs more
// than copying one of them.
const (
	recordMax = 16 << 10
	sealMax   = 2 * recordMax
)

// Send is Stream.Send. After ErrTimeout or ErrInterrupted n counts what has been
// sealed: its records go out at the next Send, which may be empty.
func (t *TLS) Send(first, second []byte, until Time) (n int, err error) {
	if t.closed {
		return 0, ErrClosed
	}
	if t.sending {
		panic("loop: two tasks in the same direction of a stream")
	}
	if t.notified {
		return 0, syscall.EPIPE
	}
	if t.out != nil {
		if err := t.flush(until); err != nil {
			return 0, err
		}
	}
	if len(first) > 0 && len(second) > 0 && len(first)+len(second) <= joinMax {
		p := scratch.Get().(*[16 << 10]byte)
		defer scratch.Put(p)
		k := copy(p[:], first)
		k += copy(p[k:], second)
		return t.seal(p[:k], nil, until)
	}
	return t.seal(first, second, until)
}

// seal makes records of first and then second, and sends them sealMax at a time:
// a small first goes out together with the beginning of second.
func (t *TLS) seal(first, second []byte, until Time) (n int, err error) {
	for batch := 0; len(first) > 0 || len(second) > 0; {
		p := &first
		if len(first) == 0 {
			p = &second
		}
		k := min(len(*p), recordMax)
		batch += k
		rest := len(first) + len(second) - k
		t.last = rest == 0 || batch+min(rest, recordMax) > sealMax
		_, err := t.conn.Write((*p)[:k])
		full := t.last
		t.last = false
		if err != nil {
			return n, err
		}
		n, *p = n+k, (*p)[k:]
		if full {
			batch = 0
			if err := t.flush(until); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// outPool lends the storage of queued records.
var outPool = sync.Pool{New: func() any { b := make([]byte, 0, 18<<10); return &b }}

func (t *TLS) output() *[]byte {
	if t.out == nil {
		t.out = outPool.Get().(*[]byte)
	}
	return t.out
}

// flush sends the queue. Another task may append to it meanwhile.
func (t *TLS) flush(until Time) error {
	if t.out == nil {
		return nil
	}
	t.sending = true
	err := t.broken
	for err == nil && t.off < len(*t.out) {
		var n int
		n, err = t.s.Send((*t.out)[t.off:], nil, until)
		t.off += n
	}
	t.sending = false
	if err == nil {
		t.drop()
	}
	return err
}

// drop gives the queue's storage back.
func (t *TLS) drop() {
	if t.out != nil {
		*t.out = (*t.out)[:0]
		outPool.Put(t.out)
		t.out, t.off = nil, 0
	}
}

// CloseWrite sends close_notify and FIN. It does not wait: ErrTimeout, and no
// FIN, if a Send that failed left records behind that the transport still
// refuses.
func (t *TLS) CloseWrite() error {
	if t.closed {
		return ErrClosed
	}
	t.notify()
	if t.sending {
		return ErrTimeout
	}
	if err := t.flush(Try); err != nil {
		return err
	}
	return t.s.CloseWrite()
}

// notify queues close_notify, once.
func (t *TLS) notify() {
	if !t.notified {
		t.notified = true
		_ = t.conn.CloseWrite()
	}
}

func (t *TLS) Close() {
	if t.closed {
		return
	}
	if !t.sending {
		t.notify()
		_ = t.flush(Try)
	}
	t.gone()
	t.s.Close()
}

func (t *TLS) Abort() {
	if t.closed {
		return
	}
	t.gone()
	t.s.Abort()
}

func (t *TLS) gone() {
	t.closed = true
	t.spill = nil
	if !t.filling { // else the one who waits for input releases it
		t.in.Release()
	}
}

// The sizes of a record (RFC 8446 §5.1, §5.2; TLS 1.2 allows more than 1.3: RFC
// 5246 §6.2.3).
const (
	recordHeader  = 5
	maxCiphertext = 16<<10 + 2048
)

// recordLen is the length of the record at the start of b, which holds its header.
// One that is too long counts as a header: crypto/tls refuses it by that.
func recordLen(b []byte) int {
	if n := int(b[3])<<8 | int(b[4]); n <= maxCiphertext {
		return recordHeader + n
	}
	return recordHeader
}

func wholeRecord(b []byte) bool {
	return len(b) >= recordHeader && len(b) >= recordLen(b)
}

// errPause tells crypto/tls that no input is there now. It keeps the connection
// usable, as the error says that it is temporary.
var errPause net.Error = pause{}

type pause struct{}

func (pause) Error() string   { return "no whole record yet" }
func (pause) Timeout() bool   { return true }
func (pause) Temporary() bool { return true }

// outMost bounds the queue of a peer that reads nothing: what a Send left, and the
// answers to its wishes for new keys, which it may utter between any two bytes.
const outMost = 128 << 10

// errKeys ends a stream whose peer exceeds that.
var errKeys = errors.New("tls: the peer asks for new keys and reads none of the answers")

// shim is the net.Conn that crypto/tls knows. It gives one record at a time, so
// that crypto/tls never holds input that we do not know of.
type shim struct{ t *TLS }

func (c shim) Read(p []byte) (int, error) {
	t := c.t
	if t.rec == 0 {
		if err := c.await(); err != nil {
			return 0, err
		}
		t.rec = t.in.Len() // all there is before the end, or
		if t.rec >= recordHeader {
			t.rec = recordLen(t.in.Bytes())
		}
	}
	for t.in.Len() == 0 {
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, t.in.Bytes()[:min(t.rec, t.in.Len())])
	t.in.Consume(n)
	t.rec -= n
	return n, nil
}

// await returns when the next record has begun, or the last bytes are there.
func (c shim) await() error {
	t := c.t
	if !t.handshake && !wholeRecord(t.in.Bytes()) && t.end == nil {
		return errPause
	}
	for t.in.Len() < recordHeader && (t.in.Len() == 0 || t.end == nil) {
		if err := c.fill(); err != nil {
			return err
		}
	}
	return nil
}

// fill gets input. It waits, but only in the handshake, when nobody else can
// want crypto/tls's locks.
func (c shim) fill() error {
	t := c.t
	if t.end != nil {
		t.told = true
		return t.end
	}
	if !t.handshake {
		return errPause
	}
	if err := t.flush(t.until); err != nil {
		t.end, t.told = err, true
		return err
	}
	t.in.ReleaseEmpty()
	if err := t.s.Fill(&t.in, t.until); err != nil {
		t.end = err
	}
	return nil
}

// Write queues, or sends what the transport takes at once and queues the rest. It
// must not wait, see TLS.
func (c shim) Write(p []byte) (int, error) {
	t, n := c.t, 0
	if t.last {
		n = t.pass(p)
	}
	if n < len(p) {
		out := t.output()
		*out = append(*out, p[n:]...)
	}
	return len(p), nil
}

// pass hands the queue and then p to the transport, as far as it takes them now,
// and counts the bytes of p that it took. flush tells why it took no more.
func (t *TLS) pass(p []byte) int {
	var queue []byte
	if t.out != nil {
		queue = (*t.out)[t.off:]
	}
	n, err := t.s.Send(queue, p, Try)
	if err != ErrTimeout {
		t.broken = err
	}
	if n < len(queue) {
		t.off += n
		return 0
	}
	t.drop()
	return n - len(queue)
}

func (c shim) Close() error                   { return nil }
func (c shim) LocalAddr() net.Addr            { return shimAddr{c.t.s.Local()} }
func (c shim) RemoteAddr() net.Addr           { return shimAddr{c.t.s.Remote()} }
func (shim) SetDeadline(time.Time) error      { return nil }
func (shim) SetReadDeadline(time.Time) error  { return nil }
func (shim) SetWriteDeadline(time.Time) error { return nil }

// shimAddr is an Address as a net.Addr, for the words of crypto/tls.
type shimAddr struct{ Address }

func (a shimAddr) Network() string {
	if a.Path != "" {
		return "unix"
	}
	return "tcp"
}
