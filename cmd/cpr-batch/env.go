package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cpr-batch/cpr-batch/configs"
	"github.com/cpr-batch/cpr-batch/pyworker"
)

func (p *program) envCommand() *cobra.Command {
	env := &cobra.Command{
		Use:   "env",
		Short: "Make, list and remove Python environments, and models from Cloud Storage, that are kept",
		Args:  exactArgs(0, 0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	list := &cobra.Command{
		Use: "list", Short: "Print the environments and models that are kept, a line each", Args: exactArgs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := p.listKept(cmd.Context())
			if err != nil {
				return err
			}
			return p.printKept(k)
		},
	}
	var older time.Duration
	prune := &cobra.Command{
		Use:   "prune",
		Short: "Remove the environments and models that were not used lately",
		Long:  "Remove the environments, and the models from Cloud Storage, that no run has used for\n--older-than. What a run uses now stays.",
		Args:  exactArgs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			removed, err := p.pruneKept(cmd.Context(), time.Now().Add(-older))
			if err != nil {
				return err
			}
			if err := p.printKept(removed); err != nil {
				return err
			}
			_, err = fmt.Fprintf(p.stdout, "%d removed\n", len(removed.environments)+len(removed.models))
			return err
		},
	}
	prune.Flags().DurationVar(&older, "older-than", 30*24*time.Hour, "how long ago the last use must be; 0: all that are not in use")
	env.AddCommand(p.envPythonCommand(), list, prune)
	return env
}

func (p *program) envPythonCommand() *cobra.Command {
	var f jobFlags
	cmd := &cobra.Command{
		Use:   "python --config job.yaml",
		Short: "Print the interpreter that a job's workers use",
		Long: `Print the path of the interpreter that the job's workers use: the one of the environment for
python.requirements, which is made first where there is none yet. Model, packages and input
need not be there: what trains the model can run in the environment that predicts with it.`,
		Example: `  "$(cpr-batch env python --config job.yaml)" train.py`,
		Args:    exactArgs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			job, err := f.load(cmd, p)
			if err != nil {
				return err
			}
			return p.printPython(cmd.Context(), job)
		},
	}
	f.add(cmd)
	return cmd
}

func (p *program) printPython(ctx context.Context, job *configs.Job) error {
	_, fetch, stop := watchSignals(ctx, p.log, limits{drain: defaultDrain()})
	defer stop()
	base, err := pyworker.FindInterpreter(fetch, job.Python, job.Dir)
	if err != nil {
		return causeOf(fetch, err)
	}
	environments, err := pyworker.UserEnvironments(p.store, p.log)
	if err != nil && needsEnvironment(job.Python) {
		return err
	}
	env, err := environments.Open(fetch, job.Python, job.Dir, base)
	if err != nil {
		return causeOf(fetch, err)
	}
	_, err = fmt.Fprintln(p.stdout, env.Interpreter.Path)
	return errors.Join(err, env.Close())
}

// needsEnvironment tells whether a job's interpreter alone is not enough.
func needsEnvironment(python pyworker.PythonConfig) bool {
	return python.Requirements.File != "" || len(python.Requirements.Lines) > 0
}

// kept is what is in the user's cache folder.
type kept struct {
	environments []pyworker.EnvironmentInfo
	models       []pyworker.ModelInfo
}

func (p *program) listKept(ctx context.Context) (k kept, err error) {
	environments, err := pyworker.UserEnvironments(p.store, p.log)
	if err != nil {
		return k, err
	}
	if k.environments, err = environments.List(ctx); err != nil {
		return k, err
	}
	k.models, err = pyworker.UserModels(p.log).List(ctx)
	return k, err
}

// pruneKept removes what was last used before the given time.
func (p *program) pruneKept(ctx context.Context, before time.Time) (removed kept, err error) {
	environments, err := pyworker.UserEnvironments(p.store, p.log)
	if err != nil {
		return removed, err
	}
	if removed.environments, err = environments.Prune(ctx, before); err != nil {
		return removed, err
	}
	removed.models, err = pyworker.UserModels(p.log).Prune(ctx, before)
	return removed, err
}

func (p *program) printKept(k kept) error {
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	line := func(kind string, e pyworker.Kept, what string) error {
		state := e.LastUsed.Local().Format("2006-01-02 15:04")
		if !e.Whole {
			state = "not whole"
		}
		_, err := fmt.Fprintf(table, "%s\t%s\t%.1f MB\t%s\t%s\n", e.Path, kind, float64(e.Size)/1e6, state, what)
		return err
	}
	for _, e := range k.environments {
		if err := line("environment", e.Kept, e.Python+"\t"+strings.Join(e.Requirements, " ")); err != nil {
			return err
		}
	}
	for _, m := range k.models {
		if err := line("model", m.Kept, printable(m.URI)); err != nil {
			return err
		}
	}
	return table.Flush()
}
