// Package certs makes certificate files into what a TLS listener needs: a
// tls.Config that all loops share, with the certificates chosen by name and
// session tickets whose keys change while the gateway runs.
//
// It does no handshake: package loop does, package exchange asks for it. Files
// are read once, by [Load]; start there.
package certs

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// DefaultRotation is how long a key makes session tickets. A stolen key opens the
// TLS 1.2 sessions of its time, so its time is short; with the old keys that are
// still accepted a client that comes back the next morning resumes.
const DefaultRotation = 12 * time.Hour

// oldKeys is how many keys that make no tickets any more are still accepted: a
// ticket works for two to three rotations, by default 24 to 36 hours.
const oldKeys = 2

// Options say which certificates there are and how TLS is spoken. The zero value
// has no certificate, which Load refuses.
type Options struct {
	// Certificates are PEM files, each with a certificate and the intermediates
	// behind it. The first is for clients that name no name, or one that nothing
	// matches.
	Certificates []string
	// Keys are PEM files with the keys of Certificates, in the same order; none if
	// each file of Certificates holds its key too.
	Keys []string
	// SelfSigned makes a certificate in memory, for localhost, the loopback addresses
	// and Names. It is the first.
	SelfSigned bool
	Names      []string

	// ClientCAs is a PEM file with the authorities that certificates of clients must lead
	// to; "" asks clients for none. With ClientsMay a client may have none, but no wrong one.
	ClientCAs  string
	ClientsMay bool

	// Min is the least version: tls.VersionTLS12, which 0 means, or tls.VersionTLS13.
	Min uint16
	// HTTP2 offers h2 to clients (ALPN), and prefers it.
	HTTP2 bool
	// NoHTTP1 offers nothing else.
	NoHTTP1 bool
	// NoPostQuantum leaves X25519MLKEM768 out of the key exchanges. It costs us some 50
	// us of CPU a handshake and the client 90, and protects what is said today from
	// those who will have a quantum computer.
	NoPostQuantum bool
	// Managed are certificates that are obtained for names that none of the others is for; nil
	// obtains none.
	Managed *Managed
	// Rotation is how long a key makes session tickets; 0 means DefaultRotation,
	// below 0 there are no tickets and every handshake is a full one.
	Rotation time.Duration
}

// Any reports whether there is a certificate to load.
func (o *Options) Any() bool {
	return len(o.Certificates) > 0 || len(o.Keys) > 0 || o.SelfSigned || o.Managed != nil
}

// Store holds the certificates of the TLS listeners. It is shared by all loops.
type Store struct {
	config   *tls.Config
	certs    []tls.Certificate
	byName   map[string][]*tls.Certificate // by host name; a wildcard is its part from the first dot
	manager  *Manager                      // nil without certificates that are obtained
	clients  []byte                        // PEM of the authorities of clients
	warnings []string
	print    string
	keys     [][32]byte // the first makes tickets
	stop     chan struct{}
	stopped  sync.WaitGroup
}

// Load reads the files and starts the rotation of ticket keys, which Close ends.
// The error tells of each file what is wrong and the way out.
//
// m is the manager of o.Managed, and stays the caller's; nil without that.
func Load(o Options, m *Manager) (*Store, error) {
	s := &Store{byName: map[string][]*tls.Certificate{}, manager: m}
	var wrong []error
	if o.SelfSigned {
		c, err := selfSigned(o.Names)
		if err != nil {
			return nil, fmt.Errorf("cannot make a certificate: %w", err)
		}
		s.certs = append(s.certs, c)
		s.print = fingerprint(c.Certificate[0])
	}
	keys := o.Keys
	if len(keys) == 0 {
		keys = o.Certificates
	}
	if len(keys) != len(o.Certificates) {
		wrong = append(wrong, fmt.Errorf("%d certificates and %d keys: each --tls-cert has one --tls-key, in the same order, or holds its key itself",
			len(o.Certificates), len(o.Keys)))
	} else {
		for i, file := range o.Certificates {
			c, err := load(file, keys[i])
			if err != nil {
				wrong = append(wrong, err)
				continue
			}
			s.certs = append(s.certs, c)
			s.warnings = append(s.warnings, warnings(file, c.Leaf, time.Now())...)
		}
	}
	if len(s.certs) == 0 && len(wrong) == 0 && m == nil {
		wrong = append(wrong, errors.New("TLS needs a certificate: --tls-cert FILE --tls-key FILE, or --tls-self-signed for trying out"))
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	for i := range s.certs {
		for _, name := range s.certs[i].Leaf.DNSNames {
			name = strings.TrimPrefix(strings.ToLower(name), "*")
			s.byName[name] = append(s.byName[name], &s.certs[i])
		}
	}
	s.config = s.configure(o)
	if o.ClientCAs != "" {
		pem, err := os.ReadFile(o.ClientCAs)
		if err != nil {
			return nil, fmt.Errorf("the authorities of clients' certificates: %w", err)
		}
		s.clients = pem
		s.config.ClientCAs = x509.NewCertPool()
		if !s.config.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate that clients could be verified by", o.ClientCAs)
		}
		s.config.ClientAuth = tls.RequireAndVerifyClientCert
		if o.ClientsMay {
			s.config.ClientAuth = tls.VerifyClientCertIfGiven
		}
	}
	if o.Rotation >= 0 {
		s.Rotate()
		s.stop = make(chan struct{})
		s.stopped.Go(func() { s.rotate(cmp.Or(o.Rotation, DefaultRotation)) }) // ends with Close
	}
	return s, nil
}

func (s *Store) configure(o Options) *tls.Config {
	c := &tls.Config{
		Certificates:           s.certs,
		MinVersion:             cmp.Or(o.Min, tls.VersionTLS12),
		NextProtos:             []string{"http/1.1"},
		SessionTicketsDisabled: o.Rotation < 0,
		// A record a piece costs least. Clients on slow links could begin with smaller
		// ones earlier, but an answer's head is a record of its own anyway, unless the
		// body is so small that both fit into one packet or few.
		DynamicRecordSizingDisabled: true,
	}
	if o.HTTP2 {
		c.NextProtos = []string{"h2", "http/1.1"}
		if o.NoHTTP1 {
			c.NextProtos = c.NextProtos[:1]
		}
	}
	if s.manager != nil {
		c.NextProtos = append(c.NextProtos, ALPNChallenge)
	}
	if o.NoPostQuantum {
		c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	}
	if s.manager != nil || len(s.certs) > 1 || slices.ContainsFunc(s.certs, func(c tls.Certificate) bool { return slow(&c) }) {
		c.GetCertificate = s.pick
		c.Certificates = nil // else nobody is asked for a client without SNI
	}
	return c
}

// Config is what the listeners' handshakes use. It must not be changed.
func (s *Store) Config() *tls.Config { return s.config }

// Fingerprint is the SHA-256 of the self-signed certificate, as openssl writes it;
// "" if there is none.
func (s *Store) Fingerprint() string { return s.print }

// Warnings say of each file what clients will not like, and the way out.
func (s *Store) Warnings() []string { return s.warnings }

// Expiry is when a certificate ends.
type Expiry struct {
	Name     string // the first that it is for
	NotAfter time.Time
	// Life is how long it is good for in all.
	Life time.Duration
	// Issuer is who made it, as its certificate says.
	Issuer string
}

func expiry(name string, c *x509.Certificate) Expiry {
	return Expiry{name, c.NotAfter, c.NotAfter.Sub(c.NotBefore), cmp.Or(c.Issuer.CommonName, strings.Join(c.Issuer.Organization, " "))}
}

// Expiries are those of all certificates, in the order of the options.
func (s *Store) Expiries() (list []Expiry) {
	for i := range s.certs {
		c := s.certs[i].Leaf
		list = append(list, expiry(cmp.Or(slices.Concat(c.DNSNames, []string{c.Subject.CommonName})[0], c.SerialNumber.String()), c))
	}
	if s.manager != nil {
		list = append(list, s.manager.Expiries()...)
	}
	return list
}

// Authority is the root of the internal authority, nil if it has made no certificate. The
// error says why it cannot be had.
func (s *Store) Authority() (*x509.Certificate, error) {
	if s.manager == nil {
		return nil, nil
	}
	return s.manager.Root()
}

// Close ends the rotation of keys. The configuration may still be in use.
func (s *Store) Close() {
	if s.stop != nil {
		close(s.stop)
		s.stopped.Wait()
		s.stop = nil
	}
}

// pick gives a handshake its certificate.
func (s *Store) pick(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c := s.choose(h)
	if s.manager != nil && (c == nil || !s.named(h, c)) {
		own, err := s.manager.get(h)
		switch {
		case own != nil:
			c = own
		case c == nil:
			return nil, err
		}
	}
	if !slow(c) {
		return c, nil
	}
	transport := loop.Transport(h.Context())
	if transport == nil {
		return c, nil
	}
	away := *c
	away.PrivateKey = elsewhere{c.PrivateKey.(crypto.Signer), transport.Loop()}
	return &away, nil
}

// named reports whether c is for the name that a client asks for, and not only the first
// of all. A question of an ACME server is never for one of these.
func (s *Store) named(h *tls.ClientHelloInfo, c *tls.Certificate) bool {
	if slices.Contains(h.SupportedProtos, ALPNChallenge) {
		return false
	}
	return h.ServerName != "" && c.Leaf.VerifyHostname(h.ServerName) == nil
}

// slow reports whether a signature with c's key takes longer than others of the
// loop should wait: RSA needs a millisecond and more, ECDSA 20 us.
func slow(c *tls.Certificate) bool {
	if c.Leaf == nil { // made for a challenge
		_, rsa := c.PrivateKey.(*rsa.PrivateKey)
		return rsa
	}
	_, rsa := c.Leaf.PublicKey.(*rsa.PublicKey)
	return rsa
}

// elsewhere signs in another thread, while other tasks of the loop run.
type elsewhere struct {
	crypto.Signer
	l loop.Loop
}

// Sign implements crypto.Signer. It is called in a handshake, where tasks may wait.
func (e elsewhere) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) (signature []byte, err error) {
	e.l.Do(func() { signature, err = e.Signer.Sign(random, digest, o) })
	return signature, err
}

// choose goes by the name that the client asks for (SNI, RFC 6066 §3): a
// certificate for it, else one with a wildcard in the place of its first label
// (RFC 9525 §6.3), else the first of all. Of several for one name it is the first
// whose kind the client knows: RSA and ECDSA may stand side by side.
func (s *Store) choose(h *tls.ClientHelloInfo) *tls.Certificate {
	name := strings.ToLower(h.ServerName)
	list := s.byName[name]
	if list == nil {
		if dot := strings.IndexByte(name, '.'); dot > 0 {
			list = s.byName[name[dot:]]
		}
	}
	switch len(list) {
	case 0:
		if len(s.certs) == 0 {
			return nil
		}
		return &s.certs[0]
	case 1:
		return list[0]
	}
	for _, c := range list {
		if h.SupportsCertificate(c) == nil {
			return c
		}
	}
	return list[0]
}

// Rotate makes a new key for session tickets. The last ones are accepted a while
// longer.
func (s *Store) Rotate() {
	var key [32]byte
	rand.Read(key[:]) // never fails
	s.keys = slices.Insert(s.keys, 0, key)
	for i := oldKeys + 1; i < len(s.keys); i++ {
		s.keys[i] = [32]byte{} // gone for good
	}
	s.keys = s.keys[:min(len(s.keys), oldKeys+1)]
	s.config.SetSessionTicketKeys(s.keys)
}

func (s *Store) rotate(every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			s.Rotate()
		case <-s.stop:
			return
		}
	}
}

// selfSignedFor is how long such a certificate lasts: a process that is restarted
// now and then never sees the end, and browsers take no longer one (398 days).
const selfSignedFor = 365 * 24 * time.Hour

func selfSigned(names []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := serialNumber()
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "gatewhy self-signed"},
		NotBefore:    now.Add(-time.Hour), // clocks differ
		NotAfter:     now.Add(selfSignedFor),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},

		BasicConstraintsValid: true,
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else if n != "" && !slices.Contains(t.DNSNames, n) {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// SameClients reports whether the file still holds the authorities of clients that s was
// loaded with. One that cannot be read does not.
func (s *Store) SameClients(file string) bool {
	if file == "" {
		return s.clients == nil
	}
	pem, err := os.ReadFile(file)
	return err == nil && bytes.Equal(pem, s.clients)
}

// Same reports whether both hold the same certificates in the same order.
func (s *Store) Same(o *Store) bool {
	return bytes.Equal(s.clients, o.clients) && slices.EqualFunc(s.certs, o.certs, func(a, b tls.Certificate) bool { return slices.EqualFunc(a.Certificate, b.Certificate, bytes.Equal) })
}
