package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/config"
)

// fixRounds bounds how often --fix reads again what it has mended: a mended line
// may show the next mistake.
const fixRounds = 10

func (e *env) check() *cobra.Command {
	var a configArguments
	var fix bool
	c := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say what is wrong with a configuration, and mend what can be mended",
		Long: "Say what is wrong with a configuration: all problems at once, each with its place and the\n" +
			"way out. Nothing is started. The exit code is 0 if it could be run, 3 if not.",
		Example: "  gatewhy check\n" +
			"  gatewhy check --fix site.yaml\n" +
			"  gatewhy explain unknown_key              what a problem means",
		Args: arguments(cobra.MaximumNArgs(1), "at most one file"),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := e.configPath(&a, args)
			if err != nil {
				return err
			}
			if fix && path == stdinName {
				return misused(fmt.Errorf("standard input cannot be mended"), "name a file")
			}
			return e.runCheck(path, &a, fix)
		},
	}
	a.addTo(c)
	c.Flags().BoolVar(&fix, "fix", false, "make the changes that need no second thought, and write them to the files")
	return c
}

func (e *env) runCheck(path string, a *configArguments, fix bool) error {
	s := e.source(path, nil)
	l := config.Load(s)
	mended := 0
	var written []string
	for n := 0; fix && n < fixRounds && l.Report.Fixable() > 0; n++ {
		texts, count := l.Report.Fix()
		if count == 0 {
			break
		}
		for _, src := range slices.SortedFunc(maps.Keys(texts), func(a, b *conf.Source) int { return strings.Compare(a.Name, b.Name) }) {
			if err := replace(src.Name, []byte(texts[src])); err != nil {
				return failed(fmt.Errorf("cannot write %s: %w", src.Name, err), "")
			}
			if !slices.Contains(written, src.Name) {
				written = append(written, src.Name)
			}
		}
		mended += count
		l = config.Load(s)
	}
	if a.json {
		if err := e.printJSON(l.Report.JSON()); err != nil {
			return err
		}
	} else {
		p := e.ink(e.outTTY, a.plain)
		if err := l.Report.Render(e.out, p.on); err != nil {
			return err
		}
		if mended > 0 {
			fmt.Fprintf(e.out, "mended %d in %s\n", mended, strings.Join(written, ", "))
		}
		line := l.Report.Summary(path)
		if len(l.Report.Problems) > 0 {
			line += ".   Try `" + p.bold("gatewhy explain "+l.Report.Problems[first(l.Report)].Name) + "`."
		}
		fmt.Fprintln(e.out, line)
	}
	if l.Report.Failed() {
		return problemsCode(l, path)
	}
	return nil
}

// first is the first error of a report, or its first problem.
func first(r *conf.Report) int {
	return max(0, slices.IndexFunc(r.Problems, func(p conf.Problem) bool { return p.Level == conf.Error }))
}
