package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
)

func (p *program) retryCommand() *cobra.Command {
	f := runFlags{report: "text"}
	f.wait = "done"
	cmd := &cobra.Command{
		Use:   "retry --config job.yaml",
		Short: "Predict again what failed",
		Long: `Run the instances that have no prediction again, as a run of its own in the folder retry-1 of
the output, with the same layout, keys and sources; the next time what failed there, in
retry-2, and so on. Each instance is read again from its place in the source, which must
not have changed; the Predictor may have. The error budget counts all instances of the
first run. Where none failed it says so and ends with status 0. The first run's parts have
to be all there.`,
		Example: `  cpr-batch run --config job.yaml     # 12 instances without a prediction
  # mend the Predictor, then
  cpr-batch retry --config job.yaml`,
		Args: exactArgs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.retry(cmd, &f) },
	}
	f.addRun(cmd)
	return cmd
}

func (p *program) retry(cmd *cobra.Command, f *runFlags) error {
	r, l, err := p.newRun(cmd, f)
	if err != nil {
		return err
	}
	if r.task.count > 1 {
		return usageError(cmd, errors.New("retry runs in one task, and the platform has started several: give it a job of its own"))
	}
	work, fetch, stop := watchSignals(cmd.Context(), p.log, l)
	defer stop()
	failed, err := r.findFailures(fetch)
	if err != nil {
		return causeOf(fetch, err)
	}
	defer func() { _ = failed.run.Close() }()
	if failed.run.Summary().Tally.Failed == 0 {
		_, err := fmt.Fprintf(p.stdout, "nothing to retry: no instance failed in %s\n", here(failed.run.Folder()))
		return unlessUnread(err)
	}
	r.folder, r.retryOf = failed.next, failed.run.Plan().RunID
	r.shown = fmt.Sprintf("%s/retry-%d/", strings.TrimSuffix(r.shown, "/"), failed.number)
	r.prior.Predicted = failed.instances - failed.run.Summary().Tally.Failed
	return r.conclude(context.WithoutCancel(work), r.do(work, fetch, failed))
}

// failures are what a retry predicts: it is a runs.Input.
type failures struct {
	run       *runs.Run // the last one that is whole
	next      string    // folder of the retry
	number    int       // of the retry, from 1
	instances int64     // of the first run
}

// Plan yields the splits that hold failures.
func (f *failures) Plan(ctx context.Context) iter.Seq2[pipeline.PlannedSplit, error] {
	return f.run.Failures(ctx)
}

// Files yields the files that hold them.
func (f *failures) Files(ctx context.Context) iter.Seq2[pipeline.Piece, error] {
	return runs.FilesOf(f.Plan(ctx))
}

// findFailures looks for the last run, of the first one and its retries, that is whole.
func (r *jobRun) findFailures(ctx context.Context) (*failures, error) {
	first, err := runs.Inspect(ctx, r.store, r.folder)
	if err != nil {
		return nil, err
	}
	if err := r.isWhole(first); err != nil {
		return nil, errors.Join(err, first.Close())
	}
	f := &failures{run: first, instances: first.Summary().Tally.Read}
	for f.number = 1; ; f.number++ {
		f.next = objects.Join(r.folder, fmt.Sprintf("retry-%d", f.number))
		run, err := runs.Inspect(ctx, r.store, f.next)
		if err != nil {
			return nil, errors.Join(err, f.run.Close())
		}
		if !hasEnded(run) || f.run.Summary().Tally.Failed == 0 {
			return f, run.Close()
		}
		if err := f.run.Close(); err != nil {
			return nil, errors.Join(err, run.Close())
		}
		f.run = run
	}
}

// hasEnded says whether all parts of a run are there and it was concluded, well or not.
func hasEnded(run *runs.Run) bool {
	state := run.State()
	return state.Plan != nil && run.Summary().Parts == state.Plan.Splits.Len() &&
		(state.Condition == runs.Finished || state.Condition == runs.Failed)
}

// isWhole says why a run's failures can not be tried again yet.
func (r *jobRun) isWhole(run *runs.Run) error {
	if hasEnded(run) {
		return nil
	}
	e := &pipeline.Error{
		Remedy: pipeline.TryAgain, Phase: pipeline.PhasePlan,
		Message: "there is no run in " + here(r.folder) + " whose failures could be tried again",
		Hint:    "Run the job first: `cpr-batch run` with the same job file and the same --date, --var and --set.",
	}
	if plan := run.Plan(); plan != nil {
		e.Message = fmt.Sprintf("the run in %s is not done: %d of %d parts are committed", here(r.folder), run.Summary().Parts, plan.Splits.Len())
		e.Hint = "Finish it first: run the same `cpr-batch run` again. Then the failures of all its parts are known."
	}
	return e
}
