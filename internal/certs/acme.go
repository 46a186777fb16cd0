package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"go.uber.org/zap"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// ALPNChallenge is the protocol of a handshake that is a question of an ACME server
// (RFC 8737 §3): nothing is said after it.
const ALPNChallenge = acmez.ACMETLS1Protocol

// ChallengePath is how the paths begin at which an ACME server asks in plain HTTP
// (RFC 8555 §8.3).
const ChallengePath = "/.well-known/acme-challenge/"

// LetsEncrypt is the directory of the authority that is asked unless another one is named.
const LetsEncrypt = certmagic.LetsEncryptProductionCA

// Managed says for which names certificates are obtained, and of whom.
type Managed struct {
	// Names are host names without wildcards, for which an authority is asked by ACME.
	Names []string
	// Internal are names and IP addresses whose certificates the internal authority makes: one
	// of our own, whose root clients must be told to trust. They may begin with "*.".
	Internal []string
	// CA is the URL of an ACME directory; "" means LetsEncrypt. Using one means to agree
	// to its terms.
	CA string
	// CARoots is a PEM file with the authorities that the CA's own certificate leads to;
	// "" means those of the system.
	CARoots string
	// Email is whom the CA tells of what it must tell; "" is nobody.
	Email string
	// Storage is the directory for accounts, keys and certificates.
	Storage string
	// Ask is a URL that is asked, with ?domain=NAME, whether a certificate is to be obtained for
	// a name that a client comes with and that is not one of Names; only the status 200 is a yes.
	// "" obtains none.
	Ask string
	// HTTPPort and TLSPort are those at which this gateway listens, for the CA's questions,
	// and Host is the IP address; "" is all. The CA asks at ports 80 and 443, from where they may be
	// forwarded.
	HTTPPort, TLSPort int
	Host              string
}

// askTimeout bounds the question whether a certificate is to be had: a client waits in
// its handshake meanwhile.
const askTimeout = 5 * time.Second

// reserved are endings, besides those that certmagic knows, under which nobody can register
// a name (RFC 6761 §6, RFC 7686, RFC 9476).
var reserved = []string{"test", "example", "invalid", "onion", "alt"}

// Public reports whether a public authority could make a certificate for a name: it is
// no address, has a dot, and no ending that is for private use (RFC 6761, RFC 6762, RFC 8375).
func Public(name string) bool {
	return strings.Contains(name, ".") && !slices.Contains(reserved, strings.ToLower(name[strings.LastIndexByte(name, '.')+1:])) && !strings.HasPrefix(name, "*") && certmagic.SubjectQualifiesForPublicCert(name)
}

// Manager obtains certificates and renews them. It is shared by all loops, and lives on
// when the settings of listeners change.
type Manager struct {
	o      Managed
	cache  *certmagic.Cache
	config *certmagic.Config // by ACME
	issuer *certmagic.ACMEIssuer
	inside *certmagic.Config // by the internal authority
	own    *authority
	tell   func(string)
	ctx    context.Context
	end    context.CancelFunc

	mu      sync.Mutex
	managed []string          // what Manage was last told, by ACME and internal
	private map[string]bool   // those of them that are internal
	known   map[string]bool   // names that there was a certificate for
	failed  map[string]string // names and why there is none
	fresh   map[string]bool   // names whose certificate is obtained and not yet in the cache
}

// NewManager makes a manager, which obtains nothing before Manage or a handshake. tell
// hears in a line what became of each certificate; it is called from any goroutine. The
// error is about the settings.
func NewManager(o Managed, tell func(string)) (*Manager, error) {
	m := &Manager{o: o, tell: tell, known: map[string]bool{}, fresh: map[string]bool{}, failed: map[string]string{}}
	m.o.Names, m.o.Internal = nil, nil
	var roots *x509.CertPool
	if o.CARoots != "" {
		pem, err := os.ReadFile(o.CARoots)
		if err != nil {
			return nil, fmt.Errorf("the authorities of the ACME server: %w", err)
		}
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", o.CARoots)
		}
	}
	m.ctx, m.end = context.WithCancel(context.Background())
	quiet := zap.NewNop() // what matters is told by events
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(c certmagic.Certificate) (*certmagic.Config, error) {
			if len(c.Names) > 0 && m.internal(c.Names[0]) {
				return m.inside, nil
			}
			return m.config, nil
		},
		Logger: quiet,
	})
	storage := &certmagic.FileStorage{Path: o.Storage}
	m.own = &authority{storage: storage, where: o.Storage}
	// Half of a week is left when such a certificate is renewed, so a night without a disk is
	// no matter.
	m.inside = certmagic.New(m.cache, certmagic.Config{Storage: storage, OnEvent: m.event, Logger: quiet, Issuers: []certmagic.Issuer{m.own},
		RenewalWindowRatio: 0.5, OCSP: certmagic.OCSPConfig{DisableStapling: true}})
	c := certmagic.Config{Storage: storage, OnEvent: m.event, Logger: quiet}
	if o.Ask != "" {
		c.OnDemand = &certmagic.OnDemandConfig{DecisionFunc: m.ask}
	}
	m.config = certmagic.New(m.cache, c)
	ca := o.CA
	if ca == "" {
		ca = LetsEncrypt
	}
	m.issuer = certmagic.NewACMEIssuer(m.config, certmagic.ACMEIssuer{CA: ca, Email: o.Email, Agreed: true, TrustedRoots: roots, Logger: quiet,
		ListenHost: o.Host, AltHTTPPort: o.HTTPPort, AltTLSALPNPort: o.TLSPort,
		DisableHTTPChallenge: o.HTTPPort == 0, DisableTLSALPNChallenge: o.TLSPort == 0})
	m.config.Issuers = []certmagic.Issuer{m.issuer}
	return m, nil
}

// Same reports whether a manager with these settings would be like m, whatever the names.
func (m *Manager) Same(o Managed) bool {
	o.Names, o.Internal = nil, nil
	return reflect.DeepEqual(m.o, o)
}

// Manage obtains and renews certificates of these names, by ACME and of the internal
// authority, and of no others but such as clients come with. It does not wait.
func (m *Manager) Manage(public, internal []string) {
	names := slices.Concat(public, internal)
	m.mu.Lock()
	var gone []certmagic.SubjectIssuer
	for _, n := range m.managed {
		if !slices.Contains(names, n) {
			gone = append(gone, certmagic.SubjectIssuer{Subject: n})
			delete(m.failed, n)
		}
	}
	var fresh, inside []string
	private := map[string]bool{}
	for i, n := range names {
		own := i >= len(public)
		if own {
			private[n] = true
		}
		switch was := slices.Contains(m.managed, n); {
		case was && m.private[n] == own:
			continue
		case was: // by the other way so far
			gone = append(gone, certmagic.SubjectIssuer{Subject: n})
		}
		if own {
			inside = append(inside, n)
		} else {
			fresh = append(fresh, n)
		}
	}
	m.managed, m.private = names, private
	m.mu.Unlock()
	if len(gone) > 0 {
		m.cache.RemoveManaged(gone)
	}
	// What is in the storage is read at once, the rest is obtained beside everything else and
	// tried again with growing pauses. Names that depend on clients are not ours to begin with.
	config := *m.config
	config.OnDemand = nil
	m.begin(&config, fresh)
	m.begin(m.inside, inside)
}

func (m *Manager) begin(config *certmagic.Config, names []string) {
	if len(names) == 0 {
		return
	}
	go func() { // ends when all is read
		if err := config.ManageAsync(m.ctx, names); err != nil && m.ctx.Err() == nil {
			m.tell(fmt.Sprintf("certificates of %s cannot be looked after: %s", strings.Join(names, ", "), line(err)))
		}
	}()
}

// internal reports whether the certificate for a name is the internal authority's.
func (m *Manager) internal(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.private[name]
}

// Root is the root of the internal authority, nil if it has made no certificate. The error
// says why it cannot be had.
func (m *Manager) Root() (*x509.Certificate, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.private) == 0 {
		return nil, nil
	}
	if root := m.own.root.Load(); root != nil {
		return root, nil
	}
	for name := range m.private {
		if why := m.failed[name]; why != "" {
			return nil, errors.New(why)
		}
	}
	return nil, errors.New("the internal authority is being made")
}

// Close ends it. What is being obtained is given up.
func (m *Manager) Close() {
	m.end()
	m.cache.Stop()
}

// event is told by certmagic of what it does.
func (m *Manager) event(_ context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	again, _ := data["renewal"].(bool)
	switch event {
	case "cert_obtained":
		m.mu.Lock()
		delete(m.failed, name)
		m.fresh[name] = !again
		m.mu.Unlock()
		if again {
			m.tell("certificate for " + name + " renewed")
		}
	case "cached_managed_cert": // from now on handshakes find it
		names, _ := data["sans"].([]string)
		for _, name := range names {
			m.mu.Lock()
			m.known[name] = true
			fresh := m.fresh[name]
			delete(m.fresh, name)
			m.mu.Unlock()
			if fresh {
				m.tell("certificate for " + name + " obtained")
			}
		}
	case "cert_failed":
		err, _ := data["error"].(error)
		why := "no reason given"
		if err != nil {
			why = line(err)
		}
		m.mu.Lock()
		m.failed[name] = why
		m.mu.Unlock()
		what := "no certificate for " + name
		if again {
			what = "the certificate for " + name + " could not be renewed"
		}
		m.tell(what + ": " + why + "; it is tried again, with growing pauses")
	}
	return nil
}

// line is an error in one line.
func line(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// ask asks whether a certificate is to be had for a name.
func (m *Manager) ask(ctx context.Context, name string) error {
	u, err := url.Parse(m.o.Ask)
	if err != nil {
		return err
	}
	q := u.Query()
	q.Set("domain", name)
	u.RawQuery = q.Encode()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("whether a certificate for %s is to be had could not be asked: %w", name, err)
	}
	defer res.Body.Close()
	io.Copy(io.Discard, io.LimitReader(res.Body, 4<<10))
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("a certificate for %s is not to be had: %s answers %d", name, m.o.Ask, res.StatusCode)
	}
	return nil
}

// find returns a certificate that is there for the name, nil if there is none. It does
// not wait.
func (m *Manager) find(name string) *tls.Certificate {
	if name == "" {
		return nil
	}
	var best *certmagic.Certificate
	list := m.cache.AllMatchingCertificates(name)
	for i := range list {
		if c := &list[i]; best == nil || c.Leaf.NotAfter.After(best.Leaf.NotAfter) {
			best = c
		}
	}
	if best == nil || m.o.Ask != "" && !m.manages(name) && best.NeedsRenewal(m.config) {
		return nil // what clients had us obtain is renewed when one comes
	}
	return &best.Certificate
}

func (m *Manager) manages(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.managed, name)
}

// errNoName is what a client hears that names no host, where no certificate is for such.
var errNoName = errors.New("the client names no host (SNI), and there is no certificate for such clients")

// get finds the certificate for a handshake, and waits if it is to be obtained first or
// the handshake is a challenge.
func (m *Manager) get(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(h.ServerName, "."))
	if name == "" && h.Conn != nil { // an address is never asked for by name (RFC 6066 §3)
		if at, err := netip.ParseAddrPort(h.Conn.LocalAddr().String()); err == nil && m.internal(at.Addr().Unmap().String()) {
			name = at.Addr().Unmap().String()
		}
	}
	challenge := len(h.SupportedProtos) == 1 && h.SupportedProtos[0] == ALPNChallenge
	if !challenge {
		if c := m.find(name); c != nil {
			return c, nil
		}
		m.mu.Lock()
		why := m.failed[name]
		managed := slices.Contains(m.managed, name)
		m.mu.Unlock()
		switch {
		case name == "":
			return nil, errNoName
		case managed && why != "":
			return nil, fmt.Errorf("there is no certificate for %s yet: %s", name, why)
		case managed:
			return nil, fmt.Errorf("there is no certificate for %s yet: it is being obtained", name)
		case m.o.Ask == "":
			return nil, fmt.Errorf("there is no certificate for %s", name)
		}
	}
	var c *tls.Certificate
	var err error
	away(h, func() { c, err = m.config.GetCertificateWithContext(m.ctx, h) })
	if err != nil {
		return nil, err // what comes with it is empty
	}
	return c, nil
}

// away runs f, which may take long, in another thread, while other tasks of the
// handshake's loop run.
func away(h *tls.ClientHelloInfo, f func()) {
	if t := loop.Transport(h.Context()); t != nil {
		t.Loop().Do(f)
		return
	}
	f()
}

// Challenge answers a question that an ACME server asks in plain HTTP at a path that
// begins with ChallengePath; nil if it is none of ours. It may read the storage, which
// another gateway may have written.
func (m *Manager) Challenge(host, path string) []byte {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	w := &answer{head: http.Header{}}
	r := &http.Request{Method: http.MethodGet, Host: host, URL: &url.URL{Path: path}, Header: http.Header{}}
	if !m.issuer.HandleHTTPChallenge(w, r.WithContext(m.ctx)) || w.status != 0 && w.status != http.StatusOK {
		return nil
	}
	return w.body
}

// answer is what certmagic writes its answer to.
type answer struct {
	head   http.Header
	status int
	body   []byte
}

func (a *answer) Header() http.Header { return a.head }
func (a *answer) WriteHeader(s int)   { a.status = s }
func (a *answer) Write(b []byte) (int, error) {
	a.body = append(a.body, b...)
	return len(b), nil
}

// Expiries are those of the certificates that are there, by name.
func (m *Manager) Expiries() (list []Expiry) {
	m.mu.Lock()
	names := slices.Clone(m.managed)
	for n := range m.known {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	m.mu.Unlock()
	slices.Sort(names)
	if root := m.own.root.Load(); root != nil {
		list = append(list, expiry(root.Subject.CommonName, root))
	}
	for _, n := range names {
		if c := m.find(n); c != nil {
			list = append(list, expiry(n, c.Leaf))
		}
	}
	return list
}
