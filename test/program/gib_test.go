package program

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"testing"
)

const gib = 1 << 30

// mostMemory bounds the peak of the gateway's resident memory while 2 GiB pass
// through it. An idle one takes about 15 MiB.
const mostMemory = 64 << 20

// pattern repeats bytes without order with a period that is prime, so that no
// buffer size divides it: a piece that is lost, doubled or shifted shows.
var pattern = func() []byte {
	b := make([]byte, 1048573)
	rand.NewChaCha8([32]byte{7}).Read(b)
	return b
}()

// stream reads the pattern, over and over, n bytes in all.
type stream struct {
	at, left int64
}

func (s *stream) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n := copy(b, pattern[s.at%int64(len(pattern)):])
	n = int(min(int64(n), s.left))
	s.at += int64(n)
	s.left -= int64(n)
	return n, nil
}

// check compares what is written to it with the pattern.
type check struct{ at int64 }

func (c *check) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		want := pattern[c.at%int64(len(pattern)):]
		n := min(len(want), len(rest))
		if !bytes.Equal(want[:n], rest[:n]) {
			return 0, fmt.Errorf("byte %d or one soon after it is another", c.at)
		}
		c.at += int64(n)
		rest = rest[n:]
	}
	return len(b), nil
}

// One GiB each way comes through byte by byte as it was, and the gateway's memory
// stays flat.
func TestGiB(t *testing.T) {
	if testing.Short() {
		t.Skip("moves 4 GiB through loopback")
	}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			if r.URL.Path == "/sized" {
				w.Header().Set("Content-Length", strconv.Itoa(gib))
			}
			io.CopyBuffer(w, &stream{left: gib}, make([]byte, 256<<10))
			return
		}
		var got check
		if _, err := io.CopyBuffer(&got, r.Body, make([]byte, 256<<10)); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, got.at)
	}))
	defer up.Close()
	g := proxy(t, up.URL)
	base := "http://" + g.address
	client := &http.Client{Transport: &http.Transport{WriteBufferSize: 256 << 10, ReadBufferSize: 256 << 10}}
	defer client.CloseIdleConnections()

	for _, path := range []string{"/sized", "/chunked"} {
		answer, err := client.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		var got check
		_, err = io.CopyBuffer(&got, answer.Body, make([]byte, 256<<10))
		answer.Body.Close()
		if err != nil || got.at != gib || answer.StatusCode != http.StatusOK {
			t.Errorf("download %s: status %d, %d bytes: %v", path, answer.StatusCode, got.at, err)
		}
	}
	for name, length := range map[string]int64{"sized": gib, "chunked": -1} {
		q, err := http.NewRequest(http.MethodPut, base+"/upload", io.NopCloser(&stream{left: gib}))
		if err != nil {
			t.Fatal(err)
		}
		q.ContentLength = length
		answer, err := client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK || string(said) != strconv.Itoa(gib) {
			t.Errorf("upload %s: status %d, the server read %s: %v", name, answer.StatusCode, said, err)
		}
	}
	peak := peakMemory(t, g.cmd.Process.Pid)
	t.Logf("peak of resident memory: %.1f MiB", float64(peak)/(1<<20))
	if peak > mostMemory {
		t.Errorf("peak of resident memory is %d MiB, want at most %d", peak>>20, mostMemory>>20)
	}
	g.stop()
}

// peakMemory reads VmHWM, as proc(5) describes it.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("NOT TESTED: the memory of a process cannot be read here: %v", err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no VmHWM in:\n%s", status)
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
