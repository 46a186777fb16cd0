package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// dir is a folder of certificates.
type dir struct {
	testing.TB
	path string
}

func (d dir) file(name string) string { return filepath.Join(d.path, name) }

func (d dir) write(name string, text []byte) string {
	d.Helper()
	if err := os.WriteFile(d.file(name), text, 0o600); err != nil {
		d.Fatal(err)
	}
	return d.file(name)
}

func ecKey(t testing.TB) crypto.Signer {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// issue makes a self-signed certificate for names and returns both as PEM.
func issue(t testing.TB, key crypto.Signer, from, to time.Time, names ...string) (certificate, secret []byte) {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: names, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// pair writes NAME.pem and NAME.key, good for a year.
func (d dir) pair(name string, key crypto.Signer, names ...string) {
	c, k := issue(d, key, time.Now().Add(-time.Hour), time.Now().Add(365*24*time.Hour), names...)
	d.write(name+".pem", c)
	d.write(name+".key", k)
}

func TestErrors(t *testing.T) {
	d := dir{t, t.TempDir()}
	key := ecKey(t)
	d.pair("a", key, "a.test")
	d.pair("b", ecKey(t), "b.test")
	a, err := os.ReadFile(d.file("a.pem"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(d.file("b.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(a)
	d.write("der.pem", block.Bytes)
	d.write("empty.pem", []byte("\n"))
	d.write("text.pem", []byte("hello"))
	d.write("broken.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))
	d.write("broken.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))
	d.write("locked.key", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}))
	d.write("chain.pem", append(b, a...))
	d.write("request.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("x")}))
	for _, c := range []struct {
		certs, keys string
		want        []string // all in the error
	}{
		{"", "", []string{"TLS needs a certificate", "--tls-self-signed"}},
		{"a.pem b.pem", "a.key", []string{"2 certificates and 1 keys", "same order"}},
		{"", "a.key", []string{"0 certificates and 1 keys"}},
		{"none.pem", "a.key", []string{"none.pem does not exist", "name a file in PEM form"}},
		{"a.pem", "none.key", []string{"none.key does not exist"}},
		{".", "a.key", []string{"cannot be read: is a directory"}},
		{"a.pem", "", []string{"a.pem holds no key", "it holds a certificate"}},
		{"a.key", "a.pem", []string{"a.key holds no certificate: it holds a key", "wrong way round"}},
		{"a.pem", "b.key", []string{"b.key: this key does not belong to the certificate", "a.pem (a.test)", "name the key that it was made with"}},
		{"chain.pem", "a.key", []string{"chain.pem: the key in", "belongs to certificate 2 of the file: put that one first"}},
		{"der.pem", "a.key", []string{"der.pem holds no certificate: it is in DER form", "openssl x509 -inform der"}},
		{"a.pem", "der.pem", []string{"der.pem holds no key: it is in DER form", "openssl pkey -inform der"}},
		{"empty.pem", "a.key", []string{"it is empty"}},
		{"text.pem", "a.key", []string{"not in PEM form", "-----BEGIN CERTIFICATE-----"}},
		{"request.pem", "a.key", []string{"it holds a CERTIFICATE REQUEST"}},
		{"broken.pem", "a.key", []string{"certificate 1 of the file is broken", "get it anew"}},
		{"a.pem", "broken.key", []string{"broken.key: the key cannot be read", "RSA, ECDSA"}},
		{"a.pem", "locked.key", []string{"locked.key: the key has a passphrase", "openssl pkey"}},
		// All that is wrong is told at once.
		{"none.pem empty.pem", "a.key b.key", []string{"none.pem does not exist", "empty.pem holds no certificate"}},
	} {
		paths := func(list string) (files []string) {
			for _, f := range strings.Fields(list) {
				files = append(files, d.file(f))
			}
			return files
		}
		s, err := Load(Options{Certificates: paths(c.certs), Keys: paths(c.keys)}, nil)
		if err == nil {
			s.Close()
			t.Errorf("%s, %s: no error", c.certs, c.keys)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %s: %v\nlacks %q", c.certs, c.keys, err, want)
			}
		}
	}
	if os.Geteuid() != 0 { // root may read everything
		if err := os.Chmod(d.file("a.key"), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := Pair(d.file("a.pem"), d.file("a.key")); err == nil || !strings.Contains(err.Error(), "cannot be read by this user") {
			t.Errorf("a file without rights: %v", err)
		}
	}
}

func TestWarnings(t *testing.T) {
	now := time.Now()
	d := dir{t, t.TempDir()}
	const day = 24 * time.Hour
	for _, c := range []struct {
		name     string
		from, to time.Duration // from now
		host     string
		want     string
	}{
		{"old", -9 * day, -day, "a.test", "expired on"},
		{"young", day, 9 * day, "a.test", "is not valid before"},
		{"soon", -9 * day, 2 * day, "a.test", "expires on"},
		{"nameless", -day, 90 * day, "", "names no host"},
		{"good", -day, 90 * day, "a.test", ""},
	} {
		var names []string
		if c.host != "" {
			names = []string{c.host}
		}
		cert, key := issue(t, ecKey(t), now.Add(c.from), now.Add(c.to), names...)
		file := d.write(c.name+".pem", append(cert, key...)) // the key in the same file
		s, err := Load(Options{Certificates: []string{file}}, nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		s.Close()
		said := strings.Join(s.Warnings(), "\n")
		if c.want == "" && said != "" || !strings.Contains(said, c.want) || c.want != "" && !strings.HasPrefix(said, file+": ") {
			t.Errorf("%s: %q, want %q", c.name, said, c.want)
		}
	}
}

// shake does a handshake of cc with s and returns both ends' states.
func shake(t testing.TB, s *Store, cc *tls.Config) (server, client tls.ConnectionState, err error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	end := time.Now().Add(10 * time.Second)
	if err := a.SetDeadline(end); err != nil {
		t.Fatal(err)
	}
	if err := b.SetDeadline(end); err != nil {
		t.Fatal(err)
	}
	sc, c := tls.Server(a, s.Config()), tls.Client(b, cc)
	served := make(chan error, 1)
	go func() { // ends with the handshake and one byte, or its deadline
		err := sc.Handshake()
		if err == nil {
			_, err = sc.Write([]byte("x"))
		}
		if err != nil {
			a.Close()
		}
		served <- err
	}()
	err = c.Handshake()
	if err == nil {
		var one [1]byte
		_, err = io.ReadFull(c, one[:]) // TLS 1.3 tickets come before it
	} else {
		b.Close()
	}
	<-served
	return sc.ConnectionState(), c.ConnectionState(), err
}

// trusting is a client that looks at no certificate: which one came is the test.
func trusting(name string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: name}
}

func TestPick(t *testing.T) {
	d := dir{t, t.TempDir()}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	d.pair("first", ecKey(t), "first.test")
	d.pair("wild", ecKey(t), "*.wild.test", "wild.test")
	d.pair("exact", ecKey(t), "a.wild.test")
	d.pair("rsa", rsaKey, "both.test")
	d.pair("ec", ecKey(t), "BOTH.test")
	var o Options
	for _, n := range []string{"first", "wild", "exact", "rsa", "ec"} {
		o.Certificates = append(o.Certificates, d.file(n+".pem"))
		o.Keys = append(o.Keys, d.file(n+".key"))
	}
	s, err := Load(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, want := range map[string]string{
		"": "first.test", "first.test": "first.test", "nobody.test": "first.test", "FIRST.test": "first.test",
		"wild.test": "*.wild.test", "b.wild.test": "*.wild.test", "B.Wild.Test": "*.wild.test", "a.wild.test": "a.wild.test",
		"x.b.wild.test": "first.test", // a wildcard is one label
		"both.test":     "both.test",
	} {
		_, c, err := shake(t, s, trusting(name))
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if got := c.PeerCertificates[0].DNSNames[0]; got != want {
			t.Errorf("%q got the certificate of %s, not %s", name, got, want)
		}
	}
	// Of two for one name the client gets the first that it can use.
	for suite, want := range map[uint16]x509.PublicKeyAlgorithm{
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: x509.RSA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: x509.ECDSA,
	} {
		cc := trusting("both.test")
		cc.MaxVersion, cc.CipherSuites = tls.VersionTLS12, []uint16{suite}
		_, c, err := shake(t, s, cc)
		if err != nil {
			t.Errorf("%x: %v", suite, err)
		} else if got := c.PeerCertificates[0].PublicKeyAlgorithm; got != want {
			t.Errorf("a client for %v got %v", want, got)
		}
	}
}

func TestSelfSigned(t *testing.T) {
	s, err := Load(Options{SelfSigned: true, Names: []string{"edge-1", "10.0.0.7", "localhost", ""}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.certs[0].Leaf)
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "edge-1", "10.0.0.7"} {
		if _, _, err := shake(t, s, &tls.Config{RootCAs: roots, ServerName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if f := s.Fingerprint(); len(f) != 32*3-1 || strings.Count(f, ":") != 31 || f != strings.ToUpper(f) {
		t.Errorf("fingerprint %q", f)
	}
}

func TestVersionsAndProtocols(t *testing.T) {
	for _, c := range []struct {
		o       Options
		client  *tls.Config
		version uint16 // 0: refused
		alpn    string
	}{
		{Options{}, &tls.Config{}, tls.VersionTLS13, ""},
		{Options{}, &tls.Config{MaxVersion: tls.VersionTLS12}, tls.VersionTLS12, ""},
		{Options{}, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, 0, ""},
		{Options{Min: tls.VersionTLS13}, &tls.Config{MaxVersion: tls.VersionTLS12}, 0, ""},
		{Options{Min: tls.VersionTLS13}, &tls.Config{}, tls.VersionTLS13, ""},
		{Options{}, &tls.Config{NextProtos: []string{"h2", "http/1.1"}}, tls.VersionTLS13, "http/1.1"},
		{Options{HTTP2: true}, &tls.Config{NextProtos: []string{"http/1.1", "h2"}}, tls.VersionTLS13, "h2"},
		{Options{HTTP2: true}, &tls.Config{NextProtos: []string{"http/1.1"}}, tls.VersionTLS13, "http/1.1"},
		{Options{HTTP2: true}, &tls.Config{NextProtos: []string{"spdy/1"}}, 0, ""},
		{Options{HTTP2: true, NoHTTP1: true}, &tls.Config{NextProtos: []string{"http/1.1", "h2"}}, tls.VersionTLS13, "h2"},
		// crypto/tls lets those in who only ask for http/1.1; the preface will be missing.
		{Options{HTTP2: true, NoHTTP1: true}, &tls.Config{NextProtos: []string{"http/1.1"}}, tls.VersionTLS13, ""},
	} {
		c.o.SelfSigned = true
		s, err := Load(c.o, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.client.InsecureSkipVerify, c.client.ServerName = true, "localhost"
		_, got, err := shake(t, s, c.client)
		s.Close()
		switch {
		case c.version == 0 && err == nil:
			t.Errorf("%+v accepted %x", c.o, got.Version)
		case c.version != 0 && (err != nil || got.Version != c.version || got.NegotiatedProtocol != c.alpn):
			t.Errorf("%+v: %x, %q, %v", c.o, got.Version, got.NegotiatedProtocol, err)
		}
	}
}

func TestPostQuantum(t *testing.T) {
	for _, without := range []bool{false, true} {
		s, err := Load(Options{SelfSigned: true, NoPostQuantum: without}, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, c, err := shake(t, s, trusting("localhost"))
		s.Close()
		if want := map[bool]tls.CurveID{false: tls.X25519MLKEM768, true: tls.X25519}[without]; err != nil || c.CurveID != want {
			t.Errorf("without %v: %v, %v", without, c.CurveID, err)
		}
	}
}

// A ticket is good for the key that made it and the rotations after, and for no
// more.
func TestResumption(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for turns := range oldKeys + 2 {
			s, err := Load(Options{SelfSigned: true}, nil)
			if err != nil {
				t.Fatal(err)
			}
			cc := trusting("localhost")
			cc.MaxVersion, cc.ClientSessionCache = version, tls.NewLRUClientSessionCache(1)
			if _, c, err := shake(t, s, cc); err != nil || c.DidResume {
				t.Fatalf("%x: the first: resumed %v, %v", version, c.DidResume, err)
			}
			for range turns {
				s.Rotate()
			}
			server, c, err := shake(t, s, cc)
			if want := turns <= oldKeys; err != nil || c.DidResume != want || server.DidResume != want {
				t.Errorf("%x after %d turns: resumed %v, %v", version, turns, c.DidResume, err)
			}
			s.Close()
		}
	}
	// Two gateways, or one before and after a restart, share no key.
	a, err := Load(Options{SelfSigned: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := Load(Options{SelfSigned: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	none, err := Load(Options{SelfSigned: true, Rotation: -1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer none.Close()
	cc := trusting("localhost")
	cc.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for i, s := range []*Store{a, b, none, none} {
		if _, c, err := shake(t, s, cc); err != nil || c.DidResume {
			t.Errorf("%d: resumed %v, %v", i, c.DidResume, err)
		}
	}
}

// first is a client's cache that keeps the first session it gets.
type first struct{ session *tls.ClientSessionState }

func (f *first) Get(string) (*tls.ClientSessionState, bool) { return f.session, f.session != nil }

func (f *first) Put(_ string, s *tls.ClientSessionState) {
	if f.session == nil {
		f.session = s
	}
}

// The keys change by themselves: the same ticket is refused sooner or later.
func TestRotation(t *testing.T) {
	s, err := Load(Options{SelfSigned: true, Rotation: time.Millisecond}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cc, cache := trusting("localhost"), &first{}
	cc.ClientSessionCache = cache
	for end := time.Now().Add(10 * time.Second); ; {
		had := cache.session != nil
		_, c, err := shake(t, s, cc)
		if err != nil {
			t.Fatal(err)
		}
		if had && !c.DidResume {
			return
		}
		if time.Now().After(end) {
			t.Fatal("a ticket stays good for ever")
		}
	}
}
