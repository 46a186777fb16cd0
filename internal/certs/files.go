package certs

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"
)

// Pair reads a certificate with its chain and its key, both PEM, perhaps from one
// file. The error tells which file, what is wrong and the way out.
func Pair(certificate, key string) (tls.Certificate, error) { return load(certificate, key) }

func load(certificate, key string) (c tls.Certificate, err error) {
	chain, err := read(certificate)
	if err != nil {
		return c, err
	}
	secret := chain
	if key != certificate {
		if secret, err = read(key); err != nil {
			return c, err
		}
	}
	for _, b := range blocks(chain) {
		if b.Type == "CERTIFICATE" {
			c.Certificate = append(c.Certificate, b.Bytes)
		}
	}
	if len(c.Certificate) == 0 {
		return c, fmt.Errorf("%s holds no certificate: %s", certificate, noBlock(chain, "x509"))
	}
	for i, der := range c.Certificate {
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			return c, fmt.Errorf("%s: certificate %d of the file is broken (%v): get it anew from whoever issued it", certificate, i+1, err)
		}
		if i == 0 {
			c.Leaf = parsed
		}
	}
	if c.PrivateKey, err = privateKey(key, secret); err != nil {
		return c, err
	}
	public, ok := c.PrivateKey.(crypto.Signer)
	if !ok {
		return c, fmt.Errorf("%s: a key of this kind cannot sign: make one with openssl ecparam -genkey -name prime256v1", key)
	}
	if samePublic(c.Leaf.PublicKey, public.Public()) {
		return c, nil
	}
	for i, der := range c.Certificate[1:] {
		if other, err := x509.ParseCertificate(der); err == nil && samePublic(other.PublicKey, public.Public()) {
			return c, fmt.Errorf("%s: the key in %s belongs to certificate %d of the file: put that one first, the intermediates behind it", certificate, key, i+2)
		}
	}
	return c, fmt.Errorf("%s: this key does not belong to the certificate in %s (%s): name the key that it was made with, or the pairs in the same order",
		key, certificate, who(c.Leaf))
}

func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

func read(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	var path *fs.PathError
	switch {
	case err == nil:
		return b, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s does not exist: name a file in PEM form, with a path that holds from where gatewhy was started", file)
	case errors.Is(err, fs.ErrPermission):
		group := strconv.Itoa(os.Getgid())
		if g, err := user.LookupGroupId(group); err == nil {
			group = g.Name
		}
		return nil, fmt.Errorf("%s cannot be read by this user: chgrp %s %s && chmod g+r %s", file, group, file, file)
	case errors.As(err, &path):
		return nil, fmt.Errorf("%s cannot be read: %w", file, path.Err)
	}
	return nil, err
}

func blocks(text []byte) (list []*pem.Block) {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return list
		}
		list = append(list, b)
	}
}

// noBlock says what a file holds instead of what was looked for, and the way out.
// command is the one of openssl that reads it.
func noBlock(text []byte, command string) string {
	const der = 0x30 // SEQUENCE, the start of every certificate and key in DER
	list := blocks(text)
	switch {
	case len(list) > 0 && strings.Contains(list[0].Type, "PRIVATE KEY"):
		return "it holds a key; are --tls-cert and --tls-key the wrong way round?"
	case len(list) > 0 && list[0].Type == "CERTIFICATE":
		return "it holds a certificate; are --tls-cert and --tls-key the wrong way round?"
	case len(list) > 0:
		return fmt.Sprintf("it holds a %s", list[0].Type)
	case len(bytes.TrimSpace(text)) == 0:
		return "it is empty"
	case text[0] == der:
		return "it is in DER form; make PEM of it: openssl " + command + " -inform der -in OLD -out NEW.pem"
	}
	return "it is not in PEM form, which has lines such as -----BEGIN CERTIFICATE-----"
}

func privateKey(file string, text []byte) (crypto.PrivateKey, error) {
	for _, b := range blocks(text) {
		if !strings.HasSuffix(b.Type, "PRIVATE KEY") {
			continue
		}
		if b.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") {
			return nil, fmt.Errorf("%s: the key has a passphrase, and nobody is there to type it: openssl pkey -in OLD -out NEW.pem takes it off", file)
		}
		if k, err := x509.ParsePKCS8PrivateKey(b.Bytes); err == nil {
			return k, nil
		}
		if k, err := x509.ParseECPrivateKey(b.Bytes); err == nil {
			return k, nil
		}
		k, err := x509.ParsePKCS1PrivateKey(b.Bytes)
		if err == nil {
			return k, nil
		}
		return nil, fmt.Errorf("%s: the key cannot be read (%v): RSA, ECDSA (P-256 to P-521) and Ed25519 work, in PEM form", file, strings.TrimPrefix(err.Error(), "x509: "))
	}
	return nil, fmt.Errorf("%s holds no key: %s", file, noBlock(text, "pkey"))
}

// soon is when the end of a certificate is worth a word at the start: whoever
// renews by hand has some days left.
const soon = 7 * 24 * time.Hour

// warnings say what clients will not like. The gateway starts all the same: a
// restart must not turn a page that warns into none.
func warnings(file string, c *x509.Certificate, now time.Time) (list []string) {
	day := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
	switch {
	case now.After(c.NotAfter):
		list = append(list, fmt.Sprintf("%s: the certificate expired on %s, clients will refuse it: renew it and start again", file, day(c.NotAfter)))
	case now.Before(c.NotBefore):
		list = append(list, fmt.Sprintf("%s: the certificate is not valid before %s, clients will refuse it: set this machine's clock (it says %s), or wait", file, day(c.NotBefore), day(now)))
	case c.NotAfter.Sub(now) < soon:
		list = append(list, fmt.Sprintf("%s: the certificate expires on %s: renew it and start again", file, day(c.NotAfter)))
	}
	if len(c.DNSNames) == 0 && len(c.IPAddresses) == 0 {
		list = append(list, fmt.Sprintf("%s: the certificate names no host (subjectAltName), clients will refuse it: have one issued with its names", file))
	}
	return list
}

// who is what a certificate is for.
func who(c *x509.Certificate) string {
	if len(c.DNSNames) > 0 {
		return strings.Join(c.DNSNames[:min(len(c.DNSNames), 3)], ", ")
	}
	return c.Subject.String()
}
