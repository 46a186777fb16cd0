package program

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// site is a folder to serve, with a small page, a large file and an empty one.
func site(t *testing.T) (dir string, large []byte) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	large = make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{}).Read(large)
	for name, b := range map[string][]byte{"index.html": []byte("<!doctype html><title>home</title>"), "large.bin": large, "empty.txt": nil} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, large
}

// files checks what any server of files must give through the gateway.
func files(t *testing.T, g *gateway, large []byte) {
	t.Helper()
	base := "http://" + g.address
	if got := curl(t, base+"/index.html"); got != "<!doctype html><title>home</title>" {
		t.Errorf("page: %q", got)
	}
	got := filepath.Join(t.TempDir(), "large")
	curl(t, "-o", got, base+"/large.bin")
	if b, err := os.ReadFile(got); err != nil || !bytes.Equal(b, large) {
		t.Errorf("the large file came back with %d bytes, other than it is: %v", len(b), err)
	}
	if got := curl(t, "-w", "%{http_code} %{size_download}", base+"/empty.txt"); got != "200 0" {
		t.Errorf("empty file: %s", got)
	}
	if got := curl(t, "-I", base+"/large.bin"); !strings.HasPrefix(got, "HTTP/1.1 200 ") ||
		!regexp.MustCompile(`(?i)\r\ncontent-length: 3145728\r\n`).MatchString(got) {
		t.Errorf("HEAD: %s", got)
	}
	if got := curl(t, "-o", os.DevNull, "-w", "%{http_code}", base+"/missing"); got != "404" {
		t.Errorf("a missing page: %s", got)
	}
	if got := curl(t, "--http1.0", "-o", os.DevNull, "-w", "%{http_code} %{http_version} %{size_download}", base+"/large.bin"); !strings.HasPrefix(got, "200 1") ||
		!strings.HasSuffix(got, " 3145728") {
		t.Errorf("an HTTP/1.0 client: %s", got)
	}
	// Ten requests on one connection.
	var many []string
	for range 10 {
		many = append(many, "-o", os.DevNull, base+"/index.html")
	}
	if got := curl(t, append(many, "-w", "%{http_code}:%{num_connects} ")...); got != "200:1 "+strings.Repeat("200:0 ", 9) {
		t.Errorf("ten requests, each with status and new connections: %s", got)
	}
	g.stop()
	if strings.Contains(g.printed(), `"fault"`) {
		t.Errorf("a fault with a healthy server:\n%s", g.printed())
	}
}

func TestPython(t *testing.T) {
	python := need(t, "python3")
	need(t, "curl")
	dir, large := site(t)
	address := free(t)
	_, port, _ := net.SplitHostPort(address)
	p := launch(t, python, "-m", "http.server", port, "--bind", "127.0.0.1", "--directory", dir)
	ready(t, p, address)
	files(t, proxy(t, "localhost:"+port), large)
}

func TestNginx(t *testing.T) { behindNginx(t, "", "") }

// The same in HTTP/2, in the clear.
func TestNginxHTTP2(t *testing.T) { behindNginx(t, " http2", "h2c://") }

func behindNginx(t *testing.T, listen, scheme string) {
	nginx := need(t, "nginx")
	need(t, "curl")
	dir, large := site(t)
	address := free(t)
	conf := filepath.Join(t.TempDir(), "nginx.conf")
	text := fmt.Sprintf("daemon off; master_process off; pid %s.pid; error_log stderr; events {}\n"+
		"http { access_log off; client_body_temp_path %[1]s.body; proxy_temp_path %[1]s.proxy; fastcgi_temp_path %[1]s.f;\n"+
		"uwsgi_temp_path %[1]s.u; scgi_temp_path %[1]s.s; keepalive_timeout 1s; gzip on; gzip_types text/html; gzip_min_length 1;\n"+
		"server { listen %[2]s; root %[3]s; } }\n", conf, address+listen, dir)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := launch(t, nginx, "-p", filepath.Dir(conf), "-c", conf, "-e", "stderr")
	ready(t, p, address)
	g := proxy(t, scheme+address)
	base := "http://" + g.address
	if got := curl(t, "-r", "100-199", "-w", "%{http_code}", "-o", filepath.Join(dir, "part"), base+"/large.bin"); got != "206" {
		t.Errorf("a range: %s", got)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "part")); err != nil || !bytes.Equal(b, large[100:200]) {
		t.Errorf("the range has %d bytes, other than they are: %v", len(b), err)
	}
	if got := curl(t, "--compressed", "-H", "Accept-Encoding: gzip", base+"/index.html"); got != "<!doctype html><title>home</title>" {
		t.Errorf("a compressed, chunked page: %q", got)
	}
	tag := regexp.MustCompile(`(?i)etag: (\S+)`).FindStringSubmatch(curl(t, "-I", base+"/large.bin"))
	if tag == nil {
		t.Fatal("nginx sends no ETag")
	}
	if got := curl(t, "-o", os.DevNull, "-w", "%{http_code}", "-H", "If-None-Match: "+tag[1], base+"/large.bin"); got != "304" {
		t.Errorf("a conditional request: %s", got)
	}
	files(t, g, large)
}

const nodeServer = `
const http = require('http'), crypto = require('crypto');
const s = http.createServer((q, r) => {
  if (q.url === '/chunks') {
    r.writeHead(200, {'Trailer': 'X-Sum'});
    for (let i = 0; i < 100; i++) r.write('line ' + i + '\n');
    r.addTrailers({'X-Sum': '100'});
    return r.end();
  }
  if (q.url === '/hints') { r.writeEarlyHints({link: '</a.css>; rel=preload; as=style'}); return r.end('after hints'); }
  if (q.url === '/events') {
    r.writeHead(200, {'Content-Type': 'text/event-stream'});
    r.write('data: first\n\n');
    return q.socket.on('close', () => r.end());
  }
  const h = crypto.createHash('sha256'); let n = 0;
  q.on('data', d => { h.update(d); n += d.length; });
  q.on('end', () => { r.setHeader('Content-Type', 'application/json'); r.end(JSON.stringify({method: q.method, url: q.url, n, sha256: h.digest('hex'), headers: q.headers})); });
});
s.on('upgrade', (q, sock) => {
  const accept = crypto.createHash('sha1').update(q.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  sock.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ' + accept + '\r\n\r\n');
  sock.pipe(sock);
});
s.listen(process.argv[2], '127.0.0.1');
`

func TestNode(t *testing.T) {
	node := need(t, "node")
	need(t, "curl")
	js := filepath.Join(t.TempDir(), "server.js")
	if err := os.WriteFile(js, []byte(nodeServer), 0o600); err != nil {
		t.Fatal(err)
	}
	address := free(t)
	_, port, _ := net.SplitHostPort(address)
	p := launch(t, node, js, port)
	ready(t, p, address)
	g := proxy(t, address)
	base := "http://" + g.address

	var want strings.Builder
	for i := range 100 {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	if got := curl(t, base+"/chunks"); got != want.String() {
		t.Errorf("chunks: %q", got)
	}
	if got := curl(t, "-i", base+"/hints"); !strings.HasPrefix(got, "HTTP/1.1 103 Early Hints\r\n") ||
		!strings.Contains(got, "\r\n\r\nHTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got, "after hints") {
		t.Errorf("early hints: %s", got)
	}
	upload(t, base)
	events(t, g.address)
	webSocket(t, g.address)

	got := curl(t, "-H", "X-Forwarded-For: 6.6.6.6", "-H", "Proxy: http://evil", "-H", "Connection: X-Hop", "-H", "X-Hop: 1", "-H", "Host: shop.example", base+"/echo")
	for _, want := range []string{`"x-forwarded-for":"127.0.0.1"`, `"x-forwarded-proto":"http"`, `"x-forwarded-host":"shop.example"`, `"host":"shop.example"`, `"via":"1.1 `} {
		if !strings.Contains(got, want) {
			t.Errorf("the application sees no %s: %s", want, got)
		}
	}
	for _, gone := range []string{"6.6.6.6", "evil", "x-hop"} {
		if strings.Contains(got, gone) {
			t.Errorf("the application sees %s: %s", gone, got)
		}
	}
	g.stop()
	if strings.Contains(g.printed(), `"error.type"`) {
		t.Errorf("a failure with a healthy server:\n%s", g.printed())
	}
}

// upload sends a body whole and in chunks, with and without Expect.
func upload(t *testing.T, base string) {
	t.Helper()
	body := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{1}).Read(body)
	path := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	want := fmt.Sprintf(`"n":%d,"sha256":"%s"`, len(body), hex.EncodeToString(sum[:]))
	for _, fields := range [][]string{
		{"-H", "Expect:"}, {"-H", "Expect: 100-continue"}, {"-H", "Expect:", "-H", "Transfer-Encoding: chunked"},
		{"-H", "Expect: 100-continue", "-H", "Transfer-Encoding: chunked"}, {"-X", "PUT", "-H", "Expect:"},
	} {
		if got := curl(t, append(fields, "--data-binary", "@"+path, base+"/upload")...); !strings.Contains(got, want) {
			t.Errorf("upload with %v: %s", fields, got)
		}
	}
}

// events: the first event of a stream comes at once, not when a buffer is full.
func events(t *testing.T, address string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
	in := bufio.NewReader(c)
	if h, ok := head(in); !ok || !strings.HasPrefix(h, "HTTP/1.1 200 ") {
		t.Fatalf("event stream: %s", h)
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("no event came: %v", err)
		}
		if line == "data: first\n" {
			break
		}
	}
	// It leaves with a reset: a FIN alone would leave open whether it still reads.
	c.(*net.TCPConn).SetLinger(0)
}

// webSocket upgrades and sends bytes both ways.
func webSocket(t *testing.T, address string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	// Key and accept value are those of RFC 6455 §1.3.
	fmt.Fprintf(c, "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x82\x05first")
	in := bufio.NewReader(c)
	h, ok := head(in)
	if !ok || !strings.HasPrefix(h, "HTTP/1.1 101 ") || !strings.Contains(h, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
		t.Fatalf("upgrade: %s", h)
	}
	for _, frame := range []string{"\x82\x05first", "\x82\x06second"} {
		if frame != "\x82\x05first" {
			io.WriteString(c, frame)
		}
		got := make([]byte, len(frame))
		if _, err := io.ReadFull(in, got); err != nil || string(got) != frame {
			t.Fatalf("echo of %q: %q, %v", frame, got, err)
		}
	}
}

func TestGoServer(t *testing.T) {
	need(t, "curl")
	dir, large := site(t)
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	g := proxy(t, server.URL)
	// net/http redirects from /index.html to /, relative to the request.
	if got := curl(t, "-o", os.DevNull, "-w", "%{http_code} %{redirect_url}", "http://"+g.address+"/index.html"); got != "301 http://"+g.address+"/" {
		t.Errorf("a redirect leads to %s", got)
	}
	g.stop()

	// http.FileServer with the redirect out of the way.
	server2 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(filepath.Join(dir, filepath.Clean(r.URL.Path)))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer f.Close()
		http.ServeContent(w, r, r.URL.Path, time.Time{}, f)
	}))
	defer server2.Close()
	files(t, proxy(t, server2.URL), large)
}

const nodeServer2 = `
const s = require('http2').createServer();
s.on('stream', (stream, h) => {
  let n = 0;
  stream.on('data', d => { n += d.length; });
  stream.on('end', () => {
    stream.respond({':status': 200, 'content-type': 'text/plain'}, {waitForTrailers: true});
    stream.on('wantTrailers', () => stream.sendTrailers({'x-sum': String(n)}));
    stream.end(h[':method'] + ' ' + h[':path'] + ' ' + n + '\n');
  });
});
s.listen(process.argv[1], '127.0.0.1');
`

// Node's HTTP/2 in the clear: uploads and trailers.
func TestNodeHTTP2(t *testing.T) {
	node := need(t, "node")
	need(t, "curl")
	address := free(t)
	_, port, _ := net.SplitHostPort(address)
	p := launch(t, node, "-e", nodeServer2, port)
	ready(t, p, address)
	g := proxy(t, "h2c://"+address)
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, make([]byte, 3<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{"": "POST /a?b=c 0\n", "hello": "POST /a?b=c 5\n", "@" + large: "POST /a?b=c 3145728\n"} {
		if got := curl(t, "--data-binary", body, "http://"+g.address+"/a?b=c"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := curl(t, "-H", "TE: trailers", "-D", "-", "--data-binary", "hello", "http://"+g.address+"/"); !strings.Contains(got, "x-sum: 5") {
		t.Errorf("no trailer came:\n%s", got)
	}
	g.stop()
	if strings.Contains(g.printed(), `"fault"`) {
		t.Errorf("a fault with a healthy server:\n%s", g.printed())
	}
}
