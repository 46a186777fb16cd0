package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

func inside(dir string) *authority {
	return &authority{storage: &certmagic.FileStorage{Path: dir}, where: dir}
}

// asked is a request for a certificate with these names.
func asked(t *testing.T, names ...string) *x509.CertificateRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var r x509.CertificateRequest
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			r.IPAddresses = append(r.IPAddresses, ip)
		} else {
			r.DNSNames = append(r.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &r, key)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func issued(t *testing.T, a *authority, names ...string) *x509.Certificate {
	t.Helper()
	c, err := a.Issue(t.Context(), asked(t, names...))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := pem.Decode(c.Certificate)
	leaf, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// Certificates lead to the root, are for their names and no others, and short of life; the
// root is there for the next process, and only its owner can read the key.
func TestAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	a := inside(dir)
	for _, name := range []string{"localhost", "shop.internal", "*.shop.internal", "127.0.0.1", "fd00::1"} {
		leaf := issued(t, a, name)
		roots := x509.NewCertPool()
		roots.AddCert(a.root.Load())
		at := strings.Replace(name, "*", "www", 1)
		if strings.Contains(at, ":") {
			at = "[" + at + "]"
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: at}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if leaf.VerifyHostname("other.internal") == nil || leaf.IsCA {
			t.Errorf("%s: %v", name, leaf)
		}
		if d := time.Until(leaf.NotAfter); d > leafLife || d < leafLife-time.Minute {
			t.Errorf("%s is good for %v", name, d)
		}
	}
	again := inside(dir)
	issued(t, again, "localhost")
	if !again.root.Load().Equal(a.root.Load()) || a.IssuerKey() != again.IssuerKey() || !strings.HasPrefix(a.IssuerKey(), "internal-") {
		t.Errorf("another process has another root")
	}
	for _, f := range []string{rootKeyKey, filepath.Dir(rootKeyKey)} {
		i, err := os.Stat(filepath.Join(dir, f))
		if err != nil || i.Mode()&0o077 != 0 {
			t.Errorf("%s: %v, %v", f, i.Mode(), err)
		}
	}
}

// Two processes that begin at once have one root.
func TestAuthoritiesBeginAtOnce(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	list := make([]*authority, 4)
	for i := range list {
		list[i] = inside(dir)
		all.Go(func() { list[i].load(context.Background()) })
	}
	all.Wait()
	for _, a := range list {
		if a.root.Load() == nil || !a.root.Load().Equal(list[0].root.Load()) {
			t.Error("there are several roots")
		}
	}
}

// What is broken is told with the way out, and never replaced: clients trust that root.
func TestBrokenAuthority(t *testing.T) {
	other := t.TempDir()
	if _, _, err := inside(other).load(t.Context()); err != nil {
		t.Fatal(err)
	}
	read := func(dir, key string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, key))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		key  string
		text []byte // nil removes it
		want string
	}{
		{rootKeyKey, nil, "there is a internal/root.crt without internal/root.key"},
		{rootCertKey, nil, "without internal/root.crt"},
		{rootKeyKey, []byte("x"), "internal/root.key holds no key"},
		{rootCertKey, []byte("x"), "internal/root.crt holds no certificate"},
		{rootKeyKey, read(other, rootKeyKey), "does not belong to"},
	} {
		dir := t.TempDir()
		if _, _, err := inside(dir).load(t.Context()); err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(dir, c.key)
		if c.text == nil {
			os.Remove(at)
		} else if err := os.WriteFile(at, c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		a := inside(dir)
		_, err := a.Issue(t.Context(), asked(t, "localhost"))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "remove both") || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: %v", c.key, err)
		}
		if a.IssuerKey() != "internal" {
			t.Errorf("%s: %s", c.key, a.IssuerKey())
		}
	}
}

func TestPrivate(t *testing.T) {
	for _, name := range []string{"localhost", "a.localhost", "shop", "shop.internal", "a.b.test", "nas.local", "x.home.arpa", "127.0.0.1", "10.1.2.3", "fd00::1", "*.shop.internal"} {
		if !Private(name) {
			t.Errorf("%s is not private", name)
		}
	}
	for _, name := range []string{"", "example.org", "www.example.org", "192.0.2.1", "2001:db8::1", "*.example.org", "a b", "http://x"} {
		if Private(name) {
			t.Errorf("%s is private", name)
		}
	}
}
