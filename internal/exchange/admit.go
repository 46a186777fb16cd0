package exchange

import (
	"bytes"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/message"
)

// admit refuses what must not go on although it is well-formed.
func (x *Exchange) admit() *fault.Fault {
	h := &x.Request.Head
	for i := range h.Fields {
		if h.Fields[i].ID == message.Via && ours(h.Bytes(h.Fields[i].Value), x.via) {
			return fault.New(fault.LoopVia, "loop", string(h.Bytes(h.Fields[i].Value)), "value", string(x.via))
		}
	}
	return nil
}

// ours reports whether a Via value names us: 1*( protocol SP received-by [ SP comment ] ),
// separated by commas (RFC 9110 §7.6.3).
func ours(via, us []byte) bool {
	for len(via) > 0 {
		var one []byte
		one, via, _ = bytes.Cut(via, []byte(","))
		one = bytes.Trim(one, " \t")
		if _, by, ok := bytes.Cut(one, []byte(" ")); ok {
			by, _, _ = bytes.Cut(bytes.TrimLeft(by, " \t"), []byte(" "))
			if bytes.EqualFold(by, us) {
				return true
			}
		}
	}
	return false
}
