package h2

import "github.com/gatewhy/gatewhy/internal/message"

// staticTable is RFC 7541 Appendix A; index 0 is none.
var staticTable = [...]struct{ name, value string }{
	1: {":authority", ""}, {":method", "GET"}, {":method", "POST"}, {":path", "/"}, {":path", "/index.html"},
	{":scheme", "http"}, {":scheme", "https"}, {":status", "200"}, {":status", "204"}, {":status", "206"},
	{":status", "304"}, {":status", "400"}, {":status", "404"}, {":status", "500"}, {"accept-charset", ""},
	{"accept-encoding", "gzip, deflate"}, {"accept-language", ""}, {"accept-ranges", ""}, {"accept", ""},
	{"access-control-allow-origin", ""}, {"age", ""}, {"allow", ""}, {"authorization", ""}, {"cache-control", ""},
	{"content-disposition", ""}, {"content-encoding", ""}, {"content-language", ""}, {"content-length", ""},
	{"content-location", ""}, {"content-range", ""}, {"content-type", ""}, {"cookie", ""}, {"date", ""}, {"etag", ""},
	{"expect", ""}, {"expires", ""}, {"from", ""}, {"host", ""}, {"if-match", ""}, {"if-modified-since", ""},
	{"if-none-match", ""}, {"if-range", ""}, {"if-unmodified-since", ""}, {"last-modified", ""}, {"link", ""},
	{"location", ""}, {"max-forwards", ""}, {"proxy-authenticate", ""}, {"proxy-authorization", ""}, {"range", ""},
	{"referer", ""}, {"refresh", ""}, {"retry-after", ""}, {"server", ""}, {"set-cookie", ""},
	{"strict-transport-security", ""}, {"transfer-encoding", ""}, {"user-agent", ""}, {"vary", ""}, {"via", ""},
	{"www-authenticate", ""},
}

const (
	staticLen = 61

	// Indices in staticTable.
	staticAuthority = 1
	staticMethod    = 2
	staticPath      = 4
	staticScheme    = 6
	staticStatus    = 8
)

// static is the static table as the decoder and the encoder use it.
var static = func() (t struct {
	line  [staticLen + 1][]byte // "name: value CRLF"
	entry [staticLen + 1]entry  // of that line; off is 0
	byID  [256]uint8            // the first index of a well-known name, 0 for none
	other [32][]uint8           // the indices of other names, by length
}) {
	for i, s := range staticTable {
		if i == 0 {
			continue
		}
		t.line[i] = []byte(s.name + ": " + s.value + "\r\n")
		id := message.LookupName([]byte(s.name))
		t.entry[i] = entry{name: uint32(len(s.name)), value: uint32(len(s.value)), id: id, clean: s.name[0] != ':'}
		switch {
		case s.name[0] == ':':
		case id == message.Other:
			t.other[len(s.name)] = append(t.other[len(s.name)], uint8(i))
		case t.byID[id] == 0:
			t.byID[id] = uint8(i)
		}
	}
	return t
}()

// staticName returns the index of a static entry with this name, 0 if there is
// none. The name may have upper-case letters; id is the well-known name it is.
func staticName(id message.Name, name []byte) int {
	if id != message.Other {
		return int(static.byID[id])
	}
	if len(name) >= len(static.other) {
		return 0
	}
	for _, i := range static.other[len(name)] {
		if message.EqualFold(name, staticTable[i].name) {
			return int(i)
		}
	}
	return 0
}
