// Tally reads the output of `go test -json`, prints what a person needs of it,
// and judges it more strictly than go test does: a skipped test fails, because
// in CI everything that a test may ask for is there.
//
//	go test -json ./... | tally RESULTS
//
// It appends a line "pass NAME" or "fail NAME" for each test to the file
// RESULTS, and exits with 1 if any failed.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// An event is a line of `go test -json` (see `go doc test2json`).
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

// A tally is what has been seen so far.
type tally struct {
	out     io.Writer // for people
	results io.Writer // for counting
	said    map[string]*strings.Builder
	failed  map[string]int // tests and the package itself, by package
	passed  map[string]int
	verdict int // packages with a verdict
	bad     int
}

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) (err error) {
	if len(args) != 1 {
		return errors.New("usage: go test -json ./... | tally RESULTS")
	}
	f, err := os.OpenFile(args[0], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return judge(in, out, f)
}

func judge(in io.Reader, out, results io.Writer) error {
	t := &tally{out: out, results: results, said: map[string]*strings.Builder{}, failed: map[string]int{}, passed: map[string]int{}}
	r := bufio.NewReader(in)
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil || e.Action == "" {
				fmt.Fprintf(out, "%s", line) // go itself speaks
			} else {
				t.take(e)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if t.bad > 0 {
		return fmt.Errorf("%d failed or skipped", t.bad)
	}
	if t.verdict == 0 {
		return errors.New("no package was tested")
	}
	return nil
}

func (t *tally) take(e event) {
	name := e.Package
	if e.Test != "" {
		name += "." + e.Test
	}
	switch e.Action {
	case "output":
		b := t.said[name]
		if b == nil {
			b = &strings.Builder{}
			t.said[name] = b
		}
		b.WriteString(e.Output)
	case "build-output":
		fmt.Fprint(t.out, e.Output)
	case "pass", "fail", "skip":
		if e.Test != "" {
			t.test(name, e)
		} else {
			t.pack(name, e)
		}
		delete(t.said, name)
	}
}

func (t *tally) test(name string, e event) {
	if e.Action == "pass" {
		t.passed[e.Package]++
		fmt.Fprintln(t.results, "pass", name)
		return
	}
	t.failed[e.Package]++
	t.bad++
	fmt.Fprintln(t.results, "fail", name)
	fmt.Fprintf(t.out, "%s %s\n%s", strings.ToUpper(e.Action), name, t.words(name))
}

// pack ends a package. One that fails although none of its tests did, because
// it does not build or dies in between, counts as one failure.
func (t *tally) pack(name string, e event) {
	t.verdict++
	if e.Action == "fail" && t.failed[name] == 0 {
		t.failed[name]++
		t.bad++
		fmt.Fprintln(t.results, "fail", name)
	}
	if e.Action == "fail" {
		fmt.Fprint(t.out, t.words(name))
	}
	if e.Action == "skip" {
		return // a package without tests
	}
	fmt.Fprintf(t.out, "%-60s %5d passed %3d failed %7.1fs\n", name, t.passed[name], t.failed[name], e.Elapsed)
}

func (t *tally) words(name string) string {
	if b := t.said[name]; b != nil {
		return b.String()
	}
	return ""
}
