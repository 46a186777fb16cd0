package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// scenario is something that happens to one of two servers, or to one after the other,
// while requests go on.
type scenario struct {
	name string
	// configs is the directory of the configurations: "" for two servers by address, dns for
	// one name, which is that of the first server at the beginning, tls for two that speak TLS.
	configs string
	// steps happen one behind the other, with a pause of requests between them.
	steps []func(a, b *backend) error
}

func on(f func(a *backend) error) func(a, b *backend) error {
	return func(a, _ *backend) error { return f(a) }
}

func again(b *backend) error {
	b.kill()
	return b.start()
}

var scenarios = []scenario{
	{"one is killed, and is back", "", []func(a, b *backend) error{
		on(func(a *backend) error { a.kill(); return nil }), on(func(a *backend) error { return a.start() })}},
	{"one hangs (SIGSTOP), and goes on", "", []func(a, b *backend) error{
		on(func(a *backend) error { a.signal(syscall.SIGSTOP); return nil }), on(func(a *backend) error { a.signal(syscall.SIGCONT); return nil })}},
	{"one takes 5 s for each answer", "", []func(a, b *backend) error{
		on(func(a *backend) error { return a.feel("slow") }), on(func(a *backend) error { return a.feel("well") })}},
	{"one resets each connection", "", []func(a, b *backend) error{
		on(func(a *backend) error { return a.feel("reset") }), on(func(a *backend) error { return a.feel("well") })}},
	{"one answers 503", "", []func(a, b *backend) error{
		on(func(a *backend) error { return a.feel("503") }), on(func(a *backend) error { return a.feel("well") })}},
	{"one's certificate has expired, and is renewed", "tls", []func(a, b *backend) error{
		on(func(a *backend) error { return a.feel("expired") }), on(func(a *backend) error { return a.feel("well") })}},
	{"the name moves to another server, and the old one ends", "dns", []func(a, b *backend) error{
		func(_, b *backend) error { zone.move(b); return nil }, on(func(a *backend) error { a.kill(); return nil })}},
	{"both are restarted, one after the other, twice", "", []func(a, b *backend) error{
		func(a, _ *backend) error { return again(a) }, func(_, b *backend) error { return again(b) },
		func(a, _ *backend) error { return again(a) }, func(_, b *backend) error { return again(b) }}},
}

// load is how many clients ask at a time, and how much of it passes before, between and
// behind the steps of a scenario: so much time, and so many requests.
type load struct {
	clients  int
	time     time.Duration
	requests int64
	// story, if it is set, is what the log must say after the first step before the next one:
	// while it does not, requests go on.
	story *regexp.Regexp
}

// mostWait bounds the wait for a story.
const mostWait = 20 * time.Second

// outcome is what a proxy made of a scenario.
type outcome struct {
	gets, posts         int64
	failed, failedPosts int64
	twice               int // POSTs that were executed twice
	slowest             time.Duration
	firstFailure        string
}

// run plays a scenario against the proxy at an address.
func (s *scenario) run(p *proxy, a, b *backend, l load) (o outcome, err error) {
	var gets, posts, failed, failedPosts, slowest atomic.Int64
	var stop atomic.Bool
	var first atomic.Pointer[string]
	var clients sync.WaitGroup
	for n := range l.clients {
		transport := &http.Transport{}
		client := &http.Client{Timeout: 15 * time.Second, Transport: transport}
		clients.Go(func() { // ends with the scenario
			defer transport.CloseIdleConnections()
			for i := 0; !stop.Load(); i++ {
				method, body := http.MethodGet, ""
				if i%10 == 9 {
					method, body = http.MethodPost, fmt.Sprintf("%d-%d", n, i)
				}
				began := time.Now()
				what := ask(client, method, "http://"+p.address+"/", body)
				took := int64(time.Since(began))
				for old := slowest.Load(); took > old && !slowest.CompareAndSwap(old, took); old = slowest.Load() {
				}
				if what != "" {
					first.CompareAndSwap(nil, &what)
				}
				switch {
				case method == http.MethodPost:
					posts.Add(1)
					if what != "" {
						failedPosts.Add(1)
					}
				default:
					gets.Add(1)
					if what != "" {
						failed.Add(1)
					}
				}
				time.Sleep(2 * time.Millisecond) // so that one core carries all of it
			}
		})
	}
	pass := func(story *regexp.Regexp) {
		began, from := time.Now(), gets.Load()
		told := func() bool {
			log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
			return story.Match(log)
		}
		for time.Since(began) < l.time || gets.Load()-from < l.requests ||
			story != nil && time.Since(began) < mostWait && !told() {
			time.Sleep(5 * time.Millisecond)
		}
	}
	pass(nil)
	for i, step := range s.steps {
		if err = step(a, b); err != nil {
			break
		}
		if i == 0 {
			pass(l.story)
		} else {
			pass(nil)
		}
	}
	stop.Store(true)
	clients.Wait()
	o = outcome{gets: gets.Load(), posts: posts.Load(), failed: failed.Load(), failedPosts: failedPosts.Load(), slowest: time.Duration(slowest.Load())}
	if f := first.Load(); f != nil {
		o.firstFailure = *f
	}
	seen := map[string]int{}
	for _, file := range slices.Compact([]string{a.executed, b.executed}) {
		text, _ := os.ReadFile(file)
		for _, id := range strings.Fields(string(text)) {
			if seen[id]++; seen[id] == 2 {
				o.twice++
			}
		}
		os.Truncate(file, 0)
	}
	return o, err
}

// ask sends a request and says what was wrong with its answer, "" if nothing was.
func ask(c *http.Client, method, url, body string) string {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	if body == "" {
		r.Body, r.ContentLength = nil, 0
	}
	res, err := c.Do(r)
	if err != nil {
		return method + ": " + err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return method + ": " + err.Error()
	case res.StatusCode != http.StatusOK || string(b) != "hello\n":
		return fmt.Sprintf("%s: %d %.200q", method, res.StatusCode, b)
	}
	return ""
}
