package certs

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
)

const (
	// rootLife is long, since everybody who trusts a root must be told of the next one.
	rootLife = 10 * 365 * 24 * time.Hour

	// leafLife is short: whoever steals the key of such a certificate has days, and it is renewed
	// without anybody's doing when half of it is over.
	leafLife = 7 * 24 * time.Hour

	// headStart is how long before now certificates begin, since clocks differ.
	headStart = time.Hour
)

// The keys under which the root is stored.
const (
	rootCertKey = "internal/root.crt"
	rootKeyKey  = "internal/root.key"
	rootLock    = "internal-root"
)

// authority is a certificate authority of the gateway's own: a root in the storage, which
// is made when it is first needed, and signs the certificates itself. It is a certmagic.Issuer.
type authority struct {
	storage certmagic.Storage
	where   string // the storage, for people

	mu   sync.Mutex
	root atomic.Pointer[x509.Certificate] // nil until it was needed; set with mu held
	key  crypto.Signer
}

// Private reports whether a name is for private use, so that no public authority makes a
// certificate for it: an address of private networks, a name without a dot, or one with an
// ending for private use (RFC 6761, RFC 6762, RFC 8375).
func Private(name string) bool {
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast()
	}
	return name != "" && !Public(strings.TrimPrefix(name, "*.")) && !strings.ContainsAny(name, "/: ")
}

// Issue implements certmagic.Issuer.
func (a *authority) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	root, key, err := a.load(ctx)
	if err != nil {
		return nil, err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, err
	}
	now := time.Now()
	if now.Before(root.NotBefore) {
		return nil, fmt.Errorf("the root of the internal authority is not valid before %s, and this machine's clock says %s: set the clock",
			root.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, // the names are in the extension, which is all that clients look at
		NotBefore:    later(root.NotBefore, now.Add(-headStart)),
		NotAfter:     earlier(root.NotAfter, now.Add(leafLife)),
		DNSNames:     csr.DNSNames,
		IPAddresses:  csr.IPAddresses,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},

		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, root, csr.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &certmagic.IssuedCertificate{Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// IssuerKey implements certmagic.Issuer. It tells roots apart, so that what another one has
// signed is not used on.
func (a *authority) IssuerKey() string {
	root, _, err := a.load(context.Background())
	if err != nil {
		return "internal"
	}
	sum := sha256.Sum256(root.Raw)
	return fmt.Sprintf("internal-%x", sum[:8])
}

// load reads the root, or makes one where there is none. One that has ended is replaced.
func (a *authority) load(ctx context.Context) (*x509.Certificate, crypto.Signer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if root := a.root.Load(); root != nil && time.Now().Before(root.NotAfter) {
		return root, a.key, nil
	}
	// Another gateway may be about to make it.
	if err := a.storage.Lock(ctx, rootLock); err != nil {
		return nil, nil, a.wrong(err)
	}
	defer a.storage.Unlock(context.WithoutCancel(ctx), rootLock)
	root, key, err := a.read(ctx)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !time.Now().Before(root.NotAfter) {
		root, key, err = a.make(ctx)
	}
	if err != nil {
		return nil, nil, a.wrong(err)
	}
	a.key = key
	a.root.Store(root)
	return root, key, nil
}

func (a *authority) wrong(err error) error {
	return fmt.Errorf("the internal authority in %s: %w", a.where, err)
}

// read reads what make has stored. The error is fs.ErrNotExist only if neither half is there.
func (a *authority) read(ctx context.Context) (*x509.Certificate, crypto.Signer, error) {
	const out = "put the one back that is missing or broken, or remove both: then another root is made, which clients must be told to trust"
	crt, err := a.storage.Load(ctx, rootCertKey)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	secret, keyErr := a.storage.Load(ctx, rootKeyKey)
	switch {
	case keyErr != nil && !errors.Is(keyErr, fs.ErrNotExist):
		return nil, nil, keyErr
	case err != nil && keyErr != nil:
		return nil, nil, fs.ErrNotExist
	case err != nil:
		return nil, nil, fmt.Errorf("there is a %s without %s: %s", rootKeyKey, rootCertKey, out)
	case keyErr != nil:
		return nil, nil, fmt.Errorf("there is a %s without %s: %s", rootCertKey, rootKeyKey, out)
	}
	var root *x509.Certificate
	if b, _ := pem.Decode(crt); b != nil && b.Type == "CERTIFICATE" {
		root, err = x509.ParseCertificate(b.Bytes)
	}
	if root == nil || err != nil || !root.IsCA {
		return nil, nil, fmt.Errorf("%s holds no certificate of an authority: %s", rootCertKey, out)
	}
	var key crypto.Signer
	if b, _ := pem.Decode(secret); b != nil {
		if k, err := x509.ParsePKCS8PrivateKey(b.Bytes); err == nil {
			key, _ = k.(crypto.Signer)
		}
	}
	switch {
	case key == nil:
		return nil, nil, fmt.Errorf("%s holds no key: %s", rootKeyKey, out)
	case !samePublic(root.PublicKey, key.Public()):
		return nil, nil, fmt.Errorf("%s does not belong to %s: %s", rootKeyKey, rootCertKey, out)
	}
	return root, key, nil
}

// make makes a root and stores it, the key first: a certificate without a key could be
// trusted already.
func (a *authority) make(ctx context.Context) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: fmt.Sprintf("Gatewhy internal authority %s %x", now.UTC().Format(time.DateOnly), serial.Bytes()[:4])},
		NotBefore:    now.Add(-headStart),
		NotAfter:     now.Add(rootLife),
		IsCA:         true,
		KeyUsage:     x509.KeyUsageCertSign | x509.KeyUsageCRLSign,

		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range []struct {
		name string
		b    pem.Block
	}{{rootKeyKey, pem.Block{Type: "PRIVATE KEY", Bytes: secret}}, {rootCertKey, pem.Block{Type: "CERTIFICATE", Bytes: der}}} {
		if err := a.storage.Store(ctx, f.name, pem.EncodeToMemory(&f.b)); err != nil {
			return nil, nil, err
		}
	}
	return root, key, nil
}

// serialNumber is a random one (RFC 5280 §4.1.2.2).
func serialNumber() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
