package upstream

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
)

const (
	// evidenceMost bounds the plaintext kept as evidence: a status line, some
	// fields and the sentence of an error page.
	evidenceMost = 512

	// namesMost bounds how many of a certificate's names are told.
	namesMost = 8
)

// secure makes the endpoint's configuration.
func (e *Endpoint) secure() {
	o := &e.up.o
	e.name = strings.TrimSuffix(cmp.Or(o.ServerName, e.target.Host), ".")
	e.tls = &tls.Config{
		RootCAs:    o.CA,
		ServerName: cmp.Or(o.SNI, e.name),
		MinVersion: tls.VersionTLS12,
		// One session is enough: the latest ticket is the best. It belongs to this
		// endpoint, since others need not share its keys, and crypto/tls keys the cache
		// by the server name, which endpoints do share.
		ClientSessionCache:   tls.NewLRUClientSessionCache(1),
		GetClientCertificate: e.clientCertificate,
		// Records are as large as the pieces that are sent.
		DynamicRecordSizingDisabled: true,
	}
	switch {
	case o.Trusting:
		e.tls.InsecureSkipVerify = true
	case e.tls.ServerName != e.name:
		e.tls.InsecureSkipVerify = true // what crypto/tls would verify is not the name that counts
		e.tls.VerifyConnection = e.verify
	}
	e.both = e.tls.Clone()
	e.tls.NextProtos, e.both.NextProtos = []string{"http/1.1"}, []string{"h2", "http/1.1"}
	if e.prior() {
		e.tls.NextProtos = []string{"h2"}
		e.both.NextProtos = e.tls.NextProtos
	}
}

// verify does what crypto/tls does for its ServerName, for the name that counts.
func (e *Endpoint) verify(s tls.ConnectionState) error {
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: e.tls.RootCAs, DNSName: e.name, Intermediates: between})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
	}
	return nil
}

// clientCertificate answers an endpoint that asks for a certificate of ours.
func (e *Endpoint) clientCertificate(q *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if t, ok := loop.Transport(q.Context()).(*tap); ok {
		t.wanted = true
	}
	if c := e.up.o.Certificate; c != nil {
		return c, nil
	}
	return &tls.Certificate{}, nil // we have none
}

// secure does the TLS handshake on s, which it closes if that fails.
func (p *Local) secure(e *Endpoint, s loop.Stream, until loop.Time, tm *Timing, alone bool) (loop.Stream, *fault.Fault) {
	began := p.loop.Now()
	limit := p.up.o.Timeouts.Secure
	tap := &tap{Stream: s, first: make([]byte, 0, evidenceMost)}
	config := e.tls
	if !alone && e.mayShare(began) {
		config = e.both
	}
	t, err := loop.Secure(tap, config, min(until, began.Add(int64(limit))))
	if err == nil {
		tap.first = nil
		tm.Secured = p.loop.Now()
		return t, nil
	}
	s.Close() // not Abort: our alert tells the endpoint's log what we did not like
	now := p.loop.Now()
	took := time.Duration(now - began)
	switch {
	case errors.Is(err, loop.ErrInterrupted):
		return nil, interrupted(fault.Secure)
	case errors.Is(err, loop.ErrTimeout) && now >= until:
		return nil, cut(fault.Secure, e, took)
	}
	f := handshakeFault(err, tap.first)
	if tap.wanted && p.up.o.Certificate == nil && f.ID == fault.TLSAlertHandshakeFailure {
		// "If the client does not send any certificates, the server MAY at its
		// discretion either continue the handshake without client authentication,
		// or respond with a fatal handshake_failure alert."
		// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.6
		f.ID = fault.TLSAlertCertificateRequired
	}
	f.With("endpoint", e.target.Name).With("address", tm.Address).With("host", e.name).
		With("limit", short(limit)).With("after", short(took))
	return nil, f.Because(err)
}

// tap keeps the first bytes that come in, so that a handshake with something
// that is not TLS can show what it got.
type tap struct {
	loop.Stream
	first  []byte // nil once nobody wants to know
	wanted bool   // it asked for a certificate of ours
}

// Fill implements loop.Stream.
func (t *tap) Fill(b *loop.Buffer, until loop.Time) error {
	before := b.Len()
	err := t.Stream.Fill(b, until)
	if t.first != nil && err == nil {
		came := b.Bytes()[before:]
		t.first = append(t.first, came[:min(len(came), evidenceMost-len(t.first))]...)
	}
	return err
}

// handshakeFault says what a failed handshake means; first is what the peer sent.
func handshakeFault(err error, first []byte) *fault.Fault {
	var header tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	if errors.As(err, &verify) {
		return certificateFault(verify)
	}
	if f := alertFault(err); f != nil {
		return f
	}
	switch {
	case errors.Is(err, loop.ErrTimeout):
		return fault.New(fault.TLSHandshakeTimeout, "errno", "ETIMEDOUT")
	case errors.As(err, &header):
		if isRecord(header.RecordHeader[:]) {
			break // TLS, but broken
		}
		if !bytes.HasPrefix(first, header.RecordHeader[:]) {
			first = header.RecordHeader[:]
		}
		return gotPlaintext(first)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, loop.ErrTruncated):
		if len(first) > 0 && !isRecord(first) {
			return gotPlaintext(first) // less than a record's header, then FIN
		}
		return fault.New(fault.TLSEOFInHandshake, "received", strconv.Itoa(len(first)))
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return fault.New(fault.TLSRSTInHandshake, "errno", errno(err), "received", strconv.Itoa(len(first)))
	}
	return fault.New(fault.TLSHandshakeInvalid, "got", strings.TrimPrefix(strings.TrimPrefix(err.Error(), "local error: "), "tls: "))
}

func gotPlaintext(first []byte) *fault.Fault {
	line, _, _ := bytes.Cut(first, []byte("\n"))
	f := fault.New(fault.TLSGotPlaintext, "got", strconv.QuoteToASCII(string(bytes.TrimRight(line[:min(len(line), 80)], "\r"))))
	f.Saw = &fault.Excerpt{Bytes: bytes.Clone(first), Mark: 0}
	return f
}

// isRecord reports whether b begins as a TLS record does (RFC 8446 §5.1).
func isRecord(b []byte) bool {
	return len(b) > 1 && b[0] >= 20 && b[0] <= 23 && b[1] == 3 || len(b) == 1 && b[0] >= 20 && b[0] <= 23
}

// alertNumbers finds an alert's number by its text: crypto/tls keeps the type of
// a received alert to itself, and exports only the texts.
var alertNumbers = func() map[string]uint8 {
	m := map[string]uint8{}
	for n := range 256 {
		m[tls.AlertError(n).Error()] = uint8(n)
	}
	return m
}()

// alertFault lifts an alert that the peer sent (RFC 8446 §6); nil if err is none.
func alertFault(err error) *fault.Fault {
	number, text := -1, ""
	var op *net.OpError
	var alert tls.AlertError
	switch {
	case errors.As(err, &op) && op.Op == "remote error" && op.Err != nil:
		n, ok := alertNumbers[op.Err.Error()]
		if !ok {
			return nil
		}
		number, text = int(n), op.Err.Error()
	case errors.As(err, &alert):
		number, text = int(alert), alert.Error()
	default:
		return nil
	}
	id := fault.TLSAlertOther
	switch number {
	case 40:
		id = fault.TLSAlertHandshakeFailure
	case 48:
		id = fault.TLSAlertUnknownCA
	case 70:
		id = fault.TLSAlertProtocolVersion
	case 112:
		id = fault.TLSAlertUnrecognizedName
	case 116:
		id = fault.TLSAlertCertificateRequired
	case 120:
		id = fault.TLSAlertNoApplicationProtocol
	}
	text = strings.TrimPrefix(text, "tls: ")
	return fault.New(id, "alert", strconv.Itoa(number), "value", text, "version", "TLS 1.2 to TLS 1.3")
}

// TLSFault lifts what ended an established TLS stream: an alert that came after
// the handshake (in TLS 1.3 the wish for a client certificate does), a record
// that cannot be decrypted, or FIN without close_notify. nil if err is none of
// these: then TLS has nothing to do with it.
func TLSFault(err error) *fault.Fault {
	if f := alertFault(err); f != nil {
		return f.Because(err)
	}
	var header tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.Is(err, loop.ErrTruncated):
		return fault.New(fault.TLSTruncation).Because(err)
	case errors.As(err, &header):
		f := fault.New(fault.TLSRecordCorrupt, "got", header.Msg).Because(err)
		f.Saw = &fault.Excerpt{Bytes: bytes.Clone(header.RecordHeader[:]), Mark: 0}
		return f
	case errors.As(err, &op) && op.Op == "local error" && op.Err != nil:
		// Our own alert: crypto/tls sends one when it cannot go on with a record.
		return fault.New(fault.TLSRecordCorrupt, "got", strings.TrimPrefix(op.Err.Error(), "tls: ")).Because(err)
	}
	return nil
}

// certificateFault says why a certificate was not accepted (RFC 5280 §6).
func certificateFault(v *tls.CertificateVerificationError) *fault.Fault {
	var (
		invalid   x509.CertificateInvalidError
		name      x509.HostnameError
		authority x509.UnknownAuthorityError
		leaf      *x509.Certificate
	)
	if len(v.UnverifiedCertificates) > 0 {
		leaf = v.UnverifiedCertificates[0]
	}
	id, about := fault.TLSCertUsage, leaf
	switch {
	case errors.As(v.Err, &invalid):
		about = invalid.Cert
		if invalid.Reason == x509.Expired {
			id = fault.TLSCertExpired
			if time.Now().Before(about.NotBefore) {
				id = fault.TLSCertNotYetValid
			}
		}
	case errors.As(v.Err, &name):
		id = fault.TLSCertNameMismatch
	case errors.As(v.Err, &authority):
		id = authorityID(v.UnverifiedCertificates)
	case errors.As(v.Err, new(x509.SystemRootsError)):
		id = fault.TLSCertUnknownCA
	}
	f := fault.New(id)
	if about != nil {
		f.With("names", names(about)).With("subject", cmp.Or(about.Subject.String(), names(about))).With("issuer", about.Issuer.String()).
			With("notbefore", about.NotBefore.UTC().Format(time.RFC3339)).
			With("notafter", about.NotAfter.UTC().Format(time.RFC3339))
	}
	return f.With("value", strings.TrimPrefix(v.Err.Error(), "x509: "))
}

// authorityID tells apart why a chain leads to no root of ours.
func authorityID(sent []*x509.Certificate) fault.ID {
	if len(sent) == 0 {
		return fault.TLSCertUnknownCA
	}
	leaf := sent[0]
	if bytes.Equal(leaf.RawIssuer, leaf.RawSubject) &&
		leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil {
		return fault.TLSCertSelfSigned
	}
	// Who walks up the chain that was sent, and where does it end? A chain that
	// ends in a certificate whose issuer can be fetched (AIA) lacks that one; one
	// that ends at a root, or at nobody who says where to look, is simply not
	// ours.
	end := leaf
	for range sent {
		next := end
		for _, c := range sent {
			if c != end && bytes.Equal(c.RawSubject, end.RawIssuer) && end.CheckSignatureFrom(c) == nil {
				next = c
				break
			}
		}
		if next == end {
			break
		}
		end = next
	}
	if !bytes.Equal(end.RawIssuer, end.RawSubject) && len(end.IssuingCertificateURL) > 0 {
		return fault.TLSCertChainIncomplete
	}
	return fault.TLSCertUnknownCA
}

// names lists what a certificate is for.
func names(c *x509.Certificate) string {
	list := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		list = append(list, ip.String())
	}
	more := ""
	if n := len(list); n > namesMost {
		list, more = list[:namesMost], " and "+strconv.Itoa(n-namesMost)+" more"
	}
	if len(list) == 0 {
		return "no name at all"
	}
	return strings.Join(list, ", ") + more
}
