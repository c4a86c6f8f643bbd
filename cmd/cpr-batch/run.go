package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/cpr-batch/cpr-batch/configs"
	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pipeline/objects"
	"github.com/cpr-batch/cpr-batch/pipeline/report"
	"github.com/cpr-batch/cpr-batch/pipeline/runs"
	"github.com/cpr-batch/cpr-batch/pyworker"
	"github.com/cpr-batch/cpr-batch/sinks"
	"github.com/cpr-batch/cpr-batch/sources"
)

const (
	// batchSize is what `batch.size: auto` means.
	batchSize = 512
	// memoryUnderWay bounds the text of instances between source and sink.
	memoryUnderWay = 64 << 20
)

// runIDPattern is what --run-id may be; "" is none.
var runIDPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{0,64}$`)

type runFlags struct {
	jobFlags
	overwrite     bool
	limit         int64
	report, runID string
	progress      report.Mode
}

func (p *program) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run --config job.yaml",
		Short: "Run the job",
		Long: `Run the job. Run again, it carries on where it was: what is committed is not predicted
again. When it is finished already, it says so and ends with status 0.`,
		Example: `  cpr-batch run --config job.yaml
  cpr-batch run --config job.yaml --limit 1000
  cpr-batch run --config job.yaml --set workers.count=4 --date 2026-11-22`,
		Args: exactArgs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.runJob(cmd, &f) },
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.overwrite, "overwrite", false, "remove what an earlier run left in the output folder, and begin anew")
	cmd.Flags().Int64Var(&f.limit, "limit", 0, "only the first N instances, into the folder limit-N of the output")
	cmd.Flags().TextVar(&f.progress, "progress", report.Auto, "auto (a bar on a terminal, lines elsewhere), plain (lines), none")
	cmd.Flags().StringVar(&f.runID, "run-id", "", "the ID of the run, in its plan and report (default: a new one); with --overwrite, a run of this ID is carried on")
	cmd.Flags().StringVar(&f.report, "report", "text", "what standard output gets at the end: text (the summary), json (the report alone)")
	return cmd
}

func (f *runFlags) check(cmd *cobra.Command) error {
	switch {
	case f.limit < 0 || cmd.Flags().Changed("limit") && f.limit == 0:
		return usageError(cmd, fmt.Errorf("--limit %d: it is a number of instances, 1 or more", f.limit))
	case !runIDPattern.MatchString(f.runID):
		return usageError(cmd, fmt.Errorf("--run-id %q: write at most 64 letters, digits, dots, - and _", f.runID))
	case f.report != "text" && f.report != "json":
		return usageError(cmd, fmt.Errorf("--report %q: it is text or json", f.report))
	}
	return nil
}

// jobRun is one execution of `run`.
type jobRun struct {
	*program
	flags   *runFlags
	job     *configs.Job
	folder  string // of the output
	started time.Time

	base     pyworker.Interpreter
	model    *pyworker.Model
	run      *runs.Run // nil until the plan stands
	result   pipeline.Result
	stats    pyworker.Stats
	progress *report.Progress
}

func (p *program) runJob(cmd *cobra.Command, f *runFlags) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	job, err := f.load(cmd, p)
	if err != nil {
		return err
	}
	r := &jobRun{program: p, flags: f, job: job, started: time.Now(), folder: job.Resolve(job.Sink.JSONL.URI)}
	if f.limit > 0 {
		r.folder = objects.Join(r.folder, fmt.Sprintf("limit-%d", f.limit))
	}
	if f.progress == report.Auto && p.logFormat == "json" {
		f.progress = report.Plain // every line of it is JSON
	}
	outlivePipes()
	r.progress = report.NewProgress(p.stderr, f.progress)
	p.stderr = r.progress
	if err := p.startLog(); err != nil {
		return err
	}
	work, fetch, stop := watchSignals(cmd.Context(), p.log)
	defer stop()
	return r.conclude(context.WithoutCancel(work), r.do(work, fetch))
}

// do runs the job up to the point where it is done or something is wrong.
func (r *jobRun) do(work, fetch context.Context) error {
	plan, err := r.plan(fetch)
	if err != nil {
		return causeOf(fetch, err)
	}
	if r.flags.runID != "" {
		plan.RunID = r.flags.runID
	}
	if r.flags.overwrite {
		if err := r.overwrite(fetch); err != nil {
			return causeOf(fetch, err)
		}
	}
	if r.run, err = runs.Begin(fetch, r.store, r.folder, plan, r.versions()); err != nil {
		return causeOf(fetch, err)
	}
	if r.finished() {
		return nil
	}
	if err := r.run.Keep(fetch, "job.yaml", r.job.Text); err != nil {
		return causeOf(fetch, err)
	}
	if len(r.run.State().Committed) == len(r.run.Plan().Splits) {
		return nil // no worker is needed
	}
	return r.predict(work, fetch)
}

// overwrite removes the run that is in the output folder, unless it is the one that
// --run-id names: then this is a further attempt at it.
func (r *jobRun) overwrite(ctx context.Context) error {
	if r.flags.runID != "" {
		state, err := runs.Look(ctx, r.store, r.folder)
		if err == nil && state.Plan != nil && state.Plan.RunID == r.flags.runID {
			return nil
		}
	}
	return runs.Overwrite(ctx, r.store, r.folder)
}

// causeOf is err, or why ctx ended where that is what err says.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return context.Cause(ctx)
	}
	return err
}

func (r *jobRun) versions() runs.Versions {
	v := r.base.Version
	return runs.Versions{CPRBatch: version, Go: runtime.Version(), Python: fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2])}
}

// finished says that the run was done before this command.
func (r *jobRun) finished() bool {
	return r.run != nil && r.run.State().Condition == runs.Finished
}

// plan looks at all that decides the output: interpreter, model, packages, input.
func (r *jobRun) plan(ctx context.Context) (runs.Plan, error) {
	var prints []pyworker.Print
	var splits []pipeline.PlannedSplit
	var requirements string
	var errs [4]error
	var all sync.WaitGroup
	all.Go(func() { r.base, errs[0] = pyworker.FindInterpreter(ctx, r.job.Python, r.job.Dir) })
	all.Go(func() {
		r.model, errs[1] = pyworker.FindModel(ctx, r.store, r.job.Dir, r.job.Model, r.job.Resolve(r.job.Sink.JSONL.URI))
		if errs[1] == nil {
			prints, errs[1] = r.model.Fingerprint(ctx)
		}
	})
	all.Go(func() {
		splits, errs[2] = sources.PlanJSONL(ctx, r.store, r.job.Dir, *r.job.Source.JSONL, r.flags.limit)
	})
	all.Go(func() {
		requirements, errs[3] = pyworker.RequirementsText(ctx, r.store, r.job.Python.Requirements, r.job.Dir)
	})
	all.Wait()
	if err := worst(errs[:]); err != nil {
		return runs.Plan{}, err
	}
	digest := r.job.Digest(splits, prints, r.base, requirements)
	return runs.NewPlan(r.job.Name, r.started, digest, splits)
}

// rows is how the job arranges the rows of its input.
func rows(job *configs.Job) sources.Rows {
	return sources.Rows{Instance: job.Instance, Shown: job.Output.Instance}
}

// predict runs what is not committed yet.
func (r *jobRun) predict(work, fetch context.Context) (err error) {
	// Before a worker is loaded there is nothing to finish.
	work, end := context.WithCancelCause(work)
	defer end(nil)
	logs, err := r.openLogs()
	if err != nil {
		return err
	}
	defer func() { r.keepLogs(context.WithoutCancel(work), logs) }()
	counters, transfer := new(pipeline.Counters), new(pyworker.Transfer)
	var pool atomic.Pointer[pyworker.Pool] // nil while the model is made ready
	r.watch(counters, transfer, &pool)
	defer r.progress.Stop()
	place, err := openWorkplace(fetch, work, placeConfig{
		transfer: transfer,
		job:      r.job, store: r.store, model: r.model, base: r.base, workers: workerCount(r.job.Workers.Count), output: logs.write, log: r.log,
	})
	if err != nil {
		return causeOf(fetch, err)
	}
	defer func() {
		err = errors.Join(err, place.Close(work))
		r.stats = place.stats()
	}()
	defer context.AfterFunc(fetch, func() {
		if place.stats().Ready == 0 {
			end(context.Cause(fetch))
		}
	})()
	source := sources.NewJSONL(r.store, *r.job.Source.JSONL, rows(r.job), r.run.Plan().Splits)
	sink := sinks.NewJSONL(r.run, r.store, *r.job.Sink.JSONL, r.job.Output)
	job := newJob(r.job, place.pool, source, sink, r.log)
	job.Counters = counters
	for i := range r.run.State().Committed {
		record := &r.run.State().Committed[i]
		job.Before.Add(&record.Tally)
		source.Known(record.Split, record.Tally.Lines)
	}
	pool.Store(place.pool)
	r.result, err = job.Run(work, fetch)
	return errors.Join(err, source.Close(), sink.Close())
}

// newJob is the engine's work for a job file.
func newJob(job *configs.Job, pool *pyworker.Pool, source pipeline.Source, sink pipeline.Sink, log *slog.Logger) *pipeline.Job {
	workers := workerCount(job.Workers.Count)
	size := int(job.Batch.Size)
	if size == 0 {
		size = batchSize
	}
	return &pipeline.Job{
		Source: source, Sink: sink, Pool: pool,
		Batch:    pipeline.Limits{Instances: size, Bytes: int64(job.Batch.MaxBytes), Wait: job.Batch.MaxLatency},
		Kwargs:   job.Model.Kwargs,
		Timeout:  job.Workers.PredictTimeout,
		Errors:   job.Errors,
		Splits:   workers,
		Window:   2*workers + 2,
		Memory:   memoryUnderWay,
		Counters: new(pipeline.Counters),
		Log:      log,
	}
}

// watch shows the progress of a job, from the download of its model on, until it is stopped.
func (r *jobRun) watch(counters *pipeline.Counters, transfer *pyworker.Transfer, pool *atomic.Pointer[pyworker.Pool]) {
	committed := map[pipeline.SplitID]bool{}
	for _, record := range r.run.State().Committed {
		committed[record.Split] = true
	}
	var left int64
	for _, split := range r.run.Plan().Splits {
		for _, piece := range split.Pieces {
			if !committed[split.ID] {
				left += piece.End - piece.Start
			}
		}
	}
	r.progress.Start(report.Watch{
		Counters: counters, Bytes: left, Log: r.log,
		Download: func() (done, total int64) { return transfer.Done.Load(), transfer.Total.Load() },
		Workers: func() (ready, total int) {
			p := pool.Load()
			if p == nil {
				return 0, 0
			}
			stats := p.Stats()
			return stats.Ready, stats.Count
		},
	})
}
