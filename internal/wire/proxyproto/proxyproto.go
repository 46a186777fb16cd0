// Package proxyproto reads and writes the header of the PROXY protocol, versions 1
// and 2, by which a proxy in front says at the beginning of a connection who is at its
// other end.
//
// Its rules are those of the document "The PROXY protocol, versions 1 & 2" of HAProxy
// (2.1 is version 1, 2.2 version 2). [Parse] works on bytes that have come so far,
// [AppendV1] and [AppendV2] write. It knows no side and no socket.
package proxyproto

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/netip"

	"github.com/gatewhy/gatewhy/internal/wire"
)

// Flaw is a broken rule of the header's grammar.
type Flaw uint8

// The flaws.
const (
	NoFlaw      Flaw = iota
	NoHeader         // the first bytes are no PROXY header of either version
	LineTooLong      // version 1: no CR LF within 107 bytes
	LineEnd          // version 1: CR without LF, or LF without CR
	Protocol         // version 1: not TCP4, TCP6 or UNKNOWN
	Spacing          // version 1: not one space between the parts, or too few or too many of them
	Address          // version 1: an address that is none of its protocol
	Port             // version 1: not a number from 0 to 65535 without leading zeros
	VersionBits      // version 2: a version other than 2 behind the signature
	Command          // version 2: neither LOCAL nor PROXY
	Family           // version 2: an address family or a transport that is not assigned
	TooLong          // version 2: longer than we take
	TooShort         // version 2: too short for the addresses of its family
	TLV              // version 2: an extension that ends beyond the header
	Checksum         // version 2: the CRC32C is not that of the header
	Value            // version 2: an extension that is longer or shorter than its type can be
)

var words = [...]string{
	NoFlaw:      "nothing is wrong with it",
	NoHeader:    "it does not begin with a PROXY header",
	LineTooLong: "the line of version 1 does not end within 107 bytes",
	LineEnd:     "the line of version 1 ends in CR LF, and only there",
	Protocol:    "the protocol is TCP4, TCP6 or UNKNOWN",
	Spacing:     "one space stands between protocol, two addresses and two ports",
	Address:     "an address is one of its protocol, as people write it",
	Port:        "a port is a number up to 65535 without leading zeros",
	VersionBits: "the version behind the signature is 2",
	Command:     "the command is LOCAL or PROXY",
	Family:      "the family and the transport are not assigned",
	TooLong:     "it is longer than this gateway takes",
	TooShort:    "it is too short for the addresses of its family",
	TLV:         "an extension ends beyond the header",
	Checksum:    "its checksum is not that of its bytes",
	Value:       "an extension has not the length, or not the parts, that its type has",
}

// String is the broken rule in words.
func (f Flaw) String() string { return words[f] }

// MaxLine bounds the line of version 1, its CR LF included (2.1).
const MaxLine = 107

// DefaultMax bounds a header of version 2. Addresses take 36 bytes, or 216 for unix
// sockets; what a proxy tells of TLS may hold a client's certificate.
const DefaultMax = 4 << 10

// Header is what a PROXY header says.
type Header struct {
	// Version is 1 or 2.
	Version uint8
	// Local: the connection speaks for itself, as health checks of a proxy do (LOCAL),
	// or of nobody that is known (UNKNOWN, and families without an IP address).
	Local bool
	// Source is the client, Destination where it connected to. They are invalid if
	// Local is set.
	Source, Destination netip.AddrPort
	// Extensions are the TLVs of version 2, still in their bytes, see Next. They belong to
	// the bytes that were parsed.
	Extensions []byte
}

// The types of extensions (2.2.1 to 2.2.9).
const (
	ALPN      = 0x01
	Authority = 0x02
	CRC32C    = 0x03
	Noop      = 0x04
	UniqueID  = 0x05
	SSL       = 0x20
	NetNS     = 0x30
	// Inside of SSL.
	SSLVersion    = 0x21
	SSLCommonName = 0x22
	SSLCipher     = 0x23
	SSLSigAlg     = 0x24
	SSLKeyAlg     = 0x25
)

// ClientSSL is the bit of an SSL extension's first byte that says that the client
// spoke TLS.
const ClientSSL = 0x01

var signature = []byte("\r\n\r\n\x00\r\nQUIT\n")

const (
	fixed      = 16 // of version 2: signature, version and command, family, length
	addresses4 = 12
	addresses6 = 36
	addressesU = 216

	maxUniqueID  = 128 // 2.2.5
	maxAuthority = 255 // of a name that TLS asks for (RFC 6066 §3), and of any in DNS
)

// Parse reads the header at the beginning of b. n is its length; 0 without a flaw
// means that the rest has yet to come. A header of version 2 that is longer than most
// bytes is refused. at is the offset of the flaw.
func Parse(b []byte, most int) (h Header, n int, flaw Flaw, at int) {
	if len(b) == 0 {
		return h, 0, NoFlaw, 0
	}
	if b[0] == signature[0] {
		return parse2(b, most)
	}
	return parse1(b)
}

// common is how far b agrees with want, and whether it is there as a whole.
func common(b, want []byte) (n int, whole bool) {
	for n < len(b) && n < len(want) && b[n] == want[n] {
		n++
	}
	return n, n == len(want)
}

func parse1(b []byte) (h Header, n int, flaw Flaw, at int) {
	h.Version = 1
	k, whole := common(b, []byte("PROXY "))
	if !whole {
		if k < len(b) {
			return h, 0, NoHeader, k
		}
		return h, 0, NoFlaw, 0
	}
	line := b[:min(len(b), MaxLine)]
	end := bytes.IndexAny(line, "\r\n")
	switch {
	case end < 0 && len(line) == MaxLine, end == MaxLine-1 && line[end] == '\r':
		return h, 0, LineTooLong, MaxLine - 1
	case end < 0, end+1 == len(b) && b[end] == '\r':
		// Complete words may be wrong already, but nothing is lost by waiting for the line.
		return h, 0, NoFlaw, 0
	case b[end] == '\n':
		return h, 0, LineEnd, end
	case b[end+1] != '\n':
		return h, 0, LineEnd, end + 1
	}
	rest, at := line[k:end], k
	next := func() (word []byte, from int) {
		from = at
		if i := bytes.IndexByte(rest, ' '); i >= 0 {
			word, rest = rest[:i], rest[i+1:]
			at += i + 1
			return word, from
		}
		word, rest = rest, nil
		at += len(word)
		return word, from
	}
	protocol, from := next()
	four := string(protocol) == "TCP4"
	switch {
	case four, string(protocol) == "TCP6":
	case string(protocol) == "UNKNOWN": // what follows is to be ignored
		h.Local = true
		return h, end + 2, NoFlaw, 0
	default:
		return h, 0, Protocol, from
	}
	if bytes.Count(line[k:end], []byte(" ")) != 4 {
		return h, 0, Spacing, from + len(protocol)
	}
	var ip [2]netip.Addr
	for i := range ip {
		word, from := next()
		a, ok := address(word, four)
		if !ok {
			return h, 0, Address, from
		}
		ip[i] = a
	}
	var port [2]uint16
	for i := range port {
		word, from := next()
		p, ok := number(word)
		if !ok {
			return h, 0, Port, from
		}
		port[i] = p
	}
	h.Source, h.Destination = netip.AddrPortFrom(ip[0], port[0]), netip.AddrPortFrom(ip[1], port[1])
	return h, end + 2, NoFlaw, 0
}

func address(b []byte, four bool) (netip.Addr, bool) {
	a, ok := wire.ParseAddr(b)
	return a, ok && a.Is4() == four
}

func number(b []byte) (uint16, bool) {
	if len(b) == 0 || len(b) > 5 || len(b) > 1 && b[0] == '0' {
		return 0, false
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return uint16(n), n <= 0xffff
}

func parse2(b []byte, most int) (h Header, n int, flaw Flaw, at int) {
	h.Version = 2
	if k, whole := common(b, signature); !whole {
		if k < len(b) {
			return h, 0, NoHeader, k
		}
		return h, 0, NoFlaw, 0
	}
	if len(b) > 12 {
		if b[12]>>4 != 2 {
			return h, 0, VersionBits, 12
		}
		if b[12]&15 > 1 {
			return h, 0, Command, 12
		}
		h.Local = b[12]&15 == 0
	}
	need := 0
	if len(b) > 13 {
		switch family, transport := b[13]>>4, b[13]&15; {
		case h.Local: // "discard the protocol block including the family which is ignored" (2.2)
		case family > 3 || transport > 2:
			return h, 0, Family, 13
		case family == 1:
			need = addresses4
		case family == 2:
			need = addresses6
		case family == 3:
			need = addressesU
		}
		if transport := b[13] & 15; transport == 0 {
			need = 0 // UNSPEC: addresses, if there are any, are not looked at
		}
	}
	if len(b) < fixed {
		return h, 0, NoFlaw, 0
	}
	n = fixed + int(binary.BigEndian.Uint16(b[14:]))
	switch {
	case n > most:
		return h, 0, TooLong, 14
	case n < fixed+need && !h.Local:
		return h, 0, TooShort, 14
	case len(b) < n:
		return h, 0, NoFlaw, 0
	}
	if h.Local { // "the receiver must ignore the address block" (2.2)
		return h, n, NoFlaw, 0
	}
	a := b[fixed:n]
	switch need {
	case addresses4:
		h.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(a[0:])), binary.BigEndian.Uint16(a[8:]))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom4([4]byte(a[4:])), binary.BigEndian.Uint16(a[10:]))
	case addresses6:
		h.Source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(a[0:])), binary.BigEndian.Uint16(a[32:]))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom16([16]byte(a[16:])), binary.BigEndian.Uint16(a[34:]))
	default:
		h.Local = true
		if need == 0 {
			return h, n, NoFlaw, 0
		}
	}
	h.Extensions = a[need:]
	for rest := h.Extensions; len(rest) > 0; {
		from := n - len(rest)
		kind, value, behind, ok := Next(rest)
		if !ok {
			return h, 0, TLV, from
		}
		switch {
		case kind == CRC32C && !intact(b[:n], from+3, value):
			return h, 0, Checksum, from
		case kind == UniqueID && len(value) > maxUniqueID, kind == Authority && len(value) > maxAuthority:
			return h, 0, Value, from
		case kind == SSL:
			if _, ok := ParseTLS(value); !ok {
				return h, 0, Value, from
			}
		}
		rest = behind
	}
	return h, n, NoFlaw, 0
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// intact checks the checksum of a header, which is made with zeros in its own place.
func intact(header []byte, at int, sum []byte) bool {
	if len(sum) != 4 {
		return false
	}
	c := crc32.Update(0, castagnoli, header[:at])
	c = crc32.Update(c, castagnoli, make([]byte, 4))
	return crc32.Update(c, castagnoli, header[at+4:]) == binary.BigEndian.Uint32(sum)
}

// Next takes the first extension off rest; ok is false if it is cut.
func Next(rest []byte) (kind byte, value, behind []byte, ok bool) {
	if len(rest) < 3 {
		return 0, nil, nil, false
	}
	n := 3 + int(binary.BigEndian.Uint16(rest[1:]))
	if n > len(rest) {
		return 0, nil, nil, false
	}
	return rest[0], rest[3:n], rest[n:], true
}

// Extension returns the value of the first extension of that type, nil if there is
// none.
func (h *Header) Extension(kind byte) []byte {
	for rest := h.Extensions; len(rest) > 0; {
		k, value, behind, ok := Next(rest)
		if !ok {
			return nil
		}
		if k == kind {
			return value
		}
		rest = behind
	}
	return nil
}

// Secure reports whether the client spoke TLS with whom the header is from.
func (h *Header) Secure() bool {
	t, _ := ParseTLS(h.Extension(SSL))
	return t.Client&ClientSSL != 0
}

// TLS is what an SSL extension says. What it does not say is empty.
type TLS struct {
	// Client are the bits that begin with ClientSSL.
	Client byte
	// Unverified is 0 if the client showed a certificate that was verified.
	Unverified                                  uint32
	Version, CommonName, Cipher, SigAlg, KeyAlg []byte
}

// ParseTLS reads the value of an SSL extension (2.2.6). ok is false if it is cut, or one
// of its parts is.
func ParseTLS(v []byte) (t TLS, ok bool) {
	if len(v) < 5 {
		return t, false
	}
	t.Client, t.Unverified = v[0], binary.BigEndian.Uint32(v[1:])
	for rest := v[5:]; len(rest) > 0; {
		kind, value, behind, ok := Next(rest)
		if !ok {
			return TLS{}, false
		}
		switch kind {
		case SSLVersion:
			t.Version = value
		case SSLCommonName:
			t.CommonName = value
		case SSLCipher:
			t.Cipher = value
		case SSLSigAlg:
			t.SigAlg = value
		case SSLKeyAlg:
			t.KeyAlg = value
		}
		rest = behind
	}
	return t, true
}

// AppendThose appends those of the extensions that have one of the types.
func AppendThose(dst, extensions []byte, types ...byte) []byte {
	for rest := extensions; len(rest) > 0; {
		kind, _, behind, ok := Next(rest)
		if !ok {
			break
		}
		if bytes.IndexByte(types, kind) >= 0 {
			dst = append(dst, rest[:len(rest)-len(behind)]...)
		}
		rest = behind
	}
	return dst
}

// AppendV1 appends a header of version 1. Without a valid source it says UNKNOWN. The
// addresses are of one family, or are written as IPv6.
func AppendV1(dst []byte, source, destination netip.AddrPort) []byte {
	source, destination, ok := alike(source, destination)
	if !ok {
		return append(dst, "PROXY UNKNOWN\r\n"...)
	}
	if source.Addr().Is4() {
		dst = append(dst, "PROXY TCP4 "...)
	} else {
		dst = append(dst, "PROXY TCP6 "...)
	}
	dst = append(source.Addr().AppendTo(dst), ' ')
	dst = append(destination.Addr().AppendTo(dst), ' ')
	dst = append(appendNumber(dst, source.Port()), ' ')
	return append(appendNumber(dst, destination.Port()), "\r\n"...)
}

// alike makes two addresses ones of the same family, without zones.
func alike(a, b netip.AddrPort) (source, destination netip.AddrPort, ok bool) {
	x, y := a.Addr().Unmap().WithZone(""), b.Addr().Unmap().WithZone("")
	if !x.IsValid() {
		return a, b, false
	}
	if !y.IsValid() { // it is not known, and must be something
		if y = netip.IPv6Unspecified(); x.Is4() {
			y = netip.IPv4Unspecified()
		}
	}
	if x.Is4() != y.Is4() {
		x, y = netip.AddrFrom16(x.As16()), netip.AddrFrom16(y.As16())
	}
	return netip.AddrPortFrom(x, a.Port()), netip.AddrPortFrom(y, b.Port()), true
}

func appendNumber(dst []byte, n uint16) []byte {
	from := len(dst)
	for d := uint16(10000); d > 0; d /= 10 {
		if q := n / d % 10; q > 0 || len(dst) > from || d == 1 {
			dst = append(dst, byte('0'+q))
		}
	}
	return dst
}

// AppendV2 appends a header of version 2 with the extensions, which are whole TLVs (see
// AppendExtension) and at most 65 000 bytes. Without a valid source it says LOCAL.
func AppendV2(dst []byte, source, destination netip.AddrPort, extensions []byte) []byte {
	dst = append(dst, signature...)
	source, destination, ok := alike(source, destination)
	if !ok {
		return append(dst, 0x20, 0, 0, 0)
	}
	x, y := source.Addr(), destination.Addr()
	if x.Is4() {
		dst = append(dst, 0x21, 0x11)
		dst = binary.BigEndian.AppendUint16(dst, uint16(addresses4+len(extensions)))
		a, b := x.As4(), y.As4()
		dst = append(append(dst, a[:]...), b[:]...)
	} else {
		dst = append(dst, 0x21, 0x21)
		dst = binary.BigEndian.AppendUint16(dst, uint16(addresses6+len(extensions)))
		a, b := x.As16(), y.As16()
		dst = append(append(dst, a[:]...), b[:]...)
	}
	dst = binary.BigEndian.AppendUint16(dst, source.Port())
	dst = binary.BigEndian.AppendUint16(dst, destination.Port())
	return append(dst, extensions...)
}

// AppendExtension appends a TLV. A value of more than 65535 bytes is left out.
func AppendExtension[V []byte | string](dst []byte, kind byte, value V) []byte {
	if len(value) > 0xffff {
		return dst
	}
	dst = append(dst, kind)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	return append(dst, value...)
}

// AppendSSL appends the extension that says that the client spoke TLS of that version, as
// in TLSv1.3, with that cipher; its certificate, if any, was not verified.
func AppendSSL(dst []byte, version, cipher string) []byte {
	n := 5 + 3 + len(version) + 3 + len(cipher)
	dst = append(dst, SSL)
	dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	dst = append(dst, ClientSSL, 0, 0, 0, 1)
	dst = AppendExtension(dst, SSLVersion, version)
	return AppendExtension(dst, SSLCipher, cipher)
}
