package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cpr-batch/cpr-batch/pyworker"
)

func (p *program) envCommand() *cobra.Command {
	env := &cobra.Command{
		Use:   "env",
		Short: "List and remove the Python environments made for python.requirements",
		Args:  exactArgs(0, 0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	list := &cobra.Command{
		Use: "list", Short: "Print the environments, a line each", Args: exactArgs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			environments, err := pyworker.UserEnvironments(p.log)
			if err != nil {
				return err
			}
			found, err := environments.List(cmd.Context())
			if err != nil {
				return err
			}
			return p.printEnvironments(found)
		},
	}
	var older time.Duration
	prune := &cobra.Command{
		Use:   "prune",
		Short: "Remove the environments that were not used lately",
		Long:  "Remove the environments that no run has used for --older-than. What a run uses now stays.",
		Args:  exactArgs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			environments, err := pyworker.UserEnvironments(p.log)
			if err != nil {
				return err
			}
			removed, err := environments.Prune(cmd.Context(), time.Now().Add(-older))
			if err != nil {
				return err
			}
			if err := p.printEnvironments(removed); err != nil {
				return err
			}
			_, err = fmt.Fprintf(p.stdout, "%d removed\n", len(removed))
			return err
		},
	}
	prune.Flags().DurationVar(&older, "older-than", 30*24*time.Hour, "how long ago the last use must be; 0: all that are not in use")
	env.AddCommand(list, prune)
	return env
}

func (p *program) printEnvironments(found []pyworker.EnvironmentInfo) error {
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, e := range found {
		state := e.LastUsed.Local().Format("2006-01-02 15:04")
		if !e.Whole {
			state = "not whole"
		}
		_, err := fmt.Fprintf(table, "%s\t%.1f MB\t%s\t%s\t%s\n", e.Path, float64(e.Size)/1e6, state, e.Python, strings.Join(e.Requirements, " "))
		if err != nil {
			return err
		}
	}
	return table.Flush()
}
