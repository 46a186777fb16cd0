package program

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// HAProxy in front says PROXY, nginx behind understands it: the client's address goes all
// the way, over TLS as well, and health checks pass.
func TestProxyProtocol(t *testing.T) {
	nginx, haproxy := need(t, "nginx"), need(t, "haproxy")
	need(t, "curl")
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			write := func(name, text string) string {
				at := filepath.Join(dir, name)
				if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				return at
			}
			behind := free(t)
			conf := write("nginx.conf", fmt.Sprintf("daemon off; master_process off; pid %[1]s/n.pid; error_log stderr; events {}\n"+
				"http { access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f;\n"+
				"uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n"+
				"server { listen %[2]s proxy_protocol; location / { return 200 \"$proxy_protocol_addr $http_x_real_ip\"; } } }\n", dir, behind))
			n := launch(t, nginx, "-p", dir, "-c", conf, "-e", "stderr")
			ready(t, n, behind)
			ours := [2]string{free(t), free(t)}
			s := serving(t, fmt.Sprintf(`
listen: { http: %s, https: %s, proxy-protocol: 127.0.0.1 }
tls: { self-signed: true }
upstreams:
  app: { to: %s, send-proxy: %s, health: { path: /, every: 100ms } }
sites:
  "http://any": app
  "https://any": app
log: json
`, ours[0], ours[1], behind, version))
			plain, secure := free(t), free(t)
			send := map[string]string{"v1": "send-proxy", "v2": "send-proxy-v2"}[version]
			h := launch(t, haproxy, "-db", "-f", write("haproxy.cfg", fmt.Sprintf(`
defaults
  mode tcp
  timeout connect 5s
  timeout client 10s
  timeout server 10s
listen plain
  bind %s
  server g %s %s
listen secure
  bind %s
  server g %s %[3]s
`, plain, ours[0], send, secure, ours[1])))
			ready(t, h, plain)
			for _, url := range []string{"http://" + plain, "https://" + secure} {
				if got := curl(t, "-k", "--interface", "127.0.0.3", url, url); got != "127.0.0.3 127.0.0.3127.0.0.3 127.0.0.3" {
					t.Errorf("%s: %q", url, got)
				}
			}
			// Whoever does not come through it is not served.
			if c, err := net.Dial("tcp", ours[0]); err == nil {
				fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				if n, _ := c.Read(make([]byte, 1)); n != 0 {
					t.Error("a client without a header was answered")
				}
				c.Close()
			}
			s.awaitPrinted(`"kind":"proxy-header"`)
			if !strings.Contains(s.printed(), "byte 0: it does not begin with a PROXY header") || !strings.Contains(s.printed(), `"client.address":"127.0.0.3"`) ||
				strings.Contains(s.printed(), `"down"`) || strings.Contains(s.printed(), `"fault"`) {
				t.Errorf("the log: %s", s.printed())
			}
			s.stop()
		})
	}
}
