package http2

import (
	"strings"
	"testing"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h2"
)

// Each flaw of a request's head has words, a row, and the facts that the row's
// sentence speaks of.
func TestLiftSection(t *testing.T) {
	raw := []byte(":method: GET\r\n:path: /?token=abc\r\nx-a: b\r\nauthorization: secret\r\n")
	for f := h2.NameEmpty; f <= h2.LengthForbidden; f++ {
		if words[f] == "" {
			t.Errorf("flaw %d has no words", f)
		}
		for at := range int64(len(raw) + 1) {
			got := liftSection(h2.Error{Flaw: f, At: at, Stream: true}, &message.Head{Raw: raw}, &h2.DefaultRequest)
			if !fault.Known(got.ID) || got.Row().Side != fault.Client {
				t.Fatalf("flaw %d: %s", f, got.ID)
			}
			if s := got.Observed(); strings.Contains(s, "{") || strings.Contains(s, "secret") || strings.Contains(s, "abc") {
				t.Fatalf("flaw %d at %d: %q", f, at, s)
			}
			if s := string(got.Saw.Bytes); strings.Contains(s, "secret") || strings.Contains(s, "abc") {
				t.Fatalf("flaw %d at %d: %q", f, at, s)
			}
		}
	}
}
