package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// listens are all the places where the gateway listens, those in plain HTTP first.
type listens []*listen

// parseListens reads places to listen on, separated by commas.
func parseListens(s string) (all listens, err error) {
	var wrong []error
	for _, one := range strings.Split(s, ",") {
		l, err := parseListen(one)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		if slices.ContainsFunc(all, l.same) {
			wrong = append(wrong, fmt.Errorf("cannot listen on %q: the place is given twice", one))
		}
		all = append(all, l)
	}
	slices.SortStableFunc(all, func(a, b *listen) int {
		switch {
		case a.secure == b.secure:
			return 0
		case b.secure:
			return -1
		}
		return 1
	})
	return all, errors.Join(wrong...)
}

// secure reports whether one of them speaks TLS.
func (all listens) secure() bool { return len(all) > 0 && all[len(all)-1].secure }

// start starts the gateway at the first of the alternatives that this machine
// has: not every one has IPv6.
func (all listens) start(o *gateway.Options) (g *gateway.Gateway, err error) {
	most := 1
	for _, l := range all {
		most = max(most, len(l.alternatives))
	}
	for i := range most {
		o.Listen, o.ListenTLS = nil, nil
		for _, l := range all {
			l.taken = l.alternatives[min(i, len(l.alternatives)-1)]
			if l.secure {
				o.ListenTLS = append(o.ListenTLS, l.taken...)
			} else {
				o.Listen = append(o.Listen, l.taken...)
			}
		}
		g, err = gateway.Start(*o)
		if !errors.Is(err, syscall.EAFNOSUPPORT) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			break
		}
	}
	return g, err
}

// urls are what to type into a browser on this machine; got are the addresses that
// the gateway has.
func (all listens) urls(got []loop.Address) (list []string) {
	for _, l := range all {
		list = append(list, l.url(got[0]))
		got = got[len(l.taken):]
	}
	return list
}

// at is the place that an address belongs to.
func (all listens) at(a loop.Address) *listen {
	for _, l := range all {
		if slices.Contains(l.taken, a) {
			return l
		}
	}
	return all[0]
}

// listen is one place where the gateway listens, as somebody wrote it.
type listen struct {
	text   string // without scheme
	secure bool   // https://
	taken  []loop.Address
	port   uint16 // 0 for a unix socket and for any free port
	host   string // that a browser on this machine would use; "" for a unix socket
	path   string // of a unix socket
	// alternatives are sets of addresses; the first that the machine has is taken.
	alternatives [][]loop.Address
}

// parseListen reads an address to listen on.
func parseListen(s string) (*listen, error) {
	l := &listen{text: s}
	if rest, ok := strings.CutPrefix(s, "http://"); ok {
		l.text = withDefaultPort(rest, ":80")
	} else if rest, ok := strings.CutPrefix(s, "https://"); ok {
		l.text, l.secure = withDefaultPort(rest, ":443"), true
	}
	s = l.text
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

// withDefaultPort is the rest of a URL with the port of its scheme if it has none.
func withDefaultPort(s, port string) string {
	s = strings.TrimSuffix(s, "/")
	if s == "" || !strings.HasPrefix(s, "unix:") && strings.LastIndexByte(s, ':') <= strings.LastIndexByte(s, ']') {
		return s + port
	}
	return s
}

// same reports whether two would listen in the same place.
func (l *listen) same(other *listen) bool {
	if l.path != "" || l.port == 0 {
		return l.path != "" && l.path == other.path
	}
	return l.port == other.port && slices.ContainsFunc(l.alternatives[0], func(a loop.Address) bool {
		return slices.Contains(other.alternatives[0], a)
	})
}

func splitListen(s string) (host string, port uint16, err error) {
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

// url is what to type into a browser on this machine; a is the address that the
// listener got.
func (l *listen) url(a loop.Address) string {
	if l.path != "" {
		return "unix:" + l.path
	}
	scheme, standard := "http://", uint16(80)
	if l.secure {
		scheme, standard = "https://", 443
	}
	if p := a.IP.Port(); p != standard {
		return fmt.Sprintf("%s%s:%d", scheme, l.host, p)
	}
	return scheme + l.host
}

// written is the place as one would write it.
func (l *listen) written() string {
	if l.secure {
		return "https://" + l.text
	}
	return l.text
}

// withPort is the same place at another port, as one would write it.
func (l *listen) withPort(port uint16) string {
	s := l.written()
	return s[:strings.LastIndexByte(s, ':')+1] + strconv.Itoa(int(port))
}
