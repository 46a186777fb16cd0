// Package prove plays every fault of the catalogue through a real gateway and
// says of each whether it was rescued, explained, or neither.
//
// For each recipe of the lab it starts the origin and a gateway before it, lets
// a client do its part over a raw connection, and holds what the client got and
// what the trail says against what the recipe promises: the fault's exact name,
// the very byte, the status, a visible cut, a page and a Proxy-Status field that
// others can read, and no secret anywhere. One recipe of each fault, and all that
// are about HTTP/2 or gRPC, are played again with a client that speaks HTTP/2; and
// where the recipe promises that a good second endpoint helps, with one.
//
// It knows no protocol: the lab breaks, the gateway explains, this package only
// compares. Start with Run.
package prove

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/lab"
	"github.com/gatewhy/gatewhy/internal/loop"
)

// Options say what is proved, and how it is told. The zero value proves the
// whole catalogue on the portable engine, for people.
type Options struct {
	// JSON writes one object instead of lines.
	JSON bool
	// Only names the faults or recipes to play; empty means the whole catalogue.
	// "corpus" and "corpus/CASE" mean the golden corpus of broken answers.
	Only []string
	// Engine makes the engine of one gateway, with one loop; nil means the
	// portable one.
	Engine func() loop.Engine
}

// The exit codes of Run.
const (
	ExitProved = 0 // every fault was rescued or explained
	ExitFailed = 1 // it could not be run: wrong names, or the output is gone
	ExitWrong  = 3 // a fault was not explained, or wrongly named
)

// Verdict is what became of a fault.
type Verdict string

// The verdicts.
const (
	// Rescued: a client got a good answer all the same: mended, or by another
	// attempt, alone or with a good second endpoint.
	Rescued Verdict = "rescued"
	// Explained: the client got an answer that names the fault, or sees the cut,
	// and the trail has the rest.
	Explained Verdict = "explained"
	// Unexplained: anything else. It is a bug of ours.
	Unexplained Verdict = "UNEXPLAINED"
)

// Play is the result of one recipe.
type Play struct {
	Recipe  string  `json:"recipe"`
	Verdict Verdict `json:"verdict"`
	Status  int     `json:"status"`        // what the client got from this upstream alone; 0 if no answer
	Why     string  `json:"why,omitempty"` // what is wrong
}

// Result is what became of one fault in all of its recipes.
type Result struct {
	Fault   fault.ID `json:"fault"` // "" for answers that are none
	Verdict Verdict  `json:"verdict"`
	Plays   []Play   `json:"plays"`
}

// Report is the JSON form of a run.
type Report struct {
	Faults      []Result `json:"faults"`
	Rescued     int      `json:"rescued"`
	Explained   int      `json:"explained"`
	Unexplained int      `json:"unexplained"`
	Plays       int      `json:"plays"`
	Seconds     float64  `json:"seconds"`
}

// parallel bounds the plays at one time. Most of them only wait.
const parallel = 4

// Run plays the recipes and writes what became of them to w: a line for each
// fault as soon as it and those before it are done, and totals. It returns the
// exit code of the program. It takes less than a minute, and ends early with ctx.
func Run(ctx context.Context, w io.Writer, o Options) (exit int) {
	families, err := choose(o.Only)
	if err != nil {
		fmt.Fprintf(w, "error: %v\n", err)
		return ExitFailed
	}
	if o.Engine == nil {
		o.Engine = portable
	}
	began := time.Now()
	out := &printer{w: w}
	var report Report
	for r := range playAll(ctx, families, o.Engine) {
		report.add(r)
		if !o.JSON {
			out.result(r)
		}
	}
	report.Seconds = time.Since(began).Round(time.Millisecond).Seconds()
	if o.JSON {
		out.json(&report)
	} else {
		out.totals(&report)
	}
	switch {
	case ctx.Err() != nil || out.err != nil:
		return ExitFailed
	case report.Unexplained > 0:
		return ExitWrong
	}
	return ExitProved
}

func portable() loop.Engine { return loop.Portable(loop.PortableOptions{Loops: 1}) }

// family is a fault with the recipes that are about it.
type family struct {
	fault   fault.ID
	recipes []*lab.Recipe
}

// choose gathers the recipes by fault, in the catalogue's order. A fault of the
// catalogue without a recipe keeps its place: it cannot be proved.
func choose(only []string) ([]family, error) {
	recipes := lab.Recipes()
	if len(only) > 0 {
		recipes = nil
		for _, name := range only {
			found := named(name)
			if len(found) == 0 {
				return nil, fmt.Errorf("there is no fault or recipe %q; did you mean %q?", name, lab.Nearest(name))
			}
			for _, r := range found {
				if !slices.Contains(recipes, r) {
					recipes = append(recipes, r)
				}
			}
		}
	}
	var list []family
	at := map[fault.ID]int{}
	add := func(id fault.ID) int {
		i, ok := at[id]
		if !ok {
			i = len(list)
			at[id] = i
			list = append(list, family{fault: id})
		}
		return i
	}
	if len(only) == 0 {
		for _, row := range fault.Catalogue() {
			add(row.ID)
		}
	}
	for _, r := range recipes {
		i := add(r.Fault())
		list[i].recipes = append(list[i].recipes, r)
	}
	return list, nil
}

// named returns the recipes that a name means: one recipe, or all of a fault.
func named(name string) []*lab.Recipe {
	var found []*lab.Recipe
	for _, r := range slices.Concat(lab.Recipes(), lab.Corpus()) {
		if r.Name == name || strings.HasPrefix(r.Name, name+"/") {
			found = append(found, r)
		}
	}
	return found
}

// playAll plays the families, some recipes at a time, and yields the results in
// order, each as soon as it is there.
func playAll(ctx context.Context, families []family, engine func() loop.Engine) func(yield func(Result) bool) {
	return func(yield func(Result) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel() // for a caller that stops early
		slots := make(chan struct{}, parallel)
		plays := make([][]chan Play, len(families))
		for i, f := range families {
			for range f.recipes {
				plays[i] = append(plays[i], make(chan Play, 1))
			}
		}
		running.Go(func() { // ends when the last play has begun
			for i, f := range families {
				for k, r := range f.recipes {
					slots <- struct{}{}
					running.Go(func() { // ends with its play
						defer func() { <-slots }()
						plays[i][k] <- prove(ctx, r, engine)
					})
				}
			}
		})
		for i, f := range families {
			r := Result{Fault: f.fault}
			for _, p := range plays[i] {
				r.Plays = append(r.Plays, <-p)
			}
			r.Verdict = verdict(r.Plays)
			if !yield(r) {
				return
			}
		}
	}
}

// verdict sums up the plays of a fault: the worst counts.
func verdict(plays []Play) Verdict {
	all := Unexplained // nothing was played
	for i, p := range plays {
		switch {
		case p.Verdict == Unexplained:
			return Unexplained
		case i == 0:
			all = p.Verdict
		case p.Verdict == Explained:
			// One variant that can only be explained does not take from the others that
			// they are rescued, but it is what the line must say.
			all = Explained
		}
	}
	return all
}

// prove plays one recipe: alone, and with a good second endpoint if it promises
// that this helps.
func prove(ctx context.Context, r *lab.Recipe, engine func() loop.Engine) Play {
	result := Play{Recipe: r.Name, Verdict: Unexplained}
	if err := ctx.Err(); err != nil {
		result.Why = err.Error()
		return result
	}
	p, s, err := play(ctx, r, engine, false)
	if err == nil {
		result.Status = p.answer.status
		err = judge(r, p, s)
	}
	if err != nil {
		result.Why = oneLine(err)
		return result
	}
	if overH2(r) {
		again, s, err := playH2(ctx, r, engine)
		if err == nil {
			err = judge(r, again, s)
		}
		if err != nil {
			result.Why = "for a client of HTTP/2: " + oneLine(err)
			return result
		}
	}
	result.Verdict = Explained
	if p.answer.whole && p.answer.status == 200 && (r.GRPC == "" || r.Want == "") {
		result.Verdict = Rescued
	}
	if !r.Rescue {
		return result
	}
	if p, _, err = play(ctx, r, engine, true); err == nil {
		err = judgeRescue(r, p)
	}
	if err != nil {
		result.Verdict, result.Why = Unexplained, oneLine(err)
		return result
	}
	result.Verdict = Rescued
	return result
}

// oneLine is what a list of errors says, in one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func (r *Report) add(f Result) {
	r.Faults = append(r.Faults, f)
	r.Plays += len(f.Plays)
	switch f.Verdict {
	case Rescued:
		r.Rescued++
	case Explained:
		r.Explained++
	default:
		r.Unexplained++
	}
}

// printer writes the report. Its first error ends all writing.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, a ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, a...)
	}
}

// result writes the line of a fault, and below it what is wrong in which recipe.
func (p *printer) result(r Result) {
	name := cmp.Or(string(r.Fault), "good answers")
	switch n := len(r.Plays); n {
	case 0:
		p.printf("%-11s  %s: no recipe plays it\n", r.Verdict, name)
	case 1:
		p.printf("%-11s  %s\n", r.Verdict, name)
	default:
		p.printf("%-11s  %s (%d ways)\n", r.Verdict, name, n)
	}
	for _, play := range r.Plays {
		if play.Why != "" {
			p.printf("             %s: %s\n", play.Recipe, play.Why)
		}
	}
}

func (p *printer) totals(r *Report) {
	p.printf("\n%d faults in %d ways: %d rescued, %d explained, %d unexplained, in %.1f s\n",
		len(r.Faults), r.Plays, r.Rescued, r.Explained, r.Unexplained, r.Seconds)
}

func (p *printer) json(r *Report) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		p.err = err
		return
	}
	p.printf("%s\n", b)
}
