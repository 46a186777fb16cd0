package lab

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// shake makes a TLS connection to a recipe's origin, as a gateway would.
func shake(t *testing.T, r *Recipe) (*tls.Conn, error) {
	t.Helper()
	o := start(t, r)
	pem, err := os.ReadFile(o.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in Origin.CA")
	}
	address := strings.TrimPrefix(o.Target, "https://")
	raw, err := net.Dial("tcp", strings.Replace(address, secureName, loopback, 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(limit))
	if r.Set["timeout-tls"] != "" {
		raw.SetDeadline(time.Now().Add(4 * Gap))
	}
	c := tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: secureName, NextProtos: []string{"http/1.1"}})
	return c, c.Handshake()
}

// Each handshake fails in a way that tells it from all others.
func TestHandshakes(t *testing.T) {
	alert := func(n tls.AlertError) func(error) bool {
		return func(err error) bool { return isAlert(err, n) }
	}
	invalid := func(reason x509.InvalidReason) func(error) bool {
		return func(err error) bool {
			var c x509.CertificateInvalidError
			return errors.As(err, &c) && c.Reason == reason
		}
	}
	unknown := func(shown int) func(error) bool {
		return func(err error) bool {
			var v *tls.CertificateVerificationError
			var u x509.UnknownAuthorityError
			return errors.As(err, &v) && errors.As(err, &u) && len(v.UnverifiedCertificates) == shown
		}
	}
	is := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	plaintext := func(err error) bool {
		var h tls.RecordHeaderError
		return errors.As(err, &h)
	}
	want := map[string]func(error) bool{
		"tls_handshake_timeout":             is(os.ErrDeadlineExceeded),
		"tls_got_plaintext":                 plaintext,
		"tls_got_plaintext/ssh":             plaintext,
		"tls_eof_in_handshake":              is(io.EOF),
		"tls_eof_in_handshake/accept":       is(io.EOF),
		"tls_rst_in_handshake":              is(syscall.ECONNRESET),
		"tls_alert_handshake_failure":       alert(40),
		"tls_alert_protocol_version":        alert(70),
		"tls_alert_unrecognized_name":       alert(112),
		"tls_alert_unknown_ca":              alert(48),
		"tls_alert_no_application_protocol": alert(120),
		"tls_alert_other":                   alert(80),
		"tls_handshake_invalid": func(err error) bool {
			return err != nil && err.Error() == "local error: tls: error decoding message"
		},
		"tls_cert_expired":       invalid(x509.Expired),
		"tls_cert_not_yet_valid": invalid(x509.Expired),
		"tls_cert_usage":         invalid(x509.IncompatibleUsage),
		"tls_cert_name_mismatch": func(err error) bool {
			var h x509.HostnameError
			return errors.As(err, &h)
		},
		"tls_cert_unknown_ca":       unknown(2),
		"tls_cert_self_signed":      unknown(1),
		"tls_cert_chain_incomplete": unknown(1),
		// These fail later.
		"tls_alert_certificate_required": func(err error) bool { return err == nil },
		"tls_record_corrupt":             func(err error) bool { return err == nil },
		"tls_truncation":                 func(err error) bool { return err == nil },
	}
	for _, r := range Recipes() {
		if r.Where != TLS {
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			ok := want[r.Name]
			if strings.HasPrefix(r.Name, "h2_") { // they agree to it, and fail later
				ok = func(err error) bool { return err == nil }
			}
			if ok == nil {
				t.Fatal("no expectation")
			}
			if _, err := shake(t, r); !ok(err) {
				t.Errorf("handshake: %v", err)
			}
		})
	}
}

func TestCertificatesShown(t *testing.T) {
	shown := func(name string) []*x509.Certificate {
		t.Helper()
		_, err := shake(t, Find(name))
		var v *tls.CertificateVerificationError
		if !errors.As(err, &v) {
			t.Fatalf("%s: %v", name, err)
		}
		return v.UnverifiedCertificates
	}
	now := time.Now()
	if c := shown("tls_cert_expired")[0]; !c.NotAfter.Before(now) {
		t.Errorf("valid until %v", c.NotAfter)
	}
	if c := shown("tls_cert_not_yet_valid")[0]; !c.NotBefore.After(now) {
		t.Errorf("valid from %v", c.NotBefore)
	}
	if c := shown("tls_cert_self_signed")[0]; c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil {
		t.Error("not signed by itself")
	}
	if c := shown("tls_cert_chain_incomplete")[0]; c.Issuer.CommonName != "Gatewhy Lab Intermediate" || len(c.IssuingCertificateURL) != 1 {
		t.Errorf("issued by %v, to be found at %v", c.Issuer, c.IssuingCertificateURL)
	}
}

func TestSecureRecords(t *testing.T) {
	ask := func(name string) ([]byte, error) {
		c, err := shake(t, Find(name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return io.ReadAll(c)
	}
	if b, err := ask("tls_alert_certificate_required"); !isAlert(err, 116) {
		t.Errorf("no certificate: %q, %v", b, err)
	}
	if b, err := ask("tls_record_corrupt"); err == nil || !strings.Contains(err.Error(), "bad record MAC") || len(b) != 0 {
		t.Errorf("corrupt: %q, %v", b, err)
	}
}

// isAlert reports whether err is the peer's alert n. Outside QUIC crypto/tls
// keeps the type of an alert to itself, but both say it in the same words.
func isAlert(err error, n tls.AlertError) bool {
	return err != nil && err.Error() == "remote error: "+n.Error()
}

// tape keeps what was read.
type tape struct {
	net.Conn
	read []byte
}

func (r *tape) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.read = append(r.read, b[:n]...)
	return n, err
}

// The last record is data, not the alert close_notify. TLS 1.2 does not hide
// which it is.
func TestTruncationHasNoCloseNotify(t *testing.T) {
	o := start(t, Find("tls_truncation"))
	raw, err := net.Dial("tcp", strings.Replace(strings.TrimPrefix(o.Target, "https://"), secureName, loopback, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(limit))
	heard := &tape{Conn: raw}
	c := tls.Client(heard, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(b), "\r\n\r\n"+hello) {
		t.Errorf("%q, %v", b, err)
	}
	var last byte
	for b := heard.read; len(b) > 5; {
		last = b[0]
		b = b[min(len(b), 5+int(b[3])<<8+int(b[4])):]
	}
	if last != 23 {
		t.Errorf("the last record has type %d, want 23 (application data)", last)
	}
}

func TestNames(t *testing.T) {
	query := func(o *Origin, network, name string, kind uint16) (*dns.Msg, error) {
		c := &dns.Client{Net: network, Timeout: limit}
		if o.recipe.Set["timeout-resolve"] != "" {
			c.Timeout = 4 * Gap
		}
		m, _, err := c.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(name), kind).SetEdns0(1232, false), o.Resolver)
		return m, err
	}
	rcodes := map[string]int{"dns_nxdomain": dns.RcodeNameError, "dns_nodata": dns.RcodeSuccess, "dns_servfail": dns.RcodeServerFailure,
		"dns_refused": dns.RcodeRefused, "dns_formerr": dns.RcodeFormatError}
	for name, rcode := range rcodes {
		o := start(t, Find(name))
		for _, network := range []string{"udp", "tcp"} {
			m, err := query(o, network, hostName, dns.TypeA)
			if err != nil || m.Rcode != rcode || len(m.Answer) != 0 {
				t.Errorf("%s over %s: %v, %v", name, network, m, err)
			}
		}
		if o.Queries() != 2 || !strings.HasPrefix(o.Target, hostName+":") {
			t.Errorf("%s: %d queries, target %s", name, o.Queries(), o.Target)
		}
	}
	m, err := query(start(t, Find("dns_servfail")), "udp", hostName, dns.TypeA)
	if err != nil || m.IsEdns0() == nil || m.IsEdns0().Option[0].(*dns.EDNS0_EDE).InfoCode != dns.ExtendedErrorCodeDNSBogus {
		t.Errorf("servfail without a reason: %v, %v", m, err)
	}
	if m, err := query(start(t, Find("dns_formerr/unparsable")), "udp", hostName, dns.TypeA); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("parsed %v, %v", m, err)
	}
	if m, err := query(start(t, Find("dns_timeout")), "udp", hostName, dns.TypeA); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("silence: %v, %v", m, err)
	}
	m, err = query(start(t, Find("dns_cname_loop")), "udp", hostName, dns.TypeA)
	if err != nil || len(m.Answer) != 2 || m.Answer[0].(*dns.CNAME).Target != m.Answer[1].Header().Name ||
		m.Answer[1].(*dns.CNAME).Target != m.Answer[0].Header().Name {
		t.Errorf("no loop: %v, %v", m, err)
	}
	if m, err := query(start(t, Find("dns_nodata")), "udp", "origin.lab.test.search.example", dns.TypeA); err != nil || m.Rcode != dns.RcodeNameError {
		t.Errorf("a search domain exists: %v, %v", m, err)
	}
}

func TestStaleAnswer(t *testing.T) {
	o := start(t, Find("dns_stale_answer"))
	addresses := func() (all []string) {
		t.Helper()
		m, err := dns.Exchange(new(dns.Msg).SetQuestion(hostName+".", dns.TypeA), o.Resolver)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range m.Answer {
			all = append(all, net.JoinHostPort(a.(*dns.A).A.String(), strings.TrimPrefix(o.Target, hostName+":")))
		}
		return all
	}
	if m, err := dns.Exchange(new(dns.Msg).SetQuestion(hostName+".", dns.TypeAAAA), o.Resolver); err != nil || len(m.Answer) != 0 {
		t.Errorf("AAAA: %v, %v", m, err)
	}
	first, second := addresses(), addresses()
	if len(first) != 1 || len(second) != 1 || first[0] == second[0] {
		t.Fatalf("first %v, then %v", first, second)
	}
	if _, err := net.Dial("tcp", first[0]); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the first address: %v", err)
	}
	c, err := net.Dial("tcp", second[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	say(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if a, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || a.StatusCode != 200 {
		t.Errorf("the second address: %v, %v", a, err)
	}

	all := start(t, Find("dns_all_addresses_failed"))
	o = all
	if got := addresses(); len(got) != 3 {
		t.Errorf("addresses %v", got)
	} else {
		for _, a := range got {
			if _, err := net.Dial("tcp", a); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s: %v", a, err)
			}
		}
	}
}
