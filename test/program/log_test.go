package program

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The combined log is nginx's, byte by byte: both are asked the same in front of the same
// server.
func TestCombinedLog(t *testing.T) {
	nginx := need(t, "nginx")
	need(t, "curl")
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"1"`)
		switch {
		case r.URL.Path == "/missing":
			http.Error(w, "not here", http.StatusNotFound)
		case r.Header.Get("If-None-Match") != "":
			w.WriteHeader(http.StatusNotModified)
		case r.URL.Path == "/nothing":
			w.WriteHeader(http.StatusNoContent)
		default:
			io.WriteString(w, strings.Repeat("a line of text\n", 100))
		}
	}))
	defer origin.Close()
	behind := strings.TrimPrefix(origin.URL, "http://")
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	plain, h2 := free(t), free(t)
	conf := filepath.Join(dir, "nginx.conf")
	write(t, conf, fmt.Sprintf("daemon off; master_process off; pid %[1]s/n.pid; error_log stderr; events {}\n"+
		"http { access_log %[1]s/nginx.log combined; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f;\n"+
		"uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n"+
		"server { listen %[2]s; listen %[3]s http2; location / { proxy_pass http://%[4]s; proxy_http_version 1.1; } } }\n", dir, plain, h2, behind))
	n := launch(t, nginx, "-p", dir, "-c", conf, "-e", "stderr")
	ready(t, n, plain)
	log := filepath.Join(dir, "ours.log")
	g := proxy(t, behind, "--loops", "1", "--log", "combined", "--log-file", log)

	requests := []string{
		"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/8\r\nReferer: http://b/?q=1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /missing?a=%22b%22&token=secret HTTP/1.1\r\nHost: a\r\nUser-Agent: a \"quoted\" \\ agent\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: a\r\nReferer: caf\xc3\xa9 \xff\tend\r\nUser-Agent: \r\n\r\n",
		"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"1\"\r\n\r\n",
		"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://a/absolute HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na=b",
		"DELETE /a%20b//c/../d HTTP/1.1\r\nHost: a:80\r\nAuthorization: Basic YW4gInVzZXI6c2VjcmV0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic !!!\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer abc\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: basic  YTpiYw\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic OnB3\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nReferer: one\r\nReferer: two\r\n\r\n",
		"\r\nGET /blank HTTP/1.1\r\nHost: a\r\n\r\n",
	}
	// These are refused by both, with pages of different sizes.
	refused := []string{
		"\x16\x03\x01\x02\x00\x01\r\n\r\n",
		"GET\r\n\r\n",
		"FOO BAR BAZ\r\n\r\n",
		"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
		"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /x\x00y HTTP/1.1\r\nHost: a\r\n\r\n",
		"G\xc3\xa9T / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	}
	for _, to := range []string{plain, g.address} {
		for _, q := range slices.Concat(requests, refused) {
			c, err := net.Dial("tcp", to)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, q)
			method, _, _ := strings.Cut(q, " ")
			resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
			if err != nil {
				t.Fatalf("%q: %v", q, err)
			}
			io.Copy(io.Discard, resp.Body)
			c.Close()
		}
	}
	curl(t, "-o", os.DevNull, "--http2-prior-knowledge", "-A", "an agent", "-e", "http://b/", "http://"+h2+"/two?x")
	curl(t, "-o", os.DevNull, "--http2-prior-knowledge", "-A", "an agent", "-e", "http://b/", "http://"+g.address+"/two?x")
	n.stop()
	g.stop()
	read := func(name string) (list []string) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
			// All but the moment, whose form is the same.
			l = regexp.MustCompile(`\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]`).ReplaceAllString(l, "[moment]")
			list = append(list, regexp.MustCompile(`" (4\d\d|505) \d+ "-" "-"$`).ReplaceAllString(l, `" $1 page "-" "-"`))
		}
		return list
	}
	want, got := read(filepath.Join(dir, "nginx.log")), read(log)
	if n := len(requests) + len(refused) + 1; len(want) != n {
		t.Fatalf("nginx wrote %d lines for %d requests", len(want), n)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-nginx +gatewhy\n%s", diff)
	}
}

// Where lines are for programs that know no others, what happens between the requests is
// told on standard error; and faults always have their line.
func TestLogTemplate(t *testing.T) {
	s := serving(t, `
listen: 127.0.0.1:0
upstreams: { app: { to: 127.0.0.1:1, eject: 2 , retry: 1} }
sites: { "http://a": app }
log: { format: template, template: "${client.address} ${http.response.status_code} ${fault} [${upstream}] ${http.request.header.x-a}", sample: 0 }
`)
	s.get("http://a/")
	s.stop()
	if got := s.printed(); got != "127.0.0.1 502 connect_refused [app] -\n" {
		t.Errorf("the log: %q", got)
	}
}
