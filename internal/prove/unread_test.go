package prove

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// An explanation that comes before the request's body says whether the connection
// goes on: it does not where nobody knows how long the body is.
func TestAnswerBeforeBody(t *testing.T) {
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing.Close()
	o := gateway.Defaults()
	o.Listen = []loop.Address{{IP: listening}}
	if o.Upstream.Targets, err = upstream.ParseTarget(refusing.Addr().String()); err != nil {
		t.Fatal(err)
	}
	g, err := gateway.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Drain(time.Second)
	w := g.Addresses()[0].String()
	tests := []struct {
		name, head, rest string
		closes           bool
	}{
		{"sized", "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n", "hello", false},
		{"sized, large", "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 500000\r\n\r\n", "", true},
		{"chunked", "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "", true},
		{"chunked, whole", "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := net.Dial("tcp", w)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(limit))
			in := bufio.NewReader(c)
			io.WriteString(c, tt.head)
			if a := readAnswer(in, false); a.status != 502 || !a.whole || a.closes != tt.closes {
				t.Fatalf("%v, closes %t: want 502, closes %t", a, a.closes, tt.closes)
			}
			if tt.closes {
				return
			}
			io.WriteString(c, tt.rest+"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
			if a := readAnswer(in, false); a.status != 502 || !a.whole {
				t.Errorf("the next request got %v", a)
			}
		})
	}
}
