package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"

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

	hasInput bool // the source's files can be planned
}

// check prints a line for a check, and further ones for what is behind a line break; err
// says that it failed.
func (v *validation) check(name, what string, err error) {
	word := "ok"
	if err != nil {
		v.failed = append(v.failed, err)
		word, what = "error", err.Error()
		var e *pipeline.Error
		if errors.As(err, &e) && e.Hint != "" {
			what += "\nwhat to do: " + e.Hint
		}
	}
	lines := strings.Split(strings.TrimSpace(what), "\n")
	for i, line := range lines {
		lines[i] = visible(line)
	}
	_, _ = fmt.Fprintf(v.table, "%s\t%s\t%s\n", word, name, strings.Join(lines, "\n\t\t"))
}

// visible makes one line of text of s, with nothing in it that a terminal would obey.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, strings.Join(strings.Fields(s), " "))
}

func (p *program) validate(ctx context.Context, job *configs.Job, instances string) error {
	work, fetch, stop := watchSignals(ctx, p.log, limits{drain: defaultDrain()})
	defer stop()
	v := &validation{program: p, job: job, table: tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)}
	v.check("job file", job.Path, nil)
	base, err := pyworker.FindInterpreter(fetch, job.Python, job.Dir)
	v.check("interpreter", base.String(), err)
	usable := err == nil
	store := p.store
	input, err := describeInput(sources.PlanJSONL(fetch, store, job.Dir, *job.Source.JSONL, 0))
	v.check("input", input, err)
	v.hasInput = err == nil
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

// describeInput counts what a plan reads.
func describeInput(plan iter.Seq2[pipeline.PlannedSplit, error]) (string, error) {
	var files, size, splits int64
	last := ""
	for s, err := range plan {
		if err != nil {
			return "", err
		}
		splits++
		for _, piece := range s.Pieces {
			size += piece.End - piece.Start
			if piece.URI != last {
				files++
				last = piece.URI
			}
		}
	}
	return fmt.Sprintf("%s, %s, %s", counted(files, "file"), counted(size, "byte"), counted(splits, "split")), nil
}

func counted(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// checkOutput looks at what the output folder holds.
func (v *validation) checkOutput(ctx context.Context, store objects.Store) {
	folder := v.job.Resolve(v.job.Sink.JSONL.URI)
	run, err := runs.Inspect(ctx, store, folder)
	var state runs.State
	if err == nil {
		state = run.State()
		defer func() { _ = run.Close() }()
	}
	if err == nil && !objects.IsCloud(folder) {
		err = runs.Fault(pipeline.PhasePlan, "write", folder, writable(folder))
	}
	what := v.job.Sink.JSONL.URI
	switch state.Condition {
	case runs.Fresh:
		what += ": nothing of a run yet"
	case runs.Begun:
		what += fmt.Sprintf(": a run that is not done, %d of %d parts are committed", run.Summary().Parts, state.Plan.Splits.Len())
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

// writable tells why a folder, or the one that it will be made in, can not be written to.
func writable(folder string) error {
	info, err := os.Stat(folder)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(folder) != folder {
		if _, err := os.Lstat(folder); err == nil {
			return syscall.EEXIST // a link that leads nowhere
		}
		return writable(filepath.Dir(folder))
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return syscall.ENOTDIR
	}
	const writeAndEnter = 2 | 1
	return syscall.Access(folder, writeAndEnter)
}

// checkPredictor loads the class and predicts some instances.
func (v *validation) checkPredictor(work, fetch context.Context, store objects.Store, base pyworker.Interpreter, instances string) {
	var outcomes strings.Builder
	t := trial{job: v.job, store: store, base: base, out: &outcomes}
	if instances != "" {
		input, err := v.openInstances(fetch, instances)
		if err != nil {
			v.check("predictor", "", err)
			return
		}
		defer func() { _ = input.Close() }()
		t.source = sources.NewReader(input, instances, *v.job.Source.JSONL, rows(v.job))
	} else {
		// Without input the class is loaded all the same.
		first, err := collect(sources.PlanJSONL(fetch, store, v.job.Dir, *v.job.Source.JSONL, trialInstances))
		if err != nil {
			first = nil
			if v.hasInput {
				v.check("instances", "", err)
			}
		}
		t.source = sources.NewJSONL(store, *v.job.Source.JSONL, rows(v.job), sources.InOrder(first...))
	}
	result, err := v.try(work, fetch, t)
	v.check("predictor", v.job.Model.PredictionClass+" loads", err)
	if err == nil {
		v.checkTrial(result)
	}
}

// collect numbers the splits of a short plan.
func collect(plan iter.Seq2[pipeline.PlannedSplit, error]) ([]pipeline.PlannedSplit, error) {
	var splits []pipeline.PlannedSplit
	for s, err := range plan {
		if err != nil {
			return nil, err
		}
		splits = append(splits, s)
	}
	for i := range splits {
		splits[i].ID = pipeline.NewSplitID(i, len(splits))
	}
	return splits, nil
}

// checkTrial judges what came of the trial's instances.
func (v *validation) checkTrial(result pipeline.Result) {
	t := result.Committed
	if len(result.Unread) > 0 {
		v.check("trial", "", result.Unread[0].Err)
		return
	}
	what := fmt.Sprintf("%d of %d instances have a prediction", t.Predicted, t.Read)
	if t.Read == 0 {
		what = "there is no instance to try"
	}
	for _, f := range t.Failures {
		what += "\n" + visible(fmt.Sprintf("%s: %s: %s (%s line %d)", f.Phase, f.Type, f.First.Message, f.First.Source.URI, f.First.Source.Line))
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
