package explain

import (
	"strconv"
	"strings"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// ProxyStatus appends our member of Proxy-Status (RFC 9209 §2) for a trail with a
// fault: the error type, and in details the fault's name and the incident.
// Operators also get the next hop, what it said, the rule and the offset, and
// the parameters that RFC 9209 §2.3 defines for the type. On an answer that was
// rescued a user gets the error type alone.
func ProxyStatus(dst []byte, a *Answer) []byte {
	return look(a, fault.Lookup).proxyStatus(dst)
}

// Received appends our member for an answer that was passed on with the status
// of the next hop (RFC 9209 §2.1.4): it says "not mine".
func Received(dst []byte, node string, status int) []byte {
	dst = appendNode(dst, node)
	dst = append(dst, "; received-status="...)
	return strconv.AppendInt(dst, int64(status), 10)
}

func (v *view) proxyStatus(dst []byte) []byte {
	dst = appendNode(dst, v.a.Node)
	if v.row.Proxy != "" {
		dst = append(append(dst, "; error="...), v.row.Proxy...)
	}
	if v.t.Rescued && !v.a.Detail {
		return dst
	}
	if v.row.Proxy == "http_request_error" {
		dst = strconv.AppendInt(append(dst, "; status-code="...), int64(v.status()), 10)
	}
	details := "fault=" + string(v.f.ID)
	if id := v.incident(); id != "" {
		details += " id=" + id
	}
	if v.a.Detail {
		if a := v.culprit(); a != nil {
			dst = nextHop(dst, a)
		}
		dst = v.extra(dst)
		if v.row.Rule != "" {
			details += " rule=" + compact(v.row.Rule)
		}
		if off := v.f.Offset(); off >= 0 {
			details += " off=" + strconv.FormatInt(off, 10)
		}
	}
	return appendSFString(append(dst, "; details="...), details)
}

func nextHop(dst []byte, a *trail.Attempt) []byte {
	hop := a.Address
	if hop == "" {
		hop = a.Endpoint
	}
	if hop != "" {
		dst = appendSFString(append(dst, "; next-hop="...), hop)
	}
	if a.Reused || a.Connected > 0 || a.HTTP2 {
		protocol := "http/1.1"
		if a.HTTP2 {
			protocol = "h2"
		}
		dst = append(append(dst, "; next-protocol="...), protocol...)
	}
	if a.Status > 0 {
		dst = strconv.AppendInt(append(dst, "; received-status="...), int64(a.Status), 10)
	}
	return dst
}

// extra are the parameters that RFC 9209 §2.3 defines for single error types.
var extra = map[string][]struct {
	name  string // of the parameter
	param string // the fault's fact that it holds
	kind  sfKind
}{
	"dns_error":                          {{"rcode", "rcode", sfString}, {"info-code", "ede", sfInteger}},
	"tls_alert_received":                 {{"alert-id", "alert", sfInteger}, {"alert-message", "value", sfString}},
	"http_response_header_section_size":  {{"header-section-size", "size", sfInteger}},
	"http_response_header_size":          {{"header-name", "field", sfString}, {"header-size", "size", sfInteger}},
	"http_response_body_size":            {{"body-size", "size", sfInteger}},
	"http_response_trailer_section_size": {{"trailer-section-size", "size", sfInteger}},
	"http_response_trailer_size":         {{"trailer-name", "field", sfString}, {"trailer-size", "size", sfInteger}},
	"http_response_transfer_coding":      {{"coding", "coding", sfToken}},
	"http_response_content_coding":       {{"coding", "coding", sfToken}},
}

// sfKind is a type of structured field values (RFC 9651 §3.3).
type sfKind uint8

const (
	sfString sfKind = iota
	sfInteger
	sfToken
)

// extra appends the parameters of the fault's type whose facts are known.
func (v *view) extra(dst []byte) []byte {
	for _, x := range extra[v.row.Proxy] {
		value := v.f.Get(x.param)
		if unquoted, err := strconv.Unquote(value); err == nil {
			value = unquoted
		}
		switch x.kind {
		case sfInteger:
			// A fact may have its unit behind it: "65536 bytes".
			number, _, _ := strings.Cut(value, " ")
			if n, err := strconv.ParseInt(number, 10, 64); err != nil || n < 0 || n > maxInteger {
				continue
			}
			value = number
		case sfToken:
			if !isSFToken(value) {
				continue
			}
		}
		if value == "" {
			continue
		}
		dst = append(append(append(dst, "; "...), x.name...), '=')
		if x.kind == sfString {
			dst = appendSFString(dst, value)
		} else {
			dst = append(dst, value...)
		}
	}
	return dst
}

// maxInteger is the largest structured field Integer (RFC 9651 §3.3.1).
const maxInteger = 999_999_999_999_999

// compact makes a citation one word of ASCII: "RFC 9112 §5.1, §6" becomes
// "RFC9112-5.1,6".
func compact(rule string) string {
	return strings.NewReplacer(" §", "-", "§", "", ", ", ",", " ", "").Replace(rule)
}

// appendNode writes the deployment's name as a Token where it is one.
func appendNode(dst []byte, node string) []byte {
	if node == "" {
		node = "gateway"
	}
	if isSFToken(node) {
		return append(dst, node...)
	}
	return appendSFString(dst, node)
}

// isSFToken reports whether s is a Token (RFC 9651 §3.3.4).
func isSFToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '*'
		if letter || i > 0 && (c >= '0' && c <= '9' || strings.IndexByte("!#$%&'+-.^_`|~:/", c) >= 0) {
			continue
		}
		return false
	}
	return s != ""
}

// appendSFString writes s as a String (RFC 9651 §3.3.3), which holds visible ASCII
// and spaces only: any other byte becomes "?".
func appendSFString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c >= 0x7f:
			dst = append(dst, '?')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
