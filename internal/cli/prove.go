package cli

import (
	"fmt"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/lab"
	"github.com/gatewhy/gatewhy/internal/prove"
)

func (e *env) prove() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "prove [FAULT...]",
		Short: "Play the whole catalogue of faults through a gateway and judge each",
		Long: "Play the whole catalogue of faults through a gateway and judge each: rescued, explained or\n" +
			"UNEXPLAINED. Gateway and upstreams run in this process, on loopback. Exit code 3 says that\n" +
			"a fault was not explained, or called by a wrong name.",
		Example: "  gatewhy prove\n  gatewhy prove cl_conflict header_name_bad_char\n  gatewhy prove corpus         the collection of broken answers",
		RunE: func(c *cobra.Command, args []string) error {
			for _, name := range args {
				if name != corpus && lab.Find(name) == nil {
					return misused(fmt.Errorf("there is no recipe %q", name),
						"did you mean "+strings.Join(conf.Nearest(name, recipeNames(), 3), ", ")+"?")
				}
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			if code := prove.Run(ctx, e.out, prove.Options{JSON: asJSON, Only: args}); code != fine {
				return &codeError{code: code}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as one JSON object")
	return c
}

// corpus stands for all recipes of the golden corpus.
const corpus = "corpus"

func recipeNames() []string {
	names := []string{corpus}
	for _, r := range lab.Recipes() {
		names = append(names, r.Name)
	}
	return names
}
