// Package listen reads places to listen on as people write them.
package listen

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// Place is one place to listen on.
type Place struct {
	// Text is what was written, without its scheme.
	Text string
	// Secure: TLS is spoken, https://.
	Secure bool
	// Port is 0 for a unix socket and for any free port.
	Port uint16
	// Host is what a browser on this machine would use; "" for a unix socket.
	Host string
	// Path is a unix socket's, absolute; "" for TCP.
	Path string
	// Alternatives are sets of addresses; the first that the machine has is taken.
	Alternatives [][]loop.Address
}

// Parse reads a place:
//
//	:8080  127.0.0.1:8080  localhost:8080  [::]:8080  unix:/run/web.sock
//	http://:8080  https://:8443  https://localhost
//
// An error quotes s, says what is wrong with it and what to write.
func Parse(s string) (*Place, error) {
	p := &Place{Text: s}
	if rest, ok := strings.CutPrefix(s, "http://"); ok {
		p.Text = withDefaultPort(rest, ":80")
	} else if rest, ok := strings.CutPrefix(s, "https://"); ok {
		p.Text, p.Secure = withDefaultPort(rest, ":443"), true
	}
	s = p.Text
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("cannot listen on %q: the path of a unix socket is absolute", s)
		}
		p.Path = path
		p.Alternatives = [][]loop.Address{{{Path: path}}}
		return p, nil
	}
	host, port, err := split(s)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %q: %w", s, err)
	}
	p.Port = port
	ip := func(a netip.Addr) loop.Address { return loop.Address{IP: netip.AddrPortFrom(a, port)} }
	four, six := ip(netip.MustParseAddr("127.0.0.1")), ip(netip.IPv6Loopback())
	switch host {
	case "", "*":
		// [::] takes IPv4 as well; a machine without IPv6 has only the other.
		p.Host = "localhost"
		p.Alternatives = [][]loop.Address{{ip(netip.IPv6Unspecified())}, {ip(netip.IPv4Unspecified())}}
	case "localhost":
		p.Host = "localhost"
		p.Alternatives = [][]loop.Address{{four, six}, {four}}
		if port == 0 { // two listeners would get two ports
			p.Alternatives = [][]loop.Address{{four}}
		}
	default:
		a, err := netip.ParseAddr(host)
		if err != nil {
			return nil, fmt.Errorf("cannot listen on %q: %q is not an address of this machine: write its IP address, localhost, or only :%d", s, host, port)
		}
		p.Host = host
		switch {
		case a.IsUnspecified():
			p.Host = "localhost"
		case a.Is6():
			p.Host = "[" + host + "]"
		}
		p.Alternatives = [][]loop.Address{{ip(a)}}
	}
	return p, nil
}

// withDefaultPort is the rest of a URL with the port of its scheme if it has none.
func withDefaultPort(s, port string) string {
	s = strings.TrimSuffix(s, "/")
	if s == "" || !strings.HasPrefix(s, "unix:") && strings.LastIndexByte(s, ':') <= strings.LastIndexByte(s, ']') {
		return s + port
	}
	return s
}

// Same reports whether two would listen in the same place.
func (p *Place) Same(other *Place) bool {
	if p.Path != "" || p.Port == 0 {
		return p.Path != "" && p.Path == other.Path
	}
	return p.Port == other.Port && slices.ContainsFunc(p.Alternatives[0], func(a loop.Address) bool {
		return slices.Contains(other.Alternatives[0], a)
	})
}

func split(s string) (host string, port uint16, err error) {
	if _, err := strconv.ParseUint(s, 10, 16); err == nil {
		return "", 0, fmt.Errorf("write :%s", s)
	}
	if strings.Contains(s, "://") {
		return "", 0, errors.New("the scheme of an address to listen on is http or https: write :8080 or https://:8443")
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") {
		return "", 0, errors.New("there is no port: write " + s + ":8080")
	}
	host = s[:i]
	switch {
	case strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]"):
		host = host[1 : len(host)-1]
	case strings.Contains(host, ":"):
		return "", 0, fmt.Errorf("an IPv6 address stands in brackets: write [%s]:%s", host, s[i+1:])
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not a port: write a number from 0 to 65535", s[i+1:])
	}
	return host, uint16(n), nil
}

// URL is what to type into a browser on this machine; a is the address that the
// listener got.
func (p *Place) URL(a loop.Address) string {
	if p.Path != "" {
		return "unix:" + p.Path
	}
	scheme, standard := "http://", uint16(80)
	if p.Secure {
		scheme, standard = "https://", 443
	}
	if port := a.IP.Port(); port != standard {
		return fmt.Sprintf("%s%s:%d", scheme, p.Host, port)
	}
	return scheme + p.Host
}

// Written is the place as one would write it.
func (p *Place) Written() string {
	if p.Secure {
		return "https://" + p.Text
	}
	return p.Text
}

// WithPort is the same place at another port, as one would write it.
func (p *Place) WithPort(port uint16) string {
	s := p.Written()
	return s[:strings.LastIndexByte(s, ':')+1] + strconv.Itoa(int(port))
}

// Overlaps reports whether two places cannot be listened on both: an address that
// means all takes the port on each.
func (p *Place) Overlaps(other *Place) bool {
	if p.Path != "" || p.Port == 0 {
		return p.Path != "" && p.Path == other.Path
	}
	if p.Port != other.Port {
		return false
	}
	for _, a := range p.Alternatives[0] {
		for _, b := range other.Alternatives[0] {
			if a == b || covers(a.IP.Addr(), b.IP.Addr()) || covers(b.IP.Addr(), a.IP.Addr()) {
				return true
			}
		}
	}
	return false
}

// covers reports whether a means all addresses, b among them: [::] takes IPv4 too.
func covers(a, b netip.Addr) bool { return a.IsUnspecified() && (a.Is6() || b.Is4()) }
