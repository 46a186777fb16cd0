package lab

import (
	"fmt"

	"github.com/gatewhy/gatewhy/fault"
)

// meaningRecipes are valid answers that speak of a failure.
func meaningRecipes() []*Recipe {
	says := func(name string, note fault.ID, status int, fields, body, why string) *Recipe {
		return noted(name, note, fmt.Sprintf("HTTP/1.1 %d \r\n%sContent-Length: %d\r\n\r\n%s", status, fields, len(body), body)).
			status(status).body(body).because(why).ends(Keep)
	}
	// once answers with a status that asks for another attempt on another
	// connection, and is content with that.
	once := func(name string, note fault.ID, status int, request, why string, wrong func(*Conn) bool) *Recipe {
		return noted(name, note, "").asks(request).because(why).does(func(c *Conn) {
			for c.ReadHead() {
				if !wrong(c) {
					c.again = true
					if !c.Good() {
						break
					}
					continue
				}
				if _, _, ok := c.ReadBody(); !ok || !c.Write(fmt.Sprintf("HTTP/1.1 %d \r\nContent-Length: 0\r\n\r\n", status)) {
					return
				}
			}
			c.FIN()
		})
	}
	first := func(c *Conn) bool { return c.N == 0 }
	const page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n" +
		"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
	return []*Recipe{
		says("upstream_5xx", fault.Upstream5xx, 500, "", "the application failed\n", "answers 500 by itself"),
		says("upstream_gateway_error", fault.UpstreamGatewayError, 502, "Server: nginx\r\nContent-Type: text/html\r\n", page,
			"is a gateway itself, and its own upstream failed"),
		says("upstream_overloaded", fault.UpstreamOverloaded, 503, "Retry-After: 1\r\n", "come back later\n",
			"has too much to do"),
		says("upstream_overloaded/429", fault.UpstreamOverloaded, 429, "Retry-After: 1\r\n", "come back later\n",
			"finds that too much is asked"),
		once("misdirected_421", fault.Misdirected421, 421, "", "answers 421 on its first connection", first),
		once("too_early_425", fault.TooEarly425, 425, "", "answers 425 on its first connection", first),
		once("version_not_supported_505", fault.VersionNotSupported505, 505, "", "speaks HTTP/1.0 only",
			func(c *Conn) bool { return c.Head.Version != "HTTP/1.0" }),
		once("length_required_411", fault.LengthRequired411, 411, chunkedPOST, "wants a Content-Length",
			func(c *Conn) bool { return c.Head.Get("Content-Length") == "" && c.Head.Get("Transfer-Encoding") != "" }),
	}
}
