package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"runtime"
	"strings"
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
	taskFlags
	overwrite, accept bool
	limit             int64
	report, runID     string
	progress          report.Mode
	drain             time.Duration
	deadline          string
}

func (p *program) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run --config job.yaml",
		Short: "Run the job",
		Long: `Run the job. Run again, on this machine or another, it carries on where it was: what is
committed is not predicted again, nor what was sealed inside a split. When it is finished
already, it says so and ends with status 0.

Several tasks on several machines share a run: each takes its share, then helps where
nobody is at work, and takes over from a machine that is lost. Which task this is, Cloud
Run jobs, Kubernetes indexed jobs (with --task-count), Google Batch and Slurm arrays say.`,
		Example: `  cpr-batch run --config job.yaml
  cpr-batch run --config job.yaml --limit 1000
  cpr-batch run --config job.yaml --set workers.count=4 --date 2026-11-22
  cpr-batch run --config job.yaml --deadline 50m
  cpr-batch run --config job.yaml --date 2026-11-22 --task-index 2 --task-count 8`,
		Args: exactArgs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.runJob(cmd, &f) },
	}
	f.addRun(cmd)
	f.taskFlags.add(cmd)
	cmd.Flags().BoolVar(&f.overwrite, "overwrite", false, "remove what an earlier run left in the output folder, and begin anew")
	cmd.Flags().Int64Var(&f.limit, "limit", 0, "only the first N instances, into the folder limit-N of the output")
	cmd.Flags().StringVar(&f.runID, "run-id", "", "the ID of the run, in its plan and report (default: a new one); with --overwrite, a run of this ID is carried on")
	return cmd
}

// addRun adds what all commands have that run a job into its output.
func (f *runFlags) addRun(cmd *cobra.Command) {
	f.jobFlags.add(cmd)
	cmd.Flags().BoolVar(&f.accept, "accept-changes", false, "carry the run on with another model, other packages, another Python or environment: what is committed stays")
	cmd.Flags().TextVar(&f.progress, "progress", report.Auto, "auto (a bar on a terminal, lines elsewhere), plain (lines), none")
	cmd.Flags().StringVar(&f.report, "report", "text", "what standard output gets at the end: text (the summary), json (the report alone)")
	cmd.Flags().DurationVar(&f.drain, "drain-timeout", defaultDrain(), "how long a run that is told to stop may finish and seal what it has begun")
	cmd.Flags().StringVar(&f.deadline, "deadline", "", "when the run stops by itself, sealed and with status 1: 50m from now, or a time as RFC 3339 has it")
}

func (f *runFlags) check(cmd *cobra.Command) error {
	switch {
	case f.limit < 0 || cmd.Flags().Changed("limit") && f.limit == 0:
		return usageError(cmd, fmt.Errorf("--limit %d: it is a number of instances, 1 or more", f.limit))
	case !runIDPattern.MatchString(f.runID):
		return usageError(cmd, fmt.Errorf("--run-id %q: write at most 64 letters, digits, dots, - and _", f.runID))
	case f.drain <= 0:
		return usageError(cmd, fmt.Errorf("--drain-timeout %s: write a duration above 0", f.drain))
	case f.report != "text" && f.report != "json":
		return usageError(cmd, fmt.Errorf("--report %q: it is text or json", f.report))
	}
	return nil
}

// jobRun is one execution of `run`, or of `retry`.
type jobRun struct {
	*program
	flags   *runFlags
	task    task
	job     *configs.Job
	folder  string // of the output
	shown   string // the same, as the job file has it
	started time.Time

	base     pyworker.Interpreter
	model    *pyworker.Model
	run      *runs.Run // nil until the plan stands
	again    *runs.Verdict
	result   pipeline.Result
	stats    pyworker.Stats
	progress *report.Progress

	retryOf string         // ID of the run whose failures are predicted again; "": this is no retry
	prior   pipeline.Tally // what counts beside this run's own for the error budget
}

func (p *program) runJob(cmd *cobra.Command, f *runFlags) error {
	r, l, err := p.newRun(cmd, f)
	if err != nil {
		return err
	}
	if f.limit > 0 {
		r.folder = objects.Join(r.folder, fmt.Sprintf("limit-%d", f.limit))
		r.shown = strings.TrimSuffix(r.shown, "/") + fmt.Sprintf("/limit-%d/", f.limit)
	}
	work, fetch, stop := watchSignals(cmd.Context(), p.log, l)
	defer stop()
	return r.conclude(context.WithoutCancel(work), r.do(work, fetch, &jobInput{store: p.store, job: r.job, limit: f.limit}))
}

// newRun reads the flags and the job file.
func (p *program) newRun(cmd *cobra.Command, f *runFlags) (*jobRun, limits, error) {
	if err := f.check(cmd); err != nil {
		return nil, limits{}, err
	}
	deadline, err := parseDeadline(f.deadline, time.Now())
	if err != nil {
		return nil, limits{}, usageError(cmd, err)
	}
	task, err := f.find(cmd, os.Getenv)
	if err != nil {
		return nil, limits{}, err
	}
	f.taskIndexSet = cmd.Flags().Changed("task-index")
	if task.count > 1 && f.overwrite && f.runID == "" {
		return nil, limits{}, usageError(cmd, errors.New("--overwrite with several tasks needs --run-id, a new one each time: else each of them would remove the others' work"))
	}
	job, err := f.load(cmd, p)
	if err != nil {
		return nil, limits{}, err
	}
	r := &jobRun{program: p, flags: f, task: task, job: job, started: time.Now(), shown: job.Sink.JSONL.URI, folder: job.Resolve(job.Sink.JSONL.URI)}
	if f.progress == report.Auto && p.logFormat == "json" {
		f.progress = report.Plain // every line of it is JSON
	}
	outlivePipes()
	r.progress = report.NewProgress(p.stderr, f.progress)
	p.stderr = r.progress
	return r, limits{drain: f.drain, deadline: deadline}, p.startLog()
}

// planWait is how long a task that is not the first waits for the plan of the first.
const planWait = 30 * time.Second

// do runs the job up to the point where it is done or something is wrong.
func (r *jobRun) do(work, fetch context.Context, input runs.Input) error {
	digest, err := r.digest(fetch)
	if err != nil {
		return causeOf(fetch, err)
	}
	if r.task.again {
		if r.again, err = runs.Repeats(fetch, r.store, r.folder, digest, r.job.Errors); err != nil || r.again != nil {
			return causeOf(fetch, err)
		}
	}
	joins, err := r.joins(fetch)
	if err != nil {
		return causeOf(fetch, err)
	}
	if r.flags.overwrite && !joins {
		// Results do not go for a run that can not be planned.
		planned, err := runs.Spool(fetch, input.Plan(fetch))
		if err != nil {
			return causeOf(fetch, err)
		}
		defer func() { _ = planned.Close() }()
		input = plannedInput{Input: input, splits: planned}
		if err := r.overwrite(fetch); err != nil {
			return causeOf(fetch, err)
		}
	}
	config := runs.Config{
		Store: r.store, Folder: r.folder, Name: r.job.Name, RunID: r.flags.runID, Started: r.started,
		Digest: digest, Input: input, Versions: r.versions(), AcceptChanges: r.flags.accept, Log: r.log,
	}
	if r.task.index > 0 {
		config.Wait = planWait
	}
	if r.run, err = runs.Begin(fetch, config); err != nil {
		return causeOf(fetch, err)
	}
	if r.finished() {
		return nil
	}
	if err := r.run.Keep(fetch, "job.yaml", r.job.Text); err != nil {
		return causeOf(fetch, err)
	}
	if r.run.Summary().Parts == r.run.Plan().Splits.Len() {
		return nil // no worker is needed
	}
	return r.predict(work, fetch)
}

// joins says whether the run that --run-id names is in the output folder: then this is a
// further attempt at it, and nothing is overwritten.
func (r *jobRun) joins(ctx context.Context) (bool, error) {
	if r.flags.runID == "" || !r.flags.overwrite {
		return false, nil
	}
	return runs.Holds(ctx, r.store, r.folder, r.flags.runID)
}

// overwrite removes the run that is in the output folder, unless another task has begun the
// one that --run-id names meanwhile.
func (r *jobRun) overwrite(ctx context.Context) error {
	if r.flags.runID != "" {
		return runs.Supersede(ctx, r.store, r.folder, r.flags.runID, r.log)
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

// digest looks at all that decides the output but the input: interpreter, model, packages.
func (r *jobRun) digest(ctx context.Context) (runs.Digest, error) {
	var prints []pyworker.Print
	var requirements string
	var errs [3]error
	var all sync.WaitGroup
	all.Go(func() { r.base, errs[0] = pyworker.FindInterpreter(ctx, r.job.Python, r.job.Dir) })
	all.Go(func() {
		r.model, errs[1] = pyworker.FindModel(ctx, r.store, r.job.Dir, r.job.Model, r.job.Resolve(r.job.Sink.JSONL.URI))
		if errs[1] == nil {
			prints, errs[1] = r.model.Fingerprint(ctx)
		}
	})
	all.Go(func() {
		requirements, errs[2] = pyworker.RequirementsText(ctx, r.store, r.job.Python.Requirements, r.job.Dir)
	})
	all.Wait()
	if err := worst(errs[:]); err != nil {
		return runs.Digest{}, err
	}
	digest := r.job.Digest(prints, r.base, requirements)
	if r.retryOf != "" {
		digest.Show("retry of run", r.retryOf)
	}
	return digest, nil
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
	defer func() {
		keeping, cancel := leaving(context.WithoutCancel(work), err)
		defer cancel()
		r.keepLogs(keeping, logs)
	}()
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
	pool.Store(place.pool)
	return r.engine(work, fetch, place, counters)
}

// engine drives the splits that are this task's through the workers.
func (r *jobRun) engine(ctx, fetch context.Context, place *workplace, counters *pipeline.Counters) error {
	elsewhere := new(pipeline.Elsewhere)
	before := r.run.Summary().Tally
	before.Add(&r.prior)
	share, err := r.run.Share(fetch, runs.TaskConfig{
		Index: r.task.index, Count: r.task.count, NoWait: r.flags.wait == "none",
		Straggling: max(2*r.job.Checkpoint, straggling), Elsewhere: elsewhere, Log: r.log,
	})
	if err != nil {
		return causeOf(fetch, err)
	}
	source := sources.NewJSONL(r.store, *r.job.Source.JSONL, rows(r.job), work{Share: share, run: r.run})
	sink := sinks.NewJSONL(r.run, r.store, *r.job.Sink.JSONL, r.job.Output)
	job := newJob(r.job, place.pool, source, sink, r.log)
	job.Counters, job.Before, job.Elsewhere, job.Checkpoint = counters, before, elsewhere, r.job.Checkpoint
	r.result, err = job.Run(ctx, fetch)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	if leaveErr := share.Close(closing); leaveErr != nil {
		r.log.Warn("the other tasks are not told that this one has ended: they find out", "reason", leaveErr)
	}
	return errors.Join(err, source.Close(), sink.Close())
}

// straggling is from when on a split that another task holds may be taken by one that has
// nothing else to do.
const straggling = 5 * time.Minute

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
	var left int64
	splits := r.run.Plan().Splits
	for i := range splits.Len() {
		if !r.run.Committed(i) {
			left += splits.Bytes(i)
		}
	}
	left /= int64(max(1, r.task.count))
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
