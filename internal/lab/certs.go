package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// secureName is the name of the lab's HTTPS origins (RFC 6761 §6.3).
const secureName = "localhost"

// issuer signs certificates.
type issuer struct {
	cert *x509.Certificate
	der  []byte
	key  *ecdsa.PrivateKey
}

// authorities are made once: a trusted root, an intermediate under it, and a
// root that nobody is told to trust.
type authorities struct{ root, middle, stranger *issuer }

var makeAuthorities = sync.OnceValues(func() (*authorities, error) {
	ca := func(name string, parent *issuer) (*issuer, error) {
		t := certificate(name)
		t.IsCA, t.BasicConstraintsValid = true, true
		t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
		return issue(t, parent)
	}
	root, err := ca("Gatewhy Lab Root", nil)
	if err != nil {
		return nil, err
	}
	middle, err := ca("Gatewhy Lab Intermediate", root)
	if err != nil {
		return nil, err
	}
	stranger, err := ca("Gatewhy Lab Stranger", nil)
	return &authorities{root, middle, stranger}, err
})

// lifetime of the lab's certificates, around now.
const lifetime = 24 * time.Hour

func certificate(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-lifetime), NotAfter: now.Add(lifetime)}
}

// leaf is a template for a good server certificate.
func leaf() *x509.Certificate {
	t := certificate(secureName)
	t.DNSNames = []string{secureName}
	t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return t
}

// issue signs t with a key of its own; without a parent it signs itself.
func issue(t *x509.Certificate, parent *issuer) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	signer, signKey := t, key
	if parent != nil {
		signer, signKey = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, signer, &key.PublicKey, signKey)
	if err != nil {
		return nil, fmt.Errorf("signing a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return &issuer{cert, der, key}, err
}

// chain is a certificate with those that come behind it.
func chain(l *issuer, more ...*issuer) tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{l.der}, PrivateKey: l.key}
	for _, m := range more {
		c.Certificate = append(c.Certificate, m.der)
	}
	return c
}

// pemFile is the root as text.
func (a *authorities) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.der})
}

// present makes the certificate that a TLS recipe shows.
type present func(*authorities) (tls.Certificate, error)

// signed shows a good leaf, changed by f, under the trusted root.
func signed(f func(*x509.Certificate)) present {
	return func(a *authorities) (tls.Certificate, error) {
		t := leaf()
		f(t)
		l, err := issue(t, a.root)
		if err != nil {
			return tls.Certificate{}, err
		}
		return chain(l), nil
	}
}

var presentGood = signed(func(*x509.Certificate) {})

func presentSelfSigned(*authorities) (tls.Certificate, error) {
	l, err := issue(leaf(), nil)
	if err != nil {
		return tls.Certificate{}, err
	}
	return chain(l), nil
}

// presentStranger sends its untrusted root along, so that nothing is missing but
// the trust.
func presentStranger(a *authorities) (tls.Certificate, error) {
	l, err := issue(leaf(), a.stranger)
	if err != nil {
		return tls.Certificate{}, err
	}
	return chain(l, a.stranger), nil
}

// presentIncomplete leaves the intermediate out and says where to find it.
func presentIncomplete(a *authorities) (tls.Certificate, error) {
	t := leaf()
	t.IssuingCertificateURL = []string{"http://pki.lab.test/intermediate.cer"}
	l, err := issue(t, a.middle)
	if err != nil {
		return tls.Certificate{}, err
	}
	return chain(l), nil
}
