// Package cli is the command line: a file for each command. A command reads its
// words, calls the package that does the work, and prints what it says. Results
// go to standard output, talk to standard error.
//
// Start with Main and root below, then proxy.go.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatewhy/gatewhy/internal/conf"
)

// The exit codes.
const (
	fine       = 0
	cannotRun  = 1 // input, output, a port
	badCommand = 2 // the command line
	faultFound = 3 // the command worked, and what it looked at is at fault
)

// Main runs the program with the arguments after its name and returns its exit
// code.
func Main(ctx context.Context, args []string) int {
	e := &env{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv,
		inTTY: terminal(os.Stdin), outTTY: terminal(os.Stdout), errTTY: terminal(os.Stderr),
	}
	return e.run(ctx, args)
}

// env is the world around a command, so that tests can make one.
type env struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string

	inTTY, outTTY, errTTY bool
}

// run runs a command line.
func (e *env) run(ctx context.Context, args []string) int {
	root := e.root()
	root.SetArgs(args)
	root.SetIn(e.in)
	root.SetOut(e.out)
	root.SetErr(e.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return fine
	}
	var c *codeError
	if errors.As(err, &c) {
		if c.err != nil {
			e.complain(c.err, c.hint)
		}
		return c.code
	}
	// What cobra finds by itself (an unknown command or flag, a missing argument) is
	// always a matter of the command line.
	e.complain(err, "gatewhy --help lists the commands")
	return badCommand
}

// complain says what is wrong and what to do, in two lines that a script can
// tell apart.
func (e *env) complain(err error, hint string) {
	p := e.ink(e.errTTY, false)
	for i, line := range strings.Split(strings.TrimSpace(err.Error()), "\n") {
		if i == 0 {
			fmt.Fprintf(e.err, "%s %s\n", p.red("error:"), line)
		} else {
			fmt.Fprintf(e.err, "       %s\n", line)
		}
	}
	if hint != "" {
		fmt.Fprintf(e.err, "%s %s\n", p.green("hint: "), hint)
	}
}

// warn says what is not good and does not keep anything from starting.
func (e *env) warn(text string) {
	fmt.Fprintf(e.err, "%s %s\n\n", e.ink(e.errTTY, false).yellow("warning:"), text)
}

// codeError is an error with the exit code that it means.
type codeError struct {
	code int
	err  error // nil if all has been said
	hint string
}

func (c *codeError) Error() string {
	if c.err == nil {
		return fmt.Sprintf("exit code %d", c.code)
	}
	return c.err.Error()
}

func (c *codeError) Unwrap() error { return c.err }

// failed is an error of the world: exit code 1.
func failed(err error, hint string) error { return &codeError{cannotRun, err, hint} }

// misused is an error of the command line: exit code 2.
func misused(err error, hint string) error { return &codeError{badCommand, err, hint} }

const example = `  gatewhy demo                                     see it work, with nothing else installed
  gatewhy proxy :8080 localhost:3000               stand in front of an application
  gatewhy explain header_name_bad_char             what a fault means and how to mend it`

func (e *env) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "gatewhy",
		Short:         "A gateway whose every 502 explains itself",
		Long:          "Gatewhy stands in front of your servers, turns what would be a 502 into a good answer\nwhere that is safe, and explains every failure that is left, down to the byte.",
		Example:       example,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(c, args[0])
			}
			if err := c.Help(); err != nil {
				return err
			}
			for _, f := range configFiles {
				if _, err := os.Stat(f); err == nil {
					fmt.Fprintf(e.out, "\nThere is %s: gatewhy run would serve it, and gatewhy check says whether it is well.\n", f)
					break
				}
			}
			return nil
		},
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return misused(err, nearestFlag(c, err))
	})
	root.AddCommand(e.runCommand(), e.status(), e.reload(), e.upgrade(), e.endpoint(), e.trust(), e.untrust(), e.drain(), e.stop(), e.proxy(), e.check(), e.format(), e.show(), e.diff(), e.schema(), e.explain(), e.lab(), e.demo(), e.prove(), e.version(), e.man(), e.docs())
	return root
}

func unknownCommand(root *cobra.Command, word string) error {
	hint := "gatewhy --help lists the commands"
	if near := conf.Nearest(word, commandNames(root), 1); len(near) > 0 && conf.Distance(word, near[0]) <= 2 {
		hint = "did you mean gatewhy " + near[0] + "?"
	}
	return misused(fmt.Errorf("there is no command %q", word), hint)
}

func commandNames(root *cobra.Command) (names []string) {
	for _, c := range root.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	return names
}

// arguments wraps a check of arguments, so that its error tells the usage.
func arguments(check cobra.PositionalArgs, want string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if check(c, args) == nil {
			return nil
		}
		return misused(fmt.Errorf("%s takes %s", c.CommandPath(), want), "usage: "+c.UseLine())
	}
}
