package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cpr-batch/cpr-batch/configs"
	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
	"github.com/cpr-batch/cpr-batch/pyworker"
	"github.com/cpr-batch/cpr-batch/sources"
)

// trialInstances is how many instances `validate` predicts.
const trialInstances = 10

func (p *program) validateCommand() *cobra.Command {
	var f jobFlags
	var instances string
	cmd := &cobra.Command{
		Use:   "validate --config job.yaml",
		Short: "Check all that can be checked without running the job",
		Long: `Check the job file, the interpreter, the input, the output folder, that the class loads, and
predict the first ten instances. Nothing is written to the output. A line a check; status 0,
1 (input that is not there yet), 2 or 3.`,
		Args: exactArgs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			job, err := f.load(cmd, p)
			if err != nil {
				return err
			}
			return p.validate(cmd.Context(), job, instances)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&instances, "instances", "", "predict the instances of this file (- for standard input) instead of the input's first ones")
	return cmd
}

// validation is one execution of `validate`: its checks, in order.
type validation struct {
	*program
	job    *configs.Job
	table  *tabwriter.Writer
	failed []error
}

// check prints a line for a check; err says that it failed.
func (v *validation) check(name, what string, err error) {
	word := "ok"
	if err != nil {
		v.failed = append(v.failed, err)
		word, what = "error", strings.ReplaceAll(err.Error(), "\n", "\n\t\t")
	}
	_, _ = fmt.Fprintf(v.table, "%s\t%s\t%s\n", word, name, what)
}

func (p *program) validate(ctx context.Context, job *configs.Job, instances string) error {
	work, fetch, stop := watchSignals(ctx, p.log)
	defer stop()
	v := &validation{program: p, job: job, table: tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)}
	v.check("job file", job.Path, nil)
	base, err := pyworker.FindInterpreter(fetch, job.Python, job.Dir)
	v.check("interpreter", base.String(), err)
	usable := err == nil
	store := objects.NewLocal()
	splits, err := sources.PlanJSONL(fetch, store, job.Dir, *job.Source.JSONL, 0)
	v.check("input", describeInput(splits), err)
	v.checkOutput(fetch, store)
	if usable {
		v.checkPredictor(work, fetch, store, base, instances)
	}
	if err := v.table.Flush(); err != nil {
		return err
	}
	if fetch.Err() != nil {
		return context.Cause(fetch)
	}
	return worst(v.failed)
}

func describeInput(splits []pipeline.PlannedSplit) string {
	files := map[string]int64{}
	for _, s := range splits {
		for _, piece := range s.Pieces {
			files[piece.URI] = piece.Size
		}
	}
	var size int64
	for _, n := range files {
		size += n
	}
	return fmt.Sprintf("%d files, %d bytes, %d splits", len(files), size, len(splits))
}

// checkOutput looks at what the output folder holds.
func (v *validation) checkOutput(ctx context.Context, store objects.Store) {
	state, err := runs.Look(ctx, store, v.job.Resolve(v.job.Sink.JSONL.URI))
	what := v.job.Sink.JSONL.URI
	switch state.Condition {
	case runs.Fresh:
		what += ": nothing of a run yet"
	case runs.Begun:
		what += fmt.Sprintf(": a run that is not done, %d of %d parts are committed", len(state.Committed), len(state.Plan.Splits))
	case runs.Finished:
		what += ": a run that is done (--overwrite runs it anew)"
	case runs.Failed:
		what += ": a run that failed: " + state.Reason
	case runs.Foreign:
		err = &pipeline.Error{Remedy: pipeline.FixConfig, Phase: pipeline.PhasePlan,
			Message: fmt.Sprintf("sink.jsonl.uri: %s holds results that belong to no run: %s", what, strings.Join(state.Foreign, ", ")),
			Hint:    "Choose another folder."}
	}
	v.check("output", what, err)
}

// checkPredictor loads the class and predicts some instances.
func (v *validation) checkPredictor(work, fetch context.Context, store objects.Store, base pyworker.Interpreter, instances string) {
	var outcomes strings.Builder
	t := trial{job: v.job, base: base, out: &outcomes}
	if instances != "" {
		input, err := v.openInstances(instances)
		if err != nil {
			v.check("predictor", "", err)
			return
		}
		defer func() { _ = input.Close() }()
		t.source = sources.NewReader(input, instances, *v.job.Source.JSONL, rows(v.job))
	} else {
		// Without input the class is loaded all the same.
		first, err := sources.PlanJSONL(fetch, store, v.job.Dir, *v.job.Source.JSONL, trialInstances)
		if err != nil {
			first = nil
		}
		t.source = sources.NewJSONL(store, *v.job.Source.JSONL, rows(v.job), first)
	}
	result, err := v.try(work, fetch, t)
	v.check("predictor", v.job.Model.PredictionClass+" loads", err)
	if err == nil {
		v.checkTrial(result)
	}
}

// checkTrial judges what came of the trial's instances.
func (v *validation) checkTrial(result pipeline.Result) {
	t := result.Committed
	if len(result.Unread) > 0 {
		v.check("trial", "", result.Unread[0].Err)
		return
	}
	what := fmt.Sprintf("%d of %d instances have a prediction", t.Predicted, t.Read)
	for _, f := range t.Failures {
		what += fmt.Sprintf("\n\t\t%s: %s: %s (%s line %d)", f.Phase, f.Type, f.First.Message, f.First.Source.URI, f.First.Source.Line)
	}
	var err error
	if t.Failed > 0 && t.Predicted == 0 {
		err = &pipeline.Error{Remedy: pipeline.FixInput, Phase: pipeline.PhasePredict, Message: what}
	}
	v.check("trial", what, err)
}

// worst is one error for all failed checks: usage before the model, the model before
// what may pass.
func worst(failed []error) error {
	var worst error
	rank := map[int]int{2: 3, 3: 2, 1: 1}
	for _, err := range failed {
		if worst == nil || rank[exitStatus(err)] > rank[exitStatus(worst)] {
			worst = err
		}
	}
	return worst
}
