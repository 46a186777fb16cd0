package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/config"
)

func (e *env) show() *cobra.Command {
	var a configArguments
	var expanded bool
	c := &cobra.Command{
		Use:   "show [FILE]",
		Short: "Print the whole configuration, with where each value comes from",
		Long: "Print the whole configuration in one file: includes put together and variables filled in.\n" +
			"With --expanded the defaults are filled in too, and each value tells where it comes from:\n" +
			"default, FILE:LINE, env or flag.",
		Example: "  gatewhy show\n  gatewhy show --expanded",
		Args:    arguments(cobra.MaximumNArgs(1), "at most one file"),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := e.configPath(&a, args)
			if err != nil {
				return err
			}
			l, err := e.load(path, nil, a.plain)
			if err != nil {
				return err
			}
			return e.printConfig(l, expanded, a.json)
		},
	}
	a.addTo(c)
	c.Flags().BoolVar(&expanded, "expanded", false, "with all defaults, and where each value comes from")
	return c
}

// shownJSON is a configuration for programs.
type shownJSON struct {
	Config *conf.Node `json:"config"`
	// Origins say by JSON pointer where each value comes from; those that are not
	// here are defaults.
	Origins map[conf.Path]string `json:"origins"`
}

func (e *env) printConfig(l *config.Loaded, expanded, asJSON bool) error {
	tree := l.Tree(expanded)
	if !asJSON {
		_, err := e.out.Write(tree.YAML(expanded))
		return err
	}
	s := shownJSON{tree, map[conf.Path]string{}}
	for at, p := range l.Places {
		s.Origins[at] = p.From.String()
	}
	return e.printJSON(s)
}

func (e *env) diff() *cobra.Command {
	var a configArguments
	c := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say what differs in meaning between two configurations",
		Long: "Say what differs in meaning between two configurations, a line for each difference. Order,\n" +
			"comments, shorthands and defaults that are written out make none.",
		Example: "  gatewhy diff /etc/gatewhy/gatewhy.yaml new.yaml",
		Args:    arguments(cobra.ExactArgs(2), "two files"),
		RunE: func(_ *cobra.Command, args []string) error {
			var both [2]*config.Loaded
			for i, path := range args {
				l, err := e.load(stdin(path), nil, a.plain)
				if err != nil {
					return err
				}
				both[i] = l
			}
			lines := config.Differences(both[0], both[1])
			if a.json {
				if lines == nil {
					lines = []string{}
				}
				return e.printJSON(lines)
			}
			for _, l := range lines {
				fmt.Fprintln(e.out, l)
			}
			if len(lines) == 0 {
				fmt.Fprintln(e.err, "both mean the same")
			}
			return nil
		},
	}
	a.addTo(c)
	c.Flags().Lookup("config").Hidden = true
	return c
}

func (e *env) schema() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of gatewhy.yaml, for editors",
		Example: "  gatewhy schema > gatewhy.schema.json",
		Args:    arguments(cobra.NoArgs, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			_, err := e.out.Write(config.Schema())
			return err
		},
	}
}
