package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gatewhy/gatewhy/internal/conf"
)

// nearestFlag is the hint for a flag that cobra refused.
func nearestFlag(c *cobra.Command, err error) string {
	hint := c.CommandPath() + " --help lists the flags"
	_, word, ok := strings.Cut(err.Error(), "unknown flag: --")
	if !ok {
		return hint
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := conf.Nearest(word, names, 1); len(near) > 0 && conf.Distance(word, near[0]) <= max(2, len(word)/3) {
		return "did you mean --" + near[0] + "?"
	}
	return hint
}
