package route

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"strings"

	"github.com/gatewhy/gatewhy/internal/wire"
)

// scheme restricts a host to requests that came by it.
type scheme uint8

const (
	anyScheme scheme = iota
	plainScheme
	secureScheme
)

// schemes are those of Table.hosts.
var schemes = [2]scheme{plainScheme, secureScheme}

var schemeNames = [...]string{"", "http://", "https://"}

// kind tells the three forms of a host.
type kind uint8

const (
	thatHost  kind = iota // the name itself
	belowHost             // one or more labels below it
	everyHost             // the default site
)

// hostPattern is a host of a site, read.
type hostPattern struct {
	scheme scheme
	kind   kind
	name   string // lower case; of a wildcard without its any.
}

// text is the pattern as it is best written.
func (p *hostPattern) text() string {
	switch s := schemeNames[p.scheme]; p.kind {
	case belowHost:
		return s + "any." + p.name
	case everyHost:
		return s + "any"
	default:
		return s + p.name
	}
}

// parseHost reads a host of a site. The error says what to write.
func parseHost(s string) (p hostPattern, err error) {
	rest := s
	if i := strings.Index(s, "://"); i >= 0 {
		switch strings.ToLower(s[:i]) {
		case "http":
			p.scheme = plainScheme
		case "https":
			p.scheme = secureScheme
		default:
			return p, fmt.Errorf("%q is no scheme of a site: write http://, https:// or only the host", s[:i])
		}
		rest = s[i+3:]
		if i := strings.IndexAny(rest, "/?#"); i == len(rest)-1 && i >= 0 && rest[i] == '/' {
			rest = rest[:i]
		} else if i >= 0 {
			return p, fmt.Errorf("a site has no path: drop %q and match it in a route", rest[i:])
		}
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		return p, fmt.Errorf("a site has no user name: drop %q", rest[:i+1])
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return p, fmt.Errorf("a site has no path: drop %q and match it in a route", rest[i:])
	}
	rest = strings.ToLower(rest)
	switch {
	case rest == "any" || rest == "*":
		p.kind = everyHost
		return p, nil
	case strings.HasPrefix(rest, "any.") || strings.HasPrefix(rest, "*."):
		p.kind = belowHost
		_, rest, _ = strings.Cut(rest, ".")
	}
	p.name, err = hostName(rest)
	return p, err
}

// hostName checks a host without scheme and wildcard, in lower case.
func hostName(s string) (string, error) {
	if strings.HasPrefix(s, "[") || strings.Count(s, ":") > 1 {
		inner, port, _ := strings.Cut(strings.TrimPrefix(s, "["), "]")
		ip, err := netip.ParseAddr(inner)
		switch {
		case err != nil || !ip.Is6() || ip.Zone() != "":
			return "", fmt.Errorf("%q is not an IPv6 address", s)
		case port != "":
			return "", fmt.Errorf("a site has no port: drop %q, it is for all listeners", port)
		}
		return "[" + ip.String() + "]", nil
	}
	if i := strings.IndexByte(s, ':'); i >= 0 {
		return "", fmt.Errorf("a site has no port: drop %q, it is for all listeners", s[i:])
	}
	s = strings.TrimSuffix(s, ".")
	if len(s) > maxHost {
		return "", fmt.Errorf("a host name has at most %d bytes, this one has %d", maxHost, len(s))
	}
	for label := range strings.SplitSeq(s, ".") {
		switch {
		case label == "" && s == "":
			return "", fmt.Errorf("there is no host: write its name, or any for whatever no other site is for")
		case label == "":
			return "", fmt.Errorf("host name %q has an empty label", s)
		case label == "*" || label == "any":
			return "", fmt.Errorf("a wildcard stands for whole labels at the start: write any.example.org")
		case len(label) > 63:
			return "", fmt.Errorf("label %q of the host name has more than 63 bytes", label)
		}
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.':
		case c >= 0x80:
			return "", fmt.Errorf("host name %q is not ASCII: write its A-label (xn--…)", s)
		default:
			return "", fmt.Errorf("%q cannot stand in a host name", c)
		}
	}
	return s, nil
}

// maxHost is the longest host name (RFC 1035 §2.3.4, in text without final dot).
const maxHost = 253

// hosts finds a site by host.
type hosts struct {
	names, below names
	every        owner
	// depths has a bit for each number of labels that a name in below has, the last
	// bit for all that have more: other suffixes need not be looked up.
	depths uint64
}

// owner is a site with the exactness of its claim: one that names the scheme
// comes before one that does not.
type owner struct {
	site  *site
	exact bool
}

// names are owners by name.
type names struct {
	made  map[string]owner // until done
	slots []nameSlot       // a power of two, at most half of them in use
}

type nameSlot struct {
	hash uint64
	name string
	site *site
}

func (n *names) add(name string, o owner) {
	if n.made == nil {
		n.made = map[string]owner{}
	}
	if old := n.made[name]; old.site == nil || o.exact && !old.exact {
		n.made[name] = o
	}
}

func (n *names) done() {
	if len(n.made) == 0 {
		return
	}
	n.slots = make([]nameSlot, room(len(n.made)))
	for name, o := range n.made {
		h := maphash.String(seed, name)
		i := h
		for n.slots[i&uint64(len(n.slots)-1)].site != nil {
			i++
		}
		n.slots[i&uint64(len(n.slots)-1)] = nameSlot{h, name, o.site}
	}
	n.made = nil
}

func (n *names) find(name []byte) *site {
	if len(n.slots) == 0 {
		return nil
	}
	h := maphash.Bytes(seed, name)
	for i := h; ; i++ {
		s := &n.slots[i&uint64(len(n.slots)-1)]
		if s.site == nil || s.hash == h && s.name == string(name) {
			return s.site
		}
	}
}

func (h *hosts) add(p *hostPattern, s *site) {
	o := owner{s, p.scheme != anyScheme}
	switch p.kind {
	case thatHost:
		h.names.add(p.name, o)
	case belowHost:
		h.below.add(p.name, o)
		h.depths |= 1 << min(strings.Count(p.name, ".")+1, 63)
	case everyHost:
		if h.every.site == nil || o.exact && !h.every.exact {
			h.every = o
		}
	}
}

func (h *hosts) done() {
	h.names.done()
	h.below.done()
}

// catches reports whether there is a default site.
func (h *hosts) catches() bool { return h.every.site != nil }

// find returns the site for a host in lower case, nil if there is none.
func (h *hosts) find(host []byte) *site {
	if s := h.names.find(host); s != nil {
		return s
	}
	if h.depths != 0 {
		labels := 0
		for _, c := range host {
			if c == '.' {
				labels++
			}
		}
		// The suffixes, from the longest on.
		for i, c := range host {
			if c != '.' {
				continue
			}
			if h.depths&(1<<min(labels, 63)) != 0 && i > 0 {
				if s := h.below.find(host[i+1:]); s != nil {
					return s
				}
			}
			labels--
		}
	}
	return h.every.site
}

// hostOf is the host of an authority, in lower case, without port and final dot.
// odd means that it holds a percent-encoding, which some read as the byte it
// stands for and others as it stands.
func (f *Finder) hostOf(authority []byte) (host []byte, odd bool) {
	end := len(authority)
	if end > 0 && authority[0] == '[' {
		for i, c := range authority {
			if c == ']' {
				end = i + 1
				break
			}
		}
	} else {
		for i, c := range authority {
			if c == ':' {
				end = i
				break
			}
		}
	}
	host = f.host[:0]
	for _, c := range authority[:end] {
		odd = odd || c == '%'
		host = append(host, lower[c])
	}
	if n := len(host); n > 1 && host[n-1] == '.' {
		host = host[:n-1]
	}
	f.host = host
	return host, odd
}

// lower has the lower case of each ASCII letter, and all other bytes as they are.
var lower = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			t[i] += 'a' - 'A'
		}
	}
	return t
}()

// hexValue is what a hexadecimal digit counts, -1 for any other byte.
var hexValue = &wire.HexValue
