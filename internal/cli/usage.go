package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// generalGroup is the heading of flags that concern the program itself.
const generalGroup = "General"

// groupKey is where a flag keeps its heading.
const groupKey = "group"

func group(flags *pflag.FlagSet, heading string, names ...string) {
	for _, n := range names {
		flags.SetAnnotation(n, groupKey, []string{heading})
	}
}

// Where help puts things. 100 columns fit beside each other on most screens.
const (
	helpColumn = 34
	helpWidth  = 100
)

// groupedUsage prints usage with the flags under headings.
func (e *env) groupedUsage(c *cobra.Command) error {
	w := c.OutOrStderr()
	fmt.Fprintf(w, "Usage:\n  %s\n\nExamples:\n%s\n", c.UseLine(), c.Example)
	var headings []string
	byHeading := map[string][]*pflag.Flag{}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		h := generalGroup
		if a := f.Annotations[groupKey]; len(a) > 0 {
			h = a[0]
		}
		if byHeading[h] == nil {
			headings = append(headings, h)
		}
		byHeading[h] = append(byHeading[h], f)
	})
	for _, h := range headings {
		fmt.Fprintf(w, "\n%s:\n", h)
		for _, f := range byHeading[h] {
			printFlag(w, f)
		}
	}
	fmt.Fprintf(w, "\nEach flag can stand in the environment: GATEWHY_TIMEOUT_READ=30s is --timeout-read 30s.\n"+
		"Durations are such as 500ms, 5s, 2m; sizes such as 512, 64KiB, 10MB.\n")
	return nil
}

func printFlag(w io.Writer, f *pflag.Flag) {
	kind, help := pflag.UnquoteUsage(f)
	left := "--" + f.Name
	if f.Shorthand != "" {
		left = "-" + f.Shorthand + ", " + left
	}
	if kind != "" {
		left += " " + kind
	}
	if d := f.DefValue; d != "" && d != "false" {
		help += " (" + d + ")"
	}
	fmt.Fprintf(w, "  %-*s", helpColumn-2, left)
	if len(left) > helpColumn-4 {
		fmt.Fprintf(w, "\n%*s", helpColumn, "")
	}
	for i, line := range wrap(help, helpWidth-helpColumn) {
		if i > 0 {
			fmt.Fprintf(w, "%*s", helpColumn, "")
		}
		fmt.Fprintln(w, line)
	}
}

// wrap breaks s between words into lines of at most width bytes.
func wrap(s string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
