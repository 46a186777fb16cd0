package main

import (
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	tests := []struct {
		name, in string
		results  string // what is counted
		out      string // what a person must see
		err      string
	}{
		{
			"all pass",
			`{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"noise\n"}
{"Action":"pass","Package":"p","Test":"TestA/sub"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Elapsed":1.5}
{"Action":"skip","Package":"without/tests"}
`,
			"pass p.TestA/sub\npass p.TestA\n", "2 passed   0 failed     1.5s", "",
		},
		{
			"one fails",
			`{"Action":"output","Package":"p","Test":"TestA","Output":"a_test.go:1: want 1\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}
`,
			"fail p.TestA\n", "FAIL p.TestA\na_test.go:1: want 1\n", "1 failed or skipped",
		},
		{
			"a skip fails though the package passes",
			`{"Action":"output","Package":"p","Test":"TestB","Output":"no browser\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p"}
`,
			"fail p.TestB\n", "SKIP p.TestB\nno browser\n", "1 failed or skipped",
		},
		{
			"does not build",
			`{"ImportPath":"p","Action":"build-output","Output":"a.go:3: undefined: x\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p","FailedBuild":"p"}
`,
			"fail p\n", "a.go:3: undefined: x\n", "1 failed or skipped",
		},
		{
			"dies after a test has passed",
			`{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"panic: after the tests\n"}
{"Action":"fail","Package":"p"}
`,
			"pass p.TestA\nfail p\n", "panic: after the tests\n", "1 failed or skipped",
		},
		{"nothing at all", "", "", "", "no package was tested"},
		{"go speaks, in a last line without an end", "go: cannot find main module", "", "go: cannot find main module", "no package was tested"},
		{"other JSON is not an event", "{}\n", "", "{}", "no package was tested"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, results strings.Builder
			err := judge(strings.NewReader(tt.in), &out, &results)
			if results.String() != tt.results {
				t.Errorf("results %q, want %q", results.String(), tt.results)
			}
			if !strings.Contains(out.String(), tt.out) {
				t.Errorf("output %q, want %q in it", out.String(), tt.out)
			}
			switch {
			case err == nil && tt.err != "", err != nil && err.Error() != tt.err:
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}
