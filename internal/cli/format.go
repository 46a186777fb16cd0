package cli

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gatewhy/gatewhy/internal/conf"
)

func (e *env) format() *cobra.Command {
	var a configArguments
	var check bool
	c := &cobra.Command{
		Use:   "fmt [FILE...]",
		Short: "Lay configurations out in one way; comments stay",
		Long: "Lay configurations out in one way: two blanks a level, one behind braces, no more than one\n" +
			"empty line at once. What they mean stays, and so do comments, order and quotes. Files are\n" +
			"written anew, and the names of those that changed are printed; - is standard input, and\n" +
			"goes to standard output.",
		Example: "  gatewhy fmt\n" +
			"  gatewhy fmt --check conf.d/*.yaml        name those that would change\n" +
			"  gatewhy fmt - < new.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				path, err := e.configPath(&a, nil)
				if err != nil {
					return err
				}
				args = []string{path}
			}
			return e.runFormat(args, check, a.plain)
		},
	}
	a.addTo(c)
	c.Flags().Lookup("json").Hidden = true
	c.Flags().BoolVar(&check, "check", false, "write nothing, only name the files that would change; the exit code is 3 then")
	return c
}

func (e *env) runFormat(paths []string, check, plain bool) error {
	from := &files{in: e.in}
	changed, broken := false, false
	for _, path := range paths {
		path = stdin(path)
		text, err := from.Read(path)
		if err != nil {
			return failed(fmt.Errorf("cannot read: %w", err), "")
		}
		r := new(conf.Report)
		out, err := conf.Format(conf.NewSource(path, string(text)), r)
		if err != nil {
			return failed(fmt.Errorf("%s: %w", path, err), "")
		}
		if r.Failed() {
			broken = true
			r.Sort()
			r.Render(e.err, e.ink(e.errTTY, plain).on)
			fmt.Fprintf(e.err, "%s stays as it is: what is no YAML cannot be laid out\n", path)
			continue
		}
		switch {
		case path == stdinName && !check:
			if _, err := e.out.Write(out); err != nil {
				return err
			}
		case !bytes.Equal(text, out):
			changed = true
			fmt.Fprintln(e.out, path)
			if check {
				continue
			}
			if err := replace(path, out); err != nil {
				return failed(fmt.Errorf("cannot write %s: %w", path, err), "")
			}
		}
	}
	if broken || changed && check {
		return &codeError{code: faultFound}
	}
	return nil
}
