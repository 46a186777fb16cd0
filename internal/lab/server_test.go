package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serveLab runs the lab for the length of a test.
func serveLab(t *testing.T) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln) }() // ends with ctx
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// get asks the lab on a connection of its own.
func get(t *testing.T, address, path, accept string) (*http.Response, string, error) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	say(t, c, "GET "+path+" HTTP/1.1\r\nHost: lab\r\nAccept: "+accept+"\r\n\r\n")
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(a.Body)
	return a, string(b), err
}

func TestServer(t *testing.T) {
	address := serveLab(t)

	for accept, kind := range map[string]string{"*/*": "text/plain", "text/html,*/*;q=0.8": "text/html"} {
		a, body, err := get(t, address, "/", accept)
		if err != nil || a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("Content-Type"), kind) {
			t.Fatalf("index for %s: %v, %v", accept, a, err)
		}
		for _, r := range everything() {
			if !strings.Contains(body, "/fault/"+r.Name) {
				t.Errorf("the %s index has no %s", kind, r.Name)
			}
		}
		for _, flag := range []string{"--upstream-ca", "--resolver", "https://localhost:", "--timeout-first-byte", "gatewhy prove"} {
			if !strings.Contains(body, flag) {
				t.Errorf("the %s index does not speak of %s", kind, flag)
			}
		}
	}

	for _, c := range []struct {
		path   string
		status int
		says   string
	}{
		{"/good", 200, hello},
		{"/fault/corpus/ok", 200, hello},
		{"/fault/upstream_5xx?a=b", 500, "the application failed"},
		{"/fault/nothing_such", 404, "Did you mean"},
		{"/fault/header_no_colom", 404, "Did you mean header_no_colon?"},
		{"/fault/tls_cert_expired", 200, "https://localhost:"},
		{"/fault/dns_nxdomain", 200, "--resolver 127.0.0.1:"},
		{"/fault/connect_refused", 200, "gatewhy proxy :8080 127.0.0.1:"},
		{"/fault/request_not_http", 200, "the upstream is blameless"},
		{"/fault/connect_net_unreachable", 200, "injects it"},
		{"/elsewhere", 404, "/fault/NAME"},
	} {
		a, body, err := get(t, address, c.path, "*/*")
		if err != nil || a.StatusCode != c.status || !strings.Contains(strings.ToLower(body), strings.ToLower(c.says)) {
			t.Errorf("%s: %v %q, %v", c.path, a, body, err)
		}
	}

	// A broken answer is broken on the very connection.
	for path, want := range map[string]string{"/fault/corpus/st_2digit": `malformed HTTP status code "20"`, "/fault/head_eof_empty": "unexpected EOF"} {
		if _, _, err := get(t, address, path, "*/*"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, body, err := get(t, address, "/fault/body_eof_short", "*/*"); err != io.ErrUnexpectedEOF || body != hello {
		t.Errorf("body_eof_short: %q, %v", body, err)
	}
}

// A warm recipe answers its first request here too, and then misbehaves though
// nobody arms it.
func TestServerWarm(t *testing.T) {
	address := serveLab(t)
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	in := bufio.NewReader(c)
	for _, path := range []string{"/", "/good", "/fault/reuse_unsolicited_data"} {
		say(t, c, "GET "+path+" HTTP/1.1\r\nHost: lab\r\n\r\n")
		a, err := http.ReadResponse(in, nil)
		if err != nil || a.StatusCode != 200 {
			t.Fatalf("%s: %v, %v", path, a, err)
		}
		if _, err := io.Copy(io.Discard, a.Body); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	// Nothing was asked.
	if a, err := http.ReadResponse(in, nil); err != nil || a.Header.Get("X-Poison") != "1" {
		t.Errorf("on the idle connection: %v, %v", a, err)
	}
}

// A recipe that keeps its connection answers for its own path only.
func TestServerGoesOn(t *testing.T) {
	c, err := net.Dial("tcp", serveLab(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for _, want := range []struct {
		path   string
		status int
	}{{"/fault/upstream_gateway_error", 502}, {"/fault/upstream_gateway_error", 502}, {"/good", 200}, {"/fault/upstream_5xx", 500}} {
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: lab\r\n\r\n", want.path)
		a, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", want.path, err)
		}
		io.Copy(io.Discard, a.Body)
		if a.StatusCode != want.status {
			t.Errorf("%s: %d, want %d", want.path, a.StatusCode, want.status)
		}
	}
}
