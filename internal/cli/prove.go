package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func (e *env) prove() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "prove",
		Short: "Play the whole catalogue of faults through a gateway and judge each",
		Args:  arguments(cobra.NoArgs, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			return failed(errors.New("not part of this build"), "")
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as one JSON object")
	return c
}
