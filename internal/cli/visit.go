package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gatewhy/gatewhy/internal/lab"
)

// reply is what the demo's client got.
type reply struct {
	status int
	cut    bool // the answer ended before it was complete
}

// plain is the request of recipes that ask for nothing else.
const plain = "GET / HTTP/1.1\r\nHost: %HOST%\r\n\r\n"

// visit is the client of a scene: it asks the gateway at address as the recipe
// says and reads the answer.
func visit(ctx context.Context, address string, r *lab.Recipe, o *lab.Origin) (reply, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return reply{}, err
	}
	defer c.Close()
	// Whatever waits on c ends with ctx.
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	in := bufio.NewReader(c)
	if r.Warm { // the fault needs a connection that was used before
		if first, err := ask(c, in, plain, address); err != nil || first.status != http.StatusOK {
			return reply{}, fmt.Errorf("the first exchange failed with status %d: %w", first.status, err)
		}
		if err := o.Arm(ctx); err != nil {
			return reply{}, err
		}
	}
	request := r.Request
	if request == "" {
		request = plain
	}
	return ask(c, in, request, address)
}

func ask(c net.Conn, in *bufio.Reader, request, address string) (reply, error) {
	if _, err := io.WriteString(c, strings.ReplaceAll(request, "%HOST%", address)); err != nil {
		return reply{}, err
	}
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return reply{}, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return reply{answer.StatusCode, err != nil}, nil
}
