package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// listen is where the gateway listens, as somebody wrote it.
type listen struct {
	text string
	port uint16 // 0 for a unix socket and for any free port
	host string // that a browser on this machine would use; "" for a unix socket
	path string // of a unix socket
	// alternatives are sets of addresses; the first that the machine has is taken.
	alternatives [][]loop.Address
}

// parseListen reads an address to listen on.
func parseListen(s string) (*listen, error) {
	l := &listen{text: s}
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("cannot listen on %q: the path of a unix socket is absolute", s)
		}
		l.path = path
		l.alternatives = [][]loop.Address{{{Path: path}}}
		return l, nil
	}
	host, port, err := splitListen(s)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %q: %w", s, err)
	}
	l.port = port
	ip := func(a netip.Addr) loop.Address { return loop.Address{IP: netip.AddrPortFrom(a, port)} }
	four, six := ip(netip.MustParseAddr("127.0.0.1")), ip(netip.IPv6Loopback())
	switch host {
	case "", "*":
		// [::] takes IPv4 as well; a machine without IPv6 has only the other.
		l.host = "localhost"
		l.alternatives = [][]loop.Address{{ip(netip.IPv6Unspecified())}, {ip(netip.IPv4Unspecified())}}
	case "localhost":
		l.host = "localhost"
		l.alternatives = [][]loop.Address{{four, six}, {four}}
		if port == 0 { // two listeners would get two ports
			l.alternatives = [][]loop.Address{{four}}
		}
	default:
		a, err := netip.ParseAddr(host)
		if err != nil {
			return nil, fmt.Errorf("cannot listen on %q: %q is not an address of this machine: write its IP address, localhost, or only :%d", s, host, port)
		}
		l.host = host
		switch {
		case a.IsUnspecified():
			l.host = "localhost"
		case a.Is6():
			l.host = "[" + host + "]"
		}
		l.alternatives = [][]loop.Address{{ip(a)}}
	}
	return l, nil
}

func splitListen(s string) (host string, port uint16, err error) {
	if _, err := strconv.ParseUint(s, 10, 16); err == nil {
		return "", 0, fmt.Errorf("write :%s", s)
	}
	if strings.Contains(s, "://") {
		return "", 0, errors.New("an address to listen on has no scheme: write :8080")
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

// url is what to type into a browser on this machine; a is the address that the
// listener got.
func (l *listen) url(a loop.Address) string {
	if l.path != "" {
		return "unix:" + l.path
	}
	if p := a.IP.Port(); p != 80 {
		return fmt.Sprintf("http://%s:%d", l.host, p)
	}
	return "http://" + l.host
}

// withPort is the same place at another port, as one would write it.
func (l *listen) withPort(port uint16) string {
	return l.text[:strings.LastIndexByte(l.text, ':')+1] + strconv.Itoa(int(port))
}
