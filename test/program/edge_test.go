package program

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// HAProxy in front says PROXY, nginx behind understands it: the client's address goes all
// the way, over TLS as well, and health checks pass.
func TestProxyProtocol(t *testing.T) {
	nginx, haproxy := need(t, "nginx"), need(t, "haproxy")
	need(t, "curl")
	for _, c := range []struct{ version, engine string }{{"v1", "auto"}, {"v2", "auto"}, {"v1", "portable"}, {"v2", "portable"}} {
		version := c.version
		t.Run(version+" "+c.engine, func(t *testing.T) {
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
			behind, behindTLS := free(t), free(t)
			p := newPapers(t)
			p.leaf("site", time.Now().Add(24*time.Hour), "a.test")
			var both []byte
			for _, name := range []string{"site.pem", "site.key"} {
				b, err := os.ReadFile(p.file(name))
				if err != nil {
					t.Fatal(err)
				}
				both = append(both, b...)
			}
			pem := write("site.pem", string(both))
			conf := write("nginx.conf", fmt.Sprintf("daemon off; master_process off; pid %[1]s/n.pid; error_log stderr; events {}\n"+
				"http { log_format p '$proxy_protocol_addr $request_uri'; access_log %[1]s/asked.log p; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f;\n"+
				"uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n"+
				"server { listen %[2]s proxy_protocol; listen %[3]s proxy_protocol ssl; ssl_certificate %[4]s; ssl_certificate_key %[4]s;\n"+
				"location / { return 200 \"$proxy_protocol_addr $http_x_real_ip $http_x_forwarded_proto;\"; } } }\n", dir, behind, behindTLS, pem))
			n := launch(t, nginx, "-p", dir, "-c", conf, "-e", "stderr")
			ready(t, n, behind)
			ours := [2]string{free(t), free(t)}
			s := serving(t, fmt.Sprintf(`
listen: { http: %[1]s, https: %[2]s, proxy-protocol: 127.0.0.1 }
tls: { self-signed: true }
upstreams:
  app: { to: %[5]s, send-proxy: %[4]s, health: { path: /healthz, every: 100ms } }
  tls: { to: "https://%[3]s", send-proxy: %[4]s, tls: { verify: false }, health: { path: /healthz, every: 100ms } }
sites:
  "http://tls.test": tls
  "http://any": app
  "https://any": app
log: json
engine: %[6]s
`, ours[0], ours[1], behindTLS, version, behind, c.engine))
			plain, secure, ends := free(t), free(t), free(t)
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
# TLS ends here, and the header says so, with names, an id and a checksum.
listen ends
  bind %[6]s ssl crt %[7]s
  server g %[2]s send-proxy-v2-ssl-cn proxy-v2-options authority,unique-id,crc32c
  unique-id-format "%%[uuid()]"
`, plain, ours[0], send, secure, ours[1], ends, pem)))
			ready(t, h, plain)
			for url, scheme := range map[string]string{"http://" + plain: "http", "https://" + secure: "https", "https://" + ends: "https"} {
				if got, want := curl(t, "-k", "--interface", "127.0.0.3", url+"/c", url+"/c"), strings.Repeat("127.0.0.3 127.0.0.3 "+scheme+";", 2); got != want {
					t.Errorf("%s: %q, want %q", url, got, want)
				}
			}
			// The header stands in front of TLS to upstreams too, and before HTTP/2 of clients.
			for _, more := range [][]string{{"-H", "Host: tls.test"}, {"--http2-prior-knowledge"}, {"--http2-prior-knowledge", "-H", "Host: tls.test"}} {
				if got := curl(t, append(more, "--haproxy-protocol", "http://"+ours[0]+"/c")...); got != "127.0.0.1 127.0.0.1 http;" {
					t.Errorf("%q: %q", more, got)
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
			n.stop()
			// Checks, and the look at the start, speak for nobody, and everybody else for a client.
			asked, err := os.ReadFile(filepath.Join(dir, "asked.log"))
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range strings.Split(strings.TrimSuffix(string(asked), "\n"), "\n") {
				if who, path, _ := strings.Cut(line, " "); (who == "-" || who == "") != (path != "/c") {
					t.Errorf("nginx was asked %q", line)
				}
			}
			if !strings.Contains(string(asked), " /healthz\n") {
				t.Errorf("nobody checked: %s", asked)
			}
		})
	}
}
