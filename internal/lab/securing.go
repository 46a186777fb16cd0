package lab

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/gatewhy/gatewhy/fault"
)

// securingRecipes are HTTPS origins whose handshake or records fail.
func securingRecipes() []*Recipe {
	return append(handshakes(), append(certificates(), records()...)...)
}

// secured listens for TLS; f has the raw connection and makes what it wants of it.
func secured(name string, want fault.ID, why string, f func(*Conn)) *Recipe {
	r := refused(name, want, "").because(why).does(f)
	r.Where, r.start = TLS, listenSecure
	return r
}

func listenSecure(ctx context.Context, o *Origin) error {
	if err := listenPlain(ctx, o); err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(o.Target)
	if err != nil {
		return err
	}
	o.Target = "https://" + net.JoinHostPort(secureName, port)
	a, err := makeAuthorities()
	if err != nil {
		return err
	}
	if o.CA, err = o.file("ca.pem"); err != nil {
		return err
	}
	return os.WriteFile(o.CA, a.pem(), 0o600)
}

// handshakes are those that do not end well.
func handshakes() []*Recipe {
	// hello answers the ClientHello with raw bytes and ends.
	hello := func(name string, want fault.ID, bytes string, e End, why string) *Recipe {
		return secured(name, want, why, func(c *Conn) {
			if c.readRecord() && c.Write(bytes) {
				c.End(e)
			}
		})
	}
	// RFC 8446 §5.1, §6: type 21, version, length 2, fatal, description.
	alert := func(name string, want fault.ID, number byte, why string) *Recipe {
		return hello(name, want, "\x15\x03\x03\x00\x02\x02"+string([]byte{number}), FIN, why)
	}
	const plain = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 11\r\n\r\nBad Request"
	return []*Recipe{
		hello("tls_handshake_timeout", fault.TLSHandshakeTimeout, "", Hang, "reads the ClientHello and says nothing").
			status(504).set("timeout-tls", soon),
		hello("tls_got_plaintext", fault.TLSGotPlaintext, plain, FIN, "is a plain HTTP port"),
		hello("tls_got_plaintext/ssh", fault.TLSGotPlaintext, "SSH-2.0-OpenSSH_9.2p1\r\n", FIN, "is an SSH server"),
		hello("tls_eof_in_handshake", fault.TLSEOFInHandshake, "", FIN, "reads the ClientHello and hangs up"),
		secured("tls_eof_in_handshake/accept", fault.TLSEOFInHandshake, "accepts and ends its side", (*Conn).FIN),
		hello("tls_rst_in_handshake", fault.TLSRSTInHandshake, "", RST, "reads the ClientHello and resets"),
		alert("tls_alert_handshake_failure", fault.TLSAlertHandshakeFailure, 40, "has no cipher in common with us"),
		alert("tls_alert_protocol_version", fault.TLSAlertProtocolVersion, 70, "speaks no version of TLS that we do"),
		alert("tls_alert_unrecognized_name", fault.TLSAlertUnrecognizedName, 112, "does not know the name that we ask for"),
		secured("tls_alert_certificate_required", fault.TLSAlertCertificateRequired,
			"wants a client certificate (TLS 1.3: says so after the handshake)", func(c *Conn) {
				c.secure(presentGood, func(s *tls.Config) {
					s.MinVersion, s.ClientAuth = tls.VersionTLS13, tls.RequireAnyClientCert
				})
				c.FIN() // a plain close would reset, and could destroy the alert
			}),
		alert("tls_alert_unknown_ca", fault.TLSAlertUnknownCA, 48, "does not know the authority of our certificate"),
		alert("tls_alert_no_application_protocol", fault.TLSAlertNoApplicationProtocol, 120, "does not speak HTTP/1.1"),
		alert("tls_alert_other", fault.TLSAlertOther, 80, "has an internal error (alert 80)"),
		// A handshake record of four bytes that calls itself a ServerHello.
		hello("tls_handshake_invalid", fault.TLSHandshakeInvalid, "\x16\x03\x03\x00\x08\x02\x00\x00\x04ruin", FIN,
			"answers with a ServerHello that is none"),
	}
}

// certificates are handshakes that our side must end.
func certificates() []*Recipe {
	shows := func(name string, want fault.ID, p present, why string) *Recipe {
		return secured(name, want, why, func(c *Conn) {
			if c.secure(p, nil) {
				c.GoodAll()
				return
			}
			c.FIN()
		})
	}
	return []*Recipe{
		shows("tls_cert_expired", fault.TLSCertExpired, signed(func(t *x509.Certificate) {
			t.NotBefore, t.NotAfter = t.NotBefore.Add(-2*lifetime), t.NotAfter.Add(-2*lifetime)
		}), "shows a certificate that expired yesterday"),
		shows("tls_cert_not_yet_valid", fault.TLSCertNotYetValid, signed(func(t *x509.Certificate) {
			t.NotBefore, t.NotAfter = t.NotBefore.Add(2*lifetime), t.NotAfter.Add(2*lifetime)
		}), "shows a certificate of tomorrow"),
		shows("tls_cert_name_mismatch", fault.TLSCertNameMismatch, signed(func(t *x509.Certificate) {
			t.Subject.CommonName = "other.lab.test"
			t.DNSNames, t.IPAddresses = []string{"other.lab.test"}, nil
		}), "shows a certificate for another name"),
		shows("tls_cert_unknown_ca", fault.TLSCertUnknownCA, presentStranger, "shows a certificate of an authority that we do not trust"),
		shows("tls_cert_self_signed", fault.TLSCertSelfSigned, presentSelfSigned, "shows a certificate that signs itself"),
		shows("tls_cert_chain_incomplete", fault.TLSCertChainIncomplete, presentIncomplete, "leaves its intermediate certificate out"),
		shows("tls_cert_usage", fault.TLSCertUsage, signed(func(t *x509.Certificate) {
			t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), "shows a certificate for clients only"),
	}
}

// records are faults behind a good handshake.
func records() []*Recipe {
	return []*Recipe{
		secured("tls_record_corrupt", fault.TLSRecordCorrupt, "sends a record whose authentication fails", func(c *Conn) {
			spoiler := &spoiler{Conn: c.raw}
			c.raw = spoiler
			if c.secure(presentGood, nil) && c.ReadRequest() {
				spoiler.on.Store(true)
				c.Write(helloHead + hello)
			}
			c.FIN()
		}),
		secured("tls_truncation", fault.TLSTruncation, "ends a body that has no length without close_notify", func(c *Conn) {
			if c.secure(presentGood, nil) && c.ReadRequest() && c.Write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello") {
				c.FIN()
			}
		}).cut().lost(),
	}
}

// spoiler flips a bit of the last byte of each write once it is on.
type spoiler struct {
	net.Conn
	on atomic.Bool
}

func (s *spoiler) Write(b []byte) (int, error) {
	if !s.on.Load() {
		return s.Conn.Write(b)
	}
	bad := append([]byte(nil), b...) // crypto/tls uses b again
	bad[len(bad)-1] ^= 1
	return s.Conn.Write(bad)
}

// CloseWrite ends the transport's side.
func (s *spoiler) CloseWrite() error { return s.Conn.(*net.TCPConn).CloseWrite() }

// handshakeLimit bounds a handshake with a peer that has gone silent.
const handshakeLimit = 5 * time.Second

// secure makes the connection TLS. It is false if the handshake failed.
func (c *Conn) secure(p present, change func(*tls.Config)) bool {
	a, err := makeAuthorities()
	if err != nil {
		return false
	}
	cert, err := p(a)
	if err != nil {
		return false
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}
	if change != nil {
		change(config)
	}
	s := tls.Server(c.raw, config)
	c.raw.SetDeadline(time.Now().Add(handshakeLimit))
	if s.HandshakeContext(c.ctx) != nil {
		return false
	}
	c.raw.SetDeadline(time.Time{})
	c.conn, c.in = s, bufio.NewReaderSize(s, 16<<10)
	return true
}

// readRecord reads one TLS record, which is a ClientHello as it comes first.
func (c *Conn) readRecord() bool {
	head := make([]byte, 5)
	if _, err := io.ReadFull(c.in, head); err != nil || head[0] != 0x16 {
		return false
	}
	_, err := c.in.Discard(int(binary.BigEndian.Uint16(head[3:])))
	c.origin.hits.Add(1)
	return err == nil
}
