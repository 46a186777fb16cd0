package upstream

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// MaxRange bounds the ports of one range target such as :3000-3003: more is
// rather a slip of the finger than a plan.
const MaxRange = 256

// maxUnixPath is the longest path that fits into sockaddr_un with its final NUL
// on Linux; BSDs have 4 bytes less.
const maxUnixPath = 107

// Target says where one endpoint is.
type Target struct {
	// Name is what logs, pages and metrics call it: HOST:PORT, https://HOST:PORT,
	// h2c://HOST:PORT or unix:PATH. ParseTarget reads it back.
	Name string
	// Host is a name in lower case or an IP address without brackets; "" for a
	// unix socket.
	Host string
	// Port is 1 to 65535; 0 for a unix socket.
	Port uint16
	// Path of a unix socket, absolute; "" for TCP.
	Path string
	// Service is a name whose SRV records say what the target stands for; Host, Port and
	// Path are empty then, and an upstream is made of what LookupService says.
	Service string
	// Secure: TLS is spoken.
	Secure bool
	// H2C: HTTP/2 is spoken in the clear, without asking (RFC 9113 §3.3).
	H2C bool

	Preference
}

// Preference says how much of an upstream's requests a target gets. It says nothing of where
// the target is.
type Preference struct {
	// Weight is its part, beside those of the others: 1 to MaxWeight; 0 means 1.
	Weight int
	// Backup: it gets requests only while no target without it is well.
	Backup bool
	// Tier orders targets before weights do: it gets requests only while none of a lower
	// tier is well. It is the place of an SRV record's priority (RFC 2782).
	Tier int
	// Zone is where it stands; "" if nobody knows. See Options.Zone.
	Zone string
}

// MaxWeight bounds a weight: a share finer than a thousandth is no plan.
const MaxWeight = 1000

// Place is where the target is, and nothing else of it.
func (t Target) Place() Target {
	t.Name, t.Preference = "", Preference{}
	return t
}

func (t Target) same(u Target) bool { return t.Place() == u.Place() }

// ParseTarget reads a target as people write it:
//
//	app:3000  10.0.0.7:80  [::1]:80   host and port
//	:3000                             port of this machine (localhost)
//	:3000-3003  app:3000-3003         one target for each port
//	http://app  http://app:3000       port 80 unless given
//	https://app https://app:8443      TLS; port 443 unless given
//	h2c://app   h2c://app:3000        HTTP/2 in the clear; port 80 unless given
//	unix:/run/app.sock                unix socket, absolute path
//	srv+http://_http._tcp.app         what the SRV records of a name say; also srv+https and srv+h2c
//
// An error quotes s, says what is wrong with it and what to write.
func ParseTarget(s string) ([]Target, error) {
	bad := func(format string, a ...any) ([]Target, error) {
		return nil, fmt.Errorf("target %q: "+format, append([]any{s}, a...)...)
	}
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if strings.HasPrefix(path, "///") {
			path = path[2:] // unix:///run/app.sock, as a URL would have it
		}
		switch {
		case !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//"):
			return bad("the path of a unix socket is absolute: write unix:/run/app.sock")
		case len(path) > maxUnixPath:
			return bad("a unix socket's path has at most %d bytes, this one has %d: move the socket", maxUnixPath, len(path))
		case strings.IndexByte(path, 0) >= 0:
			return bad("a path has no NUL byte")
		}
		return []Target{{Name: "unix:" + path, Path: path}}, nil
	}
	t, rest, port := Target{}, s, ""
	service := false
	if scheme, r, ok := strings.Cut(s, "://"); ok {
		scheme, service = strings.CutPrefix(strings.ToLower(scheme), "srv+")
		switch scheme {
		case "http":
			rest, port = r, "80"
		case "https":
			rest, port, t.Secure = r, "443", true
		case "h2c":
			rest, port, t.H2C = r, "80", true
		default:
			return bad("unknown scheme %q: write http://, https://, h2c://, srv+http:// or unix:", scheme)
		}
		rest = strings.TrimSuffix(rest, "/")
		if i := strings.IndexAny(rest, "/?#"); i >= 0 {
			return bad("a target has no path: drop %q", rest[i:])
		}
		if i := strings.LastIndexByte(rest, '@'); i >= 0 {
			return bad("a target has no user name: drop %q", rest[:i+1])
		}
	}
	if service {
		name, err := checkHost(rest)
		switch {
		case strings.Contains(rest, ":"):
			return bad("an SRV name has no port: its records have, drop %q", rest[strings.IndexByte(rest, ':'):])
		case rest == "":
			return bad("no name: write srv+http://_http._tcp.example.org")
		case err != nil:
			return bad("%v", err)
		case isIP(name):
			return bad("an address has no SRV records: write http://%s", rest)
		}
		scheme, _, _ := strings.Cut(s, "://")
		t.Service, t.Name = name, strings.ToLower(scheme)+"://"+name
		return []Target{t}, nil
	}
	host, ports, problem := splitHostPort(rest)
	if problem != "" {
		return bad("%s", problem)
	}
	switch {
	case rest == "":
		return bad("nothing there: write HOST:PORT, :PORT, https://HOST or unix:/PATH")
	case ports == "" && port == "":
		return bad("no port: write %s:80 or http://%[2]s", rest)
	case ports == "":
		ports = port
	}
	if host == "" {
		host = "localhost"
	}
	var err error
	if t.Host, err = checkHost(host); err != nil {
		return bad("%v", err)
	}
	low, high, err := checkPorts(ports)
	if err != nil {
		return bad("%v", err)
	}
	list := make([]Target, 0, high-low+1)
	for p := low; p <= high; p++ {
		t.Port = uint16(p)
		t.Name = t.hostPort()
		if t.Secure {
			t.Name = "https://" + t.Name
		}
		if t.H2C {
			t.Name = "h2c://" + t.Name
		}
		list = append(list, t)
	}
	return list, nil
}

func isIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

func (t Target) hostPort() string {
	if strings.IndexByte(t.Host, ':') >= 0 {
		return "[" + t.Host + "]:" + strconv.Itoa(int(t.Port))
	}
	return t.Host + ":" + strconv.Itoa(int(t.Port))
}

// splitHostPort cuts at the port's colon; either part may be "". A problem is
// a sentence for the user.
func splitHostPort(s string) (host, ports, problem string) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", "the bracket of the IPv6 address is not closed: write [::1]:3000"
		}
		host, rest := s[:end+1], s[end+1:]
		if rest == "" {
			return host, "", ""
		}
		if rest[0] != ':' || rest == ":" {
			return "", "", "after the ] of an IPv6 address comes :PORT"
		}
		return host, rest[1:], ""
	}
	switch strings.Count(s, ":") {
	case 0:
		if _, _, err := checkPorts(s); err == nil {
			return "", "", "is " + s + " a port? write :" + s
		}
		return s, "", ""
	case 1:
		host, ports, _ = strings.Cut(s, ":")
		if ports == "" {
			return "", "", "no port after the colon"
		}
		return host, ports, ""
	}
	return "", "", "an IPv6 address stands in brackets: write [::1]:3000"
}

func checkHost(s string) (string, error) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner = strings.TrimSuffix(inner, "]")
		ip, err := netip.ParseAddr(inner)
		if err != nil || !ip.Is6() {
			return "", fmt.Errorf("%q is not an IPv6 address", inner)
		}
		if ip.IsUnspecified() {
			return "", fmt.Errorf("%s means every address, nobody answers there: write [::1]", s)
		}
		return ip.String(), nil
	}
	if ip, err := netip.ParseAddr(s); err == nil {
		if ip.IsUnspecified() {
			return "", fmt.Errorf("%s means every address, nobody answers there: write 127.0.0.1", s)
		}
		return ip.String(), nil
	}
	s = strings.ToLower(s)
	name := strings.TrimSuffix(s, ".")
	if len(name) > 253 {
		return "", fmt.Errorf("a host name has at most 253 bytes, this one has %d", len(name))
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return "", fmt.Errorf("host name %q has an empty label", s)
		case len(label) > 63:
			return "", fmt.Errorf("label %q of the host name has more than 63 bytes", label)
		}
	}
	digits := true
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z' || c == '-' || c == '_':
			digits = false
		case '0' <= c && c <= '9' || c == '.':
		case c >= 0x80:
			return "", fmt.Errorf("host name %q is not ASCII: write its A-label (xn--…)", s)
		default:
			return "", fmt.Errorf("%q cannot stand in a host name", c)
		}
	}
	if digits {
		// Such a "name" is a mistyped address; some resolvers would read it as one.
		return "", fmt.Errorf("%q is neither an IP address nor a host name", s)
	}
	return s, nil
}

// checkPorts reads PORT or LOW-HIGH.
func checkPorts(s string) (low, high int, err error) {
	first, last, isRange := strings.Cut(s, "-")
	if low, err = checkPort(first); err != nil {
		return 0, 0, err
	}
	if !isRange {
		return low, low, nil
	}
	if high, err = checkPort(last); err != nil {
		return 0, 0, err
	}
	switch {
	case high < low:
		return 0, 0, fmt.Errorf("the range %s runs backwards: write %d-%d", s, high, low)
	case high-low >= MaxRange:
		return 0, 0, fmt.Errorf("the range %s has %d ports, at most %d are allowed", s, high-low+1, MaxRange)
	}
	return low, high, nil
}

func checkPort(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '+' {
		return 0, fmt.Errorf("%q is not a port: write a number from 1 to 65535", s)
	}
	return int(n), nil
}
