package cli

import "github.com/spf13/cobra"

func (e *env) explain() *cobra.Command {
	return &cobra.Command{Use: "explain", Run: func(*cobra.Command, []string) {}}
}
func (e *env) lab() *cobra.Command {
	return &cobra.Command{Use: "lab", Run: func(*cobra.Command, []string) {}}
}
func (e *env) demo() *cobra.Command {
	return &cobra.Command{Use: "demo", Run: func(*cobra.Command, []string) {}}
}
func (e *env) prove() *cobra.Command {
	return &cobra.Command{Use: "prove", Run: func(*cobra.Command, []string) {}}
}
func (e *env) docs() *cobra.Command {
	return &cobra.Command{Use: "docs", Run: func(*cobra.Command, []string) {}}
}
