package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// asBackend is the variable that makes this program a server behind a proxy: its address,
// and the file to which it adds a line for each POST that it executes.
const asBackend = "COMPARE_BACKEND"

// serveBackend is such a server. What it does is told by PUT /mood: well, slow, reset, 503 or
// expired.
func serveBackend(what string) error {
	address, file, _ := strings.Cut(what, " ")
	file, dir, secure := strings.Cut(file, " ")
	executed, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var mood atomic.Pointer[string]
	well := "well"
	mood.Store(&well)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && r.URL.Path == "/mood" {
			b, _ := io.ReadAll(r.Body)
			s := string(b)
			mood.Store(&s)
			w.Header().Set("Connection", "close")
			return
		}
		switch *mood.Load() {
		case "slow":
			time.Sleep(5 * time.Second)
		case "reset":
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
			}
			return
		case "503":
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if secure { // so that the certificate of the moment is looked at
			w.Header().Set("Connection", "close")
		}
		if r.Method == http.MethodPost {
			b, _ := io.ReadAll(r.Body)
			fmt.Fprintf(executed, "%s\n", b)
		}
		io.WriteString(w, "hello\n")
	})
	var ln net.Listener
	for range 50 { // a predecessor's connections may still have the port
		if ln, err = net.Listen("tcp", address); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	if secure {
		var pairs [2]tls.Certificate
		for i, name := range []string{"good", "expired"} {
			if pairs[i], err = tls.LoadX509KeyPair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".pem")); err != nil {
				return err
			}
		}
		// A session that is resumed shows no certificate.
		ln = tls.NewListener(ln, &tls.Config{SessionTicketsDisabled: true, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if *mood.Load() == "expired" {
				return &pairs[1], nil
			}
			return &pairs[0], nil
		}})
	}
	fmt.Println("ready")
	return (&http.Server{Handler: handler}).Serve(ln)
}

// backend is a server process behind the proxies.
type backend struct {
	address, executed string
	certificates      string // the directory that has them; "" speaks no TLS
	cmd               *exec.Cmd
}

// start starts it and waits until it listens.
func (b *backend) start() error {
	b.cmd = exec.Command(os.Args[0])
	what := b.address + " " + b.executed
	if b.certificates != "" {
		what += " " + b.certificates
	}
	b.cmd.Env = append(os.Environ(), asBackend+"="+what)
	b.cmd.Stderr = os.Stderr
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := b.cmd.Start(); err != nil {
		return err
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		return fmt.Errorf("the server on %s does not start: %q, %v", b.address, line, err)
	}
	return nil
}

// kill ends it at once.
func (b *backend) kill() {
	if b.cmd != nil {
		b.cmd.Process.Signal(syscall.SIGCONT)
		b.cmd.Process.Kill()
		b.cmd.Wait()
		b.cmd = nil
	}
}

func (b *backend) signal(s syscall.Signal) { b.cmd.Process.Signal(s) }

// feel tells it what to do from now on.
func (b *backend) feel(mood string) error {
	scheme := "http"
	if b.certificates != "" {
		scheme = "https"
	}
	r, err := http.NewRequest(http.MethodPut, scheme+"://"+b.address+"/mood", strings.NewReader(mood))
	if err != nil {
		return err
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	res, err := client.Do(r)
	if err == nil {
		res.Body.Close()
	}
	return err
}

// freeAddress is one of 127.0.0.1 that nobody listens on.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return "127.0.0.1:" + strconv.Itoa(ln.Addr().(*net.TCPAddr).Port), nil
}

// certify writes certificates for app.test to a directory: ca.pem, and good.pem and
// expired.pem with their keys.
func certify(dir string) error {
	now := time.Now()
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "compare"}, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	write := func(name string, t *x509.Certificate, key *ecdsa.PrivateKey, withKey bool) error {
		der, err := x509.CreateCertificate(rand.Reader, t, root, &key.PublicKey, rootKey)
		if err != nil {
			return err
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		if withKey {
			secret, err := x509.MarshalPKCS8PrivateKey(key)
			if err != nil {
				return err
			}
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
		}
		return os.WriteFile(filepath.Join(dir, name), text, 0o644)
	}
	if err := write("ca.pem", root, rootKey, false); err != nil {
		return err
	}
	for i, name := range []string{"good.pem", "expired.pem"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		t := &x509.Certificate{SerialNumber: big.NewInt(int64(2 + i)), DNSNames: []string{"app.test"}, NotBefore: root.NotBefore, NotAfter: root.NotAfter,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		if i == 1 {
			t.NotAfter = now.Add(-time.Hour)
		}
		if err := write(name, t, key, true); err != nil {
			return err
		}
	}
	return nil
}

// names is a DNS server that knows one name.
type names struct {
	address string
	at      atomic.Pointer[string] // where the name is
}

// zone is that server, once it is started.
var zone = &names{}

// host is the name that it knows, with a lifetime of a second.
const host = "app.test."

func (n *names) start() error {
	if n.address != "" {
		return nil
	}
	for range 20 { // one port for both
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		conn, err := net.ListenPacket("udp", ln.Addr().String())
		if err != nil {
			ln.Close()
			continue
		}
		for _, s := range []*dns.Server{{Listener: ln, Handler: n}, {PacketConn: conn, Handler: n}} {
			go s.ActivateAndServe() // ends with the program
		}
		n.address = ln.Addr().String()
		return nil
	}
	return errors.New("no port for a DNS server")
}

// move makes the name that of a server from now on.
func (n *names) move(b *backend) {
	host, _, _ := net.SplitHostPort(b.address)
	n.at.Store(&host)
}

// ServeDNS implements dns.Handler.
func (n *names) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	var m dns.Msg
	m.SetReply(q)
	if at := n.at.Load(); at != nil && len(q.Question) == 1 && strings.EqualFold(q.Question[0].Name, host) {
		if q.Question[0].Qtype == dns.TypeA {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.ParseIP(*at).To4()})
		}
	} else {
		m.Rcode = dns.RcodeNameError
	}
	w.WriteMsg(&m)
}
