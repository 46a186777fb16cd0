package soak

import (
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// More clients than the process may open files: those that were there first are
// served as before, each request with a new connection to the server, and when the
// others have gone everybody is.
func TestFewFiles(t *testing.T) { onEngines(t, fewFiles) }

func fewFiles(t *testing.T, args ...string) {
	const files = 256
	w := newWorld(t)
	p := launchIn(t, []string{gatewayFiles + "=" + strconv.Itoa(files)}, newCertificate(t), append(args, "--loops", "2", "--pool-idle", "0", newOrigin(t, w, nil, false).address)...)
	var old []*client
	for range 8 {
		c := &client{world: w, kind: "was there first", over: make(chan struct{}), rand: rand.New(rand.NewPCG(w.seed, uint64(len(old)))), dial: plain, p: p}
		c.call(c.request("GET", small, 0))
		defer c.close()
		old = append(old, c)
	}
	var silent []net.Conn
	defer func() {
		for _, c := range silent {
			c.Close()
		}
	}()
	for i := range 3 * files {
		c, err := net.Dial("tcp", []string{p.plain, p.secure}[i%2])
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
		if i%3 == 0 {
			io.WriteString(c, "GET / HTTP/1.1\r\n") // or a very bad ClientHello
		}
		if i%16 == 0 {
			c := old[i/16%len(old)]
			if c.conn == nil {
				t.Fatal("a connection that was there first is closed")
			}
			c.call(c.request([]string{"GET", "PUT"}[i/16%2], small, 3000))
		}
	}
	for _, c := range old {
		for range 10 {
			if c.conn == nil {
				t.Fatal("a connection that was there first is closed")
			}
			c.call(c.request("GET", small, 0))
		}
	}
	for _, c := range silent {
		c.Close()
	}
	silent = nil
	// Newcomers are served as soon as the gateway has seen the others go.
	for end := time.Now().Add(patience); ; {
		resp, err := (&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + p.plain + "/0/sized/0")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == 200 {
				break
			}
		}
		if time.Now().After(end) {
			t.Fatalf("no newcomer is served: %v %v", resp, err)
		}
	}
	p.stop(t)
}
