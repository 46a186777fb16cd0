package program

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// attackers are the connections of one slowhttptest.
const attackers = 1000

// attackerBytes is what one of them may cost, the runtime's share and the requests
// of others included: a buffer of an answer in each direction and their tasks.
const attackerBytes = 128 << 10

// Attackers that are as slow as can be hold what they like; everybody else is
// served as before.
func TestSlowHTTP(t *testing.T) {
	tool := need(t, "slowhttptest")
	seconds := "7"
	if os.Getenv("CI") == "true" {
		seconds = "10"
	}
	large := strings.Repeat("0123456789abcdef", 1<<16)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/large" {
			io.WriteString(w, large)
		} else {
			io.WriteString(w, "hello")
		}
	}))
	t.Cleanup(up.Close) // after the parallel subtests
	attacks := []struct {
		name string
		args []string
	}{
		{"headers", []string{"-H", "-i", "1"}},
		{"body", []string{"-B", "-i", "1", "-s", "100000"}},
		{"read", []string{"-X", "-w", "10", "-y", "50", "-n", "1", "-z", "16", "-k", "3"}},
	}
	// Shorter than the attack, and longer than a busy machine keeps a client waiting.
	short := []string{"--timeout-client-head", "5s", "--timeout-client-body", "5s", "--timeout-reply", "5s"}
	gateways := []struct {
		name string
		args []string
	}{
		{"defaults", []string{"--engine", "epoll"}},
		{"short limits", append([]string{"--engine", "epoll"}, short...)},
		{"portable engine", []string{"--engine", "portable"}},
	}
	for _, gate := range gateways {
		for _, attack := range attacks {
			t.Run(gate.name+"/"+attack.name, func(t *testing.T) {
				t.Parallel()
				g := proxy(t, append([]string{up.URL, "--log", "off"}, gate.args...)...)
				before := resident(t, g)
				prefix := filepath.Join(t.TempDir(), "attack")
				attacked(t, g, tool, append([]string{"-c", strconv.Itoa(attackers), "-r", "500", "-l", seconds, "-p", "20", "-g", "-o", prefix,
					"-u", "http://" + g.address + "/large"}, attack.args...))
				served(t, prefix+".csv")
				if grown := resident(t, g) - before; grown > attackers*attackerBytes {
					t.Errorf("%d attackers take %d KiB", attackers, grown>>10)
				} else {
					t.Logf("%d attackers take %d KiB", attackers, grown>>10)
				}
				g.stop()
			})
		}
	}
}

// attacked asks for something, again and again, while the attack goes on.
func attacked(t *testing.T, g *gateway, tool string, args []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	attack := exec.CommandContext(ctx, tool, args...)
	over := make(chan error, 1)
	go func() { // ends with the attack
		out, err := attack.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%v: %s", err, out)
		}
		over <- err
	}()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	again := 0
	for n := 0; ; n++ {
		resp, err := client.Get("http://" + g.address + "/")
		if errors.Is(err, io.EOF) {
			// On a machine that is busy with all of this a client may send what it has to
			// say when its time is up. It tries again, as browsers do.
			again++
			resp, err = client.Get("http://" + g.address + "/")
		}
		var body []byte
		if err == nil {
			body, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err != nil || resp.StatusCode != 200 || string(body) != "hello" {
			t.Errorf("request %d during the attack: %v %q %v", n, resp, body, err)
		}
		if n%10 == 9 {
			client.CloseIdleConnections() // a newcomer
		}
		select {
		case err := <-over:
			if err != nil {
				t.Errorf("the attack: %v", err)
			}
			if t.Logf("%d requests during the attack, %d of them tried again", n+1, again); again > 1+n/100 {
				t.Errorf("%d connections of %d requests ended before an answer", again, n+1)
			}
			return
		default:
		}
	}
}

// served reads what slowhttptest noted each second: its own probe got through
// every time, and there was an attack.
func served(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	// Seconds, Closed, Pending, Connected, Service Available
	most := 0
	for _, r := range rows[1:] {
		connected, err := strconv.Atoi(r[3])
		if err != nil {
			t.Fatalf("%v: %v", r, err)
		}
		most = max(most, connected)
		if r[4] == "0" {
			t.Errorf("slowhttptest's probe was not served: %v", rows)
		}
	}
	if most < attackers/20 {
		t.Errorf("%d attackers at most: that is no attack", most)
	}
}

// resident is the gateway's resident memory in bytes.
func resident(t *testing.T, g *gateway) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", g.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
